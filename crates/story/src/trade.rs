//! A leader's trade: what the sources say, its parts, and what it came to for every follower.

use std::collections::BTreeMap;

use domain::{
    Address, Shares, Timestamp,
    ids::OwnerId,
    trade::{PartKind, Quantity, TradeGroup},
};
use engine::ports::reports::Reports;
use serde::Serialize;

use super::{Answer, AnswerLine, MarketName, StoryError, answers, trade_text};

/// The groups of one transaction.
#[derive(Clone, Debug, PartialEq, Eq, Serialize)]
pub struct TradeStory {
    /// One for each leader, token and side.
    pub groups: Vec<GroupStory>,
    /// Whether every follower is listed in the text, as for one owner.
    #[serde(skip)]
    pub all_lines: bool,
}

/// One group.
#[derive(Clone, Debug, PartialEq, Eq, Serialize)]
pub struct GroupStory {
    /// The group as stored: quantities by source, what was decided, its state.
    pub group: TradeGroup,
    /// The leader's wallet.
    pub leader: Option<Address>,
    /// The market.
    pub market: Option<MarketName>,
    /// Canonical chain logs it is summed from.
    pub fills: usize,
    /// Its parts.
    pub parts: Vec<PartLine>,
    /// Decisions that copy.
    pub copied: usize,
    /// Decisions that do not, by reason.
    pub skipped: BTreeMap<&'static str, usize>,
    /// Old skips of all followers, which are kept as sums only; none for an owner, who sees his own decisions.
    pub summed: i64,
    /// Every decision with what came of it.
    pub answers: Vec<AnswerLine>,
}

/// One part.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize)]
pub struct PartLine {
    /// Its number.
    pub number: u32,
    /// Shares it added.
    pub added: Shares,
    /// What it is.
    pub kind: PartKind,
    /// When it was seen.
    pub seen_at: Timestamp,
    /// The group's quantity it was decided from.
    pub whole: Quantity,
    /// Whether every follower has a decision.
    pub complete: bool,
}

/// The story of the groups that were found ([`super::find_trade`]), with the decisions that `owner` may
/// see.
///
/// # Errors
/// Store errors, and amounts beyond computing.
pub async fn trade_story(
    reports: &dyn Reports,
    owner: Option<OwnerId>,
    groups: &[TradeGroup],
) -> Result<TradeStory, StoryError> {
    let mut stories = Vec::with_capacity(groups.len());
    for group in groups {
        stories.push(group_story(reports, owner, *group).await?);
    }
    Ok(TradeStory { groups: stories, all_lines: owner.is_some() })
}

async fn group_story(
    reports: &dyn Reports,
    owner: Option<OwnerId>,
    group: TradeGroup,
) -> Result<GroupStory, StoryError> {
    let leaders = reports.leaders().await?;
    let fills = reports.group_with_fills(group.key).await?.map_or(0, |(_, fills)| fills.len());
    let mut market = None;
    let mut parts = Vec::new();
    for number in 0..group.parts {
        let Some(stored) = reports.part(group.key, number).await? else { continue };
        market = stored.snapshot.market.as_ref().map(MarketName::of).or(market);
        parts.push(PartLine {
            number,
            added: stored.part.added,
            kind: stored.part.kind,
            seen_at: stored.seen_at,
            whole: stored.snapshot.whole,
            complete: stored.complete,
        });
    }
    let answers = answers(reports, &reports.decisions_of(owner, group.key).await?).await?;
    let mut skipped = BTreeMap::new();
    let mut copied = 0;
    for line in &answers {
        match &line.answer {
            Answer::Skipped { reason, .. } => *skipped.entry(reason.label()).or_default() += 1,
            Answer::Copied { .. } => copied += 1,
        }
    }
    let summed = match owner {
        None => reports.summed_skips_of(group.key).await?.into_iter().map(|(_, skips)| skips).sum(),
        Some(_) => 0,
    };
    Ok(GroupStory {
        leader: leaders.iter().find(|leader| leader.id == group.key.leader).map(|leader| leader.wallet),
        group,
        market,
        fills,
        parts,
        copied,
        skipped,
        summed,
        answers,
    })
}

impl TradeStory {
    /// As text of at most 100 columns.
    #[must_use]
    pub fn render(&self, style: crate::screen::Style) -> String {
        trade_text::render(self, style)
    }
}
