//! A path and the directory that it starts from.

use std::ffi::{CStr, CString};
use std::os::fd::{AsFd, BorrowedFd};

use super::FdRef;

/// A path from the working directory, or from an open one: the request holds that open.
pub(crate) struct At {
    pub(crate) dir: Option<FdRef>,
    pub(crate) path: CString,
}

impl At {
    /// The directory, as the calls take it.
    pub(crate) fn dir(&self) -> BorrowedFd<'_> {
        match &self.dir {
            Some(dir) => dir.as_fd(),
            None => nix::fcntl::AT_FDCWD,
        }
    }

    /// The path, as the calls take it.
    pub(crate) fn path(&self) -> &CStr {
        &self.path
    }

    /// Whether the kernel resolves the path before it says anything against it. The ring looks at all
    /// paths of a request before it does anything else; where more is bad, the system call tells of what
    /// comes first.
    #[cfg(target_os = "linux")]
    pub(super) fn is_path(&self) -> bool {
        (1..libc::PATH_MAX as usize).contains(&self.path.count_bytes())
    }
}
