//! `slipstream simulator`: the simulated venue in a process of its own.

use std::{process::ExitCode, sync::Arc};

use anyhow::Context;
use simulator::{Simulator, SimulatorConfig};

use crate::{cli::SimulatorArgs, clock::SystemClock, demo::SimulatorUrls};

/// Runs until interrupted. The first line of output is the addresses as JSON.
///
/// # Errors
/// When it cannot listen.
pub async fn run(arguments: &SimulatorArgs) -> anyhow::Result<ExitCode> {
    let config = SimulatorConfig {
        seed: arguments.seed,
        block_interval_ms: arguments.block_ms,
        rpc_listeners: usize::from(arguments.rpc_listeners),
        ..SimulatorConfig::default()
    };
    let running =
        Simulator::start(config, Arc::new(SystemClock)).await.context("the simulator cannot listen")?;
    announce(&serde_json::to_string(&SimulatorUrls::of(&running))?);
    tokio::signal::ctrl_c().await.context("no signal handler")?;
    running.shutdown().await;
    Ok(ExitCode::SUCCESS)
}

#[expect(clippy::print_stdout, reason = "the addresses are this command's output")]
fn announce(line: &str) {
    println!("{line}");
}
