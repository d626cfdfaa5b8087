//! After the last faults: how long it takes until the next trade of a leader is copied, and where that time goes.

use std::time::Duration;

use anyhow::Context;
use domain::TokenId;
use serde::Serialize;

use super::{faults::Fault, running::Run, team::Role};

/// A first order that has not come by then does not come.
pub(super) const RECOVERS_WITHIN: Duration = Duration::from_secs(60);
/// Time between two looks.
const LOOK_EVERY: Duration = Duration::from_millis(5);

/// How long the next trade took to be copied. Milliseconds since the fault; none for what has not happened.
#[derive(Clone, Debug, Default, Serialize)]
pub struct Recovery {
    /// After what.
    pub after: String,
    /// Until the leader had traded, which it did at once.
    pub traded: u64,
    /// Until a watcher had read the trade in its block.
    pub seen: Option<i64>,
    /// Until the first follower's copy was decided.
    pub decided: Option<i64>,
    /// Until its order was signed.
    pub signed: Option<i64>,
    /// Until the first new order was at the venue.
    pub millis: Option<u64>,
}

/// When the first copy of a token came how far, and who signed it. Microseconds of the clocks of who did it: of several orders the
/// first one's, because each worker has a clock of its own.
const STAGES: &str = "SELECT min(p.seen_at), min(d.decided_at), (SELECT f.signed_at FROM signed_orders f WHERE f.id = min(s.id)), \
    (SELECT n.name FROM send_permits m JOIN instances n ON n.id = m.instance_id WHERE m.attempt_id = min(s.id)) \
    FROM trade_groups g JOIN trade_parts p ON p.group_id = g.id JOIN decisions d ON d.group_id = g.id \
    JOIN intents i ON i.group_id = g.id JOIN signed_orders s ON s.intent_id = i.id WHERE g.action = 0 AND g.token = ";

impl Run<'_> {
    /// After each of these the next trade of a leader is copied, how long after it.
    pub(super) async fn recover(&mut self) -> anyhow::Result<Vec<Recovery>> {
        let mut recoveries = Vec::new();
        let watcher = self.team.active_watcher(self.stack)?;
        for (fault, of) in [
            (Fault::FlushRedis, ""),
            (Fault::Kill(Role::Worker, 0), " of a worker"),
            (Fault::Kill(Role::Watcher, watcher), " of the active watcher"),
        ] {
            let after = format!("{}{of}", fault.name());
            recoveries.push(Recovery { after, ..self.recover_from(fault).await? });
            let Self { stack, team, injector, clock, .. } = self;
            injector.run(stack, team, *clock).await?;
        }
        Ok(recoveries)
    }

    async fn recover_from(&mut self, fault: Fault) -> anyhow::Result<Recovery> {
        let Self { stack, team, tape, injector, witness, clock, .. } = self;
        let (at, wall) = (clock.uptime(), clock.now().0);
        injector.inject(stack, team, fault, *clock).await?;
        let token = tape.buy(witness, *clock).await?;
        let traded = millis(clock.uptime().saturating_sub(at));
        let mut first = None;
        while first.is_none() && clock.uptime() < at.saturating_add(RECOVERS_WITHIN) {
            injector.step(stack, team, *clock).await?;
            clock.sleep(LOOK_EVERY).await;
            first = witness.first_of(token);
        }
        let millis = first.map(|first| millis(first.saturating_sub(at)));
        let stages = self.stages(token)?.map(|micros| micros.map(|micros| (micros - wall) / 1_000));
        let [seen, decided, signed] = stages;
        Ok(Recovery { after: String::new(), traded, seen, decided, signed, millis })
    }

    /// When the first copy was seen, decided and signed, by this process's clock.
    fn stages(&self, token: TokenId) -> anyhow::Result<[Option<i64>; 3]> {
        let rows = self.stack.rows(&format!("{STAGES}'\\x{}'", hex::encode(token.0)))?;
        let row = rows.first().context("no row")?;
        let watcher = self.team.active_watcher(self.stack)?;
        let watcher = self.team.ahead_of(Role::Watcher, watcher);
        let worker = row.get(3).and_then(|name| self.team.ahead_of_instance(name));
        let read = |field: usize, ahead: Option<i64>| {
            let at: i64 = row.get(field)?.parse().ok()?;
            Some(at - ahead? * 1_000)
        };
        Ok([read(0, watcher), read(1, watcher), read(2, worker)])
    }
}

fn millis(time: Duration) -> u64 {
    u64::try_from(time.as_millis()).unwrap_or(u64::MAX)
}
