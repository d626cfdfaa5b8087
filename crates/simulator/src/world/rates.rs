//! Rate limits and the count of requests by which a client's pacing is judged: sliding windows per IP address
//! and endpoint group, which delay what is too much and refuse what would wait too long, as Cloudflare does;
//! and two token buckets per signer, for orders and for cancels. Pure: who asks, when, and what comes of it.
//!
//! Sources: docs.polymarket.com api-reference/rate-limits and api-reference/trading-rate-limits.

use std::{
    collections::{BTreeMap, VecDeque},
    net::IpAddr,
    time::Duration,
};

use domain::{Address, Timestamp};
use serde::{Deserialize, Serialize};

use super::{
    World,
    endpoints::{Class, Group, Quota},
};

/// Parts of a token.
const TOKEN: i64 = 1_000_000;

/// Whether the signers' buckets refuse.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum Signers {
    /// There are none.
    #[default]
    Off,
    /// They only say what they would refuse.
    Warn,
    /// They refuse.
    Enforce,
}

/// Rate limits as they are set.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(default, deny_unknown_fields)]
pub struct Rates {
    /// Whether IP addresses are limited. Default false.
    pub per_ip: bool,
    /// Limits that differ from the published ones.
    pub quotas: BTreeMap<Group, Quota>,
    /// Longest delay in milliseconds before a request is refused instead. Default 0: refused at once.
    pub most_delay_ms: u64,
    /// Whether signers are limited. Default off.
    pub signers: Signers,
    /// Tiers of signers that are not `Standard`.
    pub tiers: BTreeMap<Address, Tier>,
}

/// Volume tier of a signer.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, PartialOrd, Ord, Serialize, Deserialize)]
pub enum Tier {
    /// Without much volume.
    #[default]
    Standard,
    /// From $30,000 in 30 days.
    Copper,
    /// From $50,000.
    Bronze,
    /// From $100,000.
    Silver,
    /// From $500,000.
    Gold,
    /// From $2.5M.
    Platinum,
    /// From $5M.
    Diamond,
    /// From $10M.
    Elite,
}

impl Tier {
    /// Name on the wire.
    #[must_use]
    pub const fn name(self) -> &'static str {
        match self {
            Self::Standard => "Standard",
            Self::Copper => "Copper",
            Self::Bronze => "Bronze",
            Self::Silver => "Silver",
            Self::Gold => "Gold",
            Self::Platinum => "Platinum",
            Self::Diamond => "Diamond",
            Self::Elite => "Elite",
        }
    }

    /// Tokens per second and at most, of the order bucket; the cancel bucket has twice as many.
    const fn orders(self) -> (i64, i64) {
        match self {
            Self::Standard => (40, 60),
            Self::Copper => (60, 90),
            Self::Bronze => (80, 120),
            Self::Silver => (200, 300),
            Self::Gold => (400, 600),
            Self::Platinum => (450, 675),
            Self::Diamond => (525, 787),
            Self::Elite => (600, 900),
        }
    }

    /// Whether cancels may leave its bucket in debt.
    const fn may_owe(self) -> bool {
        !matches!(self, Self::Platinum | Self::Diamond | Self::Elite)
    }
}

/// The two buckets of a signer.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub enum Bucket {
    /// Placing orders.
    Order,
    /// Cancelling them.
    Cancel,
}

/// What becomes of a request at the edge.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Admission {
    /// It goes on, after this delay.
    After(Duration),
    /// 429; it makes sense to come back in this many seconds.
    Refused(u64),
}

/// What the signer's bucket says about a request.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Spent {
    /// Tokens left.
    pub remaining: i64,
    /// Unix seconds at which the request could be made (again).
    pub reset: i64,
    /// Tier.
    pub tier: Tier,
    /// Whether it was too much.
    pub over: bool,
    /// Whether it is refused.
    pub refused: bool,
    /// Seconds to wait; none when it could never be admitted.
    pub retry_after: Option<u64>,
}

/// Requests of one group.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Serialize)]
pub struct Counts {
    /// All.
    pub requests: u64,
    /// Let through late.
    pub delayed: u64,
    /// Refused by the limits of IP addresses.
    pub throttled: u64,
    /// Refused by the limits of signers, or told that they would be.
    pub throttled_signer: u64,
}

impl Counts {
    fn plus(self, other: Self) -> Self {
        Self {
            requests: self.requests.saturating_add(other.requests),
            delayed: self.delayed.saturating_add(other.delayed),
            throttled: self.throttled.saturating_add(other.throttled),
            throttled_signer: self.throttled_signer.saturating_add(other.throttled_signer),
        }
    }
}

/// A signer's tokens, in parts.
#[derive(Clone, Copy, Debug)]
struct Tokens {
    left: i64,
    at: Timestamp,
}

/// Requests so far, and who has how much left.
#[derive(Debug, Default)]
pub struct Traffic {
    counts: BTreeMap<Group, Counts>,
    /// Times of admitted requests in each window, oldest first.
    windows: BTreeMap<(IpAddr, Group, usize), VecDeque<Timestamp>>,
    tokens: BTreeMap<(Address, Bucket), Tokens>,
}

impl Traffic {
    /// Counts a request of an IP address and says whether and when it goes on.
    pub fn admit(&mut self, rates: &Rates, now: Timestamp, from: IpAddr, group: Group) -> Admission {
        let counts = self.counts.entry(group).or_default();
        counts.requests = counts.requests.saturating_add(1);
        if !rates.per_ip {
            return Admission::After(Duration::ZERO);
        }
        let service = Some(group.service()).filter(|service| *service != group);
        let limits: Vec<(Group, usize, usize)> = service
            .into_iter()
            .chain([group])
            .flat_map(|group| {
                let quota = rates
                    .quotas
                    .get(&group)
                    .map_or_else(|| group.published(), |quota| [quota.per_10s, quota.per_10min]);
                (0..2).filter_map(move |window| Some((group, window, (*quota.get(window)?)?)))
            })
            .map(|(group, window, limit)| (group, window, usize::try_from(limit).unwrap_or(usize::MAX)))
            .collect();
        let at = limits.iter().map(|limit| self.free_at(now, from, *limit)).max().unwrap_or(now);
        let delay = at.since(now);
        if delay > Duration::from_millis(rates.most_delay_ms) {
            self.count(group, |counts| &mut counts.throttled);
            return Admission::Refused(whole_seconds(delay));
        }
        for (group, window, _) in limits {
            self.windows.entry((from, group, window)).or_default().push_back(at);
        }
        if !delay.is_zero() {
            self.count(group, |counts| &mut counts.delayed);
        }
        Admission::After(delay)
    }

    /// When a window has room for one more request.
    fn free_at(
        &mut self,
        now: Timestamp,
        from: IpAddr,
        (group, window, limit): (Group, usize, usize),
    ) -> Timestamp {
        let length = group.windows().get(window).copied().unwrap_or_default();
        let admitted = self.windows.entry((from, group, window)).or_default();
        while admitted.front().is_some_and(|at| at.plus(length) <= now) {
            admitted.pop_front();
        }
        let newest = admitted.back().copied().unwrap_or(now).max(now);
        match admitted.len().checked_sub(limit).and_then(|index| admitted.get(index)) {
            Some(blocking) => blocking.plus(length).max(newest),
            None if limit == 0 => now.plus(length),
            None => newest,
        }
    }

    /// Takes tokens of a signer, `cost` for one request. `None` while signers are not limited.
    pub fn spend(
        &mut self,
        rates: &Rates,
        now: Timestamp,
        signer: Address,
        (bucket, cost): (Bucket, usize),
    ) -> Option<Spent> {
        if rates.signers == Signers::Off {
            return None;
        }
        let tier = rates.tiers.get(&signer).copied().unwrap_or_default();
        let (per_second, most) = allowance(tier, bucket);
        let cost = i64::try_from(cost).unwrap_or(i64::MAX).saturating_mul(TOKEN);
        let left = self.refilled(now, signer, bucket, (per_second, most));
        let over = cost > left;
        let refused = over && rates.signers == Signers::Enforce;
        let after = if over { left } else { left.saturating_sub(cost) };
        self.tokens.insert((signer, bucket), Tokens { left: after, at: now });
        let missing = if over { cost.saturating_sub(left) } else { 0 };
        let wait = missing.saturating_add(per_second).saturating_sub(1) / per_second;
        let wait = Duration::from_micros(u64::try_from(wait).unwrap_or(0));
        Some(Spent {
            remaining: after.div_euclid(TOKEN),
            reset: now.plus(wait).0.saturating_add(999_999).div_euclid(1_000_000),
            tier,
            over,
            refused,
            retry_after: (refused && cost <= most.saturating_mul(TOKEN)).then(|| whole_seconds(wait)),
        })
    }

    /// Takes tokens for what a request turned out to cancel, and says what is left; the bucket may go into debt.
    pub fn charge(&mut self, rates: &Rates, now: Timestamp, signer: Address, cost: usize) -> Option<i64> {
        if rates.signers == Signers::Off {
            return None;
        }
        let tier = rates.tiers.get(&signer).copied().unwrap_or_default();
        let left = self.refilled(now, signer, Bucket::Cancel, allowance(tier, Bucket::Cancel));
        let cost = i64::try_from(cost).unwrap_or(i64::MAX).saturating_mul(TOKEN);
        let left = left.saturating_sub(cost);
        let left = if tier.may_owe() { left } else { left.max(0) };
        self.tokens.insert((signer, Bucket::Cancel), Tokens { left, at: now });
        Some(left.div_euclid(TOKEN))
    }

    /// Tokens a signer has now.
    fn refilled(
        &self,
        now: Timestamp,
        signer: Address,
        bucket: Bucket,
        (per_second, most): (i64, i64),
    ) -> i64 {
        let full = most.saturating_mul(TOKEN);
        let Some(tokens) = self.tokens.get(&(signer, bucket)) else { return full };
        let micros = i64::try_from(now.since(tokens.at).as_micros()).unwrap_or(i64::MAX);
        tokens.left.saturating_add(micros.saturating_mul(per_second)).min(full)
    }

    /// Counts a request that a signer's bucket refused or would have refused.
    pub fn count_signer(&mut self, group: Group) {
        self.count(group, |counts| &mut counts.throttled_signer);
    }

    fn count(&mut self, group: Group, which: impl Fn(&mut Counts) -> &mut u64) {
        let count = which(self.counts.entry(group).or_default());
        *count = count.saturating_add(1);
    }

    /// Requests by endpoint group.
    #[must_use]
    pub const fn counts(&self) -> &BTreeMap<Group, Counts> {
        &self.counts
    }

    /// Requests by what they are for.
    #[must_use]
    pub fn classes(&self) -> BTreeMap<Class, Counts> {
        let mut classes: BTreeMap<Class, Counts> = BTreeMap::new();
        for (group, counts) in &self.counts {
            let sum = classes.entry(group.class()).or_default();
            *sum = sum.plus(*counts);
        }
        classes
    }

    /// Begins to count anew; windows and buckets stay.
    pub fn reset_counts(&mut self) {
        self.counts.clear();
    }
}

impl World {
    /// Counts a request and says whether and when it goes on.
    pub fn admit(&mut self, now: Timestamp, from: IpAddr, group: Group) -> Admission {
        self.traffic.admit(&self.knobs.rates, now, from, group)
    }

    /// Takes a signer's tokens for a request of this group. `None` while signers are not limited.
    pub fn spend(
        &mut self,
        now: Timestamp,
        signer: Address,
        (bucket, group): (Bucket, Group),
        cost: usize,
    ) -> Option<Spent> {
        let spent = self.traffic.spend(&self.knobs.rates, now, signer, (bucket, cost))?;
        if spent.over {
            self.traffic.count_signer(group);
        }
        Some(spent)
    }

    /// Takes a signer's tokens for what a request turned out to cancel, and says what is left.
    pub fn charge(&mut self, now: Timestamp, signer: Address, canceled: usize) -> Option<i64> {
        self.traffic.charge(&self.knobs.rates, now, signer, canceled)
    }
}

const fn allowance(tier: Tier, bucket: Bucket) -> (i64, i64) {
    let (per_second, most) = tier.orders();
    match bucket {
        Bucket::Order => (per_second, most),
        Bucket::Cancel => (per_second.saturating_mul(2), most.saturating_mul(2)),
    }
}

fn whole_seconds(delay: Duration) -> u64 {
    delay.as_secs().saturating_add(u64::from(delay.subsec_nanos() > 0)).max(1)
}

#[cfg(test)]
mod tests {
    use std::net::Ipv4Addr;

    use super::*;

    const NOW: Timestamp = Timestamp(1_795_449_790_000_000);
    const IP: IpAddr = IpAddr::V4(Ipv4Addr::LOCALHOST);
    const SIGNER: Address = Address([7; 20]);

    fn at(millis: u64) -> Timestamp {
        NOW.plus(Duration::from_millis(millis))
    }

    fn rates(most_delay_ms: u64) -> Rates {
        let quota = Quota { per_10s: Some(3), per_10min: Some(5) };
        let quotas = BTreeMap::from([(Group::PostOrder, quota)]);
        Rates { per_ip: true, quotas, most_delay_ms, ..Rates::default() }
    }

    #[test]
    fn what_is_too_much_waits_and_what_would_wait_too_long_is_refused() {
        let (mut traffic, rates) = (Traffic::default(), rates(9_000));
        let mut ask = |millis| traffic.admit(&rates, at(millis), IP, Group::PostOrder);
        let after = |millis| Admission::After(Duration::from_millis(millis));
        assert_eq!([ask(0), ask(0), ask(1_000)], [after(0); 3]);
        assert_eq!(ask(0), Admission::Refused(10));
        assert_eq!([ask(2_000), ask(2_500)], [after(8_000), after(7_500)]);
        // Five in ten minutes: the sixth waits for the first to be ten minutes old.
        assert_eq!(ask(30_000), Admission::Refused(570));
        assert_eq!(ask(600_000), after(0));
        let other = IpAddr::V4(Ipv4Addr::new(127, 0, 0, 2));
        assert_eq!(traffic.admit(&rates, at(0), other, Group::PostOrder), after(0));
        let counts = traffic.counts()[&Group::PostOrder];
        assert_eq!((counts.requests, counts.delayed, counts.throttled), (9, 2, 2));
        assert_eq!(traffic.classes()[&Class::Order], counts);
    }

    #[test]
    fn never_more_than_the_quota_in_any_window() {
        let (mut traffic, rates) = (Traffic::default(), Rates { most_delay_ms: 3_000, ..rates(0) });
        let mut admitted = Vec::new();
        for millis in (0..60_000).step_by(700) {
            if let Admission::After(delay) = traffic.admit(&rates, at(millis), IP, Group::PostOrder) {
                admitted.push(at(millis).plus(delay));
            }
        }
        assert_eq!(admitted.len(), 5);
        assert!(admitted.windows(4).all(|times| times[3].since(times[0]) >= Group::PostOrder.windows()[0]));
        assert!(admitted.is_sorted());
    }

    #[test]
    fn buckets_refill_warn_and_refuse() {
        let mut traffic = Traffic::default();
        let enforce = Rates { signers: Signers::Enforce, ..Rates::default() };
        let mut spend =
            |rates: &Rates, millis, cost| traffic.spend(rates, at(millis), SIGNER, (Bucket::Order, cost));
        assert_eq!(spend(&Rates::default(), 0, 500), None);
        let first = spend(&enforce, 0, 50).unwrap();
        assert_eq!((first.remaining, first.over, first.tier), (10, false, Tier::Standard));
        let batch = spend(&enforce, 0, 15).unwrap();
        assert_eq!((batch.remaining, batch.refused, batch.retry_after), (10, true, Some(1)));
        // 5 tokens at 40 a second are there after 125 ms.
        assert!(!spend(&enforce, 125, 15).unwrap().refused);
        let never = spend(&enforce, 125, 61).unwrap();
        assert_eq!((never.refused, never.retry_after), (true, None));
        let warn = Rates { signers: Signers::Warn, ..Rates::default() };
        let warned = spend(&warn, 125, 15).unwrap();
        assert_eq!((warned.over, warned.refused), (true, false));
    }

    #[test]
    fn cancels_of_unknown_number_may_leave_a_debt() {
        let mut traffic = Traffic::default();
        let mut rates = Rates { signers: Signers::Enforce, ..Rates::default() };
        traffic.charge(&rates, NOW, SIGNER, 200);
        let spent = traffic.spend(&rates, NOW, SIGNER, (Bucket::Cancel, 1)).unwrap();
        assert_eq!((spent.remaining, spent.refused), (-80, true));
        rates.tiers.insert(SIGNER, Tier::Elite);
        traffic.charge(&rates, NOW, SIGNER, 2_000);
        assert_eq!(traffic.spend(&rates, NOW, SIGNER, (Bucket::Cancel, 1)).unwrap().remaining, 0);
    }
}
