//! Writes that nobody waits for any more and that are not over, and what may not overtake them.
//!
//! A write that timed out, was cancelled or dropped may reach the file at any later time. Whoever writes the
//! same bytes of the same file afterwards wants his own to be the last, so his write waits for it, or is
//! refused, as the file is set.

use std::ops::Range;
use std::sync::atomic::{AtomicUsize, Ordering};
use std::sync::{Arc, Mutex};

use super::cell::{Cell, Job};
use super::op::Op;
use crate::sys::lock::lock;

/// What an operation has to do with the fence of its file.
#[derive(Clone)]
pub(crate) struct Fenced {
    pub(crate) fence: Arc<Fence>,
    /// The bytes that it may change, or whose order it depends on.
    pub(crate) range: Range<u64>,
    /// Whether it may change them, so that others wait for it once nobody does.
    pub(crate) changes: bool,
}

/// A write, or a sync, that nobody waits for.
struct Detached {
    number: u64,
    /// Empty for what changes nothing.
    range: Range<u64>,
}

#[derive(Default)]
struct State {
    detached: Vec<Detached>,
    last: u64,
    held: Vec<Held>,
    refuses: bool,
}

/// What waits for those that were detached before it. Not for itself, nor for what came after it, though
/// nobody may wait for them any more either.
struct Held {
    range: Range<u64>,
    last: u64,
    job: Arc<dyn Job>,
}

impl State {
    /// Whether it overlaps one of those up to this number.
    fn is_behind(&self, range: &Range<u64>, last: u64) -> bool {
        let overlaps = |detached: &Detached| {
            detached.range.start < range.end && range.start < detached.range.end
        };
        let mut before = self.detached.iter().filter(|one| one.number <= last);
        before.any(overlaps)
    }
}

/// The fence of one open file and its clones.
#[derive(Default)]
pub(crate) struct Fence {
    /// How many are detached, to be read without the lock.
    count: AtomicUsize,
    state: Mutex<State>,
}

/// Whether an operation may go on.
pub(crate) enum Pass {
    Goes(Arc<dyn Job>),
    /// It is kept, and is handed out when it may.
    Held,
    Refused(Arc<dyn Job>),
}

impl Fence {
    /// Whether anything that nobody waits for is not over.
    pub(crate) fn is_up(&self) -> bool {
        self.count.load(Ordering::SeqCst) > 0
    }

    /// What overlaps is refused from now on, instead of waiting.
    pub(crate) fn refuse(&self, refuses: bool) {
        lock(&self.state).refuses = refuses;
    }

    /// Nobody waits any more for an operation on these bytes; returns its number.
    pub(super) fn raise(&self, fenced: &Fenced) -> u64 {
        let mut state = lock(&self.state);
        state.last += 1;
        let number = state.last;
        let range = if fenced.changes {
            fenced.range.clone()
        } else {
            0..0
        };
        state.detached.push(Detached { number, range });
        self.count.store(state.detached.len(), Ordering::SeqCst);
        number
    }

    /// It is over; returns what need not wait any more.
    pub(super) fn lower(&self, number: u64) -> Vec<Arc<dyn Job>> {
        let mut state = lock(&self.state);
        state.detached.retain(|detached| detached.number != number);
        self.count.store(state.detached.len(), Ordering::SeqCst);
        let held = std::mem::take(&mut state.held);
        let (behind, free): (Vec<_>, Vec<_>) = held
            .into_iter()
            .partition(|held| state.is_behind(&held.range, held.last) && !held.job.is_over());
        state.held = behind;
        free.into_iter().map(|held| held.job).collect()
    }

    /// Keeps an operation that must not overtake what is detached.
    pub(super) fn pass(&self, range: &Range<u64>, job: Arc<dyn Job>) -> Pass {
        if !self.is_up() {
            return Pass::Goes(job);
        }
        let mut state = lock(&self.state);
        let last = state.last;
        if !state.is_behind(range, last) {
            return Pass::Goes(job);
        }
        if state.refuses && !job.is_kept() {
            return Pass::Refused(job);
        }
        let range = range.clone();
        state.held.push(Held { range, last, job });
        Pass::Held
    }
}

impl<O: Op> Cell<O> {
    /// Nobody waits for it any more: what comes after it in its file must not overtake it.
    pub(super) fn raise_fence(&self) {
        if let Some(fenced) = &self.fenced {
            let number = fenced.fence.raise(fenced);
            self.fence_number.store(number, Ordering::SeqCst);
        }
    }

    /// The same where it may have ended meanwhile, and not known of the fence.
    pub(super) fn raise_fence_late(&self) {
        self.raise_fence();
        if self.life.is_over() {
            self.lower_fence();
        }
    }

    pub(super) fn lower_fence(&self) {
        let number = self.fence_number.swap(0, Ordering::SeqCst);
        if let (Some(fenced), true) = (&self.fenced, number != 0) {
            for job in fenced.fence.lower(number) {
                self.driver.resume(&self.group, job);
            }
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::driver::cell::Cell;
    use crate::driver::chore::Chore;
    use crate::driver::core::Driver;
    use crate::driver::handle::Home;
    use crate::driver::route::{Route, Submit};
    use crate::driver::settings::Settings;
    use crate::mounts::Mount;
    use crate::opcode::Kind;

    fn job() -> Arc<dyn Job> {
        let settings = Settings::default();
        let driver = Driver::new(Home::Outside, Route::Pool, Submit::Auto, 0, settings).unwrap();
        let group = driver.group(&Mount::unknown());
        Cell::new(Chore::new(Kind::Write, || ()), driver, group, false, None)
    }

    fn fenced(fence: &Arc<Fence>, range: Range<u64>, changes: bool) -> Fenced {
        Fenced {
            fence: fence.clone(),
            range,
            changes,
        }
    }

    /// What overlaps waits until all that it overlaps is over; what does not goes on at once.
    #[test]
    fn what_overlaps_waits_for_the_last() {
        let fence = Arc::<Fence>::default();
        assert!(matches!(fence.pass(&(0..9), job()), Pass::Goes(_)));
        let one = fence.raise(&fenced(&fence, 0..10, true));
        let two = fence.raise(&fenced(&fence, 5..15, true));
        let sync = fence.raise(&fenced(&fence, 0..u64::MAX, false));
        assert!(fence.is_up());
        assert!(matches!(fence.pass(&(15..20), job()), Pass::Goes(_)));
        for range in [0..1, 9..10, 0..u64::MAX, 14..20] {
            assert!(matches!(fence.pass(&range, job()), Pass::Held), "{range:?}");
        }
        assert_eq!(fence.lower(one).len(), 1, "0..1 overlaps the first only");
        assert_eq!(fence.lower(sync).len(), 0);
        assert_eq!(fence.lower(two).len(), 3);
        assert!(!fence.is_up());
    }

    /// What is held and loses its caller waits neither for itself nor for what came later and lost its own.
    #[test]
    fn what_is_held_waits_for_what_was_before_it_only() {
        let fence = Arc::<Fence>::default();
        let first = fence.raise(&fenced(&fence, 0..10, true));
        assert!(matches!(fence.pass(&(0..10), job()), Pass::Held));
        assert!(matches!(fence.pass(&(0..10), job()), Pass::Held));
        let second = fence.raise(&fenced(&fence, 0..10, true));
        let third = fence.raise(&fenced(&fence, 0..10, true));
        assert!(matches!(fence.pass(&(5..6), job()), Pass::Held));
        assert_eq!(fence.lower(first).len(), 2);
        assert_eq!(fence.lower(third).len(), 0);
        assert_eq!(fence.lower(second).len(), 1);
    }

    /// Where overlaps are refused, nothing is held.
    #[test]
    fn overlaps_are_refused_where_that_is_asked_for() {
        let fence = Arc::<Fence>::default();
        let one = fence.raise(&fenced(&fence, 0..10, true));
        fence.refuse(true);
        assert!(matches!(fence.pass(&(0..1), job()), Pass::Refused(_)));
        assert!(matches!(fence.pass(&(10..11), job()), Pass::Goes(_)));
        assert!(fence.lower(one).is_empty());
    }
}
