//! Books from snapshots and changes: what is applied, what is dropped, what is asked for.

use proptest::prelude::*;

use super::*;

const TOKEN: TokenId = TokenId([7; 32]);
const NOW: Duration = Duration::from_secs(1_000);

fn cents(cents: i64) -> Price {
    Price(cents * 10_000)
}

fn at(millis: i64) -> Timestamp {
    Timestamp::from_millis(millis)
}

fn levels(levels: &[(i64, i64)]) -> Vec<Level> {
    levels.iter().map(|(price, size)| Level { price: cents(*price), size: Shares(*size) }).collect()
}

fn snapshot(millis: i64, bids: &[(i64, i64)], asks: &[(i64, i64)]) -> MarketNews {
    let book = Book { bids: levels(bids), asks: levels(asks) };
    MarketNews::Snapshot { token: TOKEN, book, tick: None, at: at(millis) }
}

fn changed(millis: i64, changes: &[(Side, i64, i64)], best: Option<(i64, i64)>) -> MarketNews {
    let change = |(side, price, size): &(Side, i64, i64)| LevelChange {
        side: *side,
        price: cents(*price),
        size: Shares(*size),
    };
    let side = |price: i64| (price > 0).then(|| cents(price));
    MarketNews::Changed {
        token: TOKEN,
        changes: changes.iter().map(change).collect(),
        best: best.map(|(bid, ask)| BestPrices { bid: side(bid), ask: side(ask) }),
        at: at(millis),
    }
}

/// 49 bid, 51 asked, as of 100 ms.
fn usual() -> LiveBooks {
    let mut books = LiveBooks::default();
    assert!(books.hear(&snapshot(100, &[(49, 5), (48, 7)], &[(51, 5)]), NOW).is_empty());
    books
}

fn reason(books: &LiveBooks) -> Option<DropReason> {
    books.dropped().keys().next().copied()
}

#[test]
fn changes_are_sizes_and_not_differences() {
    let mut books = usual();
    let news = changed(110, &[(Side::Buy, 49, 0), (Side::Buy, 48, 9), (Side::Sell, 50, 1)], Some((48, 50)));
    assert!(books.hear(&news, NOW).is_empty());
    assert!(books.hear(&news, NOW).is_empty(), "twice is once");
    let book = books.get(TOKEN, NOW).unwrap();
    assert_eq!((book.bids, book.asks), (levels(&[(48, 9)]), levels(&[(50, 1), (51, 5)])));
}

#[test]
fn an_empty_side_has_no_best_price() {
    let mut books = usual();
    assert!(books.hear(&changed(110, &[(Side::Sell, 51, 0)], Some((49, 0))), NOW).is_empty());
    assert!(books.get(TOKEN, NOW).unwrap().asks.is_empty());
}

#[test]
fn what_may_be_wrong_is_dropped_and_asked_for_once_in_a_while() {
    for (news, expected) in [
        (changed(110, &[(Side::Buy, 51, 1)], None), DropReason::Crossed),
        (changed(110, &[(Side::Buy, 48, 1)], Some((48, 51))), DropReason::Disagrees),
        (changed(110, &[], Some((50, 51))), DropReason::Disagrees),
        (snapshot(110, &[(52, 1)], &[(51, 1)]), DropReason::Crossed),
        (
            MarketNews::Tick { token: TOKEN, tick: domain::TickSize::from_price(Price(1_000)).unwrap() },
            DropReason::Tick,
        ),
    ] {
        let mut books = usual();
        assert_eq!(books.hear(&news, NOW), [TOKEN], "{news:?}");
        assert_eq!((books.get(TOKEN, NOW), reason(&books)), (None, Some(expected)), "{news:?}");
        assert!(!books.asks_for(TOKEN, NOW), "it was asked for");
        assert!(books.asks_for(TOKEN, NOW + BOOK_REFRESH_PAUSE), "nothing came: again");
        // The next snapshot begins anew, and a new mistake does not ask at once again.
        assert!(books.hear(&snapshot(120, &[(49, 5)], &[(51, 5)]), NOW).is_empty());
        assert!(books.get(TOKEN, NOW).is_some());
        assert!(books.hear(&changed(130, &[], Some((1, 2))), NOW + BOOK_REFRESH_PAUSE).is_empty());
    }
}

#[test]
fn a_lost_connection_and_a_resolution_drop_without_asking() {
    let resolved = MarketNews::Resolved {
        condition: domain::ConditionId::from_slice(&[1; 32]).unwrap(),
        tokens: vec![TOKEN],
    };
    for news in [MarketNews::Lost(vec![TOKEN]), resolved] {
        let mut books = usual();
        assert!(books.hear(&news, NOW).is_empty());
        assert_eq!(books.get(TOKEN, NOW), None);
    }
}

#[test]
fn older_than_the_snapshot_is_in_it_and_older_than_a_change_is_a_gap() {
    let mut books = usual();
    assert!(books.hear(&changed(99, &[(Side::Buy, 49, 0)], Some((48, 51))), NOW).is_empty());
    assert_eq!(books.get(TOKEN, NOW).unwrap().bids.len(), 2);
    assert!(books.hear(&changed(110, &[(Side::Buy, 49, 3)], None), NOW).is_empty());
    assert!(books.hear(&snapshot(105, &[(40, 1)], &[]), NOW).is_empty(), "an overtaken snapshot");
    assert!(books.hear(&changed(108, &[], Some((1, 2))), NOW).is_empty(), "overtaken best prices");
    assert_eq!(books.get(TOKEN, NOW).unwrap().bids[0].size, Shares(3));
    assert_eq!(books.hear(&changed(109, &[(Side::Buy, 49, 4)], None), NOW), [TOKEN]);
    assert_eq!(reason(&books), Some(DropReason::OutOfOrder));
}

#[test]
fn a_book_nobody_speaks_of_is_not_answered() {
    let mut books = usual();
    assert!(books.get(TOKEN, NOW + BOOK_FRESH_FOR).is_some());
    let later = NOW + BOOK_FRESH_FOR + Duration::from_micros(1);
    assert_eq!(books.get(TOKEN, later), None);
    assert!(books.hear(&changed(110, &[], Some((49, 51))), later).is_empty());
    assert!(books.get(TOKEN, later).is_some(), "best prices that agree are a sign of life");
    books.retain(&BTreeSet::new());
    assert_eq!(books.get(TOKEN, later), None);
}

#[test]
fn changes_without_a_book_are_nothing() {
    let mut books = LiveBooks::default();
    assert!(books.hear(&changed(1, &[(Side::Buy, 49, 0)], Some((48, 51))), NOW).is_empty());
    assert_eq!(books.get(TOKEN, NOW), None);
    assert!(books.asks_for(TOKEN, NOW) && !books.asks_for(TOKEN, NOW));
}

#[test]
fn a_snapshot_that_a_change_has_overtaken_is_not_taken() {
    let mut books = LiveBooks::default();
    assert!(books.hear(&changed(105, &[(Side::Buy, 49, 0)], None), NOW).is_empty());
    assert_eq!(books.hear(&snapshot(100, &[(49, 5)], &[]), NOW), [TOKEN]);
    assert_eq!(books.get(TOKEN, NOW), None);
    assert!(books.hear(&snapshot(105, &[(48, 5)], &[]), NOW).is_empty());
    assert!(books.get(TOKEN, NOW).is_some());
}

proptest! {
    /// Whatever is heard, a book that is answered is not crossed and has no empty level.
    #[test]
    fn an_answered_book_can_stand(
        news in proptest::collection::vec(
            (0_i64..20, proptest::collection::vec((any::<bool>(), 1_i64..100, 0_i64..4), 0..4), any::<bool>()),
            0..40,
        ),
    ) {
        let mut books = LiveBooks::default();
        for (millis, changes, whole) in news {
            let side = |buy| if buy { Side::Buy } else { Side::Sell };
            let heard = if whole {
                let of = |wanted| changes.iter().filter(|(buy, ..)| *buy == wanted).map(|(_, price, size)| (*price, size + 1)).collect::<Vec<_>>();
                snapshot(millis, &of(true), &of(false))
            } else {
                let changes: Vec<_> = changes.iter().map(|(buy, price, size)| (side(*buy), *price, *size)).collect();
                changed(millis, &changes, None)
            };
            let _ = books.hear(&heard, NOW);
            if let Some(book) = books.get(TOKEN, NOW) {
                let best = book.bids.first().zip(book.asks.first());
                prop_assert!(best.is_none_or(|(bid, ask)| bid.price < ask.price));
                prop_assert!(book.bids.iter().chain(&book.asks).all(|level| level.size.is_positive()));
                prop_assert!(book.bids.windows(2).all(|pair| pair[0].price > pair[1].price));
            }
        }
    }
}
