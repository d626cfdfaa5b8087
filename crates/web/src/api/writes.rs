//! What the API does.

use std::collections::BTreeMap;

use axum::{Json, extract::State, http::StatusCode};
use domain::{
    Address, Usd,
    ids::{AccountId, HoldId, RelationshipId},
};
use engine::ports::following::RelationshipStatus;
use schemars::JsonSchema;
use serde::{Deserialize, Serialize};
use story::policy_words;

use crate::{
    Shared, Tenant,
    actions::{Changes, Follow, Panic, PaperAccount},
    problem::Problem,
    read::{self, Previewed},
    written::{Body, Part},
};

/// What doing answers.
type Done<T> = Result<Json<T>, Problem>;
type Made<T> = Result<(StatusCode, Json<T>), Problem>;

/// What was done, in words.
#[derive(Serialize, JsonSchema)]
pub(super) struct Said {
    /// For people.
    words: String,
}

/// A wallet to know.
#[derive(Deserialize, JsonSchema)]
#[serde(deny_unknown_fields)]
pub(super) struct AddLeader {
    /// 0x and 40 hex digits.
    wallet: String,
}

/// A wallet, or what is wrong with it.
fn wallet(field: &str, text: &str) -> Result<Address, Problem> {
    text.trim().parse().map_err(|_| Problem::of_field(field, "a wallet is 0x and 40 hex digits"))
}

pub(super) async fn add_leader(
    State(web): State<Shared>,
    tenant: Tenant,
    Body(body): Body<AddLeader>,
) -> Made<Said> {
    let wallet = wallet("wallet", &body.wallet)?;
    web.actions.add_leader(tenant, wallet).await?;
    Ok((StatusCode::CREATED, Json(Said { words: format!("{wallet} is known; nobody copies it yet") })))
}

/// Whom to copy, and how.
#[derive(Deserialize, JsonSchema)]
#[serde(deny_unknown_fields)]
pub(super) struct FollowBody {
    /// The leader's wallet.
    leader: String,
    /// Label or number of the account; the only one without it.
    account: Option<String>,
    /// Keys of a `[[follower]]` of the configuration and their values as text; a careful policy without it.
    #[serde(default)]
    policy: BTreeMap<String, String>,
}

/// A relationship that is there now.
#[derive(Serialize, JsonSchema)]
pub(super) struct FollowedAnswer {
    /// Its number.
    #[schemars(with = "i64")]
    relationship: RelationshipId,
    /// The account's name.
    account: String,
    /// How it copies, in words.
    policy: Vec<String>,
    /// For people.
    words: String,
}

pub(super) async fn follow(
    State(web): State<Shared>,
    tenant: Tenant,
    Body(body): Body<FollowBody>,
) -> Made<FollowedAnswer> {
    let wanted = Follow {
        leader: wallet("leader", &body.leader)?,
        account: body.account,
        policy: body.policy.into_iter().collect(),
    };
    let followed = web.actions.follow(tenant, &wanted).await?;
    let answer = FollowedAnswer {
        relationship: followed.relationship,
        account: followed.account,
        policy: policy_words(&followed.policy),
        words: followed.words,
    };
    Ok((StatusCode::CREATED, Json(answer)))
}

/// What to change of a policy.
#[derive(Deserialize, JsonSchema)]
#[serde(deny_unknown_fields)]
pub(super) struct Edit {
    /// Keys of a `[[follower]]` and their new values as text; `none` takes a cap off.
    policy: BTreeMap<String, String>,
}

/// A policy in words.
#[derive(Serialize, JsonSchema)]
pub(super) struct PolicyAnswer {
    /// The most important first.
    policy: Vec<String>,
}

pub(super) async fn edit(
    State(web): State<Shared>,
    tenant: Tenant,
    Part(id): Part<i64>,
    Body(body): Body<Edit>,
) -> Done<PolicyAnswer> {
    let changes: Changes = body.policy.into_iter().collect();
    let policy = web.actions.edit(tenant, RelationshipId(id), &changes).await?;
    Ok(Json(PolicyAnswer { policy: policy_words(&policy) }))
}

async fn set_status(web: &Shared, tenant: Tenant, id: i64, status: RelationshipStatus) -> Done<Said> {
    Ok(Json(Said { words: web.actions.set_status(tenant, RelationshipId(id), status).await? }))
}

pub(super) async fn pause(State(web): State<Shared>, tenant: Tenant, Part(id): Part<i64>) -> Done<Said> {
    set_status(&web, tenant, id, RelationshipStatus::Paused).await
}

pub(super) async fn resume(State(web): State<Shared>, tenant: Tenant, Part(id): Part<i64>) -> Done<Said> {
    set_status(&web, tenant, id, RelationshipStatus::Active).await
}

pub(super) async fn stop(State(web): State<Shared>, tenant: Tenant, Part(id): Part<i64>) -> Done<Said> {
    set_status(&web, tenant, id, RelationshipStatus::Stopped).await
}

/// A policy to try on a leader's last trades.
#[derive(Deserialize, JsonSchema)]
#[serde(deny_unknown_fields)]
pub(super) struct PreviewBody {
    /// The leader's wallet.
    leader: String,
    /// Whose money it is tried with.
    account: Option<String>,
    /// As when following.
    #[serde(default)]
    policy: BTreeMap<String, String>,
}

pub(super) async fn preview(
    State(web): State<Shared>,
    tenant: Tenant,
    Body(body): Body<PreviewBody>,
) -> Done<Previewed> {
    let changes: Changes = body.policy.into_iter().collect();
    let policy = web.actions.policy(None, &changes)?;
    let leader = wallet("leader", &body.leader)?;
    Ok(Json(read::preview(&web, tenant, leader, body.account.as_deref(), &policy).await?))
}

/// A new account with play money.
#[derive(Deserialize, JsonSchema)]
#[serde(deny_unknown_fields)]
pub(super) struct AddAccount {
    /// Its name.
    label: String,
    /// What it begins with, in millionths of dollars.
    cash: i64,
    /// The most at risk, in millionths of dollars.
    cap: Option<i64>,
}

pub(super) async fn add_account(
    State(web): State<Shared>,
    tenant: Tenant,
    Body(body): Body<AddAccount>,
) -> Made<Said> {
    let wanted = PaperAccount { label: body.label, cash: Usd(body.cash), cap: body.cap.map(Usd) };
    let AccountId(id) = web.actions.add_paper_account(tenant, &wanted).await?;
    Ok((StatusCode::CREATED, Json(Said { words: format!("account {id} `{}` is there", wanted.label) })))
}

pub(super) async fn lift(State(web): State<Shared>, tenant: Tenant, Part(id): Part<i64>) -> Done<Said> {
    Ok(Json(Said { words: web.actions.lift(tenant, HoldId(id)).await? }))
}

/// What is to be held.
#[derive(Deserialize, JsonSchema)]
#[serde(deny_unknown_fields)]
pub(super) struct PanicBody {
    /// Whether what leaders sell goes on being sold.
    #[serde(default)]
    keep_exits: bool,
    /// Whether everything that is held is sold.
    #[serde(default)]
    sell: bool,
    /// Label or number of the account; all of them without it.
    account: Option<String>,
}

/// What is held now.
#[derive(Serialize, JsonSchema)]
pub(super) struct PanicAnswer {
    /// The hold.
    #[schemars(with = "i64")]
    hold: HoldId,
    /// Whether sales are held too.
    stops_exits: bool,
    /// Whether what is held is sold.
    sells: bool,
    /// Positions that are sold.
    positions: usize,
    /// For people.
    words: String,
}

pub(super) async fn panic(
    State(web): State<Shared>,
    tenant: Tenant,
    Body(body): Body<PanicBody>,
) -> Done<PanicAnswer> {
    if body.keep_exits && body.sell {
        return Err(Problem::of_field("sell", "either leaders' exits go on, or everything is sold"));
    }
    let wanted = Panic { keep_exits: body.keep_exits, sell: body.sell, account: body.account };
    let done = web.actions.panic(tenant, &wanted).await?;
    Ok(Json(PanicAnswer {
        hold: done.hold,
        stops_exits: done.stops_exits,
        sells: done.sells,
        positions: done.positions,
        words: done.words,
    }))
}
