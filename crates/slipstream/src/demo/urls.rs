//! Where a simulator listens, as it is announced and passed on.

use std::sync::Arc;

use anyhow::Context;
use domain::Clock;
use serde::{Deserialize, Serialize};
use simulator::{Simulator, SimulatorConfig};

/// Time between blocks of the demo's chain; Polygon takes two seconds.
const BLOCK_MS: u64 = 250;

/// Where a simulator listens.
#[derive(Clone, Debug, Serialize, Deserialize)]
pub struct SimulatorUrls {
    /// Order book service.
    pub clob: String,
    /// Data API.
    pub data: String,
    /// Polygon JSON-RPC: its providers, separated by commas.
    pub rpc: String,
    /// Gamma API.
    #[serde(default)]
    pub gamma: String,
    /// Relayer.
    #[serde(default)]
    pub relayer: String,
    /// Live trade feed; empty for none.
    #[serde(default)]
    pub live: String,
    /// Control API.
    pub control: String,
}

impl SimulatorUrls {
    /// Where this one listens.
    #[must_use]
    pub fn of(running: &simulator::Running) -> Self {
        Self {
            clob: running.clob_url.clone(),
            data: running.data_url.clone(),
            rpc: running.rpc_urls.join(","),
            gamma: running.gamma_url.clone(),
            relayer: running.relayer_url.clone(),
            live: running.live_url.clone(),
            control: running.control_url.clone(),
        }
    }
}

/// A simulator of the demo's own, in this process.
pub(super) async fn start_simulator(
    seed: u64,
    clock: &Arc<dyn Clock>,
) -> anyhow::Result<(SimulatorUrls, Option<simulator::Running>)> {
    let config =
        SimulatorConfig { seed, block_interval_ms: BLOCK_MS, rpc_listeners: 2, ..SimulatorConfig::default() };
    let running = Simulator::start(config, Arc::clone(clock)).await.context("the simulator cannot listen")?;
    Ok((SimulatorUrls::of(&running), Some(running)))
}
