//! Jobs that fail for reasons of their own: a row that cannot be read, an order that makes no sense. Each is tried by itself,
//! so that it fails nobody else's, is counted, and is a dead letter when it has failed too often.
//!
//! What fails because the store, the queue, the venue or the signer does not answer, or refuses for now, is never counted.

use std::{slice, time::Duration};

use domain::ids::IntentId;
use tracing::error;

use super::{Worker, apart::is_about_content};
use crate::{
    limits,
    ports::{dead_letters::FailedIntent, detection::Lane, execution::WaitingIntent, store::StoreResult},
};

/// What failed, and why.
pub(super) type Failure = (IntentId, String);

impl Worker {
    /// Loads those of `ids` that still wait and can be read.
    pub(super) async fn load(&self, ids: &[IntentId]) -> StoreResult<Vec<WaitingIntent>> {
        match self.store.load_waiting(ids).await {
            Err(error) if is_about_content(&error) => {
                error!(%error, "jobs cannot be read together: {error}");
            }
            loaded => return loaded,
        }
        let (mut waiting, mut failed) = (Vec::with_capacity(ids.len()), Vec::new());
        for id in ids {
            match self.store.load_waiting(slice::from_ref(id)).await {
                Err(error) if is_about_content(&error) => failed.push((*id, error.to_string())),
                loaded => waiting.extend(loaded?),
            }
        }
        self.count_failed(failed).await?;
        Ok(waiting)
    }

    /// Counts failures. Who has failed too often is buried, the others are tried again later and later.
    pub(super) async fn count_failed(&self, failures: Vec<Failure>) -> StoreResult<()> {
        if failures.is_empty() {
            return Ok(());
        }
        let now = self.clock.now();
        let intents: Vec<IntentId> = failures.iter().map(|(intent, _)| *intent).collect();
        let counted = self.store.count_failures(&self.instance, &intents, now).await?;
        let (mut letters, mut later) = (Vec::new(), Vec::new());
        for failed in counted {
            let id = failed.intent;
            let why = failures.iter().find(|(intent, _)| *intent == id).map(|(_, why)| why.clone());
            let why = why.unwrap_or_default();
            error!(intent.id = %id, "intent {id} failed, {} times by now: {why}", failed.failures);
            if failed.failures >= most(failed.lane) {
                letters.push((failed, why));
            } else {
                later.push((id, now.plus(pause(&failed))));
            }
        }
        if !letters.is_empty() {
            self.store.bury(&self.instance, &letters, now).await?;
        }
        self.put_off(later).await
    }
}

/// How often a job of a lane may fail.
const fn most(lane: Lane) -> u32 {
    match lane {
        Lane::Exits => limits::EXIT_FAILURES,
        Lane::Entries => limits::ENTRY_FAILURES,
    }
}

/// Until the next try.
fn pause(failed: &FailedIntent) -> Duration {
    let doubled = 2_u32.saturating_pow(failed.failures.saturating_sub(1));
    limits::FAILED_PAUSE.saturating_mul(doubled).min(limits::LONGEST_FAILED_PAUSE)
}

#[cfg(test)]
mod tests {
    use super::*;

    /// An older version may meet what it cannot read while a newer one takes its place.
    #[test]
    fn an_exit_is_tried_for_a_quarter_of_an_hour() {
        let failed = |failures| FailedIntent { intent: IntentId(1), lane: Lane::Exits, failures };
        let tries: Duration = (1..limits::EXIT_FAILURES).map(|failures| pause(&failed(failures))).sum();
        assert_eq!(tries, Duration::from_secs(1 + 2 + 4 + 8 + 16 + 32 + 13 * 60));
        assert_eq!(pause(&failed(u32::MAX)), limits::LONGEST_FAILED_PAUSE);
    }
}
