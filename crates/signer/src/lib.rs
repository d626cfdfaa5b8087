//! The only crate that can open a key. It signs orders and logins, never bare digests: every digest is
//! computed here, after the signer's own policy has looked at the request.
//!
//! No secret leaves this crate: opened keys have no `Debug`, are erased when dropped, and appear in no
//! error. It knows no network and no store; keys come from a [`KeySource`].

mod file;
mod keys;
pub mod limits;
mod local;
pub mod measure;
mod policy;

pub use file::{FileKey, FileKeyError, PrivateFileError, read_private};
pub use keys::{DerivedKeys, KeySource};
pub use local::LocalSigner;
pub use policy::Binding;
