//! A demo on plain output: one line for each leader's trade with its answers, faults as they happen, and
//! a progress line on standard error every few seconds.

use std::{
    io::{self, Write},
    time::Duration,
};

use tokio::sync::watch;

use super::{
    live::Following,
    paint::Paint,
    picture::{Broken, FeedLine, Picture},
};
use crate::wording;

/// Time between progress lines.
const PROGRESS_EVERY: Duration = Duration::from_secs(5);

/// Writes pictures as lines until they end. `lines` is where trades and faults go: nowhere when only
/// the report is wanted.
pub async fn show(mut pictures: watch::Receiver<Picture>, lines: bool) {
    let paint = Paint::of(&io::stdout());
    let mut printed = Printed::default();
    let mut next_progress = Duration::ZERO;
    let mut noticed = false;
    while pictures.changed().await.is_ok() {
        let picture = pictures.borrow_and_update().clone();
        if let Some(notice) = picture.notice.as_ref().filter(|_| !noticed) {
            noticed = true;
            write_lines(&mut io::stderr().lock(), std::slice::from_ref(notice));
        }
        if lines {
            write_lines(&mut io::stdout().lock(), &printed.news(&picture, paint));
        }
        if picture.elapsed >= next_progress {
            next_progress = picture.elapsed + PROGRESS_EVERY;
            write_lines(&mut io::stderr().lock(), &[progress(&picture)]);
        }
    }
}

/// A reader that went away is no reason to stop copying.
fn write_lines(out: &mut impl Write, lines: &[String]) {
    for line in lines {
        let _ = writeln!(out, "{line}");
    }
    let _ = out.flush();
}

/// What was printed already.
#[derive(Debug, Default)]
struct Printed {
    trades: usize,
    faults: usize,
}

impl Printed {
    /// Lines for what is new. A trade waits for its answers, and later trades wait behind it.
    fn news(&mut self, picture: &Picture, paint: Paint) -> Vec<String> {
        let mut lines: Vec<String> =
            picture.broken.iter().skip(self.faults).map(|broken| fault(broken, paint)).collect();
        self.faults = picture.broken.len();
        let answered = |line: &&FeedLine| line.answers() >= picture.followers.len();
        let before = self.trades;
        for line in picture.feed.iter().filter(|line| line.number > before).take_while(answered) {
            self.trades = line.number;
            lines.push(trade(line, paint));
        }
        lines
    }
}

fn trade(line: &FeedLine, paint: Paint) -> String {
    let price = line.price.map_or_else(|| wording::NONE.to_owned(), wording::price);
    let market = wording::harmless(&line.market);
    let outcome = wording::harmless(&line.outcome);
    format!(
        "{}  {}  {:<7} {:>10} @ {price:<6}  {}  {} → {}",
        wording::time_of_day(line.at),
        wording::short_address(line.leader),
        line.key.action,
        wording::shares(line.shares),
        wording::fit_middle(&market, 44),
        wording::fit(&outcome, 12),
        answers(line, paint),
    )
}

fn answers(line: &FeedLine, paint: Paint) -> String {
    let copied = format!("{} copied", line.copied);
    let copied = if line.copied > 0 { paint.good(&copied) } else { copied };
    let skipped = line.skipped.iter().map(|(reason, number)| format!("{number} {reason}"));
    std::iter::once(copied).chain(skipped).collect::<Vec<_>>().join(", ")
}

fn fault(broken: &Broken, paint: Paint) -> String {
    paint.notable(&format!("{}  !! {}", wording::time_of_day(broken.at), broken.what))
}

fn progress(picture: &Picture) -> String {
    let (position, length) = picture.tape;
    let source = match &picture.following {
        Some(Following { silent: None, late: Some(took), .. }) => format!("{} s late", took.as_secs()),
        Some(Following { silent: None, .. }) => "live".to_owned(),
        Some(Following { silent: Some((since, _)), .. }) => {
            format!("no answer since {}", wording::time_of_day(*since))
        }
        None => format!("{} of tape", wording::percent(position, length)),
    };
    let orders = picture.orders.iter().map(|(state, number)| format!("{number} {state}"));
    let orders = orders.collect::<Vec<_>>().join(", ");
    format!(
        "{source}, {} seen, {} copied, {} skipped; orders: {}; {} lost, {} doubled",
        picture.seen,
        picture.copied,
        picture.skipped.values().sum::<usize>(),
        if orders.is_empty() { "none" } else { &orders },
        picture.lost,
        picture.doubled,
    )
}

#[cfg(test)]
mod tests {
    use domain::{
        Address, Price, Shares, Timestamp, TokenId, TxHash,
        ids::LeaderId,
        money::ONE,
        trade::{Action, GroupKey},
    };

    use super::*;
    use crate::demo::figures::FollowerLine;

    fn line(number: usize, copied: usize) -> FeedLine {
        FeedLine {
            key: GroupKey {
                leader: LeaderId(1),
                tx: TxHash([1; 32]),
                token: TokenId([2; 32]),
                action: Action::Buy,
            },
            part: 0,
            number,
            leader: Address([0xab; 20]),
            at: Timestamp::from_seconds(60),
            market: "Will it\u{7} rain?".to_owned(),
            outcome: "Yes".to_owned(),
            shares: Shares(12 * ONE + 345_000),
            price: Some(Price(450_000)),
            copied,
            skipped: [("below minimum", 1)].into(),
        }
    }

    fn picture(feed: &[FeedLine]) -> Picture {
        Picture {
            feed: feed.iter().cloned().collect(),
            followers: vec![FollowerLine::default(); 5],
            ..Picture::default()
        }
    }

    #[test]
    fn a_trade_is_one_line_once_it_is_answered() {
        let mut printed = Printed::default();
        let waiting = picture(&[line(1, 4), line(2, 3), line(3, 4)]);
        assert_eq!(
            printed.news(&waiting, Paint::NONE),
            [
                "00:01:00  0xabab…abab  BUY          12.35 @ 0.450   Will it rain?  Yes → 4 copied, 1 below minimum"
            ]
        );
        assert!(printed.news(&waiting, Paint::NONE).is_empty());
        let answered = picture(&[line(1, 4), line(2, 4), line(3, 4)]);
        assert_eq!(printed.news(&answered, Paint::NONE).len(), 2);
        assert!(printed.news(&answered, Paint::NONE).is_empty());
    }

    #[test]
    fn a_fault_is_told_once() {
        let mut printed = Printed::default();
        let broken = Broken { at: Timestamp::from_seconds(61), what: "killed a worker".to_owned() };
        let picture = Picture { broken: vec![broken], ..picture(&[]) };
        assert_eq!(printed.news(&picture, Paint::NONE), ["00:01:01  !! killed a worker"]);
        assert!(printed.news(&picture, Paint::NONE).is_empty());
    }

    #[test]
    fn progress_says_where_the_trades_come_from() {
        let tape = progress(&Picture { tape: (1, 4), ..Picture::default() });
        assert!(tape.starts_with("25.0 % of tape, 0 seen"), "{tape}");
        let live = |silent, late| {
            let following = Some(Following { leader: Address([1; 20]), silent, late });
            progress(&Picture { following, ..Picture::default() })
        };
        assert!(live(None, None).starts_with("live, 0 seen"));
        assert!(live(None, Some(Duration::from_secs(4))).starts_with("4 s late, 0 seen"));
        let silent = live(Some((Timestamp::from_seconds(61), "gone".to_owned())), None);
        assert!(silent.starts_with("no answer since 00:01:01, 0 seen"), "{silent}");
    }
}
