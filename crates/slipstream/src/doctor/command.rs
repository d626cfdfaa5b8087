//! The command.

use std::{path::PathBuf, sync::Arc};

use domain::Clock;

use super::{
    accounts, chain, copying, data, finding::Finding, keys, process, report::Report, settings, venue,
};
use crate::{
    chain::ChainProviders,
    cli::Installation,
    clock::SystemClock,
    commands::Answer,
    configuration::{ConfigFile, Configuration},
    demo::paint::Paint,
    discretion::Discretion,
    place::Place,
    screen::Style,
    terminal::Progress,
};

/// Arguments of `doctor`.
#[derive(Debug, clap::Args)]
#[command(after_help = "Examples:
  slipstream doctor                                  # of the installation in this directory
  slipstream doctor --config /etc/slipstream.toml    # also while it runs
  slipstream doctor --json | jq '.findings[] | select(.verdict != \"ok\")'

What it prints may be shown to anybody: no secret, no name; paths and wallets are shortened.
Exit status: 0 nothing fails (warnings and what is not known are told), 1 something fails, 2 the flags cannot be
understood.")]
pub struct DoctorArgs {
    /// Show wallets whole.
    #[arg(long)]
    pub wallets: bool,
    /// Where the installation is.
    #[command(flatten)]
    pub at: Installation,
    /// Where the settings are.
    #[command(flatten)]
    pub config: ConfigFile,
}

/// Looks at everything.
///
/// # Errors
/// Never for what it finds.
pub async fn run(arguments: &DoctorArgs, style: Style) -> anyhow::Result<Answer> {
    let progress = Progress::begin("asking the venue, the chain and the wallets");
    let report = examine(arguments, &(Arc::new(SystemClock) as Arc<dyn Clock>)).await;
    drop(progress);
    let text = report.text(Paint::of(&std::io::stdout()), style);
    Ok(Answer { text, json: report.json(), ok: report.is_well() })
}

/// Looks at everything by this clock.
pub async fn examine(arguments: &DoctorArgs, clock: &Arc<dyn Clock>) -> Report {
    let (configuration, mut findings) = settings::look(&arguments.config);
    let directory = arguments.at.data_dir.clone().unwrap_or_else(|| configuration.run.data_dir.clone());
    let outside = outside(&configuration, clock);
    let place = Place::of(&configuration, Some(&directory));
    let (store, in_data) = data::look(&directory, place, clock).await;
    let store = store.map(Arc::new);
    findings.extend(in_data);
    findings.extend(process::look(&directory, clock.as_ref()).await);
    let (signer, of_keys) = keys::look(&configuration.live, &directory, store.as_ref(), clock).await;
    let Outside { client, venue_answers, findings: seen, providers } = outside.await;
    findings.extend(seen);
    findings.extend(of_keys);
    if let (Some(store), Some(client)) = (&store, &client) {
        let witnesses = accounts::Witnesses {
            client,
            clob_url: &configuration.run.clob_url,
            venue_answers,
            rpc: providers.map(|providers| providers.json_rpc()),
            signer,
            clock,
        };
        findings.extend(witnesses.look(store).await);
    }
    if let Some(store) = &store {
        findings.extend(copying::look(store, clock.as_ref()).await);
    }
    Report::new(findings, &discretion(arguments, &configuration, directory), clock.now())
}

/// What is not on this machine.
struct Outside {
    client: Option<reqwest::Client>,
    venue_answers: bool,
    findings: Vec<Finding>,
    providers: Option<ChainProviders>,
}

async fn outside(configuration: &Configuration, clock: &Arc<dyn Clock>) -> Outside {
    let client = match crate::run::client(&crate::run::hosts(configuration)) {
        Ok(client) => client,
        Err(error) => {
            let fix = "install the system's root certificates (`ca-certificates`)";
            let finding = Finding::fail(("venue", "TLS"), format!("{error:#}"), fix);
            return Outside { client: None, venue_answers: false, findings: vec![finding], providers: None };
        }
    };
    let clob = venue::anybodys_clob(&client, &configuration.run.clob_url, clock);
    let (mut findings, skew) = match venue::clock(clock.as_ref(), &clob).await {
        Ok((found, skew)) => (found, Some(skew)),
        Err(unreached) => {
            let clock =
                Finding::unknown(("venue", "clock"), "nobody says how late it is", "see the line above");
            (vec![unreached, clock], None)
        }
    };
    let urls = &configuration.chain.rpc_urls;
    let live = configuration.live.enabled;
    let (services, chain) = tokio::join!(
        venue::services(clock.as_ref(), &client, configuration, live),
        chain::look(clock, &client, (urls, live), skew),
    );
    findings.extend(services);
    findings.extend(chain);
    let providers = (!urls.is_empty()).then(|| ChainProviders::of(client.clone(), clock, urls));
    Outside { client: Some(client), venue_answers: skew.is_some(), findings, providers }
}

fn discretion(arguments: &DoctorArgs, configuration: &Configuration, directory: PathBuf) -> Discretion {
    let live = &configuration.live;
    let mut paths = vec![directory];
    paths.extend(arguments.config.file());
    paths.extend(live.key_file.clone());
    paths.extend(live.socket.clone());
    Discretion::new(&paths, arguments.wallets)
}
