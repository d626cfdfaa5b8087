//! Ending servers with the process that started them.

use std::{
    path::Path,
    process::{Child, ChildStdin, Stdio},
};

use crate::{ServerError, programs::User};

/// Waits until its standard input ends, which it does however the process at the other end ends; then runs the command
/// that stops the server, and removes the server's directory.
const SCRIPT: &str = r#"directory=$1; shift; read -r _; "$@" >/dev/null 2>&1; rm -rf "$directory""#;

/// Stops a server when it is dropped, and when this process is killed.
#[derive(Debug)]
pub(crate) struct Keeper {
    child: Child,
    stdin: Option<ChildStdin>,
}

impl Keeper {
    /// Keeps a server that this command stops.
    pub(crate) fn new(user: User, directory: &Path, stop: &[&str]) -> Result<Self, ServerError> {
        let mut command = user.command(Path::new("/bin/sh"), Path::new("/"));
        command.args(["-c", SCRIPT, "sh"]).arg(directory).args(stop);
        command.stdin(Stdio::piped()).stdout(Stdio::null()).stderr(Stdio::null());
        let mut child = command.spawn().map_err(ServerError::io("/bin/sh"))?;
        let stdin = child.stdin.take();
        Ok(Self { child, stdin })
    }
}

impl Drop for Keeper {
    fn drop(&mut self) {
        drop(self.stdin.take());
        // Whoever waits for nobody leaves a dead process behind.
        let _ = self.child.wait();
    }
}
