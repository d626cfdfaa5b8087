//! What a wallet may be asked to do on the chain beside trading, each by its name: approvals of the venue's own
//! contracts, wrapping, redemptions, and being made. There is no free call.

use serde::{Deserialize, Serialize};

use crate::{
    ids::{Address, ConditionId},
    money::{Shares, Usd},
    order::TradingAccount,
};

/// One thing a wallet does.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum WalletAction {
    /// Lets a contract of the venue take pUSD, without limit.
    AllowDollars {
        /// Who may take it.
        spender: Address,
    },
    /// Lets a contract of the venue move shares.
    AllowShares {
        /// The contract that holds the shares.
        token: Address,
        /// Who may move them.
        operator: Address,
    },
    /// Lets the venue's onramp take this much USDC.e.
    AllowOnramp(Usd),
    /// Makes pUSD of this much USDC.e, for the wallet itself.
    Wrap(Usd),
    /// Redeems shares of a resolved condition.
    Redeem(Redemption),
    /// Has the venue's factory make the key's Safe, which pays nobody for it. It is done alone.
    MakeSafe,
}

/// Which shares are redeemed, and through which contract.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum Redemption {
    /// Everything held of an ordinary condition.
    Ordinary(ConditionId),
    /// Everything held of a neg-risk condition.
    NegativeRisk(ConditionId),
    /// Shares of one outcome of a condition of the V3 era.
    V3 {
        /// The condition.
        condition: ConditionId,
        /// 0 or 1.
        outcome: u8,
        /// How many.
        shares: Shares,
    },
}

/// A relayed transaction before it is signed: everything that goes into its hash.
#[derive(Clone, Debug, PartialEq, Eq, Hash, Serialize, Deserialize)]
pub struct RelayPlan {
    /// Whose wallet. An EOA relays nothing.
    pub account: TradingAccount,
    /// What it does, in this order.
    pub actions: Vec<WalletAction>,
    /// The wallet's next nonce, as the relayer says.
    pub nonce: u64,
    /// Unix seconds until which a deposit wallet executes it.
    pub deadline: u64,
    /// Most gas of a proxy wallet's call.
    pub gas_limit: u64,
    /// Who relays a proxy wallet's call.
    pub relay: Address,
}

/// A transaction that an EOA sends itself, before it is signed: everything that goes into its hash. It sends no POL.
#[derive(Clone, Debug, PartialEq, Eq, Hash, Serialize, Deserialize)]
pub struct TransactionPlan {
    /// Whose; the wallet is the EOA itself.
    pub account: TradingAccount,
    /// What it does.
    pub action: WalletAction,
    /// Its number among those of the sender.
    pub nonce: u64,
    /// Most gas it may take.
    pub gas: u64,
    /// Most it pays for a unit of gas, in wei.
    pub max_fee: u64,
    /// Of that for whoever takes it into a block, in wei.
    pub tip: u64,
}
