//! Why a ring cannot be had.

use std::fmt;
use std::io;

use crate::base::errno;
#[cfg(target_os = "linux")]
use crate::base::status;

/// Why there is no ring.
///
/// See [`report`](crate::probe::report).
#[derive(Clone, Debug, PartialEq, Eq)]
#[non_exhaustive]
pub enum Reason {
    /// The switch `io_uring_disabled` forbids it.
    Disabled {
        /// The value of the switch: 1 for unprivileged processes, 2 for all.
        switch: u32,
    },
    /// No descriptor was left for it.
    FdLimit,
    /// The kernel is too old for io_uring, or was built without it.
    KernelTooOld,
    /// The limit on locked memory is too low for it.
    Memlock,
    /// The kernel gave another error.
    Other {
        /// The error number.
        errno: i32,
    },
    /// This is not Linux.
    Platform,
    /// A system call filter forbids it, as containers do by default.
    Seccomp,
}

impl Reason {
    /// What to do about it.
    ///
    /// See [`report`](crate::probe::report).
    pub fn remedy(&self) -> &'static str {
        match self {
            Reason::Disabled { switch: 1 } => {
                "run with CAP_SYS_ADMIN, join the group in kernel.io_uring_group, or set the sysctl kernel.io_uring_disabled to 0"
            }
            Reason::Disabled { .. } => "set the sysctl kernel.io_uring_disabled to 0",
            Reason::FdLimit => "close files or raise RLIMIT_NOFILE",
            Reason::KernelTooOld => "use Linux 5.6 or later, built with CONFIG_IO_URING",
            Reason::Memlock => {
                "raise RLIMIT_MEMLOCK (ulimit -l) to 8 MiB, or to twice what a pool of buffers is to register, or grant CAP_IPC_LOCK"
            }
            Reason::Other { .. } => "blocking threads are used instead; report this error number",
            Reason::Platform => "nothing needs doing: blocking threads are used on this system",
            Reason::Seccomp => {
                "allow io_uring_setup, io_uring_enter and io_uring_register in the container's seccomp profile"
            }
        }
    }

    /// The error number that the kernel gave, where it gave one.
    ///
    /// ```
    /// let reason = tidegate::probe::Reason::Seccomp;
    /// assert_eq!(reason.errno(), Some(1));
    /// ```
    pub fn errno(&self) -> Option<i32> {
        match self {
            Reason::Disabled { .. } | Reason::Seccomp => Some(errno::EPERM),
            Reason::FdLimit => Some(errno::EMFILE),
            Reason::KernelTooOld => Some(errno::ENOSYS),
            Reason::Memlock => Some(errno::ENOMEM),
            Reason::Other { errno } => Some(*errno),
            Reason::Platform => None,
        }
    }

    /// Tells the causes of a failed attempt apart.
    fn of(error: &io::Error, switch: Option<u32>, filtered: bool) -> Reason {
        match error.raw_os_error() {
            Some(errno::ENOSYS) if filtered => Reason::Seccomp,
            Some(errno::ENOSYS) => Reason::KernelTooOld,
            Some(errno::EPERM | errno::EACCES) => match switch {
                Some(switch @ 1..) => Reason::Disabled { switch },
                _ => Reason::Seccomp,
            },
            Some(errno::ENOMEM) => Reason::Memlock,
            Some(errno::EMFILE | errno::ENFILE) => Reason::FdLimit,
            number => Reason::Other {
                errno: number.unwrap_or_default(),
            },
        }
    }
}

impl fmt::Display for Reason {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Reason::Disabled { switch } => {
                write!(f, "the sysctl kernel.io_uring_disabled is {switch}")
            }
            Reason::FdLimit => f.write_str("no file descriptor was left for it"),
            Reason::KernelTooOld => f.write_str("the kernel does not have it"),
            Reason::Memlock => f.write_str("the limit on locked memory is too low"),
            Reason::Other { errno } => write!(f, "{}", io::Error::from_raw_os_error(*errno)),
            Reason::Platform => f.write_str("this system does not have it"),
            Reason::Seccomp => f.write_str("a system call filter (seccomp) forbids it"),
        }
    }
}

/// The cause of an error that a call about rings gave.
#[cfg(target_os = "linux")]
pub(crate) fn reason_of(error: &io::Error) -> Reason {
    Reason::of(error, status::disabled_switch(), status::is_filtered())
}

#[cfg(test)]
mod tests {
    use super::*;

    /// R2: the causes of a missing ring are told apart, and keep the kernel's error number.
    #[test]
    fn causes_are_told_apart() {
        let cases = [
            (errno::ENOSYS, None, false, Reason::KernelTooOld),
            (errno::ENOSYS, None, true, Reason::Seccomp),
            (errno::EPERM, Some(2), false, Reason::Disabled { switch: 2 }),
            (errno::EPERM, Some(1), false, Reason::Disabled { switch: 1 }),
            (errno::EPERM, Some(0), true, Reason::Seccomp),
            (errno::EPERM, None, true, Reason::Seccomp),
            (errno::ENOMEM, Some(0), false, Reason::Memlock),
            (errno::EMFILE, Some(0), false, Reason::FdLimit),
            (
                errno::EINVAL,
                Some(0),
                false,
                Reason::Other {
                    errno: errno::EINVAL,
                },
            ),
        ];
        for (number, switch, filtered, expected) in cases {
            let reason = Reason::of(&io::Error::from_raw_os_error(number), switch, filtered);
            assert_eq!(reason, expected);
            assert!(!reason.to_string().is_empty() && !reason.remedy().is_empty());
        }
    }
}
