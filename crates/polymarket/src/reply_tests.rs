//! The strict rule field by field, batches, and hostile bodies. The texts are tested beside their table.

use proptest::prelude::*;

use super::*;

const ID: OrderId = OrderId([0xab; 32]);

fn answer(status: u16, body: &str) -> Answer {
    Answer::of(status, body)
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

    // So are amounts that nobody has.
    let absurd = taken(|body| {
        body["makingAmount"] = "9000000000000".into();
        body["takingAmount"] = "10000000000.000001".into();
    });
    let PostReply::Accepted(acceptance) = absurd else { panic!("not accepted") };
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
    assert!(matches!(reply, PostReply::Rejected { reason: RejectReason::Money, .. }));
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

/// A batch of two and what its answer says of each.
fn batch(status: u16, body: &str) -> Vec<PostReply> {
    classify_batch(&answer(status, body), &[ID, OTHER])
}

const OTHER: OrderId = OrderId([0xcd; 32]);

fn entries(change: impl FnOnce(&mut serde_json::Value)) -> Vec<PostReply> {
    let taken = |id: OrderId| serde_json::json!({"success": true, "orderID": id.to_string(), "status": "matched", "errorMsg": ""});
    let mut body = serde_json::json!([taken(ID), taken(OTHER)]);
    change(&mut body);
    batch(200, &body.to_string())
}

#[test]
fn a_batch_is_read_order_by_order() {
    assert!(entries(|_| {}).iter().all(|reply| matches!(reply, PostReply::Accepted(_))));
    let replies = entries(|body| {
        body[0] = serde_json::json!({
            "errorMsg": "post-only mode: only post-only orders and cancels are allowed", "orderID": "",
            "takingAmount": "", "makingAmount": "", "status": "", "success": true,
        });
    });
    assert!(matches!(replies[0], PostReply::NotAccepted { .. }), "{replies:?}");
    assert!(matches!(replies[1], PostReply::Accepted(_)), "{replies:?}");
    let replies = entries(|body| body[1]["errorMsg"] = "not enough balance / allowance".into());
    assert!(matches!(replies[1], PostReply::Rejected { reason: RejectReason::Money, .. }), "{replies:?}");
}

#[test]
fn a_batch_whose_entries_do_not_fit_leaves_all_unknown() {
    let shapes: [fn(&mut serde_json::Value); 4] = [
        |body| {
            body.as_array_mut().unwrap().pop();
        },
        |body| body.as_array_mut().unwrap().reverse(),
        |body| {
            // Refused, but which of them?
            body[0] = serde_json::json!({"orderID": OTHER.to_string(), "errorMsg": "invalid signature"});
        },
        |body| *body = serde_json::json!({"success": true, "orderID": ID.to_string(), "status": "matched"}),
    ];
    for change in shapes {
        let replies = entries(change);
        assert!(replies.len() == 2 && replies.iter().all(is_unknown), "{replies:?}");
    }
    for body in ["", "[]", "null", "[null,null]", "[{},{}]", "{\"error\":\"x\"}"] {
        for status in [200, 400, 500, 502] {
            let replies = batch(status, body);
            assert!(replies.len() == 2 && replies.iter().all(is_unknown), "{status} {body}: {replies:?}");
        }
    }
}

/// The venue names no order in a refusal: entries that could have changed places count only if that makes no
/// difference to what is done next.
#[test]
fn refusals_that_name_no_order_count_only_if_all_of_them_say_the_same() {
    let id = OTHER.to_string();
    let (killed, poor) = ("no orders found to match with FAK order", "not enough balance / allowance");
    let both = |first: &str, second: &str| {
        let entry =
            |text: &str| serde_json::json!({"success": true, "orderID": "", "status": "", "errorMsg": text});
        entries(|body| *body = serde_json::json!([entry(first), entry(second)]))
    };
    let over = both(killed, poor);
    assert!(matches!(over[0], PostReply::Killed { .. }), "{over:?}");
    assert!(matches!(over[1], PostReply::Rejected { reason: RejectReason::Money, .. }), "{over:?}");
    let mode = "post-only mode: only post-only orders and cancels are allowed";
    assert!(both(mode, mode).iter().all(|reply| matches!(reply, PostReply::NotAccepted { .. })));
    for (first, second) in
        [(killed, "context canceled"), (killed, ""), (mode, poor), ("order timed out", poor)]
    {
        for (first, second) in [(first, second), (second, first)] {
            let replies = both(first, second);
            assert!(replies.iter().all(is_unknown), "{first}, {second}: {replies:?}");
        }
    }
    // A text may name its order.
    let duplicated = format!("order {id} is invalid. Duplicated.");
    let named = both(killed, &duplicated);
    assert!(matches!(named[0], PostReply::Killed { .. }) && named[1] == PostReply::Duplicated, "{named:?}");
    let misplaced = both(&duplicated, killed);
    assert!(misplaced.iter().all(is_unknown), "{misplaced:?}");
}

/// What may be about one order alone says nothing about the others.
#[test]
fn a_refused_batch_is_refused_only_for_reasons_of_the_request() {
    for (status, text, refused) in [
        (401, "Unauthorized/Invalid api key", true),
        (400, "Too many orders in payload: 16, max allowed: 15", true),
        (400, "'0xf39f' address banned", true),
        (400, "not enough balance / allowance", false),
        (400, "order 0xab is invalid. Duplicated.", false),
        (400, "no orders found to match with FAK order", false),
    ] {
        let replies = batch(status, &serde_json::json!({ "error": text }).to_string());
        assert_eq!(
            replies.iter().all(|reply| matches!(reply, PostReply::Rejected { .. })),
            refused,
            "{text}"
        );
        assert_eq!(replies.iter().all(is_unknown), !refused, "{text}");
    }
    for status in [425, 429] {
        assert!(batch(status, "<html>").iter().all(|reply| matches!(reply, PostReply::NotAccepted { .. })));
    }
}

#[test]
fn a_long_text_is_cut() {
    let PostReply::Unknown { text, .. } = error(400, &"x".repeat(100_000)) else { panic!("known") };
    assert!(text.len() < 1_000);
}

proptest! {
    #[test]
    fn any_answer_is_classified(status in 100_u16..600, body in prop::collection::vec(any::<u8>(), 0..300)) {
        let _ = classify(&Answer::of(status, body), ID);
    }

    #[test]
    fn any_answer_to_a_batch_is_classified(
        status in 100_u16..600, body in prop::collection::vec(any::<u8>(), 0..300)
    ) {
        prop_assert_eq!(classify_batch(&Answer::of(status, body), &[ID, OTHER]).len(), 2);
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

/// Hostile sizes, depths and numbers.
#[test]
fn the_corpus_is_survived() {
    let id = ID;
    let one = format!(
        r#"{{"success":true,"orderID":"{id}","status":"matched","makingAmount":"5","takingAmount":"10.5","transactionsHashes":["0x01"],"tradeIDs":["t-1"],"errorMsg":""}}"#
    );
    let known = |reply: PostReply| (!is_unknown(&reply)).then_some(reply);
    // Taken is only what names the order; amounts that cannot be are as good as untold.
    let sound = |reply: &PostReply| match reply {
        PostReply::Accepted(taken) => crate::hostile::amounts(taken.making.into_iter().chain(taken.taking)),
        PostReply::NotAccepted { retry_after, .. } => {
            retry_after.is_none_or(|wait| wait <= crate::limits::MAX_RETRY_AFTER)
        }
        _ => true,
    };
    crate::hostile::survives(&one, |bytes| known(classify(&Answer::of(200, bytes), ID)), sound);
    let refused = r#"{"error":"invalid signature","code":"x","retry_after_seconds":7}"#;
    let read = |bytes: &[u8]| known(classify(&Answer::of(400, bytes), ID));
    crate::hostile::survives(refused, read, |reply| !matches!(reply, PostReply::Accepted(_)));
    let closed = r#"{"error":"post-only mode","code":"post_only_mode","retry_after_seconds":7}"#;
    crate::hostile::survives(closed, |bytes| known(classify(&Answer::of(503, bytes), ID)), sound);
    let several = |bytes: &[u8]| {
        let replies = classify_batch(&Answer::of(200, bytes), &[ID]);
        replies.into_iter().map(known).collect::<Option<Vec<_>>>()
    };
    crate::hostile::survives(&format!("[{one}]"), several, |replies| {
        replies.len() == 1 && replies.iter().all(sound)
    });
}
