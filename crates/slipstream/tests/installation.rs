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
