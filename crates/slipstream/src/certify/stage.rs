//! The simulated venue on which the script is tried: one market, one deposit wallet with money.

use std::{sync::Arc, time::Duration};

use anyhow::Context as _;
use domain::{
    Address, Clock, ConditionId, KeyRef, Price, Shares, Side, TokenId, TradingAccount, TxHash, Usd,
    WalletKind, ids::AccountId, money::ONE,
};
use eip712::Chain;
use engine::ports::venue::Signer as _;
use signer::{Binding, DerivedKeys, LocalSigner};
use simulator::{
    Running, Simulator, SimulatorConfig, WorldHandle,
    world::{
        control::{ForeignFill, ForeignTrade, Level, Levels},
        fees::FeeSchedule,
        ledger::Asset,
        rates::Signers,
        registry::{MarketSpec, Standing, Wallet},
    },
};
use tokio::task::AbortHandle;
use zeroize::Zeroizing;

use crate::secrets::InstallationSecret;

/// What is traded.
pub(super) const TOKEN: TokenId = TokenId([0x9d; 32]);
const OTHER: TokenId = TokenId([0x9e; 32]);
/// A condition of the third exchange: its first byte is 1, and the bytes that tell the era are zero.
const V3_CONDITION: [u8; 31] = {
    let mut condition = [0; 31];
    condition[0] = 1;
    condition[1] = 0xce;
    condition
};
/// The wallet, made up.
const WALLET: Address = Address([0xce; 20]);

/// Somebody else who trades there.
const STRANGER: Address = Address([0x5a; 20]);
/// How often.
const STRANGER_TRADES: Duration = Duration::from_millis(250);

/// A venue at work, and whoever trades on it.
pub(super) struct Stage {
    pub(super) running: Running,
    pub(super) signer: Arc<LocalSigner>,
    pub(super) account: TradingAccount,
    stranger: AbortHandle,
}

impl Stage {
    /// Sets it up; its signers have limits, as the real ones have.
    pub(super) async fn set(clock: &Arc<dyn Clock>) -> anyhow::Result<Self> {
        let mut config = SimulatorConfig { block_interval_ms: 250, ..SimulatorConfig::default() };
        config.knobs.rates.signers = Signers::Enforce;
        let running =
            Simulator::start(config, Arc::clone(clock)).await.context("the simulator cannot listen")?;
        let secret = InstallationSecret::of_seed(1);
        let keys = DerivedKeys::new(Zeroizing::new(secret.derive(&[b"keys"])));
        let signer = Arc::new(LocalSigner::new(Chain::Polygon, Box::new(keys)));
        let key = KeyRef("certify".to_owned());
        let owner = signer.address(&key).await.context("the signer gives no address")?;
        let kind = WalletKind::Deposit;
        signer.bind(key.clone(), Binding { wallet: WALLET, kind, until: None })?;
        furnish(&running, owner)?;
        let account = TradingAccount { id: AccountId(1), wallet: WALLET, signer: owner, kind, key };
        let stranger = tokio::spawn(trade(running.world(), Arc::clone(clock))).abort_handle();
        Ok(Self { running, signer, account, stranger })
    }

    /// Ends it.
    pub(super) async fn end(self) {
        self.stranger.abort();
        self.running.shutdown().await;
    }
}

/// Trades of somebody else, so that the live feed has something to tell.
async fn trade(world: WorldHandle, clock: Arc<dyn Clock>) {
    for number in 0_u64.. {
        let mut tx = [0x57; 32];
        tx[..8].copy_from_slice(&number.to_be_bytes());
        let (side, price, shares) = (Side::Buy, Price(ONE / 2), Shares(5 * ONE));
        let fill = ForeignFill { wallet: STRANGER, token: TOKEN, side, price, shares, maker: false };
        let trade = ForeignTrade { tx_hash: TxHash(tx), fills: vec![fill], moves: Vec::new() };
        if let Err(error) = world.with(|world, _| world.foreign_trade(&trade)) {
            tracing::warn!(%error, "the stranger of the stage cannot trade");
        }
        clock.sleep(STRANGER_TRADES).await;
    }
}

fn furnish(running: &Running, owner: Address) -> anyhow::Result<()> {
    let market = MarketSpec {
        condition: ConditionId::from_slice(&[0x0c; 32])?,
        tokens: [TOKEN, OTHER],
        outcomes: ["Yes".to_owned(), "No".to_owned()],
        tick: Price(ONE / 100),
        min_size: Shares(5 * ONE),
        neg_risk: false,
        fee: FeeSchedule { rate: Price(ONE / 20), exponent: 1 },
        title: "Will the script pass?".to_owned(),
        slug: "certify".to_owned(),
        event_slug: String::new(),
        end_date: String::new(),
    };
    let third = MarketSpec {
        condition: ConditionId::from_slice(&V3_CONDITION)?,
        tokens: [0, 1].map(|outcome| {
            let mut id = [0; 32];
            id[..31].copy_from_slice(&V3_CONDITION);
            id[31] = outcome;
            TokenId(id)
        }),
        slug: "certify-third".to_owned(),
        ..market.clone()
    };
    let level = |price| vec![Level { price: Price(price), shares: Shares(100 * ONE) }];
    let levels = Levels { token: TOKEN, bids: level(49 * ONE / 100), asks: level(ONE / 2), extend: false };
    let wallet = Wallet {
        address: WALLET,
        owner,
        signature_type: WalletKind::Deposit.signature_type(),
        approved: true,
        standing: Standing::default(),
    };
    running.world().with(|world, _| {
        world.add_market(market)?;
        world.add_market(third)?;
        world.set_levels(&levels)?;
        world.add_wallet(wallet)?;
        world.credit(WALLET, Asset::Collateral, Usd(100 * ONE).0);
        anyhow::Ok(())
    })
}
