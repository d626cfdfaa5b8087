//! A PostgreSQL server.

use std::{
    path::{Path, PathBuf},
    time::Duration,
};

use rustix::process::{Pid, Signal, kill_process};

use crate::{
    ServerError, certificate, directory,
    disk::Disk,
    free_port,
    keeper::Keeper,
    programs::{User, find, run},
};

/// Debian's package.
pub(crate) const PACKAGE: &str = "postgresql";

/// How the server is set. It listens to nobody but this machine, and a password is asked of nobody: the directory of its
/// socket is its user's, and the port is one of the loopback address.
const SETTINGS: &str = "listen_addresses = '127.0.0.1'\n\
    max_connections = 500\n\
    shared_buffers = 64MB\n\
    max_wal_size = 256MB\n\
    autovacuum_naptime = 10s\n\
    log_min_messages = warning\n";

/// A private PostgreSQL server. It ends when this is dropped, and with this process.
#[derive(Debug)]
pub struct PostgresServer {
    _keeper: Keeper,
    user: User,
    directory: PathBuf,
    port: u16,
    /// After the keeper, which ends the server.
    disk: Option<Disk>,
}

impl PostgresServer {
    /// Makes and starts one. Nothing waits for the disk: what is in it is as short-lived as a test.
    ///
    /// # Errors
    /// [`ServerError`], when it is not installed or does not start.
    pub fn start() -> Result<Self, ServerError> {
        Self::start_with("")
    }

    /// The same, with these lines of settings last.
    ///
    /// # Errors
    /// As [`PostgresServer::start`].
    pub fn start_with(more: &str) -> Result<Self, ServerError> {
        Self::make(more, false, |_, _| Ok(()))
    }

    /// The same on a disk of its own, which [`PostgresServer::fill_disk`] fills. It takes root.
    ///
    /// # Errors
    /// As [`PostgresServer::start`], and when no such disk can be mounted.
    pub fn start_on_own_disk(more: &str) -> Result<Self, ServerError> {
        Self::make(more, true, |_, _| Ok(()))
    }

    /// Leaves no room on the server's disk, if it has one of its own; whether it has.
    ///
    /// # Errors
    /// [`ServerError`].
    pub fn fill_disk(&self) -> Result<bool, ServerError> {
        self.disk.as_ref().map_or(Ok(false), |disk| disk.fill().map(|()| true))
    }

    /// Gives the disk room again, and starts the server if it has ended meanwhile.
    ///
    /// # Errors
    /// [`ServerError`].
    pub fn make_room(&self) -> Result<(), ServerError> {
        let Some(disk) = &self.disk else { return Ok(()) };
        disk.make_room()?;
        if self.control(&["status"]).is_err() { self.start_again() } else { Ok(()) }
    }

    /// One that takes nobody in without TLS; its certificate, for 127.0.0.1, is signed with [`PostgresServer::authority`].
    ///
    /// # Errors
    /// As [`PostgresServer::start`], and when there is no `openssl`.
    pub fn start_encrypted() -> Result<Self, ServerError> {
        let settings = "ssl = on\nssl_cert_file = '../server.crt'\nssl_key_file = '../server.key'\n";
        Self::make(settings, false, |directory, user| {
            certificate::make(directory, user)?;
            let rules = "local all all trust\nhostssl all all 127.0.0.1/32 trust\n";
            let file = directory.join("data/pg_hba.conf");
            std::fs::write(&file, rules).map_err(ServerError::io(file.display().to_string()))
        })
    }

    /// The certificate of who signed the server's, a file.
    #[must_use]
    pub fn authority(&self) -> PathBuf {
        certificate::authority(&self.directory)
    }

    fn make(
        more: &str,
        own_disk: bool,
        prepare: impl FnOnce(&Path, User) -> Result<(), ServerError>,
    ) -> Result<Self, ServerError> {
        let user = User::of_servers()?;
        let initdb = find("initdb", PACKAGE)?;
        // Removed by the keeper, last.
        let directory = directory("slipstream-postgres-")?.keep();
        user.give(&directory)?;
        let data = directory.join("data");
        let mounted = own_disk.then(|| Disk::mount(&data, &directory, user)).transpose();
        // Nobody keeps it yet.
        let disk = mounted.inspect_err(|_| drop(std::fs::remove_dir_all(&directory)))?;
        let mut make = user.command(&initdb, &directory);
        make.args([
            "--username=postgres",
            "--auth=trust",
            "--no-sync",
            "--encoding=UTF8",
            "--locale=C",
            "--pgdata",
        ]);
        make.arg(&data);
        run(make)?;
        let port = free_port()?;
        let settings = format!(
            "{SETTINGS}port = {port}\nunix_socket_directories = '{}'\nfsync = off\n\
             full_page_writes = off\n{more}",
            directory.display()
        );
        let file = data.join("postgresql.auto.conf");
        std::fs::write(&file, settings).map_err(ServerError::io(file.display().to_string()))?;
        prepare(&directory, user)?;
        Self::begin(user, (directory, port), disk)
    }

    /// Starts a server whose directory is made, and set to this port.
    pub(crate) fn begin(
        user: User,
        (directory, port): (PathBuf, u16),
        disk: Option<Disk>,
    ) -> Result<Self, ServerError> {
        let data = directory.join("data");
        let control = find("pg_ctl", PACKAGE)?.to_string_lossy().into_owned();
        let place = data.to_string_lossy().into_owned();
        let stop = [control.as_str(), "stop", "--mode=immediate", "--pgdata", place.as_str()];
        let keeper = Keeper::new(user, &directory, &stop)?;
        let server = Self { _keeper: keeper, user, directory, port, disk };
        server.control(&["start", "--wait"])?;
        Ok(server)
    }

    /// The port it listens on, on the loopback address.
    #[must_use]
    pub const fn port(&self) -> u16 {
        self.port
    }

    /// The address of one of its databases, as its owner.
    #[must_use]
    pub fn url(&self, database: &str) -> String {
        self.url_as("postgres", database)
    }

    /// Ends it at once, as a machine does that loses its power: nothing is written that was not.
    ///
    /// # Errors
    /// [`ServerError::Failed`].
    pub fn stop_at_once(&self) -> Result<(), ServerError> {
        self.control(&["stop", "--mode=immediate"])
    }

    /// Starts it again, on the same port, with what it had written.
    ///
    /// # Errors
    /// [`ServerError`].
    pub fn start_again(&self) -> Result<(), ServerError> {
        self.control(&["start", "--wait"])
    }

    /// Runs a statement in a database, as an operator's shell does.
    ///
    /// # Errors
    /// [`ServerError::Failed`], with what the server said.
    pub fn run(&self, database: &str, sql: &str) -> Result<String, ServerError> {
        let mut psql = self.user.command(&find("psql", PACKAGE)?, &self.directory);
        psql.args(["--no-psqlrc", "--quiet", "--tuples-only", "--no-align", "--set=ON_ERROR_STOP=1"]);
        psql.args(["--dbname", &self.url(database), "--command", sql]);
        run(psql)
    }

    /// Runs a command as a shell does in which both addresses of the database are this one, as an operator's are.
    ///
    /// # Errors
    /// [`ServerError::Failed`], with what it said.
    pub fn shell(&self, address: &str, command: &str) -> Result<String, ServerError> {
        let mut shell = self.user.command(Path::new("/bin/sh"), &self.directory);
        shell.args(["-c", command]).env("DATABASE_URL", address).env("PRODUCTION_DATABASE_URL", address);
        run(shell)
    }

    /// The numbers of all its processes, which are the connections' too.
    ///
    /// # Errors
    /// [`ServerError::Io`].
    pub fn processes(&self) -> Result<Vec<u32>, ServerError> {
        let Some(parent) = self.parent()? else { return Ok(Vec::new()) };
        let all = children(parent)?.into_iter().chain([parent]);
        Ok(all.filter_map(|pid| u32::try_from(pid.as_raw_nonzero().get()).ok()).collect())
    }

    /// What one transaction of this script takes on one connection, as PostgreSQL's own program for that measures it.
    ///
    /// # Errors
    /// [`ServerError::Failed`], with what it said.
    pub fn transaction_time(
        &self,
        database: &str,
        script: &str,
        transactions: u32,
    ) -> Result<Duration, ServerError> {
        let file = self.directory.join("measured.sql");
        std::fs::write(&file, script).map_err(ServerError::io(file.display().to_string()))?;
        self.user.give(&file)?;
        let mut pgbench = self.user.command(&find("pgbench", PACKAGE)?, &self.directory);
        pgbench.args(["--no-vacuum", "--client=1", "--protocol=prepared"]);
        pgbench.arg(format!("--transactions={transactions}")).arg("--file").arg(&file);
        pgbench.arg(self.url(database));
        let command = format!("{pgbench:?}");
        let output = run(pgbench)?;
        let told =
            output.lines().find_map(|line| line.strip_prefix("latency average = ")?.strip_suffix(" ms"));
        let millis: Option<f64> = told.and_then(|told| told.trim().parse().ok());
        let millis = millis.filter(|millis| millis.is_finite() && *millis >= 0.0);
        millis
            .map(|millis| Duration::from_secs_f64(millis / 1e3))
            .ok_or(ServerError::Failed { command, output })
    }

    /// All that it has logged.
    ///
    /// # Errors
    /// [`ServerError::Io`].
    pub fn log(&self) -> Result<String, ServerError> {
        let file = self.directory.join("log");
        std::fs::read_to_string(&file).map_err(ServerError::io(file.display().to_string()))
    }

    /// The address of one of its databases, as this role.
    #[must_use]
    pub fn url_as(&self, role: &str, database: &str) -> String {
        format!("postgres://{role}@127.0.0.1:{}/{database}", self.port)
    }

    /// Stops all its processes where they are, as a machine that fails without a word; [`PostgresServer::thaw`] lets them
    /// go on.
    ///
    /// # Errors
    /// [`ServerError::Io`].
    pub fn freeze(&self) -> Result<(), ServerError> {
        self.signal(Signal::STOP)
    }

    /// Lets a frozen server go on.
    ///
    /// # Errors
    /// As [`PostgresServer::freeze`].
    pub fn thaw(&self) -> Result<(), ServerError> {
        self.signal(Signal::CONT)
    }

    /// Source: PostgreSQL's postmaster.pid, whose first line is the process that all others are children of.
    fn parent(&self) -> Result<Option<Pid>, ServerError> {
        let file = self.directory.join("data/postmaster.pid");
        let text = std::fs::read_to_string(&file).map_err(ServerError::io(file.display().to_string()))?;
        let number = text.lines().next().and_then(|line| line.trim().parse().ok());
        Ok(number.and_then(Pid::from_raw))
    }

    fn signal(&self, signal: Signal) -> Result<(), ServerError> {
        let Some(parent) = self.parent()? else { return Ok(()) };
        let send = |to| kill_process(to, signal);
        send(parent).map_err(|error| ServerError::io("the server")(error.into()))?;
        for child in children(parent)? {
            // One that has ended meanwhile needs no signal.
            let _ = send(child);
        }
        Ok(())
    }

    pub(crate) fn control(&self, arguments: &[&str]) -> Result<(), ServerError> {
        let mut control = self.user.command(&find("pg_ctl", PACKAGE)?, &self.directory);
        control.args(arguments).arg("--silent").arg("--pgdata").arg(self.directory.join("data"));
        // What the server says must not go to our own output, which it would keep open.
        control.arg("--log").arg(self.directory.join("log"));
        run(control).map(|_| ())
    }
}

/// Processes whose parent this is. Source: proc(5).
fn children(of: Pid) -> Result<Vec<Pid>, ServerError> {
    let processes = std::fs::read_dir("/proc").map_err(ServerError::io("/proc"))?;
    let is_child = |pid: &Pid| {
        let status = std::fs::read_to_string(format!("/proc/{}/status", pid.as_raw_nonzero()));
        let parent = status
            .ok()
            .and_then(|text| text.lines().find_map(|line| line.strip_prefix("PPid:")?.trim().parse().ok()));
        parent == Some(of.as_raw_nonzero().get())
    };
    let pids = processes.flatten().filter_map(|entry| entry.file_name().to_str()?.parse().ok());
    Ok(pids.filter_map(Pid::from_raw).filter(is_child).collect())
}
