//! A client of the simulator's control API.

use std::time::Duration;

use anyhow::{Context, bail};
use domain::{Address, ConditionId, OrderId, Price, Shares, Side, TokenId, TxHash, Usd, trade::Quantity};
use reqwest::{Client, Method};
use serde::{Deserialize, Serialize, de::DeserializeOwned};
use serde_json::{Value, json};
use simulator::world::{
    control::{ForeignTrade, Levels, Redeemers},
    faults::Fault,
    registry::{MarketSpec, Wallet},
};

/// Longest wait for an answer.
const ANSWER: Duration = Duration::from_secs(30);

/// The simulator as its operator sees it.
#[derive(Clone)]
pub struct Control {
    client: Client,
    origin: String,
}

/// An order as the simulator saw it.
#[derive(Clone, Debug, Deserialize)]
pub struct SeenOrder {
    /// Its id.
    pub id: OrderId,
    /// Whose.
    pub maker: Address,
    /// Token.
    pub token: TokenId,
    /// Side.
    #[serde(deserialize_with = "side")]
    pub side: Side,
    /// What it may give at most.
    pub maker_amount: i64,
    /// What it gave, failed settlements included.
    pub filled_maker: i64,
    /// What it got.
    pub filled_taker: i64,
    /// Fee paid.
    pub fee: i64,
    /// How its posts were answered.
    pub posts: SeenPosts,
    /// Its trades.
    pub trades: Vec<SeenTrade>,
}

/// A trade of an order as the simulator saw it.
#[derive(Clone, Debug, Deserialize)]
pub struct SeenTrade {
    /// Where its settlement is, in the venue's words.
    pub status: String,
    /// Shares of the order in it.
    pub shares: Shares,
    /// Dollars of the order in it, without fee.
    pub usd: Usd,
}

/// Posts of an order by answer.
#[derive(Clone, Copy, Debug, Default, Deserialize)]
pub struct SeenPosts {
    /// Filled or resting.
    pub accepted: u32,
    /// Found nothing.
    pub killed: u32,
    /// Known already.
    pub duplicate: u32,
    /// Refused before the book.
    pub refused: u32,
}

/// Orders of which something was executed or undone.
#[derive(Clone, Debug, Deserialize)]
pub struct Executions {
    /// What to ask for next.
    pub seen: usize,
    /// The orders, by id.
    pub orders: Vec<SeenOrder>,
}

/// The simulator's judgement of itself.
#[derive(Clone, Debug, Deserialize, Serialize)]
pub struct SimulatorVerdict {
    /// Whether dollars and shares were conserved and its own rules kept.
    pub sound: bool,
    /// What was not.
    pub violations: Vec<String>,
}

/// Where the chain stands.
#[derive(Clone, Debug, Deserialize)]
pub struct Status {
    /// Newest block.
    pub head: i64,
    /// Newest final block.
    pub finalized: i64,
    /// Newest block with a transaction.
    pub newest_tx: i64,
    /// Transactions that wait for a block.
    pub pending: Vec<TxHash>,
    /// Orders that the venue will process later.
    pub late: usize,
    /// Conditions that are resolved.
    #[serde(default)]
    pub resolved: Vec<ConditionId>,
}

fn side<'de, D: serde::Deserializer<'de>>(deserializer: D) -> Result<Side, D::Error> {
    Side::deserialize(deserializer)
}

impl SeenOrder {
    /// What was executed and not undone by a failed settlement.
    #[must_use]
    pub fn executed(&self) -> Quantity {
        let standing = || self.trades.iter().filter(|trade| trade.status != "FAILED");
        Quantity {
            shares: standing().map(|trade| trade.shares).sum(),
            usd: standing().map(|trade| trade.usd).sum(),
        }
    }

    /// Whether a settlement failed: then its fee is not told apart.
    #[must_use]
    pub fn any_failed(&self) -> bool {
        self.trades.iter().any(|trade| trade.status == "FAILED")
    }
}

impl Control {
    /// The simulator whose control API is at `origin`.
    #[must_use]
    pub fn new(client: Client, origin: &str) -> Self {
        Self { client, origin: origin.trim_end_matches('/').to_owned() }
    }

    async fn call<T: DeserializeOwned>(
        &self,
        method: Method,
        path: &str,
        body: Option<&Value>,
    ) -> anyhow::Result<T> {
        let what = || format!("simulator control {path}");
        let mut request = self.client.request(method, format!("{}{path}", self.origin)).timeout(ANSWER);
        if let Some(body) = body {
            request = request.header("content-type", "application/json").body(body.to_string());
        }
        let reply = request.send().await.with_context(what)?;
        let status = reply.status();
        let bytes = reply.bytes().await.with_context(what)?;
        if !status.is_success() {
            bail!("{}: {status}: {}", what(), String::from_utf8_lossy(&bytes));
        }
        serde_json::from_slice(&bytes).with_context(what)
    }

    async fn post(&self, path: &str, body: &impl Serialize) -> anyhow::Result<Value> {
        self.call(Method::POST, path, Some(&serde_json::to_value(body)?)).await
    }

    /// Registers a wallet.
    ///
    /// # Errors
    /// When the simulator refuses or cannot be reached; so for all calls.
    pub async fn add_wallet(&self, wallet: &Wallet) -> anyhow::Result<()> {
        self.post("/wallets", wallet).await.map(drop)
    }

    /// Gives or takes every exchange's approval to move what a wallet has.
    ///
    /// # Errors
    /// As [`Control::add_wallet`].
    pub async fn approve(&self, wallet: Address, approved: bool) -> anyhow::Result<()> {
        self.post("/approve", &json!({ "wallet": wallet, "approved": approved })).await.map(drop)
    }

    /// Gives dollars.
    ///
    /// # Errors
    /// As [`Control::add_wallet`].
    pub async fn credit_usd(&self, wallet: Address, usd: Usd) -> anyhow::Result<()> {
        self.post("/credit", &json!({ "wallet": wallet, "usd": usd.to_string() })).await.map(drop)
    }

    /// Gives POL, in which gas is paid.
    ///
    /// # Errors
    /// As [`Control::add_wallet`].
    pub async fn credit_pol(&self, wallet: Address, whole: u32) -> anyhow::Result<()> {
        self.post("/coins", &json!({ "wallet": wallet, "pol": whole.to_string() })).await.map(drop)
    }

    /// Makes a builder's key known to the relayer.
    ///
    /// # Errors
    /// As [`Control::add_wallet`].
    pub async fn add_builder_key(&self, key: &str, secret: &str, passphrase: &str) -> anyhow::Result<()> {
        let body = json!({ "key": key, "secret": secret, "passphrase": passphrase });
        self.post("/builder-keys", &body).await.map(drop)
    }

    /// Gives shares.
    ///
    /// # Errors
    /// As [`Control::add_wallet`].
    pub async fn credit_shares(&self, wallet: Address, token: TokenId, shares: Shares) -> anyhow::Result<()> {
        let body = json!({ "wallet": wallet, "token": token, "shares": shares.to_string() });
        self.post("/credit", &body).await.map(drop)
    }

    /// Adds a market.
    ///
    /// # Errors
    /// As [`Control::add_wallet`].
    pub async fn add_market(&self, market: &MarketSpec) -> anyhow::Result<()> {
        self.post("/markets", market).await.map(drop)
    }

    /// Sets the house's book of a token.
    ///
    /// # Errors
    /// As [`Control::add_wallet`].
    pub async fn set_levels(&self, levels: &Levels) -> anyhow::Result<()> {
        self.post("/levels", levels).await.map(drop)
    }

    /// Lets leaders trade, in the next block.
    ///
    /// # Errors
    /// As [`Control::add_wallet`].
    pub async fn trade(&self, trade: &ForeignTrade) -> anyhow::Result<()> {
        self.post("/trades", trade).await.map(drop)
    }

    /// Resolves a market; these wallets redeem at once.
    ///
    /// # Errors
    /// As [`Control::add_wallet`].
    pub async fn resolve(
        &self,
        condition: ConditionId,
        payouts: [Price; 2],
        redeemers: &[Address],
    ) -> anyhow::Result<()> {
        let payouts = payouts.map(|payout| payout.to_string());
        let redeem = Redeemers::Wallets(redeemers.to_vec());
        let body = json!({ "condition": condition, "payouts": payouts, "redeem": redeem });
        self.post("/resolve", &body).await.map(drop)
    }

    /// Breaks something.
    ///
    /// # Errors
    /// As [`Control::add_wallet`].
    pub async fn fault(&self, fault: &Fault) -> anyhow::Result<()> {
        self.post("/faults", fault).await.map(drop)
    }

    /// Changes the knobs that are named in this object, and leaves the others.
    ///
    /// # Errors
    /// As [`Control::add_wallet`].
    pub async fn set_knobs(&self, changes: &serde_json::Value) -> anyhow::Result<()> {
        self.post("/knobs", changes).await.map(drop)
    }

    /// Takes the order book service down or brings it back.
    ///
    /// # Errors
    /// As [`Control::add_wallet`].
    pub async fn outage(&self, down: bool) -> anyhow::Result<()> {
        self.outage_of("clob", down).await
    }

    /// Takes a service down (`clob`, `data`, `rpc` …) or brings it back.
    ///
    /// # Errors
    /// As [`Control::add_wallet`].
    pub async fn outage_of(&self, service: &str, down: bool) -> anyhow::Result<()> {
        let outage = if down { "unavailable" } else { "none" };
        self.post("/outage", &json!({ "service": service, "outage": outage })).await.map(drop)
    }

    /// The order book service reads requests and answers none, until [`Control::outage`] ends it.
    ///
    /// # Errors
    /// As [`Control::add_wallet`].
    pub async fn silence(&self) -> anyhow::Result<()> {
        self.post("/outage", &json!({ "service": "clob", "outage": "silent" })).await.map(drop)
    }

    /// Replaces the newest blocks by others; as deep as finality allows, at most `depth`.
    ///
    /// # Errors
    /// As [`Control::add_wallet`].
    pub async fn reorganise(&self, depth: i64) -> anyhow::Result<()> {
        let status = self.status().await?;
        let depth = depth.min(status.head - status.finalized);
        self.post("/reorg", &json!({ "depth": depth })).await.map(drop)
    }

    /// Where the chain stands.
    ///
    /// # Errors
    /// As [`Control::add_wallet`].
    pub async fn status(&self) -> anyhow::Result<Status> {
        self.call(Method::GET, "/", None).await
    }

    /// Every order that ever arrived.
    ///
    /// # Errors
    /// As [`Control::add_wallet`].
    pub async fn orders(&self) -> anyhow::Result<Vec<SeenOrder>> {
        self.call(Method::GET, "/orders", None).await
    }

    /// Orders of which something was executed or undone since `seen`.
    ///
    /// # Errors
    /// As [`Control::add_wallet`].
    pub async fn executions(&self, seen: usize) -> anyhow::Result<Executions> {
        self.call(Method::GET, &format!("/executions?seen={seen}"), None).await
    }

    /// Its judgement of itself.
    ///
    /// # Errors
    /// As [`Control::add_wallet`].
    pub async fn verdict(&self) -> anyhow::Result<SimulatorVerdict> {
        self.call(Method::GET, "/verdict", None).await
    }
}
