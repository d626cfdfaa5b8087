//! Who people are and what they may do: users, roles, sign-in, sessions, tokens of programs, and the audit log.
//!
//! Pure rules over one port, [`People`]. It knows no SQL and no HTTP server, prints nothing, and keeps no secret: of
//! whatever lets somebody in, the store has a hash, or a text that only the installation's secret opens. A [`Tenant`] is
//! made here alone, for somebody who proved who he is.
#![cfg_attr(not(test), deny(clippy::indexing_slicing))]

mod access;
mod caller;
mod cbor;
pub mod did;
mod error;
mod ethereum;
mod limits;
mod passkeys;
mod password;
mod people;
mod role;
mod secret;
mod sessions;
mod set_up;
mod sign_in;
mod throttle;
mod tokens;
mod totp;
mod users;
mod webauthn;

pub use access::{Access, Peer, Randomness, Settings, SignUp};
pub use caller::{Caller, Installation, Means, Tenant};
pub use error::{AccessError, AccessResult};
pub use limits::*;
pub use people::{
    ApiToken, Attempts, AuditEntry, AuditFilter, NewToken, NewUser, Note, Over, Passkey, PasskeyId, People,
    Purpose, Session, SessionId, Ticket, TokenId, User, UserId,
};
pub use role::{Role, Scope, Scopes};
pub use secret::{NoRandomness, Secret, digest};
pub use set_up::Standing;
pub use sign_in::{NewSession, SignedIn};
pub use tokens::TokenWish;
pub use totp::TotpOffer;
pub use users::PersonalData;
pub use webauthn::{PasskeyAnswer, PasskeyResponse};
