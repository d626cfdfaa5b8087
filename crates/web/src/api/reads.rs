//! What the API tells.

use axum::{
    Extension, Json,
    extract::State,
    http::{HeaderValue, header::LINK},
    response::{IntoResponse, Response},
};
use domain::{Timestamp, ids::RelationshipId};
use schemars::JsonSchema;
use serde::{Deserialize, Serialize};
use story::StageLine;

use crate::{
    Shared, Tenant,
    guard::{Token, Visitor},
    limits::{LARGEST_PAGE, PAGE},
    problem::Problem,
    read::{
        self, AccountLine, ActivityLine, ActivityPage, Curve, HoldLine, Home, LeaderLine, LeaderPage,
        OrderLine, RelationshipLine, Results,
    },
    written::{Asked, Part},
};

/// What reading answers.
type Answer<T> = Result<Json<T>, Problem>;

/// Who asks.
#[derive(Serialize, JsonSchema)]
pub(super) struct Session {
    /// `local`: the one user of an installation that answers on its own machine only; `user`: somebody who signed in, or a
    /// program of his.
    kind: &'static str,
    /// The name of such a user.
    name: Option<String>,
    /// What writes carry as `X-CSRF-Token`, together with this answer's cookie.
    csrf_token: String,
}

pub(super) async fn session(_: Tenant, Extension(token): Extension<Token>) -> Json<Session> {
    let Token(csrf_token, Visitor { name, .. }) = token;
    Json(Session { kind: if name.is_some() { "user" } else { "local" }, name, csrf_token })
}

pub(super) async fn home(State(web): State<Shared>, tenant: Tenant) -> Answer<Home> {
    Ok(Json(read::home(&web, tenant).await?))
}

pub(super) async fn curve(State(web): State<Shared>, tenant: Tenant) -> Answer<Curve> {
    Ok(Json(read::curve(&web, tenant).await?))
}

pub(super) async fn leaders(State(web): State<Shared>, tenant: Tenant) -> Answer<Vec<LeaderLine>> {
    Ok(Json(read::leaders(&web, tenant).await?))
}

pub(super) async fn leader(
    State(web): State<Shared>,
    tenant: Tenant,
    Part(wallet): Part<String>,
) -> Answer<LeaderPage> {
    Ok(Json(read::leader(&web, tenant, &wallet).await?))
}

pub(super) async fn relationships(
    State(web): State<Shared>,
    tenant: Tenant,
) -> Answer<Vec<RelationshipLine>> {
    Ok(Json(read::relationships(&web, tenant).await?))
}

pub(super) async fn relationship(
    State(web): State<Shared>,
    tenant: Tenant,
    Part(id): Part<i64>,
) -> Answer<RelationshipLine> {
    let all = read::relationships(&web, tenant).await?;
    let found = all.into_iter().find(|one| one.relationship == RelationshipId(id));
    found.map(Json).ok_or_else(|| Problem::not_found(format!("there is no relationship {id}")))
}

/// Where a list goes on, and how much of it is wanted.
#[derive(Deserialize, JsonSchema)]
pub(super) struct Cursor {
    /// `next` of the page before.
    cursor: Option<String>,
    /// Rows, 1 to 200; 50 without it.
    limit: Option<usize>,
    /// Of this relationship only, where there are relationships.
    #[schemars(with = "Option<i64>")]
    relationship: Option<RelationshipId>,
}

impl Cursor {
    fn number(&self) -> Result<Option<i64>, Problem> {
        let number = self.cursor.as_deref().map(str::parse).transpose();
        number.map_err(|_| Problem::of_field("cursor", "a cursor is the `next` of the page before"))
    }

    fn rows(&self) -> Result<usize, Problem> {
        match self.limit.unwrap_or(PAGE) {
            rows @ 1..=LARGEST_PAGE => Ok(rows),
            other => Err(Problem::of_field("limit", format!("{other} is not between 1 and {LARGEST_PAGE}"))),
        }
    }
}

/// A page with where the next one is, in a header too.
fn paged<T: Serialize>(path: &str, page: T, next: Option<&str>) -> Response {
    let mut response = Json(page).into_response();
    let link = next.and_then(|next| {
        HeaderValue::from_str(&format!("</api/v1/{path}?cursor={next}>; rel=\"next\"")).ok()
    });
    if let Some(link) = link {
        response.headers_mut().insert(LINK, link);
    }
    response
}

pub(super) async fn activity(
    State(web): State<Shared>,
    tenant: Tenant,
    Asked(cursor): Asked<Cursor>,
) -> Result<Response, Problem> {
    let page: ActivityPage =
        read::activity(&web, tenant, cursor.number()?, cursor.rows()?, cursor.relationship).await?;
    let next = page.next.clone();
    Ok(paged("activity", page, next.as_deref()))
}

/// A leader's transaction. Amounts are millionths.
#[derive(Serialize, JsonSchema)]
pub(super) struct TradeAnswer {
    /// The transaction.
    tx: String,
    /// One for each leader, token and side.
    groups: Vec<GroupAnswer>,
}

/// One leader's part of a transaction.
#[derive(Serialize, JsonSchema)]
struct GroupAnswer {
    /// The leader's wallet.
    leader: Option<String>,
    /// When it was made.
    #[schemars(with = "i64")]
    traded_at: Timestamp,
    /// Shares, as the chain says; as other sources say where it has said nothing.
    shares: i64,
    /// Dollars.
    usd: i64,
    /// Logs of the chain that it is summed from.
    fills: usize,
    /// Every answer.
    answers: Vec<ActivityLine>,
}

pub(super) async fn trade(
    State(web): State<Shared>,
    tenant: Tenant,
    Part(tx): Part<String>,
) -> Answer<TradeAnswer> {
    let page = read::trade(&web, tenant, &tx).await?;
    let of = |(story, answers): (story::GroupStory, Vec<ActivityLine>)| GroupAnswer {
        leader: story.leader.map(|leader| leader.to_string()),
        traded_at: story.group.traded_at,
        shares: story.group.quantity().shares.0,
        usd: story.group.quantity().usd.0,
        fills: story.fills,
        answers,
    };
    Ok(Json(TradeAnswer { tx: page.tx.to_string(), groups: page.groups.into_iter().map(of).collect() }))
}

/// An order's story. Amounts are millionths.
#[derive(Serialize, JsonSchema)]
pub(super) struct OrderAnswer {
    /// Where it is and what it cost.
    order: OrderLine,
    /// Through which relationship.
    #[schemars(with = "i64")]
    relationship: RelationshipId,
    /// In which account.
    account: String,
    /// Its number within what was decided.
    attempt: u32,
    /// When it passed each stage.
    stages: Vec<StageAnswer>,
    /// What each source says was filled, in shares and dollars.
    evidence: Vec<EvidenceAnswer>,
}

/// A stage.
#[derive(Serialize, JsonSchema)]
struct StageAnswer {
    /// Which.
    stage: &'static str,
    /// When, in microseconds since 1970; nothing while it was not passed.
    #[schemars(with = "Option<i64>")]
    at: Option<Timestamp>,
    /// Microseconds since the one before it.
    delay_us: Option<i64>,
}

impl From<&StageLine> for StageAnswer {
    fn from(line: &StageLine) -> Self {
        Self { stage: line.stage.label(), at: line.at, delay_us: line.delay_us }
    }
}

/// What one source says.
#[derive(Serialize, JsonSchema)]
struct EvidenceAnswer {
    source: &'static str,
    shares: i64,
    usd: i64,
    fee: i64,
    note: &'static str,
}

pub(super) async fn order(
    State(web): State<Shared>,
    tenant: Tenant,
    Part(id): Part<String>,
) -> Answer<OrderAnswer> {
    let page = read::order(&web, tenant, &id).await?;
    let evidence = page.story.evidence.iter().map(|line| EvidenceAnswer {
        source: line.source,
        shares: line.filled.quantity.shares.0,
        usd: line.filled.quantity.usd.0,
        fee: line.filled.fee.0,
        note: line.note,
    });
    Ok(Json(OrderAnswer {
        relationship: page.story.relationship,
        account: page.account,
        attempt: page.story.attempt,
        stages: page.story.order.stages.iter().map(StageAnswer::from).collect(),
        evidence: evidence.collect(),
        order: page.line,
    }))
}

pub(super) async fn results(State(web): State<Shared>, tenant: Tenant) -> Answer<Results> {
    Ok(Json(read::results(&web, tenant).await?))
}

/// A page of the ledger.
#[derive(Serialize, JsonSchema)]
pub(super) struct PageOf {
    /// The rows.
    items: Vec<LedgerAnswer>,
    /// What to ask for next; nothing on the last page.
    next: Option<String>,
}

/// A row of the ledger. Amounts are millionths.
#[derive(Serialize, JsonSchema)]
struct LedgerAnswer {
    row: i64,
    #[schemars(with = "i64")]
    at: Timestamp,
    account: i64,
    relationship: Option<i64>,
    token: Option<String>,
    cause: String,
    shares: i64,
    cash: i64,
    cost: i64,
    realised: i64,
    fee: i64,
}

pub(super) async fn ledger(
    State(web): State<Shared>,
    tenant: Tenant,
    Asked(cursor): Asked<Cursor>,
) -> Result<Response, Problem> {
    let (after, rows) = (cursor.number()?.unwrap_or(0), cursor.rows()?);
    let mut found = web.store.ledger_after(tenant.owner(), after, rows.saturating_add(1)).await?;
    let more = found.len() > rows;
    found.truncate(rows);
    let next = found.last().filter(|_| more).map(|last| last.id.to_string());
    let of = |row: &engine::ports::reports::LedgerRecord| LedgerAnswer {
        row: row.id,
        at: row.at,
        account: row.account.0,
        relationship: row.relationship.map(|relationship| relationship.0),
        token: row.token.map(|token| token.to_string()),
        cause: format!("{:?}", row.cause).to_lowercase(),
        shares: row.entry.shares.0,
        cash: row.entry.cash.0,
        cost: row.entry.cost.0,
        realised: row.entry.realised.0,
        fee: row.entry.fee.0,
    };
    let page = PageOf { items: found.iter().map(of).collect(), next: next.clone() };
    Ok(paged("ledger", page, next.as_deref()))
}

pub(super) async fn accounts(State(web): State<Shared>, tenant: Tenant) -> Answer<Vec<AccountLine>> {
    Ok(Json(read::accounts(&web, tenant).await?))
}

pub(super) async fn holds(State(web): State<Shared>, tenant: Tenant) -> Answer<Vec<HoldLine>> {
    Ok(Json(read::holds(&web, tenant).await?))
}

/// How the process does.
#[derive(Serialize, JsonSchema)]
pub(super) struct WorkAnswer {
    /// Jobs by lane and state.
    jobs: Vec<JobsAnswer>,
    /// Ids on the queue of exits.
    queued_exits: Option<u64>,
    /// Ids on the queue of entries.
    queued_entries: Option<u64>,
    /// Jobs that were set aside after too many failures.
    dead_letters: Option<usize>,
    /// Sources of leaders' trades.
    sources: Vec<SourceAnswer>,
    /// The chain's providers.
    providers: Vec<ProviderAnswer>,
}

#[derive(Serialize, JsonSchema)]
struct JobsAnswer {
    lane: &'static str,
    state: String,
    number: i64,
}

#[derive(Serialize, JsonSchema)]
struct SourceAnswer {
    source: &'static str,
    trades: u64,
    first: u64,
    lag_us: Option<u64>,
    late: bool,
    stopped: bool,
}

#[derive(Serialize, JsonSchema)]
struct ProviderAnswer {
    name: String,
    trusted: bool,
    words: String,
}

pub(super) async fn work(State(web): State<Shared>, tenant: Tenant) -> Answer<WorkAnswer> {
    let work = web.actions.work(tenant).await?;
    let micros = |lag: std::time::Duration| u64::try_from(lag.as_micros()).unwrap_or(u64::MAX);
    Ok(Json(WorkAnswer {
        jobs: work
            .jobs
            .into_iter()
            .map(|jobs| JobsAnswer { lane: jobs.lane, state: jobs.state, number: jobs.number })
            .collect(),
        queued_exits: work.queued.map(|(exits, _)| exits),
        queued_entries: work.queued.map(|(_, entries)| entries),
        dead_letters: work.dead_letters,
        sources: work
            .sources
            .iter()
            .map(|one| SourceAnswer {
                source: one.source.name(),
                trades: one.trades,
                first: one.first,
                lag_us: one.lag.map(micros),
                late: one.late,
                stopped: one.stopped,
            })
            .collect(),
        providers: work
            .providers
            .into_iter()
            .map(|one| ProviderAnswer { name: one.name, trusted: one.trusted, words: one.words })
            .collect(),
    }))
}
