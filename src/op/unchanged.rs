//! Reading a file as it was seen before, or not at all.

use std::io;
use std::sync::Arc;

use super::at::At;
use super::file::SharedFile;
use super::hop::hop_on;
use super::locate::locate_at;
use super::meta::{How, stat_file, stat_path};
use super::open::{flag, open_at};
use super::rw::read_through;
use crate::buf::IoBuf;
use crate::driver::{self, Route};
use crate::error::Error;
use crate::opcode::Kind;
use crate::sys::unchanged;
pub(crate) use crate::sys::unchanged::Seen;

/// The content of a file, in one hop, or step by step for a handle that is pinned to the ring.
pub(crate) async fn read(at: At<'_>, seen: Seen) -> io::Result<Vec<u8>> {
    let path = at.path;
    let read = match driver::current()?.route() {
        Route::Ring => by_steps(at, seen).await,
        _ => in_one_hop(at, seen).await,
    };
    read.map_err(|error| Error::on_path(error, path))
}

async fn in_one_hop(at: At<'_>, seen: Seen) -> io::Result<Vec<u8>> {
    let driver = driver::current()?;
    let named = |error| driver.tell(Kind::ReadFile, Some(at.path), error);
    let owned = at.owned().map_err(named)?;
    let mount = locate_at(&driver, at.dir, owned.path(), true);
    let work = move |steps: &_| unchanged::read(&owned, &seen, steps);
    hop_on(&driver, &mount, Kind::ReadFile, at.path, work).await
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
