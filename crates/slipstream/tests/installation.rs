//! What is kept beside the database, and what goes on although something beside it is wrong.

#![cfg(test)]

use std::{
    fs,
    path::Path,
    process::{Command, Output},
};

/// The program in a directory of its own, which finds its configuration there.
fn ask(directory: &Path, arguments: &[&str]) -> Output {
    let mut command = Command::new(env!("CARGO_BIN_EXE_slipstream"));
    command
        .current_dir(directory)
        .args(arguments)
        .env_remove("SLIPSTREAM_CONFIG")
        .env_remove("SLIPSTREAM_DATA_DIR");
    command.output().expect("the program runs")
}

fn done(directory: &Path, arguments: &[&str]) -> String {
    let output = ask(directory, arguments);
    let errors = String::from_utf8_lossy(&output.stderr).into_owned();
    assert!(output.status.success(), "{arguments:?}: {errors}");
    errors
}

fn installation() -> tempfile::TempDir {
    let directory = tempfile::tempdir().expect("a directory");
    done(directory.path(), &["init", "--yes"]);
    directory
}

#[test]
fn no_restore_loses_what_an_earlier_one_put_aside() {
    let there = installation();
    let data =
        there.path().join(fs::read_dir(there.path()).unwrap().find_map(data_of).expect("a data directory"));
    done(there.path(), &["backup", "copy.db"]);
    for _ in 0..2 {
        done(there.path(), &["restore", "copy.db"]);
    }
    for name in ["slipstream.db", "slipstream.db.before-restore", "slipstream.db.before-restore.2"] {
        assert!(data.join(name).is_file(), "{name}");
    }
    assert!(!ask(there.path(), &["restore", "slipstream.toml"]).status.success());
    assert!(!data.join("restoring").exists(), "a refused one leaves nothing behind");
}

#[test]
fn another_secret_is_never_made_for_accounts_that_are_there() {
    let there = installation();
    let data =
        there.path().join(fs::read_dir(there.path()).unwrap().find_map(data_of).expect("a data directory"));
    fs::remove_file(data.join("installation.secret")).expect("the secret was there");
    let refused = ask(there.path(), &["run"]);
    let words = String::from_utf8_lossy(&refused.stderr).into_owned();
    assert!(!refused.status.success() && words.contains("installation.secret is missing"), "{words}");
    assert!(!data.join("installation.secret").exists());
}

#[test]
fn an_installation_is_stopped_whatever_is_wrong_in_its_configuration() {
    let there = installation();
    let file = there.path().join("slipstream.toml");
    let sound = fs::read_to_string(&file).expect("init writes it");
    fs::write(&file, format!("nonsense = 1\n{sound}")).expect("it is written");
    assert_eq!(ask(there.path(), &["run"]).status.code(), Some(2), "nothing is started");
    let told = done(there.path(), &["panic"]);
    assert!(told.contains("only the data directory"), "{told}");
    // Nor whatever is missing in it.
    fs::write(&file, &sound[..120]).expect("it is written");
    done(there.path(), &["lift", "1"]);
    fs::write(&file, "[run").expect("it is written");
    done(there.path(), &["panic"]);
}

/// What is in a database server is never looked for in a file, nor is a file put beside it, because of a mistake elsewhere.
#[test]
fn a_mistake_in_the_configuration_hides_no_database_server() {
    let (there, file) = (tempfile::tempdir().expect("a directory"), installation());
    done(file.path(), &["backup", "books.db"]);
    let books = file.path().join("books.db").display().to_string();
    let named = "[run]\ndata_dir = 'data'\nno_key = 1\n[database]\nurl = 'postgres://u@127.0.0.1:9/slip'\n";
    let broken = "[run]\ndata_dir = 'data'\n[database]\nurl = 'postgres:\n";
    for (configuration, cannot_tell) in [(named, false), (broken, true)] {
        fs::write(there.path().join("slipstream.toml"), configuration).expect("a file");
        let ask = |command: &[&str]| {
            let refused = ask(there.path(), &[command, &["--data-dir", "data"]].concat());
            assert!(!refused.status.success(), "{command:?}");
            String::from_utf8_lossy(&refused.stderr).into_owned()
        };
        for words in [ask(&["backup", "copy.db"]), ask(&["restore", &books])] {
            assert_eq!(words.contains("is not TOML"), cannot_tell, "{words}");
            assert!(!words.contains("no Slipstream data"), "{words}");
        }
        assert!(!there.path().join("data").join("slipstream.db").exists());
    }
}

#[test]
fn only_init_makes_an_installation() {
    let there = tempfile::tempdir().expect("a directory");
    for command in [
        &["run"][..],
        &["account", "list"],
        &["account", "add", "main"],
        &["account", "arm", "main", "--per-order", "5", "--per-day", "9", "--yes", "main"],
        &["account", "disarm", "main"],
        &["account", "remove", "main"],
        &["signer", "public-key"],
        &["signer", "rotate"],
        &["panic"],
    ] {
        let refused = ask(there.path(), command);
        let words = String::from_utf8_lossy(&refused.stderr).into_owned();
        assert!(
            !refused.status.success() && words.contains("`slipstream init` makes"),
            "{command:?}: {words}"
        );
        assert_eq!(fs::read_dir(there.path()).unwrap().count(), 0, "{command:?} leaves something");
    }
    done(there.path(), &["init", "--yes"]);
}

#[test]
fn an_installation_is_made_whole_or_not_at_all() {
    let there = tempfile::tempdir().expect("a directory");
    let (leader, nobody) = (format!("0x{}", "1e".repeat(20)), format!("0x{}", "0".repeat(40)));
    for wrong in [
        &["--leader", &leader, "--fixed", "abc"][..],
        &["--leader", &leader, "--fixed", "5", "--ratio", "0.5"],
        &["--leader", &nobody],
        &["--money", "0"],
        &["--rpc", "nowhere"],
        &["--file", "gone/slipstream.toml", "--data-dir", "data"],
    ] {
        let refused = ask(there.path(), &[&["init", "--yes"][..], wrong].concat());
        assert!(!refused.status.success(), "{wrong:?}");
        assert_eq!(fs::read_dir(there.path()).unwrap().count(), 0, "{wrong:?} leaves something");
    }
    done(there.path(), &["init", "--yes", "--leader", &leader, "--fixed", "5"]);
}

/// The name of the directory with the database.
fn data_of(entry: std::io::Result<fs::DirEntry>) -> Option<std::ffi::OsString> {
    let entry = entry.ok()?;
    entry.path().join("slipstream.db").is_file().then(|| entry.file_name())
}

/// What a command answers as data, without a process beside it.
fn told(directory: &Path, arguments: &[&str]) -> serde_json::Value {
    let output = ask(directory, &[arguments, &["--json"]].concat());
    let errors = String::from_utf8_lossy(&output.stderr).into_owned();
    assert!(output.status.success(), "{arguments:?}: {errors}");
    serde_json::from_slice(&output.stdout).expect("JSON")
}

/// With accounts.
const ORIGIN: &str = "[access]\norigin = \"https://copy.example\"\n";

/// The administrator by the first link; everybody else by the door that the library has.
#[tokio::test]
async fn users_and_tokens_are_made_and_taken_back_at_the_command_line() {
    let there = installation();
    let here = there.path();
    let alone = ask(here, &["user", "invite"]);
    assert!(String::from_utf8_lossy(&alone.stderr).contains("[access] origin"), "{alone:?}");
    let file = here.join("slipstream.toml");
    let sound = fs::read_to_string(&file).expect("init writes it");
    fs::write(&file, format!("{sound}\n{ORIGIN}")).expect("it is written");
    assert!(told(here, &["user", "list"]).as_array().unwrap().is_empty());
    let early = ask(here, &["token", "create", "robot"]);
    assert!(String::from_utf8_lossy(&early.stderr).contains("no such administrator"), "{early:?}");
    let link = told(here, &["user", "invite"])["link"].as_str().unwrap().to_owned();
    let secret = link.strip_prefix("https://copy.example/set-up/").expect("a link").to_owned();
    let data = here.join(fs::read_dir(here).unwrap().find_map(data_of).expect("a data directory"));
    let owner = set_up(&data, &secret).await;
    let users = told(here, &["user", "list"]);
    assert_eq!((users[0]["name"].as_str(), users[0]["role"].as_str()), (Some("ann"), Some("administrator")));
    assert_eq!(owner, 1, "who has what `init` made");
    let invitation = told(here, &["user", "invite", "--role", "operator"]);
    assert!(
        invitation["link"].as_str().unwrap().starts_with("https://copy.example/sign-up/"),
        "{invitation}"
    );
    let only = ask(here, &["user", "disable", "ann"]);
    assert!(String::from_utf8_lossy(&only.stderr).contains("the only administrator"), "{only:?}");
    let made =
        told(here, &["token", "create", "robot", "--scope", "read", "--scope", "trade", "--days", "9"]);
    let token = made["token"].as_str().unwrap();
    assert!(token.starts_with("slp_") && token.len() > 40);
    let listed = told(here, &["token", "list"]);
    assert_eq!(listed[0]["scopes"], serde_json::json!(["read", "trade"]));
    assert!(!listed.to_string().contains(token), "a list shows no token");
    told(here, &["token", "revoke", &made["id"].to_string()]);
    assert!(told(here, &["token", "list"])[0]["revoked_at"].is_string());
    assert!(!ask(here, &["token", "revoke", &made["id"].to_string()]).status.success(), "twice");
    let reset = told(here, &["user", "reset", "ann"]);
    assert!(reset["link"].as_str().unwrap().contains("/reset/"), "{reset}");
    let nobody = ask(here, &["user", "reset", "nobody"]);
    assert!(String::from_utf8_lossy(&nobody.stderr).contains("there is no such user"), "{nobody:?}");
}

/// Makes `ann` the administrator, as the page behind the link does; the number of her owner.
async fn set_up(data: &Path, link: &str) -> i64 {
    use std::sync::Arc;
    let clock: Arc<dyn domain::Clock> = Arc::new(slipstream::clock::SystemClock);
    let store = store::SqlStore::open(&data.join("slipstream.db"), Arc::clone(&clock)).await.unwrap();
    let store = Arc::new(store);
    let secret = slipstream::secrets::InstallationSecret::read(data).unwrap().unwrap();
    let settings =
        slipstream::configuration::read("", Path::new(""), ORIGIN, &Default::default()).unwrap().access;
    let access = slipstream::people::access(&store, &secret, &settings, &clock, None);
    let session =
        access.set_up(link, "Ann", "correct horse battery", &access::Peer::default()).await.unwrap();
    let ann = access.caller_of_session(session.cookie.reveal()).await.unwrap();
    store.close().await.unwrap();
    ann.tenant().owner().0
}
