//! What wallets can spend: balances less what open orders hold back, and the venue's texts when it is not
//! enough. Reads only.

use std::collections::BTreeMap;

use domain::{Address, Side, Usd};

use super::{Refusal, World, journal::OrderRecord, ledger::Asset, matching::Fill, orders::Submission};
use crate::contracts::HOUSE;

/// What the wallets of resting orders still have while a match is planned.
pub(super) struct Purse<'a> {
    world: &'a World,
    spent: BTreeMap<(Address, Asset), i64>,
}

impl Purse<'_> {
    /// Whether the resting order's wallet can pay this fill, after those before it.
    pub(super) fn can_pay(&mut self, fill: &Fill) -> bool {
        if fill.maker == HOUSE {
            return true;
        }
        let (asset, amount) = match fill.side {
            Side::Sell => (Asset::Token(fill.token), fill.shares.0),
            Side::Buy => (Asset::Collateral, fill.maker_usd.0),
        };
        let spent = self.spent.entry((fill.maker, asset)).or_default();
        *spent = spent.saturating_add(amount);
        self.world.ledger.balance(fill.maker, asset) >= *spent
    }
}

impl World {
    pub(super) const fn purse(&self) -> Purse<'_> {
        Purse { world: self, spent: BTreeMap::new() }
    }

    /// What a wallet can spend: its balance less what open orders hold back; nothing without approval.
    #[must_use]
    pub fn available(&self, wallet: Address, asset: Asset) -> i64 {
        if !self.is_approved(wallet) {
            return 0;
        }
        self.ledger.balance(wallet, asset).saturating_sub(self.held_back(wallet, asset)).max(0)
    }

    fn is_approved(&self, wallet: Address) -> bool {
        self.registry.wallet(&wallet).is_some_and(|wallet| wallet.approved)
    }

    fn held_back(&self, wallet: Address, asset: Asset) -> i64 {
        self.reserved.get(&(wallet, asset)).copied().unwrap_or(0)
    }

    /// Whether the order's wallet can pay for it and its fees. The texts are those of the live venue.
    pub(super) fn check_balance(&self, order: &Submission, fees: Usd) -> Result<(), Refusal> {
        let (wallet, asset) = (order.fields.maker, order.fields.maker_asset());
        let open = self.journal.orders.get(&order.id).map_or(0, OrderRecord::open_maker);
        let fee = if order.fields.side == Side::Buy { fees.0 } else { 0 };
        let needed = open.saturating_add(fee);
        let what = "not enough balance / allowance";
        if !self.is_approved(wallet) {
            let spender = order.exchange.address();
            return Err(Refusal::bad(format!(
                "{what}: the allowance is not enough -> spender: {spender}, allowance: 0, order amount: {needed}"
            )));
        }
        if self.available(wallet, asset) >= needed {
            return Ok(());
        }
        let balance = self.ledger.balance(wallet, asset);
        let active = self.held_back(wallet, asset);
        Err(Refusal::bad(if active > 0 {
            format!(
                "{what}: the balance is not enough -> balance: {balance}, sum of active orders: {active}, \
                 sum of matched orders: 0, order amount (inc. fees): {needed}"
            )
        } else {
            format!("{what}: the balance is not enough -> balance: {balance}, order amount: {needed}")
        }))
    }
}
