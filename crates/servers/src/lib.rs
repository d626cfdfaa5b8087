//! Private instances of the servers a team's installation stands on: PostgreSQL, PgBouncer and Redis, for tests, chaos and drills.
//!
//! They come from the machine's packages, run in a directory of their own on a free port of the loopback address, and
//! end with the process that started them, however that ends. The machine's own instances are never touched.

mod certificate;
mod disk;
mod keeper;
mod pgbouncer;
mod postgres;
mod programs;
mod redis;
mod standby;

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

/// Where ports are looked for, and how often.
const PORTS: std::ops::Range<u16> = 20_000..32_000;
const TRIES: usize = 100;

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

/// A port of the loopback address that nobody listens on now. It is none of those that the system gives out by itself (from
/// 32,768 on Linux): somebody would be given it before the server is there, or while it is stopped.
fn free_port() -> Result<u16, ServerError> {
    let mut last = io::Error::from(io::ErrorKind::AddrInUse);
    for _ in 0..TRIES {
        let mut drawn = [0; 2];
        rustix::rand::getrandom(&mut drawn, rustix::rand::GetRandomFlags::empty())
            .map_err(|error| ServerError::io("a free port")(error.into()))?;
        let port = PORTS.start + u16::from_ne_bytes(drawn) % (PORTS.end - PORTS.start);
        match std::net::TcpListener::bind(("127.0.0.1", port)) {
            Ok(_) => return Ok(port),
            Err(error) => last = error,
        }
    }
    Err(ServerError::io(format!("a free port from {} to {}", PORTS.start, PORTS.end))(last))
}
