//! Followers with (simulated) real money: accounts as `slipstream account add --live` and `arm` make them, each of which
//! follows every leader.

use std::{path::PathBuf, sync::Arc};

use anyhow::Context;
use domain::{
    Address, Clock, Usd, WalletKind,
    ids::AccountId,
    money::ONE,
    policy::{MinimumRule, Policy, Sizing},
};
use engine::ports::{
    following::{Following as _, NewRelationship},
    reports::Reports as _,
    store::Store,
};
use signer::{Caps, PrivateKey, encrypt_for};
use simulator::world::registry::{Standing, Wallet};
use store::SqlStore;

use super::stack::Stack;
use crate::{
    account::{AccountRequest, EncryptedKey, Keyring, KeyringParts, Opening, answer_request},
    configuration::Configuration,
    place::Place,
    secrets::InstallationSecret,
};

/// What each follower has.
pub(super) const DEPOSIT: Usd = Usd(1_000_000 * ONE);
/// What each copy of a buy takes. Half of what that buys can still be sold.
const STAKE: Usd = Usd(10 * ONE);
/// Whole POL for gas.
const GAS: u32 = 100;
/// What each account is armed for.
const CAPS: Caps = Caps { order: Usd(1_000 * ONE), day: Usd(1_000_000 * ONE) };
/// Name of the data directory that accounts are made from.
const HOME: &str = "setup";

/// Makes them at the venue and in the installation; their wallets, and where the installation's secret is.
pub(super) async fn enrol(
    stack: &Stack,
    (count, seed): (usize, u64),
    leaders: &[Address],
    clock: &Arc<dyn Clock>,
) -> anyhow::Result<(Vec<Address>, PathBuf)> {
    let configuration = Configuration::load(Some(&stack.configuration()), [])?;
    let home = stack.home(HOME);
    std::fs::create_dir_all(&home).with_context(|| format!("cannot make {}", home.display()))?;
    let place = Place::of(&configuration, Some(&home))?;
    let held = place.hold("init", clock).await?;
    let store = &held.store;
    let secret = InstallationSecret::of_installation(&home, store).await?;
    let parts = KeyringParts {
        directory: &home,
        secret: &secret,
        store: Arc::clone(store) as _,
        opening: Opening::At(stack.home("signer.sock")),
        live: true,
        clock: Arc::clone(clock),
    };
    let keyring = Keyring::open(parts).await?;
    let desk = Desk { stack, store, keyring: &keyring, clock: clock.as_ref() };
    let public = desk.ask(&AccountRequest::PublicKey).await?;
    let public = public["public_key"].as_str().unwrap_or_default().to_owned();
    let keys = InstallationSecret::of_seed(seed);
    let mut wallets = Vec::with_capacity(count);
    let now = clock.now();
    let mut leader_ids = Vec::with_capacity(leaders.len());
    for wallet in leaders {
        leader_ids.push(store.add_leader(*wallet, now).await?);
    }
    let policy = Policy {
        sizing: Sizing::Fixed(STAKE),
        below_minimum: MinimumRule::Raise,
        slippage_to_book_bps: 500,
        ..Policy::careful()
    };
    let mut owner = None;
    for number in 0..count {
        let bytes = keys.derive(&[b"chaos key", &number.to_be_bytes()]);
        let key = PrivateKey::parse(hex::encode(bytes).as_bytes()).context("a key of the seed")?;
        let (account, wallet) = desk.add(number, &key, &public).await?;
        let owner = match owner {
            Some(owner) => owner,
            None => *owner.insert(store.accounts(None).await?.first().context("no account was made")?.owner),
        };
        for leader in &leader_ids {
            let new = NewRelationship { account, leader: *leader, policy: policy.clone() };
            store.add_relationship(owner, &new, now).await?;
        }
        wallets.push(wallet);
    }
    store.close().await?;
    Ok((wallets, home))
}

/// Makes accounts.
struct Desk<'a> {
    stack: &'a Stack,
    store: &'a Arc<SqlStore>,
    keyring: &'a Keyring,
    clock: &'a dyn Clock,
}

impl Desk<'_> {
    async fn ask(&self, request: &AccountRequest) -> anyhow::Result<serde_json::Value> {
        let store: &dyn Store = self.store.as_ref();
        Ok(answer_request(self.keyring, store, self.clock, request).await?.json)
    }

    /// A wallet at the venue, with money, and its armed account.
    async fn add(
        &self,
        number: usize,
        key: &PrivateKey,
        public: &str,
    ) -> anyhow::Result<(AccountId, Address)> {
        let eoa = key.address();
        let (wallet, kind) = wallet_of(number, eoa);
        let control = &self.stack.control;
        let added = Wallet {
            address: wallet,
            owner: eoa,
            signature_type: kind.signature_type(),
            approved: true,
            standing: Standing::default(),
        };
        control.add_wallet(&added).await?;
        control.credit_usd(wallet, DEPOSIT).await?;
        control.credit_pol(eoa, GAS).await?;
        let label = format!("follower-{number}");
        let key = EncryptedKey::of(&encrypt_for(public, key).context("a key cannot be encrypted")?);
        let add = AccountRequest::AddLive { label: label.clone(), key, wallet, kind, until: None, cap: None };
        let made = self.ask(&add).await?;
        let account: AccountId = serde_json::from_value(made["account"].clone())?;
        // Which books what the wallet has.
        self.ask(&AccountRequest::Arm { account: label, caps: CAPS, money: Some(DEPOSIT) }).await?;
        Ok((account, wallet))
    }
}

/// Followers take turns in the kinds of wallets.
fn wallet_of(number: usize, eoa: Address) -> (Address, WalletKind) {
    match number % 3 {
        0 => (eoa, WalletKind::Eoa),
        1 => (polymarket::wallets::safe(eoa), WalletKind::Safe),
        _ => (polymarket::wallets::proxy_wallet(eoa), WalletKind::Proxy),
    }
}
