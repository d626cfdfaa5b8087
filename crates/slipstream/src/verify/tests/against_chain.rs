//! Differences between our books and the chain's logs.

use std::time::Duration;

use async_trait::async_trait;
use domain::{Address, Hash, OrderId, Shares, Side, TokenId, TxHash, Usd, trade::Quantity};
use engine::ports::venue::{BlockHeader, ChainEvent, ChainEventKind, ChainFill, ChainReader, VenueError};

use super::{
    super::{
        Check, Outcome, VerifyOptions, VerifyReport,
        test_world::{IDS, TOKEN, World, at, buy, filled_buy},
        verify,
    },
    only, usual,
};

/// A chain of blocks of two seconds; its first is older than everything, the provider's first is not.
struct Blocks {
    fills: Vec<(i64, ChainFill)>,
    pruned_below: i64,
    broken: bool,
}

const HEAD: i64 = 2_000;

impl Blocks {
    fn with(fills: Vec<(i64, ChainFill)>) -> Self {
        Self { fills, pruned_below: 300, broken: false }
    }
}

fn header(number: i64) -> BlockHeader {
    let time = at(0).plus(Duration::from_secs(2_000));
    let time = domain::Timestamp(time.0 - (HEAD - number) * 2_000_000);
    BlockHeader { number, hash: Hash([1; 32]), parent: Hash([2; 32]), time }
}

#[async_trait]
impl ChainReader for Blocks {
    async fn head(&self) -> Result<BlockHeader, VenueError> {
        Ok(header(HEAD))
    }

    async fn finalized(&self) -> Result<BlockHeader, VenueError> {
        Ok(header(HEAD - 4))
    }

    async fn header(&self, number: i64) -> Result<Option<BlockHeader>, VenueError> {
        Ok((self.pruned_below..=HEAD).contains(&number).then(|| header(number)))
    }

    async fn block_events(&self, _: &BlockHeader, _: &[Address]) -> Result<Vec<ChainEvent>, VenueError> {
        panic!("whole blocks are not asked for one by one")
    }

    async fn range_events(&self, from: i64, to: i64, _: &[Address]) -> Result<Vec<ChainEvent>, VenueError> {
        assert!(header(from).time >= at(0), "block {from} is older than the first leader's trade");
        assert!(to - from < 500 && to <= HEAD);
        if self.broken {
            return Err(VenueError::Unavailable { what: "eth_getLogs".to_owned(), reason: "503".to_owned() });
        }
        let here = self.fills.iter().filter(|(block, _)| (from..=to).contains(block));
        Ok(here
            .map(|(block, fill)| ChainEvent {
                block: *block,
                block_hash: Hash([1; 32]),
                log_index: 3,
                tx: TxHash([3; 32]),
                kind: ChainEventKind::Fill(*fill),
            })
            .collect())
    }

    async fn balances(&self, _: &[(Address, TokenId)], _: i64) -> Result<Vec<Shares>, VenueError> {
        panic!("balances are not asked for")
    }
}

fn fill(order: OrderId, wallet: Address, quantity: Quantity, fee: i64) -> ChainFill {
    let Quantity { shares, usd } = quantity;
    ChainFill { order, wallet, maker: false, token: TOKEN, side: Side::Buy, shares, usd, fee: Usd(fee) }
}

async fn against(world: &World, blocks: &Blocks) -> VerifyReport {
    let options = VerifyOptions { chain: Some(blocks), ..usual() };
    verify(&world.store, &IDS, options).await.unwrap()
}

fn outcome(report: &VerifyReport, check: Check) -> Outcome {
    report.checks.iter().find(|result| result.check == check).unwrap().outcome
}

const OURS: Address = Address([1; 20]);

#[tokio::test]
async fn fills_are_summed_over_the_chains_logs() {
    let world = World::new().await;
    let id = world.confirmed_buy().await.order.id;
    let (first, rest) = (
        Quantity { shares: Shares(9_600_000), usd: Usd(4_896_000) },
        Quantity { shares: Shares(10_000_000), usd: Usd(5_100_000) },
    );
    // Two logs in two of the ranges that are asked for, and a stranger's in between.
    let stranger = fill(OrderId([7; 32]), Address([9; 20]), first, 0);
    let fills =
        vec![(1_010, fill(id, OURS, first, 342_870)), (1_300, stranger), (1_700, fill(id, OURS, rest, 0))];
    let report = against(&world, &Blocks::with(fills)).await;
    assert!(report.is_clean(), "{report}");
    assert_eq!(outcome(&report, Check::Chain), Outcome::Agrees);
    assert_eq!(outcome(&report, Check::Strangers), Outcome::Agrees);
    assert_eq!(outcome(&report, Check::Venue), Outcome::NotAsked);
}

#[tokio::test]
async fn a_fill_the_chain_does_not_have_is_named_with_where_it_was_looked_for() {
    let world = World::new().await;
    world.confirmed_buy().await;
    let report = against(&world, &Blocks::with(vec![])).await;
    insta::assert_snapshot!(only(&report, &[Check::Chain]), @"order 0xafcc.. (intent 1, attempt 0): fill is 19.6 shares for 9.996 $, fee 0.34287; the chain has nothing: no log of it from block 1000 on");
}

#[tokio::test]
async fn a_fill_the_chain_has_otherwise_is_named_with_its_block() {
    let world = World::new().await;
    let id = world.confirmed_buy().await.order.id;
    let more_fee = fill(id, OURS, filled_buy(), 400_000);
    let report = against(&world, &Blocks::with(vec![(1_010, more_fee)])).await;
    insta::assert_snapshot!(only(&report, &[Check::Chain]), @"order 0xafcc.. (intent 1, attempt 0): fill is 19.6 shares for 9.996 $, fee 0.34287; the chain has 19.6 shares for 9.996 $, fee 0.4, in one log of block 1010");
}

#[tokio::test]
async fn an_order_of_our_wallet_that_only_the_chain_knows() {
    let world = World::new().await;
    let id = world.confirmed_buy().await.order.id;
    let ours = fill(id, OURS, filled_buy(), 342_870);
    let unknown = fill(OrderId([6; 32]), OURS, filled_buy(), 0);
    let report = against(&world, &Blocks::with(vec![(1_010, ours), (1_011, unknown)])).await;
    insta::assert_snapshot!(only(&report, &[Check::Strangers]), @"wallet 0x0101010101010101010101010101010101010101: an order the chain filled is 0x0606.. (19.6 shares for 9.996 $, fee 0, in one log of block 1011); our books have no such order");
}

#[tokio::test]
async fn a_fill_that_settlement_has_yet_to_see_is_not_a_difference() {
    let world = World::new().await;
    let record = world.sign(world.attempt(world.copied_buy().await).await).await;
    let ahead = fill(record.order.id, OURS, filled_buy(), 342_870);
    let report = against(&world, &Blocks::with(vec![(1_010, ahead)])).await;
    assert!(report.is_clean(), "{report}");
    assert_eq!(report.waiting(), 1);
}

#[tokio::test]
async fn a_chain_that_cannot_be_read_is_unknown_and_not_green() {
    let world = World::new().await;
    world.confirmed_buy().await;
    let report = against(&world, &Blocks { broken: true, ..Blocks::with(vec![]) }).await;
    assert!(!report.is_clean() && report.first.is_none());
    assert_eq!(outcome(&report, Check::Chain), Outcome::Unknown);
    assert_eq!(outcome(&report, Check::Strangers), Outcome::Unknown);
}

#[tokio::test]
async fn nothing_is_read_before_there_is_an_intent() {
    let world = World::new().await;
    world.commit(&buy(), vec![]).await;
    let report = against(&world, &Blocks { broken: true, ..Blocks::with(vec![]) }).await;
    assert!(report.is_clean(), "{report}");
}
