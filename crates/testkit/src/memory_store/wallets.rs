//! Transactions of our own wallets, and positions that pay nothing.

use async_trait::async_trait;
use domain::{
    Timestamp, Usd,
    ids::{AccountId, OwnerId, TransactionId},
};
use engine::ports::{
    execution::{LedgerCause, RedemptionPayout},
    store::{EventKind, StoreResult},
    wallets::{NewTransaction, TransactionRecord, TransactionState, WalletTransactions},
};

use super::{MemoryStore, state::State};

#[async_trait]
impl WalletTransactions for MemoryStore {
    async fn commit_transaction(&self, new: &NewTransaction) -> StoreResult<Option<TransactionId>> {
        let mut state = self.write();
        let account = state.accounts.row("account", new.account.0)?;
        let (owner, account) = (account.owner, account.trading.clone());
        let newest = state.open_of(new.account).max_by_key(|open| open.attempt);
        let stands = match newest {
            None => new.attempt == 0,
            Some(newest) => {
                new.attempt == newest.attempt.saturating_add(1)
                    && new.transaction.nonce == newest.transaction.nonce
            }
        };
        if !stands {
            return Ok(None);
        }
        let id = TransactionId(state.transactions.next_key());
        state.transactions.insert(TransactionRecord {
            id,
            owner,
            account,
            redemption: new.redemption,
            attempt: new.attempt,
            transaction: new.transaction.clone(),
            relayer_id: None,
            state: TransactionState::Signed,
            reason: String::new(),
            signed_at: new.signed_at,
            ended_at: None,
        });
        state.committed();
        Ok(Some(id))
    }

    async fn open_transactions(&self) -> StoreResult<Vec<TransactionRecord>> {
        let state = self.read();
        let mut open: Vec<_> =
            state.transactions.rows().filter(|record| record.state.is_open()).cloned().collect();
        open.sort_by_key(|record| (record.account.id, record.attempt));
        Ok(open)
    }

    async fn take_transaction(&self, id: TransactionId, relayer_id: Option<&str>) -> StoreResult<()> {
        let mut state = self.write();
        let Some(record) = state.transactions.get_mut(id.0).filter(|record| record.state.is_open()) else {
            return Ok(());
        };
        record.state = TransactionState::Taken;
        if let Some(relayer_id) = relayer_id {
            record.relayer_id = Some(relayer_id.to_owned());
        }
        state.committed();
        Ok(())
    }

    async fn end_transaction(
        &self,
        id: TransactionId,
        end: TransactionState,
        reason: &str,
        now: Timestamp,
    ) -> StoreResult<bool> {
        let mut state = self.write();
        let Some(record) = state.transactions.get_mut(id.0).filter(|record| record.state.is_open()) else {
            return Ok(false);
        };
        (record.state, record.reason, record.ended_at) = (end, reason.to_owned(), Some(now));
        let (owner, account) = (record.owner, record.account.id);
        let others: Vec<_> = state.open_of(account).map(|other| other.id).collect();
        for other in others {
            if let Some(other) = state.transactions.get_mut(other.0) {
                (other.state, other.ended_at) = (TransactionState::Replaced, Some(now));
            }
        }
        let reason = reason.to_owned();
        let kind = EventKind::WalletTransaction { transaction: id, account, state: end, reason };
        state.event(Some(owner), now, kind);
        state.committed();
        Ok(true)
    }

    async fn tell_stuck(&self, id: TransactionId, reason: &str, now: Timestamp) -> StoreResult<()> {
        let mut state = self.write();
        let Some(record) = state.transactions.get(id.0) else { return Ok(()) };
        let (owner, account, at) = (record.owner, record.account.id, record.state);
        let reason = reason.to_owned();
        let kind = EventKind::WalletTransaction { transaction: id, account, state: at, reason };
        state.event(Some(owner), now, kind);
        state.committed();
        Ok(())
    }

    async fn newest_transactions(
        &self,
        owner: Option<OwnerId>,
        limit: usize,
    ) -> StoreResult<Vec<TransactionRecord>> {
        let state = self.read();
        let rows = state.transactions.rows().rev();
        Ok(rows.filter(|row| owner.is_none_or(|owner| owner == row.owner)).take(limit).cloned().collect())
    }

    async fn book_payouts(
        &self,
        account: AccountId,
        payouts: &[RedemptionPayout],
        now: Timestamp,
    ) -> StoreResult<usize> {
        let mut state = self.write();
        state.accounts.row("account", account.0)?;
        let (pays, worthless): (Vec<RedemptionPayout>, Vec<RedemptionPayout>) =
            payouts.iter().partition(|payout| payout.payout.0 > 0);
        let mut booked = 0;
        for (payouts, cause) in [(pays, LedgerCause::Redeemed), (worthless, LedgerCause::Worthless)] {
            booked += state.pay_out(account, &payouts, (cause, Usd(i64::MAX)), now)?.entries.len();
        }
        if booked > 0 {
            state.committed();
        }
        Ok(booked)
    }
}

impl State {
    fn open_of(&self, account: AccountId) -> impl Iterator<Item = &TransactionRecord> {
        self.transactions.rows().filter(move |record| record.account.id == account && record.state.is_open())
    }
}
