//! Every text of the documentation, the strict rule field by field, and hostile bodies.

use proptest::prelude::*;

use super::*;

const ID: OrderId = OrderId([0xab; 32]);

fn answer(status: u16, body: &str) -> Answer {
    Answer { status, retry_after: None, body: body.as_bytes().to_vec() }
}

fn error(status: u16, text: &str) -> PostReply {
    classify(&answer(status, &serde_json::json!({ "error": text }).to_string()), ID)
}

fn taken(change: impl FnOnce(&mut serde_json::Value)) -> PostReply {
    let mut body = serde_json::json!({
        "success": true, "orderID": ID.to_string(), "status": "matched", "makingAmount": "5",
        "takingAmount": "10.5", "transactionsHashes": ["0x01"], "tradeIDs": ["t-1"], "errorMsg": "",
    });
    change(&mut body);
    classify(&answer(200, &body.to_string()), ID)
}

fn is_unknown(reply: &PostReply) -> bool {
    matches!(reply, PostReply::Unknown { .. })
}

#[test]
fn a_post_is_taken_only_if_every_field_says_so() {
    let PostReply::Accepted(acceptance) = taken(|_| {}) else { panic!("not accepted") };
    assert_eq!(acceptance.status, AcceptedStatus::Matched);
    assert_eq!((acceptance.making, acceptance.taking), (Some(5_000_000), Some(10_500_000)));
    assert_eq!(acceptance.trade_ids, ["t-1"]);

    for status in ["live", "delayed"] {
        assert!(matches!(taken(|body| body["status"] = status.into()), PostReply::Accepted(_)));
    }
    // Empty or missing amounts, null error text, upper-case id: still taken.
    let lenient = taken(|body| {
        body["makingAmount"] = "".into();
        body["takingAmount"] = serde_json::Value::Null;
        body["errorMsg"] = serde_json::Value::Null;
        body["orderID"] = format!("0x{}", "AB".repeat(32)).into();
        body["tradeIDs"] = serde_json::Value::Null;
    });
    let PostReply::Accepted(acceptance) = lenient else { panic!("not accepted") };
    assert_eq!((acceptance.making, acceptance.taking), (None, None));

    let spoil: [fn(&mut serde_json::Value); 7] = [
        |body| body["success"] = false.into(),
        |body| body["success"] = serde_json::Value::Null,
        |body| body["orderID"] = "".into(),
        |body| body["orderID"] = OrderId([1; 32]).to_string().into(),
        |body| body["status"] = "".into(),
        |body| body["status"] = "unmatched".into(),
        |body| body["errorMsg"] = "something new".into(),
    ];
    for change in spoil {
        assert!(is_unknown(&taken(change)));
    }
}

#[test]
fn a_refusal_inside_a_200_is_a_refusal() {
    let reply = taken(|body| {
        body["errorMsg"] = "post-only mode: only post-only orders and cancels are allowed".into();
        body["orderID"] = "".into();
        body["status"] = "".into();
    });
    assert!(matches!(reply, PostReply::NotAccepted { .. }));
    let reply =
        classify(&answer(200, r#"{"success":false,"orderID":null,"errorMsg":"Insufficient balance"}"#), ID);
    assert!(matches!(reply, PostReply::Rejected { reason: RejectReason::Balance, .. }));
}

#[test]
fn documented_refusals_are_definitive() {
    use RejectReason::{Account, Authentication, Balance, Market, Minimum, Other, Payload, Tick};
    for (status, text, reason) in [
        (401, "Unauthorized/Invalid api key", Authentication),
        (401, "Invalid L1 Request headers", Authentication),
        (400, "Invalid order payload", Payload),
        (400, "the order owner has to be the owner of the API KEY", Authentication),
        (400, "the order signer address has to be the address of the API KEY", Authentication),
        (400, "'0xf39f' address banned", Account),
        (400, "'0xf39f' address in closed only mode", Account),
        (400, "Too many orders in payload: 16, max allowed: 15", Payload),
        (400, "order_version_mismatch", Authentication),
        (400, "invalid order version, please use the latest clob-client", Authentication),
        (400, "maker address not allowed, please use the deposit wallet flow", Account),
        (400, "order 0xab is invalid. Price (0.561) breaks minimum tick size rule: 0.01", Tick),
        (400, "order 0xab is invalid. Size (1) lower than the minimum: 5", Minimum),
        (400, "order 0xab crosses the book", Other),
        (400, "invalid post-only order: order crosses book", Other),
        (400, "not enough balance / allowance: the balance is not enough -> balance: 0", Balance),
        (400, "invalid nonce", Payload),
        (400, "invalid expiration", Payload),
        (400, "order canceled in the CTF exchange contract", Other),
        (400, "the market is not yet ready to process new orders", Market),
        (400, "invalid signature", Authentication),
        (404, "No orderbook exists for the requested token id", Market),
        (404, "market not found", Market),
    ] {
        let reply = error(status, text);
        assert!(
            matches!(&reply, PostReply::Rejected { reason: found, text: kept } if *found == reason && kept == text),
            "{text}: {reply:?}"
        );
    }
    for text in [
        "order couldn't be fully filled. FOK orders are fully filled or killed.",
        "no orders found to match with FAK order. FAK orders are partially filled or killed if no match is found.",
    ] {
        assert!(matches!(error(400, text), PostReply::Killed { .. }), "{text}");
    }
    assert_eq!(error(400, "order 0xab is invalid. Duplicated."), PostReply::Duplicated);
}

#[test]
fn restricted_modes_take_nothing() {
    for text in [
        "Trading is currently disabled. Check polymarket.com for updates",
        "Trading is currently cancel-only. New orders are not accepted, but cancels are allowed.",
        "post-only mode: only post-only orders and cancels are allowed",
    ] {
        assert!(matches!(error(503, text), PostReply::NotAccepted { .. }), "{text}");
    }
    let body = r#"{"error":"maintenance","code":"post_only_mode","retry_after_seconds":90}"#;
    let expected = Some(Duration::from_secs(90));
    assert!(
        matches!(classify(&answer(503, body), ID), PostReply::NotAccepted { retry_after, .. } if retry_after == expected)
    );
    // Restart and rate limit, whatever the body is; the header goes before the body.
    for status in [425, 429] {
        let header = Answer { retry_after: Some(Duration::from_secs(3)), ..answer(status, "<html>") };
        let expected = Some(Duration::from_secs(3));
        assert!(
            matches!(classify(&header, ID), PostReply::NotAccepted { retry_after, .. } if retry_after == expected)
        );
    }
}

#[test]
fn everything_else_is_unknown() {
    for (status, text) in [
        (500, "order timed out"),
        (500, "could not insert order"),
        (500, "there are no matching orders"),
        (500, "not enough balance / allowance"),
        (502, "invalid signature"),
        (504, "Trading is currently disabled"),
        (400, "context canceled"),
        (400, "order 0xab is invalid. Duplicated. context canceled"),
        (400, "order match delayed due to market conditions"),
        (400, "a new text"),
        (403, "Forbidden"),
        (503, "upstream connect error"),
        (302, "invalid signature"),
        (101, "invalid signature"),
    ] {
        assert!(is_unknown(&error(status, text)), "{status} {text}");
    }
    for body in ["", "null", "[]", "{}", "\"ok\"", "{\"success\":1}", "\u{0}", "{\"error\":{\"a\":1}}"] {
        for status in [200, 201, 400, 404, 503] {
            assert!(is_unknown(&classify(&answer(status, body), ID)), "{status} {body}");
        }
    }
    let deep = format!("{}{}", "[".repeat(100_000), "]".repeat(100_000));
    assert!(is_unknown(&classify(&answer(200, &deep), ID)));
}

#[test]
fn a_long_text_is_cut() {
    let PostReply::Unknown { text } = error(400, &"x".repeat(100_000)) else { panic!("known") };
    assert!(text.len() < 1_000);
}

proptest! {
    #[test]
    fn any_answer_is_classified(status in 100_u16..600, body in prop::collection::vec(any::<u8>(), 0..300)) {
        let _ = classify(&Answer { status, retry_after: None, body }, ID);
    }

    /// Whatever else a body holds, without our id it is never an acceptance.
    #[test]
    fn nothing_foreign_is_accepted(
        status in prop::sample::select(vec![200_u16, 201, 400, 500]),
        id in "0x[0-9a-f]{0,64}",
        state in "live|matched|delayed|[a-z]{0,8}",
        success in any::<bool>(),
        error in "[ -~]{0,40}",
    ) {
        prop_assume!(id != ID.to_string());
        let body = serde_json::json!({"success": success, "orderID": id, "status": state, "errorMsg": error});
        let reply = classify(&answer(status, &body.to_string()), ID);
        prop_assert!(!matches!(reply, PostReply::Accepted(_)));
    }
}
