//! `slipstream rpc`: which providers of the chain are asked, how they do, and another list for a running process.

use std::{collections::BTreeSet, fmt, sync::Arc};

use anyhow::{Context, ensure};
use clap::Subcommand;
use domain::Clock;
use polymarket::{ProviderHealth, RpcUrl, rpc_urls};
use serde::{Deserialize, Serialize};

use crate::{
    chain::{CALLS_A_DAY, ChainProviders, public_providers},
    cli::Installation,
    clock::SystemClock,
    commands::{self, Answer, Request},
    configuration::ConfigFile,
    screen::{Style, table},
    wording::{NONE, count, grouped},
};

/// Commands on providers.
#[derive(Debug, Subcommand)]
pub enum RpcCommand {
    /// How the providers of a running process do.
    Status {
        /// Where the installation is.
        #[command(flatten)]
        at: Installation,
    },
    /// Give a running process the list of the configuration (`[chain] rpc_urls`, or POLYGON_RPC_URL).
    Reload {
        /// Where the installation is.
        #[command(flatten)]
        at: Installation,
        /// Where the list is.
        #[command(flatten)]
        config: ConfigFile,
    },
    /// Ask each provider of the configuration for its chain and its head; fails if one of them is not well.
    Check {
        /// Where the list is.
        #[command(flatten)]
        config: ConfigFile,
        /// Print JSON.
        #[arg(long)]
        json: bool,
    },
}

/// A list of URLs on its way to a running process. They may carry keys, so it is never shown.
#[derive(Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(transparent)]
pub struct RpcList(String);

impl fmt::Debug for RpcList {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("RpcList(…)")
    }
}

impl RpcList {
    /// Of URLs separated by commas.
    #[must_use]
    pub fn of(urls: &str) -> Self {
        Self(urls.to_owned())
    }

    fn of_configuration(config: &ConfigFile) -> anyhow::Result<Self> {
        let urls = configured(config)?;
        Ok(Self(urls.iter().map(RpcUrl::expose).collect::<Vec<_>>().join(",")))
    }
}

pub(crate) fn configured(config: &ConfigFile) -> anyhow::Result<Vec<RpcUrl>> {
    let chain = config.configured()?.chain;
    ensure!(
        !chain.rpc_urls.is_empty(),
        "no RPC provider is configured; set `rpc_urls` of [chain] in slipstream.toml, or POLYGON_RPC_URL. Public ones, for a \
         beginning: {}",
        public_providers()
    );
    Ok(chain.rpc_urls)
}

/// Runs one.
///
/// # Errors
/// In words, with what to do.
pub async fn run(command: &RpcCommand, style: Style) -> anyhow::Result<(Answer, bool)> {
    match command {
        RpcCommand::Status { at } => {
            Ok((commands::ask(&at.place()?, &Request::RpcStatus { style }).await?, at.json))
        }
        RpcCommand::Reload { at, config } => {
            let request = Request::RpcReload(RpcList::of_configuration(config)?);
            Ok((commands::ask(&at.place_by(config)?, &request).await?, at.json))
        }
        RpcCommand::Check { config, json } => {
            let clock: Arc<dyn Clock> = Arc::new(SystemClock);
            let client = polymarket::client()?;
            let providers = ChainProviders::of(client, &clock, &configured(config)?);
            providers.look().await;
            Ok((status(&providers, style)?, *json))
        }
    }
}

/// How the providers do, as an answer. It is well if each of them is.
///
/// # Errors
/// Never in practice.
pub fn status(providers: &ChainProviders, style: Style) -> anyhow::Result<Answer> {
    let health = providers.health();
    let well = |one: &ProviderHealth| one.trouble.is_none() && one.head.is_some();
    let ok = !health.is_empty() && health.iter().all(well);
    Ok(Answer { text: render(&health, style), json: serde_json::to_value(&health)?, ok })
}

/// Puts a list in force.
///
/// # Errors
/// When it cannot be used.
pub fn reload(providers: &ChainProviders, list: &RpcList) -> anyhow::Result<Answer> {
    let urls = rpc_urls(&list.0).context("the list of RPC providers")?;
    providers.replace(&urls);
    let (bells, hosts): (Vec<_>, Vec<_>) = urls.iter().partition(|url| url.is_socket());
    let [bells, hosts] = [bells, hosts].map(|urls| urls.into_iter().map(RpcUrl::host).collect::<Vec<_>>());
    let mut text = format!("{} in force: {}", count(hosts.len(), "RPC provider"), hosts.join(", "));
    if !bells.is_empty() {
        text.push_str(&format!("; told of new blocks by {}", bells.join(", ")));
    }
    Ok(Answer { text, json: serde_json::json!({ "providers": hosts, "doorbells": bells }), ok: true })
}

/// A line for each provider.
fn render(health: &[ProviderHealth], style: Style) -> String {
    let row = |one: &ProviderHealth| {
        // Who has told nothing is asked first only because nobody else is there.
        let mark = if one.first && one.head.is_some() { "*" } else { "" };
        let pace = one.calls_a_day.map_or_else(|| NONE.to_owned(), grouped);
        // Who has told no head has told nothing that could be timed.
        let usual = one.head.map_or_else(|| NONE.to_owned(), |_| format!("{} ms", one.latency_ms));
        let head = one.head.map_or_else(|| "–".to_owned(), |head| head.to_string());
        let state = one.trouble.clone().unwrap_or_else(|| match &one.last_trouble {
            None => "well".to_owned(),
            Some(last) if one.head.is_none() => format!("does not answer: {last}"),
            Some(last) => format!("well; last trouble: {last}"),
        });
        let (today, failures, wrong) = (one.calls_today, one.failures, one.wrong);
        let numbers = [today, failures, wrong].map(|number| number.to_string());
        let [today, failures, wrong] = numbers;
        vec![mark.to_owned(), one.name.clone(), head, usual, today, pace, failures, wrong, state]
    };
    let columns =
        ["", "~provider", ">head", ">usually", "?>calls today", ">a day", "?>failures", "?>wrong", "*state"];
    let mut text = table(style, &columns, health.iter().map(row));
    if health.iter().any(|one| one.first && one.head.is_some()) {
        text.push_str("* is asked first; `usually` is the time to its answers\n");
    }
    text.push_str(&witnesses(health));
    text.push_str(&format!(
        "`a day` is the pace since the start, known after a minute; the one that is asked first should come to about {}, with \
         a block each two seconds\n",
        grouped(CALLS_A_DAY)
    ));
    text
}

/// What an exit can be held against, where that is less than it looks.
fn witnesses(health: &[ProviderHealth]) -> String {
    let owners: BTreeSet<&str> = health.iter().map(|one| one.owner.as_str()).collect();
    match owners.len() {
        // The others are enough for each of them to be held against.
        2.. | 0 => String::new(),
        _ if health.len() == 1 => {
            "\nOne provider: an exit is held against the final block or the Data API, which comes \
            later. Add another provider to have it at once.\n"
                .to_owned()
        }
        _ => format!(
            "\nAll of them are of {}, and so one witness: an exit is held against the final block or the Data API, which \
             comes later. Add another provider to have it at once.\n",
            owners.first().copied().unwrap_or_default()
        ),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    /// Nothing is said of a provider that it did not show.
    #[tokio::test]
    async fn who_does_not_answer_is_not_well() {
        let clock: Arc<dyn Clock> = Arc::new(SystemClock);
        let urls = rpc_urls("http://127.0.0.1:1").unwrap();
        let providers = ChainProviders::of(polymarket::client().unwrap(), &clock, &urls);
        providers.look().await;
        let answer = status(&providers, Style::default()).unwrap();
        assert!(!answer.ok && answer.text.contains("does not answer: "), "{}", answer.text);
        for invented in ["well", " ms", "*"] {
            assert!(!answer.text.contains(invented), "{invented}: {}", answer.text);
        }
    }

    #[test]
    fn keys_are_not_shown() {
        let request = Request::RpcReload(RpcList::of("https://polygon.example/v2/s3cret"));
        assert_eq!(format!("{request:?}"), "RpcReload(RpcList(…))");
        let clock: Arc<dyn Clock> = Arc::new(SystemClock);
        let urls = rpc_urls("https://polygon.example/v2/s3cret,https://b.example/s3cret").unwrap();
        let providers = ChainProviders::of(polymarket::client().unwrap(), &clock, &urls);
        let answer = status(&providers, Style::default()).unwrap();
        assert!(!answer.ok && answer.text.contains("polygon.example"), "{}", answer.text);
        let other = RpcList::of("http://c.example:8545/s3cret");
        let reloaded = reload(&providers, &other).unwrap();
        assert_eq!(reloaded.text, "1 RPC provider in force: c.example:8545");
        let one = status(&providers, Style::default()).unwrap().text;
        assert!(one.contains("One provider") && one.contains("c.example"), "{one}");
        assert_eq!(status(&providers, Style::default()).unwrap().json[0]["owner"], "c.example");
        let urls = RpcList::of("http://a.c.example/s3cret,http://b.c.example/s3cret");
        reload(&providers, &urls).unwrap();
        let both = status(&providers, Style::default()).unwrap().text;
        assert!(both.contains("All of them are of c.example") && !both.contains("s3cret"), "{both}");
        let bad = reload(&providers, &RpcList::of("c.example/s3cret")).unwrap_err();
        for text in [
            answer.text,
            reloaded.text,
            format!("{bad:#}"),
            status(&providers, Style::default()).unwrap().json.to_string(),
        ] {
            assert!(!text.contains("s3cret"), "{text}");
        }
    }
}
