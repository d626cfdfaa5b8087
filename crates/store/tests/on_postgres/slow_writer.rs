//! Somebody else who has the lock of whoever writes, for as long as a test wants.

use std::{
    io::Write as _,
    process::{Child, Command, Stdio},
};

use crate::SERVER;

/// A session that has the lock.
pub(super) struct SlowWriter {
    psql: Child,
    name: String,
}

impl SlowWriter {
    /// Takes it, in this database.
    pub(super) fn begin(name: &str) -> Self {
        let mut psql = Command::new("psql");
        psql.args(["--no-psqlrc", "--quiet", "--set=ON_ERROR_STOP=1", "--dbname", &SERVER.url(name)]);
        let mut psql = psql.stdin(Stdio::piped()).stdout(Stdio::null()).spawn().unwrap();
        let take = "BEGIN; SELECT pg_advisory_xact_lock(1936484720);\n";
        psql.stdin.as_mut().unwrap().write_all(take.as_bytes()).unwrap();
        let writer = Self { psql, name: name.to_owned() };
        let held = "SELECT count(*) FROM pg_locks WHERE locktype = 'advisory' AND granted AND objid = 1936484720 \
            AND database = (SELECT oid FROM pg_database WHERE datname = current_database())";
        assert!((0..1_000).any(|_| SERVER.run(name, held).unwrap() == "1"), "the lock is taken");
        writer
    }

    /// How many wait for it.
    pub(super) fn waiting(&self) -> String {
        let count = format!(
            "SELECT count(*) FROM pg_stat_activity WHERE datname = '{}' AND wait_event = 'advisory'",
            self.name
        );
        SERVER.run("postgres", &count).unwrap()
    }

    /// Until somebody waits for it.
    pub(super) fn until_waited_for(&self) {
        assert!((0..1_000).any(|_| self.waiting() != "0"), "nobody waits");
    }

    /// Gives it back.
    pub(super) fn end(mut self) {
        drop(self.psql.stdin.take());
        assert!(self.psql.wait().unwrap().success());
    }
}

impl Drop for SlowWriter {
    fn drop(&mut self) {
        let _ = self.psql.kill();
        let _ = self.psql.wait();
    }
}
