//! What must not be dropped at a poll, because that closes something.

use std::os::fd::OwnedFd;
use std::sync::Arc;

use super::close::drop_directory;
use crate::driver;
use crate::opcode::Kind;

/// Something that is dropped where that may sleep, whoever lets go of it. When it was dropped, what it had open is
/// closed, as with a dropped file.
#[derive(Debug)]
pub(crate) struct Elsewhere<T: Send + 'static> {
    inner: Option<T>,
    /// If it has a directory open and nothing else, this is the same, without access.
    look: Option<Arc<OwnedFd>>,
}

impl<T: Send + 'static> Elsewhere<T> {
    pub(crate) fn new(inner: T) -> Elsewhere<T> {
        Elsewhere::directory(inner, None)
    }

    /// A directory being listed: where its close cannot sleep, it is dropped on the spot.
    pub(crate) fn directory(inner: T, look: Option<Arc<OwnedFd>>) -> Elsewhere<T> {
        Elsewhere {
            inner: Some(inner),
            look,
        }
    }

    pub(crate) fn get(&self) -> Option<&T> {
        self.inner.as_ref()
    }

    /// The thing itself, for a blocking thread.
    pub(crate) fn into_inner(self) -> T {
        self.into_parts().0
    }

    /// The same, with what looks at it.
    pub(crate) fn into_parts(mut self) -> (T, Option<Arc<OwnedFd>>) {
        let inner = self.inner.take();
        let inner = inner.expect("it is there until it is taken or dropped");
        (inner, self.look.take())
    }
}

impl<T: Send + 'static> Drop for Elsewhere<T> {
    fn drop(&mut self) {
        let Some(inner) = self.inner.take() else {
            return;
        };
        let driver = driver::current_or_pool();
        match self.look.take() {
            Some(look) => drop_directory(&driver, inner, look),
            None => driver.drop_soon(Kind::Close, inner),
        }
    }
}
