//! Requests that change names: directories, links, renames, removals.
#![allow(unsafe_code, reason = "hands paths to the kernel")]

use std::ffi::CString;
use std::io;
use std::os::fd::AsRawFd;

use nix::fcntl::AtFlags;
use nix::sys::stat::{Mode, mkdirat};
use nix::unistd::{UnlinkatFlags, linkat, symlinkat, unlinkat};

#[cfg(target_os = "linux")]
use super::Entry;
#[cfg(feature = "testing")]
use super::Paths;
use super::{At, FdRef, Request};
use crate::base::errno::retry;
#[cfg(target_os = "linux")]
use crate::sys::linux::sqe::Sqe;
#[cfg(target_os = "linux")]
use crate::sys::linux::tables::Tables;
use crate::sys::rename::{RenameMode, rename};
use crate::sys::steps::Steps;

/// Makes a directory.
pub(crate) struct CreateDir {
    pub(crate) at: At,
    pub(crate) mode: u32,
}

impl Request for CreateDir {
    #[cfg(target_os = "linux")]
    fn entry(&mut self) -> Option<&mut dyn Entry> {
        Some(self)
    }

    fn block(&mut self, _steps: &Steps) -> io::Result<i32> {
        let mode = Mode::from_bits_truncate(self.mode as libc::mode_t);
        retry(|| Ok(mkdirat(self.at.dir(), self.at.path(), mode)?)).map(|()| 0)
    }

    #[cfg(feature = "testing")]
    fn paths(&self, paths: &mut Paths) {
        paths.at(&self.at);
    }
}

// SAFETY: the entry points to the path's heap block, which is not changed; the directory that it
// starts from is held open (INV-1).
#[cfg(target_os = "linux")]
unsafe impl Entry for CreateDir {
    fn sqe(&mut self, _tables: &mut dyn Tables) -> io::Result<Sqe> {
        Ok(Sqe::mkdirat(&self.at, self.mode))
    }
}

/// Removes a name: a file's, or an empty directory's.
pub(crate) struct Remove {
    pub(crate) at: At,
    pub(crate) directory: bool,
}

impl Request for Remove {
    #[cfg(target_os = "linux")]
    fn entry(&mut self) -> Option<&mut dyn Entry> {
        Some(self)
    }

    fn block(&mut self, _steps: &Steps) -> io::Result<i32> {
        let flag = if self.directory {
            UnlinkatFlags::RemoveDir
        } else {
            UnlinkatFlags::NoRemoveDir
        };
        retry(|| Ok(unlinkat(self.at.dir(), self.at.path(), flag)?)).map(|()| 0)
    }

    #[cfg(feature = "testing")]
    fn paths(&self, paths: &mut Paths) {
        paths.at(&self.at);
    }
}

// SAFETY: as for `CreateDir`.
#[cfg(target_os = "linux")]
unsafe impl Entry for Remove {
    fn sqe(&mut self, _tables: &mut dyn Tables) -> io::Result<Sqe> {
        Ok(Sqe::unlinkat(&self.at, self.directory))
    }
}

/// Gives a file another name.
pub(crate) struct Rename {
    pub(crate) from: At,
    pub(crate) to: At,
    pub(crate) mode: RenameMode,
}

impl Request for Rename {
    #[cfg(target_os = "linux")]
    fn entry(&mut self) -> Option<&mut dyn Entry> {
        self.to.is_path().then_some(self)
    }

    fn block(&mut self, _steps: &Steps) -> io::Result<i32> {
        rename(&self.from, &self.to, self.mode).map(|()| 0)
    }

    #[cfg(feature = "testing")]
    fn paths(&self, paths: &mut Paths) {
        paths.at(&self.from);
        paths.at(&self.to);
    }
}

// SAFETY: as for `CreateDir`, for both paths.
#[cfg(target_os = "linux")]
unsafe impl Entry for Rename {
    fn sqe(&mut self, _tables: &mut dyn Tables) -> io::Result<Sqe> {
        Ok(Sqe::renameat(&self.from, &self.to, self.mode.flags()))
    }
}

/// Gives a file one more name.
pub(crate) struct HardLink {
    pub(crate) original: At,
    pub(crate) link: At,
}

impl Request for HardLink {
    #[cfg(target_os = "linux")]
    fn entry(&mut self) -> Option<&mut dyn Entry> {
        self.link.is_path().then_some(self)
    }

    fn block(&mut self, _steps: &Steps) -> io::Result<i32> {
        let (original, link) = (&self.original, &self.link);
        let (from, to, flags) = (original.path(), link.path(), AtFlags::empty());
        retry(|| Ok(linkat(original.dir(), from, link.dir(), to, flags)?)).map(|()| 0)
    }

    #[cfg(feature = "testing")]
    fn paths(&self, paths: &mut Paths) {
        paths.at(&self.original);
        paths.at(&self.link);
    }
}

// SAFETY: as for `CreateDir`, for both paths.
#[cfg(target_os = "linux")]
unsafe impl Entry for HardLink {
    fn sqe(&mut self, _tables: &mut dyn Tables) -> io::Result<Sqe> {
        Ok(Sqe::linkat(&self.original, &self.link, 0))
    }
}

/// Gives an open file a name, its first or one more.
pub(crate) struct LinkFile {
    /// Held open, so that its number is the file's for as long as the path below is used.
    _file: FdRef,
    #[cfg_attr(not(target_os = "linux"), allow(dead_code, reason = "Linux has it"))]
    original: At,
    #[cfg_attr(not(target_os = "linux"), allow(dead_code, reason = "Linux has it"))]
    link: At,
}

impl LinkFile {
    /// Goes by `/proc/self/fd`: by the descriptor itself, the kernel asks for a capability.
    pub(crate) fn new(file: FdRef, link: At) -> io::Result<LinkFile> {
        let number = (*file).as_fd().as_raw_fd();
        let path = CString::new(format!("/proc/self/fd/{number}"))?;
        Ok(LinkFile {
            _file: file,
            original: At { dir: None, path },
            link,
        })
    }
}

impl Request for LinkFile {
    #[cfg(target_os = "linux")]
    fn entry(&mut self) -> Option<&mut dyn Entry> {
        self.link.is_path().then_some(self)
    }

    #[cfg(target_os = "linux")]
    fn block(&mut self, _steps: &Steps) -> io::Result<i32> {
        let (original, link) = (&self.original, &self.link);
        let (from, to, flags) = (original.path(), link.path(), AtFlags::AT_SYMLINK_FOLLOW);
        retry(|| Ok(linkat(original.dir(), from, link.dir(), to, flags)?)).map(|()| 0)
    }

    #[cfg(not(target_os = "linux"))]
    fn block(&mut self, _steps: &Steps) -> io::Result<i32> {
        Err(crate::base::errno::unsupported())
    }

    #[cfg(feature = "testing")]
    fn paths(&self, paths: &mut Paths) {
        paths.file(&self._file);
        paths.at(&self.link);
    }
}

// SAFETY: as for `CreateDir`, for both paths.
#[cfg(target_os = "linux")]
unsafe impl Entry for LinkFile {
    fn sqe(&mut self, _tables: &mut dyn Tables) -> io::Result<Sqe> {
        let follow = libc::AT_SYMLINK_FOLLOW;
        Ok(Sqe::linkat(&self.original, &self.link, follow))
    }
}

/// Makes a symbolic link.
pub(crate) struct Symlink {
    pub(crate) original: CString,
    pub(crate) link: At,
}

impl Request for Symlink {
    #[cfg(target_os = "linux")]
    fn entry(&mut self) -> Option<&mut dyn Entry> {
        Some(self)
    }

    fn block(&mut self, _steps: &Steps) -> io::Result<i32> {
        let (original, link) = (self.original.as_c_str(), &self.link);
        retry(|| Ok(symlinkat(original, link.dir(), link.path())?)).map(|()| 0)
    }

    #[cfg(feature = "testing")]
    fn paths(&self, paths: &mut Paths) {
        paths.at(&self.link);
    }
}

// SAFETY: as for `CreateDir`, for both paths.
#[cfg(target_os = "linux")]
unsafe impl Entry for Symlink {
    fn sqe(&mut self, _tables: &mut dyn Tables) -> io::Result<Sqe> {
        Ok(Sqe::symlinkat(&self.original, &self.link))
    }
}
