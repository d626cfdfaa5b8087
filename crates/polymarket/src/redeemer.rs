//! Redeems for every kind of wallet: through the relayer, or as a transaction of an EOA.

use std::sync::Arc;

use alloy_primitives::{U256, hex};
use async_trait::async_trait;
use domain::{ConditionId, Price, Redemption, TokenId, TradingAccount, WalletAction, WalletKind, money::ONE};
use eip712::Chain;
use engine::ports::{
    venue::{ChainReader, VenueError},
    wallets::{Redeemer, Taken, TransactionOutcome, WalletTransaction},
};
use serde_json::json;

use crate::{
    contracts::{GET_RESULT, PAYOUT_DENOMINATOR, PAYOUT_NUMERATORS, conditional_tokens, module_of},
    eoa::Eoa,
    http::malformed,
    providers::JsonRpc,
    relayer::Relayer,
    wallets::read_word,
};

/// Redeems for wallets of all kinds.
pub struct WalletRedeemer {
    /// Without one, wallets that need it are refused.
    relayer: Option<Relayer>,
    eoa: Eoa,
    rpc: Arc<dyn JsonRpc>,
    reader: Arc<dyn ChainReader>,
    chain: Chain,
}

impl WalletRedeemer {
    /// Through this relayer and JSON-RPC, looking at this chain.
    #[must_use]
    pub fn new(
        relayer: Option<Relayer>,
        eoa: Eoa,
        rpc: Arc<dyn JsonRpc>,
        reader: Arc<dyn ChainReader>,
        chain: Chain,
    ) -> Self {
        Self { relayer, eoa, rpc, reader, chain }
    }

    fn relayer(&self, account: &TradingAccount) -> Result<&Relayer, VenueError> {
        self.relayer.as_ref().ok_or_else(|| VenueError::Refused {
            what: "redeem".to_owned(),
            reason: format!("wallet {} needs the relayer, and none is configured", account.wallet),
        })
    }

    /// A word of ConditionalTokens, as final blocks have it.
    async fn word(&self, selector: [u8; 4], words: &[[u8; 32]]) -> Result<U256, VenueError> {
        let data = [selector.as_slice(), words.as_flattened()].concat();
        let call = json!({ "to": conditional_tokens(self.chain), "data": hex::encode_prefixed(data) });
        read_word(&self.rpc.ask("eth_call", json!([call, "finalized"])).await?)
    }
}

impl WalletRedeemer {
    /// What a condition of the V3 era pays, as its module has it in final blocks.
    async fn result(&self, condition: ConditionId) -> Result<Option<[Price; 2]>, VenueError> {
        let what = "getResult";
        let id = condition.as_slice();
        let module = module_of(id, self.chain).ok_or_else(|| VenueError::Refused {
            what: what.to_owned(),
            reason: format!("condition {condition} is of no module that is known"),
        })?;
        let mut word = [0; 32];
        word.iter_mut().zip(id).for_each(|(to, from)| *to = *from);
        let data = hex::encode_prefixed([GET_RESULT.as_slice(), &word].concat());
        let answer = self.rpc.ask("eth_call", json!([{ "to": module, "data": data }, "finalized"])).await?;
        let bytes = answer.as_str().and_then(|text| hex::decode(text).ok());
        read_result(&bytes.unwrap_or_default())
            .ok_or_else(|| malformed(what, &"no list of two shares of a dollar"))
    }
}

/// A list of two numbers that are millionths of one, after the place where it begins; `Some(None)` for an empty one.
fn read_result(bytes: &[u8]) -> Option<Option<[Price; 2]>> {
    let (words, []) = bytes.as_chunks::<32>() else { return None };
    let numbers = words.iter().map(|word| i64::try_from(U256::from_be_bytes(*word)).ok());
    match numbers.collect::<Option<Vec<_>>>()?.as_slice() {
        [32, 0] => Some(None),
        [32, 2, first, second] if first.checked_add(*second) == Some(ONE) => {
            Some(Some([Price(*first), Price(*second)]))
        }
        _ => None,
    }
}

/// A share of the whole, in millionths, rounded down.
fn price(numerator: U256, denominator: U256) -> Option<Price> {
    let millionths = numerator.checked_mul(U256::from(ONE.unsigned_abs()))?.checked_div(denominator)?;
    i64::try_from(millionths).ok().map(Price)
}

#[async_trait]
impl Redeemer for WalletRedeemer {
    async fn payouts(&self, condition: ConditionId) -> Result<Option<[Price; 2]>, VenueError> {
        let Ok(id) = <[u8; 32]>::try_from(condition.as_slice()) else {
            return self.result(condition).await;
        };
        let denominator = self.word(PAYOUT_DENOMINATOR, &[id]).await?;
        if denominator.is_zero() {
            return Ok(None);
        }
        let mut payouts = [Price(0); 2];
        for (outcome, payout) in payouts.iter_mut().enumerate() {
            let place = U256::from(outcome).to_be_bytes();
            let numerator = self.word(PAYOUT_NUMERATORS, &[id, place]).await?;
            *payout = price(numerator, denominator)
                .filter(|price| price.0 <= ONE)
                .ok_or_else(|| malformed("payouts", &"a share pays more than the whole"))?;
        }
        Ok(Some(payouts))
    }

    async fn prepare(
        &self,
        account: &TradingAccount,
        redemption: Redemption,
        tokens: &[TokenId],
    ) -> Result<Option<WalletTransaction>, VenueError> {
        let head = self.reader.head().await?;
        let queries: Vec<_> = tokens.iter().map(|token| (account.wallet, *token)).collect();
        let held = self.reader.balances(&queries, head.number).await?;
        if !held.iter().any(|shares| shares.is_positive()) {
            return Ok(None);
        }
        if let (Redemption::V3 { shares, .. }, [there]) = (redemption, held.as_slice())
            && *there < shares
        {
            let reason = format!("wallet {} holds {there} of {shares} shares", account.wallet);
            return Err(VenueError::Refused { what: "redeem".to_owned(), reason });
        }
        let action = WalletAction::Redeem(redemption);
        let prepared = match account.kind {
            WalletKind::Eoa => self.eoa.prepare(account, action).await?,
            _ => self.relayer(account)?.prepare(account, &[action]).await?,
        };
        Ok(Some(prepared))
    }

    async fn outbid(
        &self,
        account: &TradingAccount,
        redemption: Redemption,
        waiting: &WalletTransaction,
    ) -> Result<Option<WalletTransaction>, VenueError> {
        match account.kind {
            WalletKind::Eoa => {
                self.eoa.outbid(account, WalletAction::Redeem(redemption), waiting).await.map(Some)
            }
            _ => Ok(None),
        }
    }

    async fn send(
        &self,
        account: &TradingAccount,
        transaction: &WalletTransaction,
    ) -> Result<Taken, VenueError> {
        match account.kind {
            WalletKind::Eoa => self.eoa.send(transaction).await,
            _ => self.relayer(account)?.send(transaction).await,
        }
    }

    async fn outcome(
        &self,
        account: &TradingAccount,
        transaction: &WalletTransaction,
        relayer_id: Option<&str>,
    ) -> Result<TransactionOutcome, VenueError> {
        let outcome = match account.kind {
            WalletKind::Eoa => self.eoa.outcome(account, transaction).await?,
            _ => self.relayer(account)?.outcome(account, transaction, relayer_id).await?,
        };
        match transaction.expires_at {
            Some(at) if outcome == TransactionOutcome::Unseen => {
                let finalized = self.reader.finalized().await?;
                if finalized.time > at {
                    return Ok(TransactionOutcome::Failed("nobody carried it out in time".to_owned()));
                }
                Ok(outcome)
            }
            _ => Ok(outcome),
        }
    }
}

#[cfg(test)]
mod tests {
    use serde_json::Value;

    use super::*;

    fn list(numbers: &[u64]) -> Vec<u8> {
        numbers.iter().flat_map(|number| U256::from(*number).to_be_bytes::<32>()).collect()
    }

    /// Hostile sizes, depths and numbers.
    #[test]
    fn the_corpus_of_results_is_survived() {
        let sample = json!(hex::encode_prefixed(list(&[32, 2, 300_000, 700_000]))).to_string();
        let read = |bytes: &[u8]| {
            let answer: Value = serde_json::from_slice(bytes).ok()?;
            read_result(&hex::decode(answer.as_str()?).ok()?)
        };
        let sound = |result: &Option<[Price; 2]>| {
            let whole =
                |[first, second]: &[Price; 2]| first.0 + second.0 == ONE && first.0 >= 0 && second.0 >= 0;
            result.as_ref().is_none_or(whole)
        };
        crate::hostile::survives(&sample, read, sound);
        for word in crate::logs::tests::hostile_words() {
            for place in 0..4 {
                let mut bytes = list(&[32, 2, 300_000, 700_000]);
                bytes[place * 32..(place + 1) * 32].copy_from_slice(&word);
                assert!(read_result(&bytes).is_none_or(|result| sound(&result)), "{bytes:?}");
            }
        }
    }

    #[test]
    fn results_are_two_shares_of_a_dollar_or_none_yet() {
        assert_eq!(read_result(&list(&[32, 0])), Some(None));
        assert_eq!(
            read_result(&list(&[32, 2, 300_000, 700_000])),
            Some(Some([Price(300_000), Price(700_000)]))
        );
        let bad: [&[u64]; 7] = [
            &[],
            &[32],
            &[0, 0],
            &[32, 1, 1_000_000],
            &[32, 2, 1_000_000],
            &[32, 2, 500_000, 500_001],
            &[32, 3, 500_000, 500_000, 0],
        ];
        for numbers in bad {
            assert_eq!(read_result(&list(numbers)), None, "{numbers:?}");
        }
        assert_eq!(read_result(&[list(&[32, 2]), vec![0xff; 64]].concat()), None);
        assert_eq!(read_result(&[0; 33]), None);
    }
}
