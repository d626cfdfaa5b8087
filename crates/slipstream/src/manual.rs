//! `slipstream completions` and `slipstream man`: what a shell and `man` know of the command line, written from its
//! definition.

use std::path::{Path, PathBuf};

use anyhow::Context;
use clap::CommandFactory as _;
use clap_complete::Shell;
use serde_json::json;

use crate::{cli::Cli, commands::Answer};

/// Name of the program.
const NAME: &str = "slipstream";

/// Completions of a shell, to be sourced by it.
///
/// # Errors
/// When they are no text, which would be a mistake of the library.
pub fn completions(shell: Shell) -> anyhow::Result<Answer> {
    let mut written = Vec::new();
    clap_complete::generate(shell, &mut Cli::command(), NAME, &mut written);
    let text = String::from_utf8(written).context("the completions are no text")?;
    Ok(Answer { json: json!(text), text, ok: true })
}

/// Writes a page for each command into a directory.
///
/// # Errors
/// When it cannot be written.
pub fn pages(directory: &Path) -> anyhow::Result<Answer> {
    std::fs::create_dir_all(directory).with_context(|| format!("cannot make {}", directory.display()))?;
    clap_mangen::generate_to(Cli::command(), directory)
        .with_context(|| format!("cannot write to {}", directory.display()))?;
    let place: PathBuf = directory.join(format!("{NAME}.1"));
    Ok(Answer {
        text: format!("wrote {} and a page for each command", place.display()),
        json: json!(directory),
        ok: true,
    })
}

#[cfg(test)]
mod tests {
    use clap::ValueEnum as _;

    use super::*;

    #[test]
    fn every_shell_and_every_command_is_served() {
        for shell in Shell::value_variants() {
            let text = completions(*shell).unwrap().text;
            assert!(text.contains("follow") && text.contains("cap-market"), "{shell}");
        }
        let directory = tempfile::tempdir().unwrap();
        pages(directory.path()).unwrap();
        for command in Cli::command().get_subcommands() {
            let page = directory.path().join(format!("{NAME}-{}.1", command.get_name()));
            assert!(page.is_file(), "{}", page.display());
        }
    }
}
