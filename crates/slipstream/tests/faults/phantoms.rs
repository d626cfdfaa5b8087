//! A trade that the Data API shows and the chain never has: its copies are kept or sold as the follower wants, and
//! nobody copies it twice when it turns up after all.

use std::time::Duration;

use domain::{
    Price, Side, TxHash,
    lifecycle::OrderState,
    policy::{PhantomRule, Policy},
    skip::SkipReason,
    trade::{GroupState, PHANTOM_AFTER, PartKind},
};
use engine::ports::store::EventKind;
use slipstream::{screen::Style, story};

use crate::scene::{Has, Scene, Setup, tenth, until, whole};

impl Scene {
    async fn phantoms(&self) -> usize {
        let events = self.events().await;
        events.iter().filter(|event| matches!(event, EventKind::Phantom { .. })).count()
    }

    /// A buy of the leader with this hash, as [`Scene::leader_buys`] makes it, in a block.
    fn leader_buys_as(&self, tx_hash: TxHash) {
        self.submit_as(tx_hash, &[(Side::Buy, 100, 50)]);
        self.mine();
    }

    /// A block, this much later than now.
    fn mine_later(&self, by: Duration) {
        self.world.with(|world, now| world.mine(now.plus(by)));
    }
}

/// A follower copies what the Data API shows; then its block is replaced by one without the trade.
async fn hinted(rule: PhantomRule) -> (Scene, TxHash) {
    let policy = Policy { phantoms: rule, ..tenth() };
    let scene = Scene::set(Setup { block_ms: 0, history: true, policy, ..Setup::default() }).await;
    scene.settled().await;
    scene.world.with(|world, _| world.stall_head(true));
    let tx = scene.leader_buys();
    scene.decided(1).await;
    until("the copy is filled", async || scene.has(0).await.shares == whole(10)).await;
    scene.reorganise(1, &[tx], &[], &[]);
    (scene, tx)
}

/// The chain goes on: its head has passed the hint.
async fn passed(scene: &Scene, tx: TxHash) {
    scene.world.with(|world, _| world.stall_head(false));
    scene.mine_later(PHANTOM_AFTER + Duration::from_secs(5));
    until("it is a phantom", async || scene.phantoms().await == 1).await;
    assert_eq!(scene.group(tx, Side::Buy).await.expect("the group").state, GroupState::Phantom);
}

#[tokio::test]
async fn copies_of_a_phantom_are_kept() {
    let (scene, tx) = hinted(PhantomRule::Keep).await;
    passed(&scene, tx).await;
    scene.settled().await;
    assert_eq!((scene.has(0).await, scene.decisions().await.len()), (Has::copied(), 1));
    scene.finish().await;
}

#[tokio::test]
async fn a_head_that_stands_makes_no_phantom() {
    let (scene, tx) = hinted(PhantomRule::Exit).await;
    // The venue's blocks go on, and nobody sees them.
    scene.mine_later(PHANTOM_AFTER + Duration::from_secs(5));
    let asked = || scene.providers.health().iter().map(|one| one.calls).sum::<u64>();
    let before = asked();
    until("the head is asked for again and again", async || asked() >= before + 20).await;
    assert_eq!(scene.group(tx, Side::Buy).await.expect("the group").state, GroupState::Open);
    assert_eq!((scene.phantoms().await, scene.has(0).await.shares), (0, whole(10)));
    scene.world.with(|world, _| world.stall_head(false));
    until("its head moved", async || scene.phantoms().await == 1).await;
    until("the copies are sold", async || scene.has(0).await.shares == whole(0)).await;
    scene.finish().await;
}

#[tokio::test]
async fn copies_of_a_phantom_are_sold_and_not_bought_again() {
    for same_hash in [true, false] {
        let (scene, tx) = hinted(PhantomRule::Exit).await;
        passed(&scene, tx).await;
        scene.decided(2).await;
        scene.settled().await;
        assert_eq!(scene.has(0).await.shares, whole(0));
        assert_eq!(scene.states().await, [OrderState::Confirmed; 2]);
        let sale = &scene.orders().await[1].intent;
        assert_eq!((sale.side, sale.leader_price), (Side::Sell, Price(0)), "nobody sold for a price");
        let key = scene.group(tx, Side::Buy).await.expect("the group").key;
        let part = scene.store.part(key, 1).await.expect("a part").expect("its part");
        assert_eq!((part.part.kind, part.complete), (PartKind::Phantom, true));
        let groups = story::find_trade(scene.store.as_ref(), &tx.to_string()).await.expect("the trade");
        let told = story::trade_story(scene.store.as_ref(), None, &groups).await.expect("its story");
        let text = told.render(Style::default());
        assert!(text.contains("a phantom: copies sold on wish"), "{text}");
        // It turns up.
        let late = if same_hash { tx } else { TxHash([0x55; 32]) };
        scene.leader_buys_as(late);
        until("it is on the chain", async || {
            scene.group(late, Side::Buy).await.is_some_and(|group| group.chain.is_some())
        })
        .await;
        scene.settled().await;
        assert_eq!(scene.has(0).await.shares, whole(0), "it is not bought twice");
        let skips = scene.skips().await;
        let swallowed = [None, None, Some(SkipReason::MaySettle)];
        assert_eq!(skips, swallowed[..if same_hash { 2 } else { 3 }]);
        scene.finish().await;
    }
}
