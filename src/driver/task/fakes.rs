//! What an operation does for the fake backend alone.

use std::path::PathBuf;

use super::cell::Cell;
use super::op::Op;
use crate::driver::job::fakeable::Fakeable;
use crate::sys::request::Paths;

impl<O: Op> Fakeable for Cell<O> {
    fn begin(&self) -> bool {
        self.life.to_kernel(|_| Some(())).is_some()
    }

    fn back_late(&self) {
        self.life.to_queue_late();
    }

    fn holds_clock(&self, holds: bool) {
        if holds {
            self.clock.hold(&*self.host);
        } else {
            self.clock.let_go();
        }
    }

    fn is_left(&self) -> bool {
        self.life.is_left()
    }

    fn feign_dataless(&self) {
        self.life.look_mut(Op::feign_dataless);
    }

    fn shorten(&self, bytes: usize) {
        self.life.look_mut(|op| op.shorten(bytes));
    }

    fn paths(&self) -> Vec<PathBuf> {
        let mut paths = Paths::default();
        self.life.look_mut(|op| op.paths(&mut paths));
        paths.into_inner()
    }
}
