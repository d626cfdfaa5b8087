//! `slipstream account add`: everything is checked, and every mistake told, before anything is stored.

use std::{
    fs::File,
    io::Read as _,
    path::{Path, PathBuf},
    sync::Arc,
};

use anyhow::{Context, bail, ensure};
use clap::{Args, ValueEnum};
use domain::{Address, Clock, Usd, WalletKind};
use polymarket::wallets::{Candidate, WalletReport, Wallets};
use serde_json::json;
use signer::{FileKey, PrivateKey, encrypt_for};

use super::{
    desk::{Desk, Need},
    encrypted_key::EncryptedKey,
    kind_name, missing_of,
    requests::AccountRequest,
    unlock,
};
use crate::{
    chain::ChainProviders,
    cli::Installation,
    clock::SystemClock,
    commands::Answer,
    configuration::{ConfigFile, keys::LiveSettings},
    place::Place,
    rpc_command::configured,
    terminal,
    wording::causes,
};

/// Polygon's number, as JSON-RPC has it.
const POLYGON: &str = "0x89";

/// Arguments of `account add`.
#[derive(Debug, Args)]
#[command(after_help = "Examples:
  slipstream account add practice --money 500
  slipstream account add main --live --key-file key.txt
  slipstream account add main --live --session --wallet 0x1e1e1e1e1e1e1e1e1e1e1e1e1e1e1e1e1e1e1e1e --key-file session-key
  age -r \"$(slipstream signer public-key)\" key.txt > key.age   # on another machine, with its output
  slipstream account add main --live --sealed key.age

Without --key-file or --sealed the private key is asked for and not shown. Nothing is stored when something is wrong with
the label, the key, the chain or the wallet. What the wallet still lacks (money, approvals, being there) is told, and got later.
Exit status: 0 added, 1 something is wrong (all of it is told), 2 the flags cannot be understood.")]
pub struct AddArgs {
    /// What it is called.
    pub label: String,
    /// With real money and a key of yours. Without it: play money and a throw-away key.
    #[arg(long)]
    pub live: bool,
    /// Dollars of play money.
    #[arg(long, value_name = "USD", default_value = "1000", conflicts_with = "live")]
    pub money: Usd,
    /// The most dollars at risk in the account; fees come on top. Without it: no such cap.
    #[arg(long, value_name = "USD")]
    pub cap: Option<Usd>,
    /// The private key: 64 hex digits in a file that only you can read (mode 600).
    #[arg(long, value_name = "FILE", requires = "live", conflicts_with = "sealed")]
    pub key_file: Option<PathBuf>,
    /// The private key, encrypted by age for `slipstream signer public-key`.
    #[arg(long, value_name = "FILE", requires = "live")]
    pub sealed: Option<PathBuf>,
    /// The wallet that holds the money. Without it: the one found on the chain.
    #[arg(long, value_name = "ADDRESS", requires = "live")]
    pub wallet: Option<Address>,
    /// The key is a session key: the owner of this wallet lets it trade, and nothing else.
    #[arg(long, requires_all = ["live", "wallet"], conflicts_with = "wallet_type")]
    pub session: bool,
    /// Its kind, as a check of what is found.
    #[arg(long, requires = "live")]
    pub wallet_type: Option<WalletType>,
    /// Where the installation is.
    #[command(flatten)]
    pub at: Installation,
    /// Where the chain's providers are, and what opens the keys.
    #[command(flatten)]
    pub config: ConfigFile,
}

/// Kinds of wallets by the venue's names.
#[derive(Clone, Copy, Debug, PartialEq, Eq, ValueEnum)]
pub enum WalletType {
    /// The key's own address.
    Eoa,
    /// A proxy wallet (of a login by e-mail).
    Proxy,
    /// A Safe (of a login by browser wallet).
    Safe,
    /// A deposit wallet.
    Deposit,
}

impl From<WalletType> for WalletKind {
    fn from(kind: WalletType) -> Self {
        match kind {
            WalletType::Eoa => Self::Eoa,
            WalletType::Proxy => Self::Proxy,
            WalletType::Safe => Self::Safe,
            WalletType::Deposit => Self::Deposit,
        }
    }
}

/// Runs it.
///
/// # Errors
/// In words, with what to do.
pub(super) async fn run(arguments: &AddArgs) -> anyhow::Result<Answer> {
    let live = arguments.config.configured()?.live;
    let place = arguments.at.place_by(&arguments.config)?;
    if !arguments.live {
        let desk = Desk::open(&place, &live, Need::Nothing).await?;
        let (label, cash, cap) = (arguments.label.clone(), arguments.money, arguments.cap);
        return desk.ask(AccountRequest::AddPaper { label, cash, cap }).await;
    }
    unlock::hardened()?;
    // All that is wrong is told at once, and before anything is asked for.
    let mut wrong = label_mistakes(&place, &live, &arguments.label).await;
    let chain = chain_of(&arguments.config).await.map_err(|error| wrong.push(causes(&error))).ok();
    let asks = arguments.key_file.is_none() && arguments.sealed.is_none();
    let key = match asks && !wrong.is_empty() {
        true => None,
        false => key_of(arguments.key_file.as_deref(), arguments.sealed.as_deref())
            .map_err(|error| wrong.push(causes(&error)))
            .ok(),
    };
    let (Some(key), Some(chain), true) = (key, chain, wrong.is_empty()) else {
        return Err(all_wrong(&wrong));
    };
    let desk = Desk::open(&place, &live, Need::FirstKeys).await?;
    let (key, address) = encrypted_key(&desk, key).await?;
    let rpc = chain.json_rpc();
    let wallets = Wallets::new(rpc.as_ref());
    let WalletReport { used, missing, until, .. } = report_for(&wallets, address, arguments).await?;
    let (label, cap) = (arguments.label.clone(), arguments.cap);
    let request = AccountRequest::AddLive { label, key, wallet: used.wallet, kind: used.kind, until, cap };
    let mut answer = desk.ask(request).await?;
    let (text, json) = missing_of(&missing, used);
    answer.text.push_str(&format!(
        "\n\naddress {address} trades with {} {}: {} pUSD\n{text}",
        kind_name(used.kind),
        used.wallet,
        used.dollars
    ));
    if !used.dollars.is_positive() && used.kind != WalletKind::Session && arguments.wallet.is_none() {
        answer.text.push_str(&format!(
            "\nno wallet of this key has money yet. This account is for {} for good: if the money comes to another one, `slipstream \
             account remove {}` and add it again then",
            used.wallet, arguments.label
        ));
    }
    if let Some(object) = answer.json.as_object_mut() {
        object.insert("usd".to_owned(), json!(used.dollars));
        object.insert("missing".to_owned(), json.into());
    }
    Ok(answer)
}

/// What speaks against a label, and against what opens the keys as far as nobody is asked for it.
async fn label_mistakes(place: &Place, live: &LiveSettings, label: &str) -> Vec<String> {
    let asked = async {
        let desk = Desk::open(place, live, Need::Nothing).await?;
        desk.ask(AccountRequest::MistakesOf { label: label.to_owned() }).await
    };
    match asked.await {
        Ok(answer) => serde_json::from_value(answer.json).unwrap_or_default(),
        Err(error) => vec![causes(&error)],
    }
}

/// The wallet to trade with, and what it lacks.
async fn report_for(
    wallets: &Wallets<'_>,
    address: Address,
    arguments: &AddArgs,
) -> anyhow::Result<WalletReport> {
    let unread = "the chain cannot be read, so nothing was stored";
    if let (true, Some(wallet)) = (arguments.session, arguments.wallet) {
        return wallets.session(address, wallet, SystemClock.now()).await.context(unread);
    }
    let report = wallets.detect(address).await.context(unread)?;
    let used = choose(&report, address, arguments)?;
    let missing = wallets.missing(used).await.context(unread)?;
    Ok(WalletReport { used, missing, ..report })
}

/// A key on its way.
pub(super) enum Key {
    /// As it is.
    Open(PrivateKey),
    /// A file that age encrypted.
    Encrypted(Vec<u8>),
}

/// The key for whoever seals it, and its address.
pub(super) async fn encrypted_key(desk: &Desk<'_>, key: Key) -> anyhow::Result<(EncryptedKey, Address)> {
    let key = match key {
        Key::Encrypted(file) => EncryptedKey::of(&file),
        Key::Open(key) => {
            let answer = desk.ask(AccountRequest::PublicKey).await?;
            let to = answer.json["public_key"].as_str().unwrap_or_default();
            EncryptedKey::of(&encrypt_for(to, &key).context("the private key cannot be encrypted")?)
        }
    };
    let answer = desk.ask(AccountRequest::AddressOf(key.clone())).await?;
    Ok((key, answer.json["address"].as_str().unwrap_or_default().parse()?))
}

/// The key from where it is said to be, or from the terminal.
pub(super) fn key_of(key_file: Option<&Path>, sealed: Option<&Path>) -> anyhow::Result<Key> {
    if let Some(path) = key_file {
        let key = FileKey::read(path).with_context(|| format!("the key in {}", path.display()))?;
        return Ok(Key::Open(key.into_key()));
    }
    if let Some(path) = sealed {
        return encrypted(path).map(Key::Encrypted).with_context(|| format!("{}", path.display()));
    }
    let typed = terminal::ask_secret("Private key (64 hex digits, not shown): ")
        .context("the private key is typed at a terminal, or comes by --key-file or --sealed")?;
    Ok(Key::Open(PrivateKey::parse(typed.as_bytes()).context("what was typed")?))
}

/// Nobody but the signer can open it, so others may read it.
fn encrypted(path: &Path) -> anyhow::Result<Vec<u8>> {
    let most = signer::limits::LONGEST_AGE_FILE;
    let mut bytes = Vec::new();
    let room = u64::try_from(most).unwrap_or(u64::MAX).saturating_add(1);
    File::open(path)?.take(room).read_to_end(&mut bytes)?;
    ensure!(bytes.len() <= most, "it has more than {most} bytes, which no key encrypted by age has");
    Ok(bytes)
}

/// The chain's providers, which are Polygon's.
pub(super) async fn chain_of(config: &ConfigFile) -> anyhow::Result<ChainProviders> {
    let clock: Arc<dyn Clock> = Arc::new(SystemClock);
    let providers = ChainProviders::of(polymarket::client()?, &clock, &configured(config)?);
    let number = providers.json_rpc().ask("eth_chainId", json!([])).await;
    let number =
        number.context("the chain cannot be read; check the providers with `slipstream rpc check`")?;
    ensure!(
        number.as_str() == Some(POLYGON),
        "the RPC provider is of chain {number}, and the venue is on Polygon ({POLYGON}); correct `rpc_urls` of [chain]"
    );
    Ok(providers)
}

/// The wallet to trade with, or all that speaks against it.
fn choose(report: &WalletReport, address: Address, arguments: &AddArgs) -> anyhow::Result<Candidate> {
    let mut wrong = Vec::new();
    let asked = match arguments.wallet {
        None => Some(&report.used),
        Some(wallet) => report.candidates.iter().find(|one| one.wallet == wallet),
    };
    if let (None, Some(wallet)) = (asked, arguments.wallet) {
        let own: Vec<String> = report
            .candidates
            .iter()
            .map(|one| format!("{} {} with {} pUSD", kind_name(one.kind), one.wallet, one.dollars))
            .collect();
        wrong.push(format!(
            "{wallet} is no wallet of {address}, the address of this key. It has {}: leave --wallet out, or import the key \
             that belongs to {wallet}",
            own.join(", ")
        ));
    }
    let kind = arguments.wallet_type.map(WalletKind::from);
    if let (Some(found), Some(kind)) = (asked, kind)
        && found.kind != kind
    {
        wrong.push(format!(
            "--wallet-type says {}, and {} is another kind ({}); leave it out, or name the wallet with --wallet",
            kind_name(kind),
            found.wallet,
            kind_name(found.kind)
        ));
    }
    match (asked, wrong.is_empty()) {
        (Some(used), true) => Ok(*used),
        _ => Err(all_wrong(&wrong)),
    }
}

/// `a Safe`, and the one that is no kind of contract.
fn with_article(kind: WalletKind) -> String {
    match kind {
        WalletKind::Eoa => kind_name(kind).to_owned(),
        kind => format!("a {}", kind_name(kind)),
    }
}

/// All that is wrong, in one.
pub(super) fn all_wrong(wrong: &[String]) -> anyhow::Error {
    anyhow::anyhow!("nothing was stored:\n  {}", wrong.join("\n  "))
}

/// Whether a key's address owns a wallet of this kind: it is computed, never believed.
pub(crate) fn check_wallet(signer: Address, wallet: Address, kind: WalletKind) -> anyhow::Result<()> {
    let own = match kind {
        WalletKind::Eoa => wallet == signer,
        WalletKind::Proxy => wallet == polymarket::wallets::proxy_wallet(signer),
        WalletKind::Safe => wallet == polymarket::wallets::safe(signer),
        WalletKind::Deposit => polymarket::wallets::deposit_wallets(signer).contains(&wallet),
        // Its wallet is another key's.
        WalletKind::Session => false,
    };
    if own { Ok(()) } else { bail!("{wallet} is not {} of {signer}; nothing was stored", with_article(kind)) }
}
