//! Placing and cancelling orders: checks in the venue's order, matching, and the journal of posts.

use std::time::Duration;

use domain::{OrderId, Shares, Side, Timestamp, Usd, money::Rounding};

use super::{
    Mode, Refusal, World,
    book::{Budget, Fill, Resting},
    journal::{OrderRecord, OrderState, PostOutcome, Posts},
    ledger::Asset,
    registry::{Market, MarketState},
    rules::{self, Checked},
};
use crate::{
    config::DuplicateMemory,
    contracts::{Exchange, HOUSE},
    signing::SignedFields,
    wire::OrderType,
};

const KILLED_FAK: &str = "no orders found to match with FAK order. FAK orders are partially filled or killed if no match is found.";
const KILLED_FOK: &str = "order couldn't be fully filled. FOK orders are fully filled or killed.";
/// A stated expiration must lie this far ahead. Source: docs.polymarket.com place-orders.
const MIN_EXPIRATION_AHEAD: Duration = Duration::from_secs(180);

/// An order whose sender, signer and signature are in order.
#[derive(Clone, Debug)]
pub struct Submission {
    /// Order id.
    pub id: OrderId,
    /// As signed.
    pub fields: SignedFields,
    /// Exchange it was signed for.
    pub exchange: Exchange,
    /// API key.
    pub owner: String,
    /// Type.
    pub order_type: OrderType,
    /// Only rest.
    pub post_only: bool,
    /// Unix seconds, 0 = none.
    pub expiration: u64,
}

/// Answer to an accepted order.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Placed {
    /// Order id.
    pub id: OrderId,
    /// Whether it rests (`live`) or was matched.
    pub live: bool,
    /// What it gave in this post.
    pub making: i64,
    /// What it got in this post.
    pub taking: i64,
    /// Number of the trade.
    pub trade: Option<usize>,
}

type Judged<T> = Result<T, (PostOutcome, Refusal)>;

fn refused(refusal: Refusal) -> (PostOutcome, Refusal) {
    (PostOutcome::Refused, refusal)
}

impl World {
    /// Processes an order.
    ///
    /// # Errors
    /// [`Refusal`] with the venue's status and text.
    pub fn place(&mut self, now: Timestamp, order: &Submission) -> Result<Placed, Refusal> {
        self.journal.orders.entry(order.id).or_insert_with(|| OrderRecord {
            fields: order.fields,
            order_type: order.order_type,
            owner: order.owner.clone(),
            exchange: order.exchange,
            expiration: order.expiration,
            limit: domain::Price(0),
            state: OrderState::Refused,
            posts: Posts::default(),
            last_error: None,
            known_since: None,
            filled_maker: 0,
            filled_taker: 0,
            fee: Usd::ZERO,
            trades: Vec::new(),
            place: None,
            reserved: 0,
        });
        let result = self.judge_and_match(now, order);
        if let Some(record) = self.journal.orders.get_mut(&order.id) {
            note_post(record, &result);
        }
        result.map_err(|(_, refusal)| refusal)
    }

    fn judge_and_match(&mut self, now: Timestamp, order: &Submission) -> Judged<Placed> {
        self.check_mode(order.post_only).map_err(refused)?;
        self.check_known(now, order)?;
        self.check_times(now, order).map_err(refused)?;
        let market = self.open_market(order).map_err(refused)?;
        let (tick, min_size, fee) = (market.tick, market.spec.min_size, market.spec.fee);
        let checked =
            rules::check(order.id, &order.fields, order.order_type, tick, min_size).map_err(refused)?;
        let fills = self.plan(order, &checked);
        let fees: Vec<Usd> = fills.iter().map(|fill| fee.fee(fill.shares, fill.price)).collect();
        self.check_balance(order, fees.iter().copied().sum()).map_err(refused)?;
        if let Some(record) = self.journal.orders.get_mut(&order.id) {
            record.known_since = record.known_since.or(Some(now));
            record.limit = checked.limit;
        }
        self.check_fills(order, &fills)?;
        Ok(self.execute(now, order, &checked, &fills, fees.into_iter().sum()))
    }

    fn check_mode(&self, post_only: bool) -> Result<(), Refusal> {
        match self.mode {
            Mode::Normal => Ok(()),
            Mode::PostOnly if post_only => Ok(()),
            Mode::PostOnly => Err(Refusal {
                code: Some("post_only_mode"),
                retry_after: Some(60),
                ..Refusal::new(503, "post-only mode: only post-only orders and cancels are allowed")
            }),
            Mode::Disabled => {
                Err(Refusal::new(503, "Trading is currently disabled. Check polymarket.com for updates"))
            }
            Mode::CancelOnly => Err(Refusal::new(
                503,
                "Trading is currently cancel-only. New orders are not accepted, but cancels are allowed.",
            )),
            Mode::Restarting => Err(Refusal { retry_after: Some(5), ..Refusal::new(425, "Too Early") }),
        }
    }

    /// The venue's memory of ids, and what the contract allows once the venue has forgotten.
    fn check_known(&self, now: Timestamp, order: &Submission) -> Judged<()> {
        let Some(record) = self.journal.orders.get(&order.id) else { return Ok(()) };
        let Some(since) = record.known_since else { return Ok(()) };
        let remembered = match self.knobs.duplicated_for {
            DuplicateMemory::Ever => true,
            DuplicateMemory::WhileLive => false,
            DuplicateMemory::Millis(millis) => now.since(since) < Duration::from_millis(millis),
        };
        if remembered || record.state == OrderState::Live {
            let refusal = Refusal::bad(format!("order {} is invalid. Duplicated.", order.id));
            return Err((PostOutcome::Duplicate, refusal));
        }
        if !self.knobs.killed_fak_executes_again || record.open_maker() == 0 {
            return Err((PostOutcome::Killed, Refusal::bad(killed_text(order.order_type))));
        }
        Ok(())
    }

    fn check_times(&self, now: Timestamp, order: &Submission) -> Result<(), Refusal> {
        if let Some(limit) = self.knobs.max_timestamp_age_s {
            let made = Timestamp::from_millis(i64::try_from(order.fields.timestamp_ms).unwrap_or(i64::MAX));
            if now.since(made) > Duration::from_secs(limit) {
                // No text is documented for this.
                return Err(Refusal::bad(format!("order {} is invalid. Timestamp too old", order.id)));
            }
        }
        let expiration = Timestamp::from_seconds(i64::try_from(order.expiration).unwrap_or(i64::MAX));
        let good = match order.order_type {
            OrderType::Gtd => expiration >= now.plus(MIN_EXPIRATION_AHEAD),
            _ => order.expiration == 0,
        };
        if good { Ok(()) } else { Err(Refusal::bad("invalid expiration")) }
    }

    fn open_market(&self, order: &Submission) -> Result<&Market, Refusal> {
        let missing = || Refusal::new(404, "No orderbook exists for the requested token id");
        let market = self.registry.market_of(&order.fields.token).ok_or_else(missing)?;
        match market.state {
            MarketState::Open => Ok(market),
            MarketState::Paused => Err(Refusal::bad("the market is not yet ready to process new orders")),
            MarketState::Closed | MarketState::Resolved(_) => Err(missing()),
        }
    }

    fn plan(&self, order: &Submission, checked: &Checked) -> Vec<Fill> {
        let open = self.journal.orders.get(&order.id).map_or(0, OrderRecord::open_maker);
        let budget = match (order.fields.side, order.order_type.is_immediate()) {
            (Side::Buy, true) => Budget::Dollars(Usd(open)),
            (Side::Buy, false) => Budget::Shares(checked.shares),
            (Side::Sell, _) => Budget::Shares(Shares(open)),
        };
        let book = self.books.get(&order.fields.token);
        let mut fills =
            book.map_or_else(Vec::new, |book| book.plan(order.fields.side, checked.limit, budget));
        // A resting order whose wallet can no longer pay is passed over by ending the match before it.
        let able = fills.iter().position(|fill| !self.can_pay(fill, order.fields.side));
        fills.truncate(able.unwrap_or(fills.len()));
        fills
    }

    fn can_pay(&self, fill: &Fill, taker_side: Side) -> bool {
        let Some(record) = self.journal.orders.get(&fill.order) else { return fill.maker == HOUSE };
        let (asset, amount) = match taker_side {
            Side::Buy => (Asset::Token(record.fields.token), fill.shares.0),
            Side::Sell => (Asset::Collateral, fill.usd.0),
        };
        self.ledger.balance(fill.maker, asset) >= amount
    }

    /// What a wallet can spend: its balance less what open orders hold back; nothing without approval.
    #[must_use]
    pub fn available(&self, wallet: domain::Address, asset: Asset) -> i64 {
        if !self.registry.wallet(&wallet).is_some_and(|wallet| wallet.approved) {
            return 0;
        }
        let reserved = self.reserved.get(&(wallet, asset)).copied().unwrap_or(0);
        self.ledger.balance(wallet, asset).saturating_sub(reserved).max(0)
    }

    fn check_balance(&self, order: &Submission, fees: Usd) -> Result<(), Refusal> {
        let asset = maker_asset(&order.fields);
        let open = self.journal.orders.get(&order.id).map_or(0, OrderRecord::open_maker);
        let fee = if order.fields.side == Side::Buy { fees.0 } else { 0 };
        let needed = open.saturating_add(fee);
        let available = self.available(order.fields.maker, asset);
        if available >= needed {
            return Ok(());
        }
        Err(Refusal::bad(format!(
            "not enough balance / allowance: the balance is not enough -> balance: {available}, \
             order amount: {needed}"
        )))
    }

    fn check_fills(&mut self, order: &Submission, fills: &[Fill]) -> Judged<()> {
        if order.post_only && !fills.is_empty() {
            return Err(refused(Refusal::bad("invalid post-only order: order crosses book")));
        }
        let (usd, shares) = totals(fills);
        let whole = if order.fields.side == Side::Buy { usd.0 } else { shares.0 };
        let open = self.journal.orders.get(&order.id).map_or(0, OrderRecord::open_maker);
        let killed = match order.order_type {
            OrderType::Fak => fills.is_empty(),
            OrderType::Fok => whole < open,
            OrderType::Gtc | OrderType::Gtd => false,
        };
        if !killed {
            return Ok(());
        }
        if let Some(record) = self.journal.orders.get_mut(&order.id)
            && record.state == OrderState::Refused
        {
            record.state = OrderState::Killed;
        }
        Err((PostOutcome::Killed, Refusal::bad(killed_text(order.order_type))))
    }

    fn execute(
        &mut self,
        now: Timestamp,
        order: &Submission,
        checked: &Checked,
        fills: &[Fill],
        fee: Usd,
    ) -> Placed {
        let mut placed = Placed { id: order.id, live: false, making: 0, taking: 0, trade: None };
        if !fills.is_empty() {
            let (usd, shares) = totals(fills);
            let (making, taking) = match order.fields.side {
                Side::Buy => (usd.0, shares.0),
                Side::Sell => (shares.0, usd.0),
            };
            (placed.making, placed.taking) = (making, taking);
            if let Some(book) = self.books.get_mut(&order.fields.token) {
                book.apply(order.fields.side, fills);
            }
            placed.trade = Some(self.settle_match(now, order, fills, fee));
        }
        self.rest_remainder(order, checked, &mut placed);
        placed
    }

    fn rest_remainder(&mut self, order: &Submission, checked: &Checked, placed: &mut Placed) {
        let Some(record) = self.journal.orders.get_mut(&order.id) else { return };
        let open = checked.shares.less(record.filled_shares());
        if order.order_type.is_immediate() || !open.is_positive() {
            record.state = OrderState::Matched;
            return;
        }
        let resting = Resting { order: order.id, maker: order.fields.maker, shares: open };
        let book = self.books.entry(order.fields.token).or_default();
        record.place = Some(book.rest(order.fields.side, checked.limit, resting));
        record.state = OrderState::Live;
        placed.live = placed.trade.is_none();
        self.journal.note_live(order.fields.maker, order.id);
        self.reserve_rest(order.id);
    }

    /// Holds back what the open rest of a resting order needs, and frees what it no longer does.
    pub(super) fn reserve_rest(&mut self, id: OrderId) {
        let Some(record) = self.journal.orders.get_mut(&id) else { return };
        let open = if record.state == OrderState::Live {
            record.shares().less(record.filled_shares())
        } else {
            Shares::ZERO
        };
        let needed = match record.fields.side {
            Side::Sell => open.0,
            Side::Buy => record.limit.cost(open, Rounding::Up).map_or(0, |usd| usd.0),
        };
        let change = needed.saturating_sub(record.reserved);
        record.reserved = needed;
        let reserved = self.reserved.entry((record.fields.maker, maker_asset(&record.fields))).or_default();
        *reserved = reserved.saturating_add(change);
    }

    /// Cancels a resting order.
    ///
    /// # Errors
    /// The reason for `not_canceled`.
    pub fn cancel(&mut self, id: OrderId, owner: &str) -> Result<(), &'static str> {
        let record = self.journal.orders.get_mut(&id).filter(|record| record.owner == owner);
        let record = record.ok_or("order not found")?;
        let Some(place) = record.place.take().filter(|_| record.state == OrderState::Live) else {
            return Err("already canceled or matched");
        };
        record.state = OrderState::Canceled;
        if let Some(book) = self.books.get_mut(&record.fields.token) {
            book.remove(record.fields.side, place);
        }
        self.reserve_rest(id);
        Ok(())
    }
}

const fn killed_text(order_type: OrderType) -> &'static str {
    if matches!(order_type, OrderType::Fok) { KILLED_FOK } else { KILLED_FAK }
}

fn note_post(record: &mut OrderRecord, result: &Judged<Placed>) {
    let count = match result {
        Ok(_) => &mut record.posts.accepted,
        Err((PostOutcome::Killed, _)) => &mut record.posts.killed,
        Err((PostOutcome::Duplicate, _)) => &mut record.posts.duplicate,
        Err(_) => &mut record.posts.refused,
    };
    *count = count.saturating_add(1);
    if let Err((_, refusal)) = result {
        record.last_error = Some(refusal.error.clone());
    }
}

/// Dollars and shares of several fills.
pub(super) fn totals(fills: &[Fill]) -> (Usd, Shares) {
    (fills.iter().map(|fill| fill.usd).sum(), fills.iter().map(|fill| fill.shares).sum())
}

/// What an order gives.
pub(super) const fn maker_asset(order: &SignedFields) -> Asset {
    match order.side {
        Side::Buy => Asset::Collateral,
        Side::Sell => Asset::Token(order.token),
    }
}
