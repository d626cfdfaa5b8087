//! From a match to the chain: balances move at once at the venue, the transaction is mined with the
//! next block, becomes final, is retried, fails, or is reorganised away.

use std::collections::BTreeMap;

use domain::{Address, OrderId, Price, Shares, Side, Timestamp, TxHash, Usd, money::Rounding};

use super::{
    World, WorldError,
    chain::{Fate, Tx},
    contract_state::Write,
    data::IndexedRow,
    events::{Event, OrderStep},
    faults::{FaultKind, FaultTarget},
    fees::TakerFee,
    journal::{MakerPart, OrderState, Trade, TradeStatus},
    ledger::{Asset, Transfer},
    matching::Fill,
    orders::{Submission, totals},
};
use crate::{
    contracts::{HOUSE, NOBODY},
    signing::uuid_text,
};

impl World {
    /// Books a match: trade, balances, fills of all orders, and the transaction that settles it.
    pub(super) fn settle_match(
        &mut self,
        now: Timestamp,
        order: &Submission,
        fills: &[Fill],
        fee: TakerFee,
    ) -> usize {
        let (usd, shares) = totals(fills);
        let fields = order.fields;
        let number = self.journal.trades.len();
        let id = uuid_text(&self.random());
        let hash = TxHash(self.random());
        let makers: Vec<MakerPart> = fills
            .iter()
            .map(|fill| MakerPart {
                order: fill.order,
                wallet: fill.maker,
                token: fill.token,
                side: fill.side,
                price: fill.maker_price(),
                shares: fill.shares,
                usd: fill.maker_usd,
            })
            .collect();
        let tx = self.match_tx(order, fills, fee, hash);
        self.ledger.apply(&tx.transfers);
        self.journal.add_trade(Trade {
            id,
            taker_order: order.id,
            taker: fields.maker,
            owner: order.owner.clone(),
            token: fields.token,
            side: fields.side,
            shares,
            usd,
            fee: fee.total(),
            builder_fee: fee.builder,
            makers,
            status: TradeStatus::Matched,
            tx: self.knobs.reply_with_hashes.then_some(hash),
            matched_at: now,
            updated_at: now,
        });
        self.tell_activity(&tx);
        let fate = self.next_fate();
        self.chain.pending.push(Tx { trade: Some(number), fate, ..tx });
        self.book_fill(order.id, fields.side, (usd, shares), number, fee.total());
        for fill in fills {
            self.book_fill(fill.order, fill.side, (fill.maker_usd, fill.shares), number, Usd::ZERO);
            self.close_if_filled(fill.order);
            self.reserve_rest(fill.order);
            self.tell_order(fill.order, OrderStep::Update);
        }
        let (price, side, token) =
            (Price::of(usd, shares, Rounding::Down).unwrap_or_default(), fields.side, fields.token);
        self.prices.note(token, price, now);
        self.tell(Event::LastTrade { token, side, price, shares, trade: number });
        let tx = self.knobs.reply_with_hashes.then_some(hash);
        self.tell(Event::Trade { trade: number, status: TradeStatus::Matched, tx });
        number
    }

    fn next_fate(&mut self) -> Fate {
        match self.faults.take(FaultTarget::Settlement, |_| true).map(|fault| fault.kind) {
            Some(FaultKind::Retrying) => Fate::Retry,
            Some(FaultKind::Failed) => Fate::Fail,
            _ => Fate::Mine,
        }
    }

    fn book_fill(&mut self, id: OrderId, side: Side, (usd, shares): (Usd, Shares), trade: usize, fee: Usd) {
        let Some(record) = self.journal.orders.get_mut(&id) else { return };
        let (gave, got) = match side {
            Side::Buy => (usd.0, shares.0),
            Side::Sell => (shares.0, usd.0),
        };
        record.filled_maker = record.filled_maker.saturating_add(gave);
        record.filled_taker = record.filled_taker.saturating_add(got);
        record.fee.0 = record.fee.0.saturating_add(fee.0);
        record.trades.push(trade);
    }

    fn close_if_filled(&mut self, id: OrderId) {
        let Some(record) = self.journal.orders.get_mut(&id) else { return };
        if record.filled_shares() < record.shares() {
            return;
        }
        record.state = OrderState::Matched;
        record.place = None;
        let (owner, expires) = (record.owner.clone(), record.expires_at());
        self.journal.forget_live(&owner, id);
        if let Some(at) = expires {
            self.expiries.remove(&(at, id));
        }
    }

    /// Adds a transaction of a party that is no client: its balances move at once, like a match's.
    pub(super) fn submit(&mut self, tx: Tx) {
        self.ledger.apply(&tx.transfers);
        self.overlook(&tx.transfers);
        self.tell_activity(&tx);
        self.chain.pending.push(tx);
    }

    /// Gives back what a transaction moved.
    pub(super) fn undo(&mut self, tx: &Tx) {
        self.ledger.reverse(&tx.transfers);
        if tx.trade.is_none() {
            let back: Vec<Transfer> = tx
                .transfers
                .iter()
                .map(|moved| Transfer { from: moved.to, to: moved.from, ..*moved })
                .collect();
            self.overlook(&back);
        }
    }

    /// Mines a block now.
    pub fn mine(&mut self, now: Timestamp) -> u64 {
        self.now = now;
        let candidates = std::mem::take(&mut self.chain.pending);
        let txs = self.ready(candidates);
        let number = self.add_block(now.seconds(), txs, now);
        self.confirm();
        number
    }

    /// The transactions that go into the next block. The others wait, or fail: by their fate, or because
    /// what they move is not there, as when an earlier one failed.
    fn ready(&mut self, candidates: Vec<Tx>) -> Vec<Tx> {
        let mut txs = Vec::new();
        let (mut moved, mut spent) = (BTreeMap::new(), BTreeMap::new());
        for mut tx in candidates {
            let allowances = self.allowances_after(&tx, &spent);
            match (tx.fate, allowances) {
                (Fate::Mine, Some(left)) if self.is_covered(&tx, &mut moved) => {
                    spent.extend(left.iter().copied());
                    if tx.trade.is_some() {
                        tx.writes = left;
                    }
                    txs.push(tx);
                }
                (Fate::Mine, _) if !self.chain.pending.is_empty() => self.chain.pending.push(tx),
                (Fate::Mine | Fate::Fail, _) => {
                    self.note_trade(&tx, TradeStatus::Failed);
                    self.undo(&tx);
                }
                (Fate::Retry, _) => {
                    self.note_trade(&tx, TradeStatus::Retrying);
                    tx.hash = TxHash(self.random());
                    tx.fate = Fate::Mine;
                    self.chain.pending.push(tx);
                }
                (Fate::Wait(blocks), _) => {
                    tx.fate = blocks.checked_sub(1).filter(|left| *left > 0).map_or(Fate::Mine, Fate::Wait);
                    self.chain.pending.push(tx);
                }
            }
        }
        txs
    }

    /// Whether everybody has on chain what this transaction takes, after those before it in the block;
    /// `moved` keeps the sums of the block.
    fn is_covered(&self, tx: &Tx, moved: &mut BTreeMap<(Address, Asset), i64>) -> bool {
        let head = self.chain.head();
        let mut after: BTreeMap<(Address, Asset), i64> = BTreeMap::new();
        for transfer in &tx.transfers {
            for (wallet, amount) in
                [(transfer.from, transfer.amount.saturating_neg()), (transfer.to, transfer.amount)]
            {
                let key = (wallet, transfer.asset);
                let sum = after.entry(key).or_insert_with(|| moved.get(&key).copied().unwrap_or(0));
                *sum = sum.saturating_add(amount);
            }
        }
        let covered = after.iter().all(|((wallet, asset), change)| {
            matches!(*wallet, HOUSE | NOBODY)
                || self.chain.history.at(*wallet, *asset, head).saturating_add(*change) >= 0
        });
        if covered {
            moved.extend(after);
        }
        covered
    }

    fn note_trade(&mut self, tx: &Tx, status: TradeStatus) {
        if let Some(trade) = tx.trade {
            self.set_trade_status(trade, status, Some(tx.hash));
        }
    }

    fn add_block(&mut self, timestamp: i64, txs: Vec<Tx>, now: Timestamp) -> u64 {
        let writes: Vec<Write> = txs.iter().flat_map(|tx| tx.writes.iter().copied()).collect();
        let seen = self.seen_of(&writes);
        let number = self.chain.push(timestamp, txs);
        self.overlook_allowances(seen);
        let visible_at = now.plus(self.knobs.data_lag());
        let Some(block) = self.chain.block(number) else { return number };
        let mut settled = Vec::new();
        for tx in &block.txs {
            for row in &tx.rows {
                let timestamp = block.timestamp;
                self.data.push(IndexedRow { row: *row, block: number, tx: tx.hash, timestamp, visible_at });
            }
            settled.extend(tx.trade.map(|trade| (trade, tx.hash)));
        }
        for (trade, tx) in settled {
            self.set_trade_status(trade, TradeStatus::Mined, Some(tx));
        }
        number
    }

    /// Height of the newest final block.
    #[must_use]
    pub fn finalized(&self) -> u64 {
        self.chain.head().saturating_sub(self.knobs.finality_blocks).max(self.chain.first())
    }

    fn confirm(&mut self) {
        let finalized = self.finalized();
        while self.confirmed < finalized {
            self.confirmed = self.confirmed.saturating_add(1);
            let Some(block) = self.chain.block(self.confirmed) else { break };
            let settled: Vec<_> =
                block.txs.iter().filter_map(|tx| tx.trade.map(|trade| (trade, tx.hash))).collect();
            for (trade, tx) in settled {
                self.set_trade_status(trade, TradeStatus::Confirmed, Some(tx));
            }
        }
    }

    /// Replaces the newest `depth` blocks by as many others with the same transactions at other log
    /// indices, except as told, and adds one on top.
    ///
    /// # Errors
    /// [`WorldError::Invalid`] when the depth is zero or reaches a final block, or a named
    /// transaction is in none of the blocks.
    pub fn reorganise(&mut self, now: Timestamp, spec: &ReorgSpec) -> Result<ReorgReport, WorldError> {
        self.now = now;
        let removable = self.chain.head().saturating_sub(self.finalized());
        if spec.depth == 0 || spec.depth > removable {
            return Err(WorldError::Invalid(format!(
                "depth {} is not possible: 1 to {removable} blocks are not final",
                spec.depth
            )));
        }
        let fates = self.reorg_fates(spec)?;
        let dropped = self.chain.rewind(usize::try_from(spec.depth).unwrap_or(usize::MAX));
        self.data.rewind(self.chain.head());
        let mut report = ReorgReport::default();
        let mut delayed = Vec::new();
        for block in dropped {
            let mut txs = Vec::new();
            for mut tx in block.txs {
                match fates.get(&tx.hash) {
                    Some(ReorgFate::Drop) => {
                        self.note_trade(&tx, TradeStatus::Failed);
                        self.undo(&tx);
                        report.dropped.push(tx.hash);
                    }
                    Some(ReorgFate::Delay) => {
                        self.note_trade(&tx, TradeStatus::Matched);
                        tx.fate = Fate::Wait(1);
                        report.delayed.push(tx.hash);
                        delayed.push(tx);
                    }
                    Some(ReorgFate::Replace) => {
                        let old = tx.hash;
                        self.note_trade(&tx, TradeStatus::Retrying);
                        tx.hash = TxHash(self.random());
                        report.replaced.push((old, tx.hash));
                        txs.push(tx);
                    }
                    None => txs.push(tx),
                }
            }
            let txs = self.ready(txs);
            self.add_block(block.timestamp, txs, now);
        }
        self.chain.pending.splice(0..0, delayed);
        report.head = self.mine(now);
        Ok(report)
    }

    fn reorg_fates(&self, spec: &ReorgSpec) -> Result<BTreeMap<TxHash, ReorgFate>, WorldError> {
        let first = self.chain.head().saturating_sub(spec.depth).saturating_add(1);
        let newest = (first..=self.chain.head())
            .filter_map(|number| self.chain.block(number))
            .flat_map(|block| block.txs.iter().map(|tx| tx.hash))
            .last();
        let mut fates = BTreeMap::new();
        let lists = [
            (&spec.drop, ReorgFate::Drop),
            (&spec.replace, ReorgFate::Replace),
            (&spec.delay, ReorgFate::Delay),
        ];
        for (names, fate) in lists {
            for name in names {
                let hash = match name {
                    TxName::Last => newest,
                    TxName::Hash(hash) => {
                        self.chain.tx(hash).filter(|(block, _)| block.number >= first).map(|_| *hash)
                    }
                };
                let hash = hash.ok_or_else(|| {
                    WorldError::Invalid(format!(
                        "transaction {name:?} is not in the newest {} blocks",
                        spec.depth
                    ))
                })?;
                fates.insert(hash, fate);
            }
        }
        Ok(fates)
    }
}

/// A transaction named in a control request: its hash, or `"last"`.
#[derive(Clone, Copy, Debug, PartialEq, Eq, serde::Deserialize)]
#[serde(try_from = "String")]
pub enum TxName {
    /// By hash.
    Hash(TxHash),
    /// The newest one in the blocks concerned.
    Last,
}

impl TryFrom<String> for TxName {
    type Error = domain::ids::IdError;

    fn try_from(text: String) -> Result<Self, Self::Error> {
        if text == "last" { Ok(Self::Last) } else { text.parse().map(Self::Hash) }
    }
}

/// What becomes of the transactions of replaced blocks. Those not named are mined again.
#[derive(Clone, Debug, Default, PartialEq, Eq, serde::Deserialize)]
#[serde(default, deny_unknown_fields)]
pub struct ReorgSpec {
    /// Blocks to replace.
    pub depth: u64,
    /// Left out for ever; a client's trade fails.
    pub drop: Vec<TxName>,
    /// Mined again under another hash.
    pub replace: Vec<TxName>,
    /// Left out of the new blocks, mined after them.
    pub delay: Vec<TxName>,
}

/// What a reorganisation did.
#[derive(Clone, Debug, Default, PartialEq, Eq, serde::Serialize)]
pub struct ReorgReport {
    /// New head.
    pub head: u64,
    /// Left out for ever.
    pub dropped: Vec<TxHash>,
    /// Old and new hashes.
    pub replaced: Vec<(TxHash, TxHash)>,
    /// To be mined later.
    pub delayed: Vec<TxHash>,
}

#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum ReorgFate {
    Drop,
    Replace,
    Delay,
}
