//! The report as text, good and bad, and what makes it bad.

use std::collections::{BTreeMap, BTreeSet};

use domain::{
    Shares, Timestamp, TokenId, TxHash, Usd,
    decide::Verdict,
    ids::{LeaderId, OwnerId, RelationshipId},
    money::ONE,
    skip::SkipReason,
    trade::{Action, GroupKey, Quantity, TradeGroup},
};
use engine::ports::{
    detection::DecisionInputs,
    reports::{DecisionRecord, Reports as _},
};

use super::{
    CheckLine, Failed, Report, SkipLine, TapeLine,
    checks::{Answers, answered, of_picture, unanswered},
};
use crate::{
    copying_cost::CopyingCost,
    demo::{
        figures::{FollowerLine, StageLatency, total},
        paint::Paint,
        picture::{Broken, Picture},
        player::Played,
        tape::Provenance,
    },
    verify::test_world::{Trade, World, buy},
};

fn follower(number: i64, style: &str, cents: i64) -> FollowerLine {
    FollowerLine {
        name: format!("follower {number}"),
        style: style.to_owned(),
        cash: Usd(4_000 * ONE + cents * 10_000),
        invested: Usd(990 * ONE),
        value: Usd(1_000 * ONE),
        realised: Usd(cents * 10_000),
        fees: Usd(7 * ONE),
        positions: 2,
        ..FollowerLine::default()
    }
}

fn report() -> Report {
    let unpriced =
        FollowerLine { unpriced: Usd(12 * ONE), unpriced_positions: 1, ..follower(2, "5 $ a trade", -1_250) };
    let followers = vec![follower(1, "half, raised to the minimum", 1_550), unpriced];
    let check = |name| CheckLine { name, basis: "541 transactions".to_owned(), failed: None };
    Report {
        at: Timestamp::from_seconds(1_779_438_317),
        elapsed_us: 64 * ONE,
        speed: 30,
        leader: None,
        notice: None,
        tape: TapeLine {
            recorded: 566,
            derived: 14,
            synthetic: 0,
            left_out: BTreeMap::new(),
            position_ms: 1_700_000,
            length_ms: 1_800_000,
        },
        transactions: 541,
        seen: 544,
        copied: 1_031,
        skipped: vec![
            SkipLine {
                reason: "below minimum",
                decisions: 969,
                example: "copy of 0.15 $ is below the minimum of 1 $".to_owned(),
            },
            SkipLine { reason: "nothing held", decisions: 40, example: "nothing held".to_owned() },
        ],
        orders: BTreeMap::from([("confirmed", 1_000), ("killed", 31)]),
        total: total(&followers).unwrap(),
        followers,
        buys: CopyingCost {
            orders: 990,
            shares: Shares(20_000 * ONE),
            leader_usd: Usd(9_000 * ONE),
            our_usd: Usd(9_010 * ONE),
            fees: Usd(170 * ONE),
            cost: Usd(180 * ONE),
        },
        sells: CopyingCost::default(),
        latency: vec![StageLatency {
            stage: "seen to sent",
            orders: 1_031,
            median_us: 11_200,
            p95_us: 54_000,
            max_us: 1_250_000,
        }],
        broken: vec![Broken {
            at: Timestamp::from_seconds(1_779_438_400),
            what: "killed a worker".to_owned(),
        }],
        checks: vec![check("0 lost"), check("0 doubled")],
        holds: true,
    }
}

#[test]
fn the_report_as_text() {
    let text = report().text(Paint::NONE);
    assert!(text.lines().all(|line| line.chars().count() <= 100), "{text}");
    insta::assert_snapshot!("good", text);
}

#[test]
fn the_headline_counts_no_synthetic_event() {
    let tape = TapeLine { synthetic: 145, ..report().tape };
    let text = Report { tape, ..report() }.text(Paint::NONE);
    let lines: Vec<&str> = text.lines().skip(1).take(2).collect();
    let headline = "580 events of the tape: 566 recorded (97.6 %), 14 derived (2.4 %)";
    let apart = "not counted there: 145 exits made up (20.0 % of all); what follows includes them";
    assert_eq!(lines, [headline, apart]);
    let played = Played {
        events: BTreeMap::from([(Provenance::Recorded, 7), (Provenance::Synthetic, 3)]),
        ..Played::default()
    };
    let tape = Report::of(&Picture::default(), &played, vec![]).unwrap().tape;
    assert_eq!((tape.recorded, tape.derived, tape.synthetic), (7, 0, 3));
}

#[test]
fn a_wallet_that_was_followed_stands_in_place_of_the_tape() {
    let leader = Some(domain::Address([0x1e; 20]));
    let text = Report { leader, speed: 1, ..report() }.text(Paint::NONE);
    let line = format!("followed 0x{} as it traded, through the public Data API", "1e".repeat(20));
    assert_eq!(text.lines().nth(1), Some(line.as_str()));
    assert!(!text.contains("tape"), "{text}");
}

#[test]
fn a_broken_invariant_is_explained_and_named_last() {
    let mut report = report();
    let first = format!("order 0x{}: fill is 1 shares for 2 $; the venue has 3 shares", "ab".repeat(32));
    report.checks[1].failed = Some(Failed { count: 2, first });
    let text = report.text(Paint::NONE);
    assert!(text.lines().all(|line| line.chars().count() <= 100), "{text}");
    assert!(text.contains("    2: order 0xabab") && text.contains("the venue has 3 shares"), "{text}");
    assert_eq!(text.lines().last(), Some("BROKEN: 0 doubled"));
}

#[test]
fn json_has_the_same_numbers() {
    let json = serde_json::to_value(report()).unwrap();
    assert_eq!(json["tape"]["recorded"], 566);
    assert_eq!(json["followers"][0]["cash"], 4_015_500_000_i64);
    assert_eq!(json["buys"]["cost"], 180_000_000);
    assert_eq!(json["checks"][0]["failed"], serde_json::Value::Null);
    assert_eq!(json["holds"], true);
}

#[test]
fn what_the_picture_shows_breaks_its_invariant() {
    let failed = |picture: &Picture, settled| -> Vec<&str> {
        let checks = of_picture(picture, settled);
        checks.iter().filter(|check| !check.holds()).map(|check| check.name).collect()
    };
    assert!(failed(&Picture::default(), true).is_empty());
    assert_eq!(failed(&Picture::default(), false), ["everything is settled"]);
    assert_eq!(failed(&Picture { lost: 1, ..Picture::default() }, true), ["0 lost"]);
    assert_eq!(failed(&Picture { doubled: 1, ..Picture::default() }, true), ["0 doubled"]);
}

fn key() -> GroupKey {
    GroupKey { leader: LeaderId(1), tx: TxHash([1; 32]), token: TokenId([2; 32]), action: Action::Buy }
}

fn group(shares: i64, parts: u32) -> TradeGroup {
    let mut group = TradeGroup::new(key(), Timestamp(0), Timestamp(0));
    group.chain = Some(Quantity { shares: Shares(shares), usd: Usd(ONE) });
    group.parts = parts;
    group
}

fn decision(part: u32, relationship: i64) -> DecisionRecord {
    DecisionRecord {
        id: 1,
        key: key(),
        part,
        relationship: RelationshipId(relationship),
        owner: OwnerId(1),
        policy_version: 1,
        inputs: DecisionInputs::None,
        verdict: Verdict::Skip(SkipReason::Dust),
        decided_at: Timestamp(0),
        intent: None,
    }
}

#[test]
fn every_part_needs_the_answer_of_every_follower() {
    let expected = BTreeSet::from([RelationshipId(1), RelationshipId(2)]);
    let both = [decision(0, 1), decision(0, 2)];
    let judged = |group, decisions: &[DecisionRecord], summed: i64, asked: &[u32]| {
        let summed = BTreeMap::from([(0, summed)]);
        unanswered(group, Shares(5), &Answers { decisions, summed: &summed }, &expected, asked)
    };
    assert_eq!(judged(Some(group(5, 1)), &both, 0, &[0]), None);
    // A part that looks at a few exits again asks nobody else.
    assert_eq!(judged(Some(group(5, 2)), &both, 0, &[0]), None);
    // Old skips that were summed are answers, of whomever.
    assert_eq!(judged(Some(group(5, 1)), &both[..1], 1, &[0]), None);
    let one_short = "part 0 lacks 1 answers, one of them perhaps of relationship 1: 1 old skips are summed";
    assert_eq!(judged(Some(group(5, 1)), &[], 1, &[0]).as_deref(), Some(one_short));
    for (group, decisions, words) in [
        (None, &both[..], "never seen"),
        (Some(group(4, 1)), &both[..], "0.000004 of 0.000005 shares seen"),
        (Some(group(5, 1)), &both[..1], "part 0 lacks 1 answers, the first of relationship 2"),
        (Some(group(5, 2)), &both[..], "part 1 lacks 2 answers, the first of relationship 1"),
        (Some(group(5, 0)), &[], "part 0 lacks 2 answers, the first of relationship 1"),
    ] {
        let asked: Vec<u32> = (0..group.map_or(1, |group| group.parts.max(1))).collect();
        assert_eq!(judged(group, decisions, 0, &asked).as_deref(), Some(words));
    }
}

#[tokio::test]
async fn skips_that_were_summed_are_answers() {
    let world = World::new().await;
    let trade = buy();
    // The newest decision is never summed.
    for trade in [trade, Trade { tx: 0xb7b7, ..trade }] {
        world.commit(&trade, vec![world.decision(&trade, DecisionInputs::None)]).await;
    }
    let played = BTreeMap::from([(world.key(&trade), trade.quantity.shares)]);
    let check = async || answered(played.clone(), &world.store).await.unwrap();
    let before = check().await;
    assert!(before.holds() && before.basis == "1 trade, 1 answer", "{before:?}");
    assert_eq!(world.sum_skips().await, 1);
    assert_eq!(world.store.decisions_of(None, world.key(&trade)).await.unwrap(), []);
    assert_eq!(check().await, before);
}

#[test]
fn a_notice_stands_above_what_was_played() {
    let notice = "The leader cannot be followed now".to_owned();
    let text = Report { notice: Some(notice.clone()), ..report() }.text(Paint::NONE);
    assert_eq!(text.lines().nth(1), Some(notice.as_str()));
}
