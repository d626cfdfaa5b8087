//! An order before it is signed: everything that goes into its hash.

use std::fmt;

use serde::{Deserialize, Serialize};

use crate::{
    clock::Timestamp,
    ids::{AccountId, Address, Hash, TokenId},
    money::{OrderAmounts, Side},
};

/// How an account's wallet holds money, the venue's "signature type".
/// Source: `SignatureType` of the official clients.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum WalletKind {
    /// The key's own address holds the money (type 0).
    Eoa,
    /// Polymarket proxy wallet (type 1).
    Proxy,
    /// Gnosis Safe (type 2).
    Safe,
    /// Deposit wallet, checked on chain by ERC-1271 (type 3).
    Deposit,
    /// Deposit wallet for which another key than its owner's signs, as long as the owner lets it: a session key,
    /// which trades and moves nothing (type 3). Source: docs.polymarket.com/trading/session-keys.
    Session,
}

impl WalletKind {
    /// All kinds; the position is the number stored.
    pub const ALL: [Self; 5] = [Self::Eoa, Self::Proxy, Self::Safe, Self::Deposit, Self::Session];

    /// The number in the order struct.
    #[must_use]
    pub const fn signature_type(self) -> u8 {
        match self {
            Self::Eoa => 0,
            Self::Proxy => 1,
            Self::Safe => 2,
            Self::Deposit | Self::Session => 3,
        }
    }

    /// The kind with this number; the owner's of the two that share one.
    #[must_use]
    pub fn from_signature_type(number: u8) -> Option<Self> {
        Self::ALL.into_iter().find(|kind| kind.signature_type() == number)
    }
}

/// Names a key inside the signer; says nothing about the key.
#[derive(Clone, Debug, PartialEq, Eq, Hash, Serialize, Deserialize)]
#[serde(transparent)]
pub struct KeyRef(pub String);

impl fmt::Display for KeyRef {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(&self.0)
    }
}

/// What is needed to trade for an account.
#[derive(Clone, Debug, PartialEq, Eq, Hash, Serialize, Deserialize)]
pub struct TradingAccount {
    /// The account.
    pub id: AccountId,
    /// The wallet that holds the money (the order's maker).
    pub wallet: Address,
    /// The address of the signing key.
    pub signer: Address,
    /// How the wallet checks signatures.
    pub kind: WalletKind,
    /// The signer's name of the key.
    pub key: KeyRef,
}

/// What becomes of what an order does not match at once. Travels beside the order; it is not signed.
/// Source: docs.polymarket.com/developers/CLOB/orders (order types).
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Hash, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum OrderType {
    /// It is killed (FAK).
    #[default]
    FillAndKill,
    /// All of it matches at once, or the whole order is killed (FOK).
    FillOrKill,
    /// It rests until it is cancelled (GTC).
    GoodTillCancelled {
        /// It is refused rather than matched at once.
        post_only: bool,
    },
    /// It rests until a date (GTD).
    GoodTillDate {
        /// It is refused rather than matched at once.
        post_only: bool,
        /// The date on the wire. The venue ends the order a minute before it.
        expires_at: Timestamp,
    },
}

impl OrderType {
    /// Whether the order may rest on the book.
    #[must_use]
    pub const fn rests(self) -> bool {
        matches!(self, Self::GoodTillCancelled { .. } | Self::GoodTillDate { .. })
    }
}

/// The types an entry may have: those of which nothing rests.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Hash, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum MarketOrderType {
    /// Buys what is there.
    #[default]
    FillAndKill,
    /// Buys all of it or nothing.
    FillOrKill,
}

impl MarketOrderType {
    /// Both; the position is the number stored.
    pub const ALL: [Self; 2] = [Self::FillAndKill, Self::FillOrKill];
}

impl From<MarketOrderType> for OrderType {
    fn from(kind: MarketOrderType) -> Self {
        match kind {
            MarketOrderType::FillAndKill => Self::FillAndKill,
            MarketOrderType::FillOrKill => Self::FillOrKill,
        }
    }
}

/// An order that is decided in every bit but not signed. Equal plans have equal order ids.
#[derive(Clone, Debug, PartialEq, Eq, Hash, Serialize, Deserialize)]
pub struct OrderPlan {
    /// Below 2^53, because the venue reads it as a JSON number.
    pub salt: u64,
    /// Who trades.
    pub account: TradingAccount,
    /// What is traded.
    pub token: TokenId,
    /// Buy or sell.
    pub side: Side,
    /// The two amounts.
    pub amounts: OrderAmounts,
    /// Creation time; hashed in milliseconds.
    pub timestamp: Timestamp,
    /// Whether the market is traded on the negative-risk exchange.
    pub negative_risk: bool,
    /// What becomes of what does not match at once; not part of the id.
    pub order_type: OrderType,
    /// Whether the venue may answer before it has executed; not part of the id.
    pub defer: bool,
    /// The builder code, which names the program that an order comes from; zero for none.
    pub builder: Hash,
}

impl OrderPlan {
    /// The `signer` field of the order: the wallet itself for deposit wallets (also with a session key), else the
    /// key's address.
    /// Source: the official clients' order builders.
    #[must_use]
    pub fn signer_field(&self) -> Address {
        match self.account.kind {
            WalletKind::Deposit | WalletKind::Session => self.account.wallet,
            _ => self.account.signer,
        }
    }
}
