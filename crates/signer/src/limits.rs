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

/// Most gas of one transaction of an EOA. Redeeming takes about 300,000.
pub const MAX_GAS: u64 = 2_000_000;

/// Most wei for a unit of gas, tip included: ten times what Polygon asks for on a bad day. With [`MAX_GAS`] a
/// transaction costs at most 20 POL.
pub const MAX_FEE: u64 = 10_000_000_000_000;

/// Bytes of a file with a secret: a key, or the credentials of a relayer.
pub const LONGEST_PRIVATE_FILE: u64 = 4_096;
