//! Operations on names: directories, links, renames, removals.

use std::io;
use std::path::Path;

use super::locate::locate;
use super::unit::Unit;
use crate::driver;
use crate::error::Error;
use crate::opcode::Kind;
use crate::sys::path::c_path;
use crate::sys::request::{self, Request};

/// Starts an operation on one path, on the lanes of that path's mount.
fn start<R: Request>(
    kind: Kind,
    path: &Path,
    request: impl FnOnce(std::ffi::CString) -> io::Result<R>,
) -> io::Result<impl Future<Output = io::Result<()>> + Send + 'static> {
    let named = |error| Error::io(kind, Some(path), error);
    let driver = driver::current()?;
    let c_path = c_path(path).map_err(named)?;
    let mount = locate(&driver, &c_path, false);
    let request = request(c_path).map_err(named)?;
    Ok(driver.start(Unit::on_path(kind, request, path.to_path_buf()), &mount))
}

pub(crate) async fn create_dir(path: &Path, mode: u32) -> io::Result<()> {
    let started = start(Kind::CreateDir, path, |path| {
        Ok(request::CreateDir { path, mode })
    });
    started?.await
}

pub(crate) async fn remove(path: &Path, directory: bool) -> io::Result<()> {
    let kind = if directory {
        Kind::RemoveDir
    } else {
        Kind::RemoveFile
    };
    let started = start(kind, path, |path| Ok(request::Remove { path, directory }));
    started?.await
}

pub(crate) async fn rename(from: &Path, to: &Path) -> io::Result<()> {
    let started = start(Kind::Rename, from, |from| {
        Ok(request::Rename {
            from,
            to: c_path(to)?,
        })
    });
    started?.await
}

pub(crate) async fn hard_link(original: &Path, link: &Path) -> io::Result<()> {
    let started = start(Kind::HardLink, link, |link| {
        Ok(request::HardLink {
            original: c_path(original)?,
            link,
        })
    });
    started?.await
}

pub(crate) async fn symlink(original: &Path, link: &Path) -> io::Result<()> {
    let started = start(Kind::Symlink, link, |link| {
        Ok(request::Symlink {
            original: c_path(original)?,
            link,
        })
    });
    started?.await
}

pub(crate) async fn set_xattr(
    path: &Path,
    name: &Path,
    value: Vec<u8>,
    follow: bool,
) -> io::Result<()> {
    let started = start(Kind::SetXattr, path, |path| {
        Ok(request::SetXattr {
            path,
            name: c_path(name)?,
            value,
            follow,
        })
    });
    started?.await
}
