//! What is mounted, by unique mount id (Linux 6.8).
#![allow(unsafe_code, reason = "calls statmount and reads its structure")]

use std::ffi::{CStr, OsString};
use std::io;
use std::os::unix::ffi::OsStringExt;
use std::path::PathBuf;

use super::statx::device;

pub(super) const SYS_STATMOUNT: libc::c_long = 457;
const SB_BASIC: u64 = 0x1;
const MNT_BASIC: u64 = 0x2;
const MNT_POINT: u64 = 0x10;
const FS_TYPE: u64 = 0x20;
/// From 6.11 on; before, the table has it.
const FS_SUBTYPE: u64 = 0x100;

const ATTR_NOATIME: u64 = 0x10;
const ATTR_STRICT_ATIME: u64 = 0x20;

/// Size of the fixed part of the kernel's structure, and so where its strings start.
const FIXED_BYTES: usize = 512;

#[repr(C)]
struct Request {
    size: u32,
    spare: u32,
    mount_id: u64,
    mask: u64,
}

#[repr(C, align(8))]
struct Reply([u8; 8192]);

/// A mount as the kernel describes it.
#[derive(Clone, Debug)]
pub(crate) struct Description {
    /// The classic id, as in `/proc/self/mountinfo`.
    pub(crate) classic_id: u64,
    /// Of the filesystem; on btrfs, files have others.
    pub(crate) device: u64,
    pub(crate) magic: u64,
    /// With the subtype where the kernel tells it, as in `fuse.sshfs`.
    pub(crate) fs_type: String,
    pub(crate) mount_point: PathBuf,
    pub(crate) no_atime: bool,
    pub(crate) strict_atime: bool,
}

impl Reply {
    fn u32_at(&self, at: usize) -> u32 {
        u32::from_ne_bytes(self.0[at..at + 4].try_into().expect("four bytes"))
    }

    fn u64_at(&self, at: usize) -> u64 {
        u64::from_ne_bytes(self.0[at..at + 8].try_into().expect("eight bytes"))
    }

    fn fs_type(&self) -> String {
        let fs_type = String::from_utf8_lossy(self.string_at(36));
        if self.u64_at(8) & FS_SUBTYPE == 0 {
            return fs_type.into_owned();
        }
        format!("{fs_type}.{}", String::from_utf8_lossy(self.string_at(120)))
    }

    fn string_at(&self, at: usize) -> &[u8] {
        let start = FIXED_BYTES + self.u32_at(at) as usize;
        let rest = self.0.get(start..).unwrap_or_default();
        CStr::from_bytes_until_nul(rest).map_or(&[], CStr::to_bytes)
    }
}

/// Describes a mount. Looks only at memory, but takes the lock of the mount table: not for a poll.
pub(crate) fn describe(mount_id: u64) -> io::Result<Description> {
    let request = Request {
        size: 24,
        spare: 0,
        mount_id,
        mask: SB_BASIC | MNT_BASIC | MNT_POINT | FS_TYPE | FS_SUBTYPE,
    };
    let mut reply = Box::new(Reply([0; 8192]));
    // SAFETY: the request is the structure of the size it states, the reply has the size given.
    let result = unsafe {
        libc::syscall(
            SYS_STATMOUNT,
            &raw const request,
            &raw mut *reply,
            size_of::<Reply>(),
            0,
        )
    };
    if result < 0 {
        return Err(io::Error::last_os_error());
    }
    let attributes = reply.u64_at(64);
    Ok(Description {
        classic_id: u64::from(reply.u32_at(56)),
        device: device(reply.u32_at(16), reply.u32_at(20)),
        magic: reply.u64_at(24),
        fs_type: reply.fs_type(),
        mount_point: PathBuf::from(OsString::from_vec(reply.string_at(108).to_vec())),
        no_atime: attributes & ATTR_NOATIME != 0,
        strict_atime: attributes & ATTR_STRICT_ATIME != 0,
    })
}

/// Superblock magic numbers (linux/magic.h and the filesystems' own headers).
pub(crate) mod magic {
    pub(crate) const BTRFS: u64 = 0x9123_683e;
    pub(crate) const EXT4: u64 = 0xef53;
    pub(crate) const TMPFS: u64 = 0x0102_1994;
    pub(crate) const XFS: u64 = 0x5846_5342;
}
