//! Rows with growing surrogate keys from 1, as a database hands them out.

use engine::ports::store::{StoreError, StoreResult};

/// Rows that are never deleted.
#[derive(Clone)]
pub(super) struct Table<T> {
    rows: Vec<T>,
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
        self.rows.push(row);
        key
    }

    pub(super) fn get(&self, key: i64) -> Option<&T> {
        self.rows.get(index(key)?)
    }

    pub(super) fn get_mut(&mut self, key: i64) -> Option<&mut T> {
        self.rows.get_mut(index(key)?)
    }

    /// The row, or `NotFound` naming its kind.
    pub(super) fn row(&self, what: &'static str, key: i64) -> StoreResult<&T> {
        self.get(key).ok_or(StoreError::NotFound { what, id: key })
    }

    /// Keys and rows, ascending.
    pub(super) fn iter(&self) -> impl Iterator<Item = (i64, &T)> {
        (1..self.next_key()).zip(&self.rows)
    }

    pub(super) fn rows(&self) -> impl DoubleEndedIterator<Item = &T> {
        self.rows.iter()
    }

    /// Rows with keys above `after`, ascending.
    pub(super) fn after(&self, after: i64) -> impl Iterator<Item = (i64, &T)> {
        let skip = usize::try_from(after.max(0)).unwrap_or(usize::MAX);
        let first = after.max(0).saturating_add(1);
        (first..).zip(self.rows.iter().skip(skip))
    }
}
