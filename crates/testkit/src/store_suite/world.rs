//! A small world for cases: an owner, followers of one leader, and how to move a trade along.

use std::{sync::Arc, time::Duration};

use domain::{
    Address, Clock, ConditionId, FeeSchedule, Hash, KeyRef, Market, OrderAmounts, OrderId, Price, Shares,
    Side, TickSize, Timestamp, TokenId, TxHash, Usd, WalletKind,
    decide::{CopyOrder, EntryInputs, ExitInputs, TradeSnapshot, Verdict},
    ids::{AccountId, AttemptId, IntentId, LeaderId, OwnerId, RelationshipId},
    lifecycle::{BookingDelta, OrderState},
    policy::Policy,
    skip::SkipReason,
    trade::{GroupKey, Part, PartKind, Quantity, TradeGroup},
};
use engine::ports::{
    detection::{
        DecisionInputs, DetectionCommit, DetectionOutcome, IntentFacts, NewDecision, QueuedIntent,
        StoredFill, StoredPart, TargetBasis,
    },
    execution::{
        LedgerCause, OrderRecord, OrderUpdate, SignedAttempt, SignedOutcome, StageTimes, Why, WorkChange,
    },
    following::{AccountMode, NewAccount, NewRelationship},
    store::{InstanceId, Lease, Store},
    venue::PreparedOrder,
};

use super::bench::{Bench, CaseResult, Failure, only};

/// How long workers' leases last here.
pub(crate) const LEASE: Duration = Duration::from_secs(10);
/// What the usual buy gives, with its fee aside.
pub(crate) const BUY: Usd = Usd(10_000_000);
/// What the usual buy sets aside.
pub(crate) const RESERVE: Usd = Usd(11_000_000);
/// What the usual sale sells.
pub(crate) const SALE: Shares = Shares(20_000_000);
/// The worst price of both.
pub(crate) const LIMIT: Price = Price(500_000);

/// One follower of the world's leader.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) struct Follower {
    pub(crate) owner: OwnerId,
    pub(crate) account: AccountId,
    pub(crate) relationship: RelationshipId,
}

pub(crate) struct World {
    pub(crate) bench: Bench,
    pub(crate) store: Arc<dyn Store>,
    pub(crate) owner: OwnerId,
    pub(crate) leader: LeaderId,
    pub(crate) followers: Vec<Follower>,
    pub(crate) lease: Lease,
}

pub(crate) fn wallet(number: u16) -> Address {
    let mut bytes = [0x11; 20];
    bytes[..2].copy_from_slice(&number.to_be_bytes());
    Address(bytes)
}

pub(crate) fn token(number: u8) -> TokenId {
    TokenId([number; 32])
}

/// The condition of a token: two tokens share one.
pub(crate) fn condition(token: TokenId) -> CaseResult<ConditionId> {
    let pair = token.0[0] / 2;
    ConditionId::from_slice(&[pair; 32]).map_err(|error| Failure::new(error.to_string()))
}

pub(crate) fn worker(name: &str) -> InstanceId {
    InstanceId(name.to_owned())
}

pub(crate) fn hash(number: u8) -> Hash {
    Hash([number; 32])
}

pub(crate) fn quantity(shares: i64, usd: i64) -> Quantity {
    Quantity { shares: Shares(shares), usd: Usd(usd) }
}

pub(crate) fn new_account(number: u16) -> NewAccount {
    NewAccount {
        label: format!("account {number}"),
        mode: AccountMode::Paper,
        wallet: wallet(number),
        signer: wallet(number + 1_000),
        kind: WalletKind::Proxy,
        key: KeyRef(format!("key-{number}")),
        cap: Some(Usd(1_000_000_000)),
    }
}

pub(crate) fn market(token: TokenId) -> CaseResult<Market> {
    Ok(Market {
        token,
        condition: condition(token)?,
        tick: TickSize::Hundredth,
        minimum_size: Shares(5_000_000),
        negative_risk: true,
        fee: FeeSchedule { rate: 70_000, exponent: 1, ..FeeSchedule::default() },
        taker_delay_ms: 0,
        accepting_orders: true,
        payout: None,
        title: "Will it?".to_owned(),
        slug: "will-it".to_owned(),
        outcome: "Yes".to_owned(),
    })
}

impl World {
    /// An owner with `followers` accounts, each following the one leader, and the watcher's lease.
    pub(crate) async fn new(bench: Bench, followers: u16) -> CaseResult<Self> {
        let store = Arc::clone(&bench.store);
        let now = bench.clock.now();
        let owner = store.add_owner("first", now).await?;
        let leader = store.add_leader(wallet(9_999), now).await?;
        let lease = store.take_lease("watcher", &worker("watcher"), Duration::from_secs(3_600)).await?;
        let lease = lease.ok_or_else(|| Failure::new("a free lease is not given"))?;
        let mut world = Self { bench, store, owner, leader, followers: Vec::new(), lease };
        for _ in 0..followers {
            world.add_follower(owner).await?;
        }
        Ok(world)
    }

    /// One more account of `owner` that follows the leader.
    pub(crate) async fn add_follower(&mut self, owner: OwnerId) -> CaseResult<Follower> {
        let number = u16::try_from(self.followers.len()).map_err(|error| Failure::new(error.to_string()))?;
        let account = self.store.add_account(owner, &new_account(number), self.now()).await?;
        let new = NewRelationship { account, leader: self.leader, policy: Policy::careful() };
        let relationship = self.store.add_relationship(owner, &new, self.now()).await?;
        let follower = Follower { owner, account, relationship };
        self.followers.push(follower);
        Ok(follower)
    }

    pub(crate) fn now(&self) -> Timestamp {
        self.bench.clock.now()
    }

    pub(crate) fn pass(&self, duration: Duration) {
        self.bench.clock.advance(duration);
    }

    pub(crate) fn follower(&self, index: usize) -> CaseResult<Follower> {
        super::bench::at(&self.followers, index)
    }

    /// The leader's trade of token 6 in transaction `tx`.
    pub(crate) fn key(&self, tx: u8, side: Side) -> GroupKey {
        GroupKey { leader: self.leader, tx: TxHash([tx; 32]), token: token(6), action: side.into() }
    }

    /// A group of 100 shares for 50 dollars, on the chain in block `tx`.
    pub(crate) fn group(&self, key: GroupKey) -> TradeGroup {
        let mut group = TradeGroup::new(key, self.now(), self.now());
        group.chain = Some(quantity(100_000_000, 50_000_000));
        group.block = Some(i64::from(key.tx.0[0]));
        group.decided = Shares(100_000_000);
        group.parts = 1;
        group
    }

    /// A part that every follower has its decision for.
    pub(crate) fn part(&self, key: GroupKey, number: u32) -> CaseResult<StoredPart> {
        let added = Shares(100_000_000);
        Ok(StoredPart {
            part: Part { key, number, added, kind: PartKind::Trade },
            seen_at: self.now(),
            snapshot: TradeSnapshot {
                whole: quantity(100_000_000, 50_000_000),
                market: Some(market(key.token)?),
                top: None,
                own_order: false,
                sync: None,
            },
            decided_through: RelationshipId(i64::MAX),
            complete: true,
        })
    }

    /// A decision to copy: a buy of [`BUY`] or a sale of [`SALE`].
    pub(crate) fn copy(&self, follower: Follower, key: GroupKey, part: u32) -> CaseResult<NewDecision> {
        let order = match key.action.side() {
            Side::Buy => {
                CopyOrder { side: Side::Buy, amount: BUY.0, limit: LIMIT, reserve: RESERVE, binding: None }
            }
            Side::Sell => CopyOrder {
                side: Side::Sell,
                amount: SALE.0,
                limit: LIMIT,
                reserve: Usd::ZERO,
                binding: None,
            },
        };
        let facts = IntentFacts {
            why: Why::Trade,
            account: follower.account,
            condition: condition(key.token)?,
            leader_price: Price(490_000),
            traded_at: self.now().minus(Duration::from_secs(2)),
            seen_at: self.now(),
            expires_at: (key.action.side() == Side::Buy).then(|| self.now().plus(Duration::from_secs(60))),
        };
        let inputs = match key.action.side() {
            Side::Buy => DecisionInputs::Entry(EntryInputs {
                age: Duration::from_millis(1_500),
                decided_before: Usd(1),
                in_market: Usd(2),
                with_leader: Usd(3),
                in_account: Usd(4),
                free: Usd(5),
                account_cap: Some(Usd(6)),
            }),
            Side::Sell => {
                let inputs = ExitInputs { held: SALE, target: Shares(7), open_exits: Shares(8) };
                DecisionInputs::Exit(inputs, TargetBasis { ledger_through: 9, mark: -10 })
            }
        };
        Ok(NewDecision {
            key,
            part,
            relationship: follower.relationship,
            owner: follower.owner,
            policy_version: 1,
            inputs,
            verdict: Verdict::Copy(order),
            decided_at: self.now(),
            intent: Some(facts),
        })
    }

    /// A decision to skip.
    pub(crate) fn skip(&self, follower: Follower, key: GroupKey, part: u32) -> NewDecision {
        NewDecision {
            key,
            part,
            relationship: follower.relationship,
            owner: follower.owner,
            policy_version: 1,
            inputs: DecisionInputs::None,
            verdict: Verdict::Skip(SkipReason::SellBelowMinimum { shares: Shares(1), minimum: Shares(5) }),
            decided_at: self.now(),
            intent: None,
        }
    }

    /// A commit with one group, its part 0 and a copy for each of `followers`.
    pub(crate) fn trade_of(&self, key: GroupKey, followers: &[Follower]) -> CaseResult<DetectionCommit> {
        let copies = followers.iter().map(|follower| self.copy(*follower, key, 0));
        Ok(DetectionCommit {
            groups: vec![self.group(key)],
            parts: vec![self.part(key, 0)?],
            decisions: copies.collect::<CaseResult<_>>()?,
            ..DetectionCommit::default()
        })
    }

    /// Commit 1 under the configuration as it is; it must be taken.
    pub(crate) async fn commit(&self, commit: &DetectionCommit) -> CaseResult<Vec<QueuedIntent>> {
        let version = self.store.config_version().await?;
        match self.store.commit_detection(&self.lease, version, commit).await? {
            DetectionOutcome::Committed(waiting) => Ok(waiting),
            DetectionOutcome::ConfigChanged => Err(Failure::new("commit 1 sees a changed configuration")),
        }
    }

    /// A trade that all followers copy; their intents in the order of the followers.
    pub(crate) async fn trade(&self, tx: u8, side: Side) -> CaseResult<Vec<IntentId>> {
        let commit = self.trade_of(self.key(tx, side), &self.followers)?;
        Ok(self.commit(&commit).await?.into_iter().map(|queued| queued.id).collect())
    }

    /// A trade that only the first follower copies; its intent.
    pub(crate) async fn intent(&self, tx: u8, side: Side) -> CaseResult<IntentId> {
        let follower = self.follower(0)?;
        let mut commit = self.trade_of(self.key(tx, side), &[follower])?;
        let others = self.followers.iter().skip(1);
        commit.decisions.extend(others.map(|other| self.skip(*other, self.key(tx, side), 0)));
        Ok(only(self.commit(&commit).await?, "waiting intent")?.id)
    }

    /// An attempt to sign, with an id of its own.
    pub(crate) fn attempt(&self, intent: IntentId, number: u32) -> SignedAttempt {
        let mut id = [0xab; 32];
        id[..8].copy_from_slice(&intent.0.to_be_bytes());
        id[8..12].copy_from_slice(&number.to_be_bytes());
        SignedAttempt {
            intent,
            attempt: number,
            order: PreparedOrder { id: OrderId(id), body: format!("{{\"n\":{number}}}\u{0}é").into_bytes() },
            amounts: OrderAmounts { maker: 10_000_000, taker: 20_000_000 },
            limit: LIMIT,
            salt: (1 << 53) - 1,
            timestamp: self.now().minus(Duration::from_millis(3)),
            signed_at: self.now(),
            resend_until: self.now().plus(Duration::from_secs(5)),
        }
    }

    /// The same, selling so many micro-shares.
    pub(crate) fn sale(&self, exit: IntentId, number: u32, shares: i64) -> SignedAttempt {
        let amounts = OrderAmounts { maker: shares, taker: shares / 2 };
        SignedAttempt { amounts, ..self.attempt(exit, number) }
    }

    /// Commit 2 of one attempt.
    pub(crate) async fn try_sign(
        &self,
        holder: &str,
        intent: IntentId,
        number: u32,
    ) -> CaseResult<SignedOutcome> {
        let attempt = self.attempt(intent, number);
        only(self.store.commit_signed(&worker(holder), LEASE, &[attempt]).await?, "outcome")
    }

    /// Commit 2 of one attempt, which must win: its key and fence.
    pub(crate) async fn sign(
        &self,
        holder: &str,
        intent: IntentId,
        number: u32,
    ) -> CaseResult<(AttemptId, i64)> {
        match self.try_sign(holder, intent, number).await? {
            SignedOutcome::Won { attempt, fence } => Ok((attempt, fence)),
            other => Err(Failure::new(format!("attempt {number} of intent {intent} is {other:?}, not won"))),
        }
    }

    /// An attempt as stored.
    pub(crate) async fn order(&self, intent: IntentId, number: u32) -> CaseResult<OrderRecord> {
        only(self.store.orders_of(&[(intent, number)]).await?, "order")
    }

    /// Applies one update; says whether its version still stood.
    pub(crate) async fn apply(&self, update: OrderUpdate) -> CaseResult<bool> {
        only(self.store.update_orders(&[update]).await?, "answer")
    }

    /// Applies one update, which must be taken; the record after it.
    pub(crate) async fn change(&self, update: OrderUpdate) -> CaseResult<OrderRecord> {
        let attempt = update.attempt;
        if !self.apply(update).await? {
            return Err(Failure::new(format!("update of attempt {attempt} is refused")));
        }
        // A world as small as these has few intents.
        let intents: Vec<IntentId> = (1..=100).map(IntentId).collect();
        let orders = self.store.attempts_of(&intents).await?;
        let changed = orders.into_iter().filter(|order| order.attempt == attempt).collect();
        only(changed, "changed order")
    }

    /// A fill of an order of ours in block `block`, whose hash is that number.
    pub(crate) fn fill(&self, order: &OrderRecord, block: u8, log_index: i64, shares: i64) -> StoredFill {
        StoredFill {
            block_hash: hash(block),
            log_index,
            block: i64::from(block),
            tx: TxHash([block; 32]),
            order: order.order.id,
            wallet: order.intent.account.wallet,
            token: order.intent.token,
            side: order.intent.side,
            shares: Shares(shares),
            usd: Usd(shares / 2),
            fee: Usd(shares / 100),
            group: None,
        }
    }

    /// Books a fill (or, negative, its reversal) at half a dollar a share with one per cent of fee, and
    /// leaves everything else as it is.
    pub(crate) async fn booking(&self, order: &OrderRecord, shares: i64) -> CaseResult<OrderUpdate> {
        let intent = &order.intent;
        let position = self.store.position(intent.account.id, intent.relationship, intent.token).await?;
        let delta = BookingDelta { shares: Shares(shares), usd: Usd(shares / 2), fee: Usd(shares / 100) };
        let entry = position
            .entry(intent.side, delta, order.booked)
            .map_err(|error| Failure::new(error.to_string()))?;
        let cause = if shares < 0 { LedgerCause::Reversal } else { LedgerCause::Fill };
        let sells = intent.side == Side::Sell && shares > 0;
        let held = sells.then_some(position);
        Ok(OrderUpdate { booking: Some((cause, entry)), held, ..self.unchanged(order) })
    }

    /// An update that changes nothing but the version.
    pub(crate) fn unchanged(&self, order: &OrderRecord) -> OrderUpdate {
        OrderUpdate {
            attempt: order.attempt,
            version: order.version,
            state: order.state,
            reply: None,
            reply_estimated: order.evidence.reply_estimated,
            trades: Vec::new(),
            trades_gone: Vec::new(),
            booking: None,
            held: None,
            permit_returned: None,
            unseen_for: order.unseen_for,
            looked_up_at: order.looked_up_at,
            doubts: order.doubts,
            times: StageTimes::default(),
            release_reserve: false,
            unbooked: false,
            revisit: None,
            work: WorkChange::Due(self.now()),
            alarms: Vec::new(),
            at: self.now(),
        }
    }

    /// A buy of the first follower, signed, filled with `shares`, booked and closed; its intent.
    pub(crate) async fn bought(&self, tx: u8, shares: i64) -> CaseResult<IntentId> {
        let intent = self.intent(tx, Side::Buy).await?;
        self.fill_all(intent, shares).await?;
        Ok(intent)
    }

    /// A buy of every follower, as [`World::bought`]: each holds `shares` more to sell.
    pub(crate) async fn endow(&self, tx: u8, shares: i64) -> CaseResult {
        for intent in self.trade(tx, Side::Buy).await? {
            self.fill_all(intent, shares).await?;
        }
        Ok(())
    }

    pub(crate) async fn fill_all(&self, intent: IntentId, shares: i64) -> CaseResult {
        self.sign("a", intent, 0).await?;
        let order = self.order(intent, 0).await?;
        let update = OrderUpdate {
            state: OrderState::Confirmed,
            reply: Some(quantity(shares, shares / 2)),
            permit_returned: Some(worker("a")),
            release_reserve: true,
            work: WorkChange::Close,
            ..self.booking(&order, shares).await?
        };
        self.change(update).await.map(drop)
    }
}
