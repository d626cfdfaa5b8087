//! A running simulator on a clock that tests turn, and a client that signs as a trader would.

use std::{
    sync::{
        Arc,
        atomic::{AtomicI64, Ordering},
    },
    time::Duration,
};

use alloy_primitives::{B256, U256, keccak256};
use alloy_sol_types::{SolStruct, SolValue, eip712_domain, sol};
use domain::{Address, Clock, ConditionId, OrderId, Price, Shares, Side, Timestamp, TokenId, clock::Sleep};
use reqwest::{Method, RequestBuilder, StatusCode};
use secp256k1::{Message, SECP256K1, SecretKey, ecdsa::RecoveryId};
use serde_json::{Value, json};
use simulator::{
    Running, Simulator, SimulatorConfig,
    contracts::Exchange,
    signing::{SignedFields, request_signature},
    world::{
        control::{Level, Levels},
        fees::FeeSchedule,
        ledger::Asset,
        registry::{MarketSpec, Standing, Wallet},
    },
};
use tokio::sync::watch;

/// Start of all tests.
pub const START: Timestamp = Timestamp(1_795_449_790_000_000);

/// A clock that stands still until it is turned.
pub struct TestClock {
    now: AtomicI64,
    turned: watch::Sender<()>,
}

impl TestClock {
    pub fn new() -> Arc<Self> {
        Arc::new(Self { now: AtomicI64::new(START.0), turned: watch::Sender::new(()) })
    }

    pub fn advance(&self, by: Duration) {
        self.now.fetch_add(i64::try_from(by.as_micros()).unwrap(), Ordering::SeqCst);
        self.turned.send_replace(());
    }
}

/// The clock as the simulator gets it.
pub struct Shared(pub Arc<TestClock>);

impl Clock for Shared {
    fn now(&self) -> Timestamp {
        Timestamp(self.0.now.load(Ordering::SeqCst))
    }

    fn uptime(&self) -> Duration {
        self.now().since(Timestamp(0))
    }

    fn sleep(&self, duration: Duration) -> Sleep {
        let clock = Arc::clone(&self.0);
        let until = self.now().plus(duration);
        Box::pin(async move {
            let mut turned = clock.turned.subscribe();
            turned.wait_for(|()| clock.now.load(Ordering::SeqCst) >= until.0).await.unwrap();
        })
    }
}

/// A market of the V2 era.
pub fn market_v2(neg_risk: bool) -> MarketSpec {
    let tag = if neg_risk { 2 } else { 1 };
    market(
        ConditionId::from_slice(&[tag; 32]).unwrap(),
        [TokenId([0x10 + tag; 32]), TokenId([0x20 + tag; 32])],
        neg_risk,
    )
}

/// A market of the V3 era.
pub fn market_v3() -> MarketSpec {
    let mut condition = [3; 31];
    condition[19..27].fill(0);
    let token = |index: u8| {
        let mut id = [0; 32];
        id[..31].copy_from_slice(&condition);
        id[31] = index;
        TokenId(id)
    };
    market(ConditionId::from_slice(&condition).unwrap(), [token(0), token(1)], false)
}

fn market(condition: ConditionId, tokens: [TokenId; 2], neg_risk: bool) -> MarketSpec {
    MarketSpec {
        condition,
        tokens,
        outcomes: ["Yes".to_owned(), "No".to_owned()],
        tick: Price(10_000),
        min_size: Shares(5_000_000),
        neg_risk,
        fee: FeeSchedule { rate: Price(50_000), exponent: 1 },
        title: "Will it rain?".to_owned(),
        slug: "will-it-rain".to_owned(),
        event_slug: "rain".to_owned(),
        end_date: "2026-12-31T00:00:00Z".to_owned(),
    }
}

/// Levels of the house, as (price, shares).
pub fn levels(token: TokenId, bids: &[(&str, &str)], asks: &[(&str, &str)]) -> Levels {
    let parse = |levels: &[(&str, &str)]| {
        let level = |(price, shares): &(&str, &str)| Level {
            price: price.parse().unwrap(),
            shares: shares.parse().unwrap(),
        };
        levels.iter().map(level).collect()
    };
    Levels { token, bids: parse(bids), asks: parse(asks), extend: false }
}

pub struct Venue {
    pub running: Running,
    pub clock: Arc<TestClock>,
    pub http: reqwest::Client,
}

impl Venue {
    /// A venue with three markets (V2, neg-risk, V3) that makes blocks only when told.
    pub async fn start(config: SimulatorConfig) -> Self {
        let clock = TestClock::new();
        let running = Simulator::start(config, Arc::new(Shared(Arc::clone(&clock)))).await.unwrap();
        running.world().with(|world, _| {
            for spec in [market_v2(false), market_v2(true), market_v3()] {
                let [yes, no] = spec.tokens;
                world.add_market(spec).unwrap();
                world
                    .set_levels(&levels(
                        yes,
                        &[("0.5", "1000"), ("0.49", "1000")],
                        &[("0.55", "10"), ("0.56", "1000")],
                    ))
                    .unwrap();
                world.set_levels(&levels(no, &[("0.44", "1000")], &[("0.5", "1000")])).unwrap();
            }
        });
        // The tests speak plain HTTP; the client wants a TLS provider all the same.
        let _ = rustls::crypto::ring::default_provider().install_default();
        Self { running, clock, http: reqwest::Client::builder().build().unwrap() }
    }

    pub async fn manual() -> Self {
        Self::start(SimulatorConfig { block_interval_ms: 0, ..SimulatorConfig::default() }).await
    }

    pub async fn rpc(&self, method: &str, params: Value) -> Value {
        let body = json!({ "jsonrpc": "2.0", "id": 1, "method": method, "params": params });
        self.send_json(self.http.post(&self.running.rpc_url), &body).await.1
    }

    pub async fn send_json(&self, request: RequestBuilder, body: &Value) -> (StatusCode, Value) {
        json_reply(request.header("content-type", "application/json").body(body.to_string())).await
    }

    pub async fn control(&self, path: &str, body: Value) -> (StatusCode, Value) {
        self.send_json(self.http.post(format!("{}{path}", self.running.control_url)), &body).await
    }

    pub async fn get(&self, url: String) -> (StatusCode, Value) {
        json_reply(self.http.get(url)).await
    }

    pub fn mine(&self) -> u64 {
        self.running.world().with(|world, now| world.mine(now))
    }
}

pub async fn json_reply(request: RequestBuilder) -> (StatusCode, Value) {
    let reply = request.send().await.unwrap();
    let status = reply.status();
    let text = reply.text().await.unwrap();
    (status, serde_json::from_str(&text).unwrap_or(Value::String(text)))
}

sol! {
    struct Order {
        uint256 salt;
        address maker;
        address signer;
        uint256 tokenId;
        uint256 makerAmount;
        uint256 takerAmount;
        uint8 side;
        uint8 signatureType;
        uint256 timestamp;
        bytes32 metadata;
        bytes32 builder;
    }
    struct TypedDataSign {
        Order contents;
        string name;
        string version;
        uint256 chainId;
        address verifyingContract;
        bytes32 salt;
    }
    struct ClobAuth {
        address address;
        string timestamp;
        uint256 nonce;
        string message;
    }
}

/// A trader with a key, a wallet and, after `login`, an API key.
pub struct Trader {
    secret: SecretKey,
    pub eoa: Address,
    pub wallet: Address,
    pub kind: u8,
    pub key: String,
    pub api_secret: String,
    pub passphrase: String,
}

impl Trader {
    /// A registered wallet of this type with $1000.
    pub fn new(venue: &Venue, number: u8, kind: u8) -> Self {
        let secret = SecretKey::from_byte_array([number; 32]).unwrap();
        let public = secret.public_key(SECP256K1).serialize_uncompressed();
        let eoa = Address::from_slice(&keccak256(&public[1..])[12..]).unwrap();
        let wallet = if kind == 0 { eoa } else { Address([0xa0 + number; 20]) };
        venue.running.world().with(|world, _| {
            let standing = Standing::Good;
            world
                .add_wallet(Wallet {
                    address: wallet,
                    owner: eoa,
                    signature_type: kind,
                    approved: true,
                    standing,
                })
                .unwrap();
            world.credit(wallet, Asset::Collateral, 1_000_000_000);
        });
        let [key, api_secret, passphrase] = [const { String::new() }; 3];
        Self { secret, eoa, wallet, kind, key, api_secret, passphrase }
    }

    pub async fn logged_in(venue: &Venue, number: u8, kind: u8) -> Self {
        let mut trader = Self::new(venue, number, kind);
        let (status, key) = trader.login(venue, Method::POST, "/auth/api-key").await;
        assert_eq!(status, 200, "{key}");
        let field = |name: &str| key[name].as_str().unwrap().to_owned();
        (trader.key, trader.api_secret, trader.passphrase) =
            (field("apiKey"), field("secret"), field("passphrase"));
        trader
    }

    pub async fn login(&self, venue: &Venue, method: Method, path: &str) -> (StatusCode, Value) {
        let timestamp = START.seconds().to_string();
        let login = ClobAuth {
            address: self.eoa.0.into(),
            timestamp: timestamp.clone(),
            nonce: U256::ZERO,
            message: "This message attests that I control the given wallet".to_owned(),
        };
        let domain = eip712_domain! { name: "ClobAuthDomain", version: "1", chain_id: 137, };
        let signature = self.sign(login.eip712_signing_hash(&domain));
        let request = venue.http.request(method, format!("{}{path}", venue.running.clob_url));
        let request = request
            .header("POLY_ADDRESS", self.eoa.to_string())
            .header("POLY_SIGNATURE", format!("0x{}", hex::encode(signature)))
            .header("POLY_TIMESTAMP", timestamp)
            .header("POLY_NONCE", "0");
        json_reply(request).await
    }

    fn sign(&self, digest: B256) -> Vec<u8> {
        let signature = SECP256K1.sign_ecdsa_recoverable(Message::from_digest(digest.0), &self.secret);
        let (id, compact) = signature.serialize_compact();
        [compact.as_slice(), &[if id == RecoveryId::One { 28 } else { 27 }]].concat()
    }

    /// A FAK order as fields; amounts in millionths.
    pub fn order(&self, token: TokenId, side: Side, maker_amount: i64, taker_amount: i64) -> SignedFields {
        SignedFields {
            salt: 42,
            maker: self.wallet,
            signer: if self.kind == 3 { self.wallet } else { self.eoa },
            token,
            maker_amount,
            taker_amount,
            side,
            signature_type: self.kind,
            timestamp_ms: START.millis().unsigned_abs(),
            metadata: [0; 32],
            builder: [0; 32],
        }
    }

    /// Id and body of `POST /order`, signed for `exchange`.
    pub fn body(&self, fields: &SignedFields, exchange: Exchange, kind: &str) -> (OrderId, String) {
        let order = Order {
            salt: U256::from(fields.salt),
            maker: fields.maker.0.into(),
            signer: fields.signer.0.into(),
            tokenId: U256::from_be_bytes(fields.token.0),
            makerAmount: U256::from(fields.maker_amount),
            takerAmount: U256::from(fields.taker_amount),
            side: u8::from(fields.side == Side::Sell),
            signatureType: fields.signature_type,
            timestamp: U256::from(fields.timestamp_ms),
            metadata: fields.metadata.into(),
            builder: fields.builder.into(),
        };
        let domain = eip712_domain! {
            name: "Polymarket CTF Exchange",
            version: exchange.domain_version(),
            chain_id: 137,
            verifying_contract: exchange.address().0.into(),
        };
        let id = order.eip712_signing_hash(&domain);
        let signature = if self.kind == 3 { self.wrapped(&order, &domain) } else { self.sign(id) };
        let body = json!({
            "deferExec": false,
            "postOnly": false,
            "order": {
                "salt": fields.salt,
                "maker": fields.maker,
                "signer": fields.signer,
                "tokenId": fields.token,
                "makerAmount": fields.maker_amount.to_string(),
                "takerAmount": fields.taker_amount.to_string(),
                "side": fields.side,
                "signatureType": fields.signature_type,
                "timestamp": fields.timestamp_ms.to_string(),
                "expiration": "0",
                "metadata": B256::from(fields.metadata).to_string(),
                "builder": B256::from(fields.builder).to_string(),
                "signature": format!("0x{}", hex::encode(signature)),
            },
            "owner": self.key,
            "orderType": kind,
        });
        (OrderId(id.0), body.to_string())
    }

    fn wrapped(&self, order: &Order, domain: &alloy_sol_types::Eip712Domain) -> Vec<u8> {
        let envelope = TypedDataSign {
            contents: order.clone(),
            name: "DepositWallet".to_owned(),
            version: "1".to_owned(),
            chainId: U256::from(137),
            verifyingContract: self.wallet.0.into(),
            salt: B256::ZERO,
        };
        let description = Order::eip712_encode_type();
        let length = u16::try_from(description.len()).unwrap().to_be_bytes();
        let mut blob = self.sign(envelope.eip712_signing_hash(domain));
        for part in [
            domain.separator().as_slice(),
            order.eip712_hash_struct().as_slice(),
            description.as_bytes(),
            &length,
        ] {
            blob.extend_from_slice(part);
        }
        blob
    }

    /// An order's body with its signature in the envelope of this trader's key.
    pub fn in_envelope(&self, body: &str) -> String {
        let mut order: Value = serde_json::from_str(body).unwrap();
        let signature = hex::decode(&order["order"]["signature"].as_str().unwrap()[2..]).unwrap();
        let key = B256::left_padding_from(&self.eoa.0);
        let inside = (key, B256::ZERO, alloy_primitives::Bytes::from(signature)).abi_encode_params();
        order["order"]["signature"] = json!(format!("0x{}{}", hex::encode(inside), "6492".repeat(16)));
        order.to_string()
    }

    /// A request with L2 headers. `path` may have a query.
    pub fn request(&self, venue: &Venue, method: Method, path: &str, body: &str) -> RequestBuilder {
        let timestamp = venue.running.world().with(|_, now| now.seconds()).to_string();
        let bare = path.split('?').next().unwrap();
        let signature =
            request_signature(&self.api_secret, &timestamp, method.as_str(), bare, body.as_bytes()).unwrap();
        venue
            .http
            .request(method, format!("{}{path}", venue.running.clob_url))
            .header("POLY_ADDRESS", self.eoa.to_string())
            .header("POLY_API_KEY", &self.key)
            .header("POLY_PASSPHRASE", &self.passphrase)
            .header("POLY_SIGNATURE", signature)
            .header("POLY_TIMESTAMP", timestamp)
            .body(body.to_owned())
    }

    pub async fn post(&self, venue: &Venue, body: &str) -> (StatusCode, Value) {
        json_reply(self.request(venue, Method::POST, "/order", body)).await
    }

    pub async fn get(&self, venue: &Venue, path: &str) -> (StatusCode, Value) {
        json_reply(self.request(venue, Method::GET, path, "")).await
    }
}
