//! Reading attributes: at the poll where the kernel has them in memory, else by the ring or a hop.
//!
//! [`stat_path`] and [`stat_file`] give this crate's own attributes, which the ring writes. std's
//! `Metadata` can only be made by std, of a path or of an open file: for that the ring opens the path
//! without access, and on a local filesystem std asks the descriptor, which does not sleep.

use std::fs::Metadata;
use std::io;
use std::os::fd::{AsFd, BorrowedFd, OwnedFd};
use std::path::{Path, PathBuf};
use std::sync::Arc;

use super::at::At;
use super::close::{close_looked_through, close_path};
use super::file::SharedFile;
use super::hop::{hop_on, hop_on_file};
use super::locate::{locate_at, locate_missed};
use super::open::{Open, flag};
use crate::base::errno;
use crate::driver::attempt::attempt;
use crate::driver::fence::Fenced;
use crate::driver::op::Op;
use crate::driver::{self, Driver};
use crate::error::raw_os_error;
use crate::mounts::{self, Mount};
use crate::opcode::Kind;
use crate::settings::Route;
use crate::sys::blocking;
use crate::sys::fd::Target as About;
use crate::sys::path::{c_path, with_c_path};
use crate::sys::request::{self, Request, Target};
use crate::sys::stat::{Stat, Sync};

pub(crate) use crate::sys::stat::How;

/// Asks the kernel for attributes.
struct Statx {
    kind: Kind,
    #[cfg(feature = "testing")]
    feigns_dataless: bool,
    request: request::Statx,
    about: About,
    /// What it looks at, if that is an open file.
    fenced: Option<Fenced>,
}

impl Op for Statx {
    type Output = io::Result<Stat>;

    fn kind(&self) -> Kind {
        self.kind
    }

    fn target(&self) -> About {
        self.about.clone()
    }

    fn request(&mut self) -> &mut dyn Request {
        &mut self.request
    }

    fn fenced(&self) -> Option<Fenced> {
        self.fenced.clone()
    }

    #[cfg(feature = "testing")]
    fn feign_dataless(&mut self) {
        self.feigns_dataless = true;
    }

    fn finish(self, result: io::Result<i32>) -> io::Result<Stat> {
        result?;
        #[cfg(feature = "testing")]
        if self.feigns_dataless {
            let mut stat = self.request.into_stat();
            stat.dataless = true;
            return Ok(stat);
        }
        Ok(self.request.into_stat())
    }

    fn lost(error: io::Error) -> io::Result<Stat> {
        Err(error)
    }
}

/// What a look into the kernel's memory found.
pub(super) enum Cached<T> {
    /// A path on a healthy local mount, and what was made of it.
    Found(T),
    /// The path leads nowhere: the same error as the real call's.
    Error(io::Error),
    /// It was asked for, and the kernel does not have it in memory.
    Missed,
    /// Not to be told without sleeping, of a pipe, a socket or a device; the mount that its name is on.
    Special(Arc<Mount>),
    /// Not to be told without sleeping; the mount, where that much is known.
    Unknown(Option<Arc<Mount>>),
}

impl<T> Cached<T> {
    /// The mount whose threads should do it, of what was not found.
    pub(super) fn mount(
        self,
        driver: &Arc<Driver>,
        at: At<'_>,
        follow: bool,
    ) -> io::Result<Arc<Mount>> {
        match self {
            Cached::Special(mount) | Cached::Unknown(Some(mount)) => Ok(mount),
            Cached::Missed => Ok(locate_missed(driver, at)?),
            _ => Ok(locate_at(driver, at.dir, &c_path(at.path)?, follow)),
        }
    }
}

/// Looks a path up in the kernel's memory, unless the backend is pinned.
pub(super) fn look<T>(
    driver: &Arc<Driver>,
    at: At<'_>,
    follow: bool,
    mask: u32,
    found: impl FnOnce(BorrowedFd<'_>, Stat, &Arc<Mount>) -> Option<T>,
) -> io::Result<Cached<T>> {
    if driver.attempts() {
        with_c_path(at.path, |path| {
            Ok(cached_at(driver, at.dir, path, (follow, 0), mask, found))
        })
    } else {
        Ok(Cached::Unknown(None))
    }
}

/// The attributes of a path. The operation's name is that of the call that wants them.
pub(crate) async fn stat_path(
    kind: Kind,
    at: impl Into<At<'_>>,
    follow: bool,
    how: How,
) -> io::Result<Stat> {
    let pending = {
        let at = at.into();
        let path = at.path;
        let driver = driver::current()?;
        let named = |error| driver.tell(kind, Some(path), error);
        let cached = match how.sync {
            Sync::Force => Cached::Unknown(None),
            _ => look(&driver, at, follow, how.mask, |_, stat, _| Some(stat)).map_err(named)?,
        };
        let answer = match cached {
            Cached::Found(stat) => Ok(Ok(stat)),
            Cached::Error(error) => Ok(Err(named(error))),
            missed => Err(missed),
        };
        match answer {
            Ok(answer) => {
                driver.answered(kind);
                Ok(answer)
            }
            Err(missed) => {
                let owned = at.owned().map_err(named)?;
                let mount = missed.mount(&driver, at, follow).map_err(named)?;
                let target = Target::Path { at: owned, follow };
                Err(driver.start(
                    Statx {
                        kind,
                        #[cfg(feature = "testing")]
                        feigns_dataless: false,
                        request: request::Statx::new(target, how),
                        about: About::Path(path.to_path_buf()),
                        fenced: None,
                    },
                    &mount,
                ))
            }
        }
    };
    match pending {
        Ok(answer) => {
            driver::spend().await;
            answer
        }
        Err(pending) => pending.await,
    }
}

/// The attributes of an open file.
pub(crate) async fn stat_file(file: &Arc<SharedFile>, how: How) -> io::Result<Stat> {
    if how.sync != Sync::Force {
        if let Some(stat) = file.stat_at_poll(how.mask) {
            file.driver().answered(Kind::Statx);
            driver::spend().await;
            return Ok(stat);
        }
    }
    let statx = Statx {
        kind: Kind::Statx,
        #[cfg(feature = "testing")]
        feigns_dataless: false,
        request: request::Statx::new(Target::Fd(file.clone()), how),
        about: About::file(file.as_fd()),
        fenced: Some(file.health.looks_at_all()),
    };
    file.driver().start(statx, &file.mount()).await
}

/// The size of an open file.
pub(crate) async fn size_of(file: &Arc<SharedFile>) -> io::Result<u64> {
    stat_file(file, How::default()).await.map(|stat| stat.size)
}

/// std's attributes of a path.
pub(crate) async fn metadata_of_path(path: impl AsRef<Path>, follow: bool) -> io::Result<Metadata> {
    enum Next {
        Answer(io::Result<Metadata>),
        Ask(Arc<Driver>, Arc<Mount>, PathBuf),
    }
    let next = {
        let path = path.as_ref();
        let driver = driver::current()?;
        let named = |error| driver.tell(Kind::Metadata, Some(path), error);
        let cached = look(&driver, path.into(), follow, 0, |fd, _, _| {
            blocking::metadata_of(fd).ok()
        });
        let answer = match cached.map_err(named)? {
            Cached::Found(metadata) => Ok(Ok(metadata)),
            Cached::Error(error) => Ok(Err(named(error))),
            missed => Err(missed),
        };
        match answer {
            Ok(answer) => {
                driver.answered(Kind::Metadata);
                Next::Answer(answer)
            }
            Err(missed) => {
                let mount = missed.mount(&driver, path.into(), follow);
                let mount = mount.map_err(named)?;
                Next::Ask(driver, mount, path.to_path_buf())
            }
        }
    };
    match next {
        Next::Answer(answer) => {
            driver::spend().await;
            answer
        }
        Next::Ask(driver, mount, path) => ask(driver, mount, path, follow).await,
    }
}

/// Asks for std's attributes of a path off the poll: by a hop, which is one wake-up each way. Where no thread is
/// left, and for a handle that is pinned to the ring, that opens a descriptor, if it can tell them without sleeping.
async fn ask(
    driver: Arc<Driver>,
    mount: Arc<Mount>,
    path: PathBuf,
    follow: bool,
) -> io::Result<Metadata> {
    // Elsewhere the descriptor would tell nothing, and a second attempt would be needed.
    let by_ring = match driver.route() {
        Route::Auto => mount.is_local() && driver.is_out_of_threads(&mount),
        Route::Ring => mount.is_local(),
        Route::Pool => false,
    };
    if by_ring && flag::O_PATH != 0 {
        let links = if follow { 0 } else { flag::O_NOFOLLOW };
        let open = Open::new(Kind::Metadata, (&path).into(), flag::O_PATH | links, 0)?;
        let reason = match driver.start(open, &mount).await {
            Ok(fd) => match metadata_of_path_fd(&driver, fd) {
                Some(metadata) => return Ok(metadata),
                None => "std's attributes of a file that is not on a local filesystem",
            },
            // `stat` needs no descriptor.
            Err(error) if is_out_of_descriptors(&error) => "no descriptor is free",
            Err(error) => return Err(error),
        };
        driver.counters.fell_back(reason);
    }
    let owned = path.clone();
    let work = move |_: &_| blocking::metadata(&owned, follow);
    hop_on(&driver, &mount, Kind::Metadata, &path, work).await
}

fn is_out_of_descriptors(error: &io::Error) -> bool {
    matches!(raw_os_error(error), Some(errno::EMFILE | errno::ENFILE))
}

/// std's attributes of a descriptor without access, if that cannot sleep.
fn metadata_of_path_fd(driver: &Arc<Driver>, fd: OwnedFd) -> Option<Metadata> {
    let (stat, mount) = attempt(None, || mounts::of_fd(fd.as_fd()))?.ok()?;
    let mount = mount.unwrap_or_else(|| learn_later(driver, stat.clone()));
    let metadata = attempt(Some(&mount), || blocking::metadata_of(fd.as_fd()));
    let left = close_path(driver, fd, &stat, &mount);
    close_looked_through(driver, left);
    metadata?.ok()
}

/// std's attributes of an open file.
pub(crate) async fn metadata_of_file(file: &Arc<SharedFile>) -> io::Result<Metadata> {
    if file.driver().attempts() && !file.has_accepted_write() {
        let metadata = attempt(Some(file.mount_ref()), || {
            blocking::metadata_of(file.as_fd())
        });
        if let Some(Ok(metadata)) = metadata {
            file.driver().answered(Kind::FileMetadata);
            driver::spend().await;
            return Ok(metadata);
        }
    }
    let owned = file.clone();
    let work = move |_: &_| blocking::metadata_of(owned.as_fd());
    hop_on_file(file, Kind::FileMetadata, work).await
}

/// Looks a path up in the kernel's memory, from an open directory if one is given, and makes something of what it finds
/// there, with further fields of the attributes. The way is whether a
/// link at its end is followed, and `openat2`'s restrictions.
#[cfg(target_os = "linux")]
pub(super) fn cached_at<T>(
    driver: &Arc<Driver>,
    dir: Option<&Arc<SharedFile>>,
    path: &std::ffi::CStr,
    (follow, resolve): (bool, u64),
    mask: u32,
    found: impl FnOnce(BorrowedFd<'_>, Stat, &Arc<Mount>) -> Option<T>,
) -> Cached<T> {
    use crate::sys::linux::calls::Call;
    use crate::sys::linux::nowait::open_path_cached;

    let open = || open_path_cached(dir.map(|dir| dir.as_fd()), path, follow, resolve);
    let mut left = None;
    let cached = attempt(None, || match open() {
        Ok(fd) => {
            let Ok((stat, mount)) = mounts::of_fd_with(fd.as_fd(), mask) else {
                return Cached::Unknown(None);
            };
            let mount = mount.unwrap_or_else(|| learn_later(driver, stat.clone()));
            // Elsewhere the attributes in memory may be old, and a stalled mount is left alone.
            let may = mount.is_local() && mount.is_healthy() && !mount.has_orphan_write(stat.ino);
            let made = if may {
                found(fd.as_fd(), stat.clone(), &mount)
            } else {
                None
            };
            left = close_path(driver, fd, &stat, &mount);
            match made {
                Some(made) => Cached::Found(made),
                None if stat.is_special() => Cached::Special(mount),
                None => Cached::Unknown(Some(mount)),
            }
        }
        // No answer, but a filter's.
        Err(error) if Call::Openat2.is_refused_with(&error) => Cached::Unknown(None),
        Err(error) => match error.raw_os_error() {
            Some(
                errno::ENOENT | errno::ENOTDIR | errno::ELOOP | errno::ENAMETOOLONG | errno::EACCES,
            ) => Cached::Error(error),
            Some(errno::EAGAIN) => Cached::Missed,
            _ => Cached::Unknown(None),
        },
    });
    close_looked_through(driver, left);
    cached.unwrap_or(Cached::Unknown(None))
}

#[cfg(not(target_os = "linux"))]
fn cached_at<T>(
    _driver: &Arc<Driver>,
    _dir: Option<&Arc<SharedFile>>,
    _path: &std::ffi::CStr,
    _way: (bool, u64),
    _mask: u32,
    _found: impl FnOnce(BorrowedFd<'_>, Stat, &Arc<Mount>) -> Option<T>,
) -> Cached<T> {
    Cached::Unknown(None)
}

/// The mount of a file, which is described off the polling thread; until then only lanes are used there.
pub(super) fn learn_later(driver: &Arc<Driver>, stat: Stat) -> Arc<Mount> {
    if stat.mount_id == 0 && stat.dev == 0 {
        return Mount::unknown();
    }
    let mount = mounts::meet(&stat);
    if mount.wants_description() {
        driver.chore(Kind::Metadata, move || drop(mounts::learn(&stat)));
    }
    mount
}
