//! What may be begun on what is there.

use std::path::Path;

use domain::{Clock, Side};
use engine::watcher::{Watcher, WatcherPorts};
use testkit::simulation::{
    scenario::{Scenario, at, fill, leader_wallet, token},
    venue::LeaderTrade,
    world::World,
};

use super::same_order;

#[tokio::test]
async fn a_chain_is_read_from_the_beginning_on_or_never() {
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
        let goes_on = async |has_chain| same_order(world.store.as_ref(), has_chain, Path::new("data")).await;
        for has_chain in [false, true] {
            assert!(goes_on(has_chain).await.is_ok(), "nothing was copied");
        }
        let ports = world.watcher_ports();
        let chain = ports.chain.clone().filter(|_| with_chain);
        let mut watcher = Watcher::new(WatcherPorts { chain, ..ports });
        while world.clock.now() < at(10) {
            while watcher.step().await.unwrap().busy {}
            world.clock.advance(std::time::Duration::from_secs(1));
        }
        assert!(!world.store.decisions_after(None, 0, 1).await.unwrap().is_empty());
        assert!(goes_on(with_chain).await.is_ok());
        let refused = goes_on(!with_chain).await.unwrap_err().to_string();
        assert!(refused.contains("rpc_urls"), "{refused}");
    }
}
