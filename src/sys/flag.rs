//! The flags of an open; the numbers are the system's.

pub(crate) use libc::{
    O_ACCMODE, O_APPEND, O_CLOEXEC, O_CREAT, O_EXCL, O_NOFOLLOW, O_RDONLY, O_RDWR, O_TRUNC,
    O_WRONLY,
};
#[cfg(target_os = "linux")]
pub(crate) use libc::{O_DIRECT, O_NOATIME, O_PATH};
/// Not known here: without effect.
#[cfg(not(target_os = "linux"))]
pub(crate) const O_DIRECT: i32 = 0;
/// Not known here: without effect.
#[cfg(not(target_os = "linux"))]
pub(crate) const O_NOATIME: i32 = 0;
/// Not known here: without effect.
#[cfg(not(target_os = "linux"))]
pub(crate) const O_PATH: i32 = 0;
