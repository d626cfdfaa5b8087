//! Money of accounts with real money that came to their wallets, or left them, from outside: a first deposit, a later
//! one, a withdrawal. The books take it over, so that it can be spent, or is not spent any more.
//!
//! While anything of an account is under way, wallet and books differ for good reasons. So the account must be quiet from
//! before a block to after its comparison: then whatever the books know is in that block, and what the wallet has beyond
//! them came from outside. An account that never traded needs no such wait: its first money is booked when it is armed, and
//! before a run sends anything, so that no first trade is missed for money that is there.

use std::{
    collections::{BTreeSet, HashMap},
    sync::Arc,
    time::Duration,
};

use domain::{
    Clock, Timestamp, Usd,
    ids::{AccountId, AttemptId},
};
use engine::{
    deadline::within,
    ports::{
        following::{Account, AccountMode, HoldCause},
        store::Store,
    },
};
use polymarket::{JsonRpc, wallets::Wallets};
use tracing::{debug, info, warn};

use crate::wording::dollars;

/// Time between two looks at the books.
const LOOK_EVERY: Duration = Duration::from_secs(3);
/// Time between two comparisons of a wallet with its books, which ask an RPC provider.
const COMPARE_EVERY: Duration = Duration::from_secs(20);
/// How long a start waits for the first reading of wallets.
const PATIENCE: Duration = Duration::from_secs(3);
/// By as much this machine's clock may run behind that of the chain.
const CLOCKS: Duration = Duration::from_secs(2);
/// What is less is not told.
pub(super) const LEAST: Usd = Usd(10_000);
/// Orders, and redemptions, that are not booked yet and are looked at; with more of them nobody counts as quiet.
const UNBOOKED: usize = 1_000;

/// Compares wallets with books.
pub(super) struct Funding {
    rpc: Arc<dyn JsonRpc>,
    /// Uptime of the last look.
    looked: Option<Duration>,
    quiet: HashMap<AccountId, Quiet>,
    /// Uptimes of the last comparisons.
    compared: HashMap<AccountId, Duration>,
}

/// An account of which nothing is under way.
#[derive(Clone, Copy)]
struct Quiet {
    since: Timestamp,
    cash: Usd,
}

impl Funding {
    /// Asks these providers; first of all for the first money of accounts.
    pub(super) async fn begin(rpc: Arc<dyn JsonRpc>, store: &dyn Store, clock: &dyn Clock) -> Self {
        let mut funding = Self { rpc, looked: None, quiet: HashMap::new(), compared: HashMap::new() };
        // Who is not reached buys nothing until its money is booked (`readiness`).
        if let Ok(Err(error)) = within(clock, PATIENCE, funding.first(store, clock)).await {
            debug!("the first money of wallets cannot be read now: {error:#}");
        }
        funding
    }

    /// Books the first money of accounts that never traded.
    async fn first(&mut self, store: &dyn Store, clock: &dyn Clock) -> anyhow::Result<()> {
        let uptime = clock.uptime();
        for account in untouched(store, clock.now()).await? {
            let (id, wallet) = (account.trading.id, account.trading.wallet);
            if !self.is_due(id, uptime) {
                continue;
            }
            let held = Wallets::new(self.rpc.as_ref()).money(wallet).await?;
            self.compared.insert(id, uptime);
            if book_first(store, clock.now(), id, held).await? {
                tell_deposit(&account, held);
            }
        }
        Ok(())
    }

    fn is_due(&self, account: AccountId, uptime: Duration) -> bool {
        self.compared.get(&account).is_none_or(|at| uptime.saturating_sub(*at) >= COMPARE_EVERY)
    }

    /// Looks, when it is time to.
    pub(super) async fn look(&mut self, store: &dyn Store, clock: &dyn Clock) {
        let uptime = clock.uptime();
        if self.looked.is_some_and(|at| uptime.saturating_sub(at) < LOOK_EVERY) {
            return;
        }
        self.looked = Some(uptime);
        if let Err(error) = self.compare(store, clock).await {
            debug!("wallets cannot be compared with the books now: {error:#}");
        }
    }

    async fn compare(&mut self, store: &dyn Store, clock: &dyn Clock) -> anyhow::Result<()> {
        self.first(store, clock).await?;
        let now = clock.now();
        let accounts = quiet(store, now).await?;
        let still = |id: &AccountId, known: &mut Quiet| {
            accounts.iter().any(|account| account.trading.id == *id && account.cash == known.cash)
        };
        self.quiet.retain(still);
        let uptime = clock.uptime();
        let accounts: Vec<Account> =
            accounts.into_iter().filter(|account| self.is_due(account.trading.id, uptime)).collect();
        if accounts.is_empty() {
            return Ok(());
        }
        // Everything in it is booked, or is to be booked and keeps its account from being quiet.
        let Some(newest) = store.headers(1).await?.first().copied() else { return Ok(()) };
        for account in accounts {
            let id = account.trading.id;
            let known = self.quiet.entry(id).or_insert(Quiet { since: now, cash: account.cash });
            if newest.time >= known.since.plus(CLOCKS) {
                self.quiet.remove(&id);
                self.compared.insert(id, uptime);
                self.take_over(store, clock, &account, newest.number).await?;
            }
        }
        Ok(())
    }

    async fn take_over(
        &self,
        store: &dyn Store,
        clock: &dyn Clock,
        account: &Account,
        block: i64,
    ) -> anyhow::Result<()> {
        let (id, wallet, label) = (account.trading.id, account.trading.wallet, &account.label);
        let held = Wallets::new(self.rpc.as_ref()).money_at(wallet, block).await?;
        let more = held.minus(account.cash)?;
        let now = clock.now();
        let same = |other: &Account| other.trading.id == id && other.cash == account.cash;
        if Usd(more.0.abs()) < LEAST || !quiet(store, now).await?.iter().any(same) {
            return Ok(());
        }
        if !store.book_difference(account.owner, id, account.cash, held, now).await? {
            return Ok(());
        }
        if more.is_positive() {
            tell_deposit(account, more);
        } else {
            let less = dollars(Usd(more.0.abs()));
            warn!(
                "account {label}: {less} $ left wallet {wallet}, and not for an order: booked as a withdrawal"
            );
        }
        Ok(())
    }
}

fn tell_deposit(Account { label, trading, .. }: &Account, usd: Usd) {
    info!("account {label}: {} $ of wallet {} are booked as a deposit", dollars(usd), trading.wallet);
}

/// Books what the wallet of an account that never traded holds, if nothing is booked yet; whether anything was booked.
pub(crate) async fn book_first(
    store: &dyn Store,
    now: Timestamp,
    account: AccountId,
    held: Usd,
) -> anyhow::Result<bool> {
    let untouched = untouched(store, now).await?;
    match untouched.iter().find(|known| known.trading.id == account && held >= LEAST) {
        Some(known) => Ok(store.book_difference(known.owner, account, Usd::ZERO, held, now).await?),
        None => Ok(false),
    }
}

/// Accounts with real money that never traded and have nothing in the books: whatever is in their wallets came from outside.
async fn untouched(store: &dyn Store, now: Timestamp) -> anyhow::Result<Vec<Account>> {
    let mut accounts = quiet(store, now).await?;
    accounts.retain(|account| account.cash == Usd::ZERO);
    if !accounts.is_empty() {
        let traded: BTreeSet<AccountId> =
            store.positions(None).await?.iter().map(|position| position.account).collect();
        accounts.retain(|account| !traded.contains(&account.trading.id));
    }
    Ok(accounts)
}

/// Accounts with real money of which nothing is under way: no order waits, is sent or is being settled, nothing that the
/// chain filled or redeemed is still to be booked, and no transaction is open. None while a restore is being compared.
async fn quiet(store: &dyn Store, now: Timestamp) -> anyhow::Result<Vec<Account>> {
    let live = |account: &Account| {
        account.mode == AccountMode::Live && !account.removed && !account.reserved.is_positive()
    };
    let mut quiet: Vec<Account> = store.accounts(None).await?.into_iter().filter(live).collect();
    if quiet.is_empty() {
        return Ok(quiet);
    }
    if store.following(now).await?.holds.iter().any(|hold| hold.cause == HoldCause::Reconciliation) {
        return Ok(Vec::new());
    }
    let mut busy: BTreeSet<AccountId> = store.accounts_with_work().await?.into_iter().collect();
    busy.extend(store.open_transactions().await?.iter().map(|open| open.account.id));
    let redeemed = store.unbooked_redemptions(i64::MAX, UNBOOKED).await?;
    let filled = store.unbooked_orders(AttemptId(0), UNBOOKED).await?;
    if redeemed.len().max(filled.len()) >= UNBOOKED {
        return Ok(Vec::new());
    }
    busy.extend(redeemed.iter().map(|paid| paid.account));
    busy.extend(filled.iter().map(|order| order.intent.account.id));
    quiet.retain(|account| !busy.contains(&account.trading.id));
    Ok(quiet)
}

#[cfg(test)]
mod tests {
    use std::sync::atomic::{AtomicUsize, Ordering};

    use async_trait::async_trait;
    use engine::ports::{
        following::{Following as _, HoldScope, NewHold},
        reports::Reports as _,
        venue::VenueError,
    };
    use serde_json::{Value, json};
    use testkit::{memory_store::MemoryStore, virtual_clock::VirtualClock};

    use super::{super::live_account::live_account, *};

    /// A wallet with so many dollars, and how often it was asked.
    #[derive(Default)]
    struct Wallet(u64, AtomicUsize);

    #[async_trait]
    impl JsonRpc for Wallet {
        async fn ask(&self, _: &str, _: Value) -> Result<Value, VenueError> {
            self.1.fetch_add(1, Ordering::Relaxed);
            Ok(json!(format!("0x{:064x}", self.0 * 1_000_000)))
        }

        async fn ask_one(&self, _: &[(&str, Value)]) -> Result<Vec<Value>, VenueError> {
            panic!("one at a time")
        }
    }

    /// A provider counts what it is asked.
    #[tokio::test]
    async fn a_wallet_without_money_is_not_asked_at_every_look() {
        let clock = VirtualClock::new(Timestamp::from_seconds(1_800_000_000));
        let store = MemoryStore::new(Arc::clone(&clock) as _);
        live_account(&store, clock.as_ref()).await;
        let wallet = Arc::new(Wallet::default());
        let mut funding = Funding::begin(Arc::clone(&wallet) as _, &store, clock.as_ref()).await;
        for (after, asked) in [(LOOK_EVERY, 1), (LOOK_EVERY, 1), (COMPARE_EVERY, 2)] {
            clock.advance(after);
            funding.look(&store, clock.as_ref()).await;
            assert_eq!(wallet.1.load(Ordering::Relaxed), asked);
        }
    }

    /// It was booked some seconds after the start, and the first trade was skipped for want of money.
    #[tokio::test]
    async fn the_first_money_is_there_when_a_run_begins() {
        let clock = VirtualClock::new(Timestamp::from_seconds(1_800_000_000));
        let store = MemoryStore::new(Arc::clone(&clock) as _);
        let (_, id) = live_account(&store, clock.as_ref()).await;
        let cash = async || store.accounts(None).await.unwrap()[0].cash;
        // While a restore is being compared nothing is booked by the way.
        let restored = NewHold {
            scope: HoldScope::Installation,
            cause: HoldCause::Reconciliation,
            reason: "restored".to_owned(),
            stops_exits: true,
            sells: false,
            expires_at: None,
        };
        let hold = store.place_hold(None, &restored, clock.now()).await.unwrap();
        Funding::begin(Arc::new(Wallet(130, AtomicUsize::new(0))), &store, clock.as_ref()).await;
        assert_eq!(cash().await, Usd::ZERO);
        store.lift_hold(None, hold, clock.now()).await.unwrap();
        Funding::begin(Arc::new(Wallet(130, AtomicUsize::new(0))), &store, clock.as_ref()).await;
        assert_eq!(cash().await, Usd(130_000_000));
        // Later money waits until nothing is under way.
        assert!(!book_first(&store, clock.now(), id, Usd(999_000_000)).await.unwrap());
        assert_eq!(cash().await, Usd(130_000_000));
    }
}
