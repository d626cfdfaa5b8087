//! Commands on a store: the same whether they come over the control socket or open the store themselves.

use std::{path::Path, sync::Arc};

use access::Access;
use anyhow::{Context, bail, ensure};
use domain::{
    Clock, Shares,
    ids::{HoldId, OwnerId, RelationshipId},
};
use eip712::Chain;
use engine::{
    ports::{
        following::RelationshipStatus,
        store::Store,
        venue::{ChainReader, MarketData},
    },
    salt::Salts,
};
use futures_util::future::BoxFuture;
use operations::ports::OperatorWords;
use polymarket::Answers;
use serde::{Deserialize, Serialize};
use store::{OpenError, SqlStore};

use crate::{
    account::{self, AccountRequest, Keyring},
    chain::ChainProviders,
    clock::SystemClock,
    configuration::ConfigFile,
    db_command,
    export::{self, Table},
    following::{self, FollowingRequest},
    holding, instance,
    operations_desk::{self, OperationsDesk, OpsRequest},
    people::{self, PeopleRequest},
    place::Place,
    prices,
    queue_command::{self, JobsDesk, QueueRequest},
    rpc_command::{self, RpcList},
    screen::Style,
    secrets::InstallationSecret,
    socket,
    sources_command::{self, Sources},
    story,
    verify::{Eip712Ids, VenueBooks, VerifyOptions, verify},
    wording::shares,
};

/// Name of the database in a data directory.
pub const DATABASE: &str = "slipstream.db";

/// What can be asked of a running installation.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum Request {
    /// Is anybody there.
    Ping,
    /// The user pauses a relationship; once answered, nothing further is signed for it.
    Pause(RelationshipId),
    /// The user resumes it.
    Resume(RelationshipId),
    /// The user ends it for good.
    Stop(RelationshipId),
    /// The whole story of one thing.
    Inspect {
        /// What.
        thing: Thing,
        /// A transaction hash, an order id, or the number of a relationship; hashes may be cut short.
        id: String,
        /// How the text looks.
        style: Style,
    },
    /// What is held.
    Positions {
        /// How the text looks.
        style: Style,
    },
    /// The newest decisions.
    Activity {
        /// How many.
        limit: usize,
        /// How the text looks.
        style: Style,
    },
    /// What is held for a cause.
    Holds,
    /// Lift a hold.
    Lift {
        /// Which.
        hold: HoldId,
        /// Also one that waits for wallets to be compared.
        unchecked: bool,
    },
    /// Recompute every decision, order id and sum.
    Verify,
    /// How the sources of leaders' trades do.
    Sources {
        /// How the text looks.
        style: Style,
    },
    /// How the chain's providers do.
    RpcStatus {
        /// How the text looks.
        style: Style,
    },
    /// Put another list of providers in force.
    RpcReload(RpcList),
    /// Something about accounts and their keys.
    Account(AccountRequest),
    /// Something about who copies whom.
    Following(FollowingRequest),
    /// Everything there is, as rows.
    Export(Table),
    /// Something about the jobs that wait.
    Queue(QueueRequest),
    /// Something about how the installation does.
    Ops(OpsRequest),
    /// Something about users and their tokens.
    People(PeopleRequest),
    /// How the process uses its connections to the database.
    Connections,
    /// Which processes work on it.
    Instances,
    /// A process has ended, because somebody says so.
    InstanceEnded {
        /// Its name.
        name: String,
        /// Who says so.
        who: String,
    },
}

impl Request {
    /// Whether nothing is written for it.
    const fn only_reads(&self) -> bool {
        if let Self::Queue(request) = self {
            return request.only_reads();
        }
        matches!(
            self,
            Self::Ping
                | Self::Inspect { .. }
                | Self::Positions { .. }
                | Self::Activity { .. }
                | Self::Holds
                | Self::Verify
                | Self::Sources { .. }
                | Self::RpcStatus { .. }
                | Self::Following(FollowingRequest::List { .. } | FollowingRequest::Leaders)
                | Self::Export(_)
                | Self::Connections
                | Self::Ops(
                    OpsRequest::Status
                        | OpsRequest::Breakers
                        | OpsRequest::Diagnose
                        | OpsRequest::Alerts
                        | OpsRequest::Flags
                )
                | Self::Instances
        )
    }
}

/// A thing with a story.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize, clap::ValueEnum)]
#[serde(rename_all = "snake_case")]
pub enum Thing {
    /// A leader's trade, by its transaction.
    Trade,
    /// An order of ours, by its id.
    Order,
    /// A relationship, by its number.
    Relationship,
}

/// An answer for people and for programs.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct Answer {
    /// Text, as printed.
    pub text: String,
    /// The same as data.
    pub json: serde_json::Value,
    /// Whether all is well; decides the exit status.
    pub ok: bool,
}

/// Whom a verification can hold the store against: what the running process has at hand. Without it the
/// store is held against itself and the secret that is kept beside it.
#[derive(Clone, Default)]
pub struct Witnesses {
    /// The venue's own books.
    pub venue: Option<Arc<dyn VenueBooks>>,
    /// The chain.
    pub chain: Option<Arc<dyn ChainReader>>,
    /// The installation's secret.
    pub salts: Option<Arc<dyn Salts>>,
    /// The sources of leaders' trades.
    pub sources: Option<Sources>,
    /// How the venue's services answer.
    pub answers: Option<Arc<Answers>>,
    /// The chain's providers.
    pub providers: Option<ChainProviders>,
    /// Today's books, to value what is held.
    pub markets: Option<Arc<dyn MarketData>>,
    /// The accounts' keys.
    pub keyring: Option<Arc<Keyring>>,
    /// The jobs, and the queue on which they wait.
    pub jobs: Option<JobsDesk>,
    /// What a running process sees of itself.
    pub operations: Option<OperationsDesk>,
    /// Where words of operators are kept.
    pub words: Option<Arc<dyn OperatorWords>>,
    /// Who may use the pages and the API.
    pub access: Option<Arc<Access>>,
}

impl Witnesses {
    fn providers(&self) -> anyhow::Result<&ChainProviders> {
        let none =
            "no running process has providers here; `slipstream rpc check` asks those of the configuration";
        self.providers.as_ref().context(none)
    }

    /// What held shares would bring now; nothing without a running process.
    async fn prices(
        &self,
        store: &dyn Store,
        clock: &dyn Clock,
        relationship: Option<RelationshipId>,
    ) -> anyhow::Result<story::Prices> {
        match &self.markets {
            Some(markets) => prices::of_held(store, markets.as_ref(), clock, relationship).await,
            None => Ok(story::Prices::new()),
        }
    }

    fn options(&self) -> VerifyOptions<'_> {
        VerifyOptions {
            venue: self.venue.as_deref(),
            chain: self.chain.as_deref(),
            salts: self.salts.as_deref(),
            ..VerifyOptions::default()
        }
    }
}

/// Answers from a store.
///
/// # Errors
/// In words, with what to do.
pub fn answer<'a>(
    store: &'a dyn Store,
    clock: &'a dyn Clock,
    witnesses: &'a Witnesses,
    request: &'a Request,
) -> BoxFuture<'a, anyhow::Result<Answer>> {
    Box::pin(answered(store, clock, witnesses, request))
}

async fn answered(
    store: &dyn Store,
    clock: &dyn Clock,
    witnesses: &Witnesses,
    request: &Request,
) -> anyhow::Result<Answer> {
    match request {
        Request::Ping => {
            let (version, pid) = (env!("CARGO_PKG_VERSION"), std::process::id());
            Ok(said("running", serde_json::json!({ "running": true, "version": version, "pid": pid })))
        }
        Request::Pause(id) => set_status(store, clock, None, (*id, RelationshipStatus::Paused)).await,
        Request::Resume(id) => set_status(store, clock, None, (*id, RelationshipStatus::Active)).await,
        Request::Stop(id) => set_status(store, clock, None, (*id, RelationshipStatus::Stopped)).await,
        Request::Inspect { thing, id, style } => inspect(store, clock, witnesses, *thing, id, *style).await,
        Request::Positions { style } => {
            let lines = story::positions(store, None, &witnesses.prices(store, clock, None).await?).await?;
            let basis = if witnesses.markets.is_some() {
                "now: the best bid at this moment; – where nobody bids or nobody answered"
            } else {
                "now and unrealised are told while the process runs"
            };
            let text = format!("{}\n  {basis}", story::render_positions(&lines, *style).trim_end());
            Ok(said(&text, serde_json::to_value(&lines)?))
        }
        Request::Activity { limit, style } => {
            let activity = story::activity(store, None, *limit, clock.now()).await?;
            Ok(said(&activity.render(*style), serde_json::to_value(&activity.lines)?))
        }
        Request::Export(table) => export::answer(store, *table).await,
        Request::Connections => Ok(db_command::connections(witnesses.jobs.as_ref())),
        Request::Queue(request) => {
            let desk = witnesses.jobs.as_ref().context("jobs of this process are not to be seen")?;
            queue_command::answer(desk, clock, request).await
        }
        Request::Ops(request) => operations_desk::answer(witnesses, store, clock, request).await,
        Request::People(request) => {
            let none = "the process that runs here lets everybody in who reaches its pages: it has no users";
            people::answer(witnesses.access.as_ref().context(none)?, request).await
        }
        Request::Instances => instance::list(store).await,
        Request::InstanceEnded { name, who } => instance::end_by_word(store, clock, (name, who)).await,
        Request::Following(request) => following::answer(store, clock, request).await,
        Request::Sources { style } => sources_command::answer(witnesses, clock, *style),
        Request::Holds => holding::holds(store, clock).await,
        Request::Lift { hold, unchecked } => holding::lift(store, clock, *hold, *unchecked).await,
        Request::RpcStatus { style } => rpc_command::status(witnesses.providers()?, *style),
        Request::RpcReload(list) => rpc_command::reload(witnesses.providers()?, list),
        Request::Account(request) => {
            let none = "the process that runs here has accounts of its own making";
            let keyring = witnesses.keyring.as_ref().context(none)?;
            account::answer_request(keyring, store, clock, request).await
        }
        Request::Verify => {
            let ids = Eip712Ids { chain: Chain::Polygon };
            let report = verify(store, &ids, witnesses.options()).await?;
            let text = report.to_string();
            Ok(Answer { ok: report.is_clean(), ..said(&text, serde_json::to_value(&report)?) })
        }
    }
}

/// Asks the running process of a data directory, or opens the store if none runs there.
///
/// # Errors
/// In words, with what to do.
pub async fn ask(place: &Place, request: &Request) -> anyhow::Result<Answer> {
    let data_dir = place.data_dir.as_path();
    if let Some(answer) = socket::ask(data_dir, request).await? {
        return Ok(answer);
    }
    place.must_be_there()?;
    let clock: Arc<dyn Clock> = Arc::new(SystemClock);
    let store = match place.open(&clock).await {
        Ok(store) => store,
        Err(error) => match error.downcast_ref() {
            Some(OpenError::InUse { directory, pid }) => bail!(
                "the process that works on {} ({}) does not answer commands: it is starting or ending, or somebody removed its \
             socket. Try again in a moment. If that does not help, end it{}, which loses nothing, and ask then: commands, \
             `panic` too, work without it",
                directory.display(),
                pid.map_or_else(|| "its number is not known".to_owned(), |pid| format!("process {pid}")),
                pid.map(|pid| format!(" (`kill -9 {pid}`)")).unwrap_or_default()
            ),
            // What is there can be looked at all the same.
            Some(OpenError::Io { source, .. }) if !store::may_be_written(data_dir) => {
                ensure!(
                    request.only_reads(),
                    "{} cannot be written ({source}), and this command writes there. Commands that only read work",
                    data_dir.display()
                );
                SqlStore::look(&data_dir.join(DATABASE), Arc::clone(&clock)).await?
            }
            _ => return Err(error),
        },
    };
    let store = Arc::new(store);
    let witnesses = without_a_process(data_dir, &store, &clock, request)?;
    answer(store.as_ref(), clock.as_ref(), &witnesses, request).await
}

/// What a request needs beside the store where no process runs.
fn without_a_process(
    data_dir: &Path,
    store: &Arc<SqlStore>,
    clock: &Arc<dyn Clock>,
    request: &Request,
) -> anyhow::Result<Witnesses> {
    let jobs = Some(JobsDesk { store: Arc::clone(store), queue: None });
    let words = Some(Arc::clone(store) as Arc<dyn OperatorWords>);
    let secret = match request {
        Request::Verify | Request::People(_) => InstallationSecret::read(data_dir)?,
        _ => None,
    };
    if !matches!(request, Request::People(_)) {
        let salts = secret.map(|secret| Arc::new(secret) as Arc<dyn Salts>);
        return Ok(Witnesses { salts, jobs, words, ..Witnesses::default() });
    }
    let secret = secret
        .with_context(|| format!("the secret of the installation is missing in {}", data_dir.display()))?;
    let settings = ConfigFile::of_environment().configured()?.access;
    let access = Some(people::access(store, &secret, &settings, clock, None));
    Ok(Witnesses { access, jobs, words, ..Witnesses::default() })
}

/// Sets the user's word on a relationship of the owner's, or of anybody's.
///
/// # Errors
/// When there is none; store errors.
pub(crate) async fn set_status(
    store: &dyn Store,
    clock: &dyn Clock,
    owner: Option<OwnerId>,
    (id, status): (RelationshipId, RelationshipStatus),
) -> anyhow::Result<Answer> {
    let word = following::word(status);
    let relationships = store.relationships(owner).await?;
    let found = relationships.iter().find(|relationship| relationship.id == id);
    let none = || {
        following::Wrong::NotFound(format!(
            "there is no relationship {id}; `slipstream following` lists them"
        ))
    };
    let owner = found.ok_or_else(none)?.owner;
    let changed = store.set_status(owner, id, status, clock.now()).await?;
    let text = if changed {
        format!("relationship {id} is {word} now")
    } else {
        format!("relationship {id} was {word} already")
    };
    let held = store.positions(None).await?;
    let held: Shares = held
        .iter()
        .filter(|held| held.relationship == id && status != RelationshipStatus::Active)
        .map(|held| held.position.shares)
        .sum();
    let left = if held.is_positive() {
        let again = if status == RelationshipStatus::Paused {
            format!("`slipstream resume {id}` follows what its leader sold meanwhile, ")
        } else {
            String::new()
        };
        format!(
            "\nthe {} shares that it holds are sold by nobody now, whatever its leader sells: {again}`slipstream panic --sell` \
             sells everything",
            shares(held)
        )
    } else {
        String::new()
    };
    let json = serde_json::json!({ "relationship": id, "status": word, "changed": changed, "held": held });
    Ok(said(&format!("{text}{left}"), json))
}

async fn inspect(
    store: &dyn Store,
    clock: &dyn Clock,
    witnesses: &Witnesses,
    thing: Thing,
    id: &str,
    style: Style,
) -> anyhow::Result<Answer> {
    match thing {
        Thing::Trade => {
            let groups = story::find_trade(store, id).await?;
            let story = story::trade_story(store, None, &groups).await?;
            Ok(said(&story.render(style), serde_json::to_value(&story)?))
        }
        Thing::Order => {
            let record = story::find_order(store, None, id).await?;
            let story = story::order_story(store, None, &record).await?;
            Ok(said(&story.render(style), serde_json::to_value(&story)?))
        }
        Thing::Relationship => {
            let number = id.parse().with_context(|| format!("`{id}` is not the number of a relationship"))?;
            let id = RelationshipId(number);
            let prices = witnesses.prices(store, clock, Some(id)).await?;
            let story = story::relationship_story(store, None, id, &prices, clock.now()).await?;
            Ok(said(&story.render(style), serde_json::to_value(&story)?))
        }
    }
}

fn said(text: &str, json: serde_json::Value) -> Answer {
    Answer { text: text.to_owned(), json, ok: true }
}
