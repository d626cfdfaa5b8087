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
use engine::ports::venue::Signature;
use hmac::{Hmac, KeyInit, Mac};
use reqwest::RequestBuilder;
use serde::Deserialize;
use sha2::Sha256;
use zeroize::Zeroizing;

use crate::limits::MAX_CREDENTIAL;

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

/// API credentials of one key, ready to authenticate calls.
pub(crate) struct Credentials {
    /// The signing key's address in checksummed form, as the official clients send it.
    address: String,
    api_key: String,
    passphrase: Zeroizing<String>,
    /// HMAC with the secret already in it.
    mac: Hmac<Sha256>,
}

impl Credentials {
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
            api_key: reply.api_key,
            passphrase: reply.passphrase,
        })
    }

    /// The API key, which is the `owner` of an order.
    pub(crate) fn api_key(&self) -> &str {
        &self.api_key
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
fn keyed_mac(secret: &str) -> Result<Hmac<Sha256>, CredentialError> {
    let url_safe = Zeroizing::new(secret.replace('+', "-").replace('/', "_"));
    let key = SECRET_ENCODING.decode(url_safe.as_bytes()).map(Zeroizing::new);
    let key = key.map_err(|_| CredentialError::Secret)?;
    Hmac::new_from_slice(&key).map_err(|_| CredentialError::Secret)
}

/// `base64url(HMAC-SHA256(timestamp ‖ method ‖ path ‖ body))`, with padding.
fn l2_signature(mac: &Hmac<Sha256>, timestamp: &str, method: &str, path: &str, body: &[u8]) -> String {
    let mut mac = mac.clone();
    for part in [timestamp.as_bytes(), method.as_bytes(), path.as_bytes(), body] {
        mac.update(part);
    }
    URL_SAFE.encode(mac.finalize().into_bytes())
}

#[cfg(test)]
mod tests {
    use super::*;

    fn reply(api_key: &str, secret: &str, passphrase: &str) -> LoginReply {
        LoginReply {
            api_key: api_key.to_owned(),
            secret: Zeroizing::new(secret.to_owned()),
            passphrase: Zeroizing::new(passphrase.to_owned()),
        }
    }

    #[test]
    fn the_official_clients_sign_the_same() {
        let file: serde_json::Value =
            serde_json::from_str(include_str!("../tests/vectors/hmac_l2.json")).unwrap();
        let vectors = file["vectors"].as_array().unwrap();
        assert_eq!(vectors.len(), 4);
        for vector in vectors {
            let text = |key: &str| vector[key].as_str().unwrap_or_default();
            let signature = l2_signature(
                &keyed_mac(text("secret")).unwrap(),
                &vector["timestamp"].to_string(),
                text("method"),
                text("path"),
                text("body").as_bytes(),
            );
            assert_eq!(signature, text("signature"), "{vector}");
        }
    }

    #[test]
    fn both_base64_alphabets_and_missing_padding_are_read() {
        let signature = |secret| l2_signature(&keyed_mac(secret).unwrap(), "1", "GET", "/", b"");
        assert_eq!(signature("-_-_"), signature("+/+/"));
        assert_eq!(signature("AAA="), signature("AAA"));
        assert!(keyed_mac("not base64!").is_err());
    }

    #[test]
    fn unusable_credentials_are_refused() {
        let address = Address([1; 20]);
        assert!(Credentials::new(address, reply("key", "AAAA", "phrase")).is_ok());
        let long = "A".repeat(MAX_CREDENTIAL + 1);
        for (key, secret, passphrase) in [
            ("", "AAAA", "p"),
            ("k\r\nx", "AAAA", "p"),
            ("k", "A A", "p"),
            ("k", "AAAA", &long),
            ("k", "?", "p"),
        ] {
            assert!(Credentials::new(address, reply(key, secret, passphrase)).is_err(), "{key} {passphrase}");
        }
    }

    #[test]
    fn addresses_are_checksummed() {
        let address = "0xf39fd6e51aad88f6f4ce6ab8827279cfffb92266".parse().unwrap();
        assert_eq!(checksummed(address), "0xf39Fd6e51aad88F6F4ce6aB8827279cffFb92266");
    }
}
