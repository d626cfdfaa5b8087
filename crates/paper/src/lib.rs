//! Paper trading: a venue that fills orders from the real book and moves no money. It is the simulator's matcher behind
//! the engine's ports: orders come as the bytes a venue would get, books through [`MarketData`], and what was matched is
//! kept through [`PaperBook`] before anybody is told.
//!
//! It reads the real market and never writes to the real venue. It opens no key.
//!
//! [`MarketData`]: engine::ports::venue::MarketData
//! [`PaperBook`]: engine::ports::paper::PaperBook
#![cfg_attr(
    not(test),
    deny(clippy::arithmetic_side_effects, clippy::float_arithmetic, clippy::indexing_slicing)
)]

mod judge;
mod limits;
mod redeemer;
mod taken;
mod venue;

use domain::KeyRef;

pub use redeemer::PaperRedeemer;
pub use venue::PaperVenue;

/// What the names of throw-away keys begin with.
const KEYS: &str = "paper:";

/// The name of the throw-away key of an account; the number tells accounts of one label apart.
#[must_use]
pub fn key(label: &str, number: usize) -> KeyRef {
    KeyRef(format!("{KEYS}{label}:{number}"))
}

/// Whether a key is a throw-away one, whose orders never go to the venue.
#[must_use]
pub fn is_paper(key: &KeyRef) -> bool {
    key.0.starts_with(KEYS)
}
