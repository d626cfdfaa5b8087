//! What the leader does.

use std::sync::atomic::Ordering;

use domain::{Side, TokenId, TxHash};
use simulator::world::control::{ForeignFill, ForeignTrade};

use crate::scene::{LEADER, OTHER, Scene, TOKEN, cents, whole};

fn leader_fill(token: TokenId, side: Side, shares: i64, price: i64) -> ForeignFill {
    ForeignFill { wallet: LEADER, token, side, price: cents(price), shares: whole(shares), maker: false }
}

impl Scene {
    /// The leader buys 100 shares at 0.50, so that the copy is 10 shares for 5 $.
    pub fn leader_buys(&self) -> TxHash {
        self.leader_trades(&[(Side::Buy, 100, 50)])
    }

    /// One transaction of the leader: sides, shares, cents.
    pub fn leader_trades(&self, fills: &[(Side, i64, i64)]) -> TxHash {
        let tx = self.submit(fills);
        self.mine();
        tx
    }

    /// Two transactions of the leader in one block (which the test makes).
    pub fn two_in_one_block(&self, first: &[(Side, i64, i64)], second: &[(Side, i64, i64)]) {
        self.submit(first);
        self.submit(second);
        self.mine();
    }

    /// One transaction in which the leader buys 100 shares of both outcomes at 0.50.
    pub fn leader_buys_both(&self) -> TxHash {
        let tx = self.next_hash();
        self.trade(tx, [TOKEN, OTHER].map(|token| leader_fill(token, Side::Buy, 100, 50)).to_vec());
        self.mine();
        tx
    }

    pub fn submit(&self, fills: &[(Side, i64, i64)]) -> TxHash {
        let tx = self.next_hash();
        self.submit_as(tx, fills);
        tx
    }

    /// A transaction of the leader with this hash, for the next block.
    pub fn submit_as(&self, tx: TxHash, fills: &[(Side, i64, i64)]) {
        let token = self.market.tokens[0];
        let fill = |&(side, shares, price): &(Side, i64, i64)| leader_fill(token, side, shares, price);
        self.trade(tx, fills.iter().map(fill).collect());
    }

    fn next_hash(&self) -> TxHash {
        let number = self.next_tx.fetch_add(1, Ordering::Relaxed);
        let mut tx = [0x77; 32];
        tx[..8].copy_from_slice(&number.to_be_bytes());
        TxHash(tx)
    }

    fn trade(&self, tx_hash: TxHash, fills: Vec<ForeignFill>) {
        let trade = ForeignTrade { tx_hash, fills, moves: Vec::new() };
        self.world.with(|world, _| world.foreign_trade(&trade)).expect("a trade");
    }
}
