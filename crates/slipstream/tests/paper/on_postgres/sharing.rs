//! Workers that the venue counts together.

use domain::{Price, Shares, Side, TxHash, money::ONE};
use serde_json::json;
use simulator::world::control::{ForeignFill, ForeignTrade};

use super::*;
use crate::scene::{LEADER, TOKEN};

/// What the venue takes in ten seconds of one internet address. More than this is refused at once.
const LIMIT: usize = 18;
/// What the leader buys …
const BUYS: u8 = 36;
/// … and how much of that so slowly that each order has a request to itself: more than the limit.
const ALONE: u8 = 24;
/// More than two processes buy before the buys are too old, while they know nothing of each other.
const JOINED: usize = 15;

impl Scene {
    async fn limited(&self) {
        let quota = json!({ "per_10s": LIMIT });
        let quotas = json!({ "post_order": quota, "post_orders": quota });
        let knobs = json!({ "rates": { "per_ip": true, "quotas": quotas } });
        self.control.set_knobs(&knobs).await.expect("knobs");
    }

    /// A worker that knows the limit.
    fn join_limited(&self, home: &str) -> Guard {
        self.home(home);
        let log = fs::File::options().append(true).create(true).open(self.log()).expect("a log");
        let mut command = self.role("worker", home);
        for key in ["SLIPSTREAM_VENUE_LIMIT_ORDER", "SLIPSTREAM_VENUE_LIMIT_ORDERS"] {
            command.env(key, format!("{LIMIT}/10s"));
        }
        Guard(command.stderr(log).spawn().expect("it starts"))
    }

    /// Sides of the orders that the venue has seen.
    async fn sides(&self) -> Vec<Side> {
        self.control.orders().await.expect("orders").iter().map(|order| order.side).collect()
    }

    /// Requests for orders that were refused for coming too fast.
    async fn refused(&self) -> u64 {
        let url = format!("{}/traffic", self.urls.control);
        let client = polymarket::client().expect("a client");
        let reply = client.get(url).send().await.expect("an answer").text().await.expect("a text");
        let counts: Value = serde_json::from_str(&reply).expect("JSON");
        let of = |group: &str| counts["endpoints"][group]["throttled"].as_u64().unwrap_or_default();
        of("post_order") + of("post_orders")
    }

    /// The leader sells half of what was bought.
    async fn leader_sells_half(&self) {
        let (price, shares) = (Price(300_000), Shares(i64::from(BUYS) * 50 * ONE));
        let fill =
            ForeignFill { wallet: LEADER, token: TOKEN, side: Side::Sell, price, shares, maker: false };
        let trade = ForeignTrade { tx_hash: TxHash([BUYS + 1; 32]), fills: vec![fill], moves: Vec::new() };
        self.control.trade(&trade).await.expect("a trade");
    }
}

/// Two processes have more to buy than they may, and then to sell.
async fn two_workers_keep_to_one_limit(with_redis: bool) {
    let (scene, _, _signer) = Scene::with_real_money().await;
    scene.limited().await;
    if !with_redis {
        scene.redis().stop().expect("it stops");
    }
    scene.home("v1");
    let _backend = scene.join("backend", "data", None);
    scene.up().await;
    let _watcher = scene.join("watcher", "v1", None);
    let _workers = ["w1", "w2"].map(|home| scene.join_limited(home));
    scene.until_at_work("watcher", 1).await;
    scene.until_at_work("worker-0", 2).await;
    scene.funded().await;
    scene.ask(&["edit", "2", "--fixed", "2.2"]);
    scene.next_second().await;
    for number in 1..=BUYS {
        scene.leader_buys(number, &OFFERS).await;
        let decided = 2 * usize::from(number.min(ALONE));
        scene.until_answers("decision", |lines| lines.len() >= decided).await;
    }
    // Each has taken its part once it knows of the other, and what it did not know has left the window.
    scene.until("buys", async || (scene.sides().await.len() >= JOINED).then_some(())).await;
    scene.leader_sells_half().await;
    let sold = async || scene.sides().await.contains(&Side::Sell).then_some(());
    scene.until("sale", sold).await;
    assert_eq!(scene.refused().await, 0, "after {} orders", scene.sides().await.len());
}

#[tokio::test(flavor = "multi_thread")]
async fn two_workers_keep_to_one_limit_as_they_tell_each_other() {
    two_workers_keep_to_one_limit(true).await;
}

/// Whoever is not known to have ended counts.
#[tokio::test(flavor = "multi_thread")]
async fn two_workers_keep_to_one_limit_without_redis() {
    two_workers_keep_to_one_limit(false).await;
}
