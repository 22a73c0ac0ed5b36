//! The part of one operation in the order of operations: its fence, and what waits for it as an orphan write.

use std::sync::atomic::Ordering;

use super::cell::Cell;
use super::op::Op;
use crate::driver::order::fence::{Fenced, Role};

impl<O: Op> Cell<O> {
    /// It begins: what comes after it in its file waits for it if it was accepted.
    pub(crate) fn stand(&self) {
        if let Some(fenced) = self
            .fenced
            .as_ref()
            .filter(|one| matches!(one.role, Role::Accepted | Role::Reports))
        {
            fenced.fence.accept(fenced, self.fence_number);
            self.is_fence_up.store(true, Ordering::SeqCst);
            // Its time may have been over before.
            if self.life.is_over() {
                self.lower_fence();
            }
        }
    }

    /// Nobody waits for it any more: what comes after it in its file must not overtake it.
    pub(crate) fn raise_fence(&self) {
        let others_wait = |one: &&Fenced| !matches!(one.role, Role::Confirms | Role::Looks);
        if let Some(fenced) = self.fenced.as_ref().filter(others_wait) {
            fenced.fence.raise(fenced, self.fence_number);
            self.is_fence_up.store(true, Ordering::SeqCst);
        }
    }

    /// The same where it may have ended meanwhile, and not known of the fence.
    pub(crate) fn raise_fence_late(&self) {
        self.raise_fence();
        if self.life.is_over() {
            self.lower_fence();
        }
    }

    pub(crate) fn lower_fence(&self) {
        let is_up = self.is_fence_up.swap(false, Ordering::SeqCst);
        if let (Some(fenced), true) = (&self.fenced, is_up) {
            for job in fenced.fence.lower(self.fence_number) {
                self.host.clone().resume(&self.group, job);
            }
        }
    }

    /// A write goes on without the file that accepted it.
    pub(crate) fn now_orphan(&self) {
        if self.inode == 0 || self.host.is_of_parent() {
            return;
        }
        let number = self.group.orphans().begin(self.group.mount(), self.inode);
        self.orphan.store(number, Ordering::SeqCst);
        // It may have ended meanwhile, and not known of the number.
        if self.life.is_over() && self.orphan.swap(0, Ordering::SeqCst) != 0 {
            self.orphan_write_ended(number);
        }
    }

    /// A write without a file is over: what came after it goes its way.
    pub(super) fn orphan_write_ended(&self, number: u64) {
        let ready = self.group.orphans().end(self.group.mount(), number);
        for job in ready {
            self.host.send_again(&self.group, job);
        }
    }
}
