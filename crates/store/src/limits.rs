//! Every limit of the store.

use std::time::Duration;

/// Read connections. Reads never wait for the writer.
pub(crate) const READERS: u32 = 4;
/// How long a statement waits for a lock of somebody else (an operator's shell, a backup).
pub(crate) const BUSY_TIMEOUT: Duration = Duration::from_secs(5);
/// Page cache of the writer, in KiB.
pub(crate) const WRITER_CACHE_KIB: i64 = 64 * 1_024;
/// Page cache of each reader, in KiB.
pub(crate) const READER_CACHE_KIB: i64 = 8 * 1_024;
/// Pages in the write-ahead log (of 4 KiB) before they are copied into the database.
pub(crate) const CHECKPOINT_PAGES: i64 = 4_000;
/// Prepared statements kept by the writer: every statement there is, bulk inserts in all their sizes.
pub(crate) const WRITER_STATEMENTS: usize = 500;
/// Prepared statements kept by each reader.
pub(crate) const READER_STATEMENTS: usize = 150;
/// Rows of one bulk insert. What is left over goes in powers of two, so that the statements are few and
/// stay prepared.
pub(crate) const BULK_ROWS: usize = 128;
/// Block headers kept below the newest: hours, where reorganisations span seconds.
pub(crate) const HEADERS_KEPT: i64 = 10_000;
/// Places of damage that an examination tells.
pub(crate) const DAMAGES_TOLD: usize = 10;
/// Rows of one bulk insert on PostgreSQL, where any number is one statement: some MB at most.
pub(crate) const BULK_ROWS_ON_POSTGRES: usize = 2_000;
/// Connections to PostgreSQL of one process unless it is said otherwise.
pub(crate) const POSTGRES_CONNECTIONS: u32 = 8;
/// How long anybody waits for a connection of the pool. Shorter than the deadline for sending an entry.
pub(crate) const POOL_WAIT: Duration = Duration::from_secs(3);
/// The longest statement; longer ones are cut off by the server.
pub(crate) const STATEMENT_TIMEOUT: Duration = Duration::from_secs(10);
/// How long anybody waits for an answer of the server, whose own limits are shorter: a server that is there has answered.
pub(crate) const ANSWER: Duration = Duration::from_secs(12);
/// How long a connection that is given back may take for what it still owes.
pub(crate) const RELEASE: Duration = Duration::from_secs(2);
/// Commits of which a server keeps the marks, so that a process that was away as long notices that they are gone.
pub(crate) const MARKS_KEPT: i64 = 1_000_000;
/// Older ones are removed at every so many commits.
pub(crate) const MARKS_FORGOTTEN_EVERY: i64 = 10_000;
/// How long a writer waits for the one before.
pub(crate) const LOCK_TIMEOUT: Duration = Duration::from_secs(5);
/// A transaction whose process does not go on with it is ended by the server, because others wait for it.
pub(crate) const IDLE_IN_TRANSACTION: Duration = Duration::from_secs(2);
