//! The pages and the API in this process: who carries out what they ask for, and where they are served.

use std::{
    net::{Ipv4Addr, SocketAddr},
    sync::Arc,
};

use access::Access;
use anyhow::{Context as _, ensure};
use async_trait::async_trait;
use domain::{
    Address, Clock,
    ids::{AccountId, HoldId, RelationshipId},
    policy::Policy,
};
use engine::ports::{
    detection::Lane,
    following::{AccountMode, HoldCause, RelationshipStatus},
    store::{Store, StoreError},
};
use store::JobState;
use tokio::{
    net::TcpListener,
    sync::{mpsc::UnboundedSender, watch},
    task::JoinHandle,
};
use tracing::error;
use web::{
    Actions, Guard, Tenant,
    actions::{
        Break, Demo, Done, Follow, Followed, Jobs, Mistake, Panic, Panicked, PaperAccount, Provider, Refused,
        Standing, Work,
    },
};

use crate::{
    account::{self, AccountLine},
    commands::{self, Witnesses},
    configuration::keys::AccessSettings,
    demo::{self, picture::Picture},
    following::{self, Wrong},
    holding,
    secrets::InstallationSecret,
    wording::causes,
};

/// Where the pages are, where nobody says otherwise.
const USUAL: SocketAddr = SocketAddr::new(std::net::IpAddr::V4(Ipv4Addr::LOCALHOST), 8420);
/// Jobs set aside that are counted.
const COUNTED: usize = 1_000;

/// Takes the address of the pages: the one that is configured, else the usual one, else a free port.
///
/// # Errors
/// When it is one that others reach without TLS, or is taken.
pub async fn listen(configured: Option<SocketAddr>, access: &AccessSettings) -> anyhow::Result<TcpListener> {
    let Some(address) = configured else {
        return match TcpListener::bind(USUAL).await {
            Ok(listener) => Ok(listener),
            Err(_) => {
                let free = SocketAddr::new(USUAL.ip(), 0);
                TcpListener::bind(free).await.context("no port is free for the pages")
            }
        };
    };
    let is_secure = access.origin.as_ref().is_some_and(|origin| origin.starts_with("https://"));
    ensure!(
        address.ip().is_loopback() || is_secure,
        "the pages cannot be served at {address} ([web] address): others reach it, and passwords would be sent in the open. Put a \
         proxy with TLS in front of them and name the https:// address that browsers use in [access] origin; or take 127.0.0.1, \
         and from elsewhere a tunnel (`ssh -L 8420:127.0.0.1:8420 HOST`)"
    );
    let taken = || format!("cannot serve the pages at {address} ([web] address): is it another process's?");
    TcpListener::bind(address).await.with_context(taken)
}

/// The address to open in a browser.
#[must_use]
pub fn url(listener: &TcpListener) -> String {
    listener.local_addr().map_or_else(|_| "nowhere".to_owned(), |address| format!("http://{address}/"))
}

/// What the pages of a process stand on.
pub struct Parts {
    /// The books.
    pub store: Arc<dyn Store>,
    /// Time.
    pub clock: Arc<dyn Clock>,
    /// What the process has at hand.
    pub witnesses: Witnesses,
    /// What proves that a write comes from one of our pages.
    pub guard: Guard,
    /// Who may use them.
    pub access: Arc<Access>,
    /// The demo that runs here.
    pub demo: Option<DemoLink>,
}

/// How the pages see a demo, and break it.
pub struct DemoLink {
    /// Its newest picture.
    pub pictures: watch::Receiver<Picture>,
    /// Where what is to be broken goes.
    pub breaks: UnboundedSender<demo::Break>,
}

/// Serves the pages until aborted.
#[must_use]
pub fn serve(listener: TcpListener, parts: Parts) -> JoinHandle<()> {
    let Parts { store, clock, witnesses, guard, access, demo } = parts;
    let markets = witnesses.markets.clone();
    let hands = Hands { store: Arc::clone(&store), clock: Arc::clone(&clock), witnesses, demo };
    let router = web::router(web::Parts { store, clock, actions: Arc::new(hands), markets, guard, access });
    tokio::spawn(async move {
        if let Err(error) = web::serve(listener, router).await {
            error!(%error, "the pages are not served any more: {error}");
        }
    })
}

/// The same in every process of an installation: a form may go to another one than its page came from.
pub(crate) fn guard(secret: &InstallationSecret) -> Guard {
    Guard::new(secret.derive(&[b"pages"]), mark)
}

/// Of this process alone.
pub(crate) fn guard_of_process() -> Guard {
    let (mut key, halves) = ([0; 32], [mark(), mark()]);
    key.copy_from_slice(halves.as_flattened());
    Guard::new(key, mark)
}

/// A random mark for a browser; the system has random bytes once it has begun.
fn mark() -> [u8; 16] {
    let mut bytes = [0; 16];
    let got = rustix::rand::getrandom(&mut bytes, rustix::rand::GetRandomFlags::empty());
    if let Err(failed) = got {
        error!(error = %failed, "the system gives no random bytes: {failed}");
    }
    bytes
}

/// Carries out what pages ask for, as the command line does.
struct Hands {
    store: Arc<dyn Store>,
    clock: Arc<dyn Clock>,
    witnesses: Witnesses,
    demo: Option<DemoLink>,
}

/// The key that a mistake is about, as far as its words begin with it.
fn field_of(words: &str) -> Option<String> {
    let known = [
        ("ratio", "ratio"),
        ("fixed", "fixed"),
        ("cap per order", "cap_order"),
        ("cap per market", "cap_market"),
        ("cap per leader", "cap_leader"),
        ("no price is", "price_from"),
        ("price band", "price_from"),
        ("slippage to leader", "slippage_to_leader"),
        ("slippage to book", "slippage_to_book"),
        ("maximum age", "maximum_age"),
        ("copies of phantoms", "phantoms"),
    ];
    let key = words.split_once(" = ").map(|(key, _)| key).filter(|key| !key.contains(' '));
    let by_words = || known.iter().find(|(begin, _)| words.starts_with(begin)).map(|(_, key)| *key);
    key.or_else(by_words).map(str::to_owned)
}

fn wrong(wrong: &Wrong) -> Refused {
    match wrong {
        Wrong::Policy(mistakes) => Refused::Invalid(
            mistakes.iter().map(|words| Mistake { field: field_of(words), words: words.clone() }).collect(),
        ),
        Wrong::NotFound(words) => Refused::NotFound(words.clone()),
    }
}

/// Why it was not done, told apart where that is known.
fn refused(error: anyhow::Error) -> Refused {
    if let Some(known) = error.downcast_ref::<Wrong>() {
        return wrong(known);
    }
    let words = causes(&error);
    match error.downcast_ref::<StoreError>() {
        Some(StoreError::NotFound { .. }) => Refused::NotFound(words),
        Some(StoreError::Conflict(_) | StoreError::FollowingCycle(_)) => Refused::Conflict(words),
        Some(_) => Refused::Unavailable(words),
        None => Refused::invalid(words),
    }
}

#[async_trait]
impl Actions for Hands {
    fn policy(&self, before: Option<&Policy>, changes: &[(String, String)]) -> Done<Policy> {
        let before = before.cloned().unwrap_or_else(Policy::careful);
        following::changed(before, changes).map_err(|mistakes| wrong(&mistakes))
    }

    async fn follow(&self, tenant: Tenant, wish: &Follow) -> Done<Followed> {
        let done = following::begin(self.store.as_ref(), self.clock.as_ref(), tenant.owner(), wish).await;
        done.map_err(refused)
    }

    async fn add_leader(&self, _: Tenant, wallet: Address) -> Done<()> {
        let added = self.store.add_leader(wallet, self.clock.now()).await;
        added.map(drop).map_err(|error| refused(error.into()))
    }

    async fn edit(
        &self,
        tenant: Tenant,
        relationship: RelationshipId,
        changes: &[(String, String)],
    ) -> Done<Policy> {
        if changes.is_empty() {
            return Err(Refused::invalid("nothing to change"));
        }
        let (store, clock) = (self.store.as_ref(), self.clock.as_ref());
        following::change(store, clock, tenant.owner(), (relationship, changes)).await.map_err(refused)
    }

    async fn set_status(
        &self,
        tenant: Tenant,
        relationship: RelationshipId,
        status: RelationshipStatus,
    ) -> Done<String> {
        let (store, clock) = (self.store.as_ref(), self.clock.as_ref());
        let done = commands::set_status(store, clock, tenant.owner(), (relationship, status)).await;
        done.map(|answer| answer.text).map_err(refused)
    }

    async fn panic(&self, tenant: Tenant, wanted: &Panic) -> Done<Panicked> {
        let Panic { keep_exits, sell, account } = wanted.clone();
        let (store, clock) = (self.store.as_ref(), self.clock.as_ref());
        // Who shares the installation holds what is his own: each of his accounts.
        let accounts: Vec<Option<String>> = match (tenant.owner(), account) {
            (Some(owner), None) => {
                let own = self.store.accounts(Some(owner)).await.map_err(|error| refused(error.into()))?;
                own.into_iter()
                    .filter(|account| !account.removed)
                    .map(|account| Some(account.label))
                    .collect()
            }
            (_, account) => vec![account],
        };
        let mut all: Option<Panicked> = None;
        for account in accounts {
            let wanted = following::Panic { keep_exits, sell, account, preview: false };
            let one = following::hold_all(store, clock, tenant.owner(), &wanted).await.map_err(refused)?;
            all = Some(match all {
                None => one,
                Some(before) => Panicked {
                    stops_exits: before.stops_exits && one.stops_exits,
                    sells: before.sells || one.sells,
                    positions: before.positions.saturating_add(one.positions),
                    words: format!("{}\n{}", before.words, one.words),
                    ..one
                },
            });
        }
        all.ok_or_else(|| Refused::NotFound("you have no account, so nothing is traded for you".to_owned()))
    }

    async fn lift(&self, tenant: Tenant, hold: HoldId) -> Done<String> {
        let lifted = match tenant.owner() {
            Some(owner) if !tenant.operates() => {
                let following = self.store.following(self.clock.now()).await;
                let holds = following.map_err(|error| refused(error.into()))?.holds;
                // What has another cause ends when that does.
                if holds.iter().any(|known| known.id == hold && known.cause != HoldCause::Operator) {
                    let why =
                        format!("hold {hold} is not one that a person has placed: it ends with its cause");
                    return Err(Refused::Conflict(why));
                }
                let lifted = self.store.lift_hold(Some(owner), hold, self.clock.now()).await;
                let lifted = lifted.map_err(|error| refused(error.into()))?;
                return match lifted {
                    true => Ok(format!("hold {hold} is lifted; what you paused stays paused")),
                    false => {
                        Err(Refused::NotFound(format!("hold {hold} is not in force, or not yours to lift")))
                    }
                };
            }
            _ => holding::lift(self.store.as_ref(), self.clock.as_ref(), hold, false).await,
        };
        let answer = lifted.map_err(refused)?;
        if answer.ok { Ok(answer.text) } else { Err(Refused::NotFound(answer.text)) }
    }

    async fn add_paper_account(&self, tenant: Tenant, wanted: &PaperAccount) -> Done<AccountId> {
        let none = || Refused::Unavailable("the accounts of a demo are made when it begins".to_owned());
        let keyring = self.witnesses.keyring.as_ref().ok_or_else(none)?;
        let books = (self.store.as_ref(), self.clock.now());
        let wanted = (wanted.label.as_str(), wanted.cash, wanted.cap);
        let answer = account::add_paper(keyring, books, tenant.owner(), wanted).await.map_err(refused)?;
        let id = answer.json.get("account").and_then(serde_json::Value::as_i64);
        id.map(AccountId).ok_or(Refused::Unavailable(answer.text))
    }

    async fn standings(&self, tenant: Tenant) -> Done<Vec<Standing>> {
        let accounts = self.store.accounts(tenant.owner()).await.map_err(|error| refused(error.into()))?;
        let mut standings = Vec::with_capacity(accounts.len());
        for account in accounts.iter().filter(|account| !account.removed) {
            let line = match &self.witnesses.keyring {
                Some(keyring) => Some(AccountLine::of(account, keyring).await.map_err(refused)?),
                None => None,
            };
            let state = match (&line, account.mode) {
                (Some(line), _) => line.state.clone(),
                (None, AccountMode::Paper) => "paper".to_owned(),
                (None, AccountMode::Live) => "unknown".to_owned(),
            };
            let caps = line.as_ref().and_then(|line| line.caps.as_ref());
            standings.push(Standing {
                account: account.trading.id,
                state,
                caps: caps.map(|caps| (caps.order, caps.day)),
                spent: line.as_ref().and_then(|line| line.spent),
                until: line.as_ref().and_then(|line| line.until),
            });
        }
        Ok(standings)
    }

    async fn work(&self, tenant: Tenant) -> Done<Work> {
        if !tenant.operates() {
            return Err(Refused::NotFound("how the installation does is its operator's to see".to_owned()));
        }
        let mut work = Work::default();
        if let Some(sources) = &self.witnesses.sources {
            work.sources = sources.watch.health(self.clock.now());
        }
        if let Some(providers) = &self.witnesses.providers {
            let of = |one: polymarket::ProviderHealth| Provider {
                trusted: one.trouble.is_none(),
                words: one.trouble.unwrap_or_else(|| {
                    format!("answers in {} ms, {} calls today", one.latency_ms, one.calls_today)
                }),
                name: one.name,
            };
            work.providers = providers.health().into_iter().map(of).collect();
        }
        let Some(desk) = &self.witnesses.jobs else { return Ok(work) };
        let failed = |error: StoreError| refused(error.into());
        for (lane, state, number) in desk.store.count_jobs().await.map_err(failed)? {
            let lane = if lane == Lane::Exits { "exits" } else { "entries" };
            let state = match state {
                JobState::Waiting => "wait for a worker",
                JobState::Settling => "are settled",
                JobState::Quarantined => "set aside by an operator",
                JobState::Dead => "failed too often, and wait for an operator",
            };
            work.jobs.push(Jobs { lane, state: state.to_owned(), number });
        }
        work.dead_letters = Some(desk.store.dead_letters(COUNTED).await.map_err(failed)?.len());
        if let Some(queue) = &desk.queue {
            let (exits, entries) = (queue.depth(Lane::Exits).await, queue.depth(Lane::Entries).await);
            let count = |depth: usize| u64::try_from(depth).unwrap_or(u64::MAX);
            work.queued = exits.ok().zip(entries.ok()).map(|(exits, entries)| (count(exits), count(entries)));
        }
        Ok(work)
    }

    fn demo(&self) -> Option<Demo> {
        let picture = self.demo.as_ref()?.pictures.borrow();
        let (at, whole) = picture.tape;
        let played = at.saturating_mul(100).checked_div(whole).unwrap_or(100).min(100);
        Some(Demo {
            played: u8::try_from(played).unwrap_or(100),
            over: picture.played,
            lost: picture.lost,
            doubled: picture.doubled,
            broken: picture.broken.iter().map(|broken| (broken.at, broken.what.clone())).collect(),
            venue_down: picture.venue_down,
        })
    }

    fn break_something(&self, what: Break) -> Done<()> {
        let none = || Refused::NotFound("no demo runs here".to_owned());
        let what = match what {
            Break::Worker => demo::Break::Worker,
            Break::Venue => demo::Break::Venue,
            Break::Chain => demo::Break::Chain,
        };
        let demo = self.demo.as_ref().ok_or_else(none)?;
        if demo.pictures.borrow().played {
            return Err(Refused::Conflict("the tape has been played; nothing is left to break".to_owned()));
        }
        demo.breaks.send(what).map_err(|_| Refused::Unavailable("the demo is ending".to_owned()))
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[tokio::test]
    async fn an_address_that_others_reach_wants_tls_and_a_taken_one_is_told() {
        let open = |origin: Option<&str>| AccessSettings {
            origin: origin.map(str::to_owned),
            ..AccessSettings::default()
        };
        let (everywhere, alone) = (Some("0.0.0.0:0".parse().unwrap()), open(None));
        for origin in [None, Some("http://copy.example")] {
            let refused = listen(everywhere, &open(origin)).await.unwrap_err().to_string();
            assert!(refused.contains("sent in the open"), "{refused}");
        }
        listen(everywhere, &open(Some("https://copy.example"))).await.unwrap();
        let first = listen(Some("127.0.0.1:0".parse().unwrap()), &alone).await.unwrap();
        assert!(url(&first).starts_with("http://127.0.0.1:"), "{}", url(&first));
        let taken = listen(first.local_addr().ok(), &alone).await.unwrap_err().to_string();
        assert!(taken.contains("[web] address"), "{taken}");
        // Where nobody says where, they are served somewhere.
        assert!(listen(None, &alone).await.is_ok() && listen(None, &alone).await.is_ok());
    }

    #[test]
    fn a_mistake_finds_its_field() {
        let told = |changes: &[(&str, &str)]| {
            let changes: Vec<_> =
                changes.iter().map(|(key, value)| ((*key).to_owned(), (*value).to_owned())).collect();
            match wrong(&following::changed(Policy::careful(), &changes).unwrap_err()) {
                Refused::Invalid(mistakes) => mistakes.into_iter().map(|mistake| mistake.field).collect(),
                other => panic!("{other:?}"),
            }
        };
        let fields: Vec<Option<String>> = told(&[("cap_order", "x"), ("ratio", "-1")]);
        assert_eq!(fields, ["cap_order", "ratio"].map(|field| Some(field.to_owned())));
        assert_eq!(told(&[("price_from", "0.9"), ("price_to", "0.1")]), [Some("price_from".to_owned())]);
    }
}
