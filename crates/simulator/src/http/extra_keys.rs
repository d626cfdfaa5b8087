//! Read-only keys and builders' keys of a signer: made, listed, revoked.

use std::sync::Arc;

use axum::{
    Json,
    body::Bytes,
    extract::State,
    http::{HeaderMap, Method, Uri},
    response::{IntoResponse, Response},
};
use serde::Deserialize;
use serde_json::{Value, json};

use super::{Shared, auth::authenticate, iso, relayer::builder_of};
use crate::world::{Refusal, extra_keys::BuilderKey};

type App = State<Arc<Shared>>;

pub(super) async fn create_read_only(
    State(shared): App,
    uri: Uri,
    headers: HeaderMap,
) -> Result<Response, Refusal> {
    let key = authenticate(&shared, &headers, "POST", uri.path(), b"")?;
    let made = shared.with(|world, _| world.create_read_only_key(key.address));
    Ok(Json(json!({ "apiKey": made })).into_response())
}

pub(super) async fn read_only_keys(
    State(shared): App,
    uri: Uri,
    headers: HeaderMap,
) -> Result<Response, Refusal> {
    let key = authenticate(&shared, &headers, "GET", uri.path(), b"")?;
    Ok(Json(shared.with(|world, _| world.read_only_keys(key.address))).into_response())
}

#[derive(Deserialize)]
struct Named {
    key: String,
}

pub(super) async fn delete_read_only(
    State(shared): App,
    uri: Uri,
    headers: HeaderMap,
    body: Bytes,
) -> Result<Response, Refusal> {
    let key = authenticate(&shared, &headers, "DELETE", uri.path(), &body)?;
    let named: Named = serde_json::from_slice(&body).map_err(|_| Refusal::bad("Invalid payload"))?;
    let gone = shared.with(|world, _| world.delete_read_only_key(key.address, &named.key));
    if gone { Ok(Json(true).into_response()) } else { Err(Refusal::new(404, "api key not found")) }
}

pub(super) async fn create_builder(
    State(shared): App,
    uri: Uri,
    headers: HeaderMap,
) -> Result<Response, Refusal> {
    let key = authenticate(&shared, &headers, "POST", uri.path(), b"")?;
    let BuilderKey { key, secret, passphrase, .. } =
        shared.with(|world, _| world.create_builder_key(key.address));
    Ok(Json(json!({ "key": key, "secret": secret, "passphrase": passphrase })).into_response())
}

pub(super) async fn builder_keys(
    State(shared): App,
    uri: Uri,
    headers: HeaderMap,
) -> Result<Response, Refusal> {
    let key = authenticate(&shared, &headers, "GET", uri.path(), b"")?;
    let keys = shared.with(|world, _| world.builder_keys(key.address));
    let rows = keys.into_iter().map(|key| {
        let mut row = json!({ "key": key.key, "createdAt": iso(key.created.seconds()) });
        if let (Some(revoked), Some(row)) = (key.revoked, row.as_object_mut()) {
            row.insert("revokedAt".to_owned(), json!(iso(revoked.seconds())));
        }
        row
    });
    Ok(Json(rows.collect::<Vec<Value>>()).into_response())
}

/// The clients of the order book sign this with the API key and name no key, the unified one with the builder's key.
pub(super) async fn revoke_builder(
    State(shared): App,
    method: Method,
    uri: Uri,
    headers: HeaderMap,
) -> Result<Response, Refusal> {
    let revoked = if headers.contains_key("poly_builder_api_key") {
        let name = builder_of(&shared, &headers, &method, uri.path(), b"")?;
        shared.with(|world, _| world.revoke_builder_key(None, Some(&name)))
    } else {
        let key = authenticate(&shared, &headers, method.as_str(), uri.path(), b"")?;
        shared.with(|world, _| world.revoke_builder_key(Some(key.address), None))
    };
    if revoked { Ok(Json("OK").into_response()) } else { Err(Refusal::new(404, "builder api key not found")) }
}
