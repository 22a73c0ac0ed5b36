//! Copying one file whole, in blocking calls: what one hop of `fs::CopyFile` runs.
#![allow(
    clippy::disallowed_methods,
    reason = "this is where blocking calls live"
)]

use std::ffi::CStr;
use std::fs::{File, Metadata};
use std::io;
use std::os::fd::{AsFd, BorrowedFd, OwnedFd};
use std::os::unix::fs::{MetadataExt, PermissionsExt};
use std::path::{Path, PathBuf};

use nix::fcntl::{OFlag, openat};
use nix::sys::stat::Mode;

use crate::base::errno::{self, open_without_peer, retry};
use crate::limits::COPY_STEP_BYTES;
use crate::sys::copy_data;
use crate::sys::copy_left::{Reused, reuse};
use crate::sys::copy_meta;
use crate::sys::copy_temp::Temp;
use crate::sys::fd::close;
use crate::sys::path::with_c_path;
use crate::sys::stat::{Stat, kind};
use crate::sys::walking::HERE;
use crate::sys::{unnamed, xattr_open};

pub(crate) use crate::sys::copy_data::{Flow, Holes, Side};
pub(crate) use crate::sys::copy_meta::onto_path as copy_metadata;
pub use crate::sys::copy_meta::{Preserve, Warning};

/// What is to be copied, and how.
#[derive(Clone, Debug)]
pub(crate) struct CopyRequest {
    pub(crate) from: PathBuf,
    pub(crate) to: PathBuf,
    /// Does what std's does, and no more: a source that changes meanwhile is none of its business, its access time is
    /// touched, and there is nobody to be warned.
    pub(crate) is_plain: bool,
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
    /// Of them, what an earlier copy had left and was found to be right.
    pub(crate) reused_bytes: u64,
    /// Device and inode of what was made.
    pub(crate) id: (u64, u64),
}

/// Where a file goes: names, and the directories that they are in. Whole paths are from the working directory.
#[derive(Clone, Copy)]
pub(crate) struct Sides<'a> {
    pub(crate) to: (BorrowedFd<'a>, &'a Path),
    /// One is made up where there is none.
    pub(crate) temporary: (BorrowedFd<'a>, Option<&'a Path>),
    /// An earlier copy has left a part there: what of it is right is kept.
    pub(crate) reuse: bool,
    /// Whether the directory of the destination is new and on a disk, lets nobody else in, and hands nothing down to what is
    /// made in it.
    pub(crate) is_private: bool,
}

/// An open source, and what it was then.
pub(crate) struct Source {
    file: File,
    before: Metadata,
}

impl Source {
    /// Opens it, and looks at it.
    pub(crate) fn open(dir: BorrowedFd<'_>, name: &Path, of: &CopyRequest) -> io::Result<Source> {
        let file = match of.is_plain {
            true => open_source(dir, name, of.follow, 0)?,
            false => open_to_read(dir, name, of.follow)?,
        };
        let before = retry(|| file.metadata())?;
        if !before.is_file() {
            return Err(io::Error::new(
                io::ErrorKind::InvalidInput,
                "the source is not a regular file",
            ));
        }
        Ok(Source { file, before })
    }

    pub(crate) fn stat(&self) -> Stat {
        self.before.clone().into()
    }

    /// Whether it is copied at once, so that nobody would go on with a part of it.
    pub(crate) fn is_one_step(&self) -> bool {
        self.before.len() <= COPY_STEP_BYTES
    }
}

/// A failed copy: the error, and the side that it is about.
#[derive(Debug)]
pub(crate) struct CopyError {
    pub(crate) side: Side,
    pub(crate) error: io::Error,
}

impl CopyError {
    fn at(side: Side) -> impl FnOnce(io::Error) -> CopyError {
        move |error| CopyError { side, error }
    }

    fn of((side, error): (Side, io::Error)) -> CopyError {
        CopyError { side, error }
    }
}

const FROM: Side = Side::Source;
const TO: Side = Side::Destination;

/// Copies one file, as long as the flow lets it go on. What is made under a temporary name gets its own in the directory
/// that it was made in, whatever is at the path of that directory by then.
pub(crate) fn copy_file(request: &CopyRequest, flow: &Flow<'_>) -> Result<Copied, CopyError> {
    let paths = Sides {
        to: (HERE, &request.to),
        temporary: (HERE, None),
        reuse: false,
        is_private: false,
    };
    flow.check().map_err(CopyError::at(FROM))?;
    if !request.rename_into_place {
        let source = Source::open(HERE, &request.from, request);
        let source = source.map_err(CopyError::at(FROM))?;
        return copy_file_at(request, paths, &source, flow);
    }
    let parent = parent_of(&request.to);
    let dir = open_parent(parent).map_err(CopyError::at(TO))?;
    let name = name_of(&request.to).map_err(CopyError::at(TO))?;
    let (elsewhere, temporary) = match &request.temporary {
        Some(temporary) => {
            let name = name_of(temporary).map_err(CopyError::at(TO))?;
            let of = parent_of(temporary);
            let elsewhere = (of != parent).then(|| open_parent(of)).transpose();
            (elsewhere.map_err(CopyError::at(TO))?, Some(name))
        }
        None => (None, None),
    };
    let sides = Sides {
        to: (dir.as_fd(), name),
        temporary: (elsewhere.as_ref().unwrap_or(&dir).as_fd(), temporary),
        ..paths
    };
    let source = Source::open(HERE, &request.from, request);
    let source = source.map_err(CopyError::at(FROM))?;
    copy_file_at(request, sides, &source, flow)
}

fn parent_of(path: &Path) -> &Path {
    let parent = path.parent();
    let parent = parent.filter(|parent| !parent.as_os_str().is_empty());
    parent.unwrap_or(Path::new("."))
}

fn name_of(path: &Path) -> io::Result<&Path> {
    let name = path.file_name().map(Path::new);
    name.ok_or_else(|| io::Error::from_raw_os_error(libc::EISDIR))
}

/// Holds the directory that names are made in, which its user need not be able to list.
fn open_parent(path: &Path) -> io::Result<OwnedFd> {
    #[cfg(target_os = "linux")]
    let how = OFlag::O_PATH;
    #[cfg(any(target_os = "macos", target_os = "freebsd"))]
    let how = OFlag::from_bits_retain(libc::O_SEARCH);
    #[cfg(not(any(target_os = "linux", target_os = "macos", target_os = "freebsd")))]
    let how = OFlag::O_RDONLY;
    Ok(open_at(HERE, path, how | OFlag::O_DIRECTORY, 0)?.into())
}

/// The same between two directories, of a source that is open.
pub(crate) fn copy_file_at(
    request: &CopyRequest,
    sides: Sides<'_>,
    source: &Source,
    flow: &Flow<'_>,
) -> Result<Copied, CopyError> {
    // Nothing is made for somebody who has given up meanwhile.
    flow.check().map_err(CopyError::at(FROM))?;
    if request.rename_into_place {
        let made = Temp::create(sides.temporary, sides.reuse);
        let (temp, file) = made.map_err(CopyError::at(TO))?;
        let mut copied = fill(request, sides, source, &file, flow)?;
        // Before it has its name: a filesystem may say only now that it could not keep what it took.
        close(file).map_err(CopyError::at(TO))?;
        // Who was told that it is not copied does not find it later.
        flow.check().map_err(CopyError::at(TO))?;
        let how = (request.create_new, request.sync == Sync::Name);
        temp.publish(sides.to, how, &mut copied.warnings)
            .map_err(CopyError::at(TO))?;
        return Ok(copied);
    }
    let opened = open_destination(request, sides.to, &source.before);
    let file = opened.map_err(CopyError::at(TO))?;
    let copied = fill(request, sides, source, &file, flow)?;
    close(file).map_err(CopyError::at(TO))?;
    Ok(copied)
}

/// The same into a private directory, where a file has no name until it is whole. `None` where there are no such files, or
/// the name is taken: then nothing has been done.
pub(crate) fn copy_unnamed_at(
    request: &CopyRequest,
    sides: Sides<'_>,
    source: &Source,
    flow: &Flow<'_>,
) -> Option<Result<Copied, CopyError>> {
    const OWNERS: u32 = 0o600;
    // It has its mode from the beginning, as a rule, since nobody else can get to it.
    let mode = request.mode.unwrap_or(source.before.mode()) & 0o777 | OWNERS;
    let file = unnamed::open(sides.to.0, mode).ok()??;
    let copied = fill(request, sides, source, &file, flow);
    // Who was told that it is not copied does not find it later.
    let copied = copied.and_then(|copied| match flow.check() {
        Ok(()) => Ok(copied),
        Err(error) => Err(CopyError::at(TO)(error)),
    });
    let copied = match copied {
        Ok(copied) => copied,
        Err(failed) => return Some(Err(failed)),
    };
    let link = |name: &CStr| unnamed::link(&file, sides.to.0, name);
    with_c_path(sides.to.1, link).ok()?;
    Some(Ok(copied))
}

/// Opens a file in a directory.
pub(super) fn open_at(
    dir: BorrowedFd<'_>,
    path: &Path,
    flags: OFlag,
    mode: u32,
) -> io::Result<File> {
    let mode = Mode::from_bits_truncate(mode as libc::mode_t);
    let opened = with_c_path(path, |path| {
        retry(|| Ok(openat(dir, path, flags | OFlag::O_CLOEXEC, mode)?))
    })?;
    Ok(opened.into())
}

/// Opens a file without waiting for a FIFO's writer and, where the system lets us, without touching its access time.
pub(super) fn open_to_read(dir: BorrowedFd<'_>, name: &Path, follow: bool) -> io::Result<File> {
    match open_source(dir, name, follow, NO_ATIME) {
        Err(error) if NO_ATIME != 0 && error.raw_os_error() == Some(libc::EPERM) => {
            open_source(dir, name, follow, 0)
        }
        opened => opened,
    }
}

fn open_source(dir: BorrowedFd<'_>, name: &Path, follow: bool, extra: i32) -> io::Result<File> {
    let mut flags = OFlag::O_RDONLY | OFlag::O_NOCTTY | OFlag::from_bits_retain(extra);
    flags.set(OFlag::O_NOFOLLOW, !follow);
    open_without_peer(|more| open_at(dir, name, flags | OFlag::from_bits_retain(more), 0))
}

#[cfg(any(target_os = "linux", target_os = "android"))]
const NO_ATIME: i32 = libc::O_NOATIME;
#[cfg(not(any(target_os = "linux", target_os = "android")))]
const NO_ATIME: i32 = 0;

/// Opens the destination under its own name; it is emptied only when it is known not to be the source.
fn open_destination(
    request: &CopyRequest,
    (dir, name): (BorrowedFd<'_>, &Path),
    before: &Metadata,
) -> io::Result<File> {
    let mode = request.mode.unwrap_or(before.mode()) & 0o777;
    let mut flags = OFlag::O_WRONLY | OFlag::O_CREAT;
    flags.set(OFlag::O_EXCL, request.create_new);
    let file = open_at(dir, name, flags, mode)?;
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
    sides: Sides<'_>,
    Source {
        file: source,
        before,
    }: &Source,
    file: &File,
    flow: &Flow<'_>,
) -> Result<Copied, CopyError> {
    let target = copy_meta::look_at(file).map_err(CopyError::at(TO))?;
    let ways = copy_data::Ways {
        holes: request.holes,
        reflink: request.reflink,
        onto_file: target.is_file(),
    };
    let reused = match sides.reuse {
        true => reuse(source, before, (file, &target), ways, flow),
        false => Ok(Reused::default()),
    };
    let reused = reused.map_err(CopyError::of)?;
    let moved = copy_data::copy(source, before, (file, reused.upto), ways, flow);
    let moved = moved.map_err(CopyError::of)?;
    flow.check().map_err(CopyError::at(FROM))?;
    if !request.is_plain {
        let after = retry(|| source.metadata()).map_err(CopyError::at(FROM))?;
        check_whole(source, before, &after).map_err(CopyError::at(FROM))?;
    }
    let id = (target.dev, target.ino);
    let mut meta = copy_meta::Onto::new(file, target);
    meta.is_bare = sides.is_private && !sides.reuse;
    meta.carry(source, before, request.preserve);
    set_mode(request, (source, before), file, &mut meta)?;
    if request.preserve.times {
        copy_meta::times_of(before)
            .and_then(|times| retry(|| file.set_times(times)))
            .map_err(CopyError::at(TO))?;
    }
    if request.sync != Sync::No {
        file.sync_all().map_err(CopyError::at(TO))?;
    }
    if request.drop_cache {
        // What is to be dropped has to be written first. Without either, the copy is as whole as with them.
        let _ = retry(|| file.sync_data());
        copy_data::drop_cache(file);
        copy_data::drop_cache(source);
    }
    Ok(Copied {
        bytes: moved.bytes,
        data_bytes: moved.data_bytes + reused.data_bytes,
        warnings: meta.warnings,
        reused_bytes: reused.bytes,
        id,
    })
}

fn set_mode(
    request: &CopyRequest,
    (source, before): (&File, &Metadata),
    file: &File,
    meta: &mut copy_meta::Onto<'_>,
) -> Result<(), CopyError> {
    let target = &meta.target;
    if matches!(
        target.type_bits(),
        kind::FIFO | kind::CHARACTER | kind::BLOCK
    ) {
        return Ok(());
    }
    let mode = match request.mode {
        Some(mode) => mode & 0o7777,
        None if meta.has_no_lists => copy_meta::mode_for(before, Some(target)),
        None => {
            let all = copy_meta::mode_for(before, Some(target));
            let mode = copy_meta::mode_beside_list(
                all,
                |name| xattr_open::get(source, name),
                |name| xattr_open::get(file, name),
            );
            match (mode.found, request.is_plain) {
                // A process without that call sees no more of its files than their modes, and neither does std.
                (Err(error), true) if error.raw_os_error() == Some(errno::ENOSYS) => all,
                (Err(error), true) => return Err(CopyError::at(FROM)(error)),
                (found, _) => {
                    copy_meta::note(&mut meta.warnings, copy_meta::GET_XATTR, found);
                    mode.bits
                }
            }
        }
    };
    // Access control lists change the mode.
    let is_known = meta.has_no_lists || !request.preserve.xattrs;
    if meta.target.mode & 0o7777 == mode && is_known {
        return Ok(());
    }
    let permissions = std::fs::Permissions::from_mode(mode);
    file.set_permissions(permissions).map_err(CopyError::at(TO))
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

#[cfg(test)]
#[path = "copy_tests.rs"]
mod tests;
