//! Wallets managed here that would copy each other in a circle: each trade would come back as the next one.

use std::{
    collections::{BTreeMap, VecDeque},
    fmt,
};

use crate::ids::Address;

/// A wallet managed here, and the wallet it follows.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub struct Follows {
    /// The follower's wallet.
    pub follower: Address,
    /// The leader's wallet.
    pub leader: Address,
}

/// Each of these wallets follows the next one, and the last one the first: one at least, each once.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Cycle(Vec<Address>);

impl Cycle {
    /// The wallets, beginning with the follower whose relationship would close the circle.
    #[must_use]
    pub fn wallets(&self) -> &[Address] {
        &self.0
    }
}

impl fmt::Display for Cycle {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let Some(first) = self.0.first() else { return Ok(()) };
        write!(f, "{first}")?;
        for (link, wallet) in self.0.iter().skip(1).chain([first]).enumerate() {
            f.write_str(if link == 0 { " would follow " } else { ", which follows " })?;
            write!(f, "{wallet}")?;
        }
        Ok(())
    }
}

/// The shortest circle that `new` would close, if any. `existing` is who follows whom today, among wallets managed
/// here at least; it may hold more. Only a new relationship can close a circle: a wallet that becomes managed follows
/// nobody yet.
#[must_use]
pub fn closed_by(new: Follows, existing: impl IntoIterator<Item = Follows>) -> Option<Cycle> {
    let mut leaders: BTreeMap<Address, Vec<Address>> = BTreeMap::new();
    for one in existing {
        leaders.entry(one.follower).or_default().push(one.leader);
    }
    // Whoever is reached from the leader, and through whose following.
    let mut reached_from: BTreeMap<Address, Address> = BTreeMap::from([(new.leader, new.follower)]);
    let mut next = VecDeque::from([new.leader]);
    while let Some(wallet) = next.pop_front() {
        if wallet == new.follower {
            return Some(way(wallet, &reached_from));
        }
        for leader in leaders.get(&wallet).into_iter().flatten() {
            if !reached_from.contains_key(leader) {
                reached_from.insert(*leader, wallet);
                next.push_back(*leader);
            }
        }
    }
    None
}

/// The way that came back to `follower`.
fn way(follower: Address, reached_from: &BTreeMap<Address, Address>) -> Cycle {
    let mut backwards = Vec::new();
    let mut wallet = follower;
    while let Some(before) = reached_from.get(&wallet) {
        backwards.push(*before);
        wallet = *before;
        if wallet == follower {
            break;
        }
    }
    backwards.reverse();
    Cycle(backwards)
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    fn wallet(number: u8) -> Address {
        Address([number; 20])
    }

    fn follows((follower, leader): (u8, u8)) -> Follows {
        Follows { follower: wallet(follower), leader: wallet(leader) }
    }

    #[test]
    fn a_circle_is_named_from_whoever_would_close_it() {
        let existing = [(2, 3), (3, 1), (3, 9), (1, 9), (2, 8)].map(follows);
        let cycle = closed_by(follows((1, 2)), existing).unwrap();
        assert_eq!(cycle.wallets(), [1, 2, 3].map(wallet));
        let [one, two, three] = [1, 2, 3].map(wallet);
        let text = format!("{one} would follow {two}, which follows {three}, which follows {one}");
        assert_eq!(cycle.to_string(), text);
        assert_eq!(closed_by(follows((1, 8)), existing), None);
        let itself = closed_by(follows((4, 4)), []).unwrap();
        assert_eq!(itself.to_string(), format!("{0} would follow {0}", wallet(4)));
    }

    /// Whether the graph has no circle, found out another way: who follows nobody that is left is taken away, until
    /// nobody is left or nobody can be.
    fn is_free_of_circles(graph: &[Follows]) -> bool {
        let mut left = graph.to_vec();
        loop {
            let before = left.len();
            let followers: Vec<Address> = left.iter().map(|one| one.follower).collect();
            left.retain(|one| followers.contains(&one.leader));
            if left.len() == before {
                return left.is_empty();
            }
        }
    }

    proptest! {
        /// What is refused would close a circle and names one, the shortest; what is allowed closes none.
        #[test]
        fn circles_are_refused_and_nothing_else(wishes in prop::collection::vec((0_u8..8, 0_u8..8), 0..40)) {
            let mut graph: Vec<Follows> = Vec::new();
            for new in wishes.into_iter().map(follows) {
                let with: Vec<Follows> = graph.iter().copied().chain([new]).collect();
                match closed_by(new, graph.iter().copied()) {
                    None => {
                        prop_assert!(is_free_of_circles(&with));
                        graph = with;
                    }
                    Some(cycle) => {
                        prop_assert!(!is_free_of_circles(&with));
                        let wallets = cycle.wallets();
                        prop_assert_eq!(wallets[0], new.follower);
                        let next = wallets.iter().skip(1).chain([&wallets[0]]);
                        for (follower, leader) in wallets.iter().zip(next) {
                            let link = Follows { follower: *follower, leader: *leader };
                            prop_assert!(with.contains(&link));
                        }
                        let distinct: std::collections::BTreeSet<_> = wallets.iter().collect();
                        prop_assert_eq!(distinct.len(), wallets.len());
                    }
                }
            }
        }
    }
}
