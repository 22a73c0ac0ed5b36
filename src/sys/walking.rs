//! What a walk asks the kernel: names by the buffer, attributes and directories relative to an open one.
#![allow(
    unsafe_code,
    reason = "lists a directory into memory of ours, and reads names where they lie"
)]

use std::cmp::Ordering;
use std::ffi::CStr;
use std::io;
#[cfg(target_os = "linux")]
use std::os::fd::{AsFd, AsRawFd};
use std::os::fd::{BorrowedFd, OwnedFd};

use nix::fcntl::OFlag;
use nix::sys::stat::Mode;

use super::stat::{How, Stamp, Stat};
use crate::base::errno::retry;

/// Where the name begins in an entry: after the inode number, the position, the length and the type, as the kernel
/// has them.
const HEAD: usize = 19;

/// Some names of a directory, as the kernel gave them.
#[derive(Debug)]
pub(crate) struct Names {
    bytes: Vec<u8>,
    /// Where each entry begins, in the order in which they are gone through; neither `.` nor `..`.
    order: Vec<u32>,
    /// Whether the directory has no more.
    pub(crate) at_end: bool,
    /// From where it goes on, for whoever opens the directory anew.
    pub(crate) position: i64,
}

/// One of them.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Name<'a> {
    pub(crate) name: &'a CStr,
    pub(crate) ino: u64,
    /// Type bits of the mode, where the filesystem gives them with the name.
    pub(crate) type_bits: Option<u32>,
}

impl Names {
    /// None yet of a directory.
    pub(crate) fn empty(capacity: usize) -> Names {
        Names {
            bytes: Vec::with_capacity(capacity),
            order: Vec::new(),
            at_end: false,
            position: 0,
        }
    }

    /// One alone.
    pub(crate) fn one(name: &CStr) -> Names {
        let mut names = Names::empty(HEAD + name.count_bytes() + 1);
        names.bytes.resize(HEAD, 0);
        names.bytes.extend_from_slice(name.to_bytes_with_nul());
        names.order.push(0);
        names.at_end = true;
        names
    }

    pub(crate) fn len(&self) -> usize {
        self.order.len()
    }

    pub(crate) fn get(&self, index: usize) -> Name<'_> {
        self.entry(self.order[index] as usize)
    }

    fn entry(&self, at: usize) -> Name<'_> {
        let name = CStr::from_bytes_until_nul(&self.bytes[at + HEAD..]);
        let kind = u32::from(self.bytes[at + 18]);
        Name {
            name: name.unwrap_or_default(),
            ino: u64::from_ne_bytes(self.bytes[at..at + 8].try_into().expect("eight bytes")),
            type_bits: (kind != 0).then_some(kind << 12),
        }
    }

    /// Orders them by the bytes of their names.
    pub(crate) fn sort_by_name(&mut self) {
        self.sort(|a, b| a.name.cmp(b.name));
    }

    /// Orders them as filesystems lay out what is known of files.
    pub(crate) fn sort_by_inode(&mut self) {
        let ino = |at: u32| {
            let at = at as usize;
            u64::from_ne_bytes(self.bytes[at..at + 8].try_into().expect("eight bytes"))
        };
        if !self.order.is_sorted_by_key(|&at| ino(at)) {
            let mut keyed: Vec<_> = self.order.iter().map(|&at| (ino(at), at)).collect();
            keyed.sort_unstable();
            self.order.clear();
            self.order.extend(keyed.into_iter().map(|(_, at)| at));
        }
    }

    fn sort(&mut self, compare: impl Fn(&Name<'_>, &Name<'_>) -> Ordering) {
        let mut order = std::mem::take(&mut self.order);
        order.sort_by(|&a, &b| compare(&self.entry(a as usize), &self.entry(b as usize)));
        self.order = order;
    }

    /// Notes the entries from there on; returns where the last of all begins.
    fn index(&mut self, mut at: usize) -> Option<usize> {
        let mut last = None;
        while at + HEAD < self.bytes.len() {
            let length = u16::from_ne_bytes([self.bytes[at + 16], self.bytes[at + 17]]);
            let name = &self.bytes[at + HEAD..];
            let is_dots = name[0] == b'.' && (name[1] == 0 || name[1] == b'.' && name[2] == 0);
            if !is_dots {
                self.order.push(at as u32);
            }
            last = Some(at);
            at += usize::from(length).max(HEAD + 1);
        }
        last
    }

    /// Memory for one more look at the directory.
    #[cfg(target_os = "linux")]
    fn fill(&mut self, dir: BorrowedFd<'_>, bytes: usize) -> io::Result<()> {
        let filled = self.bytes.len();
        self.bytes.reserve(bytes);
        let count = retry(|| {
            // SAFETY: the memory past what is filled is reserved, and is this vector's own.
            let count = unsafe {
                let into = self.bytes.as_mut_ptr().add(filled);
                libc::syscall(libc::SYS_getdents64, dir.as_raw_fd(), into, bytes)
            };
            match count {
                0.. => Ok(count as usize),
                _ => Err(io::Error::last_os_error()),
            }
        })?;
        // SAFETY: the kernel has written so many bytes there.
        unsafe { self.bytes.set_len(filled + count) };
        self.at_end = count == 0;
        // Also that of a dot: what comes after it is where the listing goes on.
        if let Some(last) = self.index(filled) {
            let at = last + 8;
            self.position =
                i64::from_ne_bytes(self.bytes[at..at + 8].try_into().expect("eight bytes"));
        }
        Ok(())
    }

    #[cfg(not(target_os = "linux"))]
    fn push(&mut self, entry: &super::listing::OpenEntry) {
        use std::os::unix::ffi::OsStrExt;
        let name = entry.name.as_bytes();
        let length = HEAD + name.len() + 1;
        self.bytes.extend_from_slice(&entry.ino.to_ne_bytes());
        self.bytes.extend_from_slice(&0i64.to_ne_bytes());
        self.bytes.extend_from_slice(&(length as u16).to_ne_bytes());
        self.bytes.push((entry.type_bits.unwrap_or(0) >> 12) as u8);
        self.bytes.extend_from_slice(name);
        self.bytes.push(0);
    }
}

/// The names that come next in an open directory; all that are left if `whole`. Asks between the calls whether to go on.
#[cfg(target_os = "linux")]
pub(crate) fn list(
    dir: BorrowedFd<'_>,
    bytes: usize,
    whole: bool,
    go_on: impl Fn() -> bool,
) -> io::Result<Names> {
    let mut names = Names::empty(bytes);
    loop {
        // The end of a small directory is found by a second call into what is left.
        let room = names.bytes.capacity() - names.bytes.len();
        let room = if room < bytes / 4 { bytes } else { room };
        match names.fill(dir, room) {
            // What was read is told first; the next call has the error again.
            Err(_) if names.len() > 0 => return Ok(names),
            filled => filled?,
        }
        let is_full = names.bytes.capacity() - names.bytes.len() < bytes / 4;
        if names.at_end || !whole && is_full || !go_on() {
            return Ok(names);
        }
    }
}

/// Elsewhere the C library keeps the position, so that all names are read at once.
#[cfg(not(target_os = "linux"))]
pub(crate) fn list(
    dir: BorrowedFd<'_>,
    bytes: usize,
    _whole: bool,
    go_on: impl Fn() -> bool,
) -> io::Result<Names> {
    let listing = super::listing::OpenListing::open(dir)?;
    let mut names = Names::empty(bytes);
    names.at_end = false;
    while !names.at_end && go_on() {
        let (batch, at_end) = listing.next_batch(bytes);
        names.at_end = at_end;
        for entry in batch {
            names.push(&entry?);
        }
    }
    names.at_end = true;
    let _ = names.index(0);
    Ok(names)
}

/// Goes on listing from a position that was told before.
#[cfg(target_os = "linux")]
pub(crate) fn seek(dir: BorrowedFd<'_>, position: i64) -> io::Result<()> {
    // SAFETY: moves the position of a descriptor that is open.
    match unsafe { libc::lseek(dir.as_raw_fd(), position, libc::SEEK_SET) } {
        -1 => Err(io::Error::last_os_error()),
        _ => Ok(()),
    }
    .map_err(|error| match stat_open(dir) {
        // ext4 does not know its own positions any more in a directory that was removed. A listing says this.
        Ok(there) if there.nlink == 0 => io::Error::from_raw_os_error(libc::ENOENT),
        _ => error,
    })
}

#[cfg(not(target_os = "linux"))]
pub(crate) fn seek(_dir: BorrowedFd<'_>, _position: i64) -> io::Result<()> {
    Ok(())
}

/// The working directory.
pub(crate) const HERE: BorrowedFd<'static> = nix::fcntl::AT_FDCWD;

/// How far a name may lead.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) struct Reach {
    /// Through a link at its end.
    pub(crate) follow: bool,
    /// To what is on the same mount alone. What is not is an error, EXDEV, and is not touched.
    pub(crate) same_mount: bool,
}

impl Reach {
    /// What has the name, and nothing behind it.
    pub(crate) const NAME: Reach = Reach {
        follow: false,
        same_mount: false,
    };
}

/// Opens a directory for listing.
pub(crate) fn open_dir(at: BorrowedFd<'_>, name: &CStr, reach: Reach) -> io::Result<OwnedFd> {
    let flags = OFlag::O_RDONLY | OFlag::O_DIRECTORY | OFlag::O_CLOEXEC | OFlag::O_NONBLOCK;
    let flags = if reach.follow {
        flags
    } else {
        flags | OFlag::O_NOFOLLOW
    };
    open(at, name, flags, reach.same_mount)
}

fn open(at: BorrowedFd<'_>, name: &CStr, flags: OFlag, same_mount: bool) -> io::Result<OwnedFd> {
    #[cfg(target_os = "linux")]
    if same_mount {
        use super::linux::calls::Call;
        use super::linux::openat2::{OpenHow, openat2};
        let how = OpenHow::new(flags.bits(), 0, libc::RESOLVE_NO_XDEV);
        match retry(|| openat2(at, name, &how)) {
            // Before Linux 5.6, or a filter: told by the device afterwards.
            Err(error) if Call::Openat2.is_refused_with(&error) => {}
            opened => return opened,
        }
    }
    #[cfg(not(target_os = "linux"))]
    let _ = same_mount;
    retry(|| Ok(nix::fcntl::openat(at, name, flags, Mode::empty())?))
}

/// The attributes of what a name leads to. Nothing is mounted for it.
pub(crate) fn stat(at: BorrowedFd<'_>, name: &CStr, reach: Reach, how: How) -> io::Result<Stat> {
    #[cfg(target_os = "linux")]
    {
        use super::linux::{calls::Call, statx};
        if reach.same_mount {
            let flags = OFlag::O_PATH | OFlag::O_CLOEXEC;
            let links = if reach.follow {
                OFlag::empty()
            } else {
                OFlag::O_NOFOLLOW
            };
            let fd = open(at, name, flags | links, true)?;
            return match statx::of_fd(fd.as_fd(), how) {
                Err(error) if Call::Statx.is_refused_with(&error) => stat_open(fd.as_fd()),
                stat => stat,
            };
        }
        match statx::of_name(at, name, reach.follow, how) {
            Err(error) if Call::Statx.is_refused_with(&error) => {}
            stat => return stat,
        }
    }
    #[cfg(not(target_os = "linux"))]
    let _ = how;
    super::blocking::stat_at(at, name, reach.follow)
}

/// Device and inode: what tells a directory from another one that has come into its place.
pub(crate) type Id = (u64, u64);

/// When names in a directory were last made or removed, and its attributes changed.
pub(crate) type Times = (Stamp, Stamp);

/// Those of an open directory.
pub(crate) fn id_of(dir: BorrowedFd<'_>) -> io::Result<Id> {
    Ok(seen_of(dir)?.0)
}

/// The same, and when it had been changed.
pub(crate) fn seen_of(dir: BorrowedFd<'_>) -> io::Result<(Id, Times)> {
    let stat = stat_open(dir)?;
    Ok(((stat.dev, stat.ino), (stat.modified, stat.changed)))
}

/// The attributes of an open directory.
pub(crate) fn stat_open(dir: BorrowedFd<'_>) -> io::Result<Stat> {
    super::blocking::stat_fd(dir)
}

/// Whether a filesystem lays out what it knows of files by their inode numbers, so that asking in that order moves a
/// disk's heads less. By its magic number.
pub(crate) fn is_by_inode(magic: u64) -> bool {
    const EXT: u64 = 0xef53;
    const REISERFS: u64 = 0x5265_4973;
    const XFS: u64 = 0x5846_5342;
    [EXT, REISERFS, XFS].contains(&magic)
}

/// Whether a filesystem has its answers from a server, over a network or in user space. By its magic number.
pub(crate) fn is_remote(magic: u64) -> bool {
    const AFS: u64 = 0x5346_414f;
    const CEPH: u64 = 0x00c3_6400;
    const CIFS: u64 = 0xff53_4d42;
    const FUSE: u64 = 0x6573_5546;
    const NFS: u64 = 0x6969;
    const NINE_P: u64 = 0x0102_1997;
    const SMB2: u64 = 0xfe53_4d42;
    [AFS, CEPH, CIFS, FUSE, NFS, NINE_P, SMB2].contains(&magic)
}

/// The magic number of the filesystem of an open directory, where there is such a thing.
#[cfg(target_os = "linux")]
pub(crate) fn magic(dir: BorrowedFd<'_>) -> io::Result<u64> {
    let told = nix::sys::statfs::fstatfs(dir)?;
    Ok(told.filesystem_type().0 as u64 & 0xffff_ffff)
}

#[cfg(not(target_os = "linux"))]
pub(crate) fn magic(_dir: BorrowedFd<'_>) -> io::Result<u64> {
    Err(io::ErrorKind::Unsupported.into())
}

#[cfg(test)]
mod tests {
    use super::*;

    /// As a listing says it, wherever it was.
    #[cfg(target_os = "linux")]
    #[test]
    fn a_removed_directory_is_gone_from_any_position() {
        use std::os::fd::AsFd;
        let parent = tempfile::tempdir().unwrap();
        let path = parent.path().join("dir");
        std::fs::create_dir(&path).unwrap();
        let name = super::super::path::c_path(&path).unwrap();
        let dir = open_dir(HERE, &name, Reach::NAME).unwrap();
        let names = list(dir.as_fd(), 1 << 16, true, || true).unwrap();
        seek(dir.as_fd(), names.position).unwrap();
        std::fs::remove_dir(&path).unwrap();
        for position in [0, names.position] {
            let sought = seek(dir.as_fd(), position);
            let listed = sought.and_then(|()| list(dir.as_fd(), 1 << 16, true, || true));
            let error = listed.err().unwrap();
            assert_eq!(error.kind(), io::ErrorKind::NotFound, "{position}");
        }
    }

    /// By magic number, and by none that is not known.
    #[test]
    fn three_filesystems_are_asked_by_inode() {
        for (magic, expected) in [
            (0xef53, true),
            (0x5846_5342, true),
            (0x5265_4973, true),
            (0x0102_1994, false),
            (0x6969, false),
            (0x9123_683e, false),
            (0, false),
        ] {
            assert_eq!(is_by_inode(magic), expected, "{magic:#x}");
            assert_eq!(is_remote(magic), magic == 0x6969, "{magic:#x}");
        }
    }

    /// All names come, neither of the dots does, in the order that was asked for, whatever the buffer's size.
    #[test]
    fn names_come_whole_and_in_order() {
        use std::os::fd::AsFd;
        let dir = tempfile::tempdir().unwrap();
        let mut expected: Vec<_> = (0..300)
            .map(|at| format!("{at:03}{}", "x".repeat(at % 90)))
            .collect();
        expected.extend([".a", "..b", "..."].map(String::from));
        for name in &expected {
            std::fs::write(dir.path().join(name), "").unwrap();
        }
        expected.sort();
        for bytes in [512, 4096, 65536] {
            let open = std::fs::File::open(dir.path()).unwrap();
            let mut names = list(open.as_fd(), bytes, true, || true).unwrap();
            names.sort_by_name();
            let found: Vec<_> = (0..names.len())
                .map(|at| names.get(at).name.to_str().unwrap().to_owned())
                .collect();
            assert_eq!(found, expected, "{bytes}");
            names.sort_by_inode();
            let inos: Vec<_> = (0..names.len()).map(|at| names.get(at).ino).collect();
            assert!(inos.is_sorted());
        }
    }
}
