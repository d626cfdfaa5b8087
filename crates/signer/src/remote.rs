//! The client of a signer that is a process of its own. A call that brings no answer is "unavailable", and nothing is
//! known of it: whoever asked treats it as not signed.

use std::{
    collections::HashSet,
    io,
    path::PathBuf,
    sync::{Arc, Mutex, PoisonError},
    time::Duration,
};

use async_trait::async_trait;
use domain::{Address, Clock, KeyRef};
use engine::{
    deadline::within,
    ports::{
        secrets::{SealedKey, SealedKeys},
        venue::{SignRequest, Signature, Signer, SignerError},
    },
};
use tokio::net::UnixStream;

use crate::{
    keeper::{KeeperError, KeeperResult, KeyKeeper},
    limits::{CALL_DEADLINE, CONNECTIONS, KEYS_IN_A_FRAME, MAX_BATCH, REUSED_WITHIN},
    spending::{Caps, Standing},
    vault::KeyUse,
    wire::{self, Call, Reply},
};

/// A signer behind a socket. It hands the sealed keys of the store to it, and again when it has started anew.
pub struct RemoteKeeper {
    path: PathBuf,
    store: Arc<dyn SealedKeys>,
    clock: Arc<dyn Clock>,
    /// Connections that rest, since which uptime.
    idle: Mutex<Vec<(UnixStream, Duration)>>,
}

impl RemoteKeeper {
    /// The signer that listens at `path`, for the keys of `store`.
    #[must_use]
    pub fn new(path: PathBuf, store: Arc<dyn SealedKeys>, clock: Arc<dyn Clock>) -> Self {
        Self { path, store, clock, idle: Mutex::default() }
    }

    /// Asks, and tells it of the keys first where it knows none.
    async fn ask(&self, call: &Call) -> KeeperResult<Reply> {
        match self.ask_once(call).await? {
            Reply::NotOpen => {
                self.open().await?;
                self.ask_once(call).await
            }
            reply => Ok(reply),
        }
    }

    async fn open(&self) -> KeeperResult<String> {
        let stored = self.store.sealed_keys().await.map_err(unavailable)?;
        let header = stored.as_ref().map(|stored| stored.header.clone());
        let header = text(self.ask_once(&Call::Open(header)).await?)?;
        for keys in stored.unwrap_or_default().keys.chunks(KEYS_IN_A_FRAME) {
            done(self.ask_once(&Call::Take(keys.to_vec())).await?)?;
        }
        Ok(header)
    }

    /// Hands these keys over again; whether there are any, and they were taken.
    async fn hand_over(&self, wanted: &HashSet<KeyRef>) -> bool {
        let stored = self.store.sealed_keys().await.ok().flatten().unwrap_or_default();
        let keys: Vec<_> = stored.keys.into_iter().filter(|key| wanted.contains(&key.name)).collect();
        !keys.is_empty() && matches!(self.ask(&Call::Take(keys)).await, Ok(Reply::Done))
    }

    async fn ask_once(&self, call: &Call) -> KeeperResult<Reply> {
        let reply = within(self.clock.as_ref(), CALL_DEADLINE, self.exchange(call)).await;
        let reply = reply.map_err(|_| unavailable(format!("no answer within {CALL_DEADLINE:?}")))?;
        match reply.map_err(|error| unavailable(format!("{}: {error}", self.path.display())))? {
            Reply::Failed(error) => Err(error),
            reply => Ok(reply),
        }
    }

    async fn exchange(&self, call: &Call) -> io::Result<Reply> {
        let mut stream = match self.take_idle() {
            Some(stream) => stream,
            None => UnixStream::connect(&self.path).await?,
        };
        wire::write(&mut stream, call).await?;
        let length = wire::length(&mut stream).await?;
        let length = length.ok_or_else(|| io::Error::from(io::ErrorKind::UnexpectedEof))?;
        let reply = wire::body(&mut stream, length).await?;
        // Only a connection whose answer was read whole is used again.
        let mut idle = self.idle.lock().unwrap_or_else(PoisonError::into_inner);
        if idle.len() < CONNECTIONS / 2 {
            idle.push((stream, self.clock.uptime()));
        }
        Ok(reply)
    }

    /// A connection that the other side has not closed.
    fn take_idle(&self) -> Option<UnixStream> {
        let mut idle = self.idle.lock().unwrap_or_else(PoisonError::into_inner);
        let now = self.clock.uptime();
        while let Some((stream, since)) = idle.pop() {
            if now.saturating_sub(since) > REUSED_WITHIN {
                continue;
            }
            let mut byte = [0];
            // Nothing may be waiting: between two calls there is nothing to say.
            if matches!(stream.try_read(&mut byte), Err(error) if error.kind() == io::ErrorKind::WouldBlock) {
                return Some(stream);
            }
        }
        None
    }
}

fn unavailable(why: impl std::fmt::Display) -> KeeperError {
    KeeperError::Unavailable(why.to_string())
}

fn odd(reply: &Reply) -> KeeperError {
    let _ = reply;
    unavailable("it answered something else than was asked")
}

fn done(reply: Reply) -> KeeperResult<()> {
    match reply {
        Reply::Done => Ok(()),
        other => Err(odd(&other)),
    }
}

fn text(reply: Reply) -> KeeperResult<String> {
    match reply {
        Reply::Text(text) => Ok(text),
        other => Err(odd(&other)),
    }
}

fn signer_error(error: KeeperError) -> SignerError {
    match error {
        KeeperError::Refused(why) => SignerError::Policy(why),
        KeeperError::Unavailable(why) => SignerError::Unavailable(why),
    }
}

#[async_trait]
impl Signer for RemoteKeeper {
    async fn sign(&self, requests: &[SignRequest]) -> Vec<Result<Signature, SignerError>> {
        let failed = |error: SignerError| requests.iter().map(|_| Err(error.clone())).collect();
        if requests.len() > MAX_BATCH {
            let text = format!("{} requests in one call, at most {MAX_BATCH} are taken", requests.len());
            return failed(SignerError::Policy(text));
        }
        if requests.is_empty() {
            return Vec::new();
        }
        let mut answers = self.signed(requests).await;
        // Another process may have opened a signer that was started anew and not have handed it all keys yet.
        let unknown: Vec<usize> = answers
            .iter()
            .enumerate()
            .filter(|(_, answer)| matches!(answer, Err(SignerError::UnknownKey(_))))
            .map(|(at, _)| at)
            .collect();
        let named = |answer: &Result<Signature, SignerError>| match answer {
            Err(SignerError::UnknownKey(key)) => Some(key.clone()),
            _ => None,
        };
        let wanted: HashSet<KeyRef> = answers.iter().filter_map(named).collect();
        if wanted.is_empty() || !self.hand_over(&wanted).await {
            return answers;
        }
        let again: Vec<SignRequest> = unknown.iter().filter_map(|at| requests.get(*at).cloned()).collect();
        for (at, answer) in unknown.into_iter().zip(self.signed(&again).await) {
            if let Some(place) = answers.get_mut(at) {
                *place = answer;
            }
        }
        answers
    }

    async fn address(&self, key: &KeyRef) -> Result<Address, SignerError> {
        match self.ask(&Call::Address(key.clone())).await.map_err(signer_error)? {
            Reply::Address(address) => address,
            other => Err(signer_error(odd(&other))),
        }
    }
}

impl RemoteKeeper {
    /// What the signer answers to requests that fit into a call.
    async fn signed(&self, requests: &[SignRequest]) -> Vec<Result<Signature, SignerError>> {
        let failed = |error: SignerError| requests.iter().map(|_| Err(error.clone())).collect();
        match self.ask(&Call::Sign(requests.to_vec())).await {
            Ok(Reply::Signed(answers)) if answers.len() == requests.len() => {
                let read = |answer: Result<String, SignerError>| {
                    let broken = || SignerError::Unavailable("a signature that cannot be read".to_owned());
                    answer.and_then(|text| wire::signature(&text).ok_or_else(broken))
                };
                answers.into_iter().map(read).collect()
            }
            Ok(other) => failed(signer_error(odd(&other))),
            Err(error) => failed(signer_error(error)),
        }
    }
}

#[async_trait]
impl KeyKeeper for RemoteKeeper {
    async fn header(&self) -> KeeperResult<String> {
        self.open().await
    }

    async fn public_key(&self) -> KeeperResult<String> {
        text(self.ask(&Call::PublicKey).await?)
    }

    async fn address_of(&self, file: &[u8]) -> KeeperResult<Address> {
        match self.ask(&Call::AddressOf(file.to_vec())).await? {
            Reply::Address(Ok(address)) => Ok(address),
            other => Err(odd(&other)),
        }
    }

    async fn seal(&self, file: &[u8], to: &KeyUse) -> KeeperResult<SealedKey> {
        match self.ask(&Call::Seal(file.to_vec(), to.clone())).await? {
            Reply::Sealed(key) => Ok(*key),
            other => Err(odd(&other)),
        }
    }

    async fn take(&self, key: SealedKey) -> KeeperResult<()> {
        done(self.ask(&Call::Take(vec![key])).await?)
    }

    async fn forget(&self, key: &KeyRef) -> KeeperResult<()> {
        done(self.ask(&Call::Forget(key.clone())).await?)
    }

    async fn arm(&self, key: &KeyRef, caps: Caps) -> KeeperResult<()> {
        done(self.ask(&Call::Arm(key.clone(), caps)).await?)
    }

    async fn disarm(&self, key: &KeyRef) -> KeeperResult<()> {
        done(self.ask(&Call::Disarm(key.clone())).await?)
    }

    async fn standing(&self, key: &KeyRef) -> KeeperResult<Standing> {
        match self.ask(&Call::Standing(key.clone())).await? {
            Reply::Standing(standing) => Ok(standing),
            other => Err(odd(&other)),
        }
    }
}
