//! Whose rows a request may read and change.

use std::convert::Infallible;

use axum::{extract::FromRequestParts, http::request::Parts};
use domain::ids::OwnerId;

/// Whoever asks. Nothing is read or changed without one, and handlers get it from the request only.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Tenant {
    owner: Option<OwnerId>,
}

impl Tenant {
    /// The one user of an installation that answers on this machine only: everything there is is his.
    pub(crate) const fn local() -> Self {
        Self { owner: None }
    }

    /// Whose rows; `None` for all of them.
    #[must_use]
    pub const fn owner(self) -> Option<OwnerId> {
        self.owner
    }

    /// Whether an event of this owner is for him.
    pub(crate) fn hears(self, owner: Option<OwnerId>) -> bool {
        self.owner.is_none() || self.owner == owner
    }
}

impl<S: Sync> FromRequestParts<S> for Tenant {
    type Rejection = Infallible;

    async fn from_request_parts(_: &mut Parts, _: &S) -> Result<Self, Infallible> {
        Ok(Self::local())
    }
}
