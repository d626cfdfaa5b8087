//! Owners, accounts, leaders, relationships and holds.

use std::collections::{BTreeMap, BTreeSet};

use async_trait::async_trait;
use domain::{
    Address, ConditionId, Timestamp, TokenId, TradingAccount, Usd,
    cycle::{self, Follows},
    ids::{AccountId, HoldId, LeaderId, OwnerId, RelationshipId},
    policy::Policy,
    position::Entry,
};
use engine::ports::{
    detection::ExitNote,
    execution::LedgerCause,
    following::{
        Account, Exposure, Following, FollowingSnapshot, Hold, HoldScope, Leader, NewAccount, NewHold,
        NewRelationship, Relationship, RelationshipStatus,
    },
    reports::LedgerRecord,
    store::{EventKind, InstanceId, StoreError, StoreResult},
};

use super::{
    MemoryStore, corrupt,
    state::{AccountRow, HoldRow, RelationshipRow, State, in_force},
};

impl State {
    fn deposit(&mut self, owner: OwnerId, account: AccountId, usd: Usd, at: Timestamp) {
        let id = self.ledger.next_key();
        self.ledger.insert(LedgerRecord {
            id,
            owner,
            account,
            relationship: None,
            token: None,
            intent: None,
            cause: LedgerCause::Deposit,
            entry: Entry { cash: usd, ..Entry::default() },
            at,
        });
        self.raise_config();
    }
}

#[async_trait]
impl Following for MemoryStore {
    async fn add_owner(&self, name: &str, _now: Timestamp) -> StoreResult<OwnerId> {
        let mut state = self.write();
        state.raise_config();
        Ok(OwnerId(state.owners.insert(name.to_owned())))
    }

    async fn add_account(
        &self,
        owner: OwnerId,
        account: &NewAccount,
        now: Timestamp,
    ) -> StoreResult<AccountId> {
        let mut state = self.write();
        let id = state.add_account(owner, account, now)?;
        state.raise_config();
        Ok(id)
    }

    async fn add_leader(&self, wallet: Address, baseline: Timestamp) -> StoreResult<LeaderId> {
        let mut state = self.write();
        if let Some(leader) = state.leaders.rows().find(|leader| leader.wallet == wallet) {
            return Ok(leader.id);
        }
        let id = LeaderId(state.leaders.next_key());
        state.leaders.insert(Leader { id, wallet, baseline });
        state.raise_config();
        Ok(id)
    }

    async fn add_relationship(
        &self,
        owner: OwnerId,
        relationship: &NewRelationship,
        now: Timestamp,
    ) -> StoreResult<RelationshipId> {
        let mut state = self.write();
        let (account, leader) = (relationship.account, relationship.leader);
        state.own_account(owner, account)?;
        state.leaders.row("leader", leader.0)?;
        let follows = |row: &RelationshipRow| {
            let known = &row.relationship;
            (known.account, known.leader) == (account, leader) && known.status != RelationshipStatus::Stopped
        };
        if state.relationships.rows().any(follows) {
            return Err(StoreError::Conflict(format!("account {account} follows leader {leader} already")));
        }
        if let Some(cycle) = cycle::closed_by(state.follows(account, leader)?, state.all_follow()?) {
            return Err(StoreError::FollowingCycle(cycle));
        }
        let id = RelationshipId(state.relationships.next_key());
        let stored = Relationship {
            id,
            owner,
            account,
            leader,
            status: RelationshipStatus::Active,
            policy: relationship.policy.clone(),
            policy_version: 1,
            since: now,
        };
        let policies = vec![relationship.policy.clone()];
        state.relationships.insert(RelationshipRow { relationship: stored, policies });
        let what = format!("relationship {id} added: account {account} follows leader {leader}");
        state.following_changed(Some(owner), now, what);
        Ok(id)
    }

    async fn set_status(
        &self,
        owner: OwnerId,
        relationship: RelationshipId,
        status: RelationshipStatus,
        now: Timestamp,
    ) -> StoreResult<bool> {
        let mut state = self.write();
        let old = state.own_relationship(owner, relationship)?.relationship.status;
        if old == status {
            return Ok(false);
        }
        if old == RelationshipStatus::Stopped {
            return Err(StoreError::Conflict(format!("relationship {relationship} is stopped for ever")));
        }
        if let Some(row) = state.relationships.get_mut(relationship.0) {
            row.relationship.status = status;
        }
        if status == RelationshipStatus::Active {
            state.look_now(HoldScope::Relationship(relationship), now);
        }
        let word = match status {
            RelationshipStatus::Active => "resumed",
            RelationshipStatus::Paused => "paused",
            RelationshipStatus::Stopped => "stopped",
        };
        state.following_changed(Some(owner), now, format!("relationship {relationship} {word}"));
        Ok(true)
    }

    async fn set_policy(
        &self,
        owner: OwnerId,
        relationship: RelationshipId,
        policy: &Policy,
        now: Timestamp,
    ) -> StoreResult<()> {
        let mut state = self.write();
        state.own_relationship(owner, relationship)?;
        if let Some(row) = state.relationships.get_mut(relationship.0) {
            row.policies.push(policy.clone());
            row.relationship.policy = policy.clone();
            row.relationship.policy_version += 1;
            let version = row.relationship.policy_version;
            let what = format!("relationship {relationship} has policy version {version}");
            state.following_changed(Some(owner), now, what);
        }
        Ok(())
    }

    async fn place_hold(
        &self,
        owner: Option<OwnerId>,
        hold: &NewHold,
        now: Timestamp,
    ) -> StoreResult<HoldId> {
        self.write().place_hold(owner, hold, now)
    }

    async fn place_hold_of(
        &self,
        instance: &InstanceId,
        hold: &NewHold,
        now: Timestamp,
    ) -> StoreResult<HoldId> {
        let mut state = self.write();
        state.begin(instance)?;
        let id = state.place_hold(None, hold, now)?;
        if let Some(row) = state.holds.get_mut(id.0) {
            row.instance = Some(instance.clone());
        }
        Ok(id)
    }

    async fn hold_once(&self, hold: &NewHold, now: Timestamp) -> StoreResult<Option<HoldId>> {
        let mut state = self.write();
        let alike = |row: &HoldRow| {
            let Hold { scope, cause, stops_exits, sells, .. } = row.hold;
            in_force(row, now)
                && (scope, cause) == (hold.scope, hold.cause)
                && stops_exits >= hold.stops_exits
                && sells >= hold.sells
        };
        if state.holds.rows().any(alike) {
            return Ok(None);
        }
        state.place_hold(None, hold, now).map(Some)
    }

    async fn lift_hold(&self, owner: Option<OwnerId>, hold: HoldId, now: Timestamp) -> StoreResult<bool> {
        let mut state = self.write();
        state.lift_hold(owner, hold, now)
    }

    async fn book_deposit(
        &self,
        owner: OwnerId,
        account: AccountId,
        usd: Usd,
        now: Timestamp,
    ) -> StoreResult<()> {
        let mut state = self.write();
        state.own_account(owner, account)?;
        state.deposit(owner, account, usd, now);
        Ok(())
    }

    async fn book_difference(
        &self,
        owner: OwnerId,
        account: AccountId,
        cash: Usd,
        wallet: Usd,
        now: Timestamp,
    ) -> StoreResult<bool> {
        let mut state = self.write();
        let known = state.account(account, state.own_account(owner, account)?);
        if known.cash != cash {
            return Ok(false);
        }
        let more = wallet.minus(cash).map_err(|error| StoreError::Conflict(error.to_string()))?;
        state.deposit(owner, account, more, now);
        Ok(true)
    }

    async fn following(&self, now: Timestamp) -> StoreResult<FollowingSnapshot> {
        let state = self.read();
        let followed = |row: &&RelationshipRow| row.relationship.status != RelationshipStatus::Stopped;
        let relationships: Vec<Relationship> =
            state.relationships.rows().filter(followed).map(|row| row.relationship.clone()).collect();
        let leads = |leader: &&Leader| relationships.iter().any(|known| known.leader == leader.id);
        let trades = |(id, _): &(i64, &AccountRow)| relationships.iter().any(|known| known.account.0 == *id);
        Ok(FollowingSnapshot {
            config_version: state.config_version,
            booked_version: state.booked_version(),
            leaders: state.leaders.rows().filter(leads).cloned().collect(),
            accounts: state
                .accounts
                .iter()
                .filter(trades)
                .map(|(id, row)| state.account(AccountId(id), row))
                .collect(),
            left_over: state.left_over(),
            holds: state.holds.rows().filter(|row| in_force(row, now)).map(|row| row.hold.clone()).collect(),
            exposures: state.exposures()?,
            relationships,
        })
    }

    async fn config_version(&self) -> StoreResult<i64> {
        Ok(self.read().config_version)
    }

    async fn booked_version(&self) -> StoreResult<i64> {
        Ok(self.read().booked_version())
    }

    async fn accounts_of_wallets(&self, wallets: &[Address]) -> StoreResult<Vec<Account>> {
        let state = self.read();
        let wanted = state.accounts.iter().filter(|(_, row)| wallets.contains(&row.trading.wallet));
        Ok(wanted.map(|(id, row)| state.account(AccountId(id), row)).collect())
    }

    async fn conditions_of(&self, tokens: &[TokenId]) -> StoreResult<Vec<(TokenId, ConditionId)>> {
        let state = self.read();
        let known = |token: &TokenId| state.markets.get(token).map(|market| (*token, market.condition));
        Ok(tokens.iter().filter_map(known).collect())
    }
}

impl State {
    pub(super) fn add_account(
        &mut self,
        owner: OwnerId,
        account: &NewAccount,
        added: Timestamp,
    ) -> StoreResult<AccountId> {
        self.owners.row("owner", owner.0)?;
        if self.accounts.rows().any(|row| row.trading.wallet == account.wallet) {
            return Err(StoreError::Conflict(format!("wallet {} has an account already", account.wallet)));
        }
        let id = AccountId(self.accounts.next_key());
        let trading = TradingAccount {
            id,
            wallet: account.wallet,
            signer: account.signer,
            kind: account.kind,
            key: account.key.clone(),
        };
        let (label, mode, cap) = (account.label.clone(), account.mode, account.cap);
        self.accounts.insert(AccountRow { owner, trading, label, mode, cap, removed: false, added });
        Ok(id)
    }

    pub(super) fn following_changed(&mut self, owner: Option<OwnerId>, at: Timestamp, what: String) {
        self.event(owner, at, EventKind::FollowingChanged { what });
        self.raise_config();
    }

    fn follows(&self, account: AccountId, leader: LeaderId) -> StoreResult<Follows> {
        let follower = self.accounts.row("account", account.0)?.trading.wallet;
        Ok(Follows { follower, leader: self.leaders.row("leader", leader.0)?.wallet })
    }

    /// Who follows whom.
    fn all_follow(&self) -> StoreResult<Vec<Follows>> {
        let known = self.relationships.rows().map(|row| &row.relationship);
        let standing = known.filter(|known| known.status != RelationshipStatus::Stopped);
        standing.map(|known| self.follows(known.account, known.leader)).collect()
    }

    /// Whose business a hold of this scope is; an error when it names nothing.
    fn owner_of_scope(&self, scope: HoldScope) -> StoreResult<Option<OwnerId>> {
        Ok(match scope {
            HoldScope::Installation => None,
            HoldScope::Leader(leader) => {
                self.leaders.row("leader", leader.0)?;
                None
            }
            HoldScope::Account(account) => Some(self.accounts.row("account", account.0)?.owner),
            HoldScope::Relationship(relationship) => {
                Some(self.relationships.row("relationship", relationship.0)?.relationship.owner)
            }
        })
    }

    /// Exits of a scope that wait to be looked at are due now.
    fn look_now(&mut self, scope: HoldScope, now: Timestamp) {
        let in_scope = self.in_scope(scope);
        for ((relationship, _), row) in &mut self.revisits {
            if row.due > now && in_scope.contains(relationship) {
                row.due = now;
                row.revisit.version += 1;
            }
        }
    }

    /// Relationships that a hold of this scope concerns.
    fn in_scope(&self, scope: HoldScope) -> BTreeSet<RelationshipId> {
        let all = self.relationships.rows().map(|row| &row.relationship);
        let concerned = all.filter(|of| match scope {
            HoldScope::Installation => true,
            HoldScope::Account(account) => of.account == account,
            HoldScope::Leader(leader) => of.leader == leader,
            HoldScope::Relationship(relationship) => of.id == relationship,
        });
        concerned.map(|of| of.id).collect()
    }

    /// Everything held in a scope is looked at now.
    fn note_held(&mut self, scope: HoldScope, now: Timestamp) {
        let in_scope = self.in_scope(scope);
        let held = self.positions.iter().filter(|((_, relationship, _), row)| {
            row.position.shares.is_positive() && in_scope.contains(relationship)
        });
        let held: Vec<_> =
            held.map(|((_, relationship, token), row)| (*relationship, *token, row.owner)).collect();
        for (relationship, token, owner) in held {
            self.note_exit(&ExitNote { owner, relationship, token, due: now });
            if let Some(row) = self.revisits.get_mut(&(relationship, token)) {
                row.due = now;
            }
        }
    }

    /// Stopped relationships that hold something.
    fn left_over(&self) -> Vec<Relationship> {
        let holds = |id: RelationshipId| {
            let own = self.positions.iter().filter(|((_, relationship, _), _)| *relationship == id);
            own.into_iter().any(|(_, row)| row.position.shares.is_positive())
        };
        let stopped = self.relationships.rows().map(|row| &row.relationship);
        let stopped = stopped.filter(|of| of.status == RelationshipStatus::Stopped && holds(of.id));
        stopped.cloned().collect()
    }

    fn exposures(&self) -> StoreResult<Vec<Exposure>> {
        let mut sums: BTreeMap<(RelationshipId, AccountId, ConditionId), Usd> = BTreeMap::new();
        let mut add = |key, usd: Usd| -> StoreResult<()> {
            let sum = sums.entry(key).or_default();
            *sum = sum.plus(usd).map_err(corrupt)?;
            Ok(())
        };
        for ((account, relationship, _), row) in &self.positions {
            add((*relationship, *account, row.condition), row.position.cost.max(Usd::ZERO))?;
        }
        for (id, usd) in &self.reservations {
            let intent = self.intents.row("intent", id.0)?;
            add((intent.relationship, intent.account.id, intent.condition), *usd)?;
        }
        let at_risk = sums.into_iter().filter(|(_, usd)| usd.is_positive());
        Ok(at_risk
            .map(|((relationship, account, condition), usd)| Exposure {
                relationship,
                account,
                condition,
                usd,
            })
            .collect())
    }

    fn lift_hold(&mut self, by: Option<OwnerId>, hold: HoldId, now: Timestamp) -> StoreResult<bool> {
        let row = self.holds.get(hold.0).filter(|row| in_force(row, now));
        let Some(scope) = row.map(|row| row.hold.scope) else { return Ok(false) };
        let of = self.owner_of_scope(scope)?;
        if by.is_some() && of != by {
            return Ok(false);
        }
        if let Some(row) = self.holds.get_mut(hold.0) {
            row.lifted = true;
        }
        self.look_now(scope, now);
        self.following_changed(of, now, format!("hold {hold} lifted"));
        Ok(true)
    }

    /// Lifts what an instance holds.
    pub(super) fn lift_holds_of(&mut self, instance: &InstanceId, now: Timestamp) -> StoreResult<()> {
        let its = |row: &&HoldRow| row.instance.as_ref() == Some(instance) && !row.lifted;
        let ids: Vec<HoldId> = self.holds.rows().filter(its).map(|row| row.hold.id).collect();
        for id in ids {
            self.lift_hold(None, id, now)?;
        }
        Ok(())
    }

    fn place_hold(&mut self, by: Option<OwnerId>, hold: &NewHold, now: Timestamp) -> StoreResult<HoldId> {
        let of = self.owner_of_scope(hold.scope)?;
        if by.is_some() && of != by {
            return Err(StoreError::NotFound { what: "what the hold names, of the owner", id: 0 });
        }
        let id = HoldId(self.holds.next_key());
        let stored = Hold {
            id,
            scope: hold.scope,
            cause: hold.cause,
            reason: hold.reason.clone(),
            stops_exits: hold.stops_exits,
            sells: hold.sells,
            expires_at: hold.expires_at,
        };
        self.holds.insert(HoldRow { hold: stored, lifted: false, instance: None });
        if hold.sells {
            self.note_held(hold.scope, now);
        }
        self.following_changed(of, now, format!("hold {id} placed: {}", hold.reason));
        Ok(id)
    }
}
