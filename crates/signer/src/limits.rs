//! The limits of this crate, each with its reason.

use std::num::NonZeroUsize;

/// Requests in one call, as the port promises.
pub const MAX_BATCH: usize = 500;

/// Requests signed on the caller's thread; more go to blocking threads. At 25 µs each, 16 hold up an
/// executor thread for less than half a millisecond, about ten times what handing them over costs.
pub const INLINE_BATCH: usize = 16;

/// Requests handed to one blocking thread at a time, so that a large batch uses all cores.
pub const CHUNK: usize = 64;

/// Opened keys kept: opening one costs as much as a signature.
pub const OPEN_KEYS: NonZeroUsize = NonZeroUsize::new(20_000).unwrap();

/// Longest key reference, in bytes.
pub const MAX_KEY_REF: usize = 200;
/// Actions of one relayed transaction: every approval there is, and some.
pub const MAX_ACTIONS: usize = 20;
