//! Reads into buffers that the kernel picks.

use std::io;
use std::os::fd::AsFd;
use std::pin::Pin;
use std::sync::Arc;
use std::task::{Context, Poll, ready};

use tokio::task::coop::poll_proceed;

use super::file::SharedFile;
use super::rw::{self, load_of};
use crate::base::errno;
use crate::buf::{BufGroup, ProvidedBuf};
use crate::driver::fence::Fenced;
use crate::driver::op::{Load, OnWorker, Op};
use crate::driver::{InFlight, is_limited, refused};
use crate::error::{Error, LeftBehind, raw_os_error};
use crate::mem::group::Group;
use crate::opcode::Kind;
use crate::sys::fd::Target;
use crate::sys::request::{Arrived, ReadProvided, Request, Took, is_for_one_by_one};

struct Read {
    request: ReadProvided,
    kind: Kind,
    load: Load,
    fenced: Fenced,
}

impl Op for Read {
    type Output = io::Result<Took>;

    fn kind(&self) -> Kind {
        self.kind
    }

    fn target(&self) -> Target {
        Target::file(self.request.fd().as_fd())
    }

    fn request(&mut self) -> &mut dyn Request {
        &mut self.request
    }

    /// Each ring takes memory for all buffers of the group, and lanes are fewer.
    fn on_worker(&self) -> OnWorker {
        OnWorker::Never
    }

    fn fenced(&self) -> Option<Fenced> {
        Some(self.fenced.clone())
    }

    fn load(&self) -> Load {
        self.load
    }

    fn is_ordinary(&self, number: i32) -> bool {
        self.request.is_ordinary(number)
    }

    fn finish(self, result: io::Result<i32>) -> io::Result<Took> {
        match result {
            // Those who took what it read have given some buffers back.
            Err(error)
                if error
                    .raw_os_error()
                    .is_some_and(|number| self.request.has_run_dry(number)) =>
            {
                Ok(Took::Arrived)
            }
            result => result.and_then(|count| self.request.into_took(count)),
        }
    }

    fn lost(error: io::Error) -> io::Result<Took> {
        Err(error)
    }
}

fn begin(file: &Arc<SharedFile>, kind: Kind, request: ReadProvided) -> InFlight<Read> {
    let (driver, mount) = (file.driver(), file.mount());
    let read = Read {
        request,
        kind,
        load: load_of(file),
        fenced: file.health.looks_at_all(),
    };
    driver.start(read, &mount)
}

fn request(file: &Arc<SharedFile>, group: &Arc<Group>, offset: Option<u64>) -> ReadProvided {
    let place = rw::in_place(file, offset.into());
    ReadProvided::new(file.clone(), group.clone(), place, file.is_direct())
}

/// Reads once, at an offset; where there are no positions, what comes.
pub(crate) async fn read_at(
    file: Arc<SharedFile>,
    group: BufGroup,
    offset: u64,
) -> io::Result<ProvidedBuf> {
    let kind = Kind::ReadProvided;
    if group.is_incremental() {
        return Err(Error::IncrementalGroup { operation: kind }.into());
    }
    rw::check_offset(&file, kind, offset, ())?;
    loop {
        let offset = rw::position(&file, kind, offset);
        match begin(&file, kind, request(&file, group.inner(), offset)).await {
            Ok(Took::Read(buf)) => return Ok(buf),
            Ok(Took::Arrived) => {}
            Err(error) if rw::is_interruption(&error) => {}
            Err(error) if offset.is_some() && file.has_no_positions(&error) => {
                return read_in_turn(&file, group.inner()).await;
            }
            Err(error) => return Err(error),
        }
    }
}

/// Reads once what comes.
async fn read_in_turn(file: &Arc<SharedFile>, group: &Arc<Group>) -> io::Result<ProvidedBuf> {
    match begin(file, Kind::ReadProvided, request(file, group, None)).await? {
        Took::Read(buf) => Ok(buf),
        Took::Arrived => Err(io::ErrorKind::InvalidData.into()),
    }
}

/// How a file is read.
#[derive(Clone, Copy, PartialEq)]
enum How {
    /// It is not known yet whether one entry can read it to its end.
    Asks,
    /// One entry reads again and again.
    Many,
    OneByOne,
}

/// A file from its beginning, or what comes in turn, buffer by buffer.
pub(crate) struct Reading {
    file: Arc<SharedFile>,
    group: BufGroup,
    /// Where to read next, in files with positions.
    position: u64,
    /// What one entry has brought that reads again and again.
    arrived: Arc<Arrived>,
    in_flight: Option<InFlight<Read>>,
    /// Whether the limit of an earlier wait may end it, or has.
    is_hurried: bool,
    /// How the last entry ended, until all that arrived before is handed out.
    ended: Option<io::Result<Took>>,
    how: How,
    is_done: bool,
}

impl Reading {
    pub(crate) fn new(file: Arc<SharedFile>, group: BufGroup) -> Reading {
        let kind = Kind::ReadProvidedStream;
        let how = match crate::probe::report().has_opcode(kind) && !file.is_seekable() {
            true => How::Asks,
            false => How::OneByOne,
        };
        Reading {
            file,
            group,
            position: 0,
            arrived: Arc::default(),
            in_flight: None,
            is_hurried: false,
            ended: None,
            how,
            is_done: false,
        }
    }

    pub(crate) fn is_done(&self) -> bool {
        self.is_done
    }

    pub(crate) fn poll(&mut self, cx: &mut Context<'_>) -> Poll<Option<io::Result<ProvidedBuf>>> {
        let turn = ready!(poll_proceed(cx));
        self.unhurry();
        while !self.is_done {
            let next = match self.arrived.take() {
                Some(arrived) => {
                    self.unhurry();
                    Some(arrived.map_err(|error| {
                        let driver = self.file.driver_ref();
                        driver.tell(Kind::ReadProvidedStream, None, error)
                    }))
                }
                None => self.ended.take().and_then(|ended| self.take(ended)),
            };
            if next.is_some() {
                turn.made_progress();
                return Poll::Ready(next);
            }
            let read = match self.in_flight.take() {
                Some(read) => Ok(read),
                None => {
                    self.is_hurried = false;
                    self.begin()
                }
            };
            let read = match read {
                Ok(read) => self.in_flight.insert(read),
                Err(error) => {
                    self.ended = Some(Err(error));
                    continue;
                }
            };
            self.is_hurried |= is_limited();
            match Pin::new(read).poll(cx) {
                Poll::Ready(ended) => {
                    self.in_flight = None;
                    self.ended = Some(ended);
                }
                // What arrives from now on wakes the task; what has arrived before may not.
                Poll::Pending if self.arrived.is_empty() => return Poll::Pending,
                Poll::Pending => {}
            }
        }
        Poll::Ready(None)
    }

    /// The limit of a wait ends with it.
    fn unhurry(&mut self) {
        if let (true, Some(read)) = (self.is_hurried, &self.in_flight) {
            self.is_hurried = !read.unhurry();
        }
    }

    fn begin(&self) -> io::Result<InFlight<Read>> {
        let (file, group) = (&self.file, self.group.inner());
        if file.is_seekable() {
            let kind = Kind::ReadProvided;
            if group.incremental {
                return Err(Error::IncrementalGroup { operation: kind }.into());
            }
            rw::check_offset(file, kind, self.position, ())?;
            return Ok(begin(file, kind, request(file, group, Some(self.position))));
        }
        let request = request(file, group, None);
        if self.how == How::Asks {
            return Ok(begin(file, Kind::ReadProvidedStream, request.asks()));
        }
        if self.how == How::OneByOne {
            // The kernel may tell of two reads into one buffer in another order than it filled it.
            let request = if group.incremental {
                request.without()
            } else {
                request
            };
            return Ok(begin(file, Kind::ReadProvided, request));
        }
        let request = request.many(self.arrived.clone());
        Ok(begin(file, Kind::ReadProvidedStream, request))
    }

    /// What the end of an entry means for whoever reads; `None` if another one is to begin, or all is done.
    fn take(&mut self, ended: io::Result<Took>) -> Option<io::Result<ProvidedBuf>> {
        match ended {
            Ok(_) if self.how == How::Asks => {
                self.how = How::Many;
                None
            }
            Ok(Took::Read(buf)) if buf.is_empty() => {
                self.is_done = true;
                None
            }
            Ok(Took::Read(buf)) => {
                self.position += buf.len() as u64;
                Some(Ok(buf))
            }
            Ok(Took::Arrived) => None,
            Err(error) if self.is_worth_another(&error) => None,
            Err(error) => {
                // Nothing is lost, and whoever set the limit may go on.
                self.is_done = given_up(&error) != Some(LeftBehind::NothingHappened);
                Some(Err(error))
            }
        }
    }

    fn is_worth_another(&mut self, error: &io::Error) -> bool {
        if rw::is_interruption(error)
            || self.file.is_seekable() && self.file.has_no_positions(error)
        {
            return true;
        }
        let left = given_up(error).filter(|_| refused().is_none());
        if self.how == How::OneByOne {
            // A limit of somebody who waits no more. What reads at a position takes nothing from anybody.
            let is_harmless = left == Some(LeftBehind::NothingHappened) || self.file.is_seekable();
            return self.is_hurried && left.is_some() && is_harmless;
        }
        if let Some(number) = raw_os_error(error) {
            if self.how == How::Asks && number == errno::EAGAIN {
                // It can be read without waiting, and there is nothing just now.
                self.how = How::Many;
                return true;
            }
            if is_for_one_by_one(number) {
                self.how = How::OneByOne;
                return true;
            }
        }
        // A limit of somebody who got what arrived before, and waits no more.
        left == Some(LeftBehind::NothingHappened)
    }
}

/// What an operation that a limit ended has left behind.
fn given_up(error: &io::Error) -> Option<LeftBehind> {
    match Error::from_io(error) {
        Some(Error::Cancelled { left, .. } | Error::TimedOut { left, .. }) => Some(*left),
        _ => None,
    }
}
