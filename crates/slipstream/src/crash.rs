//! Arms a crash point from the environment, for the tests that kill this process.

use anyhow::{bail, ensure};
use engine::{
    crash_points,
    ports::{following::AccountMode, store::Store},
};
use rustix::process::{Signal, getpid, kill_process};

/// Environment variable: `point:nth`.
pub const VARIABLE: &str = "SLIPSTREAM_CRASH";

/// Arms what the environment asks for, if it asks.
///
/// # Errors
/// When a live account exists, or the variable is not `point:nth` with a known point.
pub async fn arm_from_environment(store: &dyn Store) -> anyhow::Result<()> {
    let Ok(wanted) = std::env::var(VARIABLE) else { return Ok(()) };
    let live = store.accounts(None).await?.iter().any(|account| account.mode == AccountMode::Live);
    ensure!(!live, "{VARIABLE} is set, but this installation has a live account; unset it");
    let Some((point, nth)) = wanted.split_once(':') else {
        bail!("{VARIABLE}={wanted} is not `point:nth`");
    };
    let nth: u64 = nth.parse().map_err(|_| anyhow::anyhow!("{VARIABLE}={wanted}: `{nth}` is no number"))?;
    crash_points::arm(point, nth, die).map_err(|reason| anyhow::anyhow!("{VARIABLE}={wanted}: {reason}"))
}

/// As `kill -9` from outside: no destructor, no flush.
fn die() {
    // If the signal cannot be sent, aborting is as sudden.
    let _ = kill_process(getpid(), Signal::KILL);
    std::process::abort();
}
