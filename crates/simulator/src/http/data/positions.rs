//! What wallets hold and held: positions, closed positions, value.

use std::cmp::Reverse;

use axum::{extract::State, response::Response};
use domain::{Address, ConditionId, Price, Shares, Timestamp, TokenId, Usd, money::Rounding};
use serde_json::{Map, Value, json};

use super::{App, PageV2, Params, amount, ask, conditions, cut_v1, envelope, percent, put_market, snake};
use crate::{
    contracts::{HOUSE, NOBODY},
    limits::{ACTIVITY_PAGE, CLOSED_POSITIONS_PAGE},
    world::{
        Refusal, World,
        portfolio::{Holding, Portfolio},
        registry::{Market, MarketState},
    },
};

/// A wallet's position in one token.
#[derive(Clone, Copy)]
struct Position<'a> {
    wallet: Address,
    market: &'a Market,
    token: TokenId,
    /// Shares on chain, as far as the indexer has seen it.
    shares: Shares,
    /// Shares of the other outcome.
    opposite: Shares,
    /// What the rows say.
    holding: Option<Holding>,
    price: Price,
}

impl<'a> Position<'a> {
    fn average(&self) -> Price {
        self.holding.map_or(Price::default(), |holding| holding.average())
    }

    fn initial(&self) -> Usd {
        self.average().cost(self.shares, Rounding::Down).unwrap_or_default()
    }

    fn value(&self) -> Usd {
        self.price.cost(self.shares, Rounding::Down).unwrap_or_default()
    }

    fn open_profit(&self) -> Usd {
        self.value().minus(self.initial()).unwrap_or_default()
    }

    fn realised(&self) -> Usd {
        self.holding.map_or(Usd::ZERO, |holding| holding.realised)
    }

    fn bought(&self) -> Shares {
        self.holding.map_or(Shares::ZERO, |holding| holding.bought)
    }

    fn spent(&self) -> Usd {
        self.holding.map_or(Usd::ZERO, |holding| holding.spent)
    }

    const fn is_redeemable(&self) -> bool {
        matches!(self.market.state, MarketState::Resolved(_)) && self.shares.0 > 0
    }

    const fn is_mergeable(&self) -> bool {
        !matches!(self.market.state, MarketState::Resolved(_)) && self.shares.0 > 0 && self.opposite.0 > 0
    }

    const fn is_closed(&self) -> bool {
        self.shares.0 <= 0 && self.holding.is_some()
    }

    fn common(&self) -> Map<String, Value> {
        let mut fields = Map::new();
        put_market(&mut fields, Some(self.market));
        let other = self.market.other_token(&self.token);
        let spec = &self.market.spec;
        for (name, value) in [
            ("proxyWallet", json!(self.wallet)),
            ("asset", json!(self.token)),
            ("conditionId", json!(spec.condition)),
            ("avgPrice", amount(self.average())),
            ("realizedPnl", amount(self.realised())),
            ("percentRealizedPnl", percent(self.realised(), self.spent())),
            ("eventId", json!(spec.event_id().to_string())),
            ("outcome", json!(self.market.outcome(&self.token))),
            ("outcomeIndex", json!(self.market.outcome_index(&self.token))),
            ("oppositeOutcome", json!(self.market.outcome(&other))),
            ("oppositeAsset", json!(other)),
            ("endDate", json!(spec.end_date.get(..10).unwrap_or_default())),
            ("negativeRisk", json!(spec.neg_risk)),
        ] {
            fields.insert(name.to_owned(), value);
        }
        fields
    }

    fn v1(&self) -> Value {
        let mut fields = self.common();
        for (name, value) in [
            ("size", amount(self.shares)),
            ("initialValue", amount(self.initial())),
            ("currentValue", amount(self.value())),
            ("cashPnl", amount(self.open_profit())),
            ("percentPnl", percent(self.open_profit(), self.initial())),
            ("totalBought", amount(self.bought())),
            ("curPrice", amount(self.price)),
            ("redeemable", json!(self.is_redeemable())),
            ("mergeable", json!(self.is_mergeable())),
        ] {
            fields.insert(name.to_owned(), value);
        }
        Value::Object(fields)
    }

    fn closed_v1(&self) -> Value {
        let mut fields = self.common();
        for (name, value) in [
            ("totalBought", amount(self.bought())),
            ("curPrice", amount(self.price)),
            ("timestamp", json!(self.holding.map_or(0, |holding| holding.last_at))),
        ] {
            fields.insert(name.to_owned(), value);
        }
        Value::Object(fields)
    }

    fn v2(&self) -> Value {
        let mut fields = self.common();
        let total = self.realised().plus(self.open_profit()).unwrap_or_default();
        let status = if self.is_closed() {
            "CLOSED"
        } else if self.is_redeemable() {
            "REDEEMABLE"
        } else {
            "OPEN"
        };
        for (name, value) in [
            ("currentSize", amount(self.shares)),
            ("entryCostUsdc", amount(self.initial())),
            ("entryFeesUsdc", json!(0)),
            ("totalCostUsdc", amount(self.spent())),
            ("currentPrice", amount(self.price)),
            ("currentValue", amount(self.value())),
            ("totalSize", amount(self.bought())),
            ("unrealizedPnl", amount(self.open_profit())),
            ("totalPnl", amount(total)),
            ("percentPnl", percent(total, self.spent())),
            ("status", json!(status)),
            ("redeemable", json!(self.is_redeemable())),
            ("mergeable", json!(self.is_mergeable())),
            ("archived", json!(false)),
            ("verified", json!(false)),
            ("lastEventAt", json!(self.holding.map(|holding| holding.last_at))),
            ("firstEntryAt", json!(self.holding.map(|holding| holding.first_at))),
        ] {
            fields.insert(name.to_owned(), value);
        }
        snake(fields)
    }
}

/// Every position of a wallet, closed ones included, in the order of their markets.
fn positions_of(world: &World, wallet: Address, now: Timestamp) -> Vec<Position<'_>> {
    let Portfolio { holdings, .. } = world.portfolio(wallet, now);
    let mut positions = Vec::new();
    for market in world.registry().markets() {
        let shares = market.spec.tokens.map(|token| world.indexed_shares(wallet, token, now));
        for (index, token) in market.spec.tokens.into_iter().enumerate() {
            let holding = holdings.get(&token).copied();
            let own = shares.get(index).copied().unwrap_or_default();
            if !own.is_positive() && holding.is_none() {
                continue;
            }
            let opposite = shares.get(1_usize.saturating_sub(index)).copied().unwrap_or_default();
            let average = holding.map_or(Price::default(), |holding| holding.average());
            let price = world.present_price(&token).unwrap_or(average);
            positions.push(Position { wallet, market, token, shares: own, opposite, holding, price });
        }
    }
    positions
}

/// Positions in a market, of everybody.
fn positions_in(world: &World, condition: ConditionId, now: Timestamp) -> Vec<Position<'_>> {
    let holders = world.chain().history.latest().map(|(wallet, ..)| wallet);
    let mut wallets: Vec<Address> = holders.chain(world.traders()).collect();
    wallets.sort();
    wallets.dedup();
    wallets
        .into_iter()
        .filter(|wallet| *wallet != HOUSE && *wallet != NOBODY)
        .flat_map(|wallet| positions_of(world, wallet, now))
        .filter(|position| position.market.spec.condition == condition)
        .collect()
}

fn narrow<'a>(params: &Params, positions: Vec<Position<'a>>) -> Result<Vec<Position<'a>>, Refusal> {
    let wanted = conditions(params)?;
    let events: Option<Vec<u32>> = params.parse_list(&["eventId", "event_id"])?;
    let title = params.text(&["title"]).map(str::to_lowercase);
    let (redeemable, mergeable) = (params.flag(&["redeemable"])?, params.flag(&["mergeable"])?);
    let passes = |position: &Position<'_>| {
        let spec = &position.market.spec;
        wanted.as_ref().is_none_or(|wanted| wanted.contains(&spec.condition))
            && events.as_ref().is_none_or(|events| events.contains(&spec.event_id()))
            && title.as_ref().is_none_or(|title| spec.title.to_lowercase().contains(title))
            && redeemable.is_none_or(|wanted| position.is_redeemable() == wanted)
            && mergeable.is_none_or(|wanted| position.is_mergeable() == wanted)
    };
    Ok(positions.into_iter().filter(passes).collect())
}

/// Sorts by what `sortBy` names; the largest first, unless told.
fn sort(params: &Params, positions: &mut [Position<'_>]) {
    let key = |position: &Position<'_>| match params.text(&["sortBy", "sort_by"]).unwrap_or("TOKENS") {
        "CURRENT" | "CURRENT_VALUE" => position.value().0,
        "INITIAL" => position.initial().0,
        "CASHPNL" | "UNREALIZED_PNL" => position.open_profit().0,
        "REALIZEDPNL" | "REALIZED_PNL" => position.realised().0,
        "TOTAL_PNL" => position.realised().0.saturating_add(position.open_profit().0),
        "PRICE" => position.price.0,
        "AVGPRICE" => position.average().0,
        "TIMESTAMP" => position.holding.map_or(0, |holding| holding.last_at),
        _ => position.shares.0,
    };
    positions.sort_by_key(|position| Reverse(key(position)));
    if params.text(&["sortDirection", "sort_direction"]).is_some_and(|way| way.eq_ignore_ascii_case("ASC")) {
        positions.reverse();
    }
}

pub(super) async fn open_v1(State(shared): App, params: Params) -> Response {
    ask(&shared, |world, now| {
        let threshold = params.parse(&["sizeThreshold"])?.unwrap_or(Shares(domain::money::ONE));
        let mut positions = narrow(&params, positions_of(world, params.required("user")?, now))?;
        positions.retain(|position| position.shares.is_positive() && position.shares >= threshold);
        sort(&params, &mut positions);
        cut_v1(&params, positions.iter().map(Position::v1).collect(), ACTIVITY_PAGE)
    })
}

pub(super) async fn closed_v1(State(shared): App, params: Params) -> Response {
    ask(&shared, |world, now| {
        let mut positions = narrow(&params, positions_of(world, params.required("user")?, now))?;
        positions.retain(Position::is_closed);
        sort(&params, &mut positions);
        cut_v1(&params, positions.iter().map(Position::closed_v1).collect(), CLOSED_POSITIONS_PAGE)
    })
}

/// Which positions v2 lists.
#[derive(Clone, Copy)]
enum Status {
    Open,
    Redeemable,
    RedeemableLost,
    Mergeable,
    Closed,
}

impl Status {
    fn parse(text: &str) -> Result<Self, Refusal> {
        match text {
            "OPEN" => Ok(Self::Open),
            "REDEEMABLE" => Ok(Self::Redeemable),
            "REDEEMABLE_LOST" => Ok(Self::RedeemableLost),
            "MERGEABLE" => Ok(Self::Mergeable),
            "CLOSED" => Ok(Self::Closed),
            other => Err(Refusal::bad(format!("invalid status: {other}"))),
        }
    }

    /// Whether it lists a position. A resolved one that is not redeemed is open as well.
    const fn covers(self, position: &Position<'_>) -> bool {
        match self {
            Self::Open => position.shares.0 > 0,
            Self::Redeemable => position.is_redeemable(),
            Self::RedeemableLost => position.is_redeemable() && position.price.0 == 0,
            Self::Mergeable => position.is_mergeable(),
            Self::Closed => position.is_closed(),
        }
    }
}

pub(super) async fn v2(State(shared): App, params: Params) -> Response {
    ask(&shared, |world, now| {
        let page = PageV2::of(&params)?;
        let user: Option<Address> = params.parse(&["user"])?;
        let market = conditions(&params)?;
        let all = match (user, market.as_deref()) {
            (Some(user), _) => positions_of(world, user, now),
            (None, Some([condition])) => positions_in(world, *condition, now),
            _ => return Err(Refusal::bad("one of user or condition is required")),
        };
        let mut positions = narrow(&params, all)?;
        let status = Status::parse(params.text(&["status"]).unwrap_or("OPEN"))?;
        positions.retain(|position| status.covers(position));
        sort(&params, &mut positions);
        Ok(page.cut(positions.iter().map(Position::v2).collect()))
    })
}

fn value_of(world: &World, user: Address, params: &Params, now: Timestamp) -> Result<Usd, Refusal> {
    let positions = narrow(params, positions_of(world, user, now))?;
    Ok(positions.iter().map(Position::value).sum())
}

pub(super) async fn value_v1(State(shared): App, params: Params) -> Response {
    ask(&shared, |world, now| {
        let user = params.required("user")?;
        Ok(json!([{ "user": user, "value": amount(value_of(world, user, &params, now)?) }]))
    })
}

pub(super) async fn value_v2(State(shared): App, params: Params) -> Response {
    ask(&shared, |world, now| {
        let user = params.required("user")?;
        let value = amount(value_of(world, user, &params, now)?);
        Ok(envelope(json!({ "proxy_wallet": user, "value": value })))
    })
}

/// Shares of a token, by holder, the largest first.
pub(super) fn holders(world: &World, token: TokenId, now: Timestamp) -> Vec<(Address, Shares)> {
    let mut holders: Vec<(Address, Shares)> = world
        .chain()
        .history
        .latest()
        .filter(|(wallet, asset, _)| {
            *asset == crate::world::ledger::Asset::Token(token) && *wallet != HOUSE && *wallet != NOBODY
        })
        .map(|(wallet, ..)| (wallet, world.indexed_shares(wallet, token, now)))
        .filter(|(_, shares)| shares.is_positive())
        .collect();
    holders.sort_by_key(|(wallet, shares)| (Reverse(*shares), *wallet));
    holders
}
