//! What wallets let the exchanges take, one by one: as the chain has it, and as the venue sees it. An ERC-20 allowance
//! has a size and is used up by matches unless it is without limit; ERC-1155 approvals are yes or no.
//!
//! Source: docs.polymarket.com/resources/contracts; the official clients' list of trading approvals.

use std::collections::BTreeMap;

use alloy_primitives::U256;
use domain::Address;

use super::{
    World, WorldError,
    chain::Tx,
    contract_state::{Slot, Write},
    ledger::Asset,
};
use crate::{
    config::Profile,
    contracts::{COLLATERAL, CONDITIONAL_TOKENS, Exchange, HOUSE, NOBODY, POSITION_MANAGER, token_contract},
};

/// An allowance above this is as good as none at all: more than anybody will ever spend.
const PLENTY: U256 = U256::from_limbs([u64::MAX, 0, 0, 0]);

/// The word that says whether an exchange may take an asset of a wallet; `None` for what no exchange takes.
fn slot_of(wallet: Address, asset: Asset, exchange: Exchange) -> Option<Slot> {
    let (owner, spender) = (wallet, exchange.address());
    match asset {
        Asset::Collateral => Some(Slot::Allowance { token: COLLATERAL, owner, spender }),
        Asset::Token(token) => {
            Some(Slot::Operator { token: token_contract(&token), owner, operator: spender })
        }
        Asset::Usdce | Asset::Pol => None,
    }
}

/// What each exchange needs of a wallet, dollars and shares.
fn slots_of_exchange(owner: Address, exchange: Exchange) -> [Slot; 2] {
    let spender = exchange.address();
    let token = if exchange == Exchange::V3 { POSITION_MANAGER } else { CONDITIONAL_TOKENS };
    [
        Slot::Allowance { token: COLLATERAL, owner, spender },
        Slot::Operator { token, owner, operator: spender },
    ]
}

fn slots(owner: Address) -> impl Iterator<Item = Slot> {
    Exchange::ALL.into_iter().flat_map(move |exchange| slots_of_exchange(owner, exchange))
}

/// Millionths that a word lets somebody take.
fn amount(slot: &Slot, word: U256) -> U256 {
    match slot {
        Slot::Operator { .. } if !word.is_zero() => U256::MAX,
        _ => word,
    }
}

impl World {
    /// How much of an asset an exchange may take from a wallet, as the newest block has it.
    #[must_use]
    pub fn allowance(&self, wallet: Address, asset: Asset, exchange: Exchange) -> U256 {
        let slot = slot_of(wallet, asset, exchange);
        slot.map_or(U256::ZERO, |slot| amount(&slot, self.word_at(&slot, self.chain.head())))
    }

    /// The same as the venue sees it: while its balances lag, as it was when it last looked.
    #[must_use]
    pub fn seen_allowance(&self, wallet: Address, asset: Asset, exchange: Exchange) -> U256 {
        let Some(slot) = slot_of(wallet, asset, exchange) else { return U256::ZERO };
        amount(&slot, self.seen_word(&slot))
    }

    fn seen_word(&self, slot: &Slot) -> U256 {
        let unseen = self.unseen_allowances.get(slot).copied();
        unseen.unwrap_or_else(|| self.word_at(slot, self.chain.head()))
    }

    /// Whether the venue sees that every exchange may move everything a wallet has.
    #[must_use]
    pub fn seen_approval(&self, wallet: Address) -> bool {
        slots(wallet).all(|slot| amount(&slot, self.seen_word(&slot)) > PLENTY)
    }

    /// Allows or forbids every exchange to move a wallet's money and shares, at once.
    ///
    /// # Errors
    /// [`WorldError::UnknownWallet`].
    pub fn approve(&mut self, wallet: Address, approved: bool) -> Result<(), WorldError> {
        self.registry.wallet(&wallet).ok_or(WorldError::UnknownWallet(wallet))?;
        let before: Vec<Write> = slots(wallet).map(|slot| (slot, self.seen_word(&slot))).collect();
        self.trust(wallet, approved);
        let written = |slot: &Slot| self.chain.state.at(slot, self.chain.head()).is_some();
        let dollars = if approved { U256::MAX } else { U256::ZERO };
        let writes: Vec<Write> =
            slots(wallet).filter(written).map(|slot| (slot, word(&slot, dollars, approved))).collect();
        self.chain.state.apply(self.chain.head(), &writes);
        self.overlook_allowances(before);
        Ok(())
    }

    /// Lets one exchange take this many millionths of a dollar and, if so told, shares, at once.
    ///
    /// # Errors
    /// [`WorldError::UnknownWallet`].
    pub fn allow(
        &mut self,
        wallet: Address,
        exchange: Exchange,
        (dollars, shares): (U256, bool),
    ) -> Result<(), WorldError> {
        self.registry.wallet(&wallet).ok_or(WorldError::UnknownWallet(wallet))?;
        let slots = slots_of_exchange(wallet, exchange);
        let before = slots.map(|slot| (slot, self.seen_word(&slot)));
        let writes = slots.map(|slot| (slot, word(&slot, dollars, shares)));
        self.chain.state.apply(self.chain.head(), &writes);
        self.overlook_allowances(before);
        Ok(())
    }

    /// Gives or takes every approval that the wallet does not set itself.
    pub(super) fn trust(&mut self, wallet: Address, approved: bool) {
        if approved {
            self.trusting.insert(wallet);
        } else {
            self.trusting.remove(&wallet);
        }
    }

    /// Notes what the venue saw of these words before they changed, while it does not notice by itself.
    pub(super) fn overlook_allowances(&mut self, before: impl IntoIterator<Item = Write>) {
        if self.knobs.balances_lag {
            for (slot, word) in before {
                self.unseen_allowances.entry(slot).or_insert(word);
            }
        }
    }

    /// What the venue sees of the allowances in these words, before they are written.
    pub(super) fn seen_of(&self, writes: &[Write]) -> Vec<Write> {
        let allowance = |slot: &Slot| matches!(slot, Slot::Allowance { .. } | Slot::Operator { .. });
        let slots = writes.iter().map(|(slot, _)| *slot).filter(allowance);
        slots.map(|slot| (slot, self.seen_word(&slot))).collect()
    }

    /// Makes the venue look at the allowances of one asset again.
    pub(super) fn refresh_allowances(&mut self, wallet: Address, asset: Asset) {
        for exchange in Exchange::ALL {
            if let Some(slot) = slot_of(wallet, asset, exchange) {
                self.unseen_allowances.remove(&slot);
            }
        }
    }

    /// What the allowances are after the exchange took what a match gives it, but for those without limit; `spent` are
    /// those that others of the block have used. `None` if one is not enough. Empty for what is no match.
    pub(super) fn allowances_after(&self, tx: &Tx, spent: &BTreeMap<Slot, U256>) -> Option<Vec<Write>> {
        let trade = tx.trade.and_then(|number| self.journal.trades.get(number));
        let market = trade.and_then(|trade| self.registry.market_of(&trade.token));
        let Some(market) = market.filter(|_| self.profile != Profile::Stub) else { return Some(Vec::new()) };
        let mut given: BTreeMap<(Address, Asset), i64> = BTreeMap::new();
        for moved in &tx.transfers {
            for (who, amount) in [(moved.from, moved.amount), (moved.to, moved.amount.saturating_neg())] {
                let sum = given.entry((who, moved.asset)).or_default();
                *sum = sum.saturating_add(amount);
            }
        }
        let mut writes = Vec::new();
        // What a fee takes of the proceeds is never given.
        for ((wallet, asset), given) in given.into_iter().filter(|(_, given)| *given > 0) {
            let slot = slot_of(wallet, asset, market.exchange());
            let Some(slot) = slot.filter(|_| !matches!(wallet, HOUSE | NOBODY)) else { continue };
            let word = spent.get(&slot).copied().unwrap_or_else(|| self.word_at(&slot, self.chain.head()));
            let rest = amount(&slot, word).checked_sub(U256::from(given.unsigned_abs()))?;
            if matches!(slot, Slot::Allowance { .. }) && word != U256::MAX {
                writes.push((slot, rest));
            }
        }
        Some(writes)
    }
}

fn word(slot: &Slot, dollars: U256, shares: bool) -> U256 {
    match slot {
        Slot::Operator { .. } => U256::from(u8::from(shares)),
        _ => dollars,
    }
}
