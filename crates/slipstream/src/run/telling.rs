//! What a run says at its start: what is going to happen, and what it rests on.

use domain::{Clock, WalletKind};
use engine::ports::{
    following::{Account, AccountMode, RelationshipStatus},
    store::Store,
};
use tracing::{info, warn};

use super::probe::Unreachable;
use crate::{
    chain::{CALLS_A_DAY, public_providers},
    configuration::Configuration,
    holding::end_words,
    story,
    wording::{count, grouped},
};

/// How many relationships copy, or will once what cannot be reached can.
fn copying(active: usize, all: usize, waits: bool) -> String {
    let verb = match (waits, active) {
        (true, 1) => "waits to copy",
        (true, _) => "wait to copy",
        (false, 1) => "copies",
        (false, _) => "copy",
    };
    if active == all {
        format!("{} {verb}", count(all, "relationship"))
    } else {
        format!("{active} of {} {verb}", count(all, "relationship"))
    }
}

/// Says what is going to happen, and what it rests on.
pub(super) async fn tell_start(
    store: &dyn Store,
    clock: &dyn Clock,
    configuration: &Configuration,
    has_chain: bool,
    unreachable: &Unreachable,
) -> anyhow::Result<()> {
    let unreachable = unreachable.words();
    if let Some(words) = &unreachable {
        warn!("{words}");
    }
    let following = store.following(clock.now()).await?;
    let (relationships, holds) = (&following.relationships, &following.holds);
    let mut accounts = store.accounts(None).await?;
    accounts.retain(|account| !account.removed);
    let active = relationships.iter().filter(|one| one.status == RelationshipStatus::Active).count();
    let live = accounts.iter().filter(|account| account.mode == AccountMode::Live).count();
    info!(
        "running: {} on paper, filled from the real book; {}",
        count(accounts.len().saturating_sub(live), "account"),
        copying(active, relationships.len(), unreachable.is_some()),
    );
    for hold in holds {
        warn!("{}; {}", story::hold_words(hold), end_words(hold));
    }
    match (live, configuration.live.enabled) {
        (0, _) => info!("no money moves"),
        (_, true) => warn!("{} may trade with real money, as far as armed", count(live, "account")),
        (_, false) => warn!("{} cannot trade: live trading is switched off", count(live, "live account")),
    }
    let by_relayer = |account: &&Account| {
        account.mode == AccountMode::Live && account.trading.kind != WalletKind::Eoa && !account.removed
    };
    let waiting = accounts.iter().filter(by_relayer).count();
    if waiting > 0 && configuration.live.enabled && configuration.live.relayer_key.is_none() {
        warn!(
            "what {} win waits until it is redeemed by hand: their wallets are contracts, and [live] relayer_key is not set",
            count(waiting, "account")
        );
    }
    if relationships.is_empty() {
        info!("nobody is followed yet: `slipstream follow 0x…` in another terminal");
    }
    if has_chain {
        let providers = configuration.chain.rpc_urls.iter().filter(|url| !url.is_socket()).count();
        info!(
            "the chain is read through {}: about {} calls a day to the one that is asked first (`slipstream rpc status` \
             counts them)",
            count(providers, "RPC provider"),
            grouped(CALLS_A_DAY)
        );
    } else {
        info!(
            "no RPC provider is configured: trades are taken from the Data API and the live feed and not held against \
             the chain, so they come some seconds later and a wrong answer of these services would be believed; \
             [chain] rpc_urls names providers, which real money needs, and no longer once something was copied here (each that is asked first must bear about {} calls a day). Public ones, \
             which promise nothing: {}",
            grouped(CALLS_A_DAY),
            public_providers()
        );
    }
    Ok(())
}
