//! Counts the calls of a run, decides where a planned fault strikes, and remembers what a fault at each
//! call could still find out.
//!
//! A call is a *candidate* for faults when nothing has changed the world since its caller made the same
//! kind of call last: repeating an idle poll is one placement, not hundreds. A crash between two calls of a
//! process with no change between them is one placement too, because memory dies with it.

use std::{
    collections::{BTreeMap, HashMap, HashSet},
    future::pending,
    hash::{DefaultHasher, Hash, Hasher},
    sync::{
        Arc, Mutex, MutexGuard, PoisonError,
        atomic::{AtomicUsize, Ordering},
    },
    time::Duration,
};

use domain::{Clock, Timestamp};

use super::{venue::Venue, world::WARM};
use crate::virtual_clock::VirtualClock;

/// A paused caller stops this long: longer than every lease.
pub const PAUSE: Duration = Duration::from_secs(35);
/// Bytes that hang in the network arrive after this long.
pub const LATE: Duration = Duration::from_secs(45);

/// What part of a process makes a call.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub enum Role {
    /// Detects and decides.
    Watcher,
    /// Signs and sends.
    Worker,
    /// The same, kept for exits.
    ExitWorker,
    /// Resolves and books.
    Settlement,
    /// Keeps the doorbell true.
    Rescuer,
    /// Hears what the venue tells by itself.
    Listener,
}

/// Who makes a call.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct Actor {
    /// Number of the process.
    pub process: usize,
    /// Part of it.
    pub role: Role,
}

/// What can go wrong at a call. A pause or crash *after* a call is one before the caller's next.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub enum Fault {
    /// Fails, nothing happened.
    FailBefore,
    /// Fails in the same way, but it happened.
    FailAfter,
    /// The store cannot say whether it happened; it did not.
    LostBefore,
    /// The store cannot say whether it happened; it did.
    LostAfter,
    /// No answer ever; nothing happened.
    HangBefore,
    /// No answer ever, but it happened.
    HangAfter,
    /// The caller stops for [`PAUSE`] and then goes on as if nothing had been.
    Pause,
    /// The caller's process ends before the call.
    CrashBefore,
    /// The caller's process ends when the call has happened.
    CrashAfter,
    /// The connection breaks, but the bytes are on their way and arrive after [`LATE`]; there is room only after as long.
    Late,
    /// The venue says "not now"; there is room in a moment.
    NotNow,
    /// Of several orders in one request the first is taken and the others are not; the answer is lost.
    Part,
}

const READ: &[Fault] = &[Fault::FailBefore, Fault::Pause, Fault::CrashBefore];
const WRITE: &[Fault] =
    &[Fault::FailBefore, Fault::LostBefore, Fault::LostAfter, Fault::Pause, Fault::CrashBefore];
const ASK: &[Fault] = &[Fault::FailBefore, Fault::HangBefore, Fault::Pause, Fault::CrashBefore];
const RING: &[Fault] = &[Fault::FailBefore, Fault::FailAfter, Fault::Pause, Fault::CrashBefore];
const POST_TOGETHER: &[Fault] = &[
    Fault::FailBefore,
    Fault::FailAfter,
    Fault::HangAfter,
    Fault::Late,
    Fault::NotNow,
    Fault::Pause,
    Fault::CrashBefore,
    Fault::CrashAfter,
    Fault::Part,
];
/// What is paused or ends here does so at the call before or after.
const ADMIT: &[Fault] = &[Fault::NotNow, Fault::Late];
/// All but the last, which takes several.
const POST: &[Fault] = match POST_TOGETHER {
    [rest @ .., _] => rest,
    [] => &[],
};

/// Kinds of calls, by what can go wrong with them.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Kind {
    /// Reading the store.
    Read,
    /// Writing to the store.
    Write,
    /// Asking venue or chain.
    Ask,
    /// Using the queue.
    Ring,
    /// Posting an order.
    Post,
    /// Posting several orders in one request.
    PostTogether,
    /// Waiting for room within the venue's limits.
    Admit,
}

impl Kind {
    /// The faults of this kind of call.
    #[must_use]
    pub const fn faults(self) -> &'static [Fault] {
        match self {
            Self::Read => READ,
            Self::Write => WRITE,
            Self::Ask => ASK,
            Self::Ring => RING,
            Self::Post => POST,
            Self::PostTogether => POST_TOGETHER,
            Self::Admit => ADMIT,
        }
    }
}

/// A call that faults are worth placing at.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct CallSite {
    /// Its number in the run.
    pub index: usize,
    /// By whom.
    pub actor: Actor,
    /// The port's method.
    pub method: &'static str,
    /// What can go wrong.
    pub kind: Kind,
    /// Whether a crash here differs from one at an earlier site.
    pub crashes: bool,
    /// A digest of what is stored, and of what the venue knows, when the call is made.
    pub state: u64,
}

impl CallSite {
    fn new(index: usize, actor: Actor, method: &'static str, kind: Kind) -> Self {
        Self { index, actor, method, kind, crashes: false, state: 0 }
    }

    /// The faults worth placing here, as the first or a `later` one of a run.
    pub fn faults(&self, later: bool) -> impl Iterator<Item = Fault> {
        let crashes = self.crashes;
        self.kind.faults().iter().copied().filter(move |fault| match fault {
            Fault::CrashBefore => crashes,
            Fault::HangBefore => !later,
            _ => true,
        })
    }
}

/// A fault at a call.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Planned {
    /// Number of the call.
    pub index: usize,
    /// What happens there.
    pub fault: Fault,
}

/// Digests what is stored and what the venue knows.
pub type Look = Box<dyn Fn() -> u64 + Send + Sync>;

/// Shared by all wrappers of a run.
pub struct Probe {
    clock: Arc<VirtualClock>,
    venue: Arc<Venue>,
    hanging: AtomicUsize,
    look: Option<Look>,
    state: Mutex<State>,
}

/// Counts itself while it lives.
struct Counted<'a>(&'a AtomicUsize);

impl<'a> Counted<'a> {
    fn new(counter: &'a AtomicUsize) -> Self {
        counter.fetch_add(1, Ordering::SeqCst);
        Self(counter)
    }
}

impl Drop for Counted<'_> {
    fn drop(&mut self) {
        self.0.fetch_sub(1, Ordering::SeqCst);
    }
}

#[derive(Default)]
struct State {
    calls: usize,
    plan: BTreeMap<usize, Fault>,
    changes: u64,
    seen: HashSet<(Actor, &'static str, (u64, u64))>,
    crash_seen: HashSet<(usize, (u64, u64))>,
    sites: Vec<CallSite>,
    look: u64,
    looked_at: Option<(u64, u64)>,
    frozen: BTreeMap<Actor, Timestamp>,
    crashed: Vec<usize>,
    /// What a repeated write said last, by what it is about.
    said: HashMap<(&'static str, i64), String>,
    struck: Vec<(Actor, &'static str, Fault)>,
}

impl Probe {
    /// A probe with a plan. It notes calls only with a `look`.
    #[must_use]
    pub fn new(
        clock: Arc<VirtualClock>,
        venue: Arc<Venue>,
        plan: &[Planned],
        look: Option<Look>,
    ) -> Arc<Self> {
        let plan = plan.iter().map(|planned| (planned.index, planned.fault)).collect();
        Arc::new(Self {
            clock,
            venue,
            hanging: AtomicUsize::new(0),
            look,
            state: Mutex::new(State { plan, ..State::default() }),
        })
    }

    /// Passes a call: pauses, hangs and crashes here, and returns what the wrapper itself must do.
    pub async fn pass(&self, actor: Actor, method: &'static str, kind: Kind) -> Option<Fault> {
        match self.note(actor, method, kind)? {
            Fault::Pause => {
                let until = self.clock.now().plus(PAUSE);
                self.lock().frozen.insert(actor, until);
                self.clock.sleep(PAUSE).await;
                self.thaw(actor);
                None
            }
            Fault::HangBefore => {
                let _waiting = Counted::new(&self.hanging);
                pending().await
            }
            Fault::CrashBefore => self.crash(actor).await,
            fault => Some(fault),
        }
    }

    /// Ends the caller's process here.
    pub async fn crash<T>(&self, actor: Actor) -> T {
        self.lock().crashed.push(actor.process);
        pending().await
    }

    fn note(&self, actor: Actor, method: &'static str, kind: Kind) -> Option<Fault> {
        let mut state = self.lock();
        let index = state.calls;
        state.calls += 1;
        if let Some(look) = self.look.as_ref().filter(|_| self.clock.uptime() >= WARM) {
            let world = (state.changes, self.venue.revision());
            self.note_site(&mut state, world, look, CallSite::new(index, actor, method, kind));
        }
        let fault = state.plan.remove(&index).filter(|fault| kind.faults().contains(fault))?;
        state.struck.push((actor, method, fault));
        Some(fault)
    }

    fn note_site(&self, state: &mut State, world: (u64, u64), look: &Look, mut site: CallSite) {
        if !state.seen.insert((site.actor, site.method, world)) {
            return;
        }
        if state.looked_at != Some(world) {
            state.looked_at = Some(world);
            state.look = look();
        }
        let can_crash = site.kind.faults().contains(&Fault::CrashBefore);
        site.crashes = can_crash && state.crash_seen.insert((site.actor.process, world));
        let mut hasher = DefaultHasher::new();
        (state.look, state.frozen.keys().collect::<Vec<_>>(), self.anybody_hangs()).hash(&mut hasher);
        site.state = hasher.finish();
        state.sites.push(site);
    }

    /// Notes that a call changed something durable.
    pub fn changed(&self) {
        self.lock().changes += 1;
    }

    /// Notes a write about `id`; a change only if it says something else than before.
    pub fn said(&self, method: &'static str, id: i64, what: String) {
        let mut state = self.lock();
        if state.said.get(&(method, id)) != Some(&what) {
            state.said.insert((method, id), what);
            state.changes += 1;
        }
    }

    /// Whether the actor is paused.
    #[must_use]
    pub fn is_frozen(&self, actor: Actor) -> bool {
        let now = self.clock.now();
        self.lock().frozen.get(&actor).is_some_and(|until| *until > now)
    }

    /// The actor's process ended: whoever comes next is not paused.
    pub fn thaw(&self, actor: Actor) {
        self.lock().frozen.remove(&actor);
    }

    /// Whether somebody waits for an answer that never comes.
    #[must_use]
    pub fn anybody_hangs(&self) -> bool {
        self.hanging.load(Ordering::SeqCst) > 0
    }

    /// Whether anybody is paused.
    #[must_use]
    pub fn anybody_frozen(&self) -> bool {
        let now = self.clock.now();
        self.lock().frozen.values().any(|until| *until > now)
    }

    /// Processes that have ended since the last time this was asked.
    #[must_use]
    pub fn take_crashed(&self) -> Vec<usize> {
        std::mem::take(&mut self.lock().crashed)
    }

    /// Calls worth placing faults at, in their order.
    #[must_use]
    pub fn sites(&self) -> Vec<CallSite> {
        self.lock().sites.clone()
    }

    /// Calls so far.
    #[must_use]
    pub fn calls(&self) -> usize {
        self.lock().calls
    }

    /// Where the planned faults struck.
    #[must_use]
    pub fn struck(&self) -> Vec<(Actor, &'static str, Fault)> {
        self.lock().struck.clone()
    }

    fn lock(&self) -> MutexGuard<'_, State> {
        self.state.lock().unwrap_or_else(PoisonError::into_inner)
    }
}
