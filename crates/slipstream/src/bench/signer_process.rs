//! What a signature costs through the socket of a signer, beside one in this process: framing, JSON, caps.

use std::{path::Path, sync::Arc, time::Duration};

use anyhow::{Context as _, ensure};
use async_trait::async_trait;
use domain::{
    Clock, KeyRef, Timestamp, TradingAccount, Usd, WalletKind,
    ids::{AccountId, OwnerId},
    money::ONE,
};
use engine::ports::{
    following::NewAccount,
    secrets::{SealedKey, SealedKeys, StoredKeys},
    store::{StoreError, StoreResult},
    venue::{SignRequest, Signer},
};
use signer::{
    Caps, KeyKeeper, KeyUse, LocalKeeper, PrivateKey, RemoteKeeper, Served, Unlock, encrypt_for, serve,
};
use zeroize::Zeroizing;

use super::{order_cost::plan, sample::median};

/// Orders signed in one run.
const ORDERS: u64 = 2_048;
/// Orders in one call, as a worker has.
const BATCH: usize = 64;
/// Runs; the median counts.
const RUNS: usize = 5;

/// Wall-clock time of one signature.
pub(super) struct SignerCost {
    /// In this process.
    pub(super) here: Duration,
    /// Through a socket.
    pub(super) there: Duration,
}

/// Measures, with a key that never held anything.
pub(super) async fn measure(directory: &Path, clock: &Arc<dyn Clock>) -> anyhow::Result<SignerCost> {
    let (here, there) = (directory.join("signer-here"), directory.join("signer-there"));
    for made in [&here, &there] {
        std::fs::create_dir_all(made)?;
    }
    let local = LocalKeeper::open(&unlock()?, None, &here, true, Arc::clone(clock))?;
    let socket = there.join("signer.sock");
    let served = Served { unlock: unlock()?, directory: there, live: true, clock: Arc::clone(clock) };
    let path = socket.clone();
    let server = tokio::spawn(async move { serve(&path, served).await });
    // Whoever connects too early is told so.
    while !socket.exists() {
        ensure!(!server.is_finished(), "the signer's socket cannot be made");
        tokio::task::yield_now().await;
    }
    let remote = RemoteKeeper::new(socket, Arc::new(Nothing), Arc::clone(clock));
    remote.header().await?;
    let cost = SignerCost {
        here: per_order(&local, clock.as_ref()).await?,
        there: per_order(&remote, clock.as_ref()).await?,
    };
    server.abort();
    Ok(cost)
}

fn unlock() -> anyhow::Result<Unlock> {
    Ok(Unlock::passphrase(Zeroizing::new("of a benchmark, worth nothing".to_owned()))?)
}

async fn per_order(keeper: &dyn KeyKeeper, clock: &dyn Clock) -> anyhow::Result<Duration> {
    let key = PrivateKey::parse("77".repeat(32).as_bytes())?;
    let (wallet, name) = (key.address(), KeyRef("bench".to_owned()));
    let file = encrypt_for(&keeper.public_key().await?, &key)?;
    let (owner, kind) = (OwnerId(1), WalletKind::Eoa);
    let purpose = KeyUse { owner, name: name.clone(), wallet, kind, until: None, version: 1 };
    keeper.take(keeper.seal(&file, &purpose).await?).await?;
    // A day's cap that all runs fit in, so that what is measured is no refusal.
    let caps = Caps { order: Usd(100 * ONE), day: Usd(10_000_000 * ONE) };
    keeper.arm(&name, caps).await?;
    let account =
        TradingAccount { id: AccountId(1), wallet, signer: wallet, kind: WalletKind::Eoa, key: name };
    let mut runs = Vec::new();
    for run in 0..RUNS as u64 {
        let orders = (run * ORDERS)..((run + 1) * ORDERS);
        let requests: Vec<SignRequest> =
            orders.map(|number| SignRequest::Order(plan((&account, number)))).collect();
        let begun = clock.uptime();
        for batch in requests.chunks(BATCH) {
            let answers = Signer::sign(keeper, batch).await;
            ensure!(answers.iter().all(Result::is_ok), "an order was not signed: {:?}", answers.first());
        }
        let took = clock.uptime().saturating_sub(begun);
        runs.push(took / u32::try_from(ORDERS).context("too many orders")?);
    }
    Ok(median(runs))
}

/// A store without keys: the signer is told of them by the benchmark.
struct Nothing;

#[async_trait]
impl SealedKeys for Nothing {
    async fn sealed_keys(&self) -> StoreResult<Option<StoredKeys>> {
        Ok(None)
    }
    async fn begin_keys(&self, _: &str) -> StoreResult<()> {
        Err(nothing())
    }
    async fn add_keyed_account(
        &self,
        _: OwnerId,
        _: &NewAccount,
        _: &SealedKey,
        _: Timestamp,
    ) -> StoreResult<AccountId> {
        Err(nothing())
    }
    async fn rewrap_keys(&self, _: &str, _: &str, _: &[(KeyRef, Vec<u8>)]) -> StoreResult<()> {
        Err(nothing())
    }
    async fn replace_key(&self, _: OwnerId, _: AccountId, _: &SealedKey, _: Timestamp) -> StoreResult<()> {
        Err(nothing())
    }
    async fn remove_account(&self, _: OwnerId, _: AccountId, _: Timestamp) -> StoreResult<()> {
        Err(nothing())
    }
}

fn nothing() -> StoreError {
    StoreError::Unavailable("a benchmark keeps no keys".to_owned())
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::clock::SystemClock;

    #[tokio::test(flavor = "multi_thread")]
    async fn a_socket_costs_more_than_none() {
        let directory = tempfile::tempdir().unwrap();
        let clock: Arc<dyn Clock> = Arc::new(SystemClock);
        let cost = measure(directory.path(), &clock).await.unwrap();
        assert!(cost.here > Duration::ZERO && cost.there > cost.here / 2);
    }
}
