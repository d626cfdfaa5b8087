//! Exits to look at again.

use std::time::Duration;

use domain::{
    Side, Timestamp,
    ids::{IntentId, RelationshipId},
    trade::{Action, GroupKey, GroupState, TradeGroup},
};
use engine::ports::{
    detection::{
        DetectionCommit, DetectionOutcome, ExitNote, ExitRevisit, IntentFacts, MissedNote, NextLook,
    },
    execution::{EndReason, IntentCause, OrderUpdate, Why},
    following::{HoldScope, NewHold, RelationshipStatus},
};

use super::{
    bench::{Bench, CaseResult, only, same, some},
    holds::{hold, signable},
    world::{World, token, wallet},
};

/// Later than every due time here.
const FAR: Timestamp = Timestamp(i64::MAX);

fn note(world: &World, relationship: RelationshipId, of: u8, due: Timestamp) -> ExitNote {
    ExitNote { owner: world.owner, relationship, token: token(of), due }
}

async fn write(
    world: &World,
    notes: Vec<ExitNote>,
    looked: Vec<(ExitRevisit, Option<NextLook>)>,
) -> CaseResult {
    let commit = DetectionCommit { exit_notes: notes, revisited: looked, ..Default::default() };
    world.commit(&commit).await.map(drop)
}

pub(crate) async fn a_note_is_due_once_and_in_order(bench: Bench) -> CaseResult {
    let world = World::new(bench, 2).await?;
    let (first, second) = (world.follower(0)?.relationship, world.follower(1)?.relationship);
    let now = world.now();
    let later = now.plus(Duration::from_secs(5));
    let notes = vec![
        note(&world, first, 6, later),
        note(&world, second, 6, now),
        note(&world, second, 7, now),
        // Noted again, the first due time stands.
        note(&world, first, 6, now),
    ];
    write(&world, notes, Vec::new()).await?;
    let due = async |at, limit| world.store.due_revisits(at, limit).await;
    let keys = |list: Vec<ExitRevisit>| -> Vec<_> {
        list.into_iter().map(|one| (one.relationship, one.token, one.leader, one.owner, one.tries)).collect()
    };
    let of = |relationship, number| (relationship, token(number), world.leader, world.owner, 0);
    same!(keys(due(now, 9).await?), [of(second, 6), of(second, 7)], "due now");
    same!(keys(due(later, 9).await?), [of(second, 6), of(second, 7), of(first, 6)], "due later");
    same!(keys(due(later, 1).await?), [of(second, 6)], "at most one");
    Ok(())
}

pub(crate) async fn a_look_counts_while_its_version_stands(bench: Bench) -> CaseResult {
    let world = World::new(bench, 1).await?;
    let relationship = world.follower(0)?.relationship;
    let now = world.now();
    let again = now.plus(Duration::from_secs(2));
    let due = async |at| world.store.due_revisits(at, 9).await;
    write(&world, vec![note(&world, relationship, 6, now)], Vec::new()).await?;
    let looked = only(due(now).await?, "note")?;
    write(&world, Vec::new(), vec![(looked, Some(NextLook { due: again, tries: 3 }))]).await?;
    same!(due(now).await?, [], "after it was put off");
    let second = only(due(again).await?, "note put off")?;
    same!(second.tries, 3, "looks so far");
    // The same look, repeated after a lost answer, changes nothing; nor does one that missed a note.
    write(&world, Vec::new(), vec![(looked, None)]).await?;
    write(&world, vec![note(&world, relationship, 6, now)], Vec::new()).await?;
    write(&world, Vec::new(), vec![(second, None)]).await?;
    let third = only(due(again).await?, "note that was raised")?;
    same!((third.tries, third.version > second.version), (3, true), "after looks that were too old");
    write(&world, Vec::new(), vec![(third, None)]).await?;
    same!(due(FAR).await?, [], "after it was settled");
    Ok(())
}

pub(crate) async fn what_was_blocked_is_looked_at_at_once(bench: Bench) -> CaseResult {
    let world = World::new(bench, 2).await?;
    let (first, second) = (world.follower(0)?, world.follower(1)?);
    let (now, late) = (world.now(), world.now().plus(Duration::from_secs(600)));
    write(&world, vec![note(&world, first.relationship, 6, now)], Vec::new()).await?;
    write(&world, vec![note(&world, second.relationship, 6, late)], Vec::new()).await?;
    let due = async || -> CaseResult<Vec<RelationshipId>> {
        let due = world.store.due_revisits(world.now(), 9).await?;
        Ok(due.into_iter().map(|one| one.relationship).collect())
    };
    let put_off = async || -> CaseResult<Vec<ExitRevisit>> {
        let looked = world.store.due_revisits(world.now(), 9).await?;
        let again = |one: &ExitRevisit| (*one, Some(NextLook { due: late, tries: one.tries }));
        write(&world, Vec::new(), looked.iter().map(again).collect()).await?;
        Ok(looked)
    };
    let looked = put_off().await?;
    same!(due().await?, [], "after all were put off");
    let status =
        async |status| world.store.set_status(world.owner, first.relationship, status, world.now()).await;
    status(RelationshipStatus::Paused).await?;
    same!(due().await?, [], "a pause hurries nothing");
    status(RelationshipStatus::Active).await?;
    same!(due().await?, [first.relationship], "after it was resumed");
    // Who looked before, and found it paused, does not put it off.
    write(&world, Vec::new(), vec![(only(looked, "look")?, None)]).await?;
    same!(due().await?, [first.relationship], "after a look from before");
    put_off().await?;
    // Nor does he who reads the note after a hold was lifted and knows the holds of before.
    let hold =
        world.store.place_hold(None, &super::holds::hold(HoldScope::Installation), world.now()).await?;
    let version = world.store.config_version().await?;
    world.store.lift_hold(None, hold, world.now()).await?;
    let looked = world.store.due_revisits(world.now(), 9).await?;
    let again = |one: &ExitRevisit| (*one, Some(NextLook { due: late, tries: one.tries }));
    let stale = DetectionCommit { revisited: looked.iter().map(again).collect(), ..Default::default() };
    let outcome = world.store.commit_detection(&world.lease, version, &stale).await?;
    same!(outcome, DetectionOutcome::ConfigChanged, "a look with the holds of before");
    same!(due().await?.len(), looked.len(), "after that look");
    put_off().await?;
    let all = [first.relationship, second.relationship];
    let scopes = [
        (HoldScope::Installation, &all[..]),
        (HoldScope::Leader(world.leader), &all[..]),
        (HoldScope::Account(second.account), &all[1..]),
        (HoldScope::Relationship(first.relationship), &all[..1]),
    ];
    for (scope, expected) in scopes {
        let hold = world.store.place_hold(None, &super::holds::hold(scope), world.now()).await?;
        same!(due().await?, [], "a hold on {scope:?} hurries nothing");
        world.store.lift_hold(None, hold, world.now()).await?;
        same!(due().await?, expected, "after the hold on {scope:?} was lifted");
        put_off().await?;
    }
    Ok(())
}

pub(crate) async fn orders_and_ends_note_exits(bench: Bench) -> CaseResult {
    let world = World::new(bench, 1).await?;
    let relationship = world.follower(0)?.relationship;
    let due = async |at| world.store.due_revisits(at, 9).await;
    world.bought(1, 20_000_000).await?;
    same!(due(FAR).await?, [], "after a buy");
    let buy = world.intent(2, Side::Buy).await?;
    world.store.end_intents(&[(buy, EndReason::TooOld)], world.now()).await?;
    same!(due(FAR).await?, [], "after a buy ended");
    let later = world.now().plus(Duration::from_secs(1));
    let exit = world.intent(3, Side::Sell).await?;
    world.sign("a", exit, 0).await?;
    let order = world.order(exit, 0).await?;
    let stale =
        OrderUpdate { version: order.version + 1, revisit: Some(world.now()), ..world.unchanged(&order) };
    world.store.update_orders(&[stale]).await?;
    same!(due(FAR).await?, [], "after an update that was not applied");
    world.change(OrderUpdate { revisit: Some(later), ..world.unchanged(&order) }).await?;
    same!(due(world.now()).await?, [], "before it is due");
    let noted = only(due(later).await?, "note of an order")?;
    same!((noted.relationship, noted.token), (relationship, world.key(3, Side::Sell).token), "what is noted");
    let other = world.intent(4, Side::Sell).await?;
    world.store.end_intents(&[(other, EndReason::Unbuildable)], world.now()).await?;
    let raised = only(due(later).await?, "note of an end")?;
    same!(raised.version > noted.version, true, "the end of another exit of the token raises the note");
    Ok(())
}

pub(crate) async fn the_newest_sale_has_the_highest_block(bench: Bench) -> CaseResult {
    let world = World::new(bench, 0).await?;
    let other = world.store.add_leader(wallet(8), world.now()).await?;
    let newest = async || world.store.newest_sale(world.leader, token(6)).await;
    same!(newest().await?, None, "no sale yet");
    let sale = |tx: u8, block: Option<i64>| TradeGroup { block, ..world.group(world.key(tx, Side::Sell)) };
    let mut unanswered = sale(4, Some(40));
    unanswered.parts = 0;
    // What no block has is no sale.
    let absent = TradeGroup { state: GroupState::Phantom, chain: None, ..sale(7, Some(70)) };
    let mut of_other = sale(5, Some(50));
    of_other.key.leader = other;
    let moved = |tx: u8, block, action| TradeGroup {
        block: Some(block),
        ..world.group(GroupKey { action, ..world.key(tx, Side::Buy) })
    };
    let others = [Action::Buy, Action::Receive, Action::Redeem, Action::Send];
    let others = (6_u8..).zip(others).map(|(tx, action)| moved(tx, 60, action));
    let sales = [sale(1, Some(10)), sale(2, Some(30)), sale(3, None), unanswered, absent, of_other];
    let groups = sales.into_iter().chain(others).collect();
    world.commit(&DetectionCommit { groups, ..Default::default() }).await?;
    same!(some(newest().await?, "newest sale")?.key, world.key(2, Side::Sell), "the newest sale");
    let merged = moved(20, 31, Action::Merge);
    world.commit(&DetectionCommit { groups: vec![merged], ..Default::default() }).await?;
    same!(some(newest().await?, "newest sale")?.key, merged.key, "a merge is one");
    Ok(())
}

pub(crate) async fn what_is_missed_is_synced_once(bench: Bench) -> CaseResult {
    let world = World::new(bench, 2).await?;
    let (first, second) = (world.follower(0)?, world.follower(1)?);
    let (one, two) = (world.key(1, Side::Buy), world.key(2, Side::Buy));
    let note = |relationship, key| MissedNote { owner: world.owner, relationship, key };
    let notes =
        [note(first.relationship, one), note(first.relationship, two), note(second.relationship, one)];
    let left = async |limit| world.store.missed_buys(limit).await;
    let commit = DetectionCommit {
        groups: vec![world.group(one), world.group(two)],
        missed: notes.to_vec(),
        ..Default::default()
    };
    world.commit(&commit).await?;
    world.commit(&commit).await?;
    same!(left(9).await?, notes, "what is missed");
    same!(left(1).await?, notes[..1], "at most one");
    let synced = DetectionCommit { synced: notes[..2].to_vec(), ..Default::default() };
    world.commit(&synced).await?;
    same!(left(9).await?, notes[2..], "after the first follower's sync");
    // Noted again, it stays synced.
    world.commit(&commit).await?;
    same!(left(9).await?, notes[2..], "after it was noted again");
    // A sync's intent tells through which block exits are taken off already: they count from the next one on.
    let mut copy = world.copy(second, two, 0)?;
    copy.intent = copy.intent.map(|facts| IntentFacts { why: Why::Target { through: 77 }, ..facts });
    let decided = DetectionCommit {
        parts: vec![world.part(two, 0)?],
        decisions: vec![copy],
        synced: notes[2..].to_vec(),
        ..Default::default()
    };
    world.commit(&decided).await?;
    same!(left(9).await?, [], "after every sync");
    let intents = world.store.intents_after(None, IntentId(0), 9).await?;
    let intent = only(intents, "intent of the sync")?;
    same!(intent.cause, IntentCause { key: two, part: 0, why: Why::Target { through: 77 } }, "its cause");
    world.fill_all(intent.id, 10_000_000).await?;
    let basis = world.store.exit_basis(world.leader, two.token, None).await?;
    let blocks: Vec<i64> =
        basis.holders.iter().flat_map(|holder| &holder.buys).map(|buy| buy.block).collect();
    same!(blocks, [78], "the block that exits count from");
    Ok(())
}

pub(crate) async fn what_is_to_be_sold_is_looked_at(bench: Bench) -> CaseResult {
    let world = World::new(bench, 2).await?;
    world.endow(1, 10_000_000).await?;
    let (first, second, sold) = (world.follower(0)?, world.follower(1)?, world.key(1, Side::Buy));
    let status =
        async |of: RelationshipId, status| world.store.set_status(world.owner, of, status, world.now()).await;
    status(first.relationship, RelationshipStatus::Stopped).await?;
    let sale = world.intent(2, Side::Sell).await?;
    same!(signable(&world, &[sale], 0).await?, [false], "a sale of who stopped");
    for due in world.store.due_revisits(FAR, 9).await? {
        write(&world, Vec::new(), vec![(due, None)]).await?;
    }
    let sells = NewHold { sells: true, ..hold(HoldScope::Account(first.account)) };
    same!(world.store.hold_once(&sells, world.now()).await?.is_some(), true, "the hold is placed");
    same!(world.store.hold_once(&sells, world.now()).await?, None, "it is placed once");
    let due = only(world.store.due_revisits(world.now(), 9).await?, "note of what is held")?;
    same!((due.relationship, due.token), (first.relationship, sold.token), "whose, and what");
    let following = world.store.following(world.now()).await?;
    let left: Vec<RelationshipId> = following.left_over.iter().map(|one| one.id).collect();
    same!(left, [first.relationship], "stopped, with something left");
    same!(following.holds.iter().map(|hold| hold.sells).collect::<Vec<_>>(), [true], "a hold that sells");
    same!(signable(&world, &[sale], 0).await?, [true], "a sale of who stopped, under the hold");
    let all = NewHold { sells: true, ..hold(HoldScope::Installation) };
    world.store.place_hold(None, &all, world.now()).await?;
    let due: Vec<RelationshipId> =
        world.store.due_revisits(world.now(), 9).await?.iter().map(|one| one.relationship).collect();
    same!(due, [first.relationship, second.relationship], "everything held is looked at");
    Ok(())
}
