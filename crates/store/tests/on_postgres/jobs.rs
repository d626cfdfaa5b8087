//! Jobs as an operator sees them, on PostgreSQL.

use domain::{Timestamp, ids::AccountId};
use store::{JobAct, Jobs, PostgresAddress, SqlStore, StoreClock};

use crate::{SERVER, new_database, waiting};

/// Jobs that wait in a database whose roles are made.
async fn filled() -> (String, SqlStore) {
    let name = new_database();
    let address: PostgresAddress = SERVER.url(&name).parse().unwrap();
    store::migrate(&address).await.unwrap();
    for statement in waiting::FILL {
        SERVER.run(&name, statement).unwrap();
    }
    let address: PostgresAddress = SERVER.url_as("slipstream_app", &name).parse().unwrap();
    let store = SqlStore::connect(&address.as_it_is(), StoreClock::Database).await.unwrap();
    (name, store)
}

async fn operators(name: &str) -> SqlStore {
    let address: PostgresAddress = SERVER.url_as("ops_operator", name).parse().unwrap();
    SqlStore::connect(&address.as_it_is().with_connections(1), StoreClock::Database).await.unwrap()
}

#[tokio::test(flavor = "multi_thread")]
async fn jobs_are_set_aside_and_put_back_once() {
    let (_, store) = filled().await;
    waiting::set_aside_and_put_back(&store, &store, "ada").await;
}

/// With the rights of an operator and no others; what is given up is gone as if the program had done it.
#[tokio::test(flavor = "multi_thread")]
async fn an_operators_role_does_the_same() {
    let (name, store) = filled().await;
    let desk = operators(&name).await;
    let commits = "SELECT i.commit_number, (SELECT COUNT(*) FROM commit_marks) FROM installation i";
    let before = SERVER.run(&name, commits).unwrap();
    waiting::set_aside_and_put_back(&store, &desk, "ada (ops_operator)").await;
    assert_ne!(SERVER.run(&name, commits).unwrap(), before, "they are commits like others");
    // An exit with a reservation of its own: both ways leave the same rows.
    let rows = "SELECT (SELECT COUNT(*) FROM work WHERE intent_id > 10000), (SELECT COUNT(*) FROM reservations), \
        (SELECT version FROM booked_version), (SELECT string_agg(intent_id || ':' || reason, ',' ORDER BY intent_id) \
        FROM intent_ends WHERE intent_id > 10000), (SELECT COUNT(*) FROM exit_revisits)";
    let mut left = Vec::new();
    for (desk, job) in [(&store, 10_001), (&desk, 10_002)] {
        let reserved = format!(
            "INSERT INTO reservations (intent_id, owner_id, account_id, relationship_id, condition, usd) \
             VALUES ({job}, 1, 1, 1, decode(repeat('04', 32), 'hex'), 5)"
        );
        SERVER.run(&name, &reserved).unwrap();
        let one = Jobs::These(vec![domain::ids::IntentId(job)]);
        for act in [JobAct::Quarantined, JobAct::GivenUp] {
            assert_eq!(desk.act_on_jobs(act, &one, ("ada", "gone"), Timestamp(1)).await.unwrap().len(), 1);
        }
        left.push(SERVER.run(&name, rows).unwrap());
        SERVER.run(&name, "DELETE FROM exit_revisits").unwrap();
    }
    assert_eq!(left, ["2|0|2|10001:5|1", "1|0|3|10001:5,10002:5|1"]);
}

#[tokio::test(flavor = "multi_thread")]
async fn an_operator_decides_about_dead_letters() {
    let (name, store) = filled().await;
    SERVER.run(&name, waiting::SPOIL).unwrap();
    waiting::a_dead_letter_is_put_back_and_given_up(&store, &operators(&name).await).await;
}

#[tokio::test(flavor = "multi_thread")]
async fn an_operators_role_sees_what_is_held() {
    let (name, _) = filled().await;
    SERVER.run(&name, "UPDATE copy_relationships SET status = 'paused'").unwrap();
    let desk = operators(&name).await;
    let holds = desk.holds(Timestamp(1)).await.unwrap();
    assert!(holds.len() == 1 && holds[0].reason.contains("postgres"), "{holds:?}");
    assert_eq!(desk.account_labels().await.unwrap(), [(AccountId(1), "a".to_owned())]);
    let address: PostgresAddress = SERVER.url_as("ops_operator", &name).parse().unwrap();
    let status = store::server_status(&address).await.unwrap();
    assert_eq!((status.schema, status.roles.len()), (Some(store::SCHEMA_VERSION), 4));
}

#[tokio::test(flavor = "multi_thread")]
async fn words_of_operators_are_kept() {
    let address: PostgresAddress = SERVER.url(&new_database()).parse().unwrap();
    let store = SqlStore::connect(&address, StoreClock::Database).await.unwrap();
    testkit::operator_words::keeps_words(&store).await.unwrap();
}
