//! What wallets made of their trades, as an indexer shows it: shares at average cost, profit taken and open.
//! Recomputed from the visible rows; owns nothing.

use std::collections::{BTreeMap, BTreeSet};

use domain::{Address, ConditionId, Price, Shares, Side, Timestamp, TokenId, Usd, money::Rounding};

use super::{
    World,
    data::{IndexedRow, RowKind},
    ledger::Asset,
    registry::MarketState,
};
use crate::contracts::{HOUSE, NOBODY};

/// What one share costs when dollars are split into both outcomes.
const HALF: Price = Price(500_000);

/// A wallet's account of one token.
#[derive(Clone, Copy, Debug)]
pub struct Holding {
    /// Its market.
    pub condition: ConditionId,
    /// Shares that the rows say are left. Transfers and credits have no rows.
    pub shares: Shares,
    /// What those cost.
    pub cost: Usd,
    /// Shares ever bought or split.
    pub bought: Shares,
    /// What those cost.
    pub spent: Usd,
    /// Profit taken by sales, merges and redemptions.
    pub realised: Usd,
    /// Unix seconds of the first row.
    pub first_at: i64,
    /// Unix seconds of the last row.
    pub last_at: i64,
}

impl Holding {
    const fn new(condition: ConditionId, at: i64) -> Self {
        let (shares, bought) = (Shares::ZERO, Shares::ZERO);
        let (cost, spent, realised) = (Usd::ZERO, Usd::ZERO, Usd::ZERO);
        Self { condition, shares, cost, bought, spent, realised, first_at: at, last_at: at }
    }

    /// Average price of everything bought.
    #[must_use]
    pub fn average(&self) -> Price {
        Price::of(self.spent, self.bought, Rounding::Down).unwrap_or_default()
    }

    fn gain(&mut self, shares: Shares, usd: Usd) {
        self.shares.0 = self.shares.0.saturating_add(shares.0);
        self.bought.0 = self.bought.0.saturating_add(shares.0);
        self.cost.0 = self.cost.0.saturating_add(usd.0);
        self.spent.0 = self.spent.0.saturating_add(usd.0);
    }

    /// Gives shares away for dollars and says the profit. What was not bought cost nothing.
    fn give(&mut self, shares: Shares, usd: Usd) -> Usd {
        let known = shares.min(self.shares);
        let cost = if known == self.shares {
            self.cost
        } else {
            self.cost.times(known.0, self.shares.0, Rounding::Down).unwrap_or_default()
        };
        self.shares.0 = self.shares.0.saturating_sub(known.0);
        self.cost.0 = self.cost.0.saturating_sub(cost.0);
        let profit = Usd(usd.0.saturating_sub(cost.0));
        self.realised.0 = self.realised.0.saturating_add(profit.0);
        profit
    }
}

/// Everything a wallet did and has.
#[derive(Clone, Debug, Default)]
pub struct Portfolio {
    /// By token.
    pub holdings: BTreeMap<TokenId, Holding>,
    /// Profits taken: Unix seconds, dollars.
    pub gains: Vec<(i64, Usd)>,
    /// Fills: Unix seconds, shares, dollars.
    pub fills: Vec<(i64, Shares, Usd)>,
    /// Markets traded.
    pub markets: BTreeSet<ConditionId>,
}

impl Portfolio {
    fn apply(&mut self, row: &IndexedRow, tokens: [TokenId; 2], payouts: Option<[Price; 2]>) {
        let (at, shares, usd) = (row.timestamp, row.row.shares, row.row.usd);
        match row.row.kind {
            RowKind::Trade { token, side, .. } => {
                self.fills.push((at, shares, usd));
                self.markets.insert(row.row.condition);
                match side {
                    Side::Buy => self.holding(token, row).gain(shares, usd),
                    Side::Sell => self.give(token, row, shares, usd),
                }
            }
            RowKind::Split => {
                let half = HALF.cost(shares, Rounding::Down).unwrap_or_default();
                tokens.into_iter().for_each(|token| self.holding(token, row).gain(shares, half));
            }
            RowKind::Merge => {
                let half = HALF.cost(shares, Rounding::Down).unwrap_or_default();
                tokens.into_iter().for_each(|token| self.give(token, row, shares, half));
            }
            RowKind::Redeem => {
                for (token, payout) in tokens.into_iter().zip(payouts.unwrap_or_default()) {
                    let Some(held) = self.holdings.get(&token).map(|holding| holding.shares) else {
                        continue;
                    };
                    let paid = payout.cost(held, Rounding::Down).unwrap_or_default();
                    self.give(token, row, held, paid);
                }
            }
            // What is given and what is received are other conditions' tokens; balances tell.
            RowKind::Conversion => {}
        }
    }

    fn holding(&mut self, token: TokenId, row: &IndexedRow) -> &mut Holding {
        let new = Holding::new(row.row.condition, row.timestamp);
        let holding = self.holdings.entry(token).or_insert(new);
        holding.last_at = row.timestamp;
        holding
    }

    fn give(&mut self, token: TokenId, row: &IndexedRow, shares: Shares, usd: Usd) {
        let profit = self.holding(token, row).give(shares, usd);
        self.gains.push((row.timestamp, profit));
    }

    /// Profit taken since `start`.
    #[must_use]
    pub fn realised_since(&self, start: i64) -> Usd {
        self.gains.iter().filter(|(at, _)| *at >= start).map(|(_, usd)| *usd).sum()
    }

    /// Shares and dollars traded since `start`.
    #[must_use]
    pub fn volume_since(&self, start: i64) -> (Shares, Usd) {
        let since = || self.fills.iter().filter(|(at, ..)| *at >= start);
        (since().map(|(_, shares, _)| *shares).sum(), since().map(|(.., usd)| *usd).sum())
    }
}

impl World {
    /// A wallet's account from the rows that are visible now.
    #[must_use]
    pub fn portfolio(&self, wallet: Address, now: Timestamp) -> Portfolio {
        let mut rows: Vec<_> = self.visible_rows(Some(wallet), now).map(|(_, row)| *row).collect();
        rows.reverse();
        let mut portfolio = Portfolio::default();
        for row in &rows {
            let Some(market) = self.registry.market(&row.row.condition) else { continue };
            let payouts = match market.state {
                MarketState::Resolved(payouts) => Some(payouts),
                _ => None,
            };
            portfolio.apply(row, market.spec.tokens, payouts);
        }
        portfolio
    }

    /// Rows the indexer shows now, newest first, each with its number; hidden transactions are left out.
    pub fn visible_rows(
        &self,
        wallet: Option<Address>,
        now: Timestamp,
    ) -> impl Iterator<Item = (usize, &IndexedRow)> {
        let hidden = &self.knobs.hidden_rows;
        self.data.newest(wallet, now).filter(move |(_, row)| !hidden.contains(&row.tx))
    }

    /// The newest block the indexer has seen.
    #[must_use]
    pub fn indexed_block(&self, now: Timestamp) -> u64 {
        let lag = self.knobs.data_lag();
        let seen = |number: &u64| {
            let block = self.chain.block(*number);
            block.is_some_and(|block| Timestamp::from_seconds(block.timestamp).plus(lag) <= now)
        };
        (self.chain.first()..=self.chain.head()).rev().find(seen).unwrap_or_else(|| self.chain.first())
    }

    /// Shares a wallet holds in the newest block the indexer has seen.
    #[must_use]
    pub fn indexed_shares(&self, wallet: Address, token: TokenId, now: Timestamp) -> Shares {
        Shares(self.chain.history.at(wallet, Asset::Token(token), self.indexed_block(now)))
    }

    /// What a share is worth now: its payout, or the best bid.
    #[must_use]
    pub fn present_price(&self, token: &TokenId) -> Option<Price> {
        let market = self.registry.market_of(token)?;
        match market.state {
            MarketState::Resolved(payouts) => payouts.get(market.outcome_index(token)).copied(),
            _ => self.book(token).and_then(|book| book.best(Side::Buy)),
        }
    }

    /// What is held now is worth more or less than it cost by this.
    #[must_use]
    pub fn open_profit(&self, portfolio: &Portfolio) -> Usd {
        let profit = |(token, holding): (&TokenId, &Holding)| {
            let price = self.present_price(token).unwrap_or_else(|| holding.average());
            let value = price.cost(holding.shares, Rounding::Down).unwrap_or_default();
            Usd(value.0.saturating_sub(holding.cost.0))
        };
        portfolio.holdings.iter().map(profit).sum()
    }

    /// Wallets of traders: those with a row.
    pub fn traders(&self) -> impl Iterator<Item = Address> {
        self.data.wallets().filter(|wallet| *wallet != HOUSE && *wallet != NOBODY)
    }
}

#[cfg(test)]
mod tests {
    use domain::TxHash;

    use super::*;

    const YES: TokenId = TokenId([1; 32]);
    const NO: TokenId = TokenId([2; 32]);

    fn apply(portfolio: &mut Portfolio, at: i64, kind: RowKind, shares: i64, usd: i64) {
        let row = super::super::data::Row {
            wallet: Address([7; 20]),
            condition: ConditionId::from_slice(&[3; 32]).unwrap(),
            kind,
            shares: Shares(shares),
            usd: Usd(usd),
        };
        let row = IndexedRow { row, block: 1, tx: TxHash([9; 32]), timestamp: at, visible_at: Timestamp(0) };
        portfolio.apply(&row, [YES, NO], Some([Price(1_000_000), Price(0)]));
    }

    #[test]
    fn profit_is_what_came_in_less_average_cost() {
        let mut portfolio = Portfolio::default();
        let trade = |side| RowKind::Trade { token: YES, side, taker: true };
        apply(&mut portfolio, 1, trade(Side::Buy), 100, 40);
        apply(&mut portfolio, 2, trade(Side::Buy), 100, 60);
        apply(&mut portfolio, 3, trade(Side::Sell), 50, 40);
        let yes = portfolio.holdings[&YES];
        assert_eq!((yes.shares, yes.cost, yes.realised), (Shares(150), Usd(75), Usd(15)));
        assert_eq!((yes.average(), yes.first_at, yes.last_at), (Price(500_000), 1, 3));
        apply(&mut portfolio, 4, RowKind::Redeem, 150, 150);
        assert_eq!(portfolio.holdings[&YES].shares, Shares::ZERO);
        assert_eq!((portfolio.realised_since(0), portfolio.realised_since(4)), (Usd(90), Usd(75)));
        assert_eq!(portfolio.volume_since(2), (Shares(150), Usd(100)));
    }

    #[test]
    fn a_split_that_is_merged_again_gains_nothing() {
        let mut portfolio = Portfolio::default();
        apply(&mut portfolio, 1, RowKind::Split, 100, 100);
        assert_eq!(portfolio.holdings[&NO].cost, Usd(50));
        apply(&mut portfolio, 2, RowKind::Merge, 100, 100);
        assert_eq!((portfolio.realised_since(0), portfolio.holdings[&YES].shares), (Usd::ZERO, Shares::ZERO));
        // What came by a transfer cost nothing.
        let sold = RowKind::Trade { token: NO, side: Side::Sell, taker: true };
        apply(&mut portfolio, 3, sold, 10, 4);
        assert_eq!(portfolio.realised_since(0), Usd(4));
    }
}
