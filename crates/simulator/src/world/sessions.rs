//! Session keys of deposit wallets: who may trade in the owner's place, where, and until when. What the chain has is
//! in the wallet's storage; the venue's registry has the scopes, and forgets a key as soon as it is revoked.
//!
//! Source: docs.polymarket.com/trading/session-keys. Not documented, and so guessed: the words in which an order of a
//! key that may not trade is refused (those of a key that is not the account's).

use std::collections::BTreeMap;

use alloy_primitives::U256;
use domain::{Address, OrderId, Timestamp};

use super::{Refusal, World, WorldError, chain::Tx, contract_state::Slot};
use crate::limits::{SESSION_LIFETIME, SESSION_TOLERANCE};

/// Where a key may trade: everywhere, the order book, combinations.
const SCOPES: [&str; 3] = [ALL, ORDERS, "COMBOSRFQ"];
const ALL: &str = "ALL";
const ORDERS: &str = "CLOB";

/// The venue's registry: scopes by wallet and key.
pub(super) type Sessions = BTreeMap<(Address, Address), Vec<String>>;

impl World {
    /// Whether a session key may place orders for a deposit wallet now.
    #[must_use]
    pub fn is_session_signer(&self, wallet: Address, signer: Address, now: Timestamp) -> bool {
        let trades = |scopes: &Vec<String>| scopes.iter().any(|scope| scope == ALL || scope == ORDERS);
        self.sessions.get(&(wallet, signer)).is_some_and(trades)
            && self.session_until(wallet, signer) > U256::from(now.seconds().unsigned_abs())
    }

    /// Until when a wallet lets a key sign, in Unix seconds, as the newest block has it.
    fn session_until(&self, wallet: Address, signer: Address) -> U256 {
        self.word_at(&Slot::Session { wallet, signer }, self.chain.head())
    }

    /// The wallet a key is a session key of now.
    fn session_wallet(&self, signer: Address, now: Timestamp) -> Option<Address> {
        let mut known = self.sessions.keys().filter(|(_, key)| *key == signer);
        known.find(|(wallet, _)| self.is_session_signer(*wallet, signer, now)).map(|(wallet, _)| *wallet)
    }

    /// The owner for whose wallet a session key trades now.
    #[must_use]
    pub fn session_owner(&self, signer: Address, now: Timestamp) -> Option<Address> {
        self.registry.wallet(&self.session_wallet(signer, now)?).map(|wallet| wallet.owner)
    }

    /// The wallet of this type that a key trades for: its owner's, or the one it is a session key of.
    #[must_use]
    pub fn wallet_for(&self, signer: Address, signature_type: u8) -> Option<Address> {
        let session = || self.session_wallet(signer, self.now).filter(|_| signature_type == 3);
        self.registry.wallet_of(signer, signature_type).or_else(session)
    }

    /// Keys that a wallet lets trade now, with their scopes and ends.
    pub fn sessions(
        &self,
        wallet: Address,
        now: Timestamp,
    ) -> impl Iterator<Item = (Address, &[String], i64)> {
        let own = self.sessions.range((wallet, Address([0; 20]))..=(wallet, Address([0xff; 20])));
        own.filter_map(move |((_, signer), scopes)| {
            let until: i64 = self.session_until(wallet, *signer).try_into().ok()?;
            (until > now.seconds()).then_some((*signer, scopes.as_slice(), until))
        })
    }

    /// Whether the venue authorises such a key: scopes there are, and a lifetime of 180 days.
    ///
    /// # Errors
    /// Status 400; the words are not documented.
    pub fn check_session(&self, scopes: &[String], until: u64) -> Result<(), Refusal> {
        let known = scopes.iter().all(|scope| SCOPES.contains(&scope.as_str()));
        if scopes.is_empty() || !known || (scopes.len() > 1 && scopes.iter().any(|scope| scope == ALL)) {
            return Err(Refusal::bad("invalid scopes"));
        }
        let wanted = self.now.plus(SESSION_LIFETIME).seconds().unsigned_abs();
        if until.abs_diff(wanted) > SESSION_TOLERANCE.as_secs() {
            return Err(Refusal::bad("invalid validUntil"));
        }
        Ok(())
    }

    /// Takes a key into the registry.
    pub fn register_session(&mut self, wallet: Address, signer: Address, scopes: Vec<String>) {
        self.sessions.insert((wallet, signer), scopes);
    }

    /// Takes a key out of the registry and cancels what it has open. The chain forgets it later.
    pub fn fence_session(&mut self, wallet: Address, signer: Address) {
        self.sessions.remove(&(wallet, signer));
        let keys: Vec<String> = self.registry.keys_of(signer).map(str::to_owned).collect();
        for key in keys {
            let open: Vec<OrderId> = self.journal.live_of(&key).map(|(id, _)| *id).collect();
            self.cancel_each(open, &key);
        }
    }

    /// Lets a key trade for a deposit wallet until a time (Unix seconds), with the next block; whatever its lifetime.
    ///
    /// # Errors
    /// [`WorldError`] for a wallet that is no deposit wallet or not known.
    pub fn authorise_session(
        &mut self,
        wallet: Address,
        signer: Address,
        until: u64,
        scopes: Vec<String>,
    ) -> Result<(), WorldError> {
        let known = self.registry.wallet(&wallet).ok_or(WorldError::UnknownWallet(wallet))?;
        if known.signature_type != 3 {
            return Err(WorldError::Invalid(format!("wallet {wallet} is no deposit wallet")));
        }
        self.register_session(wallet, signer, scopes);
        let hash = domain::TxHash(self.random());
        let writes = vec![(Slot::Session { wallet, signer }, U256::from(until))];
        self.submit(Tx { writes, ..Tx::new(hash) });
        Ok(())
    }
}
