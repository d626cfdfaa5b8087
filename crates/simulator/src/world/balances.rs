//! What wallets can spend: balances less what open orders hold back, and the venue's texts when it is not
//! enough. Reads only.

use std::collections::BTreeMap;

use alloy_primitives::U256;
use domain::{Address, Side, Usd};

use super::{
    Refusal, World,
    journal::OrderRecord,
    ledger::{Asset, Transfer},
    matching::Fill,
    orders::Submission,
};
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
        let market = self.world.registry.market_of(&fill.token);
        let allowed = market.map(|market| self.world.allowance(fill.maker, asset, market.exchange()));
        self.world.ledger.balance(fill.maker, asset) >= *spent
            && allowed.is_some_and(|allowed| allowed >= U256::from(spent.unsigned_abs()))
    }
}

impl World {
    pub(super) const fn purse(&self) -> Purse<'_> {
        Purse { world: self, spent: BTreeMap::new() }
    }

    /// The balance as the venue sees it: while its balances lag, without what came or went unnoticed.
    #[must_use]
    pub fn seen_balance(&self, wallet: Address, asset: Asset) -> i64 {
        let unseen = self.unseen.get(&(wallet, asset)).copied().unwrap_or(0);
        self.ledger.balance(wallet, asset).saturating_sub(unseen)
    }

    /// Makes the venue look at a wallet's balance of an asset, and at what the exchanges may take of it, again.
    pub fn refresh_balance(&mut self, wallet: Address, asset: Asset) {
        self.unseen.remove(&(wallet, asset));
        self.refresh_allowances(wallet, asset);
    }

    /// Notes movements that the venue does not notice by itself while its balances lag.
    pub(super) fn overlook(&mut self, transfers: &[Transfer]) {
        if !self.knobs.balances_lag {
            return;
        }
        for moved in transfers {
            for (wallet, amount) in [(moved.to, moved.amount), (moved.from, moved.amount.saturating_neg())] {
                let unseen = self.unseen.entry((wallet, moved.asset)).or_default();
                *unseen = unseen.saturating_add(amount);
            }
        }
    }

    /// What was bought or earned in matches that are in no block yet.
    fn unmined(&self, wallet: Address, asset: Asset) -> i64 {
        if !self.knobs.unmined_is_locked {
            return 0;
        }
        let matches = self.chain.pending.iter().filter(|tx| tx.trade.is_some());
        let moved = matches.flat_map(|tx| &tx.transfers);
        moved.filter(|moved| moved.to == wallet && moved.asset == asset).map(|moved| moved.amount).sum()
    }

    /// What a wallet has to spend: its balance less what open orders hold back.
    #[must_use]
    pub fn available(&self, wallet: Address, asset: Asset) -> i64 {
        self.spendable(wallet, asset).saturating_sub(self.held_back(wallet, asset)).max(0)
    }

    /// Money that went away unnoticed is not there, money that came unnoticed does not count.
    fn spendable(&self, wallet: Address, asset: Asset) -> i64 {
        let balance = self.ledger.balance(wallet, asset).min(self.seen_balance(wallet, asset));
        balance.saturating_sub(self.unmined(wallet, asset))
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
        // What was taken back counts at once, what was given once it is noticed.
        let exchange = order.exchange;
        let allowed =
            self.allowance(wallet, asset, exchange).min(self.seen_allowance(wallet, asset, exchange));
        if allowed < U256::from(needed.unsigned_abs()) {
            let spender = exchange.address();
            return Err(Refusal::bad(format!(
                "{what}: the allowance is not enough -> spender: {spender}, allowance: {allowed}, order amount: \
                 {needed}"
            )));
        }
        if self.available(wallet, asset) >= needed {
            return Ok(());
        }
        let balance = self.spendable(wallet, asset);
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
