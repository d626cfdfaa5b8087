//! What a breaker promises, of single cases and of random ones.

use proptest::prelude::*;

use super::*;

const QUICK: Duration = Duration::from_millis(20);

fn seconds(seconds: u64) -> Duration {
    Duration::from_secs(seconds)
}

/// Opened by five calls that reached nobody.
fn opened(now: Duration) -> Breaker {
    let mut breaker = Breaker::new(7);
    let turns: Vec<_> =
        (0..BREAKER_IN_A_ROW).map(|_| breaker.record(now, Outcome::Unreachable, QUICK)).collect();
    assert_eq!(turns.last(), Some(&Some(State::Open)));
    assert!(turns.iter().rev().skip(1).all(Option::is_none));
    breaker
}

#[test]
fn half_of_twenty_calls_open_it_at_the_twentieth() {
    let mut breaker = Breaker::new(1);
    for call in 0..19 {
        let outcome = if call % 2 == 0 { Outcome::Failed } else { Outcome::Answered };
        assert_eq!(breaker.record(seconds(1), outcome, QUICK), None, "call {call}");
    }
    assert_eq!(breaker.admit(seconds(1)), Admit::Yes);
    assert_eq!(breaker.record(seconds(1), Outcome::Failed, QUICK), Some(State::Open));
    assert!(matches!(breaker.admit(seconds(1)), Admit::NotFor(wait) if wait <= BREAKER_OPEN));
}

#[test]
fn slow_answers_count_and_old_ones_do_not() {
    let mut breaker = Breaker::new(1);
    for _ in 0..19 {
        breaker.record(seconds(1), Outcome::Answered, seconds(3));
    }
    assert_eq!(breaker.record(seconds(12), Outcome::Answered, seconds(3)), None, "the others are forgotten");
    for _ in 0..18 {
        breaker.record(seconds(13), Outcome::Answered, seconds(3));
    }
    assert_eq!(breaker.record(seconds(13), Outcome::Answered, seconds(3)), Some(State::Open));
}

#[test]
fn backpressure_counts_neither_way() {
    let mut breaker = Breaker::new(1);
    for _ in 0..4 {
        breaker.record(seconds(1), Outcome::Unreachable, QUICK);
        for _ in 0..100 {
            assert_eq!(breaker.record(seconds(1), Outcome::Backpressure, seconds(9)), None);
        }
    }
    assert_eq!(breaker.record(seconds(1), Outcome::Unreachable, QUICK), Some(State::Open));
}

#[test]
fn three_probes_close_it_and_one_that_fails_opens_it_for_twice_as_long() {
    let mut breaker = opened(seconds(1));
    let now = seconds(7);
    assert_eq!(breaker.state(now), State::HalfOpen);
    for _ in 0..BREAKER_PROBES {
        assert_eq!(breaker.admit(now), Admit::Yes);
    }
    assert!(matches!(breaker.admit(now), Admit::NotFor(_)), "a fourth waits");
    assert_eq!(breaker.record(now, Outcome::Failed, QUICK), Some(State::Open));
    let Admit::NotFor(wait) = breaker.admit(now) else { panic!("it is open") };
    assert!(wait > BREAKER_OPEN && wait <= BREAKER_OPEN * 2, "{wait:?}");
    let now = seconds(18);
    let turns: Vec<_> = (0..3).map(|_| breaker.record(now, Outcome::Answered, QUICK)).collect();
    assert_eq!(turns, [None, None, Some(State::Closed)]);
    assert_eq!(breaker.record(now, Outcome::Failed, QUICK), None, "it begins anew");
}

#[test]
fn a_probe_that_never_comes_back_is_given_up() {
    let mut breaker = opened(seconds(1));
    for _ in 0..BREAKER_PROBES {
        breaker.admit(seconds(7));
    }
    assert!(matches!(breaker.admit(seconds(8)), Admit::NotFor(_)));
    assert_eq!(breaker.admit(seconds(7) + BREAKER_PROBE_LOST), Admit::Yes);
}

#[test]
fn an_operator_has_the_last_word_until_it_runs_out() {
    let mut breaker = opened(seconds(1));
    breaker.force(Some((Forced::Closed, seconds(60))));
    assert_eq!((breaker.admit(seconds(2)), breaker.state(seconds(2))), (Admit::Yes, State::Closed));
    breaker.force(Some((Forced::Open, seconds(60))));
    assert_eq!(breaker.admit(seconds(10)), Admit::NotFor(seconds(50)));
    assert_eq!(breaker.state(seconds(60)), State::HalfOpen, "then it is the breaker's again");
    breaker.force(None);
    assert_eq!(breaker.view(seconds(2)).forced, None);
}

fn outcomes() -> impl Strategy<Value = (Outcome, u64, u64)> {
    let outcome = prop_oneof![
        Just(Outcome::Answered),
        Just(Outcome::Backpressure),
        Just(Outcome::Failed),
        Just(Outcome::Unreachable),
    ];
    (outcome, 0_u64..4_000, 0_u64..3_000)
}

proptest! {
    /// Whatever happens, it is open for 60 s at most, never opens while everybody answers in time, and closes when they do.
    #[test]
    fn it_always_comes_back(calls in proptest::collection::vec(outcomes(), 0..300), seed in any::<u64>()) {
        let mut breaker = Breaker::new(seed);
        let mut now = Duration::ZERO;
        for (outcome, took, pause) in calls {
            now += Duration::from_millis(pause);
            breaker.record(now, outcome, Duration::from_millis(took));
            if let Admit::NotFor(wait) = breaker.admit(now) {
                prop_assert!(wait <= BREAKER_OPEN_MOST);
            }
        }
        now += BREAKER_OPEN_MOST + BREAKER_PROBE_LOST;
        for _ in 0..BREAKER_PROBES {
            breaker.record(now, Outcome::Answered, QUICK);
        }
        prop_assert_eq!(breaker.state(now), State::Closed);
        prop_assert_eq!(breaker.admit(now), Admit::Yes);
    }

    #[test]
    fn good_calls_never_open_it(pauses in proptest::collection::vec(0_u64..2_000, 0..200), seed in any::<u64>()) {
        let mut breaker = Breaker::new(seed);
        let mut now = Duration::ZERO;
        for (call, pause) in pauses.into_iter().enumerate() {
            now += Duration::from_millis(pause);
            let outcome = if call % 3 == 0 { Outcome::Backpressure } else { Outcome::Answered };
            prop_assert_eq!(breaker.record(now, outcome, QUICK), None);
        }
        prop_assert_eq!(breaker.view(now).opened, 0);
    }

    /// Twenty calls of which half and more failed within ten seconds open it, in whatever order.
    #[test]
    fn half_of_enough_calls_open_it(
        order in Just((0..24).collect::<Vec<u32>>()).prop_shuffle(), bad in 12_u32..=24, seed in any::<u64>(),
    ) {
        let mut breaker = Breaker::new(seed);
        let opened = order.iter().any(|call| {
            let outcome = if *call < bad { Outcome::Failed } else { Outcome::Answered };
            breaker.record(seconds(1), outcome, QUICK) == Some(State::Open)
        });
        prop_assert!(opened);
    }
}
