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

use super::{Options, control::Control, live::LiveLeader};
use crate::{
    cli::DemoArgs,
    configuration::{Configuration, Mistakes, keys::FollowerSettings},
    secrets::InstallationSecret,
};

/// Play money of each follower.
pub const DEPOSIT: Usd = Usd(5_000 * ONE);

/// What a demo is asked for: flags win over the configuration.
///
/// # Errors
/// When a flag contradicts the configuration.
pub fn options(arguments: &DemoArgs, configuration: Configuration) -> Result<Options, Mistakes> {
    let followers = configuration.follower_count(arguments.followers)?;
    let Configuration { demo, engine, venue, followers: described, .. } = configuration;
    Ok(Options {
        speed: u32::from(arguments.speed.unwrap_or(demo.speed)),
        followers: usize::from(followers),
        styles: if described.is_empty() { built_in_styles() } else { described },
        seed: arguments.seed.unwrap_or(demo.seed),
        faults: arguments.faults.unwrap_or(demo.faults),
        tape: arguments.tape.clone().or(demo.tape),
        synthetic_exits: arguments.synthetic_exits.unwrap_or(demo.synthetic_exits),
        data_dir: arguments.data_dir.clone().or(demo.data_dir),
        workers: usize::from(engine.workers),
        history_interval: engine.history_interval,
        channel_url: engine.channel_url,
        live_url: engine.live_url,
        venue,
        leader: arguments.leader.map(|wallet| LiveLeader {
            wallet,
            data_url: arguments.data_url.clone(),
            clob_url: arguments.clob_url.clone(),
        }),
        simulator: arguments.simulator.clone(),
    })
}

/// The styles that followers take turns in where the configuration describes none.
#[must_use]
pub fn built_in_styles() -> Vec<FollowerSettings> {
    let base = Policy { maximum_age: Duration::from_secs(30), ..Policy::careful() };
    let style = |name: &str, policy| FollowerSettings { name: name.to_owned(), policy, cap_account: None };
    vec![
        style(
            "half, raised to the minimum",
            Policy {
                sizing: Sizing::Ratio(ONE / 2),
                below_minimum: MinimumRule::Raise,
                caps: Caps { order: Some(Usd(50 * ONE)), ..Caps::default() },
                ..base.clone()
            },
        ),
        style("5 $ a trade", Policy { sizing: Sizing::Fixed(Usd(5 * ONE)), ..base.clone() }),
        style(
            "one to one, capped",
            Policy {
                sizing: Sizing::Ratio(ONE),
                caps: Caps {
                    order: Some(Usd(20 * ONE)),
                    market: Some(Usd(60 * ONE)),
                    leader: Some(Usd(300 * ONE)),
                },
                ..base.clone()
            },
        ),
        style("careful tenth", base.clone()),
        style(
            "quarter, tight prices",
            Policy {
                sizing: Sizing::Ratio(ONE / 4),
                below_minimum: MinimumRule::Raise,
                band: PriceBand { from: Price(50_000), to: Price(950_000) },
                slippage_to_leader_bps: 100,
                slippage_to_book_bps: 0,
                ..base
            },
        ),
    ]
}

/// POL of each follower that pays for gas itself.
const GAS_MONEY: u32 = 10;

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
        signer.bind(key.clone(), Binding { wallet, kind, until: None })?;
        followers.push(Follower { label: format!("follower {}", number + 1), wallet, owner, kind, key });
    }
    Ok(followers)
}

/// Registers followers with the simulator and the store, with money, following every leader, taking turns
/// in `styles`.
///
/// # Errors
/// When simulator or store refuse.
pub async fn enrol(
    store: &dyn Store,
    control: &Control,
    followers: &[Follower],
    styles: &[FollowerSettings],
    leaders: &[Address],
    now: Timestamp,
) -> anyhow::Result<()> {
    let owner = store.add_owner("demo", now).await?;
    let mut leader_ids = Vec::with_capacity(leaders.len());
    for wallet in leaders {
        leader_ids.push(store.add_leader(*wallet, now).await?);
    }
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
        if follower.kind == WalletKind::Eoa {
            control.credit_pol(follower.wallet, GAS_MONEY).await?;
        }
        let style = styles.iter().cycle().nth(number).context("no styles")?;
        let account = NewAccount {
            label: format!("{} ({})", follower.label, style.name),
            mode: AccountMode::Paper,
            wallet: follower.wallet,
            signer: follower.owner,
            kind: follower.kind,
            key: follower.key.clone(),
            cap: style.cap_account,
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

#[cfg(test)]
mod tests {
    use std::path::Path;

    use clap::Parser;

    use super::*;
    use crate::{
        cli::{Cli, Command},
        configuration::{Variables, read},
    };

    fn asked(flags: &[&str], file: &str) -> Options {
        let arguments = ["slipstream", "demo"].into_iter().chain(flags.iter().copied());
        let Command::Demo(arguments) = Cli::parse_from(arguments).command else { panic!("not a demo") };
        options(&arguments, read("", Path::new(""), file, &Variables::new()).unwrap()).unwrap()
    }

    #[test]
    fn flags_win_over_the_configuration() {
        let file = "
            demo.speed = 60
            demo.seed = 4
            demo.faults = true
            demo.followers = 3
            demo.data_dir = 'there'
            engine.workers = 7
            engine.history_interval = '9s'
            ";
        let file = asked(&[], file);
        assert_eq!((file.speed, file.seed, file.faults, file.followers), (60, 4, true, 3));
        assert_eq!(file.data_dir.as_deref(), Some(Path::new("there")));
        assert_eq!((file.workers, file.history_interval), (7, Some(Duration::from_secs(9))));
        let flags = ["--speed=9", "--seed=8", "--faults=false", "--followers=6", "--data-dir=here"];
        let flags =
            asked(&flags, "demo.speed = 60\ndemo.seed = 4\ndemo.faults = true\ndemo.data_dir = 'there'");
        assert_eq!((flags.speed, flags.seed, flags.faults, flags.followers), (9, 8, false, 6));
        assert_eq!(flags.data_dir.as_deref(), Some(Path::new("here")));
        assert!(asked(&["--faults"], "").faults);
        let synthetic = |flags: &[&str], file| asked(flags, file).synthetic_exits;
        assert!(!synthetic(&[], "") && synthetic(&["--synthetic-exits"], ""));
        assert!(synthetic(&[], "demo.synthetic_exits = true"));
        assert!(!synthetic(&["--synthetic-exits=false"], "demo.synthetic_exits = true"));
    }

    #[test]
    fn described_followers_stand_in_place_of_the_built_in_ones() {
        let none = asked(&[], "");
        assert_eq!((none.followers, none.styles), (5, built_in_styles()));
        let one = asked(&[], "[[follower]]\nname = 'a'\nfixed = 5");
        assert_eq!((one.followers, one.styles.len(), one.styles[0].name.as_str()), (1, 1, "a"));
    }

    #[test]
    fn the_built_in_policies_are_sound() {
        for style in built_in_styles() {
            assert!(style.policy.mistakes().is_empty(), "{}", style.name);
        }
    }
}
