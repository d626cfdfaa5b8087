//! Jobs that fail for reasons of their own: how often is counted on the work row, and one that fails too often is set aside as
//! a dead letter, so that it is in nobody's way.

use std::collections::HashMap;

use async_trait::async_trait;
use domain::{
    Timestamp,
    ids::{IntentId, OwnerId},
};
use engine::ports::{
    dead_letters::{DeadLetters, FailedIntent},
    store::{Event, EventKind, InstanceId, StoreResult},
};

use crate::{
    SqlStore,
    column::Fields,
    dialect::{Connection, id_list},
    events, instances,
    jobs::{DeadLetter, JobAct, JobState, note, set_state},
    sql::{self, values},
};

#[async_trait]
impl DeadLetters for SqlStore {
    async fn count_failures(
        &self,
        holder: &InstanceId,
        intents: &[IntentId],
        now: Timestamp,
    ) -> StoreResult<Vec<FailedIntent>> {
        let mut write = self.write().await?;
        instances::running(write.connection(), holder, now).await?;
        let failed = count(write.connection(), intents).await?;
        write.commit().await?;
        Ok(failed)
    }

    async fn not_over(&self, intents: &[IntentId]) -> StoreResult<Vec<IntentId>> {
        const OPEN: &str = concat!(
            "SELECT intent_id FROM work WHERE +state <> 1 AND intent_id",
            in_ids!("$1"),
            " ORDER BY intent_id"
        );
        let list = id_list(intents.iter().map(|id| id.0));
        let rows = sql::rows(&mut self.read().await?, OPEN, values![list]).await?;
        rows.iter().map(|row| Fields::of(row).get()).collect()
    }

    async fn bury(
        &self,
        holder: &InstanceId,
        letters: &[(FailedIntent, String)],
        now: Timestamp,
    ) -> StoreResult<usize> {
        let mut write = self.write().await?;
        instances::running(write.connection(), holder, now).await?;
        let buried = bury(write.connection(), holder, letters, now).await?;
        write.commit().await?;
        Ok(buried)
    }
}

/// Counts a failure of each of these that wait.
async fn count(connection: &mut Connection, intents: &[IntentId]) -> StoreResult<Vec<FailedIntent>> {
    const COUNT: &str = concat!(
        "UPDATE work SET failures = failures + 1 WHERE +state = 0 AND intent_id",
        in_ids!("$1"),
        " RETURNING intent_id, lane, failures"
    );
    let rows = sql::rows(connection, COUNT, values![id_list(intents.iter().map(|id| id.0))]).await?;
    let read = |row| {
        let mut fields = Fields::of(row);
        let (intent, lane) = (fields.get()?, fields.code()?);
        Ok((intent, FailedIntent { intent, lane, failures: fields.number()? }))
    };
    let mut failed: HashMap<IntentId, FailedIntent> = rows.iter().map(read).collect::<StoreResult<_>>()?;
    Ok(intents.iter().filter_map(|intent| failed.remove(intent)).collect())
}

/// Makes dead letters of those that wait; how many.
async fn bury(
    connection: &mut Connection,
    holder: &InstanceId,
    letters: &[(FailedIntent, String)],
    now: Timestamp,
) -> StoreResult<usize> {
    const WAIT: &str = concat!(
        "SELECT intent_id, owner_id FROM work WHERE +state = 0 AND intent_id",
        in_ids!("$1"),
        for_update!()
    );
    let list = id_list(letters.iter().map(|(letter, _)| letter.intent.0));
    let mut owners: HashMap<IntentId, OwnerId> = HashMap::new();
    for row in sql::rows(connection, WAIT, values![list]).await? {
        let mut fields = Fields::of(&row);
        owners.insert(fields.get()?, fields.get()?);
    }
    let mut told = Vec::with_capacity(owners.len());
    for (FailedIntent { intent, lane, failures }, why) in letters {
        let Some(owner) = owners.get(intent) else { continue };
        note(connection, &[(*intent, *owner)], (JobAct::Failed, holder.0.as_str(), why.as_str()), now)
            .await?;
        let (intent, lane, failures, why) = (*intent, *lane, *failures, why.clone());
        let kind = EventKind::DeadLetter { intent, lane, failures, why };
        told.push(Event { owner: Some(*owner), at: now, kind });
    }
    let buried: Vec<IntentId> = owners.into_keys().collect();
    set_state(connection, &buried, JobState::Dead).await?;
    events::write(connection, &told).await?;
    Ok(buried.len())
}

impl SqlStore {
    /// Jobs that failed too often and wait for an operator, then those that ended without an order; the newest of each first.
    ///
    /// # Errors
    /// When the database refuses.
    pub async fn dead_letters(&self, limit: usize) -> StoreResult<Vec<DeadLetter>> {
        const DEAD: &str = "SELECT intent_id, relationship_id, at, reason FROM ( \
                SELECT w.intent_id, i.relationship_id, 0 AS ended, CAST(NULL AS BIGINT) AS reason, \
                    (SELECT MAX(h.at) FROM queue_history h WHERE h.intent_id = w.intent_id) AS at \
                FROM work w JOIN intents i ON i.id = w.intent_id WHERE w.state = 3 \
                UNION ALL \
                SELECT e.intent_id, i.relationship_id, 1, e.reason, e.at \
                FROM intent_ends e JOIN intents i ON i.id = e.intent_id WHERE e.reason IN (2, 4, 5) \
            ) AS dead ORDER BY ended, at DESC, intent_id DESC LIMIT $1";
        let rows = sql::rows(&mut self.read().await?, DEAD, [sql::limit(limit)]).await?;
        let read = |row| {
            let mut fields = Fields::of(row);
            Ok(DeadLetter {
                intent: fields.get()?,
                relationship: fields.get()?,
                at: fields.get()?,
                reason: fields.maybe_code()?,
            })
        };
        rows.iter().map(read).collect()
    }
}
