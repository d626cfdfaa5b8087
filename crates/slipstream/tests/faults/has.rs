//! What a follower has, and what it has after the usual copy.

use domain::{Shares, Usd, money::ONE, position::Position};
use engine::ports::execution::LedgerCause;
use slipstream::demo::setup::DEPOSIT;

use crate::scene::Scene;

/// What a follower has, as booked.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Has {
    pub shares: Shares,
    pub cost: Usd,
    pub realised: Usd,
    pub fees: Usd,
    pub cash: Usd,
    pub reserved: Usd,
}

impl Has {
    /// Nothing but the deposit.
    pub const fn untouched() -> Self {
        Self {
            shares: Shares::ZERO,
            cost: Usd::ZERO,
            realised: Usd::ZERO,
            fees: Usd::ZERO,
            cash: DEPOSIT,
            reserved: Usd::ZERO,
        }
    }

    /// The copy of [`Scene::leader_buys`]: 10 shares at 0.50, and the fee of 10 x 0.04 x 0.25.
    pub const fn copied() -> Self {
        Self {
            shares: Shares(10 * ONE),
            cost: Usd(5 * ONE),
            realised: Usd::ZERO,
            fees: Usd(ONE / 10),
            cash: Usd(DEPOSIT.0 - 5 * ONE - ONE / 10),
            reserved: Usd::ZERO,
        }
    }
}

impl Scene {
    /// What a follower has.
    pub async fn has(&self, follower: usize) -> Has {
        let wallet = self.followers[follower].wallet;
        let accounts = self.store.accounts_of_wallets(&[wallet]).await.expect("accounts");
        let account = &accounts[0];
        let mut held = Position::default();
        for line in self.store.positions(None).await.expect("positions") {
            if line.account == account.trading.id {
                assert_eq!(line.token, self.market.tokens[0], "one token is traded");
                held = line.position;
            }
        }
        Has {
            shares: held.shares,
            cost: held.cost,
            realised: held.realised,
            fees: held.fees,
            cash: account.cash,
            reserved: account.reserved,
        }
    }

    /// The ledger's rows that move shares, oldest first, with the shares. Rows of fees alone come with the
    /// fee's exact amount, later than the fill; [`Scene::has`] has their sum.
    pub async fn ledger(&self) -> Vec<(LedgerCause, Shares)> {
        let rows = self.store.ledger_after(None, 0, 1_000).await.expect("a ledger");
        rows.into_iter()
            .filter(|row| row.entry.shares != Shares::ZERO)
            .map(|row| (row.cause, row.entry.shares))
            .collect()
    }
}
