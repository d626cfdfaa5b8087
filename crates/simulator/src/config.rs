//! What can be turned on a simulated venue, and what it is by default.

use std::time::Duration;

use domain::{OrderId, TxHash, Usd};
use serde::{Deserialize, Serialize};

use crate::world::rates::Rates;

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
    /// Port of the live trade feed. Default 0.
    pub live_port: u16,
    /// Providers of the JSON-RPC over the same chain, each on a port of its own. Default 1.
    pub rpc_listeners: usize,
    /// Port of the control API. Default 0.
    pub control_port: u16,
    /// Milliseconds between blocks; 0 = only when told. Default 2000, as on Polygon.
    pub block_interval_ms: u64,
    /// Number of the first block. Default 90,000,000.
    pub first_block: u64,
    /// How much of a venue it is. Default full.
    pub profile: Profile,
    /// Everything that may also be changed while it runs.
    pub knobs: Knobs,
}

/// How much of a venue a simulator is.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum Profile {
    /// All of it.
    #[default]
    Full,
    /// The same wire and the same numbers in the replies, but no signature is checked and every order is filled
    /// at its limit price by the house, whatever its wallet has: for load tests, in which the venue should cost
    /// little.
    Stub,
}

/// Where the venue thinks that requests come from.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(default, deny_unknown_fields)]
pub struct Geo {
    /// What `/api/geoblock` says.
    pub blocked: bool,
    /// Orders that are refused with 403.
    pub refuses: GeoRefusal,
    /// Country.
    pub country: String,
    /// Region.
    pub region: String,
}

impl Default for Geo {
    fn default() -> Self {
        Self { blocked: false, refuses: GeoRefusal::None, country: "IE".to_owned(), region: "L".to_owned() }
    }
}

/// What a region may not do.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum GeoRefusal {
    /// Nothing is refused.
    #[default]
    None,
    /// Buys are refused.
    Buys,
    /// All orders are refused.
    All,
    /// All orders are refused before they reach the venue, with a page of HTML, as Cloudflare does.
    Edge,
}

/// A refusal of every order while it is set, for the texts that nothing else here brings about.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct RefuseWith {
    /// HTTP status.
    pub status: u16,
    /// Text of `error`.
    pub error: String,
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
            live_port: 0,
            rpc_listeners: 1,
            control_port: 0,
            block_interval_ms: 2_000,
            first_block: 90_000_000,
            profile: Profile::Full,
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
    /// By how many seconds the clock of the order book service is ahead of this machine's. Default 0.
    pub clock_ahead_s: i64,
    /// The version of orders that it names and takes. Orders are of version 2. Default 2.
    pub order_version: u32,
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
    /// Whether websockets send every event in a list of its own. Default false: one event per frame, but for
    /// the books of a subscription.
    pub frames_in_lists: bool,
    /// Whether the reply to an order names transaction hashes at once. Default false: the asynchronous
    /// pipeline, which knows trade ids only.
    pub reply_with_hashes: bool,
    /// Blocks on top of a block until it is final. Default 3.
    pub finality_blocks: u64,
    /// Milliseconds from a block to its rows in the Data API. Default 1000.
    pub data_lag_ms: u64,
    /// Whether the live trade feed tells nothing of type `trades`, only `orders_matched`, as in March 2026. Default
    /// false.
    pub live_without_trades: bool,
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
    /// Whether sizes of orders look like `5000000` although statuses are plain. Default false.
    pub fixed_sizes: bool,
    /// Whether a trade that is in no block yet is `MATCHED_NOT_BROADCASTED`. Default false.
    pub shows_not_broadcasted: bool,
    /// Least dollars of a buy that takes at once, in millionths; none = any, as nothing is documented.
    /// Default none.
    pub min_marketable_buy: Option<Usd>,
    /// Whether orders that never rest are held to the market's minimum of shares too: an open question. Default true.
    pub minimum_of_immediate: bool,
    /// Milliseconds by which every FAK that would take is answered `delayed` and matched later. Default 0.
    pub fak_delay_ms: u64,
    /// Whether the venue notices deposits, withdrawals and approvals only after
    /// `GET /balance-allowance/update`. Default false.
    pub balances_lag: bool,
    /// Whether what a match brought can be spent only once the match is in a block. Default false.
    pub unmined_is_locked: bool,
    /// Whether a refused order of a batch says `"success": true`, as it does in post-only mode. Default true.
    pub refused_in_batch_is_success: bool,
    /// Where requests come from. Default a place without restrictions.
    pub geo: Geo,
    /// A refusal of every order. Default none.
    pub refuse_orders_with: Option<RefuseWith>,
    /// Whether an order that may take, finds nobody and rests is answered `unmatched`: what that status means is an open
    /// question. Default false: `live`.
    pub resting_is_unmatched: bool,
    /// Rows per page of the order book's look-ups of orders and trades. Default 500.
    pub clob_page: usize,
    /// Rate limits. Default off.
    pub rates: Rates,
}

impl Default for Knobs {
    fn default() -> Self {
        Self {
            verify_signatures: true,
            auth_skew_s: 60,
            clock_ahead_s: 0,
            order_version: 2,
            max_timestamp_age_s: None,
            duplicated_for: DuplicateMemory::Ever,
            killed_fak_executes_again: false,
            lookup_lag_ms: 0,
            lookup_hides_finished: false,
            prefixed_statuses: false,
            frames_in_lists: false,
            reply_with_hashes: false,
            finality_blocks: 3,
            data_lag_ms: 1_000,
            live_without_trades: false,
            hidden_rows: Vec::new(),
            page_overlap: 0,
            data_window_s: 3 * 365 * 86_400,
            max_log_range: 1_000,
            hidden_fills: Vec::new(),
            redeem_directly: false,
            state_blocks: None,
            fixed_sizes: false,
            shows_not_broadcasted: false,
            min_marketable_buy: None,
            minimum_of_immediate: true,
            fak_delay_ms: 0,
            balances_lag: false,
            unmined_is_locked: false,
            refused_in_batch_is_success: true,
            geo: Geo::default(),
            refuse_orders_with: None,
            resting_is_unmatched: false,
            clob_page: 500,
            rates: Rates::default(),
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
