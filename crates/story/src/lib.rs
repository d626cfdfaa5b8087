//! The whole story of one thing on one screen: a leader's trade, an order, a relationship; and the tables
//! of positions and activity.
//!
//! It owns what is told and how it looks, as text that fits its terminal and as JSON. It reads through
//! [`Reports`] with the reader's owner, computes nothing that changes anything, and never writes.

mod answer;
pub mod copying_cost;
mod find;
mod order;
mod order_text;
mod policy;
pub mod prices;
mod relationship;
mod relationship_text;
pub mod screen;
mod stages;
mod tables;
mod trade;
mod trade_text;
pub mod wording;

use domain::{Market, money::MoneyError};
use engine::ports::store::StoreError;
use serde::Serialize;

#[cfg(doc)]
use engine::ports::reports::Reports;

pub use answer::{Answer, AnswerLine, CopiedOrder, answers, end_words};
pub use find::{find_order, find_trade};
pub use order::{EvidenceLine, LedgerLine, OrderStory, Sibling, order_story};
pub use policy::policy_words;
pub use relationship::{Prices, RelationshipStory, concerns, hold_words, relationship_story};
pub use stages::{Stage, StageLine, stages};
pub use tables::{
    Activity, PositionLine, activity, market_names, position_lines, positions, render_positions,
};
pub use trade::{GroupStory, PartLine, TradeStory, trade_story};

/// A story that cannot be told.
#[derive(Debug, thiserror::Error)]
pub enum StoryError {
    /// The store.
    #[error(transparent)]
    Store(#[from] StoreError),
    /// Amounts beyond computing.
    #[error("amounts are beyond computing: {0}")]
    Amounts(#[from] MoneyError),
    /// Not the beginning of a hash.
    #[error("`{0}` is not the beginning of a hash: give at least two hex digits, with or without 0x")]
    NotHex(String),
    /// Nothing begins so.
    #[error(
        "no {what} {id}; `slipstream {}` lists what there is",
        if *what == "relationship" { "following" } else { "activity" }
    )]
    Unknown {
        /// Kind of thing.
        what: &'static str,
        /// What was asked for.
        id: String,
    },
    /// More than one begins so.
    #[error("{what} {id} may be any of:\n  {}\ngive more digits", .candidates.join("\n  "))]
    Ambiguous {
        /// Kind of thing.
        what: &'static str,
        /// What was asked for.
        id: String,
        /// What begins so, in words; the last one may say that there are more.
        candidates: Vec<String>,
    },
}

/// A market's names, harmless to print.
#[derive(Clone, Debug, PartialEq, Eq, Serialize)]
pub struct MarketName {
    /// The question.
    pub title: String,
    /// The outcome of the token.
    pub outcome: String,
    /// The venue's short name.
    pub slug: String,
}

impl MarketName {
    /// Of a stored market.
    #[must_use]
    pub fn of(market: &Market) -> Self {
        let harmless = crate::wording::harmless;
        Self {
            title: harmless(&market.title),
            outcome: harmless(&market.outcome),
            slug: harmless(&market.slug),
        }
    }
}

/// Outcome and question, or what is known of them.
#[must_use]
pub fn name_of(market: Option<&MarketName>) -> String {
    let Some(MarketName { title, outcome, slug }) = market else { return "unknown market".to_owned() };
    let question = if title.is_empty() { slug } else { title };
    if question.is_empty() { outcome.clone() } else { format!("{outcome} · {question}") }
}
