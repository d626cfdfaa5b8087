//! What is held, what it brought, and what copying cost.

use std::collections::BTreeMap;

use domain::{Address, Price, Shares, Timestamp, TokenId, Usd, ids::RelationshipId, money::MoneyError};
use schemars::JsonSchema;
use serde::Serialize;
use story::{Answer, PositionLine, answers, positions};

use super::{MarketLine, Names, Read, is_open};
use crate::{Tenant, Web, limits::LOOKED_THROUGH};

/// A position. Amounts are millionths.
#[derive(Clone, Debug, Serialize, JsonSchema)]
pub(crate) struct Position {
    /// Through which relationship.
    #[schemars(with = "i64")]
    pub(crate) relationship: RelationshipId,
    /// In which account.
    pub(crate) account: String,
    /// Whom it copies.
    #[schemars(with = "Option<String>")]
    pub(crate) leader: Option<Address>,
    /// The token.
    #[schemars(with = "String")]
    pub(crate) token: TokenId,
    /// Its market.
    pub(crate) market: MarketLine,
    /// Shares held.
    #[schemars(with = "i64")]
    pub(crate) shares: Shares,
    /// Average price paid.
    #[schemars(with = "Option<i64>")]
    pub(crate) paid: Option<Price>,
    /// The best bid now, where it is known.
    #[schemars(with = "Option<i64>")]
    pub(crate) bid: Option<Price>,
    /// What the shares cost, without fees.
    #[schemars(with = "i64")]
    pub(crate) cost: Usd,
    /// Profit if all were sold at the bid, without fees.
    #[schemars(with = "Option<i64>")]
    pub(crate) unrealised: Option<Usd>,
    /// Profit of what was sold or redeemed, without fees.
    #[schemars(with = "i64")]
    pub(crate) realised: Usd,
    /// Fees paid.
    #[schemars(with = "i64")]
    pub(crate) fees: Usd,
}

pub(super) fn of_lines(lines: &[PositionLine], names: &Names) -> Vec<Position> {
    let of = |line: &PositionLine| {
        let (account, leader) = names.of(line.relationship);
        Position {
            relationship: line.relationship,
            account,
            leader,
            token: line.token,
            market: MarketLine::of(line.market.as_ref()),
            shares: line.shares,
            paid: line.average,
            bid: line.price,
            cost: line.cost,
            unrealised: line.unrealised,
            realised: line.realised,
            fees: line.fees,
        }
    };
    lines.iter().map(of).collect()
}

/// What copying cost for one cause.
#[derive(Clone, Debug, Serialize, JsonSchema)]
pub(crate) struct CostLine {
    /// Why, in words.
    pub(crate) cause: &'static str,
    /// Dollars; negative, where copying was cheaper than leading.
    #[schemars(with = "i64")]
    pub(crate) usd: Usd,
    /// In basis points of what was traded at the leaders' prices.
    pub(crate) basis_points: Option<i64>,
}

/// Positions and results.
#[derive(Clone, Debug, Serialize, JsonSchema)]
pub(crate) struct Results {
    /// What is held.
    pub(crate) open: Vec<Position>,
    /// How many positions are closed.
    pub(crate) closed: usize,
    /// What open positions cost.
    #[schemars(with = "i64")]
    pub(crate) at_risk: Usd,
    /// What they would bring at the best bids; nothing where one of them has none.
    #[schemars(with = "Option<i64>")]
    pub(crate) worth: Option<Usd>,
    /// Profit of that.
    #[schemars(with = "Option<i64>")]
    pub(crate) unrealised: Option<Usd>,
    /// Open positions without a bid.
    pub(crate) without_bid: usize,
    /// Profit of what was sold or redeemed, without fees.
    #[schemars(with = "i64")]
    pub(crate) realised: Usd,
    /// Fees paid.
    #[schemars(with = "i64")]
    pub(crate) fees: Usd,
    /// When the bids were asked for.
    #[schemars(with = "Option<i64>")]
    pub(crate) priced_at: Option<Timestamp>,
    /// What copying cost by cause, over the newest answers.
    pub(crate) cost: Vec<CostLine>,
    /// How many answers that is.
    pub(crate) cost_answers: usize,
    /// Copies among them that traded something.
    pub(crate) cost_copies: usize,
}

/// Everything that is held, and what it came to.
pub(crate) async fn results(web: &Web, tenant: Tenant) -> Read<Results> {
    let store = web.store.as_ref();
    let names = Names::read(store, tenant).await?;
    let priced = web.values.now(store).await;
    let lines = positions(store, tenant.owner(), &priced.prices).await?;
    let all = of_lines(&lines, &names);
    let (realised, fees) = (all.iter().map(|one| one.realised).sum(), all.iter().map(|one| one.fees).sum());
    let (open, closed): (Vec<_>, Vec<_>) = all.into_iter().partition(|one| is_open(one.shares));
    let without_bid = open.iter().filter(|one| one.unrealised.is_none()).count();
    let unrealised: Usd = open.iter().filter_map(|one| one.unrealised).sum();
    let at_risk: Usd = open.iter().map(|one| one.cost).sum();
    let unrealised = (without_bid == 0).then_some(unrealised);
    let worth = unrealised.map(|unrealised| at_risk.plus(unrealised)).transpose()?;
    let costs = cost(web, tenant).await?;
    Ok(Results {
        open,
        closed: closed.len(),
        at_risk,
        worth,
        unrealised,
        without_bid,
        realised,
        fees,
        priced_at: priced.at,
        cost: costs.lines,
        cost_answers: costs.answers,
        cost_copies: costs.copies,
    })
}

struct Costs {
    lines: Vec<CostLine>,
    answers: usize,
    copies: usize,
}

/// What copying cost over the newest answers.
async fn cost(web: &Web, tenant: Tenant) -> Read<Costs> {
    let store = web.store.as_ref();
    let decisions = store.newest_decisions(tenant.owner(), LOOKED_THROUGH).await?;
    let told = answers(store, &decisions).await?;
    let mut by_cause: BTreeMap<usize, Usd> = BTreeMap::new();
    let (mut traded, mut copies) = (Usd::ZERO, 0);
    for line in &told {
        let Answer::Copied { decided, orders, .. } = &line.answer else { continue };
        for order in orders.iter().filter(|order| order.cost.orders > 0) {
            copies += 1;
            traded = traded.plus(order.cost.leader_usd)?;
            let cause = usize::from(decided.side == domain::Side::Sell);
            add(&mut by_cause, cause, order.price_difference()?)?;
            add(&mut by_cause, 2, order.cost.fees)?;
        }
    }
    let causes = ["Bought above the leader's price", "Sold below the leader's price", "Fees of the venue"];
    let mut lines = Vec::with_capacity(causes.len());
    for (number, cause) in causes.into_iter().enumerate() {
        let usd = by_cause.get(&number).copied().unwrap_or(Usd::ZERO);
        lines.push(CostLine { cause, usd, basis_points: basis_points(usd, traded) });
    }
    let all: Usd = lines.iter().map(|line| line.usd).sum();
    lines.push(CostLine { cause: "All together", usd: all, basis_points: basis_points(all, traded) });
    Ok(Costs { lines, answers: told.len(), copies })
}

fn add(sums: &mut BTreeMap<usize, Usd>, cause: usize, usd: Usd) -> Result<(), MoneyError> {
    let sum = sums.entry(cause).or_insert(Usd::ZERO);
    *sum = sum.plus(usd)?;
    Ok(())
}

fn basis_points(part: Usd, whole: Usd) -> Option<i64> {
    let scaled = i128::from(part.0).checked_mul(10_000)?;
    i64::try_from(scaled.checked_div(i128::from(whole.0))?).ok()
}
