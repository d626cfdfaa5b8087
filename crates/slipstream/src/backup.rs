//! `slipstream backup` and `slipstream restore`: a copy of the database while everything runs, and putting one back so
//! that nothing is signed on it before somebody has looked.

use std::{
    fs,
    os::unix::fs::DirBuilderExt as _,
    path::{Path, PathBuf},
    sync::Arc,
};

use anyhow::{Context, ensure};
use domain::{Clock, ids::HoldId};
use engine::ports::{
    following::{Account, AccountMode, Following as _, HoldCause, HoldScope, NewHold},
    reports::Reports as _,
};
use serde_json::json;
use store::SqlStore;

use crate::{
    cli::Installation,
    clock::SystemClock,
    commands::{Answer, DATABASE, Request},
    configuration::{ConfigFile, Configuration, Mistakes},
    db_command,
    run::rewound,
    secrets, socket,
};

/// The file whose date says when `backup` was run last.
pub const LAST_BACKUP: &str = "backup.last";
/// What the database that was there is called after a restore.
const BEFORE: &str = "slipstream.db.before-restore";
/// The directory in which a restored database is made ready.
pub(crate) const ROOM: &str = "restoring";

/// Arguments of `backup`.
#[derive(Debug, clap::Args)]
#[command(after_help = "Example:\n  slipstream backup /backups/slipstream-$(date +%F).db   # while it runs")]
pub struct BackupArgs {
    /// The file to write; it must not be there yet.
    pub to: PathBuf,
    /// Where the installation is.
    #[command(flatten)]
    pub at: Installation,
}

/// Arguments of `restore`.
#[derive(Debug, clap::Args)]
#[command(after_help = "Examples:
  slipstream restore today.db                       # in place of the file that is there, which is kept
  slipstream restore today.db --to file:owner.url   # into an empty database on a server, as its owner")]
pub struct RestoreArgs {
    /// A file that `backup` wrote.
    pub from: PathBuf,
    /// Into this database on a server, which is empty: its owner's address, or `file:PATH` of a file with mode 600 that
    /// holds it [default: `url` of `[database]`, else the file in the data directory].
    #[arg(long, value_name = "URL")]
    pub to: Option<String>,
    /// Where the installation is.
    #[command(flatten)]
    pub at: Installation,
}

/// Copies the database.
///
/// # Errors
/// In words, with what to do.
pub async fn backup(arguments: &BackupArgs) -> anyhow::Result<Answer> {
    let configured = ConfigFile::of_environment().configured_anyway();
    if let Some(url) = &configured.0.database.url {
        return db_command::backup(url, &arguments.to).await;
    }
    let directory = arguments.at.directory()?;
    let file = directory.join(DATABASE);
    is_a_file(&file, configured)?;
    ensure!(file.exists(), "there is no Slipstream data in {}", directory.display());
    ensure!(!arguments.to.exists(), "{} is there already: name another file", arguments.to.display());
    store::backup(&file, &arguments.to).await?;
    let bytes = fs::metadata(&arguments.to)?.len();
    // For `slipstream doctor`; a directory that cannot be written is told there.
    let _ = fs::write(directory.join(LAST_BACKUP), SystemClock.now().to_string());
    let text = format!(
        "wrote {} ({bytes} bytes). Without {} orders cannot be recomputed and paper accounts have other keys: keep a copy \
         of it too, apart from this one",
        arguments.to.display(),
        directory.join(secrets::FILE).display(),
    );
    Ok(Answer { text, json: json!({ "file": arguments.to, "bytes": bytes }), ok: true })
}

/// Puts a copy in place of the database, and holds everything: orders that were made after it are not known here.
///
/// # Errors
/// In words, with what to do; then the database is as it was.
pub async fn restore(arguments: &RestoreArgs) -> anyhow::Result<Answer> {
    let configured = ConfigFile::of_environment().configured_anyway();
    if let Some(word) = &arguments.to {
        return db_command::restore(&db_command::read(word)?, &arguments.from, &arguments.at).await;
    }
    if let Some(url) = &configured.0.database.url {
        let directory = arguments.at.directory()?;
        ensure!(
            socket::ask(&directory, &Request::Ping).await?.is_none(),
            "a process runs on {}; stop it first, and all others of this installation, or name another database by --to",
            directory.display()
        );
        return db_command::restore(url, &arguments.from, &arguments.at).await;
    }
    // Before anything is made.
    ensure!(arguments.from.is_file(), "there is no file {}", arguments.from.display());
    let directory = arguments.at.directory()?;
    is_a_file(&directory.join(DATABASE), configured)?;
    ensure!(
        socket::ask(&directory, &Request::Ping).await?.is_none(),
        "a process runs on {}; stop it first",
        directory.display()
    );
    let room = directory.join(ROOM);
    let answer = restore_by(&arguments.from, &directory, &room).await;
    // What is left there is of use to nobody.
    let _ = fs::remove_dir_all(&room);
    answer
}

async fn restore_by(from: &Path, directory: &Path, room: &Path) -> anyhow::Result<Answer> {
    let held = held_copy(from, room).await?;
    let (file, before) = (directory.join(DATABASE), name_before(directory));
    let was_there = file.exists();
    store::put_in_place(&room.join(DATABASE), &file, &before).await?;
    rewound::forget(directory);
    let next = if held.live {
        "`slipstream run` settles what it knows, compares the wallets with the books, and says then which `slipstream lift` \
         lets it trade again. Lift nothing before: it could buy again what was bought after the backup"
            .to_owned()
    } else {
        format!("No account has real money: `slipstream lift {}` lets it go on", held.hold)
    };
    let text = format!(
        "restored {}. Everything is held. {next}.{}",
        from.display(),
        if was_there { format!(" What was there is {}", before.display()) } else { String::new() },
    );
    let mut text = text;
    if !directory.join(secrets::FILE).exists() {
        text.push_str(&format!(
            "\n{} is not there: put its copy in place before `run`; without it orders cannot be recomputed, and paper \
             accounts have other keys",
            directory.join(secrets::FILE).display()
        ));
    }
    let before = was_there.then_some(before);
    Ok(Answer { text, json: json!({ "hold": held.hold, "before": before }), ok: true })
}

/// A copy with a hold on everything.
pub(crate) struct Held {
    pub(crate) hold: HoldId,
    /// Whether it has accounts with real money.
    pub(crate) live: bool,
}

/// Copies a backup into a room of its own and holds everything there, before anybody can work on it.
pub(crate) async fn held_copy(from: &Path, room: &Path) -> anyhow::Result<Held> {
    let _ = fs::remove_dir_all(room);
    fs::DirBuilder::new()
        .recursive(true)
        .mode(0o700)
        .create(room)
        .with_context(|| format!("cannot make {}", room.display()))?;
    let (file, clock): (_, Arc<dyn Clock>) = (room.join(DATABASE), Arc::new(SystemClock));
    ensure!(from.is_file(), "there is no file {}", from.display());
    // Reading it whole is the test that it can be read.
    let read = store::backup(from, &file).await;
    read.with_context(|| format!("{} is no backup that can be read", from.display()))?;
    let store = SqlStore::open(&file, Arc::clone(&clock)).await?;
    let hold = NewHold {
        scope: HoldScope::Installation,
        cause: HoldCause::Reconciliation,
        reason: "restored from a backup: what was ordered after it is not known here".to_owned(),
        stops_exits: true,
        sells: false,
        expires_at: None,
    };
    let hold = store.place_hold(None, &hold, clock.now()).await?;
    store.begin_epoch(clock.now()).await?;
    let live = has_real_money(&store.accounts(None).await?);
    store.close().await?;
    Ok(Held { hold, live })
}

/// Whether there are wallets to compare.
pub(crate) fn has_real_money(accounts: &[Account]) -> bool {
    accounts.iter().any(|account| account.mode == AccountMode::Live && !account.removed)
}

/// That the books are in a file.
///
/// # Errors
/// What is wrong in the configuration, where no file is there: that may be the server's name.
fn is_a_file(file: &Path, (_, mistakes): (Configuration, Option<Mistakes>)) -> Result<(), Mistakes> {
    mistakes.filter(|_| !file.exists()).map_or(Ok(()), Err)
}

/// A name that no earlier restore has taken: what was there first must not be lost by the second.
fn name_before(directory: &Path) -> PathBuf {
    let first = directory.join(BEFORE);
    let later = (2..).map(|number: u32| directory.join(format!("{BEFORE}.{number}")));
    std::iter::once(first.clone()).chain(later).find(|name| !name.exists()).unwrap_or(first)
}

#[cfg(test)]
#[path = "backup_tests.rs"]
mod tests;
