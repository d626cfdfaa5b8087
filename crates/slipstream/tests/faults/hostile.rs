//! Hostile answers on every input: the engine stays alive, errors are typed, and work goes on when the
//! real service is back.

use std::sync::Arc;

use domain::{
    lifecycle::{OrderAlarm, OrderState},
    money::ONE,
    skip::SkipReason,
};
use eip712::Chain;
use engine::ports::detection::Lane;
use engine::ports::store::EventKind;
use engine::ports::venue::{ChainReader, MarketData, TradeHistory, VenueError};
use engine::sources::SourceName;
use polymarket::{Answers, Clob, DataApi, Rpc, Tally, Topic};
use signer::{DerivedKeys, LocalSigner};
use simulator::{Simulator, SimulatorConfig, world::faults::FaultKind};
use zeroize::Zeroizing;

use crate::{
    front::{Change, Front, hostile_answers, unauthorized},
    scene::{Has, LEADER, Scene, Setup, TOKEN, clock, until},
};

/// A scene whose engine reaches CLOB, Data API and RPC through fronts.
async fn behind_fronts(history: bool) -> (Scene, [Front; 3]) {
    let setup = Setup { history, ..Setup::default() };
    let config = SimulatorConfig {
        block_interval_ms: setup.block_ms,
        knobs: setup.knobs.clone(),
        ..SimulatorConfig::default()
    };
    let simulator = Simulator::start(config, clock()).await.expect("free ports");
    let fronts = [
        Front::of(&simulator.clob_url).await,
        Front::of(&simulator.data_url).await,
        Front::of(&simulator.rpc_url).await,
    ];
    let urls = [&fronts[0], &fronts[1], &fronts[2]].map(|front| front.url.clone());
    (Scene::with(setup, simulator, urls).await, fronts)
}

/// The front gives this answer to everything, twice at least.
async fn twice(front: &Front, name: &str, bytes: Vec<u8>) {
    let before = front.answered();
    front.answer("", bytes, usize::MAX);
    until(name, async || front.answered() >= before + 2).await;
}

/// One trade was copied, once, and the decisions say what is expected.
async fn is_copied_once(scene: Scene, skips: &[Option<SkipReason>]) {
    scene.settled().await;
    assert_eq!(scene.skips().await, skips);
    assert_eq!(scene.has(0).await, Has::copied());
    assert_eq!(scene.seen().len(), 1);
    scene.finish().await;
}

#[tokio::test]
async fn answers_become_typed_errors() {
    let front = Front::of("127.0.0.1:1").await;
    let client = polymarket::client().expect("a client");
    let keys = DerivedKeys::new(Zeroizing::new([1; 32]));
    let signer = Arc::new(LocalSigner::new(Chain::Polygon, Box::new(keys)));
    let answers = Arc::<Answers>::default();
    let clob =
        Clob::new(client.clone(), &front.url, Chain::Polygon, signer, clock()).counting(Arc::clone(&answers));
    let data = DataApi::new(client.clone(), &front.url).counting(Arc::clone(&answers));
    let rpc = Rpc::new(client, &front.url, Chain::Polygon);
    let bad = |name: &str, error: VenueError| {
        let typed = matches!(
            error,
            VenueError::Malformed { .. } | VenueError::Unavailable { .. } | VenueError::Refused { .. }
        );
        assert!(typed, "{name}: {error}");
        assert!(error.to_string().len() < 1_000, "{name}: the answer is cut in the message");
    };
    for (name, bytes) in hostile_answers() {
        front.answer("", bytes, usize::MAX);
        bad(name, rpc.head().await.expect_err(name));
        bad(name, rpc.finalized().await.expect_err(name));
        bad(name, data.positions(LEADER).await.expect_err(name));
        bad(name, clob.market(TOKEN, Lane::Entries).await.expect_err(name));
        bad(name, clob.book(TOKEN, Lane::Entries).await.expect_err(name));
    }
    let asked = hostile_answers().len() as u64;
    for topic in [Topic::Positions, Topic::Markets, Topic::Books] {
        let Tally { answered, malformed, refused, put_off, failed, left_out } = answers.of(topic);
        assert_eq!((answered, put_off, left_out), (0, 0, 0), "{topic:?}");
        assert_eq!(malformed + refused + failed, asked, "{topic:?}: each is counted once");
        assert!(malformed > 0, "{topic:?}");
    }
}

#[tokio::test]
async fn a_hostile_rpc_delays_and_nothing_more() {
    let (scene, fronts) = behind_fronts(false).await;
    for (name, bytes) in hostile_answers() {
        twice(&fronts[2], name, bytes).await;
    }
    let health = scene.providers.health();
    assert!(health.iter().any(|one| one.failures.saturating_add(one.wrong) > 0), "{health:?}");
    scene.leader_buys();
    fronts[2].behave();
    scene.decided(1).await;
    is_copied_once(scene, &[None]).await;
}

#[tokio::test]
async fn a_hostile_data_api_does_not_stop_the_chain() {
    let (scene, fronts) = behind_fronts(true).await;
    for (name, bytes) in hostile_answers() {
        twice(&fronts[1], name, bytes).await;
    }
    // Still hostile: the chain alone is enough.
    scene.leader_buys();
    scene.decided(1).await;
    // What could not be read is counted.
    let health = scene.runtime.sources().watch.health(scene.clock.now());
    assert!(health.iter().any(|one| one.source == SourceName::History && one.unreadable > 0), "{health:?}");
    assert!(scene.answers.of(Topic::History).malformed > 0);
    fronts[1].behave();
    is_copied_once(scene, &[None]).await;
}

/// Every hostile answer is an error ([`answers_become_typed_errors`]); a few are enough here.
#[tokio::test]
async fn hostile_market_data_is_no_answer_and_the_copy_waits() {
    let (scene, fronts) = behind_fronts(false).await;
    let few = |(name, _): &(&str, Vec<u8>)| ["null", "a page", "no answer"].contains(name);
    fronts[0].answer("GET /markets-by-token", Vec::new(), usize::MAX);
    scene.leader_buys();
    for (name, bytes) in hostile_answers().into_iter().filter(few) {
        let before = fronts[0].answered();
        fronts[0].answer("GET /markets-by-token", bytes, usize::MAX);
        until(name, async || fronts[0].answered() > before).await;
    }
    assert!(scene.decisions().await.is_empty(), "none of them says that there is no such token");
    until("each kind is counted", async || {
        let Tally { malformed, failed, .. } = scene.answers.of(Topic::Markets);
        malformed > 0 && failed > 0
    })
    .await;
    fronts[0].behave();
    is_copied_once(scene, &[None]).await;
}

#[tokio::test]
async fn a_hostile_answer_to_a_post_is_an_unknown_outcome() {
    let (scene, fronts) = behind_fronts(false).await;
    let answers = hostile_answers();
    let count = answers.len();
    for (number, (_, bytes)) in answers.into_iter().enumerate() {
        let before = fronts[0].answered();
        fronts[0].answer("POST /order ", bytes, 1);
        scene.leader_buys();
        until("the post is answered", async || fronts[0].answered() > before).await;
        // Else the next answer may go to the same order once more, for as long as its bytes may be sent.
        until("the same bytes are taken", async || scene.seen().len() > number).await;
    }
    scene.decided(count).await;
    scene.settled().await;
    assert_eq!(scene.skips().await, vec![None; count]);
    assert_eq!(scene.states().await, vec![OrderState::Confirmed; count]);
    let seen = scene.seen();
    assert_eq!(seen.len(), count);
    let counted = scene.answers.of(Topic::Orders);
    assert!(counted.malformed > 0 && counted.malformed + counted.failed >= count as u64, "{counted:?}");
    for order in seen {
        assert_eq!((order.posts.accepted, order.posts.refused, order.filled_maker), (1, 0, 5 * ONE));
    }
    scene.finish().await;
}

/// The value of every JSON string field of this name.
fn with(body: &str, fields: &[&str], value: &str) -> String {
    let mut told = body.to_owned();
    for field in fields {
        let name = format!("\"{field}\":\"");
        let parts: Vec<&str> = told.split(&name).collect();
        let rest = parts.iter().skip(1).map(|part| part.split_once('"').map_or(*part, |(_, rest)| rest));
        told = parts[0].to_owned() + &rest.map(|rest| format!("{name}{value}\"{rest}")).collect::<String>();
    }
    told
}

fn not_believed(events: &[EventKind]) -> usize {
    let is_told =
        |event: &&EventKind| matches!(event, EventKind::OrderAlarm { alarm: OrderAlarm::NotBelieved, .. });
    events.iter().filter(is_told).count()
}

/// Numbers that can be read and cannot be true: amounts in millionths, and more than anybody has.
#[tokio::test]
async fn absurd_amounts_in_a_reply_are_looked_up() {
    let in_millionths: Change = |body| with(body, &["makingAmount", "takingAmount"], "10000000");
    let too_many_shares: Change = |body| with(body, &["takingAmount"], "900000");
    let beyond_all: Change = |body| with(body, &["takingAmount"], "9000000000000");
    for (change, told) in [(in_millionths, 1), (too_many_shares, 1), (beyond_all, 0)] {
        let (scene, fronts) = behind_fronts(false).await;
        fronts[0].change("POST /order ", "", change);
        scene.leader_buys();
        scene.decided(1).await;
        scene.settled().await;
        assert_eq!((fronts[0].answered(), scene.states().await), (1, vec![OrderState::Confirmed]));
        assert_eq!(not_believed(&scene.events().await), told);
        is_copied_once(scene, &[None]).await;
    }
}

/// The chain tells what look-ups cannot.
#[tokio::test]
async fn absurd_look_ups_settle_nothing_and_hold_up_nobody() {
    let sizes: Change = |body| with(body, &["size", "matched_amount"], "9000000000000");
    let matched: Change = |body| with(body, &["size_matched"], "9000000000000");
    let some: Change = |body| with(body, &["size", "size_matched", "matched_amount"], "5000000");
    for (path, change) in [("GET /data/trades", sizes), ("GET /data/order", matched), ("GET /data/", some)] {
        let (scene, fronts) = behind_fronts(false).await;
        fronts[0].change(path, "", change);
        scene.fault(FaultKind::AcceptThenDrop, 1);
        scene.leader_buys();
        scene.leader_buys();
        scene.decided(2).await;
        scene.settled().await;
        assert_eq!(scene.states().await, [OrderState::Confirmed; 2], "{path}");
        assert!(fronts[0].answered() > 0, "{path}");
        assert!(path == "GET /data/" || scene.answers.of(Topic::LookUps).malformed > 0, "{path}");
        assert!(not_believed(&scene.events().await) <= 2, "{path}: told once for each");
        scene.finish().await;
    }
}

/// A fill of 2^62 millionths is no fill: the block is read again, elsewhere or later.
#[tokio::test]
async fn absurd_chain_logs_are_not_read() {
    let (scene, fronts) = behind_fronts(false).await;
    fronts[2].change("POST ", "eth_getLogs", |body| {
        // Side, token, maker amount and taker amount come first.
        let data = "\"data\":\"0x";
        let parts: Vec<&str> = body.split(data).collect();
        let rest = parts.iter().skip(1).map(|part| {
            let (head, tail) = part.split_at_checked(4 * 64).unwrap_or((part, ""));
            let kept = head.get(..3 * 64).unwrap_or(head);
            let amount = if tail.is_empty() { String::new() } else { format!("{:064x}", 1_u64 << 62) };
            format!("{data}{kept}{amount}{tail}")
        });
        parts[0].to_owned() + &rest.collect::<String>()
    });
    scene.leader_buys();
    until("a log is absurd", async || fronts[2].answered() > 1).await;
    assert!(scene.decisions().await.is_empty(), "nothing is decided on it");
    fronts[2].behave();
    scene.decided(1).await;
    is_copied_once(scene, &[None]).await;
}

#[tokio::test]
async fn credentials_that_are_refused_once() {
    let (scene, fronts) = behind_fronts(false).await;
    fronts[0].answer("POST /order ", unauthorized(), 1);
    scene.leader_buys();
    scene.decided(1).await;
    scene.settled().await;
    // The body names the key, so the same bytes would be refused again: the entry is over.
    assert_eq!(scene.states().await, [OrderState::Rejected]);
    assert!(scene.seen().is_empty());
    assert_eq!(scene.has(0).await, Has::untouched());
    assert_eq!(scene.answers.of(Topic::Orders).refused, 1);
    // The next one logs in anew.
    scene.leader_buys();
    scene.decided(2).await;
    scene.settled().await;
    assert_eq!(scene.states().await, [OrderState::Rejected, OrderState::Confirmed]);
    assert_eq!(scene.has(0).await, Has::copied());
    scene.finish().await;
}
