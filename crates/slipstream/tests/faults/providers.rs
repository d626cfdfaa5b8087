//! Several providers of the chain over real sockets: one dies, one answers wrongly, the list is replaced.

use domain::{Side, lifecycle::OrderState};
use polymarket::{ProviderHealth, rpc_urls};
use simulator::{Outage, RpcView};
use slipstream::{
    clock::SystemClock,
    commands::{self, Request, Witnesses},
    rpc_command::RpcList,
};

use crate::scene::{Has, Scene, Setup, until};

impl Scene {
    fn provider(&self, number: usize, view: RpcView) {
        assert!(self.world.set_provider(number, view));
    }

    /// What is known of a provider.
    fn known(&self, number: usize) -> ProviderHealth {
        self.providers.health()[number].clone()
    }

    /// The number of the provider that is asked first.
    fn first(&self) -> usize {
        let health = self.providers.health();
        health.iter().position(|one| one.first).expect("somebody is asked first")
    }
}

fn down(outage: Outage) -> RpcView {
    RpcView { outage, ..RpcView::default() }
}

/// One copy before, one after the provider that is asked first fails like this.
async fn survives(view: RpcView) -> Scene {
    let scene = Scene::set(Setup { providers: 3, ..Setup::default() }).await;
    scene.leader_buys();
    scene.decided(1).await;
    let first = scene.first();
    scene.provider(first, view);
    scene.leader_buys();
    scene.decided(2).await;
    until("another provider is asked first", async || scene.first() != first).await;
    scene.settled().await;
    assert_eq!(scene.states().await, [OrderState::Confirmed; 2]);
    scene
}

#[tokio::test]
async fn the_first_provider_falls_silent() {
    survives(down(Outage::Silent)).await.finish().await;
}

#[tokio::test]
async fn the_first_provider_refuses_connections() {
    survives(down(Outage::Refused)).await.finish().await;
}

#[tokio::test]
async fn the_first_provider_asks_to_slow_down() {
    survives(RpcView { limited: Some(3_600), ..RpcView::default() }).await.finish().await;
}

#[tokio::test]
async fn the_first_provider_stands_still() {
    survives(RpcView { behind: 1_000, ..RpcView::default() }).await.finish().await;
}

#[tokio::test]
async fn the_first_provider_dies_in_the_middle_of_a_block() {
    // Blocks come when told: the header is read from the one that dies, the logs are not.
    let scene = Scene::manual().await;
    let first = scene.first();
    scene.provider(first, down(Outage::Silent));
    scene.leader_trades(&[(Side::Buy, 60, 50), (Side::Buy, 40, 50)]);
    scene.decided(1).await;
    scene.settled().await;
    assert_eq!(scene.has(0).await, Has::copied());
    scene.finish().await;
}

#[tokio::test]
async fn a_provider_that_lost_its_logs_hides_no_trade() {
    let scene = Scene::usual().await;
    let first = scene.first();
    scene.provider(first, RpcView { no_logs: true, ..RpcView::default() });
    scene.leader_buys();
    scene.decided(1).await;
    until("it is set aside", async || {
        scene.known(first).trouble.is_some_and(|trouble| trouble.contains("it has no logs of block"))
    })
    .await;
    scene.settled().await;
    assert_eq!(scene.has(0).await, Has::copied());
    scene.finish().await;
}

#[tokio::test]
async fn the_list_is_replaced_by_command() {
    let scene = Scene::set(Setup { providers: 3, ..Setup::default() }).await;
    let witnesses = Witnesses { providers: Some(scene.providers.clone()), ..Witnesses::default() };
    let ask = async |request: &Request| {
        commands::answer(scene.store.as_ref(), &SystemClock, &witnesses, request).await
    };
    let status = ask(&Request::RpcStatus).await.expect("a status");
    assert_eq!(status.json.as_array().expect("a list").len(), 3);
    // All that are in the list die; another one takes over without a restart.
    let urls = scene.rpc_urls();
    let two = ask(&Request::RpcReload(RpcList::of(&urls[..2].join(",")))).await.expect("a list");
    assert!(two.text.starts_with("2 RPC providers in force: 127.0.0.1:"), "{}", two.text);
    for number in 0..2 {
        scene.provider(number, down(Outage::Unavailable));
    }
    scene.leader_buys();
    until("both have failed", async || (0..2).all(|number| scene.known(number).failures > 0)).await;
    ask(&Request::RpcReload(RpcList::of(&urls[2]))).await.expect("a list");
    scene.decided(1).await;
    scene.settled().await;
    assert_eq!(scene.has(0).await, Has::copied());
    let refused = ask(&Request::RpcReload(RpcList::of("nonsense"))).await.expect_err("no list");
    assert!(format!("{refused:#}").contains("is no URL"), "{refused:#}");
    assert!(rpc_urls(&urls.join(",")).is_ok());
    scene.finish().await;
}
