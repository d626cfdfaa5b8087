//! Decodes the logs the engine knows: `OrderFilled` of the V2 and V3 exchanges, `PayoutRedemption` of
//! ConditionalTokens and of the neg-risk adapter. Strict: a log that was not asked for or has another shape is
//! an error.
//!
//! A collateral adapter redeems in its own name: the wallet is the one that handed its shares over in the same
//! transaction just before ([`attribute`]). Recorded on Polygon in transaction 0xc6c3f62a of block 90,715,038:
//! `TransferBatch` from the wallet to the adapter, `TransferBatch` from there to the neg-risk adapter, and the
//! burn; the redemption then names the collateral adapter.

use alloy_primitives::hex;
use domain::{Address, ConditionId, Hash, OrderId, Shares, Side, TokenId, TxHash, Usd, ids::IdError};
use eip712::{Chain, Exchange};
use engine::ports::venue::{ChainEvent, ChainEventKind, ChainFill};
use serde::Deserialize;

use crate::{
    contracts::{
        NEG_RISK_REDEMPTION, ORDER_FILLED, PAYOUT_REDEMPTION, POSITION_REDEEMED, TRANSFER_BATCH,
        collateral_adapters, conditional_tokens, modules, neg_risk_adapter, redeems_for_others,
    },
    limits::MAX_AMOUNT,
};

/// A log as JSON-RPC writes it.
#[derive(Clone, Debug, PartialEq, Eq, Deserialize)]
#[serde(rename_all = "camelCase")]
pub struct RawLog {
    /// Emitting contract.
    pub address: String,
    /// Event topic and indexed fields.
    pub topics: Vec<String>,
    /// The other fields.
    pub data: String,
    /// Height, hex.
    pub block_number: String,
    /// Block hash.
    pub block_hash: String,
    /// Transaction.
    pub transaction_hash: String,
    /// Position in the block, hex.
    pub log_index: String,
    /// Whether a reorganisation took the log away.
    #[serde(default)]
    pub removed: bool,
}

/// A log that cannot be believed.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
pub enum LogError {
    /// An identifier of the wrong form.
    #[error("log with a bad identifier: {0}")]
    Id(#[from] IdError),
    /// A quantity or word of the wrong form.
    #[error("log with a bad {0}")]
    Field(&'static str),
    /// From a contract nobody asked for.
    #[error("log of contract {0}, which was not asked for")]
    ForeignContract(Address),
    /// Of an event nobody asked for.
    #[error("log of event {0}, which was not asked for")]
    ForeignEvent(Hash),
    /// Taken away by a reorganisation, yet returned.
    #[error("log {0} of a block that left the chain")]
    Removed(i64),
}

/// A `0x` quantity as a number that is zero or more.
///
/// # Errors
/// [`LogError::Field`] for anything that is no quantity below 2^63.
pub fn quantity(text: &str, name: &'static str) -> Result<i64, LogError> {
    let digits = text.strip_prefix("0x").filter(|digits| digits.bytes().all(|byte| byte.is_ascii_hexdigit()));
    digits.and_then(|digits| i64::from_str_radix(digits, 16).ok()).ok_or(LogError::Field(name))
}

/// A log's own fields, taken apart.
pub(crate) struct Parts {
    pub(crate) place: Place,
    pub(crate) address: Address,
    pub(crate) topics: Vec<Hash>,
    pub(crate) data: Vec<u8>,
}

/// Where a log is.
#[derive(Clone, Copy)]
pub(crate) struct Place {
    block: i64,
    block_hash: Hash,
    log_index: i64,
    tx: TxHash,
}

impl Place {
    pub(crate) const fn event(self, kind: ChainEventKind) -> ChainEvent {
        let Self { block, block_hash, log_index, tx } = self;
        ChainEvent { block, block_hash, log_index, tx, kind }
    }
}

impl Parts {
    pub(crate) fn of(log: &RawLog) -> Result<Self, LogError> {
        let log_index = quantity(&log.log_index, "log index")?;
        if log.removed {
            return Err(LogError::Removed(log_index));
        }
        let data = log.data.strip_prefix("0x").and_then(|digits| hex::decode(digits).ok());
        Ok(Self {
            place: Place {
                block: quantity(&log.block_number, "block number")?,
                block_hash: log.block_hash.parse()?,
                log_index,
                tx: log.transaction_hash.parse::<TxHash>()?,
            },
            address: log.address.parse()?,
            topics: log.topics.iter().map(|topic| topic.parse()).collect::<Result<Vec<Hash>, _>>()?,
            data: data.ok_or(LogError::Field("data"))?,
        })
    }

    /// The data in words.
    pub(crate) fn words(&self) -> Result<&[[u8; 32]], LogError> {
        match self.data.as_chunks::<32>() {
            (words, []) => Ok(words),
            _ => Err(LogError::Field("data length")),
        }
    }
}

/// Reads one log of `chain`; `None` for a redemption beyond what is counted in, as anybody can make one in a
/// token of his own.
///
/// # Errors
/// [`LogError`].
pub fn decode(log: &RawLog, chain: Chain) -> Result<Option<ChainEvent>, LogError> {
    let parts = Parts::of(log)?;
    let (address, words) = (parts.address, parts.words()?);
    let (event, fields) = parts.topics.split_first().ok_or(LogError::Field("topic count"))?;
    let kind = match *event {
        ORDER_FILLED => {
            Exchange::at(address, chain).map_err(|_| LogError::ForeignContract(address))?;
            Some(ChainEventKind::Fill(fill(address, fields, words)?))
        }
        PAYOUT_REDEMPTION if address == conditional_tokens(chain) => redemption(fields, words)?,
        NEG_RISK_REDEMPTION if Some(address) == neg_risk_adapter(chain) => {
            neg_risk_redemption(fields, words)?
        }
        POSITION_REDEEMED if modules(chain).contains(&address) => position_redeemed(fields, words, chain)?,
        PAYOUT_REDEMPTION | NEG_RISK_REDEMPTION | POSITION_REDEEMED => {
            return Err(LogError::ForeignContract(address));
        }
        other => return Err(LogError::ForeignEvent(other)),
    };
    Ok(kind.map(|kind| parts.place.event(kind)))
}

/// Topics: order hash, maker, taker. Words: side, token, maker amount, taker amount, fee, builder,
/// metadata. The log of the taker's own order names the exchange as taker.
fn fill(exchange: Address, topics: &[Hash], words: &[[u8; 32]]) -> Result<ChainFill, LogError> {
    let [order, maker, taker] = topics else {
        return Err(LogError::Field("topic count"));
    };
    let [side, token, gave, got, fee, _builder, _metadata] = words else {
        return Err(LogError::Field("data length"));
    };
    let side = match number(side, "side")? {
        0 => Side::Buy,
        1 => Side::Sell,
        _ => return Err(LogError::Field("side")),
    };
    let (gave, got) = (amount(gave, "maker amount")?, amount(got, "taker amount")?);
    let (usd, shares) = match side {
        Side::Buy => (gave, got),
        Side::Sell => (got, gave),
    };
    Ok(ChainFill {
        order: OrderId(order.0),
        wallet: address_of(&maker.0, "maker")?,
        maker: address_of(&taker.0, "taker")? != exchange,
        token: TokenId(*token),
        side,
        shares: Shares(shares),
        usd: Usd(usd),
        fee: Usd(amount(fee, "fee")?),
    })
}

/// Topics: redeemer, collateral, parent collection. Words: condition, offset of the index sets, payout,
/// then the index sets.
fn redemption(topics: &[Hash], words: &[[u8; 32]]) -> Result<Option<ChainEventKind>, LogError> {
    let [redeemer, _collateral, _parent] = topics else {
        return Err(LogError::Field("topic count"));
    };
    let [condition, _offset, payout, _index_sets @ ..] = words else {
        return Err(LogError::Field("data length"));
    };
    paid(redeemer, condition, payout)
}

/// Topics: redeemer, condition. Words: offset of the amounts, payout, then the amounts.
fn neg_risk_redemption(topics: &[Hash], words: &[[u8; 32]]) -> Result<Option<ChainEventKind>, LogError> {
    let [redeemer, condition] = topics else {
        return Err(LogError::Field("topic count"));
    };
    let [_offset, payout, _amounts @ ..] = words else {
        return Err(LogError::Field("data length"));
    };
    paid(redeemer, &condition.0, payout)
}

/// Topics: who asked for it, position, who is paid. Words: shares, payout. Somebody who lets his own shares pay another one
/// has redeemed nothing of the other's.
fn position_redeemed(
    topics: &[Hash],
    words: &[[u8; 32]],
    chain: Chain,
) -> Result<Option<ChainEventKind>, LogError> {
    let [initiator, position, recipient] = topics else {
        return Err(LogError::Field("topic count"));
    };
    let [_shares, payout] = words else {
        return Err(LogError::Field("data length"));
    };
    let asked = address_of(&initiator.0, "initiator")?;
    if initiator != recipient && !redeems_for_others(asked, chain) {
        return Ok(None);
    }
    let (_outcome, condition) = position.0.split_last().ok_or(LogError::Field("position"))?;
    let wallet = address_of(&recipient.0, "recipient")?;
    let condition = ConditionId::from_slice(condition)?;
    let counted = amount(payout, "payout").ok();
    Ok(counted.map(|payout| ChainEventKind::Redemption { wallet, condition, payout: Usd(payout) }))
}

fn paid(
    redeemer: &Hash,
    condition: &[u8; 32],
    payout: &[u8; 32],
) -> Result<Option<ChainEventKind>, LogError> {
    let wallet = address_of(&redeemer.0, "redeemer")?;
    let condition = ConditionId::from_slice(condition)?;
    let counted = amount(payout, "payout").ok();
    Ok(counted.map(|payout| ChainEventKind::Redemption { wallet, condition, payout: Usd(payout) }))
}

/// Shares that a wallet handed to a collateral adapter.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Handover {
    block_hash: Hash,
    tx: TxHash,
    log_index: i64,
    wallet: Address,
    adapter: Address,
}

/// Reads a `TransferBatch` of ConditionalTokens to an adapter. Topics: operator, from, to.
///
/// # Errors
/// [`LogError`].
pub fn handover(log: &RawLog, chain: Chain) -> Result<Handover, LogError> {
    let Parts { place, address, topics, .. } = Parts::of(log)?;
    if address != conditional_tokens(chain) {
        return Err(LogError::ForeignContract(address));
    }
    let [event, _operator, from, to] = topics.as_slice() else {
        return Err(LogError::Field("topic count"));
    };
    if *event != TRANSFER_BATCH {
        return Err(LogError::ForeignEvent(*event));
    }
    Ok(Handover {
        block_hash: place.block_hash,
        tx: place.tx,
        log_index: place.log_index,
        wallet: address_of(&from.0, "sender")?,
        adapter: address_of(&to.0, "receiver")?,
    })
}

/// Whether an adapter redeemed in its own name.
#[must_use]
pub fn is_by_adapter(event: &ChainEvent, chain: Chain) -> bool {
    matches!(event.kind, ChainEventKind::Redemption { wallet, .. }
        if collateral_adapters(chain).contains(&wallet))
}

/// Names the wallets for which adapters redeemed: who handed shares to the adapter last before the redemption,
/// in the same transaction. A redemption without one stays the adapter's own.
pub fn attribute(events: &mut [ChainEvent], handovers: &[Handover]) {
    for event in events {
        let ChainEventKind::Redemption { wallet, .. } = &mut event.kind else { continue };
        let before = handovers.iter().filter(|handover| {
            (handover.block_hash, handover.tx, handover.adapter) == (event.block_hash, event.tx, *wallet)
                && handover.log_index < event.log_index
        });
        if let Some(handover) = before.max_by_key(|handover| handover.log_index) {
            *wallet = handover.wallet;
        }
    }
}

/// A word that may be an amount of shares or dollars.
pub(crate) fn amount(word: &[u8; 32], name: &'static str) -> Result<i64, LogError> {
    number(word, name).ok().filter(|amount| *amount <= MAX_AMOUNT).ok_or(LogError::Field(name))
}

/// A word that fits 63 bits.
pub(crate) fn number(word: &[u8; 32], name: &'static str) -> Result<i64, LogError> {
    let (high, low) = word.split_last_chunk::<8>().ok_or(LogError::Field(name))?;
    if high.iter().any(|byte| *byte != 0) {
        return Err(LogError::Field(name));
    }
    i64::try_from(u64::from_be_bytes(*low)).map_err(|_| LogError::Field(name))
}

pub(crate) fn address_of(word: &[u8; 32], name: &'static str) -> Result<Address, LogError> {
    let (high, low) = word.split_last_chunk::<20>().ok_or(LogError::Field(name))?;
    if high.iter().any(|byte| *byte != 0) {
        return Err(LogError::Field(name));
    }
    Ok(Address(*low))
}

#[cfg(test)]
#[path = "logs_tests.rs"]
pub(crate) mod tests;
