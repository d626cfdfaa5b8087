//! A recorded log, the refused ones, and hostile fields.

use proptest::prelude::*;

use super::*;

fn recorded(name: &str) -> RawLog {
    let file: serde_json::Value = serde_json::from_str(include_str!("../tests/vectors/logs.json")).unwrap();
    serde_json::from_value(file[name].clone()).unwrap()
}

/// A log of `contract` with the given topics (event first) and words.
pub(crate) fn raw(contract: Address, topics: &[[u8; 32]], words: &[[u8; 32]]) -> RawLog {
    RawLog {
        address: contract.to_string(),
        topics: topics.iter().map(hex::encode_prefixed).collect(),
        data: hex::encode_prefixed(words.concat()),
        block_number: "0x10".to_owned(),
        block_hash: Hash([0xbb; 32]).to_string(),
        transaction_hash: Hash([0xcc; 32]).to_string(),
        log_index: "0x2".to_owned(),
        removed: false,
    }
}

pub(crate) fn word(number: u64) -> [u8; 32] {
    let mut word = [0; 32];
    word[24..].copy_from_slice(&number.to_be_bytes());
    word
}

pub(crate) fn address_word(address: Address) -> [u8; 32] {
    let mut word = [0; 32];
    word[12..].copy_from_slice(&address.0);
    word
}

/// An order of `wallet` that sold 10 shares for 4 dollars with 5 cents fee; the taker is the exchange.
pub(crate) fn taker_sell(exchange: Exchange, wallet: Address) -> RawLog {
    let contract = exchange.address(Chain::Polygon);
    let topics = [ORDER_FILLED.0, [0xaa; 32], address_word(wallet), address_word(contract)];
    let words = [word(1), [0x11; 32], word(10_000_000), word(4_000_000), word(50_000), word(0), word(0)];
    raw(contract, &topics, &words)
}

#[test]
fn a_recorded_fill_of_a_resting_buy() {
    let event = decode(&recorded("order_filled"), Chain::Polygon).unwrap();
    assert_eq!((event.block, event.log_index), (89_010_807, 0x19d));
    let ChainEventKind::Fill(fill) = event.kind else { panic!("no fill") };
    assert_eq!(fill.wallet.to_string(), "0x2b4dad71932d9aaef27578ae274d1b59a300ae93");
    assert_eq!((fill.maker, fill.side), (true, Side::Buy));
    assert_eq!((fill.usd, fill.shares, fill.fee), (Usd(813_197), Shares(54_213_133), Usd::ZERO));
    assert_eq!(
        fill.token.to_string(),
        "9529995439127992597916745368767207397574770251198740488507514341670263678067"
    );
}

#[test]
fn the_taker_s_own_log_on_every_exchange() {
    for exchange in Exchange::ALL {
        let wallet = Address([0x77; 20]);
        let event = decode(&taker_sell(exchange, wallet), Chain::Polygon).unwrap();
        let ChainEventKind::Fill(fill) = event.kind else { panic!("no fill") };
        assert_eq!((fill.wallet, fill.maker, fill.side), (wallet, false, Side::Sell));
        assert_eq!((fill.usd, fill.shares, fill.fee), (Usd(4_000_000), Shares(10_000_000), Usd(50_000)));
        assert_eq!(fill.order, OrderId([0xaa; 32]));
    }
}

#[test]
fn a_redemption() {
    let wallet = Address([0x77; 20]);
    let topics = [PAYOUT_REDEMPTION.0, address_word(wallet), address_word(Address([1; 20])), [0; 32]];
    let words = [[0xcd; 32], word(96), word(7_000_000), word(2), word(1), word(2)];
    let log = raw(conditional_tokens(Chain::Polygon), &topics, &words);
    let condition = ConditionId::from_slice(&[0xcd; 32]).unwrap();
    let expected = ChainEventKind::Redemption { wallet, condition, payout: Usd(7_000_000) };
    assert_eq!(decode(&log, Chain::Polygon).unwrap().kind, expected);
    let elsewhere = raw(Address([9; 20]), &topics, &words);
    assert_eq!(decode(&elsewhere, Chain::Polygon), Err(LogError::ForeignContract(Address([9; 20]))));
}

#[test]
fn what_was_not_asked_for_is_refused() {
    let v1 = decode(&recorded("v1_order_filled"), Chain::Polygon);
    assert!(matches!(v1, Err(LogError::ForeignEvent(_))), "{v1:?}");
    let mut foreign = recorded("order_filled");
    foreign.address = Address([9; 20]).to_string();
    assert_eq!(decode(&foreign, Chain::Polygon), Err(LogError::ForeignContract(Address([9; 20]))));
    let mut removed = recorded("order_filled");
    removed.removed = true;
    assert_eq!(decode(&removed, Chain::Polygon), Err(LogError::Removed(0x19d)));
}

#[test]
fn hostile_fields_are_refused() {
    let changes: [fn(&mut RawLog); 13] = [
        |log| log.topics.clear(),
        |log| log.topics.truncate(3),
        |log| log.topics.push(log.topics[1].clone()),
        |log| log.topics[2] = format!("0x01{}", "00".repeat(31)),
        |log| log.topics[1] = "0x12".to_owned(),
        |log| log.data.truncate(2 + 64 * 6),
        |log| log.data.push_str("00"),
        |log| log.data = "0xzz".to_owned(),
        |log| log.data.replace_range(2..66, &hex::encode(word(2))),
        |log| log.data.replace_range(2 + 128..2 + 192, &"f".repeat(64)),
        |log| log.data.replace_range(2 + 128..2 + 192, &format!("{}8{}", "0".repeat(48), "0".repeat(15))),
        |log| log.block_number = "89010807".to_owned(),
        |log| log.log_index = format!("0x1{}", "0".repeat(16)),
    ];
    for (number, change) in changes.into_iter().enumerate() {
        let mut log = recorded("order_filled");
        change(&mut log);
        assert!(decode(&log, Chain::Polygon).is_err(), "change {number}");
    }
}

#[test]
fn quantities_are_strict() {
    assert_eq!(quantity("0x0", "n"), Ok(0));
    assert_eq!(quantity("0x7fffffffffffffff", "n"), Ok(i64::MAX));
    for bad in ["", "0x", "1", "0x-1", "0x+1", "0x8000000000000000", "0xg", " 0x1"] {
        assert!(quantity(bad, "n").is_err(), "{bad}");
    }
}

proptest! {
    #[test]
    fn any_log_is_read_or_refused(
        address in "0x[0-9a-f]{38,42}",
        topics in prop::collection::vec("0x[0-9a-f]{62,66}", 0..6),
        data in "(0x)?[0-9a-fg]{0,600}",
        number in ".{0,20}",
    ) {
        let mut topics = topics;
        for event in [ORDER_FILLED, PAYOUT_REDEMPTION] {
            topics.insert(0, event.to_string());
            let log = RawLog {
                address: address.clone(), topics: topics.clone(), data: data.clone(), block_number: number.clone(),
                block_hash: event.to_string(), transaction_hash: event.to_string(), log_index: "0x1".to_owned(),
                removed: false,
            };
            let _ = decode(&log, Chain::Polygon);
            let ours = RawLog { address: Exchange::V3.address(Chain::Polygon).to_string(), ..log };
            let _ = decode(&ours, Chain::Polygon);
        }
    }
}
