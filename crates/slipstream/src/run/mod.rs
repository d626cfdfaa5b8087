//! `slipstream run`: the engine on the real market until it is told to stop. Orders of paper accounts are filled from
//! the real book. It owns starting and stopping; what is done meanwhile is the engine's.

mod adopting;
mod allowed;
mod asking;
mod downtime;
pub(crate) mod funding;
pub mod installation;
mod journal;
#[cfg(test)]
mod live_account;
mod looking;
mod ports;
mod probe;
mod readiness;
mod reconciling;
pub(crate) mod rewound;
mod seeing;
mod stop;
mod telling;
mod wallet_watch;

use std::{future::pending, path::Path, process::ExitCode, sync::Arc, time::Duration};

use access::Access;
use anyhow::ensure;
use domain::Clock;
use engine::{
    deadline::within,
    ports::store::{InstanceId, Store},
    salt::Salts,
};
use operations::{flags::Flags, ports::OperatorWords};
use store::SqlStore;
use tokio::{net::TcpListener, task::JoinHandle};
use tracing::{info, warn};

pub(crate) use self::ports::{client, hosts};
use self::{
    allowed::{real_money_has_a_chain, same_order},
    downtime::{Downtime, RanLast},
    funding::Funding,
    journal::Journal,
    looking::Who,
    ports::{Parts, compose, keyring, random_seed},
    probe::{Probe, Unreachable},
    readiness::Readiness,
    reconciling::Reconciling,
    seeing::Asked,
    stop::{INTERRUPTED, Stop},
    telling::tell_start,
    wallet_watch::{WalletWatch, watch_wallets},
};
use crate::{
    breakers::VenueBreakers,
    chain::ChainProviders,
    clock,
    commands::Witnesses,
    composition::Composed,
    configuration::{ConfigFile, Configuration},
    demo::directory::DataDirectory,
    health::{self, Health},
    instance::{
        self,
        succession::{Succession, give_last_sign},
        this_process,
    },
    logging, pages, people,
    place::{Held, Place},
    queue_command::JobsDesk,
    runtime::{Ports, RECORDED_WITHIN, Role, Runtime, Settings},
    secrets::InstallationSecret,
    socket,
};

/// How often leaders' histories are asked for where the chain tells of trades, and where it does not.
const WITH_CHAIN: Duration = Duration::from_secs(5);
const WITHOUT_CHAIN: Duration = Duration::from_secs(2);
/// Time between two looks at what to say in the log.
const LOG_EVERY: Duration = Duration::from_millis(500);
/// Time between two looks whether those before have ended.
const LOOK_EVERY: Duration = Duration::from_secs(1);
/// What is at hand at the end may take this long: longer than any post. What is not done then is handed over: orders that
/// were signed are looked up by whoever sees that this process is gone. Recording that takes 5 s at most, so that all of it is
/// over within 35 s.
const ENDS_WITHIN: Duration = Duration::from_secs(25);
/// How long letting go of the books may take.
const CLOSED_WITHIN: Duration = Duration::from_secs(5);
const _: () = assert!(ENDS_WITHIN.as_secs() + RECORDED_WITHIN.as_secs() + CLOSED_WITHIN.as_secs() <= 35);

/// Arguments of `run` and of the roles of an installation of many processes.
#[derive(Debug, clap::Args)]
pub struct RunArgs {
    /// Where the settings are.
    #[command(flatten)]
    pub config: ConfigFile,
    /// Its data directory, in place of the configuration's.
    #[arg(long, value_name = "DIRECTORY")]
    pub data_dir: Option<std::path::PathBuf>,
    /// Write the log as one JSON object a line.
    #[arg(long)]
    pub json: bool,
}

/// Runs until SIGINT, SIGTERM or SIGHUP. The exit status is a failure when a task of the engine had panicked.
///
/// # Errors
/// In words, with what to do.
pub async fn run(arguments: &RunArgs, role: Role) -> anyhow::Result<ExitCode> {
    let configuration = arguments.config.configured()?;
    let place = Place::of(&configuration, arguments.data_dir.as_deref())?;
    ensure!(
        role == Role::All || place.servers.is_some(),
        "a {} works beside other processes, and the books are a file, which one process alone works on: `slipstream run` does \
         everything there. For many processes name [database] url and [queue] url",
        role.name()
    );
    let mut stop = Stop::listen()?;
    logging::of_service(arguments.json)?;
    socket::check_path(&place.data_dir)?;
    DataDirectory::refuse(&place.data_dir)?;
    if place.servers.is_none() {
        installation::exists(&place.data_dir)?;
    }
    let clock = clock::of_process(&configuration.run.clob_url)?;
    // Whoever is asked may be slow, or say nothing at all: each step of a start hears what ends it.
    let Some((Held { store, .. }, secret)) = &stop.unless(open(&place, role, &clock)).await? else {
        return Ok(ExitCode::SUCCESS);
    };
    let process = this_process();
    let run = Run { configuration: &configuration, place: &place, role, store, secret, clock, process };
    let worked = match stop.unless(run.prepare()).await {
        Ok(Some(prepared)) => run.work(stop, prepared).await,
        Ok(None) => Ok(()),
        Err(error) => Err(error),
    };
    if within(run.clock.as_ref(), CLOSED_WITHIN, run.close()).await.is_err() {
        warn!(
            "the books are not closed within {CLOSED_WITHIN:?}: what this process held for itself stays held until its end is recorded"
        );
    }
    worked?;
    info!("stopped; nothing is lost: what is under way is settled at the next start");
    Ok(ExitCode::SUCCESS)
}

/// The books, which are this installation's.
async fn open(
    place: &Place,
    role: Role,
    clock: &Arc<dyn Clock>,
) -> anyhow::Result<(Held, Arc<InstallationSecret>)> {
    let held = place.hold(role.connections(), clock).await?;
    let secret = InstallationSecret::of_installation(&place.data_dir, &held.store).await?;
    place.remember(&held.store).await?;
    Ok((held, Arc::new(secret)))
}

/// A run whose books are open.
struct Run<'a> {
    configuration: &'a Configuration,
    place: &'a Place,
    role: Role,
    store: &'a Arc<SqlStore>,
    secret: &'a Arc<InstallationSecret>,
    clock: Arc<dyn Clock>,
    process: InstanceId,
}

/// What is there before anything is begun.
struct Prepared {
    told: Told,
    ports: Ports,
    wallets: Option<WalletWatch>,
    breakers: VenueBreakers,
    flags: Arc<Flags>,
    witnesses: Witnesses,
    /// Where there are many processes.
    succession: Option<Succession>,
    /// Where health is told, and what operators elsewhere show to be told everything.
    health: Option<(TcpListener, Option<[u8; 32]>)>,
    /// Where the pages are served, by the process that answers people.
    pages: Option<(TcpListener, Arc<Access>)>,
}

impl Run<'_> {
    /// Looks at everything that a start depends on.
    async fn prepare(&self) -> anyhow::Result<Prepared> {
        let (store, clock, data_dir) = (self.books(), &self.clock, self.place.data_dir.as_path());
        crate::crash::arm_from_environment(store).await?;
        let run = &self.configuration.run;
        let token = run.health_token.as_deref().map(Health::token).transpose()?;
        let health = match run.health_address {
            Some(address) => Some((health::listen(address).await?, token)),
            None => None,
        };
        let pages = match self.role {
            Role::All | Role::Backend => {
                Some(pages::listen(self.configuration.web.address, &self.configuration.access).await?)
            }
            Role::Worker | Role::Watcher => None,
        };
        let succession = if self.place.servers.is_some() {
            let mut succession = Succession::begin(data_dir, store, &self.process).await?;
            succession.look(store, clock.as_ref()).await?;
            Some(succession)
        } else {
            None
        };
        let told = self.begin_telling(data_dir).await?;
        real_money_has_a_chain(store, self.configuration).await?;
        let keyring = Arc::new(
            keyring(self.configuration, (self.place, self.role), self.secret, self.store, clock).await?,
        );
        let flags = Arc::<Flags>::default();
        // Before anything may be signed: what is switched off stays so over a restart.
        flags.learn(&OperatorWords::flags(self.store.as_ref()).await?);
        let breakers = VenueBreakers::new(Arc::clone(clock), random_seed());
        let Composed { ports, providers, answers, .. } = compose(&Parts {
            configuration: self.configuration,
            store: self.store,
            secret: self.secret,
            keyring: &keyring,
            servers: self.place.servers.as_ref(),
            role: self.role,
            clock,
            breakers: &breakers,
            flags: &flags,
        })?;
        same_order(store, ports.chain.is_some(), data_dir).await?;
        let wallets = self.wallets(&ports, providers.as_ref()).await?;
        let served = pages.as_ref().and_then(|pages| pages.local_addr().ok());
        let access = people::access(self.store, self.secret, &self.configuration.access, clock, served);
        let witnesses = Witnesses {
            venue: None,
            chain: None,
            salts: Some(Arc::clone(self.secret) as Arc<dyn Salts>),
            providers,
            answers: Some(answers),
            sources: None,
            markets: Some(Arc::clone(&ports.markets)),
            keyring: Some(keyring),
            operations: None,
            words: Some(Arc::clone(self.store) as Arc<dyn OperatorWords>),
            jobs: Some(JobsDesk { store: Arc::clone(self.store), queue: Some(Arc::clone(&ports.queue)) }),
            access: Some(Arc::clone(&access)),
        };
        let pages = pages.map(|pages| (pages, access));
        Ok(Prepared { told, ports, wallets, breakers, flags, witnesses, succession, health, pages })
    }

    /// Lets go of the books.
    async fn close(&self) {
        let (store, clock) = (self.books(), self.clock.as_ref());
        if let Err(error) = looking::end(store, clock, &self.process).await {
            warn!(%error, "what this process held for itself stays held until its end is recorded: {error}");
        }
        if self.place.servers.is_some()
            && let Err(error) = give_last_sign(store, &self.process).await
        {
            warn!(%error, "this process seems to live for some seconds more: {error}");
        }
        if let Err(error) = self.store.close().await {
            warn!(%error, "the newest commits stay in a file of their own beside the database");
        }
    }

    /// Starts everything, attends to it, and stops it.
    async fn work(&self, mut stop: Stop, prepared: Prepared) -> anyhow::Result<()> {
        let Prepared { told, ports, wallets, breakers, flags, mut witnesses, succession, health, pages } =
            prepared;
        let (store, clock, data_dir) = (self.books(), &self.clock, self.place.data_dir.as_path());
        let has_chain = ports.chain.is_some();
        let queue = Arc::clone(&ports.queue);
        let (venue_clock, chain) = (Arc::clone(&ports.venue_clock), ports.chain.clone());
        let runtime = Runtime::start(ports, self.settings(has_chain), self.process.clone()).await?;
        witnesses.sources = Some(runtime.sources());
        let (books, watch) = (Arc::clone(self.store) as Arc<dyn Store>, runtime.clock_watch());
        let asked = Asked { queue, venue: Arc::clone(&venue_clock), breakers, flags };
        let seeing = self.see(&runtime, asked, &witnesses, health)?;
        witnesses.operations = Some(seeing.desk.clone());
        let pages = match pages {
            Some((listener, access)) => Some(self.serve_pages(listener, access, witnesses.clone()).await?),
            None => None,
        };
        let socket = socket::serve(data_dir, books, Arc::clone(clock), witnesses, watch)?;
        let mut probe = Probe::begin(clock, venue_clock, chain);
        let attend = async {
            self.tell_start(has_chain, &probe.first(clock.as_ref()).await).await?;
            tokio::select! {
                () = tell(&runtime, store, clock.as_ref(), told) => {}
                () = watch_wallets(&runtime, store, clock.as_ref(), wallets) => {}
                () = probe.tell_later() => {}
                () = look_at_predecessors(store, clock.as_ref(), succession) => {}
            }
            anyhow::Ok(())
        };
        tokio::select! {
            ended = attend => ended?,
            name = stop.wanted() => end_at_once_next_time(name, stop),
        }
        if let Some(pages) = pages {
            pages.abort();
        }
        socket.abort();
        drop(seeing);
        // Nobody listens on it any more.
        let _ = std::fs::remove_file(socket::path(data_dir));
        if !runtime.shutdown_within(ENDS_WITHIN).await? {
            warn!("what was at hand has not come to an end within {ENDS_WITHIN:?}: others take it over");
        }
        Ok(())
    }

    fn books(&self) -> &dyn Store {
        self.store.as_ref()
    }

    fn settings(&self, has_chain: bool) -> Settings {
        let engine = &self.configuration.engine;
        let usual = if has_chain { WITH_CHAIN } else { WITHOUT_CHAIN };
        Settings {
            workers: usize::from(engine.workers),
            history_every: engine.history_interval.unwrap_or(usual),
            role: self.role,
            shared: self.place.servers.is_some(),
        }
    }

    async fn serve_pages(
        &self,
        listener: TcpListener,
        access: Arc<Access>,
        witnesses: Witnesses,
    ) -> anyhow::Result<JoinHandle<()>> {
        people::tell_door(&access, &pages::url(&listener)).await?;
        let (store, clock) = (Arc::clone(self.store) as Arc<dyn Store>, Arc::clone(&self.clock));
        let guard = pages::guard(self.secret);
        Ok(pages::serve(listener, pages::Parts { store, clock, witnesses, guard, access, demo: None }))
    }

    /// What this process tells in its log of what happens: with many processes the backend's tells it.
    async fn begin_telling(&self, data_dir: &Path) -> anyhow::Result<Told> {
        let (store, clock) = (self.books(), self.clock.as_ref());
        if !matches!(self.role, Role::All | Role::Backend) {
            return Ok(Told { downtime: None, journal: None });
        }
        let ran = match self.place.servers {
            None => RanLast::Alone(data_dir, !self.configuration.chain.rpc_urls.is_empty()),
            Some(_) => RanLast::AmongMany,
        };
        let downtime = Some(Downtime::begin(ran, store, clock).await?);
        Ok(Told { downtime, journal: Some(Journal::begin(store).await?) })
    }

    /// What is looked after for accounts with real money: by whoever signs, whether they may buy from there; by one
    /// process, what their wallets have.
    async fn wallets(
        &self,
        ports: &Ports,
        providers: Option<&ChainProviders>,
    ) -> anyhow::Result<Option<WalletWatch>> {
        let Some(providers) = providers.filter(|_| self.configuration.live.enabled) else { return Ok(None) };
        let mut watch = WalletWatch { readiness: None, wallets: None };
        // First, so that whoever may buy from the start has what it buys with.
        if matches!(self.role, Role::All | Role::Backend) {
            let venue = Arc::clone(&ports.gateway);
            let reconciling = Reconciling::new(providers.json_rpc(), providers.reader(), venue);
            let funding = Funding::begin(providers.json_rpc(), self.books(), self.clock.as_ref()).await;
            watch.wallets = Some((funding, reconciling));
        }
        if self.role.works() {
            let ask = asking::Witnesses {
                clock: Arc::clone(&self.clock),
                venue_clock: Arc::clone(&ports.venue_clock),
                venue: Arc::clone(&ports.gateway),
                client: client(&hosts(self.configuration))?,
                geoblock_url: self.configuration.run.geoblock_url.clone(),
                reader: providers.reader(),
                rpc: providers.json_rpc(),
            };
            let words = self.place.servers.as_ref().map_or_else(String::new, |_| {
                format!("{} of {}, {}: ", self.role.name(), instance::host(), self.place.data_dir.display())
            });
            let buys_elsewhere = self.place.servers.as_ref().map(|_| Arc::clone(&ports.buys_elsewhere));
            let who = Who { process: self.process.clone(), words, buys_elsewhere };
            watch.readiness = Some(Readiness::begin(ask, self.books(), who).await?);
        }
        Ok(Some(watch))
    }

    async fn tell_start(&self, has_chain: bool, unreachable: &Unreachable) -> anyhow::Result<()> {
        if let Some(servers) = &self.place.servers {
            info!("{} of an installation of many processes: {}", self.role.name(), servers.shown());
        }
        tell_start(self.books(), self.clock.as_ref(), self.configuration, has_chain, unreachable).await
    }
}

/// What is told in the log.
struct Told {
    journal: Option<Journal>,
    downtime: Option<Downtime>,
}

/// Says in the log what happens, for ever.
async fn tell(runtime: &Runtime, store: &dyn Store, clock: &dyn Clock, mut told: Told) {
    let (mut panics, sources) = (0, runtime.sources().watch);
    loop {
        if let Some(journal) = &mut told.journal {
            journal.tell(store).await;
        }
        if let Some(downtime) = &mut told.downtime {
            downtime.tell(store, clock, &sources).await;
        }
        if runtime.restarts() > panics {
            panics = runtime.restarts();
            warn!(
                panics,
                "a task of the engine had panicked and was started again; please report it with the log"
            );
        }
        clock.sleep(LOG_EVERY).await;
    }
}

/// Looks until it is known of everybody who worked on this data directory before that they have ended, and for ever.
async fn look_at_predecessors(store: &dyn Store, clock: &dyn Clock, succession: Option<Succession>) {
    let Some(mut succession) = succession else { return pending().await };
    while !succession.is_settled() {
        clock.sleep(LOOK_EVERY).await;
        if let Err(error) = succession.look(store, clock).await {
            warn!("it is not known who worked on this data directory before: {error:#}");
        }
    }
    pending().await
}

fn end_at_once_next_time(name: &str, mut stop: Stop) {
    info!("{name}: stopping after what is at hand; once more ends at once");
    tokio::spawn(async move {
        stop.wanted().await;
        std::process::exit(i32::from(INTERRUPTED));
    });
}

#[cfg(test)]
mod tests;
