//! One process per data directory.
//!
//! The lock is the kernel's (`flock`): it ends with the process, however that ends. The file only says
//! who holds it, for the message.

use std::{
    fs::{File, OpenOptions},
    io::{self, Read as _, Seek as _, Write as _},
    os::unix::fs::OpenOptionsExt as _,
    path::Path,
};

use rustix::fs::{FlockOperation, flock};

/// Holds the directory until dropped.
#[derive(Debug)]
pub struct DirectoryLock {
    _file: File,
}

/// The lock was not taken.
#[derive(Debug)]
pub(crate) enum LockError {
    /// Another process has it; its pid, if it wrote one.
    Held(Option<u32>),
    /// The file cannot be used.
    Io(io::Error),
}

impl DirectoryLock {
    /// Takes the lock or says who has it. Never waits.
    pub(crate) fn take(file: &Path) -> Result<Self, LockError> {
        // Not truncated: a file that cannot be locked names its holder.
        let mut file = OpenOptions::new()
            .read(true)
            .write(true)
            .create(true)
            .truncate(false)
            .mode(0o600)
            .open(file)
            .map_err(LockError::Io)?;
        match flock(&file, FlockOperation::NonBlockingLockExclusive) {
            Ok(()) => {}
            Err(rustix::io::Errno::WOULDBLOCK) => {
                let mut holder = String::new();
                file.read_to_string(&mut holder).map_err(LockError::Io)?;
                return Err(LockError::Held(holder.trim().parse().ok()));
            }
            Err(error) => return Err(LockError::Io(error.into())),
        }
        write_pid(&mut file).map_err(LockError::Io)?;
        Ok(Self { _file: file })
    }
}

/// Whether somebody has the lock, or may have it: this only looks.
pub(crate) fn is_held(file: &Path) -> bool {
    match File::open(file) {
        Ok(file) => flock(&file, FlockOperation::NonBlockingLockShared).is_err(),
        Err(error) => error.kind() != io::ErrorKind::NotFound,
    }
}

fn write_pid(file: &mut File) -> io::Result<()> {
    file.set_len(0)?;
    file.rewind()?;
    writeln!(file, "{}", std::process::id())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn who_has_it_is_seen_without_taking_it() {
        let directory = tempfile::tempdir().unwrap();
        let file = directory.path().join("lock");
        assert!(!is_held(&file), "nobody has ever taken it");
        let lock = DirectoryLock::take(&file).unwrap();
        assert!(is_held(&file));
        drop(lock);
        assert!(!is_held(&file));
        assert!(DirectoryLock::take(&file).is_ok(), "looking takes nothing");
    }
}
