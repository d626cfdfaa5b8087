//! An order's story as text.

use domain::{
    OrderId, Shares, Side, Timestamp, TxHash, Usd,
    lifecycle::{Filled, OrderState},
};
use engine::ports::execution::LedgerCause;

use super::{CopiedOrder, OrderStory, StageLine, name_of};
use crate::{
    screen::{Paint, Row, Screen, Style, pad},
    wording::{self, NONE, dollars, price, signed_dollars, span},
};

/// Columns of the waterfall's bars, of what stands before them, and of a screen if nobody says.
const BARS: usize = 44;
const BEFORE_BARS: usize = 38;
const USUAL: usize = 100;

pub(super) fn render(story: &OrderStory, style: Style) -> String {
    let mut screen = Screen::new(style);
    let order = &story.order;
    screen.heading(&format!("Order {}", order.id), order.state.label());
    screen.field("market", &format!("{} {}", story.side, name_of(story.market.as_ref())));
    screen.field("for", &whose(story));
    let trade = format!("trade {} part {}", short_tx(story.trade.tx), story.part);
    screen.field("because", &format!("{trade} (intent {}, attempt {})", story.intent, story.attempt));
    screen.field("order", &asked(story));
    screen.field("filled", &filled(order));
    if order.price.is_some() {
        screen.field("copying", &cost(order));
    }
    screen.blank();
    waterfall(&mut screen, &order.stages);
    screen.blank();
    evidence(&mut screen, story);
    screen.blank();
    ledger(&mut screen, story);
    screen.blank();
    sending(&mut screen, story);
    screen.finish()
}

fn whose(story: &OrderStory) -> String {
    let account = story.account_label.clone().unwrap_or_else(|| format!("account {}", story.account));
    let leader = story.leader.map_or_else(|| NONE.to_owned(), wording::short_address);
    format!("{account}; relationship {} with leader {leader}", story.relationship)
}

fn asked(story: &OrderStory) -> String {
    let limit = price(story.limit);
    match story.side {
        Side::Buy => {
            let (most, reserve) = (dollars(Usd(story.gives)), dollars(story.reserve));
            format!("gives at most {most} $ at {limit} or better; {reserve} $ were set aside")
        }
        Side::Sell => {
            let (most, all) =
                (wording::shares(Shares(story.gives)), wording::shares(Shares(story.intent_amount)));
            format!("gives at most {most} of {all} shares at {limit} or better")
        }
    }
}

fn filled(order: &CopiedOrder) -> String {
    let Some(ours) = order.price else { return "nothing".to_owned() };
    let figures = &order.cost;
    let (shares, usd, fee) =
        (wording::shares(figures.shares), dollars(figures.our_usd), dollars(figures.fees));
    format!("{shares} shares for {usd} $ at {}, fee {fee} $", price(ours))
}

/// The cost of copying by cause.
fn cost(order: &CopiedOrder) -> String {
    let difference = order.price_difference().map_or_else(|_| NONE.to_owned(), signed_dollars);
    let (total, fees) = (signed_dollars(order.cost.cost), signed_dollars(order.cost.fees));
    format!(
        "cost {total} $: price {difference} (leader {}), fees {fees}",
        wording::leader_price(order.leader_price)
    )
}

/// Every stage with its time, its delay, and a bar from the stage before.
fn waterfall(screen: &mut Screen, stages: &[StageLine]) {
    let passed = || stages.iter().filter_map(|line| line.at);
    let (first, last) = (passed().min().unwrap_or_default(), passed().max().unwrap_or_default());
    let whole = last.0.saturating_sub(first.0).max(1);
    let columns = screen.style().columns(USUAL).saturating_sub(BEFORE_BARS).min(BARS);
    screen.push(Paint::Dim, &format!("  {}  {}  {:>9}", pad("stage", 9), pad("at", 12), "after"));
    for line in stages {
        let stage = pad(line.stage.label(), 9);
        match line.at {
            None => screen.push(Paint::Dim, &format!("  {stage}  {NONE}")),
            Some(at) => {
                let delay = line.delay_us.map(span).unwrap_or_default();
                let bar = bar((at, line.delay_us.unwrap_or(0)), first, whole, columns);
                screen.push(Paint::Plain, &format!("  {stage}  {}  {delay:>9}  {bar}", clock(at)));
            }
        }
    }
    screen.push(Paint::Dim, &format!("  {}  {:>23}", pad("in all", 9), span(whole)));
}

fn bar((at, delay): (Timestamp, i64), first: Timestamp, whole: i64, bars: usize) -> String {
    let columns = |micros: i64| {
        let scaled = i128::from(micros.max(0)) * i128::try_from(bars).unwrap_or(0) / i128::from(whole);
        usize::try_from(scaled).unwrap_or(0).min(bars)
    };
    let end = columns(at.0.saturating_sub(first.0));
    let start =
        columns(at.0.saturating_sub(first.0).saturating_sub(delay.max(0))).min(bars.saturating_sub(1));
    format!("{}{}", " ".repeat(start), "█".repeat(end.saturating_sub(start).max(1)))
}

fn clock(at: Timestamp) -> String {
    at.to_string().get(11..23).unwrap_or(NONE).to_owned()
}

fn evidence(screen: &mut Screen, story: &OrderStory) {
    let rows: Vec<Row> = story
        .evidence
        .iter()
        .map(|line| {
            let mut cells = vec![line.source.to_owned()];
            cells.extend(filled_cells(&line.filled));
            cells.push(line.note.to_owned());
            Row::new(cells)
        })
        .collect();
    screen.table(&["evidence", ">shares", ">$", ">fee", "*"], &rows);
}

fn filled_cells(filled: &Filled) -> [String; 3] {
    if *filled == Filled::default() {
        return [NONE.to_owned(), NONE.to_owned(), NONE.to_owned()];
    }
    let Filled { quantity, fee } = filled;
    [quantity.shares.to_string(), quantity.usd.to_string(), fee.to_string()]
}

fn ledger(screen: &mut Screen, story: &OrderStory) {
    if story.ledger.is_empty() {
        screen.painted(Paint::Dim, "  nothing is booked");
        return;
    }
    let row = |line: &super::LedgerLine| {
        let entry = &line.entry;
        let numbers = [entry.cash, entry.cost, entry.realised, entry.fee].map(|usd| usd.to_string());
        let mut cells = vec![clock(line.at), cause(line.cause).to_owned(), entry.shares.to_string()];
        cells.extend(numbers);
        Row::new(cells)
    };
    let rows: Vec<Row> = story.ledger.iter().map(row).collect();
    screen.table(&["ledger", "cause", ">shares", ">cash", "?>cost", ">realised", ">fee"], &rows);
}

const fn cause(cause: LedgerCause) -> &'static str {
    match cause {
        LedgerCause::Deposit => "deposit",
        LedgerCause::Fill => "fill",
        LedgerCause::Reversal => "reversal",
        LedgerCause::Redeemed => "redeemed",
        LedgerCause::Worthless => "worthless",
        LedgerCause::Adopted => "adopted",
    }
}

fn sending(screen: &mut Screen, story: &OrderStory) {
    let permits = if story.permits_out.is_empty() {
        "nobody may be sending it".to_owned()
    } else {
        format!("may still be sent by {}", story.permits_out.join(", "))
    };
    screen.field("sending", &format!("{permits}; same bytes until {}", clock(story.resend_until)));
    let unseen = i64::try_from(story.unseen_for_us).unwrap_or(i64::MAX);
    let looked_up = match story.looked_up_at {
        None => "never looked up".to_owned(),
        Some(at) if unseen == 0 => format!("looked up last at {}", clock(at)),
        Some(at) => {
            let missing = if story.order.price.is_some() { "the rest not shown" } else { "not found" };
            format!("looked up last at {}, {missing} for {}", clock(at), span(unseen))
        }
    };
    let work = if story.open_work { "settlement works on it" } else { "nothing more to be done" };
    screen.field("settling", &format!("{work}; {looked_up}"));
    if story.doubts > 0 {
        let times = if story.doubts == 1 { "once".to_owned() } else { format!("{} times", story.doubts) };
        screen.field(
            "doubted",
            &format!("told {times} of what cannot be, or cannot be booked; the log says what"),
        );
    }
    for other in &story.siblings {
        let state: OrderState = other.state;
        let id = short_order(other.order);
        screen.field("attempt", &format!("{} is order {id}, {}", other.attempt, state.label()));
    }
}

/// A transaction by its first bytes, enough to ask for it.
pub(super) fn short_tx(tx: TxHash) -> String {
    tx.to_string().get(..10).unwrap_or_default().to_owned()
}

/// An order by its first bytes, enough to ask for it.
pub(super) fn short_order(order: OrderId) -> String {
    order.to_string().get(..10).unwrap_or_default().to_owned()
}
