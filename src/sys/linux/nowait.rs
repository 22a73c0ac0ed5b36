//! Calls that cannot sleep on storage, under the conditions in `docs/design/polls.md`.
#![allow(
    unsafe_code,
    reason = "makes the system calls that libc has no functions for"
)]

use std::ffi::CStr;
use std::io;
use std::os::fd::{AsRawFd, BorrowedFd, OwnedFd};

use nix::fcntl::AT_FDCWD;
use tokio::io::ReadBuf;

use super::openat2::{OpenHow, openat2};
use crate::mem::IoBufMut;

const RESOLVE_CACHED: u64 = 0x20;
pub(super) const SYS_CACHESTAT: libc::c_long = 451;

/// Opens a path, from an open directory if one is given and under restrictions on the way, if all that it takes is in
/// memory; `EAGAIN` if not.
fn open_cached(
    dir: Option<BorrowedFd<'_>>,
    path: &CStr,
    flags: i32,
    resolve: u64,
) -> io::Result<OwnedFd> {
    let how = OpenHow::new(flags | libc::O_CLOEXEC, 0, resolve | RESOLVE_CACHED);
    openat2(dir.unwrap_or(AT_FDCWD), path, &how)
}

/// Opens it so without access to its content.
pub(crate) fn open_path_cached(
    dir: Option<BorrowedFd<'_>>,
    path: &CStr,
    follow: bool,
    resolve: u64,
) -> io::Result<OwnedFd> {
    let link = if follow { 0 } else { libc::O_NOFOLLOW };
    open_cached(dir, path, libc::O_PATH | link, resolve)
}

/// Opens it so for reading. `flags` are added to read-only.
pub(crate) fn open_read_cached(
    dir: Option<BorrowedFd<'_>>,
    path: &CStr,
    flags: i32,
    resolve: u64,
) -> io::Result<OwnedFd> {
    let flags = libc::O_RDONLY | libc::O_NONBLOCK | flags;
    open_cached(dir, path, flags, resolve)
}

/// Takes back the O_NONBLOCK that [`open_read_cached`] adds against lease breaks, of what was opened with these flags.
pub(crate) fn clear_nonblock(fd: BorrowedFd<'_>, flags: i32) -> io::Result<()> {
    let kept = flags & (libc::O_DIRECT | libc::O_NOATIME);
    // SAFETY: takes no memory.
    let result = unsafe { libc::fcntl(fd.as_raw_fd(), libc::F_SETFL, kept) };
    if result < 0 {
        Err(io::Error::last_os_error())
    } else {
        Ok(())
    }
}

/// What the page cache has of a file range, in pages.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub(crate) struct Pages {
    /// Also those that are still being read.
    pub(crate) cached: u64,
    pub(crate) dirty: u64,
    pub(crate) writeback: u64,
}

/// The smallest that the kernel calls a page.
pub(crate) const PAGE_BYTES: u64 = 4096;

/// Looks at the page cache, page by page: what it costs grows with the pages that are there.
pub(crate) fn pages(fd: BorrowedFd<'_>, offset: u64, length: u64) -> io::Result<Pages> {
    let range = [offset, length];
    let mut counts = [0u64; 5];
    // SAFETY: the range is two 64-bit numbers, the result five.
    let result = unsafe {
        libc::syscall(
            SYS_CACHESTAT,
            fd.as_raw_fd(),
            range.as_ptr(),
            counts.as_mut_ptr(),
            0,
        )
    };
    if result < 0 {
        return Err(io::Error::last_os_error());
    }
    let [cached, dirty, writeback, ..] = counts;
    Ok(Pages {
        cached,
        dirty,
        writeback,
    })
}

/// An option of a socket, of the type that it has; `None` where it cannot be told.
fn option<T>(fd: BorrowedFd<'_>, name: libc::c_int, mut value: T) -> Option<T> {
    let mut length = size_of::<T>() as libc::socklen_t;
    // SAFETY: the value has room for so many bytes, and any bytes make one of the types that this is called with.
    let result = unsafe {
        libc::getsockopt(
            fd.as_raw_fd(),
            libc::SOL_SOCKET,
            name,
            (&raw mut value).cast(),
            &raw mut length,
        )
    };
    (result == 0).then_some(value)
}

/// Whether closing a socket may wait until what was sent has arrived; also where that cannot be told.
pub(crate) fn lingers(fd: BorrowedFd<'_>) -> bool {
    // On, and for how long.
    option(fd, libc::SO_LINGER, [0; 2]).is_none_or(|[on, _]: [libc::c_int; 2]| on != 0)
}

/// Whether a read or write of a socket waits until there is anything or room, and neither for a time of its own nor
/// for more than a byte.
pub(crate) fn waits_plainly(fd: BorrowedFd<'_>) -> bool {
    let never = |name| option(fd, name, [0; 2]) == Some([0 as libc::c_long; 2]);
    never(libc::SO_RCVTIMEO)
        && never(libc::SO_SNDTIMEO)
        && option(fd, libc::SO_RCVLOWAT, 0) == Some(1 as libc::c_int)
}

/// Whether it is a terminal of which a read waits until there is what was asked for, and not for a time.
pub(crate) fn hands_out_what_comes(fd: BorrowedFd<'_>) -> bool {
    let mut settings = std::mem::MaybeUninit::<libc::termios>::uninit();
    // SAFETY: there is room for the settings.
    if unsafe { libc::tcgetattr(fd.as_raw_fd(), settings.as_mut_ptr()) } != 0 {
        return false;
    }
    // SAFETY: the call has succeeded, and filled them in.
    let settings = unsafe { settings.assume_init() };
    let is_by_line = settings.c_lflag & libc::ICANON != 0;
    is_by_line || settings.c_cc[libc::VMIN] > 0 && settings.c_cc[libc::VTIME] == 0
}

/// The unique id of the mount that a file was opened on, without asking its filesystem for attributes (Linux 6.12).
pub(crate) fn mount_id(fd: BorrowedFd<'_>) -> io::Result<u64> {
    const HANDLE_FID: libc::c_int = 0x200;
    const HANDLE_MNT_ID_UNIQUE: libc::c_int = 0x1;
    // No room for a handle, which is not wanted: the id comes all the same.
    let mut handle = [0u32; 2];
    let mut id = 0u64;
    // SAFETY: the path is terminated, the handle has its two numbers and no bytes behind, the id has 64 bits.
    let result = unsafe {
        libc::syscall(
            libc::SYS_name_to_handle_at,
            fd.as_raw_fd(),
            c"".as_ptr(),
            handle.as_mut_ptr(),
            &raw mut id,
            libc::AT_EMPTY_PATH | HANDLE_FID | HANDLE_MNT_ID_UNIQUE,
        )
    };
    let error = (result < 0).then(io::Error::last_os_error);
    match error {
        Some(error) if error.raw_os_error() != Some(libc::EOVERFLOW) => Err(error),
        _ if id == 0 => Err(io::ErrorKind::Unsupported.into()),
        _ => Ok(id),
    }
}

/// Reads what is in the page cache into the start of a buffer, at most `length` bytes. Only after
/// [`pages`] has said that all of it is.
pub(crate) fn read_cached(
    fd: BorrowedFd<'_>,
    buf: &mut impl IoBufMut,
    length: usize,
    offset: u64,
) -> io::Result<usize> {
    let length = length.min(buf.bytes_total());
    // SAFETY: `IoBufMut` promises that many writable bytes of anonymous memory.
    let read = unsafe { pread_cached(fd, buf.stable_mut_ptr(), length, offset) }?;
    // SAFETY: the kernel initialised `read` bytes.
    unsafe { buf.set_init(read) };
    Ok(read)
}

/// The same into a caller's memory, filled as far as it goes, for a caller that waits right here.
pub(crate) fn read_cached_into(
    fd: BorrowedFd<'_>,
    into: &mut ReadBuf<'_>,
    offset: u64,
) -> io::Result<usize> {
    // SAFETY: nothing is read from the slice, and what the kernel writes is initialised.
    let space = unsafe { into.unfilled_mut() };
    // SAFETY: the slice is writable for its length.
    let read = unsafe { pread_cached(fd, space.as_mut_ptr().cast(), space.len(), offset) }?;
    // SAFETY: the kernel initialised `read` bytes of the unfilled part.
    unsafe { into.assume_init(read) };
    into.advance(read);
    Ok(read)
}

/// # Safety
///
/// `buf` must be writable for `length` bytes.
unsafe fn pread_cached(
    fd: BorrowedFd<'_>,
    buf: *mut u8,
    length: usize,
    offset: u64,
) -> io::Result<usize> {
    let part = libc::iovec {
        iov_base: buf.cast(),
        iov_len: length,
    };
    // The kernel puts the position together from two longs, and where one holds all of it drops the other.
    let (low, high) = (offset as libc::c_ulong, (offset >> 32) as libc::c_ulong);
    // SAFETY: the caller vouches for the memory.
    let result = unsafe {
        libc::syscall(
            libc::SYS_preadv2,
            fd.as_raw_fd(),
            &raw const part,
            1,
            low,
            high,
            libc::RWF_NOWAIT,
        )
    };
    if result < 0 {
        Err(io::Error::last_os_error())
    } else {
        Ok(result as usize)
    }
}

/// Keeps this descriptor's reads from starting readahead, which can sleep, except where another reader has left
/// its mark.
pub(crate) fn no_readahead(fd: BorrowedFd<'_>) -> io::Result<()> {
    // SAFETY: takes no memory.
    match unsafe { libc::posix_fadvise(fd.as_raw_fd(), 0, 0, libc::POSIX_FADV_RANDOM) } {
        0 => Ok(()),
        number => Err(io::Error::from_raw_os_error(number)),
    }
}
