//! Sealed secrets: what the store keeps of keys. It understands nothing of them; a signer alone can open them.

use async_trait::async_trait;
use domain::{
    Address, KeyRef, Timestamp, WalletKind,
    ids::{AccountId, OwnerId},
};
use serde::{Deserialize, Serialize};

use super::{following::NewAccount, store::StoreResult};

/// A key, sealed. Whoever opens it finds out whether any other field was changed since.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct SealedKey {
    /// The signer's name of it. Unique.
    pub name: KeyRef,
    /// Whose.
    pub owner: OwnerId,
    /// The wallet it may trade for, and no other.
    pub wallet: Address,
    /// How that wallet checks signatures.
    pub kind: WalletKind,
    /// Until when the wallet's owner lets a session key sign; `None` for other keys, which never end.
    pub until: Option<Timestamp>,
    /// The key's address.
    pub signer: Address,
    /// Counts how often this name was given a key.
    pub version: i64,
    /// The key's own data key, encrypted by the installation's.
    pub wrapped: Vec<u8>,
    /// The key, encrypted by its data key.
    pub sealed: Vec<u8>,
}

impl SealedKey {
    /// Whether it was sealed for this account.
    #[must_use]
    pub fn is_of(&self, owner: OwnerId, account: &NewAccount) -> bool {
        let sealed = (self.owner, self.wallet, self.kind, self.signer, &self.name);
        sealed == (owner, account.wallet, account.kind, account.signer, &account.key)
    }
}

/// What is stored of an installation's keys.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
pub struct StoredKeys {
    /// The signer's own words on how they are opened; text without a secret.
    pub header: String,
    /// The keys, by name.
    pub keys: Vec<SealedKey>,
}

/// Keeps sealed keys beside the accounts they belong to.
#[async_trait]
pub trait SealedKeys: Send + Sync {
    /// All there is; `None` before the first header.
    async fn sealed_keys(&self) -> StoreResult<Option<StoredKeys>>;

    /// The first header. `Conflict` when there is one.
    async fn begin_keys(&self, header: &str) -> StoreResult<()>;

    /// A new account with its key, both or neither. `Conflict` when the wallet or the key's name is taken, or when the
    /// account says something else of the key than is sealed with it. A wallet whose account was removed gets that
    /// account back; of a session key also with another key.
    async fn add_keyed_account(
        &self,
        owner: OwnerId,
        account: &NewAccount,
        key: &SealedKey,
        now: Timestamp,
    ) -> StoreResult<AccountId>;

    /// Another header, and each key's data key encrypted anew, all or nothing. `Conflict` when the header is not `old`
    /// any more, or when these are not all the keys there are.
    async fn rewrap_keys(&self, old: &str, new: &str, wrapped: &[(KeyRef, Vec<u8>)]) -> StoreResult<()>;

    /// Another key for an account that is there, or the same sealed anew, under the same name and with a higher version:
    /// the account's signer is the new key's. `NotFound` when it is not the owner's. `Conflict`, in words, when the key was
    /// sealed for something else than the account, when its version is no higher, and while an order that was signed is
    /// not over.
    async fn replace_key(
        &self,
        owner: OwnerId,
        account: AccountId,
        key: &SealedKey,
        now: Timestamp,
    ) -> StoreResult<()>;

    /// Removes an account and its key; its books stay. `Conflict`, in words, while it has a relationship that is not
    /// stopped, an order that is not over, or a transaction under way.
    async fn remove_account(&self, owner: OwnerId, account: AccountId, now: Timestamp) -> StoreResult<()>;
}
