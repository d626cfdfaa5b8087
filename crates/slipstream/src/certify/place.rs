//! The venue as the questions meet it: every order is within the cap, and what is sent of the questions' own is recorded,
//! as is what websockets begin with (not what the adapter asks by itself: market, book, time, login, its look-ups).

use std::{
    collections::BTreeMap,
    sync::{
        Arc, Mutex, PoisonError,
        atomic::{AtomicU64, Ordering},
    },
    time::Duration,
};

use anyhow::{Context as _, bail, ensure};
use domain::{
    Clock, Hash, Market, OrderAmounts, OrderId, OrderPlan, OrderType, Price, Shares, Side, Timestamp,
    TokenId, TradingAccount, Usd,
};
use engine::{
    deadline::within,
    ports::{
        detection::Lane,
        venue::{
            MarketData as _, OrderGateway as _, OrderLookup, OrderQuery, PostReply, PreparedOrder, VenueError,
        },
    },
};
use polymarket::{Clob, read_replies, read_reply, socket::Connector};
use reqwest::{Client, Method, Request};
use serde_json::{Value, json};

use super::{
    recorder::Recorder,
    resting::Resting,
    transcript::{Raw, Transcript},
};

/// One call takes at most this long.
const CALL_DEADLINE: Duration = Duration::from_secs(15);
/// Longest reply that is read.
const LONGEST_REPLY: usize = 8 << 20;
/// Letters of a reply that are told.
const SHOWN: usize = 160;
/// Headers that are kept.
const HEADERS: [&str; 6] = [
    "retry-after",
    "poly-ratelimit-remaining",
    "poly-ratelimit-reset",
    "poly-ratelimit-tier",
    "poly-ratelimit-warning",
    "date",
];

/// Whom to ask, and how far to go.
pub(super) struct Terms {
    /// The order book service.
    pub(super) origin: String,
    /// Its websockets.
    pub(super) channels: String,
    /// The live trade feed.
    pub(super) live: String,
    /// The Data API.
    pub(super) data: String,
    /// Who asks.
    pub(super) account: TradingAccount,
    /// In which market.
    pub(super) token: TokenId,
    /// The most dollars in all orders together.
    pub(super) cap: Usd,
    /// The longest wait of one question.
    pub(super) patience: Duration,
    /// Whether something may be bought and sold again.
    pub(super) fill: bool,
}

/// The venue.
pub(super) struct Place {
    pub(super) terms: Terms,
    pub(super) clob: Arc<Clob>,
    pub(super) clock: Arc<dyn Clock>,
    pub(super) transcript: Arc<Transcript>,
    client: Client,
    market: Market,
    /// Of every order that shall not be filled.
    price: Price,
    asked: Mutex<Usd>,
    salt: AtomicU64,
    pub(super) resting: Resting,
    /// Shares that were bought and are not sold again.
    bought: Mutex<Shares>,
    /// What came of the sale of less than the market's minimum.
    small_sale: Mutex<Option<(bool, String)>>,
    statuses: Mutex<Vec<(String, OrderId)>>,
}

/// A reply.
pub(super) struct Reply {
    pub(super) status: u16,
    pub(super) headers: Vec<(String, String)>,
    pub(super) body: Vec<u8>,
    /// The body as it may be shown.
    shown: String,
}

impl Reply {
    /// The body as JSON; `null` if it is none.
    pub(super) fn json(&self) -> Value {
        serde_json::from_slice(&self.body).unwrap_or_default()
    }

    /// What this program takes it for, as a reply to the post of an order.
    pub(super) fn means(&self, id: OrderId) -> PostReply {
        read_reply(self.status, &self.body, id)
    }

    /// The same for several orders.
    pub(super) fn mean(&self, ids: &[OrderId]) -> Vec<PostReply> {
        read_replies(self.status, &self.body, ids)
    }

    pub(super) fn header(&self, name: &str) -> Option<&str> {
        self.headers.iter().find(|(header, _)| header == name).map(|(_, value)| value.as_str())
    }

    /// Status and the beginning of the body.
    pub(super) fn words(&self) -> String {
        format!("{} {}", self.status, self.shown.chars().take(SHOWN).collect::<String>())
    }
}

/// What a reply is taken for, in a word.
pub(super) const fn word(reply: &PostReply) -> &'static str {
    match reply {
        PostReply::Accepted(_) => "taken",
        PostReply::Killed { .. } => "killed",
        PostReply::Rejected { reason, .. } => reason.word(),
        PostReply::Duplicated => "duplicated",
        PostReply::NotAccepted { .. } => "not now",
        PostReply::Unknown { .. } => "a text that nobody here knows",
    }
}

/// Whether the venue takes nothing for a while.
const fn is_later(reply: &PostReply) -> bool {
    matches!(reply, PostReply::NotAccepted { .. })
}

/// Whether this program knows what the reply means.
pub(super) const fn is_known(reply: &PostReply) -> bool {
    !matches!(reply, PostReply::Unknown { .. })
}

impl Place {
    /// Reads the market and finds the price at which nobody sells.
    pub(super) async fn open(
        terms: Terms,
        clob: Arc<Clob>,
        client: Client,
        (clock, transcript, salt): (Arc<dyn Clock>, Arc<Transcript>, u64),
    ) -> anyhow::Result<Self> {
        let market = clob.market(terms.token, Lane::Entries).await.context("the market cannot be read")?;
        let market = market.context("the venue knows no such token; name one with --token")?;
        let book = clob.book(terms.token, Lane::Entries).await.context("the book cannot be read")?;
        let offered = book.and_then(|book| book.best_for(Side::Buy));
        let price = market.tick.size();
        if let Some(offered) = offered {
            ensure!(offered > price, "somebody sells at {offered} already; name a dearer token with --token");
        }
        ensure!(market.accepting_orders, "the market takes no orders; name another with --token");
        for hidden in [terms.account.wallet, terms.account.signer] {
            transcript.hide(&hidden.to_string());
        }
        let (resting, statuses, asked) = (Resting::default(), Mutex::default(), Mutex::new(Usd::ZERO));
        let salt = AtomicU64::new(salt);
        let bought = Mutex::new(Shares::ZERO);
        Ok(Self {
            terms,
            clob,
            clock,
            transcript,
            client,
            market,
            price,
            asked,
            salt,
            resting,
            bought,
            small_sale: Mutex::default(),
            statuses,
        })
    }

    /// An order at the lowest price, for as few shares as the market takes.
    pub(super) async fn order(&self, kind: OrderType) -> anyhow::Result<PreparedOrder> {
        self.order_dated(kind, self.clock.now()).await
    }

    /// The same with another date in it.
    pub(super) async fn order_dated(&self, kind: OrderType, at: Timestamp) -> anyhow::Result<PreparedOrder> {
        let amounts = OrderAmounts::limit(Side::Buy, self.market.minimum_size, self.price, self.market.tick)?;
        self.afford(Usd(amounts.maker))?;
        self.prepared(kind, Side::Buy, amounts, at).await
    }

    /// The least there is to buy at once: the order, and its limit.
    pub(super) async fn buy(&self) -> anyhow::Result<(PreparedOrder, Price)> {
        let limit = self.best(Side::Buy).await?.context("nobody sells")?;
        let usd = self.market.minimum_buy(limit)?;
        // With room for the fee, which comes on top.
        self.afford(usd.plus(self.market.fee.worst_buy_fee(usd, limit, limit)?)?)?;
        let amounts = OrderAmounts::market_buy(usd, limit, self.market.tick)?;
        Ok((self.prepared(OrderType::FillAndKill, Side::Buy, amounts, self.clock.now()).await?, limit))
    }

    /// The sale of what was bought, at what is bid now.
    pub(super) async fn sale(&self, shares: Shares) -> anyhow::Result<PreparedOrder> {
        let limit = self.best(Side::Sell).await?.context("nobody buys")?;
        let amounts = OrderAmounts::market_sell(shares, limit, self.market.tick)?;
        self.prepared(OrderType::FillAndKill, Side::Sell, amounts, self.clock.now()).await
    }

    async fn best(&self, side: Side) -> anyhow::Result<Option<Price>> {
        let book =
            self.clob.book(self.terms.token, Lane::Entries).await.context("the book cannot be read")?;
        Ok(book.and_then(|book| book.best_for(side)))
    }

    /// Dollars of the account as the venue has them, after it was asked to look.
    pub(super) async fn dollars(&self) -> anyhow::Result<Usd> {
        let kind = self.terms.account.kind.signature_type();
        let query = format!("?asset_type=COLLATERAL&signature_type={kind}");
        let asked = self.get("/balance-allowance/update", &query).await?;
        ensure!(asked.status == 200, "{}", asked.words());
        let reply = self.get("/balance-allowance", &query).await?;
        let balance = reply.json().get("balance").and_then(Value::as_str).and_then(|text| text.parse().ok());
        balance.map(Usd).with_context(|| format!("the balance cannot be read: {}", reply.words()))
    }

    /// Notes what is left of what was bought.
    pub(super) fn holds(&self, shares: Shares) {
        *self.bought.lock().unwrap_or_else(PoisonError::into_inner) = shares;
    }

    /// Shares that were bought and are not sold again.
    pub(super) fn held(&self) -> Shares {
        *self.bought.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// Notes what came of the sale of less than the market's minimum, and whether that is a known answer.
    pub(super) fn sold_small(&self, known: bool, seen: String) {
        *self.small_sale.lock().unwrap_or_else(PoisonError::into_inner) = Some((known, seen));
    }

    /// What came of it, if there was one.
    pub(super) fn small_sale(&self) -> Option<(bool, String)> {
        self.small_sale.lock().unwrap_or_else(PoisonError::into_inner).clone()
    }

    /// What the market's fee is.
    pub(super) const fn market(&self) -> &Market {
        &self.market
    }

    async fn prepared(
        &self,
        kind: OrderType,
        side: Side,
        amounts: OrderAmounts,
        at: Timestamp,
    ) -> anyhow::Result<PreparedOrder> {
        let plan = OrderPlan {
            salt: self.salt.fetch_add(1, Ordering::Relaxed),
            account: self.terms.account.clone(),
            token: self.terms.token,
            side,
            amounts,
            timestamp: at,
            negative_risk: self.market.negative_risk,
            order_type: kind,
            defer: false,
            builder: Hash([0; 32]),
        };
        let prepared = self.clob.prepare(&[plan]).await.pop().context("no order came back")?;
        prepared.context("the order cannot be prepared")
    }

    fn afford(&self, usd: Usd) -> anyhow::Result<()> {
        let mut asked = self.asked.lock().unwrap_or_else(PoisonError::into_inner);
        let sum = asked.plus(usd)?;
        ensure!(
            sum <= self.terms.cap,
            "not asked: {sum} dollars would be above the cap of {}",
            self.terms.cap
        );
        *asked = sum;
        Ok(())
    }

    /// Posts an order as it is. A venue that takes nothing for a while answers no question.
    pub(super) async fn post(&self, order: &PreparedOrder) -> anyhow::Result<Reply> {
        self.resting.may([order.id], self.clock.uptime());
        let reply = self.call(Method::POST, "/order", "", order.body.clone()).await?;
        self.resting.answered(order.id, &reply.means(order.id));
        ensure!(!is_later(&reply.means(order.id)), "not now: {}", reply.words());
        if let Some(status) = reply.json().get("status").and_then(Value::as_str) {
            self.statuses.lock().unwrap_or_else(PoisonError::into_inner).push((status.to_owned(), order.id));
        }
        Ok(reply)
    }

    /// Posts several in one request.
    pub(super) async fn post_together(&self, orders: &[PreparedOrder]) -> anyhow::Result<Reply> {
        let bodies: Vec<Value> =
            orders.iter().map(|order| serde_json::from_slice(&order.body)).collect::<Result<_, _>>()?;
        let ids: Vec<OrderId> = orders.iter().map(|order| order.id).collect();
        self.resting.may(ids.iter().copied(), self.clock.uptime());
        let reply = self.call(Method::POST, "/orders", "", serde_json::to_vec(&bodies)?).await?;
        ids.iter().zip(&reply.mean(&ids)).for_each(|(id, means)| self.resting.answered(*id, means));
        ensure!(!reply.mean(&ids).iter().any(is_later), "not now: {}", reply.words());
        Ok(reply)
    }

    /// An order that rests; an error when it does not.
    pub(super) async fn rest(&self) -> anyhow::Result<(PreparedOrder, Reply)> {
        let order = self.order(OrderType::GoodTillCancelled { post_only: true }).await?;
        let reply = self.post(&order).await?;
        match reply.means(order.id) {
            PostReply::Accepted(_) => Ok((order, reply)),
            other => {
                bail!("an order at the lowest price does not rest: {} ({})", reply.words(), word(&other))
            }
        }
    }

    /// Cancels one.
    pub(super) async fn cancel(&self, id: OrderId) -> anyhow::Result<Reply> {
        self.call(Method::DELETE, "/order", "", serde_json::to_vec(&json!({ "orderID": id }))?).await
    }

    /// Asks to cancel several, whoever's they are.
    pub(super) async fn cancel_all_of(&self, ids: &[OrderId]) -> anyhow::Result<Reply> {
        self.call(Method::DELETE, "/orders", "", serde_json::to_vec(ids)?).await
    }

    /// Looks an order up as the engine does.
    pub(super) async fn look_up(&self, id: OrderId) -> Result<OrderLookup, VenueError> {
        let (token, signed_at) = (self.terms.token, self.clock.now());
        let query = OrderQuery { id, token, signed_at, lane: Lane::Entries };
        self.clob.look_up(&self.terms.account, &query).await
    }

    /// Statuses that orders were answered with so far, each with the newest order.
    pub(super) fn statuses(&self) -> BTreeMap<String, OrderId> {
        self.statuses.lock().unwrap_or_else(PoisonError::into_inner).iter().cloned().collect()
    }

    /// The price of every order.
    pub(super) const fn price(&self) -> Price {
        self.price
    }

    /// Listens on websockets, with counts of its own.
    pub(super) fn recorder(&self) -> Arc<Recorder> {
        Arc::new(Recorder::new(Arc::clone(&self.clock), Arc::clone(&self.transcript)))
    }

    /// The same for whoever needs no counts.
    pub(super) fn sockets(&self) -> Arc<dyn Connector> {
        self.recorder()
    }

    /// What spreads the pauses of a socket.
    pub(super) fn seed(&self) -> u64 {
        self.salt.load(Ordering::Relaxed)
    }

    /// Waits if it may; `false` when that would take too long.
    pub(super) async fn wait(&self, duration: Duration) -> bool {
        if duration > self.terms.patience {
            return false;
        }
        self.clock.sleep(duration).await;
        true
    }

    /// A question of the account.
    pub(super) async fn get(&self, path: &str, query: &str) -> anyhow::Result<Reply> {
        self.call(Method::GET, path, query, Vec::new()).await
    }

    /// A question of anybody.
    pub(super) async fn public(&self, path: &str) -> anyhow::Result<Reply> {
        self.read(&self.terms.origin, path).await
    }

    /// A question of anybody to the Data API.
    pub(super) async fn data(&self, path: &str) -> anyhow::Result<Reply> {
        self.read(&self.terms.data, path).await
    }

    async fn read(&self, origin: &str, path: &str) -> anyhow::Result<Reply> {
        let request = self.client.get(format!("{origin}{path}")).build()?;
        self.send(request, path, &[]).await
    }

    async fn call(&self, method: Method, path: &str, query: &str, body: Vec<u8>) -> anyhow::Result<Reply> {
        let request = self.clob.request(&self.terms.account, method, (path, query), body.clone()).await?;
        self.send(request, &format!("{path}{query}"), &body).await
    }

    /// Sends, and records whatever comes of it. Headers are not kept but for a few of the reply's: the
    /// request's are credentials.
    async fn send(&self, request: Request, path: &str, body: &[u8]) -> anyhow::Result<Reply> {
        let (at, method) = (self.clock.now(), request.method().to_string());
        let answer = within(self.clock.as_ref(), CALL_DEADLINE, self.exchange(request)).await;
        let mut reply = answer.unwrap_or_else(|_| bail!("no reply within {CALL_DEADLINE:?}"));
        let kept = match &reply {
            Ok(reply) => Ok((reply.status, reply.headers.as_slice(), reply.body.as_slice())),
            Err(error) => Err(format!("{error:#}")),
        };
        self.transcript.keep(&Raw { at, method: &method, path, request: body, reply: kept });
        if let Ok(reply) = &mut reply {
            // Whole, before it is cut: half a secret would not be found.
            reply.shown = self.transcript.shown(&String::from_utf8_lossy(&reply.body));
        }
        reply
    }

    async fn exchange(&self, request: Request) -> anyhow::Result<Reply> {
        let mut answer = self.client.execute(request).await.map_err(reqwest::Error::without_url)?;
        let status = answer.status().as_u16();
        let kept = |name: &&str| {
            let value = answer.headers().get(*name)?.to_str().ok()?;
            Some(((*name).to_owned(), value.to_owned()))
        };
        let headers = HEADERS.iter().filter_map(kept).collect();
        let mut body = Vec::new();
        while let Some(chunk) = answer.chunk().await.map_err(reqwest::Error::without_url)? {
            ensure!(body.len() + chunk.len() <= LONGEST_REPLY, "a reply of more than {LONGEST_REPLY} bytes");
            body.extend_from_slice(&chunk);
        }
        Ok(Reply { status, headers, body, shown: String::new() })
    }
}
