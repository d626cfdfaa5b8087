//! `slipstream export`: decisions, orders, the ledger and wallets' transactions as rows for other programs.

use domain::ids::IntentId;
use engine::ports::{store::Store, wallets::TransactionRecord};
use serde::{Deserialize, Serialize};
use serde_json::{Value, json};

use crate::commands::Answer;

/// Rows read at once.
const PAGE: usize = 1_000;
/// Transactions of wallets at most: each resolved market makes one for each account.
const TRANSACTIONS: usize = 1_000_000;

/// What can be exported.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize, clap::ValueEnum)]
#[serde(rename_all = "snake_case")]
pub enum Table {
    /// Every answer to a leader's trade.
    Decisions,
    /// Every order that was signed.
    Orders,
    /// Every change of cash and positions.
    Ledger,
    /// Every transaction by which a wallet redeemed, the newest first.
    Transactions,
}

/// The rows of a table: as CSV with a header, and as JSON.
///
/// # Errors
/// Store errors.
pub async fn answer(store: &dyn Store, table: Table) -> anyhow::Result<Answer> {
    let rows = match table {
        Table::Decisions => decisions(store).await?,
        Table::Orders => orders(store).await?,
        Table::Ledger => ledger(store).await?,
        Table::Transactions => transactions(store).await?,
    };
    let objects = rows.iter().map(|row| Value::from_iter(row.iter().cloned()));
    Ok(Answer { text: csv(&rows), json: Value::from_iter(objects), ok: true })
}

/// Columns in the order of the CSV; JSON has them by name.
type Row = Vec<(&'static str, Value)>;

/// A row: `row! { "column": value, … }`.
macro_rules! row {
    ($($column:literal : $value:expr),* $(,)?) => {
        vec![$(($column, json!($value))),*]
    };
}

async fn decisions(store: &dyn Store) -> anyhow::Result<Vec<Row>> {
    let (mut rows, mut after) = (Vec::new(), 0);
    loop {
        let page = store.decisions_after(None, after, PAGE).await?;
        for one in &page {
            after = one.id;
            let (answer, reason) = match one.verdict {
                domain::decide::Verdict::Copy(_) => ("copied", String::new()),
                domain::decide::Verdict::Skip(reason) => ("skipped", reason.to_string()),
            };
            rows.push(row! {
                "decision": one.id, "at": one.decided_at.to_string(), "relationship": one.relationship,
                "trade": one.key.tx, "token": one.key.token, "part": one.part, "answer": answer, "reason": reason,
                "intent": one.intent,
            });
        }
        if page.len() < PAGE {
            return Ok(rows);
        }
    }
}

async fn orders(store: &dyn Store) -> anyhow::Result<Vec<Row>> {
    let (mut rows, mut after) = (Vec::new(), IntentId(0));
    loop {
        let intents: Vec<IntentId> =
            store.intents_after(None, after, PAGE).await?.into_iter().map(|intent| intent.id).collect();
        for one in store.attempts_of(&intents).await? {
            rows.push(row! {
                "order": one.order.id, "signed_at": one.signed_at.to_string(), "intent": one.intent.id,
                "attempt": one.number, "account": one.intent.account.id, "relationship": one.intent.relationship,
                "token": one.intent.token, "side": one.intent.side, "state": one.state.label(),
                "shares": one.booked.shares, "cash": one.booked.cash, "fee": one.booked.fee,
            });
        }
        match intents.last() {
            Some(last) if intents.len() == PAGE => after = *last,
            _ => return Ok(rows),
        }
    }
}

async fn ledger(store: &dyn Store) -> anyhow::Result<Vec<Row>> {
    let (mut rows, mut after) = (Vec::new(), 0);
    loop {
        let page = store.ledger_after(None, after, PAGE).await?;
        for one in &page {
            after = one.id;
            rows.push(row! {
                "row": one.id, "at": one.at.to_string(), "account": one.account, "relationship": one.relationship,
                "token": one.token, "intent": one.intent, "cause": format!("{:?}", one.cause).to_lowercase(),
                "shares": one.entry.shares, "cash": one.entry.cash, "cost": one.entry.cost,
                "realised": one.entry.realised, "fee": one.entry.fee,
            });
        }
        if page.len() < PAGE {
            return Ok(rows);
        }
    }
}

async fn transactions(store: &dyn Store) -> anyhow::Result<Vec<Row>> {
    let newest = store.newest_transactions(None, TRANSACTIONS).await?;
    let of = |one: TransactionRecord| {
        row! {
            "transaction": one.id, "signed_at": one.signed_at.to_string(), "account": one.account.id,
            "wallet": one.account.wallet, "attempt": one.attempt, "nonce": one.transaction.nonce,
            "relayer_id": one.relayer_id, "tx": one.transaction.tx,
            "state": format!("{:?}", one.state).to_lowercase(), "reason": one.reason,
            "ended_at": one.ended_at.map(|at| at.to_string()),
        }
    };
    Ok(newest.into_iter().map(of).collect())
}

/// Rows as RFC 4180 has them; amounts are millionths, as in JSON.
fn csv(rows: &[Row]) -> String {
    let Some(first) = rows.first() else { return String::new() };
    let header: Vec<&str> = first.iter().map(|(name, _)| *name).collect();
    let mut out = header.join(",");
    for row in rows {
        out.push_str("\r\n");
        let fields: Vec<String> = row.iter().map(|(_, value)| field(value)).collect();
        out.push_str(&fields.join(","));
    }
    out
}

/// A field; what a spreadsheet would compute is kept a text.
fn field(value: &Value) -> String {
    let text = match value {
        Value::Null => String::new(),
        Value::String(text) if text.starts_with(['=', '+', '-', '@']) => format!("'{text}"),
        Value::String(text) => text.clone(),
        other => other.to_string(),
    };
    if text.contains([',', '"', '\n', '\r']) { format!("\"{}\"", text.replace('"', "\"\"")) } else { text }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn fields_are_quoted_where_they_must_be() {
        let rows = [row! { "b": "x, \"y\"", "a": Value::Null, "c": -5, "d": "=1+1" }];
        assert_eq!(csv(&rows), "b,a,c,d\r\n\"x, \"\"y\"\"\",,-5,'=1+1");
        assert_eq!(csv(&[]), "");
    }
}
