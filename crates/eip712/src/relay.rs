//! What the owner of a wallet signs for the relayer, per kind of wallet, and the envelope of a session signer.
//!
//! Sources: the official clients (PyPI `polymarket-client` 0.14.0, Polymarket/builder-relayer-client); their
//! signatures are the vectors of the tests.

use alloy_primitives::{hex, keccak256};
use domain::{Address, Hash, RelayPlan, WalletAction, WalletKind};

use crate::{
    actions::{ActionError, Call, call_of},
    exchange::Chain,
    word::{Word, address, digest, hash_struct, number},
};

/// Makes deposit wallets.
pub const DEPOSIT_WALLET_FACTORY: Address = Address(hex!("00000000000fb5c9adea0298d729a0cb3823cc07"));
/// Makes proxy wallets and passes calls on to them.
pub const PROXY_FACTORY: Address = Address(hex!("ab45c5a4b0c941a2f231c04c3f49182e1a254052"));
/// Makes Safes.
pub const SAFE_FACTORY: Address = Address(hex!("aacfeea03eb1561c4e67d661e40682bd20e3541b"));
/// Lets a Safe make several calls in one.
const SAFE_MULTISEND: Address = Address(hex!("a238cbeb142c10ef7ad8442c6d1f9e89e07e7761"));
/// Through which calls of proxy wallets are relayed.
pub const RELAY_HUB: Address = Address(hex!("d216153c06e857cd7f72665e0af1d7d82172f494"));
/// `multiSend(bytes)`.
const MULTI_SEND: [u8; 4] = hex!("8d80ff0a");
/// `proxy((uint8,address,uint256,bytes)[])`.
const PROXY: [u8; 4] = hex!("34ee9791");
const CALL_TYPE: &str = "Call(address target,uint256 value,bytes data)";
const BATCH_TYPE: &str = "Batch(address wallet,uint256 nonce,uint256 deadline,Call[] calls)";
const SAFE_TX_TYPE: &str = "SafeTx(address to,uint256 value,bytes data,uint8 operation,uint256 safeTxGas,uint256 baseGas,uint256 gasPrice,address gasToken,address refundReceiver,uint256 nonce)";
const CREATE_PROXY_TYPE: &str = "CreateProxy(address paymentToken,uint256 payment,address paymentReceiver)";
/// The name in the factory's domain. Source: Polymarket/builder-relayer-client.
const SAFE_FACTORY_NAME: &str = "Polymarket Contract Proxy Factory";
/// What ends the signature of a session signer.
const SESSION_MAGIC: Word = hex!("6492649264926492649264926492649264926492649264926492649264926492");

/// A plan that cannot be relayed.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
pub enum RelayError {
    /// An EOA has no wallet contract.
    #[error("an EOA relays nothing; it sends its own transactions")]
    Eoa,
    /// A session key trades; what moves money or rights is the owner's.
    #[error("a session key relays nothing: the wallet's owner does")]
    Session,
    /// No actions.
    #[error("a relayed transaction without an action")]
    Empty,
    /// One of the actions.
    #[error(transparent)]
    Action(#[from] ActionError),
}

/// A relayed transaction in the form its wallet signs.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Relay {
    /// Calls of a deposit wallet.
    Deposit {
        /// The wallet.
        wallet: Address,
        /// Its nonce.
        nonce: u64,
        /// Unix seconds.
        deadline: u64,
        /// The calls.
        calls: Vec<Call>,
    },
    /// A transaction of a Safe.
    Safe {
        /// The Safe.
        safe: Address,
        /// Its nonce.
        nonce: u64,
        /// The call; several are packed into one.
        call: Call,
        /// Whether it is delegated, as a packed one is.
        delegate: bool,
    },
    /// The making of a Safe.
    NewSafe {
        /// Where it will be.
        safe: Address,
    },
    /// Calls of a proxy wallet.
    Proxy {
        /// The owner.
        from: Address,
        /// Its nonce at the hub.
        nonce: u64,
        /// The call of the factory.
        call: Call,
        /// Most gas.
        gas_limit: u64,
        /// Who relays.
        relay: Address,
    },
}

impl Relay {
    /// The form of a plan.
    ///
    /// # Errors
    /// [`RelayError`].
    pub fn from_plan(plan: &RelayPlan) -> Result<Self, RelayError> {
        let (wallet, nonce) = (plan.account.wallet, plan.nonce);
        if plan.account.kind == WalletKind::Safe && plan.actions == [WalletAction::MakeSafe] {
            return Ok(Self::NewSafe { safe: wallet });
        }
        let calls = plan.actions.iter().map(|action| call_of(wallet, action));
        let calls = calls.collect::<Result<Vec<_>, _>>()?;
        let first = calls.first().ok_or(RelayError::Empty)?;
        Ok(match plan.account.kind {
            WalletKind::Eoa => return Err(RelayError::Eoa),
            WalletKind::Session => return Err(RelayError::Session),
            WalletKind::Deposit => Self::Deposit { wallet, nonce, deadline: plan.deadline, calls },
            WalletKind::Safe if calls.len() == 1 => {
                Self::Safe { safe: wallet, nonce, call: first.clone(), delegate: false }
            }
            WalletKind::Safe => Self::Safe { safe: wallet, nonce, call: multi_send(&calls), delegate: true },
            WalletKind::Proxy => Self::Proxy {
                from: plan.account.signer,
                nonce,
                call: proxied(&calls),
                gas_limit: plan.gas_limit,
                relay: plan.relay,
            },
        })
    }

    /// What the key signs.
    #[must_use]
    pub fn digest(&self, chain: Chain) -> Hash {
        Hash(match self {
            Self::Deposit { wallet, nonce, deadline, calls } => {
                let listed: Vec<Word> = calls.iter().map(call_hash).collect();
                let batch = hash_struct(&[
                    keccak256([BATCH_TYPE, CALL_TYPE].concat()).0,
                    address(*wallet),
                    number(*nonce),
                    number(*deadline),
                    keccak256(listed.as_flattened()).0,
                ]);
                digest(&wallet_domain(*wallet, chain), &batch)
            }
            Self::Safe { safe, nonce, call, delegate } => {
                let transaction = hash_struct(&[
                    keccak256(SAFE_TX_TYPE).0,
                    address(call.to),
                    [0; 32],
                    keccak256(&call.data).0,
                    number(u64::from(*delegate)),
                    [0; 32],
                    [0; 32],
                    [0; 32],
                    [0; 32],
                    [0; 32],
                    number(*nonce),
                ]);
                let domain = hash_struct(&[
                    keccak256("EIP712Domain(uint256 chainId,address verifyingContract)").0,
                    number(chain.id()),
                    address(*safe),
                ]);
                as_text(&digest(&domain, &transaction))
            }
            Self::NewSafe { .. } => {
                let domain = hash_struct(&[
                    keccak256("EIP712Domain(string name,uint256 chainId,address verifyingContract)").0,
                    keccak256(SAFE_FACTORY_NAME).0,
                    number(chain.id()),
                    address(SAFE_FACTORY),
                ]);
                let create = hash_struct(&[keccak256(CREATE_PROXY_TYPE).0, [0; 32], [0; 32], [0; 32]]);
                digest(&domain, &create)
            }
            Self::Proxy { from, nonce, call, gas_limit, relay } => {
                let message = [
                    b"rlx:".as_slice(),
                    &from.0,
                    &call.to.0,
                    &call.data,
                    // Fee and gas price.
                    &[0; 64],
                    &number(*gas_limit),
                    &number(*nonce),
                    &RELAY_HUB.0,
                    &relay.0,
                ];
                as_text(&keccak256(message.concat()).0)
            }
        })
    }

    /// The signature as the wallet takes it: a Safe is told by `v` that a text was signed.
    #[must_use]
    pub fn signature(&self, signature: &[u8; 65]) -> [u8; 65] {
        let mut signature = *signature;
        if let (Self::Safe { .. }, Some(v)) = (self, signature.last_mut()) {
            *v = v.saturating_add(4);
        }
        signature
    }
}

fn call_hash(call: &Call) -> Word {
    hash_struct(&[keccak256(CALL_TYPE).0, address(call.to), [0; 32], keccak256(&call.data).0])
}

fn wallet_domain(wallet: Address, chain: Chain) -> Word {
    hash_struct(&[
        keccak256("EIP712Domain(string name,string version,uint256 chainId,address verifyingContract)").0,
        keccak256("DepositWallet").0,
        keccak256("1").0,
        number(chain.id()),
        address(wallet),
    ])
}

/// A hash signed as wallets sign text.
fn as_text(hash: &Word) -> Word {
    keccak256([b"\x19Ethereum Signed Message:\n32".as_slice(), hash].concat()).0
}

fn length(bytes: &[u8]) -> Word {
    number(u64::try_from(bytes.len()).unwrap_or(u64::MAX))
}

/// `bytes` as the last argument: its length, then itself, filled up to whole words.
fn dynamic(bytes: &[u8]) -> Vec<u8> {
    let filled = bytes.len().div_ceil(32).saturating_mul(32);
    let mut encoded = [&length(bytes), bytes].concat();
    encoded.resize(filled.saturating_add(32), 0);
    encoded
}

fn multi_send(calls: &[Call]) -> Call {
    let pack = |call: &Call| [&[0][..], &call.to.0, &[0; 32], &length(&call.data), &call.data].concat();
    let packed: Vec<u8> = calls.iter().flat_map(pack).collect();
    Call { to: SAFE_MULTISEND, data: [&MULTI_SEND[..], &number(32), &dynamic(&packed)].concat() }
}

fn proxied(calls: &[Call]) -> Call {
    // Each is a tuple: kind 1 (a plain call), contract, no value, its input at byte 128.
    let tuple = |call: &Call| {
        [&number(1)[..], &address(call.to), &[0; 32], &number(128), &dynamic(&call.data)].concat()
    };
    let tuples: Vec<Vec<u8>> = calls.iter().map(tuple).collect();
    let count = u64::try_from(calls.len()).unwrap_or(u64::MAX);
    let mut offset = count.saturating_mul(32);
    let mut data = [&PROXY[..], &number(32), &number(count)].concat();
    for tuple in &tuples {
        data.extend(number(offset));
        offset = offset.saturating_add(u64::try_from(tuple.len()).unwrap_or(u64::MAX));
    }
    data.extend(tuples.concat());
    Call { to: PROXY_FACTORY, data }
}

/// A session signer's signature for a deposit wallet: who signed, no salt, the signature, and a mark.
#[must_use]
pub fn session_envelope(signer: Address, signature: &[u8]) -> Vec<u8> {
    [&address(signer)[..], &[0; 32], &number(96), &dynamic(signature), &SESSION_MAGIC].concat()
}
