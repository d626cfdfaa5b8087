//! `slipstream ops`: the commands of whoever is on call.

use clap::{Args, Subcommand};
use domain::ids::{AccountId, RelationshipId};
use operations::breaker::Forced;

use crate::{
    cli::Installation,
    commands::Request,
    operations_desk::{Killed, OpsRequest},
};

/// Commands of whoever is on call.
#[derive(Debug, Subcommand)]
pub enum OpsCommand {
    /// How everything does that the process here needs: a line for each thing that was seen.
    #[command(after_help = "Example:\n  slipstream ops status --json")]
    Status(OpsArgs),
    /// The questions of the on-call runbook with their answers, the likely cause, and what to do.
    #[command(after_help = "Example:\n  slipstream ops diagnose")]
    Diagnose(OpsArgs),
    /// What is held for a cause, as `slipstream holds` tells it.
    #[command(after_help = "Example:\n  slipstream ops holds")]
    Holds(OpsArgs),
    /// How the circuit breakers of the process here stand, or override one.
    #[command(after_help = "Examples:
  slipstream ops breakers
  slipstream ops breakers --close polymarket_api/reads --minutes 30 --reason slow-endpoint
  slipstream ops breakers --auto polymarket_api/reads --reason well-again")]
    Breakers(BreakerArgs),
    /// The feature flags, or set one: how many of a hundred accounts it lets through. In force everywhere within a second.
    #[command(after_help = "Examples:
  slipstream ops flags
  slipstream ops flags entries.live --percent 10 --reason by-degrees")]
    Flags(FlagArgs),
    /// The alerts that fire, and those that are silenced. The exit status is a failure while one fires.
    #[command(after_help = "Example:\n  slipstream ops alerts --json")]
    Alerts(OpsArgs),
    /// Keep an alert from being told for a while. One that guards money cannot be.
    #[command(after_help = "Examples:
  slipstream ops silence DiskNearlyFull --hours 4 --reason larger-one-comes
  slipstream ops silence DiskNearlyFull --hours 0 --reason it-is-there")]
    Silence(SilenceArgs),
    /// Pull a kill switch: once this returns, nothing further is signed of what it stops. Exits go on, unless told otherwise.
    #[command(after_help = "Examples:
  slipstream ops kill --everybody --reason books-differ
  slipstream ops kill --leader 0x4766390000000000000000000000000000005a03 --minutes 60 --reason key-stolen")]
    Kill(KillArgs),
}

/// Where.
#[derive(Debug, Args)]
pub struct OpsArgs {
    /// Where the installation is.
    #[command(flatten)]
    pub at: Installation,
}

/// Which breaker, and what it is to do.
#[derive(Debug, Args)]
pub struct BreakerArgs {
    /// Stop entries, whatever it sees.
    #[arg(long, value_name = "NAME", requires = "reason", conflicts_with_all = ["close", "auto"])]
    pub open: Option<String>,
    /// Let entries through, whatever it sees.
    #[arg(long, value_name = "NAME", requires = "reason", conflicts_with = "auto")]
    pub close: Option<String>,
    /// Go by what it sees again.
    #[arg(long, value_name = "NAME", requires = "reason")]
    pub auto: Option<String>,
    /// For how long; a day at most.
    #[arg(long, default_value_t = 15, value_parser = clap::value_parser!(u16).range(1..=1_440))]
    pub minutes: u16,
    /// Why: it is told in the log of events.
    #[arg(long, value_name = "TEXT")]
    pub reason: Option<String>,
    /// Where the installation is.
    #[command(flatten)]
    pub at: Installation,
}

/// Which flag, and for how many.
#[derive(Debug, Args)]
pub struct FlagArgs {
    /// Which; without it all are told.
    #[arg(requires_all = ["percent", "reason"])]
    pub name: Option<String>,
    /// Of a hundred accounts so many are let through: always the same ones.
    #[arg(long, value_parser = clap::value_parser!(u8).range(0..=100), requires = "name")]
    pub percent: Option<u8>,
    /// Why: it is told in the log of events.
    #[arg(long, value_name = "TEXT", requires = "name")]
    pub reason: Option<String>,
    /// Where the installation is.
    #[command(flatten)]
    pub at: Installation,
}

/// Which alert, and for how long.
#[derive(Debug, Args)]
pub struct SilenceArgs {
    /// Which.
    pub alert: String,
    /// For how long, a week at most; 0 ends a silence.
    #[arg(long, value_parser = clap::value_parser!(u16).range(0..=168))]
    pub hours: u16,
    /// Why: it is told in the log of events.
    #[arg(long, value_name = "TEXT")]
    pub reason: String,
    /// Where the installation is.
    #[command(flatten)]
    pub at: Installation,
}

/// What is stopped.
#[derive(Debug, Args)]
#[command(group = clap::ArgGroup::new("what").required(true).args(["everybody", "leader", "account", "relationship"]))]
pub struct KillArgs {
    /// Everybody.
    #[arg(long)]
    pub everybody: bool,
    /// All who follow this wallet.
    #[arg(long, value_name = "ADDRESS")]
    pub leader: Option<domain::Address>,
    /// One account, by its number.
    #[arg(long, value_name = "NUMBER")]
    pub account: Option<i64>,
    /// One relationship, by its number.
    #[arg(long, value_name = "NUMBER")]
    pub relationship: Option<i64>,
    /// Exits, too: nothing at all is signed.
    #[arg(long)]
    pub exits: bool,
    /// It ends by itself after so long; without it, when it is lifted.
    #[arg(long, value_parser = clap::value_parser!(u16).range(1..))]
    pub minutes: Option<u16>,
    /// Why: it stands in the hold.
    #[arg(long, value_name = "TEXT")]
    pub reason: String,
    /// Where the installation is.
    #[command(flatten)]
    pub at: Installation,
}

impl OpsCommand {
    /// What is asked, and where.
    #[must_use]
    pub fn request(&self, who: &str) -> (Request, &Installation) {
        match self {
            Self::Status(OpsArgs { at }) => (Request::Ops(OpsRequest::Status), at),
            Self::Diagnose(OpsArgs { at }) => (Request::Ops(OpsRequest::Diagnose), at),
            Self::Holds(OpsArgs { at }) => (Request::Holds, at),
            Self::Alerts(OpsArgs { at }) => (Request::Ops(OpsRequest::Alerts), at),
            Self::Flags(arguments) => (Request::Ops(arguments.request(who)), &arguments.at),
            Self::Silence(SilenceArgs { alert, hours, reason, at }) => {
                let (rule, who, reason) = (alert.clone(), who.to_owned(), reason.clone());
                let seconds = u64::from(*hours).saturating_mul(3_600);
                (Request::Ops(OpsRequest::Silence { rule, seconds, who, reason }), at)
            }
            Self::Kill(arguments) => (Request::Ops(arguments.request(who)), &arguments.at),
            Self::Breakers(arguments) => (Request::Ops(arguments.request(who)), &arguments.at),
        }
    }
}

impl FlagArgs {
    fn request(&self, who: &str) -> OpsRequest {
        match (&self.name, self.percent, &self.reason) {
            (Some(name), Some(percent), Some(reason)) => {
                let (name, who, reason) = (name.clone(), who.to_owned(), reason.clone());
                OpsRequest::SetFlag { name, percent, who, reason }
            }
            _ => OpsRequest::Flags,
        }
    }
}

impl KillArgs {
    fn request(&self, who: &str) -> OpsRequest {
        let what = match (self.leader, self.account, self.relationship) {
            (Some(wallet), _, _) => Killed::Leader(wallet),
            (_, Some(number), _) => Killed::Account(AccountId(number)),
            (_, _, Some(number)) => Killed::Relationship(RelationshipId(number)),
            _ => Killed::Everybody,
        };
        let seconds = self.minutes.map(|minutes| u64::from(minutes).saturating_mul(60));
        OpsRequest::Kill {
            what,
            exits: self.exits,
            seconds,
            who: who.to_owned(),
            reason: self.reason.clone(),
        }
    }
}

impl BreakerArgs {
    fn request(&self, who: &str) -> OpsRequest {
        let (name, word) = match (&self.open, &self.close, &self.auto) {
            (Some(name), _, _) => (name, Some(Forced::Open)),
            (_, Some(name), _) => (name, Some(Forced::Closed)),
            (_, _, Some(name)) => (name, None),
            _ => return OpsRequest::Breakers,
        };
        OpsRequest::Override {
            name: name.clone(),
            word,
            seconds: u64::from(self.minutes).saturating_mul(60),
            who: who.to_owned(),
            reason: self.reason.clone().unwrap_or_default(),
        }
    }
}
