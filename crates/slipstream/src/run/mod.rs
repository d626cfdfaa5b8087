//! `slipstream run`: the engine on the real market until it is told to stop. Orders of paper accounts are filled from
//! the real book. It owns starting and stopping; what is done meanwhile is the engine's.

mod downtime;
mod funding;
pub mod installation;
mod journal;
mod readiness;
mod reconciling;
pub(crate) mod rewound;

use std::{path::Path, process::ExitCode, sync::Arc, time::Duration};

use anyhow::{Context, bail};
use domain::{Clock, WalletKind};
use eip712::Chain;
use engine::{
    deadline::venue_call,
    ports::{
        following::{Account, AccountMode, RelationshipStatus},
        secrets::SealedKeys as _,
        store::Store,
        wallets::Redeemer,
    },
    salt::Salts,
};
use paper::{PaperRedeemer, PaperVenue};
use polymarket::{Eoa, WalletRedeemer, relayer::Relayer};
use store::SqlStore;
use tokio::signal::unix::{Signal, SignalKind, signal};
use tracing::{info, warn};

use self::{
    downtime::Downtime, funding::Funding, journal::Journal, readiness::Readiness, reconciling::Reconciling,
};
use crate::{
    account::{Keyring, KeyringParts, Opening, relayer_key, unlock_known},
    chain::{CALLS_A_DAY, public_providers},
    channels::Channels,
    clock::SystemClock,
    commands::{DATABASE, Witnesses},
    composition::{CHANNELS, Composed, Foundation, Hosts, LIVE_FEED, Pace},
    configuration::{ConfigFile, Configuration},
    demo::directory::DataDirectory,
    holding::end_words,
    instance::this_process,
    logging,
    queue_command::JobsDesk,
    runtime::{Runtime, Settings},
    seam::{LiveAccounts, Seam, SeamOfPayouts},
    secrets::InstallationSecret,
    socket, story,
    wording::{count, grouped},
};

/// Deadline of the first question, which tells people whether there is a network.
const PROBE_DEADLINE: Duration = Duration::from_secs(8);
/// How often leaders' histories are asked for where the chain tells of trades, and where it does not.
const WITH_CHAIN: Duration = Duration::from_secs(5);
const WITHOUT_CHAIN: Duration = Duration::from_secs(2);
/// Time between two looks at what to say in the log.
const LOG_EVERY: Duration = Duration::from_millis(500);

/// Arguments of `run`.
#[derive(Debug, clap::Args)]
#[command(after_help = "Examples:\n  slipstream init && slipstream run\n  \
    slipstream run --config /etc/slipstream.toml --json   # for a service manager")]
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
pub async fn run(arguments: &RunArgs) -> anyhow::Result<ExitCode> {
    let configuration = arguments.config.configured()?;
    let stop = Stop::listen()?;
    logging::of_service(arguments.json)?;
    let data_dir = arguments.data_dir.as_ref().unwrap_or(&configuration.run.data_dir);
    socket::check_path(data_dir)?;
    DataDirectory::refuse(data_dir)?;
    installation::exists(data_dir)?;
    let clock: Arc<dyn Clock> = Arc::new(SystemClock);
    let file = Arc::new(SqlStore::open(&data_dir.join(DATABASE), Arc::clone(&clock)).await?);
    let store = Arc::clone(&file) as Arc<dyn Store>;
    let secret = Arc::new(InstallationSecret::of_installation(data_dir, store.as_ref()).await?);
    crate::crash::arm_from_environment(store.as_ref()).await?;
    let downtime = Downtime::begin(data_dir, store.as_ref(), clock.as_ref()).await?;
    real_money_has_a_chain(store.as_ref(), &configuration).await?;
    let hosts = hosts(&configuration);
    let keyring = Arc::new(keyring(&configuration, data_dir, &secret, &file, &clock).await?);
    let signer = keyring.signer();
    let foundation = Foundation {
        client: client(&hosts)?,
        clock: Arc::clone(&clock),
        store: Arc::clone(&store),
        signer: Arc::clone(&signer),
        salts: Arc::clone(&secret) as _,
        seed: random_seed(),
    };
    let limits = configuration.venue.limits.clone();
    let pace = Pace { clob: Some(limits.clone()), data: Some(limits) };
    let Composed { mut ports, clob, providers, answers } =
        foundation.at(&hosts, pace, configuration.venue.builder)?;
    let matches = Arc::clone(&file) as _;
    let on_paper = PaperVenue::new(clob, Arc::clone(&ports.markets), matches, Arc::clone(&clock));
    let live = configuration.live.enabled;
    let venue = Arc::clone(&ports.gateway);
    ports.gateway = Arc::new(Seam::new(Arc::new(on_paper), live.then_some(venue)));
    let relayer = match &configuration.live.relayer_key {
        Some(path) if live => Some(
            Relayer::new(
                foundation.client.clone(),
                &configuration.run.relayer_url,
                relayer_key(path)?,
                Arc::clone(&signer),
                Arc::clone(&clock),
            )
            .paced(configuration.venue.limits.clone()),
        ),
        _ => None,
    };
    let payouts = providers.as_ref().filter(|_| live).map(|providers| {
        let eoa = Eoa::new(providers.json_rpc(), signer, Chain::Polygon);
        let rpc = providers.json_rpc();
        Arc::new(WalletRedeemer::new(relayer, eoa, rpc, providers.reader(), Chain::Polygon))
            as Arc<dyn Redeemer>
    });
    let on_paper = PaperRedeemer::new(Arc::clone(&ports.markets));
    ports.redeemer = Some(Arc::new(SeamOfPayouts::new(Arc::new(on_paper), payouts)));
    ports.channels = ports
        .channels
        .map(|channels| Channels { accounts: Arc::new(LiveAccounts(channels.accounts)), ..channels });
    let has_chain = ports.chain.is_some();
    same_order(store.as_ref(), has_chain, data_dir).await?;
    let wallets = match providers.as_ref().filter(|_| live) {
        None => None,
        Some(providers) => {
            let ask = readiness::Witnesses {
                clock: Arc::clone(&clock),
                venue_clock: Arc::clone(&ports.venue_clock),
                venue: Arc::clone(&ports.gateway),
                client: foundation.client.clone(),
                geoblock_url: configuration.run.geoblock_url.clone(),
                reader: providers.reader(),
                rpc: providers.json_rpc(),
            };
            Some(WalletWatch {
                readiness: Readiness::begin(ask, store.as_ref()).await?,
                funding: Funding::new(providers.json_rpc()),
                reconciling: Reconciling::new(providers.json_rpc(), providers.reader()),
            })
        }
    };
    let mut witnesses = Witnesses {
        venue: None,
        chain: None,
        salts: Some(secret as Arc<dyn Salts>),
        providers,
        answers: Some(answers),
        sources: None,
        markets: Some(Arc::clone(&ports.markets)),
        keyring: Some(keyring),
        jobs: Some(JobsDesk { store: Arc::clone(&file), queue: Some(Arc::clone(&ports.queue)) }),
    };
    let usual = if has_chain { WITH_CHAIN } else { WITHOUT_CHAIN };
    let history_every = configuration.engine.history_interval.unwrap_or(usual);
    let settings = Settings { workers: usize::from(configuration.engine.workers), history_every };
    let venue_clock = Arc::clone(&ports.venue_clock);
    // Before anything is decided, so that the log tells all of it.
    let journal = Journal::begin(store.as_ref()).await?;
    let runtime = Runtime::start(ports, settings, this_process(clock.now())).await?;
    witnesses.sources = Some(runtime.sources());
    let watch = runtime.clock_watch();
    let socket = socket::serve(data_dir, Arc::clone(&store), Arc::clone(&clock), witnesses, watch)?;
    tell_start(store.as_ref(), clock.as_ref(), &configuration, has_chain).await?;
    if let Err(error) = venue_call(clock.as_ref(), "venue", PROBE_DEADLINE, venue_clock.server_time()).await {
        warn!(
            "the venue cannot be reached: {error}. Nothing is copied until it can; it is asked again and again. \
             Look at the network, and at [run] clob_url"
        );
    }
    let attended = attend(&runtime, store.as_ref(), clock.as_ref(), (journal, downtime, wallets), stop).await;
    socket.abort();
    // Nobody listens on it any more.
    let _ = std::fs::remove_file(socket::path(data_dir));
    let sound = runtime.shutdown().await;
    if let Err(error) = file.close().await {
        warn!(%error, "the newest commits stay in a file of their own beside the database");
    }
    attended?;
    sound?;
    info!("stopped; nothing is lost: what is under way is settled at the next start");
    Ok(ExitCode::SUCCESS)
}

/// Whether accounts with real money may trade: what a wallet holds, and what leaders do, is then held against the chain,
/// and the venue's own services are never believed alone.
async fn real_money_has_a_chain(store: &dyn Store, configuration: &Configuration) -> anyhow::Result<()> {
    if !configuration.live.enabled || !configuration.chain.rpc_urls.is_empty() {
        return Ok(());
    }
    let accounts = store.accounts(None).await?;
    match accounts.iter().find(|account| account.mode == AccountMode::Live && !account.removed) {
        None => Ok(()),
        Some(account) => bail!(
            "account `{}` has real money, and no RPC provider is configured to hold trades and wallets against the chain: \
             name some in `rpc_urls` of [chain], or set `enabled = false` of [live] to run on paper alone",
            account.label
        ),
    }
}

/// Whether what was copied so far is ordered as what comes will be: by block where a chain is read, else by time. By height
/// all that was ordered by time would come after whatever is read, and a sale would be followed once in each order.
async fn same_order(store: &dyn Store, has_chain: bool, data_dir: &Path) -> anyhow::Result<()> {
    let Some(first) = store.decisions_after(None, 0, 1).await?.into_iter().next() else { return Ok(()) };
    let group =
        store.groups(&[first.key], first.decided_at).await?.into_iter().find(|group| group.key == first.key);
    let by_time = group.is_some_and(|group| group.is_ordered_by_time());
    let data_dir = data_dir.display();
    match (by_time, has_chain) {
        (true, true) => bail!(
            "{data_dir} was copied into without an RPC provider: its trades are ordered by time and not by block, and cannot \
             be held against the chain. Take [chain] rpc_urls away again, or begin another data directory with `slipstream \
             init`"
        ),
        (false, false) => bail!(
            "{data_dir} was copied into with an RPC provider: its trades are ordered by block, and exits could not be told \
             without the chain. Name providers in [chain] rpc_urls again, or begin another data directory with `slipstream \
             init`"
        ),
        _ => Ok(()),
    }
}

/// The keys: throw-away ones, and with the first switch those of accounts with real money, which may ask on the
/// terminal for what opens them.
async fn keyring(
    configuration: &Configuration,
    data_dir: &Path,
    secret: &InstallationSecret,
    file: &Arc<SqlStore>,
    clock: &Arc<dyn Clock>,
) -> anyhow::Result<Keyring> {
    let live = &configuration.live;
    let sealed = file.sealed_keys().await?.is_some();
    let unlock = match (&live.socket, live.enabled && sealed) {
        (None, true) => Some(unlock_known(live)?),
        _ => None,
    };
    let opening = match (&live.socket, &unlock) {
        (Some(socket), _) if live.enabled => Opening::At(socket.clone()),
        (_, Some(unlock)) => Opening::Here(unlock),
        _ => Opening::Nowhere,
    };
    let parts = KeyringParts {
        directory: data_dir,
        secret,
        store: Arc::clone(file) as _,
        opening,
        live: live.enabled,
        clock: Arc::clone(clock),
    };
    Keyring::open(parts).await
}

/// What is watched of wallets with real money.
struct WalletWatch {
    readiness: Readiness,
    funding: Funding,
    reconciling: Reconciling,
}

/// Says in the log what happens, until somebody wants it to end.
async fn attend(
    runtime: &Runtime,
    store: &dyn Store,
    clock: &dyn Clock,
    (mut journal, mut downtime, mut wallets): (Journal, Downtime, Option<WalletWatch>),
    mut stop: Stop,
) -> anyhow::Result<()> {
    let mut panics = 0;
    loop {
        journal.tell(store).await;
        downtime.tell(store, clock).await;
        if let Some(wallets) = &mut wallets {
            wallets.readiness.look(store).await;
            wallets.reconciling.look(store, clock).await;
            wallets.funding.look(store, clock).await;
        }
        if runtime.restarts() > panics {
            panics = runtime.restarts();
            warn!(
                panics,
                "a task of the engine had panicked and was started again; please report it with the log"
            );
        }
        tokio::select! {
            () = clock.sleep(LOG_EVERY) => {}
            name = stop.wanted() => {
                info!("{name}: stopping after what is at hand; once more ends at once");
                tokio::spawn(async move {
                    stop.wanted().await;
                    std::process::exit(i32::from(INTERRUPTED));
                });
                return Ok(());
            }
        }
    }
}

/// Exit status of a command that was interrupted, as shells have it.
const INTERRUPTED: u8 = 130;

/// Signals that end a run.
struct Stop {
    interrupt: Signal,
    terminate: Signal,
    hangup: Signal,
}

impl Stop {
    fn listen() -> anyhow::Result<Self> {
        let on = |kind| signal(kind).context("no signal handler");
        Ok(Self {
            interrupt: on(SignalKind::interrupt())?,
            terminate: on(SignalKind::terminate())?,
            hangup: on(SignalKind::hangup())?,
        })
    }

    async fn wanted(&mut self) -> &'static str {
        tokio::select! {
            _ = self.interrupt.recv() => "interrupted",
            _ = self.terminate.recv() => "asked to end",
            _ = self.hangup.recv() => "terminal closed",
        }
    }
}

/// Where everything is: the configuration's hosts, the venue's websockets unless told otherwise.
pub(crate) fn hosts(configuration: &Configuration) -> Hosts {
    let run = &configuration.run;
    let socket = |told: &Option<String>, usual: &str| {
        Some(told.as_deref().unwrap_or(usual).to_owned()).filter(|url| !url.is_empty())
    };
    let rpc: Vec<&str> = configuration.chain.rpc_urls.iter().map(polymarket::RpcUrl::expose).collect();
    Hosts {
        clob: run.clob_url.clone(),
        geoblock: Some(run.geoblock_url.clone()),
        data: Some(run.data_url.clone()),
        channels: socket(&configuration.engine.channel_url, CHANNELS),
        live: socket(&configuration.engine.live_url, LIVE_FEED),
        rpc: (!rpc.is_empty()).then(|| rpc.join(",")),
    }
}

/// Services on this machine need no root certificates.
pub(crate) fn client(hosts: &Hosts) -> anyhow::Result<reqwest::Client> {
    let urls = [Some(&hosts.clob), hosts.data.as_ref(), hosts.rpc.as_ref()].into_iter().flatten();
    let local = urls
        .flat_map(|urls| urls.split(','))
        .all(|url| url.starts_with("http://") || url.starts_with("ws://"));
    Ok(if local { polymarket::local_client() } else { polymarket::client() }?)
}

fn random_seed() -> u64 {
    let mut bytes = [0; 8];
    // It only spreads pauses.
    let _ = rustix::rand::getrandom(&mut bytes, rustix::rand::GetRandomFlags::empty());
    u64::from_be_bytes(bytes)
}

/// Says what is going to happen, and what it rests on.
async fn tell_start(
    store: &dyn Store,
    clock: &dyn Clock,
    configuration: &Configuration,
    has_chain: bool,
) -> anyhow::Result<()> {
    let following = store.following(clock.now()).await?;
    let (relationships, holds) = (&following.relationships, &following.holds);
    let mut accounts = store.accounts(None).await?;
    accounts.retain(|account| !account.removed);
    let active = relationships.iter().filter(|one| one.status == RelationshipStatus::Active).count();
    let live = accounts.iter().filter(|account| account.mode == AccountMode::Live).count();
    info!(
        "running: {} on paper, filled from the real book; {active} of {} copy",
        count(accounts.len().saturating_sub(live), "account"),
        count(relationships.len(), "relationship"),
    );
    for hold in holds {
        warn!("{}; {}", story::hold_words(hold), end_words(hold));
    }
    match (live, configuration.live.enabled) {
        (0, _) => info!("no money moves"),
        (_, true) => warn!("{} may trade with real money, as far as armed", count(live, "account")),
        (_, false) => warn!("{} cannot trade: live trading is switched off", count(live, "live account")),
    }
    let by_relayer = |account: &&Account| {
        account.mode == AccountMode::Live && account.trading.kind != WalletKind::Eoa && !account.removed
    };
    let waiting = accounts.iter().filter(by_relayer).count();
    if waiting > 0 && configuration.live.enabled && configuration.live.relayer_key.is_none() {
        warn!(
            "what {} win waits until it is redeemed by hand: their wallets are contracts, and [live] relayer_key is not set",
            count(waiting, "account")
        );
    }
    if relationships.is_empty() {
        info!("nobody is followed yet: `slipstream follow 0x…` in another terminal");
    }
    if has_chain {
        let providers = configuration.chain.rpc_urls.iter().filter(|url| !url.is_socket()).count();
        info!(
            "the chain is read through {}: about {} calls a day to the one that is asked first (`slipstream rpc status` \
             counts them)",
            count(providers, "RPC provider"),
            grouped(CALLS_A_DAY)
        );
    } else {
        info!(
            "no RPC provider is configured: trades are taken from the Data API and the live feed and not held against \
             the chain, so they come some seconds later and a wrong answer of these services would be believed; \
             [chain] rpc_urls names providers, which real money needs, and no longer once something was copied here (each that is asked first must bear about {} calls a day). Public ones, \
             which promise nothing: {}",
            grouped(CALLS_A_DAY),
            public_providers()
        );
    }
    Ok(())
}

#[cfg(test)]
mod tests;
