//! Delivery of intents to workers: inside one process, or over many through a Redis server.
//!
//! It owns two lanes of ids and who waits for them. It never decides what waits (the store does) and keeps
//! nothing that matters: an id that is lost here is announced again by the rescuer.

mod in_process;
mod redis;

pub use self::redis::{BadAddress, ENTRIES, EXITS, RedisQueue};
pub use in_process::InProcessQueue;
