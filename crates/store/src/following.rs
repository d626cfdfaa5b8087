//! The [`Following`] port: every change takes the configuration's version first, raises it, and says so in
//! the outbox.

use std::collections::HashSet;

use async_trait::async_trait;
use domain::{
    Address, ConditionId, Timestamp, TokenId, Usd,
    ids::{AccountId, HoldId, LeaderId, OwnerId, RelationshipId},
    policy::Policy,
};
use engine::ports::{
    following::{
        Account, Exposure, Following, FollowingSnapshot, HoldScope, NewAccount, NewHold, NewRelationship,
        RelationshipStatus,
    },
    store::{Event, EventKind, InstanceId, StoreResult},
};

use crate::{
    SqlStore, accounts, column::Fields, config, dialect::Connection, error, events, holds, instances, ledger,
    markets, relationships, revisits, sql, store::Write,
};

#[async_trait]
impl Following for SqlStore {
    async fn add_owner(&self, name: &str, now: Timestamp) -> StoreResult<OwnerId> {
        let mut write = self.change().await?;
        let id = accounts::add_owner(write.connection(), name, now).await?;
        write.commit().await?;
        Ok(id)
    }

    async fn add_account(
        &self,
        owner: OwnerId,
        account: &NewAccount,
        now: Timestamp,
    ) -> StoreResult<AccountId> {
        let mut write = self.change().await?;
        let id = accounts::add(write.connection(), owner, account, now).await?;
        write.commit().await?;
        Ok(id)
    }

    async fn add_leader(&self, wallet: Address, baseline: Timestamp) -> StoreResult<LeaderId> {
        let mut write = self.change().await?;
        let (id, added) = accounts::add_leader(write.connection(), wallet, baseline).await?;
        if added {
            write.commit().await?;
        } else {
            write.undo().await?;
        }
        Ok(id)
    }

    async fn add_relationship(
        &self,
        owner: OwnerId,
        relationship: &NewRelationship,
        now: Timestamp,
    ) -> StoreResult<RelationshipId> {
        let mut write = self.change().await?;
        let id = relationships::add(write.connection(), owner, relationship, now).await?;
        let what = format!(
            "relationship {id} added: account {} follows leader {}",
            relationship.account, relationship.leader
        );
        tell(write.connection(), Some(owner), now, what).await?;
        write.commit().await?;
        Ok(id)
    }

    async fn set_status(
        &self,
        owner: OwnerId,
        relationship: RelationshipId,
        status: RelationshipStatus,
        now: Timestamp,
    ) -> StoreResult<bool> {
        let mut write = self.change().await?;
        if !relationships::set_status(write.connection(), owner, relationship, status).await? {
            return write.undo().await.map(|()| false);
        }
        if status == RelationshipStatus::Active {
            revisits::look_now(write.connection(), HoldScope::Relationship(relationship), now).await?;
        }
        let word = match status {
            RelationshipStatus::Active => "resumed",
            RelationshipStatus::Paused => "paused",
            RelationshipStatus::Stopped => "stopped",
        };
        tell(write.connection(), Some(owner), now, format!("relationship {relationship} {word}")).await?;
        write.commit().await?;
        Ok(true)
    }

    async fn set_policy(
        &self,
        owner: OwnerId,
        relationship: RelationshipId,
        policy: &Policy,
        now: Timestamp,
    ) -> StoreResult<()> {
        let mut write = self.change().await?;
        let version = relationships::set_policy(write.connection(), owner, relationship, policy, now).await?;
        let what = format!("relationship {relationship} has policy version {version}");
        tell(write.connection(), Some(owner), now, what).await?;
        write.commit().await
    }

    async fn place_hold(
        &self,
        owner: Option<OwnerId>,
        hold: &NewHold,
        now: Timestamp,
    ) -> StoreResult<HoldId> {
        let mut write = self.change().await?;
        let id = hold_and_tell(write.connection(), owner, hold, now).await?;
        write.commit().await?;
        Ok(id)
    }

    async fn place_hold_of(
        &self,
        instance: &InstanceId,
        hold: &NewHold,
        now: Timestamp,
    ) -> StoreResult<HoldId> {
        let mut write = self.change().await?;
        let of_instance = instances::running(write.connection(), instance, now).await?;
        let id = hold_and_tell(write.connection(), None, hold, now).await?;
        holds::ends_with(write.connection(), id, of_instance).await?;
        write.commit().await?;
        Ok(id)
    }

    async fn hold_once(&self, hold: &NewHold, now: Timestamp) -> StoreResult<Option<HoldId>> {
        let mut write = self.change().await?;
        if holds::is_in_force(write.connection(), hold, now).await? {
            return write.undo().await.map(|()| None);
        }
        let id = hold_and_tell(write.connection(), None, hold, now).await?;
        write.commit().await?;
        Ok(Some(id))
    }

    async fn lift_hold(&self, owner: Option<OwnerId>, hold: HoldId, now: Timestamp) -> StoreResult<bool> {
        let mut write = self.change().await?;
        let Some((of, scope)) = holds::lift(write.connection(), owner, hold, now).await? else {
            return write.undo().await.map(|()| false);
        };
        revisits::look_now(write.connection(), scope, now).await?;
        tell(write.connection(), of, now, format!("hold {hold} lifted")).await?;
        write.commit().await?;
        Ok(true)
    }

    async fn book_deposit(
        &self,
        owner: OwnerId,
        account: AccountId,
        usd: Usd,
        now: Timestamp,
    ) -> StoreResult<()> {
        let mut write = self.change().await?;
        accounts::check_owner(write.connection(), owner, account).await?;
        ledger::deposit(write.connection(), owner, account, usd, now).await?;
        write.commit().await
    }

    async fn book_difference(
        &self,
        owner: OwnerId,
        account: AccountId,
        cash: Usd,
        wallet: Usd,
        now: Timestamp,
    ) -> StoreResult<bool> {
        let more = wallet.minus(cash).map_err(error::of_money)?;
        let mut write = self.change().await?;
        accounts::check_owner(write.connection(), owner, account).await?;
        if ledger::cash_of(write.connection(), account).await? != cash {
            return write.undo().await.map(|()| false);
        }
        ledger::deposit(write.connection(), owner, account, more, now).await?;
        write.commit().await?;
        Ok(true)
    }

    async fn following(&self, now: Timestamp) -> StoreResult<FollowingSnapshot> {
        let mut snapshot = self.snapshot().await?;
        let accounts = accounts::following(&mut snapshot).await?;
        let mut relationships = relationships::not_stopped(&mut snapshot).await?;
        let known: HashSet<AccountId> = accounts.iter().map(|account| account.trading.id).collect();
        for one in relationships.iter_mut().filter(|one| !known.contains(&one.account)) {
            one.policy.of_newer_version = true;
        }
        Ok(FollowingSnapshot {
            config_version: config::version(&mut snapshot).await?,
            booked_version: config::booked(&mut snapshot).await?,
            leaders: accounts::followed(&mut snapshot).await?,
            relationships,
            left_over: relationships::left_over(&mut snapshot).await?,
            accounts,
            holds: holds::in_force(&mut snapshot, now).await?,
            exposures: exposures(&mut snapshot).await?,
        })
    }

    async fn config_version(&self) -> StoreResult<i64> {
        config::version(&mut self.read().await?).await
    }

    async fn booked_version(&self) -> StoreResult<i64> {
        config::booked(&mut self.read().await?).await
    }

    async fn accounts_of_wallets(&self, wallets: &[Address]) -> StoreResult<Vec<Account>> {
        accounts::of_wallets(&mut self.read().await?, wallets).await
    }

    async fn conditions_of(&self, tokens: &[TokenId]) -> StoreResult<Vec<(TokenId, ConditionId)>> {
        markets::conditions_of(&mut self.read().await?, tokens).await
    }
}

impl SqlStore {
    /// Begins a change of the configuration.
    pub(crate) async fn change(&self) -> StoreResult<Write<'_>> {
        let mut write = self.write().await?;
        config::raise(write.connection()).await?;
        Ok(write)
    }
}

/// Places a hold, and tells whose it is.
pub(crate) async fn hold_and_tell(
    connection: &mut Connection,
    by: Option<OwnerId>,
    hold: &NewHold,
    now: Timestamp,
) -> StoreResult<HoldId> {
    let (id, of) = holds::place(connection, by, hold, now).await?;
    tell(connection, of, now, format!("hold {id} placed: {}", hold.reason)).await?;
    Ok(id)
}

pub(crate) async fn tell(
    connection: &mut Connection,
    owner: Option<OwnerId>,
    at: Timestamp,
    what: String,
) -> StoreResult<()> {
    events::write(connection, &[Event { owner, at, kind: EventKind::FollowingChanged { what } }]).await
}

/// Cost of positions and open reservations, by relationship and market.
async fn exposures(connection: &mut Connection) -> StoreResult<Vec<Exposure>> {
    const EXPOSURES: &str = "SELECT relationship_id, account_id, condition, CAST(SUM(usd) AS BIGINT) FROM ( \
            SELECT relationship_id, account_id, condition, cost AS usd FROM positions WHERE cost > 0 \
            UNION ALL \
            SELECT relationship_id, account_id, condition, usd FROM reservations \
        ) AS risk GROUP BY relationship_id, account_id, condition \
        ORDER BY relationship_id, account_id, condition";
    let rows = sql::rows(connection, EXPOSURES, []).await?;
    rows.iter()
        .map(|row| {
            let mut fields = Fields::of(row);
            Ok(Exposure {
                relationship: fields.get()?,
                account: fields.get()?,
                condition: fields.get()?,
                usd: fields.get()?,
            })
        })
        .collect()
}
