//! The relayer's HTTP: submissions with their authentication, look-ups, nonces, session signers.
//!
//! Sources: docs.polymarket.com/api-spec/relayer-openapi.yaml, and the paths that the official unified client
//! (PyPI `polymarket-client` 0.14.0) uses beside them.

use std::{sync::Arc, time::Duration};

use axum::{
    Router,
    body::Bytes,
    extract::{ConnectInfo, Path, State},
    http::{HeaderMap, Method, Uri},
    response::{IntoResponse, Response},
    routing::{get, post},
};
use domain::{Address, Timestamp};
use serde::Deserialize;
use serde_json::{Value, json};

use super::{Shared, connection::Connection, cut, iso, params::Params, reply};
use crate::{
    contracts::{DEPOSIT_WALLET_FACTORY, PROXY_FACTORY, RELAY, RELAY_HUB, abi},
    limits::RECENT_TRANSACTIONS,
    signing,
    world::{
        Refusal, World,
        calls::Call,
        faults::{Fault, FaultKind, FaultTarget},
        relay::{RelayKind, RelayRecord, RelayState, Submitted},
    },
};

type App = State<Arc<Shared>>;

/// Bytes of a reply that get through when it is truncated.
const TRUNCATED_REPLY: usize = 150;

pub(super) fn router(shared: &Arc<Shared>) -> Router {
    Router::new()
        .route("/submit", post(submit))
        .route("/deployed", get(deployed))
        .route("/nonce", get(nonce))
        .route("/relay-payload", get(relay_payload))
        .route("/transaction", get(transaction))
        .route("/transactions", get(transactions))
        .route("/v1/account/transactions/params", get(params_of_next))
        .route("/v1/account/transactions/{id}", get(one_transaction))
        .route("/v1/session-signers/authorizations", post(authorize_session))
        .route("/v1/session-signers/revocations", post(revoke_session))
        .with_state(Arc::clone(shared))
}

fn header<'a>(headers: &'a HeaderMap, name: &str) -> Option<&'a str> {
    headers.get(name)?.to_str().ok()
}

/// Checks a relayer key, or the signature of a builder key.
fn authenticate(
    shared: &Shared,
    headers: &HeaderMap,
    method: &Method,
    path: &str,
    body: &[u8],
) -> Result<(), Refusal> {
    let unauthorized = || Refusal::new(401, "invalid authorization");
    if let (Some(key), Some(address)) =
        (header(headers, "relayer_api_key"), header(headers, "relayer_api_key_address"))
    {
        let address: Address = address.parse().map_err(|_| unauthorized())?;
        let known = shared.with(|world, _| world.relayer().knows(key, address));
        return if known { Ok(()) } else { Err(unauthorized()) };
    }
    builder_of(shared, headers, method, path, body).map(|_| ())
}

/// The builder key that signed a request: over time, method, path and body.
///
/// # Errors
/// 401.
pub(super) fn builder_of(
    shared: &Shared,
    headers: &HeaderMap,
    method: &Method,
    path: &str,
    body: &[u8],
) -> Result<String, Refusal> {
    let unauthorized = || Refusal::new(401, "invalid authorization");
    let need = |name| header(headers, name).ok_or_else(unauthorized);
    let (key, passphrase) = (need("poly_builder_api_key")?, need("poly_builder_passphrase")?);
    let (signature, timestamp) = (need("poly_builder_signature")?, need("poly_builder_timestamp")?);
    let (builder, now, skew) = shared
        .with(|world, now| (world.relayer().builder(key).cloned(), now.seconds(), world.knobs.auth_skew_s));
    let (secret, known_passphrase) = builder.ok_or_else(unauthorized)?;
    let seconds: i64 = timestamp.parse().map_err(|_| unauthorized())?;
    let expected = signing::request_signature(&secret, timestamp, method.as_str(), path, body);
    let good = now.abs_diff(seconds) <= skew
        && passphrase == known_passphrase
        && expected.as_deref() == Some(signature);
    if good { Ok(key.to_owned()) } else { Err(unauthorized()) }
}

/// Numbers as text, as the relayer wants them.
fn number(text: Option<&String>, name: &str) -> Result<u64, Refusal> {
    let bad = || Refusal::bad(format!("invalid {name}"));
    text.ok_or_else(bad)?.parse().map_err(|_| bad())
}

fn bytes(text: &str, name: &str) -> Result<Vec<u8>, Refusal> {
    let digits = text.strip_prefix("0x").and_then(|digits| hex::decode(digits).ok());
    digits.ok_or_else(|| Refusal::bad(format!("invalid {name}")))
}

#[derive(Deserialize)]
#[serde(rename_all = "camelCase")]
struct Submission {
    #[serde(rename = "type")]
    kind: String,
    from: Address,
    to: Option<Address>,
    proxy_wallet: Option<Address>,
    data: Option<String>,
    value: Option<String>,
    nonce: Option<String>,
    signature: Option<String>,
    metadata: Option<String>,
    signature_params: Option<SignatureParams>,
    deposit_wallet_params: Option<WalletParams>,
}

#[derive(Deserialize)]
#[serde(rename_all = "camelCase")]
struct SignatureParams {
    operation: Option<String>,
    gas_limit: Option<String>,
    relay: Option<Address>,
    relay_hub: Option<Address>,
}

#[derive(Deserialize)]
#[serde(rename_all = "camelCase")]
struct WalletParams {
    deposit_wallet: Address,
    deadline: String,
    calls: Vec<WalletCall>,
}

#[derive(Deserialize)]
struct WalletCall {
    target: Address,
    value: String,
    data: String,
}

/// Longest metadata. Source: the official client's own limit.
const MAX_METADATA: usize = 500;

impl Submission {
    fn decode(self) -> Result<Submitted, Refusal> {
        let known = RelayKind::ALL.into_iter().find(|kind| kind.name() == self.kind);
        let kind = known.ok_or_else(|| Refusal::bad(format!("invalid type {}", self.kind)))?;
        if self.metadata.as_ref().is_some_and(|text| text.len() > MAX_METADATA) {
            return Err(Refusal::bad("metadata too long"));
        }
        if self.value.as_ref().is_some_and(|value| value != "0" && !value.is_empty()) {
            return Err(Refusal::bad("calls with a value are not simulated"));
        }
        let signed = !matches!(kind, RelayKind::WalletCreate);
        let numbered = signed && kind != RelayKind::SafeCreate;
        let signature = match (&self.signature, signed) {
            (Some(text), true) => bytes(text, "signature")?,
            (None, true) => return Err(Refusal::bad("invalid signature")),
            (_, false) => Vec::new(),
        };
        let nonce = if numbered { number(self.nonce.as_ref(), "nonce")? } else { 0 };
        let mut submitted = Submitted {
            kind,
            from: self.from,
            wallet: self.proxy_wallet,
            nonce,
            deadline: 0,
            calls: Vec::new(),
            delegate: false,
            gas_limit: 0,
            relay: RELAY,
            signature,
        };
        match kind {
            RelayKind::Wallet => self.batch(&mut submitted)?,
            RelayKind::Safe | RelayKind::Proxy => self.single(&mut submitted)?,
            RelayKind::WalletCreate | RelayKind::SafeCreate => {}
        }
        Ok(submitted)
    }

    fn batch(self, submitted: &mut Submitted) -> Result<(), Refusal> {
        let params = self.deposit_wallet_params.ok_or_else(|| Refusal::bad("depositWalletParams missing"))?;
        if self.to != Some(DEPOSIT_WALLET_FACTORY) || params.calls.is_empty() {
            return Err(Refusal::bad("invalid deposit wallet batch"));
        }
        submitted.wallet = Some(params.deposit_wallet);
        submitted.deadline = number(Some(&params.deadline), "deadline")?;
        for call in params.calls {
            if call.value != "0" {
                return Err(Refusal::bad("calls with a value are not simulated"));
            }
            submitted.calls.push(Call { to: call.target, data: bytes(&call.data, "data")? });
        }
        Ok(())
    }

    fn single(self, submitted: &mut Submitted) -> Result<(), Refusal> {
        let params = self.signature_params.ok_or_else(|| Refusal::bad("signatureParams missing"))?;
        let to = self.to.ok_or_else(|| Refusal::bad("invalid to"))?;
        let data = bytes(self.data.as_deref().unwrap_or_default(), "data")?;
        submitted.calls.push(Call { to, data });
        if submitted.kind == RelayKind::Safe {
            submitted.delegate = params.operation.as_deref() == Some("1");
            return Ok(());
        }
        if to != PROXY_FACTORY || params.relay_hub != Some(RELAY_HUB) || params.relay != Some(RELAY) {
            return Err(Refusal::bad("invalid proxy transaction"));
        }
        submitted.gas_limit = number(params.gas_limit.as_ref(), "gasLimit")?;
        Ok(())
    }
}

async fn submit(
    State(shared): App,
    ConnectInfo(connection): ConnectInfo<Connection>,
    uri: Uri,
    headers: HeaderMap,
    body: Bytes,
) -> Response {
    let fault = shared.with(|world, _| world.faults.take(FaultTarget::Relayer, |_| true));
    match fault.map(|fault| fault.kind) {
        Some(FaultKind::DropBefore) => return cut(&connection),
        Some(FaultKind::Error500Before) => return Refusal::new(500, "internal error").into_response(),
        Some(FaultKind::TooManyRequests) => {
            let refusal = Refusal { retry_after: Some(1), ..Refusal::new(429, "Too Many Requests") };
            return refusal.into_response();
        }
        _ => {}
    }
    let submitted = authenticate(&shared, &headers, &Method::POST, uri.path(), &body).and_then(|()| {
        let read = serde_json::from_slice::<Submission>(&body);
        read.map_err(|error| Refusal::bad(format!("invalid request: {error}")))?.decode()
    });
    let answered = submitted.and_then(|submitted| {
        let record = shared.with(|world, _| world.relay(&submitted, fault))?;
        let state = if record.failed.is_some() { "STATE_FAILED" } else { "STATE_NEW" };
        Ok(json!({ "transactionID": record.id, "state": state, "transactionHash": "" }))
    });
    shared.due_changed.notify_one();
    answer(&shared, &connection, fault, reply(answered)).await
}

/// What becomes of the reply to a submission that was processed.
async fn answer(shared: &Shared, connection: &Connection, fault: Option<Fault>, reply: Response) -> Response {
    match fault.map(|fault| (fault.kind, fault.delay_ms)) {
        Some((FaultKind::AcceptThenDrop, _)) => cut(connection),
        Some((FaultKind::Error500After, _)) => Refusal::new(500, "internal error").into_response(),
        Some((FaultKind::TruncateReply, _)) => {
            connection.cut_after(TRUNCATED_REPLY);
            reply
        }
        Some((FaultKind::Slow, delay_ms)) => {
            let mut stopped = shared.stopped.clone();
            let slept = tokio::select! {
                () = shared.clock.0.sleep(Duration::from_millis(delay_ms)) => true,
                // An error means that the simulator was dropped.
                _ = stopped.wait_for(|stop| *stop) => false,
            };
            if slept { reply } else { cut(connection) }
        }
        _ => reply,
    }
}

fn kind(params: &Params) -> Result<RelayKind, Refusal> {
    let name = params.text(&["type"]).unwrap_or_default();
    let known = RelayKind::ALL.into_iter().find(|kind| kind.name() == name);
    known.ok_or_else(|| Refusal::bad(format!("invalid type {name}")))
}

async fn deployed(State(shared): App, params: Params) -> Response {
    reply(shared.with(|world, _| {
        let address = params.required("address")?;
        // Asked for an EOA with a kind, it tells of that wallet of the EOA.
        let own = kind(&params).ok().map(|kind| world.wallet_address(address, kind.wallet_type()));
        let deployed = world.is_deployed(address) || own.is_some_and(|wallet| world.is_deployed(wallet));
        Ok(json!({ "deployed": deployed }))
    }))
}

async fn nonce(State(shared): App, params: Params) -> Response {
    reply(shared.with(|world, _| {
        let nonce = world.relay_nonce(params.required("address")?, kind(&params)?);
        Ok(json!({ "nonce": nonce.to_string() }))
    }))
}

/// Nonce and relay of a proxy's call.
async fn relay_payload(State(shared): App, params: Params) -> Response {
    reply(shared.with(|world, _| {
        let nonce = world.relay_nonce(params.required("address")?, kind(&params)?);
        Ok(json!({ "address": RELAY, "nonce": nonce.to_string() }))
    }))
}

async fn params_of_next(State(shared): App, uri: Uri, headers: HeaderMap, params: Params) -> Response {
    let asked = authenticate(&shared, &headers, &Method::GET, uri.path(), b"").and_then(|()| {
        let address: Address = params.required("address")?;
        let kind = kind(&params)?;
        let nonce = shared.with(|world, _| world.relay_nonce(address, kind));
        Ok(json!({ "address": address, "nonce": nonce.to_string() }))
    });
    reply(asked)
}

fn hash_text(world: &World, record: &RelayRecord) -> String {
    let told = record.tx.filter(|_| world.relay_state(record) != RelayState::Failed);
    told.map_or_else(String::new, |tx| tx.to_string())
}

fn reason(world: &World, record: &RelayRecord) -> Value {
    match (&record.failed, world.relay_state(record)) {
        (Some(reason), _) => json!(reason),
        (None, RelayState::Failed) => json!("execution reverted"),
        (None, _) => Value::Null,
    }
}

async fn one_transaction(State(shared): App, Path(id): Path<String>) -> Response {
    reply(shared.with(|world, _| {
        let found = world.relayer().records().iter().find(|record| record.id == id);
        let record = found.ok_or_else(|| Refusal::new(404, "transaction not found"))?;
        Ok(json!({
            "transaction_id": record.id,
            "transaction_hash": hash_text(world, record),
            "state": world.relay_state(record).name(),
            "error_msg": reason(world, record),
        }))
    }))
}

/// A row of the older paths.
fn row(world: &World, record: &RelayRecord) -> Value {
    json!({
        "transactionID": record.id,
        "transactionHash": hash_text(world, record),
        "from": record.owner,
        "to": record.wallet,
        "proxyAddress": record.wallet,
        "data": "0x",
        "nonce": record.nonce.map_or_else(String::new, |nonce| nonce.to_string()),
        "value": "",
        "signature": format!("0x{}", hex::encode(&record.signature)),
        "state": world.relay_state(record).name(),
        "type": record.kind.name(),
        "owner": record.owner,
        "metadata": "",
        "errorMsg": reason(world, record),
        "createdAt": iso(record.submitted_at.seconds()),
        "updatedAt": iso(record.submitted_at.seconds()),
    })
}

async fn transaction(State(shared): App, params: Params) -> Response {
    reply(shared.with(|world, _| {
        let id: String = params.required("id")?;
        let found = world.relayer().records().iter().filter(|record| record.id == id);
        Ok(found.map(|record| row(world, record)).collect())
    }))
}

/// The newest submissions of the key's address; of everybody for a builder.
async fn transactions(State(shared): App, uri: Uri, headers: HeaderMap) -> Response {
    let asked = authenticate(&shared, &headers, &Method::GET, uri.path(), b"").and_then(|()| {
        let of: Option<Address> = match header(&headers, "relayer_api_key_address") {
            Some(text) => Some(text.parse().map_err(|_| Refusal::bad("invalid address"))?),
            None => None,
        };
        Ok(shared.with(|world, _| {
            let all = world.relayer().records().iter().rev();
            let own = all.filter(|record| of.is_none_or(|of| record.owner == of));
            own.take(RECENT_TRANSACTIONS).map(|record| row(world, record)).collect()
        }))
    });
    reply(asked)
}

#[derive(Deserialize)]
#[serde(rename_all = "camelCase")]
struct SessionRequest {
    wallet_address: Address,
    session_signer_address: Address,
    nonce: String,
    deadline: String,
    signature: String,
    valid_until: Option<String>,
    #[serde(default)]
    scopes: Vec<String>,
}

async fn authorize_session(State(shared): App, uri: Uri, headers: HeaderMap, body: Bytes) -> Response {
    let builder = header(&headers, "poly_builder_api_key").is_some();
    let done = authenticate(&shared, &headers, &Method::POST, uri.path(), &body).and_then(|()| {
        if !builder {
            return Err(Refusal::new(403, "session signers need an approved builder key"));
        }
        let request: SessionRequest = read_session(&body)?;
        let until = number(request.valid_until.as_ref(), "validUntil")?;
        shared.with(|world, _| world.check_session(&request.scopes, until))?;
        let call = abi::DepositWallet::authorizeSessionSignerCall {
            signer: request.session_signer_address.0.into(),
            validUntil: alloy_primitives::U256::from(until),
        };
        let record = relay_session(&shared, &request, alloy_sol_types::SolCall::abi_encode(&call))?;
        let (wallet, signer) = (request.wallet_address, request.session_signer_address);
        shared.with(|world, _| world.register_session(wallet, signer, request.scopes));
        Ok(json!({ "status": "SUBMITTED", "transactionHash": "", "transactionId": record.id }))
    });
    shared.due_changed.notify_one();
    reply(done)
}

async fn revoke_session(State(shared): App, uri: Uri, headers: HeaderMap, body: Bytes) -> Response {
    let done = authenticate(&shared, &headers, &Method::POST, uri.path(), &body).and_then(|()| {
        let request: SessionRequest = read_session(&body)?;
        let call =
            abi::DepositWallet::revokeSessionSignerCall { signer: request.session_signer_address.0.into() };
        let record = relay_session(&shared, &request, alloy_sol_types::SolCall::abi_encode(&call))?;
        let (wallet, signer) = (request.wallet_address, request.session_signer_address);
        shared.with(|world, _| world.fence_session(wallet, signer));
        Ok(json!({ "status": "PENDING", "fenced": true, "transactionId": record.id }))
    });
    shared.due_changed.notify_one();
    reply(done)
}

fn read_session(body: &[u8]) -> Result<SessionRequest, Refusal> {
    serde_json::from_slice(body).map_err(|error| Refusal::bad(format!("invalid request: {error}")))
}

/// The batch whose signature came with the request: one call of the wallet to itself.
fn relay_session(shared: &Shared, request: &SessionRequest, data: Vec<u8>) -> Result<RelayRecord, Refusal> {
    let wallet = request.wallet_address;
    let known = shared.with(|world, _| world.registry().wallet(&wallet).map(|wallet| wallet.owner));
    let from = known.ok_or_else(|| Refusal::bad(format!("wallet {wallet} is not known")))?;
    let submitted = Submitted {
        kind: RelayKind::Wallet,
        from,
        wallet: Some(wallet),
        nonce: number(Some(&request.nonce), "nonce")?,
        deadline: number(Some(&request.deadline), "deadline")?,
        calls: vec![Call { to: wallet, data }],
        delegate: false,
        gas_limit: 0,
        relay: RELAY,
        signature: bytes(&request.signature, "signature")?,
    };
    shared.with(|world, _| world.relay(&submitted, None))
}

/// Session signers of a wallet that are valid now, as the CLOB lists them.
pub(super) fn sessions_json(world: &World, wallet: Address, now: Timestamp) -> Value {
    let one = |(signer, scopes, until)| json!({ "address": signer, "scopes": scopes, "valid_until": until });
    json!({ "wallet": wallet, "signers": world.sessions(wallet, now).map(one).collect::<Vec<_>>() })
}
