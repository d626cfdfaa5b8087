//! Keys of `[database]` and `[queue]`: the servers of an installation that many processes share.

use std::ops::RangeInclusive;

use super::{
    Key,
    Sample::{Default as Or, Example},
    key,
};
use crate::configuration::{
    kind::Kind,
    server_url::{Server, ServerUrl},
};

/// Connections to the database that a process may have.
const CONNECTIONS: RangeInclusive<u16> = 2..=200;

/// `[database]`
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct DatabaseSettings {
    /// The database; without it a file in the data directory.
    pub url: Option<ServerUrl>,
    /// The same database through a pooler.
    pub pooled_url: Option<ServerUrl>,
    /// Connections of each process.
    pub connections: u16,
}

/// `[queue]`
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct QueueSettings {
    /// The server; without it the queue is in the process.
    pub url: Option<ServerUrl>,
}

/// Keys of `[database]`.
pub const DATABASE: &[Key<DatabaseSettings>] = &[
    key(
        "url",
        Example("postgres://slipstream@db.example/slipstream"),
        Kind::Server(Server::Postgres, |database, url| database.url = Some(url)),
        "The PostgreSQL database that all processes of an installation share; then [queue] url is wanted too. Without it: a \
         file in the data directory, for one process. PRODUCTION_DATABASE_URL is another name of the variable; both with \
         different values are refused. A password may be in the address, in the file it is kept in, or in ~/.pgpass.",
    ),
    key(
        "pooled_url",
        Example("postgres://slipstream@pooler.example:6432/slipstream"),
        Kind::Server(Server::Postgres, |database, url| database.pooled_url = Some(url)),
        "The same database through a pooler that lends a connection for each transaction, as PgBouncer does. Processes work \
         through it; what must not go through one, bringing the schema up to date, takes `url`.",
    ),
    key(
        "connections",
        Or("8"),
        Kind::Count(CONNECTIONS, |database, value| database.connections = value),
        "The most connections to the PostgreSQL database that one process has.",
    ),
];

/// Keys of `[queue]`.
pub const QUEUE: &[Key<QueueSettings>] = &[key(
    "url",
    Example("redis://cache.example:6379/0"),
    Kind::Server(Server::Redis, |queue, url| queue.url = Some(url)),
    "The Redis server on which orders wait for workers of all processes. It may lose everything at any time: what waits is in \
     the database. Without it: the queue is in the process, beside a database that is a file.",
)];
