//! A disk of a server's own, which can be full: a tmpfs. Mounting one takes root, and a machine that allows it.

use std::{
    path::{Path, PathBuf},
    process::{Child, ChildStdin, Command, Stdio},
};

use crate::{
    ServerError,
    programs::{User, run},
};

/// Room while nothing is to be full: of the machine's memory, of which only what is written is used.
const ROOM: &str = "size=50%";
/// How often it is tried to leave no room while somebody writes.
const TRIES: usize = 20;

/// Waits until its standard input ends, which it does however the process at the other end ends, and until the server has
/// ended, for ten seconds at most; then unmounts the disk and removes the server's directory.
const SCRIPT: &str = r#"read -r _; tries=0
while [ -e "$1/postmaster.pid" ] && [ $tries -lt 100 ]; do sleep 0.1; tries=$((tries + 1)); done
umount -l "$1"; rm -rf "$2""#;

/// The disk. It is unmounted when this is dropped, and when this process is killed; the server has to end first.
#[derive(Debug)]
pub(crate) struct Disk {
    place: PathBuf,
    keeper: Child,
    stdin: Option<ChildStdin>,
}

impl Disk {
    /// Mounts one at `place`, which is made, in a server's `directory`.
    pub(crate) fn mount(place: &Path, directory: &Path, user: User) -> Result<Self, ServerError> {
        std::fs::create_dir(place).map_err(ServerError::io(place.display().to_string()))?;
        let mut mount = Command::new("mount");
        mount.args(["-t", "tmpfs", "-o", &format!("{ROOM},mode=700"), "tmpfs"]).arg(place);
        run(mount)?;
        let mut keeper = Command::new("/bin/sh");
        keeper.args(["-c", SCRIPT, "sh"]).arg(place).arg(directory);
        keeper.stdin(Stdio::piped()).stdout(Stdio::null()).stderr(Stdio::null());
        let mut keeper = keeper.spawn().map_err(ServerError::io("/bin/sh"))?;
        let stdin = keeper.stdin.take();
        let disk = Self { place: place.to_owned(), keeper, stdin };
        user.give(place)?;
        Ok(disk)
    }

    /// Leaves no room.
    pub(crate) fn fill(&self) -> Result<(), ServerError> {
        let mut last = Ok(());
        for _ in 0..TRIES {
            let known = rustix::fs::statvfs(&self.place);
            let known = known.map_err(|error| ServerError::io("the disk's size")(error.into()))?;
            let used = known.f_blocks.saturating_sub(known.f_bfree).saturating_mul(known.f_frsize);
            // What was written meanwhile is not given up for it: that is refused.
            last = self.resize(&format!("size={used}"));
            if last.is_ok() {
                break;
            }
        }
        last
    }

    /// Gives it room again.
    pub(crate) fn make_room(&self) -> Result<(), ServerError> {
        self.resize(ROOM)
    }

    fn resize(&self, size: &str) -> Result<(), ServerError> {
        let mut mount = Command::new("mount");
        mount.args(["-o", &format!("remount,{size}")]).arg(&self.place);
        run(mount).map(|_| ())
    }
}

impl Drop for Disk {
    fn drop(&mut self) {
        drop(self.stdin.take());
        // Whoever waits for nobody leaves a dead process behind.
        let _ = self.keeper.wait();
    }
}
