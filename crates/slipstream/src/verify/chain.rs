//! What the chain's logs say was filled of the orders of our wallets, read from the chain itself and not
//! from what detection stored of it.

use std::collections::{HashMap, HashSet};

use domain::{Address, OrderId, Timestamp, lifecycle::Filled, money::MoneyError, trade::Quantity};
use engine::ports::{
    execution::OrderRecord,
    reports::Reports,
    store::StoreResult,
    venue::{ChainEventKind, ChainFill, ChainReader, VenueError},
};

use super::{
    PAGE, Sources,
    facts::Facts,
    orders::believed,
    report::{About, Check, Findings},
    words,
};

/// Blocks asked for at once. The venue's exchanges fill some hundred orders in that many.
const BLOCKS: i64 = 500;

/// Fills of our wallets from a block on.
pub(super) struct ChainFills {
    from: i64,
    orders: HashMap<OrderId, OrderFills>,
    wallets: HashMap<OrderId, Address>,
}

/// Everything filled of one order.
#[derive(Clone, Copy, Default)]
struct OrderFills {
    filled: Filled,
    logs: u32,
    /// Block of the last of them.
    block: i64,
}

impl ChainFills {
    /// Reads every block since the leader's trade that the first intent copies, by the chain's own time:
    /// nothing of ours was filled before. `None`, and a word in the findings, when the chain
    /// cannot be read or was not given.
    pub(super) async fn read(sources: &Sources<'_>, findings: &mut Findings) -> StoreResult<Option<Self>> {
        let Some(chain) = sources.options.chain else { return Ok(None) };
        let oldest = sources.reports.intents_after(None, domain::ids::IntentId(0), 1).await?;
        let since = oldest.first().map(|intent| intent.traded_at);
        let wallets = wallets(sources.reports).await?;
        match Self::since(chain, since, &wallets).await {
            Ok(fills) => Ok(Some(fills)),
            Err(error) => {
                for check in [Check::Chain, Check::Strangers] {
                    findings.unknown(check, error.to_string());
                }
                Ok(None)
            }
        }
    }

    async fn since(
        chain: &dyn ChainReader,
        since: Option<Timestamp>,
        wallets: &HashSet<Address>,
    ) -> Result<Self, VenueError> {
        let to = chain.head().await?.number;
        let from = match since {
            Some(since) => first_block(chain, since, to).await?,
            None => to.saturating_add(1),
        };
        let mut fills = Self { from, orders: HashMap::new(), wallets: HashMap::new() };
        let mut start = from;
        while start <= to {
            let end = start.saturating_add(BLOCKS - 1).min(to);
            for event in chain.range_events(start, end, &[]).await? {
                if let ChainEventKind::Fill(fill) = event.kind
                    && wallets.contains(&fill.wallet)
                {
                    fills.add(&fill, event.block).map_err(|error| VenueError::Malformed {
                        what: format!("the fills of order {}", fill.order),
                        reason: error.to_string(),
                    })?;
                }
            }
            start = end.saturating_add(1);
        }
        Ok(fills)
    }

    fn add(&mut self, fill: &ChainFill, block: i64) -> Result<(), MoneyError> {
        self.wallets.insert(fill.order, fill.wallet);
        let order = self.orders.entry(fill.order).or_default();
        order.filled.quantity =
            order.filled.quantity.plus(Quantity { shares: fill.shares, usd: fill.usd })?;
        order.filled.fee = order.filled.fee.plus(fill.fee)?;
        order.logs = order.logs.saturating_add(1);
        order.block = block;
        Ok(())
    }

    /// What the chain has of an order, with where to look.
    fn words(&self, fills: &OrderFills) -> String {
        let filled = words::filled(&fills.filled);
        match fills.logs {
            // Not up to which: the head moves on between two passes, and the difference stays.
            0 => format!("nothing: no log of it from block {} on", self.from),
            1 => format!("{filled}, in one log of block {}", fills.block),
            logs => format!("{filled}, in {logs} logs, the last of block {}", fills.block),
        }
    }

    /// Compares what is booked of orders. Orders that settlement still works on may be ahead or behind.
    pub(super) async fn check(
        &self,
        sources: &Sources<'_>,
        orders: &[OrderRecord],
        facts: &mut Facts,
        findings: &mut Findings,
    ) -> StoreResult<()> {
        findings.compared(Check::Chain, orders.len());
        for record in orders {
            let fills = self.orders.get(&record.order.id).copied().unwrap_or_default();
            let ours = believed(record);
            if ours == fills.filled {
                continue;
            }
            if record.open_work || facts.is_unbooked(sources.execution, &record.order.id).await? {
                findings.waiting(Check::Chain);
                continue;
            }
            let subject = || words::order(record);
            let about = About { check: Check::Chain, subject: &subject, basis: "the chain has" };
            findings.wrong(&about, "fill", &words::filled(&ours), &self.words(&fills));
        }
        Ok(())
    }

    /// Looks for orders of our wallets that the chain has filled and we do not know.
    pub(super) async fn check_strangers(
        &self,
        sources: &Sources<'_>,
        findings: &mut Findings,
    ) -> StoreResult<()> {
        findings.compared(Check::Strangers, self.orders.len());
        let mut ids: Vec<OrderId> = self.orders.keys().copied().collect();
        ids.sort_unstable();
        for page in ids.chunks(PAGE) {
            let known = sources.execution.orders(page).await?;
            let known: HashSet<OrderId> = known.iter().map(|record| record.order.id).collect();
            for id in page.iter().filter(|id| !known.contains(id)) {
                let (Some(fills), Some(wallet)) = (self.orders.get(id), self.wallets.get(id)) else {
                    continue;
                };
                let subject = || format!("wallet {wallet}");
                let about = About { check: Check::Strangers, subject: &subject, basis: "our books have" };
                let found = format!("{id} ({})", self.words(fills));
                findings.wrong(&about, "an order the chain filled", &found, "no such order");
            }
        }
        Ok(())
    }
}

async fn wallets(reports: &dyn Reports) -> StoreResult<HashSet<Address>> {
    Ok(reports.accounts(None).await?.iter().map(|account| account.trading.wallet).collect())
}

/// The first block at or after a time, by halves; blocks the provider does not have are before it.
async fn first_block(chain: &dyn ChainReader, since: Timestamp, head: i64) -> Result<i64, VenueError> {
    let (mut low, mut high) = (0, head);
    while low < high {
        let middle = low.midpoint(high);
        match chain.header(middle).await? {
            Some(header) if header.time >= since => high = middle,
            _ => low = middle.saturating_add(1),
        }
    }
    Ok(low)
}
