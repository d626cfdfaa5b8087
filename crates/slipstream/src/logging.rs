//! Where the program's own words go: to standard error, or to a file while something else draws there.
//! Says nothing itself and never decides what is worth saying; `RUST_LOG` does.

use std::{
    fs::{File, OpenOptions},
    io,
    os::unix::fs::OpenOptionsExt,
    path::Path,
    sync::Arc,
};

use anyhow::Context;
use tracing_subscriber::{EnvFilter, filter::LevelFilter, fmt};

use crate::demo::paint::Paint;

/// Who may read the log: its owner.
const MODE: u32 = 0o600;

/// Warnings and errors on standard error.
///
/// # Errors
/// When `RUST_LOG` cannot be read, or a log is installed already.
pub fn to_stderr() -> anyhow::Result<()> {
    let filter = filter(LevelFilter::WARN)?;
    let subscriber =
        fmt().with_env_filter(filter).with_ansi(Paint::of(&io::stderr()).is_on()).with_writer(io::stderr);
    subscriber.try_init().map_err(anyhow::Error::from_boxed).context("no log")
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
    let subscriber = fmt().with_env_filter(filter).with_ansi(false).with_writer(Arc::new(file));
    subscriber.try_init().map_err(anyhow::Error::from_boxed).context("no log")
}

/// `RUST_LOG`, or `level` where it says nothing.
fn filter(level: LevelFilter) -> anyhow::Result<EnvFilter> {
    EnvFilter::builder().with_default_directive(level.into()).from_env().context("RUST_LOG makes no sense")
}
