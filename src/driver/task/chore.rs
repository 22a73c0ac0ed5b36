//! The driver's own operations, for which nobody waits.

use std::io;
use std::os::fd::OwnedFd;
use std::sync::Arc;

use crate::base::errno;
use crate::driver::ring::on_rings::OnRings;
use crate::driver::task::op::Op;
use crate::events;
use crate::opcode::Kind;
use crate::sys::progress::Progress;
use crate::sys::request::{self, Request};
use crate::sys::steps::Steps;

/// Closes a descriptor off the polling thread.
pub(crate) struct Close(request::Close);

impl Close {
    pub(crate) fn new(fd: OwnedFd) -> Close {
        Close(request::Close::new(fd, None))
    }

    /// One that rings of polling threads may have had: where they have, on a blocking thread.
    pub(crate) fn of_shared(fd: OwnedFd, on_rings: &Arc<OnRings>) -> Close {
        Close(request::Close::new(fd, on_rings.before_close()))
    }

    /// If somebody waits for it, on a blocking thread, which tells how far it has come.
    pub(crate) fn watched(self, progress: Option<Arc<Progress>>) -> Close {
        Close(self.0.watched(progress))
    }
}

impl Op for Close {
    type Output = io::Result<()>;

    fn kind(&self) -> Kind {
        Kind::Close
    }

    fn request(&mut self) -> &mut dyn Request {
        &mut self.0
    }

    /// Cancelled, it would leave its descriptor open.
    fn is_kept(&self) -> bool {
        true
    }

    fn finish(self, result: io::Result<i32>) -> io::Result<()> {
        match result {
            // The descriptor is gone all the same.
            Err(error) if error.raw_os_error() == Some(errno::EINTR) => Ok(()),
            result => result.map(drop),
        }
    }

    fn lost(error: io::Error) -> io::Result<()> {
        Err(error)
    }

    /// What the filesystem had only taken in may be lost, and whoever dropped the file is not told.
    fn unheard(&self, number: i32) {
        if number > 0 && ![errno::ECANCELED, errno::EINTR].contains(&number) {
            let error = io::Error::from_raw_os_error(number);
            events::report(move || events::background_failure(Kind::Close, &error));
        }
    }
}

/// Something that somebody waits for: whatever becomes of it, it is over then.
struct Watched(Arc<Progress>);

impl Drop for Watched {
    fn drop(&mut self) {
        self.0.end();
    }
}

type Work = Box<dyn FnOnce(&Steps) -> io::Result<()> + Send>;

/// Anything that may block.
pub(crate) struct Chore {
    kind: Kind,
    kept: bool,
    hop: request::Hop<(), Work>,
}

impl Chore {
    pub(crate) fn new(kind: Kind, work: impl FnOnce() + Send + 'static) -> Chore {
        let work: Work = Box::new(move |_| {
            work();
            Ok(())
        });
        Chore {
            kind,
            kept: false,
            hop: request::Hop::new(work),
        }
    }

    /// Drops something, also where its handle is closed; if somebody waits for that, it tells how far it has come.
    pub(crate) fn dropping<T: Send + 'static>(
        kind: Kind,
        what: T,
        watched: Option<Arc<Progress>>,
    ) -> Chore {
        let watched = watched.map(Watched);
        Chore::kept(kind, move |_| {
            if let Some(Watched(progress)) = &watched {
                progress.begin();
            }
            drop(what);
            Ok(())
        })
    }

    /// What is done though nobody waits for it, and though its handle is closed.
    pub(crate) fn kept(
        kind: Kind,
        work: impl FnOnce(&Steps) -> io::Result<()> + Send + 'static,
    ) -> Chore {
        let work: Work = Box::new(work);
        Chore {
            kind,
            kept: true,
            hop: request::Hop::new(work),
        }
    }
}

impl Op for Chore {
    type Output = io::Result<()>;

    fn kind(&self) -> Kind {
        self.kind
    }

    fn request(&mut self) -> &mut dyn Request {
        &mut self.hop
    }

    fn is_kept(&self) -> bool {
        self.kept
    }

    fn finish(self, result: io::Result<i32>) -> io::Result<()> {
        result.map(drop)
    }

    fn lost(error: io::Error) -> io::Result<()> {
        Err(error)
    }
}
