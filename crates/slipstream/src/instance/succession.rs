//! Who worked on this data directory before, and whether that process has ended.
//!
//! The lock of the directory is ours, so whoever had it before has ended, unless this is a copy of its disk on a second
//! machine: such a copy has the same files in the same places, often the same host name, and a lock of its own. So the
//! kernel is asked, the host is compared, and whoever gives signs of life is left alone. A silence alone proves nothing.

use std::{
    fs,
    os::unix::fs::MetadataExt as _,
    path::{Path, PathBuf},
    time::Duration,
};

use anyhow::Context as _;
use domain::Clock;
use engine::ports::store::{InstanceId, Store, StoreResult};
use tracing::{info, warn};

use super::{Fate, GAVE_UP, Process, host, process_of};
use crate::whole_file;

/// Name of the file in a data directory that names the process that works on it, and those before it that nobody knows to
/// have ended.
const FILE: &str = "process";
/// How long a sign of life lasts …
const LASTS: Duration = Duration::from_secs(10);
/// … and after which time the next is given: two may fail.
pub(crate) const SIGN_EVERY: Duration = Duration::from_secs(3);

/// The lease that a process holds as long as it lives, by the store's own clock.
fn sign(process: &str) -> String {
    format!("process {process}")
}

/// Gives a sign of life.
pub(crate) async fn give_sign(store: &dyn Store, process: &InstanceId) -> StoreResult<()> {
    store.take_lease(&sign(&process.0), process, LASTS).await.map(drop)
}

/// Gives none any more: this process ends.
pub(crate) async fn give_last_sign(store: &dyn Store, process: &InstanceId) -> StoreResult<()> {
    match store.take_lease(&sign(&process.0), process, LASTS).await? {
        Some(lease) => store.release_lease(&lease).await,
        None => Ok(()),
    }
}

/// Whether a process has given a sign of life just now.
pub(crate) async fn lives(store: &dyn Store, process: &str) -> StoreResult<bool> {
    store.is_leased(&sign(process)).await
}

/// Those who worked on a data directory, of whom it is not known that they have ended.
pub(crate) struct Succession {
    file: PathBuf,
    /// Which directory this is: where its inode is.
    here: String,
    process: InstanceId,
    /// By name; and whether it was told why nothing is known.
    before: Vec<(String, bool)>,
}

/// What is to be done about a process of before.
enum Verdict {
    Ended(&'static str),
    /// It may give signs of life, or have given one too lately.
    Open(&'static str),
    /// No process knows.
    AskPeople,
}

impl Succession {
    /// Gives the first sign of life, and notes that this process works on the directory now. Only the holder of its lock
    /// calls this.
    ///
    /// # Errors
    /// Store errors, or when the directory cannot be read or written.
    pub(crate) async fn begin(
        data_dir: &Path,
        store: &dyn Store,
        process: &InstanceId,
    ) -> anyhow::Result<Self> {
        give_sign(store, process).await?;
        let (file, here) = (data_dir.join(FILE), which(data_dir)?);
        let text = fs::read_to_string(&file).unwrap_or_default();
        let of_here =
            text.lines().filter_map(|line| line.split_once(' ')).filter(|(_, place)| *place == here);
        let before = of_here.map(|(name, _)| (name.to_owned(), false)).collect();
        let succession = Self { file, here, process: process.clone(), before };
        succession.write()?;
        Ok(succession)
    }

    /// Whether there is nobody any more of whom it is not known.
    pub(crate) fn is_settled(&self) -> bool {
        self.before.is_empty()
    }

    /// Records the end of those who have ended; returns of how many.
    ///
    /// # Errors
    /// Store errors, or when the directory cannot be written.
    pub(crate) async fn look(&mut self, store: &dyn Store, clock: &dyn Clock) -> anyhow::Result<usize> {
        let running = store.running_instances().await?;
        let (mut open, mut ended) = (Vec::new(), 0);
        for (name, was_told) in self.before.clone() {
            let tasks: Vec<InstanceId> =
                running.iter().filter(|instance| process_of(instance) == name).cloned().collect();
            let why = match judge(store, &name).await {
                _ if tasks.is_empty() => continue,
                Ok(Verdict::Ended(how)) => {
                    store.end_instances(&tasks, how, clock.now()).await?;
                    info!("{name}, which worked on this data directory, is recorded as ended: {how}");
                    ended += 1;
                    continue;
                }
                Ok(Verdict::Open(why)) => why.to_owned(),
                Ok(Verdict::AskPeople) => format!(
                    "this may be a copy of its disk. When it is gone for good, `slipstream instance ended {name}` says so"
                ),
                Err(error) => error.to_string(),
            };
            if !was_told {
                warn!("{name} worked on this data directory, and nobody knows whether it has ended: {why}");
            }
            open.push((name, true));
        }
        let fewer = open.len() < self.before.len();
        self.before = open;
        if fewer {
            self.write()?;
        }
        Ok(ended)
    }

    fn write(&self) -> anyhow::Result<()> {
        let names = std::iter::once(&self.process.0).chain(self.before.iter().map(|(name, _)| name));
        let text: String = names.map(|name| format!("{name} {}\n", self.here)).collect();
        // An empty file would keep what a dead one had from being taken over.
        whole_file::write(&self.file, text.as_bytes())
            .with_context(|| format!("cannot write {}", self.file.display()))
    }
}

async fn judge(store: &dyn Store, name: &str) -> StoreResult<Verdict> {
    let Some(process) = Process::read(&InstanceId(name.to_owned())) else { return Ok(Verdict::AskPeople) };
    Ok(match process.fate() {
        Fate::Gone => Verdict::Ended(GAVE_UP),
        Fate::Runs => Verdict::Open("it runs on this machine"),
        // The machine was started again, or a container was, or this is a copy.
        Fate::Elsewhere if process.host != host() => Verdict::AskPeople,
        Fate::Elsewhere if lives(store, name).await? => {
            Verdict::Open("it has given a sign of life just now; it is looked at again")
        }
        Fate::Elsewhere => {
            Verdict::Ended("its process gave up the data directory's lock, and gives no sign of life")
        }
    })
}

/// Which directory this is.
fn which(data_dir: &Path) -> anyhow::Result<String> {
    let found = fs::metadata(data_dir).with_context(|| format!("cannot look at {}", data_dir.display()))?;
    Ok(format!("{}:{}", found.dev(), found.ino()))
}

#[cfg(test)]
mod tests {
    use std::sync::Arc;

    use domain::Timestamp;
    use engine::ports::store::Leases as _;
    use testkit::{memory_store::MemoryStore, virtual_clock::VirtualClock};

    use super::*;

    /// A process that this machine's kernel knows nothing of: of an earlier boot, or on another machine.
    fn elsewhere(host: &str) -> InstanceId {
        InstanceId(format!("{host}-0123456789abcdef-1-7-70-aabbccdd"))
    }

    struct Scene {
        place: tempfile::TempDir,
        clock: Arc<VirtualClock>,
        store: MemoryStore,
    }

    impl Scene {
        /// The directory as `process` has it, which works on it, or on the one that this is a copy of.
        async fn of(process: &InstanceId) -> Self {
            let clock = VirtualClock::new(Timestamp::from_seconds(1_800_000_000));
            let store = MemoryStore::new(Arc::clone(&clock) as Arc<dyn Clock>);
            let place = tempfile::tempdir().unwrap();
            Succession::begin(place.path(), &store, process).await.unwrap();
            for task in ["watcher-1", "worker-0-2"] {
                let instance = InstanceId(format!("{process}/{task}"));
                store.begin_instance(&instance, clock.now()).await.unwrap();
            }
            Self { place, clock, store }
        }

        async fn begin(&self) -> Succession {
            Succession::begin(self.place.path(), &self.store, &super::super::this_process()).await.unwrap()
        }

        /// Looks; how many instances run then.
        async fn look(&self, succession: &mut Succession) -> usize {
            succession.look(&self.store, self.clock.as_ref()).await.unwrap();
            self.store.running_instances().await.unwrap().len()
        }
    }

    #[tokio::test]
    async fn a_copy_of_a_disk_ends_nobody_who_lives() {
        let first = elsewhere(&host());
        let scene = Scene::of(&first).await;
        let mut copy = scene.begin().await;
        // The first one works on: nobody ends it, whenever the copy looks.
        for _ in 0..20 {
            assert_eq!((scene.look(&mut copy).await, copy.is_settled()), (2, false));
            scene.clock.advance(SIGN_EVERY);
            give_sign(&scene.store, &first).await.unwrap();
        }
        // A second start of the copy still knows of it.
        copy = scene.begin().await;
        assert_eq!((scene.look(&mut copy).await, copy.is_settled()), (2, false));
        // It ends, and says nothing of it: the directory's lock says that, once it is silent.
        scene.clock.advance(LASTS + SIGN_EVERY);
        assert_eq!((scene.look(&mut copy).await, copy.is_settled()), (0, true));
    }

    #[tokio::test]
    async fn of_a_process_on_another_machine_people_say_that_it_has_ended() {
        let scene = Scene::of(&elsewhere("another-machine")).await;
        let mut copy = scene.begin().await;
        scene.clock.advance(LASTS * 1_000);
        assert_eq!((scene.look(&mut copy).await, copy.is_settled()), (2, false));
        let running = scene.store.running_instances().await.unwrap();
        scene.store.end_instances(&running, "somebody said so", scene.clock.now()).await.unwrap();
        assert_eq!((scene.look(&mut copy).await, copy.is_settled()), (0, true));
        let text = fs::read_to_string(scene.place.path().join(FILE)).unwrap();
        assert_eq!(text.lines().count(), 1, "{text}");
    }

    #[tokio::test]
    async fn whom_the_kernel_has_no_more_is_not_waited_for() {
        // A number that no process has: they end at 4,194,304.
        let here = Process { pid: 9_999_999, started: 7, ..Process::here() };
        let Process { host, boot, namespace, pid, started } = here;
        let scene =
            Scene::of(&InstanceId(format!("{host}-{boot}-{namespace}-{pid}-{started}-aabbccdd"))).await;
        let mut next = scene.begin().await;
        assert_eq!((scene.look(&mut next).await, next.is_settled()), (0, true));
    }
}
