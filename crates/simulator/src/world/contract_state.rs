//! What contracts remember beside balances, at every block: allowances, operators, deployed code, nonces, session
//! signers. Owns the words; never decides who may write them.

use std::collections::BTreeMap;

use alloy_primitives::U256;
use domain::Address;

/// One word of a contract's storage, named by what it means.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub enum Slot {
    /// How much of a token a spender may take from its owner.
    Allowance {
        /// ERC-20 contract.
        token: Address,
        /// Whose money.
        owner: Address,
        /// Who may take it.
        spender: Address,
    },
    /// Whether an operator may move all shares of an owner: 1 or 0.
    Operator {
        /// ERC-1155 contract.
        token: Address,
        /// Whose shares.
        owner: Address,
        /// Who may move them.
        operator: Address,
    },
    /// Whether there is a contract: 1 or 0.
    Code(Address),
    /// Next nonce of a wallet contract, or of an EOA's transactions.
    Nonce(Address),
    /// Next nonce of an EOA at the relay hub, for its proxy wallet.
    RelayNonce(Address),
    /// Until when a session signer may sign for a wallet, in Unix seconds.
    Session {
        /// Deposit wallet.
        wallet: Address,
        /// Who may sign.
        signer: Address,
    },
}

/// A word written.
pub type Write = (Slot, U256);

/// All words, with the blocks in which they changed.
#[derive(Debug, Default)]
pub struct ContractState(BTreeMap<Slot, Vec<(u64, U256)>>);

impl ContractState {
    /// Writes words in a block, which is the newest.
    pub fn apply(&mut self, block: u64, writes: &[Write]) {
        for (slot, value) in writes {
            let changes = self.0.entry(*slot).or_default();
            changes.retain(|(number, _)| *number < block);
            changes.push((block, *value));
        }
    }

    /// Forgets what these words became in blocks after `block`.
    pub fn rewind(&mut self, block: u64, writes: &[Write]) {
        for (slot, _) in writes {
            if let Some(changes) = self.0.get_mut(slot) {
                changes.retain(|(number, _)| *number <= block);
            }
        }
    }

    /// A word at the end of a block; `None` if it was never written.
    #[must_use]
    pub fn at(&self, slot: &Slot, block: u64) -> Option<U256> {
        let changes = self.0.get(slot)?;
        changes.iter().rev().find(|(number, _)| *number <= block).map(|(_, value)| *value)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn words_are_known_for_every_block_and_can_be_taken_back() {
        let slot = Slot::Nonce(Address([1; 20]));
        let mut state = ContractState::default();
        state.apply(5, &[(slot, U256::from(1)), (slot, U256::from(2))]);
        state.apply(8, &[(slot, U256::from(3))]);
        let at = |state: &ContractState, block| state.at(&slot, block).map(|value| value.to::<u64>());
        assert_eq!([4, 5, 7, 8].map(|block| at(&state, block)), [None, Some(2), Some(2), Some(3)]);
        state.rewind(7, &[(slot, U256::from(3))]);
        assert_eq!(at(&state, 9), Some(2));
        state.rewind(4, &[(slot, U256::from(2))]);
        assert_eq!(at(&state, 9), None);
    }
}
