//! A machine whose clock is wrong by five minutes.

use std::{
    sync::{
        Arc,
        atomic::{AtomicI64, Ordering},
    },
    time::Duration,
};

use domain::{Clock, Timestamp, clock::Sleep, lifecycle::OrderState, skip::SkipReason};
use polymarket::Topic;
use slipstream::commands::{Request, Witnesses};

use crate::scene::{Has, Scene, Setup, clock, until};

const FIVE_MINUTES: i64 = 300;

/// The venue's clock, wrong by some seconds. Uptime is right: nobody sets it.
#[derive(Default)]
struct WrongClock {
    seconds: AtomicI64,
}

impl WrongClock {
    fn set(&self, seconds: i64) {
        self.seconds.store(seconds, Ordering::SeqCst);
    }
}

impl Clock for WrongClock {
    fn now(&self) -> Timestamp {
        Timestamp(clock().now().0 + self.seconds.load(Ordering::SeqCst) * 1_000_000)
    }

    fn uptime(&self) -> Duration {
        clock().uptime()
    }

    fn sleep(&self, duration: Duration) -> Sleep {
        clock().sleep(duration)
    }
}

async fn scene() -> (Scene, Arc<WrongClock>) {
    let clock = Arc::new(WrongClock::default());
    let setup = Setup { clock: Arc::clone(&clock) as Arc<dyn Clock>, ..Setup::default() };
    (Scene::set(setup).await, clock)
}

#[tokio::test]
async fn a_clock_that_is_fast_copies_nothing_and_says_how_old_trades_look() {
    let (scene, clock) = scene().await;
    clock.set(FIVE_MINUTES);
    scene.leader_buys();
    scene.decided(1).await;
    scene.settled().await;
    let skips = scene.skips().await;
    let [Some(SkipReason::TooOld { age, maximum })] = skips[..] else { panic!("{skips:?}") };
    assert!((Duration::from_secs(299)..Duration::from_secs(340)).contains(&age), "{age:?}");
    assert_eq!(maximum, Duration::from_secs(30));
    assert!(scene.orders().await.is_empty() && scene.seen().is_empty());
    assert_eq!(scene.has(0).await, Has::untouched());

    clock.set(0);
    scene.leader_buys();
    scene.decided(2).await;
    scene.settled().await;
    assert_eq!(scene.has(0).await, Has::copied());
    scene.finish().await;
}

#[tokio::test]
async fn a_clock_that_is_slow_cannot_log_in_and_signs_nothing() {
    let (scene, clock) = scene().await;
    clock.set(-FIVE_MINUTES);
    scene.leader_buys();
    scene.decided(1).await;
    until("a login is tried twice", async || scene.gate.signed.passed() >= 2).await;
    assert!(scene.orders().await.is_empty() && scene.seen().is_empty(), "the venue refuses the login");
    assert!(scene.answers.of(Topic::Logins).refused > 0, "and it is counted");

    // The clock is put right: what is still young enough is copied, once.
    clock.set(0);
    scene.settled().await;
    assert_eq!(scene.skips().await, [None]);
    assert_eq!(scene.states().await, [OrderState::Confirmed]);
    assert_eq!(scene.seen().len(), 1);
    assert_eq!(scene.has(0).await, Has::copied());
    scene.finish().await;
}

#[tokio::test]
async fn a_clock_that_falls_back_after_the_login_is_refused_and_recovers() {
    let (scene, clock) = scene().await;
    scene.leader_buys();
    scene.decided(1).await;
    scene.settled().await;
    clock.set(-FIVE_MINUTES);
    scene.leader_buys();
    scene.decided(2).await;
    scene.settled().await;
    assert_eq!(scene.states().await, [OrderState::Confirmed, OrderState::Rejected]);
    assert_eq!(scene.seen().len(), 1, "the refused order never reached the book");
    assert_eq!(scene.answers.of(Topic::Orders).refused, 1);
    assert_eq!(scene.has(0).await, Has::copied());

    clock.set(0);
    scene.leader_buys();
    scene.decided(3).await;
    scene.settled().await;
    assert_eq!(scene.states().await, [OrderState::Confirmed, OrderState::Rejected, OrderState::Confirmed]);
    assert_eq!(scene.seen().len(), 2);
    scene.finish().await;
}

/// A machine that starts with a wrong clock is told so at once: with the number, the way and the remedy, in
/// what `slipstream verify` answers too.
#[tokio::test]
async fn a_wrong_clock_is_named_at_the_start() {
    for (seconds, words) in
        [(-FIVE_MINUTES, " s slow by the venue's"), (FIVE_MINUTES, " s fast by the venue's")]
    {
        let clock = Arc::new(WrongClock::default());
        clock.set(seconds);
        let shared = Arc::clone(&clock) as Arc<dyn Clock>;
        let scene = Scene::set(Setup { clock: Arc::clone(&shared), ..Setup::default() }).await;
        let watch = scene.clock_watch();
        until("the clocks are compared", async || watch.skew().is_some()).await;
        let (skew, warning) = (watch.skew().unwrap(), watch.warning().unwrap());
        let error = Duration::from_micros((skew.micros - seconds * 1_000_000).unsigned_abs());
        assert!(error <= skew.uncertain, "{skew:?}");
        assert!(warning.contains(words) && warning.contains("timedatectl"), "{warning}");

        let store = Arc::clone(&scene.store);
        let served =
            slipstream::socket::serve(&scene.directory, store, shared, Witnesses::default(), watch.clone())
                .unwrap();
        let answer = slipstream::socket::ask(&scene.directory, &Request::Verify).await.unwrap().unwrap();
        assert!(answer.text.starts_with(&warning), "{}", answer.text);
        served.abort();
        scene.finish().await;
    }
}

#[tokio::test]
async fn a_right_clock_is_not_spoken_of() {
    let (scene, _clock) = scene().await;
    let watch = scene.clock_watch();
    until("the clocks are compared", async || watch.skew().is_some()).await;
    assert_eq!(watch.warning(), None);
    scene.finish().await;
}
