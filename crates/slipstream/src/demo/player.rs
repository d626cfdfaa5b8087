//! Plays a tape into the simulator: leaders' trades as recorded, books seeded around their prices.

use std::{
    collections::{BTreeMap, BTreeSet},
    sync::{Arc, Mutex, PoisonError},
    time::Duration,
};

use domain::{Clock, Price, Shares, Side, TickSize, TokenId, TxHash, money::ONE};
use simulator::world::{
    control::{ForeignFill, ForeignTrade, Level, Levels},
    fees::FeeSchedule,
    foreign_moves::ForeignMove,
    registry::MarketSpec,
};

use super::{
    control::Control,
    recording::is_v3,
    tape::{Event, EventKind, Header, LeftOut, Provenance, Tape, TapeMarket},
};
use crate::secrets::InstallationSecret;

/// Smallest order of every market on the tape: the venue's usual one. Assumed.
const MINIMUM: Shares = Shares(5 * ONE);
/// Shares on each level of a seeded book, at least.
const LEVEL_SHARES: i64 = 500 * ONE;
/// Levels on each side.
const LEVELS: i64 = 5;
/// A market is resolved this long after its last trade at the earliest. Played fast, the recorded minutes
/// between the last trade and the redemption would shrink to less than a block.
const RESOLVE_AFTER: Duration = Duration::from_secs(4);

/// How far the tape is.
#[derive(Clone, Debug, Default)]
pub struct Played {
    /// Milliseconds of tape played.
    pub position: u64,
    /// Milliseconds of tape in all.
    pub length: u64,
    /// Events played, by provenance.
    pub events: BTreeMap<Provenance, u64>,
    /// Rows of the file that cannot be played, by reason.
    pub left_out: BTreeMap<LeftOut, u64>,
    /// Transactions of leaders that were played, or told of a leader who is followed now: all are to be answered.
    pub transactions: BTreeSet<TxHash>,
    /// Fills of leaders played, with their transactions.
    pub fills: Vec<(TxHash, ForeignFill)>,
    /// Whether everything was played.
    pub done: bool,
    /// Set by whoever wants nothing more to be played.
    pub stopped: bool,
}

/// Plays one tape.
pub struct Player {
    control: Control,
    clock: Arc<dyn Clock>,
    tape: Tape,
    specs: Vec<MarketSpec>,
    speed: u32,
    progress: Arc<Mutex<Played>>,
}

impl Player {
    /// A player at `speed` times the tape's own time.
    #[must_use]
    pub fn new(control: Control, clock: Arc<dyn Clock>, tape: Tape, speed: u32) -> Self {
        let specs = tape
            .header
            .markets
            .iter()
            .enumerate()
            .map(|(index, market)| spec(&tape, index, market))
            .collect();
        let (length, left_out) = (tape.length(), tape.left_out.clone());
        let progress = Arc::new(Mutex::new(Played { length, left_out, ..Played::default() }));
        Self { control, clock, tape, specs, speed: speed.max(1), progress }
    }

    /// How far it is; shared with whoever shows it.
    #[must_use]
    pub fn progress(&self) -> Arc<Mutex<Played>> {
        Arc::clone(&self.progress)
    }

    /// What the tape is about.
    #[must_use]
    pub const fn header(&self) -> &Header {
        &self.tape.header
    }

    /// Adds the tape's markets to the simulator and seeds their books.
    ///
    /// # Errors
    /// When the simulator refuses.
    pub async fn prepare(&self) -> anyhow::Result<()> {
        for spec in &self.specs {
            self.control.add_market(spec).await?;
        }
        Ok(())
    }

    /// Plays everything.
    ///
    /// # Errors
    /// When the simulator refuses.
    pub async fn play(&self) -> anyhow::Result<()> {
        let start = self.clock.uptime();
        let mut resolutions = Resolutions::default();
        let mut index = 0;
        while let Some(first) = self.tape.events.get(index) {
            let due = start + Duration::from_millis(first.at / u64::from(self.speed));
            self.resolve_until(&mut resolutions, due).await?;
            self.clock.sleep(due.saturating_sub(self.clock.uptime())).await;
            if self.lock().stopped {
                return Ok(());
            }
            let batch = same_transaction(&self.tape.events, index);
            index += batch.len();
            self.play_batch(batch, &mut resolutions).await?;
            self.note(batch, first.at);
        }
        self.resolve_until(&mut resolutions, Duration::MAX).await?;
        self.lock().done = true;
        Ok(())
    }

    /// Resolves the markets whose turn comes before `until`, each at its time.
    async fn resolve_until(&self, resolutions: &mut Resolutions, until: Duration) -> anyhow::Result<()> {
        while let Some((due, market, winner)) = resolutions.next_before(until) {
            self.clock.sleep(due.saturating_sub(self.clock.uptime())).await;
            let Some(spec) = self.specs.get(market) else { continue };
            let mut payouts = [Price(0); 2];
            if let Some(payout) = payouts.get_mut(winner) {
                *payout = Price(ONE);
            }
            // Followers redeem by themselves.
            self.control.resolve(spec.condition, payouts, &self.tape.header.wallets).await?;
        }
        Ok(())
    }

    async fn play_batch(&self, batch: &[Event], resolutions: &mut Resolutions) -> anyhow::Result<()> {
        let Some(first) = batch.first() else { return Ok(()) };
        match &first.kind {
            EventKind::Open { o, qty } => {
                let (Some(wallet), Some(token)) =
                    (self.tape.header.wallets.get(first.w), self.token(first.m, *o))
                else {
                    return Ok(());
                };
                self.control.credit_shares(*wallet, token, *qty).await
            }
            EventKind::Redeem { winner, .. } => {
                resolutions.redeemed(first.m, *winner, self.clock.uptime());
                Ok(())
            }
            EventKind::Trade { tx, .. } | EventKind::Split { tx, .. } | EventKind::Merge { tx, .. } => {
                for event in batch {
                    resolutions.traded(event.m, self.clock.uptime());
                }
                self.play_transaction(*tx, batch).await
            }
        }
    }

    async fn play_transaction(&self, tx: TxHash, batch: &[Event]) -> anyhow::Result<()> {
        let mut trade = ForeignTrade { tx_hash: tx, fills: Vec::new(), moves: Vec::new() };
        for event in batch {
            let (Some(wallet), Some(spec)) =
                (self.tape.header.wallets.get(event.w).copied(), self.specs.get(event.m))
            else {
                continue;
            };
            let condition = spec.condition;
            match event.kind {
                EventKind::Trade { o, side, px, qty, .. } => {
                    let Some(token) = self.token(event.m, o) else { continue };
                    self.control.set_levels(&book_around(token, px, side, qty, spec.tick)).await?;
                    trade.fills.push(ForeignFill {
                        wallet,
                        token,
                        side,
                        price: px,
                        shares: qty,
                        maker: false,
                    });
                }
                EventKind::Split { qty, .. } => {
                    trade.moves.push(ForeignMove::Split { wallet, condition, shares: qty });
                }
                EventKind::Merge { qty, .. } => {
                    trade.moves.push(ForeignMove::Merge { wallet, condition, shares: qty });
                }
                EventKind::Redeem { .. } | EventKind::Open { .. } => {}
            }
        }
        self.control.trade(&trade).await?;
        let mut played = self.lock();
        played.transactions.insert(tx);
        played.fills.extend(trade.fills.into_iter().map(|fill| (tx, fill)));
        Ok(())
    }

    fn token(&self, market: usize, outcome: usize) -> Option<TokenId> {
        self.specs.get(market)?.tokens.get(outcome).copied()
    }

    fn note(&self, batch: &[Event], position: u64) {
        let mut progress = self.lock();
        progress.position = position;
        for event in batch {
            *progress.events.entry(event.prov).or_default() += 1;
        }
    }

    fn lock(&self) -> std::sync::MutexGuard<'_, Played> {
        self.progress.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

/// When markets are to be resolved. The first redemption of a market resolves it for everybody.
#[derive(Default)]
struct Resolutions {
    last_trade: BTreeMap<usize, Duration>,
    due: BTreeSet<(Duration, usize, usize)>,
    redeemed: BTreeSet<usize>,
}

impl Resolutions {
    fn traded(&mut self, market: usize, now: Duration) {
        self.last_trade.insert(market, now);
    }

    fn redeemed(&mut self, market: usize, winner: usize, now: Duration) {
        if self.redeemed.insert(market) {
            let last = self.last_trade.get(&market).copied().unwrap_or(Duration::ZERO);
            self.due.insert((now.max(last + RESOLVE_AFTER), market, winner));
        }
    }

    fn next_before(&mut self, until: Duration) -> Option<(Duration, usize, usize)> {
        let first = *self.due.first().filter(|(due, ..)| *due < until)?;
        self.due.remove(&first);
        Some(first)
    }
}

/// The event at `index` and, where it is of a transaction, the following rows of its transaction.
fn same_transaction(events: &[Event], index: usize) -> &[Event] {
    let tx_of = |event: &Event| match event.kind {
        EventKind::Trade { tx, .. } | EventKind::Split { tx, .. } | EventKind::Merge { tx, .. } => Some(tx),
        EventKind::Redeem { .. } | EventKind::Open { .. } => None,
    };
    let rest = events.get(index..).unwrap_or_default();
    let first = rest.first().and_then(tx_of);
    let length = match first {
        Some(tx) => rest.iter().take_while(|event| tx_of(event) == Some(tx)).count(),
        None => usize::from(!rest.is_empty()),
    };
    rest.get(..length).unwrap_or_default()
}

/// The market as the simulator needs it. Tick, minimum and fee are assumed; a token the recordings never
/// name gets an id of its own.
fn spec(tape: &Tape, index: usize, market: &TapeMarket) -> MarketSpec {
    let named = |outcome: usize| market.tokens.get(outcome).copied().flatten();
    let made_up = |outcome: u8| {
        let secret = InstallationSecret::of_seed(0);
        let id = secret.derive(&[b"unnamed token", market.condition.as_slice(), &[outcome]]);
        token_of_era(id, is_v3(&market.condition))
    };
    let label = |outcome: usize, fallback: &str| {
        market.outcomes.get(outcome).cloned().flatten().unwrap_or_else(|| fallback.to_owned())
    };
    let short = market.slug.as_deref().is_some_and(|slug| slug.contains("updown"));
    MarketSpec {
        condition: market.condition,
        tokens: [named(0).unwrap_or_else(|| made_up(0)), named(1).unwrap_or_else(|| made_up(1))],
        outcomes: [label(0, "first"), label(1, "second")],
        tick: tick_of(tape, index).size(),
        min_size: MINIMUM,
        neg_risk: false,
        fee: FeeSchedule { rate: Price(if short { 70_000 } else { 40_000 }), exponent: 1 },
        title: market.title.clone().unwrap_or_default(),
        slug: market.slug.clone().unwrap_or_default(),
        event_slug: String::new(),
        end_date: String::new(),
    }
}

/// A made-up token id that is, or is not, of the V3 era.
pub(super) fn token_of_era(mut id: [u8; 32], v3: bool) -> TokenId {
    if v3 {
        // The hole by which such ids are told: see `TokenId::is_v3`.
        id.iter_mut().skip(19).take(8).for_each(|byte| *byte = 0);
    }
    TokenId(id)
}

/// A hundredth if every recorded price of the market is one, else a thousandth: averages of several fills
/// and prices near the edges lie between hundredths.
fn tick_of(tape: &Tape, market: usize) -> TickSize {
    let finer = tape.events.iter().any(
        |event| matches!(event.kind, EventKind::Trade { px, .. } if event.m == market && px.0 % 10_000 != 0),
    );
    if finer { TickSize::Thousandth } else { TickSize::Hundredth }
}

/// A book whose best price for the leader's side is the recorded price, on the tick.
pub(super) fn book_around(token: TokenId, price: Price, side: Side, shares: Shares, tick: Price) -> Levels {
    let size = TickSize::from_price(tick).unwrap_or(TickSize::Hundredth);
    let (best_ask, best_bid) = match side {
        Side::Buy => (size.ceil(price), size.ceil(price).0 - tick.0),
        Side::Sell => (Price(size.floor(price).0 + tick.0), size.floor(price).0),
    };
    let per_level = Shares(LEVEL_SHARES.max(shares.0.saturating_mul(2)));
    let ladder = |from: i64, step: i64| -> Vec<Level> {
        (0..LEVELS)
            .map(|level| Price(from + level * step))
            .filter(|price| size.allows(*price))
            .map(|price| Level { price, shares: per_level })
            .collect()
    };
    Levels { token, bids: ladder(best_bid, -tick.0), asks: ladder(best_ask.0, tick.0), extend: false }
}
