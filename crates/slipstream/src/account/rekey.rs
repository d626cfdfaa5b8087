//! `slipstream account rekey`: another key, or a later end, for an account that is there. It goes on with its
//! relationships, shares and caps.

use std::path::PathBuf;

use anyhow::{Context, ensure};
use clap::Args;
use domain::{Address, Clock, Timestamp, WalletKind};
use engine::ports::following::AccountMode;
use polymarket::wallets::Wallets;
use serde_json::json;
use signer::KeyUse;

use super::{
    add::{all_wrong, chain_of, check_wallet, encrypted_key, key_of},
    arm,
    desk::{Desk, Need},
    encrypted_key::EncryptedKey,
    requests::{AccountRequest, Answering, file_of, said},
    unlock,
};
use crate::{
    cli::Installation, clock::SystemClock, commands::Answer, configuration::ConfigFile, wording::causes,
};

/// Arguments of `account rekey`.
#[derive(Debug, Args)]
#[command(after_help = "Examples:
  slipstream account rekey main --key-file session-key
  slipstream account rekey main --sealed key.age

A session key is replaced by another one that the wallet's owner has authorised, or by itself with the end that it has
now. Any other wallet belongs to its one key. The account stays armed as it was.
Exit status: 0 done, 1 something is wrong (all of it is told), 2 the flags cannot be understood.")]
pub struct RekeyArgs {
    /// The account's name or number.
    pub account: String,
    /// The private key: 64 hex digits in a file that only you can read (mode 600).
    #[arg(long, value_name = "FILE", conflicts_with = "sealed")]
    pub key_file: Option<PathBuf>,
    /// The private key, encrypted by age for `slipstream signer public-key`.
    #[arg(long, value_name = "FILE")]
    pub sealed: Option<PathBuf>,
    /// Where the installation is.
    #[command(flatten)]
    pub at: Installation,
    /// Where the chain's providers are, and what opens the keys.
    #[command(flatten)]
    pub config: ConfigFile,
}

/// Runs it.
///
/// # Errors
/// In words, with what to do.
pub(super) async fn run(arguments: &RekeyArgs) -> anyhow::Result<Answer> {
    let live = arguments.config.configured()?.live;
    let place = arguments.at.place_by(&arguments.config)?;
    unlock::hardened()?;
    let key = key_of(arguments.key_file.as_deref(), arguments.sealed.as_deref());
    let chain = chain_of(&arguments.config).await;
    let mut wrong = Vec::new();
    let key = key.map_err(|error| wrong.push(causes(&error))).ok();
    let chain = chain.map_err(|error| wrong.push(causes(&error))).ok();
    let (Some(key), Some(chain)) = (key, chain) else { return Err(all_wrong(&wrong)) };
    let desk = Desk::open(&place, &live, Need::Keys).await?;
    let line = arm::find(&desk, &arguments.account).await?;
    ensure!(line.mode == AccountMode::Live, "account `{}` has play money and a throw-away key", line.label);
    let (key, address) = encrypted_key(&desk, key).await?;
    let until = match line.kind {
        WalletKind::Session => {
            let rpc = chain.json_rpc();
            let report = Wallets::new(rpc.as_ref()).session(address, line.wallet, SystemClock.now()).await;
            report.context("the chain cannot be read, so nothing was stored")?.until
        }
        _ => None,
    };
    desk.ask(AccountRequest::Rekey { account: line.id.0.to_string(), key, until }).await
}

impl Answering<'_> {
    /// Seals another key for an account that is there.
    pub(super) async fn rekey(
        &self,
        name: &str,
        key: &EncryptedKey,
        until: Option<Timestamp>,
    ) -> anyhow::Result<Answer> {
        let account = self.find_live(name).await?;
        let trading = &account.trading;
        let (keeper, file) = (self.keyring.keeper()?, file_of(key)?);
        let signer: Address = keeper.address_of(&file).await?;
        if trading.kind == WalletKind::Session {
            ensure!(
                until.is_some_and(|until| until > self.now),
                "wallet {} does not let this key trade now; its owner must authorise it. Nothing was stored",
                trading.wallet
            );
        } else {
            check_wallet(signer, trading.wallet, trading.kind)?;
        }
        let known = self.keyring.store().sealed_keys().await?.unwrap_or_default().keys;
        let before = known.iter().find(|known| known.name == trading.key).map_or(0, |known| known.version);
        let purpose = KeyUse {
            owner: account.owner,
            name: trading.key.clone(),
            wallet: trading.wallet,
            kind: trading.kind,
            until,
            version: self.now.0.max(before.saturating_add(1)),
        };
        let sealed = keeper.seal(&file, &purpose).await?;
        self.keyring.store().replace_key(account.owner, trading.id, &sealed, self.now).await?;
        self.keyring.take(sealed).await?;
        let end = until.map(|until| format!(" It may sign until {until}.")).unwrap_or_default();
        let text = format!(
            "account `{}` signs with the key of {signer} from now on.{end} What it may spend is as it was",
            account.label
        );
        let json = json!({ "account": trading.id, "label": account.label, "signer": signer, "until": until });
        Ok(said(text, json))
    }
}
