//! All values as datagrams for an agent that is sent them: DogStatsD, under the names of the table.
//!
//! Source: DataDog/documentation, datagram_shell: `name:value|type|#tag:value,…`; several lines in one datagram are separated
//! by a new line; 1.1 packs several values of a histogram.

use super::{
    Kind, Registry, TABLE,
    registry::{Sample, Spread},
};

/// Bytes that a datagram may have: over a network, or to a socket of this machine.
const OVER_UDP: usize = 1_432;
const TO_A_SOCKET: usize = 8_192;
/// Values of a histogram in one line.
const PACKED: usize = 32;

/// Where datagrams go, as far as their size depends on it.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Datagrams {
    /// Over UDP.
    Udp,
    /// To a Unix socket.
    Unix,
}

impl Registry {
    /// What is to be sent now: gauges as they are, of counters and histograms what is new since this was called last.
    #[must_use]
    pub fn datagrams(&self, to: Datagrams) -> Vec<String> {
        let most = if to == Datagrams::Udp { OVER_UDP } else { TO_A_SOCKET };
        let mut datagrams: Vec<String> = Vec::new();
        for line in self.lines() {
            match datagrams.last_mut() {
                Some(last) if last.len().saturating_add(line.len()).saturating_add(1) <= most => {
                    last.push('\n');
                    last.push_str(&line);
                }
                // One that is too long by itself would be cut on its way.
                _ if line.len() <= most => datagrams.push(line),
                _ => {}
            }
        }
        datagrams
    }

    fn lines(&self) -> Vec<String> {
        let mut lines = Vec::new();
        for ((name, values), sample) in self.lock().iter_mut() {
            let Some(metric) = TABLE.iter().find(|metric| metric.name == *name) else { continue };
            let tags = metric.tags.iter().zip(values).map(|(tag, value)| format!("{tag}:{}", plain(value)));
            let tags = tags.collect::<Vec<_>>().join(",");
            let tags = if tags.is_empty() { tags } else { format!("|#{tags}") };
            match (metric.kind, sample) {
                (Kind::Counter, Sample::Value { now, sent }) => {
                    let new = *now - *sent;
                    *sent = *now;
                    if new > 0.0 {
                        lines.push(format!("{name}:{new}|c{tags}"));
                    }
                }
                (_, Sample::Value { now, .. }) => lines.push(format!("{name}:{now}|g{tags}")),
                (_, Sample::Spread(spread)) => lines.extend(packed(name, &tags, spread)),
            }
        }
        lines
    }
}

fn packed(name: &str, tags: &str, spread: &mut Spread) -> Vec<String> {
    let fresh = std::mem::take(&mut spread.fresh);
    let line = |values: &[f64]| {
        let values = values.iter().map(ToString::to_string).collect::<Vec<_>>().join(":");
        format!("{name}:{values}|h{tags}")
    };
    fresh.chunks(PACKED).map(line).collect()
}

/// Without what separates lines, tags and values.
fn plain(value: &str) -> String {
    value.chars().map(|c| if c.is_control() || "|,#:@ ".contains(c) { '_' } else { c }).collect()
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::metrics::table::{DECISIONS, QUEUE_DEPTH, STAGES};

    #[test]
    fn gauges_are_told_as_they_are_and_counters_what_is_new() {
        let registry = Registry::default();
        registry.set(&QUEUE_DEPTH, &["entries"], 12.0);
        registry.add(&DECISIONS, &["skip|old,#"], 2);
        registry.observe(&STAGES, &["sent"], 0.25, "");
        registry.observe(&STAGES, &["sent"], 2.0, "");
        let told = registry.datagrams(Datagrams::Unix);
        assert_eq!(
            told,
            [
                "decisions:2|c|#verdict:skip_old__\norder.stage_seconds:0.25:2|h|#stage:sent\nqueue.depth:12|g|#lane:entries"
            ]
        );
        assert_eq!(registry.datagrams(Datagrams::Unix), ["queue.depth:12|g|#lane:entries"]);
    }

    #[test]
    fn no_datagram_is_longer_than_its_way_allows() {
        let registry = Registry::default();
        for lane in 0..500 {
            registry.set(&QUEUE_DEPTH, &[&format!("lane-{lane}")], 1.0);
        }
        registry.set(&QUEUE_DEPTH, &[&"x".repeat(OVER_UDP)], 1.0);
        let told = registry.datagrams(Datagrams::Udp);
        assert!(told.iter().all(|datagram| datagram.len() <= OVER_UDP), "{}", told.len());
        assert_eq!(told.iter().map(|datagram| datagram.lines().count()).sum::<usize>(), 500);
        assert!(told.len() < 20);
    }
}
