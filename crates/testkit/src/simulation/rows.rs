//! Everything that is stored, as lines to compare between stores. Keys that a store makes up (of intents,
//! attempts, decisions, ledger rows) are replaced by what they stand for.

use std::collections::HashMap;

use domain::ids::{AttemptId, IntentId};
use engine::ports::{
    detection::{Lane, Source},
    execution::Intent,
    reports::SkipSumKey,
    store::{Store, StoreResult},
};

/// More rows than any run makes.
const ALL: usize = 100_000;
/// More than any run's blocks.
const HEADERS: usize = 10_000;

/// The lines of a store, sorted; events keep their order, because subscribers read them so.
///
/// # Errors
/// Store errors.
pub async fn rows(store: &dyn Store) -> StoreResult<Vec<String>> {
    let intents = store.intents_after(None, IntentId(0), ALL).await?;
    let mut rows = detected(store).await?;
    rows.extend(decided(store, &intents).await?);
    rows.extend(executed(store, &intents).await?);
    rows.extend(booked(store, &intents).await?);
    rows.extend(followed(store).await?);
    rows.sort();
    for (number, (_, event)) in store.events_after(0, ALL).await?.into_iter().enumerate() {
        rows.push(format!("event {number:06} {event:?}"));
    }
    Ok(rows)
}

/// What an intent is beyond its key.
fn name(intent: &Intent) -> String {
    format!("{:?} of {}", intent.cause, intent.relationship)
}

fn names(intents: &[Intent]) -> HashMap<IntentId, String> {
    intents.iter().map(|intent| (intent.id, name(intent))).collect()
}

/// Cursors, headers, groups with their fills, parts, markets.
async fn detected(store: &dyn Store) -> StoreResult<Vec<String>> {
    let mut rows = Vec::new();
    let mut sources = vec![Source::Chain, Source::Finalized];
    sources.extend(store.leaders().await?.iter().map(|leader| Source::History(leader.id)));
    for source in sources {
        rows.push(format!("cursor {source:?} {:?}", store.cursor(source).await?));
    }
    for header in store.headers(HEADERS).await? {
        rows.push(format!("header {header:?}"));
    }
    for group in store.newest_groups(ALL).await? {
        let fills = store.group_with_fills(group.key).await?.map(|(_, fills)| fills);
        rows.push(format!("group {group:?} {fills:?}"));
        for number in 0..group.parts {
            rows.push(format!("part {:?}", store.part(group.key, number).await?));
        }
    }
    for market in store.all_markets().await? {
        rows.push(format!("market {market:?}"));
    }
    Ok(rows)
}

/// Decisions, intents, what waits, exits to be looked at again.
async fn decided(store: &dyn Store, intents: &[Intent]) -> StoreResult<Vec<String>> {
    let names = names(intents);
    let mut rows = Vec::new();
    for mut decision in store.decisions_after(None, 0, ALL).await? {
        let intent = decision.intent.take().and_then(|id| names.get(&id));
        decision.id = 0;
        rows.push(format!("decision {decision:?} {intent:?}"));
    }
    for sum in store.skip_sums_after(None, SkipSumKey::default(), ALL).await? {
        rows.push(format!("skips {sum:?}"));
    }
    for intent in intents {
        rows.push(format!("intent {:?}", Intent { id: IntentId(0), ..intent.clone() }));
    }
    let far = domain::Timestamp(i64::MAX);
    for lane in [Lane::Exits, Lane::Entries] {
        rows.push(format!("waiting {lane:?} {}", store.count_waiting(lane, far).await?));
    }
    rows.push(format!("incomplete {:?}", store.incomplete_parts().await?));
    for missed in store.missed_buys(ALL).await? {
        rows.push(format!("missed {missed:?}"));
    }
    for revisit in store.due_revisits(far, ALL).await? {
        rows.push(format!("revisit {revisit:?}"));
    }
    Ok(rows)
}

/// Orders with evidence, permits and times, and how intents ended.
async fn executed(store: &dyn Store, intents: &[Intent]) -> StoreResult<Vec<String>> {
    let names = names(intents);
    let ids: Vec<IntentId> = intents.iter().map(|intent| intent.id).collect();
    let mut rows = Vec::new();
    for mut record in store.attempts_of(&ids).await? {
        record.attempt = AttemptId(0);
        record.intent.id = IntentId(0);
        record.permits_out.sort();
        let body = std::mem::take(&mut record.order.body);
        rows.push(format!("order {record:?} {}", String::from_utf8_lossy(&body)));
    }
    for end in store.ends_of(&ids).await? {
        rows.push(format!("end {:?} {:?} {:?}", names.get(&end.intent), end.reason, end.at));
    }
    rows.push(format!("open work {}", store.count_open_work().await?));
    for order in store.unbooked_orders(AttemptId(0), ALL).await? {
        rows.push(format!("unbooked {}", order.order.id));
    }
    Ok(rows)
}

/// Ledger, positions, accounts, reservations.
async fn booked(store: &dyn Store, intents: &[Intent]) -> StoreResult<Vec<String>> {
    let names = names(intents);
    let mut rows = Vec::new();
    for mut row in store.ledger_after(None, 0, ALL).await? {
        let intent = row.intent.take().and_then(|id| names.get(&id));
        row.id = 0;
        rows.push(format!("ledger {row:?} {intent:?}"));
    }
    for position in store.positions(None).await? {
        rows.push(format!("position {position:?}"));
    }
    for account in store.accounts(None).await? {
        rows.push(format!("account {account:?}"));
    }
    for (intent, usd) in store.reservations(None).await? {
        rows.push(format!("reservation {:?} {usd}", names.get(&intent)));
    }
    Ok(rows)
}

/// Leaders, relationships with their policies, instances that run.
async fn followed(store: &dyn Store) -> StoreResult<Vec<String>> {
    let mut rows = Vec::new();
    for leader in store.leaders().await? {
        rows.push(format!("leader {leader:?}"));
    }
    for relationship in store.relationships(None).await? {
        let policy = store.policy(relationship.id, relationship.policy_version).await?;
        rows.push(format!("relationship {relationship:?} {policy:?}"));
    }
    for instance in store.running_instances().await? {
        rows.push(format!("instance {instance}"));
    }
    Ok(rows)
}
