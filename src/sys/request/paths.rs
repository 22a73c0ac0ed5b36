//! The paths that a request is about, for rules that name them.

use std::os::fd::BorrowedFd;
use std::path::{Path, PathBuf};

use super::{At, FdRef};
use crate::sys::fd::path_of;
use crate::sys::path::as_path;

/// Collects them, each absolute.
#[derive(Debug, Default)]
pub(crate) struct Paths(Vec<PathBuf>);

impl Paths {
    pub(crate) fn at(&mut self, at: &At) {
        let path = as_path(&at.path);
        match &at.dir {
            Some(dir) if path.is_relative() => {
                let dir = path_of((**dir).as_fd());
                self.0.extend(dir.map(|dir| dir.join(path)));
            }
            _ => self.path(path),
        }
    }

    pub(crate) fn file(&mut self, file: &FdRef) {
        self.fd((**file).as_fd());
    }

    /// What is not a file, or has no name any more, has a path that means nothing, or none.
    pub(crate) fn fd(&mut self, fd: BorrowedFd<'_>) {
        self.0.extend(path_of(fd));
    }

    /// A path that starts from the working directory, unless it is absolute.
    pub(crate) fn path(&mut self, path: &Path) {
        self.0.extend(std::path::absolute(path));
    }

    pub(crate) fn into_inner(self) -> Vec<PathBuf> {
        self.0
    }
}
