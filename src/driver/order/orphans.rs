//! Writes that go on without their files, and what waits for them.
//!
//! Whoever opens a file after it was dropped should see what it had accepted. So an operation on names,
//! which may find that file, waits for the writes that were orphans when it began, and for no later ones.

use std::collections::VecDeque;
use std::sync::atomic::{AtomicUsize, Ordering};
use std::sync::{Arc, Mutex};

use crate::base::clock::coarse_ms;
use crate::base::lock::lock;
use crate::driver::job::Job;
use crate::driver::job::load::Load;
use crate::limits;
use crate::mounts::Mount;
use crate::opcode::Kind;

type Jobs = Vec<Arc<dyn Job>>;

/// A write in flight whose file is dropped.
struct Orphan {
    number: u64,
    inode: u64,
    since_ms: u64,
}

#[derive(Default)]
struct State {
    /// In the order of their numbers.
    writes: VecDeque<Orphan>,
    last: u64,
    /// Each with the last write that it waits for, in that order.
    held: VecDeque<(u64, Arc<dyn Job>)>,
    closed: bool,
}

/// The orphan writes of one mount and handle.
#[derive(Default)]
pub(crate) struct Orphans {
    /// How many there are, to be read without the lock.
    count: AtomicUsize,
    state: Mutex<State>,
}

impl State {
    /// What waits for none of the writes that are left.
    fn ready(&mut self) -> Jobs {
        let first = self.writes.front().map_or(u64::MAX, |write| write.number);
        let ready = self.held.iter().take_while(|(last, _)| *last < first);
        let ready = ready.count();
        self.held.drain(..ready).map(|(_, job)| job).collect()
    }
}

impl Orphans {
    /// Returns the number of the write.
    pub(crate) fn begin(&self, mount: &Mount, inode: u64) -> u64 {
        mount.orphan_write_begins(inode);
        let mut state = lock(&self.state);
        state.last += 1;
        let write = Orphan {
            number: state.last,
            inode,
            since_ms: coarse_ms(),
        };
        state.writes.push_back(write);
        self.count.store(state.writes.len(), Ordering::SeqCst);
        state.last
    }

    /// Returns what waited for it alone.
    pub(crate) fn end(&self, mount: &Mount, number: u64) -> Jobs {
        let mut state = lock(&self.state);
        let Some(index) = state.writes.iter().position(|write| write.number == number) else {
            // It took so long that nobody waits for it any more.
            return Jobs::new();
        };
        if let Some(write) = state.writes.remove(index) {
            mount.orphan_write_ends(write.inode);
        }
        self.count.store(state.writes.len(), Ordering::SeqCst);
        state.ready()
    }

    /// Keeps an operation back that may find what is still to be written; gives back any other.
    pub(crate) fn hold(&self, job: Arc<dyn Job>) -> Result<(), Arc<dyn Job>> {
        let begins_with_a_name = matches!(
            job.load(),
            Load::Metadata | Load::ManyNames | Load::OfStorage
        ) || job.kind() == Kind::ReadSmallFile;
        if self.count.load(Ordering::SeqCst) == 0 || !begins_with_a_name || job.is_kept() {
            return Err(job);
        }
        let mut state = lock(&self.state);
        if state.writes.is_empty() || state.closed {
            return Err(job);
        }
        let last = state.last;
        state.held.push_back((last, job));
        Ok(())
    }

    /// Waits no longer for writes that may be stuck; returns what waited for them.
    pub(crate) fn expire(&self, mount: &Mount) -> Jobs {
        if self.count.load(Ordering::SeqCst) == 0 {
            return Jobs::new();
        }
        let bound = limits::ORPHAN_WRITE_WAIT.as_millis() as u64;
        let now = coarse_ms();
        let mut state = lock(&self.state);
        let is_old = |write: &Orphan| now.saturating_sub(write.since_ms) > bound;
        while state.writes.front().is_some_and(is_old) {
            if let Some(write) = state.writes.pop_front() {
                mount.orphan_write_ends(write.inode);
            }
        }
        self.count.store(state.writes.len(), Ordering::SeqCst);
        state.ready()
    }

    /// Keeps nothing back from now on; returns what was.
    pub(crate) fn close(&self) -> Jobs {
        let mut state = lock(&self.state);
        state.closed = true;
        state.held.drain(..).map(|(_, job)| job).collect()
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::driver::core::Driver;
    use crate::driver::runtimes::Home;
    use crate::driver::task::cell::Cell;
    use crate::driver::task::chore::Chore;
    use crate::opcode::Kind;
    use crate::settings::Settings;
    use crate::settings::{Route, Submit};

    fn job(driver: &Arc<Driver>) -> Arc<dyn Job> {
        let group = driver.group(&Mount::unknown());
        let chore = Chore::new(Kind::Metadata, || ());
        Cell::new(
            chore,
            driver.clone(),
            group,
            false,
            None,
            std::time::Instant::now(),
        )
    }

    /// An operation waits for the writes that were there before it, in whatever order they end, and for
    /// no later one; an inode is marked for as long as a write to it goes on.
    #[test]
    fn an_operation_waits_for_the_writes_before_it_only() {
        let driver = Driver::new(
            Home::Outside,
            Route::Pool,
            Submit::Auto,
            0,
            Settings::default(),
        )
        .unwrap();
        let (orphans, mount) = (Orphans::default(), Mount::chores());
        assert!(orphans.hold(job(&driver)).is_err(), "nothing to wait for");

        let one = orphans.begin(&mount, 7);
        assert!(orphans.hold(job(&driver)).is_ok());
        let two = orphans.begin(&mount, 8);
        assert!(orphans.hold(job(&driver)).is_ok());
        assert!(mount.has_orphan_write(7) && mount.has_orphan_write(8));
        assert_eq!(orphans.end(&mount, one).len(), 1);
        assert!(!mount.has_orphan_write(7) && mount.has_orphan_write(8));

        let three = orphans.begin(&mount, 8);
        assert!(orphans.hold(job(&driver)).is_ok());
        assert_eq!(orphans.end(&mount, three).len(), 0, "it also waits for two");
        assert!(mount.has_orphan_write(8));
        assert_eq!(orphans.end(&mount, two).len(), 2);
        assert!(!mount.has_orphan_write(8));
        assert!(orphans.hold(job(&driver)).is_err());
        assert_eq!(orphans.end(&mount, two).len(), 0, "it has ended before");
    }

    /// Nothing is left behind when the handle ends.
    #[test]
    fn what_waits_is_given_back_at_the_end() {
        let driver = Driver::new(
            Home::Outside,
            Route::Pool,
            Submit::Auto,
            0,
            Settings::default(),
        )
        .unwrap();
        let (orphans, mount) = (Orphans::default(), Mount::chores());
        let write = orphans.begin(&mount, 9);
        assert!(orphans.hold(job(&driver)).is_ok());
        assert_eq!(orphans.close().len(), 1);
        assert!(orphans.hold(job(&driver)).is_err(), "closed");
        assert!(orphans.end(&mount, write).is_empty());
    }
}
