//! Makes a failing history small: everything that can be left out of it, while it goes wrong in the same way, is left
//! out (delta debugging), and what stays is written down as a test.

use std::collections::BTreeSet;

use super::{
    explorer::Run,
    histories::{History, end_with_true_books},
    tampering::Tampering,
    venue::VenueModel,
    world::StoreFactory,
};

/// One thing that happens in a history, by its place there.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub enum Piece {
    /// A planned fault.
    Fault(usize),
    /// What a user, an operator or an accident does.
    Action(usize),
    /// A leader's trade, with its first fill.
    Trade(usize),
    /// What a trade has more than one fill.
    MoreFills(usize),
    /// What a trade moves without an order, beside its fills.
    Moved(usize),
    /// A change of a book.
    Book(usize),
    /// A follower.
    Follower(usize),
    /// Settlements that fail.
    FailingSettlements,
    /// The venue's peculiarities.
    Venue,
    /// The live feed.
    Feed,
    /// The leaders' wallets are accounts of ours.
    Managed,
}

/// A history of which nothing can be left out any more.
#[derive(Clone, Debug)]
pub struct Shrunk {
    /// What is needed.
    pub pieces: Vec<Piece>,
    /// Where it ends.
    pub run: Run,
    /// Executions it took.
    pub executions: usize,
    constructor: String,
}

impl History {
    /// Everything that happens in it.
    #[must_use]
    pub fn pieces(&self) -> Vec<Piece> {
        let scenario = &self.scenario;
        let mut pieces: Vec<Piece> = (0..self.faults.len()).map(Piece::Fault).collect();
        pieces.extend((0..scenario.actions.len()).map(Piece::Action));
        for (place, trade) in scenario.trades.iter().enumerate() {
            pieces.push(Piece::Trade(place));
            pieces.extend((trade.fills.len() > 1).then_some(Piece::MoreFills(place)));
            let beside = trade.moved.is_some() && !trade.fills.is_empty();
            pieces.extend(beside.then_some(Piece::Moved(place)));
        }
        pieces.extend((0..scenario.books.len()).map(Piece::Book));
        pieces.extend((0..scenario.followers.len()).map(Piece::Follower));
        let also = [
            (Piece::FailingSettlements, scenario.failing_every.is_some()),
            (Piece::Venue, self.model != VenueModel::PLAIN),
            (Piece::Feed, scenario.live.is_some()),
            (Piece::Managed, scenario.managed),
        ];
        pieces.extend(also.into_iter().filter_map(|(piece, there)| there.then_some(piece)));
        pieces
    }

    /// The same with these things alone. Calls that faults strike keep their numbers, so another one may be struck.
    #[must_use]
    pub fn only(mut self, kept: &[Piece]) -> Self {
        let gone: BTreeSet<Piece> = self.pieces().into_iter().filter(|piece| !kept.contains(piece)).collect();
        let scenario = &mut self.scenario;
        for (place, trade) in scenario.trades.iter_mut().enumerate() {
            if gone.contains(&Piece::MoreFills(place)) {
                trade.fills.truncate(1);
            }
            if gone.contains(&Piece::Moved(place)) {
                trade.moved = None;
            }
        }
        keep(&mut self.faults, Piece::Fault, &gone);
        keep(&mut scenario.actions, Piece::Action, &gone);
        keep(&mut scenario.trades, Piece::Trade, &gone);
        keep(&mut scenario.books, Piece::Book, &gone);
        keep(&mut scenario.followers, Piece::Follower, &gone);
        end_with_true_books(&mut scenario.books);
        scenario.failing_every =
            scenario.failing_every.filter(|_| !gone.contains(&Piece::FailingSettlements));
        scenario.live = scenario.live.filter(|_| !gone.contains(&Piece::Feed));
        scenario.managed &= !gone.contains(&Piece::Managed);
        if gone.contains(&Piece::Venue) {
            self.model = VenueModel::PLAIN;
        }
        self
    }

    /// What of it goes wrong in the same way by itself; `None` when nothing goes wrong.
    #[must_use]
    pub fn shrunk(&self, tampering: &dyn Tampering, store: &StoreFactory) -> Option<Shrunk> {
        let play = |pieces: &[Piece]| self.clone().only(pieces).play_with(tampering, store).0;
        let all = self.pieces();
        let kinds = kinds(&play(&all));
        if kinds.is_empty() {
            return None;
        }
        let mut executions = 1;
        let pieces = shrink(&all, |pieces| {
            executions += 1;
            !self::kinds(&play(pieces)).is_disjoint(&kinds)
        });
        let name = if self.scenario.live.is_some() { "with_feeds" } else { "of" };
        let constructor = format!("History::{name}({})", self.seed);
        Some(Shrunk { run: play(&pieces), pieces, executions, constructor })
    }
}

impl Shrunk {
    /// A test that fails as long as it goes wrong, to be named after what must hold.
    #[must_use]
    pub fn as_test(&self) -> String {
        let broken = self.run.judgement.broken.first().map_or("", String::as_str);
        let Self { pieces, constructor, .. } = self;
        let name = |piece: &Piece| format!("{piece:?}").split('(').next().map(str::to_owned);
        let names: BTreeSet<String> = pieces.iter().filter_map(name).collect();
        let names = names.into_iter().collect::<Vec<_>>().join(", ");
        format!(
            "/// {broken}\n\
             #[test]\n\
             fn name_me_after_what_must_hold() {{\n    \
                 use testkit::simulation::shrinking::Piece::{{{names}}};\n    \
                 let history = {constructor}.only(&{pieces:?});\n    \
                 let (run, _) = history.play(&|clock| Arc::new(MemoryStore::new(clock)));\n    \
                 assert_eq!(run.judgement.broken, Vec::<String>::new());\n\
             }}\n"
        )
    }
}

/// The part of `pieces` that is left when nothing more can be left out alone without ending what `fails` says. First large
/// parts are left out, then smaller ones.
pub fn shrink<P: Copy>(pieces: &[P], mut fails: impl FnMut(&[P]) -> bool) -> Vec<P> {
    let mut left = pieces.to_vec();
    let mut size = left.len();
    while size > 0 {
        let before = left.len();
        let mut from = 0;
        while from < left.len() {
            let out = from..from + size;
            let kept = left.iter().enumerate().filter(|(place, _)| !out.contains(place));
            let without: Vec<P> = kept.map(|(_, piece)| *piece).collect();
            if fails(&without) {
                left = without;
            } else {
                from += size;
            }
        }
        // One by one until none can go: what stood in the way of an earlier one may have gone after it.
        size = if size == 1 { usize::from(left.len() < before) } else { size.div_ceil(2) };
    }
    left
}

/// In what ways a run went wrong: its complaints without numbers and hashes.
fn kinds(run: &Run) -> BTreeSet<String> {
    let kind = |complaint: &String| {
        let words =
            complaint.split_whitespace().map(|word| match word.contains(|c: char| c.is_ascii_digit()) {
                true => "…",
                false => word,
            });
        words.collect::<Vec<_>>().join(" ")
    };
    run.judgement.broken.iter().map(kind).collect()
}

fn keep<T>(things: &mut Vec<T>, piece: fn(usize) -> Piece, gone: &BTreeSet<Piece>) {
    let mut places = 0..;
    things.retain(|_| places.next().is_none_or(|place| !gone.contains(&piece(place))));
}
