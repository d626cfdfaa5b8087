//! The rules of copy trading: pure types and functions, no IO.
//!
//! Everything that decides about money is in this crate and can be read and tested without a network,
//! a database or a clock. It never imports an async runtime, SQL, HTTP or a chain library.
#![cfg_attr(
    not(test),
    deny(clippy::arithmetic_side_effects, clippy::float_arithmetic, clippy::indexing_slicing)
)]

mod action;
pub mod clock;
pub mod cycle;
pub mod decide;
pub mod downtime;
pub mod exits;
pub mod ids;
pub mod lifecycle;
pub mod market;
pub mod money;
pub mod order;
pub mod policy;
pub mod position;
pub mod skip;
pub mod trade;
pub mod wallet_action;

pub use clock::{Clock, Timestamp};
pub use ids::{Address, ConditionId, Hash, OrderId, TokenId, TxHash};
pub use market::{Book, FeeSchedule, Level, Market, TopOfBook};
pub use money::{OrderAmounts, Price, Rounding, Shares, Side, TickSize, Usd};
pub use order::{KeyRef, MarketOrderType, OrderPlan, OrderType, TradingAccount, WalletKind};
pub use wallet_action::{Redemption, RelayPlan, TransactionPlan, WalletAction};
