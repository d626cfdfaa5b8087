//! Where an installation is, and making one: `slipstream init`.

use std::{
    fs::{self, OpenOptions},
    io::{self, BufRead, IsTerminal, Write},
    os::unix::fs::OpenOptionsExt,
    path::{Path, PathBuf},
    sync::Arc,
};

use anyhow::{Context, bail, ensure};
use domain::{Address, Clock, Usd, WalletKind, money::ONE};
use engine::ports::{
    following::{AccountMode, Following as _, NewAccount},
    reports::Reports as _,
    store::Store,
    venue::Signer,
};
use serde_json::json;
use store::Migrated;

use crate::{
    chain::public_providers,
    clock::SystemClock,
    commands::{Answer, DATABASE},
    composition::derived_signer,
    configuration::{self, Configuration, FILE},
    db_command,
    following::{self, FollowingRequest, PolicyFlags, answer as answer_following},
    place::{Place, Servers},
    secrets::InstallationSecret,
    socket,
    wording::{count, dollars},
};

/// Play money of a paper account.
const PLAY_MONEY: Usd = Usd(1_000 * ONE);
/// Name of the first paper account.
const ACCOUNT: &str = "paper";
/// What is good for paper alone, and cannot be changed once something was copied.
const WITHOUT_CHAIN: &str = "\nno RPC provider is named: good for paper. If real money is ever meant, name some in `rpc_urls` of \
                             [chain] before the first `run`; once something was copied without the chain it takes another \
                             installation (`init --rpc https://…`)";
/// Who may read the configuration: its owner, because URLs of providers may carry keys.
const MODE: u32 = 0o600;

/// Arguments of `init`.
#[derive(Debug, clap::Args)]
#[command(after_help = "Examples:\n  slipstream init                       # asks three questions\n  \
    slipstream init --yes --leader 0x1e1e1e1e1e1e1e1e1e1e1e1e1e1e1e1e1e1e1e1e --fixed 5\n  \
    slipstream init --yes --rpc https://polygon-bor-rpc.publicnode.com --rpc https://polygon.drpc.org --money 500")]
pub struct InitArgs {
    /// The file to write.
    #[arg(long, value_name = "FILE", default_value = FILE)]
    pub file: PathBuf,
    /// Where the data is kept [default: slipstream-data beside the file]
    #[arg(long, value_name = "DIRECTORY")]
    pub data_dir: Option<PathBuf>,
    /// Play money of the paper account, in dollars [default: 1000]
    #[arg(long, value_name = "DOLLARS")]
    pub money: Option<Usd>,
    /// Follow this wallet.
    #[arg(long, value_name = "ADDRESS")]
    pub leader: Option<Address>,
    /// A provider of Polygon's JSON-RPC; repeat it for more.
    #[arg(long, value_name = "URL")]
    pub rpc: Vec<String>,
    /// Ask nothing: take the defaults for what no flag says.
    #[arg(long, short)]
    pub yes: bool,
    /// How to copy.
    #[command(flatten)]
    pub policy: PolicyFlags,
    /// Print JSON.
    #[arg(long)]
    pub json: bool,
}

/// What an installation is made of.
struct Wishes {
    money: Usd,
    leader: Option<Address>,
    rpc: Vec<String>,
    policy: Vec<(String, String)>,
}

/// Makes an installation: a commented configuration, and a data directory with a paper account.
///
/// # Errors
/// In words, with what to do; nothing that exists is written over.
pub async fn init(arguments: &InitArgs) -> anyhow::Result<(Answer, bool)> {
    let file = &arguments.file;
    ensure!(!file.exists(), "{} is there already: edit it, or name another file with --file", file.display());
    let base = file.parent().unwrap_or(Path::new(""));
    let data_dir = arguments.data_dir.clone().unwrap_or_else(|| PathBuf::from("slipstream-data"));
    let path = base.join(&data_dir);
    no_file(&path)?;
    ensure!(
        !path.join(DATABASE).exists(),
        "there is an installation in {} already: name another --data-dir, or remove it",
        path.display()
    );
    socket::check_path(&path)?;
    // The servers that many processes share are named by the environment: no file is there yet.
    let place = Place::of(&Configuration::load(None, std::env::vars_os())?, Some(&path))?;
    let wishes =
        if arguments.yes || !io::stdin().is_terminal() { told(arguments) } else { asked(arguments)? };
    let text = contents(&data_dir, &wishes.rpc);
    // What would be refused later is refused before anything is written.
    ensure!(wishes.money.is_positive(), "play money must be more than nothing: --money 1000");
    if let Some(leader) = wishes.leader {
        following::wanted(leader, &wishes.policy)?;
    }
    configuration::read(&file.display().to_string(), base, &text, &configuration::Variables::new())?;
    // What cannot be written is told before anything is made, and what cannot be made leaves nothing behind.
    write(file, &text)?;
    let was_there = path.exists();
    let furnished = furnish(&place, &wishes).await;
    if furnished.is_err() {
        let _ = fs::remove_file(file);
        if !was_there {
            let _ = fs::remove_dir_all(&path);
        }
    }
    let lines = furnished?;
    let next = "slipstream run";
    let alone = if wishes.rpc.is_empty() { WITHOUT_CHAIN } else { "" };
    let text = format!(
        "wrote {}\n{}{alone}\n\nNext: `{next}`, and in another terminal `slipstream activity`, `slipstream positions`{}",
        file.display(),
        lines.join("\n"),
        if wishes.leader.is_some() { "" } else { ", `slipstream leader top`, `slipstream follow 0x…`" },
    );
    let json = json!({
        "file": file, "data_dir": path, "account": ACCOUNT, "money": wishes.money, "leader": wishes.leader,
    });
    Ok((Answer { text, json, ok: true }, arguments.json))
}

/// Whether there is an installation: `run` makes none, so a mistyped directory is told.
///
/// # Errors
/// In words, with what to do.
pub(super) fn exists(data_dir: &Path) -> anyhow::Result<()> {
    no_file(data_dir)?;
    ensure!(
        data_dir.join(DATABASE).exists(),
        "there is no installation in {}: `slipstream init` makes one, --data-dir names another directory",
        data_dir.display()
    );
    Ok(())
}

fn no_file(data_dir: &Path) -> anyhow::Result<()> {
    ensure!(
        !data_dir.is_file(),
        "{} is a file, and a data directory is needed: name another --data-dir, or remove it",
        data_dir.display()
    );
    Ok(())
}

fn told(arguments: &InitArgs) -> Wishes {
    Wishes {
        money: arguments.money.unwrap_or(PLAY_MONEY),
        leader: arguments.leader,
        rpc: arguments.rpc.clone(),
        policy: arguments.policy.changes(),
    }
}

/// Asks what no flag has told.
fn asked(arguments: &InitArgs) -> anyhow::Result<Wishes> {
    let mut wishes = told(arguments);
    if arguments.money.is_none() {
        wishes.money = ask("Play money in dollars", "1000", |word| word.parse().ok())?;
    }
    if arguments.leader.is_none() {
        let leader = |word: &str| if word.is_empty() { Some(None) } else { word.parse().ok().map(Some) };
        wishes.leader = ask("Wallet to follow (0x…; empty for none yet)", "", leader)?;
    }
    if arguments.rpc.is_empty() {
        let urls = |word: &str| {
            let list: Vec<String> = word.split_whitespace().map(str::to_owned).collect();
            (list.is_empty() || polymarket::rpc_urls(&list.join(",")).is_ok()).then_some(list)
        };
        let question = format!(
            "RPC providers of Polygon (https://…, spaces between; empty for none, which is for paper alone and for \
             good).\n  Public ones, good for a beginning on paper: {}\n ",
            public_providers()
        );
        wishes.rpc = ask(&question, "", urls)?;
    }
    Ok(wishes)
}

fn ask<T>(question: &str, usual: &str, read: impl Fn(&str) -> Option<T>) -> anyhow::Result<T> {
    loop {
        let mut out = io::stderr().lock();
        let shown = if usual.is_empty() { String::new() } else { format!(" [{usual}]") };
        write!(out, "{question}{shown}: ").and_then(|()| out.flush()).context("cannot ask")?;
        let mut line = String::new();
        if io::stdin().lock().read_line(&mut line).context("cannot read the answer")? == 0 {
            bail!("no answer; `slipstream init --yes` asks nothing");
        }
        let word = line.trim();
        if let Some(answer) = read(if word.is_empty() { usual } else { word }) {
            return Ok(answer);
        }
        writeln!(out, "  that cannot be used; once more").context("cannot ask")?;
    }
}

/// The file: every key with its meaning, and in its place what was chosen.
fn contents(data_dir: &Path, rpc: &[String]) -> String {
    let text = |text: &str| toml::Value::String(text.to_owned()).to_string();
    let mut chosen = vec![("run", "data_dir", text(&data_dir.to_string_lossy()))];
    if !rpc.is_empty() {
        let urls: Vec<String> = rpc.iter().map(|url| text(url)).collect();
        chosen.push(("chain", "rpc_urls", format!("[{}]", urls.join(", "))));
    }
    let head = "# The installation of `slipstream run`. Orders are paper until [live] is enabled and an account is armed.\n\n";
    format!("{head}{}", configuration::toml_with(&chosen))
}

fn write(file: &Path, text: &str) -> anyhow::Result<()> {
    let written = OpenOptions::new().write(true).create_new(true).mode(MODE).open(file);
    let mut written = written.with_context(|| format!("cannot write {}", file.display()))?;
    written.write_all(text.as_bytes()).and_then(|()| written.sync_all())?;
    Ok(())
}

/// Who is to connect as whom, to a database that was begun here.
fn roles_of(begun: &Migrated) -> String {
    let refused = db_command::roles_told(begun);
    if begun.roles_refused.is_some() {
        return format!("the schema was made{refused}: operators find no connection of their own before");
    }
    format!(
        "the schema was made{refused}. Give `slipstream_app` and `ops_operator` passwords (`\\password` in psql), and let \
         `url` of [database] name `slipstream_app` before you start anything; operators' shells name `ops_operator`"
    )
}

/// Makes the data directory and what is in it; says what that is.
async fn furnish(place: &Place, wishes: &Wishes) -> anyhow::Result<Vec<String>> {
    let data_dir = place.data_dir.as_path();
    let clock: Arc<dyn Clock> = Arc::new(SystemClock);
    let begun = match &place.servers {
        Some(servers) => servers.begin("init").await?,
        None => None,
    };
    let held = place.hold("init", &clock).await?;
    let store = held.store.as_ref();
    let known = store.accounts(None).await?.len();
    ensure!(
        known == 0,
        "the database has {} already: another process of that installation needs no `init`, only its configuration and a copy \
         of its secret",
        count(known, "account")
    );
    let secret = InstallationSecret::of_installation(data_dir, store).await?;
    let now = clock.now();
    let owner = store.add_owner("me", now).await?;
    let key = paper::key(ACCOUNT, 1);
    let wallet = derived_signer(&secret).address(&key).await.context("the signer gives no address")?;
    let account = NewAccount {
        label: ACCOUNT.to_owned(),
        mode: AccountMode::Paper,
        wallet,
        signer: wallet,
        kind: WalletKind::Eoa,
        key,
        cap: None,
    };
    let account = store.add_account(owner, &account, now).await?;
    store.book_deposit(owner, account, wishes.money, now).await?;
    let mut lines = vec![format!(
        "made {} with the account `{ACCOUNT}`: {} $ of play money",
        data_dir.display(),
        dollars(wishes.money)
    )];
    lines.extend(place.servers.as_ref().map(Servers::shown));
    lines.extend(begun.as_ref().map(roles_of));
    if let Some(leader) = wishes.leader {
        let request = FollowingRequest::Follow { leader, account: None, policy: wishes.policy.clone() };
        let answer = answer_following(store as &dyn Store, clock.as_ref(), &request).await?;
        lines.push(answer.text);
    }
    store.close().await?;
    Ok(lines)
}
