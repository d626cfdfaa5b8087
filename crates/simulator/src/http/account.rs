//! A signer's own account: balances with allowances, keys, standing; and what its region may do.

use std::sync::Arc;

use axum::{
    Json,
    extract::{ConnectInfo, Path, Query, State},
    http::{HeaderMap, Method, StatusCode, Uri},
    response::{IntoResponse, Response},
};
use domain::{Hash, TokenId};
use serde::Deserialize;
use serde_json::{Value, json};

use super::{Shared, auth::authenticate, connection::Connection};
use crate::{
    contracts::Exchange,
    world::{Refusal, ledger::Asset},
};

type App = State<Arc<Shared>>;

#[derive(Deserialize)]
pub(super) struct BalanceQuery {
    asset_type: String,
    token_id: Option<TokenId>,
    #[serde(default)]
    signature_type: u8,
}

impl BalanceQuery {
    /// The asset, and the exchanges that may be allowed to move it. Tokens of one era are nothing of the other.
    fn asset(&self) -> Result<(Option<Asset>, &'static [Exchange]), Refusal> {
        const OLD: &[Exchange] = &[Exchange::V2, Exchange::V2NegRisk];
        const NEW: &[Exchange] = &[Exchange::V3];
        const ALL: &[Exchange] = &[Exchange::V2, Exchange::V2NegRisk, Exchange::V3];
        match (self.asset_type.as_str(), self.token_id) {
            ("COLLATERAL", _) => Ok((Some(Asset::Collateral), ALL)),
            ("CONDITIONAL", Some(token)) => Ok(((!token.is_v3()).then_some(Asset::Token(token)), OLD)),
            ("CONDITIONAL-V2", Some(token)) => Ok((token.is_v3().then_some(Asset::Token(token)), NEW)),
            _ => Err(Refusal::bad("Invalid asset type")),
        }
    }
}

pub(super) async fn balance_allowance(
    State(shared): App,
    Query(query): Query<BalanceQuery>,
    uri: Uri,
    headers: HeaderMap,
) -> Result<Response, Refusal> {
    let key = authenticate(&shared, &headers, "GET", uri.path(), b"")?;
    let (asset, spenders) = query.asset()?;
    let (balance, allowances) = shared.with(|world, _| {
        let wallet = world.wallet_for(key.address, query.signature_type).zip(asset);
        let balance = wallet.map_or(0, |(wallet, asset)| world.seen_balance(wallet, asset));
        let allowed = |exchange: &Exchange| {
            let allowed = wallet.map(|(wallet, asset)| world.seen_allowance(wallet, asset, *exchange));
            (exchange.address().to_string(), json!(allowed.unwrap_or_default().to_string()))
        };
        (balance, spenders.iter().map(allowed).collect::<serde_json::Map<String, Value>>())
    });
    Ok(Json(json!({ "balance": balance.to_string(), "allowances": allowances })).into_response())
}

/// Makes the venue look at the wallet again. The reply has no body.
pub(super) async fn update_balance_allowance(
    State(shared): App,
    Query(query): Query<BalanceQuery>,
    uri: Uri,
    headers: HeaderMap,
) -> Result<Response, Refusal> {
    let key = authenticate(&shared, &headers, "GET", uri.path(), b"")?;
    let (asset, _) = query.asset()?;
    shared.with(|world, _| {
        let wallet = world.wallet_for(key.address, query.signature_type);
        if let Some((wallet, asset)) = wallet.zip(asset) {
            world.refresh_balance(wallet, asset);
        }
    });
    Ok(StatusCode::OK.into_response())
}

pub(super) async fn api_keys(State(shared): App, uri: Uri, headers: HeaderMap) -> Result<Response, Refusal> {
    let key = authenticate(&shared, &headers, "GET", uri.path(), b"")?;
    let keys: Vec<String> =
        shared.with(|world, _| world.registry().keys_of(key.address).map(ToOwned::to_owned).collect());
    Ok(Json(json!({ "apiKeys": keys })).into_response())
}

pub(super) async fn delete_api_key(
    State(shared): App,
    method: Method,
    uri: Uri,
    headers: HeaderMap,
) -> Result<Response, Refusal> {
    let key = authenticate(&shared, &headers, method.as_str(), uri.path(), b"")?;
    shared.with(|world, _| world.delete_key(&key.key));
    Ok(Json("OK").into_response())
}

pub(super) async fn closed_only(
    State(shared): App,
    uri: Uri,
    headers: HeaderMap,
) -> Result<Response, Refusal> {
    let key = authenticate(&shared, &headers, "GET", uri.path(), b"")?;
    let closed_only = shared.with(|world, now| {
        let owner = world.session_owner(key.address, now).unwrap_or(key.address);
        world.registry().is_closed_only(owner)
    });
    Ok(Json(json!({ "closed_only": closed_only })).into_response())
}

/// Session signers of the caller's deposit wallet.
pub(super) async fn session_signers(
    State(shared): App,
    uri: Uri,
    headers: HeaderMap,
) -> Result<Response, Refusal> {
    let key = authenticate(&shared, &headers, "GET", uri.path(), b"")?;
    let wallet = shared.with(|world, now| {
        let wallet = world.registry().wallet_of(key.address, 3)?;
        Some(super::relayer::sessions_json(world, wallet, now))
    });
    let wallet = wallet.ok_or_else(|| Refusal::new(404, "deposit wallet not found"))?;
    Ok(Json(wallet).into_response())
}

pub(super) async fn geoblock(
    State(shared): App,
    ConnectInfo(connection): ConnectInfo<Connection>,
) -> Json<Value> {
    let geo = shared.with(|world, _| world.knobs.geo.clone());
    let ip = connection.peer().to_string();
    Json(json!({ "blocked": geo.blocked, "ip": ip, "country": geo.country, "region": geo.region }))
}

pub(super) async fn builder_fees(State(shared): App, Path(code): Path<String>) -> Result<Response, Refusal> {
    let unknown = || Refusal::new(404, "builder not found");
    let code: Hash = code.parse().map_err(|_| Refusal::bad("Invalid builder code"))?;
    let fees = shared.with(|world, _| world.registry().builder(&code.0).copied()).ok_or_else(unknown)?;
    Ok(Json(json!({
        "builder_maker_fee_rate_bps": fees.maker_bps,
        "builder_taker_fee_rate_bps": fees.taker_bps,
    }))
    .into_response())
}
