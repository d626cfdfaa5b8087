//! What is on the screen, at two sizes.

use std::{collections::BTreeMap, time::Duration};

use domain::{
    Address, Price, Shares, Side, Timestamp, TokenId, TxHash, Usd, ids::LeaderId, money::ONE, trade::GroupKey,
};
use ratatui::{
    Terminal,
    backend::TestBackend,
    crossterm::event::{KeyCode, KeyEvent, KeyModifiers},
    style::Color,
};
use tokio::sync::{mpsc, watch};

use super::{Controls, Situation, press, render};
use crate::demo::{
    Break,
    figures::{FollowerLine, SEEN_TO_SENT, StageLatency},
    live::Following,
    picture::{Broken, FeedLine, Picture},
};

const START: i64 = 1_779_438_317;

fn trade(number: usize, side: Side, copied: usize, skipped: &[(&'static str, usize)]) -> FeedLine {
    let byte = u8::try_from(number % 200).unwrap();
    FeedLine {
        key: GroupKey {
            leader: LeaderId(1),
            tx: TxHash([byte; 32]),
            token: TokenId([byte; 32]),
            action: side.into(),
        },
        part: 0,
        number,
        leader: Address([byte.wrapping_mul(37); 20]),
        at: Timestamp::from_seconds(START + i64::try_from(number).unwrap()),
        market: "Bitcoin Up or Down - May 22, 4:25AM-4:30AM ET".to_owned(),
        outcome: if number.is_multiple_of(2) { "Up" } else { "Down" }.to_owned(),
        shares: Shares(ONE * 30 * i64::try_from(number).unwrap()),
        price: Some(Price(480_000 + 500 * i64::try_from(number).unwrap())),
        copied,
        skipped: skipped.iter().copied().collect(),
    }
}

fn follower(number: i64, style: &str) -> FollowerLine {
    FollowerLine {
        name: format!("follower {number}"),
        style: style.to_owned(),
        cash: Usd((5_000 - 120 * number) * ONE),
        invested: Usd(110 * number * ONE),
        value: Usd(100 * number * ONE + if number == 2 { 80 * ONE } else { 0 }),
        realised: Usd(-3 * number * ONE / 2),
        fees: Usd(number * ONE / 3),
        positions: 3,
        ..FollowerLine::default()
    }
}

fn followers() -> Vec<FollowerLine> {
    let styles = [
        "half, raised to the minimum",
        "5 $ a trade",
        "one to one, capped",
        "careful tenth",
        "quarter, tight prices",
    ];
    styles.iter().zip(1..).map(|(style, number)| follower(number, style)).collect()
}

fn early() -> Picture {
    let fresh = |line: FollowerLine| FollowerLine {
        name: line.name,
        style: line.style,
        cash: crate::demo::setup::DEPOSIT,
        ..FollowerLine::default()
    };
    Picture {
        tape: (12_000, 1_800_000),
        seen: 1,
        feed: [trade(1, Side::Buy, 0, &[])].into(),
        followers: followers().into_iter().map(fresh).collect(),
        elapsed: Duration::from_secs(1),
        at: Timestamp::from_seconds(START),
        ..Picture::default()
    }
}

fn busy() -> Picture {
    let stages = ["leader to seen", "seen to decided", "decided to signed", "sent to answered", SEEN_TO_SENT];
    let feed = (1..=30).map(|number| match number % 4 {
        0 => trade(number, Side::Sell, 0, &[("nothing held", 5)]),
        1 => trade(number, Side::Buy, 4, &[("below minimum", 1)]),
        2 => trade(number, Side::Buy, 5, &[]),
        _ => trade(number, Side::Buy, 2, &[("price moved", 1), ("outside price band", 2)]),
    });
    let latency = stages.iter().zip(1..).map(|(stage, n)| StageLatency {
        stage,
        orders: 500,
        median_us: 1_500 * n * n * n,
        p95_us: 9_000 * n * n * n,
        max_us: 20_000 * n * n * n,
    });
    Picture {
        tape: (904_000, 1_800_000),
        seen: 1_204,
        copied: 3_010,
        skipped: BTreeMap::from([("below minimum", 1_200), ("price moved", 800)]),
        orders: BTreeMap::from([("confirmed", 2_950), ("killed", 40), ("matched", 12), ("mined", 8)]),
        unsettled: 20,
        feed: feed.collect(),
        followers: followers(),
        latency: latency.collect(),
        broken: vec![
            Broken { at: Timestamp::from_seconds(START), what: "killed a worker".to_owned() },
            Broken { at: Timestamp::from_seconds(START + 4), what: "took the venue down".to_owned() },
        ],
        venue_down: true,
        elapsed: Duration::from_secs(30),
        at: Timestamp::from_seconds(START),
        ..Picture::default()
    }
}

fn finished() -> Picture {
    Picture { tape: (1_800_000, 1_800_000), played: true, venue_down: false, ..busy() }
}

fn lost() -> Picture {
    Picture { lost: 12, doubled: 1, ..finished() }
}

fn drawn(picture: &Picture, (width, height): (u16, u16)) -> Terminal<TestBackend> {
    let mut terminal = Terminal::new(TestBackend::new(width, height)).unwrap();
    let situation = Situation { speed: 30, ..Situation::default() };
    terminal.draw(|frame| render(frame, picture, situation)).unwrap();
    terminal
}

fn text(terminal: &Terminal<TestBackend>) -> String {
    let buffer = terminal.backend().buffer();
    let rows = buffer.content().chunks(usize::from(buffer.area.width));
    let rows = rows.map(|row| row.iter().map(|cell| cell.symbol()).collect::<String>());
    rows.map(|row| format!("{}\n", row.trim_end())).collect()
}

#[test]
fn every_picture_at_both_sizes() {
    for (name, picture) in [("early", early()), ("busy", busy()), ("finished", finished()), ("lost", lost())]
    {
        for size in [(80, 24), (120, 40)] {
            insta::assert_snapshot!(format!("{name}_{}x{}", size.0, size.1), text(&drawn(&picture, size)));
        }
    }
}

#[test]
fn a_wallet_that_is_followed_stands_in_place_of_the_tape_and_its_silence_is_loud() {
    let leader = Address([0x1e; 20]);
    let live = |silent| Picture {
        following: Some(Following { leader, silent, late: None }),
        venue_down: false,
        ..busy()
    };
    let calm = text(&drawn(&live(None), (80, 24)));
    assert!(calm.starts_with(" SLIPSTREAM  following 0x1e1e…1e1e now, paper money"), "{calm}");
    assert!(!calm.contains("tape") && !calm.contains("30×"), "{calm}");
    let waiting = Picture { seen: 0, ..live(None) };
    assert!(text(&drawn(&waiting, (80, 24))).contains(" waiting for the leader's next trade"));
    let why = "GET /v2/activity: unavailable: \u{1b}[2Jconnection refused".to_owned();
    let silent = text(&drawn(&live(Some((Timestamp::from_seconds(61), why))), (120, 40)));
    let line = " NO ANSWER FROM THE DATA API since 00:01:01, asking on: GET /v2/activity: unavailable: [2Jconnection";
    assert!(silent.contains(line), "{silent}");
    let late = Some(Following { leader, silent: None, late: Some(Duration::from_millis(6_400)) });
    let late = text(&drawn(&Picture { following: late, ..live(None) }, (120, 40)));
    let line = " THE LEADER'S TRADES COME LATE: the newest answer about them took 6 s";
    assert!(late.contains(line), "{late}");
}

#[test]
fn no_size_is_too_small_and_nothing_runs_over_the_edge() {
    let long = Picture { followers: (1..150).map(|number| follower(number, "x")).collect(), ..busy() };
    for picture in [Picture::default(), busy(), long] {
        for size in [(1, 1), (20, 5), (60, 12), (80, 10), (110, 34), (300, 100)] {
            drawn(&picture, size);
        }
    }
}

#[test]
fn followers_that_do_not_fit_are_counted() {
    let picture = Picture { followers: (1..=150).map(|number| follower(number, "x")).collect(), ..busy() };
    let screen = text(&drawn(&picture, (80, 24)));
    assert!(screen.contains("all 150, 6 shown"), "{screen}");
}

#[test]
fn green_only_while_nothing_is_lost_or_doubled() {
    let colours = |picture: &Picture| -> Vec<Color> {
        let terminal = drawn(picture, (80, 24));
        let buffer = terminal.backend().buffer();
        let tall = buffer.content().iter().filter(|cell| "┏┃┗╺".contains(cell.symbol()));
        let mut colours: Vec<Color> = tall.map(|cell| cell.fg).collect();
        colours.dedup();
        colours
    };
    assert_eq!(colours(&busy()), [Color::Green]);
    assert_eq!(colours(&Picture { lost: 7, doubled: 8, ..busy() }), [Color::Red]);
}

#[test]
fn foreign_names_do_not_steer_the_terminal() {
    let mut line = trade(1, Side::Buy, 1, &[]);
    line.market = "\u{1b}[2J\u{202e}Bitcoin\r\n".to_owned();
    let screen = text(&drawn(&Picture { feed: [line].into(), ..early() }, (120, 40)));
    assert!(screen.contains("Down · [2JBitcoin"), "{screen}");
}

#[test]
fn a_position_without_a_price_marks_the_result() {
    let unpriced = FollowerLine { unpriced: Usd(10 * ONE), unpriced_positions: 1, ..follower(1, "x") };
    let screen = text(&drawn(&Picture { followers: vec![unpriced], ..busy() }, (120, 40)));
    assert!(screen.contains("~-10.00"), "{screen}");
}

#[test]
fn keys_break_things_and_stop_once() {
    let (breaks, mut broken) = mpsc::unbounded_channel();
    let (interrupts, mut interrupted) = mpsc::unbounded_channel();
    let controls = Controls { breaks, interrupts, stopped: watch::channel(false).1 };
    let mut situation = Situation::default();
    for key in ['k', 'v', 'r', 'p', 'x', 'q', 'q'] {
        press(KeyEvent::new(KeyCode::Char(key), KeyModifiers::NONE), &mut situation, &controls);
    }
    assert_eq!(broken.try_recv(), Ok(Break::Worker));
    assert_eq!(broken.try_recv(), Ok(Break::Venue));
    assert_eq!(broken.try_recv(), Ok(Break::Chain));
    assert!(broken.try_recv().is_err());
    assert!(situation.frozen && situation.stopping);
    assert!(interrupted.try_recv().is_ok() && interrupted.try_recv().is_err());
    // Ctrl-C leaves even then.
    press(KeyEvent::new(KeyCode::Char('c'), KeyModifiers::CONTROL), &mut situation, &controls);
    assert!(interrupted.try_recv().is_ok());
}

#[test]
fn a_notice_stays_until_something_is_broken() {
    let notice = Some("The leader cannot be followed now".to_owned());
    let picture = Picture { notice, broken: Vec::new(), venue_down: false, ..busy() };
    let shown = text(&drawn(&picture, (120, 40)));
    assert!(shown.contains("The leader cannot be followed now"), "{shown}");
}
