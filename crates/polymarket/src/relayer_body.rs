//! What the relayer is sent: a signed transaction in the form of its wallet's kind.
//!
//! Source: docs.polymarket.com/api-spec/relayer-openapi.yaml.

use alloy_primitives::hex;
use domain::{Address, TradingAccount};
use eip712::{Call, DEPOSIT_WALLET_FACTORY, PROXY_FACTORY, RELAY_HUB, Relay, SAFE_FACTORY};
use serde_json::{Value, json};

/// The request of a signed transaction.
pub(crate) fn body(account: &TradingAccount, kind: &str, form: &Relay, signature: &str) -> Value {
    let data = |call: &Call| hex::encode_prefixed(&call.data);
    let zero = Address([0; 20]);
    match form {
        Relay::Deposit { wallet, nonce, deadline, calls } => json!({
            "type": kind, "from": account.signer, "to": DEPOSIT_WALLET_FACTORY, "nonce": nonce.to_string(),
            "signature": signature, "metadata": "",
            "depositWalletParams": {
                "depositWallet": wallet,
                "deadline": deadline.to_string(),
                "calls": calls
                    .iter()
                    .map(|call| json!({ "target": call.to, "value": "0", "data": data(call) }))
                    .collect::<Vec<_>>(),
            },
        }),
        Relay::Safe { safe, nonce, call, delegate } => json!({
            "type": kind, "from": account.signer, "to": call.to, "proxyWallet": safe, "data": data(call),
            "nonce": nonce.to_string(), "signature": signature, "metadata": "",
            "signatureParams": {
                "baseGas": "0", "gasPrice": "0", "gasToken": zero,
                "operation": if *delegate { "1" } else { "0" }, "refundReceiver": zero, "safeTxnGas": "0",
            },
        }),
        Relay::NewSafe { safe } => json!({
            "type": "SAFE-CREATE", "from": account.signer, "to": SAFE_FACTORY, "proxyWallet": safe, "data": "0x",
            "signature": signature,
            "signatureParams": { "paymentToken": zero, "payment": "0", "paymentReceiver": zero },
        }),
        Relay::Proxy { from, nonce, call, gas_limit, relay } => json!({
            "type": kind, "from": from, "to": PROXY_FACTORY, "proxyWallet": account.wallet, "data": data(call),
            "nonce": nonce.to_string(), "signature": signature, "metadata": "",
            "signatureParams": {
                "gasLimit": gas_limit.to_string(), "gasPrice": "0", "relay": relay, "relayHub": RELAY_HUB,
                "relayerFee": "0",
            },
        }),
    }
}
