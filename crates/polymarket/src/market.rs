//! Rules and books of markets.

use async_trait::async_trait;
use domain::{Book, ConditionId, FeeSchedule, Level, Market, Price, Shares, TickSize, TokenId, money::ONE};
use engine::ports::{
    detection::Lane,
    venue::{MarketData, VenueError},
};
use serde::{Deserialize, Serialize};
use serde_json::value::RawValue;
use sha1::{Digest, Sha1};

use crate::{
    answers::Topic,
    clob::Clob,
    http::{Answer, malformed, shorten},
    json::{Scalar, null_as_default},
    limits::{MARKET_DEADLINE, MAX_FEE_EXPONENT, MAX_LEVELS, MAX_TAKER_DELAY, PAGE_BODY, TAKER_HOLD},
    pace::Call,
    pacer::Endpoint,
};

/// `GET /markets-by-token/{token}`.
#[derive(Deserialize)]
struct TokenRow {
    condition_id: ConditionId,
}

/// `GET /clob-markets/{condition}`: the compact record, the only one with the fee schedule.
#[derive(Deserialize)]
struct CompactMarket {
    #[serde(rename = "c")]
    condition: ConditionId,
    #[serde(rename = "t")]
    tokens: Vec<CompactToken>,
    #[serde(rename = "mts")]
    tick: Scalar,
    #[serde(rename = "mos")]
    minimum: Scalar,
    #[serde(rename = "nr", default, deserialize_with = "null_as_default")]
    negative_risk: bool,
    #[serde(rename = "fd")]
    fee: Option<FeeRow>,
    /// Whether takers are held for 250 ms. Source: docs (order lifecycle).
    #[serde(rename = "itode", default, deserialize_with = "null_as_default")]
    holds_takers: bool,
}

#[derive(Deserialize)]
struct CompactToken {
    #[serde(rename = "t")]
    token: TokenId,
    #[serde(rename = "o")]
    outcome: String,
}

#[derive(Deserialize)]
struct FeeRow {
    #[serde(rename = "r")]
    rate: Scalar,
    #[serde(rename = "e")]
    exponent: Scalar,
    #[serde(rename = "to")]
    taker_only: Option<bool>,
}

/// `GET /markets/{condition}`: whether orders are taken, and the words.
#[derive(Default, Deserialize)]
#[serde(default)]
struct MarketRow {
    #[serde(deserialize_with = "null_as_default")]
    enable_order_book: bool,
    #[serde(deserialize_with = "null_as_default")]
    active: bool,
    #[serde(deserialize_with = "null_as_default")]
    closed: bool,
    #[serde(deserialize_with = "null_as_default")]
    accepting_orders: bool,
    #[serde(deserialize_with = "null_as_default")]
    is_50_50_outcome: bool,
    #[serde(deserialize_with = "null_as_default")]
    tokens: Vec<OutcomeRow>,
    #[serde(deserialize_with = "null_as_default")]
    question: String,
    #[serde(deserialize_with = "null_as_default")]
    market_slug: String,
    /// How long orders that would match are delayed, in seconds.
    seconds_delay: Option<Scalar>,
}

#[derive(Deserialize)]
struct OutcomeRow {
    token_id: TokenId,
    #[serde(default, deserialize_with = "null_as_default")]
    winner: bool,
}

impl MarketRow {
    /// What a share of `token` pays; `None` while the market is not resolved.
    fn payout(&self, token: TokenId) -> Option<Price> {
        if !self.closed {
            return None;
        }
        let mut winners = self.tokens.iter().filter(|row| row.winner).peekable();
        if winners.peek().is_none() {
            return self.is_50_50_outcome.then_some(Price(ONE / 2));
        }
        Some(if winners.any(|row| row.token_id == token) { Price(ONE) } else { Price(0) })
    }
}

/// `GET /book`. The order of the fields is the one the venue hashes; what only the hash needs is kept
/// as it came.
#[derive(Deserialize, Serialize)]
struct BookRow {
    market: Option<Box<RawValue>>,
    asset_id: String,
    timestamp: Option<Box<RawValue>>,
    #[serde(default, deserialize_with = "null_as_default")]
    hash: String,
    #[serde(deserialize_with = "null_as_default")]
    bids: Vec<LevelRow>,
    #[serde(deserialize_with = "null_as_default")]
    asks: Vec<LevelRow>,
    min_order_size: Option<Box<RawValue>>,
    tick_size: Option<Box<RawValue>>,
    neg_risk: Option<Box<RawValue>>,
    last_trade_price: Option<Box<RawValue>>,
}

#[derive(Deserialize, Serialize)]
pub(crate) struct LevelRow {
    price: String,
    size: String,
}

#[async_trait]
impl MarketData for Clob {
    async fn market(&self, token: TokenId, lane: Lane) -> Result<Option<Market>, VenueError> {
        self.answers.counted(Topic::Markets, self.market_of(token, lane)).await
    }

    async fn tokens(&self, condition: ConditionId) -> Result<Vec<TokenId>, VenueError> {
        self.answers.counted(Topic::Markets, self.tokens_of(condition)).await
    }

    async fn book(&self, token: TokenId, lane: Lane) -> Result<Option<Book>, VenueError> {
        self.answers.counted(Topic::Books, self.book_of_token(token, lane)).await
    }
}

impl Clob {
    async fn market_of(&self, token: TokenId, lane: Lane) -> Result<Option<Market>, VenueError> {
        let builder_bps = self.builder_fee(lane).await?;
        let what = "GET /markets-by-token";
        let answer = self.ask(lane, what, format!("/markets-by-token/{token}")).await?;
        let Some(TokenRow { condition_id: condition }) = answer.json_if_found(what)? else {
            return Ok(None);
        };
        let (compact_what, market_what) = ("GET /clob-markets", "GET /markets");
        let (compact, words) = tokio::try_join!(
            self.ask(lane, compact_what, format!("/clob-markets/{condition}")),
            self.ask(lane, market_what, format!("/markets/{condition}")),
        )?;
        let compact: Option<CompactMarket> = compact.json_if_found(compact_what)?;
        let words: Option<MarketRow> = words.json_if_found(market_what)?;
        let (Some(compact), Some(words)) = (compact, words) else {
            return Ok(None);
        };
        let market = join(token, condition, compact, words, builder_bps)
            .map_err(|reason| malformed(compact_what, &reason))?;
        self.remember(&market);
        Ok(Some(market))
    }

    async fn tokens_of(&self, condition: ConditionId) -> Result<Vec<TokenId>, VenueError> {
        let what = "GET /clob-markets";
        let answer = self.ask(Lane::Entries, what, format!("/clob-markets/{condition}")).await?;
        let Some(market) = answer.json_if_found::<CompactMarket>(what)? else { return Ok(Vec::new()) };
        if market.condition != condition {
            return Err(malformed(what, &format!("market {} instead of {condition}", market.condition)));
        }
        Ok(market.tokens.into_iter().map(|row| row.token).collect())
    }

    async fn book_of_token(&self, token: TokenId, lane: Lane) -> Result<Option<Book>, VenueError> {
        let what = "GET /book";
        let answer = self.ask_of((Endpoint::Book, lane), what, format!("/book?token_id={token}")).await?;
        let row: Option<BookRow> = answer.json_if_found(what)?;
        row.map(|row| read_book(row, token).map_err(|reason| malformed(what, &reason))).transpose()
    }

    async fn ask(&self, lane: Lane, what: &str, path: String) -> Result<Answer, VenueError> {
        self.ask_of((Endpoint::Other, lane), what, path).await
    }

    async fn ask_of(
        &self,
        (endpoint, lane): (Endpoint, Lane),
        what: &str,
        path: String,
    ) -> Result<Answer, VenueError> {
        let turn = Call { endpoint, lane, tokens: None };
        self.turn(what, turn).await?;
        let answer = self.service.get(&path, MARKET_DEADLINE, PAGE_BODY).await;
        let answer = answer.map_err(|failure| failure.into_error(what))?;
        self.pacer.learn_of(turn, &answer);
        Ok(answer)
    }
}

fn join(
    token: TokenId,
    condition: ConditionId,
    compact: CompactMarket,
    words: MarketRow,
    builder_bps: u16,
) -> Result<Market, String> {
    if compact.condition != condition {
        return Err(format!("market {} instead of {condition}", compact.condition));
    }
    let fee = compact.fee.as_ref().map(fee_schedule).transpose()?.unwrap_or_default();
    let fee = FeeSchedule { builder_bps, ..fee };
    let taker_delay_ms = taker_delay(compact.holds_takers, words.seconds_delay.as_ref())?;
    let tick = compact.tick.price().map_err(|error| error.to_string())?;
    let mut outcomes = compact.tokens.into_iter().filter(|row| row.token == token);
    let outcome = outcomes.next().ok_or_else(|| format!("token {token} is missing from its market"))?.outcome;
    Ok(Market {
        token,
        condition,
        tick: TickSize::from_price(Price(tick)).map_err(|error| error.to_string())?,
        minimum_size: Shares(compact.minimum.amount().map_err(|error| error.to_string())?),
        negative_risk: compact.negative_risk,
        fee,
        taker_delay_ms,
        accepting_orders: words.accepting_orders && words.enable_order_book && words.active && !words.closed,
        payout: words.payout(token),
        title: shorten(&words.question),
        slug: shorten(&words.market_slug),
        outcome: shorten(&outcome),
    })
}

fn fee_schedule(row: &FeeRow) -> Result<FeeSchedule, String> {
    let rate = row.rate.price().map_err(|error| error.to_string())?;
    let exponent = row.exponent.whole().map_err(|error| error.to_string())?;
    let exponent = u32::try_from(exponent).ok().filter(|exponent| i64::from(*exponent) <= MAX_FEE_EXPONENT);
    Ok(FeeSchedule {
        rate,
        exponent: exponent.ok_or("a fee exponent that is not believed")?,
        taker_only: row.taker_only.unwrap_or(true),
        builder_bps: 0,
    })
}

/// In milliseconds.
fn taker_delay(holds_takers: bool, seconds: Option<&Scalar>) -> Result<u32, String> {
    let seconds = seconds.map_or(Ok(0), Scalar::whole).map_err(|error| error.to_string())?;
    let believed = u32::try_from(seconds).ok().filter(|seconds| *seconds <= MAX_TAKER_DELAY);
    let believed = believed.ok_or_else(|| format!("a delay of {seconds} s is not believed"))?;
    let delay = believed.saturating_mul(1_000);
    Ok(if holds_takers { delay.max(TAKER_HOLD) } else { delay })
}

/// Levels come worst first; they are sorted rather than trusted.
fn read_book(mut row: BookRow, token: TokenId) -> Result<Book, String> {
    if row.asset_id != token.to_string() {
        return Err(format!("the book of token {} instead of {token}", shorten(&row.asset_id)));
    }
    let hash = std::mem::take(&mut row.hash);
    if !hash.is_empty() && hash != book_hash(&row).map_err(|error| error.to_string())? {
        tracing::debug!(%token, "the book's hash is not the hash of its levels");
    }
    book_of(&row.bids, &row.asks)
}

/// A book of levels in any order.
pub(crate) fn book_of(bids: &[LevelRow], asks: &[LevelRow]) -> Result<Book, String> {
    let (mut bids, mut asks) = (read_levels(bids)?, read_levels(asks)?);
    bids.sort_by_key(|level| std::cmp::Reverse(level.price));
    asks.sort_by_key(|level| level.price);
    for side in [&bids, &asks] {
        if let Some(level) = side.iter().zip(side.iter().skip(1)).find(|(one, next)| one.price == next.price)
        {
            return Err(format!("the level of {} stands there twice", level.0.price));
        }
    }
    Ok(Book { bids, asks })
}

fn read_levels(rows: &[LevelRow]) -> Result<Vec<Level>, String> {
    if rows.len() > MAX_LEVELS {
        return Err(format!("{} levels, at most {MAX_LEVELS} are believed", rows.len()));
    }
    let mut levels = Vec::with_capacity(rows.len());
    for row in rows {
        let price = Scalar(row.price.clone()).price().map_err(|error| error.to_string())?;
        let size = Scalar(row.size.clone()).amount().map_err(|error| error.to_string())?;
        if size > 0 {
            levels.push(Level { price: Price(price), size: Shares(size) });
        }
    }
    Ok(levels)
}

/// SHA-1 of the book as compact JSON with an empty hash.
/// Source: `generate_orderbook_summary_hash` of py-clob-client-v2.
fn book_hash(row: &BookRow) -> Result<String, serde_json::Error> {
    Ok(alloy_primitives::hex::encode(Sha1::digest(serde_json::to_vec(row)?)))
}

#[cfg(test)]
#[path = "market_tests.rs"]
mod tests;
