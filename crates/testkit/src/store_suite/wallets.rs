//! Transactions of our own wallets: one open at a time, ended by evidence, told to people.

use domain::{
    Price, Redemption, Shares, Side, TxHash, Usd,
    ids::{AccountId, TransactionId},
    lifecycle::OrderState,
    position::Position,
};
use engine::ports::{
    execution::{LedgerCause, OrderUpdate, RedemptionPayout},
    store::EventKind,
    wallets::{Fees, NewTransaction, TransactionState, WalletTransaction},
};

use super::{
    bench::{Bench, CaseResult, Failure, only, same},
    world::{World, condition, token},
};

fn new(world: &World, account: AccountId, nonce: u64, attempt: u32) -> CaseResult<NewTransaction> {
    let transaction =
        WalletTransaction { nonce, body: b"body".to_vec(), tx: None, fees: None, expires_at: None };
    let redemption = Redemption::NegativeRisk(condition(token(6))?);
    Ok(NewTransaction { account, redemption, attempt, transaction, signed_at: world.now() })
}

/// Stores one that must be taken.
async fn stored(world: &World, new: &NewTransaction) -> CaseResult<TransactionId> {
    let id = world.store.commit_transaction(new).await?;
    id.ok_or_else(|| Failure::new("the transaction was not stored"))
}

async fn states(world: &World) -> CaseResult<Vec<(u32, TransactionState)>> {
    let newest = world.store.newest_transactions(None, 9).await?;
    Ok(newest.into_iter().rev().map(|record| (record.attempt, record.state)).collect())
}

pub(crate) async fn a_transaction_comes_back_bit_by_bit(bench: Bench) -> CaseResult {
    let world = World::new(bench, 1).await?;
    let account = world.follower(0)?.account;
    let transaction = WalletTransaction {
        nonce: 7,
        body: (0..=255).collect(),
        tx: Some(TxHash([9; 32])),
        fees: Some(Fees { most: 60_000_000_000, tip: 25_000_000_000 }),
        expires_at: Some(world.now()),
    };
    let new = NewTransaction { transaction, ..new(&world, account, 7, 0)? };
    let id = stored(&world, &new).await?;
    let record = only(world.store.open_transactions().await?, "open transaction")?;
    same!(
        (record.id, record.owner, record.account.id, record.redemption, record.attempt),
        (id, world.owner, account, new.redemption, 0),
        "what it is"
    );
    same!(record.transaction, new.transaction, "its bytes");
    same!(
        (record.state, record.signed_at, record.ended_at, record.relayer_id.as_deref()),
        (TransactionState::Signed, new.signed_at, None, None),
        "where it is"
    );
    world.store.take_transaction(id, Some("r-1")).await?;
    world.store.take_transaction(id, None).await?;
    let record = only(world.store.open_transactions().await?, "open transaction")?;
    same!(
        (record.state, record.relayer_id.as_deref()),
        (TransactionState::Taken, Some("r-1")),
        "once it is taken"
    );
    same!(world.store.newest_transactions(Some(world.owner), 9).await?, [record], "the owner's");
    let stranger = world.store.add_owner("stranger", world.now()).await?;
    same!(world.store.newest_transactions(Some(stranger), 9).await?, [], "a stranger's");
    Ok(())
}

pub(crate) async fn a_wallet_has_one_open_transaction(bench: Bench) -> CaseResult {
    let world = World::new(bench, 2).await?;
    let (one, other) = (world.follower(0)?.account, world.follower(1)?.account);
    let first = new(&world, one, 4, 0)?;
    same!(
        world.store.commit_transaction(&new(&world, one, 4, 1)?).await?,
        None,
        "a second attempt at nothing"
    );
    let id = stored(&world, &first).await?;
    for nonce in [4, 5] {
        let second = new(&world, one, nonce, 0)?;
        same!(world.store.commit_transaction(&second).await?, None, "a second one of a wallet");
    }
    stored(&world, &new(&world, other, 4, 0)?).await?;
    let open = world.store.open_transactions().await?;
    same!(open.iter().map(|open| open.account.id).collect::<Vec<_>>(), [one, other], "whose are open");
    same!(
        world.store.end_transaction(id, TransactionState::Failed, "undone", world.now()).await?,
        true,
        "the end"
    );
    stored(&world, &new(&world, one, 5, 0)?).await?;
    Ok(())
}

pub(crate) async fn a_higher_fee_joins_the_same_nonce(bench: Bench) -> CaseResult {
    let world = World::new(bench, 1).await?;
    let account = world.follower(0)?.account;
    stored(&world, &new(&world, account, 4, 0)?).await?;
    for (nonce, attempt) in [(5, 1), (4, 2), (4, 0)] {
        let wrong = new(&world, account, nonce, attempt)?;
        same!(world.store.commit_transaction(&wrong).await?, None, "another nonce or attempt");
    }
    stored(&world, &new(&world, account, 4, 1)?).await?;
    same!(
        world.store.commit_transaction(&new(&world, account, 4, 1)?).await?,
        None,
        "the same attempt again"
    );
    stored(&world, &new(&world, account, 4, 2)?).await?;
    let open = world.store.open_transactions().await?;
    same!(open.iter().map(|open| open.attempt).collect::<Vec<_>>(), [0, 1, 2], "attempts that are open");
    Ok(())
}

pub(crate) async fn the_end_of_one_ends_all_of_its_nonce(bench: Bench) -> CaseResult {
    let world = World::new(bench, 1).await?;
    let account = world.follower(0)?.account;
    let first = stored(&world, &new(&world, account, 4, 0)?).await?;
    stored(&world, &new(&world, account, 4, 1)?).await?;
    let (state, now) = (TransactionState::Confirmed, world.now());
    same!(world.store.end_transaction(first, state, "0x1", now).await?, true, "the end");
    same!(world.store.end_transaction(first, TransactionState::Failed, "no", now).await?, false, "again");
    let expected = [(0, TransactionState::Confirmed), (1, TransactionState::Replaced)];
    same!(states(&world).await?, expected, "both attempts");
    same!(world.store.open_transactions().await?, [], "open ones");
    world.store.take_transaction(first, Some("late")).await?;
    same!(states(&world).await?, expected, "after late news");
    let events = world.store.events_after(0, 1_000).await?;
    let told = events.into_iter().filter_map(|(_, event)| match event.kind {
        EventKind::WalletTransaction { transaction, account, state, reason } => {
            Some((event.owner, transaction, account, state, reason))
        }
        _ => None,
    });
    let (told, reason) = (told.collect::<Vec<_>>(), "0x1".to_owned());
    same!(told, [(Some(world.owner), first, account, state, reason)], "what is told");
    Ok(())
}

pub(crate) async fn what_takes_long_is_told(bench: Bench) -> CaseResult {
    let world = World::new(bench, 1).await?;
    let id = stored(&world, &new(&world, world.follower(0)?.account, 4, 0)?).await?;
    let before = world.store.events_after(0, 1_000).await?.len();
    world.store.tell_stuck(id, "slow", world.now()).await?;
    world.store.tell_stuck(TransactionId(99), "unknown", world.now()).await?;
    let events = world.store.events_after(0, 1_000).await?;
    same!(events.len(), before + 1, "events");
    let told = events.last().is_some_and(|(_, event)| {
        matches!(&event.kind,
            EventKind::WalletTransaction { state: TransactionState::Signed, reason, .. } if reason == "slow")
    });
    same!(told, true, "what is told");
    Ok(())
}

pub(crate) async fn what_pays_nothing_is_booked_without_a_transaction(bench: Bench) -> CaseResult {
    let world = World::new(bench, 1).await?;
    let follower = world.follower(0)?;
    let intent = world.intent(1, Side::Buy).await?;
    world.sign("a", intent, 0).await?;
    let order = world.order(intent, 0).await?;
    let settled = OrderUpdate {
        state: OrderState::Confirmed,
        release_reserve: true,
        ..world.booking(&order, 10_000_000).await?
    };
    world.change(settled).await?;
    let cash = only(world.store.accounts(None).await?, "account")?.cash;
    let book = async |numbers: &[u8]| {
        let nothing = |number: &u8| RedemptionPayout { token: token(*number), payout: Price(0) };
        let payouts: Vec<_> = numbers.iter().map(nothing).collect();
        world.store.book_payouts(follower.account, &payouts, world.now()).await
    };
    same!(book(&[7]).await?, 0, "of another token");
    same!(book(&[6, 7]).await?, 1, "of the token");
    same!(book(&[6]).await?, 0, "once more");
    let held = world.store.position(follower.account, follower.relationship, token(6)).await?;
    let expected =
        Position { shares: Shares::ZERO, cost: Usd::ZERO, realised: Usd(-5_000_000), fees: Usd(100_000) };
    same!(held, expected, "the position");
    same!(only(world.store.accounts(None).await?, "account")?.cash, cash, "cash");
    let rows = world.store.ledger_after(None, 0, 9).await?;
    same!(rows.last().map(|row| row.cause), Some(LedgerCause::Worthless), "the last row of the ledger");
    Ok(())
}
