//! What workers and settlement read, and commit 2.

use std::{
    collections::{BTreeMap, BTreeSet},
    time::Duration,
};

use async_trait::async_trait;
use domain::{
    ConditionId, Hash, OrderId, Shares, Side, Timestamp, TokenId, TradingAccount,
    ids::{AccountId, AttemptId, IntentId, RelationshipId},
    lifecycle::OrderState,
    position::{Entry, Position},
    trade::Quantity,
};
use engine::{
    open_exits,
    ports::{
        detection::{Lane, StoredRedemption},
        execution::{
            EndReason, Execution, Intent, OrderRecord, OrderUpdate, RedemptionPayout, SignedAttempt,
            SignedOutcome, StageTimes, WaitingIntent,
        },
        reports::IntentEnd,
        store::{EventKind, InstanceId, StoreError, StoreResult},
        venue::LostOrder,
    },
};

use super::{
    MemoryStore, corrupt,
    state::{OrderRow, Permit, State, Work, WorkState},
};

#[async_trait]
impl Execution for MemoryStore {
    async fn waiting(&self, lane: Lane, now: Timestamp, limit: usize) -> StoreResult<Vec<IntentId>> {
        let state = self.read();
        let mut due: Vec<_> = state.waiting_in(lane, now).collect();
        due.sort_unstable();
        Ok(due.into_iter().take(limit).map(|(_, intent)| intent).collect())
    }

    async fn take_waiting(
        &self,
        lane: Lane,
        due: Timestamp,
        until: Timestamp,
        limit: usize,
    ) -> StoreResult<Vec<IntentId>> {
        let taken = self.waiting(lane, due, limit).await?;
        self.put_off(&taken, until).await?;
        Ok(taken)
    }

    async fn count_waiting(&self, lane: Lane, now: Timestamp) -> StoreResult<usize> {
        Ok(self.read().waiting_in(lane, now).count())
    }

    async fn count_open_work(&self) -> StoreResult<usize> {
        Ok(self.read().work.len())
    }

    async fn accounts_with_work(&self) -> StoreResult<Vec<AccountId>> {
        let state = self.read();
        let accounts: BTreeSet<_> =
            state.work.keys().filter_map(|id| Some(state.intents.get(id.0)?.account.id)).collect();
        Ok(accounts.into_iter().collect())
    }

    async fn load_waiting(&self, ids: &[IntentId]) -> StoreResult<Vec<WaitingIntent>> {
        let (now, state) = (self.now(), self.read());
        ids.iter().filter(|id| state.waits(**id)).map(|id| state.waiting_intent(*id, now)).collect()
    }

    async fn commit_signed(
        &self,
        holder: &InstanceId,
        lease: Duration,
        attempts: &[SignedAttempt],
    ) -> StoreResult<Vec<SignedOutcome>> {
        let now = self.now();
        let mut state = self.write();
        state.check_order_ids(now, attempts)?;
        state.begin(holder)?;
        let signed = attempts.iter().map(|attempt| state.sign(holder, now, lease, attempt));
        let outcomes = signed.collect::<StoreResult<Vec<SignedOutcome>>>()?;
        if outcomes.iter().any(|outcome| matches!(outcome, SignedOutcome::Won { .. })) {
            state.committed();
        }
        Ok(outcomes)
    }

    async fn end_intents(&self, ends: &[(IntentId, EndReason)], now: Timestamp) -> StoreResult<usize> {
        let mut state = self.write();
        let mut ended = 0;
        for (intent, reason) in ends {
            if state.waits(*intent) {
                state.work.remove(intent);
                state.release(*intent);
                state.ends.insert(*intent, IntentEnd { intent: *intent, reason: *reason, at: now });
                if state.intents.get(intent.0).is_some_and(|intent| intent.side == Side::Sell) {
                    state.note_exit_of(*intent, now);
                }
                ended += 1;
                state.committed();
            }
        }
        Ok(ended)
    }

    async fn put_off(&self, ids: &[IntentId], due: Timestamp) -> StoreResult<()> {
        let mut state = self.write();
        for id in ids {
            if let Some(work) = state.work.get_mut(id).filter(|work| work.state == WorkState::Waiting) {
                work.due = due;
                state.committed();
            }
        }
        Ok(())
    }

    async fn next_due(&self) -> StoreResult<Option<Timestamp>> {
        let state = self.read();
        let settling = state.work.values().filter(|work| work.state == WorkState::Signed);
        Ok(settling.map(|work| work.due).min())
    }

    async fn claim_due(
        &self,
        holder: &InstanceId,
        lease: Duration,
        now: Timestamp,
        limit: usize,
    ) -> StoreResult<Vec<OrderRecord>> {
        let own_now = self.now();
        let mut state = self.write();
        state.begin(holder)?;
        let free =
            |work: &Work| work.holder.as_ref().is_none_or(|known| known == holder) || work.until <= own_now;
        let ended = |work: &Work| work.holder.as_ref().is_some_and(|known| state.has_ended(known));
        let claimable =
            |work: &Work| work.state == WorkState::Signed && ((work.due <= now && free(work)) || ended(work));
        let mut due: Vec<_> =
            state.work.iter().filter(|(_, work)| claimable(work)).map(|(id, work)| (work.due, *id)).collect();
        due.sort_unstable();
        due.truncate(limit);
        let mut claimed = Vec::with_capacity(due.len());
        for (_, intent) in due {
            if let Some(work) = state.work.get_mut(&intent) {
                work.lease_to(holder, own_now.plus(lease));
                state.committed();
            }
            claimed.extend(state.attempts_of(intent).last().copied());
        }
        state.records(claimed)
    }

    async fn grant_permit(
        &self,
        attempt: AttemptId,
        holder: &InstanceId,
        fence: i64,
        _now: Timestamp,
    ) -> StoreResult<Option<Duration>> {
        let own_now = self.now();
        let mut state = self.write();
        let Some(intent) = state.orders.get(attempt.0).map(|order| order.signed.intent) else {
            return Ok(None);
        };
        let own = state.is_newest(intent, attempt)
            && state.work.get(&intent).is_some_and(|work| {
                work.state == WorkState::Signed && work.fence == fence && work.holder.as_ref() == Some(holder)
            })
            && !state.has_ended(holder);
        let Some(order) = state.orders.get_mut(attempt.0).filter(|_| own) else { return Ok(None) };
        order.permits.insert(holder.clone(), Permit { fence, returned: false });
        order.version += 1;
        let lasts = order.signed.resend_until.since(order.signed.signed_at);
        let left = lasts.saturating_sub(own_now.since(order.committed_at));
        state.committed();
        Ok(Some(left))
    }

    async fn orders(&self, ids: &[OrderId]) -> StoreResult<Vec<OrderRecord>> {
        let state = self.read();
        state.records(ids.iter().filter_map(|id| state.order_keys.get(id)).copied())
    }

    async fn orders_of(&self, attempts: &[(IntentId, u32)]) -> StoreResult<Vec<OrderRecord>> {
        let state = self.read();
        let find = |(intent, number): &(IntentId, u32)| {
            let index = usize::try_from(*number).ok()?;
            state.attempts_of(*intent).get(index).copied()
        };
        state.records(attempts.iter().filter_map(find))
    }

    async fn unbooked_orders(&self, after: AttemptId, limit: usize) -> StoreResult<Vec<OrderRecord>> {
        let state = self.read();
        let news = state.orders.iter().filter(|(id, order)| order.news && *id > after.0);
        state.records(news.map(|(id, _)| AttemptId(id)).take(limit))
    }

    async fn update_orders(&self, updates: &[OrderUpdate]) -> StoreResult<Vec<bool>> {
        let mut state = self.write();
        state.check_bookings(updates)?;
        let applied: Vec<bool> = updates.iter().map(|update| state.apply(update)).collect();
        if applied.contains(&true) {
            state.committed();
        }
        Ok(applied)
    }

    async fn unbooked_redemptions(&self, finalized: i64, limit: usize) -> StoreResult<Vec<StoredRedemption>> {
        let state = self.read();
        let unbooked = state.redemptions.values().filter(|row| row.canonical && !row.booked);
        let mut due: Vec<_> =
            unbooked.map(|row| row.redemption).filter(|redemption| redemption.block <= finalized).collect();
        due.sort_by_key(|redemption| (redemption.block, redemption.log_index));
        due.truncate(limit);
        Ok(due)
    }

    async fn book_redemption(
        &self,
        block_hash: Hash,
        log_index: i64,
        payouts: &[RedemptionPayout],
        now: Timestamp,
    ) -> StoreResult<bool> {
        self.write().redeem((block_hash, log_index), payouts, now)
    }

    async fn open_accounts(&self, limit: usize) -> StoreResult<Vec<TradingAccount>> {
        let state = self.read();
        let is_open =
            |state: OrderState| matches!(state, OrderState::Unknown | OrderState::Live | OrderState::Delayed);
        let mut accounts = BTreeMap::new();
        for order in state.orders.rows().filter(|order| is_open(order.state)) {
            let account = &state.intents.row("intent", order.signed.intent.0)?.account;
            accounts.insert(account.id, account.clone());
        }
        Ok(accounts.into_values().take(limit).collect())
    }

    async fn hurry(&self, accounts: &[AccountId], now: Timestamp) -> StoreResult<usize> {
        let mut state = self.write();
        let of_account = |intent: &IntentId| {
            state.intents.get(intent.0).is_some_and(|intent| accounts.contains(&intent.account.id))
        };
        let late = |work: &Work| work.state == WorkState::Signed && work.holder.is_none() && work.due > now;
        let late: Vec<IntentId> =
            state.work.iter().filter(|(id, work)| late(work) && of_account(id)).map(|(id, _)| *id).collect();
        for intent in &late {
            if let Some(work) = state.work.get_mut(intent) {
                work.due = now;
            }
        }
        if !late.is_empty() {
            state.committed();
        }
        Ok(late.len())
    }

    async fn note_foreign_orders(
        &self,
        orders: &[(AccountId, OrderId)],
        now: Timestamp,
    ) -> StoreResult<usize> {
        let mut state = self.write();
        let mut new = 0;
        for (account, order) in orders {
            let Some(owner) = state.accounts.get(account.0).map(|row| row.owner) else { continue };
            if state.foreign_orders.insert(*order) {
                new += 1;
                let kind = EventKind::ForeignOrder { account: *account, order: *order };
                state.event(Some(owner), now, kind);
            }
        }
        if new > 0 {
            state.committed();
        }
        Ok(new)
    }

    async fn known_until(&self, account: AccountId) -> StoreResult<Timestamp> {
        let state = self.read();
        let of_account = |row: &&OrderRow| {
            state.intents.get(row.signed.intent.0).is_some_and(|intent| intent.account.id == account)
        };
        let newest = state.orders.rows().filter(of_account).map(|row| row.signed.signed_at).max();
        Ok(newest.unwrap_or(state.accounts.row("account", account.0)?.added))
    }

    async fn adopt(&self, account: AccountId, order: &LostOrder, now: Timestamp) -> StoreResult<bool> {
        self.write().adopt(account, order, now)
    }

    async fn adopted_shares(&self, account: AccountId) -> StoreResult<Vec<(TokenId, Shares)>> {
        let state = self.read();
        let mut sums: BTreeMap<TokenId, Shares> = BTreeMap::new();
        for (_, token, shares) in state.adopted.values().filter(|row| row.0 == account) {
            let sum = sums.entry(*token).or_default();
            *sum = sum.plus(*shares).map_err(corrupt)?;
        }
        Ok(sums.into_iter().filter(|(_, shares)| *shares != Shares::ZERO).collect())
    }

    async fn tokens_held(&self, limit: usize) -> StoreResult<Vec<TokenId>> {
        let state = self.read();
        let held = state.positions.iter().filter(|(_, row)| row.position.shares.is_positive());
        let tokens: BTreeSet<TokenId> = held.map(|((_, _, token), _)| *token).collect();
        Ok(tokens.into_iter().take(limit).collect())
    }

    async fn held_tokens(&self, account: AccountId, condition: ConditionId) -> StoreResult<Vec<TokenId>> {
        let state = self.read();
        let held = state.positions.iter().filter(|((holder, _, _), row)| {
            *holder == account && row.condition == condition && row.position.shares.is_positive()
        });
        let tokens: BTreeSet<_> = held.map(|((_, _, token), _)| *token).collect();
        Ok(tokens.into_iter().collect())
    }

    async fn positions_of(
        &self,
        holdings: &[(AccountId, RelationshipId, TokenId)],
    ) -> StoreResult<Vec<Position>> {
        let state = self.read();
        Ok(holdings.iter().map(|holding| state.position(holding)).collect())
    }
}

impl Work {
    /// Gives the row to `holder`; the fence rises when that is somebody else than before.
    pub(super) fn lease_to(&mut self, holder: &InstanceId, until: Timestamp) {
        if self.holder.as_ref() != Some(holder) {
            self.fence += 1;
            self.holder = Some(holder.clone());
        }
        self.until = until;
    }
}

impl State {
    fn waiting_in(&self, lane: Lane, now: Timestamp) -> impl Iterator<Item = (Timestamp, IntentId)> {
        let waits =
            move |work: &Work| work.state == WorkState::Waiting && work.lane == lane && work.due <= now;
        self.work.iter().filter(move |(_, work)| waits(work)).map(|(id, work)| (work.due, *id))
    }

    fn position(&self, holding: &(AccountId, RelationshipId, TokenId)) -> Position {
        self.positions.get(holding).map_or_else(Position::default, |row| row.position)
    }

    fn waiting_intent(&self, id: IntentId, now: Timestamp) -> StoreResult<WaitingIntent> {
        let intent = self.intents.row("intent", id.0)?.clone();
        let relationship = &self.relationships.row("relationship", intent.relationship.0)?.relationship;
        Ok(WaitingIntent {
            attempts: u32::try_from(self.attempts_of(id).len()).unwrap_or(u32::MAX),
            filled: match intent.lane {
                Lane::Exits => self.sold(id)?,
                Lane::Entries => Shares::ZERO,
            },
            held: match intent.lane {
                Lane::Exits => self.position(&(intent.account.id, intent.relationship, intent.token)).shares,
                Lane::Entries => Shares::ZERO,
            },
            promised: match intent.lane {
                Lane::Exits => self.promised(&intent, now)?,
                Lane::Entries => Shares::ZERO,
            },
            slippage_to_book_bps: relationship.policy.slippage_to_book_bps,
            entry_type: relationship.policy.entry_type,
            intent,
        })
    }

    /// Shares that the attempts of an exit sold, booked or evident, whichever is more.
    fn sold(&self, id: IntentId) -> StoreResult<Shares> {
        let mut total = Shares::ZERO;
        for attempt in self.attempts_of(id) {
            let record = self.record(*attempt)?;
            let booked = Shares(record.booked.shares.0.saturating_abs());
            let evident = record.evidence.booked().map_err(corrupt)?.quantity.shares;
            total = total.plus(booked.max(evident)).map_err(corrupt)?;
        }
        Ok(total)
    }

    /// What an exit must leave.
    fn promised(&self, exit: &Intent, now: Timestamp) -> StoreResult<Shares> {
        if self.sells_twice {
            return Ok(Shares::ZERO);
        }
        let beside = |other: &&Intent| {
            other.side == Side::Sell && (other.relationship, other.token) == (exit.relationship, exit.token)
        };
        let attempts = self.intents.rows().filter(beside).flat_map(|other| self.attempts_of(other.id));
        let orders = self.records(attempts.copied())?;
        open_exits::promised(exit.id, &orders, now).map_err(corrupt)
    }

    /// Whether an attempt sells more than is held less what is promised.
    fn exceeds(&self, attempt: &SignedAttempt, now: Timestamp) -> StoreResult<bool> {
        let Some(intent) = self.intents.get(attempt.intent.0).filter(|intent| intent.side == Side::Sell)
        else {
            return Ok(false);
        };
        let held = self.position(&(intent.account.id, intent.relationship, intent.token)).shares;
        Ok(Shares(attempt.amounts.maker) > held.less(self.promised(intent, now)?))
    }

    /// Whether the intent waits with exactly this many attempts.
    fn may_sign(&self, attempt: &SignedAttempt) -> bool {
        let signed = self.attempts_of(attempt.intent).len();
        self.waits(attempt.intent) && u32::try_from(signed) == Ok(attempt.attempt)
    }

    fn is_blocked_for(&self, intent: IntentId, now: Timestamp) -> bool {
        self.intents.get(intent.0).is_none_or(|intent| self.is_blocked(intent, now))
    }

    /// Fails when an attempt that would win brings an order id that is known.
    fn check_order_ids(&self, now: Timestamp, attempts: &[SignedAttempt]) -> StoreResult<()> {
        let (mut intents, mut ids) = (BTreeSet::new(), BTreeSet::new());
        for attempt in attempts {
            let wins = self.may_sign(attempt)
                && !self.is_blocked_for(attempt.intent, now)
                && !self.exceeds(attempt, now)?;
            if !wins || !intents.insert(attempt.intent) {
                continue;
            }
            let id = attempt.order.id;
            if self.order_keys.contains_key(&id) || !ids.insert(id) {
                return Err(StoreError::Conflict(format!("order {id} exists already")));
            }
        }
        Ok(())
    }

    fn sign(
        &mut self,
        holder: &InstanceId,
        now: Timestamp,
        lease: Duration,
        attempt: &SignedAttempt,
    ) -> StoreResult<SignedOutcome> {
        if !self.may_sign(attempt) {
            return Ok(SignedOutcome::NotWaiting);
        }
        if self.is_blocked_for(attempt.intent, now) {
            return Ok(SignedOutcome::Blocked);
        }
        if self.exceeds(attempt, now)? {
            return Ok(SignedOutcome::Exceeds);
        }
        let Some(work) = self.work.get_mut(&attempt.intent) else { return Ok(SignedOutcome::NotWaiting) };
        work.state = WorkState::Signed;
        work.failures = 0;
        work.due = now.plus(lease);
        work.lease_to(holder, now.plus(lease));
        let fence = work.fence;
        let order = OrderRow {
            signed: attempt.clone(),
            committed_at: now,
            state: OrderState::Signed,
            version: 0,
            reply: Quantity::ZERO,
            reply_estimated: false,
            trades: Default::default(),
            booked: Entry::default(),
            permits: [(holder.clone(), Permit { fence, returned: false })].into(),
            unseen_for: Duration::ZERO,
            looked_up_at: None,
            doubts: 0,
            times: StageTimes::default(),
            news: false,
        };
        let id = AttemptId(self.orders.insert(order));
        self.order_keys.insert(attempt.order.id, id);
        self.attempts.entry(attempt.intent).or_default().push(id);
        Ok(SignedOutcome::Won { attempt: id, fence })
    }
}
