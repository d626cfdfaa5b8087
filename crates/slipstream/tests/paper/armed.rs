//! An account with (simulated) real money beside paper.

use domain::{Address, Usd, money::ONE};
use simulator::world::registry::{Standing, Wallet};

use crate::scene::{GIVEN, LEADER, OFFERS, POLICY, Scene, is_over};

/// The key that everybody knows, and its address.
pub(crate) const KEY: &str = "ac0974bec39a17e36ba4a6b4d238ff944bacb478cbed5efcae784d7bf4f2ff80";
pub(crate) const EOA: &str = "0xf39fd6e51aad88f6f4ce6ab8827279cfffb92266";
/// Made for tests; it opens nothing else.
pub(crate) const IDENTITY: &str =
    "AGE-SECRET-KEY-13XZNAP72Y42UP0YMCETKQVNC7NTV4CHU4TWS2Q90WYLRMQV9L6QSGJQ627";

/// Two deliberate switches, and the same installation trades with (simulated) real money beside paper; it is killed at
/// any moment and books what the venue executed, once.
#[tokio::test(flavor = "multi_thread")]
async fn an_armed_account_trades_at_the_venue_and_survives_being_killed() {
    let scene = Scene::begin().await;
    scene.init(&POLICY);
    let eoa: Address = EOA.parse().expect("an address");
    let standing = Standing::default();
    let wallet = Wallet { address: eoa, owner: eoa, signature_type: 0, approved: true, standing };
    scene.control.add_wallet(&wallet).await.expect("a wallet");
    scene.control.credit_usd(eoa, Usd(100 * ONE)).await.expect("money");
    scene.control.credit_pol(eoa, 10).await.expect("gas");
    scene.private("identity", &format!("{IDENTITY}\n"));
    let key = scene.private("key", &format!("{KEY}\n"));
    scene.ask(&["account", "add", "main", "--live", "--key-file", &key, "--wallet", EOA]);
    let leader = LEADER.to_string();
    scene.ask(&[&["follow", &leader, "--account", "main"][..], &POLICY].concat());
    scene.ask(&["pause", "1"]);
    scene.next_second().await;
    let mut child = scene.run(true, None);
    scene.up().await;
    // What the wallet has is booked, so that it can be spent.
    let funded = async || {
        let rows = scene.ask(&["export", "ledger"]);
        rows.as_array()?.iter().any(|row| row["account"] == 2 && row["cash"] == 100 * ONE).then_some(())
    };
    scene.until("deposit", funded).await;
    scene.ask(&["account", "arm", "main", "--per-order", "20", "--per-day", "200", "--yes", "main"]);
    scene.leader_buys(1, &OFFERS).await;
    scene
        .until_answers("answers", |lines| lines.len() == 2 && is_over(&lines[0]) && is_over(&lines[1]))
        .await;
    scene.until_held("copy", GIVEN).await;
    assert_eq!(scene.control.orders().await.expect("orders").len(), 1);
    scene.leader_buys(2, &OFFERS).await;
    child.0.kill().expect("it is killed");
    child.0.wait().expect("a child");
    let mut child = scene.run(true, None);
    scene.up().await;
    scene
        .until_answers("answers", |lines| lines.len() == 4 && is_over(&lines[0]) && is_over(&lines[1]))
        .await;
    let orders = scene.control.orders().await.expect("orders");
    let executed: i64 = orders.iter().map(|order| order.executed().shares.0).sum();
    assert!(
        orders.iter().all(|order| order.maker == eoa && order.executed().shares.0 == GIVEN),
        "{orders:?}"
    );
    scene.until_held("what the venue executed", executed).await;
    scene.ask(&["panic"]);
    scene.leader_buys(3, &OFFERS).await;
    scene.until_answers("answers", |lines| lines.len() == 6).await;
    assert_eq!(
        scene.control.orders().await.expect("orders").len(),
        orders.len(),
        "nothing is signed after a panic"
    );
    scene.ask(&["panic", "--sell", "--yes"]);
    scene.until_held("what is less than a lot", executed % 10_000).await;
    assert!(scene.end(&mut child).await.success());
    let _ = scene.ask(&["verify"]);
}
