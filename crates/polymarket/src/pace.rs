//! How fast the venue may be called, as arithmetic: sliding windows per endpoint of one egress address, and a
//! token bucket per signing address. It takes a moment and answers "now" or "not before"; it never waits and
//! never reads a clock ([`crate::pacer`] does).
//!
//! Every number is a pace: the venue's limit times a share, because calls at the full limit are refused in the
//! long run. Exits and cancels have a part of each pace that nothing else may use, and everything else has a
//! part that they may not use, so that neither starves.

use std::{
    collections::{HashMap, VecDeque},
    sync::Arc,
    time::Duration,
};

use domain::{Address, Timestamp};
use engine::ports::detection::Lane;

use crate::{
    company::Company,
    http::Limit,
    limits::{
        IDLE_BUCKETS, KEPT_FOR_ENTRIES, LIMITED_WITHOUT_TIME, LONG_WINDOW, MAX_RETRY_AFTER, WINDOW_SLOTS,
    },
    venue_limits::{Endpoint, Tier, VenueLimits},
};

/// A hundred per cent.
const WHOLE: u64 = 100;
/// One token of a bucket.
const TOKEN: i64 = 1_000_000;

/// A call about to be made.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Call {
    /// What is called.
    pub(crate) endpoint: Endpoint,
    /// Exits and cancels, or everything else.
    pub(crate) lane: Lane,
    /// Whose bucket it takes tokens from, and how many.
    pub(crate) tokens: Option<(Address, u32)>,
}

/// Calls in a sliding window, counted in slots of a hundredth of it.
#[derive(Debug)]
struct Window {
    slot: Duration,
    pace: u64,
    /// The part that entries may not use, in per cent.
    kept_for_exits: u64,
    /// Number of the slot, and calls in it by lane. Oldest first.
    slots: VecDeque<(u128, [u64; 2])>,
    sums: [u64; 2],
}

const fn index(lane: Lane) -> usize {
    match lane {
        Lane::Exits => 0,
        Lane::Entries => 1,
    }
}

impl Window {
    fn new(length: Duration, pace: u64, kept_for_exits: u64) -> Self {
        Self {
            slot: length.checked_div(WINDOW_SLOTS).unwrap_or(length),
            pace: pace.max(1),
            kept_for_exits,
            slots: VecDeque::new(),
            sums: [0; 2],
        }
    }

    fn number(&self, now: Duration) -> u128 {
        now.as_nanos().checked_div(self.slot.as_nanos()).unwrap_or(0)
    }

    /// When a slot has left the window: its last call is then as old as the window is long.
    fn leaves(&self, number: u128) -> Duration {
        let slots = number.saturating_add(1).saturating_add(u128::from(WINDOW_SLOTS));
        let nanos = slots.saturating_mul(self.slot.as_nanos());
        Duration::from_nanos(u64::try_from(nanos).unwrap_or(u64::MAX))
    }

    fn forget(&mut self, now: Duration) {
        while let Some((number, calls)) = self.slots.front().copied()
            && self.leaves(number) <= now
        {
            self.slots.pop_front();
            for (sum, calls) in self.sums.iter_mut().zip(calls) {
                *sum = sum.saturating_sub(calls);
            }
        }
    }

    /// The most calls of a lane, of a part of the pace; each lane is left at least one.
    fn cap(&self, lane: Lane, pace: u64) -> u64 {
        let kept = match lane {
            Lane::Exits => KEPT_FOR_ENTRIES,
            Lane::Entries => self.kept_for_exits,
        };
        let kept = pace.saturating_mul(kept).checked_div(WHOLE).unwrap_or(0);
        pace.saturating_sub(kept).max(1)
    }

    fn fits(&self, lane: Lane, parts: u64, sums: [u64; 2]) -> bool {
        let [exits, entries] = sums;
        let own = match lane {
            Lane::Exits => exits,
            Lane::Entries => entries,
        };
        let pace = self.pace.checked_div(parts).unwrap_or(self.pace).max(1);
        exits.saturating_add(entries) < pace && own < self.cap(lane, pace)
    }

    /// When one more call of a lane fits into one of so many equal parts; `now` if it does already.
    fn ready(&mut self, lane: Lane, parts: u64, now: Duration) -> Duration {
        self.forget(now);
        let (mut sums, mut at) = (self.sums, now);
        for (number, calls) in &self.slots {
            if self.fits(lane, parts, sums) {
                break;
            }
            for (sum, calls) in sums.iter_mut().zip(calls) {
                *sum = sum.saturating_sub(*calls);
            }
            at = self.leaves(*number);
        }
        at
    }

    fn give_back(&mut self, lane: Lane, mut calls: u64) {
        let lane = index(lane);
        for (_, counted) in &mut self.slots {
            if let (Some(counted), Some(sum)) = (counted.get_mut(lane), self.sums.get_mut(lane)) {
                let part = calls.min(*counted);
                *counted = counted.saturating_sub(part);
                *sum = sum.saturating_sub(part);
                calls = calls.saturating_sub(part);
            }
        }
    }

    fn count(&mut self, lane: Lane, now: Duration) {
        let number = self.number(now);
        if self.slots.back().is_none_or(|(last, _)| *last < number) {
            self.slots.push_back((number, [0; 2]));
        }
        let lane = index(lane);
        if let Some(calls) = self.slots.back_mut().and_then(|(_, calls)| calls.get_mut(lane)) {
            *calls = calls.saturating_add(1);
        }
        if let Some(sum) = self.sums.get_mut(lane) {
            *sum = sum.saturating_add(1);
        }
    }
}

/// A token bucket. Its level is in millionths of a token.
#[derive(Debug)]
struct Bucket {
    rate: i64,
    burst: i64,
    /// The part that entries may not use, in millionths of a token.
    kept_for_exits: i64,
    /// Below zero after a cancellation of more than there were tokens for.
    level: i64,
    at: Duration,
    /// Nothing before this: the venue said so.
    closed_until: Duration,
}

impl Bucket {
    fn new(tier: Tier, limits: &VenueLimits, now: Duration) -> Self {
        let part = |number: i64, share: u64| {
            let part = number.unsigned_abs().saturating_mul(share).checked_div(WHOLE).unwrap_or(0);
            i64::try_from(part).unwrap_or(i64::MAX)
        };
        let paced = |number: u32| part(i64::from(number), limits.share).max(1);
        let burst = paced(tier.burst).saturating_mul(TOKEN);
        let kept_for_exits = part(burst, limits.kept_for_exits);
        let (rate, level, closed_until) = (paced(tier.per_second), burst, Duration::ZERO);
        Self { rate, burst, kept_for_exits, level, at: now, closed_until }
    }

    /// One of so many equal parts, which is never too small for a token.
    fn part(&self, parts: i64) -> i64 {
        self.burst.checked_div(parts).unwrap_or(self.burst).max(TOKEN)
    }

    fn refill(&mut self, parts: i64, now: Duration) {
        let micros = i64::try_from(now.saturating_sub(self.at).as_micros()).unwrap_or(i64::MAX);
        // A microsecond of one token per second is a millionth of a token.
        let more = micros.saturating_mul(self.rate).checked_div(parts).unwrap_or(0);
        self.level = self.level.saturating_add(more).min(self.part(parts));
        self.at = self.at.max(now);
    }

    /// When `tokens` can be taken. Entries leave a part for exits, but are never kept from a full bucket.
    fn ready(&mut self, lane: Lane, tokens: u32, parts: i64, now: Duration) -> Duration {
        self.refill(parts, now);
        let kept = match lane {
            Lane::Exits => 0,
            Lane::Entries => self.kept_for_exits.checked_div(parts).unwrap_or(0),
        };
        let needed = i64::from(tokens).saturating_mul(TOKEN).saturating_add(kept).min(self.part(parts));
        let missing = u64::try_from(needed.saturating_sub(self.level)).unwrap_or(0);
        let missing = missing.saturating_mul(parts.unsigned_abs());
        let micros = missing.div_ceil(self.rate.unsigned_abs().max(1));
        now.saturating_add(Duration::from_micros(micros)).max(self.closed_until)
    }

    fn take(&mut self, tokens: u32) {
        self.level = self.level.saturating_sub(i64::from(tokens).saturating_mul(TOKEN));
    }

    fn is_idle(&self, parts: i64) -> bool {
        self.level >= self.part(parts) && self.closed_until <= self.at
    }
}

/// The state of every pace of one egress address, as far as it is this process's.
#[derive(Debug)]
pub(crate) struct Pace {
    limits: VenueLimits,
    company: Arc<Company>,
    windows: HashMap<Endpoint, Vec<Window>>,
    closed: HashMap<Endpoint, Duration>,
    orders: HashMap<Address, Bucket>,
    cancels: HashMap<Address, Bucket>,
    tiers: HashMap<Address, Tier>,
}

impl Pace {
    pub(crate) fn new(limits: VenueLimits) -> Self {
        let window = |length, limit: u32| {
            let pace = u64::from(limit).saturating_mul(limits.share).checked_div(WHOLE).unwrap_or(0);
            Window::new(length, pace, limits.kept_for_exits)
        };
        let windows = Endpoint::ALL.into_iter().map(|endpoint| {
            let (short, long) = limits.of(endpoint);
            let long = long.map(|limit| window(LONG_WINDOW, limit));
            (endpoint, std::iter::once(window(endpoint.short_window(), short)).chain(long).collect())
        });
        Self {
            windows: windows.collect(),
            closed: HashMap::new(),
            orders: HashMap::new(),
            cancels: HashMap::new(),
            tiers: HashMap::new(),
            company: Arc::new(Company::alone()),
            limits,
        }
    }

    /// Keeps to this process's part from now on.
    pub(crate) fn share(&mut self, company: Arc<Company>) {
        self.company = company;
    }

    fn parts(&self, now: Duration) -> i64 {
        self.company.members(now).of_signer()
    }

    /// Takes what a call needs, all or nothing.
    ///
    /// # Errors
    /// The moment before which it is of no use to ask again.
    pub(crate) fn take(&mut self, call: Call, now: Duration) -> Result<(), Duration> {
        let members = self.company.members(now);
        let mut at = self.closed_of(call.endpoint).unwrap_or_default().max(now);
        for endpoint in [call.endpoint, call.endpoint.service()] {
            for window in self.windows.get_mut(&endpoint).into_iter().flatten() {
                at = at.max(window.ready(call.lane, members.of(endpoint), now));
            }
            if call.endpoint == call.endpoint.service() {
                break;
            }
        }
        if let Some((signer, tokens)) = call.tokens {
            let bucket = self.bucket(call.endpoint, signer, now);
            at = at.max(bucket.ready(call.lane, tokens, members.of_signer(), now));
        }
        if at > now {
            return Err(at);
        }
        for endpoint in [call.endpoint, call.endpoint.service()] {
            for window in self.windows.get_mut(&endpoint).into_iter().flatten() {
                window.count(call.lane, now);
            }
            if call.endpoint == call.endpoint.service() {
                break;
            }
        }
        if let Some((signer, tokens)) = call.tokens {
            self.bucket(call.endpoint, signer, now).take(tokens);
        }
        Ok(())
    }

    /// Takes calls out of the windows again, those first that would leave them next. What was taken of a bucket stays
    /// taken.
    pub(crate) fn give_back(&mut self, call: Call, calls: u32) {
        for endpoint in [call.endpoint, call.endpoint.service()] {
            for window in self.windows.get_mut(&endpoint).into_iter().flatten() {
                window.give_back(call.lane, u64::from(calls));
            }
        }
    }

    fn bucket(&mut self, endpoint: Endpoint, signer: Address, now: Duration) -> &mut Bucket {
        let tier = self.tiers.get(&signer).copied().unwrap_or(self.limits.signer);
        let (buckets, tier) = match endpoint.is_cancel() {
            true => (&mut self.cancels, tier.of_cancels()),
            false => (&mut self.orders, tier),
        };
        if buckets.len() >= IDLE_BUCKETS && !buckets.contains_key(&signer) {
            let parts = self.company.members(now).of_signer();
            // A full bucket is like a new one.
            buckets.retain(|_, bucket| {
                bucket.refill(parts, now);
                !bucket.is_idle(parts)
            });
        }
        buckets.entry(signer).or_insert_with(|| Bucket::new(tier, &self.limits, now))
    }

    /// Until when the venue takes no such call, because it said so to an earlier one.
    pub(crate) fn closed_until(&mut self, call: Call, now: Duration) -> Option<Duration> {
        let own = call.tokens.map(|(signer, _)| self.bucket(call.endpoint, signer, now).closed_until);
        let until = self.closed_of(call.endpoint).max(own)?;
        (until > now).then_some(until)
    }

    /// A refusal of any page of the Data API closes all of it. One of the order book service's market data says nothing
    /// about orders.
    fn closed_of(&self, endpoint: Endpoint) -> Option<Duration> {
        let service = Some(endpoint.service()).filter(|service| *service != Endpoint::Other);
        let of = |endpoint| self.closed.get(&endpoint).copied();
        of(endpoint).max(service.and_then(of))
    }

    /// The most cancels that this signer's bucket ever holds.
    pub(crate) fn most_cancels(&mut self, signer: Address, now: Duration) -> usize {
        let parts = self.parts(now);
        let tokens = self.bucket(Endpoint::CancelAll, signer, now).part(parts).checked_div(TOKEN);
        tokens.and_then(|tokens| usize::try_from(tokens).ok()).unwrap_or(0).max(1)
    }

    /// Takes tokens of a signer for what a request turned out to cancel.
    pub(crate) fn charge_cancels(&mut self, signer: Address, cancelled: usize, now: Duration) {
        let parts = self.parts(now);
        let bucket = self.bucket(Endpoint::CancelAll, signer, now);
        bucket.refill(parts, now);
        bucket.take(u32::try_from(cancelled).unwrap_or(u32::MAX));
    }

    /// What an answer teaches: the venue's own count of the signer's tokens, its tier, and how long to wait.
    /// `now` is the uptime and the time of the day.
    pub(crate) fn learn(&mut self, call: Call, told: &Told<'_>, (now, today): (Duration, Timestamp)) {
        if let Some((signer, _)) = call.tokens {
            self.learn_tier(signer, told.limit);
            let parts = self.parts(now);
            let bucket = self.bucket(call.endpoint, signer, now);
            bucket.refill(parts, now);
            if let Some(remaining) = told.limit.remaining {
                bucket.level = bucket.level.min(i64::from(remaining).saturating_mul(TOKEN));
            }
            if told.limited && told.limit.is_told() {
                // The limit that was hit is the signer's own.
                bucket.closed_until = bucket.closed_until.max(now.saturating_add(told.wait(today)));
                return;
            }
        }
        if told.limited || told.closed {
            let until = now.saturating_add(told.wait(today));
            // A mode is about orders, however many of them a request holds.
            let both = [Endpoint::Post, Endpoint::PostBatch];
            let by_mode = told.closed && both.contains(&call.endpoint);
            let also = both.into_iter().filter(|_| by_mode);
            let whole = [call.endpoint.service()].into_iter().filter(|service| *service != Endpoint::Other);
            for endpoint in also.chain(whole).chain([call.endpoint]) {
                let closed = self.closed.entry(endpoint).or_default();
                *closed = (*closed).max(until);
            }
        }
    }

    fn learn_tier(&mut self, signer: Address, limit: &Limit) {
        let Some(tier) = limit.tier.as_deref().and_then(Tier::named) else { return };
        let known = self.tiers.get(&signer).copied().unwrap_or(self.limits.signer);
        if known == tier {
            return;
        }
        self.tiers.insert(signer, tier);
        // Anew with the tier's numbers; the venue's count, in the same answer, says how full they are.
        self.orders.remove(&signer);
        self.cancels.remove(&signer);
    }
}

/// What an answer says about the pace.
#[derive(Debug)]
pub(crate) struct Told<'a> {
    /// The venue's headers.
    pub(crate) limit: &'a Limit,
    /// Status 429.
    pub(crate) limited: bool,
    /// The venue takes none of these calls for now (425, a restricted mode) and says for how long.
    pub(crate) closed: bool,
    /// How long to wait.
    pub(crate) retry_after: Option<Duration>,
}

impl Told<'_> {
    fn wait(&self, today: Timestamp) -> Duration {
        // A moment in Unix seconds by the documentation; what is too small for one is a time from now.
        let reset = self.limit.reset.map(|reset| match i64::try_from(reset) {
            Ok(moment) if reset > MAX_RETRY_AFTER.as_secs() => Timestamp::from_seconds(moment).since(today),
            _ => Duration::from_secs(reset),
        });
        let believed = reset.filter(|reset| *reset <= MAX_RETRY_AFTER && !reset.is_zero());
        self.retry_after.or(believed).unwrap_or(LIMITED_WITHOUT_TIME)
    }
}

#[cfg(test)]
#[path = "pace_tests.rs"]
mod tests;
