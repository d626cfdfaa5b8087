//! The reference, written from the table of keys, so that it cannot say anything else than what is read.

use super::{
    keys::{ACCESS, CHAIN, DATABASE, DEMO, ENGINE, FOLLOWER, Key, LIVE, QUEUE, RUN, Sample, VENUE, WEB},
    read::variable,
};
use crate::wording::wrapped;

/// Width of comments.
const WIDTH: usize = 96;

/// A key that is set: section, name, value as TOML.
pub type Chosen<'a> = (&'a str, &'a str, String);

/// Every key with its meaning, as a file in which everything is commented out.
#[must_use]
pub fn toml() -> String {
    toml_with(&[])
}

/// The same with some keys set, each where it belongs: a key that stood twice would be refused.
#[must_use]
pub fn toml_with(chosen: &[Chosen<'_>]) -> String {
    let mut out = String::from(
        "# Every key of slipstream.toml, with what holds without it. Uncomment what you change, and the\n\
         # [section] above it.\n",
    );
    let about = "The installation: `slipstream run`, and the commands on it.";
    section(&mut out, "[run]", about, (Some("run"), chosen), RUN);
    let about = "An installation of many processes: the database they share.";
    section(&mut out, "[database]", about, (Some("database"), chosen), DATABASE);
    let about = "An installation of many processes: where orders wait for workers.";
    section(&mut out, "[queue]", about, (Some("queue"), chosen), QUEUE);
    section(&mut out, "[web]", "The pages and the API.", (Some("web"), chosen), WEB);
    let about = "Who may use the pages and the API, once they are open to more than this machine.";
    section(&mut out, "[access]", about, (Some("access"), chosen), ACCESS);
    section(&mut out, "[demo]", "The demo: `slipstream demo`.", (Some("demo"), chosen), DEMO);
    section(&mut out, "[engine]", "The engine.", (Some("engine"), chosen), ENGINE);
    section(&mut out, "[chain]", "Polygon.", (Some("chain"), chosen), CHAIN);
    let about = "The venue: how fast it may be called, and who is named to it. Its replies tell more, which counts \
                 from then on: the tier, what is left, how long to wait.";
    section(&mut out, "[venue]", about, (Some("venue"), chosen), VENUE);
    section(&mut out, "[live]", "Real money.", (Some("live"), chosen), LIVE);
    let about = "A follower, who copies every leader. Repeat the section for each; they stand in place of the \
                 built-in ones.";
    section(&mut out, "[[follower]]", about, (None, chosen), FOLLOWER);
    out
}

fn section<S: 'static>(
    out: &mut String,
    header: &str,
    about: &str,
    (variables, chosen): (Option<&str>, &[Chosen<'_>]),
    keys: &[Key<S>],
) {
    let chosen_here: Vec<_> = chosen.iter().filter(|(of, ..)| Some(*of) == variables).collect();
    let mark = if chosen_here.is_empty() { "#" } else { "" };
    out.push_str("\n\n");
    comment(out, about);
    out.push_str(&format!("{mark}{header}\n"));
    for key in keys {
        out.push('\n');
        comment(out, key.about);
        let mut value = sentence(&key.kind.expected());
        if let Some(section) = variables {
            value.push_str(&format!(" {}", variable(section, key.name)));
        }
        comment(out, &value);
        if let Some((.., value)) = chosen_here.iter().find(|(_, name, _)| *name == key.name) {
            out.push_str(&format!("{} = {value}\n", key.name));
            continue;
        }
        let example = match key.sample {
            Sample::Default(_) => "",
            Sample::Example(_) => "  # example",
        };
        out.push_str(&format!("#{} = {}{example}\n", key.name, key.kind.toml(key.sample.word())));
    }
}

/// `text` with a capital letter and a full stop.
fn sentence(text: &str) -> String {
    let mut letters = text.chars();
    let first = letters.next().map(|first| first.to_ascii_uppercase());
    first.into_iter().chain(letters).chain(['.']).collect()
}

/// Comment lines of whole words.
fn comment(out: &mut String, text: &str) {
    for line in wrapped(text, WIDTH - 2) {
        out.push_str(&format!("# {line}\n"));
    }
}

/// The same as a page of the documentation.
#[must_use]
pub fn markdown() -> String {
    format!(
        "# Configuration\n\
         \n\
         Written by `slipstream config reference --markdown`; a test compares. Change the table of keys in\n\
         `crates/slipstream/src/configuration/keys.rs` and write it again.\n\
         \n\
         ```sh\n\
         slipstream config reference > slipstream.toml   # a file to begin with\n\
         slipstream config check slipstream.toml         # what is in force and why, or every mistake\n\
         slipstream demo --config slipstream.toml\n\
         ```\n\
         \n\
         Settings come from one TOML file, which `--config` or `SLIPSTREAM_CONFIG` names. Variables of the\n\
         environment win over the file, flags win over both. `run` and the commands on an installation take\n\
         `slipstream.toml` of the working directory where no file is named.\n\
         \n\
         - A key, section or variable that nobody reads is refused, not ignored. All mistakes are told at once,\n\
         \x20 each with its line and column; nothing is started and the exit status is 2.\n\
         - Amounts are dollars, shares of something and prices are plain numbers: `25`, `0.05`. They are read by\n\
         \x20 their digits, exactly. There are no units but for times: `\"30s\"`.\n\
         - A variable is refused when it begins like a section's or is nearly one that is known; an empty one is a\n\
         \x20 value like any other.\n\
         - Paths in the file are relative to the file, elsewhere to the working directory.\n\
         - A secret is never a value here, but URLs of providers and servers may carry keys and passwords: of those\n\
         \x20 only the host is ever shown. Values of unknown keys, and values that look like a key or a mnemonic, are not repeated in\n\
         \x20 messages.\n\
         \n\
         ```toml\n{}```\n",
        toml()
    )
}
