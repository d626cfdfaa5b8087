//! A database on a PostgreSQL server: its address, the pool of connections, the one writer.

use std::{fmt, str::FromStr, sync::Arc, time::Duration};

use engine::ports::store::{StoreError, StoreResult};
use sqlx::{
    ConnectOptions as _, Connection as _, PgConnection, Pool, Postgres, Row as _,
    pool::PoolConnection,
    postgres::{PgConnectOptions, PgPoolOptions},
};
use tokio::sync::{Mutex, OwnedMutexGuard};

use crate::{
    dialect::{Connection, Statements},
    error, installation, limits,
    pool::{Meter, PoolFigures},
    rewound::Remembered,
    server::{ServerTransaction, within},
    store::OpenError,
};

/// The lock that whoever writes holds until the transaction's end: any number that nobody else uses in this database,
/// the letters of "slip".
pub(crate) const WRITER: i64 = 1_936_484_720;

/// Where a database is, and as whom to work there. May hold a password: it is never printed.
#[derive(Clone)]
pub struct PostgresAddress {
    options: PgConnectOptions,
    connections: u32,
    /// How long any answer may take.
    patience: Duration,
    pooled: bool,
    migrates: bool,
}

/// How sessions of this program begin their name, by which an operator knows them in `pg_stat_activity`.
const NAME: &str = "slipstream";

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
        // A name that the address gives stands.
        let options = match options.get_application_name() {
            Some(_) => options,
            None => options.application_name(NAME),
        };
        let (options, connections) = (options.disable_statement_logging(), limits::POSTGRES_CONNECTIONS);
        Ok(Self { options, connections, patience: limits::ANSWER, pooled: false, migrates: true })
    }
}

impl PostgresAddress {
    /// Through a pooler that hands out connections for a transaction at a time, as PgBouncer does. The schema is then
    /// brought up to date by whoever connects past it.
    #[must_use]
    pub fn behind_a_pooler(mut self) -> Self {
        (self.pooled, self.migrates) = (true, false);
        self
    }

    /// With the schema that it has: for whoever works there beside others, who may be of another version.
    #[must_use]
    pub fn as_it_is(mut self) -> Self {
        self.migrates = false;
        self
    }

    /// For a role of the program, such as `worker`: its sessions are called so.
    #[must_use]
    pub fn named(mut self, role: &str) -> Self {
        self.options = self.options.application_name(&format!("{NAME}-{role}"));
        self
    }

    /// A connection of its own, for what takes long: it waits for others, but not for ever.
    pub(crate) async fn alone(&self, what: &str) -> Result<PgConnection, OpenError> {
        let limit = limits::LOCK_TIMEOUT.as_millis().to_string();
        let options = self.options.clone().application_name(&format!("{NAME}-{what}"));
        let options = options.options([
            ("lock_timeout", limit.as_str()),
            ("statement_timeout", "0"),
            ("idle_in_transaction_session_timeout", "0"),
        ]);
        Ok(within(self.patience, options.connect()).await?.map_err(error::of)?)
    }

    /// Nothing is waited for longer than this; without it, longer than the server itself lets a statement take.
    #[must_use]
    pub fn with_patience(mut self, patience: Duration) -> Self {
        self.patience = patience;
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
    meter: Meter,
    pub(crate) remembered: Remembered,
    /// Whose turn it is to write, in this process.
    writer: Arc<Mutex<()>>,
    patience: Duration,
    pooled: bool,
}

impl PostgresPool {
    /// Connects, and brings the schema up to date unless it is taken as it is, as it must be behind a pooler: that takes a
    /// connection of one's own.
    pub(crate) async fn connect(address: &PostgresAddress) -> Result<Self, OpenError> {
        let pooled = address.pooled;
        let options = if pooled {
            // A pooler takes no settings of a session: they would be another's next.
            address.options.clone().extra_float_digits(None).statement_cache_capacity(0)
        } else {
            address
                .options
                .clone()
                .options(limits().map(|(name, limit)| (name, limit.as_millis().to_string())))
        };
        // The pool would try for as long as anybody waits, and say only that they waited.
        let first = if address.migrates {
            // On a connection whose statements may take long.
            let mut alone = Connection::PostgresAlone(address.alone("migration").await?);
            installation::migrate(&mut alone, installation::STEPS).await?;
            match alone {
                Connection::PostgresAlone(alone) => Some(alone),
                _ => None,
            }
        } else {
            Some(within(address.patience, options.connect()).await?.map_err(error::of)?)
        };
        if let Some(first) = first {
            within(address.patience, first.close()).await?.map_err(error::of)?;
        }
        let pool = PgPoolOptions::new()
            .max_connections(address.connections)
            .acquire_timeout(limits::POOL_WAIT)
            // Asking would be a statement of its own.
            .test_before_acquire(!pooled)
            // One that still owes an answer gives it now, or is closed: the pool would wait for it for ever.
            .after_release(|connection, _| {
                Box::pin(async move {
                    let free = within(limits::RELEASE, is_free(connection)).await;
                    Ok(free.is_ok_and(|free| free.unwrap_or(false)))
                })
            })
            .connect_with(options)
            .await
            .map_err(error::of)?;
        let pool = Self {
            pool,
            meter: Meter::default(),
            remembered: Remembered::default(),
            writer: Arc::default(),
            patience: address.patience,
            pooled,
        };
        if !address.migrates {
            installation::check_current(&mut pool.read().await?).await?;
        }
        Ok(pool)
    }

    /// Closes all connections, those that are in use once they are not.
    pub(crate) async fn close(&self) -> StoreResult<()> {
        within(self.patience, self.pool.close()).await
    }

    /// Begins a transaction that writes, once nobody else does. Whoever waits for another one of this process takes no
    /// connection for that: they are left to those who read.
    pub(crate) async fn write(&self) -> StoreResult<Connection> {
        let turn = within(limits::LOCK_TIMEOUT, Arc::clone(&self.writer).lock_owned()).await;
        let turn = turn.map_err(|_| {
            let text = format!("others of this process have been writing for {:?}", limits::LOCK_TIMEOUT);
            StoreError::Unavailable(text)
        })?;
        // Commit 2 must see whoever paused before it got the lock, whatever the server's default is.
        let statement = format!(
            "BEGIN ISOLATION LEVEL READ COMMITTED READ WRITE; {}SELECT pg_advisory_xact_lock({WRITER})",
            self.limits()
        );
        self.begin(statement, Some(turn)).await
    }

    pub(crate) async fn read(&self) -> StoreResult<Connection> {
        if self.pooled {
            return self.snapshot().await;
        }
        let connection = self.acquire().await?;
        Ok(Connection::Postgres(connection, self.patience))
    }

    /// How the connections are used.
    pub(crate) fn figures(&self) -> PoolFigures {
        let limit = self.pool.options().get_max_connections();
        self.meter.figures(self.pool.size(), u32::try_from(self.pool.num_idle()).unwrap_or(u32::MAX), limit)
    }

    async fn acquire(&self) -> StoreResult<PoolConnection<Postgres>> {
        self.meter.measure(self.pool.acquire()).await.map_err(error::of)
    }

    pub(crate) async fn snapshot(&self) -> StoreResult<Connection> {
        self.begin(format!("BEGIN ISOLATION LEVEL REPEATABLE READ READ ONLY; {}", self.limits()), None).await
    }

    async fn begin(&self, statement: String, turn: Option<OwnedMutexGuard<()>>) -> StoreResult<Connection> {
        let statements = if self.pooled { Statements::Unnamed } else { Statements::Named };
        let (connection, how) = (self.acquire().await?, (statements, self.patience));
        let transaction = ServerTransaction::begin(connection, statement, how, turn).await?;
        Ok(Connection::PostgresTransaction(transaction))
    }

    /// The limits of a transaction, where the session does not have them.
    fn limits(&self) -> String {
        let set = |(name, limit): (&str, Duration)| format!("SET LOCAL {name} = {}; ", limit.as_millis());
        if self.pooled { limits().map(set).concat() } else { String::new() }
    }
}

/// Whether a connection that is given back is in no transaction. One whose beginning failed (the lock of whoever writes came
/// too late) or was not waited for may be open or aborted, and the driver does not know of it: whoever got the connection
/// next would fail, or keep the lock. In a transaction of its own, begun by this statement, both times are the same.
async fn is_free(connection: &mut PgConnection) -> Result<bool, sqlx::Error> {
    let row = sqlx::raw_sql("SELECT now() = statement_timestamp()").fetch_one(connection).await?;
    row.try_get(0)
}

/// What the server keeps a session of ours to.
fn limits() -> [(&'static str, Duration); 3] {
    [
        ("statement_timeout", limits::STATEMENT_TIMEOUT),
        ("lock_timeout", limits::LOCK_TIMEOUT),
        ("idle_in_transaction_session_timeout", limits::IDLE_IN_TRANSACTION),
    ]
}

impl Connection {
    /// Ends a transaction on PostgreSQL: everything of it is true.
    pub(crate) async fn commit(self) -> StoreResult<()> {
        match self {
            Self::PostgresTransaction(transaction) => transaction.commit().await,
            _ => Err(StoreError::Conflict("a connection without a transaction cannot commit".to_owned())),
        }
    }

    /// Ends a transaction on PostgreSQL: nothing of it is true.
    pub(crate) async fn undo(self) -> StoreResult<()> {
        match self {
            Self::PostgresTransaction(transaction) => transaction.undo().await,
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
