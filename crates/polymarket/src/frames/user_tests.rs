//! Frames of the user channel: every form, hostile and random.

use domain::{Price, Shares, Usd};
use engine::ports::venue::SettlementStatus;
use proptest::prelude::*;

use super::*;
use crate::{
    frames::corpus::{all_of, one},
    hostile,
};

const KEY: &str = "3e2c94ca-8124-c4c1-c7ea-be1ea21b71fe";
const WALLET: &str = "0xa3D82Ed56F4c68d2328Fb8c29e568Ba2cAF7d7c8";

fn wallet() -> Address {
    WALLET.parse().unwrap()
}

fn events(name: &str) -> Vec<UserEvent> {
    decode(&one(&format!("user/{name}.json"))).unwrap().events
}

fn order(name: &str) -> OrderEvent {
    match events(name).remove(0) {
        UserEvent::Order(order) => order,
        UserEvent::Trade(trade) => panic!("{trade:?}"),
    }
}

fn parts(event: &UserEvent) -> Vec<TradePart> {
    let UserEvent::Trade(trade) = event else { panic!("{event:?}") };
    trade.parts_of(KEY, wallet()).unwrap()
}

#[test]
fn orders_in_every_form() {
    use OrderChange::{Cancellation, Placement, Update};
    use VenueOrderStatus::{Cancelled, Live, Matched};
    for (name, change, status, matched) in [
        ("placement", Placement, Live, 0),
        ("update", Update, Matched, 2_500_000),
        ("update_plain", Update, Matched, 100_000_000),
        ("killed", Cancellation, Cancelled, 0),
        ("invalid", Cancellation, Cancelled, 0),
        ("resolved", Cancellation, Cancelled, 1_500_000),
        ("untyped", Update, Live, 0),
        ("without_status", Cancellation, Cancelled, 0),
    ] {
        let read = order(name);
        assert_eq!(
            (read.change, read.record.status, read.record.matched),
            (change, status, Shares(matched)),
            "{name}"
        );
        assert_eq!(read.order, OrderId([0x0f; 32]));
    }
    assert_eq!(order("placement").at, Some(Timestamp::from_millis(1_725_842_520_990)));
    assert_eq!(
        order("update_plain").at,
        Some(Timestamp::from_seconds(1_704_067_200)),
        "an empty time, then ISO"
    );
    assert!(order("killed").words.is_some_and(|words| words.starts_with("order couldn't be fully filled")));
    assert_eq!(order("placement").words, None);
}

#[test]
fn a_trade_from_the_makers_side() {
    let read = events("trade_as_maker");
    let [part] = parts(&read[0]).try_into().unwrap();
    assert_eq!((part.order, part.taker), (OrderId([0x0f; 32]), false));
    assert_eq!((part.trade.shares, part.trade.usd), (Shares(5_000_000), Usd(2_590_000)), "5 at 0.518");
    assert_eq!(part.trade.status, SettlementStatus::Mined);
    assert!(part.trade.tx.is_some());
    let UserEvent::Trade(trade) = &read[0] else { panic!() };
    assert_eq!(trade.at, Some(Timestamp::from_millis(1_725_868_885_871)));
    assert!(trade.parts_of("another key", Address([1; 20])).unwrap().is_empty(), "not ours");
    assert_eq!(trade.parts_of("another key", wallet()).unwrap().len(), 1, "the wallet is enough");
    assert_eq!(trade.parts_of(KEY, Address([1; 20])).unwrap().len(), 1, "the key is enough");
}

#[test]
fn a_trade_from_the_takers_side() {
    let read = events("trade_as_taker");
    let [part] = parts(&read[0]).try_into().unwrap();
    assert!(part.taker);
    // The maker sold the other outcome at 0.482: a mint, at 0.518 for us.
    assert_eq!(Price::of(part.trade.usd, part.trade.shares, domain::Rounding::Up), Some(Price(518_000)));
    assert_eq!((part.trade.shares, part.trade.status), (Shares(15_000_000), SettlementStatus::Confirmed));
}

#[test]
fn statuses_plain_and_prefixed_and_lists() {
    assert_eq!(parts(&events("trade_matched")[0])[0].trade.tx, None, "an empty hash is none");
    let both = events("trade_retrying");
    let statuses: Vec<_> = both.iter().map(|event| parts(event)[0].trade.status).collect();
    assert_eq!(statuses, [SettlementStatus::Retrying, SettlementStatus::Failed]);
    assert_eq!(decode(&one("user/other.json")).unwrap().passed_over, 1);
}

#[test]
fn hostile_frames_are_refused() {
    let frames = all_of("hostile_user");
    assert!(frames.len() >= 20, "the corpus is there");
    for (name, frame) in frames {
        let reads = |event: &UserEvent| match event {
            UserEvent::Order(_) => true,
            UserEvent::Trade(trade) => trade.parts_of(KEY, wallet()).is_ok(),
        };
        let refused = !decode(&frame).is_ok_and(|decoded| decoded.events.iter().all(reads));
        assert!(refused, "{name}");
    }
}

proptest! {
    #[test]
    fn no_bytes_are_too_much(bytes in proptest::collection::vec(any::<u8>(), 0..400)) {
        let _ = decode(&bytes);
    }

    #[test]
    fn one_wrong_byte(at in 0_usize..4_000, byte in any::<u8>()) {
        let mut frame = one("user/trade_as_taker.json");
        let at = at % frame.len();
        frame[at] = byte;
        for event in decode(&frame).map(|decoded| decoded.events).unwrap_or_default() {
            if let UserEvent::Trade(trade) = event {
                for part in trade.parts_of(KEY, wallet()).unwrap_or_default() {
                    prop_assert!(part.trade.shares.0 >= 0 && part.trade.usd.0 >= 0);
                }
            }
        }
    }
}

/// Hostile sizes, depths and numbers.
#[test]
fn the_corpus_is_survived() {
    for sample in ["user/placement.json", "user/killed.json", "user/trade_as_maker.json"] {
        let sample = String::from_utf8(one(sample)).unwrap();
        // Of each event what is booked: the shares of an order, or shares and dollars of a trade.
        let booked = |bytes: &[u8]| {
            let read = |event: &UserEvent| match event {
                UserEvent::Order(order) => Some(vec![order.record.matched.0]),
                UserEvent::Trade(trade) => {
                    let parts = trade.parts_of(KEY, wallet()).ok()?;
                    Some(parts.iter().flat_map(|part| [part.trade.shares.0, part.trade.usd.0]).collect())
                }
            };
            decode(bytes).ok()?.events.iter().map(read).collect::<Option<Vec<Vec<i64>>>>()
        };
        crate::hostile::survives(&sample, booked, |booked| hostile::amounts(booked.concat()));
    }
}
