//! Money of accounts with real money that came to their wallets, or left them, from outside: a first deposit, a later
//! one, a withdrawal. The books take it over, so that it can be spent, or is not spent any more.
//!
//! While anything of an account is under way, wallet and books differ for good reasons. So the account must be quiet from
//! before a block to after its comparison: then whatever the books know is in that block, and what the wallet has beyond
//! them came from outside.

use std::{
    collections::{BTreeSet, HashMap},
    sync::Arc,
    time::Duration,
};

use domain::{
    Clock, Timestamp, Usd,
    ids::{AccountId, AttemptId},
};
use engine::ports::{
    following::{Account, AccountMode, HoldCause},
    store::Store,
};
use polymarket::{JsonRpc, wallets::Wallets};
use tracing::{debug, info, warn};

use crate::wording::dollars;

/// Time between two looks at the books.
const LOOK_EVERY: Duration = Duration::from_secs(3);
/// Time between two comparisons of a wallet with its books, which ask an RPC provider.
const COMPARE_EVERY: Duration = Duration::from_secs(20);
/// By as much this machine's clock may run behind that of the chain.
const CLOCKS: Duration = Duration::from_secs(2);
/// What is less is not told.
const LEAST: Usd = Usd(10_000);
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
    /// Asks these providers.
    pub(super) fn new(rpc: Arc<dyn JsonRpc>) -> Self {
        Self { rpc, looked: None, quiet: HashMap::new(), compared: HashMap::new() }
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
        let now = clock.now();
        let accounts = quiet(store, now).await?;
        let still = |id: &AccountId, known: &mut Quiet| {
            accounts.iter().any(|account| account.trading.id == *id && account.cash == known.cash)
        };
        self.quiet.retain(still);
        let uptime = clock.uptime();
        let due = |id: &AccountId| {
            self.compared.get(id).is_none_or(|at| uptime.saturating_sub(*at) >= COMPARE_EVERY)
        };
        let accounts: Vec<Account> =
            accounts.into_iter().filter(|account| due(&account.trading.id)).collect();
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
            info!("account {label}: {} $ of wallet {wallet} are booked as a deposit", dollars(more));
        } else {
            let less = dollars(Usd(more.0.abs()));
            warn!(
                "account {label}: {less} $ left wallet {wallet}, and not for an order: booked as a withdrawal"
            );
        }
        Ok(())
    }
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
