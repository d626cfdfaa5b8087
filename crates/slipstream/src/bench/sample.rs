//! Reading clocks and making one number of many.

use std::time::Duration;

use rustix::time::{ClockId, clock_gettime};

/// CPU time this thread has used so far.
pub(super) fn thread_cpu() -> Duration {
    cpu(ClockId::ThreadCPUTime)
}

/// CPU time this process has used so far, all threads.
pub(super) fn process_cpu() -> Duration {
    cpu(ClockId::ProcessCPUTime)
}

fn cpu(clock: ClockId) -> Duration {
    let time = clock_gettime(clock);
    Duration::new(u64::try_from(time.tv_sec).unwrap_or(0), u32::try_from(time.tv_nsec).unwrap_or(0))
}

/// The middle of some measurements, the lower of the two middle ones if they are even in number; zero of
/// none.
pub(super) fn median(mut values: Vec<Duration>) -> Duration {
    values.sort_unstable();
    let middle = values.len().saturating_sub(1) / 2;
    values.get(middle).copied().unwrap_or_default()
}

/// The least that so many per cent of some measurements do not exceed; zero of none.
pub(super) fn quantile(mut values: Vec<Duration>, percent: usize) -> Duration {
    values.sort_unstable();
    let rank = values.len().saturating_mul(percent).div_ceil(100);
    values.get(rank.saturating_sub(1)).copied().unwrap_or_default()
}

/// In milliseconds.
pub(super) fn millis(duration: Duration) -> f64 {
    duration.as_secs_f64() * 1e3
}

/// In microseconds.
pub(super) fn micros(duration: Duration) -> f64 {
    duration.as_secs_f64() * 1e6
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_median_is_the_lower_middle() {
        let of = |values: &[u64]| median(values.iter().copied().map(Duration::from_millis).collect());
        assert_eq!(of(&[]), Duration::ZERO);
        assert_eq!(of(&[7]), Duration::from_millis(7));
        assert_eq!(of(&[9, 1, 5]), Duration::from_millis(5));
        assert_eq!(of(&[9, 1, 5, 2]), Duration::from_millis(2));
    }

    #[test]
    fn a_quantile_is_one_of_the_measured() {
        let hundred: Vec<Duration> = (1..=100).map(Duration::from_millis).collect();
        assert_eq!(quantile(hundred.clone(), 99), Duration::from_millis(99));
        assert_eq!(quantile(hundred.into_iter().take(20).collect(), 99), Duration::from_millis(20));
        assert_eq!(quantile(Vec::new(), 99), Duration::ZERO);
    }

    #[test]
    fn work_uses_cpu_time() {
        let (thread, process) = (thread_cpu(), process_cpu());
        let mut hash = [0; 32];
        for _ in 0..2_000 {
            hash = crate::secrets::InstallationSecret::of_seed(1).derive(&[&hash]);
        }
        assert!(thread_cpu() > thread && process_cpu() > process, "{hash:?}");
    }
}
