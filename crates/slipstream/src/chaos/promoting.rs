//! A standby that lags takes the place of the database in the middle of a fan-out: what was committed last is gone, and orders
//! of it are at the venue. Everything has to be held then until wallets were compared; the operator lifts that hold, and what
//! leaders do next is copied again.

use std::time::Duration;

use anyhow::{Context, ensure};
use serde::Serialize;
use tokio::task::block_in_place;

use super::{
    running::{Run, progress},
    team::PATIENCE,
};

/// Time between two looks.
const LOOK_EVERY: Duration = Duration::from_millis(20);
/// Trades that leaders make before the standby falls behind.
const BEFORE: usize = 3;
/// Wallets are compared when all orders are settled, and one that nobody has seen is looked up for two minutes.
const COMPARED_WITHIN: Duration = Duration::from_secs(240);
/// Source: `store::rewound::hold`, `run::reconciling`.
const NOTICED: &str = "SELECT count(*) FROM holds WHERE reason LIKE 'the database went back in time%'";
const COMPARED: &str = "SELECT count(*) FROM holds WHERE lifted_at IS NULL AND reason LIKE '%compared with the wallets%' \
    AND NOT EXISTS (SELECT 1 FROM holds WHERE lifted_at IS NULL AND reason LIKE 'the database went back in time%')";

/// What the operator lifts then. Those of processes end by themselves.
const HELD: &str = "SELECT id FROM holds WHERE lifted_at IS NULL AND instance_id IS NULL ORDER BY id";

/// How the loss was met. Milliseconds since the standby was promoted.
#[derive(Clone, Debug, Serialize)]
pub struct Promotion {
    /// Until everything was held.
    pub noticed: u64,
    /// Until wallets were compared with the books, and what was lost was adopted.
    pub compared: u64,
    /// From the operator's lifting of the hold until the first new order was at the venue.
    pub resumed: u64,
}

impl Run<'_> {
    /// Lets a standby lag, promotes it, and waits until all is well again.
    pub(super) async fn promote(&mut self) -> anyhow::Result<Promotion> {
        progress("a standby lags, and takes the place of the database");
        let (stack, clock) = (self.stack, self.clock);
        let standby = block_in_place(|| stack.postgres().standby()).context("a standby")?;
        for _ in 0..BEFORE {
            self.tape.buy(&self.witness, clock).await?;
        }
        self.until("a standby follows", PATIENCE, |_| {
            Ok(block_in_place(|| stack.postgres().is_followed())?.then_some(()))
        })
        .await?;
        block_in_place(|| standby.part())?;
        // Orders of this trade are at the venue, and nowhere else once the database is lost.
        let lost = self.tape.buy(&self.witness, clock).await?;
        self.until("a copy", PATIENCE, |run| Ok(run.witness.first_of(lost))).await?;
        block_in_place(|| stack.promote(standby))?;
        let promoted = clock.uptime();
        let since = || u64::try_from(clock.uptime().saturating_sub(promoted).as_millis()).unwrap_or(u64::MAX);
        // Leaders do not wait.
        self.tape.buy(&self.witness, clock).await?;
        let noticed = |_: &Self| Ok((stack.number(NOTICED)? > 0).then_some(()));
        self.until("everything is held after the database went back in time", PATIENCE, noticed).await?;
        let noticed = since();
        let compared = |_: &Self| Ok((stack.number(COMPARED)? > 0).then_some(()));
        self.until("wallets are compared with the books", COMPARED_WITHIN, compared).await?;
        let compared = since();
        for hold in stack.rows(HELD)?.into_iter().flatten() {
            self.lift(&hold)?;
        }
        let lifted = clock.uptime();
        let token = self.tape.buy(&self.witness, clock).await?;
        let first =
            self.until("a copy after the hold", PATIENCE, |run| Ok(run.witness.first_of(token))).await?;
        let resumed = u64::try_from(first.saturating_sub(lifted).as_millis()).unwrap_or(u64::MAX);
        Ok(Promotion { noticed, compared, resumed })
    }

    /// As an operator does who has looked.
    fn lift(&self, hold: &str) -> anyhow::Result<()> {
        let mut command = self.stack.command("lift")?;
        command.args(["lift", hold]).env("SLIPSTREAM_CONFIG", self.stack.configuration());
        command.arg("--data-dir").arg(self.stack.home("backend-1"));
        let status = block_in_place(|| command.status()).context("slipstream lift")?;
        ensure!(status.success(), "the hold {hold} cannot be lifted: {}", self.stack.log("lift"));
        Ok(())
    }

    /// Looks until there is something; processes that have ended are started again meanwhile.
    async fn until<T>(
        &mut self,
        what: &str,
        within: Duration,
        look: impl Fn(&Self) -> anyhow::Result<Option<T>>,
    ) -> anyhow::Result<T> {
        let until = self.clock.uptime().saturating_add(within);
        loop {
            self.team.look(self.stack, self.clock.uptime())?;
            if let Some(found) = look(self)? {
                return Ok(found);
            }
            ensure!(self.clock.uptime() < until, "not within {within:?}: {what}");
            self.clock.sleep(LOOK_EVERY).await;
        }
    }
}
