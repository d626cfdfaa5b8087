//! Transactions of wallets that are stored and of which it is not known yet what became of them.
//!
//! They end by evidence: what the relayer says of their id, nonce and signature, what the chain has of their hash, and
//! who used their nonce. Until then the same bytes are sent again, or, by an EOA, bytes of the same nonce that offer
//! more.

use std::{collections::HashSet, time::Duration};

use domain::{
    TradingAccount,
    ids::{AccountId, TransactionId},
};
use futures_util::future::join_all;
use tracing::{debug, info, warn};

use super::Redeeming;
use crate::{
    crash_points::reach,
    deadline::venue_call,
    limits,
    ports::{
        store::StoreResult,
        venue::VenueError,
        wallets::{
            NewTransaction, Taken, TransactionOutcome, TransactionRecord, TransactionState, WalletTransaction,
        },
    },
};

/// What a look at open transactions came to.
enum Looked {
    /// It is known what became of them.
    Ended,
    /// They are still open.
    Open,
    /// They are still open after a long time, which somebody should know.
    Stuck(TransactionId, String),
}

impl Redeeming {
    /// Looks at the open transactions whose turn has come. Returns how many ended, and whose are still open.
    pub(super) async fn follow(&mut self) -> StoreResult<(usize, HashSet<AccountId>)> {
        let open = self.store.open_transactions().await?;
        let mut busy: HashSet<AccountId> = open.iter().map(|record| record.account.id).collect();
        self.looked.0.retain(|account, _| busy.contains(account));
        self.told.retain(|id| open.iter().any(|record| record.id == *id));
        let now = self.clock.uptime();
        // One wallet's: of one nonce, by attempt.
        let due = open.chunk_by(|one, next| one.account.id == next.account.id);
        let due = due.filter(|job| job.first().is_some_and(|one| self.looked.is_due(&one.account.id, now)));
        let due: Vec<&[TransactionRecord]> = due.take(limits::IN_FLIGHT).collect();
        let looks = join_all(due.iter().map(|job| self.look_at(job))).await;
        let mut ended = 0;
        for (job, looked) in due.iter().zip(looks) {
            let Some(account) = job.first().map(|one| one.account.id) else { continue };
            self.looked.put_off(account, now, limits::TRANSACTION_FIRST, limits::TRANSACTION_LAST);
            match looked? {
                Looked::Ended => {
                    ended += 1;
                    busy.remove(&account);
                    self.looked.0.remove(&account);
                }
                Looked::Open => {}
                Looked::Stuck(id, reason) => {
                    if self.told.insert(id) {
                        warn!(account = %account, transaction = %id, "a transaction is stuck: {reason}");
                        self.store.tell_stuck(id, &reason, self.clock.now()).await?;
                    }
                }
            }
        }
        Ok((ended, busy))
    }

    /// Looks at one wallet's open transactions, all of one nonce.
    async fn look_at(&self, job: &[TransactionRecord]) -> StoreResult<Looked> {
        let Some(newest) = job.last() else { return Ok(Looked::Open) };
        match self.outcome_of(job).await {
            Ok((one, TransactionOutcome::Confirmed(tx))) => {
                info!(account = %one.account.id, %tx, "a redemption is final");
                let ended = self.end(one, TransactionState::Confirmed, &tx.to_string()).await?;
                self.tell_of_payout(&one.account).await;
                Ok(ended)
            }
            Ok((one, TransactionOutcome::Failed(reason))) => {
                self.end(one, TransactionState::Failed, &reason).await
            }
            Ok((one, TransactionOutcome::Replaced)) => {
                let reason = format!("nonce {} went to another transaction", one.transaction.nonce);
                self.end(one, TransactionState::Replaced, &reason).await
            }
            Ok((one, TransactionOutcome::Underway)) => {
                if one.state == TransactionState::Signed {
                    self.store.take_transaction(one.id, None).await?;
                }
                Ok(self.stuck(newest, "it is on its way"))
            }
            Ok((_, TransactionOutcome::Unseen)) => self.urge(newest).await,
            Err(error) => Ok(self.stuck(newest, &error.to_string())),
        }
    }

    /// What became of transactions of one nonce, of which one at most is carried out.
    async fn outcome_of<'a>(
        &self,
        job: &'a [TransactionRecord],
    ) -> Result<(&'a TransactionRecord, TransactionOutcome), VenueError> {
        let mut best: Option<(&TransactionRecord, TransactionOutcome)> = None;
        for record in job {
            let TransactionRecord { account, transaction, relayer_id, .. } = record;
            let ask = self.redeemer.outcome(account, transaction, relayer_id.as_deref());
            let outcome = venue_call(self.clock.as_ref(), "outcome", limits::REDEEM_DEADLINE, ask).await?;
            let better = best.as_ref().is_none_or(|(_, best)| says_more(&outcome) >= says_more(best));
            if better {
                best = Some((record, outcome));
            }
        }
        best.ok_or_else(|| VenueError::Malformed {
            what: "outcome".to_owned(),
            reason: "no transaction".to_owned(),
        })
    }

    /// The venue does not notice by itself what came. Whoever does not learn it now learns it with the first order
    /// that is refused.
    async fn tell_of_payout(&self, account: &TradingAccount) {
        let Some(gateway) = &self.gateway else { return };
        let ask = gateway.look_again(account, None);
        if let Err(error) = venue_call(self.clock.as_ref(), "look again", limits::READ_DEADLINE, ask).await {
            debug!(account = %account.id, "the venue has not looked at a wallet again: {error}");
        }
    }

    async fn end(
        &self,
        record: &TransactionRecord,
        state: TransactionState,
        reason: &str,
    ) -> StoreResult<Looked> {
        if state != TransactionState::Confirmed {
            warn!(account = %record.account.id, transaction = %record.id, ?state, "a redemption ended: {reason}");
        }
        reach("redeeming.before_record");
        self.store.end_transaction(record.id, state, reason, self.clock.now()).await?;
        Ok(Looked::Ended)
    }

    /// Sends what nobody knows again; after a long time with a higher fee, where fees are ours.
    async fn urge(&self, newest: &TransactionRecord) -> StoreResult<Looked> {
        let TransactionRecord { account, redemption, transaction, attempt, .. } = newest;
        let stuck = self.age(newest) >= limits::TRANSACTION_STUCK && *attempt < limits::FEE_ATTEMPTS;
        // Another fee is another signature; what was signed may be sent again under a hold.
        if stuck && !self.held_accounts().await?(account.id) {
            let outbid = self.redeemer.outbid(account, *redemption, transaction);
            let clock = self.clock.as_ref();
            match venue_call(clock, "outbid", limits::REDEEM_DEADLINE, outbid).await {
                Ok(Some(transaction)) => return self.outbid(newest, transaction).await,
                Ok(None) => {}
                Err(error) => warn!(account = %account.id, "a higher fee cannot be offered: {error}"),
            }
        }
        self.send((newest.id, *attempt), account, transaction).await?;
        Ok(self.stuck(newest, "nobody has it in a block"))
    }

    async fn outbid(
        &self,
        newest: &TransactionRecord,
        transaction: WalletTransaction,
    ) -> StoreResult<Looked> {
        let new = NewTransaction {
            account: newest.account.id,
            redemption: newest.redemption,
            attempt: newest.attempt.saturating_add(1),
            transaction,
            signed_at: self.clock.now(),
        };
        let Some(id) = self.store.commit_transaction(&new).await? else { return Ok(Looked::Open) };
        self.send((id, new.attempt), &newest.account, &new.transaction).await?;
        let most = new.transaction.fees.map_or(0, |fees| fees.most);
        let reason = format!(
            "nonce {} was in no block after {:?}; offered again at {most} wei",
            new.transaction.nonce,
            limits::TRANSACTION_STUCK
        );
        Ok(Looked::Stuck(id, reason))
    }

    fn age(&self, record: &TransactionRecord) -> Duration {
        self.clock.now().since(record.signed_at)
    }

    fn stuck(&self, newest: &TransactionRecord, reason: &str) -> Looked {
        let age = self.age(newest);
        if age < limits::TRANSACTION_STUCK {
            return Looked::Open;
        }
        Looked::Stuck(newest.id, format!("open for {} s: {reason}", age.as_secs()))
    }

    /// Sends stored bytes of an attempt once, and notes what that came to.
    pub(super) async fn send(
        &self,
        (id, attempt): (TransactionId, u32),
        account: &TradingAccount,
        transaction: &WalletTransaction,
    ) -> StoreResult<()> {
        let clock = self.clock.as_ref();
        let sent =
            venue_call(clock, "send", limits::REDEEM_DEADLINE, self.redeemer.send(account, transaction))
                .await;
        reach("redeeming.after_send");
        match sent {
            Ok(Taken::Yes(relayer_id)) => self.store.take_transaction(id, relayer_id.as_deref()).await,
            Ok(Taken::NotNow(reason)) => {
                info!(account = %account.id, transaction = %id, "not taken now: {reason}");
                Ok(())
            }
            Err(VenueError::Refused { reason, .. }) if attempt == 0 => {
                self.refused(id, account, transaction, &reason).await
            }
            // The lower bid before it is still out: it may be in a block at any time.
            Err(VenueError::Refused { reason, .. }) => {
                warn!(account = %account.id, transaction = %id, "the higher fee was refused: {reason}");
                Ok(())
            }
            Err(error) => {
                warn!(account = %account.id, transaction = %id, "whether it was taken is open: {error}");
                Ok(())
            }
        }
    }

    /// A refusal ends what nobody has taken before; else the next look says more.
    async fn refused(
        &self,
        id: TransactionId,
        account: &TradingAccount,
        transaction: &WalletTransaction,
        reason: &str,
    ) -> StoreResult<()> {
        let ask = self.redeemer.outcome(account, transaction, None);
        let outcome = venue_call(self.clock.as_ref(), "outcome", limits::REDEEM_DEADLINE, ask).await;
        warn!(account = %account.id, transaction = %id, ?outcome, "refused: {reason}");
        if outcome == Ok(TransactionOutcome::Unseen) {
            let (state, now) = (TransactionState::Failed, self.clock.now());
            self.store.end_transaction(id, state, reason, now).await?;
        }
        Ok(())
    }
}

/// Of two outcomes of one nonce the one that says more counts.
const fn says_more(outcome: &TransactionOutcome) -> u8 {
    match outcome {
        TransactionOutcome::Confirmed(_) => 4,
        TransactionOutcome::Failed(_) => 3,
        TransactionOutcome::Underway => 2,
        TransactionOutcome::Unseen => 1,
        TransactionOutcome::Replaced => 0,
    }
}
