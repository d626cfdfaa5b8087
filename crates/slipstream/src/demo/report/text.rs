//! The report as text of at most 100 columns.

use std::{collections::BTreeMap, fmt::Write};

use domain::Usd;

use super::{Report, checks::CheckLine};
use crate::{
    copying_cost::CopyingCost,
    demo::{figures::FollowerLine, paint::Paint},
    wording::{self, NONE, dollars, fit, grouped, percent, signed_dollars, signed_percent, span},
};

/// Columns of the report.
const WIDTH: usize = 100;

/// Lines that are put together one by one. Writing to a string cannot fail.
struct Page {
    text: String,
    paint: Paint,
}

impl Page {
    fn line(&mut self, line: &str) {
        let _ = writeln!(self.text, "{}", line.trim_end());
    }

    fn section(&mut self, title: &str, columns: &str) {
        let columns = format!("{columns:>width$}", width = WIDTH - title.chars().count());
        let line = format!("{}{}", self.paint.strong(title), self.paint.faint(&columns));
        self.line("");
        self.line(if columns.trim().is_empty() { line.trim_end() } else { &line });
    }
}

impl Report {
    /// The report for people. The last line names a broken invariant, if there is one.
    #[must_use]
    pub fn text(&self, paint: Paint) -> String {
        let mut page = Page { text: String::new(), paint };
        self.headline(&mut page);
        self.decisions(&mut page);
        self.money(&mut page);
        self.cost(&mut page);
        self.stages(&mut page);
        self.broken(&mut page);
        self.verdict(&mut page);
        page.text
    }

    fn headline(&self, page: &mut Page) {
        let tape = &self.tape;
        let events = tape.recorded.saturating_add(tape.derived);
        let seconds = u64::try_from(self.elapsed_us / domain::money::ONE).unwrap_or(0);
        let title = "Slipstream demo: report";
        let took = format!("took {}", wording::clock_span(seconds));
        page.line(&format!("{}{took:>width$}", page.paint.strong(title), width = WIDTH - title.len()));
        if let Some(notice) = &self.notice {
            page.line(&page.paint.notable(&wording::harmless(notice)));
        }
        if let Some(leader) = self.leader {
            page.line(&format!("followed {leader} as it traded, through the public Data API"));
            return;
        }
        page.line(&format!(
            "{} events of the tape: {} recorded ({}), {} derived ({})",
            grouped(events),
            grouped(tape.recorded),
            percent(tape.recorded, events),
            grouped(tape.derived),
            percent(tape.derived, events),
        ));
        if !tape.left_out.is_empty() {
            let rows = usize::try_from(tape.left_out.values().sum::<u64>()).unwrap_or(usize::MAX);
            page.line(&page.paint.notable(&format!("left out: {} of the file", wording::count(rows, "row"))));
            for (reason, rows) in &tape.left_out {
                page.line(&page.paint.notable(&format!("{:>8} {}", grouped(*rows), reason.words())));
            }
        }
        if tape.synthetic > 0 {
            let all = percent(tape.synthetic, events.saturating_add(tape.synthetic));
            let made_up = wording::count(usize::try_from(tape.synthetic).unwrap_or(usize::MAX), "exit");
            let line =
                format!("not counted there: {made_up} made up ({all} of all); what follows includes them");
            page.line(&page.paint.notable(&line));
        }
        if tape.position_ms < tape.length_ms {
            let played = wording::clock_span(tape.position_ms / 1_000);
            let length = wording::clock_span(tape.length_ms / 1_000);
            page.line(&page.paint.notable(&format!("stopped early, at {played} of {length}")));
        }
        page.line(&page.paint.faint(
            "assumed: each market's tick, smallest order and fee, and the books around the recorded prices",
        ));
    }

    fn decisions(&self, page: &mut Page) {
        let skipped: usize = self.skipped.iter().map(|line| line.decisions).sum();
        let all = self.copied + skipped;
        let seen = format!(
            "{} of {} in {}",
            wording::count(all, "decision"),
            wording::count(self.seen, "trade part"),
            wording::count(self.transactions, "leaders' transaction")
        );
        page.section("DECISIONS", &seen);
        let mut line = |what: &str, number: usize, note: &str| {
            let share = percent(as_u64(number), as_u64(all));
            let numbers = format!("  {what:<19}{:>8}{share:>9}", grouped(as_u64(number)));
            let note = if note == what { String::new() } else { format!("   {note}") };
            let note = page.paint.faint(&fit(&note, WIDTH - numbers.chars().count()));
            page.line(&format!("{numbers}{note}"));
        };
        line("copied", self.copied, "copied");
        for skip in &self.skipped {
            line(skip.reason, skip.decisions, &skip.example);
        }
        let orders: usize = self.orders.values().sum();
        page.section("ORDERS", &wording::count(orders, "order"));
        for (state, number) in &self.orders {
            let share = percent(as_u64(*number), as_u64(orders));
            page.line(&format!("  {state:<19}{:>8}{share:>9}", grouped(as_u64(*number))));
        }
    }

    fn money(&self, page: &mut Page) {
        let columns = format!(
            "{:>11}{:>11}{:>11}{:>9}{:>11}{:>9}",
            "cash", "positions", "realised", "fees", "result", "%"
        );
        page.section("FOLLOWERS, $", &columns);
        for line in &self.followers {
            page.line(&follower(line, 1, page.paint));
        }
        if self.followers.len() != 1 {
            let count = i64::try_from(self.followers.len()).unwrap_or(i64::MAX);
            page.line(&follower(&self.total, count, page.paint));
        }
        let unpriced = self.total.unpriced_positions;
        let priced = self.total.positions.saturating_sub(unpriced);
        if priced > 0 {
            let note = format!("  {} at the last traded price", wording::count(priced, "open position"));
            page.line(&page.paint.faint(&note));
        }
        if unpriced > 0 {
            let cost = dollars(self.total.unpriced);
            let note = format!(
                "  {}: the result counts what they cost, {cost}",
                wording::count(unpriced, "unpriced position")
            );
            page.line(&page.paint.notable(&note));
        }
    }

    fn cost(&self, page: &mut Page) {
        let columns = format!(
            "{:>9}{:>21}{:>13}{:>9}{:>11}{:>9}",
            "orders", "at leaders' prices", "at ours", "fees", "cost", "bp"
        );
        page.section("COST OF COPYING, $", &columns);
        for (side, cost) in [("entries", &self.buys), ("exits", &self.sells)] {
            page.line(&copying(side, cost));
        }
        let note =
            "  worse prices and fees together, in dollars and basis points; negative is cheaper than leading";
        page.line(&page.paint.faint(note));
        if self.speed > 1 {
            let note = "of delay is that many seconds of the tape, and prices move as far";
            page.line(&page.paint.faint(&format!("  at {}× a second {note}", self.speed)));
        }
    }

    fn stages(&self, page: &mut Page) {
        let columns = format!("{:>9}{:>12}{:>12}{:>12}", "orders", "median", "95 %", "slowest");
        page.section("TIME OF EACH STAGE", &columns);
        for stage in &self.latency {
            let spans = [stage.median_us, stage.p95_us, stage.max_us].map(span);
            let [median, p95, slowest] = spans;
            let orders = grouped(as_u64(stage.orders));
            let name = stage.stage;
            let numbers = format!("{orders:>9}{median:>12}{p95:>12}{slowest:>12}");
            page.line(&format!("  {name:<width$}{numbers}", width = WIDTH - 2 - 45));
        }
    }

    fn broken(&self, page: &mut Page) {
        page.section("BROKEN ON PURPOSE", "");
        if self.broken.is_empty() {
            page.line(&page.paint.faint("  nothing; try --faults, or the keys k, v and r"));
        }
        let mut kinds: BTreeMap<&str, Vec<String>> = BTreeMap::new();
        for broken in &self.broken {
            kinds.entry(&broken.what).or_default().push(wording::time_of_day(broken.at));
        }
        for (what, times) in kinds {
            let line = format!("  {:>3} × {what}: {}", times.len(), times.join(", "));
            page.line(&fit(&line, WIDTH));
        }
    }

    fn verdict(&self, page: &mut Page) {
        page.section("CHECKS", "");
        for check in &self.checks {
            check_line(check, page);
        }
        page.line("");
        let verdict = match self.first_failed() {
            None => page.paint.good(&format!("All {} invariants hold.", self.checks.len())),
            Some(check) => page.paint.bad(&format!("BROKEN: {}", check.name)),
        };
        page.line(&verdict);
    }
}

fn check_line(check: &CheckLine, page: &mut Page) {
    let mark = if check.holds() { page.paint.good("✓") } else { page.paint.bad("✗") };
    let basis = page.paint.faint(&format!("{:>width$}", check.basis, width = WIDTH - 4 - 52));
    page.line(&format!("  {mark} {:<52}{basis}", check.name));
    if let Some(failed) = &check.failed {
        for line in wrapped(&format!("{}: {}", failed.count, failed.first), WIDTH - 4) {
            page.line(&format!("    {}", page.paint.bad(&line)));
        }
    }
}

fn follower(line: &FollowerLine, followers: i64, paint: Paint) -> String {
    let result = line.result(followers).ok();
    let result_text = result.map_or_else(|| NONE.to_owned(), signed_dollars);
    let deposits = super::super::setup::DEPOSIT.0.saturating_mul(followers);
    let percent = result.and_then(|result| signed_percent(result.0, deposits));
    let result_and_percent = format!("{result_text:>11}{:>9}", percent.unwrap_or_else(|| NONE.to_owned()));
    let coloured = match result {
        Some(result) if result < Usd::ZERO => paint.bad(&result_and_percent),
        Some(result) if result.is_positive() => paint.good(&result_and_percent),
        _ => result_and_percent,
    };
    let value = if line.unpriced_positions == line.positions && line.positions > 0 {
        "unpriced".to_owned()
    } else {
        dollars(line.value)
    };
    let who = fit(&format!("{}  {}", line.name, line.style), WIDTH - 2 - 62 - 1);
    let numbers = format!(
        "{:>11}{value:>11}{:>11}{:>9}",
        dollars(line.cash),
        signed_dollars(line.realised),
        dollars(line.fees)
    );
    format!("  {who:<width$}{numbers}{coloured}", width = WIDTH - 2 - 62)
}

fn copying(side: &str, cost: &CopyingCost) -> String {
    let points = cost.basis_points().map_or_else(|| NONE.to_owned(), |points| points.to_string());
    let numbers = format!(
        "{:>9}{:>21}{:>13}{:>9}{:>11}{points:>9}",
        grouped(as_u64(cost.orders)),
        dollars(cost.leader_usd),
        dollars(cost.our_usd),
        dollars(cost.fees),
        dollars(cost.cost)
    );
    format!("  {side:<width$}{numbers}", width = WIDTH - 2 - 72)
}

/// Words in lines of at most `width` letters; a longer word is cut into pieces.
fn wrapped(text: &str, width: usize) -> Vec<String> {
    let mut lines = vec![String::new()];
    for word in text.split_whitespace() {
        let letters: Vec<char> = word.chars().collect();
        for piece in letters.chunks(width.max(1)) {
            let piece: String = piece.iter().collect();
            match lines.last_mut() {
                Some(line) if line.is_empty() => *line = piece,
                Some(line) if line.chars().count() + 1 + piece.chars().count() <= width => {
                    line.push(' ');
                    line.push_str(&piece);
                }
                _ => lines.push(piece),
            }
        }
    }
    lines
}

fn as_u64(number: usize) -> u64 {
    u64::try_from(number).unwrap_or(u64::MAX)
}
