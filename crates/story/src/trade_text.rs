//! A leader's trade as text.

use domain::{
    Shares,
    lifecycle::OrderState,
    trade::{Action, Dispute, GroupState, PartKind, Sightings, TradeGroup},
};

use super::{Answer, AnswerLine, GroupStory, PartLine, TradeStory, name_of, order_text::short_order};
use crate::{
    screen::{Paint, Row, Screen, Style},
    wording::{self, NONE, count, dollars, price, signed_dollars, span},
};

/// Followers listed when not all are.
const LISTED: usize = 10;

pub(super) fn render(story: &TradeStory, style: Style) -> String {
    let mut screen = Screen::new(style);
    for (index, group) in story.groups.iter().enumerate() {
        if index > 0 {
            screen.blank();
        }
        let listed = if story.all_lines { usize::MAX } else { LISTED };
        render_group(&mut screen, group, listed);
    }
    screen.finish()
}

fn render_group(screen: &mut Screen, story: &GroupStory, listed: usize) {
    let group = &story.group;
    screen.heading(&format!("Trade {}", group.key.tx), state(group.state));
    screen.field("market", &name_of(story.market.as_ref()));
    let leader = story.leader.map_or_else(|| NONE.to_owned(), wording::short_address);
    let (action, what) = (group.key.action, quantity(group));
    screen.field("leader", &format!("{leader} (leader {}) {action} {what}", group.key.leader));
    if let Some(meaning) = meaning(action) {
        screen.field("meaning", meaning);
    }
    screen.field("traded", &when(group));
    screen.field("sources", &sources(story));
    if let Some(seen) = sightings(group) {
        screen.field("shown by", &seen);
    }
    if let Some(about) = group.disputed {
        screen.field("disputed", dispute(about));
    }
    for part in &story.parts {
        screen.field(&format!("part {}", part.number), &part_words(part, group));
    }
    screen.field("answers", &tally(story));
    if story.answers.is_empty() {
        return;
    }
    screen.blank();
    let rows: Vec<Row> = story.answers.iter().take(listed).map(row).collect();
    screen.table(&[">rel", ">part", "answer", "order", "*what"], &rows);
    if let Some(more) = story.answers.len().checked_sub(listed).filter(|more| *more > 0) {
        screen.painted(Paint::Dim, &format!("  and {}", count(more, "more answer")));
    }
}

const fn state(state: GroupState) -> &'static str {
    match state {
        GroupState::Open => "open",
        GroupState::Final => "final",
        GroupState::Phantom => "phantom: not on the chain",
        GroupState::Overcounted => "overcounted: the chain has less than was decided",
    }
}

/// What it means that providers differed.
const fn dispute(about: Dispute) -> &'static str {
    match about {
        Dispute::Fills => "providers of the chain differed in its fills: the exit waited for the Data API",
        Dispute::Balances => "providers of the chain differed in what the leader held: the exit waited",
    }
}

fn quantity(group: &TradeGroup) -> String {
    let quantity = group.quantity();
    let shares = wording::shares(quantity.shares);
    if !group.key.action.is_order() {
        return format!("{shares} shares");
    }
    let at = group.price().map_or_else(|| NONE.to_owned(), price);
    format!("{shares} shares for {} $ at {at}", dollars(quantity.usd))
}

/// What followers do when it was no order.
const fn meaning(action: Action) -> Option<&'static str> {
    match action {
        Action::Buy | Action::Sell => None,
        Action::Receive => Some("shares from a split or a conversion, not bought: nobody copies them"),
        Action::Merge => Some("shares given up by a merge or a conversion: followers sell their part"),
        Action::Redeem => Some("a resolved market's shares paid out: followers' shares are redeemed too"),
        Action::Send => Some("shares sent to another wallet: no exit, nobody sells"),
    }
}

fn when(group: &TradeGroup) -> String {
    let late = span(group.first_seen_at.0.saturating_sub(group.traded_at.0));
    // Without a chain trades are ordered by their seconds, which are no blocks.
    let block = group.block.filter(|block| *block != group.traded_at.seconds());
    let block = block.map(|block| format!(", block {block}")).unwrap_or_default();
    format!("{}, first seen {late} later{block}", group.traded_at)
}

fn sources(story: &GroupStory) -> String {
    let group = &story.group;
    let chain = group.chain.map_or_else(
        || "chain: nothing".to_owned(),
        |chain| match story.fills {
            0 => format!("chain: {} shares", wording::shares(chain.shares)),
            fills => format!("chain: {} shares in {}", wording::shares(chain.shares), count(fills, "log")),
        },
    );
    let mut text = format!("{chain}; history: {} shares", wording::shares(group.history.shares));
    if group.sightings.live.is_some() {
        text.push_str(&format!("; live feed: {} shares", wording::shares(group.live.shares)));
    }
    text.push_str(&format!("; decided {}", wording::shares(group.decided)));
    for (name, shares) in [("inherited", group.inherited), ("given to another", group.given)] {
        if shares > Shares::ZERO {
            text.push_str(&format!(", {name} {}", wording::shares(shares)));
        }
    }
    text
}

/// How long after the trade each source showed it, the first one first.
fn sightings(group: &TradeGroup) -> Option<String> {
    let Sightings { chain, history, live } = group.sightings;
    let mut seen: Vec<_> = [("chain", chain), ("history", history), ("live feed", live)]
        .into_iter()
        .filter_map(|(source, at)| at.map(|at| (at, source)))
        .collect();
    seen.sort_unstable();
    let words: Vec<String> = seen
        .iter()
        .map(|(at, source)| format!("{source} after {}", span(at.0.saturating_sub(group.traded_at.0))))
        .collect();
    (!words.is_empty()).then(|| words.join(", "))
}

fn part_words(part: &PartLine, group: &TradeGroup) -> String {
    let kind = match part.kind {
        PartKind::Trade if part.complete => "decided for every follower",
        PartKind::Trade => "being decided, follower by follower",
        PartKind::Settling => "not copied: it may be another trade, settling",
        PartKind::Dust => "not copied: less than a lot, finally",
        PartKind::Absent => "not copied: told of, and in no block",
        PartKind::Revisit => "looked at again, for followers who could not sell before",
        PartKind::Phantom => "a phantom: copies sold on wish",
        PartKind::Target => "a sync: what the leader still holds of trades found too late, bought at once",
        PartKind::Panic => "sold on command, whatever the leader does",
    };
    let late = span(part.seen_at.0.saturating_sub(group.traded_at.0));
    format!("{} shares, seen after {late}; {kind}", wording::shares(part.added))
}

fn tally(story: &GroupStory) -> String {
    let skips: usize = story.skipped.values().sum();
    let mut text = format!("{} copied, {skips} skipped", story.copied);
    if skips > 0 {
        let reasons = story.skipped.iter().map(|(reason, number)| format!("{reason} {number}"));
        text.push_str(&format!(" ({})", reasons.collect::<Vec<_>>().join(", ")));
    }
    if story.summed > 0 {
        text.push_str(&format!(", {} older skips summed", story.summed));
    }
    text
}

fn row(line: &AnswerLine) -> Row {
    let order = match &line.answer {
        Answer::Copied { orders, .. } => orders.last(),
        Answer::Skipped { .. } => None,
    };
    let id = order.map_or_else(|| NONE.to_owned(), |order| short_order(order.id));
    let mut what = line.answer.sentence();
    if let Some(order) = order.filter(|order| order.price.is_some()) {
        let (cost, fees) = (signed_dollars(order.cost.cost), dollars(order.cost.fees));
        what.push_str(&format!(", cost {cost} $, fees {fees}"));
    }
    Row {
        cells: vec![
            line.relationship.to_string(),
            line.part.to_string(),
            line.answer.word().to_owned(),
            id,
            what,
        ],
        paint: paint(&line.answer),
        below: order.map(super::CopiedOrder::delays),
    }
}

/// Skips are dim, confirmed copies green, what went wrong red.
pub(super) fn paint(answer: &Answer) -> Paint {
    match answer {
        Answer::Skipped { .. } => Paint::Dim,
        Answer::Copied { ended: Some(_), .. } => Paint::Bad,
        Answer::Copied { orders, .. } => match orders.last().map(|order| order.state) {
            Some(OrderState::Confirmed) => Paint::Good,
            Some(OrderState::Failed | OrderState::Rejected | OrderState::ExpiredUnseen) => Paint::Bad,
            _ => Paint::Plain,
        },
    }
}
