//! The installation's secret: salts of orders come from it, and, for paper accounts, keys.
//!
//! A file of 32 random bytes, readable by its owner only. It is never printed.

use std::{fs, io, path::Path};

use anyhow::{Context, bail};
use domain::Hash;
use engine::{
    ports::reports::Reports as _,
    salt::{SALT_MASK, Salts},
};
use hmac::{Hmac, KeyInit, Mac};
use sha2::Sha256;
use signer::{PrivateFileError, read_private};
use store::SqlStore;

use crate::whole_file;

/// Name of the file in the data directory.
pub const FILE: &str = "installation.secret";

/// 32 secret bytes. No `Debug`.
pub struct InstallationSecret([u8; 32]);

impl InstallationSecret {
    /// The secret that `directory` holds; `None` when there is no file.
    ///
    /// # Errors
    /// When it cannot be read, has another length, or others may read it.
    pub fn read(directory: &Path) -> anyhow::Result<Option<Self>> {
        let path = directory.join(FILE);
        match read_private(&path) {
            Ok(bytes) => {
                let Ok(bytes) = <[u8; 32]>::try_from(bytes.as_slice()) else {
                    bail!("{} is damaged: it must hold 32 bytes; restore it from a backup", path.display());
                };
                Ok(Some(Self(bytes)))
            }
            Err(PrivateFileError::Io(error)) if error.kind() == io::ErrorKind::NotFound => Ok(None),
            Err(error) => Err(error).with_context(|| format!("the secret in {}", path.display())),
        }
    }

    /// Reads the file in `directory`, made if it does not exist.
    ///
    /// # Errors
    /// When it cannot be read or made, has another length, or others may read it.
    pub fn open(directory: &Path) -> anyhow::Result<Self> {
        if let Some(secret) = Self::read(directory)? {
            return Ok(secret);
        }
        let mut bytes = [0; 32];
        rustix::rand::getrandom(&mut bytes, rustix::rand::GetRandomFlags::empty())
            .context("the system gives no random bytes")?;
        let secret = Self(bytes);
        secret.write(directory)?;
        Ok(secret)
    }

    /// The file in `directory`, made if it does not exist and nothing was signed with another: the database knows no
    /// account yet. It is the one of this database, the same in every process that works on it.
    ///
    /// # Errors
    /// As [`InstallationSecret::open`]; when the file is missing although there are accounts, or is that of another
    /// database.
    pub async fn of_installation(directory: &Path, store: &SqlStore) -> anyhow::Result<Self> {
        let (path, kept) = (directory.join(FILE), Self::read(directory)?);
        if kept.is_none() && !store.accounts(None).await?.is_empty() {
            bail!(
                "{} is missing: the keys of paper accounts and what names each order come from it, and another one would \
                 not fit this database; put the copy there that you keep beside your backups, or that of another process \
                 of this installation ({FILE} in its data directory), with mode 600",
                path.display()
            );
        }
        let is_new = kept.is_none();
        let secret = kept.map_or_else(|| Self::open(directory), Ok)?;
        let check = Hash(secret.derive(&[b"check"]));
        if store.bind_secret(check).await? == check {
            return Ok(secret);
        }
        if is_new {
            fs::remove_file(&path).with_context(|| format!("cannot remove {}", path.display()))?;
        }
        bail!(
            "{} is not the secret of this database: all processes of an installation have the same. Copy {FILE} from the data \
             directory of one that works on this database, with mode 600",
            path.display()
        );
    }

    /// Keeps this secret in `directory`, where what is signed with it can be verified later.
    ///
    /// # Errors
    /// When it cannot be written, or the directory holds another one.
    pub fn keep(&self, directory: &Path) -> anyhow::Result<()> {
        match Self::read(directory)? {
            None => self.write(directory),
            Some(kept) if kept.0 == self.0 => Ok(()),
            Some(_) => bail!(
                "{} holds the secret of another seed or installation; give the seed it was made with, or another --data-dir",
                directory.display()
            ),
        }
    }

    /// The secret of a demo, a function of its seed: nothing in a demo is worth a secret.
    #[must_use]
    pub fn of_seed(seed: u64) -> Self {
        let secret = Self([0x5a; 32]);
        Self(secret.derive(&[b"demo", &seed.to_be_bytes()]))
    }

    /// 32 bytes derived for a purpose.
    #[must_use]
    pub fn derive(&self, parts: &[&[u8]]) -> [u8; 32] {
        let Ok(mut mac) = Hmac::<Sha256>::new_from_slice(&self.0) else { return [0; 32] };
        for part in parts {
            mac.update(&u64::try_from(part.len()).unwrap_or(u64::MAX).to_be_bytes());
            mac.update(part);
        }
        mac.finalize().into_bytes().into()
    }

    fn write(&self, directory: &Path) -> anyhow::Result<()> {
        let path = directory.join(FILE);
        whole_file::write(&path, &self.0).with_context(|| format!("cannot write {}", path.display()))
    }
}

/// A salt that nobody can guess, for orders of no installation.
///
/// # Errors
/// When the system gives no random bytes.
pub fn random_salt() -> anyhow::Result<u64> {
    let mut bytes = [0; 8];
    rustix::rand::getrandom(&mut bytes, rustix::rand::GetRandomFlags::empty())
        .context("the system gives no random bytes")?;
    // Room to count on from here.
    Ok(u64::from_be_bytes(bytes) & (SALT_MASK >> 1))
}

impl Salts for InstallationSecret {
    fn salt(&self, key: &[u8]) -> u64 {
        let [a, b, c, d, e, f, g, h, ..] = self.derive(&[b"salt", key]);
        u64::from_be_bytes([a, b, c, d, e, f, g, h]) & SALT_MASK
    }
}

#[cfg(test)]
mod tests {
    use std::os::unix::fs::PermissionsExt;

    use super::*;

    #[test]
    fn the_file_is_private_and_stays() {
        let directory = tempfile::tempdir().unwrap();
        let first = InstallationSecret::open(directory.path()).unwrap();
        let again = InstallationSecret::open(directory.path()).unwrap();
        assert_eq!(first.salt(b"x"), again.salt(b"x"));
        assert_ne!(first.salt(b"x"), first.salt(b"y"));
        assert!(first.salt(b"x") < 1 << 53);
        let path = directory.path().join(FILE);
        fs::set_permissions(&path, fs::Permissions::from_mode(0o640)).unwrap();
        let refused = format!("{:#}", InstallationSecret::open(directory.path()).err().unwrap());
        assert!(refused.contains("chmod 600"), "{refused}");
        fs::set_permissions(&path, fs::Permissions::from_mode(0o600)).unwrap();
        fs::write(&path, b"short").unwrap();
        assert!(InstallationSecret::open(directory.path()).is_err());
    }

    #[test]
    fn a_kept_secret_is_read_again_and_never_replaced() {
        let directory = tempfile::tempdir().unwrap();
        let read = || InstallationSecret::read(directory.path()).unwrap().map(|secret| secret.salt(b"x"));
        assert_eq!(read(), None);
        let secret = InstallationSecret::of_seed(7);
        for _ in 0..2 {
            secret.keep(directory.path()).unwrap();
            assert_eq!(read(), Some(secret.salt(b"x")));
        }
        let mode = fs::metadata(directory.path().join(FILE)).unwrap().permissions().mode();
        assert_eq!(mode & 0o777, 0o600);
        let refused = InstallationSecret::of_seed(8).keep(directory.path()).unwrap_err().to_string();
        assert!(refused.contains("another seed"), "{refused}");
        assert_eq!(read(), Some(secret.salt(b"x")));
    }
}
