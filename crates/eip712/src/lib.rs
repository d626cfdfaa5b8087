//! What Polymarket's users sign and nothing else: what an order, a login, a relayed transaction (EIP-712) and a
//! transaction of an EOA hash to.
//!
//! Hashes are written by hand on fixed buffers, with type hashes and domain separators as constants
//! (about 1.5 µs an order). This crate never sees a key and never signs. Orders of the first era (V1)
//! cannot be expressed; their contracts are refused by [`Exchange::at`].
//!
//! Sources: the official clients (clob-client-v2, py-clob-client-v2, rs-clob-client-v2), which agree on
//! every value; the constants are recomputed from their texts in the tests of this crate.

mod actions;
mod clob_auth;
mod exchange;
mod order;
mod relay;
mod transaction;
mod word;

pub use actions::{ActionError, COLLATERAL, Call, DOLLAR_SPENDERS, ONRAMP, SHARE_OPERATORS, USDC_E, call_of};
pub use clob_auth::{CLOB_AUTH_MESSAGE, ClobAuth, clob_auth_digest};
pub use exchange::{Chain, Exchange, ExchangeError};
pub use order::{OrderToSign, PlanError, id_and_signature, order_id, signing_digest};
pub use relay::{
    DEPOSIT_WALLET_FACTORY, PROXY_FACTORY, RELAY_HUB, Relay, RelayError, SAFE_FACTORY, session_envelope,
};
pub use transaction::{Transaction, TransactionError};
