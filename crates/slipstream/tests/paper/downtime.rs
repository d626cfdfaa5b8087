//! What becomes of what leaders did while nothing ran, and how it is told.

use std::{fs, time::Duration};

use domain::{Clock, Side, TxHash, money::ONE};
use slipstream::clock::SystemClock;

use crate::scene::{GIVEN, OFFERS, POLICY, Scene};

/// It has run, and ended a minute ago, by what it wrote down.
async fn ran_a_minute_ago(scene: &Scene, with_chain: bool) {
    let mut child = scene.run(with_chain, None);
    scene.up().await;
    assert!(scene.end(&mut child).await.success());
    let minute_ago = SystemClock.now().minus(Duration::from_secs(60));
    fs::write(scene.data().join("alive"), minute_ago.0.to_string()).expect("a file");
}

/// The log, once it tells all of the time before the start, or that it cannot yet.
async fn report(scene: &Scene, so_far: bool) -> String {
    let told = async || {
        let log = fs::read_to_string(scene.log()).ok()?;
        let mut reports = log.lines().filter(|line| line.contains("while nothing ran"));
        reports.any(|line| line.contains("so far (") == so_far).then_some(log)
    };
    scene.until("report", told).await
}

/// What the leader still holds of a time when nothing ran is bought at once.
#[tokio::test(flavor = "multi_thread")]
async fn a_sync_buys_what_the_leader_still_holds() {
    let scene = Scene::begin().await;
    scene.init(&[
        "--ratio",
        "0.5",
        "--slippage-to-book",
        "0.05",
        "--maximum-age",
        "1s",
        "--downtime",
        "sync",
    ]);
    scene.next_second().await;
    ran_a_minute_ago(&scene, true).await;
    scene.leader_buys(1, &[(40, 900)]).await;
    scene.leader_buys(2, &[(40, 900)]).await;
    // In another block, so that all of the sale is of what was there before.
    scene.next_second().await;
    scene.leader_trades(3, Side::Sell, 30).await;
    for _ in 0..3 {
        scene.next_second().await;
    }
    let mut child = scene.run(true, None);
    // Half of half of 200 shares for $80.
    scene.until_held("sync", 50 * ONE).await;
    scene.leader_trades(4, Side::Sell, 30).await;
    scene.until_held("exit", 0).await;
    let log = report(&scene, false).await;
    assert!(log.contains("2 left to a sync, which made 1 order"), "{log}");
    let words = scene.command(&["inspect", "relationship", "1"], true).output().expect("it runs");
    let words = String::from_utf8_lossy(&words.stdout);
    assert!(
        words.contains("buys what the leader still holds of older ones") && words.contains("sync: "),
        "{words}"
    );
    assert!(scene.end(&mut child).await.success());
    let _ = scene.ask(&["verify"]);
}

/// The log says what came of the trades of the time before, once every history was read: not before, and not never.
#[tokio::test(flavor = "multi_thread")]
async fn what_happened_while_nothing_ran_is_told() {
    let scene = Scene::begin().await;
    scene.init(&[&POLICY[..], &["--maximum-age", "1s"]].concat());
    scene.next_second().await;
    ran_a_minute_ago(&scene, false).await;
    scene.leader_buys(1, &OFFERS).await;
    // The first question, whether there is a network, hangs meanwhile.
    scene.control.silence().await.expect("an outage");
    scene.control.outage_of("data", true).await.expect("an outage");
    for _ in 0..3 {
        scene.next_second().await;
    }
    let mut child = scene.run(false, None);
    scene.up().await;
    let log = report(&scene, true).await;
    assert!(log.contains("so far (of 1 leaders the histories of 1 were not read yet): no trade"), "{log}");
    scene.control.outage_of("data", false).await.expect("its end");
    scene.until_answers("answer", |lines| lines.len() == 1).await;
    scene.control.outage(false).await.expect("its end");
    let log = report(&scene, false).await;
    assert!(log.contains("1 trade happened in the 6"), "{log}");
    assert!(log.contains("0 copied late, 1 skipped (1 too old)"), "{log}");
    // Decided before the venue had answered the first question, and told all the same.
    let trade = TxHash([1; 32]);
    assert!(log.contains(&format!("trade {trade}: skipped for relationship 1")), "{log}");
    assert!(scene.end(&mut child).await.success());
}

/// What is still offered at the leader's price is bought, late: and that is told.
#[tokio::test(flavor = "multi_thread")]
async fn what_is_still_offered_is_copied_late_and_told() {
    let scene = Scene::begin().await;
    scene.init(&[&POLICY[..], &["--maximum-age", "1s", "--downtime", "late"]].concat());
    scene.next_second().await;
    ran_a_minute_ago(&scene, true).await;
    scene.leader_buys(1, &OFFERS).await;
    // Older than any trade that is copied while something runs.
    for _ in 0..3 {
        scene.next_second().await;
    }
    let mut child = scene.run(true, None);
    scene.up().await;
    scene.until_held("late copy", GIVEN).await;
    let log = report(&scene, false).await;
    assert!(log.contains("1 copied late, 0 skipped"), "{log}");
    assert!(scene.end(&mut child).await.success());
    let _ = scene.ask(&["verify"]);
}
