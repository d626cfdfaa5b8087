//! The relayer's answers, good and hostile.

use async_trait::async_trait;
use domain::{KeyRef, Timestamp, ids::AccountId};
use engine::ports::venue::{Signature, SignerError};

use serde_json::Value;

use super::*;
use crate::{
    limits::MAX_TEXT,
    test_server::{Action, Request, StoppedClock, TestServer, reply},
};

struct Stamp;

#[async_trait]
impl Signer for Stamp {
    async fn sign(&self, requests: &[SignRequest]) -> Vec<Result<Signature, SignerError>> {
        requests.iter().map(|_| Ok(Signature([0x1b; 65]))).collect()
    }

    async fn address(&self, _: &KeyRef) -> Result<Address, SignerError> {
        Ok(Address([3; 20]))
    }
}

fn account(kind: WalletKind) -> TradingAccount {
    let (wallet, signer) = (Address([5; 20]), Address([3; 20]));
    TradingAccount { id: AccountId(1), wallet, signer, kind, key: KeyRef("k".to_owned()) }
}

fn relayer(server: &TestServer) -> Relayer {
    let key = RelayerKey::Own { key: Zeroizing::new("key".to_owned()), address: Address([3; 20]) };
    let clock = Arc::new(StoppedClock(Timestamp::from_seconds(1_795_449_790)));
    Relayer::new(crate::client().unwrap(), &server.origin, key, Arc::new(Stamp), clock)
}

fn allow() -> [WalletAction; 1] {
    [WalletAction::AllowDollars { spender: eip712::DOLLAR_SPENDERS[0] }]
}

const NONCE: &str = r#"{"address":"0x0303030303030303030303030303030303030303","nonce":"4"}"#;

/// Answers as a relayer with nothing under way; submissions as told.
async fn server(submit: impl Fn() -> Action + Send + Sync + 'static, listed: &'static str) -> TestServer {
    TestServer::start(move |request: &Request| match request.path() {
        "/submit" => submit(),
        "/transactions" => reply(200, listed),
        _ => reply(200, NONCE),
    })
    .await
}

fn row(nonce: &str, state: &str, signature: &str) -> String {
    format!(
        r#"[{{"transactionID":"a-1","state":"{state}","transactionHash":"","nonce":"{nonce}","signature":"{signature}",
            "proxyAddress":"0x0505050505050505050505050505050505050505"}}]"#
    )
}

/// Signs what lets the wallet spend, and sends it.
async fn send(venue: &TestServer, kind: WalletKind) -> Result<(WalletTransaction, Taken), VenueError> {
    let relayer = relayer(venue);
    let transaction = relayer.prepare(&account(kind), &allow()).await?;
    let taken = relayer.send(&transaction).await?;
    Ok((transaction, taken))
}

#[tokio::test]
async fn a_submission_is_signed_for_the_next_nonce_and_sent_once() {
    let server =
        server(|| reply(200, r#"{"transactionID":"a-1","state":"STATE_NEW","transactionHash":null}"#), "[]")
            .await;
    let (transaction, taken) = send(&server, WalletKind::Deposit).await.unwrap();
    assert_eq!((transaction.nonce, taken), (4, Taken::Yes(Some("a-1".to_owned()))));
    let seen = server.seen();
    let post = seen.iter().find(|request| request.path() == "/submit").unwrap();
    let body: Value = serde_json::from_slice(&post.body).unwrap();
    assert_eq!((&body["nonce"], &body["type"]), (&json!("4"), &json!("WALLET")));
    assert_eq!(post.headers["relayer_api_key"], "key");
    assert_eq!(server.count("/submit"), 1);
    let asked = seen.iter().find(|request| request.path().ends_with("/params")).unwrap();
    assert_eq!(asked.query("type"), Some("WALLET"));
}

#[tokio::test]
async fn a_lost_reply_is_looked_up_and_nothing_is_sent_again() {
    let signature = format!("0x{}", "1b".repeat(65));
    for submit in [|| Action::Drop, || reply(502, "bad gateway")] {
        let outcome = async |row: String| {
            let venue = server(submit, Box::leak(row.into_boxed_str())).await;
            let relayer = relayer(&venue);
            let transaction = relayer.prepare(&account(WalletKind::Deposit), &allow()).await.unwrap();
            let lost = relayer.send(&transaction).await;
            assert!(matches!(lost, Err(VenueError::Unavailable { .. })), "{lost:?}");
            let outcome = relayer.outcome(&account(WalletKind::Deposit), &transaction, None).await.unwrap();
            assert_eq!(venue.count("/submit"), 1);
            outcome
        };
        assert_eq!(outcome(row("4", "STATE_MINED", &signature)).await, TransactionOutcome::Underway);
        // Another's transaction with our nonce is not ours.
        assert_eq!(outcome(row("4", "STATE_CONFIRMED", "0x00")).await, TransactionOutcome::Unseen);
    }
}

#[tokio::test]
async fn what_is_under_way_is_told() {
    for state in ["STATE_NEW", "STATE_EXECUTED", "STATE_MINED"] {
        let listed: &'static str = Box::leak(row("3", state, "0x").into_boxed_str());
        let venue = server(|| reply(200, "{}"), listed).await;
        let wallet = account(WalletKind::Safe).wallet;
        let under_way = relayer(&venue).under_way(wallet).await.unwrap();
        assert!(under_way.is_some_and(|one| one.id == "a-1"), "{state}");
    }
}

#[tokio::test]
async fn refusals_and_nonsense_are_typed() {
    let refused =
        server(|| reply(400, r#"{"error":"batch nonce 4 does not match on-chain nonce 5"}"#), "[]").await;
    let answer = send(&refused, WalletKind::Proxy).await;
    assert!(matches!(answer, Err(VenueError::Refused { .. })), "{answer:?}");
    let eoa = send(&refused, WalletKind::Eoa).await;
    assert!(matches!(eoa, Err(VenueError::Refused { .. })), "{eoa:?}");
    let hostile: [&'static str; 9] = [
        "",
        "null",
        "[]",
        "{}",
        r#"{"transactionID":"","state":"STATE_NEW"}"#,
        r#"{"transactionID":"a","state":"STATE_NOVEL"}"#,
        r#"{"transactionID":7,"state":"STATE_NEW"}"#,
        r#"{"transactionID":"a","state":"STATE_NEW","transactionHash":"0x12"}"#,
        r#"{"transactionID":"a","state":["STATE_NEW"]}"#,
    ];
    for text in hostile {
        let venue = server(move || reply(200, text), "[]").await;
        let answer = send(&venue, WalletKind::Deposit).await;
        assert!(answer.is_err(), "{text}: {answer:?}");
    }
    for listed in ["{}", "null", r#"[{"state":"STATE_NEW"}]"#, r#"[7]"#] {
        let venue = server(|| reply(200, "{}"), listed).await;
        let answer = relayer(&venue).under_way(account(WalletKind::Deposit).wallet).await;
        assert!(matches!(answer, Err(VenueError::Malformed { .. })), "{listed}: {answer:?}");
    }
    for nonce in [
        r#"{"nonce":"4"}"#,
        r#"{"address":"0x03","nonce":"4"}"#,
        r#"{"address":"0x0303030303030303030303030303030303030303","nonce":"-4"}"#,
    ] {
        let venue = TestServer::start(move |request| match request.path() {
            "/transactions" => reply(200, "[]"),
            _ => reply(200, nonce),
        })
        .await;
        assert!(send(&venue, WalletKind::Deposit).await.is_err(), "{nonce}");
        assert_eq!(venue.count("/submit"), 0);
    }
    assert!(relayer(&refused).transaction("../../x").await.is_err());
}

#[tokio::test]
async fn signed_bytes_are_sent_as_they_are_until_they_are_taken() {
    let answers: [(u16, &'static str); 5] = [
        (200, r#"{"transactionID":"a-1","state":"STATE_NEW"}"#),
        (400, r#"{"error":"wallet busy: active action a-0"}"#),
        (429, r#"{"error":"Too Many Requests"}"#),
        (400, r#"{"error":"invalid signature"}"#),
        (503, "gone"),
    ];
    let mut taken = Vec::new();
    for (status, text) in answers {
        let venue = server(move || reply(status, text), "[]").await;
        let relayer = relayer(&venue);
        let signed = relayer.prepare(&account(WalletKind::Deposit), &allow()).await.unwrap();
        assert_eq!(signed.nonce, 4);
        let deadline = Timestamp::from_seconds(1_795_449_790).plus(BATCH_DEADLINE);
        assert_eq!(signed.expires_at, Some(deadline));
        taken.push(relayer.send(&signed).await);
        let seen = venue.seen();
        let post = seen.iter().find(|request| request.path() == "/submit").unwrap();
        assert_eq!(post.body, signed.body);
    }
    assert_eq!(taken[0], Ok(Taken::Yes(Some("a-1".to_owned()))));
    assert!(matches!(taken[1..3], [Ok(Taken::NotNow(_)), Ok(Taken::NotNow(_))]), "{taken:?}");
    assert!(matches!(taken[3], Err(VenueError::Refused { .. })), "{taken:?}");
    assert!(matches!(taken[4], Err(VenueError::Unavailable { .. })), "{taken:?}");
    let venue = server(|| reply(200, "{}"), "[]").await;
    let signed = relayer(&venue).prepare(&account(WalletKind::Safe), &allow()).await.unwrap();
    assert_eq!(signed.expires_at, None, "a Safe looks at no deadline");
}

/// A clock whose waits are over at once.
#[derive(Default)]
struct Hasty(std::sync::atomic::AtomicU64);

impl Clock for Hasty {
    fn now(&self) -> Timestamp {
        Timestamp::from_seconds(1_795_449_790).plus(self.uptime())
    }

    fn uptime(&self) -> std::time::Duration {
        std::time::Duration::from_micros(self.0.load(std::sync::atomic::Ordering::SeqCst))
    }

    fn sleep(&self, duration: std::time::Duration) -> domain::clock::Sleep {
        let micros = u64::try_from(duration.as_micros()).unwrap();
        self.0.fetch_add(micros, std::sync::atomic::Ordering::SeqCst);
        Box::pin(std::future::ready(()))
    }
}

/// The relayer takes 25 calls a minute. More wait for their turn, and one that it refuses is made again when it said.
#[tokio::test]
async fn a_relayer_that_is_asked_too_often_is_waited_for() {
    let refusals = std::sync::atomic::AtomicU32::new(2);
    let venue = TestServer::start(move |request: &Request| match request.path() {
        "/deployed" => {
            use std::sync::atomic::Ordering::SeqCst;
            match refusals.fetch_update(SeqCst, SeqCst, |left| left.checked_sub(1)) {
                Ok(_) => Action::Reply(429, "retry-after: 7\r\n", String::new()),
                Err(_) => reply(200, r#"{"deployed":true}"#),
            }
        }
        _ => reply(404, ""),
    })
    .await;
    let clock = Arc::new(Hasty::default());
    let relayer = Relayer {
        clock: clock.clone(),
        pacer: Pacer::new(clock.clone(), Some(VenueLimits::default())),
        ..relayer(&venue)
    };
    let deployed = async || relayer.is_deployed(Address([5; 20]), WalletKind::Deposit).await;
    assert_eq!(deployed().await, Ok(true));
    assert_eq!((clock.uptime().as_secs(), venue.count("/deployed")), (14, 3));
    // Nine tenths of 25, of these nine tenths for this lane: 20 in a minute.
    for _ in 3..20 {
        assert_eq!(deployed().await, Ok(true));
    }
    assert_eq!(clock.uptime().as_secs(), 14);
    assert_eq!(deployed().await, Ok(true));
    assert!((60..62).contains(&clock.uptime().as_secs()), "{:?}", clock.uptime());
}

#[tokio::test]
async fn an_outcome_is_evidence() {
    let signature = format!("0x{}", "1b".repeat(65));
    let outcome = async |listed: String, next: &'static str, id: Option<&str>| {
        let listed: &'static str = Box::leak(listed.into_boxed_str());
        let next: &'static str = Box::leak(NONCE.replace("\"4\"", next).into_boxed_str());
        let venue = TestServer::start(move |request: &Request| match request.path() {
            "/transactions" => reply(200, listed),
            path if path.ends_with("/params") => reply(200, next),
            _ => reply(404, r#"{"error":"transaction not found"}"#),
        })
        .await;
        let account = account(WalletKind::Deposit);
        let signing = server(|| reply(200, "{}"), "[]").await;
        let signed = relayer(&signing).prepare(&account, &allow()).await.unwrap();
        relayer(&venue).outcome(&account, &signed, id).await
    };
    let hash = format!("0x{}", "ab".repeat(32));
    let confirmed = row("4", "STATE_CONFIRMED", &signature)
        .replace(r#""transactionHash":"""#, &format!(r#""transactionHash":"{hash}""#));
    let tx: TxHash = hash.parse().unwrap();
    // An id the relayer does not know is looked for by nonce and signature.
    for id in [None, Some("a-9")] {
        assert_eq!(outcome(confirmed.clone(), "\"5\"", id).await, Ok(TransactionOutcome::Confirmed(tx)));
    }
    for state in ["STATE_NEW", "STATE_EXECUTED", "STATE_MINED"] {
        let listed = row("4", state, &signature);
        assert_eq!(outcome(listed, "\"5\"", None).await, Ok(TransactionOutcome::Underway), "{state}");
    }
    let failed = outcome(row("4", "STATE_FAILED", &signature), "\"4\"", None).await;
    assert!(matches!(failed, Ok(TransactionOutcome::Failed(_))), "{failed:?}");
    for listed in ["[]".to_owned(), row("4", "STATE_CONFIRMED", "0x00"), row("3", "STATE_NEW", &signature)] {
        assert_eq!(outcome(listed.clone(), "\"4\"", None).await, Ok(TransactionOutcome::Unseen), "{listed}");
        assert_eq!(outcome(listed, "\"5\"", None).await, Ok(TransactionOutcome::Replaced));
    }
    let bare = outcome(row("4", "STATE_CONFIRMED", &signature), "\"5\"", None).await;
    assert!(matches!(bare, Err(VenueError::Malformed { .. })), "{bare:?}");
}

/// Hostile sizes, depths and numbers.
#[test]
fn the_corpus_is_survived() {
    let sample = row("4", "STATE_CONFIRMED", "0x1b");
    fn known<T: serde::de::DeserializeOwned, R>(bytes: &[u8], read: fn(T) -> Result<R, String>) -> Option<R> {
        read(serde_json::from_slice(bytes).ok()?).ok()
    }
    // Final is only what has a transaction of a form that there is.
    let sound = |relayed: &Relayed| !relayed.id.is_empty() && relayed.reason.chars().count() <= MAX_TEXT;
    let rows = |bytes: &[u8]| {
        let rows: Vec<Row> = serde_json::from_slice(bytes).ok()?;
        rows.into_iter().map(|row| row.read().ok()).collect::<Option<Vec<_>>>()
    };
    crate::hostile::survives(&sample, rows, |rows| rows.iter().all(sound));
    let hash = format!("0x{}", "ab".repeat(32));
    let submitted =
        serde_json::json!({ "transactionID": "a-1", "state": "STATE_NEW", "transactionHash": hash })
            .to_string();
    crate::hostile::survives(&submitted, |bytes| known(bytes, Submitted::read), sound);
    let one = serde_json::json!({
        "transaction_id": "a-1", "state": "STATE_CONFIRMED", "transaction_hash": hash, "error_msg": "",
    });
    crate::hostile::survives(&one.to_string(), |bytes| known(bytes, OneTransaction::read), sound);
    let next = serde_json::json!({ "address": Address([7; 20]), "nonce": "4" }).to_string();
    crate::hostile::survives(
        &next,
        |bytes| known(bytes, Next::read),
        |(_, address)| *address == Address([7; 20]),
    );
    let deployed = |bytes: &[u8]| known(bytes, |row: Deployed| Ok(row.deployed));
    crate::hostile::survives(r#"{"deployed":true}"#, deployed, |deployed| *deployed);
}
