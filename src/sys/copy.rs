//! Copying one file whole, in blocking calls: what one hop of `fs::CopyFile` runs.
#![allow(
    clippy::disallowed_methods,
    reason = "this is where blocking calls live"
)]

use std::fs::{File, Metadata};
use std::io;
use std::os::fd::BorrowedFd;
use std::os::unix::fs::{FileTypeExt, MetadataExt, PermissionsExt};
use std::path::{Path, PathBuf};
use std::sync::atomic::{AtomicU64, Ordering};

use nix::fcntl::{AtFlags, OFlag, openat, renameat};
use nix::sys::stat::Mode;
use nix::unistd::{UnlinkatFlags, linkat, unlinkat};

use crate::sys::copy_data;
use crate::sys::copy_meta;
use crate::sys::errno::retry;
use crate::sys::fd::close;
use crate::sys::global::Global;
use crate::sys::path::with_c_path;
use crate::sys::stat::{Stat, kind};
use crate::sys::walking::HERE;
use crate::sys::xattr_open;

pub(crate) use crate::sys::copy_data::{Flow, Holes};
pub(crate) use crate::sys::copy_meta::onto_path as copy_metadata;
pub use crate::sys::copy_meta::{Preserve, Warning};

/// What is to be copied, and how.
#[derive(Clone, Debug)]
pub(crate) struct CopyRequest {
    pub(crate) from: PathBuf,
    pub(crate) to: PathBuf,
    /// Fails where the source changes meanwhile.
    pub(crate) check_whole: bool,
    /// Fails where the destination exists.
    pub(crate) create_new: bool,
    /// Follows a symbolic link at `from`.
    pub(crate) follow: bool,
    pub(crate) holes: Holes,
    /// The mode of the destination; that of the source where it is `None`.
    pub(crate) mode: Option<u32>,
    pub(crate) preserve: Preserve,
    /// Writes under a temporary name beside `to`, renamed when everything else is done.
    pub(crate) rename_into_place: bool,
    pub(crate) sync: Sync,
    /// Writes out what was copied, and drops it from the page cache.
    pub(crate) drop_cache: bool,
    /// Whether blocks are shared with the source.
    pub(crate) reflink: Reflink,
    /// The temporary name; one is made up where it is `None`.
    pub(crate) temporary: Option<PathBuf>,
}

/// What is waited for before a copy is reported.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub(crate) enum Sync {
    #[default]
    No,
    /// The device has content and metadata before the destination gets its name.
    Content,
    /// And then the name.
    Name,
}

/// Whether a copy shares its blocks with the source.
///
/// See [`CopyFile::reflink`](crate::fs::CopyFile::reflink).
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
#[non_exhaustive]
pub enum Reflink {
    /// It has to: where the filesystem cannot do that, the copy fails.
    Always,
    /// As the kernel likes.
    #[default]
    Auto,
    /// It has blocks of its own.
    Never,
}

/// What was copied.
///
/// See [`CopyFile`](crate::fs::CopyFile).
#[derive(Debug, Default)]
#[non_exhaustive]
pub struct Copied {
    /// Length of the destination in bytes.
    pub bytes: u64,
    /// Bytes that were moved: `bytes` without the holes.
    pub data_bytes: u64,
    /// What of the metadata could not be carried over: the operation and its error.
    pub warnings: Vec<Warning>,
    /// Device and inode of what was made.
    pub(crate) id: (u64, u64),
}

/// The directories that the names of a request are in. Whole paths are from the working directory.
#[derive(Clone, Copy)]
pub(crate) struct Sides<'a> {
    pub(crate) from: BorrowedFd<'a>,
    pub(crate) to: BorrowedFd<'a>,
}

impl Sides<'static> {
    const PATHS: Sides<'static> = Sides {
        from: HERE,
        to: HERE,
    };
}

/// A failed copy: the error, and the path that it is about.
#[derive(Debug)]
pub(crate) struct CopyError {
    pub(crate) path: PathBuf,
    pub(crate) error: io::Error,
}

impl CopyError {
    fn at(path: &Path) -> impl FnOnce(io::Error) -> CopyError + '_ {
        move |error| CopyError {
            path: path.to_path_buf(),
            error,
        }
    }
}

/// Copies one file, as long as the flow lets it go on.
pub(crate) fn copy_file(request: &CopyRequest, flow: &Flow<'_>) -> Result<Copied, CopyError> {
    copy_file_at(request, Sides::PATHS, flow)
}

/// The same between two directories.
pub(crate) fn copy_file_at(
    request: &CopyRequest,
    sides: Sides<'_>,
    flow: &Flow<'_>,
) -> Result<Copied, CopyError> {
    flow.check().map_err(CopyError::at(&request.from))?;
    let opened = open_source(request, sides.from);
    let (source, before) = opened.map_err(CopyError::at(&request.from))?;
    // Nothing is made for somebody who has given up meanwhile.
    flow.check().map_err(CopyError::at(&request.from))?;
    if request.rename_into_place {
        let made = Temp::create(sides.to, &request.to, request.temporary.as_deref());
        let (temp, file) = made.map_err(CopyError::at(&request.to))?;
        let copied = fill(request, &source, &before, &file, flow)?;
        // Before it has its name: a filesystem may say only now that it could not keep what it took.
        close(file).map_err(CopyError::at(&request.to))?;
        // Who was told that it is not copied does not find it later.
        flow.check().map_err(CopyError::at(&request.to))?;
        temp.publish(&request.to, request.create_new, request.sync == Sync::Name)
            .map_err(CopyError::at(&request.to))?;
        return Ok(copied);
    }
    let opened = open_destination(request, sides.to, &before);
    let file = opened.map_err(CopyError::at(&request.to))?;
    let copied = fill(request, &source, &before, &file, flow)?;
    close(file).map_err(CopyError::at(&request.to))?;
    Ok(copied)
}

/// Opens a file in a directory.
fn open_at(dir: BorrowedFd<'_>, path: &Path, flags: OFlag, mode: u32) -> io::Result<File> {
    let mode = Mode::from_bits_truncate(mode as libc::mode_t);
    let opened = retry(|| Ok(openat(dir, path, flags | OFlag::O_CLOEXEC, mode)?))?;
    Ok(opened.into())
}

/// Opens the source without waiting for a FIFO's writer and, where the system lets us, without touching its access time.
fn open_source(request: &CopyRequest, dir: BorrowedFd<'_>) -> io::Result<(File, Metadata)> {
    let mut flags = OFlag::O_RDONLY | OFlag::O_NONBLOCK | OFlag::O_NOCTTY;
    flags.set(OFlag::O_NOFOLLOW, !request.follow);
    let open = |extra: OFlag| open_at(dir, &request.from, flags | extra, 0);
    let no_atime = OFlag::from_bits_truncate(NO_ATIME);
    let source = match open(no_atime) {
        Err(error) if NO_ATIME != 0 && error.raw_os_error() == Some(libc::EPERM) => {
            open(OFlag::empty())?
        }
        other => other?,
    };
    let before = retry(|| source.metadata())?;
    if !before.is_file() {
        return Err(io::Error::new(
            io::ErrorKind::InvalidInput,
            "the source is not a regular file",
        ));
    }
    Ok((source, before))
}

#[cfg(any(target_os = "linux", target_os = "android"))]
const NO_ATIME: i32 = libc::O_NOATIME;
#[cfg(not(any(target_os = "linux", target_os = "android")))]
const NO_ATIME: i32 = 0;

/// Opens the destination under its own name; it is emptied only when it is known not to be the source.
fn open_destination(
    request: &CopyRequest,
    dir: BorrowedFd<'_>,
    before: &Metadata,
) -> io::Result<File> {
    let mode = request.mode.unwrap_or(before.mode()) & 0o777;
    let mut flags = OFlag::O_WRONLY | OFlag::O_CREAT;
    flags.set(OFlag::O_EXCL, request.create_new);
    let file = open_at(dir, &request.to, flags, mode)?;
    let found = retry(|| file.metadata())?;
    if (found.dev(), found.ino()) == (before.dev(), before.ino()) {
        return Err(io::Error::new(
            io::ErrorKind::InvalidInput,
            "source and destination are the same file",
        ));
    }
    if found.is_file() {
        // Nobody runs it as its owner or reads it meanwhile who may not do so with the copy.
        let meanwhile = found.mode() & (mode | 0o200);
        if found.mode() & 0o7777 != meanwhile & 0o777 {
            file.set_permissions(std::fs::Permissions::from_mode(meanwhile & 0o777))?;
        }
        if found.len() > 0 {
            file.set_len(0)?;
        }
    }
    Ok(file)
}

/// Moves the data, then carries the metadata over; fails where the source changed meanwhile.
fn fill(
    request: &CopyRequest,
    source: &File,
    before: &Metadata,
    file: &File,
    flow: &Flow<'_>,
) -> Result<Copied, CopyError> {
    let target = retry(|| file.metadata()).map_err(CopyError::at(&request.to))?;
    let ways = copy_data::Ways {
        holes: request.holes,
        reflink: request.reflink,
        onto_file: target.is_file(),
    };
    let moved =
        copy_data::copy(source, before, file, ways, flow).map_err(|(side, error)| CopyError {
            path: side.pick(&request.from, &request.to),
            error,
        })?;
    flow.check().map_err(CopyError::at(&request.from))?;
    if request.check_whole {
        let after = retry(|| source.metadata()).map_err(CopyError::at(&request.from))?;
        check_whole(source, before, &after).map_err(CopyError::at(&request.from))?;
    }
    let id = (target.dev(), target.ino());
    let mut meta = copy_meta::Onto::new(file, target);
    meta.carry(source, before, request.preserve);
    set_mode(request, (source, before), file, &meta).map_err(CopyError::at(&request.to))?;
    if request.preserve.times {
        copy_meta::times_of(before)
            .and_then(|times| retry(|| file.set_times(times)))
            .map_err(CopyError::at(&request.to))?;
    }
    if request.sync != Sync::No {
        file.sync_all().map_err(CopyError::at(&request.to))?;
    }
    if request.drop_cache {
        // What is to be dropped has to be written first. Without either, the copy is as whole as with them.
        let _ = retry(|| file.sync_data());
        copy_data::drop_cache(file);
        copy_data::drop_cache(source);
    }
    Ok(Copied {
        bytes: moved.bytes,
        data_bytes: moved.data_bytes,
        warnings: meta.warnings,
        id,
    })
}

fn set_mode(
    request: &CopyRequest,
    (source, before): (&File, &Metadata),
    file: &File,
    meta: &copy_meta::Onto<'_>,
) -> io::Result<()> {
    let target = &meta.target;
    let kind = target.file_type();
    if kind.is_fifo() || kind.is_char_device() || kind.is_block_device() {
        return Ok(());
    }
    let mode = match request.mode {
        Some(mode) => mode & 0o7777,
        None => copy_meta::mode_beside_list(
            copy_meta::mode_for(before, Some(target)),
            |name| xattr_open::get(source, name),
            |name| xattr_open::get(file, name),
        ),
    };
    // Access control lists change the mode.
    if target.mode() & 0o7777 == mode && !request.preserve.xattrs {
        return Ok(());
    }
    file.set_permissions(std::fs::Permissions::from_mode(mode))
}

/// Whether the file was left alone while it was read: same size and same times as before. The time of the last
/// change of attributes is the one that nobody can set. Where it was read to its end, that is all of it, whatever its
/// size says.
fn check_whole(source: &File, before: &Metadata, after: &Metadata) -> io::Result<()> {
    let times = |of: &Metadata| {
        let (modified, changed) = ((of.mtime(), of.mtime_nsec()), (of.ctime(), of.ctime_nsec()));
        (modified, changed)
    };
    let is_same = before.len() == after.len() && times(before) == times(after);
    // Those are made up as they are read.
    if is_same || copy_data::is_pseudo(source) {
        return Ok(());
    }
    if after.len() < before.len() {
        return Err(io::Error::new(
            io::ErrorKind::UnexpectedEof,
            format!(
                "the source shrank from {} bytes while it was copied; copy it again",
                before.len()
            ),
        ));
    }
    Err(io::Error::new(
        io::ErrorKind::ResourceBusy,
        "the source was changed while it was copied; copy it again",
    ))
}

/// A file under a temporary name, removed on drop unless it was published.
pub(super) struct Temp<'a> {
    dir: BorrowedFd<'a>,
    path: PathBuf,
    /// Whether it may take the place of a FIFO.
    is_fifo: bool,
    published: bool,
}

impl<'a> Temp<'a> {
    /// Of what was just made.
    pub(super) fn of(dir: BorrowedFd<'a>, path: &Path) -> Temp<'a> {
        Temp {
            dir,
            path: path.to_path_buf(),
            is_fifo: false,
            published: false,
        }
    }

    pub(super) fn of_fifo(mut self) -> Temp<'a> {
        self.is_fifo = true;
        self
    }

    /// Makes a file beside `to`. Its name does not contain that of `to`, which may be as long as a name can be.
    fn create(dir: BorrowedFd<'a>, to: &Path, name: Option<&Path>) -> io::Result<(Temp<'a>, File)> {
        const TRIES_MAX: u32 = 16;
        if to.file_name().is_none() {
            return Err(io::Error::from_raw_os_error(libc::EISDIR));
        }
        let mut tries = 0;
        loop {
            let path = name.map_or_else(|| to.with_file_name(temp_name()), Path::to_path_buf);
            let flags = OFlag::O_WRONLY | OFlag::O_CREAT | OFlag::O_EXCL;
            match open_at(dir, &path, flags, 0o600) {
                Ok(file) => {
                    return Ok((Temp::of(dir, &path), file));
                }
                Err(error)
                    if error.kind() == io::ErrorKind::AlreadyExists
                        && name.is_none()
                        && tries < TRIES_MAX =>
                {
                    tries += 1
                }
                Err(error) => return Err(error),
            }
        }
    }

    pub(super) fn publish(mut self, to: &Path, create_new: bool, sync: bool) -> io::Result<()> {
        let dir = self.dir;
        if create_new {
            // A rename would replace what exists; a link fails, and the temporary name goes on drop.
            retry(|| Ok(linkat(dir, &self.path, dir, to, AtFlags::empty())?))?;
        } else {
            let is_link = refuse_special(dir, to, self.is_fifo)?;
            retry(|| Ok(renameat(dir, &self.path, dir, to)?))?;
            // Onto another name of the same file a rename does nothing and succeeds: the temporary name stays.
            self.published = !is_link;
        }
        if sync {
            let parent = to
                .parent()
                .filter(|parent| !parent.as_os_str().is_empty())
                .unwrap_or(Path::new("."));
            open_at(dir, parent, OFlag::O_RDONLY | OFlag::O_DIRECTORY, 0)?.sync_all()?;
        }
        Ok(())
    }
}

/// What is not a file, a link or a directory is no earlier state of a copy: it is not replaced by one. Whether what is
/// there has several names.
fn refuse_special(dir: BorrowedFd<'_>, to: &Path, is_fifo: bool) -> io::Result<bool> {
    let there = with_c_path(to, |to| super::blocking::stat_at(dir, to, false));
    let Ok(there) = there else {
        return Ok(false);
    };
    match special(&there) {
        Some(what) if !(is_fifo && there.type_bits() == kind::FIFO) => Err(io::Error::new(
            io::ErrorKind::AlreadyExists,
            format!("the destination is {what} and is not replaced; remove it first"),
        )),
        _ => Ok(there.nlink > 1),
    }
}

/// What it is, if it is neither a file, a link nor a directory.
pub(crate) fn special(there: &Stat) -> Option<&'static str> {
    match there.type_bits() {
        kind::FIFO => Some("a FIFO"),
        kind::SOCKET => Some("a socket"),
        kind::BLOCK | kind::CHARACTER => Some("a device"),
        _ => None,
    }
}

impl Drop for Temp<'_> {
    fn drop(&mut self) {
        if !self.published {
            // Nothing can be done about an error here, and the copy has failed or has its name already.
            let _ = retry(|| Ok(unlinkat(self.dir, &self.path, UnlinkatFlags::NoRemoveDir)?));
        }
    }
}

/// A name that no other copy of this process has, and hardly one of another process.
pub(crate) fn temp_name() -> String {
    use std::hash::{BuildHasher, RandomState};
    static SEED: Global<u64> = Global::new();
    static NEXT: AtomicU64 = AtomicU64::new(0);
    let seed = SEED.get_or_make(|| RandomState::new().hash_one(std::process::id()));
    format!(
        ".tidegate-{seed:016x}-{:x}.tmp",
        NEXT.fetch_add(1, Ordering::Relaxed)
    )
}

#[cfg(test)]
#[path = "copy_tests.rs"]
mod tests;
