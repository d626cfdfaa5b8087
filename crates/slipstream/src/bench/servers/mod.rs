//! The same measurements of a team: PostgreSQL with every commit on the disk, Redis, and processes of one role each, all on
//! the same two cores.

mod bare;
mod fan_out;
mod idle;
mod jobs;
mod part;
mod rows;
mod stack;
mod usage;

use std::{path::Path, sync::Arc, time::Duration};

use domain::Clock;

pub(super) use fan_out::Measured;
pub(super) use idle::Waiting;
pub use part::Part;
pub(super) use part::be;
pub(super) use rows::STAGES;

use super::{
    command::progress,
    report::{Parts, Report},
    sample,
    scale::costs::{Costs, Idle},
};
use idle::LEADERS;
use part::VenueKind;
use stack::Servers;

/// Relationships of the durable queue, and of the team that waits.
const MANY: usize = 10_000;

/// What is to be measured.
pub(super) struct Wanted<'a> {
    pub(super) followers: &'a [usize],
    /// Trades with the most followers; of fewer there are more.
    pub(super) rounds: usize,
    /// How long a team that waits is left alone.
    pub(super) left_alone: Duration,
}

/// Measures everything of a team.
pub(super) async fn measure(
    report: &mut Report,
    directory: &Path,
    wanted: &Wanted<'_>,
    parts: Parts,
    clock: &Arc<dyn Clock>,
) -> anyhow::Result<()> {
    let Wanted { followers, rounds, left_alone } = *wanted;
    progress("PostgreSQL and Redis by themselves");
    let servers = Servers::start()?;
    let bare = bare::measure(&servers)?;
    report.bare_servers(&bare);
    progress("trades copied by a team, at a venue that is a stub");
    let measured = fan_out::measure(&servers, VenueKind::Stub, (followers, rounds), clock).await?;
    report.team(&measured, (parts, &bare), VenueKind::Stub);
    let stub = measured;
    let several: Vec<usize> = followers.iter().copied().filter(|count| *count > 1).collect();
    if !several.is_empty() {
        progress("trades copied by a team, at a venue that verifies");
        let measured = fan_out::measure(&servers, VenueKind::Verifying, (&several, rounds), clock).await?;
        report.team(&measured, (parts, &bare), VenueKind::Verifying);
    }
    let many = followers.iter().copied().max().unwrap_or(MANY).min(MANY);
    progress("the durable queue by itself");
    report.jobs(&jobs::measure(&servers, many, clock).await?, (parts, &bare));
    progress("a team that waits");
    let alone = idle::measure(&servers, &directory.join("alone"), (1, 1), left_alone, clock).await?;
    let full = idle::measure(&servers, &directory.join("full"), (LEADERS, many), left_alone, clock).await?;
    report.waiting(many, &full);
    let count = |number: usize| f64::from(u32::try_from(number).unwrap_or(u32::MAX));
    let idle = Idle { bare: &alone, full: &full, followers: count(many), leaders: count(LEADERS) };
    report.costs = Costs::of(&stub, sample::millis(bare.commit), &idle);
    Ok(())
}
