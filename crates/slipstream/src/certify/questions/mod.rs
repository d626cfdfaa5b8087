//! The questions, in the order in which they are asked. Source: the open questions of the protocol notes, and what
//! the adapter relies on.

mod channels;
mod duplicates;
mod fills;
mod lookups;
mod orders;
mod surroundings;

use futures_util::future::BoxFuture;

use super::{
    finding::{Finding, Seen},
    place::Place,
};

/// Asks a question.
type Ask = for<'a> fn(&'a Place) -> BoxFuture<'a, anyhow::Result<Seen>>;

struct Question {
    name: &'static str,
    question: &'static str,
    relies: &'static str,
    ask: Ask,
}

const fn question(name: &'static str, question: &'static str, relies: &'static str, ask: Ask) -> Question {
    Question { name, question, relies, ask }
}

const QUESTIONS: &[Question] = &[
    question(
        "clock",
        "What time is it at the venue?",
        "requests and orders are dated by this machine's clock, at most 2 s off",
        |place| Box::pin(surroundings::clock(place)),
    ),
    question(
        "version",
        "Which version of orders does it take?",
        "2, which covers the third exchange too",
        |place| Box::pin(surroundings::version(place)),
    ),
    question("standing", "May the account buy?", "an account in closed-only mode is held", |place| {
        Box::pin(surroundings::standing(place))
    }),
    question(
        "third_exchange",
        "How many markets trade on the third exchange?",
        "every token and condition id can be read, and the id alone tells its exchange",
        |place| Box::pin(surroundings::third_exchange(place)),
    ),
    question(
        "order_id",
        "Is the order id the plain order's hash, also for a deposit wallet?",
        "the id is known before the order is sent",
        |place| Box::pin(orders::order_id(place)),
    ),
    question(
        "killed",
        "How is an order answered that finds nobody (FAK, FOK)?",
        "by status 400 and a text that says so",
        |place| Box::pin(orders::killed(place)),
    ),
    question(
        "batch",
        "Do answers to several orders stand in the order of the orders?",
        "they do; else all of them are unknown and looked up",
        |place| Box::pin(orders::batch(place)),
    ),
    question(
        "timestamp",
        "How old may the date in an order be?",
        "at least 5 min: an entry is dated when it was decided",
        |place| Box::pin(orders::timestamp(place)),
    ),
    question(
        "duplicated_live",
        "Is a resting order's second post answered \"Duplicated\"?",
        "a known id is never taken twice",
        |place| Box::pin(duplicates::while_live(place)),
    ),
    question(
        "duplicated_killed",
        "Is the second post of a killed order answered \"Duplicated\", and for how long?",
        "it is never taken anew; bytes are sent again for 5 s at most",
        |place| Box::pin(duplicates::after_kill(place)),
    ),
    question("duplicated_cancelled", "And of a cancelled one?", "it is never taken anew", |place| {
        Box::pin(duplicates::after_cancel(place))
    }),
    question("duplicated_expired", "And of an expired one?", "it is never taken anew", |place| {
        Box::pin(duplicates::after_expiry(place))
    }),
    question(
        "look_up_killed",
        "Does a look-up show a killed order?",
        "it shows it as over, or not at all; both can be read",
        |place| Box::pin(lookups::killed(place)),
    ),
    question(
        "look_up_live",
        "How does a look-up show a resting order?",
        "as open, with nothing matched, in one of the two spellings",
        |place| Box::pin(lookups::live(place)),
    ),
    question(
        "cancel",
        "Does a cancel name what it cancelled?",
        "yes, and a second one says why not",
        |place| Box::pin(lookups::cancel(place)),
    ),
    question(
        "signer_limit",
        "Do replies name the signer's tier?",
        "the headers, where there are any, name a tier we know",
        |place| Box::pin(surroundings::signer_limit(place)),
    ),
    question(
        "signer_limit_enforced",
        "Is a request above the signer's limit refused?",
        "either: limits are kept to, and a 429 is obeyed",
        |place| Box::pin(surroundings::signer_limit_enforced(place)),
    ),
    question(
        "unmatched",
        "What does the status \"unmatched\" mean?",
        "nothing: an order with it is looked up",
        |place| Box::pin(orders::unmatched(place)),
    ),
    question(
        "fill",
        "What do a buy and its sale come to?",
        "trades are listed by the order's id and end confirmed; the fee is the schedule's, on top of a buy, out of a sale",
        |place| Box::pin(fills::fill(place)),
    ),
    question(
        "small_sale",
        "Is a sale of less than the market's minimum taken?",
        "either: it is tried where nothing is to be kept, and a refusal ends it",
        |place| Box::pin(std::future::ready(Ok(fills::small_sale(place)))),
    ),
    question(
        "market_channel",
        "Does the market channel begin with a whole book, and tell an order's level?",
        "it does, in frames that can be read; where it does not, the book is asked for",
        |place| Box::pin(channels::market(place)),
    ),
    question(
        "user_channel",
        "Does the user channel tell of an order when it is placed, and when it is cancelled?",
        "it does, in frames that can be read; where it does not, orders are looked up",
        |place| Box::pin(channels::user(place)),
    ),
    question(
        "live_feed",
        "Does the live feed still tell trades, as `trades` and as `orders_matched`?",
        "nothing but frames that can be read: it only makes detection sooner",
        |place| Box::pin(channels::live(place)),
    ),
    question(
        "approvals",
        "Does the Data API tell a wallet's approvals?",
        "nothing: approvals are read from the chain",
        |place| Box::pin(surroundings::approvals(place)),
    ),
    question(
        "session_signers",
        "Does the venue tell the account's session signers?",
        "nothing: until when a session key signs is read from its wallet",
        |place| Box::pin(surroundings::session_signers(place)),
    ),
];

/// The words of all of them.
#[cfg(test)]
pub(super) fn texts() -> impl Iterator<Item = &'static str> {
    QUESTIONS.iter().map(|question| question.question)
}

/// Asks all of them; answers are there one by one. A question that cannot be asked is not observable.
pub(super) async fn ask_all(place: &Place, findings: &mut Vec<Finding>) {
    for Question { name, question, relies, ask } in QUESTIONS {
        let seen = ask(place).await.unwrap_or_else(|error| Seen::nothing(format!("{error:#}")));
        let shown = Seen { seen: place.transcript.shown(&seen.seen), ..seen };
        findings.push(Finding { name, question, relies, seen: shown });
    }
}
