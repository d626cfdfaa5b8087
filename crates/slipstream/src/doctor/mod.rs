//! `slipstream doctor`: every dependency and setting with a verdict, what was seen of it, and what to do. Each check is
//! in one place; `account check` uses the same ones. It changes nothing, asks nobody at the terminal, works beside a
//! running process and with a broken configuration, and what it prints may be shown to anybody.

mod accounts;
mod chain;
pub mod command;
mod copying;
mod data;
mod finding;
mod keys;
mod process;
mod report;
mod settings;
pub(crate) mod venue;

pub use finding::{Finding, Verdict};
pub(crate) use keys::look as look_at_keys;
pub use report::Report;
