//! A database that went back in time: a file that somebody copied over it. Its
//! newest commit is remembered beside it; a database that has fewer is held until wallets were compared.

use std::{
    fs, io,
    path::{Path, PathBuf},
};

use domain::Clock;
use engine::ports::{
    following::{HoldCause, HoldScope, NewHold},
    store::{Store, StoreResult},
};
use tracing::{error, warn};

/// Where the newest commit is remembered.
const FILE: &str = "database.mark";

/// Whoever puts another database in its place, held, says that this one is not the measure any more.
pub(crate) fn forget(data_dir: &Path) {
    // Where it stays, the next start holds once more what is held already.
    let _ = fs::remove_file(data_dir.join(FILE));
}

/// The newest commit that is known of.
pub(super) struct Newest {
    file: PathBuf,
}

impl Newest {
    /// Compares with what is remembered, and holds everything where commits are gone.
    pub(super) async fn begin(data_dir: &Path, store: &dyn Store, clock: &dyn Clock) -> StoreResult<Self> {
        let newest = Self { file: data_dir.join(FILE) };
        let (number, mark) = store.commit_mark().await?;
        let Some((before, known)) = newest.remembered() else { return Ok(newest) };
        // Another database than the one that was here is nobody's past.
        if known != mark.to_string() || number >= before {
            return Ok(newest);
        }
        let gone = before.saturating_sub(number);
        error!(
            "the database went back in time: its newest {gone} commits are gone, and with them orders that were made. Everything \
             is held; `slipstream holds` tells"
        );
        let hold = NewHold {
            scope: HoldScope::Installation,
            cause: HoldCause::Reconciliation,
            reason: format!("the database went back in time: {gone} commits are gone"),
            stops_exits: true,
            sells: false,
            expires_at: None,
        };
        store.hold_once(&hold, clock.now()).await?;
        newest.note(store).await;
        Ok(newest)
    }

    /// Remembers what is newest now.
    pub(super) async fn note(&self, store: &dyn Store) {
        let written = match store.commit_mark().await {
            Ok((number, mark)) => self.write(&format!("{number} {mark}")),
            // It is told by whoever needs it.
            Err(_) => Ok(()),
        };
        if let Err(error) = written {
            warn!(%error, "cannot write {}: a database that goes back in time is not noticed", self.file.display());
        }
    }

    /// Under another name first, so that it is whole.
    fn write(&self, text: &str) -> io::Result<()> {
        let new = self.file.with_extension("new");
        fs::write(&new, text)?;
        fs::rename(&new, &self.file)
    }

    fn remembered(&self) -> Option<(i64, String)> {
        let text = fs::read_to_string(&self.file).ok()?;
        let (number, mark) = text.split_once(' ')?;
        Some((number.parse().ok()?, mark.trim().to_owned()))
    }
}

#[cfg(test)]
mod tests {
    use std::sync::Arc;

    use engine::ports::following::{Following as _, Hold};
    use store::SqlStore;

    use super::*;
    use crate::{clock::SystemClock, commands::DATABASE};

    struct Place {
        directory: tempfile::TempDir,
    }

    impl Place {
        async fn open(&self) -> SqlStore {
            SqlStore::open(&self.directory.path().join(DATABASE), Arc::new(SystemClock)).await.unwrap()
        }

        /// A start: what is held then.
        async fn start(&self) -> Vec<Hold> {
            let store = self.open().await;
            let newest = Newest::begin(self.directory.path(), &store, &SystemClock).await.unwrap();
            let holds = store.following(SystemClock.now()).await.unwrap().holds;
            store.add_owner("somebody", SystemClock.now()).await.unwrap();
            newest.note(&store).await;
            store.close().await.unwrap();
            holds
        }
    }

    #[tokio::test]
    async fn a_file_that_is_copied_over_the_database_is_held() {
        let place = Place { directory: tempfile::tempdir().unwrap() };
        let (file, copy) = (place.directory.path().join(DATABASE), place.directory.path().join("copy.db"));
        for _ in 0..3 {
            assert!(place.start().await.is_empty(), "nothing is gone");
        }
        store::backup(&file, &copy).await.unwrap();
        assert!(place.start().await.is_empty());
        fs::copy(&copy, &file).unwrap();
        let held = place.start().await;
        assert!(
            matches!(held.as_slice(), [hold] if hold.cause == HoldCause::Reconciliation && hold.stops_exits),
            "{held:?}"
        );
        assert_eq!(place.start().await.len(), 1, "once");
        // A new installation in its place is none that went back.
        fs::remove_file(&file).unwrap();
        assert!(place.start().await.is_empty());
        fs::write(place.directory.path().join(FILE), "torn").unwrap();
        assert!(place.start().await.is_empty());
    }
}
