//! Reading a file as it was seen before, or not at all.

use std::io;
use std::sync::Arc;

use super::at::At;
use super::file::SharedFile;
use super::hop::hop_on;
use super::locate::{locate_at, locate_missed};
use super::meta::{How, stat_file, stat_path};
use super::open::{flag, open_at};
use super::rw::read_through;
use super::whole::{AtPoll, at_poll};
use crate::buf::IoBuf;
use crate::driver::{self, Driver};
use crate::error::Error;
use crate::mounts::Mount;
use crate::opcode::Kind;
use crate::settings::Route;
use crate::sys::path::c_path;
use crate::sys::unchanged;
pub(crate) use crate::sys::unchanged::Seen;

/// The content of a file: at the poll if all of it is in memory, else in one hop, or step by step for a handle that is
/// pinned to the ring.
pub(crate) async fn read(at: At<'_>, seen: Seen) -> io::Result<Vec<u8>> {
    let (driver, path) = (driver::current()?, at.path);
    let named = |error| driver.tell(Kind::ReadFile, Some(path), error);
    let read = match at_poll(&driver, at, Some(&seen)).map_err(named)? {
        AtPoll::Answer(answer) => {
            driver.answered(Kind::ReadFile);
            driver::spend().await;
            answer.map_err(named)
        }
        AtPoll::Missed => {
            let mount = locate_missed(&driver, at).map_err(named)?;
            in_one_hop(&driver, &mount, at, seen).await
        }
        AtPoll::Waits(_) if driver.route() == Route::Ring => by_steps(at, seen).await,
        AtPoll::Waits(Some(looked)) if looked.file_bytes.is_some() => {
            let read = in_one_hop(&driver, &looked.mount, at, seen).await;
            if read.is_ok() {
                looked.mount.note_opened();
            }
            read
        }
        AtPoll::Waits(_) => {
            let c_path = c_path(path).map_err(named)?;
            let mount = locate_at(&driver, at.dir, &c_path, true);
            in_one_hop(&driver, &mount, at, seen).await
        }
    };
    read.map_err(|error| Error::on_path(error, path))
}

async fn in_one_hop(
    driver: &Arc<Driver>,
    mount: &Arc<Mount>,
    at: At<'_>,
    seen: Seen,
) -> io::Result<Vec<u8>> {
    let named = |error| driver.tell(Kind::ReadFile, Some(at.path), error);
    let owned = at.owned().map_err(named)?;
    let work = move |steps: &_| unchanged::read(&owned, &seen, steps);
    hop_on(driver, mount, Kind::ReadFile, at.path, work).await
}

async fn by_steps(at: At<'_>, seen: Seen) -> io::Result<Vec<u8>> {
    let how = How::default();
    seen.check(&stat_path(Kind::Statx, at, true, how).await?)?;
    let flags = flag::O_RDONLY | flag::O_NONBLOCK | flag::O_NOCTTY;
    let file = match open_at(at, flags, 0, 0).await {
        Err(error) if error.kind() == io::ErrorKind::WouldBlock => {
            open_at(at, flag::O_RDONLY | flag::O_NOCTTY, 0, 0).await?
        }
        opened => opened?,
    };
    seen.check(&stat_file(&file, how).await?)?;
    let bytes = read_room(&file, seen.room()?).await?;
    seen.check_len(bytes.len())?;
    seen.check(&stat_file(&file, how).await?)?;
    Ok(bytes)
}

/// What there is, up to so much.
async fn read_room(file: &Arc<SharedFile>, room: usize) -> io::Result<Vec<u8>> {
    let mut bytes = Vec::new();
    bytes.try_reserve_exact(room)?;
    while bytes.len() < room {
        let start = bytes.len();
        let slice = bytes.slice(start..room);
        let (count, slice) = read_through(file.clone(), slice, Some(start as u64).into()).await?;
        bytes = slice.into_inner();
        if count == 0 {
            break;
        }
    }
    Ok(bytes)
}
