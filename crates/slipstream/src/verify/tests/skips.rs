//! Old skips, of which sums are left.

use engine::ports::reports::Reports as _;

use super::*;

/// A copy, and after it two skips of which the first was summed.
async fn summed() -> World {
    let world = World::new().await;
    world.confirmed_buy().await;
    for tx in [0xb6b6, 0xb7b7] {
        let trade = Trade { tx, ..buy() };
        world.commit(&trade, vec![world.decision(&trade, DecisionInputs::None)]).await;
    }
    assert_eq!(world.sum_skips().await, 2);
    assert_eq!(world.store.decisions_after(None, 0, 9).await.unwrap().len(), 2);
    world
}

fn answers(report: &VerifyReport) -> u64 {
    report.checks.iter().find(|result| result.check == Check::OneAnswer).unwrap().compared
}

#[tokio::test]
async fn sums_that_add_up_are_no_difference() {
    let report = verified(&summed().await).await;
    assert!(report.is_clean(), "{report}");
    assert_eq!(answers(&report), 3, "two decisions and a sum");
}

#[tokio::test]
async fn a_sum_that_is_wrong() {
    let world = summed().await;
    let report = tampered(&world, |rows| {
        if let Rows::SkipSums(rows) = rows {
            rows.iter_mut().for_each(|sum| sum.skips += 2);
        }
    });
    insta::assert_snapshot!(only(&report.await, &[Check::OneAnswer]), @"followers of leader 1: the sum of their old skips is 3; the parts of its trades gave up 1");
    let report = tampered(&world, |rows| {
        if let Rows::SkipSums(rows) = rows {
            rows.iter_mut().for_each(|sum| sum.owner = OwnerId(9));
        }
    });
    assert!(only(&report.await, &[Check::OneAnswer]).ends_with("owner is 9; it should be 1"));
    let report = tampered(&world, |rows| {
        if let Rows::SkipSums(rows) = rows {
            rows.clear();
        }
    });
    assert!(only(&report.await, &[Check::OneAnswer]).ends_with("is 0; the parts of its trades gave up 1"));
}
