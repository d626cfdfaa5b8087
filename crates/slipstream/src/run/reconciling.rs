//! After a restore, or when the database went back in time by itself: what wallets with real money have, against what the
//! books say. Orders that were made after the backup are found at the venue and adopted. Money that differs still is booked,
//! shares that differ are told, and only then does a hold that may be lifted take the place of the restore's.

use std::{collections::BTreeMap, sync::Arc, time::Duration};

use anyhow::{Context as _, bail, ensure};
use domain::{
    Clock, Shares, TokenId, Usd,
    ids::{AccountId, AttemptId},
};
use engine::ports::{
    detection::Source,
    following::{Account, AccountMode, Hold, HoldCause, HoldScope, NewHold},
    store::Store,
    venue::{ChainReader, OrderGateway},
};
use polymarket::{JsonRpc, wallets::Wallets};
use tracing::{info, warn};

use super::{adopting::adopt, funding::LEAST};
use crate::wording::{count, dollars, shares, signed_dollars};

/// Time between two tries.
const LOOK_EVERY: Duration = Duration::from_secs(2);
/// Time between two words on why nothing was compared yet.
const TELL_EVERY: Duration = Duration::from_secs(60);
/// The chain counts as read when no more blocks than this are missing.
const BEHIND: i64 = 3;
/// Tokens asked for at once.
const PAGE: usize = 200;
/// How often an account is compared of which something is booked meanwhile.
const TRIES: usize = 5;
/// Shares that differ by less are rounding.
const ROUNDING: i64 = 10_000;

/// Compares whenever a hold waits for it, as soon as everything that was under way is settled.
pub(super) struct Reconciling {
    rpc: Arc<dyn JsonRpc>,
    reader: Arc<dyn ChainReader>,
    venue: Arc<dyn OrderGateway>,
    /// Uptime of the last try.
    tried: Option<Duration>,
    /// And of the last word on why it came to nothing.
    told: Option<Duration>,
    /// What was configured when no hold waited for it.
    without: Option<i64>,
}

impl Reconciling {
    /// Asks these providers.
    pub(super) fn new(
        rpc: Arc<dyn JsonRpc>,
        reader: Arc<dyn ChainReader>,
        venue: Arc<dyn OrderGateway>,
    ) -> Self {
        Self { rpc, reader, venue, tried: None, told: None, without: None }
    }

    /// Compares, when it is time to.
    pub(super) async fn look(&mut self, store: &dyn Store, clock: &dyn Clock) {
        let uptime = clock.uptime();
        if self.tried.is_some_and(|at| uptime.saturating_sub(at) < LOOK_EVERY) {
            return;
        }
        self.tried = Some(uptime);
        match self.when_changed(store, clock).await {
            Ok(()) => self.told = None,
            Err(error) if self.told.is_none_or(|at| uptime.saturating_sub(at) >= TELL_EVERY) => {
                self.told = Some(uptime);
                warn!(
                    "after the restore: wallets cannot be compared with the books yet, and the hold stands until they were: \
                     {error:#}"
                );
            }
            Err(_) => {}
        }
    }

    /// [`Self::reconcile`], unless nothing was configured, and so no hold placed, since there was none.
    async fn when_changed(&mut self, store: &dyn Store, clock: &dyn Clock) -> anyhow::Result<()> {
        let version = store.config_version().await?;
        if self.without != Some(version) {
            self.reconcile(store, clock).await?;
            self.without = Some(version);
        }
        Ok(())
    }

    /// Compares if there is a hold that waits for it: a database may go back in time at any moment.
    async fn reconcile(&self, store: &dyn Store, clock: &dyn Clock) -> anyhow::Result<()> {
        let holds = store.following(clock.now()).await?.holds;
        let restored = |hold: &&Hold| hold.cause == HoldCause::Reconciliation;
        if !holds.iter().any(|hold| restored(&hold)) {
            return Ok(());
        }
        let head = self.reader.head().await?.number;
        let read = store.cursor(Source::Chain).await?.unwrap_or(0);
        ensure!(head - read <= BEHIND, "the chain is read to block {read} of {head}");
        // What waits to be signed waits for this.
        ensure!(store.next_due().await?.is_none(), "orders are still being settled");
        let live = |account: &Account| account.mode == AccountMode::Live && !account.removed;
        let accounts: Vec<Account> = store.accounts(None).await?.into_iter().filter(live).collect();
        let (mut adopted, mut differences) = (0, 0);
        for account in &accounts {
            adopted += adopt(store, self.venue.as_ref(), clock, account).await?;
            differences += self.compare(store, clock, account, read).await?;
        }
        let found = match differences {
            0 => "no difference".to_owned(),
            number => count(number, "difference"),
        };
        let found = match adopted {
            0 => found,
            number => format!("{} adopted, {found}", count(number, "order")),
        };
        let asks = NewHold {
            scope: HoldScope::Installation,
            cause: HoldCause::Operator,
            reason: format!("restored from a backup, and compared with the wallets: {found}"),
            stops_exits: true,
            sells: false,
            expires_at: None,
        };
        // That one first: at no moment is nothing held. A panic's hold may be there, and does as well.
        store.hold_once(&asks, clock.now()).await?;
        for compared in holds.iter().filter(restored) {
            store.lift_hold(None, compared.id, clock.now()).await?;
        }
        let held = store.following(clock.now()).await?.holds;
        // Accounts of which orders were adopted are held by themselves.
        let asks = |hold: &&Hold| {
            matches!(hold.scope, HoldScope::Installation | HoldScope::Account(_))
                && hold.cause == HoldCause::Operator
        };
        let lift: Vec<String> =
            held.iter().filter(asks).map(|hold| format!("`slipstream lift {}`", hold.id)).collect();
        let lift = lift.join(", ");
        if (adopted, differences) == (0, 0) {
            info!(
                "after the restore: the wallets of {} with real money have what the books say; {lift} lets it trade again",
                count(accounts.len(), "account"),
            );
        } else {
            warn!(
                "after the restore: {found} between wallets and books, told above. Shares that were adopted, or that the books \
                 do not know, are sold by nobody here. When you agree, {lift} lets it trade again"
            );
        }
        Ok(())
    }

    /// How many differences there are.
    async fn compare(
        &self,
        store: &dyn Store,
        clock: &dyn Clock,
        account: &Account,
        block: i64,
    ) -> anyhow::Result<usize> {
        let mut differences = compare_money(self.rpc.as_ref(), store, clock, account).await?;
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

/// Books what a wallet's money differs by; how many differences there are. What was booked while the wallet was asked is
/// read again: a payout, or what another process that compares has booked.
async fn compare_money(
    rpc: &dyn JsonRpc,
    store: &dyn Store,
    clock: &dyn Clock,
    account: &Account,
) -> anyhow::Result<usize> {
    let (id, wallet) = (account.trading.id, account.trading.wallet);
    for _ in 0..TRIES {
        // In this order: whatever is in these books is in that block, and what the block has beyond them is to be booked.
        let known = store.accounts(Some(account.owner)).await?;
        let known = known.iter().find(|known| known.trading.id == id);
        let cash = known.context("it is not there any more")?.cash;
        let block = store.cursor(Source::Chain).await?.unwrap_or(0);
        let paid = store.unbooked_redemptions(i64::MAX, 1).await?;
        ensure!(paid.is_empty(), "what the chain paid out is still being booked");
        let filled = store.unbooked_orders(AttemptId(0), 1).await?;
        ensure!(filled.is_empty(), "what the chain filled is still being booked");
        let money = Wallets::new(rpc).money_at(wallet, block).await?;
        let more = money.minus(cash)?;
        if more == Usd::ZERO {
            return Ok(0);
        }
        if store.book_difference(account.owner, id, cash, money, clock.now()).await? {
            warn!(
                "account {}: the wallet has {} $, the books said {} $; {} $ are booked",
                account.label,
                dollars(money),
                dollars(cash),
                signed_dollars(more)
            );
            // The venue lists trades rounded; what an adopted order came to may be a hair beside.
            return Ok(usize::from(Usd(more.0.abs()) >= LEAST));
        }
    }
    bail!("money of account {} is being booked all the time", account.label)
}

/// What the books say that an account holds of every token that is known here, those that it may have bought since too.
async fn booked(store: &dyn Store, account: AccountId) -> anyhow::Result<BTreeMap<TokenId, Shares>> {
    let markets = store.all_markets().await?;
    let mut booked: BTreeMap<TokenId, Shares> =
        markets.iter().map(|market| (market.token, Shares::ZERO)).collect();
    let positions = store.positions(None).await?;
    let held = positions.iter().filter(|held| held.account == account);
    let held = held.map(|held| (held.token, held.position.shares));
    for (token, shares) in held.chain(store.adopted_shares(account).await?) {
        let sum = booked.entry(token).or_default();
        *sum = sum.plus(shares)?;
    }
    Ok(booked)
}

#[cfg(test)]
mod tests {
    use std::sync::atomic::{AtomicBool, Ordering};

    use async_trait::async_trait;
    use domain::Timestamp;
    use engine::ports::{following::Following as _, reports::Reports as _, venue::VenueError};
    use serde_json::{Value, json};
    use testkit::{memory_store::MemoryStore, virtual_clock::VirtualClock};

    use super::{super::live_account::live_account, *};

    /// A wallet with 130 $. While the first to ask waits for its answer, another process compares.
    struct Wallet {
        store: Arc<MemoryStore>,
        clock: Arc<VirtualClock>,
        asked: AtomicBool,
    }

    #[async_trait]
    impl JsonRpc for Wallet {
        async fn ask(&self, _: &str, _: Value) -> Result<Value, VenueError> {
            if !self.asked.swap(true, Ordering::SeqCst) {
                let accounts = self.store.accounts(None).await.unwrap();
                let other = compare_money(self, self.store.as_ref(), self.clock.as_ref(), &accounts[0]);
                assert_eq!(other.await.unwrap(), 1);
            }
            Ok(json!(format!("0x{:064x}", 130_000_000)))
        }

        async fn ask_one(&self, _: &[(&str, Value)]) -> Result<Vec<Value>, VenueError> {
            panic!("one at a time")
        }
    }

    #[tokio::test]
    async fn what_two_processes_compare_at_once_is_booked_once() {
        let clock = VirtualClock::new(Timestamp::from_seconds(1_800_000_000));
        let store = Arc::new(MemoryStore::new(Arc::clone(&clock) as _));
        let (owner, id) = live_account(&store, clock.as_ref()).await;
        store.book_deposit(owner, id, Usd(100_000_000), clock.now()).await.unwrap();
        let read = store.accounts(None).await.unwrap();
        let wallet = Wallet { store: Arc::clone(&store), clock: Arc::clone(&clock), asked: false.into() };
        let found = compare_money(&wallet, store.as_ref(), clock.as_ref(), &read[0]).await.unwrap();
        assert_eq!(found, 0, "the other one booked it");
        assert_eq!(store.accounts(None).await.unwrap()[0].cash, Usd(130_000_000));
        assert_eq!(store.ledger_after(None, 0, 9).await.unwrap().len(), 2);
    }
}
