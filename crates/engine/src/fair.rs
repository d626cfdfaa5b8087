//! Whose turn it is among those who want the same.

use std::{collections::HashMap, hash::Hash};

use crate::ports::detection::Lane;

/// The order in which wishes are served: exits first. Within a lane every `A` gets its second turn after each other one
/// has had its first, and so does every `B`: whoever has a thousand wishes, by whichever of the two they belong together,
/// delays one that is alone by one. Within each `A` the `B`s take turns, and the other way round.
pub fn order<A: Copy + Eq + Hash, B: Copy + Eq + Hash>(wishes: &[(Lane, A, B)]) -> Vec<usize> {
    let of_first = turns(wishes.iter().map(|(lane, a, b)| ((lane, a), b)));
    let of_second = turns(wishes.iter().map(|(lane, a, b)| ((lane, b), a)));
    let turns = of_first.into_iter().zip(of_second);
    let mut keyed: Vec<(Lane, usize, usize)> = wishes
        .iter()
        .zip(turns)
        .enumerate()
        .map(|(at, ((lane, ..), (a, b)))| (*lane, a.max(b), at))
        .collect();
    keyed.sort_unstable();
    keyed.into_iter().map(|(_, _, at)| at).collect()
}

/// How many of the same `A` come before each, when its `B`s take turns.
fn turns<A: Copy + Eq + Hash, B: Copy + Eq + Hash>(pairs: impl Iterator<Item = (A, B)>) -> Vec<usize> {
    let pairs: Vec<(A, B)> = pairs.collect();
    let mut rounds: HashMap<(A, B), usize> = HashMap::new();
    let mut keyed: Vec<(usize, usize)> =
        pairs.iter().enumerate().map(|(at, pair)| (next(&mut rounds, *pair), at)).collect();
    keyed.sort_unstable();
    let mut before: HashMap<A, usize> = HashMap::new();
    let mut turns = vec![0; pairs.len()];
    for (_, at) in keyed {
        if let (Some((a, _)), Some(turn)) = (pairs.get(at), turns.get_mut(at)) {
            *turn = next(&mut before, *a);
        }
    }
    turns
}

/// Counts one more; how many there were.
fn next<K: Eq + Hash>(counts: &mut HashMap<K, usize>, key: K) -> usize {
    let count = counts.entry(key).or_default();
    *count = count.saturating_add(1);
    count.saturating_sub(1)
}

#[cfg(test)]
mod tests {
    use super::*;

    const TENANT: u16 = 1;
    const OTHER: u16 = 2;

    /// When the one that comes last of all is served.
    fn served_last(wishes: &[(Lane, u16, u16)]) -> usize {
        let order = order(wishes);
        let mut all = order.clone();
        all.sort_unstable();
        assert_eq!(all, (0..wishes.len()).collect::<Vec<_>>(), "each once");
        order.iter().position(|at| at + 1 == wishes.len()).unwrap()
    }

    fn many(wish: impl Fn(u16) -> (u16, u16), last: (u16, u16)) -> Vec<(Lane, u16, u16)> {
        let entry = |(a, b)| (Lane::Entries, a, b);
        (0..1_000).map(|number| entry(wish(number))).chain([entry(last)]).collect()
    }

    #[test]
    fn one_is_served_at_once_beside_a_thousand() {
        let trade = 9_000;
        // A tenant with a thousand accounts, of which each has one order, beside another tenant …
        assert_eq!(served_last(&many(|number| (TENANT, number), (OTHER, 5_000))), 1);
        // … in the same trade, too; a trade with a thousand followers of a thousand tenants beside one with one …
        assert_eq!(served_last(&many(|_| (TENANT, trade), (OTHER, trade))), 1);
        assert_eq!(served_last(&many(|number| (number, trade), (5_000, trade + 1))), 1);
        // … and beside another trade of a tenant who has them all.
        assert_eq!(served_last(&many(|_| (TENANT, trade), (TENANT, trade + 1))), 1);
    }

    #[test]
    fn exits_are_served_before_entries_whoever_has_them() {
        let mut wishes = many(|number| (OTHER, number), (TENANT, 0));
        wishes.extend((0..3).map(|number| (Lane::Exits, OTHER, number)));
        assert_eq!(order(&wishes)[..4], [1_001, 1_002, 1_003, 0]);
    }
}
