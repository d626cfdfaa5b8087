//! `panic --sell`.

use domain::Side;

use crate::scene::{GIVEN, LEADER, OFFERS, POLICY, Scene, is_over};

/// Everything held is sold at what the book pays, whoever paused; lifting buys nothing back.
#[tokio::test(flavor = "multi_thread")]
async fn a_panic_sells_what_is_held() {
    let scene = Scene::begin().await;
    scene.init(&[&POLICY[..], &["--follow-exits", "false"]].concat());
    scene.next_second().await;
    let mut child = scene.run(true, None);
    scene.up().await;
    scene.leader_buys(1, &OFFERS).await;
    scene.until_held("copy", GIVEN).await;
    let paused = scene.command(&["pause", "1"], true).output().expect("it runs");
    let paused = String::from_utf8_lossy(&paused.stdout).into_owned();
    assert!(paused.contains("the 12.32 shares that it holds are sold by nobody now"), "{paused}");
    let asked = scene.command(&["panic", "--sell"], true).output().expect("it runs");
    let errors = String::from_utf8_lossy(&asked.stderr);
    assert!(!asked.status.success() && errors.contains("--yes"), "nobody can be asked: {errors}");
    scene.ask(&["panic"]);
    let sold = scene.ask(&["panic", "--sell", "--yes", "--account", "paper"]);
    assert_eq!((&sold["sells"], &sold["positions"]), (&true.into(), &1.into()));
    // The first panic stops exits, too; that of the same scope is replaced.
    assert_eq!(scene.ask(&["holds"])["holds"].as_array().map(Vec::len), Some(2));
    scene.ask(&["panic", "--sell", "--yes"]);
    // In lots of a hundredth.
    scene.until_held("what is less than a lot", GIVEN % 10_000).await;
    scene.until_answers("sale", |lines| lines.iter().all(is_over)).await;
    let activity = scene.command(&["activity"], true).output().expect("it runs");
    let text = String::from_utf8_lossy(&activity.stdout);
    assert!(text.contains("SELL") && text.contains("panic: 12.31 at 0.3"), "{text}");
    for hold in ["2", "3"] {
        scene.ask(&["lift", hold]);
    }
    assert_eq!(scene.ask(&["holds"])["holds"].as_array().map(Vec::len), Some(0));
    scene.ask(&["resume", "1"]);
    scene.leader_buys(2, &OFFERS).await;
    // Of what was at 0.40 five shares are gone.
    scene.until_held("next copy", 12_195_122 + GIVEN % 10_000).await;
    exits_go_on_after_a_panic(&scene).await;
    assert!(scene.end(&mut child).await.success());
    let _ = scene.ask(&["verify"]);
}

/// Whoever wants leaders followed out after all says so: what stopped that, or sold by itself, is lifted.
async fn exits_go_on_after_a_panic(scene: &Scene) {
    scene.ask(&["edit", "1", "--follow-exits", "true"]);
    let in_force = || scene.ask(&["holds"])["holds"].as_array().map(Vec::len);
    for first in [&["panic", "--sell", "--yes", "--account", "paper"][..], &["panic", "--account", "paper"]] {
        // The one for everything goes on.
        let all = scene.ask(&["panic"])["hold"].to_string();
        scene.ask(first);
        let said = scene.ask(&["panic", "--keep-exits", "--account", "paper"]);
        assert_eq!((&said["stops_exits"], &said["sells"]), (&true.into(), &false.into()), "{said}");
        assert_eq!(in_force(), Some(2), "{first:?}");
        scene.ask(&["lift", &all]);
    }
    let said = scene.ask(&["panic", "--keep-exits", "--account", "paper"]);
    assert_eq!(said["stops_exits"], false, "{said}");
    assert_eq!(in_force(), Some(1));
    for number in [3, 4] {
        scene.leader_trades(number, Side::Sell, 30).await;
    }
    scene.until_held("exit", (12_195_122 + GIVEN % 10_000) % 10_000).await;
}

/// The label of an account that was removed is free; whoever takes it is the one that a panic means.
#[tokio::test(flavor = "multi_thread")]
async fn a_panic_holds_the_account_that_is_called_so_now() {
    let scene = Scene::begin().await;
    scene.init(&[]);
    scene.ask(&["stop", "1"]);
    scene.ask(&["account", "remove", "paper"]);
    scene.ask(&["account", "add", "paper"]);
    let leader = LEADER.to_string();
    // The only account that is there needs no name.
    scene.ask(&[&["follow", &leader][..], &POLICY].concat());
    // A cap is put on and taken off.
    let cap =
        |value: &str| scene.ask(&["edit", "2", "--cap-market", value])["policy"]["caps"]["market"].clone();
    assert_eq!((cap("50"), cap("none")), (50_000_000.into(), serde_json::Value::Null));
    scene.next_second().await;
    let mut child = scene.run(false, None);
    scene.up().await;
    let said =
        scene.command(&["panic", "--account", "paper", "--keep-exits"], false).output().expect("it runs");
    let said = String::from_utf8_lossy(&said.stdout).into_owned();
    assert!(
        said.contains("no more buys of account `paper` are signed") && !said.contains("nothing"),
        "{said}"
    );
    scene.ask(&["panic", "--account", "paper"]);
    scene.leader_buys(1, &OFFERS).await;
    scene.until_answers("answer", |lines| lines.len() == 1 && lines.iter().all(is_over)).await;
    scene.until_held("nothing", 0).await;
    assert_eq!(scene.ask(&["export", "orders"]), serde_json::json!([]), "nothing was signed");
    assert!(scene.end(&mut child).await.success());
}
