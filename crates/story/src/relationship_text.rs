//! A relationship's story as text.

use engine::ports::following::{AccountMode, RelationshipStatus};

use super::{RelationshipStory, order_text::short_tx, tables::position_table, trade_text::paint};
use crate::{
    screen::{Paint, Row, Screen, Style},
    wording::{self, NONE, time_of_day},
};

pub(super) fn render(story: &RelationshipStory, style: Style) -> String {
    let mut screen = Screen::new(style);
    screen.heading(&format!("Relationship {}", story.relationship), status(story.status));
    screen.field("account", &account(story));
    let leader = story.leader.map_or_else(|| NONE.to_owned(), |leader| leader.to_string());
    screen.field("follows", &format!("{leader} since {}", story.since));
    for (index, words) in story.policy.iter().enumerate() {
        let name = if index == 0 { format!("policy {}", story.policy_version) } else { String::new() };
        screen.field(&name, words);
    }
    if story.holds.is_empty() {
        screen.field("holds", "none");
    }
    for hold in &story.holds {
        screen.painted(Paint::Bad, &format!("  {hold}"));
    }
    screen.blank();
    position_table(&mut screen, &story.positions);
    screen.blank();
    decisions(&mut screen, story);
    if !story.summed.is_empty() {
        let reasons = story.summed.iter().map(|(reason, skips)| format!("{reason} {skips}"));
        let text = format!("  older skips, summed: {}", reasons.collect::<Vec<_>>().join(", "));
        screen.painted(Paint::Dim, &text);
    }
    screen.finish()
}

fn account(story: &RelationshipStory) -> String {
    let label = story.account_label.as_deref().unwrap_or(NONE);
    let mode = match story.mode {
        Some(AccountMode::Paper) => "paper money",
        Some(AccountMode::Live) => "REAL MONEY",
        None => NONE,
    };
    format!("{} ({label}), {mode}, owner {}", story.account, story.owner)
}

const fn status(status: RelationshipStatus) -> &'static str {
    match status {
        RelationshipStatus::Active => "active",
        RelationshipStatus::Paused => "paused by its user",
        RelationshipStatus::Stopped => "stopped",
    }
}

fn decisions(screen: &mut Screen, story: &RelationshipStory) {
    if story.decisions.is_empty() {
        let through = wording::count(story.looked_through, "decision");
        screen.painted(Paint::Dim, &format!("  no decision among the owner's newest {through}"));
        return;
    }
    let row = |line: &super::AnswerLine| Row {
        cells: vec![
            time_of_day(line.at),
            line.trade.action.to_string(),
            short_tx(line.trade.tx),
            line.answer.word().to_owned(),
            line.answer.sentence(),
        ],
        paint: paint(&line.answer),
        below: None,
    };
    let rows: Vec<Row> = story.decisions.iter().map(row).collect();
    screen.table(&["decided", "action", "trade", "answer", "*what"], &rows);
}
