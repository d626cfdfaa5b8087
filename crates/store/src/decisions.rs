//! Decisions: one narrow row per (part, relationship), integers only.
//!
//! `inputs` says which numbers `input_1` to `input_7` are: 0 none; 1 an entry's (age in microseconds, decided
//! before, in market, with leader, in account, free, account cap or NULL); 2 an exit's (held, target, open
//! exits, newest ledger row, mark of the target's basis).
//! `answer` is -1 for a buy, -2 for a sale (numbers: amount, limit price, reserve, binding rule or NULL), or
//! the code of a reason to skip (numbers: the reason's own three).

use std::collections::{HashMap, HashSet};

use domain::{
    Side,
    decide::{Binding, CopyOrder, EntryInputs, ExitInputs, Verdict},
    ids::{OwnerId, RelationshipId},
    skip::SkipReason,
    trade::GroupKey,
};
use engine::ports::{
    detection::{DecidedBefore, DecisionInputs, NewDecision, TargetBasis},
    reports::DecisionRecord,
    store::StoreResult,
};

use crate::{
    bulk::Insert,
    codes::Code as _,
    column::Fields,
    dialect::{Connection, Row},
    groups,
    groups::key_columns,
    parts::group_of,
    sql::{self, Value, values},
};

const COPY_BUY: i64 = -1;
const COPY_SELL: i64 = -2;

/// What makes a decision unique: group's row, part, relationship.
pub(crate) type DecisionKey = (i64, i64, i64);

/// The key of a decision to store.
pub(crate) fn key_of(decision: &NewDecision, groups: &HashMap<GroupKey, i64>) -> StoreResult<DecisionKey> {
    Ok((group_of(groups, decision.key)?, i64::from(decision.part), decision.relationship.0))
}

/// Stores decisions; those that exist are left as they are. The keys of those that were new.
pub(crate) async fn write(
    connection: &mut Connection,
    decisions: &[NewDecision],
    groups: &HashMap<GroupKey, i64>,
) -> StoreResult<HashSet<DecisionKey>> {
    const INSERT: Insert = Insert {
        into: "decisions (group_id, part, relationship_id, owner_id, policy_version, decided_at, inputs, \
            input_1, input_2, input_3, input_4, input_5, input_6, input_7, \
            answer, number_1, number_2, number_3, number_4)",
        then: "ON CONFLICT (group_id, part, relationship_id) DO NOTHING \
            RETURNING group_id, part, relationship_id",
    };
    let mut rows = Vec::with_capacity(decisions.len());
    for decision in decisions {
        let (inputs, [a, b, c, d, e, f, g]) = encode_inputs(decision.inputs);
        let (answer, [n1, n2, n3, n4]) = encode_verdict(&decision.verdict);
        let key = key_of(decision, groups)?;
        rows.push(values![
            key.0,
            key.1,
            key.2,
            decision.owner,
            decision.policy_version,
            decision.decided_at,
            inputs,
            a,
            b,
            c,
            d,
            e,
            f,
            g,
            answer,
            n1,
            n2,
            n3,
            n4,
        ]);
    }
    let returned = INSERT.run(connection, rows).await?;
    returned.iter().map(read_key).collect()
}

fn read_key(row: &Row) -> StoreResult<DecisionKey> {
    let mut fields = Fields::of(row);
    Ok((fields.get()?, fields.get()?, fields.get()?))
}

fn encode_inputs(inputs: DecisionInputs) -> (i64, [Option<i64>; 7]) {
    match inputs {
        DecisionInputs::None => (0, [None; 7]),
        DecisionInputs::Entry(entry) => {
            let cap = entry.account_cap.map(|usd| usd.0);
            let age = i64::try_from(entry.age.as_micros()).unwrap_or(i64::MAX);
            let numbers = [
                Some(age),
                Some(entry.decided_before.0),
                Some(entry.in_market.0),
                Some(entry.with_leader.0),
                Some(entry.in_account.0),
                Some(entry.free.0),
                cap,
            ];
            (1, numbers)
        }
        DecisionInputs::Exit(exit, basis) => {
            let numbers =
                [exit.held.0, exit.target.0, exit.open_exits.0, basis.ledger_through, basis.mark].map(Some);
            let [held, target, open, through, mark] = numbers;
            (2, [held, target, open, through, mark, None, None])
        }
    }
}

fn encode_verdict(verdict: &Verdict) -> (i64, [Option<i64>; 4]) {
    match verdict {
        Verdict::Copy(copy) => {
            let answer = match copy.side {
                Side::Buy => COPY_BUY,
                Side::Sell => COPY_SELL,
            };
            let binding = copy.binding.map(|binding| binding.code());
            (answer, [Some(copy.amount), Some(copy.limit.0), Some(copy.reserve.0), binding])
        }
        Verdict::Skip(reason) => {
            let (code, [a, b, c]) = reason.encode();
            (code, [Some(a), Some(b), Some(c), None])
        }
    }
}

fn read_inputs(fields: &mut Fields<'_>) -> StoreResult<DecisionInputs> {
    let kind: i64 = fields.get()?;
    match kind {
        0 => {
            let _: [Option<i64>; 7] = read_numbers(fields)?;
            Ok(DecisionInputs::None)
        }
        1 => Ok(DecisionInputs::Entry(EntryInputs {
            age: fields.get()?,
            decided_before: fields.get()?,
            in_market: fields.get()?,
            with_leader: fields.get()?,
            in_account: fields.get()?,
            free: fields.get()?,
            account_cap: fields.get()?,
        })),
        2 => {
            let exit = ExitInputs { held: fields.get()?, target: fields.get()?, open_exits: fields.get()? };
            let basis = TargetBasis { ledger_through: fields.get()?, mark: fields.get()? };
            let _: [Option<i64>; 2] = read_numbers(fields)?;
            Ok(DecisionInputs::Exit(exit, basis))
        }
        other => Err(fields.corrupt(&format!("{other} is no kind of inputs"))),
    }
}

fn read_numbers<const N: usize>(fields: &mut Fields<'_>) -> StoreResult<[Option<i64>; N]> {
    let mut numbers = [None; N];
    for number in &mut numbers {
        *number = fields.get()?;
    }
    Ok(numbers)
}

fn read_verdict(fields: &mut Fields<'_>) -> StoreResult<Verdict> {
    let answer: i64 = fields.get()?;
    let side = match answer {
        COPY_BUY => Side::Buy,
        COPY_SELL => Side::Sell,
        code => {
            let [a, b, c, _] = read_numbers::<4>(fields)?.map(Option::unwrap_or_default);
            let reason = SkipReason::decode(code, [a, b, c]);
            return reason
                .map(Verdict::Skip)
                .ok_or_else(|| fields.corrupt(&format!("{code} is no reason to skip")));
        }
    };
    let (amount, limit, reserve) = (fields.get()?, fields.get()?, fields.get()?);
    let binding = match fields.get::<Option<i64>>()? {
        None => None,
        Some(code) => Some(
            Binding::from_code(code).ok_or_else(|| fields.corrupt(&format!("{code} is no binding rule")))?,
        ),
    };
    Ok(Verdict::Copy(CopyOrder { side, amount, limit, reserve, binding }))
}

/// A query of decisions.
macro_rules! select_decisions {
    ($rest:expr) => {
        concat!(
            "SELECT d.id, ",
            key_columns!(),
            ", d.part, d.relationship_id, d.owner_id, d.policy_version, d.decided_at, d.inputs, ",
            "d.input_1, d.input_2, d.input_3, d.input_4, d.input_5, d.input_6, d.input_7, ",
            "d.answer, d.number_1, d.number_2, d.number_3, d.number_4, i.id ",
            "FROM decisions d JOIN trade_groups g ON g.id = d.group_id LEFT JOIN intents i ON ",
            "i.group_id = d.group_id AND i.part = d.part AND i.relationship_id = d.relationship_id ",
            $rest
        )
    };
}

fn read(row: &Row) -> StoreResult<DecisionRecord> {
    let mut fields = Fields::of(row);
    let (id, key, part) = (fields.get()?, fields.get()?, fields.number()?);
    let (relationship, owner) = (fields.get()?, fields.get()?);
    let (policy_version, decided_at) = (fields.get()?, fields.get()?);
    Ok(DecisionRecord {
        id,
        key,
        part,
        relationship,
        owner,
        policy_version,
        decided_at,
        inputs: read_inputs(&mut fields)?,
        verdict: read_verdict(&mut fields)?,
        intent: fields.get()?,
    })
}

/// Decisions after a number, ascending.
pub(crate) async fn after(
    connection: &mut Connection,
    owner: Option<OwnerId>,
    after: i64,
    limit: usize,
) -> StoreResult<Vec<DecisionRecord>> {
    const AFTER: &str = select_decisions!("WHERE d.id > $1 ORDER BY d.id LIMIT $2");
    const OWNED: &str = select_decisions!("WHERE d.id > $1 AND d.owner_id = $3 ORDER BY d.id LIMIT $2");
    let rows = match owner {
        None => sql::rows(connection, AFTER, [Value::from(after), sql::limit(limit)]).await?,
        Some(owner) => {
            sql::rows(connection, OWNED, [Value::from(after), sql::limit(limit), owner.into()]).await?
        }
    };
    rows.iter().map(read).collect()
}

/// Decisions before a number, newest first.
pub(crate) async fn before(
    connection: &mut Connection,
    owner: Option<OwnerId>,
    before: i64,
    limit: usize,
) -> StoreResult<Vec<DecisionRecord>> {
    const BEFORE: &str = select_decisions!("WHERE d.id < $1 ORDER BY d.id DESC LIMIT $2");
    const OWNED: &str = select_decisions!("WHERE d.id < $1 AND d.owner_id = $3 ORDER BY d.id DESC LIMIT $2");
    let rows = match owner {
        None => sql::rows(connection, BEFORE, [Value::from(before), sql::limit(limit)]).await?,
        Some(owner) => {
            sql::rows(connection, OWNED, [Value::from(before), sql::limit(limit), owner.into()]).await?
        }
    };
    rows.iter().map(read).collect()
}

/// Decisions of a group, by part and relationship.
pub(crate) async fn of_group(
    connection: &mut Connection,
    owner: Option<OwnerId>,
    key: GroupKey,
) -> StoreResult<Vec<DecisionRecord>> {
    const OF_GROUP: &str = select_decisions!("WHERE d.group_id = $1 ORDER BY d.part, d.relationship_id");
    let Some(group) = groups::id(connection, key).await? else { return Ok(Vec::new()) };
    let rows = sql::rows(connection, OF_GROUP, values![group]).await?;
    let all: StoreResult<Vec<DecisionRecord>> = rows.iter().map(read).collect();
    let mut records = all?;
    records.retain(|record| owner.is_none_or(|owner| record.owner == owner));
    Ok(records)
}

/// What parts before `part` decided, by relationship.
pub(crate) async fn decided_before(
    connection: &mut Connection,
    key: GroupKey,
    part: u32,
) -> StoreResult<Vec<DecidedBefore>> {
    const BEFORE: &str = "SELECT relationship_id, CAST(SUM(number_1) AS BIGINT) FROM decisions \
        WHERE group_id = $1 AND part < $2 AND answer < 0 GROUP BY relationship_id ORDER BY relationship_id";
    let Some(group) = groups::id(connection, key).await? else { return Ok(Vec::new()) };
    let rows = sql::rows(connection, BEFORE, values![group, part]).await?;
    rows.iter()
        .map(|row| {
            let mut fields = Fields::of(row);
            Ok(DecidedBefore { relationship: RelationshipId(fields.get()?), amount: fields.get()? })
        })
        .collect()
}
