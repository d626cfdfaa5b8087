//! The venue's public history of wallets: v2 of the Data API, and v1 where v2 is not served.
//!
//! Rows are handed on as they came, one list per response: equal rows of one response are separate
//! fills, and rows are never counted across responses. So that fills of one second are not torn apart,
//! the second in which a page ends is read again, whole, by the next request.

use std::{
    collections::{HashMap, HashSet},
    sync::{Arc, Mutex, PoisonError},
    time::Duration,
};

use async_trait::async_trait;
use domain::{Address, Clock, Shares, Timestamp, TokenId};
use engine::ports::detection::Lane;
use engine::ports::venue::{History, HistoryResponse, TradeHistory, VenueError};
use reqwest::Client;
use serde::de::DeserializeOwned;

use crate::{
    answers::{Answers, Topic},
    data_rows::{ActivityRow, ClosedRow, Page, PositionRow, read_v1, read_v2},
    http::{Service, malformed},
    limits::{
        HISTORY_DEADLINE, MAX_HISTORY_PAGES, MAX_TOLD_ROWS, PAGE_BODY, V1_CLOSED_PAGE, V1_LAST_OFFSET,
        V1_PAGE, V2_PAGE,
    },
    pacer::{Endpoint, Pacer},
    venue_limits::VenueLimits,
};

/// The Data API.
pub struct DataApi {
    service: Service,
    pacer: Option<Pacer>,
    positions_lag: Option<(Arc<dyn Clock>, Duration)>,
    answers: Arc<Answers>,
    /// Rows that could not be read, and were told.
    told: Mutex<HashSet<String>>,
}

/// Which version answers.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Version {
    V1,
    V2,
}

/// What is read: a path of both versions and what narrows it.
struct Feed {
    path: &'static str,
    v2_path: &'static str,
    /// v1: rows of a page.
    v1_page: usize,
    endpoint: Endpoint,
    lane: Lane,
    /// v1: whether it can be asked for a span of time. `/trades` cannot (docs list no `start` and `end` there): it is
    /// read by offset, newest first.
    v1_spans: bool,
    v1_filter: &'static str,
    v2_filter: &'static str,
}

impl Feed {
    const fn path_in(&self, version: Version) -> &'static str {
        match version {
            Version::V1 => self.path,
            Version::V2 => self.v2_path,
        }
    }
}

/// Fills, and what moves shares without one.
const ACTIVITY: Feed = Feed {
    path: "/activity",
    v2_path: "/activity",
    v1_page: V1_PAGE,
    endpoint: Endpoint::History,
    lane: Lane::Entries,
    v1_spans: true,
    v1_filter: "&type=TRADE,REDEEM,SPLIT,MERGE,CONVERSION&sortBy=TIMESTAMP&sortDirection=DESC",
    v2_filter: "&type=TRADE,REDEEM,SPLIT,MERGE,CONVERSION&sort_direction=DESC",
};

/// Fills in both roles: the default of v1 leaves out what the wallet did as maker.
const TRADES: Feed = Feed {
    path: "/trades",
    v2_path: "/trades",
    v1_page: V1_PAGE,
    endpoint: Endpoint::HistoryTrades,
    lane: Lane::Entries,
    v1_spans: false,
    v1_filter: "&takerOnly=false",
    v2_filter: "&taker_only=false",
};

/// Everything held, however small.
const POSITIONS: Feed = Feed {
    path: "/positions",
    v2_path: "/positions",
    v1_page: V1_PAGE,
    endpoint: Endpoint::HistoryPositions,
    lane: Lane::Exits,
    v1_spans: false,
    v1_filter: "&sizeThreshold=0",
    v2_filter: "&size_threshold=0",
};

/// What was held, and no longer is.
const CLOSED: Feed = Feed {
    path: "/closed-positions",
    v2_path: "/positions",
    v1_page: V1_CLOSED_PAGE,
    endpoint: Endpoint::HistoryPositions,
    lane: Lane::Exits,
    v1_spans: false,
    v1_filter: "&sortBy=TIMESTAMP&sortDirection=DESC",
    v2_filter: "&status=CLOSED",
};

/// Where the next page begins.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
struct Position {
    /// Newest second asked for; `None` at first.
    end: Option<i64>,
    /// v1: rows to skip.
    offset: usize,
    /// v2: the venue's cursor.
    cursor: Option<String>,
}

impl DataApi {
    /// The service at `origin` (scheme and host).
    #[must_use]
    pub fn new(client: Client, origin: &str) -> Self {
        Self {
            service: Service::new(client, origin),
            pacer: None,
            positions_lag: None,
            answers: Arc::default(),
            told: Mutex::default(),
        }
    }

    /// Keeps the venue's limits, waits as long as it is told to, and believes no position that may be too old.
    #[must_use]
    pub fn paced(self, clock: Arc<dyn Clock>, limits: VenueLimits) -> Self {
        let positions_lag = Some((Arc::clone(&clock), limits.positions_lag));
        Self { pacer: Some(Pacer::new(clock, Some(limits))), positions_lag, ..self }
    }

    /// Counts how the service answers among these.
    #[must_use]
    pub fn counting(self, answers: Arc<Answers>) -> Self {
        Self { answers, ..self }
    }

    /// One page; `None` when this version does not serve the path.
    async fn page<T: DeserializeOwned>(
        &self,
        version: Version,
        feed: &Feed,
        wallet: Address,
        start: Option<i64>,
        position: &Position,
    ) -> Result<Option<Page<T>>, VenueError> {
        let (prefix, limit, filter) = match version {
            Version::V2 => ("/v2", V2_PAGE, feed.v2_filter),
            Version::V1 => ("", feed.v1_page, feed.v1_filter),
        };
        let mut query = format!("{prefix}{}?user={wallet}&limit={limit}{filter}", feed.path_in(version));
        let mut add = |name: &str, value: Option<String>| {
            if let Some(value) = value {
                query.push_str(&format!("&{name}={value}"));
            }
        };
        let start = start.filter(|_| version == Version::V2 || feed.v1_spans);
        add("start", start.map(|second| second.to_string()));
        add("end", position.end.map(|second| second.to_string()));
        add("offset", (position.offset > 0).then(|| position.offset.to_string()));
        add("cursor", position.cursor.as_deref().map(escape));
        let what = format!("GET {prefix}{}", feed.path_in(version));
        let ask = self.service.get(&query, HISTORY_DEADLINE, PAGE_BODY);
        let answer = match &self.pacer {
            Some(pacer) => pacer.paced((&what, feed.endpoint, feed.lane), HISTORY_DEADLINE, ask).await?,
            None => ask.await,
        };
        let answer = answer.map_err(|failure| failure.into_error(&what))?;
        if answer.status == 404 {
            return Ok(None);
        }
        if !answer.is_success() {
            return Err(answer.error(&what));
        }
        let read = match version {
            Version::V2 => read_v2(&answer.body),
            Version::V1 => read_v1(&answer.body),
        };
        read.map(Some).map_err(|reason| malformed(&what, &reason))
    }

    /// The first page, from the newest version that serves the feed.
    async fn first_page<T: DeserializeOwned>(
        &self,
        feed: &Feed,
        wallet: Address,
        start: Option<i64>,
    ) -> Result<(Version, Page<T>), VenueError> {
        for version in [Version::V2, Version::V1] {
            let page = self.page(version, feed, wallet, start, &Position::default()).await?;
            if let Some(page) = page {
                return Ok((version, page));
            }
        }
        let what = format!("GET {}", feed.path);
        Err(VenueError::Refused { what, reason: "served by neither version of the Data API".to_owned() })
    }

    /// Every row of the positions of a wallet, page by page, until `take` says that it has enough.
    async fn each_row<T: DeserializeOwned>(
        &self,
        feed: &Feed,
        wallet: Address,
        mut take: impl FnMut(&T) -> Result<bool, String>,
    ) -> Result<(), VenueError> {
        let bad = |reason: String| malformed(feed.path, &reason);
        let (version, mut page) = self.first_page::<T>(feed, wallet, None).await?;
        let mut position = Position::default();
        for _ in 0..MAX_HISTORY_PAGES {
            for row in &page.rows {
                if take(row).map_err(bad)? {
                    return Ok(());
                }
            }
            match (version, page.next_cursor) {
                (Version::V2, Some(cursor)) => position.cursor = Some(cursor),
                (Version::V1, _) if page.rows.len() >= feed.v1_page => {
                    position.offset = position.offset.saturating_add(page.rows.len());
                }
                _ => return Ok(()),
            }
            let following = self.page(version, feed, wallet, None, &position).await?;
            page = following.ok_or_else(|| bad("a following page is not found".to_owned()))?;
        }
        Err(bad(format!("more than {MAX_HISTORY_PAGES} pages of positions")))
    }

    async fn all_positions(&self, wallet: Address) -> Result<Vec<(TokenId, Shares)>, VenueError> {
        // By token, because a position can move to another page between two requests.
        let mut held = HashMap::new();
        self.each_row(&POSITIONS, wallet, |row: &PositionRow| {
            held.extend(row.read(wallet)?);
            Ok(false)
        })
        .await?;
        Ok(held.into_iter().collect())
    }

    /// The shares of a token that are shown as held: none if it is shown as closed, `None` if it is not shown at all.
    async fn shown(&self, wallet: Address, token: TokenId) -> Result<Option<Shares>, VenueError> {
        let mut shares = None;
        self.each_row(&POSITIONS, wallet, |row: &PositionRow| {
            let found = row.read(wallet)?.filter(|(other, _)| *other == token);
            shares = shares.or(found.map(|(_, shares)| shares));
            Ok(shares.is_some())
        })
        .await?;
        if shares.is_some() {
            return Ok(shares);
        }
        let mut closed = false;
        self.each_row(&CLOSED, wallet, |row: &ClosedRow| {
            closed |= row.read(wallet)? == token;
            Ok(closed)
        })
        .await?;
        Ok(closed.then_some(Shares::ZERO))
    }

    async fn rows_since(&self, feed: &Feed, wallet: Address, since: Timestamp) -> History {
        let mut responses = Vec::new();
        let read = self.read_pages(feed, wallet, since, &mut responses);
        let read = self.answers.counted(Topic::History, read).await;
        History { responses, gap: read.err() }
    }

    /// Tells once of each row that cannot be read.
    fn tell(&self, unreadable: Vec<String>) {
        self.answers.leave_out(Topic::History, unreadable.len());
        let mut told = self.told.lock().unwrap_or_else(PoisonError::into_inner);
        for row in unreadable {
            if told.len() >= MAX_TOLD_ROWS {
                told.clear();
            }
            if told.insert(row.clone()) {
                tracing::warn!("a row of the Data API is left out, for it cannot be read: {row}");
            }
        }
    }

    /// Page by page, newest first; those before an error are kept.
    async fn read_pages(
        &self,
        feed: &Feed,
        wallet: Address,
        since: Timestamp,
        responses: &mut Vec<HistoryResponse>,
    ) -> Result<(), VenueError> {
        // Whether the first second is part of the answer is not documented: ask for one more.
        let start = Some(since.seconds().saturating_sub(1).max(0));
        let (version, mut page) = self.first_page::<ActivityRow>(feed, wallet, start).await?;
        let mut position = Position::default();
        for _ in 0..MAX_HISTORY_PAGES {
            let bad = |reason: String| malformed(feed.path, &reason);
            let (response, unreadable) = read_rows(&page.rows, wallet, since).map_err(bad)?;
            self.tell(unreadable);
            responses.push(response);
            let following = match version {
                Version::V1 if !feed.v1_spans => next_by_offset(&page, &position, since),
                _ => next(version, &page, &position),
            };
            match following.map_err(bad)? {
                None => return Ok(()),
                Some(following) => position = following,
            }
            let following = self.page(version, feed, wallet, start, &position).await?;
            page = following.ok_or_else(|| malformed(feed.path, &"a following page is not found"))?;
        }
        Err(malformed(feed.path, &format!("more than {MAX_HISTORY_PAGES} pages since {since}")))
    }
}

/// Rows since a moment, and what is wrong with those that cannot be read: they come again with every answer, so they
/// must not stand in the way of the others.
///
/// # Errors
/// Rows of somebody else, or without a date: then nothing is known about the page.
fn read_rows(
    rows: &[ActivityRow],
    wallet: Address,
    since: Timestamp,
) -> Result<(HistoryResponse, Vec<String>), String> {
    let (mut response, mut unreadable) = (HistoryResponse::default(), Vec::new());
    for row in rows {
        if row.wallet() != wallet {
            return Err(format!("a row of {} among those of {wallet}", row.wallet()));
        }
        if row.seconds()? < since.seconds() {
            continue;
        }
        match row.read(wallet) {
            Ok(row) => response.rows.extend(row),
            Err(reason) => unreadable.push(format!("{} of {wallet}: {reason}", row.tx())),
        }
    }
    Ok((response, unreadable))
}

/// Where to go on after a page of v1 that knows no span of time: by offset until its rows are older than what is
/// asked for. Beyond the last offset there is nothing to be had; the other feed tells the same fills.
fn next_by_offset(
    page: &Page<ActivityRow>,
    at: &Position,
    since: Timestamp,
) -> Result<Option<Position>, String> {
    let mut old = false;
    for row in &page.rows {
        old |= row.seconds()? < since.seconds();
    }
    let offset = at.offset.saturating_add(page.rows.len());
    let more = page.rows.len() >= V1_PAGE && !old && offset <= V1_LAST_OFFSET;
    Ok(more.then(|| Position { offset, ..Position::default() }))
}

/// Where to go on after `page`, newest first; `None` at the end.
fn next(version: Version, page: &Page<ActivityRow>, at: &Position) -> Result<Option<Position>, String> {
    let more = match version {
        Version::V2 => page.next_cursor.is_some(),
        Version::V1 => page.rows.len() >= V1_PAGE,
    };
    if !more {
        return Ok(None);
    }
    let mut oldest = i64::MAX;
    for row in &page.rows {
        oldest = oldest.min(row.seconds()?);
    }
    // One more than the oldest second, because the end may or may not be part of the answer.
    let end = oldest.saturating_add(1);
    if !page.rows.is_empty() && at.end.is_none_or(|before| end < before) {
        return Ok(Some(Position { end: Some(end), ..Position::default() }));
    }
    // A page within one second: the same window goes on by cursor or offset.
    Ok(Some(match version {
        Version::V2 => Position { cursor: page.next_cursor.clone(), ..at.clone() },
        Version::V1 => Position { offset: at.offset.saturating_add(page.rows.len()), ..at.clone() },
    }))
}

/// Percent-encodes a cursor.
fn escape(text: &str) -> String {
    let keep = |byte: &u8| byte.is_ascii_alphanumeric() || b"-_.~".contains(byte);
    text.bytes()
        .map(|byte| if keep(&byte) { char::from(byte).to_string() } else { format!("%{byte:02X}") })
        .collect()
}

#[async_trait]
impl TradeHistory for DataApi {
    async fn activity(&self, wallet: Address, since: Timestamp) -> Result<History, VenueError> {
        // Two views of the same fills; each response counts for itself.
        let (activity, trades) =
            tokio::join!(self.rows_since(&ACTIVITY, wallet, since), self.rows_since(&TRADES, wallet, since));
        let responses: Vec<_> = activity.responses.into_iter().chain(trades.responses).collect();
        match activity.gap.or(trades.gap) {
            Some(error) if responses.is_empty() => Err(error),
            gap => Ok(History { responses, gap }),
        }
    }

    async fn positions(&self, wallet: Address) -> Result<Vec<(TokenId, Shares)>, VenueError> {
        self.answers.counted(Topic::Positions, self.all_positions(wallet)).await
    }

    async fn held(&self, wallet: Address, token: TokenId, since: Timestamp) -> Result<Shares, VenueError> {
        let not_yet = |reason: String| VenueError::Unavailable { what: "GET /positions".to_owned(), reason };
        if let Some((clock, lag)) = &self.positions_lag
            && clock.now().since(since) < *lag
        {
            return Err(not_yet(format!("may still show what was held {} s ago", lag.as_secs())));
        }
        let shares = self.answers.counted(Topic::Positions, self.shown(wallet, token)).await?;
        shares.ok_or_else(|| not_yet(format!("{token} is neither open nor closed")))
    }
}

#[cfg(test)]
#[path = "data_api_tests.rs"]
mod tests;
