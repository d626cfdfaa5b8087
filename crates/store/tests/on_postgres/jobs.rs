//! Jobs as an operator sees them, on PostgreSQL.

use store::{PostgresAddress, SqlStore, StoreClock};

use crate::{SERVER, new_database, waiting};

#[tokio::test(flavor = "multi_thread")]
async fn jobs_are_set_aside_and_put_back_once() {
    let name = new_database();
    let address: PostgresAddress = SERVER.url(&name).parse().unwrap();
    let store = SqlStore::connect(&address, StoreClock::Database).await.unwrap();
    for statement in waiting::FILL {
        SERVER.run(&name, statement).unwrap();
    }
    waiting::set_aside_and_put_back(&store).await;
}
