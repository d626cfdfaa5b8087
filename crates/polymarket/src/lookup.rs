//! What the venue knows of an order: the order itself and its trades.
//!
//! Every question must be answered: a look-up that could not ask one is an error, never a "not there".

use std::{collections::BTreeMap, sync::PoisonError};

use domain::{
    FeeSchedule, Market, OrderId, Price, Rounding, Shares, Side, TokenId, TradingAccount, Usd, money::LOT,
};
use eip712::Exchange;
use engine::ports::detection::Lane;
use engine::ports::venue::{
    MarketData, OrderLookup, OrderQuery, SettlementStatus, VenueError, VenueOrder, VenueOrderStatus,
    VenueTrade,
};
use reqwest::Method;
use serde::{Deserialize, de::DeserializeOwned};

use crate::{
    clob::Clob,
    http::{malformed, shorten},
    json::{Scalar, null_as_default},
    limits::{MAX_ORDER_PAGES, MAX_TRADE_PAGES, RULES_CACHE, TRADE_CLOCK_SLACK},
    pace::Call,
    pacer::Endpoint,
};

/// Marks the last page. Source: every official client (`END_CURSOR`).
const END_CURSOR: &str = "LTE=";

#[derive(Deserialize)]
struct Page<T> {
    data: Vec<T>,
    #[serde(default, deserialize_with = "null_as_default")]
    next_cursor: String,
}

/// A list that comes in pages.
#[derive(Clone, Copy)]
pub(crate) struct List {
    path: &'static str,
    endpoint: Endpoint,
    most_pages: usize,
    /// Whether 404 means that there is nothing.
    may_be_absent: bool,
}

pub(crate) const ORDERS: List = List {
    path: "/data/orders",
    endpoint: Endpoint::Orders,
    most_pages: MAX_ORDER_PAGES,
    may_be_absent: true,
};
pub(crate) const TRADES: List = List {
    path: "/data/trades",
    endpoint: Endpoint::Trades,
    most_pages: MAX_TRADE_PAGES,
    may_be_absent: false,
};

/// An order as `/data/order` and the user channel tell it.
#[derive(Deserialize)]
pub(crate) struct OrderRow {
    pub(crate) id: String,
    pub(crate) status: String,
    pub(crate) original_size: Option<Scalar>,
    pub(crate) size_matched: Scalar,
}

/// A trade as `/data/trades` and the user channel tell it.
#[derive(Clone, Debug, Deserialize)]
pub(crate) struct TradeRow {
    pub(crate) id: String,
    pub(crate) taker_order_id: String,
    pub(crate) status: String,
    pub(crate) side: Side,
    size: Scalar,
    price: Scalar,
    pub(crate) asset_id: TokenId,
    /// API key of the taker.
    #[serde(default, deserialize_with = "null_as_default")]
    pub(crate) owner: String,
    /// Wallet of the taker.
    #[serde(default, deserialize_with = "null_as_default")]
    pub(crate) maker_address: String,
    #[serde(default, deserialize_with = "null_as_default")]
    transaction_hash: String,
    #[serde(default, deserialize_with = "null_as_default")]
    pub(crate) maker_orders: Vec<MakerRow>,
}

/// A resting order's part of a trade.
#[derive(Clone, Debug, Deserialize)]
pub(crate) struct MakerRow {
    pub(crate) order_id: String,
    #[serde(default, deserialize_with = "null_as_default")]
    pub(crate) owner: String,
    #[serde(default, deserialize_with = "null_as_default")]
    pub(crate) maker_address: String,
    matched_amount: Scalar,
    price: Scalar,
    pub(crate) asset_id: TokenId,
    /// Left out by some recorded frames.
    side: Option<Side>,
}

impl MakerRow {
    /// Its side: opposite to the taker's on the same outcome, the same on the other one (mint, merge).
    pub(crate) fn side(&self, taken: &TradeRow) -> Side {
        let derived = match (self.asset_id == taken.asset_id, taken.side) {
            (true, Side::Buy) | (false, Side::Sell) => Side::Sell,
            (true, Side::Sell) | (false, Side::Buy) => Side::Buy,
        };
        self.side.unwrap_or(derived)
    }
}

impl Clob {
    pub(crate) async fn find(
        &self,
        account: &TradingAccount,
        query: &OrderQuery,
    ) -> Result<OrderLookup, VenueError> {
        let (order, trades) =
            tokio::try_join!(self.order_record(account, query), self.order_trades(account, query))?;
        Ok(OrderLookup { order, trades })
    }

    /// The order itself, first by its own address and then by the list, which shows ended orders too.
    async fn order_record(
        &self,
        account: &TradingAccount,
        &OrderQuery { id, lane, .. }: &OrderQuery,
    ) -> Result<Option<VenueOrder>, VenueError> {
        let path = format!("/data/order/{id}");
        let turn = Call { endpoint: Endpoint::Ledger, lane, tokens: None };
        let answer = self.call(account, turn, (Method::GET, &path, ""), Vec::new()).await?;
        let direct = if answer.is_success() && answer.body.trim_ascii().is_empty() {
            None
        } else {
            // Killed orders are answered with `null` by some versions.
            answer.json_if_found::<Option<OrderRow>>("GET /data/order")?.flatten()
        };
        if let Some(row) = direct {
            if !is_same(&row.id, id) {
                return Err(malformed("GET /data/order", &"another order than the one asked for"));
            }
            return order_state(&row).map(Some);
        }
        let rows: Vec<OrderRow> = self.pages((account, lane), ORDERS, &format!("?id={id}")).await?;
        rows.iter().find(|row| is_same(&row.id, id)).map(order_state).transpose()
    }

    /// Every row of a list, page by page to its end.
    pub(crate) async fn pages<T: DeserializeOwned>(
        &self,
        (account, lane): (&TradingAccount, Lane),
        list: List,
        filter: &str,
    ) -> Result<Vec<T>, VenueError> {
        let what = format!("GET {}", list.path);
        let (mut cursor, mut rows) = (String::new(), Vec::new());
        for _ in 0..list.most_pages {
            let next = if cursor.is_empty() { String::new() } else { format!("&next_cursor={cursor}") };
            let query = format!("{filter}{next}");
            let turn = Call { endpoint: list.endpoint, lane, tokens: None };
            let answer = self.call(account, turn, (Method::GET, list.path, &query), Vec::new()).await?;
            let page: Page<T> = match answer.json_if_found(&what)? {
                Some(page) => page,
                None if list.may_be_absent => return Ok(rows),
                None => return Err(answer.error(&what)),
            };
            rows.extend(page.data);
            if page.next_cursor.is_empty() || page.next_cursor == END_CURSOR {
                return Ok(rows);
            }
            if page.next_cursor == cursor || !is_cursor(&page.next_cursor) {
                return Err(malformed(&what, &"a cursor that leads nowhere"));
            }
            cursor = page.next_cursor;
        }
        Err(malformed(&what, &format!("more than {} pages", list.most_pages)))
    }

    async fn order_trades(
        &self,
        account: &TradingAccount,
        query: &OrderQuery,
    ) -> Result<Vec<VenueTrade>, VenueError> {
        let after = query.signed_at.seconds().saturating_sub(TRADE_CLOCK_SLACK).max(0);
        let filter = format!("?asset_id={}&after={after}", query.token);
        let rows: Vec<TradeRow> = self.pages((account, query.lane), TRADES, &filter).await?;
        // By id, because pages overlap when trades arrive between two of them.
        let mut found = BTreeMap::new();
        for row in &rows {
            let trade = trade_of(row, query.id).map_err(|error| malformed("GET /data/trades", &error))?;
            if let Some((trade, role)) = trade {
                found.insert(trade.id.clone(), (trade, role));
            }
        }
        self.with_fees((query.token, query.lane), found.into_values().collect()).await
    }

    /// The venue does not tell fees: they follow from the market's schedule, until the chain tells them.
    pub(crate) async fn with_fees(
        &self,
        (token, lane): (TokenId, Lane),
        trades: Vec<(VenueTrade, Role)>,
    ) -> Result<Vec<VenueTrade>, VenueError> {
        if trades.is_empty() {
            return Ok(Vec::new());
        }
        let schedule = self.rules(token, lane).await?.fee;
        trades
            .into_iter()
            .map(|(mut trade, role)| {
                if let Some(price) = Price::of(trade.usd, trade.shares, Rounding::Up) {
                    let fee = match role {
                        Role::Taker => schedule.taker_fee(trade.shares, price),
                        Role::Maker => schedule.maker_fee(trade.shares, price),
                    };
                    trade.fee = fee.map_err(|error| malformed("fee of a trade", &error))?;
                }
                Ok(trade)
            })
            .collect()
    }

    /// The exchange that takes orders in a token, if its market was read before.
    pub(crate) fn known_exchange(&self, token: TokenId) -> Option<Exchange> {
        // A token of the V3 era says so itself.
        let negative_risk = !token.is_v3() && self.known_rules(token)?.negative_risk;
        Some(Exchange::for_token(&token, negative_risk))
    }

    fn known_rules(&self, token: TokenId) -> Option<Rules> {
        self.rules.lock().unwrap_or_else(PoisonError::into_inner).get(&token).copied()
    }

    async fn rules(&self, token: TokenId, lane: Lane) -> Result<Rules, VenueError> {
        if let Some(known) = self.known_rules(token) {
            return Ok(known);
        }
        let market = self.market(token, lane).await?;
        market.as_ref().map(Rules::of).ok_or_else(|| VenueError::Refused {
            what: "rules of a market".to_owned(),
            reason: format!("the venue does not know the market of token {token}"),
        })
    }

    /// Remembers rules that were read on the way.
    pub(crate) fn remember(&self, market: &Market) {
        let mut rules = self.rules.lock().unwrap_or_else(PoisonError::into_inner);
        if rules.len() >= RULES_CACHE {
            rules.clear();
        }
        rules.insert(market.token, Rules::of(market));
    }
}

/// What is needed of a market's rules beside its orders.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Rules {
    fee: FeeSchedule,
    negative_risk: bool,
}

impl Rules {
    const fn of(market: &Market) -> Self {
        Self { fee: market.fee, negative_risk: market.negative_risk }
    }
}

fn is_same(text: &str, id: OrderId) -> bool {
    text.eq_ignore_ascii_case(&id.to_string())
}

/// Cursors are base64; anything else would have to be escaped and is not ours to send.
fn is_cursor(text: &str) -> bool {
    text.len() <= 256 && text.bytes().all(|byte| byte.is_ascii_alphanumeric() || b"=-_+/".contains(&byte))
}

/// Reads both documented forms: plain statuses with decimal sizes ("LIVE", "10"), and prefixed ones whose
/// sizes may be decimals or millionths ("ORDER_STATUS_LIVE", "10000000").
pub(crate) fn order_state(row: &OrderRow) -> Result<VenueOrder, VenueError> {
    let bad = |reason: &dyn std::fmt::Display| malformed("an order's record", reason);
    let upper = row.status.to_ascii_uppercase();
    let (status, fixed) = match upper.strip_prefix("ORDER_STATUS_") {
        Some(rest) => (rest, is_in_millionths(row)),
        None => (upper.as_str(), false),
    };
    let status = match status {
        "LIVE" => VenueOrderStatus::Live,
        "DELAYED" => VenueOrderStatus::Delayed,
        "MATCHED" => VenueOrderStatus::Matched,
        "INVALID" => VenueOrderStatus::Cancelled,
        // The reason of the cancellation is appended ("CANCELED_MARKET_RESOLVED", "CANCELED_order …").
        other if other.starts_with("CANCELED") || other.starts_with("CANCELLED") => {
            VenueOrderStatus::Cancelled
        }
        other => return Err(bad(&format!("unknown status `{}`", shorten(other)))),
    };
    let matched = match (row.size_matched.0.as_str(), fixed) {
        // Killed orders have an empty size.
        ("", _) => Ok(0),
        (_, true) => row.size_matched.whole().and_then(|size| row.size_matched.within(size)),
        (_, false) => row.size_matched.amount(),
    };
    Ok(VenueOrder { status, matched: Shares(matched.map_err(|error| bad(&error))?) })
}

/// A size in millionths has no decimal point and is at least one lot.
fn is_in_millionths(row: &OrderRow) -> bool {
    let original = row.original_size.as_ref();
    let whole = |size: &Scalar| size.whole().is_ok_and(|size| size >= LOT.0);
    !row.size_matched.0.contains('.') && original.is_none_or(whole)
}

/// Whether our order came to a resting one or rested itself.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Role {
    Taker,
    Maker,
}

/// A row as our order saw it; `None` when our order has no part in it.
pub(crate) fn trade_of(row: &TradeRow, id: OrderId) -> Result<Option<(VenueTrade, Role)>, String> {
    let text = |error: crate::json::NumberError| error.to_string();
    let trade = |shares, usd| -> Result<VenueTrade, String> {
        Ok(VenueTrade {
            id: shorten(&row.id),
            status: settlement(&row.status)?,
            shares: Shares(shares),
            usd,
            fee: Usd::ZERO,
            tx: transaction(&row.transaction_hash)?,
        })
    };
    if is_same(&row.taker_order_id, id) {
        let shares = row.size.amount().map_err(text)?;
        return Ok(Some((trade(shares, taker_usd(row, shares)?)?, Role::Taker)));
    }
    let mut ours = row.maker_orders.iter().filter(|maker| is_same(&maker.order_id, id));
    let Some(maker) = ours.next() else {
        return Ok(None);
    };
    if ours.next().is_some() {
        return Err("our order stands twice among the makers of one trade".to_owned());
    }
    let shares = maker.matched_amount.amount().map_err(text)?;
    let usd = cost(maker.price.price().map_err(text)?, shares, maker.side(row))?;
    Ok(Some((trade(shares, usd)?, Role::Maker)))
}

/// What the taker paid or got: the sum over the makers if it accounts for every share, else size times
/// price. A maker on the opposite outcome (mint, merge) quotes the complement of our price.
fn taker_usd(row: &TradeRow, shares: i64) -> Result<Usd, String> {
    let text = |error: crate::json::NumberError| error.to_string();
    let (mut matched, mut usd) = (0_i64, Usd::ZERO);
    for maker in &row.maker_orders {
        let amount = maker.matched_amount.amount().map_err(text)?;
        let quoted = Price(maker.price.price().map_err(text)?);
        let price = if maker.asset_id == row.asset_id { quoted } else { quoted.complement() };
        matched = matched.saturating_add(amount);
        usd = usd.plus(cost(price.0, amount, row.side)?).map_err(|error| error.to_string())?;
    }
    if matched == shares && !row.maker_orders.is_empty() {
        return Ok(usd);
    }
    cost(row.price.price().map_err(text)?, shares, row.side)
}

/// Rounded against ourselves.
fn cost(price: i64, shares: i64, side: Side) -> Result<Usd, String> {
    let rounding = match side {
        Side::Buy => Rounding::Up,
        Side::Sell => Rounding::Down,
    };
    Price(price).cost(Shares(shares), rounding).map_err(|error| error.to_string())
}

pub(crate) fn settlement(status: &str) -> Result<SettlementStatus, String> {
    let upper = status.to_ascii_uppercase();
    match upper.strip_prefix("TRADE_STATUS_").unwrap_or(&upper) {
        "MATCHED" | "MATCHED_NOT_BROADCASTED" => Ok(SettlementStatus::Matched),
        "MINED" => Ok(SettlementStatus::Mined),
        "CONFIRMED" => Ok(SettlementStatus::Confirmed),
        "RETRYING" => Ok(SettlementStatus::Retrying),
        "FAILED" => Ok(SettlementStatus::Failed),
        other => Err(format!("unknown trade status `{}`", shorten(other))),
    }
}

fn transaction(text: &str) -> Result<Option<domain::TxHash>, String> {
    if text.is_empty() {
        return Ok(None);
    }
    text.parse().map(Some).map_err(|error: domain::ids::IdError| error.to_string())
}

#[cfg(test)]
#[path = "lookup_tests.rs"]
pub(crate) mod tests;
