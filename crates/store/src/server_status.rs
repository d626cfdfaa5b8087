//! What a PostgreSQL server is doing for this program. Reads, and judges nothing.

use engine::ports::store::{StoreError, StoreResult};
use serde::Serialize;

use crate::{
    column::Fields,
    dialect::Connection,
    installation,
    postgres::{PostgresAddress, WRITER},
    sql::{self, values},
    store::OpenError,
};

/// A server, and this database on it.
#[derive(Clone, Debug, PartialEq, Eq, Serialize)]
pub struct ServerStatus {
    /// The server's version.
    pub version: String,
    /// Whether the session that asked was encrypted.
    pub encrypted: bool,
    /// Whether it only follows another server.
    pub standby: bool,
    /// The database's schema; `None` where there is none.
    pub schema: Option<i64>,
    /// The version of this program that brought it up to date.
    pub software: Option<String>,
    /// Bytes of the database.
    pub bytes: u64,
    /// Connections that the server has at most.
    pub most_connections: i64,
    /// Those of them that only superusers get, and members of a role since PostgreSQL 16.
    pub reserved: i64,
    /// Connections of all databases now.
    pub connections: i64,
    /// Sessions in this database, by name, role and state; the state of others' is not told to everybody.
    pub sessions: Vec<Sessions>,
    /// Age of the oldest transaction in this database, in seconds.
    pub oldest_transaction: Option<i64>,
    /// Sessions that wait for a lock.
    pub waiting: i64,
    /// Who writes at this moment.
    pub writer: Option<String>,
    /// Roles of this program that are there, with the connections each may have and has.
    pub roles: Vec<RoleConnections>,
}

/// Sessions of one kind.
#[derive(Clone, Debug, PartialEq, Eq, Serialize)]
pub struct Sessions {
    /// `slipstream-worker` and the like.
    pub name: String,
    /// As whom.
    pub role: String,
    /// As `pg_stat_activity` has it.
    pub state: String,
    /// How many.
    pub count: i64,
}

/// What a role may have and has.
#[derive(Clone, Debug, PartialEq, Eq, Serialize)]
pub struct RoleConnections {
    /// Its name.
    pub role: String,
    /// The most, of all databases; -1 = any number.
    pub limit: i64,
    /// Now.
    pub used: i64,
}

/// Asks a server, on a connection of its own.
///
/// # Errors
/// [`OpenError`].
pub async fn server_status(address: &PostgresAddress) -> Result<ServerStatus, OpenError> {
    let mut connection = Connection::PostgresAlone(address.alone("status").await?);
    let stored = match installation::stored(&mut connection, installation::STEPS).await {
        // That it is newer is told by its number.
        Err(OpenError::NewerSchema { found, found_software, .. }) => Some((found, found_software)),
        other => other?,
    };
    let (schema, software) = stored.unzip();
    Ok(read(&mut connection, schema, software).await?)
}

async fn read(
    connection: &mut Connection,
    schema: Option<i64>,
    software: Option<String>,
) -> StoreResult<ServerStatus> {
    const SERVER: &str = "SELECT current_setting('server_version'), \
        CAST(COALESCE((SELECT ssl FROM pg_stat_ssl WHERE pid = pg_backend_pid()), false) AS INT), \
        CAST(pg_is_in_recovery() AS INT), pg_database_size(current_database()), \
        CAST(current_setting('max_connections') AS BIGINT), \
        (SELECT COALESCE(SUM(CAST(setting AS BIGINT)), 0)::bigint FROM pg_settings \
            WHERE name IN ('superuser_reserved_connections', 'reserved_connections')), \
        (SELECT COUNT(*) FROM pg_stat_activity WHERE datname IS NOT NULL), \
        (SELECT CAST(MAX(extract(epoch FROM clock_timestamp() - xact_start)) AS BIGINT) FROM pg_stat_activity \
            WHERE datname = current_database() AND pid <> pg_backend_pid()), \
        (SELECT COUNT(*) FROM pg_stat_activity WHERE datname = current_database() AND wait_event_type = 'Lock'), \
        (SELECT a.application_name || ' (' || a.usename || ', session ' || a.pid || ')' FROM pg_locks l \
            JOIN pg_stat_activity a ON a.pid = l.pid WHERE l.locktype = 'advisory' AND l.granted \
            AND l.objid = CAST(CAST($1 AS BIGINT) AS OID) AND a.datname = current_database() LIMIT 1)";
    const SESSIONS: &str = "SELECT application_name, usename::text, COALESCE(state, '?'), COUNT(*) FROM pg_stat_activity \
        WHERE datname = current_database() AND pid <> pg_backend_pid() GROUP BY 1, 2, 3 ORDER BY 4 DESC, 1, 2, 3";
    const ROLES: &str = "SELECT r.rolname::text, CAST(r.rolconnlimit AS BIGINT), \
        (SELECT COUNT(*) FROM pg_stat_activity a WHERE a.usename = r.rolname) FROM pg_roles r WHERE r.rolname \
        IN ('slipstream_app', 'slipstream_readonly', 'ops_operator', 'slipstream_migration') ORDER BY r.rolname";
    let row = sql::row(connection, SERVER, values![WRITER]).await?;
    let row = row.ok_or_else(|| StoreError::Unavailable("the server said nothing of itself".to_owned()))?;
    let mut server = Fields::of(&row);
    let mut status = ServerStatus {
        version: server.get()?,
        encrypted: server.get()?,
        standby: server.get()?,
        schema,
        software,
        bytes: server.number()?,
        most_connections: server.get()?,
        reserved: server.get()?,
        connections: server.get()?,
        oldest_transaction: server.get()?,
        waiting: server.get()?,
        writer: server.get()?,
        sessions: Vec::new(),
        roles: Vec::new(),
    };
    for row in sql::rows(connection, SESSIONS, []).await? {
        let mut of = Fields::of(&row);
        let (name, role, state, count) = (of.get()?, of.get()?, of.get()?, of.get()?);
        status.sessions.push(Sessions { name, role, state, count });
    }
    for row in sql::rows(connection, ROLES, []).await? {
        let mut of = Fields::of(&row);
        status.roles.push(RoleConnections { role: of.get()?, limit: of.get()?, used: of.get()? });
    }
    Ok(status)
}
