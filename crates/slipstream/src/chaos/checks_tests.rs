//! The checks, on books in which one fact at a time was falsified.

use super::*;
use crate::chaos::facts::{Adopted, Decision, Trade};

const FEE: i64 = 7_000;

/// Two followers copy a buy; one of them is left with it all, both sell half, then the leader keeps half.
fn honest() -> Facts {
    let trade = |tx: &str, buy, halves| Trade { tx: tx.to_owned(), token: "t".to_owned(), buy, halves };
    let mut facts = Facts {
        followers: vec!["a".to_owned(), "b".to_owned()],
        trades: vec![trade("1", true, 2), trade("2", false, 1)],
        queue: [("trade_execution_queue".to_owned(), 0), ("trade_execution_queue:exits".to_owned(), 0)]
            .into(),
        to_do: [("reservations".to_owned(), 0)].into(),
        ..Facts::default()
    };
    for (number, wallet) in [(1, "a"), (2, "b")] {
        buy_and_sell(&mut facts, number, wallet);
    }
    facts
}

fn buy_and_sell(facts: &mut Facts, number: i64, wallet: &str) {
    let (wallet, token) = (wallet.to_owned(), "t".to_owned());
    let mut cash = 1_000_000_000;
    for (tx, intent, buy, shares, usd) in
        [("1", number, true, 20_000_000, 10_000_000), ("2", number + 10, false, 10_000_000, 4_900_000)]
    {
        let answer = if buy { -1 } else { -2 };
        let tx = tx.to_owned();
        facts.decisions.push(Decision { tx, token: token.clone(), part: 0, wallet: wallet.clone(), answer });
        let amount = if buy { usd } else { shares };
        let (owner, of) = (wallet.clone(), token.clone());
        facts.intents.push(Intent { id: intent, wallet: owner, token: of, buy, amount, end: None });
        let order = format!("order {intent}");
        let (owner, of) = (wallet.clone(), token.clone());
        let most = amount;
        facts.executed.push(Executed {
            order: order.clone(),
            wallet: owner,
            token: of,
            buy,
            shares,
            most,
            usd,
        });
        let moved = if buy { -usd - FEE } else { usd - FEE };
        cash += moved;
        let signed = if buy { shares } else { -shares };
        facts.signed.push(Signed { order, intent, state: 6, shares: signed, cash: moved });
    }
    facts.money.insert(wallet.clone(), cash);
    facts.cash.insert(wallet.clone(), cash);
    facts.positions.insert((wallet, token), 10_000_000);
}

/// The same, but the database went back in time over the sale of one and the buy of a third, and found both again.
fn rewound() -> Facts {
    let mut facts = honest();
    let adopted = |order: &Executed, left_over| Adopted {
        order: order.order.clone(),
        wallet: order.wallet.clone(),
        token: order.token.clone(),
        buy: order.buy,
        shares: order.shares,
        left_over,
    };
    let bought = facts.executed[0].clone();
    let bought = Executed { order: "of c".to_owned(), wallet: "c".to_owned(), ..bought };
    facts.adopted = vec![adopted(&facts.executed[1], 0), adopted(&bought, bought.shares)];
    facts.executed.push(bought);
    facts.intents.remove(1);
    facts.signed.remove(1);
    facts.decisions[1].answer = 9;
    facts.followers.push("c".to_owned());
    for tx in ["1", "2"] {
        let (tx, token, wallet) = (tx.to_owned(), "t".to_owned(), "c".to_owned());
        facts.decisions.push(Decision { tx, token, part: 0, wallet, answer: 9 });
    }
    facts.money.insert("c".to_owned(), 7);
    facts.cash.insert("c".to_owned(), 7);
    facts
}

#[test]
fn honest_books_are_in_order() {
    let verdict = judge(&honest());
    assert_eq!(verdict.findings, []);
    assert_eq!((verdict.executed, verdict.missed), (4, 0));
    let verdict = judge(&rewound());
    assert_eq!(verdict.findings, []);
    assert_eq!((verdict.executed, verdict.skipped[&9]), (5, 3));
}

/// Of a database that went back in time.
const FALSIFIED_AFTERWARDS: [Falsified; 8] = [
    ("an order that was lost is not adopted", Wrong::Stranger, |facts| drop(facts.adopted.remove(1))),
    ("an order is adopted twice", Wrong::Doubled, |facts| facts.adopted.push(facts.adopted[0].clone())),
    ("an order that is known is adopted", Wrong::Doubled, |facts| {
        facts.adopted[0].order = facts.signed[0].order.clone();
    }),
    ("other shares are adopted", Wrong::Amount, |facts| facts.adopted[0].shares -= 1),
    ("a purchase is adopted as a sale", Wrong::Amount, |facts| facts.adopted[1].buy = false),
    ("what is adopted never was", Wrong::Amount, |facts| drop(facts.executed.pop())),
    ("an adopted purchase is nowhere in the books", Wrong::Amount, |facts| facts.adopted[1].left_over = 0),
    ("what was lost is sold once more", Wrong::Doubled, |facts| {
        let again = &facts.executed[1];
        let again = Executed { order: "again".to_owned(), shares: 20_000_000, ..again.clone() };
        facts.executed.push(again);
    }),
];

/// What was done to the books, and how it must be called.
type Falsified = (&'static str, Wrong, fn(&mut Facts));

const FALSIFIED: [Falsified; 29] = [
    ("the venue executes a second order of a buy that the database has", Wrong::Doubled, |facts| {
        let (mut again, mut signed) = (facts.executed[0].clone(), facts.signed[0].clone());
        again.order = "another".to_owned();
        signed.order = "another".to_owned();
        facts.executed.push(again);
        facts.signed.push(signed);
    }),
    ("an order is in the venue's books twice", Wrong::Doubled, |facts| {
        facts.executed.push(facts.executed[0].clone());
    }),
    ("a sale is executed twice", Wrong::Doubled, |facts| {
        let (mut again, mut signed) = (facts.executed[1].clone(), facts.signed[1].clone());
        again.order = "another".to_owned();
        signed.order = "another".to_owned();
        facts.executed.push(again);
        facts.signed.push(signed);
        facts.positions.insert(("a".to_owned(), "t".to_owned()), 0);
    }),
    ("two answers to one part", Wrong::Doubled, |facts| facts.decisions.push(facts.decisions[0].clone())),
    ("more was bought than was decided", Wrong::Doubled, |facts| facts.intents[0].amount -= 1),
    ("two intents buy for one trade", Wrong::Doubled, |facts| {
        let (mut again, mut signed, mut intent) =
            (facts.executed[0].clone(), facts.signed[0].clone(), facts.intents[0].clone());
        intent.id = 77;
        signed.intent = 77;
        signed.order = "another".to_owned();
        again.order = "another".to_owned();
        facts.intents.push(intent);
        facts.signed.push(signed);
        facts.executed.push(again);
    }),
    ("a trade has no answer for somebody", Wrong::Lost, |facts| drop(facts.decisions.remove(0))),
    ("a whole trade was not seen", Wrong::Lost, |facts| facts.decisions.retain(|one| one.tx != "2")),
    ("an intent is gone", Wrong::Lost, |facts| drop(facts.intents.remove(0))),
    ("an intent was never signed", Wrong::Lost, |facts| {
        facts.signed.remove(0);
        facts.executed.remove(0);
    }),
    ("a sale was not made", Wrong::Lost, |facts| {
        facts.executed.remove(1);
        facts.signed.remove(1);
        facts.intents[1].end = Some(1);
        facts.positions.insert(("a".to_owned(), "t".to_owned()), 20_000_000);
    }),
    ("an order's end is not known", Wrong::Unknown, |facts| facts.signed[0].state = 1),
    ("an order was never sent", Wrong::Unknown, |facts| facts.signed[0].state = 0),
    ("an order is in no block", Wrong::Unknown, |facts| facts.signed[0].state = 4),
    ("shares of a fill are booked wrongly", Wrong::Amount, |facts| facts.signed[0].shares += 1),
    ("a fill is not booked", Wrong::Amount, |facts| {
        (facts.signed[0].shares, facts.signed[0].cash) = (0, 0);
    }),
    ("a fill is booked that never was", Wrong::Amount, |facts| drop(facts.executed.remove(0))),
    ("the venue gave another amount", Wrong::Amount, |facts| facts.executed[0].shares += 1),
    ("more was given than signed", Wrong::Amount, |facts| facts.executed[0].most -= 1),
    ("the chain has a millionth of a dollar less", Wrong::Amount, |facts| {
        *facts.money.get_mut("a").unwrap() -= 1;
    }),
    ("a wallet is not in the books", Wrong::Amount, |facts| {
        facts.cash.remove("b");
    }),
    ("a position is another", Wrong::Amount, |facts| {
        *facts.positions.get_mut(&("b".to_owned(), "t".to_owned())).unwrap() += 1;
    }),
    ("a position is held that nobody bought", Wrong::Amount, |facts| {
        facts.positions.insert(("b".to_owned(), "u".to_owned()), 5);
    }),
    ("a stranger's order", Wrong::Stranger, |facts| {
        let mut strange = facts.executed[0].clone();
        (strange.order, strange.wallet) = ("another".to_owned(), "c".to_owned());
        facts.executed.push(strange);
    }),
    ("the database does not know an order", Wrong::Stranger, |facts| drop(facts.signed.remove(0))),
    ("a follower's order for what no leader bought", Wrong::Stranger, |facts| {
        facts.executed[0].token = "u".to_owned();
    }),
    ("a decision on what no leader did", Wrong::Stranger, |facts| facts.decisions[0].tx = "3".to_owned()),
    ("an entry is left waiting in Redis", Wrong::Waiting, |facts| {
        facts.queue.insert("trade_execution_queue".to_owned(), 1);
    }),
    ("a reservation is left", Wrong::Waiting, |facts| {
        facts.to_do.insert("reservations".to_owned(), 1);
    }),
];

#[test]
fn each_falsified_fact_is_found() {
    let honest = FALSIFIED.map(|falsified| (honest as fn() -> Facts, falsified));
    let rewound = FALSIFIED_AFTERWARDS.map(|falsified| (rewound as fn() -> Facts, falsified));
    for (books, (what, wrong, falsify)) in honest.into_iter().chain(rewound) {
        let mut facts = books();
        falsify(&mut facts);
        let verdict = judge(&facts);
        assert!(verdict.count(wrong) > 0, "{what}: {:?}", verdict.findings);
    }
}

#[test]
fn what_the_venue_says_against_itself_is_told() {
    let facts = Facts { unsound: vec!["dollars were made".to_owned()], ..honest() };
    assert_eq!(judge(&facts).count(Wrong::Unsound), 1);
}

/// A buy that was signed and never executed is no loss: it has one attempt.
#[test]
fn a_missed_buy_is_counted() {
    let mut facts = honest();
    facts.executed.truncate(2);
    facts.signed.truncate(3);
    facts.intents.truncate(3);
    facts.signed[2] = Signed { state: 13, shares: 0, cash: 0, ..facts.signed[2].clone() };
    facts.money.insert("b".to_owned(), 5);
    facts.cash.insert("b".to_owned(), 5);
    facts.positions.remove(&("b".to_owned(), "t".to_owned()));
    let verdict = judge(&facts);
    assert_eq!((verdict.findings.as_slice(), verdict.missed), (&[][..], 1));
}
