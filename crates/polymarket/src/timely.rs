//! A request's body that is not written when its time is over: the connection may take long to be there.

use std::{
    pin::Pin,
    sync::{
        Arc,
        atomic::{AtomicBool, Ordering},
    },
    task::{Context, Poll},
    time::Duration,
};

use bytes::Bytes;
use domain::Clock;
use http_body::{Body, Frame, SizeHint};

/// The bytes, and until when they may be written. They are asked for once there is a connection to write them to; a
/// request of which only the head came is none.
pub(crate) struct Timely {
    bytes: Bytes,
    written: bool,
    clock: Arc<dyn Clock>,
    /// Uptime.
    before: Duration,
    late: Late,
}

/// Whether bytes were kept back because their time was over.
#[derive(Clone, Debug, Default)]
pub(crate) struct Late(Arc<AtomicBool>);

impl Late {
    pub(crate) fn was(&self) -> bool {
        self.0.load(Ordering::Acquire)
    }
}

/// The time to write the bytes is over.
#[derive(Clone, Copy, Debug, thiserror::Error)]
#[error("its time was over before the first byte")]
pub(crate) struct TooLate;

impl Timely {
    pub(crate) fn new(bytes: Vec<u8>, clock: Arc<dyn Clock>, before: Duration) -> Self {
        Self { bytes: bytes.into(), written: false, clock, before, late: Late::default() }
    }

    pub(crate) fn bytes(&self) -> &[u8] {
        &self.bytes
    }

    pub(crate) fn late(&self) -> Late {
        self.late.clone()
    }
}

impl Body for Timely {
    type Data = Bytes;
    type Error = TooLate;

    fn poll_frame(
        mut self: Pin<&mut Self>,
        _: &mut Context<'_>,
    ) -> Poll<Option<Result<Frame<Bytes>, TooLate>>> {
        if std::mem::replace(&mut self.written, true) {
            return Poll::Ready(None);
        }
        if self.clock.uptime() >= self.before {
            self.late.0.store(true, Ordering::Release);
            return Poll::Ready(Some(Err(TooLate)));
        }
        Poll::Ready(Some(Ok(Frame::data(self.bytes.clone()))))
    }

    fn is_end_stream(&self) -> bool {
        self.written
    }

    fn size_hint(&self) -> SizeHint {
        SizeHint::with_exact(if self.written { 0 } else { self.bytes.len() as u64 })
    }
}
