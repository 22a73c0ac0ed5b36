//! A path, from the working directory or from an open one.

use std::io;
use std::path::{Path, PathBuf};
use std::sync::Arc;

use super::file::SharedFile;
use crate::sys::path::c_path;
use crate::sys::request::{self, FdRef};

/// Where an operation on a name takes place.
#[derive(Clone, Copy)]
pub(crate) struct At<'a> {
    pub(super) dir: Option<&'a Arc<SharedFile>>,
    pub(super) path: &'a Path,
}

impl<'a> At<'a> {
    /// A path that starts from an open directory, unless it is absolute.
    pub(crate) fn dir(dir: &'a Arc<SharedFile>, path: &'a Path) -> At<'a> {
        At {
            dir: Some(dir),
            path,
        }
    }

    /// For a request, which holds the directory open.
    pub(super) fn owned(self) -> io::Result<request::At> {
        Ok(request::At {
            dir: self.dir.map(|dir| dir.clone() as FdRef),
            path: c_path(self.path)?,
        })
    }
}

impl<'a> From<&'a Path> for At<'a> {
    fn from(path: &'a Path) -> At<'a> {
        At { dir: None, path }
    }
}

impl<'a> From<&'a PathBuf> for At<'a> {
    fn from(path: &'a PathBuf) -> At<'a> {
        At { dir: None, path }
    }
}
