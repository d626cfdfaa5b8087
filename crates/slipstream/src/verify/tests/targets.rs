//! What followers should have kept, computed again.

use domain::{Shares, Side, Usd, exits::ExitFactor, trade::Quantity};
use engine::ports::{detection::DecisionInputs, reports::LedgerRecord};

use super::{
    super::{Check, CheckResult, Outcome, VerifyReport},
    only,
    tamper::Rows,
    tampered, verified,
};
use crate::verify::test_world::{Trade, World};

fn targets(report: &VerifyReport) -> &CheckResult {
    report.checks.iter().find(|result| result.check == Check::Targets).unwrap()
}

async fn sold() -> World {
    let world = World::new().await;
    world.confirmed_buy().await;
    world.confirmed_exit().await;
    world
}

#[tokio::test]
async fn a_target_follows_from_the_ledger_and_the_factors() {
    let world = sold().await;
    let report = verified(&world).await;
    assert!(report.is_clean(), "{report}");
    assert_eq!((targets(&report).compared, targets(&report).gone), (1, 0), "{report}");
    // What the leader sells later changes nothing of it.
    world.keep(ExitFactor { block: 200, before: Shares(10), after: Shares(5) }).await;
    let report = verified(&world).await;
    assert_eq!((targets(&report).compared, targets(&report).gone), (1, 0), "{report}");
}

#[tokio::test]
async fn a_target_that_is_not_what_the_ledger_gives() {
    let world = sold().await;
    let report = tampered(&world, |rows| {
        if let Rows::Decisions(rows) = rows {
            for row in rows {
                if let DecisionInputs::Exit(inputs, _) = &mut row.inputs {
                    inputs.target = Shares(1);
                }
            }
        }
    });
    let report = report.await;
    assert_eq!(targets(&report).differences, 1, "{report}");
    let first = report.first.unwrap();
    assert!(report.checks.iter().any(|one| one.outcome == Outcome::Differs), "{first}");
}

/// The leader sells and keeps half, and the follower's exit is decided.
async fn half_sold() -> World {
    let world = World::new().await;
    world.confirmed_buy().await;
    let quantity = Quantity { shares: Shares(100_000_000), usd: Usd(60_000_000) };
    let sale = Trade { tx: 0xb2b2, part: 0, side: Side::Sell, quantity, traded: 30_000, best: 600_000 };
    let inputs = world.exit(&sale, Shares(50_000_000)).await;
    world.commit(&sale, vec![world.decision(&sale, inputs)]).await;
    assert!(verified(&world).await.is_clean());
    world
}

#[tokio::test]
async fn a_ledger_that_gives_another_target() {
    let world = half_sold().await;
    let report = tampered(&world, |rows| {
        if let Rows::Ledger(rows) = rows {
            for row in rows.iter_mut().filter(|row| row.entry.shares.is_positive()) {
                row.entry.shares = Shares(row.entry.shares.0 + 2);
            }
        }
    });
    let report = report.await;
    assert_eq!((targets(&report).differences, targets(&report).gone), (1, 0), "{report}");
    // What is booked later is not of it.
    let report = tampered(&world, |rows| {
        if let Rows::Ledger(rows) = rows {
            let of_buy = rows.iter().find(|row| row.entry.shares.is_positive()).cloned();
            rows.extend(of_buy.map(|row| LedgerRecord { id: 1_000, ..row }));
        }
    });
    assert_eq!(targets(&report.await).differences, 0);
}

#[tokio::test]
async fn an_exit_without_a_basis() {
    let world = sold().await;
    let report = tampered(&world, |rows| {
        if let Rows::Decisions(rows) = rows {
            for row in rows {
                if let DecisionInputs::Exit(_, basis) = &mut row.inputs {
                    *basis = Default::default();
                }
            }
        }
    });
    insta::assert_snapshot!(only(&report.await, &[Check::Targets]), @"decision 2 of relationship 1 on part 0 of leader 1's SELL in 0xb2b2..: what it was computed from is not stored; ledger and factors give a row of the ledger");
}

#[tokio::test]
async fn what_a_reorganisation_replaced_is_counted_and_not_compared() {
    let world = sold().await;
    world.keep(ExitFactor { block: 130, before: Shares(100_000_000), after: Shares(50_000_000) }).await;
    let report = verified(&world).await;
    assert!(report.is_clean(), "{report}");
    assert_eq!((targets(&report).compared, targets(&report).gone), (0, 1), "{report}");
    assert!(report.to_string().contains("1 more rest on what a reorganisation replaced"), "{report}");
}
