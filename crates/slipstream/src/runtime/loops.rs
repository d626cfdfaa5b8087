//! What each task of the engine does over and over, until everything stops.

use std::{sync::Arc, time::Duration};

use engine::{
    head_watch::HeadWatch,
    in_vain::InVain,
    limits::{REGION_EVERY, RESCUES_IN_VAIN, STANDBY_LOOK, WATCHER_LEASE},
    ports::{
        detection::Lane,
        store::{InstanceId, StoreError},
        wallets::Redeemer,
    },
    redeeming::Redeeming,
    redemptions::Redemptions,
    refusals::look_at_region,
    rescuer::{Rescued, Rescuer},
    settlement::{Round, Settlement, Settling, Silent},
    steady_time::SteadyTime,
    tasks::TaskRunner,
    watcher::{Watcher, WatcherError, WatcherPorts},
    worker::{Batches, Worker},
};
use tracing::{debug, error, warn};

use super::{
    ERROR_PAUSE, Shared,
    alarms::{self, PAYOUTS_HANG_AFTER},
    turn::Turn,
};
use crate::venue_clock::MEASURE_EVERY;

/// Time between two lines of the log that say the same about a source.
const SAID_AGAIN: Duration = Duration::from_secs(30);
/// Pause of redemptions when nothing was booked or begun.
const REDEEM_PAUSE: Duration = Duration::from_secs(1);
/// Time between two looks at which periodic task is due.
const TASK_LOOK: Duration = Duration::from_secs(30);
/// How long a worker waits at the queue.
const POP_WAIT: Duration = Duration::from_millis(500);
/// One that stands by takes over within this of the other's last sign of life.
const TAKES_OVER_WITHIN: Duration = Duration::from_secs(5);
const _: () = assert!(
    WATCHER_LEASE.as_millis() + STANDBY_LOOK.as_millis() < TAKES_OVER_WITHIN.as_millis(),
    "a lease is over, and is asked for, in time"
);

pub(super) async fn watch_loop(shared: Arc<Shared>, instance: InstanceId) {
    let ports = &shared.ports;
    let watcher = Watcher::new(WatcherPorts {
        store: Arc::clone(&ports.store),
        queue: Arc::clone(&ports.queue),
        chain: ports.chain.clone(),
        history: ports.history.clone(),
        live: ports.live.clone(),
        markets: Arc::clone(&shared.cache),
        clock: Arc::clone(&ports.clock),
        instance: instance.clone(),
        history_every: shared.settings.history_every,
    });
    let mut watcher = watcher.with_sources(Arc::clone(&shared.sources));
    if shared.settings.shared {
        watcher = watcher.beside_others();
    }
    let mut said = None;
    while !shared.supervisor.is_stopped() {
        match shared.rounds.of(&instance, watcher.step()).await {
            // Blocks may have brought fills of our orders.
            Ok(report) if report.busy => shared.to_settle.notify_one(),
            Ok(report) if !report.active => shared.supervisor.pause(STANDBY_LOOK).await,
            Ok(_) => tokio::select! {
                () = watcher.rest() => {}
                () = shared.supervisor.stopped() => {}
            },
            Err(error) => {
                report_watcher(&error, &mut said, ports.clock.uptime());
                shared.supervisor.pause(ERROR_PAUSE).await;
            }
        }
    }
}

/// Says what holds detection up. A source may be gone for hours: that is `said` from time to time.
fn report_watcher(error: &WatcherError, said: &mut Option<Duration>, now: Duration) {
    match error {
        WatcherError::NotActive => debug!("another watcher is active"),
        WatcherError::Venue(error) if said.is_none_or(|at| now.saturating_sub(at) >= SAID_AGAIN) => {
            *said = Some(now);
            warn!("detection waits for a source: {error}");
        }
        WatcherError::Venue(error) => debug!("detection still waits for a source: {error}"),
        error => error!(%error, "detection failed: {error}"),
    }
}

pub(super) async fn settle_loop(shared: Arc<Shared>, instance: InstanceId) {
    let ports = &shared.ports;
    let settlement = Settlement {
        failures: Arc::clone(&shared.failures),
        store: Arc::clone(&ports.store),
        gateway: Arc::clone(&ports.gateway),
        chain: ports.chain.clone(),
        feed: ports.channels.as_ref().map(|channels| Arc::clone(&channels.accounts)),
        clock: Arc::clone(&ports.clock),
        head: HeadWatch::default(),
        round: Round::default(),
        silent: Silent::default(),
        steady: SteadyTime::default(),
        instance: instance.clone(),
    };
    let mut settling = Settling::new(&settlement);
    while !shared.supervisor.is_stopped() {
        match shared.rounds.of(&instance, settle_once(&mut settling)).await {
            Ok(Some(rest)) => tokio::select! {
                () = shared.rest(&shared.to_settle, rest) => {}
                () = settling.heard() => {}
            },
            Ok(None) => {}
            Err(error) => {
                error!(%error, "settlement failed: {error}");
                let resting = shared.supervisor.pause(ERROR_PAUSE);
                tokio::pin!(resting);
                // What is under way goes on meanwhile.
                loop {
                    tokio::select! {
                        () = &mut resting => break,
                        () = settling.heard() => {}
                    }
                }
            }
        }
    }
    if let Err(error) = settling.finish().await {
        error!(%error, "the last look-ups cannot be recorded: {error}");
    }
}

/// One round; how long there is nothing to do after it, if nothing was done.
async fn settle_once(settling: &mut Settling<'_>) -> Result<Option<Duration>, StoreError> {
    if settling.book_chain_fills().await? + settling.run_once().await? > 0 {
        return Ok(None);
    }
    settling.rest().await.map(Some)
}

pub(super) async fn redeem_loop(shared: Arc<Shared>, instance: InstanceId) {
    let ports = &shared.ports;
    let (store, markets) = (Arc::clone(&ports.store), Arc::clone(&ports.markets));
    let mut redemptions = Redemptions::new(store, markets, Arc::clone(&ports.clock));
    let mut turn = Turn::new(&shared, "redemptions", &instance);
    while turn.comes().await {
        match shared.rounds.of(&instance, redemptions.round()).await {
            Ok(0) => shared.supervisor.pause(REDEEM_PAUSE).await,
            Ok(_) => {}
            Err(error) => {
                error!(%error, "redemptions cannot be booked: {error}");
                shared.supervisor.pause(ERROR_PAUSE).await;
            }
        }
    }
}

pub(super) async fn payout_loop(shared: Arc<Shared>, instance: InstanceId, redeemer: Arc<dyn Redeemer>) {
    let ports = &shared.ports;
    let (store, markets) = (Arc::clone(&ports.store), Arc::clone(&ports.markets));
    let mut redeeming = Redeeming::new(store, markets, redeemer, Arc::clone(&ports.clock))
        .telling(Arc::clone(&ports.gateway));
    let mut turn = Turn::new(&shared, "redeeming", &instance);
    while turn.comes().await {
        match shared.rounds.of_at_most(&instance, PAYOUTS_HANG_AFTER, redeeming.round()).await {
            Ok(0) => shared.supervisor.pause(REDEEM_PAUSE).await,
            Ok(_) => {}
            Err(error) => {
                error!(%error, "resolved shares cannot be redeemed: {error}");
                shared.supervisor.pause(ERROR_PAUSE).await;
            }
        }
    }
}

pub(super) async fn task_loop(shared: Arc<Shared>, instance: InstanceId) {
    let ports = &shared.ports;
    let (store, clock) = (Arc::clone(&ports.store), Arc::clone(&ports.clock));
    let runner = TaskRunner { store, clock, instance: instance.clone() };
    while !shared.supervisor.is_stopped() {
        match shared.rounds.of(&instance, runner.round()).await {
            Ok(0) => shared.supervisor.pause(TASK_LOOK).await,
            Ok(_) => {}
            Err(error) => {
                error!(%error, "periodic tasks cannot be run: {error}");
                shared.supervisor.pause(TASK_LOOK).await;
            }
        }
    }
}

pub(super) async fn rescue_loop(shared: Arc<Shared>, instance: InstanceId, lane: Lane, every: Duration) {
    let ports = &shared.ports;
    let lease = match lane {
        Lane::Exits => "rescuer of exits",
        Lane::Entries => "rescuer of entries",
    };
    let mut rescuer =
        Rescuer::new(Arc::clone(&ports.store), Arc::clone(&ports.queue), Arc::clone(&ports.clock), lane);
    let mut turn = Turn::new(&shared, lease, &instance).leaving(InVain::after(RESCUES_IN_VAIN));
    while turn.comes().await {
        let began = ports.clock.uptime();
        let rescued = shared.rounds.of(&instance, rescuer.round()).await;
        if let Err(error) = &rescued {
            warn!(%error, "the rescuer cannot read the store: {error}");
        }
        turn.went(began, !matches!(rescued, Err(_) | Ok(Rescued::Unreachable))).await;
        shared.supervisor.pause(every).await;
    }
}

pub(super) async fn look_loop(shared: Arc<Shared>, _: InstanceId) {
    while !shared.supervisor.is_stopped() {
        alarms::look(&shared.rounds, &shared.sources, shared.ports.store.as_ref()).await;
        shared.supervisor.pause(alarms::LOOK_EVERY).await;
    }
}

pub(super) async fn clock_loop(shared: Arc<Shared>, _: InstanceId) {
    let ports = &shared.ports;
    while !shared.supervisor.is_stopped() {
        tokio::select! {
            () = shared.clock_watch.look(ports.clock.as_ref(), ports.venue_clock.as_ref()) => {}
            () = shared.supervisor.stopped() => return,
        }
        shared.supervisor.pause(MEASURE_EVERY).await;
    }
}

pub(super) async fn region_loop(shared: Arc<Shared>, instance: InstanceId) {
    let ports = &shared.ports;
    let (store, gateway, clock) = (ports.store.as_ref(), ports.gateway.as_ref(), ports.clock.as_ref());
    while !shared.supervisor.is_stopped() {
        if let Err(error) = shared.rounds.of(&instance, look_at_region(store, gateway, clock)).await {
            warn!(%error, "whether anybody is held for the region cannot be read: {error}");
        }
        shared.supervisor.pause(REGION_EVERY).await;
    }
}

pub(super) async fn work_loop(shared: Arc<Shared>, instance: InstanceId, batches: Batches) {
    let ports = &shared.ports;
    let worker = Worker {
        store: Arc::clone(&ports.store),
        gateway: Arc::clone(&ports.gateway),
        markets: Arc::clone(&shared.cache),
        queue: Arc::clone(&ports.queue),
        clock: Arc::clone(&ports.clock),
        salts: Arc::clone(&ports.salts),
        instance,
        batches,
    };
    while !shared.supervisor.is_stopped() {
        match shared.rounds.of(&worker.instance, worker.run_once(POP_WAIT)).await {
            Ok(0) => {}
            // What was sent is to be settled, perhaps soon.
            Ok(_) => {
                shared.to_settle.notify_one();
                shared.to_listen.notify_one();
            }
            Err(error) => {
                error!(worker = %worker.instance, %error, "a batch failed: {error}");
                shared.supervisor.pause(ERROR_PAUSE).await;
            }
        }
    }
}
