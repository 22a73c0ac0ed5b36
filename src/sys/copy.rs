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
use crate::sys::global::Global;

pub(crate) use crate::sys::copy_data::Flow;
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
    /// Makes a hole of what is a hole in the source.
    pub(crate) keep_holes: bool,
    /// The mode of the destination; that of the source where it is `None`.
    pub(crate) mode: Option<u32>,
    pub(crate) preserve: Preserve,
    /// Writes under a temporary name beside `to`, renamed when everything else is done.
    pub(crate) rename_into_place: bool,
    /// Waits for the device before the destination gets its name.
    pub(crate) sync: bool,
    /// The temporary name; one is made up where it is `None`.
    pub(crate) temporary: Option<PathBuf>,
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
        drop(file);
        // Who was told that it is not copied does not find it later.
        flow.check().map_err(CopyError::at(&request.to))?;
        temp.publish(&request.to, request.create_new, request.sync)
            .map_err(CopyError::at(&request.to))?;
        return Ok(copied);
    }
    let file = open_destination(request, &before).map_err(CopyError::at(&request.to))?;
    fill(request, &source, &before, &file, flow)
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
    let before = source.metadata()?;
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
    let found = file.metadata()?;
    if (found.dev(), found.ino()) == (before.dev(), before.ino()) {
        return Err(io::Error::new(
            io::ErrorKind::InvalidInput,
            "source and destination are the same file",
        ));
    }
    if found.is_file() && found.len() > 0 {
        file.set_len(0)?;
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
    let moved = copy_data::copy(source, before, file, request.keep_holes, flow).map_err(
        |(side, error)| CopyError {
            path: side.pick(&request.from, &request.to),
            error,
        },
    )?;
    flow.check().map_err(CopyError::at(&request.from))?;
    if request.check_whole {
        let after = source.metadata().map_err(CopyError::at(&request.from))?;
        check_whole(source, before, &after, moved.bytes).map_err(CopyError::at(&request.from))?;
    }
    let warnings = copy_meta::onto_file(source, before, file, request.preserve);
    set_mode(request, before, file).map_err(CopyError::at(&request.to))?;
    if request.preserve.times {
        copy_meta::times_of(before)
            .and_then(|times| file.set_times(times))
            .map_err(CopyError::at(&request.to))?;
    }
    if request.sync {
        file.sync_all().map_err(CopyError::at(&request.to))?;
    }
    Ok(Copied {
        bytes: moved.bytes,
        data_bytes: moved.data_bytes,
        warnings,
    })
}

fn set_mode(request: &CopyRequest, before: &Metadata, file: &File) -> io::Result<()> {
    let target = file.metadata()?;
    let kind = target.file_type();
    if kind.is_fifo() || kind.is_char_device() || kind.is_block_device() {
        return Ok(());
    }
    let mode = request.mode.unwrap_or(before.mode()) & 0o7777;
    // A set-user-id bit goes only with its owner.
    let kept =
        (target.uid(), target.gid()) == (before.uid(), before.gid()) || request.mode.is_some();
    let mode = if kept { mode } else { mode & 0o1777 };
    if target.mode() & 0o7777 == mode {
        return Ok(());
    }
    file.set_permissions(std::fs::Permissions::from_mode(mode))
}

/// Whether what was read is the whole file: same size and same time of change as before, and nothing missing.
fn check_whole(source: &File, before: &Metadata, after: &Metadata, bytes: u64) -> io::Result<()> {
    let changed = (before.mtime(), before.mtime_nsec()) != (after.mtime(), after.mtime_nsec());
    if after.len() < before.len() || (bytes < before.len() && !copy_data::is_pseudo(source)) {
        return Err(io::Error::new(
            io::ErrorKind::UnexpectedEof,
            format!(
                "the source shrank from {} bytes while it was copied; copy it again",
                before.len()
            ),
        ));
    }
    // A file of procfs says that it is empty, and its times are those of the moment.
    if before.len() == 0 && after.len() == 0 && bytes > 0 {
        return Ok(());
    }
    if changed || after.len() != before.len() || bytes > after.len() {
        return Err(io::Error::new(
            io::ErrorKind::ResourceBusy,
            "the source was written to while it was copied; copy it again",
        ));
    }
    Ok(())
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
            std::fs::hard_link(&self.path, to)?;
        } else {
            std::fs::rename(&self.path, to)?;
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

impl Drop for Temp {
    fn drop(&mut self) {
        if !self.published {
            // Nothing can be done about an error here, and the copy has failed or has its name already.
            let _ = std::fs::remove_file(&self.path);
        }
    }
}

/// A name that no other copy of this process has, and hardly one of another process.
fn temp_name() -> String {
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
