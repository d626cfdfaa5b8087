//! The `demo` command around [`Demo`]: how it is shown, what is broken, when it stops, what is reported.

use std::{
    io::{self, IsTerminal, Write},
    net::SocketAddr,
    path::Path,
    process::ExitCode,
    time::Duration,
};

use anyhow::Context;
use domain::Clock;
use tokio::{
    signal::unix::{SignalKind, signal},
    sync::{mpsc, watch},
    task::JoinHandle,
};

use super::{
    Break, Demo, Options,
    directory::DataDirectory,
    headless,
    paint::Paint,
    picture::Picture,
    report::Report,
    setup,
    view::{Controls, Screen},
};
use crate::{
    cli::DemoArgs,
    clock::SystemClock,
    configuration::{Configuration, keys::AccessSettings},
    logging, output,
    pages::{self, DemoLink},
};

/// Time between faults with `--faults`.
const FAULT_EVERY: Duration = Duration::from_secs(4);
/// Exit status of a command that was interrupted, as shells have it.
const INTERRUPTED: u8 = 130;
/// Name of the log in the data directory.
const LOG: &str = "slipstream.log";

/// How a demo is shown.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Show {
    /// Drawn on the terminal.
    View,
    /// As lines.
    Lines,
    /// Not at all, but for the report as JSON.
    Json,
}

impl Show {
    fn of(arguments: &DemoArgs) -> Self {
        let dumb = std::env::var_os("TERM").is_none_or(|term| term.is_empty() || term == "dumb");
        let terminal = io::stdout().is_terminal() && io::stdin().is_terminal() && !dumb;
        match (arguments.json, arguments.headless || !terminal) {
            (true, _) => Self::Json,
            (false, true) => Self::Lines,
            (false, false) => Self::View,
        }
    }
}

/// Runs a demo to its report. The exit status is success only if every invariant holds.
///
/// # Errors
/// In words, with what to do.
pub async fn run(arguments: &DemoArgs) -> anyhow::Result<ExitCode> {
    let configuration = Configuration::load(arguments.config.path.as_deref(), std::env::vars_os())?;
    let watched = Watched { address: configuration.web.address, stay: arguments.stay };
    let options = setup::options(arguments, configuration)?;
    let show = Show::of(arguments);
    let mut directory = DataDirectory::make(options.data_dir.as_deref())?;
    match show {
        Show::View => logging::to_file(&directory.path.join(LOG))?,
        Show::Lines | Show::Json => logging::to_stderr()?,
    }
    let Some(report) = run_shown(&options, watched, &directory.path, show).await? else {
        return Ok(ExitCode::from(INTERRUPTED));
    };
    print(&report, show)?;
    if report.holds {
        return Ok(ExitCode::SUCCESS);
    }
    // What went wrong can be looked at only if it is still there.
    directory.keep();
    let place = directory.path.display();
    let _ = writeln!(io::stderr(), "its data is kept in {place}; remove it when it has been looked at");
    Ok(ExitCode::FAILURE)
}

/// How it is watched in the browser.
#[derive(Clone, Copy, Debug)]
struct Watched {
    /// Where.
    address: Option<SocketAddr>,
    /// Whether the pages stay when the tape was played, until somebody ends it.
    stay: bool,
}

/// The report; `None` when somebody could not wait for it.
async fn run_shown(
    options: &Options,
    watched: Watched,
    data_dir: &Path,
    show: Show,
) -> anyhow::Result<Option<Report>> {
    let (pictures, seen) = watch::channel(Picture::default());
    let (breaks, wanted) = mpsc::unbounded_channel();
    let (interrupts, mut interrupted) = mpsc::unbounded_channel();
    let (stop, stopped) = watch::channel(false);
    let signals = tokio::spawn(pass_signals(interrupts.clone())?);
    let faults =
        options.faults.then(|| tokio::spawn(break_regularly(breaks.clone(), seen.clone(), stopped.clone())));
    let link = DemoLink { pictures: seen.clone(), breaks: breaks.clone() };
    let controls = Controls { breaks, interrupts, stopped: stopped.clone() };
    let shown = start_showing(show, seen, controls, options.speed);
    let result = tokio::select! {
        report = run_demo(options, (watched, link), data_dir, (pictures, wanted), stopped) => report.map(Some),
        () = twice(&mut interrupted, &stop) => {
            shown.abort();
            Ok(None)
        }
    };
    signals.abort();
    if let Some(faults) = faults {
        faults.abort();
    }
    // The terminal is given back before anything else is written; aborted is given back as well.
    let _ = shown.await;
    result
}

async fn run_demo(
    options: &Options,
    (watched, link): (Watched, DemoLink),
    data_dir: &Path,
    (pictures, mut wanted): (watch::Sender<Picture>, mpsc::UnboundedReceiver<Break>),
    mut stopped: watch::Receiver<bool>,
) -> anyhow::Result<Report> {
    let listener = pages::listen(watched.address, &AccessSettings::default()).await?;
    let mut demo = Demo::start(options, data_dir).await?;
    let pages = demo.serve_pages(listener, link);
    let settled = demo.run(&pictures, &mut wanted, &mut stopped).await;
    let report = match settled {
        Ok(settled) => Report::gather(&demo, settled, options).await,
        Err(error) => Err(error),
    };
    if watched.stay && report.is_ok() {
        // The sender lives as long as whoever may end it.
        let _ = stopped.wait_for(|stop| *stop).await;
    }
    pages.abort();
    let stopped = demo.shutdown().await.map_err(anyhow::Error::from);
    report.and_then(|report| stopped.map(|()| report)).context("the demo failed; it proves nothing")
}

/// Shows pictures in a task until they end. A terminal that cannot be drawn on gets lines.
fn start_showing(
    show: Show,
    pictures: watch::Receiver<Picture>,
    controls: Controls,
    speed: u32,
) -> JoinHandle<()> {
    tokio::spawn(async move {
        let drawn = if show == Show::View {
            match Screen::open() {
                Ok(screen) => screen.show(pictures.clone(), controls, speed).await,
                Err(error) => Err(error),
            }
        } else {
            Err(io::ErrorKind::Unsupported.into())
        };
        if drawn.is_err() {
            headless::show(pictures, show != Show::Json).await;
        }
    })
}

fn print(report: &Report, show: Show) -> anyhow::Result<()> {
    let text = match show {
        Show::Json => serde_json::to_string_pretty(report)?,
        Show::View => report.text(Paint::of(&io::stdout())),
        Show::Lines => format!("\n{}", report.text(Paint::of(&io::stdout()))),
    };
    output::print(&text)
}

/// Stops at the first interrupt, ends at the second.
async fn twice(interrupts: &mut mpsc::UnboundedReceiver<()>, stop: &watch::Sender<bool>) {
    let _ = interrupts.recv().await;
    stop.send_replace(true);
    let _ = interrupts.recv().await;
}

/// Breaks the worker, the venue and the chain in turn while the tape plays; the venue comes back with the
/// next turn.
async fn break_regularly(
    breaks: mpsc::UnboundedSender<Break>,
    pictures: watch::Receiver<Picture>,
    stopped: watch::Receiver<bool>,
) {
    for what in [Break::Worker, Break::Venue, Break::Venue, Break::Chain].into_iter().cycle() {
        SystemClock.sleep(FAULT_EVERY).await;
        let over = pictures.borrow().played || *stopped.borrow();
        if over || breaks.send(what).is_err() {
            return;
        }
    }
}

/// Passes SIGINT, SIGTERM and SIGHUP on.
fn pass_signals(
    interrupts: mpsc::UnboundedSender<()>,
) -> anyhow::Result<impl Future<Output = ()> + Send + 'static> {
    let handler = |kind| signal(kind).context("no signal handler");
    let mut interrupt = handler(SignalKind::interrupt())?;
    let mut terminate = handler(SignalKind::terminate())?;
    let mut hangup = handler(SignalKind::hangup())?;
    Ok(async move {
        loop {
            tokio::select! {
                _ = interrupt.recv() => {}
                _ = terminate.recv() => {}
                _ = hangup.recv() => {}
            }
            if interrupts.send(()).is_err() {
                return;
            }
        }
    })
}
