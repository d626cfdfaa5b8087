//! What the venue documents as errors of an order, as the official clients tell them.

use std::{sync::Arc, time::Duration};

use domain::{Clock, Timestamp, clock::Sleep};
use serde_json::json;
use simulator::{
    config::RefuseWith,
    world::{
        faults::{Fault, FaultKind},
        registry::MarketState,
        verdict::OrderReport,
    },
};
use slipstream::clock::SystemClock;

use crate::{
    client::{Client, Language},
    orders::{post, sign},
    venue::{Kind, Venue},
    witnessed,
};

witnessed! {
    documented_errors => typescript_tells_documented_errors, python_tells_documented_errors;
    wrong_words => typescript_posts_wrong_words, python_posts_wrong_words;
    wrong_clocks => typescript_has_a_wrong_clock, python_has_a_wrong_clock;
    strangers => typescript_meets_a_venue_that_does_not_know_it, python_meets_a_venue_that_does_not_know_it;
}

async fn documented_errors(language: Language) {
    let venue = Venue::open().await;
    let mut client = venue.trader(language).await;
    let refuse = |with: Option<RefuseWith>| {
        venue.running.world().with(|world, _| world.knobs.refuse_orders_with = with);
    };
    let order = json!({ "name": "order", "orderType": "GTC" });
    sign(&mut client, "order", Kind::Plain, "BUY", 0.45, 10.0).await;
    // Nobody tells what brings these about (docs/venue-errors.md), so that the simulator says them when it is told to.
    for (status, error) in polymarket::told_to_say() {
        refuse(Some(RefuseWith { status, error: error.to_owned() }));
        let told = client.refused("post", order.clone(), status.into()).await;
        assert!(told.contains(error), "{status} {error}: {told}");
    }
    refuse(None);
    failures(&venue, &mut client).await;
    assert_eq!(post(&mut client, "order", "GTC").await["status"], "live", "none of it was taken");
    // The market itself: it does not trade yet, and it has ended.
    let condition = Kind::Plain.condition();
    let turn = |state| venue.running.world().with(|world, _| world.set_state(&condition, state).unwrap());
    sign(&mut client, "early", Kind::Plain, "BUY", 0.45, 10.0).await;
    turn(MarketState::Paused);
    let told = client.refused("post", json!({ "name": "early", "orderType": "GTC" }), 400).await;
    assert!(told.contains("the market is not yet ready to process new orders"), "{told}");
    // Its maker cancels it in the contract, before the market opens.
    let reports = venue.running.world().with(|world, _| world.order_reports());
    let refused = |order: &&OrderReport| order.posts.refused == 1 && order.posts.accepted == 0;
    let early = reports.iter().find(refused).unwrap();
    venue.running.world().with(|world, _| world.cancel_in_contract(early.id));
    turn(MarketState::Open);
    let told = client.refused("post", json!({ "name": "early", "orderType": "GTC" }), 400).await;
    assert!(told.contains("order canceled in the CTF exchange contract"), "{told}");
    sign(&mut client, "late", Kind::Plain, "BUY", 0.45, 10.0).await;
    turn(MarketState::Closed);
    let told = client.refused("post", json!({ "name": "late", "orderType": "GTC" }), 404).await;
    assert!(told.contains("No orderbook exists for the requested token id"), "{told}");
    venue.close().await;
}

/// The venue fails at an order before it has taken it, and after: the words are the same, and only looking tells which.
async fn failures(venue: &Venue, client: &mut Client) {
    for (kind, words, taken) in [
        (FaultKind::TimedOutText, "order timed out", false),
        (FaultKind::Error500Before, "Internal server error", false),
        (FaultKind::TimedOutTextAfter, "order timed out", true),
        (FaultKind::Error500After, "Internal server error", true),
    ] {
        let name = format!("{kind:?}");
        sign(client, &name, Kind::NegativeRisk, "BUY", 0.45, 10.0).await;
        let fault = Fault { target: kind.target(), kind, count: 1, delay_ms: 0, depth: 0 };
        assert!(venue.running.world().with(|world, _| world.faults.push(fault)));
        let order = json!({ "name": name, "orderType": "GTC" });
        let told = client.refused("post", order.clone(), 500).await;
        assert!(told.contains(words), "{kind:?}: {told}");
        if taken {
            let told = client.refused("post", order, 400).await;
            assert!(told.contains("Duplicated"), "{kind:?}: {told}");
        } else {
            assert_eq!(post(client, &name, "GTC").await["status"], "live", "{kind:?}");
        }
    }
}

/// Nobody told the simulator to refuse these: it reads and checks what it gets.
async fn wrong_words(language: Language) {
    let venue = Venue::open().await;
    let mut client = venue.trader(language).await;
    // 10.01 shares at 0.45 are 4.5045 dollars: good for an order that rests, too fine for one that takes.
    sign(&mut client, "order", Kind::Plain, "BUY", 0.45, 10.01).await;
    let stranger = "0x3c44cdddb6a900fa2b585dd299e03d12fa4293bc";
    let first_version = json!({
        "timestamp": null, "metadata": null, "builder": null, "nonce": "0", "feeRateBps": "0",
        "taker": format!("0x{}", "0".repeat(40)),
    });
    for (owner, changes, order_type, words) in [
        (
            Some("00000000-0000-0000-0000-000000000001"),
            json!({}),
            "GTC",
            "the order owner has to be the owner of the API KEY",
        ),
        (
            None,
            json!({ "signer": stranger }),
            "GTC",
            "the order signer address has to be the address of the API KEY",
        ),
        (None, json!({ "maker": stranger }), "GTC", "invalid signature"),
        (None, json!({ "makerAmount": "4504600" }), "GTC", "invalid signature"),
        (None, json!({ "signatureType": 1 }), "GTC", "invalid signature"),
        (None, first_version, "GTC", "order_version_mismatch"),
        (None, json!({ "salt": null }), "GTC", "Invalid order payload"),
        (None, json!({ "side": "HOLD" }), "GTC", "Invalid order payload"),
        (
            None,
            json!({}),
            "FAK",
            "invalid amounts, the buy orders maker amount supports a max accuracy of 2 decimals",
        ),
    ] {
        let post = json!({ "name": "order", "orderType": order_type, "owner": owner, "changes": changes });
        let told = client.call("post_changed", post).await.expect_err(words);
        assert!(told.status == Some(400) && told.text.contains(words), "{words}: {told:?}");
    }
    // Dollars cut to two decimals: signed so, and read where signatures are not.
    sign(&mut client, "sale", Kind::Plain, "SELL", 0.22, 19.69).await;
    let verify = |on| venue.running.world().with(|world, _| world.knobs.verify_signatures = on);
    verify(false);
    let cut = json!({ "name": "sale", "orderType": "GTC", "changes": { "takerAmount": "4330000" } });
    let told = client.call("post_changed", cut).await.expect_err("too few dollars");
    let words = "the taker amount for a $0.22 order of size 19.69 should be '4.3318'";
    assert!(told.status == Some(400) && told.text.contains(words), "{told:?}");
    verify(true);
    let right = json!({ "name": "order", "orderType": "GTC" });
    assert_eq!(client.ok("post_changed", right).await["status"], "live", "none of it was taken");
    venue.close().await;
}

/// This machine's clock, an hour ahead: to the venue the client is an hour behind.
struct Ahead;

impl Clock for Ahead {
    fn now(&self) -> Timestamp {
        SystemClock.now().plus(Duration::from_secs(3_600))
    }

    fn uptime(&self) -> Duration {
        SystemClock.uptime()
    }

    fn sleep(&self, duration: Duration) -> Sleep {
        SystemClock.sleep(duration)
    }
}

async fn wrong_clocks(language: Language) {
    let venue = Venue::open_at(Arc::new(Ahead)).await;
    let mut client = venue.stranger(language, 0).await;
    let told = client.refused("create_key", json!({}), 401).await;
    assert!(told.contains("Invalid L1 Request headers"), "{told}");
    venue.close().await;
}

/// Credentials that the venue does not know (any more).
async fn strangers(language: Language) {
    let venue = Venue::open().await;
    let mut client = venue.trader(language).await;
    sign(&mut client, "order", Kind::Plain, "BUY", 0.45, 10.0).await;
    venue.running.world().with(|world, _| {
        let keys: Vec<String> =
            world.registry().keys_of(crate::venue::OWNER.parse().unwrap()).map(str::to_owned).collect();
        keys.iter().for_each(|key| world.delete_key(key));
    });
    let told = client.refused("post", json!({ "name": "order", "orderType": "GTC" }), 401).await;
    assert!(told.contains("Unauthorized/Invalid api key"), "{told}");
    venue.close().await;
}
