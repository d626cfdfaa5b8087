//! Holds of accounts whose surroundings are not right.

use std::{
    pin::pin,
    sync::{
        Arc,
        atomic::{AtomicBool, AtomicI64},
    },
};

use async_trait::async_trait;
use domain::{Clock, KeyRef, OrderPlan, Shares, TokenId, TradingAccount, WalletKind};
use engine::ports::{
    detection::Lane,
    following::{Following as _, NewAccount},
    reports::Reports as _,
    store::Leases as _,
    venue::{
        BlockHeader, Cancel, Cancelled, ChainEvent, ChainReader, OrderGateway, OrderLookup, OrderQuery,
        PostReply, PostTimes, PreparedOrder, VenueClock, VenueError,
    },
};
use polymarket::JsonRpc;
use testkit::{memory_store::MemoryStore, virtual_clock::VirtualClock};

use super::{super::looking::end, *};

/// A venue whose clock is ahead, and a chain that tells its head and nothing of wallets.
struct Outside {
    clock: Arc<VirtualClock>,
    ahead: AtomicI64,
    /// Whether the first account may log in nobody says.
    hangs: AtomicBool,
}

#[async_trait]
impl VenueClock for Outside {
    async fn server_time(&self) -> Result<Timestamp, VenueError> {
        Ok(Timestamp(self.clock.now().0 + self.ahead.load(Ordering::Relaxed)))
    }
}

#[async_trait]
impl ChainReader for Outside {
    async fn head(&self) -> Result<BlockHeader, VenueError> {
        let hash = domain::Hash([1; 32]);
        Ok(BlockHeader { number: 7, hash, parent: hash, time: self.clock.now() })
    }

    async fn finalized(&self) -> Result<BlockHeader, VenueError> {
        self.head().await
    }

    async fn header(&self, _: i64) -> Result<Option<BlockHeader>, VenueError> {
        panic!("only the head is asked for")
    }

    async fn block_events(&self, _: &BlockHeader, _: &[Address]) -> Result<Vec<ChainEvent>, VenueError> {
        panic!("only the head is asked for")
    }

    async fn range_events(&self, _: i64, _: i64, _: &[Address]) -> Result<Vec<ChainEvent>, VenueError> {
        panic!("only the head is asked for")
    }

    async fn balances(&self, _: &[(Address, TokenId)], _: i64) -> Result<Vec<Shares>, VenueError> {
        panic!("only the head is asked for")
    }
}

fn busy(what: &str) -> VenueError {
    VenueError::RateLimited { what: what.to_owned(), retry_after: None }
}

#[async_trait]
impl JsonRpc for Outside {
    async fn ask(&self, method: &str, _: serde_json::Value) -> Result<serde_json::Value, VenueError> {
        Err(busy(method))
    }

    async fn ask_one(&self, _: &[(&str, serde_json::Value)]) -> Result<Vec<serde_json::Value>, VenueError> {
        Err(busy("batch"))
    }
}

#[async_trait]
impl OrderGateway for Outside {
    async fn prepare(&self, _: &[OrderPlan]) -> Vec<Result<PreparedOrder, VenueError>> {
        panic!("nothing is ordered")
    }

    async fn post(&self, _: &TradingAccount, _: &PreparedOrder, _: PostTimes) -> PostReply {
        panic!("nothing is ordered")
    }

    async fn post_batch(
        &self,
        _: &TradingAccount,
        _: Lane,
        _: &[PreparedOrder],
        _: PostTimes,
    ) -> Vec<PostReply> {
        panic!("nothing is ordered")
    }

    async fn look_up(&self, _: &TradingAccount, _: &OrderQuery) -> Result<OrderLookup, VenueError> {
        panic!("nothing is ordered")
    }

    async fn cancel(&self, _: &TradingAccount, _: &Cancel) -> Result<Cancelled, VenueError> {
        panic!("nothing is ordered")
    }

    async fn look_again(&self, account: &TradingAccount, _: Option<TokenId>) -> Result<(), VenueError> {
        if account.wallet == Address([1; 20]) && self.hangs.load(Ordering::Relaxed) {
            std::future::pending::<()>().await;
        }
        Ok(())
    }
}

async fn add(store: &MemoryStore, number: u8, now: Timestamp) {
    let owner = store.add_owner("somebody", now).await.unwrap();
    let account = NewAccount {
        label: format!("account {number}"),
        mode: AccountMode::Live,
        wallet: Address([number; 20]),
        signer: Address([number; 20]),
        kind: WalletKind::Eoa,
        key: KeyRef(format!("key {number}")),
        cap: None,
    };
    store.add_account(owner, &account, now).await.unwrap();
}

fn who(process: &str) -> Who {
    let words = format!("{process}: ");
    Who { process: InstanceId(process.to_owned()), words, buys_elsewhere: None }
}

fn witnesses(outside: &Arc<Outside>) -> Witnesses {
    Witnesses {
        clock: Arc::clone(&outside.clock) as _,
        venue_clock: Arc::clone(outside) as _,
        venue: Arc::clone(outside) as _,
        client: polymarket::local_client().unwrap(),
        geoblock_url: "http://127.0.0.1:9".to_owned(),
        reader: Arc::clone(outside) as _,
        rpc: Arc::clone(outside) as _,
    }
}

/// Two of the same name on two hosts, and one that is taken for ended and is not.
#[tokio::test]
async fn what_one_finds_stands_until_it_ends_and_no_longer() {
    let clock = VirtualClock::new(Timestamp::from_seconds(1_800_000_000));
    let outside = Arc::new(Outside {
        clock: Arc::clone(&clock),
        ahead: AtomicI64::new(60_000_000),
        hangs: AtomicBool::new(false),
    });
    let store = MemoryStore::new(Arc::clone(&clock) as _);
    add(&store, 1, clock.now()).await;
    let holds = async || -> Vec<String> {
        store.following(clock.now()).await.unwrap().holds.into_iter().map(|hold| hold.reason).collect()
    };
    let mut one = Readiness::begin(witnesses(&outside), &store, who("one")).await.unwrap();
    assert_eq!(holds().await.len(), 1);
    // The other finds something else wrong, and replaces its own hold when that changes.
    outside.ahead.store(0, Ordering::Relaxed);
    let mut other =
        Readiness::begin(witnesses(&outside), &store, Who { words: "one: ".to_owned(), ..who("other") })
            .await
            .unwrap();
    let told = holds().await;
    assert!(
        told.len() == 2
            && told[0].contains("slow by the venue's")
            && told[1].starts_with("one: ")
            && !told[1].contains("slow by the venue's"),
        "{told:?}"
    );
    outside.ahead.store(60_000_000, Ordering::Relaxed);
    clock.advance(CHECK_AGAIN_LAST);
    other.look(&store).await;
    assert_eq!(holds().await.len(), 2);
    // It is gone, and somebody sees it.
    for instance in store.running_instances().await.unwrap() {
        if instance.0.starts_with("other/") {
            store.end_instance(&instance, "its process is gone", clock.now()).await.unwrap();
        }
    }
    assert_eq!(holds().await.len(), 1);
    // Somebody says the same of the first one, which runs on.
    let running = store.running_instances().await.unwrap();
    store.end_instance(&running[0], "somebody said so", clock.now()).await.unwrap();
    assert_eq!(holds().await.len(), 0);
    clock.advance(LOOK_EVERY);
    one.look(&store).await;
    let told = holds().await;
    assert!(told.len() == 1 && told[0].contains("slow by the venue's"), "{told:?}");
    // The answer of a commit was lost: a hold is there that it does not know.
    let unknown = not_ready(HoldScope::Account(AccountId(1)), "nobody lifts this one".to_owned());
    store.place_hold_of(&one.instance, &unknown, clock.now()).await.unwrap();
    one.unsure = true;
    clock.advance(LOOK_EVERY);
    one.look(&store).await;
    let told = holds().await;
    assert!(told.len() == 1 && told[0].contains("slow by the venue's"), "{told:?}");
    assert_eq!(store.running_instances().await.unwrap(), [one.instance.clone()]);
    // It is asked to end.
    end(&store, clock.as_ref(), &InstanceId("one".to_owned())).await.unwrap();
    assert_eq!(holds().await.len(), 0);
    assert_eq!(store.running_instances().await.unwrap(), []);
}

/// A clock that one machine of many has wrong stopped everybody's buys.
#[tokio::test]
async fn what_is_wrong_with_one_machine_of_many_leaves_buying_to_the_others() {
    let clock = VirtualClock::new(Timestamp::from_seconds(1_800_000_000));
    let (ahead, hangs) = (AtomicI64::new(60_000_000), AtomicBool::new(false));
    let outside = Arc::new(Outside { clock: Arc::clone(&clock), ahead, hangs });
    let store = MemoryStore::new(Arc::clone(&clock) as _);
    add(&store, 1, clock.now()).await;
    let (other, hour) = (InstanceId("another worker".to_owned()), Duration::from_secs(3_600));
    let fit = async || store.take_lease(FIT, &other, hour).await.unwrap();
    let lease = fit().await.unwrap();
    let elsewhere = Arc::<AtomicBool>::default();
    let who = Who { buys_elsewhere: Some(Arc::clone(&elsewhere)), ..who("process") };
    let mut readiness = Readiness::begin(witnesses(&outside), &store, who).await.unwrap();
    // What is wrong with the account itself, whoever looks, holds it; and whether the clock does.
    let held = async || {
        let holds = store.following(clock.now()).await.unwrap().holds;
        let [hold] = holds.as_slice() else { panic!("one hold: {holds:?}") };
        assert!(hold.reason.contains("cannot be read"), "{}", hold.reason);
        (elsewhere.load(Ordering::Relaxed), hold.reason.contains("slow by the venue's"))
    };
    let mut look = async |after| {
        clock.advance(after);
        readiness.look(&store).await;
        held().await
    };
    assert_eq!(look(Duration::ZERO).await, (true, false));
    assert_eq!(look(LOOK_EVERY).await, (true, false));
    // With nobody who may buy, the account is held, and a paper one need not wait for anybody.
    store.release_lease(&lease).await.unwrap();
    assert_eq!(look(LOOK_EVERY).await, (false, true));
    let lease = fit().await.unwrap();
    assert_eq!(look(LOOK_EVERY).await, (true, false));
    // It may buy itself again, and says so.
    outside.ahead.store(0, Ordering::Relaxed);
    assert_eq!(look(CHECK_AGAIN_LAST).await, (false, false));
    store.release_lease(&lease).await.unwrap();
    assert_eq!(look(LOOK_EVERY).await, (false, false));
    assert!(fit().await.is_none(), "it has said that it may buy");
}

#[tokio::test]
async fn who_comes_later_is_held_until_looked_at_and_one_hold_tells_what_is_wrong() {
    let clock = VirtualClock::new(Timestamp::from_seconds(1_800_000_000));
    let outside = Arc::new(Outside {
        clock: Arc::clone(&clock),
        ahead: AtomicI64::new(0),
        hangs: AtomicBool::new(false),
    });
    let store = MemoryStore::new(Arc::clone(&clock) as _);
    let holds = async || store.following(clock.now()).await.unwrap().holds;
    let mut readiness = Readiness::begin(witnesses(&outside), &store, who("process")).await.unwrap();
    assert_eq!(holds().await, []);
    // An account that is added while it runs: its wallet cannot be read, and nobody says that it is right.
    add(&store, 1, clock.now()).await;
    clock.advance(LOOK_EVERY);
    readiness.look(&store).await;
    let told = holds().await;
    let [hold] = told.as_slice() else { panic!("one hold: {told:?}") };
    assert!(hold.reason.contains("cannot be read") && !hold.stops_exits, "{}", hold.reason);
    // The clock goes wrong, a little more at each look.
    for ahead in 1..20 {
        outside.ahead.store(60_000_000 + ahead * 1_300_000, Ordering::Relaxed);
        clock.advance(CHECK_AGAIN_LAST);
        readiness.look(&store).await;
    }
    let told = holds().await;
    let [hold] = told.as_slice() else { panic!("one hold: {told:?}") };
    assert!(hold.reason.contains("slow by the venue's"), "{}", hold.reason);
    let placed = store.events_after(0, 1_000).await.unwrap().len();
    assert!(placed < 20, "{placed} events of one fault");
}

/// One account that nobody answers keeps no other account from being looked at, and no start waiting for long; and the
/// holds of a removed account go with it.
#[tokio::test]
async fn who_is_not_reached_keeps_nobody_else_waiting() {
    let clock = VirtualClock::new(Timestamp::from_seconds(1_800_000_000));
    let (ahead, hangs) = (AtomicI64::new(0), AtomicBool::new(true));
    let outside = Arc::new(Outside { clock: Arc::clone(&clock), ahead, hangs });
    let store = MemoryStore::new(Arc::clone(&clock) as _);
    for number in 1..=3 {
        add(&store, number, clock.now()).await;
    }
    let mut begin = pin!(Readiness::begin(witnesses(&outside), &store, who("process")));
    let mut readiness = loop {
        tokio::select! {
            biased;
            begun = &mut begin => break begun.unwrap(),
            () = tokio::task::yield_now() => clock.advance(Duration::from_millis(100)),
        }
    };
    assert!(clock.uptime() <= FIRST_PATIENCE + Duration::from_secs(1), "{:?}", clock.uptime());
    let holds = async || store.following(clock.now()).await.unwrap().holds;
    let told = holds().await;
    let said = |number: i64| {
        let mut of = told.iter().filter(|hold| hold.scope == HoldScope::Account(AccountId(number)));
        of.next().map(|hold| hold.reason.clone()).unwrap_or_default()
    };
    assert!(said(1).contains("could not be looked at yet"), "{}", said(1));
    assert!(said(2).contains("cannot be read") && said(3).contains("cannot be read"), "{}", said(2));
    // It is looked at beside the run, without waiting for the usual time.
    outside.hangs.store(false, Ordering::Relaxed);
    clock.advance(LOOK_EVERY);
    readiness.look(&store).await;
    let first =
        holds().await.into_iter().find(|hold| hold.scope == HoldScope::Account(AccountId(1))).unwrap();
    assert!(first.reason.contains("cannot be read"), "{}", first.reason);
    let accounts = store.accounts(None).await.unwrap();
    let (owner, id) = (accounts[0].owner, accounts[0].trading.id);
    engine::ports::secrets::SealedKeys::remove_account(&store, owner, id, clock.now()).await.unwrap();
    clock.advance(LOOK_EVERY);
    readiness.look(&store).await;
    clock.advance(CHECK_AGAIN_LAST);
    readiness.look(&store).await;
    assert_eq!(holds().await.len(), 2);
}
