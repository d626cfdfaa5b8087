//! Orders of the official clients and ours, for the same inputs: equal byte for byte.

use std::sync::Arc;

use domain::{
    Address, Hash, KeyRef, OrderAmounts, OrderPlan, OrderType, Price, Side, TickSize, Timestamp,
    TradingAccount, WalletKind, ids::AccountId,
};
use eip712::Chain;
use engine::ports::venue::{OrderGateway, SignerError};
use polymarket::Clob;
use serde_json::{Value, json};
use signer::{Binding, KeySource, LocalSigner};
use slipstream::clock::SystemClock;
use tokio::{
    io::{AsyncBufReadExt, AsyncReadExt, AsyncWriteExt, BufReader},
    net::TcpListener,
};
use zeroize::Zeroizing;

use crate::{
    client::{Client, Language},
    venue::{FUNDERS, KEY, Kind, OWNER, Venue},
    witnessed,
};

witnessed! {
    same_bytes => typescript_signs_the_same_bytes, python_signs_the_same_bytes;
    same_grids => typescript_cuts_amounts_alike, python_cuts_amounts_alike;
}

/// The test key under its one name.
struct TestKey;

impl KeySource for TestKey {
    fn open(&self, _: &KeyRef) -> Result<Zeroizing<[u8; 32]>, SignerError> {
        let bytes = hex::decode(KEY.trim_start_matches("0x")).unwrap();
        Ok(Zeroizing::new(bytes.try_into().unwrap()))
    }
}

fn account(wallet: u8) -> TradingAccount {
    let owner: Address = OWNER.parse().unwrap();
    let funder = FUNDERS.get(usize::from(wallet).wrapping_sub(1)).map(|funder| funder.parse().unwrap());
    TradingAccount {
        id: AccountId(1),
        wallet: funder.unwrap_or(owner),
        signer: owner,
        kind: WalletKind::from_signature_type(wallet).unwrap(),
        key: KeyRef("test".to_owned()),
    }
}

/// Our adapter, for an account.
fn ours(venue: &Venue, account: &TradingAccount) -> Clob {
    let signer = LocalSigner::new(Chain::Polygon, Box::new(TestKey));
    signer
        .bind(account.key.clone(), Binding { wallet: account.wallet, kind: account.kind, until: None })
        .unwrap();
    let http = polymarket::client().unwrap();
    Clob::new(http, &venue.running.clob_url, Chain::Polygon, Arc::new(signer), Arc::new(SystemClock))
}

/// Takes one request, says yes to it and returns its body.
async fn capture(listener: &TcpListener) -> String {
    let (connection, _) = listener.accept().await.unwrap();
    let mut connection = BufReader::new(connection);
    let mut length = 0;
    loop {
        let mut line = String::new();
        connection.read_line(&mut line).await.unwrap();
        if let Some(value) = line.to_ascii_lowercase().strip_prefix("content-length:") {
            length = value.trim().parse().unwrap();
        }
        if line.trim().is_empty() {
            break;
        }
    }
    let mut body = vec![0; length];
    connection.read_exact(&mut body).await.unwrap();
    let reply = r#"{"success":true,"errorMsg":"","orderID":"0x0","status":"live"}"#;
    let head = "HTTP/1.1 200 OK\r\ncontent-type: application/json\r\nconnection: close\r\n";
    let reply = format!("{head}content-length: {}\r\n\r\n{reply}", reply.len());
    connection.write_all(reply.as_bytes()).await.unwrap();
    String::from_utf8(body).unwrap()
}

/// What an order is made of.
#[derive(Clone, Copy)]
enum Terms {
    /// These shares at this price.
    Limit(&'static str),
    /// These dollars (a buy) or shares (a sale), at this price at worst.
    Market(&'static str),
}

#[derive(Clone, Copy)]
struct Case {
    kind: Kind,
    side: Side,
    price: &'static str,
    terms: Terms,
    order_type: OrderType,
    tick: TickSize,
    builder: Option<Hash>,
}

const GTC: OrderType = OrderType::GoodTillCancelled { post_only: false };
const POST_ONLY: OrderType = OrderType::GoodTillCancelled { post_only: true };
/// Far away, in whole seconds.
const GTD: OrderType =
    OrderType::GoodTillDate { post_only: false, expires_at: Timestamp(4_000_000_000_000_000) };
/// A builder's code, made up.
const BUILDER: Hash = Hash([0xb1; 32]);

impl Case {
    const fn new(kind: Kind, side: Side, price: &'static str, terms: Terms, order_type: OrderType) -> Self {
        Self { kind, side, price, terms, order_type, tick: TickSize::Hundredth, builder: None }
    }

    /// The same on another price grid, in a market of the first exchange.
    const fn on(tick: TickSize, side: Side, price: &'static str, terms: Terms) -> Self {
        Self { tick, ..Self::new(Kind::Plain, side, price, terms, OrderType::FillAndKill) }
    }

    const fn built(self) -> Self {
        Self { builder: Some(BUILDER), ..self }
    }

    /// How the venue calls the order's type.
    const fn type_name(&self) -> &'static str {
        match self.order_type {
            OrderType::FillAndKill => "FAK",
            OrderType::FillOrKill => "FOK",
            OrderType::GoodTillCancelled { .. } => "GTC",
            OrderType::GoodTillDate { .. } => "GTD",
        }
    }

    fn amounts(&self) -> OrderAmounts {
        let price: Price = self.price.parse().unwrap();
        let amounts = match (self.terms, self.side) {
            (Terms::Limit(size), side) => OrderAmounts::limit(side, size.parse().unwrap(), price, self.tick),
            (Terms::Market(usd), Side::Buy) => {
                OrderAmounts::market_buy(usd.parse().unwrap(), price, self.tick)
            }
            (Terms::Market(shares), Side::Sell) => {
                OrderAmounts::market_sell(shares.parse().unwrap(), price, self.tick)
            }
        };
        amounts.unwrap()
    }
}

/// Every order type, every exchange, both sides.
const CASES: [Case; 12] = [
    Case::new(Kind::Plain, Side::Buy, "0.56", Terms::Limit("21.04"), OrderType::FillAndKill),
    Case::new(Kind::Plain, Side::Sell, "0.5", Terms::Limit("7.31"), OrderType::FillOrKill),
    Case::new(Kind::NegativeRisk, Side::Buy, "0.07", Terms::Limit("123.45"), GTC),
    Case::new(Kind::Third, Side::Sell, "0.93", Terms::Limit("5"), POST_ONLY),
    Case::new(Kind::Third, Side::Buy, "0.31", Terms::Limit("100.01"), OrderType::FillAndKill),
    Case::new(Kind::Plain, Side::Buy, "0.44", Terms::Limit("10"), GTD),
    Case::new(Kind::NegativeRisk, Side::Sell, "0.61", Terms::Limit("33.33"), GTD).built(),
    Case::new(Kind::Plain, Side::Buy, "0.56", Terms::Limit("21.04"), GTC).built(),
    Case::new(Kind::Plain, Side::Buy, "0.56", Terms::Market("17.35"), OrderType::FillAndKill),
    Case::new(Kind::NegativeRisk, Side::Sell, "0.47", Terms::Market("12.34"), OrderType::FillOrKill),
    Case::new(Kind::Third, Side::Buy, "0.31", Terms::Market("17.35"), OrderType::FillAndKill),
    Case::new(Kind::Third, Side::Sell, "0.47", Terms::Market("12.34"), OrderType::FillOrKill),
];

/// Every price grid, with amounts that have to be cut.
const GRIDS: [Case; 15] = [
    Case::on(TickSize::Tenth, Side::Buy, "0.3", Terms::Limit("12.34")),
    Case::on(TickSize::Tenth, Side::Sell, "0.7", Terms::Market("9.99")),
    Case::on(TickSize::Tenth, Side::Buy, "0.7", Terms::Market("10.01")),
    Case::on(TickSize::FiveThousandths, Side::Buy, "0.335", Terms::Limit("12.34")),
    Case::on(TickSize::FiveThousandths, Side::Sell, "0.985", Terms::Market("9.99")),
    Case::on(TickSize::FiveThousandths, Side::Buy, "0.715", Terms::Market("10.01")),
    Case::on(TickSize::QuarterHundredth, Side::Buy, "0.3325", Terms::Limit("12.34")),
    Case::on(TickSize::QuarterHundredth, Side::Sell, "0.9875", Terms::Market("9.99")),
    Case::on(TickSize::QuarterHundredth, Side::Buy, "0.7175", Terms::Market("10.01")),
    Case::on(TickSize::Thousandth, Side::Buy, "0.333", Terms::Limit("12.34")),
    Case::on(TickSize::Thousandth, Side::Sell, "0.989", Terms::Market("9.99")),
    Case::on(TickSize::Thousandth, Side::Buy, "0.717", Terms::Market("10.01")),
    Case::on(TickSize::TenThousandth, Side::Buy, "0.3333", Terms::Limit("12.34")),
    Case::on(TickSize::TenThousandth, Side::Sell, "0.9899", Terms::Market("9.99")),
    Case::on(TickSize::TenThousandth, Side::Buy, "0.7171", Terms::Market("10.01")),
];

async fn same_bytes(language: Language) {
    let venue = Venue::open().await;
    for wallet in 0..=3 {
        compare(&venue, language, wallet, &CASES).await;
    }
    venue.close().await;
}

async fn same_grids(language: Language) {
    let venue = Venue::open().await;
    compare(&venue, language, 0, &GRIDS).await;
    venue.close().await;
}

/// Lets the client sign and post each order, and signs it as well.
async fn compare(venue: &Venue, language: Language, wallet: u8, cases: &[Case]) {
    let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
    let capturing = format!("http://{}", listener.local_addr().unwrap());
    let account = account(wallet);
    let gateway = ours(venue, &account);
    for case in cases {
        let condition = case.kind.condition();
        venue.running.world().with(|world, _| world.set_tick(&condition, case.tick.size()).unwrap());
        let mut client = venue.client(language, wallet, case.builder).await;
        client.ok("login", json!({})).await;
        let signed = sign(&mut client, case).await;
        client.ok("host", json!({ "host": capturing })).await;
        let post_only = case.order_type == POST_ONLY;
        let post = json!({ "name": "order", "orderType": case.type_name(), "postOnly": post_only });
        let (theirs, _) = tokio::join!(capture(&listener), client.ok("post", post));
        let mine = gateway.prepare(&[plan(&account, case, &signed)]).await.remove(0).unwrap();
        let mine = String::from_utf8(mine.body).unwrap();
        let what = format!("{language:?}, wallet type {wallet}, {} at {}", case.type_name(), case.price);
        match language {
            Language::TypeScript => assert_eq!(mine, theirs, "{what}"),
            // The two official clients write the fields in different orders; ours is the first one's.
            Language::Python | Language::Unified => {
                let [mine, theirs] = [mine, theirs].map(|body| serde_json::from_str::<Value>(&body).unwrap());
                assert_eq!(mine, theirs, "{what}");
            }
        }
    }
}

async fn sign(client: &mut Client, case: &Case) -> Value {
    let number = |text: &str| text.parse::<f64>().unwrap();
    let mut order = json!({
        "name": "order", "token": case.kind.token(), "price": number(case.price), "side": case.side,
    });
    if case.kind == Kind::Third {
        order["options"] = json!({ "version": 3 });
    }
    let size = match case.terms {
        Terms::Market(amount) => {
            order["amount"] = json!(number(amount));
            order["orderType"] = json!(case.type_name());
            return client.ok("sign_market", order).await;
        }
        Terms::Limit(size) => size,
    };
    order["size"] = json!(number(size));
    if let OrderType::GoodTillDate { expires_at, .. } = case.order_type {
        order["expiration"] = json!(expires_at.seconds());
    }
    client.ok("sign", order).await
}

/// Our plan of the same order. What the client drew by lot, salt and time, is taken over.
fn plan(account: &TradingAccount, case: &Case, signed: &Value) -> OrderPlan {
    let text = |field: &str| signed[field].as_str().unwrap();
    OrderPlan {
        salt: text("salt").parse().unwrap(),
        account: account.clone(),
        token: case.kind.tokens()[0],
        side: case.side,
        amounts: case.amounts(),
        timestamp: Timestamp::from_millis(text("timestamp").parse().unwrap()),
        negative_risk: case.kind == Kind::NegativeRisk,
        order_type: case.order_type,
        defer: false,
        builder: case.builder.unwrap_or(Hash([0; 32])),
    }
}
