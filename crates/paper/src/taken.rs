//! What paper orders have taken from levels of the real book, so that many followers of one trade do not all get the
//! same shares.

use std::{collections::HashMap, time::Duration};

use domain::{Level, Price, Shares, Side, TokenId};

use crate::limits::TAKEN_FOR;

/// A level: token, side of the order that takes, price.
type Key = (TokenId, Side, Price);

/// What was taken of a level that showed this size.
#[derive(Clone, Copy)]
struct Part {
    size: Shares,
    taken: Shares,
    /// Uptime of the first.
    since: Duration,
}

/// What was taken of late.
#[derive(Default)]
pub(crate) struct Taken(HashMap<Key, Part>);

impl Taken {
    /// What is left of a level that an order on `side` meets.
    pub(crate) fn left(&self, token: TokenId, side: Side, level: &Level, uptime: Duration) -> Shares {
        let known = self.0.get(&(token, side, level.price));
        let part = known.filter(|part| part.size == level.size && !is_over(part, uptime));
        part.map_or(level.size, |part| level.size.less(part.taken))
    }

    /// Notes what an order took of a level.
    pub(crate) fn note(
        &mut self,
        (token, side): (TokenId, Side),
        level: &Level,
        shares: Shares,
        uptime: Duration,
    ) {
        self.0.retain(|_, part| !is_over(part, uptime));
        let fresh = Part { size: level.size, taken: Shares::ZERO, since: uptime };
        let part = self.0.entry((token, side, level.price)).or_insert(fresh);
        if part.size != level.size {
            *part = fresh;
        }
        part.taken = part.taken.plus(shares).unwrap_or(part.size);
    }
}

fn is_over(part: &Part, uptime: Duration) -> bool {
    uptime.saturating_sub(part.since) >= TAKEN_FOR
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_level_is_whole_again_when_it_changes_or_after_a_while() {
        let (token, side) = (TokenId([1; 32]), Side::Buy);
        let level = |size| Level { price: Price(500_000), size: Shares(size) };
        let mut taken = Taken::default();
        let at = Duration::from_secs;
        taken.note((token, side), &level(10), Shares(3), at(1));
        taken.note((token, side), &level(10), Shares(4), at(2));
        assert_eq!(taken.left(token, side, &level(10), at(2)), Shares(3));
        assert_eq!(taken.left(token, Side::Sell, &level(10), at(2)), Shares(10));
        assert_eq!(taken.left(token, side, &level(11), at(2)), Shares(11));
        assert_eq!(taken.left(token, side, &level(10), at(1) + TAKEN_FOR), Shares(10));
        taken.note((token, side), &level(11), Shares(1), at(3));
        assert_eq!(taken.left(token, side, &level(11), at(3)), Shares(10));
    }
}
