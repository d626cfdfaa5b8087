//! Transactions that an EOA sends itself: nonce, gas and fees of the chain, signed, sent, looked up by their hash.
//!
//! Sources: ethereum.org/developers/docs/apis/json-rpc; texts of refusals as go-ethereum and bor word them.

use std::sync::Arc;

use alloy_primitives::hex;
use domain::{TradingAccount, TransactionPlan, TxHash, WalletAction};
use eip712::{Chain, Transaction};
use engine::ports::{
    venue::{SignRequest, Signer, VenueError},
    wallets::{Fees, Taken, TransactionOutcome, WalletTransaction},
};
use serde::Deserialize;
use serde_json::{Value, json};

use crate::{http::malformed, providers::JsonRpc};

const SEND: &str = "eth_sendRawTransaction";
const NONCE: &str = "eth_getTransactionCount";
const RECEIPT: &str = "eth_getTransactionReceipt";

/// Sends transactions of EOAs.
#[derive(Clone)]
pub struct Eoa {
    rpc: Arc<dyn JsonRpc>,
    signer: Arc<dyn Signer>,
    chain: Chain,
}

#[derive(Deserialize)]
#[serde(rename_all = "camelCase")]
struct Receipt {
    block_number: String,
    status: String,
}

/// A quantity of JSON-RPC.
fn quantity(value: &Value, what: &str) -> Result<u64, VenueError> {
    let digits = value.as_str().and_then(|text| text.strip_prefix("0x"));
    let number = digits.and_then(|digits| u64::from_str_radix(digits, 16).ok());
    number.ok_or_else(|| malformed(what, &"not a number of 64 bits"))
}

/// A fee that takes the place of this one: nodes want a tenth more of each.
fn raised(fee: u64) -> u64 {
    fee.saturating_add(fee.div_ceil(8))
}

impl Eoa {
    /// Through this JSON-RPC.
    #[must_use]
    pub fn new(rpc: Arc<dyn JsonRpc>, signer: Arc<dyn Signer>, chain: Chain) -> Self {
        Self { rpc, signer, chain }
    }

    async fn number(&self, method: &str, params: Value) -> Result<u64, VenueError> {
        quantity(&self.rpc.ask(method, params).await?, method)
    }

    /// What the chain asks for now, and twice as much: the base fee may double within six blocks.
    async fn fees(&self) -> Result<Fees, VenueError> {
        let price = self.number("eth_gasPrice", json!([])).await?;
        let tip = self.number("eth_maxPriorityFeePerGas", json!([])).await?;
        Ok(Fees { most: price.saturating_mul(2).max(tip), tip })
    }

    /// Signs an action as the account's next transaction.
    ///
    /// # Errors
    /// [`VenueError`]; refused when the call would be undone.
    pub async fn prepare(
        &self,
        account: &TradingAccount,
        action: WalletAction,
    ) -> Result<WalletTransaction, VenueError> {
        let nonce = self.number(NONCE, json!([account.wallet, "pending"])).await?;
        let fees = self.fees().await?;
        self.signed(account, action, nonce, fees).await
    }

    /// Signs an action once more for the same nonce, at fees that nodes take in place of the earlier ones.
    ///
    /// # Errors
    /// As [`Eoa::prepare`].
    pub async fn outbid(
        &self,
        account: &TradingAccount,
        action: WalletAction,
        waiting: &WalletTransaction,
    ) -> Result<WalletTransaction, VenueError> {
        let now = self.fees().await?;
        let fees = waiting.fees.map_or(now, |before| Fees {
            most: raised(before.most).max(now.most),
            tip: raised(before.tip).max(now.tip),
        });
        self.signed(account, action, waiting.nonce, fees).await
    }

    async fn signed(
        &self,
        account: &TradingAccount,
        action: WalletAction,
        nonce: u64,
        fees: Fees,
    ) -> Result<WalletTransaction, VenueError> {
        let refused = |reason: String| VenueError::Refused { what: SEND.to_owned(), reason };
        let call = eip712::call_of(account.wallet, &action).map_err(|error| refused(error.to_string()))?;
        let asked =
            json!([{ "from": account.wallet, "to": call.to, "data": hex::encode_prefixed(call.data) }]);
        // What is undone now would be paid for and undone: a revert is a refusal.
        let gas = self.number("eth_estimateGas", asked).await?;
        let plan = TransactionPlan {
            account: account.clone(),
            action,
            nonce,
            gas: gas.saturating_add(gas.div_ceil(4)),
            max_fee: fees.most,
            tip: fees.tip,
        };
        let transaction = Transaction::from_plan(&plan).map_err(|error| refused(error.to_string()))?;
        let signed = self.signer.sign(&[SignRequest::Transaction(plan)]).await.pop();
        let signed = signed.ok_or_else(|| malformed(SEND, &"the signer answered nothing"))?;
        let signature = signed.map_err(|error| refused(error.to_string()))?;
        let (body, tx) = transaction.signed(self.chain, &signature.0);
        Ok(WalletTransaction { nonce, body, tx: Some(tx), fees: Some(fees), expires_at: None })
    }

    /// Sends the bytes once.
    ///
    /// # Errors
    /// [`VenueError`]; open whether it was taken, unless refused.
    pub async fn send(&self, transaction: &WalletTransaction) -> Result<Taken, VenueError> {
        let sent = self.rpc.ask(SEND, json!([hex::encode_prefixed(&transaction.body)])).await;
        let (what, reason) = match sent {
            Ok(_) => return Ok(Taken::Yes(None)),
            Err(VenueError::Unavailable { what, reason } | VenueError::Refused { what, reason }) => {
                (what, reason)
            }
            Err(other) => return Err(other),
        };
        let says = |texts: &[&str]| texts.iter().any(|text| reason.contains(text));
        if says(&["already known", "known transaction"]) {
            return Ok(Taken::Yes(None));
        }
        // Its own earlier bytes may be in a block, or wait: the look-up says which.
        if says(&["nonce too low", "underpriced", "nonce too high", "base fee"]) {
            return Ok(Taken::NotNow(reason));
        }
        if says(&["insufficient funds"]) {
            let reason = format!("{reason}; send POL to the account for gas");
            return Err(VenueError::Refused { what, reason });
        }
        Err(VenueError::Unavailable { what, reason })
    }

    /// What became of a transaction: final blocks only end it.
    ///
    /// # Errors
    /// [`VenueError`].
    pub async fn outcome(
        &self,
        account: &TradingAccount,
        transaction: &WalletTransaction,
    ) -> Result<TransactionOutcome, VenueError> {
        let hash = transaction.tx.ok_or_else(|| malformed(RECEIPT, &"a transaction without a hash"))?;
        let finalized = self.rpc.ask("eth_getBlockByNumber", json!(["finalized", false])).await?;
        let finalized = finalized.get("number").cloned().unwrap_or(Value::Null);
        // Both at one block and of one provider: the nonce of one that is ahead and the missing receipt of one that is
        // behind would look like another transaction in its place. First the nonce, so that a transaction that became
        // final in between has its receipt.
        let calls = [(NONCE, json!([account.wallet, finalized])), (RECEIPT, json!([hash]))];
        let answers = self.rpc.ask_one(&calls).await?;
        let [used, receipt] = answers.as_slice() else {
            return Err(malformed(RECEIPT, &"not one answer to each question"));
        };
        let used = quantity(used, NONCE)?;
        match receipt {
            Value::Null if used > transaction.nonce => Ok(TransactionOutcome::Replaced),
            Value::Null => Ok(TransactionOutcome::Unseen),
            receipt => judged(hash, receipt, quantity(&finalized, "eth_getBlockByNumber")?),
        }
    }
}

/// What a receipt says, when blocks up to this one are final.
fn judged(hash: TxHash, receipt: &Value, finalized: u64) -> Result<TransactionOutcome, VenueError> {
    let receipt = Receipt::deserialize(receipt).map_err(|error| malformed(RECEIPT, &error))?;
    let block = quantity(&json!(receipt.block_number), RECEIPT)?;
    if finalized < block {
        return Ok(TransactionOutcome::Underway);
    }
    Ok(match receipt.status.as_str() {
        "0x1" => TransactionOutcome::Confirmed(hash),
        "0x0" => TransactionOutcome::Failed(format!("undone in block {block}, transaction {hash}")),
        other => return Err(malformed(RECEIPT, &format!("status {}", crate::http::shorten(other)))),
    })
}

#[cfg(test)]
#[path = "eoa_tests.rs"]
mod tests;
