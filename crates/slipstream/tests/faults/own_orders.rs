//! A leader whose wallet is managed here: what Slipstream ordered for it is copied only by those who want that.

use domain::{
    Timestamp, Usd,
    lifecycle::OrderState,
    money::ONE,
    policy::{Policy, Sizing},
    skip::SkipReason,
};
use engine::ports::{following::NewRelationship, store::StoreError};

use crate::scene::{Has, LEADER, Scene, Setup, tenth};

impl Scene {
    /// A follower follows another one from now on.
    async fn follows(&self, follower: usize, leader: usize, policy: Policy) -> Result<(), StoreError> {
        let now = Timestamp::from_seconds(self.clock.now().seconds());
        let leader = self.store.add_leader(self.followers[leader].wallet, now).await?;
        let accounts = self.store.accounts_of_wallets(&[self.followers[follower].wallet]).await?;
        let new = NewRelationship { account: accounts[0].trading.id, leader, policy };
        self.store.add_relationship(accounts[0].owner, &new, now).await.map(|_| ())
    }
}

/// The first one copies the leader; the others follow the first one only.
#[tokio::test]
async fn copies_of_copies_are_made_on_wish_only() {
    let setup = Setup { block_ms: 0, followers: 3, history: true, live: true, ..Setup::default() };
    let scene = Scene::set(setup).await;
    let fixed = Policy { sizing: Sizing::Fixed(Usd(5 * ONE)), ..tenth() };
    for relationship in scene.store.relationships(None).await.expect("relationships").iter().skip(1) {
        let stopped = engine::ports::following::RelationshipStatus::Stopped;
        let set = scene.store.set_status(relationship.owner, relationship.id, stopped, scene.clock.now());
        set.await.expect("stopped");
    }
    scene.follows(1, 0, fixed.clone()).await.expect("follows");
    scene.follows(2, 0, Policy { copy_own_orders: true, ..fixed.clone() }).await.expect("follows");
    let circle = scene.follows(0, 2, fixed).await.expect_err("a circle");
    let [first, third] = [0, 2].map(|number| scene.followers[number].wallet.to_string());
    assert!(
        circle.to_string().contains(&format!("{first} would follow {third}, which follows {first}")),
        "{circle}"
    );
    scene.leader_buys();
    scene.decided(1).await;
    scene.settled().await;
    scene.decided(3).await;
    scene.settled().await;
    assert_eq!(scene.skips().await, [None, Some(SkipReason::OwnOrder), None]);
    let has = [scene.has(0).await, scene.has(1).await, scene.has(2).await];
    assert_eq!(has, [Has::copied(), Has::untouched(), Has::copied()]);
    assert_eq!(scene.states().await, [OrderState::Confirmed; 2]);
    let leaders = scene.store.leaders().await.expect("leaders");
    assert_eq!(
        leaders.iter().map(|leader| leader.wallet).collect::<Vec<_>>()[..2],
        [LEADER, scene.followers[0].wallet]
    );
    scene.finish().await;
}
