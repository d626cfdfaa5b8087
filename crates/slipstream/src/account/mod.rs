//! `slipstream account`: accounts with play money and with real money, their keys and what they may spend; what the
//! wallet of a key needs before it can trade, and how to get it.

mod add;
mod arm;
mod desk;
mod fix;
mod keyring;
mod requests;
mod surroundings;
mod unlock;

use std::{path::PathBuf, sync::Arc};

use anyhow::{Context, bail, ensure};
use clap::{Args, Subcommand};
use domain::{Address, Clock, KeyRef, TradingAccount, WalletKind, ids::AccountId};
use eip712::Chain;
use engine::ports::{following::AccountMode, venue::Signer};
use polymarket::{
    JsonRpc, VenueLimits,
    wallets::{Candidate, Finding, Fix, WalletReport, Wallets},
};
use serde_json::{Value, json};
use signer::{Binding, FileKey, LocalSigner};
use tokio::sync::OnceCell;

use crate::{
    chain::ChainProviders,
    cli::Installation,
    clock::SystemClock,
    commands::Answer,
    configuration::{ConfigFile, Configuration},
    rpc_command::configured,
};
use surroundings::Surroundings;

pub use add::{AddArgs, WalletType};
pub use arm::ArmArgs;
pub use desk::{Desk, Need};
pub use keyring::{Keyring, Opening, Parts as KeyringParts, live_key};
pub use requests::{AccountLine, AccountRequest, EncryptedKey, answer as answer_request};
pub use unlock::{
    hardened, known as unlock_known, new_passphrase as unlock_passphrase, of_file as unlock_file,
};

/// Commands on accounts.
#[derive(Debug, Subcommand)]
pub enum AccountCommand {
    /// Add an account: with play money, or with a key of yours.
    Add(AddArgs),
    /// All accounts, and what each may spend.
    List(ListArgs),
    /// Let an account with real money trade, within caps. Asks for its name.
    Arm(ArmArgs),
    /// Sign nothing more for an account, from this moment on.
    Disarm(OneArgs),
    /// Remove an account and its key. Refused while it follows somebody or has open orders; its books stay.
    Remove(OneArgs),
    /// Find the wallet that an address trades with, its money and what it still needs; fails while something is
    /// missing. With a key it gets what is asked for.
    Check(CheckArgs),
}

/// Arguments of `account list`.
#[derive(Debug, Args)]
pub struct ListArgs {
    /// Where the installation is.
    #[command(flatten)]
    pub at: Installation,
    /// What opens the keys, to see what each may spend.
    #[command(flatten)]
    pub config: ConfigFile,
}

/// Arguments of the commands on one account.
#[derive(Debug, Args)]
#[command(after_help = "Example:
  slipstream account disarm main --data-dir data

Exit status: 0 done, 1 refused, 2 the flags cannot be understood.")]
pub struct OneArgs {
    /// Its name or number.
    pub account: String,
    /// Where the installation is.
    #[command(flatten)]
    pub at: Installation,
    /// What opens the keys.
    #[command(flatten)]
    pub config: ConfigFile,
}

/// Arguments of `account check`.
#[derive(Debug, Args)]
#[command(after_help = "Examples:
  slipstream account check 0xf39f… --config slipstream.toml
  slipstream account check main --data-dir data --config slipstream.toml
  slipstream account check main --approve --data-dir data --config slipstream.toml

Exit status: 0 nothing is missing, 1 something is missing or not known (with what to do), 2 the flags cannot be understood.")]
pub struct CheckArgs {
    /// The address of a key (not of a wallet contract), or the name of an account (with --data-dir).
    #[arg(required_unless_present = "key_file", conflicts_with = "key_file", value_name = "ADDRESS|ACCOUNT")]
    pub whom: Option<String>,
    /// Where the installation of the account is.
    #[arg(long, value_name = "DIRECTORY", env = "SLIPSTREAM_DATA_DIR")]
    pub data_dir: Option<PathBuf>,
    /// A deposit wallet of somebody else, who lets this key trade for it as a session key.
    #[arg(long, value_name = "ADDRESS", conflicts_with_all = ["deploy", "approve", "wrap"])]
    pub wallet: Option<Address>,
    /// The private key in hex, in a file that only you can read (mode 600). Needed to get what is missing.
    #[arg(long, value_name = "FILE")]
    pub key_file: Option<PathBuf>,
    /// Have the deposit wallet or the Safe made.
    #[arg(long)]
    pub deploy: bool,
    /// Give the venue's contracts the approvals that are missing.
    #[arg(long)]
    pub approve: bool,
    /// Make pUSD of the USDC.e in the wallet.
    #[arg(long)]
    pub wrap: bool,
    /// The relayer.
    #[arg(long, default_value = "https://relayer-v2.polymarket.com")]
    pub relayer_url: String,
    /// The venue, which is told of new approvals and money.
    #[arg(long, default_value = "https://clob.polymarket.com")]
    pub clob_url: String,
    /// Where the venue says whether it trades with this place.
    #[arg(long, default_value = "https://polymarket.com")]
    pub geoblock_url: String,
    /// Who asks the relayer: JSON with `key` and `address`, or with `builder_key`, `secret` and `passphrase`, in a
    /// file that only you can read.
    #[arg(long, value_name = "FILE")]
    pub relayer_key: Option<PathBuf>,
    /// Where the chain's providers are.
    #[command(flatten)]
    pub config: ConfigFile,
    /// Print JSON.
    #[arg(long)]
    pub json: bool,
}

/// Runs one.
///
/// # Errors
/// In words, with what to do.
pub async fn run(command: &AccountCommand) -> anyhow::Result<(Answer, bool)> {
    match command {
        AccountCommand::Add(arguments) => Ok((add::run(arguments).await?, arguments.at.json)),
        AccountCommand::Arm(arguments) => Ok((arm::run(arguments).await?, arguments.at.json)),
        AccountCommand::List(ListArgs { at, config }) => {
            Ok((ask(at, config, Need::Nothing, AccountRequest::List).await?, at.json))
        }
        AccountCommand::Disarm(OneArgs { account, at, config }) => {
            let request = AccountRequest::Disarm { account: account.clone() };
            Ok((ask(at, config, Need::Keys, request).await?, at.json))
        }
        AccountCommand::Remove(OneArgs { account, at, config }) => {
            let request = AccountRequest::Remove { account: account.clone() };
            Ok((ask(at, config, Need::Keys, request).await?, at.json))
        }
        AccountCommand::Check(arguments) => check(arguments).await,
    }
}

/// Asks one thing of the installation's accounts.
pub(crate) async fn ask(
    at: &Installation,
    config: &ConfigFile,
    need: Need,
    request: AccountRequest,
) -> anyhow::Result<Answer> {
    let live = Configuration::load(config.path.as_deref(), std::env::vars_os())?.live;
    Desk::open(&at.directory()?, &live, need).await?.ask(request).await
}

async fn check(arguments: &CheckArgs) -> anyhow::Result<(Answer, bool)> {
    let clock: Arc<dyn Clock> = Arc::new(SystemClock);
    let client = polymarket::client()?;
    let providers = ChainProviders::of(client.clone(), &clock, &configured(&arguments.config)?);
    let rpc = providers.json_rpc();
    let who = who(arguments).await?;
    let mut report = match arguments.wallet {
        Some(wallet) => Wallets::new(rpc.as_ref())
            .session(who.address, wallet, clock.now())
            .await
            .context("the chain cannot be read")?,
        None => report_of(rpc.as_ref(), who.address, who.wallet).await?,
    };
    let account = TradingAccount {
        id: AccountId(0),
        wallet: report.used.wallet,
        signer: who.address,
        kind: report.used.kind,
        key: who.key,
    };
    let mut login = None;
    if let Some(signer) = who.signer {
        if let Unbound::File(signer) = &signer {
            let (wallet, kind) = (account.wallet, account.kind);
            signer.bind(account.key.clone(), Binding { wallet, kind, until: report.until })?;
        }
        let fixer = fix::Fixer {
            arguments,
            account: account.clone(),
            signer: signer.signer(),
            client: client.clone(),
            rpc: rpc.clone(),
            clock: Arc::clone(&clock),
            relayer: OnceCell::new(),
            limits: limits(&arguments.config)?,
            wallet: who.wallet,
        };
        report = fixer.fix(report).await?;
        login = Some((signer.signer(), &account));
    }
    let (clob_url, geoblock_url) = (&arguments.clob_url, &arguments.geoblock_url);
    let lacks = Surroundings { client, clob_url, geoblock_url, clock, login }.lacks().await;
    Ok((answer(who.address, &report, &lacks), arguments.json))
}

/// Whose wallet is looked at.
struct Who {
    address: Address,
    /// The wallet, where it is fixed.
    wallet: Option<Address>,
    key: KeyRef,
    /// Who can sign for it.
    signer: Option<Unbound>,
}

enum Unbound {
    /// With a key of a file, which may be bound to any wallet of its own.
    File(LocalSigner),
    /// With a key that was sealed for its wallet.
    Sealed(Arc<dyn Signer>),
}

impl Unbound {
    fn signer(&self) -> Arc<dyn Signer> {
        match self {
            Self::File(signer) => Arc::new(signer.clone()),
            Self::Sealed(signer) => Arc::clone(signer),
        }
    }
}

async fn who(arguments: &CheckArgs) -> anyhow::Result<Who> {
    let changes = arguments.deploy || arguments.approve || arguments.wrap;
    if let Some(path) = &arguments.key_file {
        let (signer, address) = key_of(path).await?;
        return Ok(Who { address, wallet: None, key: key_ref(), signer: Some(Unbound::File(signer)) });
    }
    let whom = arguments.whom.as_deref().context("give an address, an account or --key-file")?;
    if let Ok(address) = whom.parse() {
        ensure!(!changes, "--deploy, --approve and --wrap need --key-file, or an account of yours");
        return Ok(Who { address, wallet: None, key: key_ref(), signer: None });
    }
    let data_dir = arguments.data_dir.as_ref();
    let data_dir =
        data_dir.with_context(|| format!("`{whom}` is no address; an account needs --data-dir"))?;
    let live = Configuration::load(arguments.config.path.as_deref(), std::env::vars_os())?.live;
    let desk = Desk::open(data_dir, &live, if changes { Need::Keys } else { Need::Nothing }).await?;
    let line = arm::find(&desk, whom).await?;
    ensure!(line.mode == AccountMode::Live, "account `{}` has play money and no wallet", line.label);
    let signer = match desk {
        Desk::Own { keyring, .. } if keyring.keeper().is_ok() => Some(Unbound::Sealed(keyring.signer())),
        Desk::Running(_) if changes => bail!("a process runs on {}; stop it first", data_dir.display()),
        _ => None,
    };
    Ok(Who { address: line.signer, wallet: Some(line.wallet), key: live_key(line.wallet), signer })
}

/// What an address has; of `wallet`, where that is fixed.
async fn report_of(
    rpc: &dyn JsonRpc,
    address: Address,
    wallet: Option<Address>,
) -> anyhow::Result<WalletReport> {
    let wallets = Wallets::new(rpc);
    let mut report = wallets.detect(address).await.context("the chain cannot be read")?;
    let fixed = report.candidates.iter().find(|one| Some(one.wallet) == wallet).copied();
    if let Some(fixed) = fixed.filter(|fixed| *fixed != report.used) {
        report.missing = wallets.missing(fixed).await.context("the chain cannot be read")?;
        report.used = fixed;
    }
    Ok(report)
}

/// The limits that the configuration sets.
fn limits(config: &ConfigFile) -> anyhow::Result<VenueLimits> {
    Ok(Configuration::load(config.path.as_deref(), std::env::vars_os())?.venue.limits)
}

async fn key_of(path: &std::path::Path) -> anyhow::Result<(LocalSigner, Address)> {
    unlock::hardened()?;
    let key = FileKey::read(path).with_context(|| format!("the key in {}", path.display()))?;
    let signer = LocalSigner::new(Chain::Polygon, Box::new(key));
    let address = signer.address(&key_ref()).await?;
    Ok((signer, address))
}

/// The one key of a file has one name.
fn key_ref() -> KeyRef {
    KeyRef("file".to_owned())
}

const fn kind_name(kind: WalletKind) -> &'static str {
    match kind {
        WalletKind::Eoa => "the address itself",
        WalletKind::Proxy => "proxy wallet",
        WalletKind::Safe => "Safe",
        WalletKind::Deposit => "deposit wallet",
        WalletKind::Session => "deposit wallet, as its session key,",
    }
}

fn words(finding: Finding, used: Candidate) -> (String, String) {
    let wallet = used.wallet;
    let what = match finding {
        Finding::NotDeployed(_) => "the wallet contract is not there yet".to_owned(),
        Finding::Dollars { spender } => format!("{spender} may not take pUSD"),
        Finding::Shares { token, operator } => format!("{operator} may not move shares of {token}"),
        Finding::Unwrapped(usd) => format!("there is no pUSD, but {usd} USDC.e"),
        Finding::NoGas => "there is no POL to pay for gas".to_owned(),
        Finding::NoMoney => "there is no money".to_owned(),
        Finding::NoSession(None) => format!("wallet {wallet} does not let this key trade"),
        Finding::NoSession(Some(until)) => format!("wallet {wallet} let this key trade until {until}"),
    };
    // A session key trades and does nothing else.
    if used.kind == WalletKind::Session && !matches!(finding.fix(), Fix::Deposit | Fix::Site) {
        return (what, "its owner must do that".to_owned());
    }
    let remedy = match finding.fix() {
        Fix::Deploy => "--deploy".to_owned(),
        Fix::Site => {
            "log in at polymarket.com with this address and enable trading, which makes it".to_owned()
        }
        Fix::Act(_) => "--approve".to_owned(),
        Fix::Wrap(_) => "--wrap".to_owned(),
        Fix::Gas => format!("send POL to {wallet}"),
        Fix::Deposit => format!("send pUSD to {wallet}"),
        Fix::Authorise => "its owner must do that".to_owned(),
    };
    (what, remedy)
}

/// What a wallet lacks, with what to do: as text and as data.
fn missing_of(findings: &[Finding], used: Candidate) -> (String, Vec<Value>) {
    if findings.is_empty() {
        return ("nothing is missing\n".to_owned(), Vec::new());
    }
    let (mut text, mut missing) = ("missing:\n".to_owned(), Vec::new());
    for finding in findings {
        let (what, remedy) = words(*finding, used);
        text.push_str(&format!("  {what}: {remedy}\n"));
        missing.push(json!({ "missing": what, "fix": remedy }));
    }
    (text, missing)
}

fn answer(eoa: Address, report: &WalletReport, lacks: &[surroundings::Lack]) -> Answer {
    let used = report.used;
    let mut text = format!("address {eoa} trades with {} {}\n\n", kind_name(used.kind), used.wallet);
    let mut candidates = Vec::new();
    for candidate in &report.candidates {
        let mark = if candidate.wallet == used.wallet { '*' } else { ' ' };
        let there = if candidate.deployed { "there" } else { "not there" };
        let name = kind_name(candidate.kind);
        text.push_str(&format!(
            "{mark} {name:18}  {}  {there:9}  {} pUSD\n",
            candidate.wallet, candidate.dollars
        ));
        candidates.push(json!({
            "kind": candidate.kind, "wallet": candidate.wallet, "deployed": candidate.deployed,
            "usd": candidate.dollars,
        }));
    }
    if let Some(until) = report.until {
        text.push_str(&format!("\nas its session key, until {until}\n"));
    }
    let (mut lines, mut missing) = missing_of(&report.missing, used);
    if report.missing.is_empty() && !lacks.is_empty() {
        lines = "missing:\n".to_owned();
    }
    for (what, remedy) in lacks {
        lines.push_str(&format!("  {what}: {remedy}\n"));
        missing.push(json!({ "missing": what, "fix": remedy }));
    }
    text.push_str(&format!("\n{lines}"));
    let ok = missing.is_empty();
    let json = json!({
        "address": eoa, "funder": used.wallet, "kind": used.kind,
        "signature_type": used.kind.signature_type(), "wallets": candidates, "missing": missing,
        "session_until": report.until.map(domain::Timestamp::seconds),
    });
    Answer { text, json, ok }
}
