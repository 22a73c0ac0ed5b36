//! File attributes, the same on every platform.
#![allow(
    clippy::unnecessary_cast,
    reason = "the type bits have another width on other systems"
)]

use std::fs;
use std::os::unix::fs::MetadataExt;

/// A moment as the kernel gives it.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, PartialOrd, Ord)]
pub(crate) struct Stamp {
    pub(crate) seconds: i64,
    pub(crate) nanos: u32,
}

impl Stamp {
    /// In nanoseconds; zero before 1970.
    pub(crate) fn ns(self) -> u64 {
        let seconds = u64::try_from(self.seconds).unwrap_or(0);
        seconds.saturating_mul(1_000_000_000) + u64::from(self.nanos)
    }
}

/// How attributes are asked for.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub(crate) struct How {
    /// Bits of `STATX_*` for more than the basic attributes.
    pub(crate) mask: u32,
    pub(crate) sync: Sync,
}

/// Whether a filesystem with a server asks it.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub(crate) enum Sync {
    /// As `stat` does: what the filesystem holds for fresh enough.
    #[default]
    AsStat,
    /// Always.
    Force,
    /// Never.
    Never,
}

/// The attributes of a file.
#[derive(Clone, Debug, Default)]
pub(crate) struct Stat {
    pub(crate) mode: u32,
    pub(crate) nlink: u64,
    pub(crate) uid: u32,
    pub(crate) gid: u32,
    pub(crate) ino: u64,
    pub(crate) size: u64,
    pub(crate) blocks: u64,
    pub(crate) blksize: u64,
    pub(crate) dev: u64,
    pub(crate) rdev: u64,
    pub(crate) accessed: Stamp,
    pub(crate) modified: Stamp,
    pub(crate) changed: Stamp,
    pub(crate) created: Option<Stamp>,
    /// The unique id of the mount, zero where the kernel (before 6.8) does not say.
    pub(crate) mount_id: u64,
    /// Whether its content is elsewhere, and is fetched when somebody reads it.
    pub(crate) dataless: bool,
    pub(crate) more: More,
}

/// Bits of the kernel's `statx` that the facade names; the numbers are the kernel's on every system.
pub(crate) mod bits {
    pub(crate) const MOUNT_ID: u32 = 0x1000;
    pub(crate) const DIRECT_ALIGN: u32 = 0x2000;
    pub(crate) const SUBVOLUME: u32 = 0x8000;
    pub(crate) const ATOMIC_WRITE: u32 = 0x10000;

    pub(crate) const ATTR_COMPRESSED: u64 = 0x4;
    pub(crate) const ATTR_IMMUTABLE: u64 = 0x10;
    pub(crate) const ATTR_APPEND: u64 = 0x20;
    pub(crate) const ATTR_ENCRYPTED: u64 = 0x800;
    pub(crate) const ATTR_MOUNT_ROOT: u64 = 0x2000;
    pub(crate) const ATTR_VERITY: u64 = 0x10_0000;
    pub(crate) const ATTR_DAX: u64 = 0x20_0000;
}

/// What only Linux tells, and only who asks for it.
#[derive(Clone, Copy, Debug, Default)]
pub(crate) struct More {
    /// Bits of `STATX_*`: which fields the filesystem filled in. Zero on other systems.
    pub(crate) mask: u32,
    /// Bits of `STATX_ATTR_*`, and which of them the filesystem knows.
    pub(crate) attributes: u64,
    pub(crate) attributes_mask: u64,
    /// A mount id that may be used again after an unmount (Linux 5.8 to 6.7).
    pub(crate) reused_mount_id: u64,
    pub(crate) direct_memory_align: u32,
    pub(crate) direct_offset_align: u32,
    pub(crate) subvolume: u64,
    pub(crate) atomic_write_min: u32,
    pub(crate) atomic_write_max: u32,
}

/// The bits of the mode that say what kind of file it is.
pub(crate) const TYPE_MASK: u32 = libc::S_IFMT as u32;

/// The type bits of each kind of file.
pub(crate) mod kind {
    pub(crate) const BLOCK: u32 = libc::S_IFBLK as u32;
    pub(crate) const CHARACTER: u32 = libc::S_IFCHR as u32;
    pub(crate) const DIRECTORY: u32 = libc::S_IFDIR as u32;
    pub(crate) const FIFO: u32 = libc::S_IFIFO as u32;
    pub(crate) const FILE: u32 = libc::S_IFREG as u32;
    pub(crate) const SOCKET: u32 = libc::S_IFSOCK as u32;
    pub(crate) const SYMLINK: u32 = libc::S_IFLNK as u32;
}

impl Stat {
    pub(crate) fn type_bits(&self) -> u32 {
        self.mode & TYPE_MASK
    }

    pub(crate) fn is_file(&self) -> bool {
        self.type_bits() == kind::FILE
    }

    /// Whether reading, writing or opening it may wait for something other than a disk: pipes, sockets, devices
    /// of characters, and what the kernel makes without a type, as for events, timers and signals.
    pub(crate) fn is_special(&self) -> bool {
        match self.type_bits() {
            kind::FIFO | kind::SOCKET | kind::CHARACTER => true,
            0 => self.mode != 0,
            _ => false,
        }
    }

    /// Whether it is one of the devices that are nothing but memory, such as `/dev/null`.
    #[cfg(target_os = "linux")]
    pub(crate) fn is_memory_device(&self) -> bool {
        self.type_bits() == kind::CHARACTER && libc::major(self.rdev) == 1
    }

    /// Whether it is the terminal of a program, behind which there is no line that takes time.
    #[cfg(target_os = "linux")]
    pub(crate) fn is_pseudo_terminal(&self) -> bool {
        self.type_bits() == kind::CHARACTER && (136..144).contains(&libc::major(self.rdev))
    }

    /// Whether what it has on disk is of a kind that is read when it is opened: the tree of a verified file, the key of
    /// an encrypted one.
    pub(crate) fn is_read_at_open(&self) -> bool {
        self.more.attributes & (bits::ATTR_ENCRYPTED | bits::ATTR_VERITY) != 0
    }

    /// Whether it is a pipe or a socket.
    pub(crate) fn is_pipe(&self) -> bool {
        matches!(self.type_bits(), kind::FIFO | kind::SOCKET)
    }

    pub(crate) fn is_link(&self) -> bool {
        self.type_bits() == kind::SYMLINK
    }

    pub(crate) fn is_dir(&self) -> bool {
        self.type_bits() == kind::DIRECTORY
    }
}

/// Without the time of creation, which systems have in different places or not at all.
impl From<libc::stat> for Stat {
    fn from(raw: libc::stat) -> Stat {
        Stat {
            mode: raw.st_mode as u32,
            nlink: raw.st_nlink as u64,
            uid: raw.st_uid,
            gid: raw.st_gid,
            ino: raw.st_ino as u64,
            size: raw.st_size as u64,
            blocks: raw.st_blocks as u64,
            blksize: raw.st_blksize as u64,
            dev: raw.st_dev as u64,
            rdev: raw.st_rdev as u64,
            accessed: Stamp {
                seconds: raw.st_atime as i64,
                nanos: raw.st_atime_nsec as u32,
            },
            modified: Stamp {
                seconds: raw.st_mtime as i64,
                nanos: raw.st_mtime_nsec as u32,
            },
            changed: Stamp {
                seconds: raw.st_ctime as i64,
                nanos: raw.st_ctime_nsec as u32,
            },
            #[cfg(target_os = "macos")]
            dataless: raw.st_flags & SF_DATALESS != 0,
            ..Stat::default()
        }
    }
}

/// The flag of a file whose content is elsewhere.
#[cfg(target_os = "macos")]
const SF_DATALESS: u32 = 0x4000_0000;

impl From<fs::Metadata> for Stat {
    fn from(metadata: fs::Metadata) -> Stat {
        Stat {
            mode: metadata.mode(),
            nlink: metadata.nlink(),
            uid: metadata.uid(),
            gid: metadata.gid(),
            ino: metadata.ino(),
            size: metadata.size(),
            blocks: metadata.blocks(),
            blksize: metadata.blksize(),
            dev: metadata.dev(),
            rdev: metadata.rdev(),
            accessed: Stamp {
                seconds: metadata.atime(),
                nanos: metadata.atime_nsec() as u32,
            },
            modified: Stamp {
                seconds: metadata.mtime(),
                nanos: metadata.mtime_nsec() as u32,
            },
            changed: Stamp {
                seconds: metadata.ctime(),
                nanos: metadata.ctime_nsec() as u32,
            },
            created: metadata.created().ok().map(|time| {
                match time.duration_since(std::time::UNIX_EPOCH) {
                    Ok(after) => Stamp {
                        seconds: after.as_secs() as i64,
                        nanos: after.subsec_nanos(),
                    },
                    Err(before) => {
                        let before = before.duration();
                        let borrow = i64::from(before.subsec_nanos() != 0);
                        Stamp {
                            seconds: -(before.as_secs() as i64) - borrow,
                            nanos: (1_000_000_000 - before.subsec_nanos()) % 1_000_000_000,
                        }
                    }
                }
            }),
            mount_id: 0,
            #[cfg(target_os = "macos")]
            dataless: std::os::macos::fs::MetadataExt::st_flags(&metadata) & SF_DATALESS != 0,
            #[cfg(not(target_os = "macos"))]
            dataless: false,
            more: More::default(),
        }
    }
}
