//! Wallet contracts of an EOA: where they are, whether they are there, what others may take from them.
//!
//! Sources: docs.polymarket.com/resources/contracts; init code as the official clients derive addresses from it
//! (PyPI `polymarket-client` 0.14.0, Polymarket/builder-relayer-client tests).

use alloy_primitives::{Address as EvmAddress, B256, U256, hex, keccak256};
use domain::Address;

use super::{World, contract_state::Slot, logs::evm};
use crate::contracts::{DEPOSIT_WALLET_BEACON, DEPOSIT_WALLET_FACTORY, PROXY_FACTORY, SAFE_FACTORY};

/// Hash of the init code of a proxy wallet.
const PROXY_INIT_CODE: B256 =
    B256::new(hex!("d21df8dc65880a8606f09fe0ce3df9b8869287ab0b058be05aa9e8af6330a00b"));
/// Hash of the init code of a Safe.
const SAFE_INIT_CODE: B256 =
    B256::new(hex!("2bce2127ff07fb632d16c8347c4ebf501f4841168bed00d9e6ef715ddb6fcecf"));
/// An ERC-1967 beacon proxy: what stands before the beacon's address (its second byte and the next count the
/// arguments), and after it.
const BEACON_PROXY: ([u8; 10], [u8; 87]) = (
    hex!("6100923d8160233d3973"),
    hex!(
        "60195155f3363d3d373d3d363d602036600436635c60da1b60e01b36527fa3f0ad74e5423aebfd80d3ef4346578335a9a72aeaee59ff6c"
        "b3582b35133d50545afa5036515af43d6000803e604d573d6000fd5b3d6000f3"
    ),
);

/// The proxy wallet of an EOA (type 1).
#[must_use]
pub fn proxy_of(eoa: Address) -> Address {
    let salt = keccak256(eoa.0);
    Address(evm(PROXY_FACTORY).create2(salt, PROXY_INIT_CODE).0.0)
}

/// The Safe of an EOA (type 2).
#[must_use]
pub fn safe_of(eoa: Address) -> Address {
    let salt = keccak256(evm(eoa).into_word());
    Address(evm(SAFE_FACTORY).create2(salt, SAFE_INIT_CODE).0.0)
}

/// The deposit wallet of an EOA (type 3), as the factory of the beacon makes it.
#[must_use]
pub fn deposit_wallet_of(eoa: Address) -> Address {
    let arguments = [evm(DEPOSIT_WALLET_FACTORY).into_word(), evm(eoa).into_word()].concat();
    let (before, after) = BEACON_PROXY;
    let code = [&before[..], &DEPOSIT_WALLET_BEACON.0, &after, &arguments].concat();
    let salt = keccak256(&arguments);
    Address(EvmAddress::from(DEPOSIT_WALLET_FACTORY.0).create2(salt, keccak256(code)).0.0)
}

impl World {
    /// A word as it will be once everything that waits is mined.
    #[must_use]
    pub fn pending_word(&self, slot: &Slot) -> Option<U256> {
        let writes = self.chain.pending.iter().rev().flat_map(|tx| tx.writes.iter().rev());
        let waiting = writes.into_iter().find(|(written, _)| written == slot).map(|(_, value)| *value);
        waiting.or_else(|| self.chain.state.at(slot, self.chain.head()))
    }

    /// A word at the end of a block. Wallets whose operator was told that everything is approved have every
    /// allowance they have not set themselves.
    #[must_use]
    pub fn word_at(&self, slot: &Slot, block: u64) -> U256 {
        self.chain.state.at(slot, block).unwrap_or_else(|| self.unwritten(slot))
    }

    pub(super) fn unwritten(&self, slot: &Slot) -> U256 {
        match slot {
            Slot::Allowance { owner, .. } if self.trusting.contains(owner) => U256::MAX,
            Slot::Operator { owner, .. } if self.trusting.contains(owner) => U256::from(1),
            // Wallets that control registered are there.
            Slot::Code(address) => {
                let known = self.registry.wallet(address);
                U256::from(u8::from(known.is_some_and(|wallet| wallet.signature_type != 0)))
            }
            _ => U256::ZERO,
        }
    }

    /// Whether a wallet contract is deployed.
    #[must_use]
    pub fn is_deployed(&self, wallet: Address) -> bool {
        !self.word_at(&Slot::Code(wallet), self.chain.head()).is_zero()
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    /// Sources: reference of the venue's clients for the first EOA; Polymarket/builder-relayer-client, signature
    /// tests, for the second.
    #[test]
    fn addresses_are_those_of_the_official_clients() {
        let eoa: Address = "0xf39fd6e51aad88f6f4ce6ab8827279cfffb92266".parse().unwrap();
        assert_eq!(safe_of(eoa).to_string(), "0xd93b25cb943d14d0d34fbaf01fc93a0f8b5f6e47");
        assert_eq!(proxy_of(eoa).to_string(), "0x365f0ca36ae1f641e02fe3b7743673da42a13a70");
        assert_eq!(deposit_wallet_of(eoa).to_string(), "0xbc0ff067b7740eff76c1ca93c875ba6b890d6b50");
        let one: Address = "0x0000000000000000000000000000000000000001".parse().unwrap();
        assert_eq!(deposit_wallet_of(one).to_string(), "0x94bf330955a0b957662feaf878de77bf25f76cd9");
    }
}
