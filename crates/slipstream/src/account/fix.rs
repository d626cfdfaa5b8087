//! Getting what a wallet lacks: through the relayer, or as transactions of an EOA. Each is done only if the chain says
//! that it is missing, so whoever breaks off runs the command again.

use std::{
    path::Path,
    sync::{Arc, Mutex, PoisonError},
    time::Duration,
};

use anyhow::{Context, bail, ensure};
use domain::{Address, Clock, TradingAccount, WalletAction, WalletKind};
use eip712::Chain;
use engine::ports::{
    venue::{OrderGateway, Signer, VenueError},
    wallets::{Taken, TransactionOutcome},
};
use polymarket::{
    Clob, Eoa, JsonRpc, VenueLimits,
    relayer::{BuilderKey, Relayer, RelayerKey},
    wallets::{Finding, Fix, WalletReport, Wallets},
};
use serde::Deserialize;
use signer::read_private;
use tokio::sync::OnceCell;
use zeroize::Zeroizing;

use super::CheckArgs;
use crate::terminal::Progress;

/// How long a transaction may take to be in a block.
const PATIENCE: Duration = Duration::from_secs(180);
/// Between two looks, at first; then a quarter of what was waited so far …
const LOOK_FIRST: Duration = Duration::from_millis(500);
/// … up to this: the relayer takes 25 calls a minute.
const LOOK_LAST: Duration = Duration::from_secs(5);

/// Gets what is missing.
pub(super) struct Fixer<'a> {
    pub(super) arguments: &'a CheckArgs,
    pub(super) account: TradingAccount,
    pub(super) signer: Arc<dyn Signer>,
    pub(super) client: reqwest::Client,
    pub(super) rpc: Arc<dyn JsonRpc>,
    pub(super) clock: Arc<dyn Clock>,
    pub(super) relayer: OnceCell<Relayer>,
    pub(super) relayer_url: String,
    pub(super) clob_url: String,
    /// What is waited for.
    pub(super) progress: Progress,
    /// Transactions that were carried out.
    pub(super) done: Mutex<Vec<String>>,
    /// The relayer's among them.
    pub(super) limits: VenueLimits,
    /// The wallet, where it is fixed.
    pub(super) wallet: Option<Address>,
}

/// Who asks the relayer, as the file has it.
#[derive(Deserialize)]
#[serde(untagged, deny_unknown_fields)]
enum KeyFile {
    Own { key: Zeroizing<String>, address: Address },
    Builder { builder_key: String, secret: Zeroizing<String>, passphrase: Zeroizing<String> },
}

/// The key in this file.
pub(crate) fn relayer_key(path: &Path) -> anyhow::Result<RelayerKey> {
    let shown = path.display();
    let text = read_private(path).with_context(|| format!("the key in {shown}"))?;
    // What serde says could quote the file.
    let read = serde_json::from_slice(&text).ok();
    let read = read.with_context(|| {
        format!("{shown} must be JSON with `key` and `address`, or `builder_key`, `secret` and `passphrase`")
    })?;
    Ok(match read {
        KeyFile::Own { key, address } => RelayerKey::Own { key, address },
        KeyFile::Builder { builder_key, secret, passphrase } => {
            let builder = BuilderKey::new(builder_key, &secret, passphrase);
            RelayerKey::Builder(Box::new(
                builder.with_context(|| format!("the secret in {shown} is no base64"))?,
            ))
        }
    })
}

impl Fixer<'_> {
    /// Does what is asked for of what is missing, in the order in which it is needed, and looks again.
    ///
    /// # Errors
    /// In words, with what to do.
    pub(super) async fn fix(&self, mut report: WalletReport) -> anyhow::Result<WalletReport> {
        let (wallet, mut acted) = (self.account.wallet, false);
        if self.arguments.deploy && report.missing.iter().any(|finding| finding.fix() == Fix::Deploy) {
            self.deploy().await?;
            report = self.look().await?;
        }
        let acts = self.arguments.approve || self.arguments.wrap;
        let by_site = report.missing.iter().any(|finding| finding.fix() == Fix::Site);
        ensure!(
            !(acts && by_site),
            "wallet {wallet} is not there: log in at polymarket.com with this address and enable trading, then run \
             this again"
        );
        let approvals: Vec<WalletAction> = report.missing.iter().filter_map(|one| act(*one)).collect();
        if self.arguments.approve && !approvals.is_empty() {
            self.act(&approvals).await.context("approvals")?;
            acted = true;
            report = self.look().await?;
        }
        if self.arguments.wrap {
            // Whatever there is, also beside pUSD.
            let wallets = Wallets::new(self.rpc.as_ref());
            let usd = wallets.unwrapped(self.account.wallet).await.context("the chain cannot be read")?;
            if usd.is_positive() {
                let actions = [WalletAction::AllowOnramp(usd), WalletAction::Wrap(usd)];
                self.act(&actions).await.context("wrapping")?;
                acted = true;
                report = self.look().await?;
            }
        }
        if acted {
            self.tell_the_venue().await;
        }
        Ok(report)
    }

    /// The venue does not notice by itself what a wallet now has and allows. An order that is refused for it makes it
    /// look as well.
    async fn tell_the_venue(&self) {
        let (client, url) = (self.client.clone(), &self.clob_url);
        let signer = Arc::clone(&self.signer);
        let clob = Clob::new(client, url, Chain::Polygon, signer, Arc::clone(&self.clock));
        if let Err(error) = OrderGateway::look_again(&clob, &self.account, None).await {
            tracing::warn!(
                "the venue has not looked at the wallet again ({error}); it does so when an order is refused"
            );
        }
    }

    async fn look(&self) -> anyhow::Result<WalletReport> {
        super::report_of(self.rpc.as_ref(), self.account.signer, self.wallet).await
    }

    /// One for the whole command, because it keeps the relayer's pace.
    async fn relayer(&self) -> anyhow::Result<&Relayer> {
        let made = self.relayer.get_or_try_init(async || {
            let path = self.arguments.relayer_key.as_deref();
            let path = path.context("this wallet acts through the relayer; give --relayer-key")?;
            let signer = Arc::clone(&self.signer);
            let (client, url) = (self.client.clone(), &self.relayer_url);
            Ok(Relayer::new(client, url, relayer_key(path)?, signer, Arc::clone(&self.clock))
                .paced(self.limits.clone()))
        });
        made.await
    }

    async fn deploy(&self) -> anyhow::Result<()> {
        let (wallet, kind) = (self.account.wallet, self.account.kind);
        let relayer = self.relayer().await?;
        // Run again while an earlier run's wallet is being made, it only waits.
        if !relayer.is_deployed(wallet, kind).await? && relayer.under_way(wallet).await?.is_none() {
            relayer.deploy(&self.account).await.context("the wallet is not made")?;
        }
        let until = self.clock.uptime() + PATIENCE;
        while !relayer.is_deployed(wallet, kind).await? || relayer.under_way(wallet).await?.is_some() {
            self.wait(until, "the new wallet").await?;
        }
        Ok(())
    }

    async fn act(&self, actions: &[WalletAction]) -> anyhow::Result<()> {
        if self.account.kind == WalletKind::Eoa {
            return self.send(actions).await;
        }
        let relayer = self.relayer().await?;
        let until = self.clock.uptime() + PATIENCE;
        while let Some(before) = relayer.under_way(self.account.wallet).await? {
            self.wait(until, &format!("relayed transaction {}", before.id)).await?;
        }
        let transaction = relayer.prepare(&self.account, actions).await?;
        let nonce = transaction.nonce;
        let id = loop {
            match relayer.send(&transaction).await {
                Ok(Taken::Yes(id)) => break id,
                Ok(Taken::NotNow(reason)) => {
                    self.wait(until, &format!("transaction {nonce} of the wallet ({reason})")).await?;
                }
                // Whether it was taken is open; the look-ups say so.
                Err(VenueError::Timeout { .. } | VenueError::Unavailable { .. }) => break None,
                Err(error) => return Err(error.into()),
            }
        };
        loop {
            match relayer.outcome(&self.account, &transaction, id.as_deref()).await? {
                TransactionOutcome::Confirmed(_) => {
                    self.note(id.unwrap_or_else(|| format!("{nonce} of the wallet")));
                    return Ok(());
                }
                TransactionOutcome::Underway | TransactionOutcome::Unseen => {
                    self.wait(until, &format!("transaction {nonce} of the wallet")).await?;
                }
                TransactionOutcome::Failed(reason) => {
                    bail!("transaction {nonce} of the wallet failed: {reason}")
                }
                TransactionOutcome::Replaced => {
                    bail!("another transaction {nonce} of the wallet was carried out")
                }
            }
        }
    }

    /// One transaction after the other, each in a block before the next is signed.
    async fn send(&self, actions: &[WalletAction]) -> anyhow::Result<()> {
        let signer = Arc::clone(&self.signer);
        let eoa = Eoa::new(Arc::clone(&self.rpc), signer, Chain::Polygon);
        for (number, action) in (1..).zip(actions) {
            self.progress.now(&format!("transaction {number} of {}", actions.len()));
            let transaction = eoa.prepare(&self.account, *action).await?;
            let hash = transaction.tx.map(|hash| hash.to_string()).unwrap_or_default();
            if let Taken::NotNow(reason) = eoa.send(&transaction).await? {
                bail!(
                    "transaction {hash} is not taken: {reason}; wait for what is under way and run this again"
                );
            }
            let until = self.clock.uptime() + PATIENCE;
            loop {
                match eoa.outcome(&self.account, &transaction).await? {
                    TransactionOutcome::Underway | TransactionOutcome::Confirmed(_) => {
                        self.note(hash);
                        break;
                    }
                    TransactionOutcome::Unseen => self.wait(until, &format!("transaction {hash}")).await?,
                    TransactionOutcome::Failed(reason) => bail!("transaction {hash} failed: {reason}"),
                    TransactionOutcome::Replaced => bail!("another transaction took the place of {hash}"),
                }
            }
        }
        Ok(())
    }

    fn note(&self, transaction: String) {
        self.done.lock().unwrap_or_else(PoisonError::into_inner).push(transaction);
    }

    async fn wait(&self, until: Duration, what: &str) -> anyhow::Result<()> {
        ensure!(
            self.clock.uptime() < until,
            "{what} is in no block after {PATIENCE:?}; run this again, it does only what is still missing"
        );
        self.progress.now(&format!("waiting for {what}"));
        let waited = PATIENCE.saturating_sub(until.saturating_sub(self.clock.uptime()));
        self.clock.sleep((waited / 4).clamp(LOOK_FIRST, LOOK_LAST)).await;
        Ok(())
    }
}

fn act(finding: Finding) -> Option<WalletAction> {
    match finding.fix() {
        Fix::Act(action) => Some(action),
        _ => None,
    }
}
