//! Every kind of mistake, and what is in force without one.

mod followers;
mod opener;
mod servers;

use std::{path::Path, time::Duration};

use domain::{
    MarketOrderType, Usd,
    money::ONE,
    policy::{MinimumRule, Policy, Sizing},
};

use polymarket::{Endpoint, RpcUrl, Tier, VenueLimits};

use super::{
    keys::{
        ACCESS, CHAIN, DATABASE, DEMO, ENGINE, FOLLOWER, Key, LIVE, QUEUE, RUN, RunSettings, Sample, VENUE,
        WEB,
    },
    kind::Raw,
    *,
};

fn variables(list: &[(&str, &str)]) -> Variables {
    list.iter().map(|(name, value)| ((*name).to_owned(), Some((*value).to_owned()))).collect()
}

fn good(text: &str) -> Configuration {
    read("slipstream.toml", Path::new("/etc"), text, &Variables::new()).unwrap()
}

/// Mistakes as `line:column subject | text`.
fn bad_with(text: &str, list: &[(&str, &str)]) -> Vec<String> {
    let mistakes = read("slipstream.toml", Path::new(""), text, &variables(list)).unwrap_err();
    let shown = |mistake: &Mistake| {
        let place = match mistake.place {
            Place::At { line, column } => format!("{line}:{column}"),
            place => format!("{place:?}"),
        };
        format!("{place} {} | {}", mistake.subject, mistake.text)
    };
    mistakes.list().iter().map(shown).collect()
}

fn bad(text: &str) -> Vec<String> {
    bad_with(text, &[])
}

/// The only mistake of a file.
fn only(text: &str) -> String {
    let found = bad(text);
    assert_eq!(found.len(), 1, "{text}: {found:?}");
    found.into_iter().next().unwrap()
}

#[test]
fn nothing_said_is_the_defaults() {
    let nothing = good("");
    let demo = DemoSettings { speed: 30, seed: 1, ..DemoSettings::default() };
    assert_eq!(nothing.demo, demo);
    assert_eq!(nothing.engine, EngineSettings { workers: 2, ..EngineSettings::default() });
    assert!(nothing.followers.is_empty());
    assert_eq!(nothing.follower_count(None).unwrap(), 5);
}

#[test]
fn every_key_takes_effect() {
    let text = "
        demo.speed = 60
        [demo]
        followers = 7
        seed = 9_000
        faults = true
        synthetic_exits = true
        data_dir = 'data'
        [engine]
        workers = 3
        history_interval = '1500ms'
        [chain]
        rpc_urls = ['https://a.example/s3cret', 'https://b.example/s3cret']
        [venue]
        pace = 0.5
        kept_for_exits = 0.3
        own_address = true
        tier = 'gold'
        builder = '0x00000000000000000000000000000000000000000000000000000000000000b1'
        limit_order = '100/10s'
        limit_look_up = '7/10s 70/10m'
        [run]
        data_dir = 'there'
        clob_url = 'http://a.example'
        data_url = 'http://b.example'
        gamma_url = 'http://c.example'
        geoblock_url = 'http://d.example'
        [[follower]]
        name = 'bold'
        ratio = 0.250001
        cap_order = 12.34
        cap_market = 50
        cap_leader = 100.000001
        cap_account = 200
        price_from = 0.05
        price_to = 0.95
        slippage_to_leader = 0.0123
        slippage_to_book = 0
        below_minimum = 'raise'
        order_type = 'fok'
        maximum_age = '2m'
        follow_exits = false
        [[follower]]
        name = 'plain'
        fixed = 5
        "
    .replace("demo.speed = 60", "")
    .replace("followers = 7", "followers = 7\nspeed = 60");
    let read = good(&text);
    assert_eq!((read.demo.speed, read.demo.followers, read.demo.seed), (60, Some(7), 9_000));
    assert!(read.demo.faults && read.demo.synthetic_exits);
    assert_eq!(read.demo.data_dir.as_deref(), Some(Path::new("/etc/data")));
    assert_eq!(read.engine.workers, 3);
    assert_eq!(read.engine.history_interval, Some(Duration::from_millis(1_500)));
    assert_eq!(read.chain.rpc_urls.iter().map(RpcUrl::host).collect::<Vec<_>>(), ["a.example", "b.example"]);
    assert!(read.effective().contains("rpc_urls = [\"a.example\", \"b.example\"]"), "{}", read.effective());
    let limits = &read.venue.limits;
    assert_eq!((limits.share, limits.kept_for_exits, Some(limits.signer)), (50, 30, Tier::named("gold")));
    assert_eq!(limits.of(Endpoint::Post), (100, None));
    assert_eq!(limits.of(Endpoint::Ledger), (7, Some(70)));
    assert_eq!(limits.of(Endpoint::Cancel), VenueLimits::default().of(Endpoint::Cancel));
    assert!(read.venue.own_address && !good("").venue.own_address);
    assert_eq!(read.venue.builder.unwrap().0[31], 0xb1);
    assert!(read.run.data_dir.ends_with("there"));
    let RunSettings { clob_url, data_url, gamma_url, geoblock_url, .. } = &read.run;
    let hosts = [clob_url, data_url, gamma_url, geoblock_url].map(|url| url.as_bytes()[7]);
    assert_eq!(hosts, *b"abcd");
    assert!(read.effective().contains("builder = \"0x00000000…\""), "{}", read.effective());
    let bold = &read.followers[0];
    let policy = &bold.policy;
    assert_eq!((bold.name.as_str(), bold.cap_account), ("bold", Some(Usd(200 * ONE))));
    assert_eq!(policy.sizing, Sizing::Ratio(250_001));
    assert_eq!(policy.caps.order, Some(Usd(12_340_000)));
    assert_eq!(policy.caps.market, Some(Usd(50 * ONE)));
    assert_eq!(policy.caps.leader, Some(Usd(100_000_001)));
    assert_eq!((policy.band.from.0, policy.band.to.0), (50_000, 950_000));
    assert_eq!((policy.slippage_to_leader_bps, policy.slippage_to_book_bps), (123, 0));
    assert_eq!(policy.below_minimum, MinimumRule::Raise);
    assert_eq!(policy.maximum_age, Duration::from_secs(120));
    assert!(!policy.follow_exits);
    assert_eq!(policy.entry_type, MarketOrderType::FillOrKill);
    let plain = Policy { sizing: Sizing::Fixed(Usd(5 * ONE)), ..Policy::careful() };
    assert_eq!((&read.followers[1].policy, read.followers[1].cap_account), (&plain, None));
    assert_eq!(read.follower_count(None).unwrap(), 7);
    assert_eq!(good("[[follower]]\nname = 'a'\nfixed = 1").follower_count(None).unwrap(), 1);
}

/// Every limit of the venue has its key, whose default is the published one.
#[test]
fn the_limits_are_the_published_ones_unless_told_otherwise() {
    let (told, published) = (good("").venue.limits, VenueLimits::default());
    assert_eq!(
        (told.share, told.kept_for_exits, told.signer),
        (published.share, published.kept_for_exits, published.signer)
    );
    for endpoint in Endpoint::ALL {
        assert!(told.other.iter().any(|(of, ..)| *of == endpoint), "{endpoint:?} has no key");
        assert_eq!(told.of(endpoint), published.of(endpoint), "{endpoint:?}");
    }
}

#[test]
fn the_environment_wins_over_the_file() {
    let list = variables(&[
        ("SLIPSTREAM_DEMO_SPEED", "99"),
        ("SLIPSTREAM_ENGINE_HISTORY_INTERVAL", "3s"),
        ("SLIPSTREAM_DEMO_DATA_DIR", "here"),
        // Not ours, and not nearly.
        ("SLIPSTREAM_KILLS", "7"),
        ("SLIPSTREAM_SEED", "7"),
        ("SLIPSTREAM_SEEDS", "7"),
        ("SLIPSTREAM_DATA_DIR", "x"),
        ("SLIPSTREAM_CRASH", "x:1"),
        ("SLIPSTREAM_CLOCK_AHEAD_MS", "5"),
        ("SLIPSTREAM_CONFIG", "x"),
    ]);
    let text = "[demo]\nspeed = 60\nseed = 4\ndata_dir = 'there'";
    let read = read("slipstream.toml", Path::new("/etc"), text, &list).unwrap();
    assert_eq!((read.demo.speed, read.demo.seed), (99, 4));
    assert_eq!(read.demo.data_dir.as_deref(), Some(Path::new("here")));
    assert_eq!(read.engine.history_interval, Some(Duration::from_secs(3)));
    let effective = read.effective();
    // As wide as the widest of them.
    let width = "clob_url = \"https://clob.polymarket.com\"".len();
    let line = |setting: &str, source: &str| format!("{setting:<width$}  # {source}\n");
    let expected = [
        "\n[demo]\n".to_owned(),
        line("followers = 5", "default"),
        line("speed = 99", "SLIPSTREAM_DEMO_SPEED"),
        line("seed = 4", "slipstream.toml:3"),
        line("faults = false", "default"),
        line("synthetic_exits = false", "default"),
        line("data_dir = \"here\"", "SLIPSTREAM_DEMO_DATA_DIR"),
        "\n[engine]\n".to_owned(),
        line("workers = 2", "default"),
        line("history_interval = \"3s\"", "SLIPSTREAM_ENGINE_HISTORY_INTERVAL"),
        "\n[chain]\n".to_owned(),
        "\n[venue]\n".to_owned(),
        line("pace = 0.9", "default"),
    ];
    assert!(effective.starts_with(&expected.concat()), "{effective}");
    assert!(read.effective().parse::<::toml::Table>().is_ok());
}

#[test]
fn wrong_values_are_told_with_their_key_and_what_to_write() {
    let value = |line: &str| only(&format!("[demo]\n{line}"));
    assert_eq!(
        value("speed = 5000"),
        "2:9 [demo] speed = 5000 | must be a whole number from 1 to 1000; for example `speed = 30`"
    );
    assert_eq!(
        value("speed = \"30\""),
        "2:9 [demo] speed = \"30\" | must be a whole number from 1 to 1000, without quotes; \
         for example `speed = 30`"
    );
    for wrong in
        ["0", "-1", "1.5", "1e2", "true", "[30]", "{ a = 1 }", "2026-11-23", "0x1f", "99999999999999999999"]
    {
        let told = value(&format!("speed = {wrong}"));
        assert!(told.starts_with("2:9 [demo] speed = "), "{told}");
    }
    assert!(value("faults = 'true'").contains("must be true or false, without quotes"));
    assert!(value("faults = 1").contains("must be true or false;"));
    assert!(value("data_dir = 3").contains("the path of a directory, as text, between quotes"));
    assert!(value("data_dir = ''").contains("the path of a directory"));
    assert!(value("tape = 'no/such/file'").contains("names no file that is there"));
    assert!(value("seed = -1").contains("from 0 to"));
    for rests in ["gtc", "gtd"] {
        let told = only(&format!("[[follower]]\nname = 'a'\nfixed = 5\norder_type = '{rests}'"));
        assert!(told.contains("rests on the book, which copies cannot be yet"), "{told}");
    }
    let engine = only("[engine]\nhistory_interval = 5");
    assert!(engine.contains("a whole number and ms, s, m or h, between quotes"), "{engine}");
    assert!(only("[engine]\nhistory_interval = '5'").contains("for example `history_interval = \"5s\"`"));
    assert!(only("[engine]\nhistory_interval = '50ms'").contains("from \"100ms\" to \"1h\""));
}

#[test]
fn urls_of_providers_are_never_shown_whole() {
    let file = |list: &str| only(&format!("[chain]\nrpc_urls = {list}"));
    for (list, part) in [
        ("['https://a.example/s3cret', 'ftp://b.example/s3cret']", "number 2 is no URL"),
        ("'https://a.example/s3cret,https://a.example/s3cret'", "a.example is in it twice"),
        ("[]", "no URL in it"),
        ("['wss://a.example/s3cret']", "only websockets"),
        ("['https://a.example/s3cret', 3]", "must be a list of URLs"),
        ("3", "between quotes"),
    ] {
        let told = file(list);
        assert!(told.starts_with("2:12 [chain] rpc_urls = (not shown) | "), "{told}");
        assert!(told.contains(part) && !told.contains("s3cret"), "{list}: {told}");
    }
    let good = variables(&[("POLYGON_RPC_URL", "https://u:s3cret@a.example:8545/s3cret")]);
    let told = read("", Path::new(""), "", &good).unwrap().effective();
    let chain = told.split_once("\n[chain]\n").unwrap().1.lines().next().unwrap();
    let (shown, source) = chain.split_once("  # ").unwrap();
    assert_eq!((shown.trim_end(), source), ("rpc_urls = [\"a.example:8545\"]", "POLYGON_RPC_URL"));
    assert!(!told.contains("s3cret"), "{told}");
    let environment = bad_with("", &[("POLYGON_RPC_URL", "a.example/s3cret")]);
    assert!(environment[0].contains("POLYGON_RPC_URL=(not shown)"), "{environment:?}");
    assert!(!environment[0].contains("s3cret"), "{environment:?}");
    assert!(
        bad_with("", &[("SLIPSTREAM_CHAIN_RPC_URLS", "x")])[0].contains("did you mean `POLYGON_RPC_URL`?")
    );
}

#[test]
fn what_nobody_reads_is_refused_with_what_was_meant() {
    assert_eq!(only("[demo]\nsped = 3"), "2:1 [demo] sped | no such key; did you mean `speed`?");
    assert_eq!(only("[demo]\nratio = 3"), "2:1 [demo] ratio | no such key; `ratio` belongs to [[follower]]");
    assert!(
        only("[demo]\ncolour = 3")
            .ends_with("there are speed, followers, seed, faults, tape, synthetic_exits, data_dir")
    );
    assert_eq!(only("speed = 3"), "1:1 speed | no such key here; `speed` belongs to [demo]");
    let several = only("data_dir = 'there'");
    assert_eq!(several, "1:1 data_dir | no such key here; `data_dir` belongs to [run] or [demo]");
    assert_eq!(only("[Demo]"), "1:2 Demo | no such section; did you mean `[demo]`?");
    assert_eq!(only("[[folower]]"), "1:3 folower | no such section; did you mean `[[follower]]`?");
    assert!(
        only("[kitchen]").contains(
            "there are the sections [run], [database], [queue], [access], [demo], [engine], [chain], [venue], [live], [web], [[follower]]"
        )
    );
    assert!(only("demo = 3").contains("is a section: write `[demo]`"));
    assert!(only("[[demo]]").contains("is a section: write `[demo]`"));
    assert!(only("[follower]\nname = 'a'").contains("is a list: write `[[follower]]` for each"));
    assert!(only("follower = [3]").contains("is a list: write `[[follower]]` for each"));
    assert_eq!(only("[demo]\n'' = 3").split(" | ").next(), Some("2:1 [demo] \"\""));
}

#[test]
fn wrong_variables_are_told() {
    let found =
        bad_with("[demo]\nspeed = 0", &[("SLIPSTREAM_DEMO_SPEED", "7x"), ("SLIPSTREAM_DEMO_SPED", "7")]);
    assert_eq!(found.len(), 3, "{found:?}");
    assert!(found[0].starts_with("2:9 [demo] speed = 0"));
    assert!(found[1].starts_with("Environment SLIPSTREAM_DEMO_SPEED=7x | must be a whole number"));
    assert!(found[2].ends_with("did you mean `SLIPSTREAM_DEMO_SPEED`?"));
    let told = |name: &str| bad_with("", &[(name, "1")]).pop().unwrap();
    assert!(told("SLIPSTREAM_DEMMO_SEED").ends_with("did you mean `SLIPSTREAM_DEMO_SEED`?"));
    assert!(told("SLIPSTREAM_ENGINE_COLOUR").ends_with("names no key of [engine]"));
    assert!(told("SLIPSTREAM_FOLLOWER_RATIO").ends_with("described in a file only"));
    assert!(told("SLIPSTREAM_DEMO_SPEED_").contains("did you mean"));
    let list = [("SLIPSTREAM_DEMO_SEED".to_owned(), None)].into();
    let mistakes = read("", Path::new(""), "", &list).unwrap_err();
    assert_eq!(mistakes.list()[0].text, "is not UTF-8 text");
    assert!(told("SLIPSTREAM_DEMO_TAPE").contains("names no file"));
}

#[test]
fn broken_toml_is_told_at_once_with_everything_else() {
    let text = "[demo]\nspeed = = 3\nseed = -1\nfollowers = many\n\
                [[follower]]\nname = 'a'\nrato = 1\n\
                [[follower]]\nfixed =\nbelow_minimum = skip\n[demo]\n";
    let found = bad(text);
    let places: Vec<&str> = found.iter().filter_map(|told| told.split(' ').next()).collect();
    // That the second follower lacks something would be guesswork; that the first does is not.
    assert_eq!(places, ["2:9", "3:8", "4:13", "5:1", "7:1", "9:8", "10:17", "11:2"], "{found:#?}");
    assert!(found[0].contains("is not TOML: "), "{found:?}");
    assert!(found[2].contains("[demo] followers = many | must be a whole number"), "{found:?}");
    assert!(found[6].contains("string values must be quoted"), "{found:?}");
    assert!(found[7].contains("duplicate key"), "{found:?}");
    assert_eq!(
        only("[demo]\nspeed = 3\nspeed = 4"),
        "3:1  | is not TOML: duplicate key: `speed` stands in line 2 already; keep one of them"
    );
    let section = only("[run]\n\n[chain]\n\n[run]\n");
    assert!(section.ends_with("`[run]` stands in line 1 already; put its keys there"), "{section}");
    assert!(only("[demo\n").starts_with("1:"));
}

#[test]
fn a_secret_in_the_wrong_place_is_refused_and_not_repeated() {
    let key = "4c0883a69102937d6231471b5dbb6204fe5129617082792ae468d01a3f362318";
    for text in [
        format!("private_key = '0x{key}'"),
        format!("[demo]\nprivate_key = '0x{key}'"),
        format!("[demo]\nspeed = '{key}'"),
        format!("[demo]\n{key} = 3"),
        format!("[{key}]"),
        format!("[demo]\nspeed = {key}"),
        format!("[demo]\nspeed = '{key}"),
        format!("[demo]\ntape = '{key}'"),
        format!("[[follower]]\nname = '{key}'\nfixed = 1"),
    ] {
        let mistakes = read("slipstream.toml", Path::new(""), &text, &Variables::new()).unwrap_err();
        let told = mistakes.to_string();
        assert!(!told.contains(&key[..8]) && !told.contains(&key[56..]), "{told}");
    }
    assert!(only("[engine]\napi_secret = 'x'").contains("no key takes a secret"));
    assert!(only("api_secret = 'x'").contains("no key takes a secret"));
    let environment = bad_with("", &[("SLIPSTREAM_DEMO_SEED", key), ("SLIPSTREAM_DEMO_PRIVATE_KEY", key)]);
    assert_eq!(environment.len(), 2);
    assert!(!environment.concat().contains(&key[..8]), "{environment:?}");
}

#[test]
fn files_that_are_no_text_are_told() {
    let directory = tempfile::tempdir().unwrap();
    let file = directory.path().join("slipstream.toml");
    let told = |bytes: &[u8]| {
        std::fs::write(&file, bytes).unwrap();
        Configuration::load(Some(&file), []).unwrap_err().to_string()
    };
    assert!(told(b"[demo]\n\xff\xfe").contains("slipstream.toml:2:1\n      is not UTF-8 from here on"));
    assert!(told(&vec![b'#'; 1 << 21]).contains("longer than a mebibyte"));
    std::fs::remove_file(&file).unwrap();
    let gone = Configuration::load(Some(&file), [("SLIPSTREAM_DEMO_SEED".into(), "x".into())]).unwrap_err();
    assert_eq!(gone.list().len(), 2);
    assert!(gone.to_string().contains("cannot be read: "));
    assert!(Configuration::load(Some(directory.path()), []).is_err());
    std::fs::write(&file, "\u{feff}[demo]\r\nspeed = 2\r\n").unwrap();
    assert_eq!(Configuration::load(Some(&file), []).unwrap().demo.speed, 2);
}

#[test]
fn a_flood_of_mistakes_is_cut_short() {
    let text = (0..70).map(|number| format!("x{number} = 1\n")).collect::<String>();
    let told = read("a.toml", Path::new(""), &text, &Variables::new()).unwrap_err().to_string();
    assert!(told.starts_with(
        "slipstream: 70 mistakes in the configuration; nothing was started\n\n  a.toml:1:1  x0\n"
    ));
    assert!(told.contains("\n  and 20 more\n") && told.lines().count() < 160);
    // As long as a file may be. None of these takes more than a moment.
    for line in
        ["[[follower]]\n", "x{} = 1\n", "= {}\n", "[demo]\n", "follower.x = [[[[", "\"", "[[[[", "{{{{"]
    {
        let text: String = (0..30_000).map(|number| line.replace("{}", &number.to_string())).collect();
        let told = read("a.toml", Path::new(""), &text, &Variables::new()).unwrap_err();
        assert!(told.list().len() <= 502, "{line}");
    }
}

/// The defaults and examples of a table are values its own kinds accept, and what they are written as.
fn check_samples<S: Default + 'static>(keys: &[Key<S>]) {
    for key in keys {
        let word = key.sample.word();
        let mut settings = S::default();
        if !matches!(key.kind, super::kind::Kind::File(_) | super::kind::Kind::Secret(_)) {
            assert!(key.kind.apply(&mut settings, &Raw::Word(word), Path::new("")).is_ok(), "{}", key.name);
        }
    }
}

#[test]
fn the_samples_of_every_key_are_good_and_the_default_policy_is_the_careful_one() {
    check_samples(DEMO);
    check_samples(ENGINE);
    check_samples(CHAIN);
    check_samples(VENUE);
    check_samples(LIVE);
    check_samples(WEB);
    check_samples(DATABASE);
    check_samples(QUEUE);
    check_samples(ACCESS);
    check_samples(RUN);
    check_samples(FOLLOWER);
    // Start from something else, so that each default must have been applied.
    let mut follower = FollowerSettings::default();
    follower.policy.slippage_to_leader_bps = 1;
    follower.policy.slippage_to_book_bps = 1;
    follower.policy.below_minimum = MinimumRule::Raise;
    follower.policy.maximum_age = Duration::from_secs(1);
    follower.policy.follow_exits = false;
    follower.policy.band.from.0 = 1;
    follower.policy.band.to.0 = 2;
    for key in FOLLOWER {
        if let Sample::Default(word) = key.sample {
            key.kind.apply(&mut follower, &Raw::Word(word), Path::new("")).unwrap();
        }
    }
    assert_eq!(follower.policy, Policy::careful());
}

#[test]
fn the_reference_is_a_configuration() {
    let reference = toml();
    let nothing = good(&reference);
    assert_eq!((&nothing.demo, &nothing.followers), (&good("").demo, &Vec::new()));
    let uncommented: Vec<&str> = reference
        .lines()
        .filter_map(|line| line.strip_prefix('#').filter(|line| !line.starts_with(' ')))
        .filter(|line| !line.starts_with("tape = ") && !line.starts_with("fixed = "))
        .filter(|line| {
            let files = ["key_file", "relayer_key", "socket", "health_token", "statsd_socket"];
            !files.iter().any(|key| line.starts_with(&format!("{key} = ")))
        })
        .collect();
    let all = good(&uncommented.join("\n"));
    assert_eq!(
        all.effective.len(),
        11 + [RUN.len(), DEMO.len(), ENGINE.len(), CHAIN.len(), VENUE.len(), LIVE.len(), FOLLOWER.len()]
            .iter()
            .sum::<usize>()
            + DATABASE.len()
            + QUEUE.len()
            + WEB.len()
            + ACCESS.len()
            - 7
    );
    assert!(reference.lines().all(|line| line.chars().count() <= 100));
}

/// What `init` writes: no key stands twice, whatever is uncommented afterwards.
#[test]
fn a_reference_with_chosen_keys_can_be_uncommented() {
    let chosen = [
        ("run", "data_dir", "\"kept\"".to_owned()),
        ("chain", "rpc_urls", "[\"https://a.example\"]".to_owned()),
    ];
    let text = toml_with(&chosen);
    let read = good(&text);
    assert_eq!(
        (read.run.data_dir.to_str(), read.chain.rpc_urls.len(), read.set()),
        (Some("/etc/kept"), 1, 2)
    );
    let engine = text.replace("#[engine]", "[engine]").replace("#workers", "workers");
    assert_eq!(good(&engine).set(), 3);
}

#[test]
fn the_committed_reference_is_the_generated_one() {
    let path = Path::new(env!("CARGO_MANIFEST_DIR")).join("../../docs/configuration.md");
    let committed = std::fs::read_to_string(path).unwrap();
    assert!(
        committed == markdown(),
        "write it again: cargo run --release -- config reference --markdown > docs/configuration.md"
    );
}
