//! Finding and running programs of servers.

use std::{
    io::{BufRead as _, BufReader, Read},
    os::unix::process::CommandExt as _,
    path::{Path, PathBuf},
    process::Command,
};

use crate::ServerError;

/// Where Debian keeps PostgreSQL's programs, a directory for each version.
const POSTGRESQL: &str = "/usr/lib/postgresql";

/// The program's path: in PATH, or else the newest of PostgreSQL's directories.
pub(crate) fn find(program: &'static str, package: &'static str) -> Result<PathBuf, ServerError> {
    let in_path = std::env::var_os("PATH").unwrap_or_default();
    let mut places: Vec<PathBuf> = std::env::split_paths(&in_path).collect();
    // Where Debian has programs for administrators, who alone have it in PATH.
    places.push(PathBuf::from("/usr/sbin"));
    let mut versions: Vec<(u32, PathBuf)> = std::fs::read_dir(POSTGRESQL)
        .into_iter()
        .flatten()
        .flatten()
        .filter_map(|entry| Some((entry.file_name().to_str()?.parse().ok()?, entry.path().join("bin"))))
        .collect();
    versions.sort_unstable_by(|one, other| other.cmp(one));
    places.extend(versions.into_iter().map(|(_, place)| place));
    let found = places.into_iter().map(|place| place.join(program)).find(|path| path.is_file());
    found.ok_or(ServerError::Missing { program, package })
}

/// As whom a server runs: itself, or somebody without rights when this process is root.
#[derive(Clone, Copy, Debug)]
pub(crate) struct User(Option<(u32, u32)>);

impl User {
    /// Source: passwd(5).
    pub(crate) fn of_servers() -> Result<Self, ServerError> {
        if !rustix::process::geteuid().is_root() {
            return Ok(Self(None));
        }
        let users = std::fs::read_to_string("/etc/passwd").map_err(ServerError::io("/etc/passwd"))?;
        let named = |name: &str| {
            let line = users.lines().find(|line| line.split(':').next() == Some(name))?;
            let mut fields = line.split(':').skip(2);
            Some((fields.next()?.parse().ok()?, fields.next()?.parse().ok()?))
        };
        named("postgres")
            .or_else(|| named("nobody"))
            .map(|ids| Self(Some(ids)))
            .ok_or(ServerError::NobodyElse)
    }

    /// Gives a file or directory to the user.
    pub(crate) fn give(self, path: &Path) -> Result<(), ServerError> {
        let Some((user, group)) = self.0 else { return Ok(()) };
        std::os::unix::fs::chown(path, Some(user), Some(group))
            .map_err(ServerError::io(format!("giving {} to user {user}", path.display())))
    }

    /// The command, run as the user in its directory.
    pub(crate) fn command(self, program: &Path, directory: &Path) -> Command {
        let mut command = Command::new(program);
        command.current_dir(directory);
        if let Some((user, group)) = self.0 {
            command.uid(user).gid(group);
        }
        command
    }
}

/// Reads what a server says until it says this; all that it said if it ends before. Nobody reads on afterwards.
pub(crate) fn said(log: Option<impl Read>, ready: &str) -> Result<Result<(), String>, ServerError> {
    let mut text = String::new();
    for line in log.map(BufReader::new).into_iter().flat_map(BufReader::lines) {
        let line = line.map_err(ServerError::io("what a server says"))?;
        if line.contains(ready) {
            return Ok(Ok(()));
        }
        text.push_str(&line);
        text.push('\n');
    }
    Ok(Err(text))
}

/// Runs a command to its end; what it printed.
pub(crate) fn run(mut command: Command) -> Result<String, ServerError> {
    let shown = format!("{command:?}");
    let output = command.output().map_err(ServerError::io(shown.clone()))?;
    let text = |bytes: &[u8]| String::from_utf8_lossy(bytes).trim().to_owned();
    if output.status.success() {
        return Ok(text(&output.stdout));
    }
    let said = format!("{} {} {}", output.status, text(&output.stdout), text(&output.stderr));
    Err(ServerError::Failed { command: shown, output: said })
}
