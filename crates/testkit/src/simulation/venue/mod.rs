//! An adversarial venue in memory: matching, settlement, a chain and a trade history on virtual time.
//!
//! It keeps its own books, from the bytes it was sent and nothing else: they are the judge of a
//! simulation. It never looks into the engine's store, and it opens no socket.

mod chain;
mod matching;
mod model;
mod ports;

use std::{
    collections::{BTreeMap, BTreeSet},
    sync::{Arc, Mutex, MutexGuard, PoisonError},
};

use domain::{
    Address, Book, Clock, Market, OrderId, OrderPlan, Price, Shares, Side, Timestamp, TokenId, TxHash, Usd,
    ids::AccountId,
    lifecycle::Filled,
    trade::{Action, Quantity},
};
use engine::ports::venue::{ChainFill, OrderLookup};

pub(crate) use chain::digest;
pub use chain::{BLOCK_EVERY, FINAL_AFTER, Moved};
pub use model::{Closed, Duplicated, Reorganisation, SignerLimit, VenueModel, Witnesses};

use chain::{Chain, Effect, Move, Settling};
use matching::VenueBook;
pub(super) use matching::is_whole;

/// A trade a leader will make.
#[derive(Clone, Debug)]
pub struct LeaderTrade {
    /// When.
    pub at: Timestamp,
    /// Who.
    pub wallet: Address,
    /// What.
    pub token: TokenId,
    /// Which way.
    pub side: Side,
    /// Its fills: equal ones are separate fills.
    pub fills: Vec<Quantity>,
    /// What the same transaction does with the token without an order.
    pub moved: Option<(Action, Shares)>,
    /// When the history shows it, if it ever does.
    pub shown_at: Option<Timestamp>,
    /// Whether a reorganisation drops it for good.
    pub dropped: bool,
}

/// A change of a token's book.
#[derive(Clone, Debug)]
pub struct BookChange {
    /// When.
    pub at: Timestamp,
    /// Which.
    pub token: TokenId,
    /// The book from then on.
    pub book: Book,
    /// Shown, but whoever sends an order finds nobody.
    pub hollow: bool,
}

/// What the venue knows of one order id.
#[derive(Clone, Debug)]
pub struct VenueLine {
    /// What was signed, read from the bytes.
    pub plan: OrderPlan,
    /// How often its bytes arrived.
    pub arrived: u32,
    /// How often they were let into the book.
    pub accepted: u32,
    /// When they were let in first.
    pub first_accepted: Option<Timestamp>,
    /// When they were let in last.
    pub last_accepted: Option<Timestamp>,
    /// Trades of it.
    pub trades: Vec<LineTrade>,
}

/// One trade of an order.
#[derive(Clone, Debug)]
pub struct LineTrade {
    /// Its id.
    pub id: String,
    /// What was filled.
    pub filled: Filled,
    /// When it matched.
    pub at: Timestamp,
    /// The transaction it was announced with.
    pub announced: TxHash,
    /// The transaction it settled in.
    pub tx: TxHash,
    /// Its settlement failed for good.
    pub failed: bool,
}

impl VenueLine {
    /// Everything matched whose settlement did not fail.
    #[must_use]
    pub fn executed(&self) -> Filled {
        let alive = self.trades.iter().filter(|trade| !trade.failed);
        alive.fold(Filled::default(), |sum, trade| Filled {
            quantity: Quantity {
                shares: Shares(sum.quantity.shares.0 + trade.filled.quantity.shares.0),
                usd: Usd(sum.quantity.usd.0 + trade.filled.quantity.usd.0),
            },
            fee: Usd(sum.fee.0 + trade.filled.fee.0),
        })
    }

    /// What the order has given: dollars for a buy, shares for a sell.
    #[must_use]
    pub fn given(&self) -> i64 {
        let executed = self.executed();
        match self.plan.side {
            Side::Buy => executed.quantity.usd.0,
            Side::Sell => executed.quantity.shares.0,
        }
    }
}

/// The venue.
pub struct Venue {
    clock: Arc<dyn Clock>,
    state: Mutex<State>,
}

#[derive(Clone)]
struct State {
    model: VenueModel,
    chain: Chain,
    books: BTreeMap<TokenId, VenueBook>,
    changes: Vec<BookChange>,
    markets: BTreeMap<TokenId, Market>,
    leader_trades: Vec<LeaderTrade>,
    /// Those of the above that happened, with their transactions (before and after a replacement).
    happened: Vec<(LeaderTrade, TxHash, TxHash)>,
    opening: BTreeMap<(Address, TokenId), Shares>,
    lines: BTreeMap<OrderId, VenueLine>,
    /// Bytes that arrive later.
    arrivals: Vec<(Timestamp, OrderId)>,
    /// Since when no orders are taken.
    closed_at: Option<Timestamp>,
    /// When a signer's last order was taken.
    last_orders: BTreeMap<Address, Timestamp>,
    /// Settlements that fail: every n-th trade.
    failing_every: Option<u64>,
    trades: u64,
    revision: u64,
}

impl Venue {
    /// A venue whose chain begins now.
    #[must_use]
    pub fn new(clock: Arc<dyn Clock>, model: VenueModel) -> Arc<Self> {
        let state = State {
            model,
            chain: Chain::new(clock.now()),
            books: BTreeMap::new(),
            changes: Vec::new(),
            markets: BTreeMap::new(),
            leader_trades: Vec::new(),
            happened: Vec::new(),
            opening: BTreeMap::new(),
            lines: BTreeMap::new(),
            arrivals: Vec::new(),
            closed_at: None,
            last_orders: BTreeMap::new(),
            failing_every: None,
            trades: 0,
            revision: 0,
        };
        Arc::new(Self { clock, state: Mutex::new(state) })
    }

    /// A venue with the same books and chain that goes its own way from now on, by another clock.
    #[must_use]
    pub(super) fn fork(&self, clock: Arc<dyn Clock>) -> Arc<Self> {
        let state = self.now().clone();
        Arc::new(Self { clock, state: Mutex::new(state) })
    }

    /// Opens a market.
    pub fn open(&self, market: Market) {
        let mut state = self.now();
        state.books.entry(market.token).or_default();
        state.markets.insert(market.token, market);
    }

    /// Plans a book.
    pub fn plan_book(&self, change: BookChange) {
        let mut state = self.now();
        state.changes.push(change);
        state.changes.sort_by_key(|change| change.at);
    }

    /// Plans a leader's trade.
    pub fn plan_trade(&self, trade: LeaderTrade) {
        let mut state = self.now();
        state.leader_trades.push(trade);
        state.leader_trades.sort_by_key(|trade| trade.at);
    }

    /// Gives a wallet shares from before the chain began.
    pub fn endow(&self, wallet: Address, token: TokenId, shares: Shares) {
        self.now().opening.insert((wallet, token), shares);
    }

    /// Lets every n-th trade fail to settle.
    pub fn fail_settlement_every(&self, trades: u64) {
        self.now().failing_every = Some(trades);
    }

    /// Changes the rules of a market.
    pub fn change_market(&self, market: Market) {
        self.now().markets.insert(market.token, market);
    }

    /// Replaces the newest `depth` blocks; their transactions move one block up.
    pub fn reorganise(&self, depth: i64) {
        let mut state = self.now();
        let height = state.chain.head().number - depth + 1;
        state.chain.reorganise(height, Move::NextBlock);
    }

    /// The books: every order id whose bytes ever arrived or were sent on their way.
    #[must_use]
    pub fn lines(&self) -> BTreeMap<OrderId, VenueLine> {
        self.now().lines.clone()
    }

    /// Canonical fills of one order so far, summed.
    #[must_use]
    pub fn settled(&self, order: OrderId) -> Filled {
        let state = self.now();
        let head = state.chain.head().number;
        let own = state.chain.fills_to(head).filter(|(_, fill)| fill.order == order);
        own.fold(Filled::default(), |sum, (_, fill)| Filled {
            quantity: Quantity {
                shares: Shares(sum.quantity.shares.0 + fill.shares.0),
                usd: Usd(sum.quantity.usd.0 + fill.usd.0),
            },
            fee: Usd(sum.fee.0 + fill.fee.0),
        })
    }

    /// A wallet's shares now.
    #[must_use]
    pub fn balance(&self, wallet: Address, token: TokenId) -> Shares {
        let state = self.now();
        state.balance(wallet, token, state.chain.head().number)
    }

    /// A wallet's shares at the end of a block.
    #[must_use]
    pub fn balance_at(&self, wallet: Address, token: TokenId, height: i64) -> Shares {
        self.now().balance(wallet, token, height)
    }

    /// Heights of the canonical blocks in which a wallet sold or merged a token.
    #[must_use]
    pub fn exit_heights(&self, wallet: Address, token: TokenId) -> BTreeSet<i64> {
        self.now().chain.exit_heights(wallet, token)
    }

    /// Shares a wallet bought in a block.
    #[must_use]
    pub fn bought_in(&self, wallet: Address, token: TokenId, height: i64) -> Shares {
        self.now().chain.bought_in(wallet, token, height)
    }

    /// Shares a wallet sent to another one in a block.
    #[must_use]
    pub fn sent_in(&self, wallet: Address, token: TokenId, height: i64) -> Shares {
        self.now().chain.sent_in(wallet, token, height)
    }

    /// Canonical movements without an order so far, with their transactions.
    #[must_use]
    pub fn all_moves(&self) -> Vec<(TxHash, Moved)> {
        let state = self.now();
        state.chain.moves_to(i64::MAX).collect()
    }

    /// Height of the canonical block with a leader's trade, named by either of its transactions.
    #[must_use]
    pub fn height_of_trade(&self, tx: TxHash) -> Option<i64> {
        let state = self.now();
        let (_, _, settled) =
            state.happened.iter().find(|(_, announced, settled)| [*announced, *settled].contains(&tx))?;
        state.chain.place_of(*settled).map(|(height, _)| height)
    }

    /// Whether somebody really buys a token now.
    #[must_use]
    pub fn buys(&self, token: TokenId) -> bool {
        self.now().books.get(&token).is_some_and(matching::VenueBook::buys)
    }

    /// What the venue shows of every order it has, without any lag, and whose it is.
    pub(crate) fn told(&self) -> Vec<(AccountId, OrderId, OrderLookup)> {
        let now = self.clock.now();
        let state = self.now();
        let line =
            |(id, line): (&OrderId, &VenueLine)| (line.plan.account.id, *id, state.told(*id, line, now));
        state.lines.iter().map(line).collect()
    }

    /// Whether nothing more will happen by itself: no trade to come, nothing on its way into a final block.
    #[must_use]
    pub fn is_quiet(&self) -> bool {
        let state = self.now();
        state.leader_trades.is_empty() && state.arrivals.is_empty() && state.chain.is_quiet()
    }

    /// Height of the newest block with fills.
    #[must_use]
    pub fn last_fill_height(&self) -> i64 {
        self.now().chain.last_fill_height()
    }

    /// Every leader trade that happened.
    #[must_use]
    pub fn happened(&self) -> Vec<LeaderTrade> {
        self.now().happened.iter().map(|(trade, ..)| trade.clone()).collect()
    }

    /// Canonical fills of everybody so far, with their transactions.
    #[must_use]
    pub fn all_fills(&self) -> Vec<(TxHash, ChainFill)> {
        let state = self.now();
        let head = state.chain.head().number;
        state.chain.fills_to(head).collect()
    }

    /// What the venue knows of orders, without times: for comparing two moments.
    #[must_use]
    pub fn stand(&self) -> String {
        let state = self.now();
        let lines: Vec<_> = state
            .lines
            .values()
            .map(|line| {
                let places: Vec<_> = line
                    .trades
                    .iter()
                    .map(|trade| state.chain.place_of(trade.tx).map(|place| place.1))
                    .collect();
                (line.arrived, line.accepted, line.given(), places)
            })
            .collect();
        let ahead = (state.arrivals.len(), state.leader_trades.len(), state.changes.len());
        format!("{lines:?} {ahead:?} {}", state.closed_at.is_some())
    }

    /// Raised by everything that happens at the venue or on the chain, but for empty blocks.
    #[must_use]
    pub fn revision(&self) -> u64 {
        let state = self.now();
        state.revision + state.chain.revision
    }

    /// Lets bytes arrive after a delay, as if they had hung in the network.
    pub(crate) fn deliver_later(&self, body: &[u8], after: std::time::Duration) {
        let now = self.clock.now();
        let mut state = self.now();
        if let Some(id) = state.know(body) {
            state.arrivals.push((now.plus(after), id));
            // With bytes on their way the world is another one: who dies now is not who died before.
            state.revision += 1;
        }
    }

    /// The state, with everything done that time has brought.
    fn now(&self) -> MutexGuard<'_, State> {
        let now = self.clock.now();
        let mut state = self.state.lock().unwrap_or_else(PoisonError::into_inner);
        state.advance(now);
        state
    }
}

impl State {
    /// Catches up with time, in the order of what happened.
    fn advance(&mut self, now: Timestamp) {
        loop {
            let change = self.changes.first().map(|change| change.at);
            let trade = self.leader_trades.first().map(|trade| trade.at);
            let arrival = self.arrivals.iter().map(|(at, _)| *at).min();
            let next = [change, trade, arrival].into_iter().flatten().min().filter(|at| *at <= now);
            let Some(at) = next else { break };
            self.mine(at);
            if change == Some(at) {
                let change = self.changes.remove(0);
                self.books.entry(change.token).or_default().replace(&change);
            } else if trade == Some(at) {
                let trade = self.leader_trades.remove(0);
                self.happen(trade);
            } else if let Some(index) = self.arrivals.iter().position(|(when, _)| *when == at) {
                let (_, id) = self.arrivals.swap_remove(index);
                self.arrive(id, at);
            }
            self.revision += 1;
        }
        self.mine(now);
    }

    fn mine(&mut self, now: Timestamp) {
        let moves = match self.model.reorganisation {
            Reorganisation::None => None,
            Reorganisation::NewIndex => Some(Move::NewIndex),
            Reorganisation::NextBlock => Some(Move::NextBlock),
        };
        self.chain.advance(now, moves);
    }

    fn happen(&mut self, trade: LeaderTrade) {
        let seed = format!("{:?}", (trade.at, trade.wallet, trade.token, trade.side, self.happened.len()));
        let announced = TxHash(digest(seed.as_bytes()));
        let tx = self.settled_tx(announced);
        for fill in trade.fills.iter().filter(|_| !trade.dropped) {
            let fill = ChainFill {
                order: OrderId(tx.0),
                wallet: trade.wallet,
                maker: false,
                token: trade.token,
                side: trade.side,
                shares: fill.shares,
                usd: fill.usd,
                fee: Usd::ZERO,
            };
            self.chain.settle(Settling { from: trade.at, tx, effect: Effect::Fill(fill), moved: false });
        }
        if let Some((action, shares)) = trade.moved.filter(|_| !trade.dropped) {
            let moved = Moved { wallet: trade.wallet, token: trade.token, action, shares };
            self.chain.settle(Settling { from: trade.at, tx, effect: Effect::Moved(moved), moved: false });
        }
        self.happened.push((trade, announced, tx));
    }

    fn settled_tx(&self, announced: TxHash) -> TxHash {
        if self.model.replaced_tx { TxHash(digest(&announced.0)) } else { announced }
    }

    fn balance(&self, wallet: Address, token: TokenId, height: i64) -> Shares {
        let opening = self.opening.get(&(wallet, token)).copied().unwrap_or_default();
        Shares(opening.0 + self.chain.balance(wallet, token, height).0)
    }
}

/// The average price of a quantity, as a rounded history row has it.
fn row_price(quantity: Quantity) -> Price {
    quantity.price().unwrap_or_default()
}
