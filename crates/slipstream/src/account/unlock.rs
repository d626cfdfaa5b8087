//! Where what opens the keys is found: a file, a systemd credential, or a person at the terminal.

use std::path::{Path, PathBuf};

use anyhow::{Context, ensure};
use signer::{Unlock, read_private};
use zeroize::Zeroizing;

use crate::{configuration::keys::LiveSettings, terminal};

/// Name of the credential. Source: systemd.exec(5), `LoadCredential=`.
const CREDENTIAL: &str = "slipstream-keys";
/// The directory that systemd makes for a unit's credentials.
const CREDENTIALS: &str = "CREDENTIALS_DIRECTORY";

/// What can open keys without asking anybody; `None` when somebody has to be asked.
///
/// # Errors
/// When there is such a thing and it cannot be used.
pub fn silently(live: &LiveSettings) -> anyhow::Result<Option<Unlock>> {
    if let Some(file) = &live.key_file {
        return of_file(file).map(Some);
    }
    let credential = std::env::var_os(CREDENTIALS).map(|directory| PathBuf::from(directory).join(CREDENTIAL));
    credential.filter(|file| file.exists()).map(|file| of_credential(&file)).transpose()
}

/// What opens keys, in a file that its owner alone reads.
///
/// # Errors
/// In words, with what to do.
pub fn of_file(file: &Path) -> anyhow::Result<Unlock> {
    hardened()?;
    let shown = file.display();
    let bytes = read_private(file).with_context(|| format!("what opens the keys, {shown}"))?;
    Unlock::read(&bytes).with_context(|| format!("what opens the keys, {shown}"))
}

/// The service manager alone decides who reads a credential, also by access lists, which its mode does not tell.
fn of_credential(file: &Path) -> anyhow::Result<Unlock> {
    hardened()?;
    let shown = file.display();
    let bytes = std::fs::read(file).map(Zeroizing::new);
    let bytes = bytes.with_context(|| format!("what opens the keys, {shown}"))?;
    Unlock::read(&bytes).with_context(|| format!("what opens the keys, {shown}"))
}

/// What opens the keys there are; asks for a passphrase where nothing else is configured.
///
/// # Errors
/// In words, with what to do.
pub fn known(live: &LiveSettings) -> anyhow::Result<Unlock> {
    match silently(live)? {
        Some(unlock) => Ok(unlock),
        None => ask("Passphrase of the keys: "),
    }
}

/// What is to open the first key.
///
/// # Errors
/// In words, with what to do.
pub fn new(live: &LiveSettings) -> anyhow::Result<Unlock> {
    match silently(live)? {
        Some(unlock) => Ok(unlock),
        None => new_passphrase(),
    }
}

/// A new passphrase, asked for twice.
///
/// # Errors
/// In words, with what to do.
pub fn new_passphrase() -> anyhow::Result<Unlock> {
    hardened()?;
    let first = asked("A passphrase for the keys of this installation (without it they are lost): ")?;
    let second = asked("Once more: ")?;
    ensure!(first == second, "the two passphrases differ; nothing was changed");
    Ok(Unlock::passphrase(first)?)
}

fn ask(question: &str) -> anyhow::Result<Unlock> {
    hardened()?;
    Ok(Unlock::passphrase(asked(question)?)?)
}

fn asked(question: &str) -> anyhow::Result<Zeroizing<String>> {
    terminal::ask_secret(question).context(
        "keys are opened by a passphrase typed at a terminal, by `key_file` of [live], or by the systemd credential \
         `slipstream-keys`",
    )
}

/// This process may open keys from here on.
///
/// # Errors
/// When it could be dumped.
pub fn hardened() -> anyhow::Result<()> {
    let hardened = signer::harden().context("memory dumps cannot be forbidden, so no key is opened")?;
    if let Some(why) = hardened.swappable {
        tracing::debug!("memory may be swapped out: {why}");
    }
    Ok(())
}

#[cfg(test)]
mod tests {
    use std::{fs, os::unix::fs::PermissionsExt as _};

    use super::*;

    #[test]
    fn a_file_opens_keys_if_its_owner_alone_reads_it() {
        let directory = tempfile::tempdir().unwrap();
        let file = directory.path().join("keys");
        let live = LiveSettings { key_file: Some(file.clone()), ..LiveSettings::default() };
        let with = |text: &str, mode: u32| {
            fs::write(&file, text).unwrap();
            fs::set_permissions(&file, fs::Permissions::from_mode(mode)).unwrap();
            silently(&live).map(|unlock| unlock.is_some()).map_err(|error| format!("{error:#}"))
        };
        assert_eq!(with("correct horse battery staple\n", 0o600), Ok(true));
        assert!(with("correct horse battery staple\n", 0o640).unwrap_err().contains("chmod 600"));
        let short = with("s3cret", 0o600).unwrap_err();
        assert!(short.contains("shorter") && !short.contains("s3cret"), "{short}");
        assert!(silently(&LiveSettings::default()).unwrap().is_none());
    }
}
