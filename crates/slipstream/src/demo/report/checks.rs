//! The invariants of a demo, each compared with somebody else's books.

use std::collections::{BTreeMap, BTreeSet};

use domain::{
    Shares,
    ids::{LeaderId, RelationshipId},
    trade::{GroupKey, TradeGroup},
};
use eip712::Chain;
use engine::{
    ports::{
        following::RelationshipStatus,
        reports::DecisionRecord,
        store::{Store, StoreResult},
        venue::ChainReader,
    },
    salt::Salts,
};
use serde::Serialize;

use super::super::{books::Books, control::Control, picture::Picture, player::Played};
use crate::{
    verify::{self, Check, Outcome, VerifyOptions, VerifyReport},
    wording,
};

/// One invariant.
#[derive(Clone, Debug, PartialEq, Eq, Serialize)]
pub struct CheckLine {
    /// What must hold.
    pub name: &'static str,
    /// How many things were looked at, in words.
    pub basis: String,
    /// What does not hold, if anything.
    pub failed: Option<Failed>,
}

/// A broken invariant.
#[derive(Clone, Debug, PartialEq, Eq, Serialize)]
pub struct Failed {
    /// How many things break it.
    pub count: u64,
    /// The first of them, explained.
    pub first: String,
}

impl CheckLine {
    /// Whether it holds.
    #[must_use]
    pub const fn holds(&self) -> bool {
        self.failed.is_none()
    }

    fn new(name: &'static str, basis: String, count: usize, first: impl FnOnce() -> String) -> Self {
        let count = u64::try_from(count).unwrap_or(u64::MAX);
        let failed = (count > 0).then(|| Failed { count, first: first() });
        Self { name, basis, failed }
    }
}

/// Whom our books are held against.
pub(super) struct Witnesses<'a> {
    pub(super) control: &'a Control,
    /// The chain, where the engine reads one.
    pub(super) chain: Option<&'a dyn ChainReader>,
    pub(super) salts: &'a dyn Salts,
}

/// Checks everything.
pub(super) async fn run(
    picture: &Picture,
    played: &Played,
    store: &dyn Store,
    witnesses: &Witnesses<'_>,
    settled: bool,
) -> anyhow::Result<Vec<CheckLine>> {
    let Witnesses { control, chain, salts } = *witnesses;
    let ids = verify::Eip712Ids { chain: Chain::Polygon };
    let books = Books::new(control.clone());
    let books = if chain.is_some() { books } else { books.without_fees() };
    let options =
        VerifyOptions { venue: Some(&books), chain, salts: Some(salts), ..VerifyOptions::default() };
    let verified = verify::verify(store, &ids, options).await?;
    let verdict = control.verdict().await?;
    let sound = usize::from(!verdict.sound).max(verdict.violations.len());
    let mut checks = of_picture(picture, settled);
    let trades =
        if picture.following.is_some() { seen(store).await? } else { on_tape(played, store).await? };
    checks.push(answered(trades, store).await?);
    checks.push(of_verified("booked fills equal the venue's, none unknown", &verified, AGAINST_VENUE));
    if asked(&verified, Check::Chain) {
        checks.push(of_verified("booked fills equal the chain's logs", &verified, &[Check::Chain]));
    }
    checks.push(CheckLine::new("the venue's own books are sound", String::new(), sound, || {
        verdict.violations.first().cloned().unwrap_or_else(|| "it does not say why".to_owned())
    }));
    let others: Vec<Check> = Check::ALL.into_iter().filter(|check| !elsewhere(*check)).collect();
    checks.push(of_verified("decisions, order ids and sums recomputed", &verified, &others));
    Ok(checks)
}

pub(super) fn of_picture(picture: &Picture, settled: bool) -> Vec<CheckLine> {
    let orders: usize = picture.orders.values().sum();
    vec![
        CheckLine::new(
            "everything is settled",
            wording::count(orders, "order"),
            usize::from(!settled),
            || {
                if picture.unsettled > 0 {
                    format!("{} of {orders} orders are not; see inspect order", picture.unsettled)
                } else {
                    "what was played was not all read and decided in time; see `slipstream sources` and the log".to_owned()
                }
            },
        ),
        CheckLine::new("0 lost", wording::count(picture.played_trades, "transaction"), picture.lost, || {
            "no decision for a leader's transaction, or a copy that nobody carries out; see verify".to_owned()
        }),
        CheckLine::new("0 doubled", wording::count(orders, "order"), picture.doubled, || {
            "the venue executed more than was decided".to_owned()
        }),
    ]
}

/// Leaders' trades that were played, with their shares.
async fn on_tape(played: &Played, store: &dyn Store) -> StoreResult<BTreeMap<GroupKey, Shares>> {
    let leaders: BTreeMap<_, _> =
        store.leaders().await?.into_iter().map(|leader| (leader.wallet, leader.id)).collect();
    let mut groups: BTreeMap<GroupKey, Shares> = BTreeMap::new();
    for (tx, fill) in &played.fills {
        let Some(leader) = leaders.get(&fill.wallet) else { continue };
        let key = GroupKey { leader: *leader, tx: *tx, token: fill.token, action: fill.side.into() };
        let shares = groups.entry(key).or_default();
        *shares = [*shares, fill.shares].into_iter().sum();
    }
    Ok(groups)
}

/// The newest trades that were seen of a wallet that nobody but itself knows everything of.
async fn seen(store: &dyn Store) -> StoreResult<BTreeMap<GroupKey, Shares>> {
    let groups = store.newest_groups(SEEN).await?;
    Ok(groups.into_iter().map(|group| (group.key, group.quantity().shares)).collect())
}

/// Every trade is stored with its whole quantity and has a decision of every follower.
pub(super) async fn answered(
    groups: BTreeMap<GroupKey, Shares>,
    store: &dyn Store,
) -> StoreResult<CheckLine> {
    let mut followers: BTreeMap<LeaderId, BTreeSet<RelationshipId>> = BTreeMap::new();
    for relationship in store.relationships(None).await? {
        if relationship.status != RelationshipStatus::Stopped {
            followers.entry(relationship.leader).or_default().insert(relationship.id);
        }
    }
    let mut wrong = Vec::new();
    let mut answers = 0_i64;
    for (key, shares) in &groups {
        let group = store.group_with_fills(*key).await?.map(|(group, _)| group);
        let decisions = store.decisions_of(None, *key).await?;
        let summed: BTreeMap<u32, i64> = store.summed_skips_of(*key).await?.into_iter().collect();
        answers += i64::try_from(decisions.len()).unwrap_or(i64::MAX) + summed.values().sum::<i64>();
        let expected = followers.get(&key.leader).cloned().unwrap_or_default();
        let asked = parts_for_all(store, group).await?;
        let answers = Answers { decisions: &decisions, summed: &summed };
        wrong.extend(unanswered(group, *shares, &answers, &expected, &asked).map(|what| (key, what)));
    }
    let answers = usize::try_from(answers).unwrap_or(usize::MAX);
    let basis = format!("{}, {}", wording::count(groups.len(), "trade"), wording::count(answers, "answer"));
    Ok(CheckLine::new("every leader's trade is answered for every follower", basis, wrong.len(), || {
        wrong.first().map_or_else(String::new, |(key, what)| {
            format!("{} of {} in {}: {what}", key.action, wording::fit(&key.token.to_string(), 11), key.tx)
        })
    }))
}

/// Parts of a group that every follower gets an answer to.
async fn parts_for_all(store: &dyn Store, group: Option<TradeGroup>) -> StoreResult<Vec<u32>> {
    let mut asked = vec![0];
    let Some(group) = group else { return Ok(asked) };
    for number in 1..group.parts {
        let part = store.part(group.key, number).await?;
        asked.extend(part.filter(|stored| stored.part.kind.asks_everybody()).map(|_| number));
    }
    Ok(asked)
}

/// The answers to a group.
pub(super) struct Answers<'a> {
    pub(super) decisions: &'a [DecisionRecord],
    /// Old skips by part, of which only their number is left.
    pub(super) summed: &'a BTreeMap<u32, i64>,
}

/// What is wrong with the answers to a group, if anything.
pub(super) fn unanswered(
    group: Option<TradeGroup>,
    played: Shares,
    answers: &Answers<'_>,
    expected: &BTreeSet<RelationshipId>,
    asked: &[u32],
) -> Option<String> {
    let Some(group) = group else { return Some("never seen".to_owned()) };
    let seen = group.quantity().shares;
    if seen != played {
        return Some(format!("{seen} of {played} shares seen"));
    }
    for part in asked {
        let answered: BTreeSet<_> = answers
            .decisions
            .iter()
            .filter(|decision| decision.part == *part)
            .map(|decision| decision.relationship)
            .collect();
        let missing: Vec<_> = expected.difference(&answered).collect();
        let summed = answers.summed.get(part).map_or(0, |skips| usize::try_from(*skips).unwrap_or(0));
        let lacking = missing.len().saturating_sub(summed);
        if let Some(first) = missing.first().filter(|_| lacking > 0) {
            let first = match summed {
                0 => format!("the first of relationship {first}"),
                _ => format!("one of them perhaps of relationship {first}: {summed} old skips are summed"),
            };
            return Some(format!("part {part} lacks {lacking} answers, {first}"));
        }
    }
    None
}

/// Trades of a followed wallet that are looked at.
const SEEN: usize = 1_000;

/// Checks of `verify` that compare with the venue, in both directions.
const AGAINST_VENUE: &[Check] = &[Check::Venue, Check::Strangers];

/// Whether a check compares with somebody else's books.
fn elsewhere(check: Check) -> bool {
    check == Check::Chain || AGAINST_VENUE.contains(&check)
}

fn asked(verified: &VerifyReport, check: Check) -> bool {
    verified.checks.iter().any(|result| result.check == check && result.outcome != Outcome::NotAsked)
}

fn of_verified(name: &'static str, verified: &VerifyReport, ours: &[Check]) -> CheckLine {
    let results = || verified.checks.iter().filter(|result| ours.contains(&result.check));
    let compared: u64 = results().map(|result| result.compared).sum();
    let bad: Vec<_> =
        results().filter(|result| matches!(result.outcome, Outcome::Differs | Outcome::Unknown)).collect();
    let basis = format!("{} compared", wording::grouped(compared));
    let mut line = CheckLine::new(name, basis, bad.len(), || {
        let first = verified.first.as_ref().filter(|first| bad.iter().any(|bad| bad.check == first.check));
        first.map_or_else(|| bad.first().map(|bad| bad.to_string()).unwrap_or_default(), ToString::to_string)
    });
    if let Some(failed) = &mut line.failed {
        failed.count = bad.iter().map(|bad| bad.differences).sum::<u64>().max(failed.count);
    }
    line
}
