//! Keys of `[live]`: the first of the two switches of real money, and where what opens the keys is.

use std::path::PathBuf;

use super::{
    Key,
    Sample::{Default as Or, Example},
    key,
};
use crate::configuration::kind::Kind;

/// `[live]`
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct LiveSettings {
    /// Whether accounts with real money may trade at all.
    pub enabled: bool,
    /// What opens their keys.
    pub key_file: Option<PathBuf>,
    /// Where the signer listens, if it is a process of its own.
    pub socket: Option<PathBuf>,
    /// Who asks the relayer.
    pub relayer_key: Option<PathBuf>,
}

/// Keys of `[live]`.
pub const LIVE: &[Key<LiveSettings>] = &[
    key(
        "enabled",
        Or("false"),
        Kind::Flag(|live, value| live.enabled = value),
        "Whether accounts with real money may trade. It is the first of two switches; the second is `slipstream account \
         arm`, for each account, within caps.",
    ),
    key(
        "key_file",
        Example("keys.txt"),
        Kind::Secret(|live, path| live.key_file = Some(path)),
        "What opens the keys of accounts with real money: a file with an age identity (`age-keygen -o FILE`) or a \
         passphrase, readable by its owner alone, best on another disk than the data. Without it: the systemd credential \
         `slipstream-keys`, or else a passphrase is asked for on the terminal.",
    ),
    key(
        "socket",
        Example("signer.sock"),
        Kind::File(|live, path| live.socket = Some(path)),
        "The socket of a signer that runs as a process of its own (`slipstream signer serve`) and alone opens the keys; \
         `key_file` is that one's then and does not stand here. Without it: the signer is in this process.",
    ),
    key(
        "relayer_key",
        Example("relayer.json"),
        Kind::Secret(|live, path| live.relayer_key = Some(path)),
        "Who asks the venue's relayer to redeem what accounts win whose wallets are contracts (deposit wallets, Safes, proxies): \
         the file that `account check --relayer-key` takes, readable by its owner alone. Without it such winnings wait until \
         they are redeemed by hand.",
    ),
];
