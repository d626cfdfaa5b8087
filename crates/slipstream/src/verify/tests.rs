//! Every kind of difference, provoked once.

mod against_venue;
mod moving;
mod tamper;

use domain::{
    OrderId, Shares, Timestamp, Usd,
    decide::Verdict,
    ids::{IntentId, OwnerId, RelationshipId},
    lifecycle::{OrderEvent, OrderState},
    position::Entry,
    skip::SkipReason,
    trade::PartKind,
};
use engine::{
    orders::Learned,
    ports::{
        detection::DecisionInputs,
        execution::{Execution, LedgerCause},
        following::Following,
    },
};

use self::tamper::{Rows, Tampered};
use super::{
    Check, Outcome, Sources, VerifyOptions, VerifyReport,
    test_world::{IDS, TestSalts, Trade, World, at, buy, filled_buy},
    verify, verify_sources,
};

async fn verified(world: &World) -> VerifyReport {
    let options = VerifyOptions { salts: Some(&TestSalts), ..VerifyOptions::default() };
    verify(&world.store, &IDS, None, options).await.unwrap()
}

async fn tampered(world: &World, change: impl Fn(Rows<'_>) + Send + Sync) -> VerifyReport {
    let reports = Tampered { inner: &world.store, change };
    let options = VerifyOptions { salts: Some(&TestSalts), ..VerifyOptions::default() };
    let execution: &dyn Execution = &world.store;
    verify_sources(&Sources { reports: &reports, execution, ids: &IDS, venue: None, options }).await.unwrap()
}

/// The first difference, after asserting that nothing but `checks` differs.
fn only(report: &VerifyReport, checks: &[Check]) -> String {
    let differ = report.checks.iter().filter(|result| result.outcome == Outcome::Differs);
    assert_eq!(differ.map(|result| result.check).collect::<Vec<_>>(), checks, "{report}");
    assert!(!report.is_clean());
    shortened(&report.first.as_ref().unwrap().to_string())
}

/// The first bytes of a hash are enough to read.
fn shortened(text: &str) -> String {
    let short = |word: &str| match word.strip_prefix("0x") {
        Some(digits) if digits.len() >= 64 => {
            format!("0x{}..{}", digits.get(..4).unwrap_or_default(), digits.get(64..).unwrap_or_default())
        }
        _ => word.to_owned(),
    };
    text.split(' ').map(short).collect::<Vec<_>>().join(" ")
}

#[tokio::test]
async fn a_sound_installation_has_no_difference() {
    let world = World::new().await;
    world.confirmed_buy().await;
    world.confirmed_exit().await;
    let report = verified(&world).await;
    assert!(report.is_clean(), "{report}");
    insta::assert_snapshot!(report, @"");
}

#[tokio::test]
async fn more_intents_than_a_window_are_joined_too() {
    let world = World::new().await;
    world.confirmed_buy().await;
    world.confirmed_exit().await;
    let options = VerifyOptions { salts: None, window: 1 };
    let report = verify(&world.store, &IDS, None, options).await.unwrap();
    assert!(report.is_clean(), "{report}");
    assert_eq!(report.checks.iter().find(|result| result.check == Check::Intents).unwrap().compared, 2);
}

#[tokio::test]
async fn a_verdict_that_does_not_follow() {
    let world = World::new().await;
    let trade = buy();
    let mut decision = world.decision(&trade, World::entry());
    decision.verdict = Verdict::Skip(SkipReason::MarketClosed);
    decision.intent = None;
    world.commit(&trade, vec![decision]).await;
    insta::assert_snapshot!(only(&verified(&world).await, &[Check::Decisions]), @"");
}

#[tokio::test]
async fn a_reason_that_cannot_be() {
    let world = World::new().await;
    let trade = buy();
    let mut decision = world.decision(&trade, DecisionInputs::None);
    decision.verdict = Verdict::Skip(SkipReason::NothingHeld);
    world.commit(&trade, vec![decision]).await;
    let settling = Trade { tx: 0xb3, ..buy() };
    world
        .commit_kind(&settling, PartKind::Settling, vec![world.decision(&settling, DecisionInputs::None)])
        .await;
    let report = verified(&world).await;
    insta::assert_snapshot!(only(&report, &[Check::Decisions]), @"");
    assert_eq!(report.differences(), 2);
}

#[tokio::test]
async fn inputs_of_the_wrong_kind() {
    let world = World::new().await;
    let trade = buy();
    let mut decision = world.decision(&trade, World::entry());
    decision.inputs = DecisionInputs::Exit(Default::default());
    world.commit(&trade, vec![decision]).await;
    insta::assert_snapshot!(only(&verified(&world).await, &[Check::Decisions]), @"");
}

#[tokio::test]
async fn a_second_part_that_forgot_the_first() {
    let world = World::new().await;
    world.copied_buy().await;
    let again = Trade { part: 1, ..buy() };
    world.commit(&again, vec![world.decision(&again, World::entry())]).await;
    insta::assert_snapshot!(only(&verified(&world).await, &[Check::Decisions]), @"");
}

#[tokio::test]
async fn a_part_or_policy_that_is_gone() {
    let world = World::new().await;
    world.copied_buy().await;
    let gone = tampered(&world, |rows| {
        if let Rows::Part(part) = rows {
            *part = None;
        }
    });
    insta::assert_snapshot!(only(&gone.await, &[Check::Decisions]), @"");
    let gone = tampered(&world, |rows| {
        if let Rows::Policy(policy) = rows {
            *policy = None;
        }
    });
    insta::assert_snapshot!(only(&gone.await, &[Check::Decisions]), @"");
}

#[tokio::test]
async fn a_decision_of_another_owner() {
    let world = World::new().await;
    let trade = buy();
    world.commit(&trade, vec![world.decision(&trade, DecisionInputs::None)]).await;
    let report = tampered(&world, |rows| {
        if let Rows::Decisions(rows) = rows {
            rows.iter_mut().for_each(|row| row.owner = OwnerId(9));
        }
    });
    insta::assert_snapshot!(only(&report.await, &[Check::Decisions]), @"");
}

#[tokio::test]
async fn two_answers_for_one_part() {
    let world = World::new().await;
    let trade = buy();
    world.commit(&trade, vec![world.decision(&trade, DecisionInputs::None)]).await;
    let report = tampered(&world, |rows| {
        if let Rows::Decisions(rows) = rows
            && let Some(first) = rows.first().cloned()
        {
            rows.push(first);
            rows[1].id = 2;
        }
    });
    insta::assert_snapshot!(only(&report.await, &[Check::OneAnswer]), @"");
}

#[tokio::test]
async fn an_intent_that_says_otherwise() {
    let world = World::new().await;
    world.copied_buy().await;
    let report = tampered(&world, |rows| {
        if let Rows::Intents(rows) = rows {
            rows.iter_mut().for_each(|row| row.amount += 10_000);
        }
    });
    insta::assert_snapshot!(only(&report.await, &[Check::Intents]), @"");
}

#[tokio::test]
async fn an_intent_without_a_decision_and_a_decision_without_its_intent() {
    let world = World::new().await;
    world.copied_buy().await;
    let report = tampered(&world, |rows| {
        if let Rows::Decisions(rows) = rows {
            rows.iter_mut().for_each(|row| row.intent = Some(IntentId(77)));
        }
    });
    let report = report.await;
    insta::assert_snapshot!(only(&report, &[Check::Intents]), @"");
    assert_eq!(report.differences(), 2);
    let report = tampered(&world, |rows| {
        if let Rows::Decisions(rows) = rows {
            rows.iter_mut().for_each(|row| row.intent = None);
        }
    });
    let report = report.await;
    only(&report, &[Check::Intents]);
    assert_eq!(report.differences(), 2);
}

#[tokio::test]
async fn an_order_id_that_is_not_the_hash() {
    let world = World::new().await;
    let intent = world.copied_buy().await;
    let mut attempt = world.attempt(intent).await;
    attempt.order.id = OrderId([7; 32]);
    world.sign(attempt).await;
    insta::assert_snapshot!(only(&verified(&world).await, &[Check::OrderIds]), @"");
}

#[tokio::test]
async fn an_order_that_cannot_be_hashed() {
    let world = World::new().await;
    world.sign(world.attempt(world.copied_buy().await).await).await;
    let report = tampered(&world, |rows| {
        if let Rows::Orders(rows) = rows {
            rows.iter_mut().for_each(|row| row.amounts.taker = 0);
        }
    });
    insta::assert_snapshot!(only(&report.await, &[Check::OrderIds, Check::Bodies]), @"");
}

#[tokio::test]
async fn an_order_of_a_market_nobody_knows() {
    let world = World::new().await;
    world.sign(world.attempt(world.copied_buy().await).await).await;
    let report = tampered(&world, |rows| {
        if let Rows::Markets(rows) = rows {
            rows.clear();
        }
    });
    insta::assert_snapshot!(only(&report.await, &[Check::OrderIds]), @"");
}

#[tokio::test]
async fn bytes_that_say_otherwise() {
    let world = World::new().await;
    let intent = world.copied_buy().await;
    let mut attempt = world.attempt(intent).await;
    let text = String::from_utf8(attempt.order.body).unwrap();
    attempt.order.body = text.replace("\"10000000\"", "\"11000000\"").into_bytes();
    world.sign(attempt).await;
    insta::assert_snapshot!(only(&verified(&world).await, &[Check::Bodies]), @"");
    let garbled = tampered(&world, |rows| {
        if let Rows::Orders(rows) = rows {
            rows.iter_mut().for_each(|row| row.order.body.truncate(10));
        }
    });
    insta::assert_snapshot!(only(&garbled.await, &[Check::Bodies]), @"");
}

#[tokio::test]
async fn a_salt_the_secret_does_not_give() {
    let world = World::new().await;
    world.sign(world.attempt(world.copied_buy().await).await).await;
    let report = tampered(&world, |rows| {
        if let Rows::Orders(rows) = rows {
            rows.iter_mut().for_each(|row| row.number = 1);
        }
    });
    insta::assert_snapshot!(only(&report.await, &[Check::Salts, Check::Attempts]), @"");
}

#[tokio::test]
async fn attempts_beyond_their_intent() {
    let world = World::new().await;
    world.sign(world.attempt(world.copied_buy().await).await).await;
    let report = tampered(&world, |rows| {
        if let Rows::Orders(rows) = rows
            && let Some(mut second) = rows.first().cloned()
        {
            second.number = 1;
            rows.push(second);
        }
    });
    let report = report.await;
    insta::assert_snapshot!(only(&report, &[Check::Salts, Check::Attempts]), @"");
    // More than one attempt of an entry, more than one open, more at stake than allowed; and the salt.
    assert_eq!(report.differences(), 4);
}

#[tokio::test]
async fn a_fill_that_is_not_booked() {
    let world = World::new().await;
    let record = world.sign(world.attempt(world.copied_buy().await).await).await;
    world.mine(&record, filled_buy(), Usd::ZERO).await;
    let waiting = verified(&world).await;
    assert!(waiting.is_clean(), "{waiting}");
    assert_eq!(waiting.waiting(), 1);
    world.learn(record.order.id, Learned::default(), at(5_000)).await;
    let report = tampered(&world, |rows| {
        if let Rows::Orders(rows) = rows {
            rows.iter_mut().for_each(|row| row.evidence.chain.quantity.shares.0 += 1);
        }
    });
    insta::assert_snapshot!(only(&report.await, &[Check::Evidence]), @"");
}

#[tokio::test]
async fn a_ledger_row_that_does_not_balance() {
    let world = World::new().await;
    world.confirmed_buy().await;
    let report = tampered(&world, |rows| {
        if let Rows::Ledger(rows) = rows {
            rows.iter_mut().for_each(|row| row.entry.cash.0 -= 1);
        }
    });
    let checks = [Check::LedgerRows, Check::LedgerByOrder, Check::Cash];
    insta::assert_snapshot!(only(&report.await, &checks), @"");
}

#[tokio::test]
async fn a_ledger_row_of_nobody() {
    let world = World::new().await;
    world.confirmed_buy().await;
    let report = tampered(&world, |rows| {
        if let Rows::Ledger(rows) = rows {
            let of_order = rows.iter_mut().filter(|row| row.cause != LedgerCause::Deposit);
            of_order.for_each(|row| row.relationship = Some(RelationshipId(8)));
        }
    });
    let checks = [Check::LedgerRows, Check::LedgerByOrder, Check::Positions];
    insta::assert_snapshot!(only(&report.await, &checks), @"");
}

#[tokio::test]
async fn a_ledger_row_that_is_missing() {
    let world = World::new().await;
    world.confirmed_buy().await;
    let report = tampered(&world, |rows| {
        if let Rows::Ledger(rows) = rows {
            rows.retain(|row| row.cause == LedgerCause::Deposit);
        }
    });
    let checks = [Check::LedgerByOrder, Check::Positions, Check::Cash];
    insta::assert_snapshot!(only(&report.await, &checks), @"");
}

#[tokio::test]
async fn a_ledger_row_of_an_unknown_intent() {
    let world = World::new().await;
    world.confirmed_buy().await;
    let report = tampered(&world, |rows| {
        if let Rows::Ledger(rows) = rows {
            rows.iter_mut()
                .filter(|row| row.intent.is_some())
                .for_each(|row| row.intent = Some(IntentId(50)));
        }
    });
    insta::assert_snapshot!(only(&report.await, &[Check::LedgerByOrder]), @"");
}

#[tokio::test]
async fn a_position_the_ledger_does_not_give() {
    let world = World::new().await;
    world.confirmed_buy().await;
    let more = tampered(&world, |rows| {
        if let Rows::Positions(rows) = rows {
            rows.iter_mut().for_each(|row| row.position.shares.0 += 1);
        }
    });
    insta::assert_snapshot!(only(&more.await, &[Check::Positions]), @"");
    let gone = tampered(&world, |rows| {
        if let Rows::Positions(rows) = rows {
            rows.clear();
        }
    });
    only(&gone.await, &[Check::Positions]);
}

#[tokio::test]
async fn cash_and_reserved_money_that_do_not_add_up() {
    let world = World::new().await;
    world.confirmed_buy().await;
    let report = tampered(&world, |rows| {
        if let Rows::Accounts(rows) = rows {
            rows.iter_mut().for_each(|row| (row.cash.0, row.reserved.0) = (row.cash.0 + 1, 5));
        }
    });
    insta::assert_snapshot!(only(&report.await, &[Check::Cash, Check::Reservations]), @"");
}

#[tokio::test]
async fn reservations_that_are_not_right() {
    let world = World::new().await;
    let intent = world.copied_buy().await;
    for (reservations, text) in [
        (vec![], "intent 1 of relationship 1: its reservation is none; it should be 10.34301"),
        (
            vec![(intent, Usd(1))],
            "intent 1 of relationship 1: its reservation is 0.000001; it should be 10.34301",
        ),
        (
            vec![(intent, Usd(10_343_010)), (IntentId(66), Usd(2))],
            "reservation of 0.000002 $: its intent is 66; it should be stored",
        ),
    ] {
        let report = tampered(&world, |rows| {
            if let Rows::Reservations(rows) = rows {
                rows.clone_from(&reservations);
            }
        });
        assert_eq!(only(&report.await, &[Check::Reservations]), text);
    }
}

#[tokio::test]
async fn a_reservation_that_was_never_given_back() {
    let world = World::new().await;
    let record = world.sign(world.attempt(world.copied_buy().await).await).await;
    let killed = Learned { event: Some(OrderEvent::SeenKilled), ..Learned::default() };
    let killed = world.learn(record.order.id, killed, at(2_000)).await;
    assert_eq!(killed.state, OrderState::Killed);
    assert!(verified(&world).await.is_clean());
    let report = tampered(&world, |rows| match rows {
        Rows::Reservations(rows) => rows.push((killed.intent.id, killed.intent.reserve)),
        Rows::Accounts(rows) => rows.iter_mut().for_each(|row| row.reserved = killed.intent.reserve),
        _ => {}
    });
    insta::assert_snapshot!(only(&report.await, &[Check::Reservations]), @"");
}

#[tokio::test]
async fn the_report_reads_as_json() {
    let world = World::new().await;
    world.store.book_deposit(world.owner, world.account, Usd(5), Timestamp(1)).await.unwrap();
    let json = serde_json::to_value(verified(&world).await).unwrap();
    assert_eq!(json["checks"][0]["outcome"], "agrees");
    assert_eq!(json["checks"][8]["compared"], 2);
    assert_eq!(json["first"], serde_json::Value::Null);
}

#[test]
fn an_entry_is_told_in_words() {
    let entry = Entry { shares: Shares(1_500_000), cash: Usd(-760_000), ..Entry::default() };
    assert_eq!(super::words::entry(&entry), "1.5 shares, cash -0.76, cost 0, realised 0, fee 0");
}
