//! What the relayer answers, as it is written. Source: docs.polymarket.com/api-spec/relayer-openapi.yaml.

use domain::Address;
use serde::Deserialize;

use crate::{
    http::shorten,
    json::null_as_default,
    relayer::{RelayState, Relayed},
};

#[derive(Deserialize)]
pub(crate) struct Next {
    /// Of a proxy wallet: who relays. Else the address asked for.
    pub(crate) address: Address,
    pub(crate) nonce: String,
}

#[derive(Deserialize)]
pub(crate) struct Deployed {
    pub(crate) deployed: bool,
}

#[derive(Deserialize)]
pub(crate) struct Submitted {
    #[serde(rename = "transactionID")]
    pub(crate) id: String,
    pub(crate) state: String,
    #[serde(rename = "transactionHash", default, deserialize_with = "null_as_default")]
    pub(crate) hash: String,
}

#[derive(Deserialize)]
pub(crate) struct OneTransaction {
    #[serde(rename = "transaction_id")]
    pub(crate) id: String,
    pub(crate) state: String,
    #[serde(rename = "transaction_hash", default, deserialize_with = "null_as_default")]
    pub(crate) hash: String,
    #[serde(rename = "error_msg", default, deserialize_with = "null_as_default")]
    pub(crate) reason: String,
}

/// The signature in what was sent.
#[derive(Deserialize)]
pub(crate) struct Signed {
    pub(crate) signature: String,
}

/// A row of `/transactions`.
#[derive(Deserialize)]
pub(crate) struct Row {
    #[serde(rename = "transactionID")]
    pub(crate) id: String,
    pub(crate) state: String,
    #[serde(rename = "transactionHash", default, deserialize_with = "null_as_default")]
    pub(crate) hash: String,
    #[serde(rename = "proxyAddress", default, deserialize_with = "null_as_default")]
    pub(crate) wallet: String,
    #[serde(default, deserialize_with = "null_as_default")]
    pub(crate) nonce: String,
    #[serde(default, deserialize_with = "null_as_default")]
    pub(crate) signature: String,
    #[serde(rename = "errorMsg", default, deserialize_with = "null_as_default")]
    pub(crate) reason: String,
}

fn read(id: String, state: &str, hash: &str, reason: &str) -> Result<Relayed, String> {
    let state = match state {
        "STATE_NEW" | "STATE_EXECUTED" => RelayState::Underway,
        "STATE_MINED" => RelayState::Mined,
        "STATE_CONFIRMED" => RelayState::Confirmed,
        "STATE_FAILED" | "STATE_INVALID" => RelayState::Failed,
        other => return Err(format!("unknown state `{}`", shorten(other))),
    };
    if id.is_empty() {
        return Err("a transaction without an id".to_owned());
    }
    let tx = if hash.is_empty() { None } else { Some(hash.parse().map_err(|_| "no transaction hash")?) };
    Ok(Relayed { id, state, tx, reason: shorten(reason) })
}

impl Next {
    /// The nonce, and whose it is.
    pub(crate) fn read(self) -> Result<(u64, Address), String> {
        let digits = !self.nonce.is_empty() && self.nonce.bytes().all(|byte| byte.is_ascii_digit());
        let nonce = self.nonce.parse().ok().filter(|_| digits);
        Ok((nonce.ok_or("no nonce")?, self.address))
    }
}

impl Submitted {
    pub(crate) fn read(self) -> Result<Relayed, String> {
        read(self.id, &self.state, &self.hash, "")
    }
}

impl OneTransaction {
    pub(crate) fn read(self) -> Result<Relayed, String> {
        read(self.id, &self.state, &self.hash, &self.reason)
    }
}

impl Row {
    pub(crate) fn read(self) -> Result<Relayed, String> {
        read(self.id, &self.state, &self.hash, &self.reason)
    }
}
