//! Files without a name (O_TMPFILE), which get one when they are whole: nobody finds them before, and nothing is left of them.
#![cfg_attr(
    target_os = "linux",
    allow(
        clippy::disallowed_methods,
        reason = "this is where blocking calls live"
    )
)]

use std::ffi::CStr;
use std::fs::File;
use std::io;
use std::os::fd::BorrowedFd;

/// A file without a name; `None` where there are none, or where none could get a name.
#[cfg(target_os = "linux")]
pub(super) fn open(dir: BorrowedFd<'_>, mode: u32) -> io::Result<Option<File>> {
    use nix::fcntl::{OFlag, openat};
    use nix::sys::stat::Mode;

    use crate::base::global::Kept;

    static HAS_PROC: Kept<bool> = Kept::new();
    if !*HAS_PROC.get_or_make(|| std::path::Path::new("/proc/self/fd").is_dir()) {
        return Ok(None);
    }
    let flags = OFlag::O_TMPFILE | OFlag::O_RDWR | OFlag::O_CLOEXEC;
    let open = || openat(dir, c".", flags, Mode::from_bits_truncate(mode));
    match crate::base::errno::retry(|| Ok(open()?)) {
        Ok(fd) => Ok(Some(fd.into())),
        Err(error) => match error.raw_os_error() {
            Some(libc::EOPNOTSUPP | libc::EISDIR | libc::ENOENT | libc::EINVAL | libc::ENOSYS) => {
                Ok(None)
            }
            _ => Err(error),
        },
    }
}

#[cfg(not(target_os = "linux"))]
pub(super) fn open(_dir: BorrowedFd<'_>, _mode: u32) -> io::Result<Option<File>> {
    Ok(None)
}

/// Gives it a name that nothing has: by the descriptor, and where the kernel asks for a capability for that, as it does
/// before Linux 6.10, by `/proc`.
#[cfg(target_os = "linux")]
pub(super) fn link(file: &File, dir: BorrowedFd<'_>, name: &CStr) -> io::Result<()> {
    use std::os::fd::AsRawFd;

    use nix::fcntl::{AT_FDCWD, AtFlags};
    use nix::unistd::linkat;

    use crate::base::errno::retry;

    let by_descriptor = || linkat(file, c"", dir, name, AtFlags::AT_EMPTY_PATH);
    match retry(|| Ok(by_descriptor()?)) {
        Err(error) if matches!(error.raw_os_error(), Some(libc::ENOENT | libc::EINVAL)) => {}
        linked => return linked,
    }
    let path = std::ffi::CString::new(format!("/proc/self/fd/{}", file.as_raw_fd()))?;
    let follow = AtFlags::AT_SYMLINK_FOLLOW;
    retry(|| Ok(linkat(AT_FDCWD, path.as_c_str(), dir, name, follow)?))
}

#[cfg(not(target_os = "linux"))]
pub(super) fn link(_file: &File, _dir: BorrowedFd<'_>, _name: &CStr) -> io::Result<()> {
    Err(crate::base::errno::unsupported())
}
