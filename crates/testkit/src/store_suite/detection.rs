//! What the watcher keeps and reads: cursors, headers, groups, fills, parts, factors.

use std::time::Duration;

use domain::{
    OrderId, Shares, Side, Timestamp,
    exits::{CopiedBuy, ExitFactor},
    ids::{LeaderId, RelationshipId},
    lifecycle::OrderState,
    trade::{Dispute, GroupKey, GroupState, Sightings, TradeGroup},
};
use engine::ports::{
    detection::{DetectionCommit, ExitHolder, Source, StoredFill, StoredPart},
    execution::{OrderUpdate, WorkChange},
    following::RelationshipStatus,
    venue::BlockHeader,
};

use super::{
    bench::{Bench, CaseResult, only, same, some},
    world::{SALE, World, hash, market, quantity, token, wallet, worker},
};

fn header(number: i64, own: u8, parent: u8) -> BlockHeader {
    BlockHeader { number, hash: hash(own), parent: hash(parent), time: Timestamp::from_seconds(number) }
}

pub(crate) async fn cursors_move_where_they_are_put(bench: Bench) -> CaseResult {
    let world = World::new(bench, 0).await?;
    let sources =
        [Source::Chain, Source::Finalized, Source::History(world.leader), Source::History(LeaderId(77))];
    for source in sources {
        same!(world.store.cursor(source).await?, None, "{source:?} before its first commit");
    }
    let cursors: Vec<_> = sources.into_iter().zip(10..).collect();
    world.commit(&DetectionCommit { cursors: cursors.clone(), ..Default::default() }).await?;
    for (source, position) in cursors {
        same!(world.store.cursor(source).await?, Some(position), "{source:?}");
    }
    // A reorganisation moves the chain back.
    world.commit(&DetectionCommit { cursors: vec![(Source::Chain, 3)], ..Default::default() }).await?;
    same!(world.store.cursor(Source::Chain).await?, Some(3), "the chain moved back");
    same!(world.store.cursor(Source::Finalized).await?, Some(11), "another source");
    Ok(())
}

pub(crate) async fn headers_are_those_of_our_chain(bench: Bench) -> CaseResult {
    let world = World::new(bench, 0).await?;
    same!(world.store.headers(5).await?, [], "headers of an empty chain");
    let chain = vec![header(10, 1, 0), header(11, 2, 1), header(12, 3, 2)];
    world.commit(&DetectionCommit { headers: chain.clone(), ..Default::default() }).await?;
    same!(world.store.headers(5).await?, chain, "headers, ascending");
    same!(world.store.headers(2).await?, chain[1..], "the newest two, ascending");
    // The fork is shorter at first: what was above it is gone.
    let fork = header(11, 4, 1);
    let (headers, orphaned) = (vec![fork], vec![hash(2), hash(3)]);
    world.commit(&DetectionCommit { orphaned, headers, ..Default::default() }).await?;
    same!(world.store.headers(5).await?, [chain[0], fork], "headers after a reorganisation");
    let (headers, orphaned) = (chain[1..].to_vec(), vec![hash(4)]);
    world.commit(&DetectionCommit { orphaned, headers, ..Default::default() }).await?;
    same!(world.store.headers(5).await?, chain, "headers after the old chain came back");
    Ok(())
}

pub(crate) async fn groups_are_replaced_and_found_with_their_kin(bench: Bench) -> CaseResult {
    let world = World::new(bench, 0).await?;
    let seen = |key: GroupKey, at: i64| TradeGroup {
        first_seen_at: Timestamp(at),
        ..TradeGroup::new(key, Timestamp(1), Timestamp(at))
    };
    let key = world.key(5, Side::Buy);
    let (old, kin, twin) = (world.key(9, Side::Buy), world.key(7, Side::Buy), world.key(3, Side::Buy));
    let other_side = world.key(5, Side::Sell);
    let other_token = GroupKey { token: token(8), ..key };
    let other_leader = GroupKey { leader: world.store.add_leader(wallet(8), world.now()).await?, ..key };
    let groups = vec![
        seen(key, 100),
        seen(old, 49),
        seen(kin, 50),
        seen(twin, 100),
        seen(other_side, 100),
        seen(other_token, 100),
        seen(other_leader, 100),
    ];
    world.commit(&DetectionCommit { groups, ..Default::default() }).await?;
    let found = world.store.groups(&[key], Timestamp(50)).await?;
    let keys: Vec<_> = found.iter().map(|group| group.key).collect();
    same!(keys, [kin, twin, key], "the group and its kin, by time first seen, then by key");
    let found = world.store.groups(&[old, key], Timestamp(i64::MAX)).await?;
    let keys: Vec<_> = found.iter().map(|group| group.key).collect();
    same!(keys, [old, key], "groups by key alone");
    same!(world.store.groups(&[], Timestamp(0)).await?, [], "kin of nothing");
    let full = TradeGroup {
        key,
        chain: Some(quantity(7, 3)),
        history: quantity(9, 4),
        live: quantity(8, 5),
        sightings: Sightings { chain: Some(Timestamp(3)), history: None, live: Some(Timestamp(2)) },
        decided: Shares(9),
        inherited: Shares(2),
        given: Shares(1),
        parts: 3,
        block: Some(77),
        traded_at: Timestamp(5),
        first_seen_at: Timestamp(100),
        state: GroupState::Overcounted,
        disputed: Some(Dispute::Balances),
    };
    world.commit(&DetectionCommit { groups: vec![full], ..Default::default() }).await?;
    same!(world.store.groups(&[key], Timestamp(i64::MAX)).await?, [full], "a replaced group");
    Ok(())
}

pub(crate) async fn unsettled_groups_are_found(bench: Bench) -> CaseResult {
    let world = World::new(bench, 0).await?;
    let make = |tx: u8, block: Option<i64>, chain: bool, traded: i64, state| TradeGroup {
        block,
        chain: chain.then_some(quantity(1, 1)),
        state,
        ..TradeGroup::new(world.key(tx, Side::Buy), Timestamp(traded), Timestamp(1_000 - i64::from(tx)))
    };
    use GroupState::{Final, Open, Overcounted, Phantom};
    let groups = vec![
        make(1, Some(10), true, 500, Open),
        make(2, Some(11), true, 500, Open),
        make(3, Some(5), true, 5, Final),
        make(4, Some(5), true, 5, Overcounted),
        make(5, None, false, 5, Phantom),
        make(6, None, false, 90, Open),
        make(7, None, false, 91, Open),
    ];
    world.commit(&DetectionCommit { groups: groups.clone(), ..Default::default() }).await?;
    let found = world.store.unsettled_groups(10, Timestamp(90), 10).await?;
    same!(found, [groups[5], groups[0]], "groups to settle, by time first seen");
    let found = world.store.unsettled_groups(10, Timestamp(90), 1).await?;
    same!(found, [groups[5]], "the first of them");
    Ok(())
}

pub(crate) async fn groups_are_found_from_a_block_on(bench: Bench) -> CaseResult {
    let world = World::new(bench, 0).await?;
    let make = |tx: u8, block: Option<i64>, chain: Option<i64>| TradeGroup {
        block,
        chain: chain.map(|shares| quantity(shares, 0)),
        ..TradeGroup::new(world.key(tx, Side::Sell), Timestamp(1), Timestamp(1_000 - i64::from(tx)))
    };
    let groups = vec![
        make(1, Some(10), Some(5)),
        make(2, Some(11), Some(0)),
        make(3, Some(9), Some(5)),
        make(4, Some(12), None),
        make(5, None, None),
    ];
    world.commit(&DetectionCommit { groups: groups.clone(), ..Default::default() }).await?;
    same!(world.store.groups_from(10).await?, [groups[1], groups[0]], "by time first seen");
    same!(world.store.groups_from(12).await?, [], "hints are of no block");
    Ok(())
}

pub(crate) async fn fills_count_while_their_block_is_canonical(bench: Bench) -> CaseResult {
    let world = World::new(bench, 0).await?;
    let key = world.key(1, Side::Buy);
    let fill = |block: u8, log_index: i64| StoredFill {
        // Hashes do not sort like heights.
        block_hash: hash(100 - block),
        log_index,
        block: i64::from(block),
        tx: key.tx,
        order: OrderId([block; 32]),
        wallet: wallet(9_999),
        token: key.token,
        side: key.action.side(),
        shares: Shares(5),
        usd: domain::Usd(2),
        fee: domain::Usd(1),
        group: Some(key),
    };
    let fills = vec![fill(11, 0), fill(10, 7), fill(10, 2)];
    let commit = DetectionCommit { groups: vec![world.group(key)], fills, ..Default::default() };
    world.commit(&commit).await?;
    world.commit(&commit).await?;
    let all = [fill(10, 2), fill(10, 7), fill(11, 0)];
    let (group, of_group) = some(world.store.group_with_fills(key).await?, "the group")?;
    same!((group, of_group), (world.group(key), all.to_vec()), "the group and its fills");
    world.commit(&DetectionCommit { orphaned: vec![hash(90)], ..Default::default() }).await?;
    let (_, of_group) = some(world.store.group_with_fills(key).await?, "the group")?;
    same!(of_group, all[2..], "the group's fills after a block was orphaned");
    let back = DetectionCommit { orphaned: vec![hash(89)], fills: vec![fill(10, 7)], ..Default::default() };
    world.commit(&back).await?;
    let (_, of_group) = some(world.store.group_with_fills(key).await?, "the group")?;
    same!(of_group, [fill(10, 7)], "a fill that came back");
    same!(world.store.group_with_fills(world.key(2, Side::Buy)).await?, None, "an unknown group");
    Ok(())
}

pub(crate) async fn progress_of_parts_never_goes_back(bench: Bench) -> CaseResult {
    let world = World::new(bench, 0).await?;
    let (key, later) = (world.key(9, Side::Buy), world.key(1, Side::Buy));
    let part = |key, number, through, complete| -> CaseResult<StoredPart> {
        Ok(StoredPart { decided_through: RelationshipId(through), complete, ..world.part(key, number)? })
    };
    let put = async |parts: Vec<StoredPart>| -> CaseResult {
        let groups = vec![world.group(key), world.group(later)];
        world.commit(&DetectionCommit { groups, parts, ..Default::default() }).await.map(drop)
    };
    let first = part(key, 0, 0, false)?;
    put(vec![first.clone()]).await?;
    put(vec![part(later, 0, 0, false)?, part(key, 1, 0, false)?]).await?;
    let open: Vec<_> =
        world.store.incomplete_parts().await?.iter().map(|open| (open.part.key, open.part.number)).collect();
    same!(open, [(key, 0), (later, 0), (key, 1)], "incomplete parts, oldest first");
    put(vec![part(key, 0, 500, false)?]).await?;
    put(vec![first.clone()]).await?;
    let stored = some(world.store.part(key, 0).await?, "the part")?;
    same!(stored, StoredPart { decided_through: RelationshipId(500), ..first.clone() }, "progress");
    put(vec![part(key, 0, 700, true)?, part(key, 0, 600, false)?]).await?;
    let stored = some(world.store.part(key, 0).await?, "the part")?;
    same!((stored.decided_through, stored.complete), (RelationshipId(700), true), "the complete part");
    same!(stored.snapshot, first.snapshot, "the snapshot");
    the_snapshot_stands_once_somebody_was_decided(&world, part(later, 0, 0, false)?).await?;
    same!(world.store.incomplete_parts().await?.len(), 2, "incomplete parts");
    same!(world.store.part(key, 2).await?, None, "an unknown part");
    // The other two parts have no followers to wait for either.
    put(vec![part(later, 0, 0, true)?, part(key, 1, 0, true)?]).await
}

/// A copy that waits for its market is decided from what was told at last.
async fn the_snapshot_stands_once_somebody_was_decided(world: &World, mut part: StoredPart) -> CaseResult {
    let mut put = async |whole, through| {
        (part.snapshot.whole.shares, part.decided_through) = (Shares(whole), RelationshipId(through));
        let groups = vec![world.group(part.part.key)];
        world.commit(&DetectionCommit { groups, parts: vec![part.clone()], ..Default::default() }).await?;
        let stored = some(world.store.part(part.part.key, part.part.number).await?, "the part")?;
        CaseResult::Ok(stored.snapshot.whole.shares)
    };
    same!(put(1, 0).await?, Shares(1), "replaced while nobody is decided");
    same!(put(2, 300).await?, Shares(2), "what the first were decided from");
    same!(put(3, 600).await?, Shares(2), "and the rest");
    Ok(())
}

pub(crate) async fn markets_are_replaced(bench: Bench) -> CaseResult {
    let world = World::new(bench, 0).await?;
    let mut first = market(token(6))?;
    let second = market(token(7))?;
    let put = async |markets| world.commit(&DetectionCommit { markets, ..Default::default() }).await;
    put(vec![first.clone(), second.clone()]).await?;
    same!(only(world.store.markets(&[token(6), token(1)]).await?, "market")?, first, "markets of tokens");
    first.payout = Some(domain::Price(1_000_000));
    first.accepting_orders = false;
    first.tick = domain::TickSize::TenThousandth;
    put(vec![first.clone()]).await?;
    let mut all = world.store.all_markets().await?;
    all.sort_by_key(|market| market.token);
    same!(all, [first, second], "all markets");
    Ok(())
}

pub(crate) async fn own_orders_are_told_apart(bench: Bench) -> CaseResult {
    let world = World::new(bench, 1).await?;
    let intent = world.intent(1, Side::Buy).await?;
    world.sign("a", intent, 0).await?;
    let own = world.attempt(intent, 0).order.id;
    same!(world.store.own_orders(&[OrderId([1; 32]), own]).await?, [own], "orders of ours");
    same!(world.store.own_orders(&[]).await?, [], "of none");
    Ok(())
}

fn factor(block: i64, after: i64) -> ExitFactor {
    ExitFactor { block, before: Shares(100), after: Shares(after) }
}

pub(crate) async fn the_newest_factor_of_a_block_stands(bench: Bench) -> CaseResult {
    let world = World::new(bench, 0).await?;
    let (leader, sold) = (world.leader, token(6));
    let other = world.store.add_leader(wallet(8), world.now()).await?;
    let factors = vec![
        (leader, sold, factor(20, 50)),
        (leader, sold, factor(10, 90)),
        (leader, token(7), factor(10, 1)),
        (other, sold, factor(10, 2)),
    ];
    world.commit(&DetectionCommit { factors, ..Default::default() }).await?;
    let corrected = vec![(leader, sold, factor(20, 40))];
    world.commit(&DetectionCommit { factors: corrected, ..Default::default() }).await?;
    let basis = world.store.exit_basis(leader, sold, None).await?;
    same!(basis.factors, [factor(10, 90), factor(20, 40)], "factors by block");
    same!(basis.holders, [], "holders");
    // They are of a chain: when it is replaced from a height on, they go.
    let headers = vec![header(10, 10, 9), header(20, 20, 19)];
    world.commit(&DetectionCommit { headers, ..Default::default() }).await?;
    let again = vec![(leader, sold, factor(20, 30))];
    let replaced = DetectionCommit { orphaned: vec![hash(20)], ..Default::default() };
    world.commit(&replaced).await?;
    same!(
        world.store.exit_basis(leader, sold, None).await?.factors,
        [factor(10, 90)],
        "factors of what is left"
    );
    let same_height = DetectionCommit { orphaned: vec![hash(10)], factors: again, ..Default::default() };
    world.commit(&same_height).await?;
    same!(world.store.exit_basis(leader, sold, None).await?.factors, [factor(20, 30)], "a factor read anew");
    Ok(())
}

pub(crate) async fn the_exit_basis_is_what_followers_hold(bench: Bench) -> CaseResult {
    let world = World::new(bench, 3).await?;
    let (first, second) = (world.follower(0)?.relationship, world.follower(1)?.relationship);
    let basis = async || world.store.exit_basis(world.leader, token(6), None).await;
    world.bought(30, 12_000_000).await?;
    world.bought(40, 8_000_000).await?;
    // A buy without a block is later than every sale; it is a phantom's until somebody inherits it.
    let state = GroupState::Phantom;
    let given = Shares(1);
    let unknown = TradeGroup { block: None, state, ..world.group(world.key(40, Side::Buy)) };
    let inherited = TradeGroup { given, ..unknown };
    world.commit(&DetectionCommit { groups: vec![inherited], ..Default::default() }).await?;
    let holders = basis().await?.holders;
    same!(
        holders.iter().flat_map(|holder| &holder.buys).any(|buy| buy.phantom),
        false,
        "an inherited phantom"
    );
    world.commit(&DetectionCommit { groups: vec![unknown], ..Default::default() }).await?;
    let buys = vec![
        CopiedBuy { block: 30, filled: Shares(12_000_000), phantom: false },
        CopiedBuy { block: i64::MAX, filled: Shares(8_000_000), phantom: true },
    ];
    let holder = |open| ExitHolder {
        relationship: first,
        held: Shares(20_000_000),
        buys: buys.clone(),
        open_exits: Shares(open),
        open_entries: false,
    };
    same!(basis().await?.holders, [holder(0)], "who holds what");
    let some = async |only: &[RelationshipId]| -> CaseResult<Vec<ExitHolder>> {
        Ok(world.store.exit_basis(world.leader, token(6), Some(only)).await?.holders)
    };
    same!(some(&[first, second]).await?, [holder(0)], "of two that are named");
    same!(some(&[second]).await?, [], "of one that holds nothing");
    same!(some(&[]).await?, [], "of none");
    let newest = world.store.ledger_after(None, 0, 100).await?.last().map_or(0, |row| row.id);
    same!((basis().await?.ledger_through, newest > 0), (newest, true), "the newest ledger row");
    // A waiting entry is an open copy that holds nothing.
    let key = world.key(50, Side::Buy);
    let mut commit = world.trade_of(key, &world.followers[1..2])?;
    for index in [0, 2] {
        commit.decisions.push(world.skip(world.follower(index)?, key, 0));
    }
    let entry = only(world.commit(&commit).await?, "queued entry")?.id;
    let open_copy = ExitHolder {
        relationship: second,
        held: Shares::ZERO,
        buys: vec![],
        open_exits: Shares::ZERO,
        open_entries: true,
    };
    same!(basis().await?.holders, [holder(0), open_copy.clone()], "with an open copy");
    // Signed, it may still fill; filled or given up, it will not.
    world.sign("a", entry, 0).await?;
    same!(basis().await?.holders, [holder(0), open_copy.clone()], "with a signed copy");
    let order = world.order(entry, 0).await?;
    let killed = world.change(OrderUpdate { state: OrderState::Killed, ..world.unchanged(&order) }).await?;
    let killed_copy = ExitHolder { open_entries: false, ..open_copy };
    same!(basis().await?.holders, [holder(0), killed_copy], "with a killed copy");
    world.change(OrderUpdate { work: WorkChange::Close, ..world.unchanged(&killed) }).await?;
    // An exit is open for what it has not sold, as long as it has work.
    let exit = world.intent(60, Side::Sell).await?;
    same!(basis().await?.holders, [holder(SALE.0)], "with a waiting exit");
    world.sign("a", exit, 0).await?;
    let sold = world.booking(&world.order(exit, 0).await?, 5_000_000).await?;
    let order = world.change(sold).await?;
    let part_sold = ExitHolder { held: Shares(15_000_000), ..holder(SALE.0 - 5_000_000) };
    same!(basis().await?.holders, [part_sold], "with a part-filled exit");
    world.change(OrderUpdate { work: WorkChange::Close, ..world.unchanged(&order) }).await?;
    let closed = ExitHolder { held: Shares(15_000_000), ..holder(0) };
    same!(only(basis().await?.holders, "line")?, closed, "with a closed exit");
    world.store.set_status(world.owner, first, RelationshipStatus::Stopped, world.now()).await?;
    same!(basis().await?.holders, [closed], "of a stopped relationship");
    same!(world.store.exit_basis(world.leader, token(7), None).await?.holders, [], "of another token");
    same!(world.store.exit_basis(LeaderId(77), token(6), None).await?.holders, [], "of another leader");
    Ok(())
}

pub(crate) async fn a_buy_still_open_counts_for_what_it_filled(bench: Bench) -> CaseResult {
    let world = World::new(bench, 1).await?;
    let intent = world.intent(30, Side::Buy).await?;
    world.sign("a", intent, 0).await?;
    world.pass(Duration::from_secs(1));
    let line =
        only(world.store.exit_basis(world.leader, token(6), None).await?.holders, "line of an open copy")?;
    same!((line.held, line.buys), (Shares::ZERO, vec![]), "an unfilled buy");
    let order = world.order(intent, 0).await?;
    world.change(world.booking(&order, 3_000_000).await?).await?;
    let line =
        only(world.store.exit_basis(world.leader, token(6), None).await?.holders, "line of a filled copy")?;
    let buys = vec![CopiedBuy { block: 30, filled: Shares(3_000_000), phantom: false }];
    same!((line.held, line.buys), (Shares(3_000_000), buys), "a part-filled buy");
    same!(world.order(intent, 0).await?.permits_out, [worker("a")], "the permit is still out");
    Ok(())
}
