//! Random histories: several leaders and followers, parts, reorganisations, pauses, lost queues, failed
//! settlements and faults, all of it a function of one seed.

use std::{collections::BTreeSet, time::Duration};

use domain::{
    Shares, Side, TokenId, Usd,
    money::ONE,
    policy::{MinimumRule, PhantomRule, Policy, Sizing},
    trade::Action as Did,
};
use rand_chacha::{
    ChaCha8Rng,
    rand_core::{Rng, SeedableRng},
};

use super::{
    explorer::{Run, run},
    probe::{Fault, Planned},
    scenario::{Action, Follower, Scenario, at, book, fill, leader_wallet, token},
    tampering::{Honest, Tampering},
    venue::{BookChange, LeaderTrade, VenueModel},
    world::{START, StoreFactory, World},
};

/// Numbers from a seed.
struct Dice(ChaCha8Rng);

impl Dice {
    fn roll(&mut self, sides: u64) -> u64 {
        self.0.next_u64() % sides.max(1)
    }

    fn between(&mut self, low: i64, high: i64) -> i64 {
        let width = u64::try_from(high - low + 1).unwrap_or(1);
        low + i64::try_from(self.roll(width)).unwrap_or(0)
    }

    fn one_in(&mut self, sides: u64) -> bool {
        self.roll(sides) == 0
    }

    fn pick<T: Clone>(&mut self, from: &[T]) -> Option<T> {
        let index = usize::try_from(self.roll(u64::try_from(from.len()).unwrap_or(1))).unwrap_or(0);
        from.get(index).cloned()
    }
}

/// A history and everything that goes wrong in it.
#[derive(Clone, Debug)]
pub struct History {
    /// What it was made from.
    pub seed: u64,
    /// What happens.
    pub scenario: Scenario,
    /// How the venue behaves.
    pub model: VenueModel,
    /// What goes wrong: call numbers and faults; a fault its call cannot have does nothing.
    pub faults: Vec<Planned>,
}

impl History {
    /// The history of a seed.
    #[must_use]
    pub fn of(seed: u64) -> Self {
        let mut dice = Dice(ChaCha8Rng::seed_from_u64(seed));
        let models = VenueModel::most();
        let model = dice.pick(&models).unwrap_or(VenueModel::PLAIN);
        let scenario = scenario(seed, &mut dice);
        let faults = (0..dice.roll(5)).filter_map(|_| planned(&mut dice)).collect();
        Self { seed, scenario, model, faults }
    }

    /// The history of a seed in an installation that also hears the live feed, which falls silent for a while, and that
    /// keeps workers for exits. Now and then the leaders are wallets of ours.
    #[must_use]
    pub fn with_feeds(seed: u64) -> Self {
        let mut history = Self::of(seed);
        let mut dice = Dice(ChaCha8Rng::seed_from_u64(!seed));
        let from = at(4 + dice.roll(60));
        history.scenario = history.scenario.hearing((from, from.plus(Duration::from_secs(dice.roll(40)))));
        history.scenario.managed = dice.one_in(4);
        history
    }

    /// Plays it on a store.
    #[must_use]
    pub fn play(&self, store: &StoreFactory) -> (Run, Option<World>) {
        self.play_with(&Honest, store)
    }

    /// The same with an engine that may be wrong.
    #[must_use]
    pub fn play_with(&self, tampering: &dyn Tampering, store: &StoreFactory) -> (Run, Option<World>) {
        run(&self.scenario, self.model, &self.faults, tampering, store, false)
    }
}

fn planned(dice: &mut Dice) -> Option<Planned> {
    let faults = [
        Fault::FailBefore,
        Fault::FailAfter,
        Fault::LostBefore,
        Fault::LostAfter,
        Fault::Pause,
        Fault::CrashBefore,
        Fault::CrashAfter,
        Fault::HangAfter,
        Fault::Late,
        Fault::NotNow,
    ];
    let index = usize::try_from(100 + dice.roll(3_000)).ok()?;
    Some(Planned { index, fault: dice.pick(&faults)? })
}

fn scenario(seed: u64, dice: &mut Dice) -> Scenario {
    let tokens = vec![7, 8];
    let leaders: Vec<(u8, Shares)> = vec![(1, Shares::ZERO), (2, Shares(100 * ONE))];
    let followers = (0..3 + dice.roll(3)).map(|_| follower(dice)).collect();
    let mut scenario = Scenario {
        tokens: tokens.clone(),
        leaders,
        followers,
        books: Vec::new(),
        trades: Vec::new(),
        shared_instances: dice.one_in(2),
        failing_every: dice.one_in(4).then(|| 2 + dice.roll(3)),
        ..Scenario::one_follower(&format!("history {seed}"))
    };
    for token_number in tokens {
        scenario.books.push(book_change(dice, token_number, 0));
        for _ in 0..dice.roll(4) {
            let second = 4 + dice.roll(60);
            scenario.books.push(book_change(dice, token_number, second));
        }
    }
    end_with_true_books(&mut scenario.books);
    for _ in 0..3 + dice.roll(6) {
        let second = 4 + dice.roll(60);
        let trade = trade(dice, second);
        scenario.trades.push(trade);
    }
    let mut actions: Vec<_> = (0..dice.roll(5)).map(|_| (at(4 + dice.roll(70)), action(dice))).collect();
    actions.sort_by_key(|(at, _)| *at);
    scenario.actions = actions;
    scenario
}

/// A book that shows what nobody gives would keep exits trying for ever.
pub(super) fn end_with_true_books(books: &mut [BookChange]) {
    let tokens: BTreeSet<TokenId> = books.iter().map(|change| change.token).collect();
    for token in tokens {
        let own = books.iter_mut().filter(|change| change.token == token);
        if let Some(last) = own.max_by_key(|change| change.at) {
            last.hollow = false;
        }
    }
}

fn follower(dice: &mut Dice) -> Follower {
    let sizing = match dice.roll(2) {
        0 => Sizing::Ratio(dice.between(ONE / 50, ONE / 2)),
        _ => Sizing::Fixed(Usd(dice.between(1, 40) * ONE)),
    };
    let below_minimum = MinimumRule::Skip;
    let leader = if dice.one_in(2) { 1 } else { 2 };
    let follow_exits = !dice.one_in(4);
    let phantoms = if follow_exits && dice.one_in(2) { PhantomRule::Exit } else { PhantomRule::Keep };
    let policy = Policy { sizing, below_minimum, follow_exits, phantoms, ..Policy::careful() };
    Follower { leader, policy, deposit: Usd(dice.between(5, 500) * ONE) }
}

fn book_change(dice: &mut Dice, number: u8, second: u64) -> BookChange {
    let bid = dice.between(40, 49);
    let depth = [0, 3, 20, 1_000];
    let (bids, asks) = (dice.pick(&depth).unwrap_or(20), dice.pick(&depth).unwrap_or(20));
    BookChange {
        at: START.plus(Duration::from_secs(second)),
        token: token(number),
        book: book((bid, bids), (50, asks)),
        hollow: dice.one_in(6),
    }
}

fn trade(dice: &mut Dice, second: u64) -> LeaderTrade {
    let side = if dice.one_in(3) { Side::Sell } else { Side::Buy };
    let price = if side == Side::Buy { 50 } else { 48 };
    let fills = (0..1 + dice.roll(3)).map(|_| fill(dice.between(1, 300), price)).collect();
    let lag = dice.pick(&[0_u64, 1, 7, 40]).unwrap_or(0);
    let dropped = side == Side::Buy && dice.one_in(12);
    let moved = dice.one_in(3).then(|| (did(dice), Shares(dice.between(1, 200) * ONE)));
    let fills = if moved.is_some() && !dropped && dice.one_in(2) { Vec::new() } else { fills };
    LeaderTrade {
        at: at(second),
        wallet: leader_wallet(if dice.one_in(2) { 1 } else { 2 }),
        token: token(if dice.one_in(2) { 7 } else { 8 }),
        side,
        fills,
        moved,
        shown_at: (dropped || !dice.one_in(4)).then(|| at(second + lag)),
        dropped,
    }
}

fn did(dice: &mut Dice) -> Did {
    dice.pick(&[Did::Merge, Did::Merge, Did::Receive, Did::Send]).unwrap_or(Did::Merge)
}

fn action(dice: &mut Dice) -> Action {
    let follower = usize::try_from(dice.roll(3)).unwrap_or(0);
    match dice.roll(4) {
        0 => Action::Pause(follower),
        1 => Action::Resume(follower),
        2 => Action::DeleteQueue,
        _ => Action::Reorganise(dice.between(1, 2)),
    }
}
