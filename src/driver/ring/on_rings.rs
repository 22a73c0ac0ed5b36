//! Open files that rings have had.
//!
//! The kernel completes an entry first. It lets go of the entry's file afterwards, on the thread that has submitted the
//! entry, when that next leaves the kernel. If ours is closed by then, that thread has the last reference, and does all
//! that a last close does: a poll would sleep. And whoever looks sees a file that is still open, whichever thread has it.
//! So whoever closes such a file on a thread waits there until all that have submitted something for it have let go.
//! `docs/design/closing.md` says by what that is seen.

use std::os::fd::BorrowedFd;

use crate::sys::progress::Progress;
#[cfg(not(target_os = "linux"))]
pub(crate) use elsewhere::OnRings;
#[cfg(target_os = "linux")]
pub(crate) use linux::OnRings;

/// What is done before a descriptor is closed, for which somebody may wait.
type Before = Box<dyn FnOnce(BorrowedFd<'_>, Option<&Progress>) + Send>;

#[cfg(target_os = "linux")]
mod linux {
    use std::os::fd::BorrowedFd;
    use std::sync::atomic::{AtomicBool, Ordering};
    use std::sync::{Arc, Mutex};
    use std::time::{Duration, Instant};

    use super::Before;
    use crate::base::lock::lock;
    use crate::driver::watchdog::attempt::{Polling, polling_here};
    use crate::limits;
    use crate::mounts;
    use crate::sys::progress::Progress;
    use crate::sys::stat::Stat;
    use crate::sys::thread::{self, Sight};

    /// The threads whose rings have had an open file. Shared by its duplicates.
    #[derive(Default)]
    pub(crate) struct OnRings {
        to: Mutex<Vec<Borrower>>,
        /// Whether others were given the open file, which may have locked it.
        is_lent: AtomicBool,
    }

    /// One that submitted for it, and its kernel's number then: another thread may come to be the same poller later.
    #[derive(Clone, Copy)]
    struct Borrower {
        /// Nothing for a lane.
        polling: Option<&'static Polling>,
        thread: i32,
    }

    impl Borrower {
        fn is_lane(&self) -> bool {
            self.polling.is_none()
        }

        fn is_like(&self, other: &Borrower) -> bool {
            match (self.polling, other.polling) {
                (Some(one), Some(other)) => std::ptr::eq(one, other),
                (None, None) => self.thread == other.thread,
                _ => false,
            }
        }
    }

    impl OnRings {
        /// The calling thread's ring takes it.
        pub(crate) fn note(&self, is_of_polls: bool) {
            let here = if is_of_polls {
                // A thread that is ending polls nothing more.
                let Some(polling) = polling_here() else {
                    return;
                };
                Borrower {
                    polling: Some(polling),
                    thread: polling.thread(),
                }
            } else {
                Borrower {
                    polling: None,
                    thread: thread::current(),
                }
            };
            let mut to = lock(&self.to);
            match to.iter_mut().find(|one| one.is_like(&here)) {
                Some(one) => *one = here,
                None => {
                    if to.len() >= limits::RING_FILE_THREADS {
                        to.retain(|one| thread::look(one.thread).is_some());
                    }
                    to.push(here);
                }
            }
        }

        /// Others can have the open file from now on.
        pub(crate) fn lend(&self) {
            self.is_lent.store(true, Ordering::Relaxed);
        }

        pub(crate) fn is_lent(&self) -> bool {
            self.is_lent.load(Ordering::Relaxed)
        }

        /// Whether others would see that a lane has it still: who runs a program, who waits for a pipe's end or a lock. Of
        /// other files hardly anybody does, and to wait would cost as much as all the rest.
        pub(crate) fn would_be_seen(&self, stat: &Stat) -> bool {
            const EXECUTE: u32 = 0o111;
            self.is_lent() || !stat.is_file() || stat.mode & EXECUTE != 0
        }

        /// Whether any ring may have it still.
        pub(crate) fn may_have_it(&self) -> bool {
            !lock(&self.to).is_empty()
        }

        /// What has to come before its close, if anything: on a thread that may sleep.
        pub(crate) fn before_close(self: &Arc<Self>) -> Option<Before> {
            if !self.may_have_it() {
                return None;
            }
            let on_rings = self.clone();
            Some(Box::new(move |fd, progress| on_rings.wait(fd, progress)))
        }

        /// Waits until all of them have let go, as far as can be seen: entries of it are completed by now. Whoever waits
        /// for this learns whether they only lack a processor, or are asleep on storage themselves.
        fn wait(&self, fd: BorrowedFd<'_>, progress: Option<&Progress>) {
            let until = Instant::now() + limits::RING_FILE_MAX;
            let mut to = lock(&self.to).clone();
            let may_be_seen =
                || mounts::of_fd(fd).map_or(true, |(stat, _)| self.would_be_seen(&stat));
            if to.iter().any(Borrower::is_lane) && !may_be_seen() {
                to.retain(|one| !one.is_lane());
            }
            if to.is_empty() {
                return;
            }
            // Those of the kernel come first: only then is the thread told to let go.
            let numbers: Vec<_> = to.iter().map(|one| one.thread).collect();
            let mut workers = thread::running_kernel_workers(&numbers);
            poll_until(until, || {
                workers.retain(|&worker| thread::look(worker).is_some_and(|sight| sight.runs()));
                workers.is_empty()
            });
            let mut first = None;
            poll_until(until, || {
                let seen: Vec<_> = to.iter().map(Seen::look).collect();
                let before = first.get_or_insert_with(|| seen.clone());
                let passed = seen
                    .iter()
                    .zip(before.iter())
                    .map(|(now, then)| now.has_passed(then));
                let passed: Vec<_> = passed.collect();
                if let Some(progress) = progress {
                    let sleeps = |(seen, passed): (&Seen, &bool)| !passed && seen.is_on_storage();
                    match seen.iter().zip(&passed).any(sleeps) {
                        true => progress.begin(),
                        false => progress.wait_for_others(),
                    }
                }
                let mut kept = passed.iter();
                to.retain(|_| kept.next() == Some(&false));
                let mut kept = passed.iter();
                before.retain(|_| kept.next() == Some(&false));
                to.is_empty()
            });
        }
    }

    /// What is seen of a borrower at a time.
    #[derive(Clone)]
    struct Seen {
        sight: Option<Sight>,
        sequence: u64,
        is_another: bool,
    }

    impl Seen {
        fn look(borrower: &Borrower) -> Seen {
            let polling = borrower.polling;
            Seen {
                sequence: polling.map_or(0, Polling::sequence),
                is_another: polling.is_some_and(|polling| polling.thread() != borrower.thread),
                sight: thread::look(borrower.thread),
            }
        }

        /// Whether it sleeps so that word for it does not wake it.
        fn is_on_storage(&self) -> bool {
            let asleep = |sight: Sight| sight.sleeps() && !sight.waits();
            self.sight.is_some_and(asleep)
        }

        /// Whether it has left the kernel since `then`, or is where it would be made to: asleep so that word wakes it.
        fn has_passed(&self, then: &Seen) -> bool {
            let (Some(now), Some(before)) = (self.sight, then.sight) else {
                return true;
            };
            let ran = now.ticks.saturating_sub(before.ticks) >= limits::RING_FILE_TICKS;
            self.is_another || self.sequence != then.sequence || now.waits() || ran
        }
    }

    /// Looks again and again, at first without a pause.
    fn poll_until(until: Instant, mut is_so: impl FnMut() -> bool) {
        let mut pause = Duration::ZERO;
        while !is_so() && Instant::now() < until {
            if pause.is_zero() {
                std::thread::yield_now();
            } else {
                std::thread::park_timeout(pause);
            }
            pause = limits::RING_FILE_LOOK_EVERY.min(pause * 2 + Duration::from_micros(50));
        }
    }
}

#[cfg(not(target_os = "linux"))]
mod elsewhere {
    use std::sync::Arc;

    use super::Before;

    /// There are no rings.
    #[derive(Default)]
    pub(crate) struct OnRings;

    impl OnRings {
        pub(crate) fn lend(&self) {}

        pub(crate) fn before_close(self: &Arc<Self>) -> Option<Before> {
            None
        }
    }
}

#[cfg(all(test, target_os = "linux"))]
mod tests {
    use super::*;
    use std::os::fd::AsFd;
    use std::sync::Arc;
    use std::sync::mpsc::channel;

    /// A thread that waits has let go, one that computes has when it next calls.
    #[test]
    fn a_thread_that_waits_or_calls_has_let_go() {
        let on_rings = Arc::new(OnRings::default());
        assert!(on_rings.before_close().is_none());
        let (other, (noted, is_noted)) = (on_rings.clone(), channel());
        let (stop, stopped) = channel::<()>();
        let thread = std::thread::spawn(move || {
            other.note(true);
            other.note(false);
            noted.send(()).unwrap();
            stopped.recv().unwrap_err();
        });
        is_noted.recv().unwrap();
        on_rings.lend();
        let fd = std::io::stdin();
        on_rings.before_close().unwrap()(fd.as_fd(), None);
        drop(stop);
        thread.join().unwrap();
        // It is gone.
        on_rings.before_close().unwrap()(fd.as_fd(), None);
    }
}
