//! What the venue says about itself and about the account.

use std::time::Duration;

use anyhow::ensure;
use domain::{ConditionId, OrderType, TokenId};
use engine::ports::venue::VenueClock as _;
use polymarket::Tier;
use serde_json::Value;

use super::super::{
    finding::{Seen, Verdict},
    place::Place,
};

/// How far the clocks may be apart; the venue's answer is in whole seconds.
const APART: Duration = Duration::from_secs(2);

pub(super) async fn clock(place: &Place) -> anyhow::Result<Seen> {
    let before = place.clock.now();
    let theirs = place.clob.server_time().await?;
    let after = place.clock.now();
    // It was some moment between the two, cut to a second.
    let early = before.since(theirs.plus(Duration::from_secs(1)));
    let late = theirs.since(after);
    let seen = format!("this clock is {early:?} ahead, {late:?} behind at least");
    Ok(Seen::that(early <= APART && late <= APART, "asked for the time", seen))
}

pub(super) async fn version(place: &Place) -> anyhow::Result<Seen> {
    let reply = place.public("/version").await?;
    ensure!(reply.status == 200, "{}", reply.words());
    let version = reply.json().get("version").and_then(Value::as_i64);
    Ok(Seen::that(version == Some(2), "asked", reply.words()))
}

pub(super) async fn standing(place: &Place) -> anyhow::Result<Seen> {
    let reply = place.get("/auth/ban-status/closed-only", "").await?;
    ensure!(reply.status == 200, "{}", reply.words());
    // Either is a state that is relied on; what cannot be read is not.
    let closed = reply.json().get("closed_only").and_then(Value::as_bool);
    Ok(Seen::that(closed.is_some(), "asked whether the account may only close", reply.words()))
}

pub(super) async fn third_exchange(place: &Place) -> anyhow::Result<Seen> {
    let rows_of = |page: Value| page.get("data").and_then(Value::as_array).cloned().unwrap_or_default();
    // Those with rewards are traded; where there are none, any.
    let mut reply = place.public("/sampling-markets").await?;
    let mut rows = rows_of(reply.json());
    if rows.is_empty() {
        reply = place.public("/markets").await?;
        rows = rows_of(reply.json());
    }
    let text =
        |row: &Value, field: &str| row.get(field).and_then(Value::as_str).unwrap_or_default().to_owned();
    let (mut third, mut all, mut strange) = (0_usize, 0_usize, Vec::new());
    for row in &rows {
        let condition = text(row, "condition_id");
        if condition.parse::<ConditionId>().is_err() {
            strange.push(condition);
        }
        for token in row.get("tokens").and_then(Value::as_array).into_iter().flatten() {
            let token = text(token, "token_id");
            match token.parse::<TokenId>() {
                Ok(token) => {
                    all += 1;
                    third += usize::from(token.is_v3());
                }
                Err(_) => strange.push(token),
            }
        }
    }
    if all == 0 {
        return Ok(Seen::nothing(format!("a page of markets without tokens: {}", reply.words())));
    }
    let seen = format!("{third} of {all} tokens on one page; ids that cannot be read: {}", strange.len());
    Ok(Seen::that(strange.is_empty(), "read a page of markets", seen))
}

pub(super) async fn signer_limit(place: &Place) -> anyhow::Result<Seen> {
    let order = place.order(OrderType::FillAndKill).await?;
    let reply = place.post(&order).await?;
    const DONE: &str = "read the headers of a reply to an order";
    let Some(tier) = reply.header("poly-ratelimit-tier") else {
        return Ok(Seen::new(Verdict::NotObservable, DONE, "none tells of a limit"));
    };
    let named = |name: &str| reply.header(name).unwrap_or("nothing").to_owned();
    let (left, warning) = (named("poly-ratelimit-remaining"), named("poly-ratelimit-warning"));
    let seen = format!("tier {tier}, {left} left, warning {warning}");
    Ok(Seen::that(Tier::named(tier).is_some(), DONE, seen))
}
