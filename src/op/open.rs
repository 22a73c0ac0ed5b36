//! Opening files.

use std::io;
use std::os::fd::OwnedFd;
use std::path::{Path, PathBuf};
use std::sync::Arc;

use super::file::SharedFile;
use super::locate::locate;
use crate::driver::op::Op;
use crate::driver::{self, Driver};
use crate::error::Error;
use crate::opcode::Kind;
use crate::sys::errno;
use crate::sys::fd::from_completion;
pub(crate) use crate::sys::flag;
use crate::sys::path::{c_path, with_c_path};
use crate::sys::request::{self, Request};

/// What the kernel says to O_NOATIME on somebody else's file.
pub(crate) const NOT_OWNER: i32 = errno::EPERM;

/// The error for options that contradict each other, as std gives it.
pub(crate) fn invalid() -> io::Error {
    io::Error::from_raw_os_error(errno::EINVAL)
}

/// Opens a file.
pub(super) struct Open {
    kind: Kind,
    request: request::Open,
    path: PathBuf,
}

impl Open {
    /// For the operation `kind`, which its error will name.
    pub(super) fn new(kind: Kind, path: &Path, flags: i32, mode: u32) -> io::Result<Open> {
        Ok(Open {
            kind,
            request: request::Open {
                path: c_path(path).map_err(|error| Error::io(kind, Some(path), error))?,
                flags: flags | flag::O_CLOEXEC,
                mode,
            },
            path: path.to_path_buf(),
        })
    }
}

impl Op for Open {
    type Output = io::Result<OwnedFd>;

    fn kind(&self) -> Kind {
        self.kind
    }

    fn request(&mut self) -> &mut dyn Request {
        &mut self.request
    }

    fn finish(self, result: io::Result<i32>) -> io::Result<OwnedFd> {
        result
            .map(from_completion)
            .map_err(|error| Error::io(self.kind, Some(&self.path), error))
    }

    fn lost(error: io::Error) -> io::Result<OwnedFd> {
        Err(error)
    }

    fn unclaimed(&self, number: i32) -> Option<OwnedFd> {
        Some(from_completion(number))
    }
}

/// Opens a path with these flags and, for a new file, this mode.
pub(crate) async fn open(path: &Path, flags: i32, mode: u32) -> io::Result<Arc<SharedFile>> {
    let pending = {
        let driver = driver::current()?;
        let named = |error| Error::io(Kind::Open, Some(path), error);
        let at_poll =
            with_c_path(path, |path| Ok(open_at_poll(&driver, path, flags))).map_err(named)?;
        match at_poll {
            Some(result) => {
                driver.answered(Kind::Open);
                Ok(result.map_err(named))
            }
            None => {
                let open = Open::new(Kind::Open, path, flags, mode)?;
                let mount = locate(&driver, &open.request.path, true);
                Err((driver.start(open, &mount), driver))
            }
        }
    };
    match pending {
        Ok(result) => {
            driver::spend().await;
            result
        }
        Err((pending, driver)) => Ok(SharedFile::new(&driver, pending.await?, flags)),
    }
}

/// Opens a file that is in the kernel's memory, for reading, on a local mount.
#[cfg(target_os = "linux")]
fn open_at_poll(
    driver: &Arc<Driver>,
    path: &std::ffi::CStr,
    flags: i32,
) -> Option<io::Result<Arc<SharedFile>>> {
    use std::os::fd::AsFd;

    use super::meta::{Cached, cached};
    use crate::driver::attempt::attempt;
    use crate::sys::linux::nowait::{clear_nonblock, open_read_cached};

    if !driver.attempts()
        || flags & !(flag::O_CLOEXEC | flag::O_NOATIME | flag::O_DIRECT) != flag::O_RDONLY
    {
        return None;
    }
    let looked = cached(driver, path, true, |_, stat, mount| {
        Some((stat, mount.clone()))
    });
    let (stat, mount) = match looked {
        Cached::Found(found) => found,
        Cached::Error(error) => return Some(Err(error)),
        Cached::Unknown(_) => return None,
    };
    if !stat.is_file() && !stat.is_dir() {
        return None;
    }
    attempt(Some(&mount), || match open_read_cached(path, flags) {
        Ok(fd) => {
            clear_nonblock(fd.as_fd()).ok()?;
            Some(Ok(SharedFile::new(driver, fd, flags)))
        }
        Err(error) if error.raw_os_error() == Some(errno::EACCES) => Some(Err(error)),
        Err(_) => None,
    })?
}

#[cfg(not(target_os = "linux"))]
fn open_at_poll(
    _driver: &Arc<Driver>,
    _path: &std::ffi::CStr,
    _flags: i32,
) -> Option<io::Result<Arc<SharedFile>>> {
    None
}
