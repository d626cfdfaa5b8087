//! The `slipstream` program.

use std::process::ExitCode;

use clap::Parser;
use slipstream::cli::Cli;

#[tokio::main]
async fn main() -> ExitCode {
    slipstream::cli::run(Cli::parse()).await
}
