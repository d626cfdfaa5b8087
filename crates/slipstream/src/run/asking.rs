//! What makes buying with real money wrong, as it is asked of clock, chain, place, wallets and logins.

use std::{collections::HashMap, sync::Arc, time::Duration};

use domain::{Clock, Timestamp, Usd, WalletKind, ids::AccountId};
use engine::{
    deadline::{venue_call, within},
    ports::{
        following::Account,
        venue::{ChainReader, OrderGateway, VenueClock, VenueError},
    },
};
use futures_util::{StreamExt as _, stream};
use polymarket::{JsonRpc, wallets::Finding as Lack};
use reqwest::Client;

use crate::{
    account::{check_wallet, report_of_account, wants},
    doctor::{Verdict, venue},
    venue_clock::ClockSkew,
    wording::dollars,
};

/// How long one question may take.
const ANSWER: Duration = Duration::from_secs(5);
/// Accounts looked at together.
const AT_ONCE: usize = 8;
/// With a clock that is certainly off by more, a follower's age limit lets through what is too old.
const CLOCK_OFF: Duration = Duration::from_secs(10);
/// A newest block that was older at the start is of a provider that lags.
const OLDEST_HEAD: Duration = Duration::from_secs(60);

/// Kinds of faults of an account that may pass by themselves.
pub(super) const UNREAD: &str = "unread";
pub(super) const UNBOOKED: &str = "unbooked";

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

/// One thing that is wrong: its kind stays the same while the figures in its words move.
#[derive(Clone, Debug)]
pub(super) struct Fault(pub(super) &'static str, pub(super) String);

impl Witnesses {
    /// What is wrong for everybody, and what for those accounts that were reached in time.
    pub(super) async fn look(
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
