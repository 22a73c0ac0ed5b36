//! Knowing a forked child from its parent.
//!
//! A child has its parent's memory and descriptors, and one thread alone: whoever held a lock is gone, and so are
//! our threads and what they were doing. So what was made before a fork is not used after it; what is needed is made
//! anew ([`Global`](super::global::Global)).
#![allow(unsafe_code, reason = "registers the fork handler")]

use std::sync::atomic::{AtomicBool, AtomicU64, Ordering};

static GENERATION: AtomicU64 = AtomicU64::new(0);
static WATCHED: AtomicBool = AtomicBool::new(false);

extern "C" fn in_child() {
    GENERATION.fetch_add(1, Ordering::Relaxed);
    super::clock::watchdog_is_gone();
}

/// Watches for forks from now on. Whoever keeps something that a child may not use calls it first.
pub(crate) fn watch() {
    if WATCHED.load(Ordering::Acquire) {
        return;
    }
    // Two threads may register it at a time: numbers then grow by two, which does no harm, while a lock could be
    // held at a fork.
    // SAFETY: the handler only changes atomics, which is allowed between fork and exec.
    unsafe { libc::pthread_atfork(None, None, Some(in_child)) };
    WATCHED.store(true, Ordering::Release);
}

/// How many forks lie between this process and the one that began to watch. What was made under another number is
/// the parent's.
pub(crate) fn generation() -> u64 {
    GENERATION.load(Ordering::Relaxed)
}

/// The process that made something.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) struct Born(u64);

impl Default for Born {
    fn default() -> Born {
        Born::here()
    }
}

impl Born {
    /// In this process, now.
    pub(crate) fn here() -> Born {
        Born(generation())
    }

    /// Whether that was in a parent of this process.
    pub(crate) fn is_of_parent(self) -> bool {
        self.0 != generation()
    }
}

#[cfg(test)]
pub(crate) mod tests {
    use super::*;

    /// Forks, and returns the child's exit code. The child may do no more than a few calls: it may find locks taken.
    pub(crate) fn forked(child: impl FnOnce() -> i32) -> i32 {
        // SAFETY: the child runs what it is given and ends at once.
        let pid = unsafe { libc::fork() };
        if pid == 0 {
            let code = std::panic::catch_unwind(std::panic::AssertUnwindSafe(child)).unwrap_or(99);
            // SAFETY: ends this process at once.
            unsafe { libc::_exit(code) };
        }
        let mut status = 0;
        // SAFETY: waits for the child that was just made.
        let waited = unsafe { libc::waitpid(pid, &raw mut status, 0) };
        assert!(waited == pid && libc::WIFEXITED(status), "{status:#x}");
        libc::WEXITSTATUS(status)
    }

    #[test]
    fn a_child_is_told_from_its_parent() {
        watch();
        let born = Born::here();
        let code = forked(|| i32::from(!born.is_of_parent() || Born::here().is_of_parent()));
        assert_eq!((code, born.is_of_parent()), (0, false));
    }
}
