//! The control socket: how commands reach the process that holds the data directory.
//!
//! One line of JSON each way. The socket is in the data directory and only its owner may open it.

use std::{
    fs,
    io::ErrorKind,
    os::unix::fs::PermissionsExt,
    path::{Path, PathBuf},
    sync::Arc,
    time::Duration,
};

use anyhow::{Context, bail, ensure};
use domain::Clock;
use engine::{deadline::within, ports::store::Store};
use serde::{Deserialize, Serialize};
use tokio::{
    io::{AsyncBufReadExt, AsyncReadExt, AsyncWriteExt, BufReader},
    net::{UnixListener, UnixStream},
    task::JoinHandle,
};
use tracing::{debug, warn};

use crate::{
    clock::SystemClock,
    commands::{self, Answer, Request, Witnesses},
    venue_clock::ClockWatch,
    wording::causes,
};

/// Name of the socket in the data directory.
pub const FILE: &str = "control.sock";
/// Longest path of a socket, in bytes: what the kernel has room for, less the closing zero.
const LONGEST_PATH: usize = 107;
/// Longest request.
const LONGEST_REQUEST: u64 = 64 * 1024;
/// Longest answer.
const LONGEST_ANSWER: u64 = 64 * 1024 * 1024;
/// A client that says nothing is dropped after this long.
const SILENCE: Duration = Duration::from_secs(10);
/// Longest wait for an answer of the running process.
const ANSWER: Duration = Duration::from_secs(30);
/// Longest wait for a verification, which recomputes everything there is.
const VERIFICATION: Duration = Duration::from_secs(3_600);

#[derive(Debug, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
enum Reply {
    Done(Answer),
    Refused(String),
}

/// Path of the socket of a data directory.
#[must_use]
pub fn path(data_dir: &Path) -> PathBuf {
    data_dir.join(FILE)
}

/// Refuses a data directory in which no socket can be made, before anything is made there.
///
/// # Errors
/// When its path is too long.
pub fn check_path(data_dir: &Path) -> anyhow::Result<()> {
    let length = path(data_dir).as_os_str().len();
    let too_long = length.saturating_sub(LONGEST_PATH);
    ensure!(
        too_long == 0,
        "the path of {} is {too_long} bytes too long for a control socket in it; use a directory with a shorter path, or a relative one",
        data_dir.display()
    );
    Ok(())
}

/// Listens until aborted. Call it only while holding the data directory's lock: a socket file that is
/// there already is of a process that died.
///
/// # Errors
/// When the socket cannot be made.
pub fn serve(
    data_dir: &Path,
    store: Arc<dyn Store>,
    clock: Arc<dyn Clock>,
    witnesses: Witnesses,
    watch: ClockWatch,
) -> anyhow::Result<JoinHandle<()>> {
    let path = path(data_dir);
    match fs::remove_file(&path) {
        Ok(()) => {}
        Err(error) if error.kind() == ErrorKind::NotFound => {}
        Err(error) => return Err(error).with_context(|| format!("cannot remove {}", path.display())),
    }
    // Made under another name, so that nobody can open it before its permissions are set.
    let temporary = path.with_extension("new");
    let _ = fs::remove_file(&temporary);
    let listener =
        UnixListener::bind(&temporary).with_context(|| format!("cannot listen on {}", path.display()))?;
    fs::set_permissions(&temporary, fs::Permissions::from_mode(0o600))?;
    fs::rename(&temporary, &path)?;
    Ok(tokio::spawn(async move {
        loop {
            match listener.accept().await {
                Ok((stream, _)) => {
                    let (store, clock, watch) = (Arc::clone(&store), Arc::clone(&clock), watch.clone());
                    let witnesses = witnesses.clone();
                    tokio::spawn(async move {
                        let told = converse(stream, store.as_ref(), clock.as_ref(), &witnesses, &watch);
                        if let Err(error) = told.await {
                            debug!(%error, "a client of the control socket went away");
                        }
                    });
                }
                Err(error) => {
                    warn!(%error, "the control socket cannot accept");
                    clock.sleep(Duration::from_millis(200)).await;
                }
            }
        }
    }))
}

async fn converse(
    mut stream: UnixStream,
    store: &dyn Store,
    clock: &dyn Clock,
    witnesses: &Witnesses,
    watch: &ClockWatch,
) -> anyhow::Result<()> {
    let (reader, mut writer) = stream.split();
    let mut line = String::new();
    let mut limited = BufReader::new(reader).take(LONGEST_REQUEST);
    let read = limited.read_line(&mut line);
    match within(clock, SILENCE, read).await {
        Ok(result) => result?,
        Err(_) => bail!("no request within {SILENCE:?}"),
    };
    let reply = match serde_json::from_str::<Request>(&line) {
        Ok(request) => match commands::answer(store, clock, witnesses, &request).await {
            Ok(answer) => Reply::Done(with_clock(answer, &request, watch)),
            Err(error) => Reply::Refused(causes(&error)),
        },
        Err(error) => Reply::Refused(format!("not a request: {error}")),
    };
    let mut bytes = serde_json::to_vec(&reply)?;
    bytes.push(b'\n');
    writer.write_all(&bytes).await?;
    Ok(())
}

/// A verification begins with the warning that the clock is off, while it is.
fn with_clock(answer: Answer, request: &Request, watch: &ClockWatch) -> Answer {
    match watch.warning().filter(|_| *request == Request::Verify) {
        Some(warning) => Answer { text: format!("{warning}\n{}", answer.text), ..answer },
        None => answer,
    }
}

/// Asks the running process of a data directory; `None` when none runs.
///
/// # Errors
/// What the process answers, or when the conversation breaks or the process does not answer in time.
pub async fn ask(data_dir: &Path, request: &Request) -> anyhow::Result<Option<Answer>> {
    let patience = if *request == Request::Verify { VERIFICATION } else { ANSWER };
    ask_within(data_dir, request, patience).await
}

async fn ask_within(
    data_dir: &Path,
    request: &Request,
    patience: Duration,
) -> anyhow::Result<Option<Answer>> {
    let path = path(data_dir);
    let mut stream = match UnixStream::connect(&path).await {
        Ok(stream) => stream,
        Err(error) if matches!(error.kind(), ErrorKind::NotFound | ErrorKind::ConnectionRefused) => {
            return Ok(None);
        }
        Err(error) => return Err(error).with_context(|| format!("cannot open {}", path.display())),
    };
    let pid = stream.peer_cred().ok().and_then(|peer| peer.pid());
    let line = match within(&SystemClock, patience, exchange(&mut stream, request)).await {
        Ok(line) => line?,
        Err(_) => bail!(
            "the process that holds {}{} has not answered for {patience:?}: it is stopped, hangs or is overloaded. \
             Whether it did what was asked is not known; look at its log and ask again. Or end it{}, which loses nothing, and \
             ask then: commands, `panic` too, work without it",
            data_dir.display(),
            pid.map(|pid| format!(" (pid {pid})")).unwrap_or_default(),
            pid.map(|pid| format!(" (`kill -9 {pid}`)")).unwrap_or_default(),
        ),
    };
    match serde_json::from_str(&line).with_context(|| format!("{} gave no answer", path.display()))? {
        Reply::Done(answer) => Ok(Some(answer)),
        Reply::Refused(reason) => bail!(reason),
    }
}

/// Sends the request, and gives the line that answers it.
async fn exchange(stream: &mut UnixStream, request: &Request) -> anyhow::Result<String> {
    let (reader, mut writer) = stream.split();
    let mut bytes = serde_json::to_vec(request)?;
    bytes.push(b'\n');
    writer.write_all(&bytes).await?;
    let mut line = String::new();
    BufReader::new(reader).take(LONGEST_ANSWER).read_line(&mut line).await?;
    Ok(line)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[tokio::test]
    async fn a_process_that_does_not_answer_is_named() {
        let directory = tempfile::tempdir().unwrap();
        let _hung = UnixListener::bind(path(directory.path())).unwrap();
        let asked = ask_within(directory.path(), &Request::Ping, Duration::from_millis(20)).await;
        let error = asked.unwrap_err().to_string();
        assert!(error.contains("has not answered for 20ms"), "{error}");
        assert!(error.contains(&format!("(pid {})", std::process::id())), "{error}");
    }
}
