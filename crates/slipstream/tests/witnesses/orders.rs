//! Orders of every type: placed, looked up, cancelled, refused.

use domain::Price;
use serde_json::{Value, json};
use simulator::world::registry::Terms;

use crate::{
    client::{Client, Language},
    venue::{FUNDERS, Kind, Venue},
    witnessed,
};

witnessed! {
    killed_or_filled => typescript_fills_or_kills, python_fills_or_kills;
    resting => typescript_rests_and_cancels, python_rests_and_cancels;
    batches => typescript_posts_and_cancels_batches, python_posts_and_cancels_batches;
    refusals => typescript_is_refused_as_documented, python_is_refused_as_documented;
    wallets => typescript_trades_with_every_kind_of_wallet, python_trades_with_every_kind_of_wallet;
    delays => typescript_meets_a_delayed_market, python_meets_a_delayed_market;
}

/// Signs a limit order under a name.
pub async fn sign(client: &mut Client, name: &str, kind: Kind, side: &str, price: f64, size: f64) -> Value {
    let version = (kind == Kind::Third).then_some(3);
    let order = json!({
        "name": name, "token": kind.token(), "price": price, "size": size, "side": side,
        "options": { "version": version },
    });
    let order = match (client.language, version) {
        // The TypeScript client takes no such option for its own default.
        (_, None) => without(order, "options"),
        _ => order,
    };
    client.ok("sign", order).await
}

fn without(mut value: Value, field: &str) -> Value {
    value.as_object_mut().unwrap().remove(field);
    value
}

pub async fn post(client: &mut Client, name: &str, order_type: &str) -> Value {
    client.ok("post", json!({ "name": name, "orderType": order_type })).await
}

pub fn id_of(reply: &Value) -> String {
    reply["orderID"].as_str().unwrap().to_owned()
}

/// FAK and FOK on every exchange: matched at better prices, settled, listed; killed with the venue's words.
async fn killed_or_filled(language: Language) {
    let venue = Venue::open().await;
    let mut client = venue.trader(language).await;
    for kind in Kind::ALL {
        for order_type in ["FAK", "FOK"] {
            sign(&mut client, "buy", kind, "BUY", 0.56, 20.0).await;
            let reply = post(&mut client, "buy", order_type).await;
            assert_eq!((&reply["success"], &reply["status"]), (&json!(true), &json!("matched")), "{reply}");
            // The clients waited for the transactions of the trades.
            assert!(
                reply["transactionsHashes"].as_array().is_some_and(|hashes| !hashes.is_empty()),
                "{reply}"
            );
            let order = client.ok("order", json!({ "id": id_of(&reply) })).await;
            assert_eq!((&order["id"], &order["side"]), (&reply["orderID"], &json!("BUY")));
            let trades = client.ok("trades", json!({ "asset_id": kind.token() })).await;
            let taken = |trade: &&Value| trade["taker_order_id"] == reply["orderID"];
            assert!(trades.as_array().unwrap().iter().any(|trade| taken(&trade)), "{trades}");
        }
        sign(&mut client, "low", kind, "BUY", 0.30, 20.0).await;
        let text = client.refused("post", json!({ "name": "low", "orderType": "FAK" }), 400).await;
        assert!(text.starts_with("no orders found to match with FAK order"), "{text}");
        sign(&mut client, "large", kind, "BUY", 0.55, 1_500.0).await;
        let text = client.refused("post", json!({ "name": "large", "orderType": "FOK" }), 400).await;
        assert!(text.starts_with("order couldn't be fully filled"), "{text}");
    }
    venue.close().await;
}

/// GTC, GTD and post-only orders rest, are listed as open, and are cancelled.
async fn resting(language: Language) {
    let venue = Venue::open().await;
    let mut client = venue.trader(language).await;
    let kind = Kind::Plain;
    sign(&mut client, "gtc", kind, "BUY", 0.45, 10.0).await;
    let good = post(&mut client, "gtc", "GTC").await;
    assert_eq!(good["status"], "live", "{good}");
    let expiration = client.ok("time", json!({})).await.as_i64().unwrap() + 600;
    let dated = json!({
        "name": "gtd", "token": kind.token(), "price": 0.44, "size": 10, "side": "BUY", "expiration": expiration,
    });
    client.ok("sign", dated).await;
    let dated = post(&mut client, "gtd", "GTD").await;
    sign(&mut client, "maker", kind, "SELL", 0.60, 10.0).await;
    let post_only = json!({ "name": "maker", "orderType": "GTC", "postOnly": true });
    let maker = client.ok("post", post_only).await;
    let open = client.ok("open_orders", json!({ "token": kind.token() })).await;
    let mut listed: Vec<String> =
        open.as_array().unwrap().iter().map(|order| order["id"].as_str().unwrap().to_owned()).collect();
    listed.sort();
    let mut placed = [&good, &dated, &maker].map(id_of);
    placed.sort();
    assert_eq!(listed, placed);

    sign(&mut client, "crossing", kind, "BUY", 0.60, 10.0).await;
    let crossing = json!({ "name": "crossing", "orderType": "GTC", "postOnly": true });
    let text = client.refused("post", crossing, 400).await;
    assert!(text.contains("order crosses book"), "{text}");

    let cancelled = client.ok("cancel", json!({ "id": id_of(&good) })).await;
    assert_eq!(cancelled["canceled"], json!([id_of(&good)]));
    let again = client.ok("cancel", json!({ "id": id_of(&good) })).await;
    assert!(again["not_canceled"].get(id_of(&good)).is_some(), "{again}");
    let market = json!({ "market": kind.condition().to_string(), "token": kind.token() });
    let rest = client.ok("cancel_market", market).await;
    assert_eq!(rest["canceled"].as_array().unwrap().len(), 2, "{rest}");
    assert_eq!(client.ok("open_orders", json!({})).await, json!([]));
    venue.close().await;
}

/// Batches of orders and of cancellations; each order has an answer of its own.
async fn batches(language: Language) {
    let venue = Venue::open().await;
    let mut client = venue.trader(language).await;
    let kind = Kind::NegativeRisk;
    let names: Vec<String> = (0..5).map(|number| format!("order{number}")).collect();
    for (number, name) in names.iter().enumerate() {
        // The third one is too small.
        let size = if number == 2 { 1.0 } else { 10.0 };
        sign(&mut client, name, kind, "BUY", 0.40, size).await;
    }
    let replies = client.ok("post_many", json!({ "names": names, "orderType": "GTC" })).await;
    let replies = replies.as_array().unwrap();
    assert_eq!(replies.len(), 5);
    let placed: Vec<String> = replies.iter().filter(|reply| reply["status"] == "live").map(id_of).collect();
    assert_eq!(placed.len(), 4, "{replies:?}");
    assert!(replies[2]["errorMsg"].as_str().unwrap().contains("lower than the minimum"), "{}", replies[2]);
    let cancelled = client.ok("cancel_many", json!({ "ids": &placed[..2] })).await;
    assert_eq!(cancelled["canceled"].as_array().unwrap().len(), 2, "{cancelled}");
    let rest = client.ok("cancel_all", json!({})).await;
    assert_eq!(rest["canceled"].as_array().unwrap().len(), 2, "{rest}");

    let many: Vec<String> = (0..16).map(|number| format!("many{number}")).collect();
    for name in &many {
        sign(&mut client, name, kind, "BUY", 0.40, 10.0).await;
    }
    let text = client.refused("post_many", json!({ "names": many, "orderType": "GTC" }), 400).await;
    assert!(text.starts_with("Too many orders in payload: 16"), "{text}");
    venue.close().await;
}

/// The documented refusals, in the venue's words.
async fn refusals(language: Language) {
    let venue = Venue::open().await;
    let mut client = venue.trader(language).await;
    let kind = Kind::Plain;
    sign(&mut client, "once", kind, "BUY", 0.45, 10.0).await;
    let reply = post(&mut client, "once", "GTC").await;
    let text = client.refused("post", json!({ "name": "once", "orderType": "GTC" }), 400).await;
    assert_eq!(text, format!("order {} is invalid. Duplicated.", id_of(&reply)));
    sign(&mut client, "small", kind, "BUY", 0.45, 1.0).await;
    let text = client.refused("post", json!({ "name": "small", "orderType": "GTC" }), 400).await;
    assert!(text.contains("lower than the minimum: 5"), "{text}");
    sign(&mut client, "rich", kind, "BUY", 0.45, 100_000.0).await;
    let text = client.refused("post", json!({ "name": "rich", "orderType": "GTC" }), 400).await;
    assert!(text.contains("not enough balance / allowance"), "{text}");
    let soon = client.ok("time", json!({})).await.as_i64().unwrap() + 60;
    let order = json!({
        "name": "soon", "token": kind.token(), "price": 0.45, "size": 10, "side": "BUY", "expiration": soon,
    });
    client.ok("sign", order).await;
    let text = client.refused("post", json!({ "name": "soon", "orderType": "GTD" }), 400).await;
    assert!(text.contains("invalid expiration"), "{text}");

    // Signed on a finer grid than the venue has when it is posted.
    let grid = |tick: i64| {
        let condition = Kind::NegativeRisk.condition();
        venue.running.world().with(|world, _| world.set_tick(&condition, Price(tick)).unwrap());
    };
    grid(1_000);
    sign(&mut client, "fine", Kind::NegativeRisk, "BUY", 0.455, 10.0).await;
    grid(10_000);
    let text = client.refused("post", json!({ "name": "fine", "orderType": "GTC" }), 400).await;
    assert!(text.contains("breaks minimum tick size rule"), "{text}");
    // Signed for a wallet of another kind.
    let mut mistaken = venue.client_of(language, 2, Some(FUNDERS[2]), None).await;
    mistaken.ok("login", json!({})).await;
    sign(&mut mistaken, "mistaken", kind, "BUY", 0.45, 10.0).await;
    let text = mistaken.refused("post", json!({ "name": "mistaken", "orderType": "GTC" }), 400).await;
    assert!(text.contains("invalid signature"), "{text}");
    venue.close().await;
}

/// Proxy wallets, Safes and deposit wallets (whose signature is nested) trade on every exchange; fills are theirs.
async fn wallets(language: Language) {
    let venue = Venue::open().await;
    for wallet in 1..=3 {
        let mut client = venue.stranger(language, wallet).await;
        client.ok("login", json!({})).await;
        for kind in Kind::ALL {
            sign(&mut client, "taker", kind, "BUY", 0.56, 5.0).await;
            let taken = post(&mut client, "taker", "FAK").await;
            assert_eq!(taken["status"], "matched", "wallet type {wallet}: {taken}");
            let order = client.ok("order", json!({ "id": id_of(&taken) })).await;
            let funder = FUNDERS[usize::from(wallet) - 1];
            assert_eq!(order["maker_address"].as_str().map(str::to_lowercase).as_deref(), Some(funder));
            sign(&mut client, "maker", kind, "SELL", 0.60, 5.0).await;
            let resting = post(&mut client, "maker", "GTC").await;
            assert_eq!(resting["status"], "live", "wallet type {wallet}: {resting}");
            let cancelled = client.ok("cancel", json!({ "id": id_of(&resting) })).await;
            assert_eq!(cancelled["canceled"], json!([id_of(&resting)]));
        }
    }
    venue.close().await;
}

/// In a market with a delay a taker is answered at once that it is delayed, and matched later.
async fn delays(language: Language) {
    let venue = Venue::open().await;
    let mut client = venue.trader(language).await;
    let kind = Kind::Plain;
    let terms = Terms { seconds_delay: 1, ..Terms::default() };
    venue.running.world().with(|world, _| world.set_terms(&kind.condition(), terms).unwrap());
    sign(&mut client, "taker", kind, "BUY", 0.56, 5.0).await;
    let delayed = post(&mut client, "taker", "FAK").await;
    assert_eq!((&delayed["success"], &delayed["status"]), (&json!(true), &json!("delayed")), "{delayed}");
    let mut news = venue.running.world().newest_event();
    loop {
        let order = client.ok("order", json!({ "id": id_of(&delayed) })).await;
        if order["status"] == "MATCHED" {
            break;
        }
        assert_eq!(order["status"], "DELAYED", "{order}");
        news.changed().await.unwrap();
    }
    venue.close().await;
}
