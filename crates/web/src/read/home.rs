//! The first page: what there is, what today brought, what was answered lately and why, and what is held for a cause.

use std::{collections::BTreeMap, time::Duration};

use domain::{Timestamp, Usd, decide::Verdict};
use schemars::JsonSchema;
use serde::Serialize;

use super::{ActivityLine, HoldLine, Names, Read, activity::lines, holds, is_open};
use crate::{
    Tenant, Web,
    limits::{LOOKED_THROUGH, NEWEST, POINTS},
};

/// The first page. Amounts are millionths of dollars.
#[derive(Clone, Debug, Serialize, JsonSchema)]
pub(crate) struct Home {
    /// As of when.
    #[schemars(with = "i64")]
    pub(crate) at: Timestamp,
    /// Whether all money here is play money.
    pub(crate) all_paper: bool,
    /// Accounts.
    pub(crate) accounts: usize,
    /// Relationships that copy.
    pub(crate) copying: usize,
    /// Money in the accounts.
    #[schemars(with = "i64")]
    pub(crate) cash: Usd,
    /// Money and what is held at the best bids; nothing where something held has no bid.
    #[schemars(with = "Option<i64>")]
    pub(crate) equity: Option<Usd>,
    /// Money, and what is held at what it cost.
    #[schemars(with = "i64")]
    pub(crate) at_cost: Usd,
    /// Positions that hold something.
    pub(crate) open: usize,
    /// What they cost.
    #[schemars(with = "i64")]
    pub(crate) at_risk: Usd,
    /// Profit of them at the best bids.
    #[schemars(with = "Option<i64>")]
    pub(crate) unrealised: Option<Usd>,
    /// Profit that was booked today (UTC), less fees.
    #[schemars(with = "i64")]
    pub(crate) today: Usd,
    /// Fees of today.
    #[schemars(with = "i64")]
    pub(crate) fees_today: Usd,
    /// Profit that was ever booked, less fees.
    #[schemars(with = "i64")]
    pub(crate) booked: Usd,
    /// When the bids were asked for.
    #[schemars(with = "Option<i64>")]
    pub(crate) priced_at: Option<Timestamp>,
    /// Of the newest answers: how many are looked at, and how many copy.
    pub(crate) answers: usize,
    /// See above.
    pub(crate) copied: usize,
    /// Why the others do not, the most frequent reason first.
    pub(crate) skipped: Vec<Reason>,
    /// The newest answers.
    pub(crate) newest: Vec<ActivityLine>,
    /// What is held for a cause.
    pub(crate) holds: Vec<HoldLine>,
}

/// How often something was the reason.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, JsonSchema)]
pub(crate) struct Reason {
    /// In words.
    pub(crate) reason: &'static str,
    /// How often.
    pub(crate) number: usize,
}

/// Everything of the first page.
pub(crate) async fn home(web: &Web, tenant: Tenant) -> Read<Home> {
    let store = web.store.as_ref();
    let names = Names::read(store, tenant).await?;
    let now = web.clock.now();
    let priced = web.values.now(store).await;
    let positions = store.positions(tenant.owner()).await?;
    let held = || positions.iter().filter(|held| is_open(held.position.shares));
    let at_risk: Usd = held().map(|held| held.position.cost).sum();
    let mut unrealised = Some(Usd::ZERO);
    for held in held() {
        let price = priced.prices.get(&held.token);
        let gain = price.map(|price| held.position.unrealised(*price)).transpose()?;
        unrealised = unrealised.zip(gain).map(|(all, gain)| all.plus(gain)).transpose()?;
    }
    let (realised, fees): (Usd, Usd) = (
        positions.iter().map(|one| one.position.realised).sum(),
        positions.iter().map(|one| one.position.fees).sum(),
    );
    let today = store.ledger_sums(tenant.owner(), day_of(now), Duration::from_hours(24)).await?;
    let fees_today: Usd = today.iter().map(|sum| sum.fees).sum();
    let realised_today: Usd = today.iter().map(|sum| sum.realised).sum();
    let there = || names.accounts.iter().filter(|account| !account.removed);
    let cash: Usd = there().map(|account| account.cash).sum();
    let at_cost = cash.plus(at_risk)?;
    let decisions = store.newest_decisions(tenant.owner(), LOOKED_THROUGH).await?;
    let mut skipped: BTreeMap<&'static str, usize> = BTreeMap::new();
    for decision in &decisions {
        if let Verdict::Skip(reason) = decision.verdict {
            *skipped.entry(reason.label()).or_default() += 1;
        }
    }
    let copied = decisions.len().saturating_sub(skipped.values().sum());
    let mut skipped: Vec<Reason> =
        skipped.into_iter().map(|(reason, number)| Reason { reason, number }).collect();
    skipped.sort_by_key(|one| std::cmp::Reverse(one.number));
    let newest = decisions.get(..decisions.len().min(NEWEST)).unwrap_or_default();
    let copying = |one: &&engine::ports::following::Relationship| {
        one.status == engine::ports::following::RelationshipStatus::Active
    };
    Ok(Home {
        at: now,
        all_paper: there().all(|account| account.mode == engine::ports::following::AccountMode::Paper),
        accounts: there().count(),
        copying: names.relationships.iter().filter(copying).count(),
        cash,
        equity: unrealised.map(|unrealised| at_cost.plus(unrealised)).transpose()?,
        at_cost,
        open: held().count(),
        at_risk,
        unrealised,
        today: realised_today.minus(fees_today)?,
        fees_today,
        booked: realised.minus(fees)?,
        priced_at: priced.at,
        answers: decisions.len(),
        copied,
        skipped,
        newest: lines(web, &names, newest).await?,
        holds: holds(web, tenant).await?,
    })
}

const fn day_of(now: Timestamp) -> Timestamp {
    Timestamp::from_seconds(now.day().saturating_mul(86_400))
}

/// The booked result over time.
#[derive(Clone, Debug, Serialize, JsonSchema)]
pub(crate) struct Curve {
    /// Points, ascending; each tells the result up to the end of its span.
    pub(crate) points: Vec<Point>,
    /// How long a span is, in seconds.
    pub(crate) span: u64,
}

/// A point of the curve.
#[derive(Clone, Copy, Debug, Serialize, JsonSchema)]
pub(crate) struct Point {
    /// Unix seconds.
    pub(crate) at: i64,
    /// Profit booked until then, less fees, in millionths of dollars.
    #[schemars(with = "i64")]
    pub(crate) booked: Usd,
}

/// The curve since the first booking. Its span follows from how long that is ago.
pub(crate) async fn curve(web: &Web, tenant: Tenant) -> Read<Curve> {
    let store = web.store.as_ref();
    let now = web.clock.now();
    let days = store.ledger_sums(tenant.owner(), Timestamp(0), Duration::from_hours(24)).await?;
    let Some(first) = days.first().map(|sum| sum.at) else {
        return Ok(Curve { points: Vec::new(), span: 1 });
    };
    // A day is not fine enough for one that has just begun: its bookings are looked at one by one.
    let first = match days.len() {
        1 | 2 => store
            .ledger_sums(tenant.owner(), first, Duration::from_secs(1))
            .await?
            .first()
            .map_or(first, |sum| sum.at),
        _ => first,
    };
    let seconds = now.seconds().saturating_sub(first.seconds()).max(1);
    let span = [1, 5, 15, 60, 300, 900, 3_600, 14_400, 86_400]
        .into_iter()
        .find(|span| seconds / span <= POINTS)
        .unwrap_or_else(|| (seconds / POINTS / 86_400 + 1).saturating_mul(86_400));
    let span = span.unsigned_abs();
    let sums = store.ledger_sums(tenant.owner(), first, Duration::from_secs(span)).await?;
    let mut booked = Usd::ZERO;
    let mut points = vec![Point { at: first.seconds(), booked }];
    for sum in sums {
        booked = booked.plus(sum.realised)?.minus(sum.fees)?;
        let end = sum.at.seconds().saturating_add(i64::try_from(span).unwrap_or(i64::MAX)).min(now.seconds());
        if let Some(last) = points.last_mut().filter(|last| last.at >= end) {
            last.booked = booked;
        } else {
            points.push(Point { at: end, booked });
        }
    }
    if points.last().is_some_and(|last| last.at < now.seconds()) {
        points.push(Point { at: now.seconds(), booked });
    }
    Ok(Curve { points, span })
}
