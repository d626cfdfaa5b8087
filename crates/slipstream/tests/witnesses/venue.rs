//! The simulated venue that the clients trade on: three markets, one trader.

use std::{sync::Arc, time::Duration};

use domain::{Address, Clock, ConditionId, Hash, Price, Shares, TokenId};
use serde_json::json;
use simulator::{
    Running, Simulator, SimulatorConfig,
    world::{
        control::{Level, Levels},
        fees::FeeSchedule,
        ledger::Asset,
        registry::{BuilderFees, MarketSpec, Standing, Wallet},
    },
};
use slipstream::clock::SystemClock;

use crate::client::{Client, Language};

/// The second well-known test key of local Ethereum nodes.
pub const KEY: &str = "0x59c6995e998f97a5a0044966f0945389dc9e86dae88c7a8412f4603b6b78690d";
/// Its address.
pub const OWNER: &str = "0x70997970c51812dc3a010c7d01b50e0d17dc79c8";
/// Wallets of the types 1 to 3 that the key owns. Made up.
pub const FUNDERS: [&str; 3] = [
    "0x1111111111111111111111111111111111111111",
    "0x2222222222222222222222222222222222222222",
    "0x3333333333333333333333333333333333333333",
];

/// A market's name in the tests.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Kind {
    /// Ordinary, of the V2 exchange.
    Plain,
    /// Of the negative-risk exchange.
    NegativeRisk,
    /// Of the third exchange, with a condition id of 31 bytes.
    Third,
}

impl Kind {
    pub const ALL: [Self; 3] = [Self::Plain, Self::NegativeRisk, Self::Third];

    pub fn condition(self) -> ConditionId {
        let bytes: &[u8] = match self {
            Self::Plain => &[1; 32],
            Self::NegativeRisk => &[2; 32],
            Self::Third => &third(),
        };
        ConditionId::from_slice(bytes).unwrap()
    }

    pub fn tokens(self) -> [TokenId; 2] {
        match self {
            Self::Plain => [TokenId([0x11; 32]), TokenId([0x21; 32])],
            Self::NegativeRisk => [TokenId([0x12; 32]), TokenId([0x22; 32])],
            Self::Third => [0, 1].map(|outcome| {
                let mut id = [0; 32];
                id[..31].copy_from_slice(&third());
                id[31] = outcome;
                TokenId(id)
            }),
        }
    }

    /// The first token, as the venue writes it.
    pub fn token(self) -> String {
        self.tokens()[0].to_string()
    }

    fn spec(self) -> MarketSpec {
        MarketSpec {
            condition: self.condition(),
            tokens: self.tokens(),
            outcomes: ["Yes".to_owned(), "No".to_owned()],
            tick: Price(10_000),
            min_size: Shares(5_000_000),
            neg_risk: self == Self::NegativeRisk,
            fee: FeeSchedule { rate: Price(50_000), exponent: 1 },
            title: format!("Will it rain on {self:?}?"),
            slug: format!("rain-{self:?}").to_lowercase(),
            event_slug: "rain".to_owned(),
            end_date: "2099-12-31T00:00:00Z".to_owned(),
        }
    }
}

/// A condition of the binary module: its first byte is 1, and the bytes that tell the third era are zero.
fn third() -> [u8; 31] {
    let mut condition = [3; 31];
    condition[0] = 1;
    condition[18..27].fill(0);
    condition
}

/// A venue and what the clients need to know of it.
pub struct Venue {
    pub running: Running,
}

impl Venue {
    /// Blocks every 100 ms, so that nobody waits long for settlement.
    pub async fn open() -> Self {
        Self::open_at(Arc::new(SystemClock)).await
    }

    /// The same by this clock.
    pub async fn open_at(clock: Arc<dyn Clock>) -> Self {
        let config = SimulatorConfig { block_interval_ms: 100, ..SimulatorConfig::default() };
        let running = Simulator::start(config, clock).await.unwrap();
        let owner: Address = OWNER.parse().unwrap();
        running.world().with(|world, _| {
            for kind in Kind::ALL {
                world.add_market(kind.spec()).unwrap();
                let [yes, no] = kind.tokens();
                world.set_levels(&levels(yes, &[(50, 1_000)], &[(55, 10), (56, 1_000)])).unwrap();
                world.set_levels(&levels(no, &[(44, 1_000)], &[(50, 1_000)])).unwrap();
            }
            let fees = BuilderFees { maker_bps: 0, taker_bps: 50, receiver: Address([0xbb; 20]) };
            world.set_builder([0xb1; 32], fees).unwrap();
            let funders = FUNDERS.map(|funder| funder.parse().unwrap());
            let wallets = [owner].into_iter().chain(funders);
            for (signature_type, address) in (0..=3).zip(wallets) {
                let standing = Standing::Good;
                world
                    .add_wallet(Wallet { address, owner, signature_type, approved: true, standing })
                    .unwrap();
                world.credit(address, Asset::Collateral, 1_000_000_000);
                for token in Kind::ALL.iter().flat_map(|kind| kind.tokens()) {
                    world.credit(address, Asset::Token(token), 100_000_000);
                }
            }
        });
        Self { running }
    }

    /// A client that is connected for a wallet type and not logged in yet.
    pub async fn stranger(&self, language: Language, wallet: u8) -> Client {
        self.client(language, wallet, None).await
    }

    /// The same, for a builder.
    pub async fn client(&self, language: Language, wallet: u8, builder: Option<Hash>) -> Client {
        let funder = FUNDERS.get(usize::from(wallet).wrapping_sub(1)).copied();
        self.client_of(language, wallet, funder, builder).await
    }

    /// A client that says it trades with this wallet.
    pub async fn client_of(
        &self,
        language: Language,
        wallet: u8,
        funder: Option<&str>,
        builder: Option<Hash>,
    ) -> Client {
        let mut client = Client::start(language);
        client
            .ok(
                "connect",
                json!({
                    "host": self.running.clob_url, "chain": 137, "key": KEY, "signatureType": wallet, "funder": funder,
                    "builder": builder,
                }),
            )
            .await;
        client
    }

    /// A client that is logged in for the key's own address.
    pub async fn trader(&self, language: Language) -> Client {
        let mut client = self.stranger(language, 0).await;
        client.ok("login", json!({})).await;
        client
    }

    /// What the venue thinks of the trader's wallet from now on.
    pub fn stands(&self, standing: Standing) {
        let address: Address = OWNER.parse().unwrap();
        let wallet = Wallet { address, owner: address, signature_type: 0, approved: true, standing };
        self.running.world().with(|world, _| world.add_wallet(wallet).unwrap());
    }

    /// Ends it, and holds its books against everything that must be true of them.
    pub async fn close(self) {
        let verdict = self.running.world().with(|world, _| world.verdict());
        assert!(verdict.sound, "{:?}", verdict.violations);
        tokio::time::timeout(Duration::from_secs(30), self.running.shutdown()).await.unwrap();
    }
}

/// Levels of the house: cents, whole shares.
pub fn levels(token: TokenId, bids: &[(i64, i64)], asks: &[(i64, i64)]) -> Levels {
    let parse = |levels: &[(i64, i64)]| {
        let level = |(cents, shares): &(i64, i64)| Level {
            price: Price(cents * 10_000),
            shares: Shares(shares * 1_000_000),
        };
        levels.iter().map(level).collect()
    };
    Levels { token, bids: parse(bids), asks: parse(asks), extend: false }
}
