//! Flags of the commands on who copies whom, and looking for somebody to follow.

use clap::{Arg, ArgMatches, Command, Subcommand};
use domain::Address;
use polymarket::{People, Period, Person};
use serde_json::{Value, json};

use super::FollowingRequest;
use crate::{
    cli::Installation,
    commands::{self, Answer, Request},
    configuration::{
        ConfigFile, change_follower,
        keys::{FOLLOWER, FollowerSettings},
    },
    screen::{Style, table},
    wording::{NONE, dollars, harmless, signed_dollars},
};

/// Keys of a `[[follower]]` that say something about an account or a demo.
const NOT_POLICY: [&str; 2] = ["name", "cap_account"];
/// People shown at most.
const SHOWN: usize = 20;

/// Flags for the keys of a policy, made from the table of keys: one for each, with its meaning.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct PolicyFlags(Vec<(String, String)>);

impl PolicyFlags {
    /// What is wrong with the values, each by itself.
    #[must_use]
    pub fn mistakes(&self) -> Vec<String> {
        let told = change_follower(&mut FollowerSettings::default(), &self.0).err().unwrap_or_default();
        told.into_iter().map(|mistake| as_flags(&mistake)).collect()
    }

    /// Keys and their values.
    #[must_use]
    pub fn changes(&self) -> Vec<(String, String)> {
        self.0.clone()
    }
}

impl clap::FromArgMatches for PolicyFlags {
    fn from_arg_matches(matches: &ArgMatches) -> Result<Self, clap::Error> {
        let told = |name: &str| Some((name.to_owned(), matches.get_one::<String>(name)?.clone()));
        Ok(Self(policy_keys().filter_map(|(name, _)| told(name)).collect()))
    }

    fn update_from_arg_matches(&mut self, matches: &ArgMatches) -> Result<(), clap::Error> {
        *self = Self::from_arg_matches(matches)?;
        Ok(())
    }
}

/// A mistake that names a key of the configuration, by the flag of that key.
fn as_flags(mistake: &str) -> String {
    let key =
        policy_keys().find_map(|(name, _)| Some((name, mistake.strip_prefix(name)?.strip_prefix(" = ")?)));
    key.map_or_else(|| mistake.to_owned(), |(name, rest)| format!("--{} {rest}", name.replace('_', "-")))
}

fn policy_keys() -> impl Iterator<Item = (&'static str, &'static str)> {
    FOLLOWER.iter().filter(|key| !NOT_POLICY.contains(&key.name)).map(|key| (key.name, key.about))
}

impl clap::Args for PolicyFlags {
    fn augment_args(command: Command) -> Command {
        let flag = |command: Command, (name, about): (&'static str, &'static str)| {
            let argument = Arg::new(name).long(name.replace('_', "-")).value_name("VALUE").help(about);
            // A negative number is told to be none that can be used, by whoever knows what can.
            let argument = argument.allow_negative_numbers(true);
            command.arg(argument.help_heading("How to copy"))
        };
        policy_keys().fold(command, flag)
    }

    fn augment_args_for_update(command: Command) -> Command {
        Self::augment_args(command)
    }
}

/// Arguments of `follow`.
#[derive(Debug, clap::Args)]
#[command(after_help = "Examples:\n  slipstream follow 0x1e1e1e1e1e1e1e1e1e1e1e1e1e1e1e1e1e1e1e1e\n  \
    slipstream follow 0x1e1e1e1e1e1e1e1e1e1e1e1e1e1e1e1e1e1e1e1e --fixed 5 --cap-market 50\n  \
    slipstream follow 0x1e1e1e1e1e1e1e1e1e1e1e1e1e1e1e1e1e1e1e1e --account second --ratio 0.02")]
pub struct FollowArgs {
    /// Whose trades to copy.
    pub leader: Address,
    /// Label or number of the account that copies; the only one, if there is one.
    #[arg(long)]
    pub account: Option<String>,
    /// How; without flags a tenth of the leader's dollars, carefully.
    #[command(flatten)]
    pub policy: PolicyFlags,
    /// Where the installation is.
    #[command(flatten)]
    pub at: Installation,
}

/// Arguments of `edit`.
#[derive(Debug, clap::Args)]
#[command(
    after_help = "Examples:\n  slipstream edit 3 --fixed 10 --maximum-age 30s   # nothing else changes\n  \
    slipstream edit 3 --cap-market none              # takes a cap off"
)]
pub struct EditArgs {
    /// Number of the relationship.
    pub relationship: i64,
    /// What to change.
    #[command(flatten)]
    pub policy: PolicyFlags,
    /// Where the installation is.
    #[command(flatten)]
    pub at: Installation,
}

/// Arguments of `panic`.
#[derive(Debug, clap::Args)]
#[command(
    after_help = "Examples:\n  slipstream panic                # nothing more is signed until it is lifted\n  \
    slipstream panic --keep-exits   # no more buys; leaders are followed out\n  \
    slipstream panic --sell         # no more buys, and everything held is sold at what the book pays"
)]
pub struct PanicArgs {
    /// Hold buys only; go on following leaders out.
    #[arg(long)]
    pub keep_exits: bool,
    /// Hold buys, and sell everything that is held, at what the book pays: also of leaders that were paused or stopped.
    #[arg(long, conflicts_with = "keep_exits")]
    pub sell: bool,
    /// This account only, by label or number.
    #[arg(long)]
    pub account: Option<String>,
    /// Do not ask before selling.
    #[arg(long, short)]
    pub yes: bool,
    /// Where the installation is.
    #[command(flatten)]
    pub at: Installation,
}

/// Commands on leaders.
#[derive(Debug, Subcommand)]
pub enum LeaderCommand {
    /// The most profitable traders of a period, by the venue's leaderboard. The past promises nothing.
    Top {
        /// Of the last day, week or month, or since ever.
        #[arg(long, value_enum, default_value_t = Span::Week)]
        period: Span,
        /// Where the venue is.
        #[command(flatten)]
        config: ConfigFile,
        /// Print JSON.
        #[arg(long)]
        json: bool,
    },
    /// Look for people by their names.
    Search {
        /// A part of the name.
        name: String,
        /// Where the venue is.
        #[command(flatten)]
        config: ConfigFile,
        /// Print JSON.
        #[arg(long)]
        json: bool,
    },
    /// Who trades with a wallet.
    Show {
        /// The wallet.
        wallet: Address,
        /// Where the venue is.
        #[command(flatten)]
        config: ConfigFile,
        /// Print JSON.
        #[arg(long)]
        json: bool,
    },
    /// Know a wallet as a leader without following it yet.
    Add {
        /// The wallet.
        wallet: Address,
        /// Where the installation is.
        #[command(flatten)]
        at: Installation,
    },
    /// All leaders of this installation.
    List {
        /// Where the installation is.
        #[command(flatten)]
        at: Installation,
    },
}

/// A period of the leaderboard.
#[derive(Clone, Copy, Debug, PartialEq, Eq, clap::ValueEnum)]
pub enum Span {
    /// The last day.
    Day,
    /// The last week.
    Week,
    /// The last month.
    Month,
    /// Since ever.
    All,
}

impl From<Span> for Period {
    fn from(span: Span) -> Self {
        match span {
            Span::Day => Self::Day,
            Span::Week => Self::Week,
            Span::Month => Self::Month,
            Span::All => Self::All,
        }
    }
}

/// Runs a command on leaders.
///
/// # Errors
/// In words, with what to do.
pub async fn leader(command: &LeaderCommand, style: Style) -> anyhow::Result<(Answer, bool)> {
    let on_installation = async |at: &Installation, request: FollowingRequest| {
        Ok((commands::ask(&at.place()?, &Request::Following(request)).await?, at.json))
    };
    match command {
        LeaderCommand::Top { period, config, json } => {
            Ok((shown(people(config)?.leaderboard((*period).into(), SHOWN).await?, style), *json))
        }
        LeaderCommand::Search { name, config, json } => {
            Ok((shown(people(config)?.search(name, SHOWN).await?, style), *json))
        }
        LeaderCommand::Show { wallet, config, json } => {
            let found = people(config)?.show(*wallet).await?;
            let known = found.is_some();
            let mut answer = shown(found.into_iter().collect(), style);
            if !known {
                answer.text =
                    format!("nobody has heard of {wallet}: it has no profile and no standing this month");
            }
            Ok((Answer { ok: known, ..answer }, *json))
        }
        LeaderCommand::Add { wallet, at } => on_installation(at, FollowingRequest::AddLeader(*wallet)).await,
        LeaderCommand::List { at } => on_installation(at, FollowingRequest::Leaders).await,
    }
}

fn people(config: &ConfigFile) -> anyhow::Result<People> {
    let run = config.configured()?.run;
    let local = run.data_url.starts_with("http://") && run.gamma_url.starts_with("http://");
    let client = if local { polymarket::local_client() } else { polymarket::client() }?;
    Ok(People::new(client, &run.data_url, &run.gamma_url))
}

fn shown(people: Vec<Person>, style: Style) -> Answer {
    let line = |person: &Person| {
        let money =
            person.standing.map(|standing| (signed_dollars(standing.profit), dollars(standing.volume)));
        let (profit, volume) = money.unwrap_or_else(|| (NONE.to_owned(), NONE.to_owned()));
        vec![person.wallet.to_string(), profit, volume, harmless(&person.name)]
    };
    let columns = ["wallet", ">profit $", "?>volume $", "*name"];
    let row = |person: &Person| -> Value {
        json!({
            "wallet": person.wallet, "name": harmless(&person.name),
            "profit": person.standing.map(|standing| standing.profit),
            "volume": person.standing.map(|standing| standing.volume),
        })
    };
    let text = match people.is_empty() {
        true => "nobody found".to_owned(),
        false => table(style, &columns, people.iter().map(line)),
    };
    Answer { text, json: Value::from_iter(people.iter().map(row)), ok: true }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_mistake_is_told_of_the_flag_that_was_typed() {
        let flags =
            |name: &str, value: &str| PolicyFlags(vec![(name.to_owned(), value.to_owned())]).mistakes();
        let told = flags("maximum_age", "30");
        assert!(told.len() == 1 && told[0].starts_with("--maximum-age 30 "), "{told:?}");
        let read =
            crate::manual::command().try_get_matches_from(["slipstream", "edit", "1", "--fixed", "-5"]);
        assert!(read.is_ok(), "{:?}", read.err());
        assert!(flags("fixed", "-5")[0].starts_with("--fixed -5 must be"), "{:?}", flags("fixed", "-5"));
    }
}
