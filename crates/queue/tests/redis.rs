//! The queue on a Redis server keeps what a queue promises, and the server may do what it likes meanwhile.

#![cfg(test)]

mod on_redis {
    mod full;

    use std::{
        sync::{Arc, LazyLock, atomic::AtomicU32, atomic::Ordering},
        time::Duration,
    };

    use domain::{Clock, Timestamp, clock::Sleep, ids::IntentId};
    use engine::ports::{
        detection::{Lane, QueuedIntent},
        queue::{End, Queue},
    };
    use queue::{ENTRIES, EXITS, RedisQueue};
    use servers::RedisServer;

    /// One server for the tests that leave it as it is.
    static SERVER: LazyLock<RedisServer> = LazyLock::new(|| RedisServer::start().unwrap());
    const WAIT: Duration = Duration::from_secs(10);

    struct SystemTime;

    #[expect(clippy::disallowed_methods, reason = "the server waits by the machine's clock")]
    impl Clock for SystemTime {
        fn now(&self) -> Timestamp {
            Timestamp(0)
        }

        fn uptime(&self) -> Duration {
            Duration::ZERO
        }

        fn sleep(&self, duration: Duration) -> Sleep {
            Box::pin(tokio::time::sleep(duration))
        }
    }

    fn queue_at(address: &str) -> RedisQueue {
        RedisQueue::new(address, 1, Arc::new(SystemTime)).unwrap()
    }

    fn entries(ids: impl IntoIterator<Item = i64>) -> Vec<QueuedIntent> {
        ids.into_iter().map(|id| QueuedIntent { id: IntentId(id), lane: Lane::Entries }).collect()
    }

    #[tokio::test]
    async fn it_keeps_what_a_queue_promises() {
        // A database for each queue; Redis has 16.
        static MADE: AtomicU32 = AtomicU32::new(0);
        testkit::queue_suite::run_all(async || {
            let database = MADE.fetch_add(1, Ordering::Relaxed);
            Arc::new(queue_at(&SERVER.url(database))) as Arc<dyn Queue>
        })
        .await;
    }

    #[tokio::test]
    async fn members_of_a_company_count_until_they_are_silent() {
        let server = RedisServer::start().unwrap();
        let queue = queue_at(&server.url(0));
        let lasts = Duration::from_secs(100);
        let both = [("workers".to_owned(), true), ("callers".to_owned(), true)];
        let looks = [("workers".to_owned(), false), ("callers".to_owned(), true)];
        assert_eq!(queue.attend(&looks, "watcher", lasts).await, Ok(vec![0, 1]));
        assert_eq!(queue.attend(&both, "one", lasts).await, Ok(vec![1, 2]));
        assert_eq!(queue.attend(&both, "two", lasts).await, Ok(vec![2, 3]));
        assert_eq!(queue.attend(&both, "one", lasts).await, Ok(vec![2, 3]), "once");
        // One that was there last in 1970.
        server.run(&["ZADD", "trade_execution_queue:company:workers", "5", "two"]).unwrap();
        assert_eq!(queue.attend(&both, "one", lasts).await, Ok(vec![1, 3]));
        // A server that is full still takes so little; one that forbids it does not.
        server.run(&["CONFIG", "SET", "maxmemory", "1"]).unwrap();
        assert_eq!(queue.attend(&both, "one", lasts).await, Ok(vec![1, 3]));
        server.run(&["ACL", "SETUSER", "default", "-zadd"]).unwrap();
        assert!(
            queue.attend(&both, "one", lasts).await.is_err(),
            "who cannot say it is not believed to be alone"
        );
    }

    #[test]
    fn tls_is_refused_in_words_and_without_the_password() {
        let refused =
            RedisQueue::new("rediss://:hunter2@cache:6380/0", 1, Arc::new(SystemTime)).err().unwrap();
        let told = refused.to_string();
        assert!(told.contains("TLS") && told.contains("tunnel") && !told.contains("hunter2"), "{told}");
    }

    /// As the runbook looks at it and deletes it; the rescuer's list is there at once, for ever.
    #[tokio::test]
    async fn an_operators_shell_sees_the_entries_and_may_delete_them() {
        let server = RedisServer::start().unwrap();
        let queue = queue_at(&server.url(0));
        queue.push(&entries(0..2_500), End::Far).await.unwrap();
        assert_eq!(server.run(&["LLEN", ENTRIES]).unwrap(), "2500");
        assert_eq!(server.run(&["LRANGE", ENTRIES, "0", "1"]).unwrap(), "0\n1");
        assert_eq!(server.run(&["DEL", ENTRIES]).unwrap(), "1");
        assert_eq!(queue.depth(Lane::Entries).await, Ok(0));
        queue.replace(Lane::Entries, &(0..2_500).map(IntentId).collect::<Vec<_>>()).await.unwrap();
        assert_eq!(server.run(&["TTL", ENTRIES]).unwrap(), "-1");
        assert_eq!(server.run(&["KEYS", "*"]).unwrap(), ENTRIES);
        // What an operator puts in is no id: told, thrown away, and nothing else is lost.
        server.run(&["LPUSH", ENTRIES, "poison"]).unwrap();
        assert_eq!(queue.pop(3, End::Serving, WAIT).await.unwrap(), entries([0, 1]));
        // A key of another kind under the list's name is an error with its reason.
        server.run(&["SET", EXITS, "x"]).unwrap();
        let told = queue.pop(3, End::Serving, WAIT).await.unwrap_err().to_string();
        assert!(told.contains("WRONGTYPE"), "{told}");
    }

    #[tokio::test]
    async fn a_server_that_was_away_is_found_again_empty() {
        let server = RedisServer::start().unwrap();
        let queue = queue_at(&server.url(0));
        queue.push(&entries([1, 2]), End::Far).await.unwrap();
        server.stop().unwrap();
        let told = queue.push(&entries([3]), End::Far).await.unwrap_err().to_string();
        assert!(told.starts_with("the queue is unavailable: Redis"), "{told}");
        assert!(queue.pop(9, End::Serving, WAIT).await.is_err());
        server.start_again().unwrap();
        assert_eq!(queue.depth(Lane::Entries).await, Ok(0));
        queue.push(&entries([4]), End::Far).await.unwrap();
        assert_eq!(queue.pop(9, End::Serving, WAIT).await.unwrap(), entries([4]));
    }

    /// The first push after a restart was lost, and each kept connection failed once.
    #[tokio::test]
    async fn a_restart_costs_nobody_a_command() {
        let server = RedisServer::start().unwrap();
        let queue = queue_at(&server.url(0));
        let (one, two) = (Duration::from_millis(300), Duration::from_millis(310));
        let waiting = (queue.pop(9, End::Serving, one), queue.pop(9, End::Serving, two));
        let (first, second) = tokio::join!(waiting.0, waiting.1);
        assert_eq!((first, second), (Ok(Vec::new()), Ok(Vec::new())), "two connections are kept");
        server.stop().unwrap();
        server.start_again().unwrap();
        queue.push(&entries([3]), End::Far).await.unwrap();
        assert_eq!(queue.pop(9, End::Serving, WAIT).await.unwrap(), entries([3]));
    }

    #[tokio::test]
    async fn a_full_server_and_one_that_allows_nothing_say_so() {
        let server = RedisServer::start().unwrap();
        let queue = queue_at(&server.url(0));
        server.run(&["CONFIG", "SET", "maxmemory", "1"]).unwrap();
        let told = queue.push(&entries([1]), End::Far).await.unwrap_err().to_string();
        assert!(told.contains("maxmemory"), "{told}");
        server.run(&["CONFIG", "SET", "maxmemory", "0"]).unwrap();
        server.run(&["ACL", "SETUSER", "default", "-lpush", "-rpush"]).unwrap();
        let told = queue.push(&entries([1]), End::Far).await.unwrap_err().to_string();
        assert!(told.contains("NOPERM") || told.contains("permission"), "{told}");
    }

    #[tokio::test]
    async fn a_wait_ends_when_nothing_comes() {
        let queue = queue_at(&SERVER.url(15));
        // The library's own deadline for an answer was half a second, as long as a worker waits.
        assert_eq!(queue.pop(9, End::Serving, Duration::from_millis(700)).await, Ok(Vec::new()));
        assert_eq!(queue.pop_exits(9, Duration::from_millis(20)).await, Ok(Vec::new()));
    }

    #[test]
    fn an_address_that_is_none_is_told_without_its_password() {
        for wrong in ["", "http://:hunter2@host", "rediss://:hunter2@host:1"] {
            let Err(refused) = RedisQueue::new(wrong, 1, Arc::new(SystemTime)) else {
                panic!("`{wrong}` is an address");
            };
            assert!(!format!("{refused} {refused:?}").contains("hunter2"));
        }
    }
}
