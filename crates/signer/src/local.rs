//! The signer in this process: cache of opened keys, policy, digests, signatures.

use std::{
    collections::HashMap,
    sync::{Arc, Mutex, PoisonError},
};

use async_trait::async_trait;
use domain::{Address, Hash, KeyRef, OrderPlan, Side, Usd};
use eip712::{Chain, ClobAuth, OrderToSign, Relay, Transaction, clob_auth_digest, signing_digest};
use engine::ports::venue::{SignRequest, Signature, Signer, SignerError};
use lru::LruCache;

use crate::{
    keys::{KeySource, OpenKey},
    limits::{CHUNK, INLINE_BATCH, MAX_BATCH, OPEN_KEYS},
    policy::{Binding, check_order, check_relay, check_transaction},
    spending::Spending,
};

/// Signs with keys of a [`KeySource`] for one chain. Cheap to clone; clones share keys and bindings.
#[derive(Clone)]
pub struct LocalSigner {
    inner: Arc<Inner>,
}

struct Inner {
    chain: Chain,
    source: Box<dyn KeySource>,
    open: Mutex<LruCache<KeyRef, Arc<OpenKey>>>,
    bindings: Mutex<HashMap<KeyRef, Binding>>,
    spending: Option<Spending>,
}

impl LocalSigner {
    /// A signer for `chain` that signs no order with a sealed key.
    #[must_use]
    pub fn new(chain: Chain, source: Box<dyn KeySource>) -> Self {
        Self::made(chain, source, None)
    }

    /// A signer for `chain` that signs orders with a sealed key as far as `spending` allows.
    #[must_use]
    pub fn live(chain: Chain, source: Box<dyn KeySource>, spending: Spending) -> Self {
        Self::made(chain, source, Some(spending))
    }

    fn made(chain: Chain, source: Box<dyn KeySource>, spending: Option<Spending>) -> Self {
        let open = Mutex::new(LruCache::new(OPEN_KEYS));
        Self { inner: Arc::new(Inner { chain, source, open, bindings: Mutex::default(), spending }) }
    }

    /// Erases an opened key. Call it when its source knows it no longer.
    pub fn forget(&self, key: &KeyRef) {
        self.inner.open.lock().unwrap_or_else(PoisonError::into_inner).pop(key);
    }

    /// Binds a key to the wallet it trades for. A key that was never bound trades for its own address.
    ///
    /// # Errors
    /// [`SignerError::Policy`] when the key is bound to another wallet already: a binding never changes
    /// while the signer lives.
    pub fn bind(&self, key: KeyRef, binding: Binding) -> Result<(), SignerError> {
        let mut bindings = self.inner.bindings.lock().unwrap_or_else(PoisonError::into_inner);
        let bound = *bindings.entry(key.clone()).or_insert(binding);
        if bound == binding {
            return Ok(());
        }
        Err(SignerError::Policy(format!("key `{key}` is bound to wallet {} already", bound.wallet)))
    }
}

impl Inner {
    fn key(&self, key: &KeyRef) -> Result<Arc<OpenKey>, SignerError> {
        let cached = self.open.lock().unwrap_or_else(PoisonError::into_inner).get(key).cloned();
        if let Some(open) = cached {
            return Ok(open);
        }
        // Opened outside the lock: two callers may open the same key, which is harmless.
        let bytes = self.source.open(key)?;
        let open = OpenKey::new(&bytes)
            .ok_or_else(|| SignerError::Unavailable(format!("key `{key}` is not a valid secp256k1 key")))?;
        let open = Arc::new(open);
        let mut cache = self.open.lock().unwrap_or_else(PoisonError::into_inner);
        cache.put(key.clone(), Arc::clone(&open));
        Ok(open)
    }

    fn binding(&self, key: &KeyRef, address: Address) -> Binding {
        // What was sealed with the key is no matter of who asks.
        if let Some(sealed) = self.source.sealed_for(key) {
            return sealed;
        }
        let bindings = self.bindings.lock().unwrap_or_else(PoisonError::into_inner);
        bindings.get(key).copied().unwrap_or(Binding::own(address))
    }

    fn digest(&self, request: &SignRequest) -> Result<(Arc<OpenKey>, Hash), SignerError> {
        match request {
            SignRequest::Order(plan) => {
                let key = self.key(&plan.account.key)?;
                check_order(plan, key.address, self.binding(&plan.account.key, key.address))?;
                let (order, exchange) =
                    OrderToSign::from_plan(plan).map_err(|error| SignerError::Policy(error.to_string()))?;
                let digest = signing_digest(&order, exchange, self.chain);
                self.spend(plan, digest)?;
                Ok((key, digest))
            }
            SignRequest::Relay(plan) => {
                let key = self.key(&plan.account.key)?;
                check_relay(plan, key.address, self.binding(&plan.account.key, key.address))?;
                let relay = Relay::from_plan(plan).map_err(|error| SignerError::Policy(error.to_string()))?;
                Ok((key, relay.digest(self.chain)))
            }
            SignRequest::Transaction(plan) => {
                let key = self.key(&plan.account.key)?;
                check_transaction(plan, key.address, self.binding(&plan.account.key, key.address))?;
                let transaction =
                    Transaction::from_plan(plan).map_err(|error| SignerError::Policy(error.to_string()))?;
                Ok((key, transaction.digest(self.chain)))
            }
            SignRequest::ApiLogin { key, timestamp, nonce } => {
                let key = self.key(key)?;
                let timestamp_seconds = u64::try_from(*timestamp)
                    .map_err(|_| SignerError::Policy(format!("login time {timestamp} lies before 1970")))?;
                let auth = ClobAuth { address: key.address, timestamp_seconds, nonce: *nonce };
                Ok((key, clob_auth_digest(&auth, self.chain)))
            }
        }
    }

    /// Counts what an order with a sealed key may give. A sale gives shares that were bought within the caps.
    fn spend(&self, plan: &OrderPlan, digest: Hash) -> Result<(), SignerError> {
        let key = &plan.account.key;
        if self.source.sealed_for(key).is_none() {
            return Ok(());
        }
        let Some(spending) = &self.spending else {
            let text = "live trading is switched off; set `enabled = true` of [live] in the configuration";
            return Err(SignerError::Policy(text.to_owned()));
        };
        let usd = match plan.side {
            Side::Buy => Usd(plan.amounts.maker),
            Side::Sell => Usd::ZERO,
        };
        spending.spend(key, digest, usd)
    }

    fn sign_all(&self, requests: &[SignRequest]) -> Vec<Result<Signature, SignerError>> {
        let sign = |request| self.digest(request).map(|(key, digest)| Signature(key.sign(&digest)));
        requests.iter().map(sign).collect()
    }
}

#[async_trait]
impl Signer for LocalSigner {
    async fn sign(&self, requests: &[SignRequest]) -> Vec<Result<Signature, SignerError>> {
        if requests.len() > MAX_BATCH {
            let text = format!("{} requests in one call, at most {MAX_BATCH} are taken", requests.len());
            return requests.iter().map(|_| Err(SignerError::Policy(text.clone()))).collect();
        }
        let runtime = tokio::runtime::Handle::try_current();
        let (Ok(runtime), true) = (runtime, requests.len() > INLINE_BATCH) else {
            return self.inner.sign_all(requests);
        };
        let tasks: Vec<_> = requests
            .chunks(CHUNK)
            .map(|chunk| {
                let (inner, chunk) = (Arc::clone(&self.inner), chunk.to_vec());
                (chunk.len(), runtime.spawn_blocking(move || inner.sign_all(&chunk)))
            })
            .collect();
        let mut answers = Vec::with_capacity(requests.len());
        for (count, task) in tasks {
            match task.await {
                Ok(signatures) => answers.extend(signatures),
                Err(error) => {
                    let failed = SignerError::Unavailable(error.to_string());
                    answers.extend(std::iter::repeat_n(Err(failed), count));
                }
            }
        }
        answers
    }

    async fn address(&self, key: &KeyRef) -> Result<Address, SignerError> {
        self.inner.key(key).map(|open| open.address)
    }
}

#[cfg(test)]
mod tests {
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
            wallet_kind: WalletKind::from_signature_type(value["signatureType"].as_u64().unwrap() as u8)
                .unwrap(),
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
            let exchange =
                Exchange::at(vector["exchange"].as_str().unwrap().parse().unwrap(), chain).unwrap();
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
        assert!(
            signer.sign(&too_many).await.iter().all(|answer| matches!(answer, Err(SignerError::Policy(_))))
        );
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
        let end = order.timestamp.plus(std::time::Duration::from_secs(1));
        let binding = Binding { wallet, kind: WalletKind::Session, until: Some(end) };
        signer.bind(key, binding).unwrap();
        assert!(sign_one(&signer, SignRequest::Order(order.clone())).await.is_ok());
        let late = OrderPlan { timestamp: end, ..order.clone() };
        assert!(refused(sign_one(&signer, SignRequest::Order(late)).await));
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
}
