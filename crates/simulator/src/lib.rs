//! A Polymarket that behaves: CLOB, Data API and Polygon JSON-RPC on real sockets, with faults on
//! command. Its answers are a function of its seed and of the order of requests.
//!
//! [`World`] is the deterministic core, without async, IO or a clock. It shares no code with the
//! client's venue adapter: it hashes, verifies and serialises by itself, so that a mistake on the wire
//! cannot cancel itself out.

pub mod config;
pub mod contracts;
mod http;
pub mod limits;
pub mod relay_signing;
pub mod signing;
pub mod wire;
pub mod world;

pub use config::{DuplicateMemory, Knobs, Profile, SimulatorConfig};
pub use http::{
    Outage, Running, Service, Simulator, WorldHandle,
    rpc_view::{Emptied, RpcView},
};
pub use world::World;
