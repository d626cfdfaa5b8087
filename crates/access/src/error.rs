//! What goes wrong, in words for whoever asked.

use std::time::Duration;

use engine::ports::store::StoreError;

use crate::{
    limits::{LONGEST_NAME, LONGEST_PASSWORD, SHORTEST_PASSWORD},
    role::Scope,
    secret::NoRandomness,
};

/// Result of a call here.
pub type AccessResult<T> = Result<T, AccessError>;

/// A request that is not granted.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
pub enum AccessError {
    /// Whoever asks is nobody: sign in. The same for an unknown user, a wrong password and a disabled user.
    #[error("this is not a name and password that belong together")]
    WrongCredentials,
    /// No session, or one that is over.
    #[error("you are not signed in, or your session has ended; sign in")]
    NotSignedIn,
    /// A token of a program that lets nobody in.
    #[error(
        "this token is unknown, revoked, expired or not for this address; make another one in the security settings"
    )]
    BadToken,
    /// Too many wrong answers.
    #[error("too many wrong answers; try again in {} s", .0.as_secs().saturating_add(1))]
    TooMany(Duration),
    /// A second proof was wrong.
    #[error("this code is wrong, used already or too old; take the newest one, or a recovery code")]
    WrongCode,
    /// A link or challenge that is unknown, used or expired.
    #[error("this link was used already or has expired; ask for another one")]
    BadTicket,
    /// The role or the token does not include it.
    #[error("this needs the right to {0}, which your role or this token does not have")]
    Forbidden(Scope),
    /// A dangerous action without a fresh proof of who asks.
    #[error("this needs your password or a passkey again: it was more than five minutes ago")]
    StepUp,
    /// The dangerous action of somebody who has no password yet.
    #[error("set a passphrase first: it protects keys and limits even on this machine")]
    NoPassphrase,
    /// Nobody may sign up without an invitation.
    #[error("new users need an invitation; ask the administrator for one")]
    ByInvitation,
    /// The installation wants accounts, or has them already.
    #[error("this installation has accounts; sign in")]
    AccountsExist,
    /// A name that is no name.
    #[error("a name has 1 to {LONGEST_NAME} letters, digits, dots, hyphens, underscores or @")]
    BadName,
    /// A name that somebody has.
    #[error("this name is taken; choose another one")]
    NameTaken,
    /// A password that is easily guessed, or too long.
    #[error(
        "a password has {SHORTEST_PASSWORD} to {LONGEST_PASSWORD} characters and does not contain the name; use several random words"
    )]
    BadPassword,
    /// Something else is wrong with what was sent; says what.
    #[error("{0}")]
    Invalid(String),
    /// No such row of this user.
    #[error("there is no such {0}")]
    NotFound(&'static str),
    /// Somebody changed the same meanwhile, or a rule of the store's forbids it.
    #[error("{0}")]
    Conflict(String),
    /// The store failed.
    #[error(transparent)]
    Store(StoreError),
    /// The system failed.
    #[error(transparent)]
    System(#[from] NoRandomness),
}

impl From<StoreError> for AccessError {
    fn from(error: StoreError) -> Self {
        match error {
            StoreError::NotFound { what, .. } => Self::NotFound(what),
            StoreError::Conflict(words) => Self::Conflict(words),
            other => Self::Store(other),
        }
    }
}
