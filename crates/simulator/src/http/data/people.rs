//! Holders, leaders, and what one user did altogether.

use std::cmp::Reverse;

use axum::{extract::State, response::Response};
use domain::{Address, Shares, Timestamp, TokenId, Usd};
use serde_json::{Value, json};

use super::{App, PageV2, Params, amount, ask, conditions, cut_v1, envelope, positions::holders};
use crate::{
    limits::{HOLDERS_PAGE, LEADERBOARD_PAGE, MAX_LEADERBOARD_OFFSET},
    world::{Refusal, World, registry::Profile},
};

/// A trader's place.
struct Standing {
    wallet: Address,
    pnl: Usd,
    shares: Shares,
    usd: Usd,
}

/// Seconds of a time period; `None` = since ever.
pub(super) fn period(params: &Params) -> Result<Option<i64>, Refusal> {
    let name = params.text(&["timePeriod", "time_period"]).unwrap_or("DAY");
    match name.to_ascii_lowercase().as_str() {
        "day" => Ok(Some(86_400)),
        "week" => Ok(Some(7 * 86_400)),
        "month" => Ok(Some(30 * 86_400)),
        "all" => Ok(None),
        _ => Err(Refusal::bad(format!("invalid time period: {name}"))),
    }
}

/// Everybody who has traded in the period. Profit is what was taken in it and what is open now.
fn standings(world: &World, params: &Params, now: Timestamp) -> Result<Vec<Standing>, Refusal> {
    let start = period(params)?.map_or(0, |seconds| now.seconds().saturating_sub(seconds));
    let standing = |wallet| {
        let portfolio = world.portfolio(wallet, now);
        let (shares, usd) = portfolio.volume_since(start);
        let taken = portfolio.realised_since(start);
        let pnl = taken.plus(world.open_profit(&portfolio)).unwrap_or(taken);
        let active = shares.is_positive() || taken != Usd::ZERO;
        active.then_some(Standing { wallet, pnl, shares, usd })
    };
    Ok(world.traders().filter_map(standing).collect())
}

fn by_profit(standings: &mut [Standing]) {
    standings.sort_by_key(|standing| (Reverse(standing.pnl), standing.wallet));
}

fn by_volume(standings: &mut [Standing]) {
    standings.sort_by_key(|standing| (Reverse(standing.shares), standing.wallet));
}

pub(super) fn profile_of(world: &World, wallet: Address) -> Profile {
    world.registry().profile(&wallet).cloned().unwrap_or_default()
}

pub(super) async fn leaderboard_v1(State(shared): App, params: Params) -> Response {
    ask(&shared, |world, now| {
        let mut all = standings(world, &params, now)?;
        match params.text(&["orderBy"]).unwrap_or("PNL") {
            "VOL" => by_volume(&mut all),
            _ => by_profit(&mut all),
        }
        let user: Option<Address> = params.parse(&["user"])?;
        let name = params.text(&["userName"]).map(str::to_lowercase);
        let row = |(place, standing): (usize, &Standing)| {
            let profile = profile_of(world, standing.wallet);
            let named = name.as_ref().is_none_or(|name| profile.name.to_lowercase() == *name);
            (user.is_none_or(|user| user == standing.wallet) && named).then(|| {
                json!({
                    "rank": place.saturating_add(1).to_string(),
                    "proxyWallet": standing.wallet,
                    "userName": profile.name,
                    "vol": amount(standing.usd),
                    "pnl": amount(standing.pnl),
                    "profileImage": "",
                    "xUsername": profile.x_username,
                    "verifiedBadge": profile.verified,
                })
            })
        };
        let offset: usize = params.parse(&["offset"])?.unwrap_or(0);
        if offset > MAX_LEADERBOARD_OFFSET {
            return Err(Refusal::bad(format!("offset is at most {MAX_LEADERBOARD_OFFSET}")));
        }
        cut_v1(&params, all.iter().enumerate().filter_map(row).collect(), LEADERBOARD_PAGE)
    })
}

pub(super) async fn leaderboard_v2(State(shared): App, params: Params) -> Response {
    ask(&shared, |world, now| {
        let mut all = standings(world, &params, now)?;
        if let Some(user) = params.parse::<Address>(&["user"])? {
            return Ok(envelope(standing_of(world, user, &mut all)));
        }
        let page = PageV2::of(&params)?;
        match params.text(&["sort_by"]).unwrap_or("PNL") {
            "VOLUME" => by_volume(&mut all),
            _ => by_profit(&mut all),
        }
        let row = |(place, standing): (usize, &Standing)| {
            let mut row = trader(world, standing);
            put(&mut row, "rank", json!(place.saturating_add(1)));
            row
        };
        Ok(page.cut(all.iter().enumerate().map(row).collect()))
    })
}

/// One trader's ranks; `null` for somebody who has none.
fn standing_of(world: &World, user: Address, all: &mut [Standing]) -> Value {
    let place = |all: &[Standing]| all.iter().position(|one| one.wallet == user);
    by_volume(all);
    let volume = place(all);
    by_profit(all);
    let Some((profit, standing)) = place(all).and_then(|place| Some((place, all.get(place)?))) else {
        return Value::Null;
    };
    let mut row = trader(world, standing);
    put(&mut row, "rank_pnl", json!(profit.saturating_add(1)));
    put(&mut row, "rank_volume", json!(volume.map_or(0, |place| place.saturating_add(1))));
    row
}

fn trader(world: &World, standing: &Standing) -> Value {
    let profile = profile_of(world, standing.wallet);
    json!({
        "user_id": standing.wallet,
        "pnl": amount(standing.pnl),
        "volume": amount(standing.shares),
        "user_name": profile.name,
        "profile_image": "",
        "x_username": profile.x_username,
        "verified": profile.verified,
    })
}

fn put(row: &mut Value, name: &str, value: Value) {
    if let Some(fields) = row.as_object_mut() {
        fields.insert(name.to_owned(), value);
    }
}

/// The tokens of the markets asked for.
fn tokens(world: &World, params: &Params) -> Result<Vec<TokenId>, Refusal> {
    let wanted =
        conditions(params)?.ok_or_else(|| Refusal::bad("required query param 'market' not provided"))?;
    let markets = wanted.iter().filter_map(|condition| world.registry().market(condition));
    Ok(markets.flat_map(|market| market.spec.tokens).collect())
}

fn outcome_index(world: &World, token: TokenId) -> usize {
    world.registry().market_of(&token).map_or(999, |market| market.outcome_index(&token))
}

pub(super) async fn holders_v1(State(shared): App, params: Params) -> Response {
    ask(&shared, |world, now| {
        let limit = params.parse(&["limit"])?.unwrap_or(HOLDERS_PAGE).min(HOLDERS_PAGE);
        let least: Shares = params.parse(&["minBalance"])?.unwrap_or(Shares(1));
        let mut groups = Vec::new();
        for token in tokens(world, &params)? {
            let row = |(wallet, shares): &(Address, Shares)| {
                let profile = profile_of(world, *wallet);
                json!({
                    "proxyWallet": wallet, "bio": profile.bio, "asset": token, "pseudonym": profile.pseudonym,
                    "amount": amount(shares), "displayUsernamePublic": true,
                    "outcomeIndex": outcome_index(world, token), "name": profile.name,
                    "profileImage": "", "profileImageOptimized": "", "verified": profile.verified,
                })
            };
            let held = holders(world, token, now);
            let rows: Vec<Value> =
                held.iter().filter(|(_, shares)| *shares >= least).take(limit).map(row).collect();
            groups.push(json!({ "token": token, "holders": rows }));
        }
        Ok(Value::Array(groups))
    })
}

pub(super) async fn holders_v2(State(shared): App, params: Params) -> Response {
    ask(&shared, |world, now| {
        let page = PageV2::of(&params)?;
        let least: Shares = params.parse(&["min_balance"])?.unwrap_or(Shares(1));
        let start = page.after.unwrap_or(0);
        let end = start.saturating_add(page.limit);
        let (mut groups, mut more) = (Vec::new(), false);
        // A page is a slice of every token's holders.
        for token in tokens(world, &params)? {
            let mut held = holders(world, token, now);
            held.retain(|(_, shares)| *shares >= least);
            more |= held.len() > end;
            let row = |(wallet, shares): &(Address, Shares)| {
                let profile = profile_of(world, *wallet);
                json!({
                    "proxy_wallet": wallet, "token_id": token, "amount": amount(shares),
                    "outcome_index": outcome_index(world, token), "display_username_public": true,
                    "verified": profile.verified, "name": profile.name, "pseudonym": profile.pseudonym,
                    "bio": profile.bio, "profile_image": "", "profile_image_optimized": "",
                })
            };
            let rows: Vec<Value> = held.iter().skip(start).take(page.limit).map(row).collect();
            if !rows.is_empty() {
                groups.push(json!({ "token_id": token, "holders": rows }));
            }
        }
        Ok(page.answer(groups, more.then_some(end)))
    })
}

pub(super) async fn traded_v1(State(shared): App, params: Params) -> Response {
    ask(&shared, |world, now| {
        let user = params.required("user")?;
        Ok(json!({ "user": user, "traded": world.portfolio(user, now).markets.len() }))
    })
}

pub(super) async fn user_stats(State(shared): App, params: Params) -> Response {
    ask(&shared, |world, now| {
        let user: Address = params.required("user")?;
        let portfolio = world.portfolio(user, now);
        if portfolio.fills.is_empty() {
            return Ok(envelope(Value::Null));
        }
        let biggest = portfolio.gains.iter().map(|(_, usd)| *usd).max().unwrap_or_default();
        let joined = portfolio.fills.iter().map(|(at, ..)| *at).min().unwrap_or(0);
        Ok(envelope(json!({
            "proxy_wallet": user,
            "trades": portfolio.markets.len(),
            "biggest_win": amount(biggest.max(Usd::ZERO)),
            "views": 0,
            "join_date": joined,
            "all_time_pnl": null,
        })))
    })
}

pub(super) async fn user_volume(State(shared): App, params: Params) -> Response {
    ask(&shared, |world, now| {
        let portfolio = world.portfolio(params.required("user")?, now);
        let (start, end) = (params.parse(&["start"])?.unwrap_or(0), params.parse(&["end"])?);
        let inside = |at: i64| at >= start && end.is_none_or(|end| at <= end);
        let fills: Vec<_> = portfolio.fills.iter().filter(|(at, ..)| inside(*at)).collect();
        Ok(envelope(json!({
            "volume": amount(fills.iter().map(|(_, shares, _)| *shares).sum::<Shares>()),
            "volume_usdc": amount(fills.iter().map(|(.., usd)| *usd).sum::<Usd>()),
            "trade_count": fills.len(),
        })))
    })
}
