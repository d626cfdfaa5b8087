//! A signer behind a socket: what it answers, to whom, and what becomes of what breaks.

use std::time::Duration;

use domain::{KeyRef, Timestamp, WalletKind, ids::OwnerId};
use engine::ports::{
    secrets::{SealedKey, SealedKeys},
    store::StoreResult,
    venue::{SignRequest, SignerError},
};
use tokio::io::{AsyncReadExt as _, AsyncWriteExt as _};

use super::*;
use crate::{Caps, KeeperError, KeyUse, PrivateKey, RemoteKeeper, encrypt_for, limits::MAX_BATCH};

const KEY: &[u8] = b"ac0974bec39a17e36ba4a6b4d238ff944bacb478cbed5efcae784d7bf4f2ff80";
const IDENTITY: &[u8] = b"AGE-SECRET-KEY-13XZNAP72Y42UP0YMCETKQVNC7NTV4CHU4TWS2Q90WYLRMQV9L6QSGJQ627";

/// Real time: sockets do not wait for another one.
struct RealClock(tokio::time::Instant);

impl Clock for RealClock {
    fn now(&self) -> Timestamp {
        Timestamp(0)
    }
    fn uptime(&self) -> Duration {
        self.0.elapsed()
    }
    #[expect(clippy::disallowed_methods, reason = "this is the clock that is injected")]
    fn sleep(&self, duration: Duration) -> domain::clock::Sleep {
        Box::pin(tokio::time::sleep(duration))
    }
}

/// A store in which nothing is but this.
#[derive(Default)]
struct Stored(std::sync::Mutex<Option<StoredKeys>>);

#[async_trait::async_trait]
impl SealedKeys for Stored {
    async fn sealed_keys(&self) -> StoreResult<Option<StoredKeys>> {
        Ok(self.0.lock().unwrap().clone())
    }
    async fn begin_keys(&self, header: &str) -> StoreResult<()> {
        *self.0.lock().unwrap() = Some(StoredKeys { header: header.to_owned(), keys: Vec::new() });
        Ok(())
    }
    async fn add_keyed_account(
        &self,
        _: OwnerId,
        _: &engine::ports::following::NewAccount,
        key: &SealedKey,
        _: Timestamp,
    ) -> StoreResult<domain::ids::AccountId> {
        self.0.lock().unwrap().as_mut().unwrap().keys.push(key.clone());
        Ok(domain::ids::AccountId(1))
    }
    async fn rewrap_keys(&self, _: &str, _: &str, _: &[(KeyRef, Vec<u8>)]) -> StoreResult<()> {
        Ok(())
    }
    async fn replace_key(
        &self,
        _: OwnerId,
        _: domain::ids::AccountId,
        _: &SealedKey,
        _: Timestamp,
    ) -> StoreResult<()> {
        Ok(())
    }
    async fn remove_account(&self, _: OwnerId, _: domain::ids::AccountId, _: Timestamp) -> StoreResult<()> {
        Ok(())
    }
}

struct Place {
    directory: tempfile::TempDir,
    clock: Arc<RealClock>,
    store: Arc<Stored>,
}

impl Place {
    fn new() -> Self {
        let clock = Arc::new(RealClock(tokio::time::Instant::now()));
        Self { directory: tempfile::tempdir().unwrap(), clock, store: Arc::default() }
    }

    fn socket(&self) -> PathBuf {
        self.directory.path().join("signer.sock")
    }

    fn start(&self) -> tokio::task::JoinHandle<io::Result<()>> {
        let served = Served {
            unlock: Unlock::read(IDENTITY).ok().unwrap(),
            directory: self.directory.path().to_owned(),
            live: true,
            clock: Arc::clone(&self.clock) as _,
        };
        let path = self.socket();
        tokio::spawn(async move { serve(&path, served).await })
    }

    fn client(&self) -> RemoteKeeper {
        RemoteKeeper::new(self.socket(), Arc::clone(&self.store) as _, Arc::clone(&self.clock) as _)
    }

    async fn connect(&self) -> UnixStream {
        loop {
            match UnixStream::connect(self.socket()).await {
                Ok(stream) => return stream,
                Err(_) => tokio::task::yield_now().await,
            }
        }
    }
}

fn key() -> PrivateKey {
    PrivateKey::parse(KEY).ok().unwrap()
}

fn login(name: &KeyRef) -> SignRequest {
    SignRequest::ApiLogin { key: name.clone(), timestamp: 1, nonce: 0 }
}

#[tokio::test]
async fn another_process_keeps_what_this_one_would() {
    let place = Place::new();
    let server = place.start();
    drop(place.connect().await);
    let client = place.client();
    let header = client.header().await.unwrap();
    place.store.begin_keys(&header).await.unwrap();
    let file = encrypt_for(&client.public_key().await.unwrap(), &key()).unwrap();
    assert_eq!(client.address_of(&file).await, Ok(key().address()));
    assert!(matches!(client.address_of(b"no key").await, Err(KeeperError::Refused(_))));
    let name = KeyRef("live".to_owned());
    let wallet = key().address();
    let (owner, kind) = (OwnerId(1), WalletKind::Eoa);
    let purpose = KeyUse { owner, name: name.clone(), wallet, kind, until: None, version: 1 };
    let sealed = client.seal(&file, &purpose).await.unwrap();
    assert_eq!(
        client.address(&name).await,
        Err(SignerError::UnknownKey(name.clone())),
        "not before it is stored"
    );
    let changed = SealedKey { version: 2, ..sealed.clone() };
    assert!(matches!(client.take(changed).await, Err(KeeperError::Refused(_))));
    client.take(sealed.clone()).await.unwrap();
    place.store.0.lock().unwrap().as_mut().unwrap().keys.push(sealed);
    assert_eq!(client.address(&name).await, Ok(key().address()));
    let caps = Caps { order: domain::Usd(5), day: domain::Usd(9) };
    client.arm(&name, caps).await.unwrap();
    assert_eq!(client.standing(&name).await.unwrap().caps, Some(caps));
    let there = LocalKeeper::open(
        &Unlock::read(IDENTITY).ok().unwrap(),
        place.store.sealed_keys().await.unwrap().as_ref(),
        tempfile::tempdir().unwrap().path(),
        true,
        Arc::clone(&place.clock) as _,
    );
    let same = there.unwrap().sign(&[login(&name)]).await;
    assert_eq!(client.sign(&[login(&name)]).await, same, "signatures are the same");
    let many = vec![login(&name); MAX_BATCH];
    assert!(client.sign(&many).await.iter().all(Result::is_ok));
    let too_many = vec![login(&name); MAX_BATCH + 1];
    assert!(client.sign(&too_many).await.iter().all(|one| matches!(one, Err(SignerError::Policy(_)))));
    assert!(client.sign(&[]).await.is_empty());

    // Gone, and there again without having been told of anything.
    server.abort();
    assert!(server.await.unwrap_err().is_cancelled());
    std::fs::remove_file(place.socket()).unwrap();
    let fresh = place.client();
    let answer = fresh.sign(&[login(&name)]).await;
    assert!(matches!(&answer[0], Err(SignerError::Unavailable(_))), "{answer:?}");
    let server = place.start();
    drop(place.connect().await);
    assert_eq!(fresh.sign(&[login(&name)]).await, same);
    assert_eq!(fresh.standing(&name).await.unwrap().caps, Some(caps));
    // Another process has opened it, and has not handed the keys over yet.
    server.abort();
    assert!(server.await.unwrap_err().is_cancelled());
    std::fs::remove_file(place.socket()).unwrap();
    let server = place.start();
    let mut other = place.connect().await;
    wire::write(&mut other, &Call::Open(Some(header))).await.unwrap();
    let length = wire::length(&mut other).await.unwrap().unwrap();
    let opened: Reply = wire::body(&mut other, length).await.unwrap();
    assert!(matches!(opened, Reply::Text(_)));
    assert_eq!(fresh.sign(&[login(&name)]).await, same);
    fresh.forget(&name).await.unwrap();
    assert_eq!(fresh.address(&name).await, Err(SignerError::UnknownKey(name)));
    server.abort();
}

#[tokio::test]
async fn what_is_no_frame_ends_the_conversation_and_not_the_signer() {
    let place = Place::new();
    let server = place.start();
    for bytes in [&[0xff_u8; 8][..], &[0, 0, 0, 4, b'n', b'o', b'n', b'o']] {
        let mut stream = place.connect().await;
        stream.write_all(bytes).await.unwrap();
        let mut answer = Vec::new();
        // Closed, or reset because not all of it was read; either way nothing was said.
        let _ = stream.read_to_end(&mut answer).await;
        assert!(answer.is_empty());
    }
    // Who begins a frame and does not end it is dropped after a while.
    let mut slow = place.connect().await;
    slow.write_all(&[0, 0, 0, 9, b'"']).await.unwrap();
    let asked = place.clock.uptime();
    let mut answer = Vec::new();
    slow.read_to_end(&mut answer).await.unwrap();
    assert!(answer.is_empty() && place.clock.uptime().saturating_sub(asked) >= FRAME_DEADLINE / 2);
    assert!(place.client().header().await.is_ok());
    server.abort();
}

/// Two signers with one record would each spend the day's cap, and `disarm` would reach one of them.
#[tokio::test]
async fn a_second_signer_is_refused_and_the_first_goes_on() {
    let place = Place::new();
    let first = place.start();
    drop(place.connect().await);
    let second = place.start().await.unwrap().unwrap_err().to_string();
    let own = std::process::id().to_string();
    assert!(second.contains("works with") && second.contains(&own), "{second}");
    // Neither with another record at the same socket.
    let elsewhere = tempfile::tempdir().unwrap();
    let served = Served {
        unlock: Unlock::read(IDENTITY).ok().unwrap(),
        directory: elsewhere.path().to_owned(),
        live: true,
        clock: Arc::clone(&place.clock) as _,
    };
    let second = serve(&place.socket(), served).await.unwrap_err();
    assert_eq!(second.kind(), io::ErrorKind::AddrInUse);
    // Nor in the process of whoever opens the keys there.
    assert!(matches!(lock_state(place.directory.path()), Err(StateError::Held { .. })));
    assert!(place.client().header().await.is_ok());
    first.abort();
}

/// Whoever wants to disarm finds a place, however many rest at the socket.
#[tokio::test]
async fn connections_that_rest_keep_nobody_out() {
    let place = Place::new();
    let server = place.start();
    let mut resting = Vec::new();
    for _ in 0..CONNECTIONS {
        resting.push(place.connect().await);
    }
    assert!(place.client().header().await.is_ok());
    server.abort();
}

#[tokio::test]
async fn a_directory_that_others_may_write_is_refused() {
    let place = Place::new();
    let others = std::os::unix::fs::PermissionsExt::from_mode(0o777);
    std::fs::set_permissions(place.directory.path(), others).unwrap();
    let refused = place.start().await.unwrap().unwrap_err();
    assert_eq!(refused.kind(), io::ErrorKind::PermissionDenied);
    assert!(!place.socket().exists(), "the socket was not touched");
}

#[test]
fn other_users_are_not_answered() {
    assert!(may_ask(1_000, 1_000) && may_ask(0, 1_000));
    assert!(!may_ask(1_001, 1_000) && !may_ask(1_000, 0));
}
