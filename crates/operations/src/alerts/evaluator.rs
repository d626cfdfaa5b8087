//! Evaluates the rules on the newest values: an alert fires when its condition has lasted, for each series by itself, and ends
//! when it is over. What is not measured any more is over, too: its own check is unknown then.

use std::{collections::BTreeMap, time::Duration};

use super::{Rule, Silences};
use crate::metrics::Registry;

/// One series of a rule: its name, and the tags as `tag=value`.
#[derive(Clone, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub struct Instance {
    /// The rule.
    pub rule: &'static str,
    /// Which series.
    pub tags: String,
}

/// Something to tell.
#[derive(Clone, Debug, PartialEq)]
pub enum Turn {
    /// It fires.
    Fires(Instance, f64),
    /// It is over.
    Over(Instance),
}

/// What is known of each alert.
#[derive(Debug, Default)]
pub struct Evaluator {
    open: BTreeMap<Instance, Open>,
}

#[derive(Debug)]
struct Open {
    since: Duration,
    value: f64,
    told: bool,
}

impl Evaluator {
    /// One look at this uptime: what is to be told. A silence that ends tells what still fires.
    pub fn step(
        &mut self,
        now: Duration,
        (rules, registry): (&'static [Rule], &Registry),
        silences: &Silences,
    ) -> Vec<Turn> {
        let mut turns = Vec::new();
        let mut still = Vec::new();
        for rule in rules {
            for (tags, value) in registry.series(rule.metric, rule.only) {
                if value > rule.above {
                    let instance = Instance { rule: rule.name, tags };
                    let open =
                        self.open.entry(instance.clone()).or_insert(Open { since: now, value, told: false });
                    open.value = value;
                    let lasted = now.saturating_sub(open.since) >= rule.lasting;
                    if lasted && !open.told && !silences.hide(rule) {
                        open.told = true;
                        turns.push(Turn::Fires(instance.clone(), value));
                    }
                    still.push(instance);
                }
            }
        }
        let over: Vec<Instance> =
            self.open.keys().filter(|instance| !still.contains(instance)).cloned().collect();
        for instance in over {
            if self.open.remove(&instance).is_some_and(|open| open.told) {
                turns.push(Turn::Over(instance));
            }
        }
        turns
    }

    /// Alerts that fire and were told, with their values.
    pub fn firing(&self) -> impl Iterator<Item = (&Instance, f64)> {
        self.open.iter().filter(|(_, open)| open.told).map(|(instance, open)| (instance, open.value))
    }
}

#[cfg(test)]
mod tests {
    use domain::Timestamp;

    use super::*;
    use crate::{
        alerts::{RULES, Silence},
        metrics::table::{INVARIANTS, QUEUE_OLDEST},
    };

    fn seconds(seconds: u64) -> Duration {
        Duration::from_secs(seconds)
    }

    fn silence(rule: &str) -> Silence {
        let until = Timestamp::from_seconds(3_600);
        Silence { rule: rule.to_owned(), until, who: "ann".to_owned(), reason: "a test".to_owned() }
    }

    #[test]
    fn what_lasts_is_told_once_and_its_end_too() {
        let (mut evaluator, registry, silences) =
            (Evaluator::default(), Registry::default(), Silences::default());
        let mut step = |second, overdue| {
            registry.set(&QUEUE_OLDEST, &[], overdue);
            evaluator.step(seconds(second), (RULES, &registry), &silences)
        };
        let stuck = Instance { rule: "QueueStuck", tags: String::new() };
        assert_eq!(step(0, 61.0), []);
        assert_eq!(step(10, 29.0), [], "it was over before it had lasted");
        assert_eq!(step(20, 70.0), []);
        assert_eq!(step(34, 80.0), []);
        assert_eq!(step(35, 90.0), [Turn::Fires(stuck.clone(), 90.0)]);
        assert_eq!(step(60, 99.0), [], "told once");
        assert_eq!(step(70, 0.0), [Turn::Over(stuck)]);
        assert_eq!(step(80, 0.0), []);
    }

    /// The one who silences everything in an outage does not silence this.
    #[test]
    fn no_silence_hides_what_guards_money_and_one_that_ends_tells_what_still_fires() {
        let (mut evaluator, registry, silences) =
            (Evaluator::default(), Registry::default(), Silences::default());
        registry.set(&QUEUE_OLDEST, &[], 600.0);
        registry.set(&INVARIANTS, &["duplicate order"], 1.0);
        silences.learn(&[silence("QueueStuck"), silence("InvariantBroken")], Timestamp(0));
        let told = evaluator.step(seconds(0), (RULES, &registry), &silences);
        let broken = Instance { rule: "InvariantBroken", tags: "of=duplicate order".to_owned() };
        assert_eq!(told, [Turn::Fires(broken, 1.0)]);
        assert_eq!(evaluator.step(seconds(100), (RULES, &registry), &silences), []);
        silences.learn(&[silence("QueueStuck")], Timestamp::from_seconds(3_600));
        let told = evaluator.step(seconds(200), (RULES, &registry), &silences);
        assert!(matches!(told.as_slice(), [Turn::Fires(one, _)] if one.rule == "QueueStuck"), "{told:?}");
        assert_eq!(evaluator.firing().count(), 2);
    }
}
