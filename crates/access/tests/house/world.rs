//! An installation to try.

use std::{
    sync::{
        Arc,
        atomic::{AtomicU64, Ordering},
    },
    time::Duration,
};

use access::{
    Access, AuditFilter, Caller, NewSession, NoRandomness, Peer, People, Randomness, Role, Settings, SignUp,
    SignedIn,
};
use domain::{Clock, Timestamp};
use testkit::{memory_store::MemoryStore, virtual_clock::VirtualClock};

pub(crate) const PASSWORD: &str = "correct horse battery staple";

/// Bytes that differ each time, the same in each run.
struct Counting(AtomicU64);

impl Randomness for Counting {
    fn fill(&self, bytes: &mut [u8]) -> Result<(), NoRandomness> {
        for chunk in bytes.chunks_mut(8) {
            let next = self.0.fetch_add(1, Ordering::Relaxed).wrapping_mul(0x9e37_79b9_7f4a_7c15);
            for (to, from) in chunk.iter_mut().zip(next.to_be_bytes()) {
                *to = from;
            }
        }
        Ok(())
    }
}

pub(crate) struct World {
    pub(crate) access: Access,
    pub(crate) people: Arc<MemoryStore>,
    pub(crate) clock: Arc<VirtualClock>,
}

impl World {
    pub(crate) fn new(settings: Settings) -> Self {
        let clock = VirtualClock::new(Timestamp::from_seconds(1_800_000_000));
        let people = Arc::new(MemoryStore::new(clock.clone()));
        let random = Arc::new(Counting(AtomicU64::new(1)));
        let access = Access::new(people.clone(), clock.clone(), random, [7; 32], settings);
        Self { access, people, clock }
    }

    /// One with accounts, whose administrator is `ann`.
    pub(crate) async fn with_accounts(settings: Settings) -> (Self, Caller) {
        let world = Self::new(settings);
        let link = world.access.set_up_link().await.unwrap().unwrap();
        let session = world.access.set_up(link.reveal(), "ann", PASSWORD, &peer(1)).await.unwrap();
        let ann = world.caller(&session).await;
        (world, ann)
    }

    /// One more user.
    pub(crate) async fn add(&self, ann: &Caller, name: &str, role: Role) -> NewSession {
        let invitation = self.access.invite(ann, role, &peer(1)).await.unwrap();
        self.access.sign_up(Some(invitation.reveal()), name, PASSWORD, &peer(2)).await.unwrap()
    }

    pub(crate) async fn caller(&self, session: &NewSession) -> Caller {
        self.access.caller_of_session(session.cookie.reveal()).await.unwrap()
    }

    /// Signs in without a second step.
    pub(crate) async fn sign_in(&self, name: &str) -> NewSession {
        match self.access.sign_in(name, PASSWORD, &peer(3)).await.unwrap() {
            SignedIn::Done(session) => session,
            SignedIn::SecondFactor(_) => panic!("{name} needs a second factor"),
        }
    }

    pub(crate) fn pass(&self, time: Duration) {
        self.clock.advance(time);
    }

    /// What was noted, the newest first.
    pub(crate) async fn noted(&self) -> Vec<String> {
        let all = AuditFilter { limit: 1_000, ..AuditFilter::default() };
        let notes = self.people.notes(all).await.unwrap();
        notes.into_iter().map(|entry| entry.note.what).collect()
    }

    pub(crate) fn now(&self) -> Timestamp {
        self.clock.now()
    }
}

pub(crate) fn peer(number: u8) -> Peer {
    Peer { address: Some([192, 0, 2, number].into()), agent: format!("browser {number}") }
}

pub(crate) fn open() -> Settings {
    Settings { sign_up: SignUp::Open, ..Settings::default() }
}
