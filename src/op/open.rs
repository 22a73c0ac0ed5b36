//! Opening files.

use std::io;
use std::os::fd::OwnedFd;
use std::path::{Path, PathBuf};
use std::sync::Arc;

use super::at::At;
use super::file::SharedFile;
use super::locate::{locate_at, locate_missed};
use super::meta::Cached;
use crate::base::clock::stamp_ns;
use crate::base::errno;
use crate::driver::op::{Load, Op};
use crate::driver::{self, Driver};
use crate::limits;
use crate::mounts::Mount;
use crate::opcode::Kind;
use crate::sys::fd::{Target, from_completion};
pub(crate) use crate::sys::flag::{self, resolve};
#[cfg(target_os = "linux")]
use crate::sys::path::with_c_path;
use crate::sys::request::{self, Request};
#[cfg(target_os = "linux")]
use crate::sys::stat::Stat;

/// What the kernel says to O_NOATIME on somebody else's file.
pub(crate) const NOT_OWNER: i32 = errno::EPERM;

/// The error for what is refused without asking the system. Like std's, it has no number.
pub(crate) fn invalid(text: &'static str) -> io::Error {
    io::Error::new(io::ErrorKind::InvalidInput, text)
}

/// Opens a file.
pub(super) struct Open<R> {
    kind: Kind,
    request: R,
    path: PathBuf,
    load: Load,
}

impl Open<request::Open> {
    /// For the operation `kind`, which its error will name.
    pub(super) fn new(kind: Kind, at: At<'_>, flags: i32, mode: u32) -> io::Result<Self> {
        Ok(Open {
            kind,
            request: request::Open {
                at: at.owned()?,
                flags: flags | flag::O_CLOEXEC,
                mode,
            },
            path: at.path.to_path_buf(),
            load: Load::Metadata,
        })
    }
}

impl<R: Request> Op for Open<R> {
    type Output = io::Result<OwnedFd>;

    fn kind(&self) -> Kind {
        self.kind
    }

    fn target(&self) -> Target {
        Target::Path(self.path.clone())
    }

    fn request(&mut self) -> &mut dyn Request {
        &mut self.request
    }

    fn load(&self) -> Load {
        self.load
    }

    fn finish(self, result: io::Result<i32>) -> io::Result<OwnedFd> {
        result.map(from_completion)
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
        let began_ns = stamp_ns();
        let driver = driver::current()?;
        let named = |error| driver.tell(Kind::Open, Some(path), error);
        let looked = open_at_poll(&driver, path.into(), flags, 0).map_err(named)?;
        match looked.answer() {
            Ok(result) => {
                driver.answered(Kind::Open);
                Ok(result.map_err(named))
            }
            Err(missed) => {
                let started = start(&driver, Kind::Open, path.into(), missed, |at| {
                    let flags = flags | flag::O_CLOEXEC;
                    request::Open { at, flags, mode }
                })?;
                Err((started, driver, began_ns))
            }
        }
    };
    match pending {
        Ok(result) => {
            driver::spend().await;
            result
        }
        Err((pending, driver, began_ns)) => {
            let file = opened(&driver, pending.await?, flags);
            if flags & flag::O_CREAT != 0 {
                file.note_made(began_ns);
            }
            Ok(file)
        }
    }
}

/// What was opened on a thread that may sleep.
pub(super) fn opened(driver: &Arc<Driver>, fd: OwnedFd, flags: i32) -> Arc<SharedFile> {
    let file = SharedFile::new(driver, fd, flags);
    if file.is_regular() && flags & flag::O_PATH == 0 {
        file.mount().note_opened();
    }
    file
}

/// Opens a path that starts from an open directory; `resolve` are the flags of `openat2(2)`, none for
/// a plain open.
pub(crate) async fn open_at(
    at: At<'_>,
    flags: i32,
    mode: u32,
    resolve: u64,
) -> io::Result<Arc<SharedFile>> {
    let driver = driver::current()?;
    let kind = match resolve {
        0 => Kind::Open,
        _ => Kind::OpenWithin,
    };
    let named = |error| driver.tell(kind, Some(at.path), error);
    let looked = open_at_poll(&driver, at, flags, resolve).map_err(named)?;
    let mut missed = match looked.answer() {
        Ok(result) => {
            driver.answered(kind);
            driver::spend().await;
            return result.map_err(named);
        }
        Err(missed) => missed,
    };
    let all = flags | flag::O_CLOEXEC;
    if resolve == 0 {
        let started = start(&driver, Kind::Open, at, missed, |at| request::Open {
            at,
            flags: all,
            mode,
        });
        return Ok(opened(&driver, started?.await?, flags));
    }
    let mut tries = 1;
    loop {
        let started = start(&driver, Kind::OpenWithin, at, missed.clone(), |at| {
            request::OpenWithin::new(at, all, mode, resolve)
        });
        match started?.await {
            // Something was renamed on the way, so that the kernel cannot tell whether it left the directory.
            Err(error)
                if error.kind() == io::ErrorKind::WouldBlock
                    && tries < limits::RESOLVE_TRIES_MAX =>
            {
                tries += 1;
                missed = Missed::Unknown;
            }
            result => return Ok(opened(&driver, result?, flags)),
        }
    }
}

/// Why a poll has not opened it.
#[derive(Clone)]
enum Missed {
    /// The kernel was asked for the path, and does not have it in memory.
    NotInMemory,
    /// It is in memory, and not of a kind that waits for a peer: what it takes to open it is not known.
    Storage(Arc<Mount>),
    /// For any other reason.
    Unknown,
}

impl<T> Cached<T> {
    fn answer(self) -> Result<io::Result<T>, Missed> {
        match self {
            Cached::Found(found) => Ok(Ok(found)),
            Cached::Error(error) => Ok(Err(error)),
            Cached::Missed => Err(Missed::NotInMemory),
            Cached::Unknown(Some(mount)) => Err(Missed::Storage(mount)),
            Cached::Special(_) | Cached::Unknown(None) => Err(Missed::Unknown),
        }
    }
}

/// Starts an open on the lanes of the path's mount.
fn start<R: Request>(
    driver: &Arc<Driver>,
    kind: Kind,
    at: At<'_>,
    missed: Missed,
    request: impl FnOnce(request::At) -> R,
) -> io::Result<impl Future<Output = io::Result<OwnedFd>> + Send + 'static> {
    let owned = at
        .owned()
        .map_err(|error| driver.tell(kind, Some(at.path), error))?;
    let load = match missed {
        Missed::Storage(_) => Load::OfStorage,
        _ => Load::Metadata,
    };
    let mount = match missed {
        Missed::NotInMemory => {
            locate_missed(driver, at).map_err(|error| driver.tell(kind, Some(at.path), error))?
        }
        Missed::Storage(mount) => mount,
        Missed::Unknown => locate_at(driver, at.dir, owned.path(), true),
    };
    let open = Open {
        kind,
        request: request(owned),
        path: at.path.to_path_buf(),
        load,
    };
    Ok(driver.start(open, &mount))
}

/// Whether opening it for reading, now that its inode is in memory, reads and writes nothing on the disk.
#[cfg(target_os = "linux")]
pub(super) fn looks_at_nothing_else(stat: &Stat, mount: &Mount) -> bool {
    let opens = stat.is_file() && mount.opens_files() || stat.is_dir() && mount.opens_directories();
    opens && !stat.is_read_at_open()
}

/// Opens a file that is in the kernel's memory, for reading, on a local mount.
#[cfg(target_os = "linux")]
fn open_at_poll(
    driver: &Arc<Driver>,
    at: At<'_>,
    flags: i32,
    resolve: u64,
) -> io::Result<Cached<Arc<SharedFile>>> {
    let added = flag::O_CLOEXEC | flag::O_NOATIME | flag::O_DIRECT | flag::O_NONBLOCK;
    if !driver.attempts() || flags & !added != flag::O_RDONLY {
        return Ok(Cached::Unknown(None));
    }
    with_c_path(at.path, |path| {
        Ok(open_cached(driver, at.dir, path, flags, resolve))
    })
}

#[cfg(target_os = "linux")]
fn open_cached(
    driver: &Arc<Driver>,
    dir: Option<&Arc<SharedFile>>,
    path: &std::ffi::CStr,
    flags: i32,
    resolve: u64,
) -> Cached<Arc<SharedFile>> {
    use std::os::fd::AsFd;

    use super::meta::cached_at;
    use crate::driver::attempt::attempt;
    use crate::sys::linux::calls::Call;
    use crate::sys::linux::nowait::{clear_nonblock, open_read_cached};

    let looked = cached_at(driver, dir, path, (true, resolve), 0, |_, stat, mount| {
        Some((stat, mount.clone()))
    });
    let (stat, mount) = match looked {
        Cached::Found(found) => found,
        Cached::Error(error) => return Cached::Error(error),
        Cached::Missed => return Cached::Missed,
        Cached::Special(mount) => return Cached::Special(mount),
        Cached::Unknown(mount) => return Cached::Unknown(mount),
    };
    if !looks_at_nothing_else(&stat, &mount) {
        return Cached::Unknown((!stat.is_special()).then_some(mount));
    }
    let dir = dir.map(|dir| dir.as_fd());
    let opened = attempt(Some(&mount), || {
        match open_read_cached(dir, path, flags, resolve) {
            Ok(fd) => {
                if flags & flag::O_NONBLOCK == 0 && clear_nonblock(fd.as_fd(), flags).is_err() {
                    return Cached::Unknown(None);
                }
                Cached::Found(SharedFile::new(driver, fd, flags))
            }
            Err(error) if Call::Openat2.is_refused_with(&error) => Cached::Unknown(None),
            Err(error) if error.raw_os_error() == Some(errno::EACCES) => Cached::Error(error),
            Err(_) => Cached::Unknown(None),
        }
    });
    opened.unwrap_or(Cached::Unknown(None))
}

#[cfg(not(target_os = "linux"))]
fn open_at_poll(
    _driver: &Arc<Driver>,
    _at: At<'_>,
    _flags: i32,
    _resolve: u64,
) -> io::Result<Cached<Arc<SharedFile>>> {
    Ok(Cached::Unknown(None))
}
