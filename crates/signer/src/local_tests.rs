//! What the signer signs, compared with vectors of the official clients, and what it refuses.

use domain::{
    OrderAmounts, RelayPlan, Timestamp, TokenId, TradingAccount, WalletAction, WalletKind, ids::AccountId,
};
use eip712::{Exchange, id_and_signature, order_id};
use secp256k1::{
    Message, SECP256K1,
    ecdsa::{RecoverableSignature, RecoveryId},
};
use serde_json::Value;
use zeroize::Zeroizing;

use super::*;
use crate::DerivedKeys;

/// The one key of a vector file, under every reference.
struct OneKey([u8; 32]);

impl KeySource for OneKey {
    fn open(&self, _: &KeyRef) -> Result<Zeroizing<[u8; 32]>, SignerError> {
        Ok(Zeroizing::new(self.0))
    }
}

fn vectors(text: &str) -> (Value, OneKey) {
    let file: Value = serde_json::from_str(text).unwrap();
    let key = hex::decode(&file["private_key"].as_str().unwrap()[2..]).unwrap();
    (file, OneKey(key.try_into().unwrap()))
}

fn order(value: &Value) -> OrderToSign {
    let text = |key: &str| value[key].as_str().unwrap();
    OrderToSign {
        salt: text("salt").parse().unwrap(),
        maker: text("maker").parse().unwrap(),
        signer: text("signer").parse().unwrap(),
        token: text("tokenId").parse().unwrap(),
        maker_amount: text("makerAmount").parse().unwrap(),
        taker_amount: text("takerAmount").parse().unwrap(),
        side: if value["side"] == 0 { Side::Buy } else { Side::Sell },
        wallet_kind: WalletKind::from_signature_type(value["signatureType"].as_u64().unwrap() as u8).unwrap(),
        session: None,
        timestamp_ms: text("timestamp").parse().unwrap(),
        metadata: text("metadata").parse().unwrap(),
        builder: text("builder").parse().unwrap(),
    }
}

fn plan(signer: Address, kind: WalletKind, wallet: Address) -> OrderPlan {
    OrderPlan {
        salt: 7,
        account: TradingAccount {
            id: AccountId(1),
            wallet,
            signer,
            kind,
            key: KeyRef("follower".to_owned()),
        },
        token: TokenId([0x11; 32]),
        side: Side::Buy,
        amounts: OrderAmounts { maker: 5_000_000, taker: 10_000_000 },
        timestamp: Timestamp::from_millis(1_777_400_000_123),
        negative_risk: false,
        order_type: domain::OrderType::FillAndKill,
        defer: false,
        builder: Hash([0; 32]),
    }
}

fn derived() -> LocalSigner {
    LocalSigner::new(Chain::Polygon, Box::new(DerivedKeys::new(Zeroizing::new([9; 32]))))
}

async fn sign_one(signer: &LocalSigner, request: SignRequest) -> Result<Signature, SignerError> {
    signer.sign(&[request]).await.remove(0)
}

#[test]
fn orders_are_signed_as_the_official_clients_do() {
    let (file, source) = vectors(include_str!("../../eip712/tests/vectors/orders.json"));
    let key = OpenKey::new(&source.0).unwrap();
    for vector in file["orders"].as_array().unwrap() {
        let chain = Chain::from_id(vector["chain_id"].as_u64().unwrap()).unwrap();
        let exchange = Exchange::at(vector["exchange"].as_str().unwrap().parse().unwrap(), chain).unwrap();
        let order = order(&vector["order"]);
        let signature = key.sign(&signing_digest(&order, exchange, chain));
        let (_, wrapped) = id_and_signature(&order, exchange, chain, &signature);
        assert_eq!(format!("0x{}", hex::encode(wrapped)), vector["signature"], "{vector}");
    }
}

#[tokio::test]
async fn logins_are_signed_as_the_official_clients_do() {
    let (file, OneKey(key)) = vectors(include_str!("../../eip712/tests/vectors/clob_auth.json"));
    for vector in file["vectors"].as_array().unwrap() {
        let chain = Chain::from_id(vector["chain_id"].as_u64().unwrap()).unwrap();
        let signer = LocalSigner::new(chain, Box::new(OneKey(key)));
        let request = SignRequest::ApiLogin {
            key: KeyRef("any".to_owned()),
            timestamp: vector["timestamp"].as_str().unwrap().parse().unwrap(),
            nonce: vector["nonce"].as_u64().unwrap(),
        };
        let signature = sign_one(&signer, request).await.unwrap();
        assert_eq!(format!("0x{}", hex::encode(signature.0)), vector["signature"]);
    }
}

/// The plan of a vector of relayed transactions.
fn relay_plan(vector: &Value, signer: Address) -> RelayPlan {
    let number = |key: &str| vector[key].as_u64().unwrap_or_default();
    let kind = WalletKind::from_signature_type(number("signature_type") as u8).unwrap();
    let wallet = vector["wallet"].as_str().unwrap().parse().unwrap();
    let condition = domain::ConditionId::from_slice(&[5; 32]).unwrap();
    let [spender, ..] = eip712::DOLLAR_SPENDERS;
    let [.., (token, operator), _, _, _] = eip712::SHARE_OPERATORS;
    let mut actions = vec![
        WalletAction::AllowDollars { spender },
        WalletAction::AllowShares { token, operator },
        WalletAction::Redeem(domain::Redemption::Ordinary(condition)),
    ];
    actions.truncate(number("actions") as usize);
    let relay = vector["relay"].as_str().map_or(Address([0; 20]), |text| text.parse().unwrap());
    RelayPlan {
        account: plan(signer, kind, wallet).account,
        actions,
        nonce: number("nonce"),
        deadline: number("deadline"),
        gas_limit: number("gas_limit"),
        relay,
    }
}

#[tokio::test]
async fn relayed_transactions_are_signed_as_the_official_client_does() {
    let (file, OneKey(key)) = vectors(include_str!("../../eip712/tests/vectors/relay.json"));
    let address: Address = file["signer"].as_str().unwrap().parse().unwrap();
    let mut first = Vec::new();
    for vector in file["vectors"].as_array().unwrap() {
        let signer = LocalSigner::new(Chain::Polygon, Box::new(OneKey(key)));
        let plan = relay_plan(vector, address);
        let (wallet, kind) = (plan.account.wallet, plan.account.kind);
        signer.bind(plan.account.key.clone(), Binding { wallet, kind, until: None }).unwrap();
        let relay = Relay::from_plan(&plan).unwrap();
        if let (Relay::Safe { call, .. } | Relay::Proxy { call, .. }, Some(data)) =
            (&relay, vector["data"].as_str())
        {
            assert_eq!(format!("0x{}", hex::encode(&call.data)), data);
        }
        let signature = sign_one(&signer, SignRequest::Relay(plan)).await.unwrap();
        let made = relay.signature(&signature.0);
        assert_eq!(format!("0x{}", hex::encode(made)), vector["signature"], "{vector}");
        if first.is_empty() {
            first = made.to_vec();
        }
    }
    let envelope = eip712::session_envelope(address, &first);
    assert_eq!(format!("0x{}", hex::encode(envelope)), file["session"]);
}

#[tokio::test]
async fn a_large_batch_is_answered_in_order_and_recovers_to_the_key() {
    let signer = derived();
    let address = signer.address(&KeyRef("follower".to_owned())).await.unwrap();
    let plans: Vec<_> = (0..MAX_BATCH as u64)
        .map(|salt| OrderPlan { salt, ..plan(address, WalletKind::Eoa, address) })
        .collect();
    let requests: Vec<_> = plans.iter().cloned().map(SignRequest::Order).collect();
    let answers = signer.sign(&requests).await;
    assert_eq!(answers.len(), MAX_BATCH);
    for (plan, answer) in plans.iter().zip(answers) {
        let (order, exchange) = OrderToSign::from_plan(plan).unwrap();
        let digest = order_id(&order, exchange, Chain::Polygon);
        let Signature(bytes) = answer.unwrap();
        let recovery = RecoveryId::try_from(i32::from(bytes[64]) - 27).unwrap();
        let signature = RecoverableSignature::from_compact(&bytes[..64], recovery).unwrap();
        let public = SECP256K1.recover_ecdsa(Message::from_digest(digest.0), &signature).unwrap();
        let hash = alloy_primitives::keccak256(&public.serialize_uncompressed()[1..]);
        assert_eq!(Address::from_slice(&hash[12..]).unwrap(), address);
    }
    let too_many = vec![requests[0].clone(); MAX_BATCH + 1];
    assert!(signer.sign(&too_many).await.iter().all(|answer| matches!(answer, Err(SignerError::Policy(_)))));
    assert!(signer.sign(&[]).await.is_empty());
}

#[tokio::test]
async fn orders_outside_the_binding_are_refused() {
    let signer = derived();
    let address = signer.address(&KeyRef("follower".to_owned())).await.unwrap();
    let wallet = Address([5; 20]);
    let order = |signer, kind, wallet| SignRequest::Order(plan(signer, kind, wallet));
    let refused = |answer| matches!(answer, Err(SignerError::Policy(_)));
    // Unbound: its own address only.
    assert!(sign_one(&signer, order(address, WalletKind::Eoa, address)).await.is_ok());
    assert!(refused(sign_one(&signer, order(address, WalletKind::Safe, wallet)).await));
    assert!(refused(sign_one(&signer, order(address, WalletKind::Eoa, wallet)).await));
    assert!(refused(sign_one(&signer, order(wallet, WalletKind::Eoa, wallet)).await));
    // Bound: that wallet only, and for good.
    let key = KeyRef("follower".to_owned());
    let binding = Binding { wallet, kind: WalletKind::Safe, until: None };
    signer.bind(key.clone(), binding).unwrap();
    signer.bind(key.clone(), binding).unwrap();
    assert!(signer.bind(key, Binding { wallet: address, ..binding }).is_err());
    assert!(sign_one(&signer, order(address, WalletKind::Safe, wallet)).await.is_ok());
    assert!(refused(sign_one(&signer, order(address, WalletKind::Proxy, wallet)).await));
    assert!(refused(sign_one(&signer, order(address, WalletKind::Eoa, address)).await));
}

/// Source: Polymarket/builder-relayer-client, `tests/signatures`, by the key that everybody knows.
#[tokio::test]
async fn the_making_of_a_safe_is_signed_as_the_official_client_does_and_alone() {
    let (file, OneKey(key)) = vectors(include_str!("../../eip712/tests/vectors/relay.json"));
    let address: Address = file["signer"].as_str().unwrap().parse().unwrap();
    assert_eq!(address.to_string(), "0xf39fd6e51aad88f6f4ce6ab8827279cfffb92266");
    let signer = LocalSigner::new(Chain::Polygon, Box::new(OneKey(key)));
    let wallet: Address = "0xd93b25cb943d14d0d34fbaf01fc93a0f8b5f6e47".parse().unwrap();
    let account = plan(address, WalletKind::Safe, wallet).account;
    let binding = Binding { wallet, kind: WalletKind::Safe, until: None };
    signer.bind(account.key.clone(), binding).unwrap();
    let relay = |actions| {
        let (nonce, deadline, gas_limit, relay) = (0, 0, 0, Address([0; 20]));
        RelayPlan { account: account.clone(), actions, nonce, deadline, gas_limit, relay }
    };
    let alone = relay(vec![WalletAction::MakeSafe]);
    let signature = sign_one(&signer, SignRequest::Relay(alone.clone())).await.unwrap();
    let made = Relay::from_plan(&alone).unwrap().signature(&signature.0);
    assert_eq!(
        hex::encode(made),
        "e3e791c24134b7bebe93b4771bd07c7fe7bbe115eeb0bf629ac3b7a435e7ac8d05f979729d873f7d0e16205becf48ee450aa382\
         bc28c65eedcd6454e81d81f921b"
    );
    let other = WalletAction::AllowDollars { spender: eip712::DOLLAR_SPENDERS[0] };
    for actions in [vec![WalletAction::MakeSafe, other], vec![WalletAction::MakeSafe; 2]] {
        let refused = sign_one(&signer, SignRequest::Relay(relay(actions))).await;
        assert!(matches!(refused, Err(SignerError::Policy(_))));
    }
}

#[tokio::test]
async fn a_session_key_signs_orders_until_its_end_and_nothing_else() {
    let signer = derived();
    let key = KeyRef("follower".to_owned());
    let address = signer.address(&key).await.unwrap();
    let wallet = Address([5; 20]);
    let order = plan(address, WalletKind::Session, wallet);
    let refused = |answer| matches!(answer, Err(SignerError::Policy(_)));
    let day = crate::limits::SESSION_SELLS_ONLY;
    let end = order.timestamp.plus(day).plus(std::time::Duration::from_millis(1));
    let binding = Binding { wallet, kind: WalletKind::Session, until: Some(end) };
    signer.bind(key, binding).unwrap();
    assert!(sign_one(&signer, SignRequest::Order(order.clone())).await.is_ok());
    let of = |side, before: std::time::Duration| {
        SignRequest::Order(OrderPlan { side, timestamp: end.minus(before), ..order.clone() })
    };
    let minute = crate::limits::SESSION_MARGIN;
    assert!(refused(sign_one(&signer, of(Side::Buy, day)).await));
    assert!(sign_one(&signer, of(Side::Sell, day)).await.is_ok());
    assert!(refused(sign_one(&signer, of(Side::Sell, minute)).await));
    assert!(refused(sign_one(&signer, of(Side::Sell, std::time::Duration::ZERO)).await));
    let owner = plan(address, WalletKind::Deposit, wallet);
    assert!(refused(sign_one(&signer, SignRequest::Order(owner)).await));
    let actions = vec![WalletAction::AllowDollars { spender: eip712::DOLLAR_SPENDERS[0] }];
    let (account, relay) = (order.account.clone(), Address([0; 20]));
    let relayed = RelayPlan { account, actions, nonce: 0, deadline: 1, gas_limit: 0, relay };
    assert!(refused(sign_one(&signer, SignRequest::Relay(relayed)).await));

    let endless = derived();
    endless.bind(order.account.key.clone(), Binding { until: None, ..binding }).unwrap();
    assert!(refused(sign_one(&endless, SignRequest::Order(order)).await));
}

#[tokio::test]
async fn only_named_actions_of_the_bound_wallet_are_signed() {
    let signer = derived();
    let key = KeyRef("follower".to_owned());
    let address = signer.address(&key).await.unwrap();
    let wallet = Address([5; 20]);
    signer.bind(key, Binding { wallet, kind: WalletKind::Deposit, until: None }).unwrap();
    let account = |wallet, kind| plan(address, kind, wallet).account;
    let good = WalletAction::AllowDollars { spender: eip712::DOLLAR_SPENDERS[0] };
    let relay = |account, actions| {
        let (nonce, deadline, gas_limit, relay) = (0, 1, 0, Address([0; 20]));
        SignRequest::Relay(RelayPlan { account, actions, nonce, deadline, gas_limit, relay })
    };
    let own = || account(wallet, WalletKind::Deposit);
    let refused = |answer| matches!(answer, Err(SignerError::Policy(_)));
    assert!(sign_one(&signer, relay(own(), vec![good])).await.is_ok());
    let stranger = WalletAction::AllowDollars { spender: wallet };
    for actions in [vec![], vec![good, stranger], vec![good; 21]] {
        assert!(refused(sign_one(&signer, relay(own(), actions)).await));
    }
    let other = account(address, WalletKind::Deposit);
    assert!(refused(sign_one(&signer, relay(other, vec![good])).await));
}

#[tokio::test]
async fn an_eoa_sends_named_actions_at_a_bounded_cost() {
    let signer = derived();
    let key = KeyRef("follower".to_owned());
    let address = signer.address(&key).await.unwrap();
    let account = plan(address, WalletKind::Eoa, address).account;
    let action = WalletAction::AllowDollars { spender: eip712::DOLLAR_SPENDERS[0] };
    let (gas, max_fee, tip) = (300_000, 60_000_000_000, 25_000_000_000);
    let good = domain::TransactionPlan { account, action, nonce: 3, gas, max_fee, tip };
    let sign = async |plan| sign_one(&signer, SignRequest::Transaction(plan)).await;
    assert!(sign(good.clone()).await.is_ok());
    let refused = |answer| matches!(answer, Err(SignerError::Policy(_)));
    let with = |change: &dyn Fn(&mut domain::TransactionPlan)| {
        let mut plan = good.clone();
        change(&mut plan);
        plan
    };
    let bad = [
        with(&|plan| plan.gas = crate::limits::MAX_GAS + 1),
        with(&|plan| plan.max_fee = crate::limits::MAX_FEE + 1),
        with(&|plan| plan.tip = plan.max_fee + 1),
        with(&|plan| plan.action = WalletAction::AllowDollars { spender: address }),
        with(&|plan| plan.account.wallet = Address([5; 20])),
        with(&|plan| plan.account.kind = WalletKind::Safe),
    ];
    for plan in bad {
        assert!(refused(sign(plan.clone()).await), "{plan:?}");
    }
}

#[tokio::test]
async fn numbers_that_make_no_order_or_login_are_refused() {
    let signer = derived();
    let key = KeyRef("follower".to_owned());
    let address = signer.address(&key).await.unwrap();
    let mut order = plan(address, WalletKind::Eoa, address);
    order.salt = 1 << 53;
    assert!(matches!(sign_one(&signer, SignRequest::Order(order)).await, Err(SignerError::Policy(_))));
    let login = SignRequest::ApiLogin { key, timestamp: -1, nonce: 0 };
    assert!(matches!(sign_one(&signer, login).await, Err(SignerError::Policy(_))));
}
