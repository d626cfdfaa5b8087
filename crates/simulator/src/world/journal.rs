//! The venue's own books: every order it ever saw, every post, every trade. The witness by which
//! "nothing lost, nothing doubled" is judged; never used to decide anything about money.

use std::collections::{BTreeMap, BTreeSet};

use domain::{Address, OrderId, Price, Shares, Side, Timestamp, TokenId, TxHash, Usd};
use serde::Serialize;

use super::{book::Place, orders::Submission};
use crate::{contracts::Exchange, signing::SignedFields, wire::OrderType};

/// Where an order stands.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize)]
#[serde(rename_all = "snake_case")]
pub enum OrderState {
    /// Never reached the book.
    Refused,
    /// Takes, and is matched later.
    Delayed,
    /// Rests on the book.
    Live,
    /// Filled, or filled as far as it will be.
    Matched,
    /// Found nothing to match.
    Killed,
    /// Cancelled.
    Canceled,
}

/// Why an order is over without being filled.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize)]
#[serde(rename_all = "snake_case")]
pub enum Ending {
    /// It found too little to match.
    Killed,
    /// Its owner cancelled it.
    Canceled,
    /// Its time was over.
    Expired,
    /// Its wallet can no longer pay.
    NotEnoughBalance,
    /// The venue rejected it after a delay.
    Rejected,
    /// Its market is resolved.
    MarketResolved,
    /// Its market was closed.
    MarketClosed,
}

impl Ending {
    /// Status as the user channel names it.
    #[must_use]
    pub const fn status(self, order_type: OrderType) -> &'static str {
        match (self, order_type) {
            (Self::Killed, OrderType::Fok) => {
                "CANCELED_order couldn't be fully filled. FOK orders are fully filled or killed."
            }
            (Self::Killed, _) => {
                "CANCELED_no orders found to match with FAK order. \
                 FAK orders are partially filled or killed if no match is found."
            }
            (Self::Canceled, _) => "CANCELED",
            (Self::Rejected, _) => "INVALID",
            (Self::Expired, _) => "CANCELED_EXPIRED_ORDER",
            (Self::NotEnoughBalance, _) => "CANCELED_NOT_ENOUGH_BALANCE",
            (Self::MarketResolved, _) => "CANCELED_MARKET_RESOLVED",
            (Self::MarketClosed, _) => "CANCELED_MARKET_NOT_FOUND",
        }
    }
}

/// How one post of an order ended.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum PostOutcome {
    /// Filled or resting.
    Accepted,
    /// Reached the book and found nothing.
    Killed,
    /// Known already.
    Duplicate,
    /// Refused before the book.
    Refused,
}

/// An order with everything that happened to it.
#[derive(Clone, Debug)]
pub struct OrderRecord {
    /// As signed.
    pub fields: SignedFields,
    /// Type.
    pub order_type: OrderType,
    /// API key that posted it.
    pub owner: String,
    /// Exchange it was signed for.
    pub exchange: Exchange,
    /// Unix seconds, 0 = none.
    pub expiration: u64,
    /// Limit price; 0 until the numbers were checked.
    pub limit: Price,
    /// State.
    pub state: OrderState,
    /// Why it is over, unless it was filled.
    pub ending: Option<Ending>,
    /// Posts by outcome.
    pub posts: Posts,
    /// Last refusal.
    pub last_error: Option<String>,
    /// First time it reached the book.
    pub known_since: Option<Timestamp>,
    /// What it gave.
    pub filled_maker: i64,
    /// What it got.
    pub filled_taker: i64,
    /// Fees it paid.
    pub fee: Usd,
    /// Its trades.
    pub trades: Vec<usize>,
    /// Where it rests.
    pub place: Option<Place>,
    /// What is held back for its open rest, in its maker asset.
    pub reserved: i64,
}

/// Posts of an order, counted by outcome.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Serialize)]
pub struct Posts {
    /// Filled or resting.
    pub accepted: u32,
    /// Reached the book and found nothing.
    pub killed: u32,
    /// Known already.
    pub duplicate: u32,
    /// Refused before the book.
    pub refused: u32,
}

impl OrderRecord {
    /// Of an order that just arrived.
    #[must_use]
    pub fn new(order: &Submission) -> Self {
        Self {
            fields: order.fields,
            order_type: order.order_type,
            owner: order.owner.clone(),
            exchange: order.exchange,
            expiration: order.expiration,
            limit: Price(0),
            state: OrderState::Refused,
            ending: None,
            posts: Posts::default(),
            last_error: None,
            known_since: None,
            filled_maker: 0,
            filled_taker: 0,
            fee: Usd::ZERO,
            trades: Vec::new(),
            place: None,
            reserved: 0,
        }
    }

    /// What it may still give.
    #[must_use]
    pub const fn open_maker(&self) -> i64 {
        self.fields.maker_amount.saturating_sub(self.filled_maker)
    }

    /// Shares asked for.
    #[must_use]
    pub const fn shares(&self) -> Shares {
        Shares(match self.fields.side {
            Side::Buy => self.fields.taker_amount,
            Side::Sell => self.fields.maker_amount,
        })
    }

    /// Shares filled.
    #[must_use]
    pub const fn filled_shares(&self) -> Shares {
        Shares(match self.fields.side {
            Side::Buy => self.filled_taker,
            Side::Sell => self.filled_maker,
        })
    }
}

/// Where a trade's settlement stands.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Serialize)]
#[serde(rename_all = "SCREAMING_SNAKE_CASE")]
pub enum TradeStatus {
    /// Matched, on its way to the chain.
    Matched,
    /// In a block.
    Mined,
    /// Final.
    Confirmed,
    /// Sent again under another hash.
    Retrying,
    /// Will not settle; balances were given back.
    Failed,
}

impl TradeStatus {
    /// Name on the wire.
    #[must_use]
    pub const fn name(self) -> &'static str {
        match self {
            Self::Matched => "MATCHED",
            Self::Mined => "MINED",
            Self::Confirmed => "CONFIRMED",
            Self::Retrying => "RETRYING",
            Self::Failed => "FAILED",
        }
    }
}

/// A maker's part of a trade.
#[derive(Clone, Copy, Debug)]
pub struct MakerPart {
    /// Order.
    pub order: OrderId,
    /// Wallet.
    pub wallet: Address,
    /// Token: the taker's, or the other one when a pair was minted or merged.
    pub token: TokenId,
    /// Side.
    pub side: Side,
    /// Price of its token.
    pub price: Price,
    /// Shares.
    pub shares: Shares,
    /// Dollars.
    pub usd: Usd,
}

/// One match of a taker order.
#[derive(Clone, Debug)]
pub struct Trade {
    /// Id (UUID).
    pub id: String,
    /// Taker order.
    pub taker_order: OrderId,
    /// Taker's wallet.
    pub taker: Address,
    /// API key of the taker.
    pub owner: String,
    /// Token.
    pub token: TokenId,
    /// Taker's side.
    pub side: Side,
    /// Shares.
    pub shares: Shares,
    /// Dollars, without the fee.
    pub usd: Usd,
    /// Taker's fee, with what the builder gets.
    pub fee: Usd,
    /// What the builder gets of it.
    pub builder_fee: Usd,
    /// Makers.
    pub makers: Vec<MakerPart>,
    /// Status.
    pub status: TradeStatus,
    /// Transaction, once one was sent.
    pub tx: Option<TxHash>,
    /// When it was matched.
    pub matched_at: Timestamp,
    /// When its status changed.
    pub updated_at: Timestamp,
}

/// Orders, posts and trades.
#[derive(Debug, Default)]
pub struct Journal {
    /// Orders by id.
    pub orders: BTreeMap<OrderId, OrderRecord>,
    /// Trades in the order of matching.
    pub trades: Vec<Trade>,
    trade_ids: BTreeMap<String, usize>,
    by_wallet: BTreeMap<Address, Vec<usize>>,
    live: BTreeMap<String, BTreeSet<OrderId>>,
    /// Trades as they were made or undone, oldest first.
    moves: Vec<usize>,
    /// Posts that were no order of a known signer: bad login, bad JSON, bad signature.
    pub strange_posts: u64,
}

impl Journal {
    /// Adds a trade and says its number.
    pub fn add_trade(&mut self, trade: Trade) -> usize {
        let number = self.trades.len();
        self.trade_ids.insert(trade.id.clone(), number);
        self.by_wallet.entry(trade.taker).or_default().push(number);
        for maker in &trade.makers {
            let numbers = self.by_wallet.entry(maker.wallet).or_default();
            if numbers.last() != Some(&number) {
                numbers.push(number);
            }
        }
        self.trades.push(trade);
        self.moves.push(number);
        number
    }

    /// How often something was executed or undone so far.
    #[must_use]
    pub const fn moves(&self) -> usize {
        self.moves.len()
    }

    /// Orders of which something was executed or undone after the first `seen` times.
    #[must_use]
    pub fn moved_since(&self, seen: usize) -> BTreeSet<OrderId> {
        let moved = self.moves.get(seen..).unwrap_or_default().iter();
        let trades = moved.filter_map(|number| self.trades.get(*number));
        let orders =
            trades.flat_map(|trade| trade.makers.iter().map(|maker| maker.order).chain([trade.taker_order]));
        orders.filter(|id| self.orders.contains_key(id)).collect()
    }

    /// A trade by id.
    #[must_use]
    pub fn trade(&self, id: &str) -> Option<&Trade> {
        self.trades.get(*self.trade_ids.get(id)?)
    }

    /// Numbers of a wallet's trades, oldest first.
    #[must_use]
    pub fn trades_of(&self, wallet: Address) -> &[usize] {
        self.by_wallet.get(&wallet).map_or(&[], Vec::as_slice)
    }

    /// Notes that an order of this API key rests.
    pub fn note_live(&mut self, owner: &str, id: OrderId) {
        self.live.entry(owner.to_owned()).or_default().insert(id);
    }

    /// Notes that an order of this API key does not rest any more.
    pub fn forget_live(&mut self, owner: &str, id: OrderId) {
        if let Some(orders) = self.live.get_mut(owner) {
            orders.remove(&id);
            if orders.is_empty() {
                self.live.remove(owner);
            }
        }
    }

    /// Whether an API key has resting orders.
    #[must_use]
    pub fn has_live(&self, owner: &str) -> bool {
        self.live_of(owner).any(|(_, record)| record.state == OrderState::Live)
    }

    /// Resting orders of an API key.
    pub fn live_of(&self, owner: &str) -> impl Iterator<Item = (&OrderId, &OrderRecord)> {
        self.live.get(owner).into_iter().flatten().filter_map(|id| self.orders.get_key_value(id))
    }

    /// Changes a trade's status.
    pub fn set_status(&mut self, number: usize, status: TradeStatus, tx: Option<TxHash>, now: Timestamp) {
        if let Some(trade) = self.trades.get_mut(number) {
            if (trade.status == TradeStatus::Failed) != (status == TradeStatus::Failed) {
                self.moves.push(number);
            }
            trade.status = status;
            trade.tx = tx;
            trade.updated_at = now;
        }
    }
}
