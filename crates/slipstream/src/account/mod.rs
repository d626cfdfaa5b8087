//! `slipstream account`: accounts with play money and with real money, their keys and what they may spend; what the
//! wallet of a key needs before it can trade, and how to get it.

mod add;
mod arm;
mod desk;
mod encrypted_key;
mod fix;
mod keyring;
mod login;
mod named;
mod rekey;
mod requests;
mod unlock;

use std::{
    path::{Path, PathBuf},
    sync::{Arc, Mutex},
};

use anyhow::{Context, bail, ensure};
use clap::{Args, Subcommand};
use domain::{Address, Clock, KeyRef, TradingAccount, WalletKind, ids::AccountId};
use eip712::Chain;
use engine::ports::{following::AccountMode, venue::Signer};
use polymarket::{
    JsonRpc,
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
    doctor::Finding as Seen,
    place::Place,
    rpc_command::configured,
    screen::Style,
    terminal::Progress,
    wording::count,
};

pub(crate) use add::check_wallet;
pub use add::{AddArgs, WalletType};
pub use arm::ArmArgs;
pub use desk::{Desk, Need};
pub use encrypted_key::EncryptedKey;
pub(crate) use fix::relayer_key;
pub use keyring::{Keyring, Opening, Parts as KeyringParts, live_key};
pub(crate) use named::named;
pub use rekey::RekeyArgs;
pub use requests::{AccountLine, AccountRequest, add_paper, answer as answer_request};
pub(crate) use unlock::silently as unlock_silently;
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
    /// Give an account another key: the next session key of its wallet, or the same with a later end.
    Rekey(RekeyArgs),
    /// Sign no order and no redemption for an account any more, from this moment on.
    Disarm(OneArgs),
    /// Remove an account and its key. Refused while it follows somebody, has open orders or holds shares; its books stay.
    Remove(RemoveArgs),
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

/// Arguments of `account remove`.
#[derive(Debug, Args)]
pub struct RemoveArgs {
    /// Also while it holds shares: nobody here sells them then.
    #[arg(long)]
    pub leave_shares: bool,
    /// Which, and where.
    #[command(flatten)]
    pub one: OneArgs,
}

/// Arguments of `account check`.
#[derive(Debug, Args)]
#[command(after_help = "Examples:
  slipstream account check 0xf39fd6e51aad88f6f4ce6ab8827279cfffb92266
  slipstream account check main
  slipstream account check main --deploy --approve --wrap --relayer-key relayer.json

Exit status: 0 nothing is missing, 1 something is missing or not known (with what to do), 2 the flags cannot be understood.")]
pub struct CheckArgs {
    /// The address of a key (not of a wallet contract), or the name or number of an account.
    #[arg(required_unless_present = "key_file", conflicts_with = "key_file", value_name = "ADDRESS|ACCOUNT")]
    pub whom: Option<String>,
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
    /// The relayer [default: relayer_url of the configuration].
    #[arg(long, value_name = "URL")]
    pub relayer_url: Option<String>,
    /// The venue, which is told of new approvals and money [default: clob_url of the configuration].
    #[arg(long, value_name = "URL")]
    pub clob_url: Option<String>,
    /// Where the venue says whether it trades with this place [default: geoblock_url of the configuration].
    #[arg(long, value_name = "URL")]
    pub geoblock_url: Option<String>,
    /// Who asks the relayer: JSON with `key` and `address`, or with `builder_key`, `secret` and `passphrase`, in a
    /// file that only you can read.
    #[arg(long, value_name = "FILE")]
    pub relayer_key: Option<PathBuf>,
    /// Where the installation of the account is.
    #[command(flatten)]
    pub at: Installation,
    /// Where the chain's providers and the venue are, and what opens the keys.
    #[command(flatten)]
    pub config: ConfigFile,
}

/// Runs one.
///
/// # Errors
/// In words, with what to do.
pub async fn run(command: &AccountCommand, style: Style) -> anyhow::Result<(Answer, bool)> {
    match command {
        AccountCommand::Add(arguments) => Ok((add::run(arguments).await?, arguments.at.json)),
        AccountCommand::Arm(arguments) => Ok((arm::run(arguments).await?, arguments.at.json)),
        AccountCommand::List(ListArgs { at, config }) => {
            Ok((ask(at, config, Need::Nothing, AccountRequest::List { style }).await?, at.json))
        }
        AccountCommand::Disarm(OneArgs { account, at, config }) => {
            let request = AccountRequest::Disarm { account: account.clone() };
            Ok((ask(at, config, Need::Keys, request).await?, at.json))
        }
        AccountCommand::Rekey(arguments) => Ok((rekey::run(arguments).await?, arguments.at.json)),
        AccountCommand::Remove(RemoveArgs { leave_shares, one: OneArgs { account, at, config } }) => {
            let request = AccountRequest::Remove { account: account.clone(), leave_shares: *leave_shares };
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
    let live = config.configured()?.live;
    Desk::open(&at.place_by(config)?, &live, need).await?.ask(request).await
}

async fn check(arguments: &CheckArgs) -> anyhow::Result<(Answer, bool)> {
    let clock: Arc<dyn Clock> = Arc::new(SystemClock);
    let client = polymarket::client()?;
    let configuration = arguments.config.configured()?;
    let providers = ChainProviders::of(client.clone(), &clock, &configured(&arguments.config)?);
    let rpc = providers.json_rpc();
    let data_dir = arguments.at.data_dir.as_ref().unwrap_or(&configuration.run.data_dir).clone();
    let who = who(arguments, &configuration, &data_dir).await?;
    let mut report = match arguments.wallet.or(who.session) {
        Some(wallet) => Wallets::new(rpc.as_ref())
            .session(who.address, wallet, clock.now())
            .await
            .context("the chain cannot be read")?,
        None => report_of(rpc.as_ref(), who.address, who.wallet).await?,
    };
    let account = TradingAccount {
        id: who.id,
        wallet: report.used.wallet,
        signer: who.address,
        kind: report.used.kind,
        key: who.key,
    };
    let told = |flag: &Option<String>, usual: &String| flag.as_ref().unwrap_or(usual).clone();
    let clob_url = told(&arguments.clob_url, &configuration.run.clob_url);
    let mut login = match (&who.signer, who.wallet) {
        // An account's key is opened beside whoever works on its store, for a login and no more.
        (None, Some(_)) => login::Try::of_account(&configuration, &data_dir, account.clone(), &clock).await,
        _ => login::Try::Nobodys,
    };
    let mut done = Vec::new();
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
            relayer_url: told(&arguments.relayer_url, &configuration.run.relayer_url),
            clob_url: clob_url.clone(),
            progress: Progress::begin("looking at what is missing"),
            done: Mutex::default(),
            limits: configuration.venue.limits,
            wallet: who.wallet,
        };
        report = fixer.fix(report).await?;
        done = fixer.done.into_inner().unwrap_or_default();
        login = login::Try::By(signer.signer(), account);
    }
    let geoblock_url = told(&arguments.geoblock_url, &configuration.run.geoblock_url);
    let seen = login::surroundings(&client, (&clob_url, &geoblock_url), &clock, login).await;
    let mut answer = answer(who.address, &report, &seen);
    if !done.is_empty() {
        answer.text = format!("carried out: {}\n{}", count(done.len(), "transaction"), answer.text);
        answer.json["transactions"] = json!(done);
    }
    Ok((answer, arguments.at.json))
}

/// Whose wallet is looked at.
struct Who {
    id: AccountId,
    address: Address,
    /// The wallet, where it is fixed.
    wallet: Option<Address>,
    /// The same, where it is another's, for which the key trades.
    session: Option<Address>,
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

async fn who(arguments: &CheckArgs, configuration: &Configuration, data_dir: &Path) -> anyhow::Result<Who> {
    let changes = arguments.deploy || arguments.approve || arguments.wrap;
    if let Some(path) = &arguments.key_file {
        let (signer, address) = key_of(path).await?;
        return Ok(Who {
            id: AccountId(0),
            address,
            wallet: None,
            session: None,
            key: key_ref(),
            signer: Some(Unbound::File(signer)),
        });
    }
    let whom = arguments.whom.as_deref().context("give an address, an account or --key-file")?;
    if let Ok(address) = whom.parse() {
        ensure!(!changes, "--deploy, --approve and --wrap need --key-file, or an account of yours");
        return Ok(Who {
            id: AccountId(0),
            address,
            wallet: None,
            session: None,
            key: key_ref(),
            signer: None,
        });
    }
    let place = Place::of(configuration, Some(data_dir))?;
    ensure!(
        place.is_there(),
        "`{whom}` is no address, and there is no installation in {} whose account it could be: --data-dir names another",
        data_dir.display()
    );
    let live = &configuration.live;
    let desk = Desk::open(&place, live, if changes { Need::Keys } else { Need::Nothing }).await?;
    let line = arm::find(&desk, whom).await?;
    ensure!(line.mode == AccountMode::Live, "account `{}` has play money and no wallet", line.label);
    let session = (line.kind == WalletKind::Session).then_some(line.wallet);
    ensure!(
        !changes || session.is_none(),
        "account `{}` trades with a session key, which does nothing else; the owner of {} must do that",
        line.label,
        line.wallet
    );
    let signer = match desk {
        Desk::Own { keyring, .. } if keyring.keeper().is_ok() => Some(Unbound::Sealed(keyring.signer())),
        Desk::Running(_) if changes => bail!("a process runs on {}; stop it first", data_dir.display()),
        _ => None,
    };
    Ok(Who {
        id: line.id,
        address: line.signer,
        wallet: Some(line.wallet),
        session,
        key: live_key(line.wallet),
        signer,
    })
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

/// What the wallet of an account has and lacks.
///
/// # Errors
/// When the chain cannot be read.
pub(crate) async fn report_of_account(
    rpc: &dyn JsonRpc,
    account: &TradingAccount,
    now: domain::Timestamp,
) -> anyhow::Result<WalletReport> {
    if account.kind == WalletKind::Session {
        let session = Wallets::new(rpc).session(account.signer, account.wallet, now).await;
        return session.context("the chain cannot be read");
    }
    report_of(rpc, account.signer, Some(account.wallet)).await
}

async fn key_of(path: &Path) -> anyhow::Result<(LocalSigner, Address)> {
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

/// What is missing, and what to do about it: a flag of `account check`, or words.
pub(crate) fn wants(finding: Finding, used: Candidate) -> (String, String) {
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
        Finding::SessionEnds(until) => {
            format!("wallet {wallet} lets this key trade until {until} only, and buy until a day before")
        }
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

const NOTHING_MISSING: &str = "nothing is missing\n";

/// What a wallet lacks, with what to do: as text and as data.
fn missing_of(findings: &[Finding], used: Candidate) -> (String, Vec<Value>) {
    if findings.is_empty() {
        return (NOTHING_MISSING.to_owned(), Vec::new());
    }
    let (mut text, mut missing) = ("missing:\n".to_owned(), Vec::new());
    for finding in findings {
        let (what, remedy) = wants(*finding, used);
        text.push_str(&format!("  {what}: {remedy}\n"));
        missing.push(json!({ "missing": what, "fix": remedy }));
    }
    (text, missing)
}

fn answer(eoa: Address, report: &WalletReport, lacks: &[Seen]) -> Answer {
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
    for lack in lacks {
        let (what, remedy) = (&lack.evidence, lack.fix.as_deref().unwrap_or_default());
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
