//! Signing in, staying in, and being thrown out.

use std::time::Duration;

use access::{AccessError, Role, Settings, SignedIn, did};

use super::world::{PASSWORD, World, peer};

#[tokio::test]
async fn an_unknown_name_a_wrong_password_and_a_disabled_user_are_answered_alike() {
    let (world, ann) = World::with_accounts(Settings::default()).await;
    world.add(&ann, "bob", Role::Trader).await;
    let bob = world.access.user_named(&ann, "bob").await.unwrap();
    world.access.disable(&ann, bob.id, &peer(1)).await.unwrap();
    for (name, password) in [("nobody", PASSWORD), ("ann", "wrong"), ("bob", PASSWORD), ("", ""), ("ann", "")]
    {
        let answer = world.access.sign_in(name, password, &peer(4)).await.map(|_| ());
        assert_eq!(answer, Err(AccessError::WrongCredentials), "{name}");
    }
    let refusals = world.noted().await.into_iter().filter(|what| what == did::REFUSED).count();
    assert_eq!(refusals, 5);
    world.sign_in(" Ann ").await;
}

#[tokio::test]
async fn wrong_answers_make_a_name_wait_and_an_address_too() {
    let (world, _) = World::with_accounts(Settings::default()).await;
    let wrong =
        async |name: &str, from: u8| world.access.sign_in(name, "wrong", &peer(from)).await.map(|_| ());
    for _ in 0..6 {
        assert_eq!(wrong("ann", 4).await, Err(AccessError::WrongCredentials));
    }
    assert!(matches!(wrong("ann", 5).await, Err(AccessError::TooMany(_))), "from another address, too");
    let right = world.access.sign_in("ann", PASSWORD, &peer(6)).await.map(|_| ());
    assert!(matches!(right, Err(AccessError::TooMany(_))), "the right one, too: {right:?}");
    world.pass(Duration::from_secs(1));
    world.sign_in("ann").await;
    assert_eq!(wrong("ann", 4).await, Err(AccessError::WrongCredentials), "forgotten after the right one");
    for number in 0..15 {
        let answer = wrong(&format!("name{number}"), 4).await;
        assert!(number >= 14 || answer == Err(AccessError::WrongCredentials), "{number}: {answer:?}");
    }
    assert!(matches!(wrong("other", 4).await, Err(AccessError::TooMany(_))), "of that address");
    assert_eq!(wrong("other", 5).await, Err(AccessError::WrongCredentials), "of another");
}

#[tokio::test]
async fn a_session_ends_when_nothing_is_asked_of_it_and_at_the_latest_after_half_a_day() {
    let (world, _) = World::with_accounts(Settings::default()).await;
    let session = world.sign_in("ann").await;
    let cookie = session.cookie.reveal();
    for _ in 0..24 {
        world.pass(Duration::from_secs(29 * 60));
        world.access.caller_of_session(cookie).await.unwrap();
    }
    world.pass(Duration::from_secs(25 * 60));
    assert_eq!(
        world.access.caller_of_session(cookie).await.map(|_| ()),
        Err(AccessError::NotSignedIn),
        "12 h"
    );
    let session = world.sign_in("ann").await;
    world.pass(Duration::from_secs(30 * 60));
    let idle = world.access.caller_of_session(session.cookie.reveal()).await.map(|_| ());
    assert_eq!(idle, Err(AccessError::NotSignedIn), "30 min");
    for cookie in ["", "x", &"x".repeat(100_000)] {
        let answer = world.access.caller_of_session(cookie).await.map(|_| ());
        assert_eq!(answer, Err(AccessError::NotSignedIn));
    }
}

#[tokio::test]
async fn a_proof_is_fresh_for_five_minutes_and_a_new_one_changes_the_secret() {
    let (world, _) = World::with_accounts(Settings::default()).await;
    let session = world.sign_in("ann").await;
    world.pass(Duration::from_secs(5 * 60));
    let ann = world.caller(&session).await;
    assert_eq!(ann.needs_proof(world.now()), Err(AccessError::StepUp));
    let wrong = world.access.prove(&ann, "wrong", &peer(3)).await.map(|_| ());
    assert_eq!(wrong, Err(AccessError::WrongCredentials));
    let proven = world.access.prove(&ann, PASSWORD, &peer(3)).await.unwrap();
    assert_eq!(proven.session.created_at, session.session.created_at, "no session is longer for it");
    let old = world.access.caller_of_session(session.cookie.reveal()).await.map(|_| ());
    assert_eq!(old, Err(AccessError::NotSignedIn));
    let ann = world.caller(&proven).await;
    ann.needs_proof(world.now()).unwrap();
}

#[tokio::test]
async fn everybody_sees_and_ends_his_own_sessions() {
    let (world, ann) = World::with_accounts(Settings::default()).await;
    let bob = world.add(&ann, "bob", Role::Trader).await;
    let (first, second) = (world.sign_in("ann").await, world.sign_in("ann").await);
    let caller = world.caller(&second).await;
    assert_eq!(world.access.sessions(&caller).await.unwrap().len(), 3);
    let stranger = world.access.end_session(&caller, bob.session.id, &peer(3)).await;
    assert_eq!(stranger, Err(AccessError::NotFound("session")));
    world.access.end_session(&caller, first.session.id, &peer(3)).await.unwrap();
    assert_eq!(world.access.end_other_sessions(&caller, &peer(3)).await.unwrap(), 1);
    world.access.caller_of_session(second.cookie.reveal()).await.unwrap();
    world.access.sign_out(&caller, &peer(3)).await.unwrap();
    let gone = world.access.caller_of_session(second.cookie.reveal()).await.map(|_| ());
    assert_eq!(gone, Err(AccessError::NotSignedIn));
    world.access.caller_of_session(bob.cookie.reveal()).await.unwrap();
}

#[tokio::test]
async fn another_password_ends_all_other_sessions() {
    let (world, _) = World::with_accounts(Settings::default()).await;
    let (here, there) = (world.sign_in("ann").await, world.sign_in("ann").await);
    let caller = world.caller(&here).await;
    let new = "a much better sentence";
    let wrong = world.access.set_password(&caller, Some("wrong"), new, &peer(3)).await.map(|_| ());
    assert_eq!(wrong, Err(AccessError::WrongCredentials));
    let changed = world.access.set_password(&caller, Some(PASSWORD), new, &peer(3)).await.unwrap();
    world.caller(&changed).await;
    for old in [here, there] {
        let answer = world.access.caller_of_session(old.cookie.reveal()).await.map(|_| ());
        assert_eq!(answer, Err(AccessError::NotSignedIn));
    }
    let old = world.access.sign_in("ann", PASSWORD, &peer(3)).await.map(|_| ());
    assert_eq!(old, Err(AccessError::WrongCredentials));
    assert!(matches!(world.access.sign_in("ann", new, &peer(3)).await, Ok(SignedIn::Done(_))));
}
