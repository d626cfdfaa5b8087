//! A key in a file: 32 bytes in hex, readable by its owner only.

use std::{fs, io, os::unix::fs::PermissionsExt, path::Path};

use domain::KeyRef;
use engine::ports::venue::SignerError;
use zeroize::Zeroizing;

use crate::keys::{KeySource, OpenKey};

/// The one key of a file, under every reference. Has no `Debug`.
pub struct FileKey(Zeroizing<[u8; 32]>);

/// A file that gives no key. Says nothing of what is in it.
#[derive(Debug)]
pub enum FileKeyError {
    /// It cannot be read.
    Io(io::Error),
    /// Others may read it: its mode.
    Open(u32),
    /// It holds no key.
    NoKey,
}

impl std::fmt::Display for FileKeyError {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        match self {
            Self::Io(error) => write!(f, "it cannot be read: {error}"),
            Self::Open(mode) => write!(f, "others may read it (mode {mode:o}); run `chmod 600` on it"),
            Self::NoKey => f.write_str("it must hold one private key: 64 hex digits, with or without 0x"),
        }
    }
}

impl std::error::Error for FileKeyError {}

impl FileKey {
    /// Reads the file.
    ///
    /// # Errors
    /// [`FileKeyError`].
    pub fn read(path: &Path) -> Result<Self, FileKeyError> {
        let mode = fs::metadata(path).map_err(FileKeyError::Io)?.permissions().mode() & 0o777;
        if mode & 0o077 != 0 {
            return Err(FileKeyError::Open(mode));
        }
        let text = Zeroizing::new(fs::read_to_string(path).map_err(FileKeyError::Io)?);
        let text = text.trim();
        let mut bytes = Zeroizing::new([0; 32]);
        alloy_primitives::hex::decode_to_slice(text, bytes.as_mut_slice())
            .map_err(|_| FileKeyError::NoKey)?;
        OpenKey::new(&bytes).ok_or(FileKeyError::NoKey)?;
        Ok(Self(bytes))
    }
}

impl KeySource for FileKey {
    fn open(&self, _: &KeyRef) -> Result<Zeroizing<[u8; 32]>, SignerError> {
        Ok(self.0.clone())
    }
}
