//! Transactions that an EOA signs and sends itself (EIP-1559): what is signed, and the bytes that are sent.
//!
//! Sources: EIP-1559 and EIP-2718; a transaction signed by `eth-account` (PyPI) is the vector of the tests.

use alloy_primitives::{hex, keccak256};
use alloy_rlp::{Encodable, Header};
use domain::{Address, Hash, TransactionPlan, TxHash, WalletKind};

use crate::{
    actions::{ActionError, Call, call_of},
    exchange::Chain,
};

/// The type of these transactions.
const TYPE: u8 = 2;

/// A plan that is no transaction.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
pub enum TransactionError {
    /// A wallet contract sends no transactions.
    #[error("only an EOA sends transactions; {0} is a wallet contract")]
    NotAnEoa(Address),
    /// What it should do.
    #[error(transparent)]
    Action(#[from] ActionError),
}

/// A transaction of an EOA.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Transaction {
    /// Its number among those of the sender.
    pub nonce: u64,
    /// In wei for a unit of gas, for whoever takes it into a block.
    pub tip: u64,
    /// In wei for a unit of gas, at most.
    pub max_fee: u64,
    /// Most gas.
    pub gas: u64,
    /// What it calls.
    pub call: Call,
}

impl Transaction {
    /// The transaction of a plan.
    ///
    /// # Errors
    /// [`TransactionError`].
    pub fn from_plan(plan: &TransactionPlan) -> Result<Self, TransactionError> {
        let TransactionPlan { account, action, nonce, gas, max_fee, tip } = plan;
        if account.kind != WalletKind::Eoa {
            return Err(TransactionError::NotAnEoa(account.wallet));
        }
        let call = call_of(account.wallet, action)?;
        Ok(Self { nonce: *nonce, tip: *tip, max_fee: *max_fee, gas: *gas, call })
    }

    /// What the key signs.
    #[must_use]
    pub fn digest(&self, chain: Chain) -> Hash {
        Hash(keccak256(typed(&self.fields(chain))).0)
    }

    /// The bytes to send, and their hash, by which the chain knows the transaction.
    #[must_use]
    pub fn signed(&self, chain: Chain, signature: &[u8; 65]) -> (Vec<u8>, TxHash) {
        let mut fields = self.fields(chain);
        let (words, v) = signature.split_at(64);
        let (r, s) = words.split_at(32);
        let odd = v.first().is_some_and(|v| *v == 28);
        u8::from(odd).encode(&mut fields);
        for word in [r, s] {
            let first = word.iter().position(|byte| *byte != 0).unwrap_or(word.len());
            word.split_at(first).1.encode(&mut fields);
        }
        let raw = typed(&fields);
        let hash = TxHash(keccak256(&raw).0);
        (raw, hash)
    }

    /// All fields but the signature, one after the other.
    fn fields(&self, chain: Chain) -> Vec<u8> {
        let mut fields = Vec::new();
        for number in [chain.id(), self.nonce, self.tip, self.max_fee, self.gas] {
            number.encode(&mut fields);
        }
        self.call.to.0.as_slice().encode(&mut fields);
        // No POL; and below no list of accesses.
        0_u8.encode(&mut fields);
        self.call.data.as_slice().encode(&mut fields);
        fields.extend(hex!("c0"));
        fields
    }
}

/// The type, then the fields as a list.
fn typed(fields: &[u8]) -> Vec<u8> {
    let mut raw = vec![TYPE];
    Header { list: true, payload_length: fields.len() }.encode(&mut raw);
    raw.extend_from_slice(fields);
    raw
}

#[cfg(test)]
mod tests {
    use super::*;

    /// An approval of USDC.e, signed with `eth-account` by the account whose key everybody knows.
    const RAW: &str = "02f8b38189038505d21dba00850df84758008303d090942791bca1f2de4661ed88a30c99a7a9449aa8417480b844\
        095ea7b30000000000000000000000004d97dcd97ec945f40cf65f87097ace5ea0476045ffffffffffffffffffffffffffffffff\
        ffffffffffffffffffffffffffffffffc080a0b3ed48f7fb296c8a293d135d11c18c47bf54086cf23d601ced19db1476ae1b29a0\
        30b85dae5c590ceac70b72685f7ea6da07b316f7772c6822c23344d6fdca43e6";

    #[test]
    fn bytes_are_those_of_another_implementation() {
        let data = hex!(
            "095ea7b30000000000000000000000004d97dcd97ec945f40cf65f87097ace5ea0476045"
            "ffffffffffffffffffffffffffffffffffffffffffffffffffffffffffffffff"
        );
        let call = Call { to: crate::USDC_E, data: data.to_vec() };
        let transaction =
            Transaction { nonce: 3, tip: 25_000_000_000, max_fee: 60_000_000_000, gas: 250_000, call };
        let signature = hex!(
            "b3ed48f7fb296c8a293d135d11c18c47bf54086cf23d601ced19db1476ae1b29"
            "30b85dae5c590ceac70b72685f7ea6da07b316f7772c6822c23344d6fdca43e6"
            "1b"
        );
        let (raw, hash) = transaction.signed(Chain::Polygon, &signature);
        assert_eq!(hex::encode(&raw), RAW);
        assert_eq!(hash.0, keccak256(&raw).0);
        // Numbers have no leading zeros, those of the signature neither.
        let short = [&[0; 31][..], &[7], &[0; 31], &[9], &[28]].concat();
        let (raw, _) = transaction.signed(Chain::Polygon, &short.try_into().unwrap());
        assert_eq!(raw[raw.len() - 4..], [0xc0, 1, 7, 9]);
    }
}
