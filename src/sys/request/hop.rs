//! Several steps, or one without an opcode, in one hop to a blocking thread.
#![allow(
    unsafe_code,
    reason = "the request promises what its submission entry points to: it has none"
)]

use std::io;

use super::Request;
#[cfg(target_os = "linux")]
use crate::sys::linux::sqe::Sqe;
#[cfg(target_os = "linux")]
use crate::sys::linux::tables::Tables;
use crate::sys::steps::Steps;

/// Runs a closure on a blocking thread and keeps what it returned.
pub(crate) struct Hop<T, F> {
    work: Option<F>,
    output: Option<T>,
}

impl<T, F> Hop<T, F>
where
    T: Send + 'static,
    F: FnOnce(&Steps) -> io::Result<T> + Send + 'static,
{
    pub(crate) fn new(work: F) -> Hop<T, F> {
        Hop {
            work: Some(work),
            output: None,
        }
    }

    /// What the closure returned, after success.
    pub(crate) fn into_output(self) -> Option<T> {
        self.output
    }
}

// SAFETY: there is no entry, so nothing points anywhere.
unsafe impl<T, F> Request for Hop<T, F>
where
    T: Send + 'static,
    F: FnOnce(&Steps) -> io::Result<T> + Send + 'static,
{
    #[cfg(target_os = "linux")]
    fn sqe(&mut self, _tables: &mut dyn Tables) -> Option<Sqe> {
        None
    }

    fn block(&mut self, steps: &Steps) -> io::Result<i32> {
        if let Some(work) = self.work.take() {
            self.output = Some(work(steps)?);
        }
        Ok(0)
    }
}
