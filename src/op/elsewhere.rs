//! What must not be dropped at a poll, because that closes something.

use crate::driver::{self, chore::Chore};
use crate::mounts::Mount;
use crate::opcode::Kind;

/// Something that is dropped on a blocking thread, whoever lets go of it.
#[derive(Debug)]
pub(crate) struct Elsewhere<T: Send + 'static>(Option<T>);

impl<T: Send + 'static> Elsewhere<T> {
    pub(crate) fn new(inner: T) -> Elsewhere<T> {
        Elsewhere(Some(inner))
    }

    pub(crate) fn get(&self) -> Option<&T> {
        self.0.as_ref()
    }

    /// The thing itself, for a blocking thread.
    pub(crate) fn into_inner(mut self) -> T {
        self.0
            .take()
            .expect("it is there until it is taken or dropped")
    }
}

impl<T: Send + 'static> Drop for Elsewhere<T> {
    fn drop(&mut self) {
        if let Some(inner) = self.0.take() {
            let work = Chore::new(Kind::Close, move || drop(inner));
            driver::current_or_pool().start_detached(work, &Mount::unknown());
        }
    }
}
