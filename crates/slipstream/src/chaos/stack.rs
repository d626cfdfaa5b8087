//! The servers and the venue of a run, in a directory of its own.

use std::{
    fs,
    io::{BufRead as _, BufReader, Write as _},
    os::unix::{fs::OpenOptionsExt as _, process::CommandExt as _},
    path::{Path, PathBuf},
    process::{Child, Command, Stdio},
    sync::OnceLock,
};

use anyhow::{Context, ensure};
use servers::{PostgresServer, RedisServer};
use tempfile::TempDir;

use super::cutting::Proxy;
use crate::{
    demo::{SimulatorUrls, control::Control},
    leash::Leash,
};

/// Name of the database.
pub(super) const DATABASE: &str = "slipstream";
/// Time between blocks of the simulated chain, in milliseconds; Polygon takes two seconds.
const BLOCK_MS: &str = "250";
/// A commit is on its way to the disk before it is answered, so that a server that is stopped at once has kept it; the disk
/// itself is not waited for, because the machine stays on. Connections are so few that they can be exhausted.
const POSTGRES: &str = "synchronous_commit = on\nfull_page_writes = on\nmax_connections = 100\n";
/// What opens the keys, which are worth nothing.
const PASSPHRASE: &str = "keys of a run of chaos, which are worth nothing\n";
/// What is kept of a run that failed.
const TABLES: [&str; 15] = [
    "accounts",
    "relationships",
    "trade_groups",
    "trade_parts",
    "exit_factors",
    "exit_revisits",
    "decisions",
    "intents",
    "intent_ends",
    "signed_orders",
    "order_status",
    "send_permits",
    "ledger",
    "instances",
    "events",
];
/// Who may read what is in the directory.
const PRIVATE: u32 = 0o600;
/// The simulator's process; nobody kills it while leaders trade.
struct Venue(Child);

impl Drop for Venue {
    fn drop(&mut self) {
        // Whoever waits for nobody leaves a dead process behind.
        let _ = self.0.kill();
        let _ = self.0.wait();
    }
}

/// Servers, the venue, and where everything is written.
pub(super) struct Stack {
    leash: Leash,
    _simulator: Venue,
    postgres: PostgresServer,
    /// The standby that has taken its place.
    promoted: OnceLock<PostgresServer>,
    /// Why the database has no disk that can be full, if it has none.
    pub(super) no_disk: Option<String>,
    pub(super) redis: RedisServer,
    pub(super) proxy: Proxy,
    pub(super) urls: SimulatorUrls,
    pub(super) control: Control,
    directory: TempDir,
    program: PathBuf,
}

impl Stack {
    /// Starts them. What the venue answers is drawn from the seed.
    pub(super) fn start(seed: u64) -> anyhow::Result<Self> {
        let program = std::env::current_exe().context("this program's own file is not known")?;
        let directory = tempfile::Builder::new().prefix("slipstream-chaos-").tempdir();
        let directory = directory.context("no temporary directory")?;
        fs::create_dir(directory.path().join("logs")).context("a directory for logs")?;
        let (postgres, no_disk) = match PostgresServer::start_on_own_disk(POSTGRES) {
            Ok(server) => (server, None),
            // Where it is missing or fails for another reason, it does so here, too.
            Err(error) => (PostgresServer::start_with(POSTGRES)?, Some(error.to_string())),
        };
        postgres.run("postgres", &format!("CREATE DATABASE {DATABASE}"))?;
        postgres.run("postgres", "CREATE ROLE stranger LOGIN")?;
        let redis = RedisServer::start().context("a private Redis server")?;
        let proxy = Proxy::before(postgres.port())?;
        let leash = Leash::new()?;
        let mut command = Command::new(&program);
        command.args(["simulator", "--block-ms", BLOCK_MS, "--seed", &seed.to_string()]);
        command.env_clear().process_group(leash.group()?).stdin(Stdio::null()).stdout(Stdio::piped());
        command.stderr(log_file(directory.path(), "simulator")?);
        let mut simulator = command.spawn().context("the simulator does not start")?;
        let mut line = String::new();
        if let Some(out) = simulator.stdout.take() {
            BufReader::new(out).read_line(&mut line).context("the simulator's addresses")?;
        }
        let urls: SimulatorUrls = serde_json::from_str(&line).context("the simulator has not started")?;
        let control = Control::new(polymarket::local_client()?, &urls.control);
        let _simulator = Venue(simulator);
        let promoted = OnceLock::new();
        let stack = Self {
            leash,
            _simulator,
            postgres,
            promoted,
            no_disk,
            redis,
            proxy,
            urls,
            control,
            directory,
            program,
        };
        stack.configure()?;
        Ok(stack)
    }

    /// The database's server.
    pub(super) fn postgres(&self) -> &PostgresServer {
        self.promoted.get().unwrap_or(&self.postgres)
    }

    /// Ends the database's server as a loss of power does, and lets this standby take its place.
    pub(super) fn promote(&self, standby: PostgresServer) -> anyhow::Result<()> {
        self.postgres().stop_at_once()?;
        standby.promote()?;
        self.proxy.turn_to(standby.port());
        ensure!(self.promoted.set(standby).is_ok(), "a standby was promoted before");
        Ok(())
    }

    /// Where everything is.
    pub(super) fn directory(&self) -> &Path {
        self.directory.path()
    }

    /// The configuration of every process but the signer.
    pub(super) fn configuration(&self) -> PathBuf {
        self.directory().join("slipstream.toml")
    }

    /// The data directory of a process.
    pub(super) fn home(&self, name: &str) -> PathBuf {
        self.directory().join(name)
    }

    /// A command of this program, in the group that ends with this process. Nothing of this process's environment counts.
    pub(super) fn command(&self, name: &str) -> anyhow::Result<Command> {
        let mut command = Command::new(&self.program);
        command.env_clear().current_dir(self.directory()).process_group(self.leash.group()?);
        command.stdin(Stdio::null()).stdout(Stdio::null()).stderr(log_file(self.directory(), name)?);
        Ok(command)
    }

    /// What a process has written.
    pub(super) fn log(&self, name: &str) -> String {
        fs::read(log_path(self.directory(), name))
            .map_or_else(|_| String::new(), |bytes| String::from_utf8_lossy(&bytes).into_owned())
    }

    /// Where the server of an address listens.
    /// Writes every table that tells what happened into a directory, as CSV.
    pub(super) fn keep_tables(&self) -> anyhow::Result<()> {
        let place = self.directory().join("tables");
        fs::create_dir(&place).context("a directory for tables")?;
        for table in TABLES {
            let sql = format!("COPY (SELECT * FROM {table}) TO STDOUT WITH (FORMAT csv, HEADER)");
            let text = tokio::task::block_in_place(|| self.postgres().run(DATABASE, &sql))?;
            fs::write(place.join(format!("{table}.csv")), text)
                .with_context(|| format!("the table {table}"))?;
        }
        Ok(())
    }

    /// Rows of the database, as text: the answers of `psql`, field by field.
    pub(super) fn rows(&self, sql: &str) -> anyhow::Result<Vec<Vec<String>>> {
        let text = tokio::task::block_in_place(|| self.postgres().run(DATABASE, sql))?;
        Ok(text.lines().map(|line| line.split('|').map(str::to_owned).collect()).collect())
    }

    /// One number of the database.
    pub(super) fn number(&self, sql: &str) -> anyhow::Result<i64> {
        let rows = self.rows(sql)?;
        let field = rows.first().and_then(|row| row.first()).context("no row")?;
        field.parse().with_context(|| format!("`{field}` is no number"))
    }

    /// Leaves what was written where it is.
    pub(super) fn keep(mut self) -> PathBuf {
        self.directory.disable_cleanup(true);
        self.directory().to_owned()
    }

    fn configure(&self) -> anyhow::Result<()> {
        let SimulatorUrls { clob, data, rpc, gamma, relayer, .. } = &self.urls;
        let database = format!("postgres://postgres@127.0.0.1:{}/{DATABASE}", self.proxy.port());
        let queue = self.redis.url(0);
        let channel = clob.replacen("http", "ws", 1);
        let socket = self.home("signer.sock");
        let text = format!(
            "[run]\nclob_url = '{clob}'\ndata_url = '{data}'\ngamma_url = '{gamma}'\ngeoblock_url = '{clob}'\n\
             relayer_url = '{relayer}'\n[database]\nurl = '{database}'\n[queue]\nurl = '{queue}'\n[engine]\nworkers = 2\n\
             history_interval = '1s'\nchannel_url = '{channel}'\nlive_url = ''\n[chain]\nrpc_urls = '{rpc}'\n[venue]\n\
             positions_lag = '0s'\nlimit_login = '100000/10s'\nlimit_look_up = '100000/10s'\nlimit_balance = '100000/10s'\n\
             limit_open_orders = '100000/10s'\nlimit_trades = '100000/10s'\nlimit_all = '100000/10s'\n[live]\n\
             enabled = true\nsocket = '{}'\n",
            socket.display()
        );
        write_private(&self.configuration(), &text)?;
        let keys = self.home("keys");
        write_private(&keys, PASSPHRASE)?;
        let signer = format!("[live]\nenabled = true\nkey_file = '{}'\n", keys.display());
        write_private(&self.home("signer.toml"), &signer)
    }
}

fn log_path(directory: &Path, name: &str) -> PathBuf {
    directory.join("logs").join(name)
}

fn log_file(directory: &Path, name: &str) -> anyhow::Result<fs::File> {
    let path = log_path(directory, name);
    let file = fs::File::options().append(true).create(true).open(&path);
    file.with_context(|| format!("the log {}", path.display()))
}

fn write_private(path: &Path, text: &str) -> anyhow::Result<()> {
    let file = fs::File::options().write(true).create_new(true).mode(PRIVATE).open(path);
    let written = file.and_then(|mut file| file.write_all(text.as_bytes()));
    written.with_context(|| format!("cannot write {}", path.display()))
}
