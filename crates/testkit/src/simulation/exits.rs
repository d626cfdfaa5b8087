//! The judge of exits: what followers should hold, computed from the venue's own books.

use std::collections::BTreeSet;

use domain::{
    Address, Rounding, Shares, Side, TokenId,
    ids::RelationshipId,
    money::{LOT, mul_div},
};
use engine::ports::{
    execution::{OrderRecord, Why},
    following::RelationshipStatus,
    store::StoreResult,
};

use super::{
    scenario::{MINIMUM, Scenario, leader_wallet, token},
    world::World,
};

/// Followers hold no more than the share of their copies that their leader kept, wherever somebody buys it,
/// and what the store says the leader kept is what the chain says.
pub(super) async fn converge(
    world: &World,
    scenario: &Scenario,
    attempts: &[OrderRecord],
    broken: &mut Vec<String>,
) -> StoreResult<()> {
    if !scenario.reads_chain {
        return Ok(());
    }
    let relationships = world.store.relationships(None).await?;
    let positions = world.store.positions(None).await?;
    for (follower, (_, relationship)) in scenario.followers.iter().zip(&world.relationships) {
        let Some(known) = relationships.iter().find(|known| known.id == *relationship) else { continue };
        let follows = follower.policy.follow_exits && known.status == RelationshipStatus::Active;
        let wallet = leader_wallet(follower.leader);
        for token in scenario.tokens.iter().map(|number| token(*number)) {
            for factor in world.store.exit_basis(known.leader, token, None).await?.factors {
                let kept = kept_over(world, wallet, token, factor.block);
                if [factor.before, factor.after] != kept {
                    broken.push(format!("the leader kept {factor:?} of {token}, the chain has {kept:?}"));
                }
            }

            let held = positions.iter().find(|row| row.relationship == *relationship && row.token == token);
            let held = held.map_or(Shares::ZERO, |row| row.position.shares);
            let target = should_hold(world, attempts, *relationship, wallet, token);
            if follows && held.less(target).floor_to(LOT) >= MINIMUM && world.venue.buys(token) {
                broken.push(format!(
                    "relationship {relationship}: holds {held}, should hold {target} of {token}"
                ));
            }
        }
    }
    Ok(())
}

/// The leader's balance before and after a block. What it bought in the block counts as held before, what it sent to
/// another wallet as kept.
fn kept_over(world: &World, wallet: Address, token: TokenId, block: i64) -> [Shares; 2] {
    let [before, after] = [block - 1, block].map(|height| world.venue.balance_at(wallet, token, height));
    let bought = world.venue.bought_in(wallet, token, block);
    [before.plus(bought).unwrap_or(before), Shares(after.0 + world.venue.sent_in(wallet, token, block).0)]
}

/// Every copied buy, times what the leader kept over its block and each later one in which it sold or merged. A trade that never
/// reached the chain is kept whole: what should become of its copies is the engine's choice.
fn should_hold(
    world: &World,
    attempts: &[OrderRecord],
    relationship: RelationshipId,
    wallet: Address,
    token: TokenId,
) -> Shares {
    let sales: BTreeSet<i64> = world.venue.exit_heights(wallet, token);
    let buys = attempts.iter().filter(|record| {
        let intent = &record.intent;
        (intent.relationship, intent.token, intent.side) == (relationship, token, Side::Buy)
    });
    buys.map(|record| {
        let bought_at = match record.intent.cause.why {
            Why::Target { through } => through.saturating_add(1),
            _ => world.venue.height_of_trade(record.intent.cause.key.tx).unwrap_or(i64::MAX),
        };
        sales.range(bought_at..).fold(record.booked.shares, |kept, block| {
            let [before, after] = kept_over(world, wallet, token, *block);
            if after >= before {
                return kept;
            }
            mul_div(kept.0, after.0.max(0), before.0, Rounding::Down).map_or(kept, Shares)
        })
    })
    .sum()
}
