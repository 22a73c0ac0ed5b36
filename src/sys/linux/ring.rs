//! The seam between the driver and the kernel: what a ring can be told.
//!
//! [`Uring`] is the kernel's; the tests drive the same code with a simulated one.
#![allow(
    unsafe_code,
    reason = "pushing an entry promises that its memory stays"
)]

use std::io;

use super::sqe::Sqe;
use super::tables::Tables;
use super::uring::{Completion, Uring};
use crate::base::clock::coarse_ms;

/// A submission and completion queue.
pub(crate) trait Ring: Tables + Send {
    /// The clock that the driver's decisions are made by, in milliseconds, never zero.
    fn now_ms(&self) -> u64 {
        coarse_ms()
    }

    /// Sets how many kernel workers may serve the submitting thread.
    fn limit_kernel_workers(&mut self, count: u32) -> io::Result<()>;

    /// The most operations that may be in flight, so that no completion is lost (INV-4).
    fn capacity(&self) -> usize;

    /// Queues an entry with what is linked to it; `false`, and nothing, if the queue has no room for all.
    ///
    /// # Safety
    ///
    /// What it points to must stay valid until its last completion was reaped (INV-1).
    unsafe fn push(&mut self, sqe: &Sqe, user_data: u64) -> bool;

    /// Entries that the kernel has not taken yet.
    fn queued(&mut self) -> usize;

    /// Submits what is queued, waits for that many completions, and says how many entries were taken.
    fn enter(&mut self, completions: u32) -> io::Result<usize>;

    /// Takes the completions that are there.
    fn reap(&mut self, into: &mut Vec<Completion>);

    /// Whether there are any.
    fn has_completions(&mut self) -> bool;
}

impl Ring for Uring {
    fn limit_kernel_workers(&mut self, count: u32) -> io::Result<()> {
        Uring::limit_kernel_workers(self, count)
    }

    fn capacity(&self) -> usize {
        self.entries()
    }

    unsafe fn push(&mut self, sqe: &Sqe, user_data: u64) -> bool {
        // SAFETY: the promise is passed on.
        unsafe { Uring::push(self, sqe, user_data) }
    }

    fn queued(&mut self) -> usize {
        Uring::queued(self)
    }

    fn enter(&mut self, completions: u32) -> io::Result<usize> {
        Uring::enter(self, completions)
    }

    fn reap(&mut self, into: &mut Vec<Completion>) {
        Uring::reap(self, into);
    }

    fn has_completions(&mut self) -> bool {
        Uring::has_completions(self)
    }
}
