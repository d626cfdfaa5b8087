//! What may be begun on what is there.

use std::path::Path;

use anyhow::bail;
use engine::ports::{following::AccountMode, store::Store};

use crate::configuration::Configuration;

/// Whether accounts with real money may trade: what a wallet holds, and what leaders do, is then held against the chain,
/// and the venue's own services are never believed alone.
pub(super) async fn real_money_has_a_chain(
    store: &dyn Store,
    configuration: &Configuration,
) -> anyhow::Result<()> {
    if !configuration.live.enabled || !configuration.chain.rpc_urls.is_empty() {
        return Ok(());
    }
    let accounts = store.accounts(None).await?;
    match accounts.iter().find(|account| account.mode == AccountMode::Live && !account.removed) {
        None => Ok(()),
        Some(account) => bail!(
            "account `{}` has real money, and no RPC provider is configured to hold trades and wallets against the chain: \
             name some in `rpc_urls` of [chain], or set `enabled = false` of [live] to run on paper alone",
            account.label
        ),
    }
}

/// Whether what was copied so far is ordered as what comes will be: by block where a chain is read, else by time. By height
/// all that was ordered by time would come after whatever is read, and a sale would be followed once in each order.
pub(super) async fn same_order(store: &dyn Store, has_chain: bool, data_dir: &Path) -> anyhow::Result<()> {
    let Some(first) = store.decisions_after(None, 0, 1).await?.into_iter().next() else { return Ok(()) };
    let group =
        store.groups(&[first.key], first.decided_at).await?.into_iter().find(|group| group.key == first.key);
    let by_time = group.is_some_and(|group| group.is_ordered_by_time());
    let data_dir = data_dir.display();
    match (by_time, has_chain) {
        (true, true) => bail!(
            "{data_dir} was copied into without an RPC provider: its trades are ordered by time and not by block, and cannot \
             be held against the chain. Take [chain] rpc_urls away again, or begin another data directory with `slipstream \
             init`"
        ),
        (false, false) => bail!(
            "{data_dir} was copied into with an RPC provider: its trades are ordered by block, and exits could not be told \
             without the chain. Name providers in [chain] rpc_urls again, or begin another data directory with `slipstream \
             init`"
        ),
        _ => Ok(()),
    }
}
