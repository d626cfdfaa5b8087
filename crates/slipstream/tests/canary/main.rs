//! The canary: every secret there is in an installation is known to this test; the program does all it can do, at trace
//! level, and none of them is found in what it printed, logged, answered, exported or wrote down, nor in what the system
//! tells about its processes. And every line of its log about an order names the order.
#![cfg(test)]

mod place;
mod secrets;

use std::{collections::BTreeSet, fs, io::Write as _};

use domain::{Address, Clock, Side, money::ONE};
use polymarket::wallets::deposit_wallets;
use serde_json::Value;
use simulator::{
    Outage, Service,
    world::{
        faults::{Fault, FaultKind, FaultTarget},
        ledger::Asset,
        registry::{Standing, Wallet},
    },
};
use slipstream::{clock::SystemClock, commands::Request};

use self::{
    place::{LEADER, Place},
    secrets::{BOT_TOKEN, EOA, IDENTITY, KEY, PASSPHRASE, RPC_KEY, RPC_PASSWORD, Secrets},
};

/// Every line about orders names them (the first of many), and every order has lines.
fn lines_name_their_orders(log: &str, orders: &Value) {
    let ids: Vec<&str> =
        orders.as_array().unwrap().iter().map(|order| order["order"].as_str().unwrap()).collect();
    assert!(ids.len() >= 4, "{orders}");
    let mut told = BTreeSet::new();
    for line in log.lines() {
        let object: Value = serde_json::from_str(line).unwrap_or_else(|_| panic!("no object: {line}"));
        let own = object["target"].as_str().is_some_and(|target| {
            ["slipstream", "engine", "polymarket", "paper", "signer", "store", "queue"]
                .iter()
                .any(|room| target.split("::").next() == Some(room))
        });
        let named: Vec<&&str> = ids.iter().filter(|id| line.contains(**id)).collect();
        told.extend(named.iter().map(|id| (**id).to_owned()));
        let message = object["message"].as_str().unwrap_or_default();
        let words: Vec<&str> = message.split(|letter: char| !letter.is_ascii_alphanumeric()).collect();
        let about = words.contains(&"order") || words.contains(&"orders");
        // Those of a whole account are not known where it is looked for them.
        if own && about && !message.contains("order book") && !message.contains("accounts may have") {
            assert!(!named.is_empty() || line.contains("intent"), "about an order, and names none: {line}");
        }
    }
    for id in ids {
        assert!(told.contains(id), "no line names order {id}");
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn no_secret_is_found_anywhere_and_every_line_of_an_order_names_it() {
    let place = Place::new().await;
    let mut secrets = Secrets::seeded();
    let eoa: Address = EOA.parse().unwrap();
    let standing = Standing::default();
    let wallet = Wallet { address: eoa, owner: eoa, signature_type: 0, approved: false, standing };
    place.control.add_wallet(&wallet).await.unwrap();
    place.simulator.world().with(|world, now| {
        world.credit(eoa, Asset::Collateral, 100 * ONE);
        world.credit(eoa, Asset::Pol, ONE);
        world.mine(now)
    });

    // Set up, first with the keys opened here.
    let [rpc, _] = place.rpc_urls();
    place.done(&["init", "--yes", "--data-dir", "data", "--rpc", &rpc]);
    place.configure("[live]\nenabled = true\nkey_file = 'identity'\n");
    place.done(&["account", "add", "main", "--live", "--key-file", "key"]);
    place.done(&["account", "check", "main", "--approve"]);
    place.tried(&[
        "account",
        "check",
        "--key-file",
        "second",
        "--deploy",
        "--approve",
        "--relayer-key",
        "relayer.json",
    ]);
    let made = place.simulator.world().with(|world, _| world.relayer().records().len());
    let told = String::from_utf8_lossy(&place.printed.lock().unwrap().last().unwrap().1).into_owned();
    assert!(made > 0, "the relayer was not asked with the builder's key: {told}");
    let own = deposit_wallets("0x70997970c51812dc3a010c7d01b50e0d17dc79c8".parse().unwrap())[0];
    assert!(place.simulator.world().with(|world, _| world.is_deployed(own)));
    place.done(&["signer", "rotate", "--to", "passphrase"]);
    place.configure("[live]\nenabled = true\nkey_file = 'passphrase'\n");
    place.done(&["signer", "rotate", "--to", "identity"]);
    mistakes(&place);

    // Then with a signer of its own; both trade.
    let mut signer = place.started(
        &["signer", "serve", "--socket", "s.sock", "--state-dir", "signer", "--config", "signer.toml"],
        "signer.log",
    );
    place.until("signer", async || fs::metadata(place.path("s.sock")).ok()).await;
    place.configure("[live]\nenabled = true\nsocket = 's.sock'\n");
    for account in ["paper", "main"] {
        place.done(&["follow", &LEADER.to_string(), "--account", account, "--fixed", "5"]);
    }
    // Without a network at first: it says so, and goes on trying.
    let services = [Service::Clob, Service::Data, Service::Rpc];
    for service in services {
        place.simulator.world().set_outage(service, Outage::Refused);
    }
    let mut run = place.started(&["run", "--json"], "run.log");
    place.up().await;
    place
        .until("word about the network", async || {
            fs::read_to_string(place.path("run.log"))
                .ok()?
                .contains("the venue cannot be reached")
                .then_some(())
        })
        .await;
    for service in services {
        place.simulator.world().set_outage(service, Outage::None);
    }
    place.done(&["account", "arm", "main", "--per-order", "20", "--per-day", "200", "--yes", "main"]);
    place
        .until("deposit", async || {
            let rows = place.asked(&Request::Export(slipstream::export::Table::Ledger)).await?;
            rows.as_array()?.iter().any(|row| row["cash"] == 100 * ONE).then_some(())
        })
        .await;
    let now = SystemClock.now().seconds();
    place.until("next second", async || (SystemClock.now().seconds() > now).then_some(())).await;
    place.leader_trades(1, Side::Buy).await;
    place.answered(2).await;
    // A reply that is lost, a refusal, and a venue that fails: their lines name the order too.
    for (number, kind) in
        [(2, FaultKind::AcceptThenDrop), (3, FaultKind::Error500Before), (4, FaultKind::TimedOutText)]
    {
        place
            .control
            .fault(&Fault { target: FaultTarget::Order, kind, count: 1, delay_ms: 0, depth: 0 })
            .await
            .unwrap();
        place.leader_trades(number, Side::Buy).await;
        place.answered(usize::from(number) * 2).await;
    }
    place.leader_trades(5, Side::Sell).await;
    place.settled(10).await;
    place.process("run", &run);
    place.process("signer serve", &signer);
    everything(&place);
    let orders = place.done(&["export", "orders"]);
    place.end(&mut run).await;
    place.end(&mut signer).await;
    everything_at_rest(&place);

    // Credentials that the venue gave out on the way, and the installation's own secret.
    let given =
        place.simulator.world().with(|world, _| world.registry().derive_key(eoa, 0).cloned()).unwrap();
    secrets.text("API secret", given.secret.trim_end_matches('='));
    secrets.text("API passphrase", &given.passphrase);
    // It opens nothing by itself, and stands in each order's stored bytes, where the venue wants it; nobody else sees it.
    let mut sent = Secrets(Vec::new());
    sent.text("API key", &given.key);
    let own = fs::read(place.data().join("installation.secret")).unwrap();
    secrets.bytes("installation's secret", &own);
    place.no_secret_anywhere(&secrets);
    let log = fs::read_to_string(place.path("run.log")).unwrap();
    for (name, bytes) in place.printed.lock().unwrap().iter() {
        assert_eq!(sent.found_in(name, bytes), Vec::<String>::new());
    }
    assert_eq!(sent.found_in("run.log", log.as_bytes()), Vec::<String>::new());
    lines_name_their_orders(&log, &orders);
    place.simulator.shutdown().await;
}

/// Errors of each kind, with secrets where they do not belong.
fn mistakes(place: &Place) {
    let key = format!("0x{KEY}");
    place.refused(&["account", "add", "other", "--live", "--key-file", "identity"]);
    place.file("short", &KEY[..40]);
    place.refused(&["account", "add", "other", "--live", "--key-file", "short"]);
    place.refused(&["account", "add", "other", "--live", "--sealed", "key"]);
    for wrong in [KEY, &key] {
        place.refused(&["account", "check", wrong]);
        place.refused(&["account", "check", EOA, "--wallet", wrong]);
        place.refused(&["account", "arm", wrong, "--per-order", "1", "--per-day", "1", "--yes", "x"]);
        place.refused(&["account", "arm", "main", "--per-order", "1", "--per-day", "1", "--yes", wrong]);
        place.refused(&["account", "disarm", wrong]);
        place.refused(&["account", "add", wrong]);
        place.refused(&["follow", wrong]);
        place.refused(&["leader", "show", wrong]);
        place.refused(&["edit", "1", "--fixed", wrong]);
        place.refused(&["inspect", "relationship", wrong]);
    }
    place.refused(&["account", "check", &["--key-file=", KEY].concat()]);
    place.refused(&[
        "init",
        "--yes",
        "--file",
        "other.toml",
        "--data-dir",
        "other",
        "--rpc",
        &format!("nowhere/{RPC_KEY}"),
    ]);
    place.refused(&[KEY]);
    place.refused(&["run", &["--", IDENTITY].concat()]);
    let [rpc, bell] = place.rpc_urls();
    let wrong = format!(
        "[alerts]\ntelegram_token = '{BOT_TOKEN}'\n[chain]\nrpc_urls = ['{rpc}', '{rpc}', 'nowhere/{RPC_KEY}']\n\
         [venue]\nbuilder = '{KEY}'\nkey = '{PASSPHRASE} and some more words than that, as a mnemonic has'\n\
         [run]\nclob_url = '{bell}'\n[live]\nenabled = '{IDENTITY}'\nkey_file = '{KEY}'\n{KEY} = 1\n"
    );
    place.file("wrong.toml", &wrong);
    place.refused(&["config", "check", "wrong.toml"]);
    place.refused(&["run", "--config", "wrong.toml"]);
    place.refused(&["doctor", "--config", "wrong.toml"]);
    let nobody = format!("[chain]\nrpc_urls = ['http://user:{RPC_PASSWORD}@127.0.0.1:9/{RPC_KEY}']\n");
    place.file("wrong.toml", &nobody);
    place.refused(&["rpc", "check", "--config", "wrong.toml"]);
    place.refused(&["account", "check", EOA, "--config", "wrong.toml"]);
    place.refused(&["doctor", "--config", "wrong.toml"]);
}

/// Whatever can be asked of a running process.
fn everything(place: &Place) {
    for line in [
        &["sources"][..],
        &["rpc", "status"],
        &["rpc", "reload"],
        &["rpc", "check"],
        &["positions"],
        &["activity"],
        &["following"],
        &["verify"],
        &["holds"],
        &["doctor"],
        &["doctor", "--wallets"],
        &["account", "list"],
        &["account", "check", "main"],
        &["signer", "public-key"],
        &["export", "decisions"],
        &["export", "ledger"],
        &["inspect", "relationship", "1"],
        &["inspect", "trade", "0x0101"],
        &["backup", "backup.db"],
        &["config", "check"],
        &["account", "disarm", "main"],
        &["panic"],
    ] {
        place.told(line);
        if !line.contains(&"backup") && !line.contains(&"config") {
            place.told(&[line, &["--json"]].concat());
        }
    }
    let held = place.done(&["holds"])["holds"].as_array().unwrap().last().unwrap().to_string();
    place.told(&["lift", &held]);
    assert!(place.path("backup.db").is_file());
}

/// And of one that does not run.
fn everything_at_rest(place: &Place) {
    place.configure("[live]\nenabled = true\nkey_file = 'identity'\n");
    for line in [
        &["doctor"][..],
        &["verify"],
        &["account", "list"],
        &["restore", "backup.db"],
        &["holds"],
        &["certify", "--out", "certified.json"],
    ] {
        place.told(line);
    }
    // The database's file is read as it is; what of it is shown to people is in these. (There are no metrics yet.)
    let mut rows = fs::File::create(place.path("rows.csv")).unwrap();
    for table in ["decisions", "orders", "ledger", "transactions"] {
        let output = place.output(&["export", table]);
        assert!(output.status.success(), "{table}");
        rows.write_all(&output.stdout).unwrap();
    }
}
