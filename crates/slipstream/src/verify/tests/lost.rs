//! What fell out of the store's work.

use engine::ports::{
    dead_letters::{DeadLetters as _, FailedIntent},
    detection::Lane,
    store::InstanceId,
};

use super::*;

/// An intent that was decided and fell out of the store's work: before, nothing differed.
#[tokio::test]
async fn a_copy_that_nobody_will_ever_sign() {
    let (world, forgets) = (World::new().await, World::new().await);
    world.copied_buy().await;
    assert!(verified(&world).await.is_clean(), "it waits");
    let execution: &dyn Execution = &forgets.store;
    let (reports, detection) = (&world.store, &world.store);
    let jobs = &forgets.store;
    let sources = Sources { reports, execution, jobs, detection, ids: &IDS, options: usual() };
    let report = verify_sources(&sources).await.unwrap();
    insta::assert_snapshot!(only(&report, &[Check::Attempts]), @"intent 1 of relationship 1: its order is none; it should be signed, or the intent waiting or ended: this copy is lost");
}

/// It waits for an operator: before, what was set aside was told as lost.
#[tokio::test]
async fn a_dead_letter_is_not_lost() {
    let world = World::new().await;
    let intent = world.copied_buy().await;
    let letter = FailedIntent { intent, lane: Lane::Entries, failures: 5 };
    let holder = InstanceId("worker".to_owned());
    let buried = world.store.bury(&holder, &[(letter, "no sense".to_owned())], Timestamp(1)).await.unwrap();
    assert_eq!(buried, 1);
    assert!(verified(&world).await.is_clean());
}

#[tokio::test]
async fn an_open_order_that_nobody_follows() {
    let world = World::new().await;
    let intent = world.copied_buy().await;
    world.sign(world.attempt(intent).await).await;
    assert!(verified(&world).await.is_clean());
    let report = tampered(&world, |rows| {
        if let Rows::Orders(rows) = rows {
            rows.iter_mut().for_each(|order| order.open_work = false);
        }
    });
    let first = only(&report.await, &[Check::Attempts]);
    assert!(
        first
            .ends_with("its state is signed and on nobody's list; it should be followed until it is settled"),
        "{first}"
    );
}
