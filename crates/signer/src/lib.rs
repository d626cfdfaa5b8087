//! The only crate that can open a key. It signs orders and logins, never bare digests: every digest is
//! computed here, after the signer's own policy has looked at the request.
//!
//! No secret leaves this crate: opened keys have no `Debug`, are erased when dropped, and appear in no
//! error. It knows no network but a Unix socket of its own, and no store; keys come
//! from a [`KeySource`].

mod age_file;
mod cipher;
mod file;
mod harden;
mod keeper;
mod keys;
pub mod limits;
mod local;
mod locked;
pub mod measure;
mod policy;
mod remote;
mod serve;
pub mod spending;
mod state;
mod unlock;
mod vault;
mod wire;

pub use age_file::AgeError;
pub use file::{FileKey, FileKeyError, PrivateFileError, read_private};
pub use harden::{Hardened, harden};
pub use keeper::{KeeperError, KeeperResult, KeyKeeper, LocalKeeper};
pub use keys::{DerivedKeys, KeyFormat, KeySource, PrivateKey};
pub use local::LocalSigner;
pub use policy::Binding;
pub use remote::RemoteKeeper;
pub use serve::{Served, serve};
pub use spending::{Caps, Spending, SpendingError, Standing};
pub use state::{StateError, StateLock, lock_state};
pub use unlock::{Unlock, UnlockError};
pub use vault::{ImportError, KeyUse, Rewrapped, Vault, VaultError, encrypt_for};
