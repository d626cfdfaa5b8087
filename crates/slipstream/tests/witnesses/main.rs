//! Official clients, which we did not write, as witnesses: they trade on the simulator, and orders they sign
//! are compared with ours byte for byte.
//!
//! `./test` installs them (pinned, in `target/tools/witnesses`) and names their folder in
//! `SLIPSTREAM_WITNESSES`; a plain `cargo test` leaves this target out.

#![cfg(test)]

mod books;
mod client;
mod errors;
mod keys;
mod modes;
mod orders;
mod pages;
mod same_bytes;
mod streams;
mod venue;

/// The same scenario for each official client.
macro_rules! witnessed {
    ($($scenario:path => $typescript:ident, $python:ident;)+) => {
        $(
            #[tokio::test(flavor = "multi_thread")]
            async fn $typescript() {
                $scenario($crate::client::Language::TypeScript).await;
            }

            #[tokio::test(flavor = "multi_thread")]
            async fn $python() {
                $scenario($crate::client::Language::Python).await;
            }
        )+
    };
}
pub(crate) use witnessed;
