//! Whether the kernel, and whoever filters its calls, lets this process make those that there is another way for.
//!
//! Each is asked with arguments that mean nothing: where the call is there, the kernel says so by the error that it has
//! for them. That costs a microsecond, and is asked each time anew: a filter may come at any time.
#![allow(
    unsafe_code,
    reason = "makes system calls that libc has no functions for"
)]

use std::io;

use super::mount::SYS_STATMOUNT;
use super::nowait::SYS_CACHESTAT;

/// One of these calls.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Call {
    Cachestat,
    Fadvise,
    NameToHandleAt,
    Openat2,
    Preadv2,
    Statmount,
    Statx,
}

impl Call {
    /// Its name, without the section of the manual.
    pub(crate) fn name(self) -> &'static str {
        match self {
            Call::Cachestat => "cachestat",
            Call::Fadvise => "fadvise64",
            Call::NameToHandleAt => "name_to_handle_at",
            Call::Openat2 => "openat2",
            Call::Preadv2 => "preadv2",
            Call::Statmount => "statmount",
            Call::Statx => "statx",
        }
    }

    /// The first kernel with all of it that is used.
    pub(crate) fn first_kernel(self) -> (u16, u16) {
        match self {
            Call::Cachestat => (6, 5),
            Call::Fadvise => (2, 6),
            Call::NameToHandleAt => (6, 12),
            Call::Openat2 => (5, 12),
            Call::Preadv2 => (4, 14),
            Call::Statmount => (6, 8),
            Call::Statx => (6, 8),
        }
    }

    /// The error number of who refuses it; `None` where it is there.
    pub(crate) fn refusal(self) -> Option<i32> {
        // Of things that cannot be: no descriptor, no memory, flags that no kernel knows.
        let (fd, none, zero, flags) = (-1, std::ptr::null_mut::<libc::c_void>(), 0usize, i32::MIN);
        // SAFETY: no argument points to memory.
        let result = unsafe {
            match self {
                Call::Cachestat => libc::syscall(SYS_CACHESTAT, fd, none, none, flags),
                Call::Fadvise => libc::posix_fadvise(fd, 0, 0, libc::POSIX_FADV_NORMAL).into(),
                Call::NameToHandleAt => {
                    libc::syscall(libc::SYS_name_to_handle_at, fd, none, none, none, flags)
                }
                Call::Openat2 => libc::syscall(libc::SYS_openat2, fd, none, none, zero),
                Call::Preadv2 => {
                    libc::syscall(libc::SYS_preadv2, fd, none, zero, zero, zero, flags)
                }
                Call::Statmount => libc::syscall(SYS_STATMOUNT, none, none, zero, flags),
                Call::Statx => libc::syscall(libc::SYS_statx, fd, none, 0, flags, none),
            }
        };
        let number = match (self, result) {
            // It returns the number, and sets none.
            (Call::Fadvise, number) => number as i32,
            (_, 0..) => return None,
            _ => io::Error::last_os_error().raw_os_error().unwrap_or(0),
        };
        let is_answer = matches!(number, 0 | libc::EBADF | libc::EINVAL | libc::EFAULT);
        (!is_answer).then_some(number)
    }

    /// Whether an error that the call gave is not its own but of who refuses it.
    pub(crate) fn is_refused_with(self, error: &io::Error) -> bool {
        let may_be = matches!(
            error.raw_os_error(),
            Some(libc::ENOSYS | libc::EPERM | libc::EACCES)
        );
        may_be && self.refusal() == error.raw_os_error()
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    /// What this kernel has is not taken for refused, and its own errors are not taken for a refusal.
    #[test]
    fn what_is_there_is_not_refused() {
        for call in [Call::Fadvise, Call::Preadv2, Call::Statx] {
            assert_eq!(call.refusal(), None, "{call:?}");
            let denied = io::Error::from_raw_os_error(libc::EACCES);
            assert!(!call.is_refused_with(&denied), "{call:?}");
        }
    }
}
