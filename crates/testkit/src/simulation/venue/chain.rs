//! The venue's chain: blocks on virtual time, finality, reorganisations.

use std::{
    collections::{BTreeSet, HashSet},
    hash::Hasher,
    time::Duration,
};

use domain::{Address, Hash, Shares, Side, Timestamp, TokenId, TxHash};
use engine::ports::venue::{BlockHeader, ChainEvent, ChainEventKind, ChainFill};

/// Time between blocks.
pub const BLOCK_EVERY: Duration = Duration::from_secs(2);
/// A block is final when this many follow it.
pub const FINAL_AFTER: i64 = 3;
/// How long after a block with fills a reorganisation replaces it.
const REORGANISED_AFTER: Duration = Duration::from_secs(3);
/// Height of the first block.
const BASE: i64 = 1_000;

/// A fill on its way into a block.
#[derive(Clone, Copy, Debug)]
pub(super) struct Settling {
    /// Not in a block before.
    pub from: Timestamp,
    pub tx: TxHash,
    pub fill: ChainFill,
    /// Moved by a reorganisation already.
    pub moved: bool,
}

#[derive(Clone)]
struct Block {
    header: BlockHeader,
    fills: Vec<Settling>,
    /// Log index of the first fill.
    first_index: i64,
}

/// Blocks up to now.
pub(super) struct Chain {
    blocks: Vec<Block>,
    waiting: Vec<Settling>,
    /// When and from which height to reorganise.
    planned: Vec<(Timestamp, i64)>,
    forks: u64,
    mined: HashSet<TxHash>,
    /// Raised whenever a fill enters, leaves or becomes final.
    pub revision: u64,
}

/// What to do with a replaced block's fills.
#[derive(Clone, Copy, PartialEq, Eq)]
pub(super) enum Move {
    NewIndex,
    NextBlock,
}

impl Chain {
    pub fn new(start: Timestamp) -> Self {
        let mut chain = Self {
            blocks: Vec::new(),
            waiting: Vec::new(),
            planned: Vec::new(),
            forks: 0,
            mined: HashSet::new(),
            revision: 0,
        };
        chain.push_block(start, Vec::new(), 0);
        chain
    }

    pub fn settle(&mut self, settling: Settling) {
        self.waiting.push(settling);
    }

    /// Whether nothing waits for a block, for finality or for a planned reorganisation.
    pub fn is_quiet(&self) -> bool {
        let last = self.blocks.iter().rev().find(|block| !block.fills.is_empty());
        let settled = last.is_none_or(|block| block.header.number <= self.finalized().number);
        self.waiting.is_empty() && self.planned.is_empty() && settled
    }

    pub fn last_fill_height(&self) -> i64 {
        let last = self.blocks.iter().rev().find(|block| !block.fills.is_empty());
        last.map_or(0, |block| block.header.number)
    }

    /// Mines blocks up to `now`. `moves` says what happens to blocks with fills, once.
    pub fn advance(&mut self, now: Timestamp, moves: Option<Move>) {
        loop {
            let next = self.head().time.plus(BLOCK_EVERY);
            if let Some(due) = self.planned.iter().position(|(at, _)| *at <= now && *at < next) {
                let (_, height) = self.planned.swap_remove(due);
                self.reorganise(height, moves.unwrap_or(Move::NewIndex));
                continue;
            }
            if next > now {
                return;
            }
            let (ready, later): (Vec<_>, Vec<_>) =
                self.waiting.iter().copied().partition(|settling| settling.from <= next);
            self.waiting = later;
            if !ready.is_empty() {
                self.revision += 1;
                if moves.is_some() && ready.iter().any(|settling| !settling.moved) {
                    self.planned.push((next.plus(REORGANISED_AFTER), self.head().number + 1));
                }
            }
            self.push_block(next, ready, 0);
            let last_final = usize::try_from(self.finalized().number - BASE).unwrap_or(0);
            if self.blocks.get(last_final).is_some_and(|block| !block.fills.is_empty()) {
                self.revision += 1;
            }
        }
    }

    /// Replaces the blocks from `height` on (none of them final) by others.
    pub fn reorganise(&mut self, height: i64, how: Move) {
        let Ok(keep) = usize::try_from(height - BASE) else { return };
        if keep == 0 || keep > self.blocks.len() || height <= self.finalized().number {
            return;
        }
        self.revision += 1;
        self.forks += 1;
        let replaced = self.blocks.split_off(keep);
        let mut carried: Vec<Settling> = Vec::new();
        for block in replaced {
            let mut fills: Vec<Settling> = std::mem::take(&mut carried);
            let own = block.fills.into_iter().map(|fill| Settling { moved: true, ..fill });
            match how {
                Move::NewIndex => fills.extend(own),
                Move::NextBlock => carried = own.collect(),
            }
            self.push_block(block.header.time, fills, block.first_index + 7);
        }
        self.waiting.extend(carried);
    }

    fn push_block(&mut self, time: Timestamp, fills: Vec<Settling>, first_index: i64) {
        let number = BASE + i64::try_from(self.blocks.len()).unwrap_or(0);
        let parent = self.blocks.last().map_or(Hash([0; 32]), |block| block.header.hash);
        let hash = Hash(digest(&[number.to_be_bytes(), self.forks.to_be_bytes()].concat()));
        let header = BlockHeader { number, hash, parent, time };
        self.mined.extend(fills.iter().map(|settling| settling.tx));
        self.blocks.push(Block { header, fills, first_index });
    }

    pub fn head(&self) -> BlockHeader {
        self.blocks.last().map_or(NO_BLOCK, |block| block.header)
    }

    pub fn finalized(&self) -> BlockHeader {
        let last = self.blocks.len().saturating_sub(1);
        let back = usize::try_from(FINAL_AFTER).unwrap_or(0);
        self.blocks.get(last.saturating_sub(back)).map_or(NO_BLOCK, |block| block.header)
    }

    pub fn header(&self, number: i64) -> Option<BlockHeader> {
        self.block(number).map(|block| block.header)
    }

    fn block(&self, number: i64) -> Option<&Block> {
        usize::try_from(number - BASE).ok().and_then(|at| self.blocks.get(at))
    }

    pub fn events(&self, number: i64) -> Vec<ChainEvent> {
        let Some(block) = self.block(number) else { return Vec::new() };
        let event = |(at, settling): (usize, &Settling)| ChainEvent {
            block: number,
            block_hash: block.header.hash,
            log_index: block.first_index + i64::try_from(at).unwrap_or(0),
            tx: settling.tx,
            kind: ChainEventKind::Fill(settling.fill),
        };
        block.fills.iter().enumerate().map(event).collect()
    }

    /// Canonical fills up to and including a height.
    pub fn fills_to(&self, number: i64) -> impl Iterator<Item = (TxHash, ChainFill)> {
        let blocks = self.blocks.iter().take_while(move |block| block.header.number <= number);
        blocks.flat_map(|block| &block.fills).map(|settling| (settling.tx, settling.fill))
    }

    /// Whether a transaction ever was in a block, canonical still or not.
    pub fn was_in_block(&self, tx: TxHash) -> bool {
        self.mined.contains(&tx)
    }

    /// Where a transaction is: its height, and whether that is final.
    pub fn place_of(&self, tx: TxHash) -> Option<(i64, bool)> {
        let has = |block: &&Block| block.fills.iter().any(|settling| settling.tx == tx);
        let number = self.blocks.iter().rev().find(has)?.header.number;
        Some((number, number <= self.finalized().number))
    }

    /// Heights of the blocks in which a wallet sold a token.
    pub fn sale_heights(&self, wallet: Address, token: TokenId) -> BTreeSet<i64> {
        let sells = |settling: &Settling| {
            (settling.fill.wallet, settling.fill.token, settling.fill.side) == (wallet, token, Side::Sell)
        };
        let blocks = self.blocks.iter().filter(|block| block.fills.iter().any(sells));
        blocks.map(|block| block.header.number).collect()
    }

    /// Change of a wallet's shares of a token by the canonical fills up to a height.
    pub fn balance(&self, wallet: Address, token: TokenId, number: i64) -> Shares {
        let own = self.fills_to(number).filter(|(_, fill)| fill.wallet == wallet && fill.token == token);
        own.map(|(_, fill)| match fill.side {
            Side::Buy => fill.shares,
            Side::Sell => Shares(-fill.shares.0),
        })
        .sum()
    }
}

const NO_BLOCK: BlockHeader =
    BlockHeader { number: 0, hash: Hash([0; 32]), parent: Hash([0; 32]), time: Timestamp(0) };

/// A pure 32-byte digest, for identities inside a simulation only.
pub(crate) fn digest(bytes: &[u8]) -> [u8; 32] {
    let mut out = [0; 32];
    for (lane, chunk) in (0_u8..).zip(out.chunks_mut(8)) {
        let mut hasher = std::hash::DefaultHasher::new();
        hasher.write_u8(lane);
        hasher.write(bytes);
        chunk.copy_from_slice(&hasher.finish().to_be_bytes());
    }
    out
}
