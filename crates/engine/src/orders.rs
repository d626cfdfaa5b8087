//! From evidence to the update of an order: the one place where bookings, states and what happens next
//! are computed. Workers and settlement both call it.

use std::{fmt::Display, time::Duration};

use domain::{
    Side, Timestamp, Usd,
    lifecycle::{BookingDelta, Evidence, Filled, OrderAlarm, OrderEvent, OrderState, step},
    money::{LOT, MoneyError},
    position::{Entry, Position},
    trade::Quantity,
};

use crate::{
    limits,
    plausible::{self, OrderError, believed},
    ports::{
        execution::{LedgerCause, OrderRecord, OrderUpdate, StageTimes, WorkChange},
        store::InstanceId,
        venue::{RejectReason, VenueTrade},
    },
    trades,
};

/// What was just learned about an order.
#[derive(Clone, Debug, Default)]
pub struct Learned {
    /// An event, if something other than quantities was learned.
    pub event: Option<OrderEvent>,
    /// What the post's reply said was filled.
    pub reply: Option<Quantity>,
    /// What the venue's order record said was matched, its dollars estimated.
    pub estimate: Option<Quantity>,
    /// The venue's trades.
    pub trades: Vec<VenueTrade>,
    /// Whose permit came back with a definitive reply.
    pub permit_returned: Option<InstanceId>,
    /// A look-up was answered: found (`false`) or not found (`true`).
    pub unseen: Option<bool>,
    /// First byte out and first reply in.
    pub times: StageTimes,
    /// Why the venue refused it.
    pub refused: Option<RejectReason>,
    /// Whether people were told of that refusal before.
    pub refusal_known: bool,
    /// How long the venue takes nothing.
    pub wait: Option<Duration>,
    /// It was told, not asked for: true when it was sent, but not necessarily the newest.
    pub pushed: bool,
    /// Look it up at once: something was told that only an answer may settle.
    pub hurry: bool,
    /// Whether news of the account's orders are told as they happen, so that asking can wait.
    pub listening: bool,
}

/// The update that `learned` asks for; `position` is the order's relationship's, as stored. An update whose
/// position has changed since is not applied; it is computed again.
///
/// # Errors
/// [`OrderError`]: then `put_off` it.
pub fn update(
    record: &OrderRecord,
    learned: &Learned,
    position: &Position,
    now: Timestamp,
) -> Result<OrderUpdate, OrderError> {
    let (learned, doubted) = believed(record, learned);
    let learned = learned.as_ref();
    // What was pushed is a part; what was asked for is all there is.
    let together = if learned.pushed { trades::merged } else { trades::listed };
    let trades = together(&record.trades, &learned.trades);
    let trades = match record.intent.side {
        Side::Buy => trades::within(trades, Usd(record.amounts.maker)),
        Side::Sell => trades,
    };
    let stays = |known: &&VenueTrade| trades.iter().any(|trade| trade.id == known.id);
    let gone = record.trades.iter().filter(|known| !stays(known)).map(|known| known.id.clone()).collect();
    let evidence = merged_evidence(record, learned, &trades)?;
    plausible::check(record, &evidence)?;
    let next = step(record.state, learned.event, &evidence);
    let booked = booked_so_far(record.intent.side, record.booked)?;
    let filled = evidence.booked()?;
    let delta = BookingDelta::between(booked, filled)?;
    let booking = if delta.is_nothing() {
        None
    } else {
        let cause =
            if delta.shares < domain::Shares::ZERO { LedgerCause::Reversal } else { LedgerCause::Fill };
        Some((cause, position.entry(record.intent.side, delta, record.booked)?))
    };
    let state = next.state;
    // What look-ups do not show of a filled order says nothing about one that is open.
    let reopened = state.is_open() && !record.state.is_open();
    let unseen_for = if reopened { Duration::ZERO } else { unseen_for(record, learned, now) };
    let work = work_change(record, learned, state, &filled, now)?;
    let revisit = revisits(record, learned, work, &filled, delta).then(|| now.plus(limits::REVISIT_FIRST));
    let overfilled = overfilled(record, &filled).then_some(OrderAlarm::Overfilled);
    let refused = learned.refused.filter(|_| !learned.refusal_known).and_then(RejectReason::alarm);
    let doubt = (doubted && record.doubts == 0).then_some(OrderAlarm::NotBelieved);
    Ok(OrderUpdate {
        attempt: record.attempt,
        version: record.version,
        state,
        reply: (evidence.reply != record.evidence.reply).then_some(evidence.reply),
        reply_estimated: evidence.reply_estimated,
        trades_gone: gone,
        trades: trades.into_iter().filter(|trade| !record.trades.contains(trade)).collect(),
        held: booking.filter(|_| sells(record, delta)).map(|_| *position),
        booking,
        permit_returned: learned.permit_returned.clone(),
        unseen_for,
        looked_up_at: if learned.unseen.is_some() { Some(now) } else { record.looked_up_at },
        doubts: record.doubts.saturating_add(u32::from(doubted)),
        times: stage_times(learned, &evidence, state, now),
        release_reserve: !state.is_open(),
        // The work row settles the newest attempt alone.
        unbooked: !(state.is_settled() || (record.open_work && matches!(work, WorkChange::Due(_)))),
        work,
        revisit,
        alarms: next.alarm.or(overfilled).into_iter().chain(refused).chain(doubt).collect(),
        at: now,
    })
}

/// Leaves an order as it is, because nothing can be computed of it or applied, and looks at it again later.
/// `None` while that is not yet.
pub(crate) fn put_off(record: &OrderRecord, learned: &Learned, now: Timestamp) -> Option<OrderUpdate> {
    let waits = record.looked_up_at.is_some_and(|at| now.since(at) < limits::NOT_BELIEVED_PAUSE);
    // Whoever claimed its work gives it back with a later date.
    let claimed = record.open_work && !learned.pushed;
    if record.doubts > 0 && waits && !claimed && learned.permit_returned.is_none() {
        return None;
    }
    Some(OrderUpdate {
        attempt: record.attempt,
        version: record.version,
        state: record.state,
        reply: None,
        reply_estimated: record.evidence.reply_estimated,
        trades: Vec::new(),
        trades_gone: Vec::new(),
        booking: None,
        held: None,
        permit_returned: learned.permit_returned.clone(),
        unseen_for: record.unseen_for,
        looked_up_at: Some(now),
        doubts: record.doubts.saturating_add(1),
        times: learned.times,
        release_reserve: false,
        unbooked: !record.open_work,
        work: WorkChange::Due(now.plus(limits::NOT_BELIEVED_PAUSE)),
        revisit: None,
        alarms: (record.doubts == 0).then_some(OrderAlarm::NotBelieved).into_iter().collect(),
        at: now,
    })
}

/// Whether an update only says again what is stored. What was pushed is no answer to a look-up: told again, it
/// puts none off.
pub(crate) fn says_nothing(record: &OrderRecord, learned: &Learned, update: &OrderUpdate) -> bool {
    !learned.hurry
        && (learned.pushed || (update.unbooked && update.looked_up_at == record.looked_up_at))
        && update.state == record.state
        && update.booking.is_none()
        && update.trades.is_empty()
        && update.trades_gone.is_empty()
        && update.reply.is_none()
        && update.reply_estimated == record.evidence.reply_estimated
        && update.permit_returned.is_none()
        && update.doubts == record.doubts
}

/// Whether a booking takes shares, and with them their cost, out of what is held.
fn sells(record: &OrderRecord, delta: BookingDelta) -> bool {
    record.intent.side == Side::Sell && delta.shares.is_positive()
}

/// What an order has given so far, in the unit of its intent's bound.
///
/// # Errors
/// [`MoneyError::Overflow`].
pub fn given(side: Side, filled: &Filled) -> i64 {
    match side {
        Side::Buy => filled.quantity.usd.0,
        Side::Sell => filled.quantity.shares.0,
    }
}

fn overfilled(record: &OrderRecord, filled: &Filled) -> bool {
    given(record.intent.side, filled) > record.amounts.maker
}

/// The ledger keeps signed changes of a position; this is the fill they stand for.
///
/// # Errors
/// [`MoneyError::Overflow`].
pub fn booked_so_far(side: Side, booked: Entry) -> Result<Filled, MoneyError> {
    let before_fee = booked.cash.plus(booked.fee)?;
    let quantity = match side {
        Side::Buy => Quantity { shares: booked.shares, usd: Usd::ZERO.minus(before_fee)? },
        Side::Sell => Quantity { shares: domain::Shares::ZERO.minus(booked.shares)?, usd: before_fee },
    };
    Ok(Filled { quantity, fee: booked.fee })
}

/// The record's evidence with what was just learned.
fn merged_evidence(
    record: &OrderRecord,
    learned: &Learned,
    trades: &[VenueTrade],
) -> Result<Evidence, MoneyError> {
    let mut evidence = record.evidence;
    let told = evidence.reply.shares.is_positive() && !evidence.reply_estimated;
    let more = |estimate: &Quantity| !told && estimate.shares > evidence.reply.shares;
    if let Some(reply) = learned.reply {
        (evidence.reply, evidence.reply_estimated) = (reply, false);
    } else if let Some(estimate) = learned.estimate.filter(more) {
        (evidence.reply, evidence.reply_estimated) = (estimate, true);
    }
    trades::in_evidence(evidence, trades)
}

fn unseen_for(record: &OrderRecord, learned: &Learned, now: Timestamp) -> Duration {
    match learned.unseen {
        None => record.unseen_for,
        Some(false) => Duration::ZERO,
        Some(true) => {
            let since = now.since(record.looked_up_at.unwrap_or(now)).min(limits::UNSEEN_STEP);
            record.unseen_for.saturating_add(since)
        }
    }
}

fn stage_times(learned: &Learned, evidence: &Evidence, state: OrderState, now: Timestamp) -> StageTimes {
    StageTimes {
        mined: evidence.chain.quantity.shares.is_positive().then_some(now),
        confirmed: (state == OrderState::Confirmed).then_some(now),
        ..learned.times
    }
}

/// What happens next: settle on, try again (exits), or close.
fn work_change(
    record: &OrderRecord,
    learned: &Learned,
    state: OrderState,
    filled: &Filled,
    now: Timestamp,
) -> Result<WorkChange, MoneyError> {
    if !state.is_settled() && !has_ended_in_part(record, learned, state, filled) {
        return Ok(WorkChange::Due(now.plus(pause(record, learned, state, now))));
    }
    if record.intent.side == Side::Buy || left_of(record, filled) < LOT.0 {
        return Ok(WorkChange::Close);
    }
    let attempts = record.number.saturating_add(1);
    // What was pushed may be less than there is: before another attempt the venue is asked.
    Ok(if learned.pushed || !sends_are_over(record, learned, now) {
        WorkChange::Due(now.plus(Duration::from_secs(1)))
    } else if refused_for_good(learned, state) || attempts >= limits::EXIT_ATTEMPTS {
        WorkChange::Close
    } else {
        let pause = limits::EXIT_PAUSE.saturating_mul(attempts);
        WorkChange::NextAttempt(now.plus(pause.max(learned.wait.unwrap_or_default())))
    })
}

/// Whether a sale has matched in part and will match no more, by the venue's own word just now (what was pushed may
/// have been overtaken): what is left needs no finality of what was filled to be tried again. A filled part that fails
/// to settle later gives its shares back, to be looked at.
fn has_ended_in_part(record: &OrderRecord, learned: &Learned, state: OrderState, filled: &Filled) -> bool {
    let over =
        !learned.pushed && matches!(learned.event, Some(OrderEvent::SeenMatched | OrderEvent::SeenCancelled));
    let settling = matches!(state, OrderState::Matched | OrderState::Mined);
    record.intent.side == Side::Sell && over && settling && left_of(record, filled) >= LOT.0
}

/// Whether another attempt would be refused as well.
fn refused_for_good(learned: &Learned, state: OrderState) -> bool {
    state == OrderState::Rejected && !learned.refused.is_some_and(RejectReason::is_cured_by_new_rules)
}

/// What an intent may still give.
fn left_of(record: &OrderRecord, filled: &Filled) -> i64 {
    record.intent.amount.saturating_sub(given(record.intent.side, filled))
}

/// Whether the follower's exit of the token is to be looked at again: an exit is over and has not sold
/// everything that the venue takes, or a buy that was over brought shares after all, which no exit has counted.
fn revisits(
    record: &OrderRecord,
    learned: &Learned,
    work: WorkChange,
    filled: &Filled,
    delta: BookingDelta,
) -> bool {
    match record.intent.side {
        // What is below the minimum would be refused again, for ever.
        Side::Sell if learned.refused == Some(RejectReason::Minimum) => false,
        Side::Sell => work == WorkChange::Close && left_of(record, filled) >= LOT.0,
        Side::Buy => delta.shares.is_positive() && !record.state.is_open(),
    }
}

/// Whether no send of these bytes can still reach the venue, so that another attempt may be signed: every
/// permit is back, or its holder is proven dead and what it wrote has had time to arrive, or the bytes have
/// been unsendable for as long as it takes to count an order as never seen. That the venue shows the order proves nothing: the same bytes may have been
/// sent twice, and what it shows is the one that arrived.
pub(crate) fn sends_are_over(record: &OrderRecord, learned: &Learned, now: Timestamp) -> bool {
    let back = |holder: &InstanceId| learned.permit_returned.as_ref() == Some(holder);
    let long_over = now.since(record.resend_until) >= limits::UNSEEN_AFTER;
    let arrived = record.sender_ended_at.is_none_or(|ended| now.since(ended) >= limits::LATE_BYTES);
    (record.permits_out.iter().all(back) && arrived) || long_over
}

/// How long to wait before looking again: soon while the outcome is open, relaxed while it settles, and longer
/// where news come by themselves.
fn pause(record: &OrderRecord, learned: &Learned, state: OrderState, now: Timestamp) -> Duration {
    let age = now.since(record.signed_at);
    if learned.hurry {
        return Duration::ZERO;
    }
    let (least, most) = match (state.is_open(), learned.listening || learned.pushed) {
        (true, false) => (limits::OPEN_OUTCOME_LOOK, limits::OPEN_OUTCOME_LAST),
        (true, true) => (limits::LISTENING_LOOK, limits::OPEN_OUTCOME_LAST),
        (false, false) => (limits::KNOWN_OUTCOME_LOOK, limits::KNOWN_OUTCOME_LAST),
        (false, true) => (limits::KNOWN_OUTCOME_LAST, limits::KNOWN_OUTCOME_LAST),
    };
    (age / 4).clamp(least, most)
}

/// The first of what a line of the log is about, by its ids, and how many more.
pub(crate) fn named<Id: Display>(ids: &[Id]) -> String {
    let first: Vec<String> = ids.iter().take(limits::NAMED_IN_A_LINE).map(Id::to_string).collect();
    let more = match ids.len().saturating_sub(first.len()) {
        0 => String::new(),
        more => format!(" and {more} more"),
    };
    first.join(", ") + &more
}

#[cfg(test)]
mod tests {
    use super::*;

    /// The price of an exit that is off a changed tick is computed anew; what is refused for another reason
    /// would be refused again.
    #[test]
    fn only_a_changed_tick_is_tried_again() {
        let for_good =
            |refused| refused_for_good(&Learned { refused, ..Learned::default() }, OrderState::Rejected);
        assert!(!for_good(Some(RejectReason::Tick)) && !for_good(Some(RejectReason::Amounts)));
        let others =
            [None, Some(RejectReason::Money), Some(RejectReason::Banned), Some(RejectReason::Minimum)];
        assert!(others.into_iter().all(for_good));
        assert!(!refused_for_good(&Learned::default(), OrderState::Killed));
    }
}
