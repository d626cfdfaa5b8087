//! A transaction that somebody tells of and no block that was read has: everybody is asked for it by its hash.

use std::sync::Arc;

use domain::{Address, TxHash};
use engine::{
    deadline::venue_call,
    ports::venue::{ChainEvent, VenueError},
};
use futures_util::FutureExt;
use serde::Deserialize;
use serde_json::{Value, json};
use tracing::warn;

use super::{ChainProvider, Providers, asking::Need};
use crate::{http::malformed, limits::WITNESS_DEADLINE, logs::quantity};

const RECEIPT: &str = "eth_getTransactionReceipt";

#[derive(Deserialize)]
#[serde(rename_all = "camelCase")]
struct Receipt {
    block_number: String,
    status: String,
}

/// The height of the block in which a transaction was carried out; `None` where it was undone, or is not known.
fn height(receipt: &Value) -> Result<Option<i64>, VenueError> {
    if receipt.is_null() {
        return Ok(None);
    }
    let read = Receipt::deserialize(receipt).map_err(|error| malformed(RECEIPT, &error))?;
    let height = quantity(&read.block_number, "blockNumber").map_err(|error| malformed(RECEIPT, &error))?;
    Ok((read.status == "0x1").then_some(height))
}

impl Providers {
    /// What a transaction did to these wallets, and all its fills, as the first provider tells that has it. Whoever has
    /// no such transaction, or cannot be asked, says nothing.
    pub(super) async fn look_for(&self, tx: TxHash, wallets: &[Address]) -> Vec<ChainEvent> {
        let wallets: Arc<[Address]> = wallets.into();
        for member in self.ranked(Need::default()).ready {
            let wallets = Arc::clone(&wallets);
            let call = move |reader: Arc<dyn ChainProvider>| {
                let wallets = Arc::clone(&wallets);
                async move { of_transaction(reader.as_ref(), tx, &wallets).await }.boxed()
            };
            let asked = async { self.run(Arc::clone(&member), &call).await.1 };
            match venue_call(self.clock.as_ref(), RECEIPT, WITNESS_DEADLINE, asked).await {
                Ok(events) if events.is_empty() => {}
                Ok(events) => {
                    warn!(%tx, "{} has transaction {tx}, which was read of nobody", member.name());
                    return events;
                }
                Err(error) => warn!(%error, %tx, "{} cannot be asked for transaction {tx}", member.name()),
            }
        }
        Vec::new()
    }
}

async fn of_transaction(
    reader: &dyn ChainProvider,
    tx: TxHash,
    wallets: &[Address],
) -> Result<Vec<ChainEvent>, VenueError> {
    let Some(height) = height(&reader.json_rpc(RECEIPT, json!([tx])).await?)? else { return Ok(Vec::new()) };
    let Some(header) = reader.header(height).await? else { return Ok(Vec::new()) };
    let mut events = reader.block_events(&header, wallets).await?;
    events.retain(|event| event.tx == tx);
    Ok(events)
}

#[cfg(test)]
mod tests {
    use super::*;

    /// Hostile sizes, depths and numbers.
    #[test]
    fn the_corpus_of_receipts_is_survived() {
        let read = |bytes: &[u8]| height(&serde_json::from_slice::<Value>(bytes).ok()?).ok().flatten();
        let sample = r#"{"blockNumber":"0x55d4a80","status":"0x1","logs":[]}"#;
        crate::hostile::survives(sample, read, |height| *height >= 0);
    }

    #[test]
    fn what_was_undone_or_is_unknown_is_nowhere() {
        assert_eq!(height(&Value::Null), Ok(None));
        assert_eq!(height(&json!({ "blockNumber": "0x10", "status": "0x0" })), Ok(None));
        assert_eq!(height(&json!({ "blockNumber": "0x10", "status": "0x1" })), Ok(Some(16)));
    }
}
