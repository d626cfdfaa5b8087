//! Money of accounts with real money: what came to a wallet while its books said that it has nothing is booked as a
//! deposit, so that it can be spent.
//!
//! Only then: while anything is held, reserved or under way, the chain's balance is on its way to what the books say or the
//! other way round, and the difference says nothing.

use std::{collections::BTreeSet, sync::Arc, time::Duration};

use domain::{Clock, ids::AccountId};
use engine::ports::{
    following::{Account, AccountMode},
    store::Store,
};
use polymarket::{JsonRpc, wallets::Wallets};
use tracing::{debug, info};

use crate::wording::dollars;

/// Time between two looks.
const LOOK_EVERY: Duration = Duration::from_secs(10);

/// Looks for first deposits.
pub(super) struct Funding {
    rpc: Arc<dyn JsonRpc>,
    /// Uptime of the last look.
    looked: Option<Duration>,
}

impl Funding {
    /// Balances are read through this provider.
    pub(super) fn new(rpc: Arc<dyn JsonRpc>) -> Self {
        Self { rpc, looked: None }
    }

    /// Looks, when it is time to.
    pub(super) async fn look(&mut self, store: &dyn Store, clock: &dyn Clock) {
        let uptime = clock.uptime();
        if self.looked.is_some_and(|at| uptime.saturating_sub(at) < LOOK_EVERY) {
            return;
        }
        self.looked = Some(uptime);
        if let Err(error) = self.fund(store, clock).await {
            debug!("balances cannot be read now: {error:#}");
        }
    }

    async fn fund(&self, store: &dyn Store, clock: &dyn Clock) -> anyhow::Result<()> {
        for account in empty(store).await? {
            let (id, wallet) = (account.trading.id, account.trading.wallet);
            let held = Wallets::new(self.rpc.as_ref()).money(wallet).await?;
            // Asked before and after: nothing has begun meanwhile.
            let still = empty(store).await?.iter().any(|other| other.trading.id == id);
            if held.is_positive() && still {
                store.book_deposit(account.owner, id, held, clock.now()).await?;
                info!(
                    "account {}: {} $ of wallet {wallet} are booked as a deposit",
                    account.label,
                    dollars(held)
                );
            }
        }
        Ok(())
    }
}

/// Accounts with real money of which the books say that there is nothing, and of whose orders nothing is under way.
async fn empty(store: &dyn Store) -> anyhow::Result<Vec<Account>> {
    let accounts = store.accounts(None).await?;
    let nothing = |account: &Account| {
        account.mode == AccountMode::Live && !account.cash.is_positive() && !account.reserved.is_positive()
    };
    let mut empty: Vec<Account> = accounts.into_iter().filter(nothing).collect();
    if empty.is_empty() || store.count_open_work().await? > 0 || !store.open_transactions().await?.is_empty()
    {
        return Ok(Vec::new());
    }
    let held = store.positions(None).await?;
    let holding: BTreeSet<AccountId> =
        held.iter().filter(|held| held.position.shares.is_positive()).map(|held| held.account).collect();
    empty.retain(|account| !holding.contains(&account.trading.id));
    Ok(empty)
}
