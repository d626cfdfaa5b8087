//! Two lists on a Redis server, for workers of many processes.
//!
//! A lane is a list of ids; its left end is the serving end. The list of entries has the name that the on-call runbook
//! knows: its `LLEN` is the number of entries that wait, and its `DEL` does no harm.

use std::{
    sync::{
        Arc, Mutex, PoisonError,
        atomic::{AtomicU64, Ordering},
    },
    time::Duration,
};

use async_trait::async_trait;
use domain::{Clock, ids::IntentId};
use engine::{
    deadline::within,
    ports::{
        detection::{Lane, QueuedIntent},
        queue::{End, Queue, QueueError},
    },
};
use redis::{
    AsyncConnectionConfig, Client, Cmd, FromRedisValue, Pipeline, RedisError, aio::MultiplexedConnection,
    cmd, pipe,
};
use tracing::warn;

/// The list of entries that wait.
pub const ENTRIES: &str = "trade_execution_queue";
/// The list of exits that wait, served first.
pub const EXITS: &str = "trade_execution_queue:exits";
/// What the names of companies begin with: processes that share something.
const COMPANIES: &str = "trade_execution_queue:company:";
/// How long a command may take beside what it is asked to wait.
const ANSWER: Duration = Duration::from_secs(2);
/// Ids put into a list by one command.
const CHUNK: usize = 1_000;
/// Connections kept for the next call. Each waiting worker has one.
const KEPT: usize = 64;
/// A list that is being built and was left behind by a process that died is forgotten after this.
const BUILT_FOR: Duration = Duration::from_secs(60);

/// An address that names no Redis server. It is not shown: a password may be in it.
#[derive(Debug, thiserror::Error)]
#[error("it is no address of a Redis server (redis://:password@host:port/0): {0}")]
pub struct BadAddress(String);

/// A queue for workers of many processes.
pub struct RedisQueue {
    client: Client,
    clock: Arc<dyn Clock>,
    idle: Mutex<Vec<MultiplexedConnection>>,
    /// Tells lists that this process builds from each other, and from those of others.
    process: u64,
    built: AtomicU64,
}

impl RedisQueue {
    /// A queue on the server at this address; nothing is asked of it yet. `process` is a number that no other process has.
    ///
    /// # Errors
    /// [`BadAddress`].
    pub fn new(address: &str, process: u64, clock: Arc<dyn Clock>) -> Result<Self, BadAddress> {
        if address.starts_with("rediss://") {
            return Err(BadAddress(
                "TLS to Redis is not spoken here: use redis:// on a private network, or to a tunnel on this machine \
                 (stunnel, ghostunnel) that speaks it"
                    .to_owned(),
            ));
        }
        let client = Client::open(address).map_err(|error| BadAddress(error.to_string()))?;
        Ok(Self { client, clock, idle: Mutex::default(), process, built: AtomicU64::new(0) })
    }

    /// Runs commands on a connection of their own, which is kept if all is well. One that failed, or whose answer nobody
    /// waited for, is closed: what it would say next is the answer to something else. One that was kept and is broken by
    /// now says that the server was restarted: the commands are tried once on a new one. They may then be done twice, which
    /// puts ids into a list twice, or takes them and tells nobody: both are made good as everything else is.
    async fn ask<T: FromRedisValue + Send>(
        &self,
        what: &Commands<'_>,
        wait: Duration,
    ) -> Result<T, QueueError> {
        let asked = async {
            let kept = self.idle().pop();
            if let Some(mut connection) = kept {
                match what.ask(&mut connection).await {
                    // The others are no better.
                    Err(error) if error.is_io_error() || error.is_connection_dropped() => self.idle().clear(),
                    answer => return answer.inspect(|_| self.keep(connection)),
                }
            }
            // Ours is the deadline: the library's own of half a second is shorter than what a worker waits.
            let config = AsyncConnectionConfig::new().set_response_timeout(None);
            let config = config.set_connection_timeout(Some(ANSWER));
            let mut connection = self.client.get_multiplexed_async_connection_with_config(&config).await?;
            what.ask(&mut connection).await.inspect(|_| self.keep(connection))
        };
        let limit = wait.saturating_add(ANSWER);
        let asked: Result<Result<T, RedisError>, _> = within(self.clock.as_ref(), limit, asked).await;
        let asked = asked.map_err(|_| QueueError(format!("Redis did not answer within {limit:?}")))?;
        asked.map_err(|error| QueueError(format!("Redis: {error}")))
    }

    /// Says that `member` is there, in those of these companies that it is one of, and asks how many are in each: whoever
    /// has not said so for as long counts no more.
    ///
    /// # Errors
    /// When the server cannot be asked, or takes nothing.
    pub async fn attend(
        &self,
        companies: &[(String, bool)],
        member: &str,
        lasts: Duration,
    ) -> Result<Vec<u32>, QueueError> {
        // By the server's clock: those of members may differ.
        const ATTEND: &str = "local now = tonumber(redis.call('TIME')[1]) local counts = {} \
            for i, key in ipairs(KEYS) do \
                redis.call('ZREMRANGEBYSCORE', key, '-inf', now - ARGV[2]) \
                if ARGV[i + 2] == '1' then redis.call('ZADD', key, now, ARGV[1]) redis.call('EXPIRE', key, ARGV[2] * 2) end \
                counts[i] = redis.call('ZCARD', key) \
            end return counts";
        let mut command = cmd("EVAL");
        command.arg(ATTEND).arg(companies.len());
        for (company, _) in companies {
            command.arg(format!("{COMPANIES}{company}"));
        }
        command.arg(member).arg(lasts.as_secs());
        for (_, is_one) in companies {
            command.arg(u8::from(*is_one));
        }
        self.ask(&Commands::One(&command), Duration::ZERO).await
    }

    fn keep(&self, connection: MultiplexedConnection) {
        let mut idle = self.idle();
        if idle.len() < KEPT {
            idle.push(connection);
        }
    }

    fn idle(&self) -> std::sync::MutexGuard<'_, Vec<MultiplexedConnection>> {
        // Nothing under the lock can panic half-way.
        self.idle.lock().unwrap_or_else(PoisonError::into_inner)
    }

    async fn take(&self, lane: Lane, end: End, limit: usize) -> Result<Vec<QueuedIntent>, QueueError> {
        let pop = match end {
            End::Serving => "LPOP",
            End::Far => "RPOP",
        };
        let mut command = cmd(pop);
        command.arg(list(lane)).arg(limit);
        let ids: Option<Vec<Vec<u8>>> = self.ask(&Commands::One(&command), Duration::ZERO).await?;
        Ok(read(lane, &ids.unwrap_or_default()))
    }

    /// Waits for the first of what comes into these lanes.
    async fn wait(
        &self,
        lanes: &[Lane],
        limit: usize,
        wait: Duration,
    ) -> Result<Vec<QueuedIntent>, QueueError> {
        let mut command = cmd("BLMPOP");
        command.arg(wait.as_secs_f64()).arg(lanes.len());
        for lane in lanes {
            command.arg(list(*lane));
        }
        command.arg("LEFT").arg("COUNT").arg(limit);
        let taken: Option<(String, Vec<Vec<u8>>)> = self.ask(&Commands::One(&command), wait).await?;
        let Some((name, ids)) = taken else { return Ok(Vec::new()) };
        let lane = if name == EXITS { Lane::Exits } else { Lane::Entries };
        Ok(read(lane, &ids))
    }
}

/// What is sent in one go.
enum Commands<'a> {
    One(&'a Cmd),
    Many(&'a Pipeline),
}

impl Commands<'_> {
    async fn ask<T: FromRedisValue>(&self, connection: &mut MultiplexedConnection) -> Result<T, RedisError> {
        match self {
            Self::One(command) => command.query_async(connection).await,
            Self::Many(pipeline) => pipeline.query_async(connection).await,
        }
    }
}

const fn list(lane: Lane) -> &'static str {
    match lane {
        Lane::Exits => EXITS,
        Lane::Entries => ENTRIES,
    }
}

/// What else may be in the list, an operator put there: it is thrown away and told.
fn read(lane: Lane, ids: &[Vec<u8>]) -> Vec<QueuedIntent> {
    let mut queued = Vec::with_capacity(ids.len());
    for id in ids {
        match std::str::from_utf8(id).ok().and_then(|id| id.parse().ok()) {
            Some(id) => queued.push(QueuedIntent { id: IntentId(id), lane }),
            None => {
                warn!(list = list(lane), id = %String::from_utf8_lossy(id), "an entry of the queue is no id")
            }
        }
    }
    queued
}

#[async_trait]
impl Queue for RedisQueue {
    async fn push(&self, ids: &[QueuedIntent], end: End) -> Result<(), QueueError> {
        let mut pipeline = pipe();
        for lane in [Lane::Exits, Lane::Entries] {
            let mut of_lane: Vec<i64> =
                ids.iter().filter(|queued| queued.lane == lane).map(|queued| queued.id.0).collect();
            let push = match end {
                End::Serving => {
                    // The last one pushed is served first.
                    of_lane.reverse();
                    "LPUSH"
                }
                End::Far => "RPUSH",
            };
            for chunk in of_lane.chunks(CHUNK) {
                pipeline.cmd(push).arg(list(lane)).arg(chunk).ignore();
            }
        }
        if pipeline.is_empty() {
            return Ok(());
        }
        self.ask(&Commands::Many(&pipeline), Duration::ZERO).await
    }

    async fn pop(&self, limit: usize, end: End, wait: Duration) -> Result<Vec<QueuedIntent>, QueueError> {
        let mut taken = self.take(Lane::Exits, End::Serving, limit).await?;
        let left = limit.saturating_sub(taken.len());
        if left > 0 {
            match self.take(Lane::Entries, end, left).await {
                Ok(entries) => taken.extend(entries),
                // The exits are out of their list: they are served.
                Err(error) if !taken.is_empty() => warn!(%error, "entries could not be taken"),
                Err(error) => return Err(error),
            }
        }
        if !taken.is_empty() || limit == 0 || wait.is_zero() {
            return Ok(taken);
        }
        self.wait(&[Lane::Exits, Lane::Entries], limit, wait).await
    }

    async fn pop_exits(&self, limit: usize, wait: Duration) -> Result<Vec<QueuedIntent>, QueueError> {
        self.wait(&[Lane::Exits], limit, wait).await
    }

    async fn depth(&self, lane: Lane) -> Result<usize, QueueError> {
        let mut command = cmd("LLEN");
        command.arg(list(lane));
        self.ask(&Commands::One(&command), Duration::ZERO).await
    }

    async fn replace(&self, lane: Lane, ids: &[IntentId]) -> Result<(), QueueError> {
        if ids.is_empty() {
            let mut command = cmd("DEL");
            command.arg(list(lane));
            return self.ask(&Commands::One(&command), Duration::ZERO).await;
        }
        let number = self.built.fetch_add(1, Ordering::Relaxed);
        let built = format!("{}:built:{:016x}:{number}", list(lane), self.process);
        let mut pipeline = pipe();
        for chunk in ids.chunks(CHUNK) {
            let chunk: Vec<i64> = chunk.iter().map(|id| id.0).collect();
            pipeline.cmd("RPUSH").arg(&built).arg(&chunk).ignore();
        }
        pipeline.cmd("EXPIRE").arg(&built).arg(BUILT_FOR.as_secs()).ignore();
        self.ask::<()>(&Commands::Many(&pipeline), Duration::ZERO).await?;
        let mut taking_over = pipe();
        // The name takes the list's time to live with it.
        taking_over.atomic().cmd("PERSIST").arg(&built).ignore();
        taking_over.cmd("RENAME").arg(&built).arg(list(lane)).ignore();
        self.ask(&Commands::Many(&taking_over), Duration::ZERO).await
    }
}
