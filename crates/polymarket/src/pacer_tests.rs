//! Waiting callers on a clock that moves only when everybody waits.

use std::collections::BTreeMap;

use domain::{Address, KeyRef, Timestamp, ids::OwnerId};
use testkit::{
    executor::{Executor, block_on},
    virtual_clock::VirtualClock,
};

use super::*;
use crate::company::Members;

/// Runs these to their end on a clock that moves only while all of them wait.
fn run(clock: &VirtualClock, work: impl IntoIterator<Item = impl Future<Output = ()> + 'static>) {
    let mut executor = Executor::default();
    for task in work {
        executor.spawn(task);
    }
    while executor.run_until_stalled() > 0 {
        assert!(clock.advance_to_next_timer().is_some(), "waits for nothing");
    }
}

fn clock() -> Arc<VirtualClock> {
    VirtualClock::new(Timestamp::from_seconds(1_777_400_000))
}

fn pacer(limits: VenueLimits) -> (Arc<VirtualClock>, Arc<Pacer>) {
    let clock = clock();
    (Arc::clone(&clock), Arc::new(Pacer::new(clock, Some(limits))))
}

fn signer(number: u16) -> Address {
    let mut bytes = [0; 20];
    bytes[..2].copy_from_slice(&number.to_be_bytes());
    Address(bytes)
}

/// Of an owner that has this account alone.
fn ask(number: u16, lane: Lane) -> Ask {
    Ask { owner: OwnerId(number.into()), key: KeyRef(number.to_string()), signer: signer(number), lane }
}

fn entry(number: u16) -> Ask {
    ask(number, Lane::Entries)
}

fn exit(number: u16) -> Ask {
    ask(number, Lane::Exits)
}

type Made = Arc<Mutex<Vec<(Ask, Duration)>>>;

/// A worker that, after `start`, wants all of these posted, 64 at a time, and never asks sooner than it was told.
async fn worker(pacer: Arc<Pacer>, start: Duration, mut wanted: Vec<Ask>, made: Made) {
    pacer.clock.sleep(start).await;
    let mut asked = 0;
    while !wanted.is_empty() {
        let batch: Vec<Ask> = wanted.drain(..wanted.len().min(64)).collect();
        let answers = pacer.admit(&batch, Duration::from_millis(250)).await;
        let now = pacer.clock.uptime();
        for (ask, answer) in batch.into_iter().zip(answers) {
            match answer {
                Admission::Now => made.lock().unwrap().push((ask, now)),
                Admission::Later(_) => wanted.push(ask),
            }
        }
        asked += 1;
        assert!(asked < 10_000, "asks without waiting");
    }
}

/// Two workers, 10,000 entries and, in the middle of it, 200 exits: the entries take the time the pace needs,
/// the exits none.
#[test]
fn exits_go_first_while_ten_thousand_entries_wait() {
    let (clock, pacer) = pacer(VenueLimits::default());
    let (entries, exits) = (Made::default(), Made::default());
    let middle = Duration::from_secs(4);
    let work =
        |start, wanted: Vec<Ask>, made: &Made| worker(Arc::clone(&pacer), start, wanted, Arc::clone(made));
    run(
        &clock,
        [
            work(Duration::ZERO, (0..5_000).map(entry).collect(), &entries),
            work(Duration::ZERO, (5_000..10_000).map(entry).collect(), &entries),
            work(middle, (20_000..20_200).map(exit).collect(), &exits),
        ],
    );
    let (entries, exits) = (entries.lock().unwrap(), exits.lock().unwrap());
    assert_eq!((entries.len(), exits.len()), (10_000, 200));
    assert!(exits.iter().all(|(_, at)| *at == middle), "an exit waited");
    let last = entries.iter().map(|(_, at)| *at).max().unwrap();
    assert!(last >= Duration::from_secs(20) && last <= Duration::from_secs(21), "{last:?}");
}

#[test]
fn accounts_take_turns() {
    let limits = VenueLimits { other: vec![(Endpoint::Post, 100, None)], ..VenueLimits::default() };
    let (_, pacer) = pacer(limits);
    // One account with 50 orders, 49 with one: 72 tokens.
    let mut asks: Vec<Ask> = (0..50).map(|_| entry(0)).collect();
    asks.extend((1..50).map(entry));
    let answers = block_on(pacer.admit(&asks, Duration::ZERO));
    let mut admitted: BTreeMap<Address, usize> = BTreeMap::new();
    for (ask, _) in asks.iter().zip(&answers).filter(|(_, answer)| **answer == Admission::Now) {
        *admitted.entry(ask.signer).or_default() += 1;
    }
    assert_eq!((admitted.len(), admitted[&signer(0)]), (50, 72 - 49));
}

/// A tenant with a thousand accounts was served before one that has one.
#[test]
fn tenants_take_turns_however_many_accounts_they_have() {
    let limits = VenueLimits { other: vec![(Endpoint::Post, 10, None)], ..VenueLimits::default() };
    let (_, pacer) = pacer(limits);
    let mut asks: Vec<Ask> = (0..1_000).map(|number| Ask { owner: OwnerId(1), ..entry(number) }).collect();
    asks.extend([entry(2_000), entry(2_000)]);
    let answers = block_on(pacer.admit(&asks, Duration::ZERO));
    let admitted = answers.iter().filter(|answer| **answer == Admission::Now).count();
    assert!((2..100).contains(&admitted), "{admitted}");
    assert_eq!(answers[1_000..], [Admission::Now, Admission::Now]);
}

#[test]
fn callers_of_one_endpoint_are_served_in_the_order_they_came() {
    let limits = VenueLimits { other: vec![(Endpoint::Book, 10, None)], ..VenueLimits::default() };
    let (clock, pacer) = pacer(limits);
    let call = Call { endpoint: Endpoint::Book, lane: Lane::Entries, tokens: None };
    let served = Arc::new(Mutex::new(Vec::new()));
    run(
        &clock,
        (0..30).map(|number| {
            let (pacer, served) = (Arc::clone(&pacer), Arc::clone(&served));
            async move {
                pacer.wait(call, Duration::from_secs(3_600)).await.unwrap();
                served.lock().unwrap().push(number);
            }
        }),
    );
    assert_eq!(*served.lock().unwrap(), (0..30).collect::<Vec<_>>());
}

#[test]
fn whoever_would_wait_too_long_is_told_at_once_and_takes_nothing() {
    let limits = VenueLimits { other: vec![(Endpoint::Book, 2, None)], ..VenueLimits::default() };
    let (clock, pacer) = pacer(limits);
    let call = Call { endpoint: Endpoint::Book, lane: Lane::Exits, tokens: None };
    block_on(pacer.wait(call, Duration::ZERO)).unwrap();
    let wait = block_on(pacer.wait(call, Duration::from_secs(1))).unwrap_err();
    assert!(wait > Duration::from_secs(9) && wait <= Duration::from_millis(10_200), "{wait:?}");
    assert_eq!(clock.uptime(), Duration::ZERO);
    run(&clock, [async move { pacer.wait(call, wait).await.unwrap() }]);
}

#[test]
fn without_limits_nobody_waits() {
    let pacer = Pacer::new(clock(), None);
    let asks: Vec<Ask> = (0..10_000).map(entry).collect();
    assert!(block_on(pacer.admit(&asks, Duration::ZERO)).iter().all(|answer| *answer == Admission::Now));
}

/// Not only 429 names a time, and it is meant for the whole service.
#[test]
fn a_service_that_asks_to_wait_is_asked_nothing_meanwhile() {
    for status in [429, 503, 425] {
        let (_, pacer) = pacer(VenueLimits::default());
        let wait = Duration::from_secs(60);
        let answer = Answer { retry_after: Some(wait), ..Answer::of(status, "") };
        let asked = pacer.paced(
            ("trades", Endpoint::HistoryTrades, Lane::Entries),
            Duration::ZERO,
            std::future::ready(Ok::<_, ()>(answer)),
        );
        assert!(block_on(asked).is_ok());
        let other = ("positions", Endpoint::HistoryPositions, Lane::Exits);
        let never = std::future::ready(Ok::<_, ()>(Answer::of(200, "")));
        let spared = block_on(pacer.paced(other, Duration::from_secs(10), never));
        assert!(
            matches!(spared, Err(VenueError::RateLimited { retry_after: Some(left), .. }) if left == wait),
            "{status}: {spared:?}"
        );
    }
}

/// Two processes with more to send than they may, for half a minute: the venue counts them together, and never more than
/// the pace in any ten seconds; and hardly less.
#[test]
fn two_processes_together_keep_the_pace_of_one() {
    let clock = clock();
    let limits = VenueLimits { other: vec![(Endpoint::Post, 400, None)], ..VenueLimits::default() };
    let made = Made::default();
    let processes = (0..2).map(|number| {
        let pacer = Arc::new(Pacer::new(clock.clone(), Some(limits.clone())));
        let company = Arc::new(Company::alone());
        company.note(Members { signers: 2, workers: 2, callers: 2 }, Duration::ZERO);
        pacer.share(company);
        // The same signers: each order could be at either of them.
        let wanted =
            (0..600).map(|ask| if (ask + number) % 5 == 0 { exit(ask % 60) } else { entry(ask % 60) });
        worker(pacer, Duration::ZERO, wanted.collect(), Arc::clone(&made))
    });
    run(&clock, processes);
    let mut moments: Vec<Duration> = made.lock().unwrap().iter().map(|(_, at)| *at).collect();
    moments.sort_unstable();
    assert_eq!(moments.len(), 1_200);
    let most = (0..moments.len()).map(|first| {
        let end = moments[first] + Duration::from_secs(10);
        moments[first..].iter().take_while(|at| **at < end).count()
    });
    let (pace, most) = (360, most.max().unwrap());
    assert!((pace * 100 / 105..=pace).contains(&most), "{most} in ten seconds");
}

/// A worker takes over where another one ends: nothing is over the pace while the one that is gone is still counted.
#[test]
fn a_part_that_becomes_free_is_used_later() {
    let (clock, pacer) =
        pacer(VenueLimits { other: vec![(Endpoint::Post, 400, None)], ..VenueLimits::default() });
    let company = Arc::new(Company::joining());
    pacer.share(Arc::clone(&company));
    let take = || {
        let mut taken = 0;
        while block_on(
            pacer.wait(Call { endpoint: Endpoint::Post, lane: Lane::Exits, tokens: None }, Duration::ZERO),
        )
        .is_ok()
        {
            taken += 1;
        }
        taken
    };
    let two = Members { signers: 2, workers: 2, callers: 2 };
    company.note(two, clock.uptime());
    let joined = take();
    assert!(joined <= 36, "{joined} at once, and nobody knows of it");
    clock.advance(Duration::from_secs(11));
    let half = take();
    assert!((100..=180).contains(&half), "{half} of 360");
    company.note(Members::ALONE, clock.uptime());
    clock.advance(Duration::from_secs(5));
    assert_eq!(take(), 0, "what the other one did is still counted");
    clock.advance(Duration::from_secs(11));
    let whole = take();
    assert!((300..=360).contains(&whole), "{whole} of 360");
}
