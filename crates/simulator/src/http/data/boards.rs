//! What users and events came to: profit over time, the largest wins, volumes.
//!
//! Sources: docs.polymarket.com/api-reference (`/live-volume`, `/v2/live-volume`, `/v2/user-pnl`,
//! `/v2/biggest-winners`); the fields are those that the official unified client (PyPI `polymarket-client` 0.14.0)
//! reads. Not documented, and so guessed: what is asked for by whoever names no interval or step, and that the volumes of
//! v1 count shares like those of v2.

use std::{cmp::Reverse, collections::BTreeMap};

use axum::{extract::State, response::Response};
use domain::{Address, ConditionId, Shares, Timestamp, TokenId, Usd, money::Rounding};
use serde_json::{Value, json};

use super::{App, PageV2, Params, amount, ask, envelope, long, people};
use crate::{
    limits::PNL_POINTS,
    world::{
        Refusal, World,
        data::RowKind,
        portfolio::{Holding, Portfolio},
        registry::{Market, MarketState},
    },
};

const HOUR: i64 = 3_600;
const DAY: i64 = 86_400;

/// Seconds of an interval; `None` = since ever.
fn interval(name: &str) -> Option<Option<i64>> {
    Some(match name {
        "max" | "all" => None,
        "1m" => Some(30 * DAY),
        "1w" => Some(7 * DAY),
        "1d" => Some(DAY),
        "12h" => Some(12 * HOUR),
        "6h" => Some(6 * HOUR),
        _ => return None,
    })
}

/// Seconds between two points.
fn step(name: &str) -> Option<i64> {
    Some(match name {
        "1d" => DAY,
        "18h" => 18 * HOUR,
        "12h" => 12 * HOUR,
        "3h" => 3 * HOUR,
        "1h" => HOUR,
        _ => return None,
    })
}

/// What a user had made and traded at each step up to now; the last point is now.
pub(super) async fn user_pnl(State(shared): App, params: Params) -> Response {
    ask(&shared, |world, now| {
        let user: Address = params.required("user")?;
        let (span, pace) =
            (params.text(&["interval"]).unwrap_or("max"), params.text(&["fidelity"]).unwrap_or("1d"));
        let bad = |what: &str| Refusal::bad(format!("invalid {what}"));
        let seconds = interval(span).ok_or_else(|| bad("interval"))?;
        let step = step(pace).ok_or_else(|| bad("fidelity"))?;
        let portfolio = world.portfolio(user, now);
        let first = portfolio.fills.iter().map(|(at, ..)| *at).min().unwrap_or(now.seconds());
        let start = seconds.map_or(first, |seconds| now.seconds().saturating_sub(seconds).max(first));
        let mut times: Vec<i64> = std::iter::successors(Some(now.seconds()), |at| {
            // The whole step before, as of 1970.
            let before = at.saturating_sub(1).div_euclid(step).saturating_mul(step);
            (before >= start).then_some(before)
        })
        .take(PNL_POINTS)
        .collect();
        times.reverse();
        let points: Vec<Value> = times.iter().map(|at| point(world, &portfolio, *at)).collect();
        Ok(envelope(json!({
            "proxy_wallet": user, "interval": span, "fidelity": pace, "source_fidelity": pace, "points": points,
        })))
    })
}

fn point(world: &World, portfolio: &Portfolio, at: i64) -> Value {
    let made: Usd = portfolio.gains.iter().filter(|(when, _)| *when <= at).map(|(_, usd)| *usd).sum();
    let fills = || portfolio.fills.iter().filter(|(when, ..)| *when <= at);
    json!({
        "timestamp": at,
        "source_block": world.indexed_block(Timestamp::from_seconds(at)),
        "trade_count": fills().count(),
        "realized_market_pnl": amount(made),
        "realized_lp_pnl": 0,
        "realized_combo_pnl": 0,
        "realized_pnl": amount(made),
        "volume": amount(fills().map(|(_, shares, _)| *shares).sum::<Shares>()),
        "volume_usdc": amount(fills().map(|(.., usd)| *usd).sum::<Usd>()),
    })
}

/// A position in a resolved market that made something.
struct Win<'a> {
    wallet: Address,
    token: TokenId,
    market: &'a Market,
    resolved_at: i64,
    spent: Usd,
    pnl: Usd,
}

impl<'a> Win<'a> {
    fn of(
        world: &'a World,
        wallet: Address,
        (token, holding): (&TokenId, &Holding),
        since: i64,
    ) -> Option<Self> {
        let market = world.registry().market_of(token)?;
        let MarketState::Resolved(_) = market.state else { return None };
        let resolved_at = market.resolved_at?.seconds();
        let left = world.present_price(token)?.cost(holding.shares, Rounding::Down).ok()?;
        let open = left.0.saturating_sub(holding.cost.0);
        let pnl = Usd(holding.realised.0.saturating_add(open));
        let win = Self { wallet, token: *token, market, resolved_at, spent: holding.spent, pnl };
        (resolved_at >= since && pnl.is_positive()).then_some(win)
    }

    fn row(&self, world: &World, rank: usize) -> Value {
        let (spec, profile) = (&self.market.spec, people::profile_of(world, self.wallet));
        json!({
            "kind": "market",
            "win_rank": rank,
            "user_id": self.wallet,
            "user_name": profile.name,
            "profile_image": "",
            "pnl": amount(self.pnl),
            "initial_value": amount(self.spent),
            "final_value": amount(Usd(self.spent.0.saturating_add(self.pnl.0))),
            "resolved_at": self.resolved_at,
            "condition_id": long(&spec.condition),
            "position_id": self.token,
            "event_id": spec.event_id().to_string(),
            "event_slug": spec.event_slug,
            "event_title": spec.title,
        })
    }
}

pub(super) async fn biggest_winners(State(shared): App, params: Params) -> Response {
    ask(&shared, |world, now| {
        let page = PageV2::of(&params)?;
        let since = people::period(&params)?.map_or(0, |seconds| now.seconds().saturating_sub(seconds));
        let mut wins = Vec::new();
        for wallet in world.traders() {
            let portfolio = world.portfolio(wallet, now);
            let held = portfolio.holdings.iter();
            wins.extend(held.filter_map(|position| Win::of(world, wallet, position, since)));
        }
        wins.sort_by_key(|win| (Reverse(win.pnl), win.wallet, win.token));
        let rows = wins.iter().enumerate().map(|(place, win)| win.row(world, place.saturating_add(1)));
        Ok(page.cut(rows.collect()))
    })
}

/// Shares that takers traded in the markets of events, most first.
fn volumes(world: &World, events: &[u32], now: Timestamp) -> Vec<(ConditionId, Shares)> {
    let markets = world.registry().markets().filter(|market| events.contains(&market.spec.event_id()));
    let mut sums: BTreeMap<ConditionId, Shares> =
        markets.map(|market| (market.spec.condition, Shares::ZERO)).collect();
    for (_, row) in world.visible_rows(None, now) {
        if let (RowKind::Trade { taker: true, .. }, Some(sum)) =
            (row.row.kind, sums.get_mut(&row.row.condition))
        {
            sum.0 = sum.0.saturating_add(row.row.shares.0);
        }
    }
    let mut sums: Vec<_> = sums.into_iter().collect();
    sums.sort_by_key(|(condition, shares)| (Reverse(*shares), *condition));
    sums
}

/// Ids that are none are passed over, unless all are.
fn events(params: &Params) -> Result<Vec<u32>, Refusal> {
    let asked = params.list(&["event_id", "id", "eventId"]).unwrap_or_default();
    let known: Vec<u32> = asked.iter().filter_map(|text| text.parse().ok()).collect();
    if known.is_empty() {
        Err(Refusal::bad("required query param 'event_id' not provided"))
    } else {
        Ok(known)
    }
}

pub(super) async fn live_volume_v1(State(shared): App, params: Params) -> Response {
    ask(&shared, |world, now| {
        let markets = volumes(world, &[params.required("id")?], now);
        let total: Shares = markets.iter().map(|(_, shares)| *shares).sum();
        let row =
            |(market, shares): &(ConditionId, Shares)| json!({ "market": market, "value": amount(shares) });
        Ok(json!([{ "total": amount(total), "markets": markets.iter().map(row).collect::<Vec<_>>() }]))
    })
}

pub(super) async fn live_volume_v2(State(shared): App, params: Params) -> Response {
    ask(&shared, |world, now| {
        let markets = volumes(world, &events(&params)?, now);
        let total: Shares = markets.iter().map(|(_, shares)| *shares).sum();
        let row = |(market, shares): &(ConditionId, Shares)| json!({ "condition_id": long(market), "taker_volume": amount(shares) });
        let rows: Vec<Value> = markets.iter().map(row).collect();
        Ok(envelope(json!({ "taker_volume_total": amount(total), "conditions": rows })))
    })
}
