//! Users, what lets them in, and the audit log.

use access::{
    ApiToken, Attempts, AuditFilter, NewToken, NewUser, Note, Over, Passkey, PasskeyId, Purpose, Role, Scope,
    Scopes, Session, SessionId, Ticket, TokenId, User, UserId, did,
};
use domain::{Address, Hash, Timestamp};
use engine::ports::{
    following::RelationshipStatus,
    store::{StoreError, StoreResult},
};

use super::{
    bench::{Bench, CaseResult, Failure, holds, same},
    world::{World, new_account},
};

const NOW: Timestamp = Timestamp::from_seconds(1_800_000_000);

fn after(seconds: i64) -> Timestamp {
    Timestamp::from_seconds(NOW.seconds() + seconds)
}

fn hash(number: u8) -> Hash {
    Hash([number; 32])
}

fn named(name: &str, role: Role) -> NewUser {
    let (password, wallet) = (Some("kept".to_owned()), None);
    NewUser { owner: None, name: name.to_owned(), role, password, wallet }
}

fn note(of: Option<&User>, what: &str) -> Note {
    Note {
        at: NOW,
        user: of.map(|user| user.id),
        owner: of.map(|user| user.owner),
        address: Some([192, 0, 2, 7].into()),
        what: what.to_owned(),
        on: "something".to_owned(),
    }
}

fn session(user: &User, number: u8) -> Session {
    Session {
        id: SessionId(0),
        user: user.id,
        hash: hash(number),
        created_at: NOW,
        seen_at: NOW,
        proven_at: number.is_multiple_of(2).then_some(NOW),
        address: number.is_multiple_of(2).then(|| [192, 0, 2, number].into()),
        agent: format!("browser {number}"),
    }
}

fn is_conflict<T>(answer: &StoreResult<T>) -> bool {
    matches!(answer, Err(StoreError::Conflict(_)))
}

fn some<T>(found: Option<T>, what: &str) -> CaseResult<T> {
    found.ok_or_else(|| Failure::new(format!("there is no {what}")))
}

pub(crate) async fn users_come_back_and_change_once(bench: Bench) -> CaseResult {
    let people = bench.people;
    let ann = people.add_user(&named("ann", Role::Administrator), &note(None, did::USER_ADDED)).await?;
    same!(
        (ann.name.as_str(), ann.role, ann.version, ann.created_at),
        ("ann", Role::Administrator, 1, NOW),
        "ann"
    );
    same!(people.user(ann.id).await?, Some(ann.clone()), "by number");
    same!(people.user_named("ann").await?, Some(ann.clone()), "by name");
    let changed = User {
        name: "anna".to_owned(),
        password: None,
        totp: Some(vec![0, 255]),
        totp_step: 7,
        wallet: Some(Address([7; 20])),
        ..ann.clone()
    };
    people.change_user(&changed, &note(Some(&ann), "x")).await?;
    let expected = User { version: 2, ..changed.clone() };
    same!(people.user_of_wallet(Address([7; 20])).await?, Some(expected), "by wallet");
    same!(people.user_named("ann").await?, None, "by the old name");
    let again = people.change_user(&changed, &note(Some(&ann), "y")).await;
    holds!(is_conflict(&again), "changed from a version that is gone: {again:?}");
    let notes = people.notes(AuditFilter { limit: 10, ..AuditFilter::default() }).await?;
    let whats: Vec<&str> = notes.iter().map(|entry| entry.note.what.as_str()).collect();
    same!(whats, ["x", did::USER_ADDED], "notes, none of what did not happen");
    let first = some(notes.last(), "note")?;
    same!((first.note.user, first.note.owner), (Some(ann.id), Some(ann.owner)), "of whom the note is");
    Ok(())
}

pub(crate) async fn names_wallets_and_owners_belong_to_one_user(bench: Bench) -> CaseResult {
    let (people, store) = (bench.people, bench.store);
    let first = store.add_owner("me", NOW).await?;
    let second = store.add_owner("other", NOW).await?;
    same!(people.unclaimed_owner().await?, Some(first), "the owner nobody has");
    let ann = NewUser { owner: Some(first), wallet: Some(Address([1; 20])), ..named("ann", Role::Trader) };
    let ann = people.add_user(&ann, &note(None, "a")).await?;
    same!((ann.owner, people.unclaimed_owner().await?), (first, Some(second)), "owners");
    let wrong = [
        named("ann", Role::Trader),
        NewUser { wallet: Some(Address([1; 20])), ..named("bob", Role::Trader) },
        NewUser { owner: Some(first), ..named("bob", Role::Trader) },
    ];
    for user in wrong {
        let answer = people.add_user(&user, &note(None, "b")).await;
        holds!(is_conflict(&answer), "added: {answer:?}");
    }
    let bob = people.add_user(&named("bob", Role::Trader), &note(None, "c")).await?;
    holds!(bob.owner != first && bob.owner != second, "bob has somebody's rows");
    for user in [User { name: "ann".to_owned(), ..bob.clone() }, User { wallet: ann.wallet, ..bob.clone() }] {
        let answer = people.change_user(&user, &note(Some(&bob), "d")).await;
        holds!(is_conflict(&answer), "changed: {answer:?}");
    }
    same!(people.users(UserId(0), 10).await?, [ann.clone(), bob.clone()], "all");
    same!(people.users(ann.id, 10).await?, [bob], "those after ann");
    same!(people.users(UserId(0), 1).await?, [ann], "one");
    Ok(())
}

pub(crate) async fn one_administrator_is_left(bench: Bench) -> CaseResult {
    let people = bench.people;
    let ann = people.add_user(&named("ann", Role::Administrator), &note(None, "a")).await?;
    let bob = people.add_user(&named("bob", Role::Trader), &note(None, "a")).await?;
    let demoted = User { role: Role::Operator, ..ann.clone() };
    let disabled = User { disabled_at: Some(NOW), ..ann.clone() };
    for user in [&demoted, &disabled] {
        let answer = people.change_user(user, &note(Some(&ann), "b")).await;
        holds!(is_conflict(&answer), "{user:?}: {answer:?}");
    }
    let erased = people.erase_user(ann.id, &note(Some(&ann), "b")).await;
    holds!(is_conflict(&erased), "erased: {erased:?}");
    same!(people.user(ann.id).await?, Some(ann.clone()), "ann");
    people.change_user(&User { role: Role::Administrator, ..bob }, &note(None, "c")).await?;
    people.change_user(&disabled, &note(Some(&ann), "d")).await?;
    Ok(())
}

pub(crate) async fn sessions_are_found_replaced_and_ended(bench: Bench) -> CaseResult {
    let people = bench.people;
    let ann = people.add_user(&named("ann", Role::Trader), &note(None, "a")).await?;
    let bob = people.add_user(&named("bob", Role::Trader), &note(None, "a")).await?;
    let n = note(Some(&ann), "s");
    let mut ids = Vec::new();
    for number in 1..=3 {
        ids.push(people.begin_session(&session(&ann, number), None, &n).await?);
    }
    let of_bob = people.begin_session(&session(&bob, 9), None, &n).await?;
    let [first, second, third] = ids.as_slice() else { return Err(Failure::new("sessions")) };
    let expected = Session { id: *second, ..session(&ann, 2) };
    same!(people.session(hash(2)).await?, Some((expected.clone(), ann.clone())), "a session");
    people.saw_session(*second, after(60)).await?;
    people.saw_session(*second, after(30)).await?;
    let seen = some(people.session(hash(2)).await?, "session")?.0.seen_at;
    same!(seen, after(60), "seen, never earlier");
    let stranger = people.begin_session(&session(&ann, 4), Some(of_bob), &n).await;
    holds!(matches!(stranger, Err(StoreError::NotFound { .. })), "bob's replaced: {stranger:?}");
    let fourth = people.begin_session(&session(&ann, 4), Some(*first), &n).await?;
    same!(people.session(hash(1)).await?, None, "the one that was replaced");
    let listed: Vec<SessionId> = people.sessions_of(ann.id).await?.iter().map(|session| session.id).collect();
    same!(listed, [fourth, *third, *second], "the newest first");
    holds!(!people.end_session(ann.id, of_bob, &n).await?, "ann ended bob's");
    holds!(people.end_session(ann.id, *third, &n).await?, "ann's own");
    holds!(!people.end_session(ann.id, *third, &n).await?, "twice");
    same!(people.end_sessions(ann.id, Some(fourth), &n).await?, 1, "all but one");
    same!(people.end_sessions(ann.id, None, &n).await?, 1, "all");
    holds!(people.session(hash(9)).await?.is_some(), "bob's is gone");
    Ok(())
}

pub(crate) async fn tokens_are_found_and_revoked(bench: Bench) -> CaseResult {
    let people = bench.people;
    let ann = people.add_user(&named("ann", Role::Trader), &note(None, "a")).await?;
    let bob = people.add_user(&named("bob", Role::Trader), &note(None, "a")).await?;
    let token = ApiToken {
        id: TokenId(0),
        name: "robot".to_owned(),
        prefix: "slp_abc".to_owned(),
        scopes: Scopes::of(&[Scope::Read, Scope::Operate]),
        addresses: vec![[192, 0, 2, 1].into(), [0, 0, 0, 0, 0, 0, 0, 1_u16].into()],
        created_at: NOW,
        expires_at: Some(after(60)),
        used_at: None,
        revoked_at: None,
    };
    let new = NewToken { user: ann.id, hash: hash(1), token: token.clone() };
    let n = note(Some(&ann), "t");
    let id = people.add_token(&new, &n).await?;
    let free = ApiToken { addresses: Vec::new(), expires_at: None, ..token.clone() };
    let other = people.add_token(&NewToken { user: ann.id, hash: hash(2), token: free }, &n).await?;
    let expected = ApiToken { id, ..token };
    same!(people.token(hash(1)).await?, Some((expected.clone(), ann.clone())), "a token");
    same!(people.token(hash(3)).await?, None, "a token nobody has");
    people.saw_token(id, after(9)).await?;
    let listed = people.tokens_of(ann.id).await?;
    let ids: Vec<TokenId> = listed.iter().map(|token| token.id).collect();
    same!(ids, [other, id], "the newest first");
    holds!(!people.revoke_token(bob.id, id, &n).await?, "bob revoked it");
    holds!(people.revoke_token(ann.id, id, &n).await?, "ann did not");
    holds!(!people.revoke_token(ann.id, id, &n).await?, "revoked twice");
    let expected = ApiToken { used_at: Some(after(9)), revoked_at: Some(NOW), ..expected };
    same!(people.token(hash(1)).await?.map(|(token, _)| token), Some(expected), "after that");
    Ok(())
}

pub(crate) async fn tickets_work_once_and_for_a_while(bench: Bench) -> CaseResult {
    let people = bench.people;
    let ticket = |number: u8, purpose: Purpose| Ticket {
        hash: hash(number),
        purpose,
        user: number.is_multiple_of(2).then_some(UserId(7)),
        role: (number == 1).then_some(Role::Operator),
        until: after(60),
    };
    people.add_ticket(&ticket(1, Purpose::Invitation), false, Some(&note(None, "i"))).await?;
    people.add_ticket(&ticket(2, Purpose::Reset), false, None).await?;
    same!(people.ticket(hash(1), after(59)).await?, Some(ticket(1, Purpose::Invitation)), "looked at");
    same!(people.ticket(hash(1), after(60)).await?, None, "too late");
    same!(people.take_ticket(hash(1), Purpose::Reset, NOW).await?, None, "for something else");
    same!(people.take_ticket(hash(1), Purpose::Invitation, after(60)).await?, None, "taken too late");
    let taken = people.take_ticket(hash(1), Purpose::Invitation, NOW).await?;
    same!(taken, Some(ticket(1, Purpose::Invitation)), "taken");
    same!(people.take_ticket(hash(1), Purpose::Invitation, NOW).await?, None, "taken twice");
    // Alone among those of the same purpose and user.
    for number in [3, 5] {
        people.add_ticket(&ticket(number, Purpose::SetUp), true, None).await?;
    }
    people.add_ticket(&ticket(4, Purpose::Reset), true, None).await?;
    let mut left = Vec::new();
    for number in 1..=5 {
        left.extend(people.ticket(hash(number), NOW).await?.map(|_| number));
    }
    same!(left, [4, 5], "those that are left");
    Ok(())
}

pub(crate) async fn recovery_codes_work_once(bench: Bench) -> CaseResult {
    let people = bench.people;
    let ann = people.add_user(&named("ann", Role::Trader), &note(None, "a")).await?;
    let bob = people.add_user(&named("bob", Role::Trader), &note(None, "a")).await?;
    let n = note(Some(&ann), "c");
    people.set_recovery_codes(ann.id, &[hash(9)], &n).await?;
    people.set_recovery_codes(ann.id, &[hash(1), hash(2)], &n).await?;
    holds!(!people.take_recovery_code(ann.id, hash(9), &n).await?, "one of before");
    holds!(!people.take_recovery_code(bob.id, hash(1), &n).await?, "somebody else's");
    holds!(people.take_recovery_code(ann.id, hash(1), &n).await?, "her own");
    holds!(!people.take_recovery_code(ann.id, hash(1), &n).await?, "twice");
    same!(people.recovery_codes_left(ann.id).await?, 1, "left");
    Ok(())
}

pub(crate) async fn passkeys_count_their_uses(bench: Bench) -> CaseResult {
    let people = bench.people;
    let ann = people.add_user(&named("ann", Role::Trader), &note(None, "a")).await?;
    let bob = people.add_user(&named("bob", Role::Trader), &note(None, "a")).await?;
    let n = note(Some(&ann), "p");
    let passkey = Passkey {
        id: PasskeyId(0),
        user: ann.id,
        credential: vec![1, 0, 255],
        key: vec![4, 0],
        algorithm: -7,
        counter: 5,
        name: "phone".to_owned(),
        created_at: NOW,
        used_at: None,
    };
    let id = people.add_passkey(&passkey, &n).await?;
    let stored = Passkey { id, ..passkey.clone() };
    let again = people.add_passkey(&Passkey { user: bob.id, ..passkey.clone() }, &n).await;
    holds!(is_conflict(&again), "added twice: {again:?}");
    same!(people.passkey(&passkey.credential).await?, Some((stored.clone(), ann.clone())), "found");
    same!(people.passkey(&[1]).await?, None, "another");
    holds!(people.use_passkey(&stored, 6, after(1)).await?, "used");
    holds!(!people.use_passkey(&stored, 7, after(2)).await?, "used from a count that is gone");
    let used = Passkey { counter: 6, used_at: Some(after(1)), ..stored };
    same!(people.passkeys_of(ann.id).await?, [used], "after that");
    holds!(!people.remove_passkey(bob.id, id, &n).await?, "removed by bob");
    holds!(people.remove_passkey(ann.id, id, &n).await?, "not removed by ann");
    same!(people.passkeys_of(ann.id).await?, [], "after the removal");
    Ok(())
}

pub(crate) async fn wrong_answers_are_compared_and_set(bench: Bench) -> CaseResult {
    let people = bench.people;
    let none = Attempts::default();
    let one = Attempts { failures: 1, last_at: NOW };
    same!(people.attempts(&[hash(1), hash(2)]).await?, [none, none], "before");
    holds!(people.set_attempts(&[(hash(1), none, one), (hash(2), none, one)]).await?, "not set");
    let two = Attempts { failures: 2, last_at: after(1) };
    holds!(
        !people.set_attempts(&[(hash(1), one, two), (hash(2), none, two)]).await?,
        "set from what is gone"
    );
    same!(people.attempts(&[hash(2), hash(1)]).await?, [one, one], "neither changed");
    holds!(people.set_attempts(&[(hash(1), one, two)]).await?, "not set again");
    same!(people.attempts(&[hash(2), hash(1)]).await?, [one, two], "after that");
    Ok(())
}

pub(crate) async fn notes_are_read_by_owner_from_the_newest(bench: Bench) -> CaseResult {
    let people = bench.people;
    let ann = people.add_user(&named("ann", Role::Trader), &note(None, "ann")).await?;
    let bob = people.add_user(&named("bob", Role::Trader), &note(None, "bob")).await?;
    for (of, what) in [(Some(&ann), "1"), (Some(&bob), "2"), (None, "3"), (Some(&ann), "4")] {
        people.note(&note(of, what)).await?;
    }
    let all = AuditFilter { limit: 100, ..AuditFilter::default() };
    let notes = people.notes(all).await?;
    let whats = |notes: &[access::AuditEntry]| {
        notes.iter().map(|entry| entry.note.what.clone()).collect::<Vec<_>>().join(" ")
    };
    same!(whats(&notes), "4 3 2 1 bob ann", "all");
    same!(some(notes.first(), "note")?.note, note(Some(&ann), "4"), "a note as it was written");
    let second = some(notes.get(1), "note")?.id;
    let older = people.notes(AuditFilter { before: Some(second), limit: 2, owner: None }).await?;
    same!(whats(&older), "2 1", "a page");
    let of_ann = people.notes(AuditFilter { owner: Some(ann.owner), ..all }).await?;
    same!(whats(&of_ann), "4 1 ann", "of ann");
    Ok(())
}

pub(crate) async fn what_is_over_is_removed(bench: Bench) -> CaseResult {
    let people = bench.people;
    let ann = people.add_user(&named("ann", Role::Trader), &note(None, "a")).await?;
    let n = note(Some(&ann), "s");
    let times = [(1, NOW, NOW), (2, NOW, after(30)), (3, after(20), after(30))];
    for (number, created_at, seen_at) in times {
        people.begin_session(&Session { created_at, seen_at, ..session(&ann, number) }, None, &n).await?;
    }
    for number in [4, 5] {
        let until = after(i64::from(number) * 10);
        let ticket = Ticket { hash: hash(number), purpose: Purpose::Passkey, user: None, role: None, until };
        people.add_ticket(&ticket, false, None).await?;
    }
    let old = Attempts { failures: 3, last_at: NOW };
    let new = Attempts { failures: 3, last_at: after(30) };
    let none = Attempts::default();
    people.set_attempts(&[(hash(6), none, old), (hash(7), none, new)]).await?;
    let over = Over { seen: NOW, begun: after(10), attempts: after(10) };
    people.tidy(after(40), &over).await?;
    let sessions: Vec<Hash> = people.sessions_of(ann.id).await?.iter().map(|session| session.hash).collect();
    same!(sessions, [hash(3)], "sessions");
    let tickets =
        [people.ticket(hash(4), NOW).await?.is_some(), people.ticket(hash(5), NOW).await?.is_some()];
    same!(tickets, [false, true], "tickets");
    same!(people.attempts(&[hash(6), hash(7)]).await?, [none, new], "wrong answers");
    Ok(())
}

pub(crate) async fn an_erased_user_leaves_his_books_alone(bench: Bench) -> CaseResult {
    let people = bench.people.clone();
    let world = World::new(bench, 1).await?;
    let (store, follower) = (&world.store, world.follower(0)?);
    let ann = NewUser { owner: Some(follower.owner), ..named("ann", Role::Trader) };
    let ann = people.add_user(&ann, &note(None, did::USER_ADDED)).await?;
    let n = note(Some(&ann), "x");
    people.begin_session(&session(&ann, 1), None, &n).await?;
    people.set_recovery_codes(ann.id, &[hash(2)], &n).await?;
    let busy = people.erase_user(ann.id, &n).await;
    holds!(is_conflict(&busy), "erased while she follows: {busy:?}");
    store.set_status(follower.owner, follower.relationship, RelationshipStatus::Stopped, world.now()).await?;
    let before = store.accounts(Some(follower.owner)).await?;
    people.erase_user(ann.id, &note(None, did::ERASED)).await?;
    let after_it = some(people.user(ann.id).await?, "row")?;
    same!(
        (after_it.name, after_it.password, after_it.disabled_at, after_it.owner),
        (format!("erased-{}", ann.id), None, Some(NOW), ann.owner),
        "the row"
    );
    same!(people.session(hash(1)).await?, None, "her session");
    same!(people.recovery_codes_left(ann.id).await?, 0, "her codes");
    let notes = people.notes(AuditFilter { owner: Some(ann.owner), before: None, limit: 100 }).await?;
    holds!(notes.iter().all(|entry| entry.note.address.is_none()), "an address is left: {notes:?}");
    holds!(notes.iter().any(|entry| entry.note.what == "x"), "the notes are gone");
    let accounts = store.accounts(Some(follower.owner)).await?;
    let money = |accounts: &[engine::ports::following::Account]| {
        accounts.iter().map(|account| (account.trading.id, account.cash)).collect::<Vec<_>>()
    };
    same!(money(&accounts), money(&before), "her money");
    holds!(
        accounts.iter().all(|account| account.label != new_account(0).label),
        "a label is left: {accounts:?}"
    );
    Ok(())
}
