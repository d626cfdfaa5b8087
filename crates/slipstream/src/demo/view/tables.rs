//! The tables: followers' money, orders by state, time of each stage, what was broken.

use domain::Usd;
use ratatui::{
    layout::Rect,
    style::{Color, Style},
    text::{Line, Span},
};

use super::screen::{FAINT, HEADING, STRONG};
use crate::{
    demo::{
        figures::{self, FollowerLine},
        picture::Picture,
        setup::DEPOSIT,
    },
    wording::{self, NONE, dollars, fit, grouped, signed_dollars, signed_percent, span},
};

/// Columns of a follower's numbers.
const NUMBERS: usize = 10 + 10 + 10 + 8 + 10 + 8;

/// Rows of the followers' table when there is room for all: followers, and their sum if there are several.
pub(super) fn follower_rows(picture: &Picture) -> usize {
    let followers = picture.followers.len();
    followers + usize::from(followers > 1)
}

/// Three short lines about decisions, orders and speed.
pub(super) fn summary(picture: &Picture, width: usize) -> [Vec<Span<'static>>; 3] {
    let skipped: usize = picture.skipped.values().sum();
    let mut decisions = Vec::new();
    for (number, word) in [(picture.seen, "trades seen"), (picture.copied, "copied"), (skipped, "skipped")] {
        decisions.push(Span::styled(count(number), STRONG));
        decisions.push(Span::styled(format!(" {word}   "), FAINT));
    }
    let states = picture.orders.iter().map(|(state, number)| format!("{} {state}", count(*number)));
    let states = states.collect::<Vec<_>>().join(" · ");
    let orders = if states.is_empty() { "no orders yet".to_owned() } else { format!("orders {states}") };
    let whole = picture.latency.iter().find(|stage| stage.stage == figures::SEEN_TO_SENT);
    let speed = whole.map_or_else(String::new, |stage| {
        let [median, p95, slowest] = [stage.median_us, stage.p95_us, stage.max_us].map(span);
        format!("seen to sent {median}, 95 % {p95}, max {slowest}")
    });
    [decisions, vec![Span::raw(fit(&orders, width))], vec![Span::styled(fit(&speed, width), FAINT)]]
}

/// Followers with their money; the last line is all of them.
pub(super) fn followers(picture: &Picture, area: Rect) -> Vec<Line<'static>> {
    let who = usize::from(area.width).saturating_sub(NUMBERS + 1);
    let heading = format!(
        " {:<who$}{:>10}{:>10}{:>10}{:>8}{:>10}{:>8}",
        fit("FOLLOWERS", who),
        "CASH $",
        "INVESTED",
        "REALISED",
        "FEES",
        "RESULT",
        "%"
    );
    let mut lines = vec![Line::styled(heading, HEADING)];
    let rows = usize::from(area.height).saturating_sub(1);
    let all = picture.followers.len();
    let shown = if follower_rows(picture) <= rows { all } else { rows.saturating_sub(1) };
    lines.extend(picture.followers.iter().take(shown).map(|line| follower(line, 1, who, Style::new())));
    if all > 1
        && let Ok(total) = figures::total(&picture.followers)
    {
        let name = if shown < all { format!("all {all}, {shown} shown") } else { format!("all {all}") };
        let total = FollowerLine { name, ..total };
        lines.push(follower(&total, i64::try_from(all).unwrap_or(i64::MAX), who, STRONG));
    }
    lines
}

fn follower(line: &FollowerLine, followers: i64, who: usize, style: Style) -> Line<'static> {
    let result = line.result(followers).ok();
    let percent = result.and_then(|result| signed_percent(result.0, DEPOSIT.0.saturating_mul(followers)));
    let unpriced = if line.unpriced_positions > 0 { "~" } else { "" };
    let text = result.map_or_else(
        || NONE.to_owned(),
        |result| format!("{unpriced}{}", within(9 - unpriced.len(), signed_dollars(result))),
    );
    let name = fit(&line.name, who);
    let style_room = who.saturating_sub(name.chars().count() + 3);
    let how = format!("  {:<width$}", fit(&line.style, style_room), width = style_room + 1);
    let numbers = format!(
        "{:>10}{:>10}{:>10}{:>8}",
        within(9, dollars(line.cash)),
        within(9, dollars(line.invested)),
        within(9, signed_dollars(line.realised)),
        within(7, dollars(line.fees))
    );
    Line::from(vec![
        Span::styled(format!(" {name}"), style),
        Span::styled(how, FAINT),
        Span::styled(numbers, style),
        Span::styled(
            format!("{text:>10}{:>8}", percent.unwrap_or_else(|| NONE.to_owned())),
            style.patch(gain(result)),
        ),
    ])
}

/// An amount without its cents where they do not fit.
fn within(width: usize, amount: String) -> String {
    match amount.split_once('.') {
        Some((whole, _)) if amount.len() > width => whole.to_owned(),
        _ => amount,
    }
}

fn gain(result: Option<Usd>) -> Style {
    match result {
        Some(result) if result < Usd::ZERO => Style::new().fg(Color::Red),
        Some(result) if result.is_positive() => Style::new().fg(Color::Green),
        _ => Style::new(),
    }
}

/// Rows that [`orders_and_stages`] fills.
pub(super) fn stage_rows(picture: &Picture) -> usize {
    picture.latency.len() + picture.orders.len() + 3
}

/// Orders by state, and how long each stage takes.
pub(super) fn orders_and_stages(picture: &Picture, area: Rect) -> Vec<Line<'static>> {
    let width = usize::from(area.width);
    let heading = format!("{:<name$}{:>9}{:>9}", "STAGE", "MEDIAN", "95 %", name = width.saturating_sub(18));
    let mut lines = vec![Line::styled(heading, HEADING)];
    for stage in &picture.latency {
        let (median, p95) = (span(stage.median_us), span(stage.p95_us));
        let name =
            format!("{:<name$}", fit(stage.stage, width.saturating_sub(19)), name = width.saturating_sub(18));
        lines.push(Line::from(vec![
            Span::raw(name),
            Span::raw(format!("{median:>9}")),
            Span::styled(format!("{p95:>9}"), FAINT),
        ]));
    }
    lines.push(Line::default());
    lines.push(Line::styled(format!("{:<width$}", "ORDERS"), HEADING));
    for (state, number) in &picture.orders {
        lines.push(Line::raw(format!("{state:<name$}{:>9}", count(*number), name = width.saturating_sub(9))));
    }
    lines
}

/// The latest faults, newest first.
pub(super) fn broken(picture: &Picture, area: Rect) -> Vec<Line<'static>> {
    let width = usize::from(area.width);
    let mut lines = vec![Line::styled(format!("{:<width$}", " BROKEN ON PURPOSE"), HEADING)];
    if picture.broken.is_empty() {
        lines.push(Line::styled(" nothing yet", FAINT));
    }
    let rows = usize::from(area.height).saturating_sub(1);
    for broken in picture.broken.iter().rev().take(rows) {
        let text = fit(&broken.what, width.saturating_sub(12));
        let at = Span::styled(format!(" {}  ", wording::time_of_day(broken.at)), FAINT);
        lines.push(Line::from(vec![at, Span::styled(text, Style::new().fg(Color::Yellow))]));
    }
    lines
}

fn count(number: usize) -> String {
    grouped(u64::try_from(number).unwrap_or(u64::MAX))
}
