//! One picture on one screen. Pure. Colours are the terminal's own, so that it fits dark and light ones;
//! green and red mean good and bad and nothing else.

use domain::lifecycle::OrderState;
use ratatui::{
    Frame,
    layout::{Constraint, Layout, Rect},
    style::{Color, Modifier, Style, Stylize},
    text::{Line, Span, Text},
};

use super::{feed, tables};
use crate::{
    demo::{live::Following, picture::Picture},
    wording,
};

/// From this size on there is room for the side by side layout.
const WIDE: (u16, u16) = (110, 34);
/// Lines of the latest faults.
const BROKEN: u16 = 4;

/// What is not in the picture.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Situation {
    /// How many times faster than recorded.
    pub speed: u32,
    /// Whether drawing is paused.
    pub frozen: bool,
    /// Whether somebody asked to stop.
    pub stopping: bool,
}

/// Of lesser weight.
pub(super) const FAINT: Style = Style::new().add_modifier(Modifier::DIM);
/// What is looked for first.
pub(super) const STRONG: Style = Style::new().add_modifier(Modifier::BOLD);
/// The heading of a table, which also parts it from what is above.
pub(super) const HEADING: Style = Style::new().add_modifier(Modifier::DIM.union(Modifier::UNDERLINED));

/// Draws a picture.
pub fn render(frame: &mut Frame<'_>, picture: &Picture, situation: Situation) {
    let area = frame.area();
    let wide = area.width >= WIDE.0 && area.height >= WIDE.1;
    let gap = u16::from(wide);
    let [top, bar, _, verdict, _, body, status, keys] = Layout::vertical([
        Constraint::Length(1),
        Constraint::Length(1),
        Constraint::Length(gap),
        Constraint::Length(3),
        Constraint::Length(gap),
        Constraint::Fill(1),
        Constraint::Length(1),
        Constraint::Length(1),
    ])
    .areas(area);
    frame.render_widget(title(picture, situation, top.width), top);
    frame.render_widget(progress(picture, bar.width), bar);
    draw_verdict(frame, picture, verdict);
    if wide {
        draw_wide(frame, picture, body);
    } else {
        draw_narrow(frame, picture, body);
    }
    frame.render_widget(state_line(picture, situation, status.width), status);
    frame.render_widget(key_line(situation), keys);
}

fn draw_wide(frame: &mut Frame<'_>, picture: &Picture, area: Rect) {
    let followers = u16::try_from(tables::follower_rows(picture)).unwrap_or(u16::MAX).saturating_add(1);
    let stages = u16::try_from(tables::stage_rows(picture)).unwrap_or(u16::MAX);
    let wanted = followers.saturating_add(BROKEN + 2).max(stages);
    let [trades, _, below] = Layout::vertical([
        Constraint::Fill(1),
        Constraint::Length(1),
        Constraint::Length(wanted.min(area.height / 2)),
    ])
    .areas(area);
    frame.render_widget(Text::from(feed::lines(picture, trades)), trades);
    let [left, _, right] =
        Layout::horizontal([Constraint::Fill(1), Constraint::Length(3), Constraint::Length(36)]).areas(below);
    let room = left.height.saturating_sub(BROKEN + 2);
    let [money, _, broken] = Layout::vertical([
        Constraint::Length(followers.min(room)),
        Constraint::Length(1),
        Constraint::Fill(1),
    ])
    .areas(left);
    frame.render_widget(Text::from(tables::followers(picture, money)), money);
    frame.render_widget(Text::from(tables::broken(picture, broken)), broken);
    frame.render_widget(Text::from(tables::orders_and_stages(picture, right)), right);
}

fn draw_narrow(frame: &mut Frame<'_>, picture: &Picture, area: Rect) {
    let followers = u16::try_from(tables::follower_rows(picture)).unwrap_or(u16::MAX).saturating_add(1);
    let money = followers.min(area.height / 2);
    let [trades, below] = Layout::vertical([Constraint::Fill(1), Constraint::Length(money)]).areas(area);
    frame.render_widget(Text::from(feed::lines(picture, trades)), trades);
    frame.render_widget(Text::from(tables::followers(picture, below)), below);
}

fn title(picture: &Picture, situation: Situation, width: u16) -> Line<'static> {
    let (position, length) = picture.tape;
    let left = " SLIPSTREAM ";
    let (about, tape) = match &picture.following {
        Some(following) => {
            let leader = wording::short_address(following.leader);
            (format!(" following {leader} now, paper money"), String::new())
        }
        None => {
            let (at, length) = (wording::clock_span(position / 1_000), wording::clock_span(length / 1_000));
            let tape = format!("tape {at} of {length}   {}×   ", situation.speed);
            (" real trades, paper money".to_owned(), tape)
        }
    };
    let right = format!("{tape}{} elapsed ", wording::clock_span(picture.elapsed.as_secs()));
    let room = usize::from(width).saturating_sub(left.len() + right.chars().count());
    let about = format!("{:<room$}", wording::fit(&about, room));
    Line::from(vec![left.reversed().bold(), Span::styled(about, FAINT), Span::raw(right)])
}

fn progress(picture: &Picture, width: u16) -> Line<'static> {
    if picture.following.is_some() {
        // Nobody knows how long a wallet goes on.
        return Line::styled(format!(" {}", "─".repeat(usize::from(width).saturating_sub(2))), FAINT);
    }
    let (position, length) = picture.tape;
    let text = format!(" {:>4} ", wording::percent(position, length).replace(".0 %", " %"));
    let columns = u64::from(width).saturating_sub(u64::try_from(text.chars().count()).unwrap_or(0) + 1);
    let halves = (columns * 2).saturating_mul(position).checked_div(length).unwrap_or(0).min(columns * 2);
    let count = |number: u64| usize::try_from(number).unwrap_or(0);
    let mut done = "━".repeat(count(halves / 2));
    done.push_str(if halves % 2 == 1 { "╸" } else { "" });
    let rest = "─".repeat(count(columns - halves.div_ceil(2)));
    Line::from(vec![
        Span::raw(" "),
        Span::styled(done, Style::new().fg(Color::Cyan)),
        Span::styled(rest, FAINT),
        Span::raw(text),
    ])
}

/// The two numbers that matter, three lines high.
fn draw_verdict(frame: &mut Frame<'_>, picture: &Picture, area: Rect) {
    let numbers = [(picture.lost, "lost"), (picture.doubled, "doubled")];
    let mut rows: Vec<Vec<Span<'static>>> = vec![vec![Span::raw("  ")]; 3];
    let mut taken = 2;
    for (number, word) in numbers {
        let style = Style::new().bold().fg(if number == 0 { Color::Green } else { Color::Red });
        let digits = tall(number);
        taken += digits.first().map_or(0, |row| row.chars().count()) + word.len() + 6;
        for (index, (row, digits)) in rows.iter_mut().zip(digits).enumerate() {
            row.push(Span::styled(digits, style));
            let word = if index == 1 { format!("  {word}    ") } else { " ".repeat(word.len() + 6) };
            row.push(Span::styled(word, style));
        }
    }
    let room = usize::from(area.width).saturating_sub(taken + 1);
    for (row, summary) in rows.iter_mut().zip(tables::summary(picture, room)) {
        row.extend(summary);
    }
    let lines: Vec<Line<'static>> = rows.into_iter().map(Line::from).collect();
    frame.render_widget(Text::from(lines), area);
}

/// A number in letters of three lines.
fn tall(number: usize) -> [String; 3] {
    const DIGITS: [[&str; 3]; 10] = [
        ["┏━┓", "┃ ┃", "┗━┛"],
        [" ╻ ", " ┃ ", " ╹ "],
        ["╺━┓", "┏━┛", "┗━╸"],
        ["╺━┓", " ━┫", "╺━┛"],
        ["╻ ╻", "┗━┫", "  ╹"],
        ["┏━╸", "┗━┓", "╺━┛"],
        ["┏━╸", "┣━┓", "┗━┛"],
        ["╺━┓", "  ┃", "  ╹"],
        ["┏━┓", "┣━┫", "┗━┛"],
        ["┏━┓", "┗━┫", "╺━┛"],
    ];
    let mut rows = [const { String::new() }; 3];
    let digits = number.to_string();
    let shapes = digits.bytes().filter_map(|digit| DIGITS.get(usize::from(digit.wrapping_sub(b'0'))));
    for shape in shapes {
        rows.iter_mut().zip(shape).for_each(|(row, part)| row.push_str(part));
    }
    rows
}

/// The most important thing about the moment.
fn state_line(picture: &Picture, situation: Situation, width: u16) -> Line<'static> {
    let loud = Style::new().bold().reversed();
    let full = |text: &str, style: Style| {
        let width = usize::from(width);
        Line::styled(format!("{:<width$}", wording::fit(text, width)), style)
    };
    if picture.lost + picture.doubled > 0 {
        return full(" LOST OR DOUBLED: the report at the end says what", loud.fg(Color::Red));
    }
    if picture.venue_down {
        let text = " THE VENUE IS DOWN: orders wait or are looked up later; v brings it back";
        return full(text, loud.fg(Color::Yellow));
    }
    if let Some(Following { silent: Some((since, why)), .. }) = &picture.following {
        let since = wording::time_of_day(*since);
        let text =
            format!(" NO ANSWER FROM THE DATA API since {since}, asking on: {}", wording::harmless(why));
        return full(&text, loud.fg(Color::Yellow));
    }
    if let Some(Following { late: Some(took), .. }) = &picture.following {
        let seconds = took.as_secs();
        let text = format!(" THE LEADER'S TRADES COME LATE: the newest answer about them took {seconds} s");
        return full(&text, loud.fg(Color::Yellow));
    }
    if situation.frozen {
        return full(" DRAWING IS PAUSED, copying goes on; p to go on", loud);
    }
    let text = if picture.followers.is_empty() {
        "starting the simulated venue, the followers and the engine …".to_owned()
    } else if situation.stopping || picture.played {
        settling(picture, situation)
    } else if picture.following.is_some() && picture.seen == 0 {
        "waiting for the leader's next trade; older ones are not copied".to_owned()
    } else {
        let last =
            picture.broken.last().map(|last| format!("{}  {}", wording::time_of_day(last.at), last.what));
        let notice = || picture.notice.as_deref().map(wording::harmless);
        last.or_else(notice).unwrap_or_else(|| "all well; break something with k, v or r".to_owned())
    };
    Line::styled(wording::fit(&format!(" {text}"), usize::from(width)), FAINT)
}

/// What the end waits for. An order that may have been taken is looked for at venue and chain for long
/// before it is given up.
fn settling(picture: &Picture, situation: Situation) -> String {
    let open = wording::count(picture.unsettled, "order");
    let why = match picture.orders.get(OrderState::Unknown.label()) {
        Some(1..) => ", unknown ones are looked for up to 2 min",
        _ => "",
    };
    let (end, leave) =
        if situation.stopping { ("stopped", "; Ctrl-C leaves at once") } else { ("tape over", "") };
    format!("{end}; to be settled before the report: {open}{why}{leave}")
}

fn key_line(situation: Situation) -> Line<'static> {
    let pause = if situation.frozen { "go on" } else { "pause" };
    let keys = [
        ("k", "kill worker"),
        ("v", "venue down/up"),
        ("r", "reorganise chain"),
        ("p", pause),
        ("q", "stop, report"),
    ];
    let spans = keys.into_iter().flat_map(|(key, what)| {
        [Span::raw(" "), Span::styled(key, STRONG), Span::raw(" "), Span::styled(format!("{what} "), FAINT)]
    });
    Line::from_iter(spans)
}
