//! Session keys: orders that another key than the owner's signs for a deposit wallet.

use std::time::Duration;

use domain::Side;
use reqwest::Method;
use serde_json::{Value, json};
use simulator::{contracts::Exchange, world::wallets::deposit_wallet_of};

use super::harness::{START, Trader, Venue, json_reply, market_v2};

/// An owner with a deposit wallet, and a key that is nobody's yet.
async fn owner_and_key(venue: &Venue) -> (Trader, Trader) {
    let owner = Trader::logged_in(venue, 1, 3).await;
    let mut key = Trader::logged_in(venue, 2, 0).await;
    (key.wallet, key.kind) = (owner.wallet, 3);
    (owner, key)
}

async fn authorise(venue: &Venue, owner: &Trader, key: &Trader, seconds: i64, scopes: &[&str]) {
    let until = START.seconds() + seconds;
    let body = json!({ "wallet": owner.wallet, "signer": key.eoa, "valid_until": until, "scopes": scopes });
    assert_eq!(venue.control("/sessions", body).await.0, 200);
    venue.mine();
}

/// A resting buy of 10 shares.
fn body(trader: &Trader, salt: u64, in_envelope: bool) -> String {
    let mut order = trader.order(market_v2(false).tokens[0], Side::Buy, 1_000_000, 10_000_000);
    order.salt = salt;
    let (_, body) = trader.body(&order, Exchange::V2, "GTC");
    if in_envelope { trader.in_envelope(&body) } else { body }
}

async fn post(venue: &Venue, trader: &Trader, salt: u64) -> (u16, Value) {
    let (status, reply) = trader.post(venue, &body(trader, salt, true)).await;
    (status.as_u16(), reply)
}

const STRANGER: &str = "the order signer address has to be the address of the API KEY";

#[tokio::test]
async fn a_key_trades_while_its_owner_lets_it() {
    let venue = Venue::manual().await;
    let (owner, key) = owner_and_key(&venue).await;
    let refused = async |salt| {
        let (status, reply) = post(&venue, &key, salt).await;
        assert_eq!((status, reply["error"].as_str().unwrap()), (400, STRANGER));
    };
    refused(1).await;
    authorise(&venue, &owner, &key, 600, &["COMBOSRFQ"]).await;
    refused(2).await;
    authorise(&venue, &owner, &key, 600, &["COMBOSRFQ", "CLOB"]).await;
    let (status, reply) = post(&venue, &key, 3).await;
    assert_eq!((status, &reply["status"]), (200, &json!("live")), "{reply}");
    let id = reply["orderID"].as_str().unwrap();

    // Not in its envelope, or in that of another key: nobody's signature.
    for wrong in [body(&key, 4, false), owner.in_envelope(&body(&owner, 5, false)), body(&owner, 6, true)] {
        let sender = if wrong.contains(&key.key) { &key } else { &owner };
        let (status, reply) = sender.post(&venue, &wrong).await;
        assert_eq!((status.as_u16(), &reply["error"]), (400, &json!("invalid signature")));
    }
    // Its orders are its own: the owner does not see them, and the other way round.
    let seen = async |trader: &Trader, id: &str| {
        let (_, one) = trader.get(&venue, &format!("/data/orders?id={id}")).await;
        one["count"].as_u64().unwrap()
    };
    assert_eq!((seen(&key, id).await, seen(&owner, id).await), (1, 0));
    let (_, owned) = owner.post(&venue, &body(&owner, 7, false)).await;
    let own = owned["orderID"].as_str().unwrap();
    assert_eq!((seen(&key, own).await, seen(&owner, own).await), (0, 1));
    // The money is the wallet's.
    let money = async |trader: &Trader| {
        let (_, reply) =
            trader.get(&venue, "/balance-allowance?asset_type=COLLATERAL&signature_type=3").await;
        reply["balance"].clone()
    };
    assert_eq!((money(&key).await, money(&owner).await), (json!("1000000000"), json!("1000000000")));
    let (_, listed) = owner.get(&venue, "/v1/user/session-signers").await;
    assert_eq!(listed["signers"][0]["scopes"], json!(["COMBOSRFQ", "CLOB"]));

    venue.clock.advance(Duration::from_secs(600));
    refused(8).await;
    assert_eq!(owner.get(&venue, "/v1/user/session-signers").await.1["signers"], json!([]));
    venue.running.shutdown().await;
}

#[tokio::test]
async fn the_wallet_tells_its_owner_and_until_when_a_key_signs() {
    let venue = Venue::manual().await;
    let (owner, key) = owner_and_key(&venue).await;
    authorise(&venue, &owner, &key, 600, &["ALL"]).await;
    let ask = async |data: String| {
        let call = json!([{ "to": owner.wallet, "data": data }, "latest"]);
        venue.rpc("eth_call", call).await["result"].as_str().unwrap().to_owned()
    };
    let word = |address: domain::Address| format!("{:0>64}", hex::encode(address.0));
    // `owner()` and `sessionSignerAuthorizedUntil(address)`.
    assert_eq!(ask("0x8da5cb5b".to_owned()).await, format!("0x{}", word(owner.eoa)));
    let until = ask(format!("{}{}", selector("sessionSignerAuthorizedUntil(address)"), word(key.eoa))).await;
    assert_eq!(until, format!("0x{:064x}", START.seconds() + 600));
    let stranger =
        ask(format!("{}{}", selector("sessionSignerAuthorizedUntil(address)"), word(owner.eoa))).await;
    assert_eq!(stranger, format!("0x{:064x}", 0));
    assert_ne!(deposit_wallet_of(key.eoa), owner.wallet);
    venue.running.shutdown().await;
}

fn selector(signature: &str) -> String {
    format!("0x{}", hex::encode(&alloy_primitives::keccak256(signature)[..4]))
}

#[tokio::test]
async fn a_revoked_key_is_out_at_once_with_all_it_has_open() {
    let venue = Venue::manual().await;
    let (owner, key) = owner_and_key(&venue).await;
    authorise(&venue, &owner, &key, 600, &["ALL"]).await;
    let (_, reply) = post(&venue, &key, 1).await;
    let id = reply["orderID"].as_str().unwrap().to_owned();
    venue.running.world().with(|world, _| world.fence_session(owner.wallet, key.eoa));
    assert_eq!(post(&venue, &key, 2).await.1["error"], STRANGER);
    let request = key.request(&venue, Method::GET, &format!("/data/order/{id}"), "");
    assert_eq!(json_reply(request).await.1["status"], "CANCELED");
    venue.running.shutdown().await;
}
