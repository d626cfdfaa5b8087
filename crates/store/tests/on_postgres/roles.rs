//! Who may do what in the database, and who finds a connection when there are none left.

use std::sync::{
    Arc,
    atomic::{AtomicU32, Ordering},
};

use domain::Timestamp;
use engine::ports::following::Following as _;
use servers::PostgresServer;
use store::{OpenError, PostgresAddress, SqlStore, StoreClock};
use testkit::{runbook::command, store_suite::Bench, virtual_clock::VirtualClock};
use tokio::sync::OnceCell;

use crate::{SERVER, beside, new_database};

fn address(url: &str) -> PostgresAddress {
    url.parse().unwrap()
}

/// Roles are the server's, made once; this database is never connected to again, so that others can be copies of it.
static MIGRATED: OnceCell<String> = OnceCell::const_new();

async fn migrated() -> &'static str {
    let migrate = async || {
        let name = new_database();
        let migrated = store::migrate(&address(&SERVER.url(&name))).await.unwrap();
        assert_eq!((migrated.from, migrated.roles_refused), (None, None));
        name
    };
    MIGRATED.get_or_init(migrate).await
}

/// Nothing that the program does needs more than its role has.
#[tokio::test(flavor = "multi_thread")]
async fn the_application_keeps_every_promise_with_its_own_rights() {
    let made = AtomicU32::new(0);
    testkit::store_suite::run_all(async || {
        let name = format!("as_application_{}", made.fetch_add(1, Ordering::Relaxed));
        let template = migrated().await;
        SERVER.run("postgres", &format!("CREATE DATABASE {name} TEMPLATE {template}")).unwrap();
        let clock = VirtualClock::new(Timestamp::from_seconds(1_800_000_000));
        let address = address(&SERVER.url_as("slipstream_app", &name)).with_connections(4);
        let store = SqlStore::connect(&address, StoreClock::Given(clock.clone())).await.unwrap();
        let store = Arc::new(store);
        Bench { store: store.clone(), keys: store.clone(), people: store, clock, spawn: beside }
    })
    .await;
}

#[tokio::test(flavor = "multi_thread")]
async fn each_role_may_do_its_own_and_no_more() {
    // Rights in a database are not copied.
    migrated().await;
    let name = new_database();
    store::migrate(&address(&SERVER.url(&name))).await.unwrap();
    let run = |role: &str, sql: &str| {
        SERVER.shell(&SERVER.url_as(role, &name), &format!("psql \"$DATABASE_URL\" -Atc \"{sql}\""))
    };
    for (role, sql) in [
        ("slipstream_app", "UPDATE ledger SET cash = 1"),
        ("slipstream_app", "DELETE FROM signed_orders"),
        ("slipstream_app", "UPDATE intents SET amount = 1"),
        ("slipstream_app", "UPDATE installation SET schema_version = 1"),
        ("slipstream_app", "CREATE TABLE mine (id int)"),
        ("slipstream_app", "CREATE TEMP TABLE mine (id int)"),
        ("slipstream_app", "DROP TABLE ledger"),
        ("slipstream_app", "UPDATE copy_relationships SET status = 'paused'"),
        ("slipstream_app", "UPDATE audit_log SET what = 'nothing'"),
        ("slipstream_app", "DELETE FROM audit_log"),
        ("slipstream_readonly", "SELECT * FROM users"),
        ("slipstream_readonly", "SELECT * FROM user_sessions"),
        ("slipstream_readonly", "SELECT * FROM api_tokens"),
        ("slipstream_readonly", "SELECT * FROM sealed_keys"),
        ("slipstream_readonly", "SELECT * FROM key_header"),
        ("slipstream_readonly", "INSERT INTO owners (name, created_at) VALUES ('x', 0)"),
        ("slipstream_readonly", "SET default_transaction_read_only = off; DELETE FROM work"),
        ("ops_operator", "SELECT * FROM relationships"),
        ("ops_operator", "SELECT wallet FROM public.accounts"),
        ("ops_operator", "UPDATE work SET state = 0"),
        ("ops_operator", "DELETE FROM work"),
        (
            "ops_operator",
            "INSERT INTO queue_history (intent_id, at, act, who, reason) VALUES (1, 1, 1, 'x', 'y')",
        ),
        ("slipstream_readonly", "SELECT slipstream_operations.act_on_jobs(0, NULL, ARRAY[1], 'x', 'y')"),
        ("ops_operator", "SELECT * FROM sealed_keys"),
        ("ops_operator", "INSERT INTO copy_relationships (id) VALUES (1)"),
        ("ops_operator", "DELETE FROM copy_relationships"),
        ("ops_operator", "UPDATE copy_relationships SET owner = 'x'"),
        ("ops_operator", "SET ROLE slipstream_app"),
        ("ops_operator", "SET ROLE slipstream_migration"),
        ("ops_operator", "CREATE TEMP TABLE mine (id int)"),
        ("ops_operator", "SELECT pg_catalog.pg_reload_conf()"),
    ] {
        let refused = run(role, sql).expect_err(sql).to_string();
        let why = ["permission denied", "must be owner", "read-only transaction"];
        assert!(why.iter().any(|why| refused.contains(why)), "{role}: {sql}: {refused}");
    }
    for (role, sql, answer) in [
        ("slipstream_readonly", "SELECT count(*) FROM ledger", "0"),
        ("ops_operator", "SELECT count(*) FROM copy_relationships", "0"),
        ("ops_operator", "UPDATE copy_relationships SET status = 'paused'", "UPDATE 0"),
        ("ops_operator", "SELECT count(*) FROM work", "0"),
        ("ops_operator", "SHOW lock_timeout", "10s"),
        ("slipstream_readonly", "SHOW default_transaction_read_only", "on"),
        ("slipstream_migration", "SHOW lock_timeout", "5s"),
    ] {
        assert_eq!(run(role, sql).unwrap(), answer, "{role}: {sql}");
    }
    // The owner's role goes on with the schema by itself; the program's does not.
    let again = store::migrate(&address(&SERVER.url_as("slipstream_migration", &name))).await.unwrap();
    assert_eq!((again.from, again.roles_refused), (Some(again.to), None));
    SERVER.run(&name, "UPDATE installation SET schema_version = 0").unwrap();
    let refused =
        SqlStore::connect(&address(&SERVER.url_as("slipstream_app", &name)), StoreClock::Database).await;
    let refused = refused.err().unwrap();
    assert!(matches!(refused, OpenError::OlderSchema { found: Some(0), .. }), "{refused}");
    assert!(refused.to_string().contains("slipstream db migrate"), "{refused}");
    let refused = store::migrate(&address(&SERVER.url_as("slipstream_app", &name))).await.err().unwrap();
    assert!(matches!(refused, OpenError::OlderSchema { .. }), "{refused}");
}

/// The runbook's commands for an exhausted pool, word for word, when the program has every connection it can get.
#[tokio::test(flavor = "multi_thread")]
async fn operators_find_a_connection_when_the_program_has_taken_all() {
    let server = PostgresServer::start_with("max_connections = 30\n").unwrap();
    server.run("postgres", "CREATE DATABASE slipstream").unwrap();
    let migrated = store::migrate(&address(&server.url("slipstream"))).await.unwrap();
    assert_eq!(migrated.roles_refused, None);
    let program = address(&server.url_as("slipstream_app", "slipstream")).named("worker");
    let operator = server.url_as("ops_operator", "slipstream");

    // 30 less 3 of superusers less 12 of others.
    let mut sessions = Vec::new();
    let refused = loop {
        match SqlStore::connect(&program.clone().with_connections(1), StoreClock::Database).await {
            Ok(store) => sessions.push(store),
            Err(refused) => break refused,
        }
    };
    assert_eq!(sessions.len(), 15);
    assert!(refused.to_string().contains("too many connections for role"), "{refused}");

    // Jobs and holds, too, as the program's own commands ask for them.
    let one = address(&operator).as_it_is().with_connections(1);
    let desk = SqlStore::connect(&one, StoreClock::Database).await.unwrap();
    assert_eq!(desk.count_jobs().await.unwrap(), []);
    assert_eq!(desk.holds(Timestamp(1)).await.unwrap(), []);
    desk.close().await.unwrap();
    assert_eq!(store::server_status(&address(&operator)).await.unwrap().schema, Some(store::SCHEMA_VERSION));

    assert!(server.shell(&operator, command("pool-count")).unwrap().contains("(1 row)"));
    // Whoever asked before is gone a moment later.
    let states = (0..100).map(|_| server.shell(&operator, command("pool-states")).unwrap());
    let all = |states: &String| states.contains("idle   |    15") && states.contains("active |     1");
    assert!(states.into_iter().any(|states| all(&states)), "15 idle sessions, and this one");
    assert!(server.shell(&operator, command("pool-longest")).unwrap().contains("FROM pg_stat_activity"));
    assert_eq!(server.shell(&operator, command("venue-pause")).unwrap(), "UPDATE 0");
    let names = "psql $DATABASE_URL -Atc \"SELECT DISTINCT application_name FROM pg_stat_activity \
        WHERE usename = 'slipstream_app'\"";
    assert_eq!(server.shell(&operator, names).unwrap(), "slipstream-worker");

    // Nobody has been idle for so long; a superuser's idle session is in nobody's way.
    assert!(server.shell(&operator, command("pool-kill-idle")).unwrap().contains("(0 rows)"));
    let owner = SqlStore::connect(&address(&server.url("slipstream")), StoreClock::Database).await.unwrap();
    let now = command("pool-kill-idle").replace("5 minutes", "0 minutes");
    let killed = server.shell(&operator, &now).unwrap();
    assert!(killed.contains("(15 rows)"), "{killed}");
    assert!(owner.config_version().await.is_ok());
    // The program's pools notice and go on.
    for store in &sessions {
        assert!(store.config_version().await.is_ok());
    }
    let others = "psql $DATABASE_URL -c \"SELECT pg_terminate_backend(pid) FROM pg_stat_activity \
        WHERE usename = 'postgres'\"";
    let refused = server.shell(&operator, others).unwrap_err().to_string();
    assert!(refused.contains("none of this program's"), "{refused}");
}

/// Waits for connections are measured.
#[tokio::test(flavor = "multi_thread")]
async fn the_pool_tells_how_it_is_used() {
    let name = new_database();
    let url = SERVER.url(&name);
    let store = SqlStore::connect(&address(&url).with_connections(2), StoreClock::Database).await.unwrap();
    let store = Arc::new(store);
    let before = store.connections().unwrap();
    assert_eq!((before.limit, before.waiting, before.refused), (2, 0, 0));
    let asking: Vec<_> = (0..50)
        .map(|_| {
            let store = Arc::clone(&store);
            tokio::spawn(async move { store.config_version().await.unwrap() })
        })
        .collect();
    for asked in asking {
        asked.await.unwrap();
    }
    let after = store.connections().unwrap();
    assert_eq!((after.taken - before.taken, after.open, after.waiting), (50, 2, 0));
    assert!(after.waited > before.waited && after.longest_wait >= before.longest_wait);
    assert!(after.saturation_percent() <= 100);
    let memory =
        SqlStore::open(&tempfile::tempdir().unwrap().path().join("x.db"), VirtualClock::new(Timestamp(1)))
            .await
            .unwrap();
    assert_eq!(memory.connections(), None);
}

/// TLS is what the address says: none is refused by a server that wants it, and a stranger's certificate by us.
#[tokio::test(flavor = "multi_thread")]
async fn connections_are_encrypted_as_the_address_says() {
    let server = PostgresServer::start_encrypted().unwrap();
    let authority = server.authority().display().to_string();
    let url = server.url("postgres");
    let connect = async |more: &str| {
        let address = address(&format!("{url}?{more}"));
        SqlStore::connect(&address, StoreClock::Database).await.map(|_| ()).map_err(|error| error.to_string())
    };
    connect("sslmode=require").await.unwrap();
    connect(&format!("sslmode=verify-full&sslrootcert={authority}")).await.unwrap();
    let plain = connect("sslmode=disable").await.unwrap_err();
    assert!(plain.contains("no encryption") || plain.contains("pg_hba"), "{plain}");
    let stranger = connect("sslmode=verify-full").await.unwrap_err();
    assert!(stranger.contains("certificate"), "{stranger}");
}
