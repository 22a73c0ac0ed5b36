//! Operations whose result is only success or failure.

use std::io;
use std::path::PathBuf;

use crate::driver::op::{Load, OnWorker, Op};
use crate::error::Error;
use crate::opcode::Kind;
use crate::sys::request::Request;

/// A request without a result of its own.
pub(crate) struct Unit<R> {
    kind: Kind,
    request: R,
    path: Option<PathBuf>,
    load: Load,
    on_worker: OnWorker,
}

impl<R: Request> Unit<R> {
    /// An operation on a path, which the error will name.
    pub(crate) fn on_path(kind: Kind, request: R, path: PathBuf) -> Unit<R> {
        Unit {
            kind,
            request,
            path: Some(path),
            load: Load::Metadata,
            on_worker: OnWorker::Async,
        }
    }

    /// An operation on an open file.
    pub(crate) fn on_file(kind: Kind, request: R, on_worker: OnWorker) -> Unit<R> {
        Unit {
            kind,
            request,
            path: None,
            load: Load::Buffered,
            on_worker,
        }
    }
}

impl<R: Request> Op for Unit<R> {
    type Output = io::Result<()>;

    fn kind(&self) -> Kind {
        self.kind
    }

    fn request(&mut self) -> &mut dyn Request {
        &mut self.request
    }

    fn on_worker(&self) -> OnWorker {
        self.on_worker
    }

    fn load(&self) -> Load {
        self.load
    }

    fn finish(self, result: io::Result<i32>) -> io::Result<()> {
        result
            .map(drop)
            .map_err(|error| Error::io(self.kind, self.path.as_deref(), error))
    }

    fn lost(error: io::Error) -> io::Result<()> {
        Err(error)
    }
}
