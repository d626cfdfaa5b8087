//! What happens, as it happens: one look at the store for everybody who listens, and what a listener missed read again.

use std::{
    sync::{
        Arc,
        atomic::{AtomicUsize, Ordering},
    },
    time::Duration,
};

use axum::response::sse::Event as Line;
use domain::{Clock, ids::OwnerId};
use engine::ports::store::{Event, Store, StoreResult};
use futures_util::{
    Stream,
    future::{Either, select},
    stream,
};
use tokio::sync::broadcast::{self, error::RecvError};
use tracing::warn;

use crate::{
    Tenant,
    limits::{EVENTS, EVENTS_EVERY, KEEP_ALIVE, STREAM_LASTS, STREAMS},
};

/// Pages of missed events that a listener gets; whoever missed more reads everything anew.
const MISSED_PAGES: usize = 4;

/// An event, written once for all listeners.
#[derive(Debug)]
pub(crate) struct Told {
    id: i64,
    owner: Option<OwnerId>,
    json: String,
}

impl Told {
    fn of((id, event): (i64, Event)) -> Arc<Self> {
        let json = serde_json::to_string(&event).unwrap_or_default();
        Arc::new(Self { id, owner: event.owner, json })
    }

    fn line(&self) -> Line {
        Line::default().id(self.id.to_string()).event("event").data(&self.json)
    }
}

/// Everybody who listens.
pub(crate) struct Feed {
    store: Arc<dyn Store>,
    clock: Arc<dyn Clock>,
    sender: broadcast::Sender<Arc<Told>>,
    listeners: AtomicUsize,
    /// Held while a task looks for events.
    looking: Arc<tokio::sync::Mutex<()>>,
}

/// Somebody who listens, for as long as this lives.
pub(crate) struct Listener {
    feed: Arc<Feed>,
    receiver: broadcast::Receiver<Arc<Told>>,
    tenant: Tenant,
    /// Uptime at which it ends: a browser asks again then, and is looked at again.
    until: Duration,
    /// The newest that was told.
    last: i64,
    /// What is told before anything new.
    waiting: std::vec::IntoIter<Arc<Told>>,
    /// More was missed than is told.
    gap: bool,
    greeted: bool,
}

impl Drop for Listener {
    fn drop(&mut self) {
        self.feed.listeners.fetch_sub(1, Ordering::AcqRel);
    }
}

impl Feed {
    pub(crate) fn new(store: Arc<dyn Store>, clock: Arc<dyn Clock>) -> Self {
        let (sender, _) = broadcast::channel(EVENTS);
        Self { store, clock, sender, listeners: AtomicUsize::new(0), looking: Arc::default() }
    }

    /// Listens from now on, or from behind the last event that somebody has heard. `None` when too many listen.
    pub(crate) async fn listen(
        self: &Arc<Self>,
        tenant: Tenant,
        after: Option<i64>,
    ) -> StoreResult<Option<Listener>> {
        let newest = self.store.newest_event().await?;
        if self.listeners.fetch_add(1, Ordering::AcqRel) >= STREAMS {
            self.listeners.fetch_sub(1, Ordering::AcqRel);
            return Ok(None);
        }
        let mut listener = Listener {
            feed: Arc::clone(self),
            receiver: self.sender.subscribe(),
            tenant,
            until: self.clock.uptime().saturating_add(STREAM_LASTS),
            last: after.unwrap_or(newest),
            waiting: Vec::new().into_iter(),
            gap: false,
            greeted: false,
        };
        self.look_from(newest);
        if let Some(after) = after {
            let (missed, gap) = self.missed(after).await?;
            listener.waiting = missed.into_iter();
            listener.gap = gap;
        }
        Ok(Some(listener))
    }

    /// Events behind one, and whether there are more.
    async fn missed(&self, after: i64) -> StoreResult<(Vec<Arc<Told>>, bool)> {
        let (mut told, mut last) = (Vec::new(), after);
        for _ in 0..MISSED_PAGES {
            let page = self.store.events_after(last, EVENTS).await?;
            let whole = page.len() == EVENTS;
            last = page.last().map_or(last, |(id, _)| *id);
            told.extend(page.into_iter().map(Told::of));
            if !whole {
                return Ok((told, false));
            }
        }
        Ok((Vec::new(), true))
    }

    /// Looks for events while somebody listens, unless a task does already.
    fn look_from(self: &Arc<Self>, newest: i64) {
        let Ok(turn) = Arc::clone(&self.looking).try_lock_owned() else { return };
        let feed = Arc::clone(self);
        tokio::spawn(async move {
            let (mut last, mut turn) = (newest, turn);
            loop {
                while feed.listeners.load(Ordering::Acquire) > 0 {
                    last = feed.look(last).await;
                    feed.clock.sleep(EVENTS_EVERY).await;
                }
                drop(turn);
                // Somebody may have come meanwhile, and have seen that a task looks.
                let again = feed.listeners.load(Ordering::Acquire) > 0;
                match Arc::clone(&feed.looking).try_lock_owned() {
                    Ok(next) if again => turn = next,
                    _ => return,
                }
            }
        });
    }

    /// Tells what is new to all listeners; what cannot be read is told the next time.
    async fn look(&self, mut last: i64) -> i64 {
        match self.store.events_after(last, EVENTS).await {
            Ok(page) => {
                for event in page {
                    last = event.0;
                    // Nobody listens any more.
                    let _ = self.sender.send(Told::of(event));
                }
            }
            Err(error) => warn!(%error, "events cannot be read for the pages: {error}"),
        }
        last
    }
}

impl Listener {
    /// What is told to him, for as long as he listens.
    pub(crate) fn lines(self) -> impl Stream<Item = Result<Line, std::convert::Infallible>> + Send {
        stream::unfold(self, |mut listener| async move {
            let line = listener.next().await?;
            Some((Ok(line), listener))
        })
    }

    async fn next(&mut self) -> Option<Line> {
        if self.feed.clock.uptime() >= self.until {
            return None;
        }
        if !self.greeted {
            self.greeted = true;
            return Some(self.alive().retry(Duration::from_secs(1)));
        }
        if std::mem::take(&mut self.gap) {
            return Some(
                Line::default().event("gap").data("more happened than is told; read everything anew"),
            );
        }
        loop {
            if let Some(told) = self.waiting.next() {
                if let Some(line) = self.told(&told) {
                    return Some(line);
                }
                continue;
            }
            let silence = self.feed.clock.sleep(KEEP_ALIVE);
            let heard = match select(Box::pin(self.receiver.recv()), silence).await {
                Either::Left((heard, _)) => Some(heard),
                Either::Right(_) => None,
            };
            let Some(heard) = heard else { return Some(self.alive()) };
            match heard {
                Ok(told) => {
                    if let Some(line) = self.told(&told) {
                        return Some(line);
                    }
                }
                // He was too slow: what he missed is read again.
                Err(RecvError::Lagged(_)) => match self.feed.missed(self.last).await {
                    Ok((_, true)) => {
                        return Some(
                            Line::default()
                                .event("gap")
                                .data("more happened than is told; read everything anew"),
                        );
                    }
                    Ok((missed, false)) => self.waiting = missed.into_iter(),
                    Err(_) => return None,
                },
                Err(RecvError::Closed) => return None,
            }
        }
    }

    fn told(&mut self, told: &Told) -> Option<Line> {
        if told.id <= self.last {
            return None;
        }
        self.last = told.id;
        self.tenant.hears(told.owner).then(|| told.line())
    }

    /// Says that the stream lives, and up to where everything was told.
    fn alive(&self) -> Line {
        Line::default().event("alive").id(self.last.to_string()).data(self.feed.clock.now().to_string())
    }
}
