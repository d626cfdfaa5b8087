//! Processes that end with this one, however it ends.

use std::{
    os::unix::process::CommandExt as _,
    process::{Child, ChildStdin, Command, Stdio},
};

use anyhow::Context as _;

/// Reads until its standard input ends, which it does however this process ends, and ends its whole group.
const LEASH: &str = "read -r _; kill -9 0";

/// Ends the processes of its group with this one.
pub(crate) struct Leash {
    child: Child,
    stdin: Option<ChildStdin>,
}

impl Leash {
    /// A group without anybody else yet.
    pub(crate) fn new() -> anyhow::Result<Self> {
        let mut command = Command::new("/bin/sh");
        command.args(["-c", LEASH]).process_group(0);
        command.stdin(Stdio::piped()).stdout(Stdio::null()).stderr(Stdio::null());
        let mut child = command.spawn().context("/bin/sh")?;
        let stdin = child.stdin.take();
        Ok(Self { child, stdin })
    }

    /// The group's number.
    pub(crate) fn group(&self) -> anyhow::Result<i32> {
        i32::try_from(self.child.id()).context("the number of a process")
    }
}

impl Drop for Leash {
    fn drop(&mut self) {
        drop(self.stdin.take());
        // Whoever waits for nobody leaves a dead process behind.
        let _ = self.child.wait();
    }
}
