//! Movements of shares: `TransferSingle` and `TransferBatch` of ConditionalTokens and PositionManager.
//! Strict as `logs`; but anybody can send any wallet shares of a market of his own making, so what cannot be
//! counted is left out and holds nothing up.

use domain::{Address, Shares, Side, TokenId};
use eip712::{Chain, Exchange};
use engine::ports::venue::{ChainEvent, ChainEventKind, ChainMove, Counterparty};

use crate::{
    contracts::{TRANSFER_BATCH, TRANSFER_SINGLE, gives_and_takes, token_contract, token_contracts},
    logs::{LogError, Parts, RawLog, address_of, amount, number},
};

/// A word of a log's data.
type Word = [u8; 32];

/// What a log moved to and from `wallets`. Topics: operator, from, to.
///
/// # Errors
/// `LogError`.
pub fn moves(log: &RawLog, chain: Chain, wallets: &[Address]) -> Result<Vec<ChainEvent>, LogError> {
    let parts = Parts::of(log)?;
    if !token_contracts(chain).contains(&parts.address) {
        return Err(LogError::ForeignContract(parts.address));
    }
    let words = parts.words()?;
    let [event, operator, from, to] = parts.topics.as_slice() else {
        return Err(LogError::Field("topic count"));
    };
    let items = match (*event, words) {
        (TRANSFER_SINGLE, [token, value]) => vec![(token, value)],
        (TRANSFER_SINGLE, _) => return Err(LogError::Field("data length")),
        (TRANSFER_BATCH, words) => batch(words)?,
        (other, _) => return Err(LogError::ForeignEvent(other)),
    };
    let operator = address_of(&operator.0, "operator")?;
    let (from, to) = (address_of(&from.0, "sender")?, address_of(&to.0, "receiver")?);
    let ends = [(from, to, Side::Sell), (to, from, Side::Buy)];
    let mut events = Vec::new();
    for (wallet, other, side) in ends.into_iter().filter(|(wallet, ..)| wallets.contains(wallet)) {
        let with = counterparty(operator, other, chain);
        for (token, value) in &items {
            let (token, shares) = (TokenId(**token), amount(value, "value").unwrap_or(0));
            if shares > 0 && token_contract(&token, chain) == Some(parts.address) {
                let moved = ChainMove { wallet, token, side, shares: Shares(shares), with };
                events.push(parts.place.event(ChainEventKind::Move(moved)));
            }
        }
    }
    Ok(events)
}

fn counterparty(operator: Address, other: Address, chain: Chain) -> Counterparty {
    let exchange = |address| Exchange::at(address, chain).is_ok();
    if exchange(operator) || exchange(other) {
        Counterparty::Exchange
    } else if gives_and_takes(other, chain) {
        Counterparty::Venue
    } else {
        Counterparty::Other
    }
}

/// `uint256[] ids, uint256[] values`: two offsets, then both lists with their lengths.
fn batch(words: &[Word]) -> Result<Vec<(&Word, &Word)>, LogError> {
    let bad = LogError::Field("batch");
    let [first, second, lists @ ..] = words else { return Err(bad) };
    let (count, rest) = lists.len().checked_sub(2).map_or((0, 1), |items| (items / 2, items % 2));
    let (Some((one, ids)), Some((other, values))) =
        (lists.split_first(), lists.get(count.saturating_add(1)..).and_then(<[_]>::split_first))
    else {
        return Err(bad);
    };
    let at = |words: usize| i64::try_from(words.saturating_mul(32)).ok();
    let head = [first, second, one, other].map(|word| number(word, "batch").ok());
    let length = i64::try_from(count).ok();
    if rest != 0 || head != [at(2), at(count.saturating_add(3)), length, length] {
        return Err(bad);
    }
    Ok(ids.iter().take(count).zip(values).collect())
}

#[cfg(test)]
#[path = "moves_tests.rs"]
mod tests;
