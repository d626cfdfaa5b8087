//! The database and the queue as an operator has them: through the program, on private servers.

#![cfg(test)]

mod on_postgres {
    use std::{
        fs,
        io::{BufRead as _, BufReader, Write as _},
        os::unix::net::UnixListener,
        path::Path,
        process::{Command, Output, Stdio},
        sync::LazyLock,
    };

    use serde_json::Value;
    use servers::{PostgresServer, RedisServer};

    static SERVER: LazyLock<PostgresServer> = LazyLock::new(|| PostgresServer::start().unwrap());

    /// An installation of its own, which is a file until its configuration names servers.
    struct Desk {
        place: tempfile::TempDir,
        variables: Vec<(&'static str, String)>,
    }

    impl Desk {
        fn new() -> Self {
            let desk = Self { place: tempfile::tempdir().unwrap(), variables: Vec::new() };
            desk.done(&["init", "--yes"]);
            desk
        }

        fn at(&self) -> &Path {
            self.place.path()
        }

        fn run(&self, arguments: &[&str]) -> Output {
            let mut command = Command::new(env!("CARGO_BIN_EXE_slipstream"));
            for (name, _) in std::env::vars_os() {
                let word = name.to_string_lossy();
                if word.starts_with("SLIPSTREAM_") || word.ends_with("DATABASE_URL") || word == "REDIS_URL" {
                    command.env_remove(name);
                }
            }
            command.env("USER", "ada").envs(self.variables.iter().map(|(name, value)| (*name, value)));
            command.current_dir(self.at()).args(arguments).stdin(Stdio::null()).output().unwrap()
        }

        fn done(&self, arguments: &[&str]) -> String {
            let output = self.run(arguments);
            let text = |bytes: &[u8]| String::from_utf8_lossy(bytes).into_owned();
            assert!(
                output.status.success(),
                "{arguments:?}: {}{}",
                text(&output.stdout),
                text(&output.stderr)
            );
            text(&output.stdout)
        }

        fn json(&self, arguments: &[&str]) -> Value {
            serde_json::from_str(&self.done(&[arguments, &["--json"]].concat())).unwrap()
        }

        fn refused(&self, arguments: &[&str]) -> String {
            let output = self.run(arguments);
            assert!(!output.status.success(), "{arguments:?}");
            String::from_utf8_lossy(&output.stderr).into_owned()
        }
    }

    fn database(name: &str) -> String {
        SERVER.run("postgres", &format!("CREATE DATABASE {name}")).unwrap();
        SERVER.url(name)
    }

    const LEADER: &str = "0x1e1e1e1e1e1e1e1e1e1e1e1e1e1e1e1e1e1e1e1e";

    /// From one machine to a server: the schema, the copy, a backup, and the restore of it, which holds everything.
    #[test]
    fn a_file_moves_to_a_server_and_a_backup_of_that_is_restored() {
        let mut desk = Desk::new();
        desk.done(&["follow", LEADER]);
        let url = database("moved");
        // The address is in a file of its user's alone: a password may be in it.
        let file = desk.at().join("owner.url");
        fs::write(&file, &url).unwrap();
        let told = desk.refused(&["db", "migrate", "--url", "file:owner.url"]);
        assert!(told.contains("chmod 600"), "{told}");
        fs::set_permissions(&file, std::os::unix::fs::PermissionsExt::from_mode(0o600)).unwrap();
        let migrated = desk.json(&["db", "migrate", "--url", "file:owner.url"]);
        assert_eq!((migrated["from"].clone(), migrated["roles_refused"].clone()), (Value::Null, Value::Null));

        let from = format!("sqlite:{}", find(desk.at()).display());
        let copied = desk.json(&["db", "copy", "--from", &from, "--to", "file:owner.url"]);
        assert!(
            copied["tables"]
                .as_array()
                .unwrap()
                .iter()
                .any(|table| table["name"] == "relationships" && table["rows"] == 1)
        );
        assert_eq!(SERVER.run("moved", "SELECT status FROM copy_relationships").unwrap(), "active");

        desk.variables = vec![("DATABASE_URL", url), ("REDIS_URL", "redis://127.0.0.1:1/0".to_owned())];
        let status = desk.json(&["db", "status"]);
        assert_eq!((status["schema"].as_i64(), status["roles"].as_array().unwrap().len()), (Some(1), 4));
        assert_eq!(status["most_connections"], 500);
        assert!(status["sessions"].as_array().is_some());
        assert!(desk.done(&["db", "status"]).contains("as this version wants it"));

        let backup = desk.at().join("saved.db").display().to_string();
        let saved = desk.json(&["backup", &backup]);
        assert_eq!(
            saved["copied"]["tables"].as_array().unwrap().len(),
            copied["tables"].as_array().unwrap().len()
        );
    }

    /// Others may work there, of a version that a newer schema does not serve.
    #[test]
    fn a_command_takes_the_schema_as_it_is() {
        let mut desk = Desk::new();
        desk.variables =
            vec![("DATABASE_URL", database("as_it_is")), ("REDIS_URL", "redis://127.0.0.1:1/0".to_owned())];
        let told = desk.refused(&["holds"]);
        assert!(
            told.contains("no schema of this program") && told.contains("slipstream db migrate"),
            "{told}"
        );
        desk.done(&["db", "migrate"]);
        desk.done(&["holds"]);
        let schema = || SERVER.run("as_it_is", "SELECT schema_version FROM installation").unwrap();
        SERVER.run("as_it_is", "UPDATE installation SET schema_version = 0, serves = 0").unwrap();
        let init = ["init", "--yes", "--file", "other.toml", "--data-dir", "other"];
        for command in [&["holds"][..], &["queue", "list"], &["positions"], &init] {
            let told = desk.refused(command);
            assert!(told.contains("the database has schema 0, this binary needs schema 1"), "{told}");
        }
        assert_eq!(schema(), "0");
        desk.done(&["db", "migrate"]);
        assert_eq!(schema(), "1");
        desk.done(&["holds"]);
    }

    /// A restore drill: into a new database, everything held, and refused where anything is.
    #[test]
    fn a_restored_server_holds_everything() {
        let mut desk = Desk::new();
        desk.done(&["follow", LEADER]);
        let backup = desk.at().join("saved.db").display().to_string();
        desk.done(&["backup", &backup]);
        desk.variables =
            vec![("DATABASE_URL", database("drill")), ("REDIS_URL", "redis://127.0.0.1:1/0".to_owned())];
        let restored = desk.json(&["restore", &backup]);
        assert_eq!(restored["hold"], 1);
        let held = SERVER.run("drill", "SELECT scope, stops_exits, reason FROM holds").unwrap();
        assert!(held.starts_with("0|1|restored from a backup"), "{held}");
        // Processes that remember what came after the backup hold nothing once more.
        assert_eq!(SERVER.run("drill", "SELECT epoch > 0 FROM installation").unwrap(), "t");
        let told = desk.refused(&["restore", &backup]);
        assert!(told.contains("has other rows in `"), "{told}");
        assert!(!desk.at().join("data/slipstream.db.restored").exists());
    }

    /// The queue: what the database has, and beside it what Redis has.
    #[test]
    fn the_queue_is_shown_set_aside_and_put_back() {
        let mut desk = Desk::new();
        let redis = RedisServer::start().unwrap();
        desk.variables = vec![("DATABASE_URL", database("queued")), ("REDIS_URL", redis.url(0))];
        desk.done(&["db", "migrate"]);
        SERVER.run("queued", &JOBS.join(";")).unwrap();
        redis.run(&["RPUSH", "trade_execution_queue", "1", "2"]).unwrap();

        let depth = desk.json(&["queue", "depth"]);
        assert_eq!(depth["lanes"][1]["waiting"], 3);
        assert_eq!(
            (depth["lanes"][1]["queued"].clone(), depth["lanes"][0]["queued"].clone()),
            (2.into(), 0.into())
        );
        let list = desk.json(&["queue", "list"]);
        assert_eq!(
            list.as_array().unwrap().iter().map(|job| job["job"].as_i64().unwrap()).collect::<Vec<_>>(),
            [1, 2, 3]
        );
        let aside = desk.json(&["queue", "quarantine", "--all", "--reason", "poison"]);
        let again = desk.json(&["queue", "quarantine", "--all"]);
        assert_eq!((aside["jobs"].clone(), again["jobs"].clone()), (3.into(), 0.into()));
        let inspected = desk.done(&["queue", "inspect", "2"]);
        assert!(inspected.contains("set aside by ada: poison"), "{inspected}");
        desk.done(&["queue", "dead-letter", "3", "--reason", "gone"]);
        let dead = desk.done(&["queue", "dead-letter"]);
        assert!(dead.contains("job 3 of relationship 1: ada: gone\n  "), "{dead}");
        assert!(
            dead.contains("set aside by ada: poison\n  ") && dead.contains("given up by ada: gone"),
            "{dead}"
        );
        let over = desk.done(&["queue", "inspect", "3"]);
        assert!(over.contains("job 3 is over since ") && over.contains("an operator gave it up"), "{over}");
        let never = desk.refused(&["queue", "inspect", "123456"]);
        assert!(never.contains("there is no job 123456"), "{never}");
        assert_eq!(desk.json(&["queue", "requeue", "--all"])["ids"], serde_json::json!([1, 2]));
        assert!(desk.done(&["queue", "depth"]).contains("2 wait (2 in the queue)"));
        // Redis that is away is told, and nothing else is held up by it.
        redis.stop().unwrap();
        assert!(desk.done(&["queue", "depth"]).contains("2 wait (the queue is unavailable"));
        assert!(!desk.run(&["queue", "drain", "--seconds", "0"]).status.success());
        desk.done(&["queue", "quarantine", "--all"]);
        desk.done(&["queue", "drain", "--seconds", "0"]);
        let told = desk.refused(&["queue", "requeue"]);
        assert!(told.contains("--all"), "{told}");
    }

    /// What begins on servers has roles, and says who is to connect as whom; who may make none is told what to do.
    #[test]
    fn an_installation_that_begins_on_servers_has_roles() {
        let mut desk = Desk::new();
        let redis = ("REDIS_URL", "redis://127.0.0.1:1/0".to_owned());
        let owner = database("begun");
        desk.variables = vec![("DATABASE_URL", SERVER.url_as("slipstream_app", "begun")), redis.clone()];
        let init = ["init", "--yes", "--file", "other.toml", "--data-dir", "other"];
        if SERVER.run("begun", "SELECT 1 FROM pg_roles WHERE rolname = 'slipstream_app'").unwrap() == "1" {
            assert!(desk.refused(&init).contains("slipstream db migrate"));
        }
        desk.variables = vec![("DATABASE_URL", owner), redis];
        let told = desk.done(&init);
        assert!(told.contains("let `url` of [database] name `slipstream_app`"), "{told}");
        for role in ["slipstream_app", "ops_operator"] {
            desk.variables = vec![("DATABASE_URL", SERVER.url_as(role, "begun"))];
            desk.done(&["holds", "--data-dir", "other"]);
        }
    }

    /// A process that has no connection left says so; the operator's own is another one.
    #[test]
    fn an_operator_is_answered_by_the_database_where_the_process_cannot() {
        let mut desk = Desk::new();
        desk.variables = vec![("DATABASE_URL", database("exhausted"))];
        desk.done(&["db", "migrate"]);
        SERVER.run("exhausted", &JOBS.join(";")).unwrap();
        desk.variables = vec![("DATABASE_URL", SERVER.url_as("ops_operator", "exhausted"))];
        let data = desk.at().join("data");
        fs::create_dir_all(&data).unwrap();
        let socket = UnixListener::bind(data.join("control.sock")).unwrap();
        std::thread::spawn(move || {
            for stream in socket.incoming() {
                let mut stream = stream.unwrap();
                BufReader::new(&stream).read_line(&mut String::new()).unwrap();
                stream.write_all(b"{\"refused\":\"nobody got a connection\"}\n").unwrap();
            }
        });
        let here = ["--data-dir", data.to_str().unwrap()];
        for (command, word) in [
            (vec!["queue", "depth"], "entries: 3 wait"),
            (vec!["queue", "list"], "job 3 waits"),
            (vec!["queue", "quarantine", "2", "3"], "2 jobs set aside"),
            (vec!["queue", "inspect", "2"], "set aside by ada (ops_operator)"),
            (vec!["queue", "requeue", "2"], "1 job put back"),
            (vec!["queue", "dead-letter", "3", "--reason", "gone"], "1 job given up"),
            (vec!["queue", "dead-letter"], "job 3 of relationship 1: ada (ops_operator): gone"),
            (vec!["holds"], "nothing is held"),
        ] {
            let told = desk.done(&[command.as_slice(), &here].concat());
            assert!(told.contains("nobody got a connection") && told.contains(word), "{command:?}: {told}");
        }
        assert!(
            !desk.run(&[&["queue", "drain", "--seconds", "0"], here.as_slice()].concat()).status.success()
        );
        let never = desk.refused(&[&["queue", "inspect", "123456"], here.as_slice()].concat());
        assert!(never.contains("there is no job 123456"), "{never}");
    }

    const JOBS: [&str; 6] = [
        "INSERT INTO owners (id, name, created_at) VALUES (1, 'first', 0)",
        "INSERT INTO accounts (id, owner_id, label, mode, wallet, signer, kind, key_name, created_at) \
         VALUES (1, 1, 'a', 0, decode(repeat('01', 20), 'hex'), decode(repeat('01', 20), 'hex'), 0, 'k', 0)",
        "INSERT INTO leaders (id, wallet, baseline) VALUES (1, decode(repeat('02', 20), 'hex'), 0)",
        "INSERT INTO relationships (id, owner_id, account_id, leader_id, status, policy_version, since) \
         VALUES (1, 1, 1, 1, 0, 1, 0)",
        "INSERT INTO intents (id, owner_id, account_id, relationship_id, leader_id, cause, group_id, part, lane, token, \
         condition, side, amount, limit_price, reserve, leader_price, traded_at, seen_at, decided_at) \
         SELECT i, 1, 1, 1, 1, 0, i, 0, 1, decode(repeat('03', 32), 'hex'), decode(repeat('04', 32), 'hex'), 0, 5, 6, 7, \
         8, 9, 10, i FROM generate_series(1, 3) i",
        "INSERT INTO work (intent_id, owner_id, state, lane, due, attempts, fence, lease_until) \
         SELECT id, 1, 0, lane, id, 0, 0, 0 FROM intents",
    ];

    /// The database of a new installation, wherever `init` put it.
    fn find(place: &Path) -> std::path::PathBuf {
        let entries = fs::read_dir(place).unwrap().map(|entry| entry.unwrap().path());
        let directories: Vec<_> = entries.filter(|path| path.is_dir()).collect();
        directories.iter().map(|one| one.join("slipstream.db")).find(|file| file.exists()).unwrap()
    }
}
