//! Secrets that are kept on a page of memory of their own, which is never swapped out: what was on the stack while they were
//! made may be. A page fits into the usual limit of locked memory, where all of a process does not.

use std::{mem::size_of, ops::Deref};

/// As large as pages are at most where they are usual (4 KiB, 16 KiB on Apple's processors), so that unlocking one unlocks
/// nobody else's.
#[repr(align(16384))]
struct Page<T>(T);

/// Locked as long as it is there.
pub(crate) struct Locked<T> {
    // Dropped first: its memory must still be there.
    lock: Option<region::LockGuard>,
    page: Box<Page<T>>,
}

impl<T> Locked<T> {
    /// Takes a secret. Where the system refuses to lock its page that is told in the log, and it is kept all the same.
    pub(crate) fn new(secret: T) -> Self {
        let page = Box::new(Page(secret));
        let lock = match region::lock(std::ptr::from_ref(&*page), size_of::<Page<T>>()) {
            Ok(lock) => Some(lock),
            Err(error) => {
                tracing::warn!(
                    %error,
                    "the keys may be swapped out to the disk: their memory cannot be locked ({error}). Raise the limit of \
                     locked memory (`ulimit -l`; LimitMEMLOCK with systemd), or encrypt the swap"
                );
                None
            }
        };
        Self { lock, page }
    }

    /// Whether it is never swapped out.
    pub(crate) const fn is_locked(&self) -> bool {
        self.lock.is_some()
    }
}

impl<T> Deref for Locked<T> {
    type Target = T;
    fn deref(&self) -> &T {
        &self.page.0
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    /// KiB of this process that are locked, as the system tells.
    fn locked_kib() -> u64 {
        let status = std::fs::read_to_string("/proc/self/status").unwrap();
        let line = status.lines().find_map(|line| line.strip_prefix("VmLck:")).unwrap();
        line.split_whitespace().next().unwrap().parse().unwrap()
    }

    #[test]
    fn a_secret_is_on_a_locked_page_of_its_own() {
        let secret = Locked::new([7_u8; 32]);
        assert!(secret.is_locked() && locked_kib() >= 4);
        assert_eq!(*secret, [7; 32]);
        assert_eq!(std::ptr::from_ref(&*secret.page).addr() % 16_384, 0);
    }
}
