//! What each exchange may take of a wallet, and what the venue knows of it.

use domain::{Side, TokenId};
use serde_json::{Value, json};
use simulator::{contracts::Exchange, world::ledger::Asset};

use super::harness::{Trader, Venue, market_v2, market_v3};

/// Posts a FAK order for 10 shares: a buy at 0.56, or a sell at 0.49.
async fn post(venue: &Venue, trader: &Trader, salt: u64, exchange: Exchange, side: Side) -> (u16, Value) {
    let token = token(exchange);
    let mut order = match side {
        Side::Buy => trader.order(token, side, 5_600_000, 10_000_000),
        Side::Sell => trader.order(token, side, 10_000_000, 4_900_000),
    };
    order.salt = salt;
    let (_, body) = trader.body(&order, exchange, "FAK");
    let (status, reply) = trader.post(venue, &body).await;
    (status.as_u16(), reply)
}

fn token(exchange: Exchange) -> TokenId {
    match exchange {
        Exchange::V2 => market_v2(false).tokens[0],
        Exchange::V2NegRisk => market_v2(true).tokens[0],
        Exchange::V3 => market_v3().tokens[0],
    }
}

async fn allow(venue: &Venue, trader: &Trader, exchange: Exchange, approved: bool, usd: Option<&str>) {
    let (wallet, spender) = (trader.wallet, exchange.address());
    let body = json!({ "wallet": wallet, "approved": approved, "spender": spender, "usd": usd });
    assert_eq!(venue.control("/approve", body).await.0, 200);
}

fn lacks(reply: &Value, exchange: Exchange, allowance: &str) -> bool {
    let words = format!(
        "the allowance is not enough -> spender: {}, allowance: {allowance}, order amount: ",
        exchange.address()
    );
    reply["error"].as_str().unwrap().contains(&words)
}

#[tokio::test]
async fn each_exchange_needs_its_own_approval() {
    let venue = Venue::manual().await;
    let trader = Trader::logged_in(&venue, 1, 0).await;
    venue.control("/approve", json!({ "wallet": trader.wallet, "approved": false })).await;
    for (number, allowed) in Exchange::ALL.into_iter().enumerate() {
        allow(&venue, &trader, allowed, true, None).await;
        for exchange in Exchange::ALL {
            let salt = number as u64 * 10 + exchange as u64;
            let (status, reply) = post(&venue, &trader, salt, exchange, Side::Buy).await;
            if exchange == allowed {
                assert_eq!((status, &reply["status"]), (200, &json!("matched")), "{reply}");
            } else {
                assert_eq!(status, 400, "{exchange:?} of {allowed:?}: {reply}");
                assert!(lacks(&reply, exchange, "0"), "{reply}");
            }
        }
        allow(&venue, &trader, allowed, false, None).await;
    }
    venue.mine();
    // Bought while it was allowed, settled when it no longer is: nothing of it happened.
    let statuses: Vec<_> = venue
        .running
        .world()
        .with(|world, _| world.journal().trades.iter().map(|trade| format!("{:?}", trade.status)).collect());
    assert_eq!(statuses, ["Failed", "Failed", "Failed"]);
    assert_eq!(venue.running.world().with(|world, _| world.violations()), Vec::<String>::new());
    venue.running.shutdown().await;
}

#[tokio::test]
async fn a_limited_allowance_is_used_up_and_shares_need_an_operator() {
    let venue = Venue::manual().await;
    let trader = Trader::logged_in(&venue, 1, 0).await;
    let exchange = Exchange::V2;
    allow(&venue, &trader, exchange, true, Some("8")).await;
    assert_eq!(post(&venue, &trader, 1, exchange, Side::Buy).await.0, 200);
    venue.mine();
    // $5.60 and the fees of 10 shares at 0.55 and 0.178571 at 0.56 are gone.
    let (_, allowances) =
        trader.get(&venue, "/balance-allowance?asset_type=COLLATERAL&signature_type=0").await;
    assert_eq!(allowances["allowances"][exchange.address().to_string()], "2274050");
    let (status, reply) = post(&venue, &trader, 2, exchange, Side::Buy).await;
    assert!(status == 400 && lacks(&reply, exchange, "2274050"), "{reply}");

    assert_eq!(post(&venue, &trader, 3, exchange, Side::Sell).await.0, 200, "the operator was approved too");
    venue.mine();
    venue
        .running
        .world()
        .with(|world, _| world.credit(trader.wallet, Asset::Token(token(exchange)), 10_000_000));
    allow(&venue, &trader, exchange, false, None).await;
    let (status, reply) = post(&venue, &trader, 4, exchange, Side::Sell).await;
    assert!(status == 400 && lacks(&reply, exchange, "0"), "{reply}");
    let path =
        format!("/balance-allowance?asset_type=CONDITIONAL&token_id={}&signature_type=0", token(exchange));
    let (_, seen) = trader.get(&venue, &path).await;
    assert_eq!(seen["allowances"][exchange.address().to_string()], "0");
    assert_ne!(seen["allowances"][Exchange::V2NegRisk.address().to_string()], "0");
    assert_eq!(venue.running.world().with(|world, _| world.violations()), Vec::<String>::new());
    venue.running.shutdown().await;
}

#[tokio::test]
async fn new_allowances_count_when_the_venue_has_looked_and_each_asset_by_itself() {
    let venue = Venue::manual().await;
    let trader = Trader::logged_in(&venue, 1, 0).await;
    let exchange = Exchange::V2NegRisk;
    let held = Asset::Token(token(exchange));
    venue.running.world().with(|world, _| world.credit(trader.wallet, held, 10_000_000));
    venue.mine();
    venue.control("/approve", json!({ "wallet": trader.wallet, "approved": false })).await;
    venue.control("/knobs", json!({ "balances_lag": true })).await;
    allow(&venue, &trader, exchange, true, None).await;
    for (salt, side) in [(1, Side::Buy), (2, Side::Sell)] {
        let (status, reply) = post(&venue, &trader, salt, exchange, side).await;
        assert!(status == 400 && lacks(&reply, exchange, "0"), "{reply}");
    }
    let look = async |asset: &str| {
        let path = format!("/balance-allowance/update?{asset}&signature_type=0");
        assert_eq!(trader.get(&venue, &path).await.0, 200);
    };
    look("asset_type=COLLATERAL").await;
    assert_eq!(post(&venue, &trader, 3, exchange, Side::Buy).await.0, 200);
    assert_eq!(post(&venue, &trader, 4, exchange, Side::Sell).await.0, 400);
    look(&format!("asset_type=CONDITIONAL&token_id={}", token(exchange))).await;
    assert_eq!(post(&venue, &trader, 5, exchange, Side::Sell).await.0, 200);
    // What is taken back counts at once, noticed or not.
    allow(&venue, &trader, exchange, false, None).await;
    assert_eq!(post(&venue, &trader, 6, exchange, Side::Buy).await.0, 400);
    venue.running.shutdown().await;
}
