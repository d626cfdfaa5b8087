//! The directory in which a signer keeps what was spent: one signer works with it, or a day would be spent twice.

use std::{
    fs::{self, DirBuilder, File, OpenOptions},
    io::{self, Read as _, Seek as _, Write as _},
    os::unix::fs::{DirBuilderExt as _, OpenOptionsExt as _, PermissionsExt as _},
    path::{Path, PathBuf},
};

use rustix::{
    fs::{FlockOperation, flock},
    io::Errno,
};

/// Name of the file whose lock is the kernel's: it ends with the process, however that ends.
const LOCK: &str = "signer.lock";

/// Who must not write there.
const OTHERS_WRITE: u32 = 0o022;

/// Holds the directory until dropped.
#[derive(Debug)]
pub struct StateLock {
    _file: File,
}

/// The directory cannot be used.
#[derive(Debug, thiserror::Error)]
pub enum StateError {
    /// Another signer works with it.
    #[error("a signer{} works with {directory} already; stop it first, or name another directory", process(*pid))]
    Held {
        /// Which.
        directory: PathBuf,
        /// The other process, if it said so.
        pid: Option<u32>,
    },
    /// Others could put an old record in the place of the newest.
    #[error("others may write in {directory} (mode {mode:o}); `chmod 700` it")]
    Open {
        /// Which.
        directory: PathBuf,
        /// Who may do what.
        mode: u32,
    },
    /// It cannot be made or read.
    #[error("{path} cannot be used")]
    Io {
        /// Which file or directory.
        path: PathBuf,
        /// Why.
        source: io::Error,
    },
}

fn process(pid: Option<u32>) -> String {
    pid.map(|pid| format!(" (process {pid})")).unwrap_or_default()
}

/// Takes a directory, which is made if it is missing, for the one signer that works with it. Never waits.
///
/// # Errors
/// [`StateError`].
pub fn lock_state(directory: &Path) -> Result<StateLock, StateError> {
    let at = |path: &Path| {
        let path = path.to_owned();
        move |source| StateError::Io { path, source }
    };
    DirBuilder::new().recursive(true).mode(0o700).create(directory).map_err(at(directory))?;
    let mode = fs::metadata(directory).map_err(at(directory))?.permissions().mode() & 0o777;
    if mode & OTHERS_WRITE != 0 {
        return Err(StateError::Open { directory: directory.to_owned(), mode });
    }
    let path = directory.join(LOCK);
    // Not truncated: a file that cannot be locked names its holder.
    let mut options = OpenOptions::new();
    let options = options.read(true).write(true).create(true).truncate(false).mode(0o600);
    let mut file = options.open(&path).map_err(at(&path))?;
    match flock(&file, FlockOperation::NonBlockingLockExclusive) {
        Ok(()) => {}
        Err(Errno::WOULDBLOCK) => {
            let mut holder = String::new();
            file.read_to_string(&mut holder).map_err(at(&path))?;
            return Err(StateError::Held {
                directory: directory.to_owned(),
                pid: holder.trim().parse().ok(),
            });
        }
        Err(error) => return Err(at(&path)(error.into())),
    }
    let written = file.set_len(0).and_then(|()| file.rewind()).and_then(|()| {
        let pid = std::process::id();
        writeln!(file, "{pid}")
    });
    written.map_err(at(&path))?;
    Ok(StateLock { _file: file })
}
