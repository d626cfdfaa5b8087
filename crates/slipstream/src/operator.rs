//! Commands of an operator's shell. The process that runs here is asked first. Where none does, or it cannot answer, perhaps
//! because the program has no connection left, the database is asked itself, as whom its address names: that may be
//! `ops_operator`, which finds a connection when all others are taken and may do no more than these commands need.

use std::sync::Arc;

use anyhow::{Context as _, bail};
use domain::Clock as _;
use engine::ports::queue::Queue;
use queue::RedisQueue;
use store::{SqlStore, StoreClock};

use crate::{
    cli::Installation,
    clock::SystemClock,
    commands::{self, Answer, Request},
    configuration::{ConfigFile, Configuration, ServerUrl},
    db_command::parsed,
    holding,
    queue_command::{self, JobsDesk},
    socket,
    wording::causes,
};

/// Asks for jobs or holds.
///
/// # Errors
/// In words, with what to do.
pub async fn ask(at: &Installation, request: &Request) -> anyhow::Result<Answer> {
    let (configuration, _) = ConfigFile::of_environment().configured_anyway();
    let Some(url) = &configuration.database.url else {
        return commands::ask(&at.place()?, request).await;
    };
    let process = match socket::ask(&at.directory()?, request).await {
        Ok(Some(answer)) => return Ok(answer),
        Ok(None) => None,
        Err(error) => Some(error),
    };
    match (of_database(url, &configuration, request).await, process) {
        (Ok(mut answer), Some(error)) => {
            let why = causes(&error);
            answer.text = format!(
                "the process that runs here could not ({why}): the database itself was asked\n{}",
                answer.text
            );
            Ok(answer)
        }
        (Err(error), Some(of_process)) => Err(error.context(format!(
            "the process that runs here could not ({}), nor could the database itself be asked",
            causes(&of_process)
        ))),
        (answer, None) => answer,
    }
}

async fn of_database(
    url: &ServerUrl,
    configuration: &Configuration,
    request: &Request,
) -> anyhow::Result<Answer> {
    // One connection: few are reserved for operators.
    let address = parsed(url)?.named("operator").as_it_is().with_connections(1);
    let store = SqlStore::connect(&address, StoreClock::Database).await;
    let store = store.with_context(|| format!("the database {url}"))?;
    match request {
        Request::Queue(request) => {
            let queue = configuration.queue.url.as_ref();
            let queue = queue.map(|url| RedisQueue::new(url.expose(), 0, Arc::new(SystemClock)));
            let queue = queue.transpose()?.map(|queue| Arc::new(queue) as Arc<dyn Queue>);
            let desk = JobsDesk { store: Arc::new(store), queue };
            queue_command::answer(&desk, &SystemClock, request).await
        }
        Request::Holds => {
            let holds = store.holds(SystemClock.now()).await?;
            Ok(holding::told(&holds, &store.account_labels().await?))
        }
        _ => bail!("only jobs and holds are asked of the database itself"),
    }
}
