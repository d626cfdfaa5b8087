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

use super::{
    finding::{Finding, differs, table},
    place::{Place, Terms},
    questions::ask_all,
    stage::{Stage, TOKEN},
    transcript::{self, Transcript},
};
use crate::{clock::SystemClock, secrets::random_salt};

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
    /// The longest wait of one question, in seconds: 10 tells how long ids are remembered, 135 what becomes of
    /// expired orders.
    #[arg(long, value_name = "SECONDS", default_value_t = 0, value_parser = clap::value_parser!(u64).range(0..=600))]
    patience: u64,
    /// Where to write the transcript [default: certify-SECONDS.json here]
    #[arg(long, value_name = "FILE")]
    out: Option<PathBuf>,
    /// Print the transcript as JSON instead of the table.
    #[arg(long)]
    json: bool,
    /// The order book service that is asked with --live.
    #[arg(long, hide = true, default_value = "https://clob.polymarket.com")]
    pub(super) clob_url: String,
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
    let outcome = certify(arguments, &clock, &out).await?;
    if arguments.json {
        say(&outcome.document);
    } else {
        say(&format!("{}transcript: {}", table(&outcome.findings), out.display()));
    }
    Ok(if differs(&outcome.findings) { ExitCode::FAILURE } else { ExitCode::SUCCESS })
}

/// Asks the venue that is meant, and writes the transcript.
pub(super) async fn certify(
    arguments: &CertifyArgs,
    clock: &Arc<dyn Clock>,
    out: &Path,
) -> anyhow::Result<Outcome> {
    let client = if arguments.live { polymarket::client()? } else { polymarket::local_client()? };
    let patience = Duration::from_secs(arguments.patience);
    let (stage, signer, terms) = if arguments.live {
        let (signer, terms) = live_terms(arguments, patience).await?;
        allowed_here(&Geoblock::new(client.clone(), &arguments.geoblock_url)).await?;
        (None, signer, terms)
    } else {
        let stage = Stage::set(clock).await?;
        let (origin, account) = (stage.running.clob_url.clone(), stage.account.clone());
        let terms = Terms { origin, account, token: TOKEN, cap: MOST, patience };
        (Some(stage.running), stage.signer, terms)
    };
    let clob = Clob::new(client.clone(), &terms.origin, Chain::Polygon, signer, Arc::clone(clock))
        .paced(VenueLimits::default());
    let transcript = Transcript::new(arguments.live, clock.now());
    let place = Place::open(terms, clob, client, (Arc::clone(clock), transcript, random_salt()?)).await?;
    let findings = ask_all(&place).await;
    // Nothing of it may rest when it is over, whatever else went wrong.
    let tidied = place.tidy().await;
    let document = place.transcript.document(&findings)?;
    let written = transcript::write(out, &document);
    if let Some(simulator) = stage {
        simulator.shutdown().await;
    }
    tidied.context("orders of this run may still rest: look at them and cancel them")?;
    written?;
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
    let source = FileKey::read(file).with_context(|| format!("the key in {}", file.display()))?;
    let signer = Arc::new(LocalSigner::new(Chain::Polygon, Box::new(source)));
    let own = signer.address(&key).await.context("the key cannot be used")?;
    let (wallet, kind) = match (arguments.wallet, arguments.wallet_kind) {
        (Some(wallet), Some(kind)) => (wallet, kind),
        _ => (own, WalletKind::Eoa),
    };
    signer.bind(key.clone(), Binding { wallet, kind })?;
    let account = TradingAccount { id: AccountId(1), wallet, signer: own, kind, key };
    let origin = arguments.clob_url.clone();
    Ok((signer, Terms { origin, account, token, cap, patience }))
}

#[expect(clippy::print_stdout, reason = "the findings are this command's output")]
fn say(text: &str) {
    println!("{text}");
}
