//! Named places where a test can end the process.
//!
//! A point costs one atomic load unless a crash was armed. The binary arms one from its environment, only
//! for tests, and refuses to when a live account exists.

use std::sync::{
    OnceLock,
    atomic::{AtomicU64, Ordering},
};

/// Every point, in the order a copied trade passes them, from the leader's to the payout.
pub const ALL: [&str; 18] = [
    "detection.before_commit",
    "detection.after_commit",
    "detection.after_push",
    "worker.after_load",
    "worker.after_sign",
    "worker.before_commit",
    "worker.after_commit",
    "worker.after_post",
    "worker.before_record",
    "worker.after_record",
    "settlement.after_claim",
    "settlement.before_resend",
    "settlement.before_record",
    "settlement.after_record",
    "redeeming.before_commit",
    "redeeming.after_commit",
    "redeeming.after_send",
    "redeeming.before_record",
];

struct Armed {
    point: String,
    remaining: AtomicU64,
    crash: fn(),
}

static ARMED: OnceLock<Armed> = OnceLock::new();

/// Calls `crash` when `point` is reached for the `nth` time (1 = first). Once per process.
///
/// # Errors
/// In words, when the point has no such name or a crash is armed already.
pub fn arm(point: &str, nth: u64, crash: fn()) -> Result<(), String> {
    if !ALL.contains(&point) {
        return Err(format!("no crash point `{point}`; there are {}", ALL.join(", ")));
    }
    let armed = Armed { point: point.to_owned(), remaining: AtomicU64::new(nth.max(1)), crash };
    ARMED.set(armed).map_err(|_| "a crash is armed already".to_owned())
}

/// Passes a point.
pub(crate) fn reach(point: &'static str) {
    debug_assert!(ALL.contains(&point), "{point} is not listed");
    if let Some(armed) = ARMED.get()
        && armed.point == point
        && armed.remaining.fetch_sub(1, Ordering::SeqCst) == 1
    {
        (armed.crash)();
    }
}
