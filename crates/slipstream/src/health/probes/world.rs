//! The venue, the chain's providers, and who tells of leaders' trades.

use std::{
    sync::{Arc, Mutex, PoisonError},
    time::Duration,
};

use async_trait::async_trait;
use domain::Clock;
use engine::{ports::venue::VenueClock, sources::SourceHealth};
use operations::health::{Check, Kind, Probe, Reading, Weight, millis};
use polymarket::{Answers, ProviderHealth, Tally, Topic};

use crate::{chain::ChainProviders, sources_command::Sources, wording::harmless};

/// Answers later than the first are worth a look; later than the second, no order comes in time.
const SLOW_MS: (f64, f64) = (1_000.0, 5_000.0);
/// So many calls of a kind that failed, and none that was answered since, are a failure of its own.
const FAILED: u64 = 5;
/// A head of this age is late, and of the second nothing new is seen.
const HEAD_AGE_S: (f64, f64) = (15.0, 60.0);

/// What is asked of the order book service, by what is needed for it.
const KINDS: [(&str, &[Topic]); 3] = [
    ("reads", &[Topic::Markets, Topic::Books, Topic::Clock]),
    ("authenticated reads", &[Topic::LookUps, Topic::Balances, Topic::Logins]),
    ("orders", &[Topic::Orders, Topic::Cancels]),
];

/// Asks the order book service for its time, and counts what others' calls came to.
pub(super) struct VenueProbe {
    venue: Arc<dyn VenueClock>,
    answers: Arc<Answers>,
    clock: Arc<dyn Clock>,
    passive: Mutex<[Passive; KINDS.len()]>,
}

/// What is known of calls of one kind.
#[derive(Clone, Copy, Default)]
struct Passive {
    answered: u64,
    failed: u64,
    /// Failures since the last answer.
    in_a_row: u64,
    /// Uptime of the look that saw the last answer.
    answered_at: Option<Duration>,
}

impl Passive {
    /// Takes in what was counted since the last look.
    fn look(&mut self, tallies: &[(Topic, Tally)], topics: &[Topic], now: Duration) {
        let of = tallies.iter().filter(|(topic, _)| topics.contains(topic));
        // To refuse and to ask to wait are answers.
        let (answered, failed) = of.fold((0_u64, 0_u64), |(answered, failed), (_, tally)| {
            let said = tally.answered.saturating_add(tally.refused).saturating_add(tally.put_off);
            let bad = tally.failed.saturating_add(tally.malformed);
            (answered.saturating_add(said), failed.saturating_add(bad))
        });
        let newly_failed = failed.saturating_sub(self.failed);
        if answered > self.answered {
            (self.in_a_row, self.answered_at) = (0, Some(now));
        } else {
            self.in_a_row = self.in_a_row.saturating_add(newly_failed);
        }
        (self.answered, self.failed) = (answered, failed);
    }

    /// Nothing where nobody has asked: no order was placed yet.
    fn reading(&self, kind: &str, now: Duration) -> Option<Reading> {
        let age = self.answered_at.map(|at| now.saturating_sub(at).as_secs_f64());
        let words = || format!("{} calls in a row failed", self.in_a_row);
        Some(match self.in_a_row {
            0 if age.is_none() => return None,
            0 => Reading::pass(age),
            FAILED.. => Reading::fail(age, words()),
            _ => Reading::warn(age, words()),
        })
        .map(|reading| reading.of(kind))
    }
}

impl VenueProbe {
    pub(super) fn new(venue: Arc<dyn VenueClock>, answers: Arc<Answers>, clock: Arc<dyn Clock>) -> Self {
        Self { venue, answers, clock, passive: Mutex::default() }
    }

    async fn time(&self) -> Reading {
        let asked = self.clock.uptime();
        match self.venue.server_time().await {
            Ok(_) => {
                let took = millis(self.clock.uptime().saturating_sub(asked));
                Reading::below(took, SLOW_MS, "it answers slowly")
            }
            Err(error) => Reading::fail(None, harmless(&error.to_string())),
        }
    }

    fn others(&self) -> Vec<Reading> {
        let (now, tallies) = (self.clock.uptime(), self.answers.tallies());
        let mut passive = self.passive.lock().unwrap_or_else(PoisonError::into_inner);
        let each = passive.iter_mut().zip(KINDS).filter_map(|(passive, (kind, topics))| {
            passive.look(&tallies, topics, now);
            passive.reading(kind, now)
        });
        each.collect()
    }
}

#[async_trait]
impl Probe for VenueProbe {
    fn checks(&self) -> &[Check] {
        const fn of(measurement: &'static str, unit: &'static str) -> Check {
            Check {
                component: "polymarket_api",
                measurement,
                kind: Kind::Component,
                unit,
                weight: Weight::Major,
            }
        }
        const { &[of("responseTime", "ms"), of("lastSuccess", "s")] }
    }

    fn every(&self) -> Duration {
        Duration::from_secs(5)
    }

    fn within(&self) -> Duration {
        Duration::from_secs(5)
    }

    async fn look(&self) -> Vec<Vec<Reading>> {
        let time = self.time().await;
        vec![vec![time], self.others()]
    }
}

/// Reads how each provider of the chain does; it asks none of them, others do all the time.
pub(super) struct RpcProbe {
    pub(super) providers: ChainProviders,
}

#[async_trait]
impl Probe for RpcProbe {
    fn checks(&self) -> &[Check] {
        const {
            &[Check {
                component: "polygon_rpc",
                measurement: "headAge",
                kind: Kind::Component,
                unit: "s",
                weight: Weight::Major,
            }]
        }
    }

    fn every(&self) -> Duration {
        Duration::from_secs(5)
    }

    fn within(&self) -> Duration {
        Duration::from_secs(2)
    }

    async fn look(&self) -> Vec<Vec<Reading>> {
        vec![of_providers(&self.providers.health())]
    }
}

/// One that fails is another one's turn; all of them are a failure.
fn of_providers(providers: &[ProviderHealth]) -> Vec<Reading> {
    let in_trouble = |one: &ProviderHealth| one.trouble.is_some() || one.head.is_none();
    let nobody = providers.iter().all(in_trouble);
    let reading = |one: &ProviderHealth| {
        let age = one.head_age_ms.and_then(|age| u32::try_from(age).ok()).map(|age| f64::from(age) / 1_000.0);
        let last = one.last_trouble.as_ref().map(|last| format!(" ({})", harmless(last))).unwrap_or_default();
        let why = match (&one.trouble, one.head) {
            (Some(trouble), _) => format!("{}{last}", harmless(trouble)),
            (None, None) => format!("it told no head lately{last}"),
            (None, Some(_)) => String::new(),
        };
        let reading = match (in_trouble(one), age) {
            (true, _) if nobody => Reading::fail(age, why),
            (true, _) => Reading::warn(age, why),
            (false, Some(age)) => Reading::below(age, HEAD_AGE_S, "no new block"),
            (false, None) => Reading::unknown("it told no head lately"),
        };
        reading.of(one.name.clone())
    };
    providers.iter().map(reading).collect()
}

/// Reads how the sources of leaders' trades do. Who watches no leaders has none.
pub(super) struct FeedsProbe {
    pub(super) sources: Sources,
    pub(super) clock: Arc<dyn Clock>,
}

#[async_trait]
impl Probe for FeedsProbe {
    fn checks(&self) -> &[Check] {
        const {
            &[
                Check {
                    component: "feeds",
                    measurement: "silence",
                    kind: Kind::Component,
                    unit: "s",
                    weight: Weight::Major,
                },
                Check {
                    component: "feeds",
                    measurement: "disagreement",
                    kind: Kind::Component,
                    unit: "percent",
                    weight: Weight::Minor,
                },
            ]
        }
    }

    fn every(&self) -> Duration {
        Duration::from_secs(5)
    }

    fn within(&self) -> Duration {
        Duration::from_secs(2)
    }

    async fn look(&self) -> Vec<Vec<Reading>> {
        let health = self.sources.watch.health(self.clock.now());
        // Nobody stops for one that is silent because nobody trades: what counts is whether it is read.
        let sockets = self.sources.channels.as_ref().map(|channels| channels.market.health());
        let market = sockets.filter(|feed| feed.wanted > 0).map(|feed| {
            let age = feed.age(self.clock.uptime()).map(|age| age.as_secs_f64());
            let reading = match feed.open {
                0 => Reading::warn(age, "no connection is open: books are asked for over HTTP"),
                _ => Reading::pass(age),
            };
            reading.of("market channel")
        });
        let silence = health.iter().filter_map(silence).chain(market).collect();
        vec![silence, health.iter().filter_map(disagreement).collect()]
    }
}

fn silence(one: &SourceHealth) -> Option<Reading> {
    let silent = one.silent.map(|silent| silent.as_secs_f64());
    let reading = match (one.stopped, one.late) {
        (true, _) => Reading::fail(silent, "nothing new can be read of it; `slipstream sources` tells more"),
        (_, true) => Reading::warn(silent, "it shows leaders' trades late; `slipstream sources` tells more"),
        _ if one.trades == 0 => return None,
        _ => Reading::pass(silent),
    };
    Some(reading.of(one.source.name()))
}

fn disagreement(one: &SourceHealth) -> Option<Reading> {
    let (compared, differs) = (u32::try_from(one.compared).ok()?, u32::try_from(one.differs).ok()?);
    if compared == 0 {
        return None;
    }
    let percent = f64::from(differs) * 100.0 / f64::from(compared);
    let words = "it says something else than the chain; the chain counts";
    Some(Reading::below(percent, (10.0, 101.0), words).of(one.source.name()))
}

#[cfg(test)]
mod tests {
    use operations::health::Status;

    use super::*;

    fn tally(answered: u64, failed: u64) -> Vec<(Topic, Tally)> {
        vec![(Topic::Orders, Tally { answered, failed, ..Tally::default() })]
    }

    #[test]
    fn calls_of_others_tell_of_the_order_path_without_a_call_of_its_own() {
        let mut passive = Passive::default();
        let mut look = |tally: &[(Topic, Tally)], seconds| {
            let now = Duration::from_secs(seconds);
            passive.look(tally, &[Topic::Orders], now);
            passive.reading("orders", now).map(|reading| (reading.status, reading.value))
        };
        assert_eq!(look(&tally(0, 0), 0), None, "nobody has placed an order");
        assert_eq!(look(&tally(1, 0), 5), Some((Status::Pass, Some(0.0))));
        assert_eq!(look(&tally(1, 3), 10), Some((Status::Warn, Some(5.0))));
        assert_eq!(look(&tally(1, 6), 15), Some((Status::Fail, Some(10.0))));
        assert_eq!(look(&tally(2, 6), 20), Some((Status::Pass, Some(0.0))));
    }

    fn provider(name: &str, trouble: Option<&str>, age: u64) -> ProviderHealth {
        ProviderHealth {
            name: name.to_owned(),
            owner: name.to_owned(),
            first: name == "a",
            trouble: trouble.map(str::to_owned),
            latency_ms: 10,
            head: Some(1),
            head_age_ms: Some(age),
            behind: 0,
            pruned: None,
            calls_today: 1,
            calls: 1,
            calls_a_day: None,
            failures: 0,
            wrong: 0,
            last_trouble: None,
        }
    }

    #[test]
    fn one_provider_in_trouble_is_a_warning_and_all_of_them_a_failure() {
        let statuses = |providers: &[ProviderHealth]| -> Vec<Status> {
            of_providers(providers).iter().map(|reading| reading.status).collect()
        };
        let (well, ill) = (provider("a", None, 1_000), provider("b", Some("resting"), 1_000));
        assert_eq!(statuses(&[well, ill.clone()]), [Status::Pass, Status::Warn]);
        assert_eq!(statuses(&[ill]), [Status::Fail]);
        assert_eq!(statuses(&[provider("a", None, 20_000)]), [Status::Warn]);
    }
}
