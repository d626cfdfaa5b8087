//! One run, from nothing to a report.

use std::{cell::Cell, collections::BTreeMap, path::PathBuf, sync::Arc, time::Duration};

use anyhow::{Context, bail};
use domain::Clock;
use futures_util::future::try_join;

use super::{
    checks::{Finding, Wrong, judge},
    facts::{self, Facts},
    faults::plan,
    followers::enrol,
    injecting::Injector,
    promoting::Promotion,
    recovering::{RECOVERS_WITHIN, Recovery},
    report::Report,
    stack::Stack,
    tape::{Tape, leaders},
    team::Team,
    witness::Witness,
};

/// Time between two lines of progress, and between two looks at what is left to do.
const TELL_EVERY: Duration = Duration::from_secs(5);
const LOOK_EVERY: Duration = Duration::from_millis(500);
/// Nothing to do so often in a row means that all is settled.
const QUIET_LOOKS: u32 = 4;
/// What an order may take to be given up that nobody has seen, and more: look-ups must be answered for two minutes.
const SETTLES_WITHIN: Duration = Duration::from_secs(240);
/// Trades are dated in whole seconds; those of the second in which somebody began to follow may be older.
const A_SECOND: Duration = Duration::from_millis(1_100);
/// The part of the time, in hundredths, in which faults happen; before and after it everything starts and settles.
const FAULTS_PART: u32 = 50;

/// What is asked for.
#[derive(Clone, Copy, Debug)]
pub(super) struct Wish {
    pub(super) seed: u64,
    pub(super) followers: usize,
    pub(super) jobs: usize,
    pub(super) kills: usize,
    pub(super) time: Duration,
    pub(super) workers: usize,
    pub(super) watchers: usize,
}

/// Runs; the report, and where everything was left if anything is wrong.
pub(super) async fn run(wish: Wish, clock: &Arc<dyn Clock>) -> anyhow::Result<(Report, Option<PathBuf>)> {
    progress("starting PostgreSQL, Redis and the simulated venue");
    let mut stack = tokio::task::block_in_place(|| Stack::start(wish.seed))?;
    let played = play(wish, &mut stack, clock).await;
    match played {
        Ok(report) if report.ok() => Ok((report, None)),
        Ok(report) => {
            stack.keep_tables()?;
            let kept = stack.keep();
            let text = serde_json::to_string_pretty(&report)?;
            std::fs::write(kept.join("report.json"), text).context("the report cannot be kept")?;
            Ok((report, Some(kept)))
        }
        Err(error) => {
            let kept = stack.keep();
            Err(error.context(format!("what was written is in {}", kept.display())))
        }
    }
}

async fn play(wish: Wish, stack: &mut Stack, clock: &Arc<dyn Clock>) -> anyhow::Result<Report> {
    let began = clock.uptime();
    let mut team = Team::begin(stack, &wish)?;
    team.until_signing(stack, clock.as_ref()).await?;
    progress(&format!("making {} accounts", wish.followers));
    let (wallets, secret) = enrol(stack, (wish.followers, wish.seed), &leaders(), clock).await?;
    let clock = clock.as_ref();
    team.start_all(stack, &secret)?;
    team.until_working(stack, clock).await?;
    clock.sleep(A_SECOND).await;

    let over = wish.time * FAULTS_PART / 100;
    let faults = plan(wish.seed, wish.kills, over, (wish.workers, wish.watchers));
    progress(&format!("{} faults in {} s, and leaders trade", faults.len(), over.as_secs()));
    let witness = Witness::new(stack.control.clone());
    let mut run = Run {
        wish,
        stack,
        team,
        tape: Tape::new(stack.control.clone(), wish.seed, wish.followers),
        injector: Injector::begin(faults, clock),
        witness: witness.clone(),
        clock,
        told: Cell::new(began),
    };
    let recovered = tokio::select! {
        error = witness.listen(clock) => return Err(error.err().context("the venue is not listened to")?),
        done = run.trade_and_break(began) => done?,
        _ = tokio::signal::ctrl_c() => bail!("interrupted"),
    };
    let traded = clock.uptime().saturating_sub(began);
    let settled = run.settle(&witness).await?;
    run.report(&wallets, (began, traded, settled), recovered).await
}

/// What a run is made of.
pub(super) struct Run<'a> {
    wish: Wish,
    pub(super) stack: &'a Stack,
    pub(super) team: Team,
    pub(super) tape: Tape,
    pub(super) injector: Injector,
    pub(super) witness: Witness,
    pub(super) clock: &'a dyn Clock,
    told: Cell<Duration>,
}

impl Run<'_> {
    /// Leaders trade while everything is broken, until there were enough of both.
    async fn trade_and_break(&mut self, began: Duration) -> anyhow::Result<(Vec<Recovery>, Promotion)> {
        let Self { wish, stack, team, tape, injector, witness, clock, told } = self;
        let (until, broken) = (began.saturating_add(wish.time), Cell::new(false));
        let breaking = async {
            injector.run(stack, team, *clock).await?;
            broken.set(true);
            anyhow::Ok(())
        };
        let trading = async {
            while (!broken.get() || tape.expected < wish.jobs) && clock.uptime() < until {
                tape.step(witness, *clock).await?;
                tell(told, *clock, || {
                    let (trades, copies) = (tape.trades.len(), witness.executed());
                    format!(
                        "{trades} trades of leaders, {copies} orders executed of {} expected",
                        tape.expected
                    )
                });
            }
            anyhow::Ok(())
        };
        try_join(breaking, trading).await?;
        let recoveries = self.recover().await?;
        let promotion = self.promote().await?;
        self.tape.wind_up(&self.witness, self.clock).await?;
        Ok((recoveries, promotion))
    }

    /// Waits until nothing is left to do; how long that took.
    async fn settle(&mut self, witness: &Witness) -> anyhow::Result<Duration> {
        progress("everything is mended, leaders have sold; waiting until all is settled");
        let (began, mut quiet) = (self.clock.uptime(), 0);
        while quiet < QUIET_LOOKS && self.clock.uptime() < began.saturating_add(SETTLES_WITHIN) {
            self.team.look(self.stack, self.clock.uptime())?;
            let left = facts::left(self.stack)?;
            quiet = if left == 0 { quiet + 1 } else { 0 };
            tell(&self.told, self.clock, || format!("{left} left to do"));
            self.clock.sleep(LOOK_EVERY).await;
        }
        witness.ask(self.clock).await?;
        Ok(self.clock.uptime().saturating_sub(began))
    }

    async fn report(
        &mut self,
        wallets: &[domain::Address],
        (began, traded, settled): (Duration, Duration, Duration),
        (recoveries, promotion): (Vec<Recovery>, Promotion),
    ) -> anyhow::Result<Report> {
        progress("comparing the venue's books, the database and the queue");
        let facts = Facts::read(self.stack, wallets, &self.tape.trades, &self.witness).await?;
        let mut verdict = judge(&facts);
        let unsound = |what: String| Finding { wrong: Wrong::Unsound, what };
        verdict.findings.extend(self.team.panics(self.stack).into_iter().map(unsound));
        verdict.findings.extend(self.verified()?.map(unsound));
        let never = recoveries.iter().filter(|recovery| recovery.millis.is_none());
        let lost = |one: &Recovery| Finding {
            wrong: Wrong::Lost,
            what: format!("no order came within {RECOVERS_WITHIN:?} after {}", one.after),
        };
        verdict.findings.extend(never.map(lost));
        let jobs = facts.intents.len();
        let seconds = traded.as_secs_f64();
        Ok(Report {
            seed: self.wish.seed,
            followers: self.wish.followers,
            trades: self.tape.trades.len(),
            jobs,
            jobs_wanted: self.wish.jobs,
            kills_wanted: self.wish.kills,
            workers: self.wish.workers,
            minutes: self.wish.time.as_secs().div_ceil(60),
            kills: owned(&self.injector.kills),
            faults: owned(&self.injector.others),
            not_played: self.not_played(),
            ended_by_themselves: self.team.ended_by_themselves.clone(),
            recoveries,
            promotion,
            adopted: facts.adopted.len(),
            jobs_per_second: f64::from(u32::try_from(jobs).unwrap_or(u32::MAX)) / seconds.max(0.001),
            traded_seconds: traded.as_secs(),
            settled_seconds: settled.as_secs(),
            seconds: self.clock.uptime().saturating_sub(began).as_secs(),
            events: facts::events(self.stack)?,
            commits_cut: self.stack.proxy.done(),
            diary: std::mem::take(&mut self.injector.diary),
            verdict,
        })
    }

    /// What this run could have broken, and has not.
    fn not_played(&self) -> Vec<String> {
        self.stack.no_disk.iter().map(|why| format!("a full disk: {why}")).collect()
    }

    /// What `slipstream verify` says against the books, if anything.
    fn verified(&self) -> anyhow::Result<Option<String>> {
        let mut command = self.stack.command("verify")?;
        command.arg("verify").arg("--json").env("SLIPSTREAM_CONFIG", self.stack.configuration());
        command.arg("--data-dir").arg(self.stack.home("backend-1")).stdout(std::process::Stdio::piped());
        let output = tokio::task::block_in_place(|| command.output()).context("slipstream verify")?;
        let said = String::from_utf8_lossy(&output.stdout).into_owned();
        let log = self.stack.log("verify");
        Ok((!output.status.success()).then(|| format!("`slipstream verify` fails: {said}{log}")))
    }
}

fn owned(counts: &BTreeMap<&'static str, u64>) -> BTreeMap<String, u64> {
    counts.iter().map(|(name, count)| ((*name).to_owned(), *count)).collect()
}

fn tell(told: &Cell<Duration>, clock: &dyn Clock, what: impl FnOnce() -> String) {
    let now = clock.uptime();
    if now.saturating_sub(told.get()) >= TELL_EVERY {
        told.set(now);
        progress(&what());
    }
}

#[expect(clippy::print_stderr, reason = "it takes minutes; people want to know that it goes on")]
pub(super) fn progress(what: &str) {
    eprintln!("{what} …");
}
