//! Writes that are not over though they were accepted, or though nobody waits for them any more, and what may
//! not overtake them.
//!
//! What a cursor has accepted is done, as far as its caller knows: whatever he asks of the same open file
//! afterwards sees it, so it waits.
//!
//! A write that timed out, was cancelled or dropped may reach the file at any later time. Whoever writes the
//! same bytes of the same file afterwards wants his own to be the last, so his write waits for it, or is
//! refused, as the file is set.

use std::ops::Range;
use std::sync::atomic::{AtomicU64, AtomicUsize, Ordering};
use std::sync::{Arc, Mutex};

use crate::base::fork::Born;
use crate::base::lock::lock;
use crate::driver::job::Job;

/// What an operation has to do with the fence of its file.
#[derive(Clone)]
pub(crate) struct Fenced {
    pub(crate) fence: Arc<Fence>,
    /// The bytes that it may change, or whose order it depends on.
    pub(crate) range: Range<u64>,
    pub(crate) role: Role,
}

/// What an operation does with its bytes.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Role {
    /// It changes them, and was accepted: others wait for it from its beginning on.
    Accepted,
    /// It may change them, so that other changes wait for it once nobody does.
    Changes,
    /// It says of a sync that it was one: it waits for all that report failed writebacks and began before it, as the
    /// kernel tells each failure to one of them only.
    Confirms,
    /// It changes nothing, and waits for all changes that nobody waits for.
    Follows,
    /// It looks at them, and waits for what was accepted.
    Looks,
    /// As `Follows`, and it reports failed writebacks: what confirms a sync waits for it from its beginning on.
    Reports,
}

/// A write, or a sync, that others may have to wait for.
struct Standing {
    number: u64,
    /// Empty for what changes nothing.
    range: Range<u64>,
    is_accepted: bool,
    reports: bool,
    /// Whether nobody waits for it any more.
    is_detached: bool,
}

/// So few are not looked through.
const HELD_UNSWEPT: usize = 64;

#[derive(Default)]
struct State {
    standing: Vec<Standing>,
    held: Vec<Held>,
    /// How many are held when those are let go of next that were taken back.
    swept_at: usize,
    refuses: bool,
}

/// What waits for those that began before it. Not for itself, nor for what began after it, though nobody may
/// wait for them any more either.
struct Held {
    range: Range<u64>,
    role: Role,
    number: u64,
    job: Arc<dyn Job>,
}

impl State {
    /// What was taken back while it was held, each time that twice as many are held: what is behind a write that
    /// never ends would stay for as long. Asks for a mark alone, and not for a lock of the operations.
    fn take_given_up(&mut self) -> Vec<Held> {
        if self.held.len() < self.swept_at.max(HELD_UNSWEPT) {
            return Vec::new();
        }
        let held = std::mem::take(&mut self.held);
        let is_given_up = |held: &Held| held.job.is_given_up() && !held.job.is_kept();
        let (given_up, held): (Vec<_>, Vec<_>) = held.into_iter().partition(is_given_up);
        self.swept_at = 2 * held.len();
        self.held = held;
        given_up
    }

    /// Those before this number that overlap it and that it waits for.
    fn before<'a>(
        &'a self,
        range: &'a Range<u64>,
        role: Role,
        number: u64,
    ) -> impl Iterator<Item = &'a Standing> {
        self.standing.iter().filter(move |one| {
            let overlaps = one.range.start < range.end && range.start < one.range.end;
            one.number < number
                && match role {
                    Role::Confirms => one.reports,
                    Role::Looks => overlaps && one.is_accepted,
                    _ => overlaps,
                }
        })
    }

    fn is_behind(&self, held: &Held) -> bool {
        let mut before = self.before(&held.range, held.role, held.number);
        before.next().is_some()
    }
}

/// The fence of one open file and its clones.
#[derive(Default)]
pub(crate) struct Fence {
    /// A forked child has its parent's files, and none of the writes that are on their way to them.
    born: Born,
    /// How many operations have begun.
    begun: AtomicU64,
    /// How many are detached, how many were accepted, and how many that are in all: to be read without the lock.
    detached: AtomicUsize,
    accepted: AtomicUsize,
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
        !self.born.is_of_parent() && self.detached.load(Ordering::SeqCst) > 0
    }

    /// Whether anything that was accepted is not over.
    pub(crate) fn has_accepted(&self) -> bool {
        !self.born.is_of_parent() && self.accepted.load(Ordering::SeqCst) > 0
    }

    /// Whether anything that reports failed writebacks is not over.
    pub(crate) fn has_reports(&self) -> bool {
        !self.born.is_of_parent()
            && self.count.load(Ordering::SeqCst) > 0
            && lock(&self.state).standing.iter().any(|one| one.reports)
    }

    /// What overlaps is refused from now on, instead of waiting.
    pub(crate) fn refuse(&self, refuses: bool) {
        if !self.born.is_of_parent() {
            lock(&self.state).refuses = refuses;
        }
    }

    /// The number of an operation that begins; never zero.
    pub(crate) fn number(&self) -> u64 {
        self.begun.fetch_add(1, Ordering::SeqCst) + 1
    }

    /// Nobody waits any more for the operation of that number on these bytes.
    pub(crate) fn raise(&self, fenced: &Fenced, number: u64) {
        self.stand(fenced, number, true);
    }

    /// The operation of that number begins, and others wait for it from now on.
    pub(crate) fn accept(&self, fenced: &Fenced, number: u64) {
        self.stand(fenced, number, false);
    }

    fn stand(&self, fenced: &Fenced, number: u64, is_detached: bool) {
        if self.born.is_of_parent() {
            return;
        }
        let mut state = lock(&self.state);
        match state.standing.iter_mut().find(|one| one.number == number) {
            Some(accepted) => accepted.is_detached = is_detached,
            None => {
                let changes = matches!(fenced.role, Role::Accepted | Role::Changes);
                state.standing.push(Standing {
                    number,
                    range: if changes { fenced.range.clone() } else { 0..0 },
                    is_accepted: fenced.role == Role::Accepted,
                    reports: fenced.role == Role::Reports,
                    is_detached,
                });
            }
        }
        self.count(&state);
    }

    fn count(&self, state: &State) {
        let count = |is: fn(&&Standing) -> bool| state.standing.iter().filter(is).count();
        let (detached, accepted) = (count(|one| one.is_detached), count(|one| one.is_accepted));
        self.detached.store(detached, Ordering::SeqCst);
        self.accepted.store(accepted, Ordering::SeqCst);
        self.count.store(state.standing.len(), Ordering::SeqCst);
    }

    /// It is over; returns what need not wait any more.
    /// Asks the operations nothing: whoever raises the fence has the lock of one.
    pub(crate) fn lower(&self, number: u64) -> Vec<Arc<dyn Job>> {
        if self.born.is_of_parent() {
            return Vec::new();
        }
        let mut state = lock(&self.state);
        state.standing.retain(|one| one.number != number);
        self.count(&state);
        let held = std::mem::take(&mut state.held);
        let (behind, free): (Vec<_>, Vec<_>) =
            held.into_iter().partition(|held| state.is_behind(held));
        state.held = behind;
        free.into_iter().map(|held| held.job).collect()
    }

    /// Keeps an operation that must not overtake what was accepted or is detached.
    pub(crate) fn pass(&self, fenced: &Fenced, number: u64, job: Arc<dyn Job>) -> Pass {
        if self.count.load(Ordering::SeqCst) == 0 {
            return Pass::Goes(job);
        }
        let mut state = lock(&self.state);
        let role = fenced.role;
        let before = state.before(&fenced.range, role, number);
        let Some(is_lost) = before.map(|one| one.is_detached).reduce(|a, b| a | b) else {
            return Pass::Goes(job);
        };
        let is_refusable = !matches!(role, Role::Confirms | Role::Looks);
        if is_lost && is_refusable && state.refuses && !job.is_kept() {
            return Pass::Refused(job);
        }
        let given_up = state.take_given_up();
        let range = fenced.range.clone();
        state.held.push(Held {
            range,
            role,
            number,
            job,
        });
        drop(state);
        // The last reference to a buffer or a file: not under the lock.
        drop(given_up);
        Pass::Held
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::driver::core::Driver;
    use crate::driver::runtimes::Home;
    use crate::driver::task::cell::Cell;
    use crate::driver::task::chore::Chore;
    use crate::mounts::Mount;
    use crate::opcode::Kind;
    use crate::settings::Settings;
    use crate::settings::{Route, Submit};

    fn job() -> Arc<dyn Job> {
        let settings = Settings::default();
        let driver = Driver::new(Home::Outside, Route::Pool, Submit::Auto, 0, settings).unwrap();
        let group = driver.group(&Mount::unknown());
        Cell::new(
            Chore::new(Kind::Write, || ()),
            driver,
            group,
            false,
            None,
            std::time::Instant::now(),
        )
    }

    /// Detaches an operation that begins; returns its number.
    fn raise(fence: &Arc<Fence>, range: Range<u64>, changes: bool) -> u64 {
        let number = fence.number();
        raise_at(fence, range, changes, number);
        number
    }

    fn raise_at(fence: &Arc<Fence>, range: Range<u64>, changes: bool, number: u64) {
        let role = if changes {
            Role::Changes
        } else {
            Role::Follows
        };
        fence.raise(&fenced(fence, range, role), number);
    }

    fn fenced(fence: &Arc<Fence>, range: Range<u64>, role: Role) -> Fenced {
        let fence = fence.clone();
        Fenced { fence, range, role }
    }

    fn pass(fence: &Arc<Fence>, range: Range<u64>) -> Pass {
        pass_at(fence, range, fence.number())
    }

    fn pass_at(fence: &Arc<Fence>, range: Range<u64>, number: u64) -> Pass {
        fence.pass(&fenced(fence, range, Role::Changes), number, job())
    }

    /// What looks waits for what was accepted, from its beginning on, and for nothing else; it is never refused.
    #[test]
    fn what_looks_waits_for_what_was_accepted() {
        let fence = Arc::<Fence>::default();
        let look = |range| {
            let looks = fenced(&fence, range, Role::Looks);
            fence.pass(&looks, fence.number(), job())
        };
        raise(&fence, 0..10, true);
        fence.refuse(true);
        assert!(matches!(look(0..10), Pass::Goes(_)), "it was not accepted");
        assert!(!fence.has_accepted());
        let accepted = fence.number();
        fence.accept(&fenced(&fence, 20..30, Role::Accepted), accepted);
        assert!(fence.has_accepted());
        assert!(matches!(look(0..20), Pass::Goes(_)));
        assert!(matches!(look(29..40), Pass::Held));
        assert!(matches!(pass(&fence, 25..26), Pass::Held), "not refused");
        fence.raise(&fenced(&fence, 20..30, Role::Accepted), accepted);
        assert!(matches!(pass(&fence, 25..26), Pass::Refused(_)));
        assert_eq!(fence.lower(accepted).len(), 2);
        assert!(!fence.has_accepted());
    }

    /// What overlaps waits until all that it overlaps is over; what does not goes on at once.
    #[test]
    fn what_overlaps_waits_for_the_last() {
        let fence = Arc::<Fence>::default();
        assert!(matches!(pass(&fence, 0..9), Pass::Goes(_)));
        let one = raise(&fence, 0..10, true);
        let two = raise(&fence, 5..15, true);
        let sync = raise(&fence, 0..u64::MAX, false);
        assert!(fence.is_up());
        assert!(matches!(pass(&fence, 15..20), Pass::Goes(_)));
        for range in [0..1, 9..10, 0..u64::MAX, 14..20] {
            assert!(matches!(pass(&fence, range), Pass::Held));
        }
        assert_eq!(fence.lower(one).len(), 1, "0..1 overlaps the first only");
        assert_eq!(fence.lower(sync).len(), 0);
        assert_eq!(fence.lower(two).len(), 3);
        assert!(!fence.is_up());
    }

    /// What loses its caller before it is held, or while it is, waits neither for itself nor for what began
    /// after it and lost its own.
    #[test]
    fn what_is_held_waits_for_what_began_before_it_only() {
        let fence = Arc::<Fence>::default();
        let [first, second, third] = [(); 3].map(|()| fence.number());
        raise_at(&fence, 0..10, true, second);
        let passed = pass_at(&fence, 0..10, second);
        assert!(matches!(passed, Pass::Goes(_)), "only itself is detached");
        raise_at(&fence, 0..10, true, first);
        assert!(matches!(pass_at(&fence, 0..10, second), Pass::Held));
        assert!(matches!(pass_at(&fence, 0..10, third), Pass::Held));
        raise_at(&fence, 0..10, true, third);
        assert_eq!(fence.lower(first).len(), 1);
        assert_eq!(fence.lower(third).len(), 0);
        assert_eq!(fence.lower(second).len(), 1);
    }

    /// Where overlaps are refused, nothing is held.
    #[test]
    fn overlaps_are_refused_where_that_is_asked_for() {
        let fence = Arc::<Fence>::default();
        let one = raise(&fence, 0..10, true);
        fence.refuse(true);
        assert!(matches!(pass(&fence, 0..1), Pass::Refused(_)));
        assert!(matches!(pass(&fence, 10..11), Pass::Goes(_)));
        assert!(fence.lower(one).is_empty());
    }
}
