//! What a case works with, and how it says what is wrong.

use std::{fmt, future::Future, panic::Location, pin::Pin, sync::Arc};

use access::People;
use engine::ports::{
    secrets::SealedKeys,
    store::{Store, StoreError},
};

use crate::virtual_clock::VirtualClock;

/// A future that can go to another thread.
pub type Job = Pin<Box<dyn Future<Output = ()> + Send>>;

/// Starts a job beside the caller, on another thread where there are any; the returned future ends when
/// the job has ended. A case starts all its jobs before it waits for the first.
pub type Spawn = fn(Job) -> Job;

/// A fresh store under test. One is made for every case.
#[derive(Clone)]
pub struct Bench {
    /// The store, empty.
    pub store: Arc<dyn Store>,
    /// The same store, as it keeps sealed keys.
    pub keys: Arc<dyn SealedKeys>,
    /// The same store, as it keeps people.
    pub people: Arc<dyn People>,
    /// The clock the store was given as its own.
    pub clock: Arc<VirtualClock>,
    /// How to run things at once.
    pub spawn: Spawn,
}

/// A promise that was not kept, and where the suite noticed.
#[derive(Debug)]
pub struct Failure {
    text: String,
    at: &'static Location<'static>,
}

/// How a case ends.
pub type CaseResult<T = ()> = Result<T, Failure>;

impl Failure {
    /// A failure noticed where this is called.
    #[track_caller]
    pub fn new(text: impl Into<String>) -> Self {
        Self { text: text.into(), at: Location::caller() }
    }
}

impl fmt::Display for Failure {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{} ({}:{})", self.text, self.at.file(), self.at.line())
    }
}

impl From<StoreError> for Failure {
    #[track_caller]
    fn from(error: StoreError) -> Self {
        Self::new(format!("the store answered: {error}"))
    }
}

/// Fails the case unless two values are equal; the rest says what they are.
macro_rules! same {
    ($found:expr, $expected:expr, $($what:tt)+) => {
        match (&$found, &$expected) {
            (found, expected) => {
                if found != expected {
                    let what = format!($($what)+);
                    return Err($crate::store_suite::bench::Failure::new(format!(
                        "{what}: found {found:?}, expected {expected:?}"
                    )));
                }
            }
        }
    };
}

/// Fails the case unless a condition is true; the rest says what should be.
macro_rules! holds {
    ($condition:expr, $($what:tt)+) => {
        if !$condition {
            return Err($crate::store_suite::bench::Failure::new(format!($($what)+)));
        }
    };
}

pub(crate) use {holds, same};

/// The only element of a list.
#[track_caller]
pub(crate) fn only<T: fmt::Debug>(list: Vec<T>, what: &str) -> CaseResult<T> {
    let count = list.len();
    match <[T; 1]>::try_from(list) {
        Ok([one]) => Ok(one),
        Err(list) => Err(Failure {
            text: format!("one {what} expected, found {count}: {list:?}"),
            at: Location::caller(),
        }),
    }
}

/// An element that must be there.
#[track_caller]
pub(crate) fn at<T: Copy>(list: &[T], index: usize) -> CaseResult<T> {
    match list.get(index) {
        Some(one) => Ok(*one),
        None => Err(Failure::new(format!("element {index} expected, found only {}", list.len()))),
    }
}

/// A value that must be there.
#[track_caller]
pub(crate) fn some<T>(value: Option<T>, what: &str) -> CaseResult<T> {
    match value {
        Some(value) => Ok(value),
        None => Err(Failure::new(format!("{what} is missing"))),
    }
}
