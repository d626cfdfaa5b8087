//! The control API: JSON over HTTP, each request one method of [`World`]. Every reply is JSON; a request
//! that makes no sense gets status 400 and `{"error": ...}`.

use std::sync::Arc;

use axum::{
    Json, Router,
    body::Bytes,
    extract::{FromRequest, Path, Query, Request, State},
    http::StatusCode,
    response::{IntoResponse, Response},
    routing::{get, post},
};
use domain::{Address, ConditionId, OrderId, Price, Shares, TokenId, Usd};
use serde::{Deserialize, Serialize, de::DeserializeOwned};
use serde_json::{Value, json};

use super::{Outage, Service, Shared, control_orders, rpc_view::RpcView};
use crate::{
    wire::decimal,
    world::{
        World, WorldError,
        control::{ForeignTrade, Levels, Redeemers},
        faults::Fault,
        ledger::{Asset, Transfer},
        registry::{MarketSpec, MarketState, Profile, Wallet},
        settlement::ReorgSpec,
    },
};

type App = State<Arc<Shared>>;
pub(super) type Reply = Result<Json<Value>, ControlError>;

pub(super) fn router(shared: &Arc<Shared>) -> Router {
    Router::new()
        .route("/", get(status))
        .route("/wallets", post(add_wallet))
        .route("/profiles", post(set_profile))
        .route("/relayer-keys", post(add_relayer_key))
        .route("/builder-keys", post(add_builder_key))
        .route("/coins", post(credit_coins))
        .route("/credit", post(credit))
        .route("/transfer", post(transfer))
        .route("/markets", post(add_market))
        .route("/tick", post(set_tick))
        .route("/state", post(set_state))
        .route("/resolve", post(resolve))
        .route("/redeem", post(redeem))
        .route("/levels", post(set_levels))
        .route("/trades", post(foreign_trade))
        .route("/mine", post(mine))
        .route("/reorg", post(reorg))
        .route("/stall", post(stall))
        .route("/outage", post(outage))
        .route("/rpc", get(providers).post(set_provider))
        .route("/faults", get(faults).post(add_fault).delete(clear_faults))
        .route("/knobs", get(knobs).post(set_knobs))
        .route("/orders", get(orders))
        .route("/orders/{id}", get(order))
        .route("/executions", get(executions))
        .route("/verdict", get(verdict))
        .merge(control_orders::router())
        .with_state(Arc::clone(shared))
}

/// A refused control request.
pub(super) struct ControlError(WorldError);

impl From<WorldError> for ControlError {
    fn from(error: WorldError) -> Self {
        Self(error)
    }
}

impl IntoResponse for ControlError {
    fn into_response(self) -> Response {
        (StatusCode::BAD_REQUEST, Json(json!({ "error": self.0.to_string() }))).into_response()
    }
}

/// A JSON body, of any content type.
pub(super) struct Body<T>(pub(super) T);

impl<T: DeserializeOwned, S: Send + Sync> FromRequest<S> for Body<T> {
    type Rejection = ControlError;

    async fn from_request(request: Request, state: &S) -> Result<Self, ControlError> {
        let invalid = |error: &dyn std::fmt::Display| WorldError::Invalid(error.to_string());
        let bytes = Bytes::from_request(request, state).await.map_err(|error| invalid(&error))?;
        Ok(Self(serde_json::from_slice(&bytes).map_err(|error| invalid(&error))?))
    }
}

pub(super) fn done() -> Json<Value> {
    Json(json!({ "ok": true }))
}

/// Changes the world and wakes whoever waits for what is due next.
pub(super) fn change<T>(shared: &Shared, work: impl FnOnce(&mut World, domain::Timestamp) -> T) -> T {
    let result = shared.with(work);
    shared.due_changed.notify_one();
    result
}

pub(super) fn print(value: &impl Serialize) -> Reply {
    let value = serde_json::to_value(value).map_err(|error| WorldError::Invalid(error.to_string()))?;
    Ok(Json(value))
}

async fn status(State(shared): App) -> Json<Value> {
    Json(shared.with(|world, now| {
        json!({
            "now": now.to_string(),
            "head": world.chain().head(),
            "finalized": world.finalized(),
            "newest_tx": world.chain().newest_tx(),
            "pending": world.chain().pending.iter().map(|tx| tx.hash).collect::<Vec<_>>(),
            "late": world.late_orders(),
            "resolved": world.registry().resolved().collect::<Vec<_>>(),
            "mode": world.mode,
        })
    }))
}

async fn add_wallet(State(shared): App, Body(wallet): Body<Wallet>) -> Reply {
    change(&shared, |world, _| world.add_wallet(wallet))?;
    Ok(done())
}

#[derive(Deserialize)]
#[serde(deny_unknown_fields)]
struct NewProfile {
    wallet: Address,
    profile: Profile,
}

async fn set_profile(State(shared): App, Body(new): Body<NewProfile>) -> Json<Value> {
    change(&shared, |world, _| world.set_profile(new.wallet, new.profile));
    done()
}

#[derive(Deserialize)]
#[serde(deny_unknown_fields)]
struct RelayerKey {
    key: String,
    address: Address,
}

async fn add_relayer_key(State(shared): App, Body(new): Body<RelayerKey>) -> Json<Value> {
    change(&shared, |world, _| world.add_relayer_key(new.key, new.address));
    done()
}

#[derive(Deserialize)]
#[serde(deny_unknown_fields)]
struct BuilderKey {
    key: String,
    secret: String,
    passphrase: String,
}

async fn add_builder_key(State(shared): App, Body(new): Body<BuilderKey>) -> Json<Value> {
    change(&shared, |world, _| world.add_builder_key(new.key, new.secret, new.passphrase));
    done()
}

/// USDC.e and POL, which the venue itself does not count.
#[derive(Deserialize)]
#[serde(deny_unknown_fields)]
struct Coins {
    wallet: Address,
    #[serde(default, with = "decimal")]
    usdce: Usd,
    #[serde(default, with = "decimal")]
    pol: Usd,
}

async fn credit_coins(State(shared): App, Body(coins): Body<Coins>) -> Json<Value> {
    change(&shared, |world, _| {
        for (asset, amount) in [(Asset::Usdce, coins.usdce), (Asset::Pol, coins.pol)] {
            if amount != Usd::ZERO {
                world.credit(coins.wallet, asset, amount.0);
            }
        }
    });
    done()
}

/// Either `usd`, or `token` and `shares`.
#[derive(Deserialize)]
#[serde(deny_unknown_fields)]
struct Credit {
    wallet: Address,
    #[serde(default, with = "decimal")]
    usd: Usd,
    token: Option<TokenId>,
    #[serde(default, with = "decimal")]
    shares: Shares,
}

async fn credit(State(shared): App, Body(credit): Body<Credit>) -> Reply {
    change(&shared, |world, _| {
        if credit.usd != Usd::ZERO {
            world.credit(credit.wallet, Asset::Collateral, credit.usd.0);
        }
        match credit.token {
            Some(token) if world.registry().market_of(&token).is_none() => {
                Err(WorldError::UnknownToken(token))
            }
            Some(token) => {
                world.credit(credit.wallet, Asset::Token(token), credit.shares.0);
                Ok(())
            }
            None => Ok(()),
        }
    })?;
    Ok(done())
}

#[derive(Deserialize)]
#[serde(deny_unknown_fields)]
struct PlainTransfer {
    from: Address,
    to: Address,
    token: TokenId,
    #[serde(with = "decimal")]
    shares: Shares,
}

async fn transfer(State(shared): App, Body(plain): Body<PlainTransfer>) -> Reply {
    change(&shared, |world, _| {
        let asset = Asset::Token(plain.token);
        let held = world.balance(plain.from, asset);
        if !plain.shares.is_positive() || held < plain.shares.0 {
            let (wallet, held) = (plain.from, Shares(held));
            return Err(WorldError::Invalid(format!(
                "wallet {wallet} has {held} of {} shares",
                plain.shares
            )));
        }
        world.move_asset(Transfer { asset, from: plain.from, to: plain.to, amount: plain.shares.0 });
        Ok(())
    })?;
    Ok(done())
}

async fn add_market(State(shared): App, Body(spec): Body<MarketSpec>) -> Reply {
    change(&shared, |world, _| world.add_market(spec))?;
    Ok(done())
}

#[derive(Deserialize)]
#[serde(deny_unknown_fields)]
struct Tick {
    condition: ConditionId,
    #[serde(with = "decimal")]
    tick: Price,
}

async fn set_tick(State(shared): App, Body(tick): Body<Tick>) -> Reply {
    change(&shared, |world, _| world.set_tick(&tick.condition, tick.tick))?;
    Ok(done())
}

#[derive(Clone, Copy, Deserialize)]
#[serde(rename_all = "snake_case")]
enum StateName {
    Open,
    Paused,
    Closed,
}

#[derive(Deserialize)]
#[serde(deny_unknown_fields)]
struct NewState {
    condition: ConditionId,
    state: StateName,
}

async fn set_state(State(shared): App, Body(new): Body<NewState>) -> Reply {
    let state = match new.state {
        StateName::Open => MarketState::Open,
        StateName::Paused => MarketState::Paused,
        StateName::Closed => MarketState::Closed,
    };
    change(&shared, |world, _| world.set_state(&new.condition, state))?;
    Ok(done())
}

#[derive(Deserialize)]
struct Payout(#[serde(with = "decimal")] Price);

#[derive(Deserialize)]
#[serde(deny_unknown_fields)]
struct Resolution {
    condition: ConditionId,
    payouts: [Payout; 2],
    #[serde(default)]
    redeem: Redeemers,
}

async fn resolve(State(shared): App, Body(resolution): Body<Resolution>) -> Reply {
    let [Payout(first), Payout(second)] = resolution.payouts;
    let redeemed = change(&shared, |world, _| {
        world.resolve(&resolution.condition, [first, second], &resolution.redeem)
    })?;
    Ok(Json(json!({ "redeemed": redeemed })))
}

#[derive(Deserialize)]
#[serde(deny_unknown_fields)]
struct Redemption {
    condition: ConditionId,
    wallet: Address,
}

async fn redeem(State(shared): App, Body(redemption): Body<Redemption>) -> Reply {
    let redeemed = change(&shared, |world, _| world.redeem(&redemption.condition, redemption.wallet))?;
    Ok(Json(json!({ "redeemed": redeemed })))
}

async fn set_levels(State(shared): App, Body(levels): Body<Levels>) -> Reply {
    change(&shared, |world, _| world.set_levels(&levels))?;
    Ok(done())
}

async fn foreign_trade(State(shared): App, Body(trade): Body<ForeignTrade>) -> Reply {
    change(&shared, |world, _| world.foreign_trade(&trade))?;
    Ok(done())
}

async fn mine(State(shared): App) -> Json<Value> {
    let head = change(&shared, |world, now| world.mine(now));
    Json(json!({ "head": head }))
}

async fn reorg(State(shared): App, Body(spec): Body<ReorgSpec>) -> Reply {
    let report = change(&shared, |world, now| world.reorganise(now, &spec))?;
    print(&report)
}

#[derive(Deserialize)]
#[serde(deny_unknown_fields)]
struct Stall {
    stalled: bool,
}

async fn stall(State(shared): App, Body(stall): Body<Stall>) -> Json<Value> {
    change(&shared, |world, _| world.stall_head(stall.stalled));
    done()
}

#[derive(Deserialize)]
#[serde(deny_unknown_fields)]
struct ServiceOutage {
    service: Service,
    outage: Outage,
}

async fn outage(State(shared): App, Body(wanted): Body<ServiceOutage>) -> Json<Value> {
    shared.outage(wanted.service).send_replace(wanted.outage);
    done()
}

/// How each provider of the JSON-RPC answers.
async fn providers(State(shared): App) -> Reply {
    print(&shared.views.all())
}

#[derive(Deserialize)]
#[serde(deny_unknown_fields)]
struct NewView {
    provider: usize,
    view: RpcView,
}

/// Lets a provider answer like this; what is not named is honest.
async fn set_provider(State(shared): App, Body(new): Body<NewView>) -> Reply {
    if !shared.views.set(new.provider, new.view) {
        return Err(WorldError::Invalid(format!("there is no provider {}", new.provider)).into());
    }
    Ok(done())
}

async fn faults(State(shared): App) -> Json<Value> {
    Json(shared.with(|world, _| {
        json!({
            "waiting": world.faults.waiting().collect::<Vec<_>>(),
            "happened": world.faults.happened(),
        })
    }))
}

async fn add_fault(State(shared): App, Body(fault): Body<Fault>) -> Reply {
    if !change(&shared, |world, _| world.faults.push(fault)) {
        let (kind, target) = (fault.kind, fault.target);
        return Err(WorldError::Invalid(format!(
            "fault {kind:?} cannot break {target:?}, or its count is 0"
        ))
        .into());
    }
    Ok(done())
}

async fn clear_faults(State(shared): App) -> Json<Value> {
    change(&shared, |world, _| world.faults.clear());
    done()
}

async fn knobs(State(shared): App) -> Reply {
    print(&shared.with(|world, _| world.knobs.clone()))
}

/// Changes the knobs that are named and leaves the others.
async fn set_knobs(State(shared): App, Body(changes): Body<serde_json::Map<String, Value>>) -> Reply {
    change(&shared, |world, _| {
        let invalid = |error: serde_json::Error| WorldError::Invalid(error.to_string());
        let mut all = serde_json::to_value(&world.knobs).map_err(invalid)?;
        if let Some(all) = all.as_object_mut() {
            all.extend(changes);
        }
        world.knobs = serde_json::from_value(all).map_err(invalid)?;
        Ok::<_, WorldError>(())
    })?;
    Ok(done())
}

async fn orders(State(shared): App) -> Reply {
    print(&shared.with(|world, _| world.order_reports()))
}

async fn order(State(shared): App, Path(id): Path<OrderId>) -> Response {
    match shared.with(|world, _| world.order_report(id)) {
        Some(report) => Json(report).into_response(),
        None => (StatusCode::NOT_FOUND, Json(json!({ "error": format!("order {id} never arrived") })))
            .into_response(),
    }
}

#[derive(Deserialize)]
#[serde(deny_unknown_fields)]
struct Since {
    #[serde(default)]
    seen: usize,
}

/// Orders of which something was executed or undone since `seen`, and what to ask for next.
async fn executions(State(shared): App, Query(since): Query<Since>) -> Json<Value> {
    let (seen, orders) = shared.with(|world, _| world.executions_since(since.seen));
    Json(json!({ "seen": seen, "orders": orders }))
}

async fn verdict(State(shared): App) -> Reply {
    print(&shared.with(|world, _| world.verdict()))
}
