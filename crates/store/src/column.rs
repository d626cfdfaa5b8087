//! Reading rows back, strictly, and turning domain values into parameters.

use std::time::Duration;

use domain::{
    Address, ConditionId, Hash, OrderId, Price, Shares, Timestamp, TokenId, TxHash, Usd,
    ids::{AccountId, AttemptId, HoldId, IntentId, LeaderId, OwnerId, RelationshipId, TransactionId},
    trade::Quantity,
};
use engine::ports::store::{StoreError, StoreResult};
use serde::{Serialize, de::DeserializeOwned};
use sqlx::{Column as _, Postgres, Row as _, Sqlite, postgres::PgTypeInfo};

use crate::{codes::Code, dialect::Row, sql::Value};

/// Reads the columns of a row one after the other.
pub(crate) struct Fields<'r> {
    row: &'r Row,
    next: usize,
    /// The column read last holds a word that this version does not know.
    newer: bool,
}

/// Something that one or more columns hold.
pub(crate) trait Column: Sized {
    /// Reads it from the next columns.
    fn read(fields: &mut Fields<'_>) -> StoreResult<Self>;
}

impl<'r> Fields<'r> {
    pub(crate) fn of(row: &'r Row) -> Self {
        Self { row, next: 0, newer: false }
    }

    /// The next column.
    pub(crate) fn get<T: Column>(&mut self) -> StoreResult<T> {
        T::read(self)
    }

    /// The next column, an enumeration.
    pub(crate) fn code<T: Code>(&mut self) -> StoreResult<T> {
        let code = self.get()?;
        T::from_code(code).ok_or_else(|| {
            // Numbers are appended only.
            self.newer = code >= 0;
            self.corrupt(&format!("{code} is no {}", T::NAME))
        })
    }

    /// The next column, an enumeration; `unknown` for a value of a newer version.
    pub(crate) fn code_or<T: Code>(&mut self, unknown: T) -> StoreResult<T> {
        match self.code() {
            Err(_) if self.newer => {
                self.newer = false;
                Ok(unknown)
            }
            read => read,
        }
    }

    /// Whether reading failed because a newer version wrote what this one does not know.
    pub(crate) const fn of_newer_version(&self) -> bool {
        self.newer
    }

    /// The next column, an enumeration's number or nothing.
    pub(crate) fn maybe_code<T: Code>(&mut self) -> StoreResult<Option<T>> {
        let Some(code) = self.get::<Option<i64>>()? else { return Ok(None) };
        T::from_code(code).map(Some).ok_or_else(|| self.corrupt(&format!("{code} is no {}", T::NAME)))
    }

    /// The next column, JSON.
    pub(crate) fn json<T: DeserializeOwned>(&mut self) -> StoreResult<T> {
        let text: String = self.get()?;
        serde_json::from_str(&text).map_err(|error| {
            self.newer = error.is_data();
            self.corrupt(&error.to_string())
        })
    }

    /// The next column, a number of another width.
    pub(crate) fn number<T: TryFrom<i64>>(&mut self) -> StoreResult<T> {
        let number: i64 = self.get()?;
        T::try_from(number).map_err(|_| self.corrupt(&format!("{number} is out of range")))
    }

    /// An error about the column read last.
    pub(crate) fn corrupt(&self, why: &str) -> StoreError {
        let at = self.next.saturating_sub(1);
        let column = match self.row {
            Row::Sqlite(row) => row.try_column(at).map(|column| column.name()),
            Row::Postgres(row) => row.try_column(at).map(|column| column.name()),
        };
        let column = column.unwrap_or("?");
        StoreError::Corrupt(format!("column `{column}`: {why}"))
    }

    fn raw<'a, T>(&mut self) -> StoreResult<T>
    where
        'r: 'a,
        T: sqlx::Decode<'a, Sqlite> + sqlx::Type<Sqlite> + sqlx::Decode<'a, Postgres> + sqlx::Type<Postgres>,
    {
        let at = self.next;
        self.next += 1;
        let read = match self.row {
            Row::Sqlite(row) => row.try_get(at),
            Row::Postgres(row) => row.try_get(at),
        };
        read.map_err(|error| StoreError::Corrupt(error.to_string()))
    }

    /// An integer or nothing. PostgreSQL's literals and counts of cases are of 32 bits.
    fn integer(&mut self) -> StoreResult<Option<i64>> {
        if let Row::Postgres(row) = self.row
            && row
                .try_column(self.next)
                .is_ok_and(|column| *column.type_info() == PgTypeInfo::with_name("int4"))
        {
            let at = self.next;
            self.next += 1;
            let read = row.try_get::<Option<i32>, _>(at);
            return read
                .map(|read| read.map(i64::from))
                .map_err(|error| StoreError::Corrupt(error.to_string()));
        }
        self.raw()
    }
}

impl Column for Option<i64> {
    fn read(fields: &mut Fields<'_>) -> StoreResult<Self> {
        fields.integer()
    }
}

impl Column for i64 {
    fn read(fields: &mut Fields<'_>) -> StoreResult<Self> {
        fields.integer()?.ok_or_else(|| fields.corrupt("there is no value"))
    }
}

macro_rules! raw_columns {
    ($($type:ty),* $(,)?) => {$(
        impl Column for $type {
            fn read(fields: &mut Fields<'_>) -> StoreResult<Self> {
                fields.raw()
            }
        }
    )*};
}
raw_columns!(String, Option<String>, Vec<u8>, Option<Vec<u8>>);

/// Newtypes of one integer.
macro_rules! integer_columns {
    ($($type:ident),* $(,)?) => {$(
        impl Column for $type {
            fn read(fields: &mut Fields<'_>) -> StoreResult<Self> {
                fields.get().map(Self)
            }
        }
        impl Column for Option<$type> {
            fn read(fields: &mut Fields<'_>) -> StoreResult<Self> {
                Ok(fields.get::<Option<i64>>()?.map($type))
            }
        }
        impl From<$type> for Value {
            fn from(value: $type) -> Self {
                Self::Int(Some(value.0))
            }
        }
        impl From<Option<$type>> for Value {
            fn from(value: Option<$type>) -> Self {
                Self::Int(value.map(|value| value.0))
            }
        }
    )*};
}
pub(crate) use integer_columns;
integer_columns!(
    Usd,
    Shares,
    Price,
    Timestamp,
    OwnerId,
    AccountId,
    LeaderId,
    RelationshipId,
    HoldId,
    IntentId,
    AttemptId,
    TransactionId,
);

/// Byte strings.
macro_rules! blob_columns {
    ($($type:ident as $bytes:ident),* $(,)?) => {$(
        impl Column for $type {
            fn read(fields: &mut Fields<'_>) -> StoreResult<Self> {
                let bytes: &[u8] = fields.raw()?;
                Self::from_slice(bytes).map_err(|error| fields.corrupt(&error.to_string()))
            }
        }
        impl Column for Option<$type> {
            fn read(fields: &mut Fields<'_>) -> StoreResult<Self> {
                let bytes: Option<&[u8]> = fields.raw()?;
                bytes.map($type::from_slice).transpose().map_err(|error| fields.corrupt(&error.to_string()))
            }
        }
        impl From<$type> for Value {
            fn from(value: $type) -> Self {
                Self::Blob(Some(value.$bytes().to_vec()))
            }
        }
        impl From<Option<$type>> for Value {
            fn from(value: Option<$type>) -> Self {
                Self::Blob(value.map(|value| value.$bytes().to_vec()))
            }
        }
    )*};
}

macro_rules! fixed_slices {
    ($($type:ident),*) => {$(
        impl FixedBytes for $type {
            fn fixed(&self) -> &[u8] {
                &self.0
            }
        }
    )*};
}

/// The bytes of an identifier of fixed length.
trait FixedBytes {
    fn fixed(&self) -> &[u8];
}
fixed_slices!(Address, Hash, TxHash, OrderId, TokenId);
blob_columns!(
    Address as fixed,
    Hash as fixed,
    TxHash as fixed,
    OrderId as fixed,
    TokenId as fixed,
    ConditionId as as_slice,
);

impl Column for bool {
    fn read(fields: &mut Fields<'_>) -> StoreResult<Self> {
        match fields.get::<i64>()? {
            0 => Ok(false),
            1 => Ok(true),
            other => Err(fields.corrupt(&format!("{other} is neither 0 nor 1"))),
        }
    }
}

impl Column for Quantity {
    fn read(fields: &mut Fields<'_>) -> StoreResult<Self> {
        Ok(Self { shares: fields.get()?, usd: fields.get()? })
    }
}

/// Microseconds.
impl Column for Duration {
    fn read(fields: &mut Fields<'_>) -> StoreResult<Self> {
        fields.number().map(Self::from_micros)
    }
}

impl From<Duration> for Value {
    fn from(value: Duration) -> Self {
        Self::Int(Some(i64::try_from(value.as_micros()).unwrap_or(i64::MAX)))
    }
}

macro_rules! int_values {
    ($($type:ty),*) => {$(
        impl From<$type> for Value {
            fn from(value: $type) -> Self {
                Self::Int(Some(i64::from(value)))
            }
        }
    )*};
}
int_values!(i64, u32, bool);

impl From<Option<i64>> for Value {
    fn from(value: Option<i64>) -> Self {
        Self::Int(value)
    }
}

impl From<&str> for Value {
    fn from(value: &str) -> Self {
        Self::Text(Some(value.to_owned()))
    }
}

impl From<String> for Value {
    fn from(value: String) -> Self {
        Self::Text(Some(value))
    }
}

impl From<Option<&str>> for Value {
    fn from(value: Option<&str>) -> Self {
        Self::Text(value.map(str::to_owned))
    }
}

impl From<&[u8]> for Value {
    fn from(value: &[u8]) -> Self {
        Self::Blob(Some(value.to_vec()))
    }
}

impl<T: Code> From<Coded<T>> for Value {
    fn from(value: Coded<T>) -> Self {
        Self::Int(Some(value.0.code()))
    }
}

/// Marks an enumeration to be stored as its number.
#[derive(Clone, Copy)]
pub(crate) struct Coded<T>(pub(crate) T);

/// A value as JSON text.
pub(crate) fn json<T: Serialize>(value: &T) -> StoreResult<Value> {
    serde_json::to_string(value)
        .map(Value::from)
        .map_err(|error| StoreError::Conflict(format!("a value cannot be written as JSON: {error}")))
}
