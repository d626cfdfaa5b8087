//! Intents: decided wishes to trade. Insert-only, made together with reservation and work row.

use std::collections::HashMap;

use domain::{
    Side, Timestamp,
    decide::{CopyOrder, Verdict},
    ids::{IntentId, OwnerId},
    trade::GroupKey,
};
use engine::ports::{
    detection::{IntentFacts, Lane, NewDecision, QueuedIntent},
    execution::{EndReason, Intent, IntentCause, Why},
    reports::IntentEnd,
    store::{StoreError, StoreResult},
};

use crate::{
    accounts::{self, read_trading, trading_columns},
    bulk::Insert,
    codes::Code as _,
    column::{Coded, Fields},
    decisions::{DecisionKey, key_of},
    dialect::{Connection, Row, id_list},
    groups::key_columns,
    sql::{self, Value, values},
};

/// A cause as stored: its number, and the block of a target.
const fn encode_cause(why: Why) -> (i64, Option<i64>) {
    match why {
        Why::Trade => (0, None),
        Why::Target { through } => (1, Some(through)),
        Why::Panic => (2, None),
    }
}

fn read_cause(fields: &mut Fields<'_>) -> StoreResult<Why> {
    match (fields.get::<i64>()?, fields.get::<Option<i64>>()?) {
        (0, None) => Ok(Why::Trade),
        (1, Some(through)) => Ok(Why::Target { through }),
        (2, None) => Ok(Why::Panic),
        (cause, through) => {
            Err(fields.corrupt(&format!("{cause} with {through:?} is no cause of an intent")))
        }
    }
}

/// A copy to make an intent of.
pub(crate) struct NewIntent<'a> {
    decision: &'a NewDecision,
    copy: CopyOrder,
    facts: IntentFacts,
    key: DecisionKey,
}

impl<'a> NewIntent<'a> {
    /// The intent that a decision asks for, if it is a copy.
    pub(crate) fn of(
        decision: &'a NewDecision,
        groups: &HashMap<GroupKey, i64>,
    ) -> StoreResult<Option<Self>> {
        match (&decision.verdict, decision.intent) {
            (Verdict::Copy(copy), Some(facts)) => {
                Ok(Some(Self { decision, copy: *copy, facts, key: key_of(decision, groups)? }))
            }
            (Verdict::Skip(_), None) => Ok(None),
            _ => Err(StoreError::Conflict(format!(
                "the decision for relationship {} is a copy without facts or facts without a copy",
                decision.relationship
            ))),
        }
    }

    /// What makes it unique.
    pub(crate) fn key(&self) -> DecisionKey {
        self.key
    }

    fn lane(&self) -> Lane {
        lane_of(self.copy.side)
    }

    fn row(&self) -> [Value; 20] {
        let (cause, through) = encode_cause(self.facts.why);
        let (decision, facts, copy) = (self.decision, &self.facts, &self.copy);
        values![
            decision.owner,
            facts.account,
            decision.relationship,
            decision.key.leader,
            cause,
            through,
            self.key.0,
            self.key.1,
            Coded(self.lane()),
            decision.key.token,
            facts.condition,
            Coded(copy.side),
            copy.amount,
            copy.limit,
            copy.reserve,
            facts.leader_price,
            facts.traded_at,
            facts.seen_at,
            decision.decided_at,
            facts.expires_at,
        ]
    }
}

/// The lane of a side.
fn lane_of(side: Side) -> Lane {
    match side {
        Side::Buy => Lane::Entries,
        Side::Sell => Lane::Exits,
    }
}

/// Makes intents with their reservations and work rows.
pub(crate) async fn write(
    connection: &mut Connection,
    intents: &[NewIntent<'_>],
) -> StoreResult<HashMap<DecisionKey, QueuedIntent>> {
    const INSERT: Insert = Insert {
        into: "intents (owner_id, account_id, relationship_id, leader_id, cause, through_block, group_id, part, lane, token, \
            condition, side, amount, limit_price, reserve, leader_price, traded_at, seen_at, decided_at, \
            expires_at)",
        then: "RETURNING group_id, part, relationship_id, id",
    };
    const RESERVE: Insert = Insert {
        into: "reservations (intent_id, owner_id, account_id, relationship_id, condition, usd)",
        then: "",
    };
    const WORK: Insert = Insert {
        into: "work (intent_id, owner_id, state, lane, due, attempts, fence, lease_until)",
        then: "",
    };
    accounts::check_owners(
        connection,
        intents.iter().map(|intent| (intent.facts.account, intent.decision.owner)),
    )
    .await?;
    let rows = intents.iter().map(NewIntent::row).collect();
    let mut ids: HashMap<DecisionKey, IntentId> = HashMap::with_capacity(intents.len());
    for row in INSERT.run(connection, rows).await? {
        let mut fields = Fields::of(&row);
        ids.insert((fields.get()?, fields.get()?, fields.get()?), fields.get()?);
    }
    let (mut reservations, mut work) = (Vec::new(), Vec::with_capacity(intents.len()));
    let mut queued = HashMap::with_capacity(intents.len());
    for intent in intents {
        let id = *ids
            .get(&intent.key)
            .ok_or_else(|| StoreError::Corrupt("an inserted intent has no key".to_owned()))?;
        let (decision, facts) = (intent.decision, &intent.facts);
        let (owner, reserve) = (decision.owner, intent.copy.reserve);
        if reserve.is_positive() {
            let (account, condition) = (facts.account, facts.condition);
            reservations.push(values![id, owner, account, decision.relationship, condition, reserve]);
        }
        let (lane, zero) = (intent.lane(), 0_i64);
        work.push(values![id, owner, zero, Coded(lane), decision.decided_at, zero, zero, zero]);
        queued.insert(intent.key, QueuedIntent { id, lane });
    }
    RESERVE.run(connection, reservations).await?;
    WORK.run(connection, work).await?;
    Ok(queued)
}

/// A query of intents.
macro_rules! select_intents {
    ($rest:expr) => {
        concat!(
            "SELECT i.id, i.owner_id, ",
            trading_columns!(),
            ", i.relationship_id, i.leader_id, i.cause, i.through_block, ",
            key_columns!(),
            ", i.part, i.lane, i.token, i.condition, i.side, i.amount, i.limit_price, i.reserve, ",
            "i.leader_price, i.traded_at, i.seen_at, i.decided_at, i.expires_at ",
            "FROM intents i JOIN accounts a ON a.id = i.account_id JOIN trade_groups g ON g.id = i.group_id ",
            $rest
        )
    };
}

fn read(row: &Row) -> StoreResult<Intent> {
    let mut fields = Fields::of(row);
    let (id, owner) = (fields.get()?, fields.get()?);
    let account = read_trading(&mut fields)?;
    let (relationship, leader) = (fields.get()?, fields.get()?);
    let why = read_cause(&mut fields)?;
    let cause = IntentCause { key: fields.get()?, part: fields.number()?, why };
    Ok(Intent {
        id,
        owner,
        account,
        relationship,
        leader,
        cause,
        lane: fields.code()?,
        token: fields.get()?,
        condition: fields.get()?,
        side: fields.code()?,
        amount: fields.get()?,
        limit: fields.get()?,
        reserve: fields.get()?,
        leader_price: fields.get()?,
        traded_at: fields.get()?,
        seen_at: fields.get()?,
        decided_at: fields.get()?,
        expires_at: fields.get()?,
    })
}

/// Intents by key.
pub(crate) async fn by_ids(
    connection: &mut Connection,
    ids: impl IntoIterator<Item = i64>,
) -> StoreResult<HashMap<IntentId, Intent>> {
    const BY_IDS: &str = select_intents!(concat!("WHERE i.id", in_ids!("$1")));
    let rows = sql::rows(connection, BY_IDS, values![id_list(ids)]).await?;
    rows.iter().map(|row| read(row).map(|intent| (intent.id, intent))).collect()
}

/// Intents after a key, ascending.
pub(crate) async fn after(
    connection: &mut Connection,
    owner: Option<OwnerId>,
    after: IntentId,
    limit: usize,
) -> StoreResult<Vec<Intent>> {
    const AFTER: &str = select_intents!("WHERE i.id > $1 ORDER BY i.id LIMIT $2");
    const OWNED: &str = select_intents!("WHERE i.id > $1 AND i.owner_id = $3 ORDER BY i.id LIMIT $2");
    let rows = match owner {
        None => sql::rows(connection, AFTER, [Value::from(after), sql::limit(limit)]).await?,
        Some(owner) => {
            sql::rows(connection, OWNED, [Value::from(after), sql::limit(limit), owner.into()]).await?
        }
    };
    rows.iter().map(read).collect()
}

/// Notes how waiting intents ended.
pub(crate) async fn write_ends(
    connection: &mut Connection,
    ends: &[(IntentId, OwnerId, EndReason)],
    now: Timestamp,
) -> StoreResult<()> {
    const INSERT: Insert = Insert {
        into: "intent_ends (intent_id, owner_id, reason, at)",
        then: "ON CONFLICT (intent_id) DO UPDATE SET reason = excluded.reason, at = excluded.at",
    };
    let rows =
        ends.iter().map(|(intent, owner, reason)| values![*intent, *owner, reason.code(), now]).collect();
    INSERT.run(connection, rows).await?;
    Ok(())
}

/// How intents ended, in the given order.
pub(crate) async fn ends_of(
    connection: &mut Connection,
    intents: &[IntentId],
) -> StoreResult<Vec<IntentEnd>> {
    const ENDS: &str =
        concat!("SELECT intent_id, reason, at FROM intent_ends WHERE intent_id", in_ids!("$1"));
    let list = id_list(intents.iter().map(|intent| intent.0));
    let rows = sql::rows(connection, ENDS, values![list]).await?;
    let ends = rows
        .iter()
        .map(|row| {
            let mut fields = Fields::of(row);
            let end = IntentEnd { intent: fields.get()?, reason: fields.code()?, at: fields.get()? };
            Ok((end.intent, end))
        })
        .collect::<StoreResult<HashMap<IntentId, IntentEnd>>>()?;
    Ok(intents.iter().filter_map(|intent| ends.get(intent)).copied().collect())
}
