//! Placing orders: the venue's checks in their order, the match, what rests, and the journal of posts.

use domain::{OrderId, Shares, Side, Timestamp, Usd, money::Rounding};

use super::{
    Refusal, World,
    book::{BookView, Resting},
    events::OrderStep,
    fees::TakerFee,
    journal::{Ending, OrderRecord, OrderState, PostOutcome},
    matching::{Budget, Depth, Fill},
    rules::{self, Checked},
};
use crate::{config::Profile, contracts::Exchange, signing::SignedFields, wire::OrderType};

const KILLED_FAK: &str = "no orders found to match with FAK order. FAK orders are partially filled or killed if no match is found.";
const KILLED_FOK: &str = "order couldn't be fully filled. FOK orders are fully filled or killed.";

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

/// How an accepted order stands when it is answered.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Answer {
    /// It rests.
    Live,
    /// It was matched.
    Matched,
    /// It takes, and is matched later.
    Delayed,
    /// It rests and might have taken; see `Knobs::resting_is_unmatched`.
    Unmatched,
}

impl Answer {
    /// Name on the wire.
    #[must_use]
    pub const fn name(self) -> &'static str {
        match self {
            Self::Live => "live",
            Self::Matched => "matched",
            Self::Delayed => "delayed",
            Self::Unmatched => "unmatched",
        }
    }
}

/// Answer to an accepted order.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Placed {
    /// Order id.
    pub id: OrderId,
    /// How it stands.
    pub answer: Answer,
    /// What it gave in this post.
    pub making: i64,
    /// What it got in this post.
    pub taking: i64,
    /// Number of the trade.
    pub trade: Option<usize>,
}

pub(super) type Judged<T> = Result<T, (PostOutcome, Refusal)>;

pub(super) fn refused(refusal: Refusal) -> (PostOutcome, Refusal) {
    (PostOutcome::Refused, refusal)
}

/// An order that passed every check, with what it would get now.
pub(super) struct Ready {
    checked: Checked,
    pub(super) fills: Vec<Fill>,
    fee: TakerFee,
}

impl World {
    /// Processes an order.
    ///
    /// # Errors
    /// [`Refusal`] with the venue's status and text.
    pub fn place(&mut self, now: Timestamp, order: &Submission) -> Result<Placed, Refusal> {
        self.now = now;
        self.journal.orders.entry(order.id).or_insert_with(|| OrderRecord::new(order));
        let result = self.judge(now, order).and_then(|ready| match self.delay_of(order, &ready.fills) {
            Some(delay) => Ok(self.put_off(now, order, delay)),
            None => self.finish(now, order, &ready),
        });
        if let Some(record) = self.journal.orders.get_mut(&order.id) {
            note_post(record, &result);
        }
        self.tell_books(&order.fields.token);
        result.map_err(|(_, refusal)| refusal)
    }

    fn judge(&mut self, now: Timestamp, order: &Submission) -> Judged<Ready> {
        self.check_mode(order.post_only).map_err(refused)?;
        self.check_known(now, order)?;
        self.check_times(now, order).map_err(refused)?;
        self.size_up(now, order)
    }

    /// The least shares of an order in a market with this minimum.
    pub(super) const fn least(&self, minimum: Shares, order_type: OrderType) -> Shares {
        if order_type.is_immediate() && !self.knobs.minimum_of_immediate { Shares::ZERO } else { minimum }
    }

    /// Checks the order's numbers and money against its market and the book of this moment.
    pub(super) fn size_up(&mut self, now: Timestamp, order: &Submission) -> Judged<Ready> {
        self.check_contract(order).map_err(refused)?;
        let market = self.open_market(order).map_err(refused)?;
        let (tick, min_size) = (market.tick, self.least(market.spec.min_size, order.order_type));
        let checked =
            rules::check(order.id, &order.fields, order.order_type, tick, min_size).map_err(refused)?;
        if self.profile == Profile::Stub {
            return Ok(self.stub(now, order, checked));
        }
        let fills = self.plan_payable(order, &checked);
        self.check_notional(order, &fills).map_err(refused)?;
        let fee = self.taker_fee(order, &fills);
        self.check_balance(order, fee.total()).map_err(refused)?;
        if let Some(record) = self.journal.orders.get_mut(&order.id) {
            record.known_since = record.known_since.or(Some(now));
            record.limit = checked.limit;
        }
        Ok(Ready { checked, fills, fee })
    }

    /// The stub's match: the house fills everything at the limit price, whatever the wallet has.
    fn stub(&mut self, now: Timestamp, order: &Submission, checked: Checked) -> Ready {
        if let Some(record) = self.journal.orders.get_mut(&order.id) {
            record.known_since = record.known_since.or(Some(now));
            record.limit = checked.limit;
        }
        let fills = vec![Fill::from_house(order, &checked)];
        Ready { checked, fills, fee: TakerFee::default() }
    }

    /// Matches a checked order and lets what is left of it rest.
    pub(super) fn finish(&mut self, now: Timestamp, order: &Submission, ready: &Ready) -> Judged<Placed> {
        self.check_fills(order, &ready.fills)?;
        Ok(self.execute(now, order, ready))
    }

    /// What the order would get, after resting orders whose wallets can no longer pay were cancelled.
    fn plan_payable(&mut self, order: &Submission, checked: &Checked) -> Vec<Fill> {
        loop {
            match self.plan(order, checked) {
                Ok(fills) => return fills,
                Err(unable) => self.end_order(unable, Ending::NotEnoughBalance),
            }
        }
    }

    fn plan(&self, order: &Submission, checked: &Checked) -> Result<Vec<Fill>, OrderId> {
        let record = self.journal.orders.get(&order.id);
        let open = record.map_or(0, OrderRecord::open_maker);
        let budget = match (order.fields.side, order.order_type.is_immediate()) {
            (Side::Buy, true) => Budget::dollars(Usd(open)),
            (Side::Buy, false) => {
                let filled = record.map_or(Shares::ZERO, OrderRecord::filled_shares);
                Budget::shares_for(checked.shares.less(filled), Usd(open))
            }
            (Side::Sell, _) => Budget::shares(Shares(open)),
        };
        let mut purse = self.purse();
        self.depth(&order.fields.token)
            .plan(order.fields.side, checked.limit, budget, |fill| purse.can_pay(fill))
    }

    /// The books that an order for this token meets.
    pub(super) fn depth(&self, token: &domain::TokenId) -> Depth<'_> {
        let other_token = self.registry.market_of(token).map_or(*token, |market| market.other_token(token));
        let (own, other) = (self.books.get(token), self.books.get(&other_token));
        Depth { token: *token, own, other_token, other }
    }

    /// A token's book as everybody sees it; `None` if nothing ever rested there.
    #[must_use]
    pub fn book(&self, token: &domain::TokenId) -> Option<BookView<'_>> {
        let Depth { own, other, .. } = self.depth(token);
        (own.is_some() || other.is_some()).then_some(BookView { own, other })
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
        let unmatched =
            |record: &OrderRecord| matches!(record.state, OrderState::Refused | OrderState::Delayed);
        if self.journal.orders.get(&order.id).is_some_and(unmatched) {
            self.end_order(order.id, Ending::Killed);
        }
        Err((PostOutcome::Killed, Refusal::bad(killed_text(order.order_type))))
    }

    fn execute(&mut self, now: Timestamp, order: &Submission, ready: &Ready) -> Placed {
        let mut placed = Placed { id: order.id, answer: Answer::Matched, making: 0, taking: 0, trade: None };
        if !ready.fills.is_empty() {
            let (usd, shares) = totals(&ready.fills);
            (placed.making, placed.taking) = match order.fields.side {
                Side::Buy => (usd.0, shares.0),
                Side::Sell => (shares.0, usd.0),
            };
            self.apply_fills(order, &ready.fills);
            placed.trade = Some(self.settle_match(now, order, &ready.fills, ready.fee));
        }
        self.rest_remainder(order, &ready.checked, &mut placed);
        placed
    }

    /// Takes the fills off the books, and notes the price of the last one on both.
    fn apply_fills(&mut self, order: &Submission, fills: &[Fill]) {
        for fill in fills {
            if let Some(book) = self.books.get_mut(&fill.token) {
                fill.apply(book);
            }
        }
        let Some(last) = fills.last() else { return };
        let (token, side) = (order.fields.token, order.fields.side);
        let other = self.depth(&token).other_token;
        self.books.entry(token).or_default().last_trade = Some((last.price, side));
        if other != token {
            let mirrored = (last.price.complement(), super::book::opposite(side));
            self.books.entry(other).or_default().last_trade = Some(mirrored);
        }
    }

    fn rest_remainder(&mut self, order: &Submission, checked: &Checked, placed: &mut Placed) {
        let Some(record) = self.journal.orders.get_mut(&order.id) else { return };
        let open = checked.shares.less(record.filled_shares());
        if order.order_type.is_immediate() || !open.is_positive() || record.open_maker() <= 0 {
            record.state = OrderState::Matched;
            self.tell_order(order.id, OrderStep::Update);
            return;
        }
        self.arrivals = self.arrivals.saturating_add(1);
        let resting = Resting { order: order.id, maker: order.fields.maker, shares: open, complements: true };
        let book = self.books.entry(order.fields.token).or_default();
        record.place = Some(book.rest(order.fields.side, checked.limit, self.arrivals, resting));
        record.state = OrderState::Live;
        if placed.trade.is_none() {
            let unmatched = self.knobs.resting_is_unmatched && !order.post_only;
            placed.answer = if unmatched { Answer::Unmatched } else { Answer::Live };
        }
        self.journal.note_live(&order.owner, order.id);
        self.reserve_rest(order.id);
        self.note_expiry(order);
        self.tell_order(order.id, OrderStep::Placement);
    }

    /// Holds back what the open rest of a resting order needs, and frees what it no longer does.
    pub(super) fn reserve_rest(&mut self, id: OrderId) {
        let Some(record) = self.journal.orders.get_mut(&id) else { return };
        let open = record.shares().less(record.filled_shares());
        let needed = match (record.state, record.fields.side) {
            (OrderState::Delayed, _) => record.open_maker(),
            (OrderState::Live, Side::Sell) => open.0,
            (OrderState::Live, Side::Buy) => record.limit.cost(open, Rounding::Up).map_or(0, |usd| usd.0),
            _ => 0,
        };
        let change = needed.saturating_sub(record.reserved);
        record.reserved = needed;
        let key = (record.fields.maker, record.fields.maker_asset());
        let reserved = self.reserved.entry(key).or_default();
        *reserved = reserved.saturating_add(change);
    }
}

/// Why an immediate order that found too little is refused.
pub(super) const fn killed_text(order_type: OrderType) -> &'static str {
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

/// A taker's dollars and shares of several fills.
pub(super) fn totals(fills: &[Fill]) -> (Usd, Shares) {
    (fills.iter().map(|fill| fill.usd).sum(), fills.iter().map(|fill| fill.shares).sum())
}
