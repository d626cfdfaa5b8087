//! Where a simulator listens, as it is announced and passed on.

use serde::{Deserialize, Serialize};

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
            control: running.control_url.clone(),
        }
    }
}
