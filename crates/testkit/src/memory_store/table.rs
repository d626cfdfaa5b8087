//! Rows with growing surrogate keys from 1, as a database hands them out.

use engine::ports::store::{StoreError, StoreResult};

/// Rows; a removed one leaves its key.
#[derive(Clone)]
pub(super) struct Table<T> {
    rows: Vec<Option<T>>,
}

impl<T> Default for Table<T> {
    fn default() -> Self {
        Self { rows: Vec::new() }
    }
}

fn index(key: i64) -> Option<usize> {
    usize::try_from(key).ok()?.checked_sub(1)
}

impl<T> Table<T> {
    /// The key the next row will have.
    pub(super) fn next_key(&self) -> i64 {
        i64::try_from(self.rows.len()).unwrap_or(i64::MAX).saturating_add(1)
    }

    pub(super) fn insert(&mut self, row: T) -> i64 {
        let key = self.next_key();
        self.rows.push(Some(row));
        key
    }

    pub(super) fn remove(&mut self, key: i64) {
        if let Some(row) = index(key).and_then(|at| self.rows.get_mut(at)) {
            *row = None;
        }
    }

    pub(super) fn get(&self, key: i64) -> Option<&T> {
        self.rows.get(index(key)?)?.as_ref()
    }

    pub(super) fn get_mut(&mut self, key: i64) -> Option<&mut T> {
        self.rows.get_mut(index(key)?)?.as_mut()
    }

    /// The row, or `NotFound` naming its kind.
    pub(super) fn row(&self, what: &'static str, key: i64) -> StoreResult<&T> {
        self.get(key).ok_or(StoreError::NotFound { what, id: key })
    }

    /// Keys and rows, ascending.
    pub(super) fn iter(&self) -> impl Iterator<Item = (i64, &T)> {
        self.after(0)
    }

    pub(super) fn rows(&self) -> impl DoubleEndedIterator<Item = &T> {
        self.rows.iter().flatten()
    }

    /// Rows with keys above `after`, ascending.
    pub(super) fn after(&self, after: i64) -> impl Iterator<Item = (i64, &T)> {
        let skip = usize::try_from(after.max(0)).unwrap_or(usize::MAX);
        let first = after.max(0).saturating_add(1);
        let rows = (first..).zip(self.rows.iter().skip(skip));
        rows.filter_map(|(key, row)| row.as_ref().map(|row| (key, row)))
    }
}
