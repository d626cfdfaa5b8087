//! The [`People`] port: users, what lets them in, and the audit log.

mod audit;
mod credentials;
mod entries;
mod tickets;
mod users;

use std::net::IpAddr;

use access::{
    ApiToken, Attempts, AuditEntry, AuditFilter, NewToken, NewUser, Note, Over, Passkey, PasskeyId, People,
    Purpose, Session, SessionId, Ticket, TokenId, User, UserId,
};
use async_trait::async_trait;
use domain::{Address, Hash, Timestamp, ids::OwnerId};
use engine::ports::store::StoreResult;

use crate::{
    SqlStore,
    column::{Column, Fields, integer_columns},
    dialect::Connection,
    sql::Value,
    store::Write,
};

// Numbers that this room makes.
integer_columns!(UserId, SessionId, TokenId, PasskeyId);

/// An address of the network, as text.
impl Column for Option<IpAddr> {
    fn read(fields: &mut Fields<'_>) -> StoreResult<Self> {
        let text: Option<String> = fields.get()?;
        text.map(|text| text.parse()).transpose().map_err(|_| fields.corrupt("this is no address"))
    }
}

impl From<Option<IpAddr>> for Value {
    fn from(value: Option<IpAddr>) -> Self {
        Self::Text(value.map(|address| address.to_string()))
    }
}

impl From<Option<&[u8]>> for Value {
    fn from(value: Option<&[u8]>) -> Self {
        Self::Blob(value.map(<[u8]>::to_vec))
    }
}

/// Commits what was changed, with the note of it; otherwise ends without a change.
async fn noted(mut write: Write<'_>, changed: bool, note: &Note) -> StoreResult<bool> {
    if changed {
        audit::write(write.connection(), note).await?;
        write.commit().await?;
    } else {
        write.undo().await?;
    }
    Ok(changed)
}

/// Ends a transaction with the note of what it did.
async fn done(write: Write<'_>, note: &Note) -> StoreResult<()> {
    noted(write, true, note).await.map(|_| ())
}

#[async_trait]
impl People for SqlStore {
    async fn unclaimed_owner(&self) -> StoreResult<Option<OwnerId>> {
        users::unclaimed_owner(&mut self.read().await?).await
    }

    async fn add_user(&self, user: &NewUser, note: &Note) -> StoreResult<User> {
        let mut write = self.write().await?;
        let added = users::add(write.connection(), user, note.at).await?;
        let note = Note {
            user: note.user.or(Some(added.id)),
            owner: note.owner.or(Some(added.owner)),
            ..note.clone()
        };
        done(write, &note).await?;
        Ok(added)
    }

    async fn user(&self, id: UserId) -> StoreResult<Option<User>> {
        users::one(&mut self.read().await?, id).await
    }

    async fn user_named(&self, name: &str) -> StoreResult<Option<User>> {
        users::named(&mut self.read().await?, name).await
    }

    async fn user_of_wallet(&self, wallet: Address) -> StoreResult<Option<User>> {
        users::of_wallet(&mut self.read().await?, wallet).await
    }

    async fn users(&self, after: UserId, limit: usize) -> StoreResult<Vec<User>> {
        users::after(&mut self.read().await?, after, limit).await
    }

    async fn change_user(&self, user: &User, note: &Note) -> StoreResult<()> {
        let mut write = self.write().await?;
        users::change(write.connection(), user).await?;
        done(write, note).await
    }

    async fn erase_user(&self, id: UserId, note: &Note) -> StoreResult<()> {
        let mut write = self.write().await?;
        users::erase(write.connection(), id, note.at).await?;
        done(write, note).await
    }

    async fn set_recovery_codes(&self, user: UserId, hashes: &[Hash], note: &Note) -> StoreResult<()> {
        let mut write = self.write().await?;
        credentials::set_codes(write.connection(), user, hashes).await?;
        done(write, note).await
    }

    async fn take_recovery_code(&self, user: UserId, hash: Hash, note: &Note) -> StoreResult<bool> {
        let mut write = self.write().await?;
        let taken = credentials::take_code(write.connection(), user, hash).await?;
        noted(write, taken, note).await
    }

    async fn recovery_codes_left(&self, user: UserId) -> StoreResult<usize> {
        credentials::codes_left(&mut self.read().await?, user).await
    }

    async fn add_passkey(&self, passkey: &Passkey, note: &Note) -> StoreResult<PasskeyId> {
        let mut write = self.write().await?;
        let id = credentials::add_passkey(write.connection(), passkey).await?;
        done(write, note).await?;
        Ok(id)
    }

    async fn passkeys_of(&self, user: UserId) -> StoreResult<Vec<Passkey>> {
        credentials::passkeys_of(&mut self.read().await?, user).await
    }

    async fn passkey(&self, credential: &[u8]) -> StoreResult<Option<(Passkey, User)>> {
        credentials::passkey(&mut self.read().await?, credential).await
    }

    async fn use_passkey(&self, passkey: &Passkey, counter: i64, at: Timestamp) -> StoreResult<bool> {
        let mut write = self.write().await?;
        let used = credentials::use_passkey(write.connection(), passkey, counter, at).await?;
        end(write, used).await
    }

    async fn remove_passkey(&self, user: UserId, passkey: PasskeyId, note: &Note) -> StoreResult<bool> {
        let mut write = self.write().await?;
        let removed = credentials::remove_passkey(write.connection(), user, passkey).await?;
        noted(write, removed, note).await
    }

    async fn begin_session(
        &self,
        session: &Session,
        replaces: Option<SessionId>,
        note: &Note,
    ) -> StoreResult<SessionId> {
        let mut write = self.write().await?;
        let id = entries::begin_session(write.connection(), session, replaces).await?;
        done(write, note).await?;
        Ok(id)
    }

    async fn session(&self, hash: Hash) -> StoreResult<Option<(Session, User)>> {
        entries::session(&mut self.read().await?, hash).await
    }

    async fn saw_session(&self, session: SessionId, at: Timestamp) -> StoreResult<()> {
        let mut write = self.write().await?;
        entries::saw_session(write.connection(), session, at).await?;
        write.commit().await
    }

    async fn sessions_of(&self, user: UserId) -> StoreResult<Vec<Session>> {
        entries::sessions_of(&mut self.read().await?, user).await
    }

    async fn end_session(&self, user: UserId, session: SessionId, note: &Note) -> StoreResult<bool> {
        let mut write = self.write().await?;
        let ended = entries::end_session(write.connection(), user, session).await?;
        noted(write, ended, note).await
    }

    async fn end_sessions(&self, user: UserId, but: Option<SessionId>, note: &Note) -> StoreResult<u64> {
        let mut write = self.write().await?;
        let ended = entries::end_sessions(write.connection(), user, but).await?;
        noted(write, ended > 0, note).await?;
        Ok(ended)
    }

    async fn add_token(&self, token: &NewToken, note: &Note) -> StoreResult<TokenId> {
        let mut write = self.write().await?;
        let id = entries::add_token(write.connection(), token).await?;
        done(write, note).await?;
        Ok(id)
    }

    async fn token(&self, hash: Hash) -> StoreResult<Option<(ApiToken, User)>> {
        entries::token(&mut self.read().await?, hash).await
    }

    async fn saw_token(&self, token: TokenId, at: Timestamp) -> StoreResult<()> {
        let mut write = self.write().await?;
        entries::saw_token(write.connection(), token, at).await?;
        write.commit().await
    }

    async fn tokens_of(&self, user: UserId) -> StoreResult<Vec<ApiToken>> {
        entries::tokens_of(&mut self.read().await?, user).await
    }

    async fn revoke_token(&self, user: UserId, token: TokenId, note: &Note) -> StoreResult<bool> {
        let mut write = self.write().await?;
        let revoked = entries::revoke_token(write.connection(), user, token, note.at).await?;
        noted(write, revoked, note).await
    }

    async fn add_ticket(&self, ticket: &Ticket, alone: bool, note: Option<&Note>) -> StoreResult<()> {
        let mut write = self.write().await?;
        tickets::add(write.connection(), ticket, alone).await?;
        match note {
            Some(note) => done(write, note).await,
            None => write.commit().await,
        }
    }

    async fn ticket(&self, hash: Hash, now: Timestamp) -> StoreResult<Option<Ticket>> {
        tickets::one(&mut self.read().await?, hash, now).await
    }

    async fn take_ticket(&self, hash: Hash, purpose: Purpose, now: Timestamp) -> StoreResult<Option<Ticket>> {
        let mut write = self.write().await?;
        let taken = tickets::take(write.connection(), hash, purpose, now).await?;
        end(write, taken.is_some()).await?;
        Ok(taken)
    }

    async fn attempts(&self, keys: &[Hash]) -> StoreResult<Vec<Attempts>> {
        tickets::attempts(&mut self.read().await?, keys).await
    }

    async fn set_attempts(&self, changes: &[(Hash, Attempts, Attempts)]) -> StoreResult<bool> {
        let mut write = self.write().await?;
        let set = tickets::set_attempts(write.connection(), changes).await?;
        end(write, set).await
    }

    async fn note(&self, note: &Note) -> StoreResult<()> {
        done(self.write().await?, note).await
    }

    async fn notes(&self, filter: AuditFilter) -> StoreResult<Vec<AuditEntry>> {
        audit::read(&mut self.read().await?, filter).await
    }

    async fn tidy(&self, now: Timestamp, over: &Over) -> StoreResult<()> {
        let mut write = self.write().await?;
        tidy(write.connection(), now, over).await?;
        write.commit().await
    }
}

/// Commits what was changed without a note, or ends without a change.
async fn end(write: Write<'_>, changed: bool) -> StoreResult<bool> {
    if changed {
        write.commit().await?
    } else {
        write.undo().await?
    }
    Ok(changed)
}

async fn tidy(connection: &mut Connection, now: Timestamp, over: &Over) -> StoreResult<()> {
    entries::remove_over(connection, over).await?;
    tickets::remove_over(connection, now, over).await
}
