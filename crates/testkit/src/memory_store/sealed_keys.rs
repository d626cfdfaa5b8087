//! Sealed keys.

use async_trait::async_trait;
use domain::{
    KeyRef, Timestamp, WalletKind,
    ids::{AccountId, OwnerId},
};
use engine::ports::{
    following::{NewAccount, RelationshipStatus},
    secrets::{SealedKey, SealedKeys, StoredKeys},
    store::{StoreError, StoreResult},
};

use super::{
    MemoryStore,
    state::{State, WorkState},
};

#[async_trait]
impl SealedKeys for MemoryStore {
    async fn sealed_keys(&self) -> StoreResult<Option<StoredKeys>> {
        let state = self.read();
        let keys = state.sealed_keys.values().cloned().collect();
        Ok(state.key_header.clone().map(|header| StoredKeys { header, keys }))
    }

    async fn begin_keys(&self, header: &str) -> StoreResult<()> {
        let mut state = self.write();
        if state.key_header.is_some() {
            return Err(StoreError::Conflict("there are keys already".to_owned()));
        }
        state.key_header = Some(header.to_owned());
        state.committed();
        Ok(())
    }

    async fn add_keyed_account(
        &self,
        owner: OwnerId,
        account: &NewAccount,
        key: &SealedKey,
        now: Timestamp,
    ) -> StoreResult<AccountId> {
        let mut state = self.write();
        if state.key_header.is_none() || !key.is_of(owner, account) {
            return Err(StoreError::Conflict("the sealed key is another account's".to_owned()));
        }
        let taken = |known: &SealedKey| known.name == key.name || known.wallet == key.wallet;
        if state.sealed_keys.values().any(taken) {
            return Err(StoreError::Conflict(format!("key `{}` or its wallet has a sealed key", key.name)));
        }
        let id = match state.revive(owner, account) {
            Some(id) => id,
            None => state.add_account(owner, account, now)?,
        };
        state.sealed_keys.insert(key.name.0.clone(), key.clone());
        state.following_changed(Some(owner), now, format!("account {id} added: {}", account.label));
        Ok(id)
    }

    async fn rewrap_keys(&self, old: &str, new: &str, wrapped: &[(KeyRef, Vec<u8>)]) -> StoreResult<()> {
        let mut state = self.write();
        let all = wrapped.len() == state.sealed_keys.len()
            && wrapped.iter().all(|(name, _)| state.sealed_keys.contains_key(&name.0));
        if state.key_header.as_deref() != Some(old) || !all {
            return Err(StoreError::Conflict("the keys were changed meanwhile; begin again".to_owned()));
        }
        for (name, bytes) in wrapped {
            if let Some(key) = state.sealed_keys.get_mut(&name.0) {
                key.wrapped.clone_from(bytes);
            }
        }
        state.key_header = Some(new.to_owned());
        state.committed();
        Ok(())
    }

    async fn replace_key(
        &self,
        owner: OwnerId,
        account: AccountId,
        key: &SealedKey,
        now: Timestamp,
    ) -> StoreResult<()> {
        let mut state = self.write();
        let conflict = |why: &str| Err(StoreError::Conflict(format!("account {account} {why}")));
        let trading = state.own_account(owner, account)?.trading.clone();
        let settles = state.work.iter().any(|(id, work)| {
            let of_account = state.intents.get(id.0).is_some_and(|intent| intent.account.id == account);
            of_account && matches!(work.state, WorkState::Signed)
        });
        if settles {
            return conflict("has orders that are not over");
        }
        if (key.owner, key.wallet, key.kind, &key.name) != (owner, trading.wallet, trading.kind, &trading.key)
        {
            return conflict("is not the one that this key was sealed for");
        }
        match state.sealed_keys.get_mut(&key.name.0).filter(|known| known.version < key.version) {
            Some(known) => known.clone_from(key),
            None => return conflict("has a newer key, or none to replace"),
        }
        if let Some(row) = state.accounts.get_mut(account.0) {
            row.trading.signer = key.signer;
        }
        state.following_changed(Some(owner), now, format!("account {account} has another key"));
        Ok(())
    }

    async fn remove_account(&self, owner: OwnerId, account: AccountId, now: Timestamp) -> StoreResult<()> {
        let mut state = self.write();
        let key = state.own_account(owner, account)?.trading.key.clone();
        let follows = state.relationships.rows().map(|row| &row.relationship).any(|relationship| {
            relationship.account == account && relationship.status != RelationshipStatus::Stopped
        });
        let of_account = |id: &domain::ids::IntentId| {
            state.intents.get(id.0).is_some_and(|intent| intent.account.id == account)
        };
        let works = state.work.keys().any(of_account);
        let sends = state
            .transactions
            .rows()
            .any(|transaction| transaction.account.id == account && transaction.state.is_open());
        for (busy, why) in
            [(follows, "follows a leader"), (works, "has orders"), (sends, "has a transaction")]
        {
            if busy {
                return Err(StoreError::Conflict(format!("account {account} {why}")));
            }
        }
        state.sealed_keys.remove(&key.0);
        if let Some(row) = state.accounts.get_mut(account.0) {
            row.removed = true;
        }
        state.following_changed(Some(owner), now, format!("account {account} removed"));
        Ok(())
    }
}

impl State {
    /// The account that was removed from this wallet, back.
    fn revive(&mut self, owner: OwnerId, account: &NewAccount) -> Option<AccountId> {
        let found = self.accounts.iter().find(|(_, row)| {
            let known = &row.trading;
            row.removed
                && (row.owner, row.mode, known.wallet) == (owner, account.mode, account.wallet)
                && (known.signer == account.signer || known.kind == WalletKind::Session)
                && (known.kind, &known.key) == (account.kind, &account.key)
        });
        let id = found.map(|(id, _)| id)?;
        let row = self.accounts.get_mut(id)?;
        row.removed = false;
        row.label.clone_from(&account.label);
        row.cap = account.cap;
        row.trading.signer = account.signer;
        Some(AccountId(id))
    }
}
