//! How many processes share what the venue counts: as they tell each other on the queue's server, and where that cannot be
//! asked, those that are not known to have ended ([decision 0028](../../../../docs/decisions/0028-equal-parts-of-limits.md)).

use std::{
    collections::{BTreeMap, BTreeSet},
    sync::Arc,
    time::Duration,
};

use engine::ports::store::InstanceId;
use polymarket::{Company, Members};
use queue::RedisQueue;
use tracing::debug;

use super::Role;
use crate::instance::{host, host_of, process_of};

/// Whoever has said nothing for this long counts no more: some times the pause between two looks.
const LASTS: Duration = Duration::from_secs(10);

/// What a process tells the others, and is told.
pub struct Sharing {
    /// Where it is noted.
    pub company: Arc<Company>,
    /// Where they tell each other.
    pub redis: Arc<RedisQueue>,
    /// What this process does.
    pub role: Role,
    /// Whether each machine has an internet address of its own.
    pub own_address: bool,
}

impl Sharing {
    /// Tells that this process is there, and notes how many they are. `running` are those that are not known to have
    /// ended.
    pub(crate) async fn look(&self, process: &str, running: &[InstanceId], uptime: Duration) {
        let members = match self.told(process).await {
            Ok(members) => members,
            Err(error) => {
                debug!("processes that share limits are counted by their records: {error}");
                recorded(running, self.own_address.then(host).as_deref())
            }
        };
        self.company.note(members, uptime);
    }

    async fn told(&self, process: &str) -> Result<Members, engine::ports::queue::QueueError> {
        let place = if self.own_address { format!(" at {}", host()) } else { String::new() };
        let calls = self.role.works() || self.role.watches();
        let companies = [
            ("signers".to_owned(), self.role.works()),
            (format!("workers{place}"), self.role.works()),
            (format!("callers{place}"), calls),
        ];
        let counts = self.redis.attend(&companies, process, LASTS).await?;
        let count = |at: usize| counts.get(at).copied().unwrap_or(1).max(1);
        Ok(Members { signers: count(0), workers: count(1), callers: count(2) })
    }
}

/// Processes by the names of their tasks, on this machine or on any.
fn recorded(running: &[InstanceId], here: Option<&str>) -> Members {
    let mut tasks: BTreeMap<&str, (BTreeSet<&str>, bool)> = BTreeMap::new();
    for instance in running {
        let task = instance.0.split_once('/').map_or("", |(_, task)| task);
        let is_here = here.is_none_or(|here| host_of(instance).is_none_or(|host| host == here));
        let (names, place) = tasks.entry(process_of(instance)).or_default();
        names.insert(task);
        *place = is_here;
    }
    let does = |names: &BTreeSet<&str>, what: &str| names.iter().any(|task| task.starts_with(what));
    let count = |counts: &dyn Fn(&BTreeSet<&str>, bool) -> bool| {
        let members = tasks.values().filter(|(names, is_here)| counts(names, *is_here)).count();
        u32::try_from(members).unwrap_or(u32::MAX).max(1)
    };
    Members {
        signers: count(&|names, _| does(names, "worker")),
        workers: count(&|names, is_here| is_here && does(names, "worker")),
        callers: count(&|names, is_here| is_here && (does(names, "worker") || does(names, "watcher"))),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn processes_are_counted_by_what_they_do_and_where() {
        let running: Vec<InstanceId> = [
            "one-b-1-7-70-aa/worker-0-1",
            "one-b-1-7-70-aa/worker-of-exits-2",
            "one-b-1-7-70-aa/rescuer-of-exits-3",
            "two-b-1-8-80-bb/worker-0-1",
            "two-b-1-9-90-cc/watcher-1",
            "two-b-1-5-50-dd/periodic-tasks-1",
        ]
        .map(|name| InstanceId(name.to_owned()))
        .into();
        assert_eq!(recorded(&running, None), Members { signers: 2, workers: 2, callers: 3 });
        assert_eq!(recorded(&running, Some("one")), Members { signers: 2, workers: 1, callers: 1 });
        assert_eq!(recorded(&running, Some("two")), Members { signers: 2, workers: 1, callers: 2 });
        assert_eq!(recorded(&[], None), Members::ALONE);
    }
}
