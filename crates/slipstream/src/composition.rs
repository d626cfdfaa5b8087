//! One place where an engine is put together: the venue's services at some hosts become the ports of a
//! [`Runtime`](crate::runtime::Runtime). Demo, bench, tests and `run` differ in hosts and in the ports they put something
//! else in place of. Starts nothing but what looks after the chain's providers, and decides nothing.

use std::sync::Arc;

use domain::{Clock, Hash};
use eip712::Chain;
use engine::{
    ports::{live::LiveFeed, store::Store, venue::Signer},
    salt::Salts,
};
use polymarket::{
    AnswerWatch, Answers, Clob, Company, DataApi, Geoblock, LiveSocket, VenueLimits, socket::WebSockets,
};
use reqwest::Client;
use signer::{DerivedKeys, LocalSigner};
use zeroize::Zeroizing;

use crate::{chain::ChainProviders, channels::Channels, runtime::Ports, secrets::InstallationSecret};

/// The venue's feed of everybody's trades. Source: npm @polymarket/real-time-data-client 1.4.0.
pub const LIVE_FEED: &str = "wss://ws-live-data.polymarket.com";
/// The venue's channels. Source: docs.polymarket.com, endpoints.
pub const CHANNELS: &str = "wss://ws-subscriptions-clob.polymarket.com";

/// A signer whose throw-away keys are derived from the installation's secret.
#[must_use]
pub fn derived_signer(secret: &InstallationSecret) -> Arc<LocalSigner> {
    let keys = DerivedKeys::new(Zeroizing::new(secret.derive(&[b"keys"])));
    Arc::new(LocalSigner::new(Chain::Polygon, Box::new(keys)))
}

/// Where the venue's services are: origins of HTTP services, addresses of websockets.
#[derive(Clone, Debug, Default)]
pub struct Hosts {
    /// Order book service.
    pub clob: String,
    /// Says where the venue sees this program, when it refuses for that.
    pub geoblock: Option<String>,
    /// Data API.
    pub data: Option<String>,
    /// Books as they change, orders as they are filled.
    pub channels: Option<String>,
    /// Everybody's trades.
    pub live: Option<String>,
    /// Providers of Polygon, separated by commas.
    pub rpc: Option<String>,
}

/// How fast the venue's services are called, and who hears how calls end.
#[derive(Clone, Default)]
pub struct Pace {
    /// The order book service.
    pub clob: Option<VenueLimits>,
    /// The Data API.
    pub data: Option<VenueLimits>,
    /// Those who share the order book service's limits with this process.
    pub company: Option<Arc<Company>>,
    /// Who hears how each call ends.
    pub watch: Option<Arc<dyn AnswerWatch>>,
}

/// What an installation is, before it knows its venue.
pub struct Foundation {
    /// The process's one HTTP client.
    pub client: Client,
    /// Time.
    pub clock: Arc<dyn Clock>,
    /// System of record.
    pub store: Arc<dyn Store>,
    /// Opens keys.
    pub signer: Arc<dyn Signer>,
    /// Salts.
    pub salts: Arc<dyn Salts>,
    /// Spreads the pauses between attempts to connect.
    pub seed: u64,
}

/// Ports of an engine, and what else is asked of the same services.
pub struct Composed {
    /// Everything that a running engine needs; it redeems nothing by itself.
    pub ports: Ports,
    /// The order book service.
    pub clob: Arc<Clob>,
    /// The chain's providers, where there is a chain.
    pub providers: Option<ChainProviders>,
    /// How the venue's services answer.
    pub answers: Arc<Answers>,
}

impl Foundation {
    /// The engine's ports at these hosts. `builder` is named in every order.
    ///
    /// # Errors
    /// When the list of RPC providers cannot be used.
    pub fn at(&self, hosts: &Hosts, pace: Pace, builder: Option<Hash>) -> anyhow::Result<Composed> {
        let Self { client, clock, store, signer, salts, seed } = self;
        let answers = Arc::new(match pace.watch {
            Some(watch) => Answers::heard_by(watch),
            None => Answers::default(),
        });
        let mut clob =
            Clob::new(client.clone(), &hosts.clob, Chain::Polygon, Arc::clone(signer), Arc::clone(clock))
                .counting(Arc::clone(&answers));
        if let Some(limits) = pace.clob {
            clob = clob.paced(limits);
        }
        if let Some(company) = pace.company {
            clob = clob.among(company);
        }
        if let Some(origin) = &hosts.geoblock {
            clob = clob.with_geoblock(Geoblock::new(client.clone(), origin));
        }
        if let Some(code) = builder {
            clob = clob.with_builder(code);
        }
        let clob = Arc::new(clob);
        let start = |urls: &String| ChainProviders::start(client.clone(), clock, urls);
        let providers = hosts.rpc.as_ref().map(start).transpose()?;
        let history = hosts.data.as_ref().map(|origin| {
            let history = DataApi::new(client.clone(), origin).counting(Arc::clone(&answers));
            match pace.data {
                Some(limits) => history.paced(Arc::clone(clock), limits),
                None => history,
            }
        });
        let listen = |url: &String| {
            let feed = LiveSocket::new(Arc::new(WebSockets), url, Arc::clone(clock), *seed);
            Arc::new(feed) as Arc<dyn LiveFeed>
        };
        let ports = Ports {
            store: Arc::clone(store),
            queue: Arc::new(queue::InProcessQueue::new(Arc::clone(clock))),
            gateway: Arc::clone(&clob) as _,
            markets: Arc::clone(&clob) as _,
            chain: providers.as_ref().map(ChainProviders::reader),
            history: history.map(|history| Arc::new(history) as _),
            redeemer: None,
            live: hosts.live.as_ref().map(listen),
            clock: Arc::clone(clock),
            venue_clock: Arc::clone(&clob) as _,
            salts: Arc::clone(salts),
            channels: hosts.channels.as_ref().map(|origin| Channels::new(origin, &clob, clock, *seed)),
            sharing: None,
            buys_elsewhere: Arc::default(),
        };
        Ok(Composed { ports, clob, providers, answers })
    }
}
