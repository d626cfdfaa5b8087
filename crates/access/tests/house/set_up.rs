//! How users come to be.

use std::time::Duration;

use access::{AccessError, Means, NewUser, Note, People, Purpose, Role, Scope, Settings, Standing};
use engine::ports::following::Following as _;

use super::world::{PASSWORD, World, open, peer};

fn single() -> Settings {
    Settings { single_user: true, ..Settings::default() }
}

#[tokio::test]
async fn the_newest_link_makes_the_administrator_once() {
    let world = World::new(Settings::default());
    assert_eq!(world.access.standing().await.unwrap(), Standing::NeedsSetUp);
    let old = world.access.set_up_link().await.unwrap().unwrap();
    let link = world.access.set_up_link().await.unwrap().unwrap();
    let by = async |link: &str, name: &str, password: &str| {
        world.access.set_up(link, name, password, &peer(1)).await.map(|_| ())
    };
    assert_eq!(by(old.reveal(), "ann", PASSWORD).await, Err(AccessError::BadTicket));
    // What is refused for itself leaves the link as it was.
    assert_eq!(by(link.reveal(), "ann", "short").await, Err(AccessError::BadPassword));
    assert_eq!(by(link.reveal(), "no name", PASSWORD).await, Err(AccessError::BadName));
    let session = world.access.set_up(link.reveal(), "Ann", PASSWORD, &peer(1)).await.unwrap();
    let ann = world.caller(&session).await;
    assert_eq!((ann.name(), ann.role()), ("ann", Role::Administrator));
    ann.needs_proof(world.now()).unwrap();
    assert_eq!(by(link.reveal(), "bob", PASSWORD).await, Err(AccessError::BadTicket));
    assert_eq!(world.access.standing().await.unwrap(), Standing::Accounts);
    assert!(world.access.set_up_link().await.unwrap().is_none());
}

#[tokio::test]
async fn a_link_ends() {
    let world = World::new(Settings::default());
    let link = world.access.set_up_link().await.unwrap().unwrap();
    world.access.look_at_link(link.reveal(), Purpose::SetUp).await.unwrap();
    world.pass(Duration::from_secs(24 * 60 * 60));
    let late = world.access.set_up(link.reveal(), "ann", PASSWORD, &peer(1)).await;
    assert_eq!(late.map(|_| ()), Err(AccessError::BadTicket));
}

#[tokio::test]
async fn the_one_user_of_a_machine_needs_no_password_but_for_what_is_dangerous() {
    let world = World::new(single());
    let owner = world.people.add_owner("me", world.now()).await.unwrap();
    let me = world.access.here(&peer(1)).await.unwrap();
    assert_eq!(
        (me.tenant().owner(), me.role()),
        (owner, Role::Administrator),
        "who has what is there already"
    );
    assert_eq!(me.needs_proof(world.now()), Err(AccessError::NoPassphrase));
    let proven = world.access.set_password(&me, None, PASSWORD, &peer(1)).await.unwrap();
    world.caller(&proven).await.needs_proof(world.now()).unwrap();
    // He still needs none to look, and proves it again for what is dangerous.
    let me = world.access.here(&peer(1)).await.unwrap();
    assert_eq!((me.user(), me.needs_proof(world.now())), (me.user(), Err(AccessError::StepUp)));
    let other = world.access.set_password(&me, None, "another long passphrase", &peer(1)).await;
    assert_eq!(other.map(|_| ()), Err(AccessError::WrongCredentials));
    let proven = world.access.prove(&me, PASSWORD, &peer(1)).await.unwrap();
    world.caller(&proven).await.needs_proof(world.now()).unwrap();
    assert_eq!(world.people.users(access::UserId(0), 9).await.unwrap().len(), 1);
}

#[tokio::test]
async fn whoever_opens_the_pages_to_the_network_later_sets_the_same_user_up() {
    let world = World::new(single());
    world.access.here(&peer(1)).await.unwrap();
    let random = std::sync::Arc::new(Nothing);
    let wide =
        access::Access::new(world.people.clone(), world.clock.clone(), random, [7; 32], Settings::default());
    assert_eq!(wide.standing().await.unwrap(), Standing::NeedsSetUp);
    assert_eq!(wide.here(&peer(1)).await.map(|_| ()), Err(AccessError::NotSignedIn));
    assert_eq!(world.people.users(access::UserId(0), 9).await.unwrap().len(), 1);
}

/// No random bytes.
struct Nothing;

impl access::Randomness for Nothing {
    fn fill(&self, _: &mut [u8]) -> Result<(), access::NoRandomness> {
        Err(access::NoRandomness)
    }
}

#[tokio::test]
async fn where_there_are_two_users_nobody_enters_without_a_proof() {
    let world = World::new(single());
    world.access.here(&peer(1)).await.unwrap();
    let note = Note {
        at: world.now(),
        user: None,
        owner: None,
        address: None,
        what: "x".to_owned(),
        on: String::new(),
    };
    let bob =
        NewUser { owner: None, name: "bob".to_owned(), role: Role::Trader, password: None, wallet: None };
    world.people.add_user(&bob, &note).await.unwrap();
    assert_eq!(world.access.here(&peer(1)).await.map(|_| ()), Err(AccessError::NotSignedIn));
}

#[tokio::test]
async fn an_invitation_gives_its_role_once() {
    let (world, ann) = World::with_accounts(Settings::default()).await;
    let invitation = world.access.invite(&ann, Role::Operator, &peer(1)).await.unwrap();
    let by = async |link: Option<&str>, name: &str, password: &str| {
        world.access.sign_up(link, name, password, &peer(2)).await
    };
    let refused = [
        (None, "bob", PASSWORD, AccessError::ByInvitation),
        (Some("no"), "bob", PASSWORD, AccessError::BadTicket),
        (Some(invitation.reveal()), "bob", "aaaaaaaaaaaaaaaa", AccessError::BadPassword),
        (Some(invitation.reveal()), "robert", "robert is a long name", AccessError::BadPassword),
        (Some(invitation.reveal()), "", PASSWORD, AccessError::BadName),
        (Some(invitation.reveal()), "<b>bob</b>", PASSWORD, AccessError::BadName),
        (Some(invitation.reveal()), "ANN", PASSWORD, AccessError::NameTaken),
    ];
    for (link, name, password, expected) in refused {
        assert_eq!(by(link, name, password).await.map(|_| ()), Err(expected), "{name} {password}");
    }
    let session = by(Some(invitation.reveal()), "bob", PASSWORD).await.unwrap();
    let bob = world.caller(&session).await;
    assert!(bob.tenant() != ann.tenant() && bob.may(Scope::Operate) && !bob.may(Scope::Administer));
    assert_eq!(by(Some(invitation.reveal()), "eve", PASSWORD).await.map(|_| ()), Err(AccessError::BadTicket));
    let by_bob = world.access.invite(&bob, Role::Administrator, &peer(2)).await;
    assert_eq!(by_bob.map(|_| ()), Err(AccessError::Forbidden(Scope::Administer)));
    assert!(matches!(bob.means(), Means::Session(_)));
}

#[tokio::test]
async fn where_sign_up_is_open_everybody_is_a_trader_and_names_cannot_be_tried_out() {
    let (world, _) = World::with_accounts(open()).await;
    let session = world.access.sign_up(None, "bob", PASSWORD, &peer(2)).await.unwrap();
    assert_eq!(world.caller(&session).await.role(), Role::Trader);
    let mut answers = Vec::new();
    for _ in 0..7 {
        answers.push(world.access.sign_up(None, "ann", PASSWORD, &peer(9)).await.map(|_| ()));
    }
    assert!(answers[..5].iter().all(|answer| *answer == Err(AccessError::NameTaken)), "{answers:?}");
    assert!(matches!(answers[6], Err(AccessError::TooMany(_))), "{answers:?}");
}
