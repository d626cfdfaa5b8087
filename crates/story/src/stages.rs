//! When an order passed its stages, and how long each took.

use domain::Timestamp;
use engine::ports::execution::OrderRecord;
use serde::Serialize;

/// A stage of a copy.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize)]
#[serde(rename_all = "snake_case")]
pub enum Stage {
    /// The leader traded.
    Traded,
    /// We saw it.
    Seen,
    /// It was decided.
    Decided,
    /// It was signed and committed.
    Signed,
    /// The first byte went to the venue.
    Sent,
    /// The first reply of the venue came.
    Replied,
    /// First seen filled in a block.
    Mined,
    /// First seen final.
    Confirmed,
}

impl Stage {
    /// A word for people.
    #[must_use]
    pub const fn label(self) -> &'static str {
        match self {
            Self::Traded => "traded",
            Self::Seen => "seen",
            Self::Decided => "decided",
            Self::Signed => "signed",
            Self::Sent => "sent",
            Self::Replied => "replied",
            Self::Mined => "mined",
            Self::Confirmed => "confirmed",
        }
    }
}

/// One stage of one order.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize)]
pub struct StageLine {
    /// Which.
    pub stage: Stage,
    /// When; `None` when it was not passed (yet).
    pub at: Option<Timestamp>,
    /// Microseconds since the last stage before it that was passed. Negative when two clocks disagree.
    pub delay_us: Option<i64>,
}

/// All stages of an order, in their order.
#[must_use]
pub fn stages(record: &OrderRecord) -> Vec<StageLine> {
    let intent = &record.intent;
    let times = [
        (Stage::Traded, Some(intent.traded_at)),
        (Stage::Seen, Some(intent.seen_at)),
        (Stage::Decided, Some(intent.decided_at)),
        (Stage::Signed, Some(record.signed_at)),
        (Stage::Sent, record.times.sent),
        (Stage::Replied, record.times.replied),
        (Stage::Mined, record.times.mined),
        (Stage::Confirmed, record.times.confirmed),
    ];
    let mut last: Option<Timestamp> = None;
    let line = |(stage, at): (Stage, Option<Timestamp>)| {
        let delay_us = at.zip(last).map(|(at, before)| at.0.saturating_sub(before.0));
        last = at.or(last);
        StageLine { stage, at, delay_us }
    };
    times.into_iter().map(line).collect()
}
