//! The relayer and transactions of EOAs over real sockets, signed as an owner would.

use std::time::Duration;

use alloy_primitives::{B256, U256, keccak256};
use alloy_sol_types::{SolCall, SolStruct, eip712_domain, sol};
use domain::Address;
use secp256k1::{Message, SECP256K1, SecretKey, ecdsa::RecoveryId};
use serde_json::{Value, json};
use simulator::{
    contracts::{
        COLLATERAL, COLLATERAL_ADAPTER, COLLATERAL_ONRAMP, CONDITIONAL_TOKENS, DEPOSIT_WALLET_FACTORY,
        PUSD_SPENDERS, SHARE_OPERATORS, USDC_E, abi,
    },
    world::{ledger::Asset, wallets::deposit_wallet_of},
};

use super::harness::{START, Venue, json_reply, market_v2};

sol! {
    struct Call {
        address target;
        uint256 value;
        bytes data;
    }
    struct Batch {
        address wallet;
        uint256 nonce;
        uint256 deadline;
        Call[] calls;
    }
}

/// An owner with a key at the relayer.
struct Owner {
    secret: SecretKey,
    eoa: Address,
    wallet: Address,
}

impl Owner {
    fn new(venue: &Venue) -> Self {
        let secret = SecretKey::from_byte_array([7; 32]).unwrap();
        let public = secret.public_key(SECP256K1).serialize_uncompressed();
        let eoa = Address::from_slice(&keccak256(&public[1..])[12..]).unwrap();
        venue.running.world().with(|world, _| world.add_relayer_key("key".to_owned(), eoa));
        Self { secret, eoa, wallet: deposit_wallet_of(eoa) }
    }

    fn sign(&self, digest: B256) -> String {
        let signature = SECP256K1.sign_ecdsa_recoverable(Message::from_digest(digest.0), &self.secret);
        let (id, compact) = signature.serialize_compact();
        format!("0x{}{}", hex::encode(compact), if id == RecoveryId::One { "1c" } else { "1b" })
    }

    /// The request of a batch of calls, with this nonce.
    fn batch(&self, nonce: u64, calls: &[(Address, Vec<u8>)]) -> Value {
        let deadline = START.seconds().unsigned_abs() + 600;
        let batch = Batch {
            wallet: self.wallet.0.into(),
            nonce: U256::from(nonce),
            deadline: U256::from(deadline),
            calls: calls
                .iter()
                .map(|(to, data)| Call { target: to.0.into(), value: U256::ZERO, data: data.clone().into() })
                .collect(),
        };
        let domain = eip712_domain! {
            name: "DepositWallet", version: "1", chain_id: 137, verifying_contract: self.wallet.0.into(),
        };
        let listed: Vec<Value> = calls
            .iter()
            .map(|(to, data)| json!({ "target": to, "value": "0", "data": format!("0x{}", hex::encode(data)) }))
            .collect();
        json!({
            "type": "WALLET", "from": self.eoa, "to": DEPOSIT_WALLET_FACTORY, "nonce": nonce.to_string(),
            "signature": self.sign(batch.eip712_signing_hash(&domain)), "metadata": "",
            "depositWalletParams": {
                "depositWallet": self.wallet, "deadline": deadline.to_string(), "calls": listed,
            },
        })
    }

    async fn submit(&self, venue: &Venue, body: &Value) -> (u16, Value) {
        let request = venue.http.post(format!("{}/submit", venue.running.relayer_url));
        let request = request
            .header("RELAYER_API_KEY", "key")
            .header("RELAYER_API_KEY_ADDRESS", self.eoa.to_string())
            .body(body.to_string());
        let (status, reply) = json_reply(request).await;
        (status.as_u16(), reply)
    }

    /// Submits a batch and mines it.
    async fn done(&self, venue: &Venue, nonce: u64, calls: &[(Address, Vec<u8>)]) -> Value {
        let (status, reply) = self.submit(venue, &self.batch(nonce, calls)).await;
        assert_eq!(status, 200, "{reply}");
        venue.mine();
        state(venue, &reply).await
    }

    async fn deployed(venue: &Venue) -> Self {
        let owner = Self::new(venue);
        let create = json!({ "type": "WALLET-CREATE", "from": owner.eoa, "to": DEPOSIT_WALLET_FACTORY, "metadata": "" });
        let (status, reply) = owner.submit(venue, &create).await;
        assert_eq!((status, &reply["state"]), (200, &json!("STATE_NEW")), "{reply}");
        assert_eq!(state(venue, &reply).await["state"], "STATE_EXECUTED");
        venue.mine();
        assert_eq!(state(venue, &reply).await["state"], "STATE_MINED");
        owner
    }
}

async fn state(venue: &Venue, submitted: &Value) -> Value {
    let id = submitted["transactionID"].as_str().unwrap();
    venue.get(format!("{}/v1/account/transactions/{id}", venue.running.relayer_url)).await.1
}

fn every_approval() -> Vec<(Address, Vec<u8>)> {
    let money = PUSD_SPENDERS.iter().map(|spender| {
        let call = abi::Erc20::approveCall { spender: spender.0.into(), amount: U256::MAX };
        (COLLATERAL, call.abi_encode())
    });
    let shares = SHARE_OPERATORS.iter().map(|(token, operator)| {
        let call = abi::Erc1155::setApprovalForAllCall { operator: operator.0.into(), approved: true };
        (*token, call.abi_encode())
    });
    money.chain(shares).collect()
}

fn condition_word() -> B256 {
    B256::from_slice(market_v2(false).condition.as_slice())
}

fn split(amount: i64) -> (Address, Vec<u8>) {
    let call = abi::Adapter::splitPositionCall {
        collateral: COLLATERAL.0.into(),
        parent: B256::ZERO,
        conditionId: condition_word(),
        partition: vec![U256::from(1), U256::from(2)],
        amount: U256::from(amount),
    };
    (COLLATERAL_ADAPTER, call.abi_encode())
}

fn merge(amount: i64) -> (Address, Vec<u8>) {
    let call = abi::Adapter::mergePositionsCall {
        collateral: COLLATERAL.0.into(),
        parent: B256::ZERO,
        conditionId: condition_word(),
        partition: vec![U256::from(1), U256::from(2)],
        amount: U256::from(amount),
    };
    (COLLATERAL_ADAPTER, call.abi_encode())
}

fn redeem() -> (Address, Vec<u8>) {
    let call = abi::Adapter::redeemPositionsCall {
        collateral: COLLATERAL.0.into(),
        parent: B256::ZERO,
        conditionId: condition_word(),
        indexSets: vec![U256::from(1), U256::from(2)],
    };
    (COLLATERAL_ADAPTER, call.abi_encode())
}

#[tokio::test]
async fn a_deposit_wallet_is_made_approved_funded_used_and_paid_out() {
    let venue = Venue::manual().await;
    let owner = Owner::deployed(&venue).await;
    let relayer = &venue.running.relayer_url;
    let deployed = venue.get(format!("{relayer}/deployed?address={}&type=WALLET", owner.wallet)).await.1;
    assert_eq!(deployed, json!({ "deployed": true }));
    let approvals = format!("{}/v2/approvals?user={}", venue.running.data_url, owner.wallet);
    let given = async || {
        venue.clock.advance(Duration::from_secs(2));
        let (_, reply) = venue.get(approvals.clone()).await;
        let all = reply["data"]["contracts"].as_array().unwrap().clone();
        (all.iter().filter(|one| one["approved"] == true).count(), all.len())
    };
    assert_eq!(given().await, (0, 17));
    assert_eq!(owner.done(&venue, 0, &every_approval()).await["state"], "STATE_MINED");
    assert_eq!(given().await, (17, 17));
    let allowed = venue.running.world().with(|world, _| world.seen_approval(owner.wallet));
    assert!(allowed, "the venue takes orders of it now");

    // 100 USDC.e become pUSD, 40 of them shares of both outcomes, 10 of those pUSD again.
    venue.running.world().with(|world, _| world.credit(owner.wallet, Asset::Usdce, 100_000_000));
    venue.mine();
    let wrap = [
        (
            USDC_E,
            abi::Erc20::approveCall { spender: COLLATERAL_ONRAMP.0.into(), amount: U256::from(100_000_000) }
                .abi_encode(),
        ),
        (
            COLLATERAL_ONRAMP,
            abi::Onramp::wrapCall {
                asset: USDC_E.0.into(),
                to: owner.wallet.0.into(),
                amount: U256::from(100_000_000),
            }
            .abi_encode(),
        ),
        split(40_000_000),
        merge(10_000_000),
    ];
    let done = owner.done(&venue, 1, &wrap).await;
    assert_eq!((&done["state"], &done["error_msg"]), (&json!("STATE_MINED"), &Value::Null));
    let balance = |asset| venue.running.world().with(|world, _| world.balance(owner.wallet, asset));
    let [yes, no] = market_v2(false).tokens.map(Asset::Token);
    assert_eq!(
        [balance(Asset::Usdce), balance(Asset::Collateral), balance(yes), balance(no)],
        [0, 70_000_000, 30_000_000, 30_000_000]
    );
    venue.clock.advance(Duration::from_secs(2));
    let (_, activity) =
        venue.get(format!("{}/v2/activity?user={}", venue.running.data_url, owner.wallet)).await;
    let kinds: Vec<_> = activity["data"].as_array().unwrap().iter().map(|row| row["type"].clone()).collect();
    assert_eq!(kinds, ["MERGE", "SPLIT"]);

    // Not resolved: the simulation fails, the nonce stays.
    let failed = owner.done(&venue, 2, &[redeem()]).await;
    assert_eq!(failed["state"], "STATE_FAILED");
    assert!(failed["error_msg"].as_str().unwrap().contains("not received yet"), "{failed}");
    let body = json!({ "condition": market_v2(false).condition, "payouts": ["0", "1"], "redeem": "none" });
    assert_eq!(venue.control("/resolve", body).await.0, 200);
    assert_eq!(owner.done(&venue, 2, &[redeem()]).await["state"], "STATE_MINED");
    assert_eq!([balance(Asset::Collateral), balance(yes), balance(no)], [100_000_000, 0, 0]);
    let logs =
        venue.rpc("eth_getLogs", json!([{ "address": CONDITIONAL_TOKENS, "fromBlock": "latest" }])).await;
    assert!(
        logs["result"]
            .as_array()
            .unwrap()
            .iter()
            .any(|log| log["topics"][0].as_str().unwrap().starts_with("0x2682012a"))
    );
    assert_eq!(venue.running.world().with(|world, _| world.violations()), Vec::<String>::new());
    venue.running.shutdown().await;
}

#[tokio::test]
async fn nonces_keep_their_order_and_one_transaction_goes_at_a_time() {
    let venue = Venue::manual().await;
    let owner = Owner::deployed(&venue).await;
    let approve = &every_approval()[..1];
    let (_, early) = owner.submit(&venue, &owner.batch(1, approve)).await;
    assert_eq!(early["error"], "batch nonce 1 does not match on-chain nonce 0");
    let body = owner.batch(0, approve);
    assert_eq!(owner.submit(&venue, &body).await.0, 200);
    let (status, busy) = owner.submit(&venue, &body).await;
    assert_eq!(status, 400);
    assert!(busy["error"].as_str().unwrap().starts_with("wallet busy: active action"), "{busy}");
    venue.mine();
    let (_, late) = owner.submit(&venue, &body).await;
    assert_eq!(late["error"], "batch nonce 0 does not match on-chain nonce 1");

    let mut forged = owner.batch(1, approve);
    forged["depositWalletParams"]["calls"][0]["target"] = json!(USDC_E);
    assert_eq!(owner.submit(&venue, &forged).await.1["error"], "invalid signature");
    let stranger = venue.http.post(format!("{}/submit", venue.running.relayer_url)).body(body.to_string());
    assert_eq!(json_reply(stranger).await.0, 401);
    venue.clock.advance(Duration::from_secs(601));
    let (_, expired) = owner.submit(&venue, &owner.batch(1, approve)).await;
    assert_eq!(expired["error"], "batch deadline expired");
    venue.running.shutdown().await;
}

#[tokio::test]
async fn submissions_are_lost_slow_and_failing_on_command() {
    let venue = Venue::manual().await;
    let owner = Owner::deployed(&venue).await;
    let approve = &every_approval()[..1];
    let fault = async |body: Value| assert_eq!(venue.control("/faults", body).await.0, 200);
    fault(json!({ "target": "relayer", "kind": "accept_then_drop" })).await;
    let request = venue.http.post(format!("{}/submit", venue.running.relayer_url));
    let request = request
        .header("RELAYER_API_KEY", "key")
        .header("RELAYER_API_KEY_ADDRESS", owner.eoa.to_string())
        .body(owner.batch(0, approve).to_string());
    assert!(request.send().await.is_err());
    // It can be found by its nonce.
    let listed = venue
        .http
        .get(format!("{}/transactions", venue.running.relayer_url))
        .header("RELAYER_API_KEY", "key")
        .header("RELAYER_API_KEY_ADDRESS", owner.eoa.to_string());
    let (_, rows) = json_reply(listed).await;
    assert_eq!((&rows[0]["nonce"], &rows[0]["state"]), (&json!("0"), &json!("STATE_EXECUTED")));
    venue.mine();

    fault(json!({ "target": "relayer", "kind": "slow_transaction", "depth": 2 })).await;
    let (_, slow) = owner.submit(&venue, &owner.batch(1, approve)).await;
    for expected in ["STATE_EXECUTED", "STATE_EXECUTED", "STATE_MINED"] {
        venue.mine();
        assert_eq!(state(&venue, &slow).await["state"], expected);
    }
    for _ in 0..3 {
        venue.mine();
    }
    assert_eq!(state(&venue, &slow).await["state"], "STATE_CONFIRMED");
    fault(json!({ "target": "relayer", "kind": "failed" })).await;
    assert_eq!(owner.done(&venue, 2, approve).await["state"], "STATE_FAILED");
    assert_eq!(owner.done(&venue, 2, approve).await["state"], "STATE_MINED", "the nonce was not used");
    fault(json!({ "target": "relayer", "kind": "429" })).await;
    assert_eq!(owner.submit(&venue, &owner.batch(3, approve)).await.0, 429);
    venue.running.shutdown().await;
}

/// An approval of USDC.e by the account whose key everybody knows: legacy, nonce 0, 250,000 gas at 30 gwei.
/// Source: see `simulator::world::transactions`, tests.
const RAW: &str = "0xf8ac808506fc23ac008303d090942791bca1f2de4661ed88a30c99a7a9449aa8417480b844095ea7b30000000000000000000000004d97\
    dcd97ec945f40cf65f87097ace5ea0476045ffffffffffffffffffffffffffffffffffffffffffffffffffffffffffffffff820136a0a0c2ea43c2a12e5f\
    32eb1abe82cfdcd415698ab67ba9f4e830aa0d6fd67bbbc3a071fb48c8c141a00c325271d06424dc677bdb1a3e8eadff5815286bb9b6ecf815";

#[tokio::test]
async fn an_eoa_pays_its_own_gas() {
    let venue = Venue::manual().await;
    let eoa = "0xf39fd6e51aad88f6f4ce6ab8827279cfffb92266";
    let poor = venue.rpc("eth_sendRawTransaction", json!([RAW])).await;
    assert!(poor["error"]["message"].as_str().unwrap().starts_with("insufficient funds"), "{poor}");
    venue.control("/coins", json!({ "wallet": eoa, "pol": "1" })).await;
    venue.mine();
    assert_eq!(venue.rpc("eth_getBalance", json!([eoa, "latest"])).await["result"], "0xde0b6b3a7640000");
    assert_eq!(venue.rpc("eth_getTransactionCount", json!([eoa, "pending"])).await["result"], "0x0");
    let sent = venue.rpc("eth_sendRawTransaction", json!([RAW])).await["result"].clone();
    assert_eq!(venue.rpc("eth_sendRawTransaction", json!([RAW])).await["error"]["message"], "already known");
    assert_eq!(venue.rpc("eth_getTransactionReceipt", json!([sent])).await["result"], Value::Null);
    assert_eq!(venue.rpc("eth_getTransactionCount", json!([eoa, "pending"])).await["result"], "0x1");
    venue.mine();
    let receipt = venue.rpc("eth_getTransactionReceipt", json!([sent])).await["result"].clone();
    assert_eq!((&receipt["status"], receipt["logs"].as_array().unwrap().len()), (&json!("0x1"), 1));
    let allowance = abi::Erc20::allowanceCall {
        owner: eoa.parse::<Address>().unwrap().0.into(),
        spender: CONDITIONAL_TOKENS.0.into(),
    };
    let call =
        json!([{ "to": USDC_E, "data": format!("0x{}", hex::encode(allowance.abi_encode())) }, "latest"]);
    assert_eq!(venue.rpc("eth_call", call).await["result"], format!("0x{}", "f".repeat(64)));
    let spent =
        1_000_000 - venue.running.world().with(|world, _| world.balance(eoa.parse().unwrap(), Asset::Pol));
    assert!((1..=7_500).contains(&spent), "{spent} millionths of POL");
    let again = venue.rpc("eth_sendRawTransaction", json!([RAW])).await;
    assert_eq!(again["error"]["message"], "already known");
    assert_eq!(venue.rpc("eth_gasPrice", json!([])).await["result"], "0x6fc23ac00");
    let history = venue.rpc("eth_feeHistory", json!(["0x2", "latest", [50]])).await["result"].clone();
    assert_eq!(history["baseFeePerGas"].as_array().unwrap().len(), 3);
    let transfer = abi::Erc20::transferCall { to: COLLATERAL_ONRAMP.0.into(), amount: U256::from(1) };
    let call =
        json!([{ "from": eoa, "to": USDC_E, "data": format!("0x{}", hex::encode(transfer.abi_encode())) }]);
    let refused = venue.rpc("eth_estimateGas", call).await;
    assert!(refused["error"]["message"].as_str().unwrap().contains("exceeds balance"), "{refused}");
    venue.running.shutdown().await;
}
