//! The paper venue: takes orders, walks the real book at the moment they arrive, remembers what came of them.

use std::{collections::HashMap, sync::Arc, time::Duration};

use async_trait::async_trait;
use domain::{Book, Clock, Market, OrderPlan, TokenId, TradingAccount};
use engine::{
    deadline::{venue_call, within},
    ports::{
        detection::Lane,
        paper::{PaperBook, PaperMatch, PaperOrders},
        store::StoreError,
        venue::{
            Acceptance, AcceptedStatus, Cancel, Cancelled, MarketData, NotCancelled, OrderGateway,
            OrderLookup, OrderQuery, PostReply, PostTimes, PreparedOrder, RejectReason, SettlementStatus,
            VenueError, VenueOrder, VenueOrderStatus, VenueTrade,
        },
    },
};
use futures_util::future::{join, join_all};
use simulator::signing::SignedFields;
use tokio::sync::Mutex;
use tracing::info;

use crate::{
    judge::{self, Filled, Order, Verdict},
    limits::READ_DEADLINE,
    taken::Taken,
};

/// The gateway of paper accounts.
pub struct PaperVenue {
    orders: Arc<dyn PaperOrders>,
    markets: Arc<dyn MarketData>,
    matches: Arc<dyn PaperBook>,
    clock: Arc<dyn Clock>,
    /// Held from the walk to its record: two orders never get the same shares.
    taken: Mutex<Taken>,
}

/// A market and its book at this moment, or what is answered because they are not known.
type Quote = Result<(Market, Book), PostReply>;

impl PaperVenue {
    /// A venue whose orders are built by `orders`, filled from the books of `markets`, and kept in `matches`.
    #[must_use]
    pub fn new(
        orders: Arc<dyn PaperOrders>,
        markets: Arc<dyn MarketData>,
        matches: Arc<dyn PaperBook>,
        clock: Arc<dyn Clock>,
    ) -> Self {
        Self { orders, markets, matches, clock, taken: Mutex::default() }
    }

    /// The market, and its book after the time for which the venue holds such orders back.
    async fn quote(&self, token: TokenId, lane: Lane, deadline: Duration) -> Quote {
        let (started, clock) = (self.clock.uptime(), self.clock.as_ref());
        let market =
            venue_call(clock, "market", READ_DEADLINE.min(deadline), self.markets.market(token, lane));
        let book = venue_call(clock, "book", READ_DEADLINE.min(deadline), self.markets.book(token, lane));
        let (market, mut book) = join(market, book).await;
        let not_now =
            |error: VenueError| PostReply::NotAccepted { retry_after: None, text: error.to_string() };
        let unknown = || PostReply::Rejected {
            reason: RejectReason::MarketUnknown,
            text: "No orderbook exists for the requested token id".to_owned(),
        };
        let market = market.map_err(not_now)?.ok_or_else(unknown)?;
        if market.taker_delay_ms > 0 {
            let delay = Duration::from_millis(market.taker_delay_ms.into());
            let half = deadline
                .saturating_sub(clock.uptime().saturating_sub(started))
                .checked_div(2)
                .unwrap_or_default();
            clock.sleep(delay.min(half)).await;
            let again = self.markets.book(token, lane);
            book = venue_call(clock, "book", READ_DEADLINE.min(half), again).await;
        }
        Ok((market, book.map_err(not_now)?.unwrap_or_default()))
    }

    /// Matches an order and keeps what came of it; nothing was matched unless that is kept.
    async fn take(
        &self,
        account: &TradingAccount,
        order: &Order,
        (market, book): &(Market, Book),
    ) -> PostReply {
        let uptime = self.clock.uptime();
        let mut taken = self.taken.lock().await;
        let verdict = if order.fields.maker == account.wallet {
            order.judge(account.signer, market, book, (&taken, uptime))
        } else {
            Verdict::Refused(RejectReason::Signature, "invalid signature".to_owned())
        };
        let (filled, reply) = match verdict {
            Verdict::Refused(reason, text) => return PostReply::Rejected { reason, text },
            Verdict::Killed(text) => (Filled::default(), PostReply::Killed { text: text.to_owned() }),
            Verdict::Filled(filled) => {
                let reply = PostReply::Accepted(accepted(order, &filled));
                (filled, reply)
            }
        };
        let Filled { shares, usd, fee, .. } = filled;
        let one = PaperMatch { order: order.id, account: account.id, shares, usd, fee, at: self.clock.now() };
        match self.matches.keep_match(&one).await {
            Ok(true) => {}
            Ok(false) => return PostReply::Duplicated,
            Err(StoreError::OutcomeUnknown(text)) => return PostReply::Unknown { text, blocked: false },
            Err(error) => return PostReply::NotAccepted { retry_after: None, text: error.to_string() },
        }
        for (level, shares) in &filled.levels {
            taken.note((order.fields.token, order.fields.side), level, *shares, uptime);
        }
        let id = order.id;
        info!(order.id = %id, %shares, %usd, %fee, "order {id} took {shares} shares for {usd} $ from the real book, on paper");
        reply
    }
}

fn accepted(order: &Order, filled: &Filled) -> Acceptance {
    let SignedFields { side, .. } = order.fields;
    let (making, taking) = match side {
        domain::Side::Buy => (filled.usd.0, filled.shares.0),
        domain::Side::Sell => (filled.shares.0, filled.usd.0),
    };
    Acceptance {
        status: AcceptedStatus::Matched,
        making: Some(making),
        taking: Some(taking),
        trade_ids: vec![trade_id(order.id)],
    }
}

fn trade_id(order: domain::OrderId) -> String {
    format!("paper-{order}")
}

#[async_trait]
impl OrderGateway for PaperVenue {
    async fn prepare(&self, plans: &[OrderPlan]) -> Vec<Result<PreparedOrder, VenueError>> {
        self.orders.prepare_on_paper(plans).await
    }

    async fn post(&self, account: &TradingAccount, order: &PreparedOrder, times: PostTimes) -> PostReply {
        let lost = || PostReply::Unknown { text: "no answer".to_owned(), blocked: false };
        let replies = self.post_batch(account, Lane::Entries, std::slice::from_ref(order), times).await;
        replies.into_iter().next().unwrap_or_else(lost)
    }

    async fn post_batch(
        &self,
        account: &TradingAccount,
        lane: Lane,
        orders: &[PreparedOrder],
        times: PostTimes,
    ) -> Vec<PostReply> {
        let deadline = times.reply_within;
        let read: Vec<_> = orders.iter().map(|order| judge::read(order.id, &order.body)).collect();
        let mut tokens: Vec<TokenId> = read.iter().flatten().map(|order| order.fields.token).collect();
        tokens.sort();
        tokens.dedup();
        let quotes = join_all(tokens.iter().map(|token| async {
            let quote = within(self.clock.as_ref(), deadline, self.quote(*token, lane, deadline)).await;
            let late =
                |_| Err(PostReply::NotAccepted { retry_after: None, text: "no book in time".to_owned() });
            (*token, quote.unwrap_or_else(late))
        }));
        let quotes: HashMap<TokenId, Quote> = quotes.await.into_iter().collect();
        if self.clock.uptime() >= times.send_before {
            let text = "not sent: its time was over when the book had come".to_owned();
            return orders
                .iter()
                .map(|_| PostReply::NotAccepted { retry_after: None, text: text.clone() })
                .collect();
        }
        let mut replies = Vec::with_capacity(read.len());
        for order in read {
            replies.push(match order {
                Err(Verdict::Refused(reason, text)) => PostReply::Rejected { reason, text },
                Err(_) => PostReply::NotAccepted { retry_after: None, text: "not read".to_owned() },
                Ok(order) => match quotes.get(&order.fields.token) {
                    Some(Ok(quote)) => self.take(account, &order, quote).await,
                    Some(Err(reply)) => reply.clone(),
                    None => PostReply::NotAccepted { retry_after: None, text: "no book".to_owned() },
                },
            });
        }
        replies
    }

    async fn look_up(&self, _: &TradingAccount, order: &OrderQuery) -> Result<OrderLookup, VenueError> {
        let unavailable = |error: StoreError| VenueError::Unavailable {
            what: "paper matches".to_owned(),
            reason: error.to_string(),
        };
        let Some(found) = self.matches.find_match(order.id).await.map_err(unavailable)? else {
            return Ok(OrderLookup::default());
        };
        let PaperMatch { shares, usd, fee, .. } = found;
        if !shares.is_positive() {
            let order = VenueOrder { status: VenueOrderStatus::Cancelled, matched: shares };
            return Ok(OrderLookup { order: Some(order), trades: Vec::new() });
        }
        // There is no chain to wait for: what is matched on paper is final.
        let status = SettlementStatus::Confirmed;
        let trade = VenueTrade { id: trade_id(order.id), status, shares, usd, fee, tx: None };
        let order = VenueOrder { status: VenueOrderStatus::Matched, matched: shares };
        Ok(OrderLookup { order: Some(order), trades: vec![trade] })
    }

    /// Nothing rests, so there is nothing to cancel.
    async fn cancel(&self, _: &TradingAccount, what: &Cancel) -> Result<Cancelled, VenueError> {
        let Cancel::Orders(orders) = what else { return Ok(Cancelled::default()) };
        let mut kept = Vec::with_capacity(orders.len());
        for order in orders {
            let known = self.matches.find_match(*order).await;
            let known = known.map_err(|error| VenueError::Unavailable {
                what: "paper matches".to_owned(),
                reason: error.to_string(),
            })?;
            kept.push((*order, known.map_or(NotCancelled::NotFound, |_| NotCancelled::Done)));
        }
        Ok(Cancelled { cancelled: Vec::new(), kept })
    }
}
