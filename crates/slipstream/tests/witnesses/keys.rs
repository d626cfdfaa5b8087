//! API keys and authentication.

use serde_json::json;

use crate::{
    client::Language,
    venue::{Kind, Venue},
    witnessed,
};

witnessed! {
    created_and_derived => typescript_creates_and_derives_keys, python_creates_and_derives_keys;
    read_only => typescript_keeps_read_only_keys, python_keeps_read_only_keys;
    builders => typescript_keeps_builder_keys, python_keeps_builder_keys;
}

/// A key is created once; the second login derives the same. Every wallet type of one owner shares it.
async fn created_and_derived(language: Language) {
    let venue = Venue::open().await;
    let mut client = venue.stranger(language, 0).await;
    let key = client.ok("login", json!({})).await;
    assert!(key.as_str().is_some_and(|key| key.len() == 36), "{key}");
    assert_eq!(client.ok("login", json!({})).await, key);
    let mut safe = venue.stranger(language, 2).await;
    assert_eq!(safe.ok("login", json!({})).await, key);
    assert_eq!(client.ok("version", json!({})).await, json!(2));
    let mut stranger = venue.stranger(language, 0).await;
    let token = Kind::Plain.token();
    let order = json!({ "name": "a", "token": token, "price": 0.5, "size": 10, "side": "BUY" });
    stranger.ok("sign", order).await;
    let without_credentials = stranger.call("post", json!({ "name": "a", "orderType": "GTC" })).await;
    assert_eq!(without_credentials.unwrap_err().status, None);
    venue.close().await;
}

/// Read-only keys are made, listed and deleted.
async fn read_only(language: Language) {
    let venue = Venue::open().await;
    let mut client = venue.trader(language).await;
    assert_eq!(client.ok("readonly_keys", json!({})).await, json!([]));
    let first = client.ok("readonly_create", json!({})).await["apiKey"].clone();
    let second = client.ok("readonly_create", json!({})).await["apiKey"].clone();
    assert!(first.as_str().is_some_and(|key| key.len() == 36) && first != second, "{first} {second}");
    assert_eq!(client.ok("readonly_keys", json!({})).await, json!([first, second]));
    assert_eq!(client.ok("readonly_delete", json!({ "key": first })).await, true);
    assert_eq!(client.ok("readonly_keys", json!({})).await, json!([second]));
    client.refused("readonly_delete", json!({ "key": first }), 404).await;
    venue.close().await;
}

/// Builders' keys are made, listed and revoked; a revoked one stays listed, with its date.
async fn builders(language: Language) {
    let venue = Venue::open().await;
    let mut client = venue.trader(language).await;
    assert_eq!(client.ok("builder_keys", json!({})).await, json!([]));
    let made = client.ok("builder_create", json!({})).await;
    for part in ["key", "secret", "passphrase"] {
        assert!(made[part].as_str().is_some_and(|part| part.len() >= 36), "{made}");
    }
    let listed = client.ok("builder_keys", json!({})).await;
    assert_eq!((&listed[0]["key"], listed[0].get("revokedAt")), (&made["key"], None));
    assert_eq!(client.ok("builder_revoke", json!({})).await, "OK");
    let listed = client.ok("builder_keys", json!({})).await;
    assert!(listed[0]["key"] == made["key"] && listed[0]["revokedAt"].is_string(), "{listed}");
    client.refused("builder_revoke", json!({}), 404).await;
    venue.close().await;
}
