//! The flags of an open; the numbers are the system's.

pub(crate) use libc::{
    O_ACCMODE, O_APPEND, O_CLOEXEC, O_CREAT, O_DIRECTORY, O_EXCL, O_NOCTTY, O_NOFOLLOW, O_NONBLOCK,
    O_RDONLY, O_RDWR, O_TRUNC, O_WRONLY,
};
#[cfg(target_os = "linux")]
pub(crate) use libc::{O_DIRECT, O_NOATIME, O_PATH, O_TMPFILE};
/// Not known here: without effect.
#[cfg(not(target_os = "linux"))]
pub(crate) const O_DIRECT: i32 = 0;
/// Not known here: without effect.
#[cfg(not(target_os = "linux"))]
pub(crate) const O_NOATIME: i32 = 0;
/// Not known here: without effect.
#[cfg(not(target_os = "linux"))]
pub(crate) const O_PATH: i32 = 0;
/// Not known here: opening for it is refused.
#[cfg(not(target_os = "linux"))]
pub(crate) const O_TMPFILE: i32 = 0;

/// The restrictions of an open; the numbers are Linux's, and other systems refuse them all.
pub(crate) mod resolve {
    pub(crate) const BENEATH: u64 = 0x08;
    pub(crate) const IN_ROOT: u64 = 0x10;
    pub(crate) const NO_MAGICLINKS: u64 = 0x02;
    pub(crate) const NO_SYMLINKS: u64 = 0x04;
    pub(crate) const NO_XDEV: u64 = 0x01;
}
