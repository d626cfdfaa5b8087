//! What was measured, as a table or as JSON.

use std::fmt::Write as _;

use serde::Serialize;

use super::{
    channels,
    failover::Failure,
    fan_out::FanOut,
    http::IN_FLIGHT,
    live::EventCost,
    memory::Idle,
    order_cost::OrderCost,
    pace::Paced,
    past::Answers,
    sample,
    scale::costs::Costs,
    servers::{Measured, STAGES},
    signer_process::SignerCost,
};

/// Targets of the project, in the unit of their line.
const ORDER_TARGET_US: f64 = 30.0;
const IRRELEVANT_TARGET_NS: f64 = 2_000.0;
const IDLE_TARGET_MB: f64 = 60.0;
const LARGE_IDLE_TARGET_MB: f64 = 300.0;
/// 1,000 orders a second.
const TOLD_TARGET_US: f64 = 1_000.0;
const BACK_TARGET_MS: f64 = 2_000.0;
const FAILOVER_TARGET_MS: f64 = 3_000.0;
/// What one follower may take beyond two syncs.
pub(super) const ONE_BEYOND_SYNCS_MS: f64 = 5.0;

/// From process start to watching, and from a question to its answer.
const START_TARGET_MS: f64 = 1_000.0;
const ANSWER_TARGET_MS: f64 = 100.0;

/// One line of the table.
#[derive(Clone, Debug, Serialize)]
pub(super) struct Line {
    figure: String,
    value: f64,
    unit: &'static str,
    /// At most, if there is a target.
    target: Option<f64>,
    /// The bare part it is compared with, in the same unit.
    bare: Option<Bare>,
}

#[derive(Clone, Debug, Serialize)]
struct Bare {
    part: String,
    value: f64,
    /// How many times the bare part the figure is.
    ratio: f64,
}

/// What the machine was.
#[derive(Clone, Debug, Serialize)]
pub(super) struct Machine {
    pub(super) cores: usize,
    pub(super) kernel: String,
    /// Load average of the last minute when it began: what else was running.
    pub(super) load: f64,
    pub(super) version: &'static str,
}

/// Everything of one run.
#[derive(Clone, Debug, Serialize)]
pub(super) struct Report {
    pub(super) machine: Machine,
    lines: Vec<Line>,
    fan_outs: Vec<FanOut>,
    /// What was measured of teams, and its stages as cells.
    pub(super) measured_teams: Vec<Measured>,
    /// What follows from them for larger ones.
    pub(super) costs: Option<Costs>,
    #[serde(skip)]
    pub(super) teams: Vec<[String; 13]>,
}

/// The bare parts that fan-outs are compared with.
#[derive(Clone, Copy, Debug)]
pub(super) struct Parts {
    pub(super) sync_ms: f64,
    post_us: f64,
    signature_us: f64,
}

impl Parts {
    /// Two syncs, and a signature and a post for each of so many orders. Signing spreads over both cores; a post's time is
    /// that of both cores already.
    pub(super) fn floor_ms(self, orders: usize) -> f64 {
        let orders = f64::from(u32::try_from(orders).unwrap_or(u32::MAX));
        2.0 * self.sync_ms + orders * (self.post_us + self.signature_us / 2.0) / 1e3
    }
}

impl Report {
    /// Of this machine, empty.
    pub(super) const fn new(machine: Machine) -> Self {
        Self {
            machine,
            lines: Vec::new(),
            fan_outs: Vec::new(),
            measured_teams: Vec::new(),
            costs: None,
            teams: Vec::new(),
        }
    }

    pub(super) fn line(
        &mut self,
        figure: impl Into<String>,
        (value, unit): (f64, &'static str),
        target: Option<f64>,
    ) {
        self.lines.push(Line { figure: figure.into(), value, unit, target, bare: None });
    }

    /// Compares the last line with a bare part.
    pub(super) fn beside(&mut self, part: impl Into<String>, bare: f64) {
        if let Some(line) = self.lines.last_mut() {
            line.bare = Some(Bare { part: part.into(), value: bare, ratio: line.value / bare });
        }
    }

    /// The bare parts, and an order's cost beside them.
    pub(super) fn parts(
        &mut self,
        cost: &OrderCost,
        sync: std::time::Duration,
        post: std::time::Duration,
    ) -> Parts {
        let (signature, hmac) = (sample::micros(cost.signature), sample::micros(cost.hmac));
        self.line("bare: libsecp256k1 recoverable signature (CPU)", (signature, "µs"), None);
        self.line(format!("bare: HMAC-SHA256 of {} bytes (CPU)", cost.body), (hmac, "µs"), None);
        let whole = (sample::micros(cost.whole), "µs");
        self.line("an order: build, hash, sign, serialise, authenticate (CPU)", whole, Some(ORDER_TARGET_US));
        self.beside("signature + HMAC", signature + hmac);
        let sync_ms = sample::millis(sync);
        self.line("bare: fdatasync of 8 kB appended", (sync_ms, "ms"), None);
        let post_us = sample::micros(post);
        self.line(
            format!("bare: POST of 760 bytes on loopback, refused, {IN_FLIGHT} at a time"),
            (post_us, "µs"),
            None,
        );
        Parts { sync_ms, post_us, signature_us: signature }
    }

    /// A signature through the socket of a signer.
    pub(super) fn signer(&mut self, cost: &SignerCost) {
        let there = (sample::micros(cost.there), "µs");
        self.line("a signature by a signer of its own, 64 at once over its socket", there, None);
        self.beside("in this process", sample::micros(cost.here));
    }

    /// One number of followers.
    pub(super) fn fan_out(&mut self, measured: FanOut, parts: Parts) {
        let syncs_ms = 2.0 * parts.sync_ms;
        let target = match measured.followers {
            1 => Some(syncs_ms + ONE_BEYOND_SYNCS_MS),
            1_000 => Some(250.0),
            10_000 => Some(2_000.0),
            _ => None,
        };
        let noun = if measured.followers == 1 { "follower" } else { "followers" };
        let figure = format!("{} {noun}: event received to last order posted", measured.followers);
        self.line(figure, (measured.total_ms, "ms"), target);
        self.beside("2 syncs + signatures + posts", parts.floor_ms(measured.followers));
        self.fan_outs.push(measured);
    }

    /// How the cost of an order grows with their number.
    pub(super) fn growth(&mut self) {
        let mut many = self.fan_outs.iter().filter(|fan_out| fan_out.followers >= 100);
        let (Some(few), Some(most)) = (many.next(), many.next_back()) else { return };
        let figure = format!("cost per order with {} followers", most.followers);
        let part = format!("with {} followers", few.followers);
        let (value, bare) = (most.per_order_us, few.per_order_us);
        self.line(figure, (value, "µs"), Some(bare));
        self.beside(part, bare);
    }

    /// Orders told of by the user channel.
    pub(super) fn told(&mut self, orders: usize, per_order: std::time::Duration, parts: Parts) {
        let frames = channels::FRAMES.len();
        let figure = format!("an order told in {frames} frames, decoded and booked ({orders} at once)");
        self.line(figure, (sample::micros(per_order), "µs"), Some(TOLD_TARGET_US));
        self.beside("a sync for each order", parts.sync_ms * 1e3);
    }

    /// Channels after the venue's return.
    pub(super) fn back(&mut self, (usual, longest): (std::time::Duration, std::time::Duration)) {
        let millis = |time| (sample::millis(time), "ms");
        self.line(
            "venue's return to channels open and a book read anew",
            millis(usual),
            Some(BACK_TARGET_MS),
        );
        self.line("the longest of five", millis(longest), Some(BACK_TARGET_MS));
    }

    /// What the venue told nobody while it was away.
    pub(super) fn missed(&mut self, (usual, longest): (std::time::Duration, std::time::Duration)) {
        let millis = |time| (sample::millis(time), "ms");
        let figure = "venue's return to an order booked that was matched meanwhile";
        self.line(figure, millis(usual), Some(BACK_TARGET_MS));
        self.line("the longest of five", millis(longest), Some(BACK_TARGET_MS));
    }

    /// What the live feed told nobody while it was away.
    pub(super) fn gap(&mut self, (usual, longest): (std::time::Duration, std::time::Duration)) {
        let millis = |time| (sample::millis(time), "ms");
        let figure =
            "live feed's return to a trade decided that was made meanwhile (its row is a second late)";
        self.line(figure, millis(usual), Some(BACK_TARGET_MS));
        self.line("the longest of five", millis(longest), Some(BACK_TARGET_MS));
    }

    /// The next block after a provider of the chain failed.
    pub(super) fn failover(
        &mut self,
        failure: Failure,
        (usual, longest): (std::time::Duration, std::time::Duration),
    ) {
        let what = match failure {
            Failure::Hangs => "hangs",
            Failure::Refuses => "refuses",
        };
        let millis = |time| (sample::millis(time), "ms");
        let figure = format!("first RPC provider {what}: next block mined to read through the second");
        self.line(figure, millis(usual), Some(FAILOVER_TARGET_MS));
        self.line("the longest of five", millis(longest), Some(FAILOVER_TARGET_MS));
    }

    /// An event of the live trade feed that concerns nobody who is followed.
    pub(super) fn irrelevant(&mut self, cost: &EventCost) {
        let nanos = |duration: std::time::Duration| duration.as_secs_f64() * 1e9;
        let bytes = cost.bytes;
        self.line(format!("bare: copying an event of {bytes} bytes (CPU)"), (nanos(cost.copied), "ns"), None);
        let figure = "an event of the live feed that concerns nobody (CPU)";
        self.line(figure, (nanos(cost.rejected), "ns"), Some(IRRELEVANT_TARGET_NS));
        self.beside("parsing it as JSON", nanos(cost.parsed));
    }

    /// Orders at the venue's pace.
    pub(super) fn pace(&mut self, measured: &Paced) {
        let seconds = measured.ideal.as_secs_f64();
        let all = measured.size.entries + measured.size.exits;
        let by = match measured.size.processes {
            1 => String::new(),
            processes => format!(" by {processes} processes"),
        };
        let figure = format!("{all} orders of one address{by}, {} in 10 s allowed", measured.size.limit);
        self.line(figure, (measured.took.as_secs_f64(), "s"), Some(seconds * 1.05));
        self.beside("the pace itself", seconds);
        let throttled = f64::from(u32::try_from(measured.throttled).unwrap_or(u32::MAX));
        self.line("of them told to slow down", (throttled, "orders"), Some(0.0));
        let exits = sample::millis(measured.exits_took);
        self.line(
            format!("{} exits that came among them: last reply", measured.size.exits),
            (exits, "ms"),
            None,
        );
        let after = f64::from(u32::try_from(measured.buys_after_exits).unwrap_or(u32::MAX));
        self.line("buys that came before those exits and were answered after them", (after, "orders"), None);
    }

    /// An installation with a long past.
    pub(super) fn past(&mut self, orders: usize, measured: &Answers) {
        let start = format!("process start to watching 100 leaders on paper, {orders} past orders");
        self.line(start, (sample::millis(measured.watching), "ms"), Some(START_TARGET_MS));
        for (command, took) in &measured.commands {
            self.line(
                format!("{command}, {orders} past orders"),
                (sample::millis(*took), "ms"),
                Some(ANSWER_TARGET_MS),
            );
        }
    }

    /// An idle process.
    pub(super) fn idle(&mut self, followers: usize, idle: Idle) {
        let megabytes = f64::from(u32::try_from(idle.resident_kb).unwrap_or(u32::MAX)) / 1_024.0;
        let target = if followers == 0 { IDLE_TARGET_MB } else { LARGE_IDLE_TARGET_MB };
        self.line(format!("idle memory, {followers} relationships"), (megabytes, "MB"), Some(target));
        self.line(format!("idle CPU, {followers} relationships"), (idle.cpu_percent, "% of a core"), None);
    }

    /// For people.
    pub(super) fn text(&self) -> String {
        let Machine { cores, kernel, load, version } = &self.machine;
        let mut text = format!(
            "slipstream {version} on 2 of {cores} cores, Linux {kernel}, load before {load:.1}. \
             Medians; smaller is better; targets are aims, not verdicts.\n\n"
        );
        let rows: Vec<[String; 5]> = self.lines.iter().map(Line::cells).collect();
        text.push_str(&table(["figure", "measured", "target", "bare part", "ratio"], &rows));
        if !self.fan_outs.is_empty() {
            text.push_str(
                "\nStages, median over orders, then over rounds, in ms. Noticed: block mined to block read. \
                 Decided: to the decision. Sent: commit 1, queue, signing, commit 2.\n\n",
            );
            let rows: Vec<[String; 9]> = self.fan_outs.iter().map(stage_cells).collect();
            let titles = [
                "followers",
                "noticed",
                "decided",
                "sent",
                "replied",
                "total",
                "µs/order",
                "CPU µs/order",
                "commits",
            ];
            text.push_str(&table(titles, &rows));
        }
        if !self.teams.is_empty() {
            text.push_str(
                "\nStages of a team, as above, in ms; from \"watcher\" on, CPU time of an order until it is settled, in µs.\n\n",
            );
            text.push_str(&table(STAGES, &self.teams));
        }
        text
    }
}

fn stage_cells(measured: &FanOut) -> [String; 9] {
    [
        measured.followers.to_string(),
        number(measured.noticed_ms),
        number(measured.decided_ms),
        number(measured.sent_ms),
        number(measured.replied_ms),
        number(measured.total_ms),
        number(measured.per_order_us),
        number(measured.cpu_per_order_us),
        measured.commits.to_string(),
    ]
}

impl Line {
    fn cells(&self) -> [String; 5] {
        let unit = self.unit;
        let bare = self.bare.as_ref();
        [
            self.figure.clone(),
            format!("{} {unit}", number(self.value)),
            self.target.map_or_else(String::new, |target| format!("{} {unit}", number(target))),
            bare.map_or_else(String::new, |bare| format!("{} {unit} ({})", number(bare.value), bare.part)),
            bare.map_or_else(String::new, |bare| format!("{:.2}", bare.ratio)),
        ]
    }
}

/// Three figures that matter, or all before the point.
pub(super) fn number(value: f64) -> String {
    match value {
        value if value >= 100.0 => format!("{value:.0}"),
        value if value >= 10.0 => format!("{value:.1}"),
        value => format!("{value:.2}"),
    }
}

/// Columns as wide as their widest cell; the first reads from the left, the others from the right.
pub(super) fn table<const N: usize>(titles: [&str; N], rows: &[[String; N]]) -> String {
    let mut widths = titles.map(|title| title.chars().count());
    for row in rows {
        for (width, cell) in widths.iter_mut().zip(row) {
            *width = (*width).max(cell.chars().count());
        }
    }
    let mut text = String::new();
    let titles = titles.map(str::to_owned);
    for row in std::iter::once(&titles).chain(rows) {
        for (column, (cell, width)) in row.iter().zip(widths).enumerate() {
            // Writing to a string does not fail.
            let _ =
                if column == 0 { write!(text, "{cell:<width$}") } else { write!(text, "  {cell:>width$}") };
        }
        text.truncate(text.trim_end().len());
        text.push('\n');
    }
    text
}

#[cfg(test)]
mod tests {
    use std::time::Duration;

    use super::*;

    fn fan_out(followers: usize, total_ms: f64) -> FanOut {
        let per_order_us = total_ms * 1e3 / followers as f64;
        FanOut {
            followers,
            rounds: 5,
            noticed_ms: 1.0,
            total_ms,
            per_order_us,
            cpu_per_order_us: 90.0,
            commits: 7,
            decided_ms: 2.0,
            sent_ms: 3.0,
            replied_ms: 4.0,
        }
    }

    #[test]
    fn figures_stand_beside_targets_and_bare_parts() {
        let machine = Machine { cores: 4, kernel: "6.1".to_owned(), load: 0.5, version: "0.1.0" };
        let mut report = Report::new(machine);
        let micros = Duration::from_micros;
        let cost = OrderCost { signature: micros(24), hmac: micros(1), whole: micros(30), body: 750 };
        let parts = report.parts(&cost, micros(4_000), micros(20));
        report.signer(&SignerCost { here: micros(40), there: micros(60) });
        report.fan_out(fan_out(1, 12.0), parts);
        report.fan_out(fan_out(100, 20.0), parts);
        report.fan_out(fan_out(10_000, 3_000.0), parts);
        report.growth();
        report.told(1_000, micros(400), parts);
        report.failover(Failure::Hangs, (micros(300_000), micros(500_000)));
        report.back((micros(700_000), micros(1_100_000)));
        report.missed((micros(800_000), micros(1_200_000)));
        report.idle(0, Idle { resident_kb: 30 * 1_024, cpu_percent: 0.5 });
        let text = report.text();
        for words in [
            "30.0 µs  30.0 µs",
            "25.0 µs (signature + HMAC)   1.20",
            "40.0 µs (in this process)   1.50",
            // Two syncs and five milliseconds.
            "12.0 ms  13.0 ms",
            // 8 ms of syncs and 10,000 times 20 + 24 / 2 µs.
            "328 ms (2 syncs + signatures + posts)   9.15",
            "cost per order with 10000 followers",
            "200 µs (with 100 followers)   1.50",
            // Beside a sync of 4 ms.
            "4000 µs (a sync for each order)   0.10",
            "500 ms  3000 ms",
            "1100 ms  2000 ms",
            "1200 ms  2000 ms",
            "30.0 MB  60.0 MB",
        ] {
            assert!(text.contains(words), "`{words}` is not in\n{text}");
        }
        assert!(serde_json::to_string(&report).unwrap().contains("\"followers\":10000"));
    }
}
