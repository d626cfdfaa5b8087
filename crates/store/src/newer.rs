//! Rows of a newer version that works beside this one
//! ([decision 0032](../../../docs/decisions/0032-rows-of-a-newer-version.md)): what this one does not know in a row concerns
//! that row, and nobody buys by a policy that says more than is understood.

use domain::policy::Policy;
use engine::ports::store::{EventKind, StoreResult};
use serde_json::{Map, Value as Json};
use tracing::warn;

use crate::{column::Fields, dialect::Row};

/// Reads rows one by one. Those with words of a newer version are left out and told: its own processes know them.
pub(crate) fn understood<T>(
    rows: &[Row],
    what: &str,
    read: impl Fn(&mut Fields<'_>) -> StoreResult<T>,
) -> StoreResult<Vec<T>> {
    let mut all = Vec::with_capacity(rows.len());
    for row in rows {
        let mut fields = Fields::of(row);
        match read(&mut fields) {
            Ok(one) => all.push(one),
            Err(error) if fields.of_newer_version() => {
                warn!(%error, "{what} of a newer version is left to its processes: {error}");
            }
            Err(error) => return Err(error),
        }
    }
    Ok(all)
}

/// A policy, also one that says more than this version knows.
pub(crate) fn policy(fields: &mut Fields<'_>) -> StoreResult<Policy> {
    let text: String = fields.get()?;
    match serde_json::from_str(&text) {
        Ok(policy) => Ok(policy),
        Err(error) => known_part(&text).ok_or_else(|| fields.corrupt(&error.to_string())),
    }
}

/// What is understood of a policy, over the careful one; `None` where it is no policy at all.
fn known_part(text: &str) -> Option<Policy> {
    let Ok(Json::Object(stored)) = serde_json::from_str(text) else { return None };
    let Ok(Json::Object(mut known)) = serde_json::to_value(Policy::careful()) else { return None };
    let mut policy = Policy::careful();
    for (key, value) in stored {
        let mut with: Map<String, Json> = known.clone();
        with.insert(key, value);
        if let Ok(more) = serde_json::from_value(Json::Object(with.clone())) {
            (policy, known) = (more, with);
        }
    }
    Some(Policy { of_newer_version: true, ..policy })
}

/// An event, also one that this version does not know.
pub(crate) fn event(fields: &mut Fields<'_>) -> StoreResult<EventKind> {
    let text: String = fields.get()?;
    match serde_json::from_str(&text) {
        Ok(kind) => Ok(kind),
        Err(error) if error.is_data() => Ok(EventKind::Other { text }),
        Err(error) => Err(fields.corrupt(&error.to_string())),
    }
}
