//! L1 and L2 authentication of CLOB requests, and the two endpoints that hand out API keys.

use std::sync::Arc;

use axum::{
    Json,
    extract::State,
    http::{HeaderMap, Method},
    response::{IntoResponse, Response},
};
use domain::Address;
use serde_json::json;

use super::Shared;
use crate::{
    contracts::CHAIN_ID,
    signing,
    world::{Refusal, registry::ApiKey},
};

fn header<'a>(headers: &'a HeaderMap, name: &str) -> Option<&'a str> {
    headers.get(name)?.to_str().ok()
}

/// Checks L2 headers over the exact body and the path without its query.
///
/// # Errors
/// 401 as the venue gives it.
pub(super) fn authenticate(
    shared: &Shared,
    headers: &HeaderMap,
    method: &str,
    path: &str,
    body: &[u8],
) -> Result<ApiKey, Refusal> {
    let unauthorized = || Refusal::new(401, "Unauthorized/Invalid api key");
    let need = |name| header(headers, name).ok_or_else(unauthorized);
    let (name, passphrase) = (need("poly_api_key")?, need("poly_passphrase")?);
    let (signature, timestamp) = (need("poly_signature")?, need("poly_timestamp")?);
    let address: Address = need("poly_address")?.parse().map_err(|_| unauthorized())?;
    let (key, now, skew, verify) = shared.with(|world, now| {
        let key = world.registry().key(name).cloned();
        (key, world.told_seconds(now), world.knobs.auth_skew_s, !world.is_stub())
    });
    let key =
        key.filter(|key| key.address == address && key.passphrase == passphrase).ok_or_else(unauthorized)?;
    let seconds: i64 = timestamp.parse().map_err(|_| unauthorized())?;
    let signed = || {
        let expected = signing::request_signature(&key.secret, timestamp, method, path, body);
        expected.as_deref() == Some(signature)
    };
    if now.abs_diff(seconds) > skew || (verify && !signed()) {
        return Err(unauthorized());
    }
    Ok(key)
}

/// `POST /auth/api-key` creates, `GET /auth/derive-api-key` finds again.
pub(super) async fn api_key(
    State(shared): State<Arc<Shared>>,
    method: Method,
    headers: HeaderMap,
) -> Response {
    let (address, nonce) = match login(&shared, &headers) {
        Ok(login) => login,
        Err(refusal) => return refusal.into_response(),
    };
    let key = shared.with(|world, _| {
        if method == Method::POST {
            world.create_key(address, nonce)
        } else {
            world.registry().derive_key(address, nonce).cloned()
        }
    });
    match key {
        Some(key) => {
            let ApiKey { key, secret, passphrase, .. } = key;
            Json(json!({ "apiKey": key, "secret": secret, "passphrase": passphrase })).into_response()
        }
        None if method == Method::POST => Refusal::bad("Could not create api key").into_response(),
        None => Refusal::bad("Could not derive api key!").into_response(),
    }
}

fn login(shared: &Shared, headers: &HeaderMap) -> Result<(Address, u64), Refusal> {
    let invalid = || Refusal::new(401, "Invalid L1 Request headers");
    let need = |name| header(headers, name).ok_or_else(invalid);
    let address: Address = need("poly_address")?.parse().map_err(|_| invalid())?;
    let timestamp = need("poly_timestamp")?;
    let nonce: u64 = header(headers, "poly_nonce").unwrap_or("0").parse().map_err(|_| invalid())?;
    let signature = need("poly_signature")?;
    let signature =
        signature.strip_prefix("0x").and_then(|text| hex::decode(text).ok()).ok_or_else(invalid)?;
    let seconds: i64 = timestamp.parse().map_err(|_| invalid())?;
    let (now, skew, verify) =
        shared.with(|world, now| (world.told_seconds(now), world.knobs.auth_skew_s, world.verifies()));
    let signed = !verify || signing::is_login(address, timestamp, nonce, CHAIN_ID, &signature);
    if signed && now.abs_diff(seconds) <= skew { Ok((address, nonce)) } else { Err(invalid()) }
}
