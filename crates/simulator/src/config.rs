//! What can be turned on a simulated venue, and what it is by default.

use std::time::Duration;

use domain::{OrderId, TxHash};
use serde::{Deserialize, Serialize};

/// How a simulator starts. Every field has a default.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(default, deny_unknown_fields)]
pub struct SimulatorConfig {
    /// Seed of every made-up value: API keys, hashes, trade ids. Default 1.
    pub seed: u64,
    /// Port of the CLOB on 127.0.0.1; 0 picks a free one. Default 0.
    pub clob_port: u16,
    /// Port of the Data API. Default 0.
    pub data_port: u16,
    /// Port of the Polygon JSON-RPC. Default 0.
    pub rpc_port: u16,
    /// Port of the Gamma API. Default 0.
    pub gamma_port: u16,
    /// Port of the relayer. Default 0.
    pub relayer_port: u16,
    /// Port of the control API. Default 0.
    pub control_port: u16,
    /// Milliseconds between blocks; 0 = only when told. Default 2000, as on Polygon.
    pub block_interval_ms: u64,
    /// Number of the first block. Default 90,000,000.
    pub first_block: u64,
    /// Everything that may also be changed while it runs.
    pub knobs: Knobs,
}

impl Default for SimulatorConfig {
    fn default() -> Self {
        Self {
            seed: 1,
            clob_port: 0,
            data_port: 0,
            rpc_port: 0,
            gamma_port: 0,
            relayer_port: 0,
            control_port: 0,
            block_interval_ms: 2_000,
            first_block: 90_000_000,
            knobs: Knobs::default(),
        }
    }
}

/// For how long a known order id is answered with `Duplicated`: an open question about the real venue.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum DuplicateMemory {
    /// For ever.
    Ever,
    /// Only while it rests on the book.
    WhileLive,
    /// This many milliseconds after it first reached the book.
    Millis(u64),
}

/// Behaviour that may be changed while the venue runs (`POST /knobs`).
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(default, deny_unknown_fields)]
pub struct Knobs {
    /// Check order and login signatures. Off only for load tests. Default true.
    pub verify_signatures: bool,
    /// How far the timestamp of L1 and L2 headers may be off, in seconds. Default 60.
    pub auth_skew_s: u64,
    /// Oldest acceptable order timestamp in seconds; none = any, as nothing is documented. Default none.
    pub max_timestamp_age_s: Option<u64>,
    /// How long ids are remembered as duplicates. Default for ever.
    pub duplicated_for: DuplicateMemory,
    /// Whether an id that is no longer a duplicate may execute what it has not filled yet. Else it is
    /// killed again. Default false.
    pub killed_fak_executes_again: bool,
    /// Milliseconds until an order or trade is visible to look-ups. Default 0.
    pub lookup_lag_ms: u64,
    /// Whether look-ups of orders leave out orders that are no longer live. Default false.
    pub lookup_hides_finished: bool,
    /// Whether statuses look like `ORDER_STATUS_MATCHED` and sizes of orders like `5000000`. Default false.
    pub prefixed_statuses: bool,
    /// Whether the reply to an order names transaction hashes at once. Default false: the asynchronous
    /// pipeline, which knows trade ids only.
    pub reply_with_hashes: bool,
    /// Blocks on top of a block until it is final. Default 3.
    pub finality_blocks: u64,
    /// Milliseconds from a block to its rows in the Data API. Default 1000.
    pub data_lag_ms: u64,
    /// Transactions of which the Data API shows no row. Default none.
    pub hidden_rows: Vec<TxHash>,
    /// Rows with which a following page of the Data API repeats the end of the page before. Default 0.
    pub page_overlap: usize,
    /// How far back v2 feeds of the Data API reach when nobody asks for a start, in seconds. Default three years,
    /// as documented; the feed of all wallets reaches back two months.
    pub data_window_s: i64,
    /// Widest block range of `eth_getLogs`. Default 1000.
    pub max_log_range: u64,
    /// Orders whose `OrderFilled` logs the JSON-RPC leaves out, as a provider that lost them would. Default
    /// none.
    pub hidden_fills: Vec<OrderId>,
    /// Whether wallets redeem shares of resolved markets themselves. Default false: through the collateral
    /// adapters, which are then the redeemers that the logs name.
    pub redeem_directly: bool,
    /// Blocks of state that `eth_call` can see; none = all. Default none.
    pub state_blocks: Option<u64>,
}

impl Default for Knobs {
    fn default() -> Self {
        Self {
            verify_signatures: true,
            auth_skew_s: 60,
            max_timestamp_age_s: None,
            duplicated_for: DuplicateMemory::Ever,
            killed_fak_executes_again: false,
            lookup_lag_ms: 0,
            lookup_hides_finished: false,
            prefixed_statuses: false,
            reply_with_hashes: false,
            finality_blocks: 3,
            data_lag_ms: 1_000,
            hidden_rows: Vec::new(),
            page_overlap: 0,
            data_window_s: 3 * 365 * 86_400,
            max_log_range: 1_000,
            hidden_fills: Vec::new(),
            redeem_directly: false,
            state_blocks: None,
        }
    }
}

impl Knobs {
    /// Delay of look-ups.
    #[must_use]
    pub const fn lookup_lag(&self) -> Duration {
        Duration::from_millis(self.lookup_lag_ms)
    }

    /// Delay of the Data API.
    #[must_use]
    pub const fn data_lag(&self) -> Duration {
        Duration::from_millis(self.data_lag_ms)
    }
}
