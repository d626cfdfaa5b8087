//! At no moment of a restore is there a database on which nothing is held.

use engine::ports::following::Hold;

use super::*;

async fn holds(file: &Path) -> Vec<Hold> {
    let clock: Arc<dyn Clock> = Arc::new(SystemClock);
    let store = SqlStore::open(file, Arc::clone(&clock)).await.unwrap();
    store.following(clock.now()).await.unwrap().holds
}

struct Place {
    directory: tempfile::TempDir,
}

impl Place {
    /// A database, and a backup of it.
    async fn new() -> Self {
        let place = Self { directory: tempfile::tempdir().unwrap() };
        let store = SqlStore::open(&place.file(), Arc::new(SystemClock)).await.unwrap();
        store.add_owner("me", SystemClock.now()).await.unwrap();
        store::backup(&place.file(), &place.backup()).await.unwrap();
        place
    }

    fn data(&self) -> PathBuf {
        self.directory.path().join("data")
    }

    fn file(&self) -> PathBuf {
        self.data().join(DATABASE)
    }

    fn backup(&self) -> PathBuf {
        self.directory.path().join("backup.db")
    }

    async fn restore(&self) -> anyhow::Result<Answer> {
        let at = Installation { data_dir: Some(self.data()), json: false };
        restore(&RestoreArgs { from: self.backup(), to: None, at }).await
    }

    /// Names in the data directory that a restore makes.
    fn left(&self) -> Vec<PathBuf> {
        let names = fs::read_dir(self.data()).unwrap().map(|entry| entry.unwrap().path());
        names.filter(|name| name.to_string_lossy().contains("restor")).collect()
    }
}

/// Whatever ends the process: what is put in place was held before.
#[tokio::test]
async fn a_restored_database_is_held_before_it_is_in_its_place() {
    let place = Place::new().await;
    let room = place.data().join(ROOM);
    let held = held_copy(&place.backup(), &room).await.unwrap();
    assert!(!held.live);
    let there = holds(&room.join(DATABASE)).await;
    assert!(
        matches!(there.as_slice(), [hold] if hold.stops_exits && hold.cause == HoldCause::Reconciliation)
    );
    assert!(holds(&place.file()).await.is_empty(), "what is in place is as it was");
    // The next one does not mind what is left of this one.
    place.restore().await.unwrap();
    assert_eq!(holds(&place.file()).await.len(), 1);
    assert_eq!(place.left(), [place.data().join(BEFORE)]);
    assert!(holds(&place.data().join(BEFORE)).await.is_empty(), "what was there is kept");
}

#[tokio::test]
async fn nobody_works_on_a_database_while_it_is_replaced() {
    let place = Place::new().await;
    let working = SqlStore::open(&place.file(), Arc::new(SystemClock)).await.unwrap();
    let refused = place.restore().await.unwrap_err().to_string();
    assert!(refused.contains("is in use by"), "{refused}");
    assert!(place.left().is_empty());
    working.add_owner("other", SystemClock.now()).await.unwrap();
    drop(working);
    place.restore().await.unwrap();
}

#[tokio::test]
async fn a_restore_elsewhere_tells_that_the_secret_is_missing() {
    let place = Place::new().await;
    let said = place.restore().await.unwrap().text;
    assert!(said.contains("installation.secret is not there"), "{said}");
    fs::write(place.data().join(secrets::FILE), [7; 32]).unwrap();
    let said = place.restore().await.unwrap().text;
    assert!(!said.contains("installation.secret"), "{said}");
    fs::remove_file(place.backup()).unwrap();
    let refused = place.restore().await.unwrap_err().to_string();
    assert!(refused.contains("there is no file"), "{refused}");
}

/// That is what backups are for.
#[tokio::test]
async fn a_database_that_cannot_be_read_is_replaced_and_kept() {
    let place = Place::new().await;
    fs::write(place.file(), [b'x'; 5_000]).unwrap();
    fs::write(place.data().join("slipstream.db-wal"), b"newest").unwrap();
    place.restore().await.unwrap();
    assert_eq!(holds(&place.file()).await.len(), 1);
    assert_eq!(fs::read(place.data().join(BEFORE)).unwrap(), [b'x'; 5_000]);
    assert_eq!(fs::read(place.data().join(format!("{BEFORE}-wal"))).unwrap(), b"newest");
}
