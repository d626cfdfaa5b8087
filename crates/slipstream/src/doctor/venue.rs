//! The venue's services: whether they answer, what they say of this machine's clock and place, and whether they let a key
//! log in.

use std::{fmt::Display, sync::Arc, time::Duration};

use domain::{Clock, TradingAccount};
use eip712::Chain;
use engine::{
    deadline::{venue_call, within},
    ports::venue::{OrderGateway as _, SignRequest, Signature, Signer, SignerError, VenueError},
};
use futures_util::future::join_all;
use polymarket::{
    Clob, Geoblock, People, Period,
    socket::{Connector as _, WebSockets},
};
use reqwest::Client;

use super::finding::Finding;
use crate::{configuration::Configuration, run, venue_clock::ClockSkew};

const AREA: &str = "venue";
/// How long one service may take to answer.
const PATIENCE: Duration = Duration::from_secs(6);
/// What to do about a service that does not answer.
const UNREACHED: &str =
    "look at the network of this machine (name service, firewall, proxy), then at this address in [run]";

/// The order book service, for what everybody may ask.
pub(crate) fn anybodys_clob(client: &Client, url: &str, clock: &Arc<dyn Clock>) -> Clob {
    Clob::new(client.clone(), url, Chain::Polygon, Arc::new(Nobody), Arc::clone(clock))
}

/// Whether the order book service answers, and what its clock says of ours.
///
/// # Errors
/// The one finding that it does not answer.
pub(crate) async fn clock(clock: &dyn Clock, clob: &Clob) -> Result<(Vec<Finding>, ClockSkew), Finding> {
    let begin = clock.uptime();
    let measured = ClockSkew::measure(clock, clob).await;
    let took = clock.uptime().saturating_sub(begin);
    let what = (AREA, "order book service");
    let skew = measured.map_err(|error| {
        let unreached = format!("the venue cannot be reached ({error})");
        Finding::fail(what, unreached, format!("{UNREACHED} (clob_url)")).after(took)
    })?;
    let answers = Finding::ok(what, "answers GET /time").after(took);
    let judged = (AREA, "clock");
    let judged = if skew.is_off() {
        let fix = "set it: the venue refuses what is dated wrongly (`timedatectl set-ntp true`)";
        Finding::fail(judged, skew.to_string(), fix)
    } else {
        let within = skew.uncertain.as_millis();
        Finding::ok(judged, format!("{skew}, give or take {within} ms"))
    };
    Ok((vec![answers, judged], skew))
}

/// Whether the venue trades with this place.
pub(crate) async fn place(clock: &dyn Clock, client: &Client, url: &str) -> Finding {
    let what = (AREA, "geoblock");
    let begin = clock.uptime();
    let told = Geoblock::new(client.clone(), url).region().await;
    let took = clock.uptime().saturating_sub(begin);
    let found = match told {
        Ok(region) if region.blocked => {
            Finding::fail(what, region.to_string(), "this program cannot trade from here")
        }
        Ok(region) => Finding::ok(what, region.to_string()),
        Err(error) => Finding::unknown(
            what,
            format!("whether the venue trades with this place is not known ({error})"),
            "run this again where it can be reached, or correct geoblock_url of [run]",
        ),
    };
    found.after(took)
}

/// Whether the venue lets the key of an account log in, which it does before each session of orders.
pub(crate) async fn login(clob: &Clob, account: &TradingAccount) -> Finding {
    let what = ("accounts", format!("{} login", name(account)));
    match clob.look_again(account, None).await {
        Ok(()) => Finding::ok(what, "the venue lets its key log in"),
        Err(error @ VenueError::Refused { .. }) => Finding::fail(
            what,
            format!("the venue does not let this key log in ({error})"),
            "log in once at polymarket.com with this address, and look at the clock",
        ),
        Err(error) => Finding::unknown(
            what,
            format!("whether the venue lets this key log in is not known ({error})"),
            "run this again when the venue answers",
        ),
    }
}

/// An account in the words of a report: its name may be somebody's.
pub(super) fn name(account: &TradingAccount) -> String {
    format!("account {}", account.id)
}

/// Everything else that the venue serves.
pub(super) async fn services(
    clock: &dyn Clock,
    client: &Client,
    configuration: &Configuration,
    live: bool,
) -> Vec<Finding> {
    let hosts = &configuration.run;
    let people = People::new(client.clone(), &hosts.data_url, &hosts.gamma_url);
    let data =
        answers(clock, ("Data API", "GET /v1/leaderboard", "data_url"), people.leaderboard(Period::Day, 1));
    let gamma = answers(clock, ("Gamma", "GET /public-search", "gamma_url"), people.search("will", 1));
    let relayer = async {
        match live {
            true => Some(relayer(clock, client, &hosts.relayer_url).await),
            false => None,
        }
    };
    let (data, gamma, place, relayer) =
        tokio::join!(data, gamma, place(clock, client, &hosts.geoblock_url), relayer);
    let mut findings = vec![data, gamma, place];
    findings.extend(relayer);
    findings.extend(sockets(clock, configuration).await);
    findings
}

async fn answers<T>(
    clock: &dyn Clock,
    (name, question, key): (&'static str, &'static str, &'static str),
    call: impl Future<Output = Result<T, VenueError>> + Send,
) -> Finding {
    let begin = clock.uptime();
    let told = venue_call(clock, question, PATIENCE, call).await;
    let took = clock.uptime().saturating_sub(begin);
    let found = match told {
        Ok(_) => Finding::ok((AREA, name), format!("answers {question}")),
        Err(error) => Finding::fail((AREA, name), error.to_string(), format!("{UNREACHED} ({key})")),
    };
    found.after(took)
}

/// It answers nobody without a key: that it answers is what can be known.
async fn relayer(clock: &dyn Clock, client: &Client, url: &str) -> Finding {
    let what = (AREA, "relayer");
    let begin = clock.uptime();
    let told = client.get(url).timeout(PATIENCE).send().await;
    let took = clock.uptime().saturating_sub(begin);
    let broken = |text: String| Finding::warn(what, text, format!("{UNREACHED} (relayer_url)"));
    let found = match told {
        Ok(answer) if answer.status().is_server_error() => {
            broken(format!("answers with {}", answer.status()))
        }
        Ok(answer) => Finding::ok(what, format!("answers, with status {}", answer.status().as_u16())),
        Err(error) => broken(format!("cannot be reached: {}", error.without_url())),
    };
    found.after(took)
}

/// The venue's websockets, as `run` would open them.
async fn sockets(clock: &dyn Clock, configuration: &Configuration) -> Vec<Finding> {
    let hosts = run::hosts(configuration);
    let channels = hosts.channels.map(|origin| format!("{}/ws/market", origin.trim_end_matches('/')));
    let wanted = [("channels", channels), ("live feed", hosts.live)];
    let opened = wanted.into_iter().map(|(name, url)| async move {
        let Some(url) = url else {
            return Finding::ok((AREA, name), "switched off: what it would tell is asked for");
        };
        let begin = clock.uptime();
        let connected = within(clock, PATIENCE, WebSockets.connect(&url)).await;
        let took = clock.uptime().saturating_sub(begin);
        let missed = |why: &dyn Display| {
            let fix =
                "nothing is lost without it, but hints come later; look at the network, and at [engine]";
            Finding::warn((AREA, name), why.to_string(), fix)
        };
        let found = match connected {
            Ok(Ok(_)) => Finding::ok((AREA, name), "a websocket opens"),
            Ok(Err(error)) => missed(&error),
            Err(_) => missed(&format!("no connection within {PATIENCE:?}")),
        };
        found.after(took)
    });
    join_all(opened).await
}

/// Signs nothing: what everybody may ask needs no signature.
struct Nobody;

#[async_trait::async_trait]
impl Signer for Nobody {
    async fn sign(&self, requests: &[SignRequest]) -> Vec<Result<Signature, SignerError>> {
        let none = || SignerError::Policy("there is no key".to_owned());
        requests.iter().map(|_| Err(none())).collect()
    }

    async fn address(&self, key: &domain::KeyRef) -> Result<domain::Address, SignerError> {
        Err(SignerError::UnknownKey(key.clone()))
    }
}
