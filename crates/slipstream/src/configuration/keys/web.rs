//! Keys of `[web]`: where the pages and the API are.

use std::net::SocketAddr;

use super::{Key, Sample::Example, key};
use crate::configuration::kind::Kind;

/// `[web]`
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct WebSettings {
    /// Where they are served.
    pub address: Option<SocketAddr>,
}

/// Keys of `[web]`.
pub const WEB: &[Key<WebSettings>] = &[key(
    "address",
    Example("127.0.0.1:8420"),
    Kind::Address(|web, value| web.address = Some(value)),
    "Where the pages and the API are served, by `run`, `backend` and `demo`; with port 0, at a free one. They are for whoever \
     uses this machine, without a password, unless [access] origin names another address for browsers: then there are accounts. \
     An address that others reach is refused without an https:// origin. Without it: 127.0.0.1:8420, or a free port where that \
     one is taken.",
)];
