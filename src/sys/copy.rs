//! Copying one file whole, in blocking calls: what one hop of `fs::CopyFile` runs.
#![allow(
    clippy::disallowed_methods,
    reason = "this is where blocking calls live"
)]

use std::fs::{File, Metadata};
use std::io;
use std::os::unix::fs::{FileTypeExt, MetadataExt, OpenOptionsExt, PermissionsExt};
use std::path::{Path, PathBuf};
use std::sync::atomic::{AtomicU64, Ordering};

use crate::sys::copy_data;
use crate::sys::copy_meta;
use crate::sys::errno::retry;
use crate::sys::fd::close;
use crate::sys::global::Global;
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
    flow.check().map_err(CopyError::at(&request.from))?;
    let (source, before) = open_source(request).map_err(CopyError::at(&request.from))?;
    // Nothing is made for somebody who has given up meanwhile.
    flow.check().map_err(CopyError::at(&request.from))?;
    if request.rename_into_place {
        let made = Temp::create(&request.to, request.temporary.as_deref());
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
    let file = open_destination(request, &before).map_err(CopyError::at(&request.to))?;
    let copied = fill(request, &source, &before, &file, flow)?;
    close(file).map_err(CopyError::at(&request.to))?;
    Ok(copied)
}

/// Opens the source without waiting for a FIFO's writer and, where the system lets us, without touching its access time.
fn open_source(request: &CopyRequest) -> io::Result<(File, Metadata)> {
    let nofollow = if request.follow { 0 } else { libc::O_NOFOLLOW };
    let open = |extra: i32| {
        File::options()
            .read(true)
            .custom_flags(libc::O_NONBLOCK | libc::O_NOCTTY | nofollow | extra)
            .open(&request.from)
    };
    let source = match open(NO_ATIME) {
        Err(error) if NO_ATIME != 0 && error.raw_os_error() == Some(libc::EPERM) => open(0)?,
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
fn open_destination(request: &CopyRequest, before: &Metadata) -> io::Result<File> {
    let mode = request.mode.unwrap_or(before.mode()) & 0o777;
    let mut options = File::options();
    options.write(true).mode(mode);
    if request.create_new {
        options.create_new(true)
    } else {
        options.create(true)
    };
    let file = options.open(&request.to)?;
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
    let ways = copy_data::Ways {
        holes: request.holes,
        reflink: request.reflink,
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
    let warnings = copy_meta::onto_file(source, before, file, request.preserve);
    set_mode(request, source, before, file).map_err(CopyError::at(&request.to))?;
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
        warnings,
    })
}

fn set_mode(
    request: &CopyRequest,
    source: &File,
    before: &Metadata,
    file: &File,
) -> io::Result<()> {
    let target = retry(|| file.metadata())?;
    let kind = target.file_type();
    if kind.is_fifo() || kind.is_char_device() || kind.is_block_device() {
        return Ok(());
    }
    let mode = match request.mode {
        Some(mode) => mode & 0o7777,
        None => copy_meta::mode_beside_list(
            copy_meta::mode_for(before, Some(&target)),
            |name| xattr_open::get(source, name),
            |name| xattr_open::get(file, name),
        ),
    };
    if target.mode() & 0o7777 == mode {
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
struct Temp {
    path: PathBuf,
    published: bool,
}

impl Temp {
    /// Makes a file beside `to`. Its name does not contain that of `to`, which may be as long as a name can be.
    fn create(to: &Path, name: Option<&Path>) -> io::Result<(Temp, File)> {
        const TRIES_MAX: u32 = 16;
        if to.file_name().is_none() {
            return Err(io::Error::from_raw_os_error(libc::EISDIR));
        }
        let mut tries = 0;
        loop {
            let path = name.map_or_else(|| to.with_file_name(temp_name()), Path::to_path_buf);
            match File::options()
                .write(true)
                .create_new(true)
                .mode(0o600)
                .open(&path)
            {
                Ok(file) => {
                    return Ok((
                        Temp {
                            path,
                            published: false,
                        },
                        file,
                    ));
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

    fn publish(mut self, to: &Path, create_new: bool, sync: bool) -> io::Result<()> {
        if create_new {
            // A rename would replace what exists; a link fails, and the temporary name goes on drop.
            retry(|| std::fs::hard_link(&self.path, to))?;
        } else {
            refuse_special(to)?;
            retry(|| std::fs::rename(&self.path, to))?;
            self.published = true;
        }
        if sync {
            let parent = to
                .parent()
                .filter(|parent| !parent.as_os_str().is_empty())
                .unwrap_or(Path::new("."));
            File::open(parent)?.sync_all()?;
        }
        Ok(())
    }
}

/// What is not a file, a link or a directory is no earlier state of a copy: it is not replaced by one.
fn refuse_special(to: &Path) -> io::Result<()> {
    let Ok(there) = retry(|| std::fs::symlink_metadata(to)) else {
        return Ok(());
    };
    let kind = there.file_type();
    let what = if kind.is_fifo() {
        "a FIFO"
    } else if kind.is_socket() {
        "a socket"
    } else if kind.is_block_device() || kind.is_char_device() {
        "a device"
    } else {
        return Ok(());
    };
    Err(io::Error::new(
        io::ErrorKind::AlreadyExists,
        format!("the destination is {what}, which is not replaced by a file; remove it first"),
    ))
}

impl Drop for Temp {
    fn drop(&mut self) {
        if !self.published {
            // Nothing can be done about an error here, and the copy has failed or has its name already.
            let _ = retry(|| std::fs::remove_file(&self.path));
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
