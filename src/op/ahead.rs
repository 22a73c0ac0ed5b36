//! Bringing the attributes of a listed directory into memory ahead of a caller that asks for one after the other.
//!
//! Nothing is remembered: the kernel is asked for each entry as if nobody had gone ahead, and answers at the poll.

use std::fs::DirEntry;
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, AtomicUsize, Ordering};

use crate::driver::Driver;
use crate::driver::chore::Chore;
use crate::limits;
use crate::mounts::Mount;
use crate::opcode::Kind;
use crate::sys::blocking;

/// The entries of one batch, and how far a caller is in them.
#[derive(Debug, Default)]
pub(crate) struct Ahead {
    entries: Vec<Arc<DirEntry>>,
    /// The one after that which was asked for last.
    next: AtomicUsize,
    /// The end of what was brought, or is being brought.
    end: AtomicUsize,
    /// How many are brought at a time; zero until one had to wait after the one before it was asked for.
    window: AtomicUsize,
    goes_on: AtomicBool,
}

impl Ahead {
    pub(crate) fn of(entries: impl Iterator<Item = Arc<DirEntry>>) -> Arc<Ahead> {
        Arc::new(Ahead {
            entries: entries.collect(),
            ..Ahead::default()
        })
    }

    /// An entry was asked for, and this mount's threads have to look. After the one before it, that shows that somebody
    /// goes through all.
    pub(super) fn missed(self: &Arc<Self>, driver: &Arc<Driver>, mount: &Arc<Mount>, at: usize) {
        let in_turn = self.next.swap(at + 1, Ordering::Relaxed) == at && at > 0;
        if in_turn && self.window.load(Ordering::Relaxed) == 0 {
            self.window.store(limits::LIST_AHEAD_MIN, Ordering::Relaxed);
        }
        self.go_on(driver, mount, at);
    }

    /// An entry was asked for, and found in memory.
    pub(super) fn found(self: &Arc<Self>, driver: &Arc<Driver>, mount: &Arc<Mount>, at: usize) {
        self.next.store(at + 1, Ordering::Relaxed);
        self.go_on(driver, mount, at);
    }

    /// Brings the next ones once half of the last ones have been asked for.
    fn go_on(self: &Arc<Self>, driver: &Arc<Driver>, mount: &Arc<Mount>, at: usize) {
        let window = self.window.load(Ordering::Relaxed);
        let begin = self.end.load(Ordering::Relaxed).max(at + 1);
        let is_due = window > 0 && at + window / 2 >= begin && begin < self.entries.len();
        // Elsewhere somebody might have to be asked, and a disk that stalls has enough to do.
        let may = || mount.is_local() && mount.is_healthy();
        if !is_due || !may() || self.goes_on.swap(true, Ordering::AcqRel) {
            return;
        }
        let end = (begin + window).min(self.entries.len());
        self.end.store(end, Ordering::Relaxed);
        let wider = (2 * window).min(limits::LIST_AHEAD_MAX);
        self.window.store(wider, Ordering::Relaxed);
        let (ahead, mount_there) = (self.clone(), mount.clone());
        let work = move || {
            for entry in &ahead.entries[begin..end] {
                let is_wanted = Arc::strong_count(&ahead) > 1 && mount_there.is_healthy();
                if !is_wanted || blocking::metadata_of_entry(entry).is_err() {
                    break;
                }
            }
            ahead.goes_on.store(false, Ordering::Release);
        };
        driver.start_detached(Chore::new(Kind::Prefetch, work), mount);
    }
}
