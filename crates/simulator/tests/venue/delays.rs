//! Orders that are answered or matched later, balances that lag, and settlement as look-ups show it.

use std::time::Duration;

use domain::{OrderId, Side, TokenId};
use reqwest::Method;
use serde_json::{Value, json};
use simulator::contracts::Exchange;

use super::harness::{Trader, Venue, json_reply, levels, market_v2, market_v3};

fn yes() -> TokenId {
    market_v2(false).tokens[0]
}

/// A FAK buy of $10 at up to 0.56.
fn fak(trader: &Trader, salt: u64) -> (OrderId, String) {
    let mut order = trader.order(yes(), Side::Buy, 10_000_000, 17_857_100);
    order.salt = salt;
    trader.body(&order, Exchange::V2, "FAK")
}

async fn delay_market(venue: &Venue, terms: Value) {
    let body = json!({ "condition": market_v2(false).condition, "terms": terms });
    let (status, reply) = venue.control("/terms", body).await;
    assert_eq!(status, 200, "{reply}");
}

async fn status(venue: &Venue, trader: &Trader, id: OrderId) -> Value {
    trader.get(venue, &format!("/data/order/{id}")).await.1["status"].clone()
}

#[tokio::test]
async fn a_delayed_taker_cannot_be_cancelled_and_is_matched_later_or_rejected() {
    let venue = Venue::manual().await;
    let trader = Trader::logged_in(&venue, 1, 0).await;
    delay_market(&venue, json!({ "seconds_delay": 3 })).await;
    let (_, whole) =
        venue.get(format!("{}/markets/{}", venue.running.clob_url, market_v2(false).condition)).await;
    assert_eq!(whole["seconds_delay"], 3);
    let (first, body) = fak(&trader, 1);
    let (_, reply) = trader.post(&venue, &body).await;
    assert_eq!((&reply["status"], &reply["orderID"]), (&json!("delayed"), &json!(first)));
    assert_eq!((&reply["tradeIDs"], &reply["makingAmount"]), (&json!([]), &json!("")));
    assert_eq!(status(&venue, &trader, first).await, "DELAYED");
    let cancel = json!({ "orderID": first }).to_string();
    let (_, reply) = json_reply(trader.request(&venue, Method::DELETE, "/order", &cancel)).await;
    assert_eq!(reply["canceled"], json!([]));
    assert!(reply["not_canceled"][first.to_string()].as_str().unwrap().contains("delayed"));
    assert!(trader.post(&venue, &body).await.1["error"].as_str().unwrap().ends_with("Duplicated."));
    // Its money is held back meanwhile: $990 and the fee are not there twice.
    let (_, dear) =
        trader.body(&trader.order(yes(), Side::Buy, 995_000_000, 1_776_785_700), Exchange::V2, "FAK");
    let text = trader.post(&venue, &dear).await.1["error"].as_str().unwrap().to_owned();
    assert!(
        text.contains("balance: 1000000000, sum of active orders: 10000000, sum of matched orders: 0"),
        "{text}"
    );
    venue.clock.advance(Duration::from_secs(3));
    assert_eq!(status(&venue, &trader, first).await, "MATCHED");

    // The book is gone when the second one's time has come.
    let (second, body) = fak(&trader, 2);
    assert_eq!(trader.post(&venue, &body).await.1["status"], "delayed");
    venue.running.world().with(|world, _| world.set_levels(&levels(yes(), &[], &[])).unwrap());
    venue.clock.advance(Duration::from_secs(3));
    assert_eq!(status(&venue, &trader, second).await, "CANCELED");
    let (_, report) = venue.get(format!("{}/orders/{second}", venue.running.control_url)).await;
    assert!(report["last_error"].as_str().unwrap().starts_with("no orders found to match with FAK order."));
    // What does not take is not delayed.
    let order = trader.order(yes(), Side::Buy, 2_000_000, 20_000_000);
    let (_, body) = trader.body(&order, Exchange::V2, "GTC");
    assert_eq!(trader.post(&venue, &body).await.1["status"], "live");
    let verdict = venue.running.world().with(|world, now| {
        world.mine(now);
        world.verdict()
    });
    assert!(verdict.sound, "{:?}", verdict.violations);
    venue.running.shutdown().await;
}

#[tokio::test]
async fn a_delayed_order_that_finds_nothing_may_rest() {
    let venue = Venue::manual().await;
    let trader = Trader::logged_in(&venue, 1, 0).await;
    delay_market(&venue, json!({ "seconds_delay": 3 })).await;
    let (id, body) =
        trader.body(&trader.order(yes(), Side::Buy, 11_200_000, 20_000_000), Exchange::V2, "GTC");
    assert_eq!(trader.post(&venue, &body).await.1["status"], "delayed");
    venue.running.world().with(|world, _| world.set_levels(&levels(yes(), &[], &[])).unwrap());
    venue.clock.advance(Duration::from_secs(3));
    assert_eq!(status(&venue, &trader, id).await, "LIVE");
    let cancel = json!({ "orderID": id }).to_string();
    let (_, reply) = json_reply(trader.request(&venue, Method::DELETE, "/order", &cancel)).await;
    assert_eq!(reply["canceled"], json!([id]));
    venue.running.shutdown().await;
}

#[tokio::test]
async fn some_markets_hold_takers_before_they_answer() {
    let venue = Venue::manual().await;
    let trader = Trader::logged_in(&venue, 1, 0).await;
    delay_market(&venue, json!({ "taker_hold_ms": 250 })).await;
    let condition = market_v2(false).condition;
    let (_, compact) = venue.get(format!("{}/clob-markets/{condition}", venue.running.clob_url)).await;
    assert_eq!(compact["itode"], true);
    let (_, body) = fak(&trader, 1);
    let mut post = Box::pin(trader.post(&venue, &body));
    let control = venue.running.world();
    loop {
        tokio::select! {
            _ = &mut post => panic!("the venue did not hold it"),
            () = tokio::task::yield_now() => {}
        }
        if control.with(|world, _| world.late_orders()) == 1 {
            break;
        }
    }
    // Whoever improves the book during the hold serves the taker.
    control.with(|world, _| {
        world.set_levels(&levels(yes(), &[], &[("0.4", "1000")])).unwrap();
    });
    venue.clock.advance(Duration::from_millis(250));
    let (status, reply) = post.await;
    assert_eq!(
        (status.as_u16(), &reply["status"], &reply["takingAmount"]),
        (200, &json!("matched"), &json!("25"))
    );
    venue.running.shutdown().await;
}

/// Whether the minimum of limit orders holds for those that never rest is an open question: both answers.
#[tokio::test]
async fn less_than_the_minimum_is_refused_or_taken_of_whoever_never_rests() {
    let venue = Venue::manual().await;
    let trader = Trader::logged_in(&venue, 1, 0).await;
    let bodies = |salt: u64| {
        [("FAK", salt), ("GTC", salt + 10)].map(|(kind, salt)| {
            let mut order = trader.order(yes(), Side::Buy, 1_120_000, 2_000_000);
            order.salt = salt;
            trader.body(&order, Exchange::V2, kind).1
        })
    };
    for (holds, salt) in [(true, 1), (false, 2)] {
        venue.control("/knobs", json!({ "minimum_of_immediate": holds })).await;
        let [fak, gtc] = bodies(salt);
        let (_, taken) = trader.post(&venue, &fak).await;
        if holds {
            assert!(taken["error"].as_str().unwrap().contains("lower than the minimum: 5"), "{taken}");
        } else {
            assert_eq!(taken["status"], "matched", "{taken}");
        }
        let (_, rests) = trader.post(&venue, &gtc).await;
        assert!(rests["error"].as_str().unwrap().contains("lower than the minimum: 5"), "{rests}");
    }
    venue.running.shutdown().await;
}

#[tokio::test]
async fn a_fak_may_be_delayed_for_long() {
    let venue = Venue::manual().await;
    let trader = Trader::logged_in(&venue, 1, 0).await;
    venue.control("/knobs", json!({ "fak_delay_ms": 43_000 })).await;
    let (id, body) = fak(&trader, 1);
    assert_eq!(trader.post(&venue, &body).await.1["status"], "delayed");
    venue.clock.advance(Duration::from_secs(42));
    assert_eq!(status(&venue, &trader, id).await, "DELAYED");
    venue.clock.advance(Duration::from_secs(1));
    assert_eq!(status(&venue, &trader, id).await, "MATCHED");
    venue.running.shutdown().await;
}

#[tokio::test]
async fn balances_and_approvals_lag_until_they_are_updated() {
    let venue = Venue::manual().await;
    venue.control("/knobs", json!({ "balances_lag": true })).await;
    let trader = Trader::logged_in(&venue, 1, 3).await;
    let ask = async |path: &str| trader.get(&venue, path).await;
    let query = "asset_type=COLLATERAL&signature_type=3";
    assert_eq!(ask(&format!("/balance-allowance?{query}")).await.1["balance"], "0");
    let (_, body) = fak(&trader, 1);
    let text = trader.post(&venue, &body).await.1["error"].as_str().unwrap().to_owned();
    assert!(text.contains("the balance is not enough -> balance: 0, order amount: 10"), "{text}");
    let (status, empty) = ask(&format!("/balance-allowance/update?{query}")).await;
    assert_eq!((status.as_u16(), empty), (200, json!("")));
    assert_eq!(ask(&format!("/balance-allowance?{query}")).await.1["balance"], "1000000000");
    assert_eq!(trader.post(&venue, &body).await.1["status"], "matched");
    // A withdrawn approval is told only after an update, and refuses before.
    venue.control("/approve", json!({ "wallet": trader.wallet, "approved": false })).await;
    let exchange = Exchange::V2.address().to_string();
    let allowance =
        async || ask(&format!("/balance-allowance?{query}")).await.1["allowances"][&exchange].clone();
    assert_ne!(allowance().await, "0");
    let text = trader.post(&venue, &fak(&trader, 2).1).await.1["error"].as_str().unwrap().to_owned();
    assert!(
        text.contains(&format!("the allowance is not enough -> spender: {exchange}, allowance: 0")),
        "{text}"
    );
    ask(&format!("/balance-allowance/update?{query}")).await;
    assert_eq!(allowance().await, "0");
    venue.running.shutdown().await;
}

#[tokio::test]
async fn shares_are_asked_for_by_era_and_may_wait_for_their_block() {
    let venue = Venue::manual().await;
    let trader = Trader::logged_in(&venue, 1, 0).await;
    venue.control("/knobs", json!({ "unmined_is_locked": true })).await;
    assert_eq!(trader.post(&venue, &fak(&trader, 1).1).await.1["status"], "matched");
    let sell = trader.order(yes(), Side::Sell, 10_000_000, 5_000_000);
    let (_, body) = trader.body(&sell, Exchange::V2, "FAK");
    assert!(trader.post(&venue, &body).await.1["error"].as_str().unwrap().starts_with("not enough balance"));
    venue.mine();
    assert_eq!(trader.post(&venue, &body).await.1["status"], "matched");
    let v3 = market_v3().tokens[0];
    venue.control("/credit", json!({ "wallet": trader.wallet, "token": v3, "shares": 7 })).await;
    for (kind, balance, exchange) in
        [("CONDITIONAL", "0", Exchange::V2), ("CONDITIONAL-V2", "7000000", Exchange::V3)]
    {
        let path = format!("/balance-allowance?asset_type={kind}&token_id={v3}&signature_type=0");
        let (_, reply) = trader.get(&venue, &path).await;
        assert_eq!(reply["balance"], balance);
        assert!(reply["allowances"][exchange.address().to_string()].is_string(), "{reply}");
    }
    assert_eq!(trader.get(&venue, "/balance-allowance?asset_type=OTHER").await.0, 400);
    venue.running.shutdown().await;
}

#[tokio::test]
async fn sizes_and_statuses_come_in_every_documented_form() {
    let venue = Venue::manual().await;
    let trader = Trader::logged_in(&venue, 1, 0).await;
    venue.control("/knobs", json!({ "fixed_sizes": true, "shows_not_broadcasted": true })).await;
    let (id, body) = fak(&trader, 1);
    trader.post(&venue, &body).await;
    let (_, order) = trader.get(&venue, &format!("/data/order/{id}")).await;
    assert_eq!((&order["status"], &order["original_size"]), (&json!("MATCHED"), &json!("17857100")));
    let trade = async || trader.get(&venue, "/data/trades").await.1["data"][0].clone();
    assert_eq!(
        (&trade().await["status"], &trade().await["transaction_hash"]),
        (&json!("MATCHED_NOT_BROADCASTED"), &json!(""))
    );
    venue.mine();
    assert_eq!(trade().await["status"], "MINED");
    venue.running.shutdown().await;
}
