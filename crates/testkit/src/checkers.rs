//! placeholder
use engine::ports::store::{Store, StoreResult};
/// x
pub async fn always(_store: &dyn Store) -> StoreResult<Vec<String>> {
    Ok(vec![])
}
