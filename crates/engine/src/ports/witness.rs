//! A second opinion about what the chain is said to be: an exit that rests on chain data alone is decided when
//! two say the same.

use domain::{Address, Hash, Shares, Side, TokenId, TxHash, trade::Dispute};

/// What was read of a leader's exit.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct ExitClaim {
    /// Height of its block.
    pub block: i64,
    /// Hash of its block.
    pub hash: Hash,
    /// Whose exit.
    pub wallet: Address,
    /// Of which token.
    pub token: TokenId,
    /// Shares held at the end of the block before, where that is claimed.
    pub before: Option<Shares>,
    /// Shares held at the end of the block.
    pub after: Shares,
    /// The transaction and its fills of the token, if orders of the wallet were filled: side, and their sum.
    pub filled: Option<(TxHash, Side, Shares)>,
}

/// What others say to a claim.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Testimony {
    /// Two providers say the same.
    Agreed,
    /// There is nobody else, or nobody else has the block.
    Nobody,
    /// Somebody says otherwise, and no two say the same.
    Disputed {
        /// What is disputed.
        about: Dispute,
        /// Who says what, for people.
        words: String,
        /// What those who differ in the balances say that the leader held: before, where that is claimed, and after.
        instead: Vec<(Option<Shares>, Shares)>,
    },
}
