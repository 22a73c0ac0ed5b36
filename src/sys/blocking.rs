//! Blocking calls for lanes without a ring: what the kernel has no opcode for, and several steps in one hop.
#![allow(
    clippy::disallowed_methods,
    reason = "this is where blocking calls live"
)]

use std::fs;
use std::io::{self, Read, Write};
use std::os::fd::{AsFd, BorrowedFd, OwnedFd};
use std::os::unix::fs::PermissionsExt;
use std::path::Path;
use std::sync::Arc;
use std::time::SystemTime;

use nix::sys::stat::{Mode, UtimensatFlags};
use nix::sys::time::TimeSpec;

use super::path::as_path;
use super::stat::Stat;
use super::steps::Steps;
use crate::base::errno::retry;
use crate::limits::{MADE_UP_BYTES, WHOLE_FILE_STEP_BYTES};

/// One entry of a directory.
#[derive(Debug)]
pub(crate) struct Entry {
    pub(crate) std: Arc<fs::DirEntry>,
    /// Asked for with the name, as that costs nothing where the filesystem gives both together.
    pub(crate) file_type: Option<fs::FileType>,
}

/// A directory being listed.
#[derive(Debug)]
pub(crate) struct Listing(fs::ReadDir);

impl Listing {
    pub(crate) fn open(path: &Path) -> io::Result<Listing> {
        retry(|| fs::read_dir(path)).map(Listing)
    }

    /// What its path leads to, without access: it tells whether the directory still has a name. Renamed meanwhile, it may
    /// be another.
    #[cfg(target_os = "linux")]
    pub(crate) fn look(path: &Path) -> Option<OwnedFd> {
        use nix::fcntl::{OFlag, open};
        let flags = OFlag::O_PATH | OFlag::O_DIRECTORY | OFlag::O_CLOEXEC;
        open(path, flags, Mode::empty()).ok()
    }

    #[cfg(not(target_os = "linux"))]
    pub(crate) fn look(_path: &Path) -> Option<OwnedFd> {
        None
    }

    /// Entries worth about `bytes` of names; `true` at the end of the directory.
    pub(crate) fn next_batch(&mut self, bytes: usize) -> (Vec<io::Result<Entry>>, bool) {
        let mut batch = Vec::new();
        let mut used = 0;
        while used < bytes {
            let Some(entry) = self.0.next() else {
                return (batch, true);
            };
            let entry = entry.map(|entry| Entry {
                file_type: entry.file_type().ok(),
                std: Arc::new(entry),
            });
            used += 24
                + entry
                    .as_ref()
                    .map_or(0, |entry| entry.std.file_name().len());
            batch.push(entry);
        }
        (batch, false)
    }
}

/// What a step with a whole file came to.
pub(crate) enum Whole<T> {
    Done(T),
    /// It is open, and it may wait for something other than storage: that takes as long as it takes.
    MayWait(OwnedFd),
}

pub(crate) fn read_file(path: &Path, steps: &Steps) -> io::Result<Vec<u8>> {
    read_open(open(fs::OpenOptions::new().read(true), path)?, steps)
}

/// Reads a file unless it may wait.
pub(crate) fn read_storage(
    path: &Path,
    steps: &Steps,
    may_wait: impl FnOnce(BorrowedFd<'_>) -> bool,
) -> io::Result<Whole<Vec<u8>>> {
    let file = open(fs::OpenOptions::new().read(true), path)?;
    if may_wait(file.as_fd()) {
        return Ok(Whole::MayWait(file.into()));
    }
    read_open(file, steps).map(Whole::Done)
}

fn read_open(mut file: fs::File, steps: &Steps) -> io::Result<Vec<u8>> {
    let expected = file.metadata().map_or(0, |metadata| metadata.len());
    let mut bytes = Vec::new();
    if expected == 0 {
        // It may give all it has to the first read or never.
        let mut first = vec![0; MADE_UP_BYTES];
        let read = retry(|| file.read(&mut first))?;
        bytes.extend_from_slice(&first[..read]);
    }
    bytes.try_reserve_exact(usize::try_from(expected).unwrap_or(usize::MAX))?;
    loop {
        steps.check()?;
        let step = WHOLE_FILE_STEP_BYTES as u64;
        if (Read::by_ref(&mut file).take(step).read_to_end(&mut bytes)? as u64) < step {
            return Ok(bytes);
        }
    }
}

/// Writes a file unless it may wait.
pub(crate) fn write_storage(
    path: &Path,
    contents: &[u8],
    steps: &Steps,
    may_wait: impl FnOnce(BorrowedFd<'_>) -> bool,
) -> io::Result<Whole<()>> {
    let mut file = fs::File::create(path)?;
    if may_wait(file.as_fd()) {
        return Ok(Whole::MayWait(file.into()));
    }
    for part in contents.chunks(WHOLE_FILE_STEP_BYTES) {
        steps.check()?;
        file.write_all(part)?;
    }
    super::fd::close(file).map(Whole::Done)
}

pub(crate) fn read_link(path: &Path) -> io::Result<std::path::PathBuf> {
    retry(|| fs::read_link(path))
}

pub(crate) fn read_link_at(
    dir: impl std::os::fd::AsFd,
    path: &Path,
) -> io::Result<std::path::PathBuf> {
    let path = super::path::c_path(path)?;
    retry(|| Ok(nix::fcntl::readlinkat(&dir, path.as_c_str())?.into()))
}

pub(crate) fn canonicalize(path: &Path) -> io::Result<std::path::PathBuf> {
    retry(|| fs::canonicalize(path))
}

pub(crate) fn create_dir_all(path: &Path, mode: u32) -> io::Result<()> {
    use std::os::unix::fs::DirBuilderExt;
    retry(|| {
        fs::DirBuilder::new()
            .recursive(true)
            .mode(mode)
            .create(path)
    })
}

pub(crate) fn set_permissions(path: &Path, mode: u32) -> io::Result<()> {
    retry(|| fs::set_permissions(path, fs::Permissions::from_mode(mode)))
}

pub(crate) fn set_mode_of(fd: BorrowedFd<'_>, mode: u32) -> io::Result<()> {
    retry(|| {
        Ok(nix::sys::stat::fchmod(
            fd,
            Mode::from_bits_truncate(mode as libc::mode_t),
        )?)
    })
}

pub(crate) fn set_owner(
    path: &Path,
    uid: Option<u32>,
    gid: Option<u32>,
    follow: bool,
) -> io::Result<()> {
    retry(|| match follow {
        true => std::os::unix::fs::chown(path, uid, gid),
        false => std::os::unix::fs::lchown(path, uid, gid),
    })
}

pub(crate) fn make_fifo(path: &Path, mode: u32) -> io::Result<()> {
    let mode = Mode::from_bits_truncate(mode as libc::mode_t);
    let path = super::path::c_path(path)?;
    retry(|| Ok(nix::unistd::mkfifo(path.as_c_str(), mode)?))
}

/// A time for `utimensat`; `None` leaves it as it is.
fn time_spec(time: Option<SystemTime>) -> TimeSpec {
    let Some(time) = time else {
        return TimeSpec::UTIME_OMIT;
    };
    match time.duration_since(SystemTime::UNIX_EPOCH) {
        Ok(after) => TimeSpec::from_duration(after),
        Err(before) => {
            let before = before.duration();
            let borrow = i64::from(before.subsec_nanos() != 0);
            let nanos = (1_000_000_000 - before.subsec_nanos()) % 1_000_000_000;
            TimeSpec::new((-(before.as_secs() as i64) - borrow) as _, nanos as _)
        }
    }
}

pub(crate) fn set_times(
    path: &Path,
    accessed: Option<SystemTime>,
    modified: Option<SystemTime>,
    follow: bool,
) -> io::Result<()> {
    let flag = if follow {
        UtimensatFlags::FollowSymlink
    } else {
        UtimensatFlags::NoFollowSymlink
    };
    let (accessed, modified) = (time_spec(accessed), time_spec(modified));
    let (path, here) = (super::path::c_path(path)?, nix::fcntl::AT_FDCWD);
    let set = || nix::sys::stat::utimensat(here, path.as_c_str(), &accessed, &modified, flag);
    retry(|| Ok(set()?))
}

pub(crate) fn seek(fd: BorrowedFd<'_>, to: io::SeekFrom) -> io::Result<u64> {
    use io::Seek;
    retry(|| super::fd::with_file(fd, |mut file| file.seek(to)))
}

pub(crate) fn set_times_of(fd: BorrowedFd<'_>, times: fs::FileTimes) -> io::Result<()> {
    retry(|| super::fd::with_file(fd, |file| file.set_times(times)))
}

pub(crate) fn metadata(path: &Path, follow: bool) -> io::Result<fs::Metadata> {
    retry(|| match follow {
        true => fs::metadata(path),
        false => fs::symlink_metadata(path),
    })
}

/// Of the entry in the directory that was listed, wherever that is now.
pub(crate) fn metadata_of_entry(entry: &fs::DirEntry) -> io::Result<fs::Metadata> {
    retry(|| entry.metadata())
}

/// Cannot sleep on a local filesystem, also for a descriptor without access.
pub(crate) fn metadata_of(fd: BorrowedFd<'_>) -> io::Result<fs::Metadata> {
    retry(|| super::fd::with_file(fd, fs::File::metadata))
}

pub(crate) fn stat_path(path: &std::ffi::CStr, follow: bool) -> io::Result<Stat> {
    metadata(as_path(path), follow).map(Stat::from)
}

/// From an open directory, with what every system tells.
pub(crate) fn stat_at(
    dir: BorrowedFd<'_>,
    path: &std::ffi::CStr,
    follow: bool,
) -> io::Result<Stat> {
    let flags = if follow {
        nix::fcntl::AtFlags::empty()
    } else {
        nix::fcntl::AtFlags::AT_SYMLINK_NOFOLLOW
    };
    retry(|| Ok(nix::sys::stat::fstatat(dir, path, flags)?)).map(Stat::from)
}

pub(crate) fn stat_fd(fd: BorrowedFd<'_>) -> io::Result<Stat> {
    metadata_of(fd).map(Stat::from)
}

pub(crate) fn open(options: &fs::OpenOptions, path: &Path) -> io::Result<fs::File> {
    super::dataless::check_path(path)?;
    options.open(path)
}

/// Opens a path only to look at it: without reading, and without following what an open would start.
pub(crate) fn open_path(path: &Path) -> io::Result<fs::File> {
    use std::os::unix::fs::OpenOptionsExt;
    #[cfg(target_os = "linux")]
    let flags = libc::O_PATH;
    #[cfg(not(target_os = "linux"))]
    let flags = libc::O_NONBLOCK;
    fs::OpenOptions::new()
        .read(true)
        .custom_flags(flags)
        .open(path)
}
