//! A policy in words.

use domain::{
    MarketOrderType, Price, Usd,
    downtime::DowntimeRule,
    money::ONE,
    policy::{MinimumRule, PhantomRule, Policy, PriceBand, Sizing},
};

use crate::wording::{dollars, price};

/// What a policy does, a few words each, in the order a decision asks.
#[must_use]
pub fn policy_words(policy: &Policy) -> Vec<String> {
    let mut words = vec![match policy.sizing {
        Sizing::Ratio(ratio) => format!("buys {} of the leader's dollars", percent(ratio)),
        Sizing::Fixed(usd) => format!("buys for {} $ whatever the leader's size", dollars(usd)),
    }];
    if policy.of_newer_version {
        let unknown = "nothing is bought: a newer version wrote it, with more than this one knows";
        words.insert(0, unknown.to_owned());
    }
    words.extend(caps(policy));
    if policy.band != PriceBand::default() {
        words.push(format!("prices {} to {} only", price(policy.band.from), price(policy.band.to)));
    }
    words.push(format!(
        "pays at most {} above the leader and {} above the best offer",
        percent(policy.slippage_to_leader_bps.saturating_mul(ONE / 10_000)),
        percent(policy.slippage_to_book_bps.saturating_mul(ONE / 10_000)),
    ));
    words.push(match policy.below_minimum {
        MinimumRule::Skip => "skips what is below the venue's minimum".to_owned(),
        MinimumRule::Raise => "raises to the venue's minimum where every cap allows it".to_owned(),
    });
    if policy.entry_type == MarketOrderType::FillOrKill {
        words.push("buys all of it or nothing".to_owned());
    }
    words.push(format!("copies buys up to {} old", age(policy)));
    let near = percent(policy.late_slippage().saturating_mul(ONE / 10_000));
    match policy.downtime {
        DowntimeRule::Skip => {}
        DowntimeRule::Late => words.push(format!("copies older ones at up to {near} above the leader")),
        DowntimeRule::Sync => words.push(format!(
            "buys what the leader still holds of older ones, at up to {near} above what the leader paid"
        )),
    }
    words.push(if policy.follow_exits { "follows exits" } else { "does not follow exits" }.to_owned());
    if policy.copy_own_orders {
        words.push("copies orders of our own too".to_owned());
    }
    if policy.phantoms == PhantomRule::Exit {
        words.push("sells copies of trades that never reach the chain".to_owned());
    }
    words
}

fn caps(policy: &Policy) -> impl Iterator<Item = String> {
    let caps = policy.caps;
    let named = [("order", caps.order), ("market", caps.market), ("leader", caps.leader)];
    let words =
        |(name, cap): (&str, Option<Usd>)| cap.map(|cap| format!("at most {} $ per {name}", dollars(cap)));
    named.into_iter().filter_map(words)
}

/// Millionths of a whole in per cent.
fn percent(millionths: i64) -> String {
    format!("{} %", Price(millionths.saturating_mul(100)))
}

fn age(policy: &Policy) -> String {
    let seconds = policy.maximum_age.as_secs();
    if seconds == 0 { format!("{} ms", policy.maximum_age.as_millis()) } else { format!("{seconds} s") }
}
