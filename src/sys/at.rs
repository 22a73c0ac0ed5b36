//! A path and the directory that it starts from, and open files that requests name.

use std::ffi::{CStr, CString};
use std::os::fd::{AsFd, BorrowedFd};
use std::sync::Arc;

/// A descriptor that stays open for as long as a request names it.
pub(crate) type FdRef = Arc<dyn OpenFile>;

/// An open file that requests name.
pub(crate) trait OpenFile: AsFd + Send + std::marker::Sync {
    /// A ring takes it from the calling thread, which polls: there the kernel lets go of it, some time after the
    /// completion.
    #[cfg(target_os = "linux")]
    fn note_on_ring(&self, _is_of_polls: bool) {}
}

/// Used on threads alone.
impl OpenFile for std::fs::File {}

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
