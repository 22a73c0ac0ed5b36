//! Reading attributes: at the poll where the kernel has them in memory, else by statx.

use std::io;
use std::os::fd::{AsFd, OwnedFd};
use std::path::{Path, PathBuf};
use std::sync::Arc;

use super::file::SharedFile;
use super::locate::locate;
use crate::driver::attempt::attempt;
use crate::driver::op::Op;
use crate::driver::{self, Driver};
use crate::error::Error;
use crate::mounts::{self, Mount};
use crate::opcode::Kind;
use crate::sys::path::{c_path, with_c_path};
use crate::sys::request::{Request, Statx, Target};
use crate::sys::stat::Stat;

/// Asks the kernel for attributes.
struct Metadata {
    request: Statx,
    path: Option<PathBuf>,
}

impl Op for Metadata {
    type Output = io::Result<Stat>;

    fn kind(&self) -> Kind {
        Kind::Metadata
    }

    fn request(&mut self) -> &mut dyn Request {
        &mut self.request
    }

    fn finish(self, result: io::Result<i32>) -> io::Result<Stat> {
        result.map_err(|error| Error::io(Kind::Metadata, self.path.as_deref(), error))?;
        Ok(self.request.into_stat())
    }

    fn lost(error: io::Error) -> io::Result<Stat> {
        Err(error)
    }
}

/// What a look into the kernel's memory found.
pub(super) enum Cached {
    /// The attributes, and for a directory or file on a local mount a descriptor of the path.
    Found(Stat, Arc<Mount>),
    /// The path leads nowhere: the same error as the real call's.
    Error(io::Error),
    /// Not to be told without sleeping; the mount, where that much is known.
    Unknown(Option<Arc<Mount>>),
}

/// The attributes of a path.
pub(crate) async fn of_path(path: impl AsRef<Path>, follow: bool) -> io::Result<Stat> {
    let pending = {
        let path = path.as_ref();
        let driver = driver::current()?;
        let cached = if driver.attempts() {
            with_c_path(path, |path| Ok(cached(&driver, path, follow)))
        } else {
            Ok(Cached::Unknown(None))
        };
        let named = |error| Error::io(Kind::Metadata, Some(path), error);
        let answer = match cached.map_err(named)? {
            Cached::Found(stat, _) => Ok(Ok(stat)),
            Cached::Error(error) => Ok(Err(named(error))),
            Cached::Unknown(mount) => Err(mount),
        };
        match answer {
            Ok(answer) => {
                driver.answered(Kind::Metadata);
                Ok(answer)
            }
            Err(mount) => {
                let c_path = c_path(path).map_err(named)?;
                let mount = mount.unwrap_or_else(|| locate(&driver, &c_path, follow));
                let request = Statx::new(Target::Path {
                    path: c_path,
                    follow,
                });
                Err(driver.start(
                    Metadata {
                        request,
                        path: Some(path.to_path_buf()),
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
pub(crate) async fn of_file(file: &Arc<SharedFile>) -> io::Result<Stat> {
    if let Some(stat) = file.stat_at_poll() {
        file.driver().answered(Kind::Metadata);
        driver::spend().await;
        return Ok(stat);
    }
    let request = Statx::new(Target::Fd(file.clone()));
    file.driver()
        .start(
            Metadata {
                request,
                path: None,
            },
            &file.mount(),
        )
        .await
}

/// Looks a path up in the kernel's memory.
#[cfg(target_os = "linux")]
pub(super) fn cached(driver: &Arc<Driver>, path: &std::ffi::CStr, follow: bool) -> Cached {
    use crate::sys::errno;
    use crate::sys::linux::nowait::open_path_cached;

    attempt(None, || match open_path_cached(path, follow) {
        Ok(fd) => {
            let Ok((stat, mount)) = mounts::of_fd(fd.as_fd()) else {
                return Cached::Unknown(None);
            };
            let mount = mount.unwrap_or_else(|| learn_later(driver, stat.clone()));
            close_path(driver, fd, &stat, &mount);
            // Elsewhere the attributes in memory may be old, and a stalled mount is left alone.
            if mount.is_local() && mount.is_healthy() {
                Cached::Found(stat, mount)
            } else {
                Cached::Unknown(Some(mount))
            }
        }
        Err(error) => match error.raw_os_error() {
            Some(
                errno::ENOENT | errno::ENOTDIR | errno::ELOOP | errno::ENAMETOOLONG | errno::EACCES,
            ) => Cached::Error(error),
            _ => Cached::Unknown(None),
        },
    })
    .unwrap_or(Cached::Unknown(None))
}

#[cfg(not(target_os = "linux"))]
pub(super) fn cached(_driver: &Arc<Driver>, _path: &std::ffi::CStr, _follow: bool) -> Cached {
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

/// Closes a descriptor that was open only to look: at once on a local mount while the file has a name
/// (the last close of a file without one frees its blocks, which sleeps), else on a lane.
pub(super) fn close_path(driver: &Arc<Driver>, fd: OwnedFd, stat: &Stat, mount: &Arc<Mount>) {
    if mount.is_local() && mount.is_healthy() && stat.nlink > 0 {
        drop(fd);
    } else {
        driver.close_later(fd, &driver.group(mount));
    }
}

/// The attributes of an open descriptor, if they are exact and cannot sleep.
pub(super) fn of_fd_at_poll(fd: impl AsFd, mount: &Arc<Mount>) -> Option<Stat> {
    let looked = attempt(Some(mount), || mounts::of_fd(fd.as_fd()));
    looked?.ok().map(|(stat, _)| stat)
}
