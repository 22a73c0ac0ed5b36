//! Error numbers by name.

use std::io;

pub(crate) use libc::{
    EACCES, EAGAIN, EBADF, ECANCELED, EDQUOT, EFAULT, EINTR, EINVAL, EIO, EMFILE, ENAMETOOLONG,
    ENFILE, ENOBUFS, ENOMEM, ENOSPC, ENOSYS, ENXIO, EOPNOTSUPP, EPERM, EROFS, ESPIPE, EXDEV,
};

#[cfg(target_os = "linux")]
pub(crate) use libc::{EBADFD, EBUSY, EISDIR, ELOOP, ENODATA, ENOENT, ENOTDIR};

/// What this system has not at all.
#[cfg(not(target_os = "linux"))]
pub(crate) fn unsupported() -> io::Error {
    // The number that std knows for it; ENOTSUP is another on some systems.
    io::Error::from_raw_os_error(libc::EOPNOTSUPP)
}

/// The result of a completion: zero or more is a value, less than zero an error number.
pub(crate) fn from_completion(result: i32) -> io::Result<i32> {
    if result < 0 {
        Err(io::Error::from_raw_os_error(-result))
    } else {
        Ok(result)
    }
}

/// The same result, with EINTR for the numbers by which the kernel tells itself to restart a call: an
/// opcode that was interrupted in a kernel worker lets them through.
pub(crate) fn of_interrupted(result: i32) -> i32 {
    const ERESTARTSYS: i32 = 512;
    const ERESTARTNOINTR: i32 = 513;
    const ERESTARTNOHAND: i32 = 514;
    const ERESTART_RESTARTBLOCK: i32 = 516;
    match -result {
        ERESTARTSYS | ERESTARTNOINTR | ERESTARTNOHAND | ERESTART_RESTARTBLOCK => -EINTR,
        _ => result,
    }
}

/// Calls again while a signal interrupts, as std does for the calls that it documents so.
pub(crate) fn retry<T>(mut call: impl FnMut() -> io::Result<T>) -> io::Result<T> {
    loop {
        match call() {
            Err(error) if error.kind() == io::ErrorKind::Interrupted => {}
            result => return result,
        }
    }
}
