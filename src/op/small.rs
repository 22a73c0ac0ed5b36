//! Reading a small file in one submission to a lane.

use std::io;
use std::os::fd::OwnedFd;
use std::path::{Path, PathBuf};
use std::sync::Arc;

use super::file::SharedFile;
use super::locate::{locate, locate_surely};
use super::open::flag;
use super::plain::is_kept;
use crate::driver::Driver;
use crate::driver::op::{Load, OnWorker, Op};
use crate::error::Error;
use crate::limits::{self, SMALL_FILE_BYTES};
use crate::mounts::Mount;
use crate::opcode::Kind;
use crate::settings::Route;
use crate::sys::fd::{Target, from_completion};
use crate::sys::path::c_path;
use crate::sys::request::{self, Request, Small};

/// What an attempt to read a file at once came to.
pub(crate) enum Attempt {
    /// All of it.
    Whole(Vec<u8>),
    /// There is more, and the file is closed. Of a stream, these bytes do not come again.
    Larger(Vec<u8>),
    /// Nothing was read: it is for another way.
    Nothing,
    /// A stream, of which nothing was read.
    Stream(Arc<SharedFile>),
}

/// Whether a file should be read so: where the kernel has all that it takes, on a handle that is pinned to the
/// ring; else where many are read at a time, and the file is known to be small.
pub(crate) fn is_fit(driver: &Driver, file_bytes: Option<u64>) -> bool {
    if !crate::probe::report().has_opcode(Kind::ReadSmallFile) {
        return false;
    }
    match driver.route() {
        Route::Auto => {
            let linked = driver.counters.in_flight_of(Kind::ReadSmallFile);
            let hops = driver.counters.in_flight_of(Kind::ReadFile);
            let is_small = file_bytes.is_some_and(|bytes| bytes <= SMALL_FILE_BYTES as u64);
            let are_many = linked + hops >= limits::SMALL_FILES_AT_ONCE;
            is_small && are_many && linked < limits::SMALL_FILES_MAX
        }
        Route::Pool => false,
        Route::Ring => true,
    }
}

/// Reads a file at once if it is small.
pub(crate) async fn read(driver: &Arc<Driver>, path: &Path) -> io::Result<Attempt> {
    let named = |error| driver.tell(Kind::ReadFile, Some(path), error);
    let Some((small, mount)) = start(driver, path).map_err(named)? else {
        return Ok(Attempt::Nothing);
    };
    match small.await? {
        Small::Whole(bytes) => Ok(Attempt::Whole(bytes)),
        Small::NoSlot => {
            driver.counters.fell_back("the ring has no slot for a file");
            Ok(Attempt::Nothing)
        }
        Small::Larger(bytes) => Ok(Attempt::Larger(bytes)),
        Small::Open(slot) => {
            let install = Install {
                request: request::Install::new(slot),
                path: path.to_path_buf(),
            };
            let fd = match driver.start(install, &mount).await {
                // The lane whose slot it is was replaced.
                Err(error) if error.kind() == io::ErrorKind::BrokenPipe => {
                    return Ok(Attempt::Nothing);
                }
                fd => fd?,
            };
            Ok(Attempt::Stream(SharedFile::new(driver, fd, flag::O_RDONLY)))
        }
    }
}

/// `None` where something is stuck: what is linked takes five entries of the ring until it is over. And for what is
/// made as it is read: a ring waits until such a file says that it is ready, and a read does not. A path that is not in
/// memory may lead to one by a link, and it is not known then.
fn start(
    driver: &Arc<Driver>,
    path: &Path,
) -> io::Result<
    Option<(
        impl Future<Output = io::Result<Small>> + Send + 'static,
        Arc<Mount>,
    )>,
> {
    let owned = c_path(path)?;
    let sure = locate_surely(driver, &owned);
    let is_made_up = match &sure {
        Some((mount, stat)) => stat.is_file() && !is_kept(stat, mount),
        None => false,
    };
    let sure = sure.map(|(mount, _)| mount);
    let by_workers = !sure.as_ref().is_some_and(|mount| mount.is_local());
    let mount = sure.unwrap_or_else(|| locate(driver, &owned, true));
    if is_made_up || mount.has_no_storage() || driver.has_stuck_data(&mount) {
        return Ok(None);
    }
    let at = request::At {
        dir: None,
        path: owned,
    };
    let read = ReadSmall {
        request: request::ReadSmall::new(at, by_workers),
        path: path.to_path_buf(),
    };
    Ok(Some((driver.start(read, &mount), mount)))
}

struct ReadSmall {
    request: request::ReadSmall,
    path: PathBuf,
}

impl Op for ReadSmall {
    type Output = io::Result<Small>;

    fn kind(&self) -> Kind {
        Kind::ReadSmallFile
    }

    fn target(&self) -> Target {
        Target::Path(self.path.clone())
    }

    fn request(&mut self) -> &mut dyn Request {
        &mut self.request
    }

    /// The slots of a worker's ring could be cleared only by whoever polls next.
    fn on_worker(&self) -> OnWorker {
        OnWorker::Never
    }

    fn load(&self) -> Load {
        Load::Buffered
    }

    /// A stream is read another way.
    fn is_ordinary(&self, _number: i32) -> bool {
        self.request.is_stream()
    }

    /// Under the name of the operation that its caller began.
    fn finish(self, result: io::Result<i32>) -> io::Result<Small> {
        let output = self.request.into_output(result);
        output.map_err(|error| Error::io(Kind::ReadFile, Some(&self.path), error))
    }

    fn lost(error: io::Error) -> io::Result<Small> {
        Err(error)
    }
}

/// Makes a descriptor of a stream that was opened into a slot.
struct Install {
    request: request::Install,
    path: PathBuf,
}

impl Op for Install {
    type Output = io::Result<OwnedFd>;

    fn kind(&self) -> Kind {
        Kind::ReadSmallFile
    }

    fn target(&self) -> Target {
        Target::Path(self.path.clone())
    }

    fn request(&mut self) -> &mut dyn Request {
        &mut self.request
    }

    fn on_worker(&self) -> OnWorker {
        OnWorker::Never
    }

    /// As for what opened it, so that it comes to the same lane.
    fn load(&self) -> Load {
        Load::Buffered
    }

    fn finish(self, result: io::Result<i32>) -> io::Result<OwnedFd> {
        let fd = result.map(from_completion);
        fd.map_err(|error| Error::io(Kind::ReadFile, Some(&self.path), error))
    }

    fn lost(error: io::Error) -> io::Result<OwnedFd> {
        Err(error)
    }

    fn unclaimed(&self, number: i32) -> Option<OwnedFd> {
        Some(from_completion(number))
    }
}
