//! Error numbers by name.

use std::io;

use crate::limits::INTERRUPTED_TRIES_MAX;
pub(crate) use libc::{
    EACCES, EAGAIN, EBADF, ECANCELED, EDQUOT, EFAULT, EINTR, EINVAL, EIO, EMFILE, ENAMETOOLONG,
    ENFILE, ENOBUFS, ENOMEM, ENOSPC, ENOSYS, ENXIO, EOPNOTSUPP, EPERM, ERANGE, EROFS, ESPIPE,
    EXDEV,
};
#[cfg(target_os = "linux")]
pub(crate) use libc::{EALREADY, EBADFD, EBUSY, EISDIR, ELOOP, ENODATA, ENOENT, ENOTDIR};

/// What this system has not at all.
#[cfg(not(target_os = "linux"))]
pub(crate) fn unsupported() -> io::Error {
    // The number that std knows for it; ENOTSUP is another on some systems.
    io::Error::from_raw_os_error(libc::EOPNOTSUPP)
}

/// Whether an error without a kind of its own says something of one file or directory, and nothing of the program: bad
/// places of a disk or of a filesystem, names that lead nowhere, a process whose files in procfs were listed and that has
/// ended, a server that is gone, a key that is missing, what a provider on macOS does not fetch.
pub(crate) fn is_of_one_file(error: &io::Error) -> bool {
    let Some(number) = error.raw_os_error() else {
        return false;
    };
    let anywhere = [
        EIO,
        ENAMETOOLONG,
        ENXIO,
        libc::EBADMSG,
        libc::EHOSTDOWN,
        libc::EHOSTUNREACH,
        libc::ELOOP,
        libc::ENETDOWN,
        libc::ENETUNREACH,
        libc::ENODEV,
        libc::ENOTCONN,
        libc::EOVERFLOW,
        libc::ESRCH,
    ];
    #[cfg(target_os = "linux")]
    let here = [libc::ENOKEY, libc::EREMOTEIO, libc::EUCLEAN];
    #[cfg(target_os = "macos")]
    let here = [libc::EDEADLK];
    #[cfg(not(any(target_os = "linux", target_os = "macos")))]
    let here = [];
    anywhere.contains(&number) || here.contains(&number)
}

/// Whether an error of a write-out says that nothing was tried, and nothing of what was written.
pub(crate) fn tried_nothing(error: &io::Error) -> bool {
    let numbers = [EBADF, EINVAL, ENOSYS, EOPNOTSUPP, EPERM, ESPIPE];
    error
        .raw_os_error()
        .is_some_and(|number| numbers.contains(&number))
}

/// Whether there is none to be had for the process, or for all of them.
pub(crate) fn is_out_of_descriptors(error: &io::Error) -> bool {
    matches!(error.raw_os_error(), Some(EMFILE | ENFILE))
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

/// Calls again where the system says that it was interrupted. Signals do not come to the threads that call (see
/// `thread::shield`), but a freezer, a debugger or a server of its own accord may say so.
pub(crate) fn retry<T>(mut call: impl FnMut() -> io::Result<T>) -> io::Result<T> {
    let mut tries = 1;
    loop {
        match call() {
            Err(error) if error.raw_os_error() == Some(EINTR) && tries < INTERRUPTED_TRIES_MAX => {
                tries += 1;
            }
            result => return result,
        }
    }
}

/// Opens something without waiting for whoever should be at its other end. Somebody who has a lease on a file is waited for,
/// as by any open: he is told, and gives it up.
pub(crate) fn open_without_peer<T>(open: impl Fn(i32) -> io::Result<T>) -> io::Result<T> {
    match retry(|| open(libc::O_NONBLOCK)) {
        Err(error) if error.raw_os_error() == Some(EAGAIN) => retry(|| open(0)),
        opened => opened,
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    /// What is interrupted is tried again, what is told to stop between two steps is not, nor for ever.
    #[test]
    fn only_the_systems_interruptions_are_retried() {
        let count = |tries_needed: u32, error: fn() -> io::Error| {
            let mut tries = 0;
            let result = retry(|| {
                tries += 1;
                (tries == tries_needed).then_some(()).ok_or_else(error)
            });
            (tries, result.is_ok())
        };
        let interrupted = || io::Error::from_raw_os_error(EINTR);
        assert_eq!(count(9, interrupted), (9, true));
        assert_eq!(count(u32::MAX, interrupted), (INTERRUPTED_TRIES_MAX, false));
        assert_eq!(count(2, || io::ErrorKind::Interrupted.into()), (1, false));
        assert_eq!(count(2, || io::Error::from_raw_os_error(EIO)), (1, false));
    }
}
