//! The Data API in both versions: v1 (camelCase, bare arrays, offsets) and v2 (snake_case, envelopes with a cursor).
//!
//! Sources: docs.polymarket.com/api-reference (data API), recorded rows, and what the official unified client
//! (PyPI `polymarket-client` 0.14.0) sends and reads.

mod boards;
mod people;
mod positions;
mod reference;
mod rows;

use std::sync::Arc;

use axum::{Json, Router, extract::State, response::Response, routing::get};
use domain::{ConditionId, Price, Usd, money::ONE};
use serde_json::{Map, Value, json};

use super::{Shared, clob::number, params::Params, reply};
use crate::{
    limits::{DATA_V2_PAGE, MAX_DATA_OFFSET},
    wire,
    world::{Refusal, World, registry::Market},
};

type App = State<Arc<Shared>>;

pub(super) fn router(shared: &Arc<Shared>) -> Router {
    Router::new()
        .route("/", get(async || Json(json!({ "data": "OK" }))))
        .route("/trades", get(rows::trades_v1))
        .route("/activity", get(rows::activity_v1))
        .route("/positions", get(positions::open_v1))
        .route("/closed-positions", get(positions::closed_v1))
        .route("/value", get(positions::value_v1))
        .route("/holders", get(people::holders_v1))
        .route("/traded", get(people::traded_v1))
        .route("/v1/leaderboard", get(people::leaderboard_v1))
        .route("/oi", get(reference::open_interest_v1))
        .route("/live-volume", get(boards::live_volume_v1))
        .route("/v2/live-volume", get(boards::live_volume_v2))
        .route("/v2/user-pnl", get(boards::user_pnl))
        .route("/v2/biggest-winners", get(boards::biggest_winners))
        .route("/v2/trades", get(rows::trades_v2))
        .route("/v2/activity", get(rows::activity_v2))
        .route("/v2/positions", get(positions::v2))
        .route("/v2/value", get(positions::value_v2))
        .route("/v2/holders", get(people::holders_v2))
        .route("/v2/leaderboard", get(people::leaderboard_v2))
        .route("/v2/user-stats", get(people::user_stats))
        .route("/v2/user-volume", get(people::user_volume))
        .route("/v2/oi", get(reference::open_interest_v2))
        .route("/v2/tokens", get(reference::tokens))
        .route("/v2/resolutions", get(reference::resolutions))
        .route("/v2/approvals", get(reference::approvals))
        .route("/v2/status", get(reference::status))
        .with_state(Arc::clone(shared))
}

/// Runs a question of the world and answers with what it says, or why not.
fn ask(
    shared: &Shared,
    work: impl FnOnce(&mut World, domain::Timestamp) -> Result<Value, Refusal>,
) -> Response {
    reply(shared.with(work))
}

/// A v2 answer that is no page.
fn envelope(data: impl Into<Value>) -> Value {
    json!({ "data": data.into() })
}

/// Where a v2 page starts, and how long it is. The first page's size goes on with the cursor.
#[derive(Clone, Copy, Debug)]
struct PageV2 {
    /// `None` = from the start.
    after: Option<usize>,
    limit: usize,
}

impl PageV2 {
    fn of(params: &Params) -> Result<Self, Refusal> {
        let bad = || Refusal::bad("invalid cursor");
        if let Some(cursor) = params.text(&["cursor"]) {
            let (after, limit) = wire::sized_cursor(cursor).ok_or_else(bad)?;
            return Ok(Self { after: Some(after), limit });
        }
        let (largest, usual) = DATA_V2_PAGE;
        let limit = params.parse(&["limit"])?.unwrap_or(usual);
        if !(1..=largest).contains(&limit) {
            return Err(Refusal::bad(format!("limit {limit} is not between 1 and {largest}")));
        }
        Ok(Self { after: None, limit })
    }

    /// The page with its rows; `next` is what the following page starts after.
    fn answer(self, rows: Vec<Value>, next: Option<usize>) -> Value {
        let next_cursor = next.map(|next| wire::cursor_of_size(next, self.limit));
        let pagination =
            json!({ "limit": self.limit, "has_more": next_cursor.is_some(), "next_cursor": next_cursor });
        json!({ "data": rows, "pagination": pagination })
    }

    /// Cuts this page out of a whole list.
    fn cut(self, rows: Vec<Value>) -> Value {
        let start = self.after.unwrap_or(0);
        let end = start.saturating_add(self.limit);
        let next = (rows.len() > end).then_some(end);
        self.answer(rows.into_iter().skip(start).take(self.limit).collect(), next)
    }
}

/// Cuts a v1 page out of a whole list: `limit` is capped, a far offset refused.
fn cut_v1(params: &Params, rows: Vec<Value>, (largest, usual): (usize, usize)) -> Result<Value, Refusal> {
    let (offset, limit) = offset_v1(params, (largest, usual))?;
    Ok(rows.into_iter().skip(offset).take(limit).collect())
}

fn offset_v1(params: &Params, (largest, usual): (usize, usize)) -> Result<(usize, usize), Refusal> {
    let limit = params.parse(&["limit"])?.unwrap_or(usual).min(largest);
    let offset = params.parse(&["offset"])?.unwrap_or(0);
    if offset > MAX_DATA_OFFSET {
        return Err(Refusal::bad(format!("max historical activity offset of {MAX_DATA_OFFSET} exceeded")));
    }
    Ok((offset, limit))
}

/// Conditions asked for. v2 also writes V3 ids with the outcome byte zero, as 32 bytes.
fn conditions(params: &Params) -> Result<Option<Vec<ConditionId>>, Refusal> {
    let asked: Option<Vec<ConditionId>> =
        params.parse_list(&["condition_id", "condition", "conditionId", "market"])?;
    Ok(asked.map(|asked| asked.into_iter().map(short).collect()))
}

/// The condition id as the chain has it: 31 bytes when 32 bytes end like the outcome 0 of a V3 token.
fn short(condition: ConditionId) -> ConditionId {
    let bytes = condition.as_slice();
    let v3 = <[u8; 32]>::try_from(bytes).ok().filter(|id| domain::TokenId(*id).is_v3());
    v3.filter(|id| id.last() == Some(&0))
        .and_then(|id| ConditionId::from_slice(id.get(..31)?).ok())
        .unwrap_or(condition)
}

/// The condition id in 32 bytes.
fn long(condition: &ConditionId) -> String {
    format!("{:0<66}", condition.to_string())
}

/// Dollars, shares and prices as JSON numbers.
fn amount(value: impl std::fmt::Display) -> Value {
    number(&value.to_string())
}

/// `part` of `whole` in percent.
fn percent(part: Usd, whole: Usd) -> Value {
    let percent = domain::money::mul_div(part.0, 100 * ONE, whole.0, domain::money::Rounding::Down);
    amount(Price(percent.unwrap_or(0)))
}

/// The names of a market, in both versions' rows.
fn put_market(fields: &mut Map<String, Value>, market: Option<&Market>) {
    let spec = market.map(|market| &market.spec);
    let mut put = |name: &str, value: Value| {
        fields.insert(name.to_owned(), value);
    };
    put("title", json!(spec.map_or("", |spec| spec.title.as_str())));
    put("slug", json!(spec.map_or("", |spec| spec.slug.as_str())));
    put("eventSlug", json!(spec.map_or("", |spec| spec.event_slug.as_str())));
    put("icon", json!(""));
}

/// The v2 names of a v1 row.
fn snake(row: Map<String, Value>) -> Value {
    let renamed = row.into_iter().map(|(name, value)| {
        match name.as_str() {
            "asset" => return ("token_id".to_owned(), value),
            "oppositeAsset" => return ("opposite_token_id".to_owned(), value),
            _ => {}
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

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn v3_conditions_have_31_bytes_here_and_32_there() {
        let mut id = [3; 32];
        id[19..27].fill(0);
        id[31] = 0;
        let long_id = ConditionId::from_slice(&id).unwrap();
        let short_id = ConditionId::from_slice(&id[..31]).unwrap();
        assert_eq!(short(long_id), short_id);
        assert_eq!(long(&short_id), long_id.to_string());
        let old = ConditionId::from_slice(&[5; 32]).unwrap();
        assert_eq!((short(old), long(&old)), (old, old.to_string()));
    }

    #[test]
    fn parts_are_percent() {
        assert_eq!(percent(Usd(-1), Usd(4)), json!(-25));
        assert_eq!(percent(Usd(1), Usd(0)), json!(0));
    }
}
