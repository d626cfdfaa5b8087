//! API keys and authentication.

use serde_json::json;

use crate::{
    client::Language,
    venue::{Kind, Venue},
    witnessed,
};

witnessed! {
    created_and_derived => typescript_creates_and_derives_keys, python_creates_and_derives_keys;
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
