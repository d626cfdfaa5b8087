//! The socket client on virtual time, against connections that do as told.

use std::{
    collections::VecDeque,
    sync::{Mutex, MutexGuard, PoisonError},
};

use domain::Timestamp;
use testkit::{executor::Executor, virtual_clock::VirtualClock};
use tokio::sync::mpsc;

use super::*;

/// The other side: what it does to whoever connects, and what it saw.
#[derive(Default)]
struct Server {
    /// Moments of uptime when attempts came.
    attempts: Vec<Duration>,
    /// Connections are refused before this moment.
    away_until: Duration,
    /// Connecting takes for ever.
    hangs: bool,
    /// Pings are not answered.
    mute: bool,
    /// Other answers to pings.
    pongs: Vec<&'static str>,
    /// What each connection sends first.
    greeting: VecDeque<&'static str>,
    /// What was said on all connections.
    said: Vec<String>,
    /// Frames taken from the newest connection.
    read: usize,
}

struct Fake {
    server: Arc<Mutex<Server>>,
    clock: Arc<VirtualClock>,
}

fn lock(server: &Mutex<Server>) -> MutexGuard<'_, Server> {
    server.lock().unwrap_or_else(PoisonError::into_inner)
}

#[async_trait]
impl Connector for Fake {
    async fn connect(&self, _url: &str) -> Result<Box<dyn Connection>, SocketError> {
        let now = self.clock.uptime();
        let (hangs, frames) = {
            let mut server = lock(&self.server);
            server.attempts.push(now);
            if now < server.away_until {
                return Err(SocketError::Connect("refused".to_owned()));
            }
            (server.hangs, server.greeting.iter().map(|text| (*text).to_owned()).collect::<Vec<_>>())
        };
        if hangs {
            std::future::pending::<()>().await;
        }
        let (to_client, from_server) = mpsc::unbounded_channel();
        frames.into_iter().for_each(|frame| to_client.send(frame).unwrap());
        Ok(Box::new(FakeConnection { server: Arc::clone(&self.server), to_client, from_server }))
    }
}

struct FakeConnection {
    server: Arc<Mutex<Server>>,
    to_client: mpsc::UnboundedSender<String>,
    from_server: mpsc::UnboundedReceiver<String>,
}

#[async_trait]
impl Connection for FakeConnection {
    async fn send(&mut self, text: &str) -> Result<(), SocketError> {
        let mut server = lock(&self.server);
        server.said.push(text.to_owned());
        if text == "PING" && !server.mute {
            let pongs = if server.pongs.is_empty() { &vec!["PONG"] } else { &server.pongs };
            pongs.iter().for_each(|pong| self.to_client.send((*pong).to_owned()).unwrap());
        }
        Ok(())
    }

    async fn receive(&mut self) -> Result<Frame, SocketError> {
        match self.from_server.recv().await {
            Some(text) if text == "close" => Err(SocketError::Closed("as told".to_owned())),
            Some(text) => {
                lock(&self.server).read += 1;
                Ok(Frame::Text(text.into()))
            }
            None => std::future::pending().await,
        }
    }
}

/// Takes frames as their text says.
struct Reader {
    taken: mpsc::UnboundedSender<String>,
    silence: Option<Duration>,
    oldest: Option<Duration>,
    /// Never comes back from taking a frame.
    stuck: bool,
}

#[async_trait]
impl Channel for Reader {
    async fn opening(&mut self) -> Result<Vec<Zeroizing<String>>, String> {
        Ok(vec![Zeroizing::new("hello".to_owned())])
    }

    async fn more(&mut self) -> Vec<String> {
        std::future::pending().await
    }

    async fn take(&mut self, frame: &[u8]) -> Taken {
        if self.stuck {
            std::future::pending::<()>().await;
        }
        let text = String::from_utf8(frame.to_vec()).unwrap();
        self.taken.send(text.clone()).unwrap();
        match text.as_str() {
            "broken" => Taken::Broken(text),
            "odd" => Taken::Refused(text),
            "aside" => Taken::Aside { passed_over: 1 },
            _ => Taken::Understood { events: 1, passed_over: 0 },
        }
    }

    async fn lost(&mut self) {
        self.taken.send("lost".to_owned()).unwrap();
    }

    fn silence(&self) -> Option<Duration> {
        self.silence
    }

    fn oldest(&self) -> Option<Duration> {
        self.oldest
    }
}

/// A socket at work on virtual time.
struct World {
    clock: Arc<VirtualClock>,
    server: Arc<Mutex<Server>>,
    counters: Arc<Counters>,
    executor: Executor,
    taken: mpsc::UnboundedReceiver<String>,
}

impl World {
    fn new(server: Server, silence: Option<Duration>, stuck: bool) -> Self {
        Self::reading(server, |taken| Reader { taken, silence, oldest: None, stuck })
    }

    fn reading(server: Server, reader: impl FnOnce(mpsc::UnboundedSender<String>) -> Reader) -> Self {
        let clock = VirtualClock::new(Timestamp::from_seconds(1_800_000_000));
        let server = Arc::new(Mutex::new(server));
        let counters = Counters::new(7);
        let socket = Socket {
            url: "ws://venue".to_owned(),
            connector: Arc::new(Fake { server: Arc::clone(&server), clock: Arc::clone(&clock) }),
            clock: Arc::clone(&clock) as Arc<dyn Clock>,
            keepalive: CLOB_KEEPALIVE,
            counters: Arc::clone(&counters),
        };
        let (to_test, taken) = mpsc::unbounded_channel();
        let mut reader = reader(to_test);
        let mut executor = Executor::default();
        executor.spawn(async move {
            socket.run(&mut reader).await;
        });
        Self { clock, server, counters, executor, taken }
    }

    /// Lets this much time pass, timer by timer.
    fn pass(&mut self, time: Duration) {
        let end = self.clock.uptime() + time;
        self.executor.run_until_stalled();
        while self.clock.uptime() < end {
            let left = end - self.clock.uptime();
            let here = self.clock.uptime();
            match self.clock.advance_to_next_timer() {
                Some(step) if step > left => panic!("stepped past the end: {here:?} + {step:?}"),
                Some(_) => {}
                None => self.clock.advance(left),
            }
            self.executor.run_until_stalled();
        }
    }

    fn server(&self) -> MutexGuard<'_, Server> {
        lock(&self.server)
    }

    fn taken(&mut self) -> Vec<String> {
        std::iter::from_fn(|| self.taken.try_recv().ok()).collect()
    }
}

const SECOND: Duration = Duration::from_secs(1);

#[test]
fn back_within_two_seconds_of_the_servers_return_and_no_storm_before() {
    for away in [1, 7, 60, 3_600_u64] {
        let away_until = SECOND * u32::try_from(away).unwrap();
        let mut world = World::new(Server { away_until, ..Server::default() }, None, false);
        world.executor.run_until_stalled();
        while world.counters.health().open == 0 {
            world.clock.advance_to_next_timer().expect("a pause");
            world.executor.run_until_stalled();
        }
        let back = world.clock.uptime() - away_until;
        assert!(back <= 2 * SECOND, "{back:?} after the return");
        let attempts = world.server().attempts.len() as u64;
        assert!(attempts >= away && attempts <= 2 * away + 6, "{attempts} attempts in {away} s");
        assert_eq!(world.counters.health().failures, attempts - 1);
    }
}

#[test]
fn a_server_that_hangs_is_left_after_a_deadline() {
    let mut world = World::new(Server { hangs: true, ..Server::default() }, None, false);
    for _ in 0..20 {
        world.executor.run_until_stalled();
        world.clock.advance_to_next_timer().expect("a deadline");
    }
    let attempts = world.server().attempts.clone();
    assert!(attempts.len() >= 5);
    assert!(
        attempts
            .windows(2)
            .all(|pair| (SOCKET_CONNECT..=SOCKET_CONNECT + SECOND).contains(&(pair[1] - pair[0])))
    );
}

#[test]
fn pings_every_ten_seconds_and_lives_as_long_as_they_are_answered() {
    let mut world = World::new(Server::default(), None, false);
    world.pass(100 * SECOND);
    let server = world.server();
    assert_eq!(server.attempts.len(), 1);
    assert_eq!(server.said.iter().filter(|text| *text == "PING").count(), 10);
    assert_eq!(server.said[0], "hello");
}

#[test]
fn dead_after_thirty_seconds_without_pong_although_frames_come() {
    let server = Server { mute: true, greeting: ["news"].into(), ..Server::default() };
    let mut world = World::new(server, None, false);
    world.executor.run_until_stalled();
    while world.server().attempts.len() < 2 {
        world.clock.advance_to_next_timer().expect("a timer");
        world.executor.run_until_stalled();
    }
    let second = world.server().attempts[1];
    assert!((PONG_WITHIN..=PONG_WITHIN + SECOND).contains(&second), "{second:?}");
    assert_eq!(world.taken(), ["news", "lost", "news"]);
    assert_eq!(world.counters.health().reconnects, 1);
}

#[test]
fn a_silence_is_suspicious_where_news_are_expected() {
    let silence = 25 * SECOND;
    let mut world =
        World::new(Server { greeting: ["news"].into(), ..Server::default() }, Some(silence), false);
    world.executor.run_until_stalled();
    while world.server().attempts.len() < 3 {
        world.clock.advance_to_next_timer().expect("a timer");
        world.executor.run_until_stalled();
    }
    let attempts = world.server().attempts.clone();
    assert!((silence..=silence + SECOND).contains(&attempts[1]), "{attempts:?}");
    assert_eq!(world.taken(), ["news", "lost", "news", "lost", "news"]);
}

/// Counts the warnings of this thread.
#[derive(Default)]
struct Warnings(Arc<Mutex<Vec<String>>>);

impl tracing::Subscriber for Warnings {
    fn enabled(&self, metadata: &tracing::Metadata<'_>) -> bool {
        *metadata.level() <= tracing::Level::WARN
    }
    fn new_span(&self, _: &tracing::span::Attributes<'_>) -> tracing::span::Id {
        tracing::span::Id::from_u64(1)
    }
    fn record(&self, _: &tracing::span::Id, _: &tracing::span::Record<'_>) {}
    fn record_follows_from(&self, _: &tracing::span::Id, _: &tracing::span::Id) {}
    fn event(&self, event: &tracing::Event<'_>) {
        struct Words(String);
        impl tracing::field::Visit for Words {
            fn record_debug(&mut self, field: &tracing::field::Field, value: &dyn std::fmt::Debug) {
                if field.name() == "message" {
                    self.0 = format!("{value:?}");
                }
            }
        }
        let mut words = Words(String::new());
        event.record(&mut words);
        self.0.lock().unwrap().push(words.0);
    }
    fn enter(&self, _: &tracing::span::Id) {}
    fn exit(&self, _: &tracing::span::Id) {}
}

#[test]
fn a_quiet_hour_is_worth_no_warning_and_a_server_that_stays_away_is_one() {
    let warnings = Warnings::default();
    let told = Arc::clone(&warnings.0);
    tracing::subscriber::with_default(warnings, || {
        let mut world = World::new(Server::default(), Some(25 * SECOND), false);
        world.executor.run_until_stalled();
        while world.server().attempts.len() < 10 {
            world.clock.advance_to_next_timer().expect("a timer");
            world.executor.run_until_stalled();
        }
        assert_eq!(*told.lock().unwrap(), Vec::<String>::new());
        let away_until = world.clock.uptime() + 60 * SECOND;
        world.server().away_until = away_until;
        while world.counters.health().open > 0 || world.clock.uptime() < away_until {
            world.clock.advance_to_next_timer().expect("a timer");
            world.executor.run_until_stalled();
        }
    });
    let told = told.lock().unwrap();
    assert!(told.len() == 1 && told[0].contains("connection to venue is gone"), "{told:?}");
}

/// Whatever comes in answer to pings is nothing of what is listened for.
#[test]
fn answers_to_pings_of_any_shape_end_no_silence() {
    let silence = 25 * SECOND;
    let server =
        Server { greeting: ["news"].into(), pongs: vec!["pong", "odd", "aside"], ..Server::default() };
    let mut world = World::new(server, Some(silence), false);
    world.executor.run_until_stalled();
    while world.server().attempts.len() < 2 {
        world.clock.advance_to_next_timer().expect("a timer");
        world.executor.run_until_stalled();
    }
    let second = world.server().attempts[1];
    assert!((silence..=silence + SECOND).contains(&second), "{second:?}");
    assert!(!world.taken().contains(&"pong".to_owned()), "a pong in lower case is one");
}

#[test]
fn an_old_connection_is_made_again_and_that_is_no_failure_of_the_other_side() {
    let reader = |taken| Reader { taken, silence: None, oldest: Some(600 * SECOND), stuck: false };
    let mut world = World::reading(Server::default(), reader);
    world.executor.run_until_stalled();
    while world.server().attempts.len() < 3 {
        world.clock.advance_to_next_timer().expect("a timer");
        world.executor.run_until_stalled();
    }
    let attempts = world.server().attempts.clone();
    assert!(attempts.windows(2).all(|pair| (600 * SECOND..=601 * SECOND).contains(&(pair[1] - pair[0]))));
}

#[test]
fn what_is_not_understood_costs_the_connection_only_where_a_gap_would_stay() {
    let mut world = World::new(Server { greeting: ["odd", "news"].into(), ..Server::default() }, None, false);
    world.executor.run_until_stalled();
    assert_eq!(world.taken(), ["odd", "news"]);
    let health = world.counters.health();
    assert_eq!((health.frames, health.events, health.errors, health.open), (2, 1, 1, 1));

    let mut world =
        World::new(Server { greeting: ["broken", "news"].into(), ..Server::default() }, None, false);
    world.executor.run_until_stalled();
    assert_eq!(world.taken(), ["broken", "lost"], "what follows is not read");
    assert_eq!((world.counters.health().errors, world.counters.health().open), (1, 0));
}

#[test]
fn a_slow_reader_stops_the_reading_and_is_not_held_against_the_server() {
    let greeting = ["one", "two", "three"].into();
    let mut world = World::new(Server { greeting, ..Server::default() }, None, true);
    world.executor.run_until_stalled();
    world.clock.advance(3_600 * SECOND);
    world.executor.run_until_stalled();
    let server = world.server();
    assert_eq!((server.read, server.attempts.len()), (1, 1), "nothing is read ahead");
}

#[test]
fn a_connection_that_is_closed_at_once_is_not_made_without_a_pause() {
    let mut world = World::new(Server { greeting: ["close"].into(), ..Server::default() }, None, false);
    for _ in 0..200 {
        world.executor.run_until_stalled();
        world.clock.advance_to_next_timer().expect("a pause");
    }
    let attempts = world.server().attempts.clone();
    let last = &attempts[attempts.len() - 10..];
    assert!(last.windows(2).all(|pair| pair[1] - pair[0] >= RECONNECT_LAST / 2), "{last:?}");
}
