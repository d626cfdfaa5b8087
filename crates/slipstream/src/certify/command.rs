//! The `certify` command: who is asked, with whose key, and what is needed before it may be the real venue.

use std::{
    path::{Path, PathBuf},
    process::ExitCode,
    sync::Arc,
    time::Duration,
};

use anyhow::{Context as _, bail, ensure};
use clap::Args;
use domain::{Address, Clock, KeyRef, TokenId, TradingAccount, Usd, WalletKind, ids::AccountId, money::ONE};
use eip712::Chain;
use engine::ports::venue::Signer;
use polymarket::{Clob, Geoblock, VenueLimits};
use signer::{Binding, FileKey, LocalSigner};
use simulator::Running;
use tokio::signal::unix::{SignalKind, signal};

use super::{
    finding::{Finding, differs, table},
    place::{Place, Terms},
    questions::ask_all,
    stage::{Stage, TOKEN},
    transcript::{self, Transcript},
};
use crate::{clock::SystemClock, output::print, secrets::random_salt};

/// The most that a run may be allowed to ask for.
const MOST: Usd = Usd(100 * ONE);

/// Arguments of `certify`.
#[derive(Clone, Debug, Args)]
pub struct CertifyArgs {
    /// Ask the real venue instead of the simulated one. Needs --real-money, a key, a token and a cap too.
    #[arg(long, requires_all = ["real_money", "key_file", "token", "cap"])]
    live: bool,
    /// Yes: place real orders with real money.
    #[arg(long, requires = "live")]
    real_money: bool,
    /// File with the signing key as 64 hexadecimal digits, which only its owner may read.
    #[arg(long, value_name = "FILE", requires = "live")]
    key_file: Option<PathBuf>,
    /// The wallet that holds the money, if it is not the key's own address.
    #[arg(long, value_name = "ADDRESS", requires_all = ["live", "wallet_kind"])]
    wallet: Option<Address>,
    /// Its kind: proxy, safe or deposit.
    #[arg(long, value_parser = wallet_kind, requires = "wallet")]
    wallet_kind: Option<WalletKind>,
    /// The outcome token to place orders for, at the lowest price there is. Nobody may sell at it.
    #[arg(long, value_name = "ID", requires = "live")]
    token: Option<TokenId>,
    /// The most dollars in all orders together; about one is needed.
    #[arg(long, value_name = "DOLLARS", requires = "live")]
    cap: Option<Usd>,
    /// The longest wait of one question, in seconds: from 5 on it is seen how long ids are remembered, from 135 on
    /// what becomes of expired orders.
    #[arg(long, value_name = "SECONDS", default_value_t = 0, value_parser = clap::value_parser!(u64).range(0..=600))]
    patience: u64,
    /// Buy the least there is and sell it again, within the cap: what that costs is lost.
    #[arg(long, requires = "live")]
    fill: bool,
    /// Where to write the transcript [default: certify-SECONDS.json here]
    #[arg(long, value_name = "FILE")]
    out: Option<PathBuf>,
    /// Print the transcript as JSON instead of the table.
    #[arg(long)]
    json: bool,
    /// The order book service that is asked with --live.
    #[arg(long, hide = true, default_value = "https://clob.polymarket.com")]
    pub(super) clob_url: String,
    /// Its websockets.
    #[arg(long, hide = true, default_value = "wss://ws-subscriptions-clob.polymarket.com")]
    pub(super) channels_url: String,
    /// The live trade feed.
    #[arg(long, hide = true, default_value = "wss://ws-live-data.polymarket.com")]
    pub(super) live_url: String,
    /// The Data API.
    #[arg(long, hide = true, default_value = "https://data-api.polymarket.com")]
    pub(super) data_url: String,
    /// Where it is asked whether the venue trades with this place.
    #[arg(long, hide = true, default_value = "https://polymarket.com")]
    pub(super) geoblock_url: String,
}

fn wallet_kind(text: &str) -> Result<WalletKind, String> {
    match text {
        "proxy" => Ok(WalletKind::Proxy),
        "safe" => Ok(WalletKind::Safe),
        "deposit" => Ok(WalletKind::Deposit),
        _ => Err("it is proxy, safe or deposit".to_owned()),
    }
}

/// What a run came to.
pub(super) struct Outcome {
    pub(super) findings: Vec<Finding>,
    pub(super) document: String,
}

/// Asks, prints, and keeps the transcript. Fails when the venue does something else than is relied on.
///
/// # Errors
/// In words, with what to do.
pub async fn run(arguments: &CertifyArgs) -> anyhow::Result<ExitCode> {
    let clock: Arc<dyn Clock> = Arc::new(SystemClock);
    let out = arguments
        .out
        .clone()
        .unwrap_or_else(|| Path::new(&format!("certify-{}.json", clock.now().seconds())).to_owned());
    ensure!(!out.exists(), "{} is there already; name another file with --out", out.display());
    let outcome = certify_until(arguments, &clock, &out, interrupted()?).await?;
    if arguments.json {
        print(&outcome.document)?;
    } else {
        print(&format!("{}transcript: {}", table(&outcome.findings), out.display()))?;
    }
    Ok(if differs(&outcome.findings) { ExitCode::FAILURE } else { ExitCode::SUCCESS })
}

/// Ends when somebody wants this to end.
fn interrupted() -> anyhow::Result<impl Future<Output = ()>> {
    let mut asked = signal(SignalKind::interrupt()).context("no signal handler")?;
    let mut told = signal(SignalKind::terminate()).context("no signal handler")?;
    Ok(async move {
        tokio::select! {
            _ = asked.recv() => {}
            _ = told.recv() => {}
        }
    })
}

/// Asks the venue that is meant, and writes the transcript. When `stop` ends, nothing more is asked; what was placed is
/// ended in any case.
pub(super) async fn certify_until(
    arguments: &CertifyArgs,
    clock: &Arc<dyn Clock>,
    out: &Path,
    stop: impl Future<Output = ()>,
) -> anyhow::Result<Outcome> {
    let client = if arguments.live { polymarket::client()? } else { polymarket::local_client()? };
    let patience = Duration::from_secs(arguments.patience);
    let (stage, signer, terms) = if arguments.live {
        let (signer, terms) = live_terms(arguments, patience).await?;
        allowed_here(&Geoblock::new(client.clone(), &arguments.geoblock_url)).await?;
        (None, signer, terms)
    } else {
        let stage = Stage::set(clock).await?;
        let Running { clob_url, live_url, data_url, .. } = &stage.running;
        let terms = Terms {
            origin: clob_url.clone(),
            channels: clob_url.replacen("http", "ws", 1),
            live: live_url.clone(),
            data: data_url.clone(),
            account: stage.account.clone(),
            token: TOKEN,
            cap: MOST,
            patience,
            fill: true,
        };
        let signer = Arc::clone(&stage.signer);
        (Some(stage), signer, terms)
    };
    let clob = Clob::new(client.clone(), &terms.origin, Chain::Polygon, signer, Arc::clone(clock))
        .paced(VenueLimits::default());
    let transcript = Arc::new(Transcript::new(arguments.live, clock.now()));
    let with = (Arc::clone(clock), transcript, random_salt()?);
    let place = Place::open(terms, Arc::new(clob), client, with).await?;
    let mut findings = Vec::new();
    let broken_off = tokio::select! {
        () = ask_all(&place, &mut findings) => false,
        () = stop => true,
    };
    // Nothing of it may rest when it is over, whatever else went wrong.
    let tidied = place.tidy().await;
    let document = place.transcript.document(&findings)?;
    let written = transcript::write(out, &document);
    if let Some(stage) = stage {
        stage.end().await;
    }
    tidied.context("orders of this run may still rest: look at them and cancel them")?;
    written?;
    let held = place.held();
    let left = if held.is_positive() {
        format!("; {held} shares that it bought are NOT sold again")
    } else {
        String::new()
    };
    ensure!(
        !broken_off,
        "broken off; no order of this run rests{left}, and {} tells what was seen",
        out.display()
    );
    Ok(Outcome { findings, document })
}

/// A blocked place is told so; no way around it is tried.
async fn allowed_here(geoblock: &Geoblock) -> anyhow::Result<()> {
    let region = geoblock.region().await.context("whether the venue trades with this place is not known")?;
    ensure!(!region.blocked, "{region}");
    Ok(())
}

async fn live_terms(
    arguments: &CertifyArgs,
    patience: Duration,
) -> anyhow::Result<(Arc<LocalSigner>, Terms)> {
    let (true, Some(file), Some(token), Some(cap)) =
        (arguments.real_money, &arguments.key_file, arguments.token, arguments.cap)
    else {
        bail!("--live needs --real-money, --key-file, --token and --cap");
    };
    ensure!(cap.is_positive() && cap <= MOST, "--cap is above nothing and at most {MOST} dollars");
    let key = KeyRef("certify".to_owned());
    crate::account::hardened()?;
    let source = FileKey::read(file).with_context(|| format!("the key in {}", file.display()))?;
    let signer = Arc::new(LocalSigner::new(Chain::Polygon, Box::new(source)));
    let own = signer.address(&key).await.context("the key cannot be used")?;
    let (wallet, kind) = match (arguments.wallet, arguments.wallet_kind) {
        (Some(wallet), Some(kind)) => (wallet, kind),
        _ => (own, WalletKind::Eoa),
    };
    signer.bind(key.clone(), Binding { wallet, kind, until: None })?;
    let account = TradingAccount { id: AccountId(1), wallet, signer: own, kind, key };
    let terms = Terms {
        origin: arguments.clob_url.clone(),
        channels: arguments.channels_url.clone(),
        live: arguments.live_url.clone(),
        data: arguments.data_url.clone(),
        account,
        token,
        cap,
        patience,
        fill: arguments.fill,
    };
    Ok((signer, terms))
}
