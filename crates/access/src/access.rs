//! The one door: everything that is asked of this room is a method of [`Access`].

use std::{net::IpAddr, sync::Arc, time::Duration};

use domain::{Clock, Timestamp, ids::OwnerId};
use tokio::sync::Semaphore;

use crate::{
    caller::{Caller, Means, Tenant},
    error::{AccessError, AccessResult},
    limits::{ABSOLUTE, FORGOTTEN_AFTER, IDLE, INVITED_FOR, PASSWORDS_AT_ONCE, SEEN_EVERY, SET_UP_FOR},
    people::{Note, Over, People, Purpose, Session, Ticket, User, UserId},
    secret::{self, NoRandomness, Secret},
};

/// Random bytes, injected.
pub trait Randomness: Send + Sync {
    /// Fills these.
    ///
    /// # Errors
    /// When there are none.
    fn fill(&self, bytes: &mut [u8]) -> Result<(), NoRandomness>;
}

/// Who may sign up.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum SignUp {
    /// Whoever has an invitation.
    Invited,
    /// Everybody, as a trader.
    Open,
}

/// How this installation does it.
#[derive(Clone, Debug)]
pub struct Settings {
    /// Whether whoever reaches it is its one user: on an address of this machine alone.
    pub single_user: bool,
    /// Who may sign up.
    pub sign_up: SignUp,
    /// How long a session lasts without a request.
    pub idle: Duration,
    /// How long a session lasts.
    pub absolute: Duration,
    /// How long the administrator's link works.
    pub set_up_for: Duration,
    /// How long invitations work.
    pub invited_for: Duration,
    /// Where the pages are, as browsers write it: scheme, host, and port if it is not the scheme's own.
    pub origin: String,
    /// The chain that wallets which sign in name.
    pub chain: u64,
    /// Whether a proxy in front of the pages is believed about where a request comes from.
    pub forwarded: bool,
}

impl Settings {
    /// The host of the pages, without its port, where it is another one than this machine.
    #[must_use]
    pub fn host(&self) -> Option<&str> {
        let (_, host) = self.origin.split_once("://")?;
        let is_port = |port: &str| port.bytes().all(|byte| byte.is_ascii_digit());
        let host = host.rsplit_once(':').filter(|(_, port)| is_port(port)).map_or(host, |(host, _)| host);
        (!self.single_user).then_some(host)
    }
}

impl Default for Settings {
    fn default() -> Self {
        Self {
            single_user: false,
            sign_up: SignUp::Invited,
            idle: IDLE,
            absolute: ABSOLUTE,
            set_up_for: SET_UP_FOR,
            invited_for: INVITED_FOR,
            origin: "http://localhost".to_owned(),
            chain: 137,
            forwarded: false,
        }
    }
}

/// Where a request comes from.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Peer {
    /// The address; `None` of a command on this machine.
    pub address: Option<IpAddr>,
    /// What the browser calls itself.
    pub agent: String,
}

/// Who people are and what they may do, over a store.
pub struct Access {
    pub(crate) people: Arc<dyn People>,
    pub(crate) clock: Arc<dyn Clock>,
    pub(crate) random: Arc<dyn Randomness>,
    pub(crate) settings: Settings,
    pub(crate) hashing: Arc<Semaphore>,
    /// Seals secrets of authenticator apps; the same in all processes of an installation, and in none of its databases.
    pub(crate) sealing: secret::SealingKey,
}

impl Access {
    /// Over this store. `sealing` follows from the installation's secret.
    #[must_use]
    pub fn new(
        people: Arc<dyn People>,
        clock: Arc<dyn Clock>,
        random: Arc<dyn Randomness>,
        sealing: [u8; 32],
        settings: Settings,
    ) -> Self {
        let hashing = Arc::new(Semaphore::new(PASSWORDS_AT_ONCE));
        Self { people, clock, random, settings, hashing, sealing: secret::SealingKey::new(sealing) }
    }

    /// How this installation does it.
    #[must_use]
    pub const fn settings(&self) -> &Settings {
        &self.settings
    }

    /// The time that everything here goes by.
    #[must_use]
    pub fn now(&self) -> Timestamp {
        self.clock.now()
    }

    /// Writes into the audit log what a caller did elsewhere.
    ///
    /// # Errors
    /// When the store fails.
    pub async fn note(&self, caller: &Caller, peer: &Peer, what: &str, on: &str) -> AccessResult<()> {
        Ok(self.people.note(&self.note_of(caller, peer, what, on)).await?)
    }

    pub(crate) fn note_of(&self, caller: &Caller, peer: &Peer, what: &str, on: &str) -> Note {
        self.line(Some((caller.user, caller.tenant.owner())), peer, what, on)
    }

    pub(crate) fn line(
        &self,
        who: Option<(UserId, OwnerId)>,
        peer: &Peer,
        what: &str,
        on: impl Into<String>,
    ) -> Note {
        Note {
            at: self.now(),
            user: who.map(|(user, _)| user),
            owner: who.map(|(_, owner)| owner),
            address: peer.address,
            what: what.to_owned(),
            on: on.into(),
        }
    }

    /// Who has this session, from its cookie.
    ///
    /// # Errors
    /// [`AccessError::NotSignedIn`] when it is unknown or over; when the store fails.
    pub async fn caller_of_session(&self, cookie: &str) -> AccessResult<Caller> {
        let found = self.people.session(secret::digest(cookie)).await?;
        let (session, user) = found.ok_or(AccessError::NotSignedIn)?;
        let now = self.now();
        if self.is_over(&session, now) || user.disabled_at.is_some() {
            return Err(AccessError::NotSignedIn);
        }
        if now.since(session.seen_at) >= SEEN_EVERY {
            self.people.saw_session(session.id, now).await?;
        }
        let single = self.is_single_user().await?;
        Ok(caller(&session, user, single))
    }

    pub(crate) fn is_over(&self, session: &Session, now: Timestamp) -> bool {
        now.since(session.seen_at) >= self.settings.idle
            || now.since(session.created_at) >= self.settings.absolute
    }

    /// Until when a session lasts if nothing is asked of it from now on: for the page that warns of it.
    #[must_use]
    pub fn ends_at(&self, session: &Session) -> Timestamp {
        let idle = self.now().plus(self.settings.idle);
        idle.min(session.created_at.plus(self.settings.absolute))
    }

    /// Makes something that works once.
    pub(crate) async fn ticket(
        &self,
        purpose: Purpose,
        about: (Option<UserId>, Option<crate::Role>),
        lasts: Duration,
        note: Option<&Note>,
    ) -> AccessResult<Secret> {
        let secret = Secret::new(self.random.as_ref(), "")?;
        let (user, role) = about;
        let ticket = Ticket { hash: secret.digest(), purpose, user, role, until: self.now().plus(lasts) };
        let alone = matches!(purpose, Purpose::SetUp | Purpose::Reset);
        self.people.add_ticket(&ticket, alone, note).await?;
        Ok(secret)
    }

    /// Takes it back.
    pub(crate) async fn redeem(&self, given: &str, purpose: Purpose) -> AccessResult<Ticket> {
        let taken = self.people.take_ticket(secret::digest(given), purpose, self.now()).await?;
        taken.ok_or(AccessError::BadTicket)
    }

    /// Removes what is over.
    pub(crate) async fn tidy(&self) -> AccessResult<()> {
        let now = self.now();
        let over = Over {
            seen: now.minus(self.settings.idle),
            begun: now.minus(self.settings.absolute),
            attempts: now.minus(FORGOTTEN_AFTER),
        };
        Ok(self.people.tidy(now, &over).await?)
    }
}

fn caller(session: &Session, user: User, single: bool) -> Caller {
    Caller {
        tenant: Tenant::of(user.owner),
        user: user.id,
        role: user.role,
        scopes: user.role.scopes(),
        means: Means::Session(session.id),
        proven_at: session.proven_at,
        // Whoever came in by a passkey or a wallet alone proves it with that again.
        can_prove: user.password.is_some() || session.proven_at.is_some(),
        single,
        name: user.name,
    }
}
