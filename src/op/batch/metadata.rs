//! The attributes of many paths.

use std::io;
use std::marker::PhantomData;
use std::path::Path;
use std::sync::Arc;

use super::super::at::At;
use super::super::file::SharedFile;
use super::super::meta::{Cached, How, look, stat_path};
use super::entries::{Called, Entries};
use super::finder::Finder;
use super::paths::Paths;
use crate::driver::Driver;
use crate::mounts::Mount;
use crate::opcode::Kind;
use crate::sys::path::with_c_path;
use crate::sys::request;
use crate::sys::stat::{Stat, Sync};
use crate::sys::steps::Steps;

/// See the module.
pub(crate) struct Attributes<T> {
    dir: Option<Arc<SharedFile>>,
    paths: Paths,
    follow: bool,
    how: How,
    /// What callers see is made at once, and not of a million results in the end.
    seen: PhantomData<fn() -> T>,
}

impl<T> Attributes<T> {
    pub(crate) fn new(
        dir: Option<Arc<SharedFile>>,
        paths: Paths,
        follow: bool,
        how: How,
    ) -> Attributes<T> {
        Attributes {
            dir,
            paths,
            follow,
            how,
            seen: PhantomData,
        }
    }

    fn at(&self, index: usize) -> At<'_> {
        self.paths.from(self.dir.as_ref(), index)
    }

    fn ask(&self, path: &Path, follow: bool) -> io::Result<Stat> {
        with_c_path(path, |path| {
            let dir = self.dir.as_deref();
            request::stat_of(dir, path, follow, self.how)
        })
    }
}

impl<T: From<Stat> + Send + 'static> Entries for Attributes<T> {
    type Output = T;

    fn kind(&self) -> Kind {
        Kind::Statx
    }

    fn paths(&self) -> &Paths {
        &self.paths
    }

    fn mount(&self, finder: &mut Finder<'_>, index: usize) -> Arc<Mount> {
        finder.of_path(self.dir.as_ref(), self.paths.at(index))
    }

    fn mount_behind(&self, finder: &mut Finder<'_>, index: usize) -> Arc<Mount> {
        finder.wherever(self.dir.as_ref(), self.paths.at(index), true)
    }

    fn at_poll(&self, driver: &Arc<Driver>, index: usize) -> Option<io::Result<T>> {
        if self.how.sync == Sync::Force {
            return None;
        }
        let found = |_: std::os::fd::BorrowedFd<'_>, stat, _: &Arc<Mount>| Some(stat);
        match look(driver, self.at(index), self.follow, self.how.mask, found) {
            Ok(Cached::Found(stat)) => Some(Ok(T::from(stat))),
            Ok(Cached::Error(error)) | Err(error) => Some(Err(error)),
            Ok(Cached::Missed | Cached::Special(_) | Cached::Unknown(_)) => None,
        }
    }

    async fn alone(&self, index: usize) -> io::Result<T> {
        let stat = stat_path(Kind::Statx, self.at(index), self.follow, self.how);
        stat.await.map(T::from)
    }

    /// What a link leads to may be on another mount, whose threads are to wait for it.
    fn call(
        &self,
        _driver: &Arc<Driver>,
        index: usize,
        is_there: bool,
        _steps: &Steps,
    ) -> Called<T> {
        let path = self.paths.at(index);
        match self.ask(path, self.follow && is_there) {
            Ok(stat) if self.follow && !is_there && stat.is_link() => Called::Elsewhere,
            result => Called::Done(result.map(T::from)),
        }
    }
}
