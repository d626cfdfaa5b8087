//! Every limit of the pages and the API.

use std::time::Duration;

/// Longest body of a request.
pub(crate) const BODY: usize = 64 * 1024;
/// Requests of one client in a row, and how many more it may make in a second.
pub(crate) const BURST: u32 = 240;
pub(crate) const PER_SECOND: u32 = 20;
/// Clients whose pace is remembered.
pub(crate) const CLIENTS: usize = 10_000;
/// Rows of a page of a list, and at most.
pub(crate) const PAGE: usize = 50;
pub(crate) const LARGEST_PAGE: usize = 200;
/// Rows of the export at most; whoever has more takes `slipstream export`.
pub(crate) const EXPORTED: usize = 50_000;
/// Rows read at once.
pub(crate) const ROWS: usize = 1_000;
/// Answers that are looked through for what copying cost and why things were skipped.
pub(crate) const LOOKED_THROUGH: usize = 500;
/// Answers on the first page.
pub(crate) const NEWEST: usize = 12;
/// Trades of a leader that a preview is computed from, and groups looked through for them.
pub(crate) const PREVIEWED: usize = 10;
pub(crate) const PREVIEW_GROUPS: usize = 60;
/// Points of the curve at most.
pub(crate) const POINTS: i64 = 240;
/// How old what held shares are worth may be.
pub(crate) const PRICES_FRESH: Duration = Duration::from_secs(3);
/// Time between two looks for events while somebody listens.
pub(crate) const EVENTS_EVERY: Duration = Duration::from_millis(250);
/// Events read at once, and kept for whoever is slow.
pub(crate) const EVENTS: usize = 500;
/// A stream that says nothing for so long says that it lives.
pub(crate) const KEEP_ALIVE: Duration = Duration::from_secs(10);
/// How long a stream lasts: whoever listens longer asks again, and is let in only if he still may.
pub(crate) const STREAM_LASTS: Duration = Duration::from_secs(5 * 60);
/// Streams at once.
pub(crate) const STREAMS: usize = 1_000;
/// Answers to writes that are remembered for whoever repeats one, and for how long.
pub(crate) const REPLIES: usize = 1_000;
pub(crate) const REPLIES_KEPT: Duration = Duration::from_hours(24);
/// Longest `Idempotency-Key`.
pub(crate) const KEY_LETTERS: usize = 255;
