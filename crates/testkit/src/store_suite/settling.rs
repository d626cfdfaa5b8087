//! Updates of orders: compare-and-set, work rows, evidence of the venue and of the chain.

use std::time::Duration;

use domain::{
    Side, Timestamp, Usd,
    lifecycle::{Evidence, Filled, OrderAlarm, OrderState},
    trade::Quantity,
};
use engine::ports::{
    detection::{DetectionCommit, Lane, Source},
    execution::{OrderUpdate, StageTimes, WorkChange},
    store::EventKind,
    venue::{SettlementStatus, VenueTrade},
};

use super::{
    bench::{Bench, CaseResult, holds, only, same},
    world::{LEASE, World, hash, quantity, worker},
};

pub(crate) async fn an_update_needs_the_version_it_was_computed_from(bench: Bench) -> CaseResult {
    let world = World::new(bench, 2).await?;
    let intents = world.trade(1, Side::Buy).await?;
    for intent in &intents {
        world.sign("a", *intent, 0).await?;
    }
    let orders = world.store.attempts_of(&intents).await?;
    let [first, second] = orders.as_slice() else {
        return Err(super::bench::Failure::new("two orders expected"));
    };
    let seen = OrderUpdate {
        state: OrderState::Unknown,
        reply: Some(quantity(5, 3)),
        unseen_for: Duration::from_secs(7),
        looked_up_at: Some(Timestamp(99)),
        ..world.unchanged(first)
    };
    let changed = world.change(seen.clone()).await?;
    same!(changed.version, first.version + 1, "the version");
    same!((changed.state, changed.evidence.reply), (OrderState::Unknown, quantity(5, 3)), "state and reply");
    same!((changed.unseen_for, changed.looked_up_at), (seen.unseen_for, seen.looked_up_at), "look-ups");
    // One batch: a stale update, one of another order, one that follows it, and one of nothing.
    let stale = OrderUpdate { state: OrderState::Killed, ..world.unchanged(first) };
    let live = OrderUpdate { state: OrderState::Live, ..world.unchanged(second) };
    let follows = OrderUpdate { version: second.version + 1, state: OrderState::Delayed, ..live.clone() };
    let nothing = OrderUpdate { attempt: domain::ids::AttemptId(77_777), ..live.clone() };
    let answers = world.store.update_orders(&[stale, live, follows, nothing]).await?;
    same!(answers, [false, true, true, false], "which of a batch were applied");
    let after = world.store.attempts_of(&intents).await?;
    let states: Vec<_> = after.iter().map(|order| (order.state, order.version - first.version)).collect();
    same!(states, [(OrderState::Unknown, 1), (OrderState::Delayed, 2)], "states and versions");
    same!(world.store.update_orders(&[]).await?.len(), 0, "answers to nothing");
    Ok(())
}

pub(crate) async fn a_reply_is_kept_until_replaced(bench: Bench) -> CaseResult {
    let world = World::new(bench, 1).await?;
    let intent = world.intent(1, Side::Buy).await?;
    world.sign("a", intent, 0).await?;
    let mut order = world.order(intent, 0).await?;
    for (reply, stored) in [
        (Some(quantity(5, 3)), quantity(5, 3)),
        (None, quantity(5, 3)),
        (Some(quantity(0, 0)), quantity(0, 0)),
    ] {
        order = world.change(OrderUpdate { reply, ..world.unchanged(&order) }).await?;
        same!(order.evidence.reply, stored, "the reply after {reply:?}");
    }
    for reply_estimated in [true, false] {
        order = world.change(OrderUpdate { reply_estimated, ..world.unchanged(&order) }).await?;
        same!(order.evidence.reply_estimated, reply_estimated, "whether the reply is estimated");
    }
    Ok(())
}

pub(crate) async fn the_first_word_on_a_stage_stands(bench: Bench) -> CaseResult {
    let world = World::new(bench, 1).await?;
    let intent = world.intent(1, Side::Buy).await?;
    world.sign("a", intent, 0).await?;
    let order = world.order(intent, 0).await?;
    let first = StageTimes { sent: Some(Timestamp(1)), mined: Some(Timestamp(3)), ..StageTimes::default() };
    let order = world.change(OrderUpdate { times: first, ..world.unchanged(&order) }).await?;
    same!(order.times, first, "the first times");
    let [sent, replied, mined, confirmed] = [5, 6, 7, 8].map(|at| Some(Timestamp(at)));
    let second = StageTimes { sent, replied, mined, confirmed };
    let order = world.change(OrderUpdate { times: second, ..world.unchanged(&order) }).await?;
    same!(order.times, StageTimes { sent: first.sent, mined: first.mined, ..second }, "the times of both");
    Ok(())
}

fn trade(id: &str, status: SettlementStatus, shares: i64) -> VenueTrade {
    let (usd, fee) = (Usd(shares / 2), Usd(shares / 10));
    VenueTrade { id: id.to_owned(), status, shares: domain::Shares(shares), usd, fee, tx: None }
}

pub(crate) async fn venue_trades_are_summed_by_their_state(bench: Bench) -> CaseResult {
    use SettlementStatus::{Confirmed, Failed, Matched, Mined, Retrying};
    let world = World::new(bench, 1).await?;
    let intent = world.intent(1, Side::Buy).await?;
    world.sign("a", intent, 0).await?;
    let mut order = world.order(intent, 0).await?;
    let filled = |shares: i64| Filled { quantity: quantity(shares, shares / 2), fee: Usd(shares / 10) };
    // Trades that came, and what all stored trades say then.
    let steps = [
        (vec![trade("x", Matched, 100), trade("y", Mined, 40)], filled(140), Quantity::ZERO, false, false),
        (vec![trade("x", Confirmed, 100)], filled(140), Quantity::ZERO, false, false),
        (vec![trade("y", Retrying, 60)], filled(160), Quantity::ZERO, true, false),
        (vec![trade("y", Failed, 60)], filled(100), quantity(60, 30), false, true),
        (vec![], filled(100), quantity(60, 30), false, true),
        (vec![trade("x", Failed, 100)], filled(0), quantity(160, 80), false, false),
    ];
    for (trades, alive, failed, retrying, trades_confirmed) in steps {
        let told = format!("{trades:?}");
        order = world.change(OrderUpdate { trades, ..world.unchanged(&order) }).await?;
        let expected = Evidence { trades: alive, failed, retrying, trades_confirmed, ..Evidence::default() };
        same!(order.evidence, expected, "evidence after {told}");
    }
    let last = [trade("x", Failed, 100), trade("y", Failed, 60)];
    same!(order.trades, last, "the trades themselves, by id");
    let tx = Some(domain::TxHash([7; 32]));
    let mined = VenueTrade { tx, ..trade("x", Mined, 100) };
    order = world.change(OrderUpdate { trades: vec![mined.clone()], ..world.unchanged(&order) }).await?;
    same!(order.trades.first(), Some(&mined), "a trade with its transaction");
    Ok(())
}

pub(crate) async fn trades_that_are_gone_count_no_more(bench: Bench) -> CaseResult {
    let world = World::new(bench, 1).await?;
    let intent = world.intent(1, Side::Buy).await?;
    world.sign("a", intent, 0).await?;
    let order = world.order(intent, 0).await?;
    let (one, other) =
        (trade("one", SettlementStatus::Mined, 100), trade("other", SettlementStatus::Mined, 40));
    let both = OrderUpdate { trades: vec![one, other.clone()], ..world.unchanged(&order) };
    let order = world.change(both).await?;
    let again = trade("again", SettlementStatus::Mined, 100);
    let renamed = OrderUpdate {
        trades: vec![again.clone()],
        trades_gone: vec!["one".to_owned(), "nobody".to_owned()],
        ..world.unchanged(&order)
    };
    let order = world.change(renamed).await?;
    same!(order.trades, [again, other], "the trades that are left");
    same!(order.evidence.trades.quantity, quantity(140, 70), "their sum");
    // Within one batch the later word counts.
    let version = order.version + 1;
    let gone = OrderUpdate { trades_gone: vec!["again".to_owned()], ..world.unchanged(&order) };
    let back = OrderUpdate {
        version,
        trades: vec![trade("again", SettlementStatus::Confirmed, 100)],
        ..world.unchanged(&order)
    };
    same!(world.store.update_orders(&[gone, back]).await?, [true, true], "gone and back in one batch");
    same!(world.order(intent, 0).await?.evidence.trades.quantity, quantity(140, 70), "their sum then");
    Ok(())
}

pub(crate) async fn chain_fills_are_evidence_while_canonical(bench: Bench) -> CaseResult {
    let world = World::new(bench, 2).await?;
    let intents = world.trade(1, Side::Buy).await?;
    for intent in &intents {
        world.sign("a", *intent, 0).await?;
    }
    let intent = super::bench::at(&intents, 0)?;
    let order = world.order(intent, 0).await?;
    let fills = vec![world.fill(&order, 20, 1, 4_000), world.fill(&order, 21, 0, 600)];
    let chain = async |commit: DetectionCommit| -> CaseResult<(i64, bool)> {
        world.commit(&commit).await?;
        let evidence = world.order(intent, 0).await?.evidence;
        let shares = evidence.chain.quantity.shares.0;
        same!(evidence.chain.quantity.usd, Usd(shares / 2), "dollars of {shares} shares");
        same!(evidence.chain.fee, Usd(shares / 100), "fee of {shares} shares");
        Ok((shares, evidence.chain_final))
    };
    let none = DetectionCommit::default;
    let finalized = |at| DetectionCommit { cursors: vec![(Source::Finalized, at)], ..none() };
    same!(chain(finalized(5)).await?, (0, false), "before any fill");
    same!(chain(DetectionCommit { fills: fills.clone(), ..none() }).await?, (4_600, false), "two fills");
    same!(chain(finalized(20)).await?, (4_600, false), "one of them final");
    same!(chain(finalized(21)).await?, (4_600, true), "both of them final");
    same!(chain(finalized(19)).await?, (4_600, false), "none of them final");
    let reorg = DetectionCommit { orphaned: vec![hash(21)], ..none() };
    same!(chain(reorg).await?, (4_000, false), "one of them orphaned");
    same!(chain(finalized(20)).await?, (4_000, true), "what is left is final");
    let moved = world.fill(&order, 22, 3, 600);
    same!(chain(DetectionCommit { fills: vec![moved], ..none() }).await?, (4_600, false), "the fill moved");
    let back = DetectionCommit { orphaned: vec![hash(22)], fills, ..none() };
    same!(chain(back).await?, (4_600, false), "the old block came back");
    let other = world.order(super::bench::at(&intents, 1)?, 0).await?;
    same!(other.evidence, Evidence::default(), "evidence of another order");
    Ok(())
}

pub(crate) async fn changed_fills_are_news_until_an_update(bench: Bench) -> CaseResult {
    let world = World::new(bench, 1).await?;
    let intent = world.intent(1, Side::Buy).await?;
    world.sign("a", intent, 0).await?;
    let order = world.order(intent, 0).await?;
    let closed = OrderUpdate {
        state: OrderState::ExpiredUnseen,
        work: WorkChange::Close,
        release_reserve: true,
        ..world.unchanged(&order)
    };
    let order = world.change(closed).await?;
    let news = async || -> CaseResult<Vec<i64>> {
        Ok(world
            .store
            .unbooked_orders(domain::ids::AttemptId(0), 9)
            .await?
            .iter()
            .map(|order| order.version)
            .collect())
    };
    let settle = async || -> CaseResult {
        let order = world.order(intent, 0).await?;
        world.change(OrderUpdate { work: WorkChange::Close, ..world.unchanged(&order) }).await.map(drop)
    };
    same!(news().await?.len(), 0, "orders with news at first");
    let fills = vec![world.fill(&order, 20, 1, 400), world.fill(&order, 20, 2, 600)];
    let mined = DetectionCommit { fills: fills.clone(), ..Default::default() };
    world.commit(&mined).await?;
    same!(news().await?, [order.version + 1], "orders with news after two fills in one commit");
    same!(world.apply(world.unchanged(&order)).await?, false, "an update that does not know of the fills");
    same!(news().await?.len(), 1, "orders with news after a refused update");
    settle().await?;
    same!(news().await?.len(), 0, "orders with news after an update");
    world.commit(&mined).await?;
    same!(news().await?.len(), 0, "orders with news after the same fills came again");
    world.commit(&DetectionCommit { orphaned: vec![hash(20)], ..Default::default() }).await?;
    same!(news().await?, [order.version + 3], "orders with news after a reorganisation");
    settle().await?;
    world.commit(&DetectionCommit { orphaned: vec![hash(20)], ..Default::default() }).await?;
    same!(news().await?.len(), 0, "orders with news after the same block was orphaned again");
    world.commit(&mined).await?;
    same!(news().await?.len(), 1, "orders with news after the fills came back");
    same!(world.store.unbooked_orders(domain::ids::AttemptId(0), 0).await?, [], "at most none");
    same!(world.store.unbooked_orders(order.attempt, 9).await?, [], "after the last");
    let order = world.order(intent, 0).await?;
    let kept = OrderUpdate { unbooked: true, work: WorkChange::Close, ..world.unchanged(&order) };
    world.change(kept).await?;
    same!(news().await?.len(), 1, "orders with news after an update that keeps it there");
    settle().await?;
    same!(news().await?.len(), 0, "orders with news after one that does not");
    Ok(())
}

pub(crate) async fn work_goes_where_the_update_says(bench: Bench) -> CaseResult {
    let world = World::new(bench, 1).await?;
    world.bought(2, 10_000_000).await?;
    let intent = world.intent(1, Side::Sell).await?;
    let (attempt, fence) = world.sign("a", intent, 0).await?;
    let order = world.order(intent, 0).await?;
    let due = world.now().plus(Duration::from_secs(3));
    let order = world.change(OrderUpdate { work: WorkChange::Due(due), ..world.unchanged(&order) }).await?;
    same!((order.open_work, order.fence), (true, fence), "work and fence of an order that is due later");
    same!(world.store.claim_due(&worker("a"), LEASE, world.now(), 9).await?, [], "work before its time");
    let claimed = only(world.store.claim_due(&worker("b"), LEASE, due, 9).await?, "work in time")?;
    let granted = world.store.grant_permit(attempt, &worker("b"), claimed.fence, due).await?.is_some();
    holds!(granted && claimed.fence > fence, "b must get a permit above {fence}: {}", claimed.fence);
    let (fence, order) = (claimed.fence, world.order(intent, 0).await?);
    let killed =
        OrderUpdate { state: OrderState::Killed, work: WorkChange::Close, ..world.unchanged(&order) };
    let order = world.change(killed).await?;
    same!((order.open_work, order.fence), (false, 0), "work and fence of a closed order");
    let far = world.now().plus(LEASE * 9);
    same!(world.store.claim_due(&worker("b"), LEASE, far, 9).await?, [], "work of a closed order");
    same!(world.store.waiting(Lane::Exits, far, 9).await?, [], "waiting intents");
    same!(
        world.store.grant_permit(attempt, &worker("b"), fence, far).await?.is_some(),
        false,
        "sending a closed order"
    );
    same!(world.store.ends_of(&[intent]).await?, [], "an end: an order closed it");
    // No state is for ever: what was closed may have to be looked at again.
    let order = world.change(OrderUpdate { work: WorkChange::Due(due), ..world.unchanged(&order) }).await?;
    holds!(order.open_work && order.fence > fence, "reopened work needs a new fence: {}", order.fence);
    same!(
        world.store.grant_permit(attempt, &worker("b"), fence, far).await?.is_some(),
        false,
        "sending with an old fence"
    );
    let claimed = only(world.store.claim_due(&worker("a"), LEASE, due, 9).await?, "reopened order")?;
    same!(claimed.attempt, attempt, "whose work was reopened");
    Ok(())
}

pub(crate) async fn late_news_of_an_old_attempt_leaves_the_new_one_alone(bench: Bench) -> CaseResult {
    let world = World::new(bench, 1).await?;
    world.bought(1, 20_000_000).await?;
    let exit = world.intent(2, Side::Sell).await?;
    world.sign("a", exit, 0).await?;
    let old = world.order(exit, 0).await?;
    let killed = OrderUpdate {
        state: OrderState::Killed,
        permit_returned: Some(worker("a")),
        work: WorkChange::NextAttempt(world.now()),
        ..world.unchanged(&old)
    };
    world.change(killed).await?;
    let (new_attempt, fence) = world.sign("b", exit, 1).await?;
    same!(
        world.store.grant_permit(old.attempt, &worker("b"), fence, world.now()).await?.is_some(),
        false,
        "sending the old"
    );
    for work in [WorkChange::Close, WorkChange::NextAttempt(world.now()), WorkChange::Due(world.now())] {
        let fills = vec![world.fill(&old, 40, world.order(exit, 0).await?.version, 1_000)];
        world.commit(&DetectionCommit { fills, ..Default::default() }).await?;
        let news = only(world.store.unbooked_orders(domain::ids::AttemptId(0), 9).await?, "order with news")?;
        same!((news.attempt, news.open_work), (old.attempt, false), "the old attempt");
        let booking = world.booking(&news, 1_000).await?;
        world.change(OrderUpdate { state: OrderState::Mined, work, ..booking }).await?;
        let newest = world.order(exit, 1).await?;
        same!((newest.attempt, newest.open_work, newest.fence), (new_attempt, true, fence), "after {work:?}");
        same!(world.store.waiting(Lane::Exits, world.now(), 9).await?, [], "waiting exits after {work:?}");
    }
    let due = world.now().plus(LEASE * 2);
    let claimed = world.store.claim_due(&worker("b"), LEASE, due, 9).await?;
    same!(only(claimed, "claimed order")?.attempt, new_attempt, "the order to settle");
    Ok(())
}

pub(crate) async fn a_next_attempt_is_leased_by_nobody(bench: Bench) -> CaseResult {
    let world = World::new(bench, 1).await?;
    world.bought(1, 20_000_000).await?;
    let exit = world.intent(2, Side::Sell).await?;
    let (attempt, fence) = world.sign("a", exit, 0).await?;
    let killed = OrderUpdate {
        state: OrderState::Killed,
        permit_returned: Some(worker("a")),
        work: WorkChange::NextAttempt(world.now()),
        ..world.unchanged(&world.order(exit, 0).await?)
    };
    world.change(killed).await?;
    let far = world.now().plus(LEASE * 9);
    same!(world.store.claim_due(&worker("a"), LEASE, far, 9).await?, [], "work to settle while it waits");
    same!(
        world.store.grant_permit(attempt, &worker("a"), fence, far).await?.is_some(),
        false,
        "sending while it waits"
    );
    let (_, next) = world.sign("a", exit, 1).await?;
    holds!(next > fence, "the same holder's next attempt needs a new fence: {next} after {fence}");
    Ok(())
}

pub(crate) async fn changes_of_orders_are_told_once(bench: Bench) -> CaseResult {
    let world = World::new(bench, 1).await?;
    let intent = world.intent(1, Side::Buy).await?;
    let last = world.store.events_after(0, 1_000).await?.last().map_or(0, |(id, _)| *id);
    world.sign("a", intent, 0).await?;
    let order = world.order(intent, 0).await?;
    let update = OrderUpdate {
        state: OrderState::Matched,
        alarms: vec![OrderAlarm::Overfilled],
        ..world.unchanged(&order)
    };
    let changed = world.change(update.clone()).await?;
    same!(world.apply(update).await?, false, "the same update again");
    world.change(world.unchanged(&changed)).await?;
    let events = world.store.events_after(last, 9).await?;
    let owned = events.iter().all(|(_, event)| event.owner == Some(world.owner));
    holds!(owned, "an order's events belong to its owner: {events:?}");
    let kinds: Vec<_> = events.into_iter().map(|(_, event)| event.kind).collect();
    let id = order.order.id;
    let expected = [
        EventKind::OrderChanged { order: id, state: OrderState::Matched },
        EventKind::OrderAlarm { order: id, alarm: OrderAlarm::Overfilled },
    ];
    same!(kinds, expected, "events of the order");
    Ok(())
}

pub(crate) async fn the_next_due_order_is_known(bench: Bench) -> CaseResult {
    let world = World::new(bench, 1).await?;
    same!(world.store.next_due().await?, None, "without orders");
    let intent = world.intent(1, Side::Buy).await?;
    same!(world.store.next_due().await?, None, "with an intent that waits");
    world.sign("a", intent, 0).await?;
    let leased = world.store.next_due().await?;
    holds!(leased > Some(world.now()), "an order is due when its sender's lease runs out, not {leased:?}");
    let soon = world.now().plus(Duration::from_millis(200));
    let order = world.order(intent, 0).await?;
    let order = world.change(OrderUpdate { work: WorkChange::Due(soon), ..world.unchanged(&order) }).await?;
    same!(world.store.next_due().await?, Some(soon), "after an update");
    world.change(OrderUpdate { work: WorkChange::Close, ..world.unchanged(&order) }).await?;
    same!(world.store.next_due().await?, None, "after its end");
    Ok(())
}

pub(crate) async fn open_outcomes_name_their_accounts(bench: Bench) -> CaseResult {
    let world = World::new(bench, 3).await?;
    let intents = world.trade(1, Side::Buy).await?;
    for intent in &intents {
        world.sign("a", *intent, 0).await?;
    }
    let open = async |limit| -> CaseResult<Vec<i64>> {
        Ok(world.store.open_accounts(limit).await?.iter().map(|account| account.id.0).collect())
    };
    let account = |index| world.follower(index).map(|follower| follower.account.0);
    same!(open(9).await?.len(), 0, "accounts of orders that were signed and nothing else");
    let mut orders = Vec::new();
    for (intent, state) in intents.iter().zip([OrderState::Live, OrderState::Unknown, OrderState::Delayed]) {
        let order = world.order(*intent, 0).await?;
        orders.push(world.change(OrderUpdate { state, ..world.unchanged(&order) }).await?);
    }
    same!(open(9).await?, [account(0)?, account(1)?, account(2)?], "accounts with open outcomes");
    same!(open(2).await?.len(), 2, "at most two");
    let known = world.store.open_accounts(1).await?;
    let first = only(known, "account")?;
    same!(Some(&first), orders.first().map(|order| &order.intent.account), "the whole account");
    for (order, state) in orders.iter().zip([OrderState::Matched, OrderState::Killed]) {
        world.change(OrderUpdate { state, ..world.unchanged(order) }).await?;
    }
    same!(open(9).await?, [account(2)?], "accounts after two outcomes became known");
    Ok(())
}

pub(crate) async fn an_account_is_hurried_where_nobody_holds_its_work(bench: Bench) -> CaseResult {
    let world = World::new(bench, 2).await?;
    let intents = world.trade(1, Side::Buy).await?;
    for intent in &intents {
        world.sign("a", *intent, 0).await?;
    }
    let (first, second) = (world.follower(0)?.account, world.follower(1)?.account);
    same!(world.store.hurry(&[first], world.now()).await?, 0, "hurried work that is held");
    let due = world.now().plus(Duration::from_secs(9));
    for intent in &intents {
        let order = world.order(*intent, 0).await?;
        world.change(OrderUpdate { work: WorkChange::Due(due), ..world.unchanged(&order) }).await?;
    }
    same!(world.store.claim_due(&worker("b"), LEASE, world.now(), 9).await?, [], "work before its time");
    same!(world.store.hurry(&[first], world.now()).await?, 1, "hurried work");
    same!(world.store.hurry(&[first], world.now()).await?, 0, "hurried work that is due already");
    let claimed = only(world.store.claim_due(&worker("b"), LEASE, world.now(), 9).await?, "hurried order")?;
    same!(claimed.intent.account.id, first, "whose work is due");
    same!(
        world.store.hurry(&[first, second], world.now()).await?,
        1,
        "hurried work of both accounts, one of them held"
    );
    Ok(())
}

pub(crate) async fn foreign_orders_are_told_once(bench: Bench) -> CaseResult {
    let world = World::new(bench, 2).await?;
    let last = world.store.events_after(0, 1_000).await?.last().map_or(0, |(id, _)| *id);
    let (account, other) = (world.follower(0)?.account, world.follower(1)?.account);
    let [one, two] = [1, 2].map(|byte| domain::OrderId([byte; 32]));
    let note = async |orders: &[_]| world.store.note_foreign_orders(orders, world.now()).await;
    same!(note(&[(account, one)]).await?, 1, "new orders");
    same!(note(&[(account, one), (other, two), (other, two)]).await?, 1, "new orders of known and new ones");
    same!(note(&[(domain::ids::AccountId(77_777), domain::OrderId([3; 32]))]).await?, 0, "of no account");
    same!(note(&[]).await?, 0, "of none");
    let events = world.store.events_after(last, 9).await?;
    holds!(events.iter().all(|(_, event)| event.owner == Some(world.owner)), "whose events: {events:?}");
    let kinds: Vec<_> = events.into_iter().map(|(_, event)| event.kind).collect();
    let told = |account, order| EventKind::ForeignOrder { account, order };
    same!(kinds, [told(account, one), told(other, two)], "what is told");
    Ok(())
}
