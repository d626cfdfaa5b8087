//! Words of operators: what every place that keeps them promises, and one that keeps them in memory.

use std::{
    collections::BTreeMap,
    sync::{Mutex, MutexGuard, PoisonError},
    time::Duration,
};

use async_trait::async_trait;
use domain::Timestamp;
use operations::{
    alerts::Silence,
    flags::Flag,
    ports::{NotKept, OperatorWords},
};

/// Keeps them as long as it lives.
#[derive(Debug, Default)]
pub struct WordsInMemory(Mutex<(BTreeMap<String, Flag>, BTreeMap<String, Silence>)>);

impl WordsInMemory {
    fn lock(&self) -> MutexGuard<'_, (BTreeMap<String, Flag>, BTreeMap<String, Silence>)> {
        self.0.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

#[async_trait]
impl OperatorWords for WordsInMemory {
    async fn flags(&self) -> Result<Vec<Flag>, NotKept> {
        Ok(self.lock().0.values().cloned().collect())
    }

    async fn set_flag(&self, flag: &Flag) -> Result<(), NotKept> {
        self.lock().0.insert(flag.name.clone(), flag.clone());
        Ok(())
    }

    async fn silences(&self, now: Timestamp) -> Result<Vec<Silence>, NotKept> {
        Ok(self.lock().1.values().filter(|silence| silence.until > now).cloned().collect())
    }

    async fn silence(&self, silence: &Silence, _: Timestamp) -> Result<(), NotKept> {
        self.lock().1.insert(silence.rule.clone(), silence.clone());
        Ok(())
    }
}

/// What is promised of an empty place.
///
/// # Errors
/// What the place says.
///
/// # Panics
/// When a promise is broken.
pub async fn keeps_words(words: &dyn OperatorWords) -> Result<(), NotKept> {
    let now = Timestamp::from_seconds(1_000);
    let flag = |name: &str, percent| {
        let (who, reason) = ("ann".to_owned(), "it's a \"test\"; --".to_owned());
        Flag { name: name.to_owned(), percent, at: now, who, reason }
    };
    assert_eq!(words.flags().await?, []);
    for flag in [flag("b", 0), flag("a", 100), flag("b", 7)] {
        words.set_flag(&flag).await?;
    }
    assert_eq!(words.flags().await?, [flag("a", 100), flag("b", 7)], "by name, and the last word counts");
    let silence = |rule: &str, seconds: u64| {
        let until = now.plus(Duration::from_secs(seconds));
        Silence { rule: rule.to_owned(), until, who: "ann".to_owned(), reason: String::new() }
    };
    for one in [silence("B", 60), silence("A", 10), silence("C", 60), silence("C", 0)] {
        words.silence(&one, now).await?;
    }
    assert_eq!(words.silences(now).await?, [silence("A", 10), silence("B", 60)]);
    let later = now.plus(Duration::from_secs(10));
    assert_eq!(words.silences(later).await?, [silence("B", 60)], "one that has ended is gone");
    Ok(())
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::executor::block_on;

    #[test]
    fn memory_keeps_words() {
        block_on(keeps_words(&WordsInMemory::default())).unwrap();
    }
}
