//! Opening with restrictions: the structure and the call that libc has not.
#![allow(
    unsafe_code,
    reason = "makes a system call that libc has no function for"
)]

use std::ffi::CStr;
use std::io;
use std::os::fd::{AsRawFd, BorrowedFd, FromRawFd, OwnedFd};

/// `struct open_how` of the kernel.
#[derive(Clone, Copy, Debug)]
#[repr(C)]
pub(crate) struct OpenHow {
    pub(crate) flags: u64,
    pub(crate) mode: u64,
    pub(crate) resolve: u64,
}

const _: () = assert!(size_of::<OpenHow>() == 24);

impl OpenHow {
    /// Unlike `openat(2)`, the call takes a mode only where it may make a file.
    pub(crate) fn new(flags: i32, mode: u32, resolve: u64) -> OpenHow {
        let makes = flags & (libc::O_CREAT | libc::O_TMPFILE & !libc::O_DIRECTORY) != 0;
        OpenHow {
            flags: u64::from(flags as u32),
            mode: if makes { (mode & 0o7777).into() } else { 0 },
            resolve,
        }
    }
}

/// `openat2(2)`.
pub(crate) fn openat2(dir: BorrowedFd<'_>, path: &CStr, how: &OpenHow) -> io::Result<OwnedFd> {
    // SAFETY: the path is terminated, and `how` is the structure of the size given.
    let number = unsafe {
        libc::syscall(
            libc::SYS_openat2,
            dir.as_raw_fd(),
            path.as_ptr(),
            std::ptr::from_ref(how),
            size_of::<OpenHow>(),
        )
    };
    if number < 0 {
        return Err(io::Error::last_os_error());
    }
    // SAFETY: the descriptor was just made, and nobody else has it.
    Ok(unsafe { OwnedFd::from_raw_fd(number as i32) })
}
