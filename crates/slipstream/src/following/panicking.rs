//! `slipstream panic`: nothing more is bought, and nothing is sold any more either, or only what leaders sell, or
//! everything.

use std::collections::BTreeSet;

use anyhow::{Context, ensure};
use domain::{
    Clock, Usd,
    ids::{HoldId, OwnerId, RelationshipId},
};
use engine::ports::{
    following::{Account, Hold, HoldCause, HoldScope, NewHold},
    reports::PositionRecord,
    store::Store,
};
use serde::{Deserialize, Serialize};
use serde_json::json;
use web::actions::Panicked;

use super::{FollowingRequest, PanicArgs, account_of};
use crate::{
    commands::{Answer, Request, ask},
    holding::end_words,
    terminal,
    wording::{count, dollars},
};

/// Reason of a hold of this command; a later one with the same scope that lets more go on takes its place.
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
    if wanted.preview {
        let held = held_by(store, &account_meant(store, None, wanted).await?).await?;
        let text = format!("{}, at the best prices of their books, whatever those are", to_sell(&held));
        return Ok(Answer { text, json: json!({ "positions": held.len() }), ok: true });
    }
    let Panicked { hold, stops_exits, sells, positions, words } =
        hold_all(store, clock, None, wanted).await?;
    let json = json!({ "hold": hold, "stops_exits": stops_exits, "sells": sells, "positions": positions });
    Ok(Answer { text: words, json, ok: true })
}

async fn account_meant(
    store: &dyn Store,
    owner: Option<OwnerId>,
    wanted: &Panic,
) -> anyhow::Result<Option<Account>> {
    match &wanted.account {
        Some(name) => Ok(Some(account_of(store, owner, Some(name)).await?)),
        None => Ok(None),
    }
}

async fn held_by(store: &dyn Store, account: &Option<Account>) -> anyhow::Result<Vec<PositionRecord>> {
    let all = store.positions(None).await?.into_iter();
    Ok(all
        .filter(|held| account.as_ref().is_none_or(|account| account.trading.id == held.account))
        .filter(|held| held.position.shares.is_positive())
        .collect())
}

/// Holds an account of the owner's, or everything where nobody's alone is meant.
///
/// # Errors
/// In words, with what to do.
pub(crate) async fn hold_all(
    store: &dyn Store,
    clock: &dyn Clock,
    owner: Option<OwnerId>,
    wanted: &Panic,
) -> anyhow::Result<Panicked> {
    ensure!(owner.is_none() || wanted.account.is_some(), "name the account that is to be held");
    let account = account_meant(store, owner, wanted).await?;
    let scope =
        account.as_ref().map_or(HoldScope::Installation, |account| HoldScope::Account(account.trading.id));
    let held = held_by(store, &account).await?;
    let hold = NewHold {
        scope,
        cause: HoldCause::Operator,
        reason: REASON.to_owned(),
        stops_exits: !(wanted.keep_exits || wanted.sell),
        sells: wanted.sell,
        expires_at: None,
    };
    let placed = place(store, clock, &hold).await?;
    let of = account.as_ref().map(|account| format!(" of account `{}`", account.label)).unwrap_or_default();
    let positions = if placed.sells(&hold) { held.len() } else { 0 };
    Ok(Panicked {
        hold: placed.id,
        stops_exits: placed.stops_exits(&hold),
        sells: placed.sells(&hold),
        positions,
        words: words(wanted, &placed, &of, &to_sell(&held)),
    })
}

/// A hold of this command, and what else holds the same.
struct Placed {
    id: HoldId,
    /// It was there, and took no other's place.
    was_so: bool,
    /// Earlier ones of this command with its scope, lifted because they did what this one does not.
    replaced: Vec<Hold>,
    /// Others in force that hold all of its scope.
    others: Vec<Hold>,
}

impl Placed {
    fn stops_exits(&self, hold: &NewHold) -> bool {
        hold.stops_exits || self.others.iter().any(|other| other.stops_exits)
    }

    fn sells(&self, hold: &NewHold) -> bool {
        hold.sells || self.others.iter().any(|other| other.sells)
    }
}

/// Places a hold of this command, unless it is there. One that lets exits go on takes the place of those that do not, and
/// one that sells nothing by itself of those that do: that one first, so that at no moment is nothing held.
async fn place(store: &dyn Store, clock: &dyn Clock, hold: &NewHold) -> anyhow::Result<Placed> {
    let before = store.following(clock.now()).await?.holds;
    let (own, mut others): (Vec<Hold>, Vec<Hold>) = before
        .into_iter()
        .filter(|other| other.scope == hold.scope || other.scope == HoldScope::Installation)
        .partition(|other| {
            (other.scope, other.cause, other.reason.as_str()) == (hold.scope, HoldCause::Operator, REASON)
        });
    let same = |other: &Hold| (other.stops_exits, other.sells) == (hold.stops_exits, hold.sells);
    let there = own.iter().find(|other| same(other)).map(|other| other.id);
    let id = match there {
        Some(id) => id,
        None => store.place_hold(None, hold, clock.now()).await?,
    };
    // A panic that stops everything stops what another one sells, and is lifted before it.
    let gives_way = |other: &Hold| !hold.stops_exits && (other.stops_exits || (other.sells && !hold.sells));
    let (replaced, beside): (Vec<Hold>, Vec<Hold>) = own.into_iter().partition(gives_way);
    for weaker in &replaced {
        store.lift_hold(None, weaker.id, clock.now()).await?;
    }
    others.extend(beside.into_iter().filter(|other| other.id != id));
    Ok(Placed { id, was_so: there.is_some() && replaced.is_empty(), replaced, others })
}

fn words(wanted: &Panic, placed: &Placed, of: &str, to_sell: &str) -> String {
    let Placed { id, was_so, replaced, others } = placed;
    let everything = !(wanted.keep_exits || wanted.sell);
    let stopping = others.iter().any(|other| other.stops_exits);
    let mut lines = vec![match (wanted.sell, wanted.keep_exits) {
        (true, _) => format!("buys{of} are held; {to_sell} while `slipstream run` runs"),
        (_, true) if stopping => format!("buys{of} are held, and exits by another hold"),
        (_, true) => format!("buys{of} are held; exits go on"),
        _ => format!("everything{of} is held, exits too"),
    }];
    for hold in replaced {
        let did = if hold.sells { "sold everything" } else { "stopped sales too" };
        lines.push(format!("this takes the place of hold {}, which {did}", hold.id));
    }
    for other in others {
        let (Hold { id, reason, .. }, ends) = (other, end_words(other));
        if other.stops_exits && !everything {
            lines.push(format!("sales wait for hold {id} ({reason}): {ends}"));
        } else if other.sells && !wanted.sell {
            lines.push(format!("hold {id} ({reason}) sells whatever may be sold: {ends}"));
        }
    }
    if *was_so {
        lines.push(format!("hold {id} was there already; `slipstream lift {id}` ends it"));
        return lines.join("\n");
    }
    lines.push(match (wanted.sell, wanted.keep_exits) {
        (true, _) => format!(
            "until `slipstream lift {id}`, which buys nothing back; `slipstream activity` shows the sales"
        ),
        (_, true) if stopping => format!("no more buys{of} are signed until `slipstream lift {id}`"),
        (_, true) => {
            format!("no more buys{of} are signed until `slipstream lift {id}`; what leaders sell is sold")
        }
        _ => format!(
            "nothing more{of} is signed until `slipstream lift {id}`. No order of ours rests at the venue, so there is none \
             to cancel; what is held stays held (`slipstream panic --sell` sells it)"
        ),
    });
    lines.join("\n")
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
