//! What the venue says about itself and about the account.

use std::time::Duration;

use anyhow::ensure;
use domain::{ConditionId, OrderId, OrderType, TokenId};
use engine::ports::venue::VenueClock as _;
use polymarket::Tier;
use serde_json::Value;

use super::super::{
    finding::{Seen, Verdict},
    place::Place,
};
use crate::wording::lasting;

/// Pages of markets that are read.
const MARKET_PAGES: usize = 5;
/// The cursor that says that there is no further page. Source: docs (pagination), base64 of -1.
const LAST_PAGE: &str = "LTE=";
/// Most cancels in one request. Source: docs (manage orders); later pages allow more.
const MOST_CANCELS: u32 = 1_000;
/// How far the clocks may be apart; the venue's answer is in whole seconds.
const APART: Duration = Duration::from_secs(2);

pub(super) async fn clock(place: &Place) -> anyhow::Result<Seen> {
    let before = place.clock.now();
    let theirs = place.clob.server_time().await?;
    let after = place.clock.now();
    // It was some moment between the two, cut to a second.
    let early = before.since(theirs.plus(Duration::from_secs(1)));
    let late = theirs.since(after);
    let seen = match (early.is_zero(), late.is_zero()) {
        (true, true) => "the same second as here".to_owned(),
        (false, _) => format!("this clock is at least {} ahead", lasting(early)),
        (true, false) => format!("this clock is at least {} behind", lasting(late)),
    };
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

/// What a page of markets holds.
#[derive(Default)]
struct Tokens {
    third: usize,
    all: usize,
    strange: usize,
}

impl Tokens {
    fn count(&mut self, page: &Value) {
        let text =
            |row: &Value, field: &str| row.get(field).and_then(Value::as_str).unwrap_or_default().to_owned();
        for row in page.get("data").and_then(Value::as_array).into_iter().flatten() {
            self.strange += usize::from(text(row, "condition_id").parse::<ConditionId>().is_err());
            for token in row.get("tokens").and_then(Value::as_array).into_iter().flatten() {
                match text(token, "token_id").parse::<TokenId>() {
                    Ok(token) => {
                        self.all += 1;
                        self.third += usize::from(token.is_v3());
                    }
                    Err(_) => self.strange += 1,
                }
            }
        }
    }
}

pub(super) async fn third_exchange(place: &Place) -> anyhow::Result<Seen> {
    let mut tokens = Tokens::default();
    let mut pages = 0;
    // Those with rewards are traded; where there are none, any.
    for path in ["/sampling-markets", "/markets"] {
        let mut cursor = String::new();
        while tokens.all == 0 || (!cursor.is_empty() && pages < MARKET_PAGES) {
            let page = place.public(&format!("{path}?next_cursor={cursor}")).await?;
            ensure!(page.status == 200, "{}", page.words());
            pages += 1;
            let page = page.json();
            tokens.count(&page);
            let next = page.get("next_cursor").and_then(Value::as_str).unwrap_or_default();
            cursor = if next == LAST_PAGE { String::new() } else { next.to_owned() };
            if cursor.is_empty() {
                break;
            }
        }
        if tokens.all > 0 {
            break;
        }
    }
    const DONE: &str = "read pages of markets";
    let Tokens { third, all, strange } = tokens;
    let seen = format!("{third} of {all} tokens on {pages} pages; ids that cannot be read: {strange}");
    if strange == 0 && third == 0 {
        return Ok(Seen::new(Verdict::NotObservable, DONE, seen));
    }
    Ok(Seen::that(strange == 0, DONE, seen))
}

pub(super) async fn signer_limit(place: &Place) -> anyhow::Result<Seen> {
    let order = place.order(OrderType::FillAndKill).await?;
    let reply = place.post(&order).await?;
    const DONE: &str = "read the headers of a reply to an order";
    let Some(tier) = reply.header("poly-ratelimit-tier") else {
        return Ok(Seen::new(Verdict::NotObservable, DONE, "none tells of a limit"));
    };
    let named = |name: &str| reply.header(name).unwrap_or("nothing").to_owned();
    let left = named("poly-ratelimit-remaining");
    let warning = reply
        .header("poly-ratelimit-warning")
        .map_or("no warning".to_owned(), |text| format!("warning {text}"));
    let seen = format!("tier {tier}, {left} tokens left, {warning}");
    Ok(Seen::that(Tier::named(tier).is_some(), DONE, seen))
}

/// One cancel more than the signer's burst, of orders that do not exist: it costs nothing and changes nothing.
pub(super) async fn signer_limit_enforced(place: &Place) -> anyhow::Result<Seen> {
    let reply = place.post(&place.order(OrderType::FillAndKill).await?).await?;
    let tier = reply.header("poly-ratelimit-tier").and_then(Tier::named);
    let Some(tier) = tier else { return Ok(Seen::nothing("no reply names a tier that is known")) };
    let many = tier.of_cancels().burst.saturating_add(1);
    if many > MOST_CANCELS {
        return Ok(Seen::nothing(format!("{many} cancels would be needed, more than a request may hold")));
    }
    let nobody = |number: u32| {
        let mut id = [0xee; 32];
        id[..4].copy_from_slice(&number.to_be_bytes());
        OrderId(id)
    };
    let ids: Vec<OrderId> = (0..many).map(nobody).collect();
    let reply = place.cancel_all_of(&ids).await?;
    let done =
        format!("asked to cancel {many} orders that do not exist, one more than the tier lets go at once");
    let warning = reply.header("poly-ratelimit-warning").unwrap_or("none").to_owned();
    match reply.status {
        429 => Ok(Seen::that(true, done, format!("enforced: {}", reply.words()))),
        200 => Ok(Seen::that(true, done, format!("not enforced; warning: {warning}"))),
        _ => Ok(Seen::new(Verdict::NotObservable, done, reply.words())),
    }
}

pub(super) async fn approvals(place: &Place) -> anyhow::Result<Seen> {
    let reply = place.data(&format!("/v2/approvals?user={}", place.terms.account.wallet)).await?;
    const DONE: &str = "asked the Data API for them";
    if reply.status != 200 {
        return Ok(Seen::new(Verdict::NotObservable, DONE, reply.words()));
    }
    Ok(Seen::that(reply.json().get("data").is_some(), DONE, reply.words()))
}

pub(super) async fn session_signers(place: &Place) -> anyhow::Result<Seen> {
    let reply = place.get("/v1/user/session-signers", "").await?;
    const DONE: &str = "asked for them";
    if reply.status != 200 {
        return Ok(Seen::new(Verdict::NotObservable, DONE, reply.words()));
    }
    Ok(Seen::that(!reply.json().is_null(), DONE, reply.words()))
}
