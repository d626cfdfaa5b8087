//! The view `copy_relationships`: an operator's UPDATE becomes holds, on rows that copy, and nothing else.

use std::sync::Arc;

use domain::{
    Address, KeyRef, Timestamp, WalletKind,
    ids::{OwnerId, RelationshipId},
    policy::Policy,
};
use engine::ports::{
    following::{AccountMode, Following as _, NewAccount, NewRelationship, RelationshipStatus},
    reports::Reports as _,
    store::EventKind,
};
use store::{PostgresAddress, SqlStore, StoreClock};
use testkit::{runbook::command, virtual_clock::VirtualClock};

use crate::{SERVER, new_database, on_postgres::slow_writer::SlowWriter};

struct Desk {
    name: String,
    store: Arc<SqlStore>,
    owner: OwnerId,
    relationships: Vec<RelationshipId>,
}

/// As many followers of one leader.
async fn desk(followers: u8) -> Desk {
    let name = new_database();
    let address: PostgresAddress = SERVER.url(&name).parse().unwrap();
    let store = Arc::new(SqlStore::connect(&address, StoreClock::Database).await.unwrap());
    let now = Timestamp::from_seconds(1);
    let owner = store.add_owner("first", now).await.unwrap();
    let leader = store.add_leader(Address([200; 20]), now).await.unwrap();
    let mut relationships = Vec::new();
    for number in 0..followers {
        let account = NewAccount {
            label: format!("account {number}"),
            mode: AccountMode::Paper,
            wallet: Address([number; 20]),
            signer: Address([number; 20]),
            kind: WalletKind::Proxy,
            key: KeyRef(format!("key-{number}")),
            cap: None,
        };
        let account = store.add_account(owner, &account, now).await.unwrap();
        let new = NewRelationship { account, leader, policy: Policy::careful() };
        relationships.push(store.add_relationship(owner, &new, now).await.unwrap());
    }
    Desk { name, store, owner, relationships }
}

impl Desk {
    fn run(&self, sql: &str) -> String {
        SERVER.run(&self.name, sql).unwrap()
    }

    fn tag(&self, sql: &str) -> String {
        SERVER.shell(&SERVER.url(&self.name), &format!("psql \"$DATABASE_URL\" -c \"{sql}\"")).unwrap()
    }

    fn refused(&self, sql: &str) -> String {
        SERVER.run(&self.name, sql).unwrap_err().to_string()
    }

    /// Status of each relationship, as the view has it.
    fn shown(&self) -> String {
        self.run("SELECT string_agg(status, ' ' ORDER BY id) FROM copy_relationships")
    }

    async fn held(&self, at: Timestamp) -> usize {
        self.store.following(at).await.unwrap().holds.len()
    }

    async fn last_event(&self) -> (i64, String) {
        let events = self.store.events_after(0, 10_000).await.unwrap();
        let (id, event) = events.last().unwrap();
        match &event.kind {
            EventKind::FollowingChanged { what } => (*id, what.clone()),
            other => panic!("{other:?}"),
        }
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn the_runbooks_own_pause_holds_what_copies_and_only_that() {
    let desk = desk(4).await;
    let [_, paused, stopped, _] = desk.relationships[..] else { panic!() };
    let now = Timestamp::from_seconds(2);
    assert!(desk.store.set_status(desk.owner, paused, RelationshipStatus::Paused, now).await.unwrap());
    assert!(desk.store.set_status(desk.owner, stopped, RelationshipStatus::Stopped, now).await.unwrap());
    let (version, mark) =
        (desk.store.config_version().await.unwrap(), desk.store.commit_mark().await.unwrap());

    let said = SERVER.shell(&SERVER.url(&desk.name), command("venue-pause")).unwrap();
    assert_eq!(said, "UPDATE 2");
    assert_eq!(desk.shown(), "paused paused stopped paused");
    assert_eq!(desk.store.config_version().await.unwrap(), version + 1);
    assert_eq!(desk.store.commit_mark().await.unwrap().0, mark.0 + 1);
    assert_eq!(desk.last_event().await.1, "postgres paused 2 relationships in copy_relationships");

    // Again: the same holds get the new end and count.
    let ends = desk.run("SELECT max(expires_at) FROM holds");
    assert_eq!(SERVER.shell(&SERVER.url(&desk.name), command("venue-pause")).unwrap(), "UPDATE 2");
    assert_eq!(desk.run("SELECT count(*), count(DISTINCT scope_id) FROM holds"), "2|2");
    assert!(desk.run("SELECT max(expires_at) FROM holds") > ends);

    // What is lifted is what was paused here; the user's own word stands, and so does an operator's other hold.
    assert_eq!(desk.tag("UPDATE copy_relationships SET status = 'active'"), "UPDATE 2");
    assert_eq!(desk.shown(), "active paused stopped active");
    assert_eq!(desk.tag("UPDATE copy_relationships SET status = 'active'"), "UPDATE 0");
    let (last, told) = desk.last_event().await;
    assert_eq!(told, "postgres lifted the pause of 2 relationships in copy_relationships");
    // Nothing changed, nothing is told.
    let version = desk.store.config_version().await.unwrap();
    assert_eq!(desk.tag("UPDATE copy_relationships SET status = 'paused' WHERE false"), "UPDATE 0");
    assert_eq!((desk.store.config_version().await.unwrap(), desk.last_event().await.0), (version, last));
}

/// To the microsecond, in the view and for whoever reads holds; and then what its user paused stays so.
#[tokio::test(flavor = "multi_thread")]
async fn a_pause_ends_exactly_when_it_was_to_and_resumes_nobody_elses() {
    let desk = desk(2).await;
    let until = "2999-12-31 23:59:59.123457+00";
    let sql = format!("UPDATE copy_relationships SET status = 'paused', auto_resume_at = '{until}'");
    assert_eq!(desk.tag(&sql), "UPDATE 2");
    let shown = "SELECT DISTINCT auto_resume_at = timestamptz '2999-12-31 23:59:59.123457+00' FROM copy_relationships";
    assert_eq!(desk.run(shown), "t");
    let end: i64 = desk.run("SELECT DISTINCT expires_at FROM holds").parse().unwrap();
    assert_eq!(end % 1_000_000, 123_457);
    assert_eq!((desk.held(Timestamp(end - 1)).await, desk.held(Timestamp(end)).await), (2, 0));

    // Its user pauses meanwhile: nothing of the hold's end is theirs.
    let paused = desk.relationships[0];
    desk.store.set_status(desk.owner, paused, RelationshipStatus::Paused, Timestamp(1)).await.unwrap();
    assert_eq!(desk.run("SELECT count(auto_resume_at) FROM copy_relationships"), "1");
    desk.run("UPDATE holds SET expires_at = (extract(epoch FROM clock_timestamp()) * 1000000)::bigint - 1");
    assert_eq!(desk.shown(), "paused active");

    // One that ran out is history; the next pause is another row, without an end.
    assert_eq!(desk.tag("UPDATE copy_relationships SET status = 'paused'"), "UPDATE 1");
    assert_eq!(desk.run("SELECT count(*), count(lifted_at) FROM holds"), "3|2");
    assert_eq!(desk.run("SELECT count(*) FROM copy_relationships WHERE auto_resume_at IS NULL"), "2");
    assert_eq!(desk.held(Timestamp(i64::MAX)).await, 1);
    // Only its end is changed.
    assert_eq!(
        desk.tag(
            "UPDATE copy_relationships SET auto_resume_at = now() + interval '1 day' WHERE status = 'paused'"
        ),
        "UPDATE 1"
    );
    assert_eq!(desk.run("SELECT count(auto_resume_at) FROM copy_relationships"), "1");

    // Its user pauses too; what an operator ends does not come to light when the user resumes.
    let both = desk.relationships[1];
    desk.store.set_status(desk.owner, both, RelationshipStatus::Paused, Timestamp(2)).await.unwrap();
    assert_eq!(desk.tag("UPDATE copy_relationships SET status = 'active'"), "UPDATE 1");
    assert_eq!(desk.shown(), "paused paused");
    desk.store.set_status(desk.owner, both, RelationshipStatus::Active, Timestamp(3)).await.unwrap();
    assert_eq!((desk.shown().as_str(), desk.held(Timestamp(4)).await), ("paused active", 0));
}

#[tokio::test(flavor = "multi_thread")]
async fn everything_else_is_refused_with_what_to_do() {
    let desk = desk(1).await;
    let before = desk.run("SELECT count(*) FROM events");
    for (sql, hint) in [
        ("UPDATE copy_relationships SET status = 'stopped'", "slipstream stop"),
        ("UPDATE copy_relationships SET status = NULL", "Set 'paused' or 'active'"),
        ("UPDATE copy_relationships SET status = 'Paused'", "Set 'paused' or 'active'"),
        ("UPDATE copy_relationships SET owner = 'me'", "slipstream edit"),
        ("UPDATE copy_relationships SET status = 'paused', leader = '0x00'", "slipstream edit"),
        (
            "UPDATE copy_relationships SET auto_resume_at = now() + interval '1 hour'",
            "Set status = 'paused' with it",
        ),
        (
            "UPDATE copy_relationships SET status = 'paused', auto_resume_at = now() - interval '1 s'",
            "NULL pauses until",
        ),
        ("UPDATE copy_relationships SET status = 'paused', auto_resume_at = 'infinity'", "NULL pauses until"),
        (
            "UPDATE copy_relationships SET status = 'paused', auto_resume_at = '290000-01-01'",
            "NULL pauses until",
        ),
        ("DELETE FROM copy_relationships", "slipstream stop"),
        ("INSERT INTO copy_relationships (id, status) VALUES (7, 'active')", "slipstream follow"),
    ] {
        let refused = desk.refused(sql);
        assert!(refused.contains("HINT") && refused.contains(hint), "{sql}: {refused}");
    }
    assert_eq!((desk.shown().as_str(), desk.run("SELECT count(*) FROM events")), ("active", before));
}

/// 10,000 followers with one statement; the server's time for it is printed.
#[tokio::test(flavor = "multi_thread")]
async fn ten_thousand_are_paused_at_once() {
    let desk = desk(1).await;
    desk.run(
        "INSERT INTO accounts (id, owner_id, label, mode, wallet, signer, kind, key_name, created_at) \
         SELECT n, 1, 'a', 0, decode(lpad(to_hex(n), 40, '0'), 'hex'), '\\x00', 0, 'k', 0 \
         FROM generate_series(1001, 10999) n; \
         INSERT INTO relationships (id, owner_id, account_id, leader_id, status, policy_version, since) \
         SELECT n, 1, n, 1, 0, 1, 0 FROM generate_series(1001, 10999) n; ANALYZE",
    );
    let paused = "\\\\timing on\nUPDATE copy_relationships SET status = 'paused', auto_resume_at = now() + interval '1 h'";
    let command = format!("printf '{}' | psql $DATABASE_URL", paused.replace('\'', "'\\''"));
    let said = SERVER.shell(&SERVER.url(&desk.name), &command).unwrap();
    println!("{said}");
    assert!(said.contains("UPDATE 10000"), "{said}");
    assert_eq!(desk.run("SELECT count(*), count(DISTINCT expires_at) FROM holds"), "10000|1");
    // One text to whoever reads the outbox, one version to whoever decides.
    assert_eq!(desk.run("SELECT count(*) FROM events WHERE event LIKE '%copy_relationships%'"), "1");
    // Whoever signs for one of them reads its hold, not all 10,000.
    let plan = desk.run(
        "EXPLAIN SELECT id FROM holds WHERE lifted_at IS NULL AND scope = 3 AND scope_id = ANY('{1,2}')",
    );
    assert!(plan.contains("Index") && !plan.contains("Seq Scan"), "{plan}");
}

/// Two at once: the second waits for the first, and for the program's own writers, and sees what they left.
#[tokio::test(flavor = "multi_thread")]
async fn a_pause_waits_for_whoever_writes() {
    let desk = desk(2).await;
    let now = VirtualClock::new(Timestamp::from_seconds(9));
    let writer = SlowWriter::begin(&desk.name);
    let pauses = (0..4).map(|_| {
        let (url, command) = (SERVER.url(&desk.name), command("venue-pause"));
        tokio::task::spawn_blocking(move || SERVER.shell(&url, command).unwrap())
    });
    let pauses: Vec<_> = pauses.collect();
    writer.until_waited_for();
    assert_eq!(
        (desk.shown().as_str(), desk.run("SELECT count(*) FROM holds").as_str()),
        ("active active", "0")
    );
    writer.end();
    for _ in 0..20 {
        let user = domain::Clock::now(now.as_ref());
        for status in [RelationshipStatus::Paused, RelationshipStatus::Active] {
            desk.store.set_status(desk.owner, desk.relationships[0], status, user).await.unwrap();
        }
    }
    for pause in pauses {
        let said = pause.await.unwrap();
        assert!(said == "UPDATE 2" || said == "UPDATE 1", "{said}");
    }
    assert_eq!(desk.run("SELECT count(*) = count(DISTINCT scope_id) FROM holds"), "t");
}

/// A hold that is over would be counted and hold nothing.
#[tokio::test(flavor = "multi_thread")]
async fn a_pause_that_ends_while_it_is_repeated_goes_on() {
    let desk = desk(1).await;
    desk.run("UPDATE copy_relationships SET status = 'paused', auto_resume_at = now() + interval '2 s'");
    let writer = SlowWriter::begin(&desk.name);
    let pause = tokio::task::spawn_blocking({
        let url = SERVER.url(&desk.name);
        move || {
            SERVER
                .shell(&url, "psql \"$DATABASE_URL\" -c \"UPDATE copy_relationships SET status = 'paused'\"")
                .unwrap()
        }
    });
    writer.until_waited_for();
    let over = "SELECT max(expires_at) < extract(epoch FROM clock_timestamp()) * 1000000 FROM holds";
    assert!((0..1_000).any(|_| desk.run(over) == "t"), "the first pause ends");
    writer.end();
    assert_eq!(pause.await.unwrap(), "UPDATE 1");
    assert_eq!(desk.shown(), "paused");
    assert_eq!(desk.run("SELECT count(*) FROM copy_relationships WHERE auto_resume_at IS NULL"), "1");
    assert_eq!(desk.held(Timestamp(4_000_000_000_000_000)).await, 1);
}
