//! What happens in a run before anything goes wrong: markets, books, leaders' trades, followers, users.

use std::{sync::Arc, time::Duration};

use domain::{
    Address, Book, ConditionId, FeeSchedule, KeyRef, Level, Market, MarketOrderType, Price, Shares, Side,
    TickSize, Timestamp, TokenId, Usd, WalletKind,
    downtime::DowntimeRule,
    ids::{OwnerId, RelationshipId},
    money::ONE,
    policy::{MinimumRule, Policy, Sizing},
    trade::{Action as Did, Quantity},
};
use engine::ports::{
    following::{AccountMode, NewAccount, NewRelationship},
    store::{Store, StoreResult},
};

use super::{
    live_trades::Silence,
    probe::Role,
    venue::{BookChange, LeaderTrade, Venue},
    world::START,
};

/// Something a user, an operator or an accident does.
#[derive(Clone, Copy, Debug)]
pub enum Action {
    /// A user pauses a follower's relationship.
    Pause(usize),
    /// And resumes it.
    Resume(usize),
    /// Somebody deletes the queue.
    DeleteQueue,
    /// The newest blocks are replaced.
    Reorganise(i64),
}

/// A follower of one leader.
#[derive(Clone, Debug)]
pub struct Follower {
    /// Number of the leader.
    pub leader: u8,
    /// How it follows.
    pub policy: Policy,
    /// Its money.
    pub deposit: Usd,
}

/// Everything planned.
#[derive(Clone, Debug)]
pub struct Scenario {
    /// For people.
    pub name: String,
    /// Tokens that can be traded.
    pub tokens: Vec<u8>,
    /// Leaders, and what they hold of the first token from before.
    pub leaders: Vec<(u8, Shares)>,
    /// Followers.
    pub followers: Vec<Follower>,
    /// Books over time.
    pub books: Vec<BookChange>,
    /// Leaders' trades.
    pub trades: Vec<LeaderTrade>,
    /// What else happens.
    pub actions: Vec<(Timestamp, Action)>,
    /// Whether the watcher has chain access.
    pub reads_chain: bool,
    /// Whether the watcher reads the history.
    pub reads_history: bool,
    /// When the live feed says nothing; `None` where nobody hears it.
    pub live: Option<Silence>,
    /// Whether the leaders' wallets are accounts of ours, too.
    pub managed: bool,
    /// What runs in which process.
    pub processes: Vec<Vec<Role>>,
    /// Whether all roles of a process have one instance id.
    pub shared_instances: bool,
    /// Every n-th settlement fails.
    pub failing_every: Option<u64>,
}

/// A moment of a run.
#[must_use]
pub fn at(seconds: u64) -> Timestamp {
    START.plus(Duration::from_secs(seconds))
}

/// A leader's wallet.
#[must_use]
pub fn leader_wallet(number: u8) -> Address {
    Address([number; 20])
}

/// A follower's wallet.
#[must_use]
pub fn follower_wallet(number: usize) -> Address {
    let mut bytes = [0xf0; 20];
    for (to, from) in bytes.iter_mut().zip(number.to_be_bytes()) {
        *to = from;
    }
    Address(bytes)
}

/// A token.
#[must_use]
pub fn token(number: u8) -> TokenId {
    TokenId([number; 32])
}

/// By this second the leader's buy of the fourth is copied and final, and exits begin three seconds later at the
/// earliest: a stage for them.
pub const ENTRY_IS_FINAL: u64 = 17;

/// The smallest order of a market.
pub const MINIMUM: Shares = Shares(5 * ONE);

/// A market with a cent tick, a minimum and a fee.
#[must_use]
pub fn market(number: u8) -> Option<Market> {
    Some(Market {
        token: token(number),
        condition: ConditionId::from_slice(&[number; 32]).ok()?,
        tick: TickSize::Hundredth,
        minimum_size: MINIMUM,
        negative_risk: false,
        fee: FeeSchedule { rate: 70_000, exponent: 1, ..FeeSchedule::default() },
        taker_delay_ms: 0,
        accepting_orders: true,
        payout: None,
        title: format!("Question {number}"),
        slug: format!("question-{number}"),
        outcome: "Yes".to_owned(),
    })
}

/// One level on each side; none where the size is zero.
#[must_use]
pub fn book(bid: (i64, i64), ask: (i64, i64)) -> Book {
    let level = |(cents, shares): (i64, i64)| {
        let level = Level { price: Price(cents * 10_000), size: Shares(shares * ONE) };
        (shares > 0).then_some(level).into_iter().collect()
    };
    Book { bids: level(bid), asks: level(ask) }
}

/// A change of a token's book: cents and shares on each side.
#[must_use]
pub fn change(number: u8, at: Timestamp, bid: (i64, i64), ask: (i64, i64)) -> BookChange {
    BookChange { at, token: token(number), book: book(bid, ask), hollow: false }
}

/// A fill of whole shares at a price in cents.
#[must_use]
pub fn fill(shares: i64, cents: i64) -> Quantity {
    Quantity { shares: Shares(shares * ONE), usd: Usd(shares * cents * 10_000) }
}

impl Scenario {
    /// One leader, one follower who copies a tenth, one token with a deep book at 49 to 50 cents.
    #[must_use]
    pub fn one_follower(name: &str) -> Self {
        let policy = Policy { below_minimum: MinimumRule::Skip, ..Policy::careful() };
        Self {
            name: name.to_owned(),
            tokens: vec![7],
            leaders: vec![(1, Shares::ZERO)],
            followers: vec![Follower { leader: 1, policy, deposit: Usd(1_000 * ONE) }],
            books: vec![change(7, START, (49, 1_000), (50, 1_000))],
            trades: Vec::new(),
            actions: Vec::new(),
            reads_chain: true,
            reads_history: true,
            live: None,
            managed: false,
            processes: vec![
                vec![Role::Watcher, Role::Worker, Role::Settlement, Role::Rescuer],
                vec![Role::Worker, Role::Settlement],
            ],
            shared_instances: true,
            failing_every: None,
        }
    }

    /// The leader buys 400 shares in two equal fills; the history shows it at once.
    #[must_use]
    pub fn entry() -> Self {
        Self { trades: vec![buys(4)], ..Self::one_follower("entry") }
    }

    /// The same, but the book holds less than the copy.
    #[must_use]
    pub fn entry_part_filled() -> Self {
        let books = vec![change(7, START, (49, 1_000), (50, 15))];
        Self { name: "entry, part filled".to_owned(), books, ..Self::entry() }
    }

    /// An entry that wants all or nothing, and a book that holds enough.
    #[must_use]
    pub fn whole_entry() -> Self {
        let mut scenario = Self { name: "entry, all of it".to_owned(), ..Self::entry() };
        scenario.want_all_or_nothing();
        scenario
    }

    /// The same, but the book holds less than the copy.
    #[must_use]
    pub fn whole_entry_killed() -> Self {
        let mut scenario = Self { name: "entry, nothing of it".to_owned(), ..Self::entry_part_filled() };
        scenario.want_all_or_nothing();
        scenario
    }

    fn want_all_or_nothing(&mut self) {
        for follower in &mut self.followers {
            follower.policy.entry_type = MarketOrderType::FillOrKill;
        }
    }

    /// The same, but somebody takes the whole book between decision and order, and later it is back.
    #[must_use]
    pub fn entry_killed() -> Self {
        let mut scenario = Self { name: "entry, killed".to_owned(), ..Self::entry() };
        scenario.books = vec![
            BookChange { hollow: true, ..change(7, START, (49, 1_000), (50, 1_000)) },
            change(7, at(12), (49, 1_000), (50, 1_000)),
        ];
        scenario
    }

    /// A buy that is always late, of which the leader sells a half before anything else is read: what is left is bought
    /// with a sync. Later the leader sells the rest.
    #[must_use]
    pub fn synced() -> Self {
        let mut scenario = Self { name: "synced".to_owned(), ..Self::entry() };
        for follower in &mut scenario.followers {
            follower.policy.maximum_age = Duration::from_micros(1);
            follower.policy.downtime = DowntimeRule::Sync;
        }
        scenario.trades.extend([sells_half(6), sells_half(24)]);
        scenario
    }

    /// After a copied entry the leader sells everything.
    #[must_use]
    pub fn exit() -> Self {
        let mut scenario = Self { name: "exit".to_owned(), ..Self::entry() };
        scenario.trades.push(sells(20));
        scenario
    }

    /// The same, but the book held less than the least order when the copy was bought: all of it is to be sold.
    #[must_use]
    pub fn small_exit() -> Self {
        let books = vec![change(7, START, (49, 1_000), (50, 3))];
        Self { name: "exit of less than the least order".to_owned(), books, ..Self::exit() }
    }

    /// The same, but nobody buys until later: the exit is looked at again.
    #[must_use]
    pub fn exit_looked_at_again() -> Self {
        let none = change(7, at(18), (49, 0), (50, 1_000));
        let mut scenario = Self { name: "exit, looked at again".to_owned(), ..Self::exit() };
        scenario.books.extend([none, change(7, at(25), (49, 1_000), (50, 1_000))]);
        scenario
    }

    /// After a copied entry the leader sells a quarter and merges a quarter in one transaction, and the rest in the
    /// next block.
    #[must_use]
    pub fn exits_in_a_row() -> Self {
        let mut scenario = Self { name: "exits in a row".to_owned(), ..Self::entry() };
        let merge = Some((Did::Merge, Shares(100 * ONE)));
        let sale = LeaderTrade { fills: vec![fill(200, 49)], ..sells(22) };
        scenario.trades.extend([LeaderTrade { fills: vec![fill(100, 49)], moved: merge, ..sells(20) }, sale]);
        scenario
    }

    /// The leader buys two tokens in one block, so that the follower's two orders can share a request. The
    /// second token's offers are there no more when they arrive.
    #[must_use]
    pub fn two_entries() -> Self {
        let mut scenario = Self { name: "two entries".to_owned(), tokens: vec![7, 8], ..Self::entry() };
        let shown = change(8, START, (49, 1_000), (50, 1_000));
        scenario.books.push(BookChange { hollow: true, ..shown });
        scenario.trades.push(LeaderTrade { token: token(8), ..buys(4) });
        scenario
    }

    /// After both are bought the leader sells both in one block: two exits that can share a request.
    #[must_use]
    pub fn two_exits_at_once() -> Self {
        let mut scenario = Self { name: "two exits at once".to_owned(), ..Self::two_entries() };
        scenario.books =
            [7, 8].map(|number| change(number, START, (49, 1_000), (50, 1_000))).into_iter().collect();
        scenario.trades.extend([7, 8].map(|number| LeaderTrade { token: token(number), ..sells(20) }));
        scenario
    }

    /// After a copied entry the leader sells everything; the bids hold only part, and later the rest.
    #[must_use]
    pub fn exit_in_two_attempts() -> Self {
        let mut scenario = Self { name: "exit in two attempts".to_owned(), ..Self::entry() };
        scenario.books =
            vec![change(7, START, (49, 15), (50, 1_000)), change(7, at(23), (49, 1_000), (50, 1_000))];
        scenario.trades.push(sells(20));
        scenario
    }

    /// Two copied entries, of which the second fails to settle while two exits look for buyers: nobody buys
    /// until it has failed.
    #[must_use]
    pub fn two_exits() -> Self {
        let mut scenario = Self { name: "two exits".to_owned(), ..Self::entry() };
        scenario.books =
            vec![change(7, START, (0, 0), (50, 1_000)), change(7, at(30), (49, 1_000), (50, 1_000))];
        scenario.books.insert(1, BookChange { hollow: true, ..change(7, at(7), (49, 1_000), (50, 1_000)) });
        let sells = |second| LeaderTrade { fills: vec![fill(500, 49)], ..sells(second) };
        let second = LeaderTrade { fills: vec![fill(600, 50)], ..buys(5) };
        scenario.trades.extend([second, sells(7), sells(8)]);
        scenario.failing_every = Some(2);
        scenario
    }

    /// After a copied entry the leader sells a quarter and merges a quarter in one transaction, sends some of
    /// it away, merges half of the rest, and splits.
    #[must_use]
    pub fn merges() -> Self {
        let mut scenario = Self { name: "merges".to_owned(), ..Self::entry() };
        let moves = |second, action: Did, shares: i64| LeaderTrade {
            side: action.side(),
            fills: Vec::new(),
            moved: Some((action, Shares(shares * ONE))),
            ..buys(second)
        };
        scenario.trades.extend([
            LeaderTrade { fills: vec![fill(100, 49)], ..moves(20, Did::Merge, 100) },
            moves(30, Did::Send, 40),
            moves(34, Did::Merge, 80),
            moves(40, Did::Receive, 300),
        ]);
        scenario
    }

    /// The same, in processes that also hear what the venue tells by itself.
    #[must_use]
    pub fn listening(mut self) -> Self {
        self.name.push_str(", listening");
        for process in &mut self.processes {
            process.push(Role::Listener);
        }
        self
    }

    /// The same, with the live feed, silent for that long, and a worker in each process that is kept for exits.
    #[must_use]
    pub fn hearing(mut self, silence: Silence) -> Self {
        self.name.push_str(", with the live feed");
        self.live = Some(silence);
        for process in &mut self.processes {
            process.push(Role::ExitWorker);
        }
        self
    }

    /// When the last planned thing happens.
    #[must_use]
    pub fn ends(&self) -> Timestamp {
        let trades = self.trades.iter().map(|trade| trade.at);
        let books = self.books.iter().map(|change| change.at);
        let actions = self.actions.iter().map(|(at, _)| *at);
        trades.chain(books).chain(actions).max().unwrap_or(START)
    }

    /// Sets up venue and store. Returns the followers' relationships.
    pub(super) async fn set_up(
        &self,
        venue: &Arc<Venue>,
        store: &dyn Store,
    ) -> StoreResult<Vec<(OwnerId, RelationshipId)>> {
        for number in &self.tokens {
            if let Some(market) = market(*number) {
                venue.open(market);
            }
        }
        self.books.iter().cloned().for_each(|change| venue.plan_book(change));
        self.trades.iter().cloned().for_each(|trade| venue.plan_trade(trade));
        if let Some(every) = self.failing_every {
            venue.fail_settlement_every(every);
        }
        let mut leaders = Vec::new();
        for (number, opening) in &self.leaders {
            let wallet = leader_wallet(*number);
            for token_number in &self.tokens {
                venue.endow(wallet, token(*token_number), *opening);
            }
            leaders.push((*number, store.add_leader(wallet, START).await?));
            if self.managed {
                let owner = store.add_owner(&format!("leader {number}"), START).await?;
                let own = NewAccount { wallet, signer: wallet, ..account(usize::from(*number) + LEADERS) };
                store.add_account(owner, &own, START).await?;
            }
        }
        let mut relationships = Vec::new();
        for (number, follower) in self.followers.iter().enumerate() {
            let owner = store.add_owner(&format!("owner {number}"), START).await?;
            let account = store.add_account(owner, &account(number), START).await?;
            store.book_deposit(owner, account, follower.deposit, START).await?;
            for (_, leader) in leaders.iter().filter(|(leader, _)| *leader == follower.leader) {
                let new = NewRelationship { account, leader: *leader, policy: follower.policy.clone() };
                relationships.push((owner, store.add_relationship(owner, &new, START).await?));
            }
        }
        Ok(relationships)
    }
}

/// Accounts of leaders are numbered from here.
const LEADERS: usize = 1_000;

fn account(number: usize) -> NewAccount {
    NewAccount {
        label: format!("account {number}"),
        mode: AccountMode::Paper,
        wallet: follower_wallet(number),
        signer: follower_wallet(number),
        kind: WalletKind::Eoa,
        key: KeyRef(format!("key {number}")),
        cap: None,
    }
}

/// The first leader trades a token; the history does not show it.
#[must_use]
pub fn trade(at: Timestamp, number: u8, side: Side, fills: &[Quantity]) -> LeaderTrade {
    LeaderTrade {
        at,
        wallet: leader_wallet(1),
        token: token(number),
        side,
        fills: fills.to_vec(),
        moved: None,
        shown_at: None,
        dropped: false,
    }
}

/// The leader buys 400 shares at 50 cents.
fn buys(second: u64) -> LeaderTrade {
    let buy = trade(at(second), 7, Side::Buy, &[fill(200, 50), fill(200, 50)]);
    LeaderTrade { shown_at: Some(at(second)), ..buy }
}

/// The leader sells them at 49 cents.
fn sells(second: u64) -> LeaderTrade {
    let fills = vec![fill(200, 49), fill(200, 49)];
    LeaderTrade { side: Side::Sell, fills, ..buys(second) }
}

fn sells_half(second: u64) -> LeaderTrade {
    LeaderTrade { fills: vec![fill(200, 49)], ..sells(second) }
}

/// A policy with a fixed amount per trade.
#[must_use]
pub fn fixed(usd: i64) -> Policy {
    Policy { sizing: Sizing::Fixed(Usd(usd * ONE)), ..Policy::careful() }
}
