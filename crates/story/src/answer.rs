//! What a decision came to for one follower.

use std::collections::HashMap;

use domain::{
    OrderId, Price, Rounding, Side, Timestamp, Usd,
    decide::{CopyOrder, Verdict},
    ids::{IntentId, RelationshipId},
    lifecycle::OrderState,
    money::MoneyError,
    skip::SkipReason,
    trade::{Action, GroupKey},
};
use engine::{
    orders::booked_so_far,
    ports::{
        execution::{EndReason, OrderRecord, Why},
        reports::{DecisionRecord, Reports},
        store::StoreResult,
    },
};
use serde::Serialize;

use super::{
    StoryError,
    stages::{StageLine, stages},
};
use crate::{
    copying_cost::{self, CopyingCost},
    wording::{self, dollars, price, span},
};

/// Rows asked for at once.
const PAGE: usize = 500;

/// A decision and what came of it.
#[derive(Clone, Debug, PartialEq, Eq, Serialize)]
pub struct AnswerLine {
    /// The decision's number.
    pub decision: i64,
    /// When it was decided.
    pub at: Timestamp,
    /// For whom.
    pub relationship: RelationshipId,
    /// On which trade.
    pub trade: GroupKey,
    /// On which part.
    pub part: u32,
    /// What.
    pub answer: Answer,
}

/// A copy with its orders, or a reason.
#[derive(Clone, Debug, PartialEq, Eq, Serialize)]
#[serde(tag = "answer", rename_all = "snake_case")]
pub enum Answer {
    /// Not copied.
    Skipped {
        /// Why.
        reason: SkipReason,
        /// Why, in words.
        words: String,
    },
    /// Copied.
    Copied {
        /// What was decided.
        decided: CopyOrder,
        /// Its orders, by attempt; none while it waits.
        orders: Vec<CopiedOrder>,
        /// Why it ended without an order.
        ended: Option<EndReason>,
        /// What it is for, as far as its orders tell.
        why: Option<Why>,
    },
}

/// An order of a copy against the leader's trade.
#[derive(Clone, Debug, PartialEq, Eq, Serialize)]
pub struct CopiedOrder {
    /// The order.
    pub id: OrderId,
    /// Where it is.
    pub state: OrderState,
    /// Our average price; `None` without a fill.
    pub price: Option<Price>,
    /// The leader's average price; zero for a merge, which has none.
    pub leader_price: Price,
    /// Shares, dollars and fees booked, and the cost of copying: for a buy, our dollars less the leader's
    /// price times our shares (rounded down); for a sale, the other way round; plus our fees. Our price
    /// is the booked dollars, not the limit. Negative when we got the better price.
    pub cost: CopyingCost,
    /// When it passed its stages.
    pub stages: Vec<StageLine>,
}

impl CopiedOrder {
    /// From an order as stored.
    ///
    /// # Errors
    /// [`MoneyError::Overflow`].
    pub fn of(record: &OrderRecord) -> Result<Self, MoneyError> {
        let filled = booked_so_far(record.intent.side, record.booked)?.quantity;
        // Against ourselves: what we paid is rounded up, what we got down.
        let rounding = if record.intent.side == Side::Buy { Rounding::Up } else { Rounding::Down };
        Ok(Self {
            id: record.order.id,
            state: record.state,
            price: Price::of(filled.usd, filled.shares, rounding),
            leader_price: record.intent.leader_price,
            cost: copying_cost::over(record.intent.side, std::iter::once(record))?,
            stages: stages(record),
        })
    }

    /// What the price alone cost: the cost of copying without fees.
    ///
    /// # Errors
    /// [`MoneyError::Overflow`].
    pub fn price_difference(&self) -> Result<Usd, MoneyError> {
        self.cost.cost.minus(self.cost.fees)
    }

    /// The stages that were passed with their delays, in one line.
    pub(super) fn delays(&self) -> String {
        let passed = self.stages.iter().filter_map(|line| Some((line.stage, line.delay_us?)));
        let words =
            passed.map(|(stage, delay)| format!("{} {}", stage.label(), span(delay).replace(' ', "")));
        words.collect::<Vec<_>>().join(", ")
    }
}

impl Answer {
    /// A sentence for a table, with what it was for if that was not to follow a trade.
    #[must_use]
    pub fn sentence(&self) -> String {
        match self {
            Self::Copied { why: Some(Why::Target { .. }), .. } => format!("sync: {}", self.outcome()),
            Self::Copied { why: Some(Why::Panic), .. } => format!("panic: {}", self.outcome()),
            _ => self.outcome(),
        }
    }

    fn outcome(&self) -> String {
        match self {
            Self::Skipped { reason, words } if reason.label() == words => words.clone(),
            Self::Skipped { reason, words } => format!("{}: {words}{}", reason.label(), afterwards(*reason)),
            Self::Copied { ended: Some(reason), .. } => format!("not sent: {}", end_words(*reason)),
            Self::Copied { orders, decided, .. } => match orders.last() {
                None => format!("{} at {}, not signed yet", amount(decided), price(decided.limit)),
                Some(order) => match order.price {
                    Some(ours) => format!(
                        "{} at {} (leader {})",
                        wording::shares(order.cost.shares),
                        price(ours),
                        wording::leader_price(order.leader_price)
                    ),
                    None if order.state == OrderState::Missed => {
                        format!("{} at {}, not taken in time", amount(decided), price(decided.limit))
                    }
                    None => format!("{} at {}, nothing filled", amount(decided), price(decided.limit)),
                },
            },
        }
    }

    /// What we do, or what the leader did where we do nothing.
    #[must_use]
    pub fn action(&self, leader: Action) -> String {
        match self {
            Self::Copied { decided, .. } => decided.side.to_string(),
            Self::Skipped { .. } => leader.to_string(),
        }
    }

    /// One word.
    #[must_use]
    pub fn word(&self) -> &'static str {
        match self {
            Self::Skipped { .. } => "skipped",
            Self::Copied { ended: Some(_), .. } => "ended",
            Self::Copied { orders, .. } => orders.last().map_or("waiting", |order| order.state.label()),
        }
    }
}

/// What becomes of what was skipped, where that is not plain.
const fn afterwards(reason: SkipReason) -> &'static str {
    match reason {
        SkipReason::SellBelowMinimum { .. } => "; they go with the leader's next sale",
        _ => "",
    }
}

/// The bound of a copy with its unit.
#[must_use]
pub fn amount(decided: &CopyOrder) -> String {
    match decided.side {
        Side::Buy => format!("{} $", dollars(Usd(decided.amount))),
        Side::Sell => format!("{} shares", wording::shares(domain::Shares(decided.amount))),
    }
}

/// Why an intent ended without an order.
#[must_use]
pub const fn end_words(reason: EndReason) -> &'static str {
    match reason {
        EndReason::TooOld => "too old when its turn came",
        EndReason::Blocked => "paused, stopped or on hold when its turn came",
        EndReason::Unbuildable => "the order could not be built (the market changed or a minimum)",
        EndReason::Done => "nothing more to do",
        EndReason::Unsigned => {
            "not signed: the account is not armed, or a cap would be passed (the log says which)"
        }
        EndReason::GivenUp => "an operator gave it up",
    }
}

/// What decisions came to, in their order.
///
/// # Errors
/// Store errors, and amounts beyond computing.
pub async fn answers(
    reports: &dyn Reports,
    decisions: &[DecisionRecord],
) -> Result<Vec<AnswerLine>, StoryError> {
    let mut lines = Vec::with_capacity(decisions.len());
    for page in decisions.chunks(PAGE) {
        let (orders, ends) = outcomes(reports, page).await?;
        for record in page {
            let answer = match record.verdict {
                Verdict::Skip(reason) => Answer::Skipped { reason, words: reason.to_string() },
                Verdict::Copy(decided) => {
                    let of_intent = record.intent.and_then(|intent| orders.get(&intent));
                    let orders = of_intent.into_iter().flatten().map(CopiedOrder::of);
                    let orders = orders.collect::<Result<Vec<_>, _>>()?;
                    let ended = record.intent.and_then(|intent| ends.get(&intent)).copied();
                    let why = of_intent.and_then(|orders| orders.first()).map(|order| order.intent.cause.why);
                    Answer::Copied { decided, ended: ended.filter(|_| orders.is_empty()), orders, why }
                }
            };
            lines.push(AnswerLine {
                decision: record.id,
                at: record.decided_at,
                relationship: record.relationship,
                trade: record.key,
                part: record.part,
                answer,
            });
        }
    }
    Ok(lines)
}

type Outcomes = (HashMap<IntentId, Vec<OrderRecord>>, HashMap<IntentId, EndReason>);

async fn outcomes(reports: &dyn Reports, page: &[DecisionRecord]) -> StoreResult<Outcomes> {
    let intents: Vec<IntentId> = page.iter().filter_map(|record| record.intent).collect();
    let mut orders: HashMap<IntentId, Vec<OrderRecord>> = HashMap::new();
    for record in reports.attempts_of(&intents).await? {
        orders.entry(record.intent.id).or_default().push(record);
    }
    let ends = reports.ends_of(&intents).await?;
    Ok((orders, ends.into_iter().map(|end| (end.intent, end.reason)).collect()))
}
