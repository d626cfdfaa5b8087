//! The command line.

use std::{io::IsTerminal, path::PathBuf, process::ExitCode};

use clap::{Args, Parser, Subcommand};

use domain::ids::RelationshipId;

use crate::{
    bench::command::BenchArgs,
    commands::{self, Request, Thing},
    demo::{Options, SimulatorUrls, live::LiveLeader},
};

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
    /// Measure this machine: our figures beside the bare parts they are made of.
    Bench(BenchArgs),
    /// The whole story of one trade, order or relationship on one screen.
    Inspect {
        /// What to inspect.
        thing: Thing,
        /// Transaction hash, order id (both may be cut short), or number of the relationship.
        id: String,
        /// Where the installation is.
        #[command(flatten)]
        at: Installation,
    },
    /// What is held, at what cost.
    Positions {
        /// Where the installation is.
        #[command(flatten)]
        at: Installation,
    },
    /// The newest answers to leaders' trades, with their reasons.
    Activity {
        /// How many.
        #[arg(long, default_value_t = 30)]
        limit: usize,
        /// Where the installation is.
        #[command(flatten)]
        at: Installation,
    },
    /// Recompute every decision, every order id and every ledger sum; fails on the first difference.
    Verify {
        /// Where the installation is.
        #[command(flatten)]
        at: Installation,
    },
    /// Pause a relationship: once this returns, nothing further is signed for it.
    Pause(RelationshipArgs),
    /// Resume a paused relationship.
    Resume(RelationshipArgs),
    /// End a relationship for good.
    Stop(RelationshipArgs),
    /// Run the simulated venue alone.
    #[command(hide = true)]
    Simulator(SimulatorArgs),
}

/// Where an installation is and how to print.
#[derive(Debug, Args)]
pub struct Installation {
    /// Its data directory. A running process is asked over its socket.
    #[arg(long, value_name = "DIRECTORY", env = "SLIPSTREAM_DATA_DIR")]
    pub data_dir: PathBuf,
    /// Print JSON.
    #[arg(long)]
    pub json: bool,
}

/// Arguments of the commands on one relationship.
#[derive(Debug, Args)]
pub struct RelationshipArgs {
    /// Number of the relationship.
    pub relationship: i64,
    /// Where the installation is.
    #[command(flatten)]
    pub at: Installation,
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
    /// Play this instead of the recorded tape: another tape, or any trades or activity file of
    /// Polymarket's Data API.
    #[arg(long, value_name = "FILE")]
    pub tape: Option<PathBuf>,
    /// Follow this wallet now, through the public Data API, instead of playing a tape. Paper money; the
    /// venue is simulated on the real book.
    #[arg(long, value_name = "ADDRESS", conflicts_with_all = ["tape", "simulator"])]
    pub leader: Option<domain::Address>,
    /// The Data API of `--leader`.
    #[arg(long, hide = true, default_value = "https://data-api.polymarket.com")]
    pub data_url: String,
    /// The order book service of `--leader`.
    #[arg(long, hide = true, default_value = "https://clob.polymarket.com")]
    pub clob_url: String,
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
            leader: self.leader.map(|wallet| LiveLeader {
                wallet,
                data_url: self.data_url.clone(),
                clob_url: self.clob_url.clone(),
            }),
            data_dir: self.data_dir.clone(),
            simulator: self.simulator.clone(),
        }
    }
}

/// Runs a command. Errors go to standard error, with their causes.
pub async fn run(cli: Cli) -> ExitCode {
    let colour = std::io::stdout().is_terminal() && std::env::var_os("NO_COLOR").is_none();
    let relationship = |arguments: &RelationshipArgs| RelationshipId(arguments.relationship);
    let result = match cli.command {
        Command::Demo(arguments) => crate::demo::command::run(&arguments).await,
        Command::Bench(arguments) => crate::bench::command::run(&arguments).await,
        Command::Simulator(arguments) => crate::simulate::run(&arguments).await,
        Command::Inspect { thing, id, at } => ask(&at, &Request::Inspect { thing, id, colour }).await,
        Command::Positions { at } => ask(&at, &Request::Positions { colour }).await,
        Command::Activity { limit, at } => ask(&at, &Request::Activity { limit, colour }).await,
        Command::Verify { at } => ask(&at, &Request::Verify).await,
        Command::Pause(one) => ask(&one.at, &Request::Pause(relationship(&one))).await,
        Command::Resume(one) => ask(&one.at, &Request::Resume(relationship(&one))).await,
        Command::Stop(one) => ask(&one.at, &Request::Stop(relationship(&one))).await,
    };
    match result {
        Ok(code) => code,
        Err(error) => {
            complain(&format!("slipstream: {error:#}"));
            ExitCode::FAILURE
        }
    }
}

async fn ask(at: &Installation, request: &Request) -> anyhow::Result<ExitCode> {
    let answer = commands::ask(&at.data_dir, request).await?;
    if at.json {
        print(&serde_json::to_string_pretty(&answer.json)?)
    } else {
        print(answer.text.trim_end())
    }
    Ok(if answer.ok { ExitCode::SUCCESS } else { ExitCode::FAILURE })
}

#[expect(clippy::print_stdout, reason = "answers are what these commands print")]
fn print(text: &str) {
    println!("{text}");
}

#[expect(clippy::print_stderr, reason = "this is where the program speaks to people")]
fn complain(text: &str) {
    eprintln!("{text}");
}
