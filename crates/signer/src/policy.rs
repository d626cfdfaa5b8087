//! What the signer refuses whatever it is asked: its own check, independent of the caller's.

use domain::{Address, OrderPlan, WalletKind};
use engine::ports::venue::SignerError;

/// The wallet a key may trade for.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Binding {
    /// The order's maker.
    pub wallet: Address,
    /// How that wallet checks signatures.
    pub kind: WalletKind,
}

impl Binding {
    /// A key nobody has bound trades for its own address only.
    pub(crate) const fn own(address: Address) -> Self {
        Self { wallet: address, kind: WalletKind::Eoa }
    }
}

/// Whether an order may be signed with the key of `address` bound as `binding`. Exchanges need no list:
/// an order can name no other contract than those of the era.
pub(crate) fn check_order(plan: &OrderPlan, address: Address, binding: Binding) -> Result<(), SignerError> {
    let account = &plan.account;
    let refuse = |text: String| Err(SignerError::Policy(text));
    if account.signer != address {
        return refuse(format!(
            "key `{}` belongs to {address}, the order names {} as its signer",
            account.key, account.signer
        ));
    }
    if (account.wallet, account.kind) != (binding.wallet, binding.kind) {
        return refuse(format!(
            "key `{}` is bound to {:?} wallet {}, the order is for {:?} wallet {}",
            account.key, binding.kind, binding.wallet, account.kind, account.wallet
        ));
    }
    // An EOA order whose maker is another address would be refused by the contract.
    if account.kind == WalletKind::Eoa && account.wallet != address {
        return refuse(format!("an EOA order of {address} cannot spend from {}", account.wallet));
    }
    Ok(())
}
