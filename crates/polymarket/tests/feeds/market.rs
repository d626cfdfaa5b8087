//! The market channel: subscriptions, news, and each way a socket can fail.

use std::{collections::BTreeSet, time::Duration};

use domain::{ConditionId, Price, TickSize, TokenId};
use engine::ports::feeds::{MarketFeed, MarketNews};
use polymarket::limits::{MARKET_SILENCE, PONG_WITHIN, RECONNECT_LAST, TOKENS_PER_SOCKET};
use simulator::{
    Outage, Service,
    world::{
        control::Redeemers,
        faults::{FaultKind, FaultTarget},
        registry::MarketSpec,
    },
};

use crate::harness::{Books, OTHER, TOKEN, Venue, cents, condition, market, run};

const SOCKET: FaultTarget = FaultTarget::MarketSocket;

fn is_snapshot(news: &MarketNews) -> bool {
    matches!(news, MarketNews::Snapshot { .. })
}

fn is_lost(news: &MarketNews) -> bool {
    matches!(news, MarketNews::Lost(_))
}

/// A venue, and books that are equal to its own.
async fn following() -> (Venue, Books) {
    let venue = Venue::new().await;
    let mut books = Books::of(&venue, &[TOKEN]);
    books.until_equal(&venue, TOKEN).await;
    (venue, books)
}

/// Lets pauses pass until the connection is back and its books are the venue's.
async fn back(venue: &Venue, books: &mut Books) {
    books.until(is_lost).await;
    assert_eq!(books.book(TOKEN), None, "what may be wrong is not answered");
    venue.until_open(books).await;
    books.until_equal(venue, TOKEN).await;
}

#[test]
fn a_book_its_changes_and_its_mirror() {
    run(async {
        let (venue, mut books) = following().await;
        venue.levels(&[(49, 6)], &[(50, 1), (51, 5)]);
        books.until_equal(&venue, TOKEN).await;
        books.feed.follow(&BTreeSet::from([TOKEN, OTHER]));
        books.until_equal(&venue, OTHER).await;
        venue.levels(&[], &[]);
        books.until_equal(&venue, TOKEN).await;
        let health = books.feed.health();
        assert_eq!((health.wanted, health.open, health.errors, health.failures), (1, 1, 0, 0));
        assert!(health.events >= 4 && health.newest.is_some());
        assert!(books.books.dropped().is_empty());
    });
}

#[test]
fn frames_in_lists() {
    run(async {
        let (venue, mut books) = following().await;
        venue.knobs(|knobs| knobs.frames_in_lists = true);
        venue.levels(&[(40, 6)], &[(60, 5)]);
        books.until_equal(&venue, TOKEN).await;
        assert_eq!(books.feed.health().errors, 0);
    });
}

#[test]
fn ticks_and_resolutions() {
    run(async {
        let (venue, mut books) = following().await;
        venue.world.with(|world, _| world.set_tick(&condition(), Price(1_000))).unwrap();
        let tick = TickSize::from_price(Price(1_000)).unwrap();
        books.until(|news| *news == MarketNews::Tick { token: TOKEN, tick }).await;
        books.until(is_snapshot).await;
        books.until_equal(&venue, TOKEN).await;
        let payouts = [cents(100), cents(0)];
        venue.world.with(|world, _| world.resolve(&condition(), payouts, &Redeemers::None)).unwrap();
        books
            .until(|news| matches!(news, MarketNews::Resolved { tokens, .. } if tokens.contains(&TOKEN)))
            .await;
        assert_eq!(books.book(TOKEN), None);
    });
}

#[test]
fn more_tokens_than_one_socket_takes() {
    run(async {
        let venue = Venue::new().await;
        let tokens: BTreeSet<_> = (0..TOKENS_PER_SOCKET * 2 + 1)
            .map(|number| {
                let mut id = [0x20; 32];
                id[24..].copy_from_slice(&(number as u64).to_be_bytes());
                domain::TokenId(id)
            })
            .collect();
        let mut books = Books::of(&venue, &[]);
        books.feed.follow(&tokens);
        assert_eq!(books.feed.health().wanted, 3);
        // One that is new finds room, and its book comes.
        books.feed.follow(&tokens.iter().copied().skip(10).chain([TOKEN]).collect());
        assert_eq!(books.feed.health().wanted, 3);
        books.until_equal(&venue, TOKEN).await;
        books.feed.follow(&BTreeSet::from([TOKEN]));
        assert_eq!(books.feed.health().wanted, 1, "empty sockets are closed");
        venue.levels(&[(33, 3)], &[]);
        books.until_equal(&venue, TOKEN).await;
        assert_eq!(books.feed.health().failures, 0, "the book went on");
    });
}

#[test]
fn a_silent_stall_is_noticed_although_pings_are_answered() {
    run(async {
        let (venue, mut books) = following().await;
        venue.fault(SOCKET, FaultKind::Stall, 1);
        venue.levels(&[(30, 6)], &[(70, 5)]);
        venue.happened(FaultKind::Stall).await;
        // Ping by ping, so that each is answered. Whoever holds tokens says again and again that they are wanted.
        for _ in 1..MARKET_SILENCE.as_secs() / 10 {
            venue.clock.advance(Duration::from_secs(10));
            books.feed.follow(&BTreeSet::from([TOKEN]));
            venue.pulse().await;
            assert_eq!(books.feed.health().failures, 0);
        }
        venue.clock.advance(Duration::from_secs(10));
        back(&venue, &mut books).await;
        assert_eq!((books.feed.health().frames, books.feed.health().reconnects), (2, 1), "two snapshots");
    });
}

/// Strangers' markets are told of on the same socket; that books of ours still come they do not show.
#[test]
fn strangers_do_not_hide_a_silence() {
    run(async {
        let (venue, mut books) = following().await;
        let before = books.feed.health().passed_over;
        for number in 1..MARKET_SILENCE.as_secs() / 10 {
            let byte = u8::try_from(number).unwrap();
            let spec = MarketSpec {
                condition: ConditionId::from_slice(&[byte; 32]).unwrap(),
                tokens: [TokenId([0x60 + byte; 32]), TokenId([0x70 + byte; 32])],
                slug: format!("stranger-{number}"),
                ..market()
            };
            venue.world.with(|world, _| world.add_market(spec)).unwrap();
            venue.clock.advance(Duration::from_secs(10));
            venue.pulse().await;
            assert_eq!(books.feed.health().failures, 0);
        }
        assert!(books.feed.health().passed_over > before, "they are told of");
        venue.clock.advance(Duration::from_secs(10));
        back(&venue, &mut books).await;
        assert_eq!(books.feed.health().reconnects, 1);
    });
}

#[test]
fn missed_pongs_end_a_connection() {
    run(async {
        let (venue, mut books) = following().await;
        venue.fault(SOCKET, FaultKind::MissPong, 100);
        let mut rounds = 0;
        while books.feed.health().failures == 0 {
            venue.clock.advance(PONG_WITHIN / 3);
            venue.pulse().await;
            rounds += 1;
        }
        // One round of time may pass between the opening and the first look at the clock.
        assert!((3..=4).contains(&rounds), "{rounds}");
        books.until(is_lost).await;
        venue.world.with(|world, _| world.faults.clear());
        venue.levels(&[(30, 6)], &[(70, 5)]);
        venue.until_open(&books).await;
        books.until_equal(&venue, TOKEN).await;
    });
}

#[test]
fn frames_that_cannot_be_read_and_connections_that_break() {
    run(async {
        for (kind, errors) in [
            (FaultKind::Malformed, 1),
            (FaultKind::Oversized, 0),
            (FaultKind::Disconnect, 0),
            (FaultKind::SlowReader, 0),
        ] {
            let (venue, mut books) = following().await;
            venue.fault(SOCKET, kind, 1);
            venue.levels(&[(30, 6)], &[(70, 5)]);
            back(&venue, &mut books).await;
            let health = books.feed.health();
            assert_eq!((health.errors, health.reconnects), (errors, 1), "{kind:?}");
        }
    });
}

#[test]
fn a_frame_twice_is_a_frame_once() {
    run(async {
        let (venue, mut books) = following().await;
        venue.fault(SOCKET, FaultKind::Duplicate, 3);
        venue.levels(&[(30, 6)], &[(70, 5)]);
        books.until_equal(&venue, TOKEN).await;
        venue.levels(&[(31, 6)], &[(70, 5)]);
        books.until_equal(&venue, TOKEN).await;
        assert_eq!(books.feed.health().failures, 0);
    });
}

#[test]
fn frames_out_of_order_cost_a_snapshot() {
    run(async {
        let (venue, mut books) = following().await;
        venue.fault(SOCKET, FaultKind::Reorder, 1);
        venue.levels(&[(30, 6)], &[(70, 5)]);
        venue.levels(&[(31, 6)], &[(70, 5)]);
        books.until(is_snapshot).await;
        books.until_equal(&venue, TOKEN).await;
        assert_eq!(books.feed.health().failures, 0);
        assert_eq!(books.books.dropped().values().sum::<u64>(), 1);
    });
}

#[test]
fn an_outage_ends_and_everything_is_back() {
    run(async {
        for outage in [Outage::Refused, Outage::Unavailable, Outage::Silent] {
            let (venue, mut books) = following().await;
            venue.world.set_outage(Service::Clob, outage);
            venue.levels(&[(30, 6)], &[(70, 5)]);
            if outage == Outage::Silent {
                venue.clock.advance(PONG_WITHIN);
            }
            books.until(is_lost).await;
            for _ in 0..20 {
                venue.clock.advance(RECONNECT_LAST);
                tokio::task::yield_now().await;
            }
            assert_eq!(books.feed.health().open, 0, "{outage:?}");
            venue.world.set_outage(Service::Clob, Outage::None);
            venue.until_open(&books).await;
            books.until_equal(&venue, TOKEN).await;
        }
    });
}

#[test]
fn new_markets_are_passed_over() {
    run(async {
        let (venue, mut books) = following().await;
        let mut other = market();
        other.condition = domain::ConditionId::from_slice(&[0xc1; 32]).unwrap();
        other.tokens = [domain::TokenId([0x30; 32]), domain::TokenId([0x31; 32])];
        venue.world.with(|world, _| world.add_market(other)).unwrap();
        venue.levels(&[(30, 6)], &[(70, 5)]);
        books.until_equal(&venue, TOKEN).await;
        let health = books.feed.health();
        assert_eq!((health.passed_over, health.errors), (1, 0));
    });
}
