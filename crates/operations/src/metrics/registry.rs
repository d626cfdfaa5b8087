//! The newest value of each metric, by its tags.

use std::{
    collections::BTreeMap,
    sync::{Mutex, MutexGuard, PoisonError},
};

use super::{BUCKETS, Metric};
use crate::limits::{FRESH_VALUES, SERIES};

/// Values of all metrics. Shared by whoever measures and whoever tells.
#[derive(Debug, Default)]
pub struct Registry(Mutex<Series>);

/// By name and values of tags.
pub(super) type Series = BTreeMap<(&'static str, Vec<String>), Sample>;

/// What is known of one metric with some tags.
#[derive(Clone, Debug, PartialEq)]
pub(super) enum Sample {
    /// Of a gauge, or a counter's total; and what of it was sent last.
    Value { now: f64, sent: f64 },
    /// Of a histogram.
    Spread(Box<Spread>),
}

/// Values by bucket.
#[derive(Clone, Debug, Default, PartialEq)]
pub(super) struct Spread {
    pub(super) buckets: [u64; BUCKETS.len()],
    pub(super) count: u64,
    pub(super) sum: f64,
    /// The newest value of each bucket that can be looked up, and by what.
    pub(super) exemplars: [Option<(f64, String)>; BUCKETS.len() + 1],
    /// Values that were not sent yet.
    pub(super) fresh: Vec<f64>,
}

impl Registry {
    /// How much there is now, or a total that is counted elsewhere. Tags in the order of the table.
    pub fn set(&self, metric: &Metric, tags: &[&str], value: f64) {
        if let Some(Sample::Value { now, .. }) = sample(&mut self.lock(), metric, tags, nothing) {
            *now = value;
        }
    }

    /// Something happened so often more.
    pub fn add(&self, metric: &Metric, tags: &[&str], times: u32) {
        if let Some(Sample::Value { now, .. }) = sample(&mut self.lock(), metric, tags, nothing) {
            *now += f64::from(times);
        }
    }

    /// A value of a histogram, and by what it can be looked up (`slipstream inspect`).
    pub fn observe(&self, metric: &Metric, tags: &[&str], value: f64, trace: &str) {
        let empty = || Sample::Spread(Box::default());
        if let Some(Sample::Spread(spread)) = sample(&mut self.lock(), metric, tags, empty) {
            spread.observe(value, trace);
        }
    }

    /// Forgets all values of a metric: what it told of is not there any more.
    pub fn forget(&self, metric: &Metric) {
        self.lock().retain(|(name, _), _| *name != metric.name);
    }

    /// Values of a gauge's series that have these tags, each with its tags as `tag=value`.
    #[must_use]
    pub fn series(&self, metric: &Metric, only: &[(&str, &str)]) -> Vec<(String, f64)> {
        let has = |values: &[String]| {
            let mut pairs = only.iter();
            pairs.all(|(tag, value)| {
                let place = metric.tags.iter().position(|known| known == tag);
                place.and_then(|place| values.get(place)).is_some_and(|found| found == value)
            })
        };
        let told = |((name, values), sample): (&(&str, Vec<String>), &Sample)| {
            let Sample::Value { now, .. } = sample else { return None };
            if *name != metric.name || !has(values) {
                return None;
            }
            let pairs = metric.tags.iter().zip(values).map(|(tag, value)| format!("{tag}={value}"));
            Some((pairs.collect::<Vec<_>>().join(","), *now))
        };
        self.lock().iter().filter_map(told).collect()
    }

    pub(super) fn lock(&self) -> MutexGuard<'_, Series> {
        self.0.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

fn nothing() -> Sample {
    Sample::Value { now: 0.0, sent: 0.0 }
}

/// The sample of these tags, made if there is room for one more: tags come from outside, too.
fn sample<'a>(
    series: &'a mut Series,
    metric: &Metric,
    tags: &[&str],
    new: impl Fn() -> Sample,
) -> Option<&'a mut Sample> {
    debug_assert_eq!(tags.len(), metric.tags.len(), "{}", metric.name);
    let key = (metric.name, tags.iter().map(|tag| (*tag).to_owned()).collect::<Vec<_>>());
    if !series.contains_key(&key) && series.len() >= SERIES {
        return None;
    }
    Some(series.entry(key).or_insert_with(new))
}

impl Spread {
    fn observe(&mut self, value: f64, trace: &str) {
        let place = BUCKETS.iter().position(|bound| value <= *bound);
        if let Some(bucket) = place.and_then(|place| self.buckets.get_mut(place)) {
            *bucket = bucket.saturating_add(1);
        }
        if let Some(exemplar) = self.exemplars.get_mut(place.unwrap_or(BUCKETS.len())) {
            *exemplar = Some((value, trace.to_owned()));
        }
        self.count = self.count.saturating_add(1);
        self.sum += value;
        if self.fresh.len() < FRESH_VALUES {
            self.fresh.push(value);
        }
    }
}
