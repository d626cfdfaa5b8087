//! Wrong answers cost time: for the name they were given for, and for the address they came from.

use std::time::Duration;

use domain::{Hash, Timestamp};

use crate::{
    access::{Access, Peer},
    error::{AccessError, AccessResult},
    limits::{
        FORGOTTEN_AFTER, FREE_FOR_ADDRESS, FREE_FOR_NAME, LONGEST_WAIT_FOR_ADDRESS, LONGEST_WAIT_FOR_NAME,
    },
    people::Attempts,
    secret,
};

/// What is counted under one key.
#[derive(Clone, Copy)]
struct Rule {
    key: Hash,
    free: i64,
    longest: Duration,
}

/// An answer that was counted as wrong until it is known to be right.
pub(crate) struct Counted(Vec<Hash>);

fn rules(name: &str, peer: &Peer) -> Vec<Rule> {
    let of_name =
        Rule { key: secret::derived("name", name), free: FREE_FOR_NAME, longest: LONGEST_WAIT_FOR_NAME };
    let of_address = peer.address.map(|address| Rule {
        key: secret::derived("address", &network(address)),
        free: FREE_FOR_ADDRESS,
        longest: LONGEST_WAIT_FOR_ADDRESS,
    });
    std::iter::once(of_name).chain(of_address).collect()
}

/// An address, or of IPv6 the 64 bits that a customer has.
fn network(address: std::net::IpAddr) -> String {
    match address.to_canonical() {
        std::net::IpAddr::V4(address) => address.to_string(),
        std::net::IpAddr::V6(address) => {
            let [a, b, c, d, ..] = address.segments();
            format!("{a:x}:{b:x}:{c:x}:{d:x}::/64")
        }
    }
}

/// How long is to be waited after the last wrong answer: nothing at first, then 1, 2, 4 … seconds.
fn wait(failures: i64, free: i64, longest: Duration) -> Duration {
    let over = failures.saturating_sub(free);
    if over <= 0 {
        return Duration::ZERO;
    }
    let doublings = u32::try_from(over.saturating_sub(1)).unwrap_or(u32::MAX);
    Duration::from_secs(1_u64.checked_shl(doublings).unwrap_or(u64::MAX)).min(longest)
}

impl Access {
    /// Refuses an answer that comes too soon after wrong ones, and counts it as wrong before anybody looks at it: many at
    /// once are many.
    pub(crate) async fn count(&self, name: &str, peer: &Peer) -> AccessResult<Counted> {
        let rules = rules(name, peer);
        let keys: Vec<Hash> = rules.iter().map(|rule| rule.key).collect();
        loop {
            let now = self.now();
            let known = self.people.attempts(&keys).await?;
            let changes: Vec<_> = rules
                .iter()
                .zip(known)
                .map(|(rule, known)| changed(*rule, known, now))
                .collect::<Result<_, _>>()?;
            if self.people.set_attempts(&changes).await? {
                return Ok(Counted(keys));
            }
        }
    }

    /// It was right: what the name's wrong answers cost is forgotten. The address keeps its own, less this one.
    pub(crate) async fn was_right(&self, counted: Counted) -> AccessResult<()> {
        let Counted(keys) = counted;
        let known = self.people.attempts(&keys).await?;
        let changes: Vec<_> = keys
            .into_iter()
            .zip(known)
            .enumerate()
            .map(|(at, (key, known))| {
                let failures = if at == 0 { 0 } else { known.failures.saturating_sub(1).max(0) };
                (key, known, Attempts { failures, ..known })
            })
            .collect();
        // Somebody else's wrong answer came between: it stays counted, and so do ours.
        self.people.set_attempts(&changes).await?;
        Ok(())
    }
}

fn changed(rule: Rule, known: Attempts, now: Timestamp) -> AccessResult<(Hash, Attempts, Attempts)> {
    let past = now.since(known.last_at);
    let failures = if past >= FORGOTTEN_AFTER { 0 } else { known.failures };
    let wait = wait(failures, rule.free, rule.longest);
    if past < wait {
        return Err(AccessError::TooMany(wait.saturating_sub(past)));
    }
    Ok((rule.key, known, Attempts { failures: failures.saturating_add(1), last_at: now }))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn each_wrong_answer_doubles_the_wait_up_to_a_limit() {
        let waits: Vec<u64> =
            (0..13).map(|failures| wait(failures, 5, Duration::from_secs(60)).as_secs()).collect();
        assert_eq!(waits, [0, 0, 0, 0, 0, 0, 1, 2, 4, 8, 16, 32, 60]);
        assert_eq!(wait(i64::MAX, 5, Duration::from_secs(60)).as_secs(), 60);
    }

    #[test]
    fn addresses_of_one_customer_count_together() {
        let of = |text: &str| network(text.parse().unwrap());
        assert_eq!(of("2001:db8:1:2::1"), of("2001:db8:1:2:ffff::9"));
        assert_ne!(of("2001:db8:1:2::1"), of("2001:db8:1:3::1"));
        assert_eq!(of("::ffff:192.0.2.1"), of("192.0.2.1"));
    }
}
