//! What opens the keys of accounts with real money. Nobody is asked, and what is opened is closed again.

use std::{path::Path, sync::Arc};

use domain::Clock;
use eip712::Chain;
use engine::ports::{
    secrets::{SealedKeys, StoredKeys},
    venue::Signer,
};
use signer::{KeyKeeper as _, LocalSigner, RemoteKeeper, Spending, Vault};
use store::SqlStore;

use super::finding::Finding;
use crate::{account::unlock_silently, configuration::keys::LiveSettings, wording::count};

const AREA: &str = "keys";

/// Whoever signs logins with the sealed keys, as far as they can be opened without asking, and what was found.
pub(crate) async fn look(
    live: &LiveSettings,
    directory: &Path,
    store: Option<&Arc<SqlStore>>,
    clock: &Arc<dyn Clock>,
) -> (Option<Arc<dyn Signer>>, Vec<Finding>) {
    let switch = match live.enabled {
        true => "live trading is on: accounts that are armed spend real money within their caps",
        false => "live trading is off: no real money moves",
    };
    let mut findings = vec![Finding::ok((AREA, "first switch"), switch)];
    let Some(store) = store else { return (None, findings) };
    let stored = match store.sealed_keys().await {
        Ok(Some(stored)) if !stored.keys.is_empty() => stored,
        Ok(_) => {
            findings.push(Finding::ok((AREA, "sealed keys"), "none: there is no account with real money"));
            return (None, findings);
        }
        Err(error) => {
            findings.push(Finding::unknown(
                (AREA, "sealed keys"),
                error.to_string(),
                "see the database above",
            ));
            return (None, findings);
        }
    };
    if let Some(socket) = &live.socket {
        let (signer, found) = remote(socket, store, clock, stored.keys.len()).await;
        findings.push(found);
        return (signer, findings);
    }
    let (signer, found) = here(live, directory, &stored);
    findings.extend(found);
    (signer, findings)
}

async fn remote(
    socket: &Path,
    store: &Arc<SqlStore>,
    clock: &Arc<dyn Clock>,
    keys: usize,
) -> (Option<Arc<dyn Signer>>, Finding) {
    let what = (AREA, "signer's process");
    let keeper =
        RemoteKeeper::new(socket.to_owned(), Arc::clone(store) as Arc<dyn SealedKeys>, Arc::clone(clock));
    let begin = clock.uptime();
    match keeper.header().await {
        Ok(_) => {
            let found = Finding::ok(what, format!("answers, and opens {}", count(keys, "key")));
            (Some(Arc::new(keeper)), found.after(clock.uptime().saturating_sub(begin)))
        }
        Err(error) => {
            let fix = "start it (`slipstream signer serve`) as the same user, or correct `socket` of [live]";
            (None, Finding::fail(what, error.to_string(), fix))
        }
    }
}

fn here(
    live: &LiveSettings,
    directory: &Path,
    stored: &StoredKeys,
) -> (Option<Arc<dyn Signer>>, Vec<Finding>) {
    let what = (AREA, "sealed keys");
    let keys = count(stored.keys.len(), "key");
    let unlock = match unlock_silently(live) {
        Ok(Some(unlock)) => unlock,
        Ok(None) => {
            let seen =
                format!("{keys}, opened by a passphrase that is asked for at the start, so not tried here");
            let fix = "`slipstream account list` asks for it; `key_file` of [live] or a systemd credential asks nobody";
            return (None, vec![Finding::unknown(what, seen, fix)]);
        }
        Err(error) => {
            let fix =
                "correct `key_file` of [live], or the credential; whoever loses what is in it loses the keys";
            return (None, vec![Finding::fail(what, format!("{error:#}"), fix)]);
        }
    };
    let vault = match Vault::open(&unlock, stored) {
        Ok(vault) => Arc::new(vault),
        Err(error) => {
            let fix = "name the file with what opened them last (after `signer rotate`: the new one); a row that somebody \
                       changed needs a backup";
            return (None, vec![Finding::fail(what, format!("{keys}: {error}"), fix)]);
        }
    };
    let mut findings = vec![Finding::ok(what, format!("{keys}, all open"))];
    findings.push(match Spending::armed(directory, &vault) {
        Ok(armed) if armed.is_empty() => Finding::ok((AREA, "armed"), "no account: nothing is signed for any"),
        Ok(armed) => Finding::ok((AREA, "armed"), format!("{} of {keys} may sign orders, within caps", armed.len())),
        Err(error) => Finding::fail(
            (AREA, "armed"),
            error.to_string(),
            "nothing is signed until that is settled: if nobody can have tampered with it, move it away and arm again",
        ),
    });
    (Some(Arc::new(LocalSigner::new(Chain::Polygon, Box::new(vault)))), findings)
}
