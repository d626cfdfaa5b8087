//! Where the program's own words go: to standard error, or to a file while something else draws there.
//! Says nothing itself and never decides what is worth saying; `RUST_LOG` does.

use std::{
    env,
    fmt::{self as words, Debug},
    fs::{File, OpenOptions},
    io,
    os::unix::fs::OpenOptionsExt,
    path::Path,
    sync::Arc,
};

use anyhow::Context;
use domain::Clock as _;
use tracing::field::{Field, Visit};
use tracing_subscriber::{
    field::RecordFields,
    filter::{LevelFilter, Targets},
    fmt::{
        self,
        format::{FormatFields, Writer},
        time::FormatTime,
    },
    layer::SubscriberExt,
    util::SubscriberInitExt,
};

use crate::{clock::SystemClock, demo::paint::Paint, wording::harmless};

/// Who may read the log: its owner.
const MODE: u32 = 0o600;

/// Warnings and errors on standard error.
///
/// # Errors
/// When `RUST_LOG` cannot be read, or a log is installed already.
pub fn to_stderr() -> anyhow::Result<()> {
    let filter = filter(LevelFilter::WARN)?;
    let lines = fmt::layer().with_ansi(Paint::of(&io::stderr()).is_on()).with_writer(io::stderr);
    tracing_subscriber::registry().with(filter).with(lines).try_init().context("no log")
}

/// Everything that is worth telling on standard error, for people or, as one JSON object a line, for machines.
///
/// # Errors
/// When `RUST_LOG` cannot be read, or a log is installed already.
pub fn of_service(json: bool) -> anyhow::Result<()> {
    let filter = filter(LevelFilter::INFO)?;
    let (lines, objects) = if json {
        (None, Some(fmt::layer().json().flatten_event(true).with_writer(io::stderr)))
    } else {
        let colour = Paint::of(&io::stderr()).is_on();
        let lines = fmt::layer().with_ansi(colour).with_target(false).with_timer(Now).fmt_fields(Sentence);
        (Some(lines.with_writer(io::stderr)), None)
    };
    tracing_subscriber::registry().with(filter).with(lines).with(objects).try_init().context("no log")
}

/// Everything that is worth telling in a file, which is added to.
///
/// # Errors
/// When `RUST_LOG` cannot be read, the file cannot be written, or a log is installed already.
pub fn to_file(path: &Path) -> anyhow::Result<()> {
    let file: File = OpenOptions::new()
        .create(true)
        .append(true)
        .mode(MODE)
        .open(path)
        .with_context(|| format!("cannot write the log {}", path.display()))?;
    let filter = filter(LevelFilter::INFO)?;
    let lines = fmt::layer().with_ansi(false).with_writer(Arc::new(file));
    tracing_subscriber::registry().with(filter).with(lines).try_init().context("no log")
}

/// The time of a line, to the millisecond, in UTC.
struct Now;

impl FormatTime for Now {
    fn format_time(&self, out: &mut Writer<'_>) -> words::Result {
        write!(out, "{}", SystemClock.now())
    }
}

/// A line as a sentence: its message, and of its fields those that the message does not say already. Foreign text in it
/// cannot begin a line of its own or steer the terminal.
struct Sentence;

impl<'writer> FormatFields<'writer> for Sentence {
    fn format_fields<R: RecordFields>(&self, mut out: Writer<'writer>, fields: R) -> words::Result {
        let mut heard = Heard::default();
        fields.record(&mut heard);
        let message = harmless(&heard.message.replace('\n', " "));
        write!(out, "{message}")?;
        for (name, value) in heard.fields {
            let value = harmless(&value.replace('\n', " "));
            if !says(&message, &value) {
                write!(out, " {name}={value}")?;
            }
        }
        Ok(())
    }
}

/// Whether a message has a value in it, as a word of its own.
fn says(message: &str, value: &str) -> bool {
    let part = |letter: Option<char>| letter.is_some_and(|letter| letter.is_alphanumeric() || letter == '_');
    let alone = |(at, found): (usize, &str)| {
        let (before, after) = (message.get(..at), message.get(at + found.len()..));
        !part(before.and_then(|text| text.chars().next_back()))
            && !part(after.and_then(|text| text.chars().next()))
    };
    message.match_indices(value).any(alone)
}

/// The fields of a line.
#[derive(Default)]
struct Heard {
    message: String,
    fields: Vec<(&'static str, String)>,
}

impl Visit for Heard {
    fn record_debug(&mut self, field: &Field, value: &dyn Debug) {
        let text = format!("{value:?}");
        match field.name() {
            "message" => self.message = text,
            name => self.fields.push((name, text)),
        }
    }
}

/// `RUST_LOG` (`LEVEL`, or `TARGET=LEVEL` separated by commas), or `level` where it says nothing.
fn filter(level: LevelFilter) -> anyhow::Result<Targets> {
    match env::var("RUST_LOG") {
        Ok(wish) if !wish.is_empty() => {
            let targets: Targets = wish.parse().with_context(|| format!("RUST_LOG={wish} makes no sense"))?;
            Ok(targets)
        }
        Ok(_) | Err(env::VarError::NotPresent) => Ok(Targets::new().with_default(level)),
        Err(error) => Err(error).context("RUST_LOG makes no sense"),
    }
}

#[cfg(test)]
mod tests {
    use std::sync::Mutex;

    use super::*;

    #[test]
    fn a_line_says_each_thing_once_and_nobody_can_forge_another() {
        let written = Arc::new(Mutex::new(Vec::new()));
        let lines = fmt::layer().with_ansi(false).with_target(false).with_timer(Now).fmt_fields(Sentence);
        let lines = lines.with_writer(Mutex::new(Shared(Arc::clone(&written))));
        tracing::subscriber::with_default(tracing_subscriber::registry().with(lines), || {
            let id = "0x3307aa8c";
            tracing::info!(order.id = %id, fee = 7, "posted order {id}");
            tracing::warn!(error = %"no\nforged line\u{1b}[2J", "odd");
        });
        let text = String::from_utf8(written.lock().unwrap().clone()).unwrap();
        let lines: Vec<&str> = text.lines().collect();
        assert!(lines[0].ends_with("INFO posted order 0x3307aa8c fee=7"), "{text}");
        assert!(lines[1].ends_with("WARN odd error=no forged line[2J") && lines.len() == 2, "{text}");
    }

    struct Shared(Arc<Mutex<Vec<u8>>>);

    impl io::Write for Shared {
        fn write(&mut self, bytes: &[u8]) -> io::Result<usize> {
            self.0.lock().unwrap().extend_from_slice(bytes);
            Ok(bytes.len())
        }

        fn flush(&mut self) -> io::Result<()> {
            Ok(())
        }
    }
}
