//! `slipstream completions` and `slipstream man`: what a shell and `man` know of the command line, written from its
//! definition.

use std::{
    fs,
    path::{Path, PathBuf},
};

use anyhow::Context;
use clap::{Command, CommandFactory as _};
use clap_complete::Shell;
use clap_mangen::Man;
use serde_json::json;

use crate::{cli::Cli, commands::Answer};

/// Name of the program.
const NAME: &str = "slipstream";

/// What every command ends with.
const EXIT: &str = "Exit status: 0 done, 1 not done (with the reason and what to do), 2 the flags or the configuration cannot be \
                    understood.";

/// Examples of the commands whose own definition has none, by their words.
const EXAMPLES: &[(&str, &str)] = &[
    (
        "demo",
        "slipstream demo --speed 100 --faults
slipstream demo --leader 0x1e1e1e1e1e1e1e1e1e1e1e1e1e1e1e1e1e1e1e1e
slipstream demo --data-dir data --headless",
    ),
    (
        "run",
        "slipstream init && slipstream run
slipstream run --config /etc/slipstream.toml --json   # for a service manager",
    ),
    ("worker", "slipstream worker --data-dir /var/lib/slipstream/worker-1 --json"),
    ("watcher", "slipstream watcher --data-dir /var/lib/slipstream/watcher-1 --json"),
    ("backend", "slipstream backend --data-dir /var/lib/slipstream/backend --json"),
    ("instance list", "slipstream instance list"),
    ("instance ended", "slipstream instance ended host-0123456789abcdef-4026531836-812-90210-1f2e3d4c"),
    ("leader top", "slipstream leader top --period month"),
    ("leader search", "slipstream leader search theo"),
    ("leader show", "slipstream leader show 0x1e1e1e1e1e1e1e1e1e1e1e1e1e1e1e1e1e1e1e1e"),
    ("leader add", "slipstream leader add 0x1e1e1e1e1e1e1e1e1e1e1e1e1e1e1e1e1e1e1e1e"),
    ("leader list", "slipstream leader list --json"),
    ("following", "slipstream following"),
    (
        "panic",
        "slipstream panic                # then: slipstream holds, slipstream lift 1
slipstream panic --keep-exits   # buys stop, sales go on",
    ),
    (
        "restore",
        "slipstream restore /backups/slipstream.db   # nothing may run; everything is held afterwards",
    ),
    ("export", "slipstream export ledger > ledger.csv"),
    (
        "bench scale",
        "slipstream bench scale
slipstream bench scale --costs report.json --trades-a-day 50",
    ),
    (
        "certify",
        "slipstream certify                 # the simulated venue
slipstream certify --patience 5",
    ),
    (
        "config check",
        "slipstream config check
slipstream config check /etc/slipstream.toml",
    ),
    ("config reference", "slipstream config reference > slipstream.toml"),
    (
        "inspect",
        "slipstream inspect trade 0x5731
slipstream inspect order 0x9f3c --json
slipstream inspect relationship 1",
    ),
    ("positions", "slipstream positions"),
    ("activity", "slipstream activity --limit 100"),
    ("verify", "slipstream verify"),
    ("account list", "slipstream account list"),
    ("account disarm", "slipstream account disarm main"),
    ("account remove", "slipstream account remove practice"),
    (
        "signer rotate",
        "slipstream signer rotate                # asks for a new passphrase
slipstream signer rotate --to new-identity.txt",
    ),
    (
        "user invite",
        "slipstream user invite                  # the first link makes the administrator
slipstream user invite --role operator",
    ),
    ("user list", "slipstream user list"),
    ("user disable", "slipstream user disable bob\nslipstream user disable bob --undo"),
    ("user reset", "slipstream user reset bob\nslipstream user reset bob --without-app"),
    (
        "token create",
        "slipstream token create grafana
slipstream token create robot --scope read --scope trade --address 192.0.2.7 --days 90",
    ),
    ("token list", "slipstream token list --user bob"),
    ("token revoke", "slipstream token revoke 3"),
    ("sources", "slipstream sources"),
    ("rpc status", "slipstream rpc status"),
    ("rpc reload", "slipstream rpc reload   # after `rpc_urls` was changed"),
    ("rpc check", "slipstream rpc check"),
    ("pause", "slipstream pause 7"),
    ("resume", "slipstream resume 7"),
    ("stop", "slipstream stop 7"),
    ("holds", "slipstream holds"),
    ("lift", "slipstream lift 3"),
    ("completions", "source <(slipstream completions bash)"),
    ("man", "slipstream man ~/.local/share/man/man1"),
    ("simulator", "slipstream simulator --clob-port 8099 --control-port 8098"),
];

/// The command line with examples for each command, and what exit statuses mean.
#[must_use]
pub fn command() -> Command {
    explained(Cli::command().after_help(EXIT), "")
}

fn explained(command: Command, words: &str) -> Command {
    let names: Vec<String> = command.get_subcommands().map(|one| one.get_name().to_owned()).collect();
    if names.is_empty() {
        let example = EXAMPLES.iter().find(|(known, _)| *known == words);
        let own = command.get_after_help().map(ToString::to_string);
        let lines = example.map(|(_, lines)| format!("Examples:\n  {}", lines.replace('\n', "\n  ")));
        let text = own.or(lines).unwrap_or_default();
        let told = if text.contains("Exit status") { text } else { format!("{text}\n\n{EXIT}") };
        return command.after_help(told.trim_start().to_owned());
    }
    names.into_iter().fold(command, |command, name| {
        let words = format!("{words} {name}");
        command.mut_subcommand(name, |one| explained(one, words.trim_start()))
    })
}

/// Completions of a shell, to be sourced by it.
///
/// # Errors
/// When they are no text, which would be a mistake of the library.
pub fn completions(shell: Shell) -> anyhow::Result<Answer> {
    let mut written = Vec::new();
    clap_complete::generate(shell, &mut command(), NAME, &mut written);
    let text = String::from_utf8(written).context("the completions are no text")?;
    Ok(Answer { json: json!(text), text, ok: true })
}

/// Writes a page for each command into a directory.
///
/// # Errors
/// When it cannot be written.
pub fn pages(directory: &Path) -> anyhow::Result<Answer> {
    std::fs::create_dir_all(directory).with_context(|| format!("cannot make {}", directory.display()))?;
    let mut root = command().disable_help_subcommand(true);
    root.build();
    write_pages(&root, directory).with_context(|| format!("cannot write to {}", directory.display()))?;
    let place: PathBuf = directory.join(format!("{NAME}.1"));
    Ok(Answer {
        text: format!("wrote {} and a page for each command", place.display()),
        json: json!(directory),
        ok: true,
    })
}

/// The page of a command, and of each below it.
fn write_pages(command: &Command, directory: &Path) -> std::io::Result<()> {
    for below in command.get_subcommands().filter(|one| !one.is_hide_set()) {
        write_pages(below, directory)?;
    }
    // What stands after the help is examples and exit statuses, whose lines stay as they are.
    let after = command.get_after_help().map(ToString::to_string).unwrap_or_default();
    let man = Man::new(command.clone());
    let mut page = Vec::new();
    man.render_title(&mut page)?;
    man.render_name_section(&mut page)?;
    man.render_synopsis_section(&mut page)?;
    man.render_description_section(&mut page)?;
    if command.get_arguments().any(|argument| !argument.is_hide_set()) {
        man.render_options_section(&mut page)?;
    }
    if command.has_subcommands() {
        man.render_subcommands_section(&mut page)?;
    }
    page.extend_from_slice(sections(&after).as_bytes());
    fs::write(directory.join(man.get_filename()), page)
}

/// Examples as they are typed, and the rest as text, in the language of `man`.
fn sections(after: &str) -> String {
    let mut out = String::new();
    let mut typed = false;
    for line in after.lines() {
        let begins = ["Examples:", "Example:"].contains(&line.trim());
        let ends = typed && !line.is_empty() && !line.starts_with(' ');
        if ends {
            out.push_str(".fi\n");
            typed = false;
        }
        if begins {
            out.push_str(".SH EXAMPLES\n.nf\n");
            typed = true;
        } else if let Some(statuses) = line.strip_prefix("Exit status: ") {
            out.push_str(&format!(".SH \"EXIT STATUS\"\n{}\n", escaped(statuses)));
        } else if typed || !line.is_empty() {
            out.push_str(&format!("{}\n", escaped(line)));
        }
    }
    if typed {
        out.push_str(".fi\n");
    }
    out
}

/// A line in which `man` finds nothing to do.
fn escaped(line: &str) -> String {
    let line = line.replace('\\', "\\\\").replace('-', "\\-");
    if line.starts_with(['.', '\'']) { format!("\\&{line}") } else { line }
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
        for command in command().get_subcommands() {
            let page = directory.path().join(format!("{NAME}-{}.1", command.get_name()));
            assert!(page.is_file(), "{}", page.display());
            let text = fs::read_to_string(&page).unwrap();
            assert!(!text.contains(".SH EXTRA"), "{text}");
        }
        let page = fs::read_to_string(directory.path().join("slipstream-edit.1")).unwrap();
        for part in [".SH EXAMPLES\n.nf\n  slipstream edit 3", ".fi\n", ".SH \"EXIT STATUS\""] {
            assert!(page.contains(part), "{part}: {page}");
        }
    }

    /// Commands without commands of their own, by their words.
    fn leaves(command: &Command, words: &str, found: &mut Vec<(String, String)>) {
        for one in command.get_subcommands() {
            let words = format!("{words} {}", one.get_name());
            if one.has_subcommands() {
                leaves(one, &words, found);
            } else {
                let told = one.get_after_help().map(ToString::to_string).unwrap_or_default();
                found.push((words.trim_start().to_owned(), told));
            }
        }
    }

    /// The words of an example, as a shell would hand them over.
    fn words(line: &str) -> Vec<String> {
        let end = line.find(['#', '|', '>']).unwrap_or(line.len());
        let line = line[..end].split(" && ").last().unwrap();
        line.replace("$(date +%F)", "today").split_whitespace().map(str::to_owned).collect()
    }

    #[test]
    fn every_command_has_examples_that_are_understood_and_says_what_its_exit_status_means() {
        let mut found = Vec::new();
        leaves(&command(), "", &mut found);
        assert!(found.len() >= 40, "{}", found.len());
        let mut tried = 0;
        for (name, told) in &found {
            assert!(told.contains("Exit status"), "{name}: {told}");
            let examples: Vec<&str> =
                told.lines().map(str::trim).filter(|line| line.starts_with("slipstream ")).collect();
            let elsewhere = ["source <(slipstream", "age -r"].iter().any(|begin| told.contains(begin));
            assert!(!examples.is_empty() || elsewhere, "{name} has no example: {told}");
            for line in examples {
                let read = command().try_get_matches_from(words(line));
                assert!(read.is_ok(), "{line}: {}", read.unwrap_err());
                tried += 1;
            }
        }
        assert!(tried >= found.len(), "{tried} examples");
        for (words, _) in EXAMPLES {
            assert!(found.iter().any(|(name, _)| name == words), "there is no `{words}`");
        }
    }
}
