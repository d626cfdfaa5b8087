//! Leaders trade for an hour of virtual time, and their followers' orders wait for what there is. Nothing is drawn but from
//! the seed, so that the same line gives the same numbers.

use std::{
    cmp::Reverse,
    collections::{BTreeMap, BinaryHeap, VecDeque},
};

use super::{
    costs::Costs,
    model::{BATCH, CHUNK, Shape, Station, WINDOWS},
};
use crate::chaos::random::Random;

/// How long leaders trade, in seconds.
pub(super) const HOUR: f64 = 3_600.0;
/// Trades with fewer orders go before others, as in the queue.
const SMALL: u32 = 50;
/// Nanoseconds: moments are whole numbers, so that they can be ordered.
const NANOS: f64 = 1e9;

/// Who follows whom, and how often leaders trade.
#[derive(Clone, Copy, Debug)]
pub(super) struct Demand {
    pub(super) followers: u32,
    /// Trades of each leader in a day.
    pub(super) trades_a_day: f64,
    /// A leader for so many followers.
    pub(super) followers_of_a_leader: u32,
}

/// What came of it.
#[derive(Clone, Debug)]
pub(super) struct Outcome {
    pub(super) orders: u64,
    pub(super) largest: u32,
    /// From a trade to each of its orders posted, in ms.
    pub(super) p50_ms: f64,
    pub(super) p99_ms: f64,
    /// What orders waited for most, and how much of the hour it was busy.
    pub(super) narrowest: Station,
    pub(super) busy: f64,
    /// The same of each station.
    pub(super) stations: BTreeMap<&'static str, f64>,
}

impl Demand {
    /// Followers of each leader, the most followed first: the k-th has a k-th part of the first one's.
    fn followings(&self) -> Vec<u32> {
        let leaders = (self.followers / self.followers_of_a_leader).max(1);
        let harmonic: f64 = (1..=leaders).map(|rank| 1.0 / f64::from(rank)).sum();
        let of = |rank: u32| f64::from(self.followers) / harmonic / f64::from(rank);
        (1..=leaders).map(|rank| floor(of(rank)).max(1)).collect()
    }
}

#[expect(clippy::cast_possible_truncation, clippy::cast_sign_loss, reason = "counts far below the limits")]
fn floor(value: f64) -> u32 {
    value.max(0.0) as u32
}

#[expect(clippy::cast_possible_truncation, clippy::cast_sign_loss, reason = "an hour in nanoseconds")]
fn nanos(seconds: f64) -> u64 {
    (seconds.max(0.0) * NANOS) as u64
}

#[expect(clippy::cast_precision_loss, reason = "told to three figures")]
fn float(number: u64) -> f64 {
    number as f64
}

/// Orders that go on together.
#[derive(Clone, Copy, Debug)]
struct Piece {
    traded: u64,
    orders: u32,
    small: bool,
    /// Not decided yet.
    fresh: bool,
    step: usize,
    waited_since: u64,
}

/// What has so many servers; small trades are served first.
struct Queue {
    free: usize,
    first: VecDeque<Piece>,
    then: VecDeque<Piece>,
    busy: u64,
    waited: f64,
}

impl Queue {
    fn next(&mut self) -> Option<Piece> {
        self.first.pop_front().or_else(|| self.then.pop_front())
    }
}

/// What one address has sent in each window: the moments at which it is free again.
struct Address {
    free_at: [u64; 2],
}

impl Address {
    /// When the last of these orders is sent. A window that was not used gives all of it at once; more comes at its pace.
    fn send(&mut self, at: u64, orders: u32) -> u64 {
        let mut done = at;
        for (free_at, (seconds, allowed)) in self.free_at.iter_mut().zip(WINDOWS) {
            let each = nanos(seconds / allowed);
            let burst = nanos(seconds);
            let spent = (*free_at).max(at).saturating_add(each.saturating_mul(u64::from(orders)));
            *free_at = spent;
            done = done.max(spent.saturating_sub(burst));
        }
        done
    }
}

struct World<'a> {
    shape: &'a Shape,
    costs: &'a Costs,
    queues: BTreeMap<usize, Queue>,
    addresses: Vec<Address>,
    /// What ends when, numbered so that equal moments have an order.
    ends: BinaryHeap<Reverse<(u64, u64)>>,
    under_way: BTreeMap<u64, (usize, Piece)>,
    numbered: u64,
    took: Vec<(u64, u32)>,
    at_venue: (f64, u64),
}

/// An hour of this demand on this shape.
pub(super) fn run(demand: &Demand, shape: &Shape, costs: &Costs, seed: u64) -> Outcome {
    let followings = demand.followings();
    let trades = trades(demand, &followings, seed);
    answered(trades, shape, costs).outcome(followings.first().copied().unwrap_or(0))
}

/// These trades on this shape, until the last order is posted.
fn answered<'a>(trades: Vec<(u64, u32)>, shape: &'a Shape, costs: &'a Costs) -> World<'a> {
    let queue = |station: &Station| Queue {
        free: shape.count(*station),
        first: VecDeque::new(),
        then: VecDeque::new(),
        busy: 0,
        waited: 0.0,
    };
    let mut world = World {
        shape,
        costs,
        queues: Station::ALL.iter().map(queue).enumerate().collect(),
        addresses: (0..shape.addresses).map(|_| Address { free_at: [0; 2] }).collect(),
        ends: BinaryHeap::new(),
        under_way: BTreeMap::new(),
        numbered: 0,
        took: Vec::new(),
        at_venue: (0.0, 0),
    };
    for (at, orders) in trades {
        world.until(at);
        for chunk in pieces(orders, CHUNK) {
            let small = orders <= SMALL;
            world.arrive(
                at,
                Piece { traded: at, orders: chunk, small, fresh: true, step: 0, waited_since: at },
            );
        }
    }
    world.until(u64::MAX);
    world
}

/// Moments and sizes of trades, in order.
fn trades(demand: &Demand, followings: &[u32], seed: u64) -> Vec<(u64, u32)> {
    let mut random = Random::new(seed, 2);
    let mut trades = Vec::new();
    let a_second = demand.trades_a_day / 86_400.0;
    for followers in followings {
        let mut at = 0.0;
        loop {
            let drawn = (float(random.below(1_000_000)) + 0.5) / 1e6;
            at -= drawn.ln() / a_second;
            if at >= HOUR {
                break;
            }
            trades.push((nanos(at), *followers));
        }
    }
    trades.sort_unstable();
    trades
}

fn pieces(orders: u32, most: u32) -> impl Iterator<Item = u32> {
    let whole = std::iter::repeat_n(most, usize::try_from(orders / most).unwrap_or(0));
    whole.chain(Some(orders % most).filter(|rest| *rest > 0))
}

impl World<'_> {
    /// The station of the piece's step and how long it takes there; nothing once it has passed all of them.
    fn step(&self, piece: &Piece) -> Option<(usize, u64)> {
        let orders = f64::from(piece.orders);
        let way = if piece.fresh {
            self.shape.decided(self.costs, orders)
        } else {
            self.shape.sent(self.costs, orders)
        };
        let (station, seconds) = way.get(piece.step)?;
        let index = Station::ALL.iter().position(|other| other == station)?;
        Some((index, nanos(*seconds)))
    }

    fn arrive(&mut self, at: u64, mut piece: Piece) {
        piece.waited_since = at;
        let Some((index, _)) = self.step(&piece) else { return self.leave(at, piece) };
        let Some(queue) = self.queues.get_mut(&index) else { return };
        if piece.small {
            queue.first.push_back(piece)
        } else {
            queue.then.push_back(piece)
        }
        self.serve(at, index);
    }

    fn serve(&mut self, at: u64, index: usize) {
        loop {
            let Some(queue) = self.queues.get_mut(&index).filter(|queue| queue.free > 0) else { return };
            let Some(piece) = queue.next() else { return };
            queue.free -= 1;
            queue.waited += float(at.saturating_sub(piece.waited_since)) * f64::from(piece.orders);
            let Some((_, takes)) = self.step(&piece) else { return };
            if let Some(queue) = self.queues.get_mut(&index) {
                queue.busy = queue.busy.saturating_add(takes);
            }
            self.numbered += 1;
            self.ends.push(Reverse((at.saturating_add(takes), self.numbered)));
            self.under_way.insert(self.numbered, (index, piece));
        }
    }

    /// Lets everything happen up to a moment.
    fn until(&mut self, moment: u64) {
        while let Some(Reverse((at, number))) =
            self.ends.peek().copied().filter(|Reverse((at, _))| *at <= moment)
        {
            self.ends.pop();
            let Some((index, mut piece)) = self.under_way.remove(&number) else { continue };
            if let Some(queue) = self.queues.get_mut(&index) {
                queue.free += 1;
            }
            piece.step += 1;
            self.arrive(at, piece);
            self.serve(at, index);
        }
    }

    /// A chunk that is decided becomes batches; a batch goes to the venue, from the address that is free first.
    fn leave(&mut self, at: u64, piece: Piece) {
        if piece.fresh {
            for orders in pieces(piece.orders, BATCH) {
                self.arrive(at, Piece { orders, fresh: false, step: 0, ..piece });
            }
            return;
        }
        let Some(address) = self.addresses.iter_mut().min_by_key(|address| address.free_at) else { return };
        let sent = address.send(at, piece.orders);
        self.at_venue.0 += float(sent.saturating_sub(at)) * f64::from(piece.orders);
        self.at_venue.1 = self.at_venue.1.saturating_add(u64::from(piece.orders));
        self.took.push((sent.saturating_sub(piece.traded), piece.orders));
    }

    fn last_ms(&self) -> f64 {
        float(self.took.iter().map(|(took, _)| *took).max().unwrap_or(0)) / 1e6
    }

    fn outcome(mut self, largest: u32) -> Outcome {
        self.took.sort_unstable();
        let orders: u64 = self.took.iter().map(|(_, orders)| u64::from(*orders)).sum();
        let quantile = |hundredths: u64| {
            let mut left = orders.saturating_mul(hundredths) / 100;
            let found = self.took.iter().find(|(_, count)| {
                let reached = u64::from(*count) > left;
                left = left.saturating_sub(u64::from(*count));
                reached
            });
            float(found.or(self.took.last()).map_or(0, |(took, _)| *took)) / 1e6
        };
        let allowed =
            WINDOWS[1].1 / WINDOWS[1].0 * HOUR * f64::from(u32::try_from(self.shape.addresses).unwrap_or(1));
        let mut each: Vec<(Station, f64, f64)> = Vec::new();
        for (index, station) in Station::ALL.into_iter().enumerate() {
            let Some(queue) = self.queues.get(&index) else { continue };
            let servers = f64::from(u32::try_from(self.shape.count(station)).unwrap_or(0));
            if station == Station::Address {
                each.push((station, self.at_venue.0, float(self.at_venue.1) / allowed));
            } else if servers > 0.0 {
                each.push((station, queue.waited, float(queue.busy) / NANOS / HOUR / servers));
            }
        }
        let most = each.iter().max_by(|one, other| one.1.total_cmp(&other.1));
        let (narrowest, _, busy) = most.copied().unwrap_or((Station::Cores, 0.0, 0.0));
        Outcome {
            orders,
            largest,
            p50_ms: quantile(50),
            p99_ms: quantile(99),
            narrowest,
            busy,
            stations: each.into_iter().map(|(station, _, busy)| (station.name(), busy)).collect(),
        }
    }
}

/// A trade of so many orders that nobody else's waits beside: from the trade to the last of them posted, in ms.
pub(super) fn alone(shape: &Shape, costs: &Costs, orders: u32) -> f64 {
    answered(vec![(0, orders)], shape, costs).last_ms()
}

/// The same at a venue without limits.
pub(super) fn unlimited(shape: &Shape, costs: &Costs, orders: u32) -> f64 {
    alone(&Shape { addresses: 100_000, ..*shape }, costs, orders)
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::bench::scale::{costs::Known, model::SHAPES};

    fn costs() -> Costs {
        Known::read(None).unwrap().costs
    }

    #[test]
    fn what_is_beyond_the_burst_waits_for_the_window() {
        let shape = &SHAPES[0];
        assert!(alone(shape, &costs(), 3_000) < 5_000.0);
        // 20,000 beyond 3,150, at 315 a second.
        assert!((53_000.0..60_000.0).contains(&alone(shape, &costs(), 20_000)));
        assert!(unlimited(shape, &costs(), 20_000) < 20_000.0);
    }

    #[test]
    fn an_address_gives_a_burst_at_once_and_more_at_its_pace() {
        let mut address = Address { free_at: [0; 2] };
        assert_eq!(address.send(0, 3_000), 0);
        // 3,150 are allowed in ten seconds: the other 3,000 wait for most of another window.
        let sent = address.send(0, 3_000);
        assert!((nanos(9.0)..nanos(9.1)).contains(&sent), "{sent}");
    }

    #[test]
    fn every_order_is_posted_once_and_the_same_seed_gives_the_same() {
        let demand = Demand { followers: 10_000, trades_a_day: 200.0, followers_of_a_leader: 100 };
        let expected: u64 = trades(&demand, &demand.followings(), 7).iter().map(|(_, n)| u64::from(*n)).sum();
        for shape in &SHAPES {
            let (one, again) = (run(&demand, shape, &costs(), 7), run(&demand, shape, &costs(), 7));
            assert_eq!(one.orders, expected, "{}", shape.name);
            assert_eq!(
                (one.p50_ms.to_bits(), one.p99_ms.to_bits()),
                (again.p50_ms.to_bits(), again.p99_ms.to_bits())
            );
        }
    }

    #[test]
    fn more_followers_take_longer_and_more_machines_less() {
        let demand = |followers| Demand { followers, trades_a_day: 20.0, followers_of_a_leader: 100 };
        let p99 = |followers, shape: usize| run(&demand(followers), &SHAPES[shape], &costs(), 1).p99_ms;
        assert!(p99(100_000, 0) > p99(10_000, 0));
        assert!(p99(100_000, 2) < p99(100_000, 0));
    }
}
