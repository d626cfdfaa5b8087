//! Waiting callers on a clock that moves only when everybody waits.

use std::collections::BTreeMap;

use domain::{Address, Timestamp, clock::Sleep};
use tokio::time::Instant;

use super::*;

/// Tokio's paused clock.
struct Paused(Instant);

impl Clock for Paused {
    fn now(&self) -> Timestamp {
        Timestamp::from_seconds(1_777_400_000).plus(self.uptime())
    }

    fn uptime(&self) -> Duration {
        self.0.elapsed()
    }

    #[expect(clippy::disallowed_methods, reason = "this is the clock")]
    fn sleep(&self, duration: Duration) -> Sleep {
        Box::pin(tokio::time::sleep(duration))
    }
}

fn pacer(limits: VenueLimits) -> Arc<Pacer> {
    Arc::new(Pacer::new(Arc::new(Paused(Instant::now())), Some(limits)))
}

fn signer(number: u16) -> Address {
    let mut bytes = [0; 20];
    bytes[..2].copy_from_slice(&number.to_be_bytes());
    Address(bytes)
}

fn entry(number: u16) -> Ask {
    Ask { signer: signer(number), lane: Lane::Entries }
}

fn exit(number: u16) -> Ask {
    Ask { signer: signer(number), lane: Lane::Exits }
}

/// A worker that wants all of these posted, 64 at a time, and never asks sooner than it was told.
async fn worker(pacer: Arc<Pacer>, mut wanted: Vec<Ask>) -> Vec<(Ask, Duration)> {
    let mut made = Vec::new();
    let mut asked = 0;
    while !wanted.is_empty() {
        let batch: Vec<Ask> = wanted.drain(..wanted.len().min(64)).collect();
        let answers = pacer.admit(&batch, Duration::from_millis(250)).await;
        let now = pacer.clock.uptime();
        for (ask, answer) in batch.into_iter().zip(answers) {
            match answer {
                Admission::Now => made.push((ask, now)),
                Admission::Later(_) => wanted.push(ask),
            }
        }
        asked += 1;
        assert!(asked < 10_000, "asks without waiting");
        tokio::task::yield_now().await;
    }
    made
}

/// Two workers, 10,000 entries and, in the middle of it, 200 exits: the entries take the time the pace needs,
/// the exits none.
#[tokio::test(start_paused = true)]
async fn exits_go_first_while_ten_thousand_entries_wait() {
    let pacer = pacer(VenueLimits::default());
    let entries = |from: u16| (from..from + 5_000).map(entry).collect::<Vec<_>>();
    let workers = [entries(0), entries(5_000)].map(|wanted| tokio::spawn(worker(Arc::clone(&pacer), wanted)));
    pacer.clock.sleep(Duration::from_secs(4)).await;
    let exits = worker(Arc::clone(&pacer), (20_000..20_200).map(exit).collect()).await;
    assert!(exits.iter().all(|(_, at)| *at == Duration::from_secs(4)), "an exit waited");
    let mut made = Vec::new();
    for worker in workers {
        made.extend(worker.await.unwrap());
    }
    let last = made.iter().map(|(_, at)| *at).max().unwrap();
    assert_eq!(made.len(), 10_000);
    assert!(last >= Duration::from_secs(20) && last <= Duration::from_secs(21), "{last:?}");
}

#[tokio::test(start_paused = true)]
async fn accounts_take_turns() {
    let limits = VenueLimits { other: vec![(Endpoint::Post, 100, None)], ..VenueLimits::default() };
    let pacer = pacer(limits);
    // One account with 50 orders, 49 with one: 72 tokens.
    let mut asks: Vec<Ask> = (0..50).map(|_| entry(0)).collect();
    asks.extend((1..50).map(entry));
    let answers = pacer.admit(&asks, Duration::ZERO).await;
    let mut admitted: BTreeMap<Address, usize> = BTreeMap::new();
    for (ask, _) in asks.iter().zip(&answers).filter(|(_, answer)| **answer == Admission::Now) {
        *admitted.entry(ask.signer).or_default() += 1;
    }
    assert_eq!((admitted.len(), admitted[&signer(0)]), (50, 72 - 49));
}

#[tokio::test(start_paused = true)]
async fn callers_of_one_endpoint_are_served_in_the_order_they_came() {
    let limits = VenueLimits { other: vec![(Endpoint::Book, 10, None)], ..VenueLimits::default() };
    let pacer = pacer(limits);
    let call = Call { endpoint: Endpoint::Book, lane: Lane::Entries, tokens: None };
    let served = Arc::new(Mutex::new(Vec::new()));
    let mut tasks = Vec::new();
    for number in 0..30 {
        let (pacer, served) = (Arc::clone(&pacer), Arc::clone(&served));
        tasks.push(tokio::spawn(async move {
            pacer.wait(call, Duration::from_secs(3_600)).await.unwrap();
            served.lock().unwrap().push(number);
        }));
        tokio::task::yield_now().await;
    }
    for task in tasks {
        task.await.unwrap();
    }
    assert_eq!(*served.lock().unwrap(), (0..30).collect::<Vec<_>>());
}

#[tokio::test(start_paused = true)]
async fn whoever_would_wait_too_long_is_told_at_once_and_takes_nothing() {
    let limits = VenueLimits { other: vec![(Endpoint::Book, 2, None)], ..VenueLimits::default() };
    let pacer = pacer(limits);
    let call = Call { endpoint: Endpoint::Book, lane: Lane::Exits, tokens: None };
    pacer.wait(call, Duration::ZERO).await.unwrap();
    let wait = pacer.wait(call, Duration::from_secs(1)).await.unwrap_err();
    assert!(wait > Duration::from_secs(9) && wait <= Duration::from_millis(10_200), "{wait:?}");
    assert_eq!(pacer.clock.uptime(), Duration::ZERO);
    pacer.wait(call, wait).await.unwrap();
}

#[tokio::test(start_paused = true)]
async fn without_limits_nobody_waits() {
    let pacer = Pacer::new(Arc::new(Paused(Instant::now())), None);
    let asks: Vec<Ask> = (0..10_000).map(entry).collect();
    assert!(pacer.admit(&asks, Duration::ZERO).await.iter().all(|answer| *answer == Admission::Now));
}
