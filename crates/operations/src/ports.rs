//! What operations needs kept: words of operators that all processes of an installation go by.

use async_trait::async_trait;
use domain::Timestamp;

use crate::{alerts::Silence, flags::Flag};

/// What is kept cannot be read or changed now.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
#[error("what operators said cannot be read or kept: {0}")]
pub struct NotKept(pub String);

/// Where the words of operators are kept. Each change is told in the log of events, with who and why.
#[async_trait]
pub trait OperatorWords: Send + Sync {
    /// Flags that were set, by name.
    async fn flags(&self) -> Result<Vec<Flag>, NotKept>;

    /// Sets a flag, in place of what it was.
    async fn set_flag(&self, flag: &Flag) -> Result<(), NotKept>;

    /// Silences that have not ended at this moment, by the names of their alerts.
    async fn silences(&self, now: Timestamp) -> Result<Vec<Silence>, NotKept>;

    /// Silences an alert, in place of a silence of it that is there. One that ends at `now` or before is ended.
    async fn silence(&self, silence: &Silence, now: Timestamp) -> Result<(), NotKept>;
}
