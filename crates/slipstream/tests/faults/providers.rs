//! Several providers of the chain over real sockets: one dies, one answers wrongly, the list is replaced.

use domain::{Side, TxHash, lifecycle::OrderState, trade::Dispute};
use engine::ports::store::EventKind;
use polymarket::{ProviderHealth, rpc_urls};
use simulator::{Emptied, Outage, RpcView};
use slipstream::{
    commands::{self, Request, Witnesses},
    rpc_command::RpcList,
    screen::Style,
    story,
};

use crate::scene::{Has, LEADER, Scene, Setup, until, whole};

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
        commands::answer(scene.store.as_ref(), scene.clock.as_ref(), &witnesses, request).await
    };
    let status = ask(&Request::RpcStatus { style: Style::default() }).await.expect("a status");
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

/// The leader sells half of what the follower copied, and the provider that is asked first says that nothing is
/// left.
async fn lied_to(providers: usize) -> (Scene, usize, TxHash) {
    lied_to_at(Setup { providers, ..Setup::default() }).await
}

async fn lied_to_at(setup: Setup) -> (Scene, usize, TxHash) {
    lied_to_by(Liar::First, setup).await
}

/// Which provider lies: the one that is asked first, or the other one of two.
#[derive(Clone, Copy, PartialEq, Eq)]
enum Liar {
    First,
    Second,
}

async fn lied_to_by(lies: Liar, setup: Setup) -> (Scene, usize, TxHash) {
    let scene = Scene::set(setup).await;
    scene.leader_buys();
    scene.decided(1).await;
    scene.settled().await;
    let liar = if lies == Liar::First { scene.first() } else { 1 - scene.first() };
    let head = scene.world.with(|world, _| world.chain().head());
    let emptied = Some(Emptied { wallet: LEADER, from: head + 1 });
    scene.provider(liar, RpcView { emptied, ..RpcView::default() });
    let tx = scene.leader_trades(&[(Side::Sell, 50, 49)]);
    (scene, liar, tx)
}

impl Scene {
    async fn disputes(&self) -> Vec<(TxHash, Dispute)> {
        let events = self.events().await.into_iter();
        let told = events.filter_map(|event| match event {
            EventKind::Disputed { key, about, words } => {
                assert!(words.contains("127.0.0.1"), "it says who says what: {words}");
                Some((key.tx, about))
            }
            _ => None,
        });
        told.collect()
    }
}

#[tokio::test]
async fn one_liars_word_sells_nothing() {
    let (scene, liar, tx) = lied_to(2).await;
    until("the dispute is told", async || !scene.disputes().await.is_empty()).await;
    assert_eq!((scene.decisions().await.len(), scene.has(0).await), (1, Has::copied()));
    // Entries do not wait for it.
    scene.leader_buys();
    scene.decided(2).await;
    until("the entry is filled", async || scene.has(0).await.shares == whole(20)).await;
    let groups = story::find_trade(scene.store.as_ref(), &tx.to_string()).await.expect("the sale");
    let told = story::trade_story(scene.store.as_ref(), None, &groups).await.expect("its story");
    let text = told.render(Style::default());
    assert!(text.contains("providers of the chain differed in what the leader held"), "{text}");
    // It tells the truth at last: the exit is decided by what both say, and counts the first buy alone.
    scene.provider(liar, RpcView::default());
    scene.decided(3).await;
    scene.settled().await;
    assert_eq!(scene.has(0).await.shares, whole(15));
    assert_eq!(scene.disputes().await, [(tx, Dispute::Balances)], "it was told once");
    until("nobody disputes it any more", async || {
        scene.group(tx, Side::Sell).await.is_some_and(|group| group.disputed.is_none())
    })
    .await;
    scene.finish().await;
}

/// One word against one: the Data API's position decides, whichever of the two is read.
#[tokio::test]
async fn the_data_api_decides_between_two_who_differ_in_what_is_left() {
    for lies in [Liar::First, Liar::Second] {
        let setup = Setup { providers: 2, history: true, ..Setup::default() };
        let (scene, _, tx) = lied_to_by(lies, setup).await;
        scene.decided(2).await;
        scene.settled().await;
        assert_eq!(scene.has(0).await.shares, whole(5), "half of it, as the leader sold");
        assert_eq!(scene.disputes().await, [(tx, Dispute::Balances)], "it was told");
        scene.finish().await;
    }
}

#[tokio::test]
async fn two_outvote_a_liar() {
    let (scene, liar, _) = lied_to(3).await;
    scene.decided(2).await;
    scene.settled().await;
    assert_eq!(scene.has(0).await.shares, whole(5));
    assert!(scene.known(liar).wrong > 0, "the liar was set aside");
    scene.finish().await;
}

#[tokio::test]
async fn with_one_provider_an_exit_waits_for_the_final_block() {
    let scene = Scene::set(Setup { providers: 1, block_ms: 0, ..Setup::default() }).await;
    scene.leader_buys();
    scene.decided(1).await;
    scene.settled().await;
    let tx = scene.leader_trades(&[(Side::Sell, 50, 49)]);
    until("the sale is read", async || scene.group(tx, Side::Sell).await.is_some()).await;
    // A buy of a later block is copied meanwhile.
    scene.leader_buys();
    scene.decided(2).await;
    assert_eq!(scene.skips().await, [None, None]);
    assert!(scene.decisions().await.iter().all(|decision| decision.key.tx != tx), "its block is not final");
    // Settling makes blocks until everything is final.
    scene.settled().await;
    assert_eq!(scene.decisions().await.len(), 3);
    assert_eq!(scene.has(0).await.shares, whole(15));
    assert_eq!(scene.disputes().await, []);
    scene.finish().await;
}

#[tokio::test]
async fn with_one_provider_the_data_api_is_witness_enough() {
    let scene = Scene::set(Setup { providers: 1, block_ms: 0, history: true, ..Setup::default() }).await;
    scene.leader_buys();
    scene.decided(1).await;
    scene.settled().await;
    let head = scene.world.with(|world, _| world.chain().head());
    let tx = scene.leader_trades(&[(Side::Sell, 50, 49)]);
    scene.decided(2).await;
    assert!(scene.decisions().await[1].intent.is_some(), "the sale {tx} is followed");
    assert_eq!(scene.world.with(|world, _| world.chain().head()), head + 1, "no block made it final");
    scene.settled().await;
    assert_eq!(scene.has(0).await.shares, whole(5));
    scene.finish().await;
}

/// The Data API vouches for the sale, and for nothing that the leader is said to have held.
#[tokio::test]
async fn the_data_api_is_no_witness_of_a_lie_about_what_is_left() {
    let setup = Setup { providers: 1, block_ms: 0, history: true, ..Setup::default() };
    let (scene, liar, tx) = lied_to_at(setup).await;
    until("the Data API shows the sale", async || {
        scene.group(tx, Side::Sell).await.is_some_and(|group| group.history.shares == whole(50))
    })
    .await;
    // The sale is looked at again in each of these rounds.
    scene.leader_buys();
    scene.decided(2).await;
    assert!(scene.decisions().await.iter().all(|decision| decision.key.tx != tx), "all would be sold");
    scene.provider(liar, RpcView::default());
    scene.decided(3).await;
    scene.settled().await;
    assert_eq!(scene.has(0).await.shares, whole(15));
    scene.finish().await;
}
