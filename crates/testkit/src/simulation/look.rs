//! What two moments of a run are compared by.

use std::{
    hash::{DefaultHasher, Hash, Hasher},
    sync::Arc,
};

use domain::{Timestamp, ids::IntentId};
use engine::ports::{
    detection::Source,
    store::{Store, StoreResult},
};
use futures_util::FutureExt;

use super::{doorbell::Doorbell, probe::Look, user_channel::UserChannel, venue::Venue};

/// A digest of orders, permits, decisions, waiting work and the venue's books; no times, versions or fences.
pub(super) fn look(
    store: Arc<dyn Store>,
    venue: Arc<Venue>,
    doorbell: Arc<Doorbell>,
    channel: Arc<UserChannel>,
) -> Look {
    Box::new(move || {
        let read = async {
            let intents = store.intents_after(None, IntentId(0), usize::MAX).await?;
            let ids: Vec<IntentId> = intents.iter().map(|intent| intent.id).collect();
            let attempts = store.attempts_of(&ids).await?;
            let orders: Vec<_> = attempts
                .iter()
                .map(|record| {
                    let stands =
                        (record.state, &record.permits_out, record.open_work, record.unseen_for.is_zero());
                    format!("{stands:?} {:?} {:?}", record.booked, record.evidence)
                })
                .collect();
            let groups = store.newest_groups(usize::MAX).await?;
            let groups: Vec<_> =
                groups.iter().map(|group| (group.state, group.decided.0, group.chain)).collect();
            let open = (store.count_open_work().await?, store.ends_of(&ids).await?.len(), ids.len());
            let chain = store.cursor(Source::Finalized).await? >= Some(venue.last_fill_height());
            let far = Timestamp(i64::MAX);
            let revisits = store.due_revisits(far, usize::MAX).await?;
            let revisits: Vec<_> = revisits.iter().map(|one| (one.relationship, one.token)).collect();
            let undecided = store.incomplete_parts().await?.len();
            let waiting = (doorbell.len(), undecided, revisits);
            StoreResult::Ok(format!("{orders:?} {groups:?} {open:?} {chain} {waiting:?}"))
        };
        let mut hasher = DefaultHasher::new();
        read.now_or_never().map(|read| read.unwrap_or_default()).hash(&mut hasher);
        (venue.stand(), channel.stand()).hash(&mut hasher);
        hasher.finish()
    })
}
