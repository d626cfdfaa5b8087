//! Scenarios of placing: matching, refusals, duplicates, resting orders.

use std::time::Duration;

use alloy_sol_types::SolEvent as _;
use domain::{Address, Price, Shares, Side, TokenId};

use super::{
    Mode, World,
    cancels::NOT_FOUND,
    events::{Event, LevelChange, OrderStep},
    fixture::*,
    journal::TradeStatus,
    ledger::Asset,
    orders::{Answer, Submission},
    registry::MarketState,
};
use crate::{
    config::{DuplicateMemory, Knobs},
    contracts::{FEE_RECEIVER, NOBODY, abi},
    wire::OrderType,
};

#[test]
fn a_buy_takes_the_better_level_first_and_pays_its_fee_on_top() {
    let mut world = world(Knobs::default());
    let order = buy(1, 1_000);
    let placed = place(&mut world, &order).unwrap();
    // $5.50 buys 10 at 0.55; the other $4.50 buy 8.035715 at 0.56.
    assert_eq!((placed.making, placed.taking), (10_000_000, 18_035_715));
    // 10 x 0.05 x 0.55 x 0.45 = 0.12375; 8.035715 x 0.05 x 0.56 x 0.44 = 0.099.
    assert_eq!(dollars(&world, FEE_RECEIVER), 123_750 + 99_000);
    assert_eq!(dollars(&world, ALICE), 1_000_000_000 - 10_000_000 - 222_750);
    assert_eq!(shares(&world, ALICE), 18_035_715);
    world.mine(NOW);
    sound(&world);
}

#[test]
fn a_sell_pays_its_fee_out_of_the_proceeds() {
    let mut world = world(Knobs::default());
    world.credit(BOB, Asset::Token(YES), 10_000_000);
    let placed = place(&mut world, &sell(1, BOB, 10)).unwrap();
    assert_eq!((placed.making, placed.taking), (10_000_000, 5_000_000));
    assert_eq!(dollars(&world, BOB), 1_000_000_000 + 5_000_000 - 125_000);
    assert!(refusal(&mut world, &sell(2, BOB, 10)).contains("not enough balance / allowance"));
    world.mine(NOW);
    sound(&world);
}

#[test]
fn a_fak_takes_what_is_there_and_dies_without_a_match() {
    let mut world = world(Knobs::default());
    world.set_levels(&levels(YES, &[(500_000, 1_000)], &[(560_000, 6)])).unwrap();
    let order = buy(1, 1_000);
    assert_eq!(place(&mut world, &order).unwrap().taking, 6_000_000);
    let record = &world.journal().orders[&order.id];
    assert_eq!((record.filled_maker, record.open_maker()), (3_360_000, 6_640_000));
    assert!(refusal(&mut world, &buy(2, 1_000)).starts_with("no orders found to match with FAK order."));
    let fok = order_of(3, OrderType::Fok);
    world.set_levels(&levels(YES, &[], &[(560_000, 6)])).unwrap();
    assert!(refusal(&mut world, &fok).starts_with("order couldn't be fully filled."));
    assert_eq!(world.journal().orders[&fok.id].filled_maker, 0);
    world.set_levels(&levels(YES, &[], &[(560_000, 100)])).unwrap();
    assert!(place(&mut world, &order_of(4, OrderType::Fok)).is_ok());
}

fn order_of(salt: u64, order_type: OrderType) -> Submission {
    order(salt, ALICE, Side::Buy, (10_000_000, 17_857_100), order_type)
}

#[test]
fn money_and_approval_are_checked() {
    let mut world = world(Knobs::default());
    // The balance covers the notional and not the fee.
    assert!(refusal(&mut world, &buy(1, 100_000)).starts_with("not enough balance / allowance"));
    world.approve(ALICE, false).unwrap();
    assert!(refusal(&mut world, &buy(2, 1_000)).starts_with("not enough balance / allowance"));
    world.approve(ALICE, true).unwrap();
    assert!(place(&mut world, &buy(2, 1_000)).is_ok(), "a refusal before the book is not remembered");
}

#[test]
fn markets_and_modes_refuse() {
    let mut world = world(Knobs::default());
    for (mode, status) in
        [(Mode::Disabled, 503), (Mode::CancelOnly, 503), (Mode::PostOnly, 503), (Mode::Restarting, 425)]
    {
        world.mode = mode;
        assert_eq!(world.place(NOW, &buy(1, 1_000)).unwrap_err().status, status);
    }
    world.mode = Mode::Normal;
    world.set_state(&condition(), MarketState::Paused).unwrap();
    assert_eq!(refusal(&mut world, &buy(1, 1_000)), "the market is not yet ready to process new orders");
    world.set_state(&condition(), MarketState::Closed).unwrap();
    assert_eq!(world.place(NOW, &buy(1, 1_000)).unwrap_err().status, 404);
    let record = &world.journal().orders[&buy(1, 1_000).id];
    assert_eq!((record.posts.refused, record.known_since), (6, None));
}

#[test]
fn a_tick_change_refuses_orders_of_the_old_grid() {
    let mut world = world(Knobs::default());
    world.set_tick(&condition(), Price(100_000)).unwrap();
    assert!(
        refusal(&mut world, &order(1, ALICE, Side::Sell, (10_000_000, 5_600_000), OrderType::Fak))
            .contains("tick size rule: 0.1")
    );
    assert!(world.set_tick(&condition(), Price(20_000)).is_err());
}

#[test]
fn old_timestamps_are_refused_when_told() {
    let mut world = world(Knobs { max_timestamp_age_s: Some(30), ..Knobs::default() });
    assert!(world.place(NOW.plus(Duration::from_secs(31)), &buy(1, 1_000)).is_err());
    assert!(world.place(NOW.plus(Duration::from_secs(30)), &buy(1, 1_000)).is_ok());
}

#[test]
fn known_ids_are_duplicates_for_ever_by_default() {
    let mut world = world(Knobs::default());
    let order = buy(1, 1_000);
    place(&mut world, &order).unwrap();
    let late = NOW.plus(Duration::from_secs(86_400));
    let text = world.place(late, &order).unwrap_err().error;
    assert_eq!(text, format!("order {} is invalid. Duplicated.", order.id));
    world.set_levels(&levels(YES, &[], &[])).unwrap();
    let killed = buy(2, 1_000);
    assert!(refusal(&mut world, &killed).contains("FAK"));
    assert!(refusal(&mut world, &killed).contains("Duplicated"));
    let posts = world.journal().orders[&killed.id].posts;
    assert_eq!((posts.killed, posts.duplicate), (1, 1));
}

#[test]
fn a_forgetful_venue_never_fills_more_than_was_signed() {
    let knobs = Knobs {
        duplicated_for: DuplicateMemory::Millis(10_000),
        killed_fak_executes_again: true,
        ..Knobs::default()
    };
    let mut world = world(knobs);
    world.set_levels(&levels(YES, &[], &[(560_000, 6)])).unwrap();
    let order = buy(1, 1_000);
    place(&mut world, &order).unwrap();
    world.set_levels(&levels(YES, &[], &[(560_000, 1_000)])).unwrap();
    assert!(refusal(&mut world, &order).contains("Duplicated"));
    let late = NOW.plus(Duration::from_secs(10));
    let again = world.place(late, &order).unwrap();
    assert_eq!(again.making, 6_640_000, "the contract allows the rest and no more");
    assert!(world.place(late, &order).unwrap_err().error.contains("FAK"));
    let record = &world.journal().orders[&order.id];
    assert_eq!((record.filled_maker, record.posts.accepted), (10_000_000, 2));
    world.mine(NOW);
    sound(&world);
}

#[test]
fn a_killed_order_stays_killed_unless_told() {
    let mut world = world(Knobs { duplicated_for: DuplicateMemory::WhileLive, ..Knobs::default() });
    world.set_levels(&levels(YES, &[], &[])).unwrap();
    let order = buy(1, 1_000);
    assert!(refusal(&mut world, &order).contains("FAK"));
    world.set_levels(&levels(YES, &[], &[(560_000, 1_000)])).unwrap();
    assert!(refusal(&mut world, &order).contains("FAK"));
    assert_eq!(world.journal().orders[&order.id].filled_maker, 0);
}

#[test]
fn resting_orders_hold_their_money_back_and_are_filled_in_turn() {
    let mut world = world(Knobs::default());
    // Alice bids 0.52 for 20 shares, above the house's 0.5.
    let bid = order(1, ALICE, Side::Buy, (10_400_000, 20_000_000), OrderType::Gtc);
    assert_eq!(place(&mut world, &bid).unwrap().answer, Answer::Live);
    assert_eq!(world.available(ALICE, Asset::Collateral), 1_000_000_000 - 10_400_000);
    assert!(refusal(&mut world, &bid).contains("Duplicated"));
    world.credit(BOB, Asset::Token(YES), 30_000_000);
    let placed = place(&mut world, &sell(2, BOB, 30)).unwrap();
    assert_eq!(placed.taking, 20 * 520_000 + 10 * 500_000);
    assert_eq!((shares(&world, ALICE), world.available(ALICE, Asset::Collateral)), (20_000_000, 989_600_000));
    assert_eq!(world.cancel(bid.id, &bid.owner), Err(NOT_FOUND));
    world.mine(NOW);
    sound(&world);
}

#[test]
fn cancelling_frees_the_money() {
    let mut world = world(Knobs::default());
    let bid = order(1, ALICE, Side::Buy, (10_400_000, 20_000_000), OrderType::Gtc);
    place(&mut world, &bid).unwrap();
    assert_eq!(world.cancel(bid.id, "somebody else"), Err(NOT_FOUND));
    assert_eq!(world.cancel(bid.id, &bid.owner), Ok(()));
    assert_eq!(world.available(ALICE, Asset::Collateral), 1_000_000_000);
    world.credit(BOB, Asset::Token(YES), 30_000_000);
    assert_eq!(place(&mut world, &sell(2, BOB, 30)).unwrap().taking, 30 * 500_000);
}

#[test]
fn post_only_orders_never_take() {
    let mut world = world(Knobs::default());
    let mut bid = order(1, ALICE, Side::Buy, (11_200_000, 20_000_000), OrderType::Gtc);
    bid.post_only = true;
    assert!(refusal(&mut world, &bid).contains("order crosses book"));
    let mut expiring = order(2, ALICE, Side::Buy, (10_400_000, 20_000_000), OrderType::Gtd);
    expiring.expiration = NOW.plus(Duration::from_secs(60)).seconds().unsigned_abs();
    assert_eq!(refusal(&mut world, &expiring), "invalid expiration");
}

#[test]
fn a_late_order_is_processed_when_it_is_due() {
    let mut world = world(Knobs::default());
    let order = buy(1, 1_000);
    world.defer(NOW.plus(Duration::from_secs(45)), order.clone());
    world.tick(NOW.plus(Duration::from_secs(44)));
    assert!(world.journal().orders.is_empty());
    world.tick(NOW.plus(Duration::from_secs(45)));
    assert_eq!(world.journal().orders[&order.id].filled_shares(), Shares(18_035_715));
}

/// A GTC order for a token: whole shares at a price in cents.
fn limit(token: TokenId, salt: u64, maker: Address, side: Side, cents: i64, shares: i64) -> Submission {
    let (usd, shares) = (cents * shares * 10_000, shares * 1_000_000);
    let amounts = if side == Side::Buy { (usd, shares) } else { (shares, usd) };
    order_for(token, salt, maker, side, amounts, OrderType::Gtc)
}

#[test]
fn two_buys_of_opposite_outcomes_mint_a_pair_and_two_sales_merge_it() {
    let mut world = world(Knobs::default());
    let bid = limit(NO, 1, BOB, Side::Buy, 46, 20);
    assert_eq!(place(&mut world, &bid).unwrap().answer, Answer::Live);
    let view = world.book(&YES).unwrap();
    assert_eq!(view.levels(Side::Sell)[0], (Price(540_000), Shares(20_000_000)));
    // Alice buys 30 YES at up to 0.55: 20 against Bob's 0.54, 10 from the house at 0.55.
    let placed = place(&mut world, &limit(YES, 2, ALICE, Side::Buy, 55, 30)).unwrap();
    assert_eq!((placed.answer, placed.making), (Answer::Matched, 20 * 540_000 + 10 * 550_000));
    let no = |world: &World, wallet| world.balance(wallet, Asset::Token(NO));
    assert_eq!((shares(&world, ALICE), no(&world, BOB)), (30_000_000, 20_000_000));
    assert_eq!(dollars(&world, BOB), 1_000_000_000 - 20 * 460_000);
    assert_eq!(world.balance(NOBODY, Asset::Token(NO)), -20_000_000);
    world.mine(NOW);
    let block = world.chain().block(world.chain().head()).unwrap();
    let filled = block.logs().filter(|log| log.log.topics[0] == abi::OrderFilled::SIGNATURE_HASH.0).count();
    assert_eq!(filled, 3, "Bob, the house, Alice");

    assert_eq!(place(&mut world, &limit(NO, 3, BOB, Side::Sell, 48, 20)).unwrap().answer, Answer::Live);
    let placed = place(&mut world, &limit(YES, 4, ALICE, Side::Sell, 51, 20)).unwrap();
    assert_eq!(placed.taking, 20 * 520_000);
    assert_eq!((no(&world, BOB), shares(&world, ALICE)), (0, 10_000_000));
    assert_eq!(world.balance(NOBODY, Asset::Token(NO)), 0);
    world.mine(NOW);
    sound(&world);
    assert_eq!(trade_status(&world, bid.id), "MINED");
}

#[test]
fn a_resting_order_that_cannot_be_paid_any_more_is_cancelled_and_the_next_one_serves() {
    let mut world = world(Knobs::default());
    world.credit(BOB, Asset::Token(YES), 30_000_000);
    let ask = limit(YES, 1, BOB, Side::Sell, 53, 30);
    place(&mut world, &ask).unwrap();
    world.credit(BOB, Asset::Token(YES), -30_000_000);
    let placed = place(&mut world, &limit(YES, 2, ALICE, Side::Buy, 55, 10)).unwrap();
    assert_eq!(placed.making, 10 * 550_000, "the house's 0.55, not Bob's 0.53");
    assert_eq!(world.journal().orders[&ask.id].status(), "CANCELED_NOT_ENOUGH_BALANCE");
    world.mine(NOW);
    sound(&world);
}

#[test]
fn an_order_with_an_expiration_leaves_a_minute_before_it() {
    let mut world = world(Knobs::default());
    let mut bid = limit(YES, 1, ALICE, Side::Buy, 52, 20);
    bid.order_type = OrderType::Gtd;
    bid.expiration = NOW.plus(Duration::from_secs(180)).seconds().unsigned_abs();
    assert_eq!(place(&mut world, &bid).unwrap().answer, Answer::Live);
    assert_eq!(world.next_due(), Some(NOW.plus(Duration::from_secs(120))));
    world.tick(NOW.plus(Duration::from_secs(119)));
    assert_eq!(world.journal().orders[&bid.id].status(), "LIVE");
    world.tick(NOW.plus(Duration::from_secs(120)));
    assert_eq!(world.journal().orders[&bid.id].status(), "CANCELED_EXPIRED_ORDER");
    assert_eq!(world.available(ALICE, Asset::Collateral), 1_000_000_000);
}

#[test]
fn followers_are_told_of_books_orders_and_trades() {
    let mut world = world(Knobs::default());
    let seen = world.events().newest();
    let bid = limit(NO, 1, BOB, Side::Buy, 46, 20);
    place(&mut world, &bid).unwrap();
    let level = |side, price, shares| LevelChange { side, price: Price(price), shares: Shares(shares) };
    let book = |token, change, best_bid: i64, best_ask: Option<i64>| Event::Book {
        token,
        levels: vec![change],
        best_bid: Some(Price(best_bid)),
        best_ask: best_ask.map(Price),
    };
    let order = |step, status, filled, trades| Event::Order {
        order: bid.id,
        step,
        status,
        filled: Shares(filled),
        trades,
    };
    let told = |world: &World, seen| {
        world.events().since(seen).1.map(|entry| entry.event.clone()).collect::<Vec<_>>()
    };
    let placement = [
        order(OrderStep::Placement, "LIVE", 0, 0),
        book(NO, level(Side::Buy, 460_000, 20_000_000), 460_000, None),
        book(YES, level(Side::Sell, 540_000, 20_000_000), 500_000, Some(540_000)),
    ];
    assert_eq!(told(&world, seen), placement);
    let seen = world.events().newest();
    let taker = limit(YES, 2, ALICE, Side::Buy, 54, 5);
    place(&mut world, &taker).unwrap();
    world.mine(NOW);
    let tx = world.journal().trades[0].tx;
    let shares = Shares(5_000_000);
    let activity = |wallet, token, usd| Event::Activity {
        wallet,
        condition: world.registry().market_of(&token).unwrap().spec.condition,
        token,
        side: Side::Buy,
        shares,
        usd: domain::Usd(usd),
        tx: tx.unwrap(),
    };
    let after = [
        activity(BOB, NO, 2_300_000),
        activity(ALICE, YES, 2_700_000),
        order(OrderStep::Update, "LIVE", 5_000_000, 1),
        Event::LastTrade { token: YES, side: Side::Buy, price: Price(540_000), shares, trade: 0 },
        Event::Trade { trade: 0, status: TradeStatus::Matched, tx: None },
        Event::Order {
            order: taker.id,
            step: OrderStep::Update,
            status: "MATCHED",
            filled: shares,
            trades: 1,
        },
        book(YES, level(Side::Sell, 540_000, 15_000_000), 500_000, Some(540_000)),
        book(NO, level(Side::Buy, 460_000, 15_000_000), 460_000, None),
        Event::Trade { trade: 0, status: TradeStatus::Mined, tx },
    ];
    assert_eq!(told(&world, seen), after);
}
