//! Signing in with a name and a password, and proving it again.

use domain::Timestamp;

use crate::{
    access::{Access, Peer},
    caller::{Caller, Means, found},
    did,
    error::{AccessError, AccessResult},
    limits::STEP_FOR,
    password,
    people::{Purpose, Session, SessionId, User},
    secret::Secret,
};

/// A session that began: its secret is for the cookie.
#[derive(Debug)]
pub struct NewSession {
    /// For the cookie, and nothing else.
    pub cookie: Secret,
    /// The session.
    pub session: Session,
}

/// How far a sign-in got.
#[derive(Debug)]
pub enum SignedIn {
    /// All the way.
    Done(NewSession),
    /// A second proof is missing: this names the sign-in that waits for it ([`Access::second_factor`]).
    SecondFactor(Secret),
}

impl Access {
    /// Signs somebody in who knows name and password.
    ///
    /// # Errors
    /// [`AccessError::WrongCredentials`], the same and as late for an unknown name; [`AccessError::TooMany`]; when the
    /// store fails.
    pub async fn sign_in(&self, name: &str, password: &str, peer: &Peer) -> AccessResult<SignedIn> {
        let name = name.trim().to_lowercase();
        let counted = self.count(&name, peer).await?;
        let user = self.people.user_named(&name).await?;
        let kept = user.as_ref().and_then(|user| user.password.as_deref());
        let is_right = password::is_right(&self.hashing, kept, password).await?;
        match user.filter(|user| is_right && user.disabled_at.is_none()) {
            Some(user) => {
                self.was_right(counted).await?;
                self.first_proof(&user, peer).await
            }
            None => {
                // Without the name: people type passwords into the wrong field.
                self.people.note(&self.line(None, peer, did::REFUSED, "")).await?;
                Err(AccessError::WrongCredentials)
            }
        }
    }

    /// One proof was right: that is all, or a second one is asked for.
    pub(crate) async fn first_proof(&self, user: &User, peer: &Peer) -> AccessResult<SignedIn> {
        if user.totp.is_some() {
            let about = (Some(user.id), None);
            return self
                .ticket(Purpose::SecondFactor, about, STEP_FOR, None)
                .await
                .map(SignedIn::SecondFactor);
        }
        let began = self.begin(user, None, Some(self.now()), peer, did::SIGNED_IN).await?;
        Ok(SignedIn::Done(began))
    }

    /// Proves with the password who asks, for what is dangerous: a session with a new secret, in place of the old one.
    ///
    /// # Errors
    /// [`AccessError::WrongCredentials`], [`AccessError::TooMany`], [`AccessError::NoPassphrase`]; when the store fails.
    pub async fn prove(&self, caller: &Caller, password: &str, peer: &Peer) -> AccessResult<NewSession> {
        let user = self.user_of(caller).await?;
        if user.password.is_none() {
            return Err(AccessError::NoPassphrase);
        }
        let counted = self.count(&user.name, peer).await?;
        if !password::is_right(&self.hashing, user.password.as_deref(), password).await? {
            self.people.note(&self.note_of(caller, peer, did::REFUSED, "")).await?;
            return Err(AccessError::WrongCredentials);
        }
        self.was_right(counted).await?;
        self.begin(&user, Some(caller), Some(self.now()), peer, did::PROVEN).await
    }

    /// Sets a password: the first one of a single user, or another one, for which `old` must be right. All other sessions
    /// end, and this one gets a new secret.
    ///
    /// # Errors
    /// [`AccessError`].
    pub async fn set_password(
        &self,
        caller: &Caller,
        old: Option<&str>,
        new: &str,
        peer: &Peer,
    ) -> AccessResult<NewSession> {
        let user = self.user_of(caller).await?;
        if user.password.is_some() {
            let counted = self.count(&user.name, peer).await?;
            let old = old.unwrap_or_default();
            if !password::is_right(&self.hashing, user.password.as_deref(), old).await? {
                return Err(AccessError::WrongCredentials);
            }
            self.was_right(counted).await?;
        } else if caller.can_prove {
            // He signs in with something else, and nothing less may add a password.
            caller.needs_proof(self.now())?;
        }
        let kept = self.kept(new, &user.name).await?;
        let user = self.change(User { password: Some(kept), ..user }, peer, did::PASSWORD_CHANGED).await?;
        self.end_other_sessions(caller, peer).await?;
        self.begin(&user, Some(caller), Some(self.now()), peer, did::PROVEN).await
    }

    /// The caller as the store has him; only from a session, because tokens change nobody.
    pub(crate) async fn user_of(&self, caller: &Caller) -> AccessResult<User> {
        caller.needs_person()?;
        found(self.people.user(caller.user).await, "user")
    }

    /// Begins a session; instead of the caller's, if one is named: then it is as old as that.
    pub(crate) async fn begin(
        &self,
        user: &User,
        replaces: Option<&Caller>,
        proven_at: Option<Timestamp>,
        peer: &Peer,
        what: &str,
    ) -> AccessResult<NewSession> {
        const LONGEST_AGENT: usize = 200;
        let cookie = Secret::new(self.random.as_ref(), "")?;
        let now = self.now();
        let old = match replaces.map(|caller| caller.means) {
            Some(Means::Session(id)) => {
                let sessions = self.people.sessions_of(user.id).await?;
                Some(sessions.into_iter().find(|session| session.id == id).ok_or(AccessError::NotSignedIn)?)
            }
            _ => None,
        };
        let session = Session {
            id: SessionId(0),
            user: user.id,
            hash: cookie.digest(),
            created_at: old.as_ref().map_or(now, |old| old.created_at),
            seen_at: now,
            proven_at,
            address: peer.address,
            agent: peer.agent.chars().filter(|letter| !letter.is_control()).take(LONGEST_AGENT).collect(),
        };
        let note = self.line(Some((user.id, user.owner)), peer, what, "");
        let id = self.people.begin_session(&session, old.map(|old| old.id), &note).await?;
        self.tidy().await?;
        Ok(NewSession { cookie, session: Session { id, ..session } })
    }
}
