//! A Redis server that takes nothing more, or from which a right was taken, answers workers that nothing waits. They copy
//! all the same.

use std::{
    sync::{
        Arc,
        atomic::{AtomicU64, Ordering},
    },
    time::Duration,
};

use async_trait::async_trait;
use domain::{Clock as _, Side};
use engine::{
    limits::UNHEARD_AFTER,
    market_cache::MarketCache,
    ports::{
        detection::Lane,
        queue::{End, Queue as _},
        store::{InstanceId, Store, StoreResult},
    },
    salt::Salts,
    watcher::{Watcher, WatcherPorts},
    worker::{Batches, Unheard, Worker},
};
use queue::RedisQueue;
use servers::RedisServer;
use testkit::simulation::{
    faulty::{Layer, Layered},
    scenario::{Scenario, at, fill, leader_wallet, token},
    venue::LeaderTrade,
    world::World,
};

use tokio::sync::Notify;

use super::SystemTime;

#[derive(Default)]
struct Counted(AtomicU64);

impl Salts for Counted {
    fn salt(&self, _: &[u8]) -> u64 {
        self.0.fetch_add(1, Ordering::Relaxed)
    }
}

/// A worker that has taken its batch stops there until it may go on.
struct Stuck {
    store: Arc<dyn Store>,
    entered: Notify,
    go_on: Notify,
}

struct Busy(Arc<Stuck>);

#[async_trait]
impl Layer for Busy {
    fn inner(&self) -> &dyn Store {
        self.0.store.as_ref()
    }

    async fn reads(&self, method: &'static str) -> StoreResult<()> {
        if method == "load_waiting" {
            self.0.entered.notify_one();
            self.0.go_on.notified().await;
        }
        Ok(())
    }
}

/// A leader buys and sells half of it; what becomes of both where the queue's server is treated so before.
async fn copied_although(fault: &[&str]) {
    let redis = RedisServer::start().unwrap();
    let queue = Arc::new(RedisQueue::new(&redis.url(0), 1, Arc::new(SystemTime)).unwrap());
    redis.run(&["CONFIG", "SET", "maxmemory-policy", "noeviction"]).unwrap();
    redis.run(fault).unwrap();
    let trade = |seconds, side, shares| LeaderTrade {
        at: at(seconds),
        wallet: leader_wallet(1),
        token: token(7),
        side,
        moved: None,
        fills: vec![fill(shares, 50)],
        shown_at: Some(at(seconds)),
        dropped: false,
    };
    let trades = vec![trade(4, Side::Buy, 400), trade(30, Side::Sell, 200)];
    let scenario = Scenario { trades, ..Scenario::one_follower("a queue that is full") };
    let world = World::by_hand(scenario).unwrap();
    let mut watcher = Watcher::new(WatcherPorts { queue: queue.clone(), ..world.watcher_ports() });
    let make = |store: Arc<dyn Store>, name: &str| Worker {
        store,
        gateway: world.venue.clone(),
        markets: Arc::new(MarketCache::new(world.venue.clone(), world.store.clone(), world.clock.clone())),
        queue: queue.clone(),
        clock: world.clock.clone(),
        salts: Arc::<Counted>::default(),
        instance: InstanceId(name.to_owned()),
        batches: Batches::default().doubting(Arc::<Unheard>::default()),
    };
    let worker = make(world.store.clone(), "worker");
    for name in [worker.instance.0.as_str(), "of another process"] {
        world.store.begin_instance(&InstanceId(name.to_owned()), world.clock.now()).await.unwrap();
    }
    let stuck = Arc::new(Stuck { store: world.store.clone(), entered: Notify::new(), go_on: Notify::new() });
    for (lane, until) in [(Lane::Entries, at(12)), (Lane::Exits, at(40))] {
        while world.clock.now() < until
            && world.store.count_waiting(lane, world.clock.now()).await.unwrap() == 0
        {
            while watcher.step().await.unwrap().busy {}
            world.clock.advance(Duration::from_secs(1));
        }
        let waiting = world.store.waiting(lane, world.clock.now(), 9).await.unwrap();
        assert_eq!(waiting.len(), 1, "{lane:?} is decided, and waits");
        let popped = queue.pop(9, End::Serving, Duration::ZERO).await.unwrap();
        assert_eq!(popped, [], "the server says that nothing waits");
        world.clock.advance(UNHEARD_AFTER);
        // Another process has taken it, and is not done with it.
        let slow = make(Arc::new(Layered(Busy(Arc::clone(&stuck)))), "of another process");
        let first = tokio::spawn(async move { slow.run_once(Duration::from_millis(1)).await });
        stuck.entered.notified().await;
        assert_eq!(worker.run_once(Duration::from_millis(1)).await.unwrap(), 0, "{lane:?} is taken");
        stuck.go_on.notify_one();
        assert_eq!(first.await.unwrap().unwrap(), 1, "{lane:?} after {fault:?}");
        // What was sent waits no more.
        world.clock.advance(UNHEARD_AFTER);
        assert_eq!(worker.run_once(Duration::from_millis(1)).await.unwrap(), 0);
    }
}

#[tokio::test]
async fn it_is_copied_although_the_server_is_full() {
    copied_although(&["CONFIG", "SET", "maxmemory", "1"]).await;
}

#[tokio::test]
async fn it_is_copied_although_nothing_may_be_pushed() {
    copied_although(&["ACL", "SETUSER", "default", "-rpush", "-lpush"]).await;
}
