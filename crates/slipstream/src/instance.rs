//! Names of processes, unique for ever: boot, pid, start and a random mark.

use std::fs;

use domain::Timestamp;
use engine::ports::store::InstanceId;

/// The name of this process.
#[must_use]
pub fn this_process(now: Timestamp) -> InstanceId {
    let boot = fs::read_to_string("/proc/sys/kernel/random/boot_id").unwrap_or_default();
    let boot: String = boot.chars().filter(char::is_ascii_hexdigit).take(8).collect();
    let mut mark = [0; 4];
    // Without random bytes boot, pid and start time still tell processes apart.
    let _ = rustix::rand::getrandom(&mut mark, rustix::rand::GetRandomFlags::empty());
    InstanceId(format!("{boot}-{}-{}-{}", std::process::id(), now.millis(), hex::encode(mark)))
}
