//! Operations on names: directories, links, renames, removals.

use std::io;
use std::path::Path;
use std::sync::Arc;

use super::at::At;
use super::file::SharedFile;
use super::locate::locate_at;
use super::unit::Unit;
use crate::driver;
use crate::opcode::Kind;
use crate::sys::path::c_path;
use crate::sys::rename::RenameMode;
use crate::sys::request::{self, Request};

/// Starts an operation on one path, on the lanes of that path's mount.
fn start<R: Request>(
    kind: Kind,
    at: At<'_>,
    request: impl FnOnce(request::At) -> io::Result<R>,
) -> io::Result<impl Future<Output = io::Result<()>> + Send + 'static> {
    let driver = driver::current()?;
    let named = |error| driver.tell(kind, Some(at.path), error);
    let owned = at.owned().map_err(named)?;
    let mount = locate_at(&driver, at.dir, owned.path(), false);
    let request = request(owned).map_err(named)?;
    Ok(driver.start(Unit::on_path(kind, request, at.path.to_path_buf()), &mount))
}

pub(crate) async fn create_dir(at: impl Into<At<'_>>, mode: u32) -> io::Result<()> {
    let started = start(Kind::CreateDir, at.into(), |at| {
        Ok(request::CreateDir { at, mode })
    });
    started?.await
}

pub(crate) async fn remove(at: impl Into<At<'_>>, directory: bool) -> io::Result<()> {
    let kind = if directory {
        Kind::RemoveDir
    } else {
        Kind::RemoveFile
    };
    let started = start(kind, at.into(), |at| Ok(request::Remove { at, directory }));
    started?.await
}

pub(crate) async fn rename(
    from: impl Into<At<'_>>,
    to: impl Into<At<'_>>,
    mode: RenameMode,
) -> io::Result<()> {
    let to = to.into();
    let started = start(Kind::Rename, from.into(), |from| {
        let to = to.owned()?;
        Ok(request::Rename { from, to, mode })
    });
    started?.await
}

pub(crate) async fn hard_link(
    original: impl Into<At<'_>>,
    link: impl Into<At<'_>>,
) -> io::Result<()> {
    let original = original.into();
    let started = start(Kind::HardLink, link.into(), |link| {
        let original = original.owned()?;
        Ok(request::HardLink { original, link })
    });
    started?.await
}

/// Gives an open file a name.
pub(crate) async fn link_file(file: &Arc<SharedFile>, link: impl Into<At<'_>>) -> io::Result<()> {
    let started = start(Kind::HardLink, link.into(), |link| {
        request::LinkFile::new(file.clone(), link)
    });
    started?.await
}

pub(crate) async fn symlink(original: &Path, link: impl Into<At<'_>>) -> io::Result<()> {
    let started = start(Kind::Symlink, link.into(), |link| {
        let original = c_path(original)?;
        Ok(request::Symlink { original, link })
    });
    started?.await
}

pub(crate) async fn set_xattr(
    path: &Path,
    name: &Path,
    value: Vec<u8>,
    follow: bool,
) -> io::Result<()> {
    let started = start(Kind::SetXattr, path.into(), |at| {
        Ok(request::SetXattr {
            path: at.path,
            name: c_path(name)?,
            value,
            follow,
        })
    });
    started?.await
}
