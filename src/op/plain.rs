//! Which open files a ring reads and writes as the system's own calls do.
//!
//! A ring first tries without waiting, and then waits until the file says that it is ready. That is the call's own
//! behaviour only where the kernel can try so, or where being ready means the same: for files of disks, and for pipes,
//! sockets and terminals that wait for nothing else. An epoll set, a process or a message queue would be waited for though the
//! call has an answer; a terminal may answer by its own time; what cannot be tried says EAGAIN where nothing was to be
//! waited for, though there is something; and what has no positions for writing takes writes at one.

use std::os::fd::BorrowedFd;

use super::open::flag;
use crate::mounts::Mount;
use crate::sys::fd::status_flags;
use crate::sys::linux::nowait::{hands_out_what_comes, waits_plainly};
use crate::sys::stat::{Stat, kind};

/// Whether it is not to be waited for, which another owner of the open file may have said at any time.
fn is_nonblocking(fd: BorrowedFd<'_>) -> bool {
    status_flags(fd).is_ok_and(|flags| flags & flag::O_NONBLOCK != 0)
}

/// Whether it lies where something keeps it: a disk, a server, memory. What is made as it is read takes no blocks.
pub(super) fn is_kept(stat: &Stat, mount: &Mount) -> bool {
    match mount.fs_type() {
        Some(_) => !mount.is_of_peers() && !mount.has_no_storage(),
        None => stat.blocks > 0,
    }
}

/// Whether a ring reads and writes it as the call does, by its attributes when it was opened.
pub(super) fn is_for_ring(fd: BorrowedFd<'_>, stat: &Stat, mount: &Mount) -> bool {
    match stat.type_bits() {
        kind::FILE if mount.reads_nowait() => true,
        kind::BLOCK => true,
        kind::FILE => is_kept(stat, mount) && !is_nonblocking(fd),
        0 if stat.mode == 0 => is_kept(stat, mount) && !is_nonblocking(fd),
        kind::FIFO => !is_nonblocking(fd),
        kind::CHARACTER => {
            let is_plain = stat.is_memory_device() || hands_out_what_comes(fd);
            is_plain && !is_nonblocking(fd)
        }
        kind::SOCKET => !is_nonblocking(fd) && waits_plainly(fd),
        _ => false,
    }
}
