//! When the chain's head is worth asking for: every call counts at a provider, and a block that cannot be there yet tells
//! nothing. How fast blocks come is learned from when they are seen.

use std::time::Duration;

use crate::limits;

/// Remembers when the head rose and how fast it does.
#[derive(Debug, Default)]
pub(super) struct HeadPace {
    /// The newest height, and the uptime when it was first seen.
    rose: Option<(i64, Duration)>,
    /// Time from block to block, smoothed; `None` before two were seen to come.
    pace: Option<Duration>,
    /// Heads below the newest one that were seen since.
    below: u32,
}

impl HeadPace {
    /// Takes note of a head seen at `uptime`.
    pub(super) fn saw(&mut self, number: i64, uptime: Duration) {
        let Some((newest, at)) = self.rose else {
            self.rose = Some((number, uptime));
            return;
        };
        let Ok(blocks @ 1..) = u32::try_from(number.saturating_sub(newest)) else {
            self.below = if number < newest { self.below.saturating_add(1) } else { 0 };
            if self.below >= limits::HEADS_BELOW {
                // It was never there: whoever told it was confused.
                (self.rose, self.below) = (Some((number, uptime)), 0);
            }
            return;
        };
        self.below = 0;
        // After a silence of theirs or of ours the next block comes as usual.
        let most = self.pace.map_or(limits::SLOWEST_BLOCKS, |pace| (pace * 2).max(limits::HEAD_EVERY));
        let took = (uptime.saturating_sub(at) / blocks).min(most).min(limits::SLOWEST_BLOCKS);
        self.pace = Some(self.pace.map_or(took, |pace| (pace * 3 + took) / 4));
        self.rose = Some((number, uptime));
    }

    /// How long after `uptime` to ask next, when it was asked then.
    pub(super) fn next(&self, uptime: Duration) -> Duration {
        let (Some((_, rose)), Some(pace)) = (self.rose, self.pace) else { return limits::HEAD_EVERY };
        let since = uptime.saturating_sub(rose);
        // A little before the block is due, and from then on a few times until it comes.
        let quiet = (pace * 9 / 10).saturating_sub(since);
        let every = if since < pace * 3 { pace / 8 } else { pace / 2 };
        quiet.max(every).max(limits::HEAD_EVERY)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    /// How often is asked, and how late the last of `blocks` blocks that come each `every` is seen.
    fn asked(blocks: i64, every: Duration) -> (usize, Duration) {
        let (mut pace, mut at, mut asked, mut late) =
            (HeadPace::default(), Duration::ZERO, 0, Duration::ZERO);
        let end = every * u32::try_from(blocks).unwrap();
        while at < end {
            let head = i64::try_from(at.as_micros() / every.as_micros()).unwrap();
            if pace.rose.is_none_or(|(known, _)| head > known) {
                late = at - every * u32::try_from(head).unwrap();
            }
            pace.saw(head, at);
            asked += 1;
            at += pace.next(at);
        }
        (asked, late)
    }

    #[test]
    fn blocks_of_two_seconds_are_asked_for_twice_each_and_seen_soon() {
        let (calls, late) = asked(1_000, Duration::from_secs(2));
        assert!((1_000..2_500).contains(&calls), "{calls} calls");
        assert!(late <= Duration::from_millis(300), "{late:?}");
    }

    /// A provider that is confused once tells a head which no block ever has.
    #[test]
    fn a_head_that_was_never_there_is_forgotten() {
        let mut pace = HeadPace::default();
        let seen = |second: i64| Duration::from_secs(second.unsigned_abs());
        for second in (0..40).step_by(2) {
            pace.saw(second / 2, seen(second));
        }
        pace.saw(1_000_000, seen(40));
        for second in (42..120).step_by(2) {
            pace.saw(second / 2, seen(second));
        }
        assert_eq!(pace.rose, Some((59, seen(118))));
        let usual = Duration::from_millis(1_500)..=Duration::from_secs(2);
        assert!(usual.contains(&pace.next(seen(118))), "{pace:?}");
    }

    #[test]
    fn fast_blocks_are_asked_for_as_fast_as_may_be() {
        let (calls, _) = asked(1_000, Duration::from_millis(200));
        assert!(calls <= 2_050, "{calls} calls");
    }

    #[test]
    fn a_chain_that_stands_still_is_asked_less_and_one_that_runs_again_is_noticed() {
        let mut pace = HeadPace::default();
        for second in [0, 2, 4, 6] {
            pace.saw(second, Duration::from_secs(second.unsigned_abs()));
        }
        assert!(pace.next(Duration::from_secs(8)) <= Duration::from_millis(250), "it is due");
        let long = Duration::from_secs(600);
        assert!(pace.next(long) >= Duration::from_millis(400), "it stands still");
        pace.saw(7, long);
        assert!(pace.pace.unwrap() <= limits::SLOWEST_BLOCKS);
        // One silence says little of blocks that come five times a second.
        let mut pace = HeadPace::default();
        for block in 0..20 {
            pace.saw(block, Duration::from_millis(200 * block.unsigned_abs()));
        }
        pace.saw(20, Duration::from_secs(60));
        assert!(pace.pace.unwrap() <= Duration::from_millis(260), "{pace:?}");
    }
}
