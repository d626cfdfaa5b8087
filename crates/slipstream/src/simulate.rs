//! `slipstream simulator`: the simulated venue in a process of its own.

use std::{fs, path::PathBuf, process::ExitCode, sync::Arc};

use anyhow::Context;
use simulator::{Profile, Simulator, SimulatorConfig};

use crate::{clock::SystemClock, demo::SimulatorUrls, output::print};

/// Providers of the JSON-RPC, so that one may fail.
const PROVIDERS: usize = 2;

/// Arguments of `simulator`.
#[derive(Debug, clap::Args)]
pub struct SimulatorArgs {
    /// Settings as JSON: ports, first block, profile, knobs. docs/simulator.md lists them.
    #[arg(long, value_name = "FILE")]
    pub settings: Option<PathBuf>,
    /// Seed of its answers [default: 1]
    #[arg(long, allow_negative_numbers = true)]
    pub seed: Option<u64>,
    /// Milliseconds between blocks, 0 = only when told [default: 2000]
    #[arg(long)]
    pub block_ms: Option<u64>,
    /// Providers of its JSON-RPC [default: 2]
    #[arg(long)]
    pub rpc_listeners: Option<u8>,
    /// Port of the order book service [default: a free one]
    #[arg(long)]
    pub clob_port: Option<u16>,
    /// Port of the control API [default: a free one]
    #[arg(long)]
    pub control_port: Option<u16>,
    /// Check no signature and fill every order at its limit: for load tests.
    #[arg(long)]
    pub stub: bool,
}

/// Runs until interrupted. The first line of output is the addresses as JSON.
///
/// # Errors
/// When it cannot listen.
pub async fn run(arguments: &SimulatorArgs) -> anyhow::Result<ExitCode> {
    let config = settings(arguments)?;
    let running =
        Simulator::start(config, Arc::new(SystemClock)).await.context("the simulator cannot listen")?;
    print(&serde_json::to_string(&SimulatorUrls::of(&running))?)?;
    tokio::signal::ctrl_c().await.context("no signal handler")?;
    running.shutdown().await;
    Ok(ExitCode::SUCCESS)
}

/// The settings of the file, with those of the command line in their place.
fn settings(arguments: &SimulatorArgs) -> anyhow::Result<SimulatorConfig> {
    let mut config = match &arguments.settings {
        None => SimulatorConfig { rpc_listeners: PROVIDERS, ..SimulatorConfig::default() },
        Some(file) => {
            let text = fs::read_to_string(file).with_context(|| format!("cannot read {}", file.display()))?;
            serde_json::from_str(&text)
                .with_context(|| format!("{}: these are no settings of a simulator", file.display()))?
        }
    };
    config.seed = arguments.seed.unwrap_or(config.seed);
    config.block_interval_ms = arguments.block_ms.unwrap_or(config.block_interval_ms);
    config.rpc_listeners = arguments.rpc_listeners.map_or(config.rpc_listeners, usize::from);
    config.clob_port = arguments.clob_port.unwrap_or(config.clob_port);
    config.control_port = arguments.control_port.unwrap_or(config.control_port);
    if arguments.stub {
        config.profile = Profile::Stub;
    }
    Ok(config)
}

#[cfg(test)]
mod tests {
    use clap::Parser as _;

    use super::*;

    #[derive(Debug, clap::Parser)]
    struct Line {
        #[command(flatten)]
        arguments: SimulatorArgs,
    }

    fn parsed(line: &[&str]) -> anyhow::Result<SimulatorConfig> {
        settings(&Line::try_parse_from(line).unwrap().arguments)
    }

    #[test]
    fn the_command_line_goes_before_the_file() {
        let folder = tempfile::tempdir().unwrap();
        let file = folder.path().join("simulator.json");
        let name = file.to_str().unwrap();
        fs::write(&file, r#"{ "seed": 7, "clob_port": 8099, "knobs": { "finality_blocks": 1 } }"#).unwrap();
        let config = parsed(&["simulator", "--settings", name, "--seed", "9", "--stub"]).unwrap();
        assert_eq!((config.seed, config.clob_port, config.profile), (9, 8099, Profile::Stub));
        assert_eq!((config.knobs.finality_blocks, config.block_interval_ms), (1, 2_000));
        let plain = SimulatorConfig { rpc_listeners: PROVIDERS, ..SimulatorConfig::default() };
        assert_eq!(parsed(&["simulator"]).unwrap(), plain);
        fs::write(&file, r#"{ "sed": 7 }"#).unwrap();
        let error = format!("{:#}", parsed(&["simulator", "--settings", name]).unwrap_err());
        assert!(error.contains("simulator.json") && error.contains("unknown field `sed`"), "{error}");
    }
}
