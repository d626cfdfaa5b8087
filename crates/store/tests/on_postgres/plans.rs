//! How the server carries out the statements of the order path when the tables are large: never by reading a table whole.

use std::sync::Arc;

use domain::Timestamp;
use servers::PostgresServer;
use store::{PostgresAddress, SqlStore, StoreClock};
use testkit::{store_suite::Bench, virtual_clock::VirtualClock};

use crate::beside;

/// Rows of each table that grows with followers or orders.
const ROWS: u32 = 100_000;

/// Tables that grow, with what fills them. Numbers begin where no test's rows are.
const FILL: [&str; 14] = [
    "INSERT INTO owners (id, name, created_at) VALUES (900000, 'many', 0)",
    "INSERT INTO leaders (id, wallet, baseline) VALUES (900000, decode(repeat('ee', 20), 'hex'), 0)",
    "INSERT INTO accounts (id, owner_id, label, mode, wallet, signer, kind, key_name, created_at) \
     SELECT 900000 + i, 900000, 'a', 0, decode(lpad(to_hex(i), 40, '0'), 'hex'), decode(repeat('01', 20), 'hex'), 0, 'k', 0 FROM s",
    "INSERT INTO account_cash (account_id, owner_id, cash) SELECT 900000 + i, 900000, 0 FROM s",
    "INSERT INTO relationships (id, owner_id, account_id, leader_id, status, policy_version, since) \
     SELECT 900000 + i, 900000, 900000 + i, 900000, 0, 1, 0 FROM s",
    "INSERT INTO intents (id, owner_id, account_id, relationship_id, leader_id, cause, group_id, part, lane, token, condition, \
     side, amount, limit_price, reserve, leader_price, traded_at, seen_at, decided_at) SELECT 900000 + i, 900000, 900000 + i, \
     900000 + i, 900000, 0, 900000 + i, 0, i % 2, decode(repeat('03', 32), 'hex'), decode(repeat('04', 32), 'hex'), 1 - i % 2, 5, \
     6, 7, 8, 9, 10, 11 FROM s",
    "INSERT INTO work (intent_id, owner_id, state, lane, due, attempts, fence, lease_until) \
     SELECT 900000 + i, 900000, i / 50000, i % 2, 4000000000000000 + i, 0, 0, 0 FROM s",
    "INSERT INTO reservations (intent_id, owner_id, account_id, relationship_id, condition, usd) \
     SELECT 900000 + i, 900000, 900000 + i, 900000 + i, decode(repeat('04', 32), 'hex'), 1 FROM s",
    "INSERT INTO signed_orders (id, owner_id, intent_id, attempt, order_id, body, maker, taker, limit_price, salt, stamped_at, \
     signed_at, resend_until, committed_at) SELECT 900000 + i, 900000, 900000 + i, 0, decode(lpad(to_hex(i), 64, '0'), 'hex'), '\\x00', 1, 1, 1, 1, \
     1, 1, 1, 1 FROM s",
    "INSERT INTO order_status (attempt_id, owner_id, state, version, unbooked, reply_shares, reply_usd, reply_estimated, \
     unseen_for, doubts) SELECT 900000 + i, 900000, 6, 1, 0, 0, 0, 0, 0, 0 FROM s",
    "INSERT INTO instances (id, name, began_at, ended_at) VALUES (900000, 'old', 0, 1)",
    "INSERT INTO send_permits (attempt_id, instance_id, owner_id, fence, granted_at, returned_at) \
     SELECT 900000 + i, 900000, 900000, 1, 1, 2 FROM s",
    "INSERT INTO ledger (id, owner_id, account_id, relationship_id, token, intent_id, attempt_id, cause, shares, cash, cost, \
     realised, fee, at) SELECT 900000 + i, 900000, 900000 + i, 900000 + i, decode(repeat('03', 32), 'hex'), 900000 + i, 900000 + i, \
     1, 1, 1, 1, 0, 0, 1 FROM s",
    "INSERT INTO positions (relationship_id, token, owner_id, account_id, condition, shares, cost, realised, fees) \
     SELECT 900000 + i, decode(repeat('03', 32), 'hex'), 900000, 900000 + i, decode(repeat('04', 32), 'hex'), 1, 1, 0, 0 FROM s",
];

/// What signing, sending, settling and booking do, tried beside all those rows.
const CASES: [&str; 6] = [
    "commit_one::intents_come_in_the_order_of_the_decisions",
    "signing::a_signed_attempt_comes_back_bit_by_bit",
    "signing::one_of_many_workers_wins_each_intent",
    "permits::work_is_claimed_when_due_and_free",
    "settling::a_reply_is_kept_until_replaced",
    "ledger::a_sale_is_booked_from_the_position_that_stands",
];

/// Statements of each step, which must be among those looked at.
const STEPS: [&str; 6] = [
    "INSERT INTO decisions",
    "INSERT INTO intents",
    "UPDATE work SET state = 1",
    "INSERT INTO signed_orders",
    "INSERT INTO order_status",
    "INSERT INTO ledger",
];

/// What the cases themselves read to see what is there: whole tables, on purpose.
const REPORTS: [&str; 1] = ["FROM accounts a "];

#[tokio::test(flavor = "multi_thread")]
async fn nothing_in_the_order_path_reads_a_large_table_whole() {
    let server = PostgresServer::start_with(
        "session_preload_libraries = 'auto_explain'\nauto_explain.log_min_duration = 0\nautovacuum = off\n",
    )
    .unwrap();
    let fill: Vec<String> = FILL
        .iter()
        .map(|statement| statement.replace("FROM s", &format!("FROM generate_series(1, {ROWS}) i")))
        .collect();
    let tables: Vec<&str> =
        FILL.iter().filter(|one| one.contains("FROM s")).map(|one| one.split(' ').nth(2).unwrap()).collect();
    server.run("postgres", "CREATE DATABASE large").unwrap();
    let address: PostgresAddress = server.url("large").parse().unwrap();
    SqlStore::connect(&address, StoreClock::Database).await.unwrap().close().await.unwrap();
    server.run("large", &fill.join("; ")).unwrap();
    server.run("large", "VACUUM ANALYZE").unwrap();
    let before = server.log().unwrap().len();
    for (number, case) in CASES.iter().enumerate() {
        let name = format!("case_{number}");
        server.run("postgres", &format!("CREATE DATABASE {name} TEMPLATE large")).unwrap();
        let address: PostgresAddress = server.url(&name).parse().unwrap();
        let clock = VirtualClock::new(Timestamp::from_seconds(1_800_000_000));
        let store = SqlStore::connect(&address, StoreClock::Given(clock.clone())).await.unwrap();
        let store = Arc::new(store);
        let bench = Bench { store: store.clone(), keys: store.clone(), people: store, clock, spawn: beside };
        let case = testkit::store_suite::CASES.iter().find(|one| one.name == *case).unwrap();
        // What it finds beside its own rows is no matter here: its statements are.
        let _ = (case.run)(bench).await;
    }
    let log = server.log().unwrap();
    let plans: Vec<&str> = log[before..].split("Query Text: ").skip(1).collect();
    for step in STEPS {
        assert!(plans.iter().any(|plan| plan.contains(step)), "no plan of `{step}` among {}", plans.len());
    }
    let whole = |plan: &&&str| tables.iter().any(|table| plan.contains(&format!("Seq Scan on {table} ")));
    let scans: Vec<&str> = plans.iter().filter(whole).filter_map(|plan| plan.lines().next()).collect();
    let scans: Vec<&str> =
        scans.into_iter().filter(|text| !REPORTS.iter().any(|report| text.contains(report))).collect();
    assert!(scans.is_empty(), "{} of {}: {scans:#?}", scans.len(), plans.len());
}
