//! Extended attributes of an open file.
#![allow(unsafe_code, reason = "calls the extended attribute functions")]

use std::ffi::{CStr, OsString};
use std::fs::File;
use std::io;

use crate::base::errno::retry;

#[cfg(any(target_os = "linux", target_os = "macos"))]
mod calls {
    use std::os::fd::AsRawFd;
    use std::os::unix::ffi::OsStringExt;

    use super::*;
    use crate::sys::xattr::BYTES_MAX;

    fn check(result: isize) -> io::Result<usize> {
        if result < 0 {
            Err(io::Error::last_os_error())
        } else {
            Ok(result as usize)
        }
    }

    /// What is there, as a rule. The kernel allocates and clears as many bytes as it is offered.
    const BYTES_USUAL: usize = 512;

    /// Offers little, and all that there can be where that is not enough.
    fn ample<T>(call: impl Fn(usize) -> io::Result<T>) -> io::Result<T> {
        match call(BYTES_USUAL) {
            Err(error) if error.raw_os_error() == Some(libc::ERANGE) => call(BYTES_MAX),
            told => told,
        }
    }

    pub(crate) fn get(file: &File, name: &CStr) -> io::Result<Vec<u8>> {
        ample(|room| get_within(file, name, room))
    }

    fn get_within(file: &File, name: &CStr, room: usize) -> io::Result<Vec<u8>> {
        let mut value = Vec::<u8>::with_capacity(room);
        let (fd, name, start) = (file.as_raw_fd(), name.as_ptr(), value.as_mut_ptr().cast());
        // SAFETY: the name is terminated, and the value has so much room.
        #[cfg(target_os = "linux")]
        let length = check(unsafe { libc::fgetxattr(fd, name, start, room) })?;
        // SAFETY: as above.
        #[cfg(target_os = "macos")]
        let length = check(unsafe { libc::fgetxattr(fd, name, start, room, 0, 0) })?;
        // SAFETY: the call initialised `length` bytes.
        unsafe { value.set_len(length) };
        Ok(value)
    }

    pub(crate) fn set(file: &File, name: &CStr, value: &[u8]) -> io::Result<()> {
        let (fd, name, start, length) = (
            file.as_raw_fd(),
            name.as_ptr(),
            value.as_ptr().cast(),
            value.len(),
        );
        // SAFETY: the name is terminated, and the value is borrowed for the call.
        #[cfg(target_os = "linux")]
        let result = unsafe { libc::fsetxattr(fd, name, start, length, 0) };
        // SAFETY: as above.
        #[cfg(target_os = "macos")]
        let result = unsafe { libc::fsetxattr(fd, name, start, length, 0, 0) };
        check(result as isize).map(drop)
    }

    pub(crate) fn remove(file: &File, name: &CStr) -> io::Result<()> {
        // SAFETY: the name is terminated.
        #[cfg(target_os = "linux")]
        let result = unsafe { libc::fremovexattr(file.as_raw_fd(), name.as_ptr()) };
        // SAFETY: as above.
        #[cfg(target_os = "macos")]
        let result = unsafe { libc::fremovexattr(file.as_raw_fd(), name.as_ptr(), 0) };
        check(result as isize).map(drop)
    }

    pub(crate) fn list(file: &File) -> io::Result<Vec<OsString>> {
        ample(|room| list_within(file, room))
    }

    fn list_within(file: &File, room: usize) -> io::Result<Vec<OsString>> {
        let mut names = Vec::<u8>::with_capacity(room);
        let (fd, start) = (file.as_raw_fd(), names.as_mut_ptr().cast());
        // SAFETY: the list has so much room.
        #[cfg(target_os = "linux")]
        let length = check(unsafe { libc::flistxattr(fd, start, room) })?;
        // SAFETY: as above.
        #[cfg(target_os = "macos")]
        let length = check(unsafe { libc::flistxattr(fd, start, room, 0) })?;
        // SAFETY: the call initialised `length` bytes.
        unsafe { names.set_len(length) };
        let names = names
            .split(|&byte| byte == 0)
            .filter(|name| !name.is_empty());
        Ok(names
            .map(|name| OsString::from_vec(name.to_vec()))
            .collect())
    }
}

#[cfg(not(any(target_os = "linux", target_os = "macos")))]
mod calls {
    use super::*;

    fn unsupported<T>() -> io::Result<T> {
        Err(io::Error::from_raw_os_error(libc::EOPNOTSUPP))
    }

    pub(crate) fn get(_: &File, _: &CStr) -> io::Result<Vec<u8>> {
        unsupported()
    }

    pub(crate) fn set(_: &File, _: &CStr, _: &[u8]) -> io::Result<()> {
        unsupported()
    }

    pub(crate) fn remove(_: &File, _: &CStr) -> io::Result<()> {
        unsupported()
    }

    pub(crate) fn list(_: &File) -> io::Result<Vec<OsString>> {
        unsupported()
    }
}

pub(crate) fn get(file: &File, name: &CStr) -> io::Result<Vec<u8>> {
    retry(|| calls::get(file, name))
}

pub(crate) fn set(file: &File, name: &CStr, value: &[u8]) -> io::Result<()> {
    retry(|| calls::set(file, name, value))
}

pub(crate) fn remove(file: &File, name: &CStr) -> io::Result<()> {
    retry(|| calls::remove(file, name))
}

pub(crate) fn list(file: &File) -> io::Result<Vec<OsString>> {
    retry(|| calls::list(file))
}

/// Whether it has no attributes, but for the label that the system gives to everything.
pub(crate) fn is_bare(file: &File) -> bool {
    match list(file) {
        Ok(names) => names.iter().all(|name| name == "security.selinux"),
        Err(error) => super::xattr::are_never(&error),
    }
}
