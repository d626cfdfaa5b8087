//! `slipstream demo`: real leaders' recorded trades, copied by paper followers against the simulator, in
//! one process, on real sockets, with things to break.

pub mod books;
pub mod command;
pub mod control;
pub(crate) mod directory;
pub mod figures;
pub mod headless;
pub mod live;
pub mod paint;
pub mod picture;
pub mod player;
pub mod recording;
pub mod report;
pub mod setup;
pub mod tape;
mod urls;
pub mod view;
pub mod wallets;
mod watched;

use std::{
    path::{Path, PathBuf},
    sync::{Arc, Mutex, PoisonError},
    time::Duration,
};

use anyhow::{Context, bail};
use domain::{Clock, Timestamp};
use eip712::Chain;
use engine::{
    ports::{detection::Source, store::Store, venue::ChainReader},
    salt::Salts,
};
use polymarket::{Clob, DataApi};
use store::SqlStore;
use tokio::sync::watch;

pub use self::urls::SimulatorUrls;
use self::{
    books::Books,
    control::Control,
    live::{LiveLeader, MirroredHistory, reachable},
    picture::{Collector, Picture},
    player::{Played, Player},
    tape::Tape,
};
use crate::{
    clock::SystemClock,
    commands::Witnesses,
    composition::{Composed, Foundation, Hosts, LIVE_FEED, Pace, derived_signer},
    configuration::keys::{FollowerSettings, VenueSettings},
    instance::this_process,
    queue_command::JobsDesk,
    runtime::{Killed, Runtime, Settings, TaskPanicked},
    secrets::InstallationSecret,
};

/// How long a demo may take to settle after its last trade.
const SETTLE_PATIENCE: Duration = Duration::from_secs(150);
/// An exit that is looked at again that soon is waited for; one that cannot be carried out is put off for
/// longer and longer.
const REVISITED_SOON: Duration = Duration::from_secs(2);
/// Time between pictures.
const PICTURE_EVERY: Duration = Duration::from_millis(250);

/// What a demo is asked for.
#[derive(Clone, Debug)]
pub struct Options {
    /// How many times faster than recorded.
    pub speed: u32,
    /// Followers.
    pub followers: usize,
    /// The styles they take turns in.
    pub styles: Vec<FollowerSettings>,
    /// Seed of keys and of the simulator.
    pub seed: u64,
    /// Break something every few seconds.
    pub faults: bool,
    /// Another tape.
    pub tape: Option<PathBuf>,
    /// Sell at the end of the tape what leaders still hold.
    pub synthetic_exits: bool,
    /// Where to keep the data; a fresh temporary directory if not given.
    pub data_dir: Option<PathBuf>,
    /// Worker tasks.
    pub workers: usize,
    /// How often each leader's history is asked for, where not as usual.
    pub history_interval: Option<Duration>,
    /// Where the venue's channels are, if not where the venue is; empty for none.
    pub channel_url: Option<String>,
    /// Where the live trade feed is, if not where it is usually; empty for none.
    pub live_url: Option<String>,
    /// How the venue is called.
    pub venue: VenueSettings,
    /// Follow this wallet now instead of playing a tape.
    pub leader: Option<LiveLeader>,
    /// A simulator in another process, which plays a tape of its own.
    pub simulator: Option<SimulatorUrls>,
}

/// Something to break while the demo runs.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Break {
    /// Kill a worker task, mid-order if it has one.
    Worker,
    /// Take the venue down, or bring it back.
    Venue,
    /// Reorganise the chain.
    Chain,
}

/// A demo at work.
pub struct Demo {
    runtime: Runtime,
    collector: Collector,
    control: Control,
    clock: Arc<dyn Clock>,
    store: Arc<dyn Store>,
    file: Arc<SqlStore>,
    chain: Arc<dyn ChainReader>,
    venue_down: bool,
    /// Workers that are about to be killed.
    kills: Vec<tokio::task::JoinHandle<Killed>>,
    /// Whether it was said that the clock is off.
    clock_told: bool,
    /// Following a real wallet: without a chain nothing is ever final.
    live: bool,
    simulator: Option<simulator::Running>,
    played: Arc<Mutex<Played>>,
    play: Option<tokio::task::JoinHandle<anyhow::Result<()>>>,
    socket: tokio::task::JoinHandle<()>,
    witnesses: Witnesses,
    data_dir: PathBuf,
}

/// What a demo has gathered, and whom it can be held against.
#[derive(Clone, Copy)]
pub struct DemoParts<'a> {
    /// Pictures and orders.
    pub collector: &'a Collector,
    /// The simulator's books.
    pub control: &'a Control,
    /// The system of record.
    pub store: &'a dyn Store,
    /// The chain on which the simulator settles.
    pub chain: &'a dyn ChainReader,
    /// What was played.
    pub played: &'a Mutex<Played>,
}

impl Demo {
    /// Starts simulator, followers, engine and tape. The data is kept in `data_dir`, which exists.
    ///
    /// # Errors
    /// In words, with what to do.
    pub async fn start(options: &Options, data_dir: &Path) -> anyhow::Result<Self> {
        let clock: Arc<dyn Clock> = Arc::new(SystemClock);
        let (urls, simulator) = match &options.simulator {
            Some(urls) => (urls.clone(), None),
            None => urls::start_simulator(options.seed, &clock).await?,
        };
        let (client, limits) = (http_client(options)?, &options.venue.limits);
        let control = Control::new(client.clone(), &urls.control);
        let secret = Arc::new(InstallationSecret::of_seed(options.seed));
        let signer = derived_signer(&secret);
        let followers = setup::followers(options.followers, options.seed, &secret, &signer).await?;
        let opened = SqlStore::open(&data_dir.join(crate::commands::DATABASE), Arc::clone(&clock)).await?;
        let file = Arc::new(opened);
        let store = Arc::clone(&file) as Arc<dyn Store>;
        let player = player_of(options, &control, &clock)?;
        let mirror = |leader: &LiveLeader| {
            let (client, signer, clock) = (client.clone(), Arc::clone(&signer), Arc::clone(&clock));
            let played = player.progress();
            let real = DataApi::new(client.clone(), &leader.data_url).paced(clock.clone(), limits.clone());
            let venue = Clob::new(client, &leader.clob_url, Chain::Polygon, signer, Arc::clone(&clock));
            let (real, markets) = (Arc::new(real), Arc::new(venue.paced(limits.clone())));
            MirroredHistory::new(leader.wallet, real, markets, control.clone(), clock, played)
        };
        let (live, notice) = reachable(options.leader.as_ref().map(mirror)).await;
        let following = live.as_ref().map(MirroredHistory::following);
        let leaders = match &options.leader {
            Some(leader) if live.is_some() => vec![leader.wallet],
            _ => player.header().wallets.clone(),
        };
        let fresh = store.accounts(None).await?.is_empty();
        if !fresh && simulator.is_some() {
            bail!(
                "{} holds an earlier demo, whose venue is gone; give another --data-dir, or read it with\n`slipstream activity --data-dir {0}`",
                data_dir.display()
            );
        }
        secret.keep(data_dir)?;
        if fresh {
            if simulator.is_some() && live.is_none() {
                player.prepare().await?;
            }
            // Trades are dated in whole seconds. The tape's come later, and within this second they must not
            // look older than their followers; a real leader's may be older, and are missed in doubt.
            let now = clock.now();
            let now = if live.is_some() { now } else { Timestamp::from_seconds(now.seconds()) };
            setup::enrol(store.as_ref(), &control, &followers, &options.styles, &leaders, now).await?;
            if let Some(live) = &live {
                live.begin(now);
            }
        }
        crate::crash::arm_from_environment(store.as_ref()).await?;
        let foundation = Foundation {
            client: client.clone(),
            clock: Arc::clone(&clock),
            store: Arc::clone(&store),
            signer: Arc::clone(&signer) as _,
            salts: Arc::clone(&secret) as _,
            seed: options.seed,
        };
        let is_live = live.is_some();
        let pace = Pace { clob: Some(limits.clone()), data: Some(limits.clone()), ..Pace::default() };
        let hosts = hosts(options, &urls, is_live);
        let Composed { mut ports, providers, answers, .. } =
            foundation.at(&hosts, pace, options.venue.builder)?;
        let providers = providers.context("the simulator has no chain")?;
        let chain = providers.reader();
        if let Some(mirror) = live {
            // A real leader's markets are not resolved here, and its trades are on no chain of ours.
            ports.history = Some(Arc::new(mirror));
            ports.chain = None;
        } else {
            let parts = wallets::Parts {
                client,
                control: &control,
                urls: &urls,
                secret: &secret,
                signer: &signer,
                providers: &providers,
                clock: &clock,
                answers: &answers,
            };
            ports.redeemer = Some(wallets::redeemer(&parts).await?);
        }
        let books = Books::new(control.clone());
        let books = if is_live { books.without_fees() } else { books };
        let mut witnesses = Witnesses {
            venue: Some(Arc::new(books)),
            chain: (!is_live).then(|| Arc::clone(&chain)),
            salts: Some(secret as Arc<dyn Salts>),
            providers: Some(providers),
            answers: Some(answers),
            markets: Some(Arc::clone(&ports.markets)),
            jobs: Some(JobsDesk { store: Arc::clone(&file), queue: Some(Arc::clone(&ports.queue)) }),
            ..Witnesses::default()
        };
        let usual = Duration::from_secs(if is_live { 2 } else { 5 });
        let settings = Settings::alone(options.workers, options.history_interval.unwrap_or(usual));
        let runtime = Runtime::start(ports, settings, this_process()).await?;
        let played = player.progress();
        let mut collector = Collector::new(
            Arc::clone(&store),
            control.clone(),
            Arc::clone(&clock),
            Arc::clone(&played),
            following,
        );
        if let Some(notice) = notice {
            collector.tell(notice);
        }
        if !is_live {
            wait_for_baseline(&runtime, store.as_ref(), clock.as_ref()).await?;
        }
        witnesses.sources = Some(runtime.sources());
        let (served, watch) = (Arc::clone(&store), runtime.clock_watch());
        let socket = crate::socket::serve(data_dir, served, Arc::clone(&clock), witnesses.clone(), watch)?;
        let play =
            (simulator.is_some() && !is_live).then(|| tokio::spawn(async move { player.play().await }));
        Ok(Self {
            runtime,
            collector,
            control,
            clock,
            store,
            file,
            chain,
            venue_down: false,
            kills: Vec::new(),
            clock_told: false,
            live: is_live,
            simulator,
            played,
            play,
            socket,
            witnesses,
            data_dir: data_dir.to_owned(),
        })
    }

    /// Runs until the tape is played and everything is settled, sending a picture every quarter of a
    /// second, breaking what is asked for. When `stop` says so the tape stops early and what was played is
    /// still settled. Returns whether everything was settled in time.
    ///
    /// # Errors
    /// When the player, the store or the simulator fails.
    pub async fn run(
        &mut self,
        pictures: &watch::Sender<Picture>,
        breaks: &mut tokio::sync::mpsc::UnboundedReceiver<Break>,
        stop: &mut watch::Receiver<bool>,
    ) -> anyhow::Result<bool> {
        let mut settling_since = None;
        loop {
            while let Ok(wanted) = breaks.try_recv() {
                self.break_something(wanted).await;
            }
            self.tell_killed().await;
            self.check_player().await?;
            self.runtime.check()?;
            self.tell_clock();
            let picture = self.collector.gather().await?;
            let over = picture.played || *stop.borrow();
            pictures.send_replace(picture);
            if over {
                self.played.lock().unwrap_or_else(PoisonError::into_inner).stopped = true;
                if self.venue_down {
                    self.break_something(Break::Venue).await;
                }
                let since = *settling_since.get_or_insert(self.clock.uptime());
                if self.is_settled().await? {
                    // What was learned since the picture above belongs to the report.
                    pictures.send_replace(self.collector.gather().await?);
                    return Ok(true);
                }
                if self.clock.uptime().saturating_sub(since) > SETTLE_PATIENCE {
                    return Ok(false);
                }
            }
            tokio::select! {
                () = self.clock.sleep(PICTURE_EVERY) => {}
                _ = stop.changed(), if !over => {}
            }
        }
    }

    /// Says once that the clock is off, among what is broken.
    fn tell_clock(&mut self) {
        let off = self.runtime.clock_watch().warning();
        if let Some(warning) = off.filter(|_| !self.clock_told) {
            self.clock_told = true;
            self.collector.note_broken(self.clock.now(), warning, self.venue_down);
        }
    }

    /// Tells what was killed meanwhile.
    async fn tell_killed(&mut self) {
        for kill in std::mem::take(&mut self.kills) {
            if !kill.is_finished() {
                self.kills.push(kill);
                continue;
            }
            let words =
                kill.await.map_or_else(|error| format!("could not break: {error}"), |it| it.to_string());
            self.collector.note_broken(self.clock.now(), words, self.venue_down);
        }
    }

    async fn check_player(&mut self) -> anyhow::Result<()> {
        if self.play.as_ref().is_some_and(tokio::task::JoinHandle::is_finished)
            && let Some(play) = self.play.take()
        {
            play.await.context("the player died")??;
        }
        Ok(())
    }

    /// Breaks something now.
    pub async fn break_something(&mut self, what: Break) {
        let at = self.clock.now();
        let done = match what {
            Break::Worker => {
                // It may be waited for; told once it is done.
                self.kills.push(tokio::spawn(self.runtime.kill_worker_mid_order()));
                return;
            }
            Break::Venue => {
                self.venue_down = !self.venue_down;
                let words = if self.venue_down { "took the venue down" } else { "brought the venue back" };
                self.control.outage(self.venue_down).await.map(|()| words)
            }
            Break::Chain => self.control.reorganise(2).await.map(|()| "reorganised two blocks"),
        };
        let words = done.map_or_else(|error| format!("could not break: {error:#}"), str::to_owned);
        self.collector.note_broken(at, words, self.venue_down);
    }

    /// Whether everything played, and everything it led to, is final: nothing is on its way at the venue,
    /// the newest block with a transaction is final and read, and nothing waits in the store. The head is no
    /// measure: empty blocks go on for ever. Asked in the order in which things happen, so that nothing
    /// passes from a place not asked yet to one that was.
    async fn is_settled(&self) -> anyhow::Result<bool> {
        let (store, now) = (self.store.as_ref(), self.clock.now());
        let status = self.control.status().await?;
        if !status.pending.is_empty() || status.late > 0 {
            return Ok(false);
        }
        if !self.live && !self.has_read(status.newest_tx).await? {
            return Ok(false);
        }
        let quiet = store.incomplete_parts().await?.is_empty()
            && store.unbooked_redemptions(i64::MAX, 1).await?.is_empty()
            && store.due_revisits(now.plus(REVISITED_SOON), 1).await?.is_empty();
        let paid = self.live || wallets::is_paid(store, &status.resolved).await?;
        Ok(quiet && paid && store.count_open_work().await? == 0)
    }

    /// Whether detection has read this block, knows it as final, and has settled every trade up to it.
    async fn has_read(&self, block: i64) -> anyhow::Result<bool> {
        for source in [Source::Chain, Source::Finalized] {
            if self.store.cursor(source).await?.is_none_or(|read| read < block) {
                return Ok(false);
            }
        }
        Ok(self.store.unsettled_groups(i64::MAX, self.clock.now(), 1).await?.is_empty())
    }

    /// What the report is gathered from.
    #[must_use]
    pub fn parts(&self) -> DemoParts<'_> {
        DemoParts {
            collector: &self.collector,
            control: &self.control,
            store: self.store.as_ref(),
            chain: self.chain.as_ref(),
            played: &self.played,
        }
    }

    /// Stops everything in order.
    ///
    /// # Errors
    /// When a task of the engine had panicked.
    pub async fn shutdown(self) -> Result<(), TaskPanicked> {
        self.socket.abort();
        // Nobody listens on it any more.
        let _ = std::fs::remove_file(crate::socket::path(&self.data_dir));
        let sound = self.runtime.shutdown().await;
        if let Some(play) = self.play {
            play.abort();
        }
        if let Some(simulator) = self.simulator {
            simulator.shutdown().await;
        }
        if let Err(error) = self.file.close().await {
            tracing::warn!(%error, "the newest commits stay in a file of their own beside the database");
        }
        sound
    }
}

/// Without a leader to follow nothing leaves this machine, so no root certificate is needed.
fn http_client(options: &Options) -> anyhow::Result<reqwest::Client> {
    let made = if options.leader.is_some() { polymarket::client() } else { polymarket::local_client() };
    Ok(made?)
}

/// Where a demo finds everything: the simulator, and for a real leader the real feed of trades.
fn hosts(options: &Options, urls: &SimulatorUrls, is_live: bool) -> Hosts {
    let some = |url: &str| Some(url.to_owned()).filter(|url| !url.is_empty());
    Hosts {
        clob: urls.clob.clone(),
        geoblock: Some(urls.clob.clone()),
        data: Some(urls.data.clone()),
        channels: some(options.channel_url.as_deref().unwrap_or(&urls.clob)),
        live: some(options.live_url.as_deref().unwrap_or(if is_live { LIVE_FEED } else { &urls.live })),
        rpc: Some(urls.rpc.clone()),
    }
}

fn player_of(options: &Options, control: &Control, clock: &Arc<dyn Clock>) -> anyhow::Result<Player> {
    let tape = match &options.tape {
        Some(path) => {
            let packed = std::fs::read(path).with_context(|| format!("cannot read {}", path.display()))?;
            Tape::read(&packed).with_context(|| format!("{}", path.display()))?
        }
        None => Tape::recorded()?,
    };
    let tape = if options.synthetic_exits { tape.with_synthetic_exits() } else { tape };
    Ok(Player::new(control.clone(), Arc::clone(clock), tape, options.speed))
}

/// The tape must not begin before detection has its baseline, or its first trades would be old.
async fn wait_for_baseline(runtime: &Runtime, store: &dyn Store, clock: &dyn Clock) -> anyhow::Result<()> {
    let limit = clock.uptime() + Duration::from_secs(30);
    while store.cursor(Source::Chain).await?.is_none() {
        runtime.check()?;
        if clock.uptime() > limit {
            bail!("detection did not start within 30 s; see the log");
        }
        clock.sleep(Duration::from_millis(20)).await;
    }
    Ok(())
}
