//! Finding a thing by the beginning of its id.

use std::{collections::HashSet, fmt::Display};

use domain::{OrderId, TxHash, ids::OwnerId, trade::TradeGroup};
use engine::ports::{execution::OrderRecord, reports::Reports};

use super::StoryError;
use crate::wording::time_of_day;

/// Candidates asked for.
const FOUND: usize = 200;
/// Candidates listed.
const LISTED: usize = 10;
/// Letters of a hash that are shown at least, and fewer than all.
const SHORTEST: usize = 10;
const WHOLE: usize = 31;

/// The beginning of a hash: whole bytes for the store, all digits for the rest.
struct Prefix {
    text: String,
    bytes: Vec<u8>,
}

impl Prefix {
    fn read(id: &str) -> Result<Self, StoryError> {
        let not_hex = || StoryError::NotHex(id.chars().take(80).collect());
        let digits = id.trim().strip_prefix("0x").unwrap_or_else(|| id.trim()).to_ascii_lowercase();
        if digits.len() < 2 || digits.len() > 64 {
            return Err(not_hex());
        }
        // The store looks for whole bytes; an odd digit at the end is looked at here.
        let whole = digits.get(..digits.len() & !1).ok_or_else(not_hex)?;
        let bytes = hex::decode(whole).map_err(|_| not_hex())?;
        if !digits.bytes().all(|digit| digit.is_ascii_hexdigit()) {
            return Err(not_hex());
        }
        Ok(Self { text: format!("0x{digits}"), bytes })
    }

    fn begins(&self, id: &str) -> bool {
        id.starts_with(&self.text)
    }
}

/// The groups of the one transaction whose hash begins with `id` (leaders, tokens and sides can be
/// several).
///
/// # Errors
/// [`StoryError::NotHex`], [`StoryError::Unknown`], [`StoryError::Ambiguous`] with the candidates.
pub async fn find_trade(reports: &dyn Reports, id: &str) -> Result<Vec<TradeGroup>, StoryError> {
    let prefix = Prefix::read(id)?;
    let mut groups = reports.find_groups(&prefix.bytes, FOUND).await?;
    groups.retain(|group| prefix.begins(&group.key.tx.to_string()));
    let mut transactions: Vec<TxHash> = groups.iter().map(|group| group.key.tx).collect();
    transactions.sort_unstable();
    transactions.dedup();
    match transactions.len() {
        0 => Err(StoryError::Unknown { what: "trade", id: prefix.text }),
        1 => {
            groups.sort_by_key(|group| group.key);
            Ok(groups)
        }
        _ => Err(StoryError::Ambiguous {
            what: "trade",
            id: prefix.text,
            candidates: listed(
                &transactions,
                groups.iter().map(|group| {
                    let (key, at) = (&group.key, time_of_day(group.traded_at));
                    (key.tx, format!("({} of leader {} at {at})", key.action, key.leader))
                }),
            ),
        }),
    }
}

/// The order whose id begins with `id`, among those `owner` may see.
///
/// # Errors
/// [`StoryError::NotHex`], [`StoryError::Unknown`], [`StoryError::Ambiguous`] with the candidates.
pub async fn find_order(
    reports: &dyn Reports,
    owner: Option<OwnerId>,
    id: &str,
) -> Result<OrderRecord, StoryError> {
    let prefix = Prefix::read(id)?;
    let mut orders = reports.find_orders(owner, &prefix.bytes, FOUND).await?;
    orders.retain(|record| prefix.begins(&record.order.id.to_string()));
    let name = |record: &OrderRecord| {
        let (intent, at) = (&record.intent, time_of_day(record.signed_at));
        (record.order.id, format!("({} of relationship {} at {at})", intent.side, intent.relationship))
    };
    let ids: Vec<OrderId> = orders.iter().map(|record| record.order.id).collect();
    match orders.len() {
        1 => orders.pop().ok_or(StoryError::Unknown { what: "order", id: prefix.text }),
        0 => Err(StoryError::Unknown { what: "order", id: prefix.text }),
        _ => Err(StoryError::Ambiguous {
            what: "order",
            id: prefix.text,
            candidates: listed(&ids, orders.iter().map(name)),
        }),
    }
}

/// Candidates by as many digits as tell them apart.
fn listed<Id: Display>(ids: &[Id], names: impl Iterator<Item = (Id, String)>) -> Vec<String> {
    let ids: Vec<String> = ids.iter().map(ToString::to_string).collect();
    let beginnings = |digits: usize| ids.iter().filter_map(|id| id.get(..digits)).collect::<HashSet<_>>();
    let digits = (SHORTEST..WHOLE).step_by(4).find(|digits| beginnings(*digits).len() == ids.len());
    let name = |(id, words): (Id, String)| {
        let id = id.to_string();
        let shown = digits.and_then(|digits| id.get(..digits)).unwrap_or(&id);
        format!("{shown}{} {words}", if shown.len() < id.len() { "…" } else { "" })
    };
    let all: Vec<String> = names.map(name).collect();
    let more = all.len().saturating_sub(LISTED);
    let mut listed: Vec<String> = all.into_iter().take(LISTED).collect();
    if more > 0 {
        listed.push(format!("and {more} more"));
    }
    listed
}
