//! What the engine needs of the world. Every trait here is implemented by an adapter and by the
//! simulation's adversary, and has a conformance suite in `testkit`.

pub mod dead_letters;
pub mod detection;
pub mod execution;
pub mod feeds;
pub mod following;
pub mod gateway;
pub mod live;
pub mod paper;
pub mod queue;
pub mod reports;
pub mod secrets;
pub mod store;
pub mod tasks;
pub mod venue;
pub mod wallets;
pub mod witness;
