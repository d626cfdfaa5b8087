//! The bare parts of a team: what the servers take for next to nothing, as their own programs measure it.

use std::time::Duration;

use super::stack::{DATABASE, Servers};

/// A table as narrow as the work table, with one index.
const TABLE: &str = "CREATE TABLE bare (id bigint PRIMARY KEY GENERATED ALWAYS AS IDENTITY, state int NOT NULL, \
     lane int NOT NULL, due bigint NOT NULL, lease bigint, fence bigint NOT NULL)";
const ONE: &str = "INSERT INTO bare (state, lane, due, fence) VALUES (0, 1, 1, 0);\n";
/// Rows of the many.
const ROWS: u32 = 500;
const ONES: u32 = 500;
const MANIES: u32 = 40;

/// What they take.
#[derive(Clone, Copy, Debug)]
pub(in crate::bench) struct Bare {
    /// A row in a commit of its own.
    pub(in crate::bench) commit: Duration,
    /// A row of many in one statement.
    pub(in crate::bench) row: Duration,
    /// An id into a Redis list, and one out of it.
    pub(in crate::bench) push: Duration,
    pub(in crate::bench) pop: Duration,
}

/// Measures, in a new database.
pub(in crate::bench) fn measure(servers: &Servers) -> anyhow::Result<Bare> {
    servers.database()?;
    servers.postgres.run(DATABASE, TABLE)?;
    let many = format!(
        "INSERT INTO bare (state, lane, due, fence) SELECT 0, 1, n, 0 FROM generate_series(1, {ROWS}) AS n;\n"
    );
    let commit = servers.postgres.transaction_time(DATABASE, ONE, ONES)?;
    let row = servers.postgres.transaction_time(DATABASE, &many, MANIES)? / ROWS;
    let [push, pop] = servers.redis.command_times()?;
    Ok(Bare { commit, row, push, pop })
}
