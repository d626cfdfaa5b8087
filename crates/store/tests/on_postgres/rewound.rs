//! A database that went back in time, and a commit whose answer was lost.

use std::{
    path::Path,
    sync::{
        Arc,
        atomic::{AtomicBool, AtomicU32, Ordering},
    },
    time::Duration,
};

use domain::{Address, Timestamp};
use engine::ports::{
    following::{Following as _, HoldCause},
    reports::Reports as _,
    store::{InstanceId, Leases as _, StoreError},
};
use servers::PgBouncer;
use store::{PostgresAddress, SqlStore, StoreClock};
use tokio::{
    io::{AsyncReadExt as _, AsyncWriteExt as _},
    net::{TcpListener, TcpStream},
};

use crate::{SERVER, new_database};

const NOW: Timestamp = Timestamp(1);

async fn connect(address: &PostgresAddress) -> SqlStore {
    SqlStore::connect(address, StoreClock::Database).await.unwrap()
}

async fn add(store: &SqlStore, number: u8) -> Result<(), StoreError> {
    store.add_leader(Address([number; 20]), NOW).await.map(drop)
}

/// Ends all sessions in the database and makes it a copy of what another one is.
fn swap(name: &str, older: &str) {
    static LOST: AtomicU32 = AtomicU32::new(0);
    let lost = format!("lost_{}", LOST.fetch_add(1, Ordering::Relaxed));
    let end = format!("SELECT pg_terminate_backend(pid) FROM pg_stat_activity WHERE datname = '{name}'");
    SERVER.run("postgres", &format!("ALTER DATABASE {name} ALLOW_CONNECTIONS false")).unwrap();
    SERVER.run("postgres", &end).unwrap();
    SERVER.run("postgres", &format!("ALTER DATABASE {name} RENAME TO {lost}")).unwrap();
    SERVER.run("postgres", &format!("ALTER DATABASE {older} RENAME TO {name}")).unwrap();
}

fn snapshot(name: &str) -> String {
    let older = format!("{name}_older");
    let end = format!("SELECT pg_terminate_backend(pid) FROM pg_stat_activity WHERE datname = '{name}'");
    SERVER.run("postgres", &end).unwrap();
    SERVER.run("postgres", &format!("CREATE DATABASE {older} TEMPLATE {name}")).unwrap();
    older
}

/// A pool has fewer connections than that to notice that they are gone.
const TRIES: u8 = 50;

/// Commits once the pool has noticed that its connections are gone: what it tries meanwhile is an error, or done.
async fn settled(store: &SqlStore, number: u8) {
    let mut said = String::new();
    for _ in 0..TRIES {
        match add(store, number).await {
            Ok(()) => return,
            Err(error) => said = error.to_string(),
        }
        assert!(!said.contains("back in time"), "{said}");
    }
    panic!("never: {said}");
}

/// What a commit is refused with, once the pool has noticed that its connections are gone.
async fn refused(store: &SqlStore, number: u8) -> StoreError {
    for _ in 0..TRIES {
        match add(store, number).await {
            Err(error) if error.to_string().contains("nothing was written") => return error,
            Err(_) => {}
            Ok(()) => panic!("it was committed"),
        }
    }
    panic!("never");
}

/// As a process starts, with a data directory of its own.
async fn start(address: &PostgresAddress, mark: &Path) -> SqlStore {
    let store = connect(address).await;
    store.remember_in(mark).await.unwrap();
    store
}

/// A process that commits once, and ends.
async fn once(address: &PostgresAddress, mark: &Path, number: u8) {
    let store = start(address, mark).await;
    add(&store, number).await.unwrap();
    store.close().await.unwrap();
}

async fn lift_all(store: &SqlStore) {
    for hold in store.following(NOW).await.unwrap().holds {
        assert!(store.lift_hold(None, hold.id, NOW).await.unwrap());
    }
}

async fn holds(store: &SqlStore) -> Vec<HoldCause> {
    let holds = store.following(Timestamp(2_000_000_000_000_000)).await.unwrap().holds;
    holds.iter().map(|hold| hold.cause).collect()
}

/// A standby that lagged is promoted: the next commit is refused, whatever was committed there since, and everything is held.
async fn is_noticed(name: &str, address: &PostgresAddress) {
    let store = connect(address).await;
    add(&store, 1).await.unwrap();
    let (watcher, long) = (InstanceId("watcher".to_owned()), Duration::from_secs(3_600));
    let lease = store.take_lease("watcher", &watcher, long).await.unwrap().unwrap();
    let older = snapshot(name);
    for number in 2..5 {
        settled(&store, number).await;
    }
    swap(name, &older);
    // Somebody else goes on there, so that its number is higher than what we remember.
    let other = connect(address).await;
    for number in 10..20 {
        settled(&other, number).await;
    }
    assert_eq!(holds(&other).await, [], "it remembers nothing that is gone");
    let refused = refused(&store, 5).await;
    assert!(
        matches!(&refused, StoreError::Unavailable(why) if why.contains("everything is held")),
        "{refused}"
    );
    assert_eq!(holds(&store).await, [HoldCause::Reconciliation]);
    assert_eq!(store.leaders().await.unwrap().len(), 11, "nothing of the refused one is there");
    // Whoever noticed it, and by what: what a watcher had in hand is not gone on with.
    let again = store.take_lease("watcher", &watcher, long).await.unwrap().unwrap();
    assert_ne!(again.fence, lease.fence);
    // Once: it goes on, under the hold.
    add(&store, 6).await.unwrap();
    add(&other, 7).await.unwrap();
    assert_eq!(holds(&other).await, [HoldCause::Reconciliation]);
}

#[tokio::test(flavor = "multi_thread")]
async fn a_database_that_went_back_is_noticed_by_whoever_runs() {
    let name = new_database();
    is_noticed(&name, &SERVER.url(&name).parse().unwrap()).await;
}

/// A pooler's clients do not see that its servers are others.
#[tokio::test(flavor = "multi_thread")]
async fn a_database_that_went_back_is_noticed_behind_a_pooler() {
    let name = new_database();
    drop(connect(&SERVER.url(&name).parse().unwrap()).await);
    let pooler = PgBouncer::start(&SERVER, 2).unwrap();
    let address: PostgresAddress = pooler.url(&name).parse().unwrap();
    is_noticed(&name, &address.behind_a_pooler()).await;
}

#[tokio::test(flavor = "multi_thread")]
async fn a_database_that_went_back_is_noticed_by_whoever_starts_again() {
    let directory = tempfile::tempdir().unwrap();
    let name = new_database();
    let address: PostgresAddress = SERVER.url(&name).parse().unwrap();
    let mark = directory.path().join("commit.mark");
    once(&address, &mark, 1).await;
    let again = start(&address, &mark).await;
    assert_eq!(holds(&again).await, []);
    again.close().await.unwrap();
    let older = snapshot(&name);
    once(&address, &mark, 2).await;
    // As many changes as the hold that is placed then makes.
    let lost = connect(&address).await.config_version().await.unwrap();
    swap(&name, &older);
    // Whoever commits before it has looked (it compares secrets) has not forgotten.
    let store = connect(&address).await;
    add(&store, 9).await.unwrap();
    store.remember_in(&mark).await.unwrap();
    assert_eq!(holds(&store).await, [HoldCause::Reconciliation]);
    assert!(store.config_version().await.unwrap() > lost + 1_000, "no version that is lost is met again");
    assert_eq!(holds(&start(&address, &mark).await).await, [HoldCause::Reconciliation], "once");
}

/// Everything was away while the database went back, or was restored. One comes again and it is known; when the others come,
/// it was compared long ago.
#[tokio::test(flavor = "multi_thread")]
async fn whoever_was_away_holds_nothing_that_is_known() {
    for restored in [false, true] {
        let directory = tempfile::tempdir().unwrap();
        let name = new_database();
        let address: PostgresAddress = SERVER.url(&name).parse().unwrap();
        let marks: Vec<_> =
            (0..3).map(|number: u8| directory.path().join(format!("{number}.mark"))).collect();
        once(&address, &marks[0], 1).await;
        let older = snapshot(&name);
        for (number, mark) in (2..).zip(&marks) {
            once(&address, mark, number).await;
        }
        if restored {
            // As `restore` leaves it.
            connect(&SERVER.url(&older).parse().unwrap()).await.begin_epoch(NOW).await.unwrap();
        }
        swap(&name, &older);
        let first = start(&address, &marks[0]).await;
        let held = if restored { vec![] } else { vec![HoldCause::Reconciliation] };
        assert_eq!(holds(&first).await, held, "{restored}");
        lift_all(&first).await;
        for (number, mark) in (20..).zip(&marks[1..]) {
            once(&address, mark, number).await;
            assert_eq!(holds(&first).await, [], "{restored}");
        }
        // What they remember now is what is there now.
        let again = snapshot(&name);
        settled(&first, 30).await;
        first.close().await.unwrap();
        once(&address, &marks[2], 31).await;
        swap(&name, &again);
        assert_eq!(holds(&start(&address, &marks[2]).await).await, [HoldCause::Reconciliation]);
    }
}

/// Of two that run, one notices; what the other wanted to commit was read from what is gone, and is refused, too.
#[tokio::test(flavor = "multi_thread")]
async fn it_is_held_once_for_all_that_run_and_again_when_it_happens_again() {
    let name = new_database();
    let address: PostgresAddress = SERVER.url(&name).parse().unwrap();
    let (one, two) = (connect(&address).await, connect(&address).await);
    add(&one, 1).await.unwrap();
    let older = snapshot(&name);
    settled(&one, 2).await;
    settled(&two, 3).await;
    swap(&name, &older);
    assert!(refused(&one, 4).await.to_string().contains("everything is held"));
    lift_all(&one).await;
    let told = refused(&two, 5).await.to_string();
    assert!(!told.contains("held"), "{told}");
    assert_eq!(holds(&two).await, []);
    add(&two, 6).await.unwrap();
    // And back once more: while a hold of it is in force and compared, it gets one of its own.
    let older = snapshot(&name);
    settled(&two, 7).await;
    swap(&name, &older);
    refused(&two, 8).await;
    let held = two.following(NOW).await.unwrap().holds;
    let older = snapshot(&name);
    settled(&two, 9).await;
    swap(&name, &older);
    refused(&two, 10).await;
    assert_eq!(two.following(NOW).await.unwrap().holds.len(), held.len() + 1);
}

/// Whoever made the last commits is lost with them, and nobody else has committed anything.
#[tokio::test(flavor = "multi_thread")]
async fn what_others_committed_is_missed_by_whoever_only_looked() {
    let directory = tempfile::tempdir().unwrap();
    let mark = directory.path().join("commit.mark");
    let name = new_database();
    let address: PostgresAddress = SERVER.url(&name).parse().unwrap();
    let (lost, idle) = (connect(&address).await, start(&address, &mark).await);
    add(&lost, 1).await.unwrap();
    let older = snapshot(&name);
    settled(&lost, 2).await;
    looks(&idle).await;
    lost.close().await.unwrap();
    swap(&name, &older);
    looks(&idle).await;
    assert_eq!(holds(&idle).await, [HoldCause::Reconciliation]);
    looks(&idle).await;
    assert_eq!(holds(&idle).await.len(), 1, "once");
    idle.close().await.unwrap();
    // It is remembered for the process after it, too.
    let older = snapshot(&name);
    let (other, idle) = (connect(&address).await, start(&address, &mark).await);
    add(&other, 3).await.unwrap();
    looks(&idle).await;
    idle.close().await.unwrap();
    swap(&name, &older);
    assert_eq!(holds(&start(&address, &mark).await).await.len(), 2);
}

/// Looks once the pool has noticed that its connections are gone.
async fn looks(store: &SqlStore) {
    for _ in 0..TRIES {
        if store.look_back().await.is_ok() {
            return;
        }
    }
    panic!("never");
}

/// A data directory that was used with another database, and another's database where ours was.
#[tokio::test(flavor = "multi_thread")]
async fn another_installation_is_nobodys_past() {
    let directory = tempfile::tempdir().unwrap();
    let mark = directory.path().join("commit.mark");
    let (ours, theirs) = (new_database(), new_database());
    let at = |name: &str| SERVER.url(name).parse::<PostgresAddress>().unwrap();
    once(&at(&ours), &mark, 1).await;
    for used in [false, true] {
        if used {
            add(&connect(&at(&theirs)).await, 1).await.unwrap();
        }
        let stranger = start(&at(&theirs), &mark).await;
        assert_eq!(holds(&stranger).await, []);
        stranger.close().await.unwrap();
    }
    let store = start(&at(&ours), &mark).await;
    assert_eq!(holds(&store).await, []);
    add(&store, 2).await.unwrap();
    swap(&ours, &snapshot(&theirs));
    let told = refused(&store, 3).await.to_string();
    assert!(told.contains("another installation"), "{told}");
    assert_eq!(holds(&store).await, []);
}

/// What becomes of a connection whose answer to a COMMIT is kept back.
#[derive(Clone, Copy, PartialEq, Eq)]
pub(super) enum Cut {
    /// It hangs up when the answer has come,
    Answered,
    /// or at once,
    AtOnce,
    /// or never, and says nothing.
    Silent,
}

/// Passes everything on, until it is told to keep the answer to a COMMIT to itself.
pub(super) async fn between(listener: TcpListener, server: u16, cut: Arc<AtomicBool>, how: Cut) {
    loop {
        let (client, _) = listener.accept().await.unwrap();
        let server = TcpStream::connect(("127.0.0.1", server)).await.unwrap();
        let cut = Arc::clone(&cut);
        tokio::spawn(async move {
            let ((mut from_client, mut to_client), (mut from_server, mut to_server)) =
                (client.into_split(), server.into_split());
            let lost = Arc::new(AtomicBool::new(false));
            let asks = Arc::clone(&lost);
            let back = tokio::spawn(async move {
                let mut bytes = [0; 16_384];
                while let Ok(read @ 1..) = from_server.read(&mut bytes).await {
                    if lost.load(Ordering::SeqCst) && how == Cut::Silent {
                        std::future::pending::<()>().await;
                    }
                    if lost.load(Ordering::SeqCst) || to_client.write_all(&bytes[..read]).await.is_err() {
                        break;
                    }
                }
            });
            let mut bytes = [0; 16_384];
            while let Ok(read @ 1..) = from_client.read(&mut bytes).await {
                let commits = bytes[..read].windows(7).any(|window| window == b"COMMIT\0");
                if commits && cut.swap(false, Ordering::SeqCst) {
                    asks.store(true, Ordering::SeqCst);
                }
                if to_server.write_all(&bytes[..read]).await.is_err() {
                    break;
                }
                if asks.load(Ordering::SeqCst) {
                    match how {
                        Cut::Answered => {}
                        Cut::AtOnce => back.abort(),
                        // Until the client has had enough.
                        Cut::Silent => {
                            while let Ok(1..) = from_client.read(&mut bytes).await {}
                            back.abort();
                        }
                    }
                    // The server's answer has come, and nobody hears it.
                    let _ = back.await;
                    break;
                }
            }
        });
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn a_lost_answer_to_a_commit_is_told_and_read_again_on_another_connection() {
    let name = new_database();
    drop(connect(&SERVER.url(&name).parse().unwrap()).await);
    let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
    let port = listener.local_addr().unwrap().port();
    let server: u16 = SERVER.port();
    let cut = Arc::new(AtomicBool::new(false));
    tokio::spawn(between(listener, server, Arc::clone(&cut), Cut::Answered));
    let store = connect(&format!("postgres://postgres@127.0.0.1:{port}/{name}").parse().unwrap()).await;
    add(&store, 1).await.unwrap();
    cut.store(true, Ordering::SeqCst);
    let lost = add(&store, 2).await.unwrap_err();
    assert!(matches!(lost, StoreError::OutcomeUnknown(_)), "{lost}");
    // It is there, and whoever says it again changes nothing.
    assert_eq!(store.leaders().await.unwrap().len(), 2);
    add(&store, 2).await.unwrap();
    add(&store, 3).await.unwrap();
    assert_eq!(store.leaders().await.unwrap().len(), 3);
    assert_eq!(holds(&store).await, []);
}
