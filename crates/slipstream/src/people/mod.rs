//! `slipstream user` and `slipstream token`: users of the pages and the API, and tokens of their programs, from the command
//! line. Whoever may open the data directory acts as the administrator, or as the user he names.

mod answers;
mod words;

use std::{
    net::{IpAddr, SocketAddr},
    sync::Arc,
    time::Duration,
};

use access::{Access, NoRandomness, Randomness, Role, Scope, Settings, SignUp};
use clap::Subcommand;
use domain::Clock;
use serde::{Deserialize, Serialize};
use store::SqlStore;
use tracing::{info, warn};

use crate::{
    cli::Installation,
    commands::{self, Answer, Request},
    configuration::keys::AccessSettings,
    secrets::InstallationSecret,
};

pub use answers::answer;

/// Where the pages are if nobody says otherwise.
pub const HERE: &str = "http://localhost";

/// Commands on users.
#[derive(Debug, Subcommand)]
pub enum UserCommand {
    /// Make a link by which somebody becomes a user; it works once. The first one makes the administrator.
    Invite {
        /// What the user may do: trader, operator (runs the installation, too) or administrator (users and roles, too).
        #[arg(long, default_value = "trader")]
        role: Role,
        /// Where the installation is.
        #[command(flatten)]
        at: Installation,
    },
    /// Who may sign in, by what, and as what.
    List {
        /// Where the installation is.
        #[command(flatten)]
        at: Installation,
    },
    /// Let a user in no more, from the next request on.
    Disable {
        /// The name.
        name: String,
        /// Let the user in again.
        #[arg(long)]
        undo: bool,
        /// Where the installation is.
        #[command(flatten)]
        at: Installation,
    },
    /// Make a link by which a user sets another password; it works once, for an hour. It signs nobody in.
    Reset {
        /// The name.
        name: String,
        /// Ask for no codes of an authenticator app any more: it was lost, and the recovery codes too.
        #[arg(long)]
        without_app: bool,
        /// Where the installation is.
        #[command(flatten)]
        at: Installation,
    },
}

/// Commands on tokens.
#[derive(Debug, Subcommand)]
pub enum TokenCommand {
    /// Make a token for a program. It is shown once; what is kept of it lets nobody in.
    Create {
        /// What it is for.
        name: String,
        /// Whose it is [default: the first administrator's].
        #[arg(long, value_name = "NAME")]
        user: Option<String>,
        /// What it may do, within what the user may: read, trade, operate, administer. Repeat it for several.
        #[arg(long = "scope", value_name = "SCOPE", default_value = "read")]
        scopes: Vec<Scope>,
        /// From where alone it may be used. Repeat it for several.
        #[arg(long = "address", value_name = "ADDRESS")]
        addresses: Vec<IpAddr>,
        /// After how many days it ends [default: never].
        #[arg(long, value_name = "DAYS", value_parser = clap::value_parser!(u16).range(1..=3650))]
        days: Option<u16>,
        /// Where the installation is.
        #[command(flatten)]
        at: Installation,
    },
    /// A user's tokens, revoked ones too.
    List {
        /// Whose [default: the first administrator's].
        #[arg(long, value_name = "NAME")]
        user: Option<String>,
        /// Where the installation is.
        #[command(flatten)]
        at: Installation,
    },
    /// Take a token back, from the next request on.
    Revoke {
        /// Its number, as `token list` has it.
        token: i64,
        /// Whose it is [default: the first administrator's].
        #[arg(long, value_name = "NAME")]
        user: Option<String>,
        /// Where the installation is.
        #[command(flatten)]
        at: Installation,
    },
}

/// What these ask of whoever has the store.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum PeopleRequest {
    /// A link for a new user.
    Invite(Role),
    /// All users.
    Users,
    /// Lets a user in no more, or again.
    Disable {
        /// Who.
        name: String,
        /// Again.
        undo: bool,
    },
    /// A link for another password.
    Reset {
        /// Who.
        name: String,
        /// Without codes of an app from now on.
        without_app: bool,
    },
    /// A new token.
    MakeToken {
        /// Whose; the first administrator's without a name.
        user: Option<String>,
        /// What it is for.
        name: String,
        /// What it may do.
        scopes: Vec<Scope>,
        /// From where.
        addresses: Vec<IpAddr>,
        /// For how long.
        days: Option<u16>,
    },
    /// A user's tokens.
    Tokens(Option<String>),
    /// Takes one back.
    Revoke {
        /// Whose.
        user: Option<String>,
        /// Which.
        token: i64,
    },
}

/// Random bytes of the system.
struct System;

impl Randomness for System {
    fn fill(&self, bytes: &mut [u8]) -> Result<(), NoRandomness> {
        let mut filled = 0;
        while filled < bytes.len() {
            let rest = bytes.get_mut(filled..).unwrap_or_default();
            let more = rustix::rand::getrandom(rest, rustix::rand::GetRandomFlags::empty());
            filled += more.map_err(|_| NoRandomness)?;
        }
        Ok(())
    }
}

/// The door of an installation whose pages are at this address, if this process serves any. Without another origin than this
/// machine they have one user, who needs no password.
#[must_use]
pub fn access(
    store: &Arc<SqlStore>,
    secret: &InstallationSecret,
    settings: &AccessSettings,
    clock: &Arc<dyn Clock>,
    pages: Option<SocketAddr>,
) -> Arc<Access> {
    let settings = Settings {
        single_user: settings.origin.is_none(),
        sign_up: settings.sign_up.unwrap_or(SignUp::Invited),
        idle: settings.session_idle,
        absolute: settings.session_most,
        invited_for: settings.invitations_last,
        origin: settings.origin.clone().unwrap_or_else(|| here(pages)),
        forwarded: settings.forwarded,
        ..Settings::default()
    };
    made(store, secret.derive(&[b"access"]), clock, settings)
}

/// This machine's pages, as browsers write it. Passkeys know names, not numbers.
fn here(pages: Option<SocketAddr>) -> String {
    pages.map_or_else(|| HERE.to_owned(), |pages| format!("{HERE}:{}", pages.port()))
}

/// The door of a demo, which has one user. What it seals is worth nothing, and opened by this process alone.
#[must_use]
pub fn of_demo(store: &Arc<SqlStore>, clock: &Arc<dyn Clock>, pages: Option<SocketAddr>) -> Arc<Access> {
    let mut sealing = [0; 32];
    if System.fill(&mut sealing).is_err() {
        warn!("the system gives no random bytes: no session can begin");
    }
    made(store, sealing, clock, Settings { single_user: true, origin: here(pages), ..Settings::default() })
}

fn made(store: &Arc<SqlStore>, sealing: [u8; 32], clock: &Arc<dyn Clock>, settings: Settings) -> Arc<Access> {
    Arc::new(Access::new(store.clone(), Arc::clone(clock), Arc::new(System), sealing, settings))
}

/// Tells where the pages are and who may use them, and how the administrator is made where nobody could sign in.
///
/// # Errors
/// When the store fails.
pub async fn tell_door(access: &Access, url: &str) -> anyhow::Result<()> {
    let origin = &access.settings().origin;
    if access.settings().single_user {
        info!("{url} shows and changes everything, to whoever uses this machine; no password is asked for");
    } else if let Some(link) = access.set_up_link().await? {
        let link = link.reveal();
        info!("{origin}/set-up/{link} makes the administrator of the pages; it works once, for a day");
    } else {
        info!("the pages are at {origin} for those who sign in, and served at {url}");
    }
    Ok(())
}

/// Runs a command on users.
///
/// # Errors
/// In words, with what to do.
pub async fn user(command: &UserCommand) -> anyhow::Result<(Answer, bool)> {
    let (at, request) = match command {
        UserCommand::Invite { role, at } => (at, PeopleRequest::Invite(*role)),
        UserCommand::List { at } => (at, PeopleRequest::Users),
        UserCommand::Disable { name, undo, at } => {
            (at, PeopleRequest::Disable { name: name.clone(), undo: *undo })
        }
        UserCommand::Reset { name, without_app, at } => {
            (at, PeopleRequest::Reset { name: name.clone(), without_app: *without_app })
        }
    };
    ask(at, request).await
}

/// Runs a command on tokens.
///
/// # Errors
/// In words, with what to do.
pub async fn token(command: &TokenCommand) -> anyhow::Result<(Answer, bool)> {
    let (at, request) = match command {
        TokenCommand::Create { name, user, scopes, addresses, days, at } => {
            let (user, name, scopes) = (user.clone(), name.clone(), scopes.clone());
            (at, PeopleRequest::MakeToken { user, name, scopes, addresses: addresses.clone(), days: *days })
        }
        TokenCommand::List { user, at } => (at, PeopleRequest::Tokens(user.clone())),
        TokenCommand::Revoke { token, user, at } => {
            (at, PeopleRequest::Revoke { user: user.clone(), token: *token })
        }
    };
    ask(at, request).await
}

async fn ask(at: &Installation, request: PeopleRequest) -> anyhow::Result<(Answer, bool)> {
    Ok((commands::ask(&at.place()?, &Request::People(request)).await?, at.json))
}

/// Days as a span of time.
pub(crate) fn days(days: u16) -> Duration {
    Duration::from_hours(24 * u64::from(days))
}
