//! The store goes back in time under a watcher that is at work, as a database does whose standby lagged: what was in the
//! blocks that are lost is read again.

#![cfg(test)]

use std::{
    sync::{Arc, OnceLock},
    time::Duration,
};

use domain::{Clock as _, Side, decide::Verdict, skip::SkipReason};
use engine::{
    ports::{
        following::{Following as _, HoldCause, HoldScope, NewHold},
        reports::{DecisionRecord, Reports as _},
        venue::ChainReader,
    },
    watcher::{Watcher, WatcherPorts},
};
use testkit::{
    executor::block_on,
    memory_store::MemoryStore,
    simulation::{
        scenario::{Scenario, at, change, fill, trade},
        tampering::Honest,
        venue::VenueModel,
        world::{Experiment, START, World},
    },
};

struct Scene {
    world: World,
    store: Arc<MemoryStore>,
    watcher: Watcher,
}

impl Scene {
    /// Lets so many milliseconds pass, step by step.
    fn watch(&mut self, milliseconds: u64) {
        for _ in 0..milliseconds / 100 {
            self.world.clock.advance(Duration::from_millis(100));
            while block_on(self.watcher.step()).unwrap().busy {}
        }
    }

    /// What was decided, and whether it was to copy.
    fn decided(&self) -> Vec<(Side, bool)> {
        let decisions = block_on(self.store.decisions_after(None, 0, 100)).unwrap();
        let of = |one: &DecisionRecord| (one.key.action.side(), matches!(one.verdict, Verdict::Copy(_)));
        decisions.iter().map(of).collect()
    }
}

#[test]
fn what_was_in_lost_blocks_is_read_again() {
    let mut scenario = Scenario::one_follower("a database that goes back");
    scenario.books = vec![change(7, START, (49, 100_000), (50, 100_000))];
    scenario.trades = vec![
        trade(at(4), 7, Side::Buy, &[fill(400, 50)]),
        trade(at(14), 7, Side::Sell, &[fill(200, 49)]),
        trade(at(24), 7, Side::Buy, &[fill(400, 50)]),
    ];
    scenario.processes.clear();
    let made = Arc::new(OnceLock::new());
    let keep = Arc::clone(&made);
    let world = World::new(&Experiment {
        scenario: &scenario,
        model: VenueModel::PLAIN,
        faults: &[],
        tampering: &Honest,
        store: &move |clock| keep.get_or_init(|| Arc::new(MemoryStore::new(clock))).clone(),
        digests: false,
        stage: None,
    });
    let (world, store) = (world.unwrap(), made.get().cloned().unwrap());
    let watcher = Watcher::new(WatcherPorts {
        chain: Some(world.venue.clone() as Arc<dyn ChainReader>),
        history: None,
        ..world.watcher_ports()
    });
    let mut scene = Scene { world, store, watcher };
    scene.watch(10_000);
    let begun = scene.decided();
    assert_eq!(begun, [(Side::Buy, true)]);
    let earlier = scene.store.fork(scene.world.clock.clone());
    scene.watch(12_000);
    let lost = scene.decided();
    assert_eq!(lost.len(), 2, "{lost:?}");
    // The same lease: nobody has taken it meanwhile.
    scene.store.go_back_to(&earlier);
    assert_eq!(scene.decided(), begun);
    scene.watch(12_000);
    let again = scene.decided();
    assert_eq!(
        (&again[..2], again.len()),
        (&lost[..], 3),
        "the sale is answered again, and what came after it too"
    );
    // With real money everything is held first: what was done about these trades before is not known.
    scene.store.go_back_to(&earlier);
    let hold = NewHold {
        scope: HoldScope::Installation,
        cause: HoldCause::Reconciliation,
        reason: "the database went back in time".to_owned(),
        stops_exits: true,
        sells: false,
        expires_at: None,
    };
    block_on(scene.store.hold_once(&hold, scene.world.clock.now())).unwrap();
    scene.watch(12_000);
    let answers = block_on(scene.store.decisions_after(None, 0, 100)).unwrap();
    let lost = |one: &DecisionRecord| one.verdict == Verdict::Skip(SkipReason::Rewound);
    assert!(answers.len() == 3 && answers[1..].iter().all(lost), "{answers:?}");
}
