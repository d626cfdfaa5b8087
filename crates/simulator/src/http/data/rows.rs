//! Trades and activity. Rows carry no log index, as the real ones do not.

use std::sync::Arc;

use axum::{extract::State, response::Response};
use domain::{Address, ConditionId, Price, Shares, Side, Timestamp, Usd, money::Rounding};
use serde_json::{Map, Value, json};

use super::{App, PageV2, Params, amount, ask, conditions, offset_v1, put_market, snake};
use crate::{
    http::Shared,
    limits::{ACTIVITY_PAGE, DATA_DUST, DATA_GLOBAL_WINDOW_S, TRADES_PAGE},
    world::{
        Refusal, World,
        data::{IndexedRow, RowKind},
    },
};

/// Activity types that v2 knows. `TIP` is listed on request only.
const TYPES: [&str; 14] = [
    "TRADE",
    "SPLIT",
    "MERGE",
    "REDEEM",
    "REWARD",
    "CONVERSION",
    "MIGRATION",
    "DEPOSIT",
    "WITHDRAWAL",
    "YIELD",
    "MAKER_REBATE",
    "TAKER_REBATE",
    "REFERRAL_REWARD",
    "TIP",
];

/// Which rows of whom.
struct Filter {
    user: Option<Address>,
    conditions: Option<Vec<ConditionId>>,
    events: Option<Vec<u32>>,
    side: Option<Side>,
    kinds: Option<Vec<String>>,
    /// Trades only, and of those: takers only.
    trades: Option<bool>,
    least: Option<Least>,
    start: Option<i64>,
    end: Option<i64>,
    ascending: bool,
}

/// The smallest trade to list.
#[derive(Clone, Copy)]
enum Least {
    Dollars(Usd),
    Shares(Shares),
}

impl Filter {
    fn of(params: &Params, trades: bool) -> Result<Self, Refusal> {
        let user = params.parse(&["user"])?;
        if user.is_none() && !trades {
            return Err(Refusal::bad("required query param 'user' not provided"));
        }
        let taker_only = params.flag(&["takerOnly", "taker_only"])?.unwrap_or(true);
        let direction = params.text(&["sortDirection", "sort_direction"]).unwrap_or("DESC");
        Ok(Self {
            user,
            conditions: conditions(params)?,
            events: params.parse_list(&["eventId", "event_id"])?,
            side: side(params)?,
            kinds: params.list(&["type"]).map(|kinds| kinds.into_iter().map(str::to_owned).collect()),
            trades: trades.then_some(taker_only),
            least: least(params)?,
            start: params.parse(&["start"])?.filter(|start| *start > 0),
            end: params.parse(&["end"])?.filter(|end| *end > 0),
            ascending: direction.eq_ignore_ascii_case("ASC"),
        })
    }

    /// The defaults of v2: a window when no start is asked for, no dust.
    fn v2(mut self, world: &World, now: Timestamp) -> Result<Self, Refusal> {
        let unknown = |kind: &&String| !TYPES.contains(&kind.as_str());
        if let Some(kind) = self.kinds.iter().flatten().find(unknown) {
            return Err(Refusal::bad(format!("invalid activity type: {kind}")));
        }
        let window = world.knobs.data_window_s;
        if self.user.is_none() {
            let start = now.seconds().saturating_sub(window.min(DATA_GLOBAL_WINDOW_S));
            (self.start, self.end) = (Some(start), None);
        }
        self.start = self.start.or_else(|| Some(now.seconds().saturating_sub(window)));
        self.least = self.least.or(Some(Least::Shares(DATA_DUST)));
        Ok(self)
    }

    fn passes(&self, world: &World, row: &IndexedRow) -> bool {
        let fill = match row.row.kind {
            RowKind::Trade { side, taker, .. } => Some((side, taker)),
            _ => None,
        };
        let large = |least: Least| match least {
            Least::Dollars(usd) => row.row.usd >= usd,
            Least::Shares(shares) => row.row.shares >= shares,
        };
        let of_event = |events: &Vec<u32>| {
            let market = world.registry().market(&row.row.condition);
            market.is_some_and(|market| events.contains(&market.spec.event_id()))
        };
        self.conditions.as_ref().is_none_or(|wanted| wanted.contains(&row.row.condition))
            && self.events.as_ref().is_none_or(of_event)
            && self.kinds.as_ref().is_none_or(|kinds| kinds.iter().any(|kind| kind == row.row.kind.name()))
            && self.side.is_none_or(|wanted| fill.is_some_and(|(side, _)| side == wanted))
            && self.trades.is_none_or(|taker_only| fill.is_some_and(|(_, taker)| taker || !taker_only))
            && (fill.is_none() || self.least.is_none_or(large))
            && self.end.is_none_or(|end| row.timestamp <= end)
    }

    /// All rows that pass, in order, each with its number.
    fn rows<'a>(&self, world: &'a World, now: Timestamp) -> Vec<(usize, &'a IndexedRow)> {
        let mut rows: Vec<_> = world
            .visible_rows(self.user, now)
            // Rows come newest first, in the order of their blocks' time.
            .take_while(|(_, row)| self.start.is_none_or(|start| row.timestamp >= start))
            .filter(|(_, row)| self.passes(world, row))
            .collect();
        if self.ascending {
            rows.reverse();
        }
        rows
    }
}

fn side(params: &Params) -> Result<Option<Side>, Refusal> {
    match params.text(&["side"]) {
        None => Ok(None),
        Some("BUY") => Ok(Some(Side::Buy)),
        Some("SELL") => Ok(Some(Side::Sell)),
        Some(other) => Err(Refusal::bad(format!("invalid query param 'side': {other}"))),
    }
}

fn least(params: &Params) -> Result<Option<Least>, Refusal> {
    let names = ["filterAmount", "filter_amount"];
    if params.text(&names).is_none() {
        return Ok(None);
    }
    let dollars = params.text(&["filterType", "filter_type"]).is_some_and(|kind| kind == "CASH");
    Ok(if dollars {
        params.parse(&names)?.map(Least::Dollars)
    } else {
        params.parse(&names)?.map(Least::Shares)
    })
}

pub(super) async fn trades_v1(State(shared): App, params: Params) -> Response {
    v1(&shared, &params, true, TRADES_PAGE)
}

pub(super) async fn activity_v1(State(shared): App, params: Params) -> Response {
    v1(&shared, &params, false, ACTIVITY_PAGE)
}

pub(super) async fn trades_v2(State(shared): App, params: Params) -> Response {
    v2(&shared, &params, true)
}

pub(super) async fn activity_v2(State(shared): App, params: Params) -> Response {
    v2(&shared, &params, false)
}

fn v1(shared: &Arc<Shared>, params: &Params, trades: bool, limits: (usize, usize)) -> Response {
    ask(shared, |world, now| {
        let mut filter = Filter::of(params, trades)?;
        if trades {
            // v1 of `/trades` knows no span of time.
            (filter.start, filter.end) = (None, None);
        }
        let (offset, limit) = offset_v1(params, limits)?;
        let mut rows = filter.rows(world, now);
        match params.text(&["sortBy"]) {
            Some("TOKENS") => rows.sort_by_key(|(_, row)| std::cmp::Reverse(row.row.shares)),
            Some("CASH") => rows.sort_by_key(|(_, row)| std::cmp::Reverse(row.row.usd)),
            _ => {}
        }
        // An offset counts what is there now, so that pages repeat rows when new ones arrive in between.
        let start = if offset == 0 { 0 } else { offset.saturating_sub(world.knobs.page_overlap) };
        let page = rows.into_iter().skip(start).take(limit);
        Ok(page.map(|(_, row)| Value::Object(row_json(world, row, !trades))).collect())
    })
}

fn v2(shared: &Arc<Shared>, params: &Params, trades: bool) -> Response {
    ask(shared, |world, now| {
        let page = PageV2::of(params)?;
        let filter = Filter::of(params, trades)?.v2(world, now)?;
        let rows = filter.rows(world, now);
        // A cursor names the last row of its page, so that new rows do not shift the pages.
        let start = page.after.map_or(0, |last| {
            let is_behind = |(number, _): &(usize, &IndexedRow)| {
                if filter.ascending { *number > last } else { *number < last }
            };
            rows.iter().position(is_behind).unwrap_or(rows.len())
        });
        let overlap = if start == 0 { 0 } else { world.knobs.page_overlap.min(start) };
        let more = rows.len().saturating_sub(start) > page.limit;
        let rows: Vec<_> =
            rows.into_iter().skip(start.saturating_sub(overlap)).take(page.limit + overlap).collect();
        let next = rows.last().map(|(number, _)| *number).filter(|_| more);
        let rows = rows.into_iter().map(|(_, row)| snake(row_json(world, row, !trades))).collect();
        Ok(page.answer(rows, next))
    })
}

/// A row with the names of v1.
fn row_json(world: &World, row: &IndexedRow, activity: bool) -> Map<String, Value> {
    let market = world.registry().market(&row.row.condition);
    let price = Price::of(row.row.usd, row.row.shares, Rounding::Down).unwrap_or_default();
    let mut fields = Map::new();
    put_market(&mut fields, market);
    let mut put = |name: &str, value: Value| {
        fields.insert(name.to_owned(), value);
    };
    put("proxyWallet", json!(row.row.wallet));
    put("timestamp", json!(row.timestamp));
    put("conditionId", json!(row.row.condition));
    put("size", amount(row.row.shares));
    put("transactionHash", json!(row.tx));
    match row.row.kind {
        RowKind::Trade { token, side, .. } => {
            put("side", json!(side.to_string()));
            put("asset", json!(token));
            put("price", amount(price));
            put("outcome", json!(market.map_or("", |market| market.outcome(&token))));
            put("outcomeIndex", json!(market.map_or(999, |market| market.outcome_index(&token))));
        }
        // The others are about the condition as a whole; 999 = no single outcome.
        _ => {
            put("side", json!(""));
            put("asset", json!(""));
            put("price", json!(0));
            put("outcome", json!(""));
            put("outcomeIndex", json!(999));
        }
    }
    let profile = world.registry().profile(&row.row.wallet);
    put("name", json!(profile.map_or("", |profile| profile.name.as_str())));
    put("pseudonym", json!(profile.map_or("", |profile| profile.pseudonym.as_str())));
    put("bio", json!(profile.map_or("", |profile| profile.bio.as_str())));
    put("profileImage", json!(""));
    put("profileImageOptimized", json!(""));
    if activity {
        put("type", json!(row.row.kind.name()));
        put("usdcSize", amount(row.row.usd));
    }
    fields
}
