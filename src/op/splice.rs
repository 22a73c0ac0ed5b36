//! Moving bytes between pipes and files inside the kernel.

use std::io;
use std::os::fd::AsFd;
use std::sync::Arc;

use super::file::SharedFile;
use super::rw::{changed, known};
use crate::driver;
use crate::driver::fence::Fenced;
use crate::driver::op::{Load, Op};
use crate::mounts::Mount;
use crate::opcode::Kind;
use crate::sys::fd::Target;
use crate::sys::request::{self, Request};

/// A request whose result is a number of bytes.
struct Moved<R> {
    kind: Kind,
    request: R,
    target: Target,
    fenced: Option<Fenced>,
}

impl<R: Request> Op for Moved<R> {
    type Output = io::Result<usize>;

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
        Load::Buffered
    }

    fn finish(self, result: io::Result<i32>) -> io::Result<usize> {
        result.map(|count| count as usize)
    }

    fn lost(error: io::Error) -> io::Result<usize> {
        Err(error)
    }
}

/// One end: a file and where in it, or a pipe.
pub(crate) type End = (Arc<SharedFile>, Option<u64>);

/// On the lanes of what has no mount, as a pipe waits for its other end for as long as that likes.
pub(crate) async fn splice(from: End, to: End, len: usize) -> io::Result<usize> {
    let health = to.0.health.clone();
    health.check_write(Kind::Splice)?;
    // A pipe takes what comes in turn anyway.
    let fenced = if to.0.is_pipe() {
        from.0.health.looks_at_all()
    } else {
        health.changes(changed(&to.0, to.1.into(), len))
    };
    let (file, at) = (to.0.clone(), known(&to.0, to.1));
    let room = match file.bounded().cloned() {
        Some(bounded) => Some(bounded.room(at, len).await),
        None => None,
    };
    let len = room.as_ref().map_or(len, |room| len.min(room.bytes()));
    let end = |(fd, offset): End| request::End { fd, offset };
    let (from, to) = (end(from), end(to));
    let target = Target::file(from.fd.as_fd());
    let request = request::Splice { from, to, len };
    let kind = Kind::Splice;
    let driver = driver::current()?;
    let moved = driver
        .start(
            Moved {
                kind,
                request,
                target,
                fenced: Some(fenced),
            },
            &Mount::of_peers(),
        )
        .await;
    match (room, &moved) {
        (Some(room), Ok(count)) => room.wrote(&file, at, *count),
        // What was moved before the error is not known.
        (room, _) => drop(room),
    }
    moved
}

pub(crate) async fn tee(
    from: Arc<SharedFile>,
    to: Arc<SharedFile>,
    len: usize,
) -> io::Result<usize> {
    let target = Target::file(from.as_fd());
    let request = request::Tee { from, to, len };
    let kind = Kind::Tee;
    let driver = driver::current()?;
    driver
        .start(
            Moved {
                kind,
                request,
                target,
                fenced: None,
            },
            &Mount::of_peers(),
        )
        .await
}
