//! Tokens of programs.

use std::time::Duration;

use access::{AccessError, Caller, Means, Peer, Role, Scope, Scopes, Secret, Settings, TokenWish};

use super::world::{World, peer};

fn wish(scopes: &[Scope]) -> TokenWish {
    TokenWish {
        name: "robot".to_owned(),
        scopes: Scopes::of(scopes),
        addresses: Vec::new(),
        expires_at: None,
    }
}

async fn make(world: &World, caller: &Caller, wish: TokenWish) -> Secret {
    world.access.make_token(caller, wish, &peer(1)).await.unwrap().0
}

#[tokio::test]
async fn a_token_may_what_both_it_and_its_user_may() {
    let (world, ann) = World::with_accounts(Settings::default()).await;
    let session = world.add(&ann, "bob", Role::Operator).await;
    let bob = world.caller(&session).await;
    let token = make(&world, &bob, wish(&[Scope::Read, Scope::Operate])).await;
    let robot = world.access.caller_of_token(token.reveal(), &peer(9)).await.unwrap();
    assert_eq!((robot.tenant(), robot.user()), (bob.tenant(), bob.user()));
    let may: Vec<bool> = Scope::ALL.into_iter().map(|scope| robot.may(scope)).collect();
    assert_eq!(may, [true, false, true, false]);
    // Nothing dangerous, however new it is, and no other token.
    assert_eq!(robot.needs_proof(world.now()), Err(AccessError::StepUp));
    let child = world.access.make_token(&robot, wish(&[Scope::Read]), &peer(1)).await;
    assert_eq!(child.map(|_| ()), Err(AccessError::StepUp));
    let own = world.access.end_session(&robot, session.session.id, &peer(1)).await;
    assert_eq!(own, Err(AccessError::StepUp), "a program ends no session");
    assert_eq!(world.access.end_other_sessions(&robot, &peer(1)).await, Err(AccessError::StepUp));
    let all = make(&world, &ann, wish(&Scope::ALL)).await;
    let all = world.access.caller_of_token(all.reveal(), &peer(9)).await.unwrap();
    let invited = world.access.invite(&all, Role::Administrator, &peer(9)).await.map(|_| ());
    assert_eq!(invited, Err(AccessError::StepUp), "a program makes no users");
    let more = world.access.make_token(&bob, wish(&[Scope::Administer]), &peer(1)).await;
    assert_eq!(more.map(|_| ()), Err(AccessError::Forbidden(Scope::Administer)));
    world.access.set_role(&ann, bob.user(), Role::Trader, &peer(1)).await.unwrap();
    let robot = world.access.caller_of_token(token.reveal(), &peer(9)).await.unwrap();
    assert!(robot.may(Scope::Read) && !robot.may(Scope::Operate));
    world.access.disable(&ann, bob.user(), &peer(1)).await.unwrap();
    let after = world.access.caller_of_token(token.reveal(), &peer(9)).await.map(|_| ());
    assert_eq!(after, Err(AccessError::BadToken));
}

#[tokio::test]
async fn a_token_ends_is_taken_back_and_is_for_its_addresses_alone() {
    let (world, ann) = World::with_accounts(Settings::default()).await;
    let ends =
        TokenWish { expires_at: Some(world.now().plus(Duration::from_secs(60))), ..wish(&[Scope::Read]) };
    let bound = TokenWish { addresses: vec![[192, 0, 2, 9].into()], ..wish(&[Scope::Read]) };
    let (ends, bound) = (make(&world, &ann, ends).await, make(&world, &ann, bound).await);
    let by = async |token: &Secret, peer: Peer| {
        world.access.caller_of_token(token.reveal(), &peer).await.map(|caller| caller.means())
    };
    let mapped = Peer { address: Some("::ffff:192.0.2.9".parse().unwrap()), ..Peer::default() };
    assert!(matches!(by(&bound, peer(9)).await, Ok(Means::Token(_))));
    assert!(matches!(by(&bound, mapped).await, Ok(Means::Token(_))));
    assert_eq!(by(&bound, peer(8)).await, Err(AccessError::BadToken));
    assert_eq!(by(&bound, Peer::default()).await, Err(AccessError::BadToken));
    assert!(by(&ends, peer(8)).await.is_ok());
    world.pass(Duration::from_secs(60));
    assert_eq!(by(&ends, peer(8)).await, Err(AccessError::BadToken));
    let listed = world.access.tokens(&ann).await.unwrap();
    assert!(listed.iter().all(|token| bound.reveal().len() > 40 && token.prefix.len() == 10));
    assert!(listed[0].used_at.is_some(), "its use is noted");
    world.access.revoke_token(&ann, listed[0].id, &peer(1)).await.unwrap();
    assert_eq!(by(&bound, peer(9)).await, Err(AccessError::BadToken));
    let twice = world.access.revoke_token(&ann, listed[0].id, &peer(1)).await;
    assert_eq!(twice, Err(AccessError::NotFound("token")));
    assert_eq!(by(&bound, peer(9)).await, Err(AccessError::BadToken));
}

#[tokio::test]
async fn bad_wishes_say_what_is_wrong() {
    let (world, ann) = World::with_accounts(Settings::default()).await;
    let good = wish(&[Scope::Read]);
    let bad = [
        TokenWish { name: " ".to_owned(), ..good.clone() },
        TokenWish { name: "x".repeat(65), ..good.clone() },
        TokenWish { name: "a\nb".to_owned(), ..good.clone() },
        TokenWish { scopes: Scopes::default(), ..good.clone() },
        TokenWish { addresses: vec![[1, 1, 1, 1].into(); 33], ..good.clone() },
        TokenWish { expires_at: Some(world.now()), ..good },
    ];
    for wish in bad {
        let answer = world.access.make_token(&ann, wish.clone(), &peer(1)).await.map(|_| ());
        assert!(matches!(answer, Err(AccessError::Invalid(_))), "{wish:?}: {answer:?}");
    }
}
