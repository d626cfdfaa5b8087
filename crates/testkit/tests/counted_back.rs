//! Exits without a chain, where positions are newer than the rows of the history, or older.

#![cfg(test)]

use std::{sync::Arc, time::Duration};

use async_trait::async_trait;
use domain::{Address, Clock, Shares, Side, Timestamp, TokenId, ids::IntentId, money::ONE};
use engine::ports::{
    store::Store,
    venue::{History, TradeHistory, VenueError},
};
use testkit::{
    executor::block_on,
    memory_store::MemoryStore,
    simulation::{
        explorer::run,
        scenario::{Action, Scenario, at, change, fill, token, trade},
        tampering::{Bench, Tampering},
        venue::{LeaderTrade, VenueModel},
        world::START,
    },
};

/// How late rows are …
const ROWS: u64 = 65;
/// … and until when positions may show what was before a trade.
const POSITIONS: u64 = 75;

/// The venue's history, with positions of some seconds ago that are told when they show everything up to `since`.
struct Lags {
    rows: Arc<dyn TradeHistory>,
    clock: Arc<dyn Clock>,
    trades: Vec<LeaderTrade>,
    /// Seconds that positions are behind.
    behind: u64,
}

#[async_trait]
impl TradeHistory for Lags {
    async fn activity(&self, wallet: Address, since: Timestamp) -> Result<History, VenueError> {
        self.rows.activity(wallet, since).await
    }

    async fn positions(&self, wallet: Address) -> Result<Vec<(TokenId, Shares)>, VenueError> {
        Ok(vec![(token(7), self.held(wallet, token(7), at(0)).await?)])
    }

    async fn held(&self, _: Address, _: TokenId, since: Timestamp) -> Result<Shares, VenueError> {
        let now = self.clock.now();
        if now.since(since) < Duration::from_secs(POSITIONS) {
            let what = "positions".to_owned();
            return Err(VenueError::Unavailable { what, reason: "may be old".to_owned() });
        }
        let shown = now.minus(Duration::from_secs(self.behind));
        let made = self.trades.iter().filter(|trade| trade.at <= shown);
        let moved = made.flat_map(|trade| trade.fills.iter().map(move |fill| (trade.side, fill.shares.0)));
        Ok(Shares(moved.map(|(side, shares)| if side == Side::Buy { shares } else { -shares }).sum()))
    }
}

fn made(second: u64, side: Side, shares: i64, shown: u64) -> LeaderTrade {
    LeaderTrade { shown_at: Some(at(shown)), ..trade(at(second), 7, side, &[fill(shares, 50)]) }
}

struct Positions(Vec<LeaderTrade>, u64);

impl Tampering for Positions {
    fn tamper(&self, bench: Bench) -> Bench {
        let Self(trades, behind) = self;
        let history =
            Lags { rows: bench.history, clock: bench.clock.clone(), trades: trades.clone(), behind: *behind };
        Bench { history: Arc::new(history), ..bench }
    }
}

/// What a follower who copied a tenth of these trades sold each time, and what it holds in the end, in thousandths of a share.
fn sold_and_held(trades: &[LeaderTrade], behind: u64) -> (Vec<i64>, i64) {
    let memory = |clock| Arc::new(MemoryStore::new(clock)) as Arc<dyn Store>;
    let mut scenario = Scenario::one_follower("counted back");
    scenario.books = vec![change(7, START, (50, 1_000_000), (50, 1_000_000))];
    // Nothing happens then, but until then it runs.
    scenario.actions = vec![(at(900), Action::Resume(0))];
    scenario.trades = trades.to_vec();
    scenario.reads_chain = false;
    let tampering = Positions(trades.to_vec(), behind);
    let (run, world) = run(&scenario, VenueModel::PLAIN, &[], &tampering, &memory, false);
    assert!(run.judgement.broken.is_empty(), "{:#?}", run.judgement.broken);
    let store = world.expect("a world").store.clone();
    let intents = block_on(store.intents_after(None, IntentId(0), 100)).unwrap();
    let ids: Vec<IntentId> = intents.iter().map(|intent| intent.id).collect();
    let mut orders = block_on(store.attempts_of(&ids)).unwrap();
    orders.sort_by_key(|order| order.signed_at);
    let moved: Vec<i64> = orders.iter().map(|order| order.booked.shares.0 * 1_000 / ONE).collect();
    (moved.iter().filter(|moved| **moved < 0).map(|moved| -moved).collect(), moved.iter().sum())
}

/// 1,000 shares are bought; then 100 are sold, and 30 s later 400: what the position showed was counted as if the second
/// sale had never been, and then with it.
#[test]
fn a_sale_that_positions_show_before_its_row_counts_once() {
    let trades = [
        made(4, Side::Buy, 1_000, 4),
        made(200, Side::Sell, 100, 200 + ROWS),
        made(230, Side::Sell, 400, 230 + ROWS),
    ];
    for behind in [0, 5, POSITIONS] {
        let (sold, held) = sold_and_held(&trades, behind);
        assert_eq!(held, 50_000, "positions {behind} s behind: sold {sold:?}");
    }
}

/// As above, with a buy in place of the second sale: half is sold, in the end. (The buy is too old when its row comes.)
#[test]
fn a_buy_that_positions_show_before_its_row_is_no_share_that_was_kept() {
    let trades = [
        made(4, Side::Buy, 1_000, 4),
        made(200, Side::Sell, 500, 200 + ROWS),
        made(230, Side::Buy, 500, 230 + ROWS),
    ];
    for behind in [0, 5, POSITIONS] {
        let (sold, held) = sold_and_held(&trades, behind);
        assert_eq!(held, 50_000, "positions {behind} s behind: sold {sold:?}");
    }
}

/// A buy whose row is here and that positions do not show yet was taken out of what was kept: everything was sold.
#[test]
fn a_buy_that_positions_do_not_show_yet_sells_nothing() {
    let trades =
        [made(4, Side::Buy, 1_000, 4), made(200, Side::Sell, 500, 201), made(230, Side::Buy, 500, 231)];
    let (sold, held) = sold_and_held(&trades, POSITIONS);
    assert_eq!((sold.iter().sum::<i64>(), held), (50_000, 100_000), "{sold:?}");
}

/// Who goes on selling in pieces is followed meanwhile, not when it has come to rest.
#[test]
fn sales_that_follow_each_other_delay_no_exit() {
    let mut trades = vec![made(4, Side::Buy, 1_000, 4)];
    trades.extend((0..10).map(|piece| made(200 + 40 * piece, Side::Sell, 50, 201 + 40 * piece)));
    let (sold, held) = sold_and_held(&trades, 20);
    assert_eq!(held, 50_000, "{sold:?}");
    assert!(sold.len() > 5, "{sold:?}");
}
