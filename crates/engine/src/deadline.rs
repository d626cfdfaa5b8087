//! Deadlines on an injected clock.

use std::{future::Future, pin::pin, time::Duration};

use domain::Clock;
use futures_util::future::{Either, select};

use crate::ports::venue::VenueError;

/// The deadline passed first; the future was dropped, so its effect is unknown.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Elapsed;

/// Runs `future` for at most `limit`.
///
/// # Errors
/// [`Elapsed`].
pub async fn within<T>(
    clock: &dyn Clock,
    limit: Duration,
    future: impl Future<Output = T>,
) -> Result<T, Elapsed> {
    match select(pin!(future), clock.sleep(limit)).await {
        Either::Left((value, _)) => Ok(value),
        Either::Right(((), _)) => Err(Elapsed),
    }
}

/// [`within`] for a call to the outside that has its own error.
///
/// # Errors
/// The call's own, or [`VenueError::Timeout`].
pub async fn venue_call<T>(
    clock: &dyn Clock,
    what: &str,
    limit: Duration,
    call: impl Future<Output = Result<T, VenueError>>,
) -> Result<T, VenueError> {
    within(clock, limit, call)
        .await
        .unwrap_or_else(|Elapsed| Err(VenueError::Timeout { what: what.to_owned(), after: limit }))
}
