//! The simulation: the engine whole, on a store, a virtual clock and an adversarial venue, with planned
//! faults at every port call.
//!
//! It owns the venue model, the faults, the explorer and the judge. It never changes the engine: what it
//! breaks on purpose it breaks in wrappers around ports.

mod by_hand;
pub mod doorbell;
mod exits;
pub mod explorer;
pub mod faulty;
pub mod histories;
pub mod judge;
pub mod live_trades;
mod look;
mod merging;
pub mod monitor;
pub mod over;
pub mod planted;
pub mod probe;
mod roles;
pub mod rows;
pub mod scenario;
pub mod shrinking;
pub mod stage;
pub mod tampering;
pub mod user_channel;
pub mod venue;
pub mod world;
