//! Whatever happens, nothing is created, lost or overfilled, and the same history gives the same world.

use std::time::Duration;

use domain::{Address, Side, Timestamp};
use proptest::prelude::*;

use super::{
    World,
    faults::{Fault, FaultKind},
    fixture::*,
    ledger::Asset,
    registry::Terms,
    settlement::{ReorgSpec, TxName},
};
use crate::{
    config::{DuplicateMemory, Knobs},
    contracts::NOBODY,
    wire::OrderType,
};

/// One thing that happens to a world.
#[derive(Clone, Debug)]
enum Step {
    Buy { salt: u64, cents: i64 },
    Sell { salt: u64, bob: bool, shares: i64 },
    Rest { salt: u64, bob: bool, no: bool, side: Side, ticks: i64, shares: i64, fok: bool },
    Cancel { salt: u64 },
    CancelAll { salt: u64 },
    Expire { salt: u64, ticks: i64 },
    Delay { seconds: u32 },
    Beat { salt: u64 },
    Later { seconds: u64 },
    Withdraw { bob: bool, cents: i64 },
    Lag(bool),
    Leader { hash: u8, side: Side, shares: i64 },
    Fault(FaultKind),
    Mine,
    Reorg { depth: u64, fate: u8 },
    Levels { ask: i64, shares: i64 },
}

fn side() -> impl Strategy<Value = Side> {
    prop_oneof![Just(Side::Buy), Just(Side::Sell)]
}

fn step() -> impl Strategy<Value = Step> {
    prop_oneof![
        4 => (0..20_u64, 300..20_000_i64).prop_map(|(salt, cents)| Step::Buy { salt, cents }),
        4 => (20..40_u64, any::<bool>(), 5..60_i64).prop_map(|(salt, bob, shares)| Step::Sell { salt, bob, shares }),
        8 => (40..90_u64, any::<[bool; 3]>(), side(), 40..60_i64, 5..60_i64).prop_map(
            |(salt, [bob, no, fok], side, ticks, shares)| Step::Rest { salt, bob, no, side, ticks, shares, fok }
        ),
        1 => (40..90_u64).prop_map(|salt| Step::Cancel { salt }),
        1 => (40..90_u64).prop_map(|salt| Step::CancelAll { salt }),
        1 => (90..99_u64, 40..60_i64).prop_map(|(salt, ticks)| Step::Expire { salt, ticks }),
        1 => (0..4_u32).prop_map(|seconds| Step::Delay { seconds }),
        1 => (40..90_u64).prop_map(|salt| Step::Beat { salt }),
        2 => (1..300_u64).prop_map(|seconds| Step::Later { seconds }),
        1 => (any::<bool>(), 1..50_000_i64).prop_map(|(bob, cents)| Step::Withdraw { bob, cents }),
        1 => any::<bool>().prop_map(Step::Lag),
        2 => (any::<u8>(), side(), 1..50_i64).prop_map(|(hash, side, shares)| Step::Leader { hash, side, shares }),
        1 => prop_oneof![Just(FaultKind::Retrying), Just(FaultKind::Failed)].prop_map(Step::Fault),
        3 => Just(Step::Mine),
        1 => (1..4_u64, 0..4_u8).prop_map(|(depth, fate)| Step::Reorg { depth, fate }),
        1 => (52..60_i64, 1..40_i64).prop_map(|(ask, shares)| Step::Levels { ask, shares }),
    ]
}

fn who(bob: bool) -> Address {
    if bob { BOB } else { ALICE }
}

/// API keys of orders with this salt.
fn owners(world: &World, salt: u64) -> Vec<String> {
    let orders = world.journal().orders.values().filter(|record| record.fields.salt == salt);
    orders.map(|record| record.owner.clone()).collect()
}

/// Does one step; refusals are part of the game.
fn run(world: &mut World, now: &mut Timestamp, step: &Step) {
    *now = now.plus(Duration::from_secs(1));
    world.tick(*now);
    let now = match step {
        Step::Later { seconds } => {
            *now = now.plus(Duration::from_secs(*seconds));
            world.tick(*now);
            return;
        }
        _ => *now,
    };
    match *step {
        Step::Buy { salt, cents } => {
            let _ = world.place(now, &buy(salt, cents));
        }
        Step::Sell { salt, bob, shares } => {
            let _ = world.place(now, &sell(salt, who(bob), shares));
        }
        Step::Rest { salt, bob, no, side, ticks, shares, fok } => {
            let (shares, usd) = (shares * 1_000_000, shares * ticks * 10_000);
            let amounts = if side == Side::Buy { (usd, shares) } else { (shares, usd) };
            let kind = if fok { OrderType::Fok } else { OrderType::Gtc };
            let token = if no { NO } else { YES };
            let _ = world.place(now, &order_for(token, salt, who(bob), side, amounts, kind));
        }
        Step::Cancel { salt } => {
            let ids: Vec<_> = world
                .journal()
                .orders
                .iter()
                .filter(|(_, record)| record.fields.salt == salt)
                .map(|(id, record)| (*id, record.owner.clone()))
                .collect();
            for (id, owner) in ids {
                let _ = world.cancel(id, &owner);
            }
        }
        Step::CancelAll { salt } => {
            owners(world, salt).iter().for_each(|owner| {
                world.cancel_open(owner, None, None);
            });
        }
        Step::Expire { salt, ticks } => {
            let amounts = (10 * ticks * 10_000, 10_000_000);
            let mut bid = order(salt, ALICE, Side::Buy, amounts, OrderType::Gtd);
            bid.expiration = now.plus(Duration::from_secs(200)).seconds().unsigned_abs();
            let _ = world.place(now, &bid);
        }
        Step::Delay { seconds } => {
            let terms = Terms { seconds_delay: seconds, ..Terms::default() };
            world.set_terms(&condition(), terms).unwrap();
        }
        Step::Beat { salt } => owners(world, salt).iter().for_each(|owner| world.plain_heartbeat(now, owner)),
        Step::Withdraw { bob, cents } => {
            let wallet = who(bob);
            let amount = (cents * 10_000).min(world.balance(wallet, Asset::Collateral));
            world.credit(wallet, Asset::Collateral, -amount);
        }
        Step::Lag(lags) => world.knobs.balances_lag = lags,
        Step::Later { .. } => {}
        Step::Leader { hash, side, shares } => {
            let _ = world.foreign_trade(&foreign(hash, side, shares));
        }
        Step::Fault(kind) => {
            world.faults.push(Fault { target: kind.target(), kind, count: 1, delay_ms: 0, depth: 0 });
        }
        Step::Mine => {
            world.mine(now);
        }
        Step::Reorg { depth, fate } => {
            let mut spec = ReorgSpec { depth, ..ReorgSpec::default() };
            match fate {
                1 => spec.drop.push(TxName::Last),
                2 => spec.replace.push(TxName::Last),
                3 => spec.delay.push(TxName::Last),
                _ => {}
            }
            let _ = world.reorganise(now, &spec);
        }
        Step::Levels { ask, shares } => {
            world.set_levels(&levels(YES, &[(500_000, 50)], &[(ask * 10_000, shares)])).unwrap();
        }
    }
}

/// Dollars that came into being on chain without a match: what wallets were given.
fn deposits(world: &World) -> i64 {
    let chain = world.chain();
    let txs =
        (chain.first()..=chain.head()).filter_map(|number| chain.block(number)).flat_map(|block| &block.txs);
    let moved = txs.filter(|tx| tx.trade.is_none()).flat_map(|tx| &tx.transfers);
    moved
        .filter(|transfer| transfer.asset == Asset::Collateral)
        .map(|transfer| match (transfer.from, transfer.to) {
            (NOBODY, _) => transfer.amount,
            (_, NOBODY) => -transfer.amount,
            _ => 0,
        })
        .sum()
}

fn play(steps: &[Step]) -> World {
    let mut world = world(Knobs {
        duplicated_for: DuplicateMemory::Millis(5_000),
        killed_fak_executes_again: true,
        ..Knobs::default()
    });
    let mut now = NOW;
    for step in steps {
        run(&mut world, &mut now, step);
    }
    // Whatever still waits comes through: delayed orders within three seconds, and nothing is put off for more
    // than three blocks.
    now = now.plus(Duration::from_secs(3));
    world.tick(now);
    (0..4).for_each(|_| {
        world.mine(now);
    });
    world
}

proptest! {
    #![proptest_config(ProptestConfig { cases: 256, ..ProptestConfig::default() })]

    #[test]
    fn nothing_is_created_lost_or_overfilled(steps in prop::collection::vec(step(), 1..60)) {
        let world = play(&steps);
        prop_assert!(world.chain().pending.is_empty());
        prop_assert_eq!(world.violations(), Vec::<String>::new());
        // Every pair of shares that was ever minted is backed by a dollar, and by nothing else: leaders' shares
        // come from the house, which may owe them.
        let minted = |asset| -world.ledger.balance(NOBODY, asset);
        prop_assert_eq!(minted(Asset::Token(YES)), minted(Asset::Token(NO)));
        prop_assert_eq!(minted(Asset::Collateral) + minted(Asset::Token(YES)), deposits(&world));
        for (wallet, _, _) in world.ledger.balances() {
            let orders = world.journal().orders.values().filter(|record| record.fields.maker == wallet);
            let held: i64 = orders.map(|record| record.reserved).sum();
            let reserved: i64 =
                world.reserved.iter().filter(|((owner, _), _)| *owner == wallet).map(|(_, amount)| *amount).sum();
            prop_assert_eq!(held, reserved);
        }
    }

    #[test]
    fn the_same_history_gives_the_same_world(steps in prop::collection::vec(step(), 1..30)) {
        let (left, right) = (play(&steps), play(&steps));
        prop_assert_eq!(left.order_reports(), right.order_reports());
        prop_assert_eq!(left.verdict(), right.verdict());
        let (chain, other) = (left.chain(), right.chain());
        prop_assert_eq!(chain.head(), other.head());
        prop_assert_eq!(chain.block(chain.head()).unwrap().hash, other.block(other.head()).unwrap().hash);
    }
}
