//! What happens while nothing runs: late buys are skipped, copied late, or left to a sync with what the leader still
//! holds, as each follower says.

#![cfg(test)]

use std::time::Duration;

use domain::{
    Price, Side, Usd,
    decide::Verdict,
    downtime::DowntimeRule,
    ids::{IntentId, RelationshipId},
    money::ONE,
    policy::{Caps, Policy, Sizing},
};
use engine::{
    ports::{
        execution::{Intent, Why},
        following::RelationshipStatus,
    },
    watcher::Watcher,
};
use testkit::{
    executor::block_on,
    simulation::{
        scenario::{Follower, Scenario, at, change, fill, trade},
        venue::LeaderTrade,
        world::{START, World},
    },
};

fn follower(downtime: DowntimeRule, change: impl FnOnce(&mut Policy)) -> Follower {
    let mut policy = Policy { downtime, ..Policy::careful() };
    change(&mut policy);
    Follower { leader: 1, policy, deposit: Usd(1_000 * ONE) }
}

/// A watcher sees the start; then nothing runs until `until`, and another one begins.
struct Night {
    world: World,
}

impl Night {
    fn over(followers: Vec<Follower>, trades: Vec<LeaderTrade>, until: u64) -> Self {
        let books = vec![change(7, START, (49, 10_000), (50, 10_000))];
        let scenario =
            Scenario { followers, trades, books, ..Scenario::one_follower("a night without power") };
        let night = Self { world: World::by_hand(scenario).unwrap() };
        night.watch(at(1));
        night.world.clock.advance(at(until).since(at(1)));
        night
    }

    /// One life of a watcher.
    fn watch(&self, until: domain::Timestamp) {
        use domain::Clock as _;
        let mut watcher = Watcher::new(self.world.watcher_ports());
        loop {
            while block_on(watcher.step()).unwrap().busy {}
            if self.world.clock.now() >= until {
                return;
            }
            self.world.clock.advance(Duration::from_secs(1));
        }
    }

    /// A life that ends after so many steps.
    fn stumble(&self, steps: usize) {
        let mut watcher = Watcher::new(self.world.watcher_ports());
        for _ in 0..steps {
            block_on(watcher.step()).unwrap();
        }
    }

    fn intents(&self) -> Vec<Intent> {
        block_on(self.world.store.intents_after(None, IntentId(0), 100)).unwrap()
    }

    /// Labels of what each decision of a relationship says, in their order.
    fn answers(&self, number: i64) -> Vec<&'static str> {
        let decisions = block_on(self.world.store.decisions_after(None, 0, 100)).unwrap();
        let own = decisions.iter().filter(|decision| decision.relationship == RelationshipId(number));
        own.map(|decision| match &decision.verdict {
            Verdict::Copy(order) if order.side == Side::Buy => "bought",
            Verdict::Copy(_) => "sold",
            Verdict::Skip(reason) => reason.label(),
        })
        .collect()
    }
}

/// The leader buys 400 and 100 shares, and sells half of all.
fn trades() -> Vec<LeaderTrade> {
    vec![
        trade(at(20), 7, Side::Buy, &[fill(400, 50)]),
        trade(at(24), 7, Side::Buy, &[fill(100, 40)]),
        trade(at(28), 7, Side::Sell, &[fill(250, 49)]),
    ]
}

#[test]
fn each_follower_has_its_own_rule() {
    let followers = vec![
        follower(DowntimeRule::Skip, |_| ()),
        follower(DowntimeRule::Late, |_| ()),
        follower(DowntimeRule::Sync, |_| ()),
        follower(DowntimeRule::Sync, |policy| policy.sizing = Sizing::Fixed(Usd(10 * ONE))),
        follower(DowntimeRule::Sync, |policy| {
            policy.caps = Caps { order: Some(Usd(3 * ONE)), ..Caps::default() };
        }),
    ];
    let night = Night::over(followers, trades(), 200);
    night.watch(at(210));
    assert_eq!(night.answers(1), ["too old", "too old", "nothing held"]);
    // The second was cheaper for the leader than the best offer allows.
    assert_eq!(night.answers(2), ["bought", "price moved", "nothing held"]);
    let sync = ["left to the sync", "left to the sync", "nothing held", "bought"];
    for number in 3..=5 {
        assert_eq!(night.answers(number), sync, "{number}");
    }
    let intents = night.intents();
    let amounts: Vec<i64> = intents.iter().map(|intent| intent.amount).collect();
    // A tenth of $200; a tenth of half of $200 + $40; $10 for each trade, of which half is left; the cap.
    assert_eq!(amounts, [20 * ONE, 12 * ONE, 10 * ONE, 3 * ONE]);
    assert_eq!(intents[0].cause.why, Why::Trade);
    let synced = &intents[1];
    assert!(matches!(synced.cause.why, Why::Target { .. }), "{synced:?}");
    assert_eq!(synced.leader_price, "0.48".parse::<Price>().unwrap());
    // The block of the newest.
    assert_eq!(synced.traded_at, at(26));
    // What is late by its trade is young by its decision.
    for late in &intents {
        assert_eq!(late.expires_at, Some(late.decided_at.plus(Duration::from_secs(60))));
    }
}

#[test]
fn a_sync_keeps_near_the_price_and_buys_nothing_that_was_sold() {
    let near = |bps| follower(DowntimeRule::Sync, move |policy| policy.late_slippage_bps = Some(bps));
    // The leader paid 0.48 on average of what is left; 0.50 is 4.2 % above.
    let night = Night::over(vec![near(400), near(420)], trades(), 200);
    night.watch(at(205));
    assert_eq!(night.answers(1).last(), Some(&"price moved"));
    assert_eq!(night.answers(2).last(), Some(&"bought"));
    let mut gone = trades();
    gone.push(trade(at(30), 7, Side::Sell, &[fill(250, 49)]));
    let night = Night::over(vec![near(1_000)], gone, 200);
    night.watch(at(205));
    assert_eq!(night.answers(1).last(), Some(&"sold since by the leader"));
    assert!(night.intents().is_empty());
}

#[test]
fn a_sync_is_decided_once_however_often_everything_is_started_again() {
    for steps in 1..12 {
        let night = Night::over(vec![follower(DowntimeRule::Sync, |_| ())], trades(), 200);
        night.stumble(steps);
        night.stumble(steps);
        night.watch(at(210));
        night.watch(at(220));
        let synced = night.intents().iter().filter(|intent| intent.amount == 12 * ONE).count();
        assert_eq!((synced, night.intents().len()), (1, 1), "{steps} steps");
    }
}

#[test]
fn who_paused_or_thought_better_of_it_syncs_nothing() {
    let sync = || follower(DowntimeRule::Sync, |_| ());
    let night = Night::over(vec![sync(), sync()], trades(), 200);
    night.stumble(1);
    let paused = RelationshipStatus::Paused;
    let store = &night.world.store;
    let (owner, first) = night.world.relationships[0];
    block_on(store.set_status(owner, first, paused, at(200))).unwrap();
    let (owner, second) = night.world.relationships[1];
    block_on(store.set_policy(owner, second, &Policy::careful(), at(200))).unwrap();
    night.watch(at(210));
    assert!(night.intents().is_empty());
    assert!(["paused or stopped"].iter().all(|why| night.answers(1).last() == Some(why)));
    assert_eq!(night.answers(2).last(), Some(&"too old"));
}
