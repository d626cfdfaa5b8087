//! `slipstream backup` and `slipstream restore`: a copy of the database while everything runs, and putting one back so
//! that nothing is signed on it before somebody has looked.

use std::{
    fs,
    path::{Path, PathBuf},
    sync::Arc,
};

use anyhow::{Context, ensure};
use domain::Clock;
use engine::ports::following::{Following as _, HoldCause, HoldScope, NewHold};
use serde_json::json;
use store::SqlStore;

use crate::{
    cli::Installation,
    clock::SystemClock,
    commands::{Answer, DATABASE, Request},
    secrets, socket,
};

/// The file whose date says when `backup` was run last.
pub const LAST_BACKUP: &str = "backup.last";
/// What the database that was there is called after a restore.
const BEFORE: &str = "slipstream.db.before-restore";
/// What a restored database is called until it is in its place.
const FRESH: &str = "slipstream.db.restored";
/// Files that SQLite keeps beside a database.
const BESIDE: [&str; 2] = ["-wal", "-shm"];

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
pub struct RestoreArgs {
    /// A file that `backup` wrote.
    pub from: PathBuf,
    /// Where the installation is.
    #[command(flatten)]
    pub at: Installation,
}

/// Copies the database.
///
/// # Errors
/// In words, with what to do.
pub async fn backup(arguments: &BackupArgs) -> anyhow::Result<Answer> {
    let directory = arguments.at.directory()?;
    let file = directory.join(DATABASE);
    ensure!(file.exists(), "there is no Slipstream data in {}", directory.display());
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
    let directory = arguments.at.directory()?;
    let answer = put_in_place(arguments, &directory).await;
    if answer.is_err() {
        let _ = fs::remove_file(directory.join(FRESH));
    }
    answer
}

/// A name that no earlier restore has taken: what was there first must not be lost by the second.
fn name_before(directory: &Path) -> PathBuf {
    let first = directory.join(BEFORE);
    let later = (2..).map(|number: u32| directory.join(format!("{BEFORE}.{number}")));
    std::iter::once(first.clone()).chain(later).find(|name| !name.exists()).unwrap_or(first)
}

async fn put_in_place(arguments: &RestoreArgs, directory: &Path) -> anyhow::Result<Answer> {
    ensure!(
        socket::ask(directory, &Request::Ping).await?.is_none(),
        "a process runs on {}; stop it first",
        directory.display()
    );
    let clock: Arc<dyn Clock> = Arc::new(SystemClock);
    let (file, fresh) = (directory.join(DATABASE), directory.join(FRESH));
    fs::create_dir_all(directory).with_context(|| format!("cannot make {}", directory.display()))?;
    let _ = fs::remove_file(&fresh);
    // Reading it whole is the test that it can be read.
    store::backup(&arguments.from, &fresh).await.with_context(|| format!("{}", arguments.from.display()))?;
    let before = name_before(directory);
    if file.exists() {
        // Closed in order, so that its newest commits are in the one file; and nobody else has it open.
        let old = SqlStore::open(&file, Arc::clone(&clock)).await?;
        old.close().await?;
        drop(old);
        fs::rename(&file, &before).with_context(|| format!("cannot rename {}", file.display()))?;
        for suffix in BESIDE {
            remove_beside(&file, suffix);
        }
    }
    fs::rename(&fresh, &file).with_context(|| format!("cannot rename {}", fresh.display()))?;
    let store = SqlStore::open(&file, Arc::clone(&clock)).await?;
    let hold = NewHold {
        scope: HoldScope::Installation,
        cause: HoldCause::Reconciliation,
        reason: "restored from a backup: what was ordered after it is not known here".to_owned(),
        stops_exits: true,
        sells: false,
        expires_at: None,
    };
    let hold = store.hold_once(&hold, clock.now()).await?;
    store.close().await?;
    let text = format!(
        "restored {}. Nothing is signed until you lift the hold: compare `slipstream positions` with the wallets first \
         (`slipstream holds`, `slipstream lift NUMBER`). {}",
        arguments.from.display(),
        if before.exists() { format!("What was there is {}", before.display()) } else { String::new() },
    );
    Ok(Answer { text: text.trim_end().to_owned(), json: json!({ "hold": hold, "before": before }), ok: true })
}

fn remove_beside(file: &Path, suffix: &str) {
    let mut name = file.as_os_str().to_owned();
    name.push(suffix);
    // They are there only after an end that was not in order.
    let _ = fs::remove_file(PathBuf::from(name));
}
