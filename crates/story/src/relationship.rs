//! A relationship's story: its policy, what holds it, what it holds, and its last decisions.

use std::collections::{BTreeMap, HashMap};

use domain::{
    Address, Price, Timestamp, TokenId,
    ids::{AccountId, OwnerId, RelationshipId},
    skip::SkipReason,
};
use engine::ports::{
    following::{AccountMode, Hold, HoldScope, Relationship, RelationshipStatus},
    reports::SkipSumKey,
    store::Store,
};
use serde::Serialize;

use super::{
    AnswerLine, PositionLine, StoryError, answers, policy_words, relationship_text,
    tables::{market_names, position_lines},
};
use crate::wording::NONE;

/// Decisions shown.
const SHOWN: usize = 10;
/// Decisions of the owner that are looked through for them.
const LOOKED_THROUGH: usize = 2_000;

/// Sums of old skips read at once.
const SUMS: usize = 500;

/// Prices of tokens, where they are known.
pub type Prices = HashMap<TokenId, Price>;

/// Everything about one relationship.
#[derive(Clone, Debug, PartialEq, Eq, Serialize)]
pub struct RelationshipStory {
    /// Which.
    pub relationship: RelationshipId,
    /// Whose.
    pub owner: OwnerId,
    /// The account.
    pub account: AccountId,
    /// Its name.
    pub account_label: Option<String>,
    /// Paper or live.
    pub mode: Option<AccountMode>,
    /// The leader's wallet.
    pub leader: Option<Address>,
    /// The user's word.
    pub status: RelationshipStatus,
    /// Trades before this are not its business.
    pub since: Timestamp,
    /// Number of the policy in force.
    pub policy_version: i64,
    /// That policy in words.
    pub policy: Vec<String>,
    /// Holds in force on it, in words.
    pub holds: Vec<String>,
    /// What it holds or has held.
    pub positions: Vec<PositionLine>,
    /// Its newest decisions, newest first.
    pub decisions: Vec<AnswerLine>,
    /// Its old skips, which are kept as sums only, by reason.
    pub summed: BTreeMap<&'static str, i64>,
    /// How many of the owner's newest decisions those were looked for in; there may be older ones.
    pub looked_through: usize,
}

/// The story of a relationship that `owner` may see. `now` judges which holds are in force, `prices` value
/// positions where they are known.
///
/// # Errors
/// [`StoryError::Unknown`]; store errors; amounts beyond computing.
pub async fn relationship_story(
    store: &dyn Store,
    owner: Option<OwnerId>,
    id: RelationshipId,
    prices: &Prices,
    now: Timestamp,
) -> Result<RelationshipStory, StoryError> {
    let known = store.relationships(owner).await?;
    let found = known.into_iter().find(|relationship| relationship.id == id);
    let unknown = || StoryError::Unknown { what: "relationship", id: id.to_string() };
    let relationship = found.ok_or_else(unknown)?;
    let accounts = store.accounts(Some(relationship.owner)).await?;
    let account = accounts.into_iter().find(|account| account.trading.id == relationship.account);
    let leaders = store.leaders().await?;
    let holds = store.following(now).await?.holds;
    let mut records = store.positions(Some(relationship.owner)).await?;
    records.retain(|record| record.relationship == id);
    let markets = market_names(store, records.iter().map(|record| record.token)).await?;
    let mut decisions = store.newest_decisions(Some(relationship.owner), LOOKED_THROUGH).await?;
    let looked_through = decisions.len();
    decisions.retain(|decision| decision.relationship == id);
    decisions.truncate(SHOWN);
    Ok(RelationshipStory {
        relationship: id,
        owner: relationship.owner,
        account: relationship.account,
        account_label: account.as_ref().map(|account| crate::wording::harmless(&account.label)),
        mode: account.map(|account| account.mode),
        leader: leaders.iter().find(|leader| leader.id == relationship.leader).map(|leader| leader.wallet),
        status: relationship.status,
        since: relationship.since,
        policy_version: relationship.policy_version,
        policy: policy_words(&relationship.policy),
        holds: holds.iter().filter(|hold| concerns(hold, &relationship)).map(hold_words).collect(),
        positions: position_lines(&records, &markets, prices)?,
        decisions: answers(store, &decisions).await?,
        summed: summed(store, id).await?,
        looked_through,
    })
}

/// Old skips by reason, of all days.
async fn summed(store: &dyn Store, id: RelationshipId) -> Result<BTreeMap<&'static str, i64>, StoryError> {
    let mut summed: BTreeMap<&'static str, i64> = BTreeMap::new();
    let mut after = SkipSumKey { relationship: id.0, day: i64::MIN, reason: i64::MIN };
    loop {
        let mut page = store.skip_sums_after(None, after, SUMS).await?;
        let whole = page.len();
        page.retain(|sum| sum.key.relationship == id.0);
        for sum in &page {
            let skips = summed.entry(SkipReason::label_of(sum.key.reason).unwrap_or(NONE)).or_default();
            *skips = skips.saturating_add(sum.skips);
            after = sum.key;
        }
        if page.len() < whole || whole < SUMS {
            return Ok(summed);
        }
    }
}

impl RelationshipStory {
    /// As text of at most 100 columns.
    #[must_use]
    pub fn render(&self, style: crate::screen::Style) -> String {
        relationship_text::render(self, style)
    }
}

/// Whether a hold is about a relationship.
#[must_use]
pub fn concerns(hold: &Hold, relationship: &Relationship) -> bool {
    match hold.scope {
        HoldScope::Installation => true,
        HoldScope::Account(id) => id == relationship.account,
        HoldScope::Leader(id) => id == relationship.leader,
        HoldScope::Relationship(id) => id == relationship.id,
    }
}

/// A hold in words.
#[must_use]
pub fn hold_words(hold: &Hold) -> String {
    let scope = match hold.scope {
        HoldScope::Installation => "on everything".to_owned(),
        HoldScope::Account(id) => format!("on account {id}"),
        HoldScope::Leader(id) => format!("on leader {id}"),
        HoldScope::Relationship(id) => format!("on relationship {id}"),
    };
    let stops = match (hold.stops_exits, hold.sells) {
        (true, _) => "buys and exits",
        (false, true) => "buys and sells what is held",
        (false, false) => "buys",
    };
    let until = hold.expires_at.map_or_else(|| "until lifted".to_owned(), |end| format!("until {end}"));
    let reason = crate::wording::harmless(&hold.reason);
    format!("hold {} {scope} stops {stops} {until}: {reason}", hold.id)
}
