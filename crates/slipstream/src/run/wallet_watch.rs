//! What is looked after for accounts with real money while a process runs.

use std::future::pending;

use domain::Clock;
use engine::ports::store::Store;

use super::{LOG_EVERY, funding::Funding, readiness::Readiness, reconciling::Reconciling};
use crate::runtime::{Runtime, Turn};

/// What is watched of wallets with real money.
pub(super) struct WalletWatch {
    pub(super) readiness: Option<Readiness>,
    pub(super) wallets: Option<(Funding, Reconciling)>,
}

impl WalletWatch {
    /// Looks at what it is time to look at; at what wallets have only in its turn.
    async fn look(&mut self, store: &dyn Store, clock: &dyn Clock, turn: &mut Turn) {
        if let Some(readiness) = &mut self.readiness {
            readiness.look(store).await;
        }
        if let Some((funding, reconciling)) = &mut self.wallets
            && turn.is_ours().await
        {
            reconciling.look(store, clock).await;
            funding.look(store, clock).await;
        }
    }
}

/// Looks at wallets with real money for ever, beside everything else: whoever is asked may be slow.
pub(super) async fn watch_wallets(
    runtime: &Runtime,
    store: &dyn Store,
    clock: &dyn Clock,
    wallets: Option<WalletWatch>,
) {
    let Some(mut wallets) = wallets else { return pending().await };
    let mut turn = runtime.turn("wallets");
    loop {
        wallets.look(store, clock, &mut turn).await;
        clock.sleep(LOG_EVERY).await;
    }
}
