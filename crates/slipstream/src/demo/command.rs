//! The `demo` command around [`Demo`]: how it is shown, what is broken, what is reported.

use std::{process::ExitCode, time::Duration};

use domain::Clock;
use tokio::sync::{mpsc, watch};

use super::{Break, Demo, picture::Picture};
use crate::{cli::DemoArgs, clock::SystemClock};

/// Time between faults with `--faults`.
const FAULT_EVERY: Duration = Duration::from_secs(4);

/// Runs a demo to its report. The exit status is success only if every invariant holds.
///
/// # Errors
/// In words, with what to do.
pub async fn run(arguments: &DemoArgs) -> anyhow::Result<ExitCode> {
    let mut demo = Demo::start(&arguments.options()).await?;
    let (pictures, _seen) = watch::channel(Picture::default());
    let (breaks, mut wanted) = mpsc::unbounded_channel();
    let (stop, mut stopped) = watch::channel(false);
    let _interrupts = tokio::spawn(stop_on_signal(stop));
    if arguments.faults {
        let _faults = tokio::spawn(break_regularly(breaks.clone()));
    }
    demo.run(&pictures, &mut wanted, &mut stopped).await?;
    demo.shutdown().await;
    Ok(ExitCode::SUCCESS)
}

/// Breaks the worker, the venue and the chain in turn; the venue comes back with the next turn.
async fn break_regularly(breaks: mpsc::UnboundedSender<Break>) {
    for what in [Break::Worker, Break::Venue, Break::Venue, Break::Chain].into_iter().cycle() {
        SystemClock.sleep(FAULT_EVERY).await;
        if breaks.send(what).is_err() {
            return;
        }
    }
}

async fn stop_on_signal(stop: watch::Sender<bool>) {
    let Ok(mut terminate) = tokio::signal::unix::signal(tokio::signal::unix::SignalKind::terminate()) else {
        return;
    };
    tokio::select! {
        // An error means no signals: then nothing stops us.
        _ = tokio::signal::ctrl_c() => {}
        _ = terminate.recv() => {}
    }
    stop.send_replace(true);
}
