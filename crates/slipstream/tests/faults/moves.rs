//! What leaders do with shares without an order: merges are exits, everything else is answered and not copied.

use domain::{
    Address, ConditionId, Price, Shares, Side, TokenId, TxHash, decide::Verdict, lifecycle::OrderState,
    money::ONE, skip::SkipReason, trade::Action,
};
use engine::ports::store::EventKind;
use simulator::{
    Knobs,
    world::{
        control::{ForeignFill, ForeignTrade, Redeemers},
        foreign_moves::ForeignMove,
        registry::MarketSpec,
    },
};

use crate::scene::{Has, LEADER, Scene, Setup, TOKEN, cents, condition, market, until, whole};

/// One transaction of the leader: sales of the token at 0.49, then what needs no order.
fn does(scene: &Scene, number: u8, sold: Option<i64>, moves: Vec<ForeignMove>) -> TxHash {
    let fill = |shares| ForeignFill {
        wallet: LEADER,
        token: TOKEN,
        side: Side::Sell,
        price: cents(49),
        shares: whole(shares),
        maker: false,
    };
    let tx_hash = TxHash([number; 32]);
    let trade = ForeignTrade { tx_hash, fills: sold.map(fill).into_iter().collect(), moves };
    scene.world.with(|world, _| world.foreign_trade(&trade)).expect("a transaction");
    scene.mine();
    tx_hash
}

fn splits(shares: i64) -> Vec<ForeignMove> {
    vec![ForeignMove::Split { wallet: LEADER, condition: condition(), shares: whole(shares) }]
}

fn merges(shares: i64) -> Vec<ForeignMove> {
    vec![ForeignMove::Merge { wallet: LEADER, condition: condition(), shares: whole(shares) }]
}

/// A follower with a copy of 10 shares; the leader has 100, and 100 pairs from a split that nobody copies.
async fn copied_and_split(setup: Setup) -> Scene {
    let scene = Scene::set(setup).await;
    scene.leader_buys();
    scene.decided(1).await;
    scene.settled().await;
    does(&scene, 1, None, splits(100));
    scene.decided(3).await;
    scene.settled().await;
    assert_eq!(scene.skips().await, [None, Some(SkipReason::NotATrade), Some(SkipReason::NotATrade)]);
    assert_eq!(scene.has(0).await, Has::copied());
    scene
}

/// Shares that followers sold, by the venue's books.
fn sold(scene: &Scene) -> i64 {
    scene.seen().iter().filter(|seen| seen.side == Side::Sell).map(|seen| seen.filled_maker).sum()
}

async fn merged_half(setup: Setup) {
    let scene = copied_and_split(setup).await;
    let tx = does(&scene, 2, None, merges(100));
    scene.decided(5).await;
    scene.settled().await;
    // Of the other outcome nothing was copied.
    let mut skips = scene.skips().await.split_off(3);
    skips.sort_by_key(Option::is_some);
    assert_eq!(skips, [None, Some(SkipReason::NothingHeld)]);
    assert_eq!(scene.states().await, [OrderState::Confirmed; 2]);
    assert_eq!((scene.has(0).await.shares, sold(&scene)), (whole(5), 5 * ONE));
    let exit = scene.decisions().await.into_iter().find(|decision| {
        decision.intent.is_some() && (decision.key.tx, decision.key.action) == (tx, Action::Merge)
    });
    assert!(exit.is_some(), "the exit answers the merge");
    assert_eq!(scene.orders().await[1].intent.leader_price, Price(0), "a merge has no price");
    scene.finish().await;
}

#[tokio::test]
async fn a_leader_who_merges_half_is_followed_out() {
    merged_half(Setup::default()).await;
}

#[tokio::test]
async fn a_merge_in_a_neg_risk_market() {
    merged_half(Setup { neg_risk: true, ..Setup::default() }).await;
}

#[tokio::test]
async fn a_merge_by_the_wallet_itself() {
    let knobs = Knobs { redeem_directly: true, ..Knobs::default() };
    merged_half(Setup { neg_risk: true, knobs, ..Setup::default() }).await;
}

/// `convertPositions`: shares of one question become shares of the others of its event. What is given up is an
/// exit, what comes was not bought.
async fn converted_half(knobs: Knobs) {
    let scene = Scene::set(Setup { neg_risk: true, knobs, ..Setup::default() }).await;
    let got = TokenId([0x20; 32]);
    let question = MarketSpec {
        condition: ConditionId::from_slice(&[0xc1; 32]).expect("32 bytes"),
        tokens: [got, TokenId([0x21; 32])],
        neg_risk: true,
        slug: "will-another-one".to_owned(),
        ..market()
    };
    scene.control.add_market(&question).await.expect("another question of the event");
    scene.leader_buys();
    scene.decided(1).await;
    scene.settled().await;
    let shares = whole(50);
    let converts = ForeignMove::Convert { wallet: LEADER, gives: TOKEN, gets: vec![got], shares };
    let tx = does(&scene, 1, None, vec![converts]);
    scene.decided(3).await;
    scene.settled().await;
    let own = scene.decisions().await.into_iter().filter(|decision| decision.key.tx == tx);
    let mut own: Vec<_> =
        own.map(|decision| (decision.key.token, decision.key.action, decision.verdict)).collect();
    own.sort_by_key(|(token, ..)| *token);
    let [(given, merged, exit), (came, received, skip)] = own[..] else { panic!("two answers, not {own:?}") };
    assert_eq!((given, merged), (TOKEN, Action::Merge));
    assert!(matches!(exit, Verdict::Copy(order) if order.side == Side::Sell), "{exit:?}");
    assert_eq!((came, received), (got, Action::Receive));
    assert_eq!(skip, Verdict::Skip(SkipReason::NotATrade));
    assert_eq!((scene.has(0).await.shares, sold(&scene)), (whole(5), 5 * ONE));
    assert_eq!(scene.states().await, [OrderState::Confirmed; 2]);
    scene.finish().await;
}

#[tokio::test]
async fn a_leader_who_converts_half_is_followed_out() {
    converted_half(Knobs { data_lag_ms: 0, ..Knobs::default() }).await;
}

#[tokio::test]
async fn a_conversion_by_the_wallet_itself() {
    converted_half(Knobs { data_lag_ms: 0, redeem_directly: true, ..Knobs::default() }).await;
}

/// The provider keeps no state of the merge's block: the balance is counted back.
#[tokio::test]
async fn a_merge_whose_balances_are_pruned() {
    let scene = copied_and_split(Setup { block_ms: 0, ..Setup::default() }).await;
    scene.world.with(|world, _| world.knobs.state_blocks = Some(0));
    does(&scene, 2, None, merges(100));
    scene.decided(5).await;
    scene.world.with(|world, _| world.knobs.state_blocks = None);
    scene.settled().await;
    assert_eq!((scene.has(0).await.shares, sold(&scene)), (whole(5), 5 * ONE));
    scene.finish().await;
}

#[tokio::test]
async fn a_merge_in_the_transaction_of_a_sale_is_sold_once() {
    let scene = copied_and_split(Setup::default()).await;
    let tx = does(&scene, 2, Some(50), merges(50));
    scene.decided(6).await;
    scene.settled().await;
    assert_eq!((scene.has(0).await.shares, sold(&scene)), (whole(5), 5 * ONE), "half, and only once");
    let own = scene.decisions().await.into_iter().filter(|decision| decision.key.tx == tx);
    let mut own: Vec<_> = own.map(|decision| (decision.key.action, decision.intent.is_some())).collect();
    own.sort_unstable();
    let copies = own.iter().filter(|(_, copied)| *copied).count();
    let actions: Vec<_> = own.iter().map(|(action, _)| *action).collect();
    assert_eq!((actions, copies), (vec![Action::Sell, Action::Merge, Action::Merge], 1));
    let group = scene.group(tx, Side::Sell).await.expect("the sale");
    assert_eq!((group.quantity().shares, group.price()), (whole(50), Some(cents(49))), "its own price");
    scene.finish().await;
}

#[tokio::test]
async fn shares_sent_away_are_told_and_not_sold() {
    let scene = copied_and_split(Setup::default()).await;
    let to = Address([0x99; 20]);
    let sends = |shares| ForeignMove::Send { wallet: LEADER, to, token: TOKEN, shares: whole(shares) };
    let tx = does(&scene, 2, None, vec![sends(50)]);
    scene.decided(4).await;
    scene.settled().await;
    assert_eq!(scene.skips().await[3], Some(SkipReason::NotATrade));
    let told = scene.events().await.into_iter().any(|event| {
        matches!(event, EventKind::TradeSeen { key, shares, .. }
            if (key.tx, key.action, shares) == (tx, Action::Send, whole(50)))
    });
    assert!(told && sold(&scene) == 0);
    // 150 are left. In one block 50 more are sent and 75 sold: the sale's half counts, the transfer does not.
    does(&scene, 3, Some(75), vec![sends(50)]);
    scene.decided(6).await;
    scene.settled().await;
    assert_eq!((scene.has(0).await.shares, sold(&scene)), (whole(5), 5 * ONE));
    scene.finish().await;
}

/// Followers' shares are redeemed, never sold, and the leader's redemption has its answer.
#[tokio::test]
async fn a_leader_who_redeems_is_answered() {
    let scene = Scene::usual().await;
    scene.leader_buys();
    scene.decided(1).await;
    scene.settled().await;
    let payouts = [Price(ONE), Price(0)];
    scene.world.with(|world, _| world.resolve(&condition(), payouts, &Redeemers::All)).expect("resolved");
    scene.decided(2).await;
    until("the redemption is booked", async || scene.has(0).await.shares == Shares::ZERO).await;
    assert_eq!(scene.skips().await, [None, Some(SkipReason::Redeemed)]);
    assert_eq!(sold(&scene), 0);
    scene.finish().await;
}

/// Without a chain the rows of the public history tell of merges: they name the market, and no token.
#[tokio::test]
async fn a_merge_known_from_the_history_alone() {
    let scene = Scene::set(Setup { chain: false, history: true, ..Setup::default() }).await;
    scene.leader_buys();
    scene.decided(1).await;
    until("the copy is there", async || scene.has(0).await.shares == whole(10)).await;
    does(&scene, 1, None, splits(100));
    scene.decided(3).await;
    // The second of a trade stands for its block.
    let second = scene.clock.now().seconds();
    until("another second", async || scene.clock.now().seconds() > second).await;
    does(&scene, 2, None, merges(100));
    scene.decided(5).await;
    until("half is sold", async || scene.has(0).await.shares == whole(5)).await;
    assert_eq!(sold(&scene), 5 * ONE);
    let actions: Vec<_> = scene.decisions().await.iter().map(|decision| decision.key.action).collect();
    assert_eq!(actions[1..], [Action::Receive, Action::Receive, Action::Merge, Action::Merge]);
}
