//! The signer in this process: cache of opened keys, policy, digests, signatures.

use std::{
    collections::HashMap,
    sync::{Arc, Mutex, PoisonError},
};

use async_trait::async_trait;
use domain::{Address, Hash, KeyRef, OrderPlan, Side, Usd, WalletAction};
use eip712::{Chain, ClobAuth, OrderToSign, Relay, Transaction, clob_auth_digest, signing_digest};
use engine::ports::venue::{SignRequest, Signature, Signer, SignerError};
use lru::LruCache;

use crate::{
    keys::{KeySource, OpenKey},
    limits::{CHUNK, INLINE_BATCH, MAX_BATCH, OPEN_KEYS},
    policy::{Binding, check_order, check_relay, check_transaction},
    spending::Spending,
};

/// Signs with keys of a [`KeySource`] for one chain. Cheap to clone; clones share keys and bindings.
#[derive(Clone)]
pub struct LocalSigner {
    inner: Arc<Inner>,
}

struct Inner {
    chain: Chain,
    source: Box<dyn KeySource>,
    open: Mutex<LruCache<KeyRef, Arc<OpenKey>>>,
    bindings: Mutex<HashMap<KeyRef, Binding>>,
    spending: Option<Spending>,
}

impl LocalSigner {
    /// A signer for `chain` that signs no order with a sealed key.
    #[must_use]
    pub fn new(chain: Chain, source: Box<dyn KeySource>) -> Self {
        Self::made(chain, source, None)
    }

    /// A signer for `chain` that signs orders with a sealed key as far as `spending` allows.
    #[must_use]
    pub fn live(chain: Chain, source: Box<dyn KeySource>, spending: Spending) -> Self {
        Self::made(chain, source, Some(spending))
    }

    fn made(chain: Chain, source: Box<dyn KeySource>, spending: Option<Spending>) -> Self {
        let open = Mutex::new(LruCache::new(OPEN_KEYS));
        Self { inner: Arc::new(Inner { chain, source, open, bindings: Mutex::default(), spending }) }
    }

    /// Erases an opened key. Call it when its source knows it no longer.
    pub fn forget(&self, key: &KeyRef) {
        self.inner.open.lock().unwrap_or_else(PoisonError::into_inner).pop(key);
    }

    /// Binds a key to the wallet it trades for. A key that was never bound trades for its own address.
    ///
    /// # Errors
    /// [`SignerError::Policy`] when the key is bound to another wallet already: a binding never changes
    /// while the signer lives.
    pub fn bind(&self, key: KeyRef, binding: Binding) -> Result<(), SignerError> {
        let mut bindings = self.inner.bindings.lock().unwrap_or_else(PoisonError::into_inner);
        let bound = *bindings.entry(key.clone()).or_insert(binding);
        if bound == binding {
            return Ok(());
        }
        Err(SignerError::Policy(format!("key `{key}` is bound to wallet {} already", bound.wallet)))
    }
}

impl Inner {
    fn key(&self, key: &KeyRef) -> Result<Arc<OpenKey>, SignerError> {
        let cached = self.open.lock().unwrap_or_else(PoisonError::into_inner).get(key).cloned();
        if let Some(open) = cached {
            return Ok(open);
        }
        // Opened outside the lock: two callers may open the same key, which is harmless.
        let bytes = self.source.open(key)?;
        let open = OpenKey::new(&bytes)
            .ok_or_else(|| SignerError::Unavailable(format!("key `{key}` is not a valid secp256k1 key")))?;
        let open = Arc::new(open);
        let mut cache = self.open.lock().unwrap_or_else(PoisonError::into_inner);
        cache.put(key.clone(), Arc::clone(&open));
        Ok(open)
    }

    fn binding(&self, key: &KeyRef, address: Address) -> Binding {
        // What was sealed with the key is no matter of who asks.
        if let Some(sealed) = self.source.sealed_for(key) {
            return sealed;
        }
        let bindings = self.bindings.lock().unwrap_or_else(PoisonError::into_inner);
        bindings.get(key).copied().unwrap_or(Binding::own(address))
    }

    fn digest(&self, request: &SignRequest) -> Result<(Arc<OpenKey>, Hash), SignerError> {
        match request {
            SignRequest::Order(plan) => {
                let key = self.key(&plan.account.key)?;
                check_order(plan, key.address, self.binding(&plan.account.key, key.address))?;
                let (order, exchange) =
                    OrderToSign::from_plan(plan).map_err(|error| SignerError::Policy(error.to_string()))?;
                let digest = signing_digest(&order, exchange, self.chain);
                self.spend(plan, digest)?;
                Ok((key, digest))
            }
            SignRequest::Relay(plan) => {
                let key = self.key(&plan.account.key)?;
                check_relay(plan, key.address, self.binding(&plan.account.key, key.address))?;
                self.act(&plan.account.key, &plan.actions)?;
                let relay = Relay::from_plan(plan).map_err(|error| SignerError::Policy(error.to_string()))?;
                Ok((key, relay.digest(self.chain)))
            }
            SignRequest::Transaction(plan) => {
                let key = self.key(&plan.account.key)?;
                check_transaction(plan, key.address, self.binding(&plan.account.key, key.address))?;
                self.act(&plan.account.key, &[plan.action])?;
                let transaction =
                    Transaction::from_plan(plan).map_err(|error| SignerError::Policy(error.to_string()))?;
                Ok((key, transaction.digest(self.chain)))
            }
            SignRequest::ApiLogin { key, timestamp, nonce } => {
                let key = self.key(key)?;
                let timestamp_seconds = u64::try_from(*timestamp)
                    .map_err(|_| SignerError::Policy(format!("login time {timestamp} lies before 1970")))?;
                let auth = ClobAuth { address: key.address, timestamp_seconds, nonce: *nonce };
                Ok((key, clob_auth_digest(&auth, self.chain)))
            }
        }
    }

    /// Redemptions are made by themselves, so that a sealed key makes them only while it is armed; everything else a
    /// person asks for by a command.
    fn act(&self, key: &KeyRef, actions: &[WalletAction]) -> Result<(), SignerError> {
        if !actions.iter().any(|action| matches!(action, WalletAction::Redeem(_))) {
            return Ok(());
        }
        self.spending(key)?.map_or(Ok(()), |spending| spending.armed_for(key))
    }

    /// The caps of a sealed key; `None` for another.
    fn spending(&self, key: &KeyRef) -> Result<Option<&Spending>, SignerError> {
        if self.source.sealed_for(key).is_none() {
            return Ok(None);
        }
        let text = "live trading is switched off; set `enabled = true` of [live] in the configuration";
        let off = || SignerError::Policy(text.to_owned());
        self.spending.as_ref().map(Some).ok_or_else(off)
    }

    /// Counts what an order with a sealed key may give, without the fees that the venue takes besides. A sale gives shares that were bought within the caps.
    fn spend(&self, plan: &OrderPlan, digest: Hash) -> Result<(), SignerError> {
        let key = &plan.account.key;
        let Some(spending) = self.spending(key)? else { return Ok(()) };
        let usd = match plan.side {
            Side::Buy => Usd(plan.amounts.maker),
            Side::Sell => Usd::ZERO,
        };
        spending.spend(key, digest, usd)
    }

    fn sign_all(&self, requests: &[SignRequest]) -> Vec<Result<Signature, SignerError>> {
        let sign = |request| self.digest(request).map(|(key, digest)| Signature(key.sign(&digest)));
        requests.iter().map(sign).collect()
    }
}

#[async_trait]
impl Signer for LocalSigner {
    async fn sign(&self, requests: &[SignRequest]) -> Vec<Result<Signature, SignerError>> {
        if requests.len() > MAX_BATCH {
            let text = format!("{} requests in one call, at most {MAX_BATCH} are taken", requests.len());
            return requests.iter().map(|_| Err(SignerError::Policy(text.clone()))).collect();
        }
        let runtime = tokio::runtime::Handle::try_current();
        let (Ok(runtime), true) = (runtime, requests.len() > INLINE_BATCH) else {
            return self.inner.sign_all(requests);
        };
        let tasks: Vec<_> = requests
            .chunks(CHUNK)
            .map(|chunk| {
                let (inner, chunk) = (Arc::clone(&self.inner), chunk.to_vec());
                (chunk.len(), runtime.spawn_blocking(move || inner.sign_all(&chunk)))
            })
            .collect();
        let mut answers = Vec::with_capacity(requests.len());
        for (count, task) in tasks {
            match task.await {
                Ok(signatures) => answers.extend(signatures),
                Err(error) => {
                    let failed = SignerError::Unavailable(error.to_string());
                    answers.extend(std::iter::repeat_n(Err(failed), count));
                }
            }
        }
        answers
    }

    async fn address(&self, key: &KeyRef) -> Result<Address, SignerError> {
        self.inner.key(key).map(|open| open.address)
    }
}

#[cfg(test)]
#[path = "local_tests.rs"]
mod tests;
