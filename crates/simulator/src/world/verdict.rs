//! The venue's own judgement: every order with its posts and fills, sums per wallet, and the
//! invariants of the simulation itself. Reads only.

use std::collections::BTreeMap;

use domain::{Address, OrderId, Shares, Side, TokenId, Usd};
use serde::Serialize;

use super::{
    World,
    faults::FaultKind,
    journal::{OrderRecord, OrderState, Posts, TradeStatus},
    ledger::Asset,
};
use crate::contracts::{HOUSE, NOBODY};

/// An order as the venue saw it. Amounts in millionths.
#[derive(Clone, Debug, PartialEq, Eq, Serialize)]
pub struct OrderReport {
    /// Order id.
    pub id: OrderId,
    /// Wallet.
    pub maker: Address,
    /// Token.
    pub token: TokenId,
    /// Side.
    pub side: Side,
    /// Type.
    pub order_type: &'static str,
    /// What it may give at most.
    pub maker_amount: i64,
    /// What it wants for that.
    pub taker_amount: i64,
    /// State.
    pub state: OrderState,
    /// Posts by outcome.
    pub posts: Posts,
    /// Last refusal.
    pub last_error: Option<String>,
    /// What it gave.
    pub filled_maker: i64,
    /// What it got.
    pub filled_taker: i64,
    /// Fees paid.
    pub fee: Usd,
    /// Trades, with status and transaction.
    pub trades: Vec<TradeReport>,
}

/// A trade of an order.
#[derive(Clone, Debug, PartialEq, Eq, Serialize)]
pub struct TradeReport {
    /// Trade id.
    pub id: String,
    /// Status.
    pub status: TradeStatus,
    /// Transaction.
    pub tx: Option<domain::TxHash>,
    /// Shares.
    pub shares: Shares,
    /// Dollars.
    pub usd: Usd,
}

/// Sums of one wallet. Fills of failed trades are left out.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Serialize)]
pub struct WalletSums {
    /// Orders that reached the book.
    pub orders: u64,
    /// Orders with a fill.
    pub filled_orders: u64,
    /// Posts that found their id already known.
    pub duplicate_posts: u64,
    /// Dollars paid for shares.
    pub bought_usd: i64,
    /// Shares bought.
    pub bought_shares: i64,
    /// Dollars got for shares.
    pub sold_usd: i64,
    /// Shares sold.
    pub sold_shares: i64,
    /// Fees paid.
    pub fees: i64,
    /// pUSD balance.
    pub balance: i64,
}

/// The verdict.
#[derive(Clone, Debug, PartialEq, Eq, Serialize)]
pub struct Verdict {
    /// Whether all invariants hold.
    pub sound: bool,
    /// What does not hold.
    pub violations: Vec<String>,
    /// Orders that reached the book.
    pub orders: u64,
    /// Orders with a fill.
    pub filled_orders: u64,
    /// Posts of all kinds.
    pub posts: u64,
    /// Posts that were no order of a known signer.
    pub strange_posts: u64,
    /// Trades by status.
    pub trades: BTreeMap<TradeStatus, u64>,
    /// Faults that happened.
    pub faults: BTreeMap<FaultKind, u64>,
    /// Sums by wallet.
    pub wallets: BTreeMap<Address, WalletSums>,
}

impl World {
    /// Every order that was ever posted, by id.
    #[must_use]
    pub fn order_reports(&self) -> Vec<OrderReport> {
        self.journal.orders.iter().map(|(id, record)| self.report(*id, record)).collect()
    }

    /// Orders of which something was executed or undone after the first `seen` times, by id, and how often
    /// that has happened so far.
    #[must_use]
    pub fn executions_since(&self, seen: usize) -> (usize, Vec<OrderReport>) {
        let orders = self.journal.moved_since(seen);
        let reports = orders.into_iter().filter_map(|id| self.order_report(id)).collect();
        (self.journal.moves(), reports)
    }

    /// One order.
    #[must_use]
    pub fn order_report(&self, id: OrderId) -> Option<OrderReport> {
        self.journal.orders.get(&id).map(|record| self.report(id, record))
    }

    fn report(&self, id: OrderId, record: &OrderRecord) -> OrderReport {
        let trades = record.trades.iter().filter_map(|number| self.journal.trades.get(*number));
        let trades = trades.map(|trade| {
            let part = trade.makers.iter().filter(|maker| maker.order == id);
            let (shares, usd) = if trade.taker_order == id {
                (trade.shares, trade.usd)
            } else {
                (part.clone().map(|maker| maker.shares).sum(), part.map(|maker| maker.usd).sum())
            };
            TradeReport { id: trade.id.clone(), status: trade.status, tx: trade.tx, shares, usd }
        });
        OrderReport {
            id,
            maker: record.fields.maker,
            token: record.fields.token,
            side: record.fields.side,
            order_type: record.order_type.name(),
            maker_amount: record.fields.maker_amount,
            taker_amount: record.fields.taker_amount,
            state: record.state,
            posts: record.posts,
            last_error: record.last_error.clone(),
            filled_maker: record.filled_maker,
            filled_taker: record.filled_taker,
            fee: record.fee,
            trades: trades.collect(),
        }
    }

    /// The venue's judgement of everything so far.
    #[must_use]
    pub fn verdict(&self) -> Verdict {
        let violations = self.violations();
        let mut verdict = Verdict {
            sound: violations.is_empty(),
            violations,
            orders: 0,
            filled_orders: 0,
            posts: self.journal.strange_posts,
            strange_posts: self.journal.strange_posts,
            trades: BTreeMap::new(),
            faults: self.faults.happened().clone(),
            wallets: BTreeMap::new(),
        };
        for (id, record) in &self.journal.orders {
            self.count_order(&mut verdict, *id, record);
        }
        for trade in &self.journal.trades {
            let count = verdict.trades.entry(trade.status).or_default();
            *count = count.saturating_add(1);
        }
        for (wallet, sums) in &mut verdict.wallets {
            sums.balance = self.ledger.balance(*wallet, Asset::Collateral);
        }
        verdict
    }

    fn count_order(&self, verdict: &mut Verdict, id: OrderId, record: &OrderRecord) {
        let Posts { accepted, killed, duplicate, refused } = record.posts;
        let posts = [accepted, killed, duplicate, refused].into_iter().map(u64::from).sum::<u64>();
        verdict.posts = verdict.posts.saturating_add(posts);
        let known = u64::from(record.known_since.is_some());
        let filled = u64::from(record.filled_maker > 0);
        verdict.orders = verdict.orders.saturating_add(known);
        verdict.filled_orders = verdict.filled_orders.saturating_add(filled);
        let sums = verdict.wallets.entry(record.fields.maker).or_default();
        sums.orders = sums.orders.saturating_add(known);
        sums.filled_orders = sums.filled_orders.saturating_add(filled);
        sums.duplicate_posts = sums.duplicate_posts.saturating_add(u64::from(duplicate));
        let (usd, shares, fees) = self.settled(id, record);
        let (to_usd, to_shares) = match record.fields.side {
            Side::Buy => (&mut sums.bought_usd, &mut sums.bought_shares),
            Side::Sell => (&mut sums.sold_usd, &mut sums.sold_shares),
        };
        *to_usd = to_usd.saturating_add(usd);
        *to_shares = to_shares.saturating_add(shares);
        sums.fees = sums.fees.saturating_add(fees);
    }

    /// Dollars, shares and fees of an order's trades that did not fail.
    fn settled(&self, id: OrderId, record: &OrderRecord) -> (i64, i64, i64) {
        let mut fees = record.fee.0;
        let (mut usd, mut shares) = match record.fields.side {
            Side::Buy => (record.filled_maker, record.filled_taker),
            Side::Sell => (record.filled_taker, record.filled_maker),
        };
        let failed = record.trades.iter().filter_map(|number| self.journal.trades.get(*number));
        for trade in failed.filter(|trade| trade.status == TradeStatus::Failed) {
            if trade.taker_order == id {
                usd = usd.saturating_sub(trade.usd.0);
                shares = shares.saturating_sub(trade.shares.0);
                fees = fees.saturating_sub(trade.fee.0);
            }
            for part in trade.makers.iter().filter(|part| part.order == id) {
                usd = usd.saturating_sub(part.usd.0);
                shares = shares.saturating_sub(part.shares.0);
            }
        }
        (usd, shares, fees)
    }

    /// Everything of the simulation itself that must hold and does not.
    #[must_use]
    pub fn violations(&self) -> Vec<String> {
        let mut found = Vec::new();
        for (id, record) in &self.journal.orders {
            if record.filled_maker > record.fields.maker_amount {
                found.push(format!(
                    "order {id} gave {} of {}",
                    record.filled_maker, record.fields.maker_amount
                ));
            }
        }
        self.check_sums("venue", self.ledger.balances(), &mut found);
        self.check_sums("chain", self.chain.history.latest(), &mut found);
        if self.chain.pending.is_empty() {
            let head = self.chain.head();
            for (wallet, asset, amount) in self.ledger.balances() {
                let on_chain = self.chain.history.at(wallet, asset, head);
                if on_chain != amount {
                    found.push(format!("{wallet} {asset:?}: venue {amount}, chain {on_chain}"));
                }
            }
        }
        found
    }

    fn check_sums(
        &self,
        view: &str,
        balances: impl Iterator<Item = (Address, Asset, i64)>,
        found: &mut Vec<String>,
    ) {
        let mut sums: BTreeMap<Asset, i128> = BTreeMap::new();
        for (wallet, asset, amount) in balances {
            let sum = sums.entry(asset).or_default();
            *sum = sum.saturating_add(i128::from(amount));
            if amount < 0 && wallet != HOUSE && wallet != NOBODY {
                found.push(format!("{view}: {wallet} has {amount} of {asset:?}"));
            }
        }
        for (asset, sum) in sums {
            if sum != 0 {
                found.push(format!("{view}: {asset:?} is off by {sum}"));
            }
        }
    }
}
