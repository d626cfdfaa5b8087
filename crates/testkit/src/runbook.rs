//! The on-call runbook's own commands, word for word, with what becomes of each. Tests run them against the live parts;
//! docs/runbook.md is written from this table.

use std::fmt::Write as _;

/// What a command of the runbook is worth here.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub enum Verdict {
    /// It does what the runbook says.
    Works,
    /// It may be run, and nothing is won by it: what it is for happens by itself.
    Needless,
}

/// One fenced command.
#[derive(Clone, Copy, Debug)]
pub struct RunbookCommand {
    /// By which tests name it.
    pub id: &'static str,
    /// The issue under which it stands.
    pub heading: &'static str,
    /// The line above it.
    pub purpose: &'static str,
    /// As it is typed into a shell.
    pub command: &'static str,
    /// What it is worth.
    pub verdict: Verdict,
    /// What it does to this platform.
    pub effect: &'static str,
}

const QUEUE: &str = "Trade Execution Queue Stuck";
const POOL: &str = "Database Connection Pool Exhausted";
const VENUE: &str = "Polymarket API Down/Slow";

/// In the runbook's order. Operators have `DATABASE_URL` name the role `ops_operator`.
pub const COMMANDS: &[RunbookCommand] = &[
    RunbookCommand {
        id: "queue-depth",
        heading: QUEUE,
        purpose: "Check queue depth",
        command: "redis-cli LLEN trade_execution_queue",
        verdict: Verdict::Works,
        effect: "Answers how many entries wait. Exits wait in `trade_execution_queue:exits`; \
                 `slipstream queue depth` shows both, and what is under way.",
    },
    RunbookCommand {
        id: "queue-clear",
        heading: QUEUE,
        purpose: "Option 3: Clear stuck jobs (CAUTION)",
        command: "redis-cli DEL trade_execution_queue",
        verdict: Verdict::Needless,
        effect: "Loses nothing and clears nothing: the list is made again from the database within seconds, \
                 the deletion is told, and nothing has to be requeued by hand. To set jobs aside: \
                 `slipstream queue quarantine --all`, then `slipstream queue requeue --all`.",
    },
    RunbookCommand {
        id: "pool-count",
        heading: POOL,
        purpose: "Check connection count",
        command: r#"psql $DATABASE_URL -c "SELECT count(*) FROM pg_stat_activity;""#,
        verdict: Verdict::Works,
        effect: "Answers how many sessions the server has, its own processes too. Operators always find a free \
                 connection.",
    },
    RunbookCommand {
        id: "pool-states",
        heading: POOL,
        purpose: "Check idle connections",
        command: r#"psql $DATABASE_URL -c "
  SELECT state, count(*) 
  FROM pg_stat_activity 
  GROUP BY state;
""#,
        verdict: Verdict::Works,
        effect: "Answers what the sessions do. `slipstream db status` shows who they are, too.",
    },
    RunbookCommand {
        id: "pool-longest",
        heading: POOL,
        purpose: "Find long-running queries",
        command: r#"psql $DATABASE_URL -c "
  SELECT pid, now() - query_start AS duration, query 
  FROM pg_stat_activity 
  WHERE state = 'active' 
  ORDER BY duration DESC 
  LIMIT 10;
""#,
        verdict: Verdict::Works,
        effect: "Answers what runs longest, with its text where the session is one of this program's.",
    },
    RunbookCommand {
        id: "pool-kill-idle",
        heading: POOL,
        purpose: "Kill idle connections",
        command: r#"psql $DATABASE_URL -c "
  SELECT pg_terminate_backend(pid) 
  FROM pg_stat_activity 
  WHERE state = 'idle' 
  AND state_change < now() - interval '5 minutes';
""#,
        verdict: Verdict::Works,
        effect: "Ends the program's sessions that have been idle for so long; it connects anew and nothing is lost. \
                 What others' sessions do is not shown to operators, so theirs are not among them.",
    },
    RunbookCommand {
        id: "venue-pause",
        heading: VENUE,
        purpose: "Option 2: Pause auto-trading",
        command: r#"psql $DATABASE_URL -c "
  UPDATE copy_relationships 
  SET status = 'paused', 
  auto_resume_at = NOW() + INTERVAL '1 hour';
""#,
        verdict: Verdict::Works,
        effect: "Holds every relationship that copies, its sales too, for an hour. What its user has paused is not \
                 touched and stays paused. `slipstream holds` shows it; `SET status = 'active'` ends it.",
    },
];

/// The command of this id, as the runbook has it.
///
/// # Panics
/// When there is none.
#[must_use]
#[expect(clippy::panic, reason = "a test names what is not there")]
pub fn command(id: &str) -> &'static str {
    let found = COMMANDS.iter().find(|one| one.id == id);
    found.map_or_else(|| panic!("the runbook has no command `{id}`"), |one| one.command)
}

/// The whole table, as docs/runbook.md has it.
#[must_use]
pub fn markdown() -> String {
    let mut text = String::from(
        "# The on-call runbook's commands\n\n\
         Each was run word for word against PostgreSQL, Redis and processes of this program, by a test that looks at \
         what it did (`crates/slipstream/tests/paper/on_postgres/runbook.rs`). An operator's shell has `DATABASE_URL` \
         and `PRODUCTION_DATABASE_URL` name the role `ops_operator` ([postgresql.md](postgresql.md)); the program's own \
         commands that are named below were typed into the same one. This file is written from the table in `crates/testkit/src/runbook.rs`.\n",
    );
    let mut heading = "";
    for one in COMMANDS {
        if one.heading != heading {
            heading = one.heading;
            let _ = write!(text, "\n## {heading}\n");
        }
        let verdict = match one.verdict {
            Verdict::Works => "Works.",
            Verdict::Needless => "Needless.",
        };
        let _ = write!(
            text,
            "\n### {}\n\n```bash\n{}\n```\n\n{verdict} {}\n",
            one.purpose, one.command, one.effect
        );
    }
    text
}
