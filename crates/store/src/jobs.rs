//! Jobs as an operator sees them: what waits, what is set aside, what was given up, and who did that.
//!
//! Setting aside is a state of the work row: no worker loads it and the rescuer does not count it, whatever is in the queue.

use domain::{
    Side, Timestamp, TokenId,
    ids::{IntentId, OwnerId, RelationshipId},
};
use engine::ports::{
    detection::Lane,
    execution::EndReason,
    store::{Event, EventKind, StoreResult},
};

use crate::{
    SqlStore,
    bulk::Insert,
    codes::Code,
    column::{Coded, Column, Fields},
    dialect::{Connection, id_list},
    events, operator,
    sql::{self, Value, values},
    work,
};

/// Where a job is.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash, serde::Serialize)]
#[serde(rename_all = "snake_case")]
pub enum JobState {
    /// Waits for a worker.
    Waiting,
    /// Its order is signed, and its outcome not settled.
    Settling,
    /// Set aside by an operator.
    Quarantined,
    /// Failed too often, and waits for an operator.
    Dead,
}

impl Code for JobState {
    const NAME: &'static str = "JobState";
    const ALL: &'static [Self] = &[Self::Waiting, Self::Settling, Self::Quarantined, Self::Dead];
}

/// What an operator did with a job, or what became of it by itself.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash, serde::Serialize)]
#[serde(rename_all = "snake_case")]
pub enum JobAct {
    /// Set aside: no worker takes it.
    Quarantined,
    /// Put back to wait.
    Requeued,
    /// Given up for good.
    GivenUp,
    /// Failed too often: a dead letter, by no operator.
    Failed,
}

impl Code for JobAct {
    const NAME: &'static str = "JobAct";
    const ALL: &'static [Self] = &[Self::Quarantined, Self::Requeued, Self::GivenUp, Self::Failed];
}

/// A job that is not over.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Job {
    /// Its intent.
    pub intent: IntentId,
    /// Whose.
    pub owner: OwnerId,
    /// For which relationship.
    pub relationship: RelationshipId,
    /// Where it is.
    pub state: JobState,
    /// Its lane.
    pub lane: Lane,
    /// Buys or sells.
    pub side: Side,
    /// What.
    pub token: TokenId,
    /// Millionths of a dollar to buy for, of a share to sell.
    pub amount: i64,
    /// When it was decided.
    pub decided_at: Timestamp,
    /// When it is due.
    pub due: Timestamp,
    /// Orders signed for it.
    pub attempts: i64,
}

impl Column for Job {
    fn read(fields: &mut Fields<'_>) -> StoreResult<Self> {
        Ok(Self {
            intent: fields.get()?,
            owner: fields.get()?,
            relationship: fields.get()?,
            state: fields.code()?,
            lane: fields.code()?,
            side: fields.code()?,
            token: fields.get()?,
            amount: fields.get()?,
            decided_at: fields.get()?,
            due: fields.get()?,
            attempts: fields.get()?,
        })
    }
}

/// What was done with a job, by whom and why.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct JobNote {
    /// Which job.
    pub intent: IntentId,
    /// When.
    pub at: Timestamp,
    /// What.
    pub act: JobAct,
    /// By whom.
    pub who: String,
    /// Why.
    pub reason: String,
}

/// A job that failed too often and waits for an operator, or one that ended without an order: given up, never to be built, or
/// not signed.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct DeadLetter {
    /// Its intent.
    pub intent: IntentId,
    /// For which relationship.
    pub relationship: RelationshipId,
    /// When it ended, or what was done with it last.
    pub at: Timestamp,
    /// How it ended; `None` while it waits for an operator.
    pub reason: Option<EndReason>,
}

/// Which jobs an operator means.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Jobs {
    /// These.
    These(Vec<IntentId>),
    /// All of a lane, or of both.
    All(Option<Lane>),
}

impl SqlStore {
    /// How many jobs are where, by lane and state.
    ///
    /// # Errors
    /// When the database refuses.
    pub async fn count_jobs(&self) -> StoreResult<Vec<(Lane, JobState, i64)>> {
        const COUNT: &str =
            "SELECT lane, state, COUNT(*) FROM work GROUP BY lane, state ORDER BY lane, state";
        let rows = sql::rows(&mut self.read().await?, COUNT, []).await?;
        let read = |row| {
            let mut fields = Fields::of(row);
            Ok((fields.code()?, fields.code()?, fields.get()?))
        };
        rows.iter().map(read).collect()
    }

    /// Jobs in a state, by due time.
    ///
    /// # Errors
    /// When the database refuses.
    pub async fn jobs(&self, state: JobState, limit: usize) -> StoreResult<Vec<Job>> {
        const JOBS: &str = "SELECT i.id, i.owner_id, i.relationship_id, w.state, w.lane, i.side, i.token, i.amount, \
            i.decided_at, w.due, w.attempts FROM work w JOIN intents i ON i.id = w.intent_id \
            WHERE w.state = $1 ORDER BY w.due, i.id LIMIT $2";
        let values = [Value::from(Coded(state)), sql::limit(limit)];
        sql::rows(&mut self.read().await?, JOBS, values)
            .await?
            .iter()
            .map(|row| Fields::of(row).get())
            .collect()
    }

    /// One job; `None` when it is over or never was.
    ///
    /// # Errors
    /// When the database refuses; also when the job is one that cannot be read.
    pub async fn job(&self, intent: IntentId) -> StoreResult<Option<Job>> {
        const JOB: &str = "SELECT i.id, i.owner_id, i.relationship_id, w.state, w.lane, i.side, i.token, i.amount, \
            i.decided_at, w.due, w.attempts FROM work w JOIN intents i ON i.id = w.intent_id WHERE w.intent_id = $1";
        let job = sql::row(&mut self.read().await?, JOB, values![intent]).await?;
        job.map(|row| Fields::of(&row).get()).transpose()
    }

    /// What was done with a job, also with one that cannot be read.
    ///
    /// # Errors
    /// When the database refuses.
    pub async fn job_notes(&self, intent: IntentId) -> StoreResult<Vec<JobNote>> {
        const NOTES: &str =
            "SELECT intent_id, at, act, who, reason FROM queue_history WHERE intent_id = $1 ORDER BY id";
        let notes = sql::rows(&mut self.read().await?, NOTES, values![intent]).await?;
        let read = |row| {
            let mut fields = Fields::of(row);
            Ok(JobNote {
                intent: fields.get()?,
                at: fields.get()?,
                act: fields.code()?,
                who: fields.get()?,
                reason: fields.get()?,
            })
        };
        notes.iter().map(read).collect()
    }

    /// When and how a job ended; `None` for one that did not, or never was.
    ///
    /// # Errors
    /// When the database refuses.
    pub async fn job_end(&self, intent: IntentId) -> StoreResult<Option<(Timestamp, EndReason)>> {
        const END: &str = "SELECT at, reason FROM intent_ends WHERE intent_id = $1";
        let row = sql::row(&mut self.read().await?, END, values![intent]).await?;
        let read = |row| {
            let mut fields = Fields::of(&row);
            Ok((fields.get()?, fields.code()?))
        };
        row.map(read).transpose()
    }

    /// Does this with the jobs of those that are in the state for it; which. Who is done with already is left alone, so it
    /// may be said again. What was requeued waits as before: its age is judged when a worker takes it. Whoever is connected as
    /// an operator does it too, and is kept with it as the database knows it; `now` is the database's then.
    ///
    /// # Errors
    /// When the database refuses.
    pub async fn act_on_jobs(
        &self,
        act: JobAct,
        jobs: &Jobs,
        (who, reason): (&str, &str),
        now: Timestamp,
    ) -> StoreResult<Vec<IntentId>> {
        if operator::may_write_no_jobs(self).await? {
            return operator::act_on_jobs(self, act, jobs, (who, reason)).await;
        }
        let mut write = self.write().await?;
        // From any of these states.
        let (from, to) = match act {
            JobAct::Quarantined => ((JobState::Waiting, JobState::Waiting), JobState::Quarantined),
            _ => ((JobState::Quarantined, JobState::Dead), JobState::Waiting),
        };
        let found = select(write.connection(), from, jobs).await?;
        if found.is_empty() {
            return write.undo().await.map(|()| Vec::new());
        }
        let ids: Vec<IntentId> = found.iter().map(|(intent, _)| *intent).collect();
        set_state(write.connection(), &ids, to).await?;
        if act == JobAct::GivenUp {
            let ends: Vec<_> = ids.iter().map(|intent| (*intent, EndReason::GivenUp)).collect();
            work::end(write.connection(), &ends, now).await?;
        }
        note(write.connection(), &found, (act, who, reason), now).await?;
        let what = match act {
            JobAct::Quarantined => "set aside",
            JobAct::Requeued => "put back",
            JobAct::GivenUp | JobAct::Failed => "given up",
        };
        let what = format!("{} jobs {what} by {who}: {reason}", ids.len());
        let event = Event { owner: None, at: now, kind: EventKind::QueueChanged { what } };
        events::write(write.connection(), &[event]).await?;
        write.commit().await?;
        Ok(ids)
    }
}

async fn select(
    connection: &mut Connection,
    (first, last): (JobState, JobState),
    jobs: &Jobs,
) -> StoreResult<Vec<(IntentId, OwnerId)>> {
    const THESE: &str = concat!(
        "SELECT intent_id, owner_id FROM work WHERE +state >= $2 AND +state <= $3 AND intent_id",
        in_ids!("$1"),
        " ORDER BY intent_id",
        for_update!()
    );
    const ALL: &str = concat!(
        "SELECT intent_id, owner_id FROM work WHERE state >= $1 AND state <= $2 AND lane >= $3 AND lane <= $4 ORDER BY intent_id",
        for_update!()
    );
    let rows = match jobs {
        Jobs::These(ids) => {
            let list = id_list(ids.iter().map(|id| id.0));
            sql::rows(connection, THESE, values![list, Coded(first), Coded(last)]).await?
        }
        Jobs::All(lane) => {
            let (low, high) = lane.map_or((Lane::Exits, Lane::Entries), |lane| (lane, lane));
            sql::rows(connection, ALL, values![Coded(first), Coded(last), Coded(low), Coded(high)]).await?
        }
    };
    let read = |row| {
        let mut fields = Fields::of(row);
        Ok((fields.get()?, fields.get()?))
    };
    rows.iter().map(read).collect()
}

/// Puts jobs into a state, in which nothing has failed yet.
pub(crate) async fn set_state(
    connection: &mut Connection,
    ids: &[IntentId],
    state: JobState,
) -> StoreResult<()> {
    const SET: &str = concat!("UPDATE work SET state = $2, failures = 0 WHERE intent_id", in_ids!("$1"));
    let list = id_list(ids.iter().map(|id| id.0));
    sql::execute(connection, SET, values![list, Coded(state)]).await.map(drop)
}

/// Keeps what was done with jobs.
pub(crate) async fn note(
    connection: &mut Connection,
    found: &[(IntentId, OwnerId)],
    (act, who, reason): (JobAct, &str, &str),
    now: Timestamp,
) -> StoreResult<()> {
    const NOTE: Insert =
        Insert { into: "queue_history (intent_id, owner_id, at, act, who, reason)", then: "" };
    let row = |(intent, owner): &(IntentId, OwnerId)| values![*intent, *owner, now, Coded(act), who, reason];
    NOTE.run(connection, found.iter().map(row).collect()).await.map(drop)
}
