//! Reading attributes.
#![allow(
    unsafe_code,
    reason = "hands the path and the result's memory to the kernel"
)]

use std::ffi::CString;
use std::io;
use std::sync::atomic::AtomicBool;

use super::{FdRef, Request};
use crate::sys::blocking;
#[cfg(target_os = "linux")]
use crate::sys::linux::{sqe::Sqe, statx::StatxBuf};
use crate::sys::stat::Stat;

/// Whose attributes.
pub(crate) enum Target {
    Path { path: CString, follow: bool },
    Fd(FdRef),
}

/// Reads attributes of a path or an open file.
pub(crate) struct Statx {
    target: Target,
    #[cfg(target_os = "linux")]
    buf: Option<StatxBuf>,
    stat: Option<Stat>,
}

impl Statx {
    pub(crate) fn new(target: Target) -> Statx {
        Statx {
            target,
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

// SAFETY: the entry points to the path's heap block and to the heap block of the result, neither of
// which is touched before the operation is finished (INV-1).
unsafe impl Request for Statx {
    #[cfg(target_os = "linux")]
    fn sqe(&mut self) -> Option<Sqe> {
        let buf = self.buf.insert(StatxBuf::new());
        Some(match &self.target {
            Target::Path { path, follow } => Sqe::statx_path(path, *follow, buf),
            Target::Fd(fd) => Sqe::statx_fd(fd.as_fd(), buf),
        })
    }

    fn block(&mut self, _cancelled: &AtomicBool) -> io::Result<i32> {
        let stat = match &self.target {
            Target::Path { path, follow } => blocking::stat_path(path, *follow)?,
            Target::Fd(fd) => blocking::stat_fd(fd.as_fd())?,
        };
        #[cfg(target_os = "linux")]
        {
            self.buf = None;
        }
        self.stat = Some(stat);
        Ok(0)
    }
}
