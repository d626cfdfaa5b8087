//! A server may vanish without a word: its machine fails, or is cut off. Nobody waits for it longer than it takes to answer.

use std::{future::Future, time::Duration};

use engine::ports::store::{StoreError, StoreResult};
use sqlx::{AssertSqlSafe, Postgres, SqlSafeStr as _, Transaction, pool::PoolConnection};
use tokio::sync::OwnedMutexGuard;

use crate::{
    dialect::{Database, Statements},
    error,
};

/// A transaction on a server. Dropping it undoes it.
pub(crate) struct ServerTransaction {
    transaction: Transaction<'static, Postgres>,
    session: Session,
    /// The turn to write, which lasts as long as the transaction.
    turn: Option<OwnedMutexGuard<()>>,
}

impl ServerTransaction {
    /// Begins one with this statement, which is made of constants.
    pub(crate) async fn begin(
        connection: PoolConnection<Postgres>,
        statement: String,
        (statements, patience): (Statements, Duration),
        turn: Option<OwnedMutexGuard<()>>,
    ) -> StoreResult<Self> {
        let begin = Transaction::begin(connection, Some(AssertSqlSafe(statement).into_sql_str()));
        let transaction = within(patience, begin).await?.map_err(error::of_begin)?;
        Ok(Self { transaction, session: Session { statements, patience: Some(patience) }, turn })
    }

    /// The driver's connection.
    pub(crate) fn database(&mut self) -> Database<'_> {
        Database::Postgres(&mut self.transaction, self.session)
    }

    /// Makes everything of it true.
    pub(crate) async fn commit(self) -> StoreResult<()> {
        let Self { transaction, session, turn: _turn } = self;
        let committed = session.answer(transaction.commit()).await;
        let committed = committed.map_err(|silence| StoreError::OutcomeUnknown(silence.to_string()))?;
        committed.map_err(error::of_commit)
    }

    /// Ends it without a change.
    pub(crate) async fn undo(self) -> StoreResult<()> {
        let Self { transaction, session, turn: _turn } = self;
        session.wait(transaction.rollback()).await
    }
}

/// What there is to know of a session on a server.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Session {
    pub(crate) statements: Statements,
    /// How long an answer may take; on a connection of nobody's pool as long as it takes.
    pub(crate) patience: Option<Duration>,
}

impl Session {
    /// On a connection of nobody's pool.
    pub(crate) const ALONE: Self = Self { statements: Statements::Named, patience: None };

    /// On a connection of the pool.
    pub(crate) const fn within(patience: Duration) -> Self {
        Self { statements: Statements::Named, patience: Some(patience) }
    }

    /// Waits for an answer. A connection that owes one when nobody waits any more is closed, or has given it before
    /// anybody else gets it (`PostgresPool::connect`).
    async fn answer<T>(&self, answer: impl Future<Output = T>) -> StoreResult<T> {
        match self.patience {
            Some(patience) => within(patience, answer).await,
            None => Ok(answer.await),
        }
    }

    /// The same of a statement of which nothing is true if it fails.
    pub(crate) async fn wait<T>(
        &self,
        answer: impl Future<Output = Result<T, sqlx::Error>>,
    ) -> StoreResult<T> {
        self.answer(answer).await?.map_err(error::of)
    }
}

/// Waits no longer than this for a server.
pub(crate) async fn within<T>(patience: Duration, answer: impl Future<Output = T>) -> StoreResult<T> {
    #[expect(
        clippy::disallowed_methods,
        reason = "a server is waited for by this machine's time, whatever else is simulated"
    )]
    let answer = tokio::time::timeout(patience, answer).await;
    answer.map_err(|_| StoreError::Unavailable(format!("the database did not answer within {patience:?}")))
}
