//! The pace against an exact count of what a venue would see, on a clock of numbers.

use proptest::prelude::*;

use super::*;
use crate::limits::SHORT_WINDOW;

const HOUR: Duration = Duration::from_secs(3_600);
/// The same moment of the day.
const TODAY: i64 = 1_795_696_920;
const NOW: (Duration, Timestamp) = (HOUR, Timestamp::from_seconds(TODAY));

fn signer(number: u64) -> Address {
    let mut bytes = [0; 20];
    bytes[..8].copy_from_slice(&number.to_be_bytes());
    Address(bytes)
}

fn post(lane: Lane, number: u64) -> Call {
    Call { endpoint: Endpoint::Post, lane, tokens: Some((signer(number), 1)) }
}

/// Calls as fast as allowed; when each was.
fn run(pace: &mut Pace, calls: impl IntoIterator<Item = Call>, start: Duration) -> Vec<Duration> {
    let mut now = start;
    let mut made = Vec::new();
    for call in calls {
        while let Err(at) = pace.take(call, now) {
            assert!(at > now, "asked to come again at once");
            now = at;
        }
        made.push(now);
    }
    made
}

/// The most calls in any window of this length, counted exactly.
fn busiest(made: &[Duration], length: Duration) -> usize {
    let mut first = 0;
    let mut most = 0;
    for (last, at) in made.iter().enumerate() {
        while *at - made[first] >= length {
            first += 1;
        }
        most = most.max(last - first + 1);
    }
    most
}

/// The venue counts requests: 2,000 of 15 orders are not 30,000 posts.
#[test]
fn orders_that_go_together_are_one_request() {
    let mut pace = Pace::new(VenueLimits::default());
    let batch = Call { endpoint: Endpoint::PostBatch, lane: Lane::Exits, tokens: None };
    // 2,000 in 10 s, of these 90 %, of these 90 % for exits.
    for number in 0..1_620 {
        for order in 0..15 {
            assert_eq!(pace.take(post(Lane::Exits, number * 15 + order), HOUR), Ok(()), "{number}");
        }
        assert_eq!(pace.take(batch, HOUR), Ok(()), "{number}");
        pace.give_back(Call { endpoint: Endpoint::Post, ..batch }, 15);
    }
    assert!(pace.take(batch, HOUR).is_err(), "the requests themselves are counted");
    // The signer's own bucket counts orders, however they go.
    let mut one = Pace::new(VenueLimits::default());
    let taken = (0..100).take_while(|_| {
        let taken = one.take(post(Lane::Exits, 1), HOUR).is_ok();
        one.give_back(Call { endpoint: Endpoint::Post, ..batch }, 1);
        taken
    });
    assert_eq!(taken.count(), 54);
}

/// What is given back was counted: more than that is not there, and later calls stay counted.
#[test]
fn no_more_is_given_back_than_was_taken() {
    let mut pace = Pace::new(VenueLimits::default());
    pace.give_back(post(Lane::Entries, 0), 1_000);
    let made = run(&mut pace, (0..10_000).map(|number| post(Lane::Entries, number)), HOUR);
    assert_eq!(busiest(&made, SHORT_WINDOW), 3_600);
}

/// The figure: 10,000 orders of 10,000 accounts from one address within 1.05 of the configured pace, and
/// none above the venue's limit.
#[test]
fn ten_thousand_orders_take_the_time_the_pace_needs() {
    let mut pace = Pace::new(VenueLimits::default());
    let made = run(&mut pace, (0..10_000).map(|number| post(Lane::Entries, number)), HOUR);
    // 5,000 in 10 s, of these 90 %, of these 80 % for entries: 3,600, 3,600, 2,800.
    let ideal = Duration::from_secs(20);
    let taken = *made.last().unwrap() - HOUR;
    assert!(taken >= ideal && taken <= ideal.mul_f64(1.05), "{taken:?}");
    assert_eq!(busiest(&made, SHORT_WINDOW), 3_600);
}

#[test]
fn exits_have_their_share_while_entries_take_all_they_can() {
    let mut pace = Pace::new(VenueLimits::default());
    let now = HOUR;
    for number in 0..3_600 {
        assert_eq!(pace.take(post(Lane::Entries, number), now), Ok(()));
    }
    assert!(pace.take(post(Lane::Entries, 3_600), now).is_err());
    for number in 0..900 {
        assert_eq!(pace.take(post(Lane::Exits, number), now), Ok(()), "exit {number}");
    }
    assert!(pace.take(post(Lane::Exits, 900), now).is_err());
}

#[test]
fn exits_leave_entries_a_part() {
    let mut pace = Pace::new(VenueLimits::default());
    let mut exits = 0;
    while pace.take(post(Lane::Exits, exits), HOUR).is_ok() {
        exits += 1;
    }
    assert_eq!(exits, 4_050);
    for number in 0..450 {
        assert_eq!(pace.take(post(Lane::Entries, number), HOUR), Ok(()));
    }
}

#[test]
fn the_long_window_holds_too() {
    let limits = VenueLimits { other: vec![(Endpoint::Post, 100, Some(1_000))], ..VenueLimits::default() };
    let mut pace = Pace::new(limits);
    let made = run(&mut pace, (0..2_000).map(|number| post(Lane::Entries, number)), HOUR);
    assert_eq!((busiest(&made, SHORT_WINDOW), busiest(&made, LONG_WINDOW)), (72, 720));
}

#[test]
fn all_endpoints_together_are_one_limit() {
    let limits = VenueLimits { other: vec![(Endpoint::Other, 100, None)], ..VenueLimits::default() };
    let mut pace = Pace::new(limits);
    let book = Call { endpoint: Endpoint::Book, lane: Lane::Entries, tokens: None };
    let made = run(&mut pace, (0..200).map(|_| book), HOUR);
    assert_eq!(busiest(&made, SHORT_WINDOW), 72);
    let cancel = Call { endpoint: Endpoint::Cancel, lane: Lane::Exits, tokens: None };
    assert_eq!(pace.take(cancel, *made.last().unwrap()), Ok(()));
}

#[test]
fn one_signer_has_a_bucket_of_its_own() {
    let mut pace = Pace::new(VenueLimits::default());
    let made = run(&mut pace, (0..200).map(|_| post(Lane::Exits, 1)), HOUR);
    // 54 at once (90 % of 60), then 36 a second (90 % of 40).
    assert_eq!(made.iter().filter(|at| **at == HOUR).count(), 54);
    let rest = (*made.last().unwrap() - HOUR).as_secs_f64();
    assert!((rest - 146.0 / 36.0).abs() < 0.01, "{rest}");
    assert_eq!(pace.take(post(Lane::Exits, 2), HOUR), Ok(()), "another signer waits for nobody");
    // A batch takes as many tokens as it has orders, all or nothing.
    let batch = Call { endpoint: Endpoint::PostBatch, lane: Lane::Exits, tokens: Some((signer(3), 15)) };
    assert_eq!(run(&mut pace, [batch; 3], HOUR * 2), [HOUR * 2; 3]);
    assert!(pace.take(batch, HOUR * 2).is_err());
}

fn told(limit: &Limit, retry_after: Option<u64>) -> Told<'_> {
    Told { limit, limited: true, closed: false, retry_after: retry_after.map(Duration::from_secs) }
}

#[test]
fn a_signer_s_own_limit_stops_only_this_signer() {
    let mut pace = Pace::new(VenueLimits::default());
    let limit = Limit { remaining: Some(0), reset: Some(3), tier: None };
    pace.learn(post(Lane::Exits, 1), &told(&limit, Some(7)), NOW);
    assert_eq!(pace.take(post(Lane::Exits, 1), HOUR), Err(HOUR + Duration::from_secs(7)));
    assert_eq!(pace.take(post(Lane::Exits, 2), HOUR), Ok(()));
    // The venue tells a moment in Unix seconds, others tell seconds from now; what cannot be is not believed.
    let moment = u64::try_from(TODAY).unwrap();
    for (number, (reset, wait)) in (3..).zip([
        (3, 3),
        (moment + 3, 3),
        (moment, 1),
        (moment - 5, 1),
        (0, 1),
        (moment + 3_601, 1),
        (u64::MAX, 1),
    ]) {
        let limit = Limit { remaining: None, reset: Some(reset), tier: Some("standard".to_owned()) };
        pace.learn(post(Lane::Exits, number), &told(&limit, None), NOW);
        let expected = Err(HOUR + Duration::from_secs(wait));
        assert_eq!(pace.take(post(Lane::Exits, number), HOUR), expected, "{reset}");
    }
}

fn cancel_all(number: u64) -> Call {
    Call { endpoint: Endpoint::CancelAll, lane: Lane::Exits, tokens: Some((signer(number), 1)) }
}

#[test]
fn a_debt_of_cancels_is_paid_before_the_next_one() {
    let mut pace = Pace::new(VenueLimits::default());
    assert_eq!(pace.most_cancels(signer(1), HOUR), 108, "90 % of 120");
    // Told by the venue: 72 below zero, and 72 a second (90 % of 80).
    let limit = Limit { remaining: Some(-71), reset: None, tier: None };
    pace.learn(cancel_all(1), &Told { limited: false, ..told(&limit, None) }, NOW);
    assert_eq!(pace.take(cancel_all(1), HOUR), Err(HOUR + Duration::from_secs(1)));
    // Not told, counted: 1 and 179 from 108.
    assert_eq!(pace.take(cancel_all(2), HOUR), Ok(()));
    pace.charge_cancels(signer(2), 178, HOUR);
    assert_eq!(pace.take(cancel_all(2), HOUR), Err(HOUR + Duration::from_secs(1)));
    assert_eq!(pace.take(post(Lane::Exits, 2), HOUR), Ok(()), "orders have a bucket of their own");
}

#[test]
fn the_address_s_limit_stops_the_endpoint_for_as_long_as_told() {
    let mut pace = Pace::new(VenueLimits::default());
    pace.learn(post(Lane::Exits, 1), &told(&Limit::default(), Some(5)), NOW);
    assert_eq!(pace.take(post(Lane::Exits, 2), HOUR), Err(HOUR + Duration::from_secs(5)));
    let cancel = Call { endpoint: Endpoint::Cancel, lane: Lane::Exits, tokens: None };
    assert_eq!(pace.take(cancel, HOUR), Ok(()));
    assert_eq!(pace.take(post(Lane::Exits, 2), HOUR + Duration::from_secs(5)), Ok(()));
}

#[test]
fn the_venue_s_tier_is_learned() {
    let mut pace = Pace::new(VenueLimits::default());
    let silver = Limit { remaining: Some(300), reset: None, tier: Some("Silver".to_owned()) };
    let quiet = Told { limit: &silver, limited: false, closed: false, retry_after: None };
    pace.learn(post(Lane::Exits, 1), &quiet, NOW);
    let made = run(&mut pace, (0..270).map(|_| post(Lane::Exits, 1)), HOUR);
    assert_eq!(made.last(), Some(&HOUR), "90 % of a burst of 300");
    // What nobody knows changes nothing.
    let odd = Limit { tier: Some("Unobtainium".to_owned()), ..Limit::default() };
    pace.learn(post(Lane::Exits, 2), &Told { limit: &odd, ..quiet }, NOW);
    assert_eq!(run(&mut pace, (0..54).map(|_| post(Lane::Exits, 2)), HOUR).last(), Some(&HOUR));
}

#[test]
fn idle_signers_are_forgotten() {
    let mut pace = Pace::new(VenueLimits {
        other: vec![(Endpoint::Post, u32::MAX, None), (Endpoint::Other, u32::MAX, None)],
        ..VenueLimits::default()
    });
    for number in 0..3 * u64::try_from(IDLE_BUCKETS).unwrap() {
        let now = HOUR + Duration::from_millis(number);
        pace.take(post(Lane::Exits, number), now).unwrap();
        assert!(pace.orders.len() <= IDLE_BUCKETS + 1);
    }
}

fn any_call() -> impl Strategy<Value = (Call, u64)> {
    let endpoint =
        prop::sample::select(vec![Endpoint::Post, Endpoint::Cancel, Endpoint::Book, Endpoint::Other]);
    (endpoint, any::<bool>(), 0_u64..5, 0_u64..400).prop_map(|(endpoint, exit, number, pause)| {
        let lane = if exit { Lane::Exits } else { Lane::Entries };
        let tokens = matches!(endpoint, Endpoint::Post | Endpoint::Cancel).then(|| (signer(number), 1));
        (Call { endpoint, lane, tokens }, pause)
    })
}

proptest! {
    #![proptest_config(ProptestConfig::with_cases(64))]

    /// Whatever is called when: no window of the venue ever holds more than its limit times the share, no
    /// signer more than its burst and rate, and whoever asks again when told gets through at last.
    #[test]
    fn the_pace_is_never_exceeded_and_nobody_starves(calls in prop::collection::vec(any_call(), 1..400)) {
        let other = vec![
            (Endpoint::Post, 40, Some(200)),
            (Endpoint::Cancel, 20, None),
            (Endpoint::Book, 30, None),
            (Endpoint::Other, 70, None),
        ];
        let limits = VenueLimits { other: other.clone(), ..VenueLimits::default() };
        let mut pace = Pace::new(limits);
        let mut now = HOUR;
        let mut made: Vec<(Call, Duration)> = Vec::new();
        for (call, pause) in calls {
            now += Duration::from_millis(pause);
            let mut asked = 0;
            while let Err(at) = pace.take(call, now) {
                prop_assert!(at > now);
                asked += 1;
                prop_assert!(asked < 50, "never gets through");
                now = at;
            }
            made.push((call, now));
        }
        for (endpoint, short, long) in other {
            let own: Vec<Duration> = made
                .iter()
                .filter(|(call, _)| endpoint == Endpoint::Other || call.endpoint == endpoint)
                .map(|(_, at)| *at)
                .collect();
            prop_assert!(busiest(&own, SHORT_WINDOW) * 100 <= short as usize * 90);
            if let Some(long) = long {
                prop_assert!(busiest(&own, LONG_WINDOW) * 100 <= long as usize * 90);
            }
        }
        for number in 0..5 {
            let own: Vec<Duration> = made
                .iter()
                .filter(|(call, _)| call.endpoint == Endpoint::Post && call.tokens == Some((signer(number), 1)))
                .map(|(_, at)| *at)
                .collect();
            prop_assert!(busiest(&own, Duration::from_secs(1)) <= 54 + 36);
        }
    }
}
