//! Payouts in the demo: the relayer's key, the redeemer, and whether everything resolved is paid.

use std::{collections::HashSet, sync::Arc};

use anyhow::Context;
use domain::{Clock, ConditionId, Shares, TokenId};
use eip712::Chain;
use engine::ports::{store::Store, wallets::Redeemer};
use polymarket::{
    Answers, Eoa, WalletRedeemer,
    relayer::{BuilderKey, Relayer, RelayerKey},
};
use signer::LocalSigner;
use zeroize::Zeroizing;

use super::{SimulatorUrls, control::Control};
use crate::{chain::ChainProviders, secrets::InstallationSecret};

/// Fewer shares pay less than an EOA redeems for.
const DUST: Shares = Shares(10_000);

/// What redeeming in the demo is made of.
pub struct Parts<'a> {
    /// The process's HTTP client.
    pub client: reqwest::Client,
    /// The simulator's control.
    pub control: &'a Control,
    /// Where the simulator listens.
    pub urls: &'a SimulatorUrls,
    /// Of which the relayer's key is derived.
    pub secret: &'a InstallationSecret,
    /// Signs.
    pub signer: &'a Arc<LocalSigner>,
    /// The chain.
    pub providers: &'a ChainProviders,
    /// Time.
    pub clock: &'a Arc<dyn Clock>,
    /// Where answers are counted.
    pub answers: &'a Arc<Answers>,
}

/// A relayer of the simulated venue with a builder's key that the venue is told of.
///
/// # Errors
/// When the simulator refuses.
pub async fn relayer(parts: &Parts<'_>) -> anyhow::Result<Relayer> {
    // Hex is base64 as well.
    let secret = Zeroizing::new(hex::encode(parts.secret.derive(&[b"builder key"])));
    let (key, passphrase) = ("demo-builder".to_owned(), Zeroizing::new("demo".to_owned()));
    parts.control.add_builder_key(&key, &secret, &passphrase).await?;
    let builder = BuilderKey::new(key, &secret, passphrase).context("the builder's key is no base64")?;
    Ok(Relayer::new(
        parts.client.clone(),
        &parts.urls.relayer,
        RelayerKey::Builder(Box::new(builder)),
        Arc::clone(parts.signer) as _,
        Arc::clone(parts.clock),
    )
    .counting(Arc::clone(parts.answers)))
}

/// Redeems for the demo's followers.
///
/// # Errors
/// As [`relayer`].
pub async fn redeemer(parts: &Parts<'_>) -> anyhow::Result<Arc<dyn Redeemer>> {
    let relayer = if parts.urls.relayer.is_empty() { None } else { Some(relayer(parts).await?) };
    let rpc = parts.providers.json_rpc();
    let eoa = Eoa::new(Arc::clone(&rpc), Arc::clone(parts.signer) as _, Chain::Polygon);
    let reader = parts.providers.reader();
    Ok(Arc::new(WalletRedeemer::new(relayer, eoa, rpc, reader, Chain::Polygon)))
}

/// Whether nothing is under way, and of these resolved conditions nothing is held any more.
///
/// # Errors
/// Store errors.
pub async fn is_paid(store: &dyn Store, resolved: &[ConditionId]) -> anyhow::Result<bool> {
    if !store.open_transactions().await?.is_empty() {
        return Ok(false);
    }
    let positions = store.positions(None).await?;
    let held: HashSet<TokenId> =
        positions.iter().filter(|held| held.position.shares >= DUST).map(|held| held.token).collect();
    let held: Vec<TokenId> = held.into_iter().collect();
    let conditions = store.conditions_of(&held).await?;
    Ok(!conditions.iter().any(|(_, condition)| resolved.contains(condition)))
}
