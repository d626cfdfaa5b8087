//! The live trade feed as the third source: ahead of the chain, repeated, late, silent, wrong. Blocks come when the
//! test says so.

use std::{sync::Arc, time::Duration};

use domain::{Side, lifecycle::OrderState};
use engine::ports::{detection::Source, feeds::FeedHealth};
use simulator::{
    Outage, Service,
    world::faults::{Fault, FaultKind, FaultTarget},
};

use serde_json::json;
use slipstream::{
    commands::{Request, Witnesses, answer},
    screen::Style,
};

use crate::scene::{Has, Scene, Setup, until};

/// Longer than any test: nobody asks unless there is a reason.
const NEVER: Duration = Duration::from_secs(3_600);

async fn listening() -> Scene {
    let scene = Scene::set(Setup { block_ms: 0, live: true, ..Setup::default() }).await;
    scene.hears().await;
    scene
}

impl Scene {
    /// How the feed does.
    fn feed(&self) -> FeedHealth {
        self.live.health()
    }

    /// Waits until the newest block is read.
    async fn read(&self) {
        let head = self.world.with(|world, _| world.chain().head());
        until("the newest block is read", async || {
            let read = self.store.cursor(Source::Chain).await.expect("a cursor");
            read.and_then(|read| u64::try_from(read).ok()) >= Some(head)
        })
        .await;
    }

    /// Waits until the feed is open and what was said on it is taken.
    async fn hears(&self) {
        until("the feed is open", async || self.feed().open == 1).await;
        // The blank frame that answers the subscription.
        until("the subscription is answered", async || self.feed().frames > 0).await;
    }

    fn broken_feed(&self, kind: FaultKind) {
        let fault = Fault { target: FaultTarget::LiveSocket, kind, count: 1, delay_ms: 0, depth: 0 };
        assert!(self.world.with(|world, _| world.faults.push(fault)));
    }

    /// The leader buys 100 shares at 0.50 and nobody makes a block.
    fn matched(&self) -> domain::TxHash {
        self.submit(&[(Side::Buy, 100, 50)])
    }
}

#[tokio::test]
async fn the_feed_is_first_and_the_chain_adds_nothing() {
    let scene = listening().await;
    let tx = scene.matched();
    scene.decided(1).await;
    let group = scene.group(tx, Side::Buy).await.expect("a group");
    assert!(group.chain.is_none() && group.sightings.live.is_some(), "{group:?}");
    scene.mine();
    scene.settled().await;
    let group = scene.group(tx, Side::Buy).await.expect("a group");
    assert_eq!((group.chain, group.parts), (Some(group.live), 1));
    assert_eq!((scene.skips().await, scene.has(0).await), (vec![None], Has::copied()));
    // What each source showed is told, and what was never heard is not known.
    let (sources, answers) = (Some(scene.runtime.sources()), Some(Arc::clone(&scene.answers)));
    let witnesses = Witnesses { sources, answers, ..Witnesses::default() };
    let (store, clock) = (scene.store.as_ref(), scene.clock.as_ref());
    let told = answer(store, clock, &witnesses, &Request::Sources { style: Style::default() })
        .await
        .expect("an answer");
    let [chain, history, live] = [0, 1, 2].map(|at| &told.json["sources"][at]);
    assert_eq!((&live["first"], &live["compared"], &live["differs"]), (&json!(1), &json!(1), &json!(0)));
    assert_eq!((&chain["trades"], &chain["first"]), (&json!(1), &json!(0)));
    assert!(chain["behind_first_ms"].is_u64() && history["lag_ms"].is_null(), "{}", told.text);
    assert!(told.text.contains("unknown"), "{}", told.text);
    let rows = told.json["answers"].as_array().expect("what the services were asked for");
    let markets = rows.iter().find(|row| row["topic"] == "markets").expect("markets");
    assert!(markets["tally"]["answered"].as_u64() > Some(0), "{}", told.text);
    assert_eq!(markets["tally"]["malformed"], json!(0));
    assert!(told.text.contains("not understood") && !told.text.contains("relayer"), "{}", told.text);
    assert!(
        answer(store, clock, &Witnesses::default(), &Request::Sources { style: Style::default() })
            .await
            .is_err()
    );
    scene.finish().await;
}

#[tokio::test]
async fn either_type_of_message_is_enough() {
    let scene = listening().await;
    scene.world.with(|world, _| world.knobs.live_without_trades = true);
    scene.matched();
    scene.decided(1).await;
    scene.mine();
    scene.settled().await;
    assert_eq!(scene.has(0).await, Has::copied());
    scene.finish().await;
}

#[tokio::test]
async fn frames_that_come_again_or_in_another_order_copy_nothing_twice() {
    let scene = listening().await;
    scene.broken_feed(FaultKind::Duplicate);
    scene.matched();
    scene.decided(1).await;
    scene.broken_feed(FaultKind::Reorder);
    scene.broken_feed(FaultKind::Replay);
    scene.mine();
    scene.read().await;
    scene.matched();
    scene.mine();
    scene.decided(2).await;
    scene.settled().await;
    assert_eq!(scene.skips().await, [None, None]);
    assert_eq!(scene.states().await, [OrderState::Confirmed; 2]);
    scene.finish().await;
}

#[tokio::test]
async fn a_trade_under_another_hash_is_bought_once() {
    let scene = listening().await;
    let tx = scene.matched();
    scene.decided(1).await;
    scene.mine();
    scene.read().await;
    scene.reorganise(1, &[], &[tx], &[]);
    until("the other hash is answered", async || scene.decisions().await.len() == 2).await;
    scene.settled().await;
    let skips = scene.skips().await;
    assert_eq!(skips, [None, Some(domain::skip::SkipReason::MaySettle)]);
    assert_eq!(scene.has(0).await, Has::copied());
    scene.finish().await;
}

#[tokio::test]
async fn a_trade_during_a_disconnect_is_asked_for_when_the_feed_is_back() {
    let setup = Setup {
        block_ms: 0,
        chain: false,
        history: true,
        live: true,
        history_every: NEVER,
        ..Setup::default()
    };
    let scene = Scene::set(setup).await;
    scene.hears().await;
    scene.world.set_outage(Service::Live, Outage::Unavailable);
    until("the feed is gone", async || scene.feed().open == 0).await;
    scene.matched();
    scene.mine();
    let reconnects = scene.feed().reconnects;
    scene.world.set_outage(Service::Live, Outage::None);
    scene.decided(1).await;
    assert_eq!(scene.feed().reconnects, reconnects + 1);
    assert_eq!(scene.skips().await, [None]);
}

#[tokio::test]
async fn a_frame_that_is_not_understood_is_counted_and_the_trade_found_elsewhere() {
    let scene = listening().await;
    scene.broken_feed(FaultKind::Malformed);
    scene.broken_feed(FaultKind::Malformed);
    scene.matched();
    until("both frames are refused", async || scene.feed().errors == 2).await;
    assert!(scene.decisions().await.is_empty());
    scene.mine();
    scene.decided(1).await;
    assert_eq!((scene.feed().open, scene.feed().failures), (1, 0));
    scene.settled().await;
    assert_eq!(scene.has(0).await, Has::copied());
    scene.finish().await;
}

#[tokio::test]
async fn a_hint_that_never_reaches_the_chain_is_copied_once_and_no_more() {
    let scene = listening().await;
    let tx = scene.matched();
    scene.decided(1).await;
    scene.mine();
    scene.read().await;
    scene.reorganise(1, &[tx], &[], &[]);
    until("the chain has less than was decided", async || {
        scene
            .group(tx, Side::Buy)
            .await
            .is_some_and(|group| group.state == domain::trade::GroupState::Overcounted)
    })
    .await;
    assert_eq!(scene.skips().await, [None]);
}
