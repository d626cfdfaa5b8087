//! A small world for tests: two markets, a house, traders with money.

use domain::{Address, ConditionId, Hash, OrderId, Price, Shares, Side, Timestamp, TokenId};

use super::{
    Refusal, World,
    control::{ForeignFill, ForeignTrade, Level, Levels},
    fees::FeeSchedule,
    ledger::Asset,
    orders::{Placed, Submission},
    registry::{MarketSpec, Standing, Wallet},
};
use crate::{
    config::{Knobs, SimulatorConfig},
    contracts::Exchange,
    signing::SignedFields,
    wire::OrderType,
};

pub const NOW: Timestamp = Timestamp(1_795_449_790_000_000);
pub const YES: TokenId = TokenId([0x11; 32]);
pub const NO: TokenId = TokenId([0x22; 32]);
pub const ALICE: Address = Address([1; 20]);
pub const BOB: Address = Address([2; 20]);
pub const LEADER: Address = Address([3; 20]);

pub fn condition() -> ConditionId {
    ConditionId::from_slice(&[5; 32]).unwrap()
}

/// Alice and Bob have $1000 each, the house sells YES at 0.55 (10) and 0.56 (1000) and bids 0.5 (1000).
pub fn world(knobs: Knobs) -> World {
    let config = SimulatorConfig { block_interval_ms: 0, knobs, ..SimulatorConfig::default() };
    let mut world = World::new(&config, NOW);
    world
        .add_market(MarketSpec {
            condition: condition(),
            tokens: [YES, NO],
            outcomes: ["Yes".to_owned(), "No".to_owned()],
            tick: Price(10_000),
            min_size: Shares(5_000_000),
            neg_risk: false,
            fee: FeeSchedule { rate: Price(50_000), exponent: 1 },
            title: String::new(),
            slug: String::new(),
            event_slug: String::new(),
            end_date: String::new(),
        })
        .unwrap();
    for wallet in [ALICE, BOB] {
        let standing = Standing::Good;
        let wallet = Wallet { address: wallet, owner: wallet, signature_type: 0, approved: true, standing };
        world.add_wallet(wallet).unwrap();
        world.credit(wallet.address, Asset::Collateral, 1_000_000_000);
    }
    world.set_levels(&levels(YES, &[(500_000, 1_000)], &[(550_000, 10), (560_000, 1_000)])).unwrap();
    world.mine(NOW);
    world
}

/// Levels of the house: prices in millionths, whole shares.
pub fn levels(token: TokenId, bids: &[(i64, i64)], asks: &[(i64, i64)]) -> Levels {
    let parse = |levels: &[(i64, i64)]| {
        let level =
            |(price, shares): &(i64, i64)| Level { price: Price(*price), shares: Shares(shares * 1_000_000) };
        levels.iter().map(level).collect()
    };
    Levels { token, bids: parse(bids), asks: parse(asks), extend: false }
}

/// An order whose id is its salt, as if it had been verified.
pub fn order(
    salt: u64,
    maker: Address,
    side: Side,
    amounts: (i64, i64),
    order_type: OrderType,
) -> Submission {
    order_for(YES, salt, maker, side, amounts, order_type)
}

/// The same for a token.
pub fn order_for(
    token: TokenId,
    salt: u64,
    maker: Address,
    side: Side,
    amounts: (i64, i64),
    order_type: OrderType,
) -> Submission {
    let fields = SignedFields {
        salt,
        maker,
        signer: maker,
        token,
        maker_amount: amounts.0,
        taker_amount: amounts.1,
        side,
        signature_type: 0,
        timestamp_ms: NOW.millis().unsigned_abs(),
        metadata: [0; 32],
        builder: [0; 32],
    };
    let id = fields.id(Exchange::V2);
    let owner = Hash(id.0).to_string();
    Submission { id, fields, exchange: Exchange::V2, owner, order_type, post_only: false, expiration: 0 }
}

/// A FAK buy for `cents` at up to 0.56.
pub fn buy(salt: u64, cents: i64) -> Submission {
    let shares = cents * 10_000 * 1_000_000 / 560_000 / 100 * 100;
    order(salt, ALICE, Side::Buy, (cents * 10_000, shares), OrderType::Fak)
}

/// A FAK sell of whole shares at 0.5 or better.
pub fn sell(salt: u64, maker: Address, shares: i64) -> Submission {
    order(salt, maker, Side::Sell, (shares * 1_000_000, shares * 500_000), OrderType::Fak)
}

pub fn place(world: &mut World, order: &Submission) -> Result<Placed, Refusal> {
    world.place(NOW, order)
}

/// The text of a refusal.
pub fn refusal(world: &mut World, order: &Submission) -> String {
    world.place(NOW, order).unwrap_err().error
}

pub fn dollars(world: &World, wallet: Address) -> i64 {
    world.balance(wallet, Asset::Collateral)
}

pub fn shares(world: &World, wallet: Address) -> i64 {
    world.balance(wallet, Asset::Token(YES))
}

/// A leader's fill of whole shares at 0.52.
pub fn foreign(hash: u8, side: Side, shares: i64) -> ForeignTrade {
    let (price, shares) = (Price(520_000), Shares(shares * 1_000_000));
    let fill = ForeignFill { wallet: LEADER, token: YES, side, price, shares, maker: false };
    ForeignTrade { tx_hash: domain::TxHash([hash; 32]), fills: vec![fill], moves: Vec::new() }
}

/// Status of an order's newest trade.
pub fn trade_status(world: &World, id: OrderId) -> &'static str {
    let number = *world.journal().orders[&id].trades.last().unwrap();
    world.journal().trades[number].status.name()
}

pub fn sound(world: &World) {
    assert_eq!(world.violations(), Vec::<String>::new());
}
