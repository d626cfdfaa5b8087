//! The second core, beside the engine: what an operator or a remedy sees of an installation, and what it moves. Health,
//! breakers, what is measured. Over ports and an injected clock; no SQL, no HTTP, and nothing of the venue.

pub mod alerts;
pub mod breaker;
pub mod breakers;
pub mod certificate;
pub mod diagnosis;
pub mod flags;
pub mod health;
pub mod limits;
pub mod metrics;
pub mod ports;
