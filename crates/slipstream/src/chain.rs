//! The chain's providers as this process has them: made from a list of URLs, looked after by a task, replaced
//! by command. Never shows more of a URL than its host.

use std::sync::Arc;

use anyhow::Context;
use domain::Clock;
use eip712::Chain;
use engine::ports::{feeds::FeedHealth, venue::ChainReader};
use polymarket::{JsonRpc, Provider, ProviderHealth, Providers, RpcUrl, rpc_urls};
use reqwest::Client;

/// Providers that answer everybody without a key, as the registry of chains lists them. They promise nothing, and each limits
/// how often it may be asked. `polygon-rpc.com` is none any more: it wants a key since February 2026.
///
/// Source: ethereum-lists/chains, `_data/chains/eip155-137.json`; KyberNetwork/kyberswap-interface #3141.
pub const PUBLIC_PROVIDERS: [&str; 3] = [
    "https://polygon-bor-rpc.publicnode.com",
    "https://polygon.drpc.org",
    "https://polygon.gateway.tenderly.co",
];
/// One of the same list that tells of new blocks.
pub const PUBLIC_DOORBELL: &str = "wss://polygon-bor-rpc.publicnode.com";
/// Calls a day to the provider that is asked first, for each block of two seconds: three or four times whether it is there, three
/// for what is in it (fills, redemptions, shares that moved) and once for the final one. Counted at simulated providers with
/// blocks each two seconds and nobody trading; a second provider, the witness, is asked less than half as often. The only place
/// of this figure: `docs/running.md` is compared with it.
pub const CALLS_A_DAY: u64 = 8 * 86_400 / 2;

/// Public providers, as they are listed.
#[must_use]
pub fn public_providers() -> String {
    format!("{} and, to be told of new blocks, {PUBLIC_DOORBELL}", PUBLIC_PROVIDERS.join(", "))
}

/// The pool of a process, and what is needed to replace its list.
#[derive(Clone)]
pub struct ChainProviders {
    pool: Arc<Providers>,
    client: Client,
}

impl ChainProviders {
    /// The providers at these URLs (separated by commas), looked after as long as they are there.
    ///
    /// # Errors
    /// When the list cannot be used.
    pub fn start(client: Client, clock: &Arc<dyn Clock>, urls: &str) -> anyhow::Result<Self> {
        let urls = rpc_urls(urls).context("the list of RPC providers")?;
        let started = Self::of(client, clock, &urls);
        started.pool.hang_doorbells(&doorbells(&urls));
        tokio::spawn(Providers::tend(Arc::downgrade(&started.pool), Arc::clone(clock)));
        Ok(started)
    }

    /// The providers at these URLs, which nobody looks after.
    #[must_use]
    pub fn of(client: Client, clock: &Arc<dyn Clock>, urls: &[RpcUrl]) -> Self {
        let pool = Providers::new(Arc::clone(clock), providers(&client, urls));
        Self { pool, client }
    }

    /// What the engine reads.
    #[must_use]
    pub fn reader(&self) -> Arc<dyn ChainReader> {
        Arc::clone(&self.pool) as Arc<dyn ChainReader>
    }

    /// What else is asked of the chain, as JSON-RPC has it.
    #[must_use]
    pub fn json_rpc(&self) -> Arc<dyn JsonRpc> {
        Arc::clone(&self.pool) as Arc<dyn JsonRpc>
    }

    /// How the websockets among them do, which tell of new blocks.
    #[must_use]
    pub fn doorbells(&self) -> FeedHealth {
        self.pool.doorbells()
    }

    /// Puts another list in place of the one in force, from the next question on.
    pub fn replace(&self, urls: &[RpcUrl]) {
        self.pool.set_providers(providers(&self.client, urls));
        self.pool.hang_doorbells(&doorbells(urls));
    }

    /// How each of them does.
    #[must_use]
    pub fn health(&self) -> Vec<ProviderHealth> {
        self.pool.health()
    }

    /// Asks each of them for its head now.
    pub async fn look(&self) {
        self.pool.look().await;
    }
}

fn providers(client: &Client, urls: &[RpcUrl]) -> Vec<Provider> {
    urls.iter().filter(|url| !url.is_socket()).map(|url| Provider::at(client, url, Chain::Polygon)).collect()
}

fn doorbells(urls: &[RpcUrl]) -> Vec<RpcUrl> {
    urls.iter().filter(|url| url.is_socket()).cloned().collect()
}

#[cfg(test)]
mod tests {
    use super::*;

    /// Three places told three figures.
    #[test]
    fn the_guide_tells_the_same_calls_a_day() {
        let guide = include_str!("../../../docs/running.md");
        let figure = format!("{} calls a day", crate::wording::grouped(CALLS_A_DAY));
        assert_eq!(guide.matches(&figure).count(), 1, "{figure}");
        assert_eq!(guide.matches("calls a day").count(), 1);
    }
}
