//! What became of leaders' trades of a time when nothing ran, counted and in words.

use std::{collections::BTreeMap, time::Duration};

use domain::{Shares, skip::SkipReason};

use crate::{
    story::{Answer, end_words},
    wording::count,
};

/// What became of the trades of that time.
#[derive(Debug, Default, PartialEq, Eq)]
pub(super) struct Late {
    /// Trades; each is answered once for each part of it and each who follows.
    pub(super) trades: usize,
    /// Copies of which something was filled.
    copied: usize,
    /// Copies of which nothing was, by how they ended.
    unfilled: BTreeMap<&'static str, usize>,
    /// Copies whose outcome is open.
    under_way: usize,
    /// Skips by their reason's words without numbers.
    skipped: BTreeMap<&'static str, usize>,
    /// Trades that nobody has an answer to, sales mostly.
    pub(super) undecided: usize,
    /// Parts of trades that not everybody has an answer to.
    pub(super) incomplete: usize,
    /// Buys left to a sync, and what the syncs came to.
    pub(super) left: usize,
    pub(super) synced: Option<Synced>,
}

/// What became of syncs with leaders' positions.
#[derive(Debug, Default, PartialEq, Eq)]
pub(super) struct Synced {
    orders: usize,
    skipped: BTreeMap<&'static str, usize>,
}

impl Late {
    pub(super) fn count(&mut self, answer: &Answer, of_sync: bool) {
        match (answer, of_sync) {
            (Answer::Copied { .. }, true) => one(&mut self.synced.get_or_insert_default().orders),
            (Answer::Copied { .. }, false) => self.count_copy(answer),
            (Answer::Skipped { reason: SkipReason::LeftToSync, .. }, _) => one(&mut self.left),
            (Answer::Skipped { reason, .. }, true) => {
                let synced = self.synced.get_or_insert_default();
                one(synced.skipped.entry(reason.label()).or_default());
            }
            (Answer::Skipped { reason, .. }, false) => one(self.skipped.entry(reason.label()).or_default()),
        }
    }

    /// What was decided is no copy yet: it may be too old in its turn, refused, or find nothing to buy.
    fn count_copy(&mut self, answer: &Answer) {
        let Answer::Copied { orders, ended, .. } = answer else { return };
        let filled = orders.iter().any(|order| order.cost.shares > Shares::ZERO);
        match (filled, ended, orders.last()) {
            (true, ..) => one(&mut self.copied),
            (_, Some(reason), _) => one(self.unfilled.entry(end_words(*reason)).or_default()),
            (_, _, Some(order)) if order.state.is_settled() => {
                one(self.unfilled.entry(order.state.label()).or_default());
            }
            _ => one(&mut self.under_way),
        }
    }

    /// Why this is not all, though everything was read.
    pub(super) fn open(&self) -> Option<String> {
        let syncs = self.left > 0 && self.synced.is_none();
        let open = self.incomplete > 0 || self.under_way > 0 || syncs;
        open.then(|| "not all of it is decided and settled".to_owned())
    }

    pub(super) fn words(&self, away: Duration) -> String {
        let trades = if self.trades == 0 { "no trade".to_owned() } else { count(self.trades, "trade") };
        let happened = format!("{trades} happened in the {} s while nothing ran", away.as_secs());
        if self.trades == 0 {
            return happened;
        }
        let (skipped, unfilled) = (sum(&self.skipped), sum(&self.unfilled));
        let answers = [self.copied, unfilled, self.under_way, skipped, self.left].iter().sum::<usize>();
        let answered = match answers.saturating_add(self.undecided) == self.trades {
            true => String::new(),
            false => format!(", with {} for those who follow", count(answers, "answer")),
        };
        let part = |number: usize, words: &str| match number {
            0 => String::new(),
            number => format!(", {number} {words}"),
        };
        let in_vain = part(unfilled, "copied in vain") + &reasons(&self.unfilled);
        let under_way = part(self.under_way, "being carried out");
        let waiting = part(self.undecided, "still being decided");
        format!(
            "{happened}{answered}: {} copied late, {skipped} skipped{}{in_vain}{under_way}{}{waiting}",
            self.copied,
            reasons(&self.skipped),
            self.sync_words(),
        )
    }

    fn sync_words(&self) -> String {
        match (self.left, &self.synced) {
            (0, _) => String::new(),
            (left, None) => format!(", {left} left to a sync that is still to come"),
            (left, Some(synced)) => format!(
                ", {left} left to a sync, which made {}{}",
                count(synced.orders, "order"),
                reasons(&synced.skipped)
            ),
        }
    }
}

const fn one(count: &mut usize) {
    *count = count.saturating_add(1);
}

fn sum(reasons: &BTreeMap<&'static str, usize>) -> usize {
    reasons.values().sum()
}

/// Reasons with their numbers, in brackets.
fn reasons(skipped: &BTreeMap<&'static str, usize>) -> String {
    let reasons: Vec<String> = skipped.iter().map(|(reason, number)| format!("{number} {reason}")).collect();
    if reasons.is_empty() { String::new() } else { format!(" ({})", reasons.join(", ")) }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn skip(reason: SkipReason) -> Answer {
        Answer::Skipped { reason, words: reason.to_string() }
    }

    #[test]
    fn the_report_counts_and_says_why() {
        let minute = Duration::from_secs(61);
        let mut late =
            Late { trades: 3, copied: 1, skipped: BTreeMap::from([("too old", 2)]), ..Late::default() };
        assert_eq!(
            late.words(minute),
            "3 trades happened in the 61 s while nothing ran: 1 copied late, 2 skipped (2 too old)"
        );
        (late.trades, late.undecided) = (4, 1);
        assert!(late.words(minute).ends_with("2 skipped (2 too old), 1 still being decided"));
        (late.left, late.undecided) = (2, 0);
        assert!(late.words(minute).ends_with("2 left to a sync that is still to come"));
        assert!(late.open().is_some());
        late.count(&skip(SkipReason::NoPrice), true);
        assert!(late.words(minute).ends_with("2 left to a sync, which made 0 orders (1 no price)"));
        assert_eq!(late.open(), None);
        assert_eq!(Late::default().words(minute), "no trade happened in the 61 s while nothing ran");
    }

    /// Two follow, and a copy that ended without a fill is none.
    #[test]
    fn answers_are_told_apart_from_trades_and_fills_from_decisions() {
        let mut late = Late { trades: 1, copied: 1, ..Late::default() };
        late.unfilled = BTreeMap::from([("killed", 1)]);
        assert_eq!(
            late.words(Duration::from_secs(9)),
            "1 trade happened in the 9 s while nothing ran, with 2 answers for those who follow: 1 copied late, 0 skipped, \
             1 copied in vain (1 killed)"
        );
        late.under_way = 1;
        assert!(late.words(Duration::ZERO).ends_with("1 being carried out"));
        assert!(late.open().is_some());
    }
}
