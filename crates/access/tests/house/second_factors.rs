//! Codes of an app, and recovery codes.

use std::time::Duration;

use access::{AccessError, Caller, Secret, Settings, SignedIn, TotpOffer};
use hmac::{Hmac, KeyInit as _, Mac as _};
use sha1::Sha1;

use super::world::{PASSWORD, World, peer};

/// What an app shows, computed here by itself.
fn app(offer: &TotpOffer, world: &World) -> String {
    let mut bits = String::new();
    for letter in offer.secret.chars() {
        let value = "ABCDEFGHIJKLMNOPQRSTUVWXYZ234567".find(letter).unwrap();
        bits.push_str(&format!("{value:05b}"));
    }
    let secret: Vec<u8> = bits
        .as_bytes()
        .chunks_exact(8)
        .map(|bits| bits.iter().fold(0, |sum, bit| sum << 1 | (bit & 1)))
        .collect();
    let mut mac = Hmac::<Sha1>::new_from_slice(&secret).unwrap();
    mac.update(&(world.now().seconds() / 30).to_be_bytes());
    let hash = mac.finalize().into_bytes();
    let at = usize::from(hash[19] & 15);
    let number = u32::from_be_bytes([hash[at] & 0x7f, hash[at + 1], hash[at + 2], hash[at + 3]]);
    format!("{:06}", number % 1_000_000)
}

pub(crate) async fn with_app(world: &World, ann: &Caller) -> (TotpOffer, Vec<String>) {
    let offer = world.access.offer_totp(ann).unwrap();
    let wrong = world.access.add_totp(ann, &offer.offer, "000000", &peer(1)).await;
    assert_eq!(wrong.map(|_| ()), Err(AccessError::WrongCode));
    let codes = world.access.add_totp(ann, &offer.offer, &app(&offer, world), &peer(1)).await.unwrap();
    (offer, codes)
}

async fn first_step(world: &World) -> Secret {
    match world.access.sign_in("ann", PASSWORD, &peer(3)).await.unwrap() {
        SignedIn::SecondFactor(ticket) => ticket,
        SignedIn::Done(_) => panic!("no second factor was asked for"),
    }
}

#[tokio::test]
async fn a_password_alone_is_half_a_sign_in_and_a_code_works_once() {
    let (world, ann) = World::with_accounts(Settings::default()).await;
    let (offer, _) = with_app(&world, &ann).await;
    let ticket = first_step(&world).await;
    let by =
        async |ticket: &Secret, code: &str| world.access.second_factor(ticket.reveal(), code, &peer(3)).await;
    let used = by(&ticket, &app(&offer, &world)).await;
    assert_eq!(used.map(|_| ()), Err(AccessError::WrongCode), "the code that made it known");
    world.pass(Duration::from_secs(30));
    let code = app(&offer, &world);
    let session = by(&ticket, &code).await.unwrap();
    world.caller(&session).await.needs_proof(world.now()).unwrap();
    assert_eq!(by(&ticket, &code).await.map(|_| ()), Err(AccessError::BadTicket), "that sign-in again");
    let another = first_step(&world).await;
    assert_eq!(by(&another, &code).await.map(|_| ()), Err(AccessError::WrongCode), "that code again");
    world.pass(Duration::from_secs(5 * 60));
    let late = by(&another, &app(&offer, &world)).await.map(|_| ());
    assert_eq!(late, Err(AccessError::BadTicket), "too late");
}

#[tokio::test]
async fn codes_cannot_be_tried_out() {
    let (world, ann) = World::with_accounts(Settings::default()).await;
    let (offer, _) = with_app(&world, &ann).await;
    world.pass(Duration::from_secs(30));
    for _ in 0..6 {
        let ticket = first_step(&world).await;
        let answer = world.access.second_factor(ticket.reveal(), "000000", &peer(3)).await.map(|_| ());
        assert_eq!(answer, Err(AccessError::WrongCode));
    }
    let ticket = first_step(&world).await;
    let right = world.access.second_factor(ticket.reveal(), &app(&offer, &world), &peer(3)).await.map(|_| ());
    assert!(matches!(right, Err(AccessError::TooMany(_))), "{right:?}");
}

#[tokio::test]
async fn a_recovery_code_replaces_the_app_once() {
    let (world, ann) = World::with_accounts(Settings::default()).await;
    let (_, codes) = with_app(&world, &ann).await;
    assert_eq!(codes.len(), 10);
    let by = async |code: &str| {
        let ticket = first_step(&world).await;
        world.access.second_factor(ticket.reveal(), code, &peer(3)).await.map(|_| ())
    };
    by(&codes[0].to_uppercase().replace('-', " ")).await.unwrap();
    assert_eq!(by(&codes[0]).await, Err(AccessError::WrongCode), "twice");
    let new = world.access.new_recovery_codes(&ann, &peer(1)).await.unwrap();
    assert_eq!(by(&codes[1]).await, Err(AccessError::WrongCode), "one of before");
    by(&new[1]).await.unwrap();
    world.access.remove_totp(&ann, &peer(1)).await.unwrap();
    world.sign_in("ann").await;
}

#[tokio::test]
async fn how_one_signs_in_is_changed_only_with_a_fresh_proof() {
    let (world, ann) = World::with_accounts(Settings::default()).await;
    let (offer, _) = with_app(&world, &ann).await;
    world.pass(Duration::from_secs(5 * 60));
    let stale = Err(AccessError::StepUp);
    assert_eq!(world.access.offer_totp(&ann).map(|_| ()), stale);
    assert_eq!(world.access.add_totp(&ann, &offer.offer, "1", &peer(1)).await.map(|_| ()), stale);
    assert_eq!(world.access.remove_totp(&ann, &peer(1)).await, stale);
    assert_eq!(world.access.new_recovery_codes(&ann, &peer(1)).await.map(|_| ()), stale);
}
