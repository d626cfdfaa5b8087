//! Who and what the venue knows: wallets, markets, API keys.

use std::collections::BTreeMap;

use domain::{Address, ConditionId, Price, Shares, Side, TickSize, Timestamp, TokenId, money::ONE};
use serde::{Deserialize, Serialize};

use super::{Refusal, WorldError, fees::FeeSchedule};
use crate::{
    contracts::Exchange,
    signing::{SignedFields, derive, uuid_text},
    wire::decimal,
};

/// Largest exponent of a fee schedule; the venue uses 1 and 2.
const MAX_FEE_EXPONENT: u32 = 8;

/// A trading wallet.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Wallet {
    /// Address that holds money and shares.
    pub address: Address,
    /// EOA that signs for it; the same for type 0.
    pub owner: Address,
    /// 0 EOA, 1 proxy, 2 Safe, 3 deposit wallet.
    pub signature_type: u8,
    /// Whether it is added with every approval given. What the chain says counts afterwards.
    #[serde(default = "yes")]
    pub approved: bool,
    /// What the venue thinks of it.
    #[serde(default)]
    pub standing: Standing,
}

const fn yes() -> bool {
    true
}

/// What a wallet may do.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum Standing {
    /// Everything.
    #[default]
    Good,
    /// Sell only.
    ClosedOnly,
    /// Nothing.
    Banned,
    /// Nothing, because it should have used a deposit wallet.
    NotAllowed,
}

impl Wallet {
    /// Whether an order of this wallet has the right maker and signer, and comes from its owner, or `by_session`: from a
    /// key that its owner lets trade.
    ///
    /// # Errors
    /// [`Refusal`] with the venue's text.
    pub fn allows(&self, order: &SignedFields, sender: Address, by_session: bool) -> Result<(), Refusal> {
        // Who signs for itself has the key. Source: docs.polymarket.com/resources/error-codes.
        let foreign = || Refusal::bad("the order signer address has to be the address of the API KEY");
        if self.signature_type != 3 && order.signer != sender && !by_session {
            return Err(foreign());
        }
        let signer = if self.signature_type == 3 { self.address } else { self.owner };
        if order.signature_type != self.signature_type || order.signer != signer {
            return Err(Refusal::bad("invalid signature"));
        }
        if self.owner != sender && !by_session {
            return Err(foreign());
        }
        let address = self.address;
        match self.standing {
            Standing::Good => Ok(()),
            Standing::ClosedOnly if order.side == Side::Sell => Ok(()),
            Standing::ClosedOnly => Err(Refusal::bad(format!("'{address}' address in closed only mode"))),
            Standing::Banned => Err(Refusal::bad(format!("'{address}' address banned"))),
            Standing::NotAllowed => {
                Err(Refusal::bad("maker address not allowed, please use the deposit wallet flow"))
            }
        }
    }
}

/// A market as control adds it.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct MarketSpec {
    /// Condition id: 32 bytes, or 31 in the V3 era.
    pub condition: ConditionId,
    /// Outcome tokens. Their ids say which era the market is of.
    pub tokens: [TokenId; 2],
    /// Names of the outcomes.
    #[serde(default = "yes_no")]
    pub outcomes: [String; 2],
    /// Smallest price step.
    #[serde(with = "decimal")]
    pub tick: Price,
    /// Smallest order in shares.
    #[serde(with = "decimal")]
    pub min_size: Shares,
    /// Settled by the neg-risk exchange (V2 era only).
    #[serde(default)]
    pub neg_risk: bool,
    /// Taker fee.
    #[serde(default)]
    pub fee: FeeSchedule,
    /// Question.
    #[serde(default)]
    pub title: String,
    /// Market slug.
    #[serde(default)]
    pub slug: String,
    /// Event slug.
    #[serde(default)]
    pub event_slug: String,
    /// End, ISO 8601.
    #[serde(default)]
    pub end_date: String,
}

impl MarketSpec {
    /// The market's number at Gamma.
    #[must_use]
    pub fn id(&self) -> u32 {
        number(&[b"market", self.condition.as_slice()])
    }

    /// The number of its event at Gamma: markets with one event slug share an event.
    #[must_use]
    pub fn event_id(&self) -> u32 {
        let own = self.condition.as_slice();
        number(&[b"event", if self.event_slug.is_empty() { own } else { self.event_slug.as_bytes() }])
    }
}

/// A positive number below 2^31 that goes with these parts.
fn number(parts: &[&[u8]]) -> u32 {
    let made = derive(0, parts);
    let bytes = made.first_chunk().copied().unwrap_or_default();
    (u32::from_be_bytes(bytes) >> 1).max(1)
}

fn yes_no() -> [String; 2] {
    ["Yes".to_owned(), "No".to_owned()]
}

/// A market's life.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize)]
#[serde(rename_all = "snake_case")]
pub enum MarketState {
    /// Trading.
    Open,
    /// Not (yet) accepting orders.
    Paused,
    /// Over, not resolved.
    Closed,
    /// Resolved: dollars per share of each outcome.
    Resolved([Price; 2]),
}

/// What is special about a market's orders. By default nothing.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(default, deny_unknown_fields)]
pub struct Terms {
    /// Takers are answered `delayed` and matched this many seconds later.
    pub seconds_delay: u32,
    /// Takers are held this long before they are processed and answered (`itode` markets: 250).
    pub taker_hold_ms: u64,
    /// Whether the house's levels of one outcome also meet orders for the other one.
    pub house_complements: bool,
    /// Whether the market is listed by the sampling endpoints.
    pub sampled: bool,
}

/// Fees of a builder, in basis points of the dollars of a trade. Takers pay them.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct BuilderFees {
    /// Of makers' orders. Told to clients and not charged: nothing is documented of how.
    pub maker_bps: u32,
    /// Of takers' orders.
    pub taker_bps: u32,
    /// Who receives them.
    pub receiver: Address,
}

/// A market.
#[derive(Clone, Debug)]
pub struct Market {
    /// As it was added, with the tick as it is now.
    pub spec: MarketSpec,
    /// Tick size.
    pub tick: TickSize,
    /// What is special about it.
    pub terms: Terms,
    /// State.
    pub state: MarketState,
    /// When it was resolved.
    pub resolved_at: Option<Timestamp>,
}

/// What a wallet's owner shows of himself.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(default, deny_unknown_fields)]
pub struct Profile {
    /// User name.
    pub name: String,
    /// Name the venue made up.
    pub pseudonym: String,
    /// About.
    pub bio: String,
    /// Name at X.
    pub x_username: String,
    /// Whether the venue vouches for it.
    pub verified: bool,
    /// Unix seconds of the first visit.
    pub created_at: i64,
}

impl Market {
    /// Which outcome a token is.
    #[must_use]
    pub fn outcome_index(&self, token: &TokenId) -> usize {
        usize::from(self.spec.tokens.first() != Some(token))
    }

    /// Name of a token's outcome.
    #[must_use]
    pub fn outcome(&self, token: &TokenId) -> &str {
        self.spec.outcomes.get(self.outcome_index(token)).map_or("", String::as_str)
    }

    /// The market's other token.
    #[must_use]
    pub fn other_token(&self, token: &TokenId) -> TokenId {
        let [first, second] = self.spec.tokens;
        if first == *token { second } else { first }
    }

    /// The exchange that settles this market.
    #[must_use]
    pub fn exchange(&self) -> Exchange {
        let [first, _] = &self.spec.tokens;
        Exchange::of(first, self.spec.neg_risk)
    }
}

/// Credentials of an API key.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct ApiKey {
    /// Key (UUID).
    pub key: String,
    /// Secret, base64.
    pub secret: String,
    /// Passphrase.
    pub passphrase: String,
    /// The signer it belongs to.
    pub address: Address,
}

/// Wallets, markets and keys.
#[derive(Debug, Default)]
pub struct Registry {
    wallets: BTreeMap<Address, Wallet>,
    by_owner: BTreeMap<(Address, u8), Address>,
    markets: BTreeMap<ConditionId, Market>,
    tokens: BTreeMap<TokenId, ConditionId>,
    profiles: BTreeMap<Address, Profile>,
    keys: BTreeMap<String, ApiKey>,
    key_names: BTreeMap<(Address, u64), String>,
    /// How often the key of a signer and nonce was deleted.
    generations: BTreeMap<(Address, u64), u64>,
    builders: BTreeMap<[u8; 32], BuilderFees>,
}

impl Registry {
    /// Adds or replaces a wallet.
    ///
    /// # Errors
    /// [`WorldError::Invalid`] for a signature type above 3 or an EOA wallet with another owner.
    pub fn add_wallet(&mut self, wallet: Wallet) -> Result<(), WorldError> {
        if wallet.signature_type > 3 || (wallet.signature_type == 0 && wallet.owner != wallet.address) {
            return Err(WorldError::Invalid(format!(
                "wallet {}: signature type is 0 to 3, and a wallet of type 0 is its own owner",
                wallet.address
            )));
        }
        self.by_owner.insert((wallet.owner, wallet.signature_type), wallet.address);
        self.wallets.insert(wallet.address, wallet);
        Ok(())
    }

    /// A wallet.
    #[must_use]
    pub fn wallet(&self, address: &Address) -> Option<&Wallet> {
        self.wallets.get(address)
    }

    /// A wallet, to change it.
    pub fn wallet_mut(&mut self, address: &Address) -> Option<&mut Wallet> {
        self.wallets.get_mut(address)
    }

    /// The wallet of this type that an EOA signs for.
    #[must_use]
    pub fn wallet_of(&self, owner: Address, signature_type: u8) -> Option<Address> {
        self.by_owner.get(&(owner, signature_type)).copied()
    }

    /// Sets what a wallet's owner shows.
    pub fn set_profile(&mut self, wallet: Address, profile: Profile) {
        self.profiles.insert(wallet, profile);
    }

    /// All profiles, by wallet.
    pub fn profiles(&self) -> impl Iterator<Item = (Address, &Profile)> {
        self.profiles.iter().map(|(wallet, profile)| (*wallet, profile))
    }

    /// What a wallet's owner shows.
    #[must_use]
    pub fn profile(&self, wallet: &Address) -> Option<&Profile> {
        self.profiles.get(wallet)
    }

    /// Adds a market.
    ///
    /// # Errors
    /// [`WorldError::Exists`], or [`WorldError::Invalid`] when ids, tick or eras do not fit together.
    pub fn add_market(&mut self, spec: MarketSpec) -> Result<(), WorldError> {
        let condition = spec.condition;
        let [first, second] = spec.tokens;
        let taken = self.markets.contains_key(&condition)
            || first == second
            || spec.tokens.iter().any(|token| self.tokens.contains_key(token));
        if taken {
            return Err(WorldError::Exists(format!("market {condition} or one of its tokens")));
        }
        let v3 = condition.as_slice().len() == 31;
        if spec.tokens.iter().any(|token| token.is_v3() != v3) {
            return Err(WorldError::Invalid(format!(
                "market {condition}: V3 token ids go with a condition of 31 bytes, others with 32"
            )));
        }
        if !(0..=ONE).contains(&spec.fee.rate.0) || spec.fee.exponent > MAX_FEE_EXPONENT {
            return Err(WorldError::Invalid(format!(
                "market {condition}: the fee rate is 0 to 1, its exponent at most {MAX_FEE_EXPONENT}"
            )));
        }
        let tick = TickSize::from_price(spec.tick).map_err(|error| WorldError::Invalid(error.to_string()))?;
        self.tokens.insert(first, condition);
        self.tokens.insert(second, condition);
        let (terms, state) = (Terms::default(), MarketState::Open);
        self.markets.insert(condition, Market { spec, tick, terms, state, resolved_at: None });
        Ok(())
    }

    /// A market by condition.
    #[must_use]
    pub fn market(&self, condition: &ConditionId) -> Option<&Market> {
        self.markets.get(condition)
    }

    /// Conditions that are resolved.
    pub fn resolved(&self) -> impl Iterator<Item = ConditionId> {
        let resolved = |market: &&Market| matches!(market.state, MarketState::Resolved(_));
        self.markets.values().filter(resolved).map(|market| market.spec.condition)
    }

    /// A market by one of its tokens.
    #[must_use]
    pub fn market_of(&self, token: &TokenId) -> Option<&Market> {
        self.markets.get(self.tokens.get(token)?)
    }

    /// A market, to change it.
    ///
    /// # Errors
    /// [`WorldError::UnknownMarket`].
    pub fn market_mut(&mut self, condition: &ConditionId) -> Result<&mut Market, WorldError> {
        self.markets.get_mut(condition).ok_or(WorldError::UnknownMarket(*condition))
    }

    /// All markets.
    pub fn markets(&self) -> impl Iterator<Item = &Market> {
        self.markets.values()
    }

    /// Makes the key of (address, nonce); `None` if it was made before.
    pub fn create_key(&mut self, seed: u64, address: Address, nonce: u64) -> Option<&ApiKey> {
        if self.key_names.contains_key(&(address, nonce)) {
            return None;
        }
        let generation = self
            .generations
            .get(&(address, nonce))
            .map_or_else(Vec::new, |count| count.to_be_bytes().to_vec());
        let make = |what: &[u8]| derive(seed, &[what, &address.0, &nonce.to_be_bytes(), &generation]);
        let name = uuid_text(&make(b"api key"));
        let key = ApiKey {
            key: name.clone(),
            secret: {
                use base64::{Engine as _, engine::general_purpose::URL_SAFE};
                URL_SAFE.encode(make(b"secret"))
            },
            passphrase: hex::encode(make(b"passphrase")),
            address,
        };
        self.key_names.insert((address, nonce), name.clone());
        Some(self.keys.entry(name).or_insert(key))
    }

    /// The key of (address, nonce).
    #[must_use]
    pub fn derive_key(&self, address: Address, nonce: u64) -> Option<&ApiKey> {
        self.keys.get(self.key_names.get(&(address, nonce))?)
    }

    /// Names of a signer's keys.
    pub fn keys_of(&self, address: Address) -> impl Iterator<Item = &str> {
        let names = self.key_names.range((address, 0)..=(address, u64::MAX));
        names.map(|(_, name)| name.as_str())
    }

    /// Forgets a key; the next one of its signer and nonce is another one.
    pub fn delete_key(&mut self, name: &str) {
        let Some(key) = self.keys.remove(name) else { return };
        let pair = self.key_names.iter().find(|(_, known)| **known == key.key).map(|(pair, _)| *pair);
        if let Some(pair) = pair {
            self.key_names.remove(&pair);
            let count = self.generations.entry(pair).or_default();
            *count = count.saturating_add(1);
        }
    }

    /// Sets a builder's fees.
    pub fn set_builder(&mut self, code: [u8; 32], fees: BuilderFees) {
        self.builders.insert(code, fees);
    }

    /// A builder's fees.
    #[must_use]
    pub fn builder(&self, code: &[u8; 32]) -> Option<&BuilderFees> {
        self.builders.get(code)
    }

    /// What the venue thinks of a signer: the worst of its wallets' standings counts.
    #[must_use]
    pub fn is_closed_only(&self, owner: Address) -> bool {
        let wallets = (0..=3).filter_map(|kind| self.wallet(&self.wallet_of(owner, kind)?));
        wallets.into_iter().any(|wallet| wallet.standing == Standing::ClosedOnly)
    }

    /// A key by name.
    #[must_use]
    pub fn key(&self, name: &str) -> Option<&ApiKey> {
        self.keys.get(name)
    }
}

/// Whether two payouts are dollars per share that add up to one.
#[must_use]
pub fn are_payouts(payouts: &[Price; 2]) -> bool {
    let [first, second] = payouts;
    first.0 >= 0 && second.0 >= 0 && first.0.saturating_add(second.0) == ONE
}
