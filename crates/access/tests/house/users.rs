//! What administrators do with users, and what each may have of himself.

use std::time::Duration;

use access::{AccessError, Role, Scope, Settings, UserId, did};

use super::world::{PASSWORD, World, peer};

#[tokio::test]
async fn only_administrators_see_and_change_users() {
    let (world, ann) = World::with_accounts(Settings::default()).await;
    let session = world.add(&ann, "bob", Role::Operator).await;
    let bob = world.caller(&session).await;
    let forbidden = AccessError::Forbidden(Scope::Administer);
    assert_eq!(world.access.users(&bob, UserId(0), 9).await.map(|_| ()), Err(forbidden.clone()));
    assert_eq!(world.access.audit_log(&bob, true, None, 9).await.map(|_| ()), Err(forbidden.clone()));
    assert_eq!(world.access.reset_link(&bob, ann.user(), &peer(1)).await.map(|_| ()), Err(forbidden.clone()));
    let role = Role::Administrator;
    assert_eq!(world.access.set_role(&bob, bob.user(), role, &peer(1)).await, Err(forbidden.clone()));
    assert_eq!(world.access.erase(&bob, ann.user(), &peer(1)).await, Err(forbidden));
    assert_eq!(world.access.users(&ann, UserId(0), 9).await.unwrap().len(), 2);
    let log = world.access.audit_log(&bob, false, None, 99).await.unwrap();
    assert!(log.iter().all(|entry| entry.note.owner == Some(bob.tenant().owner())), "{log:?}");
    assert!(!log.is_empty());
    world.pass(Duration::from_secs(5 * 60));
    let stale = world.access.set_role(&ann, bob.user(), role, &peer(1)).await;
    assert_eq!(stale, Err(AccessError::StepUp));
}

#[tokio::test]
async fn whoever_is_disabled_or_changed_is_out_at_once() {
    let (world, ann) = World::with_accounts(Settings::default()).await;
    let session = world.add(&ann, "bob", Role::Trader).await;
    let bob = world.caller(&session).await.user();
    world.access.disable(&ann, bob, &peer(1)).await.unwrap();
    let out = world.access.caller_of_session(session.cookie.reveal()).await.map(|_| ());
    assert_eq!(out, Err(AccessError::NotSignedIn));
    world.access.enable(&ann, bob, &peer(1)).await.unwrap();
    let session = world.sign_in("bob").await;
    world.access.set_role(&ann, bob, Role::Operator, &peer(1)).await.unwrap();
    let out = world.access.caller_of_session(session.cookie.reveal()).await.map(|_| ());
    assert_eq!(out, Err(AccessError::NotSignedIn), "a session of the old role");
    let last = world.access.disable(&ann, ann.user(), &peer(1)).await;
    assert!(matches!(last, Err(AccessError::Conflict(_))), "{last:?}");
    let noted = world.noted().await;
    for what in [did::DISABLED, did::ENABLED, did::ROLE_CHANGED] {
        assert!(noted.iter().any(|noted| noted == what), "{what} is not among {noted:?}");
    }
}

#[tokio::test]
async fn a_reset_link_sets_a_password_once_and_signs_nobody_in() {
    let (world, ann) = World::with_accounts(Settings::default()).await;
    let session = world.add(&ann, "bob", Role::Trader).await;
    let bob = world.caller(&session).await.user();
    let link = world.access.reset_link(&ann, bob, &peer(1)).await.unwrap();
    let new = "quite another sentence";
    world.access.reset(link.reveal(), new, &peer(4)).await.unwrap();
    assert_eq!(world.access.reset(link.reveal(), new, &peer(4)).await, Err(AccessError::BadTicket));
    let out = world.access.caller_of_session(session.cookie.reveal()).await.map(|_| ());
    assert_eq!(out, Err(AccessError::NotSignedIn));
    let old = world.access.sign_in("bob", PASSWORD, &peer(4)).await.map(|_| ());
    assert_eq!(old, Err(AccessError::WrongCredentials));
    world.access.sign_in("bob", new, &peer(4)).await.unwrap();
    let link = world.access.reset_link(&ann, bob, &peer(1)).await.unwrap();
    world.pass(Duration::from_secs(60 * 60));
    assert_eq!(world.access.reset(link.reveal(), new, &peer(4)).await, Err(AccessError::BadTicket), "late");
}

#[tokio::test]
async fn everybody_gets_what_is_kept_of_him_and_has_it_removed() {
    let (world, ann) = World::with_accounts(Settings::default()).await;
    let session = world.add(&ann, "bob", Role::Trader).await;
    let bob = world.caller(&session).await;
    let data = world.access.export(&bob, &peer(2)).await.unwrap();
    assert_eq!((data.name.as_str(), data.sessions.len()), ("bob", 1));
    assert!(data.sessions[0].contains("192.0.2.2") && data.sessions[0].contains("browser 2"), "{data:?}");
    assert!(data.log.iter().all(|line| !line.contains("192.0.2.1 ")), "ann's lines: {data:?}");
    world.access.erase(&bob, bob.user(), &peer(2)).await.unwrap();
    let out = world.access.caller_of_session(session.cookie.reveal()).await.map(|_| ());
    assert_eq!(out, Err(AccessError::NotSignedIn));
    let left = format!("{:?}", world.access.audit_log(&ann, true, None, 99).await.unwrap());
    assert!(!left.contains("bob"), "{left}");
    assert!(!left.contains("192.0.2.2"), "{left}");
    let free = world.add(&ann, "bob", Role::Trader).await;
    assert_ne!(world.caller(&free).await.tenant(), bob.tenant(), "another bob has rows of his own");
}

#[tokio::test]
async fn whoever_works_on_the_machine_acts_as_the_administrator_or_a_named_user() {
    let world = World::new(Settings::default());
    let early = world.access.on_this_machine(None).await.map(|_| ());
    assert!(matches!(early, Err(AccessError::NotFound(_))));
    let (world, ann) = World::with_accounts(Settings::default()).await;
    world.add(&ann, "bob", Role::Trader).await;
    let here = world.access.on_this_machine(None).await.unwrap();
    assert_eq!(here.user(), ann.user());
    here.needs_proof(world.now()).unwrap();
    assert_eq!(world.access.on_this_machine(Some("Bob")).await.unwrap().role(), Role::Trader);
}
