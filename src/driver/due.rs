//! When an operation is to be looked at: its deadline, or the end of the grace after it.

use std::sync::atomic::Ordering;
use std::time::Duration;

use super::cell::Cell;
use super::core::Driver;
use super::group::Group;
use super::op::Op;
use super::registry::NEVER;
use crate::opcode::{DeadlineClass, Kind};
use crate::sys::clock::now_us;

impl<O: Op> Cell<O> {
    pub(super) fn note_due(&self) {
        let due_us = self.due_us.load(Ordering::SeqCst);
        if let (Some(place), true) = (self.place.get(), due_us != NEVER) {
            self.driver.registry.note_due(*place, due_us);
        }
    }

    pub(super) fn set_due(&self, due_us: u64) {
        self.due_us.store(due_us, Ordering::SeqCst);
        self.note_due();
    }

    /// Whoever waits for it now wants it by then.
    pub(super) fn hasten(&self, due_us: u64) {
        if due_us < self.due_us.load(Ordering::SeqCst) {
            self.set_due_unless_given_up(due_us);
        }
    }

    /// Whoever waited for it waits no more, and has taken the limit along. Whether it was not given up before.
    pub(super) fn unhurry(&self) -> bool {
        let due_us = self.patience_us.map(|patience_us| now_us() + patience_us);
        self.set_due_unless_given_up(due_us.unwrap_or(NEVER))
    }

    /// What was given up keeps its grace.
    fn set_due_unless_given_up(&self, due_us: u64) -> bool {
        let set = || self.due_us.store(due_us, Ordering::SeqCst);
        let is_set = self.life.unless_given_up(set);
        self.note_due();
        is_set
    }
}

/// How long a handle lets an operation take of itself, in microseconds.
pub(super) fn default_patience(driver: &Driver, group: &Group, kind: Kind) -> Option<u64> {
    let timeouts = &driver.settings().timeouts;
    let patience = match kind.row().deadline_class {
        // A peer takes as long as it takes.
        _ if group.mount().is_of_peers() => None,
        DeadlineClass::Data => timeouts.data,
        _ if kind == Kind::Prefetch => timeouts.data,
        DeadlineClass::Metadata => timeouts.metadata,
        DeadlineClass::Sync => timeouts.sync,
        DeadlineClass::Unbounded => None,
    };
    patience.map(|patience: Duration| u64::try_from(patience.as_micros()).unwrap_or(NEVER / 2))
}
