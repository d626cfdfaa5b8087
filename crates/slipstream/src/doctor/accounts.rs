//! Accounts: whether the wallet is the key's, what it has, what it lacks, and whether the venue lets its key in.

use std::sync::Arc;

use domain::{Clock, WalletKind};
use eip712::Chain;
use engine::ports::{
    following::{Account, AccountMode},
    reports::Reports as _,
    venue::Signer,
};
use futures_util::future::join_all;
use polymarket::{
    Clob, JsonRpc,
    wallets::{Finding as Lack, WalletReport},
};
use reqwest::Client;
use store::SqlStore;

use super::{
    finding::Finding,
    venue::{login, name},
};
use crate::{
    account::{check_wallet, report_of_account, wants},
    wording::{count, dollars},
};

const AREA: &str = "accounts";

/// What accounts are asked of.
pub(super) struct Witnesses<'a> {
    pub(super) client: &'a Client,
    pub(super) clob_url: &'a str,
    /// Whether the venue answers; if not, it is not asked once more for each account.
    pub(super) venue_answers: bool,
    /// The chain, if there is one.
    pub(super) rpc: Option<Arc<dyn JsonRpc>>,
    /// Who signs logins.
    pub(super) signer: Option<Arc<dyn Signer>>,
    pub(super) clock: &'a Arc<dyn Clock>,
}

impl Witnesses<'_> {
    /// Looks at each account.
    pub(super) async fn look(&self, store: &SqlStore) -> Vec<Finding> {
        let accounts = match store.accounts(None).await {
            Ok(accounts) => accounts,
            Err(error) => {
                return vec![Finding::unknown(
                    (AREA, "accounts"),
                    error.to_string(),
                    "see the database above",
                )];
            }
        };
        let there: Vec<&Account> = accounts.iter().filter(|account| !account.removed).collect();
        if there.is_empty() {
            let fix = "`slipstream account add practice` makes one with play money";
            return vec![Finding::warn((AREA, "accounts"), "there is none", fix)];
        }
        join_all(there.into_iter().map(|account| self.account(account))).await.concat()
    }

    async fn account(&self, account: &Account) -> Vec<Finding> {
        let called = name(&account.trading);
        let books = format!("{} dollars in the books", dollars(account.cash));
        if account.mode == AccountMode::Paper {
            return vec![Finding::ok((AREA, called), format!("play money: {books}"))];
        }
        let trading = &account.trading;
        if trading.kind != WalletKind::Session
            && let Err(error) = check_wallet(trading.signer, trading.wallet, trading.kind)
        {
            let fix = "its orders would be refused: remove the account, and add it again with the key of that wallet";
            return vec![Finding::fail((AREA, format!("{called} funder")), format!("{error:#}"), fix)];
        }
        let (wallet, login) = tokio::join!(self.wallet(account, &books), self.login(account));
        wallet.into_iter().chain(login).collect()
    }

    async fn wallet(&self, account: &Account, books: &str) -> Vec<Finding> {
        let what = (AREA, name(&account.trading));
        let Some(rpc) = &self.rpc else {
            let fix = "name a provider in `rpc_urls` of [chain]";
            return vec![Finding::unknown(what, "what its wallet has and lacks: no chain to ask", fix)];
        };
        match report_of_account(rpc.as_ref(), &account.trading, self.clock.now()).await {
            Ok(report) => self.found(account, &report, books),
            Err(error) => {
                vec![Finding::unknown(
                    what,
                    format!("what its wallet has and lacks: {error:#}"),
                    "see the chain above",
                )]
            }
        }
    }

    fn found(&self, account: &Account, report: &WalletReport, books: &str) -> Vec<Finding> {
        let called = name(&account.trading);
        let used = report.used;
        let seen = format!("wallet {} has {} pUSD; {books}", used.wallet, dollars(used.dollars));
        let mut findings = vec![Finding::ok((AREA, called.clone()), seen)];
        for (finding, lack, remedy) in by_remedy(report) {
            let fix = match remedy.strip_prefix("--") {
                Some(_) => format!("`slipstream account check {} {remedy}`", account.trading.id),
                None => remedy,
            };
            let what = (AREA, format!("{called} wallet"));
            // An EOA trades without gas, once its approvals are there; it cannot redeem.
            findings.push(match finding {
                Lack::NoGas if report.missing.len() == 1 => {
                    Finding::warn(what, format!("{lack}: winnings wait"), fix)
                }
                _ => Finding::fail(what, lack, fix),
            });
        }
        findings
    }

    async fn login(&self, account: &Account) -> Option<Finding> {
        let signer = self.signer.as_ref()?;
        let called = name(&account.trading);
        if !self.venue_answers {
            let fix = "see the venue above";
            return Some(Finding::unknown(
                (AREA, format!("{called} login")),
                "the venue does not answer",
                fix,
            ));
        }
        let (client, signer, clock) = (self.client.clone(), Arc::clone(signer), Arc::clone(self.clock));
        let clob = Clob::new(client, self.clob_url, Chain::Polygon, signer, clock);
        Some(login(&clob, &account.trading).await)
    }
}

/// What is missing and what helps, once for each remedy: a dozen approvals are given by one command.
fn by_remedy(report: &WalletReport) -> Vec<(Lack, String, String)> {
    let mut found: Vec<(Lack, Vec<String>, String)> = Vec::new();
    for lack in &report.missing {
        let (what, remedy) = wants(*lack, report.used);
        match found.iter_mut().find(|(_, _, known)| *known == remedy) {
            Some((_, lacks, _)) => lacks.push(what),
            None => found.push((*lack, vec![what], remedy)),
        }
    }
    let told = |lacks: &[String]| match lacks {
        [one] => one.clone(),
        many => format!("{} are missing: {}", count(many.len(), "thing"), many.join("; ")),
    };
    found.into_iter().map(|(lack, lacks, remedy)| (lack, told(&lacks), remedy)).collect()
}

#[cfg(test)]
mod tests {
    use domain::{Address, Usd};
    use polymarket::wallets::Candidate;

    use super::*;

    #[test]
    fn what_one_command_gives_is_told_once() {
        let address = Address([7; 20]);
        let approvals = [1, 2, 3].map(|number| Lack::Dollars { spender: Address([number; 20]) });
        let used = Candidate { wallet: address, kind: WalletKind::Eoa, deployed: true, dollars: Usd(0) };
        let missing = [&approvals[..], &[Lack::NoMoney]].concat();
        let report = WalletReport { candidates: vec![used], used, missing, until: None };
        let told = by_remedy(&report);
        assert_eq!(told.len(), 2);
        assert!(
            told[0].1.starts_with("3 things are missing: 0x0101") && told[0].2 == "--approve",
            "{told:?}"
        );
    }
}
