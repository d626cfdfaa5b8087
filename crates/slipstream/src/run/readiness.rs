//! Whether accounts with real money may buy. Before a run sends anything, and from then on, it looks at what would make
//! buying wrong: this machine's clock, the chain, the place, each account's wallet and login. What is wrong is told all at
//! once, and is a hold on the account's buys until it is right. Sales go on: they take less risk than waiting does.
//!
//! Of many processes each looks for itself, and its holds are those of an instance: they end with it, whoever records that,
//! and nobody else lifts them. What is wrong with its machine alone holds nobody: it leaves buying to a worker that says it may.

use std::{
    collections::{BTreeMap, HashMap, HashSet},
    sync::atomic::Ordering,
    time::Duration,
};

use domain::{
    Address, Timestamp,
    ids::{AccountId, HoldId},
};
use engine::ports::{
    following::{Account, AccountMode, HoldCause, HoldScope, NewHold},
    store::{InstanceId, Lease, Store, StoreError, StoreResult},
};
use tracing::{info, warn};

use super::{
    asking::{Fault, UNBOOKED, UNREAD, Witnesses},
    looking::{Who, end_but},
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
/// A chain that has told nothing new for this long is not read.
const CHAIN_SILENT: Duration = Duration::from_secs(60);

/// Whoever has this lease is a worker that may buy …
const FIT: &str = "a worker that may buy";
/// … and says so at each look.
const FIT_LASTS: Duration = Duration::from_secs(10);

/// Kinds of faults that are asked about.
const SILENT: &str = "silent";
const UNREACHED: &str = "unreached";
/// Kinds of faults that are one account's own.
const OWN: [&str; 6] = ["funder", "wallet", "login", UNREAD, UNREACHED, UNBOOKED];

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
    /// What was wrong with this machine then, where that holds nobody.
    here: Vec<Fault>,
    /// Whether anything was, and whether another worker was to buy meanwhile.
    unfit: bool,
    others: bool,
    /// What says that it may buy.
    fit: Option<Lease>,
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
            here: Vec::new(),
            unfit: false,
            others: false,
            fit: None,
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
        let usual = if self.wrong.is_empty() && self.here.is_empty() { CHECK_EVERY } else { self.again };
        let others = self.look_at_others(store).await?;
        let due = silent || others || self.unsure || uptime.saturating_sub(self.checked) >= usual;
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
        let (mut wrong, mut here) = (BTreeMap::new(), Vec::new());
        if !accounts.is_empty() {
            let mut order: Vec<&Account> = accounts.iter().collect();
            order.sort_by_key(|account| self.reached.get(&account.trading.id).copied());
            let (mut everywhere, mut own) = self.ask.look(&order, patience).await;
            // First: what is held no more may be bought at once.
            here = self.leave_to_others(store, &mut everywhere).await?;
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
        let same = kinds(&wrong) == kinds(&self.wrong) && kinds_of(&here) == kinds_of(&self.here);
        self.again = match same {
            _ if soon => LOOK_EVERY,
            true => (self.again * 2).clamp(CHECK_AGAIN, CHECK_AGAIN_LAST),
            false => CHECK_AGAIN,
        };
        (self.wrong, self.here) = (wrong, here);
        self.checked_keys =
            accounts.iter().map(|account| (account.trading.id, account.trading.signer)).collect();
        Ok(())
    }

    /// Says that it may buy, if so; else whether another worker does is something else than it was.
    async fn look_at_others(&mut self, store: &dyn Store) -> StoreResult<bool> {
        match (&self.who.buys_elsewhere, self.unfit) {
            (None, _) => Ok(false),
            (Some(_), true) => Ok(store.is_leased(FIT).await? != self.others),
            (Some(_), false) => {
                self.fit = store.take_lease(FIT, &self.instance, FIT_LASTS).await?;
                Ok(false)
            }
        }
    }

    /// Takes nothing but exits while something is wrong here and another worker buys. What is wrong is taken from
    /// `everywhere` then, because it is to hold nobody.
    async fn leave_to_others(
        &mut self,
        store: &dyn Store,
        everywhere: &mut Vec<Fault>,
    ) -> StoreResult<Vec<Fault>> {
        let Some(elsewhere) = self.who.buys_elsewhere.clone() else { return Ok(Vec::new()) };
        let was_unfit = std::mem::replace(&mut self.unfit, !everywhere.is_empty());
        if let Some(lease) = self.fit.take_if(|_| self.unfit) {
            store.release_lease(&lease).await?;
        }
        // Others have until the next look to say that they may.
        self.others = self.unfit && (!was_unfit || store.is_leased(FIT).await?);
        let told = elsewhere.swap(self.others, Ordering::SeqCst);
        let here = if self.others { std::mem::take(everywhere) } else { Vec::new() };
        if self.others && kinds_of(&here) != kinds_of(&self.here) {
            let words: Vec<&str> = here.iter().map(|fault| fault.1.as_str()).collect();
            warn!("{}it takes nothing but exits until this is right: {}", self.who.words, words.join("; "));
        }
        if told && !self.unfit {
            info!("{}clock, chain and place are as they should be; it takes buys again", self.who.words);
        }
        Ok(here)
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

fn kinds_of(faults: &[Fault]) -> Vec<&'static str> {
    faults.iter().map(|fault| fault.0).collect()
}

fn kinds(wrong: &BTreeMap<AccountId, Vec<Fault>>) -> BTreeMap<AccountId, Vec<&'static str>> {
    wrong.iter().map(|(id, faults)| (*id, kinds_of(faults))).collect()
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

#[cfg(test)]
#[path = "readiness_tests.rs"]
mod tests;
