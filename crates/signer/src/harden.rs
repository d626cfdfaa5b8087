//! What a process that may open keys forbids itself: memory dumps, and, where it may, swapping.

use rustix::{
    mm::{MlockAllFlags, mlockall},
    process::{Resource, Rlimit, getrlimit, setrlimit},
};

/// What was achieved.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Hardened {
    /// Why memory may be swapped out, if it may; `None` when all of it is locked.
    pub swappable: Option<String>,
}

/// No core dumps, no debugger of the same user, and memory that is never swapped out where the limits allow it.
///
/// # Errors
/// When the system refuses to forbid dumps; then no key should be opened.
pub fn harden() -> std::io::Result<Hardened> {
    let no_core = Rlimit { current: Some(0), maximum: Some(0) };
    setrlimit(Resource::Core, no_core)?;
    #[cfg(target_os = "linux")]
    rustix::process::set_dumpable_behavior(rustix::process::DumpableBehavior::NotDumpable)?;
    Ok(Hardened { swappable: lock_memory().err() })
}

fn lock_memory() -> Result<(), String> {
    // Below a limit, locking what comes later as well would make an ordinary allocation fail one day.
    if getrlimit(Resource::Memlock).current.is_some() {
        return Err(
            "the limit of locked memory is set (`ulimit -l`; LimitMEMLOCK=infinity with systemd)".to_owned()
        );
    }
    mlockall(MlockAllFlags::CURRENT | MlockAllFlags::FUTURE | MlockAllFlags::ONFAULT)
        .map_err(|error| format!("the system refuses: {error}"))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_hardened_process_leaves_no_dump() {
        harden().unwrap();
        assert_eq!(getrlimit(Resource::Core), Rlimit { current: Some(0), maximum: Some(0) });
        #[cfg(target_os = "linux")]
        assert_eq!(
            rustix::process::dumpable_behavior().unwrap(),
            rustix::process::DumpableBehavior::NotDumpable
        );
    }
}
