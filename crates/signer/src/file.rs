//! Files that only their owner may read, and a key in one: 32 bytes in hex.

use std::{
    fs::File,
    io::{self, Read as _},
    os::unix::fs::PermissionsExt,
    path::Path,
};

use domain::KeyRef;
use engine::ports::venue::SignerError;
use zeroize::Zeroizing;

use crate::{
    keys::{KeyFormat, KeySource, PrivateKey},
    limits::LONGEST_PRIVATE_FILE,
};

/// A file with a secret that is not read. Says nothing of what is in it.
#[derive(Debug, thiserror::Error)]
pub enum PrivateFileError {
    /// It cannot be read.
    #[error("it cannot be read: {0}")]
    Io(#[from] io::Error),
    /// Others may read it: its mode.
    #[error("others may read it (mode {0:o}); run `chmod 600` on it")]
    Open(u32),
    /// It is longer than any secret: the most bytes.
    #[error("it has more than {0} bytes")]
    Long(u64),
}

/// Reads a file with a secret, if its owner alone may read it.
///
/// # Errors
/// [`PrivateFileError`].
pub fn read_private(path: &Path) -> Result<Zeroizing<Vec<u8>>, PrivateFileError> {
    // Looked at once it is open: what is read is what was looked at.
    let file = File::open(path)?;
    let metadata = file.metadata()?;
    if metadata.is_dir() {
        return Err(PrivateFileError::Io(io::ErrorKind::IsADirectory.into()));
    }
    let mode = metadata.permissions().mode() & 0o777;
    if mode & 0o077 != 0 {
        return Err(PrivateFileError::Open(mode));
    }
    let most = LONGEST_PRIVATE_FILE;
    // Its whole room at once: a buffer that grew would leave copies behind.
    let room = usize::try_from(most.saturating_add(1)).unwrap_or(usize::MAX);
    let mut bytes = Zeroizing::new(Vec::with_capacity(room));
    file.take(most.saturating_add(1)).read_to_end(&mut bytes)?;
    if u64::try_from(bytes.len()).unwrap_or(u64::MAX) > most {
        return Err(PrivateFileError::Long(most));
    }
    Ok(bytes)
}

/// The one key of a file, under every reference. Has no `Debug`.
pub struct FileKey(PrivateKey);

/// A file that gives no key. Says nothing of what is in it.
#[derive(Debug, thiserror::Error)]
pub enum FileKeyError {
    /// It is not read.
    #[error(transparent)]
    File(#[from] PrivateFileError),
    /// It holds no key.
    #[error("it must hold one private key: {0}")]
    NoKey(#[from] KeyFormat),
}

impl FileKey {
    /// Reads the file.
    ///
    /// # Errors
    /// [`FileKeyError`].
    pub fn read(path: &Path) -> Result<Self, FileKeyError> {
        Ok(Self(PrivateKey::parse(&read_private(path)?)?))
    }

    /// The key, to be sealed.
    #[must_use]
    pub fn into_key(self) -> PrivateKey {
        self.0
    }
}

impl KeySource for FileKey {
    fn open(&self, _: &KeyRef) -> Result<Zeroizing<[u8; 32]>, SignerError> {
        Ok(self.0.bytes().clone())
    }
}

#[cfg(test)]
mod tests {
    use std::fs;

    use super::*;

    #[test]
    fn a_file_with_a_secret_is_private_and_short() {
        let path = std::env::temp_dir().join(format!("slipstream-private-{}", std::process::id()));
        let write = |bytes: &[u8], mode: u32| {
            fs::write(&path, bytes).unwrap();
            fs::set_permissions(&path, fs::Permissions::from_mode(mode)).unwrap();
        };
        write(b"secret", 0o600);
        assert_eq!(read_private(&path).unwrap().as_slice(), b"secret");
        for mode in [0o640, 0o604, 0o620] {
            write(b"secret", mode);
            assert!(matches!(read_private(&path), Err(PrivateFileError::Open(found)) if found == mode));
        }
        let most = usize::try_from(LONGEST_PRIVATE_FILE).unwrap();
        write(&vec![b'0'; most], 0o600);
        assert_eq!(read_private(&path).unwrap().len(), most);
        write(&vec![b'0'; most + 1], 0o600);
        assert!(matches!(read_private(&path), Err(PrivateFileError::Long(_))));
        let directory = read_private(&std::env::temp_dir());
        assert!(
            matches!(directory, Err(PrivateFileError::Io(error)) if error.kind() == io::ErrorKind::IsADirectory)
        );
        fs::remove_file(&path).unwrap();
        assert!(matches!(read_private(&path), Err(PrivateFileError::Io(_))));
    }
}
