//! Stories of a small installation, as they are read.

use std::time::Duration;

use domain::{
    Address, KeyRef, Price, Shares, TxHash, Usd, WalletKind,
    decide::{EntryInputs, Verdict},
    ids::{OwnerId, RelationshipId},
    lifecycle::OrderEvent,
    policy::{Caps, MinimumRule, Policy, PriceBand},
    skip::SkipReason,
    trade::Quantity,
};
use engine::{
    orders::Learned,
    ports::{
        detection::DecisionInputs,
        execution::{EndReason, Execution, OrderRecord},
        following::{
            AccountMode, Following, HoldCause, HoldScope, NewAccount, NewHold, NewRelationship,
            RelationshipStatus,
        },
        reports::Reports,
    },
};

use crate::story::{
    Prices, StoryError, activity, find_order, find_trade, order_story, policy_words, positions,
    relationship_story, render_positions, trade_story,
};
use crate::{
    screen::Style,
    verify::test_world::{TOKEN, Trade, World, at, buy, policy},
};

const PLAIN: Style = Style { colour: false, width: Some(100) };

/// At most 100 columns, and nothing a terminal would obey.
fn screen(text: String) -> String {
    for line in text.lines() {
        assert!(line.chars().count() <= 100, "{} columns: {line}", line.chars().count());
        assert!(!line.chars().any(char::is_control), "{line}");
    }
    text
}

async fn trade_text(world: &World, id: &str) -> String {
    let groups = find_trade(&world.store, id).await.unwrap();
    screen(trade_story(&world.store, Some(world.owner), &groups).await.unwrap().render(PLAIN))
}

async fn order_text(world: &World, record: &OrderRecord) -> String {
    let found = find_order(&world.store, Some(world.owner), &record.order.id.to_string()).await.unwrap();
    screen(order_story(&world.store, Some(world.owner), &found).await.unwrap().render(PLAIN))
}

/// A second follower, of the same owner.
async fn second_follower(world: &World) -> RelationshipId {
    let account = NewAccount {
        label: "ann's \u{1b}[31msecond\u{202e}".to_owned(),
        mode: AccountMode::Paper,
        wallet: Address([7; 20]),
        signer: Address([8; 20]),
        kind: WalletKind::Safe,
        key: KeyRef("second".to_owned()),
        cap: None,
    };
    let account = world.store.add_account(world.owner, &account, at(0)).await.unwrap();
    let new = NewRelationship { account, leader: world.leader, policy: policy() };
    world.store.add_relationship(world.owner, &new, at(0)).await.unwrap()
}

#[tokio::test]
async fn a_trade_that_one_copies_and_one_skips() {
    let world = World::new().await;
    let second = second_follower(&world).await;
    let trade = buy();
    let copy = world.decision(&trade, World::entry());
    let late = EntryInputs { age: Duration::from_secs(75), ..EntryInputs::default() };
    let mut skip = world.decision(&trade, DecisionInputs::Entry(late));
    skip.relationship = second;
    let intent = world.commit(&trade, vec![copy, skip]).await[0];
    let record = world.sign(world.attempt(intent).await).await;
    world.fill(&record, crate::verify::test_world::filled_buy(), Usd(342_870)).await;
    insta::assert_snapshot!(trade_text(&world, "0xb1b1").await, @r#"
    Trade 0xb1b1b1b1b1b1b1b1b1b1b1b1b1b1b1b1b1b1b1b1b1b1b1b1b1b1b1b1b1b1b1b1                        open
      market      Yes · Will it rain in Lisbon on 1 March?
      leader      0xaaaa…aaaa (leader 1) BUY 100.00 shares for 50.00 $ at 0.500
      traded      2026-03-01T12:00:00.000Z, first seen 900 ms later, block 100
      sources     chain: 100.00 shares; history: 0.00 shares; decided 100.00
      part 0      100.00 shares, seen after 900 ms; decided for every follower
      answers     1 copied, 1 skipped (too old 1)

      rel  part  answer     order       what
        1     0  confirmed  0xafccdd7d  19.60 at 0.510 (leader 0.500), cost +0.54 $, fees 0.34
        seen 900ms, decided 100ms, signed 4.0ms, sent 2.0ms, replied 85ms, mined 2.40s, confirmed 0µs
        2     0  skipped    –           too old: 75.0 s old, allowed 60.0 s
    "#);
}

#[tokio::test]
async fn an_order_that_was_confirmed() {
    let world = World::new().await;
    let record = world.confirmed_buy().await;
    insta::assert_snapshot!(order_text(&world, &record).await, @r#"
    Order 0xafccdd7de8c5fa11cd3d487f9e9590747648d19ffb450c7eb40c87f2b07fafdb                   confirmed
      market      BUY Yes · Will it rain in Lisbon on 1 March?
      for         ann's paper; relationship 1 with leader 0xaaaa…aaaa
      because     trade 0xb1b1b1b1 part 0 (intent 1, attempt 0)
      order       gives at most 10.00 $ at 0.520 or better; 10.70 $ were set aside
      filled      19.60 shares for 10.00 $ at 0.510, fee 0.34 $
      copying     cost +0.54 $: price +0.20 (leader 0.500), fees +0.34

      stage      at                after
      traded     12:00:00.000             █
      seen       12:00:00.900     900 ms  ███████████
      decided    12:00:01.000     100 ms             █
      signed     12:00:01.004     4.0 ms              █
      sent       12:00:01.006     2.0 ms              █
      replied    12:00:01.091      85 ms              █
      mined      12:00:03.491     2.40 s               ███████████████████████████████
      confirmed  12:00:03.491       0 µs                                             █
      in all                      3.49 s

      evidence        shares      $      fee
      reply             19.6  9.996        0
      venue's trades       –      –        –
      failed trades        –      –        –
      chain logs        19.6  9.996  0.34287  final
      taken together    19.6  9.996  0.34287

      ledger        cause  shares      cash   cost  realised      fee
      12:00:01.091  fill     19.6    -9.996  9.996         0        0
      12:00:03.491  fill        0  -0.34287      0         0  0.34287

      sending     nobody may be sending it; same bytes until 12:00:06.004
      settling    nothing more to be done; never looked up
    "#);
}

#[tokio::test]
async fn an_order_whose_outcome_is_open() {
    let world = World::new().await;
    let record = world.sign(world.attempt(world.copied_buy().await).await).await;
    let open = Learned { event: Some(OrderEvent::OutcomeOpen), unseen: Some(true), ..Learned::default() };
    world.learn(record.order.id, open, at(12_000)).await;
    insta::assert_snapshot!(order_text(&world, &record).await, @r#"
    Order 0xafccdd7de8c5fa11cd3d487f9e9590747648d19ffb450c7eb40c87f2b07fafdb                     unknown
      market      BUY Yes · Will it rain in Lisbon on 1 March?
      for         ann's paper; relationship 1 with leader 0xaaaa…aaaa
      because     trade 0xb1b1b1b1 part 0 (intent 1, attempt 0)
      order       gives at most 10.00 $ at 0.520 or better; 10.70 $ were set aside
      filled      nothing

      stage      at                after
      traded     12:00:00.000             █
      seen       12:00:00.900     900 ms  ███████████████████████████████████████
      decided    12:00:01.000     100 ms                                         ████
      signed     12:00:01.004     4.0 ms                                             █
      sent       –
      replied    –
      mined      –
      confirmed  –
      in all                      1.00 s

      evidence        shares  $  fee
      reply                –  –    –
      venue's trades       –  –    –
      failed trades        –  –    –
      chain logs           –  –    –
      taken together       –  –    –

      nothing is booked

      sending     may still be sent by test-1; same bytes until 12:00:06.004
      settling    settlement works on it; looked up last at 12:00:12.000
    "#);
}

/// Only the log said so, and one event.
#[tokio::test]
async fn what_was_not_believed_of_an_order_is_shown() {
    let world = World::new().await;
    let record = world.sign(world.attempt(world.copied_buy().await).await).await;
    assert!(!order_text(&world, &record).await.contains("doubted"));
    let absurd = Quantity { shares: Shares(i64::MAX), usd: Usd(i64::MAX) };
    for (times, told) in ["told once of", "told 2 times of"].into_iter().enumerate() {
        let learned = Learned { reply: Some(absurd), ..Learned::default() };
        world.learn(record.order.id, learned, at(12_000 + u64::try_from(times).unwrap())).await;
        let text = order_text(&world, &record).await;
        assert!(text.contains("doubted") && text.contains(told), "{text}");
    }
}

#[tokio::test]
async fn an_exit_with_its_profit() {
    let world = World::new().await;
    world.confirmed_buy().await;
    let record = world.confirmed_exit().await;
    insta::assert_snapshot!(order_text(&world, &record).await, @r#"
    Order 0x7c569d942a3efb6b21c715c6b37fc4468f12a8c7708120848186b16e61da8303                   confirmed
      market      SELL Yes · Will it rain in Lisbon on 1 March?
      for         ann's paper; relationship 1 with leader 0xaaaa…aaaa
      because     trade 0xb2b2b2b2 part 0 (intent 2, attempt 0)
      order       gives at most 19.60 of 19.60 shares at 0.590 or better
      filled      19.60 shares for 11.56 $ at 0.590, fee 0.33 $
      copying     cost +0.53 $: price +0.20 (leader 0.600), fees +0.33

      stage      at                after
      traded     12:00:30.000             █
      seen       12:00:30.900     900 ms  ███████████
      decided    12:00:31.000     100 ms             █
      signed     12:00:31.004     4.0 ms              █
      sent       12:00:31.006     2.0 ms              █
      replied    12:00:31.091      85 ms              █
      mined      12:00:33.491     2.40 s               ███████████████████████████████
      confirmed  12:00:33.491       0 µs                                             █
      in all                      3.49 s

      evidence        shares       $      fee
      reply             19.6  11.564        0
      venue's trades       –       –        –
      failed trades        –       –        –
      chain logs        19.6  11.564  0.33188  final
      taken together    19.6  11.564  0.33188

      ledger        cause  shares      cash    cost  realised      fee
      12:00:31.091  fill    -19.6    11.564  -9.996     1.568        0
      12:00:33.491  fill        0  -0.33188       0         0  0.33188

      sending     nobody may be sending it; same bytes until 12:00:36.004
      settling    nothing more to be done; never looked up
    "#);
}

#[tokio::test]
async fn a_relationship_with_a_hold() {
    let world = World::new().await;
    world.confirmed_buy().await;
    let skipped = Trade { tx: 0xb5b5, ..buy() };
    let mut decision = world.decision(&skipped, DecisionInputs::None);
    decision.verdict = Verdict::Skip(SkipReason::Held);
    world.commit(&skipped, vec![decision]).await;
    let hold = NewHold {
        scope: HoldScope::Leader(world.leader),
        cause: HoldCause::Operator,
        reason: "the leader's wallet was sold".to_owned(),
        stops_exits: false,
        sells: false,
        expires_at: None,
    };
    world.store.place_hold(None, &hold, at(2_000)).await.unwrap();
    let prices = Prices::from([(TOKEN, Price(600_000))]);
    let owner = Some(world.owner);
    let story =
        relationship_story(&world.store, owner, world.relationship, &prices, at(9_000)).await.unwrap();
    insta::assert_snapshot!(screen(story.render(PLAIN)), @r#"
    Relationship 1                                                                                active
      account     1 (ann's paper), paper money, owner 1
      follows     0xaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaa since 2026-03-01T12:00:00.000Z
      policy 1    buys for 10.00 $ whatever the leader's size
                  pays at most 5 % above the leader and 2 % above the best offer
                  skips what is below the venue's minimum
                  copies buys up to 60 s old
                  follows exits
      hold 1 on leader 1 stops buys until lifted: the leader's wallet was sold

      rel  position                              shares   paid    now   cost  unrealised  realised  fees
        1  Yes · Will it rain…isbon on 1 March?   19.60  0.510  0.600  10.00       +1.76      0.00  0.34

      decided   action  trade       answer     what
      12:00:01  BUY     0xb5b5b5b5  skipped    on hold
      12:00:01  BUY     0xb1b1b1b1  confirmed  19.60 at 0.510 (leader 0.500)
    "#);
    let json = serde_json::to_value(&story).unwrap();
    assert_eq!(json["positions"][0]["unrealised"], 1_764_000);
    assert_eq!(json["decisions"][1]["answer"]["answer"], "copied");
}

#[tokio::test]
async fn a_relationship_without_anything() {
    let world = World::new().await;
    world.store.set_status(world.owner, world.relationship, RelationshipStatus::Paused, at(1)).await.unwrap();
    let story =
        relationship_story(&world.store, None, world.relationship, &Prices::new(), at(9_000)).await.unwrap();
    let text = screen(story.render(PLAIN));
    assert!(text.contains("paused by its user") && text.contains("no positions"), "{text}");
    let unknown = relationship_story(&world.store, None, RelationshipId(9), &Prices::new(), at(0)).await;
    let words = unknown.unwrap_err().to_string();
    assert_eq!(words, "no relationship 9; `slipstream following` lists what there is");
}

#[tokio::test]
async fn positions_and_activity() {
    let world = World::new().await;
    world.confirmed_buy().await;
    world.confirmed_exit().await;
    let missed = Trade { tx: 0xb6b6, traded: 40_000, ..buy() };
    let intent = world.commit(&missed, vec![world.decision(&missed, World::entry())]).await[0];
    world.store.end_intents(&[(intent, EndReason::TooOld)], at(99_000)).await.unwrap();
    let waiting = Trade { tx: 0xb7b7, traded: 50_000, ..buy() };
    world.commit(&waiting, vec![world.decision(&waiting, World::entry())]).await;
    let lines = activity(&world.store, Some(world.owner), 10, at(99_000)).await.unwrap();
    insta::assert_snapshot!(screen(lines.render(PLAIN)), @r#"
    decided   rel  trade       action  market          answer     what
    12:00:51    1  0xb7b7b7b7  BUY     Yes · W…March?  waiting    10.00 $ at 0.520, not signed yet
    12:00:41    1  0xb6b6b6b6  BUY     Yes · W…March?  ended      not sent: too old when its turn came
    12:00:31    1  0xb2b2b2b2  SELL    Yes · W…March?  confirmed  19.60 at 0.590 (leader 0.600)
    12:00:01    1  0xb1b1b1b1  BUY     Yes · W…March?  confirmed  19.60 at 0.510 (leader 0.500)
    "#);
    let lines = positions(&world.store, Some(world.owner), &Prices::new()).await.unwrap();
    insta::assert_snapshot!(screen(render_positions(&lines, PLAIN)), @r#"
    rel  position  shares  paid  now  cost  unrealised  realised  fees
         1 closed                     0.00           –     +1.57  0.67
    "#);
}

/// After its hold was lifted it was still said that all is to be sold.
#[tokio::test]
async fn what_a_panic_sells_is_to_be_sold_only_while_it_holds() {
    let world = World::new().await;
    world.confirmed_buy().await;
    world.store.set_status(world.owner, world.relationship, RelationshipStatus::Paused, at(1)).await.unwrap();
    let panic = NewHold {
        scope: HoldScope::Installation,
        cause: HoldCause::Operator,
        reason: "panic".to_owned(),
        stops_exits: false,
        sells: true,
        expires_at: None,
    };
    let hold = world.store.place_hold(None, &panic, at(2_000)).await.unwrap();
    let told = async || activity(&world.store, None, 1, at(3_000)).await.unwrap().render(PLAIN);
    let text = told().await;
    assert!(text.contains("to be sold for relationship 1 as soon as it can be: Yes"), "{text}");
    world.store.lift_hold(None, hold, at(2_500)).await.unwrap();
    let text = told().await;
    assert!(!text.contains("to be sold") && text.contains("has to sell of Yes"), "{text}");
}

#[tokio::test]
async fn sums_withhold_what_they_do_not_know() {
    let world = World::new().await;
    world.confirmed_buy().await;
    let mut records = world.store.positions(None).await.unwrap();
    let mut other = records[0].clone();
    other.token = domain::TokenId([0x33; 32]);
    records.push(other);
    let prices = Prices::from([(TOKEN, Price(600_000))]);
    let lines = crate::story::position_lines(&records, &Default::default(), &prices).unwrap();
    insta::assert_snapshot!(screen(render_positions(&lines, PLAIN)), @r#"
    rel  position        shares   paid    now   cost  unrealised  realised  fees
      1  unknown market   19.60  0.510  0.600  10.00       +1.76      0.00  0.34
      1  unknown market   19.60  0.510      –  10.00           –      0.00  0.34
         all                                   19.99           –      0.00  0.69
    "#);
}

#[tokio::test]
async fn ids_by_their_beginning() {
    let world = World::new().await;
    world.confirmed_buy().await;
    world.commit(&Trade { tx: 0xb2b2, ..buy() }, vec![]).await;
    let one = find_trade(&world.store, "b1b").await.unwrap();
    assert_eq!(one.iter().map(|group| group.key.tx).collect::<Vec<_>>(), [TxHash([0xb1; 32])]);
    for id in ["", "b", "0x", "xyz", "0xzz", "b1b1 ?", &"b1".repeat(33)] {
        let error = find_trade(&world.store, id).await.unwrap_err();
        assert!(matches!(error, StoryError::NotHex(_)), "{id}: {error}");
    }
    let unknown = find_trade(&world.store, "0xff").await.unwrap_err();
    assert_eq!(unknown.to_string(), "no trade 0xff; `slipstream activity` lists what there is");
    world.commit(&Trade { tx: 0xb1b1, side: domain::Side::Sell, ..buy() }, vec![]).await;
    assert_eq!(find_trade(&world.store, "0xB1B1").await.unwrap().len(), 2);
}

#[tokio::test]
async fn an_ambiguous_id_lists_its_candidates() {
    let world = World::new().await;
    for number in 0..12 {
        let trade = Trade { tx: 0xa000 + number, traded: u64::from(number) * 1_000, ..buy() };
        world.commit(&trade, vec![]).await;
    }
    let error = find_trade(&world.store, "a0").await.unwrap_err();
    insta::assert_snapshot!(error, @r#"
    trade 0xa0 may be any of:
      0xa0a0a0a0a0a0a0a0a0a0a0a0a0a0a0a0a0a0a0a0a0a0a0a0a0a0a0a0a0a0a00b (BUY of leader 1 at 12:00:11)
      0xa0a0a0a0a0a0a0a0a0a0a0a0a0a0a0a0a0a0a0a0a0a0a0a0a0a0a0a0a0a0a00a (BUY of leader 1 at 12:00:10)
      0xa0a0a0a0a0a0a0a0a0a0a0a0a0a0a0a0a0a0a0a0a0a0a0a0a0a0a0a0a0a0a009 (BUY of leader 1 at 12:00:09)
      0xa0a0a0a0a0a0a0a0a0a0a0a0a0a0a0a0a0a0a0a0a0a0a0a0a0a0a0a0a0a0a008 (BUY of leader 1 at 12:00:08)
      0xa0a0a0a0a0a0a0a0a0a0a0a0a0a0a0a0a0a0a0a0a0a0a0a0a0a0a0a0a0a0a007 (BUY of leader 1 at 12:00:07)
      0xa0a0a0a0a0a0a0a0a0a0a0a0a0a0a0a0a0a0a0a0a0a0a0a0a0a0a0a0a0a0a006 (BUY of leader 1 at 12:00:06)
      0xa0a0a0a0a0a0a0a0a0a0a0a0a0a0a0a0a0a0a0a0a0a0a0a0a0a0a0a0a0a0a005 (BUY of leader 1 at 12:00:05)
      0xa0a0a0a0a0a0a0a0a0a0a0a0a0a0a0a0a0a0a0a0a0a0a0a0a0a0a0a0a0a0a004 (BUY of leader 1 at 12:00:04)
      0xa0a0a0a0a0a0a0a0a0a0a0a0a0a0a0a0a0a0a0a0a0a0a0a0a0a0a0a0a0a0a003 (BUY of leader 1 at 12:00:03)
      0xa0a0a0a0a0a0a0a0a0a0a0a0a0a0a0a0a0a0a0a0a0a0a0a0a0a0a0a0a0a0a002 (BUY of leader 1 at 12:00:02)
      and 2 more
    give more digits
    "#);
}

#[tokio::test]
async fn an_order_by_its_beginning() {
    let world = World::new().await;
    let first = world.confirmed_buy().await;
    let id = first.order.id.to_string();
    let found = find_order(&world.store, Some(world.owner), id.get(..9).unwrap()).await.unwrap();
    assert_eq!(found.order.id, first.order.id);
    let hidden = find_order(&world.store, Some(OwnerId(99)), &id).await;
    assert!(matches!(hidden, Err(StoryError::Unknown { what: "order", .. })));
}

#[tokio::test]
async fn colours_are_asked_for() {
    let world = World::new().await;
    let record = world.confirmed_buy().await;
    let story = order_story(&world.store, None, &record).await.unwrap();
    assert!(story.render(Style { colour: true, ..PLAIN }).starts_with("\u{1b}[1mOrder 0x"));
    assert!(!story.render(PLAIN).contains('\u{1b}'));
}

#[tokio::test]
async fn every_story_is_json_too() {
    let world = World::new().await;
    let record = world.confirmed_buy().await;
    let groups = find_trade(&world.store, "b1b1").await.unwrap();
    let trade = serde_json::to_value(trade_story(&world.store, None, &groups).await.unwrap()).unwrap();
    assert_eq!(trade["groups"][0]["answers"][0]["answer"]["orders"][0]["state"], "confirmed");
    let order = serde_json::to_value(order_story(&world.store, None, &record).await.unwrap()).unwrap();
    assert_eq!(
        order["order"]["stages"][1],
        serde_json::json!({
            "stage": "seen", "at": at(900), "delay_us": 900_000,
        })
    );
    assert_eq!(order["evidence"][3]["filled"]["quantity"]["shares"], 19_600_000);
    let lines = activity(&world.store, None, 10, at(99_000)).await.unwrap();
    let lines = serde_json::to_value(lines).unwrap();
    assert_eq!(lines["markets"][TOKEN.to_string()]["outcome"], "Yes");
}

#[tokio::test]
async fn an_order_that_was_sent_too_late_says_so() {
    let world = World::new().await;
    let intent = world.copied_buy().await;
    let order = world.sign(world.attempt(intent).await).await;
    let over = Learned { event: Some(OrderEvent::DeadlineOver), ..Learned::default() };
    world.learn(order.order.id, over, at(9_000)).await;
    let text = activity(&world.store, None, 1, at(99_000)).await.unwrap().render(PLAIN);
    assert!(text.contains("missed") && text.contains("10.00 $ at 0.520, not taken in time"), "{text}");
}

#[test]
fn a_policy_in_words() {
    let policy = Policy {
        caps: Caps { order: Some(Usd(25_000_000)), market: None, leader: Some(Usd(1_500_000_000)) },
        band: PriceBand { from: Price(50_000), to: Price(950_000) },
        below_minimum: MinimumRule::Raise,
        follow_exits: false,
        ..Policy::careful()
    };
    insta::assert_snapshot!(policy_words(&policy).join("\n"), @r#"
    buys 10 % of the leader's dollars
    at most 25.00 $ per order
    at most 1,500.00 $ per leader
    prices 0.050 to 0.950 only
    pays at most 5 % above the leader and 2 % above the best offer
    raises to the venue's minimum where every cap allows it
    copies buys up to 60 s old
    does not follow exits
    "#);
}
