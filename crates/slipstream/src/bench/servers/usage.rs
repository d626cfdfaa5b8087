//! What processes use, as the kernel counts it. Source: proc_pid_stat(5), proc_pid_status(5).

use std::time::Duration;

/// The kernel's ticks in a second, in what it tells programs: the same on every machine this runs on.
const TICKS: u64 = 100;

/// CPU time of these processes so far, all threads. One that has ended counts as nothing.
pub(super) fn cpu(processes: &[u32]) -> Duration {
    let ticks: u64 = processes.iter().filter_map(|process| ticks(*process)).sum();
    Duration::from_millis(ticks.saturating_mul(1_000 / TICKS))
}

fn ticks(process: u32) -> Option<u64> {
    let text = std::fs::read_to_string(format!("/proc/{process}/stat")).ok()?;
    // The name in brackets may hold everything.
    let (_, rest) = text.rsplit_once(')')?;
    let fields: Vec<&str> = rest.split_whitespace().collect();
    let (user, system): (u64, u64) = (fields.get(11)?.parse().ok()?, fields.get(12)?.parse().ok()?);
    Some(user.saturating_add(system))
}

/// Resident memory of these processes, in kB.
pub(super) fn resident_kb(processes: &[u32]) -> u64 {
    let of = |process: &u32| {
        let text = std::fs::read_to_string(format!("/proc/{process}/status")).ok()?;
        let line = text.lines().find_map(|line| line.strip_prefix("VmRSS:"))?;
        line.trim().strip_suffix(" kB")?.trim().parse::<u64>().ok()
    };
    processes.iter().filter_map(of).sum()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn this_process_uses_something_and_none_uses_nothing() {
        let this = [std::process::id()];
        assert!(resident_kb(&this) > 1_000);
        let mut hash = [0; 32];
        while cpu(&this).is_zero() {
            hash = crate::secrets::InstallationSecret::of_seed(1).derive(&[&hash]);
        }
        assert_eq!((cpu(&[u32::MAX]), resident_kb(&[u32::MAX])), (Duration::ZERO, 0));
    }
}
