//! The venue adapter: builds orders, talks to Polymarket's services, reads its chain. Implements the
//! engine's ports.
//!
//! Knows the venue's JSON and nothing of policies, stores or queues. Holds API credentials in memory,
//! never a key. Every answer is hostile until read: sizes are capped, decoding is strict, and what cannot
//! be understood is a typed error.
#![cfg_attr(
    not(test),
    deny(clippy::arithmetic_side_effects, clippy::float_arithmetic, clippy::indexing_slicing)
)]

mod account_feed;
mod account_orders;
mod answers;
mod auth;
mod balances;
mod builder;
mod cancel;
mod clob;
mod company;
pub mod contracts;
mod data_api;
mod data_rows;
mod doorbell;
mod eoa;
mod explain;
pub mod frames;
mod geoblock;
mod heartbeat;
mod http;
mod json;
pub mod limits;
mod live_feed;
pub mod logins;
mod logs;
mod lookup;
mod market;
mod market_feed;
pub mod moves;
mod order;
mod pace;
mod pacer;
mod people;
mod post;
mod providers;
mod redeemer;
pub mod relayer;
mod relayer_body;
mod relayer_rows;
mod reply;
mod rpc;
pub mod socket;
mod texts;
mod timely;
mod venue_limits;
pub mod wallets;

pub use account_feed::AccountSockets;
pub use answers::{AnswerWatch, Answers, End, Tally, Topic};
pub use clob::Clob;
pub use company::{Company, Members};
pub use data_api::DataApi;
pub use doorbell::Doorbells;
pub use eoa::Eoa;
pub use geoblock::{Geoblock, Region};
pub use heartbeat::Heart;
pub use http::{NoClient, client, local_client};
pub use live_feed::LiveSocket;
pub use market_feed::MarketSockets;
pub use people::{People, Period, Person, Standing};
pub use providers::{
    ChainProvider, JsonRpc, Provider, ProviderHealth, Providers, RpcUrl, RpcUrlError, rpc_urls,
};
pub use redeemer::WalletRedeemer;
pub use reply::{read_replies, read_reply};
pub use rpc::Rpc;
pub use texts::{markdown as venue_errors, told_to_say};
pub use venue_limits::{Endpoint, Tier, VenueLimits};

#[cfg(test)]
mod hostile;
#[cfg(test)]
mod test_server;
