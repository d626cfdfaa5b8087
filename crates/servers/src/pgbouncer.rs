//! A PgBouncer before a PostgreSQL server.

use std::process::{Child, Stdio};

use crate::{
    ServerError, directory, free_port,
    keeper::Keeper,
    postgres::PostgresServer,
    programs::{User, find, said},
};

/// Debian's package.
const PACKAGE: &str = "pgbouncer";
/// What it says when it listens.
const READY: &str = "process up";

/// A private PgBouncer that hands out connections for a transaction at a time. It ends when this is dropped, and with
/// this process.
#[derive(Debug)]
pub struct PgBouncer {
    _keeper: Keeper,
    process: Child,
    port: u16,
}

impl PgBouncer {
    /// Starts one with at most `connections` to each database of the server.
    ///
    /// # Errors
    /// [`ServerError`], when it is not installed or does not start.
    pub fn start(server: &PostgresServer, connections: u32) -> Result<Self, ServerError> {
        Self::start_by("transaction", server, connections)
    }

    /// One that hands them out for a `session`, a `transaction` or a `statement`.
    ///
    /// # Errors
    /// As [`PgBouncer::start`].
    pub fn start_by(mode: &str, server: &PostgresServer, connections: u32) -> Result<Self, ServerError> {
        let user = User::of_servers()?;
        // Removed by the keeper, last.
        let directory = directory("slipstream-pgbouncer-")?.keep();
        user.give(&directory)?;
        let port = free_port()?;
        let settings = format!(
            "[databases]\n* = host=127.0.0.1 port={} user=postgres\n[pgbouncer]\nlisten_addr = 127.0.0.1\n\
             listen_port = {port}\nunix_socket_dir =\nauth_type = any\npool_mode = {mode}\n\
             default_pool_size = {connections}\nmax_client_conn = 1000\npidfile = {}\n",
            server.port(),
            directory.join("pid").display()
        );
        let file = directory.join("pgbouncer.ini");
        std::fs::write(&file, settings).map_err(ServerError::io(file.display().to_string()))?;
        let mut command = user.command(&find("pgbouncer", PACKAGE)?, &directory);
        let keeper = Keeper::new(
            user,
            &directory,
            &["/bin/sh", "-c", "kill $(cat \"$0/pid\")", &directory.to_string_lossy()],
        )?;
        command.arg(&file).stdin(Stdio::null()).stdout(Stdio::null()).stderr(Stdio::piped());
        let mut process = command.spawn().map_err(ServerError::io("pgbouncer"))?;
        let log = process.stderr.take();
        match said(log, READY)? {
            Ok(()) => Ok(Self { _keeper: keeper, process, port }),
            Err(output) => Err(ServerError::Failed { command: format!("{command:?}"), output }),
        }
    }

    /// The address of one of the server's databases through it.
    #[must_use]
    pub fn url(&self, database: &str) -> String {
        format!("postgres://postgres@127.0.0.1:{}/{database}", self.port)
    }
}

impl Drop for PgBouncer {
    fn drop(&mut self) {
        // Whoever waits for nobody leaves a dead process behind.
        let _ = self.process.kill();
        let _ = self.process.wait();
    }
}
