//! What a log's thread calls: writes of several parts, syncs, and space ahead.
#![allow(unsafe_code, reason = "makes the call that std lacks")]
#![allow(
    clippy::disallowed_methods,
    reason = "this is where blocking calls live"
)]

use std::fs::File;
use std::io::{self, IoSlice};
use std::os::fd::{AsRawFd, BorrowedFd, OwnedFd};
use std::os::unix::fs::{MetadataExt, OpenOptionsExt};
use std::path::Path;

use super::fd::with_file;
use super::replace;
use super::walking::Id;
use crate::base::errno::{open_without_peer, retry};
use crate::limits::VECTOR_PARTS_MAX;

/// A file that is open to be appended to.
pub(crate) struct Opened {
    file: File,
    id: Id,
}

/// Opens a file to append to it, and makes it if it is not there.
pub(crate) fn open(path: &Path, mode: u32) -> io::Result<Opened> {
    let open = |more| {
        File::options()
            .read(true)
            .write(true)
            .create(true)
            .truncate(false)
            .mode(mode)
            .custom_flags(more | libc::O_NOCTTY)
            .open(path)
    };
    let file = open_without_peer(open)?;
    let found = retry(|| file.metadata())?;
    if !found.is_file() {
        let text = "only a regular file can be appended to";
        return Err(io::Error::new(io::ErrorKind::InvalidInput, text));
    }
    let id = (found.dev(), found.ino());
    Ok(Opened { file, id })
}

impl Opened {
    /// What tells it from others that are open.
    pub(crate) fn id(&self) -> Id {
        self.id
    }

    /// Cuts it off at `start`, and syncs what is there and its name. Returns where it ends.
    pub(crate) fn begin_at(self, path: &Path, start: Option<u64>) -> io::Result<(OwnedFd, u64)> {
        let file = self.file;
        let size = retry(|| file.metadata())?.size();
        let end = match start {
            Some(start) if start > size => {
                let text = "the file ends before the offset to append at";
                return Err(io::Error::new(io::ErrorKind::InvalidInput, text));
            }
            Some(start) => {
                file.set_len(start)?;
                start
            }
            None => size,
        };
        file.sync_all()?;
        // By the name that the file has, if a link led to it.
        let real = retry(|| std::fs::canonicalize(path))?;
        replace::sync_dir(&replace::open_parent(&real)?)?;
        Ok((file.into(), end))
    }
}

/// Writes all parts, one behind the other, so many bytes at a time at most; also says how many bytes were written where
/// it fails.
pub(crate) fn write_parts(
    fd: BorrowedFd<'_>,
    mut parts: &mut [IoSlice<'_>],
    offset: u64,
    bytes_max: usize,
) -> (u64, io::Result<()>) {
    let mut written = 0;
    IoSlice::advance_slices(&mut parts, 0);
    while !parts.is_empty() {
        let first = [IoSlice::new(&parts[0][..parts[0].len().min(bytes_max)])];
        let taken = match bytes_max {
            usize::MAX => &*parts,
            _ => &first,
        };
        let count = taken.len().min(VECTOR_PARTS_MAX) as libc::c_int;
        let (start, at) = (taken.as_ptr().cast(), offset + written);
        let write = || {
            // SAFETY: an `IoSlice` is laid out as an `iovec`, and all of them are borrowed for the call.
            let done = unsafe { libc::pwritev(fd.as_raw_fd(), start, count, at as libc::off_t) };
            match done {
                ..0 => Err(io::Error::last_os_error()),
                0 => Err(io::ErrorKind::WriteZero.into()),
                done => Ok(done as usize),
            }
        };
        match retry(write) {
            Ok(done) => {
                written += done as u64;
                IoSlice::advance_slices(&mut parts, done);
            }
            Err(error) => return (written, Err(error)),
        }
    }
    (written, Ok(()))
}

pub(crate) fn set_len(fd: BorrowedFd<'_>, len: u64) -> io::Result<()> {
    with_file(fd, |file| file.set_len(len))
}

pub(crate) fn sync_data(fd: BorrowedFd<'_>) -> io::Result<()> {
    with_file(fd, File::sync_data)
}
