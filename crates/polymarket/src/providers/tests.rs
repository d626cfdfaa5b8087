//! The pool on virtual time, against providers that fail in every way.

use std::sync::atomic::{AtomicU64, Ordering};

use domain::{Hash, OrderId, Side, Timestamp, TxHash, Usd, trade::Dispute};
use engine::ports::venue::{ChainEventKind, ChainFill};
use proptest::prelude::*;
use testkit::{executor::Executor, virtual_clock::VirtualClock};

use super::*;

#[path = "witness_tests.rs"]
mod witness;

/// How a provider behaves.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Manner {
    /// Answers after milliseconds.
    Good(u64),
    Hangs,
    Fails,
    OtherChain,
    /// This many blocks behind.
    Lags(i64),
    /// Has no logs.
    NoLogs,
    /// Has headers of two chains.
    Unlinked,
    /// Keeps no state below the newest 10 blocks.
    Pruned,
    /// Asks to slow down.
    Limited,
    /// Says that the leader sold everything.
    Liar,
}

struct Fake {
    clock: Arc<VirtualClock>,
    manner: Mutex<Manner>,
    calls: AtomicU64,
}

const WALLET: Address = Address([7; 20]);
const TOKEN: TokenId = TokenId([9; 32]);
const TX: TxHash = TxHash([3; 32]);

fn block_hash(number: i64) -> Hash {
    let mut hash = [1; 32];
    hash[..8].copy_from_slice(&number.to_be_bytes());
    Hash(hash)
}

fn header(number: i64) -> BlockHeader {
    BlockHeader { number, hash: block_hash(number), parent: block_hash(number - 1), time: Timestamp(number) }
}

fn unavailable() -> VenueError {
    VenueError::Unavailable { what: "test".to_owned(), reason: "down".to_owned() }
}

impl Fake {
    fn manner(&self) -> Manner {
        *self.manner.lock().unwrap()
    }

    /// Blocks of two seconds, from 1,000 on.
    fn height(&self) -> i64 {
        let behind = if let Manner::Lags(blocks) = self.manner() { blocks } else { 0 };
        1_000 + i64::try_from(self.clock.uptime().as_secs() / 2).unwrap() - behind
    }

    async fn answer(&self) -> Result<(), VenueError> {
        self.calls.fetch_add(1, Ordering::Relaxed);
        let manner = self.manner();
        let pause = if let Manner::Good(millis) = manner { millis } else { 20 };
        self.clock.sleep(Duration::from_millis(pause)).await;
        match manner {
            Manner::Hangs => std::future::pending().await,
            Manner::Fails => Err(unavailable()),
            Manner::OtherChain => {
                Err(VenueError::Refused { what: "test".to_owned(), reason: "serves chain 1".to_owned() })
            }
            Manner::Limited => Err(VenueError::RateLimited {
                what: "test".to_owned(),
                retry_after: Some(Duration::from_secs(30)),
            }),
            _ => Ok(()),
        }
    }
}

#[async_trait]
impl ChainReader for Fake {
    async fn head(&self) -> Result<BlockHeader, VenueError> {
        self.answer().await?;
        Ok(header(self.height()))
    }

    async fn finalized(&self) -> Result<BlockHeader, VenueError> {
        self.answer().await?;
        Ok(header(self.height() - 3))
    }

    async fn header(&self, number: i64) -> Result<Option<BlockHeader>, VenueError> {
        self.answer().await?;
        if number > self.height() {
            return Ok(None);
        }
        let mut header = header(number);
        if self.manner() == Manner::Unlinked && number % 2 == 0 {
            header.hash = Hash([0xee; 32]);
        }
        Ok(Some(header))
    }

    async fn block_events(
        &self,
        block: &BlockHeader,
        wallets: &[Address],
    ) -> Result<Vec<ChainEvent>, VenueError> {
        self.range_events(block.number, block.number, wallets).await
    }

    async fn range_events(&self, from: i64, to: i64, _: &[Address]) -> Result<Vec<ChainEvent>, VenueError> {
        self.answer().await?;
        if self.manner() == Manner::NoLogs {
            return Ok(Vec::new());
        }
        let fill = ChainFill {
            order: OrderId([1; 32]),
            wallet: WALLET,
            maker: false,
            token: TOKEN,
            side: Side::Sell,
            shares: Shares(40),
            usd: Usd(20),
            fee: Usd(0),
        };
        let event = |block: i64| ChainEvent {
            block,
            block_hash: block_hash(block),
            log_index: 1,
            tx: TX,
            kind: ChainEventKind::Fill(fill),
        };
        Ok((from..=to).map(event).collect())
    }

    async fn balances(&self, queries: &[(Address, TokenId)], block: i64) -> Result<Vec<Shares>, VenueError> {
        self.answer().await?;
        match self.manner() {
            Manner::Pruned if block + 10 < self.height() => {
                Err(VenueError::Refused { what: "test".to_owned(), reason: "missing trie node".to_owned() })
            }
            Manner::Liar => Ok(vec![Shares(if block % 2 == 0 { 0 } else { 100 }); queries.len()]),
            _ => Ok(vec![Shares(if block % 2 == 0 { 60 } else { 100 }); queries.len()]),
        }
    }
}

#[async_trait]
impl ChainProvider for Fake {
    fn calls(&self) -> u64 {
        self.calls.load(Ordering::Relaxed)
    }

    /// Answers with how far it is: by that it is seen who answered.
    async fn json_rpc(&self, method: &str, _: serde_json::Value) -> Result<serde_json::Value, VenueError> {
        self.answer().await?;
        // One that lags has no receipts.
        if method == "eth_getTransactionReceipt" {
            return Ok(match self.manner() {
                Manner::NoLogs => serde_json::Value::Null,
                _ => serde_json::json!({ "blockNumber": "0x3e8", "status": "0x1" }),
            });
        }
        if method == "receipt" && matches!(self.manner(), Manner::Lags(_)) {
            return Err(unavailable());
        }
        Ok(self.height().into())
    }
}

struct Bench {
    clock: Arc<VirtualClock>,
    fakes: Vec<Arc<Fake>>,
    pool: Arc<Providers>,
    executor: Executor,
}

fn bench(manners: &[Manner]) -> Bench {
    let clock = VirtualClock::new(Timestamp::from_seconds(1_790_000_000));
    let fake = |manner: &Manner| {
        Arc::new(Fake { clock: clock.clone(), manner: Mutex::new(*manner), calls: AtomicU64::new(0) })
    };
    let fakes: Vec<Arc<Fake>> = manners.iter().map(fake).collect();
    let named = |(number, fake): (usize, &Arc<Fake>)| Provider::of(&format!("p{number}"), fake.clone());
    let providers = fakes.iter().enumerate().map(named).collect();
    let pool = Providers::new(clock.clone(), providers);
    Bench { clock, fakes, pool, executor: Executor::default() }
}

impl Bench {
    /// Runs a question to its end and says how much time it took.
    fn time<T: 'static>(&mut self, ask: impl AsyncFnOnce(Arc<Providers>) -> T + 'static) -> (T, Duration) {
        let (done, pool) = (Arc::new(Mutex::new(None)), Arc::clone(&self.pool));
        let slot = Arc::clone(&done);
        let began = self.clock.uptime();
        self.executor.spawn(async move { *slot.lock().unwrap() = Some(ask(pool).await) });
        loop {
            self.executor.run_until_stalled();
            if let Some(answer) = done.lock().unwrap().take() {
                return (answer, self.clock.uptime() - began);
            }
            assert!(self.clock.advance_to_next_timer().is_some(), "nobody will ever answer");
        }
    }

    fn head(&mut self) -> (Result<i64, VenueError>, Duration) {
        self.time(async |pool| pool.head().await.map(|head| head.number))
    }

    /// Asks for the head so many times.
    fn heads(&mut self, times: usize) {
        for _ in 0..times {
            assert!(self.head().0.is_ok());
        }
    }

    fn set(&self, number: usize, manner: Manner) {
        *self.fakes[number].manner.lock().unwrap() = manner;
    }

    fn trouble(&self, number: usize) -> String {
        self.pool.health()[number].trouble.clone().unwrap_or_default()
    }

    /// Lets the pool look after its providers for a while.
    fn tend(&mut self, seconds: u64) {
        let until = self.clock.uptime() + Duration::from_secs(seconds);
        let task = self.executor.spawn(Providers::tend(Arc::downgrade(&self.pool), self.clock.clone()));
        self.executor.run_until_stalled();
        while self.clock.uptime() < until {
            self.clock.advance_to_next_timer();
            self.executor.run_until_stalled();
        }
        self.executor.kill(task);
    }
}

/// The provider that is read lacks a log of a block that has others: whoever else has the transaction tells.
#[test]
fn a_transaction_that_one_lacks_is_told_by_another() {
    let look =
        |bench: &mut Bench| bench.time(async |pool| pool.transaction_events(TX, &[WALLET]).await).0.unwrap();
    let mut bench = bench(&[Manner::NoLogs, Manner::Fails, Manner::Good(50)]);
    let events = look(&mut bench);
    assert_eq!(events.iter().map(|event| (event.tx, event.block)).collect::<Vec<_>>(), [(TX, 1_000)]);
    bench.set(2, Manner::NoLogs);
    assert_eq!(look(&mut bench), [], "nobody has it");
}

#[test]
fn a_provider_that_dies_is_replaced_in_time() {
    for manner in [Manner::Hangs, Manner::Fails, Manner::Limited, Manner::OtherChain] {
        let mut bench = bench(&[Manner::Good(50), Manner::Good(80), Manner::Good(90)]);
        bench.heads(5);
        assert!(bench.pool.health()[0].first);
        bench.set(0, manner);
        let (head, took) = bench.head();
        assert!(head.is_ok() && took < Duration::from_millis(500), "{manner:?}: {took:?}");
        // Soon nobody waits for it any more.
        bench.heads(6);
        let (_, took) = bench.head();
        assert!(took <= Duration::from_millis(90), "{manner:?}: {took:?}");
        assert!(!bench.pool.health()[0].first, "{manner:?}");
    }
}

#[test]
fn two_that_hang_leave_an_answer_within_three_seconds() {
    let mut bench = bench(&[Manner::Hangs, Manner::Hangs, Manner::Good(50)]);
    let (head, took) = bench.head();
    assert!(head.is_ok() && took < Duration::from_secs(3), "{took:?}");
}

#[test]
fn a_slow_provider_is_hedged_and_the_faster_one_is_asked_first_from_then_on() {
    let mut bench = bench(&[Manner::Good(5_000), Manner::Good(40)]);
    let (head, took) = bench.head();
    assert!(head.is_ok() && took < Duration::from_millis(700), "{took:?}");
    bench.heads(3);
    let before = bench.fakes[0].calls();
    let (_, took) = bench.head();
    assert_eq!((bench.fakes[0].calls(), took), (before, Duration::from_millis(40)));
}

#[test]
fn another_chain_is_set_aside_with_its_reason() {
    let mut bench = bench(&[Manner::OtherChain, Manner::Good(50)]);
    assert!(bench.head().0.is_ok());
    assert!(bench.trouble(0).contains("serves chain 1"), "{}", bench.trouble(0));
    let before = bench.fakes[0].calls();
    bench.heads(1);
    assert_eq!(bench.fakes[0].calls(), before);
}

#[test]
fn a_head_far_behind_is_noticed_and_forgiven_when_it_catches_up() {
    let mut bench = bench(&[Manner::Good(10), Manner::Good(300)]);
    bench.heads(3);
    bench.tend(12);
    bench.set(0, Manner::Lags(20));
    let best = 1_000 + i64::try_from(bench.clock.uptime().as_secs() / 2).unwrap();
    assert!(bench.head().0.unwrap() >= best);
    assert!(bench.trouble(0).contains("blocks behind"), "{}", bench.trouble(0));
    bench.set(0, Manner::Good(10));
    bench.tend(12);
    assert_eq!(bench.trouble(0), "");
}

#[test]
fn headers_that_do_not_link_are_noticed() {
    let mut bench = bench(&[Manner::Unlinked, Manner::Good(500)]);
    for number in [995, 996, 997] {
        bench.time(async move |pool| pool.header(number).await).0.unwrap();
    }
    assert!(bench.trouble(0).contains("do not link"), "{}", bench.trouble(0));
    let (header, _) = bench.time(async |pool| pool.header(996).await);
    assert_eq!(header.unwrap().unwrap().hash, block_hash(996));
}

#[test]
fn a_reorganisation_is_no_mistake() {
    let mut health = Health::new();
    assert_eq!(health.told_header(header(10)), None);
    assert_eq!(health.told_header(header(11)), None);
    let other = BlockHeader { hash: Hash([8; 32]), parent: Hash([9; 32]), ..header(11) };
    // The provider is asked again about block 10; if it has another one now, nothing is wrong.
    assert_eq!(health.told_header(other), Some(header(10)));
    assert_eq!(health.told_header(BlockHeader { hash: Hash([9; 32]), ..header(10) }), None);
    assert_eq!(health.told_header(other), None);
}

#[test]
fn logs_that_one_lacks_are_taken_from_another() {
    let mut bench = bench(&[Manner::NoLogs, Manner::Good(400)]);
    let (events, _) = bench.time(async |pool| pool.block_events(&header(990), &[]).await);
    assert_eq!(events.unwrap().len(), 1);
    assert!(bench.trouble(0).contains("no logs of block 990"), "{}", bench.trouble(0));
    let (events, _) = bench.time(async |pool| pool.range_events(980, 989, &[]).await);
    assert_eq!(events.unwrap().len(), 10);
}

#[test]
fn pruned_state_is_asked_of_another_and_remembered() {
    let mut bench = bench(&[Manner::Pruned, Manner::Good(400)]);
    let ask = async |pool: Arc<Providers>| pool.balances(&[(WALLET, TOKEN)], 980).await;
    assert_eq!(bench.time(ask).0.unwrap(), [Shares(60)]);
    assert_eq!(bench.pool.health()[0].pruned, Some(980));
    let before = bench.fakes[0].calls();
    assert!(bench.time(ask).0.is_ok());
    assert_eq!(bench.fakes[0].calls(), before, "nobody asks it for that again");
    // When all have pruned it, that is the answer; when one cannot be asked, it is not.
    bench.set(1, Manner::Pruned);
    assert!(matches!(bench.time(ask).0, Err(VenueError::Refused { .. })));
    bench.set(1, Manner::Fails);
    assert!(matches!(bench.time(ask).0, Err(VenueError::Unavailable { .. })));
}

#[test]
fn retry_after_is_obeyed() {
    let mut bench = bench(&[Manner::Limited]);
    assert!(matches!(bench.head().0, Err(VenueError::RateLimited { .. })));
    let before = bench.fakes[0].calls();
    assert!(matches!(bench.head().0, Err(VenueError::RateLimited { .. })));
    assert_eq!(bench.fakes[0].calls(), before, "it is not asked before its time");
    bench.clock.advance(Duration::from_secs(31));
    bench.set(0, Manner::Good(10));
    assert!(bench.head().0.is_ok());
}

#[test]
fn the_list_is_replaced_while_everything_runs() {
    let mut bench = bench(&[Manner::Good(50), Manner::Good(60)]);
    bench.heads(1);
    let fresh = Arc::new(Fake {
        clock: bench.clock.clone(),
        manner: Mutex::new(Manner::Good(10)),
        calls: AtomicU64::new(0),
    });
    let kept = Provider::of("p1", bench.fakes[1].clone());
    bench.pool.set_providers(vec![Provider::of("new", fresh.clone()), kept.clone(), kept]);
    let names: Vec<String> = bench.pool.health().into_iter().map(|one| one.name).collect();
    assert_eq!(names, ["new", "p1"]);
    let before = bench.fakes[0].calls();
    bench.heads(3);
    assert_eq!(bench.fakes[0].calls(), before);
    assert!(fresh.calls() > 0);
    bench.pool.set_providers(Vec::new());
    let error = bench.head().0.unwrap_err().to_string();
    assert!(error.contains("POLYGON_RPC_URL"), "{error}");
}

#[test]
fn calls_are_counted_by_day() {
    let mut bench = bench(&[Manner::Good(10)]);
    bench.heads(3);
    assert_eq!((bench.pool.health()[0].calls_today, bench.pool.health()[0].calls), (3, 3));
    bench.clock.advance(Duration::from_secs(86_400));
    assert_eq!(bench.pool.health()[0].calls_today, 0);
    bench.heads(1);
    assert_eq!((bench.pool.health()[0].calls_today, bench.pool.health()[0].calls), (1, 4));
}

fn manner() -> impl Strategy<Value = Manner> {
    prop_oneof![
        (1_u64..400).prop_map(Manner::Good),
        Just(Manner::Hangs),
        Just(Manner::Fails),
        Just(Manner::OtherChain),
        Just(Manner::Limited),
        (6_i64..40).prop_map(Manner::Lags),
    ]
}

proptest! {
    #![proptest_config(ProptestConfig::with_cases(64))]

    /// Whatever the others do, and change to, one good provider is enough for an answer within three seconds,
    /// and what is told is the good one's.
    #[test]
    fn one_good_provider_is_enough(
        others in prop::collection::vec(manner(), 2),
        place in 0_usize..3,
        changes in prop::collection::vec((0_usize..2, manner()), 0..12),
    ) {
        let mut manners = others;
        manners.insert(place, Manner::Good(100));
        let mut bench = bench(&manners);
        for (other, manner) in changes {
            let (head, took) = bench.head();
            prop_assert!(took < Duration::from_secs(3), "{took:?}");
            prop_assert!(head.is_ok(), "{head:?}");
            bench.set((place + 1 + other) % 3, manner);
            bench.tend(5);
        }
        // Whoever lags was compared with the good one by now.
        bench.tend(25);
        let (head, took) = bench.head();
        prop_assert!(took < Duration::from_secs(3), "{took:?}");
        let best = bench.fakes[place].height();
        prop_assert!(best - head.unwrap() <= HEAD_LAG);
    }
}

/// Of one that stops in the middle no answer is taken.
#[test]
fn answers_to_questions_that_belong_together_are_of_one() {
    let mut bench = bench(&[Manner::Lags(9), Manner::Good(20)]);
    let calls = [("nonce", serde_json::Value::Null), ("receipt", serde_json::Value::Null)];
    let answers = bench.time(async move |pool| pool.ask_one(&calls).await).0.unwrap();
    assert!(answers[0] == answers[1] && answers[0].as_i64() >= Some(1_000), "{answers:?}");
}
