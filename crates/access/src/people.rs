//! The port: what a store keeps of people. Every method is one transaction; whatever changes something takes the [`Note`]
//! of it and writes both or neither. A store computes nothing here: it compares, sets and finds.

use std::net::IpAddr;

use async_trait::async_trait;
use domain::{Address, Hash, Timestamp, ids::OwnerId};
use engine::ports::store::StoreResult;
use serde::{Deserialize, Serialize};

use crate::role::{Role, Scopes};

macro_rules! ids {
    ($($(#[$doc:meta])* $name:ident),* $(,)?) => {$(
        $(#[$doc])*
        #[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize, Deserialize)]
        #[serde(transparent)]
        pub struct $name(pub i64);

        impl std::fmt::Display for $name {
            fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
                self.0.fmt(f)
            }
        }
    )*};
}

ids!(
    /// A user.
    UserId,
    /// A session.
    SessionId,
    /// A program's token.
    TokenId,
    /// A passkey.
    PasskeyId,
);

/// Somebody who may sign in. Each has an owner of his own: the tenant.
#[derive(Clone, PartialEq, Eq)]
pub struct User {
    /// Which.
    pub id: UserId,
    /// Whose rows he sees.
    pub owner: OwnerId,
    /// What he signs in with, in small letters. Unique.
    pub name: String,
    /// What he may do.
    pub role: Role,
    /// Since when he may not sign in, if so.
    pub disabled_at: Option<Timestamp>,
    /// What is kept of the password, if he has one.
    pub password: Option<String>,
    /// The secret of the authenticator app, sealed, if he has one.
    pub totp: Option<Vec<u8>>,
    /// The newest step of time whose code was used: none is used twice.
    pub totp_step: i64,
    /// The wallet he signs in with, if so. Unique.
    pub wallet: Option<Address>,
    /// Since when he is known.
    pub created_at: Timestamp,
    /// Raised with every change: two at once cannot both happen.
    pub version: i64,
}

/// Without what lets him in.
impl std::fmt::Debug for User {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        write!(f, "user {} ({}, {}, version {})", self.id, self.name, self.role, self.version)
    }
}

/// A user to be added.
#[derive(Clone, PartialEq, Eq)]
pub struct NewUser {
    /// Whose rows he will see; `None` makes an owner.
    pub owner: Option<OwnerId>,
    /// His name.
    pub name: String,
    /// His role.
    pub role: Role,
    /// What is kept of his password.
    pub password: Option<String>,
    /// The wallet he signs in with.
    pub wallet: Option<Address>,
}

/// A browser that is signed in.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Session {
    /// Which; the store makes it.
    pub id: SessionId,
    /// Whose.
    pub user: UserId,
    /// SHA-256 of what the browser has.
    pub hash: Hash,
    /// Since when; a rotation does not change it.
    pub created_at: Timestamp,
    /// The newest request, to the minute.
    pub seen_at: Timestamp,
    /// When he last proved who he is; `None` of a single user who did not.
    pub proven_at: Option<Timestamp>,
    /// From where it began.
    pub address: Option<IpAddr>,
    /// The browser's own name, shortened.
    pub agent: String,
}

/// A program's token, as it is listed.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct ApiToken {
    /// Which.
    pub id: TokenId,
    /// What it is for, in the user's words.
    pub name: String,
    /// How it begins, for people to find it again.
    pub prefix: String,
    /// What it may do, within the user's role.
    pub scopes: Scopes,
    /// From where alone it may be used; empty = from everywhere.
    pub addresses: Vec<IpAddr>,
    /// Since when.
    pub created_at: Timestamp,
    /// Until when.
    pub expires_at: Option<Timestamp>,
    /// Its newest use, to the minute.
    pub used_at: Option<Timestamp>,
    /// Since when it was taken back.
    pub revoked_at: Option<Timestamp>,
}

/// A token to be added.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct NewToken {
    /// Whose.
    pub user: UserId,
    /// SHA-256 of the token.
    pub hash: Hash,
    /// What is listed of it; its id is the store's.
    pub token: ApiToken,
}

/// A key in somebody's device or key ring that signs in for one site.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Passkey {
    /// Which; the store makes it.
    pub id: PasskeyId,
    /// Whose.
    pub user: UserId,
    /// The device's name of it. Unique.
    pub credential: Vec<u8>,
    /// The public key, as WebAuthn's algorithm has it.
    pub key: Vec<u8>,
    /// The algorithm's number among COSE's.
    pub algorithm: i64,
    /// The device's count of its uses; 0 for ever where a device does not count.
    pub counter: i64,
    /// What the user calls it.
    pub name: String,
    /// Since when.
    pub created_at: Timestamp,
    /// Its newest use.
    pub used_at: Option<Timestamp>,
}

/// What a [`Ticket`] is good for.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub enum Purpose {
    /// Makes the first administrator.
    SetUp,
    /// Lets somebody sign up with a role.
    Invitation,
    /// Sets another password of a user.
    Reset,
    /// The second step of a user's sign-in.
    SecondFactor,
    /// The nonce of a wallet's signature.
    Ethereum,
    /// The challenge that a new passkey of a user answers.
    NewPasskey,
    /// The challenge that a passkey answers.
    Passkey,
}

impl Purpose {
    /// All; a store keeps the position.
    pub const ALL: [Self; 7] = [
        Self::SetUp,
        Self::Invitation,
        Self::Reset,
        Self::SecondFactor,
        Self::Ethereum,
        Self::NewPasskey,
        Self::Passkey,
    ];
}

/// Something that works once, for a while.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Ticket {
    /// SHA-256 of what its holder has.
    pub hash: Hash,
    /// What it is good for.
    pub purpose: Purpose,
    /// The user it is about.
    pub user: Option<UserId>,
    /// The role it gives.
    pub role: Option<Role>,
    /// Until when.
    pub until: Timestamp,
}

/// Wrong answers for one name or from one address.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Attempts {
    /// How many since the last right one.
    pub failures: i64,
    /// The newest.
    pub last_at: Timestamp,
}

/// Something that was done, for the audit log.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Note {
    /// When.
    pub at: Timestamp,
    /// Who; `None` when nobody knows, or the system itself.
    pub user: Option<UserId>,
    /// Whose rows it concerns; `None` = the installation's.
    pub owner: Option<OwnerId>,
    /// From where.
    pub address: Option<IpAddr>,
    /// What: a verb of [`crate::did`], or of whoever notes it.
    pub what: String,
    /// On what: a kind and its number, never a secret.
    pub on: String,
}

/// A note that was written.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct AuditEntry {
    /// Its number: growing.
    pub id: i64,
    /// What was noted.
    pub note: Note,
}

/// Which notes.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct AuditFilter {
    /// Of these rows alone; `None` = of all.
    pub owner: Option<OwnerId>,
    /// Older than this number.
    pub before: Option<i64>,
    /// At most so many.
    pub limit: usize,
}

/// What a store keeps of people.
#[async_trait]
pub trait People: Send + Sync {
    /// The first owner that no user has: the one that an installation was made with.
    async fn unclaimed_owner(&self) -> StoreResult<Option<OwnerId>>;

    /// Adds a user, and his owner if it names none. `Conflict` when the name, the wallet or the owner is somebody's.
    async fn add_user(&self, user: &NewUser, note: &Note) -> StoreResult<User>;

    /// A user.
    async fn user(&self, id: UserId) -> StoreResult<Option<User>>;

    /// The user with this name, which is in small letters.
    async fn user_named(&self, name: &str) -> StoreResult<Option<User>>;

    /// The user who signs in with this wallet.
    async fn user_of_wallet(&self, wallet: Address) -> StoreResult<Option<User>>;

    /// Users with numbers above this, ascending.
    async fn users(&self, after: UserId, limit: usize) -> StoreResult<Vec<User>>;

    /// Sets all but id, owner and the time of making, and raises the version. `Conflict` when the version is not the
    /// stored one, when name or wallet is somebody else's, or when no enabled administrator would be left.
    async fn change_user(&self, user: &User, note: &Note) -> StoreResult<()>;

    /// Removes what is personal: sessions, tokens, passkeys, codes, the name, the wallet, labels of accounts, addresses in
    /// the log. Trades, orders, ledger and notes stay, under the number alone. `Conflict` while he follows somebody, has
    /// an order that is not over or an account that was not removed, and for the last administrator.
    async fn erase_user(&self, id: UserId, note: &Note) -> StoreResult<()>;

    /// The hashes of a user's recovery codes, instead of those he had.
    async fn set_recovery_codes(&self, user: UserId, hashes: &[Hash], note: &Note) -> StoreResult<()>;

    /// Takes a recovery code away; whether it was there. The note is written only then.
    async fn take_recovery_code(&self, user: UserId, hash: Hash, note: &Note) -> StoreResult<bool>;

    /// How many a user has left.
    async fn recovery_codes_left(&self, user: UserId) -> StoreResult<usize>;

    /// Adds a passkey. `Conflict` when its credential is known.
    async fn add_passkey(&self, passkey: &Passkey, note: &Note) -> StoreResult<PasskeyId>;

    /// A user's passkeys.
    async fn passkeys_of(&self, user: UserId) -> StoreResult<Vec<Passkey>>;

    /// The passkey with this credential, and whose it is.
    async fn passkey(&self, credential: &[u8]) -> StoreResult<Option<(Passkey, User)>>;

    /// Counts a use, if the device's count is still what `passkey` says; whether it was.
    async fn use_passkey(&self, passkey: &Passkey, counter: i64, at: Timestamp) -> StoreResult<bool>;

    /// Removes a user's passkey; whether he had it.
    async fn remove_passkey(&self, user: UserId, passkey: PasskeyId, note: &Note) -> StoreResult<bool>;

    /// Begins a session, instead of the one that it replaces.
    async fn begin_session(
        &self,
        session: &Session,
        replaces: Option<SessionId>,
        note: &Note,
    ) -> StoreResult<SessionId>;

    /// The session with this hash, and whose it is.
    async fn session(&self, hash: Hash) -> StoreResult<Option<(Session, User)>>;

    /// Notes a request of a session.
    async fn saw_session(&self, session: SessionId, at: Timestamp) -> StoreResult<()>;

    /// A user's sessions, the newest first.
    async fn sessions_of(&self, user: UserId) -> StoreResult<Vec<Session>>;

    /// Ends a user's session; whether he had it.
    async fn end_session(&self, user: UserId, session: SessionId, note: &Note) -> StoreResult<bool>;

    /// Ends all of a user's sessions but one; how many.
    async fn end_sessions(&self, user: UserId, but: Option<SessionId>, note: &Note) -> StoreResult<u64>;

    /// Adds a token.
    async fn add_token(&self, token: &NewToken, note: &Note) -> StoreResult<TokenId>;

    /// The token with this hash, and whose it is.
    async fn token(&self, hash: Hash) -> StoreResult<Option<(ApiToken, User)>>;

    /// Notes a request with a token.
    async fn saw_token(&self, token: TokenId, at: Timestamp) -> StoreResult<()>;

    /// A user's tokens, revoked ones too, the newest first.
    async fn tokens_of(&self, user: UserId) -> StoreResult<Vec<ApiToken>>;

    /// Takes a token back from the note's time on; whether the user had it and it was not yet.
    async fn revoke_token(&self, user: UserId, token: TokenId, note: &Note) -> StoreResult<bool>;

    /// Adds a ticket; `alone` removes others of the same purpose and user.
    async fn add_ticket(&self, ticket: &Ticket, alone: bool, note: Option<&Note>) -> StoreResult<()>;

    /// A ticket that still works at this time.
    async fn ticket(&self, hash: Hash, now: Timestamp) -> StoreResult<Option<Ticket>>;

    /// The same, taken away: it worked once.
    async fn take_ticket(&self, hash: Hash, purpose: Purpose, now: Timestamp) -> StoreResult<Option<Ticket>>;

    /// Wrong answers under these keys.
    async fn attempts(&self, keys: &[Hash]) -> StoreResult<Vec<Attempts>>;

    /// Sets wrong answers, if all are still as they were; whether they were.
    async fn set_attempts(&self, changes: &[(Hash, Attempts, Attempts)]) -> StoreResult<bool>;

    /// Writes into the audit log.
    async fn note(&self, note: &Note) -> StoreResult<()>;

    /// Reads it, the newest first.
    async fn notes(&self, filter: AuditFilter) -> StoreResult<Vec<AuditEntry>>;

    /// Removes what is over: tickets until now, sessions not seen or begun since, wrong answers older than these times.
    async fn tidy(&self, now: Timestamp, over: &Over) -> StoreResult<()>;
}

/// What [`People::tidy`] removes.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Over {
    /// Sessions that were not seen since.
    pub seen: Timestamp,
    /// Sessions that began before.
    pub begun: Timestamp,
    /// Wrong answers before.
    pub attempts: Timestamp,
}
