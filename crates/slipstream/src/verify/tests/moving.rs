//! Verifying a store that is being written to.

use std::sync::atomic::{AtomicI64, Ordering};

use super::{
    super::{
        Check, Outcome, Sources,
        test_world::{IDS, World},
        verify_sources,
    },
    only,
    tamper::{Rows, Tampered},
    tampered, usual,
};

#[tokio::test]
async fn what_moves_while_it_is_read_is_unknown() {
    let world = World::new().await;
    world.confirmed_buy().await;
    let reads = AtomicI64::new(0);
    let reports = Tampered {
        inner: &world.store,
        change: |rows: Rows<'_>| {
            let read = reads.fetch_add(1, Ordering::Relaxed);
            match rows {
                Rows::Accounts(rows) => rows.iter_mut().for_each(|row| row.cash.0 += read + 1),
                Rows::CommitMark(mark) => mark.0 += read,
                _ => {}
            }
        },
    };
    let (execution, detection) = (&world.store, &world.store);
    let options = usual();
    let jobs = &world.store;
    let sources = Sources { reports: &reports, execution, jobs, detection, ids: &IDS, options };
    let report = verify_sources(&sources).await.unwrap();
    assert_eq!((report.passes, report.differences(), report.is_clean()), (3, 0, false), "{report}");
    let cash = report.checks.iter().find(|result| result.check == Check::Cash).unwrap();
    assert_eq!(cash.outcome, Outcome::Unknown);
}

#[tokio::test]
async fn a_difference_that_stays_is_one_even_while_the_store_moves() {
    let world = World::new().await;
    world.confirmed_buy().await;
    let marks = AtomicI64::new(0);
    let report = tampered(&world, |rows| match rows {
        Rows::Accounts(rows) => rows.iter_mut().for_each(|row| row.cash.0 += 1),
        Rows::CommitMark(mark) => mark.0 += marks.fetch_add(1, Ordering::Relaxed),
        _ => {}
    });
    let report = report.await;
    only(&report, &[Check::Cash]);
    assert_eq!(report.passes, 2);
}
