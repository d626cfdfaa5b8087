//! Words of operators that all processes go by: feature flags, and silences of alerts.

use async_trait::async_trait;
use domain::Timestamp;
use engine::ports::store::{Event, EventKind, StoreError, StoreResult};
use operations::{
    alerts::Silence,
    flags::Flag,
    ports::{NotKept, OperatorWords},
};

use crate::{
    SqlStore,
    column::{Column, Fields},
    events,
    sql::{self, values},
};

impl Column for Flag {
    fn read(fields: &mut Fields<'_>) -> StoreResult<Self> {
        let (name, percent, at): (String, i64, Timestamp) = (fields.get()?, fields.get()?, fields.get()?);
        let bad = |_| StoreError::Corrupt(format!("flag {name} lets {percent} % through"));
        let percent = u8::try_from(percent).map_err(bad)?;
        Ok(Self { name, percent, at, who: fields.get()?, reason: fields.get()? })
    }
}

impl Column for Silence {
    fn read(fields: &mut Fields<'_>) -> StoreResult<Self> {
        Ok(Self { rule: fields.get()?, until: fields.get()?, who: fields.get()?, reason: fields.get()? })
    }
}

fn not_kept(error: StoreError) -> NotKept {
    NotKept(error.to_string())
}

impl SqlStore {
    async fn say_flag(&self, flag: &Flag) -> StoreResult<()> {
        const SET: &str = "INSERT INTO flags (name, percent, set_at, who, reason) VALUES ($1, $2, $3, $4, $5) \
            ON CONFLICT (name) DO UPDATE SET percent = excluded.percent, set_at = excluded.set_at, \
            who = excluded.who, reason = excluded.reason";
        let Flag { name, percent, at, who, reason } = flag;
        let mut write = self.write().await?;
        let values = values![name.as_str(), i64::from(*percent), *at, who.as_str(), reason.as_str()];
        sql::execute(write.connection(), SET, values).await?;
        let what = format!("flag {name} lets {percent} % through, says {who}: {reason}");
        let event = Event { owner: None, at: *at, kind: EventKind::Operated { what } };
        events::write(write.connection(), &[event]).await?;
        write.commit().await
    }

    async fn say_silence(&self, silence: &Silence, now: Timestamp) -> StoreResult<()> {
        const SET: &str = "INSERT INTO silences (rule, until, who, reason) VALUES ($1, $2, $3, $4) \
            ON CONFLICT (rule) DO UPDATE SET until = excluded.until, who = excluded.who, reason = excluded.reason";
        let Silence { rule, until, who, reason } = silence;
        let mut write = self.write().await?;
        let values = values![rule.as_str(), *until, who.as_str(), reason.as_str()];
        sql::execute(write.connection(), SET, values).await?;
        let what = match *until > now {
            true => format!("alert {rule} is silenced until {until}, says {who}: {reason}"),
            false => format!("alert {rule} is not silenced any more, says {who}: {reason}"),
        };
        let event = Event { owner: None, at: now, kind: EventKind::Operated { what } };
        events::write(write.connection(), &[event]).await?;
        write.commit().await
    }

    async fn said<T: Column>(&self, text: &'static str, now: Option<Timestamp>) -> StoreResult<Vec<T>> {
        let mut read = self.read().await?;
        let rows = match now {
            Some(now) => sql::rows(&mut read, text, values![now]).await?,
            None => sql::rows(&mut read, text, []).await?,
        };
        rows.iter().map(|row| Fields::of(row).get()).collect()
    }
}

#[async_trait]
impl OperatorWords for SqlStore {
    async fn flags(&self) -> Result<Vec<Flag>, NotKept> {
        const FLAGS: &str = "SELECT name, percent, set_at, who, reason FROM flags ORDER BY name";
        self.said(FLAGS, None).await.map_err(not_kept)
    }

    async fn set_flag(&self, flag: &Flag) -> Result<(), NotKept> {
        self.say_flag(flag).await.map_err(not_kept)
    }

    async fn silences(&self, now: Timestamp) -> Result<Vec<Silence>, NotKept> {
        const SILENCES: &str = "SELECT rule, until, who, reason FROM silences WHERE until > $1 ORDER BY rule";
        self.said(SILENCES, Some(now)).await.map_err(not_kept)
    }

    async fn silence(&self, silence: &Silence, now: Timestamp) -> Result<(), NotKept> {
        self.say_silence(silence, now).await.map_err(not_kept)
    }
}
