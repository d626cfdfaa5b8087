//! `slipstream account arm`: the second deliberate switch of real money. It shows what the account may spend, and
//! takes a typed word for an answer.

use std::sync::Arc;

use anyhow::{Context, ensure};
use clap::Args;
use domain::{Clock, Rounding, TradingAccount, Usd, money::MoneyError};
use engine::ports::following::AccountMode;
use polymarket::wallets::WalletReport;
use signer::Caps;

use super::{
    NOTHING_MISSING,
    desk::{Desk, Need},
    keyring::live_key,
    missing_of, named, report_of_account,
    requests::{AccountLine, AccountRequest},
};
use crate::{
    chain::ChainProviders, cli::Installation, clock::SystemClock, commands::Answer,
    configuration::ConfigFile, rpc_command::configured, terminal, wording::dollars,
};

/// The highest rate of the venue's schedule, of markets about crypto: `shares × rate × p(1−p)` is less than this of what is
/// paid for the shares, at any price. Source: docs.polymarket.com, trading/fees.
const HIGHEST_FEE_PERCENT: i64 = 7;

/// Arguments of `account arm`.
#[derive(Debug, Args)]
#[command(after_help = "Examples:
  slipstream account arm main --per-order 20 --per-day 200
  slipstream account arm main --per-order 20 --per-day 200 --yes main   # in a script

Arming again replaces the caps; what was spent today stays spent. The first switch is `enabled = true` of [live].
Exit status: 0 armed, 1 not armed, 2 the flags cannot be understood.")]
pub struct ArmArgs {
    /// The account's name or number.
    pub account: String,
    /// The most dollars that one order may spend; fees come on top.
    #[arg(long, value_name = "USD")]
    pub per_order: Usd,
    /// The most dollars that all orders of a day (UTC) may spend; fees come on top.
    #[arg(long, value_name = "USD")]
    pub per_day: Usd,
    /// Do not ask; it must be the account's name.
    #[arg(long, value_name = "NAME")]
    pub yes: Option<String>,
    /// Where the installation is.
    #[command(flatten)]
    pub at: Installation,
    /// Where the chain's providers are, and what opens the keys.
    #[command(flatten)]
    pub config: ConfigFile,
}

/// Runs it.
///
/// # Errors
/// In words, with what to do.
pub(super) async fn run(arguments: &ArmArgs) -> anyhow::Result<Answer> {
    let caps = Caps { order: arguments.per_order, day: arguments.per_day };
    if let Some(mistake) = caps.mistake() {
        anyhow::bail!("{mistake}; nothing was changed");
    }
    let live = arguments.config.configured()?.live;
    let place = arguments.at.place_by(&arguments.config)?;
    let desk = Desk::open(&place, &live, Need::Keys).await?;
    let line = find(&desk, &arguments.account).await?;
    ensure!(line.mode == AccountMode::Live, "account `{}` has play money and needs no arming", line.label);
    let (money, lacks) = look(&arguments.config, &line).await;
    let balance = match &money {
        Ok(money) => format!("{} pUSD", dollars(*money)),
        Err(error) => format!("an unknown balance ({error:#})"),
    };
    let word = match &arguments.yes {
        Some(word) => word.clone(),
        None => {
            let question = question(&line, &caps, (&balance, &lacks), live.enabled)?;
            terminal::ask(&question).context("give --yes with the account's name")?
        }
    };
    ensure!(word == line.label, "`{word}` is not the account's name `{}`; nothing was changed", line.label);
    let mut answer =
        desk.ask(AccountRequest::Arm { account: line.id.0.to_string(), caps, money: money.ok() }).await?;
    if arguments.yes.is_some() && line.cap.is_none() {
        answer.text.push_str(
            "\nthe account has no cap of its own: day by day, everything in its wallet may be spent",
        );
    }
    if arguments.yes.is_some() && lacks != NOTHING_MISSING {
        answer.text.push_str(&format!("\nits wallet has {balance}; {}", lacks.trim_end()));
    }
    if !live.enabled {
        answer
            .text
            .push_str("\nlive trading itself is off: set `enabled = true` of [live], and restart what runs");
    }
    Ok(answer)
}

/// The one account of this name or number.
pub(super) async fn find(desk: &Desk<'_>, name: &str) -> anyhow::Result<AccountLine> {
    let answer = desk.ask(AccountRequest::List { style: crate::screen::Style::default() }).await?;
    let lines: Vec<AccountLine> = serde_json::from_value(answer.json)?;
    named(lines, name)
}

fn question(
    line: &AccountLine,
    caps: &Caps,
    (balance, lacks): (&str, &str),
    enabled: bool,
) -> Result<String, MoneyError> {
    let in_all = match line.cap {
        Some(cap) => format!("at most {} $ at risk at once", dollars(cap)),
        None => {
            "no limit: day by day, everything in the wallet\n\
             \n\
             Warning: the account has no cap of its own (`account add --cap`), so only the caps of an order and of a day,\n\
             and those of what it follows (`slipstream following`), bound what can be lost.\n"
                .to_owned()
        }
    };
    let first = if enabled { "on" } else { "off, so nothing is signed yet" };
    Ok(format!(
        "account    {} ({})\nwallet     {} with {balance}\nlive       {first}\nan order   at most {} $\n\
         a day      at most {} $ (UTC)\nfees       besides: {}\nin all     {in_all}\n{lacks}\n\
         From now on this program may spend real money of this account by itself.\n\
         Type the account's name to arm it: ",
        line.label,
        line.id,
        line.wallet,
        dollars(caps.order),
        dollars(caps.day),
        fees_besides(caps)?,
    ))
}

/// What comes on top of caps: an order says what it gives for shares, and the venue takes its fee besides.
pub(super) fn fees_besides(caps: &Caps) -> Result<String, MoneyError> {
    let whole = HIGHEST_FEE_PERCENT.saturating_add(100);
    let with = |usd: Usd| usd.times(whole, 100, Rounding::Up).map(dollars);
    Ok(format!(
        "the venue's fees, by its schedule at most {HIGHEST_FEE_PERCENT} % of a buy ({} and {} with them), and the builder's \
         where [venue] names one",
        with(caps.order)?,
        with(caps.day)?
    ))
}

/// What the wallet has, and in words what it lacks. An unreadable chain arms all the same: `run` buys nothing before it
/// has found the same things in order.
async fn look(config: &ConfigFile, line: &AccountLine) -> (anyhow::Result<Usd>, String) {
    match report(config, line).await {
        Ok(report) => (Ok(report.used.dollars), missing_of(&report.missing, report.used).0),
        Err(error) => {
            let lacks = "what it lacks is not known either; `slipstream account check` tells\n".to_owned();
            (Err(error), lacks)
        }
    }
}

async fn report(config: &ConfigFile, line: &AccountLine) -> anyhow::Result<WalletReport> {
    let clock: Arc<dyn Clock> = Arc::new(SystemClock);
    let providers = ChainProviders::of(polymarket::client()?, &clock, &configured(config)?);
    let account = TradingAccount {
        id: line.id,
        wallet: line.wallet,
        signer: line.signer,
        kind: line.kind,
        key: live_key(line.wallet),
    };
    report_of_account(providers.json_rpc().as_ref(), &account, clock.now()).await
}

#[cfg(test)]
mod tests {
    use domain::{Address, WalletKind, ids::AccountId, money::ONE};

    use super::*;

    /// It said "at risk    no limit, at most".
    #[test]
    fn what_may_be_spent_is_said_plainly() {
        let line = |cap| AccountLine {
            id: AccountId(2),
            label: "main".to_owned(),
            mode: AccountMode::Live,
            state: "not armed".to_owned(),
            wallet: Address([1; 20]),
            kind: WalletKind::Eoa,
            until: None,
            signer: Address([1; 20]),
            cash: Usd::ZERO,
            cap,
            caps: None,
            spent: None,
        };
        let caps = Caps { order: Usd(20 * ONE), day: Usd(100 * ONE) };
        let asked = |cap| question(&line(cap), &caps, ("100.00 pUSD", NOTHING_MISSING), true).unwrap();
        let without = asked(None);
        for words in [
            "an order   at most 20.00 $\n",
            "a day      at most 100.00 $ (UTC)\n",
            "in all     no limit: day by day, everything in the wallet\n",
            "Warning: the account has no cap of its own",
        ] {
            assert!(without.contains(words), "{without}");
        }
        let with = asked(Some(Usd(500 * ONE)));
        assert!(with.contains("in all     at most 500.00 $ at risk at once\n"), "{with}");
        assert!(!with.contains("Warning") && !with.contains("no limit"), "{with}");
    }
}
