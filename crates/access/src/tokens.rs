//! Tokens of programs: shown once, kept as a hash, for some rights, from some addresses, for a while.

use std::net::IpAddr;

use domain::Timestamp;

use crate::{
    access::{Access, Peer},
    caller::{Caller, Means, Tenant},
    did,
    error::{AccessError, AccessResult},
    limits::{LONGEST_NAME, MOST_ADDRESSES, MOST_TOKENS, SEEN_EVERY},
    people::{ApiToken, NewToken, TokenId},
    role::Scopes,
    secret::{self, Secret},
};

/// What every token begins with, so that scanners of leaked secrets know it.
const PREFIX: &str = "slp_";

/// How much of a token is shown in lists: too little to guess the rest.
const SHOWN: usize = 10;

/// A token somebody wants.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct TokenWish {
    /// What it is for.
    pub name: String,
    /// What it may do.
    pub scopes: Scopes,
    /// From where alone; empty = from everywhere.
    pub addresses: Vec<IpAddr>,
    /// Until when.
    pub expires_at: Option<Timestamp>,
}

impl Access {
    /// Makes a token: the secret, which nobody can show again, and what is listed of it.
    ///
    /// # Errors
    /// [`AccessError::StepUp`]; [`AccessError::Forbidden`] for a right that the caller does not have;
    /// [`AccessError::Invalid`]; when the store fails.
    pub async fn make_token(
        &self,
        caller: &Caller,
        wish: TokenWish,
        peer: &Peer,
    ) -> AccessResult<(Secret, ApiToken)> {
        let now = self.now();
        caller.needs_proof(now)?;
        check(&wish, now)?;
        if let Some(scope) = wish.scopes.list().find(|scope| !caller.may(*scope)) {
            return Err(AccessError::Forbidden(scope));
        }
        let used = self.tokens(caller).await?.iter().filter(|token| token.revoked_at.is_none()).count();
        if used >= MOST_TOKENS {
            return Err(AccessError::Invalid(format!("you have {used} tokens; revoke one first")));
        }
        let secret = Secret::new(self.random.as_ref(), PREFIX)?;
        let token = ApiToken {
            id: TokenId(0),
            name: wish.name.trim().to_owned(),
            prefix: secret.reveal().chars().take(SHOWN).collect(),
            scopes: wish.scopes,
            addresses: wish.addresses,
            created_at: now,
            expires_at: wish.expires_at,
            used_at: None,
            revoked_at: None,
        };
        let new = NewToken { user: caller.user, hash: secret.digest(), token };
        let rights: Vec<&str> = wish.scopes.list().map(crate::Scope::name).collect();
        let note = self.note_of(
            caller,
            peer,
            did::TOKEN_MADE,
            &format!("{} ({})", new.token.prefix, rights.join(", ")),
        );
        let id = self.people.add_token(&new, &note).await?;
        Ok((secret, ApiToken { id, ..new.token }))
    }

    /// The caller's tokens, the newest first, without their secrets.
    ///
    /// # Errors
    /// When the store fails.
    pub async fn tokens(&self, caller: &Caller) -> AccessResult<Vec<ApiToken>> {
        Ok(self.people.tokens_of(caller.user).await?)
    }

    /// Takes a token back.
    ///
    /// # Errors
    /// [`AccessError::NotFound`] when the caller has no such token, or it was taken back; [`AccessError::StepUp`] to a
    /// program; when the store fails.
    pub async fn revoke_token(&self, caller: &Caller, token: TokenId, peer: &Peer) -> AccessResult<()> {
        caller.needs_person()?;
        let note = self.note_of(caller, peer, did::TOKEN_REVOKED, &format!("token {token}"));
        let revoked = self.people.revoke_token(caller.user, token, &note).await?;
        if revoked { Ok(()) } else { Err(AccessError::NotFound("token")) }
    }

    /// Who has this token. He may what both his role and the token allow, and nothing that wants a fresh proof.
    ///
    /// # Errors
    /// [`AccessError::BadToken`], the same whatever is wrong with it; when the store fails.
    pub async fn caller_of_token(&self, token: &str, peer: &Peer) -> AccessResult<Caller> {
        let now = self.now();
        let found = self.people.token(secret::digest(token)).await?;
        let (token, user) = found.ok_or(AccessError::BadToken)?;
        let is_here =
            |from: &IpAddr| peer.address.is_some_and(|address| address.to_canonical() == from.to_canonical());
        let works = token.revoked_at.is_none()
            && token.expires_at.is_none_or(|end| now < end)
            && (token.addresses.is_empty() || token.addresses.iter().any(is_here))
            && user.disabled_at.is_none();
        if !works {
            return Err(AccessError::BadToken);
        }
        if token.used_at.is_none_or(|used| now.since(used) >= SEEN_EVERY) {
            self.people.saw_token(token.id, now).await?;
        }
        Ok(Caller {
            tenant: Tenant::of(user.owner),
            user: user.id,
            role: user.role,
            scopes: user.role.scopes().and(token.scopes),
            means: Means::Token(token.id),
            proven_at: None,
            can_prove: true,
            single: self.is_single_user().await?,
            name: user.name,
        })
    }
}

fn check(wish: &TokenWish, now: Timestamp) -> AccessResult<()> {
    let name = wish.name.trim();
    let wrong =
        if name.is_empty() || name.chars().count() > LONGEST_NAME || name.chars().any(char::is_control) {
            format!("say what the token is for, in 1 to {LONGEST_NAME} characters")
        } else if wish.scopes == Scopes::default() {
            "choose what the token may do".to_owned()
        } else if wish.addresses.len() > MOST_ADDRESSES {
            format!("a token has at most {MOST_ADDRESSES} addresses")
        } else if wish.expires_at.is_some_and(|end| end <= now) {
            "this end is in the past".to_owned()
        } else {
            return Ok(());
        };
    Err(AccessError::Invalid(wrong))
}
