//! What is asked of whoever holds the accounts: the running process, or the command itself when none runs. Private keys
//! come encrypted for the installation's public key, whoever sent them.

use anyhow::{Context, ensure};
use domain::{
    Address, Clock, KeyRef, Timestamp, Usd, WalletKind,
    ids::{AccountId, OwnerId},
};
use engine::ports::{
    following::{Account, AccountMode, NewAccount},
    store::Store,
};
use serde::{Deserialize, Serialize};
use serde_json::json;
use signer::{Binding, Caps, KeyUse};

use super::{
    add::{all_wrong, check_wallet},
    arm::fees_besides,
    encrypted_key::EncryptedKey,
    keyring::{Keyring, live_key},
    named,
};
use crate::{
    commands::Answer,
    run::funding::book_first,
    screen::{Style, table},
    wording::{dollars, shares},
};

/// The least that can be sold, in millionths of a share.
const LOT: i64 = 10_000;
/// Letters of a label.
const LABEL_LETTERS: usize = 40;

/// What can be asked.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum AccountRequest {
    /// All accounts.
    List {
        /// How the text looks.
        style: Style,
    },
    /// What speaks against a label for a new one.
    MistakesOf {
        /// Its name.
        label: String,
    },
    /// For whom to encrypt a private key.
    PublicKey,
    /// The address of an encrypted private key.
    AddressOf(EncryptedKey),
    /// Add one with play money.
    AddPaper {
        /// Its name.
        label: String,
        /// Its money.
        cash: Usd,
        /// The most at risk.
        cap: Option<Usd>,
    },
    /// Add one with real money.
    AddLive {
        /// Its name.
        label: String,
        /// Its key.
        key: EncryptedKey,
        /// The wallet that holds the money.
        wallet: Address,
        /// How it checks signatures.
        kind: WalletKind,
        /// Until when its owner lets a session key sign.
        until: Option<Timestamp>,
        /// The most at risk.
        cap: Option<Usd>,
    },
    /// Another key for one that is there.
    Rekey {
        /// Its name or number.
        account: String,
        /// Its key.
        key: EncryptedKey,
        /// Until when its owner lets a session key sign.
        until: Option<Timestamp>,
    },
    /// Let one trade, within caps.
    Arm {
        /// Its name or number.
        account: String,
        /// What it may spend.
        caps: Caps,
        /// What its wallet holds, as far as somebody has looked.
        money: Option<Usd>,
    },
    /// Let one trade no more.
    Disarm {
        /// Its name or number.
        account: String,
    },
    /// Erase its key.
    Remove {
        /// Its name or number.
        account: String,
        /// Also while it holds shares, which nobody here sells then.
        leave_shares: bool,
    },
}

/// An account as it is listed.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct AccountLine {
    /// Its number.
    pub id: AccountId,
    /// Its name.
    pub label: String,
    /// Paper or live.
    pub mode: AccountMode,
    /// Whether it may trade: `paper`, `armed`, `not armed`, `sealed`.
    pub state: String,
    /// The wallet.
    pub wallet: Address,
    /// Its kind.
    pub kind: WalletKind,
    /// Until when its session key may sign.
    pub until: Option<Timestamp>,
    /// The key's address.
    pub signer: Address,
    /// What the books say it has.
    pub cash: Usd,
    /// The most at risk.
    pub cap: Option<Usd>,
    /// What it may spend.
    pub caps: Option<Caps>,
    /// What was signed for today.
    pub spent: Option<Usd>,
}

impl AccountLine {
    pub(crate) async fn of(account: &Account, keyring: &Keyring) -> anyhow::Result<Self> {
        let standing = match account.mode {
            AccountMode::Paper => None,
            AccountMode::Live => keyring.standing(&account.trading.key).await?,
        };
        let state = match (account.mode, standing) {
            (AccountMode::Paper, _) => "paper",
            (AccountMode::Live, None) => "sealed",
            (AccountMode::Live, Some(standing)) if standing.caps.is_some() => "armed",
            (AccountMode::Live, Some(_)) => "not armed",
        };
        let until = match account.trading.kind {
            WalletKind::Session => keyring.end_of(&account.trading.key).await?,
            _ => None,
        };
        Ok(Self {
            id: account.trading.id,
            label: account.label.clone(),
            mode: account.mode,
            state: state.to_owned(),
            wallet: account.trading.wallet,
            kind: account.trading.kind,
            until,
            signer: account.trading.signer,
            cash: account.cash,
            cap: account.cap,
            caps: standing.and_then(|standing| standing.caps),
            spent: standing.map(|standing| standing.spent),
        })
    }

    fn cells(&self) -> Vec<String> {
        let may = match (&self.caps, self.spent) {
            (Some(caps), Some(spent)) => {
                format!("{} an order, {} of {} today", dollars(caps.order), dollars(spent), dollars(caps.day))
            }
            _ => String::new(),
        };
        let may = match self.until {
            Some(until) => format!("{may}  session key until {until}").trim_start().to_owned(),
            None => may,
        };
        let Self { id, label, state, wallet, cash, .. } = self;
        vec![id.to_string(), label.clone(), state.clone(), wallet.to_string(), dollars(*cash), may]
    }
}

/// Answers one.
///
/// # Errors
/// In words, with what to do.
pub async fn answer(
    keyring: &Keyring,
    store: &dyn Store,
    clock: &dyn Clock,
    request: &AccountRequest,
) -> anyhow::Result<Answer> {
    let desk = Answering { keyring, store, now: clock.now(), whose: None };
    match request {
        AccountRequest::List { style } => desk.list(*style).await,
        AccountRequest::MistakesOf { label } => {
            let wrong = desk.mistakes_of(label, None).await?;
            Ok(said(wrong.join("\n"), json!(wrong)))
        }
        AccountRequest::PublicKey => {
            let key = keyring.keeper()?.public_key().await?;
            keyring.begin().await?;
            Ok(said(key.clone(), json!({ "public_key": key })))
        }
        AccountRequest::AddressOf(key) => {
            let address = keyring.keeper()?.address_of(&file_of(key)?).await?;
            Ok(said(address.to_string(), json!({ "address": address })))
        }
        AccountRequest::AddPaper { label, cash, cap } => desk.add_paper(label, *cash, *cap).await,
        AccountRequest::AddLive { label, key, wallet, kind, until, cap } => {
            desk.add_live(label, key, Binding { wallet: *wallet, kind: *kind, until: *until }, *cap).await
        }
        AccountRequest::Rekey { account, key, until } => desk.rekey(account, key, *until).await,
        AccountRequest::Arm { account, caps, money } => desk.arm(account, *caps, *money).await,
        AccountRequest::Disarm { account } => desk.disarm(account).await,
        AccountRequest::Remove { account, leave_shares } => desk.remove(account, *leave_shares).await,
    }
}

/// Another account with play money, of this owner.
///
/// # Errors
/// In words, with what to do.
pub async fn add_paper(
    keyring: &Keyring,
    (store, now): (&dyn Store, Timestamp),
    whose: Option<OwnerId>,
    (label, cash, cap): (&str, Usd, Option<Usd>),
) -> anyhow::Result<Answer> {
    Answering { keyring, store, now, whose }.add_paper(label, cash, cap).await
}

/// Answers, with what it takes.
pub(super) struct Answering<'a> {
    pub(super) keyring: &'a Keyring,
    store: &'a dyn Store,
    pub(super) now: Timestamp,
    /// Whose a new account is; that of the others without it.
    whose: Option<OwnerId>,
}

impl Answering<'_> {
    async fn accounts(&self) -> anyhow::Result<Vec<Account>> {
        Ok(self.store.accounts(None).await?.into_iter().filter(|account| !account.removed).collect())
    }

    async fn find(&self, name: &str) -> anyhow::Result<Account> {
        named(self.accounts().await?, name)
    }

    pub(super) async fn find_live(&self, name: &str) -> anyhow::Result<Account> {
        let account = self.find(name).await?;
        ensure!(
            account.mode == AccountMode::Live,
            "account `{}` has play money: it trades without being armed",
            account.label
        );
        Ok(account)
    }

    async fn owner(&self) -> anyhow::Result<OwnerId> {
        if let Some(owner) = self.whose {
            return Ok(owner);
        }
        match self.store.accounts(None).await?.first() {
            Some(account) => Ok(account.owner),
            None => Ok(self.store.add_owner("owner", self.now).await?),
        }
    }

    async fn list(&self, style: Style) -> anyhow::Result<Answer> {
        let accounts = self.accounts().await?;
        let mut lines = Vec::with_capacity(accounts.len());
        for account in &accounts {
            lines.push(AccountLine::of(account, self.keyring).await?);
        }
        let columns = [">no", "account", "state", "~wallet", ">cash", "*may spend"];
        let text = match lines.is_empty() {
            true => {
                "there is no account; `slipstream account add LABEL` makes one with play money".to_owned()
            }
            false => table(style, &columns, lines.iter().map(AccountLine::cells)),
        };
        Ok(said(text, serde_json::to_value(lines)?))
    }

    async fn check_new(&self, label: &str, wallet: Option<Address>) -> anyhow::Result<()> {
        let wrong = self.mistakes_of(label, wallet).await?;
        if wrong.is_empty() { Ok(()) } else { Err(all_wrong(&wrong)) }
    }

    /// What is wrong with a new account, all of it.
    async fn mistakes_of(&self, label: &str, wallet: Option<Address>) -> anyhow::Result<Vec<String>> {
        let mut wrong = Vec::new();
        let letters = label.chars().count();
        if !(1..=LABEL_LETTERS).contains(&letters)
            || label.chars().any(char::is_control)
            || label.trim() != label
        {
            wrong.push(format!("a label has 1 to {LABEL_LETTERS} letters, without blanks around them"));
        }
        if label.parse::<i64>().is_ok() {
            wrong.push("a label is no number: that is what accounts have besides".to_owned());
        }
        for account in self.accounts().await? {
            if account.label == label {
                wrong.push(format!(
                    "account {} is called `{label}` already; take another label",
                    account.trading.id
                ));
            }
            if Some(account.trading.wallet) == wallet {
                wrong.push(format!(
                    "wallet {} is that of account `{}` already",
                    account.trading.wallet, account.label
                ));
            }
        }
        Ok(wrong)
    }

    async fn add_paper(&self, label: &str, cash: Usd, cap: Option<Usd>) -> anyhow::Result<Answer> {
        self.check_new(label, None).await?;
        ensure!(cash.is_positive(), "an account with play money begins with some: --money above 0");
        // One more than there ever were: keys of removed accounts are not used again.
        let number = self.store.accounts(None).await?.len() + 1;
        let key = KeyRef(format!("paper:{label}:{number}"));
        let address = self.keyring.signer().address(&key).await?;
        let owner = self.owner().await?;
        let account = NewAccount {
            label: label.to_owned(),
            mode: AccountMode::Paper,
            wallet: address,
            signer: address,
            kind: WalletKind::Eoa,
            key,
            cap,
        };
        let id = self.store.add_account(owner, &account, self.now).await?;
        self.store.book_deposit(owner, id, cash, self.now).await?;
        let text = format!("account {id} `{label}` has {} dollars of play money", dollars(cash));
        Ok(said(
            text,
            json!({ "account": id, "label": label, "mode": "paper", "wallet": address, "cash": cash }),
        ))
    }

    async fn add_live(
        &self,
        label: &str,
        key: &EncryptedKey,
        Binding { wallet, kind, until }: Binding,
        cap: Option<Usd>,
    ) -> anyhow::Result<Answer> {
        self.check_new(label, Some(wallet)).await?;
        let (keeper, file) = (self.keyring.keeper()?, file_of(key)?);
        let signer = keeper.address_of(&file).await?;
        // Whose a session key's wallet is was read from the chain; were it wrong, the venue would refuse its orders.
        if kind == WalletKind::Session {
            ensure!(
                until.is_some_and(|until| until > self.now),
                "wallet {wallet} does not let this key trade now; its owner must authorise it. Nothing was stored"
            );
        } else {
            check_wallet(signer, wallet, kind)?;
        }
        self.keyring.begin().await?;
        let owner = self.owner().await?;
        let (name, version) = (live_key(wallet), self.now.0);
        let purpose = KeyUse { owner, name, wallet, kind, until, version };
        let sealed = keeper.seal(&file, &purpose).await?;
        // Whatever was said of this wallet before: a key that comes is not armed.
        keeper.disarm(&purpose.name).await?;
        let account = NewAccount {
            label: label.to_owned(),
            mode: AccountMode::Live,
            wallet,
            signer,
            kind,
            key: purpose.name,
            cap,
        };
        let id = self.keyring.store().add_keyed_account(owner, &account, &sealed, self.now).await?;
        self.keyring.take(sealed).await?;
        let text = format!(
            "account {id} `{label}` is there, its key sealed. It trades once `enabled = true` stands in [live] and \
             `slipstream account arm {label}` was confirmed"
        );
        let json = json!({
            "account": id, "label": label, "mode": "live", "wallet": wallet, "kind": kind, "signer": signer,
        });
        Ok(said(text, json))
    }

    async fn arm(&self, name: &str, caps: Caps, money: Option<Usd>) -> anyhow::Result<Answer> {
        let account = self.find_live(name).await?;
        let id = account.trading.id;
        // Before it may trade: its first trade finds what there is to spend.
        let booked = match money {
            Some(money) => book_first(self.store, self.now, id, money).await?,
            None => false,
        };
        self.keyring.keeper()?.arm(&account.trading.key, caps).await?;
        let line = AccountLine::of(&self.find_live(name).await?, self.keyring).await?;
        let mut text = format!(
            "account `{}` is armed: at most {} dollars in an order and {} in a day (UTC), and on top of that {}; `slipstream \
             account disarm {}` ends it at once",
            account.label,
            dollars(caps.order),
            dollars(caps.day),
            fees_besides(&caps)?,
            account.label
        );
        if let Some(money) = money.filter(|_| booked) {
            text.push_str(&format!("\n{} $ of its wallet are booked as a deposit", dollars(money)));
        }
        Ok(said(text, serde_json::to_value(line)?))
    }

    async fn disarm(&self, name: &str) -> anyhow::Result<Answer> {
        let account = self.find_live(name).await?;
        self.keyring.keeper()?.disarm(&account.trading.key).await?;
        let line = AccountLine::of(&account, self.keyring).await?;
        let text = format!(
            "account `{}` is not armed: from now on no order and no redemption is signed for it",
            account.label
        );
        Ok(said(text, serde_json::to_value(line)?))
    }

    async fn remove(&self, name: &str, leave_shares: bool) -> anyhow::Result<Answer> {
        let account = self.find(name).await?;
        if account.mode == AccountMode::Live && !leave_shares {
            self.holds_nothing(&account).await?;
        }
        let key = &account.trading.key;
        if account.mode == AccountMode::Live {
            // Whoever keeps the keys must be there to be told.
            self.keyring.keeper()?.header().await?;
        }
        // What is refused here leaves the account as it was, armed too.
        self.store_remove(&account).await?;
        if account.mode == AccountMode::Live {
            let told = "the account is removed, and the signer could not be told; stop it";
            self.keyring.keeper()?.disarm(key).await.context(told)?;
        }
        self.keyring.forget(key).await?;
        let text = format!("account `{}` and its key are removed; its books stay", account.label);
        Ok(said(text, json!({ "account": account.trading.id, "label": account.label, "removed": true })))
    }

    /// Whether an account may go without leaving shares that nobody here sells.
    async fn holds_nothing(&self, account: &Account) -> anyhow::Result<()> {
        let held = self.store.positions(None).await?;
        let held: Vec<String> = held
            .iter()
            .filter(|held| held.account == account.trading.id && held.position.shares.0 >= LOT)
            .map(|held| format!("{} of {}", shares(held.position.shares), held.token))
            .collect();
        ensure!(
            held.is_empty(),
            "account `{0}` holds shares that nobody here would sell then: {1}. `slipstream panic --account {0} --sell` sells \
             them; with --leave-shares it is removed all the same",
            account.label,
            held.join(", ")
        );
        Ok(())
    }

    async fn store_remove(&self, account: &Account) -> anyhow::Result<()> {
        Ok(self.keyring.store().remove_account(account.owner, account.trading.id, self.now).await?)
    }
}

pub(super) fn file_of(key: &EncryptedKey) -> anyhow::Result<Vec<u8>> {
    hex::decode(&key.0).ok().context("the encrypted key is no hex")
}

pub(super) fn said(text: String, json: serde_json::Value) -> Answer {
    Answer { text, json, ok: true }
}
