//! The body of an order post: written once. These bytes are stored, sent, sent again and authenticated;
//! nothing is ever written a second time.
//!
//! Field order, names and forms as clob-client-v2 sends them (captured from the client).

use std::{
    collections::HashMap,
    sync::{Arc, Mutex, PoisonError},
};

use alloy_primitives::{U256, hex};
use domain::{Address, Hash, OrderPlan, OrderType, Side, Timestamp};
use eip712::OrderToSign;
use serde::Serialize;

use crate::limits::{ADDRESSES_WRITTEN, GTD_AHEAD};

#[derive(Serialize)]
#[serde(rename_all = "camelCase")]
struct Body<'a> {
    defer_exec: bool,
    post_only: bool,
    order: Order<'a>,
    owner: &'a str,
    order_type: &'static str,
}

#[derive(Serialize)]
#[serde(rename_all = "camelCase")]
struct Order<'a> {
    salt: u64,
    maker: &'a str,
    signer: &'a str,
    token_id: String,
    maker_amount: String,
    taker_amount: String,
    side: Side,
    signature_type: u8,
    timestamp: String,
    /// Travels but is not signed: Unix seconds, zero but for good-till-date orders.
    expiration: String,
    metadata: String,
    builder: String,
    signature: String,
}

/// What travels beside the signed order.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) struct Terms {
    order_type: OrderType,
    defer: bool,
}

/// A good-till-date order that the venue would refuse.
#[derive(Clone, Copy, Debug, PartialEq, Eq, thiserror::Error)]
#[error(
    "a good-till-date order that stands until {expires_at} is too short-lived at {now}: the venue wants \
     {GTD_AHEAD:?} at least, and ends it a minute before its date"
)]
pub(crate) struct TooShortLived {
    expires_at: Timestamp,
    now: Timestamp,
}

impl Terms {
    /// The terms of a plan, if the venue takes them at `now`.
    pub(crate) fn of(plan: &OrderPlan, now: Timestamp) -> Result<Self, TooShortLived> {
        if let OrderType::GoodTillDate { expires_at, .. } = plan.order_type
            && expires_at.since(now) < GTD_AHEAD
        {
            return Err(TooShortLived { expires_at, now });
        }
        Ok(Self { order_type: plan.order_type, defer: plan.defer })
    }

    /// The type's name on the wire.
    const fn name(self) -> &'static str {
        match self.order_type {
            OrderType::FillAndKill => "FAK",
            OrderType::FillOrKill => "FOK",
            OrderType::GoodTillCancelled { .. } => "GTC",
            OrderType::GoodTillDate { .. } => "GTD",
        }
    }

    const fn post_only(self) -> bool {
        match self.order_type {
            OrderType::FillAndKill | OrderType::FillOrKill => false,
            OrderType::GoodTillCancelled { post_only } | OrderType::GoodTillDate { post_only, .. } => {
                post_only
            }
        }
    }

    /// Unix seconds; zero for orders without a date.
    fn expiration(self) -> String {
        match self.order_type {
            OrderType::GoodTillDate { expires_at, .. } => expires_at.seconds().to_string(),
            _ => "0".to_owned(),
        }
    }
}

/// The bytes to post. `owner` is the API key of the account, `maker` and `signer` are the order's as
/// [`Addresses`] writes them, `signature` is the (wrapped) signature.
///
/// # Errors
/// Never for these types; the serialiser's error is passed on rather than hidden.
pub(crate) fn body(
    order: &OrderToSign,
    terms: Terms,
    (owner, [maker, signer]): (&str, &[Arc<str>; 2]),
    signature: &[u8],
) -> Result<Vec<u8>, serde_json::Error> {
    serde_json::to_vec(&Body {
        defer_exec: terms.defer,
        post_only: terms.post_only(),
        order: Order {
            salt: order.salt,
            maker,
            signer,
            token_id: U256::from_be_bytes(order.token.0).to_string(),
            maker_amount: order.maker_amount.to_string(),
            taker_amount: order.taker_amount.to_string(),
            side: order.side,
            signature_type: order.wallet_kind.signature_type(),
            timestamp: order.timestamp_ms.to_string(),
            expiration: terms.expiration(),
            metadata: word(order.metadata),
            builder: word(order.builder),
            signature: hex::encode_prefixed(signature),
        },
        owner,
        order_type: terms.name(),
    })
}

/// The body of `POST /orders`: the stored bytes of each order, as they are.
pub(crate) fn batch_body<'a>(bodies: impl IntoIterator<Item = &'a [u8]>) -> Vec<u8> {
    let mut whole = vec![b'['];
    for body in bodies {
        if whole.len() > 1 {
            whole.push(b',');
        }
        whole.extend_from_slice(body);
    }
    whole.push(b']');
    whole
}

/// Addresses with the checksum of EIP-55 in the case of their letters, as the official clients write them. Those
/// written before are remembered: the checksum takes a hash, and the accounts are always the same.
#[derive(Default)]
pub(crate) struct Addresses(Mutex<HashMap<Address, Arc<str>>>);

impl Addresses {
    pub(crate) fn of(&self, address: Address) -> Arc<str> {
        let mut written = self.0.lock().unwrap_or_else(PoisonError::into_inner);
        if written.len() >= ADDRESSES_WRITTEN && !written.contains_key(&address) {
            written.clear();
        }
        let write = || alloy_primitives::Address::from(address.0).to_checksum(None).into();
        Arc::clone(written.entry(address).or_insert_with(write))
    }
}

fn word(hash: Hash) -> String {
    hex::encode_prefixed(hash.0)
}

#[cfg(test)]
mod tests {
    use domain::{KeyRef, OrderAmounts, TokenId, TradingAccount, WalletKind, ids::AccountId};

    use super::*;

    const MAKER: &str = "0xf39Fd6e51aad88F6F4ce6aB8827279cffFb92266";
    const TOKEN: &str = "71321045679252212594626385532706912750332728571942532289631379312455583992563";
    const NOW: Timestamp = Timestamp::from_millis(1_795_449_790_692);

    fn plan(order_type: OrderType) -> OrderPlan {
        let wallet: Address = MAKER.parse().unwrap();
        OrderPlan {
            salt: 424_772_567_280,
            account: TradingAccount {
                id: AccountId(1),
                wallet,
                signer: wallet,
                kind: WalletKind::Eoa,
                key: KeyRef("k".to_owned()),
            },
            token: TOKEN.parse::<TokenId>().unwrap(),
            side: Side::Buy,
            amounts: OrderAmounts { maker: 11_782_400, taker: 21_040_000 },
            timestamp: NOW,
            negative_risk: false,
            order_type,
            defer: false,
            builder: Hash([0; 32]),
        }
    }

    fn written(plan: &OrderPlan) -> String {
        let (order, _) = OrderToSign::from_plan(plan).unwrap();
        let terms = Terms::of(plan, NOW).unwrap();
        let addresses = Addresses::default();
        let wallets = [order.maker, order.signer].map(|address| addresses.of(address));
        let owner = "00000000-0000-0000-0000-000000000001";
        let body = body(&order, terms, (owner, &wallets), &[0xab; 65]).unwrap();
        String::from_utf8(body).unwrap()
    }

    /// Captured from clob-client-v2 1.1.0, with type, signature and what belongs to the type replaced.
    fn official(order_type: &str, post_only: bool, expiration: &str) -> String {
        let (zero, signature) = ("0".repeat(64), "ab".repeat(65));
        format!(
            "{{\"deferExec\":false,\"postOnly\":{post_only},\"order\":{{\"salt\":424772567280,\
             \"maker\":\"{MAKER}\",\"signer\":\"{MAKER}\",\"tokenId\":\"{TOKEN}\",\
             \"makerAmount\":\"11782400\",\"takerAmount\":\"21040000\",\"side\":\"BUY\",\"signatureType\":0,\
             \"timestamp\":\"1795449790692\",\"expiration\":\"{expiration}\",\"metadata\":\"0x{zero}\",\
             \"builder\":\"0x{zero}\",\"signature\":\"0x{signature}\"}},\
             \"owner\":\"00000000-0000-0000-0000-000000000001\",\"orderType\":\"{order_type}\"}}"
        )
    }

    #[test]
    fn the_body_is_the_official_client_s_byte_for_byte() {
        use OrderType::{FillAndKill, FillOrKill, GoodTillCancelled, GoodTillDate};
        let expires_at = Timestamp::from_seconds(1_795_450_000);
        for (order_type, expected) in [
            (FillAndKill, official("FAK", false, "0")),
            (FillOrKill, official("FOK", false, "0")),
            (GoodTillCancelled { post_only: false }, official("GTC", false, "0")),
            (GoodTillCancelled { post_only: true }, official("GTC", true, "0")),
            (GoodTillDate { post_only: false, expires_at }, official("GTD", false, "1795450000")),
            (GoodTillDate { post_only: true, expires_at }, official("GTD", true, "1795450000")),
        ] {
            assert_eq!(written(&plan(order_type)), expected);
        }
        let deferred = OrderPlan { defer: true, ..plan(FillAndKill) };
        assert!(written(&deferred).starts_with("{\"deferExec\":true,\"postOnly\":false,"));
        let builder = Hash([0xb1; 32]);
        assert!(
            written(&OrderPlan { builder, ..plan(FillAndKill) })
                .contains(&format!("\"builder\":\"0x{}\"", "b1".repeat(32)))
        );
    }

    /// Neither the type nor the date is signed: orders that differ only in them have one id.
    #[test]
    fn type_and_date_are_not_part_of_the_order() {
        let fak = OrderToSign::from_plan(&plan(OrderType::FillAndKill)).unwrap();
        let expires_at = Timestamp::from_seconds(1_795_450_000);
        assert_eq!(
            fak,
            OrderToSign::from_plan(&plan(OrderType::GoodTillDate { post_only: true, expires_at })).unwrap()
        );
    }

    #[test]
    fn a_date_the_venue_refuses_is_refused_before_signing() {
        let until = |ahead| OrderType::GoodTillDate { post_only: false, expires_at: NOW.plus(ahead) };
        assert!(Terms::of(&plan(until(GTD_AHEAD)), NOW).is_ok());
        let refused = Terms::of(&plan(until(GTD_AHEAD / 2)), NOW).unwrap_err();
        assert!(refused.to_string().contains("180s"), "{refused}");
    }

    #[test]
    fn a_batch_is_the_stored_bytes_and_nothing_else() {
        assert_eq!(batch_body([&b"{\"a\":1}"[..], b"{\"b\": 2}"]), b"[{\"a\":1},{\"b\": 2}]");
        assert_eq!(batch_body([&b"{}"[..]]), b"[{}]");
    }

    #[test]
    fn addresses_are_written_alike_every_time_and_not_remembered_without_end() {
        let addresses = Addresses::default();
        let maker = MAKER.parse().unwrap();
        assert_eq!([addresses.of(maker), addresses.of(maker)], [MAKER.into(), MAKER.into()]);
        for number in 0..ADDRESSES_WRITTEN {
            let mut bytes = [0; 20];
            bytes[..8].copy_from_slice(&number.to_be_bytes());
            addresses.of(Address(bytes));
            assert!(addresses.0.lock().unwrap().len() <= ADDRESSES_WRITTEN);
        }
        assert_eq!(addresses.of(maker), MAKER.into());
    }
}
