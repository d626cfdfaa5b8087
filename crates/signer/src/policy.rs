//! What the signer refuses whatever it is asked: its own check, independent of the caller's.

use domain::{Address, OrderPlan, RelayPlan, Side, Timestamp, TradingAccount, TransactionPlan, WalletKind};
use engine::ports::venue::SignerError;

use crate::limits::{MAX_ACTIONS, MAX_FEE, MAX_GAS, SESSION_MARGIN, SESSION_SELLS_ONLY};

/// The wallet a key may trade for.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Binding {
    /// The order's maker.
    pub wallet: Address,
    /// How that wallet checks signatures.
    pub kind: WalletKind,
    /// Until when the wallet's owner lets a session key sign; nothing for other kinds.
    pub until: Option<Timestamp>,
}

impl Binding {
    /// A key nobody has bound trades for its own address only.
    pub(crate) const fn own(address: Address) -> Self {
        Self { wallet: address, kind: WalletKind::Eoa, until: None }
    }
}

/// Whether an order may be signed with the key of `address` bound as `binding`. Exchanges need no list:
/// an order can name no other contract than those of the era. A session key signs no order near or after its end.
pub(crate) fn check_order(plan: &OrderPlan, address: Address, binding: Binding) -> Result<(), SignerError> {
    check_account(&plan.account, address, binding)?;
    if binding.kind == WalletKind::Session { check_session(plan, binding) } else { Ok(()) }
}

fn check_session(plan: &OrderPlan, binding: Binding) -> Result<(), SignerError> {
    let (key, wallet) = (&plan.account.key, binding.wallet);
    let Some(until) = binding.until else {
        let text = format!("until when session key `{key}` may sign is not known");
        return Err(SignerError::Policy(text));
    };
    let (margin, rule) = match plan.side {
        Side::Buy => (SESSION_SELLS_ONLY, "in its last day it only sells"),
        Side::Sell => (SESSION_MARGIN, "in its last minute it signs nothing"),
    };
    if plan.timestamp < until.minus(margin) {
        return Ok(());
    }
    let how = if plan.timestamp < until {
        format!("ends at {until}, and {rule}")
    } else {
        format!("ended at {until}")
    };
    let text = format!("session key `{key}` of wallet {wallet} {how}; its owner must authorise another");
    Err(SignerError::Policy(text))
}

/// Whether a relayed transaction may be signed: for the bound wallet only. What it may do is in its type: named
/// actions of the venue's own contracts, whose money and shares stay the wallet's.
pub(crate) fn check_relay(plan: &RelayPlan, address: Address, binding: Binding) -> Result<(), SignerError> {
    if plan.actions.len() > MAX_ACTIONS {
        return Err(SignerError::Policy(format!(
            "{} actions in one transaction, at most {MAX_ACTIONS} are signed",
            plan.actions.len()
        )));
    }
    if binding.kind == WalletKind::Session {
        let text = format!("session key `{}` trades; what moves money is its owner's", plan.account.key);
        return Err(SignerError::Policy(text));
    }
    check_account(&plan.account, address, binding)
}

/// Whether a transaction of an EOA may be signed: as a relayed one, and it must not cost more than it may.
pub(crate) fn check_transaction(
    plan: &TransactionPlan,
    address: Address,
    binding: Binding,
) -> Result<(), SignerError> {
    if plan.gas > MAX_GAS || plan.max_fee > MAX_FEE || plan.tip > plan.max_fee {
        return Err(SignerError::Policy(format!(
            "a transaction of {} gas at {} wei (tip {}); at most {MAX_GAS} at {MAX_FEE} are signed",
            plan.gas, plan.max_fee, plan.tip
        )));
    }
    check_account(&plan.account, address, binding)
}

fn check_account(account: &TradingAccount, address: Address, binding: Binding) -> Result<(), SignerError> {
    let refuse = |text: String| Err(SignerError::Policy(text));
    if account.signer != address {
        return refuse(format!(
            "key `{}` belongs to {address}, the request names {} as its signer",
            account.key, account.signer
        ));
    }
    if (account.wallet, account.kind) != (binding.wallet, binding.kind) {
        return refuse(format!(
            "key `{}` is bound to {:?} wallet {}, the request is for {:?} wallet {}",
            account.key, binding.kind, binding.wallet, account.kind, account.wallet
        ));
    }
    // An EOA order whose maker is another address would be refused by the contract.
    if account.kind == WalletKind::Eoa && account.wallet != address {
        return refuse(format!("an EOA order of {address} cannot spend from {}", account.wallet));
    }
    Ok(())
}
