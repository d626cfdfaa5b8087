//! A small installation on the memory store, made through the store's own ports with the engine's own
//! computations: what tests of verification and stories tell about.

use std::{sync::Arc, time::Duration};

use domain::{
    Address, Clock, ConditionId, FeeSchedule, Hash, KeyRef, Level, Market, OrderAmounts, OrderId, OrderPlan,
    Price, Shares, Side, TickSize, Timestamp, TokenId, TopOfBook, TxHash, Usd, WalletKind,
    decide::{EntryInputs, ExitInputs, TradeSnapshot, Verdict, decide_entry, decide_exit},
    exits::{ExitFactor, exit_target, mark_of_basis},
    ids::{AccountId, IntentId, LeaderId, OwnerId, RelationshipId},
    policy::{Policy, Sizing},
    skip::SkipReason,
    trade::{GroupKey, Part, PartKind, Quantity, TradeGroup},
};
use engine::{
    orders::{self, Learned},
    ports::{
        detection::{
            DecisionInputs, Detection, DetectionCommit, DetectionOutcome, IntentFacts, NewDecision, Source,
            StoredFill, StoredPart, TargetBasis,
        },
        execution::{Execution, OrderRecord, SignedAttempt, SignedOutcome, StageTimes, Why},
        following::{AccountMode, Following, NewAccount, NewRelationship},
        store::{InstanceId, Lease, Leases},
        tasks::Tasks,
        venue::PreparedOrder,
    },
    salt::{SALT_MASK, Salts, natural_key},
};
use testkit::{memory_store::MemoryStore, virtual_clock::VirtualClock};

use super::{Eip712Ids, OrderIds};

pub(crate) const IDS: Eip712Ids = Eip712Ids { chain: eip712::Chain::Polygon };
pub(crate) const TOKEN: TokenId = TokenId([0x11; 32]);
pub(crate) const LEADER_WALLET: Address = Address([0xaa; 20]);
/// The leader's trades happen at these offsets from here.
pub(crate) const START: Timestamp = Timestamp::from_seconds(1_772_366_400);

/// A moment, in milliseconds after [`START`].
pub(crate) fn at(millis: u64) -> Timestamp {
    START.plus(Duration::from_millis(millis))
}

pub(crate) struct TestSalts;

impl Salts for TestSalts {
    fn salt(&self, key: &[u8]) -> u64 {
        let mix = |hash: u64, byte: &u8| (hash ^ u64::from(*byte)).wrapping_mul(0x0100_0000_01b3);
        key.iter().fold(0xcbf2_9ce4_8422_2325, mix) & SALT_MASK
    }
}

pub(crate) struct World {
    pub(crate) store: MemoryStore,
    pub(crate) owner: OwnerId,
    pub(crate) account: AccountId,
    pub(crate) leader: LeaderId,
    pub(crate) relationship: RelationshipId,
    lease: Lease,
    me: InstanceId,
}

pub(crate) fn policy() -> Policy {
    Policy { sizing: Sizing::Fixed(Usd(10_000_000)), ..Policy::careful() }
}

pub(crate) fn market() -> Market {
    Market {
        token: TOKEN,
        condition: ConditionId::from_slice(&[0x22; 32]).unwrap(),
        tick: TickSize::Hundredth,
        minimum_size: Shares(5_000_000),
        negative_risk: false,
        fee: FeeSchedule { rate: 70_000, exponent: 1, ..FeeSchedule::default() },
        taker_delay_ms: 0,
        accepting_orders: true,
        payout: None,
        title: "Will it rain in Lisbon on 1 March?".to_owned(),
        slug: "rain-lisbon-march-1".to_owned(),
        outcome: "Yes".to_owned(),
    }
}

fn top(bid: i64, ask: i64) -> TopOfBook {
    let level = |price| Some(Level { price: Price(price), size: Shares(1_000_000_000) });
    TopOfBook { bid: level(bid), ask: level(ask) }
}

/// A leader's trade as the world sees it.
#[derive(Clone, Copy)]
pub(crate) struct Trade {
    /// The first byte of the transaction's hash fills it but for the last, which is the second.
    pub(crate) tx: u16,
    pub(crate) part: u32,
    pub(crate) side: Side,
    pub(crate) quantity: Quantity,
    /// Milliseconds after the start when the leader traded.
    pub(crate) traded: u64,
    /// Best offer (or bid) in millionths.
    pub(crate) best: i64,
}

/// A block a second, from block 100 on.
fn block_of(trade: &Trade) -> i64 {
    100 + i64::try_from(trade.traded / 1_000).unwrap()
}

/// The leader buys 100 shares at 0.5; the best offer is 0.51.
pub(crate) fn buy() -> Trade {
    let quantity = Quantity { shares: Shares(100_000_000), usd: Usd(50_000_000) };
    Trade { tx: 0xb1b1, part: 0, side: Side::Buy, quantity, traded: 0, best: 510_000 }
}

impl World {
    pub(crate) async fn new() -> Self {
        let clock: Arc<dyn Clock> = VirtualClock::new(at(0));
        let store = MemoryStore::new(clock);
        let me = InstanceId("test-1".to_owned());
        store.begin_instance(&me, at(0)).await.unwrap();
        let lease = store.take_lease("watcher", &me, Duration::from_secs(3_600)).await.unwrap().unwrap();
        let owner = store.add_owner("ann", at(0)).await.unwrap();
        let account = NewAccount {
            label: "ann's paper".to_owned(),
            mode: AccountMode::Paper,
            wallet: Address([1; 20]),
            signer: Address([2; 20]),
            kind: WalletKind::Eoa,
            key: KeyRef("ann".to_owned()),
            cap: None,
        };
        let account = store.add_account(owner, &account, at(0)).await.unwrap();
        store.book_deposit(owner, account, Usd(1_000_000_000), at(0)).await.unwrap();
        let leader = store.add_leader(LEADER_WALLET, at(0)).await.unwrap();
        let new = NewRelationship { account, leader, policy: policy() };
        let relationship = store.add_relationship(owner, &new, at(0)).await.unwrap();
        Self { store, owner, account, leader, relationship, lease, me }
    }

    pub(crate) fn key(&self, trade: &Trade) -> GroupKey {
        let [fill, last] = trade.tx.to_be_bytes();
        let mut tx = TxHash([fill; 32]);
        tx.0[31] = last;
        GroupKey { leader: self.leader, tx, token: TOKEN, action: trade.side.into() }
    }

    /// The stored part of a trade, its group included in the commit.
    fn seen(&self, trade: &Trade, kind: PartKind) -> (TradeGroup, StoredPart) {
        let seen_at = at(trade.traded + 900);
        let mut group = TradeGroup::new(self.key(trade), at(trade.traded), seen_at);
        group.chain = Some(trade.quantity);
        group.block = Some(block_of(trade));
        group.decided = trade.quantity.shares;
        group.parts = trade.part + 1;
        let part = Part { key: group.key, number: trade.part, added: trade.quantity.shares, kind };
        let (bid, ask) = match trade.side {
            Side::Buy => (trade.best - 10_000, trade.best),
            Side::Sell => (trade.best, trade.best + 10_000),
        };
        let market = Some(market());
        let top = Some(top(bid, ask));
        let snapshot = TradeSnapshot { whole: trade.quantity, market, top, own_order: false, sync: None };
        let decided_through = RelationshipId(0);
        (group, StoredPart { part, seen_at, snapshot, decided_through, complete: true })
    }

    /// The decision the engine would make of a trade for the world's relationship.
    pub(crate) fn decision(&self, trade: &Trade, inputs: DecisionInputs) -> NewDecision {
        let (group, part) = self.seen(trade, PartKind::Trade);
        let decided_at = at(trade.traded + 1_000);
        let verdict = match inputs {
            DecisionInputs::Entry(inputs) => decide_entry(&part.snapshot, &policy(), &inputs).unwrap(),
            DecisionInputs::Exit(inputs, _) => decide_exit(&part.snapshot, &policy(), &inputs).unwrap(),
            DecisionInputs::None => Verdict::Skip(SkipReason::NotActive),
        };
        let copies = matches!(verdict, Verdict::Copy(_));
        NewDecision {
            key: group.key,
            part: trade.part,
            relationship: self.relationship,
            owner: self.owner,
            policy_version: 1,
            inputs,
            verdict,
            decided_at,
            intent: copies.then(|| IntentFacts {
                why: Why::Trade,
                account: self.account,
                condition: market().condition,
                leader_price: trade.quantity.price().unwrap(),
                traded_at: at(trade.traded),
                seen_at: part.seen_at,
                expires_at: (trade.side == Side::Buy).then(|| at(trade.traded + 60_000)),
            }),
        }
    }

    /// Commits a trade with these decisions; the intents that wait.
    pub(crate) async fn commit(&self, trade: &Trade, decisions: Vec<NewDecision>) -> Vec<IntentId> {
        self.commit_kind(trade, PartKind::Trade, decisions).await
    }

    pub(crate) async fn commit_kind(
        &self,
        trade: &Trade,
        kind: PartKind,
        decisions: Vec<NewDecision>,
    ) -> Vec<IntentId> {
        let (group, part) = self.seen(trade, kind);
        let commit = DetectionCommit {
            groups: vec![group],
            parts: vec![part],
            decisions,
            markets: vec![market()],
            ..DetectionCommit::default()
        };
        let version = self.store.config_version().await.unwrap();
        match self.store.commit_detection(&self.lease, version, &commit).await.unwrap() {
            DetectionOutcome::Committed(queued) => queued.into_iter().map(|queued| queued.id).collect(),
            DetectionOutcome::ConfigChanged => panic!("the configuration did not change"),
        }
    }

    /// The inputs of an entry decided one second after the trade.
    pub(crate) fn entry() -> DecisionInputs {
        let free = Usd(1_000_000_000);
        DecisionInputs::Entry(EntryInputs { age: Duration::from_secs(1), free, ..EntryInputs::default() })
    }

    /// Decides and commits [`buy`]; its intent.
    pub(crate) async fn copied_buy(&self) -> IntentId {
        let trade = buy();
        self.commit(&trade, vec![self.decision(&trade, Self::entry())]).await[0]
    }

    /// The attempt a worker would sign.
    pub(crate) async fn attempt(&self, intent: IntentId) -> SignedAttempt {
        let waiting = self.store.load_waiting(&[intent]).await.unwrap().pop().unwrap();
        let (intent, number) = (waiting.intent, waiting.attempts);
        let amounts = match intent.side {
            Side::Buy => OrderAmounts::market_buy(Usd(intent.amount), intent.limit, market().tick),
            Side::Sell => OrderAmounts::market_sell(Shares(intent.amount), intent.limit, market().tick),
        };
        let amounts = amounts.unwrap();
        let signed_at = intent.decided_at.plus(Duration::from_millis(4));
        let timestamp = if intent.side == Side::Buy { intent.decided_at } else { signed_at };
        let plan = OrderPlan {
            salt: TestSalts.salt(&natural_key(&intent, number)),
            account: intent.account.clone(),
            token: intent.token,
            side: intent.side,
            amounts,
            timestamp,
            negative_risk: false,
            order_type: domain::OrderType::FillAndKill,
            defer: false,
            builder: Hash([0; 32]),
        };
        SignedAttempt {
            intent: intent.id,
            attempt: number,
            order: PreparedOrder { id: IDS.order_id(&plan).unwrap(), body: body(&plan) },
            amounts,
            limit: intent.limit,
            salt: plan.salt,
            timestamp,
            signed_at,
            resend_until: signed_at.plus(Duration::from_secs(5)),
        }
    }

    /// Commits an attempt; the order as stored.
    pub(crate) async fn sign(&self, attempt: SignedAttempt) -> OrderRecord {
        let id = attempt.order.id;
        let lease = Duration::from_secs(30);
        let outcome = self.store.commit_signed(&self.me, lease, &[attempt]).await.unwrap();
        assert!(matches!(outcome[0], SignedOutcome::Won { .. }));
        self.order(id).await
    }

    pub(crate) async fn order(&self, id: OrderId) -> OrderRecord {
        self.store.orders(&[id]).await.unwrap().pop().unwrap()
    }

    /// Applies what was learned, as worker and settlement do; the order as stored then.
    pub(crate) async fn learn(&self, id: OrderId, learned: Learned, now: Timestamp) -> OrderRecord {
        let record = self.order(id).await;
        let intent = &record.intent;
        let position =
            self.store.position(intent.account.id, intent.relationship, intent.token).await.unwrap();
        let update = orders::update(&record, &learned, &position, now).unwrap();
        assert_eq!(self.store.update_orders(&[update]).await.unwrap(), [true]);
        self.order(id).await
    }

    /// Puts a fill of an order into block 101 and finalises it; nothing is booked by that.
    pub(crate) async fn mine(&self, record: &OrderRecord, quantity: Quantity, fee: Usd) {
        let fill = StoredFill {
            block_hash: Hash([9; 32]),
            log_index: record.attempt.0,
            block: 101,
            tx: TxHash([0xcc; 32]),
            order: record.order.id,
            wallet: record.intent.account.wallet,
            token: record.intent.token,
            side: record.intent.side,
            shares: quantity.shares,
            usd: quantity.usd,
            fee,
            group: None,
        };
        let cursors = vec![(Source::Finalized, 101)];
        let commit = DetectionCommit { fills: vec![fill], cursors, ..DetectionCommit::default() };
        let version = self.store.config_version().await.unwrap();
        self.store.commit_detection(&self.lease, version, &commit).await.unwrap();
    }

    /// A copied buy, sent, filled at 0.51 and confirmed.
    pub(crate) async fn confirmed_buy(&self) -> OrderRecord {
        let intent = self.copied_buy().await;
        let record = self.sign(self.attempt(intent).await).await;
        self.fill(&record, filled_buy(), Usd(342_870)).await
    }

    /// Reply, block and finality of a full fill.
    pub(crate) async fn fill(&self, record: &OrderRecord, quantity: Quantity, fee: Usd) -> OrderRecord {
        let sent = record.signed_at.plus(Duration::from_millis(2));
        let replied = sent.plus(Duration::from_millis(85));
        let times = StageTimes { sent: Some(sent), replied: Some(replied), ..StageTimes::default() };
        let reply = Learned {
            reply: Some(quantity),
            permit_returned: Some(self.me.clone()),
            times,
            ..Learned::default()
        };
        let id = record.order.id;
        self.learn(id, reply, replied).await;
        self.mine(record, quantity, fee).await;
        self.learn(id, Learned::default(), replied.plus(Duration::from_millis(2_400))).await
    }

    /// The leader sells everything; the follower's exit is filled at 0.59.
    pub(crate) async fn confirmed_exit(&self) -> OrderRecord {
        let quantity = Quantity { shares: Shares(100_000_000), usd: Usd(60_000_000) };
        let trade = Trade { tx: 0xb2b2, part: 0, side: Side::Sell, quantity, traded: 30_000, best: 600_000 };
        let decision = self.decision(&trade, self.exit(&trade, Shares::ZERO).await);
        let intent = self.commit(&trade, vec![decision]).await[0];
        let record = self.sign(self.attempt(intent).await).await;
        let shares = Shares(record.amounts.maker);
        let usd = Price(590_000).cost(shares, domain::Rounding::Down).unwrap();
        self.fill(&record, Quantity { shares, usd }, Usd(331_880)).await
    }

    /// The leader keeps `kept` of the shares it sells in `trade`: stores the factor; the inputs of the exit.
    pub(crate) async fn exit(&self, trade: &Trade, kept: Shares) -> DecisionInputs {
        let factor = ExitFactor { block: block_of(trade), before: trade.quantity.shares, after: kept };
        self.keep(factor).await;
        let stored = self.store.exit_basis(self.leader, TOKEN, None).await.unwrap();
        let buys = stored.holders[0].buys.clone();
        let target = exit_target(&buys, &stored.factors).unwrap();
        let inputs = ExitInputs { held: stored.holders[0].held, target, open_exits: Shares::ZERO };
        let mark = mark_of_basis(&buys, &stored.factors);
        DecisionInputs::Exit(inputs, TargetBasis { ledger_through: stored.ledger_through, mark })
    }

    /// Sums every skip but the newest decision; how many decisions were looked at.
    pub(crate) async fn sum_skips(&self) -> usize {
        let me = InstanceId("sweeper".to_owned());
        let claim = self.store.claim_task("sum skips", &me, Duration::from_secs(60)).await.unwrap().unwrap();
        self.store.sum_skips(&claim, Timestamp(i64::MAX), 100).await.unwrap()
    }

    /// Stores what the leader kept of the token over a block.
    pub(crate) async fn keep(&self, factor: ExitFactor) {
        let factors = vec![(self.leader, TOKEN, factor)];
        let commit = DetectionCommit { factors, ..DetectionCommit::default() };
        let version = self.store.config_version().await.unwrap();
        self.store.commit_detection(&self.lease, version, &commit).await.unwrap();
    }
}

/// 10 dollars at 0.51.
pub(crate) fn filled_buy() -> Quantity {
    Quantity { shares: Shares(19_600_000), usd: Usd(9_996_000) }
}

/// The body as the venue's client writes it, without what is not compared.
pub(crate) fn body(plan: &OrderPlan) -> Vec<u8> {
    let order = serde_json::json!({
        "salt": plan.salt,
        "maker": plan.account.wallet,
        "signer": plan.signer_field(),
        "tokenId": plan.token,
        "makerAmount": plan.amounts.maker.to_string(),
        "takerAmount": plan.amounts.taker.to_string(),
        "side": plan.side,
        "signatureType": plan.account.kind.signature_type(),
        "timestamp": plan.timestamp.millis().to_string(),
        "expiration": "0",
    });
    serde_json::to_vec(&serde_json::json!({ "order": order, "orderType": "FAK" })).unwrap()
}
