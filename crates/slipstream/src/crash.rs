//! Arms a crash point from the environment, for the tests that kill this process.

use anyhow::{bail, ensure};
use engine::{
    crash_points,
    ports::{following::AccountMode, store::Store},
};
use rustix::process::{Signal, getpid, kill_process};

/// Environment variable: `point:nth` ends the process there, `point:nth:panic` lets the task panic, `point:nth:stop` lets the
/// process stand still until it gets SIGCONT.
pub const VARIABLE: &str = "SLIPSTREAM_CRASH";

/// Arms what the environment asks for, if it asks.
///
/// # Errors
/// When a live account exists, or the variable names no known point and what to do there.
pub async fn arm_from_environment(store: &dyn Store) -> anyhow::Result<()> {
    match std::env::var(VARIABLE) {
        Ok(wanted) => arm(store, &wanted).await,
        Err(_) => Ok(()),
    }
}

async fn arm(store: &dyn Store, wanted: &str) -> anyhow::Result<()> {
    let live = store.accounts(None).await?.iter().any(|account| account.mode == AccountMode::Live);
    ensure!(!live, "{VARIABLE} is set, but this installation has a live account; unset it");
    let Some((point, rest)) = wanted.split_once(':') else {
        bail!("{VARIABLE}={wanted} is neither `point:nth` nor `point:nth:panic` nor `point:nth:stop`");
    };
    let (nth, crash): (&str, fn()) = match rest.split_once(':') {
        None => (rest, die),
        Some((nth, "panic")) => (nth, panic_here),
        Some((nth, "stop")) => (nth, stand_still),
        Some((_, other)) => bail!("{VARIABLE}={wanted}: `{other}` is neither `panic` nor `stop`"),
    };
    let nth: u64 = nth.parse().map_err(|_| anyhow::anyhow!("{VARIABLE}={wanted}: `{nth}` is no number"))?;
    crash_points::arm(point, nth, crash).map_err(|reason| anyhow::anyhow!("{VARIABLE}={wanted}: {reason}"))
}

/// As a mistake in the engine would.
#[expect(clippy::panic, reason = "to test that a panic of a task is noticed")]
fn panic_here() {
    panic!("asked for by {VARIABLE}");
}

/// As a machine that is suspended, or a shell's Ctrl-Z: every thread stands still, and goes on where it was.
fn stand_still() {
    if kill_process(getpid(), Signal::STOP).is_err() {
        std::process::abort();
    }
}

/// As `kill -9` from outside: no destructor, no flush.
fn die() {
    // If the signal cannot be sent, aborting is as sudden.
    let _ = kill_process(getpid(), Signal::KILL);
    std::process::abort();
}

#[cfg(test)]
mod tests {
    use domain::{Address, KeyRef, Timestamp, WalletKind};
    use engine::ports::following::{Following as _, NewAccount};
    use testkit::{memory_store::MemoryStore, virtual_clock::VirtualClock};

    use super::*;

    #[tokio::test]
    async fn nothing_is_armed_where_an_account_is_live() {
        let start = Timestamp::from_seconds(0);
        let store = MemoryStore::new(VirtualClock::new(start));
        let owner = store.add_owner("ann", start).await.unwrap();
        let account = NewAccount {
            label: "ann's".to_owned(),
            mode: AccountMode::Live,
            wallet: Address([1; 20]),
            signer: Address([2; 20]),
            kind: WalletKind::Eoa,
            key: KeyRef("ann".to_owned()),
            cap: None,
        };
        store.add_account(owner, &account, start).await.unwrap();
        // The point does not exist: had it got so far, it would say so.
        let refused = arm(&store, "no.such.point:1").await.unwrap_err().to_string();
        assert!(refused.contains("has a live account"), "{refused}");
    }
}
