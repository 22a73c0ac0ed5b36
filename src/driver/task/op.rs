//! What the driver asks of an operation.

use std::io;
use std::os::fd::{AsFd, OwnedFd};
#[cfg(target_os = "linux")]
use std::panic::{AssertUnwindSafe, catch_unwind};
use std::sync::Weak;

use crate::buf::BufError;
pub(crate) use crate::driver::job::load::{Load, OnWorker};
use crate::driver::order::fence::Fenced;
use crate::opcode::Kind;
use crate::sys::fd::Target;
#[cfg(feature = "testing")]
use crate::sys::request::Paths;
use crate::sys::request::Request;

/// What a caller gets: a success, or an error, which can be told in another way.
pub(crate) trait Told {
    fn told(self, tell: impl FnOnce(io::Error) -> io::Error) -> Self;
}

impl<T> Told for io::Result<T> {
    fn told(self, tell: impl FnOnce(io::Error) -> io::Error) -> Self {
        self.map_err(tell)
    }
}

impl<T, B> Told for Result<T, BufError<B>> {
    fn told(self, tell: impl FnOnce(io::Error) -> io::Error) -> Self {
        self.map_err(|error| error.told(tell))
    }
}

/// An operation: a request to the kernel and what its result means.
pub(crate) trait Op: Send + 'static {
    /// What the caller gets.
    type Output: Told + Send + 'static;

    /// The row of the op table.
    fn kind(&self) -> Kind;

    /// What it is about, for whoever wants to know what is stuck.
    fn target(&self) -> Target {
        Target::Nothing
    }

    /// What to hand to the kernel.
    fn request(&mut self) -> &mut dyn Request;

    /// Whether and how the polling thread's own ring may take it.
    fn on_worker(&self) -> OnWorker {
        OnWorker::Async
    }

    /// Whether it goes on when its future is dropped and when its handle is closed: what was promised
    /// to be done in the background.
    fn is_kept(&self) -> bool {
        false
    }

    /// The inode that a kept write is to; zero if none needs to wait for it.
    fn inode(&self) -> u64 {
        0
    }

    /// The file whose pages it waits for, so that it can be seen whether they become fewer.
    fn writes_back(&self) -> Option<Weak<dyn AsFd + Send + Sync>> {
        None
    }

    /// What it has to do with the fence of its file.
    fn fenced(&self) -> Option<Fenced> {
        None
    }

    /// Whether so many bytes are all that were to be written.
    fn is_whole(&self, _count: i32) -> bool {
        true
    }

    /// Whether this error number is what happens in the course of things, and its caller hears nothing of it.
    fn is_ordinary(&self, _number: i32) -> bool {
        false
    }

    /// What it waits for.
    fn load(&self) -> Load {
        Load::Metadata
    }

    /// The output, once the kernel or a blocking thread is done. Errors are handed on as they came: their caller
    /// is told of them as the handle is set, with the operation's kind and target.
    fn finish(self, result: io::Result<i32>) -> Self::Output;

    /// The output when the kernel may still hold the operation's memory for ever.
    fn lost(error: io::Error) -> Self::Output;

    /// The descriptor that a success leaves behind when nobody takes the output (INV-3).
    fn unclaimed(&self, _result: i32) -> Option<OwnedFd> {
        None
    }

    /// If it looks at a file, the file's content is elsewhere.
    #[cfg(feature = "testing")]
    fn feign_dataless(&mut self) {}

    /// The paths that it is about, for rules that name them.
    #[cfg(feature = "testing")]
    fn paths(&mut self, paths: &mut Paths) {
        self.request().paths(paths);
    }

    /// It moves so many bytes at most, if it moves any.
    #[cfg(feature = "testing")]
    fn shorten(&mut self, bytes: usize) {
        self.request().shorten(bytes);
    }

    /// Called once with the error number that the system gave, before anybody can hear that it is over.
    fn failed(&self, _number: i32) {}

    /// Called with the error number when nobody takes the output.
    fn unheard(&self, _number: i32) {}
}

/// What the request says of itself. Where the caller's buffer panics over that, a thread will hear it again, and
/// tell the future.
pub(crate) fn is_entry<O: Op>(op: &mut O) -> bool {
    #[cfg(target_os = "linux")]
    return catch_unwind(AssertUnwindSafe(|| op.request().entry().is_some())).unwrap_or(false);
    #[cfg(not(target_os = "linux"))]
    {
        let _ = op;
        false
    }
}
