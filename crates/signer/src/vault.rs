//! Sealed keys: each encrypted with a data key of its own, and that one with the installation's key-encryption key.
//! Whose a key is, its wallet and its name are authenticated with it, so that who can write the database can neither
//! read a key nor let it trade for another wallet. Nothing here gives a key back to be looked at.

use std::{
    collections::HashMap,
    sync::{PoisonError, RwLock},
};

use domain::{Address, KeyRef, Timestamp, WalletKind, ids::OwnerId};
use engine::ports::{
    secrets::{SealedKey, StoredKeys},
    venue::SignerError,
};
use serde::{Deserialize, Serialize};
use x25519_dalek::PublicKey;
use zeroize::Zeroizing;

use crate::{
    age_file::{self, AgeError},
    cipher::{NoRandomness, Secret32, decrypt, encrypt, fields, random},
    keys::{KeySource, PrivateKey},
    locked::Locked,
    policy::Binding,
    unlock::{Keys, Source, Unlock, recipient, recipient_text},
};

/// The kind of header this program writes.
const HEADER: u8 = 1;

/// An installation's keys that are not opened.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
pub enum VaultError {
    /// No header of ours.
    #[error("what is stored of how keys are opened cannot be read: {0}; restore a backup")]
    Header(String),
    /// The wrong passphrase or identity.
    #[error("this does not open the keys; they are opened by {0}, and by the very one they were sealed with")]
    Wrong(&'static str),
    /// A row that somebody changed.
    #[error(
        "the sealed key `{0}` was changed after it was sealed, or belongs to another installation; restore a backup"
    )]
    Changed(KeyRef),
    /// No entropy.
    #[error(transparent)]
    NoRandomness(#[from] NoRandomness),
}

/// How keys are opened, and what the signer itself keeps secret.
#[derive(Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
struct Header {
    kind: u8,
    source: Source,
    /// The key that authenticates what the signer keeps of caps, encrypted, in hex.
    books: String,
}

impl Header {
    fn read(text: &str) -> Result<Self, VaultError> {
        let header: Self =
            serde_json::from_str(text).map_err(|error| VaultError::Header(error.to_string()))?;
        if header.kind != HEADER {
            return Err(VaultError::Header(format!("it is of kind {}, known is {HEADER}", header.kind)));
        }
        Ok(header)
    }

    fn of(source: Source, keys: &Keys, books: &Secret32) -> Result<String, VaultError> {
        let sealed = encrypt(&keys.wrapping, &books_context(&source)?, books.as_slice())?;
        let header = Self { kind: HEADER, source, books: hex::encode(sealed) };
        serde_json::to_string(&header).map_err(|error| VaultError::Header(error.to_string()))
    }
}

fn books_context(source: &Source) -> Result<Vec<u8>, VaultError> {
    let source = serde_json::to_vec(source).map_err(|error| VaultError::Header(error.to_string()))?;
    Ok(fields(&[b"slipstream books v1", &source]))
}

/// What is authenticated with a key.
fn context(purpose: &[u8], key: &SealedKey) -> Vec<u8> {
    let until = key.until.map(|until| until.0.to_be_bytes());
    fields(&[
        b"slipstream key v1",
        purpose,
        &key.owner.0.to_be_bytes(),
        &key.wallet.0,
        kind_word(key.kind).as_bytes(),
        until.as_ref().map_or(&[], <[u8; 8]>::as_slice),
        &key.signer.0,
        key.name.0.as_bytes(),
        &key.version.to_be_bytes(),
    ])
}

/// A kind of wallet, for ever.
const fn kind_word(kind: WalletKind) -> &'static str {
    match kind {
        WalletKind::Eoa => "eoa",
        WalletKind::Proxy => "proxy",
        WalletKind::Safe => "safe",
        WalletKind::Deposit => "deposit",
        WalletKind::Session => "session",
    }
}

/// The opened keys of an installation: a [`KeySource`] for its accounts with real money. Has no `Debug`.
pub struct Vault {
    secrets: Locked<Secrets>,
    header: String,
    sealed: RwLock<HashMap<KeyRef, SealedKey>>,
}

/// What opens everything else. Each key is opened for the moment in which it signs.
struct Secrets {
    keys: Keys,
    books: Secret32,
}

/// What a key is sealed for.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct KeyUse {
    /// Whose.
    pub owner: OwnerId,
    /// The signer's name of it.
    pub name: KeyRef,
    /// The wallet it may trade for.
    pub wallet: Address,
    /// How that wallet checks signatures.
    pub kind: WalletKind,
    /// Until when a session key may sign.
    pub until: Option<Timestamp>,
    /// A number that grows with each sealing under this name.
    pub version: i64,
}

/// Keys under another key-encryption key.
pub struct Rewrapped {
    /// The new header.
    pub header: String,
    /// Each key's data key, encrypted anew.
    pub wrapped: Vec<(KeyRef, Vec<u8>)>,
}

impl Vault {
    /// The first vault of an installation, without a key; store its [`Vault::header`].
    ///
    /// # Errors
    /// [`VaultError::NoRandomness`].
    pub fn create(unlock: &Unlock) -> Result<Self, VaultError> {
        Self::under(unlock, random::<32>()?, HashMap::new())
    }

    fn under(
        unlock: &Unlock,
        books: Secret32,
        sealed: HashMap<KeyRef, SealedKey>,
    ) -> Result<Self, VaultError> {
        let source = unlock.new_source()?;
        let keys = unlock.keys(&source).ok_or(VaultError::Wrong(source.words()))?;
        let header = Header::of(source, &keys, &books)?;
        Ok(Self { secrets: Locked::new(Secrets { keys, books }), header, sealed: RwLock::new(sealed) })
    }

    /// Opens what is stored, every key for a moment, so that a changed row is noticed here.
    ///
    /// # Errors
    /// [`VaultError`].
    pub fn open(unlock: &Unlock, stored: &StoredKeys) -> Result<Self, VaultError> {
        let header = Header::read(&stored.header)?;
        let keys = unlock.keys(&header.source).ok_or(VaultError::Wrong(header.source.words()))?;
        let books = hex::decode(&header.books)
            .ok()
            .and_then(|sealed| decrypt(&keys.wrapping, &books_context(&header.source).ok()?, &sealed))
            .and_then(|books| <[u8; 32]>::try_from(books.as_slice()).ok())
            .map(Zeroizing::new)
            .ok_or(VaultError::Wrong(header.source.words()))?;
        let sealed = stored.keys.iter().map(|key| (key.name.clone(), key.clone())).collect();
        let secrets = Locked::new(Secrets { keys, books });
        let vault = Self { secrets, header: stored.header.clone(), sealed: RwLock::new(sealed) };
        for key in &stored.keys {
            vault.unseal(key)?;
        }
        Ok(vault)
    }

    /// Whether what opens the keys is never swapped out.
    #[must_use]
    pub const fn is_locked(&self) -> bool {
        self.secrets.is_locked()
    }

    /// What to store of how keys are opened.
    #[must_use]
    pub fn header(&self) -> &str {
        &self.header
    }

    /// For whom to encrypt a private key that is to be imported, as `age` writes it.
    #[must_use]
    pub fn public_key(&self) -> String {
        recipient_text(&PublicKey::from(&self.secrets.keys.import))
    }

    /// Authenticates the signer's own records.
    pub(crate) fn books(&self) -> Secret32 {
        self.secrets.books.clone()
    }

    /// Opens a private key that was encrypted for [`Vault::public_key`].
    ///
    /// # Errors
    /// [`ImportError`].
    pub fn import(&self, file: &[u8]) -> Result<PrivateKey, ImportError> {
        let text = age_file::decrypt(&self.secrets.keys.import, file)?;
        Ok(PrivateKey::parse(&text)?)
    }

    /// Seals a key.
    ///
    /// # Errors
    /// [`VaultError::NoRandomness`].
    pub fn seal(&self, key: &PrivateKey, to: &KeyUse) -> Result<SealedKey, VaultError> {
        let mut sealed = SealedKey {
            name: to.name.clone(),
            owner: to.owner,
            wallet: to.wallet,
            kind: to.kind,
            until: to.until,
            signer: key.address(),
            version: to.version,
            wrapped: Vec::new(),
            sealed: Vec::new(),
        };
        let data_key = random::<32>()?;
        sealed.wrapped =
            encrypt(&self.secrets.keys.wrapping, &context(b"data key", &sealed), data_key.as_slice())?;
        sealed.sealed = encrypt(&data_key, &context(b"key", &sealed), key.bytes().as_slice())?;
        Ok(sealed)
    }

    /// Takes a sealed key that was stored, from now on.
    ///
    /// # Errors
    /// [`VaultError::Changed`].
    pub fn take(&self, key: SealedKey) -> Result<(), VaultError> {
        self.unseal(&key)?;
        self.sealed.write().unwrap_or_else(PoisonError::into_inner).insert(key.name.clone(), key);
        Ok(())
    }

    /// Knows a key no longer.
    pub fn forget(&self, name: &KeyRef) {
        self.sealed.write().unwrap_or_else(PoisonError::into_inner).remove(name);
    }

    /// All keys under another key-encryption key. Store it in one transaction, and open the vault anew.
    ///
    /// # Errors
    /// [`VaultError`].
    pub fn rewrap(&self, unlock: &Unlock) -> Result<Rewrapped, VaultError> {
        let new = Self::under(unlock, self.secrets.books.clone(), HashMap::new())?;
        let sealed = self.sealed.read().unwrap_or_else(PoisonError::into_inner);
        let mut wrapped = Vec::with_capacity(sealed.len());
        for key in sealed.values() {
            let data_key = self.data_key(key)?;
            let again = encrypt(&new.secrets.keys.wrapping, &context(b"data key", key), data_key.as_slice())?;
            wrapped.push((key.name.clone(), again));
        }
        wrapped.sort_by(|(one, _), (other, _)| one.0.cmp(&other.0));
        Ok(Rewrapped { header: new.header, wrapped })
    }

    fn data_key(&self, key: &SealedKey) -> Result<Secret32, VaultError> {
        decrypt(&self.secrets.keys.wrapping, &context(b"data key", key), &key.wrapped)
            .and_then(|bytes| <[u8; 32]>::try_from(bytes.as_slice()).ok())
            .map(Zeroizing::new)
            .ok_or_else(|| VaultError::Changed(key.name.clone()))
    }

    fn unseal(&self, key: &SealedKey) -> Result<Secret32, VaultError> {
        let changed = || VaultError::Changed(key.name.clone());
        let bytes = decrypt(&self.data_key(key)?, &context(b"key", key), &key.sealed).ok_or_else(changed)?;
        let bytes = Zeroizing::new(<[u8; 32]>::try_from(bytes.as_slice()).map_err(|_| changed())?);
        Ok(bytes)
    }

    fn find(&self, name: &KeyRef) -> Option<SealedKey> {
        self.sealed.read().unwrap_or_else(PoisonError::into_inner).get(name).cloned()
    }
}

impl KeySource for Vault {
    fn open(&self, key: &KeyRef) -> Result<Zeroizing<[u8; 32]>, SignerError> {
        let sealed = self.find(key).ok_or_else(|| SignerError::UnknownKey(key.clone()))?;
        self.unseal(&sealed).map_err(|error| SignerError::Unavailable(error.to_string()))
    }

    fn sealed_for(&self, key: &KeyRef) -> Option<Binding> {
        let binding = |SealedKey { wallet, kind, until, .. }| Binding { wallet, kind, until };
        self.find(key).map(binding)
    }
}

/// An encrypted private key that is not taken.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
pub enum ImportError {
    /// It cannot be opened.
    #[error(transparent)]
    Age(#[from] AgeError),
    /// What is in it is no key.
    #[error(transparent)]
    Key(#[from] crate::keys::KeyFormat),
}

/// Encrypts a private key for a [`Vault::public_key`], so that it can be handed over.
///
/// # Errors
/// [`AgeError`].
pub fn encrypt_for(public_key: &str, key: &PrivateKey) -> Result<Vec<u8>, AgeError> {
    let to = recipient(public_key).ok_or(AgeError::NotForUs)?;
    age_file::encrypt(&to, Zeroizing::new(hex::encode(key.bytes().as_slice())).as_bytes())
}

#[cfg(test)]
#[path = "vault_tests.rs"]
mod tests;
