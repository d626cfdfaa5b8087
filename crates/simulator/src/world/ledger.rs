//! Who has what: the venue's view, which follows every match at once, and the chain's history, which
//! follows blocks. Double entry: every amount moves from one wallet to another, so all sums are zero.

use std::collections::{BTreeMap, BTreeSet};

use domain::{Address, Side, TokenId};
use serde::Serialize;

use crate::signing::SignedFields;

/// What can be held. Amounts are in millionths.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Serialize)]
#[serde(rename_all = "snake_case")]
pub enum Asset {
    /// pUSD.
    Collateral,
    /// Shares of an outcome.
    Token(TokenId),
    /// USDC.e, of which pUSD is made.
    Usdce,
    /// POL, which gas is paid in.
    Pol,
}

impl SignedFields {
    /// What the order gives.
    #[must_use]
    pub const fn maker_asset(&self) -> Asset {
        match self.side {
            Side::Buy => Asset::Collateral,
            Side::Sell => Asset::Token(self.token),
        }
    }
}

/// One movement.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Transfer {
    /// What.
    pub asset: Asset,
    /// Who gives; `NOBODY` mints.
    pub from: Address,
    /// Who gets; `NOBODY` burns.
    pub to: Address,
    /// How much, in millionths.
    pub amount: i64,
}

/// Balances as the venue sees them.
#[derive(Debug, Default)]
pub struct Ledger(BTreeMap<(Address, Asset), i64>);

impl Ledger {
    /// Moves amounts.
    pub fn apply(&mut self, transfers: &[Transfer]) {
        for transfer in transfers {
            self.add(transfer.from, transfer.asset, transfer.amount.saturating_neg());
            self.add(transfer.to, transfer.asset, transfer.amount);
        }
    }

    /// Moves amounts back.
    pub fn reverse(&mut self, transfers: &[Transfer]) {
        for transfer in transfers {
            self.add(transfer.to, transfer.asset, transfer.amount.saturating_neg());
            self.add(transfer.from, transfer.asset, transfer.amount);
        }
    }

    /// Balance of a wallet; negative only for the house and for nobody.
    #[must_use]
    pub fn balance(&self, wallet: Address, asset: Asset) -> i64 {
        self.0.get(&(wallet, asset)).copied().unwrap_or(0)
    }

    /// All balances, by wallet.
    pub fn balances(&self) -> impl Iterator<Item = (Address, Asset, i64)> {
        self.0.iter().map(|((wallet, asset), amount)| (*wallet, *asset, *amount))
    }

    /// Everything one wallet has.
    pub fn of_wallet(&self, wallet: Address) -> impl Iterator<Item = (Asset, i64)> {
        self.0
            .range((wallet, Asset::Collateral)..)
            .take_while(move |((owner, _), _)| *owner == wallet)
            .map(|((_, asset), amount)| (*asset, *amount))
    }

    fn add(&mut self, wallet: Address, asset: Asset, amount: i64) {
        let balance = self.0.entry((wallet, asset)).or_default();
        *balance = balance.saturating_add(amount);
    }
}

/// Balances at every block: per wallet and asset the blocks in which it changed.
#[derive(Debug, Default)]
pub struct History(BTreeMap<(Address, Asset), Vec<(u64, i64)>>);

impl History {
    /// Moves amounts in a block, which is the newest.
    pub fn apply(&mut self, block: u64, transfers: &[Transfer]) {
        for transfer in transfers {
            self.add(block, (transfer.from, transfer.asset), transfer.amount.saturating_neg());
            self.add(block, (transfer.to, transfer.asset), transfer.amount);
        }
    }

    /// Forgets what these movements changed in blocks after `block`.
    pub fn rewind(&mut self, block: u64, transfers: &[Transfer]) {
        let touched: BTreeSet<_> = transfers
            .iter()
            .flat_map(|transfer| [(transfer.from, transfer.asset), (transfer.to, transfer.asset)])
            .collect();
        for key in touched {
            if let Some(changes) = self.0.get_mut(&key) {
                changes.truncate(changes.partition_point(|(number, _)| *number <= block));
            }
        }
    }

    /// Balance at the end of a block.
    #[must_use]
    pub fn at(&self, wallet: Address, asset: Asset, block: u64) -> i64 {
        let Some(changes) = self.0.get(&(wallet, asset)) else { return 0 };
        let count = changes.partition_point(|(number, _)| *number <= block);
        count.checked_sub(1).and_then(|index| changes.get(index)).map_or(0, |(_, balance)| *balance)
    }

    /// All balances at the newest block.
    pub fn latest(&self) -> impl Iterator<Item = (Address, Asset, i64)> {
        self.0.iter().map(|((wallet, asset), changes)| {
            (*wallet, *asset, changes.last().map_or(0, |(_, balance)| *balance))
        })
    }

    fn add(&mut self, block: u64, key: (Address, Asset), amount: i64) {
        let changes = self.0.entry(key).or_default();
        match changes.last_mut() {
            Some((number, balance)) if *number == block => *balance = balance.saturating_add(amount),
            last => {
                let balance = last.map_or(0, |(_, balance)| *balance);
                changes.push((block, balance.saturating_add(amount)));
            }
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    const A: Address = Address([1; 20]);
    const B: Address = Address([2; 20]);

    fn pay(from: Address, to: Address, amount: i64) -> Transfer {
        Transfer { asset: Asset::Collateral, from, to, amount }
    }

    #[test]
    fn history_answers_for_every_block() {
        let mut history = History::default();
        history.apply(5, &[pay(A, B, 10), pay(A, B, 1)]);
        history.apply(8, &[pay(B, A, 4)]);
        let at = |history: &History, block| history.at(B, Asset::Collateral, block);
        assert_eq!([4, 5, 7, 8, 99].map(|block| at(&history, block)), [0, 11, 11, 7, 7]);
        history.rewind(7, &[pay(B, A, 4)]);
        assert_eq!(at(&history, 99), 11);
        history.apply(8, &[pay(B, A, 1)]);
        assert_eq!(at(&history, 8), 10);
    }

    #[test]
    fn reversing_restores() {
        let mut ledger = Ledger::default();
        ledger.apply(&[pay(A, B, 10), pay(B, A, 3)]);
        assert_eq!(ledger.balance(B, Asset::Collateral), 7);
        ledger.reverse(&[pay(B, A, 3)]);
        assert_eq!(ledger.balance(B, Asset::Collateral), 10);
        assert_eq!(ledger.of_wallet(B).collect::<Vec<_>>(), [(Asset::Collateral, 10)]);
        assert_eq!(ledger.balances().map(|(_, _, amount)| amount).sum::<i64>(), 0);
    }
}
