//! What tests of this room begin with.

use domain::{
    Address, Clock, KeyRef, WalletKind,
    ids::{AccountId, OwnerId},
};
use engine::ports::following::{AccountMode, Following as _, NewAccount};
use testkit::memory_store::MemoryStore;

/// Somebody's account with real money, of which nothing is booked.
pub(super) async fn live_account(store: &MemoryStore, clock: &dyn Clock) -> (OwnerId, AccountId) {
    let owner = store.add_owner("somebody", clock.now()).await.unwrap();
    let account = NewAccount {
        label: "a".to_owned(),
        mode: AccountMode::Live,
        wallet: Address([1; 20]),
        signer: Address([1; 20]),
        kind: WalletKind::Eoa,
        key: KeyRef("key".to_owned()),
        cap: None,
    };
    let id = store.add_account(owner, &account, clock.now()).await.unwrap();
    (owner, id)
}
