//! A Redis server.

use std::{
    fs::Permissions,
    os::unix::fs::PermissionsExt as _,
    path::{Path, PathBuf},
    process::{Child, Command, Stdio},
    sync::{Mutex, PoisonError},
    time::Duration,
};

use crate::{
    ServerError, directory, free_port,
    keeper::Keeper,
    programs::{User, find, run, said},
};

/// Debian's package.
const PACKAGE: &str = "redis-server";

/// What it says when it listens.
const READY: &str = "Ready to accept connections";

/// A private Redis server that keeps nothing on disk. It ends when this is dropped, and with this process.
#[derive(Debug)]
pub struct RedisServer {
    _keeper: Keeper,
    process: Mutex<Option<Child>>,
    directory: PathBuf,
    port: u16,
}

impl RedisServer {
    /// Starts one.
    ///
    /// # Errors
    /// [`ServerError`], when it is not installed or does not start.
    pub fn start() -> Result<Self, ServerError> {
        let user = User::of_servers()?;
        let client = find("redis-cli", "redis-tools")?;
        // Removed by the keeper, last.
        let directory = directory("slipstream-redis-")?.keep();
        user.give(&directory)?;
        let port = free_port()?;
        let (control, socket) = (client.to_string_lossy().into_owned(), socket(&directory));
        let stop = [control.as_str(), "-s", socket.as_str(), "SHUTDOWN", "NOSAVE"];
        let keeper = Keeper::new(user, &directory, &stop)?;
        let server = Self { _keeper: keeper, process: Mutex::default(), directory, port };
        server.start_again()?;
        Ok(server)
    }

    /// The address of one of its 16 databases.
    #[must_use]
    pub fn url(&self, database: u32) -> String {
        format!("redis://127.0.0.1:{}/{database}", self.port)
    }

    /// Runs a command, as an operator's shell does.
    ///
    /// # Errors
    /// [`ServerError::Failed`], with what it said.
    pub fn run(&self, arguments: &[&str]) -> Result<String, ServerError> {
        let mut client = Command::new(find("redis-cli", "redis-tools")?);
        client.args(["-e", "-s", &socket(&self.directory)]).args(arguments);
        run(client)
    }

    /// The number of its process, while it runs.
    #[must_use]
    pub fn process(&self) -> Option<u32> {
        self.process.lock().unwrap_or_else(PoisonError::into_inner).as_ref().map(Child::id)
    }

    /// What a push and a pop take for one client, as Redis' own program for that measures them; its keys are others than ours.
    ///
    /// # Errors
    /// [`ServerError::Failed`], with what it said.
    pub fn command_times(&self) -> Result<[Duration; 2], ServerError> {
        let mut benchmark = Command::new(find("redis-benchmark", "redis-tools")?);
        benchmark.args([
            "-s",
            &socket(&self.directory),
            "-c",
            "1",
            "-n",
            "20000",
            "-t",
            "lpush,lpop",
            "--csv",
        ]);
        let command = format!("{benchmark:?}");
        let output = run(benchmark)?;
        let time = |name: &str| {
            let line = output.lines().find(|line| line.starts_with(&format!("\"{name}\"")))?;
            let a_second: f64 = line.split(',').nth(1)?.trim_matches('"').parse().ok()?;
            (a_second > 0.0).then(|| Duration::from_secs_f64(1.0 / a_second))
        };
        match (time("LPUSH"), time("LPOP")) {
            (Some(push), Some(pop)) => Ok([push, pop]),
            _ => Err(ServerError::Failed { command, output }),
        }
    }

    /// Runs a command as a shell does whose `redis-cli` is at this server's port without being told.
    ///
    /// # Errors
    /// [`ServerError::Failed`], with what it said.
    pub fn shell(&self, command: &str) -> Result<String, ServerError> {
        let client = find("redis-cli", "redis-tools")?;
        let programs = self.directory.join("programs");
        let wrapper = programs.join("redis-cli");
        let script = format!("#!/bin/sh\nexec {} -p {} \"$@\"\n", client.display(), self.port);
        let written = std::fs::create_dir_all(&programs).and_then(|()| std::fs::write(&wrapper, script));
        written
            .and_then(|()| std::fs::set_permissions(&wrapper, Permissions::from_mode(0o755)))
            .map_err(ServerError::io(wrapper.display().to_string()))?;
        let mut path = programs.into_os_string();
        path.push(":");
        path.push(std::env::var_os("PATH").unwrap_or_default());
        let mut shell = Command::new("/bin/sh");
        shell.args(["-c", command]).env("PATH", path);
        run(shell)
    }

    /// Ends it at once; what was in it is gone.
    ///
    /// # Errors
    /// [`ServerError::Failed`].
    pub fn stop(&self) -> Result<(), ServerError> {
        self.run(&["SHUTDOWN", "NOSAVE"])?;
        let process = self.process.lock().unwrap_or_else(PoisonError::into_inner).take();
        process.map_or(Ok(()), |mut process| {
            process.wait().map(|_| ()).map_err(ServerError::io("waiting for redis-server"))
        })
    }

    /// Starts it again, on the same port, empty.
    ///
    /// # Errors
    /// [`ServerError`].
    pub fn start_again(&self) -> Result<(), ServerError> {
        let user = User::of_servers()?;
        let (port, socket) = (self.port.to_string(), socket(&self.directory));
        let mut server = user.command(&find("redis-server", PACKAGE)?, &self.directory);
        server.args(["--port", &port, "--bind", "127.0.0.1", "--unixsocket", &socket]);
        server.args(["--save", "", "--appendonly", "no"]);
        server.stdin(Stdio::null()).stdout(Stdio::piped()).stderr(Stdio::null());
        let mut process = server.spawn().map_err(ServerError::io("redis-server"))?;
        let log = process.stdout.take();
        match said(log, READY)? {
            Ok(()) => *self.process.lock().unwrap_or_else(PoisonError::into_inner) = Some(process),
            Err(output) => return Err(ServerError::Failed { command: format!("{server:?}"), output }),
        }
        Ok(())
    }
}

impl Drop for RedisServer {
    fn drop(&mut self) {
        // Whoever waits for nobody leaves a dead process behind.
        let _ = self.stop();
    }
}

fn socket(directory: &Path) -> String {
    directory.join("redis.sock").to_string_lossy().into_owned()
}
