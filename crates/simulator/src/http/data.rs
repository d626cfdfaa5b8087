//! The Data API: trades, activity and positions in the shapes of v1 (camelCase arrays) and v2
//! (snake_case pages with a cursor). Rows carry no log index, as the real ones do not.

use std::{collections::BTreeMap, sync::Arc};

use axum::{
    Json, Router,
    extract::{Query, State},
    response::{IntoResponse, Response},
    routing::get,
};
use domain::{Address, ConditionId, Price, Shares, Side, Timestamp, TokenId, Usd, money::Rounding};
use serde::Deserialize;
use serde_json::{Map, Value, json};

use super::{Shared, clob::number};
use crate::{
    wire,
    world::{
        Refusal, World,
        data::{IndexedRow, RowKind},
        ledger::Asset,
        registry::MarketState,
    },
};

type App = State<Arc<Shared>>;

pub(super) fn router(shared: &Arc<Shared>) -> Router {
    Router::new()
        .route("/", get(async || Json(json!({ "data": "OK" }))))
        .route("/trades", get(trades_v1))
        .route("/activity", get(activity_v1))
        .route("/positions", get(positions_v1))
        .route("/v2/trades", get(trades_v2))
        .route("/v2/activity", get(activity_v2))
        .with_state(Arc::clone(shared))
}

#[derive(Deserialize)]
#[serde(rename_all = "camelCase")]
struct RowQuery {
    user: Option<Address>,
    /// Condition ids, comma-separated.
    market: Option<String>,
    #[serde(rename = "condition_id")]
    condition_id: Option<String>,
    side: Option<Side>,
    /// Activity types, comma-separated.
    #[serde(rename = "type")]
    kinds: Option<String>,
    taker_only: Option<bool>,
    #[serde(rename = "taker_only")]
    taker_only_v2: Option<bool>,
    start: Option<i64>,
    end: Option<i64>,
    limit: Option<usize>,
    #[serde(default)]
    offset: usize,
    cursor: Option<String>,
    sort_direction: Option<String>,
    #[serde(rename = "sort_direction")]
    sort_direction_v2: Option<String>,
}

impl RowQuery {
    fn passes(&self, row: &IndexedRow) -> bool {
        let is_one_of = |wanted: &String| {
            let condition = row.row.condition.to_string();
            wanted.split(',').any(|one| one == condition)
        };
        let kind = if matches!(row.row.kind, RowKind::Redeem) { "REDEEM" } else { "TRADE" };
        let side = match row.row.kind {
            RowKind::Trade { side, .. } => Some(side),
            RowKind::Redeem => None,
        };
        self.market.as_ref().or(self.condition_id.as_ref()).is_none_or(is_one_of)
            && self.kinds.as_ref().is_none_or(|kinds| kinds.split(',').any(|one| one == kind))
            && self.side.is_none_or(|wanted| side == Some(wanted))
            && self.end.is_none_or(|end| row.timestamp <= end)
    }

    fn ascending(&self) -> bool {
        let direction = self.sort_direction.as_ref().or(self.sort_direction_v2.as_ref());
        direction.is_some_and(|direction| direction.eq_ignore_ascii_case("asc"))
    }

    /// Rows of `/trades`: without `takerOnly=false` those of makers are missing.
    fn is_trade(&self, row: &IndexedRow) -> bool {
        let taker_only = self.taker_only.or(self.taker_only_v2).unwrap_or(true);
        matches!(row.row.kind, RowKind::Trade { taker, .. } if taker || !taker_only)
    }

    /// Numbers and rows of one page, and the number at which the next one starts.
    fn page<'a>(
        &self,
        world: &'a World,
        now: Timestamp,
        keep: impl Fn(&IndexedRow) -> bool,
        limit: usize,
    ) -> (Vec<&'a IndexedRow>, Option<usize>) {
        // A cursor names the last row of its page, so that new rows do not shift the pages.
        let last = self.cursor.as_deref().and_then(wire::offset);
        let ascending = self.ascending();
        let mut rows: Box<dyn Iterator<Item = (usize, &IndexedRow)>> = Box::new(
            world
                .data()
                .newest(self.user, now)
                // Rows come newest first, in the order of their blocks' time.
                .take_while(|(_, row)| self.start.is_none_or(|start| row.timestamp >= start))
                .filter(|(_, row)| keep(row) && self.passes(row))
                .filter(|(number, _)| {
                    last.is_none_or(|last| if ascending { *number > last } else { *number < last })
                }),
        );
        if ascending {
            let all: Vec<_> = rows.collect();
            rows = Box::new(all.into_iter().rev());
        }
        let mut page: Vec<_> = rows.skip(self.offset).take(limit.saturating_add(1)).collect();
        let more = page.len() > limit;
        page.truncate(limit);
        let next = page.last().map(|(number, _)| *number).filter(|_| more);
        (page.into_iter().map(|(_, row)| row).collect(), next)
    }
}

async fn trades_v1(State(shared): App, Query(query): Query<RowQuery>) -> Response {
    let limit = query.limit.unwrap_or(100).min(10_000);
    Json(shared.with(|world, now| {
        let (rows, _) = query.page(world, now, |row| query.is_trade(row), limit);
        rows.into_iter().map(|row| Value::Object(row_v1(world, row, false))).collect::<Vec<_>>()
    }))
    .into_response()
}

async fn activity_v1(State(shared): App, Query(query): Query<RowQuery>) -> Response {
    if query.user.is_none() {
        return Refusal::bad("required query param 'user' not provided").into_response();
    }
    let limit = query.limit.unwrap_or(100).min(500);
    Json(shared.with(|world, now| {
        let (rows, _) = query.page(world, now, |_| true, limit);
        rows.into_iter().map(|row| Value::Object(row_v1(world, row, true))).collect::<Vec<_>>()
    }))
    .into_response()
}

async fn trades_v2(State(shared): App, Query(query): Query<RowQuery>) -> Response {
    v2(&shared, &query, |row| query.is_trade(row), false)
}

async fn activity_v2(State(shared): App, Query(query): Query<RowQuery>) -> Response {
    if query.user.is_none() {
        return Refusal::bad("required query param 'user' not provided").into_response();
    }
    v2(&shared, &query, |_| true, true)
}

fn v2(shared: &Shared, query: &RowQuery, keep: impl Fn(&IndexedRow) -> bool, activity: bool) -> Response {
    let limit = query.limit.unwrap_or(100).min(1_000);
    Json(shared.with(|world, now| {
        let (rows, next) = query.page(world, now, keep, limit);
        let data: Vec<Value> = rows.into_iter().map(|row| snake(row_v1(world, row, activity))).collect();
        let pagination =
            json!({ "limit": limit, "has_more": next.is_some(), "next_cursor": next.map(wire::cursor) });
        json!({ "data": data, "pagination": pagination })
    }))
    .into_response()
}

fn row_v1(world: &World, row: &IndexedRow, activity: bool) -> Map<String, Value> {
    let market = world.registry().market(&row.row.condition);
    let spec = market.map(|market| &market.spec);
    let price = Price::of(row.row.usd, row.row.shares, Rounding::Down).unwrap_or_default().to_string();
    let mut fields = Map::new();
    let mut put = |name: &str, value: Value| {
        fields.insert(name.to_owned(), value);
    };
    put("proxyWallet", json!(row.row.wallet));
    put("timestamp", json!(row.timestamp));
    put("conditionId", json!(row.row.condition));
    put("size", number(&row.row.shares.to_string()));
    put("transactionHash", json!(row.tx));
    put("title", json!(spec.map_or("", |spec| spec.title.as_str())));
    put("slug", json!(spec.map_or("", |spec| spec.slug.as_str())));
    put("eventSlug", json!(spec.map_or("", |spec| spec.event_slug.as_str())));
    put("icon", json!(""));
    match row.row.kind {
        RowKind::Trade { token, side, .. } => {
            put("side", json!(side.to_string()));
            put("asset", json!(token));
            put("price", number(&price));
            put("outcome", json!(market.map_or("", |market| market.outcome(&token))));
            put("outcomeIndex", json!(market.map_or(999, |market| market.outcome_index(&token))));
        }
        // A redemption is about the condition as a whole; 999 = no single outcome.
        RowKind::Redeem => {
            put("side", json!(""));
            put("asset", json!(""));
            put("price", json!(0));
            put("outcome", json!(""));
            put("outcomeIndex", json!(999));
        }
    }
    if activity {
        let kind = if matches!(row.row.kind, RowKind::Redeem) { "REDEEM" } else { "TRADE" };
        put("type", json!(kind));
        put("usdcSize", number(&row.row.usd.to_string()));
    }
    fields
}

/// The v2 names of a v1 row.
fn snake(row: Map<String, Value>) -> Value {
    let renamed = row.into_iter().map(|(name, value)| {
        if name == "asset" {
            return ("token_id".to_owned(), value);
        }
        let mut snake = String::with_capacity(name.len() + 4);
        for letter in name.chars() {
            if letter.is_ascii_uppercase() {
                snake.push('_');
            }
            snake.push(letter.to_ascii_lowercase());
        }
        (snake, value)
    });
    Value::Object(renamed.collect())
}

#[derive(Deserialize)]
#[serde(rename_all = "camelCase")]
struct PositionsQuery {
    user: Address,
    market: Option<ConditionId>,
    #[serde(default, with = "size_threshold")]
    size_threshold: Option<Shares>,
    limit: Option<usize>,
    #[serde(default)]
    offset: usize,
}

mod size_threshold {
    use domain::Shares;
    use serde::{Deserialize as _, Deserializer, de::Error as _};

    pub fn deserialize<'de, D: Deserializer<'de>>(deserializer: D) -> Result<Option<Shares>, D::Error> {
        String::deserialize(deserializer)?.parse().map(Some).map_err(D::Error::custom)
    }
}

async fn positions_v1(State(shared): App, Query(query): Query<PositionsQuery>) -> Response {
    let rows = shared.with(|world, now| positions(world, now, &query));
    let limit = query.limit.unwrap_or(100).min(500);
    Json(rows.into_iter().skip(query.offset).take(limit).collect::<Vec<_>>()).into_response()
}

/// What a wallet holds on chain, with the average price of its indexed buys.
fn positions(world: &World, now: Timestamp, query: &PositionsQuery) -> Vec<Value> {
    let mut bought: BTreeMap<TokenId, (Usd, Shares)> = BTreeMap::new();
    for (_, row) in world.data().newest(Some(query.user), now) {
        if let RowKind::Trade { token, side: Side::Buy, .. } = row.row.kind {
            let (usd, shares) = bought.entry(token).or_default();
            usd.0 = usd.0.saturating_add(row.row.usd.0);
            shares.0 = shares.0.saturating_add(row.row.shares.0);
        }
    }
    let threshold = query.size_threshold.unwrap_or(Shares(domain::money::ONE));
    let mut rows = Vec::new();
    for market in world.registry().markets() {
        if query.market.is_some_and(|wanted| wanted != market.spec.condition) {
            continue;
        }
        for (index, token) in market.spec.tokens.into_iter().enumerate() {
            let size =
                Shares(world.chain().history.at(query.user, Asset::Token(token), world.chain().head()));
            if !size.is_positive() || size < threshold {
                continue;
            }
            let (usd, shares) = bought.get(&token).copied().unwrap_or_default();
            let average = Price::of(usd, shares, Rounding::Down).unwrap_or_default();
            let resolved = match market.state {
                MarketState::Resolved(payouts) => payouts.get(index).copied(),
                _ => None,
            };
            let book = world.book(&token);
            let present = resolved.or_else(|| book.and_then(|book| book.best(Side::Buy))).unwrap_or(average);
            let value = present.cost(size, Rounding::Down).unwrap_or_default();
            let initial = average.cost(size, Rounding::Down).unwrap_or_default();
            let profit = value.minus(initial).unwrap_or_default();
            rows.push(json!({
                "proxyWallet": query.user,
                "asset": token,
                "conditionId": market.spec.condition,
                "size": number(&size.to_string()),
                "avgPrice": number(&average.to_string()),
                "initialValue": number(&initial.to_string()),
                "currentValue": number(&value.to_string()),
                "cashPnl": number(&profit.to_string()),
                "totalBought": number(&shares.to_string()),
                "curPrice": number(&present.to_string()),
                "redeemable": resolved.is_some(),
                "mergeable": false,
                "title": market.spec.title,
                "slug": market.spec.slug,
                "eventSlug": market.spec.event_slug,
                "outcome": market.outcome(&token),
                "outcomeIndex": index,
                "oppositeAsset": market.other_token(&token),
                "endDate": market.spec.end_date,
                "negativeRisk": market.spec.neg_risk,
            }));
        }
    }
    rows
}
