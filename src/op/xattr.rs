//! Reading an extended attribute.

use std::ffi::OsStr;
use std::io;
use std::path::{Path, PathBuf};

use super::locate::locate;
use crate::driver;
use crate::driver::op::Op;
use crate::opcode::Kind;
use crate::sys::fd::Target;
use crate::sys::path::c_path;
use crate::sys::request::{self, Request};
use crate::sys::xattr::is_absent;
pub(crate) use crate::sys::xattr::{list, remove};

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
