//! Gamma: markets, events, search and profiles. Lists inside a market are JSON in a string, as the real ones are.
//!
//! Sources: recorded markets, and what the official unified client (PyPI `polymarket-client` 0.14.0) sends and reads.

use std::{collections::BTreeMap, sync::Arc};

use axum::{
    Router,
    extract::{Path, State},
    response::Response,
    routing::get,
};
use domain::{Address, ConditionId, Price, Side, TokenId, Usd};
use serde_json::{Value, json};

use super::{Shared, clob::number, iso, params::Params, reply};
use crate::{
    limits::GAMMA_PAGE,
    wire,
    world::{
        Refusal, World,
        data::RowKind,
        registry::{Market, MarketState},
    },
};

type App = State<Arc<Shared>>;

pub(super) fn router(shared: &Arc<Shared>) -> Router {
    Router::new()
        .route("/status", get(async || "OK"))
        .route("/markets", get(markets))
        .route("/markets/keyset", get(markets_keyset))
        .route("/markets/{id}", get(market_by_id))
        .route("/markets/slug/{slug}", get(market_by_slug))
        .route("/events", get(events))
        .route("/events/keyset", get(events_keyset))
        .route("/events/{id}", get(event_by_id))
        .route("/events/slug/{slug}", get(event_by_slug))
        .route("/public-search", get(search))
        .route("/public-profile", get(profile))
        .with_state(Arc::clone(shared))
}

/// A list of text as the venue writes it into a market: JSON in a string.
fn in_a_string(items: impl IntoIterator<Item = String>) -> String {
    Value::from_iter(items).to_string()
}

fn is_closed(market: &Market) -> bool {
    matches!(market.state, MarketState::Closed | MarketState::Resolved(_))
}

/// What an outcome costs now: its payout, or the middle of the book.
fn outcome_price(world: &World, market: &Market, token: &TokenId) -> Price {
    if let MarketState::Resolved(payouts) = market.state {
        return payouts.get(market.outcome_index(token)).copied().unwrap_or_default();
    }
    let best = |side| world.book(token).and_then(|book| book.best(side));
    match (best(Side::Buy), best(Side::Sell)) {
        (Some(bid), Some(ask)) => Price(bid.0.midpoint(ask.0)),
        (one, other) => one.or(other).unwrap_or(Price(500_000)),
    }
}

/// Dollars traded in a market, each fill once.
fn volume(world: &World, condition: ConditionId) -> Usd {
    let now = domain::Timestamp(i64::MAX);
    let taken = |row: &crate::world::data::IndexedRow| {
        row.row.condition == condition && matches!(row.row.kind, RowKind::Trade { taker: true, .. })
    };
    world.visible_rows(None, now).filter(|(_, row)| taken(row)).map(|(_, row)| row.row.usd).sum()
}

fn market_json(world: &World, market: &Market) -> Value {
    let spec = &market.spec;
    let [yes, no] = &spec.tokens;
    let v3 = yes.is_v3();
    let closed = is_closed(market);
    let ids = in_a_string(spec.tokens.iter().map(ToString::to_string));
    let best = |side| world.book(yes).and_then(|book| book.best(side));
    let price = |price: Option<Price>| price.map_or(Value::Null, |price| number(&price.to_string()));
    let traded = volume(world, spec.condition);
    let resolved = matches!(market.state, MarketState::Resolved(_));
    json!({
        "id": spec.id().to_string(),
        "version": if v3 { "v2" } else { "v1" },
        "question": spec.title,
        "conditionId": spec.condition,
        "questionID": spec.condition,
        "slug": spec.slug,
        "description": "",
        "endDate": spec.end_date,
        "endDateIso": spec.end_date.get(..10).unwrap_or_default(),
        "outcomes": in_a_string(spec.outcomes.iter().cloned()),
        "outcomePrices": in_a_string([yes, no].map(|token| outcome_price(world, market, token).to_string())),
        "clobTokenIds": if v3 { "[]" } else { &ids },
        "positionIds": if v3 { &ids } else { "[]" },
        "active": true,
        "closed": closed,
        "archived": false,
        "acceptingOrders": market.state == MarketState::Open,
        "enableOrderBook": true,
        "orderPriceMinTickSize": number(&market.tick.size().to_string()),
        "orderMinSize": number(&spec.min_size.to_string()),
        "negRisk": spec.neg_risk,
        "bestBid": price(best(Side::Buy)),
        "bestAsk": price(best(Side::Sell)),
        "volume": traded.to_string(),
        "volumeNum": number(&traded.to_string()),
        "liquidityNum": 0,
        "umaResolutionStatus": if resolved { "resolved" } else { "" },
        "resolutionStatus": v3.then_some(if resolved { "resolved" } else { "active" }),
        "closedTime": market.resolved_at.map(|at| iso(at.seconds())),
        "secondsDelay": 0,
        "feesEnabled": spec.fee.rate.0 > 0,
        "feeSchedule": {
            "exponent": spec.fee.exponent, "rate": number(&spec.fee.rate.to_string()), "takerOnly": true,
            "rebateRate": 0,
        },
        "events": [{ "id": spec.event_id().to_string(), "slug": spec.event_slug, "title": spec.title }],
    })
}

/// A market as it stands alone, or as a part of its event, which then does not repeat it.
fn event_json(world: &World, id: u32, markets: &[&Market]) -> Value {
    let first = markets.first().map(|market| &market.spec);
    let inside = markets.iter().map(|market| {
        let mut market = market_json(world, market);
        if let Some(fields) = market.as_object_mut() {
            fields.remove("events");
        }
        market
    });
    let closed = markets.iter().all(|market| is_closed(market));
    let traded: Usd = markets.iter().map(|market| volume(world, market.spec.condition)).sum();
    json!({
        "id": id.to_string(),
        "ticker": first.map_or("", |spec| &spec.event_slug),
        "slug": first.map_or("", |spec| &spec.event_slug),
        "title": first.map_or("", |spec| &spec.title),
        "description": "",
        "endDate": first.map_or("", |spec| &spec.end_date),
        "active": true,
        "closed": closed,
        "archived": false,
        "volume": number(&traded.to_string()),
        "liquidity": 0,
        "enableOrderBook": true,
        "negRisk": first.is_some_and(|spec| spec.neg_risk),
        "markets": inside.collect::<Vec<_>>(),
        "tags": [],
    })
}

/// Markets by event.
fn by_event(world: &World) -> BTreeMap<u32, Vec<&Market>> {
    let mut events: BTreeMap<u32, Vec<&Market>> = BTreeMap::new();
    for market in world.registry().markets() {
        events.entry(market.spec.event_id()).or_default().push(market);
    }
    events
}

/// Markets that pass the filters, by id.
fn found_markets(world: &World, params: &Params) -> Result<Vec<(u32, Value)>, Refusal> {
    let ids: Option<Vec<u32>> = params.parse_list(&["id"])?;
    let conditions: Option<Vec<ConditionId>> = params.parse_list(&["condition_ids"])?;
    let tokens: Option<Vec<TokenId>> = params.parse_list(&["clob_token_ids", "position_ids"])?;
    let (slugs, closed) = (params.list(&["slug"]), params.flag(&["closed"])?);
    let passes = |market: &&Market| {
        let spec = &market.spec;
        ids.as_ref().is_none_or(|ids| ids.contains(&spec.id()))
            && conditions.as_ref().is_none_or(|wanted| wanted.contains(&spec.condition))
            && tokens.as_ref().is_none_or(|wanted| spec.tokens.iter().any(|token| wanted.contains(token)))
            && slugs.as_ref().is_none_or(|slugs| slugs.contains(&spec.slug.as_str()))
            && closed.is_none_or(|wanted| is_closed(market) == wanted)
    };
    let found = world.registry().markets().filter(passes);
    let mut rows: Vec<_> = found.map(|market| (market.spec.id(), market_json(world, market))).collect();
    rows.sort_by_key(|(id, _)| *id);
    Ok(rows)
}

fn found_events(world: &World, params: &Params) -> Result<Vec<(u32, Value)>, Refusal> {
    let ids: Option<Vec<u32>> = params.parse_list(&["id"])?;
    let (slugs, closed) = (params.list(&["slug"]), params.flag(&["closed"])?);
    let passes = |(id, markets): &(u32, Vec<&Market>)| {
        let slug = markets.first().map_or("", |market| market.spec.event_slug.as_str());
        ids.as_ref().is_none_or(|ids| ids.contains(id))
            && slugs.as_ref().is_none_or(|slugs| slugs.contains(&slug))
            && closed.is_none_or(|wanted| markets.iter().all(|market| is_closed(market)) == wanted)
    };
    let found = by_event(world).into_iter().filter(passes);
    Ok(found.map(|(id, markets)| (id, event_json(world, id, &markets))).collect())
}

/// A page by offset.
fn by_offset(params: &Params, rows: Vec<(u32, Value)>) -> Result<Value, Refusal> {
    let (largest, usual) = GAMMA_PAGE;
    let limit = params.parse(&["limit"])?.unwrap_or(usual).min(largest);
    let offset = params.parse(&["offset"])?.unwrap_or(0);
    Ok(rows.into_iter().skip(offset).take(limit).map(|(_, row)| row).collect())
}

/// A page by cursor, which names the last id of the page before; without one at the end.
fn by_keyset(params: &Params, name: &str, rows: Vec<(u32, Value)>) -> Result<Value, Refusal> {
    let (largest, usual) = GAMMA_PAGE;
    let limit = params.parse(&["limit"])?.unwrap_or(usual).min(largest);
    let after = match params.text(&["after_cursor"]) {
        Some(cursor) => Some(wire::offset(cursor).ok_or_else(|| Refusal::bad("invalid cursor"))?),
        None => None,
    };
    let behind = |id: u32| after.is_none_or(|after| usize::try_from(id).is_ok_and(|id| id > after));
    let mut rows: Vec<_> = rows.into_iter().filter(|(id, _)| behind(*id)).collect();
    let more = rows.len() > limit;
    rows.truncate(limit);
    let last = rows.last().and_then(|(id, _)| usize::try_from(*id).ok()).filter(|_| more);
    let mut page = json!({ name: rows.into_iter().map(|(_, row)| row).collect::<Vec<_>>() });
    if let (Some(last), Some(fields)) = (last, page.as_object_mut()) {
        fields.insert("next_cursor".to_owned(), json!(wire::cursor(last)));
    }
    Ok(page)
}

fn one(mut rows: Vec<(u32, Value)>) -> Result<Value, Refusal> {
    rows.pop().map(|(_, row)| row).ok_or_else(|| Refusal::new(404, "id not found"))
}

async fn markets(State(shared): App, params: Params) -> Response {
    reply(shared.with(|world, _| by_offset(&params, found_markets(world, &params)?)))
}

async fn markets_keyset(State(shared): App, params: Params) -> Response {
    reply(shared.with(|world, _| by_keyset(&params, "markets", found_markets(world, &params)?)))
}

async fn market_by_id(State(shared): App, Path(id): Path<String>) -> Response {
    reply(shared.with(|world, _| one(found_markets(world, &Params::only("id", &id))?)))
}

async fn market_by_slug(State(shared): App, Path(slug): Path<String>) -> Response {
    reply(shared.with(|world, _| one(found_markets(world, &Params::only("slug", &slug))?)))
}

async fn events(State(shared): App, params: Params) -> Response {
    reply(shared.with(|world, _| by_offset(&params, found_events(world, &params)?)))
}

async fn events_keyset(State(shared): App, params: Params) -> Response {
    reply(shared.with(|world, _| by_keyset(&params, "events", found_events(world, &params)?)))
}

async fn event_by_id(State(shared): App, Path(id): Path<String>) -> Response {
    reply(shared.with(|world, _| one(found_events(world, &Params::only("id", &id))?)))
}

async fn event_by_slug(State(shared): App, Path(slug): Path<String>) -> Response {
    reply(shared.with(|world, _| one(found_events(world, &Params::only("slug", &slug))?)))
}

/// Events whose title, and profiles whose name, contains the words.
async fn search(State(shared): App, params: Params) -> Response {
    reply(shared.with(|world, _| {
        let words: String = params.required("q")?;
        let words = words.to_lowercase();
        let limit = params.parse(&["limit_per_type"])?.unwrap_or(5).min(GAMMA_PAGE.0);
        let page: usize = params.parse(&["page"])?.unwrap_or(1).max(1);
        let skip = page.saturating_sub(1).saturating_mul(limit);
        let titled = |markets: &[&Market]| {
            markets.iter().any(|market| market.spec.title.to_lowercase().contains(&words))
        };
        let events: Vec<_> = by_event(world).into_iter().filter(|(_, markets)| titled(markets)).collect();
        let with_profiles = params.flag(&["search_profiles"])?.unwrap_or(false);
        let named = |profile: &crate::world::registry::Profile| {
            [&profile.name, &profile.pseudonym].iter().any(|name| name.to_lowercase().contains(&words))
        };
        let profiles: Vec<_> = world
            .registry()
            .profiles()
            .filter(|(_, profile)| with_profiles && named(profile))
            .map(|(wallet, _)| profile_json(world, wallet))
            .collect();
        let more = events.len().max(profiles.len()) > skip.saturating_add(limit);
        let total = events.len().saturating_add(profiles.len());
        let shown = events.into_iter().skip(skip).take(limit);
        Ok(json!({
            "events": shown.map(|(id, markets)| event_json(world, id, &markets)).collect::<Vec<_>>(),
            "tags": [],
            "profiles": profiles.into_iter().skip(skip).take(limit).collect::<Vec<_>>(),
            "pagination": { "hasMore": more, "totalResults": total },
        }))
    }))
}

fn profile_json(world: &World, wallet: Address) -> Value {
    let profile = world.registry().profile(&wallet).cloned().unwrap_or_default();
    json!({
        "createdAt": iso(profile.created_at),
        "proxyWallet": wallet,
        "profileImage": "",
        "displayUsernamePublic": true,
        "bio": profile.bio,
        "pseudonym": profile.pseudonym,
        "name": profile.name,
        "xUsername": profile.x_username,
        "verifiedBadge": profile.verified,
    })
}

async fn profile(State(shared): App, params: Params) -> Response {
    reply(shared.with(|world, _| {
        let wallet: Address = params.required("address")?;
        let known = world.registry().profile(&wallet).is_some();
        if !known { Err(Refusal::new(404, "profile not found")) } else { Ok(profile_json(world, wallet)) }
    }))
}
