//! Submission entries, one constructor per operation.

use std::ffi::CStr;
use std::os::fd::{AsRawFd, BorrowedFd, RawFd};
use std::sync::atomic::AtomicU64;

use io_uring::opcode;
use io_uring::squeue::{Entry, Flags};
use io_uring::types::{Fd, FsyncFlags};

use super::eventfd::EventFd;
use super::statx::{self, StatxBuf};
use crate::sys::stat::How;

/// A submission entry. Making one does nothing; pushing it is what needs care.
#[derive(Clone, Debug)]
pub(crate) struct Sqe(pub(super) Entry);

const CWD: Fd = Fd(libc::AT_FDCWD);

fn fd(fd: BorrowedFd<'_>) -> Fd {
    Fd(fd.as_raw_fd())
}

impl Sqe {
    pub(crate) fn read(file: BorrowedFd<'_>, buf: *mut u8, length: u32, offset: u64) -> Sqe {
        Sqe(opcode::Read::new(fd(file), buf, length)
            .offset(offset)
            .build())
    }

    pub(crate) fn write(file: BorrowedFd<'_>, buf: *const u8, length: u32, offset: u64) -> Sqe {
        Sqe(opcode::Write::new(fd(file), buf, length)
            .offset(offset)
            .build())
    }

    pub(crate) fn fsync(file: BorrowedFd<'_>, data_only: bool) -> Sqe {
        let flags = if data_only {
            FsyncFlags::DATASYNC
        } else {
            FsyncFlags::empty()
        };
        Sqe(opcode::Fsync::new(fd(file)).flags(flags).build())
    }

    pub(crate) fn ftruncate(file: BorrowedFd<'_>, length: u64) -> Sqe {
        Sqe(opcode::Ftruncate::new(fd(file), length).build())
    }

    pub(crate) fn fallocate(
        file: BorrowedFd<'_>,
        offset: u64,
        length: u64,
        keep_size: bool,
    ) -> Sqe {
        let mode = if keep_size {
            libc::FALLOC_FL_KEEP_SIZE
        } else {
            0
        };
        Sqe(opcode::Fallocate::new(fd(file), length)
            .offset(offset)
            .mode(mode)
            .build())
    }

    pub(crate) fn openat(path: &CStr, flags: i32, mode: u32) -> Sqe {
        Sqe(opcode::OpenAt::new(CWD, path.as_ptr())
            .flags(flags)
            .mode(mode)
            .build())
    }

    /// From here on only the kernel closes the number.
    pub(crate) fn close(number: RawFd) -> Sqe {
        Sqe(opcode::Close::new(Fd(number)).build())
    }

    pub(crate) fn statx_path(path: &CStr, follow: bool, how: How, buf: &StatxBuf) -> Sqe {
        let (flags, mask) = statx::words(follow, how);
        let entry = opcode::Statx::new(CWD, path.as_ptr(), buf.as_ptr().cast());
        Sqe(entry.flags(flags).mask(mask).build())
    }

    pub(crate) fn statx_fd(file: BorrowedFd<'_>, how: How, buf: &StatxBuf) -> Sqe {
        let (flags, mask) = statx::words(true, how);
        let entry = opcode::Statx::new(fd(file), c"".as_ptr(), buf.as_ptr().cast());
        Sqe(entry.flags(flags | libc::AT_EMPTY_PATH).mask(mask).build())
    }

    pub(crate) fn mkdirat(path: &CStr, mode: u32) -> Sqe {
        Sqe(opcode::MkDirAt::new(CWD, path.as_ptr()).mode(mode).build())
    }

    pub(crate) fn unlinkat(path: &CStr, directory: bool) -> Sqe {
        let flags = if directory { libc::AT_REMOVEDIR } else { 0 };
        Sqe(opcode::UnlinkAt::new(CWD, path.as_ptr())
            .flags(flags)
            .build())
    }

    pub(crate) fn renameat(from: &CStr, to: &CStr) -> Sqe {
        Sqe(opcode::RenameAt::new(CWD, from.as_ptr(), CWD, to.as_ptr()).build())
    }

    pub(crate) fn linkat(original: &CStr, link: &CStr) -> Sqe {
        Sqe(opcode::LinkAt::new(CWD, original.as_ptr(), CWD, link.as_ptr()).build())
    }

    pub(crate) fn symlinkat(original: &CStr, link: &CStr) -> Sqe {
        Sqe(opcode::SymlinkAt::new(CWD, original.as_ptr(), link.as_ptr()).build())
    }

    pub(crate) fn getxattr(path: &CStr, name: &CStr, value: *mut u8, length: u32) -> Sqe {
        Sqe(opcode::GetXattr::new(name.as_ptr(), value.cast(), path.as_ptr(), length).build())
    }

    pub(crate) fn setxattr(path: &CStr, name: &CStr, value: *const u8, length: u32) -> Sqe {
        Sqe(opcode::SetXattr::new(name.as_ptr(), value.cast(), path.as_ptr(), length).build())
    }

    pub(crate) fn cancel(user_data: u64) -> Sqe {
        Sqe(opcode::AsyncCancel::new(user_data).build())
    }

    pub(crate) fn nop() -> Sqe {
        Sqe(opcode::Nop::new().build())
    }

    /// Completes when the event is signalled.
    pub(crate) fn event(event: &EventFd) -> Sqe {
        use std::os::fd::AsFd;
        // The count is of no interest, and a signal may come after the ring was closed: the kernel writes
        // it where nothing else is, for ever (INV-1).
        static COUNT: AtomicU64 = AtomicU64::new(0);
        Sqe::read(event.as_fd(), COUNT.as_ptr().cast(), 8, u64::MAX)
    }

    /// Leaves the operation to a kernel worker, so that submitting it cannot sleep.
    pub(crate) fn for_kernel_worker(self) -> Sqe {
        Sqe(self.0.flags(Flags::ASYNC))
    }
}
