//! Money: ledger, positions, cash, reservations, exposure and redemptions always agree.

use domain::{
    OrderId, Price, Shares, Side, Usd,
    ids::{AccountId, RelationshipId},
    lifecycle::{BookingDelta, OrderState},
    position::{Entry, Position},
};
use engine::ports::{
    detection::{DetectionCommit, StoredRedemption},
    execution::{LedgerCause, OrderUpdate, RedemptionPayout, WorkChange},
    following::{Exposure, RelationshipStatus},
    store::EventKind,
    venue::LostOrder,
};

use super::{
    bench::{Bench, CaseResult, Failure, at, holds, only, same},
    world::{Follower, LEASE, RESERVE, World, condition, hash, token, worker},
};

/// Cash and reservations of a follower's account.
async fn money(world: &World, follower: Follower) -> CaseResult<(Usd, Usd)> {
    let accounts = world.store.accounts(None).await?.into_iter();
    let own = accounts.filter(|account| account.trading.id == follower.account).collect();
    let account = only(own, "account")?;
    Ok((account.cash, account.reserved))
}

async fn position(world: &World, follower: Follower) -> CaseResult<Position> {
    Ok(world.store.position(follower.account, follower.relationship, token(6)).await?)
}

/// What was sold is taken from what is held, what was bought is the account's: once, whoever adopts it.
pub(crate) async fn a_lost_order_is_adopted_once(bench: Bench) -> CaseResult {
    let world = World::new(bench, 2).await?;
    let (follower, store) = (world.follower(0)?, &world.store);
    let added = store.known_until(follower.account).await?;
    store.book_deposit(world.owner, follower.account, Usd(100_000_000), world.now()).await?;
    let intent = world.intent(1, Side::Buy).await?;
    world.sign("a", intent, 0).await?;
    let order = world.order(intent, 0).await?;
    holds!(added <= order.signed_at, "an account is older than its orders");
    same!(store.known_until(follower.account).await?, order.signed_at, "until when orders are known");
    let order = world.change(world.booking(&order, 10_000_000).await?).await?;
    let filled = |shares, usd| BookingDelta { shares: Shares(shares), usd: Usd(usd), fee: Usd(10_000) };
    let lost = |id: u8, side, filled| LostOrder { id: OrderId([id; 32]), token: token(6), side, filled };
    let sale = lost(201, Side::Sell, filled(12_000_000, 6_000_000));
    let purchase = lost(202, Side::Buy, filled(5_000_000, 2_000_000));
    let version = store.config_version().await?;
    for expected in [true, false] {
        for lost in [&sale, &purchase] {
            same!(store.adopt(follower.account, lost, world.now()).await?, expected, "adopted now");
        }
    }
    holds!(store.config_version().await? > version, "whoever decides must see what is held now");
    let known = LostOrder { id: order.order.id, ..purchase };
    holds!(!store.adopt(follower.account, &known, world.now()).await?, "an order that is known");
    same!(position(&world, follower).await?.shares, Shares::ZERO, "what is left of the position");
    let rest = store.adopted_shares(follower.account).await?;
    same!(rest, [(token(6), Shares(3_000_000))], "5 were bought, and 2 sold beyond what was known");
    // 100 less 5.1 of the purchase that is known, and what was lost.
    same!(money(&world, follower).await?.0, Usd(98_880_000), "cash");
    let rows = store.ledger_after(None, 0, 20).await?;
    let adopted: Vec<_> = rows.iter().filter(|row| row.cause == LedgerCause::Adopted).collect();
    let named: Vec<_> = adopted.iter().map(|row| (row.relationship.is_some(), row.token.is_some())).collect();
    same!(named, [(true, true), (false, false), (false, false)], "whose they are");
    same!(store.adopted_shares(world.follower(1)?.account).await?, [], "another account");
    Ok(())
}

pub(crate) async fn a_fill_is_booked_everywhere(bench: Bench) -> CaseResult {
    let world = World::new(bench, 1).await?;
    let follower = world.follower(0)?;
    world.store.book_deposit(world.owner, follower.account, Usd(100_000_000), world.now()).await?;
    let intent = world.intent(1, Side::Buy).await?;
    same!(money(&world, follower).await?, (Usd(100_000_000), RESERVE), "cash and reserved while it waits");
    world.sign("a", intent, 0).await?;
    let order = world.order(intent, 0).await?;
    let order = world.change(world.booking(&order, 10_000_000).await?).await?;
    let first = Entry {
        shares: Shares(10_000_000),
        cash: Usd(-5_100_000),
        cost: Usd(5_000_000),
        realised: Usd::ZERO,
        fee: Usd(100_000),
    };
    same!(order.booked, first, "what the order booked");
    same!(money(&world, follower).await?, (Usd(94_900_000), RESERVE), "cash and reserved after a fill");
    let more = OrderUpdate {
        state: OrderState::Matched,
        release_reserve: true,
        ..world.booking(&order, 8_000_000).await?
    };
    let order = world.change(more).await?;
    same!(money(&world, follower).await?, (Usd(90_820_000), Usd::ZERO), "cash and reserved after all fills");
    let held = position(&world, follower).await?;
    let expected = Position {
        shares: Shares(18_000_000),
        cost: Usd(9_000_000),
        realised: Usd::ZERO,
        fees: Usd(180_000),
    };
    same!(held, expected, "the position");
    let rows = world.store.ledger_after(None, 0, 9).await?;
    let causes: Vec<_> = rows.iter().map(|row| (row.cause, row.intent)).collect();
    let fill = (LedgerCause::Fill, Some(intent));
    same!(causes, [(LedgerCause::Deposit, None), fill, fill], "causes of the ledger rows");
    let last = at(&rows.iter().collect::<Vec<_>>(), 2)?;
    same!(
        (last.owner, last.account, last.relationship, last.token, last.at),
        (world.owner, follower.account, Some(follower.relationship), Some(token(6)), world.now()),
        "keys of a ledger row"
    );
    let sum = first.plus(last.entry).map_err(|error| Failure::new(error.to_string()))?;
    same!(order.booked, sum, "the order's bookings");
    let stored = only(world.store.positions(None).await?, "position")?;
    same!(
        (stored.owner, stored.account, stored.relationship, stored.token, stored.position),
        (world.owner, follower.account, follower.relationship, token(6), expected),
        "the position's row"
    );
    Ok(())
}

pub(crate) async fn a_sale_and_its_reversal_leave_no_trace(bench: Bench) -> CaseResult {
    let world = World::new(bench, 1).await?;
    let follower = world.follower(0)?;
    world.bought(1, 20_000_000).await?;
    let (before, cash) = (position(&world, follower).await?, money(&world, follower).await?);
    let exit = world.intent(2, Side::Sell).await?;
    world.sign("a", exit, 0).await?;
    let sold = world.change(world.booking(&world.order(exit, 0).await?, 5_000_000).await?).await?;
    same!(position(&world, follower).await?.shares, Shares(15_000_000), "shares after a sale");
    let undone = world.change(world.booking(&sold, -5_000_000).await?).await?;
    same!(undone.booked, Entry::default(), "bookings of a reversed order");
    same!(position(&world, follower).await?, before, "the position after the reversal");
    same!(money(&world, follower).await?, cash, "cash after the reversal");
    let causes: Vec<_> = world.store.ledger_after(None, 0, 9).await?.iter().map(|row| row.cause).collect();
    same!(causes, [LedgerCause::Fill, LedgerCause::Fill, LedgerCause::Reversal], "the history stays");
    Ok(())
}

/// Two sales computed from one position: the second one's cost would be of shares that the first one sold.
pub(crate) async fn a_sale_is_booked_from_the_position_that_stands(bench: Bench) -> CaseResult {
    let world = World::new(bench, 1).await?;
    let follower = world.follower(0)?;
    world.bought(1, 15_000_003).await?;
    let mut sales = Vec::new();
    for (tx, shares) in [(2, 7_000_001), (3, 8_000_002)] {
        let exit = world.intent(tx, Side::Sell).await?;
        let sale = world.sale(exit, 0, shares);
        world.store.commit_signed(&worker("a"), LEASE, &[sale]).await?;
        sales.push(exit);
    }
    let (first, second) = (at(&sales, 0)?, at(&sales, 1)?);
    let both = [
        world.booking(&world.order(first, 0).await?, 7_000_001).await?,
        world.booking(&world.order(second, 0).await?, 8_000_002).await?,
    ];
    same!(world.store.update_orders(&both).await?, [true, false], "two sales from one position at once");
    same!(world.order(second, 0).await?.booked, Entry::default(), "what the second one booked");
    let [_, late] = both;
    same!(world.apply(late).await?, false, "the second one later");
    let again = world.booking(&world.order(second, 0).await?, 8_000_002).await?;
    same!(world.apply(again).await?, true, "the second one computed again");
    let left = position(&world, follower).await?;
    same!((left.shares, left.cost), (Shares::ZERO, Usd::ZERO), "shares and cost when all are sold");
    let more = world.intent(4, Side::Buy).await?;
    world.sign("a", more, 0).await?;
    let bought = world.booking(&world.order(more, 0).await?, 4_000_000).await?;
    same!(world.store.update_orders(&[bought]).await?, [true], "a purchase depends on no position");
    Ok(())
}

pub(crate) async fn a_refused_update_books_nothing(bench: Bench) -> CaseResult {
    let world = World::new(bench, 1).await?;
    let follower = world.follower(0)?;
    let intent = world.intent(1, Side::Buy).await?;
    world.sign("a", intent, 0).await?;
    let order = world.order(intent, 0).await?;
    let fill = OrderUpdate {
        state: OrderState::Matched,
        release_reserve: true,
        ..world.booking(&order, 10_000_000).await?
    };
    same!(
        world.store.update_orders(&[fill.clone(), fill.clone()]).await?,
        [true, false],
        "a fill told twice"
    );
    same!(world.apply(fill).await?, false, "a fill told once more");
    same!(position(&world, follower).await?.shares, Shares(10_000_000), "shares");
    same!(world.store.ledger_after(None, 0, 9).await?.len(), 1, "ledger rows");
    Ok(())
}

pub(crate) async fn a_reservation_comes_back_once(bench: Bench) -> CaseResult {
    let world = World::new(bench, 2).await?;
    let (follower, intents) = (world.follower(0)?, world.trade(1, Side::Buy).await?);
    let (first, second) = (at(&intents, 0)?, at(&intents, 1)?);
    world.sign("a", first, 0).await?;
    let order = world.order(first, 0).await?;
    let release = OrderUpdate { state: OrderState::Killed, release_reserve: true, ..world.unchanged(&order) };
    let order = world.change(release.clone()).await?;
    same!(world.store.reservations(None).await?, [(second, RESERVE)], "reservations after one was released");
    let again = OrderUpdate { version: order.version, ..release };
    world.change(again).await?;
    same!(
        world.store.reservations(None).await?,
        [(second, RESERVE)],
        "reservations after it was released again"
    );
    same!(money(&world, follower).await?.1, Usd::ZERO, "reserved in the account");
    same!(money(&world, world.follower(1)?).await?.1, RESERVE, "reserved in the other account");
    Ok(())
}

pub(crate) async fn exposure_is_cost_and_reservations(bench: Bench) -> CaseResult {
    let world = World::new(bench, 2).await?;
    let follower = world.follower(0)?;
    let exposures = async || -> CaseResult<Vec<Exposure>> {
        let mut list = world.store.following(world.now()).await?.exposures;
        list.sort_by_key(|line| (line.relationship, line.condition));
        Ok(list)
    };
    let line = |usd| -> CaseResult<Exposure> {
        let (relationship, account) = (follower.relationship, follower.account);
        Ok(Exposure { relationship, account, condition: condition(token(6))?, usd: Usd(usd) })
    };
    same!(exposures().await?, [], "at first");
    world.bought(1, 8_000_000).await?;
    same!(exposures().await?, [line(4_000_000)?], "of a position");
    world.intent(2, Side::Buy).await?;
    same!(exposures().await?, [line(15_000_000)?], "of a position and a waiting entry");
    // The opposite token belongs to the same condition, and a stopped relationship is still at risk.
    let key = domain::trade::GroupKey { token: token(7), ..world.key(3, Side::Buy) };
    let mut commit = world.trade_of(key, &[follower])?;
    commit.decisions.push(world.skip(world.follower(1)?, key, 0));
    world.commit(&commit).await?;
    same!(exposures().await?, [line(26_000_000)?], "of both tokens of a condition");
    world
        .store
        .set_status(world.owner, follower.relationship, RelationshipStatus::Stopped, world.now())
        .await?;
    same!(exposures().await?, [line(26_000_000)?], "of a stopped relationship");
    Ok(())
}

pub(crate) async fn exposure_nobody_expects_raises_the_version(bench: Bench) -> CaseResult {
    let world = World::new(bench, 1).await?;
    let intent = world.intent(1, Side::Buy).await?;
    world.sign("a", intent, 0).await?;
    let raised = async |update: OrderUpdate| -> CaseResult<bool> {
        let version = world.store.config_version().await?;
        world.change(update).await?;
        Ok(world.store.config_version().await? > version)
    };
    let order = async || world.order(intent, 0).await;
    same!(
        raised(world.booking(&order().await?, 1_000).await?).await?,
        false,
        "a fill within its reservation"
    );
    let booked = world.store.booked_version().await?;
    let release = OrderUpdate {
        state: OrderState::Matched,
        release_reserve: true,
        ..world.booking(&order().await?, 1_000).await?
    };
    same!(raised(release).await?, false, "a fill that gives its reservation back");
    holds!(world.store.booked_version().await? != booked, "a booking must change the number of bookings");
    let seen = world.store.following(world.now()).await?.booked_version;
    same!(seen, world.store.booked_version().await?, "the number of bookings in the snapshot");
    same!(raised(world.unchanged(&order().await?)).await?, false, "an update without a booking");
    same!(raised(world.booking(&order().await?, 1_000).await?).await?, true, "a fill after its reservation");
    same!(raised(world.booking(&order().await?, -3_000).await?).await?, false, "a reversal of a buy");
    let fee = Entry { cash: Usd(-5), fee: Usd(5), ..Entry::default() };
    let late_fee =
        OrderUpdate { booking: Some((LedgerCause::Fill, fee)), ..world.unchanged(&order().await?) };
    same!(raised(late_fee).await?, true, "a fee alone");
    world.bought(2, 10_000_000).await?;
    let exit = world.intent(3, Side::Sell).await?;
    world.sign("a", exit, 0).await?;
    let sold = world.booking(&world.order(exit, 0).await?, 4_000_000).await?;
    same!(raised(sold).await?, false, "a sale");
    let undone = world.booking(&world.order(exit, 0).await?, -4_000_000).await?;
    same!(raised(undone).await?, true, "a reversal of a sale");
    Ok(())
}

fn redemption(account: AccountId, block: u8, log_index: i64) -> CaseResult<StoredRedemption> {
    // Hashes do not sort like heights.
    let (block_hash, block) = (hash(100 - block), i64::from(block));
    let condition = condition(token(6))?;
    Ok(StoredRedemption { block_hash, log_index, block, account, condition, payout: Usd(10_000_000) })
}

pub(crate) async fn redemptions_wait_for_finality_in_order(bench: Bench) -> CaseResult {
    let world = World::new(bench, 1).await?;
    let account = world.follower(0)?.account;
    let [late, second, first] =
        [redemption(account, 9, 0)?, redemption(account, 8, 5)?, redemption(account, 8, 2)?];
    let commit = DetectionCommit { redemptions: vec![late, second, first], ..Default::default() };
    world.commit(&commit).await?;
    world.commit(&commit).await?;
    let unbooked = async |finalized, limit| world.store.unbooked_redemptions(finalized, limit).await;
    same!(unbooked(7, 9).await?, [], "below all of them");
    same!(unbooked(8, 9).await?, [first, second], "at their height");
    same!(unbooked(9, 2).await?, [first, second], "at most two");
    world.commit(&DetectionCommit { orphaned: vec![hash(92)], ..Default::default() }).await?;
    same!(unbooked(9, 9).await?, [late], "after a block was orphaned");
    same!(world.store.book_redemption(hash(92), 2, &[], world.now()).await?, false, "an orphaned redemption");
    world.commit(&DetectionCommit { redemptions: vec![first], ..Default::default() }).await?;
    same!(unbooked(9, 9).await?, [first, late], "after one came back");
    Ok(())
}

pub(crate) async fn as_much_is_booked_as_was_paid_for(bench: Bench) -> CaseResult {
    let world = World::new(bench, 1).await?;
    let follower = world.follower(0)?;
    world.bought(1, 10_000_000).await?;
    let cash = money(&world, follower).await?.0;
    let payouts = [RedemptionPayout { token: token(6), payout: Price(1_000_000) }];
    for (log_index, paid, left) in [(0, 2_500_000, 7_500_000), (1, 0, 7_500_000), (2, 9_000_000, 0)] {
        let seen = StoredRedemption { payout: Usd(paid), ..redemption(follower.account, 9, log_index)? };
        world.commit(&DetectionCommit { redemptions: vec![seen], ..Default::default() }).await?;
        let booked = world.store.book_redemption(hash(91), log_index, &payouts, world.now()).await?;
        same!(booked, true, "the redemption");
        same!(position(&world, follower).await?.shares, Shares(left), "what is left");
        same!(money(&world, follower).await?.0, Usd(cash.0 + 10_000_000 - left), "cash");
    }
    let events = world.store.events_after(0, 1_000).await?;
    let told = events.into_iter().filter_map(|(_, event)| match event.kind {
        EventKind::PayoutDiffers { paid, due, .. } => Some((paid.0, due.0)),
        _ => None,
    });
    same!(
        told.collect::<Vec<_>>(),
        [(2_500_000, 10_000_000), (0, 7_500_000), (9_000_000, 7_500_000)],
        "what is told"
    );
    Ok(())
}

pub(crate) async fn a_redemption_is_booked_once(bench: Bench) -> CaseResult {
    let world = World::new(bench, 2).await?;
    let (follower, other) = (world.follower(0)?, world.follower(1)?);
    let key = world.key(1, Side::Buy);
    for (tx, follower) in [(1, follower), (2, other)] {
        let key = world.key(tx, Side::Buy);
        let mut commit = world.trade_of(key, &[follower])?;
        let rest = world.followers.iter().filter(|rest| **rest != follower);
        commit.decisions.extend(rest.map(|rest| world.skip(*rest, key, 0)));
        let intent = only(world.commit(&commit).await?, "intent")?.id;
        world.sign("a", intent, 0).await?;
        let order = world.order(intent, 0).await?;
        let settled = OrderUpdate {
            state: OrderState::Confirmed,
            release_reserve: true,
            ..world.booking(&order, 10_000_000).await?
        };
        world.change(settled).await?;
    }
    same!(
        world.store.held_tokens(follower.account, condition(key.token)?).await?,
        [key.token],
        "held tokens"
    );
    same!(world.store.held_tokens(follower.account, condition(token(9))?).await?, [], "of another condition");
    let seen = redemption(follower.account, 9, 0)?;
    world.commit(&DetectionCommit { redemptions: vec![seen], ..Default::default() }).await?;
    let cash = money(&world, follower).await?.0;
    let payouts = [
        RedemptionPayout { token: token(7), payout: Price(0) },
        RedemptionPayout { token: token(6), payout: Price(1_000_000) },
    ];
    let book =
        async |log_index| world.store.book_redemption(hash(91), log_index, &payouts, world.now()).await;
    same!(book(1).await?, false, "an unknown redemption");
    same!(book(0).await?, true, "the redemption");
    same!(book(0).await?, false, "the redemption again");
    let paid = Usd(cash.0 + 10_000_000);
    same!(money(&world, follower).await?.0, paid, "cash after the payout");
    let held = position(&world, follower).await?;
    same!((held.shares, held.cost, held.realised), (Shares::ZERO, Usd::ZERO, Usd(5_000_000)), "the position");
    same!(position(&world, other).await?.shares, Shares(10_000_000), "another account's position");
    let rows = world.store.ledger_after(None, 0, 9).await?;
    let again = StoredRedemption { log_index: 7, payout: Usd::ZERO, ..seen };
    world.commit(&DetectionCommit { redemptions: vec![again], ..Default::default() }).await?;
    same!(book(7).await?, true, "a redemption of nothing that is left");
    same!(world.store.ledger_after(None, 0, 9).await?, rows, "the ledger after it");
    let row = world.store.ledger_after(None, 0, 9).await?.pop();
    let row = super::bench::some(row, "the ledger row")?;
    same!((row.cause, row.intent, row.account), (LedgerCause::Redeemed, None, follower.account), "its row");
    same!(world.store.unbooked_redemptions(99, 9).await?, [], "redemptions to book");
    world.commit(&DetectionCommit { redemptions: vec![seen], ..Default::default() }).await?;
    same!(world.store.unbooked_redemptions(99, 9).await?, [], "redemptions to book after it was seen again");
    same!(
        world.store.held_tokens(follower.account, condition(key.token)?).await?,
        [],
        "held tokens after it"
    );
    Ok(())
}

pub(crate) async fn amounts_beyond_computing_are_refused_whole(bench: Bench) -> CaseResult {
    let world = World::new(bench, 2).await?;
    let intents = world.trade(1, Side::Buy).await?;
    for intent in &intents {
        world.sign("a", *intent, 0).await?;
    }
    let (first, second) = (world.order(at(&intents, 0)?, 0).await?, world.order(at(&intents, 1)?, 0).await?);
    let huge = Entry { cash: Usd(i64::MIN / 2), cost: Usd(i64::MAX), ..Entry::default() };
    let fill = world.booking(&first, 10_000_000).await?;
    let full = OrderUpdate { booking: Some((LedgerCause::Fill, huge)), ..world.unchanged(&second) };
    let over = OrderUpdate { version: second.version + 1, ..full.clone() };
    let refused = world.store.update_orders(&[fill, full, over]).await;
    holds!(refused.is_err(), "a cost beyond 64 bits: {refused:?}");
    same!(world.store.ledger_after(None, 0, 9).await?, [], "ledger rows");
    same!(world.order(at(&intents, 0)?, 0).await?, first, "the first order of the batch");
    Ok(())
}

pub(crate) async fn nothing_held_is_an_empty_position(bench: Bench) -> CaseResult {
    let world = World::new(bench, 1).await?;
    let (account, relationship) = (world.follower(0)?.account, world.follower(0)?.relationship);
    let nothing = Position::default();
    same!(world.store.position(account, relationship, token(6)).await?, nothing, "before any fill");
    world.bought(1, 10_000_000).await?;
    same!(world.store.position(account, relationship, token(7)).await?, nothing, "of another token");
    let stranger = RelationshipId(77_777);
    same!(world.store.position(account, stranger, token(6)).await?, nothing, "of another relationship");
    let closed = only(world.store.find_orders(None, &[], 9).await?, "order")?;
    same!((closed.open_work, closed.permits_out), (false, vec![]), "the settled order");
    let again = OrderUpdate {
        permit_returned: Some(worker("a")),
        work: WorkChange::Close,
        ..world.unchanged(&world.order(closed.intent.id, 0).await?)
    };
    world.change(again).await?;
    Ok(())
}

pub(crate) async fn what_anybody_holds_is_listed(bench: Bench) -> CaseResult {
    let world = World::new(bench, 1).await?;
    same!(world.store.tokens_held(9).await?, [], "before any fill");
    world.bought(1, 10_000_000).await?;
    same!(world.store.tokens_held(9).await?, [token(6)], "after a buy");
    same!(world.store.tokens_held(0).await?, [], "at most none");
    let order = only(world.store.find_orders(None, &[], 9).await?, "order")?;
    let reversal = OrderUpdate { work: WorkChange::Close, ..world.booking(&order, -10_000_000).await? };
    world.change(reversal).await?;
    same!(world.store.tokens_held(9).await?, [], "after its reversal");
    Ok(())
}
