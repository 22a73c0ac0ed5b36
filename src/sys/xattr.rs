//! Extended attributes, which std does not have.
#![allow(unsafe_code, reason = "calls the extended attribute functions")]

use std::ffi::{CStr, OsString};
use std::io;

#[cfg(not(target_os = "macos"))]
use crate::base::errno;
use crate::base::errno::retry;

/// The largest attribute value and list of Linux (XATTR_SIZE_MAX, XATTR_LIST_MAX).
pub(crate) const BYTES_MAX: usize = 64 << 10;

fn check(result: isize) -> io::Result<usize> {
    if result < 0 {
        Err(io::Error::last_os_error())
    } else {
        Ok(result as usize)
    }
}

/// Whether the error means that the file has no such attribute.
pub(crate) fn is_absent(error: &io::Error) -> bool {
    #[cfg(target_os = "linux")]
    return error.raw_os_error() == Some(errno::ENODATA);
    #[cfg(not(target_os = "linux"))]
    return error.raw_os_error() == Some(libc::ENOATTR);
}

/// Whether the error means that nothing there has attributes. That the call itself is missing, as a filter says, tells
/// nothing of the file.
pub(crate) fn are_never(error: &io::Error) -> bool {
    let is_missing = error.raw_os_error() == Some(crate::base::errno::ENOSYS);
    error.kind() == io::ErrorKind::Unsupported && !is_missing
}

/// Whether an attribute is no property of its own: XFS shows root its access lists by other names as well, and who sets
/// the list has set these.
pub(crate) fn is_alias(name: &[u8]) -> bool {
    name.starts_with(b"trusted.SGI_ACL_")
}

/// The value of an attribute.
pub(crate) fn get(path: &CStr, name: &CStr, follow: bool) -> io::Result<Vec<u8>> {
    retry(|| get_once(path, name, follow))
}

/// Sets an attribute, new or not.
pub(crate) fn set(path: &CStr, name: &CStr, value: &[u8], follow: bool) -> io::Result<()> {
    retry(|| set_once(path, name, value, follow))
}

/// Removes an attribute.
pub(crate) fn remove(path: &CStr, name: &CStr, follow: bool) -> io::Result<()> {
    retry(|| remove_once(path, name, follow))
}

/// The names of all attributes.
pub(crate) fn list(path: &CStr, follow: bool) -> io::Result<Vec<OsString>> {
    retry(|| list_once(path, follow))
}

/// Whether what has a name in an open directory has any, and is not followed; `None` before Linux 6.13.
#[cfg(target_os = "linux")]
pub(crate) fn are_some_at(dir: std::os::fd::BorrowedFd<'_>, name: &CStr) -> Option<bool> {
    use std::os::fd::AsRawFd;
    const SYS_LISTXATTRAT: libc::c_long = 465;
    // SAFETY: the name is terminated, and the call is given no memory to write to.
    let length = unsafe {
        libc::syscall(
            SYS_LISTXATTRAT,
            dir.as_raw_fd(),
            name.as_ptr(),
            libc::AT_SYMLINK_NOFOLLOW,
            std::ptr::null_mut::<libc::c_void>(),
            0usize,
        )
    };
    (length >= 0).then_some(length > 0)
}

#[cfg(any(target_os = "linux", target_os = "macos"))]
fn get_once(path: &CStr, name: &CStr, follow: bool) -> io::Result<Vec<u8>> {
    let mut value = Vec::<u8>::with_capacity(BYTES_MAX);
    let (path, name, start) = (path.as_ptr(), name.as_ptr(), value.as_mut_ptr());
    // SAFETY: both strings are terminated, and the value has room for `BYTES_MAX` bytes.
    #[cfg(target_os = "linux")]
    let length = check(unsafe {
        if follow {
            libc::getxattr(path, name, start.cast(), BYTES_MAX)
        } else {
            libc::lgetxattr(path, name, start.cast(), BYTES_MAX)
        }
    })?;
    // SAFETY: as above.
    #[cfg(target_os = "macos")]
    let length =
        check(unsafe { libc::getxattr(path, name, start.cast(), BYTES_MAX, 0, options(follow)) })?;
    // SAFETY: the call initialised `length` bytes.
    unsafe { value.set_len(length) };
    value.shrink_to_fit();
    Ok(value)
}

#[cfg(any(target_os = "linux", target_os = "macos"))]
fn set_once(path: &CStr, name: &CStr, value: &[u8], follow: bool) -> io::Result<()> {
    let (path, name, start, length) = (path.as_ptr(), name.as_ptr(), value.as_ptr(), value.len());
    // SAFETY: both strings are terminated, and the value is borrowed for the call.
    #[cfg(target_os = "linux")]
    let result = unsafe {
        if follow {
            libc::setxattr(path, name, start.cast(), length, 0)
        } else {
            libc::lsetxattr(path, name, start.cast(), length, 0)
        }
    };
    // SAFETY: as above.
    #[cfg(target_os = "macos")]
    let result = unsafe { libc::setxattr(path, name, start.cast(), length, 0, options(follow)) };
    check(result as isize).map(drop)
}

#[cfg(any(target_os = "linux", target_os = "macos"))]
fn remove_once(path: &CStr, name: &CStr, follow: bool) -> io::Result<()> {
    let (path, name) = (path.as_ptr(), name.as_ptr());
    // SAFETY: both strings are terminated.
    #[cfg(target_os = "linux")]
    let result = unsafe {
        if follow {
            libc::removexattr(path, name)
        } else {
            libc::lremovexattr(path, name)
        }
    };
    // SAFETY: as above.
    #[cfg(target_os = "macos")]
    let result = unsafe { libc::removexattr(path, name, options(follow)) };
    check(result as isize).map(drop)
}

#[cfg(any(target_os = "linux", target_os = "macos"))]
fn list_once(path: &CStr, follow: bool) -> io::Result<Vec<OsString>> {
    use std::os::unix::ffi::OsStringExt;
    let mut names = Vec::<u8>::with_capacity(BYTES_MAX);
    let (path, start) = (path.as_ptr(), names.as_mut_ptr());
    // SAFETY: the path is terminated, and the list has room for `BYTES_MAX` bytes.
    #[cfg(target_os = "linux")]
    let length = check(unsafe {
        if follow {
            libc::listxattr(path, start.cast(), BYTES_MAX)
        } else {
            libc::llistxattr(path, start.cast(), BYTES_MAX)
        }
    })?;
    // SAFETY: as above.
    #[cfg(target_os = "macos")]
    let length = check(unsafe { libc::listxattr(path, start.cast(), BYTES_MAX, options(follow)) })?;
    // SAFETY: the call initialised `length` bytes.
    unsafe { names.set_len(length) };
    Ok(names
        .split(|&byte| byte == 0)
        .filter(|name| !name.is_empty())
        .map(|name| OsString::from_vec(name.to_vec()))
        .collect())
}

#[cfg(target_os = "macos")]
fn options(follow: bool) -> libc::c_int {
    if follow { 0 } else { libc::XATTR_NOFOLLOW }
}

#[cfg(not(any(target_os = "linux", target_os = "macos")))]
mod missing {
    use super::*;

    fn unsupported<T>() -> io::Result<T> {
        Err(io::Error::from_raw_os_error(errno::EOPNOTSUPP))
    }

    pub(crate) fn get_once(_: &CStr, _: &CStr, _: bool) -> io::Result<Vec<u8>> {
        unsupported()
    }

    pub(crate) fn set_once(_: &CStr, _: &CStr, _: &[u8], _: bool) -> io::Result<()> {
        unsupported()
    }

    pub(crate) fn remove_once(_: &CStr, _: &CStr, _: bool) -> io::Result<()> {
        unsupported()
    }

    pub(crate) fn list_once(_: &CStr, _: bool) -> io::Result<Vec<OsString>> {
        unsupported()
    }
}

#[cfg(not(any(target_os = "linux", target_os = "macos")))]
use missing::{get_once, list_once, remove_once, set_once};
