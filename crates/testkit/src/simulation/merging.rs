//! Which placements of a second fault others stand for.

use std::{
    collections::{BTreeSet, HashMap, HashSet},
    hash::{DefaultHasher, Hash, Hasher},
};

use super::{
    explorer::Run,
    probe::{Actor, CallSite, Planned},
};

/// Remembers what runs do after their first fault.
pub(super) struct Merging {
    /// Digests of everything from a call on.
    seen: HashSet<u64>,
    /// Whether calls that are repeated while nothing changes count as one.
    repeated: bool,
}

impl Merging {
    /// Knows the run without faults.
    pub fn new(base: &Run, repeated: bool) -> Self {
        Self { seen: futures(base).into_iter().collect(), repeated }
    }

    /// The calls of a run at which a second fault tells nothing that another placement does not tell. From here on
    /// the run is known.
    pub fn known_in(&mut self, run: &Run) -> HashSet<usize> {
        let mut known = if self.repeated { repeated(&run.sites) } else { HashSet::new() };
        let struck = run.faults.last().map_or(0, |planned: &Planned| planned.index);
        let mut ahead = run.sites.iter().zip(futures(run)).filter(|(site, _)| site.index > struck);
        // Once a run goes on like another, it stays like it.
        if let Some((first, _)) = ahead.find(|(_, future)| !self.seen.insert(*future)) {
            known.extend(run.sites.iter().map(|site| site.index).filter(|index| *index >= first.index));
        }
        known
    }
}

/// For every candidate of a run: a digest of which calls are made from it on, by whom, with what is stored then, and
/// of the end. While what is stored stays the same, it makes no difference who calls first, and how often.
fn futures(run: &Run) -> Vec<u64> {
    let mut after = digest_of(&run.judgement);
    let mut digests: Vec<u64> = Vec::with_capacity(run.sites.len());
    let mut calls: BTreeSet<(Actor, &'static str)> = BTreeSet::new();
    let mut sites = run.sites.iter().rev().peekable();
    while let Some(site) = sites.next() {
        calls.insert((site.actor, site.method));
        let here = digest_of(&(site.state, &calls, after));
        digests.push(here);
        if sites.peek().is_some_and(|earlier| earlier.state != site.state) {
            after = here;
            calls.clear();
        }
    }
    digests.reverse();
    digests
}

/// Calls that their caller has made before and makes again while what is stored stays the same: neither the first
/// of their kind nor the last.
fn repeated(sites: &[CallSite]) -> HashSet<usize> {
    let mut repeated = HashSet::new();
    for same in sites.chunk_by(|one, next| one.state == next.state) {
        let mut kinds: HashMap<(Actor, &'static str), Vec<usize>> = HashMap::new();
        for site in same {
            kinds.entry((site.actor, site.method)).or_default().push(site.index);
        }
        let between = kinds.into_values().flat_map(|calls| {
            let last = calls.len().saturating_sub(1);
            calls.into_iter().take(last).skip(1)
        });
        repeated.extend(between);
    }
    repeated
}

fn digest_of(value: &impl Hash) -> u64 {
    let mut hasher = DefaultHasher::new();
    value.hash(&mut hasher);
    hasher.finish()
}
