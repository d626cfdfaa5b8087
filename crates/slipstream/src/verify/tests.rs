//! Every kind of difference, provoked once.

mod against_chain;
mod against_venue;
mod lost;
mod moving;
mod skips;
mod tamper;
mod targets;

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

/// With the secret, which every installation has.
fn usual<'a>() -> VerifyOptions<'a> {
    VerifyOptions { salts: Some(&TestSalts), ..VerifyOptions::default() }
}

async fn verified(world: &World) -> VerifyReport {
    verify(&world.store, &IDS, usual()).await.unwrap()
}

async fn tampered(world: &World, change: impl Fn(Rows<'_>) + Send + Sync) -> VerifyReport {
    let reports = Tampered { inner: &world.store, change };
    let options = usual();
    let execution: &dyn Execution = &world.store;
    let sources = Sources {
        reports: &reports,
        execution,
        jobs: &world.store,
        detection: &world.store,
        ids: &IDS,
        options,
    };
    verify_sources(&sources).await.unwrap()
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
    insta::assert_snapshot!(report, @r#"
    ✓ decisions recomputed from their inputs              2
    ✓ exit targets recomputed from the ledger             1
    ✓ one decision per part and relationship              2
    ✓ intents joined to their decisions                   2
    ✓ order ids recomputed from their fields              2
    ✓ stored bytes carry the same fields                  2
    ✓ salts recomputed from the secret                    2
    ✓ attempts stay within their intents                  2
    ✓ bookings equal the evidence                         2
    ✓ ledger rows balance                                 5
    ✓ ledger equals the orders' bookings                  2
    ✓ positions equal the ledger                          1
    ✓ cash equals the ledger                              1
    ✓ reservations equal their intents                    2
    – fills equal the venue's books               not asked  asked while a demo runs: it has a venue whose books it may read
    – fills equal the chain's logs                not asked  asked while a demo runs, of its chain
    – no unknown order was executed               not asked  asked while a demo runs: it has a venue whose books it may read
    0 differences in 28 comparisons.
    "#);
}

#[tokio::test]
async fn without_the_secret_salts_are_unknown_and_not_green() {
    let world = World::new().await;
    let without = async || verify(&world.store, &IDS, VerifyOptions::default()).await.unwrap();
    assert!(without().await.is_clean(), "nothing was signed");
    world.confirmed_buy().await;
    let report = without().await;
    assert!(!report.is_clean() && report.differences() == 0, "{report}");
    let line = report.checks.iter().find(|result| result.check == Check::Salts).unwrap().to_string();
    let why = "needs the installation's secret: no installation.secret in the data directory";
    assert!(line.starts_with('?') && line.ends_with(why), "{line}");
}

#[tokio::test]
async fn more_intents_than_a_window_are_joined_too() {
    let world = World::new().await;
    world.confirmed_buy().await;
    world.confirmed_exit().await;
    let options = VerifyOptions { window: 1, ..usual() };
    let report = verify(&world.store, &IDS, options).await.unwrap();
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
    insta::assert_snapshot!(only(&verified(&world).await, &[Check::Decisions]), @"decision 1 of relationship 1 on part 0 of leader 1's BUY in 0xb1b1..: verdict is skip: market closed; its inputs give copy: BUY 10 $ at 0.52, reserving 10.70001 $");
}

#[tokio::test]
async fn a_reason_that_cannot_be() {
    let world = World::new().await;
    let trade = buy();
    let mut decision = world.decision(&trade, DecisionInputs::None);
    decision.verdict = Verdict::Skip(SkipReason::NothingHeld);
    world.commit(&trade, vec![decision]).await;
    let settling = Trade { tx: 0xb3b3, ..buy() };
    world
        .commit_kind(&settling, PartKind::Settling, vec![world.decision(&settling, DecisionInputs::None)])
        .await;
    let report = verified(&world).await;
    insta::assert_snapshot!(only(&report, &[Check::Decisions]), @"decision 1 of relationship 1 on part 0 of leader 1's BUY in 0xb1b1..: verdict is skip: nothing held; its inputs give skip for one of: paused or stopped, on hold, lost with the database");
    assert_eq!(report.differences(), 2);
}

#[tokio::test]
async fn inputs_of_the_wrong_kind() {
    let world = World::new().await;
    let trade = buy();
    let mut decision = world.decision(&trade, World::entry());
    decision.inputs = DecisionInputs::Exit(Default::default(), Default::default());
    world.commit(&trade, vec![decision]).await;
    insta::assert_snapshot!(only(&verified(&world).await, &[Check::Decisions]), @"decision 1 of relationship 1 on part 0 of leader 1's BUY in 0xb1b1..: verdict is copy: BUY 10 $ at 0.52, reserving 10.70001 $; its inputs give nothing that a decision could say");
}

#[tokio::test]
async fn a_second_part_that_forgot_the_first() {
    let world = World::new().await;
    world.copied_buy().await;
    let again = Trade { part: 1, ..buy() };
    world.commit(&again, vec![world.decision(&again, World::entry())]).await;
    insta::assert_snapshot!(only(&verified(&world).await, &[Check::Decisions]), @"decision 2 of relationship 1 on part 1 of leader 1's BUY in 0xb1b1..: the amount decided before is 0; its earlier decisions sum to 10");
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
    insta::assert_snapshot!(only(&gone.await, &[Check::Decisions]), @"decision 1 of relationship 1 on part 0 of leader 1's BUY in 0xb1b1..: part is not stored; it should be stored with its decision");
    let gone = tampered(&world, |rows| {
        if let Rows::Policy(policy) = rows {
            *policy = None;
        }
    });
    insta::assert_snapshot!(only(&gone.await, &[Check::Decisions]), @"decision 1 of relationship 1 on part 0 of leader 1's BUY in 0xb1b1..: policy is version 1 which is not stored; it should be stored with its decision");
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
    insta::assert_snapshot!(only(&report.await, &[Check::Decisions]), @"decision 1 of relationship 1 on part 0 of leader 1's BUY in 0xb1b1..: owner is 9; it should be 1");
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
    insta::assert_snapshot!(only(&report.await, &[Check::OneAnswer]), @"decision 2 of relationship 1 on part 0 of leader 1's BUY in 0xb1b1..: decision is 2; the first one is 1");
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
    insta::assert_snapshot!(only(&report.await, &[Check::Intents]), @"intent 1 of relationship 1: amount in millionths is 10010000; its decision says 10000000");
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
    insta::assert_snapshot!(only(&report, &[Check::Intents]), @"intent 1 of relationship 1: number of decisions that name it is 0; it should be 1");
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
    insta::assert_snapshot!(only(&verified(&world).await, &[Check::OrderIds]), @"order 0x0707.. (intent 1, attempt 0): id is 0x0707..; its fields give 0xafcc..");
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
    insta::assert_snapshot!(only(&report.await, &[Check::OrderIds, Check::Bodies]), @"order 0xafcc.. (intent 1, attempt 0): id is 0xafcc..; its fields give an order amount of 0 millionths is not positive");
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
    insta::assert_snapshot!(only(&report.await, &[Check::OrderIds]), @"order 0xafcc.. (intent 1, attempt 0): market of its token is not stored; its fields give 7719472615821079694904732333912527190217998977709370935963838933860875309329");
}

#[tokio::test]
async fn bytes_that_say_otherwise() {
    let world = World::new().await;
    let intent = world.copied_buy().await;
    let mut attempt = world.attempt(intent).await;
    let text = String::from_utf8(attempt.order.body).unwrap();
    attempt.order.body = text.replace("\"10000000\"", "\"11000000\"").into_bytes();
    world.sign(attempt).await;
    insta::assert_snapshot!(only(&verified(&world).await, &[Check::Bodies]), @"order 0xafcc.. (intent 1, attempt 0): makerAmount is 11000000; the order has 10000000");
    let garbled = tampered(&world, |rows| {
        if let Rows::Orders(rows) = rows {
            rows.iter_mut().for_each(|row| row.order.body.truncate(10));
        }
    });
    insta::assert_snapshot!(only(&garbled.await, &[Check::Bodies]), @"order 0xafcc.. (intent 1, attempt 0): body is not JSON (EOF while parsing an object at line 1 column 10); the order has fields to be compared");
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
    insta::assert_snapshot!(only(&report.await, &[Check::Salts, Check::Attempts]), @"order 0xafcc.. (intent 1, attempt 1): salt is 1421937511422616; the secret gives 1423037023050827");
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
    insta::assert_snapshot!(only(&report, &[Check::Salts, Check::Attempts]), @"order 0xafcc.. (intent 1, attempt 1): salt is 1421937511422616; the secret gives 1423037023050827");
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
    insta::assert_snapshot!(only(&report.await, &[Check::Evidence]), @"order 0xafcc.. (intent 1, attempt 0): booking is 19.6 shares for 9.996 $, fee 0; its evidence says 19.600001 shares for 9.996 $, fee 0");
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
    insta::assert_snapshot!(only(&report.await, &checks), @"ledger row 2: cash is -9.996001; realised less cost less fee is -9.996");
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
    insta::assert_snapshot!(only(&report.await, &checks), @"ledger row 2: owner is 1; its relationship's is none");
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
    insta::assert_snapshot!(only(&report.await, &checks), @"intent 1 of relationship 1: sum of its ledger rows is 0 shares, cash 0, cost 0, realised 0, fee 0; its orders have booked 19.6 shares, cash -10.33887, cost 9.996, realised 0, fee 0.34287");
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
    insta::assert_snapshot!(only(&report.await, &[Check::LedgerByOrder]), @"intent 1 of relationship 1: sum of its ledger rows is 0 shares, cash 0, cost 0, realised 0, fee 0; its orders have booked 19.6 shares, cash -10.33887, cost 9.996, realised 0, fee 0.34287");
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
    insta::assert_snapshot!(only(&more.await, &[Check::Positions]), @"position of relationship 1 (account 1) in token 7719472615821079694904732333912527190217998977709370935963838933860875309329: it is 19.600001 shares at cost 9.996, realised 0, fees 0.34287; the ledger's rows sum to 19.6 shares at cost 9.996, realised 0, fees 0.34287");
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
    insta::assert_snapshot!(only(&report.await, &[Check::Cash, Check::Reservations]), @"account 1 (ann's paper): cash is 989.661131; the ledger's rows sum to 989.66113");
}

#[tokio::test]
async fn reservations_that_are_not_right() {
    let world = World::new().await;
    let intent = world.copied_buy().await;
    for (reservations, text) in [
        (vec![], "intent 1 of relationship 1: its reservation is none; it should be 10.70001"),
        (
            vec![(intent, Usd(1))],
            "intent 1 of relationship 1: its reservation is 0.000001; it should be 10.70001",
        ),
        (
            vec![(intent, Usd(10_700_010)), (IntentId(66), Usd(2))],
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
    insta::assert_snapshot!(only(&report.await, &[Check::Reservations]), @"intent 1 of relationship 1: its reservation is 10.70001; it should be given back: nothing of it is open");
}

#[tokio::test]
async fn the_report_reads_as_json() {
    let world = World::new().await;
    world.store.book_deposit(world.owner, world.account, Usd(5), Timestamp(1)).await.unwrap();
    let json = serde_json::to_value(verified(&world).await).unwrap();
    assert_eq!(json["checks"][0]["outcome"], "agrees");
    assert_eq!(json["checks"][9]["compared"], 2);
    assert_eq!(json["first"], serde_json::Value::Null);
}

#[test]
fn an_entry_is_told_in_words() {
    let entry = Entry { shares: Shares(1_500_000), cash: Usd(-760_000), ..Entry::default() };
    assert_eq!(super::words::entry(&entry), "1.5 shares, cash -0.76, cost 0, realised 0, fee 0");
}
