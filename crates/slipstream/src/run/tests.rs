//! What may be begun on what is there.

use std::path::Path;

use domain::{Clock, Side};
use engine::watcher::{Watcher, WatcherPorts};
use testkit::simulation::{
    scenario::{Scenario, at, fill, leader_wallet, token},
    venue::LeaderTrade,
    world::World,
};

use super::chain_can_begin;

#[tokio::test]
async fn a_chain_is_begun_before_anything_was_copied_or_never() {
    for with_chain in [false, true] {
        let buy = LeaderTrade {
            at: at(4),
            wallet: leader_wallet(1),
            token: token(7),
            side: Side::Buy,
            moved: None,
            fills: vec![fill(100, 50)],
            shown_at: Some(at(4)),
            dropped: false,
        };
        let scenario =
            Scenario { trades: vec![buy], ..Scenario::one_follower("begun with or without a chain") };
        let world = World::by_hand(scenario).unwrap();
        assert!(chain_can_begin(world.store.as_ref(), Path::new("data")).await.is_ok(), "nothing was copied");
        let ports = world.watcher_ports();
        let chain = ports.chain.clone().filter(|_| with_chain);
        let mut watcher = Watcher::new(WatcherPorts { chain, ..ports });
        while world.clock.now() < at(10) {
            while watcher.step().await.unwrap().busy {}
            world.clock.advance(std::time::Duration::from_secs(1));
        }
        assert!(!world.store.decisions_after(None, 0, 1).await.unwrap().is_empty());
        let begins = chain_can_begin(world.store.as_ref(), Path::new("data")).await;
        assert_eq!(begins.is_ok(), with_chain, "{begins:?}");
    }
}
