//! The driver's own operations, for which nobody waits.

use std::io;
use std::os::fd::OwnedFd;
use std::sync::{Arc, Condvar, Mutex};
use std::time::{Duration, Instant};

use super::op::Op;
use crate::events;
use crate::opcode::Kind;
use crate::sys::errno;
use crate::sys::lock::{lock, wait_timeout};
use crate::sys::request::{self, Request};
use crate::sys::steps::Steps;

/// Closes a descriptor off the polling thread.
pub(crate) struct Close {
    request: request::Close,
    /// Told when it is done, by being dropped.
    _ended: Option<Ended>,
}

impl Close {
    pub(crate) fn new(fd: OwnedFd) -> Close {
        Close {
            request: request::Close::new(fd),
            _ended: None,
        }
    }

    /// On a blocking thread, where nothing else that may sleep comes before it; and what to wait for.
    pub(super) fn awaited(fd: OwnedFd) -> (Close, End) {
        let end = End::default();
        let close = Close {
            request: request::Close::by_thread(fd),
            _ended: Some(Ended(end.0.clone())),
        };
        (close, end)
    }
}

/// The end of something.
#[derive(Default)]
pub(super) struct End(Arc<(Mutex<bool>, Condvar)>);

impl End {
    /// Waits for it, but only so long; returns whether it came.
    pub(super) fn wait(&self, bound: Duration) -> bool {
        let until = Instant::now() + bound;
        let (ended, bell) = &*self.0;
        let mut is_over = lock(ended);
        while !*is_over {
            let left = until.saturating_duration_since(Instant::now());
            if left.is_zero() {
                return false;
            }
            is_over = wait_timeout(bell, is_over, left).0;
        }
        true
    }
}

struct Ended(Arc<(Mutex<bool>, Condvar)>);

impl Drop for Ended {
    fn drop(&mut self) {
        *lock(&self.0.0) = true;
        self.0.1.notify_all();
    }
}

impl Op for Close {
    type Output = io::Result<()>;

    fn kind(&self) -> Kind {
        Kind::Close
    }

    fn request(&mut self) -> &mut dyn Request {
        &mut self.request
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
