//! Posting, singly and together, against a canned server.

use std::sync::Arc;

use domain::{FeeSchedule, Market, Shares, TickSize, TokenId, WalletKind, ids::OwnerId, money::ONE};
use eip712::{Chain, Exchange};
use engine::ports::venue::OrderGateway;

use engine::ports::venue::RejectReason;

use super::*;
use crate::{
    auth::Credentials,
    clob::tests::{DEADLINE, LOGIN, account, clob, clob_at, clob_of, plan, prepared, server},
    geoblock::Geoblock,
    limits::PAGE_BODY,
    test_server::{Action, reply},
    venue_limits::{Endpoint, VenueLimits},
};

fn taken(id: OrderId) -> String {
    format!(r#"{{"success":true,"orderID":"{id}","status":"matched","errorMsg":""}}"#)
}

#[tokio::test]
async fn an_accepted_post_is_reported() {
    let server = server(|request| {
        let body: serde_json::Value = serde_json::from_slice(&request.body).unwrap();
        assert_eq!(body["order"]["salt"], 1);
        reply(200, taken(OrderId([0; 32])))
    })
    .await;
    let clob = clob(&server);
    let order = PreparedOrder { id: OrderId([0; 32]), ..prepared(&clob).await };
    assert!(matches!(
        clob.post(&account(1), &order, PostTimes::whenever(DEADLINE)).await,
        PostReply::Accepted(_)
    ));
}

#[tokio::test]
async fn a_post_is_sent_once_whatever_happens_to_it() {
    for name in ["dropped", "redirected", "overloaded", "silent"] {
        let server = server(move |_| match name {
            "dropped" => Action::Drop,
            "redirected" => Action::Reply(307, "location: /elsewhere\r\n", String::new()),
            "overloaded" => reply(503, "try again"),
            _ => Action::Hang,
        })
        .await;
        let clob = clob(&server);
        let order = prepared(&clob).await;
        let deadline = if name == "silent" { Duration::from_millis(200) } else { DEADLINE };
        let answer = clob.post(&account(1), &order, PostTimes::whenever(deadline)).await;
        assert!(matches!(answer, PostReply::Unknown { .. }), "{name}: {answer:?}");
        assert_eq!((server.count("/order"), server.count("/elsewhere")), (1, 0), "{name}");
    }
}

#[tokio::test]
async fn an_endless_answer_is_cut_off() {
    let server = server(|_| reply(200, " ".repeat(PAGE_BODY + 1))).await;
    let clob = clob(&server);
    let order = prepared(&clob).await;
    assert!(matches!(
        clob.post(&account(1), &order, PostTimes::whenever(DEADLINE)).await,
        PostReply::Unknown { .. }
    ));
}

#[tokio::test]
async fn what_never_left_is_not_unknown() {
    // A port nobody listens on: bound, then given back.
    let free = std::net::TcpListener::bind("127.0.0.1:0").unwrap().local_addr().unwrap();
    let clob = clob_at(&format!("http://{free}"));
    let order = PreparedOrder { id: OrderId([0; 32]), body: b"{}".to_vec() };
    let answer = clob.post(&account(1), &order, PostTimes::whenever(DEADLINE)).await;
    assert!(matches!(answer, PostReply::NotAccepted { .. }), "{answer:?}");
    // The same with credentials at hand: the post itself fails to connect.
    let reply = serde_json::from_str(LOGIN).unwrap();
    let credentials = Arc::new(Credentials::new(account(1).signer, reply).ok().unwrap());
    clob.logins.put(account(1).signer, credentials);
    let answer = clob.post(&account(1), &order, PostTimes::whenever(DEADLINE)).await;
    assert!(
        matches!(&answer, PostReply::NotAccepted { text, .. } if text.contains("not sent")),
        "{answer:?}"
    );
}

#[tokio::test]
async fn refused_credentials_are_derived_anew() {
    let server = server(|_| reply(401, r#"{"error":"Unauthorized/Invalid api key"}"#)).await;
    let clob = clob(&server);
    let order = prepared(&clob).await;
    let answer = clob.post(&account(1), &order, PostTimes::whenever(DEADLINE)).await;
    let PostReply::Rejected { reason: RejectReason::Credentials, text } = answer else {
        panic!("{answer:?}")
    };
    assert!(text.contains("Invalid api key") && text.contains("this machine's clock"), "{text}");
    prepared(&clob).await;
    assert_eq!(server.count("/auth/api-key"), 2);
}

#[tokio::test]
async fn several_orders_go_out_as_their_stored_bytes_in_one_request() {
    let server = server(|request| {
        assert_eq!((request.method.as_str(), request.path()), ("POST", "/orders"));
        let orders: Vec<serde_json::Value> = serde_json::from_slice(&request.body).unwrap();
        assert_eq!(orders.len(), 3);
        let killed = "no orders found to match with FAK order";
        let texts = [killed, "not enough balance / allowance", killed];
        let entry = |text| serde_json::json!({"success": true, "errorMsg": text, "orderID": ""});
        reply(200, serde_json::Value::from(texts.map(entry).to_vec()).to_string())
    })
    .await;
    let clob = clob(&server);
    let plans: Vec<_> = (1..4).map(|salt| plan(1, salt)).collect();
    let orders: Vec<_> = clob.prepare(&plans).await.into_iter().map(Result::unwrap).collect();
    let replies = clob.post_batch(&account(1), Lane::Exits, &orders, PostTimes::whenever(DEADLINE)).await;
    let body = server.seen().pop().unwrap().body;
    assert_eq!(body, batch_body(orders.iter().map(|order| order.body.as_slice())));
    assert!(matches!(replies[1], PostReply::Rejected { reason: RejectReason::Money, .. }), "{replies:?}");
    for at in [0, 2] {
        assert!(matches!(replies[at], PostReply::Killed { .. }), "{replies:?}");
    }
}

#[tokio::test]
async fn without_room_for_a_request_of_several_each_goes_by_itself() {
    let server = server(|request| match request.path() {
        "/orders" => reply(200, "[]"),
        _ => reply(400, r#"{"error":"no orders found to match with FAK order"}"#),
    })
    .await;
    let limits = VenueLimits { other: vec![(Endpoint::PostBatch, 1, None)], ..VenueLimits::default() };
    let clob = clob(&server).paced(limits);
    let orders = [prepared(&clob).await, prepared(&clob).await];
    let first = clob.post_batch(&account(1), Lane::Entries, &orders, PostTimes::whenever(DEADLINE)).await;
    assert!(first.iter().all(|reply| matches!(reply, PostReply::Unknown { .. })), "{first:?}");
    let second = clob.post_batch(&account(1), Lane::Entries, &orders, PostTimes::whenever(DEADLINE)).await;
    assert!(second.iter().all(|reply| matches!(reply, PostReply::Killed { .. })), "{second:?}");
    assert_eq!((server.count("/orders"), server.count("/order")), (1, 2));
}

#[tokio::test]
async fn a_lost_reply_to_several_orders_leaves_all_unknown() {
    for name in ["dropped", "overloaded", "silent", "half"] {
        let server = server(move |_| match name {
            "dropped" => Action::Drop,
            "overloaded" => reply(503, "try again"),
            "half" => reply(200, "[{\"success\":tr"),
            _ => Action::Hang,
        })
        .await;
        let clob = clob(&server);
        let orders = [prepared(&clob).await, prepared(&clob).await];
        let deadline = if name == "silent" { Duration::from_millis(200) } else { DEADLINE };
        let replies =
            clob.post_batch(&account(1), Lane::Entries, &orders, PostTimes::whenever(deadline)).await;
        assert!(replies.len() == 2 && replies.iter().all(|reply| matches!(reply, PostReply::Unknown { .. })));
        assert_eq!((server.count("/orders"), server.count("/order")), (1, 0), "{name}");
    }
}

/// Posts once and says in which words it was refused.
async fn refused(answers: impl Fn(&str) -> Action + Send + Sync + 'static, wallet: WalletKind) -> String {
    let server = server(move |request| answers(request.path())).await;
    let clob = clob(&server).with_geoblock(Geoblock::new(crate::client().unwrap(), &server.origin));
    let order = prepared(&clob).await;
    let account = TradingAccount { kind: wallet, ..account(1) };
    match clob.post(&account, &order, PostTimes::whenever(DEADLINE)).await {
        PostReply::Rejected { text, .. } => text,
        other => panic!("{other:?}"),
    }
}

fn error(status: u16, text: &str) -> Action {
    reply(status, serde_json::json!({ "error": text }).to_string())
}

/// Complaints: `order_version_mismatch` after the venue moved on (py-clob-client-v2 #32).
#[tokio::test]
async fn a_refused_version_is_compared_with_the_venue_s() {
    let text = refused(
        |path| match path {
            "/version" => reply(200, r#"{"version":3}"#),
            _ => error(400, "order_version_mismatch"),
        },
        WalletKind::Eoa,
    )
    .await;
    assert!(text.contains("takes version 3") && text.contains("signs version 2: update it"), "{text}");
}

/// One refusal of a venue that takes what was sent, or does not say what it takes, is about one order.
#[tokio::test]
async fn a_refused_version_that_is_the_venue_s_own_is_about_one_order() {
    for version in [r#"{"version":2}"#, "odd"] {
        let server = server(move |request| match request.path() {
            "/version" => reply(200, version),
            _ => error(400, "order_version_mismatch"),
        })
        .await;
        let clob = clob(&server);
        let order = prepared(&clob).await;
        let answer = clob.post(&account(1), &order, PostTimes::whenever(DEADLINE)).await;
        assert!(matches!(answer, PostReply::Rejected { reason: RejectReason::Signature, .. }), "{answer:?}");
    }
}

#[tokio::test]
async fn a_refused_kind_of_wallet_is_named() {
    let text = refused(
        |_| error(400, "maker address not allowed, please use the deposit wallet flow"),
        WalletKind::Proxy,
    )
    .await;
    assert!(text.contains("Proxy wallet") && text.contains("deposit wallets"), "{text}");
}

#[tokio::test]
async fn a_blocked_region_is_told_and_nothing_goes_around_it() {
    let text = refused(
        |path| match path {
            "/api/geoblock" => {
                reply(200, r#"{"blocked":true,"ip":"203.0.113.7","country":"US","region":""}"#)
            }
            _ => error(403, "Trading restricted in your region, please refer to available regions"),
        },
        WalletKind::Eoa,
    )
    .await;
    assert!(text.contains("does not trade with US") && text.contains("no way around it"), "{text}");
}

/// Cloudflare's 403 says nothing about the order, whatever the place: it stays unknown, and the place is asked for.
#[tokio::test]
async fn a_403_that_is_no_text_of_the_venue_asks_for_the_place() {
    for (place, blocked) in [
        (r#"{"blocked":true,"country":"US","region":"NY"}"#, true),
        (r#"{"blocked":false,"country":"IE","region":"L"}"#, false),
        ("Forbidden", false),
    ] {
        let server = server(move |request| match request.path() {
            "/api/geoblock" => reply(200, place),
            _ => reply(403, "<html>Forbidden</html>"),
        })
        .await;
        let clob = clob(&server).with_geoblock(Geoblock::new(crate::client().unwrap(), &server.origin));
        let orders = [prepared(&clob).await, prepared(&clob).await];
        let mut replies =
            clob.post_batch(&account(1), Lane::Exits, &orders, PostTimes::whenever(DEADLINE)).await;
        assert_eq!(server.count("/api/geoblock"), 1, "asked once for a request");
        replies.push(clob.post(&account(1), &orders[0], PostTimes::whenever(DEADLINE)).await);
        for reply in replies {
            let PostReply::Unknown { text, blocked: told } = reply else { panic!("{reply:?}") };
            assert_eq!((told, text.contains("US-NY")), (blocked, blocked), "{place}: {text}");
        }
    }
}

/// The market of what is bought in these tests.
fn market() -> Market {
    Market {
        token: TokenId([0x11; 32]),
        condition: format!("0x{}", "0c".repeat(31)).parse().unwrap(),
        tick: TickSize::Hundredth,
        minimum_size: Shares(5 * ONE),
        negative_risk: false,
        fee: FeeSchedule::default(),
        taker_delay_ms: 0,
        accepting_orders: true,
        payout: None,
        title: String::new(),
        slug: String::new(),
        outcome: String::new(),
    }
}

/// Missing money, a missing approval and an old copy of the balance sound alike; the venue is made to look again, and
/// then its own record of approvals decides.
#[tokio::test]
async fn a_refusal_for_money_makes_the_venue_look_again() {
    let (bare, money) =
        ("not enough balance / allowance", "not enough balance / allowance: the balance is not enough");
    let approval = "not enough balance / allowance: the allowance is not enough -> spender: 0xe1";
    for (text, allowance, expected) in [
        (bare, [("7", "0")], RejectReason::Money),
        (bare, [("0", "7")], RejectReason::Approval),
        (money, [("7", "0")], RejectReason::Money),
        // It says so itself.
        (money, [("0", "7")], RejectReason::Money),
        (approval, [("0", "7")], RejectReason::Approval),
        (approval, [("7", "0")], RejectReason::Money),
        (approval, [("", "")], RejectReason::Approval),
        (money, [("", "")], RejectReason::Money),
    ] {
        let [(own, others)] = allowance;
        let allowance = match own {
            "" => String::new(),
            own => {
                let [spender, other] =
                    [Exchange::CtfV2, Exchange::V3].map(|exchange| exchange.address(Chain::Polygon));
                format!(r#"{{"allowances":{{"{spender}":"{own}","{other}":"{others}"}}}}"#)
            }
        };
        let told = allowance.clone();
        let server = server(move |request| match request.path() {
            "/balance-allowance/update" => reply(200, ""),
            "/balance-allowance" => reply(200, told.clone()),
            "/orders" => {
                let one =
                    serde_json::json!({ "errorMsg": text, "orderID": "", "status": "", "success": true });
                reply(200, serde_json::json!([one.clone(), one]).to_string())
            }
            _ => error(400, text),
        })
        .await;
        let clob = clob(&server);
        clob.remember(&market());
        let orders = [prepared(&clob).await, prepared(&clob).await];
        let mut replies =
            clob.post_batch(&account(1), Lane::Entries, &orders, PostTimes::whenever(DEADLINE)).await;
        assert_eq!(server.count("/balance-allowance/update"), 1, "asked once for a request");
        replies.push(clob.post(&account(1), &orders[0], PostTimes::whenever(DEADLINE)).await);
        for reply in replies {
            let PostReply::Rejected { reason, .. } = reply else { panic!("{reply:?}") };
            assert_eq!(reason, expected, "{text} {allowance}");
        }
    }
}

/// A clock that leaps by a second whenever it is read.
#[derive(Default)]
struct Leaping(std::sync::atomic::AtomicU64);

impl domain::Clock for Leaping {
    fn now(&self) -> domain::Timestamp {
        domain::Timestamp::from_seconds(1_777_400_000)
    }

    fn uptime(&self) -> Duration {
        Duration::from_secs(self.0.fetch_add(1, std::sync::atomic::Ordering::Relaxed))
    }

    fn sleep(&self, _: Duration) -> domain::clock::Sleep {
        Box::pin(std::future::pending())
    }
}

/// Whoever asked has checked the order's time before; a login and a connection may take long. The bytes are written in
/// time, or not at all and surely so.
#[tokio::test]
async fn nothing_is_written_once_its_time_is_over() {
    for together in [false, true] {
        let mut outcomes = Vec::new();
        for seconds in 0..20 {
            let server = server(|_| reply(200, "{}")).await;
            let order = prepared(&clob(&server)).await;
            let clob = clob_of(&server, Arc::new(Leaping::default()));
            let times = PostTimes {
                send_before: Duration::from_secs(seconds),
                reply_within: Duration::from_secs(3_600),
            };
            let answers = if together {
                clob.post_batch(&account(1), Lane::Exits, &[order.clone(), order], times).await
            } else {
                vec![clob.post(&account(1), &order, times).await]
            };
            let sent = server.count("/order") + server.count("/orders");
            for answer in &answers {
                match sent {
                    0 => assert!(
                        matches!(answer, PostReply::NotAccepted { retry_after: None, .. }),
                        "{seconds}: {answer:?}"
                    ),
                    _ => assert!(matches!(answer, PostReply::Unknown { .. }), "{seconds}: {answer:?}"),
                }
            }
            let kept_back =
                answers.iter().any(|answer| format!("{answer:?}").contains("before the first byte"));
            outcomes.push((sent, kept_back));
        }
        // Too late before it began, then with the connection there, then in time.
        assert_eq!(outcomes.first(), Some(&(0, true)));
        assert_eq!(outcomes.last(), Some(&(1, false)));
        assert!(outcomes.iter().all(|(sent, kept_back)| (*sent == 0) == *kept_back), "{outcomes:?}");
    }
}

/// The time ran out while the connection was made: the head of a request without its body is no request.
#[tokio::test]
async fn a_connection_that_comes_too_late_brings_no_order() {
    let server = server(|_| reply(200, "{}")).await;
    let clob = clob(&server);
    let reply = serde_json::from_str(LOGIN).unwrap();
    let credentials = Credentials::new(account(1).signer, reply).ok().unwrap();
    let post = async |before: Duration| {
        let body = Timely::new(b"{}".to_vec(), Arc::clone(&clob.clock), before);
        let late = body.late();
        let request = clob.order_request_as(&credentials, "/order", body);
        (send(request, DEADLINE, PAGE_BODY).await.is_ok(), late.was())
    };
    assert_eq!(post(clob.clock.uptime()).await, (false, true));
    assert_eq!(server.count("/order"), 0);
    assert_eq!(post(Duration::MAX).await, (true, false));
    assert_eq!(server.count("/order"), 1);
    let seen = server.seen().pop().unwrap();
    assert_eq!((seen.body, seen.headers["content-length"].as_str()), (b"{}".to_vec(), "2"));
}

/// The machine's own time.
struct Running(tokio::time::Instant);

impl domain::Clock for Running {
    fn now(&self) -> domain::Timestamp {
        domain::Timestamp::from_seconds(1_777_400_000)
    }

    fn uptime(&self) -> Duration {
        self.0.elapsed()
    }

    #[expect(clippy::disallowed_methods, reason = "this is the clock")]
    fn sleep(&self, duration: Duration) -> domain::clock::Sleep {
        Box::pin(tokio::time::sleep(duration))
    }
}

/// Why a refusal came is asked for as long as there is time; the refusals themselves are told in time.
#[tokio::test]
async fn a_venue_that_explains_nothing_costs_no_reply() {
    let server = server(|request| match request.path() {
        "/balance-allowance" | "/balance-allowance/update" => Action::Hang,
        _ => {
            let text = "not enough balance / allowance";
            let one = serde_json::json!({ "errorMsg": text, "orderID": "", "status": "", "success": true });
            reply(200, serde_json::json!([one.clone(), one.clone(), one.clone(), one]).to_string())
        }
    })
    .await;
    let clob = clob_of(&server, std::sync::Arc::new(Running(tokio::time::Instant::now())));
    let mut orders = Vec::new();
    for number in 1..=4 {
        let token = domain::TokenId([number; 32]);
        let plan = domain::OrderPlan { token, side: domain::Side::Sell, ..plan(1, u64::from(number)) };
        orders.push(clob.prepare(&[plan]).await.pop().unwrap().unwrap());
    }
    let deadline = Duration::from_secs(1);
    let owner = account(1);
    let post = clob.post_batch(&owner, Lane::Exits, &orders, PostTimes::whenever(deadline));
    let replies = engine::deadline::within(clob.clock.as_ref(), deadline, post).await.unwrap();
    assert!(replies.iter().all(|reply| matches!(reply, PostReply::Rejected { .. })), "{replies:?}");
}

/// Hostile sizes, depths and numbers.
#[test]
fn the_corpus_of_versions_is_survived() {
    let read = |bytes: &[u8]| read_version(&Answer::of(200, bytes)).ok();
    crate::hostile::survives(r#"{"version":2}"#, read, |version| *version >= 0);
}

#[tokio::test]
async fn a_mode_with_a_time_admits_nobody_meanwhile() {
    let server = server(|_| Action::Reply(425, "retry-after: 90\r\n", String::new())).await;
    let clob = clob(&server).paced(VenueLimits::default());
    let order = prepared(&clob).await;
    let ask = [engine::ports::venue::Ask::of(OwnerId(1), &account(1), Lane::Exits)];
    assert_eq!(clob.admit(&ask, Duration::ZERO).await, [engine::ports::venue::Admission::Now]);
    let answer = clob.post(&account(1), &order, PostTimes::whenever(DEADLINE)).await;
    assert!(matches!(answer, PostReply::NotAccepted { retry_after: Some(_), .. }), "{answer:?}");
    let wait = engine::ports::venue::Admission::Later(Duration::from_secs(90));
    assert_eq!(clob.admit(&ask, Duration::ZERO).await, [wait]);
    // Nor those that were admitted before, one by one or together.
    let several = [prepared(&clob).await, prepared(&clob).await];
    let mut replies =
        clob.post_batch(&account(1), Lane::Exits, &several, PostTimes::whenever(DEADLINE)).await;
    replies.push(clob.post(&account(1), &order, PostTimes::whenever(DEADLINE)).await);
    for reply in replies {
        assert!(matches!(reply, PostReply::NotAccepted { retry_after: Some(_), .. }), "{reply:?}");
    }
    assert_eq!((server.count("/orders"), server.count("/order")), (0, 1));
}

#[tokio::test]
async fn the_venue_s_own_count_of_tokens_is_believed() {
    let server = server(|_| {
        let headers =
            "Poly-RateLimit-Remaining: 0\r\nPoly-RateLimit-Reset: 1777400001\r\nPoly-RateLimit-Tier: Standard\r\n";
        Action::Reply(400, headers, r#"{"error":"invalid nonce"}"#.to_owned())
    })
    .await;
    let clob = clob(&server).paced(VenueLimits::default());
    let order = prepared(&clob).await;
    clob.post(&account(1), &order, PostTimes::whenever(DEADLINE)).await;
    let ask = |number| engine::ports::venue::Ask::of(OwnerId(1), &account(number), Lane::Exits);
    let answers = clob.admit(&[ask(1), ask(2)], Duration::ZERO).await;
    assert!(matches!(answers[0], engine::ports::venue::Admission::Later(_)), "{answers:?}");
    assert_eq!(answers[1], engine::ports::venue::Admission::Now);
}
