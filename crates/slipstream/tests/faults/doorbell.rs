//! A websocket that tells of new blocks: it only rings, and when it is silent somebody looks.

use simulator::{
    Outage, RpcView, Simulator, SimulatorConfig,
    world::faults::{Fault, FaultKind, FaultTarget},
};

use crate::scene::{BLOCK_MS, Has, Scene, Setup, clock, until};

/// A scene whose second provider only tells of new blocks.
async fn with_a_doorbell(block_ms: u64) -> Scene {
    let config =
        SimulatorConfig { block_interval_ms: block_ms, rpc_listeners: 2, ..SimulatorConfig::default() };
    let simulator = Simulator::start(config, clock()).await.expect("free ports");
    let bell = simulator.rpc_urls[1].replace("http://", "ws://");
    let rpc = format!("{bell},{}", simulator.rpc_urls[0]);
    let urls = [simulator.clob_url.clone(), simulator.data_url.clone(), rpc];
    Scene::with(Setup { block_ms, ..Setup::default() }, simulator, urls).await
}

impl Scene {
    fn would_ring(&self) -> bool {
        self.providers.reader().would_ring()
    }
}

#[tokio::test]
async fn a_block_rings_and_is_read_from_whoever_is_asked() {
    let scene = with_a_doorbell(BLOCK_MS).await;
    assert_eq!(scene.providers.health().len(), 1, "a doorbell is no provider");
    until("it rings", async || scene.would_ring()).await;
    scene.leader_buys();
    scene.decided(1).await;
    scene.settled().await;
    assert_eq!(scene.has(0).await, Has::copied());
    scene.finish().await;
}

#[tokio::test]
async fn a_doorbell_that_stalls_or_lies_hides_nothing() {
    let scene = with_a_doorbell(BLOCK_MS).await;
    until("it rings", async || scene.would_ring()).await;
    for kind in [FaultKind::Malformed, FaultKind::Duplicate, FaultKind::Stall] {
        let fault = Fault { target: FaultTarget::HeadSocket, kind, count: 1, delay_ms: 0, depth: 0 };
        assert!(scene.world.with(|world, _| world.faults.push(fault)));
    }
    until("it has stalled", async || {
        scene.world.with(|world, _| world.faults.happened().contains_key(&FaultKind::Stall))
    })
    .await;
    let health = scene.providers.doorbells();
    assert!((health.wanted, health.errors > 0) == (1, true), "{health:?}");
    scene.leader_buys();
    scene.decided(1).await;
    until("it is not believed any more", async || !scene.would_ring()).await;
    scene.leader_buys();
    scene.decided(2).await;
    scene.settled().await;
    assert_eq!(scene.skips().await, [None, None]);
    scene.finish().await;
}

#[tokio::test]
async fn a_doorbell_that_is_gone_comes_back() {
    let scene = with_a_doorbell(BLOCK_MS).await;
    until("it rings", async || scene.would_ring()).await;
    let gone = RpcView { outage: Outage::Unavailable, ..RpcView::default() };
    assert!(scene.world.set_provider(1, gone));
    until("it is not believed any more", async || !scene.would_ring()).await;
    scene.leader_buys();
    scene.decided(1).await;
    assert!(scene.world.set_provider(1, RpcView::default()));
    until("it rings again", async || scene.would_ring()).await;
    scene.finish().await;
}
