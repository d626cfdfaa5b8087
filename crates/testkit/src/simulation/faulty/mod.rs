//! Wrappers around ports through which planned faults strike. They change no answer but by the plan.

mod layer;
mod outside;
mod store;

pub use layer::{Layer, Layered};
pub use outside::{FaultyQueue, FaultyVenue};
pub use store::FaultyStore;
