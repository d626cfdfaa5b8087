//! Pauses and holds: effective at the signing statement, and never more than their cause.

use std::{
    sync::{
        Arc,
        atomic::{AtomicBool, Ordering},
    },
    time::Duration,
};

use domain::{
    Side,
    ids::{AccountId, HoldId, LeaderId, RelationshipId},
};
use engine::ports::{
    execution::SignedOutcome,
    following::{HoldCause, HoldScope, NewHold, RelationshipStatus},
    store::{EventKind, StoreError},
};

use super::{
    bench::{Bench, CaseResult, at, holds, only, same},
    world::{LEASE, World, worker},
};

pub(crate) fn hold(scope: HoldScope) -> NewHold {
    NewHold {
        scope,
        cause: HoldCause::Incident,
        reason: "the venue answers nonsense".to_owned(),
        stops_exits: false,
        sells: false,
        expires_at: None,
    }
}

/// Which of `intents` may be signed now; signs none of those that may not.
pub(crate) async fn signable(
    world: &World,
    intents: &[domain::ids::IntentId],
    number: u32,
) -> CaseResult<Vec<bool>> {
    let attempts: Vec<_> = intents.iter().map(|intent| world.attempt(*intent, number)).collect();
    let outcomes = world.store.commit_signed(&worker("a"), LEASE, &attempts).await?;
    let mut answers = Vec::new();
    for outcome in outcomes {
        holds!(outcome != SignedOutcome::NotWaiting, "an intent that waits is told not to");
        answers.push(matches!(outcome, SignedOutcome::Won { .. }));
    }
    Ok(answers)
}

pub(crate) async fn a_pause_stops_the_very_next_signature(bench: Bench) -> CaseResult {
    let world = World::new(bench, 2).await?;
    world.endow(3, 10_000_000).await?;
    let entries = world.trade(1, Side::Buy).await?;
    let exits = world.trade(2, Side::Sell).await?;
    let relationship = world.follower(0)?.relationship;
    let (paused, other) = ([at(&entries, 0)?, at(&exits, 0)?], [at(&entries, 1)?, at(&exits, 1)?]);
    world.store.set_status(world.owner, relationship, RelationshipStatus::Paused, world.now()).await?;
    same!(signable(&world, &paused, 0).await?, [false, false], "paused: entry and exit");
    same!(signable(&world, &other, 0).await?, [true, true], "another follower's entry and exit");
    same!(world.store.load_waiting(&paused).await?.len(), 2, "blocked intents that still wait");
    world.store.set_status(world.owner, relationship, RelationshipStatus::Active, world.now()).await?;
    same!(signable(&world, &paused, 0).await?, [true, true], "resumed: entry and exit");
    Ok(())
}

pub(crate) async fn a_stopped_relationship_signs_nothing(bench: Bench) -> CaseResult {
    let world = World::new(bench, 1).await?;
    let intents = [world.intent(1, Side::Buy).await?, world.intent(2, Side::Sell).await?];
    let relationship = world.follower(0)?.relationship;
    world.store.set_status(world.owner, relationship, RelationshipStatus::Stopped, world.now()).await?;
    same!(signable(&world, &intents, 0).await?, [false, false], "stopped: entry and exit");
    Ok(())
}

pub(crate) async fn nothing_is_signed_once_a_pause_has_returned(bench: Bench) -> CaseResult {
    let world = Arc::new(World::new(bench, 40).await?);
    let intents = world.trade(1, Side::Buy).await?;
    let signing = Arc::new(AtomicBool::new(false));
    let job = {
        let (world, signing) = (Arc::clone(&world), Arc::clone(&signing));
        let spawn = world.bench.spawn;
        spawn(Box::pin(async move {
            for intent in intents {
                let attempt = world.attempt(intent, 0);
                // A store that fails here is caught by the other cases.
                drop(world.store.commit_signed(&worker("a"), LEASE, &[attempt]).await);
                signing.store(true, Ordering::Release);
            }
        }))
    };
    for follower in &world.followers {
        world
            .store
            .set_status(world.owner, follower.relationship, RelationshipStatus::Paused, world.now())
            .await?;
    }
    let signed = world.store.find_orders(None, &[], 1_000).await?.len();
    job.await;
    holds!(signing.load(Ordering::Acquire), "the other job must have run");
    same!(world.store.find_orders(None, &[], 1_000).await?.len(), signed, "orders after the pauses returned");
    Ok(())
}

pub(crate) async fn a_hold_stops_entries_in_its_scope(bench: Bench) -> CaseResult {
    let world = World::new(bench, 2).await?;
    let first = world.follower(0)?;
    let scopes = [
        (HoldScope::Installation, [false, false]),
        (HoldScope::Leader(world.leader), [false, false]),
        (HoldScope::Account(first.account), [false, true]),
        (HoldScope::Relationship(first.relationship), [false, true]),
    ];
    for (number, (scope, expected)) in (1..).zip(scopes) {
        world.endow(number + 200, 10_000_000).await?;
        let entries = world.trade(number, Side::Buy).await?;
        let exits = world.trade(number + 100, Side::Sell).await?;
        let version = world.store.config_version().await?;
        let id = world.store.place_hold(None, &hold(scope), world.now()).await?;
        holds!(world.store.config_version().await? > version, "a hold must raise the version");
        same!(signable(&world, &entries, 0).await?, expected, "entries under a hold on {scope:?}");
        same!(signable(&world, &exits, 0).await?, [true, true], "exits under a hold on {scope:?}");
        let version = world.store.config_version().await?;
        same!(world.store.lift_hold(None, id, world.now()).await?, true, "lifting a hold");
        holds!(world.store.config_version().await? > version, "lifting must raise the version");
        same!(world.store.lift_hold(None, id, world.now()).await?, false, "lifting it again");
        let blocked: Vec<_> =
            entries.iter().zip(expected).filter(|(_, signed)| !signed).map(|(id, _)| *id).collect();
        let answers = signable(&world, &blocked, 0).await?;
        holds!(answers.iter().all(|signed| *signed), "entries after the hold on {scope:?}: {answers:?}");
    }
    Ok(())
}

pub(crate) async fn a_hold_stops_exits_if_it_says_so(bench: Bench) -> CaseResult {
    let world = World::new(bench, 1).await?;
    let intents = [world.intent(1, Side::Buy).await?, world.intent(2, Side::Sell).await?];
    let all = NewHold { stops_exits: true, ..hold(HoldScope::Installation) };
    world.store.place_hold(None, &all, world.now()).await?;
    same!(signable(&world, &intents, 0).await?, [false, false], "entry and exit");
    Ok(())
}

pub(crate) async fn a_hold_ends_by_itself(bench: Bench) -> CaseResult {
    let world = World::new(bench, 1).await?;
    let intent = world.intent(1, Side::Buy).await?;
    let until = world.now().plus(Duration::from_secs(60));
    let short = NewHold { expires_at: Some(until), ..hold(HoldScope::Installation) };
    let id = world.store.place_hold(None, &short, world.now()).await?;
    world.pass(Duration::from_secs(59));
    same!(signable(&world, &[intent], 0).await?, [false], "an entry a second before the end");
    let stored = only(world.store.following(world.now()).await?.holds, "hold in force")?;
    same!((stored.id, stored.scope, stored.cause), (id, short.scope, short.cause), "the hold");
    same!(
        (stored.reason, stored.stops_exits, stored.expires_at),
        (short.reason, false, Some(until)),
        "the hold's terms"
    );
    world.pass(Duration::from_secs(1));
    same!(world.store.following(world.now()).await?.holds, [], "holds in force at the end");
    same!(world.store.lift_hold(None, id, world.now()).await?, false, "lifting what has ended");
    same!(signable(&world, &[intent], 0).await?, [true], "an entry after the end");
    Ok(())
}

pub(crate) async fn a_hold_for_a_cause_is_placed_once(bench: Bench) -> CaseResult {
    let world = World::new(bench, 2).await?;
    let (one, other) = (world.follower(0)?.account, world.follower(1)?.account);
    let of = |account| NewHold { cause: HoldCause::Venue, ..hold(HoldScope::Account(account)) };
    let short = NewHold { expires_at: Some(world.now().plus(Duration::from_secs(60))), ..of(one) };
    let placed = world.store.hold_once(&short, world.now()).await?;
    holds!(placed.is_some(), "the first is placed");
    let version = world.store.config_version().await?;
    same!(
        world.store.hold_once(&of(one), world.now()).await?,
        None,
        "the second, even if it would last longer"
    );
    same!(world.store.config_version().await?, version, "the version after nothing was placed");
    let all = NewHold { stops_exits: true, ..of(one) };
    for (what, hold) in [
        ("one that stops more", &all),
        ("one of another account", &of(other)),
        ("one of another cause", &NewHold { cause: HoldCause::Risk, ..of(one) }),
    ] {
        holds!(world.store.hold_once(hold, world.now()).await?.is_some(), "{what} is placed");
    }
    same!(world.store.hold_once(&of(one), world.now()).await?, None, "what stops less than one in force");
    for lifted in world.store.following(world.now()).await?.holds {
        world.store.lift_hold(None, lifted.id, world.now()).await?;
    }
    world.pass(Duration::from_secs(60));
    holds!(world.store.hold_once(&short, world.now()).await?.is_some(), "placed again once none is in force");
    Ok(())
}

pub(crate) async fn a_hold_of_an_instance_ends_with_it(bench: Bench) -> CaseResult {
    let world = World::new(bench, 2).await?;
    let intent = at(&world.trade(1, Side::Buy).await?, 0)?;
    let of = hold(HoldScope::Account(world.follower(0)?.account));
    let (found, other) = (worker("finds it"), worker("finds it too"));
    let id = world.store.place_hold_of(&found, &of, world.now()).await?;
    let others = world.store.place_hold_of(&other, &of, world.now()).await?;
    let lasting = world.store.place_hold(None, &hold(HoldScope::Installation), world.now()).await?;
    same!(signable(&world, &[intent], 0).await?, [false], "an entry under it");
    let version = world.store.config_version().await?;
    world.store.end_instance(&found, "its process is gone", world.now()).await?;
    holds!(world.store.config_version().await? > version, "the version is raised by an end that lifts");
    let left: Vec<_> = world.store.following(world.now()).await?.holds.iter().map(|hold| hold.id).collect();
    same!(left, [others, lasting], "what others hold stands");
    same!(world.store.lift_hold(None, id, world.now()).await?, false, "lifting it once more");
    let told = world.store.events_after(0, 100).await?;
    let lifted = format!("hold {id} lifted");
    let tells = |kind: &EventKind| matches!(kind, EventKind::FollowingChanged { what } if *what == lifted);
    same!(told.iter().filter(|(_, event)| tells(&event.kind)).count(), 1, "the event");
    let late = world.store.place_hold_of(&found, &of, world.now()).await;
    holds!(matches!(late, Err(StoreError::Conflict(_))), "one that has ended holds again: {late:?}");
    let version = world.store.config_version().await?;
    world.store.end_instance(&worker("holds nothing"), "its process is gone", world.now()).await?;
    same!(world.store.config_version().await?, version, "the version after an end that lifts nothing");
    world.store.end_instance(&other, "its process is gone", world.now()).await?;
    world.store.lift_hold(None, lasting, world.now()).await?;
    same!(signable(&world, &[intent], 0).await?, [true], "an entry once nothing is held");
    Ok(())
}

pub(crate) async fn lifting_a_hold_resumes_nothing(bench: Bench) -> CaseResult {
    let world = World::new(bench, 1).await?;
    let intent = world.intent(1, Side::Buy).await?;
    let relationship = world.follower(0)?.relationship;
    let first = world.store.place_hold(None, &hold(HoldScope::Installation), world.now()).await?;
    let second = world.store.place_hold(None, &hold(HoldScope::Leader(world.leader)), world.now()).await?;
    world.store.set_status(world.owner, relationship, RelationshipStatus::Paused, world.now()).await?;
    world.store.lift_hold(None, first, world.now()).await?;
    same!(signable(&world, &[intent], 0).await?, [false], "one hold and a pause left");
    world.store.lift_hold(None, second, world.now()).await?;
    same!(signable(&world, &[intent], 0).await?, [false], "the user's pause left");
    world.store.set_status(world.owner, relationship, RelationshipStatus::Active, world.now()).await?;
    same!(signable(&world, &[intent], 0).await?, [true], "nothing left");
    Ok(())
}

pub(crate) async fn an_owner_holds_its_own(bench: Bench) -> CaseResult {
    let world = World::new(bench, 1).await?;
    let follower = world.follower(0)?;
    let other = Some(world.store.add_owner("somebody else", world.now()).await?);
    let own = Some(world.owner);
    let mine = [HoldScope::Account(follower.account), HoldScope::Relationship(follower.relationship)];
    let shared = [HoldScope::Installation, HoldScope::Leader(world.leader)];
    for (scope, by) in shared.map(|scope| (scope, own)).into_iter().chain(mine.map(|scope| (scope, other))) {
        let placed = world.store.place_hold(by, &hold(scope), world.now()).await;
        holds!(matches!(placed, Err(StoreError::NotFound { .. })), "a hold on {scope:?}: {placed:?}");
    }
    for scope in mine {
        let id = world.store.place_hold(own, &hold(scope), world.now()).await?;
        same!(world.store.lift_hold(other, id, world.now()).await?, false, "lifted by somebody else");
        same!(world.store.lift_hold(own, id, world.now()).await?, true, "lifted by its owner");
    }
    let of_all = world.store.place_hold(None, &hold(HoldScope::Installation), world.now()).await?;
    same!(world.store.lift_hold(own, of_all, world.now()).await?, false, "the installation's hold");
    same!(world.store.lift_hold(None, of_all, world.now()).await?, true, "lifted by the operator");
    Ok(())
}

pub(crate) async fn a_hold_names_something(bench: Bench) -> CaseResult {
    let world = World::new(bench, 1).await?;
    let nothing = [
        HoldScope::Account(AccountId(77)),
        HoldScope::Leader(LeaderId(77)),
        HoldScope::Relationship(RelationshipId(77)),
    ];
    for scope in nothing {
        let placed = world.store.place_hold(None, &hold(scope), world.now()).await;
        holds!(matches!(placed, Err(StoreError::NotFound { .. })), "a hold on {scope:?}: {placed:?}");
    }
    same!(world.store.lift_hold(None, HoldId(77), world.now()).await?, false, "lifting an unknown hold");
    same!(world.store.following(world.now()).await?.holds, [], "holds in force");
    Ok(())
}
