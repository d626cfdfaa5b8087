//! The keys of an installation: throw-away keys of paper accounts, derived from its secret, and sealed keys of accounts
//! with real money, kept by a signer here or in a process of its own. Whoever holds the store holds one of these;
//! commands reach it there.

use std::{
    path::{Path, PathBuf},
    sync::Arc,
};

use anyhow::Context;
use async_trait::async_trait;
use domain::{Address, Clock, KeyRef, Timestamp};
use eip712::Chain;
use engine::ports::{
    secrets::{SealedKey, SealedKeys},
    venue::{SignRequest, Signature, Signer, SignerError},
};
use signer::{
    DerivedKeys, KeyKeeper, LocalKeeper, LocalSigner, RemoteKeeper, Standing, StateLock, Unlock, lock_state,
};
use zeroize::Zeroizing;

use crate::secrets::InstallationSecret;

/// Keys, and who signs with them.
pub struct Keyring {
    store: Arc<dyn SealedKeys>,
    keeper: Option<Arc<dyn KeyKeeper>>,
    /// The same, where it is in this process.
    local: Option<Arc<LocalKeeper>>,
    /// No other signer counts what is spent beside that one.
    _state: Option<StateLock>,
    signer: Arc<AccountSigner>,
}

/// What names of sealed keys begin with; no derived key is called so.
const LIVE: &str = "live:";

fn is_live(key: &KeyRef) -> bool {
    key.0.starts_with(LIVE)
}

/// The name of the key of a wallet with real money.
#[must_use]
pub fn live_key(wallet: Address) -> KeyRef {
    KeyRef(format!("{LIVE}{wallet}"))
}

/// Where sealed keys are opened.
pub enum Opening<'a> {
    /// Nowhere: they stay sealed.
    Nowhere,
    /// Here, with this.
    Here(&'a Unlock),
    /// By the signer that listens at this socket.
    At(PathBuf),
}

/// What a keyring is made of.
pub struct Parts<'a> {
    /// The data directory, where the signer keeps what was spent.
    pub directory: &'a Path,
    /// The installation's secret, of which paper keys are derived.
    pub secret: &'a InstallationSecret,
    /// Where sealed keys are.
    pub store: Arc<dyn SealedKeys>,
    /// Where they are opened.
    pub opening: Opening<'a>,
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
        let Parts { directory, secret, store, opening, live, clock } = parts;
        let (mut local, mut state) = (None, None);
        let keeper: Option<Arc<dyn KeyKeeper>> = match opening {
            Opening::Nowhere => None,
            Opening::Here(unlock) => {
                let stored = store.sealed_keys().await?;
                state = Some(lock_state(directory)?);
                let keeper = LocalKeeper::open(unlock, stored.as_ref(), directory, live, clock)?;
                let keeper = Arc::new(keeper);
                local = Some(Arc::clone(&keeper));
                Some(keeper)
            }
            Opening::At(socket) => {
                let keeper = RemoteKeeper::new(socket, Arc::clone(&store), clock);
                keeper.header().await.context("the signer's process (`socket` of [live])")?;
                Some(Arc::new(keeper))
            }
        };
        let paper = DerivedKeys::new(Zeroizing::new(secret.derive(&[b"keys"])));
        let paper = LocalSigner::new(Chain::Polygon, Box::new(paper));
        let signer = Arc::new(AccountSigner { paper, keeper: keeper.clone(), live });
        Ok(Self { store, keeper, local, _state: state, signer })
    }

    /// Who signs.
    #[must_use]
    pub fn signer(&self) -> Arc<dyn Signer> {
        Arc::clone(&self.signer) as _
    }

    /// How a key stands; `None` while the keys are sealed here.
    ///
    /// # Errors
    /// The signer's.
    pub async fn standing(&self, key: &KeyRef) -> anyhow::Result<Option<Standing>> {
        match &self.keeper {
            Some(keeper) => Ok(Some(keeper.standing(key).await?)),
            None => Ok(None),
        }
    }

    /// Until when a session key may sign, as it was sealed.
    ///
    /// # Errors
    /// Store errors.
    pub async fn end_of(&self, key: &KeyRef) -> anyhow::Result<Option<Timestamp>> {
        let keys = self.store.sealed_keys().await?.unwrap_or_default().keys;
        Ok(keys.into_iter().find(|sealed| sealed.name == *key).and_then(|sealed| sealed.until))
    }

    /// Whoever keeps the keys.
    ///
    /// # Errors
    /// When they are sealed in this process.
    pub fn keeper(&self) -> anyhow::Result<&dyn KeyKeeper> {
        self.keeper.as_deref().context(
            "the keys are sealed in the running process: it was started without what opens them. Stop it, configure \
             `key_file` of [live] (or give the passphrase when asked), and try again",
        )
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
            self.store.begin_keys(&self.keeper()?.header().await?).await?;
        }
        Ok(())
    }

    /// Signs with a key from now on that was stored.
    ///
    /// # Errors
    /// When it was changed on its way.
    pub async fn take(&self, key: SealedKey) -> anyhow::Result<()> {
        Ok(self.keeper()?.take(key).await?)
    }

    /// Forgets a key that was removed, and erases it.
    ///
    /// # Errors
    /// The signer's.
    pub async fn forget(&self, key: &KeyRef) -> anyhow::Result<()> {
        self.signer.paper.forget(key);
        match &self.keeper {
            Some(keeper) => Ok(keeper.forget(key).await?),
            None => Ok(()),
        }
    }

    /// All keys under what opens them from now on, in one transaction. This keyring is worth nothing afterwards.
    ///
    /// # Errors
    /// In words; then everything is as it was.
    pub async fn rotate(self, to: &Unlock) -> anyhow::Result<usize> {
        let local =
            self.local.as_ref().context("the keys must be opened by this command: leave `socket` out")?;
        let rewrapped = local.vault().rewrap(to)?;
        self.store.rewrap_keys(local.vault().header(), &rewrapped.header, &rewrapped.wrapped).await?;
        Ok(rewrapped.wrapped.len())
    }
}

/// Signs for all accounts: with derived keys here, with sealed keys where they are kept.
struct AccountSigner {
    paper: LocalSigner,
    keeper: Option<Arc<dyn KeyKeeper>>,
    live: bool,
}

impl AccountSigner {
    fn keeper(&self, key: &KeyRef) -> Result<&Arc<dyn KeyKeeper>, SignerError> {
        self.keeper.as_ref().ok_or_else(|| SignerError::UnknownKey(key.clone()))
    }

    /// Signs requests with sealed keys.
    async fn sign_live(&self, requests: &[SignRequest]) -> Vec<Result<Signature, SignerError>> {
        let Some(keeper) = &self.keeper else {
            return requests.iter().map(|one| Err(SignerError::UnknownKey(key_of(one).clone()))).collect();
        };
        let orders = requests.iter().any(|request| matches!(request, SignRequest::Order(_)));
        if orders && !self.live {
            let off = "live trading is switched off; set `enabled = true` of [live] in the configuration";
            return requests.iter().map(|_| Err(SignerError::Policy(off.to_owned()))).collect();
        }
        keeper.sign(requests).await
    }
}

const fn key_of(request: &SignRequest) -> &KeyRef {
    match request {
        SignRequest::Order(plan) => &plan.account.key,
        SignRequest::ApiLogin { key, .. } => key,
        SignRequest::Relay(plan) => &plan.account.key,
        SignRequest::Transaction(plan) => &plan.account.key,
    }
}

#[async_trait]
impl Signer for AccountSigner {
    async fn sign(&self, requests: &[SignRequest]) -> Vec<Result<Signature, SignerError>> {
        let live: Vec<bool> = requests.iter().map(|request| is_live(key_of(request))).collect();
        if !live.contains(&true) {
            return self.paper.sign(requests).await;
        }
        if !live.contains(&false) {
            return self.sign_live(requests).await;
        }
        let of = |wanted: bool| -> Vec<SignRequest> {
            let chosen = requests.iter().zip(&live).filter(|(_, live)| **live == wanted);
            chosen.map(|(request, _)| request.clone()).collect()
        };
        let mut paper = self.paper.sign(&of(false)).await.into_iter();
        let mut real = self.sign_live(&of(true)).await.into_iter();
        let missing = || Err(SignerError::Unavailable("the signer answered too little".to_owned()));
        live.iter()
            .map(|live| if *live { real.next() } else { paper.next() }.unwrap_or_else(missing))
            .collect()
    }

    async fn address(&self, key: &KeyRef) -> Result<Address, SignerError> {
        if is_live(key) { self.keeper(key)?.address(key).await } else { self.paper.address(key).await }
    }
}
