//! The form of a policy: what it shows, what was written into it, and which keys that comes to.

use std::{collections::BTreeMap, str::FromStr as _};

use domain::{
    Address, MarketOrderType, Price, Usd,
    downtime::DowntimeRule,
    policy::{MinimumRule, PhantomRule, Policy, Sizing},
};

use crate::{actions::Changes, problem::Problem, written::Fields};

/// Fields that are written in per cent, and keys that are parts of a whole.
const PER_CENT: [&str; 3] = ["ratio", "slippage_to_leader", "slippage_to_book"];
/// Limits that may be empty.
const CAPS: [&str; 3] = ["cap_order", "cap_market", "cap_leader"];
/// Fields that go on as they are.
const AS_WRITTEN: [&str; 8] = [
    "fixed",
    "price_from",
    "price_to",
    "below_minimum",
    "downtime",
    "follow_exits",
    "phantoms",
    "order_type",
];
/// Fields behind the fold.
const MORE: [&str; 6] =
    ["follow_exits", "below_minimum", "downtime", "maximum_age", "phantoms", "order_type"];

/// The form.
pub(super) struct Form {
    pub(super) is_new: bool,
    pub(super) action: String,
    /// Where it is tried on the leader's last trades.
    pub(super) preview: String,
    /// Numbers and names.
    pub(super) accounts: Vec<(String, String)>,
    values: BTreeMap<String, String>,
    mistakes: Vec<(Option<String>, String)>,
}

impl Form {
    /// Filled with a policy.
    pub(super) fn of(policy: &Policy) -> Self {
        let usd = |cap: Option<Usd>| cap.map_or_else(String::new, |cap| cap.to_string());
        let bps = |bps: i64| per_cent(bps.saturating_mul(100));
        let (how, ratio, fixed) = match policy.sizing {
            Sizing::Ratio(ratio) => ("ratio", per_cent(ratio), "5".to_owned()),
            Sizing::Fixed(usd) => ("fixed", "10".to_owned(), usd.to_string()),
        };
        let values = [
            ("how", how.to_owned()),
            ("ratio", ratio),
            ("fixed", fixed),
            ("cap_order", usd(policy.caps.order)),
            ("cap_market", usd(policy.caps.market)),
            ("cap_leader", usd(policy.caps.leader)),
            ("slippage_to_leader", bps(policy.slippage_to_leader_bps)),
            ("slippage_to_book", bps(policy.slippage_to_book_bps)),
            ("price_from", policy.band.from.to_string()),
            ("price_to", policy.band.to.to_string()),
            ("maximum_age", policy.maximum_age.as_secs().to_string()),
            (
                "below_minimum",
                if policy.below_minimum == MinimumRule::Raise { "raise" } else { "skip" }.to_owned(),
            ),
            ("follow_exits", policy.follow_exits.to_string()),
            ("phantoms", if policy.phantoms == PhantomRule::Exit { "exit" } else { "keep" }.to_owned()),
            (
                "order_type",
                if policy.entry_type == MarketOrderType::FillOrKill { "fok" } else { "fak" }.to_owned(),
            ),
            (
                "downtime",
                match policy.downtime {
                    DowntimeRule::Skip => "skip",
                    DowntimeRule::Late => "late",
                    DowntimeRule::Sync => "sync",
                }
                .to_owned(),
            ),
        ];
        Self {
            is_new: false,
            action: String::new(),
            preview: String::new(),
            accounts: Vec::new(),
            values: values.into_iter().map(|(name, value)| (name.to_owned(), value)).collect(),
            mistakes: Vec::new(),
        }
    }

    /// For somebody who is not followed yet.
    pub(super) fn of_new(mut self, leader: &str, accounts: Vec<(String, String)>) -> Self {
        self.values.insert("leader".to_owned(), leader.to_owned());
        Self {
            is_new: true,
            action: "/following".to_owned(),
            preview: "/following/preview".to_owned(),
            accounts,
            ..self
        }
    }

    /// For a relationship that is there.
    pub(super) fn of_existing(mut self, id: i64, leader: Option<Address>) -> Self {
        self.values.insert("leader".to_owned(), leader.map_or_else(String::new, |leader| leader.to_string()));
        Self { action: format!("/following/{id}/edit"), preview: format!("/following/{id}/preview"), ..self }
    }

    /// As it was sent.
    pub(super) fn submitted(fields: &Fields, action: &str) -> Self {
        Self {
            is_new: action == "/following",
            action: action.to_owned(),
            preview: String::new(),
            accounts: Vec::new(),
            values: fields.0.iter().map(|(name, value)| (name.clone(), value.trim().to_owned())).collect(),
            mistakes: Vec::new(),
        }
    }

    pub(super) fn with_accounts(self, accounts: Vec<(String, String)>) -> Self {
        Self { accounts, ..self }
    }

    /// With what is wrong.
    pub(super) fn with(mut self, problem: &Problem) -> Self {
        self.mistakes = problem.mistakes.iter().map(|one| (one.field.clone(), one.detail.clone())).collect();
        if self.mistakes.is_empty() {
            self.mistakes.push((None, problem.detail.clone()));
        }
        self
    }

    /// What stands in a field.
    pub(super) fn value(&self, name: &str) -> &str {
        self.values.get(name).map_or("", String::as_str)
    }

    /// Whether a choice is made.
    pub(super) fn is(&self, name: &str, value: &str) -> bool {
        self.value(name) == value
    }

    /// What is wrong with a field.
    pub(super) fn mistake(&self, name: &str) -> Option<&str> {
        let found = self.mistakes.iter().find(|(field, _)| field.as_deref() == Some(name));
        found.map(|(_, words)| words.as_str())
    }

    /// What is wrong with all of it.
    pub(super) fn general(&self) -> Option<String> {
        let known =
            |field: &Option<String>| field.as_deref().is_some_and(|field| self.values.contains_key(field));
        let words: Vec<&str> = self
            .mistakes
            .iter()
            .filter(|(field, _)| !known(field))
            .map(|(_, words)| words.as_str())
            .collect();
        (!words.is_empty()).then(|| words.join("\n"))
    }

    /// Whether something behind the fold is wrong.
    pub(super) fn more_open(&self) -> bool {
        MORE.iter().any(|name| self.mistake(name).is_some())
    }

    /// The keys it comes to; without limits that are empty, or taking them off where there is a policy before.
    pub(super) fn changes(&self, before: Option<&Policy>) -> Result<Changes, Problem> {
        let other = if self.is("how", "fixed") { "ratio" } else { "fixed" };
        let mut changes = Changes::new();
        for name in PER_CENT.into_iter().filter(|name| *name != other && !self.value(name).is_empty()) {
            changes.push((name.to_owned(), fraction(name, self.value(name))?));
        }
        for name in CAPS {
            match (self.value(name), before) {
                ("", None) => {}
                // A field that is not there takes no limit off.
                ("", Some(_)) if !self.values.contains_key(name) => {}
                ("", Some(_)) => changes.push((name.to_owned(), "none".to_owned())),
                (cap, _) => changes.push((name.to_owned(), cap.to_owned())),
            }
        }
        for name in AS_WRITTEN.into_iter().filter(|name| *name != other && !self.value(name).is_empty()) {
            changes.push((name.to_owned(), self.value(name).to_owned()));
        }
        if !self.value("maximum_age").is_empty() {
            changes.push((
                "maximum_age".to_owned(),
                format!("{}s", self.value("maximum_age").trim_end_matches('s')),
            ));
        }
        Ok(changes)
    }
}

/// Millionths of a whole in per cent.
fn per_cent(millionths: i64) -> String {
    Price(millionths.saturating_mul(100)).to_string()
}

/// Per cent as a part of a whole, exactly.
fn fraction(field: &str, text: &str) -> Result<String, Problem> {
    let number = Price::from_str(text.trim_end_matches('%').trim()).map_err(|_| {
        Problem::of_field(field, format!("`{text}` is no number; write for example 5 for 5 %"))
    })?;
    if number.0 % 100 != 0 {
        return Err(Problem::of_field(field, "at most four decimals of a per cent"));
    }
    Ok(Price(number.0 / 100).to_string())
}

#[cfg(test)]
mod tests {
    use super::*;

    fn filled(fields: &[(&str, &str)]) -> Form {
        let fields = fields.iter().map(|(name, value)| ((*name).to_owned(), (*value).to_owned())).collect();
        Form::submitted(&Fields(fields), "/following")
    }

    #[test]
    fn per_cents_are_exact() {
        assert_eq!(fraction("ratio", "2.5"), Ok("0.025".to_owned()));
        assert_eq!(fraction("ratio", " 10 % ".trim()), Ok("0.1".to_owned()));
        assert!(fraction("ratio", "ten").is_err() && fraction("ratio", "0.00001").is_err());
        assert_eq!(per_cent(25_000), "2.5");
    }

    #[test]
    fn one_way_of_sizing_goes_on_and_empty_limits_are_taken_off() {
        let form = filled(&[
            ("how", "fixed"),
            ("ratio", "10"),
            ("fixed", "5"),
            ("cap_order", ""),
            ("maximum_age", "30"),
        ]);
        let changes = form.changes(None).unwrap();
        assert_eq!(
            changes,
            [("fixed", "5"), ("maximum_age", "30s")].map(|(a, b)| (a.to_owned(), b.to_owned()))
        );
        let changes = form.changes(Some(&Policy::careful())).unwrap();
        assert!(changes.contains(&("cap_order".to_owned(), "none".to_owned())));
    }
}
