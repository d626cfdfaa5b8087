//! Updates that cannot be computed or applied: each is put off by itself, and fails nobody else's.

use std::slice;

use domain::Timestamp;
use tracing::error;

use crate::{
    orders::{self, Learned},
    ports::{
        execution::{OrderRecord, OrderUpdate},
        store::{Store, StoreError, StoreResult},
    },
};

/// Applies the updates that were computed from these orders. Says which are done with, one way or another.
pub(super) async fn update_all(
    store: &dyn Store,
    computed: &[(OrderRecord, Learned)],
    updates: &[OrderUpdate],
) -> StoreResult<Vec<bool>> {
    match store.update_orders(updates).await {
        Err(error) if is_about_content(&error) => {
            error!(%error, "updates cannot be applied together: {error}")
        }
        applied => return applied,
    }
    let mut done = Vec::with_capacity(updates.len());
    for ((record, learned), update) in computed.iter().zip(updates) {
        done.push(update_one(store, record, learned, update).await?);
    }
    Ok(done)
}

async fn update_one(
    store: &dyn Store,
    record: &OrderRecord,
    learned: &Learned,
    update: &OrderUpdate,
) -> StoreResult<bool> {
    let error = match store.update_orders(slice::from_ref(update)).await {
        Err(error) if is_about_content(&error) => error,
        applied => return applied.map(|applied| applied.first() == Some(&true)),
    };
    let Some(off) = cannot(record, learned, update.at, &error) else { return Ok(true) };
    match store.update_orders(&[off]).await {
        Err(error) if is_about_content(&error) => {
            error!(order.id = %record.order.id, %error, "order {} cannot be put off: {error}", record.order.id);
            Ok(true)
        }
        applied => applied.map(|applied| applied.first() == Some(&true)),
    }
}

/// The store works; what it was told or has stored makes no sense.
pub(super) const fn is_about_content(error: &StoreError) -> bool {
    matches!(error, StoreError::Corrupt(_) | StoreError::Conflict(_))
}

/// What to do about an order that cannot be updated because of `error`.
pub(super) fn cannot(
    record: &OrderRecord,
    learned: &Learned,
    now: Timestamp,
    error: &dyn std::error::Error,
) -> Option<OrderUpdate> {
    let off = orders::put_off(record, learned, now);
    if off.is_some() {
        error!(order.id = %record.order.id, %error, "order {} is put off: {error}", record.order.id);
    }
    off
}
