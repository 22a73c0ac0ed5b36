//! What std lacks, by system call: the reference for FIFOs, times and extended attributes.

use std::ffi::{CString, OsString};
use std::fs::File;
use std::io;
use std::os::fd::AsRawFd;
use std::os::unix::ffi::{OsStrExt, OsStringExt};
use std::path::Path;
use std::time::SystemTime;

use tidegate::fs::{Advice, Follow, Space, Writeback};

pub(crate) fn c(bytes: &[u8]) -> io::Result<CString> {
    CString::new(bytes).map_err(|_| io::ErrorKind::InvalidInput.into())
}

pub(crate) fn check(result: isize) -> io::Result<usize> {
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
pub(crate) fn allocate(file: &File, offset: u64, length: u64, how: Space) -> io::Result<()> {
    let mode = match how {
        Space::Collapse => libc::FALLOC_FL_COLLAPSE_RANGE,
        Space::Insert => libc::FALLOC_FL_INSERT_RANGE,
        Space::PunchHole => libc::FALLOC_FL_PUNCH_HOLE | libc::FALLOC_FL_KEEP_SIZE,
        Space::Reserve => libc::FALLOC_FL_KEEP_SIZE,
        Space::Zero => libc::FALLOC_FL_ZERO_RANGE | libc::FALLOC_FL_KEEP_SIZE,
        Space::ZeroExtend => libc::FALLOC_FL_ZERO_RANGE,
        _ => 0,
    };
    let (offset, length) = (offset as libc::off_t, length as libc::off_t);
    // SAFETY: the descriptor is open for the call.
    check(unsafe { libc::fallocate(file.as_raw_fd(), mode, offset, length) } as isize).map(drop)
}

pub(crate) fn advise(file: &File, offset: u64, length: u64, advice: Advice) -> io::Result<()> {
    let number = match advice {
        Advice::DontNeed => libc::POSIX_FADV_DONTNEED,
        Advice::NoReuse => libc::POSIX_FADV_NOREUSE,
        Advice::Random => libc::POSIX_FADV_RANDOM,
        Advice::Sequential => libc::POSIX_FADV_SEQUENTIAL,
        Advice::WillNeed => libc::POSIX_FADV_WILLNEED,
        _ => libc::POSIX_FADV_NORMAL,
    };
    let (offset, length) = (offset as libc::off_t, length as libc::off_t);
    // SAFETY: the descriptor is open for the call.
    match unsafe { libc::posix_fadvise(file.as_raw_fd(), offset, length, number) } {
        0 => Ok(()),
        number => Err(io::Error::from_raw_os_error(number)),
    }
}

pub(crate) fn sync_range(file: &File, offset: u64, length: u64, how: Writeback) -> io::Result<()> {
    let flags = match how {
        Writeback::Start => libc::SYNC_FILE_RANGE_WRITE,
        Writeback::Wait => libc::SYNC_FILE_RANGE_WAIT_BEFORE,
        _ => {
            libc::SYNC_FILE_RANGE_WAIT_BEFORE
                | libc::SYNC_FILE_RANGE_WRITE
                | libc::SYNC_FILE_RANGE_WAIT_AFTER
        }
    };
    let (offset, length) = (offset as libc::off_t, length as libc::off_t);
    // SAFETY: the descriptor is open for the call.
    check(unsafe { libc::sync_file_range(file.as_raw_fd(), offset, length, flags) } as isize)
        .map(drop)
}

fn parts(bufs: &mut [Vec<u8>]) -> Vec<libc::iovec> {
    let part = |buf: &mut Vec<u8>| libc::iovec {
        iov_base: buf.as_mut_ptr().cast(),
        iov_len: buf.len(),
    };
    bufs.iter_mut().map(part).collect()
}

pub(crate) fn read_vectored(file: &File, bufs: &mut [Vec<u8>], offset: u64) -> io::Result<usize> {
    let (parts, fd) = (parts(bufs), file.as_raw_fd());
    // SAFETY: each part is a buffer that is borrowed for the call.
    check(unsafe { libc::preadv(fd, parts.as_ptr(), parts.len() as i32, offset as i64) })
}

pub(crate) fn write_vectored(file: &File, bufs: &mut [Vec<u8>], offset: u64) -> io::Result<usize> {
    let (parts, fd) = (parts(bufs), file.as_raw_fd());
    // SAFETY: as above.
    check(unsafe { libc::pwritev(fd, parts.as_ptr(), parts.len() as i32, offset as i64) })
}

pub(crate) fn get_file_xattr(file: &File, name: &str) -> io::Result<Option<Vec<u8>>> {
    let name = c(name.as_bytes())?;
    let mut value = vec![0u8; ROOM];
    let start = value.as_mut_ptr().cast();
    // SAFETY: the name is terminated, and the value has the room that is given.
    match check(unsafe { libc::fgetxattr(file.as_raw_fd(), name.as_ptr(), start, ROOM) }) {
        Ok(length) => {
            value.truncate(length);
            Ok(Some(value))
        }
        Err(error) if error.raw_os_error() == Some(libc::ENODATA) => Ok(None),
        Err(error) => Err(error),
    }
}

pub(crate) fn set_file_xattr(file: &File, name: &str, value: &[u8]) -> io::Result<()> {
    let name = c(name.as_bytes())?;
    let (fd, start, length) = (file.as_raw_fd(), value.as_ptr().cast(), value.len());
    // SAFETY: the name is terminated, and the value is borrowed for the call.
    check(unsafe { libc::fsetxattr(fd, name.as_ptr(), start, length, 0) } as isize).map(drop)
}

pub(crate) fn remove_file_xattr(file: &File, name: &str) -> io::Result<()> {
    let name = c(name.as_bytes())?;
    // SAFETY: the name is terminated.
    check(unsafe { libc::fremovexattr(file.as_raw_fd(), name.as_ptr()) } as isize).map(drop)
}

type End<'a> = (&'a dyn AsRawFd, Option<u64>);

pub(crate) fn splice(from: End<'_>, to: End<'_>, length: usize) -> io::Result<usize> {
    let at = |offset: Option<u64>| offset.map(|offset| offset as i64);
    let (mut from_at, mut to_at) = (at(from.1), at(to.1));
    let pointer = |at: &mut Option<i64>| at.as_mut().map_or(std::ptr::null_mut(), |at| at);
    let (from_at, to_at) = (pointer(&mut from_at), pointer(&mut to_at));
    let (from, to) = (from.0.as_raw_fd(), to.0.as_raw_fd());
    // SAFETY: the offsets are null, or on the stack.
    check(unsafe { libc::splice(from, from_at, to, to_at, length, 0) })
}

pub(crate) fn tee(from: &dyn AsRawFd, to: &dyn AsRawFd, length: usize) -> io::Result<usize> {
    // SAFETY: takes no memory.
    check(unsafe { libc::tee(from.as_raw_fd(), to.as_raw_fd(), length, 0) })
}
