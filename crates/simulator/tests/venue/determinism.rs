//! The same requests in the same order, over real sockets, to two venues of one seed: the same bytes come back. Time is
//! the test's; of a reply only the `date` header, which the HTTP library writes from the system's clock, is left out.

use std::time::Duration;

use domain::{Side, TxHash};
use reqwest::{Method, RequestBuilder};
use serde_json::{Value, json};
use simulator::{SimulatorConfig, contracts::Exchange};

use super::harness::{Trader, Venue, levels, market_v2, market_v3};

/// A venue, and everything it replied.
struct Script {
    venue: Venue,
    replies: Vec<(String, String)>,
}

impl Script {
    async fn of(seed: u64) -> Self {
        let config = SimulatorConfig { seed, block_interval_ms: 0, ..SimulatorConfig::default() };
        Self { venue: Venue::start(config).await, replies: Vec::new() }
    }

    /// Sends a request and notes every byte of the reply; its body as JSON.
    async fn ask(&mut self, name: &str, request: RequestBuilder) -> Value {
        let reply = request.send().await.unwrap();
        let mut headers: Vec<String> = reply
            .headers()
            .iter()
            .filter(|(name, _)| *name != "date")
            .map(|(name, value)| format!("{name}: {}", value.to_str().unwrap()))
            .collect();
        headers.sort_unstable();
        let (status, body) = (reply.status(), reply.text().await.unwrap());
        self.replies.push((name.to_owned(), format!("{status}\n{}\n\n{body}", headers.join("\n"))));
        serde_json::from_str(&body).unwrap_or_default()
    }

    async fn get(&mut self, name: &str, url: String) -> Value {
        let request = self.venue.http.get(url);
        self.ask(name, request).await
    }

    async fn clob(&mut self, path: &str) {
        self.get(path, format!("{}{path}", self.venue.running.clob_url)).await;
    }

    async fn control(&mut self, path: &str, body: Value) -> Value {
        let request = self.venue.http.post(format!("{}{path}", self.venue.running.control_url));
        self.ask(path, request.header("content-type", "application/json").body(body.to_string())).await
    }

    async fn rpc(&mut self, method: &str, params: Value) -> Value {
        let body = json!({ "jsonrpc": "2.0", "id": 1, "method": method, "params": params });
        let request = self.venue.http.post(&self.venue.running.rpc_url);
        self.ask(method, request.header("content-type", "application/json").body(body.to_string())).await
    }

    async fn signed(&mut self, trader: &Trader, method: Method, path: &str, body: &str) -> Value {
        let name = format!("{method} {}", path.split('?').next().unwrap());
        let request = trader.request(&self.venue, method, path, body);
        self.ask(&name, request).await
    }

    /// Two traders trade with the house and with each other, in every way that leaves a trace.
    async fn trade(&mut self) {
        let (first, second) =
            (Trader::logged_in(&self.venue, 1, 0).await, Trader::logged_in(&self.venue, 2, 3).await);
        self.replies.push(("keys".to_owned(), format!("{} {}", first.key, second.api_secret)));
        let (market, third) = (market_v2(false), market_v3());
        let token = market.tokens[0];
        for (salt, exchange, token) in
            [(1, Exchange::V2, token), (2, Exchange::V3, third.tokens[0]), (3, Exchange::V3, token)]
        {
            let mut order = first.order(token, Side::Buy, 10_000_000, 17_857_100);
            order.salt = salt;
            let (id, body) = first.body(&order, exchange, "FAK");
            self.signed(&first, Method::POST, "/order", &body).await;
            self.signed(&first, Method::GET, &format!("/data/order/{id}"), "").await;
            // The second time it is known.
            self.signed(&first, Method::POST, "/order", &body).await;
        }
        let bid = second.order(token, Side::Buy, 10_400_000, 20_000_000);
        let (_, resting) = second.body(&bid, Exchange::V2, "GTC");
        self.signed(&second, Method::POST, "/order", &resting).await;
        let sale = first.order(token, Side::Sell, 10_000_000, 5_000_000);
        let (_, sale) = first.body(&sale, Exchange::V2, "FAK");
        self.signed(&first, Method::POST, "/orders", &format!("[{sale}]")).await;
        for kind in ["500_before", "500_after", "429"] {
            self.control("/faults", json!({ "target": "order", "kind": kind })).await;
            let mut order = first.order(token, Side::Buy, 2_000_000, 3_571_400);
            order.salt = 50;
            let (_, body) = first.body(&order, Exchange::V2, "FAK");
            self.signed(&first, Method::POST, "/order", &body).await;
        }
        self.signed(&second, Method::DELETE, "/cancel-all", "").await;
        self.venue.clock.advance(Duration::from_secs(3));
        for path in ["/data/orders", "/data/trades", "/balance-allowance?asset_type=COLLATERAL"] {
            for trader in [&first, &second] {
                self.signed(trader, Method::GET, path, "").await;
            }
        }
    }

    /// Blocks are made and replaced; everybody else's trades and what the public services say of them.
    async fn look(&mut self) {
        let token = market_v2(false).tokens[0];
        let leader = "0x1e1e1e1e1e1e1e1e1e1e1e1e1e1e1e1e1e1e1e1e";
        let fill = json!({ "wallet": leader, "token": token, "side": "BUY", "price": "0.5", "shares": "7" });
        let tx = TxHash([0x77; 32]);
        self.control("/trades", json!({ "tx_hash": tx, "fills": [fill] })).await;
        for (path, body) in [("/mine", json!({})), ("/reorg", json!({ "depth": 1 })), ("/mine", json!({}))] {
            self.control(path, body).await;
        }
        self.control("/levels", json!(levels(token, &[("0.4", "5")], &[("0.6", "5")]))).await;
        for path in ["/time", "/markets", "/ok"] {
            self.clob(path).await;
        }
        self.clob(&format!("/book?token_id={token}")).await;
        let head = self.rpc("eth_blockNumber", json!([])).await["result"].clone();
        self.rpc("eth_getBlockByNumber", json!(["latest", false])).await;
        let logs = self.rpc("eth_getLogs", json!([{ "fromBlock": "0x55d4a80", "toBlock": head }])).await;
        let newest = logs["result"].as_array().and_then(|logs| logs.last()).expect("logs").clone();
        self.rpc("eth_getTransactionReceipt", json!([newest["transactionHash"]])).await;
        let (data, gamma) = (self.venue.running.data_url.clone(), self.venue.running.gamma_url.clone());
        for path in ["/trades", "/activity", "/positions"] {
            self.get(path, format!("{data}{path}?user={leader}")).await;
        }
        self.get("gamma", format!("{gamma}/markets")).await;
        for path in ["/verdict", "/executions", "/status"] {
            let url = format!("{}{path}", self.venue.running.control_url);
            self.get(path, url).await;
        }
    }

    async fn replies_of(seed: u64) -> Vec<(String, String)> {
        let mut script = Self::of(seed).await;
        script.trade().await;
        script.look().await;
        script.venue.running.shutdown().await;
        script.replies
    }
}

#[tokio::test]
async fn replies_are_a_function_of_the_seed_and_the_order_of_requests() {
    let [first, again, other] = [5, 5, 6].map(Script::replies_of);
    let (first, again, other) = (first.await, again.await, other.await);
    let succeeded = first.iter().filter(|(_, reply)| reply.starts_with("200")).count();
    assert!(succeeded * 4 > first.len() * 3, "{first:#?}");
    for (one, two) in first.iter().zip(&again) {
        assert_eq!(one, two);
    }
    assert_eq!(first.len(), again.len());
    let names = |same: bool| -> Vec<&str> {
        let both = first.iter().zip(&other).filter(|(one, two)| (one == two) == same);
        both.map(|((name, _), _)| name.as_str()).collect()
    };
    // What is made up is of the seed; what was said to the venue is not.
    let made = names(false);
    for name in ["keys", "POST /order", "GET /data/trades", "eth_getBlockByNumber", "eth_getLogs"] {
        assert!(made.contains(&name), "{name} is the same with another seed: {made:?}");
    }
    let told = names(true);
    for name in ["/time", "/ok", "eth_blockNumber"] {
        assert!(told.contains(&name), "{name} differs with another seed: {told:?}");
    }
}
