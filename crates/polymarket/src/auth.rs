//! Authentication: headers of a login (L1) and of an authenticated call (L2).
//!
//! Credentials live in memory only. They have no `Debug`, and no error names a part of them.
//! Sources: the official clients (`l1_auth`, `hmac`), docs.polymarket.com (authentication).

use alloy_primitives::hex;
use base64::{
    Engine as _, alphabet,
    engine::{DecodePaddingMode, GeneralPurpose, GeneralPurposeConfig, general_purpose::URL_SAFE},
};
use domain::Address;
use engine::ports::venue::{Signature, VenueError};
use hmac::{Hmac, KeyInit, Mac};
use reqwest::RequestBuilder;
use serde::{Deserialize, Serialize};
use sha2::Sha256;
use zeroize::Zeroizing;

use crate::{
    http::{Answer, malformed},
    limits::MAX_CREDENTIAL,
};

/// Which credentials of an address: there is one set per nonce, and one is enough.
pub(crate) const LOGIN_NONCE: u64 = 0;

/// URL-safe base64 with or without padding.
const SECRET_ENCODING: GeneralPurpose = GeneralPurpose::new(
    &alphabet::URL_SAFE,
    GeneralPurposeConfig::new().with_decode_padding_mode(DecodePaddingMode::Indifferent),
);

/// Credentials that cannot be used. The text names no part of them.
#[derive(Clone, Copy, Debug, PartialEq, Eq, thiserror::Error)]
pub(crate) enum CredentialError {
    #[error("the API {0} is empty, too long, or has characters a header cannot carry")]
    Field(&'static str),
    #[error("the API secret is not base64")]
    Secret,
}

/// The venue's answer to a login.
#[derive(Deserialize)]
#[serde(rename_all = "camelCase")]
pub(crate) struct LoginReply {
    api_key: String,
    secret: Zeroizing<String>,
    passphrase: Zeroizing<String>,
}

#[derive(Serialize)]
struct ChannelOpening<'a> {
    #[serde(rename = "type")]
    channel: &'static str,
    auth: ChannelAuth<'a>,
}

#[derive(Serialize)]
#[serde(rename_all = "camelCase")]
struct ChannelAuth<'a> {
    api_key: &'a str,
    secret: &'a str,
    passphrase: &'a str,
}

/// API credentials of one key, ready to authenticate calls.
pub(crate) struct Credentials {
    /// The signing key's address in checksummed form, as the official clients send it.
    address: String,
    api_key: String,
    passphrase: Zeroizing<String>,
    /// For the user channel, which wants it as it is.
    secret: Zeroizing<String>,
    /// HMAC with the secret already in it.
    mac: Hmac<Sha256>,
}

impl Credentials {
    /// Reads the answer to a login. No error quotes a part of credentials, whatever status they came under.
    pub(crate) fn of_answer(address: Address, answer: &Answer, what: &str) -> Result<Self, VenueError> {
        if !answer.is_success() {
            let secret = [&b"secret"[..], b"passphrase"]
                .iter()
                .any(|name| answer.body.windows(name.len()).any(|window| window.eq_ignore_ascii_case(name)));
            return Err(if secret {
                malformed(what, &format!("status {}, and credentials in the body", answer.status))
            } else {
                answer.error(what)
            });
        }
        // The parser's own message could quote the secret.
        let reply = serde_json::from_slice::<LoginReply>(&answer.body);
        let reply = reply.map_err(|_| malformed(what, &"not the three parts of API credentials"))?;
        Self::new(address, reply).map_err(|error| malformed(what, &error))
    }

    pub(crate) fn new(address: Address, reply: LoginReply) -> Result<Self, CredentialError> {
        let usable = |text: &str| {
            !text.is_empty()
                && text.len() <= MAX_CREDENTIAL
                && text.bytes().all(|byte| byte.is_ascii_graphic())
        };
        for (name, text) in
            [("key", &reply.api_key), ("passphrase", &*reply.passphrase), ("secret", &*reply.secret)]
        {
            if !usable(text) {
                return Err(CredentialError::Field(name));
            }
        }
        Ok(Self {
            address: checksummed(address),
            mac: keyed_mac(&reply.secret)?,
            secret: reply.secret,
            api_key: reply.api_key,
            passphrase: reply.passphrase,
        })
    }

    /// The API key, which is the `owner` of an order.
    pub(crate) fn api_key(&self) -> &str {
        &self.api_key
    }

    /// What is said first on the user channel: the three parts in clear, over TLS.
    /// Source: docs.polymarket.com/market-data/websocket/user-channel.
    pub(crate) fn channel_opening(&self) -> Result<Zeroizing<String>, serde_json::Error> {
        let auth = ChannelAuth {
            api_key: &self.api_key,
            secret: self.secret.as_str(),
            passphrase: self.passphrase.as_str(),
        };
        serde_json::to_string(&ChannelOpening { channel: "user", auth }).map(Zeroizing::new)
    }

    /// Adds the L2 headers. `path` is without host and query; `body` the exact bytes that are sent.
    pub(crate) fn authenticate(
        &self,
        request: RequestBuilder,
        seconds: i64,
        method: &str,
        path: &str,
        body: &[u8],
    ) -> RequestBuilder {
        let timestamp = seconds.to_string();
        let signature = l2_signature(&self.mac, &timestamp, method, path, body);
        request
            .header("POLY_ADDRESS", &self.address)
            .header("POLY_API_KEY", &self.api_key)
            .header("POLY_PASSPHRASE", self.passphrase.as_str())
            .header("POLY_SIGNATURE", signature)
            .header("POLY_TIMESTAMP", timestamp)
    }
}

/// Adds the L1 headers of a login signed at `seconds`.
pub(crate) fn login_headers(
    request: RequestBuilder,
    address: Address,
    seconds: i64,
    signature: &Signature,
) -> RequestBuilder {
    request
        .header("POLY_ADDRESS", checksummed(address))
        .header("POLY_SIGNATURE", hex::encode_prefixed(signature.0))
        .header("POLY_TIMESTAMP", seconds.to_string())
        .header("POLY_NONCE", LOGIN_NONCE.to_string())
}

fn checksummed(address: Address) -> String {
    alloy_primitives::Address::from(address.0).to_checksum(None)
}

/// The HMAC of a base64 secret, of either alphabet.
pub(crate) fn keyed_mac(secret: &str) -> Result<Hmac<Sha256>, CredentialError> {
    let url_safe = Zeroizing::new(secret.replace('+', "-").replace('/', "_"));
    let key = SECRET_ENCODING.decode(url_safe.as_bytes()).map(Zeroizing::new);
    let key = key.map_err(|_| CredentialError::Secret)?;
    Hmac::new_from_slice(&key).map_err(|_| CredentialError::Secret)
}

/// `base64url(HMAC-SHA256(timestamp ‖ method ‖ path ‖ body))`, with padding.
pub(crate) fn l2_signature(
    mac: &Hmac<Sha256>,
    timestamp: &str,
    method: &str,
    path: &str,
    body: &[u8],
) -> String {
    let mut mac = mac.clone();
    for part in [timestamp.as_bytes(), method.as_bytes(), path.as_bytes(), body] {
        mac.update(part);
    }
    URL_SAFE.encode(mac.finalize().into_bytes())
}

#[cfg(test)]
#[path = "auth_tests.rs"]
mod tests;
