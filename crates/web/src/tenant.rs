//! Whose rows a request may read and change.

use access::{Caller, Scope};
use domain::ids::OwnerId;

/// Whoever asks. Nothing is read or changed without one, and handlers get it from the request only: it is made of somebody
/// who proved who he is.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Tenant {
    owner: Option<OwnerId>,
    operates: bool,
}

impl Tenant {
    /// Of whoever makes a request. Everything there is is the one user's of an installation that has but one.
    pub(crate) fn of(caller: &Caller) -> Self {
        let owner = (!caller.is_single_user()).then(|| caller.tenant().owner());
        Self { owner, operates: caller.may(Scope::Operate) }
    }

    /// Whose rows; `None` for all of them.
    #[must_use]
    pub const fn owner(self) -> Option<OwnerId> {
        self.owner
    }

    /// Whether he runs the installation, too.
    #[must_use]
    pub const fn operates(self) -> bool {
        self.operates
    }

    /// Whether an event of this owner is for him; what is nobody's is for those who run the installation.
    pub(crate) fn hears(self, owner: Option<OwnerId>) -> bool {
        match owner {
            None => self.operates,
            Some(_) => self.owner.is_none() || self.owner == owner,
        }
    }
}
