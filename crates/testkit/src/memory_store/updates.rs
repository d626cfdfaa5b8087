//! Updates of orders and the ledger.

use std::collections::BTreeMap;

use domain::{
    Hash, Shares, Timestamp, Usd,
    ids::{AccountId, AttemptId, IntentId},
    position::{Adopted, Entry, Position, Redeemed},
};
use engine::ports::{
    detection::ExitNote,
    execution::{LedgerCause, OrderUpdate, RedemptionPayout, StageTimes, WorkChange},
    reports::LedgerRecord,
    store::{EventKind, StoreResult},
    venue::LostOrder,
};

use super::{
    corrupt,
    state::{PositionKey, PositionRow, State, Work, WorkState},
};

impl State {
    /// Adds up what the updates would book, so that an amount beyond 64 bits fails before anything is
    /// written.
    pub(super) fn check_bookings(&self, updates: &[OrderUpdate]) -> StoreResult<()> {
        let mut positions: BTreeMap<PositionKey, Position> = BTreeMap::new();
        let mut booked: BTreeMap<AttemptId, Entry> = BTreeMap::new();
        for update in updates {
            let Some((_, entry)) = update.booking else { continue };
            let Some(order) = self.orders.get(update.attempt.0) else { continue };
            let intent = self.intents.row("intent", order.signed.intent.0)?;
            let key = (intent.account.id, intent.relationship, intent.token);
            let stored = self.positions.get(&key).map_or_else(Position::default, |row| row.position);
            let position = positions.entry(key).or_insert(stored);
            *position = position.after(entry).map_err(corrupt)?;
            let sum = booked.entry(update.attempt).or_insert(order.booked);
            *sum = sum.plus(entry).map_err(corrupt)?;
        }
        Ok(())
    }

    /// Applies an update if its version and the position it was computed from still stand.
    pub(super) fn apply(&mut self, update: &OrderUpdate) -> bool {
        if update.held.is_some_and(|held| self.position_of(update.attempt) != held) {
            return false;
        }
        let Some(order) =
            self.orders.get_mut(update.attempt.0).filter(|order| order.version == update.version)
        else {
            return false;
        };
        let intent = order.signed.intent;
        let (order_id, old_state) = (order.signed.order.id, order.state);
        order.version += 1;
        order.news = update.unbooked;
        order.state = update.state;
        order.reply = update.reply.unwrap_or(order.reply);
        order.reply_estimated = update.reply_estimated;
        order.trades.retain(|id, _| !update.trades_gone.contains(id));
        order.trades.extend(update.trades.iter().map(|trade| (trade.id.clone(), trade.clone())));
        order.unseen_for = update.unseen_for;
        order.looked_up_at = update.looked_up_at;
        order.doubts = update.doubts;
        order.times = first_word(order.times, update.times);
        if let Some(permit) = update.permit_returned.as_ref().and_then(|holder| order.permits.get_mut(holder))
        {
            permit.returned = true;
        }
        if let Some((cause, entry)) = update.booking {
            self.book_order(update.attempt, intent, cause, entry, update.at);
        }
        if update.release_reserve {
            self.release(intent);
        }
        if self.is_newest(intent, update.attempt) {
            self.change_work(intent, update.work);
        }
        if let Some(due) = update.revisit {
            self.note_exit_of(intent, due);
        }
        let owner = self.intents.get(intent.0).map(|intent| intent.owner);
        if old_state != update.state {
            self.event(owner, update.at, EventKind::OrderChanged { order: order_id, state: update.state });
        }
        for alarm in update.alarms.iter().copied() {
            self.event(owner, update.at, EventKind::OrderAlarm { order: order_id, alarm });
        }
        true
    }

    /// Notes the exit of an intent's relationship and token.
    pub(super) fn note_exit_of(&mut self, intent: IntentId, due: Timestamp) {
        if let Some(intent) = self.intents.get(intent.0) {
            let (owner, relationship, token) = (intent.owner, intent.relationship, intent.token);
            self.note_exit(&ExitNote { owner, relationship, token, due });
        }
    }

    /// What the relationship of an order holds of its token.
    fn position_of(&self, attempt: AttemptId) -> Position {
        let order = self.orders.get(attempt.0);
        let intent = order.and_then(|order| self.intents.get(order.signed.intent.0));
        let key = intent.map(|intent| (intent.account.id, intent.relationship, intent.token));
        key.and_then(|key| self.positions.get(&key)).map_or_else(Position::default, |row| row.position)
    }

    fn book_order(
        &mut self,
        attempt: AttemptId,
        id: IntentId,
        cause: LedgerCause,
        entry: Entry,
        at: Timestamp,
    ) {
        let Some(intent) = self.intents.get(id.0).cloned() else { return };
        // Cost or cash that no reservation covers is exposure the watcher does not know of.
        let adds = entry.cost.is_positive() || entry.cash < Usd::ZERO;
        if adds && !self.reservations.contains_key(&id) {
            self.raise_config();
        }
        if let Some(order) = self.orders.get_mut(attempt.0) {
            order.booked = order.booked.plus(entry).unwrap_or(order.booked);
        }
        let key = (intent.account.id, intent.relationship, intent.token);
        let (owner, condition) = (intent.owner, intent.condition);
        self.positions.entry(key).or_insert(PositionRow { owner, condition, position: Position::default() });
        self.book(key, Some(id), cause, entry, at);
    }

    /// A ledger row and its effect on the position, whose sums were checked before.
    fn book(
        &mut self,
        key: PositionKey,
        intent: Option<IntentId>,
        cause: LedgerCause,
        entry: Entry,
        at: Timestamp,
    ) {
        let Some(row) = self.positions.get_mut(&key) else { return };
        row.position = row.position.after(entry).unwrap_or(row.position);
        let (account, relationship, token) = key;
        let record = LedgerRecord {
            id: self.ledger.next_key(),
            owner: row.owner,
            account,
            relationship: Some(relationship),
            token: Some(token),
            intent,
            cause,
            entry,
            at,
        };
        self.ledger.insert(record);
    }

    fn change_work(&mut self, intent: IntentId, change: WorkChange) {
        let (state, due) = match change {
            WorkChange::Close => {
                self.work.remove(&intent);
                return;
            }
            WorkChange::Due(due) => (WorkState::Signed, due),
            WorkChange::NextAttempt(due) => (WorkState::Waiting, due),
        };
        let Some(lane) = self.intents.get(intent.0).map(|intent| intent.lane) else { return };
        let permits = self.attempts_of(intent).iter().filter_map(|attempt| self.orders.get(attempt.0));
        let highest = permits.flat_map(|order| order.permits.values()).map(|permit| permit.fence).max();
        let work = self.work.entry(intent).or_insert(Work {
            state,
            lane,
            due,
            holder: None,
            until: due,
            fence: highest.unwrap_or(0) + 1,
            failures: 0,
        });
        work.state = state;
        work.due = due;
        work.holder = None;
    }

    pub(super) fn redeem(
        &mut self,
        key: (Hash, i64),
        payouts: &[RedemptionPayout],
        now: Timestamp,
    ) -> StoreResult<bool> {
        let Some(seen) =
            self.redemptions.get(&key).filter(|row| row.canonical && !row.booked).map(|row| row.redemption)
        else {
            return Ok(false);
        };
        let (account, condition, paid) = (seen.account, seen.condition, seen.payout);
        let redeemed = self.pay_out(account, payouts, (LedgerCause::Redeemed, paid), now)?;
        // A redemption of nothing, when everything is booked already, is no difference.
        if redeemed.differs_from(paid) && !(redeemed.entries.is_empty() && paid == Usd::ZERO) {
            let owner = self.accounts.get(account.0).map(|row| row.owner);
            let kind = EventKind::PayoutDiffers { account, condition, paid, due: redeemed.due };
            self.event(owner, now, kind);
        }
        if let Some(row) = self.redemptions.get_mut(&key) {
            row.booked = true;
        }
        self.committed();
        Ok(true)
    }

    /// Books an order that was lost, once.
    pub(super) fn adopt(
        &mut self,
        account: AccountId,
        order: &LostOrder,
        now: Timestamp,
    ) -> StoreResult<bool> {
        let owner = self.accounts.row("account", account.0)?.owner;
        if self.order_keys.contains_key(&order.id) || self.adopted.contains_key(&order.id) {
            return Ok(false);
        }
        let of_token = self.positions.iter().filter(|((holder, _, token), row)| {
            *holder == account && *token == order.token && row.position.shares > Shares::ZERO
        });
        let (keys, held): (Vec<PositionKey>, Vec<Position>) =
            of_token.map(|(key, row)| (*key, row.position)).unzip();
        let Adopted { entries, rest } = Adopted::of(&held, order.side, order.filled).map_err(corrupt)?;
        for (key, entry) in keys.into_iter().zip(entries) {
            if entry != Entry::default() {
                self.book(key, None, LedgerCause::Adopted, entry, now);
            }
        }
        if rest != Entry::default() {
            let id = self.ledger.next_key();
            let (relationship, token, intent, cause) = (None, None, None, LedgerCause::Adopted);
            let (entry, at) = (rest, now);
            let row = LedgerRecord { id, owner, account, relationship, token, intent, cause, entry, at };
            self.ledger.insert(row);
        }
        self.adopted.insert(order.id, (account, order.token, rest.shares));
        self.raise_config();
        Ok(true)
    }

    /// Books what was paid for the positive positions of an account in these tokens.
    pub(super) fn pay_out(
        &mut self,
        account: AccountId,
        payouts: &[RedemptionPayout],
        (cause, paid): (LedgerCause, Usd),
        now: Timestamp,
    ) -> StoreResult<Redeemed> {
        let (mut keys, mut held) = (Vec::new(), Vec::new());
        for (position_key, row) in &self.positions {
            let (holder, _, token) = position_key;
            let payout = payouts.iter().find(|payout| payout.token == *token);
            let Some(payout) = payout.filter(|_| *holder == account && row.position.shares > Shares::ZERO)
            else {
                continue;
            };
            keys.push(*position_key);
            held.push((row.position, payout.payout));
        }
        let redeemed = Redeemed::of(&held, paid).map_err(corrupt)?;
        for ((position, _), entry) in held.iter().zip(&redeemed.entries) {
            position.after(*entry).map_err(corrupt)?;
        }
        for (position_key, entry) in keys.into_iter().zip(&redeemed.entries) {
            if *entry != Entry::default() {
                self.book(position_key, None, cause, *entry, now);
            }
        }
        Ok(redeemed)
    }
}

/// The first word on each stage stands.
fn first_word(stored: StageTimes, new: StageTimes) -> StageTimes {
    StageTimes {
        sent: stored.sent.or(new.sent),
        replied: stored.replied.or(new.replied),
        mined: stored.mined.or(new.mined),
        confirmed: stored.confirmed.or(new.confirmed),
    }
}
