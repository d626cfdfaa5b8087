//! The feed: leaders' trades, newest first, each with our answer behind it.

use domain::Side;
use ratatui::{
    layout::Rect,
    style::{Color, Style},
    text::{Line, Span},
};

use super::screen::{FAINT, HEADING, STRONG};
use crate::{
    demo::picture::{FeedLine, Picture},
    wording::{self, NONE, fit, fit_middle},
};

/// From this width on the time is shown, and more of everything.
const ROOMY: usize = 100;

/// Widths of the columns that share what is left.
struct Columns {
    time: bool,
    market: usize,
    answer: usize,
}

impl Columns {
    fn of(width: usize) -> Self {
        let time = width >= ROOMY;
        let fixed = 1 + usize::from(time) * 10 + 11 + 1 + 7 + 1 + 9 + 3 + 6 + 2 + 2;
        let rest = width.saturating_sub(fixed + 1);
        let answer = (rest * 3 / 5).min(46);
        Self { time, market: rest.saturating_sub(answer), answer }
    }
}

/// The heading and as many trades as fit.
pub(super) fn lines(picture: &Picture, area: Rect) -> Vec<Line<'static>> {
    let columns = Columns::of(usize::from(area.width));
    let time = if columns.time { format!("{:<10}", "TIME") } else { String::new() };
    let (market, answer) = (columns.market, columns.answer);
    let heading = format!(
        " {time}{:<11} {:<7} {:>9}   {:<6}  {:<market$}  {:<answer$}",
        "LEADER",
        "ACTION",
        "SHARES",
        "PRICE",
        fit("OUTCOME, MARKET", market),
        "OUR ANSWERS",
    );
    let rows = usize::from(area.height).saturating_sub(1);
    let trades = picture.feed.iter().rev().take(rows).map(|line| trade(line, &columns));
    std::iter::once(Line::styled(heading, HEADING)).chain(trades).collect()
}

fn trade(line: &FeedLine, columns: &Columns) -> Line<'static> {
    let side = match line.key.action.side() {
        Side::Buy => Style::new().fg(Color::Cyan),
        Side::Sell => Style::new().fg(Color::Magenta),
    };
    let market = wording::harmless(&format!("{} · {}", line.outcome, line.market));
    let width = columns.market;
    let mut spans = vec![Span::raw(" ")];
    if columns.time {
        spans.push(Span::styled(format!("{}  ", wording::time_of_day(line.at)), FAINT));
    }
    spans.extend([
        Span::raw(format!("{:<11} ", wording::short_address(line.leader))),
        Span::styled(format!("{:<7} ", line.key.action), side),
        Span::styled(format!("{:>9}", wording::shares(line.shares)), STRONG),
        Span::raw(format!(" @ {:<6}  ", line.price.map_or_else(|| NONE.to_owned(), wording::price))),
        Span::styled(format!("{:<width$}  ", fit_middle(market.trim_start_matches(" · "), width)), FAINT),
    ]);
    spans.extend(answer(line, columns.answer));
    Line::from(spans)
}

fn answer(line: &FeedLine, width: usize) -> Vec<Span<'static>> {
    if line.answers() == 0 {
        return vec![Span::styled("deciding …", FAINT)];
    }
    let copied = (line.copied > 0).then(|| format!("{} copied", line.copied));
    let between = if copied.is_some() { " · " } else { "" };
    let room = width.saturating_sub(copied.as_ref().map_or(0, |text| text.chars().count()));
    let skipped = format!("{between}{}", skipped(line, room.saturating_sub(between.chars().count())));
    let skipped = if line.skipped.is_empty() { String::new() } else { skipped };
    let copied = copied.map(|text| Span::styled(text, Style::new().fg(Color::Green)));
    copied.into_iter().chain([Span::styled(fit(&skipped, room), FAINT)]).collect()
}

/// The reasons of those who do not copy, the most frequent first; their number where the reasons do not fit.
fn skipped(line: &FeedLine, width: usize) -> String {
    let mut reasons: Vec<_> = line.skipped.iter().collect();
    reasons.sort_by_key(|(_, number)| std::cmp::Reverse(**number));
    let each: Vec<String> = reasons.iter().map(|(reason, number)| format!("{number} {reason}")).collect();
    let text = each.join(" · ");
    if text.chars().count() <= width {
        return text;
    }
    let all: usize = line.skipped.values().sum();
    let first = reasons.first().map(|(reason, _)| format!("{all} skipped: {reason}…")).unwrap_or_default();
    if first.chars().count() <= width { first } else { format!("{all} skipped") }
}
