//! Several steps, or one without an opcode, in one hop to a blocking thread.
use std::io;

use super::Request;
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

/// Never an entry for a ring.
impl<T, F> Request for Hop<T, F>
where
    T: Send + 'static,
    F: FnOnce(&Steps) -> io::Result<T> + Send + 'static,
{
    fn block(&mut self, steps: &Steps) -> io::Result<i32> {
        if let Some(work) = self.work.take() {
            self.output = Some(work(steps)?);
        }
        Ok(0)
    }
}
