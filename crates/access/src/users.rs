//! What administrators do with users, and what each may have and have removed of himself.

use serde::Serialize;

use crate::{
    access::{Access, Peer},
    caller::{Caller, Means, Tenant, found},
    did,
    error::{AccessError, AccessResult},
    limits::MOST_ROWS,
    people::{AuditEntry, AuditFilter, User, UserId},
    role::{Role, Scope},
};

/// All that is kept of a person, but for what lets him in.
#[derive(Clone, Debug, Serialize)]
pub struct PersonalData {
    /// His number.
    pub user: UserId,
    /// His name.
    pub name: String,
    /// His role.
    pub role: Role,
    /// Since when he is known.
    pub since: String,
    /// The wallet he signs in with.
    pub wallet: Option<String>,
    /// Names of his passkeys.
    pub passkeys: Vec<String>,
    /// Browsers that are signed in, and from where.
    pub sessions: Vec<String>,
    /// Names and beginnings of his tokens.
    pub tokens: Vec<String>,
    /// What he did: when, what, on what, from where.
    pub log: Vec<String>,
}

impl Access {
    /// Users with numbers above this, ascending.
    ///
    /// # Errors
    /// [`AccessError::Forbidden`] to all but administrators; when the store fails.
    pub async fn users(&self, caller: &Caller, after: UserId, limit: usize) -> AccessResult<Vec<User>> {
        caller.needs(Scope::Administer)?;
        Ok(self.people.users(after, limit.min(MOST_ROWS)).await?)
    }

    /// The user of this name.
    ///
    /// # Errors
    /// [`AccessError::Forbidden`] to all but administrators; [`AccessError::NotFound`].
    pub async fn user_named(&self, caller: &Caller, name: &str) -> AccessResult<User> {
        caller.needs(Scope::Administer)?;
        found(self.people.user_named(&name.trim().to_lowercase()).await, "user")
    }

    /// Gives a user another role. His sessions end: they began with the old one.
    ///
    /// # Errors
    /// [`AccessError::Forbidden`], [`AccessError::StepUp`]; [`AccessError::Conflict`] for the only administrator.
    pub async fn set_role(&self, caller: &Caller, user: UserId, role: Role, peer: &Peer) -> AccessResult<()> {
        self.administer(caller, user, did::ROLE_CHANGED, peer, |user| User { role, ..user }).await
    }

    /// Lets a user in no more, from his next request on.
    ///
    /// # Errors
    /// [`AccessError::Forbidden`], [`AccessError::StepUp`]; [`AccessError::Conflict`] for the only administrator.
    pub async fn disable(&self, caller: &Caller, user: UserId, peer: &Peer) -> AccessResult<()> {
        let now = self.now();
        let change = |user: User| User { disabled_at: user.disabled_at.or(Some(now)), ..user };
        self.administer(caller, user, did::DISABLED, peer, change).await
    }

    /// Lets him in again.
    ///
    /// # Errors
    /// [`AccessError::Forbidden`], [`AccessError::StepUp`]; when the store fails.
    pub async fn enable(&self, caller: &Caller, user: UserId, peer: &Peer) -> AccessResult<()> {
        self.administer(caller, user, did::ENABLED, peer, |user| User { disabled_at: None, ..user }).await
    }

    async fn administer(
        &self,
        caller: &Caller,
        user: UserId,
        what: &str,
        peer: &Peer,
        change: impl FnOnce(User) -> User + Send,
    ) -> AccessResult<()> {
        caller.needs(Scope::Administer)?;
        caller.needs_proof(self.now())?;
        let user = found(self.people.user(user).await, "user")?;
        let note = self.note_of(caller, peer, what, &format!("user {}", user.id));
        self.people.change_user(&change(user.clone()), &note).await?;
        if user.id != caller.user {
            self.people.end_sessions(user.id, None, &note).await?;
        }
        Ok(())
    }

    /// The caller as a user, and how many recovery codes he has left.
    ///
    /// # Errors
    /// When the store fails.
    pub async fn profile(&self, caller: &Caller) -> AccessResult<(User, usize)> {
        let user = found(self.people.user(caller.user).await, "user")?;
        let left = self.people.recovery_codes_left(user.id).await?;
        Ok((user, left))
    }

    /// All that is kept of the caller. What he traded is in the reports of his tenant.
    ///
    /// # Errors
    /// When the store fails.
    pub async fn export(&self, caller: &Caller, peer: &Peer) -> AccessResult<PersonalData> {
        let user = found(self.people.user(caller.user).await, "user")?;
        let passkeys = self.people.passkeys_of(user.id).await?;
        let sessions = self.people.sessions_of(user.id).await?;
        let tokens = self.people.tokens_of(user.id).await?;
        let log = self.whole_log(user.owner).await?;
        self.note(caller, peer, did::EXPORTED, "").await?;
        let from = |address: Option<std::net::IpAddr>| {
            address.map_or_else(|| "this machine".to_owned(), |address| address.to_string())
        };
        Ok(PersonalData {
            user: user.id,
            name: user.name,
            role: user.role,
            since: user.created_at.to_string(),
            wallet: user.wallet.map(|wallet| wallet.to_string()),
            passkeys: passkeys.into_iter().map(|passkey| passkey.name).collect(),
            sessions: sessions
                .into_iter()
                .map(|one| format!("{} from {}: {}", one.created_at, from(one.address), one.agent))
                .collect(),
            tokens: tokens.into_iter().map(|token| format!("{} ({} …)", token.name, token.prefix)).collect(),
            log: log
                .into_iter()
                .map(|AuditEntry { note, .. }| {
                    format!("{} {} {} from {}", note.at, note.what, note.on, from(note.address))
                })
                .collect(),
        })
    }

    async fn whole_log(&self, owner: domain::ids::OwnerId) -> AccessResult<Vec<AuditEntry>> {
        let mut log: Vec<AuditEntry> = Vec::new();
        loop {
            let before = log.last().map(|entry| entry.id);
            let page =
                self.people.notes(AuditFilter { owner: Some(owner), before, limit: MOST_ROWS }).await?;
            let is_last = page.len() < MOST_ROWS;
            log.extend(page);
            if is_last {
                return Ok(log);
            }
        }
    }

    /// Removes a user's personal data: the caller's own, or, by an administrator, another's. Money facts stay.
    ///
    /// # Errors
    /// [`AccessError::StepUp`]; [`AccessError::Forbidden`]; [`AccessError::Conflict`], in words, while he follows somebody,
    /// has an order that is not over or a key, and for the only administrator.
    pub async fn erase(&self, caller: &Caller, user: UserId, peer: &Peer) -> AccessResult<()> {
        if user != caller.user {
            caller.needs(Scope::Administer)?;
        }
        caller.needs_proof(self.now())?;
        let note = self.note_of(
            caller,
            &Peer { address: None, ..peer.clone() },
            did::ERASED,
            &format!("user {user}"),
        );
        Ok(self.people.erase_user(user, &note).await?)
    }

    /// The audit log: the caller's own lines, or, for an administrator who asks for `all`, everybody's.
    ///
    /// # Errors
    /// [`AccessError::Forbidden`]; when the store fails.
    pub async fn audit_log(
        &self,
        caller: &Caller,
        all: bool,
        before: Option<i64>,
        limit: usize,
    ) -> AccessResult<Vec<AuditEntry>> {
        if all {
            caller.needs(Scope::Administer)?;
        }
        let owner = (!all).then_some(caller.tenant.owner());
        Ok(self.people.notes(AuditFilter { owner, before, limit: limit.min(MOST_ROWS) }).await?)
    }

    /// Whoever works on this machine as the program's own user, which is proof enough: he could read the database. He
    /// acts as the user of this name, or as the first administrator.
    ///
    /// # Errors
    /// [`AccessError::NotFound`] when there is no such user; when the store fails.
    pub async fn on_this_machine(&self, name: Option<&str>) -> AccessResult<Caller> {
        let user = match name {
            Some(name) => self.people.user_named(&name.trim().to_lowercase()).await?,
            None => {
                let users = self.people.users(UserId(0), MOST_ROWS).await?;
                users.into_iter().find(|user| user.role == Role::Administrator && user.disabled_at.is_none())
            }
        };
        let what = if name.is_some() { "user of this name" } else { "administrator yet; set one up first" };
        let user = user.ok_or(AccessError::NotFound(what))?;
        Ok(Caller {
            tenant: Tenant::of(user.owner),
            user: user.id,
            role: user.role,
            scopes: user.role.scopes(),
            means: Means::Console,
            proven_at: Some(self.now()),
            can_prove: true,
            single: false,
            name: user.name,
        })
    }
}
