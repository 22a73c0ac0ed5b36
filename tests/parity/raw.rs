//! What std lacks, by system call: the reference for FIFOs, times and extended attributes.

use std::ffi::{CString, OsString};
use std::io;
use std::os::unix::ffi::{OsStrExt, OsStringExt};
use std::path::Path;
use std::time::SystemTime;

use tidegate::fs::Follow;

fn c(bytes: &[u8]) -> io::Result<CString> {
    CString::new(bytes).map_err(|_| io::ErrorKind::InvalidInput.into())
}

fn check(result: isize) -> io::Result<usize> {
    usize::try_from(result).map_err(|_| io::Error::last_os_error())
}

pub(crate) fn make_fifo(path: &Path, mode: libc::mode_t) -> io::Result<()> {
    let path = c(path.as_os_str().as_bytes())?;
    // SAFETY: the path is terminated.
    check(unsafe { libc::mkfifo(path.as_ptr(), mode) } as isize).map(drop)
}

fn spec(time: Option<SystemTime>) -> libc::timespec {
    let Some(time) = time else {
        return libc::timespec {
            tv_sec: 0,
            tv_nsec: libc::UTIME_OMIT,
        };
    };
    let nanos = match time.duration_since(SystemTime::UNIX_EPOCH) {
        Ok(after) => after.as_nanos() as i128,
        Err(before) => -(before.duration().as_nanos() as i128),
    };
    libc::timespec {
        tv_sec: nanos.div_euclid(1_000_000_000) as libc::time_t,
        tv_nsec: nanos.rem_euclid(1_000_000_000) as libc::c_long,
    }
}

pub(crate) fn set_times(
    path: &Path,
    accessed: Option<SystemTime>,
    modified: Option<SystemTime>,
    follow: Follow,
) -> io::Result<()> {
    let path = c(path.as_os_str().as_bytes())?;
    let times = [spec(accessed), spec(modified)];
    let flags = match follow {
        Follow::Links => 0,
        Follow::No => libc::AT_SYMLINK_NOFOLLOW,
    };
    // SAFETY: the path is terminated, and there are two times.
    check(unsafe { libc::utimensat(libc::AT_FDCWD, path.as_ptr(), times.as_ptr(), flags) } as isize)
        .map(drop)
}

const ROOM: usize = 64 << 10;

pub(crate) fn get_xattr(path: &Path, name: &str, follow: Follow) -> io::Result<Option<Vec<u8>>> {
    let (path, name) = (c(path.as_os_str().as_bytes())?, c(name.as_bytes())?);
    let mut value = vec![0u8; ROOM];
    let call = match follow {
        Follow::Links => libc::getxattr,
        Follow::No => libc::lgetxattr,
    };
    // SAFETY: the strings are terminated, and the value has the room that is given.
    match check(unsafe {
        call(
            path.as_ptr(),
            name.as_ptr(),
            value.as_mut_ptr().cast(),
            ROOM,
        )
    }) {
        Ok(length) => {
            value.truncate(length);
            Ok(Some(value))
        }
        Err(error) if error.raw_os_error() == Some(libc::ENODATA) => Ok(None),
        Err(error) => Err(error),
    }
}

pub(crate) fn set_xattr(path: &Path, name: &str, value: &[u8], follow: Follow) -> io::Result<()> {
    let (path, name) = (c(path.as_os_str().as_bytes())?, c(name.as_bytes())?);
    let call = match follow {
        Follow::Links => libc::setxattr,
        Follow::No => libc::lsetxattr,
    };
    let (start, length) = (value.as_ptr().cast(), value.len());
    // SAFETY: the strings are terminated, and the value is borrowed for the call.
    check(unsafe { call(path.as_ptr(), name.as_ptr(), start, length, 0) } as isize).map(drop)
}

pub(crate) fn remove_xattr(path: &Path, name: &str, follow: Follow) -> io::Result<()> {
    let (path, name) = (c(path.as_os_str().as_bytes())?, c(name.as_bytes())?);
    let call = match follow {
        Follow::Links => libc::removexattr,
        Follow::No => libc::lremovexattr,
    };
    // SAFETY: the strings are terminated.
    check(unsafe { call(path.as_ptr(), name.as_ptr()) } as isize).map(drop)
}

pub(crate) fn list_xattrs(path: &Path, follow: Follow) -> io::Result<Vec<OsString>> {
    let path = c(path.as_os_str().as_bytes())?;
    let mut names = vec![0u8; ROOM];
    let call = match follow {
        Follow::Links => libc::listxattr,
        Follow::No => libc::llistxattr,
    };
    // SAFETY: the path is terminated, and the list has the room that is given.
    let length = check(unsafe { call(path.as_ptr(), names.as_mut_ptr().cast(), ROOM) })?;
    let names = names[..length].split(|&byte| byte == 0);
    Ok(names
        .filter(|name| !name.is_empty())
        .map(|name| OsString::from_vec(name.to_vec()))
        .collect())
}

/// fallocate(2), with offset and length as the kernel sees them.
pub(crate) fn allocate(file: &std::fs::File, offset: u64, length: u64) -> io::Result<()> {
    use std::os::fd::AsRawFd;
    let (offset, length) = (offset as libc::off_t, length as libc::off_t);
    // SAFETY: the descriptor is open for the call.
    check(unsafe { libc::fallocate(file.as_raw_fd(), 0, offset, length) } as isize).map(drop)
}
