//! What can be changed from a page or over the API: asked for here, carried out by the binary with the functions of its
//! command line.

use async_trait::async_trait;
use domain::{
    Address, Timestamp, Usd,
    ids::{AccountId, HoldId, RelationshipId},
    policy::Policy,
};
use engine::{ports::following::RelationshipStatus, sources::SourceHealth};

use crate::Tenant;

/// Keys of a policy and their values, as the configuration writes them.
pub type Changes = Vec<(String, String)>;

/// Why something was not done. Nothing was changed then, unless it says so.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
pub enum Refused {
    /// What was asked for is wrong in itself: each mistake, with the field it is about, if it is about one.
    #[error("{}", .0.iter().map(|mistake| mistake.words.as_str()).collect::<Vec<_>>().join("\n"))]
    Invalid(Vec<Mistake>),
    /// There is no such thing, or it is somebody else's.
    #[error("{0}")]
    NotFound(String),
    /// It contradicts what is there.
    #[error("{0}")]
    Conflict(String),
    /// It could not be done now; again later may help.
    #[error("{0}")]
    Unavailable(String),
}

impl Refused {
    /// One mistake that is about no field.
    #[must_use]
    pub fn invalid(words: impl Into<String>) -> Self {
        Self::Invalid(vec![Mistake { field: None, words: words.into() }])
    }
}

/// One thing that is wrong.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Mistake {
    /// The field, by the key's name.
    pub field: Option<String>,
    /// What is wrong with it, and what to do.
    pub words: String,
}

/// What came of something that was asked for.
pub type Done<T> = Result<T, Refused>;

/// A wish to copy somebody.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Follow {
    /// Whom.
    pub leader: Address,
    /// Label or number of the account; the only one, if there is one.
    pub account: Option<String>,
    /// Keys of a policy and their values, over the careful one.
    pub policy: Changes,
}

/// Somebody is copied from now on.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Followed {
    /// The new relationship.
    pub relationship: RelationshipId,
    /// The account's name.
    pub account: String,
    /// How.
    pub policy: Policy,
    /// In words.
    pub words: String,
}

/// A wish that nothing more is bought, or sold.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Panic {
    /// Whether leaders are followed out.
    pub keep_exits: bool,
    /// Whether everything that is held is sold.
    pub sell: bool,
    /// Label or number of the account; all of them without it.
    pub account: Option<String>,
}

/// What is in force after a panic.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Panicked {
    /// The hold.
    pub hold: HoldId,
    /// Whether sales are held too.
    pub stops_exits: bool,
    /// Whether what is held is sold.
    pub sells: bool,
    /// Positions that are sold.
    pub positions: usize,
    /// In words.
    pub words: String,
}

/// A new account with play money.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct PaperAccount {
    /// Its name.
    pub label: String,
    /// What it begins with.
    pub cash: Usd,
    /// The most at risk.
    pub cap: Option<Usd>,
}

/// Whether an account may trade, and what it may spend.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Standing {
    /// Which.
    pub account: AccountId,
    /// `paper`, `armed`, `not armed`, `sealed`, or `unknown` where nobody can tell.
    pub state: String,
    /// Most of an order and of a day, and what of it was signed for today.
    pub caps: Option<(Usd, Usd)>,
    /// See above.
    pub spent: Option<Usd>,
    /// Until when its session key may sign.
    pub until: Option<Timestamp>,
}

/// What somebody should look at, and what helps.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Check {
    /// What was looked at.
    pub name: String,
    /// `ok`, `warn`, `fail` or `unknown`.
    pub verdict: &'static str,
    /// What was found.
    pub found: String,
    /// What helps.
    pub fix: String,
}

/// How the process that answers does.
#[derive(Clone, Debug, Default)]
pub struct Work {
    /// Jobs by lane and state.
    pub jobs: Vec<Jobs>,
    /// Ids on the queue of exits and of entries; `None` when it cannot be reached or is not to be seen.
    pub queued: Option<(u64, u64)>,
    /// Jobs that were set aside.
    pub dead_letters: Option<usize>,
    /// The sources of leaders' trades, where this process hears them.
    pub sources: Vec<SourceHealth>,
    /// The chain's providers.
    pub providers: Vec<Provider>,
}

/// Jobs of one lane in one state.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Jobs {
    /// `exits` or `entries`.
    pub lane: &'static str,
    /// In words.
    pub state: String,
    /// How many.
    pub number: i64,
}

/// A provider of the chain.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Provider {
    /// Its host.
    pub name: String,
    /// Whether it is asked now.
    pub trusted: bool,
    /// How it does, in words.
    pub words: String,
}

/// Something to break while a demo runs.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Break {
    /// A worker task, mid-order if it has one.
    Worker,
    /// The venue, or bring it back.
    Venue,
    /// The chain: two blocks are reorganised.
    Chain,
}

/// How a demo stands.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Demo {
    /// Per cent of the tape that were played.
    pub played: u8,
    /// Whether all of it was.
    pub over: bool,
    /// Leaders' trades nobody answered in time, and copies nobody carries out.
    pub lost: usize,
    /// Intents for which more was executed than was decided, and orders nobody knows.
    pub doubled: usize,
    /// What was broken on purpose, newest last.
    pub broken: Vec<(Timestamp, String)>,
    /// Whether the venue is down because somebody asked for it.
    pub venue_down: bool,
}

/// Carries out what is asked for.
#[async_trait]
pub trait Actions: Send + Sync {
    /// A policy with these keys changed; the careful one, if none is given.
    ///
    /// # Errors
    /// [`Refused::Invalid`] with every mistake.
    fn policy(&self, before: Option<&Policy>, changes: &[(String, String)]) -> Done<Policy>;

    /// Copies a leader with an account.
    async fn follow(&self, tenant: Tenant, wanted: &Follow) -> Done<Followed>;

    /// Knows a wallet as a leader without following it yet.
    async fn add_leader(&self, tenant: Tenant, wallet: Address) -> Done<()>;

    /// Changes the policy of a relationship.
    async fn edit(
        &self,
        tenant: Tenant,
        relationship: RelationshipId,
        changes: &[(String, String)],
    ) -> Done<Policy>;

    /// Sets the user's word on a relationship; what became of it, in words.
    async fn set_status(
        &self,
        tenant: Tenant,
        relationship: RelationshipId,
        status: RelationshipStatus,
    ) -> Done<String>;

    /// Holds everything.
    async fn panic(&self, tenant: Tenant, wanted: &Panic) -> Done<Panicked>;

    /// Lifts a hold.
    async fn lift(&self, tenant: Tenant, hold: HoldId) -> Done<String>;

    /// Makes an account with play money.
    async fn add_paper_account(&self, tenant: Tenant, wanted: &PaperAccount) -> Done<AccountId>;

    /// Whether accounts may trade.
    async fn standings(&self, tenant: Tenant) -> Done<Vec<Standing>>;

    /// How the process does.
    async fn work(&self, tenant: Tenant) -> Done<Work>;

    /// The demo, where one runs.
    fn demo(&self) -> Option<Demo> {
        None
    }

    /// Breaks something of a demo.
    ///
    /// # Errors
    /// Where none runs.
    fn break_something(&self, _what: Break) -> Done<()> {
        Err(Refused::NotFound("no demo runs here".to_owned()))
    }
}
