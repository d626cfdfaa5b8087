//! A database on a PostgreSQL server: its address, the pool of connections, the one writer.

use std::{fmt, str::FromStr};

use engine::ports::store::{StoreError, StoreResult};
use sqlx::{
    ConnectOptions as _, Pool, Postgres,
    postgres::{PgConnectOptions, PgPoolOptions},
};

use crate::{
    dialect::{Connection, SNAPSHOT_ON_POSTGRES},
    error, installation, limits,
    store::OpenError,
};

/// Begins a transaction that writes, under the lock that whoever writes holds until the transaction's end. Its number is
/// any that nobody else uses in this database: the letters of "slip".
const BEGIN_ON_POSTGRES: &str = "BEGIN; SELECT pg_advisory_xact_lock(1936484720)";

/// Where a database is, and as whom to work there. May hold a password: it is never printed.
#[derive(Clone)]
pub struct PostgresAddress {
    options: PgConnectOptions,
    connections: u32,
}

impl fmt::Debug for PostgresAddress {
    fn fmt(&self, formatter: &mut fmt::Formatter<'_>) -> fmt::Result {
        let (host, port) = (self.options.get_host(), self.options.get_port());
        write!(formatter, "{host}:{port}/{}", self.options.get_database().unwrap_or_default())
    }
}

/// A text that names no PostgreSQL database. It is not shown: a password may be in it.
#[derive(Debug, thiserror::Error)]
#[error("it is no address of a PostgreSQL database (postgres://user:password@host:port/database): {why}")]
pub struct BadAddress {
    why: String,
}

impl FromStr for PostgresAddress {
    type Err = BadAddress;

    fn from_str(url: &str) -> Result<Self, BadAddress> {
        if !(url.starts_with("postgres://") || url.starts_with("postgresql://")) {
            return Err(BadAddress { why: "it does not begin with postgres://".to_owned() });
        }
        let options =
            PgConnectOptions::from_str(url).map_err(|error| BadAddress { why: error.to_string() })?;
        Ok(Self { options: options.disable_statement_logging(), connections: limits::POSTGRES_CONNECTIONS })
    }
}

impl PostgresAddress {
    /// As whom this process shows itself to the server: `slipstream-worker`, say.
    #[must_use]
    pub fn named(mut self, application: &str) -> Self {
        self.options = self.options.application_name(application);
        self
    }

    /// With at most so many connections.
    #[must_use]
    pub fn with_connections(mut self, connections: u32) -> Self {
        self.connections = connections;
        self
    }
}

/// Connections to the database.
pub(crate) struct PostgresPool {
    pool: Pool<Postgres>,
}

impl PostgresPool {
    /// Connects and brings the schema up to date.
    pub(crate) async fn connect(address: &PostgresAddress) -> Result<Self, OpenError> {
        let milliseconds = |limit: std::time::Duration| limit.as_millis().to_string();
        let options = address.options.clone().options([
            ("statement_timeout", milliseconds(limits::STATEMENT_TIMEOUT)),
            ("lock_timeout", milliseconds(limits::LOCK_TIMEOUT)),
            ("idle_in_transaction_session_timeout", milliseconds(limits::IDLE_IN_TRANSACTION)),
        ]);
        let pool = PgPoolOptions::new()
            .max_connections(address.connections)
            .acquire_timeout(limits::POOL_WAIT)
            .connect_with(options)
            .await
            .map_err(error::of)?;
        let mut connection = Connection::Postgres(pool.acquire().await.map_err(error::of)?);
        installation::migrate(&mut connection).await?;
        Ok(Self { pool })
    }

    pub(crate) async fn close(&self) {
        self.pool.close().await;
    }

    /// Begins a transaction that writes, once nobody else does.
    pub(crate) async fn write(&self) -> StoreResult<Connection> {
        let begun = self.pool.begin_with(BEGIN_ON_POSTGRES).await;
        begun.map(Connection::PostgresTransaction).map_err(error::of)
    }

    pub(crate) async fn read(&self) -> StoreResult<Connection> {
        self.pool.acquire().await.map(Connection::Postgres).map_err(error::of)
    }

    pub(crate) async fn snapshot(&self) -> StoreResult<Connection> {
        let begun = self.pool.begin_with(SNAPSHOT_ON_POSTGRES).await;
        begun.map(Connection::PostgresTransaction).map_err(error::of)
    }
}

impl Connection {
    /// Ends a transaction on PostgreSQL: everything of it is true.
    pub(crate) async fn commit(self) -> StoreResult<()> {
        match self {
            Self::PostgresTransaction(transaction) => transaction.commit().await.map_err(error::of_commit),
            _ => Err(StoreError::Conflict("a connection without a transaction cannot commit".to_owned())),
        }
    }

    /// Ends a transaction on PostgreSQL: nothing of it is true.
    pub(crate) async fn undo(self) -> StoreResult<()> {
        match self {
            Self::PostgresTransaction(transaction) => transaction.rollback().await.map_err(error::of),
            _ => Ok(()),
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn an_address_is_read_and_its_password_is_never_shown() {
        let address: PostgresAddress = "postgres://app:hunter2@db.example:5433/slipstream".parse().unwrap();
        let shown = format!("{address:?}");
        assert_eq!(shown, "db.example:5433/slipstream");
        for wrong in
            ["", "mysql://a/b", "postgres//x", "postgres://host:port/x", "postgres://u:hunter2@h:99999/d"]
        {
            let error = wrong.parse::<PostgresAddress>().unwrap_err().to_string();
            assert!(!error.contains("hunter2"), "{error}");
        }
    }
}
