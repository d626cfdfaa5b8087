//! What resolved shares pay on paper: what the venue says they pay, booked without a transaction.

use std::sync::Arc;

use async_trait::async_trait;
use domain::{ConditionId, Price, Redemption, TokenId, TradingAccount};
use engine::ports::{
    detection::Lane,
    venue::{MarketData, VenueError},
    wallets::{Redeemer, Taken, TransactionOutcome, WalletTransaction},
};

use crate::is_paper;

/// The redeemer of paper accounts.
pub struct PaperRedeemer {
    markets: Arc<dyn MarketData>,
}

impl PaperRedeemer {
    /// Pays what `markets` say.
    #[must_use]
    pub fn new(markets: Arc<dyn MarketData>) -> Self {
        Self { markets }
    }
}

/// No transaction is ever made on paper.
fn refused(what: &str) -> VenueError {
    VenueError::Refused {
        what: what.to_owned(),
        reason: "paper accounts have no shares on the chain".to_owned(),
    }
}

#[async_trait]
impl Redeemer for PaperRedeemer {
    async fn payouts(&self, condition: ConditionId) -> Result<Option<[Price; 2]>, VenueError> {
        let tokens = self.markets.tokens(condition).await?;
        let mut payouts = Vec::with_capacity(tokens.len());
        for token in tokens {
            let market = self.markets.market(token, Lane::Entries).await?;
            payouts.extend(market.and_then(|market| market.payout));
        }
        Ok(<[Price; 2]>::try_from(payouts).ok())
    }

    fn is_on_chain(&self, account: &TradingAccount) -> bool {
        !is_paper(&account.key)
    }

    async fn prepare(
        &self,
        _: &TradingAccount,
        _: Redemption,
        _: &[TokenId],
    ) -> Result<Option<WalletTransaction>, VenueError> {
        Err(refused("prepare"))
    }

    async fn outbid(
        &self,
        _: &TradingAccount,
        _: Redemption,
        _: &WalletTransaction,
    ) -> Result<Option<WalletTransaction>, VenueError> {
        Ok(None)
    }

    async fn send(&self, _: &TradingAccount, _: &WalletTransaction) -> Result<Taken, VenueError> {
        Err(refused("send"))
    }

    async fn outcome(
        &self,
        _: &TradingAccount,
        _: &WalletTransaction,
        _: Option<&str>,
    ) -> Result<TransactionOutcome, VenueError> {
        Ok(TransactionOutcome::Unseen)
    }
}
