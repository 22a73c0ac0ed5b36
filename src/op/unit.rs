//! Operations whose result is only success or failure.

use std::io;
use std::path::PathBuf;

use crate::driver::fence::Fenced;
use crate::driver::op::{Load, Op};
use crate::opcode::Kind;
use crate::sys::fd::Target;
use crate::sys::request::Request;

/// A request without a result of its own.
pub(crate) struct Unit<R> {
    kind: Kind,
    request: R,
    target: Target,
    load: Load,
    fenced: Option<Fenced>,
}

impl<R: Request> Unit<R> {
    /// An operation on a path, which the error will name.
    pub(crate) fn on_path(kind: Kind, request: R, path: PathBuf) -> Unit<R> {
        Unit {
            kind,
            request,
            target: Target::Path(path),
            load: Load::Metadata,
            fenced: None,
        }
    }

    /// An operation on an open file.
    pub(crate) fn on_file(kind: Kind, request: R, target: Target) -> Unit<R> {
        Unit {
            kind,
            request,
            target,
            load: Load::Buffered,
            fenced: None,
        }
    }
}

impl<R> Unit<R> {
    /// It changes a file, and so must not overtake what came before it there.
    pub(crate) fn behind(self, fenced: Fenced) -> Unit<R> {
        Unit {
            fenced: Some(fenced),
            ..self
        }
    }
}

impl<R: Request> Op for Unit<R> {
    type Output = io::Result<()>;

    fn kind(&self) -> Kind {
        self.kind
    }

    fn target(&self) -> Target {
        self.target.clone()
    }

    fn request(&mut self) -> &mut dyn Request {
        &mut self.request
    }

    fn fenced(&self) -> Option<Fenced> {
        self.fenced.clone()
    }

    fn load(&self) -> Load {
        self.load
    }

    fn finish(self, result: io::Result<i32>) -> io::Result<()> {
        result.map(drop)
    }

    fn lost(error: io::Error) -> io::Result<()> {
        Err(error)
    }
}
