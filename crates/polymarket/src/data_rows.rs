//! Rows of the Data API. v1 writes camelCase in bare arrays, v2 snake_case in an envelope; the names are
//! the only difference, so one decoder reads both.

use domain::{Address, ConditionId, Price, Shares, Side, Timestamp, TokenId, TxHash, trade::Action};
use engine::ports::venue::{HistoryKind, HistoryRow};
use serde::{Deserialize, de::DeserializeOwned};

use crate::{
    http::shorten,
    json::{Scalar, null_as_default},
};

/// One row of `/trades` or `/activity`, before it is believed.
#[derive(Deserialize)]
pub(crate) struct ActivityRow {
    #[serde(alias = "proxyWallet")]
    proxy_wallet: Address,
    timestamp: Scalar,
    #[serde(alias = "transactionHash", default, deserialize_with = "null_as_default")]
    transaction_hash: String,
    #[serde(alias = "conditionId", default, deserialize_with = "null_as_default")]
    condition_id: String,
    /// Absent in `/trades`.
    #[serde(rename = "type")]
    kind: Option<String>,
    #[serde(alias = "asset", alias = "asset_id", default, deserialize_with = "null_as_default")]
    token_id: String,
    #[serde(default, deserialize_with = "null_as_default")]
    side: String,
    size: Option<Scalar>,
    price: Option<Scalar>,
    #[serde(alias = "outcomeIndex")]
    outcome_index: Option<Scalar>,
}

/// One row of `/positions`.
#[derive(Deserialize)]
pub(crate) struct PositionRow {
    #[serde(alias = "proxyWallet")]
    proxy_wallet: Address,
    #[serde(alias = "asset", alias = "asset_id")]
    token_id: TokenId,
    /// What is held now: `size` in v1, `current_size` in v2. Source: the official Python client.
    #[serde(alias = "current_size")]
    size: Scalar,
}

/// One row of `/closed-positions`, or of v2's positions that are closed.
#[derive(Deserialize)]
pub(crate) struct ClosedRow {
    #[serde(alias = "proxyWallet")]
    proxy_wallet: Address,
    #[serde(alias = "asset", alias = "asset_id")]
    token_id: TokenId,
}

/// A page: rows, and where v2 goes on.
pub(crate) struct Page<T> {
    pub(crate) rows: Vec<T>,
    /// v2: `None` at the end. v1 has no cursor.
    pub(crate) next_cursor: Option<String>,
}

#[derive(Deserialize)]
struct Envelope<T> {
    data: Vec<T>,
    #[serde(default)]
    pagination: Pagination,
}

#[derive(Default, Deserialize)]
#[serde(default)]
struct Pagination {
    #[serde(deserialize_with = "null_as_default")]
    has_more: bool,
    #[serde(deserialize_with = "null_as_default")]
    next_cursor: String,
}

/// Reads a v2 page.
pub(crate) fn read_v2<T: DeserializeOwned>(body: &[u8]) -> Result<Page<T>, String> {
    let envelope: Envelope<T> = serde_json::from_slice(body).map_err(|error| error.to_string())?;
    let Pagination { has_more, next_cursor } = envelope.pagination;
    if has_more && next_cursor.is_empty() {
        return Err("more pages without a cursor".to_owned());
    }
    Ok(Page { rows: envelope.data, next_cursor: has_more.then_some(next_cursor) })
}

/// Reads a v1 page.
pub(crate) fn read_v1<T: DeserializeOwned>(body: &[u8]) -> Result<Page<T>, String> {
    let rows = serde_json::from_slice(body).map_err(|error| error.to_string())?;
    Ok(Page { rows, next_cursor: None })
}

impl ActivityRow {
    /// Unix seconds.
    pub(crate) fn seconds(&self) -> Result<i64, String> {
        self.timestamp.whole().map_err(|error| error.to_string())
    }

    /// Whose row.
    pub(crate) const fn wallet(&self) -> Address {
        self.proxy_wallet
    }

    /// Its transaction, as it is written and not much of it.
    pub(crate) fn tx(&self) -> String {
        crate::http::shorten(&self.transaction_hash)
    }

    /// When, as it is written.
    pub(crate) const fn timestamp(&self) -> &Scalar {
        &self.timestamp
    }

    /// The same row with its time in Unix seconds.
    pub(crate) fn at(mut self, time: Timestamp) -> Self {
        self.timestamp = Scalar(time.seconds().to_string());
        self
    }

    /// The row as the engine knows it; `None` for kinds that move no shares, and for rows of nothing.
    pub(crate) fn read(&self, wallet: Address) -> Result<Option<HistoryRow>, String> {
        if self.proxy_wallet != wallet {
            return Err(format!("a row of {} among those of {wallet}", self.proxy_wallet));
        }
        let kind = match self.kind.as_deref() {
            None | Some("TRADE") => self.trade()?,
            Some("SPLIT") => self.moved(Action::Receive)?,
            Some("MERGE") => self.moved(Action::Merge)?,
            Some("REDEEM") => self.moved(Action::Redeem)?,
            Some("CONVERSION") => self.converted()?,
            Some(_) => None,
        };
        let Some(kind) = kind else {
            return Ok(None);
        };
        Ok(Some(HistoryRow {
            wallet,
            tx: parse::<TxHash>(&self.transaction_hash)?,
            condition: parse::<ConditionId>(&self.condition_id)?,
            traded_at: Timestamp::from_seconds(self.seconds()?),
            kind,
        }))
    }

    /// Rows name no token where they are about every outcome of the market.
    fn moved(&self, action: Action) -> Result<Option<HistoryKind>, String> {
        let shares = Shares(required(&self.size, "size")?);
        let token = match self.token_id.as_str() {
            "" => None,
            text => Some(parse::<TokenId>(text)?),
        };
        Ok(shares.is_positive().then_some(HistoryKind::Moved { action, token, shares }))
    }

    /// A conversion gives No shares (outcome 1) for Yes shares (outcome 0) of other markets. What a row without
    /// token or outcome means is not documented: it says nothing.
    fn converted(&self) -> Result<Option<HistoryKind>, String> {
        let outcome = self.outcome_index.as_ref().and_then(|index| index.whole().ok());
        match outcome {
            Some(0) if !self.token_id.is_empty() => self.moved(Action::Receive),
            Some(1) if !self.token_id.is_empty() => self.moved(Action::Merge),
            _ => Ok(None),
        }
    }

    fn trade(&self) -> Result<Option<HistoryKind>, String> {
        let shares = Shares(required(&self.size, "size")?);
        if shares == Shares::ZERO {
            return Ok(None);
        }
        let price = self.price.as_ref().ok_or("a trade without price")?;
        let side = match self.side.as_str() {
            "BUY" => Side::Buy,
            "SELL" => Side::Sell,
            other => return Err(format!("unknown side `{}`", shorten(other))),
        };
        Ok(Some(HistoryKind::Trade {
            token: parse::<TokenId>(&self.token_id)?,
            side,
            shares,
            price: Price(price.price().map_err(|error| error.to_string())?),
        }))
    }
}

impl PositionRow {
    /// The holding; `None` for nothing.
    pub(crate) fn read(&self, wallet: Address) -> Result<Option<(TokenId, Shares)>, String> {
        if self.proxy_wallet != wallet {
            return Err(format!("a position of {} among those of {wallet}", self.proxy_wallet));
        }
        let shares = Shares(self.size.amount().map_err(|error| error.to_string())?);
        Ok(shares.is_positive().then_some((self.token_id, shares)))
    }
}

impl ClosedRow {
    /// The token that is held no more.
    pub(crate) fn read(&self, wallet: Address) -> Result<TokenId, String> {
        if self.proxy_wallet != wallet {
            return Err(format!("a closed position of {} among those of {wallet}", self.proxy_wallet));
        }
        Ok(self.token_id)
    }
}

fn required(scalar: &Option<Scalar>, name: &str) -> Result<i64, String> {
    let scalar = scalar.as_ref().ok_or_else(|| format!("a row without {name}"))?;
    scalar.amount().map_err(|error| error.to_string())
}

fn parse<T: std::str::FromStr<Err = domain::ids::IdError>>(text: &str) -> Result<T, String> {
    text.parse().map_err(|error: domain::ids::IdError| error.to_string())
}
