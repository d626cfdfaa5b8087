//! The simulated chain: blocks, transactions, logs, balances at every block, and reorganisations.
//! Owns what is mined and what waits to be; knows nothing of orders.

use std::collections::BTreeMap;

use domain::{Address, Hash, Timestamp, TxHash};

use super::{
    contract_state::{ContractState, Write},
    data::Row,
    ledger::{History, Transfer},
    logs::Log,
};
use crate::signing::derive;

/// What becomes of a waiting transaction at the next block.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub enum Fate {
    /// It is mined.
    #[default]
    Mine,
    /// It is sent again under another hash and mined one block later.
    Retry,
    /// It fails and moves nothing.
    Fail,
    /// It is left out of this many blocks.
    Wait(u64),
}

/// An EOA's place in the line, and what it offers for it.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Bid {
    /// Who.
    pub from: Address,
    /// Its nonce: one transaction with it is mined at most.
    pub nonce: u64,
    /// Most that is paid for a unit of gas, in wei.
    pub fee: u128,
    /// Of that to whoever makes the block.
    pub tip: u128,
}

/// A transaction.
#[derive(Clone, Debug)]
pub struct Tx {
    /// Hash.
    pub hash: TxHash,
    /// What it moves.
    pub transfers: Vec<Transfer>,
    /// What it logs.
    pub logs: Vec<Log>,
    /// What the Data API shows of it.
    pub rows: Vec<Row>,
    /// What contracts remember of it.
    pub writes: Vec<Write>,
    /// Whether it was mined and undone, so that it moved nothing but its fee.
    pub reverted: bool,
    /// The CLOB trade it settles.
    pub trade: Option<usize>,
    /// What becomes of it.
    pub fate: Fate,
    /// Whose it is and what it offers, if an EOA sent it itself.
    pub bid: Option<Bid>,
    /// Index of its first log in its block, set when it is mined.
    pub first_log: u64,
}

impl Tx {
    /// A transaction that does nothing yet.
    #[must_use]
    pub const fn new(hash: TxHash) -> Self {
        Self {
            hash,
            transfers: Vec::new(),
            logs: Vec::new(),
            rows: Vec::new(),
            writes: Vec::new(),
            reverted: false,
            trade: None,
            fate: Fate::Mine,
            bid: None,
            first_log: 0,
        }
    }
}

/// A block.
#[derive(Clone, Debug)]
pub struct Block {
    /// Height.
    pub number: u64,
    /// Hash.
    pub hash: Hash,
    /// Hash of the block below.
    pub parent: Hash,
    /// Unix seconds.
    pub timestamp: i64,
    /// Index of its first log: logs of foreign contracts come before.
    pub first_log: u64,
    /// Transactions.
    pub txs: Vec<Tx>,
}

/// A log with its place.
#[derive(Clone, Copy, Debug)]
pub struct PlacedLog<'a> {
    /// Block.
    pub block: &'a Block,
    /// Transaction.
    pub tx: &'a Tx,
    /// Place of the transaction in the block.
    pub tx_index: usize,
    /// Place of the log in the block.
    pub index: u64,
    /// The log.
    pub log: &'a Log,
}

impl Block {
    /// All logs, in order.
    pub fn logs(&self) -> impl Iterator<Item = PlacedLog<'_>> {
        (0..self.txs.len()).flat_map(|tx_index| self.logs_of(tx_index))
    }

    /// The logs of one transaction, in order.
    pub fn logs_of(&self, tx_index: usize) -> impl Iterator<Item = PlacedLog<'_>> {
        self.txs.get(tx_index).into_iter().flat_map(move |tx| {
            let placed = tx.logs.iter().zip(tx.first_log..);
            placed.map(move |(log, index)| PlacedLog { block: self, tx, tx_index, index, log })
        })
    }
}

/// The canonical chain and what waits for it.
#[derive(Debug)]
pub struct Chain {
    seed: u64,
    first: u64,
    blocks: Vec<Block>,
    by_hash: BTreeMap<Hash, u64>,
    places: BTreeMap<TxHash, (u64, usize)>,
    /// Balances at every block.
    pub history: History,
    /// What contracts remember at every block.
    pub state: ContractState,
    /// Transactions waiting for a block, oldest first.
    pub pending: Vec<Tx>,
    forks: u64,
}

impl Chain {
    /// A chain of one empty block.
    #[must_use]
    pub fn new(seed: u64, first: u64, now: Timestamp) -> Self {
        let mut chain = Self {
            seed,
            first,
            blocks: Vec::new(),
            by_hash: BTreeMap::new(),
            places: BTreeMap::new(),
            history: History::default(),
            state: ContractState::default(),
            pending: Vec::new(),
            forks: 0,
        };
        chain.push(now.seconds(), Vec::new());
        chain
    }

    /// Height of the newest block.
    #[must_use]
    pub fn head(&self) -> u64 {
        let above = u64::try_from(self.blocks.len()).unwrap_or(u64::MAX).saturating_sub(1);
        self.first.saturating_add(above)
    }

    /// Height of the oldest block.
    #[must_use]
    pub const fn first(&self) -> u64 {
        self.first
    }

    /// Height of the newest block with a transaction; the first block while there is none.
    #[must_use]
    pub fn newest_tx(&self) -> u64 {
        let newest = self.blocks.iter().rev().find(|block| !block.txs.is_empty());
        newest.map_or(self.first, |block| block.number)
    }

    /// A block by height.
    #[must_use]
    pub fn block(&self, number: u64) -> Option<&Block> {
        self.blocks.get(usize::try_from(number.checked_sub(self.first)?).ok()?)
    }

    /// A canonical block by hash.
    #[must_use]
    pub fn block_by_hash(&self, hash: &Hash) -> Option<&Block> {
        self.block(*self.by_hash.get(hash)?)
    }

    /// A mined transaction: its block and its place there.
    #[must_use]
    pub fn tx(&self, hash: &TxHash) -> Option<(&Block, usize)> {
        let (number, index) = *self.places.get(hash)?;
        self.block(number).map(|block| (block, index))
    }

    /// Whether a transaction is mined or waits.
    #[must_use]
    pub fn knows(&self, hash: &TxHash) -> bool {
        self.places.contains_key(hash) || self.pending.iter().any(|tx| tx.hash == *hash)
    }

    /// Adds a block with these transactions on top and says its height.
    pub fn push(&mut self, timestamp: i64, mut txs: Vec<Tx>) -> u64 {
        let number = self.blocks.last().map_or(self.first, |block| block.number.saturating_add(1));
        let parent = self.blocks.last().map_or(Hash([0; 32]), |block| block.hash);
        let made =
            derive(self.seed, &[b"block", &number.to_be_bytes(), &self.forks.to_be_bytes(), &parent.0]);
        // A fork changes log indices too: it comes with another number of foreign logs before ours.
        let foreign = u64::from(made.first().copied().unwrap_or(0) % 64);
        let first_log = self.forks.saturating_mul(64).saturating_add(foreign);
        let mut next_log = first_log;
        for (index, tx) in txs.iter_mut().enumerate() {
            self.history.apply(number, &tx.transfers);
            self.state.apply(number, &tx.writes);
            self.places.insert(tx.hash, (number, index));
            tx.first_log = next_log;
            next_log = next_log.saturating_add(u64::try_from(tx.logs.len()).unwrap_or(u64::MAX));
        }
        self.by_hash.insert(Hash(made), number);
        self.blocks.push(Block { number, hash: Hash(made), parent, timestamp, first_log, txs });
        number
    }

    /// Takes the newest `depth` blocks off, oldest first.
    pub fn rewind(&mut self, depth: usize) -> Vec<Block> {
        let keep = self.blocks.len().saturating_sub(depth).max(1);
        let dropped = self.blocks.split_off(keep);
        self.forks = self.forks.saturating_add(1);
        let head = self.head();
        for block in &dropped {
            self.by_hash.remove(&block.hash);
            for tx in &block.txs {
                self.places.remove(&tx.hash);
                self.history.rewind(head, &tx.transfers);
                self.state.rewind(head, &tx.writes);
            }
        }
        dropped
    }
}

#[cfg(test)]
mod tests {
    use domain::Address;

    use super::*;
    use crate::world::ledger::Asset;

    fn pay(hash: u8, amount: i64) -> Tx {
        let (from, to) = (Address([1; 20]), Address([2; 20]));
        Tx {
            transfers: vec![Transfer { asset: Asset::Collateral, from, to, amount }],
            logs: vec![Log { address: from, topics: Vec::new(), data: Vec::new() }],
            ..Tx::new(TxHash([hash; 32]))
        }
    }

    #[test]
    fn a_fork_has_other_hashes_and_log_indices() {
        let mut chain = Chain::new(7, 100, Timestamp::from_seconds(50));
        chain.push(52, vec![pay(1, 5), pay(2, 6)]);
        chain.push(54, vec![pay(3, 7)]);
        let (old_hash, old_log) = chain.block(101).map(|block| (block.hash, block.first_log)).unwrap();
        let balance = |chain: &Chain, block| chain.history.at(Address([2; 20]), Asset::Collateral, block);
        assert_eq!((balance(&chain, 100), balance(&chain, 101), balance(&chain, 102)), (0, 11, 18));

        let dropped = chain.rewind(2);
        assert_eq!(dropped.iter().map(|block| block.number).collect::<Vec<_>>(), [101, 102]);
        assert_eq!((chain.head(), balance(&chain, 102)), (100, 0));
        assert!(chain.tx(&TxHash([1; 32])).is_none() && chain.block_by_hash(&old_hash).is_none());

        chain.push(52, vec![pay(1, 5)]);
        let block = chain.block(101).unwrap();
        assert_ne!(block.hash, old_hash);
        assert_ne!(block.first_log, old_log);
        assert_eq!(block.parent, chain.block(100).unwrap().hash);
        assert_eq!(balance(&chain, 102), 5);
    }

    #[test]
    fn the_first_block_stays() {
        let mut chain = Chain::new(7, 100, Timestamp::from_seconds(50));
        assert!(chain.rewind(5).is_empty());
        assert_eq!(chain.head(), 100);
    }

    #[test]
    fn logs_are_numbered_through_the_block() {
        let mut chain = Chain::new(7, 100, Timestamp::from_seconds(50));
        let number = chain.push(52, vec![pay(1, 5), pay(2, 6)]);
        let block = chain.block(number).unwrap();
        let places: Vec<_> = block.logs().map(|log| (log.tx_index, log.index - block.first_log)).collect();
        assert_eq!(places, [(0, 0), (1, 1)]);
    }
}
