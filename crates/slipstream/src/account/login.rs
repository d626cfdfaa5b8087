//! What surrounds a wallet: this machine's clock, the place the venue sees it in, and whether the venue knows the key.

use std::{path::Path, sync::Arc};

use domain::{Clock, TradingAccount};
use eip712::Chain;
use engine::ports::venue::Signer;
use polymarket::Clob;
use store::SqlStore;

use crate::{
    commands::DATABASE,
    configuration::Configuration,
    doctor::{Finding, Verdict, look_at_keys, venue},
};

/// Whether a login can be tried.
pub(super) enum Try {
    /// By this signer, for this account.
    By(Arc<dyn Signer>, TradingAccount),
    /// There is an account, and its key cannot be used here: why.
    Not(Finding),
    /// There is no key at all, only an address.
    Nobodys,
}

impl Try {
    /// With an account's key, opened without asking anybody, also beside a running process.
    pub(super) async fn of_account(
        configuration: &Configuration,
        data_dir: &Path,
        account: TradingAccount,
        clock: &Arc<dyn Clock>,
    ) -> Self {
        let what = || ("accounts", "login");
        let store = match SqlStore::look(&data_dir.join(DATABASE), Arc::clone(clock)).await {
            Ok(store) => Arc::new(store),
            Err(error) => {
                let seen = format!("whether the venue lets this key log in was not tried ({error})");
                return Self::Not(Finding::unknown(what(), seen, "run this again in a moment"));
            }
        };
        let (signer, seen) = look_at_keys(&configuration.live, data_dir, Some(&store), clock).await;
        match (signer, seen.into_iter().find(|one| one.verdict != Verdict::Ok)) {
            (Some(signer), _) => Self::By(signer, account),
            (None, why) => {
                let (why, fix) = why.map(|one| (one.evidence, one.fix)).unwrap_or_default();
                let seen = format!("whether the venue lets this key log in was not tried ({why})");
                let fix = fix.unwrap_or_else(|| "`slipstream doctor` says more".to_owned());
                Self::Not(Finding::unknown(what(), seen, fix))
            }
        }
    }
}

/// All of it that is not as it should be.
pub(super) async fn surroundings(
    client: &reqwest::Client,
    (clob_url, geoblock_url): (&str, &str),
    clock: &Arc<dyn Clock>,
    login: Try,
) -> Vec<Finding> {
    let clob = venue::anybodys_clob(client, clob_url, clock);
    let mut seen = vec![venue::place(clock.as_ref(), client, geoblock_url).await];
    let reached = venue::clock(clock.as_ref(), &clob).await;
    let answers = reached.is_ok();
    match reached {
        Ok((found, _)) => seen.extend(found),
        Err(unreached) => seen.push(unreached),
    }
    match login {
        Try::By(signer, account) if answers => {
            let clob = Clob::new(client.clone(), clob_url, Chain::Polygon, signer, Arc::clone(clock));
            seen.push(venue::login(&clob, &account).await);
        }
        Try::Not(why) => seen.push(why),
        // That the venue does not answer is told already.
        Try::By(..) | Try::Nobodys => {}
    }
    seen.retain(|one| one.verdict != Verdict::Ok);
    seen
}
