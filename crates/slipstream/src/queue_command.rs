//! `slipstream queue`: the jobs that wait, as an operator sees them. The store is the truth; the queue beside it is
//! shown with its length.

use std::{sync::Arc, time::Duration};

use anyhow::{Context as _, ensure};
use clap::{Args, Subcommand, ValueEnum};
use domain::{Clock, Shares, Side, Usd, ids::IntentId};
use engine::ports::{detection::Lane, execution::EndReason, queue::Queue, store::StoreError};
use serde::{Deserialize, Serialize};
use serde_json::{Value, json};
use sha2::{Digest as _, Sha256};
use store::{Job, JobAct, JobNote, JobState, Jobs, SqlStore};

use crate::{
    cli::Installation,
    clock::SystemClock,
    commands::{Answer, Request},
    operator,
    story::end_words,
    wording::{count, dollars, shares},
};

/// Time between two looks of `drain`.
const LOOK_EVERY: Duration = Duration::from_secs(1);

/// Where jobs are, and what rings for them.
#[derive(Clone)]
pub struct JobsDesk {
    /// The truth.
    pub store: Arc<SqlStore>,
    /// The doorbell, where it can be reached.
    pub queue: Option<Arc<dyn Queue>>,
}

/// Commands on the queue.
#[derive(Debug, Subcommand)]
pub enum QueueCommand {
    /// How many jobs wait, are settled, are set aside; and how long the queue is.
    #[command(after_help = "Example:\n  slipstream queue depth --json")]
    Depth(Installation),
    /// The jobs that wait, or are in another state.
    #[command(
        after_help = "Examples:\n  slipstream queue list\n  slipstream queue list --state quarantined --limit 1000"
    )]
    List {
        /// In which state.
        #[arg(long, value_enum, default_value_t = Of::Waiting)]
        state: Of,
        /// How many.
        #[arg(long, default_value_t = 50, value_parser = clap::value_parser!(u32).range(1..))]
        limit: u32,
        /// Where the installation is.
        #[command(flatten)]
        at: Installation,
    },
    /// One job, and what was done with it.
    #[command(after_help = "Example:\n  slipstream queue inspect 4711")]
    Inspect {
        /// Number of the job.
        job: i64,
        /// Where the installation is.
        #[command(flatten)]
        at: Installation,
    },
    /// Set jobs that wait aside: no worker takes them until they are put back.
    #[command(after_help = "Examples:
  slipstream queue quarantine --all --lane entries --reason incident-42
  slipstream queue quarantine 4711 4712 --reason poison")]
    Quarantine(Which),
    /// Put jobs back that were set aside. Those that are too old by then are not bought.
    #[command(after_help = "Example:\n  slipstream queue requeue --all --reason solved")]
    Requeue(Which),
    /// Wait until nothing waits and nothing is settled any more, for a restart. Holds nothing up itself.
    #[command(after_help = "Example:\n  slipstream queue drain --seconds 120")]
    Drain {
        /// At most so long.
        #[arg(long, default_value_t = 60)]
        seconds: u64,
        /// Where the installation is.
        #[command(flatten)]
        at: Installation,
    },
    /// Jobs that failed too often and wait for you, and those that ended without an order; with numbers: give jobs up that
    /// failed or were set aside, for good.
    #[command(after_help = "Examples:
  slipstream queue dead-letter
  slipstream queue dead-letter 4711 --reason gone")]
    DeadLetter(Which),
}

/// A state of jobs.
#[derive(Clone, Copy, Debug, PartialEq, Eq, ValueEnum)]
pub enum Of {
    /// Wait for a worker.
    Waiting,
    /// Signed, not settled.
    Settling,
    /// Set aside.
    Quarantined,
    /// Failed too often.
    Dead,
}

/// Jobs that something is done with.
#[derive(Debug, Args)]
pub struct Which {
    /// Numbers of the jobs.
    pub jobs: Vec<i64>,
    /// All of them.
    #[arg(long, conflicts_with = "jobs")]
    pub all: bool,
    /// Those of this lane alone.
    #[arg(long, value_enum, requires = "all")]
    pub lane: Option<LaneWord>,
    /// Why; it is kept with the jobs.
    #[arg(long, default_value = "no reason given")]
    pub reason: String,
    /// Where the installation is.
    #[command(flatten)]
    pub at: Installation,
}

/// A lane.
#[derive(Clone, Copy, Debug, PartialEq, Eq, ValueEnum)]
pub enum LaneWord {
    /// Sales.
    Exits,
    /// Buys.
    Entries,
}

impl From<LaneWord> for Lane {
    fn from(word: LaneWord) -> Self {
        match word {
            LaneWord::Exits => Self::Exits,
            LaneWord::Entries => Self::Entries,
        }
    }
}

/// What is asked of a process.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum QueueRequest {
    /// Counts.
    Depth,
    /// Jobs in a state, as its number.
    List {
        /// 0 waits, 1 is settled, 2 is set aside, 3 failed too often.
        state: u8,
        /// How many.
        limit: usize,
    },
    /// One job.
    Inspect(IntentId),
    /// Something is done with jobs.
    Act {
        /// What: 0 set aside, 1 put back, 2 given up.
        act: u8,
        /// Which; all without any.
        jobs: Option<Vec<IntentId>>,
        /// Of which lane.
        lane: Option<Lane>,
        /// By whom.
        who: String,
        /// Why.
        reason: String,
    },
    /// What ended without an order.
    Dead,
}

impl QueueRequest {
    /// Whether nothing is written for it.
    pub(crate) const fn only_reads(&self) -> bool {
        !matches!(self, Self::Act { .. })
    }
}

/// Runs one.
///
/// # Errors
/// In words, with what to do.
pub async fn run(command: &QueueCommand) -> anyhow::Result<(Answer, bool)> {
    let (request, at) = match command {
        QueueCommand::Depth(at) => (QueueRequest::Depth, at),
        QueueCommand::List { state, limit, at } => {
            let limit = usize::try_from(*limit).unwrap_or(usize::MAX);
            (QueueRequest::List { state: *state as u8, limit }, at)
        }
        QueueCommand::Inspect { job, at } => (QueueRequest::Inspect(IntentId(*job)), at),
        QueueCommand::Quarantine(which) => (act(0, which)?, &which.at),
        QueueCommand::Requeue(which) => (act(1, which)?, &which.at),
        QueueCommand::DeadLetter(which) if which.jobs.is_empty() && !which.all => {
            (QueueRequest::Dead, &which.at)
        }
        QueueCommand::DeadLetter(which) => (act(2, which)?, &which.at),
        QueueCommand::Drain { seconds, at } => {
            return Ok((drain(at, Duration::from_secs(*seconds)).await?, at.json));
        }
    };
    Ok((ask(at, request).await?, at.json))
}

fn act(act: u8, which: &Which) -> anyhow::Result<QueueRequest> {
    ensure!(which.all || !which.jobs.is_empty(), "name the jobs by their numbers, or give --all");
    let jobs = (!which.all).then(|| which.jobs.iter().map(|job| IntentId(*job)).collect());
    let who =
        std::env::var("USER").unwrap_or_else(|_| format!("user {}", rustix::process::getuid().as_raw()));
    let (lane, reason) = (which.lane.map(Lane::from), which.reason.clone());
    Ok(QueueRequest::Act { act, jobs, lane, who, reason })
}

async fn ask(at: &Installation, request: QueueRequest) -> anyhow::Result<Answer> {
    operator::ask(at, &Request::Queue(request)).await
}

async fn drain(at: &Installation, most: Duration) -> anyhow::Result<Answer> {
    let began = SystemClock.uptime();
    loop {
        let mut answer = ask(at, QueueRequest::Depth).await?;
        let left = answer.json.get("open").and_then(Value::as_i64).context("nobody counts the jobs")?;
        answer.ok = left == 0;
        if left == 0 || SystemClock.uptime().saturating_sub(began) >= most {
            let told =
                if left == 0 { "nothing waits".to_owned() } else { format!("{left} jobs are not over") };
            answer.text = format!("{told}\n{}", answer.text);
            return Ok(answer);
        }
        SystemClock.sleep(LOOK_EVERY).await;
    }
}

/// Answers at the desk.
///
/// # Errors
/// In words.
pub async fn answer(desk: &JobsDesk, clock: &dyn Clock, request: &QueueRequest) -> anyhow::Result<Answer> {
    match request {
        QueueRequest::Depth => depth(desk).await,
        QueueRequest::List { state, limit } => {
            let state = match state {
                0 => JobState::Waiting,
                1 => JobState::Settling,
                2 => JobState::Quarantined,
                _ => JobState::Dead,
            };
            let jobs = desk.store.jobs(state, *limit).await?;
            let lines: Vec<String> = jobs.iter().map(line).collect();
            let text = if lines.is_empty() { "no job".to_owned() } else { lines.join("\n") };
            Ok(Answer { text, json: jobs.iter().map(as_json).collect(), ok: true })
        }
        QueueRequest::Inspect(intent) => inspect(desk, *intent).await,
        QueueRequest::Act { act, jobs, lane, who, reason } => {
            let act = match act {
                0 => JobAct::Quarantined,
                1 => JobAct::Requeued,
                _ => JobAct::GivenUp,
            };
            let which = jobs.clone().map_or(Jobs::All(*lane), Jobs::These);
            let done = desk.store.act_on_jobs(act, &which, (who, reason), clock.now()).await?;
            let word = match act {
                JobAct::Quarantined => "set aside: no worker takes them until `slipstream queue requeue`",
                JobAct::Requeued => "put back; the queue has them within seconds",
                JobAct::GivenUp | JobAct::Failed => "given up; exits are looked at again",
            };
            let sum = checksum(&done);
            let text = format!("{} {word} (checksum {sum})", count(done.len(), "job"));
            Ok(Answer { text, json: json!({ "jobs": done.len(), "checksum": sum, "ids": done }), ok: true })
        }
        QueueRequest::Dead => dead(desk).await,
    }
}

/// Of numbers of jobs in their order: two lists with the same one are the same.
fn checksum(ids: &[IntentId]) -> String {
    let mut digest = Sha256::new();
    for id in ids {
        digest.update(id.0.to_be_bytes());
    }
    hex::encode(digest.finalize()).chars().take(16).collect()
}

pub(crate) async fn depth(desk: &JobsDesk) -> anyhow::Result<Answer> {
    let counts = desk.store.count_jobs().await?;
    let (mut lines, mut lanes, mut open) = (Vec::new(), Vec::new(), 0);
    for (lane, name) in [(Lane::Exits, "exits"), (Lane::Entries, "entries")] {
        let of = |wanted: JobState| -> i64 {
            counts.iter().filter(|(of, state, _)| (*of, *state) == (lane, wanted)).map(|(.., n)| n).sum()
        };
        let (waiting, settling, aside, dead) =
            (of(JobState::Waiting), of(JobState::Settling), of(JobState::Quarantined), of(JobState::Dead));
        open += waiting + settling;
        let queued = match &desk.queue {
            Some(queue) => queue.depth(lane).await.map_err(|error| error.to_string()),
            None => Err("its queue is not known here".to_owned()),
        };
        let told = queued.as_ref().map_or_else(Clone::clone, |queued| format!("{queued} in the queue"));
        let failed = if dead > 0 { format!(", {dead} failed too often") } else { String::new() };
        lines.push(format!(
            "{name}: {waiting} wait ({told}), {settling} are settled, {aside} set aside{failed}"
        ));
        lanes.push(json!({ "lane": name, "waiting": waiting, "settling": settling, "quarantined": aside,
            "dead": dead, "queued": queued.ok() }));
    }
    Ok(Answer { text: lines.join("\n"), json: json!({ "lanes": lanes, "open": open }), ok: true })
}

async fn inspect(desk: &JobsDesk, intent: IntentId) -> anyhow::Result<Answer> {
    let (notes, ended) = (desk.store.job_notes(intent).await?, desk.store.job_end(intent).await?);
    let (job, unreadable) = match desk.store.job(intent).await {
        Err(StoreError::Corrupt(why)) => (None, Some(why)),
        job => (job?, None),
    };
    ensure!(
        job.is_some() || unreadable.is_some() || ended.is_some() || !notes.is_empty(),
        "there is no job {intent}"
    );
    let (told, history) = history(&notes);
    let first = match (&job, &ended) {
        _ if unreadable.is_some() => {
            format!("job {intent} cannot be read: {}", unreadable.unwrap_or_default())
        }
        (Some(job), _) => line(job),
        (None, Some((at, reason))) => format!("job {intent} is over since {at}: {}", end_words(*reason)),
        (None, None) => format!("job {intent} is over"),
    };
    let ended = ended.map(|(at, reason)| json!({ "at": at, "reason": reason }));
    let json = json!({ "job": job.as_ref().map(as_json), "ended": ended, "history": history });
    Ok(Answer { text: format!("{first}{told}"), json, ok: true })
}

/// What was done with a job: lines that follow its own, and the same as JSON.
fn history(notes: &[JobNote]) -> (String, Vec<Value>) {
    let told =
        |note: &JobNote| format!("\n  {} {} by {}: {}", note.at, act_word(note.act), note.who, note.reason);
    let as_json =
        |note: &JobNote| json!({ "at": note.at, "act": note.act, "who": note.who, "reason": note.reason });
    (notes.iter().map(told).collect::<Vec<_>>().concat(), notes.iter().map(as_json).collect())
}

async fn dead(desk: &JobsDesk) -> anyhow::Result<Answer> {
    const MOST: usize = 200;
    let dead = desk.store.dead_letters(MOST).await?;
    let (mut lines, mut list) = (Vec::new(), Vec::new());
    for letter in &dead {
        let notes = desk.store.job_notes(letter.intent).await?;
        let why = match (letter.reason, notes.last()) {
            (None, Some(note)) => format!(
                "failed too often, last because {}; `slipstream queue requeue {}` tries again",
                note.reason, letter.intent
            ),
            (Some(EndReason::GivenUp), Some(note)) => format!("{}: {}", note.who, note.reason),
            (reason, _) => reason.map_or("failed too often", end_words).to_owned(),
        };
        let (told, history) = history(&notes);
        lines.push(format!(
            "{} job {} of relationship {}: {why}{told}",
            letter.at, letter.intent, letter.relationship
        ));
        list.push(json!({ "job": letter.intent, "relationship": letter.relationship, "at": letter.at,
            "reason": letter.reason, "why": why, "history": history }));
    }
    let text = if lines.is_empty() {
        "no job failed too often or ended without an order".to_owned()
    } else {
        lines.join("\n")
    };
    Ok(Answer { text, json: json!(list), ok: true })
}

const fn act_word(act: JobAct) -> &'static str {
    match act {
        JobAct::Quarantined => "set aside",
        JobAct::Requeued => "put back",
        JobAct::GivenUp => "given up",
        JobAct::Failed => "made a dead letter",
    }
}

fn line(job: &Job) -> String {
    let what = match job.side {
        Side::Buy => format!("buy for {} $", dollars(Usd(job.amount))),
        Side::Sell => format!("sell {} shares", shares(Shares(job.amount))),
    };
    let state = match job.state {
        JobState::Waiting => "waits",
        JobState::Settling => "is settled",
        JobState::Quarantined => "is set aside",
        JobState::Dead => "failed too often",
    };
    format!(
        "job {} {state}: {what}, relationship {}, decided {}",
        job.intent, job.relationship, job.decided_at
    )
}

fn as_json(job: &Job) -> Value {
    json!({ "job": job.intent, "relationship": job.relationship, "owner": job.owner, "state": job.state,
        "lane": job.lane, "side": job.side, "token": job.token, "amount": job.amount, "decided_at": job.decided_at,
        "due": job.due, "attempts": job.attempts })
}
