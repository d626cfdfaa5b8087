//! What the venue refuses as a whole: modes, standings, rate limits; and its dead-man switch.

use std::time::Duration;

use serde_json::{Value, json};
use simulator::world::{
    Mode,
    endpoints::{Group, Quota},
    rates::Signers,
    registry::Standing,
};

use crate::{
    client::{Client, Language},
    orders::{id_of, post, sign},
    venue::{Kind, OWNER, Venue},
    witnessed,
};

witnessed! {
    heartbeats => typescript_keeps_its_heartbeat, python_keeps_its_heartbeat;
    restarts => typescript_meets_a_restart, python_meets_a_restart;
    cancel_only => typescript_meets_cancel_only_mode, python_meets_cancel_only_mode;
    standings => typescript_meets_its_standing, python_meets_its_standing;
    limits_of_addresses => typescript_meets_the_limit_of_its_address, python_meets_the_limit_of_its_address;
    limits_of_signers => typescript_meets_the_limit_of_its_signer, python_meets_the_limit_of_its_signer;
}

/// Each beat names the next; a wrong one is refused with the right one, and the client goes on from there.
async fn heartbeats(language: Language) {
    let venue = Venue::open().await;
    let mut client = venue.trader(language).await;
    let first = client.ok("heartbeat", json!({ "id": "" })).await;
    let second = client.ok("heartbeat", json!({ "id": first["heartbeat_id"] })).await;
    assert_ne!(first["heartbeat_id"], second["heartbeat_id"]);
    let stale = client.refused("heartbeat", json!({ "id": first["heartbeat_id"] }), 400).await;
    assert!(stale.contains("Invalid Heartbeat ID"), "{stale}");
    client.ok("heartbeat", json!({ "id": second["heartbeat_id"] })).await;
    venue.close().await;
}

fn mode(venue: &Venue, mode: Mode, lasts: Option<Duration>) {
    venue.running.world().with(|world, now| world.set_mode(now, mode, lasts));
}

fn resting(name: &str, post_only: bool) -> Value {
    json!({ "name": name, "orderType": "GTC", "postOnly": post_only })
}

/// A buy that rests.
async fn low(client: &mut Client, name: &str) {
    sign(client, name, Kind::Plain, "BUY", 0.45, 10.0).await;
}

/// While the matching engine restarts nothing is taken, not even cancels; then what rests and what cancels.
async fn restarts(language: Language) {
    let venue = Venue::open().await;
    let mut client = venue.trader(language).await;
    low(&mut client, "before").await;
    let before = id_of(&post(&mut client, "before", "GTC").await);
    for name in ["late", "maker", "first", "second"] {
        low(&mut client, name).await;
    }
    mode(&venue, Mode::Restarting, Some(Duration::from_secs(600)));
    let refused = client.refusal("post", resting("late", false), 425).await;
    let seconds: u64 = refused.retry_after.expect("it is told when to come back").parse().unwrap();
    assert!((1..=600).contains(&seconds), "{seconds}");
    client.refused("cancel", json!({ "id": before }), 425).await;

    mode(&venue, Mode::PostOnly, Some(Duration::from_secs(120)));
    let words = "post-only mode: only post-only orders and cancels are allowed";
    let refused = client.refusal("post", resting("late", false), 503).await;
    assert_eq!(refused.text, words);
    let seconds: u64 = refused.retry_after.expect("it is told when to come back").parse().unwrap();
    assert!((1..=120).contains(&seconds), "{seconds}");
    let maker = client.ok("post", resting("maker", true)).await;
    assert_eq!(maker["status"], "live", "{maker}");
    // In a batch the refusal calls itself a success.
    let batch = client.ok("post_many", json!({ "names": ["first", "second"], "orderType": "GTC" })).await;
    for reply in batch.as_array().unwrap() {
        let told = (&reply["success"], &reply["errorMsg"], &reply["orderID"]);
        assert_eq!(told, (&json!(true), &json!(words), &json!("")));
    }
    let cancelled = client.ok("cancel", json!({ "id": before })).await;
    assert_eq!(cancelled["canceled"], json!([before]));

    mode(&venue, Mode::Normal, None);
    assert_eq!(post(&mut client, "late", "GTC").await["status"], "live");
    venue.close().await;
}

/// Cancel-only takes cancels; disabled takes nothing.
async fn cancel_only(language: Language) {
    let venue = Venue::open().await;
    let mut client = venue.trader(language).await;
    for name in ["first", "second", "late"] {
        low(&mut client, name).await;
    }
    let first = id_of(&post(&mut client, "first", "GTC").await);
    let second = id_of(&post(&mut client, "second", "GTC").await);
    mode(&venue, Mode::CancelOnly, None);
    let text = client.refused("post", resting("late", true), 503).await;
    assert!(text.starts_with("Trading is currently cancel-only."), "{text}");
    let batch = json!({ "names": ["late"], "orderType": "GTC" });
    let text = client.refused("post_many", batch, 503).await;
    assert!(text.starts_with("Trading is currently cancel-only."), "{text}");
    assert_eq!(client.ok("cancel", json!({ "id": first })).await["canceled"], json!([first]));
    mode(&venue, Mode::Disabled, None);
    let text = client.refused("post", resting("late", true), 503).await;
    assert!(text.starts_with("Trading is currently disabled."), "{text}");
    let text = client.refused("cancel_all", json!({}), 503).await;
    assert!(text.starts_with("Trading is currently disabled."), "{text}");
    mode(&venue, Mode::Normal, None);
    assert_eq!(client.ok("cancel_all", json!({})).await["canceled"], json!([second]));
    venue.close().await;
}

/// A closed-only account may sell what it has; a banned one and one that should use a deposit wallet nothing.
async fn standings(language: Language) {
    let venue = Venue::open().await;
    let mut client = venue.trader(language).await;
    low(&mut client, "buy").await;
    sign(&mut client, "sale", Kind::Plain, "SELL", 0.60, 10.0).await;
    venue.stands(Standing::ClosedOnly);
    assert_eq!(client.ok("closed_only", json!({})).await["closed_only"], true);
    let text = client.refused("post", resting("buy", false), 400).await;
    assert!(text.ends_with("address in closed only mode"), "{text}");
    assert_eq!(post(&mut client, "sale", "GTC").await["status"], "live");
    for (standing, words) in [
        (Standing::Banned, "address banned"),
        (Standing::NotAllowed, "maker address not allowed, please use the deposit wallet flow"),
    ] {
        venue.stands(standing);
        let text = client.refused("post", resting("buy", false), 400).await;
        assert!(text.ends_with(words), "{text}");
    }
    venue.stands(Standing::Good);
    assert_eq!(post(&mut client, "buy", "GTC").await["status"], "live");
    venue.close().await;
}

/// 429 by the address, with the time to come back.
async fn limits_of_addresses(language: Language) {
    let venue = Venue::open().await;
    let mut client = venue.trader(language).await;
    let balance = json!({ "assetType": "COLLATERAL" });
    low(&mut client, "first").await;
    low(&mut client, "second").await;
    venue.running.world().with(|world, _| {
        let rates = &mut world.knobs.rates;
        (rates.per_ip, rates.most_delay_ms) = (true, 0);
        let quota = Quota { per_10s: Some(2), per_10min: None };
        rates.quotas.insert(Group::BalanceAllowance, quota);
        rates.quotas.insert(Group::PostOrder, Quota { per_10s: Some(1), per_10min: None });
    });
    for _ in 0..2 {
        client.ok("balance", balance.clone()).await;
    }
    assert_eq!(post(&mut client, "first", "GTC").await["status"], "live");
    for (call, arguments) in [("balance", balance), ("post", resting("second", false))] {
        let refused = client.refusal(call, arguments, 429).await;
        assert!(refused.text.contains("Too Many Requests"), "{call}: {}", refused.text);
        let seconds: u64 = refused.retry_after.expect("it is told when to come back").parse().unwrap();
        assert!((1..=10).contains(&seconds), "{call}: {seconds}");
    }
    venue.close().await;
}

/// 429 by the signer, with the time to come back; then the same request is taken.
async fn limits_of_signers(language: Language) {
    let venue = Venue::open().await;
    let mut client = venue.trader(language).await;
    low(&mut client, "order").await;
    let order = id_of(&post(&mut client, "order", "GTC").await);
    venue.running.world().with(|world, now| {
        world.knobs.rates.signers = Signers::Enforce;
        // As after a cancel of everything that found ten thousand orders: 80 tokens come back each second.
        world.charge(now, OWNER.parse().unwrap(), 10_000);
    });
    let refused = client.refusal("cancel", json!({ "id": order }), 429).await;
    assert!(refused.text.contains("Too Many Requests"), "{}", refused.text);
    let seconds: u64 = refused.retry_after.expect("it is told when to come back").parse().unwrap();
    assert!((1..=126).contains(&seconds), "{seconds}");
    venue.running.world().with(|world, _| world.knobs.rates.signers = Signers::Off);
    assert_eq!(client.ok("cancel", json!({ "id": order })).await["canceled"], json!([order]));
    venue.close().await;
}
