//! Whether accounts with real money may buy. Before a run sends anything, and from then on, it looks at what would make
//! buying wrong: this machine's clock, the chain, the place, each account's wallet and login. What is wrong is told all at
//! once, and is a hold on the account's buys until it is right. Sales go on: they take less risk than waiting does.

use std::{
    collections::{BTreeMap, HashMap},
    sync::Arc,
    time::Duration,
};

use domain::{Clock, Timestamp, WalletKind, ids::AccountId};
use engine::{
    deadline::{venue_call, within},
    ports::{
        following::{Account, AccountMode, HoldCause, HoldScope, NewHold},
        store::{Store, StoreResult},
        venue::{ChainReader, OrderGateway, VenueClock, VenueError},
    },
};
use futures_util::{StreamExt as _, stream};
use polymarket::{JsonRpc, wallets::Finding as Lack};
use reqwest::Client;
use tracing::{info, warn};

use crate::{
    account::{check_wallet, report_of_account, wants},
    doctor::{Verdict, venue},
    venue_clock::ClockSkew,
};

/// Time between two looks at what costs no question to the outside.
const LOOK_EVERY: Duration = Duration::from_secs(3);
/// Time between two checks while something is wrong, and while nothing is.
const CHECK_AGAIN: Duration = Duration::from_secs(10);
const CHECK_EVERY: Duration = Duration::from_secs(300);
/// How long all checks together may take; the start waits for them.
const PATIENCE: Duration = Duration::from_secs(10);
/// Of that for one question.
const ANSWER: Duration = Duration::from_secs(5);
/// Accounts looked at together.
const AT_ONCE: usize = 8;
/// With a clock that is certainly off by more, a follower's age limit lets through what is too old.
const CLOCK_OFF: Duration = Duration::from_secs(10);
/// A chain that has told nothing new for this long is not read.
const CHAIN_SILENT: Duration = Duration::from_secs(60);
/// A newest block that was older at the start is of a provider that lags.
const OLDEST_HEAD: Duration = Duration::from_secs(60);

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
    /// The newest block that was read, and since when it is the newest.
    newest: (i64, Duration),
    /// What was wrong at the last check, by account.
    wrong: BTreeMap<AccountId, String>,
    /// Which of many processes this is: what one finds wrong is not right because another finds nothing.
    who: String,
}

impl Readiness {
    /// Checks, and places or lifts the holds, before anything is sent. `who` is what reasons begin with; nothing where one
    /// process works alone.
    pub(super) async fn begin(ask: Witnesses, store: &dyn Store, who: String) -> StoreResult<Self> {
        let uptime = ask.clock.uptime();
        let newest = (0, uptime);
        let mut readiness =
            Self { ask, looked: uptime, checked: uptime, newest, wrong: BTreeMap::new(), who };
        readiness.check(store).await?;
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
            warn!(%error, "whether accounts with real money may buy cannot be looked at: {error}");
        }
    }

    async fn look_at(&mut self, store: &dyn Store, uptime: Duration) -> StoreResult<()> {
        let newest = store.headers(1).await?.first().map_or(0, |header| header.number);
        if newest != self.newest.0 {
            self.newest = (newest, uptime);
        }
        let silent = self.is_silent(uptime);
        let usual = if self.wrong.is_empty() && !silent { CHECK_EVERY } else { CHECK_AGAIN };
        if uptime.saturating_sub(self.checked) < usual {
            return Ok(());
        }
        self.check(store).await
    }

    fn is_silent(&self, uptime: Duration) -> bool {
        uptime.saturating_sub(self.newest.1) > CHAIN_SILENT
    }

    async fn check(&mut self, store: &dyn Store) -> StoreResult<()> {
        self.checked = self.ask.clock.uptime();
        let live = |account: &Account| account.mode == AccountMode::Live && !account.removed;
        let accounts: Vec<Account> = store.accounts(None).await?.into_iter().filter(live).collect();
        if accounts.is_empty() {
            self.wrong.clear();
            return Ok(());
        }
        let found = within(self.ask.clock.as_ref(), PATIENCE, self.ask.look(&accounts)).await;
        let (mut everywhere, own) = found.unwrap_or_else(|_| {
            let slow = format!("clock, chain, place and wallets could not be checked within {PATIENCE:?}");
            (vec![slow], HashMap::new())
        });
        if self.is_silent(self.checked) {
            everywhere.push(format!("no new block was read for {} s", CHAIN_SILENT.as_secs()));
        }
        let mut wrong = BTreeMap::new();
        for account in &accounts {
            let id = account.trading.id;
            let of_account = own.get(&id).into_iter().flatten();
            let texts: Vec<&str> = everywhere.iter().chain(of_account).map(String::as_str).collect();
            if !texts.is_empty() {
                wrong.insert(id, texts.join("; "));
            }
        }
        self.hold(store, &accounts, &wrong).await?;
        self.wrong = wrong;
        Ok(())
    }

    /// Makes the holds what was found.
    async fn hold(
        &self,
        store: &dyn Store,
        accounts: &[Account],
        wrong: &BTreeMap<AccountId, String>,
    ) -> StoreResult<()> {
        let now = self.ask.clock.now();
        let holds = store.following(now).await?.holds;
        for account in accounts {
            let (id, label) = (account.trading.id, &account.label);
            let scope = HoldScope::Account(id);
            let found = wrong.get(&id).map(|reason| format!("{}{}", self.who, reason_of(reason)));
            let mine = |cause, of| cause == HoldCause::NotReady && of == scope;
            let held: Vec<_> = holds
                .iter()
                .filter(|hold| mine(hold.cause, hold.scope) && hold.reason.starts_with(&self.who))
                .collect();
            if held.iter().any(|hold| Some(&hold.reason) == found.as_ref()) {
                continue;
            }
            // The new one first: in between nothing may be bought.
            if let Some(reason) = &found {
                warn!("account {label}: {reason}");
                store.place_hold(None, &not_ready(scope, reason.clone()), now).await?;
            }
            for hold in &held {
                store.lift_hold(None, hold.id, now).await?;
            }
            if found.is_none() && !held.is_empty() {
                info!(
                    "account {label}: clock, chain, place, wallet and login are as they should be; it buys again"
                );
            }
        }
        Ok(())
    }
}

fn reason_of(wrong: &str) -> String {
    format!("it buys nothing with real money until this is right: {wrong}")
}

fn not_ready(scope: HoldScope, reason: String) -> NewHold {
    NewHold { scope, cause: HoldCause::NotReady, reason, stops_exits: false, sells: false, expires_at: None }
}

impl Witnesses {
    /// What is wrong for everybody, and what for single accounts.
    async fn look(&self, accounts: &[Account]) -> (Vec<String>, HashMap<AccountId, Vec<String>>) {
        let now = self.clock.now();
        let own = stream::iter(accounts)
            .map(async |account| (account.trading.id, self.account(account, now).await))
            .buffer_unordered(AT_ONCE)
            .collect();
        let place = venue::place(self.clock.as_ref(), &self.client, &self.geoblock_url);
        let (clock, chain, place, own) = tokio::join!(self.clock(), self.chain(), place, own);
        let place = (place.verdict == Verdict::Fail).then_some(place.evidence);
        (clock.into_iter().chain(chain).chain(place).collect(), own)
    }

    async fn clock(&self) -> Option<String> {
        match ClockSkew::measure(self.clock.as_ref(), self.venue_clock.as_ref()).await {
            Ok(skew) if skew.is_off_by(CLOCK_OFF) => Some(skew.to_string()),
            Ok(_) => None,
            Err(error) => Some(format!("the venue cannot be reached, so its clock is not known ({error})")),
        }
    }

    async fn chain(&self) -> Option<String> {
        match venue_call(self.clock.as_ref(), "head", ANSWER, self.reader.head()).await {
            Err(error) => Some(format!(
                "no RPC provider tells the chain's newest block ({error}); see [chain] rpc_urls, and `slipstream doctor`"
            )),
            Ok(head) => {
                let age = self.clock.now().since(head.time);
                (age > OLDEST_HEAD).then(|| {
                    let seconds = age.as_secs();
                    format!("the newest block that RPC providers tell is {seconds} s old (or this machine's clock is fast)")
                })
            }
        }
    }

    async fn account(&self, account: &Account, now: Timestamp) -> Vec<String> {
        let trading = &account.trading;
        if trading.kind != WalletKind::Session
            && let Err(error) = check_wallet(trading.signer, trading.wallet, trading.kind)
        {
            return vec![format!("{error:#}")];
        }
        let wallet = within(self.clock.as_ref(), ANSWER, report_of_account(self.rpc.as_ref(), trading, now));
        let login = self.venue.look_again(trading, None);
        let login = venue_call(self.clock.as_ref(), "login", ANSWER, login);
        let (wallet, login) = tokio::join!(wallet, login);
        let mut wrong = Vec::new();
        // What cannot be asked is told for everybody.
        if let Ok(Ok(report)) = wallet {
            let lacks = report.missing.iter().filter(|lack| stops_buying(**lack));
            wrong.extend(lacks.map(|lack| {
                let (what, remedy) = wants(*lack, report.used);
                let by_flag = remedy.starts_with("--");
                let command = format!("`slipstream account check {} {remedy}`", trading.id);
                format!("{what}: {}", if by_flag { command } else { remedy })
            }));
        }
        if let Err(error @ VenueError::Refused { .. }) = login {
            wrong.push(format!("the venue does not let its key log in ({error})"));
        }
        wrong
    }
}

/// Without money, or gas to redeem with, nothing goes wrong: there is only less to do.
const fn stops_buying(lack: Lack) -> bool {
    !matches!(lack, Lack::NoMoney | Lack::NoGas | Lack::Unwrapped(_) | Lack::SessionEnds(_))
}
