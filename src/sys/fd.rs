//! Borrowing a descriptor for a std call.
#![allow(unsafe_code, reason = "makes a std file of a borrowed descriptor")]

use std::fs::File;
use std::io;
use std::mem::ManuallyDrop;
use std::os::fd::{AsRawFd, BorrowedFd, FromRawFd, IntoRawFd, OwnedFd, RawFd};
use std::path::{Path, PathBuf};
use std::sync::Arc;

/// Where an operation is that goes from one thing to the next.
pub(crate) trait Whereabouts: Send + Sync {
    /// What it is at now. Does not wait for storage.
    fn now_at(&self) -> Option<PathBuf>;
}

/// What an operation is about.
#[derive(Clone)]
pub(crate) enum Target {
    /// An open file, by its number, for as long as the operation keeps it open.
    File(RawFd),
    /// One thing after the other.
    Moving(Arc<dyn Whereabouts>),
    Nothing,
    Path(PathBuf),
}

impl Target {
    pub(crate) fn file(fd: BorrowedFd<'_>) -> Target {
        Target::File(fd.as_raw_fd())
    }

    pub(crate) fn is(&self, fd: BorrowedFd<'_>) -> bool {
        matches!(self, Target::File(number) if *number == fd.as_raw_fd())
    }

    /// The path that the caller gave.
    pub(crate) fn given(&self) -> Option<&Path> {
        match self {
            Target::Path(path) => Some(path),
            Target::File(_) | Target::Moving(_) | Target::Nothing => None,
        }
    }

    /// The name of it. For an open file the kernel tells, without asking the filesystem.
    pub(crate) fn path(&self) -> Option<PathBuf> {
        match self {
            Target::File(number) => name_of(*number),
            Target::Moving(whereabouts) => whereabouts.now_at(),
            Target::Nothing => None,
            Target::Path(path) => Some(path.clone()),
        }
    }
}

#[cfg(target_os = "linux")]
#[allow(clippy::disallowed_methods, reason = "procfs answers from memory")]
fn name_of(number: RawFd) -> Option<PathBuf> {
    std::fs::read_link(format!("/proc/self/fd/{number}")).ok()
}

/// Elsewhere the filesystem would be asked.
#[cfg(not(target_os = "linux"))]
fn name_of(_number: RawFd) -> Option<PathBuf> {
    None
}

/// Calls `f` with a file that shares the descriptor. It is not duplicated, because closing a
/// duplicate would release the process's record locks on the file.
pub(crate) fn with_file<T>(
    fd: BorrowedFd<'_>,
    f: impl FnOnce(&File) -> io::Result<T>,
) -> io::Result<T> {
    // SAFETY: the descriptor is open for as long as it is borrowed, and is not closed here.
    let file = ManuallyDrop::new(unsafe { File::from_raw_fd(fd.as_raw_fd()) });
    f(&file)
}

/// Takes the descriptor that a completion has just yielded.
pub(crate) fn from_completion(number: i32) -> OwnedFd {
    debug_assert!(number >= 0);
    // SAFETY: the kernel made this descriptor for this completion, which is handled once (INV-3, INV-5).
    unsafe { OwnedFd::from_raw_fd(number) }
}

/// The kernel's position; an error for what has none. Waits only for another thread's read or write
/// through the same open file.
pub(crate) fn position_of(fd: BorrowedFd<'_>) -> io::Result<u64> {
    use io::Seek;
    with_file(fd, |mut file| file.stream_position())
}

/// Closes a file that was written to, and says what its filesystem answered: the last that is heard of bytes
/// that it had only taken in.
pub(crate) fn close(file: impl Into<OwnedFd>) -> io::Result<()> {
    let number = file.into().into_raw_fd();
    // SAFETY: the number was this call's own, and nobody closes it again.
    if unsafe { libc::close(number) } == 0 {
        return Ok(());
    }
    match io::Error::last_os_error() {
        // The descriptor is gone all the same.
        error if error.raw_os_error() == Some(libc::EINTR) => Ok(()),
        error => Err(error),
    }
}

/// The flags that the file was opened with.
pub(crate) fn status_flags(fd: BorrowedFd<'_>) -> io::Result<i32> {
    Ok(nix::fcntl::fcntl(fd, nix::fcntl::FcntlArg::F_GETFL)?)
}

/// Lets the kernel read ahead of reads through this open file.
#[cfg(target_os = "linux")]
pub(crate) fn normal_readahead(fd: BorrowedFd<'_>) -> io::Result<()> {
    use nix::fcntl::{PosixFadviseAdvice, posix_fadvise};
    Ok(posix_fadvise(
        fd,
        0,
        0,
        PosixFadviseAdvice::POSIX_FADV_NORMAL,
    )?)
}

/// Elsewhere it was never taken away.
#[cfg(not(target_os = "linux"))]
pub(crate) fn normal_readahead(_fd: BorrowedFd<'_>) -> io::Result<()> {
    Ok(())
}

/// Where the file of a descriptor is now, without asking its filesystem.
#[cfg(all(feature = "testing", target_os = "linux"))]
pub(crate) fn path_of(fd: BorrowedFd<'_>) -> Option<PathBuf> {
    name_of(fd.as_raw_fd())
}

/// The same where a call tells it.
#[cfg(all(
    feature = "testing",
    any(target_os = "freebsd", target_vendor = "apple")
))]
pub(crate) fn path_of(fd: BorrowedFd<'_>) -> Option<PathBuf> {
    let mut path = PathBuf::new();
    #[cfg(target_os = "freebsd")]
    let ask = nix::fcntl::FcntlArg::F_KINFO(&mut path);
    #[cfg(target_vendor = "apple")]
    let ask = nix::fcntl::FcntlArg::F_GETPATH(&mut path);
    nix::fcntl::fcntl(fd, ask).ok()?;
    Some(path)
}

/// Nobody tells it.
#[cfg(all(
    feature = "testing",
    not(any(target_os = "freebsd", target_os = "linux", target_vendor = "apple"))
))]
pub(crate) fn path_of(_fd: BorrowedFd<'_>) -> Option<PathBuf> {
    None
}
