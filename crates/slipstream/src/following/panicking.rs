//! `slipstream panic`: nothing more is bought, and nothing is sold any more either, or only what leaders sell, or
//! everything.

use std::collections::BTreeSet;

use anyhow::{Context, ensure};
use domain::{Clock, Usd, ids::RelationshipId};
use engine::ports::{
    following::{HoldCause, HoldScope, NewHold},
    reports::PositionRecord,
    store::Store,
};
use serde::{Deserialize, Serialize};
use serde_json::json;

use super::{FollowingRequest, PanicArgs, account_of};
use crate::{
    commands::{Answer, Request, ask},
    terminal,
    wording::{count, dollars},
};

/// Reason of a hold of this command; a later one with the same scope takes its place.
const REASON: &str = "panic";
/// What is typed to sell everything.
const WORD: &str = "sell";

/// What is wanted.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct Panic {
    /// Whether leaders are followed out.
    pub keep_exits: bool,
    /// Whether everything that is held is sold.
    pub sell: bool,
    /// Label or number of the account; all of them without it.
    pub account: Option<String>,
    /// Only says what would be sold.
    pub preview: bool,
}

/// The request of the command; asks first where everything is to be sold.
///
/// # Errors
/// When the answer is another one, or nobody can be asked.
pub async fn confirmed(arguments: &PanicArgs) -> anyhow::Result<Request> {
    let PanicArgs { keep_exits, sell, account, yes, at } = arguments;
    let wanted = Panic { keep_exits: *keep_exits, sell: *sell, account: account.clone(), preview: false };
    if *sell && !yes {
        let preview = Panic { preview: true, ..wanted.clone() };
        let would = ask(&at.place()?, &Request::Following(FollowingRequest::Panic(preview))).await?;
        let question = format!("{}\nType `{WORD}` to sell: ", would.text);
        let word = terminal::ask(&question).context("give --yes to sell without being asked")?;
        ensure!(word == WORD, "`{word}` is not `{WORD}`; nothing was changed");
    }
    Ok(Request::Following(FollowingRequest::Panic(wanted)))
}

pub(super) async fn panic(store: &dyn Store, clock: &dyn Clock, wanted: &Panic) -> anyhow::Result<Answer> {
    let account = match &wanted.account {
        Some(name) => Some(account_of(store, Some(name)).await?),
        None => None,
    };
    let scope =
        account.as_ref().map_or(HoldScope::Installation, |account| HoldScope::Account(account.trading.id));
    let held: Vec<PositionRecord> = store
        .positions(None)
        .await?
        .into_iter()
        .filter(|held| account.as_ref().is_none_or(|account| account.trading.id == held.account))
        .filter(|held| held.position.shares.is_positive())
        .collect();
    if wanted.preview {
        let text = format!("{}, at the best prices of their books, whatever those are", to_sell(&held));
        return Ok(Answer { text, json: json!({ "positions": held.len() }), ok: true });
    }
    let hold = NewHold {
        scope,
        cause: HoldCause::Operator,
        reason: REASON.to_owned(),
        stops_exits: !(wanted.keep_exits || wanted.sell),
        sells: wanted.sell,
        expires_at: None,
    };
    let before = store.following(clock.now()).await?.holds;
    let placed = store.hold_once(&hold, clock.now()).await?;
    let of = account.as_ref().map(|account| format!(" of account `{}`", account.label)).unwrap_or_default();
    let mut lines = vec![match (wanted.sell, wanted.keep_exits) {
        (true, _) => format!("buys{of} are held; {} while `slipstream run` runs", to_sell(&held)),
        (_, true) => format!("buys{of} are held; exits go on"),
        _ => format!("everything{of} is held, exits too"),
    }];
    if wanted.sell {
        for stops in before.iter().filter(|other| other.stops_exits) {
            if (stops.scope, stops.cause, stops.reason.as_str()) == (scope, HoldCause::Operator, REASON) {
                store.lift_hold(None, stops.id, clock.now()).await?;
                lines.push(format!("this takes the place of hold {}, which stopped sales too", stops.id));
            } else {
                lines.push(format!(
                    "sales may wait for hold {} ({}): `slipstream lift {}`",
                    stops.id, stops.reason, stops.id
                ));
            }
        }
    }
    lines.push(match placed {
        Some(id) if wanted.sell => format!("until `slipstream lift {id}`, which buys nothing back; `slipstream activity` shows the sales"),
        Some(id) if wanted.keep_exits => {
            format!("no more buys{of} are signed until `slipstream lift {id}`; what leaders sell is sold")
        }
        Some(id) => format!(
            "nothing more{of} is signed until `slipstream lift {id}`. No order of ours rests at the venue, so there is none \
             to cancel; what is held stays held (`slipstream panic --sell` sells it)"
        ),
        None => "it was so already; `slipstream holds` tells by what".to_owned(),
    });
    let json = json!({
        "hold": placed, "stops_exits": hold.stops_exits, "sells": hold.sells,
        "positions": if hold.sells { held.len() } else { 0 },
    });
    Ok(Answer { text: lines.join("\n"), json, ok: true })
}

/// What is held, in words.
fn to_sell(held: &[PositionRecord]) -> String {
    let cost: Usd = held.iter().map(|held| held.position.cost).sum();
    let through: BTreeSet<RelationshipId> = held.iter().map(|held| held.relationship).collect();
    match held.len() {
        0 => "nothing is held that could be sold".to_owned(),
        number => format!(
            "{} of {}, which cost {} $, are sold",
            count(number, "position"),
            count(through.len(), "relationship"),
            dollars(cost)
        ),
    }
}
