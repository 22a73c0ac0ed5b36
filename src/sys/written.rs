//! What a file is written to, and waiting for it.
#![cfg_attr(
    target_os = "macos",
    allow(unsafe_code, reason = "makes the calls that std lacks")
)]
#![allow(
    clippy::disallowed_methods,
    reason = "the calls block: only threads that may sleep come here"
)]

use std::fs::File;
use std::io;
use std::os::fd::BorrowedFd;

use super::fd::with_file;

/// Which kind of filesystem a file is on, as far as writing it out goes.
///
/// See [`File::with_writeback`](crate::fs::File::with_writeback).
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
#[non_exhaustive]
pub enum WritebackClass {
    /// A distributed filesystem (Ceph).
    Ceph,
    /// A server for Windows' clients (SMB).
    Cifs,
    /// A filesystem in a program.
    Fuse,
    /// A disk of this machine.
    Local,
    /// Memory: there is nothing to write out.
    Memory,
    /// A server by NFS.
    Nfs,
    /// A layer over another filesystem, whose pages the layer's own calls do not reach.
    Overlay,
    /// A host's directory in a guest (9p).
    Plan9,
    /// None of these, or not known yet.
    Unknown,
}

/// The kind of an open file's filesystem. It may have to be asked, which takes as long as its server likes.
#[cfg(target_os = "linux")]
pub(crate) fn class(fd: BorrowedFd<'_>) -> WritebackClass {
    use WritebackClass::{Ceph, Cifs, Fuse, Local, Memory, Nfs, Overlay, Plan9, Unknown};
    let Ok(stats) = nix::sys::statfs::fstatfs(fd) else {
        return Unknown;
    };
    // The type is signed or not, and of 32 bits or 64, by C library.
    match stats.filesystem_type().0 as u32 {
        0x00c3_6400 => Ceph,
        0x0000_517b | 0xfe53_4d42 | 0xff53_4d42 => Cifs,
        0x6573_5546 => Fuse,
        // ext2 to ext4, XFS, btrfs, F2FS, bcachefs, FAT, exFAT, NTFS.
        0xef53 | 0x5846_5342 | 0x9123_683e | 0xf2f5_2010 | 0xca45_1a4e | 0x4d44 | 0x2011_bab0
        | 0x7366_746e => Local,
        0x0102_1994 | 0x8584_58f6 | 0x9584_58f6 => Memory,
        0x6969 => Nfs,
        0x794c_7630 => Overlay,
        0x0102_1997 => Plan9,
        _ => Unknown,
    }
}

/// Elsewhere nothing depends on it.
#[cfg(not(target_os = "linux"))]
pub(crate) fn class(_: BorrowedFd<'_>) -> WritebackClass {
    WritebackClass::Unknown
}

/// `fdatasync(2)`.
pub(crate) fn sync_data(fd: BorrowedFd<'_>) -> io::Result<()> {
    with_file(fd, |file| file.sync_data())
}

/// Writes content out, so that it is on the device before what is written later.
#[cfg(target_os = "macos")]
pub(crate) fn barrier(file: &File) -> io::Result<()> {
    use std::os::fd::AsRawFd;
    crate::base::errno::retry(|| {
        // SAFETY: takes no memory, and the descriptor is open for the call.
        match unsafe { libc::fcntl(file.as_raw_fd(), libc::F_BARRIERFSYNC) } {
            -1 => Err(io::Error::last_os_error()),
            _ => Ok(()),
        }
    })
    .or_else(|_| or_as_far_as_it_goes(file, file.sync_data()))
}

/// Elsewhere there is nothing between nothing and all of it.
#[cfg(not(target_os = "macos"))]
pub(crate) fn barrier(file: &File) -> io::Result<()> {
    file.sync_data()
}

/// What came of a sync to the device; where the filesystem has none, as on servers, it is one to the filesystem.
#[cfg(target_os = "macos")]
pub(crate) fn or_as_far_as_it_goes(file: &File, synced: io::Result<()>) -> io::Result<()> {
    use std::os::fd::AsRawFd;
    let number = synced.as_ref().err().and_then(io::Error::raw_os_error);
    if ![Some(libc::ENOTSUP), Some(libc::ENOTTY)].contains(&number) {
        return synced;
    }
    // SAFETY: takes no memory, and the descriptor is open for the call.
    crate::base::errno::retry(|| match unsafe { libc::fsync(file.as_raw_fd()) } {
        0 => Ok(()),
        _ => Err(io::Error::last_os_error()),
    })
}

#[cfg(not(target_os = "macos"))]
pub(crate) fn or_as_far_as_it_goes(_: &File, synced: io::Result<()>) -> io::Result<()> {
    synced
}

/// What is read and written through this open file goes by the page cache from now on.
#[cfg(target_os = "macos")]
pub(crate) fn set_no_cache(fd: BorrowedFd<'_>) -> io::Result<()> {
    use std::os::fd::AsRawFd;
    // SAFETY: takes no memory, and the descriptor is open for the call.
    match unsafe { libc::fcntl(fd.as_raw_fd(), libc::F_NOCACHE, 1) } {
        -1 => Err(io::Error::last_os_error()),
        _ => Ok(()),
    }
}
