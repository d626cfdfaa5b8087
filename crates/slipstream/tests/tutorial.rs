//! docs/tutorial.md is what a newcomer sees: this test does what it tells, with the real binary, and compares.
//! `SLIPSTREAM_WRITE_TUTORIAL=1` writes it again.
#![cfg(test)]

#[expect(dead_code, reason = "other tests use the rest")]
#[path = "paper/scene.rs"]
mod scene;

use std::{fs, path::Path};

use domain::{Address, Price, Shares, Side, TxHash, money::ONE};
use serde::Serialize;
use serde_json::{Value, json};
use simulator::world::{
    control::{ForeignFill, ForeignTrade, Level, Levels},
    registry::{Standing, Wallet},
};
use slipstream::demo::SimulatorUrls;

use crate::scene::{BINARY, EOA, Guard, IDENTITY, KEY, LEADER, Scene, TOKEN, is_over, market};

/// Where the tutorial is.
const TUTORIAL: &str = concat!(env!("CARGO_MANIFEST_DIR"), "/../../docs/tutorial.md");
/// What writes it again when it is set.
const WRITE: &str = "SLIPSTREAM_WRITE_TUTORIAL";

/// Public providers of the chain, for which this test's stand.
const PROVIDERS: [&str; 2] = ["https://polygon-bor-rpc.publicnode.com", "https://polygon.drpc.org"];

/// Where fields of a line of the log begin.
const FIELDS: [&str; 2] = [" trade=", " order.id="];

impl Scene {
    /// Where the chain's providers are.
    fn rpc_urls(&self) -> Vec<&str> {
        self.urls.rpc.split(',').collect()
    }

    /// Puts values into the file that `init` wrote: keys are uncommented, and the sections above them.
    fn edit(&self, section: &str, values: &[(&str, String)]) {
        let text = fs::read_to_string(self.file()).expect("init writes it");
        let header = format!("[{section}]");
        let (mut inside, mut left, mut out) = (false, values.len(), String::new());
        for line in text.lines() {
            let bare = line.trim_start_matches('#');
            if bare.starts_with('[') {
                inside = bare == header;
            }
            let value = values.iter().find(|(key, _)| inside && bare.starts_with(&format!("{key} = ")));
            match value {
                _ if inside && bare == header => out.push_str(bare),
                Some((key, value)) => {
                    left -= 1;
                    out.push_str(&format!("{key} = {value}"));
                }
                None => out.push_str(line),
            }
            out.push('\n');
        }
        assert_eq!(left, 0, "{values:?} are keys of {header}");
        fs::write(self.file(), out).expect("it is written");
    }

    /// What stands in the file of a newcomer whose venue is the simulator, section by section.
    fn of_simulator(&self) -> [(&'static str, Vec<(&'static str, String)>); 3] {
        let quoted = |url: &str| format!("\"{url}\"");
        let SimulatorUrls { clob, data, gamma, relayer, .. } = &self.urls;
        let hosts = [clob, data, gamma, clob, relayer].map(|url| quoted(url));
        let keys = ["clob_url", "data_url", "gamma_url", "geoblock_url", "relayer_url"];
        let engine = [clob.replacen("http", "ws", 1), String::new(), "200ms".to_owned()];
        let sources = ["channel_url", "live_url", "history_interval"];
        [
            ("run", keys.into_iter().zip(hosts).collect()),
            ("engine", sources.into_iter().zip(engine.map(|value| quoted(&value))).collect()),
            ("venue", vec![("positions_lag", quoted("0s"))]),
        ]
    }
}

/// The text as it grows.
struct Tutorial {
    scene: Scene,
    text: String,
    trades: u8,
    /// What the venue was told, as lines for a shell.
    venue: String,
}

impl Tutorial {
    fn say(&mut self, words: &str) {
        self.text.push_str(words.trim());
        self.text.push_str("\n\n");
    }

    /// Runs a command as a reader would, and shows what it prints.
    fn shell(&mut self, line: &str) {
        let output = self.run(line);
        let shown = self.stable(&output);
        self.text.push_str(&format!("```console\n$ slipstream {line}\n{}\n```\n\n", shown.trim_end()));
    }

    fn run(&self, line: &str) -> String {
        let own = self.scene.rpc_urls();
        let mut line = line.to_owned();
        for (public, own) in PROVIDERS.iter().zip(own) {
            line = line.replace(public, own);
        }
        let arguments: Vec<&str> = line.split(' ').collect();
        let mut command = self.scene.command(&arguments, true);
        let output = command.env("COLUMNS", "100").output().expect("it runs");
        let text = [output.stdout, output.stderr].concat();
        String::from_utf8(text).expect("text")
    }

    /// Without what differs from run to run: directories, moments, and the ids of orders, which are numbered.
    fn stable(&self, text: &str) -> String {
        let home = self.scene.directory.path().to_string_lossy().into_owned();
        let mut text = text.replace(&format!("{home}/"), "").replace(&home, ".");
        let orders = if self.scene.file().is_file() {
            self.scene.ask(&["export", "orders"])
        } else {
            serde_json::json!([])
        };
        for (number, order) in (1..).zip(orders.as_array().expect("orders")) {
            let id = order["order"].as_str().expect("an id");
            let stable = format!("0x{}", format!("{number:02}").repeat(32));
            // Tables show the beginning of an id.
            text = text.replace(id, &stable).replace(&id[..10], &stable[..10]);
        }
        text.lines().map(without_moments).collect::<Vec<_>>().join("\n")
    }

    /// The first line of the log with each of these words, without moments and fields for machines: which of them comes
    /// first is a matter of chance.
    fn log(&mut self, words: &[&str]) {
        let log = fs::read_to_string(self.scene.log()).expect("a log");
        let first = |word: &&str| log.lines().find(|line| line.contains(word));
        let told = words.iter().filter_map(first).filter_map(|line| Some(line.split_once("Z ")?.1.trim()));
        let told: Vec<&str> = told
            .map(|line| {
                FIELDS
                    .iter()
                    .filter_map(|field| Some(line.split_once(field)?.0))
                    .min_by_key(|text| text.len())
                    .unwrap_or(line)
            })
            .collect();
        let shown = self.stable(&told.join("\n"));
        self.text.push_str(&format!("```text\n{shown}\n```\n\n"));
    }

    fn note(&mut self, what: &str, path: &str, body: &Value) {
        self.venue.push_str(&format!("# {what}\ncurl --json '{body}' $SIM{path}\n"));
    }

    /// Tells the venue something, as the line for a shell does.
    async fn tell_venue(&mut self, what: &str, path: &str, body: impl Serialize) {
        let body = serde_json::to_value(body).expect("JSON");
        let request = polymarket::client().expect("a client").post(self.scene.urls.control.clone() + path);
        let answer = request.header("content-type", "application/json").body(body.to_string()).send().await;
        let status = answer.expect("an answer").status();
        assert!(status.is_success(), "{path} {body}: {status}");
        self.note(what, path, &body);
    }

    /// The leader trades on a book with these best prices in cents.
    async fn leader(&mut self, side: Side, bid: i64, ask: i64) {
        self.scene.next_second().await;
        let level = |cents: i64| Level { price: Price(cents * 10_000), shares: Shares(1_000 * ONE) };
        let (bids, asks) = (vec![level(bid)], vec![level(ask)]);
        self.tell_venue("the book", "/levels", Levels { token: TOKEN, bids, asks, extend: false }).await;
        self.trades += 1;
        let (price, what) = match side {
            Side::Buy => (level(ask).price, "the leader buys"),
            Side::Sell => (level(bid).price, "the leader sells"),
        };
        let shares = Shares(100 * ONE);
        let fill = ForeignFill { wallet: LEADER, token: TOKEN, side, price, shares, maker: false };
        let tx_hash = TxHash([self.trades; 32]);
        self.tell_venue(what, "/trades", ForeignTrade { tx_hash, fills: vec![fill], moves: Vec::new() })
            .await;
    }

    async fn up(&mut self) -> Guard {
        let child = self.scene.run(true, None);
        self.scene.up().await;
        child
    }

    async fn answered(&self, answers: usize) {
        let done = |lines: &[serde_json::Value]| lines.len() == answers && lines.iter().all(is_over);
        self.scene.until_answers("answers", done).await;
    }
}

/// A line whose moments and spans are always the same.
fn without_moments(line: &str) -> String {
    let time = |word: &str| {
        let digits = word.bytes().filter(u8::is_ascii_digit).count();
        digits >= 6
            && word.bytes().all(|byte| byte.is_ascii_digit() || b":.-TZ".contains(&byte))
            && word.contains(':')
    };
    let mut words = Vec::new();
    for word in line.split(' ') {
        let end = if word.ends_with(':') { ":" } else { "" };
        words.push(if time(word) { format!("09:00:00{end}") } else { word.to_owned() });
    }
    words.join(" ").trim_end().to_owned()
}

async fn paper(tutorial: &mut Tutorial) -> Guard {
    tutorial.say("
# Tutorial: from nothing to a live copy

Everything below was done by a test (`crates/slipstream/tests/tutorial.rs`) with the program itself, against a venue that
`slipstream simulator` plays. Only moments, directories, the ids of orders and the chain's providers were made alike. After
`init` the test writes into `slipstream.toml` what stays as it is at the real venue: the simulator's addresses, no live feed, and
two settings that spare waiting. They are [at the end](#the-venues-side), with what the simulator was told, so that you can do
the same. Nothing is told by variables of the environment.

## On paper

One command makes an installation: a commented configuration, and a data directory with an account of play money. It writes
over nothing. Paper needs no provider of the chain's; real money does, and because trades are ordered by the chain's blocks or not
at all, providers are named here and not later:");
    let [first, second] = PROVIDERS;
    tutorial.shell(&format!(
        "init --yes --leader {LEADER} --fixed 5 --data-dir data --rpc {first} --rpc {second}"
    ));
    for (section, values) in tutorial.scene.of_simulator() {
        tutorial.scene.edit(section, &values);
    }
    tutorial.say("
`slipstream run` copies until it is stopped (Ctrl-C). It says what it does, one line for each answer, order and alarm:");
    let child = tutorial.up().await;
    tutorial.leader(Side::Buy, 38, 40).await;
    tutorial.answered(1).await;
    tutorial.log(&["running:", "no money moves", "took", ": copied for"]);
    tutorial.say("
The leader bought 100 shares at 0.40, and the paper account bought for 5 $ from the real book. In another terminal:");
    tutorial.shell("activity");
    tutorial.shell("positions");
    tutorial.shell("following");
    tutorial.say("
`edit` changes how it copies; nothing else of the relationship changes. Buys that are found late, because nothing ran, are
left out unless you say otherwise (`--downtime`):");
    tutorial.shell("edit 1 --fixed 10 --cap-market 50");
    child
}

async fn restart(tutorial: &mut Tutorial, mut child: Guard) -> Guard {
    tutorial.say("
## A restart in the middle

The process may be killed at any moment (`kill -9`); the next start settles what was under way and follows what happened
meanwhile. Here it is killed, and the leader sells everything before it is started again:");
    child.0.kill().expect("it is killed");
    child.0.wait().expect("a child");
    tutorial.leader(Side::Sell, 42, 44).await;
    let child = tutorial.up().await;
    tutorial.answered(2).await;
    tutorial.shell("activity");
    child
}

async fn live(tutorial: &mut Tutorial, mut child: Guard) -> Guard {
    tutorial.say("
## Real money

Two switches are needed: `[live] enabled` in the configuration, and arming each account. The keys are sealed in the database;
what opens them is a file of yours (`[live] key_file`), kept apart ([keys](keys.md)): an age identity, or a passphrase of at least
12 characters. Stop `run`, which was started without it, and in `slipstream.toml`:

```toml
[live]
enabled = true
key_file = \"identity\"     # age-keygen -o identity
```

`add` reads your key from a file that only you can read (or asks for it), and finds its wallet:");
    assert!(tutorial.scene.end(&mut child).await.success());
    let switches = [("enabled", "true".to_owned()), ("key_file", "\"identity\"".to_owned())];
    tutorial.scene.edit("live", &switches);
    tutorial.scene.private("identity", &format!("{IDENTITY}\n"));
    tutorial.scene.private("key", &format!("{KEY}\n"));
    tutorial.shell("account add main --live --key-file key");
    tutorial.shell("account check main");
    tutorial.say("All is well with it. It may follow whom it likes, but it spends nothing before it is armed, within caps:");
    tutorial.shell(&format!("follow {LEADER} --account main --fixed 5"));
    tutorial.shell("account arm main --per-order 20 --per-day 100 --yes main");
    let child = tutorial.up().await;
    tutorial.say("\
Now start `slipstream run` again. What the wallet has was booked by arming, and what comes to it later is while `run` runs. From now on
both accounts copy:");
    tutorial.leader(Side::Buy, 38, 40).await;
    tutorial.answered(4).await;
    tutorial.log(&["may trade with real money"]);
    tutorial.shell("activity --limit 2");
    tutorial.shell("positions");
    child
}

async fn approval_is_withdrawn(tutorial: &mut Tutorial, mut child: Guard) -> Guard {
    tutorial.say("
## An approval is withdrawn

Suppose somebody takes back the venue's approval to move the wallet's money. The next order is refused, is told, and further
buys of this account are held, so that it is not refused a thousand times:");
    let withdrawn = json!({ "wallet": EOA, "approved": false });
    tutorial.tell_venue("the approval is withdrawn", "/approve", withdrawn).await;
    tutorial.leader(Side::Buy, 38, 40).await;
    tutorial.answered(6).await;
    tutorial.shell("activity --limit 2");
    tutorial.shell("holds");
    tutorial.say("`account check` finds what is missing:");
    tutorial.shell("account check main");
    tutorial.say("
`--approve` gets it back, with transactions of the wallet's own. The key is needed for that, so `run` is stopped first, and
started again. Then the hold is lifted; it would also have ended by itself, to try again.");
    assert!(tutorial.scene.end(&mut child).await.success());
    tutorial.shell("account check main --approve");
    let child = tutorial.up().await;
    tutorial.shell("lift 1");
    tutorial.leader(Side::Buy, 38, 40).await;
    tutorial.answered(8).await;
    tutorial.shell("activity --limit 2");
    child
}

async fn panic(tutorial: &mut Tutorial) {
    tutorial.say(
        "
## A panic

`panic` holds everything at once: nothing more is signed.",
    );
    tutorial.shell("panic");
    tutorial.leader(Side::Buy, 38, 40).await;
    tutorial.answered(10).await;
    tutorial.shell("activity --limit 2");
    tutorial.say("`--sell` sells what is held, of paper and live accounts; without `--yes` it asks first:");
    tutorial.shell("panic --sell --yes");
    let sold = async || {
        let lines = tutorial.scene.ask(&["activity"]);
        (lines.as_array()?.len() == 12 && lines.as_array()?.iter().all(is_over)).then_some(())
    };
    tutorial.scene.until("sales", sold).await;
    tutorial.shell("activity --limit 2");
    tutorial.shell("positions");
    tutorial.say("Lifting the hold lets it copy again; it buys nothing back.");
    tutorial.shell("holds");
    tutorial.shell("lift 3");
    tutorial.say(
        "
## Afterwards

`verify` computes everything again: each decision from what it was made from, each order's id, each sum.",
    );
    tutorial.shell("verify");
}

/// What a reader needs besides, to do the same.
fn venue_s_side(tutorial: &mut Tutorial) {
    let mut settings = String::new();
    for (section, values) in tutorial.scene.of_simulator() {
        let lines = values.iter().map(|(key, value)| format!("{key} = {value}\n"));
        settings.push_str(&format!("[{section}]\n{}", lines.collect::<String>()));
    }
    let SimulatorUrls { clob, data, gamma, relayer, .. } = &tutorial.scene.urls;
    let channel = clob.replacen("http", "ws", 1);
    let names =
        [(&channel, "ws of CLOB"), (clob, "CLOB"), (data, "DATA"), (gamma, "GAMMA"), (relayer, "RELAYER")];
    for (url, name) in names {
        settings = settings.replace(url, name);
    }
    let told = std::mem::take(&mut tutorial.venue);
    tutorial.say(&format!(
        "
## The venue's side

`slipstream simulator --block-ms 200` prints its addresses. `init` takes the two of `rpc` (`--rpc`), and `slipstream.toml` the others,
with a channel that begins with `ws://`. The simulator's live feed stays out (the chain tells of trades), its history is asked more
often than the real one may be, and its positions are never old:

```toml
{settings}```

In the order of the text it was told, with `control` of its addresses as `SIM`:

```sh
{told}```"
    ));
}

#[tokio::test(flavor = "multi_thread")]
async fn the_tutorial_is_what_happens() {
    let mut scene = Scene::begin().await;
    scene.by_file = true;
    let mut tutorial = Tutorial { scene, text: String::new(), trades: 0, venue: String::new() };
    tutorial.note("the market", "/markets", &serde_json::to_value(market()).expect("JSON"));
    let eoa: Address = EOA.parse().expect("an address");
    let standing = Standing::default();
    let wallet = Wallet { address: eoa, owner: eoa, signature_type: 0, approved: true, standing };
    tutorial
        .tell_venue(
            "a wallet, whose key is that of the first test account of Anvil and Hardhat",
            "/wallets",
            wallet,
        )
        .await;
    tutorial.tell_venue("its dollars", "/credit", json!({ "wallet": EOA, "usd": "100" })).await;
    tutorial.tell_venue("its gas", "/coins", json!({ "wallet": EOA, "pol": "10" })).await;
    let child = paper(&mut tutorial).await;
    let child = restart(&mut tutorial, child).await;
    let child = live(&mut tutorial, child).await;
    let mut child = approval_is_withdrawn(&mut tutorial, child).await;
    panic(&mut tutorial).await;
    assert!(tutorial.scene.end(&mut child).await.success());
    venue_s_side(&mut tutorial);
    let text = format!("{}\n", tutorial.text.trim_end());
    if std::env::var_os(WRITE).is_some() {
        fs::write(TUTORIAL, &text).expect("the tutorial is written");
    }
    let committed = fs::read_to_string(Path::new(TUTORIAL)).expect("docs/tutorial.md");
    let differs = committed.lines().zip(text.lines()).find(|(old, new)| old != new);
    assert!(
        committed == text,
        "docs/tutorial.md is not what {BINARY} does: run this test with {WRITE}=1 and look at the difference; the first is \
         {differs:?}"
    );
}
