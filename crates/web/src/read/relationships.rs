//! Who copies whom with what, and what is held for a cause.

use domain::{
    Address, Timestamp, Usd,
    ids::{AccountId, HoldId, RelationshipId},
    policy::Policy,
};
use engine::ports::following::{AccountMode, Hold, HoldCause, RelationshipStatus};
use schemars::JsonSchema;
use serde::Serialize;
use story::{RelationshipStory, concerns, hold_words, policy_words, relationship_story, wording};

use super::{ActivityLine, Names, Position, Read, activity::lines, is_open, results::of_lines};
use crate::{Tenant, Web, limits::ROWS, problem::Problem};

/// A relationship with its figures. Amounts are millionths.
#[derive(Clone, Debug, Serialize, JsonSchema)]
pub(crate) struct RelationshipLine {
    /// Its number.
    #[schemars(with = "i64")]
    pub(crate) relationship: RelationshipId,
    /// The account's name.
    pub(crate) account: String,
    /// The leader's wallet.
    #[schemars(with = "Option<String>")]
    pub(crate) leader: Option<Address>,
    /// `active`, `paused` or `stopped`: the user's own word.
    pub(crate) status: &'static str,
    /// The policy in words, the most important first.
    pub(crate) policy: Vec<String>,
    /// Holds in force on it, in words.
    pub(crate) holds: Vec<String>,
    /// Since when it copies.
    #[schemars(with = "i64")]
    pub(crate) since: Timestamp,
    /// What its open positions cost.
    #[schemars(with = "i64")]
    pub(crate) at_risk: Usd,
    /// Profit of what was sold or redeemed, less all fees.
    #[schemars(with = "i64")]
    pub(crate) result: Usd,
    /// Positions that hold something.
    pub(crate) open: usize,
}

pub(crate) const fn status_word(status: RelationshipStatus) -> &'static str {
    match status {
        RelationshipStatus::Active => "active",
        RelationshipStatus::Paused => "paused",
        RelationshipStatus::Stopped => "stopped",
    }
}

/// All relationships, those that are stopped last.
pub(crate) async fn relationships(web: &Web, tenant: Tenant) -> Read<Vec<RelationshipLine>> {
    let store = web.store.as_ref();
    let names = Names::read(store, tenant).await?;
    let positions = store.positions(tenant.owner()).await?;
    let holds = store.following(web.clock.now()).await?.holds;
    let line = |one: &engine::ports::following::Relationship| {
        let own =
            || positions.iter().filter(|position| position.relationship == one.id).map(|held| held.position);
        let realised: Usd = own().map(|position| position.realised).sum();
        let fees: Usd = own().map(|position| position.fees).sum();
        Ok(RelationshipLine {
            relationship: one.id,
            account: names.account(one.account),
            leader: names.leader(one.leader),
            status: status_word(one.status),
            policy: policy_words(&one.policy),
            holds: holds.iter().filter(|hold| concerns(hold, one)).map(hold_words).collect(),
            since: one.since,
            at_risk: own().map(|position| position.cost).sum(),
            result: realised.minus(fees)?,
            open: own().filter(|position| is_open(position.shares)).count(),
        })
    };
    let mut all: Vec<RelationshipLine> = names.relationships.iter().map(line).collect::<Read<_>>()?;
    all.sort_by_key(|one| (one.status == "stopped", one.relationship));
    Ok(all)
}

/// One relationship.
pub(crate) struct RelationshipPage {
    pub(crate) story: RelationshipStory,
    pub(crate) policy: Policy,
    pub(crate) line: RelationshipLine,
    /// What is held.
    pub(crate) positions: Vec<Position>,
    /// How many positions are closed.
    pub(crate) closed: usize,
    pub(crate) newest: Vec<ActivityLine>,
}

/// The relationship with this number.
pub(crate) async fn relationship(web: &Web, tenant: Tenant, id: RelationshipId) -> Read<RelationshipPage> {
    let store = web.store.as_ref();
    let all = relationships(web, tenant).await?;
    let line = all.into_iter().find(|one| one.relationship == id);
    let line = line.ok_or_else(|| Problem::not_found(format!("there is no relationship {id}")))?;
    let names = Names::read(store, tenant).await?;
    let policy = names.relationship(id).map(|found| found.policy.clone());
    let policy = policy.ok_or_else(|| Problem::not_found(format!("there is no relationship {id}")))?;
    let priced = web.values.now(store).await;
    let told = relationship_story(store, tenant.owner(), id, &priced.prices, web.clock.now()).await?;
    let mut newest = store.newest_decisions(tenant.owner(), ROWS).await?;
    newest.retain(|decision| decision.relationship == id);
    newest.truncate(crate::limits::NEWEST);
    let (positions, closed): (Vec<_>, Vec<_>) =
        of_lines(&told.positions, &names).into_iter().partition(|held| is_open(held.shares));
    let closed = closed.len();
    Ok(RelationshipPage {
        policy,
        line,
        positions,
        closed,
        newest: lines(web, &names, &newest).await?,
        story: told,
    })
}

/// A hold in force.
#[derive(Clone, Debug, Serialize, JsonSchema)]
pub(crate) struct HoldLine {
    /// Its number.
    #[schemars(with = "i64")]
    pub(crate) hold: HoldId,
    /// What it stops, and why, in words.
    pub(crate) words: String,
    /// Whose business it is: `operator`, `incident`, `breaker`, `risk`, `reconciliation`, `venue` or `not_ready`.
    #[schemars(with = "String")]
    pub(crate) cause: HoldCause,
    /// Whether sales are held too.
    pub(crate) stops_exits: bool,
    /// Whether what is held is sold.
    pub(crate) sells: bool,
    /// Whether it ends by itself when what is wrong is right again.
    pub(crate) ends_itself: bool,
}

impl HoldLine {
    fn of(hold: &Hold) -> Self {
        Self {
            hold: hold.id,
            words: hold_words(hold),
            cause: hold.cause,
            stops_exits: hold.stops_exits,
            sells: hold.sells,
            ends_itself: hold.cause == HoldCause::NotReady,
        }
    }
}

/// Holds that are in force on anything of the tenant's.
pub(crate) async fn holds(web: &Web, tenant: Tenant) -> Read<Vec<HoldLine>> {
    let store = web.store.as_ref();
    let holds = store.following(web.clock.now()).await?.holds;
    let names = Names::read(store, tenant).await?;
    Ok(holds.iter().filter(|hold| names.concerned(hold)).map(HoldLine::of).collect())
}

/// An account with its money and whether it may trade.
#[derive(Clone, Debug, Serialize, JsonSchema)]
pub(crate) struct AccountLine {
    /// Its number.
    #[schemars(with = "i64")]
    pub(crate) account: AccountId,
    /// Its name.
    pub(crate) label: String,
    /// `paper` or `live`.
    #[schemars(with = "String")]
    pub(crate) mode: AccountMode,
    /// `paper`, `armed`, `not armed`, `sealed`, or `unknown`.
    pub(crate) state: String,
    /// The wallet that holds the money.
    #[schemars(with = "String")]
    pub(crate) wallet: Address,
    /// The address of its key.
    #[schemars(with = "String")]
    pub(crate) signer: Address,
    /// What it has.
    #[schemars(with = "i64")]
    pub(crate) cash: Usd,
    /// What of it is set aside for orders under way.
    #[schemars(with = "i64")]
    pub(crate) reserved: Usd,
    /// The most at risk.
    #[schemars(with = "Option<i64>")]
    pub(crate) cap: Option<Usd>,
    /// What its open positions cost.
    #[schemars(with = "i64")]
    pub(crate) at_risk: Usd,
    /// How many relationships copy with it.
    pub(crate) following: usize,
    /// The most in an order, where it is armed.
    #[schemars(with = "Option<i64>")]
    pub(crate) order_cap: Option<Usd>,
    /// The most in a day (UTC).
    #[schemars(with = "Option<i64>")]
    pub(crate) day_cap: Option<Usd>,
    /// What was signed for today.
    #[schemars(with = "Option<i64>")]
    pub(crate) spent: Option<Usd>,
    /// Until when its session key may sign.
    #[schemars(with = "Option<i64>")]
    pub(crate) until: Option<Timestamp>,
}

/// The accounts, without those that were removed.
pub(crate) async fn accounts(web: &Web, tenant: Tenant) -> Read<Vec<AccountLine>> {
    let store = web.store.as_ref();
    let names = Names::read(store, tenant).await?;
    let positions = store.positions(tenant.owner()).await?;
    let standings = web.actions.standings(tenant).await?;
    let line = |account: &engine::ports::following::Account| {
        let id = account.trading.id;
        let standing = standings.iter().find(|standing| standing.account == id);
        let active = |one: &&engine::ports::following::Relationship| {
            one.account == id && one.status != RelationshipStatus::Stopped
        };
        AccountLine {
            account: id,
            label: wording::harmless(&account.label),
            mode: account.mode,
            state: standing.map_or_else(|| "unknown".to_owned(), |standing| standing.state.clone()),
            wallet: account.trading.wallet,
            signer: account.trading.signer,
            cash: account.cash,
            reserved: account.reserved,
            cap: account.cap,
            at_risk: positions.iter().filter(|held| held.account == id).map(|held| held.position.cost).sum(),
            following: names.relationships.iter().filter(active).count(),
            order_cap: standing.and_then(|standing| standing.caps).map(|(order, _)| order),
            day_cap: standing.and_then(|standing| standing.caps).map(|(_, day)| day),
            spent: standing.and_then(|standing| standing.spent),
            until: standing.and_then(|standing| standing.until),
        }
    };
    Ok(names.accounts.iter().filter(|account| !account.removed).map(line).collect())
}
