//! What the parts of a process do all day: the loops of the product's runtime, at a coarser beat.

use std::{sync::Arc, time::Duration};

use engine::{
    account_channels::{AccountChannels, Memory},
    deadline::within,
    head_watch::HeadWatch,
    market_cache::MarketCache,
    ports::detection::Lane,
    rescuer::Rescuer,
    salt::{SALT_MASK, Salts},
    settlement::{Round, Settlement, Settling, Silent},
    steady_time::SteadyTime,
    watcher::{Watcher, WatcherPorts},
    worker::{Batches, Worker},
};

use super::{tampering::Bench, venue::digest};

/// How often the loops of a process come round when there is nothing to do.
pub(super) const TICK: Duration = Duration::from_secs(1);

struct DigestSalts;

impl Salts for DigestSalts {
    fn salt(&self, key: &[u8]) -> u64 {
        let mut first = [0; 8];
        first.copy_from_slice(digest(key).split_at(8).0);
        u64::from_be_bytes(first) & SALT_MASK
    }
}

/// What a watcher reads.
#[derive(Clone, Copy)]
pub(super) struct Sources {
    pub chain: bool,
    pub history: bool,
    pub live: bool,
}

pub(super) async fn watch(ports: Bench, reads: Sources) {
    let clock = ports.clock.clone();
    let markets = Arc::new(MarketCache::new(ports.markets.clone(), ports.store.clone(), clock.clone()));
    let mut watcher = Watcher::new(WatcherPorts {
        store: ports.store,
        queue: ports.queue,
        chain: reads.chain.then(|| ports.chain.clone()),
        history: reads.history.then(|| ports.history.clone()),
        live: reads.live.then(|| ports.live.clone()),
        markets,
        clock: clock.clone(),
        instance: ports.instance,
        history_every: TICK.saturating_mul(5),
    });
    loop {
        if !watcher.step().await.is_ok_and(|report| report.busy) {
            clock.sleep(TICK).await;
        }
    }
}

pub(super) async fn work(ports: Bench, batches: Batches) {
    let clock = ports.clock.clone();
    let worker = Worker {
        markets: Arc::new(MarketCache::new(ports.markets.clone(), ports.store.clone(), clock.clone())),
        store: ports.store,
        gateway: ports.gateway,
        queue: ports.queue,
        clock: clock.clone(),
        salts: Arc::new(DigestSalts),
        instance: ports.instance,
        batches,
    };
    loop {
        if worker.run_once(TICK.saturating_mul(5)).await.is_err() {
            clock.sleep(TICK).await;
        }
    }
}

pub(super) async fn settle(ports: Bench, reads_chain: bool) {
    let clock = ports.clock.clone();
    let settlement = Settlement {
        failures: Default::default(),
        store: ports.store,
        gateway: ports.gateway,
        chain: reads_chain.then_some(ports.chain),
        feed: None,
        clock: clock.clone(),
        head: HeadWatch::default(),
        round: Round::default(),
        silent: Silent::default(),
        steady: SteadyTime::default(),
        instance: ports.instance,
    };
    let mut settling = Settling::new(&settlement);
    loop {
        // Errors leave nothing half done: the next round finds it again.
        let resolved = settling.run_once().await;
        let booked = settling.book_chain_fills().await;
        let rest = match (resolved, booked) {
            (Ok(0), Ok(0)) => TICK,
            _ => Duration::from_millis(250),
        };
        let _heard = within(clock.as_ref(), rest, settling.heard()).await;
    }
}

pub(super) async fn listen(ports: Bench) {
    let channels = AccountChannels {
        store: ports.store,
        feed: ports.feed,
        clock: ports.clock.clone(),
        failures: Default::default(),
        memory: Memory::default(),
    };
    loop {
        // Errors are made good by looking up.
        let _followed = channels.follow().await;
        if let Ok(news) = within(ports.clock.as_ref(), TICK, channels.next()).await {
            let _booked = channels.book(news).await;
        }
    }
}

pub(super) async fn rescue(ports: Bench) {
    let rescuer = |lane| Rescuer::new(ports.store.clone(), ports.queue.clone(), ports.clock.clone(), lane);
    let (mut exits, mut entries) = (rescuer(Lane::Exits), rescuer(Lane::Entries));
    for round in 1_u64.. {
        ports.clock.sleep(TICK).await;
        let _exits = exits.round().await;
        if round.is_multiple_of(3) {
            let _entries = entries.round().await;
        }
    }
}
