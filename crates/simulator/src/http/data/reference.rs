//! Facts about tokens, resolutions, open interest, and how fresh all of it is.

use alloy_primitives::U256;
use axum::{extract::State, response::Response};
use domain::{Address, ConditionId, Shares, TokenId, Usd};
use serde_json::{Value, json};

use super::{App, Params, amount, ask, conditions, envelope, long, positions::holders};
use crate::{
    contracts::{CHAIN_ID, COLLATERAL, PUSD_SPENDERS, SHARE_OPERATORS},
    limits::{MAX_CONDITIONS, MAX_TOKENS},
    world::{
        Refusal, World,
        contract_state::Slot,
        registry::{Market, MarketState},
    },
};

pub(super) async fn tokens(State(shared): App, params: Params) -> Response {
    ask(&shared, |world, _| {
        let wanted: Vec<TokenId> = match params.parse_list(&["token_id"])? {
            Some(tokens) if tokens.len() > MAX_TOKENS => {
                return Err(Refusal::bad(format!("at most {MAX_TOKENS} token ids")));
            }
            Some(tokens) => tokens,
            None => {
                let wanted =
                    conditions(&params)?.ok_or_else(|| Refusal::bad("one of token_id or condition"))?;
                if wanted.len() > MAX_CONDITIONS {
                    return Err(Refusal::bad(format!("at most {MAX_CONDITIONS} conditions")));
                }
                let markets = wanted.iter().filter_map(|condition| world.registry().market(condition));
                markets.flat_map(|market| market.spec.tokens).collect()
            }
        };
        let known = wanted.iter().filter_map(|token| Some((token, world.registry().market_of(token)?)));
        Ok(envelope(known.map(|(token, market)| token_json(token, market)).collect::<Vec<_>>()))
    })
}

fn token_json(token: &TokenId, market: &Market) -> Value {
    let spec = &market.spec;
    let index = market.outcome_index(token);
    let module = match (token.is_v3(), token.0.first()) {
        (false, _) => "v1_ctf",
        (true, Some(2)) => "neg_risk",
        (true, Some(3)) => "combo",
        (true, _) => "binary",
    };
    let final_price = match market.state {
        MarketState::Resolved(payouts) => payouts.get(index).map_or(Value::Null, amount),
        _ => Value::Null,
    };
    json!({
        "token_id": token,
        "condition_id": long(&spec.condition),
        "structural_condition_id": token.is_v3().then(|| long(&spec.condition)),
        "module": module,
        "outcome_index": index,
        "clob_index": index,
        "outcome": market.outcome(token),
        "opposite_token_id": market.other_token(token),
        "resolved": matches!(market.state, MarketState::Resolved(_)),
        "final_price": final_price,
        "title": spec.title,
        "market_slug": spec.slug,
        "closed": matches!(market.state, MarketState::Closed | MarketState::Resolved(_)),
        "neg_risk": spec.neg_risk,
        "neg_risk_market_id": null,
        "question_index": null,
        "event_id": spec.event_id(),
        "event_slug": spec.event_slug,
    })
}

pub(super) async fn resolutions(State(shared): App, params: Params) -> Response {
    ask(&shared, |world, now| {
        let wanted = conditions(&params)?;
        let events: Option<Vec<u32>> = params.parse_list(&["event_id"])?;
        let question: Option<ConditionId> = params.parse(&["question_id"])?;
        let given = [wanted.is_some(), events.is_some(), question.is_some()];
        if given.iter().filter(|given| **given).count() != 1 {
            return Err(Refusal::bad("exactly one of question_id, condition_id or event_id"));
        }
        let passes = |market: &&Market| {
            let spec = &market.spec;
            wanted.as_ref().is_some_and(|wanted| wanted.contains(&spec.condition))
                || events.as_ref().is_some_and(|events| events.contains(&spec.event_id()))
                // The question of a market is its condition here.
                || question == Some(spec.condition)
        };
        let found = world.registry().markets().filter(passes);
        Ok(envelope(found.map(|market| resolution(market, now.seconds())).collect::<Vec<_>>()))
    })
}

fn resolution(market: &Market, now: i64) -> Value {
    let spec = &market.spec;
    let payouts = match market.state {
        MarketState::Resolved(payouts) => Some(payouts.map(|price| price.0)),
        _ => None,
    };
    let resolved_at = market.resolved_at.map(domain::Timestamp::seconds);
    let kind = if spec.neg_risk { "INCREMENTAL_NEGRISK" } else { "BINARY" };
    json!({
        "question_id": spec.condition,
        "condition_id": spec.condition,
        "status": if payouts.is_some() { "resolved" } else { "initialized" },
        "extended_review": false,
        "expected_settlement_time": null,
        "settlement_time_basis": null,
        "was_disputed": false,
        "new_version_q": false,
        "last_update_timestamp": resolved_at.unwrap_or(now),
        "market_type": kind,
        "payouts": payouts,
        "resolution_source": payouts.map(|_| "reported"),
        "reporter": payouts.map(|_| "EOA"),
        "was_arbitrated": false,
        "resolved_at": resolved_at,
    })
}

/// Shares of one outcome that somebody holds, which is what the market has taken in.
fn open_interest(world: &World, market: &Market, now: domain::Timestamp) -> Usd {
    let held = |token: TokenId| holders(world, token, now).iter().map(|(_, shares)| *shares).sum::<Shares>();
    Usd(market.spec.tokens.into_iter().map(|token| held(token).0).max().unwrap_or(0))
}

fn interests(world: &World, params: &Params, now: domain::Timestamp) -> Result<Vec<(String, Usd)>, Refusal> {
    let of = |market: &Market| (market.spec.condition.to_string(), open_interest(world, market, now));
    Ok(match conditions(params)? {
        Some(wanted) => wanted.iter().filter_map(|one| world.registry().market(one)).map(of).collect(),
        None => {
            let all = world.registry().markets().map(|market| open_interest(world, market, now)).sum();
            vec![("GLOBAL".to_owned(), all)]
        }
    })
}

pub(super) async fn open_interest_v1(State(shared): App, params: Params) -> Response {
    ask(&shared, |world, now| {
        let rows = interests(world, &params, now)?;
        Ok(rows.iter().map(|(market, usd)| json!({ "market": market, "value": amount(usd) })).collect())
    })
}

pub(super) async fn open_interest_v2(State(shared): App, params: Params) -> Response {
    ask(&shared, |world, now| {
        let rows = interests(world, &params, now)?;
        let row = |(market, usd): &(String, Usd)| json!({ "condition_id": market, "value": amount(usd) });
        Ok(envelope(rows.iter().map(row).collect::<Vec<_>>()))
    })
}

/// What a wallet lets others take, as far as the indexer has seen it.
pub(super) async fn approvals(State(shared): App, params: Params) -> Response {
    ask(&shared, |world, now| {
        let owner: Address = params.required("user")?;
        let block = world.indexed_block(now);
        let money = PUSD_SPENDERS.into_iter().map(|spender| {
            let allowed = world.word_at(&Slot::Allowance { token: COLLATERAL, owner, spender }, block);
            let amount = if allowed == U256::MAX { "max".to_owned() } else { allowed.to_string() };
            json!({
                "token": COLLATERAL, "spender": spender, "standard": "ERC20", "approved": !allowed.is_zero(),
                "amount": amount,
            })
        });
        let shares = SHARE_OPERATORS.into_iter().map(|(token, operator)| {
            let approved = !world.word_at(&Slot::Operator { token, owner, operator }, block).is_zero();
            json!({
                "token": token, "spender": operator, "standard": "ERC1155", "approved": approved,
                "amount": null,
            })
        });
        let contracts: Vec<Value> = money.chain(shares).collect();
        Ok(envelope(json!({ "address": owner, "chain_id": CHAIN_ID, "contracts": contracts })))
    })
}

/// How far the indexer is behind the chain.
pub(super) async fn status(State(shared): App) -> Response {
    ask(&shared, |world, now| {
        let block = world.indexed_block(now);
        let behind = world.chain().head().saturating_sub(block);
        let of_block = world.chain().block(block).map_or(0, |block| block.timestamp);
        let lag = now.seconds().saturating_sub(of_block).max(0);
        let mechanism = |name: &str| json!({ "name": name, "age_seconds": lag, "blocks_behind": behind });
        Ok(envelope(json!({
            "computed_at": crate::http::iso(now.seconds()),
            "age_seconds": 0,
            "serving": {
                "lag_seconds": lag,
                "worst": "activity_feed",
                "mechanisms": [mechanism("activity_feed"), mechanism("custody_balances")],
            },
            "ingestion": {
                "cursors": 1,
                "network": "polygon",
                "chain_id": CHAIN_ID,
                "max_synced_block": block,
            },
        })))
    })
}
