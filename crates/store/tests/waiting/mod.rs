//! Ten thousand jobs that wait, and what an operator does with them: the same on both databases.

use domain::{Timestamp, ids::IntentId};
use engine::ports::{
    dead_letters::{DeadLetters as _, FailedIntent},
    detection::Lane,
    execution::{EndReason, Execution as _},
    reports::Reports as _,
    store::{EventKind, InstanceId, StoreError},
};
use store::{JobAct, JobState, Jobs, SqlStore};

const NOW: Timestamp = Timestamp(1_800_000_000_000_000);
/// Entries that wait.
pub const ENTRIES: usize = 10_000;

/// Statements that make one follower with so many entries and three exits, as PostgreSQL takes them.
pub const FILL: [&str; 6] = [
    "INSERT INTO owners (id, name, created_at) VALUES (1, 'first', 0)",
    "INSERT INTO accounts (id, owner_id, label, mode, wallet, signer, kind, key_name, created_at) \
     VALUES (1, 1, 'a', 0, decode(repeat('01', 20), 'hex'), decode(repeat('01', 20), 'hex'), 0, 'k', 0)",
    "INSERT INTO leaders (id, wallet, baseline) VALUES (1, decode(repeat('02', 20), 'hex'), 0)",
    "INSERT INTO relationships (id, owner_id, account_id, leader_id, status, policy_version, since) \
     VALUES (1, 1, 1, 1, 0, 1, 0)",
    "INSERT INTO intents (id, owner_id, account_id, relationship_id, leader_id, cause, group_id, part, lane, token, \
     condition, side, amount, limit_price, reserve, leader_price, traded_at, seen_at, decided_at) \
     WITH RECURSIVE n (i) AS (SELECT 1 UNION ALL SELECT i + 1 FROM n WHERE i < 10003) \
     SELECT i, 1, 1, 1, 1, 0, i, 0, CASE WHEN i > 10000 THEN 0 ELSE 1 END, decode(repeat('03', 32), 'hex'), \
     decode(repeat('04', 32), 'hex'), CASE WHEN i > 10000 THEN 1 ELSE 0 END, 5, 6, 7, 8, 9, 10, i FROM n",
    "INSERT INTO work (intent_id, owner_id, state, lane, due, attempts, fence, lease_until) \
     SELECT id, 1, 0, lane, id, 0, 0, 0 FROM intents",
];

fn ids(store_jobs: &[store::Job]) -> Vec<IntentId> {
    store_jobs.iter().map(|job| job.intent).collect()
}

/// Sets all entries aside, twice, and puts them back, twice: the same jobs wait, and once. It is done at `desk`, which is the
/// store's or an operator's connection; `known_as` is whom the database knows for it.
pub async fn set_aside_and_put_back(store: &SqlStore, desk: &SqlStore, known_as: &str) {
    let by = ("ada", "the venue looks wrong");
    let before = desk.jobs(JobState::Waiting, 20_000).await.unwrap();
    assert_eq!(before.len(), ENTRIES + 3);
    let entries = Jobs::All(Some(Lane::Entries));
    let aside = desk.act_on_jobs(JobAct::Quarantined, &entries, by, NOW).await.unwrap();
    assert_eq!(aside, (1..=10_000).map(IntentId).collect::<Vec<_>>());
    assert_eq!(desk.act_on_jobs(JobAct::Quarantined, &entries, by, NOW).await.unwrap(), []);
    // Whoever asks for work finds the exits, and nobody loads what is aside, whatever the queue says.
    assert_eq!(store.count_waiting(Lane::Entries, NOW).await.unwrap(), 0);
    assert_eq!(store.count_waiting(Lane::Exits, NOW).await.unwrap(), 3);
    assert_eq!(store.load_waiting(&aside[..64]).await.unwrap(), []);
    assert_eq!(
        desk.count_jobs().await.unwrap(),
        [(Lane::Exits, JobState::Waiting, 3), (Lane::Entries, JobState::Quarantined, 10_000)]
    );

    // One is given up; one that waits cannot be.
    let two = Jobs::These(vec![IntentId(7), IntentId(10_001)]);
    assert_eq!(desk.act_on_jobs(JobAct::GivenUp, &two, by, NOW).await.unwrap(), [IntentId(7)]);
    let dead = desk.dead_letters(9).await.unwrap();
    assert_eq!(
        dead.iter().map(|one| (one.intent, one.reason)).collect::<Vec<_>>(),
        [(IntentId(7), Some(EndReason::GivenUp))]
    );

    let back = desk.act_on_jobs(JobAct::Requeued, &Jobs::All(None), by, NOW).await.unwrap();
    assert_eq!(back.len(), ENTRIES - 1);
    assert_eq!(desk.act_on_jobs(JobAct::Requeued, &Jobs::All(None), by, NOW).await.unwrap(), []);
    let after = desk.jobs(JobState::Waiting, 20_000).await.unwrap();
    let expected: Vec<_> = before.into_iter().filter(|job| job.intent != IntentId(7)).collect();
    assert_eq!(ids(&after), ids(&expected));
    assert_eq!(after, expected);

    // Who did what is kept, with the job and on the timeline.
    let notes = desk.job_notes(IntentId(9)).await.unwrap();
    assert!(desk.job(IntentId(9)).await.unwrap().is_some());
    let acts: Vec<_> = notes.iter().map(|note| (note.act, note.who.as_str())).collect();
    assert_eq!(acts, [(JobAct::Quarantined, known_as), (JobAct::Requeued, known_as)]);
    let (job, notes) = (desk.job(IntentId(7)).await.unwrap(), desk.job_notes(IntentId(7)).await.unwrap());
    assert!(job.is_none() && notes.last().is_some_and(|note| note.act == JobAct::GivenUp));
    let events = store.events_after(0, 100).await.unwrap();
    let told: Vec<_> = events
        .iter()
        .filter_map(|(_, event)| match &event.kind {
            EventKind::QueueChanged { what } => Some(what.as_str()),
            _ => None,
        })
        .collect();
    assert_eq!(
        told,
        [
            format!("10000 jobs set aside by {known_as}: the venue looks wrong"),
            format!("1 jobs given up by {known_as}: the venue looks wrong"),
            format!("9999 jobs put back by {known_as}: the venue looks wrong")
        ]
    );
}

/// What spoils job 5 so that it cannot be read.
pub const SPOIL: &str = "UPDATE intents SET side = 9 WHERE id = 5";

/// A dead letter that cannot even be read is listed, put back and given up at `desk`, an operator's or the store's.
pub async fn a_dead_letter_is_put_back_and_given_up(store: &SqlStore, desk: &SqlStore) {
    let (worker, five) = (InstanceId("host/worker-1".to_owned()), IntentId(5));
    let one = Jobs::These(vec![five]);
    for again in [false, true] {
        let counted = store.count_failures(&worker, &[five], NOW).await.unwrap();
        assert_eq!(counted, [FailedIntent { intent: five, lane: Lane::Entries, failures: 1 }], "{again}");
        let letters = [(counted[0], "9 is no Side".to_owned())];
        assert_eq!(store.bury(&worker, &letters, NOW).await.unwrap(), 1);
        let unreadable = desk.job(five).await;
        assert!(matches!(unreadable, Err(StoreError::Corrupt(_))), "{unreadable:?}");
        let dead = desk.dead_letters(9).await.unwrap();
        assert_eq!(dead.iter().map(|one| (one.intent, one.reason)).collect::<Vec<_>>(), [(five, None)]);
        assert_eq!(desk.count_jobs().await.unwrap().last(), Some(&(Lane::Entries, JobState::Dead, 1)));
        let last = desk.job_notes(five).await.unwrap().pop().unwrap();
        assert_eq!(
            (last.act, last.who, last.reason),
            (JobAct::Failed, worker.0.clone(), letters[0].1.clone())
        );
        let act = if again { JobAct::GivenUp } else { JobAct::Requeued };
        assert_eq!(desk.act_on_jobs(act, &one, ("ada", "looked at"), NOW).await.unwrap(), [five]);
    }
    let (_, end) = desk.job_end(five).await.unwrap().unwrap();
    assert_eq!((end, desk.count_jobs().await.unwrap().len()), (EndReason::GivenUp, 2));
}
