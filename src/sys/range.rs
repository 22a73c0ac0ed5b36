//! What can be done with a range of a file, in the numbers of each system.
#![allow(unsafe_code, reason = "makes the calls that nix lacks on some systems")]

use std::io;
use std::os::fd::BorrowedFd;

#[cfg(target_os = "linux")]
use crate::base::errno::retry;

/// What [`File::allocate`](crate::fs::File::allocate) does with a range of a file.
///
/// See [`File::allocate`](crate::fs::File::allocate).
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Hash)]
#[non_exhaustive]
pub enum Space {
    /// Takes the range out: what is behind it moves forward (FALLOC_FL_COLLAPSE_RANGE). Offset and length
    /// must be multiples of the filesystem's block, and the range must end before the file does.
    Collapse,
    /// Puts zeros in: what is behind the offset moves back (FALLOC_FL_INSERT_RANGE). Offset and length must be
    /// multiples of the filesystem's block, and the offset must be before the end of the file.
    Insert,
    /// Frees the range, which then reads as zeros; the length of the file stays
    /// (FALLOC_FL_PUNCH_HOLE).
    PunchHole,
    /// Reserves space, so that writing in the range cannot run out of it; the length of the file stays
    /// (FALLOC_FL_KEEP_SIZE). A writer that gives up then leaves no zeros behind at the end: the default.
    #[default]
    Reserve,
    /// Reserves space; the file grows, with zeros, if the range ends beyond it.
    ReserveExtend,
    /// Makes the range read as zeros, without writing them where the filesystem can; the length of
    /// the file stays (FALLOC_FL_ZERO_RANGE).
    Zero,
    /// The same, and the file grows if the range ends beyond it.
    ZeroExtend,
}

impl Space {
    /// The mode of `fallocate(2)`.
    #[cfg(target_os = "linux")]
    pub(crate) fn mode(self) -> i32 {
        use libc::{
            FALLOC_FL_COLLAPSE_RANGE, FALLOC_FL_INSERT_RANGE, FALLOC_FL_KEEP_SIZE,
            FALLOC_FL_PUNCH_HOLE, FALLOC_FL_ZERO_RANGE,
        };
        match self {
            Space::Collapse => FALLOC_FL_COLLAPSE_RANGE,
            Space::Insert => FALLOC_FL_INSERT_RANGE,
            Space::PunchHole => FALLOC_FL_PUNCH_HOLE | FALLOC_FL_KEEP_SIZE,
            Space::Reserve => FALLOC_FL_KEEP_SIZE,
            Space::ReserveExtend => 0,
            Space::Zero => FALLOC_FL_ZERO_RANGE | FALLOC_FL_KEEP_SIZE,
            Space::ZeroExtend => FALLOC_FL_ZERO_RANGE,
        }
    }
}

/// `fallocate(2)`, or what the system has of it.
pub(crate) fn allocate(fd: BorrowedFd<'_>, offset: u64, length: u64, how: Space) -> io::Result<()> {
    let (offset, length) = (offset as libc::off_t, length as libc::off_t);
    #[cfg(target_os = "linux")]
    {
        let mode = nix::fcntl::FallocateFlags::from_bits_retain(how.mode());
        retry(|| Ok(nix::fcntl::fallocate(fd, mode, offset, length)?))
    }
    #[cfg(target_os = "freebsd")]
    if how == Space::ReserveExtend {
        return Ok(nix::fcntl::posix_fallocate(fd, offset, length)?);
    }
    #[cfg(not(target_os = "linux"))]
    {
        let _ = (fd, offset, length, how);
        Err(crate::base::errno::unsupported())
    }
}

/// How a range of a file will be used: what [`File::advise`](crate::fs::File::advise) tells.
///
/// See [`File::advise`](crate::fs::File::advise).
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
#[non_exhaustive]
pub enum Advice {
    /// Not again soon: pages that are clean leave the page cache.
    DontNeed,
    /// Just once.
    NoReuse,
    /// Nothing is known: the default of every file. Holds for the whole file.
    Normal,
    /// Here and there: nothing is read ahead. Holds for the whole file.
    Random,
    /// From lower to higher offsets: much is read ahead. Holds for the whole file.
    Sequential,
    /// Soon: reading it into the page cache begins.
    WillNeed,
}

#[cfg(not(target_os = "macos"))]
impl Advice {
    /// The number of `posix_fadvise(2)`.
    pub(crate) fn number(self) -> i32 {
        match self {
            Advice::DontNeed => libc::POSIX_FADV_DONTNEED,
            Advice::NoReuse => libc::POSIX_FADV_NOREUSE,
            Advice::Normal => libc::POSIX_FADV_NORMAL,
            Advice::Random => libc::POSIX_FADV_RANDOM,
            Advice::Sequential => libc::POSIX_FADV_SEQUENTIAL,
            Advice::WillNeed => libc::POSIX_FADV_WILLNEED,
        }
    }
}

/// `posix_fadvise(2)`.
#[cfg(not(target_os = "macos"))]
pub(crate) fn advise(
    fd: BorrowedFd<'_>,
    offset: u64,
    length: u64,
    advice: Advice,
) -> io::Result<()> {
    use std::os::fd::AsRawFd;
    let (offset, length) = (offset as libc::off_t, length as libc::off_t);
    // SAFETY: takes no memory, and the descriptor is open for the call.
    match unsafe { libc::posix_fadvise(fd.as_raw_fd(), offset, length, advice.number()) } {
        0 => Ok(()),
        number => Err(io::Error::from_raw_os_error(number)),
    }
}

#[cfg(target_os = "macos")]
pub(crate) fn advise(_: BorrowedFd<'_>, _: u64, _: u64, _: Advice) -> io::Result<()> {
    Err(crate::base::errno::unsupported())
}

/// How far [`File::sync_range`](crate::fs::File::sync_range) goes.
///
/// See [`File::sync_range`](crate::fs::File::sync_range).
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
#[non_exhaustive]
pub enum Writeback {
    /// Begins to write what is dirty, waits for it, and tells of errors (all three flags).
    Complete,
    /// Begins to write what is dirty and not being written yet (SYNC_FILE_RANGE_WRITE). This may take as
    /// long as the disk is busy.
    Start,
    /// Waits for what is being written, and tells of errors (SYNC_FILE_RANGE_WAIT_BEFORE).
    Wait,
}

#[cfg(target_os = "linux")]
impl Writeback {
    /// The flags of `sync_file_range(2)`.
    pub(crate) fn flags(self) -> u32 {
        use libc::{
            SYNC_FILE_RANGE_WAIT_AFTER, SYNC_FILE_RANGE_WAIT_BEFORE, SYNC_FILE_RANGE_WRITE,
        };
        match self {
            Writeback::Complete => {
                SYNC_FILE_RANGE_WAIT_BEFORE | SYNC_FILE_RANGE_WRITE | SYNC_FILE_RANGE_WAIT_AFTER
            }
            Writeback::Start => SYNC_FILE_RANGE_WRITE,
            Writeback::Wait => SYNC_FILE_RANGE_WAIT_BEFORE,
        }
    }
}

/// `sync_file_range(2)`.
#[cfg(target_os = "linux")]
pub(crate) fn sync_range(
    fd: BorrowedFd<'_>,
    offset: u64,
    length: u64,
    how: Writeback,
) -> io::Result<()> {
    use std::os::fd::AsRawFd;
    let (offset, length) = (offset as libc::off_t, length as libc::off_t);
    // SAFETY: takes no memory, and the descriptor is open for the call.
    retry(
        || match unsafe { libc::sync_file_range(fd.as_raw_fd(), offset, length, how.flags()) } {
            0 => Ok(()),
            _ => Err(io::Error::last_os_error()),
        },
    )
}

#[cfg(not(target_os = "linux"))]
pub(crate) fn sync_range(_: BorrowedFd<'_>, _: u64, _: u64, _: Writeback) -> io::Result<()> {
    Err(crate::base::errno::unsupported())
}
