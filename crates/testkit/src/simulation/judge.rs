//! The judge: compares what the engine stored with the venue's own books, when all is quiet.

use std::collections::BTreeMap;

use domain::{
    OrderId, OrderType, Side, TokenId, TxHash, Usd,
    decide::Verdict,
    ids::{IntentId, RelationshipId},
    lifecycle::{Filled, OrderAlarm},
    money::{LOT, ONE},
    policy::Sizing,
    trade::{GroupKey, Quantity},
};
use engine::{
    orders::booked_so_far,
    ports::{
        execution::{Intent, OrderRecord},
        following::Leader,
        reports::{DecisionRecord, IntentEnd},
        store::{EventKind, Store, StoreResult},
        venue::ChainFill,
    },
};

use super::{
    exits,
    scenario::{Scenario, follower_wallet, leader_wallet, token},
    venue::{Moved, VenueLine, is_whole},
    world::World,
};
use crate::executor::block_on;

/// More rows than any run makes.
const ALL: usize = 100_000;

/// What a run has come to.
#[derive(Clone, Debug, Default, PartialEq, Eq, Hash)]
pub struct Judgement {
    /// Broken rules, in words; empty when all is well.
    pub broken: Vec<String>,
    /// Micro-shares bought for followers.
    pub bought: i64,
    /// Micro-shares sold for followers.
    pub sold: i64,
    /// Attempts signed.
    pub attempts: usize,
    /// Copies decided.
    pub copies: usize,
}

/// Everything stored that is judged.
struct Stored {
    decisions: Vec<DecisionRecord>,
    intents: Vec<Intent>,
    ends: Vec<IntentEnd>,
    attempts: Vec<OrderRecord>,
}

impl Stored {
    async fn read(store: &dyn Store) -> StoreResult<Self> {
        let intents = store.intents_after(None, IntentId(0), ALL).await?;
        let ids: Vec<IntentId> = intents.iter().map(|intent| intent.id).collect();
        Ok(Self {
            decisions: store.decisions_after(None, 0, ALL).await?,
            ends: store.ends_of(&ids).await?,
            attempts: store.attempts_of(&ids).await?,
            intents,
        })
    }
}

/// Judges a run that has come to rest.
///
/// # Errors
/// Store errors.
pub fn judge(world: &World, scenario: &Scenario) -> StoreResult<Judgement> {
    let mut broken = world.monitor.broken();
    let stored = block_on(Stored::read(world.store.as_ref()))?;
    let lines = world.venue.lines();
    orders_against_venue(world, &stored, &lines, &mut broken);
    intents_against_venue(&stored, &lines, &mut broken);
    decisions_are_answered(&stored, &mut broken);
    block_on(everybody_is_answered(world, scenario, &stored, &mut broken))?;
    block_on(books_are_clear(world, &stored, &mut broken))?;
    copies_are_bounded(world, scenario, &stored, &lines, &mut broken);
    exits_are_bounded(world, scenario, &stored, &lines, &mut broken);
    block_on(exits::converge(world, scenario, &stored.attempts, &mut broken))?;
    block_on(money_is_there(world, scenario, &stored, &mut broken))?;
    let most = 2 * stored.intents.len() + 2;
    if world.doorbell.longest() > most {
        broken.push(format!(
            "{} ids waited at once for {} intents",
            world.doorbell.longest(),
            stored.intents.len()
        ));
    }
    let violations = block_on(crate::checkers::always(world.store.as_ref()))?;
    broken.extend(violations.iter().map(ToString::to_string));
    let total = |side: Side| {
        let of_side = lines.values().filter(|line| line.plan.side == side);
        of_side.map(|line| line.executed().quantity.shares.0).sum()
    };
    Ok(Judgement {
        broken,
        bought: total(Side::Buy),
        sold: total(Side::Sell),
        attempts: stored.attempts.len(),
        copies: stored.intents.len(),
    })
}

/// What was posted was committed before; what is booked is what the chain has; every order is over.
fn orders_against_venue(
    world: &World,
    stored: &Stored,
    lines: &BTreeMap<OrderId, VenueLine>,
    broken: &mut Vec<String>,
) {
    let known: BTreeMap<OrderId, &OrderRecord> =
        stored.attempts.iter().map(|record| (record.order.id, record)).collect();
    for (id, line) in lines {
        if !known.contains_key(id) {
            broken.push(format!("the venue got order {id} ({} times), which nobody committed", line.arrived));
        }
        if line.given() > line.plan.amounts.maker {
            broken.push(format!("order {id} gave {} of {}", line.given(), line.plan.amounts.maker));
        }
        let executed = line.executed().quantity;
        let in_part =
            executed.shares.is_positive() && !is_whole(&line.plan, line.plan.amounts.maker, executed);
        if line.plan.order_type == OrderType::FillOrKill && in_part {
            broken.push(format!(
                "fill-or-kill order {id} gave {} of {}",
                line.given(),
                line.plan.amounts.maker
            ));
        }
    }
    for record in &stored.attempts {
        let name = format!("order {} of intent {}", record.number, record.intent.id);
        let booked = booked_so_far(record.intent.side, record.booked).unwrap_or_default();
        let settled: Filled = world.venue.settled(record.order.id);
        if booked != settled {
            broken.push(format!("{name}: booked {booked:?}, settled {settled:?}"));
        }
        if !record.state.is_settled() {
            broken.push(format!("{name}: ends {}", record.state.label()));
        }
    }
}

/// Executed amounts never exceed the intent; an entry is signed at most once.
fn intents_against_venue(stored: &Stored, lines: &BTreeMap<OrderId, VenueLine>, broken: &mut Vec<String>) {
    for intent in &stored.intents {
        let own = stored.attempts.iter().filter(|record| record.intent.id == intent.id);
        let (mut given, mut attempts) = (0, 0);
        for record in own {
            attempts += 1;
            given += lines.get(&record.order.id).map_or(0, VenueLine::given);
        }
        if given > intent.amount {
            broken.push(format!("intent {}: executed {given} of {}", intent.id, intent.amount));
        }
        if intent.side == Side::Buy && attempts > 1 {
            broken.push(format!("intent {}: an entry has {attempts} orders", intent.id));
        }
        let ended = stored.ends.iter().any(|end| end.intent == intent.id);
        if attempts == 0 && !ended {
            broken.push(format!("intent {}: neither an order nor an end", intent.id));
        }
    }
}

/// One decision per (part, relationship), and a copy has its intent.
fn decisions_are_answered(stored: &Stored, broken: &mut Vec<String>) {
    let mut seen = BTreeMap::new();
    for decision in &stored.decisions {
        let key = (decision.key, decision.part, decision.relationship);
        if seen.insert(key, decision.id).is_some() {
            broken.push(format!("decided twice: {key:?}"));
        }
        let copies = matches!(decision.verdict, Verdict::Copy(_));
        let has_intent =
            decision.intent.is_some_and(|id| stored.intents.iter().any(|intent| intent.id == id));
        if copies != has_intent {
            broken.push(format!("decision {}: copy {copies}, intent {has_intent}", decision.id));
        }
    }
    if stored.intents.len() != stored.decisions.iter().filter(|decision| decision.intent.is_some()).count() {
        broken.push("there are intents without a decision".to_owned());
    }
}

/// Canonical fills and movements, with their transactions and dollars.
fn everything(world: &World) -> impl Iterator<Item = (TxHash, Moved, Usd)> {
    let fills = world.venue.all_fills().into_iter().map(|(tx, fill)| {
        let ChainFill { wallet, token, side, shares, usd, .. } = fill;
        (tx, Moved { wallet, token, action: side.into(), shares }, usd)
    });
    fills.chain(world.venue.all_moves().into_iter().map(|(tx, moved)| (tx, moved, Usd::ZERO)))
}

/// Every canonical trade of a leader has parts for its whole quantity, decided for every follower.
async fn everybody_is_answered(
    world: &World,
    scenario: &Scenario,
    stored: &Stored,
    broken: &mut Vec<String>,
) -> StoreResult<()> {
    let leaders = world.store.leaders().await?;
    let relationships = world.store.relationships(None).await?;
    let followed = |leader: &&Leader| relationships.iter().any(|of| of.leader == leader.id);
    let leader_of = |wallet| leaders.iter().filter(followed).find(|leader| leader.wallet == wallet);
    let mut trades: BTreeMap<GroupKey, Quantity> = BTreeMap::new();
    for (tx, moved, usd) in everything(world) {
        let Some(leader) = leader_of(moved.wallet) else { continue };
        let key = GroupKey { leader: leader.id, tx, token: moved.token, action: moved.action };
        let sum = trades.entry(key).or_default();
        *sum = sum.plus(Quantity { shares: moved.shares, usd }).unwrap_or(*sum);
    }
    for group in world.store.newest_groups(ALL).await? {
        let confirmed = group.chain.is_some_and(|chain| chain.shares.is_positive());
        if confirmed && !trades.contains_key(&group.key) {
            broken
                .push(format!("trade {} ({}) is stored, the chain has none", group.key.tx, group.key.action));
        }
    }
    for (key, quantity) in trades {
        let Some((group, _)) = world.store.group_with_fills(key).await? else {
            broken.push(format!("trade {} was never seen", key.tx));
            continue;
        };
        if scenario.reads_chain && group.chain != Some(quantity) {
            broken.push(format!("trade {}: stored {:?}, the chain has {quantity:?}", key.tx, group.chain));
        }
        if quantity.shares.less(group.decided) >= LOT {
            broken.push(format!(
                "trade {}: {} shares have no answer",
                key.tx,
                quantity.shares.less(group.decided)
            ));
        }
        for relationship in relationships.iter().filter(|relationship| relationship.leader == key.leader) {
            for part in 0..group.parts {
                let stored_part = world.store.part(key, part).await?;
                if stored_part.is_some_and(|stored| !stored.part.kind.asks_everybody()) {
                    continue;
                }
                let answered = stored.decisions.iter().any(|decision| {
                    (decision.key, decision.part, decision.relationship) == (key, part, relationship.id)
                });
                if !answered {
                    broken.push(format!("trade {} part {part}: no answer for {}", key.tx, relationship.id));
                }
            }
        }
    }
    Ok(())
}

/// No reservation is left, cash and positions are the sums of the ledger, and nothing was overfilled.
async fn books_are_clear(world: &World, stored: &Stored, broken: &mut Vec<String>) -> StoreResult<()> {
    let reservations = world.store.reservations(None).await?;
    if !reservations.is_empty() {
        broken.push(format!("reservations are left: {reservations:?}"));
    }
    let mut held: BTreeMap<(RelationshipId, TokenId), i64> = BTreeMap::new();
    let mut cash: BTreeMap<domain::ids::AccountId, i64> = BTreeMap::new();
    for row in world.store.ledger_after(None, 0, ALL).await? {
        *cash.entry(row.account).or_default() += row.entry.cash.0;
        if let Some(key) = row.relationship.zip(row.token) {
            *held.entry(key).or_default() += row.entry.shares.0;
        }
    }
    for record in world.store.positions(None).await? {
        let sum = held.remove(&(record.relationship, record.token)).unwrap_or_default();
        if sum != record.position.shares.0 {
            broken.push(format!(
                "relationship {}: holds {}, booked {sum}",
                record.relationship, record.position.shares
            ));
        }
    }
    if held.values().any(|shares| *shares != 0) {
        broken.push(format!("booked shares without a position: {held:?}"));
    }
    for account in world.store.accounts(None).await? {
        let sum = cash.get(&account.trading.id).copied().unwrap_or_default();
        if sum != account.cash.0 {
            broken.push(format!("account {}: cash {}, booked {sum}", account.trading.id, account.cash));
        }
    }
    let events = world.store.events_after(0, ALL).await?;
    for (_, event) in events {
        if let EventKind::OrderAlarm { order, alarm: OrderAlarm::Overfilled } = event.kind {
            let intent = stored.attempts.iter().find(|record| record.order.id == order);
            broken.push(format!("order {order} is overfilled: {:?}", intent.map(|record| record.amounts)));
        }
    }
    Ok(())
}

/// Followers never buy more than their share of what the leader really bought, each trade counted once.
fn copies_are_bounded(
    world: &World,
    scenario: &Scenario,
    stored: &Stored,
    lines: &BTreeMap<OrderId, VenueLine>,
    broken: &mut Vec<String>,
) {
    let happened = world.venue.happened();
    for (follower, (_, relationship)) in scenario.followers.iter().zip(&world.relationships) {
        let wallet = leader_wallet(follower.leader);
        for number in &scenario.tokens {
            let token = token(*number);
            let trades = happened
                .iter()
                .filter(|trade| trade.wallet == wallet && trade.token == token && trade.side == Side::Buy);
            let allowed: i64 = trades
                .map(|trade| {
                    let whole: i64 = trade.fills.iter().map(|fill| fill.usd.0).sum();
                    match follower.policy.sizing {
                        Sizing::Ratio(ratio) => whole * ratio / ONE,
                        Sizing::Fixed(usd) => usd.0,
                    }
                })
                .sum();
            let own = stored.attempts.iter().filter(|record| {
                let intent = &record.intent;
                intent.relationship == *relationship && intent.token == token && intent.side == Side::Buy
            });
            let spent: i64 = own.filter_map(|record| lines.get(&record.order.id)).map(VenueLine::given).sum();
            if spent > allowed {
                broken
                    .push(format!("relationship {relationship}: bought for {spent}, its share is {allowed}"));
            }
        }
    }
}

/// Of what was bought, followers sell at most the share that their leader sold, to a lot.
fn exits_are_bounded(
    world: &World,
    scenario: &Scenario,
    stored: &Stored,
    lines: &BTreeMap<OrderId, VenueLine>,
    broken: &mut Vec<String>,
) {
    let happened = world.venue.happened();
    for (follower, (_, relationship)) in scenario.followers.iter().zip(&world.relationships) {
        let wallet = leader_wallet(follower.leader);
        let opened = scenario
            .leaders
            .iter()
            .any(|(leader, opening)| leader_wallet(*leader) == wallet && opening.0 > 0);
        for number in scenario.tokens.iter().filter(|_| !opened) {
            let token = token(*number);
            let leader = |side: Side| -> i128 {
                let own = happened.iter().filter(|trade| {
                    !trade.dropped && (trade.wallet, trade.token, trade.side) == (wallet, token, side)
                });
                let filled: i128 =
                    own.flat_map(|trade| &trade.fills).map(|fill| i128::from(fill.shares.0)).sum();
                // What was merged or sent away is no longer there to be sold.
                let gone = happened.iter().filter(|trade| {
                    !trade.dropped && side == Side::Sell && (trade.wallet, trade.token) == (wallet, token)
                });
                let gone = gone.filter_map(|trade| trade.moved).filter(|(action, _)| action.side() == side);
                filled + gone.map(|(_, shares)| i128::from(shares.0)).sum::<i128>()
            };
            let own = |side: Side| -> i128 {
                let records = stored.attempts.iter().filter(|record| {
                    let intent = &record.intent;
                    (intent.relationship, intent.token, intent.side) == (*relationship, token, side)
                });
                // A buy whose settlement failed may have been sold before that.
                let trades =
                    records.filter_map(|record| lines.get(&record.order.id)).flat_map(|line| &line.trades);
                let counted = trades.filter(|trade| side == Side::Buy || !trade.failed);
                counted.map(|trade| i128::from(trade.filled.quantity.shares.0)).sum()
            };
            let times = |side: Side| {
                let own = happened
                    .iter()
                    .filter(move |trade| (trade.wallet, trade.token, trade.side) == (wallet, token, side));
                own.map(|trade| trade.at)
            };
            if times(Side::Sell).min() <= times(Side::Buy).max() {
                // What was bought after a sale says nothing about the share that was sold.
                continue;
            }
            let (bought, sold) = (leader(Side::Buy), leader(Side::Sell));
            if own(Side::Sell) * bought > own(Side::Buy) * sold + i128::from(LOT.0) * bought {
                broken.push(format!(
                    "relationship {relationship}: sold {} of {} where the leader sold {sold} of {bought}",
                    own(Side::Sell),
                    own(Side::Buy)
                ));
            }
        }
    }
}

/// An account has what was paid in, less what the chain took for its orders.
async fn money_is_there(
    world: &World,
    scenario: &Scenario,
    stored: &Stored,
    broken: &mut Vec<String>,
) -> StoreResult<()> {
    for account in world.store.accounts(None).await? {
        let number = scenario
            .followers
            .iter()
            .enumerate()
            .find(|(number, _)| follower_wallet(*number) == account.trading.wallet);
        let Some((_, follower)) = number else { continue };
        let mut expected = follower.deposit.0;
        for record in stored.attempts.iter().filter(|record| record.intent.account.id == account.trading.id) {
            let settled = world.venue.settled(record.order.id);
            expected += match record.intent.side {
                Side::Buy => -settled.quantity.usd.0 - settled.fee.0,
                Side::Sell => settled.quantity.usd.0 - settled.fee.0,
            };
        }
        if account.cash.0 != expected {
            broken.push(format!("{}: has {}, should have {expected}", account.label, account.cash.0));
        }
    }
    Ok(())
}
