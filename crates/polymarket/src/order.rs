//! The body of `POST /order`: written once. These bytes are stored, sent, sent again and authenticated;
//! nothing is ever written a second time.
//!
//! Field order, names and forms as clob-client-v2 sends them (captured from the client).

use alloy_primitives::{U256, hex};
use domain::{Address, Hash, Side};
use eip712::OrderToSign;
use serde::Serialize;

#[derive(Serialize)]
#[serde(rename_all = "camelCase")]
struct Body<'a> {
    defer_exec: bool,
    post_only: bool,
    order: Order,
    owner: &'a str,
    order_type: &'static str,
}

#[derive(Serialize)]
#[serde(rename_all = "camelCase")]
struct Order {
    salt: u64,
    maker: String,
    signer: String,
    token_id: String,
    maker_amount: String,
    taker_amount: String,
    side: Side,
    signature_type: u8,
    timestamp: String,
    /// Travels but is not signed; only good-till-date orders have one.
    expiration: &'static str,
    metadata: String,
    builder: String,
    signature: String,
}

/// The bytes to post for a fill-and-kill order: what matches at once is filled, the rest is killed.
/// `owner` is the API key of the account, `signature` the (wrapped) signature.
///
/// # Errors
/// Never for these types; the serialiser's error is passed on rather than hidden.
pub(crate) fn fill_and_kill_body(
    order: &OrderToSign,
    owner: &str,
    signature: &[u8],
) -> Result<Vec<u8>, serde_json::Error> {
    serde_json::to_vec(&Body {
        defer_exec: false,
        post_only: false,
        order: Order {
            salt: order.salt,
            maker: address(order.maker),
            signer: address(order.signer),
            token_id: U256::from_be_bytes(order.token.0).to_string(),
            maker_amount: order.maker_amount.to_string(),
            taker_amount: order.taker_amount.to_string(),
            side: order.side,
            signature_type: order.wallet_kind.signature_type(),
            timestamp: order.timestamp_ms.to_string(),
            expiration: "0",
            metadata: word(order.metadata),
            builder: word(order.builder),
            signature: hex::encode_prefixed(signature),
        },
        owner,
        order_type: "FAK",
    })
}

fn address(address: Address) -> String {
    hex::encode_prefixed(address.0)
}

fn word(hash: Hash) -> String {
    hex::encode_prefixed(hash.0)
}

#[cfg(test)]
mod tests {
    use domain::WalletKind;

    use super::*;

    #[test]
    fn the_body_is_the_official_client_s_byte_for_byte() {
        // Captured from clob-client-v2 1.1.0, with the order type and signature replaced.
        let order = OrderToSign {
            salt: 424_772_567_280,
            maker: "0xf39fd6e51aad88f6f4ce6ab8827279cfffb92266".parse().unwrap(),
            signer: "0xf39fd6e51aad88f6f4ce6ab8827279cfffb92266".parse().unwrap(),
            token: "71321045679252212594626385532706912750332728571942532289631379312455583992563"
                .parse()
                .unwrap(),
            maker_amount: 11_782_400,
            taker_amount: 21_040_000,
            side: Side::Buy,
            wallet_kind: WalletKind::Eoa,
            timestamp_ms: 1_795_449_790_692,
            metadata: Hash([0; 32]),
            builder: Hash([0; 32]),
        };
        let body = fill_and_kill_body(&order, "00000000-0000-0000-0000-000000000001", &[0xab; 65]).unwrap();
        let zero = "0".repeat(64);
        let signature = "ab".repeat(65);
        let expected = format!(
            "{{\"deferExec\":false,\"postOnly\":false,\"order\":{{\"salt\":424772567280,\
             \"maker\":\"0xf39fd6e51aad88f6f4ce6ab8827279cfffb92266\",\
             \"signer\":\"0xf39fd6e51aad88f6f4ce6ab8827279cfffb92266\",\
             \"tokenId\":\"71321045679252212594626385532706912750332728571942532289631379312455583992563\",\
             \"makerAmount\":\"11782400\",\"takerAmount\":\"21040000\",\"side\":\"BUY\",\"signatureType\":0,\
             \"timestamp\":\"1795449790692\",\"expiration\":\"0\",\"metadata\":\"0x{zero}\",\
             \"builder\":\"0x{zero}\",\"signature\":\"0x{signature}\"}},\
             \"owner\":\"00000000-0000-0000-0000-000000000001\",\"orderType\":\"FAK\"}}"
        );
        assert_eq!(String::from_utf8(body).unwrap(), expected);
    }
}
