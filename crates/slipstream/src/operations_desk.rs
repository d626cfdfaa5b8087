//! `slipstream ops` as the running process answers it: what its probes saw, what that means, how its breakers stand. Whoever
//! overrides a breaker says who and why, and that is told in the log of events.

use std::{fmt::Write as _, sync::Arc, time::Duration};

use anyhow::Context as _;
use domain::{
    Address, Clock, Timestamp,
    ids::{AccountId, RelationshipId},
};
use engine::ports::{
    following::{HoldCause, HoldScope, NewHold},
    store::{Event, EventKind, Store},
};
use operations::{
    alerts::{RULES, Silence},
    breaker::{Forced, View},
    diagnosis::{self, Finding},
    flags::{self, Flag, KNOWN},
    health::{Board, Detail, Status},
    ports::OperatorWords,
};
use serde::{Deserialize, Serialize};
use serde_json::json;

use crate::{
    breakers::VenueBreakers,
    commands::{Answer, Witnesses},
    measuring::FiringNow,
    wording::harmless,
};

/// What a running process has to answer from.
#[derive(Clone)]
pub struct OperationsDesk {
    /// What probes saw.
    pub board: Arc<Board>,
    /// What stops entries.
    pub breakers: VenueBreakers,
    /// Alerts that fire.
    pub firing: FiringNow,
}

/// What a kill switch stops.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum Killed {
    /// Everybody.
    Everybody,
    /// All who follow this wallet.
    Leader(Address),
    /// One account, by its number.
    Account(AccountId),
    /// One relationship.
    Relationship(RelationshipId),
}

/// What can be asked, and moved.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum OpsRequest {
    /// How everything does.
    Status,
    /// The runbook's questions, answered.
    Diagnose,
    /// How the breakers stand.
    Breakers,
    /// The alerts that fire, and those that are silenced.
    Alerts,
    /// The feature flags.
    Flags,
    /// Set a flag.
    SetFlag {
        /// Which.
        name: String,
        /// Of a hundred, so many are let through.
        percent: u8,
        /// Who says so.
        who: String,
        /// Why.
        reason: String,
    },
    /// Silence an alert for so long; no time at all ends a silence.
    Silence {
        /// Which.
        rule: String,
        /// For so many seconds.
        seconds: u64,
        /// Who says so.
        who: String,
        /// Why.
        reason: String,
    },
    /// Pull a kill switch: a hold, in force in every process once this is answered.
    Kill {
        /// What it stops.
        what: Killed,
        /// Whether exits stop, too.
        exits: bool,
        /// It ends by itself after so many seconds.
        seconds: Option<u64>,
        /// Who says so.
        who: String,
        /// Why.
        reason: String,
    },
    /// Override one, or take that back.
    Override {
        /// Which.
        name: String,
        /// What it is to do; `None` = what it sees.
        word: Option<Forced>,
        /// For so many seconds.
        seconds: u64,
        /// Who says so.
        who: String,
        /// Why.
        reason: String,
    },
}

/// Answers from what the process has seen.
///
/// # Errors
/// Where no process runs: nothing is known then. Also when there is no such breaker.
pub(crate) async fn answer(
    witnesses: &Witnesses,
    store: &dyn Store,
    clock: &dyn Clock,
    request: &OpsRequest,
) -> anyhow::Result<Answer> {
    match request {
        OpsRequest::Status => Ok(status(&desk(witnesses)?.board)),
        OpsRequest::Diagnose => Ok(diagnose(&desk(witnesses)?.board)),
        OpsRequest::Breakers => Ok(breakers(desk(witnesses)?, witnesses)),
        OpsRequest::Override { name, word, seconds, who, reason } => {
            let told = override_breaker(desk(witnesses)?, name, *word, *seconds)?;
            let kind = EventKind::Operated { what: format!("{told}, says {who}: {}", harmless(reason)) };
            store.tell(&Event { owner: None, at: clock.now(), kind }).await?;
            let json = json!({ "breaker": name, "override": word, "seconds": seconds });
            Ok(said(format!("{told}, in this process"), json))
        }
        OpsRequest::Alerts => alerts(desk(witnesses)?, words(witnesses)?, clock.now()).await,
        OpsRequest::Flags => flags(words(witnesses)?).await,
        OpsRequest::SetFlag { name, percent, who, reason } => {
            let (who, reason) = (who.clone(), harmless(reason));
            let flag = Flag { name: name.clone(), percent: *percent, at: clock.now(), who, reason };
            flags::check(&flag)?;
            words(witnesses)?.set_flag(&flag).await?;
            let text = format!("flag {name} lets {percent} % through, in every process within a second");
            Ok(said(text, serde_json::to_value(&flag)?))
        }
        OpsRequest::Silence { rule, seconds, who, reason } => {
            let (now, who) = (clock.now(), who.clone());
            let until = now.plus(Duration::from_secs(*seconds));
            let silence = Silence { rule: rule.clone(), until, who, reason: harmless(reason) };
            if *seconds > 0 {
                silence.check(now)?;
            }
            words(witnesses)?.silence(&silence, now).await?;
            let text = match seconds {
                0 => format!("alert {rule} is not silenced any more"),
                _ => format!("alert {rule} is silenced until {until}"),
            };
            Ok(said(text, serde_json::to_value(&silence)?))
        }
        OpsRequest::Kill { what, exits, seconds, who, reason } => {
            let why = format!("kill switch, says {who}: {}", harmless(reason));
            kill(store, clock, *what, (*exits, *seconds), why).await
        }
    }
}

fn said(text: String, json: serde_json::Value) -> Answer {
    Answer { text, json, ok: true }
}

fn desk(witnesses: &Witnesses) -> anyhow::Result<&OperationsDesk> {
    let none = "unknown: no process runs here, and only a running one looks at what it needs";
    witnesses.operations.as_ref().context(none)
}

fn words(witnesses: &Witnesses) -> anyhow::Result<&dyn OperatorWords> {
    let none = "the process that runs here keeps no words of operators";
    Ok(witnesses.words.as_ref().context(none)?.as_ref())
}

fn override_breaker(
    desk: &OperationsDesk,
    name: &str,
    word: Option<Forced>,
    seconds: u64,
) -> anyhow::Result<String> {
    desk.breakers.0.force(name, word.map(|word| (word, Duration::from_secs(seconds))))?;
    Ok(match word {
        Some(Forced::Open) => format!("breaker {name} is held open for {seconds} s"),
        Some(Forced::Closed) => format!("breaker {name} is held closed for {seconds} s"),
        None => format!("breaker {name} goes by what it sees again"),
    })
}

async fn alerts(desk: &OperationsDesk, words: &dyn OperatorWords, now: Timestamp) -> anyhow::Result<Answer> {
    let (firing, silences) = (desk.firing.all(), words.silences(now).await?);
    let mut text = String::new();
    for one in &firing {
        let tags = if one.tags.is_empty() { String::new() } else { format!(" ({})", harmless(&one.tags)) };
        let summary = RULES.iter().find(|rule| rule.name == one.rule).map_or("", |rule| rule.summary);
        let _ = writeln!(text, "{}{tags}: {summary} ({})", one.rule, one.value);
    }
    if firing.is_empty() {
        text.push_str("no alert fires\n");
    }
    for Silence { rule, until, who, reason } in &silences {
        let _ = writeln!(text, "silenced until {until}: {rule}, says {who}: {}", harmless(reason));
    }
    let ok = firing.is_empty();
    Ok(Answer { text, json: json!({ "firing": firing, "silences": silences }), ok })
}

async fn flags(words: &dyn OperatorWords) -> anyhow::Result<Answer> {
    let set = words.flags().await?;
    let mut text = String::new();
    for known in KNOWN {
        let flag = set.iter().find(|flag| flag.name == known.name);
        let _ = match flag {
            Some(Flag { percent, at, who, reason, .. }) => {
                writeln!(text, "{}: {percent} %, since {at}, says {who}: {}", known.name, harmless(reason))
            }
            None => writeln!(text, "{}: 100 %, nobody has said otherwise", known.name),
        };
        let _ = writeln!(text, "    {}", known.meaning);
    }
    Ok(said(text, json!({ "flags": set })))
}

async fn kill(
    store: &dyn Store,
    clock: &dyn Clock,
    what: Killed,
    (exits, seconds): (bool, Option<u64>),
    reason: String,
) -> anyhow::Result<Answer> {
    let scope = match what {
        Killed::Everybody => HoldScope::Installation,
        Killed::Account(id) => HoldScope::Account(id),
        Killed::Relationship(id) => HoldScope::Relationship(id),
        Killed::Leader(wallet) => {
            let leaders = store.leaders().await?;
            let leader = leaders.iter().find(|leader| leader.wallet == wallet);
            HoldScope::Leader(leader.with_context(|| format!("nobody has ever followed {wallet} here"))?.id)
        }
    };
    let now = clock.now();
    let expires_at = seconds.map(|seconds| now.plus(Duration::from_secs(seconds)));
    let cause = HoldCause::Operator;
    let hold = NewHold { scope, cause, reason, stops_exits: exits, sells: false, expires_at };
    let id = store.place_hold(None, &hold, now).await?;
    let stops = if exits { "nothing further is signed" } else { "no entry is signed, exits go on" };
    let ends = expires_at.map_or_else(|| "until it is lifted".to_owned(), |at| format!("until {at}"));
    let text = format!("hold {id}: {stops}, {ends}; `slipstream lift {id}` ends it");
    Ok(said(text, json!({ "hold": id, "scope": scope, "stops_exits": exits, "expires_at": expires_at })))
}

fn status(board: &Board) -> Answer {
    let report = board.report();
    let mut text = format!("{}\n", report.status.word());
    for check in &report.checks {
        for line in diagnosis::lines(check) {
            let _ = writeln!(text, "  {line}");
        }
    }
    Answer { text, json: report.document(Detail::Everything), ok: report.status != Status::Fail }
}

fn diagnose(board: &Board) -> Answer {
    let findings = diagnosis::diagnose(&board.report());
    let mut text = String::new();
    for finding in &findings {
        let Finding { issue, status, answers, caused_by } = finding;
        let _ = writeln!(text, "{}: {}", issue.title(), status.word());
        for line in answers {
            let _ = writeln!(text, "    {line}");
        }
        if let Some(cause) = caused_by {
            let _ = writeln!(text, "  likely cause: {}", cause.title());
        }
        if *status >= Status::Warn {
            let _ = writeln!(text, "  what to do: {}", issue.remedy());
        }
    }
    let ok = findings.iter().all(|finding| finding.status != Status::Fail);
    let json = serde_json::to_value(&findings).unwrap_or_default();
    Answer { text, json, ok }
}

fn breakers(desk: &OperationsDesk, witnesses: &Witnesses) -> Answer {
    let views = desk.breakers.0.views();
    let mut text = String::new();
    for (name, view) in &views {
        let _ = writeln!(text, "{name}: {}", how_it_stands(view));
    }
    let providers = witnesses.providers.as_ref().map(|providers| providers.health()).unwrap_or_default();
    for one in &providers {
        let how = one.trouble.as_deref().map_or_else(|| "closed".to_owned(), harmless);
        let _ =
            writeln!(text, "polygon_rpc/{}: {how}; {} of {} calls failed", one.name, one.failures, one.calls);
    }
    let rows: Vec<_> = views.iter().map(|(name, view)| json!({ "name": name, "breaker": view })).collect();
    let providers: Vec<_> =
        providers.iter().map(|one| json!({ "name": one.name, "trouble": one.trouble })).collect();
    Answer { text, json: json!({ "breakers": rows, "providers": providers }), ok: true }
}

fn how_it_stands(view: &View) -> String {
    let state = view.state.word().replace('_', " ");
    let forced = match view.forced {
        Some((Forced::Open, left)) => format!(" (held open by an operator for {left} s more)"),
        Some((Forced::Closed, left)) => format!(" (held closed by an operator for {left} s more)"),
        None => String::new(),
    };
    let left = match view.opens_in_ms {
        0 => String::new(),
        left => format!(", tries again in {:.1} s", Duration::from_millis(left).as_secs_f64()),
    };
    format!(
        "{state}{forced}{left}; {} of {} calls bad in 10 s; opened {} times",
        view.bad, view.calls, view.opened
    )
}
