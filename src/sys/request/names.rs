//! Requests that change names: directories, links, renames, removals.
#![allow(unsafe_code, reason = "hands paths to the kernel")]
#![allow(
    clippy::disallowed_methods,
    reason = "the blocking equivalents are std's"
)]

#[cfg(target_os = "linux")]
use std::ffi::CStr;
use std::ffi::CString;
use std::fs;
use std::io;
use std::sync::atomic::AtomicBool;

use super::Request;
#[cfg(target_os = "linux")]
use crate::sys::linux::sqe::Sqe;
use crate::sys::path::as_path;

/// Whether the kernel resolves a path before it says anything against it. The ring looks at both paths
/// of a request before it resolves the first; where both are bad, the system call tells of the first.
#[cfg(target_os = "linux")]
fn is_path(path: &CStr) -> bool {
    (1..libc::PATH_MAX as usize).contains(&path.count_bytes())
}

/// Makes a directory.
pub(crate) struct CreateDir {
    pub(crate) path: CString,
    pub(crate) mode: u32,
}

// SAFETY: the entry points to the path's heap block, which is not changed (INV-1).
unsafe impl Request for CreateDir {
    #[cfg(target_os = "linux")]
    fn sqe(&mut self) -> Option<Sqe> {
        Some(Sqe::mkdirat(&self.path, self.mode))
    }

    fn block(&mut self, _cancelled: &AtomicBool) -> io::Result<i32> {
        use std::os::unix::fs::DirBuilderExt;
        fs::DirBuilder::new()
            .mode(self.mode)
            .create(as_path(&self.path))
            .map(|()| 0)
    }
}

/// Removes a name: a file's, or an empty directory's.
pub(crate) struct Remove {
    pub(crate) path: CString,
    pub(crate) directory: bool,
}

// SAFETY: as for `CreateDir`.
unsafe impl Request for Remove {
    #[cfg(target_os = "linux")]
    fn sqe(&mut self) -> Option<Sqe> {
        Some(Sqe::unlinkat(&self.path, self.directory))
    }

    fn block(&mut self, _cancelled: &AtomicBool) -> io::Result<i32> {
        let path = as_path(&self.path);
        if self.directory {
            fs::remove_dir(path)
        } else {
            fs::remove_file(path)
        }
        .map(|()| 0)
    }
}

/// Gives a file another name.
pub(crate) struct Rename {
    pub(crate) from: CString,
    pub(crate) to: CString,
}

// SAFETY: as for `CreateDir`, for both paths.
unsafe impl Request for Rename {
    #[cfg(target_os = "linux")]
    fn sqe(&mut self) -> Option<Sqe> {
        is_path(&self.to).then(|| Sqe::renameat(&self.from, &self.to))
    }

    fn block(&mut self, _cancelled: &AtomicBool) -> io::Result<i32> {
        fs::rename(as_path(&self.from), as_path(&self.to)).map(|()| 0)
    }
}

/// Gives a file one more name.
pub(crate) struct HardLink {
    pub(crate) original: CString,
    pub(crate) link: CString,
}

// SAFETY: as for `CreateDir`, for both paths.
unsafe impl Request for HardLink {
    #[cfg(target_os = "linux")]
    fn sqe(&mut self) -> Option<Sqe> {
        is_path(&self.link).then(|| Sqe::linkat(&self.original, &self.link))
    }

    fn block(&mut self, _cancelled: &AtomicBool) -> io::Result<i32> {
        fs::hard_link(as_path(&self.original), as_path(&self.link)).map(|()| 0)
    }
}

/// Makes a symbolic link.
pub(crate) struct Symlink {
    pub(crate) original: CString,
    pub(crate) link: CString,
}

// SAFETY: as for `CreateDir`, for both paths.
unsafe impl Request for Symlink {
    #[cfg(target_os = "linux")]
    fn sqe(&mut self) -> Option<Sqe> {
        Some(Sqe::symlinkat(&self.original, &self.link))
    }

    fn block(&mut self, _cancelled: &AtomicBool) -> io::Result<i32> {
        std::os::unix::fs::symlink(as_path(&self.original), as_path(&self.link)).map(|()| 0)
    }
}
