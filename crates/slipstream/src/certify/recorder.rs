//! Websockets of the adapter with an ear on them: what is said and heard first on each is recorded, and frames are
//! counted by what they call themselves.

use std::{
    collections::BTreeMap,
    sync::{Arc, Mutex, PoisonError},
};

use async_trait::async_trait;
use domain::Clock;
use polymarket::socket::{Connection, Connector, Frame, SocketError, WebSockets};
use serde_json::Value;

use super::transcript::Transcript;

/// Frames of a connection that are kept whole; all are counted.
const FRAMES_KEPT: usize = 12;

/// Makes connections and listens.
pub(super) struct Recorder {
    clock: Arc<dyn Clock>,
    transcript: Arc<Transcript>,
    heard: Arc<Mutex<BTreeMap<String, usize>>>,
}

impl Recorder {
    /// What is said goes to this transcript.
    pub(super) fn new(clock: Arc<dyn Clock>, transcript: Arc<Transcript>) -> Self {
        Self { clock, transcript, heard: Arc::default() }
    }

    /// How many events of each kind were heard so far.
    pub(super) fn heard(&self) -> BTreeMap<String, usize> {
        self.heard.lock().unwrap_or_else(PoisonError::into_inner).clone()
    }
}

#[async_trait]
impl Connector for Recorder {
    async fn connect(&self, url: &str) -> Result<Box<dyn Connection>, SocketError> {
        let inner = WebSockets.connect(url).await?;
        let path = url.splitn(4, '/').nth(3).map_or_else(|| "/".to_owned(), |path| format!("/{path}"));
        Ok(Box::new(Recorded {
            inner,
            path,
            kept: 0,
            clock: Arc::clone(&self.clock),
            transcript: Arc::clone(&self.transcript),
            heard: Arc::clone(&self.heard),
        }))
    }
}

struct Recorded {
    inner: Box<dyn Connection>,
    path: String,
    kept: usize,
    clock: Arc<dyn Clock>,
    transcript: Arc<Transcript>,
    heard: Arc<Mutex<BTreeMap<String, usize>>>,
}

#[async_trait]
impl Connection for Recorded {
    async fn send(&mut self, text: &str) -> Result<(), SocketError> {
        if serde_json::from_str::<Value>(text).is_ok() {
            self.transcript.keep_said(self.clock.now(), &self.path, text.as_bytes());
        }
        self.inner.send(text).await
    }

    async fn receive(&mut self) -> Result<Frame, SocketError> {
        let frame = self.inner.receive().await?;
        if let Frame::Text(text) = &frame
            && let Ok(value) = serde_json::from_str::<Value>(text)
        {
            let mut heard = self.heard.lock().unwrap_or_else(PoisonError::into_inner);
            for kind in kinds(&value) {
                *heard.entry(kind).or_default() += 1;
            }
            drop(heard);
            if self.kept < FRAMES_KEPT {
                self.kept += 1;
                self.transcript.keep_heard(self.clock.now(), &self.path, text.as_bytes());
            }
        }
        Ok(frame)
    }
}

/// What the events of a frame call themselves: of the order book's channels `event_type`, of the live feed `type`.
fn kinds(frame: &Value) -> Vec<String> {
    let events = frame.as_array().map_or(std::slice::from_ref(frame), Vec::as_slice);
    let named = |event: &Value| {
        let name = event.get("event_type").or_else(|| event.get("type"))?.as_str()?;
        Some(name.chars().take(40).collect())
    };
    events.iter().filter_map(named).collect()
}

#[cfg(test)]
mod tests {
    use serde_json::json;

    use super::*;

    #[test]
    fn events_are_counted_by_their_own_names() {
        assert_eq!(
            kinds(&json!([{ "event_type": "book" }, { "event_type": "book", "type": "x" }])),
            ["book", "book"]
        );
        assert_eq!(kinds(&json!({ "topic": "activity", "type": "orders_matched" })), ["orders_matched"]);
        assert!(kinds(&json!(["text", 7, { "type": 7 }, {}])).is_empty() && kinds(&json!(null)).is_empty());
    }
}
