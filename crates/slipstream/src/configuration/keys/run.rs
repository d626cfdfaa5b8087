//! Keys of `[run]`: where the data of `slipstream run` is, and where the venue's services are.

use std::{net::SocketAddr, path::PathBuf};

use super::{
    Key,
    Sample::{Default as Or, Example},
    key,
};
use crate::configuration::kind::Kind;

/// `[run]`
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct RunSettings {
    /// Where the data is kept.
    pub data_dir: PathBuf,
    /// Order book service.
    pub clob_url: String,
    /// Data API.
    pub data_url: String,
    /// Gamma.
    pub gamma_url: String,
    /// Says where the venue sees this program.
    pub geoblock_url: String,
    /// Takes transactions of wallets that are contracts.
    pub relayer_url: String,
    /// Where people reach this installation.
    pub public_url: Option<String>,
    /// Where this process tells over HTTP that it is alive.
    pub health_address: Option<SocketAddr>,
    /// What operators elsewhere show to be told everything.
    pub health_token: Option<PathBuf>,
    /// Where an agent for metrics listens for datagrams.
    pub statsd_address: Option<SocketAddr>,
    /// The same on this machine.
    pub statsd_socket: Option<PathBuf>,
}

/// Keys of `[run]`. The hosts are the venue's as its documentation names them (docs.polymarket.com, endpoints).
pub const RUN: &[Key<RunSettings>] = &[
    key(
        "data_dir",
        Or("slipstream-data"),
        Kind::Directory(|run, value| run.data_dir = value),
        "Where the data is kept. Commands find a running process there.",
    ),
    key(
        "clob_url",
        Or("https://clob.polymarket.com"),
        Kind::Origin(|run, value| run.clob_url = value),
        "The venue's order book service: markets, books, orders.",
    ),
    key(
        "data_url",
        Or("https://data-api.polymarket.com"),
        Kind::Origin(|run, value| run.data_url = value),
        "The venue's Data API: what leaders did.",
    ),
    key(
        "gamma_url",
        Or("https://gamma-api.polymarket.com"),
        Kind::Origin(|run, value| run.gamma_url = value),
        "The venue's Gamma API: names of people.",
    ),
    key(
        "geoblock_url",
        Or("https://polymarket.com"),
        Kind::Origin(|run, value| run.geoblock_url = value),
        "Where the venue says whether it trades with the place this program runs at; asked when an order is refused \
         for that.",
    ),
    key(
        "relayer_url",
        Or("https://relayer-v2.polymarket.com"),
        Kind::Origin(|run, value| run.relayer_url = value),
        "The venue's relayer, which carries out what wallets that are contracts sign; `account check` asks it.",
    ),
    key(
        "public_url",
        Example("https://copy.example"),
        Kind::Origin(|run, value| run.public_url = Some(value)),
        "Where people reach this installation, through whatever stands before it: the certificate that is served there is \
         looked at (`slipstream ops status`).",
    ),
    key(
        "health_address",
        Example("127.0.0.1:9010"),
        Kind::Address(|run, value| run.health_address = Some(value)),
        "Where this process answers over HTTP. GET /health/live, for whoever starts it again when it is not alive: 200 while its \
         tasks get on, 503 when one hangs. GET /health/ready: whether it can serve. GET /health and /health/detailed: how \
         everything does, which outside this machine is told without details. Each process of a machine takes a port of its own. \
         Without it nobody listens.",
    ),
    key(
        "health_token",
        Example("health.token"),
        Kind::Secret(|run, path| run.health_token = Some(path)),
        "A file, readable by its owner alone, with what operators elsewhere show (`Authorization: Bearer …`) to be told at \
         `health_address` everything that was seen: 24 letters or more. Without it only this machine is, and not through a proxy.",
    ),
    key(
        "statsd_address",
        Example("127.0.0.1:8125"),
        Kind::Address(|run, value| run.statsd_address = Some(value)),
        "Where an agent takes metrics over UDP, as DogStatsD; sent every ten seconds. docs/metrics.md names them. Whoever scrapes \
         finds the same at `health_address`, GET /metrics.",
    ),
    key(
        "statsd_socket",
        Example("dsd.socket"),
        Kind::File(|run, path| run.statsd_socket = Some(path)),
        "The Unix socket on which an agent of this machine takes them.",
    ),
];
