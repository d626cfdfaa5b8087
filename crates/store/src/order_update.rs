//! Updates of orders: new states, bookings, returned permits, and what becomes of the work.
//!
//! A batch is loaded once, applied in memory one update after the other, and written in a few statements.

use std::collections::{BTreeMap, HashMap, HashSet};

use domain::{
    OrderId, Timestamp, TokenId,
    ids::{AccountId, AttemptId, IntentId, OwnerId, RelationshipId},
    lifecycle::OrderState,
    position::Position,
    trade::Quantity,
};
use engine::ports::{
    detection::{ExitNote, Lane},
    execution::{OrderUpdate, StageTimes, WorkChange},
    store::{Event, EventKind, InstanceId, StoreResult},
    venue::VenueTrade,
};

use crate::{
    bulk::Insert,
    codes::Code as _,
    column::{Coded, Column, Fields},
    config,
    dialect::{Connection, id_list},
    events,
    ledger::{self, Holding, Line},
    revisits,
    sql::{self, values},
    work::{self, SIGNED, WAITING},
};

/// An order as the updates find it and leave it.
struct Order {
    attempt: AttemptId,
    number: u32,
    intent: IntentId,
    order: OrderId,
    owner: OwnerId,
    account: AccountId,
    holding: Holding,
    state: OrderState,
    version: i64,
    unbooked: bool,
    reply: Quantity,
    reply_estimated: bool,
    unseen_for: std::time::Duration,
    looked_up_at: Option<Timestamp>,
    doubts: u32,
    times: StageTimes,
}

impl Column for Order {
    fn read(fields: &mut Fields<'_>) -> StoreResult<Self> {
        Ok(Self {
            attempt: fields.get()?,
            number: fields.number()?,
            intent: fields.get()?,
            order: fields.get()?,
            owner: fields.get()?,
            account: fields.get()?,
            holding: Holding { relationship: fields.get()?, token: fields.get()?, condition: fields.get()? },
            state: fields.code()?,
            version: fields.get()?,
            unbooked: false,
            reply: fields.get()?,
            reply_estimated: fields.get()?,
            unseen_for: fields.get()?,
            looked_up_at: fields.get()?,
            doubts: fields.number()?,
            times: fields.get()?,
        })
    }
}

/// What orders of one intent share.
struct Shared {
    owner: OwnerId,
    lane: Lane,
    /// Number of its newest attempt.
    newest: u32,
    reserved: bool,
    work: Option<Work>,
    /// A fence that no permit is above.
    fence: i64,
    work_changed: bool,
}

/// A work row.
struct Work {
    state: i64,
    due: Timestamp,
    attempts: u32,
    fence: i64,
    holder: Option<i64>,
    lease_until: Timestamp,
}

impl Column for Shared {
    fn read(fields: &mut Fields<'_>) -> StoreResult<Self> {
        let (owner, lane, newest) = (fields.get()?, fields.code()?, fields.number()?);
        let (reserved, has_work) = (fields.get()?, fields.get::<bool>()?);
        let work = Work {
            state: fields.get()?,
            due: fields.get()?,
            attempts: fields.number()?,
            fence: fields.get()?,
            holder: fields.get()?,
            lease_until: fields.get()?,
        };
        let fence = work.fence.max(fields.get()?);
        let work = has_work.then_some(work);
        Ok(Self { owner, lane, newest, reserved, work, fence, work_changed: false })
    }
}

impl Shared {
    /// Applies a change that the update of attempt `number` asks for.
    fn change_work(&mut self, number: u32, change: WorkChange) {
        if number != self.newest {
            return;
        }
        self.work_changed = true;
        let next_fence = self.fence.saturating_add(1);
        let made_again = || Work {
            state: SIGNED,
            due: Timestamp(0),
            attempts: number.saturating_add(1),
            fence: next_fence,
            holder: None,
            lease_until: Timestamp(0),
        };
        match change {
            WorkChange::Close => self.work = None,
            WorkChange::Due(due) => {
                let work = self.work.get_or_insert_with(made_again);
                (work.state, work.due) = (SIGNED, due);
                (work.holder, work.lease_until) = (None, Timestamp(0));
            }
            WorkChange::NextAttempt(due) => {
                let work = self.work.get_or_insert_with(made_again);
                (work.state, work.due) = (WAITING, due);
                (work.holder, work.lease_until) = (None, Timestamp(0));
            }
        }
        if let Some(work) = &self.work {
            self.fence = self.fence.max(work.fence);
        }
    }
}

/// Everything that a batch changes.
#[derive(Default)]
struct Batch {
    orders: HashMap<AttemptId, Order>,
    shared: HashMap<IntentId, Shared>,
    changed: HashSet<AttemptId>,
    lines: Vec<Line>,
    trades: BTreeMap<(AttemptId, String), (OwnerId, VenueTrade)>,
    trades_gone: Vec<(AttemptId, String)>,
    returned: HashMap<(InstanceId, Timestamp), Vec<i64>>,
    released: HashSet<IntentId>,
    revisits: Vec<ExitNote>,
    events: Vec<Event>,
    /// Positions of the orders whose updates depend on them, as the batch leaves them.
    positions: HashMap<(RelationshipId, TokenId), Position>,
    unexpected_exposure: bool,
}

/// Applies updates one after the other; which were applied.
pub(crate) async fn apply(connection: &mut Connection, updates: &[OrderUpdate]) -> StoreResult<Vec<bool>> {
    let mut batch = load(connection, updates).await?;
    let applied = updates.iter().map(|update| batch.take(update)).collect();
    batch.write(connection).await?;
    Ok(applied)
}

async fn load(connection: &mut Connection, updates: &[OrderUpdate]) -> StoreResult<Batch> {
    const ORDERS: &str = concat!(
        "SELECT o.id, o.attempt, o.intent_id, o.order_id, o.owner_id, i.account_id, i.relationship_id, ",
        "i.token, i.condition, s.state, s.version, s.reply_shares, s.reply_usd, s.reply_estimated, s.unseen_for, ",
        "s.looked_up_at, s.doubts, s.sent_at, s.replied_at, s.mined_at, s.confirmed_at ",
        "FROM signed_orders o JOIN order_status s ON s.attempt_id = o.id ",
        "JOIN intents i ON i.id = o.intent_id WHERE o.id",
        in_ids!("$1"),
        for_update!("s")
    );
    const SHARED: &str = concat!(
        "SELECT i.id, i.owner_id, i.lane, ",
        "(SELECT MAX(o.attempt) FROM signed_orders o WHERE o.intent_id = i.id), ",
        "CASE WHEN r.intent_id IS NULL THEN 0 ELSE 1 END, CASE WHEN w.intent_id IS NULL THEN 0 ELSE 1 END, ",
        "COALESCE(w.state, 0), COALESCE(w.due, 0), COALESCE(w.attempts, 0), COALESCE(w.fence, 0), w.holder, ",
        "COALESCE(w.lease_until, 0), CASE WHEN w.intent_id IS NULL THEN COALESCE((SELECT MAX(p.fence) ",
        "FROM send_permits p JOIN signed_orders o ON o.id = p.attempt_id WHERE o.intent_id = i.id), 0) ",
        "ELSE 0 END FROM intents i LEFT JOIN work w ON w.intent_id = i.id ",
        "LEFT JOIN reservations r ON r.intent_id = i.id WHERE i.id",
        in_ids!("$1")
    );
    let mut batch = Batch::default();
    let list = id_list(updates.iter().map(|update| update.attempt.0));
    for row in sql::rows(connection, ORDERS, values![list]).await? {
        let order: Order = Fields::of(&row).get()?;
        batch.orders.insert(order.attempt, order);
    }
    let intents: HashSet<i64> = batch.orders.values().map(|order| order.intent.0).collect();
    for row in sql::rows(connection, SHARED, values![id_list(intents)]).await? {
        let mut fields = Fields::of(&row);
        batch.shared.insert(fields.get()?, fields.get()?);
    }
    let sales = updates.iter().filter(|update| update.held.is_some());
    let holdings: Vec<Holding> =
        sales.filter_map(|update| batch.orders.get(&update.attempt)).map(|order| order.holding).collect();
    if !holdings.is_empty() {
        batch.positions = ledger::stored_positions(connection, holdings.iter().copied()).await?;
    }
    Ok(batch)
}

impl Batch {
    /// Applies one update if its version stands.
    fn take(&mut self, update: &OrderUpdate) -> bool {
        let Some(order) = self.orders.get_mut(&update.attempt) else { return false };
        let Some(shared) = self.shared.get_mut(&order.intent) else { return false };
        let key = (order.holding.relationship, order.holding.token);
        let position = self.positions.get(&key).copied().unwrap_or_default();
        if order.version != update.version || update.held.is_some_and(|held| held != position) {
            return false;
        }
        self.changed.insert(update.attempt);
        let event = |kind| Event { owner: Some(order.owner), at: update.at, kind };
        if order.state != update.state {
            self.events.push(event(EventKind::OrderChanged { order: order.order, state: update.state }));
        }
        for alarm in update.alarms.iter().copied() {
            self.events.push(event(EventKind::OrderAlarm { order: order.order, alarm }));
        }
        if let Some((cause, entry)) = update.booking {
            // An amount beyond 64 bits fails when the lines are written.
            self.positions.insert(key, position.after(entry).unwrap_or(position));
            let adds = entry.cost.is_positive() || entry.cash.0 < 0;
            self.unexpected_exposure |= adds && !shared.reserved;
            self.lines.push(Line {
                owner: order.owner,
                account: order.account,
                holding: Some(order.holding),
                order: Some((order.intent, order.attempt)),
                cause,
                entry,
                at: update.at,
            });
        }
        for id in &update.trades_gone {
            let key = (order.attempt, id.clone());
            self.trades.remove(&key);
            self.trades_gone.push(key);
        }
        for trade in &update.trades {
            self.trades.insert((order.attempt, trade.id.clone()), (order.owner, trade.clone()));
        }
        if let Some(holder) = &update.permit_returned {
            self.returned.entry((holder.clone(), update.at)).or_default().push(order.attempt.0);
        }
        if update.release_reserve && shared.reserved {
            shared.reserved = false;
            self.released.insert(order.intent);
        }
        self.revisits.extend(update.revisit.map(|due| ExitNote {
            owner: order.owner,
            relationship: order.holding.relationship,
            token: order.holding.token,
            due,
        }));
        shared.change_work(order.number, update.work);
        order.take(update);
        true
    }

    async fn write(self, connection: &mut Connection) -> StoreResult<()> {
        if self.unexpected_exposure {
            config::raise(connection).await?;
        }
        self.write_status(connection).await?;
        self.write_trades(connection).await?;
        self.write_returned(connection).await?;
        self.write_work(connection).await?;
        if !self.released.is_empty() {
            work::release(connection, self.released.iter().map(|intent| intent.0)).await?;
        }
        revisits::note(connection, &self.revisits).await?;
        ledger::book(connection, &self.lines).await?;
        events::write(connection, &self.events).await
    }

    async fn write_status(&self, connection: &mut Connection) -> StoreResult<()> {
        const UPDATE: Insert = Insert {
            into: "order_status (attempt_id, owner_id, state, version, unbooked, reply_shares, reply_usd, \
                reply_estimated, unseen_for, looked_up_at, doubts, sent_at, replied_at, mined_at, confirmed_at)",
            then: "ON CONFLICT (attempt_id) DO UPDATE SET state = excluded.state, \
                version = excluded.version, unbooked = excluded.unbooked, \
                reply_shares = excluded.reply_shares, reply_usd = excluded.reply_usd, \
                reply_estimated = excluded.reply_estimated, \
                unseen_for = excluded.unseen_for, looked_up_at = excluded.looked_up_at, \
                doubts = excluded.doubts, sent_at = excluded.sent_at, replied_at = excluded.replied_at, \
                mined_at = excluded.mined_at, confirmed_at = excluded.confirmed_at",
        };
        let changed = self.changed.iter().filter_map(|attempt| self.orders.get(attempt));
        let rows = changed
            .map(|order| {
                values![
                    order.attempt,
                    order.owner,
                    Coded(order.state),
                    order.version,
                    order.unbooked,
                    order.reply.shares,
                    order.reply.usd,
                    order.reply_estimated,
                    order.unseen_for,
                    order.looked_up_at,
                    order.doubts,
                    order.times.sent,
                    order.times.replied,
                    order.times.mined,
                    order.times.confirmed,
                ]
            })
            .collect();
        UPDATE.run(connection, rows).await?;
        Ok(())
    }

    async fn write_trades(&self, connection: &mut Connection) -> StoreResult<()> {
        const INSERT: Insert = Insert {
            into: "venue_trades (attempt_id, trade_id, owner_id, status, shares, usd, fee, tx)",
            then: "ON CONFLICT (attempt_id, trade_id) DO UPDATE SET status = excluded.status, \
                shares = excluded.shares, usd = excluded.usd, fee = excluded.fee, tx = excluded.tx",
        };
        const GONE: &str = "DELETE FROM venue_trades WHERE attempt_id = $1 AND trade_id = $2";
        let rows = self
            .trades
            .iter()
            .map(|((attempt, id), (owner, trade))| {
                let status = trade.status.code();
                values![*attempt, id.as_str(), *owner, status, trade.shares, trade.usd, trade.fee, trade.tx]
            })
            .collect();
        for (attempt, id) in &self.trades_gone {
            sql::execute(connection, GONE, values![*attempt, id.as_str()]).await?;
        }
        INSERT.run(connection, rows).await?;
        Ok(())
    }

    async fn write_returned(&self, connection: &mut Connection) -> StoreResult<()> {
        const RETURN: &str = concat!(
            "UPDATE send_permits SET returned_at = $3 WHERE returned_at IS NULL ",
            "AND instance_id = (SELECT id FROM instances WHERE name = $2) AND attempt_id",
            in_ids!("$1")
        );
        for ((holder, at), attempts) in &self.returned {
            let list = id_list(attempts.iter().copied());
            sql::execute(connection, RETURN, values![list, holder.0.as_str(), *at]).await?;
        }
        Ok(())
    }

    async fn write_work(&self, connection: &mut Connection) -> StoreResult<()> {
        const UPDATE: Insert = Insert {
            into: "work (intent_id, owner_id, state, lane, due, attempts, fence, holder, lease_until)",
            then: "ON CONFLICT (intent_id) DO UPDATE SET state = excluded.state, due = excluded.due, \
                holder = excluded.holder, lease_until = excluded.lease_until",
        };
        const DELETE: &str = concat!("DELETE FROM work WHERE intent_id", in_ids!("$1"));
        let (mut kept, mut closed) = (Vec::new(), Vec::new());
        for (intent, shared) in self.shared.iter().filter(|(_, shared)| shared.work_changed) {
            match &shared.work {
                None => closed.push(intent.0),
                Some(work) => kept.push(values![
                    *intent,
                    shared.owner,
                    work.state,
                    Coded(shared.lane),
                    work.due,
                    work.attempts,
                    work.fence,
                    work.holder,
                    work.lease_until,
                ]),
            }
        }
        UPDATE.run(connection, kept).await?;
        if !closed.is_empty() {
            sql::execute(connection, DELETE, values![id_list(closed)]).await?;
        }
        Ok(())
    }
}

impl Order {
    fn take(&mut self, update: &OrderUpdate) {
        self.version = self.version.saturating_add(1);
        self.state = update.state;
        self.unbooked = update.unbooked;
        self.reply = update.reply.unwrap_or(self.reply);
        self.reply_estimated = update.reply_estimated;
        self.unseen_for = update.unseen_for;
        self.looked_up_at = update.looked_up_at;
        self.doubts = update.doubts;
        // The first word stands.
        self.times = StageTimes {
            sent: self.times.sent.or(update.times.sent),
            replied: self.times.replied.or(update.times.replied),
            mined: self.times.mined.or(update.times.mined),
            confirmed: self.times.confirmed.or(update.times.confirmed),
        };
    }
}
