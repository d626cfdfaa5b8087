//! What the venue says, in the words of findings.

use domain::WalletKind;
use engine::ports::venue::{SettlementStatus, VenueOrderStatus};

/// Where an order is.
pub(super) const fn of_order(status: VenueOrderStatus) -> &'static str {
    match status {
        VenueOrderStatus::Live => "open",
        VenueOrderStatus::Delayed => "delayed",
        VenueOrderStatus::Matched => "matched",
        VenueOrderStatus::Cancelled => "cancelled",
    }
}

/// Where a trade is.
pub(super) const fn of_trade(status: SettlementStatus) -> &'static str {
    match status {
        SettlementStatus::Matched => "matched",
        SettlementStatus::Mined => "mined",
        SettlementStatus::Confirmed => "confirmed",
        SettlementStatus::Retrying => "sent again",
        SettlementStatus::Failed => "failed",
    }
}

/// A wallet of a kind.
pub(super) const fn wallet(kind: WalletKind) -> &'static str {
    match kind {
        WalletKind::Eoa => "an EOA",
        WalletKind::Proxy => "a proxy wallet",
        WalletKind::Safe => "a Safe",
        WalletKind::Deposit => "a deposit wallet",
        WalletKind::Session => "a deposit wallet with a session key",
    }
}
