//! Transactions of EOAs against answers of nodes, good and hostile.

use std::sync::Mutex;

use async_trait::async_trait;
use domain::{Address, ConditionId, KeyRef, Redemption, WalletKind, ids::AccountId};
use engine::ports::venue::{Signature, SignerError};

use super::*;

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

/// A node that answers as told, by method; what was sent to it.
struct Node {
    answers: Vec<(&'static str, Result<Value, VenueError>)>,
    sent: Mutex<Vec<Value>>,
    together: Mutex<Vec<(String, Value)>>,
}

#[async_trait]
impl JsonRpc for Node {
    async fn ask(&self, method: &str, params: Value) -> Result<Value, VenueError> {
        if method == SEND {
            self.sent.lock().unwrap().push(params);
        }
        let told = self.answers.iter().find(|(name, _)| *name == method);
        told.unwrap_or_else(|| panic!("nobody should ask {method}")).1.clone()
    }

    async fn ask_one(&self, calls: &[(&str, Value)]) -> Result<Vec<Value>, VenueError> {
        self.together
            .lock()
            .unwrap()
            .extend(calls.iter().map(|(name, asked)| ((*name).to_owned(), asked.clone())));
        let mut results = Vec::new();
        for (method, params) in calls {
            results.push(self.ask(method, params.clone()).await?);
        }
        Ok(results)
    }
}

fn account() -> TradingAccount {
    let wallet = Address([3; 20]);
    let (id, key) = (AccountId(1), KeyRef("k".to_owned()));
    TradingAccount { id, wallet, signer: wallet, kind: WalletKind::Eoa, key }
}

fn redeem() -> WalletAction {
    WalletAction::Redeem(Redemption::Ordinary(ConditionId::from_slice(&[5; 32]).unwrap()))
}

fn eoa(answers: &[(&'static str, Result<Value, VenueError>)]) -> (Eoa, Arc<Node>) {
    let node =
        Arc::new(Node { answers: answers.to_vec(), sent: Mutex::default(), together: Mutex::default() });
    (Eoa::new(Arc::clone(&node) as _, Arc::new(Stamp), Chain::Polygon), node)
}

fn good() -> Vec<(&'static str, Result<Value, VenueError>)> {
    vec![
        ("eth_getTransactionCount", Ok(json!("0x4"))),
        ("eth_gasPrice", Ok(json!("0x6fc23ac00"))),
        ("eth_maxPriorityFeePerGas", Ok(json!("0x5d21dba00"))),
        ("eth_estimateGas", Ok(json!("0x30d40"))),
    ]
}

fn unavailable(reason: &str) -> Result<Value, VenueError> {
    Err(VenueError::Unavailable { what: SEND.to_owned(), reason: reason.to_owned() })
}

#[tokio::test]
async fn a_transaction_is_signed_for_the_next_nonce_and_outbid_for_the_same() {
    let (eoa, _) = eoa(&good());
    let made = eoa.prepare(&account(), redeem()).await.unwrap();
    let fees = Fees { most: 60_000_000_000, tip: 25_000_000_000 };
    assert_eq!((made.nonce, made.fees, made.expires_at), (4, Some(fees), None));
    assert_eq!(made.tx.unwrap().0, alloy_primitives::keccak256(&made.body).0);
    let more = eoa.outbid(&account(), redeem(), &made).await.unwrap();
    let fees = Fees { most: 67_500_000_000, tip: 28_125_000_000 };
    assert_eq!((more.nonce, more.fees), (4, Some(fees)));
    assert_ne!(more.tx, made.tx);
}

#[tokio::test]
async fn what_would_be_undone_is_not_signed() {
    let mut answers = good();
    answers.retain(|(name, _)| *name != "eth_estimateGas");
    let reason = "execution reverted: caller is not token owner (3)".to_owned();
    answers
        .push(("eth_estimateGas", Err(VenueError::Refused { what: "eth_estimateGas".to_owned(), reason })));
    let made = eoa(&answers).0.prepare(&account(), redeem()).await;
    assert!(matches!(made, Err(VenueError::Refused { .. })), "{made:?}");
}

#[tokio::test]
async fn numbers_that_are_none_are_errors() {
    for method in good().into_iter().map(|(name, _)| name) {
        for value in
            [json!(null), json!("4"), json!("0x"), json!("0xzz"), json!("0x1ffffffffffffffff"), json!([])]
        {
            let mut answers = good();
            answers.retain(|(name, _)| *name != method);
            answers.push((method, Ok(value.clone())));
            let made = eoa(&answers).0.prepare(&account(), redeem()).await;
            assert!(matches!(made, Err(VenueError::Malformed { .. })), "{method} {value}: {made:?}");
        }
    }
}

/// Source of the texts: go-ethereum (core/txpool/errors.go, core/error.go).
#[tokio::test]
async fn answers_to_what_is_sent() {
    let made = eoa(&good()).0.prepare(&account(), redeem()).await.unwrap();
    let send = async |answer| {
        let (eoa, node) = eoa(&[(SEND, answer)]);
        let taken = eoa.send(&made).await;
        let sent = node.sent.lock().unwrap().clone();
        assert_eq!(sent, [json!([format!("0x{}", hex::encode(&made.body))])]);
        taken
    };
    assert_eq!(send(Ok(json!(made.tx))).await, Ok(Taken::Yes(None)));
    assert_eq!(send(unavailable("already known (-32000)")).await, Ok(Taken::Yes(None)));
    for text in [
        "nonce too low: next nonce 5, tx nonce 4 (-32000)",
        "replacement transaction underpriced (-32000)",
        "transaction underpriced (-32000)",
        "max fee per gas less than block base fee (-32000)",
    ] {
        assert!(matches!(send(unavailable(text)).await, Ok(Taken::NotNow(_))), "{text}");
    }
    let poor = send(unavailable("insufficient funds for gas * price + value (-32000)")).await;
    assert!(
        matches!(&poor, Err(VenueError::Refused { reason, .. }) if reason.contains("send POL")),
        "{poor:?}"
    );
    for text in ["internal error (-32603)", "bad gateway"] {
        assert!(matches!(send(unavailable(text)).await, Err(VenueError::Unavailable { .. })), "{text}");
    }
}

#[tokio::test]
async fn only_final_blocks_end_a_transaction() {
    let made = eoa(&good()).0.prepare(&account(), redeem()).await.unwrap();
    let outcome = async |used: &str, receipt: Value| {
        let answers = [
            ("eth_getTransactionCount", Ok(json!(used))),
            ("eth_getTransactionReceipt", Ok(receipt)),
            ("eth_getBlockByNumber", Ok(json!({ "number": "0x64" }))),
        ];
        let (eoa, node) = eoa(&answers);
        let outcome = eoa.outcome(&account(), &made).await;
        // Nonce and receipt are of one provider and of one block.
        let wallet = account().wallet;
        let together = [(NONCE.to_owned(), json!([wallet, "0x64"])), (RECEIPT.to_owned(), json!([made.tx]))];
        assert_eq!(*node.together.lock().unwrap(), together);
        outcome
    };
    let mined = |block: &str, status: &str| json!({ "blockNumber": block, "status": status });
    assert_eq!(outcome("0x4", json!(null)).await, Ok(TransactionOutcome::Unseen));
    assert_eq!(outcome("0x5", json!(null)).await, Ok(TransactionOutcome::Replaced));
    assert_eq!(outcome("0x4", mined("0x65", "0x1")).await, Ok(TransactionOutcome::Underway));
    assert_eq!(
        outcome("0x5", mined("0x64", "0x1")).await,
        Ok(TransactionOutcome::Confirmed(made.tx.unwrap()))
    );
    assert!(matches!(outcome("0x5", mined("0x64", "0x0")).await, Ok(TransactionOutcome::Failed(_))));
    for receipt in [json!({}), json!(7), mined("100", "0x1"), mined("0x64", "0x2"), mined("0x64", "")] {
        let answer = outcome("0x5", receipt.clone()).await;
        assert!(matches!(answer, Err(VenueError::Malformed { .. })), "{receipt}: {answer:?}");
    }
}

/// Hostile sizes, depths and numbers.
#[test]
fn the_corpus_is_survived() {
    let sample = r#"{"blockNumber":"0x64","status":"0x1"}"#;
    let hash = TxHash([1; 32]);
    let outcome = |bytes: &[u8]| {
        let receipt = serde_json::from_slice::<Value>(bytes).ok()?;
        Some((judged(hash, &receipt, 100).ok()?, receipt["status"].as_str().map(str::to_owned)))
    };
    // Nothing but this word is a success.
    crate::hostile::survives(sample, outcome, |(outcome, status)| {
        *outcome != TransactionOutcome::Confirmed(hash) || status.as_deref() == Some("0x1")
    });
    let number = |bytes: &[u8]| quantity(&serde_json::from_slice::<Value>(bytes).ok()?, "x").ok();
    crate::hostile::survives(r#""0x64""#, number, |number| *number == 100);
}
