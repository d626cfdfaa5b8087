//! Passwords: what is kept of them, and whether one is the right one.

use std::sync::Arc;

use argon2::{Algorithm, Argon2, Params, Version};
use base64::{Engine as _, engine::general_purpose::STANDARD_NO_PAD};
use tokio::sync::Semaphore;
use zeroize::Zeroizing;

use crate::{
    access::Randomness,
    error::{AccessError, AccessResult},
    limits::{ARGON2, LONGEST_PASSWORD, SHORTEST_PASSWORD},
    secret::{self, NoRandomness},
};

/// Whether somebody of this name may have this password.
pub(crate) fn check(password: &str, name: &str) -> AccessResult<()> {
    let long = password.chars().count() >= SHORTEST_PASSWORD && password.len() <= LONGEST_PASSWORD;
    let lower = password.to_lowercase();
    // A short name may be in a sentence by chance.
    let named = name.len() >= 4 && lower.contains(name);
    let mut letters: Vec<char> = lower.chars().collect();
    letters.sort_unstable();
    letters.dedup();
    if long && !named && letters.len() >= 5 { Ok(()) } else { Err(AccessError::BadPassword) }
}

/// What is kept of a password: argon2id with a salt of its own.
pub(crate) async fn keep(
    gate: &Arc<Semaphore>,
    random: &dyn Randomness,
    password: &str,
) -> AccessResult<String> {
    let mut salt = [0; 16];
    random.fill(&mut salt)?;
    let password = Zeroizing::new(password.to_owned());
    let hash = beside(gate, move || hash(&password, &salt, ARGON2)).await?.ok_or(NoRandomness)?;
    let (memory, passes, lanes) = ARGON2;
    let [salt, hash] = [&salt[..], &hash].map(|bytes| STANDARD_NO_PAD.encode(bytes));
    Ok(format!("$argon2id$v=19$m={memory},t={passes},p={lanes}${salt}${hash}"))
}

/// Whether it is the password that this was kept of. Without one it takes the same time and is not.
pub(crate) async fn is_right(
    gate: &Arc<Semaphore>,
    kept: Option<&str>,
    password: &str,
) -> AccessResult<bool> {
    if password.len() > LONGEST_PASSWORD {
        return Ok(false);
    }
    let read = kept.map(|kept| {
        read(kept).ok_or_else(|| {
            AccessError::Invalid("what is kept of this password is damaged; reset it".to_owned())
        })
    });
    let kept = read.transpose()?;
    let is_there = kept.is_some();
    let (salt, expected, costs) = kept.unwrap_or_else(|| (vec![0; 16], vec![0; 32], ARGON2));
    let password = Zeroizing::new(password.to_owned());
    let found = beside(gate, move || hash(&password, &salt, costs)).await?;
    Ok(found.is_some_and(|found| secret::same(&found, &expected)) && is_there)
}

/// Salt, hash and costs.
type Kept = (Vec<u8>, Vec<u8>, (u32, u32, u32));

/// What was kept, read back.
fn read(kept: &str) -> Option<Kept> {
    let mut parts = kept.strip_prefix("$argon2id$v=19$")?.split('$');
    let (costs, salt, hash) = (parts.next()?, parts.next()?, parts.next()?);
    let mut costs = costs.split(',');
    let mut cost = |name: &str| costs.next()?.strip_prefix(name)?.parse::<u32>().ok();
    let costs = (cost("m=")?, cost("t=")?, cost("p=")?);
    let [salt, hash] = [salt, hash].map(|text| STANDARD_NO_PAD.decode(text).ok());
    Some((salt?, hash?, costs))
}

fn hash(password: &str, salt: &[u8], (memory, passes, lanes): (u32, u32, u32)) -> Option<[u8; 32]> {
    let params = Params::new(memory, passes, lanes, Some(32)).ok()?;
    let mut hash = [0; 32];
    let argon = Argon2::new(Algorithm::Argon2id, Version::V0x13, params);
    argon.hash_password_into(password.as_bytes(), salt, &mut hash).ok()?;
    Some(hash)
}

/// On a thread where it delays nobody, a few at once: each takes 19 MiB.
async fn beside<T: Send + 'static>(
    gate: &Arc<Semaphore>,
    work: impl FnOnce() -> T + Send + 'static,
) -> AccessResult<T> {
    let permit = Arc::clone(gate).acquire_owned().await;
    let done = tokio::task::spawn_blocking(move || {
        let _permit = permit;
        work()
    });
    done.await.map_err(|_| AccessError::Invalid("the password could not be looked at; try again".to_owned()))
}
