//! The relayer: takes what owners of wallets have signed and pays the gas for it. Owns its keys and the journal of
//! what was submitted; what becomes of a transaction is the chain's.
//!
//! Sources: docs.polymarket.com/api-spec/relayer-openapi.yaml; texts of refusals as the official client reads them.

use std::collections::BTreeMap;

use alloy_primitives::U256;
use domain::{Address, Timestamp, TxHash};

use super::{
    Refusal, World,
    calls::{Call, Effects},
    chain::{Fate, Tx},
    contract_state::Slot,
    faults::{Fault, FaultKind},
    registry::{Standing, Wallet},
    wallets::{deposit_wallet_of, proxy_of, safe_of},
};
use crate::{
    relay_signing::{self, Relayed},
    signing::uuid_text,
};

/// How long a transaction of the kind that is slow waits, in blocks, unless told.
pub(super) const SLOW_BLOCKS: u64 = 3;

/// Kinds of what can be relayed.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum RelayKind {
    /// Calls of a deposit wallet.
    Wallet,
    /// A new deposit wallet.
    WalletCreate,
    /// A transaction of a Safe.
    Safe,
    /// A new Safe.
    SafeCreate,
    /// Calls of a proxy wallet.
    Proxy,
}

impl RelayKind {
    /// All of them.
    pub const ALL: [Self; 5] = [Self::Wallet, Self::WalletCreate, Self::Safe, Self::SafeCreate, Self::Proxy];

    /// Name on the wire.
    #[must_use]
    pub const fn name(self) -> &'static str {
        match self {
            Self::Wallet => "WALLET",
            Self::WalletCreate => "WALLET-CREATE",
            Self::Safe => "SAFE",
            Self::SafeCreate => "SAFE-CREATE",
            Self::Proxy => "PROXY",
        }
    }

    /// Signature type of the wallet.
    #[must_use]
    pub const fn wallet_type(self) -> u8 {
        match self {
            Self::Proxy => 1,
            Self::Safe | Self::SafeCreate => 2,
            Self::Wallet | Self::WalletCreate => 3,
        }
    }
}

/// What was submitted, decoded.
#[derive(Clone, Debug)]
pub struct Submitted {
    /// Kind.
    pub kind: RelayKind,
    /// Who asks: the owner, or a session signer.
    pub from: Address,
    /// Whose calls, where the request says so.
    pub wallet: Option<Address>,
    /// As signed.
    pub nonce: u64,
    /// Unix seconds until which a deposit wallet's batch may be executed.
    pub deadline: u64,
    /// The calls of a deposit wallet, or the one of a Safe or the proxy factory.
    pub calls: Vec<Call>,
    /// Whether a Safe delegates.
    pub delegate: bool,
    /// Most gas of a proxy's call.
    pub gas_limit: u64,
    /// Who relays a proxy's call.
    pub relay: Address,
    /// Signature.
    pub signature: Vec<u8>,
}

/// What the relayer remembers of a submission.
#[derive(Clone, Debug)]
pub struct RelayRecord {
    /// Id.
    pub id: String,
    /// Kind.
    pub kind: RelayKind,
    /// Owner.
    pub owner: Address,
    /// Wallet.
    pub wallet: Address,
    /// Nonce it used, if it uses one.
    pub nonce: Option<u64>,
    /// Its transaction; none if it was not sent.
    pub tx: Option<TxHash>,
    /// Why it failed before it was sent.
    pub failed: Option<String>,
    /// When.
    pub submitted_at: Timestamp,
    /// Signature.
    pub signature: Vec<u8>,
}

/// Where a submission is.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum RelayState {
    /// Sent, not mined.
    Executed,
    /// In a block.
    Mined,
    /// In a final block.
    Confirmed,
    /// Undone, or never sent.
    Failed,
}

impl RelayState {
    /// Name on the wire.
    #[must_use]
    pub const fn name(self) -> &'static str {
        match self {
            Self::Executed => "STATE_EXECUTED",
            Self::Mined => "STATE_MINED",
            Self::Confirmed => "STATE_CONFIRMED",
            Self::Failed => "STATE_FAILED",
        }
    }
}

/// Keys and journal.
#[derive(Debug, Default)]
pub struct Relayer {
    keys: BTreeMap<String, Address>,
    builders: BTreeMap<String, (String, String)>,
    records: Vec<RelayRecord>,
}

impl Relayer {
    /// Whether this is a relayer key of this address.
    #[must_use]
    pub fn knows(&self, key: &str, address: Address) -> bool {
        self.keys.get(key) == Some(&address)
    }

    /// Secret and passphrase of a builder key.
    #[must_use]
    pub fn builder(&self, key: &str) -> Option<&(String, String)> {
        self.builders.get(key)
    }

    /// Everything submitted, oldest first.
    #[must_use]
    pub fn records(&self) -> &[RelayRecord] {
        &self.records
    }
}

impl World {
    /// The relayer.
    #[must_use]
    pub const fn relayer(&self) -> &Relayer {
        &self.relayer
    }

    /// Makes a relayer key known.
    pub fn add_relayer_key(&mut self, key: String, address: Address) {
        self.relayer.keys.insert(key, address);
    }

    /// Makes a builder key known.
    pub fn add_builder_key(&mut self, key: String, secret: String, passphrase: String) {
        self.relayer.builders.insert(key, (secret, passphrase));
    }

    /// Takes a builder key back.
    pub fn forget_builder_key(&mut self, key: &str) {
        self.relayer.builders.remove(key);
    }

    /// The wallet of this type of an EOA: the registered one, or where it would be.
    #[must_use]
    pub fn wallet_address(&self, owner: Address, wallet_type: u8) -> Address {
        self.registry.wallet_of(owner, wallet_type).unwrap_or_else(|| match wallet_type {
            1 => proxy_of(owner),
            2 => safe_of(owner),
            3 => deposit_wallet_of(owner),
            _ => owner,
        })
    }

    /// The next nonce for what an EOA relays, as the chain has it.
    #[must_use]
    pub fn relay_nonce(&self, eoa: Address, kind: RelayKind) -> u64 {
        let slot = match kind {
            RelayKind::Proxy => Slot::RelayNonce(eoa),
            _ => Slot::Nonce(self.wallet_address(eoa, kind.wallet_type())),
        };
        self.word_at(&slot, self.chain.head()).saturating_to()
    }

    /// Where a submission is.
    #[must_use]
    pub fn relay_state(&self, record: &RelayRecord) -> RelayState {
        let Some(tx) = record.tx.filter(|_| record.failed.is_none()) else { return RelayState::Failed };
        match self.chain.tx(&tx) {
            Some((block, index)) if block.txs.get(index).is_none_or(|tx| tx.reverted) => RelayState::Failed,
            Some((block, _)) if block.number <= self.finalized() => RelayState::Confirmed,
            Some(_) => RelayState::Mined,
            None if self.chain.knows(&tx) => RelayState::Executed,
            // Thrown out: what it moves is no longer there.
            None => RelayState::Failed,
        }
    }

    /// Takes a submission, and sends it with the next block unless its simulation fails.
    ///
    /// # Errors
    /// Status 400 with the relayer's text.
    pub fn relay(&mut self, submitted: &Submitted, fault: Option<Fault>) -> Result<RelayRecord, Refusal> {
        let (owner, wallet) = self.authorised(submitted)?;
        self.check_nonce(submitted, wallet)?;
        let outcome = match fault.map(|fault| fault.kind) {
            Some(FaultKind::Failed) => Err("execution reverted".to_owned()),
            _ => self.relayed_effects(submitted, owner, wallet),
        };
        let id = uuid_text(&self.random());
        let uses_nonce = !matches!(submitted.kind, RelayKind::WalletCreate | RelayKind::SafeCreate);
        let mut record = RelayRecord {
            id,
            kind: submitted.kind,
            owner,
            wallet,
            nonce: uses_nonce.then_some(submitted.nonce),
            tx: None,
            failed: None,
            submitted_at: self.now,
            signature: submitted.signature.clone(),
        };
        match outcome {
            Ok(effects) => {
                let hash = TxHash(self.random());
                let wait =
                    |fault: Fault| Fate::Wait(if fault.depth == 0 { SLOW_BLOCKS } else { fault.depth });
                let slow = fault.filter(|fault| fault.kind == FaultKind::SlowTransaction);
                self.submit(Tx { fate: slow.map_or(Fate::Mine, wait), ..effects.into_tx(hash) });
                record.tx = Some(hash);
            }
            Err(reason) => record.failed = Some(reason),
        }
        self.relayer.records.push(record.clone());
        Ok(record)
    }

    /// Owner and wallet of a submission whose signature is in order.
    fn authorised(&self, submitted: &Submitted) -> Result<(Address, Address), Refusal> {
        let invalid = || Refusal::bad("invalid signature");
        let wallet_type = submitted.kind.wallet_type();
        let named = submitted.wallet.and_then(|wallet| self.registry.wallet(&wallet));
        let owner = match submitted.kind {
            // A session signer speaks for the wallet's owner.
            RelayKind::Wallet => named.map_or(submitted.from, |wallet| wallet.owner),
            _ => submitted.from,
        };
        let wallet = self.wallet_address(owner, wallet_type);
        if submitted.wallet.is_some_and(|named| named != wallet) {
            return Err(Refusal::bad(format!("{wallet} is the wallet of {owner}, not the one named")));
        }
        if !self.knobs.verify_signatures {
            return Ok((owner, wallet));
        }
        let first = submitted.calls.first();
        let signer = match submitted.kind {
            RelayKind::WalletCreate => Some(owner),
            RelayKind::SafeCreate => relay_signing::safe_creator(&submitted.signature),
            RelayKind::Wallet => return self.batch_authorised(submitted, owner, wallet),
            RelayKind::Safe => first.and_then(|call| {
                let call = (call, submitted.delegate);
                relay_signing::safe_signer(wallet, submitted.nonce, call, &submitted.signature)
            }),
            RelayKind::Proxy => first.and_then(|call| {
                let relayed = Relayed {
                    from: owner,
                    to: call.to,
                    data: &call.data,
                    gas_limit: submitted.gas_limit,
                    nonce: submitted.nonce,
                    relay: submitted.relay,
                };
                relayed.signer(&submitted.signature)
            }),
        };
        if signer == Some(owner) { Ok((owner, wallet)) } else { Err(invalid()) }
    }

    fn batch_authorised(
        &self,
        submitted: &Submitted,
        owner: Address,
        wallet: Address,
    ) -> Result<(Address, Address), Refusal> {
        let Submitted { nonce, deadline, calls, signature, .. } = submitted;
        let signed =
            |signature: &[u8]| relay_signing::batch_signer(wallet, *nonce, *deadline, calls, signature);
        let good = match relay_signing::session(signature) {
            // Session signers trade; what moves money or rights is the owner's.
            Some((signer, _)) if self.is_session_signer(wallet, signer, self.now) => {
                return Err(Refusal::bad("session signers may not relay transactions"));
            }
            Some(_) => false,
            None => signed(signature) == Some(owner),
        };
        if !good {
            return Err(Refusal::bad("invalid signature"));
        }
        if *deadline < self.now.seconds().unsigned_abs() {
            return Err(Refusal::bad("batch deadline expired"));
        }
        Ok((owner, wallet))
    }

    /// One transaction of a wallet at a time, in the order of its nonces.
    fn check_nonce(&self, submitted: &Submitted, wallet: Address) -> Result<(), Refusal> {
        let active = |record: &&RelayRecord| {
            record.wallet == wallet && self.relay_state(record) == RelayState::Executed
        };
        if let Some(active) = self.relayer.records.iter().rev().find(active) {
            return Err(Refusal::bad(format!("wallet busy: active action {}", active.id)));
        }
        if matches!(submitted.kind, RelayKind::WalletCreate | RelayKind::SafeCreate) {
            if self.is_deployed(wallet) {
                return Err(Refusal::bad(format!("wallet {wallet} is already deployed")));
            }
            return Ok(());
        }
        let next = self.relay_nonce(submitted.from, submitted.kind);
        if submitted.nonce != next {
            let nonce = submitted.nonce;
            return Err(Refusal::bad(format!("batch nonce {nonce} does not match on-chain nonce {next}")));
        }
        Ok(())
    }

    /// What a submission does on the chain.
    fn relayed_effects(
        &mut self,
        submitted: &Submitted,
        owner: Address,
        wallet: Address,
    ) -> Result<Effects, String> {
        let creates = matches!(submitted.kind, RelayKind::WalletCreate | RelayKind::SafeCreate);
        // Proxy wallets are made by their first call.
        let first_use = submitted.kind == RelayKind::Proxy && !self.is_deployed(wallet);
        if creates || first_use {
            self.register_wallet(owner, wallet, submitted.kind.wallet_type())?;
        } else if !self.is_deployed(wallet) {
            return Err(format!("wallet {wallet} is not deployed"));
        }
        let mut effects =
            if creates { Effects::default() } else { self.run_calls(wallet, &inner_calls(submitted)?)? };
        if creates || first_use {
            effects.writes.push((Slot::Code(wallet), U256::from(1)));
        }
        if !creates {
            let slot = if submitted.kind == RelayKind::Proxy {
                Slot::RelayNonce(owner)
            } else {
                Slot::Nonce(wallet)
            };
            effects.writes.push((slot, U256::from(submitted.nonce.saturating_add(1))));
        }
        Ok(effects)
    }

    /// The venue knows the wallet from now on; its code is there with the next block.
    fn register_wallet(&mut self, owner: Address, address: Address, kind: u8) -> Result<(), String> {
        if self.registry.wallet(&address).is_some() {
            return Ok(());
        }
        let standing = Standing::Good;
        let wallet = Wallet { address, owner, signature_type: kind, approved: false, standing };
        self.registry.add_wallet(wallet).map_err(|error| error.to_string())
    }
}

/// The calls the wallet itself makes.
fn inner_calls(submitted: &Submitted) -> Result<Vec<Call>, String> {
    let first = || submitted.calls.first().ok_or_else(|| "no calls".to_owned());
    match submitted.kind {
        RelayKind::Safe => relay_signing::safe_calls(first()?, submitted.delegate),
        RelayKind::Proxy => relay_signing::proxy_calls(&first()?.data),
        _ => Ok(submitted.calls.clone()),
    }
}
