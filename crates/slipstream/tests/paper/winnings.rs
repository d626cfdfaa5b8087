//! What an account wins whose wallet is a contract: redeemed through the relayer, once.

use domain::{Address, Price, Usd, money::ONE};
use polymarket::wallets::deposit_wallets;
use simulator::world::registry::{Standing, Wallet};

use crate::scene::{EOA, GIVEN, IDENTITY, KEY, LEADER, OFFERS, POLICY, Scene, condition, is_over};

/// A deposit wallet, as new users of the venue have it.
#[tokio::test(flavor = "multi_thread")]
async fn a_deposit_wallets_winnings_are_redeemed_through_the_relayer() {
    let scene = Scene::begin().await;
    scene.init(&POLICY);
    let owner: Address = EOA.parse().expect("an address");
    let [address, _] = deposit_wallets(owner);
    let standing = Standing::default();
    let wallet = Wallet { address, owner, signature_type: 3, approved: true, standing };
    scene.control.add_wallet(&wallet).await.expect("a wallet");
    scene.control.credit_usd(address, Usd(100 * ONE)).await.expect("money");
    scene.control.add_builder_key("b", "c2VjcmV0", "p").await.expect("a key of the relayer's");
    scene.private("identity", &format!("{IDENTITY}\n"));
    scene.private("relayer.json", r#"{"builder_key":"b","secret":"c2VjcmV0","passphrase":"p"}"#);
    let key = scene.private("key", &format!("{KEY}\n"));
    let shown = address.to_string();
    scene.ask(&["account", "add", "main", "--live", "--key-file", &key, "--wallet", &shown]);
    let leader = LEADER.to_string();
    scene.ask(&[&["follow", &leader, "--account", "main"][..], &POLICY].concat());
    scene.ask(&["pause", "1"]);
    scene.next_second().await;
    let mut child = scene.run(true, None);
    scene.up().await;
    let booked = async |cash: i64| {
        let rows = scene.ask(&["export", "ledger"]);
        rows.as_array()?.iter().any(|row| row["account"] == 2 && row["cash"] == cash).then_some(())
    };
    scene.until("deposit", async || booked(100 * ONE).await).await;
    scene.ask(&["account", "arm", "main", "--per-order", "20", "--per-day", "200", "--yes", "main"]);
    scene.leader_buys(1, &OFFERS).await;
    scene
        .until_answers("answers", |lines| lines.len() == 2 && is_over(&lines[0]) && is_over(&lines[1]))
        .await;
    scene.until_held("copy", GIVEN).await;
    scene.control.resolve(condition(), [Price(ONE), Price(0)], &[]).await.expect("a result");
    // A dollar for each share.
    scene.until("payout", async || booked(GIVEN).await).await;
    scene.until_held("nothing any more", 0).await;
    assert!(scene.end(&mut child).await.success());
    let _ = scene.ask(&["verify"]);
}
