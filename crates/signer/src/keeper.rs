//! Whoever keeps the sealed keys: this process, or another one behind a socket. Both promise the same.

use std::sync::Arc;

use async_trait::async_trait;
use domain::{Address, Clock, KeyRef};
use eip712::Chain;
use engine::ports::{
    secrets::{SealedKey, StoredKeys},
    venue::Signer,
};
use serde::{Deserialize, Serialize};

use crate::{
    LocalSigner,
    spending::{Caps, Spending, Standing},
    unlock::Unlock,
    vault::{KeyUse, Vault},
};

/// What a keeper answers instead.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize, thiserror::Error)]
#[serde(rename_all = "snake_case")]
pub enum KeeperError {
    /// It will not.
    #[error("{0}")]
    Refused(String),
    /// It cannot be reached, or broke.
    #[error("the signer failed: {0}")]
    Unavailable(String),
}

fn refused(error: impl std::fmt::Display) -> KeeperError {
    KeeperError::Refused(error.to_string())
}

/// Result of a call.
pub type KeeperResult<T> = Result<T, KeeperError>;

/// Keeps keys sealed, and signs with them.
#[async_trait]
pub trait KeyKeeper: Signer {
    /// What is to be stored of how keys are opened.
    async fn header(&self) -> KeeperResult<String>;

    /// For whom to encrypt a private key, as age writes it.
    async fn public_key(&self) -> KeeperResult<String>;

    /// The address of a private key that was encrypted so.
    async fn address_of(&self, file: &[u8]) -> KeeperResult<Address>;

    /// Seals it. Nothing signs with it before [`KeyKeeper::take`].
    async fn seal(&self, file: &[u8], to: &KeyUse) -> KeeperResult<SealedKey>;

    /// Signs with a sealed key from now on, once it is stored.
    async fn take(&self, key: SealedKey) -> KeeperResult<()>;

    /// Knows a key no longer, and erases it.
    async fn forget(&self, key: &KeyRef) -> KeeperResult<()>;

    /// Lets a key spend.
    async fn arm(&self, key: &KeyRef, caps: Caps) -> KeeperResult<()>;

    /// Lets a key spend nothing more, from the moment this returns.
    async fn disarm(&self, key: &KeyRef) -> KeeperResult<()>;

    /// How a key stands.
    async fn standing(&self, key: &KeyRef) -> KeeperResult<Standing>;
}

/// Keeps them in this process.
pub struct LocalKeeper {
    vault: Arc<Vault>,
    spending: Spending,
    signer: LocalSigner,
}

impl LocalKeeper {
    /// Opens what is stored (nothing yet makes the first vault), and the record of what was spent in `directory`. Orders
    /// are signed only with `live`.
    ///
    /// # Errors
    /// [`KeeperError::Refused`], in words.
    pub fn open(
        unlock: &Unlock,
        stored: Option<&StoredKeys>,
        directory: &std::path::Path,
        live: bool,
        clock: Arc<dyn Clock>,
    ) -> KeeperResult<Self> {
        let vault = match stored {
            Some(stored) => Vault::open(unlock, stored),
            None => Vault::create(unlock),
        };
        let vault = Arc::new(vault.map_err(refused)?);
        let spending = Spending::open(directory, &vault, clock).map_err(refused)?;
        let source = Box::new(Arc::clone(&vault));
        let signer = if live {
            LocalSigner::live(Chain::Polygon, source, spending.clone())
        } else {
            LocalSigner::new(Chain::Polygon, source)
        };
        Ok(Self { vault, spending, signer })
    }

    /// The keys themselves, to seal them anew.
    #[must_use]
    pub fn vault(&self) -> &Vault {
        &self.vault
    }
}

#[async_trait]
impl Signer for LocalKeeper {
    async fn sign(
        &self,
        requests: &[engine::ports::venue::SignRequest],
    ) -> Vec<Result<engine::ports::venue::Signature, engine::ports::venue::SignerError>> {
        self.signer.sign(requests).await
    }

    async fn address(&self, key: &KeyRef) -> Result<Address, engine::ports::venue::SignerError> {
        self.signer.address(key).await
    }
}

#[async_trait]
impl KeyKeeper for LocalKeeper {
    async fn header(&self) -> KeeperResult<String> {
        Ok(self.vault.header().to_owned())
    }

    async fn public_key(&self) -> KeeperResult<String> {
        Ok(self.vault.public_key())
    }

    async fn address_of(&self, file: &[u8]) -> KeeperResult<Address> {
        self.vault.import(file).map(|key| key.address()).map_err(refused)
    }

    async fn seal(&self, file: &[u8], to: &KeyUse) -> KeeperResult<SealedKey> {
        let key = self.vault.import(file).map_err(refused)?;
        self.vault.seal(&key, to).map_err(refused)
    }

    async fn take(&self, key: SealedKey) -> KeeperResult<()> {
        let name = key.name.clone();
        self.vault.take(key).map_err(refused)?;
        // Another one may have been open under this name.
        self.signer.forget(&name);
        Ok(())
    }

    async fn forget(&self, key: &KeyRef) -> KeeperResult<()> {
        self.vault.forget(key);
        self.signer.forget(key);
        Ok(())
    }

    async fn arm(&self, key: &KeyRef, caps: Caps) -> KeeperResult<()> {
        if crate::KeySource::sealed_for(self.vault.as_ref(), key).is_none() {
            return Err(KeeperError::Refused(format!("there is no sealed key `{key}`")));
        }
        self.spending.arm(key, caps).map_err(refused)
    }

    async fn disarm(&self, key: &KeyRef) -> KeeperResult<()> {
        self.spending.disarm(key).map_err(refused)
    }

    async fn standing(&self, key: &KeyRef) -> KeeperResult<Standing> {
        Ok(self.spending.standing(key))
    }
}
