//! The `bench scale` command: the costs, what follows from them, and what an hour of it looks like.

use std::{collections::BTreeMap, fmt::Write as _, path::PathBuf};

use clap::Args;
use serde::Serialize;

use super::{
    costs::{Costs, Known},
    model::SHAPES,
    simulation::{Demand, HOUR, Outcome, alone, run as simulate, unlimited},
};
use crate::{
    bench::report::{number, table},
    output::print,
};

/// Numbers of followers that are looked at.
const FOLLOWERS: [u32; 3] = [10_000, 100_000, 1_000_000];
/// A leader for so many followers.
const FOLLOWERS_OF_A_LEADER: u32 = 100;
/// An entry that is not sent by then is too old, as policies have it unless told otherwise.
const TOO_OLD_MS: f64 = 60_000.0;
/// What is looked for is found to within so many followers.
const STEP: u32 = 1_000;

/// Arguments of `bench scale`.
#[derive(Clone, Debug, Args)]
pub struct ScaleArgs {
    /// A report of `slipstream bench --on-servers --json`, whose costs are used instead of those of the project's own
    /// measurement.
    #[arg(long, value_name = "FILE")]
    costs: Option<PathBuf>,
    /// Trades of each leader in a day.
    #[arg(long, default_value_t = 20, value_parser = clap::value_parser!(u32).range(1..=10_000))]
    trades_a_day: u32,
    /// Seed of when they trade.
    #[arg(long, default_value_t = 1)]
    seed: u64,
    /// Print JSON.
    #[arg(long)]
    json: bool,
}

/// One hour.
#[derive(Debug, Serialize)]
struct Hour {
    followers: u32,
    shape: &'static str,
    orders_a_second: f64,
    largest_trade: u32,
    /// From such a trade, with nothing else to do, to the last of its orders posted.
    largest_ms: f64,
    p50_ms: f64,
    p99_ms: f64,
    waits_for: &'static str,
    busy_percent: f64,
    /// How much of the hour each station was busy.
    stations: BTreeMap<&'static str, f64>,
    gigabytes_a_day: f64,
    memory_mb: f64,
}

/// What one machine carries.
#[derive(Debug, Serialize)]
struct Carries {
    followers: u32,
    then: &'static str,
}

/// All of it.
#[derive(Debug, Serialize)]
struct Answer {
    costs: Costs,
    predicted_ms: f64,
    one_machine: Carries,
    hours: Vec<Hour>,
}

/// Computes and prints.
///
/// # Errors
/// When the costs cannot be read.
pub fn run(arguments: &ScaleArgs) -> anyhow::Result<()> {
    let known = Known::read(arguments.costs.as_deref())?;
    let answer = answer(&known.costs, arguments.trades_a_day, arguments.seed);
    print(&if arguments.json { serde_json::to_string_pretty(&answer)? } else { answer.text(&known.how) })
}

/// Everything that follows from the costs.
fn answer(costs: &Costs, trades_a_day: u32, seed: u64) -> Answer {
    let demand = |followers| Demand {
        followers,
        trades_a_day: f64::from(trades_a_day),
        followers_of_a_leader: FOLLOWERS_OF_A_LEADER,
    };
    let mut hours = Vec::new();
    for followers in FOLLOWERS {
        for shape in &SHAPES {
            let outcome = simulate(&demand(followers), shape, costs, seed);
            let orders = f64::from(u32::try_from(outcome.orders).unwrap_or(u32::MAX));
            hours.push(Hour {
                followers,
                shape: shape.name,
                orders_a_second: orders / HOUR,
                largest_trade: outcome.largest,
                largest_ms: alone(shape, costs, outcome.largest),
                p50_ms: outcome.p50_ms,
                p99_ms: outcome.p99_ms,
                waits_for: outcome.narrowest.name(),
                busy_percent: outcome.busy * 100.0,
                stations: outcome.stations,
                gigabytes_a_day: orders * 24.0 * costs.order_bytes / 1e9,
                memory_mb: costs.base_mb + f64::from(followers) * costs.relationship_bytes / 1e6,
            });
        }
    }
    Answer {
        costs: *costs,
        predicted_ms: unlimited(&SHAPES[0], costs, whole(costs.measured_orders)),
        one_machine: carries(&demand, costs, seed),
        hours,
    }
}

/// The most followers for whom one machine sends 99 of 100 orders before they are too old, and could go on like that.
fn carries(demand: &impl Fn(u32) -> Demand, costs: &Costs, seed: u64) -> Carries {
    let of = |followers| simulate(&demand(followers), &SHAPES[0], costs, seed);
    let (mut enough, mut too_many) = (STEP, FOLLOWERS[FOLLOWERS.len() - 1]);
    while too_many - enough > STEP {
        let middle = enough + (too_many - enough) / 2;
        if is_carried(&of(middle)) { enough = middle } else { too_many = middle }
    }
    Carries { followers: enough, then: too_little(&of(too_many)) }
}

fn is_carried(outcome: &Outcome) -> bool {
    outcome.p99_ms <= TOO_OLD_MS && outcome.stations.values().all(|busy| *busy < 1.0)
}

/// What there is too little of for ever, or else for a while.
fn too_little(outcome: &Outcome) -> &'static str {
    let for_ever = outcome.stations.iter().find(|(_, busy)| **busy >= 1.0);
    for_ever.map_or(outcome.narrowest.name(), |(name, _)| *name)
}

impl Answer {
    fn text(&self, how: &str) -> String {
        let Self { costs, predicted_ms, one_machine, hours } = self;
        let mut text = format!("Costs ({how}):\n\n");
        let rows = [
            ("an order, watcher", costs.decide_us, "µs of CPU"),
            ("an order, worker", costs.work_us, "µs of CPU"),
            ("an order, PostgreSQL", costs.database_us, "µs of CPU"),
            ("an order, Redis", costs.queue_us, "µs of CPU"),
            ("a commit by itself", costs.commit_ms, "ms"),
            ("an order, tables and indexes", costs.order_bytes, "bytes"),
            ("all roles without followers, memory", costs.base_mb, "MB"),
            ("an idle relationship, memory", costs.relationship_bytes, "bytes"),
            ("all roles and servers without followers", costs.base_percent, "% of a core"),
            ("an idle leader", costs.leader_percent, "% of a core"),
        ];
        let rows = rows.map(|(what, value, unit)| [what.to_owned(), number(value), unit.to_owned()]);
        text.push_str(&table(["cost", "measured", "unit"], &rows));
        // Writing to a string does not fail.
        let _ = write!(
            text,
            "\nThe model says {} ms for {} orders of one trade on one machine; measured were {} ms.\n\n",
            number(*predicted_ms),
            number(costs.measured_orders),
            number(costs.measured_ms)
        );
        let rows: Vec<[String; 10]> = hours.iter().map(cells).collect();
        let titles = [
            "followers",
            "shape",
            "orders/s",
            "largest",
            "all of it, ms",
            "p50 ms",
            "p99 ms",
            "waits for",
            "GB a day",
            "MB",
        ];
        text.push_str(&table(titles, &rows));
        let _ = write!(
            text,
            "\nOne machine of 2 cores with one address sends 99 of 100 orders within {} s for {} followers; with more, {} is the \
         first that orders wait for too long.\n",
            TOO_OLD_MS / 1e3,
            one_machine.followers,
            one_machine.then
        );
        text
    }
}

fn cells(hour: &Hour) -> [String; 10] {
    [
        hour.followers.to_string(),
        hour.shape.to_owned(),
        number(hour.orders_a_second),
        hour.largest_trade.to_string(),
        number(hour.largest_ms),
        number(hour.p50_ms),
        number(hour.p99_ms),
        format!("{} ({}%)", hour.waits_for, number(hour.busy_percent)),
        number(hour.gigabytes_a_day),
        number(hour.memory_mb),
    ]
}

#[expect(clippy::cast_possible_truncation, clippy::cast_sign_loss, reason = "a count of orders")]
fn whole(value: f64) -> u32 {
    value.max(0.0) as u32
}

#[cfg(test)]
mod tests {
    use super::*;

    /// Where it is told.
    const DOCUMENT: &str = concat!(env!("CARGO_MANIFEST_DIR"), "/../../docs/scaling.md");
    /// Around what this program prints there.
    const BLOCK: (&str, &str) = ("```text\n", "```\n");
    /// What writes it again when it is set.
    const WRITE: &str = "SLIPSTREAM_WRITE_SCALING";

    #[test]
    fn the_document_shows_what_is_computed() {
        let known = Known::read(None).unwrap();
        let text = answer(&known.costs, 20, 1).text(&known.how);
        let document = std::fs::read_to_string(DOCUMENT).unwrap();
        let (before, rest) = document.split_once(BLOCK.0).unwrap();
        let (shown, after) = rest.split_once(BLOCK.1).unwrap();
        if std::env::var_os(WRITE).is_some() {
            std::fs::write(DOCUMENT, [before, BLOCK.0, text.as_str(), BLOCK.1, after].concat()).unwrap();
            return;
        }
        assert!(
            shown == text,
            "docs/scaling.md shows something else: run this test with {WRITE}=1 and look at it\n{text}"
        );
    }
}
