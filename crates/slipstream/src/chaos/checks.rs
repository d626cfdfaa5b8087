//! Judges raw facts. Knows nothing of the engine: what it may decide, which states there are on the way, how it computes
//! amounts. It knows what must be true of any books whatever happened.
//!
//! Each buy of a leader is of a token of its own, so that the venue's own books say for which trade an order was.

use std::collections::{BTreeMap, BTreeSet, HashMap};

use serde::Serialize;

use super::facts::{Executed, Facts, Holding, Intent, Signed};

/// Less than this cannot be traded: a hundredth of a share.
const LOT: i64 = 10_000;
/// Numbers of the states in which nothing more happens to an order: confirmed, failed, killed, rejected, missed, cancelled,
/// expired without having been seen (`order_status.state`, numbers are for ever).
const OVER: [u8; 7] = [6, 8, 9, 10, 11, 12, 13];
/// Findings that are shown of each kind; the others are counted.
pub const SHOWN: usize = 20;

/// What is wrong.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Serialize)]
#[serde(rename_all = "snake_case")]
pub enum Wrong {
    /// Something happened twice.
    Doubled,
    /// Something that had to happen did not, or is forgotten.
    Lost,
    /// The books do not know how something ended.
    Unknown,
    /// Amounts differ.
    Amount,
    /// Somebody's who is not known here.
    Stranger,
    /// Something still waits.
    Waiting,
    /// A program contradicts itself.
    Unsound,
}

/// One thing that is wrong.
#[derive(Clone, Debug, PartialEq, Eq, Serialize)]
pub struct Finding {
    /// How.
    pub wrong: Wrong,
    /// What, with the values.
    pub what: String,
}

/// What was found, and what was not wrong and is worth counting.
#[derive(Clone, Debug, Default, Serialize)]
pub struct Verdict {
    /// Everything that is wrong.
    pub findings: Vec<Finding>,
    /// Copies of buys that were decided on and not executed: an entry has one attempt.
    pub missed: u64,
    /// Decisions not to copy, by the number of their reason.
    pub skipped: BTreeMap<i64, u64>,
    /// Orders of which something was executed.
    pub executed: u64,
}

impl Verdict {
    /// How many findings are of a kind.
    #[must_use]
    pub fn count(&self, wrong: Wrong) -> usize {
        self.findings.iter().filter(|finding| finding.wrong == wrong).count()
    }

    fn add(&mut self, wrong: Wrong, what: String) {
        self.findings.push(Finding { wrong, what });
    }
}

/// Judges.
#[must_use]
pub fn judge(facts: &Facts) -> Verdict {
    let mut verdict = Verdict::default();
    decisions(facts, &mut verdict);
    venue(facts, &mut verdict);
    orders(facts, &mut verdict);
    adopted(facts, &mut verdict);
    money(facts, &mut verdict);
    shares(facts, &mut verdict);
    rest(facts, &mut verdict);
    verdict
}

/// Each part of each trade is answered once for each follower.
fn decisions(facts: &Facts, verdict: &mut Verdict) {
    let mut answers: HashMap<(&str, &str, &str), BTreeMap<i64, u64>> = HashMap::new();
    for decision in &facts.decisions {
        let key = (decision.tx.as_str(), decision.token.as_str(), decision.wallet.as_str());
        *answers.entry(key).or_default().entry(decision.part).or_default() += 1;
        if decision.answer >= 0 {
            *verdict.skipped.entry(decision.answer).or_default() += 1;
        }
    }
    let mut known = BTreeSet::new();
    for trade in &facts.trades {
        known.insert(trade.tx.as_str());
        for wallet in &facts.followers {
            match answers.get(&(trade.tx.as_str(), trade.token.as_str(), wallet.as_str())) {
                None => verdict.add(Wrong::Lost, format!("trade {} has no answer for {wallet}", trade.tx)),
                Some(parts) => {
                    for (part, count) in parts.iter().filter(|(_, count)| **count > 1) {
                        let what =
                            format!("part {part} of trade {} has {count} answers for {wallet}", trade.tx);
                        verdict.add(Wrong::Doubled, what);
                    }
                }
            }
        }
    }
    let strange: BTreeSet<&str> =
        facts.decisions.iter().map(|one| one.tx.as_str()).filter(|tx| !known.contains(tx)).collect();
    for tx in strange {
        verdict.add(Wrong::Stranger, format!("trade {tx} was decided on, and no leader made it"));
    }
}

/// What the venue executed, by itself: each buy of a leader is answered once by each follower.
fn venue(facts: &Facts, verdict: &mut Verdict) {
    let followers: BTreeSet<&str> = facts.followers.iter().map(String::as_str).collect();
    let bought: BTreeSet<&str> =
        facts.trades.iter().filter(|trade| trade.buy).map(|trade| trade.token.as_str()).collect();
    let mut buys: HashMap<(&str, &str), Vec<&str>> = HashMap::new();
    let mut seen = BTreeSet::new();
    for one in facts.executed.iter().filter(|one| one.shares > 0) {
        verdict.executed += 1;
        if !seen.insert(one.order.as_str()) {
            verdict.add(Wrong::Doubled, format!("order {} is in the venue's books twice", one.order));
        }
        if !followers.contains(one.wallet.as_str()) {
            verdict.add(
                Wrong::Stranger,
                format!("order {} is of {}, who follows nobody", one.order, one.wallet),
            );
        }
        if !bought.contains(one.token.as_str()) {
            verdict.add(
                Wrong::Stranger,
                format!("order {} is for {}, which no leader has bought", one.order, one.token),
            );
        }
        if one.buy {
            buys.entry((&one.wallet, &one.token)).or_default().push(&one.order);
        }
        let given = if one.buy { one.usd } else { one.shares };
        if given > one.most {
            verdict
                .add(Wrong::Amount, format!("order {} gave {given}, and {} was signed", one.order, one.most));
        }
    }
    for ((wallet, token), orders) in buys.into_iter().filter(|(_, orders)| orders.len() > 1) {
        verdict.add(
            Wrong::Doubled,
            format!("{wallet} bought {token} with {} orders: {}", orders.len(), orders.join(", ")),
        );
    }
}

/// The database's orders against the venue's.
fn orders(facts: &Facts, verdict: &mut Verdict) {
    let intents: HashMap<i64, &Intent> = facts.intents.iter().map(|intent| (intent.id, intent)).collect();
    let signed: HashMap<&str, &Signed> = facts.signed.iter().map(|one| (one.order.as_str(), one)).collect();
    let executed: HashMap<&str, &Executed> =
        facts.executed.iter().map(|one| (one.order.as_str(), one)).collect();
    let adopted: BTreeSet<&str> = facts.adopted.iter().map(|one| one.order.as_str()).collect();
    let mut of_intent: HashMap<i64, (i64, u64)> = HashMap::new();
    for one in facts.executed.iter().filter(|one| one.shares > 0) {
        let Some(known) = signed.get(one.order.as_str()) else {
            if !adopted.contains(one.order.as_str()) {
                let what = format!(
                    "the venue executed order {} of {}, and the database has none",
                    one.order, one.wallet
                );
                verdict.add(Wrong::Stranger, what);
            }
            continue;
        };
        let Some(intent) = intents.get(&known.intent) else {
            verdict.add(
                Wrong::Lost,
                format!("order {} is of intent {}, which is gone", one.order, known.intent),
            );
            continue;
        };
        if (intent.wallet.as_str(), intent.token.as_str(), intent.buy) != (&one.wallet, &one.token, one.buy) {
            let what = format!(
                "order {} and intent {} are not of the same wallet, token and side",
                one.order, intent.id
            );
            verdict.add(Wrong::Stranger, what);
        }
        let sum = of_intent.entry(intent.id).or_default();
        sum.0 = sum.0.saturating_add(if one.buy { one.usd } else { one.shares });
        sum.1 += 1;
    }
    for one in &facts.signed {
        if !OVER.contains(&one.state) {
            verdict.add(Wrong::Unknown, format!("order {} is still in state {}", one.order, one.state));
        }
        let (shares, cash) = executed.get(one.order.as_str()).map_or((0, 0), |seen| booked(seen));
        // The fee is the venue's: cash is compared by wallet.
        let cash_is_wrong = if cash == 0 { one.cash != 0 } else { one.cash.signum() != cash.signum() };
        if one.shares != shares || cash_is_wrong {
            let what = format!(
                "order {}: {} shares and {} $ are booked, {shares} and {cash} were executed (millionths, without fee)",
                one.order, one.shares, one.cash
            );
            verdict.add(Wrong::Amount, what);
        }
    }
    by_intent(facts, &of_intent, verdict);
}

/// What was lost with a database that went back in time is adopted once, as the venue executed it.
fn adopted(facts: &Facts, verdict: &mut Verdict) {
    let executed: HashMap<&str, &Executed> =
        facts.executed.iter().map(|one| (one.order.as_str(), one)).collect();
    let mut known: BTreeSet<&str> = facts.signed.iter().map(|one| one.order.as_str()).collect();
    for one in &facts.adopted {
        if !known.insert(&one.order) {
            verdict.add(Wrong::Doubled, format!("order {} was adopted and is known already", one.order));
        }
        let ours = (one.wallet.as_str(), one.token.as_str(), one.buy, one.shares);
        let seen = executed.get(one.order.as_str());
        let seen = seen.map(|seen| (seen.wallet.as_str(), seen.token.as_str(), seen.buy, seen.shares));
        if seen != Some(ours) {
            let what =
                format!("order {} was adopted as {ours:?}, and the venue executed {seen:?}", one.order);
            verdict.add(Wrong::Amount, what);
        }
    }
}

fn booked(seen: &Executed) -> (i64, i64) {
    if seen.buy { (seen.shares, -seen.usd) } else { (-seen.shares, seen.usd) }
}

/// No intent gave more than it was for; a buy has one order; and each came to an end.
fn by_intent(facts: &Facts, executed: &HashMap<i64, (i64, u64)>, verdict: &mut Verdict) {
    let attempted: BTreeSet<i64> = facts.signed.iter().map(|one| one.intent).collect();
    for intent in &facts.intents {
        let (given, orders) = executed.get(&intent.id).copied().unwrap_or_default();
        if given > intent.amount {
            let what = format!("intent {} was for {}, and {given} was given", intent.id, intent.amount);
            verdict.add(Wrong::Doubled, what);
        }
        if intent.buy && orders > 1 {
            verdict.add(Wrong::Doubled, format!("intent {} bought with {orders} orders", intent.id));
        }
        if intent.buy && orders == 0 {
            verdict.missed += 1;
        }
        if !attempted.contains(&intent.id) && intent.end.is_none() {
            let what = format!("intent {} of {} was neither signed nor ended", intent.id, intent.wallet);
            verdict.add(Wrong::Lost, what);
        }
    }
    let numbers: BTreeSet<i64> = facts.intents.iter().map(|intent| intent.id).collect();
    for one in facts.signed.iter().filter(|one| !numbers.contains(&one.intent)) {
        verdict.add(
            Wrong::Lost,
            format!("order {} was signed for intent {}, which is gone", one.order, one.intent),
        );
    }
}

/// Each wallet has on the chain what the books say.
fn money(facts: &Facts, verdict: &mut Verdict) {
    for wallet in &facts.followers {
        let (chain, books) = (facts.money.get(wallet), facts.cash.get(wallet));
        if chain.is_none() || chain != books {
            let what = format!(
                "{wallet} has {chain:?} on the chain and {books:?} in the books (millionths of a dollar)"
            );
            verdict.add(Wrong::Amount, what);
        }
    }
}

/// Each follower holds what the venue's executions add up to, which is what the leader kept of what was copied, and never less
/// than nothing.
fn shares(facts: &Facts, verdict: &mut Verdict) {
    let mut held: BTreeMap<Holding, (i64, i64)> = BTreeMap::new();
    for one in &facts.executed {
        let sums = held.entry((one.wallet.clone(), one.token.clone())).or_default();
        sums.0 = sums.0.saturating_add(if one.buy { one.shares } else { -one.shares });
        sums.1 = sums.1.saturating_add(if one.buy { one.shares } else { 0 });
    }
    let halves: HashMap<&str, u8> =
        facts.trades.iter().map(|trade| (trade.token.as_str(), trade.halves)).collect();
    let mut adopted: BTreeMap<Holding, i64> = BTreeMap::new();
    for one in &facts.adopted {
        *adopted.entry((one.wallet.clone(), one.token.clone())).or_default() += one.left_over;
    }
    for (holding @ (wallet, token), (now, bought)) in &held {
        // Of what was lost and found again its user decides.
        if adopted.contains_key(holding) {
            continue;
        }
        let left = halves.get(token.as_str()).copied().unwrap_or_default();
        let wanted = bought / 2 * i64::from(left);
        if now.saturating_sub(wanted) >= LOT {
            let what = format!("{wallet} holds {now} of {token} and should hold {wanted}: a sale is missing");
            verdict.add(Wrong::Lost, what);
        } else if wanted.saturating_sub(*now) >= LOT {
            let what = format!("{wallet} holds {now} of {token} and should hold {wanted}: too much was sold");
            verdict.add(Wrong::Doubled, what);
        }
    }
    for ((wallet, token), (now, _)) in held.iter().filter(|(_, (now, _))| *now < 0) {
        verdict.add(Wrong::Doubled, format!("{wallet} has sold {} of {token} more than it bought", -now));
    }
    let all: BTreeSet<&Holding> = held.keys().chain(facts.positions.keys()).collect();
    for holding in all {
        let venue = held.get(holding).map_or(0, |sums| sums.0);
        let booked = [facts.positions.get(holding), adopted.get(holding)];
        let books: i64 = booked.into_iter().flatten().sum();
        if venue != books {
            let (wallet, token) = holding;
            let what = format!(
                "{wallet} holds {venue} of {token} at the venue and {books} in the books (millionths)"
            );
            verdict.add(Wrong::Amount, what);
        }
    }
}

/// Nothing waits, and the venue's own books add up.
fn rest(facts: &Facts, verdict: &mut Verdict) {
    for (name, count) in facts.to_do.iter().chain(&facts.queue).filter(|(_, count)| **count != 0) {
        verdict.add(Wrong::Waiting, format!("{name}: {count}"));
    }
    for what in &facts.unsound {
        verdict.add(Wrong::Unsound, format!("the venue: {what}"));
    }
}

#[cfg(test)]
#[path = "checks_tests.rs"]
mod tests;
