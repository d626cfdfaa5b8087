//! Orders of the official clients and ours, for the same inputs: equal byte for byte.

use std::sync::Arc;

use domain::{
    Address, Hash, KeyRef, OrderAmounts, OrderPlan, OrderType, Price, Shares, Side, TickSize, Timestamp,
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
    signer.bind(account.key.clone(), Binding { wallet: account.wallet, kind: account.kind }).unwrap();
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

struct Case {
    kind: Kind,
    side: Side,
    price: &'static str,
    size: &'static str,
    order_type: OrderType,
}

const GTC: OrderType = OrderType::GoodTillCancelled { post_only: false };
const POST_ONLY: OrderType = OrderType::GoodTillCancelled { post_only: true };

impl Case {
    const fn new(
        kind: Kind,
        side: Side,
        price: &'static str,
        size: &'static str,
        order_type: OrderType,
    ) -> Self {
        Self { kind, side, price, size, order_type }
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
}

const CASES: [Case; 5] = [
    Case::new(Kind::Plain, Side::Buy, "0.56", "21.04", OrderType::FillAndKill),
    Case::new(Kind::Plain, Side::Sell, "0.5", "7.31", OrderType::FillOrKill),
    Case::new(Kind::NegativeRisk, Side::Buy, "0.07", "123.45", GTC),
    Case::new(Kind::Third, Side::Sell, "0.93", "5", POST_ONLY),
    Case::new(Kind::Third, Side::Buy, "0.31", "100.01", OrderType::FillAndKill),
];

async fn same_bytes(language: Language) {
    let venue = Venue::open().await;
    let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
    let capturing = format!("http://{}", listener.local_addr().unwrap());
    for wallet in 0..=3 {
        let account = account(wallet);
        let gateway = ours(&venue, &account);
        for case in CASES {
            let mut client = venue.stranger(language, wallet).await;
            client.ok("login", json!({})).await;
            let signed = sign(&mut client, &case).await;
            client.ok("host", json!({ "host": capturing })).await;
            let post_only = case.order_type == POST_ONLY;
            let post = json!({ "name": "order", "orderType": case.type_name(), "postOnly": post_only });
            let (theirs, _) = tokio::join!(capture(&listener), client.ok("post", post));
            let mine = gateway.prepare(&[plan(&account, &case, &signed)]).await.remove(0).unwrap();
            let mine = String::from_utf8(mine.body).unwrap();
            let what = format!("{language:?}, wallet type {wallet}");
            match language {
                Language::TypeScript => assert_eq!(mine, theirs, "{what}"),
                // The two official clients write the fields in different orders; ours is the first one's.
                Language::Python | Language::Unified => {
                    let [mine, theirs] =
                        [mine, theirs].map(|body| serde_json::from_str::<Value>(&body).unwrap());
                    assert_eq!(mine, theirs, "{what}");
                }
            }
        }
    }
    venue.close().await;
}

async fn sign(client: &mut Client, case: &Case) -> Value {
    let number = |text: &str| text.parse::<f64>().unwrap();
    let mut order = json!({
        "name": "order", "token": case.kind.token(), "price": number(case.price), "size": number(case.size),
        "side": case.side,
    });
    if case.kind == Kind::Third {
        order["options"] = json!({ "version": 3 });
    }
    client.ok("sign", order).await
}

/// Our plan of the same order. What the client drew by lot, salt and time, is taken over.
fn plan(account: &TradingAccount, case: &Case, signed: &Value) -> OrderPlan {
    let text = |field: &str| signed[field].as_str().unwrap();
    let price: Price = case.price.parse().unwrap();
    let size: Shares = case.size.parse().unwrap();
    OrderPlan {
        salt: text("salt").parse().unwrap(),
        account: account.clone(),
        token: case.kind.tokens()[0],
        side: case.side,
        amounts: OrderAmounts::limit(case.side, size, price, TickSize::Hundredth).unwrap(),
        timestamp: Timestamp::from_millis(text("timestamp").parse().unwrap()),
        negative_risk: case.kind == Kind::NegativeRisk,
        order_type: case.order_type,
        defer: false,
        builder: Hash([0; 32]),
    }
}
