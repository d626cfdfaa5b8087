//! The order of V2 and V3 (one struct, domains differ) and the nested signature of deposit wallets.

use alloy_primitives::hex;
use domain::{Address, Hash, OrderId, OrderPlan, Side, Timestamp, TokenId, WalletKind};

use crate::{
    exchange::{Chain, Exchange},
    relay::session_envelope,
    word::{Word, address, digest, hash_struct, number},
};

/// `encodeType(Order)`. Source: identical in clob-client-v2, py-clob-client-v2 and rs-clob-client-v2.
const ORDER_TYPE: &str = "Order(uint256 salt,address maker,address signer,uint256 tokenId,uint256 makerAmount,uint256 takerAmount,uint8 side,uint8 signatureType,uint256 timestamp,bytes32 metadata,bytes32 builder)";
/// `ORDER_TYPE.len()` as the wrapped signature ends with it.
const ORDER_TYPE_LENGTH: [u8; 2] = 186_u16.to_be_bytes();
const ORDER_TYPE_HASH: Word = hex!("bb86318a2138f5fa8ae32fbe8e659f8fcf13cc6ae4014a707893055433818589");

/// `keccak256` of the ERC-7739 `TypedDataSign` type around [`ORDER_TYPE`].
const TYPED_DATA_SIGN_TYPE_HASH: Word =
    hex!("6ba028565cb324c2aa02bb714b9816d0bddd557a2f33bb36cf13272a4256bd42");
/// `keccak256("DepositWallet")`, the wallet domain's name.
const WALLET_NAME_HASH: Word = hex!("d682b529a17cda19aa275f3a050608f9e9401fadd1b0d233d81519972295828b");
/// `keccak256("1")`, the wallet domain's version.
const WALLET_VERSION_HASH: Word = hex!("c89efdaa54c0f20c7adf612882df0950f5a951637e0307cdcb4c672f298b8bc6");

/// Salts lie below this.
const SALT_LIMIT: u64 = 1 << 53;

/// A plan that cannot be an order.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
pub enum PlanError {
    /// The venue reads the salt as a JSON number and would round it.
    #[error("salt {0} is not below 2^53")]
    Salt(u64),
    /// An order gives something and gets something.
    #[error("an order amount of {0} millionths is not positive")]
    Amount(i64),
    /// Before 1970.
    #[error("order time {0} lies before 1970")]
    Time(Timestamp),
}

/// The signed fields of an order, in plain form. Expiration, order type and owner travel beside it and
/// are not signed.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct OrderToSign {
    /// Makes the id unique; below 2^53, because it travels as a JSON number.
    pub salt: u64,
    /// The wallet that gives and gets.
    pub maker: Address,
    /// The key's address, or the deposit wallet itself for [`WalletKind::Deposit`] and [`WalletKind::Session`].
    pub signer: Address,
    /// The session key that signs in the owner's place.
    pub session: Option<Address>,
    /// The outcome token.
    pub token: TokenId,
    /// What the maker gives, in millionths: dollars for a buy, shares for a sell.
    pub maker_amount: u64,
    /// What the maker gets, in millionths.
    pub taker_amount: u64,
    /// Buy or sell.
    pub side: Side,
    /// How the wallet checks the signature.
    pub wallet_kind: WalletKind,
    /// Creation time in milliseconds since the Unix epoch.
    pub timestamp_ms: u64,
    /// Free for the client; zero as a rule.
    pub metadata: Hash,
    /// The builder code; zero for none.
    pub builder: Hash,
}

impl OrderToSign {
    /// The order of a plan and the exchange it is for. Metadata is zero.
    ///
    /// # Errors
    /// [`PlanError`] when a number of the plan does not fit an order.
    pub fn from_plan(plan: &OrderPlan) -> Result<(Self, Exchange), PlanError> {
        let amount = |amount: i64| match u64::try_from(amount) {
            Ok(positive) if positive > 0 => Ok(positive),
            _ => Err(PlanError::Amount(amount)),
        };
        if plan.salt >= SALT_LIMIT {
            return Err(PlanError::Salt(plan.salt));
        }
        let order = Self {
            salt: plan.salt,
            maker: plan.account.wallet,
            signer: plan.signer_field(),
            session: (plan.account.kind == WalletKind::Session).then_some(plan.account.signer),
            token: plan.token,
            maker_amount: amount(plan.amounts.maker)?,
            taker_amount: amount(plan.amounts.taker)?,
            side: plan.side,
            wallet_kind: plan.account.kind,
            timestamp_ms: u64::try_from(plan.timestamp.millis())
                .map_err(|_| PlanError::Time(plan.timestamp))?,
            metadata: Hash([0; 32]),
            builder: plan.builder,
        };
        Ok((order, Exchange::for_token(&plan.token, plan.negative_risk)))
    }

    /// `hashStruct(Order)`, independent of the exchange.
    fn struct_hash(&self) -> Word {
        hash_struct(&[
            ORDER_TYPE_HASH,
            number(self.salt),
            address(self.maker),
            address(self.signer),
            self.token.0,
            number(self.maker_amount),
            number(self.taker_amount),
            number(match self.side {
                Side::Buy => 0,
                Side::Sell => 1,
            }),
            number(u64::from(self.wallet_kind.signature_type())),
            number(self.timestamp_ms),
            self.metadata.0,
            self.builder.0,
        ])
    }
}

/// The order's id: its EIP-712 hash, which the venue answers with and the contract emits as `orderHash`.
/// For every signature type it is the hash of the plain order.
#[must_use]
pub fn order_id(order: &OrderToSign, exchange: Exchange, chain: Chain) -> OrderId {
    id_of(&order.struct_hash(), exchange, chain)
}

fn id_of(contents: &Word, exchange: Exchange, chain: Chain) -> OrderId {
    OrderId(digest(&exchange.domain_separator(chain), contents))
}

/// What the key signs: the order's id, and for deposit wallets the order nested in `TypedDataSign`
/// (ERC-7739) with the wallet's own domain inside and the exchange's domain outside.
#[must_use]
pub fn signing_digest(order: &OrderToSign, exchange: Exchange, chain: Chain) -> Hash {
    let separator = exchange.domain_separator(chain);
    let contents = order.struct_hash();
    let signed = match order.wallet_kind {
        WalletKind::Deposit | WalletKind::Session => hash_struct(&[
            TYPED_DATA_SIGN_TYPE_HASH,
            contents,
            WALLET_NAME_HASH,
            WALLET_VERSION_HASH,
            number(chain.id()),
            address(order.signer),
            [0; 32],
        ]),
        WalletKind::Eoa | WalletKind::Proxy | WalletKind::Safe => contents,
    };
    Hash(digest(&separator, &signed))
}

/// The order's id, and its signature as the venue and the contract take it: the 65 bytes `r ‖ s ‖ v`
/// themselves, and for deposit wallets those followed by domain separator, contents hash, order type and its
/// length; that of a session key travels in its envelope. The order is hashed once for both.
#[must_use]
pub fn id_and_signature(
    order: &OrderToSign,
    exchange: Exchange,
    chain: Chain,
    signature: &[u8; 65],
) -> (OrderId, Vec<u8>) {
    let contents = order.struct_hash();
    let wrapped = match order.wallet_kind {
        WalletKind::Deposit | WalletKind::Session => [
            signature.as_slice(),
            &exchange.domain_separator(chain),
            &contents,
            ORDER_TYPE.as_bytes(),
            &ORDER_TYPE_LENGTH,
        ]
        .concat(),
        WalletKind::Eoa | WalletKind::Proxy | WalletKind::Safe => signature.to_vec(),
    };
    let wrapped = match order.session {
        Some(key) => session_envelope(key, &wrapped),
        None => wrapped,
    };
    (id_of(&contents, exchange, chain), wrapped)
}

#[cfg(test)]
mod tests {
    use alloy_primitives::keccak256;
    use domain::{KeyRef, OrderAmounts, TradingAccount, ids::AccountId};

    use super::*;

    #[test]
    fn constants_are_the_hashes_of_their_texts() {
        let nested = format!(
            "TypedDataSign(Order contents,string name,string version,uint256 chainId,address verifyingContract,bytes32 salt){ORDER_TYPE}"
        );
        assert_eq!(ORDER_TYPE_HASH, keccak256(ORDER_TYPE).0);
        assert_eq!(usize::from(u16::from_be_bytes(ORDER_TYPE_LENGTH)), ORDER_TYPE.len());
        assert_eq!(TYPED_DATA_SIGN_TYPE_HASH, keccak256(nested).0);
        assert_eq!(WALLET_NAME_HASH, keccak256("DepositWallet").0);
        assert_eq!(WALLET_VERSION_HASH, keccak256("1").0);
    }

    fn plan() -> OrderPlan {
        OrderPlan {
            salt: SALT_LIMIT - 1,
            account: TradingAccount {
                id: AccountId(1),
                wallet: Address([2; 20]),
                signer: Address([3; 20]),
                kind: WalletKind::Safe,
                key: KeyRef("k".to_owned()),
            },
            token: TokenId([0x11; 32]),
            side: Side::Sell,
            amounts: OrderAmounts { maker: 10, taker: 5 },
            timestamp: Timestamp(1_234_567),
            negative_risk: true,
            order_type: domain::OrderType::FillAndKill,
            defer: false,
            builder: Hash([0; 32]),
        }
    }

    #[test]
    fn a_plan_becomes_an_order() {
        let (order, exchange) = OrderToSign::from_plan(&plan()).unwrap();
        assert_eq!(exchange, Exchange::NegRiskV2);
        assert_eq!((order.maker, order.signer), (Address([2; 20]), Address([3; 20])));
        assert_eq!((order.maker_amount, order.taker_amount), (10, 5));
        assert_eq!((order.timestamp_ms, order.side), (1_234, Side::Sell));
        let mut deposit = plan();
        deposit.account.kind = WalletKind::Deposit;
        assert_eq!(OrderToSign::from_plan(&deposit).unwrap().0.signer, Address([2; 20]));
        deposit.account.kind = WalletKind::Session;
        let order = OrderToSign::from_plan(&deposit).unwrap().0;
        assert_eq!((order.signer, order.session), (Address([2; 20]), Some(Address([3; 20]))));
    }

    #[test]
    fn numbers_that_do_not_fit_are_refused() {
        let refused = |change: fn(&mut OrderPlan)| {
            let mut plan = plan();
            change(&mut plan);
            OrderToSign::from_plan(&plan).unwrap_err()
        };
        assert_eq!(refused(|plan| plan.salt += 1), PlanError::Salt(SALT_LIMIT));
        assert_eq!(refused(|plan| plan.amounts.maker = 0), PlanError::Amount(0));
        assert_eq!(refused(|plan| plan.amounts.taker = -1), PlanError::Amount(-1));
        assert_eq!(refused(|plan| plan.timestamp = Timestamp(-1)), PlanError::Time(Timestamp(-1)));
    }
}
