//! The venue's answers through the engine's ports.

use std::{collections::BTreeSet, time::Duration};

use async_trait::async_trait;
use domain::{
    Address, Book, ConditionId, Market, OrderId, OrderPlan, Shares, Side, Timestamp, TokenId, TradingAccount,
    trade::{Action, Dispute},
};
use engine::ports::{
    detection::Lane,
    venue::{
        Admission, Ask, BlockHeader, Cancel, Cancelled, ChainEvent, ChainEventKind, ChainReader, History,
        HistoryKind, HistoryResponse, HistoryRow, MarketData, OrderGateway, OrderLookup, OrderQuery,
        PostReply, PostTimes, PreparedOrder, SettlementStatus, TradeHistory, VenueError, VenueOrder,
        VenueOrderStatus, VenueTrade,
    },
    witness::{ExitClaim, Testimony},
};

use super::{LineTrade, State, Venue, VenueLine, Witnesses, chain::digest, row_price};

/// How long a late row shows a transaction that was replaced.
const STALE_ROW: Duration = Duration::from_secs(40);
/// How many rows two pages of the history share.
const OVERLAP: usize = 2;

#[async_trait]
impl OrderGateway for Venue {
    /// By what the venue's answers have told: of one signer one order at a time. As the port says, whoever finds no room at
    /// all waits for it.
    async fn admit(&self, asks: &[Ask], patience: Duration) -> Vec<Admission> {
        let wait = |admission: &Admission| match admission {
            Admission::Now => Duration::ZERO,
            Admission::Later(wait) => *wait,
        };
        let admissions = self.admissions(asks);
        let least = admissions.iter().map(wait).min().unwrap_or_default();
        if least.is_zero() {
            return admissions;
        }
        self.clock.sleep(least.min(patience)).await;
        self.admissions(asks)
    }

    async fn prepare(&self, plans: &[OrderPlan]) -> Vec<Result<PreparedOrder, VenueError>> {
        plans.iter().map(prepared).collect()
    }

    async fn post(&self, _: &TradingAccount, order: &PreparedOrder, times: PostTimes) -> PostReply {
        if self.clock.uptime() >= times.send_before {
            return PostReply::NotAccepted {
                retry_after: None,
                text: "not sent: its time is over".to_owned(),
            };
        }
        let now = self.clock.now();
        self.now().post(&order.body, now)
    }

    async fn look_up(&self, _: &TradingAccount, query: &OrderQuery) -> Result<OrderLookup, VenueError> {
        let now = self.clock.now();
        let state = self.now();
        let lag = state.model.look_up_lag;
        let line = state.lines.get(&query.id);
        if state.holds(query.id, now) {
            let order = VenueOrder { status: VenueOrderStatus::Delayed, matched: Shares::ZERO };
            return Ok(OrderLookup { order: Some(order), trades: Vec::new() });
        }
        let Some(line) = line.filter(|line| line.first_accepted.is_some_and(|at| at.plus(lag) <= now)) else {
            return Ok(OrderLookup::default());
        };
        Ok(state.shown(line, now))
    }

    async fn post_batch(
        &self,
        account: &TradingAccount,
        _: Lane,
        orders: &[PreparedOrder],
        times: PostTimes,
    ) -> Vec<PostReply> {
        let mut replies = Vec::with_capacity(orders.len());
        for order in orders {
            replies.push(self.post(account, order, times).await);
        }
        replies
    }

    /// Nothing of ours rests.
    async fn cancel(&self, _: &TradingAccount, _: &Cancel) -> Result<Cancelled, VenueError> {
        Ok(Cancelled::default())
    }
}

impl Venue {
    fn admissions(&self, asks: &[Ask]) -> Vec<Admission> {
        let now = self.clock.now();
        let state = self.now();
        let mut admitted = BTreeSet::new();
        let limit = state.model.signer_limit.filter(|limit| limit.known);
        let admit = |ask: &Ask| {
            let side = if ask.lane == Lane::Exits { Side::Sell } else { Side::Buy };
            let (left, told) = state.shut(side, ask.signer, now);
            if !left.is_zero() && told && (limit.is_some() || state.model.closed.is_some()) {
                return Admission::Later(left);
            }
            match limit.filter(|_| !admitted.insert(ask.signer)) {
                Some(limit) => Admission::Later(limit.pause),
                None => Admission::Now,
            }
        };
        asks.iter().map(admit).collect()
    }
}

/// The order of a plan: its bytes and their digest, so that equal plans have equal ids.
pub(crate) fn prepared(plan: &OrderPlan) -> Result<PreparedOrder, VenueError> {
    let body = serde_json::to_vec(plan)
        .map_err(|error| VenueError::Malformed { what: "prepare".to_owned(), reason: error.to_string() })?;
    Ok(PreparedOrder { id: OrderId(digest(&body)), body })
}

impl State {
    /// Whether the provider that is read says that the leader has nothing left.
    fn lies(&self, wallet: Address, token: TokenId, block: i64, now: Timestamp) -> bool {
        let Witnesses::AgainstLiar(lasting) = self.model.witnesses else { return false };
        let early = self.chain.header(block).is_some_and(|header| now.since(header.time) < lasting);
        early && self.chain.exit_heights(wallet, token).contains(&block)
    }

    /// What an honest provider says to what another one was read to say.
    fn testimony(&self, claim: &ExitClaim) -> Testimony {
        let same_block = self.chain.header(claim.block).is_some_and(|header| header.hash == claim.hash);
        if self.model.witnesses == Witnesses::Nobody || !same_block {
            return Testimony::Nobody;
        }
        let held = |block| self.balance(claim.wallet, claim.token, block);
        let filled = claim.filled.map(|(tx, side, _)| {
            let own = self.chain.events(claim.block, &[]).into_iter().filter(|event| event.tx == tx);
            let shares = own.filter_map(|event| match event.kind {
                ChainEventKind::Fill(fill)
                    if (fill.wallet, fill.token, fill.side) == (claim.wallet, claim.token, side) =>
                {
                    Some(fill.shares)
                }
                _ => None,
            });
            (tx, side, shares.sum())
        });
        let disputed = |about, instead: Option<_>| {
            let words = "an honest provider differs".to_owned();
            Testimony::Disputed { about, words, instead: instead.into_iter().collect() }
        };
        let before_differs = claim.before.is_some_and(|before| before != held(claim.block - 1));
        if before_differs || claim.after != held(claim.block) {
            let before = claim.before.map(|_| held(claim.block - 1));
            disputed(Dispute::Balances, Some((before, held(claim.block))))
        } else if filled != claim.filled {
            disputed(Dispute::Fills, None)
        } else {
            Testimony::Agreed
        }
    }

    /// Whether an order is held back, and shown so.
    fn holds(&self, id: OrderId, now: Timestamp) -> bool {
        let (held, lag) = (self.model.held_back, self.model.look_up_lag);
        !held.is_zero()
            && self
                .arrivals
                .iter()
                .any(|(until, waiting)| *waiting == id && until.minus(held).plus(lag) <= now)
    }

    /// What is told of an order as things happen to it.
    pub(super) fn told(&self, id: OrderId, line: &VenueLine, now: Timestamp) -> OrderLookup {
        let known = line.trades.iter().filter(|trade| trade.at <= now);
        let trades: Vec<VenueTrade> = known.map(|trade| self.shown_trade(trade, now)).collect();
        let matched: Shares = trades.iter().map(|trade| trade.shares).sum();
        let held = !self.model.held_back.is_zero() && self.arrivals.iter().any(|(_, waits)| *waits == id);
        let status = match (held, trades.is_empty()) {
            (true, _) => VenueOrderStatus::Delayed,
            (false, true) => VenueOrderStatus::Cancelled,
            (false, false) => VenueOrderStatus::Matched,
        };
        let known = held || line.first_accepted.is_some();
        OrderLookup { order: known.then_some(VenueOrder { status, matched }), trades }
    }

    fn shown(&self, line: &VenueLine, now: Timestamp) -> OrderLookup {
        let lag = self.model.look_up_lag;
        let visible = line.trades.iter().filter(|trade| trade.at.plus(lag) <= now);
        let trades: Vec<VenueTrade> = visible.map(|trade| self.shown_trade(trade, now)).collect();
        let matched: Shares = trades.iter().map(|trade| trade.shares).sum();
        let status = if trades.is_empty() { VenueOrderStatus::Cancelled } else { VenueOrderStatus::Matched };
        let order = self.model.shows_done_orders.then_some(VenueOrder { status, matched });
        OrderLookup { order, trades }
    }

    fn shown_trade(&self, trade: &LineTrade, now: Timestamp) -> VenueTrade {
        let place = self.chain.place_of(trade.tx);
        let (status, tx) = match place {
            _ if trade.failed && now.since(trade.at) > Duration::from_secs(4) => {
                (SettlementStatus::Failed, trade.announced)
            }
            _ if trade.failed => (SettlementStatus::Retrying, trade.announced),
            None => (SettlementStatus::Matched, trade.announced),
            Some((_, false)) => (SettlementStatus::Mined, trade.tx),
            Some((_, true)) => (SettlementStatus::Confirmed, trade.tx),
        };
        VenueTrade {
            id: trade.id.clone(),
            status,
            shares: trade.filled.quantity.shares,
            usd: trade.filled.quantity.usd,
            fee: trade.filled.fee,
            tx: Some(tx),
        }
    }

    fn history_rows(&self, wallet: Address, since: Timestamp, now: Timestamp) -> Vec<HistoryRow> {
        let mut rows = Vec::new();
        for (trade, announced, settled) in &self.happened {
            let shown = trade.shown_at.is_some_and(|at| at <= now);
            if trade.wallet != wallet || !shown || trade.at < since {
                continue;
            }
            let condition = self.markets.get(&trade.token).map(|market| market.condition);
            // Once shown with the transaction it settled in, a row never goes back to the one before.
            // Rows of every third second learn of it late: after the chain was read.
            let late = trade.at.seconds() % 3 == 0 && now.since(trade.at) < STALE_ROW;
            let in_block = self.chain.was_in_block(*settled) && !late;
            let fills = trade.fills.iter().map(|fill| HistoryKind::Trade {
                token: trade.token,
                side: trade.side,
                shares: fill.shares,
                price: row_price(*fill),
            });
            // Transfers are no activity; rows of the others are about the market.
            let moved = trade.moved.filter(|(action, _)| *action != Action::Send);
            let moved = moved.map(|(action, shares)| HistoryKind::Moved { action, token: None, shares });
            rows.extend(fills.chain(moved).map(|kind| HistoryRow {
                wallet,
                tx: if in_block { *settled } else { *announced },
                condition: condition.unwrap_or_else(no_condition),
                traded_at: Timestamp::from_seconds(trade.at.seconds()),
                kind,
            }));
        }
        rows
    }
}

impl Venue {
    /// Fills of leaders' trades as they were announced, also of those that never reach the chain, and when.
    pub(crate) fn announced(&self) -> Vec<(Timestamp, HistoryRow)> {
        let state = self.now();
        let mut rows = Vec::new();
        for (trade, announced, _) in &state.happened {
            let condition = state.markets.get(&trade.token).map(|market| market.condition);
            rows.extend(trade.fills.iter().map(|fill| {
                let (token, side) = (trade.token, trade.side);
                let row = HistoryRow {
                    wallet: trade.wallet,
                    tx: *announced,
                    condition: condition.unwrap_or_else(no_condition),
                    traded_at: Timestamp::from_seconds(trade.at.seconds()),
                    kind: HistoryKind::Trade { token, side, shares: fill.shares, price: row_price(*fill) },
                };
                (trade.at, row)
            }));
        }
        rows
    }
}

fn no_condition() -> ConditionId {
    ConditionId::from_slice(&[0; 32]).unwrap_or_else(|_| unreachable!("32 bytes are a condition"))
}

#[async_trait]
impl TradeHistory for Venue {
    async fn activity(&self, wallet: Address, since: Timestamp) -> Result<History, VenueError> {
        let now = self.clock.now();
        let rows = self.now().history_rows(wallet, since, now);
        // A second page that repeats the end of the first.
        let overlap = rows.len().saturating_sub(OVERLAP);
        let second = rows.get(overlap..).map(<[HistoryRow]>::to_vec).unwrap_or_default();
        Ok(History::whole(vec![HistoryResponse { rows }, HistoryResponse { rows: second }]))
    }

    async fn positions(&self, wallet: Address) -> Result<Vec<(TokenId, Shares)>, VenueError> {
        let state = self.now();
        let head = state.chain.head().number;
        let held = |token: &TokenId| (*token, state.balance(wallet, *token, head));
        Ok(state.markets.keys().map(held).filter(|(_, shares)| shares.is_positive()).collect())
    }

    async fn held(&self, wallet: Address, token: TokenId, _: Timestamp) -> Result<Shares, VenueError> {
        let state = self.now();
        Ok(state.balance(wallet, token, state.chain.head().number))
    }
}

#[async_trait]
impl ChainReader for Venue {
    async fn head(&self) -> Result<BlockHeader, VenueError> {
        Ok(self.now().chain.head())
    }

    async fn finalized(&self) -> Result<BlockHeader, VenueError> {
        Ok(self.now().chain.finalized())
    }

    async fn header(&self, number: i64) -> Result<Option<BlockHeader>, VenueError> {
        Ok(self.now().chain.header(number))
    }

    async fn block_events(
        &self,
        block: &BlockHeader,
        wallets: &[Address],
    ) -> Result<Vec<ChainEvent>, VenueError> {
        let state = self.now();
        if state.chain.header(block.number).is_none_or(|header| header.hash != block.hash) {
            return Err(VenueError::Unavailable {
                what: "logs of a block".to_owned(),
                reason: format!("block {} is not known", block.hash),
            });
        }
        Ok(state.chain.events(block.number, wallets))
    }

    async fn range_events(
        &self,
        from: i64,
        to: i64,
        wallets: &[Address],
    ) -> Result<Vec<ChainEvent>, VenueError> {
        let state = self.now();
        Ok((from..=to).flat_map(|number| state.chain.events(number, wallets)).collect())
    }

    async fn balances(&self, queries: &[(Address, TokenId)], block: i64) -> Result<Vec<Shares>, VenueError> {
        let now = self.clock.now();
        let state = self.now();
        let told = |(wallet, token): &(Address, TokenId)| {
            let lies = state.lies(*wallet, *token, block, now);
            if lies { Shares::ZERO } else { state.balance(*wallet, *token, block) }
        };
        Ok(queries.iter().map(told).collect())
    }

    async fn witness(&self, claim: &ExitClaim) -> Result<Testimony, VenueError> {
        Ok(self.now().testimony(claim))
    }
}

#[async_trait]
impl MarketData for Venue {
    async fn market(&self, token: TokenId, _: Lane) -> Result<Option<Market>, VenueError> {
        Ok(self.now().markets.get(&token).cloned())
    }

    async fn tokens(&self, condition: ConditionId) -> Result<Vec<TokenId>, VenueError> {
        let state = self.now();
        let own = state.markets.values().filter(|market| market.condition == condition);
        Ok(own.map(|market| market.token).collect())
    }

    async fn book(&self, token: TokenId, _: Lane) -> Result<Option<Book>, VenueError> {
        Ok(self.now().books.get(&token).and_then(super::matching::VenueBook::shown))
    }
}
