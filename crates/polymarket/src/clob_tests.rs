//! Logging in and preparing against a canned server.

use std::sync::atomic::{AtomicUsize, Ordering};

use domain::{KeyRef, OrderAmounts, OrderType, Side, WalletKind, ids::AccountId};
use proptest::prelude::*;

use super::*;
use crate::{
    limits::LOGIN_PARALLEL,
    test_server::{Action, Request, StoppedClock, TestServer, reply},
};

pub(crate) const DEADLINE: Duration = Duration::from_secs(10);
pub(crate) const LOGIN: &str =
    r#"{"apiKey":"00000000-0000-0000-0000-000000000001","secret":"AAAA","passphrase":"p"}"#;

/// Signs everything with sevens and counts logins.
#[derive(Default)]
pub(crate) struct Sevens {
    logins: AtomicUsize,
}

#[async_trait]
impl Signer for Sevens {
    async fn sign(&self, requests: &[SignRequest]) -> Vec<Result<Signature, SignerError>> {
        let logins = requests.iter().filter(|request| matches!(request, SignRequest::ApiLogin { .. }));
        self.logins.fetch_add(logins.count(), Ordering::Relaxed);
        let refused = |request: &SignRequest| match request {
            SignRequest::Order(plan) => plan.salt == 13,
            _ => false,
        };
        let sign = |request| match refused(request) {
            true => Err(SignerError::Policy("unlucky".to_owned())),
            false => Ok(Signature([7; 65])),
        };
        requests.iter().map(sign).collect()
    }

    async fn address(&self, key: &KeyRef) -> Result<Address, SignerError> {
        Err(SignerError::UnknownKey(key.clone()))
    }
}

pub(crate) fn clob(server: &TestServer) -> Clob {
    clob_at(&server.origin)
}

pub(crate) fn clob_at(origin: &str) -> Clob {
    clob_by(origin, Arc::new(StoppedClock(Timestamp::from_seconds(1_777_400_000))))
}

pub(crate) fn clob_of(server: &TestServer, clock: Arc<dyn Clock>) -> Clob {
    clob_by(&server.origin, clock)
}

fn clob_by(origin: &str, clock: Arc<dyn Clock>) -> Clob {
    Clob::new(crate::client().unwrap(), origin, Chain::Polygon, Arc::new(Sevens::default()), clock)
}

pub(crate) fn account(number: u8) -> TradingAccount {
    TradingAccount {
        id: AccountId(i64::from(number)),
        wallet: Address([number; 20]),
        signer: Address([number; 20]),
        kind: WalletKind::Eoa,
        key: KeyRef(format!("account {number}")),
    }
}

pub(crate) fn plan(number: u8, salt: u64) -> OrderPlan {
    OrderPlan {
        salt,
        account: account(number),
        token: TokenId([0x11; 32]),
        side: Side::Buy,
        amounts: OrderAmounts { maker: 5_000_000, taker: 10_000_000 },
        timestamp: Timestamp::from_millis(1_777_400_000_123),
        negative_risk: false,
        order_type: OrderType::FillAndKill,
        defer: false,
        builder: Hash([0; 32]),
    }
}

/// Logs everybody in and hands other requests on.
pub(crate) async fn server(handler: impl Fn(&Request) -> Action + Send + Sync + 'static) -> TestServer {
    TestServer::start(move |request| match request.path() {
        "/auth/api-key" => reply(200, LOGIN),
        _ => handler(request),
    })
    .await
}

pub(crate) async fn prepared(clob: &Clob) -> PreparedOrder {
    clob.prepare(&[plan(1, 1)]).await.remove(0).unwrap()
}

#[tokio::test]
async fn the_prepared_bytes_are_posted_authenticated_and_unchanged() {
    let server = server(|_| reply(500, "")).await;
    let clob = clob(&server);
    let order = prepared(&clob).await;
    for _ in 0..2 {
        assert!(matches!(
            clob.post(&account(1), &order, engine::ports::venue::PostTimes::whenever(DEADLINE)).await,
            PostReply::Unknown { .. }
        ));
    }
    let seen = server.seen();
    let [login, first, second] = seen.as_slice() else { panic!("{seen:?}") };
    // L1: who, when, which nonce, signed.
    assert_eq!((login.method.as_str(), login.path()), ("POST", "/auth/api-key"));
    assert_eq!(login.headers["poly_address"], format!("0x{}", "01".repeat(20)));
    assert_eq!(login.headers["poly_timestamp"], "1777400000");
    assert_eq!(login.headers["poly_nonce"], "0");
    assert_eq!(login.headers["poly_signature"], format!("0x{}", "07".repeat(65)));
    // L2, twice the same bytes.
    for post in [first, second] {
        assert_eq!((post.method.as_str(), post.path()), ("POST", "/order"));
        assert_eq!(post.body, order.body);
        assert_eq!(post.headers["content-type"], "application/json");
        assert_eq!(post.headers["poly_api_key"], "00000000-0000-0000-0000-000000000001");
        assert_eq!(post.headers["poly_passphrase"], "p");
        assert_eq!(post.headers["poly_signature"].len(), 44);
    }
    let body: serde_json::Value = serde_json::from_slice(&order.body).unwrap();
    assert_eq!(body["owner"], "00000000-0000-0000-0000-000000000001");
    assert_eq!(body["orderType"], "FAK");
    assert_eq!(body["order"]["signature"], format!("0x{}", "07".repeat(65)));
}

#[tokio::test]
async fn one_login_serves_all_orders_of_an_account_even_at_once() {
    let server = server(|_| reply(500, "")).await;
    let clob = clob(&server);
    let plans: Vec<_> = (0..40).map(|salt| plan(1 + (salt % 4) as u8, salt + 100)).collect();
    let (one, two) = tokio::join!(clob.prepare(&plans), clob.prepare(&plans));
    assert_eq!(one, two);
    assert!(one.iter().all(Result::is_ok));
    assert_eq!(server.count("/auth/api-key"), 4);
}

/// One login that hung failed the whole batch, and every further one that its account was in.
#[tokio::test]
async fn a_login_that_hangs_holds_nobody_up_and_is_begun_once() {
    let hangs = |request: &Request| request.headers["poly_address"] == format!("0x{}", "01".repeat(20));
    let server = TestServer::start(move |request| match request.path() {
        "/auth/api-key" if hangs(request) => Action::Hang,
        _ => reply(200, LOGIN),
    })
    .await;
    let clock = testkit::virtual_clock::VirtualClock::new(Timestamp::from_seconds(1_777_400_000));
    let (client, time) = (crate::client().unwrap(), Arc::clone(&clock) as Arc<dyn Clock>);
    let clob = Clob::new(client, &server.origin, Chain::Polygon, Arc::new(Sevens::default()), time);
    assert!(clob.prepare(&[plan(2, 1)]).await[0].is_ok());
    let plans = [plan(1, 1), plan(2, 2)];
    let waited = async {
        while server.count("/auth/api-key") < 2 {
            tokio::task::yield_now().await;
        }
        clock.advance(LOGIN_PATIENCE);
    };
    let (first, ()) = tokio::join!(clob.prepare(&plans), waited);
    // Whoever asks again while it still hangs does not wait at all.
    for answers in [first, clob.prepare(&plans).await] {
        assert!(matches!(&answers[0], Err(VenueError::Timeout { .. })), "{:?}", answers[0]);
        assert!(answers[1].is_ok(), "{:?}", answers[1]);
    }
    assert_eq!(server.count("/auth/api-key"), 2, "a login each");
}

/// As many logins of entries as go at once hang; a sale logs in all the same, also where its own account's is among them.
#[tokio::test]
async fn an_exit_s_login_waits_for_none_of_entries() {
    let most = LOGIN_PARALLEL;
    let begun = AtomicUsize::new(0);
    let server = TestServer::start(move |_| match begun.fetch_add(1, Ordering::Relaxed) {
        number if number < most => Action::Hang,
        _ => reply(200, LOGIN),
    })
    .await;
    let clock = testkit::virtual_clock::VirtualClock::new(Timestamp::from_seconds(1_777_400_000));
    let clob = clob_of(&server, Arc::clone(&clock) as Arc<dyn Clock>);
    let entries: Vec<_> = (1..=most + 8).map(|number| plan(u8::try_from(number).unwrap(), 1)).collect();
    let sales = async {
        while server.count("/auth/api-key") < most {
            tokio::task::yield_now().await;
        }
        let first = clob.prepare(&[OrderPlan { side: Side::Sell, ..plan(100, 1) }]).await.remove(0);
        let own = clob.prepare(&[OrderPlan { side: Side::Sell, ..plan(1, 2) }]).await.remove(0);
        clock.advance(LOGIN_PATIENCE);
        [first, own]
    };
    let (bought, sold) = tokio::join!(clob.prepare(&entries), sales);
    assert!(sold.iter().all(Result::is_ok), "{sold:?}");
    assert!(bought.iter().all(|entry| matches!(entry, Err(VenueError::Timeout { .. }))));
    assert_eq!(server.count("/auth/api-key"), most + 2, "entries beyond it have not begun");
}

#[tokio::test]
async fn existing_credentials_are_derived() {
    let server = TestServer::start(|request| match (request.method.as_str(), request.path()) {
        ("POST", "/auth/api-key") => reply(400, r#"{"error":"Could not create api key"}"#),
        ("GET", "/auth/derive-api-key") => reply(200, LOGIN),
        _ => reply(500, ""),
    })
    .await;
    prepared(&clob(&server)).await;
    assert_eq!(server.count("/auth/derive-api-key"), 1);
}

#[tokio::test]
async fn a_failed_login_is_told_without_the_secret_and_tried_again() {
    let bodies =
        Mutex::new(vec![LOGIN.to_owned(), r#"{"apiKey":"k","secret":"!hush!","passphrase":"p"}"#.to_owned()]);
    let server = TestServer::start(move |_| reply(200, bodies.lock().unwrap().pop().unwrap())).await;
    let clob = clob(&server);
    let error = clob.prepare(&[plan(1, 1)]).await.remove(0).unwrap_err();
    assert!(matches!(error, VenueError::Malformed { .. }) && !error.to_string().contains("hush"), "{error}");
    prepared(&clob).await;
}

#[tokio::test]
async fn a_bad_plan_does_not_spoil_its_neighbours() {
    let server = server(|_| reply(500, "")).await;
    let mut plans = vec![plan(1, 1), plan(1, 13), plan(2, 2), plan(1, 3)];
    plans[2].salt = 1 << 53;
    let answers = clob(&server).prepare(&plans).await;
    assert!(answers[0].is_ok() && answers[3].is_ok());
    assert!(matches!(&answers[1], Err(VenueError::NotSigned { reason, .. }) if reason.contains("unlucky")));
    assert!(matches!(&answers[2], Err(VenueError::Senseless { reason, .. }) if reason.contains("2^53")));
    assert_ne!(answers[0].as_ref().unwrap().id, answers[3].as_ref().unwrap().id);
}

#[tokio::test]
async fn the_venue_s_clock_is_read_in_both_forms() {
    for body in ["1777400001", "\"1777400001\""] {
        let server = TestServer::start(move |_| reply(200, body)).await;
        assert_eq!(clob(&server).server_time().await, Ok(Timestamp::from_seconds(1_777_400_001)));
    }
    let server = TestServer::start(|_| Action::Reply(429, "retry-after: 7\r\n", String::new())).await;
    let what = "GET /time".to_owned();
    let limited = VenueError::RateLimited { what, retry_after: Some(Duration::from_secs(7)) };
    assert_eq!(clob(&server).server_time().await, Err(limited));
}

/// Hostile sizes, depths and numbers.
#[test]
fn the_corpus_of_times_is_survived() {
    for sample in ["1777400001", "\"1777400001\""] {
        crate::hostile::survives(sample, |bytes| time(200, bytes).ok(), |time| time.0 >= 0);
    }
}

fn time(status: u16, body: &[u8]) -> Result<Timestamp, VenueError> {
    time_of(&Answer::of(status, body))
}

#[test]
fn the_clock_is_whole_seconds_and_nothing_else() {
    for good in ["1777400001", "\"1777400001\"", " 1777400001 ", "1777400001.0"] {
        assert_eq!(time(200, good.as_bytes()), Ok(Timestamp::from_seconds(1_777_400_001)), "{good}");
    }
    for bad in
        ["", "null", "-1", "1.5", "1e9", "[1]", "{\"time\":1}", "17774000011777400001", "1 2", "\u{feff}1"]
    {
        assert!(matches!(time(200, bad.as_bytes()), Err(VenueError::Malformed { .. })), "{bad}");
    }
}

proptest! {
    #[test]
    fn any_bytes_are_a_time_or_a_typed_error(
        status in 100_u16..600, body in proptest::collection::vec(any::<u8>(), 0..200)
    ) {
        match time(status, &body) {
            Ok(at) => prop_assert!(at.0 >= 0 && (200..300).contains(&status)),
            Err(error) => prop_assert!(error.to_string().len() < 1_500),
        }
    }

    #[test]
    fn any_number_is_a_time_or_a_typed_error(number in ".{0,3}[0-9]{0,30}[.eE+-]?[0-9]{0,5}") {
        if let Ok(at) = time(200, number.as_bytes()) {
            prop_assert!(at.0 >= 0);
        }
    }
}
