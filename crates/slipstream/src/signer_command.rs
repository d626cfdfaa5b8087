//! `slipstream signer`: for whom to encrypt a private key, another secret that opens the keys, and the signer as a
//! process of its own.

use std::{path::PathBuf, sync::Arc};

use anyhow::Context as _;
use clap::Subcommand;
use serde_json::json;
use signer::{Served, serve};

use crate::{
    account::{self, AccountRequest, Need, unlock_file, unlock_passphrase},
    cli::Installation,
    clock::SystemClock,
    commands::Answer,
    configuration::ConfigFile,
    logging,
    wording::count,
};

/// Commands on the signer.
#[derive(Debug, Subcommand)]
pub enum SignerCommand {
    /// Print for whom to encrypt a private key: a recipient for `age -r`.
    #[command(after_help = "Example, on the machine that has the key:
  age -r age1… key.txt > key.age

Then, here: slipstream account add main --live --sealed key.age")]
    PublicKey {
        /// Where the installation is.
        #[command(flatten)]
        at: Installation,
        /// What opens the keys.
        #[command(flatten)]
        config: ConfigFile,
    },
    /// Run the signer as a process of its own, which alone opens the keys. Others reach it by `socket` of `[live]`.
    #[command(after_help = "Example:
  slipstream signer serve --socket signer.sock --state-dir signer --config signer.toml

signer.toml has [live] with `enabled` and `key_file`; the configuration of the process that trades has `enabled` and
`socket`. Both run as the same user: others are not answered.")]
    Serve {
        /// Where it listens. Its user alone may open it.
        #[arg(long, value_name = "FILE")]
        socket: PathBuf,
        /// Where it keeps what accounts may spend and have spent.
        #[arg(long, value_name = "DIRECTORY")]
        state_dir: PathBuf,
        /// What opens the keys, and whether orders are signed.
        #[command(flatten)]
        config: ConfigFile,
    },
    /// Let another passphrase or age identity open the keys; the old one opens nothing afterwards. Stop what runs first.
    Rotate {
        /// A file with the new age identity or passphrase. Without it a new passphrase is asked for.
        #[arg(long, value_name = "FILE")]
        to: Option<PathBuf>,
        /// Where the installation is.
        #[command(flatten)]
        at: Installation,
        /// What opens the keys until now.
        #[command(flatten)]
        config: ConfigFile,
    },
}

/// Runs one.
///
/// # Errors
/// In words, with what to do.
pub async fn run(command: &SignerCommand) -> anyhow::Result<(Answer, bool)> {
    match command {
        SignerCommand::PublicKey { at, config } => {
            let answer = account::ask(at, config, Need::FirstKeys, AccountRequest::PublicKey).await?;
            Ok((answer, at.json))
        }
        SignerCommand::Serve { socket, state_dir, config } => {
            let live = config.configured()?.live;
            let served = Served {
                unlock: account::unlock_known(&live)?,
                directory: state_dir.clone(),
                live: live.enabled,
                clock: Arc::new(SystemClock),
            };
            logging::of_service(false)?;
            serve(socket, served).await.with_context(|| format!("the signer at {}", socket.display()))?;
            Ok((Answer { text: String::new(), json: json!({}), ok: true }, false))
        }
        SignerCommand::Rotate { to, at, config } => {
            let live = config.configured()?.live;
            let place = at.place_by(config)?;
            let keyring = account::Desk::open(&place, &live, Need::Keys).await?.own()?;
            let new = match to {
                Some(file) => unlock_file(file)?,
                None => unlock_passphrase()?,
            };
            let keys = keyring.rotate(&new).await?;
            let text = format!(
                "{} opened by the new secret alone. Backups made before are still opened by the old one: destroy them, or \
                 keep it",
                match keys {
                    1 => "1 key is".to_owned(),
                    keys => format!("{} are", count(keys, "key")),
                }
            );
            Ok((Answer { text, json: json!({ "keys": keys }), ok: true }, at.json))
        }
    }
}
