//! Reading a whole file: at the poll if all of it is in memory, else in one submission where many small ones
//! are read at a time, else in one hop.

use std::io;
use std::path::Path;
use std::sync::Arc;

use super::at::At;
use super::file::SharedFile;
use super::hop::{hop, hop_on};
use super::locate::{locate, locate_missed};
use super::open::{self, flag};
use super::rw::read_through;
use crate::buf::{Contents, IoBuf};
use crate::driver::{self, Driver};
use crate::error::Error;
use crate::limits;
use crate::mounts::{self, Mount};
use crate::opcode::Kind;
use crate::settings::Route;
use crate::sys::blocking::{self, Whole};
use crate::sys::path::c_path;
#[cfg(target_os = "linux")]
use crate::sys::path::with_c_path;
use crate::sys::unchanged::Seen;

/// The content of a file.
pub(crate) async fn read(path: &Path) -> io::Result<Vec<u8>> {
    let driver = driver::current()?;
    let named = |error| driver.tell(Kind::ReadFile, Some(path), error);
    match at_poll(&driver, path.into(), None).map_err(named)? {
        AtPoll::Answer(result) => {
            driver.answered(Kind::ReadFile);
            driver::spend().await;
            result.map_err(named)
        }
        AtPoll::Missed => {
            let mount = locate_missed(&driver, path.into()).map_err(named)?;
            read_in_a_hop(&driver, &mount, path).await
        }
        AtPoll::Waits(looked) => {
            let file_bytes = looked.as_ref().and_then(|looked| looked.file_bytes);
            let bytes = read_missed(&driver, path, file_bytes).await?;
            if let Some(looked) = looked.filter(|looked| looked.file_bytes.is_some()) {
                looked.mount.note_opened();
            }
            Ok(bytes)
        }
    }
}

/// What a poll can say of a file's content.
pub(super) enum AtPoll {
    Answer(io::Result<Vec<u8>>),
    /// The kernel was asked for it, and has it not in memory.
    Missed,
    /// It takes a wait.
    Waits(Option<Looked>),
}

/// What a look at the path found: how large the file is, for one whose attributes are in memory, and where it is.
pub(super) struct Looked {
    pub(super) file_bytes: Option<u64>,
    pub(super) mount: Arc<Mount>,
}

/// In one submission if that is fit and the file is small; else in one hop, or step by step for a handle that
/// is pinned to the ring.
async fn read_missed(
    driver: &Arc<Driver>,
    path: &Path,
    file_bytes: Option<u64>,
) -> io::Result<Vec<u8>> {
    #[cfg(not(target_os = "linux"))]
    let _ = file_bytes;
    #[cfg(target_os = "linux")]
    {
        use super::small::{self, Attempt};
        if small::is_fit(driver, file_bytes) {
            match small::read(driver, path).await? {
                Attempt::Whole(bytes) => return Ok(bytes),
                Attempt::Larger(bytes) => return read_by_steps(path, bytes).await,
                Attempt::Nothing => {}
                Attempt::Stream(file) => return read_on(file, Vec::new(), path).await,
            }
        }
    }
    if driver.route() == Route::Ring {
        return read_by_steps(path, Vec::new()).await;
    }
    let c_path = c_path(path).map_err(|error| driver.tell(Kind::ReadFile, Some(path), error))?;
    let mount = locate(driver, &c_path, true);
    read_in_a_hop(driver, &mount, path).await
}

async fn read_in_a_hop(
    driver: &Arc<Driver>,
    mount: &Arc<Mount>,
    path: &Path,
) -> io::Result<Vec<u8>> {
    let owned = path.to_path_buf();
    let read = hop_on(driver, mount, Kind::ReadFile, path, move |steps| {
        blocking::read_storage(&owned, steps, mounts::may_wait)
    });
    match read.await? {
        Whole::Done(bytes) => Ok(bytes),
        Whole::MayWait(fd) => {
            let file = SharedFile::new(driver, fd, flag::O_RDONLY);
            read_on(file, Vec::new(), path).await
        }
    }
}

/// Makes or replaces a file. One that may wait for something other than storage is only opened, and returned.
pub(crate) async fn write(
    path: &Path,
    contents: Contents,
) -> io::Result<Option<(Arc<SharedFile>, Contents)>> {
    let owned = path.to_path_buf();
    let written = hop(Kind::WriteFile, path, move |steps| {
        let written = blocking::write_storage(&owned, contents.as_ref(), steps, mounts::may_wait)?;
        Ok((written, contents))
    });
    let (written, contents) = written.await?;
    Ok(match written {
        Whole::Done(()) => None,
        Whole::MayWait(fd) => {
            let file = SharedFile::new(&driver::current()?, fd, flag::O_WRONLY);
            Some((file, contents))
        }
    })
}

/// Opens and reads it. `begun` is what came of it when it was opened before.
async fn read_by_steps(path: &Path, mut begun: Vec<u8>) -> io::Result<Vec<u8>> {
    let file = open::open(path, flag::O_RDONLY, 0).await?;
    if file.is_seekable() || file.is_pipe() {
        // Another file may be there by now, of which those bytes are not. Of a pipe none were taken.
        begun.clear();
    }
    let size = super::meta::size_of(&file).await;
    let size = size.map_err(|error| Error::on_path(error, path))?;
    let size = usize::try_from(size).unwrap_or(usize::MAX);
    let room = match size {
        // It may give all it has to the first read or never.
        0 => limits::MADE_UP_BYTES,
        size => size.saturating_add(1),
    };
    begun.try_reserve_exact(room)?;
    read_on(file, begun, path).await
}

/// Reads an open file to its end, after what was read of it. Its size is only a hint: a file that shrinks
/// ends early, one that grows or is of size zero in procfs is read to its end.
async fn read_on(file: Arc<SharedFile>, mut bytes: Vec<u8>, path: &Path) -> io::Result<Vec<u8>> {
    loop {
        let start = bytes.len();
        if start == bytes.capacity() {
            bytes.try_reserve(start.max(32 << 10))?;
        }
        let offset = file.is_seekable().then_some(start as u64);
        let capacity = bytes.capacity();
        let (count, slice) =
            read_through(file.clone(), bytes.slice(start..capacity), offset.into())
                .await
                .map_err(|error| Error::on_path(error.into(), path))?;
        bytes = slice.into_inner();
        if count == 0 {
            return Ok(bytes);
        }
    }
}

/// A regular file on a healthy local mount that is small and in memory, path, inode and content. Where it was seen before,
/// the content is an error unless it is still as it was.
#[cfg(target_os = "linux")]
pub(super) fn at_poll(driver: &Arc<Driver>, at: At<'_>, seen: Option<&Seen>) -> io::Result<AtPoll> {
    if !driver.attempts() {
        return Ok(AtPoll::Waits(None));
    }
    with_c_path(at.path, |path| Ok(look_at_poll(driver, at.dir, path, seen)))
}

#[cfg(target_os = "linux")]
fn look_at_poll(
    driver: &Arc<Driver>,
    dir: Option<&Arc<SharedFile>>,
    path: &std::ffi::CStr,
    seen: Option<&Seen>,
) -> AtPoll {
    use super::close::{Closing, Uncut, close};
    use super::meta::{Cached, cached_at};
    use super::open::looks_at_nothing_else;
    use crate::driver::attempt::attempt;
    use crate::sys::linux::nowait;
    use std::os::fd::AsFd;

    let looked = cached_at(driver, dir, path, (true, 0), 0, |_, stat, mount| {
        Some((stat, mount.clone()))
    });
    let (stat, mount) = match looked {
        Cached::Found(found) => found,
        Cached::Error(error) => return AtPoll::Answer(Err(error)),
        Cached::Missed => return AtPoll::Missed,
        Cached::Special(_) | Cached::Unknown(_) => return AtPoll::Waits(None),
    };
    if let Some(Err(drift)) = seen.map(|seen| seen.check(&stat)) {
        return AtPoll::Answer(Err(drift));
    }
    // What says that it is empty may have content that is made as it is read; who has seen it so wants nothing else.
    let least = u64::from(seen.is_none());
    let small = stat.is_file() && (least..=limits::READ_AT_POLL_BYTES).contains(&stat.size);
    let may = small && mount.reads_nowait() && looks_at_nothing_else(&stat, &mount);
    if may {
        let bytes = attempt(Some(&mount), || {
            let dir = dir.map(|dir| dir.as_fd());
            let fd = nowait::open_read_cached(dir, path, 0, 0).ok()?;
            let bytes = read_resident(&fd, &mount, seen);
            let (mount, uncut, on_rings) = (&mount, &Uncut::default(), &Arc::default());
            let closing = Closing {
                mount,
                may_write: false,
                uncut,
                on_rings,
            };
            close(driver, fd, &closing);
            bytes
        });
        if let Some(bytes) = bytes.flatten() {
            return AtPoll::Answer(bytes);
        }
    }
    let file_bytes = stat.is_file().then_some(stat.size);
    AtPoll::Waits(Some(Looked { file_bytes, mount }))
}

/// All of a small file, if it is in memory and reading it changes no access time. A readahead mark in it does no harm:
/// there is nothing left to read ahead when every page of the file is in memory.
#[cfg(target_os = "linux")]
fn read_resident(
    fd: &std::os::fd::OwnedFd,
    mount: &Mount,
    seen: Option<&Seen>,
) -> Option<io::Result<Vec<u8>>> {
    use crate::sys::linux::nowait;
    use std::os::fd::AsFd;
    let fd = fd.as_fd();
    // Of this moment: a write through another descriptor makes an update of the access time due.
    let (stat, _) = mounts::of_fd(fd).ok()?;
    if let Some(Err(drift)) = seen.map(|seen| seen.check(&stat)) {
        return Some(Err(drift));
    }
    let size = stat.size;
    let may = size <= limits::READ_AT_POLL_BYTES && mount.atime_is_settled(&stat);
    if !may || nowait::pages(fd, 0, size).ok()?.cached < size.div_ceil(4096) {
        return None;
    }
    // One byte more, so that the same call shows the end of the file.
    let mut bytes = Vec::with_capacity(size as usize + 1);
    let count = nowait::read_cached(fd, &mut bytes, size as usize + 1, 0).ok()?;
    if count as u64 != size {
        return None;
    }
    match seen {
        Some(seen) => Some(seen.check(&mounts::of_fd(fd).ok()?.0).map(|()| bytes)),
        None => Some(Ok(bytes)),
    }
}

#[cfg(not(target_os = "linux"))]
pub(super) fn at_poll(
    _driver: &Arc<Driver>,
    at: At<'_>,
    _seen: Option<&Seen>,
) -> io::Result<AtPoll> {
    c_path(at.path).map(|_| AtPoll::Waits(None))
}
