//! Where the program's own words go: to standard error, or to a file while something else draws there.
//! Says nothing itself and never decides what is worth saying; `RUST_LOG` does.

use std::{
    env,
    fs::{File, OpenOptions},
    io,
    os::unix::fs::OpenOptionsExt,
    path::Path,
    sync::Arc,
};

use anyhow::Context;
use tracing_subscriber::{
    filter::{LevelFilter, Targets},
    fmt,
    layer::SubscriberExt,
    util::SubscriberInitExt,
};

use crate::demo::paint::Paint;

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
        (Some(fmt::layer().with_ansi(colour).with_target(false).with_writer(io::stderr)), None)
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
