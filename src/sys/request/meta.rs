//! Reading attributes.
#![allow(
    unsafe_code,
    reason = "hands the path and the result's memory to the kernel"
)]

use std::ffi::CStr;
use std::io;
use std::os::fd::AsFd;

#[cfg(target_os = "linux")]
use super::Entry;
#[cfg(feature = "testing")]
use super::Paths;
use super::{At, FdRef, Request};
use crate::sys::blocking;
use crate::sys::stat::{How, Stat};
use crate::sys::steps::Steps;
#[cfg(target_os = "linux")]
use crate::sys::{
    linux::calls::Call, linux::sqe::Sqe, linux::statx, linux::statx::StatxBuf,
    linux::tables::Tables,
};

/// Whose attributes.
pub(crate) enum Target {
    Path { at: At, follow: bool },
    Fd(FdRef),
}

/// Reads attributes of a path or an open file.
pub(crate) struct Statx {
    target: Target,
    how: How,
    #[cfg(target_os = "linux")]
    buf: Option<StatxBuf>,
    stat: Option<Stat>,
}

impl Statx {
    pub(crate) fn new(target: Target, how: How) -> Statx {
        Statx {
            target,
            how,
            #[cfg(target_os = "linux")]
            buf: None,
            stat: None,
        }
    }

    /// The attributes, after success.
    pub(crate) fn into_stat(self) -> Stat {
        #[cfg(target_os = "linux")]
        if let Some(buf) = self.buf {
            return buf.stat();
        }
        self.stat.unwrap_or_default()
    }
}

/// The attributes of a path, from the working directory or an open one; blocking. Where the kernel is older than the
/// call, or a filter does not know it, std knows what else to ask.
pub(crate) fn stat_of<D: AsFd + ?Sized>(
    dir: Option<&D>,
    path: &CStr,
    follow: bool,
    how: How,
) -> io::Result<Stat> {
    #[cfg(target_os = "linux")]
    {
        let from = dir.map_or(nix::fcntl::AT_FDCWD, AsFd::as_fd);
        match statx::of_path(from, path, follow, how) {
            Err(error) if Call::Statx.is_refused_with(&error) => {}
            asked => return asked,
        }
    }
    let _ = how;
    match dir {
        Some(dir) => blocking::stat_at(dir.as_fd(), path, follow),
        None => blocking::stat_path(path, follow),
    }
}

fn stat_of_fd(fd: &FdRef, how: How) -> io::Result<Stat> {
    #[cfg(target_os = "linux")]
    match statx::of_fd(fd.as_fd(), how) {
        Err(error) if Call::Statx.is_refused_with(&error) => {}
        asked => return asked,
    }
    let _ = how;
    blocking::stat_fd(fd.as_fd())
}

impl Request for Statx {
    #[cfg(target_os = "linux")]
    fn entry(&mut self) -> Option<&mut dyn Entry> {
        Some(self)
    }

    fn block(&mut self, _steps: &Steps) -> io::Result<i32> {
        let stat = match &self.target {
            Target::Path { at, follow } => {
                stat_of(at.dir.as_deref(), at.path(), *follow, self.how)?
            }
            Target::Fd(fd) => stat_of_fd(fd, self.how)?,
        };
        #[cfg(target_os = "linux")]
        {
            self.buf = None;
        }
        self.stat = Some(stat);
        Ok(0)
    }

    #[cfg(feature = "testing")]
    fn paths(&self, paths: &mut Paths) {
        match &self.target {
            Target::Path { at, .. } => paths.at(at),
            Target::Fd(fd) => paths.file(fd),
        }
    }
}

// SAFETY: the entry points to the path's heap block and to the heap block of the result, neither of
// which is touched before the operation is finished (INV-1).
#[cfg(target_os = "linux")]
unsafe impl Entry for Statx {
    fn sqe(&mut self, _tables: &mut dyn Tables) -> io::Result<Sqe> {
        let buf = self.buf.insert(StatxBuf::new());
        Ok(match &self.target {
            Target::Path { at, follow } => Sqe::statx_path(at, *follow, self.how, buf),
            Target::Fd(fd) => Sqe::statx_fd(fd.as_fd(), self.how, buf),
        })
    }
}
