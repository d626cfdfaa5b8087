//! Limits of operations, each with its reason.

use std::time::Duration;

/// Calls of this time are judged together.
pub const BREAKER_WINDOW: Duration = Duration::from_secs(10);
/// Fewer calls in the window say nothing about a share of them.
pub const BREAKER_CALLS: usize = 20;
/// Calls that are remembered at most; the oldest are forgotten first, so that a busy second costs no memory.
pub const BREAKER_REMEMBERED: usize = 4_096;
/// A call that takes longer counts as one that failed.
pub const BREAKER_SLOW: Duration = Duration::from_secs(2);
/// So many calls in a row that found nobody need no share.
pub const BREAKER_IN_A_ROW: u32 = 5;
/// How long a breaker stays open the first time.
pub const BREAKER_OPEN: Duration = Duration::from_secs(5);
/// How long it stays open at most.
pub const BREAKER_OPEN_MOST: Duration = Duration::from_secs(60);
/// Calls that must go well, one after the other, before everybody is let through again.
pub const BREAKER_PROBES: u32 = 3;
/// Who was let through as a probe and has not come back after this time is given up: another one may try.
pub const BREAKER_PROBE_LOST: Duration = Duration::from_secs(15);
/// The longest time for which an operator may override a breaker: who forgets to end it has a breaker again the next day.
pub const OVERRIDE_MOST: Duration = Duration::from_secs(24 * 3_600);

/// A reading is believed for so many of its probe's rounds, and the time a round may take.
pub const ROUNDS_BELIEVED: u32 = 3;
/// Readings of one check that are kept: providers, sessions by name. More of them say no more.
pub const READINGS: usize = 64;
/// Letters of what a reading says.
pub const OUTPUT: usize = 500;

/// A breaker that has not been closed for so long holds everybody's entries, in all processes, and tells people.
pub const HOLD_AFTER: Duration = Duration::from_secs(10);
/// All must have been well for so long before that is lifted.
pub const LIFT_AFTER: Duration = Duration::from_secs(30);
/// And up to so much longer, each process by its own amount, so that not all begin at one moment.
pub const LIFT_SPREAD: Duration = Duration::from_secs(15);

/// Values of tags come from outside, too (providers, applications): so many series are kept, and no more.
pub const SERIES: usize = 2_000;
/// Values of a histogram that wait to be sent; what comes beyond is in its buckets alone.
pub const FRESH_VALUES: usize = 1_024;

/// The longest silence: who forgets to end it is told again.
pub const SILENCE_MOST: Duration = Duration::from_secs(7 * 24 * 3_600);
