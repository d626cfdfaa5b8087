//! Limits of this room.

use std::time::Duration;

/// Characters of a password at least. Long ones need no rules about their letters.
pub const SHORTEST_PASSWORD: usize = 12;

/// Bytes of a password at most: enough for a sentence, not for a load.
pub const LONGEST_PASSWORD: usize = 256;

/// Characters of a name at most.
pub const LONGEST_NAME: usize = 64;

/// Memory, passes and lanes of argon2id. Source: OWASP Password Storage Cheat Sheet.
pub const ARGON2: (u32, u32, u32) = (19_456, 2, 1);

/// Passwords that are looked at side by side; the others wait.
pub(crate) const PASSWORDS_AT_ONCE: usize = 2;

/// How long a session lasts without a request.
pub const IDLE: Duration = Duration::from_secs(30 * 60);

/// How long a session lasts.
pub const ABSOLUTE: Duration = Duration::from_secs(12 * 60 * 60);

/// For how long somebody who proved who he is may do what is dangerous.
pub const RECENT: Duration = Duration::from_secs(5 * 60);

/// Requests of a session within this write its time of use once.
pub(crate) const SEEN_EVERY: Duration = Duration::from_secs(60);

/// How long the link that sets up the administrator works.
pub const SET_UP_FOR: Duration = Duration::from_secs(24 * 60 * 60);

/// How long an invitation works.
pub const INVITED_FOR: Duration = Duration::from_secs(7 * 24 * 60 * 60);

/// How long a link works that sets another password.
pub const RESET_FOR: Duration = Duration::from_secs(60 * 60);

/// How long the second step of a sign-in may take, or the answer to a challenge.
pub const STEP_FOR: Duration = Duration::from_secs(5 * 60);

/// Wrong answers for one name that cost nothing; then each doubles the wait.
pub(crate) const FREE_FOR_NAME: i64 = 5;

/// Wrong answers from one address that cost nothing.
pub(crate) const FREE_FOR_ADDRESS: i64 = 20;

/// The longest wait for a name: longer, and a stranger could lock somebody out.
pub(crate) const LONGEST_WAIT_FOR_NAME: Duration = Duration::from_secs(60);

/// The longest wait of an address.
pub(crate) const LONGEST_WAIT_FOR_ADDRESS: Duration = Duration::from_secs(15 * 60);

/// Wrong answers are forgotten after so long without another.
pub(crate) const FORGOTTEN_AFTER: Duration = Duration::from_secs(24 * 60 * 60);

/// Rows of a list at most.
pub const MOST_ROWS: usize = 500;

/// Recovery codes that are made at once.
pub(crate) const RECOVERY_CODES: usize = 10;

/// Tokens of one user that are not taken back.
pub(crate) const MOST_TOKENS: usize = 50;

/// Addresses of one token.
pub(crate) const MOST_ADDRESSES: usize = 32;

/// Passkeys of one user.
pub(crate) const MOST_PASSKEYS: usize = 20;
