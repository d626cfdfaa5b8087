//! The `slipstream` program.

use std::process::ExitCode;

use slipstream::cli;

#[tokio::main]
async fn main() -> ExitCode {
    match cli::parse(std::env::args_os()) {
        Ok(wish) => cli::run(wish).await,
        Err(code) => code,
    }
}
