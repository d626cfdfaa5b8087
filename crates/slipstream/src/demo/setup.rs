//! Followers of a demo: paper accounts with throw-away keys, each with a policy of its own.

use std::{sync::Arc, time::Duration};

use anyhow::Context;
use domain::{
    Address, KeyRef, Price, Timestamp, Usd, WalletKind,
    money::ONE,
    policy::{Caps, MinimumRule, Policy, PriceBand, Sizing},
};
use engine::ports::{
    following::{AccountMode, NewAccount, NewRelationship},
    store::Store,
    venue::Signer,
};
use signer::{Binding, LocalSigner};
use simulator::world::registry::{Standing, Wallet};

use super::control::Control;
use crate::secrets::InstallationSecret;

/// Play money of each follower.
pub const DEPOSIT: Usd = Usd(5_000 * ONE);

/// A named way to follow.
pub struct Style {
    /// Name for people.
    pub name: &'static str,
    /// The policy.
    pub policy: Policy,
}

/// The styles that followers of a demo take turns in.
#[must_use]
pub fn styles() -> Vec<Style> {
    let base = Policy { maximum_age: Duration::from_secs(30), ..Policy::careful() };
    vec![
        Style {
            name: "half, raised to the minimum",
            policy: Policy {
                sizing: Sizing::Ratio(ONE / 2),
                below_minimum: MinimumRule::Raise,
                caps: Caps { order: Some(Usd(50 * ONE)), ..Caps::default() },
                ..base.clone()
            },
        },
        Style { name: "5 $ a trade", policy: Policy { sizing: Sizing::Fixed(Usd(5 * ONE)), ..base.clone() } },
        Style {
            name: "one to one, capped",
            policy: Policy {
                sizing: Sizing::Ratio(ONE),
                caps: Caps {
                    order: Some(Usd(20 * ONE)),
                    market: Some(Usd(60 * ONE)),
                    leader: Some(Usd(300 * ONE)),
                },
                ..base.clone()
            },
        },
        Style { name: "careful tenth", policy: base.clone() },
        Style {
            name: "quarter, tight prices",
            policy: Policy {
                sizing: Sizing::Ratio(ONE / 4),
                below_minimum: MinimumRule::Raise,
                band: PriceBand { from: Price(50_000), to: Price(950_000) },
                slippage_to_leader_bps: 100,
                slippage_to_book_bps: 0,
                ..base
            },
        },
    ]
}

/// A follower of the demo.
#[derive(Clone, Debug)]
pub struct Follower {
    /// Name of its account.
    pub label: String,
    /// Its wallet.
    pub wallet: Address,
    /// Its key's address.
    pub owner: Address,
    /// Kind of wallet.
    pub kind: WalletKind,
    /// Its key.
    pub key: KeyRef,
}

/// The followers of a seed, bound in the signer: the same for the same seed.
///
/// # Errors
/// When the signer refuses.
pub async fn followers(
    count: usize,
    seed: u64,
    secret: &InstallationSecret,
    signer: &Arc<LocalSigner>,
) -> anyhow::Result<Vec<Follower>> {
    let mut followers = Vec::with_capacity(count);
    for number in 0..count {
        let key = KeyRef(format!("demo/{seed}/{number}"));
        let owner = signer.address(&key).await.context("the signer gives no address")?;
        let kind = WalletKind::ALL.get(number % 4).copied().unwrap_or(WalletKind::Eoa);
        let wallet = match kind {
            WalletKind::Eoa => owner,
            _ => {
                let bytes = secret.derive(&[b"wallet", &owner.0]);
                let mut wallet = [0; 20];
                wallet.copy_from_slice(bytes.get(..20).unwrap_or(&[0; 20]));
                Address(wallet)
            }
        };
        signer.bind(key.clone(), Binding { wallet, kind })?;
        followers.push(Follower { label: format!("follower {}", number + 1), wallet, owner, kind, key });
    }
    Ok(followers)
}

/// Registers followers with the simulator and the store, with money, following every leader.
///
/// # Errors
/// When simulator or store refuse.
pub async fn enrol(
    store: &dyn Store,
    control: &Control,
    followers: &[Follower],
    leaders: &[Address],
    now: Timestamp,
) -> anyhow::Result<()> {
    let owner = store.add_owner("demo", now).await?;
    let mut leader_ids = Vec::with_capacity(leaders.len());
    for wallet in leaders {
        leader_ids.push(store.add_leader(*wallet, now).await?);
    }
    let styles = styles();
    for (number, follower) in followers.iter().enumerate() {
        control
            .add_wallet(&Wallet {
                address: follower.wallet,
                owner: follower.owner,
                signature_type: follower.kind.signature_type(),
                approved: true,
                standing: Standing::default(),
            })
            .await?;
        control.credit_usd(follower.wallet, DEPOSIT).await?;
        let style = styles.get(number % styles.len()).context("no styles")?;
        let account = NewAccount {
            label: format!("{} ({})", follower.label, style.name),
            mode: AccountMode::Paper,
            wallet: follower.wallet,
            signer: follower.owner,
            kind: follower.kind,
            key: follower.key.clone(),
            cap: None,
        };
        let account = store.add_account(owner, &account, now).await?;
        store.book_deposit(owner, account, DEPOSIT, now).await?;
        for leader in &leader_ids {
            let relationship = NewRelationship { account, leader: *leader, policy: style.policy.clone() };
            store.add_relationship(owner, &relationship, now).await?;
        }
    }
    Ok(())
}
