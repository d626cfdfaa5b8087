//! Commit 2: signed bytes, order id, fence, lease and send permit, made durable together.
//!
//! This is where a pause takes effect: the relationship's state and the holds are read in the same
//! transaction that makes an order sendable.

use std::{collections::HashMap, time::Duration};

use domain::{
    Shares, Timestamp, TokenId,
    ids::{AccountId, AttemptId, IntentId, LeaderId, OwnerId, RelationshipId},
    lifecycle::OrderState,
};
use engine::ports::{
    detection::Lane,
    execution::{SignedAttempt, SignedOutcome},
    following::{Hold, HoldScope, RelationshipStatus},
    store::{InstanceId, StoreError, StoreResult},
};

use crate::{
    bulk::Insert,
    codes::Code as _,
    column::{Column, Fields},
    config,
    dialect::{Connection, id_list},
    holds, instances,
    ledger::Holding,
    promised,
    sql::{self, values},
};

/// A waiting work row, as far as signing needs it.
struct Waiting {
    intent: IntentId,
    owner: OwnerId,
    account: AccountId,
    leader: LeaderId,
    holding: Holding,
    lane: Lane,
    attempts: u32,
    fence: i64,
    status: RelationshipStatus,
}

impl Column for Waiting {
    fn read(fields: &mut Fields<'_>) -> StoreResult<Self> {
        Ok(Self {
            intent: fields.get()?,
            owner: fields.get()?,
            account: fields.get()?,
            leader: fields.get()?,
            holding: Holding { relationship: fields.get()?, token: fields.get()?, condition: fields.get()? },
            lane: fields.code()?,
            attempts: fields.number()?,
            fence: fields.get()?,
            status: fields.code_or(RelationshipStatus::Paused)?,
        })
    }
}

impl Waiting {
    fn is_blocked(&self, holds: &[Hold]) -> bool {
        let mut concerned = holds.iter().filter(|hold| match hold.scope {
            HoldScope::Installation => true,
            HoldScope::Account(account) => account == self.account,
            HoldScope::Leader(leader) => leader == self.leader,
            HoldScope::Relationship(relationship) => relationship == self.holding.relationship,
        });
        let exits = self.lane == Lane::Exits;
        let sold_out = exits && concerned.clone().any(|hold| hold.sells);
        let held = concerned.any(|hold| hold.stops_exits || !exits);
        held || (self.status != RelationshipStatus::Active && !sold_out)
    }
}

/// An attempt that is won, before it is stored.
struct Winner<'a> {
    attempt: &'a SignedAttempt,
    owner: OwnerId,
    fence: i64,
    outcome: usize,
}

/// What exits may sell, while a batch is being won.
struct Free {
    of: HashMap<IntentId, Shares>,
    /// Won in this batch.
    won: HashMap<(RelationshipId, TokenId), Shares>,
}

impl Free {
    async fn read(
        connection: &mut Connection,
        waiting: &HashMap<IntentId, Waiting>,
        now: Timestamp,
    ) -> StoreResult<Self> {
        let exits = waiting.values().filter(|row| row.lane == Lane::Exits);
        let exits: Vec<_> = exits.map(|row| (row.intent, row.holding)).collect();
        Ok(Self { of: promised::free(connection, &exits, now).await?, won: HashMap::new() })
    }

    /// Takes what an attempt sells, if that is free.
    fn take(&mut self, row: &Waiting, attempt: &SignedAttempt) -> bool {
        if row.lane == Lane::Entries {
            return true;
        }
        let won = self.won.entry((row.holding.relationship, row.holding.token)).or_default();
        let free = self.of.get(&row.intent).copied().unwrap_or_default().less(*won);
        let sells = Shares(attempt.amounts.maker);
        let is_free = sells <= free;
        if is_free {
            *won = Shares(won.0.saturating_add(sells.0));
        }
        is_free
    }
}

/// Stores what can be won; one outcome per attempt. Nobody else holds what is won here.
pub(crate) async fn commit(
    connection: &mut Connection,
    holder: &InstanceId,
    now: Timestamp,
    lease: Duration,
    attempts: &[SignedAttempt],
) -> StoreResult<Vec<SignedOutcome>> {
    config::shared(connection).await?;
    let instance = instances::running(connection, holder, now).await?;
    let mut waiting = load(connection, attempts).await?;
    let relationships = waiting.values().map(|row| row.holding.relationship.0);
    let holds = holds::concerning(connection, relationships, now).await?;
    let mut free = Free::read(connection, &waiting, now).await?;
    let mut outcomes = Vec::with_capacity(attempts.len());
    let mut winners = Vec::with_capacity(attempts.len());
    for (at, attempt) in attempts.iter().enumerate() {
        let row = waiting.get(&attempt.intent).filter(|row| row.attempts == attempt.attempt);
        let outcome = match row {
            None => SignedOutcome::NotWaiting,
            Some(row) if row.is_blocked(&holds) => SignedOutcome::Blocked,
            Some(row) if !free.take(row, attempt) => SignedOutcome::Exceeds,
            Some(row) => {
                // A placeholder until the row has its key.
                let fence = row.fence.saturating_add(1);
                winners.push(Winner { attempt, owner: row.owner, fence, outcome: at });
                waiting.remove(&attempt.intent);
                SignedOutcome::NotWaiting
            }
        };
        outcomes.push(outcome);
    }
    if winners.is_empty() {
        return Ok(outcomes);
    }
    take_work(connection, &winners, instance, now.plus(lease)).await?;
    let keys = store_orders(connection, &winners, now).await?;
    store_permits(connection, &winners, &keys, instance).await?;
    for winner in &winners {
        let attempt = *keys.get(&winner.attempt.intent).ok_or_else(no_key)?;
        if let Some(outcome) = outcomes.get_mut(winner.outcome) {
            *outcome = SignedOutcome::Won { attempt, fence: winner.fence };
        }
    }
    Ok(outcomes)
}

async fn load(
    connection: &mut Connection,
    attempts: &[SignedAttempt],
) -> StoreResult<HashMap<IntentId, Waiting>> {
    const LOAD: &str = concat!(
        "SELECT w.intent_id, w.owner_id, i.account_id, i.leader_id, i.relationship_id, i.token, i.condition, ",
        "w.lane, w.attempts, w.fence, r.status FROM work w JOIN intents i ON i.id = w.intent_id ",
        "JOIN relationships r ON r.id = i.relationship_id WHERE +w.state = 0 AND w.intent_id",
        in_ids!("$1"),
        for_update!("w, r")
    );
    let list = id_list(attempts.iter().map(|attempt| attempt.intent.0));
    let rows = sql::rows(connection, LOAD, values![list]).await?;
    rows.iter()
        .map(|row| {
            let waiting: Waiting = Fields::of(row).get()?;
            Ok((waiting.intent, waiting))
        })
        .collect()
}

/// The compare-and-set: every row must still wait.
async fn take_work(
    connection: &mut Connection,
    winners: &[Winner<'_>],
    instance: i64,
    until: Timestamp,
) -> StoreResult<()> {
    const TAKE: &str = concat!(
        "UPDATE work SET state = 1, attempts = attempts + 1, fence = fence + 1, holder = $2, ",
        "lease_until = $3, due = $3, failures = 0 WHERE +state = 0 AND intent_id",
        in_ids!("$1")
    );
    let list = id_list(winners.iter().map(|winner| winner.attempt.intent.0));
    let taken = sql::execute(connection, TAKE, values![list, instance, until]).await?;
    if usize::try_from(taken) != Ok(winners.len()) {
        let text = format!("{taken} of {} work rows could be taken", winners.len());
        return Err(StoreError::Conflict(text));
    }
    Ok(())
}

async fn store_orders(
    connection: &mut Connection,
    winners: &[Winner<'_>],
    now: Timestamp,
) -> StoreResult<HashMap<IntentId, AttemptId>> {
    const INSERT: Insert = Insert {
        into: "signed_orders (owner_id, intent_id, attempt, order_id, body, maker, taker, limit_price, salt, \
            stamped_at, signed_at, resend_until, committed_at)",
        then: "ON CONFLICT (order_id) DO NOTHING RETURNING intent_id, id",
    };
    let mut rows = Vec::with_capacity(winners.len());
    for winner in winners {
        let attempt = winner.attempt;
        let salt = i64::try_from(attempt.salt)
            .map_err(|_| StoreError::Conflict(format!("salt {} is not below 2^53", attempt.salt)))?;
        rows.push(values![
            winner.owner,
            attempt.intent,
            attempt.attempt,
            attempt.order.id,
            &attempt.order.body[..],
            attempt.amounts.maker,
            attempt.amounts.taker,
            attempt.limit,
            salt,
            attempt.timestamp,
            attempt.signed_at,
            attempt.resend_until,
            now,
        ]);
    }
    let keys = INSERT
        .run(connection, rows)
        .await?
        .iter()
        .map(|row| {
            let mut fields = Fields::of(row);
            Ok((fields.get()?, fields.get()?))
        })
        .collect::<StoreResult<HashMap<IntentId, AttemptId>>>()?;
    match winners.iter().find(|winner| !keys.contains_key(&winner.attempt.intent)) {
        Some(known) => {
            let id = known.attempt.order.id;
            Err(StoreError::Conflict(format!(
                "order id {id} is known already; it must never be signed twice"
            )))
        }
        None => Ok(keys),
    }
}

async fn store_permits(
    connection: &mut Connection,
    winners: &[Winner<'_>],
    keys: &HashMap<IntentId, AttemptId>,
    instance: i64,
) -> StoreResult<()> {
    const STATUS: Insert = Insert {
        into: "order_status (attempt_id, owner_id, state, version, unbooked, reply_shares, reply_usd, \
            reply_estimated, unseen_for, doubts)",
        then: "",
    };
    const PERMIT: Insert =
        Insert { into: "send_permits (attempt_id, instance_id, owner_id, fence, granted_at)", then: "" };
    let mut status = Vec::with_capacity(winners.len());
    let mut permits = Vec::with_capacity(winners.len());
    for winner in winners {
        let attempt = *keys.get(&winner.attempt.intent).ok_or_else(no_key)?;
        let (owner, zero) = (winner.owner, 0_i64);
        status.push(values![
            attempt,
            owner,
            OrderState::Signed.code(),
            zero,
            zero,
            zero,
            zero,
            zero,
            zero,
            zero
        ]);
        permits.push(values![attempt, instance, owner, winner.fence, winner.attempt.signed_at]);
    }
    STATUS.run(connection, status).await?;
    PERMIT.run(connection, permits).await?;
    Ok(())
}

fn no_key() -> StoreError {
    StoreError::Corrupt("an inserted order has no key".to_owned())
}

/// Takes a permit to send the same bytes again; how long that may be done at `own_now`, which is the store's time. `None`
/// when the work is no longer the holder's.
pub(crate) async fn grant(
    connection: &mut Connection,
    attempt: AttemptId,
    holder: &InstanceId,
    fence: i64,
    (now, own_now): (Timestamp, Timestamp),
) -> StoreResult<Option<Duration>> {
    const MINE: &str = concat!(
        "SELECT o.owner_id, n.id, o.signed_at, o.resend_until, o.committed_at FROM signed_orders o JOIN work w ON w.intent_id = o.intent_id ",
        "JOIN instances n ON n.id = w.holder WHERE o.id = $1 AND n.name = $2 AND n.ended_at IS NULL ",
        "AND w.fence = $3 AND w.state = 1 AND w.attempts = o.attempt + 1",
        for_update!("w")
    );
    const PERMIT: &str = "INSERT INTO send_permits (attempt_id, instance_id, owner_id, fence, granted_at) \
        VALUES ($1, $2, $3, $4, $5) ON CONFLICT (attempt_id, instance_id) DO UPDATE SET \
        fence = excluded.fence, granted_at = excluded.granted_at, returned_at = NULL";
    const RAISE: &str = "UPDATE order_status SET version = version + 1 WHERE attempt_id = $1";
    let Some(row) = sql::row(connection, MINE, values![attempt, holder.0.as_str(), fence]).await? else {
        return Ok(None);
    };
    let mut fields = Fields::of(&row);
    let (owner, instance) = (fields.get::<OwnerId>()?, fields.get::<i64>()?);
    let (signed_at, resend_until, committed_at): (Timestamp, Timestamp, Timestamp) =
        (fields.get()?, fields.get()?, fields.get()?);
    let left = resend_until.since(signed_at).saturating_sub(own_now.since(committed_at));
    sql::execute(connection, PERMIT, values![attempt, instance, owner, fence, now]).await?;
    sql::execute(connection, RAISE, values![attempt]).await?;
    Ok(Some(left))
}
