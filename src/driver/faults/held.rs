//! Operations that are withheld, and the thread that lets go of them when their time has come.

use std::sync::{Arc, Condvar, Mutex};
use std::time::Instant;

use super::rule::{Rule, Until};
use crate::base::errno;
use crate::base::global::Global;
use crate::base::lock::{lock, wait_timeout};
use crate::driver::core::Driver;
use crate::driver::door::{Sender, refuse};
use crate::driver::job::fakeable::Fakeable;
use crate::driver::job::load::Share;
use crate::driver::job::way::Way;
use crate::driver::job::{Job, Outcome};
use crate::driver::mount::group::Group;
use crate::limits;
use crate::observe;

enum What {
    Operation {
        driver: Arc<Driver>,
        group: Arc<Group>,
        job: Arc<dyn Job>,
    },
    /// Whether a mount answers: how to ask it.
    Question(Box<dyn FnOnce() + Send>),
}

/// What is withheld. Whoever takes it out ends it, or sends it on.
pub(crate) struct Held {
    /// What it would occupy if it were stuck on its real way.
    share: Share,
    honours_cancel: bool,
    what: Mutex<Option<What>>,
}

impl Held {
    /// Withholds an operation, unless it was given up or the rule has ended meanwhile.
    pub(super) fn hold(
        rule: &Rule,
        until: Until,
        driver: &Arc<Driver>,
        group: &Arc<Group>,
        job: Arc<dyn Job>,
    ) {
        let share = driver.share_of(group, &*job);
        if let (false, Some(full)) = (job.is_kept(), group.full(share)) {
            return refuse(group, job, full);
        }
        let held = Arc::new(Held {
            share,
            honours_cancel: rule.honours_cancel(),
            what: Mutex::new(Some(What::Operation {
                driver: driver.clone(),
                group: group.clone(),
                job: job.clone(),
            })),
        });
        job.set_way(held.clone());
        if !job.fakeable().is_some_and(Fakeable::begin) {
            lock(&held.what).take();
            return;
        }
        job.fakeable()
            .inspect(|job| job.holds_clock(until != Until::Released));
        held.keep(rule, until);
        // It may have been given up before it was known whom to tell (INV-11).
        if job.is_given_up() {
            held.cancel(0);
        }
    }

    /// Withholds a question to a mount.
    pub(super) fn hold_question(rule: &Rule, until: Until, ask: Box<dyn FnOnce() + Send>) {
        let held = Arc::new(Held {
            share: Share::Other,
            honours_cancel: false,
            what: Mutex::new(Some(What::Question(ask))),
        });
        held.keep(rule, until);
    }

    /// Has the rule release it, and its time.
    fn keep(self: &Arc<Self>, rule: &Rule, until: Until) {
        if !rule.keep(self) {
            return self.release();
        }
        if let Until::Passed(time) = until {
            if let Some(due) = Instant::now().checked_add(time) {
                keeper().release_at(due, self.clone());
            }
        }
    }

    /// Lets it go its real way, but not to a worker ring, which takes only what its own thread sends. What
    /// nobody waits for any more is done all the same, late, on a blocking thread.
    pub(super) fn release(&self) {
        let what = lock(&self.what).take();
        match what {
            None => {}
            Some(What::Operation { driver, group, job }) if !job.back() => {
                job.fakeable().inspect(|job| job.back_late());
                driver.to_thread_late(&group, job);
            }
            Some(What::Operation { driver, group, job }) => {
                job.fakeable().inspect(|job| job.holds_clock(true));
                if let Err(job) = group.orphans().hold(job) {
                    driver.send(&group, job, Sender::Queue);
                }
            }
            Some(What::Question(ask)) => ask(),
        }
    }

    pub(super) fn is_over(&self) -> bool {
        lock(&self.what).is_none()
    }
}

impl Way for Held {
    fn name(&self) -> observe::Way {
        match self.share {
            Share::Lane(_) => observe::Way::LaneRing,
            Share::Other | Share::Thread => observe::Way::Pool,
        }
    }

    fn share(&self) -> Share {
        self.share
    }

    /// Somebody no longer wants it. Does not wait for anything.
    fn cancel(&self, _user_data: u64) {
        if self.honours_cancel {
            let what = lock(&self.what).take();
            if let Some(What::Operation { job, .. }) = what {
                job.end(Outcome::Result(-errno::ECANCELED));
            }
        }
    }

    fn is_no_disk(&self) -> bool {
        true
    }
}

/// Releases what is due, on a thread that is there only while something is to come: a test may stop its
/// runtime's clock.
#[derive(Default)]
struct Keeper {
    state: Mutex<State>,
    sooner: Condvar,
}

#[derive(Default)]
struct State {
    to_come: Vec<(Instant, Arc<Held>)>,
    has_thread: bool,
}

fn keeper() -> &'static Keeper {
    static KEEPER: Global<Keeper> = Global::new();
    KEEPER.get_or_make(Keeper::default)
}

impl Keeper {
    fn release_at(&'static self, due: Instant, held: Arc<Held>) {
        let mut state = lock(&self.state);
        state.to_come.push((due, held));
        if std::mem::replace(&mut state.has_thread, true) {
            drop(state);
            return self.sooner.notify_one();
        }
        drop(state);
        let builder = std::thread::Builder::new()
            .name("tidegate-faults".into())
            .stack_size(limits::FOREIGN_STACK_BYTES);
        if builder.spawn(|| self.run()).is_err() {
            // Without a thread, nothing is delayed.
            let mut state = lock(&self.state);
            state.has_thread = false;
            let to_come = std::mem::take(&mut state.to_come);
            drop(state);
            to_come.into_iter().for_each(|(_, held)| held.release());
        }
    }

    fn run(&self) {
        let mut state = lock(&self.state);
        loop {
            let now = Instant::now();
            // What the guard has released needs no thread.
            state.to_come.retain(|(_, held)| !held.is_over());
            let to_come = std::mem::take(&mut state.to_come).into_iter();
            let (due, later): (Vec<_>, _) = to_come.partition(|(due, _)| *due <= now);
            state.to_come = later;
            if !due.is_empty() {
                drop(state);
                due.into_iter().for_each(|(_, held)| held.release());
                state = lock(&self.state);
                continue;
            }
            let Some(next) = state.to_come.iter().map(|(due, _)| *due).min() else {
                state.has_thread = false;
                return;
            };
            state = wait_timeout(&self.sooner, state, next - now).0;
        }
    }
}
