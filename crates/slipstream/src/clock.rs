//! The real clock: the one place that reads time.

use std::{
    net::SocketAddr,
    sync::Arc,
    time::{Duration, SystemTime, UNIX_EPOCH},
};

use anyhow::{Context, ensure};
use domain::{Clock, Timestamp, clock::Sleep};
use rustix::time::{ClockId, clock_gettime};

/// Wall clock, and an uptime that counts suspended time.
#[derive(Clone, Copy, Debug, Default)]
pub struct SystemClock;

impl Clock for SystemClock {
    #[expect(clippy::disallowed_methods, reason = "this is the clock that is injected everywhere else")]
    fn now(&self) -> Timestamp {
        let since = SystemTime::now().duration_since(UNIX_EPOCH).unwrap_or_default();
        Timestamp(i64::try_from(since.as_micros()).unwrap_or(i64::MAX))
    }

    fn uptime(&self) -> Duration {
        let time = clock_gettime(ClockId::Boottime);
        let seconds = u64::try_from(time.tv_sec).unwrap_or(0);
        Duration::new(seconds, u32::try_from(time.tv_nsec).unwrap_or(0))
    }

    #[expect(clippy::disallowed_methods, reason = "this is the clock that is injected everywhere else")]
    fn sleep(&self, duration: Duration) -> Sleep {
        Box::pin(tokio::time::sleep(duration))
    }
}

/// Environment variable: by how many milliseconds the wall clock of a process of a team is ahead of its machine's, behind it
/// if negative. To try out clocks that are set wrong; with a venue on this machine only.
pub const AHEAD: &str = "SLIPSTREAM_CLOCK_AHEAD_MS";

/// The clock of a process that trades at this venue: the machine's, unless the environment sets it wrong ([`AHEAD`]).
///
/// # Errors
/// When the variable is no number, or the venue is not on this machine.
pub fn of_process(venue: &str) -> anyhow::Result<Arc<dyn Clock>> {
    match std::env::var(AHEAD) {
        Ok(ahead) => Ok(Arc::new(SetWrong::of(&ahead, venue)?)),
        Err(_) => Ok(Arc::new(SystemClock)),
    }
}

/// A wall clock that is set wrong. Uptime is right: nobody sets it.
struct SetWrong {
    micros: i64,
}

impl SetWrong {
    fn of(ahead: &str, venue: &str) -> anyhow::Result<Self> {
        let here = venue.strip_prefix("http://").and_then(|host| host.parse::<SocketAddr>().ok());
        ensure!(
            here.is_some_and(|address| address.ip().is_loopback()),
            "{AHEAD} is set, but the venue {venue} is not on this machine; unset it"
        );
        let millis: i64 = ahead.parse().with_context(|| format!("{AHEAD}={ahead} is no number"))?;
        Ok(Self { micros: millis.saturating_mul(1_000) })
    }
}

impl Clock for SetWrong {
    fn now(&self) -> Timestamp {
        Timestamp(SystemClock.now().0.saturating_add(self.micros))
    }

    fn uptime(&self) -> Duration {
        SystemClock.uptime()
    }

    fn sleep(&self, duration: Duration) -> Sleep {
        SystemClock.sleep(duration)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_clock_is_set_wrong_for_a_venue_on_this_machine_alone() {
        let wrong = SetWrong::of("-3600000", "http://127.0.0.1:8080").unwrap();
        let behind = SystemClock.now().since(wrong.now());
        assert!(behind > Duration::from_secs(3_590) && behind < Duration::from_secs(3_610), "{behind:?}");
        for venue in ["https://clob.polymarket.com", "http://192.168.0.7:80", "http://127.0.0.1.example:80"] {
            let refused = SetWrong::of("5", venue).err().unwrap().to_string();
            assert!(refused.contains("is not on this machine"), "{refused}");
        }
        assert!(SetWrong::of("soon", "http://127.0.0.1:8080").is_err());
    }
}
