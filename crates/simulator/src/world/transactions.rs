//! Transactions of EOAs: decoded, their sender recovered, their nonce and gas checked, and run.
//!
//! Sources: EIP-155 (legacy), EIP-1559, EIP-2718; texts of errors as go-ethereum words them.

use alloy_primitives::{U256, keccak256};
use alloy_rlp::{Decodable, Encodable, Header};
use domain::{Address, TxHash};

use super::{
    World,
    calls::{Call, Effects, Revert, gas_of},
    chain::{Bid, Fate},
    contract_state::Slot,
    faults::{FaultKind, FaultTarget},
    ledger::{Asset, Transfer},
    relay::SLOW_BLOCKS,
};
use crate::{
    contracts::{CHAIN_ID, RELAY},
    signing::recover,
};

/// What a unit of gas costs here, in wei: base fee and tip.
pub const GAS_PRICE: u64 = 30_000_000_000;
/// Wei in a millionth of POL.
pub const WEI_PER_MICRO: u64 = 1_000_000_000_000;
/// Most gas of one transaction.
const MAX_GAS: u64 = 30_000_000;

/// Percent by which a transaction must offer more than the one whose place it takes.
const PRICE_BUMP: u128 = 10;

/// Why a transaction is not taken.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
pub enum TransactionError {
    /// Not a transaction.
    #[error("rlp: {0}")]
    Malformed(String),
    /// Signed for another chain, or not at all.
    #[error("invalid sender: {0}")]
    Sender(String),
    /// Nonce used.
    #[error("nonce too low: next nonce {next}, tx nonce {nonce}")]
    NonceTooLow {
        /// Expected.
        next: u64,
        /// Found.
        nonce: u64,
    },
    /// Nonces in between are missing.
    #[error("nonce too high: next nonce {next}, tx nonce {nonce}")]
    NonceTooHigh {
        /// Expected.
        next: u64,
        /// Found.
        nonce: u64,
    },
    /// Waits or is mined.
    #[error("already known")]
    Known,
    /// No POL for it.
    #[error(
        "insufficient funds for gas * price + value: balance {balance}, tx cost {cost} (millionths of POL)"
    )]
    Funds {
        /// What is there.
        balance: i64,
        /// What it may cost.
        cost: i64,
    },
    /// Offers too little more than what waits with the same nonce.
    #[error("replacement transaction underpriced")]
    Underpriced,
    /// Offers less than the base fee, or more gas than a block has.
    #[error("{0}")]
    Gas(String),
}

/// A signed transaction, as far as it matters here.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Transaction {
    /// Who signed it.
    pub from: Address,
    /// Its number among those of the sender.
    pub nonce: u64,
    /// Most gas it may take.
    pub gas: u64,
    /// Most it pays for a unit, in wei.
    pub price: u128,
    /// Of that to whoever makes the block.
    pub tip: u128,
    /// The call.
    pub call: Call,
}

/// Reads the items of a list one by one.
struct Items<'a>(&'a [u8]);

impl<'a> Items<'a> {
    fn of(mut raw: &'a [u8]) -> Result<Self, alloy_rlp::Error> {
        let header = Header::decode(&mut raw)?;
        if !header.list || header.payload_length != raw.len() {
            return Err(alloy_rlp::Error::Custom("not one list"));
        }
        Ok(Self(raw))
    }

    fn next<T: Decodable>(&mut self) -> Result<T, alloy_rlp::Error> {
        T::decode(&mut self.0)
    }

    fn bytes(&mut self) -> Result<&'a [u8], alloy_rlp::Error> {
        Header::decode_bytes(&mut self.0, false)
    }

    fn word(&mut self) -> Result<U256, alloy_rlp::Error> {
        U256::try_from_be_slice(self.bytes()?).ok_or(alloy_rlp::Error::Overflow)
    }

    fn list(&mut self) -> Result<(), alloy_rlp::Error> {
        Header::decode_bytes(&mut self.0, true).map(|_| ())
    }
}

fn contract(bytes: &[u8]) -> Result<Address, alloy_rlp::Error> {
    Address::from_slice(bytes).map_err(|_| alloy_rlp::Error::Custom("no contract is created here"))
}

fn without_value(value: U256) -> Result<(), alloy_rlp::Error> {
    if value.is_zero() {
        Ok(())
    } else {
        Err(alloy_rlp::Error::Custom("calls with a value are not simulated"))
    }
}

/// Decodes a raw transaction (legacy or EIP-1559) and recovers its sender.
///
/// # Errors
/// [`TransactionError::Malformed`], [`TransactionError::Sender`].
pub fn decode(raw: &[u8]) -> Result<Transaction, TransactionError> {
    let malformed = |error: alloy_rlp::Error| TransactionError::Malformed(error.to_string());
    let (transaction, digest, signature) = match raw.split_first() {
        Some((2, body)) => fee_market(body).map_err(malformed)?,
        Some((0xc0.., _)) => legacy(raw).map_err(malformed)?,
        _ => return Err(TransactionError::Malformed("neither legacy nor EIP-1559".to_owned())),
    };
    let from = recover(&digest, &signature)
        .ok_or_else(|| TransactionError::Sender("the signature is no signature".to_owned()))?;
    Ok(Transaction { from, ..transaction })
}

type Parsed = (Transaction, [u8; 32], [u8; 65]);

fn signature(odd: bool, r: U256, s: U256) -> [u8; 65] {
    let mut signature = [0; 65];
    let (words, v) = signature.split_at_mut(64);
    words.copy_from_slice(&[r.to_be_bytes::<32>(), s.to_be_bytes::<32>()].concat());
    v.fill(u8::from(odd));
    signature
}

/// `0x02 || rlp([chain, nonce, tip, fee, gas, to, value, data, access list, parity, r, s])`.
fn fee_market(body: &[u8]) -> Result<Parsed, alloy_rlp::Error> {
    let mut items = Items::of(body)?;
    let signed_from = items.0;
    let chain: u64 = items.next()?;
    let nonce = items.next()?;
    let tip = items.next()?;
    let price = items.next()?;
    let gas = items.next()?;
    let to = contract(items.bytes()?)?;
    without_value(items.word()?)?;
    let data = items.bytes()?.to_vec();
    items.list()?;
    let signed = signed_from.get(..signed_from.len().saturating_sub(items.0.len())).unwrap_or_default();
    let (odd, r, s): (bool, U256, U256) = (items.next()?, items.word()?, items.word()?);
    if chain != CHAIN_ID || !items.0.is_empty() {
        return Err(alloy_rlp::Error::Custom("another chain, or more than a transaction"));
    }
    let mut message = vec![2];
    Header { list: true, payload_length: signed.len() }.encode(&mut message);
    message.extend_from_slice(signed);
    let call = Call { to, data };
    let transaction = Transaction { from: RELAY, nonce, gas, price, tip, call };
    Ok((transaction, keccak256(message).0, signature(odd, r, s)))
}

/// `rlp([nonce, price, gas, to, value, data, v, r, s])` with the chain in `v`.
fn legacy(raw: &[u8]) -> Result<Parsed, alloy_rlp::Error> {
    let mut items = Items::of(raw)?;
    let signed_from = items.0;
    let (nonce, price, gas): (u64, u128, u64) = (items.next()?, items.next()?, items.next()?);
    let to = contract(items.bytes()?)?;
    without_value(items.word()?)?;
    let data = items.bytes()?.to_vec();
    let signed = signed_from.get(..signed_from.len().saturating_sub(items.0.len())).unwrap_or_default();
    let (v, r, s): (u64, U256, U256) = (items.next()?, items.word()?, items.word()?);
    let odd = match v.checked_sub(CHAIN_ID.saturating_mul(2).saturating_add(35)) {
        Some(odd @ (0 | 1)) if items.0.is_empty() => odd == 1,
        _ => return Err(alloy_rlp::Error::Custom("another chain, or more than a transaction")),
    };
    let mut payload = signed.to_vec();
    CHAIN_ID.encode(&mut payload);
    0_u8.encode(&mut payload);
    0_u8.encode(&mut payload);
    let mut message = Vec::new();
    Header { list: true, payload_length: payload.len() }.encode(&mut message);
    message.extend_from_slice(&payload);
    let call = Call { to, data };
    let transaction = Transaction { from: RELAY, nonce, gas, price, tip: price, call };
    Ok((transaction, keccak256(message).0, signature(odd, r, s)))
}

/// What gas costs, in millionths of POL, rounded up.
fn micro_pol(gas: u64, price: u128) -> i64 {
    let wei = u128::from(gas).saturating_mul(price);
    i64::try_from(wei.div_ceil(u128::from(WEI_PER_MICRO))).unwrap_or(i64::MAX)
}

impl World {
    /// Takes a raw transaction into the next block and says its hash. One that cannot be carried out is mined and
    /// undone, and paid for all the same.
    ///
    /// # Errors
    /// [`TransactionError`].
    pub fn send_raw(&mut self, raw: &[u8]) -> Result<TxHash, TransactionError> {
        let transaction = decode(raw)?;
        let hash = TxHash(keccak256(raw).0);
        if self.chain.knows(&hash) {
            return Err(TransactionError::Known);
        }
        let Transaction { from, nonce, gas, price, tip, ref call } = transaction;
        let next = self.next_nonce(from);
        let waiting = self
            .chain
            .pending
            .iter()
            .position(|tx| tx.bid.is_some_and(|bid| (bid.from, bid.nonce) == (from, nonce)));
        if nonce > next {
            return Err(TransactionError::NonceTooHigh { next, nonce });
        }
        if nonce < next && waiting.is_none() {
            return Err(TransactionError::NonceTooLow { next, nonce });
        }
        if price < u128::from(GAS_PRICE) || gas > MAX_GAS {
            let text = format!("max fee per gas less than block base fee, or gas above {MAX_GAS}");
            return Err(TransactionError::Gas(text));
        }
        let (balance, cost) = (self.ledger.balance(from, Asset::Pol), micro_pol(gas, price));
        if balance < cost {
            return Err(TransactionError::Funds { balance, cost });
        }
        if let Some(place) = waiting {
            self.make_way(place, price, tip)?;
        }
        let (mut effects, used, reverted) = match self.run_calls(from, std::slice::from_ref(call)) {
            Ok(effects) if gas_of(&effects) <= gas => {
                let used = gas_of(&effects);
                (effects, used, false)
            }
            // Out of gas, or undone: all of it is used up, or nearly.
            Ok(_) | Err(_) => (Effects::default(), gas, true),
        };
        let amount = micro_pol(used, u128::from(GAS_PRICE));
        effects.transfers.push(Transfer { asset: Asset::Pol, from, to: RELAY, amount });
        effects.writes.push((Slot::Nonce(from), U256::from(nonce.saturating_add(1))));
        let fate = self.raw_fate();
        let bid = Some(Bid { from, nonce, fee: price, tip });
        let tx = super::chain::Tx { reverted, fate, bid, ..effects.into_tx(hash) };
        self.submit(tx);
        Ok(hash)
    }

    /// Drops the waiting transaction at this place for one that offers a tenth more of both. Source: go-ethereum
    /// (`PriceBump`).
    fn make_way(&mut self, place: usize, fee: u128, tip: u128) -> Result<(), TransactionError> {
        let enough = |old: u128, new: u128| {
            new.saturating_mul(100) >= old.saturating_mul(100_u128.saturating_add(PRICE_BUMP))
        };
        let bid = self.chain.pending.get(place).and_then(|tx| tx.bid);
        if !bid.is_some_and(|bid| enough(bid.fee, fee) && enough(bid.tip, tip)) {
            return Err(TransactionError::Underpriced);
        }
        let replaced = self.chain.pending.remove(place);
        self.undo(&replaced);
        Ok(())
    }

    /// Whether a transaction waits although it was taken, as one does that offers too little.
    fn raw_fate(&mut self) -> Fate {
        let slow = |kind: FaultKind| kind == FaultKind::SlowTransaction;
        match self.faults.take(FaultTarget::Chain, slow) {
            Some(fault) => Fate::Wait(if fault.depth == 0 { SLOW_BLOCKS } else { fault.depth }),
            None => Fate::Mine,
        }
    }

    /// The next nonce of an EOA, with what waits counted.
    #[must_use]
    pub fn next_nonce(&self, eoa: Address) -> u64 {
        self.pending_word(&Slot::Nonce(eoa)).map_or(0, |word| word.saturating_to())
    }

    /// How much gas a call would take.
    ///
    /// # Errors
    /// Why it would be undone.
    pub fn estimate_gas(&self, from: Address, call: &Call) -> Result<u64, Revert> {
        self.run_calls(from, std::slice::from_ref(call)).map(|effects| gas_of(&effects))
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    /// The example of EIP-155: nonce 9, 20 gwei, 21000 gas, key 0x46..46, but it is for chain 1.
    const FOR_CHAIN_ONE: &str = "f86c098504a817c800825208943535353535353535353535353535353535353535880de0b6b3a7640000\
        8025a028ef61340bd939bc2195fe537567866003e1a15d3c71ff63e1590620aa636276a067cbe9d8997f761aecb703304b3800ccf5\
        55c9f3dc64214b297fb1966a3b6d83";

    /// An approval of USDC.e, signed by the account whose key everybody knows with `eth-account` (PyPI).
    const APPROVE: &str = "095ea7b30000000000000000000000004d97dcd97ec945f40cf65f87097ace5ea0476045ffffffffffffffffff\
        ffffffffffffffffffffffffffffffffffffffffffffff";
    const EOA: &str = "0xf39fd6e51aad88f6f4ce6ab8827279cfffb92266";

    fn raw(before: &str, after: &str) -> Vec<u8> {
        hex::decode([before, APPROVE, after].concat()).unwrap()
    }

    fn newer() -> Vec<u8> {
        raw(
            "02f8b38189038505d21dba00850df84758008303d090942791bca1f2de4661ed88a30c99a7a9449aa8417480b844",
            "c080a0b3ed48f7fb296c8a293d135d11c18c47bf54086cf23d601ced19db1476ae1b29a030b85dae5c590ceac70b72685f7ea6da\
             07b316f7772c6822c23344d6fdca43e6",
        )
    }

    fn older() -> Vec<u8> {
        raw(
            "f8ac808506fc23ac008303d090942791bca1f2de4661ed88a30c99a7a9449aa8417480b844",
            "820136a0a0c2ea43c2a12e5f32eb1abe82cfdcd415698ab67ba9f4e830aa0d6fd67bbbc3a071fb48c8c141a00c325271d06424dc6\
             77bdb1a3e8eadff5815286bb9b6ecf815",
        )
    }

    #[test]
    fn transactions_of_another_implementation_are_read() {
        let read = decode(&newer()).unwrap();
        assert_eq!((read.from.to_string().as_str(), read.nonce, read.gas), (EOA, 3, 250_000));
        assert_eq!((read.price, read.call.to), (60_000_000_000, crate::contracts::USDC_E));
        assert_eq!(hex::encode(read.call.data), APPROVE);
        let read = decode(&older()).unwrap();
        assert_eq!((read.from.to_string().as_str(), read.nonce, read.price), (EOA, 0, 30_000_000_000));
        let hash = hex::encode(keccak256(older()));
        assert_eq!(hash, "58c477dec4e70d1a684aea5be297d4f4f96ec7965877535879cb42c7a33374e2");
    }

    #[test]
    fn a_changed_byte_changes_the_sender_or_makes_nonsense() {
        for raw in [newer(), older()] {
            for place in 0..raw.len() {
                let mut changed = raw.clone();
                changed[place] ^= 1;
                let same = decode(&changed).is_ok_and(|read| read.from.to_string() == EOA);
                assert!(!same, "byte {place}");
            }
        }
    }

    #[test]
    fn other_chains_and_nonsense_are_refused() {
        let raw = hex::decode(FOR_CHAIN_ONE).unwrap();
        assert!(matches!(decode(&raw), Err(TransactionError::Malformed(_))));
        let bad: [&[u8]; 7] =
            [&[], &[1], &[2], &[2, 0xc0], &[0xc0], &[2, 0xf9, 0xff, 0xff], &[2, 0xff, 0xff, 0xff, 0xff]];
        for bytes in bad {
            assert!(matches!(decode(bytes), Err(TransactionError::Malformed(_))), "{bytes:?}");
        }
        // A header that promises more than any memory has.
        let huge = [&[2, 0xff][..], &[0xff; 8]].concat();
        assert!(matches!(decode(&huge), Err(TransactionError::Malformed(_))));
    }
}
