//! Private instances of the servers a team's installation stands on: PostgreSQL, PgBouncer and Redis, for tests, chaos and drills.
//!
//! They come from the machine's packages, run in a directory of their own on a free port of the loopback address, and
//! end with the process that started them, however that ends. The machine's own instances are never touched.

mod certificate;
mod keeper;
mod pgbouncer;
mod postgres;
mod programs;
mod redis;

use std::{io, path::PathBuf};

pub use pgbouncer::PgBouncer;
pub use postgres::PostgresServer;
pub use redis::RedisServer;

/// A server that cannot be started or stopped.
#[derive(Debug, thiserror::Error)]
pub enum ServerError {
    /// It is not installed.
    #[error("`{program}` is missing; on Debian: apt-get install {package}")]
    Missing {
        /// The program that was looked for.
        program: &'static str,
        /// The package that has it.
        package: &'static str,
    },
    /// A program failed.
    #[error("`{command}` failed: {output}")]
    Failed {
        /// What was run.
        command: String,
        /// What it said.
        output: String,
    },
    /// A file or a process.
    #[error("{what}: {source}")]
    Io {
        /// What was tried.
        what: String,
        /// Why it failed.
        source: io::Error,
    },
    /// A server does not run as root, and there is nobody else to be.
    #[error("PostgreSQL does not run as root, and there is no user `postgres` or `nobody` on this machine")]
    NobodyElse,
}

impl ServerError {
    fn io(what: impl Into<String>) -> impl FnOnce(io::Error) -> Self {
        let what = what.into();
        move |source| Self::Io { what, source }
    }
}

/// A directory for a server: of its user alone, and removed when it is dropped.
fn directory(prefix: &str) -> Result<tempfile::TempDir, ServerError> {
    // Another user must get there, which a directory for temporary files of this user's may not allow.
    let parent =
        if rustix::process::geteuid().is_root() { PathBuf::from("/tmp") } else { std::env::temp_dir() };
    tempfile::Builder::new()
        .prefix(prefix)
        .tempdir_in(&parent)
        .map_err(ServerError::io(format!("a directory in {}", parent.display())))
}

/// A port of the loopback address that nobody listens on now.
fn free_port() -> Result<u16, ServerError> {
    let listener = std::net::TcpListener::bind(("127.0.0.1", 0));
    let address = listener.and_then(|listener| listener.local_addr());
    address.map(|address| address.port()).map_err(ServerError::io("a free port"))
}
