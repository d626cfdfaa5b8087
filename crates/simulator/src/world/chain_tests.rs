//! Scenarios of settlement: blocks, faults, reorganisations, redemptions, leaders' trades.

use std::time::Duration;

use domain::{Side, TxHash};

use super::{
    chain::Tx,
    control::Redeemers,
    data::RowKind,
    faults::{Fault, FaultKind},
    fixture::*,
    ledger::Asset,
    settlement::{ReorgSpec, TxName},
};
use crate::{
    config::{Knobs, SimulatorConfig},
    contracts::{NOBODY, abi},
    world::World,
};
use alloy_sol_types::SolEvent;

fn fault(world: &mut World, kind: FaultKind) {
    assert!(world.faults.push(Fault { target: kind.target(), kind, count: 1, delay_ms: 0, depth: 0 }));
}

fn order_filled(world: &World) -> usize {
    let chain = world.chain();
    let blocks = (chain.first()..=chain.head()).filter_map(|number| chain.block(number));
    blocks
        .flat_map(|block| block.logs())
        .filter(|log| log.log.topics[0] == abi::OrderFilled::SIGNATURE_HASH.0)
        .count()
}

#[test]
fn trades_are_mined_and_become_final() {
    let mut world = world(Knobs::default());
    let order = buy(1, 1_000);
    place(&mut world, &order).unwrap();
    assert_eq!((trade_status(&world, order.id), order_filled(&world)), ("MATCHED", 0));
    world.mine(NOW);
    // Two makers and the taker.
    assert_eq!((trade_status(&world, order.id), order_filled(&world)), ("MINED", 3));
    world.mine(NOW);
    world.mine(NOW);
    assert_eq!(trade_status(&world, order.id), "MINED");
    world.mine(NOW);
    assert_eq!(trade_status(&world, order.id), "CONFIRMED");
}

#[test]
fn a_retried_trade_gets_another_hash() {
    let mut world = world(Knobs::default());
    fault(&mut world, FaultKind::Retrying);
    let order = buy(1, 1_000);
    place(&mut world, &order).unwrap();
    let hash = |world: &World| world.journal().trades[0].tx.unwrap();
    world.mine(NOW);
    assert_eq!((trade_status(&world, order.id), order_filled(&world)), ("RETRYING", 0));
    let first = hash(&world);
    world.mine(NOW);
    assert_eq!((trade_status(&world, order.id), order_filled(&world)), ("MINED", 3));
    assert_ne!(hash(&world), first);
    sound(&world);
}

#[test]
fn a_failed_trade_gives_everything_back_and_leaves_no_log() {
    let mut world = world(Knobs::default());
    fault(&mut world, FaultKind::Failed);
    let order = buy(1, 1_000);
    place(&mut world, &order).unwrap();
    world.mine(NOW);
    assert_eq!((trade_status(&world, order.id), order_filled(&world)), ("FAILED", 0));
    assert_eq!((dollars(&world, ALICE), shares(&world, ALICE)), (1_000_000_000, 0));
    let sums = world.verdict().wallets[&ALICE];
    assert_eq!((sums.bought_usd, sums.fees, sums.filled_orders), (0, 0, 1));
    sound(&world);
}

#[test]
fn executions_are_told_when_made_and_when_undone() {
    let mut world = world(Knobs::default());
    assert_eq!(world.executions_since(0), (0, Vec::new()));
    fault(&mut world, FaultKind::Failed);
    let order = buy(1, 1_000);
    place(&mut world, &order).unwrap();
    let told = |world: &World, seen| {
        let (next, orders) = world.executions_since(seen);
        let statuses: Vec<_> = orders.iter().map(|order| (order.id, order.trades[0].status.name())).collect();
        (next, statuses)
    };
    assert_eq!(told(&world, 0), (1, vec![(order.id, "MATCHED")]));
    assert_eq!(told(&world, 1), (1, vec![]));
    world.mine(NOW);
    assert_eq!(told(&world, 1), (2, vec![(order.id, "FAILED")]));
    let settled = buy(2, 1_000);
    place(&mut world, &settled).unwrap();
    world.mine(NOW);
    assert_eq!(told(&world, 2), (3, vec![(settled.id, "MINED")]), "a block executes nothing more");
    assert_eq!(told(&world, 9), (3, vec![]), "nobody has seen more than there was");
}

#[test]
fn a_sale_of_shares_that_never_came_fails_too() {
    let mut world = world(Knobs::default());
    fault(&mut world, FaultKind::Failed);
    place(&mut world, &buy(1, 1_000)).unwrap();
    let sale = sell(2, ALICE, 10);
    place(&mut world, &sale).unwrap();
    world.mine(NOW);
    assert_eq!(trade_status(&world, sale.id), "FAILED");
    assert_eq!((dollars(&world, ALICE), shares(&world, ALICE)), (1_000_000_000, 0));
    sound(&world);
}

#[test]
fn a_sale_waits_for_the_retried_buy_it_needs() {
    let mut world = world(Knobs::default());
    fault(&mut world, FaultKind::Retrying);
    place(&mut world, &buy(1, 1_000)).unwrap();
    let sale = sell(2, ALICE, 10);
    place(&mut world, &sale).unwrap();
    world.mine(NOW);
    assert_eq!(trade_status(&world, sale.id), "MATCHED");
    world.mine(NOW);
    assert_eq!(trade_status(&world, sale.id), "MINED");
    sound(&world);
}

fn reorg(world: &mut World, depth: u64) -> ReorgSpec {
    world.mine(NOW);
    ReorgSpec { depth, ..ReorgSpec::default() }
}

#[test]
fn a_reorg_mines_the_same_trades_at_other_places() {
    let mut world = world(Knobs::default());
    let order = buy(1, 1_000);
    place(&mut world, &order).unwrap();
    let number = world.mine(NOW);
    let place_of = |world: &World| {
        let block = world.chain().block(number).unwrap();
        (block.hash, block.first_log)
    };
    let (hash, first_log) = place_of(&world);
    let tx = world.journal().trades[0].tx.unwrap();
    let spec = reorg(&mut world, 2);
    let report = world.reorganise(NOW, &spec).unwrap();
    assert_eq!(report.head, number + 2);
    assert_ne!(place_of(&world).0, hash);
    assert_ne!(place_of(&world).1, first_log);
    assert_eq!((trade_status(&world, order.id), world.journal().trades[0].tx), ("MINED", Some(tx)));
    assert_eq!((order_filled(&world), shares(&world, ALICE)), (3, 18_035_715));
    sound(&world);
}

#[test]
fn a_reorg_drops_replaces_and_delays() {
    for (name, expected) in [("drop", "FAILED"), ("replace", "MINED"), ("delay", "MATCHED")] {
        let mut world = world(Knobs::default());
        let order = buy(1, 1_000);
        place(&mut world, &order).unwrap();
        world.mine(NOW);
        let tx = world.journal().trades[0].tx.unwrap();
        let mut spec = reorg(&mut world, 2);
        match name {
            "drop" => spec.drop.push(TxName::Last),
            "replace" => spec.replace.push(TxName::Hash(tx)),
            _ => spec.delay.push(TxName::Last),
        }
        world.reorganise(NOW, &spec).unwrap();
        assert_eq!(trade_status(&world, order.id), expected, "{name}");
        assert!(world.chain().tx(&tx).is_none(), "{name}");
        world.mine(NOW);
        assert_eq!(order_filled(&world), if name == "drop" { 0 } else { 3 }, "{name}");
        assert_eq!(shares(&world, ALICE), if name == "drop" { 0 } else { 18_035_715 });
        sound(&world);
    }
}

#[test]
fn final_blocks_cannot_be_reorganised() {
    let mut world = world(Knobs::default());
    (0..5).for_each(|_| {
        world.mine(NOW);
    });
    let deep = ReorgSpec { depth: 4, ..ReorgSpec::default() };
    assert!(world.reorganise(NOW, &deep).unwrap_err().to_string().contains("1 to 3 blocks are not final"));
    let unknown = ReorgSpec { depth: 1, drop: vec![TxName::Hash(TxHash([9; 32]))], ..ReorgSpec::default() };
    assert!(world.reorganise(NOW, &unknown).is_err());
    assert!(world.reorganise(NOW, &ReorgSpec { depth: 3, ..ReorgSpec::default() }).is_ok());
}

#[test]
fn a_leaders_trade_is_logged_with_its_own_hash_and_can_vanish() {
    let mut world = world(Knobs::default());
    let trade = foreign(7, Side::Buy, 100);
    world.foreign_trade(&trade).unwrap();
    assert!(world.foreign_trade(&trade).unwrap_err().to_string().contains("exists already"));
    let number = world.mine(NOW);
    let (block, index) = world.chain().tx(&trade.tx_hash).unwrap();
    assert_eq!(block.number, number);
    let Tx { rows, .. } = &block.txs[index];
    assert!(
        rows.iter().any(|row| row.wallet == LEADER && matches!(row.kind, RowKind::Trade { taker: true, .. }))
    );
    assert_eq!(shares(&world, LEADER), 100_000_000);
    assert!(
        world.foreign_trade(&foreign(8, Side::Sell, 101)).unwrap_err().to_string().contains("lacks 1 shares")
    );
    world.foreign_trade(&foreign(8, Side::Sell, 40)).unwrap();
    world.mine(NOW);
    let at = |world: &World, block| world.chain().history.at(LEADER, Asset::Token(YES), block);
    assert_eq!([number - 1, number, number + 1].map(|block| at(&world, block)), [0, 100_000_000, 60_000_000]);
    let spec = ReorgSpec { depth: 2, drop: vec![TxName::Last], ..ReorgSpec::default() };
    world.reorganise(NOW, &spec).unwrap();
    assert_eq!((shares(&world, LEADER), at(&world, number + 1)), (100_000_000, 100_000_000));
    let late = NOW.plus(Duration::from_secs(60));
    assert_eq!(world.data().newest(Some(LEADER), late).count(), 1);
    sound(&world);
}

#[test]
fn resolution_pays_winners_and_burns_losers() {
    let mut world = world(Knobs { redeem_directly: true, ..Knobs::default() });
    place(&mut world, &buy(1, 1_000)).unwrap();
    world.credit(BOB, Asset::Token(NO), 7_000_000);
    let before = dollars(&world, ALICE);
    let payouts = [domain::Price(1_000_000), domain::Price(0)];
    assert_eq!(world.resolve(&condition(), payouts, &Redeemers::All).unwrap(), 2);
    assert_eq!((dollars(&world, ALICE), shares(&world, ALICE)), (before + 18_035_715, 0));
    assert_eq!((dollars(&world, BOB), world.balance(BOB, Asset::Token(NO))), (1_000_000_000, 0));
    let number = world.mine(NOW);
    let redemptions: Vec<_> = world
        .chain()
        .block(number)
        .unwrap()
        .logs()
        .filter(|log| log.log.topics[0] == abi::PayoutRedemption::SIGNATURE_HASH.0)
        .map(|log| log.log.topics[1][12..].to_vec())
        .collect();
    assert_eq!(redemptions, [ALICE.0.to_vec(), BOB.0.to_vec()]);
    assert_eq!(world.place(NOW, &buy(2, 1_000)).unwrap_err().status, 404);
    assert!(world.resolve(&condition(), payouts, &Redeemers::All).is_err());
    assert_eq!(world.redeem(&condition(), ALICE), Ok(false));
    assert!(dollars(&world, NOBODY) < 0);
    sound(&world);
}

#[test]
fn blocks_come_with_time() {
    let config = SimulatorConfig::default();
    let mut world = World::new(&config, NOW);
    assert_eq!(world.next_due(), Some(NOW.plus(Duration::from_secs(2))));
    world.tick(NOW.plus(Duration::from_millis(4_100)));
    assert_eq!(world.chain().head(), config.first_block + 2);
    assert_eq!(world.chain().block(config.first_block + 2).unwrap().timestamp, NOW.seconds() + 4);
    world.stall_head(true);
    world.tick(NOW.plus(Duration::from_secs(20)));
    assert_eq!(world.visible_head(), config.first_block + 2);
    world.stall_head(false);
    assert_eq!(world.visible_head(), config.first_block + 10);
}
