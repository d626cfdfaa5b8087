//! `slipstream config`: checks a file, prints the reference.

use std::{
    io,
    path::{Path, PathBuf},
    process::ExitCode,
};

use clap::Subcommand;

use super::{Configuration, FILE, FILE_VARIABLE, markdown, toml};
use crate::{demo::paint::Paint, output::print};

/// Commands on configurations.
#[derive(Debug, Subcommand)]
pub enum ConfigCommand {
    /// Say what is in force and why, or tell every mistake; starts nothing.
    Check {
        /// The file.
        #[arg(default_value = FILE, env = FILE_VARIABLE)]
        file: PathBuf,
        /// Print JSON.
        #[arg(long)]
        json: bool,
    },
    /// Print every key with its meaning, as a file to begin with.
    Reference {
        /// Print it as a page of the documentation.
        #[arg(long)]
        markdown: bool,
    },
}

/// Runs one.
///
/// # Errors
/// The mistakes of a configuration; when standard output cannot be written.
pub fn run(command: &ConfigCommand) -> anyhow::Result<ExitCode> {
    let text = match command {
        ConfigCommand::Check { file, json } => check(file, *json)?,
        ConfigCommand::Reference { markdown: true } => markdown(),
        ConfigCommand::Reference { markdown: false } => toml(),
    };
    print(&text)?;
    Ok(ExitCode::SUCCESS)
}

fn check(file: &Path, json: bool) -> anyhow::Result<String> {
    let configuration = Configuration::load(Some(file), std::env::vars_os())?;
    if json {
        let told = serde_json::json!({ "file": file, "settings": configuration.effective_json() });
        return Ok(serde_json::to_string_pretty(&told)?);
    }
    let paint = Paint::of(&io::stdout());
    let ok = paint.good("ok");
    Ok(format!("{ok}  {}\n{}", file.display(), configuration.effective()))
}
