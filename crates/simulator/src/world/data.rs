//! Rows of the Data API: one per fill, split, merge, conversion and redemption, by wallet, with the delay of an
//! indexer. Owns the rows; never decides what happened.

use std::collections::BTreeMap;

use domain::{Address, ConditionId, Shares, Side, Timestamp, TokenId, TxHash, Usd};

/// What a row is about.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum RowKind {
    /// A fill.
    Trade {
        /// Token.
        token: TokenId,
        /// Side of the wallet.
        side: Side,
        /// Whether the wallet was the taker.
        taker: bool,
    },
    /// Dollars became shares of both outcomes.
    Split,
    /// Shares of both outcomes became dollars.
    Merge,
    /// Shares of one outcome of a neg-risk event became shares of its others.
    Conversion,
    /// A redemption of all shares of a condition.
    Redeem,
}

impl RowKind {
    /// The activity type on the wire.
    #[must_use]
    pub const fn name(self) -> &'static str {
        match self {
            Self::Trade { .. } => "TRADE",
            Self::Split => "SPLIT",
            Self::Merge => "MERGE",
            Self::Conversion => "CONVERSION",
            Self::Redeem => "REDEEM",
        }
    }
}

/// A row before it is mined.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Row {
    /// Wallet.
    pub wallet: Address,
    /// Condition.
    pub condition: ConditionId,
    /// What.
    pub kind: RowKind,
    /// Shares.
    pub shares: Shares,
    /// Dollars.
    pub usd: Usd,
}

/// A row with its transaction.
#[derive(Clone, Copy, Debug)]
pub struct IndexedRow {
    /// The row.
    pub row: Row,
    /// Height of its block.
    pub block: u64,
    /// Its transaction.
    pub tx: TxHash,
    /// Unix seconds of its block.
    pub timestamp: i64,
    /// When the indexer shows it.
    pub visible_at: Timestamp,
}

/// All rows in the order of the chain.
#[derive(Debug, Default)]
pub struct DataIndex {
    rows: Vec<IndexedRow>,
    by_wallet: BTreeMap<Address, Vec<usize>>,
}

impl DataIndex {
    /// Adds a row of the newest block.
    pub fn push(&mut self, row: IndexedRow) {
        self.by_wallet.entry(row.row.wallet).or_default().push(self.rows.len());
        self.rows.push(row);
    }

    /// Forgets rows of blocks above `head`.
    pub fn rewind(&mut self, head: u64) {
        while self.rows.last().is_some_and(|row| row.block > head) {
            if let Some(row) = self.rows.pop()
                && let Some(indices) = self.by_wallet.get_mut(&row.row.wallet)
            {
                indices.pop();
            }
        }
    }

    /// Every wallet that has a row, visible or not.
    pub fn wallets(&self) -> impl Iterator<Item = Address> {
        self.by_wallet.keys().copied()
    }

    /// Visible rows, newest first, each with its number: those of one wallet, or all.
    pub fn newest(
        &self,
        wallet: Option<Address>,
        now: Timestamp,
    ) -> Box<dyn Iterator<Item = (usize, &IndexedRow)> + '_> {
        let numbers: Box<dyn Iterator<Item = usize> + '_> = match wallet {
            Some(wallet) => Box::new(self.by_wallet.get(&wallet).into_iter().flatten().rev().copied()),
            None => Box::new((0..self.rows.len()).rev()),
        };
        Box::new(
            numbers
                .filter_map(|number| self.rows.get(number).map(|row| (number, row)))
                .filter(move |(_, row)| row.visible_at <= now),
        )
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn row(wallet: u8, block: u64, visible: i64) -> IndexedRow {
        let condition = ConditionId::from_slice(&[3; 32]).unwrap();
        let row = Row {
            wallet: Address([wallet; 20]),
            condition,
            kind: RowKind::Redeem,
            shares: Shares(1),
            usd: Usd(1),
        };
        IndexedRow { row, block, tx: TxHash([1; 32]), timestamp: 0, visible_at: Timestamp(visible) }
    }

    #[test]
    fn rows_lag_and_can_be_forgotten() {
        let mut index = DataIndex::default();
        index.push(row(1, 5, 10));
        index.push(row(2, 5, 10));
        index.push(row(1, 6, 20));
        let numbers = |index: &DataIndex, wallet: Option<u8>, now| {
            let wallet = wallet.map(|byte| Address([byte; 20]));
            index.newest(wallet, Timestamp(now)).map(|(number, _)| number).collect::<Vec<_>>()
        };
        assert_eq!(numbers(&index, None, 9), Vec::<usize>::new());
        assert_eq!(numbers(&index, None, 19), [1, 0]);
        assert_eq!(numbers(&index, Some(1), 20), [2, 0]);
        index.rewind(5);
        assert_eq!(numbers(&index, Some(1), 99), [0]);
        index.push(row(1, 6, 20));
        assert_eq!(numbers(&index, Some(1), 99), [2, 0]);
    }
}
