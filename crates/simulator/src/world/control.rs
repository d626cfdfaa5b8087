//! What an operator of the simulation may do: money, markets, books, resolutions, leaders' trades.

use std::collections::BTreeMap;

use domain::{
    Address, ConditionId, OrderId, Price, Shares, Side, TickSize, Timestamp, TokenId, TxHash, Usd,
    money::{ONE, Rounding},
};
use serde::{Deserialize, Serialize};

use super::{
    World, WorldError,
    book::{Resting, opposite},
    calls::redemption,
    chain::Tx,
    data::{Row, RowKind},
    events::Event,
    foreign_moves::ForeignMove,
    journal::Ending,
    ledger::{Asset, Transfer},
    logs::{self, Leg},
    match_tx::Exchanged,
    registry::{MarketSpec, MarketState, Profile, Terms, Wallet, are_payouts},
};
use crate::{
    contracts::{FEE_RECEIVER, HOUSE, NOBODY},
    signing::derive,
    wire::decimal,
};

/// A price level of the house.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Level {
    /// Price.
    #[serde(with = "decimal")]
    pub price: Price,
    /// Shares.
    #[serde(with = "decimal")]
    pub shares: Shares,
}

/// The house's levels of a token.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Levels {
    /// Token.
    pub token: TokenId,
    /// What it buys.
    #[serde(default)]
    pub bids: Vec<Level>,
    /// What it sells.
    #[serde(default)]
    pub asks: Vec<Level>,
    /// Keep the house's present levels.
    #[serde(default)]
    pub extend: bool,
}

/// One fill of a foreign wallet.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct ForeignFill {
    /// Wallet.
    pub wallet: Address,
    /// Token.
    pub token: TokenId,
    /// Its side.
    pub side: Side,
    /// Price.
    #[serde(with = "decimal")]
    pub price: Price,
    /// Shares.
    #[serde(with = "decimal")]
    pub shares: Shares,
    /// Whether its order was the resting one.
    #[serde(default)]
    pub maker: bool,
}

/// A foreign transaction: all its fills against the house, at the given prices, in the next block.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct ForeignTrade {
    /// Its hash.
    pub tx_hash: TxHash,
    /// Its fills, in log order.
    #[serde(default)]
    pub fills: Vec<ForeignFill>,
    /// What it does without an order, after its fills.
    #[serde(default)]
    pub moves: Vec<ForeignMove>,
}

/// Who redeems when a market resolves.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum Redeemers {
    /// Every holder but the house.
    #[default]
    All,
    /// Nobody.
    None,
    /// These wallets.
    Wallets(Vec<Address>),
}

impl World {
    /// Registers or replaces a wallet.
    ///
    /// # Errors
    /// [`WorldError::Invalid`].
    pub fn add_wallet(&mut self, wallet: Wallet) -> Result<(), WorldError> {
        self.registry.add_wallet(wallet)?;
        self.trust(wallet.address, wallet.approved);
        Ok(())
    }

    /// Counts a post that was no order of a known signer.
    pub fn note_strange_post(&mut self) {
        self.journal.strange_posts = self.journal.strange_posts.saturating_add(1);
    }

    /// Mints `amount` millionths to a wallet, on chain with the next block. A negative amount burns.
    pub fn credit(&mut self, wallet: Address, asset: Asset, amount: i64) {
        let (from, to) = if amount < 0 { (wallet, NOBODY) } else { (NOBODY, wallet) };
        self.move_asset(Transfer { asset, from, to, amount: amount.saturating_abs() });
    }

    /// Moves something between wallets, on chain with the next block.
    pub fn move_asset(&mut self, transfer: Transfer) {
        let hash = TxHash(self.random());
        let logs = vec![logs::transfer(&transfer)];
        let transfers = vec![transfer];
        self.submit(Tx { transfers, logs, ..Tx::new(hash) });
    }

    /// Sets what a wallet's owner shows of himself.
    pub fn set_profile(&mut self, wallet: Address, profile: Profile) {
        self.registry.set_profile(wallet, profile);
    }

    /// Adds a market.
    ///
    /// # Errors
    /// [`WorldError`].
    pub fn add_market(&mut self, spec: MarketSpec) -> Result<(), WorldError> {
        let condition = spec.condition;
        self.registry.add_market(spec)?;
        self.tell(Event::Market { condition });
        Ok(())
    }

    /// Changes a market's tick size; resting orders stay.
    ///
    /// # Errors
    /// [`WorldError`].
    pub fn set_tick(&mut self, condition: &ConditionId, tick: Price) -> Result<(), WorldError> {
        let size = TickSize::from_price(tick).map_err(|error| WorldError::Invalid(error.to_string()))?;
        let market = self.registry.market_mut(condition)?;
        let old = market.tick.size();
        market.tick = size;
        market.spec.tick = tick;
        self.tell(Event::Tick { condition: *condition, old, new: tick });
        Ok(())
    }

    /// Says what is special about a market's orders.
    ///
    /// # Errors
    /// [`WorldError`].
    pub fn set_terms(&mut self, condition: &ConditionId, terms: Terms) -> Result<(), WorldError> {
        self.registry.market_mut(condition)?.terms = terms;
        Ok(())
    }

    /// Opens, pauses or closes a market. A closed one has no book.
    ///
    /// # Errors
    /// [`WorldError`].
    pub fn set_state(&mut self, condition: &ConditionId, state: MarketState) -> Result<(), WorldError> {
        let market = self.registry.market_mut(condition)?;
        if matches!(market.state, MarketState::Resolved(_)) {
            return Err(WorldError::Invalid(format!("market {condition} is resolved for good")));
        }
        market.state = state;
        let tokens = market.spec.tokens;
        if matches!(state, MarketState::Closed | MarketState::Resolved(_)) {
            tokens.iter().for_each(|token| self.close_book(token, state));
        }
        if let MarketState::Resolved(payouts) = state {
            self.tell(Event::Resolved { condition: *condition, payouts });
        }
        Ok(())
    }

    fn close_book(&mut self, token: &TokenId, state: MarketState) {
        let ending = match state {
            MarketState::Resolved(_) => Ending::MarketResolved,
            _ => Ending::MarketClosed,
        };
        let Some(book) = self.books.get_mut(token) else { return };
        let mut clients = Vec::new();
        for side in [Side::Buy, Side::Sell] {
            book.remove_maker(side, HOUSE);
            clients.extend(book.entries(side).map(|(_, resting)| resting.order));
        }
        clients.into_iter().for_each(|id| self.end_order(id, ending));
        self.tell_books(token);
    }

    /// Sets or extends the house's levels of a token.
    ///
    /// # Errors
    /// [`WorldError`] for an unknown token, a price off the grid, or levels that would cross.
    pub fn set_levels(&mut self, levels: &Levels) -> Result<(), WorldError> {
        let token = levels.token;
        let market = self.registry.market_of(&token).ok_or(WorldError::UnknownToken(token))?;
        let (tick, complements) = (market.tick, market.terms.house_complements);
        let off_grid = levels
            .bids
            .iter()
            .chain(&levels.asks)
            .find(|level| !tick.allows(level.price) || !level.shares.is_positive());
        if let Some(level) = off_grid {
            return Err(WorldError::Invalid(format!(
                "level {} x {}: off the tick grid or empty",
                level.price, level.shares
            )));
        }
        let best_bid = levels.bids.iter().map(|level| level.price).max();
        let best_ask = levels.asks.iter().map(|level| level.price).min();
        if best_bid.zip(best_ask).is_some_and(|(bid, ask)| bid >= ask) {
            return Err(WorldError::Invalid(format!("levels of token {token} cross")));
        }
        let seed = self.seed;
        let book = self.books.entry(token).or_default();
        for (side, wanted) in [(Side::Buy, &levels.bids), (Side::Sell, &levels.asks)] {
            if !levels.extend {
                book.remove_maker(side, HOUSE);
            }
            for level in wanted {
                self.arrivals = self.arrivals.saturating_add(1);
                let order = OrderId(derive(seed, &[b"house order", &token.0, &self.arrivals.to_be_bytes()]));
                let resting = Resting { order, maker: HOUSE, shares: level.shares, complements };
                book.rest(side, level.price, self.arrivals, resting);
            }
        }
        self.tell_books(&token);
        Ok(())
    }

    /// Executes a foreign wallet's transaction with the next block. Missing dollars are minted to it in
    /// the same transaction; shares it must have.
    ///
    /// # Errors
    /// [`WorldError`] for an unknown token, a known hash, no fills or missing shares.
    pub fn foreign_trade(&mut self, trade: &ForeignTrade) -> Result<(), WorldError> {
        if trade.fills.is_empty() && trade.moves.is_empty() {
            return Err(WorldError::Invalid(format!("transaction {} does nothing", trade.tx_hash)));
        }
        if self.chain.knows(&trade.tx_hash) {
            return Err(WorldError::Exists(format!("transaction {}", trade.tx_hash)));
        }
        let mut tx = Tx::new(trade.tx_hash);
        let mut changes: BTreeMap<(Address, Asset), i64> = BTreeMap::new();
        for (index, fill) in trade.fills.iter().enumerate() {
            self.add_foreign_fill(&mut tx, fill, index, &mut changes)?;
        }
        for moved in &trade.moves {
            self.add_foreign_move(&mut tx, moved, &mut changes)?;
        }
        for fill in &trade.fills {
            self.prices.note(fill.token, fill.price, self.now);
        }
        self.submit(tx);
        Ok(())
    }

    fn add_foreign_fill(
        &self,
        tx: &mut Tx,
        fill: &ForeignFill,
        index: usize,
        changes: &mut BTreeMap<(Address, Asset), i64>,
    ) -> Result<(), WorldError> {
        let market = self.registry.market_of(&fill.token).ok_or(WorldError::UnknownToken(fill.token))?;
        let usd = fill
            .price
            .cost(fill.shares, Rounding::Down)
            .ok()
            .filter(|_| fill.shares.is_positive() && (1..ONE).contains(&fill.price.0))
            .ok_or_else(|| {
                WorldError::Invalid(format!(
                    "{} shares at {}: no shares, or a price outside 0 to 1",
                    fill.shares, fill.price
                ))
            })?;
        let fee = if fill.maker { Usd::ZERO } else { market.spec.fee.fee(fill.shares, fill.price) };
        let (taker, maker, taker_side) = if fill.maker {
            (HOUSE, fill.wallet, opposite(fill.side))
        } else {
            (fill.wallet, HOUSE, fill.side)
        };
        let exchanged = Exchanged { token: fill.token, taker_side, taker, maker, shares: fill.shares, usd };
        let mut transfers = exchanged.transfers().to_vec();
        if fee.is_positive() {
            transfers.push(Transfer {
                asset: Asset::Collateral,
                from: fill.wallet,
                to: FEE_RECEIVER,
                amount: fee.0,
            });
        }
        self.top_up(tx, fill.wallet, &transfers, changes)?;
        tx.transfers.append(&mut transfers);
        let order = |who: &[u8]| {
            let place = u64::try_from(index).unwrap_or(u64::MAX).to_be_bytes();
            OrderId(derive(self.seed, &[b"foreign order", who, &tx.hash.0, &place]))
        };
        let leg = |who: &[u8], wallet, side, fee: Usd| Leg {
            order: order(who),
            wallet,
            side,
            token: fill.token,
            usd: usd.0,
            shares: fill.shares.0,
            fee: fee.0,
            builder: [0; 32],
            metadata: [0; 32],
        };
        let (taker_leg, maker_leg) =
            (leg(b"taker", taker, taker_side, fee), leg(b"maker", maker, opposite(taker_side), Usd::ZERO));
        tx.logs.append(&mut logs::settlement(market.exchange(), &taker_leg, &[maker_leg]));
        for (wallet, side, is_taker) in [(maker, opposite(taker_side), false), (taker, taker_side, true)] {
            let kind = RowKind::Trade { token: fill.token, side, taker: is_taker };
            tx.rows.push(Row { wallet, condition: market.spec.condition, kind, shares: fill.shares, usd });
        }
        Ok(())
    }

    /// Mints dollars a foreign wallet lacks for these transfers, and refuses missing shares.
    pub(super) fn top_up(
        &self,
        tx: &mut Tx,
        wallet: Address,
        transfers: &[Transfer],
        changes: &mut BTreeMap<(Address, Asset), i64>,
    ) -> Result<(), WorldError> {
        for transfer in transfers {
            for (who, amount) in
                [(transfer.to, transfer.amount), (transfer.from, transfer.amount.saturating_neg())]
            {
                let change = changes.entry((who, transfer.asset)).or_default();
                *change = change.saturating_add(amount);
            }
            let key = (wallet, transfer.asset);
            let change = changes.get(&key).copied().unwrap_or(0);
            let left = self.ledger.balance(wallet, transfer.asset).saturating_add(change);
            match transfer.asset {
                _ if left >= 0 || wallet == HOUSE => {}
                Asset::Usdce | Asset::Pol => {}
                Asset::Token(token) => {
                    return Err(WorldError::Invalid(format!(
                        "wallet {wallet} lacks {} shares of token {token}: credit them first",
                        Shares(left.saturating_neg())
                    )));
                }
                Asset::Collateral => {
                    let amount = left.saturating_neg();
                    let mint = Transfer { asset: Asset::Collateral, from: NOBODY, to: wallet, amount };
                    tx.transfers.push(mint);
                    changes.insert(key, change.saturating_add(amount));
                }
            }
        }
        Ok(())
    }

    /// Resolves a market: `payouts` are dollars per share. The redeemers' shares are burned and paid in
    /// one transaction each, with the next block. Says how many redeemed.
    ///
    /// # Errors
    /// [`WorldError`].
    pub fn resolve(
        &mut self,
        condition: &ConditionId,
        payouts: [Price; 2],
        redeemers: &Redeemers,
    ) -> Result<usize, WorldError> {
        if !are_payouts(&payouts) {
            return Err(WorldError::Invalid("payouts are two prices that add up to 1".to_owned()));
        }
        self.set_state(condition, MarketState::Resolved(payouts))?;
        let now = self.chain.block(self.chain.head()).map(|block| Timestamp::from_seconds(block.timestamp));
        let market = self.registry.market_mut(condition)?;
        market.resolved_at = now;
        let tokens = market.spec.tokens;
        let holders: Vec<Address> = match redeemers {
            Redeemers::None => Vec::new(),
            Redeemers::Wallets(wallets) => wallets.clone(),
            Redeemers::All => {
                let mut holders: Vec<Address> = self
                    .ledger
                    .balances()
                    .filter(|(_, asset, amount)| {
                        *amount > 0 && tokens.iter().any(|token| *asset == Asset::Token(*token))
                    })
                    .map(|(wallet, _, _)| wallet)
                    .filter(|wallet| *wallet != HOUSE && *wallet != NOBODY)
                    .collect();
                holders.dedup();
                holders
            }
        };
        let redeemed =
            holders.iter().filter(|wallet| self.redeem(condition, **wallet).unwrap_or(false)).count();
        Ok(redeemed)
    }

    /// Redeems a wallet's shares of a resolved market with the next block; `false` if it has none.
    ///
    /// # Errors
    /// [`WorldError`] for an unknown or unresolved market.
    pub fn redeem(&mut self, condition: &ConditionId, wallet: Address) -> Result<bool, WorldError> {
        let market = self.registry.market(condition).ok_or(WorldError::UnknownMarket(*condition))?;
        let held = market.spec.tokens.map(|token| self.ledger.balance(wallet, Asset::Token(token)).max(0));
        let effects = redemption(market, wallet, held, self.knobs.redeem_directly)
            .ok_or_else(|| WorldError::Invalid(format!("market {condition} is not resolved")))?;
        if held == [0, 0] {
            return Ok(false);
        }
        let hash = TxHash(self.random());
        self.submit(effects.into_tx(hash));
        Ok(true)
    }

    /// Freezes the head that JSON-RPC shows, or lets it go on.
    pub fn stall_head(&mut self, stalled: bool) {
        self.stalled_head = stalled.then(|| self.visible_head());
    }

    /// The head that JSON-RPC shows.
    #[must_use]
    pub fn visible_head(&self) -> u64 {
        self.stalled_head.unwrap_or_else(|| self.chain.head()).min(self.chain.head())
    }
}
