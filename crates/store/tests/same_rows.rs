//! The same random histories on the memory store and on SQLite leave the same rows. `SLIPSTREAM_SEED=n`
//! plays one again; `SLIPSTREAM_SEEDS=n` plays a tenth of n, by default 30.

#![cfg(test)]

mod histories;

use std::sync::Arc;

use domain::Clock;
use engine::ports::store::Store;
use store::SqlStore;
use testkit::executor::block_on;

#[test]
fn random_histories_leave_the_same_rows_in_memory_and_in_sqlite() {
    histories::leave_the_same_rows(histories::seeds(30, 10), || {
        let directory = tempfile::tempdir().unwrap();
        Box::new(move |clock: Arc<dyn Clock>| -> Arc<dyn Store> {
            let file = directory.path().join("slipstream.db");
            Arc::new(block_on(SqlStore::open_unsynced(&file, clock)).unwrap())
        })
    });
}
