//! Somebody who proved who he is.

use domain::{Timestamp, ids::OwnerId};
use engine::ports::store::StoreResult;

use crate::{
    error::{AccessError, AccessResult},
    limits::RECENT,
    people::{SessionId, TokenId, UserId},
    role::{Role, Scope, Scopes},
};

/// Whose rows a request may see. Only proving who one is makes one.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub struct Tenant(OwnerId);

impl Tenant {
    pub(crate) const fn of(owner: OwnerId) -> Self {
        Self(owner)
    }

    /// The owner of the rows.
    #[must_use]
    pub const fn owner(self) -> OwnerId {
        self.0
    }
}

/// Says that its holder may see the whole installation. Only [`Caller::installation`] makes one.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Installation(());

/// By what somebody is in.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Means {
    /// A browser's session.
    Session(SessionId),
    /// A program's token.
    Token(TokenId),
    /// A command on the program's own machine.
    Console,
    /// Nothing: the one user of a machine, on that machine.
    Here,
}

/// Who makes a request, and what he may do.
#[derive(Clone, Debug)]
pub struct Caller {
    pub(crate) tenant: Tenant,
    pub(crate) user: UserId,
    pub(crate) name: String,
    pub(crate) role: Role,
    pub(crate) scopes: Scopes,
    pub(crate) means: Means,
    /// When he last proved who he is; `None` for a token, and for the single user who did not yet.
    pub(crate) proven_at: Option<Timestamp>,
    /// Whether there is a password or another proof at all.
    pub(crate) can_prove: bool,
    /// Whether he is the one user there is, on his own machine.
    pub(crate) single: bool,
}

impl Caller {
    /// Whose rows he may see.
    #[must_use]
    pub const fn tenant(&self) -> Tenant {
        self.tenant
    }

    /// Which user.
    #[must_use]
    pub const fn user(&self) -> UserId {
        self.user
    }

    /// His name.
    #[must_use]
    pub fn name(&self) -> &str {
        &self.name
    }

    /// His role.
    #[must_use]
    pub const fn role(&self) -> Role {
        self.role
    }

    /// Whether he is the one user there is, on his own machine: everything there is is his.
    #[must_use]
    pub const fn is_single_user(&self) -> bool {
        self.single
    }

    /// By what he is in.
    #[must_use]
    pub const fn means(&self) -> Means {
        self.means
    }

    /// Whether role and token allow it.
    #[must_use]
    pub const fn may(&self, scope: Scope) -> bool {
        self.scopes.has(scope)
    }

    /// Refuses what role or token do not allow.
    ///
    /// # Errors
    /// [`AccessError::Forbidden`].
    pub const fn needs(&self, scope: Scope) -> AccessResult<()> {
        if self.may(scope) { Ok(()) } else { Err(AccessError::Forbidden(scope)) }
    }

    /// Refuses a program: a token ends no session and takes no token back, whatever it may read.
    ///
    /// # Errors
    /// [`AccessError::StepUp`].
    pub(crate) const fn needs_person(&self) -> AccessResult<()> {
        if matches!(self.means, Means::Token(_)) { Err(AccessError::StepUp) } else { Ok(()) }
    }

    /// The right to see all rows of the installation: operators and administrators.
    ///
    /// # Errors
    /// [`AccessError::Forbidden`].
    pub fn installation(&self) -> AccessResult<Installation> {
        self.needs(Scope::Operate)?;
        Ok(Installation(()))
    }

    /// Refuses a dangerous action (arming, importing a key, raising a cap, changing how one signs in) unless he proved who
    /// he is within the last five minutes. A token never did.
    ///
    /// # Errors
    /// [`AccessError::StepUp`]; [`AccessError::NoPassphrase`] of somebody who has nothing to prove it with.
    pub fn needs_proof(&self, now: Timestamp) -> AccessResult<()> {
        if !self.can_prove {
            return Err(AccessError::NoPassphrase);
        }
        match self.proven_at {
            Some(at) if now.since(at) < RECENT && at <= now => Ok(()),
            _ => Err(AccessError::StepUp),
        }
    }
}

/// What a store says of a row that may not be there.
pub(crate) fn found<T>(row: StoreResult<Option<T>>, what: &'static str) -> AccessResult<T> {
    row?.ok_or(AccessError::NotFound(what))
}
