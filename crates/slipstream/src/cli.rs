//! The command line.

use std::{ffi::OsString, io, ops::RangeInclusive, path::PathBuf, process::ExitCode};

use clap::{Args, FromArgMatches as _, Parser, Subcommand};

use domain::ids::{HoldId, RelationshipId};
use futures_util::future::LocalBoxFuture;
use serde_json::json;

use crate::{
    account::AccountCommand,
    backup::{BackupArgs, RestoreArgs},
    bench::command::BenchArgs,
    certify::command::CertifyArgs,
    commands::{self, Answer, Request, Thing},
    configuration::{ConfigFile, command::ConfigCommand, keys},
    db_command::DbCommand,
    demo::{SimulatorUrls, paint::Paint},
    discretion::without_secrets,
    doctor::command::DoctorArgs,
    export::Table,
    following::{self, EditArgs, FollowArgs, FollowingRequest, LeaderCommand, PanicArgs},
    holding::LiftArgs,
    manual,
    ops_command::OpsCommand,
    output::print,
    people::{TokenCommand, UserCommand},
    queue_command::QueueCommand,
    rpc_command::RpcCommand,
    run::{RunArgs, installation::InitArgs},
    runtime::Role,
    screen::{Style, folded},
    signer_command::SignerCommand,
    simulate::SimulatorArgs,
};

mod errors;
mod installation;

use errors::{BAD_INPUT, complain, complain_as, refused};
pub use installation::{Installation, InstanceCommand};

/// Copies Polymarket leaders' trades for followers, exactly once.
#[derive(Debug, Parser)]
#[command(name = "slipstream", version, about, max_term_width = 100)]
pub struct Cli {
    /// What to do.
    #[command(subcommand)]
    pub command: Command,
    /// Whether a program reads what is told, errors too.
    #[arg(skip)]
    pub json: bool,
}

/// Commands.
#[derive(Debug, Subcommand)]
pub enum Command {
    /// Copy real leaders' recorded trades on paper, in one process, with things to break.
    Demo(DemoArgs),
    /// Make an installation: a commented slipstream.toml, and a data directory with a paper account.
    Init(InitArgs),
    /// Copy leaders on the real market until told to stop: on paper, filled from the real book.
    Run(RunArgs),
    /// Sign, send and settle orders, beside other processes that share a database and a queue.
    Worker(RunArgs),
    /// Watch leaders and decide, beside other processes; one of all watchers is active, the others stand by.
    Watcher(RunArgs),
    /// Answer commands and tell what happens, beside other processes; it copies nothing itself.
    Backend(RunArgs),
    /// Which processes work on this installation, and that one has ended.
    Instance {
        /// What to do.
        #[command(subcommand)]
        command: InstanceCommand,
    },
    /// Find leaders.
    Leader {
        /// What to do.
        #[command(subcommand)]
        command: LeaderCommand,
    },
    /// Copy a leader's trades from now on.
    Follow(FollowArgs),
    /// Change how a leader is copied; what no flag names stays.
    Edit(EditArgs),
    /// Who copies whom, and how.
    Following {
        /// Where the installation is.
        #[command(flatten)]
        at: Installation,
    },
    /// Hold everything at once: once this returns, nothing further is signed.
    Panic(PanicArgs),
    /// Copy the database into one file, also while a process works on it.
    Backup(BackupArgs),
    /// Put a backup in place of the database; everything is held until you have looked.
    Restore(RestoreArgs),
    /// All decisions, orders or rows of the ledger, as CSV (or JSON); amounts are millionths.
    Export {
        /// What.
        table: Table,
        /// Where the installation is.
        #[command(flatten)]
        at: Installation,
    },
    /// The database: what its server is doing, its schema and roles, from a file to a server.
    Db {
        /// What to do.
        #[command(subcommand)]
        command: DbCommand,
    },
    /// The queue and the jobs that wait: look, set aside, put back, wait until nothing waits.
    Queue {
        /// What to do.
        #[command(subcommand)]
        command: QueueCommand,
    },
    /// For whoever is on call: how everything does, what is probably wrong, what stops entries.
    Ops {
        /// What to do.
        #[command(subcommand)]
        command: OpsCommand,
    },
    /// Measure this machine: our figures beside the bare parts they are made of.
    Bench(BenchArgs),
    /// Kill, freeze and cut off an installation of many processes, on private servers, and compare all books.
    Chaos(crate::chaos::command::ChaosArgs),
    /// Ask the venue what its documentation leaves open, and compare with what this program relies on. The
    /// simulated venue, unless told otherwise twice.
    Certify(CertifyArgs),
    /// Look at every dependency and setting: a verdict, what was seen, and what to do. Safe to paste into a ticket.
    Doctor(DoctorArgs),
    /// Check a configuration, or describe every key.
    Config {
        /// What to do.
        #[command(subcommand)]
        command: ConfigCommand,
    },
    /// The whole story of one trade, order or relationship on one screen.
    Inspect {
        /// What to inspect.
        thing: Thing,
        /// Transaction hash, order id (both may be cut short), or number of the relationship.
        id: String,
        /// Where the installation is.
        #[command(flatten)]
        at: Installation,
    },
    /// What is held, at what cost.
    Positions {
        /// Where the installation is.
        #[command(flatten)]
        at: Installation,
    },
    /// The newest answers to leaders' trades, with their reasons.
    Activity {
        /// How many.
        #[arg(long, default_value_t = 30, value_parser = clap::value_parser!(u16).range(1..))]
        limit: u16,
        /// Where the installation is.
        #[command(flatten)]
        at: Installation,
    },
    /// Recompute every decision, every order id and every ledger sum; fails on the first difference.
    Verify {
        /// Where the installation is.
        #[command(flatten)]
        at: Installation,
    },
    /// Accounts: with play money or your own, what they may spend, and what their wallets still need.
    Account {
        /// What to do.
        #[command(subcommand)]
        command: AccountCommand,
    },
    /// The signer: for whom to encrypt private keys, and what opens those that are there.
    Signer {
        /// What to do.
        #[command(subcommand)]
        command: SignerCommand,
    },
    /// Users of the pages and the API: invite, list, disable, reset.
    User {
        /// What to do.
        #[command(subcommand)]
        command: UserCommand,
    },
    /// Tokens for programs that use the API.
    Token {
        /// What to do.
        #[command(subcommand)]
        command: TokenCommand,
    },
    /// How late each source of leaders' trades is, and how often it differs from the chain.
    Sources {
        /// Where the installation is.
        #[command(flatten)]
        at: Installation,
    },
    /// Which RPC providers of Polygon are asked, and how they do.
    Rpc {
        /// What to do.
        #[command(subcommand)]
        command: RpcCommand,
    },
    /// Pause a relationship: once this returns, nothing further is signed for it. What it holds stays held, unsold.
    Pause(RelationshipArgs),
    /// Resume a paused relationship.
    Resume(RelationshipArgs),
    /// End a relationship for good. What it holds stays held: nobody sells it, but for `panic --sell`.
    Stop(RelationshipArgs),
    /// What is held for a cause: by an operator, or because the venue refuses an account.
    Holds {
        /// Where the installation is.
        #[command(flatten)]
        at: Installation,
    },
    /// Lift a hold. What users have paused stays paused.
    Lift(LiftArgs),
    /// Print completions for a shell: `source <(slipstream completions bash)`.
    Completions {
        /// Which.
        shell: clap_complete::Shell,
    },
    /// Write manual pages: `slipstream man ~/.local/share/man/man1`.
    Man {
        /// Where to.
        directory: PathBuf,
    },
    /// Run the simulated venue alone, for any bot. See docs/simulator.md.
    Simulator(SimulatorArgs),
}

/// Arguments of the commands on one relationship.
#[derive(Debug, Args)]
pub struct RelationshipArgs {
    /// Number of the relationship.
    pub relationship: i64,
    /// Where the installation is.
    #[command(flatten)]
    pub at: Installation,
}

/// Arguments of `demo`. What is left out is told by the configuration, see `setup::options`.
#[derive(Debug, Args)]
pub struct DemoArgs {
    /// Play the tape this many times faster than recorded [default: 30].
    #[arg(long, value_parser = clap::value_parser!(u16).range(range(&keys::SPEEDS)))]
    pub speed: Option<u16>,
    /// Number of paper followers [default: 5, or those of the configuration].
    #[arg(long, value_parser = clap::value_parser!(u16).range(range(&keys::FOLLOWERS)))]
    pub followers: Option<u16>,
    /// Seed of keys and of the simulated venue; the same seed gives the same answers [default: 1].
    #[arg(long, allow_negative_numbers = true)]
    pub seed: Option<u64>,
    /// Break something every few seconds.
    #[arg(
        long,
        num_args = 0..=1,
        require_equals = true,
        default_missing_value = "true",
        value_name = "true|false",
        hide_possible_values = true
    )]
    pub faults: Option<bool>,
    /// Play this instead of the recorded tape: another tape, or any trades or activity file of
    /// Polymarket's Data API.
    #[arg(long, value_name = "FILE")]
    pub tape: Option<PathBuf>,
    /// At the end of the tape leaders sell what they still hold, at the last price. These sales are made
    /// up; the report counts them apart.
    #[arg(
        long,
        num_args = 0..=1,
        require_equals = true,
        default_missing_value = "true",
        value_name = "true|false",
        hide_possible_values = true,
        conflicts_with = "leader"
    )]
    pub synthetic_exits: Option<bool>,
    /// Follow this wallet now, through the public Data API, instead of playing a tape. Paper money; the
    /// venue is simulated on the real book.
    #[arg(long, value_name = "ADDRESS", conflicts_with_all = ["tape", "simulator"])]
    pub leader: Option<domain::Address>,
    /// The Data API of `--leader`.
    #[arg(long, hide = true, default_value = "https://data-api.polymarket.com")]
    pub data_url: String,
    /// The order book service of `--leader`.
    #[arg(long, hide = true, default_value = "https://clob.polymarket.com")]
    pub clob_url: String,
    /// Keep the data here instead of in a temporary directory.
    #[arg(long, value_name = "DIRECTORY")]
    pub data_dir: Option<PathBuf>,
    /// Print lines instead of drawing on the terminal.
    #[arg(long)]
    pub headless: bool,
    /// Go on serving the pages when the tape was played, until it is ended.
    #[arg(long)]
    pub stay: bool,
    /// Print the report as JSON; nothing else goes to standard output.
    #[arg(long)]
    pub json: bool,
    /// Use a simulator in another process: its addresses as JSON.
    #[arg(long, hide = true, value_name = "JSON", value_parser = urls)]
    pub simulator: Option<SimulatorUrls>,
    /// Where the other settings are.
    #[command(flatten)]
    pub config: ConfigFile,
}

fn urls(text: &str) -> Result<SimulatorUrls, String> {
    serde_json::from_str(text).map_err(|error| error.to_string())
}

fn range(range: &RangeInclusive<u16>) -> RangeInclusive<i64> {
    i64::from(*range.start())..=i64::from(*range.end())
}

/// Reads the command line. What it refuses is told without repeating a secret that was typed in the wrong place; help and
/// version are printed.
///
/// # Errors
/// The exit status to end with.
pub fn parse(arguments: impl IntoIterator<Item = OsString>) -> Result<Cli, ExitCode> {
    let arguments: Vec<OsString> = arguments.into_iter().collect();
    let json = arguments.iter().take_while(|word| *word != "--").any(|word| word == "--json");
    let read = manual::command().try_get_matches_from(arguments);
    let read = read.and_then(|matches| Cli::from_arg_matches(&matches));
    read.map(|cli| Cli { json, ..cli }).map_err(|error| {
        let told = error.render();
        if error.exit_code() == 0 {
            // Help that nobody reads to its end is fine.
            let _ = error.print();
            return ExitCode::SUCCESS;
        }
        let plain = without_secrets(told.to_string().trim());
        let paint = Paint::of(&io::stderr()).is_on();
        let shown = if paint { without_secrets(&told.ansi().to_string()) } else { plain.clone() };
        let words = plain.trim_start_matches("error: ");
        complain_as(json, &json!({ "error": words }), shown.trim_end());
        ExitCode::from(BAD_INPUT)
    })
}

/// Runs a command. Errors go to standard error, with their causes; with --json as one object to standard output.
pub fn run(cli: Cli) -> LocalBoxFuture<'static, ExitCode> {
    Box::pin(execute(cli))
}

async fn execute(cli: Cli) -> ExitCode {
    let style = Style::of_output();
    let relationship = |arguments: &RelationshipArgs| RelationshipId(arguments.relationship);
    let result = match cli.command {
        Command::Demo(arguments) => crate::demo::command::run(&arguments).await,
        Command::Config { command } => crate::configuration::command::run(&command),
        Command::Doctor(arguments) => crate::doctor::command::run(&arguments, style)
            .await
            .and_then(|answer| told(&answer, arguments.at.json)),
        Command::Run(arguments) => crate::run::run(&arguments, Role::All).await,
        Command::Worker(arguments) => crate::run::run(&arguments, Role::Worker).await,
        Command::Watcher(arguments) => crate::run::run(&arguments, Role::Watcher).await,
        Command::Backend(arguments) => crate::run::run(&arguments, Role::Backend).await,
        Command::Instance { command: InstanceCommand::List { at } } => ask(&at, &Request::Instances).await,
        Command::Instance { command: InstanceCommand::Ended { name, at } } => {
            ask(&at, &Request::InstanceEnded { name, who: who() }).await
        }
        Command::Ops { command } => {
            let (request, at) = command.request(&who());
            ask(at, &request).await
        }
        Command::Follow(FollowArgs { policy, .. })
        | Command::Edit(EditArgs { policy, .. })
        | Command::Init(InitArgs { policy, .. })
            if !policy.mistakes().is_empty() =>
        {
            let mistakes: Vec<String> = policy.mistakes();
            let told = json!({ "error": mistakes.join("\n") });
            complain_as(cli.json, &told, &format!("slipstream: {}", mistakes.join("\n")));
            Ok(ExitCode::from(BAD_INPUT))
        }
        Command::Init(arguments) => {
            crate::run::installation::init(&arguments).await.and_then(|(answer, json)| told(&answer, json))
        }
        Command::Backup(arguments) => {
            crate::backup::backup(&arguments).await.and_then(|answer| told(&answer, arguments.at.json))
        }
        Command::Restore(arguments) => {
            crate::backup::restore(&arguments).await.and_then(|answer| told(&answer, arguments.at.json))
        }
        Command::Db { command } => {
            crate::db_command::run(&command).await.and_then(|(answer, json)| told(&answer, json))
        }
        Command::Queue { command } => {
            crate::queue_command::run(&command).await.and_then(|(answer, json)| told(&answer, json))
        }
        Command::Completions { shell } => {
            crate::manual::completions(shell).and_then(|answer| told(&answer, false))
        }
        Command::Man { directory } => {
            crate::manual::pages(&directory).and_then(|answer| told(&answer, false))
        }
        Command::Export { table, at } => ask(&at, &Request::Export(table)).await,
        Command::Leader { command } => {
            following::leader(&command, style).await.and_then(|(answer, json)| told(&answer, json))
        }
        Command::Follow(FollowArgs { leader, account, policy, at }) => {
            let request = FollowingRequest::Follow { leader, account, policy: policy.changes() };
            ask(&at, &Request::Following(request)).await
        }
        Command::Edit(EditArgs { relationship, policy, at }) => {
            let relationship = RelationshipId(relationship);
            let request = FollowingRequest::Edit { relationship, policy: policy.changes() };
            ask(&at, &Request::Following(request)).await
        }
        Command::Following { at } => ask(&at, &Request::Following(FollowingRequest::List { style })).await,
        Command::Panic(arguments) => match following::confirmed(&arguments).await {
            Ok(request) => ask(&arguments.at, &request).await,
            Err(error) => Err(error),
        },
        Command::Bench(arguments) => crate::bench::command::run(&arguments).await,
        Command::Chaos(arguments) => crate::chaos::command::run(&arguments).await,
        Command::Certify(arguments) => crate::certify::command::run(&arguments).await,
        Command::Simulator(arguments) => crate::simulate::run(&arguments).await,
        Command::Inspect { thing, id, at } => ask(&at, &Request::Inspect { thing, id, style }).await,
        Command::Positions { at } => ask(&at, &Request::Positions { style }).await,
        Command::Activity { limit, at } => {
            ask(&at, &Request::Activity { limit: usize::from(limit), style }).await
        }
        Command::Verify { at } => ask(&at, &Request::Verify).await,
        Command::Sources { at } => ask(&at, &Request::Sources { style }).await,
        Command::Holds { at } => {
            crate::operator::ask(&at, &Request::Holds).await.and_then(|answer| told(&answer, at.json))
        }
        Command::Lift(LiftArgs { hold, unchecked, at }) => {
            ask(&at, &Request::Lift { hold: HoldId(hold), unchecked }).await
        }
        Command::Rpc { command } => {
            crate::rpc_command::run(&command, style).await.and_then(|(answer, json)| told(&answer, json))
        }
        Command::Signer { command } => {
            crate::signer_command::run(&command).await.and_then(|(answer, json)| told(&answer, json))
        }
        Command::User { command } => {
            crate::people::user(&command).await.and_then(|(answer, json)| told(&answer, json))
        }
        Command::Token { command } => {
            crate::people::token(&command).await.and_then(|(answer, json)| told(&answer, json))
        }
        Command::Account { command } => {
            crate::account::run(&command, style).await.and_then(|(answer, json)| told(&answer, json))
        }
        Command::Pause(one) => ask(&one.at, &Request::Pause(relationship(&one))).await,
        Command::Resume(one) => ask(&one.at, &Request::Resume(relationship(&one))).await,
        Command::Stop(one) => ask(&one.at, &Request::Stop(relationship(&one))).await,
    };
    match result {
        Ok(code) => code,
        Err(error) => refused(&error, cli.json),
    }
}

/// Who types, for the record.
fn who() -> String {
    format!("user {}", rustix::process::getuid().as_raw())
}

async fn ask(at: &Installation, request: &Request) -> anyhow::Result<ExitCode> {
    told(&commands::ask(&at.place()?, request).await?, at.json)
}

fn told(answer: &Answer, json: bool) -> anyhow::Result<ExitCode> {
    if json {
        print(&serde_json::to_string_pretty(&answer.json)?)?;
    } else {
        print(&folded(answer.text.trim_end(), Style::of_output()))?;
    }
    Ok(if answer.ok { ExitCode::SUCCESS } else { ExitCode::FAILURE })
}

#[cfg(test)]
mod tests;
