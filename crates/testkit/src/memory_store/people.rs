//! People: who signs in, by what, and what they did.

use std::collections::{BTreeMap, BTreeSet};

use access::{
    ApiToken, Attempts, AuditEntry, AuditFilter, NewToken, NewUser, Note, Over, Passkey, PasskeyId, People,
    Purpose, Role, Session, SessionId, Ticket, TokenId, User, UserId,
};
use async_trait::async_trait;
use domain::{Address, Hash, Timestamp, ids::OwnerId};
use engine::ports::{
    following::RelationshipStatus,
    store::{StoreError, StoreResult},
};

use super::{MemoryStore, state::State, table::Table};

#[derive(Clone, Default)]
pub(super) struct PeopleState {
    users: Table<User>,
    codes: BTreeSet<(UserId, Hash)>,
    passkeys: Table<Passkey>,
    sessions: Table<Session>,
    tokens: Table<(NewToken, UserId)>,
    tickets: BTreeMap<Hash, Ticket>,
    attempts: BTreeMap<Hash, Attempts>,
    notes: Table<Note>,
}

fn conflict(why: &str) -> StoreError {
    StoreError::Conflict(why.to_owned())
}

impl State {
    fn note(&mut self, note: &Note) {
        self.people.notes.insert(note.clone());
        self.committed();
    }

    /// Notes a change, if there was one.
    fn noted(&mut self, changed: bool, note: &Note) -> bool {
        if changed {
            self.note(note);
        }
        changed
    }

    fn find_user(&self, is: impl Fn(&User) -> bool) -> Option<User> {
        self.people.users.rows().find(|user| is(user)).cloned()
    }

    fn user_of(&self, id: UserId) -> StoreResult<User> {
        self.people.users.row("user", id.0).cloned()
    }

    fn check_free(&self, name: &str, wallet: Option<Address>, but: UserId) -> StoreResult<()> {
        let mut others = self.people.users.rows().filter(|user| user.id != but);
        match others.find(|user| user.name == name || (wallet.is_some() && user.wallet == wallet)) {
            Some(_) => Err(conflict("this name or wallet is taken")),
            None => Ok(()),
        }
    }

    fn check_change(&self, user: &User) -> StoreResult<()> {
        self.check_free(&user.name, user.wallet, user.id)?;
        if self.user_of(user.id)?.version != user.version {
            return Err(conflict("this user was changed meanwhile"));
        }
        let administers = |user: &User| user.role == Role::Administrator && user.disabled_at.is_none();
        let before = self.people.users.rows().any(administers);
        let others = self.people.users.rows().any(|other| other.id != user.id && administers(other));
        if before && !others && !administers(user) {
            return Err(conflict("this is the only administrator"));
        }
        Ok(())
    }

    fn set_user(&mut self, user: &User) {
        if let Some(row) = self.people.users.get_mut(user.id.0) {
            *row = User {
                owner: row.owner,
                created_at: row.created_at,
                version: row.version.saturating_add(1),
                ..user.clone()
            };
        }
    }

    fn check_idle(&self, owner: OwnerId) -> StoreResult<()> {
        let follows = self.relationships.rows().map(|row| &row.relationship).any(|relationship| {
            relationship.owner == owner && relationship.status != RelationshipStatus::Stopped
        });
        let works = self
            .work
            .keys()
            .any(|intent| self.intents.get(intent.0).is_some_and(|intent| intent.owner == owner));
        let keys = self.sealed_keys.values().any(|key| key.owner == owner);
        if follows || works || keys { Err(conflict("this user is not idle")) } else { Ok(()) }
    }

    fn remove_sessions(&mut self, is: impl Fn(&Session) -> bool) -> u64 {
        let ids: Vec<i64> =
            self.people.sessions.iter().filter(|(_, session)| is(session)).map(|(id, _)| id).collect();
        for id in &ids {
            self.people.sessions.remove(*id);
        }
        u64::try_from(ids.len()).unwrap_or(u64::MAX)
    }

    fn erase(&mut self, user: &User, at: Timestamp) {
        let id = user.id;
        self.people.codes.retain(|(of, _)| *of != id);
        self.remove_sessions(|session| session.user == id);
        let passkeys: Vec<i64> =
            self.people.passkeys.iter().filter(|(_, row)| row.user == id).map(|(key, _)| key).collect();
        passkeys.into_iter().for_each(|key| self.people.passkeys.remove(key));
        let tokens: Vec<i64> =
            self.people.tokens.iter().filter(|(_, (_, of))| *of == id).map(|(key, _)| key).collect();
        tokens.into_iter().for_each(|key| self.people.tokens.remove(key));
        for key in 1..self.accounts.next_key() {
            if let Some(row) = self.accounts.get_mut(key).filter(|row| row.owner == user.owner) {
                "account".clone_into(&mut row.label);
            }
        }
        for key in 1..self.people.notes.next_key() {
            if let Some(note) = self.people.notes.get_mut(key).filter(|note| note.owner == Some(user.owner)) {
                note.address = None;
                if note.what == access::did::USER_ADDED {
                    note.on = format!("user {id}");
                }
            }
        }
        let name = format!("erased-{id}");
        let nothing =
            User { name, disabled_at: Some(at), password: None, totp: None, wallet: None, ..user.clone() };
        self.set_user(&nothing);
    }
}

#[async_trait]
impl People for MemoryStore {
    async fn unclaimed_owner(&self) -> StoreResult<Option<OwnerId>> {
        let state = self.read();
        let owners = state.owners.iter().map(|(id, _)| OwnerId(id));
        Ok(owners.into_iter().find(|owner| state.find_user(|user| user.owner == *owner).is_none()))
    }

    async fn add_user(&self, user: &NewUser, note: &Note) -> StoreResult<User> {
        let mut state = self.write();
        state.check_free(&user.name, user.wallet, UserId(0))?;
        if user.owner.is_some_and(|owner| state.find_user(|known| known.owner == owner).is_some()) {
            return Err(conflict("these rows belong to another user"));
        }
        let owner = user.owner.unwrap_or_else(|| OwnerId(state.owners.insert("user".to_owned())));
        let added = User {
            id: UserId(state.people.users.next_key()),
            owner,
            name: user.name.clone(),
            role: user.role,
            disabled_at: None,
            password: user.password.clone(),
            totp: None,
            totp_step: 0,
            wallet: user.wallet,
            created_at: note.at,
            version: 1,
        };
        state.people.users.insert(added.clone());
        state.note(&Note {
            user: note.user.or(Some(added.id)),
            owner: note.owner.or(Some(owner)),
            ..note.clone()
        });
        Ok(added)
    }

    async fn user(&self, id: UserId) -> StoreResult<Option<User>> {
        Ok(self.read().people.users.get(id.0).cloned())
    }

    async fn user_named(&self, name: &str) -> StoreResult<Option<User>> {
        Ok(self.read().find_user(|user| user.name == name))
    }

    async fn user_of_wallet(&self, wallet: Address) -> StoreResult<Option<User>> {
        Ok(self.read().find_user(|user| user.wallet == Some(wallet)))
    }

    async fn users(&self, after: UserId, limit: usize) -> StoreResult<Vec<User>> {
        Ok(self.read().people.users.after(after.0).map(|(_, user)| user.clone()).take(limit).collect())
    }

    async fn change_user(&self, user: &User, note: &Note) -> StoreResult<()> {
        let mut state = self.write();
        state.check_change(user)?;
        state.set_user(user);
        state.note(note);
        Ok(())
    }

    async fn erase_user(&self, id: UserId, note: &Note) -> StoreResult<()> {
        let mut state = self.write();
        let user = state.user_of(id)?;
        state.check_idle(user.owner)?;
        state.check_change(&User { disabled_at: Some(note.at), ..user.clone() })?;
        state.erase(&user, note.at);
        state.note(note);
        Ok(())
    }

    async fn set_recovery_codes(&self, user: UserId, hashes: &[Hash], note: &Note) -> StoreResult<()> {
        let mut state = self.write();
        state.people.codes.retain(|(of, _)| *of != user);
        state.people.codes.extend(hashes.iter().map(|hash| (user, *hash)));
        state.note(note);
        Ok(())
    }

    async fn take_recovery_code(&self, user: UserId, hash: Hash, note: &Note) -> StoreResult<bool> {
        let mut state = self.write();
        let taken = state.people.codes.remove(&(user, hash));
        Ok(state.noted(taken, note))
    }

    async fn recovery_codes_left(&self, user: UserId) -> StoreResult<usize> {
        Ok(self.read().people.codes.iter().filter(|(of, _)| *of == user).count())
    }

    async fn add_passkey(&self, passkey: &Passkey, note: &Note) -> StoreResult<PasskeyId> {
        let mut state = self.write();
        if state.people.passkeys.rows().any(|known| known.credential == passkey.credential) {
            return Err(conflict("this passkey is known already"));
        }
        let id = PasskeyId(state.people.passkeys.next_key());
        state.people.passkeys.insert(Passkey { id, used_at: None, ..passkey.clone() });
        state.note(note);
        Ok(id)
    }

    async fn passkeys_of(&self, user: UserId) -> StoreResult<Vec<Passkey>> {
        Ok(self.read().people.passkeys.rows().filter(|passkey| passkey.user == user).cloned().collect())
    }

    async fn passkey(&self, credential: &[u8]) -> StoreResult<Option<(Passkey, User)>> {
        let state = self.read();
        let found = state.people.passkeys.rows().find(|passkey| passkey.credential == credential);
        found.map(|passkey| Ok((passkey.clone(), state.user_of(passkey.user)?))).transpose()
    }

    async fn use_passkey(&self, passkey: &Passkey, counter: i64, at: Timestamp) -> StoreResult<bool> {
        let mut state = self.write();
        let row = state.people.passkeys.get_mut(passkey.id.0);
        let Some(row) = row.filter(|row| row.counter == passkey.counter) else { return Ok(false) };
        row.counter = counter;
        row.used_at = Some(at);
        state.committed();
        Ok(true)
    }

    async fn remove_passkey(&self, user: UserId, passkey: PasskeyId, note: &Note) -> StoreResult<bool> {
        let mut state = self.write();
        let is_his = state.people.passkeys.get(passkey.0).is_some_and(|row| row.user == user);
        if is_his {
            state.people.passkeys.remove(passkey.0);
        }
        Ok(state.noted(is_his, note))
    }

    async fn begin_session(
        &self,
        session: &Session,
        replaces: Option<SessionId>,
        note: &Note,
    ) -> StoreResult<SessionId> {
        let mut state = self.write();
        state.user_of(session.user)?;
        if let Some(old) = replaces {
            let is_his = |row: &Session| row.id == old && row.user == session.user;
            if state.remove_sessions(is_his) == 0 {
                return Err(StoreError::NotFound { what: "session", id: old.0 });
            }
        }
        let id = SessionId(state.people.sessions.next_key());
        state.people.sessions.insert(Session { id, ..session.clone() });
        state.note(note);
        Ok(id)
    }

    async fn session(&self, hash: Hash) -> StoreResult<Option<(Session, User)>> {
        let state = self.read();
        let found = state.people.sessions.rows().find(|session| session.hash == hash);
        found.map(|session| Ok((session.clone(), state.user_of(session.user)?))).transpose()
    }

    async fn saw_session(&self, session: SessionId, at: Timestamp) -> StoreResult<()> {
        let mut state = self.write();
        if let Some(row) = state.people.sessions.get_mut(session.0) {
            row.seen_at = row.seen_at.max(at);
        }
        state.committed();
        Ok(())
    }

    async fn sessions_of(&self, user: UserId) -> StoreResult<Vec<Session>> {
        let state = self.read();
        Ok(state.people.sessions.rows().rev().filter(|session| session.user == user).cloned().collect())
    }

    async fn end_session(&self, user: UserId, session: SessionId, note: &Note) -> StoreResult<bool> {
        let mut state = self.write();
        let ended = state.remove_sessions(|row| row.id == session && row.user == user) > 0;
        Ok(state.noted(ended, note))
    }

    async fn end_sessions(&self, user: UserId, but: Option<SessionId>, note: &Note) -> StoreResult<u64> {
        let mut state = self.write();
        let ended = state.remove_sessions(|row| row.user == user && Some(row.id) != but);
        state.noted(ended > 0, note);
        Ok(ended)
    }

    async fn add_token(&self, token: &NewToken, note: &Note) -> StoreResult<TokenId> {
        let mut state = self.write();
        let id = TokenId(state.people.tokens.next_key());
        let listed = ApiToken { id, used_at: None, revoked_at: None, ..token.token.clone() };
        state.people.tokens.insert((NewToken { token: listed, ..token.clone() }, token.user));
        state.note(note);
        Ok(id)
    }

    async fn token(&self, hash: Hash) -> StoreResult<Option<(ApiToken, User)>> {
        let state = self.read();
        let found = state.people.tokens.rows().find(|(token, _)| token.hash == hash);
        found.map(|(token, user)| Ok((token.token.clone(), state.user_of(*user)?))).transpose()
    }

    async fn saw_token(&self, token: TokenId, at: Timestamp) -> StoreResult<()> {
        let mut state = self.write();
        if let Some((row, _)) = state.people.tokens.get_mut(token.0) {
            row.token.used_at = row.token.used_at.max(Some(at));
        }
        state.committed();
        Ok(())
    }

    async fn tokens_of(&self, user: UserId) -> StoreResult<Vec<ApiToken>> {
        let state = self.read();
        let of_user = state.people.tokens.rows().rev().filter(|(_, of)| *of == user);
        Ok(of_user.map(|(token, _)| token.token.clone()).collect())
    }

    async fn revoke_token(&self, user: UserId, token: TokenId, note: &Note) -> StoreResult<bool> {
        let mut state = self.write();
        let row = state.people.tokens.get_mut(token.0);
        let row = row.filter(|(token, of)| *of == user && token.token.revoked_at.is_none());
        let revoked = row.map(|(row, _)| row.token.revoked_at = Some(note.at)).is_some();
        Ok(state.noted(revoked, note))
    }

    async fn add_ticket(&self, ticket: &Ticket, alone: bool, note: Option<&Note>) -> StoreResult<()> {
        let mut state = self.write();
        if alone {
            let same = |other: &Ticket| (other.purpose, other.user) == (ticket.purpose, ticket.user);
            state.people.tickets.retain(|_, other| !same(other));
        }
        state.people.tickets.insert(ticket.hash, ticket.clone());
        match note {
            Some(note) => state.note(note),
            None => state.committed(),
        }
        Ok(())
    }

    async fn ticket(&self, hash: Hash, now: Timestamp) -> StoreResult<Option<Ticket>> {
        Ok(self.read().people.tickets.get(&hash).filter(|ticket| ticket.until > now).cloned())
    }

    async fn take_ticket(&self, hash: Hash, purpose: Purpose, now: Timestamp) -> StoreResult<Option<Ticket>> {
        let mut state = self.write();
        let works = |ticket: &&Ticket| ticket.purpose == purpose && ticket.until > now;
        if state.people.tickets.get(&hash).filter(works).is_none() {
            return Ok(None);
        }
        state.committed();
        Ok(state.people.tickets.remove(&hash))
    }

    async fn attempts(&self, keys: &[Hash]) -> StoreResult<Vec<Attempts>> {
        let state = self.read();
        Ok(keys.iter().map(|key| state.people.attempts.get(key).copied().unwrap_or_default()).collect())
    }

    async fn set_attempts(&self, changes: &[(Hash, Attempts, Attempts)]) -> StoreResult<bool> {
        let mut state = self.write();
        let stored = |key: &Hash| state.people.attempts.get(key).copied().unwrap_or_default();
        if changes.iter().any(|(key, old, _)| stored(key) != *old) {
            return Ok(false);
        }
        state.people.attempts.extend(changes.iter().map(|(key, _, new)| (*key, *new)));
        state.committed();
        Ok(true)
    }

    async fn note(&self, note: &Note) -> StoreResult<()> {
        self.write().note(note);
        Ok(())
    }

    async fn notes(&self, filter: AuditFilter) -> StoreResult<Vec<AuditEntry>> {
        let state = self.read();
        let mut notes: Vec<AuditEntry> =
            state.people.notes.iter().map(|(id, note)| AuditEntry { id, note: note.clone() }).collect();
        notes.retain(|entry| filter.before.is_none_or(|before| entry.id < before));
        notes.retain(|entry| filter.owner.is_none_or(|owner| entry.note.owner == Some(owner)));
        notes.reverse();
        notes.truncate(filter.limit);
        Ok(notes)
    }

    async fn tidy(&self, now: Timestamp, over: &Over) -> StoreResult<()> {
        let mut state = self.write();
        state.remove_sessions(|session| session.seen_at <= over.seen || session.created_at <= over.begun);
        state.people.tickets.retain(|_, ticket| ticket.until > now);
        state.people.attempts.retain(|_, attempts| attempts.last_at > over.attempts);
        state.committed();
        Ok(())
    }
}
