//! A standby of a PostgreSQL server: what streams from it, what is lost when it takes over too early.

use crate::{
    PostgresServer, ServerError, directory, free_port,
    postgres::PACKAGE,
    programs::{User, find, run},
};

impl PostgresServer {
    /// Makes and starts a standby of this server, which streams what is committed here from now on. Nobody waits for it.
    ///
    /// # Errors
    /// [`ServerError`], when it cannot be copied or does not start.
    pub fn standby(&self) -> Result<Self, ServerError> {
        let user = User::of_servers()?;
        let (copy, place) = (find("pg_basebackup", PACKAGE)?, directory("slipstream-standby-")?.keep());
        user.give(&place)?;
        let mut backup = user.command(&copy, &place);
        backup.args(["--write-recovery-conf", "--checkpoint=fast", "--no-sync", "--wal-method=stream"]);
        backup.args(["--dbname", &self.url("postgres"), "--pgdata"]).arg(place.join("data"));
        run(backup)?;
        // The settings of the server came with the copy; the last word on one stands.
        let port = free_port()?;
        let own = format!("port = {port}\nunix_socket_directories = '{}'\n", place.display());
        let file = place.join("data/postgresql.auto.conf");
        let settings = std::fs::read_to_string(&file).map_err(ServerError::io(file.display().to_string()))?;
        std::fs::write(&file, settings + &own).map_err(ServerError::io(file.display().to_string()))?;
        Self::begin(user, (place, port), None)
    }

    /// Whether a standby has everything that is committed here by now.
    ///
    /// # Errors
    /// [`ServerError::Failed`], with what the server said.
    pub fn is_followed(&self) -> Result<bool, ServerError> {
        let sql = "SELECT count(*) FROM pg_stat_replication WHERE state = 'streaming' AND replay_lsn >= pg_current_wal_lsn()";
        Ok(self.run("postgres", sql)? != "0")
    }

    /// From now on nothing that the other server commits arrives at this standby any more.
    ///
    /// # Errors
    /// [`ServerError::Failed`], with what the server said.
    pub fn part(&self) -> Result<(), ServerError> {
        self.run("postgres", "ALTER SYSTEM SET primary_conninfo = ''")?;
        self.run("postgres", "SELECT pg_reload_conf()")?;
        Ok(())
    }

    /// Makes a standby a server of its own, with what had arrived.
    ///
    /// # Errors
    /// [`ServerError::Failed`].
    pub fn promote(&self) -> Result<(), ServerError> {
        self.control(&["promote", "--wait"])
    }
}
