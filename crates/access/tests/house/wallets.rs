//! Signing in with a wallet.

use std::time::Duration;

use access::{AccessError, Role, Secret, Settings, SignedIn};
use alloy_primitives::eip191_hash_message;
use domain::Address;
use secp256k1::{Message, SECP256K1, SecretKey};

use super::world::{World, peer};

struct Wallet(SecretKey);

impl Wallet {
    fn new(number: u8) -> Self {
        Self(SecretKey::from_byte_array([number; 32]).unwrap())
    }

    fn address(&self) -> Address {
        let key = self.0.public_key(SECP256K1).serialize_uncompressed();
        Address(alloy_primitives::Address::from_raw_public_key(&key[1..]).into_array())
    }

    fn sign(&self, text: &str) -> String {
        let message = Message::from_digest(eip191_hash_message(text.as_bytes()).0);
        let (recovery, bytes) = SECP256K1.sign_ecdsa_recoverable(message, &self.0).serialize_compact();
        format!("0x{}{:02x}", hex::encode(bytes), 27 + i32::from(recovery))
    }
}

fn settings() -> Settings {
    Settings { origin: "https://copy.example:8443".to_owned(), ..Settings::default() }
}

#[tokio::test]
async fn a_linked_wallet_signs_in_with_a_text_of_ours_once() {
    let (world, ann) = World::with_accounts(settings()).await;
    let wallet = Wallet::new(3);
    let text = world.access.wallet_text(wallet.address()).await.unwrap();
    let lines: Vec<&str> = text.lines().collect();
    assert_eq!(lines[0], "copy.example:8443 wants you to sign in with your Ethereum account:");
    assert_eq!(lines[1].to_lowercase(), wallet.address().to_string());
    for line in [
        "URI: https://copy.example:8443",
        "Version: 1",
        "Chain ID: 137",
        "Issued At: 2027-01-15T08:00:00.000Z",
    ] {
        assert!(lines.contains(&line), "{line} is not in {text}");
    }
    let linked = world.access.link_wallet(&ann, &text, &wallet.sign(&text), &peer(1)).await.unwrap();
    assert_eq!(linked, wallet.address());
    let used = world.access.sign_in_with_wallet(&text, &wallet.sign(&text), &peer(1)).await.map(|_| ());
    assert_eq!(used, Err(AccessError::BadTicket), "the text of the link");
    let text = world.access.wallet_text(wallet.address()).await.unwrap();
    let session = match world.access.sign_in_with_wallet(&text, &wallet.sign(&text), &peer(1)).await.unwrap()
    {
        SignedIn::Done(session) => session,
        SignedIn::SecondFactor(_) => panic!("a second factor is asked for"),
    };
    let caller = world.caller(&session).await;
    assert_eq!(caller.user(), ann.user());
    caller.needs_proof(world.now()).unwrap();
}

#[tokio::test]
async fn other_texts_other_signers_and_other_wallets_are_refused() {
    let (world, ann) = World::with_accounts(settings()).await;
    let (wallet, other) = (Wallet::new(3), Wallet::new(4));
    let text = world.access.wallet_text(wallet.address()).await.unwrap();
    world.access.link_wallet(&ann, &text, &wallet.sign(&text), &peer(1)).await.unwrap();
    let by = async |text: &str, signature: &str| {
        world.access.sign_in_with_wallet(text, signature, &peer(1)).await.map(|_| ())
    };
    let fresh = async || world.access.wallet_text(wallet.address()).await.unwrap();
    let text = fresh().await;
    let changed = text.replace("copy.example", "evil.example");
    assert_eq!(by(&changed, &wallet.sign(&changed)).await, Err(AccessError::BadTicket), "another site's");
    assert_eq!(
        by(&text, &other.sign(&text)).await,
        Err(AccessError::WrongCredentials),
        "another's signature"
    );
    assert_eq!(by(&text, &wallet.sign(&text)).await, Err(AccessError::BadTicket), "one try each");
    let text = fresh().await;
    assert_eq!(by(&text, &wallet.sign("another text")).await, Err(AccessError::WrongCredentials));
    let unlinked = world.access.wallet_text(other.address()).await.unwrap();
    assert_eq!(by(&unlinked, &other.sign(&unlinked)).await, Err(AccessError::WrongCredentials), "not linked");
    let late = fresh().await;
    world.pass(Duration::from_secs(5 * 60));
    assert_eq!(by(&late, &wallet.sign(&late)).await, Err(AccessError::BadTicket), "late");
}

#[tokio::test]
async fn a_wallet_is_one_users_and_the_last_way_in_is_not_removed() {
    let (world, ann) = World::with_accounts(settings()).await;
    let wallet = Wallet::new(3);
    let text = world.access.wallet_text(wallet.address()).await.unwrap();
    world.access.link_wallet(&ann, &text, &wallet.sign(&text), &peer(1)).await.unwrap();
    let session = world.add(&ann, "bob", Role::Trader).await;
    let bob = world.caller(&session).await;
    let text = world.access.wallet_text(wallet.address()).await.unwrap();
    let taken = world.access.link_wallet(&bob, &text, &wallet.sign(&text), &peer(1)).await;
    assert!(matches!(taken, Err(AccessError::Conflict(_))), "{taken:?}");
    world.access.unlink_wallet(&ann, &peer(1)).await.unwrap();
    let text = world.access.wallet_text(wallet.address()).await.unwrap();
    let gone = world.access.sign_in_with_wallet(&text, &wallet.sign(&text), &peer(1)).await.map(|_| ());
    assert_eq!(gone, Err(AccessError::WrongCredentials));
    world.sign_in("ann").await;
}

#[tokio::test]
async fn a_wallet_alone_is_half_a_sign_in_where_an_app_is_asked_for() {
    let (world, ann) = World::with_accounts(settings()).await;
    super::second_factors::with_app(&world, &ann).await;
    let wallet = Wallet::new(3);
    let text = world.access.wallet_text(wallet.address()).await.unwrap();
    world.access.link_wallet(&ann, &text, &wallet.sign(&text), &peer(1)).await.unwrap();
    let text = world.access.wallet_text(wallet.address()).await.unwrap();
    let answer = world.access.sign_in_with_wallet(&text, &wallet.sign(&text), &peer(1)).await.unwrap();
    let _: Secret = match answer {
        SignedIn::SecondFactor(ticket) => ticket,
        SignedIn::Done(_) => panic!("no second factor was asked for"),
    };
}
