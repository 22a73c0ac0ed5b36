//! The kernel's `struct statx`, whole; libc's lacks it on some targets.
#![allow(unsafe_code, reason = "calls statx and reads what the kernel wrote")]

use std::cell::UnsafeCell;
use std::ffi::CStr;
use std::io;
use std::os::fd::{AsRawFd, BorrowedFd};

use crate::base::errno::retry;
use crate::sys::stat::{How, More, Stamp, Stat, Sync, bits};

#[repr(C)]
#[derive(Clone, Copy)]
struct RawStamp {
    seconds: i64,
    nanos: u32,
    reserved: i32,
}

#[repr(C)]
#[derive(Clone, Copy)]
struct RawStatx {
    mask: u32,
    blksize: u32,
    attributes: u64,
    nlink: u32,
    uid: u32,
    gid: u32,
    mode: u16,
    spare0: u16,
    ino: u64,
    size: u64,
    blocks: u64,
    attributes_mask: u64,
    accessed: RawStamp,
    created: RawStamp,
    changed: RawStamp,
    modified: RawStamp,
    rdev_major: u32,
    rdev_minor: u32,
    dev_major: u32,
    dev_minor: u32,
    mount_id: u64,
    dio_mem_align: u32,
    dio_offset_align: u32,
    subvolume: u64,
    atomic_write_unit_min: u32,
    atomic_write_unit_max: u32,
    spare: [u64; 10],
}

const _: () = assert!(size_of::<RawStatx>() == 256);

const BASIC: u32 = 0x7ff;
const BTIME: u32 = 0x800;
const MNT_ID_UNIQUE: u32 = 0x4000;

/// What is asked for: the basic attributes, the time of creation and the unique mount id.
pub(crate) const MASK: u32 = BASIC | BTIME | MNT_ID_UNIQUE;

/// The alignment that direct I/O on a file needs, in bytes.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) struct DirectAlign {
    pub(crate) memory: u32,
    pub(crate) offset: u32,
}

/// Memory for the kernel to write a `statx` result into, at an address of its own.
pub(crate) struct StatxBuf(Box<UnsafeCell<RawStatx>>);

impl StatxBuf {
    pub(crate) fn new() -> StatxBuf {
        // SAFETY: every field is an integer, for which zero is a value.
        StatxBuf(Box::new(UnsafeCell::new(unsafe { std::mem::zeroed() })))
    }

    pub(crate) fn as_ptr(&self) -> *mut u8 {
        self.0.get().cast()
    }

    /// The attributes; only after the kernel is done with the memory.
    pub(crate) fn stat(self) -> Stat {
        (*self.0).into_inner().into()
    }
}

pub(super) fn device(major: u32, minor: u32) -> u64 {
    libc::makedev(major, minor) as u64
}

impl From<RawStamp> for Stamp {
    fn from(raw: RawStamp) -> Stamp {
        Stamp {
            seconds: raw.seconds,
            nanos: raw.nanos,
        }
    }
}

impl From<RawStatx> for Stat {
    fn from(raw: RawStatx) -> Stat {
        Stat {
            mode: u32::from(raw.mode),
            nlink: u64::from(raw.nlink),
            uid: raw.uid,
            gid: raw.gid,
            ino: raw.ino,
            size: raw.size,
            blocks: raw.blocks,
            blksize: u64::from(raw.blksize),
            dev: device(raw.dev_major, raw.dev_minor),
            rdev: device(raw.rdev_major, raw.rdev_minor),
            accessed: raw.accessed.into(),
            modified: raw.modified.into(),
            changed: raw.changed.into(),
            created: (raw.mask & BTIME != 0).then(|| raw.created.into()),
            mount_id: if raw.mask & MNT_ID_UNIQUE != 0 {
                raw.mount_id
            } else {
                0
            },
            dataless: false,
            more: More {
                mask: raw.mask,
                attributes: raw.attributes,
                attributes_mask: raw.attributes_mask,
                reused_mount_id: if raw.mask & bits::MOUNT_ID != 0 {
                    raw.mount_id
                } else {
                    0
                },
                direct_memory_align: raw.dio_mem_align,
                direct_offset_align: raw.dio_offset_align,
                subvolume: raw.subvolume,
                atomic_write_min: raw.atomic_write_unit_min,
                atomic_write_max: raw.atomic_write_unit_max,
            },
        }
    }
}

fn call(dirfd: i32, path: &CStr, flags: i32, mask: u32) -> io::Result<RawStatx> {
    let mut raw = std::mem::MaybeUninit::<RawStatx>::zeroed();
    retry(|| {
        let (path, into) = (path.as_ptr(), raw.as_mut_ptr());
        // SAFETY: the path is terminated, and the result has the 256 bytes of the kernel's structure.
        let result = unsafe { libc::syscall(libc::SYS_statx, dirfd, path, flags, mask, into) };
        match result {
            0.. => Ok(()),
            _ => Err(io::Error::last_os_error()),
        }
    })?;
    // SAFETY: zeroed at first, and every field is an integer.
    Ok(unsafe { raw.assume_init() })
}

/// The attributes of an open file as the filesystem has them in memory: it never asks a server, so on
/// FUSE and network filesystems they may be old. On local filesystems they are exact.
pub(crate) fn of_fd_in_memory(fd: BorrowedFd<'_>, mask: u32) -> io::Result<Stat> {
    let flags = libc::AT_EMPTY_PATH | libc::AT_STATX_DONT_SYNC;
    call(fd.as_raw_fd(), c"", flags, mask).map(Stat::from)
}

/// The flags and the mask of a call.
pub(crate) fn words(follow: bool, how: How) -> (i32, u32) {
    let links = if follow { 0 } else { libc::AT_SYMLINK_NOFOLLOW };
    let sync = match how.sync {
        Sync::AsStat => libc::AT_STATX_SYNC_AS_STAT,
        Sync::Force => libc::AT_STATX_FORCE_SYNC,
        Sync::Never => libc::AT_STATX_DONT_SYNC,
    };
    (links | sync, MASK | how.mask)
}

/// The attributes of a path; blocking.
pub(crate) fn of_path(
    dir: BorrowedFd<'_>,
    path: &CStr,
    follow: bool,
    how: How,
) -> io::Result<Stat> {
    let (flags, mask) = words(follow, how);
    call(dir.as_raw_fd(), path, flags, mask).map(Stat::from)
}

/// The attributes of a name in an open directory; mounts nothing; blocking.
pub(crate) fn of_name(
    dir: BorrowedFd<'_>,
    name: &CStr,
    follow: bool,
    how: How,
) -> io::Result<Stat> {
    let (flags, mask) = words(follow, how);
    let flags = flags | libc::AT_NO_AUTOMOUNT;
    call(dir.as_raw_fd(), name, flags, mask).map(Stat::from)
}

/// Asks for the attributes at a path, of the server where there is one; mounts nothing; blocking.
pub(crate) fn ask(path: &CStr) -> io::Result<()> {
    let flags = libc::AT_STATX_FORCE_SYNC | libc::AT_SYMLINK_NOFOLLOW | libc::AT_NO_AUTOMOUNT;
    call(libc::AT_FDCWD, path, flags, BASIC).map(drop)
}

/// The attributes of an open file; blocking.
pub(crate) fn of_fd(fd: BorrowedFd<'_>, how: How) -> io::Result<Stat> {
    let (flags, mask) = words(true, how);
    call(fd.as_raw_fd(), c"", flags | libc::AT_EMPTY_PATH, mask).map(Stat::from)
}

/// The same without its times and what only some filesystems tell; blocking. Who has asked for a file's times has the
/// next write give it new ones at once (Linux 6.13), and not with the next tick.
pub(crate) fn without_times(fd: BorrowedFd<'_>) -> io::Result<Stat> {
    const TIMES: u32 = 0x20 | 0x40 | 0x80;
    let flags = libc::AT_EMPTY_PATH;
    call(fd.as_raw_fd(), c"", flags, BASIC & !TIMES).map(Stat::from)
}

/// The alignment for direct I/O on a file, or in a directory on files that are made there, where the
/// filesystem says; blocking. A directory is asked through a file without a name.
pub(crate) fn direct_align(path: &CStr) -> io::Result<Option<DirectAlign>> {
    let asked = call(libc::AT_FDCWD, path, 0, bits::DIRECT_ALIGN)?;
    if let Some(align) = asked.direct_align() {
        return Ok(Some(align));
    }
    let flags =
        nix::fcntl::OFlag::O_TMPFILE | nix::fcntl::OFlag::O_RDWR | nix::fcntl::OFlag::O_CLOEXEC;
    match nix::fcntl::open(path, flags, nix::sys::stat::Mode::S_IRUSR) {
        Ok(file) => Ok(call(
            file.as_raw_fd(),
            c"",
            libc::AT_EMPTY_PATH,
            bits::DIRECT_ALIGN,
        )?
        .direct_align()),
        // Not a directory, or not one to make files in.
        Err(_) => Ok(None),
    }
}

impl RawStatx {
    fn direct_align(&self) -> Option<DirectAlign> {
        let told = self.mask & bits::DIRECT_ALIGN != 0 && self.dio_offset_align != 0;
        told.then_some(DirectAlign {
            memory: self.dio_mem_align,
            offset: self.dio_offset_align,
        })
    }
}
