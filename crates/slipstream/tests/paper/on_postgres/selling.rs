//! Sales, while whoever makes them stands still for longer than its lease, dies, or is asked to end.

use domain::{Shares, Side, TxHash, Usd, money::ONE};
use engine::limits::WORK_LEASE;
use rustix::process::Signal;
use simulator::world::{
    control::{ForeignFill, ForeignTrade},
    faults::{Fault, FaultKind, FaultTarget},
};

use super::*;
use crate::scene::{LEADER, TOKEN};

/// A reply that comes this late is waited for by whoever is asked to end.
const LATE: Duration = Duration::from_secs(2);

impl Scene {
    async fn leader_sells(&self, number: u8, shares: i64) {
        let price = domain::Price(300_000);
        let shares = Shares(shares * ONE);
        let fill =
            ForeignFill { wallet: LEADER, token: TOKEN, side: Side::Sell, price, shares, maker: false };
        let trade = ForeignTrade { tx_hash: TxHash([number; 32]), fills: vec![fill], moves: Vec::new() };
        self.control.trade(&trade).await.expect("a trade");
    }

    /// Waits until the kernel says that no thread of a process runs.
    async fn until_still(&self, process: &Guard) {
        let stat = format!("/proc/{}/stat", process.0.id());
        let is_still = async || {
            let text = fs::read_to_string(&stat).ok()?;
            let (_, state) = text.rsplit_once(')')?;
            state.trim_start().starts_with('T').then_some(())
        };
        self.until("standstill", is_still).await;
    }

    /// What the books say was sold, by order.
    fn sold(&self) -> Vec<i64> {
        let rows = self.ask(&["export", "ledger"]);
        let shares = rows.as_array().expect("rows").iter().filter_map(|row| row["shares"].as_i64());
        shares.filter(|shares| *shares < 0).map(|shares| -shares).collect()
    }

    /// Whether somebody has the turn to look at wallets.
    fn turn_is_taken(&self) -> bool {
        self.sql("SELECT count(*) FROM leases WHERE name = 'wallets' AND holder IS NOT NULL") == "1"
    }
}

/// Three workers stand still in the middle of a sale each, before it is sent, after, and before it is recorded, until long
/// after their leases. Others take over what they may; when the three go on, nothing is sold twice.
#[tokio::test(flavor = "multi_thread")]
async fn whoever_stands_still_past_its_lease_sells_nothing_twice() {
    let (scene, _backend) = Scene::begun(&["b2", "w1", "w2", "w3", "w4", "v1"]).await;
    let _second = scene.join("backend", "b2", None);
    let _watcher = scene.join("watcher", "v1", None);
    let mut buys = scene.join("worker", "w1", None);
    scene.until_at_work("watcher", 1).await;
    scene.until_at_work("worker-0", 1).await;
    let (mut trades, held) = (0, 8);
    for _ in 0..held {
        trades += 1;
        scene.leader_buys(trades, &OFFERS).await;
    }
    scene.until_settled(trades).await;
    scene.until_held("copies", held * GIVEN).await;
    assert!(scene.end(&mut buys).await.success());
    // Each is alone when it gets its sale.
    let mut still = Vec::new();
    for (home, point) in
        [("w1", "worker.after_commit"), ("w2", "worker.after_post"), ("w3", "worker.before_record")]
    {
        let worker = scene.join("worker", home, Some(&format!("{point}:1:stop")));
        trades += 1;
        scene.leader_sells(trades, 100).await;
        scene.until_still(&worker).await;
        still.push(worker);
    }
    let stopped = SystemClock.uptime();
    let _other = scene.join("worker", "w4", None);
    // What was sent is found by looking it up; nobody sells again what may still be sent.
    scene.until_held("what two had sent", (held - 2) * GIVEN).await;
    let past = || SystemClock.uptime() > stopped + WORK_LEASE + Duration::from_secs(1);
    scene.until("end of all leases", async || past().then_some(())).await;
    assert_eq!(scene.sold(), [GIVEN, GIVEN]);
    for worker in &still {
        signal(worker, Signal::CONT);
    }
    trades += 1;
    scene.leader_sells(trades, 100).await;
    scene.until_held("the last two sales", (held - 4) * GIVEN).await;
    // Whatever else somebody has at hand comes to its end.
    for worker in &mut still {
        assert!(scene.end(worker).await.success());
    }
    trades += 1;
    scene.leader_sells(trades, 100).await;
    scene.until_held("one more sale", (held - 5) * GIVEN).await;
    assert_eq!(scene.sold(), [GIVEN; 5]);
    assert_eq!(scene.copies(), held - 5);
}

/// With (simulated) real money: workers are asked to end while the venue is slow to answer, and killed while they sell; the
/// backend that looks at wallets stands still while money comes, and another one looks.
#[tokio::test(flavor = "multi_thread")]
async fn a_team_with_real_money_sells_what_it_holds_once() {
    let (scene, eoa, _signer) = Scene::with_real_money().await;
    for home in ["b2", "w1", "w2", "v1"] {
        scene.home(home);
    }
    let looking = scene.join("backend", "b2", None);
    scene.until("turn", async || scene.turn_is_taken().then_some(())).await;
    let _backend = scene.join("backend", "data", None);
    scene.up().await;
    let mut workers = [scene.join("worker", "w1", None), scene.join("worker", "w2", None)];
    let _watcher = scene.join("watcher", "v1", None);
    scene.until_at_work("watcher", 1).await;
    scene.until_at_work("worker-0", 2).await;
    scene.funded().await;
    let mut trades = 0;
    for _ in 0..4 {
        trades += 1;
        scene.leader_buys(trades, &OFFERS).await;
        scene.until_settled(2 * trades).await;
    }
    scene.until_held("copies", 4 * GIVEN).await;
    // A rolling restart, while the venue has an order and has not answered.
    let slow = FaultKind::Slow;
    let delay_ms = u64::try_from(LATE.as_millis()).expect("a number");
    let fault = Fault { target: FaultTarget::Order, kind: slow, count: 1, delay_ms, depth: 0 };
    scene.control.fault(&fault).await.expect("a fault");
    trades += 1;
    scene.leader_sells(trades, 100).await;
    let sales = async |number: usize| {
        let orders = scene.control.orders().await.ok()?;
        let sold = orders.iter().filter(|order| order.side == Side::Sell && order.executed().shares.0 > 0);
        (sold.count() >= number).then_some(())
    };
    scene.until("sale at the venue", async || sales(1).await).await;
    for (worker, home) in workers.iter_mut().zip(["w1", "w2"]) {
        let asked = SystemClock.uptime();
        assert!(scene.end(worker).await.success(), "{home}");
        let took = SystemClock.uptime() - asked;
        eprintln!("{home}, asked to end while the venue is slow, was gone after {took:?}");
        *worker = scene.join("worker", home, None);
    }
    scene.until_held("what is left", 3 * GIVEN).await;
    // Killed while they sell.
    for (number, millis) in [(0, 50), (1, 150)] {
        trades += 1;
        scene.leader_sells(trades, 100).await;
        SystemClock.sleep(Duration::from_millis(millis)).await;
        workers[number].0.kill().expect("it is killed");
        workers[number].0.wait().expect("a child");
        workers[number] = scene.join("worker", ["w1", "w2"][number], None);
    }
    scene.until_held("what is left", GIVEN).await;
    // Who looks at wallets stands still for longer than its turn, while money comes.
    scene.until_settled(2 * trades).await;
    signal(&looking, Signal::STOP);
    let left = scene.cash();
    scene.control.credit_usd(eoa, Usd(50 * ONE)).await.expect("money");
    scene.until("deposit", async || (scene.cash() == left + 50 * ONE).then_some(())).await;
    signal(&looking, Signal::CONT);
    trades += 1;
    scene.leader_sells(trades, 100).await;
    scene.until_held("nothing", 0).await;
    let orders = scene.control.orders().await.expect("orders");
    // Trades that are seen together are one sale.
    let sold = orders.iter().filter(|order| order.side == Side::Sell);
    let sold: i64 = sold.map(|order| order.executed().shares.0).sum();
    assert_eq!(sold, 4 * GIVEN, "{orders:?}");
    assert_eq!(scene.copies(), 0);
    let rows = scene.ask(&["export", "ledger"]);
    let came = rows.as_array().expect("rows").iter().filter(|row| row["cause"] == "deposit");
    let came: Vec<i64> = came.filter_map(|row| row["cash"].as_i64()).collect();
    assert_eq!(came.iter().filter(|cash| **cash == 50 * ONE).count(), 1, "{came:?}");
}
