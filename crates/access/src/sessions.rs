//! What somebody sees of his sessions, and how they end.

use crate::{
    access::{Access, Peer},
    caller::{Caller, Means},
    did,
    error::{AccessError, AccessResult},
    people::{Session, SessionId},
};

impl Access {
    /// The caller's sessions that are not over, the newest first.
    ///
    /// # Errors
    /// When the store fails.
    pub async fn sessions(&self, caller: &Caller) -> AccessResult<Vec<Session>> {
        let now = self.now();
        let mut sessions = self.people.sessions_of(caller.user).await?;
        sessions.retain(|session| !self.is_over(session, now));
        Ok(sessions)
    }

    /// Ends one of them.
    ///
    /// # Errors
    /// [`AccessError::NotFound`] when the caller has no such session; [`AccessError::StepUp`] to a program; when the store
    /// fails.
    pub async fn end_session(&self, caller: &Caller, session: SessionId, peer: &Peer) -> AccessResult<()> {
        caller.needs_person()?;
        let note = self.note_of(caller, peer, did::SIGNED_OUT, &format!("session {session}"));
        if self.people.end_session(caller.user, session, &note).await? {
            return Ok(());
        }
        Err(AccessError::NotFound("session"))
    }

    /// Ends the caller's own session.
    ///
    /// # Errors
    /// When the store fails.
    pub async fn sign_out(&self, caller: &Caller, peer: &Peer) -> AccessResult<()> {
        match caller.means {
            Means::Session(session) => self.end_session(caller, session, peer).await,
            Means::Token(_) | Means::Console | Means::Here => Ok(()),
        }
    }

    /// Ends all sessions of the caller's but the one he asks by; how many.
    ///
    /// # Errors
    /// [`AccessError::StepUp`] to a program; when the store fails.
    pub async fn end_other_sessions(&self, caller: &Caller, peer: &Peer) -> AccessResult<u64> {
        caller.needs_person()?;
        let but = match caller.means {
            Means::Session(session) => Some(session),
            Means::Token(_) | Means::Console | Means::Here => None,
        };
        let note = self.note_of(caller, peer, did::OTHERS_SIGNED_OUT, "");
        Ok(self.people.end_sessions(caller.user, but, &note).await?)
    }
}
