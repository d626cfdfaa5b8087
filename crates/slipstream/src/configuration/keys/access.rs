//! Keys of `[access]`: who may sign up, how long sessions last, and where browsers find the pages.

use std::time::Duration;

use access::SignUp;

use super::{
    Key,
    Sample::{Default as Or, Example},
    key,
};
use crate::configuration::kind::Kind;

const MINUTE: Duration = Duration::from_secs(60);
const HOUR: Duration = Duration::from_hours(1);

/// `[access]`
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct AccessSettings {
    /// Whether everybody may sign up, or those who were invited.
    pub sign_up: Option<SignUp>,
    /// How long a session lasts without a request.
    pub session_idle: Duration,
    /// How long a session lasts.
    pub session_most: Duration,
    /// How long an invitation works.
    pub invitations_last: Duration,
    /// Where browsers find the pages.
    pub origin: Option<String>,
    /// Whether a proxy is believed about where a request comes from.
    pub forwarded: bool,
}

/// Keys of `[access]`.
pub const ACCESS: &[Key<AccessSettings>] = &[
    key(
        "sign_up",
        Or("invited"),
        Kind::Choice(
            &[
                ("invited", |access| access.sign_up = Some(SignUp::Invited)),
                ("open", |access| access.sign_up = Some(SignUp::Open)),
            ],
            &[],
        ),
        "Who becomes a user: those whom an administrator invites (`slipstream user invite`), or everybody, as a trader.",
    ),
    key(
        "session_idle",
        Or("30m"),
        Kind::Time(MINUTE..=Duration::from_hours(24), |access, time| access.session_idle = time),
        "How long a session lasts without a request.",
    ),
    key(
        "session_most",
        Or("12h"),
        Kind::Time(MINUTE..=Duration::from_hours(24 * 30), |access, time| access.session_most = time),
        "How long a session lasts at all.",
    ),
    key(
        "invitations_last",
        Or("168h"),
        Kind::Time(HOUR..=Duration::from_hours(24 * 90), |access, time| access.invitations_last = time),
        "How long an invitation works.",
    ),
    key(
        "origin",
        Example("https://copy.example"),
        Kind::Origin(|access, origin| access.origin = Some(origin)),
        "Where browsers find the pages: scheme and host, and the port if it is not the scheme's own; a proxy with TLS answers there. \
         With it there are accounts: links of invitations begin with it, and passkeys and wallets sign for it and nothing else. \
         Without it the pages are this machine's and have one user, who needs no password.",
    ),
    key(
        "forwarded",
        Or("false"),
        Kind::Flag(|access, forwarded| access.forwarded = forwarded),
        "Whether a proxy in front of the pages says in X-Forwarded-For where a request comes from: its last entry counts then, \
         for waits after wrong passwords, addresses of tokens and the audit log. Only where nobody reaches the pages past it.",
    ),
];
