//! The same random histories on the memory store and on PostgreSQL leave the same rows. `SLIPSTREAM_SEED=n` plays one
//! again; `SLIPSTREAM_SEEDS=n` plays a hundredth of n, by default 4.

use std::sync::Arc;

use domain::Clock;
use engine::ports::store::Store;
use store::{PostgresAddress, SqlStore, StoreClock};
use testkit::executor::block_on;

use crate::{SERVER, histories, new_database};

#[test]
fn random_histories_leave_the_same_rows_in_memory_and_on_postgres() {
    histories::leave_the_same_rows(histories::seeds(4, 100), || {
        let address: PostgresAddress = SERVER.url(&new_database()).parse().unwrap();
        let address = address.with_connections(4);
        Box::new(move |clock: Arc<dyn Clock>| -> Arc<dyn Store> {
            Arc::new(block_on(SqlStore::connect(&address, StoreClock::Given(clock))).unwrap())
        })
    });
}
