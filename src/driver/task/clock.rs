//! A runtime whose clock a test has stopped: it goes on by itself when the runtime has nothing to do, unless a
//! blocking task runs. So one is there while operations are in flight, as `tokio::fs` has one for each.

use std::sync::{Arc, Condvar, Mutex};
use std::time::Instant;

use tokio::runtime::{self, RuntimeFlavor};

use super::host::Host;
use crate::base::lock::{lock, wait};

/// Holds the clock of one runtime.
#[derive(Default)]
pub(crate) struct Keeper {
    state: Mutex<State>,
    changed: Condvar,
}

#[derive(Default)]
struct State {
    holds: usize,
    /// Whether the blocking task is there, or on its way.
    has_task: bool,
    /// The runtime ends: its end would wait for the task.
    closed: bool,
}

impl Keeper {
    fn hold(self: &Arc<Self>, here: &runtime::Handle) {
        let mut state = lock(&self.state);
        state.holds += 1;
        if state.closed || std::mem::replace(&mut state.has_task, true) {
            return;
        }
        drop(state);
        let task = Task(self.clone());
        drop(here.spawn_blocking(move || task.0.keep()));
    }

    /// Whether the clock is held, from now on by one more.
    fn join(&self) -> bool {
        let mut state = lock(&self.state);
        let is_held = state.holds > 0 && !state.closed;
        state.holds += usize::from(is_held);
        is_held
    }

    fn let_go(&self) {
        let mut state = lock(&self.state);
        state.holds -= 1;
        let is_last = state.holds == 0;
        drop(state);
        if is_last {
            self.changed.notify_all();
        }
    }

    /// Sleeps while the clock is to stand.
    fn keep(&self) {
        let mut state = lock(&self.state);
        while state.holds > 0 && !state.closed {
            state = wait(&self.changed, state);
        }
        state.has_task = false;
    }

    /// Lets it go on for good.
    pub(crate) fn close(&self) {
        lock(&self.state).closed = true;
        self.changed.notify_all();
    }
}

/// The blocking task; a runtime that ends drops it without running it.
struct Task(Arc<Keeper>);

impl Drop for Task {
    fn drop(&mut self) {
        let mut state = lock(&self.0.state);
        state.has_task &= state.holds > 0 && !state.closed;
    }
}

/// The part of one operation in it.
#[derive(Default)]
pub(crate) struct Clock(Mutex<Option<Arc<Keeper>>>);

impl Clock {
    /// Holds the clock of the driver's runtime until [`let_go`](Clock::let_go), if it is stopped.
    pub(crate) fn hold(&self, host: &dyn Host) {
        if let Some(here) = runtime_with_stopped_clock(host) {
            let mut held = lock(&self.0);
            if held.is_none() {
                host.keeper().hold(&here);
                *held = Some(host.keeper().clone());
            }
        }
    }

    /// The same for what goes on from one thread to another while others wait: there it is held as long as it was
    /// until now.
    pub(crate) fn hold_or_join(&self, host: &dyn Host) {
        self.hold(host);
        let mut held = lock(&self.0);
        if held.is_none() && host.has_one_thread() && host.keeper().join() {
            *held = Some(host.keeper().clone());
        }
    }

    /// After its caller was woken, if there is one: from then on the runtime has something to do.
    pub(crate) fn let_go(&self) {
        let held = lock(&self.0).take();
        held.inspect(|keeper| keeper.let_go());
    }
}

impl Drop for Clock {
    fn drop(&mut self) {
        self.let_go();
    }
}

/// The runtime, if this is one of its threads and its clock is stopped. Costs two clocks on a runtime of one
/// thread, and nothing on others, whose clocks cannot be stopped.
fn runtime_with_stopped_clock(host: &dyn Host) -> Option<runtime::Handle> {
    if !host.has_one_thread() || !is_stopped() {
        return None;
    }
    let here = runtime::Handle::try_current().ok()?;
    let is_here = host.is_of(here.id());
    (is_here && here.runtime_flavor() == RuntimeFlavor::CurrentThread).then_some(here)
}

/// Whether tokio's clock stands here.
fn is_stopped() -> bool {
    let before = Instant::now();
    let shown = tokio::time::Instant::now();
    let mut after = Instant::now();
    if (before..=after).contains(&shown.into_std()) {
        // It shows the system's time.
        return false;
    }
    // Stopped and moved, or stopped once and going on: it shows the same time at a later moment, or not.
    let seen = after;
    while after == seen {
        after = Instant::now();
    }
    tokio::time::Instant::now() == shown
}
