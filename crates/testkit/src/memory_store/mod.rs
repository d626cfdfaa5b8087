//! The system of record in memory: the reference model of the store ports.
//!
//! It owns plain maps behind one mutex and keeps every promise of the port's doc comments, so that
//! simulations can explore thousands of executions of the engine. It keeps nothing between runs, and no
//! future of it ever waits.

mod commit;
mod dead_letters;
mod detection;
mod execution;
mod following;
mod leases;
mod people;
mod reports;
mod sealed_keys;
mod state;
mod table;
mod tasks;
mod updates;
mod wallets;

use std::sync::{Arc, Mutex, MutexGuard, PoisonError};

use domain::{Clock, Timestamp, money::MoneyError};
use engine::ports::store::StoreError;

use state::State;

/// A store that lives as long as the value.
pub struct MemoryStore {
    clock: Arc<dyn Clock>,
    state: Mutex<State>,
}

impl MemoryStore {
    /// An empty store. `clock` is the store's own: it judges leases and the ends of holds.
    #[must_use]
    pub fn new(clock: Arc<dyn Clock>) -> Self {
        Self { clock, state: Mutex::new(State::default()) }
    }

    /// A store that lets every exit sell all that is held, whatever the others do: for a planted bug.
    #[must_use]
    pub fn selling_twice(clock: Arc<dyn Clock>) -> Self {
        let state = State { sells_twice: true, ..State::default() };
        Self { clock, state: Mutex::new(state) }
    }

    /// A store with the same rows that goes its own way from now on, by another clock.
    #[must_use]
    pub fn fork(&self, clock: Arc<dyn Clock>) -> Self {
        Self { clock, state: Mutex::new(self.read().clone()) }
    }

    /// Has the rows of an earlier one from now on, as a database that is replaced by an older copy of it.
    pub fn go_back_to(&self, earlier: &Self) {
        let rows = earlier.read().clone();
        *self.write() = rows;
    }

    fn read(&self) -> MutexGuard<'_, State> {
        self.state.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// For calls that write. Errors are found before the first row is touched, so no call is half done.
    fn write(&self) -> MutexGuard<'_, State> {
        self.read()
    }

    fn now(&self) -> Timestamp {
        self.clock.now()
    }
}

/// Sums of stored amounts that leave 64 bits can only come from rows that should not be there.
fn corrupt(error: MoneyError) -> StoreError {
    StoreError::Corrupt(error.to_string())
}
