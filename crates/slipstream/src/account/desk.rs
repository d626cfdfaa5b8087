//! Reaching the accounts of an installation: through the running process, or by opening the store when none runs.

use std::{path::Path, sync::Arc};

use anyhow::{Context, bail};
use domain::Clock;
use store::{OpenError, SqlStore};

use super::{
    keyring::{Keyring, Opening, Parts},
    requests::{self, AccountRequest},
    unlock,
};
use crate::{
    clock::SystemClock,
    commands::{Answer, DATABASE, Request},
    configuration::keys::LiveSettings,
    place::Place,
    secrets::InstallationSecret,
    socket,
};

/// What a command needs of the keys.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Need {
    /// Nothing: they stay sealed unless something opens them without asking.
    Nothing,
    /// The keys there are.
    Keys,
    /// The keys there are, or the first ones.
    FirstKeys,
}

/// Whoever answers.
pub enum Desk<'a> {
    /// The process that runs on the data directory.
    Running(&'a Path),
    /// This one.
    Own {
        /// Its store.
        store: Arc<SqlStore>,
        /// Its keys.
        keyring: Box<Keyring>,
        /// Time.
        clock: Arc<dyn Clock>,
    },
}

impl<'a> Desk<'a> {
    /// Finds it.
    ///
    /// # Errors
    /// In words, with what to do.
    pub async fn open(place: &'a Place, live: &LiveSettings, need: Need) -> anyhow::Result<Self> {
        let data_dir = place.data_dir.as_path();
        if socket::ask(data_dir, &Request::Ping).await?.is_some() {
            return Ok(Self::Running(data_dir));
        }
        // One that was made by the way would be taken for the real one by the next command.
        place.must_be_there()?;
        let clock: Arc<dyn Clock> = Arc::new(SystemClock);
        let mut only_looks = false;
        let store = match place.hold("command", &clock).await {
            Ok(held) => held.store,
            Err(error) => match error.downcast_ref() {
                Some(OpenError::InUse { directory, .. }) => bail!(
                    "another command or a process that is starting or ending works on {}; try again in a moment",
                    directory.display()
                ),
                // What is there can be looked at all the same.
                Some(OpenError::Io { .. }) if need == Need::Nothing && !store::may_be_written(data_dir) => {
                    only_looks = true;
                    Arc::new(SqlStore::look(&data_dir.join(DATABASE), Arc::clone(&clock)).await?)
                }
                _ => return Err(error),
            },
        };
        let secret = match InstallationSecret::read(data_dir)? {
            // Nothing can be compared with the database there: that is written.
            Some(secret) if only_looks => secret,
            _ => InstallationSecret::of_installation(data_dir, store.as_ref()).await?,
        };
        let there = engine::ports::secrets::SealedKeys::sealed_keys(store.as_ref()).await?.is_some();
        let unlock = match (need, there) {
            _ if live.socket.is_some() || only_looks => None,
            (Need::Nothing, true) => unlock::silently(live)?,
            (Need::Nothing, false) => None,
            (Need::Keys | Need::FirstKeys, true) => Some(unlock::known(live)?),
            (Need::Keys, false) => None,
            (Need::FirstKeys, false) => Some(unlock::new(live)?),
        };
        let parts = Parts {
            directory: data_dir,
            secret: &secret,
            store: Arc::clone(&store) as _,
            opening: match (&live.socket, &unlock) {
                (Some(socket), _) if need != Need::Nothing || there => Opening::At(socket.clone()),
                (_, Some(unlock)) => Opening::Here(unlock),
                _ => Opening::Nowhere,
            },
            live: live.enabled,
            clock: Arc::clone(&clock),
        };
        let keyring = Box::new(Keyring::open(parts).await?);
        Ok(Self::Own { store, keyring, clock })
    }

    /// The keys of an installation on which nothing runs.
    ///
    /// # Errors
    /// While a process runs.
    pub fn own(self) -> anyhow::Result<Keyring> {
        match self {
            Self::Own { keyring, .. } => Ok(*keyring),
            Self::Running(data_dir) => {
                bail!(
                    "a process runs on {}; stop it first, this needs the keys to itself",
                    data_dir.display()
                )
            }
        }
    }

    /// Asks.
    ///
    /// # Errors
    /// In words, with what to do.
    pub async fn ask(&self, request: AccountRequest) -> anyhow::Result<Answer> {
        match self {
            Self::Running(data_dir) => {
                let answer = socket::ask(data_dir, &Request::Account(request)).await?;
                answer.context("the process that ran on this data directory has just ended; try again")
            }
            Self::Own { store, keyring, clock } => {
                requests::answer(keyring, store.as_ref(), clock.as_ref(), &request).await
            }
        }
    }
}
