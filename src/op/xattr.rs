//! Reading an extended attribute.

use std::ffi::OsStr;
use std::io;
use std::path::{Path, PathBuf};
use std::sync::Arc;

use super::hop::hop;
use super::locate::locate;
use super::meta::{How, stat_path};
use crate::driver::op::Op;
use crate::driver::{self, Driver};
use crate::opcode::Kind;
use crate::sys::fd::Target;
use crate::sys::path::c_path;
use crate::sys::request::{self, Request};
use crate::sys::xattr::is_absent;
pub(crate) use crate::sys::xattr::{list, remove};
use crate::sys::xattr_all::{self, Pairs};

struct GetXattr {
    request: request::GetXattr,
    path: PathBuf,
}

impl Op for GetXattr {
    type Output = io::Result<Option<Vec<u8>>>;

    fn kind(&self) -> Kind {
        Kind::GetXattr
    }

    fn target(&self) -> Target {
        Target::Path(self.path.clone())
    }

    fn request(&mut self) -> &mut dyn Request {
        &mut self.request
    }

    fn finish(self, result: io::Result<i32>) -> Self::Output {
        match result {
            Ok(length) => Ok(Some(self.request.into_value(length))),
            Err(error) if is_absent(&error) => Ok(None),
            Err(error) => Err(error),
        }
    }

    fn lost(error: io::Error) -> Self::Output {
        Err(error)
    }
}

/// The value of an attribute, or `None` if the file has no such attribute.
pub(crate) async fn get(path: &Path, name: &OsStr, follow: bool) -> io::Result<Option<Vec<u8>>> {
    let pending = {
        let driver = driver::current()?;
        let named = |error| driver.tell(Kind::GetXattr, Some(path), error);
        let c_path = c_path(path).map_err(named)?;
        let name = self::c_path(Path::new(name)).map_err(named)?;
        let mount = locate(&driver, &c_path, follow);
        let request = request::GetXattr {
            path: c_path,
            name,
            follow,
            value: Vec::new(),
        };
        driver.start(
            GetXattr {
                request,
                path: path.to_path_buf(),
            },
            &mount,
        )
    };
    pending.await
}

/// All attributes of a file, or why they were not read.
pub(crate) enum All {
    Dataless,
    OverBudget,
    Read(Pairs),
}

impl All {
    pub(super) fn of(read: Option<Pairs>) -> All {
        read.map_or(All::OverBudget, All::Read)
    }
}

/// Whether files may have their content elsewhere: on macOS, or as the fake backend has it.
pub(super) fn driver_tells_dataless(driver: &Arc<Driver>) -> bool {
    cfg!(target_os = "macos") || driver.has_faults()
}

/// All attributes of a path, of no more bytes than that.
pub(crate) async fn read_all(path: &Path, follow: bool, most: usize) -> io::Result<All> {
    let driver = driver::current()?;
    if driver_tells_dataless(&driver) {
        let stat = stat_path(Kind::Statx, path, follow, How::default()).await?;
        if stat.dataless {
            return Ok(All::Dataless);
        }
    }
    let named = |error| driver.tell(Kind::ListXattrs, Some(path), error);
    let c_path = c_path(path).map_err(named)?;
    let work = move |_: &_| xattr_all::of_path(&c_path, follow, most);
    hop(Kind::ListXattrs, path, work).await.map(All::of)
}
