//! After a restore: what wallets with real money have, against what the books say. Orders that were made after the backup
//! are not known here; what they left is. Money that differs is booked, shares that differ are told, and only then is
//! lifting the hold offered.

use std::{collections::BTreeMap, sync::Arc, time::Duration};

use anyhow::ensure;
use domain::{Clock, Shares, TokenId, Usd, ids::AccountId};
use engine::ports::{
    detection::Source,
    following::{Account, AccountMode, Hold, HoldCause},
    store::Store,
    venue::ChainReader,
};
use polymarket::{JsonRpc, wallets::Wallets};
use tracing::{debug, info, warn};

use crate::wording::{dollars, shares, signed_dollars};

/// Time between two tries.
const LOOK_EVERY: Duration = Duration::from_secs(2);
/// The chain counts as read when no more blocks than this are missing.
const BEHIND: i64 = 3;
/// Tokens asked for at once.
const PAGE: usize = 200;
/// Shares that differ by less are rounding.
const ROUNDING: i64 = 10_000;

/// Compares once, as soon as everything that was under way is settled.
pub(super) struct Reconciling {
    rpc: Arc<dyn JsonRpc>,
    reader: Arc<dyn ChainReader>,
    /// Uptime of the last try.
    tried: Option<Duration>,
    done: bool,
}

impl Reconciling {
    /// Asks these providers.
    pub(super) fn new(rpc: Arc<dyn JsonRpc>, reader: Arc<dyn ChainReader>) -> Self {
        Self { rpc, reader, tried: None, done: false }
    }

    /// Compares, when it is time to.
    pub(super) async fn look(&mut self, store: &dyn Store, clock: &dyn Clock) {
        let uptime = clock.uptime();
        if self.done || self.tried.is_some_and(|at| uptime.saturating_sub(at) < LOOK_EVERY) {
            return;
        }
        self.tried = Some(uptime);
        match self.reconcile(store, clock).await {
            Ok(done) => self.done = done,
            Err(error) => debug!("wallets cannot be compared with the books yet: {error:#}"),
        }
    }

    async fn reconcile(&self, store: &dyn Store, clock: &dyn Clock) -> anyhow::Result<bool> {
        let holds = store.following(clock.now()).await?.holds;
        let restored = |hold: &&Hold| hold.cause == HoldCause::Reconciliation;
        let Some(hold) = holds.iter().find(restored) else { return Ok(true) };
        let head = self.reader.head().await?.number;
        let read = store.cursor(Source::Chain).await?.unwrap_or(0);
        ensure!(head - read <= BEHIND, "the chain is read to block {read} of {head}");
        ensure!(store.count_open_work().await? == 0, "orders are still being settled");
        let live = |account: &Account| account.mode == AccountMode::Live && !account.removed;
        let accounts: Vec<Account> = store.accounts(None).await?.into_iter().filter(live).collect();
        let mut differences = 0;
        for account in &accounts {
            differences += self.compare(store, clock, account, read).await?;
        }
        if differences == 0 {
            info!(
                "after the restore: wallets of {} accounts with real money have what the books say; \
                 `slipstream lift {}` lets it trade again",
                accounts.len(),
                hold.id
            );
        } else {
            warn!(
                "after the restore: {differences} differences between wallets and books, told above. Shares that the books do \
                 not know are sold by nobody here. When you agree, `slipstream lift {}` lets it trade again",
                hold.id
            );
        }
        Ok(true)
    }

    /// How many differences there are.
    async fn compare(
        &self,
        store: &dyn Store,
        clock: &dyn Clock,
        account: &Account,
        block: i64,
    ) -> anyhow::Result<usize> {
        let mut differences = 0;
        let money = Wallets::new(self.rpc.as_ref()).money(account.trading.wallet).await?;
        let more = money.minus(account.cash)?;
        if more != Usd::ZERO {
            differences += 1;
            store.book_deposit(account.owner, account.trading.id, more, clock.now()).await?;
            warn!(
                "account {}: the wallet has {} $, the books said {} $; {} $ are booked",
                account.label,
                dollars(money),
                dollars(account.cash),
                signed_dollars(more)
            );
        }
        let booked = booked(store, account.trading.id).await?;
        let tokens: Vec<TokenId> = booked.keys().copied().collect();
        for page in tokens.chunks(PAGE) {
            let queries: Vec<_> = page.iter().map(|token| (account.trading.wallet, *token)).collect();
            let held = self.reader.balances(&queries, block).await?;
            for (token, held) in page.iter().zip(held) {
                let books = booked.get(token).copied().unwrap_or_default();
                if (held.0 - books.0).abs() >= ROUNDING {
                    differences += 1;
                    warn!(
                        "account {}: the wallet has {} shares of {token}, the books say {}",
                        account.label,
                        shares(held),
                        shares(books)
                    );
                }
            }
        }
        Ok(differences)
    }
}

/// What the books say that an account holds of every token that is known here, those that it may have bought since too.
async fn booked(store: &dyn Store, account: AccountId) -> anyhow::Result<BTreeMap<TokenId, Shares>> {
    let markets = store.all_markets().await?;
    let mut booked: BTreeMap<TokenId, Shares> =
        markets.iter().map(|market| (market.token, Shares::ZERO)).collect();
    for held in store.positions(None).await?.iter().filter(|held| held.account == account) {
        let sum = booked.entry(held.token).or_default();
        *sum = sum.plus(held.position.shares)?;
    }
    Ok(booked)
}
