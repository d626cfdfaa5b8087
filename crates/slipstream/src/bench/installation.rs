//! An installation to measure: a data directory with followers of one leader, and a simulator that knows
//! them. Paper throughout.

use std::{path::Path, sync::Arc, time::Duration};

use domain::{
    Address, Clock, ConditionId, Price, Shares, Side, TokenId, TxHash, Usd,
    money::ONE,
    policy::{Policy, Sizing},
};
use engine::ports::{
    detection::Source,
    feeds::FeedHealth,
    following::{AccountMode, Following as _, NewAccount, NewRelationship},
    store::Store,
};
use signer::LocalSigner;
use simulator::{
    Knobs, SimulatorConfig, WorldHandle,
    world::{
        control::{ForeignFill, ForeignTrade, Level, Levels},
        fees::FeeSchedule,
        ledger::Asset,
        registry::{MarketSpec, Standing, Wallet},
    },
};
use store::SqlStore;

use crate::{
    composition::{Composed, Foundation, Hosts, Pace, derived_signer},
    demo::{
        SimulatorUrls,
        setup::{Follower, followers},
    },
    instance::this_process,
    runtime::{Ports, Runtime, Settings},
    secrets::InstallationSecret,
};

/// The leader everybody follows.
const LEADER: Address = Address([0xa1; 20]);
/// What it trades.
pub(super) const TOKENS: [TokenId; 2] = [TokenId([0x9d; 32]), TokenId([0x9e; 32])];
/// At this price.
const PRICE: Price = Price(ONE / 2);
/// Money of each follower, and what each trade takes of it.
const DEPOSIT: Usd = Usd(10_000 * ONE);
const STAKE: Usd = Usd(5 * ONE);
/// What that buys.
pub(super) const SHARES: Shares = Shares(10 * ONE);
/// Trades that the money is enough for.
pub(super) const MOST_TRADES: usize = 2_000;
/// How long detection may take to start.
const START_PATIENCE: Duration = Duration::from_secs(30);

/// A simulator that costs as little as possible: no signatures checked, blocks only when told.
pub(super) fn quiet() -> SimulatorConfig {
    let knobs = Knobs { verify_signatures: false, ..Knobs::default() };
    SimulatorConfig { block_interval_ms: 0, knobs, ..SimulatorConfig::default() }
}

/// Throw-away keys and the signer that has them.
pub(super) struct Keys {
    seed: u64,
    secret: Arc<InstallationSecret>,
    pub(super) signer: Arc<LocalSigner>,
}

impl Keys {
    /// The keys of a seed.
    pub(super) fn of_seed(seed: u64) -> Self {
        let secret = Arc::new(InstallationSecret::of_seed(seed));
        let signer = derived_signer(&secret);
        Self { seed, secret, signer }
    }

    /// The first `count` followers, opened and bound in the signer.
    pub(super) async fn followers(&self, count: usize) -> anyhow::Result<Vec<Follower>> {
        followers(count, self.seed, &self.secret, &self.signer).await
    }
}

/// Fills a fresh data directory with followers of the leader, each with money. The commits of this set-up
/// do not wait for the disk; one wait at the end makes them durable.
pub(super) async fn fill(file: &Path, followers: &[Follower], clock: &Arc<dyn Clock>) -> anyhow::Result<()> {
    let store = SqlStore::open_unsynced(file, Arc::clone(clock)).await?;
    enrol(&store, followers, &[(LEADER, followers.len())], clock.as_ref()).await?;
    drop(store);
    rustix::fs::sync();
    Ok(())
}

/// Makes followers with money in the books. Each leader is followed by the first so many of them.
pub(super) async fn enrol(
    store: &SqlStore,
    followers: &[Follower],
    leaders: &[(Address, usize)],
    clock: &dyn Clock,
) -> anyhow::Result<()> {
    // Trades are dated in whole seconds: none of this second may look older than its followers.
    let now = domain::Timestamp::from_seconds(clock.now().seconds());
    let owner = store.add_owner("bench", now).await?;
    let policy = Policy {
        sizing: Sizing::Fixed(STAKE),
        // The first round waits for a login of every follower.
        maximum_age: Duration::from_secs(600),
        ..Policy::careful()
    };
    let mut accounts = Vec::with_capacity(followers.len());
    for follower in followers {
        let account = NewAccount {
            label: follower.label.clone(),
            mode: AccountMode::Paper,
            wallet: follower.wallet,
            signer: follower.owner,
            kind: follower.kind,
            key: follower.key.clone(),
            cap: None,
        };
        let account = store.add_account(owner, &account, now).await?;
        store.book_deposit(owner, account, DEPOSIT, now).await?;
        accounts.push(account);
    }
    for (wallet, count) in leaders {
        let leader = store.add_leader(*wallet, now).await?;
        for account in accounts.iter().take(*count) {
            let new = NewRelationship { account: *account, leader, policy: policy.clone() };
            store.add_relationship(owner, &new, now).await?;
        }
    }
    Ok(())
}

/// Makes the leader's market, with a book that no number of followers empties, and gives the followers
/// their money.
pub(super) fn furnish(world: &WorldHandle, followers: &[Follower]) -> anyhow::Result<()> {
    let market = MarketSpec {
        condition: ConditionId::from_slice(&[0x0c; 32])?,
        tokens: TOKENS,
        outcomes: ["Yes".to_owned(), "No".to_owned()],
        tick: Price(ONE / 100),
        min_size: Shares(5 * ONE),
        neg_risk: false,
        fee: FeeSchedule::default(),
        title: String::new(),
        slug: String::new(),
        event_slug: String::new(),
        end_date: String::new(),
    };
    let offer = Level { price: PRICE, shares: Shares(1_000_000_000 * ONE) };
    let [token, _] = TOKENS;
    world.with(|world, now| {
        world.add_market(market)?;
        world.set_levels(&Levels { token, bids: Vec::new(), asks: vec![offer], extend: false })?;
        for follower in followers {
            world.add_wallet(Wallet {
                address: follower.wallet,
                owner: follower.owner,
                signature_type: follower.kind.signature_type(),
                approved: true,
                standing: Standing::default(),
            })?;
            world.credit(follower.wallet, Asset::Collateral, DEPOSIT.0);
        }
        world.mine(now);
        // One without their deposits on top: a head that lists thousands of transactions would be read again
        // and again.
        world.mine(now);
        anyhow::Ok(())
    })
}

/// The leader's trade number `number`, mined at once.
pub(super) fn lead(world: &WorldHandle, number: usize) -> anyhow::Result<()> {
    lead_by(world, LEADER, number)
}

/// The same by another leader; no two trades have the same number.
pub(super) fn lead_by(world: &WorldHandle, leader: Address, number: usize) -> anyhow::Result<()> {
    let [token, _] = TOKENS;
    let mut hash = [0x7a; 32];
    for (to, from) in hash.iter_mut().zip(number.to_be_bytes()) {
        *to = from;
    }
    let fill = ForeignFill {
        wallet: leader,
        token,
        side: Side::Buy,
        price: PRICE,
        shares: Shares(100 * ONE),
        maker: false,
    };
    world.with(|world, now| {
        world.foreign_trade(&ForeignTrade { tx_hash: TxHash(hash), fills: vec![fill], moves: Vec::new() })?;
        world.mine(now);
        anyhow::Ok(())
    })
}

/// Longer than anything here takes: nobody asks unless there is a reason.
const NEVER: Duration = Duration::from_secs(3_600);

/// How the engine hears of trades.
#[derive(Clone, Copy)]
pub(super) enum By {
    /// From the chain.
    Chain,
    /// From the live feed; the history is asked only when that makes it so.
    LiveFeed,
}

/// What an engine needs of the world, and how often it asks for leaders' histories.
pub(super) fn ports(
    by: By,
    store: Arc<dyn Store>,
    urls: &SimulatorUrls,
    keys: &Keys,
    clock: &Arc<dyn Clock>,
) -> anyhow::Result<(Ports, Duration)> {
    let foundation = Foundation {
        client: polymarket::local_client()?,
        clock: Arc::clone(clock),
        store,
        signer: Arc::clone(&keys.signer) as _,
        salts: Arc::clone(&keys.secret) as _,
        seed: 1,
    };
    let hosts = Hosts {
        clob: urls.clob.clone(),
        channels: Some(urls.clob.clone()),
        data: Some(urls.data.clone()),
        ..Hosts::default()
    };
    let (hosts, history_every) = match by {
        By::Chain => (Hosts { rpc: Some(urls.rpc.clone()), ..hosts }, Duration::from_secs(5)),
        By::LiveFeed => (Hosts { live: Some(urls.live.clone()), ..hosts }, NEVER),
    };
    let Composed { ports, .. } = foundation.at(&hosts, Pace::default(), None)?;
    Ok((ports, history_every))
}

/// An engine at work on a filled data directory.
pub(super) struct Running {
    pub(super) store: Arc<dyn Store>,
    runtime: Runtime,
}

impl Running {
    /// [`Self::started`], by the chain.
    pub(super) async fn start(
        file: &Path,
        urls: &SimulatorUrls,
        keys: &Keys,
        clock: &Arc<dyn Clock>,
    ) -> anyhow::Result<Self> {
        Self::started(By::Chain, file, urls, keys, clock).await
    }

    /// Opens the store, every commit waiting for the disk, and starts the engine as the demo does.
    pub(super) async fn started(
        by: By,
        file: &Path,
        urls: &SimulatorUrls,
        keys: &Keys,
        clock: &Arc<dyn Clock>,
    ) -> anyhow::Result<Self> {
        let store: Arc<dyn Store> = Arc::new(SqlStore::open(file, Arc::clone(clock)).await?);
        let (ports, history_every) = ports(by, Arc::clone(&store), urls, keys, clock)?;
        let settings = Settings::alone(2, history_every);
        let runtime = Runtime::start(ports, settings, this_process()).await?;
        let running = Self { store, runtime };
        match by {
            By::Chain => running.wait_for_baseline(clock.as_ref()).await?,
            By::LiveFeed => running.wait_for_feed(clock.as_ref()).await?,
        }
        Ok(running)
    }

    /// How the live feed does; nothing of one that is not listened to.
    pub(super) fn feed(&self) -> FeedHealth {
        self.runtime.sources().live.map(|live| live.health()).unwrap_or_default()
    }

    async fn wait_for_feed(&self, clock: &dyn Clock) -> anyhow::Result<()> {
        let limit = clock.uptime() + START_PATIENCE;
        // The blank frame that answers the subscription.
        while self.feed().open == 0 || self.feed().frames == 0 {
            anyhow::ensure!(clock.uptime() < limit, "the live feed was not open within {START_PATIENCE:?}");
            clock.sleep(Duration::from_millis(5)).await;
        }
        Ok(())
    }

    async fn wait_for_baseline(&self, clock: &dyn Clock) -> anyhow::Result<()> {
        let limit = clock.uptime() + START_PATIENCE;
        while self.store.cursor(Source::Chain).await?.is_none() {
            anyhow::ensure!(clock.uptime() < limit, "detection did not start within {START_PATIENCE:?}");
            clock.sleep(Duration::from_millis(5)).await;
        }
        Ok(())
    }

    /// Stops the engine and closes the store; an error when a task of the engine had panicked.
    pub(super) async fn shutdown(self) -> anyhow::Result<()> {
        Ok(self.runtime.shutdown().await?)
    }
}
