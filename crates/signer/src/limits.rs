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

/// Bytes of a frame between a signer's process and its client: 500 orders have half of it, and so have 2,000 sealed
/// keys.
pub const LONGEST_FRAME: usize = 1024 * 1024;

/// Sealed keys that are handed to a signer's process at once.
pub const KEYS_IN_A_FRAME: usize = 500;

/// Connections a signer's process has open.
pub const CONNECTIONS: usize = 32;

/// How long a connection may rest between two calls, so that no client keeps all of them: shorter
/// than [`CALL_DEADLINE`].
pub const LONGEST_REST: std::time::Duration = std::time::Duration::from_secs(3);

/// A client does not use a connection again that has rested for longer: it is not closed in the middle of a call.
pub const REUSED_WITHIN: std::time::Duration = std::time::Duration::from_secs(1);

/// Pause after a connection that could not be taken.
pub const ACCEPT_PAUSE: std::time::Duration = std::time::Duration::from_millis(100);

/// How long a client waits for an answer. The longest calls open all keys (a passphrase is stretched for a tenth of a
/// second); a batch takes milliseconds.
pub const CALL_DEADLINE: std::time::Duration = std::time::Duration::from_secs(5);

/// How long the rest of a frame may take whose beginning is there.
pub const FRAME_DEADLINE: std::time::Duration = std::time::Duration::from_secs(2);

/// A session key signs no order in the last minute before its end: it could be worth nothing when it arrives …
pub const SESSION_MARGIN: std::time::Duration = std::time::Duration::from_secs(60);

/// … and no buy in its last day: what it buys it must be able to sell.
pub const SESSION_SELLS_ONLY: std::time::Duration = std::time::Duration::from_secs(24 * 3_600);

/// Most gas of one transaction of an EOA. Redeeming takes about 300,000.
pub const MAX_GAS: u64 = 2_000_000;

/// Most wei for a unit of gas, tip included: ten times what Polygon asks for on a bad day. With [`MAX_GAS`] a
/// transaction costs at most 20 POL.
pub const MAX_FEE: u64 = 10_000_000_000_000;

/// Bytes of a file with a secret: a key, or the credentials of a relayer.
pub const LONGEST_PRIVATE_FILE: u64 = 4_096;

/// Memory of a new passphrase's stretching, in KiB: three times the least that OWASP recommends, and a tenth of a second.
pub const ARGON2_MEMORY_KIB: u32 = 64 * 1024;
/// Passes over it.
pub const ARGON2_PASSES: u32 = 3;
/// Lanes.
pub const ARGON2_LANES: u32 = 1;
/// Least memory that a stored header may ask for. Source: OWASP Password Storage Cheat Sheet (19 MiB, 2 passes).
pub const LEAST_ARGON2_MEMORY_KIB: u32 = 19 * 1024;
/// Least passes.
pub const LEAST_ARGON2_PASSES: u32 = 2;
/// Most memory: a changed header must not take the machine's.
pub const MOST_ARGON2_MEMORY_KIB: u32 = 1024 * 1024;
/// Most passes.
pub const MOST_ARGON2_PASSES: u32 = 16;
/// Most lanes.
pub const MOST_ARGON2_LANES: u32 = 16;

/// Characters of a passphrase. Three words of a list make more; what is shorter is guessed.
pub const SHORTEST_PASSPHRASE: usize = 12;

/// Bytes of a file that age encrypted: a key of 66 bytes for a handful of recipients takes a kilobyte.
pub const LONGEST_AGE_FILE: usize = 16 * 1024;

/// A day's cap is taken out of the file in this many pieces: each costs a sync, and after a crash at most one
/// piece of the day is lost, never spent twice.
pub const PIECES_OF_A_DAY: i64 = 16;

/// Orders counted lately: signing the same one again spends nothing again.
pub const COUNTED_ORDERS: NonZeroUsize = NonZeroUsize::new(10_000).unwrap();

/// Bytes of the file of caps: a record has about 200.
pub const LONGEST_SPENDING_FILE: u64 = 64 * 1024 * 1024;

/// The most that a cap may be, in dollars: far from where sums overflow.
pub const MOST_DOLLARS: i64 = 1_000_000_000;
