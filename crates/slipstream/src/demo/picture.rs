//! What a running demo shows: gathered step by step from the store, the tape and the simulator.
//!
//! One picture serves the terminal, the plain output and the report, so that they cannot disagree.

use std::{
    collections::{BTreeMap, BTreeSet, HashMap, VecDeque},
    sync::{Arc, Mutex, PoisonError},
    time::Duration,
};

use anyhow::Context;
use domain::{
    Address, Clock, OrderId, Price, Side, Timestamp, TokenId, TxHash,
    decide::Verdict,
    ids::{IntentId, LeaderId},
    lifecycle::OrderState,
    skip::SkipReason,
    trade::{GroupKey, Quantity},
};
use engine::ports::{
    execution::{Intent, OrderRecord},
    following::RelationshipStatus,
    reports::DecisionRecord,
    store::{EventKind, Store},
};
use serde::Serialize;

use super::{
    control::Control,
    figures::{self, FollowerLine, StageLatency},
    live::Following,
    player::Played,
};

/// Lines of the feed that are kept.
const FEED: usize = 200;
/// A trade without answers counts as lost after this long.
const LOST_AFTER: Duration = Duration::from_secs(10);
/// Rows read at once.
const PAGE: usize = 1_000;

/// A leader's trade and the answers to it.
#[derive(Clone, Debug, Serialize)]
pub struct FeedLine {
    /// The group and part it is about.
    pub key: GroupKey,
    /// Part number.
    pub part: u32,
    /// Its place among all lines, from 1.
    pub number: usize,
    /// Whose trade.
    pub leader: Address,
    /// When we saw it.
    pub at: Timestamp,
    /// The market's title, or the token.
    pub market: String,
    /// The outcome's label.
    pub outcome: String,
    /// Shares of the part.
    pub shares: domain::Shares,
    /// The leader's average price.
    pub price: Option<Price>,
    /// Followers that copy it.
    pub copied: usize,
    /// Reasons of the others.
    pub skipped: BTreeMap<&'static str, usize>,
}

impl FeedLine {
    /// Followers whose decision is known.
    #[must_use]
    pub fn answers(&self) -> usize {
        self.copied + self.skipped.values().sum::<usize>()
    }
}

/// Something that was broken on purpose.
#[derive(Clone, Debug, Serialize)]
pub struct Broken {
    /// When.
    pub at: Timestamp,
    /// What, in words.
    pub what: String,
}

/// Everything there is to show at one moment.
#[derive(Clone, Debug, Default, Serialize)]
pub struct Picture {
    /// Tape position and length in milliseconds of tape.
    pub tape: (u64, u64),
    /// Whether the tape has been played to its end.
    pub played: bool,
    /// Leaders' transactions played.
    pub played_trades: usize,
    /// Trade parts seen.
    pub seen: usize,
    /// Decisions to copy.
    pub copied: usize,
    /// Decisions not to, by reason.
    pub skipped: BTreeMap<&'static str, usize>,
    /// The newest decision of each reason, with its numbers.
    pub examples: BTreeMap<&'static str, String>,
    /// Orders by state.
    pub orders: BTreeMap<&'static str, usize>,
    /// Orders of which something may still be learned.
    pub unsettled: usize,
    /// Time between stages of orders.
    pub latency: Vec<StageLatency>,
    /// Leaders' trades nobody answered in time, and copies nobody carries out.
    pub lost: usize,
    /// Intents for which more was executed than was decided, and orders nobody knows.
    pub doubled: usize,
    /// Newest last.
    pub feed: VecDeque<FeedLine>,
    /// By account.
    pub followers: Vec<FollowerLine>,
    /// What was broken on purpose, newest last.
    pub broken: Vec<Broken>,
    /// Following a real wallet instead of playing a tape, and how that stands.
    pub following: Option<Following>,
    /// Whether the venue is down because somebody asked for it.
    pub venue_down: bool,
    /// What people should know about the whole run.
    pub notice: Option<String>,
    /// Time since the demo began to gather.
    pub elapsed: Duration,
    /// When it was taken.
    pub at: Timestamp,
}

/// Gathers pictures.
pub struct Collector {
    store: Arc<dyn Store>,
    control: Control,
    clock: Arc<dyn Clock>,
    played: Arc<Mutex<Played>>,
    following: Option<Arc<Mutex<Following>>>,
    picture: Picture,
    last_decision: i64,
    last_event: i64,
    /// Intents whose order is not settled yet.
    open: BTreeSet<IntentId>,
    /// Newest known record of every order.
    orders: HashMap<OrderId, OrderRecord>,
    /// Wallets by leader.
    leaders: HashMap<LeaderId, Address>,
    /// Price of the newest trade of a leader in each token.
    prices: HashMap<TokenId, Price>,
    started: Duration,
    /// When a leader's transaction was first found missing.
    missing_since: HashMap<TxHash, Duration>,
    /// Those missing when somebody's last follower had stopped: they may be that leader's, and nobody answers them.
    excused: BTreeSet<TxHash>,
    /// Whether that was so at the last look.
    unfollowed: bool,
    /// Copies that neither wait nor were signed nor are over.
    forgotten: usize,
    answered: BTreeSet<TxHash>,
    markets: HashMap<TokenId, (String, String)>,
    /// What the venue executed of every order, as of the first so many executions.
    executed: HashMap<OrderId, Quantity>,
    executions: usize,
}

impl Collector {
    /// A collector that has gathered nothing yet.
    #[must_use]
    pub fn new(
        store: Arc<dyn Store>,
        control: Control,
        clock: Arc<dyn Clock>,
        played: Arc<Mutex<Played>>,
        following: Option<Arc<Mutex<Following>>>,
    ) -> Self {
        Self {
            store,
            control,
            started: clock.uptime(),
            clock,
            played,
            following,
            leaders: HashMap::new(),
            prices: HashMap::new(),
            picture: Picture::default(),
            last_decision: 0,
            last_event: 0,
            open: BTreeSet::new(),
            orders: HashMap::new(),
            missing_since: HashMap::new(),
            excused: BTreeSet::new(),
            unfollowed: false,
            forgotten: 0,
            answered: BTreeSet::new(),
            markets: HashMap::new(),
            executed: HashMap::new(),
            executions: 0,
        }
    }

    /// Notes something that was broken on purpose, and whether the venue is down since.
    pub fn note_broken(&mut self, at: Timestamp, what: String, venue_down: bool) {
        self.picture.broken.push(Broken { at, what });
        self.picture.venue_down = venue_down;
    }

    /// Tells people something, unless they are told something about the whole run.
    pub fn suggest(&mut self, notice: String) {
        self.picture.notice.get_or_insert(notice);
    }

    /// Says something about the whole run.
    pub fn tell(&mut self, notice: String) {
        self.picture.notice = Some(notice);
    }

    /// The picture gathered last.
    #[must_use]
    pub const fn picture(&self) -> &Picture {
        &self.picture
    }

    /// Every order gathered so far.
    #[must_use]
    pub fn orders(&self) -> Vec<&OrderRecord> {
        self.orders.values().collect()
    }

    /// Reads what is new and gives the picture.
    ///
    /// # Errors
    /// Store or simulator errors.
    pub async fn gather(&mut self) -> anyhow::Result<Picture> {
        self.read_events().await?;
        self.read_decisions().await?;
        self.read_orders().await?;
        self.read_followers().await?;
        self.judge().await?;
        let following = self.following.as_ref();
        self.picture.following =
            following.map(|state| state.lock().unwrap_or_else(PoisonError::into_inner).clone());
        self.picture.elapsed = self.clock.uptime().saturating_sub(self.started);
        self.picture.at = self.clock.now();
        Ok(self.picture.clone())
    }

    async fn read_events(&mut self) -> anyhow::Result<()> {
        loop {
            let events = self.store.events_after(self.last_event, PAGE).await?;
            let full = events.len() == PAGE;
            for (number, event) in events {
                self.last_event = number;
                let EventKind::TradeSeen { key, part, shares } = event.kind else { continue };
                if self.picture.feed.iter().any(|line| line.key == key && line.part == part) {
                    continue;
                }
                let line = self.feed_line(key, part, shares, event.at).await?;
                self.picture.seen += 1;
                self.prices.extend(line.price.map(|price| (key.token, price)));
                self.picture.feed.push_back(line);
                if self.picture.feed.len() > FEED {
                    self.picture.feed.pop_front();
                }
            }
            if !full {
                return Ok(());
            }
        }
    }

    async fn feed_line(
        &mut self,
        key: GroupKey,
        part: u32,
        shares: domain::Shares,
        at: Timestamp,
    ) -> anyhow::Result<FeedLine> {
        if !self.markets.contains_key(&key.token)
            && let Some(market) = self.store.markets(&[key.token]).await?.pop()
        {
            let title = if market.title.is_empty() { short(&key.token.to_string()) } else { market.title };
            self.markets.insert(key.token, (title, market.outcome));
        }
        let (market, outcome) = self
            .markets
            .get(&key.token)
            .cloned()
            .unwrap_or_else(|| (short(&key.token.to_string()), String::new()));
        let leader = self.wallet(key.leader).await?;
        let group = self.store.groups(&[key], at).await?.into_iter().find(|group| group.key == key);
        let price = group.and_then(|group| group.price());
        let number = self.picture.seen + 1;
        let skipped = BTreeMap::new();
        Ok(FeedLine { key, part, number, leader, at, market, outcome, shares, price, copied: 0, skipped })
    }

    async fn wallet(&mut self, leader: LeaderId) -> anyhow::Result<Address> {
        if !self.leaders.contains_key(&leader) {
            let leaders = self.store.leaders().await?;
            self.leaders = leaders.into_iter().map(|leader| (leader.id, leader.wallet)).collect();
        }
        self.leaders.get(&leader).copied().with_context(|| format!("no leader {leader}"))
    }

    async fn read_decisions(&mut self) -> anyhow::Result<()> {
        loop {
            let decisions = self.store.decisions_after(None, self.last_decision, PAGE).await?;
            let full = decisions.len() == PAGE;
            for decision in decisions {
                self.last_decision = decision.id;
                self.count(&decision);
            }
            if !full {
                return Ok(());
            }
        }
    }

    fn count(&mut self, decision: &DecisionRecord) {
        self.answered.insert(decision.key.tx);
        let line = self
            .picture
            .feed
            .iter_mut()
            .rev()
            .find(|line| line.key == decision.key && line.part == decision.part);
        match decision.verdict {
            Verdict::Copy(_) => {
                self.picture.copied += 1;
                if let Some(line) = line {
                    line.copied += 1;
                }
                self.open.extend(decision.intent);
            }
            Verdict::Skip(reason) => {
                let label = SkipReason::label(&reason);
                *self.picture.skipped.entry(label).or_default() += 1;
                self.picture.examples.insert(label, reason.to_string());
                if let Some(line) = line {
                    *line.skipped.entry(label).or_default() += 1;
                }
            }
        }
    }

    async fn read_orders(&mut self) -> anyhow::Result<()> {
        let open: Vec<IntentId> = self.open.iter().copied().collect();
        self.forgotten = 0;
        for chunk in open.chunks(PAGE) {
            // Asked first: what waits no more by then is signed or over in what is read after it.
            let waiting = self.store.load_waiting(chunk).await?;
            let orders = self.store.attempts_of(chunk).await?;
            let mut accounted: BTreeSet<IntentId> = waiting.iter().map(|waiting| waiting.intent.id).collect();
            accounted.extend(orders.iter().map(|record| record.intent.id));
            let mut unsigned: BTreeSet<IntentId> = chunk.iter().copied().collect();
            unsigned.retain(|id| !accounted.contains(id));
            for end in self.store.ends_of(&unsigned.iter().copied().collect::<Vec<_>>()).await? {
                unsigned.remove(&end.intent);
                self.open.remove(&end.intent);
            }
            self.forgotten += unsigned.len();
            for record in orders {
                // The venue can call an order final before we have read its block.
                let unread = record.state == OrderState::Confirmed && record.times.mined.is_none();
                let settled = record.state.is_settled() && !record.open_work && !unread;
                if settled && record.intent.side == Side::Buy {
                    self.open.remove(&record.intent.id);
                }
                self.orders.insert(record.order.id, record);
            }
        }
        let mut by_state = BTreeMap::new();
        for record in self.orders.values() {
            *by_state.entry(OrderState::label(record.state)).or_default() += 1;
        }
        self.picture.orders = by_state;
        self.picture.unsettled = self.orders.values().filter(|record| !record.state.is_settled()).count();
        self.picture.latency = figures::latency(self.orders.values());
        Ok(())
    }

    async fn read_followers(&mut self) -> anyhow::Result<()> {
        let accounts = self.store.accounts(None).await?;
        let positions = self.store.positions(None).await?;
        self.picture.followers = figures::followers(&accounts, &positions, &self.prices)?;
        Ok(())
    }

    /// Lost: played long enough ago and still without a decision, or a copy that was decided and neither waits nor
    /// was signed nor is over. Doubled: the venue executed more for an
    /// intent than was decided, executed two entries of one intent, or executed an order we do not know.
    async fn judge(&mut self) -> anyhow::Result<()> {
        let all = self.store.relationships(None).await?;
        let (left, followed): (Vec<_>, Vec<_>) =
            all.iter().partition(|one| one.status == RelationshipStatus::Stopped);
        let unfollowed = left.iter().any(|left| followed.iter().all(|one| one.leader != left.leader));
        self.judge_played(unfollowed || self.unfollowed);
        self.unfollowed = unfollowed;
        self.picture.doubled = self.doubled().await?;
        Ok(())
    }

    fn judge_played(&mut self, unfollowed: bool) {
        let played = self.played.lock().unwrap_or_else(PoisonError::into_inner);
        let now = self.clock.uptime();
        self.picture.lost = self.forgotten;
        for tx in &played.transactions {
            if self.answered.contains(tx) {
                self.missing_since.remove(tx);
                continue;
            }
            let since = *self.missing_since.entry(*tx).or_insert(now);
            let is_lost = now.saturating_sub(since) > LOST_AFTER;
            if unfollowed && !is_lost {
                self.excused.insert(*tx);
            }
            self.picture.lost += usize::from(is_lost && !self.excused.contains(tx));
        }
        self.picture.tape = (played.position, played.length);
        self.picture.played = played.done;
        self.picture.played_trades = played.transactions.len();
    }

    /// What the venue executed since it was asked last is added to what is known, so that a picture costs
    /// what is new and not what has ever been traded.
    async fn doubled(&mut self) -> anyhow::Result<usize> {
        let news = self.control.executions(self.executions).await?;
        self.executions = news.seen;
        self.executed.extend(news.orders.iter().map(|order| (order.id, order.executed())));
        let unread: Vec<OrderId> =
            self.executed.keys().filter(|id| !self.orders.contains_key(*id)).copied().collect();
        for page in unread.chunks(PAGE) {
            let found = self.store.orders(page).await?;
            self.orders.extend(found.into_iter().map(|record| (record.order.id, record)));
        }
        Ok(doubled(&self.executed, &self.orders))
    }
}

/// Intents of which the venue executed too much, and orders that nobody knows.
fn doubled(executed: &HashMap<OrderId, Quantity>, orders: &HashMap<OrderId, OrderRecord>) -> usize {
    let mut intents: HashMap<IntentId, (i64, usize, &Intent)> = HashMap::new();
    let mut strange = 0;
    for (id, executed) in executed.iter().filter(|(_, executed)| **executed != Quantity::ZERO) {
        let Some(record) = orders.get(id) else {
            strange += 1;
            continue;
        };
        let intent = &record.intent;
        let (given, count, _) = intents.entry(intent.id).or_insert((0, 0, intent));
        *given = given.saturating_add(match intent.side {
            Side::Buy => executed.usd.0,
            Side::Sell => executed.shares.0,
        });
        *count += 1;
    }
    let over = |(given, count, intent): &&(i64, usize, &Intent)| {
        *given > intent.amount || (intent.side == Side::Buy && *count > 1)
    };
    strange + intents.values().filter(over).count()
}

fn short(text: &str) -> String {
    let head: String = text.chars().take(10).collect();
    format!("token {head}…")
}

#[cfg(test)]
mod tests {
    use domain::{Shares, Usd};

    use super::*;
    use crate::verify::test_world::{World, filled_buy};

    #[tokio::test]
    async fn doubled_is_too_much_of_an_intent_a_second_entry_or_an_order_nobody_knows() {
        let world = World::new().await;
        let bought = world.confirmed_buy().await;
        let (one, two) = (bought.order.id, OrderId([7; 32]));
        let again = OrderRecord {
            order: engine::ports::venue::PreparedOrder { id: two, body: vec![] },
            ..bought.clone()
        };
        let orders = HashMap::from([(one, bought), (two, again)]);
        let count = |executed: &[(OrderId, Quantity)]| doubled(&executed.iter().copied().collect(), &orders);
        assert_eq!(count(&[(one, filled_buy()), (two, Quantity::ZERO)]), 0);
        let more = Quantity { usd: Usd(10_000_001), shares: Shares(19_600_000) };
        assert_eq!(count(&[(one, more)]), 1, "more than the intent's 10 $");
        let little = Quantity { shares: Shares(10_000), usd: Usd(5_100) };
        assert_eq!(count(&[(one, little), (two, little)]), 1, "an entry twice");
        assert_eq!(count(&[(OrderId([8; 32]), little)]), 1, "an order nobody knows");
        assert_eq!(count(&[(OrderId([8; 32]), Quantity::ZERO)]), 0, "of which nothing was executed");
    }
}
