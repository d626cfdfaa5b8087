//! Who copies whom: `follow`, `edit`, `following`, `leader`, `panic`. The same whether asked over the socket or on a
//! store that nobody else has open.

mod command;
mod panicking;

use anyhow::{Context, ensure};
use domain::{
    Address, Clock,
    ids::{OwnerId, RelationshipId},
    policy::{Caps, Policy},
};
use engine::ports::{
    following::{Account, NewRelationship, RelationshipStatus},
    store::Store,
};
use serde::{Deserialize, Serialize};
use serde_json::json;
use web::actions::{Follow, Followed};

pub use self::command::{EditArgs, FollowArgs, LeaderCommand, PanicArgs, PolicyFlags, leader};
pub(crate) use self::panicking::hold_all;
pub use self::panicking::{Panic, confirmed};
use crate::{
    account::named,
    commands::Answer,
    configuration::{change_follower, keys::FollowerSettings},
    screen::{Style, table},
    story::policy_words,
    wording::{count, dollars, short_address},
};

/// What is asked about who copies whom.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum FollowingRequest {
    /// Copy a leader with an account.
    Follow {
        /// Whom.
        leader: Address,
        /// Label or number of the account; the only one, if there is one.
        account: Option<String>,
        /// Keys of a policy and their values, over the careful one.
        policy: Vec<(String, String)>,
    },
    /// Change the policy of a relationship.
    Edit {
        /// Which.
        relationship: RelationshipId,
        /// Keys and their new values.
        policy: Vec<(String, String)>,
    },
    /// All relationships.
    List {
        /// How the text looks.
        style: Style,
    },
    /// Know a wallet as a leader without following it yet.
    AddLeader(Address),
    /// All leaders.
    Leaders,
    /// Hold everything.
    Panic(Panic),
}

/// Answers from a store.
///
/// # Errors
/// In words, with what to do.
pub async fn answer(
    store: &dyn Store,
    clock: &dyn Clock,
    request: &FollowingRequest,
) -> anyhow::Result<Answer> {
    match request {
        FollowingRequest::Follow { leader, account, policy } => {
            follow(store, clock, *leader, account.as_deref(), policy).await
        }
        FollowingRequest::Edit { relationship, policy } => edit(store, clock, *relationship, policy).await,
        FollowingRequest::List { style } => list(store, *style).await,
        FollowingRequest::AddLeader(wallet) => {
            let id = store.add_leader(*wallet, clock.now()).await?;
            let text = format!("{wallet} is leader {id}; `slipstream follow {wallet}` copies it");
            Ok(said(text, json!({ "leader": id, "wallet": wallet })))
        }
        FollowingRequest::Leaders => leaders(store).await,
        FollowingRequest::Panic(wanted) => panicking::panic(store, clock, wanted).await,
    }
}

/// What is wrong with a wish, where whoever shows it wants to know more than the words.
#[derive(Debug, thiserror::Error)]
pub(crate) enum Wrong {
    /// Every mistake in a policy.
    #[error("{}", .0.join("\n"))]
    Policy(Vec<String>),
    /// What is meant does not exist, or is somebody else's.
    #[error("{0}")]
    NotFound(String),
}

fn said(text: String, json: serde_json::Value) -> Answer {
    Answer { text, json, ok: true }
}

/// A policy with these keys changed.
pub(crate) fn changed(policy: Policy, changes: &[(String, String)]) -> Result<Policy, Wrong> {
    let mut settings = FollowerSettings { policy, ..FollowerSettings::default() };
    change_follower(&mut settings, changes).map_err(Wrong::Policy)?;
    Ok(settings.policy)
}

/// The account that is meant; the only one, if none is named.
async fn account_of(
    store: &dyn Store,
    owner: Option<OwnerId>,
    wanted: Option<&str>,
) -> anyhow::Result<Account> {
    let mut accounts = store.accounts(owner).await?;
    if let Some(wanted) = wanted {
        return named(accounts, wanted);
    }
    accounts.retain(|account| !account.removed);
    let labels = accounts.iter().map(|account| account.label.as_str()).collect::<Vec<_>>().join(", ");
    ensure!(!accounts.is_empty(), "there is no account yet; `slipstream init` makes a paper one");
    ensure!(accounts.len() == 1, "name one of the accounts with --account: {labels}");
    accounts.pop().context("no account")
}

/// The policy to follow a wallet with.
///
/// # Errors
/// All that is wrong with it, and when it is nobody's wallet.
pub(crate) fn wanted(wallet: Address, changes: &[(String, String)]) -> anyhow::Result<Policy> {
    ensure!(wallet != Address([0; 20]), "{wallet} is nobody's wallet; `slipstream leader top` shows some");
    Ok(changed(Policy::careful(), changes)?)
}

async fn follow(
    store: &dyn Store,
    clock: &dyn Clock,
    wallet: Address,
    account: Option<&str>,
    changes: &[(String, String)],
) -> anyhow::Result<Answer> {
    let wish = Follow { leader: wallet, account: account.map(str::to_owned), policy: changes.to_vec() };
    let Followed { relationship, account, policy, words } = begin(store, clock, None, &wish).await?;
    let json =
        json!({ "relationship": relationship, "leader": wallet, "account": account, "policy": policy });
    Ok(said(words, json))
}

/// Copies a leader with an account of the owner's, or of anybody's.
///
/// # Errors
/// In words, with what to do; [`Wrong`] and store errors are told apart.
pub(crate) async fn begin(
    store: &dyn Store,
    clock: &dyn Clock,
    owner: Option<OwnerId>,
    wish: &Follow,
) -> anyhow::Result<Followed> {
    let wallet = wish.leader;
    let policy = wanted(wallet, &wish.policy)?;
    let account = account_of(store, owner, wish.account.as_deref()).await?;
    let now = clock.now();
    let leader = store.add_leader(wallet, now).await?;
    let new = NewRelationship { account: account.trading.id, leader, policy: policy.clone() };
    let id = store.add_relationship(account.owner, &new, now).await?;
    let words = format!(
        "account {} follows {wallet} as relationship {id}: {}\ntrades from now on are copied, none from before",
        account.label,
        policy_words(&policy).join("; ")
    ) + &never_binds(&policy);
    Ok(Followed { relationship: id, account: account.label, policy, words })
}

async fn owner_and_policy(
    store: &dyn Store,
    owner: Option<OwnerId>,
    id: RelationshipId,
) -> anyhow::Result<(OwnerId, Policy)> {
    let relationships = store.relationships(owner).await?;
    let found = relationships.into_iter().find(|one| one.id == id);
    let none =
        || Wrong::NotFound(format!("there is no relationship {id}; `slipstream following` lists them"));
    let found = found.ok_or_else(none)?;
    ensure!(
        found.status != RelationshipStatus::Stopped,
        "relationship {id} is stopped for good; follow anew"
    );
    Ok((found.owner, found.policy))
}

async fn edit(
    store: &dyn Store,
    clock: &dyn Clock,
    id: RelationshipId,
    changes: &[(String, String)],
) -> anyhow::Result<Answer> {
    ensure!(!changes.is_empty(), "nothing to change: name what with flags, for example --fixed 5");
    let policy = change(store, clock, None, (id, changes)).await?;
    let text = format!(
        "relationship {id} from now on: {}{}",
        policy_words(&policy).join("; "),
        never_binds(&policy)
    );
    Ok(said(text, json!({ "relationship": id, "policy": policy })))
}

/// Puts keys into the policy of a relationship of the owner's, or of anybody's.
///
/// # Errors
/// As [`begin`].
pub(crate) async fn change(
    store: &dyn Store,
    clock: &dyn Clock,
    owner: Option<OwnerId>,
    (id, changes): (RelationshipId, &[(String, String)]),
) -> anyhow::Result<Policy> {
    let (owner, before) = owner_and_policy(store, owner, id).await?;
    let policy = changed(before, changes)?;
    store.set_policy(owner, id, &policy, clock.now()).await?;
    Ok(policy)
}

/// A word on a cap that another one makes meaningless.
fn never_binds(policy: &Policy) -> String {
    let Caps { order, market, leader } = policy.caps;
    let smaller = [("market", market), ("leader", leader)].into_iter().find_map(|(name, cap)| {
        Some((name, cap?)).filter(|(_, cap)| order.is_some_and(|order| order > *cap))
    });
    let Some((order, (name, cap))) = order.zip(smaller) else { return String::new() };
    let [order, cap] = [order, cap].map(dollars);
    format!("\nthe cap of {order} $ per order never binds: that per {name} is {cap} $")
}

pub(crate) const fn word(status: RelationshipStatus) -> &'static str {
    match status {
        RelationshipStatus::Active => "active",
        RelationshipStatus::Paused => "paused",
        RelationshipStatus::Stopped => "stopped",
    }
}

async fn list(store: &dyn Store, style: Style) -> anyhow::Result<Answer> {
    let (relationships, accounts) = (store.relationships(None).await?, store.accounts(None).await?);
    let leaders = store.leaders().await?;
    let mut cells = Vec::with_capacity(relationships.len());
    let mut rows = Vec::with_capacity(relationships.len());
    for one in &relationships {
        let account = accounts.iter().find(|account| account.trading.id == one.account);
        let label = account.map_or("?", |account| account.label.as_str());
        let leader = leaders.iter().find(|leader| leader.id == one.leader).map(|leader| leader.wallet);
        let shown = leader.map_or_else(|| "?".to_owned(), short_address);
        let how = policy_words(&one.policy);
        let how = how.first().map_or("", String::as_str);
        cells.push(vec![
            one.id.to_string(),
            word(one.status).to_owned(),
            label.to_owned(),
            shown,
            how.to_owned(),
        ]);
        rows.push(json!({
            "relationship": one.id, "status": word(one.status), "account": label, "leader": leader,
            "policy": one.policy,
        }));
    }
    let text = match cells.is_empty() {
        true => "nobody is followed yet; `slipstream follow 0x…` begins".to_owned(),
        false => table(style, &[">nr", "state", "account", "leader", "*how"], cells),
    };
    Ok(said(text, json!(rows)))
}

async fn leaders(store: &dyn Store) -> anyhow::Result<Answer> {
    let (leaders, relationships) = (store.leaders().await?, store.relationships(None).await?);
    let mut lines = Vec::with_capacity(leaders.len());
    let mut rows = Vec::with_capacity(leaders.len());
    for leader in &leaders {
        let copies = |one: &&engine::ports::following::Relationship| {
            one.leader == leader.id && one.status == RelationshipStatus::Active
        };
        let followers = relationships.iter().filter(copies).count();
        lines.push(format!("{:>4}  {}  {}", leader.id.0, leader.wallet, count(followers, "follower")));
        rows.push(json!({ "leader": leader.id, "wallet": leader.wallet, "followers": followers }));
    }
    let none = || "no leaders yet; `slipstream leader top` shows some".to_owned();
    Ok(said(if lines.is_empty() { none() } else { lines.join("\n") }, json!(rows)))
}
