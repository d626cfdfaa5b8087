//! The unified official client: the venue's websockets, and its own reading of the Data API v2 and Gamma.

use domain::{Address, Price, Shares};
use serde_json::{Value, json};
use simulator::world::{
    control::{Level, Redeemers},
    ledger::Asset,
    registry::{Standing, Wallet},
    wallets::deposit_wallet_of,
};
use slipstream::demo::SimulatorUrls;
use tokio::process::Command;

use crate::{
    client::{Client, Language, folder},
    venue::{KEY, Kind, OWNER, Venue},
};

/// A key that everybody knows (Anvil's third), and its address.
const SESSION_KEY: &str = "0x5de4111afa1a4b94908f83103eb1f1706367c2e68ca870fc3fb9a804cdab365a";
const SESSION: &str = "0x3c44cdddb6a900fa2b585dd299e03d12fa4293bc";

/// The unified client, connected to every service of the venue.
async fn connected(venue: &Venue) -> Client {
    let mut client = Client::start(Language::Unified);
    let urls = SimulatorUrls::of(&venue.running);
    let socket = urls.clob.replacen("http", "ws", 1);
    let urls = json!({
        "clob_url": urls.clob, "data_url": urls.data, "gamma_url": urls.gamma, "relayer_url": urls.relayer,
        "rpc_url": urls.rpc, "clob_market_ws_url": format!("{socket}/ws/market"),
        "clob_user_ws_url": format!("{socket}/ws/user"),
    });
    client.ok("connect", json!({ "urls": urls })).await;
    client
}

/// The next event of a stream that is of this type; others in between are passed over.
async fn next(client: &mut Client, stream: &str, wanted: &str) -> Value {
    for _ in 0..50 {
        let event = client.ok("next", json!({ "name": stream, "seconds": 20 })).await;
        assert!(!event.is_null(), "no `{wanted}` on {stream}");
        if event["type"] == wanted {
            return event["event"].clone();
        }
    }
    panic!("50 events on {stream} without a `{wanted}`");
}

/// A book on subscribing, then what changes.
#[tokio::test(flavor = "multi_thread")]
async fn the_unified_client_reads_the_market_channel() {
    let venue = Venue::open().await;
    let mut client = connected(&venue).await;
    let token = Kind::Plain.token();
    client.ok("watch_market", json!({ "name": "market", "tokens": [token] })).await;
    let book = next(&mut client, "market", "MarketBookEvent").await;
    let book = &book["payload"];
    assert_eq!(
        (&book["asset_id"], &book["bids"]),
        (&json!(token), &json!([{ "price": "0.5", "size": "1000" }]))
    );
    venue.running.world().with(|world, _| {
        let mut levels =
            crate::venue::levels(Kind::Plain.tokens()[0], &[(50, 1_000)], &[(55, 10), (56, 1_000)]);
        levels.bids.push(Level { price: Price(470_000), shares: Shares(7_000_000) });
        world.set_levels(&levels).unwrap();
    });
    let change = next(&mut client, "market", "MarketPriceChangeEvent").await;
    let change = &change["payload"]["price_changes"][0];
    assert_eq!(
        (&change["price"], &change["size"], &change["side"]),
        (&json!("0.47"), &json!("7"), &json!("BUY"))
    );
    // The best price moves: told in a frame of its own.
    venue.running.world().with(|world, _| {
        world.set_levels(&crate::venue::levels(Kind::Plain.tokens()[0], &[(51, 10)], &[(55, 10)])).unwrap();
    });
    // The change before told the best prices as well.
    let mut best = next(&mut client, "market", "MarketBestBidAskEvent").await;
    if best["payload"]["best_bid"] == "0.5" {
        best = next(&mut client, "market", "MarketBestBidAskEvent").await;
    }
    assert_eq!(
        (&best["payload"]["best_bid"], &best["payload"]["best_ask"]),
        (&json!("0.51"), &json!("0.55"))
    );
    let condition = Kind::Plain.condition();
    venue.running.world().with(|world, _| world.set_tick(&condition, Price(1_000)).unwrap());
    let tick = next(&mut client, "market", "MarketTickSizeChangeEvent").await;
    let tick = &tick["payload"];
    assert_eq!((&tick["old_tick_size"], &tick["new_tick_size"]), (&json!("0.01"), &json!("0.001")));
    // Somebody takes what the house offers.
    let mut taker = venue.trader(Language::Python).await;
    crate::orders::sign(&mut taker, "taker", Kind::Plain, "BUY", 0.55, 5.0).await;
    crate::orders::post(&mut taker, "taker", "FAK").await;
    let last = next(&mut client, "market", "MarketLastTradePriceEvent").await;
    assert_eq!((&last["payload"]["price"], &last["payload"]["side"]), (&json!("0.55"), &json!("BUY")));
    let winner = Kind::Plain.tokens()[0].to_string();
    venue.running.world().with(|world, _| {
        world.resolve(&condition, [Price(1_000_000), Price(0)], &Redeemers::None).unwrap();
    });
    let resolved = next(&mut client, "market", "MarketResolvedEvent").await;
    assert_eq!(resolved["payload"]["winning_asset_id"], json!(winner));
    venue.close().await;
}

/// An order of the client's own is told to it: placed, and cancelled.
#[tokio::test(flavor = "multi_thread")]
async fn the_unified_client_reads_its_user_channel() {
    let venue = Venue::open().await;
    let mut client = connected(&venue).await;
    let login = client.ok("login", json!({ "key": KEY, "wallet": OWNER })).await;
    assert_eq!(login["type"], "EOA");
    client.ok("watch_user", json!({ "name": "user" })).await;
    let order = json!({ "token": Kind::Plain.token(), "side": "BUY", "price": "0.45", "size": "10" });
    let placed = client.ok("place", order).await;
    let told = next(&mut client, "user", "UserOrderEvent").await;
    assert_eq!(told["payload"]["id"], placed["order_id"]);
    assert_eq!(told["payload"]["order_event_type"], "PLACEMENT");
    client.ok("cancel", json!({ "id": placed["order_id"] })).await;
    let told = next(&mut client, "user", "UserOrderEvent").await;
    assert_eq!(
        (&told["payload"]["id"], &told["payload"]["order_event_type"]),
        (&placed["order_id"], &json!("CANCELLATION"))
    );
    // One that is matched: its trade is told from match to finality.
    let order = json!({ "token": Kind::Plain.token(), "side": "BUY", "price": "0.56", "size": "10" });
    let placed = client.ok("place", order).await;
    let mut statuses = Vec::new();
    while statuses.last().is_none_or(|status| status != "CONFIRMED") {
        let told = next(&mut client, "user", "UserTradeEvent").await;
        assert_eq!(told["payload"]["taker_order_id"], placed["order_id"]);
        statuses.push(told["payload"]["status"].as_str().unwrap().to_owned());
    }
    assert_eq!(statuses, ["MATCHED", "MINED", "CONFIRMED"]);
    venue.close().await;
}

/// A builder's key is made with the API key and revoked with itself; the relayer takes it until then.
#[tokio::test(flavor = "multi_thread")]
async fn the_unified_client_keeps_builder_keys() {
    let venue = Venue::open().await;
    let mut client = connected(&venue).await;
    client.ok("login", json!({ "key": KEY, "wallet": OWNER })).await;
    let made = client.ok("account", json!({ "what": "create_builder_api_key" })).await;
    let listed = client.ok("account", json!({ "what": "fetch_builder_api_keys" })).await;
    assert_eq!(listed[0]["key"], made["key"]);
    let key = made["key"].as_str().unwrap().to_owned();
    let known = || venue.running.world().with(|world, _| world.relayer().builder(&key).is_some());
    assert!(known());
    client.ok("login", json!({ "key": KEY, "wallet": OWNER, "builder": made })).await;
    client.ok("account", json!({ "what": "revoke_builder_api_key" })).await;
    assert!(!known());
    let again = client.call("account", json!({ "what": "revoke_builder_api_key" })).await;
    assert!(again.is_err(), "a revoked key opens nothing");
    venue.close().await;
}

/// The owner lets another key trade, which is all that key can do: its orders are its own, and end with it.
#[tokio::test(flavor = "multi_thread")]
async fn the_unified_client_trades_with_a_session_key() {
    let venue = Venue::open().await;
    let owner: Address = OWNER.parse().unwrap();
    let wallet = deposit_wallet_of(owner);
    venue.running.world().with(|world, _| {
        let standing = Standing::Good;
        let deposit = Wallet { address: wallet, owner, signature_type: 3, approved: true, standing };
        world.add_wallet(deposit).unwrap();
        world.credit(wallet, Asset::Collateral, 100_000_000);
    });
    let mut own = connected(&venue).await;
    own.ok("login", json!({ "key": KEY, "wallet": OWNER })).await;
    let builder = own.ok("account", json!({ "what": "create_builder_api_key" })).await;
    let login = own.ok("login", json!({ "key": KEY, "wallet": wallet, "builder": builder })).await;
    assert_eq!(login["type"], "DEPOSIT_WALLET");
    let authorise = json!({ "what": "authorize_session_key", "address": SESSION, "scopes": ["CLOB"] });
    let given = own.ok("account", authorise).await;
    assert_eq!(given["session_key"]["scopes"], json!(["CLOB"]));
    let listed = own.ok("account", json!({ "what": "fetch_session_keys" })).await;
    assert_eq!(listed.as_array().unwrap().len(), 1, "{listed}");

    let mut key = connected(&venue).await;
    key.ok("login", json!({ "key": SESSION_KEY, "wallet": wallet })).await;
    let order = json!({ "token": Kind::Plain.token(), "side": "BUY", "price": "0.45", "size": "10" });
    let placed = key.ok("place", order.clone()).await;
    let mine = own.ok("place", order.clone()).await;
    let ids = async |client: &mut Client| {
        let open = client.ok("open_orders", json!({})).await;
        open.as_array().unwrap().iter().map(|order| order["id"].clone()).collect::<Vec<_>>()
    };
    assert_eq!(ids(&mut key).await, [placed["order_id"].clone()]);
    assert_eq!(ids(&mut own).await, [mine["order_id"].clone()]);

    own.ok("account", json!({ "what": "revoke_session_key", "address": SESSION })).await;
    assert_eq!(ids(&mut key).await, Vec::<Value>::new());
    let told = key.refused("place", order, 400).await;
    assert!(told.contains("address of the API KEY"), "{told}");
    venue.close().await;
}

/// Every check of the script holds: it trades through the control API and compares what the client reads.
#[tokio::test(flavor = "multi_thread")]
async fn the_unified_client_reads_data_and_gamma() {
    let folder = folder();
    let output = Command::new(folder.join("venv/bin/python"))
        .arg(folder.join("data_api.py"))
        .arg(env!("CARGO_BIN_EXE_slipstream"))
        .output()
        .await
        .unwrap();
    let told = String::from_utf8_lossy(&output.stdout);
    assert!(output.status.success(), "{told}\n{}", String::from_utf8_lossy(&output.stderr));
    assert!(told.lines().filter(|line| line.starts_with("ok: ")).count() >= 35, "{told}");
}
