//! The record of a run: what was sent and answered, redacted, and the findings.

use std::{
    fs::OpenOptions,
    io::Write as _,
    os::unix::fs::OpenOptionsExt as _,
    path::Path,
    sync::{Mutex, MutexGuard, PoisonError},
};

use anyhow::Context as _;
use domain::Timestamp;
use serde::Serialize;
use serde_json::Value;

use super::{finding::Finding, redaction::Redaction};

/// One call.
#[derive(Clone, Debug, Serialize)]
pub(super) struct Exchange {
    pub(super) at: Timestamp,
    pub(super) method: String,
    pub(super) path: String,
    pub(super) request: Value,
    pub(super) status: Option<u16>,
    pub(super) headers: Vec<(String, String)>,
    pub(super) reply: Value,
}

#[derive(Serialize)]
struct Document<'a> {
    version: &'static str,
    live: bool,
    began: Timestamp,
    findings: &'a [Finding],
    exchanges: &'a [Exchange],
}

impl Exchange {
    /// One side of what goes over a websocket, which has no status and no headers.
    fn spoken(at: Timestamp, method: &str, path: &str, (request, reply): (Value, Value)) -> Self {
        let (method, path) = (method.to_owned(), path.to_owned());
        Self { at, method, path, request, status: None, headers: Vec::new(), reply }
    }
}

/// Everything said so far.
pub(super) struct Transcript {
    live: bool,
    began: Timestamp,
    state: Mutex<State>,
}

#[derive(Default)]
struct State {
    redaction: Redaction,
    exchanges: Vec<Exchange>,
}

/// Status, headers worth keeping, body.
type Answered<'a> = (u16, &'a [(String, String)], &'a [u8]);

/// A call and its reply as they were.
pub(super) struct Raw<'a> {
    pub(super) at: Timestamp,
    pub(super) method: &'a str,
    pub(super) path: &'a str,
    pub(super) request: &'a [u8],
    /// An error's words when there was no reply.
    pub(super) reply: Result<Answered<'a>, String>,
}

impl Transcript {
    pub(super) fn new(live: bool, began: Timestamp) -> Self {
        Self { live, began, state: Mutex::default() }
    }

    fn state(&self) -> MutexGuard<'_, State> {
        self.state.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// Never writes this text.
    pub(super) fn hide(&self, text: &str) {
        self.state().redaction.hide(text);
    }

    /// A text as it may be shown.
    pub(super) fn shown(&self, text: &str) -> String {
        self.state().redaction.text(text)
    }

    /// Keeps a call.
    pub(super) fn keep(&self, raw: &Raw<'_>) {
        let mut state = self.state();
        let request = if raw.request.is_empty() { Value::Null } else { state.redaction.body(raw.request) };
        let (status, headers, reply) = match &raw.reply {
            Ok((status, headers, body)) => (Some(*status), headers.to_vec(), state.redaction.body(body)),
            Err(error) => (None, Vec::new(), Value::String(state.redaction.text(error))),
        };
        let path = state.redaction.text(raw.path);
        let method = raw.method.to_owned();
        state.exchanges.push(Exchange { at: raw.at, method, path, request, status, headers, reply });
    }

    /// Keeps what was said on a websocket.
    pub(super) fn keep_said(&self, at: Timestamp, path: &str, text: &[u8]) {
        let mut state = self.state();
        let request = state.redaction.body(text);
        state.exchanges.push(Exchange::spoken(at, "SAID", path, (request, Value::Null)));
    }

    /// Keeps what was heard on a websocket.
    pub(super) fn keep_heard(&self, at: Timestamp, path: &str, text: &[u8]) {
        let mut state = self.state();
        let reply = state.redaction.body(text);
        state.exchanges.push(Exchange::spoken(at, "HEARD", path, (Value::Null, reply)));
    }

    /// The whole of it. What was hidden late is left out of what was kept early, too.
    pub(super) fn document(&self, findings: &[Finding]) -> anyhow::Result<String> {
        let state = self.state();
        let document = Document {
            version: env!("CARGO_PKG_VERSION"),
            live: self.live,
            began: self.began,
            findings,
            exchanges: &state.exchanges,
        };
        let text = serde_json::to_string_pretty(&document).context("the transcript cannot be written")?;
        Ok(state.redaction.text(&text))
    }
}

/// Writes a document to a new file that only its owner reads.
pub(super) fn write(path: &Path, document: &str) -> anyhow::Result<()> {
    let mut file = OpenOptions::new()
        .write(true)
        .create_new(true)
        .mode(0o600)
        .open(path)
        .with_context(|| format!("cannot make {}; name another file with --out", path.display()))?;
    file.write_all(document.as_bytes()).with_context(|| format!("cannot write {}", path.display()))
}
