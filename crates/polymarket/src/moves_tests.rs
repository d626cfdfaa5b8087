//! A recorded transfer, and hostile ones.

use alloy_primitives::hex;
use domain::Hash;
use proptest::prelude::*;

use super::*;
use crate::{
    contracts::{conditional_tokens, neg_risk_adapter},
    logs::tests::{address_word, altered, is_sound, json, raw, recorded, word},
};

const WALLET: Address = Address([0x77; 20]);
const NOBODY: Address = Address([0; 20]);
const ONE: [u8; 32] = [0x11; 32];
const TWO: [u8; 32] = [0x22; 32];

fn single(operator: Address, from: Address, to: Address, value: [u8; 32]) -> RawLog {
    let topics = [TRANSFER_SINGLE.0, address_word(operator), address_word(from), address_word(to)];
    raw(conditional_tokens(Chain::Polygon), &topics, &[ONE, value])
}

fn batch_log(words: &[[u8; 32]]) -> RawLog {
    let topics = [TRANSFER_BATCH.0, address_word(WALLET), address_word(WALLET), address_word(NOBODY)];
    raw(conditional_tokens(Chain::Polygon), &topics, words)
}

fn read(log: &RawLog) -> Result<Vec<ChainMove>, LogError> {
    let events = moves(log, Chain::Polygon, &[WALLET])?;
    Ok(events
        .into_iter()
        .map(|event| match event.kind {
            ChainEventKind::Move(moved) => moved,
            other => panic!("{other:?}"),
        })
        .collect())
}

#[test]
fn a_recorded_batch_to_an_adapter() {
    let wallet: Address = "0x41e7aa1b047f13ad96f26ca49602fb403c90b78d".parse().unwrap();
    let events = moves(&recorded("handover"), Chain::Polygon, &[wallet]).unwrap();
    assert!(!events.is_empty());
    for event in events {
        let ChainEventKind::Move(moved) = event.kind else { panic!("no movement") };
        assert_eq!((moved.wallet, moved.side, moved.with), (wallet, Side::Sell, Counterparty::Venue));
        assert!(moved.shares.is_positive());
    }
}

#[test]
fn the_other_side_says_what_it_was() {
    let with = |operator, other, to_wallet: bool| {
        let (from, to) = if to_wallet { (other, WALLET) } else { (WALLET, other) };
        let moved = read(&single(operator, from, to, word(5))).unwrap();
        assert_eq!(moved.len(), 1);
        assert_eq!(moved[0].side, if to_wallet { Side::Buy } else { Side::Sell });
        moved[0].with
    };
    let exchange = Exchange::CtfV2.address(Chain::Polygon);
    let adapter = neg_risk_adapter(Chain::Polygon).unwrap();
    let friend = Address([0x99; 20]);
    for to_wallet in [true, false] {
        assert_eq!(with(exchange, friend, to_wallet), Counterparty::Exchange);
        assert_eq!(with(WALLET, exchange, to_wallet), Counterparty::Exchange);
        assert_eq!(with(exchange, NOBODY, to_wallet), Counterparty::Exchange);
        assert_eq!(with(WALLET, NOBODY, to_wallet), Counterparty::Venue);
        assert_eq!(with(adapter, adapter, to_wallet), Counterparty::Venue);
        assert_eq!(with(adapter, friend, to_wallet), Counterparty::Other);
        assert_eq!(with(WALLET, friend, to_wallet), Counterparty::Other);
    }
}

#[test]
fn to_oneself_comes_and_goes() {
    let moved = read(&single(WALLET, WALLET, WALLET, word(5))).unwrap();
    assert_eq!(moved.iter().map(|moved| moved.side).collect::<Vec<_>>(), [Side::Sell, Side::Buy]);
}

#[test]
fn a_batch_has_as_many_values_as_tokens() {
    let good = [word(64), word(160), word(2), ONE, TWO, word(2), word(7), word(0)];
    let moved = read(&batch_log(&good)).unwrap();
    assert_eq!(
        moved.iter().map(|moved| (moved.token, moved.shares.0)).collect::<Vec<_>>(),
        [(TokenId(ONE), 7)]
    );
    assert_eq!(read(&batch_log(&[word(64), word(96), word(0), word(0)])), Ok(Vec::new()));
    for bad in [
        &good[..7],
        &good[..2],
        &[word(64), word(160), word(3), ONE, TWO, word(2), word(7), word(1)],
        &[word(64), word(160), word(2), ONE, TWO, word(1), word(7), word(1)],
        &[word(64), word(128), word(2), ONE, TWO, word(2), word(7), word(1)],
        &[word(32), word(160), word(2), ONE, TWO, word(2), word(7), word(1)],
        &[[0xff; 32], [0xff; 32], [0xff; 32], ONE, TWO, [0xff; 32], word(7), word(1)],
        &[],
    ] {
        assert_eq!(read(&batch_log(bad)), Err(LogError::Field("batch")), "{}", bad.len());
    }
}

/// Anybody can make a market in a token of his own and send its shares to a leader.
#[test]
fn what_cannot_be_counted_is_left_out() {
    assert_eq!(read(&single(WALLET, NOBODY, WALLET, [0xff; 32])), Ok(Vec::new()));
    assert_eq!(read(&single(WALLET, Address([1; 20]), Address([2; 20]), word(1))), Ok(Vec::new()));
    let mut elsewhere = single(WALLET, WALLET, NOBODY, word(1));
    elsewhere.address = Address([9; 20]).to_string();
    assert_eq!(read(&elsewhere), Err(LogError::ForeignContract(Address([9; 20]))));
    // A token of the V3 era is never held by ConditionalTokens.
    let mut v3 = [0x11; 32];
    v3[19..27].fill(0);
    let topics = [TRANSFER_SINGLE.0, address_word(WALLET), address_word(WALLET), address_word(NOBODY)];
    let of = |contract: Address| read(&raw(contract, &topics, &[v3, word(5)])).unwrap().len();
    assert_eq!(token_contracts(Chain::Polygon).into_iter().map(of).collect::<Vec<_>>(), [0, 1]);
}

#[test]
fn hostile_fields_are_refused() {
    let changes: [fn(&mut RawLog); 6] = [
        |log| log.topics.truncate(3),
        |log| log.topics[2] = format!("0x01{}", "00".repeat(31)),
        |log| log.topics[0] = Hash([1; 32]).to_string(),
        |log| log.data.push_str("00"),
        |log| log.data = "0x".to_owned(),
        |log| log.removed = true,
    ];
    for (number, change) in changes.into_iter().enumerate() {
        let mut log = single(WALLET, WALLET, NOBODY, word(1));
        change(&mut log);
        assert!(read(&log).is_err(), "change {number}");
    }
}

proptest! {
    #[test]
    fn any_batch_is_read_or_refused(words in prop::collection::vec(prop_oneof![
        (0_u64..12).prop_map(|number| word(number * 32)), (0_u64..6).prop_map(word), Just([0xff; 32])], 0..12),
        rest in "[0-9a-f]{0,5}")
    {
        let mut log = batch_log(&words);
        prop_assert!(hex::decode(&log.data).is_ok());
        let _ = read(&log);
        log.data.push_str(&rest);
        let _ = read(&log);
    }
}

/// Hostile sizes, depths and numbers: one transfer, and several at once.
#[test]
fn the_corpus_is_survived() {
    let batch = [word(64), word(160), word(2), ONE, TWO, word(2), word(5), word(7)];
    for log in [single(WALLET, WALLET, NOBODY, word(5)), batch_log(&batch)] {
        let read = |bytes: &[u8]| moves(&serde_json::from_slice(bytes).ok()?, Chain::Polygon, &[WALLET]).ok();
        let sound = |events: &Vec<ChainEvent>| events.len() <= 4 && events.iter().all(is_sound);
        crate::hostile::survives(&json(&log), read, sound);
        for log in altered(&log) {
            if let Ok(events) = moves(&log, Chain::Polygon, &[WALLET]) {
                assert!(sound(&events), "{log:?}");
            }
        }
    }
}
