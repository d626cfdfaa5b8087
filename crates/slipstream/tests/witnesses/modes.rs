//! The venue's dead-man switch.

use serde_json::json;

use crate::{client::Language, venue::Venue, witnessed};

witnessed! {
    heartbeats => typescript_keeps_its_heartbeat, python_keeps_its_heartbeat;
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
