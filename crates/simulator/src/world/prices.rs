//! Prices at which tokens traded, for `/prices-history`. Owns the points; never sets a price.

use std::collections::{BTreeMap, VecDeque};

use domain::{Price, Timestamp, TokenId};

use crate::limits::PRICES_KEPT;

/// Trades of each token, oldest first.
#[derive(Debug, Default)]
pub struct PriceHistory(BTreeMap<TokenId, VecDeque<(Timestamp, Price)>>);

impl PriceHistory {
    /// Notes a trade.
    pub fn note(&mut self, token: TokenId, price: Price, at: Timestamp) {
        let points = self.0.entry(token).or_default();
        if points.len() == PRICES_KEPT {
            points.pop_front();
        }
        points.push_back((at, price));
    }

    /// Points from `from` to `to`, both included: the last trade in every `step` seconds.
    #[must_use]
    pub fn points(&self, token: &TokenId, from: i64, to: i64, step: i64) -> Vec<(i64, Price)> {
        let mut points: Vec<(i64, Price)> = Vec::new();
        for (at, price) in self.0.get(token).into_iter().flatten() {
            let seconds = at.seconds();
            if !(from..=to).contains(&seconds) {
                continue;
            }
            let same =
                |last: &&mut (i64, Price)| last.0.div_euclid(step.max(1)) == seconds.div_euclid(step.max(1));
            match points.last_mut().filter(same) {
                Some(last) => *last = (seconds, *price),
                None => points.push((seconds, *price)),
            }
        }
        points
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn one_point_per_step_the_last_one() {
        let (token, other) = (TokenId([1; 32]), TokenId([2; 32]));
        let mut history = PriceHistory::default();
        for (second, price) in [(10, 1), (59, 2), (60, 3), (200, 4)] {
            history.note(token, Price(price), Timestamp::from_seconds(second));
        }
        let points = |from, to, step| history.points(&token, from, to, step);
        assert_eq!(points(0, 999, 60), [(59, Price(2)), (60, Price(3)), (200, Price(4))]);
        assert_eq!(points(60, 199, 0), [(60, Price(3))]);
        assert_eq!(history.points(&other, 0, 999, 60), []);
    }
}
