//! Whether accounts with real money may buy. Before a run sends anything, and from then on, it looks at what would make
//! buying wrong: this machine's clock, the chain, the place, each account's wallet and login. What is wrong is told all at
//! once, and is a hold on the account's buys until it is right. Sales go on: they take less risk than waiting does.
//!
//! Of many processes each looks for itself, and its holds are those of an instance: they end with it, whoever records that,
//! and nobody else lifts them.

use std::{
    collections::{BTreeMap, HashMap, HashSet},
    sync::Arc,
    time::Duration,
};

use domain::{
    Address, Clock, Timestamp, Usd, WalletKind,
    ids::{AccountId, HoldId},
};
use engine::{
    deadline::{venue_call, within},
    ports::{
        following::{Account, AccountMode, HoldCause, HoldScope, NewHold},
        store::{InstanceId, Store, StoreError, StoreResult},
        venue::{ChainReader, OrderGateway, VenueClock, VenueError},
    },
};
use futures_util::{StreamExt as _, stream};
use polymarket::{JsonRpc, wallets::Finding as Lack};
use reqwest::Client;
use tracing::{info, warn};

use super::looking::{Who, end_but};
use crate::{
    account::{check_wallet, report_of_account, wants},
    doctor::{Verdict, venue},
    venue_clock::ClockSkew,
    wording::dollars,
};

/// Time between two looks at what costs no question to the outside.
const LOOK_EVERY: Duration = Duration::from_secs(3);
/// Time between two checks while something is wrong, and while nothing is.
const CHECK_AGAIN: Duration = Duration::from_secs(10);
const CHECK_AGAIN_LAST: Duration = Duration::from_secs(60);
const CHECK_EVERY: Duration = Duration::from_secs(300);
/// How long a check of all accounts may take; those that are not reached come first in the next one.
const PATIENCE: Duration = Duration::from_secs(10);
/// How long a start waits for that. What is not known to be right by then is held, and looked at beside the run: a hold
/// from the beginning would cost whoever is right the trades of the time before the start.
const FIRST_PATIENCE: Duration = Duration::from_secs(3);
/// How long one question may take.
const ANSWER: Duration = Duration::from_secs(5);
/// Accounts looked at together.
const AT_ONCE: usize = 8;
/// With a clock that is certainly off by more, a follower's age limit lets through what is too old.
const CLOCK_OFF: Duration = Duration::from_secs(10);
/// A chain that has told nothing new for this long is not read.
const CHAIN_SILENT: Duration = Duration::from_secs(60);
/// A newest block that was older at the start is of a provider that lags.
const OLDEST_HEAD: Duration = Duration::from_secs(60);

/// Kinds of faults that are asked about.
const SILENT: &str = "silent";
const UNREAD: &str = "unread";
const UNREACHED: &str = "unreached";
const UNBOOKED: &str = "unbooked";
/// Kinds of faults that are one account's own.
const OWN: [&str; 6] = ["funder", "wallet", "login", UNREAD, UNREACHED, UNBOOKED];

/// Whom it asks.
pub(super) struct Witnesses {
    pub(super) clock: Arc<dyn Clock>,
    pub(super) venue_clock: Arc<dyn VenueClock>,
    pub(super) venue: Arc<dyn OrderGateway>,
    pub(super) client: Client,
    pub(super) geoblock_url: String,
    pub(super) reader: Arc<dyn ChainReader>,
    pub(super) rpc: Arc<dyn JsonRpc>,
}

/// What keeps accounts with real money from buying.
pub(super) struct Readiness {
    ask: Witnesses,
    /// Uptimes of the last look and of the last check.
    looked: Duration,
    checked: Duration,
    /// What was configured when accounts were read last: those that are added since raise it.
    version: i64,
    /// The newest block that was read, and since when it is the newest.
    newest: (i64, Duration),
    /// How long until the next check, while something is wrong: it doubles.
    again: Duration,
    /// What was wrong at the last check, by account.
    wrong: BTreeMap<AccountId, Vec<Fault>>,
    /// Accounts that were checked, by the key they trade with, and those whose wallets were then found right.
    checked_keys: HashMap<AccountId, Address>,
    right: HashSet<AccountId>,
    /// When each account was reached last.
    reached: HashMap<AccountId, Duration>,
    who: Who,
    /// Its instance now, and how many it has had.
    instance: InstanceId,
    instances: u32,
    /// Holds of that instance.
    held: HashMap<AccountId, Vec<HoldId>>,
    /// The answer of a commit was lost: there may be holds that are not among those.
    unsure: bool,
}

/// One thing that is wrong: its kind stays the same while the figures in its words move.
#[derive(Clone, Debug)]
struct Fault(&'static str, String);

impl Readiness {
    /// Checks, and places the holds, before anything is sent.
    pub(super) async fn begin(ask: Witnesses, store: &dyn Store, who: Who) -> StoreResult<Self> {
        let uptime = ask.clock.uptime();
        let instance = who.instance(1);
        store.begin_instance(&instance, ask.clock.now()).await?;
        let mut readiness = Self {
            ask,
            looked: uptime,
            checked: uptime,
            version: store.config_version().await?,
            newest: (0, uptime),
            again: CHECK_AGAIN,
            wrong: BTreeMap::new(),
            checked_keys: HashMap::new(),
            right: HashSet::new(),
            reached: HashMap::new(),
            who,
            instance,
            instances: 1,
            held: HashMap::new(),
            unsure: false,
        };
        let accounts = live_accounts(store).await?;
        readiness.check(store, &accounts, FIRST_PATIENCE).await?;
        Ok(readiness)
    }

    /// Looks, when it is time to.
    pub(super) async fn look(&mut self, store: &dyn Store) {
        let uptime = self.ask.clock.uptime();
        if uptime.saturating_sub(self.looked) < LOOK_EVERY {
            return;
        }
        self.looked = uptime;
        if let Err(error) = self.look_at(store, uptime).await {
            self.unsure |= matches!(error, StoreError::OutcomeUnknown(_));
            warn!(%error, "whether accounts with real money may buy cannot be looked at: {error}");
        }
    }

    async fn look_at(&mut self, store: &dyn Store, uptime: Duration) -> StoreResult<()> {
        let newest = store.headers(1).await?.first().map_or(0, |header| header.number);
        if newest != self.newest.0 {
            self.newest = (newest, uptime);
        }
        self.begin_anew(store).await?;
        let version = store.config_version().await?;
        let silent = self.is_silent(uptime) && !self.wrong.values().flatten().any(|fault| fault.0 == SILENT);
        let usual = if self.wrong.is_empty() { CHECK_EVERY } else { self.again };
        let due = silent || self.unsure || uptime.saturating_sub(self.checked) >= usual;
        if !due && version == self.version {
            return Ok(());
        }
        let accounts = live_accounts(store).await?;
        self.version = version;
        let is_new =
            |account: &&Account| self.checked_keys.get(&account.trading.id) != Some(&account.trading.signer);
        let new: Vec<AccountId> = accounts.iter().filter(is_new).map(|account| account.trading.id).collect();
        if new.is_empty() && !due {
            return Ok(());
        }
        // Until it is known that all is right, nothing is.
        let now = self.ask.clock.now();
        for account in new {
            let reason = format!("{}{}", self.who.words, reason_of("it is being checked"));
            self.place(store, account, reason, now).await?;
        }
        self.check(store, &accounts, PATIENCE).await?;
        if self.unsure {
            end_but(store, self.ask.clock.as_ref(), &self.who.process, Some(&self.instance)).await?;
            self.unsure = false;
        }
        Ok(())
    }

    /// Looks at all anew as another instance: when somebody has said that this one has ended, which lifts its holds, or when
    /// it has holds that it does not know, and is to end once the new one has placed its own.
    async fn begin_anew(&mut self, store: &dyn Store) -> StoreResult<()> {
        let ended = !store.running_instances().await?.contains(&self.instance);
        if !ended && !self.unsure {
            return Ok(());
        }
        let number = self.instances.saturating_add(1);
        let instance = self.who.instance(number);
        store.begin_instance(&instance, self.ask.clock.now()).await?;
        if ended {
            warn!(%instance, "{} was recorded as ended: accounts with real money are held until looked at", self.instance);
        }
        (self.instance, self.instances, self.version) = (instance, number, 0);
        self.held.clear();
        self.wrong.clear();
        self.checked_keys.clear();
        Ok(())
    }

    async fn place(
        &mut self,
        store: &dyn Store,
        account: AccountId,
        reason: String,
        now: Timestamp,
    ) -> StoreResult<()> {
        let hold = not_ready(HoldScope::Account(account), reason);
        let id = store.place_hold_of(&self.instance, &hold, now).await?;
        self.held.entry(account).or_default().push(id);
        Ok(())
    }

    fn is_silent(&self, uptime: Duration) -> bool {
        uptime.saturating_sub(self.newest.1) > CHAIN_SILENT
    }

    async fn check(
        &mut self,
        store: &dyn Store,
        accounts: &[Account],
        patience: Duration,
    ) -> StoreResult<()> {
        self.checked = self.ask.clock.uptime();
        let mut wrong = BTreeMap::new();
        if !accounts.is_empty() {
            let mut order: Vec<&Account> = accounts.iter().collect();
            order.sort_by_key(|account| self.reached.get(&account.trading.id).copied());
            let (mut everywhere, mut own) = self.ask.look(&order, patience).await;
            if self.is_silent(self.checked) {
                let silent = format!("no new block was read for {} s", CHAIN_SILENT.as_secs());
                everywhere.push(Fault(SILENT, silent));
            }
            for account in accounts {
                let id = account.trading.id;
                let own = own.remove(&id);
                if own.is_some() {
                    self.reached.insert(id, self.checked);
                }
                let all: Vec<Fault> = everywhere.iter().cloned().chain(self.own_faults(id, own)).collect();
                if !all.is_empty() {
                    wrong.insert(id, all);
                }
            }
        }
        self.hold(store, accounts, &wrong).await?;
        let soon = wrong.values().flatten().any(|fault| fault.0 == UNREACHED || fault.0 == UNBOOKED);
        self.again = match kinds(&wrong) == kinds(&self.wrong) {
            _ if soon => LOOK_EVERY,
            true => (self.again * 2).clamp(CHECK_AGAIN, CHECK_AGAIN_LAST),
            false => CHECK_AGAIN,
        };
        self.wrong = wrong;
        self.checked_keys =
            accounts.iter().map(|account| (account.trading.id, account.trading.signer)).collect();
        Ok(())
    }

    /// What is wrong with one account itself, by what was found now; where it was not reached, what was known of it stands.
    fn own_faults(&mut self, id: AccountId, found: Option<Vec<Fault>>) -> Vec<Fault> {
        let unread = |faults: &[Fault]| faults.iter().any(|fault| fault.0 == UNREAD);
        match found {
            // What was right a while ago is not wrong because nobody answers just now.
            Some(mut faults) => {
                if unread(&faults) && self.right.contains(&id) {
                    faults.retain(|fault| fault.0 != UNREAD);
                }
                if faults.is_empty() {
                    self.right.insert(id);
                } else {
                    self.right.remove(&id);
                }
                faults
            }
            None if self.right.contains(&id) => Vec::new(),
            None => {
                let known = self.wrong.get(&id).into_iter().flatten();
                let known: Vec<Fault> = known.filter(|fault| OWN.contains(&fault.0)).cloned().collect();
                match known.is_empty() {
                    true => {
                        vec![Fault(UNREACHED, "its wallet and login could not be looked at yet".to_owned())]
                    }
                    false => known,
                }
            }
        }
    }

    /// Makes the holds what was found.
    async fn hold(
        &mut self,
        store: &dyn Store,
        accounts: &[Account],
        wrong: &BTreeMap<AccountId, Vec<Fault>>,
    ) -> StoreResult<()> {
        let now = self.ask.clock.now();
        let holds = store.following(now).await?.holds;
        let in_force: HashSet<HoldId> = holds.iter().map(|hold| hold.id).collect();
        let (told, found) = (kinds(&self.wrong), kinds(wrong));
        // Whoever was removed buys nothing any more.
        let there: HashSet<AccountId> = accounts.iter().map(|account| account.trading.id).collect();
        let removed = self.held.iter().filter(|(id, _)| !there.contains(id));
        let removed: Vec<HoldId> = removed.flat_map(|(_, holds)| holds).copied().collect();
        for hold in removed {
            store.lift_hold(None, hold, now).await?;
        }
        self.held.retain(|id, _| there.contains(id));
        for account in accounts {
            let (id, label) = (account.trading.id, &account.label);
            let ours = self.held.entry(id).or_default();
            ours.retain(|hold| in_force.contains(hold));
            let held = ours.clone();
            // One hold for as long as the same things are wrong, whatever their figures are.
            if held.len() == 1 && found.contains_key(&id) && told.get(&id) == found.get(&id) {
                continue;
            }
            // The new one first: in between nothing may be bought.
            if let Some(faults) = wrong.get(&id) {
                let words: Vec<&str> = faults.iter().map(|fault| fault.1.as_str()).collect();
                let reason = format!("{}{}", self.who.words, reason_of(&words.join("; ")));
                warn!("account {label}: {reason}");
                self.place(store, id, reason, now).await?;
            }
            for hold in &held {
                store.lift_hold(None, *hold, now).await?;
                self.held.entry(id).or_default().retain(|ours| ours != hold);
            }
            if !wrong.contains_key(&id) && !held.is_empty() {
                info!(
                    "account {label}: clock, chain, place, wallet and login are as they should be; it may buy"
                );
            }
        }
        Ok(())
    }
}

fn kinds(wrong: &BTreeMap<AccountId, Vec<Fault>>) -> BTreeMap<AccountId, Vec<&'static str>> {
    wrong.iter().map(|(id, faults)| (*id, faults.iter().map(|fault| fault.0).collect())).collect()
}

async fn live_accounts(store: &dyn Store) -> StoreResult<Vec<Account>> {
    let live = |account: &Account| account.mode == AccountMode::Live && !account.removed;
    Ok(store.accounts(None).await?.into_iter().filter(live).collect())
}

fn reason_of(wrong: &str) -> String {
    format!("it buys nothing with real money until this is right: {wrong}")
}

fn not_ready(scope: HoldScope, reason: String) -> NewHold {
    NewHold { scope, cause: HoldCause::NotReady, reason, stops_exits: false, sells: false, expires_at: None }
}

impl Witnesses {
    /// What is wrong for everybody, and what for those accounts that were reached in time.
    async fn look(
        &self,
        accounts: &[&Account],
        patience: Duration,
    ) -> (Vec<Fault>, HashMap<AccountId, Vec<Fault>>) {
        let (clock, now) = (self.clock.as_ref(), self.clock.now());
        let until = clock.uptime().saturating_add(patience);
        let own = async {
            let mut own = HashMap::new();
            let mut asked = stream::iter(accounts)
                .map(|account| async move { (account.trading.id, self.account(account, now).await) })
                .buffer_unordered(AT_ONCE);
            while let Ok(Some((id, faults))) =
                within(clock, until.saturating_sub(clock.uptime()), asked.next()).await
            {
                own.insert(id, faults);
            }
            own
        };
        tokio::join!(self.everywhere(patience), own)
    }

    /// What is wrong for everybody.
    async fn everywhere(&self, patience: Duration) -> Vec<Fault> {
        let clock = self.clock.as_ref();
        let place = venue::place(clock, &self.client, &self.geoblock_url);
        let (skew, chain, place) = tokio::join!(
            within(clock, patience, self.clock()),
            within(clock, patience, self.chain()),
            within(clock, patience, place)
        );
        let slow = |what: &str| Fault("slow", format!("{what} could not be looked at within {patience:?}"));
        let place =
            place.map(|place| (place.verdict == Verdict::Fail).then_some(Fault("place", place.evidence)));
        let found = [
            skew.unwrap_or_else(|_| Some(slow("the venue's clock"))),
            chain.unwrap_or_else(|_| Some(slow("the chain"))),
            // Who says nothing of the place forbids nothing.
            place.unwrap_or_default(),
        ];
        found.into_iter().flatten().collect()
    }

    async fn clock(&self) -> Option<Fault> {
        match ClockSkew::measure(self.clock.as_ref(), self.venue_clock.as_ref()).await {
            Ok(skew) if skew.is_off_by(CLOCK_OFF) => Some(Fault("clock", skew.to_string())),
            Ok(_) => None,
            Err(error) => {
                let words = format!("the venue cannot be reached, so its clock is not known ({error})");
                Some(Fault("venue", words))
            }
        }
    }

    async fn chain(&self) -> Option<Fault> {
        match venue_call(self.clock.as_ref(), "head", ANSWER, self.reader.head()).await {
            Err(error) => {
                let words = format!(
                    "no RPC provider tells the chain's newest block ({error}); see [chain] rpc_urls, and `slipstream doctor`"
                );
                Some(Fault("chain", words))
            }
            Ok(head) => {
                let age = self.clock.now().since(head.time);
                (age > OLDEST_HEAD).then(|| {
                    let seconds = age.as_secs();
                    let words = format!(
                        "the newest block that RPC providers tell is {seconds} s old (or this machine's clock is fast)"
                    );
                    Fault("old head", words)
                })
            }
        }
    }

    async fn account(&self, account: &Account, now: Timestamp) -> Vec<Fault> {
        let trading = &account.trading;
        if trading.kind != WalletKind::Session
            && let Err(error) = check_wallet(trading.signer, trading.wallet, trading.kind)
        {
            return vec![Fault("funder", format!("{error:#}"))];
        }
        let wallet = within(self.clock.as_ref(), ANSWER, report_of_account(self.rpc.as_ref(), trading, now));
        let login = self.venue.look_again(trading, None);
        let login = venue_call(self.clock.as_ref(), "login", ANSWER, login);
        let (wallet, login) = tokio::join!(wallet, login);
        let mut wrong = Vec::new();
        match wallet {
            Ok(Ok(report)) => {
                let lacks = report.missing.iter().filter(|lack| stops_buying(**lack));
                wrong.extend(lacks.map(|lack| {
                    let (what, remedy) = wants(*lack, report.used);
                    let by_flag = remedy.starts_with("--");
                    let command = format!("`slipstream account check {} {remedy}`", trading.id);
                    Fault("wallet", format!("{what}: {}", if by_flag { command } else { remedy }))
                }));
                if account.cash == Usd::ZERO && report.used.dollars.is_positive() {
                    let words =
                        format!("{} $ of its wallet are not booked yet", dollars(report.used.dollars));
                    wrong.push(Fault(UNBOOKED, words));
                }
            }
            Ok(Err(error)) => wrong.push(Fault(UNREAD, format!("its wallet cannot be read ({error:#})"))),
            Err(_) => wrong.push(Fault(UNREAD, format!("its wallet cannot be read within {ANSWER:?}"))),
        }
        if let Err(error @ VenueError::Refused { .. }) = login {
            wrong.push(Fault("login", format!("the venue does not let its key log in ({error})")));
        }
        wrong
    }
}

/// Without money, or gas to redeem with, nothing goes wrong: there is only less to do.
const fn stops_buying(lack: Lack) -> bool {
    !matches!(lack, Lack::NoMoney | Lack::NoGas | Lack::Unwrapped(_) | Lack::SessionEnds(_))
}

#[cfg(test)]
#[path = "readiness_tests.rs"]
mod tests;
