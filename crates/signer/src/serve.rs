//! The signer as a process of its own: it alone has what opens the keys. It listens on a socket that its user alone may
//! open, looks at who connects, and gives each call a bound.

use std::{
    fs, io,
    os::unix::fs::PermissionsExt as _,
    path::{Path, PathBuf},
    sync::Arc,
};

use domain::Clock;
use engine::{
    deadline::within,
    ports::{secrets::StoredKeys, venue::Signer as _},
};
use tokio::{
    net::{UnixListener, UnixStream},
    sync::{RwLock, Semaphore},
};

use crate::{
    keeper::{KeeperResult, KeyKeeper, LocalKeeper},
    limits::{ACCEPT_PAUSE, CONNECTIONS, FRAME_DEADLINE, LONGEST_REST},
    state::{StateError, lock_state},
    unlock::Unlock,
    wire::{self, Call, Reply},
};

/// What a signer's process is made of.
pub struct Served {
    /// What opens the keys.
    pub unlock: Unlock,
    /// Where it keeps what was spent.
    pub directory: PathBuf,
    /// Whether it signs orders.
    pub live: bool,
    /// Time.
    pub clock: Arc<dyn Clock>,
}

struct Shared {
    served: Served,
    keeper: RwLock<Option<(Option<String>, Arc<LocalKeeper>)>>,
}

/// Listens at `path` until it is dropped; a socket file that is there already, and at which nobody answers, is of a
/// process that died. Its directory is this signer's alone meanwhile: two would each count a day's cap for themselves.
///
/// # Errors
/// When the socket cannot be made, or another signer works in the directory or at the socket.
pub async fn serve(path: &Path, served: Served) -> io::Result<()> {
    let _state = lock_state(&served.directory).map_err(|error| {
        let kind = match &error {
            StateError::Held { .. } => io::ErrorKind::ResourceBusy,
            StateError::Open { .. } => io::ErrorKind::PermissionDenied,
            StateError::Io { source, .. } => source.kind(),
        };
        io::Error::new(kind, error)
    })?;
    if UnixStream::connect(path).await.is_ok() {
        let text = "a signer listens there already; stop it first, or name another socket";
        return Err(io::Error::new(io::ErrorKind::AddrInUse, text));
    }
    let listener = listen(path)?;
    let orders =
        if served.live { "signs orders of armed accounts" } else { "signs no orders: live trading is off" };
    tracing::info!("the signer listens at {} and {orders}", path.display());
    let shared = Arc::new(Shared { served, keeper: RwLock::default() });
    let room = Arc::new(Semaphore::new(CONNECTIONS));
    loop {
        // Waits here when all are taken: what comes next waits at the socket.
        let place = Arc::clone(&room).acquire_owned().await.map_err(io::Error::other)?;
        let stream = match listener.accept().await {
            Ok((stream, _)) => stream,
            Err(error) => {
                // Out of files, or whoever asked is gone: no reason to end with all keys.
                tracing::warn!(%error, "a client of the signer cannot be heard");
                shared.served.clock.sleep(ACCEPT_PAUSE).await;
                continue;
            }
        };
        let shared = Arc::clone(&shared);
        tokio::spawn(async move {
            if let Err(error) = converse(stream, &shared).await {
                tracing::debug!(%error, "a client of the signer went away");
            }
            drop(place);
        });
    }
}

fn listen(path: &Path) -> io::Result<UnixListener> {
    match fs::remove_file(path) {
        Err(error) if error.kind() != io::ErrorKind::NotFound => return Err(error),
        _ => {}
    }
    // Made under another name, so that nobody can open it before its permissions are set.
    let temporary = path.with_extension("new");
    let _ = fs::remove_file(&temporary);
    let listener = UnixListener::bind(&temporary)?;
    fs::set_permissions(&temporary, fs::Permissions::from_mode(0o600))?;
    fs::rename(&temporary, path)?;
    Ok(listener)
}

/// Whether whoever has connected may ask: the signer's own user, or root, whatever the file's mode has become.
fn may_ask(user: u32, own: u32) -> bool {
    user == 0 || user == own
}

async fn converse(mut stream: UnixStream, shared: &Shared) -> io::Result<()> {
    let user = stream.peer_cred()?.uid();
    if !may_ask(user, rustix::process::geteuid().as_raw()) {
        tracing::warn!(user, "another user's process asked the signer; it is not answered");
        return Err(io::ErrorKind::PermissionDenied.into());
    }
    let clock = shared.served.clock.as_ref();
    let late = |_| io::Error::from(io::ErrorKind::TimedOut);
    // A client that rests for long gives its place to others: `disarm` must find one.
    while let Ok(length) = within(clock, LONGEST_REST, wire::length(&mut stream)).await {
        let Some(length) = length? else { break };
        let call = within(clock, FRAME_DEADLINE, wire::body(&mut stream, length)).await.map_err(late)??;
        let reply = shared.answer(call).await;
        within(clock, FRAME_DEADLINE, wire::write(&mut stream, &reply)).await.map_err(late)??;
    }
    Ok(())
}

impl Shared {
    async fn answer(&self, call: Call) -> Reply {
        if let Call::Open(header) = call {
            return self.open(header).await.map_or_else(Reply::Failed, Reply::Text);
        }
        let keeper = self.keeper.read().await.as_ref().map(|(_, keeper)| Arc::clone(keeper));
        let Some(keeper) = keeper else { return Reply::NotOpen };
        reply(keeper.as_ref(), call).await.unwrap_or_else(Reply::Failed)
    }

    /// Opens the keys under this header; the same again changes nothing.
    async fn open(&self, header: Option<String>) -> KeeperResult<String> {
        let mut opened = self.keeper.write().await;
        if let Some((known, keeper)) = opened.as_ref()
            && (*known == header || header.as_deref() == Some(keeper.vault().header()))
        {
            return keeper.header().await;
        }
        let stored = header.clone().map(|header| StoredKeys { header, keys: Vec::new() });
        let Served { unlock, directory, live, clock, .. } = &self.served;
        let keeper = LocalKeeper::open(unlock, stored.as_ref(), directory, *live, Arc::clone(clock))?;
        let text = keeper.header().await?;
        *opened = Some((header, Arc::new(keeper)));
        Ok(text)
    }
}

async fn reply(keeper: &LocalKeeper, call: Call) -> KeeperResult<Reply> {
    Ok(match call {
        Call::Open(_) => Reply::NotOpen,
        Call::Take(keys) => {
            for key in keys {
                keeper.take(key).await?;
            }
            Reply::Done
        }
        Call::Forget(key) => keeper.forget(&key).await.map(|()| Reply::Done)?,
        Call::Sign(requests) => {
            let answers = keeper.sign(&requests).await;
            Reply::Signed(answers.into_iter().map(|answer| answer.map(wire::written)).collect())
        }
        Call::Address(key) => Reply::Address(keeper.address(&key).await),
        Call::PublicKey => Reply::Text(keeper.public_key().await?),
        Call::AddressOf(file) => Reply::Address(Ok(keeper.address_of(&file).await?)),
        Call::Seal(file, purpose) => Reply::Sealed(Box::new(keeper.seal(&file, &purpose).await?)),
        Call::Arm(key, caps) => keeper.arm(&key, caps).await.map(|()| Reply::Done)?,
        Call::Disarm(key) => keeper.disarm(&key).await.map(|()| Reply::Done)?,
        Call::Standing(key) => Reply::Standing(keeper.standing(&key).await?),
    })
}

#[cfg(test)]
#[path = "serve_tests.rs"]
mod tests;
