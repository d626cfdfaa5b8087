//! The verifier against vectors of the official clients; see `vectors.json` for their provenance.

use domain::{Address, Hash, OrderId, Side, TokenId};
use serde::Deserialize;
use simulator::{
    contracts::Exchange,
    signing::{SignedFields, is_login, request_signature},
};

#[derive(Deserialize)]
struct Vectors {
    owner: Address,
    orders: Vec<Order>,
    logins: Vec<Login>,
    requests: Vec<Request>,
}

#[derive(Deserialize)]
struct Order {
    exchange: String,
    salt: u64,
    maker: Address,
    signer: Address,
    token: TokenId,
    maker_amount: i64,
    taker_amount: i64,
    side: Side,
    signature_type: u8,
    timestamp_ms: u64,
    metadata: Hash,
    builder: Hash,
    order_hash: OrderId,
    signature: String,
}

#[derive(Deserialize)]
struct Login {
    address: Address,
    chain_id: u64,
    timestamp: String,
    nonce: u64,
    signature: String,
}

#[derive(Deserialize)]
struct Request {
    secret: String,
    timestamp: u64,
    method: String,
    path: String,
    body: Option<String>,
    signature: String,
}

const EXCHANGES: [(&str, Exchange); 3] =
    [("v2", Exchange::V2), ("v2_neg_risk", Exchange::V2NegRisk), ("v3", Exchange::V3)];

fn vectors() -> Vectors {
    serde_json::from_str(include_str!("vectors.json")).unwrap()
}

fn unhex(text: &str) -> Vec<u8> {
    hex::decode(text.strip_prefix("0x").unwrap()).unwrap()
}

fn fields(order: &Order) -> SignedFields {
    SignedFields {
        salt: order.salt,
        maker: order.maker,
        signer: order.signer,
        token: order.token,
        maker_amount: order.maker_amount,
        taker_amount: order.taker_amount,
        side: order.side,
        signature_type: order.signature_type,
        timestamp_ms: order.timestamp_ms,
        metadata: order.metadata.0,
        builder: order.builder.0,
    }
}

#[test]
fn orders_have_the_clients_hash_and_signature() {
    let vectors = vectors();
    assert_eq!(vectors.orders.len(), 10);
    for order in &vectors.orders {
        let what = format!("{} type {}", order.exchange, order.signature_type);
        let signature = unhex(&order.signature);
        for (name, exchange) in EXCHANGES {
            let right = name == order.exchange;
            let fields = fields(order);
            assert_eq!(fields.id(exchange) == order.order_hash, right, "{what} under {name}");
            assert_eq!(
                fields.is_signed_by(vectors.owner, exchange, &signature),
                right,
                "{what} under {name}"
            );
        }
    }
}

#[test]
fn changed_orders_and_signatures_are_refused() {
    let vectors = vectors();
    for order in &vectors.orders {
        let exchange = EXCHANGES.iter().find(|(name, _)| *name == order.exchange).unwrap().1;
        let signature = unhex(&order.signature);
        let good = fields(order);
        let changed = [
            SignedFields { maker_amount: good.maker_amount + 1, ..good },
            SignedFields { taker_amount: good.taker_amount - 1, ..good },
            SignedFields { salt: good.salt ^ 1, ..good },
            SignedFields { timestamp_ms: good.timestamp_ms + 1, ..good },
            SignedFields { builder: [7; 32], ..good },
        ];
        for fields in changed {
            assert!(!fields.is_signed_by(vectors.owner, exchange, &signature));
        }
        assert!(!good.is_signed_by(Address([1; 20]), exchange, &signature));
        for length in [0, 1, 64, signature.len() - 1] {
            assert!(!good.is_signed_by(vectors.owner, exchange, &signature[..length]));
        }
        for place in [0, 40, signature.len() - 1] {
            let mut broken = signature.clone();
            broken[place] ^= 1;
            assert!(!good.is_signed_by(vectors.owner, exchange, &broken), "byte {place}");
        }
    }
}

#[test]
fn logins_are_recognised() {
    for login in vectors().logins {
        let signature = unhex(&login.signature);
        let check = |address, nonce, chain| is_login(address, &login.timestamp, nonce, chain, &signature);
        assert!(check(login.address, login.nonce, login.chain_id));
        assert!(!check(login.address, login.nonce + 1, login.chain_id));
        assert!(!check(login.address, login.nonce, 1));
        assert!(!check(Address([1; 20]), login.nonce, login.chain_id));
    }
}

#[test]
fn requests_have_the_clients_hmac() {
    for request in vectors().requests {
        let body = request.body.unwrap_or_default();
        let timestamp = request.timestamp.to_string();
        let sign = |body: &[u8]| {
            request_signature(&request.secret, &timestamp, &request.method, &request.path, body)
        };
        assert_eq!(sign(body.as_bytes()), Some(request.signature.clone()));
        assert_ne!(sign(b"other"), Some(request.signature.clone()));
    }
    assert_eq!(request_signature("no base64!", "1", "GET", "/", b""), None);
}
