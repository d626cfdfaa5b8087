//! A recorded log, the refused ones, and hostile fields.

use proptest::prelude::*;

use super::*;
use crate::hostile;

/// A recorded log; its place where that was not recorded is made up.
pub(crate) fn recorded(name: &str) -> RawLog {
    let file: serde_json::Value = serde_json::from_str(include_str!("../tests/vectors/logs.json")).unwrap();
    let mut log = serde_json::json!({ "blockHash": Hash([0xbb; 32]), "logIndex": "0x2" });
    log.as_object_mut().unwrap().extend(file[name].as_object().unwrap().clone());
    serde_json::from_value(log).unwrap()
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
    let event = decode(&recorded("order_filled"), Chain::Polygon).unwrap().unwrap();
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
        let event = decode(&taker_sell(exchange, wallet), Chain::Polygon).unwrap().unwrap();
        let ChainEventKind::Fill(fill) = event.kind else { panic!("no fill") };
        assert_eq!((fill.wallet, fill.maker, fill.side), (wallet, false, Side::Sell));
        assert_eq!((fill.usd, fill.shares, fill.fee), (Usd(4_000_000), Shares(10_000_000), Usd(50_000)));
        assert_eq!((fill.order, fill.token), (OrderId([0xaa; 32]), TokenId([0x11; 32])));
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
    assert_eq!(decode(&log, Chain::Polygon).unwrap().unwrap().kind, expected);
    let elsewhere = raw(Address([9; 20]), &topics, &words);
    assert_eq!(decode(&elsewhere, Chain::Polygon), Err(LogError::ForeignContract(Address([9; 20]))));
}

/// Of the V3 era, through the router or by the wallet itself; a stranger's gift is none. Source of the event's form:
/// Polymarket/polymarket-v2-external, `BaseModule.sol`.
#[test]
fn a_redemption_at_a_module() {
    let [module, ..] = modules(Chain::Polygon) else { panic!("modules") };
    let (wallet, stranger) = (Address([0x77; 20]), Address([0x78; 20]));
    let router: Address = "0x12121212006e4cd160d18e3f00711da5c3372600".parse().unwrap();
    let mut position = [1; 32];
    position[31] = 0;
    let by = |initiator: Address, recipient: Address| {
        let topics = [POSITION_REDEEMED.0, address_word(initiator), position, address_word(recipient)];
        let log = raw(*module, &topics, &[word(10_000_000), word(7_000_000)]);
        decode(&log, Chain::Polygon).unwrap().map(|event| event.kind)
    };
    let condition = ConditionId::from_slice(&[1; 31]).unwrap();
    let expected = ChainEventKind::Redemption { wallet, condition, payout: Usd(7_000_000) };
    assert_eq!(by(router, wallet), Some(expected.clone()));
    assert_eq!(by(wallet, wallet), Some(expected));
    assert_eq!(by(stranger, wallet), None);
    let topics = [POSITION_REDEEMED.0, address_word(router), position, address_word(wallet)];
    let elsewhere = raw(Address([9; 20]), &topics, &[word(1), word(1)]);
    assert!(matches!(decode(&elsewhere, Chain::Polygon), Err(LogError::ForeignContract(_))));
    for words in [&[word(1)][..], &[word(1), word(1), word(1)]] {
        assert!(decode(&raw(*module, &topics, words), Chain::Polygon).is_err());
    }
}

/// Anybody can redeem shares of a condition of his own making, in a token of his own.
#[test]
fn a_redemption_of_more_than_can_be_counted_holds_nothing_up() {
    let topics =
        [PAYOUT_REDEMPTION.0, address_word(Address([7; 20])), address_word(Address([1; 20])), [0; 32]];
    let words = [[0xcd; 32], word(96), [0xff; 32], word(2), word(1), word(2)];
    let log = raw(conditional_tokens(Chain::Polygon), &topics, &words);
    assert_eq!(decode(&log, Chain::Polygon), Ok(None));
}

#[test]
fn recorded_redemptions_of_both_contracts() {
    for (name, wallet, condition, payout) in [
        (
            "redemption",
            "0x5d4aba8ad45bb5eab3499a0294b42da5d1e455d3",
            "0x62530e00e2f67d9757e0b06e168e9929e0661daff1276354a3018f1568120c2f",
            Usd(59_076_955),
        ),
        (
            "neg_risk_redemption",
            "0x41792a63ad17e7a210c808de4177e64a561eccee",
            "0x95dbea2403eefccc30a0b4f276e0dd94d8030ac0f826aa2702ebd835cd75985c",
            Usd(11_000_000),
        ),
    ] {
        let (wallet, condition) = (wallet.parse().unwrap(), condition.parse().unwrap());
        let expected = ChainEventKind::Redemption { wallet, condition, payout };
        assert_eq!(decode(&recorded(name), Chain::Polygon).unwrap().unwrap().kind, expected, "{name}");
    }
    let mut elsewhere = recorded("neg_risk_redemption");
    elsewhere.address = conditional_tokens(Chain::Polygon).to_string();
    assert!(matches!(decode(&elsewhere, Chain::Polygon), Err(LogError::ForeignContract(_))));
    assert!(matches!(
        decode(&recorded("neg_risk_redemption"), Chain::Amoy),
        Err(LogError::ForeignContract(_))
    ));
}

/// A redemption by the neg-risk collateral adapter, at a place.
fn by_adapter(tx: u8, log_index: i64) -> ChainEvent {
    let wallet = collateral_adapters(Chain::Polygon)[1];
    let condition = ConditionId::from_slice(&[0xcd; 32]).unwrap();
    let kind = ChainEventKind::Redemption { wallet, condition, payout: Usd(5_000_000) };
    ChainEvent { block: 16, block_hash: Hash([0xbb; 32]), log_index, tx: TxHash([tx; 32]), kind }
}

fn wallet_of(event: &ChainEvent) -> Address {
    let ChainEventKind::Redemption { wallet, .. } = event.kind else { panic!("no redemption") };
    wallet
}

#[test]
fn a_recorded_handover_names_the_wallet_an_adapter_redeems_for() {
    let handed = handover(&recorded("handover"), Chain::Polygon).unwrap();
    let wallet: Address = "0x41e7aa1b047f13ad96f26ca49602fb403c90b78d".parse().unwrap();
    assert_eq!((handed.wallet, handed.adapter), (wallet, collateral_adapters(Chain::Polygon)[1]));
    let mut event = ChainEvent { tx: handed.tx, ..by_adapter(1, 9) };
    assert!(is_by_adapter(&event, Chain::Polygon));
    attribute(std::slice::from_mut(&mut event), &[handed]);
    assert_eq!(wallet_of(&event), wallet);
    assert!(!is_by_adapter(&event, Chain::Polygon));
    let mut elsewhere = recorded("handover");
    elsewhere.address = Address([9; 20]).to_string();
    assert_eq!(handover(&elsewhere, Chain::Polygon), Err(LogError::ForeignContract(Address([9; 20]))));
    assert!(matches!(handover(&recorded("redemption"), Chain::Polygon), Err(LogError::ForeignEvent(_))));
}

#[test]
fn each_redemption_is_of_who_handed_over_last_before_it_in_its_transaction() {
    let [other, adapter] = collateral_adapters(Chain::Polygon) else { panic!("two adapters") };
    let handed = |tx: u8, log_index, wallet: u8, adapter: Address| Handover {
        block_hash: Hash([0xbb; 32]),
        tx: TxHash([tx; 32]),
        log_index,
        wallet: Address([wallet; 20]),
        adapter,
    };
    let mut events = [by_adapter(1, 5), by_adapter(1, 9), by_adapter(2, 12), by_adapter(3, 15)];
    let handovers = [
        handed(1, 8, 2, *adapter),
        handed(1, 3, 1, *adapter),
        handed(2, 11, 4, *other),
        handed(3, 16, 5, *adapter),
    ];
    attribute(&mut events, &handovers);
    let wallets = events.each_ref().map(wallet_of);
    // Nobody handed anything to the adapter before the last two.
    assert_eq!(wallets, [Address([1; 20]), Address([2; 20]), *adapter, *adapter]);
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

/// Numbers for the place of every word: none, one too many for 64 bits and for their half, more than anybody has.
pub(crate) fn hostile_words() -> [[u8; 32]; 6] {
    let of = |number: u64| {
        let mut word = [0; 32];
        word[24..].copy_from_slice(&number.to_be_bytes());
        word
    };
    let mut above = [0; 32];
    above[23] = 1;
    [of(0), [0xff; 32], above, of(1 << 63), of(u64::MAX), of(MAX_AMOUNT.unsigned_abs() + 1)]
}

/// A recorded log with each word of its data, and each topic, replaced in turn.
pub(crate) fn altered(log: &RawLog) -> Vec<RawLog> {
    let data = hex::decode(&log.data).unwrap();
    let mut all = Vec::new();
    for word in hostile_words() {
        for place in 0..data.len() / 32 {
            let mut data = data.clone();
            data[place * 32..(place + 1) * 32].copy_from_slice(&word);
            all.push(RawLog { data: hex::encode_prefixed(data), ..log.clone() });
        }
        for place in 0..log.topics.len() {
            let mut other = log.clone();
            other.topics[place] = hex::encode_prefixed(word);
            all.push(other);
        }
    }
    for length in (0..data.len()).step_by(16) {
        all.push(RawLog { data: hex::encode_prefixed(&data[..length]), ..log.clone() });
    }
    all
}

pub(crate) fn json(log: &RawLog) -> String {
    serde_json::json!({
        "address": log.address, "topics": log.topics, "data": log.data, "blockNumber": log.block_number,
        "blockHash": log.block_hash, "transactionHash": log.transaction_hash, "logIndex": log.log_index,
        "removed": false,
    })
    .to_string()
}

pub(crate) fn is_sound(event: &ChainEvent) -> bool {
    let amounts = match &event.kind {
        ChainEventKind::Fill(fill) => vec![fill.shares.0, fill.usd.0, fill.fee.0],
        ChainEventKind::Redemption { payout, .. } => vec![payout.0],
        ChainEventKind::Move(moved) => vec![moved.shares.0],
    };
    event.block >= 0 && event.log_index >= 0 && hostile::amounts(amounts)
}

/// Hostile sizes, depths and numbers.
#[test]
fn the_corpus_is_survived() {
    let [module, ..] = modules(Chain::Polygon) else { panic!("modules") };
    let mut position = [1; 32];
    position[31] = 0;
    let wallet = address_word(Address([0x77; 20]));
    let topics = [POSITION_REDEEMED.0, wallet, position, wallet];
    let at_module = raw(*module, &topics, &[word(10_000_000), word(7_000_000)]);
    let recorded_ones =
        ["order_filled", "redemption", "neg_risk_redemption"].map(|name| (name, recorded(name)));
    for (name, log) in recorded_ones.into_iter().chain([("redemption at a module", at_module)]) {
        let read = |bytes: &[u8]| decode(&serde_json::from_slice(bytes).ok()?, Chain::Polygon).ok();
        hostile::survives(&json(&log), read, |event| event.as_ref().is_none_or(is_sound));
        for log in altered(&log) {
            if let Ok(Some(event)) = decode(&log, Chain::Polygon) {
                assert!(is_sound(&event), "{name}: {log:?}");
            }
        }
    }
    let log = recorded("handover");
    let adapter = handover(&log, Chain::Polygon).unwrap().adapter;
    let read = |bytes: &[u8]| handover(&serde_json::from_slice(bytes).ok()?, Chain::Polygon).ok();
    hostile::survives(&json(&log), read, |read| read.adapter == adapter && read.log_index >= 0);
    for log in altered(&log) {
        let _ = handover(&log, Chain::Polygon);
    }
}
