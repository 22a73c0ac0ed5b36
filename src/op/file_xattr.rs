//! Extended attributes of an open file.

use std::ffi::{OsStr, OsString};
use std::io;
use std::os::fd::AsFd;
use std::path::Path;
use std::sync::Arc;

use super::file::SharedFile;
use super::hop::hop_on_file;
use super::meta::{How, stat_file};
use super::unit::Unit;
use super::xattr::{All, driver_tells_dataless};
use crate::driver::op::Op;
use crate::opcode::Kind;
use crate::sys::fd::{Target, with_file};
use crate::sys::path::c_path;
use crate::sys::request::{self, Request};
use crate::sys::xattr::is_absent;
use crate::sys::{xattr_all, xattr_open};

struct GetFileXattr(request::GetFileXattr);

impl Op for GetFileXattr {
    type Output = io::Result<Option<Vec<u8>>>;

    fn kind(&self) -> Kind {
        Kind::GetFileXattr
    }

    fn target(&self) -> Target {
        Target::file(self.0.fd.as_fd())
    }

    fn request(&mut self) -> &mut dyn Request {
        &mut self.0
    }

    fn finish(self, result: io::Result<i32>) -> Self::Output {
        match result {
            Ok(length) => Ok(Some(self.0.into_value(length))),
            Err(error) if is_absent(&error) => Ok(None),
            Err(error) => Err(error),
        }
    }

    fn lost(error: io::Error) -> Self::Output {
        Err(error)
    }
}

impl SharedFile {
    pub(crate) async fn get_xattr(self: Arc<Self>, name: &OsStr) -> io::Result<Option<Vec<u8>>> {
        let name = c_name(&self, Kind::GetFileXattr, name)?;
        let (driver, mount) = (self.driver(), self.mount());
        let request = request::GetFileXattr {
            fd: self,
            name,
            value: Vec::new(),
        };
        driver.start(GetFileXattr(request), &mount).await
    }

    pub(crate) async fn set_xattr(self: Arc<Self>, name: &OsStr, value: Vec<u8>) -> io::Result<()> {
        let name = c_name(&self, Kind::SetFileXattr, name)?;
        let (driver, mount) = (self.driver(), self.mount());
        let target = Target::file(self.as_fd());
        let request = request::SetFileXattr {
            fd: self,
            name,
            value,
        };
        let unit = Unit::on_file(Kind::SetFileXattr, request, target);
        driver.start(unit, &mount).await
    }

    pub(crate) async fn remove_xattr(self: Arc<Self>, name: &OsStr) -> io::Result<()> {
        let name = c_name(&self, Kind::RemoveXattr, name)?;
        let file = self.clone();
        let work = move |_: &_| with_file(file.as_fd(), |file| xattr_open::remove(file, &name));
        hop_on_file(&self, Kind::RemoveXattr, work).await
    }

    pub(crate) async fn read_xattrs(self: Arc<Self>, most: usize) -> io::Result<All> {
        if driver_tells_dataless(&self.driver()) {
            let stat = stat_file(&self, How::default()).await?;
            if stat.dataless {
                return Ok(All::Dataless);
            }
        }
        let file = self.clone();
        let all = move |file: &_| xattr_all::of_file(file, most);
        let work = move |_: &_| with_file(file.as_fd(), all);
        hop_on_file(&self, Kind::ListXattrs, work)
            .await
            .map(All::of)
    }

    pub(crate) async fn list_xattrs(self: Arc<Self>) -> io::Result<Vec<OsString>> {
        let file = self.clone();
        let work = move |_: &_| with_file(file.as_fd(), xattr_open::list);
        hop_on_file(&self, Kind::ListXattrs, work).await
    }
}

fn c_name(file: &SharedFile, kind: Kind, name: &OsStr) -> io::Result<std::ffi::CString> {
    c_path(Path::new(name)).map_err(|error| file.tell(kind, error))
}
