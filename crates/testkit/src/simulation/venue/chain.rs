//! The venue's chain: blocks on virtual time, finality, reorganisations.

use std::{
    collections::{BTreeSet, HashSet},
    hash::Hasher,
    time::Duration,
};

use domain::trade::Action;
use domain::{Address, Hash, Shares, Side, Timestamp, TokenId, TxHash};
use engine::ports::venue::{BlockHeader, ChainEvent, ChainEventKind, ChainFill, ChainMove, Counterparty};

/// Time between blocks.
pub const BLOCK_EVERY: Duration = Duration::from_secs(2);
/// A block is final when this many follow it.
pub const FINAL_AFTER: i64 = 3;
/// How long after a block with fills a reorganisation replaces it.
const REORGANISED_AFTER: Duration = Duration::from_secs(3);
/// Height of the first block.
const BASE: i64 = 1_000;

/// Shares that a leader moved without an order.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Moved {
    /// Whose.
    pub wallet: Address,
    /// Of which token.
    pub token: TokenId,
    /// How.
    pub action: Action,
    /// How many.
    pub shares: Shares,
}

/// What a transaction does to one wallet.
#[derive(Clone, Copy, Debug)]
pub(super) enum Effect {
    Fill(ChainFill),
    Moved(Moved),
}

impl Effect {
    /// Wallet, token and what is added to the balance.
    fn change(&self) -> (Address, TokenId, i64) {
        let (wallet, token, side, shares) = match self {
            Self::Fill(fill) => (fill.wallet, fill.token, fill.side, fill.shares),
            Self::Moved(moved) => (moved.wallet, moved.token, moved.action.side(), moved.shares),
        };
        (wallet, token, if side == Side::Buy { shares.0 } else { -shares.0 })
    }

    /// The log of the movement, which fills have too.
    fn moved(&self) -> ChainMove {
        let (wallet, token, change) = self.change();
        let with = match self {
            Self::Fill(_) => Counterparty::Exchange,
            Self::Moved(moved) if moved.action == Action::Send => Counterparty::Other,
            Self::Moved(_) => Counterparty::Venue,
        };
        let side = if change < 0 { Side::Sell } else { Side::Buy };
        ChainMove { wallet, token, side, shares: Shares(change.abs()), with }
    }

    fn exits(&self, wallet: Address, token: TokenId) -> bool {
        match self {
            Self::Fill(fill) => (fill.wallet, fill.token, fill.side) == (wallet, token, Side::Sell),
            Self::Moved(moved) => (moved.wallet, moved.token, moved.action) == (wallet, token, Action::Merge),
        }
    }
}

/// A fill or a movement on its way into a block.
#[derive(Clone, Copy, Debug)]
pub(super) struct Settling {
    /// Not in a block before.
    pub from: Timestamp,
    pub tx: TxHash,
    pub effect: Effect,
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
#[derive(Clone)]
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

    /// Every fill of a block, and every movement of `wallets`.
    pub fn events(&self, number: i64, wallets: &[Address]) -> Vec<ChainEvent> {
        let Some(block) = self.block(number) else { return Vec::new() };
        let kinds = block.fills.iter().flat_map(|settling| {
            let moved = settling.effect.moved();
            let fill = match settling.effect {
                Effect::Fill(fill) => Some(ChainEventKind::Fill(fill)),
                Effect::Moved(_) => None,
            };
            let moved = wallets.contains(&moved.wallet).then_some(ChainEventKind::Move(moved));
            [moved, fill].map(|kind| (settling.tx, kind))
        });
        let events = kinds.zip(block.first_index..).filter_map(|((tx, kind), log_index)| {
            Some(ChainEvent { block: number, block_hash: block.header.hash, log_index, tx, kind: kind? })
        });
        events.collect()
    }

    /// Canonical effects up to and including a height, with their heights.
    fn effects_to(&self, number: i64) -> impl Iterator<Item = (i64, &Settling)> {
        let blocks = self.blocks.iter().take_while(move |block| block.header.number <= number);
        blocks.flat_map(|block| block.fills.iter().map(|settling| (block.header.number, settling)))
    }

    /// Canonical movements without an order up to and including a height.
    pub fn moves_to(&self, number: i64) -> impl Iterator<Item = (TxHash, Moved)> {
        self.effects_to(number).filter_map(|(_, settling)| match settling.effect {
            Effect::Moved(moved) => Some((settling.tx, moved)),
            Effect::Fill(_) => None,
        })
    }

    /// Canonical fills up to and including a height.
    pub fn fills_to(&self, number: i64) -> impl Iterator<Item = (TxHash, ChainFill)> {
        self.effects_to(number).filter_map(|(_, settling)| match settling.effect {
            Effect::Fill(fill) => Some((settling.tx, fill)),
            Effect::Moved(_) => None,
        })
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

    /// Heights of the blocks in which a wallet sold or merged a token.
    pub fn exit_heights(&self, wallet: Address, token: TokenId) -> BTreeSet<i64> {
        let exits = self.effects_to(i64::MAX).filter(|(_, settling)| settling.effect.exits(wallet, token));
        exits.map(|(height, _)| height).collect()
    }

    /// Shares a wallet bought in a block.
    pub fn bought_in(&self, wallet: Address, token: TokenId, number: i64) -> Shares {
        let of_block = self.block(number).into_iter().flat_map(|block| &block.fills);
        let bought = of_block.filter_map(|settling| match settling.effect {
            Effect::Fill(fill) => Some(fill),
            Effect::Moved(_) => None,
        });
        let own = bought.filter(|fill| (fill.wallet, fill.token, fill.side) == (wallet, token, Side::Buy));
        own.map(|fill| fill.shares).sum()
    }

    /// Shares a wallet sent to another one in a block.
    pub fn sent_in(&self, wallet: Address, token: TokenId, number: i64) -> Shares {
        let of_block = self.block(number).into_iter().flat_map(|block| &block.fills);
        let sent = of_block.filter_map(|settling| match settling.effect {
            Effect::Moved(moved) if moved.action == Action::Send => Some(moved),
            _ => None,
        });
        sent.filter(|moved| (moved.wallet, moved.token) == (wallet, token)).map(|moved| moved.shares).sum()
    }

    /// Change of a wallet's shares of a token up to a height.
    pub fn balance(&self, wallet: Address, token: TokenId, number: i64) -> Shares {
        let changes = self.effects_to(number).map(|(_, settling)| settling.effect.change());
        let own = changes.filter(|(whose, of, _)| (*whose, *of) == (wallet, token));
        own.map(|(_, _, change)| Shares(change)).sum()
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
