//! The report at the end of a demo: what was seen, decided, traded, what it cost, and whether every
//! invariant holds. Gathered once, from what is stored and from the simulator's books.

mod checks;
mod text;

#[cfg(test)]
mod tests;

use std::{collections::BTreeMap, sync::PoisonError};

use domain::{Address, Side, Timestamp};
use serde::Serialize;

pub use checks::{CheckLine, Failed};

use super::{
    Demo, DemoParts, Options,
    figures::{self, FollowerLine, StageLatency},
    picture::{Broken, Picture},
    player::Played,
    tape::{LeftOut, Provenance},
};
use crate::{
    copying_cost::{self, CopyingCost},
    secrets::InstallationSecret,
};

/// Everything a demo came to. Money and shares are in millionths, times in microseconds.
#[derive(Clone, Debug, Serialize)]
pub struct Report {
    /// When it was made.
    pub at: Timestamp,
    /// How long the demo took.
    pub elapsed_us: i64,
    /// How many times faster than recorded the tape was played.
    pub speed: u32,
    /// The wallet that was followed instead of a tape.
    pub leader: Option<Address>,
    /// What people should know about the whole run.
    pub notice: Option<String>,
    /// Events of the tape.
    pub tape: TapeLine,
    /// Leaders' transactions played.
    pub transactions: usize,
    /// Trade parts seen.
    pub seen: usize,
    /// Decisions to copy.
    pub copied: usize,
    /// Decisions not to, the most frequent reason first.
    pub skipped: Vec<SkipLine>,
    /// Orders by state.
    pub orders: BTreeMap<&'static str, usize>,
    /// Every follower.
    pub followers: Vec<FollowerLine>,
    /// All together.
    pub total: FollowerLine,
    /// Cost of copying entries.
    pub buys: CopyingCost,
    /// Cost of copying exits.
    pub sells: CopyingCost,
    /// Time between stages.
    pub latency: Vec<StageLatency>,
    /// What was broken on purpose.
    pub broken: Vec<Broken>,
    /// The invariants.
    pub checks: Vec<CheckLine>,
    /// Whether all of them hold.
    pub holds: bool,
}

/// What was played, by provenance.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize)]
pub struct TapeLine {
    /// Events that happened.
    pub recorded: u64,
    /// Events that follow from what happened.
    pub derived: u64,
    /// Events that were made up.
    pub synthetic: u64,
    /// Rows of a Data API file that cannot be played, by reason.
    pub left_out: BTreeMap<LeftOut, u64>,
    /// Milliseconds of tape played.
    pub position_ms: u64,
    /// Milliseconds of tape in all.
    pub length_ms: u64,
}

/// A reason not to copy.
#[derive(Clone, Debug, PartialEq, Eq, Serialize)]
pub struct SkipLine {
    /// The reason.
    pub reason: &'static str,
    /// Decisions.
    pub decisions: usize,
    /// The newest of them, with its numbers.
    pub example: String,
}

impl Report {
    /// Gathers the report of a demo that has ended; `settled` as [`Demo::run`] returned it, `options` as it
    /// was started with.
    ///
    /// # Errors
    /// When the store or the simulator cannot be read.
    pub async fn gather(demo: &Demo, settled: bool, options: &Options) -> anyhow::Result<Self> {
        let salts = &InstallationSecret::of_seed(options.seed);
        let DemoParts { collector, control, store, chain, played } = demo.parts();
        let played = played.lock().unwrap_or_else(PoisonError::into_inner).clone();
        let live = collector.picture().following.is_some();
        let witnesses = checks::Witnesses { control, chain: (!live).then_some(chain), salts };
        let checks = checks::run(collector.picture(), &played, store, &witnesses, settled).await?;
        let orders = collector.orders();
        let report = Self {
            speed: if live { 1 } else { options.speed },
            buys: copying_cost::over(Side::Buy, orders.iter().copied())?,
            sells: copying_cost::over(Side::Sell, orders.iter().copied())?,
            ..Self::of(collector.picture(), &played, checks)?
        };
        Ok(report)
    }

    fn of(picture: &Picture, played: &Played, checks: Vec<CheckLine>) -> anyhow::Result<Self> {
        let events = |provenance| played.events.get(&provenance).copied().unwrap_or(0);
        let skip_line = |(reason, decisions): (&&'static str, &usize)| SkipLine {
            reason,
            decisions: *decisions,
            example: picture.examples.get(reason).cloned().unwrap_or_default(),
        };
        let mut skipped: Vec<SkipLine> = picture.skipped.iter().map(skip_line).collect();
        skipped.sort_by_key(|line| std::cmp::Reverse(line.decisions));
        Ok(Self {
            at: picture.at,
            elapsed_us: i64::try_from(picture.elapsed.as_micros()).unwrap_or(i64::MAX),
            speed: 1,
            leader: picture.following.as_ref().map(|following| following.leader),
            notice: picture.notice.clone(),
            tape: TapeLine {
                recorded: events(Provenance::Recorded),
                derived: events(Provenance::Derived),
                synthetic: events(Provenance::Synthetic),
                left_out: played.left_out.clone(),
                position_ms: played.position,
                length_ms: played.length,
            },
            transactions: played.transactions.len(),
            seen: picture.seen,
            copied: picture.copied,
            skipped,
            orders: picture.orders.clone(),
            followers: picture.followers.clone(),
            total: figures::total(&picture.followers)?,
            buys: CopyingCost::default(),
            sells: CopyingCost::default(),
            latency: picture.latency.clone(),
            broken: picture.broken.clone(),
            holds: checks.iter().all(CheckLine::holds),
            checks,
        })
    }

    /// The first invariant that does not hold.
    #[must_use]
    pub fn first_failed(&self) -> Option<&CheckLine> {
        self.checks.iter().find(|check| !check.holds())
    }
}
