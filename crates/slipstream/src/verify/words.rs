//! Values in words, for differences.

use domain::{Side, decide::Verdict, lifecycle::Filled, position::Entry, trade::GroupKey};
use engine::ports::{execution::OrderRecord, reports::DecisionRecord};

/// A verdict in one sentence.
pub(super) fn verdict(verdict: &Verdict) -> String {
    match verdict {
        Verdict::Skip(reason) => {
            let (label, sentence) = (reason.label(), reason.to_string());
            if sentence == label { format!("skip: {label}") } else { format!("skip: {label} ({sentence})") }
        }
        Verdict::Copy(order) => {
            let unit = match order.side {
                Side::Buy => domain::Usd(order.amount).to_string() + " $",
                Side::Sell => domain::Shares(order.amount).to_string() + " shares",
            };
            let binding =
                order.binding.map_or(String::new(), |binding| format!(", set by {}", binding.label()));
            format!("copy: {} {unit} at {}, reserving {} ${binding}", order.side, order.limit, order.reserve)
        }
    }
}

pub(super) fn entry(entry: &Entry) -> String {
    let Entry { shares, cash, cost, realised, fee } = entry;
    format!("{shares} shares, cash {cash}, cost {cost}, realised {realised}, fee {fee}")
}

pub(super) fn filled(filled: &Filled) -> String {
    format!("{} shares for {} $, fee {}", filled.quantity.shares, filled.quantity.usd, filled.fee)
}

pub(super) fn decision(record: &DecisionRecord) -> String {
    let DecisionRecord { id, relationship, part, key, .. } = record;
    format!("decision {id} of relationship {relationship} on part {part} of {}", trade(key))
}

pub(super) fn trade(key: &GroupKey) -> String {
    format!("leader {}'s {} in {}", key.leader, key.action, key.tx)
}

pub(super) fn order(record: &OrderRecord) -> String {
    format!("order {} (intent {}, attempt {})", record.order.id, record.intent.id, record.number)
}

/// An id, or that there is none.
pub(super) fn option<T: std::fmt::Display>(value: Option<T>) -> String {
    value.map_or_else(|| "none".to_owned(), |value| value.to_string())
}
