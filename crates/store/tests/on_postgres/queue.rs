//! The queue on Redis beside the database: it may lose everything, and is made again from what waits.

use std::{sync::Arc, time::Duration};

use domain::{Clock, Timestamp, clock::Sleep, ids::IntentId};
use engine::{
    ports::{
        detection::Lane,
        queue::{End, Queue as _},
        reports::Reports as _,
        store::EventKind,
    },
    rescuer::Rescuer,
};
use queue::{ENTRIES, EXITS, RedisQueue};
use servers::RedisServer;
use store::{JobAct, Jobs, PostgresAddress, SqlStore, StoreClock};

use crate::{SERVER, new_database, waiting};

struct SystemTime;

#[expect(clippy::disallowed_methods, reason = "the servers wait by the machine's clock")]
impl Clock for SystemTime {
    fn now(&self) -> Timestamp {
        Timestamp(1_800_000_000_000_000)
    }

    fn uptime(&self) -> Duration {
        Duration::ZERO
    }

    fn sleep(&self, duration: Duration) -> Sleep {
        Box::pin(tokio::time::sleep(duration))
    }
}

struct Scene {
    redis: RedisServer,
    queue: Arc<RedisQueue>,
    store: Arc<SqlStore>,
    entries: Rescuer,
    exits: Rescuer,
}

impl Scene {
    /// Ten thousand entries and three exits wait.
    async fn new() -> Self {
        let name = new_database();
        let address: PostgresAddress = SERVER.url(&name).parse().unwrap();
        let store = Arc::new(SqlStore::connect(&address, StoreClock::Database).await.unwrap());
        for statement in waiting::FILL {
            SERVER.run(&name, statement).unwrap();
        }
        let redis = RedisServer::start().unwrap();
        let clock = Arc::new(SystemTime);
        let queue = Arc::new(RedisQueue::new(&redis.url(0), 1, clock.clone()).unwrap());
        let rescuer = |lane| Rescuer::new(store.clone(), queue.clone(), clock.clone(), lane);
        let (entries, exits) = (rescuer(Lane::Entries), rescuer(Lane::Exits));
        Self { redis, queue, store, entries, exits }
    }

    /// Two rounds: one difference is ids on their way.
    async fn rescue(&mut self) {
        for _ in 0..2 {
            self.entries.round().await.unwrap();
            self.exits.round().await.unwrap();
        }
    }

    fn length(&self, list: &str) -> String {
        self.redis.run(&["LLEN", list]).unwrap()
    }

    fn distinct(&self, list: &str) -> usize {
        let ids = self.redis.run(&["LRANGE", list, "0", "-1"]).unwrap();
        ids.lines().collect::<std::collections::HashSet<_>>().len()
    }

    async fn deletions(&self) -> usize {
        let events = self.store.events_after(0, 1_000).await.unwrap();
        events.iter().filter(|(_, event)| matches!(event.kind, EventKind::QueueRefilled { .. })).count()
    }
}

/// All workers are dead for ten minutes, in which rescuers come by every three seconds and every second.
#[tokio::test(flavor = "multi_thread")]
async fn the_list_is_what_waits_and_does_not_grow() {
    let mut scene = Scene::new().await;
    for _ in 0..200 {
        scene.entries.round().await.unwrap();
        scene.exits.round().await.unwrap();
    }
    assert_eq!((scene.length(ENTRIES).as_str(), scene.length(EXITS).as_str()), ("10000", "3"));
    assert_eq!(scene.distinct(ENTRIES), waiting::ENTRIES);
    // Whoever announced some twice is put right.
    scene.redis.run(&["RPUSH", ENTRIES, "1", "1", "2"]).unwrap();
    scene.rescue().await;
    assert_eq!((scene.length(ENTRIES).as_str(), scene.distinct(ENTRIES)), ("10000", waiting::ENTRIES));
    // What is set aside leaves the list, and comes back.
    let entries = Jobs::All(Some(Lane::Entries));
    let by = ("ada", "a drill");
    scene.store.act_on_jobs(JobAct::Quarantined, &entries, by, Timestamp(1)).await.unwrap();
    scene.rescue().await;
    assert_eq!((scene.length(ENTRIES).as_str(), scene.length(EXITS).as_str()), ("0", "3"));
    scene.store.act_on_jobs(JobAct::Requeued, &entries, by, Timestamp(2)).await.unwrap();
    scene.rescue().await;
    assert_eq!(scene.distinct(ENTRIES), waiting::ENTRIES);
    assert_eq!(scene.deletions().await, 0, "nobody deleted anything");
}

/// The runbook's own command, and what it does: told once, and answered.
#[tokio::test(flavor = "multi_thread")]
async fn a_deletion_is_noticed_told_and_answered() {
    let mut scene = Scene::new().await;
    scene.rescue().await;
    scene.rescue().await;
    assert_eq!(scene.redis.run(&["DEL", "trade_execution_queue"]).unwrap(), "1");
    scene.rescue().await;
    scene.rescue().await;
    assert_eq!(scene.length(ENTRIES), "10000");
    let events = scene.store.events_after(0, 1_000).await.unwrap();
    let told: Vec<_> = events.iter().map(|(_, event)| &event.kind).collect();
    let expected = EventKind::QueueRefilled { lane: Lane::Entries, had: 10_000, waiting: 10_000 };
    assert_eq!(told, [&expected]);
    // Everything at once.
    scene.redis.run(&["FLUSHALL"]).unwrap();
    scene.rescue().await;
    assert_eq!((scene.length(ENTRIES).as_str(), scene.length(EXITS).as_str()), ("10000", "3"));
    assert_eq!(scene.deletions().await, 3);
    // Workers that take all, and end before they have done anything, look the same.
    scene.rescue().await;
    let popped = scene.queue.pop(20_000, End::Serving, Duration::ZERO).await.unwrap();
    assert_eq!(popped.len(), waiting::ENTRIES + 3);
    scene.rescue().await;
    assert_eq!(scene.deletions().await, 5);
    // What is taken and waits no more is nothing to tell.
    scene.rescue().await;
    let popped = scene.queue.pop(20_000, End::Serving, Duration::ZERO).await.unwrap();
    let ids: Vec<IntentId> = popped.iter().map(|queued| queued.id).collect();
    scene.store.act_on_jobs(JobAct::Quarantined, &Jobs::These(ids), ("a", "b"), Timestamp(1)).await.unwrap();
    scene.rescue().await;
    assert_eq!(scene.deletions().await, 5);
}

/// Whatever the server does, a round ends without an error, and the list is right once the server is.
#[tokio::test(flavor = "multi_thread")]
async fn the_server_may_be_away_full_forbidding_or_slow() {
    let mut scene = Scene::new().await;
    scene.redis.stop().unwrap();
    scene.rescue().await;
    scene.redis.start_again().unwrap();
    scene.rescue().await;
    assert_eq!(scene.distinct(ENTRIES), waiting::ENTRIES);

    scene.redis.run(&["LTRIM", ENTRIES, "1", "-1"]).unwrap();
    scene.redis.run(&["CONFIG", "SET", "maxmemory-policy", "noeviction"]).unwrap();
    scene.redis.run(&["CONFIG", "SET", "maxmemory", "1"]).unwrap();
    scene.rescue().await;
    assert_eq!(scene.length(ENTRIES), "9999", "what is there stays there");
    scene.redis.run(&["CONFIG", "SET", "maxmemory", "0"]).unwrap();
    scene.redis.run(&["ACL", "SETUSER", "default", "-rename"]).unwrap();
    scene.rescue().await;
    assert_eq!(scene.length(ENTRIES), "9999");
    scene.redis.run(&["ACL", "SETUSER", "default", "+@all"]).unwrap();
    scene.redis.run(&["CLIENT", "PAUSE", "2500", "ALL"]).unwrap();
    scene.entries.round().await.unwrap();
    scene.rescue().await;
    assert_eq!((scene.length(ENTRIES).as_str(), scene.distinct(ENTRIES)), ("10000", waiting::ENTRIES));
}
