//! Recomputes what the store says from what it was made of, and compares.
//!
//! It owns the questions "does every decision follow from its inputs, every order id from its fields,
//! every sum from its rows" and the comparison with the venue's and the chain's books. It only reads:
//! it never repairs, sends or signs.
//!
//! Everything is read in pages. In memory are the relationships, markets, positions and accounts (as the
//! ports return them) and one window of intents; with more intents than a window the decisions and the
//! ledger are read again for each.

mod body;
mod books;
mod chain;
mod decisions;
mod facts;
mod intents;
mod order_ids;
mod orders;
mod report;
mod skips;
mod targets;
mod venue;
mod words;

#[cfg(test)]
pub(crate) mod test_world;
#[cfg(test)]
mod tests;

use async_trait::async_trait;
use domain::{Address, OrderId, OrderPlan, Shares, Usd};
use engine::{
    ports::{
        dead_letters::DeadLetters,
        detection::Detection,
        execution::Execution,
        reports::Reports,
        store::{Store, StoreResult},
        venue::{ChainReader, VenueError},
    },
    salt::Salts,
};

pub use order_ids::Eip712Ids;
pub use report::{Check, CheckResult, Difference, Outcome, VerifyReport};

use chain::ChainFills;
use facts::Facts;
use intents::Window;
use report::Findings;

/// Rows read at once.
const PAGE: usize = 500;
/// Intents joined at once.
const WINDOW: usize = 100_000;
/// Passes over a store that moves before what still moves is called unknown.
const PASSES: u32 = 3;

/// The id an order with these fields has at the venue.
pub trait OrderIds: Send + Sync {
    /// The EIP-712 hash of the plan's order.
    ///
    /// # Errors
    /// In words, when the plan cannot be an order (a salt of 2^53 or more, an amount that is not positive).
    fn order_id(&self, plan: &OrderPlan) -> Result<OrderId, String>;
}

/// What the venue's books say was executed of an order.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Executed {
    /// Shares, without those of failed trades.
    pub shares: Shares,
    /// Dollars for them, without fee.
    pub usd: Usd,
    /// The fee, if the venue tells it.
    pub fee: Option<Usd>,
}

/// The venue's own books.
#[async_trait]
pub trait VenueBooks: Send + Sync {
    /// What was executed of each order, in the order of the ids (at most 500); `None` for an order of which
    /// the venue has executed nothing.
    ///
    /// # Errors
    /// When the venue cannot be asked; the check is then reported as unknown.
    async fn executed(&self, orders: &[OrderId]) -> Result<Vec<Option<Executed>>, VenueError>;

    /// Ids of all orders of a wallet of which something was executed.
    ///
    /// # Errors
    /// When the venue cannot be asked.
    async fn executed_of(&self, wallet: Address) -> Result<Vec<OrderId>, VenueError>;
}

/// What to compare the store with, and how.
#[derive(Clone, Copy)]
pub struct VerifyOptions<'a> {
    /// The venue's own books.
    pub venue: Option<&'a dyn VenueBooks>,
    /// The chain, whose logs are read from the oldest intent on.
    pub chain: Option<&'a dyn ChainReader>,
    /// The installation's secret, to recompute salts. Without it they are unknown: every order has one.
    pub salts: Option<&'a dyn Salts>,
    /// Intents held in memory at once.
    pub window: usize,
}

impl Default for VerifyOptions<'_> {
    fn default() -> Self {
        Self { venue: None, chain: None, salts: None, window: WINDOW }
    }
}

/// Everything a pass reads from.
struct Sources<'a> {
    reports: &'a dyn Reports,
    execution: &'a dyn Execution,
    jobs: &'a dyn DeadLetters,
    detection: &'a dyn Detection,
    ids: &'a dyn OrderIds,
    options: VerifyOptions<'a>,
}

/// Verifies the whole installation.
///
/// On a store that is being written to, a difference counts only when two passes in a row show it alike;
/// what moves is reported as unknown.
///
/// # Errors
/// When the store cannot be read. A venue or a chain that does not answer is no error but an unknown check.
pub async fn verify(
    store: &dyn Store,
    ids: &dyn OrderIds,
    options: VerifyOptions<'_>,
) -> StoreResult<VerifyReport> {
    verify_sources(&Sources { reports: store, execution: store, jobs: store, detection: store, ids, options })
        .await
}

async fn verify_sources(sources: &Sources<'_>) -> StoreResult<VerifyReport> {
    let mut before = None;
    let mut passes = 0;
    loop {
        passes += 1;
        let commits = sources.reports.commit_mark().await?;
        let findings = pass(sources).await?;
        let still = sources.reports.commit_mark().await? == commits;
        if still || findings.differences.is_empty() {
            return Ok(report::report(findings, None, &not_asked(sources), passes));
        }
        // One pass over a moving store cannot tell a difference from a movement; two can.
        if passes == PASSES || before.as_ref() == Some(&findings.differences) {
            return Ok(report::report(findings, before, &not_asked(sources), passes));
        }
        before = Some(findings.differences);
    }
}

fn not_asked(sources: &Sources<'_>) -> Vec<Check> {
    let VerifyOptions { venue, chain, salts, .. } = &sources.options;
    let asked = [
        (Check::Salts, salts.is_some()),
        (Check::Venue, venue.is_some()),
        (Check::Chain, chain.is_some()),
        (Check::Strangers, venue.is_some() || chain.is_some()),
    ];
    asked.into_iter().filter(|(_, asked)| !asked).map(|(check, _)| check).collect()
}

async fn pass(sources: &Sources<'_>) -> StoreResult<Findings> {
    let mut findings = Findings::default();
    let mut facts = Facts::load(sources).await?;
    let chain = ChainFills::read(sources, &mut findings).await?;
    let mut window = Window::default();
    while window.read(sources).await? {
        window.join(sources.reports, &mut findings).await?;
        orders::check(sources, &window, chain.as_ref(), &mut facts, &mut findings).await?;
    }
    decisions::check(sources, &facts, window.last(), &mut findings).await?;
    skips::check(sources.reports, &facts, &mut findings).await?;
    books::check(sources.reports, &facts, window.last(), &mut findings).await?;
    venue::check_strangers(sources, &mut findings).await?;
    if let Some(chain) = &chain {
        chain.check_strangers(sources, &mut findings).await?;
    }
    Ok(findings)
}
