//! The keys of an installation: throw-away keys of paper accounts, derived from its secret, and sealed keys of accounts
//! with real money, with what each may spend. Whoever holds the store holds one of these; commands reach it there.

use std::{path::Path, sync::Arc};

use anyhow::{Context, ensure};
use domain::{Clock, KeyRef};
use eip712::Chain;
use engine::ports::{
    secrets::{SealedKey, SealedKeys},
    venue::SignerError,
};
use signer::{Binding, Caps, DerivedKeys, KeySource, LocalSigner, Spending, Standing, Unlock, Vault};
use zeroize::Zeroizing;

use crate::secrets::InstallationSecret;

/// Keys, and who signs with them.
pub struct Keyring {
    store: Arc<dyn SealedKeys>,
    opened: Option<Opened>,
    signer: LocalSigner,
}

struct Opened {
    vault: Arc<Vault>,
    spending: Spending,
}

/// Sealed keys first: a derived key has another address and trades for nothing that is worth something.
struct Source {
    paper: DerivedKeys,
    vault: Option<Arc<Vault>>,
}

impl KeySource for Source {
    fn open(&self, key: &KeyRef) -> Result<Zeroizing<[u8; 32]>, SignerError> {
        match self.sealed() {
            Some(vault) if vault.sealed_for(key).is_some() => vault.open(key),
            _ if is_live(key) => Err(SignerError::UnknownKey(key.clone())),
            _ => self.paper.open(key),
        }
    }

    fn sealed_for(&self, key: &KeyRef) -> Option<Binding> {
        self.sealed().and_then(|vault| vault.sealed_for(key))
    }
}

impl Source {
    const fn sealed(&self) -> Option<&Arc<Vault>> {
        self.vault.as_ref()
    }
}

/// What names of sealed keys begin with; no derived key is called so.
const LIVE: &str = "live:";

fn is_live(key: &KeyRef) -> bool {
    key.0.starts_with(LIVE)
}

/// The name of the key of a wallet with real money.
#[must_use]
pub fn live_key(wallet: domain::Address) -> KeyRef {
    KeyRef(format!("{LIVE}{wallet}"))
}

/// What a keyring is made of.
pub struct Parts<'a> {
    /// The data directory, where the signer keeps what was spent.
    pub directory: &'a Path,
    /// The installation's secret, of which paper keys are derived.
    pub secret: &'a InstallationSecret,
    /// Where sealed keys are.
    pub store: Arc<dyn SealedKeys>,
    /// What opens them; `None` leaves them sealed.
    pub unlock: Option<&'a Unlock>,
    /// Whether orders with real money may be signed: the first switch.
    pub live: bool,
    /// Time.
    pub clock: Arc<dyn Clock>,
}

impl Keyring {
    /// Opens it. With something to open them and no keys yet, it is ready for the first one.
    ///
    /// # Errors
    /// In words, with what to do.
    pub async fn open(parts: Parts<'_>) -> anyhow::Result<Self> {
        let opened = match parts.unlock {
            Some(unlock) => Some(Opened::of(&parts, unlock).await?),
            None => None,
        };
        let paper = DerivedKeys::new(Zeroizing::new(parts.secret.derive(&[b"keys"])));
        let source = Source { paper, vault: opened.as_ref().map(|opened| Arc::clone(&opened.vault)) };
        let source = Box::new(source);
        let signer = match &opened {
            Some(opened) if parts.live => LocalSigner::live(Chain::Polygon, source, opened.spending.clone()),
            _ => LocalSigner::new(Chain::Polygon, source),
        };
        Ok(Self { store: parts.store, opened, signer })
    }

    /// Who signs.
    #[must_use]
    pub const fn signer(&self) -> &LocalSigner {
        &self.signer
    }

    /// How a key stands; `None` while the keys are not opened.
    #[must_use]
    pub fn standing(&self, key: &KeyRef) -> Option<Standing> {
        self.opened.as_ref().map(|opened| opened.spending.standing(key))
    }

    /// Lets a key spend.
    ///
    /// # Errors
    /// In words.
    pub fn arm(&self, key: &KeyRef, caps: Caps) -> anyhow::Result<()> {
        let opened = self.opened()?;
        ensure!(opened.vault.sealed_for(key).is_some(), "there is no sealed key `{key}`");
        Ok(opened.spending.arm(key, caps)?)
    }

    /// Lets a key spend nothing more.
    ///
    /// # Errors
    /// In words.
    pub fn disarm(&self, key: &KeyRef) -> anyhow::Result<()> {
        Ok(self.opened()?.spending.disarm(key)?)
    }

    /// The opened keys.
    ///
    /// # Errors
    /// When they are sealed in this process.
    pub fn vault(&self) -> anyhow::Result<&Vault> {
        Ok(self.opened()?.vault.as_ref())
    }

    /// Where sealed keys are kept.
    #[must_use]
    pub fn store(&self) -> &dyn SealedKeys {
        self.store.as_ref()
    }

    /// Stores how keys are opened, unless that was done.
    ///
    /// # Errors
    /// Store errors.
    pub async fn begin(&self) -> anyhow::Result<()> {
        if self.store.sealed_keys().await?.is_none() {
            self.store.begin_keys(self.vault()?.header()).await?;
        }
        Ok(())
    }

    /// All keys under what opens them from now on, in one transaction. This keyring is worth nothing afterwards.
    ///
    /// # Errors
    /// In words; then everything is as it was.
    pub async fn rotate(self, to: &Unlock) -> anyhow::Result<usize> {
        let vault = self.vault()?;
        let rewrapped = vault.rewrap(to)?;
        self.store.rewrap_keys(vault.header(), &rewrapped.header, &rewrapped.wrapped).await?;
        Ok(rewrapped.wrapped.len())
    }

    /// Signs with a key from now on that was stored.
    ///
    /// # Errors
    /// When it was changed on its way.
    pub fn take(&self, key: SealedKey) -> anyhow::Result<()> {
        Ok(self.vault()?.take(key)?)
    }

    /// Forgets a key that was removed, and erases it.
    pub fn forget(&self, key: &KeyRef) {
        if let Some(opened) = &self.opened {
            opened.vault.forget(key);
        }
        self.signer.forget(key);
    }

    fn opened(&self) -> anyhow::Result<&Opened> {
        self.opened.as_ref().context(
            "the keys are sealed in the running process: it was started without what opens them. Stop it, configure \
             `key_file` of [live] (or give the passphrase when asked), and try again",
        )
    }
}

impl Opened {
    async fn of(parts: &Parts<'_>, unlock: &Unlock) -> anyhow::Result<Self> {
        let vault = match parts.store.sealed_keys().await? {
            Some(stored) => Vault::open(unlock, &stored)?,
            None => Vault::create(unlock)?,
        };
        let spending = Spending::open(parts.directory, &vault, Arc::clone(&parts.clock))?;
        Ok(Self { vault: Arc::new(vault), spending })
    }
}
