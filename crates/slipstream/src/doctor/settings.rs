//! The configuration: all its mistakes, and what its files give away.

use std::os::unix::fs::PermissionsExt as _;

use tracing_subscriber::filter::Targets;

use super::finding::Finding;
use crate::configuration::{ConfigFile, Configuration, FILE, Mistakes, NAMED_VARIABLES, PREFIX};

const AREA: &str = "configuration";

/// What is in force, with defaults in place of what is wrong, and what was found.
pub(super) fn look(config: &ConfigFile) -> (Configuration, Vec<Finding>) {
    let (configuration, mistakes) = config.configured_anyway();
    let mut findings = Vec::new();
    match (config.file(), &mistakes) {
        (_, Some(mistakes)) => findings.extend(told(mistakes)),
        (None, None) => findings.push(Finding::warn(
            (AREA, "file"),
            format!("no {FILE} here and none is named: defaults are in force"),
            "`slipstream init` writes one, --config names one",
        )),
        (Some(file), None) => {
            let name = file.display();
            findings.push(Finding::ok((AREA, "file"), format!("{name}: {} keys set", configuration.set())));
        }
    }
    findings.extend(readable(config, &configuration));
    findings.extend(environment());
    (configuration, findings)
}

fn told(mistakes: &Mistakes) -> Vec<Finding> {
    let one = |mistake: &crate::configuration::Mistake| {
        let subject = if mistake.subject.is_empty() { "the file" } else { &mistake.subject };
        Finding::fail(
            (AREA, mistakes.place(mistake)),
            format!("{subject} {}", mistake.text),
            "correct it; `slipstream config reference` describes every key",
        )
    };
    mistakes.list().iter().map(one).collect()
}

/// URLs of providers may carry keys.
fn readable(config: &ConfigFile, configuration: &Configuration) -> Option<Finding> {
    let file = config.file()?;
    let mode = file.metadata().ok()?.permissions().mode() & 0o777;
    let keys = configuration.chain.rpc_urls.iter().any(|url| {
        let rest = url.expose().split_once("://").map_or("", |(_, rest)| rest);
        rest.trim_end_matches('/').contains(['/', '?', '@'])
    });
    (keys && mode & 0o077 != 0).then(|| {
        Finding::warn(
            (AREA, "permissions"),
            format!(
                "others may read {} (mode {mode:o}), and URLs of its providers may carry keys",
                file.display()
            ),
            "run `chmod 600` on it",
        )
    })
}

/// Which of our variables are set; a log that cannot be made would end `run`.
fn environment() -> Vec<Finding> {
    let ours =
        |name: &String| name.starts_with(PREFIX) || NAMED_VARIABLES.iter().any(|(.., known)| known == name);
    let mut names: Vec<String> =
        std::env::vars_os().map(|(name, _)| name.to_string_lossy().into_owned()).collect();
    names.retain(ours);
    names.sort();
    let set = if names.is_empty() { "none of ours is set".to_owned() } else { names.join(", ") };
    let mut findings = vec![Finding::ok((AREA, "environment"), set)];
    if let Ok(wish) = std::env::var("RUST_LOG")
        && !wish.is_empty()
        && wish.parse::<Targets>().is_err()
    {
        findings.push(Finding::fail(
            (AREA, "RUST_LOG"),
            "makes no sense, so nothing that writes a log starts",
            "give a level (`debug`) or `target=level`, or unset it",
        ));
    }
    findings
}
