//! The command line.

use std::{path::PathBuf, process::ExitCode};

use clap::{Args, Parser, Subcommand};

use crate::demo::{Options, SimulatorUrls};

/// Copies Polymarket leaders' trades for followers, exactly once.
#[derive(Debug, Parser)]
#[command(name = "slipstream", version, about, max_term_width = 100)]
pub struct Cli {
    /// What to do.
    #[command(subcommand)]
    pub command: Command,
}

/// Commands.
#[derive(Debug, Subcommand)]
pub enum Command {
    /// Copy real leaders' recorded trades on paper, in one process, with things to break.
    Demo(DemoArgs),
    /// Run the simulated venue alone.
    #[command(hide = true)]
    Simulator(SimulatorArgs),
}

/// Arguments of `demo`.
#[derive(Debug, Args)]
pub struct DemoArgs {
    /// Play the tape this many times faster than it was recorded.
    #[arg(long, default_value_t = 30, value_parser = clap::value_parser!(u32).range(1..=1000))]
    pub speed: u32,
    /// Number of paper followers.
    #[arg(long, default_value_t = 5, value_parser = clap::value_parser!(u16).range(1..=200))]
    pub followers: u16,
    /// Seed of keys and of the simulated venue; the same seed gives the same answers.
    #[arg(long, default_value_t = 1)]
    pub seed: u64,
    /// Break something every few seconds.
    #[arg(long)]
    pub faults: bool,
    /// Play this tape instead of the recorded one.
    #[arg(long, value_name = "FILE")]
    pub tape: Option<PathBuf>,
    /// Keep the data here instead of in a temporary directory.
    #[arg(long, value_name = "DIRECTORY")]
    pub data_dir: Option<PathBuf>,
    /// Print lines instead of drawing on the terminal.
    #[arg(long)]
    pub headless: bool,
    /// Print the report as JSON; nothing else goes to standard output.
    #[arg(long)]
    pub json: bool,
    /// Use a simulator in another process: its addresses as JSON.
    #[arg(long, hide = true, value_name = "JSON", value_parser = urls)]
    pub simulator: Option<SimulatorUrls>,
}

/// Arguments of `simulator`.
#[derive(Debug, Args)]
pub struct SimulatorArgs {
    /// Seed of its answers.
    #[arg(long, default_value_t = 1)]
    pub seed: u64,
    /// Milliseconds between blocks.
    #[arg(long, default_value_t = 2_000)]
    pub block_ms: u64,
}

fn urls(text: &str) -> Result<SimulatorUrls, String> {
    serde_json::from_str(text).map_err(|error| error.to_string())
}

impl DemoArgs {
    /// As the demo wants them.
    #[must_use]
    pub fn options(&self) -> Options {
        Options {
            speed: self.speed,
            followers: usize::from(self.followers),
            seed: self.seed,
            faults: self.faults,
            tape: self.tape.clone(),
            data_dir: self.data_dir.clone(),
            simulator: self.simulator.clone(),
        }
    }
}

/// Runs a command. Errors go to standard error, with their causes.
pub async fn run(cli: Cli) -> ExitCode {
    let result = match cli.command {
        Command::Demo(arguments) => crate::demo::command::run(&arguments).await,
        Command::Simulator(arguments) => crate::simulate::run(&arguments).await,
    };
    match result {
        Ok(code) => code,
        Err(error) => {
            complain(&format!("slipstream: {error:#}"));
            ExitCode::FAILURE
        }
    }
}

#[expect(clippy::print_stderr, reason = "this is where the program speaks to people")]
fn complain(text: &str) {
    eprintln!("{text}");
}
