//! Verifies what clients sign: orders, logins and requests. Hashing and recovery of its own, so that a
//! mistake of the client's code cannot cancel itself out. Never signs.

use alloy_primitives::{Address as EvmAddress, B256, U256, keccak256};
use alloy_sol_types::{Eip712Domain, SolStruct, eip712_domain, sol};
use base64::{Engine as _, engine::general_purpose::URL_SAFE};
use domain::{Address, OrderId, Side, TokenId};
use hmac::{Hmac, KeyInit as _, Mac as _};
use secp256k1::{Message, ecdsa::RecoverableSignature, ecdsa::RecoveryId};
use sha2::Sha256;

use crate::contracts::{CHAIN_ID, Exchange};

sol! {
    /// The order of V2 and V3 exchanges, as signed.
    struct Order {
        uint256 salt;
        address maker;
        address signer;
        uint256 tokenId;
        uint256 makerAmount;
        uint256 takerAmount;
        uint8 side;
        uint8 signatureType;
        uint256 timestamp;
        bytes32 metadata;
        bytes32 builder;
    }

    /// ERC-7739 envelope by which the owner of a deposit wallet signs an order.
    struct TypedDataSign {
        Order contents;
        string name;
        string version;
        uint256 chainId;
        address verifyingContract;
        bytes32 salt;
    }

    /// The login message of L1 authentication.
    struct ClobAuth {
        address address;
        string timestamp;
        uint256 nonce;
        string message;
    }
}

/// What a client attests with an L1 signature.
const LOGIN_MESSAGE: &str = "This message attests that I control the given wallet";
/// Lengths of the parts of an ERC-7739 signature: inner signature, domain separator, contents hash.
const INNER: usize = 65;
const WORD: usize = 32;

/// An order as it was signed. Amounts in millionths.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct SignedFields {
    /// Random number of the client.
    pub salt: u64,
    /// Wallet that gives and gets.
    pub maker: Address,
    /// Who signs for it.
    pub signer: Address,
    /// Outcome token.
    pub token: TokenId,
    /// What the maker gives: dollars of a buy, shares of a sell.
    pub maker_amount: i64,
    /// What the maker gets.
    pub taker_amount: i64,
    /// Side.
    pub side: Side,
    /// 0 EOA, 1 proxy, 2 Safe, 3 deposit wallet.
    pub signature_type: u8,
    /// Creation, in Unix milliseconds.
    pub timestamp_ms: u64,
    /// Free 32 bytes.
    pub metadata: [u8; 32],
    /// Builder code.
    pub builder: [u8; 32],
}

impl SignedFields {
    fn to_sol(self) -> Order {
        Order {
            salt: U256::from(self.salt),
            maker: EvmAddress::from(self.maker.0),
            signer: EvmAddress::from(self.signer.0),
            tokenId: U256::from_be_bytes(self.token.0),
            makerAmount: U256::from(self.maker_amount.unsigned_abs()),
            takerAmount: U256::from(self.taker_amount.unsigned_abs()),
            side: side_code(self.side),
            signatureType: self.signature_type,
            timestamp: U256::from(self.timestamp_ms),
            metadata: B256::from(self.metadata),
            builder: B256::from(self.builder),
        }
    }

    /// The order id: the EIP-712 hash of the plain order under the exchange's domain.
    #[must_use]
    pub fn id(&self, exchange: Exchange) -> OrderId {
        OrderId(self.to_sol().eip712_signing_hash(&exchange_domain(exchange)).0)
    }

    /// Whether `signature` is the one of `owner` over this order for this exchange.
    #[must_use]
    pub fn is_signed_by(&self, owner: Address, exchange: Exchange, signature: &[u8]) -> bool {
        let digest = if self.signature_type == 3 {
            self.wrapped_digest(exchange, signature)
        } else {
            Some(self.id(exchange).0)
        };
        let inner = if self.signature_type == 3 { signature.get(..INNER) } else { Some(signature) };
        match (digest, inner) {
            (Some(digest), Some(inner)) => recover(&digest, inner) == Some(owner),
            _ => false,
        }
    }

    /// The digest the inner signature of an ERC-7739 blob must cover, if the blob's tail is about this
    /// order: 65 bytes signature, domain separator, contents hash, contents type, length of the type.
    fn wrapped_digest(&self, exchange: Exchange, blob: &[u8]) -> Option<[u8; 32]> {
        let order = self.to_sol();
        let domain = exchange_domain(exchange);
        let description = Order::eip712_encode_type();
        let mut tail = domain.separator().to_vec();
        tail.extend_from_slice(order.eip712_hash_struct().as_slice());
        tail.extend_from_slice(description.as_bytes());
        tail.extend_from_slice(&u16::try_from(description.len()).ok()?.to_be_bytes());
        if blob.get(INNER..)? != tail.as_slice() || tail.len() < 2 * WORD {
            return None;
        }
        let envelope = TypedDataSign {
            contents: order,
            name: "DepositWallet".to_owned(),
            version: "1".to_owned(),
            chainId: U256::from(CHAIN_ID),
            verifyingContract: EvmAddress::from(self.maker.0),
            salt: B256::ZERO,
        };
        Some(envelope.eip712_signing_hash(&domain).0)
    }
}

const fn side_code(side: Side) -> u8 {
    match side {
        Side::Buy => 0,
        Side::Sell => 1,
    }
}

fn exchange_domain(exchange: Exchange) -> Eip712Domain {
    eip712_domain! {
        name: "Polymarket CTF Exchange",
        version: exchange.domain_version(),
        chain_id: CHAIN_ID,
        verifying_contract: EvmAddress::from(exchange.address().0),
    }
}

/// Whether `signature` is an L1 login of `address` on chain `chain_id`.
#[must_use]
pub fn is_login(address: Address, timestamp: &str, nonce: u64, chain_id: u64, signature: &[u8]) -> bool {
    let domain = eip712_domain! { name: "ClobAuthDomain", version: "1", chain_id: chain_id, };
    let login = ClobAuth {
        address: EvmAddress::from(address.0),
        timestamp: timestamp.to_owned(),
        nonce: U256::from(nonce),
        message: LOGIN_MESSAGE.to_owned(),
    };
    recover(&login.eip712_signing_hash(&domain).0, signature) == Some(address)
}

/// The L2 signature of a request: HMAC-SHA256 over timestamp, method, path without query and body.
/// `None` when the secret is not base64.
#[must_use]
pub fn request_signature(
    secret: &str,
    timestamp: &str,
    method: &str,
    path: &str,
    body: &[u8],
) -> Option<String> {
    let key = URL_SAFE.decode(secret).ok()?;
    let mut mac = Hmac::<Sha256>::new_from_slice(&key).ok()?;
    for part in [timestamp.as_bytes(), method.as_bytes(), path.as_bytes(), body] {
        mac.update(part);
    }
    Some(URL_SAFE.encode(mac.finalize().into_bytes()))
}

/// Keccak-256 of the world's seed and these parts: for keys and ids that must look random.
#[must_use]
pub fn derive(seed: u64, parts: &[&[u8]]) -> [u8; 32] {
    let mut input = seed.to_be_bytes().to_vec();
    for part in parts {
        input.extend_from_slice(&u64::try_from(part.len()).unwrap_or(u64::MAX).to_be_bytes());
        input.extend_from_slice(part);
    }
    keccak256(input).0
}

/// 16 of the bytes as the text of a version 4 UUID.
#[must_use]
pub fn uuid_text(bytes: &[u8; 32]) -> String {
    let mut text = String::with_capacity(36);
    for (index, byte) in bytes.iter().take(16).enumerate() {
        if matches!(index, 4 | 6 | 8 | 10) {
            text.push('-');
        }
        let byte = match index {
            6 => (byte & 0x0f) | 0x40,
            8 => (byte & 0x3f) | 0x80,
            _ => *byte,
        };
        text.push_str(&hex::encode([byte]));
    }
    text
}

/// The address whose key made this `r || s || v` signature over the digest.
#[must_use]
pub fn recover(digest: &[u8; 32], signature: &[u8]) -> Option<Address> {
    let (compact, v) = signature.split_at_checked(64)?;
    let [v] = v else { return None };
    let id = match v {
        0 | 27 => RecoveryId::Zero,
        1 | 28 => RecoveryId::One,
        _ => return None,
    };
    let signature = RecoverableSignature::from_compact(compact, id).ok()?;
    let key = secp256k1::SECP256K1.recover_ecdsa(Message::from_digest(*digest), &signature).ok()?;
    let hash = keccak256(key.serialize_uncompressed().get(1..)?);
    Address::from_slice(hash.get(12..)?).ok()
}
