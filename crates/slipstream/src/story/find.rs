//! Finding a thing by the beginning of its id.

use domain::{TxHash, ids::OwnerId, trade::TradeGroup};
use engine::ports::{execution::OrderRecord, reports::Reports};

use super::StoryError;
use crate::wording::time_of_day;

/// Candidates asked for.
const FOUND: usize = 200;
/// Candidates listed.
const LISTED: usize = 10;

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
            candidates: listed(groups.iter().map(|group| {
                let (key, at) = (&group.key, time_of_day(group.traded_at));
                format!("{} ({} of leader {} at {at})", key.tx, key.action, key.leader)
            })),
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
        format!("{} ({} of relationship {} at {at})", record.order.id, intent.side, intent.relationship)
    };
    match orders.len() {
        1 => orders.pop().ok_or(StoryError::Unknown { what: "order", id: prefix.text }),
        0 => Err(StoryError::Unknown { what: "order", id: prefix.text }),
        _ => Err(StoryError::Ambiguous {
            what: "order",
            id: prefix.text,
            candidates: listed(orders.iter().map(name)),
        }),
    }
}

fn listed(names: impl Iterator<Item = String>) -> Vec<String> {
    let all: Vec<String> = names.collect();
    let more = all.len().saturating_sub(LISTED);
    let mut listed: Vec<String> = all.into_iter().take(LISTED).collect();
    if more > 0 {
        listed.push(format!("and {more} more"));
    }
    listed
}
