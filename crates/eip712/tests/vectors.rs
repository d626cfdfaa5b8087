//! The official clients' orders and logins, hashed by us.
//!
//! What a key makes of the digests (and so the nested digest itself) is tested where keys are: in
//! `signer`, on the same files.

#![cfg(test)]

use domain::{Address, Hash, Side, WalletKind};
use eip712::{Chain, Exchange, ExchangeError, OrderToSign, id_and_signature, order_id};
use serde_json::Value;

fn load(text: &str) -> Value {
    serde_json::from_str(text).unwrap()
}

fn text<'a>(value: &'a Value, key: &str) -> &'a str {
    value[key].as_str().unwrap()
}

fn number(value: &Value, key: &str) -> u64 {
    text(value, key).parse().unwrap()
}

fn order(value: &Value) -> OrderToSign {
    OrderToSign {
        salt: number(value, "salt"),
        maker: text(value, "maker").parse().unwrap(),
        session: None,
        signer: text(value, "signer").parse().unwrap(),
        token: text(value, "tokenId").parse().unwrap(),
        maker_amount: number(value, "makerAmount"),
        taker_amount: number(value, "takerAmount"),
        side: if value["side"] == 0 { Side::Buy } else { Side::Sell },
        wallet_kind: WalletKind::from_signature_type(value["signatureType"].as_u64().unwrap() as u8).unwrap(),
        timestamp_ms: number(value, "timestamp"),
        metadata: text(value, "metadata").parse().unwrap(),
        builder: text(value, "builder").parse().unwrap(),
    }
}

fn place(value: &Value) -> (Result<Exchange, ExchangeError>, Chain) {
    let chain = Chain::from_id(value["chain_id"].as_u64().unwrap()).unwrap();
    // Checksummed or not, hex digits are read the same.
    (Exchange::at(text(value, "exchange").parse().unwrap(), chain), chain)
}

#[test]
fn orders_hash_and_wrap_as_the_official_clients_do() {
    let file = load(include_str!("vectors/orders.json"));
    let mut seen = Vec::new();
    for vector in file["orders"].as_array().unwrap() {
        let (exchange, chain) = place(vector);
        let exchange = exchange.unwrap();
        let order = order(&vector["order"]);
        if let Some(id) = vector["order_id"].as_str() {
            assert_eq!(order_id(&order, exchange, chain), id.parse().unwrap());
        }
        let signature = hex::decode(&text(vector, "signature")[2..]).unwrap();
        let inner = *signature.first_chunk::<65>().unwrap();
        let expected = (order_id(&order, exchange, chain), signature);
        assert_eq!(id_and_signature(&order, exchange, chain, &inner), expected);
        seen.push((exchange, order.wallet_kind.signature_type()));
    }
    for exchange in Exchange::ALL {
        for number in 0..=3 {
            assert!(seen.contains(&(exchange, number)), "no vector for {exchange:?}, type {number}");
        }
    }
}

#[test]
fn orders_of_the_first_era_are_refused() {
    let file = load(include_str!("vectors/orders.json"));
    let retired = file["retired"].as_array().unwrap();
    assert_eq!(retired.len(), 6);
    for vector in retired {
        let (exchange, _) = place(vector);
        assert!(matches!(exchange, Err(ExchangeError::RetiredV1(_))), "{exchange:?}");
    }
}

/// The whole of it, down to the last byte.
#[test]
fn the_envelope_of_a_session_key_is_the_official_clients() {
    let file = load(include_str!("vectors/session_key_envelope.json"));
    let (exchange, chain) = place(&file);
    let envelope = hex::decode(&text(&file, "envelope")[2..]).unwrap();
    // Four ABI words (session key, one unused, offset, length), then the wrapped signature.
    let inner = envelope[128..].first_chunk::<65>().unwrap();
    let key = Address::from_slice(&envelope[12..32]).unwrap();
    let order = OrderToSign { session: Some(key), wallet_kind: WalletKind::Session, ..order(&file["order"]) };
    assert_eq!(id_and_signature(&order, exchange.unwrap(), chain, inner).1, envelope);
}

#[test]
fn every_signed_field_changes_the_id() {
    let file = load(include_str!("vectors/orders.json"));
    let base = order(&file["orders"][0]["order"]);
    let id = |order: &OrderToSign| order_id(order, Exchange::CtfV2, Chain::Polygon);
    let changes: [fn(&mut OrderToSign); 11] = [
        |order| order.salt += 1,
        |order| order.maker.0[19] ^= 1,
        |order| order.signer.0[19] ^= 1,
        |order| order.token.0[31] ^= 1,
        |order| order.maker_amount += 1,
        |order| order.taker_amount += 1,
        |order| order.side = Side::Sell,
        |order| order.wallet_kind = WalletKind::Deposit,
        |order| order.timestamp_ms += 1,
        |order| order.metadata = Hash([1; 32]),
        |order| order.builder = Hash([1; 32]),
    ];
    let mut ids = vec![id(&base)];
    for change in changes {
        let mut changed = base.clone();
        change(&mut changed);
        ids.push(id(&changed));
    }
    ids.push(order_id(&base, Exchange::NegRiskV2, Chain::Polygon));
    ids.push(order_id(&base, Exchange::V3, Chain::Polygon));
    ids.push(order_id(&base, Exchange::CtfV2, Chain::Amoy));
    ids.sort();
    ids.dedup();
    assert_eq!(ids.len(), 15);
}
