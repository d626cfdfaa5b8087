//! An order's story: its stages, amounts, evidence, bookings and permits.

use domain::{
    Address, OrderId, Price, Side, Timestamp, TokenId,
    ids::{AccountId, IntentId, OwnerId, RelationshipId},
    lifecycle::{Filled, OrderState},
    position::Entry,
    trade::{GroupKey, Quantity},
};
use engine::ports::{
    execution::{IntentCause, LedgerCause, OrderRecord},
    reports::{LedgerRecord, Reports},
    store::StoreResult,
};
use serde::Serialize;

use super::{CopiedOrder, MarketName, StoryError, order_text};

/// Everything about one order. Amounts are millionths.
#[derive(Clone, Debug, PartialEq, Eq, Serialize)]
pub struct OrderStory {
    /// Its id, state, price, the leader's, the cost of copying and its stages.
    pub order: CopiedOrder,
    /// Its intent.
    pub intent: IntentId,
    /// Its number within the intent.
    pub attempt: u32,
    /// The leader's trade it copies.
    pub trade: GroupKey,
    /// The part of that trade.
    pub part: u32,
    /// Through which relationship.
    pub relationship: RelationshipId,
    /// The leader's wallet.
    pub leader: Option<Address>,
    /// For which account.
    pub account: AccountId,
    /// That account's name.
    pub account_label: Option<String>,
    /// The market.
    pub market: Option<MarketName>,
    /// The token.
    pub token: TokenId,
    /// Buy or sell.
    pub side: Side,
    /// What it gives at most: dollars for a buy, shares for a sell.
    pub gives: i64,
    /// What it wants for that at its limit.
    pub wants: i64,
    /// Its limit price.
    pub limit: Price,
    /// What the intent allows over all attempts.
    pub intent_amount: i64,
    /// What the intent had set aside, worst fee included.
    pub reserve: domain::Usd,
    /// The same bytes may be sent until then.
    pub resend_until: Timestamp,
    /// What each source says was filled.
    pub evidence: Vec<EvidenceLine>,
    /// What the ledger has of its intent, by row.
    pub ledger: Vec<LedgerLine>,
    /// Instances that may still be sending it.
    pub permits_out: Vec<String>,
    /// When it was looked up last.
    pub looked_up_at: Option<Timestamp>,
    /// How long look-ups have been answered "no", in microseconds.
    pub unseen_for_us: u64,
    /// How often what was told of it was not believed, or could not be computed or booked.
    pub doubts: u32,
    /// Whether settlement still works on it.
    pub open_work: bool,
    /// Other attempts of the same intent.
    pub siblings: Vec<Sibling>,
}

/// What one source says.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize)]
pub struct EvidenceLine {
    /// Which source.
    pub source: &'static str,
    /// What was filled.
    pub filled: Filled,
    /// What else it says.
    pub note: &'static str,
}

/// A row of the ledger.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize)]
pub struct LedgerLine {
    /// Its number.
    pub id: i64,
    /// When.
    pub at: Timestamp,
    /// Why.
    pub cause: LedgerCause,
    /// How much.
    pub entry: Entry,
}

/// Another attempt of the same intent.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize)]
pub struct Sibling {
    /// Its number.
    pub attempt: u32,
    /// Its order.
    pub order: OrderId,
    /// Where it is.
    pub state: OrderState,
}

/// The story of an order that was found, as its owner (or the operator) may see it.
///
/// # Errors
/// Store errors, and amounts beyond computing.
pub async fn order_story(
    reports: &dyn Reports,
    owner: Option<OwnerId>,
    record: &OrderRecord,
) -> Result<OrderStory, StoryError> {
    let intent = &record.intent;
    let IntentCause { key, part, .. } = intent.cause;
    let snapshot = reports.part(key, part).await?.and_then(|part| part.snapshot.market);
    let leaders = reports.leaders().await?;
    let accounts = reports.accounts(owner).await?;
    let account = accounts.into_iter().find(|account| account.trading.id == intent.account.id);
    let attempts = reports.attempts_of(&[intent.id]).await?;
    Ok(OrderStory {
        order: CopiedOrder::of(record)?,
        intent: intent.id,
        attempt: record.number,
        trade: key,
        part,
        relationship: intent.relationship,
        leader: leaders.iter().find(|leader| leader.id == intent.leader).map(|leader| leader.wallet),
        account: intent.account.id,
        account_label: account.map(|account| crate::wording::harmless(&account.label)),
        market: snapshot.as_ref().map(MarketName::of),
        token: intent.token,
        side: intent.side,
        gives: record.amounts.maker,
        wants: record.amounts.taker,
        limit: record.limit,
        intent_amount: intent.amount,
        reserve: intent.reserve,
        resend_until: record.resend_until,
        evidence: evidence(record)?,
        ledger: ledger_of(reports, owner, intent.id).await?,
        permits_out: record.permits_out.iter().map(ToString::to_string).collect(),
        looked_up_at: record.looked_up_at,
        unseen_for_us: u64::try_from(record.unseen_for.as_micros()).unwrap_or(u64::MAX),
        doubts: record.doubts,
        open_work: record.open_work,
        siblings: siblings(&attempts, record),
    })
}

impl OrderStory {
    /// As text of at most 100 columns.
    #[must_use]
    pub fn render(&self, style: crate::screen::Style) -> String {
        order_text::render(self, style)
    }
}

fn evidence(record: &OrderRecord) -> Result<Vec<EvidenceLine>, StoryError> {
    let evidence = &record.evidence;
    let of = |quantity: Quantity| Filled { quantity, fee: domain::Usd::ZERO };
    let settled = match (evidence.retrying, evidence.trades_confirmed) {
        (true, _) => "settlement is being tried again",
        (false, true) => "all confirmed",
        (false, false) => "",
    };
    let reply = if evidence.reply_estimated { "of the order record, at the limit price" } else { "" };
    let chain = if evidence.chain_final { "final" } else { "" };
    let line = |source, filled, note| EvidenceLine { source, filled, note };
    Ok(vec![
        line("reply", of(evidence.reply), reply),
        line("venue's trades", evidence.trades, settled),
        line("failed trades", of(evidence.failed), ""),
        line("chain logs", evidence.chain, chain),
        line("taken together", evidence.booked()?, ""),
    ])
}

fn siblings(attempts: &[OrderRecord], record: &OrderRecord) -> Vec<Sibling> {
    let others = attempts.iter().filter(|other| other.attempt != record.attempt);
    others.map(|other| Sibling { attempt: other.number, order: other.order.id, state: other.state }).collect()
}

async fn ledger_of(
    reports: &dyn Reports,
    owner: Option<OwnerId>,
    intent: IntentId,
) -> StoreResult<Vec<LedgerLine>> {
    let rows = reports.ledger_of(owner, &[intent]).await?;
    let line = |row: LedgerRecord| LedgerLine { id: row.id, at: row.at, cause: row.cause, entry: row.entry };
    Ok(rows.into_iter().map(line).collect())
}
