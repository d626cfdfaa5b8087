//! The copying engine: detect → decide → enqueue → execute → settle → report, over ports.
//!
//! It knows no SQL, no HTTP and no venue's JSON. Adapters implement its [`ports`]; the binary puts
//! them together.

pub mod account_channels;
pub mod crash_points;
pub mod deadline;
pub mod facts;
pub mod failure_watch;
pub mod fair;
pub mod head_watch;
pub mod in_vain;
pub mod limits;
pub mod live_books;
pub mod market_cache;
pub mod open_exits;
pub mod orders;
pub mod plausible;
pub mod ports;
pub mod redeeming;
pub mod redemptions;
pub mod refusals;
pub mod rescuer;
pub mod salt;
pub mod settlement;
pub mod sources;
pub mod steady_time;
pub mod tasks;
pub mod trades;
mod waits;
pub mod watcher;
pub mod worker;
